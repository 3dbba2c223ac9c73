//! The usual inference request read by hand: one tensor of numbers for all rows, in JSON or behind
//! it. Elements go straight to where the rows are wanted, without an allocation for any of them.
//! Anything else, mistakes included, is left to [`super::request`], which must agree on whatever is
//! read here.

use super::DataType;
use super::request::{Wanted, unpack};
use crate::data::number;
use crate::data::schema::Signature;

/// Appends the rows of a request to `values`; how many, and what is wanted. `None` when it deserves
/// the general parser; then `values` is as it was.
pub(super) fn request(
    json: &[u8],
    binary: &[u8],
    signature: &Signature,
    rows_max: usize,
    values: &mut Vec<f32>,
) -> Option<(usize, Wanted)> {
    if !signature.categories.is_empty() || signature.features == 0 {
        return None;
    }
    let before = values.len();
    let read = Scan { json, at: 0 }.document(binary, signature, rows_max, values);
    if read.is_none() {
        values.truncate(before);
    }
    read
}

/// Where in the JSON one stands.
struct Scan<'a> {
    json: &'a [u8],
    at: usize,
}

/// The one input, as far as it was read.
#[derive(Default)]
struct Input<'a> {
    name: Option<&'a str>,
    kind: Option<DataType>,
    /// One dimension, or two.
    shape: Option<(u64, Option<u64>)>,
    /// Elements in the JSON.
    found: Option<usize>,
    /// Bytes behind it.
    size: Option<u64>,
}

/// Sets what may stand there once.
fn once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

impl<'a> Scan<'a> {
    fn document(
        mut self,
        binary: &[u8],
        signature: &Signature,
        rows_max: usize,
        values: &mut Vec<f32>,
    ) -> Option<(usize, Wanted)> {
        let (mut id, mut all, mut input, mut outputs) = (None, None, None, None);
        self.object(|scan, key| match key {
            "id" => once(&mut id, scan.text()?.to_owned()),
            "inputs" => {
                scan.token(b'[')?;
                once(&mut input, scan.input(values)?)?;
                scan.token(b']')
            }
            "outputs" => once(&mut outputs, scan.outputs()?),
            "parameters" => scan.object(|scan, key| match key {
                "binary_data_output" => once(&mut all, scan.truth()?),
                _ => None,
            }),
            _ => None,
        })?;
        self.blank();
        if self.at != self.json.len() {
            return None;
        }
        let rows = input?.rows(binary, signature, values).filter(|rows| *rows <= rows_max)?;
        let all = all.unwrap_or(false);
        let each = |(name, binary): (String, Option<bool>)| (name, binary.unwrap_or(all));
        let outputs = outputs.unwrap_or_default().into_iter().map(each).collect();
        Some((rows, Wanted { id, outputs, binary: all, timeout: None }))
    }

    fn input(&mut self, values: &mut Vec<f32>) -> Option<Input<'a>> {
        let mut input = Input::default();
        self.object(|scan, key| match key {
            "name" => once(&mut input.name, scan.text()?),
            "datatype" => once(&mut input.kind, DataType::parse(scan.text()?)?),
            "shape" => once(&mut input.shape, scan.shape()?),
            "data" => once(&mut input.found, scan.elements(values)?),
            "parameters" => scan.object(|scan, key| match key {
                "binary_data_size" => once(&mut input.size, scan.whole()?),
                _ => None,
            }),
            _ => None,
        })?;
        Some(input)
    }

    fn outputs(&mut self) -> Option<Vec<(String, Option<bool>)>> {
        let mut outputs = Vec::new();
        self.token(b'[')?;
        loop {
            let (mut name, mut binary) = (None, None);
            self.object(|scan, key| match key {
                "name" => once(&mut name, scan.text()?.to_owned()),
                "parameters" => scan.object(|scan, key| match key {
                    "binary_data" => once(&mut binary, scan.truth()?),
                    _ => None,
                }),
                _ => None,
            })?;
            outputs.push((name?, binary));
            if self.token(b',').is_none() {
                break;
            }
        }
        self.token(b']')?;
        Some(outputs)
    }

    /// One or two whole numbers.
    fn shape(&mut self) -> Option<(u64, Option<u64>)> {
        self.token(b'[')?;
        let first = self.whole()?;
        let second = match self.token(b',') {
            Some(()) => Some(self.whole()?),
            None => None,
        };
        self.token(b']')?;
        Some((first, second))
    }

    /// A list of numbers, or of lists of them; how many there were.
    fn elements(&mut self, values: &mut Vec<f32>) -> Option<usize> {
        let before = values.len();
        self.token(b'[')?;
        if self.next() != Some(b'[') {
            self.list(values)?;
            return Some(values.len() - before);
        }
        loop {
            self.token(b'[')?;
            self.list(values)?;
            if self.token(b',').is_none() {
                break;
            }
        }
        self.token(b']')?;
        Some(values.len() - before)
    }

    /// The rest of a list of numbers behind its bracket.
    fn list(&mut self, values: &mut Vec<f32>) -> Option<()> {
        loop {
            self.blank();
            let value = match number::scan_narrowed(self.json, self.at) {
                Some((value, end)) if !self.has_leading_zero() => {
                    self.at = end;
                    value
                }
                _ => {
                    self.word(b"null")?;
                    f32::NAN
                }
            };
            values.push(value);
            match self.next()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// JSON does not allow `01`.
    fn has_leading_zero(&self) -> bool {
        let digits = self.json.get(self.at..).unwrap_or_default();
        let digits = digits.strip_prefix(b"-").unwrap_or(digits);
        matches!(digits, [b'0', b'0'..=b'9', ..])
    }

    fn whole(&mut self) -> Option<u64> {
        self.blank();
        let leading_zero = self.has_leading_zero();
        let (value, end) = number::whole(self.json, self.at)?;
        self.at = end;
        // So many digits always fit.
        (!leading_zero && value < 1 << 53).then_some(value)
    }

    fn truth(&mut self) -> Option<bool> {
        match self.next()? {
            b't' => self.word(b"true").map(|()| true),
            _ => self.word(b"false").map(|()| false),
        }
    }

    /// A text without escapes.
    fn text(&mut self) -> Option<&'a str> {
        self.token(b'"')?;
        let rest = &self.json[self.at..];
        let end = memchr::memchr2(b'"', b'\\', rest).filter(|end| rest[*end] == b'"')?;
        let text = &rest[..end];
        if text.iter().any(|byte| *byte < 0x20) {
            return None;
        }
        self.at += end + 1;
        std::str::from_utf8(text).ok()
    }

    /// An object; `each` reads the value of a key.
    fn object(&mut self, mut each: impl FnMut(&mut Scan<'a>, &'a str) -> Option<()>) -> Option<()> {
        self.token(b'{')?;
        loop {
            let key = self.text()?;
            self.token(b':')?;
            each(self, key)?;
            match self.next()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let found = self.json.get(self.at..)?.starts_with(word);
        self.at += word.len();
        found.then_some(())
    }

    fn token(&mut self, token: u8) -> Option<()> {
        let found = self.next() == Some(token);
        self.at += usize::from(found);
        found.then_some(())
    }

    /// The next byte that is not blank.
    fn next(&mut self) -> Option<u8> {
        self.blank();
        self.json.get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.json.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }
}

impl Input<'_> {
    /// Checks what was read against its shape, and takes what stands behind the JSON.
    fn rows(self, binary: &[u8], signature: &Signature, values: &mut Vec<f32>) -> Option<usize> {
        let features = signature.features;
        let (name, kind) = (self.name?, self.kind.filter(|kind| *kind != DataType::Bytes)?);
        if signature.columns.iter().any(|column| column == name) {
            return None;
        }
        let rows = match self.shape? {
            (rows, Some(width)) if width == features as u64 => rows,
            (rows, None) if features == 1 => rows,
            (width, None) if width == features as u64 => 1,
            _ => return None,
        };
        let rows = usize::try_from(rows).ok().filter(|rows| *rows > 0)?;
        let count = rows.checked_mul(features)?;
        match (self.found, self.size) {
            (Some(found), None) if found == count && binary.is_empty() => Some(rows),
            (None, Some(size)) if size == binary.len() as u64 => {
                let before = values.len();
                unpack(binary, kind, count, values)?;
                let is_finite = !values[before..].iter().any(|value| value.is_infinite());
                is_finite.then_some(rows)
            }
            _ => None,
        }
    }
}
