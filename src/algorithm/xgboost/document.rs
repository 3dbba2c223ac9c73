//! A tree of values, read from and written to JSON and UBJSON as XGBoost writes them.
//!
//! UBJSON (draft 12) is read with typed and counted arrays; its keys and lengths are big-endian.
//! Readers face strangers' bytes: depth is bounded, a length is checked against the bytes left
//! before anything is set aside for it, and lists of numbers are kept packed. What a document
//! means is not decided here.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::algorithm::Error;

/// Values inside values; XGBoost's models need seven.
const DEPTH_MAX: usize = 32;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list of numbers only.
    Numbers(Vec<f64>),
    /// A typed list of UBJSON.
    Floats(Vec<f32>),
    /// A typed list of UBJSON.
    Integers(Vec<i32>),
    /// A typed list of UBJSON.
    Long(Vec<i64>),
    /// A typed list of UBJSON.
    Bytes(Vec<u8>),
    /// A typed list of UBJSON.
    Signed(Vec<i8>),
    /// Any other list.
    List(Vec<Value>),
    /// Values by name.
    Table(BTreeMap<String, Value>),
}

impl Value {
    /// An empty table to be filled.
    pub fn table<const N: usize>(entries: [(&str, Value); N]) -> Value {
        Value::Table(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Text.
    pub fn text(text: impl fmt::Display) -> Value {
        Value::Text(text.to_string())
    }

    /// The value under `name`.
    ///
    /// # Errors
    /// `Error::Corrupt` naming it when it is not there, or this is not a table.
    pub fn field(&self, name: &str) -> Result<&Value, Error> {
        self.find(name).ok_or_else(|| Error::Corrupt(format!("the model lacks {name:?}")))
    }

    /// The value under `name`, if any.
    pub fn find(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Table(entries) => entries.get(name),
            _ => None,
        }
    }

    /// As text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// As a list of values; packed lists are none.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(items) => Some(items),
            Value::Numbers(items) if items.is_empty() => Some(&[]),
            _ => None,
        }
    }

    /// As numbers, whatever the list's type.
    pub fn as_numbers(&self) -> Option<Vec<f64>> {
        Some(match self {
            Value::Numbers(items) => items.clone(),
            Value::Floats(items) => items.iter().map(|item| f64::from(*item)).collect(),
            Value::Integers(items) => items.iter().map(|item| f64::from(*item)).collect(),
            Value::Long(items) => items.iter().map(|item| *item as f64).collect(),
            Value::Bytes(items) => items.iter().map(|item| f64::from(*item)).collect(),
            Value::Signed(items) => items.iter().map(|item| f64::from(*item)).collect(),
            Value::List(items) => items.iter().map(Value::as_number).collect::<Option<_>>()?,
            _ => return None,
        })
    }

    /// As one number; a truth value is 0 or 1.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Integer(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            Value::Boolean(truth) => Some(f64::from(u8::from(*truth))),
            _ => None,
        }
    }
}

/// Reads a document that is JSON or UBJSON; which, the bytes say.
///
/// # Errors
/// `Error::Corrupt` when it is neither, cut short, or nested too deep.
pub fn read(bytes: &[u8]) -> Result<Value, Error> {
    if bytes.first() != Some(&b'{') {
        return Err(Error::Corrupt(match bytes.first() {
            Some(0x80) => "the model is a Python pickle, which smrt never opens: it can run any \
                           code; load it in Python and save it with `Booster.save_model`"
                .to_owned(),
            Some(b'b') if bytes.starts_with(b"binf") => OLD.to_owned(),
            _ => format!("the model is neither XGBoost's JSON nor its UBJSON; {OLD}"),
        }));
    }
    // In UBJSON a key's length marker follows the brace, in JSON a quote, a space or the end.
    match bytes.get(1) {
        Some(b'"' | b'}' | b' ' | b'\n' | b'\r' | b'\t') => read_json(bytes),
        _ => read_ubjson(bytes),
    }
}

const OLD: &str = "a model in XGBoost's old binary format must be loaded in Python with \
                   XGBoost below 3.1 and saved again with `save_model(\"model.ubj\")`";

/// Reads JSON.
///
/// # Errors
/// `Error::Corrupt` naming line and column.
pub fn read_json(bytes: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::Corrupt(format!("the model is not whole JSON: {error}")))
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Value, D::Error> {
        from.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Boolean(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Value, E> {
        i64::try_from(number).map(Value::Integer).map_err(|_| E::custom("a number is too large"))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut numbers = Vec::new();
        while let Some(item) = items.next_element::<Value>()? {
            match item {
                Value::Integer(number) => numbers.push(number as f64),
                Value::Float(number) => numbers.push(number),
                other if numbers.is_empty() => {
                    let mut list = vec![other];
                    while let Some(item) = items.next_element()? {
                        list.push(item);
                    }
                    return Ok(Value::List(list));
                }
                _ => return Err(A::Error::custom("a list mixes numbers with other values")),
            }
        }
        Ok(Value::Numbers(numbers))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut table = BTreeMap::new();
        while let Some((name, value)) = entries.next_entry::<String, Value>()? {
            if table.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands twice"));
            }
        }
        Ok(Value::Table(table))
    }
}

/// Reads UBJSON.
///
/// # Errors
/// `Error::Corrupt` naming the byte where it stops making sense.
pub fn read_ubjson(bytes: &[u8]) -> Result<Value, Error> {
    let mut cursor = Cursor { bytes, at: 0 };
    let value = cursor.value(0)?;
    if cursor.at != bytes.len() {
        return Err(cursor.fault("bytes follow its end"));
    }
    Ok(value)
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn fault(&self, what: &str) -> Error {
        Error::Corrupt(format!("the model is not whole UBJSON: {what} at byte {}", self.at))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else { return Err(self.fault("it is cut short")) };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("as many bytes were taken"))
    }

    fn marker(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn integer(&mut self, marker: u8) -> Result<i64, Error> {
        Ok(match marker {
            b'i' => i64::from(i8::from_be_bytes(self.array()?)),
            b'U' => i64::from(self.marker()?),
            b'I' => i64::from(i16::from_be_bytes(self.array()?)),
            b'l' => i64::from(i32::from_be_bytes(self.array()?)),
            b'L' => i64::from_be_bytes(self.array()?),
            _ => return Err(self.fault("a whole number is expected")),
        })
    }

    /// A count of things that take at least `each` bytes.
    fn count(&mut self, each: usize) -> Result<usize, Error> {
        let marker = self.marker()?;
        let count = self.integer(marker)?;
        let left = self.bytes.len() - self.at;
        usize::try_from(count)
            .ok()
            .filter(|count| count.checked_mul(each).is_some_and(|bytes| bytes <= left))
            .ok_or_else(|| self.fault("a length does not fit the bytes that follow"))
    }

    fn string(&mut self) -> Result<String, Error> {
        let count = self.count(1)?;
        let bytes = self.take(count)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.fault("text is not UTF-8"))?;
        Ok(text.to_owned())
    }

    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        let marker = self.marker()?;
        self.value_of(marker, depth)
    }

    fn value_of(&mut self, marker: u8, depth: usize) -> Result<Value, Error> {
        if depth > DEPTH_MAX {
            return Err(self.fault("values are nested too deep"));
        }
        Ok(match marker {
            b'{' => self.table(depth)?,
            b'[' => self.list(depth)?,
            b'Z' => Value::Null,
            b'T' => Value::Boolean(true),
            b'F' => Value::Boolean(false),
            b'd' => Value::Float(f64::from(f32::from_be_bytes(self.array()?))),
            b'D' => Value::Float(f64::from_be_bytes(self.array()?)),
            b'S' | b'H' => Value::Text(self.string()?),
            b'C' => Value::Text(char::from(self.marker()?).to_string()),
            integer => Value::Integer(self.integer(integer)?),
        })
    }

    fn table(&mut self, depth: usize) -> Result<Value, Error> {
        let mut table = BTreeMap::new();
        loop {
            if self.peek() == Some(b'}') {
                self.at += 1;
                return Ok(Value::Table(table));
            }
            let name = self.string()?;
            let value = self.value(depth + 1)?;
            if table.insert(name, value).is_some() {
                return Err(self.fault("a name stands twice"));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, Error> {
        match self.peek() {
            Some(b'$') => {
                self.at += 1;
                let kind = self.marker()?;
                if self.marker()? != b'#' {
                    return Err(self.fault("a typed list has no length"));
                }
                self.typed(kind)
            }
            Some(b'#') => {
                self.at += 1;
                let count = self.count(1)?;
                let mut items = Vec::new();
                for _ in 0..count {
                    items.push(self.value(depth + 1)?);
                }
                Ok(Value::List(items))
            }
            _ => {
                let mut items = Vec::new();
                loop {
                    match self.marker()? {
                        b']' => return Ok(Value::List(items)),
                        marker => items.push(self.value_of(marker, depth + 1)?),
                    }
                }
            }
        }
    }

    fn typed(&mut self, kind: u8) -> Result<Value, Error> {
        let each = match kind {
            b'i' | b'U' => 1,
            b'I' => 2,
            b'l' | b'd' => 4,
            b'L' | b'D' => 8,
            _ => return Err(self.fault("a typed list is of an unknown type")),
        };
        let count = self.count(each)?;
        let bytes = self.take(count * each)?;
        Ok(match kind {
            b'U' => Value::Bytes(bytes.to_vec()),
            b'i' => Value::Signed(bytes.iter().map(|b| b.cast_signed()).collect()),
            b'I' => Value::Numbers(
                bytes.as_chunks().0.iter().map(|b| f64::from(i16::from_be_bytes(*b))).collect(),
            ),
            b'l' => Value::Integers(
                bytes.as_chunks().0.iter().map(|b| i32::from_be_bytes(*b)).collect(),
            ),
            b'L' => {
                Value::Long(bytes.as_chunks().0.iter().map(|b| i64::from_be_bytes(*b)).collect())
            }
            b'd' => {
                Value::Floats(bytes.as_chunks().0.iter().map(|b| f32::from_be_bytes(*b)).collect())
            }
            _ => {
                Value::Numbers(bytes.as_chunks().0.iter().map(|b| f64::from_be_bytes(*b)).collect())
            }
        })
    }
}

/// Writes UBJSON as XGBoost's `save_model` does.
pub fn write_ubjson(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    put(value, &mut out);
    out
}

fn put_length(length: usize, out: &mut Vec<u8>) {
    out.push(b'L');
    out.extend((length as i64).to_be_bytes());
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    put_length(text.len(), out);
    out.extend(text.as_bytes());
}

fn put_typed<const N: usize, T: Copy>(
    kind: u8,
    items: &[T],
    bytes: impl Fn(T) -> [u8; N],
    out: &mut Vec<u8>,
) {
    out.extend([b'[', b'$', kind, b'#']);
    put_length(items.len(), out);
    items.iter().for_each(|item| out.extend(bytes(*item)));
}

fn put_integer(number: i64, out: &mut Vec<u8>) {
    if let Ok(number) = i8::try_from(number) {
        out.push(b'i');
        out.extend(number.to_be_bytes());
    } else if let Ok(number) = i16::try_from(number) {
        out.push(b'I');
        out.extend(number.to_be_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        out.push(b'l');
        out.extend(number.to_be_bytes());
    } else {
        out.push(b'L');
        out.extend(number.to_be_bytes());
    }
}

fn put(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(b'Z'),
        Value::Boolean(truth) => out.push(if *truth { b'T' } else { b'F' }),
        Value::Integer(number) => put_integer(*number, out),
        Value::Float(number) => {
            out.push(b'D');
            out.extend(number.to_be_bytes());
        }
        Value::Text(text) => {
            out.push(b'S');
            put_text(text, out);
        }
        Value::Numbers(items) => put_typed(b'D', items, f64::to_be_bytes, out),
        Value::Floats(items) => put_typed(b'd', items, f32::to_be_bytes, out),
        Value::Integers(items) => put_typed(b'l', items, i32::to_be_bytes, out),
        Value::Long(items) => put_typed(b'L', items, i64::to_be_bytes, out),
        Value::Bytes(items) => put_typed(b'U', items, |item| [item], out),
        Value::Signed(items) => put_typed(b'i', items, i8::to_be_bytes, out),
        Value::List(items) => {
            out.extend([b'[', b'#']);
            put_length(items.len(), out);
            items.iter().for_each(|item| put(item, out));
        }
        Value::Table(entries) => {
            out.push(b'{');
            for (name, value) in entries {
                put_text(name, out);
                put(value, out);
            }
            out.push(b'}');
        }
    }
}

/// Writes JSON; numbers in the shortest form that reads back as the same f32 or f64.
pub fn write_json(value: &Value) -> Vec<u8> {
    serde_json::to_vec(&Json(value)).expect("values are finite and names are text")
}

struct Json<'a>(&'a Value);

impl serde::Serialize for Json<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => to.serialize_unit(),
            Value::Boolean(truth) => to.serialize_bool(*truth),
            Value::Integer(number) => to.serialize_i64(*number),
            Value::Float(number) => to.serialize_f64(*number),
            Value::Text(text) => to.serialize_str(text),
            Value::Numbers(items) => to.collect_seq(items),
            Value::Floats(items) => to.collect_seq(items),
            Value::Integers(items) => to.collect_seq(items),
            Value::Long(items) => to.collect_seq(items),
            Value::Bytes(items) => to.collect_seq(items),
            Value::Signed(items) => to.collect_seq(items),
            Value::List(items) => to.collect_seq(items.iter().map(Json)),
            Value::Table(entries) => {
                to.collect_map(entries.iter().map(|(name, value)| (name, Json(value))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Value {
        Value::table([
            ("a", Value::Integer(-70_000)),
            ("b", Value::Floats(vec![0.1, -2.5e-20])),
            ("c", Value::Integers(vec![i32::MIN, 7])),
            ("d", Value::Bytes(vec![0, 1, 255])),
            ("e", Value::List(vec![Value::text("x"), Value::Null, Value::Boolean(true)])),
            ("f", Value::table([("g", Value::Float(0.25))])),
        ])
    }

    #[test]
    fn what_is_written_is_read_in_both_forms() {
        let value = sample();
        assert_eq!(read(&write_ubjson(&value)).unwrap(), value);
        let read = read(&write_json(&value)).unwrap();
        assert_eq!(read.find("b").unwrap().as_numbers().unwrap()[0] as f32, 0.1);
        assert_eq!(read.find("c").unwrap().as_numbers().unwrap(), [f64::from(i32::MIN), 7.0]);
        assert_eq!(read.find("e").unwrap(), value.find("e").unwrap());
    }

    #[test]
    fn every_truncation_and_changed_byte_is_an_answer() {
        for bytes in [write_ubjson(&sample()), write_json(&sample())] {
            for length in 0..bytes.len() {
                assert!(read(&bytes[..length]).is_err(), "{length}");
            }
            for at in 0..bytes.len() {
                for flip in [0x01, 0x10, 0x80, 0xff] {
                    let mut changed = bytes.clone();
                    changed[at] ^= flip;
                    let _ = read(&changed);
                }
            }
        }
    }

    #[test]
    fn hostile_documents_are_refused_before_memory_is_set_aside() {
        let deep: Vec<u8> = [b"{i\x01a".to_vec(), vec![b'['; 1 << 20]].concat();
        assert!(read(&deep).unwrap_err().to_string().contains("too deep"));
        let json: Vec<u8> = [b"{\"a\":".to_vec(), vec![b'['; 1 << 20]].concat();
        assert!(read(&json).is_err());
        let huge = b"{i\x01a[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff".to_vec();
        assert!(read(&huge).unwrap_err().to_string().contains("does not fit"));
        let many = b"{i\x01a[#L\x00\x00\x00\xff\xff\xff\xff\xff".to_vec();
        assert!(read(&many).is_err());
    }

    #[test]
    fn a_pickle_and_the_old_format_are_refused_with_the_way_out() {
        let pickle = read(b"\x80\x04\x95ccopy_reg").unwrap_err().to_string();
        assert!(pickle.contains("pickle") && pickle.contains("save_model"));
        let old = read(b"binf\0\0\0\0").unwrap_err().to_string();
        assert!(old.contains("save_model"));
    }
}
