//! Any JSON request, through serde_json: every shape SageMaker's algorithms take, and a message
//! with row and column for those they do not.

use std::borrow::Cow;

use memchr::memchr;
use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{placed, scan, wrong_length};
use crate::data::error::{Broken, Error, shown};
use crate::data::nested;
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
    /// Names of the objects around what is being read; empty outside them.
    path: String,
    /// Whether values stand under the columns' names.
    by_name: bool,
    /// The column that was named last.
    named: Option<usize>,
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
            path: String::new(),
            by_name: false,
            named: None,
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
        state.by_name = false;
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            let named = state.position(&key);
            let whole = named.is_none()
                && matches!(key.as_ref(), "features" | "data")
                && !state.has_columns_within(&key);
            if whole && !state.by_name && state.values.len() > start {
                return Err(state.refuse("the row stands there twice", SHAPE));
            }
            if whole && key == "features" {
                map.next_value_seed(List(state))?;
            } else if whole && state.signature.categories.is_empty() {
                let data: Data<f32> = map.next_value()?;
                state.take_tensor(&data.features)?;
            } else if whole {
                let data: Data<Entry> = map.next_value()?;
                let tensor = state.numbers(data.features)?;
                state.take_tensor(&tensor)?;
            } else {
                state.take_named(start, &key, named, &mut map)?;
            }
        }
        if state.values.len() == start {
            return Err(state.refuse("the row has no \"features\"", SHAPE));
        }
        Ok(())
    }
}

/// Values under the columns' names.
impl State<'_> {
    /// The column of this name. Rows mostly name them in their order.
    fn position(&self, name: &str) -> Option<usize> {
        let columns = &self.signature.columns;
        let next = self.named.map_or(0, |last| last + 1);
        match columns.get(next) {
            Some(column) if column == name => Some(next),
            _ => columns.iter().position(|column| column == name),
        }
    }

    /// Whether columns are named as values of the object `path`.
    fn has_columns_within(&self, path: &str) -> bool {
        self.signature.columns.iter().any(|column| nested::is_within(column, path))
    }

    /// A value of the row that begins at `start`, or an object of values; its key is not the row's
    /// features as a whole.
    fn take_named<'de, A: MapAccess<'de>>(
        &mut self,
        start: usize,
        key: &str,
        named: Option<usize>,
        map: &mut A,
    ) -> Result<(), A::Error> {
        if let Some(column) = named {
            self.begin_names(start);
            self.named = Some(column);
            self.column = Some(column);
            let value = map.next_value_seed(Cell(self, column))?;
            self.column = None;
            if let Some(slot) = self.values.get_mut(start + column) {
                *slot = value;
            }
            return Ok(());
        }
        let before = nested::enter(&mut self.path, key);
        if self.has_columns_within(&self.path) {
            self.begin_names(start);
            map.next_value_seed(Inner(self, start))?;
        } else if self.signature.columns.is_empty() {
            map.next_value::<IgnoredAny>()?;
        } else {
            let unknown = std::mem::take(&mut self.path);
            let what = format!("the model knows no column {}", shown(unknown.as_bytes()));
            let known = self.signature.columns.iter().map(String::as_str);
            let help = match crate::spec::problem::nearest(&unknown, known) {
                Some(meant) => format!("did you mean {}?", shown(meant.as_bytes())),
                None => SHAPE.to_owned(),
            };
            return Err(self.refuse(what, help));
        }
        self.path.truncate(before);
        Ok(())
    }

    /// At a row's first name: what it does not name is missing.
    fn begin_names(&mut self, start: usize) {
        if !std::mem::replace(&mut self.by_name, true) {
            self.named = None;
            self.values.truncate(start);
            self.values.resize(start + self.signature.features, f32::NAN);
        }
    }
}

/// An object within a row, or `null` where all it would hold is missing.
struct Inner<'a, 'b>(&'a mut State<'b>, usize);

impl<'de> DeserializeSeed<'de> for Inner<'_, '_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Inner<'_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "an object with the columns of {}", shown(self.0.path.as_bytes()))
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Inner(state, start) = self;
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            let before = nested::enter(&mut state.path, &key);
            let named = state.position(&state.path);
            state.path.truncate(before);
            state.take_named(start, &key, named, &mut map)?;
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
