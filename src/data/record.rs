//! SageMaker's `Record` (`package aialgs.data`, protobuf 2): features and labels as tensors under
//! the key `values`. Read from the wire straight into a row, so that what a stranger's bytes make us
//! hold is bounded by their number; [`message`] has the same as prost's messages, for writing.

use super::error::shown;
use super::protobuf::{Damaged, Field, Fields as Wire};

pub(crate) mod message;

/// What is wrong with a record: the feature where one is to blame, what, and what to do.
pub(crate) type Wrong = (Option<usize>, (String, String));

fn wrong(what: impl Into<String>, help: impl Into<String>) -> Wrong {
    (None, (what.into(), help.into()))
}

fn damaged(what: &str) -> Wrong {
    wrong(format!("the record is damaged: {what}"), "write the object again")
}

impl From<Damaged> for Wrong {
    fn from(Damaged(what): Damaged) -> Wrong {
        damaged(what)
    }
}

/// Numbers of one tensor; with `keys`, only those that are there.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) values: Vec<f32>,
    pub(crate) keys: Vec<u64>,
    pub(crate) shape: Vec<u64>,
    /// Whether a tensor was found.
    pub(crate) is_there: bool,
    /// The element that is no finite number, if any, as text.
    infinite: Option<(usize, String)>,
}

/// One record, in memory that is used for the next one again.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) features: Tensor,
    pub(crate) label: Tensor,
}

/// A record as nearly all are: features in 32 bits, all of them there, packed; a label of the same
/// kind or none. Its numbers stay where they stand until they are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dense<'a> {
    values: &'a [[u8; 4]],
    pub(crate) label: Option<f32>,
}

impl<'a> Dense<'a> {
    /// `None` where [`Record::read`] has to look more closely, mistakes included.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Dense<'a>> {
        let (mut features, mut label) = (None, None);
        let mut wire = Wire { bytes };
        while let Some((number, field)) = wire.next_field().ok()? {
            match (number, field) {
                (1, Field::Bytes(entry)) if features.is_none() => features = Some(packed(entry)?),
                (2, Field::Bytes(entry)) if label.is_none() => label = Some(packed(entry)?),
                (1 | 2, _) => return None,
                _ => {}
            }
        }
        let label = match label {
            None => None,
            Some([one]) => Some(f32::from_le_bytes(*one)),
            Some(_) => return None,
        };
        Some(Dense { values: features?, label })
    }

    /// How many features there are.
    pub(crate) fn count(&self) -> usize {
        self.values.len()
    }

    /// The features behind those that are there.
    pub(crate) fn append_to(&self, into: &mut Vec<f32>) {
        into.extend(self.values.iter().map(|value| f32::from_le_bytes(*value)));
    }
}

/// The numbers of an entry `values → Float32Tensor` that has nothing but packed values.
fn packed(entry: &[u8]) -> Option<&[[u8; 4]]> {
    let value = entry.strip_prefix(b"\x0a\x06values\x12")?;
    let tensor = only(only(value, None)?, Some(0x12))?;
    let (numbers, rest) = only(tensor, Some(0x0a))?.as_chunks::<4>();
    (rest.is_empty() && !numbers.is_empty()).then_some(numbers)
}

/// What a field of this tag holds, if it is all that is there.
fn only(bytes: &[u8], tag: Option<u8>) -> Option<&[u8]> {
    let bytes = match tag {
        Some(tag) => bytes.strip_prefix(&[tag])?,
        None => bytes,
    };
    let mut wire = Wire { bytes };
    let length = wire.varint().ok()?;
    (usize::try_from(length).ok()? == wire.bytes.len()).then_some(wire.bytes)
}

/// How the numbers of a tensor are written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Float32,
    Float64,
    Int32,
}

impl Record {
    /// Reads a message in place of what was there.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        self.features.clear();
        self.label.clear();
        let mut wire = Wire { bytes };
        while let Some((number, field)) = wire.next_field()? {
            match (number, field) {
                (1, Field::Bytes(entry)) => read_entry(entry, &mut self.features, "features")?,
                (2, Field::Bytes(entry)) => read_entry(entry, &mut self.label, "label")?,
                // uid, metadata, configuration, and what later versions may add.
                _ => {}
            }
        }
        Ok(())
    }
}

/// `key → Value`; only the key `values` is read.
fn read_entry(bytes: &[u8], tensor: &mut Tensor, which: &str) -> Result<(), Wrong> {
    let (mut key, mut value): (&[u8], &[u8]) = (b"", b"");
    let mut wire = Wire { bytes };
    while let Some((number, field)) = wire.next_field()? {
        match (number, field) {
            (1, Field::Bytes(found)) => key = found,
            (2, Field::Bytes(found)) => value = found,
            _ => {}
        }
    }
    if key != b"values" {
        return Err(wrong(
            format!("the {which} have the key {} where SageMaker has \"values\"", shown(key)),
            "write the record as sagemaker.amazon.common does, under \"values\"",
        ));
    }
    // A map's key that comes twice replaces what was there.
    tensor.clear();
    tensor.read_value(value, which)
}

impl Tensor {
    fn clear(&mut self) {
        self.values.clear();
        self.keys.clear();
        self.shape.clear();
        self.is_there = false;
        self.infinite = None;
    }

    fn read_value(&mut self, bytes: &[u8], which: &str) -> Result<(), Wrong> {
        let mut wire = Wire { bytes };
        let mut before = None;
        while let Some((number, field)) = wire.next_field()? {
            let kind = match number {
                2 => Kind::Float32,
                3 => Kind::Float64,
                7 => Kind::Int32,
                9 => {
                    let what = format!("the {which} are bytes where numbers belong");
                    return Err(wrong(what, "write them as a tensor of numbers"));
                }
                _ => continue,
            };
            let Field::Bytes(tensor) = field else { return Err(damaged("a tensor is cut")) };
            if before.is_some_and(|before| before != kind) {
                self.clear();
            }
            before = Some(kind);
            self.read_tensor(tensor, kind)?;
            self.is_there = true;
        }
        match &self.infinite {
            Some((at, text)) => {
                let what = format!("{text} is not a finite number");
                let help = "write numbers between -3.4e38 and 3.4e38, NaN where one is missing";
                Err((Some(*at), (what, help.into())))
            }
            None => Ok(()),
        }
    }

    fn read_tensor(&mut self, bytes: &[u8], kind: Kind) -> Result<(), Wrong> {
        let mut wire = Wire { bytes };
        while let Some((number, field)) = wire.next_field()? {
            match number {
                1 => self.read_values(field, kind)?,
                2 => read_whole(&field, &mut self.keys)?,
                3 => read_whole(&field, &mut self.shape)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_values(&mut self, field: Field<'_>, kind: Kind) -> Result<(), Wrong> {
        match (kind, field) {
            (Kind::Float32, Field::Bytes(packed)) => {
                let (chunks, rest) = packed.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(damaged("a number is cut"));
                }
                let before = self.values.len();
                self.values.extend(chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)));
                if let Some(at) = self.values[before..].iter().position(|v| v.is_infinite()) {
                    let text = self.values[before + at].to_string();
                    self.infinite.get_or_insert((before + at, text));
                }
            }
            (Kind::Float64, Field::Bytes(packed)) => {
                let (chunks, rest) = packed.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(damaged("a number is cut"));
                }
                for chunk in chunks {
                    self.push(f64::from_le_bytes(*chunk));
                }
            }
            (Kind::Int32, Field::Bytes(packed)) => {
                let mut wire = Wire { bytes: packed };
                while !wire.bytes.is_empty() {
                    let value = wire.varint()?;
                    self.values.push(value as i32 as f32);
                }
            }
            (Kind::Float32, Field::Fixed32(bytes)) => {
                self.push(f64::from(f32::from_le_bytes(bytes)));
            }
            (Kind::Float64, Field::Fixed64(bytes)) => self.push(f64::from_le_bytes(bytes)),
            (Kind::Int32, Field::Varint(value)) => self.values.push(value as i32 as f32),
            _ => return Err(damaged("numbers are not what their tensor says")),
        }
        Ok(())
    }

    fn push(&mut self, value: f64) {
        let narrow = value as f32;
        if narrow.is_infinite() {
            self.infinite.get_or_insert((self.values.len(), format!("{value:e}")));
        }
        self.values.push(narrow);
    }

    /// How many numbers the shape says there are.
    pub(crate) fn shape_product(&self) -> Option<u64> {
        let product = |total: u64, next: &u64| total.checked_mul(*next);
        self.shape.iter().try_fold(1, product).filter(|_| !self.shape.is_empty())
    }

    /// Whether cells are left out: keys are there, or a shape beside no values at all.
    pub(crate) fn is_sparse(&self) -> bool {
        let says_more = self.shape_product().is_some_and(|product| product > 0);
        !self.keys.is_empty() || (self.values.is_empty() && says_more)
    }

    /// How many features the row has, the ones left out counted.
    pub(crate) fn width(&self) -> Result<usize, Wrong> {
        let found = self.values.len();
        if !self.is_there {
            return Err(wrong("the record has no features", "put a tensor under \"values\""));
        }
        let says = self.shape_product();
        if !self.is_sparse() {
            return match says {
                Some(product) if product != found as u64 => Err(wrong(
                    format!("the shape says {product} numbers and {found} are there"),
                    "leave the shape of dense features out, or make it right",
                )),
                _ => Ok(found),
            };
        }
        if self.keys.len() != found {
            let what = format!("{} keys stand beside {found} values", self.keys.len());
            return Err(wrong(what, "give one key for each value"));
        }
        let help = "sparse features need keys and values of one length, and a shape";
        match says {
            Some(product) => usize::try_from(product)
                .map_err(|_| wrong(format!("the shape says {product} numbers"), help)),
            None => Err(wrong("sparse features have no shape", help)),
        }
    }
}

fn read_whole(field: &Field<'_>, into: &mut Vec<u64>) -> Result<(), Wrong> {
    match field {
        Field::Varint(value) => into.push(*value),
        Field::Bytes(packed) => {
            let mut wire = Wire { bytes: packed };
            while !wire.bytes.is_empty() {
                into.push(wire.varint()?);
            }
        }
        _ => return Err(damaged("a key or a shape is not a whole number")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::message::{self, Value};
    use super::*;

    fn read(bytes: &[u8]) -> Result<Record, String> {
        let mut record = Record::default();
        record.read(bytes).map(|()| record).map_err(|(_, (what, _))| what)
    }

    proptest! {
        #[test]
        fn what_prost_writes_is_read_as_it_was(
            values in prop::collection::vec(prop_oneof![-1e30f32..1e30, Just(f32::NAN)], 0..40),
            keys in prop::collection::vec(any::<u64>(), 0..9),
            shape in prop::collection::vec(any::<u64>(), 0..3),
            whole in prop::collection::vec(any::<i32>(), 0..9),
            kind in 0..3,
        ) {
            let value = match kind {
                0 => Value::float32(values.clone(), keys.clone(), shape.clone()),
                1 => Value::float64(values.iter().map(|v| f64::from(*v)).collect(), keys.clone(), shape.clone()),
                _ => Value::int32(whole.clone(), keys.clone(), shape.clone()),
            };
            let expected: Vec<f32> =
                if kind == 2 { whole.iter().map(|v| *v as f32).collect() } else { values.clone() };
            let record = message::Record::of(value, Some(Value::float32(vec![1.5], vec![], vec![])));
            let bytes = record.encode_to_vec();
            let found = read(&bytes).unwrap();
            if let Some(dense) = Dense::read(&bytes) {
                let mut quick = Vec::new();
                dense.append_to(&mut quick);
                let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&quick), bits(&found.features.values));
                prop_assert_eq!((dense.label, kind), (Some(1.5), 0));
                prop_assert!(keys.is_empty() && shape.is_empty());
            } else {
                prop_assert!(kind > 0 || values.is_empty() || !keys.is_empty() || !shape.is_empty());
            }
            let bits = |values: &[f32]| values.iter().map(|v| if v.is_nan() { 1 } else { v.to_bits() }).collect::<Vec<_>>();
            prop_assert_eq!(bits(&found.features.values), bits(&expected));
            prop_assert_eq!(&found.features.keys, &keys);
            prop_assert_eq!(&found.features.shape, &shape);
            prop_assert_eq!(found.label.values, [1.5]);
        }

        #[test]
        fn strange_records_are_refused_or_read_as_prost_reads_them(
            bytes in prop::collection::vec(prop_oneof![
                4 => prop::sample::select(vec![10u8, 18, 26, 8, 6, 118, 97, 108, 117, 101, 115, 0, 1, 2, 4, 58]),
                1 => any::<u8>(),
            ], 0..60),
        ) {
            if let Ok(found) = read(&bytes) && let Ok(peer) = message::Record::decode(&bytes[..]) {
                let tensor = peer.features.get("values").and_then(Value::as_float32);
                if let Some(tensor) = tensor {
                    prop_assert_eq!(found.features.values.len(), tensor.values.len());
                }
            }
        }
    }

    #[test]
    fn numbers_that_are_not_packed_are_read_too() {
        // features { "values": float32_tensor { values: 1.0, values: 2.0 } }, tag 13 = field 1, fixed32.
        let tensor = [13, 0, 0, 128, 63, 13, 0, 0, 0, 64];
        let mut entry = vec![10, 6];
        entry.extend(b"values");
        entry.extend([18, tensor.len() as u8 + 2, 18, tensor.len() as u8]);
        entry.extend(tensor);
        let mut record = vec![10, entry.len() as u8];
        record.extend(entry);
        assert_eq!(read(&record).unwrap().features.values, [1.0, 2.0]);
        let peer = message::Record::decode(&record[..]).unwrap();
        assert_eq!(peer.features["values"].as_float32().unwrap().values, [1.0, 2.0]);
    }
}
