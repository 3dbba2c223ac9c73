//! Names of values that stand in objects within objects: `{"customer": {"age": 31}}` holds
//! `customer.age`. A key that itself has a dot names the same value, so a table that was written
//! flat is read like the one it came from. Lists have no names here.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::error::shown;
use super::label::Refused;

/// What one line holds, in its order.
#[derive(Debug, Default)]
pub(crate) struct Flat<'a> {
    /// Each value that is no object, under its whole name.
    pub(crate) values: Vec<(String, &'a Value)>,
    /// Names of the objects on the way.
    pub(crate) inner: HashSet<String>,
}

impl<'a> Flat<'a> {
    /// Objects named in `whole` are taken as one value.
    ///
    /// # Errors
    /// A name that stands there twice, nested and with a dot.
    pub(crate) fn of(object: &'a Map<String, Value>, whole: &[String]) -> Result<Self, Refused> {
        let mut flat = Flat::default();
        flat.add(object, &mut String::new(), whole);
        let mut seen = HashSet::new();
        match flat.values.iter().find(|(name, _)| !seen.insert(name)) {
            Some((twice, _)) => Err((
                format!("the name {} stands there twice", shown(twice.as_bytes())),
                "a value within an object is named with a dot: write it one way only".into(),
            )),
            None => Ok(flat),
        }
    }

    fn add(&mut self, object: &'a Map<String, Value>, path: &mut String, whole: &[String]) {
        for (key, value) in object {
            let before = enter(path, key);
            match value {
                Value::Object(inner) if !whole.contains(path) => {
                    self.inner.insert(path.clone());
                    self.add(inner, path, whole);
                }
                _ => self.values.push((path.clone(), value)),
            }
            path.truncate(before);
        }
    }
}

/// Makes `path` the name of `key` within it; truncated to the length that is returned, it is what it
/// was.
pub(crate) fn enter(path: &mut String, key: &str) -> usize {
    let before = path.len();
    if before > 0 {
        path.push('.');
    }
    path.push_str(key);
    before
}

/// Whether `column` lies within the object `path`.
pub(crate) fn is_within(column: &str, path: &str) -> bool {
    column.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
}
