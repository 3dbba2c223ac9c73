//! A request's body to rows for a model, and what it wants back.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{SeqAccess, Visitor};

use super::{DataType, scan};
use crate::data::error::{Error, shown};
use crate::data::request::{Limits, finite};
use crate::data::schema::{Cells, Signature};

/// What a request wants of its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Comes back as it was sent.
    pub id: Option<String>,
    /// The tensors by name, and whether each is to be binary; all of them when empty.
    pub outputs: Vec<(String, bool)>,
    /// Whether tensors that are not named are to be binary.
    pub binary: bool,
    /// How long its caller waits (Triton's parameter `timeout`, in microseconds).
    pub timeout: Option<Duration>,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parameters: Parameters,
    #[serde(borrow)]
    inputs: Vec<Input<'a>>,
    #[serde(default, borrow)]
    outputs: Vec<Output<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Input<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    pub(super) shape: Vec<u64>,
    #[serde(borrow)]
    pub(super) datatype: Cow<'a, str>,
    #[serde(default)]
    pub(super) parameters: Parameters,
    #[serde(default)]
    pub(super) data: Option<Elements>,
    /// Binary elements that stand by themselves, as in protobuf.
    #[serde(skip)]
    pub(super) raw: Option<&'a [u8]>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    parameters: Parameters,
}

/// The parameters that mean something here; others are for others.
#[derive(Default, Deserialize)]
pub(super) struct Parameters {
    #[serde(default)]
    binary_data_size: Option<u64>,
    #[serde(default)]
    binary_data: Option<bool>,
    #[serde(default)]
    binary_data_output: Option<bool>,
    #[serde(default)]
    timeout: Option<u64>,
}

/// A tensor's elements in row-major order, nested lists laid flat.
#[derive(Default)]
pub(super) struct Elements {
    numbers: Vec<f32>,
    /// Only when an element was text; then as long as all elements together. Each is a part of
    /// `text`.
    words: Vec<Option<Range<usize>>>,
    text: String,
}

/// Lists in lists; a tensor here has two dimensions at most.
const DEPTH_MAX: usize = 4;

/// Appends the rows of `body` to `values`, row after row; returns how many, and what is wanted.
/// `json_bytes` is how long the JSON is when binary tensors follow it
/// (`Inference-Header-Content-Length`).
///
/// # Errors
/// [`Error::Request`] naming the tensor; [`Error::NoRows`]; [`Error::TooManyRows`]. `values` is then
/// as it was.
pub fn decode(
    body: &[u8],
    json_bytes: Option<usize>,
    signature: &Signature,
    limits: &Limits,
    values: &mut Vec<f32>,
) -> Result<(usize, Wanted), Error> {
    takes_tensors(signature)?;
    let length = json_bytes.unwrap_or(body.len());
    let (json, binary) = body.split_at_checked(length).ok_or_else(|| {
        Error::request(
            format!("the header says {length} bytes of JSON and the body has {}", body.len()),
            "set Inference-Header-Content-Length to the length of the JSON",
        )
    })?;
    let rows_max = limits.rows_max.min(limits.values_max / signature.features.max(1));
    if let Some(read) = scan::request(json, binary, signature, rows_max, values) {
        return Ok(read);
    }
    general(json, binary, signature, limits, values)
}

/// Any request, through serde_json.
pub(super) fn general(
    json: &[u8],
    binary: &[u8],
    signature: &Signature,
    limits: &Limits,
    values: &mut Vec<f32>,
) -> Result<(usize, Wanted), Error> {
    let request: Request<'_> = serde_json::from_slice(json).map_err(|error| {
        let text = error.to_string();
        Error::request(
            format!("this is no inference request: {}", text.chars().take(160).collect::<String>()),
            "send {\"inputs\": [{\"name\": \"input\", \"shape\": [1, 2], \"datatype\": \"FP32\", \"data\": [1.5, 2]}]}",
        )
    })?;
    let wanted = Wanted {
        id: request.id,
        timeout: request.parameters.timeout.filter(|us| *us > 0).map(Duration::from_micros),
        binary: request.parameters.binary_data_output.unwrap_or(false),
        outputs: request
            .outputs
            .iter()
            .map(|output| {
                let all = request.parameters.binary_data_output.unwrap_or(false);
                (output.name.clone().into_owned(), output.parameters.binary_data.unwrap_or(all))
            })
            .collect(),
    };
    let before = values.len();
    let rows = tensors(request.inputs, binary, signature, limits, values);
    let is_finite = |rows| finite(&values[before..], signature.features).map(|()| rows);
    match rows.and_then(is_finite) {
        Ok(rows) => Ok((rows, wanted)),
        Err(error) => {
            values.truncate(before);
            Err(error)
        }
    }
}

/// Whether the model's rows are numbers at all.
pub(super) fn takes_tensors(signature: &Signature) -> Result<(), Error> {
    if signature.cells == Cells::Numbers {
        return Ok(());
    }
    Err(Error::request(
        "this model takes an entity and an address, which have no tensor here",
        "send them to /invocations as text/csv",
    ))
}

pub(super) fn tensors(
    inputs: Vec<Input<'_>>,
    mut binary: &[u8],
    signature: &Signature,
    limits: &Limits,
    values: &mut Vec<f32>,
) -> Result<usize, Error> {
    let features = signature.features;
    let rows_max = limits.rows_max.min(limits.values_max / features.max(1));
    let by_column = features > 1 && inputs.len() > 1
        || inputs.len() == 1 && signature.columns.iter().any(|name| *name == inputs[0].name);
    if inputs.is_empty() {
        return Err(wrong("there are no inputs", how(signature)));
    }
    if !by_column {
        if inputs.len() != 1 {
            let what = format!("there are {} inputs and the model takes one", inputs.len());
            return Err(wrong(what, how(signature)));
        }
        let mut inputs = inputs;
        let input = inputs.remove(0);
        if !signature.categories.is_empty() {
            return Err(wrong("the model has columns of words", how(signature)));
        }
        let name = input.name.clone();
        let count = rows_of(&input, features, rows_max)?;
        let elements = elements(input, count * features, &mut binary)?;
        if !elements.words.is_empty() {
            return Err(wrong(format!("input {name} holds text"), "send numbers"));
        }
        values.extend_from_slice(&elements.numbers);
        return finished(count, binary);
    }
    let mut rows = None;
    let start = values.len();
    let mut seen = vec![false; features];
    for input in inputs {
        let column = signature.columns.iter().position(|name| *name == input.name);
        let Some(column) = column.filter(|at| !seen[*at]) else {
            let known = signature.columns.iter().map(String::as_str);
            let help = match crate::spec::problem::nearest(&input.name, known) {
                Some(meant) => format!("did you mean {}?", shown(meant.as_bytes())),
                None => how(signature),
            };
            return Err(wrong(
                format!(
                    "input {} is not a column of the model, or stands there twice",
                    shown(input.name.as_bytes())
                ),
                help,
            ));
        };
        seen[column] = true;
        let name = input.name.clone();
        let count = rows_of(&input, 1, rows_max)?;
        let all = *rows.get_or_insert(count);
        if all != count {
            let what = format!("input {name} has {count} rows where the first input has {all}");
            return Err(wrong(what, "give every input the same number of rows"));
        }
        // Before any room is made: a shape is a claim, elements are bytes that came.
        let elements = elements(input, count, &mut binary)?;
        values.resize(start + all * features, f32::NAN);
        put(signature, column, &elements, &mut values[start..])
            .map_err(|(what, help)| wrong(format!("input {name} {what}"), help))?;
    }
    if let Some(missing) = seen.iter().position(|seen| !seen) {
        let name = signature.columns.get(missing).cloned().unwrap_or_else(|| missing.to_string());
        return Err(wrong(format!("there is no input for the column {name}"), how(signature)));
    }
    finished(rows.unwrap_or(0), binary)
}

fn finished(rows: usize, binary: &[u8]) -> Result<usize, Error> {
    if !binary.is_empty() {
        let what = format!("{} bytes follow the last tensor", binary.len());
        return Err(wrong(what, "give each binary input its binary_data_size"));
    }
    if rows == 0 { Err(Error::NoRows) } else { Ok(rows) }
}

pub(super) fn wrong(what: impl Into<String>, help: impl Into<String>) -> Error {
    Error::request(what, help)
}

pub(super) fn how(signature: &Signature) -> String {
    let features = signature.features;
    if signature.columns.is_empty() {
        return format!("send one input of the shape [rows, {features}]");
    }
    let first = &signature.columns[0];
    format!(
        "send one input of the shape [rows, {features}], or one of the shape [rows, 1] for each column by its name ({first}, …)"
    )
}

/// Rows that a shape claims, within bounds.
fn rows_of(input: &Input<'_>, width: usize, rows_max: usize) -> Result<usize, Error> {
    let rows = match input.shape.as_slice() {
        [rows, columns] if *columns == width as u64 => *rows,
        [rows] if width == 1 => *rows,
        [columns] if *columns == width as u64 => 1,
        other => {
            let what = format!("input {} has the shape {other:?}", input.name);
            return Err(wrong(what, format!("give it the shape [rows, {width}]")));
        }
    };
    usize::try_from(rows)
        .ok()
        .filter(|rows| *rows <= rows_max)
        .ok_or(Error::TooManyRows { rows_max })
}

fn elements(input: Input<'_>, count: usize, binary: &mut &[u8]) -> Result<Elements, Error> {
    let name = input.name;
    let Some(kind) = DataType::parse(&input.datatype) else {
        let what = format!("input {name} is of the type {}", shown(input.datatype.as_bytes()));
        return Err(wrong(what, "send FP32, FP64, BOOL, INT8 to INT64, UINT8 to UINT64, or BYTES"));
    };
    let unpacked = |own: &[u8]| {
        let mut elements = Elements::default();
        let unpacked = match kind {
            DataType::Bytes => unpack_words(own, count, &mut elements),
            _ => unpack(own, kind, count, &mut elements.numbers),
        };
        unpacked.map(|()| elements).ok_or_else(|| {
            let (size, kind) = (own.len(), kind.name());
            wrong(
                format!("input {name}: {size} bytes are not {count} elements of {kind}"),
                "send little-endian elements, as many as the shape says",
            )
        })
    };
    let elements = match (input.data, input.parameters.binary_data_size) {
        (None, None) if input.raw.is_some() => unpacked(input.raw.unwrap_or_default())?,
        (Some(data), None) => data,
        (None, Some(size)) => {
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            let Some((own, rest)) = binary.split_at_checked(size) else {
                let what =
                    format!("input {name} should have {size} bytes and {} follow", binary.len());
                return Err(wrong(what, "send as many bytes as binary_data_size says"));
            };
            *binary = rest;
            unpacked(own)?
        }
        (Some(_), Some(_)) => {
            return Err(wrong(
                format!("input {name} has data twice"),
                "send it as JSON or in binary",
            ));
        }
        (None, None) => {
            return Err(wrong(
                format!("input {name} has no data"),
                "send data as a list, or in binary with binary_data_size",
            ));
        }
    };
    let found = elements.numbers.len();
    if found != count {
        let what = format!("input {name} has {found} elements where its shape says {count}");
        return Err(wrong(what, "send as many elements as the shape says"));
    }
    Ok(elements)
}

/// Appends binary numbers, little-endian; `None` when `bytes` are not exactly `count` of them.
pub(super) fn unpack(
    bytes: &[u8],
    kind: DataType,
    count: usize,
    numbers: &mut Vec<f32>,
) -> Option<()> {
    let size = match kind {
        DataType::Bytes => return None,
        DataType::Bool => 1,
        DataType::Uint(size) | DataType::Int(size) | DataType::Fp(size) => usize::from(size),
    };
    if count.checked_mul(size) != Some(bytes.len()) {
        return None;
    }
    let number = |element: &[u8]| match kind {
        DataType::Fp(4) => f32::from_le_bytes(element.try_into().unwrap_or_default()),
        DataType::Fp(_) => f64::from_le_bytes(element.try_into().unwrap_or_default()) as f32,
        DataType::Int(_) => {
            // Into the high end and back down: the sign comes along.
            let mut wide = [0; 8];
            wide[8 - size..].copy_from_slice(element);
            (i64::from_le_bytes(wide) >> (64 - 8 * size)) as f32
        }
        _ => {
            let mut wide = [0; 8];
            wide[..size].copy_from_slice(element);
            u64::from_le_bytes(wide) as f32
        }
    };
    match kind {
        // Most of them are, and then this is a copy.
        DataType::Fp(4) => {
            let (elements, _) = bytes.as_chunks();
            numbers.extend(elements.iter().map(|element| f32::from_le_bytes(*element)));
        }
        _ => numbers.extend(bytes.chunks_exact(size).map(number)),
    }
    Some(())
}

fn unpack_words(mut bytes: &[u8], count: usize, elements: &mut Elements) -> Option<()> {
    // Each takes four bytes at least: a claimed count costs no memory.
    elements.words.reserve(count.min(bytes.len() / 4));
    elements.text.reserve(bytes.len());
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (word, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        elements.word(std::str::from_utf8(word).ok()?);
        bytes = rest;
    }
    (elements.words.len() == count).then_some(())
}

/// Writes one column's cells into rows.
fn put(
    signature: &Signature,
    column: usize,
    elements: &Elements,
    rows: &mut [f32],
) -> Result<(), (String, String)> {
    let cells = rows.iter_mut().skip(column).step_by(signature.features);
    match signature.categories.get(&column) {
        None if elements.words.is_empty() => {
            cells.zip(&elements.numbers).for_each(|(cell, number)| *cell = *number);
            Ok(())
        }
        None => Err(("holds text and its column numbers".into(), "send numbers".into())),
        Some(_) if elements.words.is_empty() => {
            Err(("holds numbers and its column words".into(), "send BYTES".into()))
        }
        Some(known) => {
            let code = |word: &Option<Range<usize>>| {
                let word = word.as_ref().and_then(|word| elements.text.get(word.clone()));
                let at = word.and_then(|word| known.iter().position(|name| name == word));
                at.map_or(f32::NAN, |at| at as f32)
            };
            cells.zip(&elements.words).for_each(|(cell, word)| *cell = code(word));
            Ok(())
        }
    }
}

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: serde::Deserializer<'de>>(json: D) -> Result<Elements, D::Error> {
        let mut elements = Elements::default();
        json.deserialize_seq(List { into: &mut elements, depth: 1 })?;
        Ok(elements)
    }
}

/// A list, of elements or of lists.
struct List<'a> {
    into: &'a mut Elements,
    depth: usize,
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of elements")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Element { into: self.into, depth: self.depth })?.is_some() {}
        Ok(())
    }
}

struct Element<'a> {
    into: &'a mut Elements,
    depth: usize,
}

impl Elements {
    pub(super) fn number(&mut self, value: f32) {
        self.numbers.push(value);
        if !self.words.is_empty() {
            self.words.push(None);
        }
    }

    pub(super) fn word(&mut self, word: &str) {
        self.words.resize(self.numbers.len(), None);
        let start = self.text.len();
        self.text.push_str(word);
        self.words.push(Some(start..self.text.len()));
        self.numbers.push(f32::NAN);
    }
}

impl<'de> serde::de::DeserializeSeed<'de> for Element<'_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number, a text, null or a list of them")
    }
    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.into.number(value as f32);
        Ok(())
    }
    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.into.number(value as f32);
        Ok(())
    }
    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.into.number(value as f32);
        Ok(())
    }
    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.into.number(f32::from(value));
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        self.into.number(f32::NAN);
        Ok(())
    }
    fn visit_str<E>(self, word: &str) -> Result<(), E> {
        self.into.word(word);
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        if self.depth == DEPTH_MAX {
            return Err(serde::de::Error::custom("the lists are nested too deeply"));
        }
        List { into: self.into, depth: self.depth + 1 }.visit_seq(list)
    }
}
