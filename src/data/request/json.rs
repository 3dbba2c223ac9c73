//! Any JSON request, through serde_json: every shape SageMaker's algorithms take, and a message
//! with row and column for those they do not.

use std::borrow::Cow;

use memchr::memchr;
use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{placed, scan, wrong_length};
use crate::data::error::{Broken, Error, shown};
use crate::data::schema::Signature;

/// Rows of `{"instances": [..]}`.
pub(super) fn instances(
    body: &[u8],
    signature: &Signature,
    rows_max: usize,
) -> Result<Vec<f32>, Error> {
    let mut state = State::new(signature, rows_max);
    let mut json = serde_json::Deserializer::from_slice(body);
    match Body(&mut state).deserialize(&mut json).and_then(|()| json.end()) {
        Ok(()) if state.instances => Ok(state.values),
        Ok(()) => Err(Error::request("there is no list under \"instances\"", SHAPE)),
        Err(error) => Err(state.error(&error, body)),
    }
}

/// Rows of JSON Lines: an instance on each line, blank lines passed over.
pub(super) fn lines(
    body: &[u8],
    signature: &Signature,
    rows_max: usize,
) -> Result<Vec<f32>, Error> {
    let mut state = State::new(signature, rows_max);
    let mut at = 0;
    while at < body.len() {
        let end = at + memchr(b'\n', &body[at..]).unwrap_or(body.len() - at);
        let line = &body[at..end];
        at = end + 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        state.begin_row().map_err(|()| state.too_many())?;
        let start = state.values.len();
        let scans = signature.categories.is_empty();
        if !scans || scan::line(line, signature.features, &mut state.values).is_none() {
            state.values.truncate(start);
            let mut json = serde_json::Deserializer::from_slice(line);
            let outcome = Instance(&mut state).deserialize(&mut json).and_then(|()| json.end());
            outcome.map_err(|error| state.error(&error, line))?;
        }
        state.rows += 1;
    }
    Ok(state.values)
}

const SHAPE: &str = "send {\"instances\": [{\"features\": [1.5, 2]}]}; a missing value is null";

/// What has been read, and the first mistake of ours.
struct State<'a> {
    signature: &'a Signature,
    rows_max: usize,
    values: Vec<f32>,
    rows: usize,
    column: Option<usize>,
    instances: bool,
    inside: bool,
    wrong: Option<Wrong>,
}

enum Wrong {
    TooManyRows,
    Said(String, String),
}

impl<'a> State<'a> {
    fn new(signature: &'a Signature, rows_max: usize) -> State<'a> {
        State {
            signature,
            rows_max,
            values: Vec::new(),
            rows: 0,
            column: None,
            instances: false,
            inside: false,
            wrong: None,
        }
    }

    fn refuse<E: serde::de::Error>(
        &mut self,
        what: impl Into<String>,
        help: impl Into<String>,
    ) -> E {
        self.wrong = Some(Wrong::Said(what.into(), help.into()));
        E::custom("refused")
    }

    fn begin_row(&mut self) -> Result<(), ()> {
        self.inside = true;
        if self.rows < self.rows_max {
            return Ok(());
        }
        self.wrong = Some(Wrong::TooManyRows);
        Err(())
    }

    fn too_many(&self) -> Error {
        Error::TooManyRows { rows_max: self.rows_max }
    }

    fn error(&mut self, error: &serde_json::Error, body: &[u8]) -> Error {
        let (what, help) = match self.wrong.take() {
            Some(Wrong::TooManyRows) => return self.too_many(),
            Some(Wrong::Said(what, help)) => (what, help),
            None => (not_json(error, body), SHAPE.to_owned()),
        };
        if !self.inside {
            return Error::request(what, help);
        }
        placed(Broken { line: 0, column: self.column, what, help }, self.rows, self.signature)
    }
}

/// serde_json's sentence, kept short, and the byte it stumbled over.
fn not_json(error: &serde_json::Error, body: &[u8]) -> String {
    const SENTENCE_LETTERS_MAX: usize = 120;
    let text = error.to_string();
    let bare = text
        .split(" at line ")
        .next()
        .unwrap_or(&text)
        .replace("expected f32", "expected a number");
    let bare: String = bare.chars().take(SENTENCE_LETTERS_MAX).collect();
    if error.is_data() {
        return bare;
    }
    if error.is_eof() {
        return format!("the JSON ends too early: {bare}");
    }
    let line_start = match error.line() {
        0 | 1 => 0,
        line => memchr::memchr_iter(b'\n', body).nth(line - 2).map_or(0, |at| at + 1),
    };
    let at = (line_start + error.column()).min(body.len());
    let near = &body[at.saturating_sub(8)..(at + 8).min(body.len())];
    format!("this is not JSON at byte {at}, near {}: {bare}", shown(near))
}

/// The whole body.
struct Body<'a, 'b>(&'a mut State<'b>);

impl<'de> DeserializeSeed<'de> for Body<'_, '_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Body<'_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object with a list under \"instances\"")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let state = self.0;
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            if key != "instances" {
                map.next_value::<IgnoredAny>()?;
            } else if std::mem::replace(&mut state.instances, true) {
                return Err(state.refuse("\"instances\" stands there twice", "send one list"));
            } else {
                map.next_value_seed(Instances(state))?;
            }
        }
        Ok(())
    }
}

struct Instances<'a, 'b>(&'a mut State<'b>);

impl<'de> DeserializeSeed<'de> for Instances<'_, '_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Instances<'_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of instances")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let state = self.0;
        while list.next_element_seed(Instance(state))?.is_some() {
            state.rows += 1;
            state.inside = false;
        }
        Ok(())
    }
}

/// One row in any shape.
struct Instance<'a, 'b>(&'a mut State<'b>);

impl<'de> DeserializeSeed<'de> for Instance<'_, '_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        if self.0.begin_row().is_err() {
            return Err(D::Error::custom("refused"));
        }
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Instance<'_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object with \"features\", or a list of numbers")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        List(self.0).visit_seq(list)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let state = self.0;
        let start = state.values.len();
        let mut by_name = false;
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            if !by_name && state.values.len() > start && matches!(key.as_ref(), "features" | "data")
            {
                return Err(state.refuse("the row stands there twice", SHAPE));
            }
            let named = state.signature.columns.iter().position(|name| *name == key);
            match (key.as_ref(), named) {
                ("features", None) => map.next_value_seed(List(state))?,
                ("data", None) => {
                    if state.signature.categories.is_empty() {
                        let data: Data<f32> = map.next_value()?;
                        state.take_tensor(&data.features)?;
                    } else {
                        let data: Data<Entry> = map.next_value()?;
                        let tensor = state.numbers(data.features)?;
                        state.take_tensor(&tensor)?;
                    }
                }
                (_, Some(column)) => {
                    if !std::mem::replace(&mut by_name, true) {
                        state.values.truncate(start);
                        state.values.resize(start + state.signature.features, f32::NAN);
                    }
                    state.column = Some(column);
                    let value = map.next_value_seed(Cell(state, column))?;
                    state.column = None;
                    if let Some(slot) = state.values.get_mut(start + column) {
                        *slot = value;
                    }
                }
                (_, None) if state.signature.columns.is_empty() => {
                    map.next_value::<IgnoredAny>()?;
                }
                (unknown, None) => {
                    let what = format!("the model knows no column {}", shown(unknown.as_bytes()));
                    let known = state.signature.columns.iter().map(String::as_str);
                    let help = match crate::spec::problem::nearest(unknown, known) {
                        Some(meant) => format!("did you mean {}?", shown(meant.as_bytes())),
                        None => SHAPE.to_owned(),
                    };
                    return Err(state.refuse(what, help));
                }
            }
        }
        if state.values.len() == start {
            return Err(state.refuse("the row has no \"features\"", SHAPE));
        }
        Ok(())
    }
}

/// `[1.5, null]`, as one row.
struct List<'a, 'b>(&'a mut State<'b>);

impl<'de> DeserializeSeed<'de> for List<'_, '_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of numbers")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let state = self.0;
        let features = state.signature.features;
        let mut found = 0;
        loop {
            state.column = Some(found);
            let Some(value) = list.next_element_seed(Cell(state, found))? else { break };
            if found < features {
                state.values.push(value);
            }
            found += 1;
        }
        state.column = None;
        if found != features {
            let (what, help) = wrong_length(found, features);
            return Err(state.refuse(what, help));
        }
        Ok(())
    }
}

/// One cell: a number, or in a column of words whatever names one.
struct Cell<'a, 'b>(&'a mut State<'b>, usize);

impl<'de> DeserializeSeed<'de> for Cell<'_, '_> {
    type Value = f32;
    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<f32, D::Error> {
        if self.0.signature.categories.contains_key(&self.1) {
            return json.deserialize_any(self);
        }
        // Through f32, so that a number is rounded once, as the scanner rounds it.
        Option::<f32>::deserialize(json).map(|value| value.unwrap_or(f32::NAN))
    }
}

impl<'de> Visitor<'de> for Cell<'_, '_> {
    type Value = f32;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a word")
    }
    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<f32, E> {
        let code = self.0.signature.vocabulary().code(self.1, word.as_bytes());
        code.map_err(|(what, help)| self.0.refuse(what, help))
    }
    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<f32, E> {
        self.visit_str(&number.to_string())
    }
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<f32, E> {
        self.visit_str(&number.to_string())
    }
    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<f32, E> {
        self.visit_str(&number.to_string())
    }
    fn visit_bool<E: serde::de::Error>(self, truth: bool) -> Result<f32, E> {
        self.visit_str(if truth { "true" } else { "false" })
    }
    fn visit_unit<E: serde::de::Error>(self) -> Result<f32, E> {
        Ok(f32::NAN)
    }
}

#[derive(serde::Deserialize)]
struct Data<T> {
    features: Tensor<T>,
}

/// A number or a word; which of them belongs there is known with its column.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Entry {
    Number(f64),
    Word(String),
    Truth(bool),
}

#[derive(serde::Deserialize)]
struct Tensor<T> {
    values: Vec<Option<T>>,
    keys: Option<Vec<u64>>,
    shape: Option<Vec<u64>>,
}

impl State<'_> {
    /// The tensor with codes for its words.
    fn numbers<E: serde::de::Error>(&mut self, tensor: Tensor<Entry>) -> Result<Tensor<f32>, E> {
        let Tensor { values, keys, shape } = tensor;
        let mut numbers = Vec::with_capacity(values.len());
        for (at, value) in values.into_iter().enumerate() {
            let column = match &keys {
                Some(keys) => keys.get(at).and_then(|key| usize::try_from(*key).ok()),
                None => Some(at),
            };
            self.column = column;
            let words = column.filter(|at| self.signature.categories.contains_key(at));
            numbers.push(match (value, words) {
                (None, _) => None,
                (Some(Entry::Number(number)), None) => Some(number as f32),
                (Some(Entry::Number(number)), Some(at)) => Some(Cell(self, at).visit_f64(number)?),
                (Some(Entry::Word(word)), Some(at)) => Some(Cell(self, at).visit_str(&word)?),
                (Some(Entry::Truth(truth)), Some(at)) => Some(Cell(self, at).visit_bool(truth)?),
                (Some(Entry::Word(word)), None) => {
                    let what = format!("{} is not a number", shown(word.as_bytes()));
                    return Err(self.refuse(what, SHAPE));
                }
                (Some(Entry::Truth(_)), None) => {
                    return Err(self.refuse("true and false are not numbers", SHAPE));
                }
            });
        }
        self.column = None;
        Ok(Tensor { values: numbers, keys, shape })
    }

    fn take_tensor<E: serde::de::Error>(&mut self, tensor: &Tensor<f32>) -> Result<(), E> {
        let features = self.signature.features;
        let numbers = tensor.values.iter().map(|value| value.unwrap_or(f32::NAN));
        let shape = tensor.shape.as_ref().and_then(|shape| shape.last());
        if let Some(width) = shape
            && *width != features as u64
        {
            let what = format!("the shape says {width} numbers where the model takes {features}");
            return Err(self.refuse(what, format!("send rows of {features} numbers")));
        }
        let Some(keys) = &tensor.keys else {
            if tensor.values.len() != features {
                let (what, help) = wrong_length(tensor.values.len(), features);
                return Err(self.refuse(what, help));
            }
            self.values.extend(numbers);
            return Ok(());
        };
        if shape.is_none() || keys.len() != tensor.values.len() {
            let what = "sparse features need keys and values of one length, and a shape";
            return Err(
                self.refuse(what, "send {\"keys\": [1, 7], \"shape\": [20], \"values\": [1, 2.5]}")
            );
        }
        let start = self.values.len();
        self.values.resize(start + features, self.signature.absent.value());
        for (key, value) in keys.iter().zip(numbers) {
            let slot = usize::try_from(*key).ok().and_then(|key| self.values[start..].get_mut(key));
            match slot {
                Some(slot) => *slot = value,
                None => {
                    let what = format!("the key {key} is not below {features}");
                    return Err(self.refuse(what, "count keys from 0, below the shape"));
                }
            }
        }
        Ok(())
    }
}
