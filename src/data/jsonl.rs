//! JSON Lines to rows, for training: one object on each line. Either SageMaker's
//! `{"features": [..], "label": 1}` (or `{"data": {"features": {"values": [..]}}, ..}`), or a value
//! under each column's name. Requests are read by [`super::request`].

use std::borrow::Cow;
use std::collections::HashMap;

use memchr::memchr;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::error::{Broken, shown};
use super::label::LabelRows;
use super::number;
use super::roles::Roles;
use super::rows::Rows;
use crate::spec::limit::COLUMNS_MAX;
use crate::spec::problem::nearest;
use crate::spec::train::{Format, LabelColumn};

/// What each line looks like.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The label's key.
    pub(crate) label: Option<String>,
    /// Features of a row.
    pub(crate) features: usize,
    /// What each of them is for, the label behind them.
    pub(crate) roles: Roles,
    /// Keys of the features in order; empty when they stand in a list.
    pub(crate) names: Vec<String>,
    index: HashMap<String, usize>,
}

impl Layout {
    /// Reads the first line of an object. `None` when there are only blank lines.
    pub(crate) fn detect(
        text: &[u8],
        start: usize,
        format: &Format,
    ) -> Result<Option<Layout>, Broken> {
        let mut at = start;
        let mut number = 0;
        while at < text.len() {
            let end = at + memchr(b'\n', &text[at..]).unwrap_or(text.len() - at);
            if !is_blank(&text[at..end]) {
                return Layout::of_line(&text[at..end], format)
                    .map(Some)
                    .map_err(|(what, help)| Broken { line: number, column: None, what, help });
            }
            at = end + 1;
            number += 1;
        }
        Ok(None)
    }

    fn of_line(line: &[u8], format: &Format) -> Result<Layout, (String, String)> {
        let object = match serde_json::from_slice(line) {
            Ok(Value::Object(object)) => object,
            Ok(_) => return Err(("the line is not a JSON object".into(), SHAPE.into())),
            Err(error) => return Err((not_json(&error), SHAPE.into())),
        };
        let label = match &format.label {
            LabelColumn::None => None,
            LabelColumn::First => Some("label".to_owned()),
            LabelColumn::Named(name) => Some(name.clone()),
        };
        if let Some(label) = &label
            && !object.contains_key(label)
        {
            let keys = object.keys().map(String::as_str);
            let help = match nearest(label, keys) {
                Some(meant) => {
                    format!("name the label's key with `label = {}`", shown(meant.as_bytes()))
                }
                None => "name the label's key with `label = \"…\"`".into(),
            };
            return Err((format!("there is no key {}", shown(label.as_bytes())), help));
        }
        let features = match list_of(&object) {
            Some(length) => length,
            None => {
                let names = object.keys().filter(|key| Some(*key) != label.as_ref()).cloned();
                return Layout::named(label.clone(), names.collect());
            }
        };
        bounded(features)?;
        let roles = roles(features, label.as_ref());
        Ok(Layout { label, features, roles, names: Vec::new(), index: HashMap::new() })
    }

    fn named(label: Option<String>, names: Vec<String>) -> Result<Layout, (String, String)> {
        bounded(names.len())?;
        let index = names.iter().cloned().enumerate().map(|(at, name)| (name, at)).collect();
        let roles = roles(names.len(), label.as_ref());
        Ok(Layout { label, features: names.len(), roles, names, index })
    }
}

fn roles(features: usize, label: Option<&String>) -> Roles {
    Roles::numbers(features + usize::from(label.is_some()), label.map(|_| features))
}

const SHAPE: &str = "write one object on each line: {\"features\": [1.5, 2], \"label\": 0}, or a value under each column's name";

fn bounded(features: usize) -> Result<(), (String, String)> {
    match features {
        0 => Err(("the line holds no features".into(), SHAPE.into())),
        1..=COLUMNS_MAX => Ok(()),
        _ => Err((
            format!("the line holds {features} features"),
            format!("give at most {COLUMNS_MAX} columns"),
        )),
    }
}

/// How many features a line in SageMaker's shape holds.
fn list_of(object: &serde_json::Map<String, Value>) -> Option<usize> {
    if let Some(Value::Array(list)) = object.get("features") {
        return Some(list.len());
    }
    let tensor = object.get("data")?.get("features")?;
    match (tensor.get("shape"), tensor.get("values")) {
        (Some(Value::Array(shape)), _) => {
            Some(shape.last()?.as_u64()?.try_into().unwrap_or(usize::MAX))
        }
        (_, Some(Value::Array(values))) => Some(values.len()),
        _ => None,
    }
}

/// Decodes every line of `text` and appends it to `rows`.
pub(crate) fn decode(text: &[u8], layout: &Layout, rows: &mut Rows) -> Result<(), Broken> {
    let mut at = 0;
    while at < text.len() {
        let end = at + memchr(b'\n', &text[at..]).unwrap_or(text.len() - at);
        let line = &text[at..end];
        if !is_blank(line) {
            decode_line(line, layout, rows)?;
            rows.count += 1;
        }
        rows.lines += 1;
        at = end + 1;
    }
    Ok(())
}

fn decode_line(line: &[u8], layout: &Layout, rows: &mut Rows) -> Result<(), Broken> {
    let start = rows.features.len();
    rows.features.resize(start + layout.features, f32::NAN);
    let mut state = Line {
        layout,
        row: &mut rows.features[start..],
        label: &mut rows.label,
        labelled: false,
        filled: layout.features,
        column: None,
        wrong: None,
    };
    let mut json = serde_json::Deserializer::from_slice(line);
    let outcome = LineSeed(&mut state).deserialize(&mut json).and_then(|()| json.end());
    let (labelled, filled, column, wrong) =
        (state.labelled, state.filled, state.column, state.wrong);
    let broken = |(what, help)| Broken { line: rows.lines, column, what, help };
    if let Err(error) = outcome {
        return Err(broken(wrong.unwrap_or_else(|| (not_json(&error), SHAPE.into()))));
    }
    if filled != layout.features {
        return Err(broken(wrong_length(filled, layout.features)));
    }
    match &layout.label {
        Some(label) if !labelled => Err(broken((
            format!("the label {} is missing", shown(label.as_bytes())),
            "every row to learn from needs a label; remove the row or fill it in".into(),
        ))),
        _ => Ok(()),
    }
}

fn wrong_length(found: usize, expected: usize) -> (String, String) {
    (
        format!("the line has {found} features where the first one has {expected}"),
        format!("give every line {expected} features"),
    )
}

/// What serde_json says, kept short and without its line: lines are ours to count.
fn not_json(error: &serde_json::Error) -> String {
    const SENTENCE_LETTERS_MAX: usize = 120;
    let text = error.to_string();
    let bare = text.split(" at line ").next().unwrap_or(&text);
    let bare: String = bare.chars().take(SENTENCE_LETTERS_MAX).collect();
    if error.is_data() {
        bare
    } else {
        format!("this is not JSON at byte {}: {bare}", error.column())
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r'))
}

/// One line while it is read. The first mistake of ours stands in `wrong`.
struct Line<'a> {
    layout: &'a Layout,
    row: &'a mut [f32],
    label: &'a mut LabelRows,
    labelled: bool,
    filled: usize,
    column: Option<usize>,
    wrong: Option<(String, String)>,
}

impl Line<'_> {
    fn refuse<E: serde::de::Error>(&mut self, what: String, help: &str) -> E {
        self.wrong = Some((what, help.to_owned()));
        E::custom("refused")
    }
}

struct LineSeed<'a, 'b>(&'a mut Line<'b>);

impl<'de> DeserializeSeed<'de> for LineSeed<'_, '_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for LineSeed<'_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let line = self.0;
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            if line.layout.label.as_deref() == Some(key.as_ref()) {
                let value: Value = map.next_value()?;
                line.take_label(&value)?;
            } else if let Some(column) = line.layout.index.get(key.as_ref()) {
                line.column = Some(*column);
                let value = map.next_value_seed(Number(line))?;
                line.row[*column] = value;
                line.column = None;
            } else if line.layout.names.is_empty() && key == "features" {
                map.next_value_seed(List(line))?;
            } else if line.layout.names.is_empty() && key == "data" {
                let tensor: Tensor = map.next_value()?;
                line.take_tensor(&tensor.features)?;
            } else if line.layout.names.is_empty() {
                map.next_value::<IgnoredAny>()?;
            } else {
                let what = format!("the key {} is not in the first line", shown(key.as_bytes()));
                return Err(line.refuse(
                    what,
                    "give every line the same keys; leave one out where its value is missing",
                ));
            }
        }
        Ok(())
    }
}

impl Line<'_> {
    fn take_label<E: serde::de::Error>(&mut self, value: &Value) -> Result<(), E> {
        self.labelled = true;
        let outcome = match value {
            Value::String(text) => self.label.push_text(text.as_bytes()),
            Value::Number(number) => self.label.push_text(number.to_string().as_bytes()),
            Value::Bool(truth) => self.label.push_number(f32::from(u8::from(*truth))),
            Value::Null => self.label.push_text(b""),
            _ => Err(("the label is not a number or a word".into(), SHAPE.into())),
        };
        outcome.map_err(|(what, help)| self.refuse(what, &help))
    }

    fn take_tensor<E: serde::de::Error>(&mut self, values: &Values) -> Result<(), E> {
        let numbers = values.values.iter().map(|value| value.unwrap_or(f32::NAN));
        match &values.keys {
            None if values.values.len() == self.row.len() => {
                self.row.iter_mut().zip(numbers).for_each(|(slot, value)| *slot = value);
            }
            None => self.filled = values.values.len(),
            Some(keys) if keys.len() == values.values.len() => {
                self.row.fill(0.0);
                for (key, value) in keys.iter().zip(numbers) {
                    match usize::try_from(*key).ok().and_then(|key| self.row.get_mut(key)) {
                        Some(slot) => *slot = value,
                        None => {
                            let what = format!("the key {key} is not below {}", self.row.len());
                            return Err(self.refuse(what, "count keys from 0, below the shape"));
                        }
                    }
                }
            }
            Some(keys) => {
                let what =
                    format!("{} keys stand beside {} values", keys.len(), values.values.len());
                return Err(self.refuse(what, "give one key for each value"));
            }
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
struct Tensor {
    features: Values,
}

#[derive(serde::Deserialize)]
struct Values {
    values: Vec<Option<f32>>,
    keys: Option<Vec<u64>>,
}

/// `[1, 2.5, null]` into the row.
struct List<'a, 'b>(&'a mut Line<'b>);

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
        let line = self.0;
        let mut at = 0;
        loop {
            line.column = Some(at);
            let Some(value) = list.next_element_seed(Number(line))? else { break };
            if let Some(slot) = line.row.get_mut(at) {
                *slot = value;
            }
            at += 1;
        }
        line.column = None;
        line.filled = at;
        Ok(())
    }
}

/// A number, `null` for a missing one, or a truth as 0 or 1.
struct Number<'a, 'b>(&'a mut Line<'b>);

impl<'de> DeserializeSeed<'de> for Number<'_, '_> {
    type Value = f32;
    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<f32, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Number<'_, '_> {
    type Value = f32;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number")
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<f32, E> {
        let narrow = value as f32;
        if narrow.is_infinite() {
            let what = format!("{value:e} is too large");
            return Err(self.0.refuse(what, "write numbers between -3.4e38 and 3.4e38"));
        }
        Ok(narrow)
    }
    fn visit_u64<E>(self, value: u64) -> Result<f32, E> {
        Ok(value as f32)
    }
    fn visit_i64<E>(self, value: i64) -> Result<f32, E> {
        Ok(value as f32)
    }
    fn visit_bool<E>(self, value: bool) -> Result<f32, E> {
        Ok(f32::from(u8::from(value)))
    }
    fn visit_unit<E>(self) -> Result<f32, E> {
        Ok(f32::NAN)
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<f32, E> {
        if let Ok(number::Cell::Missing) = number::parse(text.as_bytes()) {
            return Ok(f32::NAN);
        }
        let what = format!("the text {} stands where a number belongs", shown(text.as_bytes()));
        Err(self.0.refuse(
            what,
            "features are numbers, or null where a value is missing; turn words into numbers first",
        ))
    }
}
