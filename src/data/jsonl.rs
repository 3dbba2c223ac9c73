//! JSON Lines to rows, for training: one object on each line. Either SageMaker's
//! `{"features": [..], "label": 1}` (or `{"data": {"features": {"values": [..]}}, ..}`), or a value
//! under each column's name, which may stand in an object within ([`super::nested`]). Requests are
//! read by [`super::request`].

use std::collections::{HashMap, HashSet};

use memchr::memchr;
use serde_json::Value;

use super::error::{Broken, shown};
use super::label::Refused;
use super::nested::Flat;
use super::roles::{Before, Role, Roles};
use super::rows::Rows;
use super::schema::Absent;
use crate::spec::limit::COLUMNS_MAX;
use crate::spec::problem::nearest;
use crate::spec::train::{Categorical, Format, LabelColumn};

mod line;

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
    /// Names of the objects that hold columns.
    inner: HashSet<String>,
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
            Err(error) => return Err((line::not_json(&error), SHAPE.into())),
        };
        let label = match &format.label {
            LabelColumn::None => None,
            LabelColumn::First => Some("label".to_owned()),
            LabelColumn::Named(name) => Some(name.clone()),
        };
        let listed = list_of(&object);
        let Flat { values, inner } = Flat::of(&object, &format.ignore)?;
        let names: Vec<String> = values.into_iter().map(|(name, _)| name).collect();
        if let Some(label) = &label
            && !names.contains(label)
        {
            let keys = names.iter().map(String::as_str);
            let help = match nearest(label, keys) {
                Some(meant) => {
                    format!("name the label's key with `label = {}`", shown(meant.as_bytes()))
                }
                None => "name the label's key with `label = \"…\"`".into(),
            };
            return Err((format!("there is no key {}", shown(label.as_bytes())), help));
        }
        // A feature by name, or all of them in a list, and what else the job names beside it.
        bounded(listed.unwrap_or(names.len()))?;
        let label_column = label.clone().map_or(LabelColumn::None, LabelColumn::Named);
        let format = Format { label: label_column, ..format.clone() };
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
        let features = roles.features;
        Ok(Layout { channel, label, features, roles, names, index, inner, absent: 0.0 })
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
            line::decode(line, layout, rows)?;
            rows.count += 1;
        }
        rows.lines += 1;
        at = end + 1;
    }
    Ok(())
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r'))
}
