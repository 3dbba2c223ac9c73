//! `ModelInferRequest` of the Open Inference Protocol's `inference.proto`, read from the wire.
//!
//! Elements come typed (`contents`) or, as clients send them, as bytes (`raw_input_contents`).
//! Parameters are passed over: none of them means anything here.

use std::borrow::Cow;

use super::DataType;
use super::request::{Elements, Input, Parameters, Wanted, how, takes_tensors, tensors, wrong};
use crate::data::error::Error;
use crate::data::protobuf::{Damaged, Field, Fields, text};
use crate::data::request::{Limits, finite};
use crate::data::schema::Signature;
use crate::spec::limit::OUTPUTS_WANTED_MAX;

/// Dimensions of a shape; a tensor here has two.
const DIMENSIONS_MAX: usize = 8;

impl From<Damaged> for Error {
    fn from(Damaged(what): Damaged) -> Error {
        wrong(format!("this is no inference request: {what}"), "send a ModelInferRequest")
    }
}

/// The model and the version that a request names.
///
/// # Errors
/// [`Error::Request`] when it is no request.
pub fn model_of(message: &[u8]) -> Result<(&str, &str), Error> {
    let fields = Fields { bytes: message };
    Ok((fields.text(1)?, fields.text(2)?))
}

/// Appends the rows of a `ModelInferRequest` to `values`, row after row; returns how many, and what
/// is wanted.
///
/// # Errors
/// As [`super::decode`]. `values` is then as it was.
pub fn decode_message(
    message: &[u8],
    signature: &Signature,
    limits: &Limits,
    values: &mut Vec<f32>,
) -> Result<(usize, Wanted), Error> {
    takes_tensors(signature)?;
    let mut wanted = Wanted { binary: true, ..Wanted::default() };
    let (mut inputs, mut raw) = (Vec::new(), Vec::new());
    let mut fields = Fields { bytes: message };
    // An empty one takes two bytes to send and many to hold.
    let inputs_max = signature.features.max(1);
    while let Some((number, field)) = fields.next_field()? {
        match (number, field) {
            (3, field) => wanted.id = Some(text(field)?.to_owned()).filter(|id| !id.is_empty()),
            (5 | 7, _) if inputs.len() > inputs_max || raw.len() > inputs_max => {
                return Err(wrong("there are more inputs than columns", how(signature)));
            }
            (5, Field::Bytes(bytes)) => inputs.push(input(bytes)?),
            (6, Field::Bytes(bytes)) if wanted.outputs.len() < OUTPUTS_WANTED_MAX => {
                wanted.outputs.push((Fields { bytes }.text(1)?.to_owned(), true));
            }
            (6, _) => return Err(wrong("too many outputs are wanted", "name each once")),
            (7, Field::Bytes(bytes)) => raw.push(bytes),
            _ => {}
        }
    }
    if !raw.is_empty() {
        if raw.len() != inputs.len() {
            let what = format!("{} raw contents stand beside {} inputs", raw.len(), inputs.len());
            return Err(wrong(what, "send one for each input, in their order"));
        }
        for (input, raw) in inputs.iter_mut().zip(raw) {
            input.raw = Some(raw);
            if input.data.is_some() {
                let what = format!("input {} has data twice", input.name);
                return Err(wrong(what, "send contents or raw_input_contents"));
            }
        }
    }
    let before = values.len();
    let rows = tensors(inputs, &[], signature, limits, values);
    let rows = rows.and_then(|rows| finite(&values[before..], signature.features).map(|()| rows));
    rows.map(|rows| (rows, wanted)).inspect_err(|_| values.truncate(before))
}

/// An `InferInputTensor`.
fn input(bytes: &[u8]) -> Result<Input<'_>, Error> {
    let (mut name, mut datatype, mut shape, mut contents) = ("", "", Vec::new(), None);
    let mut fields = Fields { bytes };
    while let Some((number, field)) = fields.next_field()? {
        match (number, field) {
            (1, field) => name = text(field)?,
            (2, field) => datatype = text(field)?,
            (3, Field::Varint(size)) => shape.push(size),
            (3, Field::Bytes(packed)) => {
                let mut packed = Fields { bytes: packed };
                while !packed.bytes.is_empty() && shape.len() <= DIMENSIONS_MAX {
                    shape.push(packed.varint()?);
                }
            }
            (5, Field::Bytes(bytes)) => contents = Some(bytes),
            _ => {}
        }
        if shape.len() > DIMENSIONS_MAX {
            return Err(wrong(format!("input {name} has too many dimensions"), "send two"));
        }
    }
    let data = match contents.filter(|bytes| !bytes.is_empty()) {
        Some(bytes) => Some(elements(name, datatype, bytes)?),
        None => None,
    };
    let (name, datatype) = (Cow::Borrowed(name), Cow::Borrowed(datatype));
    Ok(Input { name, shape, datatype, parameters: Parameters::default(), data, raw: None })
}

/// `InferTensorContents`: one of its lists, the one for the tensor's type.
fn elements(name: &str, datatype: &str, bytes: &[u8]) -> Result<Elements, Error> {
    let own = match DataType::parse(datatype) {
        Some(DataType::Bool) => 1,
        Some(DataType::Int(8)) => 3,
        Some(DataType::Int(_)) => 2,
        Some(DataType::Uint(8)) => 5,
        Some(DataType::Uint(_)) => 4,
        Some(DataType::Fp(8)) => 7,
        Some(DataType::Fp(_)) => 6,
        Some(DataType::Bytes) => 8,
        // Said where types are checked.
        None => return Ok(Elements::default()),
    };
    let mut elements = Elements::default();
    let mut fields = Fields { bytes };
    while let Some((number, field)) = fields.next_field()? {
        if number != own {
            let what = format!("input {name} is {datatype} and its contents are of another type");
            return Err(wrong(what, "put them into the list of their type"));
        }
        match (own, field) {
            (8, Field::Bytes(word)) => elements
                .word(std::str::from_utf8(word).map_err(|_| Damaged("a word is not UTF-8"))?),
            (6, Field::Fixed32(bytes)) => elements.number(f32::from_le_bytes(bytes)),
            (7, Field::Fixed64(bytes)) => elements.number(f64::from_le_bytes(bytes) as f32),
            (6, Field::Bytes(packed)) => {
                let (numbers, rest) = packed.as_chunks();
                if !rest.is_empty() {
                    return Err(Damaged("a number is cut").into());
                }
                numbers.iter().for_each(|bytes| elements.number(f32::from_le_bytes(*bytes)));
            }
            (7, Field::Bytes(packed)) => {
                let (numbers, rest) = packed.as_chunks();
                if !rest.is_empty() {
                    return Err(Damaged("a number is cut").into());
                }
                numbers.iter().for_each(|bytes| elements.number(f64::from_le_bytes(*bytes) as f32));
            }
            (1..=5, Field::Varint(value)) => elements.number(whole(own, value)),
            (1..=5, Field::Bytes(packed)) => {
                let mut packed = Fields { bytes: packed };
                while !packed.bytes.is_empty() {
                    elements.number(whole(own, packed.varint()?));
                }
            }
            _ => return Err(Damaged("contents are not of their type").into()),
        }
    }
    Ok(elements)
}

/// A whole number of the list with this field number.
fn whole(list: u64, value: u64) -> f32 {
    match list {
        1 => f32::from(u8::from(value != 0)),
        2 => value as i32 as f32,
        3 => value as i64 as f32,
        4 => value as u32 as f32,
        _ => value as f32,
    }
}
