//! JSON Lines to rows, for training: one object on each line. Either SageMaker's
//! `{"features": [..], "label": 1}` (or `{"data": {"features": {"values": [..]}}, ..}`), or a value
//! under each column's name. Requests are read by [`super::request`].

use std::borrow::Cow;
use std::collections::HashMap;

use memchr::memchr;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::error::{Broken, shown};
use super::label::Refused;
use super::number;
use super::roles::{Before, Role, Roles};
use super::rows::Rows;
use super::schema::Absent;
use crate::spec::limit::COLUMNS_MAX;
use crate::spec::problem::nearest;
use crate::spec::train::{Categorical, Format, LabelColumn};

/// What each line looks like.
#[derive(Debug)]
pub(crate) struct Layout {
    /// `channels.NAME`, for messages that name a key.
    channel: String,
    /// The label's key.
    pub(crate) label: Option<String>,
    /// Features of a row.
    pub(crate) features: usize,
    /// What each key is for; features that stand in a list come first.
    pub(crate) roles: Roles,
    /// Keys of the features in order; empty when they stand in a list.
    pub(crate) names: Vec<String>,
    index: HashMap<String, Place>,
    /// What stands where a row with `keys` leaves a cell out.
    absent: f32,
}

/// What a key of a line is for.
#[derive(Debug, Clone, Copy)]
struct Place {
    role: Role,
    /// Its number, when it is a feature.
    feature: usize,
}

impl Layout {
    pub(crate) fn absent(self, absent: Absent) -> Layout {
        Layout { absent: absent.value(), ..self }
    }

    /// Reads the first line of an object. `None` when there are only blank lines.
    pub(crate) fn detect(
        text: &[u8],
        start: usize,
        format: &Format,
        channel: &str,
        before: &Before,
    ) -> Result<Option<Layout>, Broken> {
        let mut at = start;
        let mut number = 0;
        while at < text.len() {
            let end = at + memchr(b'\n', &text[at..]).unwrap_or(text.len() - at);
            if !is_blank(&text[at..end]) {
                return Layout::of_line(&text[at..end], format, channel, before)
                    .map(Some)
                    .map_err(|(what, help)| Broken { line: number, column: None, what, help });
            }
            at = end + 1;
            number += 1;
        }
        Ok(None)
    }

    fn of_line(
        line: &[u8],
        format: &Format,
        channel: &str,
        before: &Before,
    ) -> Result<Layout, Refused> {
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
        // A feature by name, or all of them in a list, and what else the job names beside it.
        let listed = list_of(&object);
        bounded(listed.unwrap_or(object.len()))?;
        let label_column = label.clone().map_or(LabelColumn::None, LabelColumn::Named);
        let format = Format { label: label_column, ..format.clone() };
        let names: Vec<String> = object.keys().cloned().collect();
        let mut roles = Roles::resolve(names.len(), &names, &format, before, channel)
            .map_err(|(_, refused)| refused)?;
        let mut index = index_of(&names, &roles);
        if let Some(length) = listed {
            let beside = |role: &Role| matches!(role, Role::Label | Role::Weight | Role::Group);
            if let Categorical::Named(wanted) = &format.categorical {
                let name = wanted.first().map(String::as_str).unwrap_or_default();
                let what = format!(
                    "{channel}.categorical names {}, but the features stand in a list, without names",
                    shown(name.as_bytes())
                );
                let help = "write categorical = \"auto\", or a value under each column's name";
                return Err((what, help.into()));
            }
            index.retain(|_, place| beside(&place.role));
            let others = roles.list.iter().filter(|role| beside(role)).copied();
            roles.list = std::iter::repeat_n(Role::Feature, length).chain(others).collect();
            roles.features = length;
            roles.words.clear();
            let words = match &before.known {
                Some(known) => known.features().collect(),
                None => before.met.clone(),
            };
            roles = roles.with_words(&words);
        }
        let names = if listed.is_some() { Vec::new() } else { roles.feature_names(&names) };
        bounded(roles.features)?;
        let channel = channel.to_owned();
        Ok(Layout { channel, label, features: roles.features, roles, names, index, absent: 0.0 })
    }

    /// The same lines with other roles for the features.
    pub(crate) fn with_roles(mut self, roles: Roles) -> Layout {
        let features =
            roles.list.iter().filter(|role| matches!(role, Role::Feature | Role::Words(_)));
        let features: Vec<Role> = features.copied().collect();
        for place in self.index.values_mut() {
            if let Role::Feature | Role::Words(_) = place.role {
                place.role = features[place.feature];
            }
        }
        Layout { roles, ..self }
    }

    /// What the feature in a list is.
    fn role_of(&self, feature: usize) -> Role {
        // Features in a list stand first among the roles.
        self.roles.list.get(feature).copied().unwrap_or(Role::Ignored)
    }
}

fn index_of(names: &[String], roles: &Roles) -> HashMap<String, Place> {
    let mut feature = 0;
    let mut index = HashMap::new();
    for (name, role) in names.iter().zip(&roles.list) {
        index.insert(name.clone(), Place { role: *role, feature });
        feature += usize::from(matches!(role, Role::Feature | Role::Words(_)));
    }
    index
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
    let at = rows.lines;
    let mut state = Line {
        layout,
        start,
        rows,
        labelled: false,
        weighted: false,
        grouped: false,
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
    rows: &'a mut Rows,
    /// Where the line's row begins.
    start: usize,
    labelled: bool,
    weighted: bool,
    grouped: bool,
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
            if let Some(place) = line.layout.index.get(key.as_ref()) {
                let Place { role, feature } = *place;
                match role {
                    Role::Feature | Role::Words(_) => {
                        line.column = Some(feature);
                        let value = map.next_value_seed(Cell(line, role))?;
                        line.row()[feature] = value;
                        line.column = None;
                    }
                    Role::Ignored => drop(map.next_value::<IgnoredAny>()?),
                    Role::Label | Role::Weight | Role::Group => {
                        let value: Value = map.next_value()?;
                        line.take_other(role, &value)?;
                    }
                }
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
