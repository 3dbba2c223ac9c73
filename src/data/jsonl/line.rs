//! One line into one row, as serde_json finds its values.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{Layout, Place, SHAPE};
use crate::data::error::{Broken, shown};
use crate::data::label::Refused;
use crate::data::roles::Role;
use crate::data::rows::Rows;
use crate::data::{nested, number};

/// Appends the row of a line.
pub(super) fn decode(line: &[u8], layout: &Layout, rows: &mut Rows) -> Result<(), Broken> {
    let start = rows.features.len();
    rows.features.resize(start + layout.features, f32::NAN);
    let at = rows.lines;
    let mut state = Line {
        layout,
        start,
        rows,
        labelled: false,
        weighted: false,
        grouped: false,
        path: String::new(),
        filled: layout.features,
        column: None,
        wrong: None,
    };
    let mut json = serde_json::Deserializer::from_slice(line);
    let outcome = LineSeed(&mut state).deserialize(&mut json).and_then(|()| json.end());
    let column = state.column;
    let broken = |(what, help)| Broken { line: at, column, what, help };
    if let Err(error) = outcome {
        let wrong = state.wrong.take();
        return Err(broken(wrong.unwrap_or_else(|| (not_json(&error), SHAPE.into()))));
    }
    if state.filled != layout.features {
        return Err(broken(wrong_length(state.filled, layout.features)));
    }
    state.nothing_is_missing().map_err(broken)
}

fn wrong_length(found: usize, expected: usize) -> (String, String) {
    (
        format!("the line has {found} features where the first one has {expected}"),
        format!("give every line {expected} features"),
    )
}

/// What serde_json says, kept short and without its line: lines are ours to count.
pub(super) fn not_json(error: &serde_json::Error) -> String {
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

/// One line while it is read. The first mistake of ours stands in `wrong`.
struct Line<'a> {
    layout: &'a Layout,
    rows: &'a mut Rows,
    /// Where the line's row begins.
    start: usize,
    labelled: bool,
    weighted: bool,
    grouped: bool,
    /// Names of the objects around what is being read; empty outside them.
    path: String,
    filled: usize,
    column: Option<usize>,
    wrong: Option<Refused>,
}

impl Line<'_> {
    fn refuse<E: serde::de::Error>(&mut self, what: String, help: &str) -> E {
        self.wrong = Some((what, help.to_owned()));
        E::custom("refused")
    }

    fn row(&mut self) -> &mut [f32] {
        &mut self.rows.features[self.start..]
    }

    /// Whether the line holds what the job names besides features.
    fn nothing_is_missing(&mut self) -> Result<(), Refused> {
        let roles = &self.layout.roles;
        if let (Some(label), false) = (&self.layout.label, self.labelled) {
            return Err((
                format!("the label {} is missing", shown(label.as_bytes())),
                "every row to learn from needs a label; remove the row or fill it in".into(),
            ));
        }
        if roles.has(Role::Weight) && !self.weighted {
            self.rows.push_weight(b"")?;
        }
        if roles.has(Role::Group) && !self.grouped {
            self.rows.group.push(b"", 0)?;
        }
        Ok(())
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
            let listed = line.layout.names.is_empty();
            if let Some(place) = line.layout.index.get(key.as_ref()) {
                line.take_value(*place, &mut map)?;
            } else if listed && key == "features" {
                map.next_value_seed(List(line))?;
            } else if listed && key == "data" {
                let tensor: Tensor = map.next_value()?;
                line.take_tensor(&tensor.features)?;
            } else {
                line.take_inner(&key, &mut map)?;
            }
        }
        Ok(())
    }
}

impl Line<'_> {
    /// The value of a key that the layout knows.
    fn take_value<'de, A: MapAccess<'de>>(
        &mut self,
        Place { role, feature }: Place,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match role {
            Role::Feature | Role::Words(_) => {
                self.column = Some(feature);
                let value = map.next_value_seed(Cell(self, role))?;
                self.row()[feature] = value;
                self.column = None;
                Ok(())
            }
            Role::Ignored => map.next_value::<IgnoredAny>().map(drop),
            Role::Label | Role::Weight | Role::Group => {
                let value: Value = map.next_value()?;
                self.take_other(role, &value)
            }
        }
    }

    /// The value of a key that is no column: an object that holds some, or what nobody asks for.
    fn take_inner<'de, A: MapAccess<'de>>(
        &mut self,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let before = nested::enter(&mut self.path, key);
        let layout = self.layout;
        if layout.inner.contains(&self.path) {
            map.next_value_seed(Inner(self))?;
        } else if layout.names.is_empty() {
            map.next_value::<IgnoredAny>()?;
        } else {
            let name = shown(self.path.as_bytes());
            return Err(self.refuse(
                format!("the key {name} is not in the first line"),
                "give every line the same keys; leave one out where its value is missing",
            ));
        }
        self.path.truncate(before);
        Ok(())
    }
}

/// An object within the line, or `null` where all it would hold is missing.
struct Inner<'a, 'b>(&'a mut Line<'b>);

impl<'de> DeserializeSeed<'de> for Inner<'_, '_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Inner<'_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "an object under {}, as in the first line", shown(self.0.path.as_bytes()))
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let line = self.0;
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            let before = nested::enter(&mut line.path, &key);
            let place = line.layout.index.get(&line.path).copied();
            match place {
                Some(place) => line.take_value(place, &mut map)?,
                None => {
                    line.path.truncate(before);
                    line.take_inner(&key, &mut map)?;
                }
            }
            line.path.truncate(before);
        }
        Ok(())
    }
}

impl Line<'_> {
    /// The label, the weight or the group.
    fn take_other<E: serde::de::Error>(&mut self, role: Role, value: &Value) -> Result<(), E> {
        let (name, seen) = match role {
            Role::Weight => ("weight", &mut self.weighted),
            Role::Group => ("group", &mut self.grouped),
            _ => ("label", &mut self.labelled),
        };
        if std::mem::replace(seen, true) {
            return Err(self.refuse(format!("the {name} stands there twice"), "give it once"));
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(truth) if role == Role::Label => u8::from(*truth).to_string(),
            Value::Null => String::new(),
            _ => {
                return Err(self.refuse(format!("the {name} is not a number or a word"), SHAPE));
            }
        };
        let line = self.rows.lines;
        let outcome = match role {
            Role::Weight => self.rows.push_weight(text.as_bytes()),
            Role::Group => self.rows.group.push(text.as_bytes(), line),
            _ => self.rows.label.push_text(text.as_bytes()),
        };
        outcome.map_err(|(what, help)| self.refuse(what, &help))
    }

    fn take_tensor<E: serde::de::Error>(&mut self, values: &Values) -> Result<(), E> {
        let width = self.layout.features;
        match &values.keys {
            None if values.values.len() == width => {
                for (at, value) in values.values.iter().enumerate() {
                    self.row()[at] = self.cell(at, value)?;
                }
            }
            None => self.filled = values.values.len(),
            Some(keys) if keys.len() == values.values.len() => {
                let absent = self.layout.absent;
                self.row().fill(absent);
                for (key, value) in keys.iter().zip(&values.values) {
                    let Some(at) = usize::try_from(*key).ok().filter(|at| *at < width) else {
                        let what = format!("the key {key} is not below {width}");
                        return Err(self.refuse(what, "count keys from 0, below the shape"));
                    };
                    self.row()[at] = self.cell(at, value)?;
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

impl Line<'_> {
    /// One value of a tensor.
    fn cell<E: serde::de::Error>(&mut self, at: usize, value: &Option<Entry>) -> Result<f32, E> {
        let role = self.layout.role_of(at);
        self.column = Some(at);
        let value = match value {
            None => f32::NAN,
            Some(Entry::Number(number)) => Cell(self, role).visit_f64(*number)?,
            Some(Entry::Truth(truth)) => Cell(self, role).visit_bool(*truth)?,
            Some(Entry::Word(word)) => Cell(self, role).visit_str(word)?,
        };
        self.column = None;
        Ok(value)
    }

    /// The code of a word, in the `slot`-th column of words.
    fn word<E: serde::de::Error>(&mut self, slot: usize, text: &str) -> Result<f32, E> {
        let layout = self.layout;
        let code = self.rows.word(&layout.roles, slot, text.as_bytes());
        code.map_err(|(what, help)| self.refuse(what, &help))
    }
}

#[derive(serde::Deserialize)]
struct Tensor {
    features: Values,
}

/// A number or a word; which of them belongs there is known with its column.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Entry {
    Number(f64),
    Truth(bool),
    Word(String),
}

#[derive(serde::Deserialize)]
struct Values {
    values: Vec<Option<Entry>>,
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
            let role = line.layout.role_of(at);
            let Some(value) = list.next_element_seed(Cell(line, role))? else { break };
            if let Some(slot) = line.row().get_mut(at) {
                *slot = value;
            }
            at += 1;
        }
        line.column = None;
        line.filled = at;
        Ok(())
    }
}

/// A number, `null` for a missing one, or a truth as 0 or 1; in a column of words, a word.
struct Cell<'a, 'b>(&'a mut Line<'b>, Role);

impl<'de> DeserializeSeed<'de> for Cell<'_, '_> {
    type Value = f32;
    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<f32, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Cell<'_, '_> {
    type Value = f32;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number")
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<f32, E> {
        if let Role::Words(slot) = self.1 {
            return self.0.word(slot, &value.to_string());
        }
        let narrow = value as f32;
        if narrow.is_infinite() {
            let what = format!("{value:e} is too large");
            return Err(self.0.refuse(what, "write numbers between -3.4e38 and 3.4e38"));
        }
        Ok(narrow)
    }
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<f32, E> {
        match self.1 {
            Role::Words(slot) => self.0.word(slot, &value.to_string()),
            _ => Ok(value as f32),
        }
    }
    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<f32, E> {
        match self.1 {
            Role::Words(slot) => self.0.word(slot, &value.to_string()),
            _ => Ok(value as f32),
        }
    }
    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<f32, E> {
        match self.1 {
            Role::Words(slot) => self.0.word(slot, if value { "true" } else { "false" }),
            _ => Ok(f32::from(u8::from(value))),
        }
    }
    fn visit_unit<E>(self) -> Result<f32, E> {
        Ok(f32::NAN)
    }
    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<f32, A::Error> {
        let what = "an object stands where the first line has one value".to_owned();
        let help = "write the object in the first line too, with null for what is missing";
        Err(self.0.refuse(what, help))
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<f32, E> {
        let line = self.0;
        if let Role::Words(slot) = self.1 {
            return line.word(slot, text);
        }
        if let Ok(number::Cell::Missing) = number::parse(text.as_bytes()) {
            return Ok(f32::NAN);
        }
        if line.layout.roles.survey {
            line.rows.surprises.extend(line.column);
            return Ok(f32::NAN);
        }
        let what = format!("the text {} stands where a number belongs", shown(text.as_bytes()));
        let name = line.column.and_then(|at| line.layout.names.get(at));
        let help = line.layout.roles.word_help(name, &line.layout.channel);
        Err(line.refuse(what, &help))
    }
}
