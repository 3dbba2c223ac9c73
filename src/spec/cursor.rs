//! Takes typed values out of a table and notices what is wrong, missing or left over.
//!
//! A reader takes each key it knows, once, and calls [`Cursor::finish`]: what is left then is
//! unknown, and what was needed and not there is missing.

use std::ops::RangeInclusive;

use super::document::{Kind, Node, Table, quoted_if_needed};
use super::parameter::RawValue;
use super::problem::{Problems, nearest};

/// A value with the place it came from, for mistakes found later.
#[derive(Debug)]
pub(crate) struct Found<T> {
    /// The value.
    pub(crate) value: T,
    /// Dotted path.
    pub(crate) key: String,
    /// Line in the file.
    pub(crate) line: Option<usize>,
}

/// What is wrong with a value, and how to mend it.
pub(crate) type Wrong = (String, Option<String>);

/// One table being read.
pub(crate) struct Cursor<'p> {
    path: String,
    line: Option<usize>,
    table: Table,
    known: Vec<&'static str>,
    missing: Vec<(&'static str, String)>,
    torn: bool,
    elsewhere: fn(&str) -> Option<&'static str>,
    problems: &'p mut Problems,
}

impl<'p> Cursor<'p> {
    /// Starts at the top of a document. `elsewhere` says where a key belongs that a user put
    /// into the wrong table; `torn` that missing keys may have been swallowed by a mistake.
    pub(crate) fn new(
        table: Table,
        torn: bool,
        elsewhere: fn(&str) -> Option<&'static str>,
        problems: &'p mut Problems,
    ) -> Cursor<'p> {
        let (path, line) = (String::new(), None);
        let (known, missing) = (Vec::new(), Vec::new());
        Cursor { path, line, table, known, missing, torn, elsewhere, problems }
    }

    /// Reads the table `key` with `read`; an absent one reads as empty.
    pub(crate) fn table<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: impl FnOnce(&mut Cursor<'_>) -> T,
    ) -> T {
        let node = self.take(key);
        self.inner(key, node, example, read)
    }

    /// Reads every table below this one, whatever its name.
    pub(crate) fn each_table(
        &mut self,
        example: &str,
        mut read: impl FnMut(&str, &mut Cursor<'_>),
    ) {
        for (key, node) in std::mem::take(&mut self.table) {
            self.inner(&key, Some(node), example, |cursor| read(&key, cursor));
        }
    }

    fn inner<T>(
        &mut self,
        key: &str,
        node: Option<Node>,
        example: &str,
        read: impl FnOnce(&mut Cursor<'_>) -> T,
    ) -> T {
        let path = self.path_of(key);
        let line = node.as_ref().and_then(|node| node.line);
        // Under a misspelt name the table is there: its keys are not missing.
        let misspelt = |other: &String| nearest(other, [key]).is_some();
        let mut torn = self.torn || (node.is_none() && self.table.keys().any(misspelt));
        let table = match node {
            Some(Node { kind: Kind::Table(table), .. }) => table,
            Some(other) => {
                let what = format!("expected a table, found {}", other.described());
                self.problems.add(&path, line, what, Some(format!("write {example}")));
                torn = true;
                Table::new()
            }
            None => Table::new(),
        };
        let mut cursor = Cursor {
            path,
            line,
            table,
            known: Vec::new(),
            missing: Vec::new(),
            torn,
            elsewhere: self.elsewhere,
            problems: self.problems,
        };
        let value = read(&mut cursor);
        cursor.finish();
        value
    }

    /// Takes what stands under `key`, whatever it is.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        self.table.remove(key)
    }

    /// Takes a string.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<Found<String>> {
        self.typed(key, "a string", |node| match node {
            Node { typed: Some(typed), kind: Kind::Value(RawValue::Text(text)), .. } => {
                // `--set a.b='x'` and `--set a.b=x` are the same.
                Some(if typed.starts_with(['"', '\'']) { text.clone() } else { typed.clone() })
            }
            Node { typed: Some(typed), kind, .. } if !matches!(kind, Kind::Table(_)) => {
                Some(typed.clone())
            }
            Node { kind: Kind::Value(RawValue::Text(text)), .. } => Some(text.clone()),
            _ => None,
        })
    }

    /// Takes a list of strings; a string alone is a list of one.
    pub(crate) fn texts(&mut self, key: &'static str) -> Option<Found<Vec<String>>> {
        self.typed(key, "a list of strings", |node| match (&node.typed, &node.kind) {
            (_, Kind::Value(RawValue::List(items))) => {
                let text = |item: &RawValue| match item {
                    RawValue::Text(text) => Some(text.clone()),
                    _ => None,
                };
                items.iter().map(text).collect()
            }
            (_, Kind::Value(RawValue::Text(text))) => Some(vec![text.clone()]),
            (Some(typed), kind) if !matches!(kind, Kind::Table(_)) => Some(vec![typed.clone()]),
            _ => None,
        })
    }

    /// Takes a string whose value is never shown.
    pub(crate) fn secret(&mut self, key: &'static str) -> Option<Found<String>> {
        let node = self.take(key)?;
        let (path, line) = (self.path_of(key), node.line);
        match (node.typed.as_ref(), &node.kind) {
            (Some(typed), _) => Some(Found { value: typed.clone(), key: path, line }),
            (None, Kind::Value(RawValue::Text(text))) if !text.is_empty() => {
                Some(Found { value: text.clone(), key: path, line })
            }
            _ => {
                let what =
                    format!("expected a string that is not empty, found {}", node.type_name());
                self.problems.add(path, line, what, None);
                None
            }
        }
    }

    /// Takes `true` or `false`.
    pub(crate) fn boolean(&mut self, key: &'static str) -> Option<Found<bool>> {
        self.typed(key, "true or false", |node| match node.kind {
            Kind::Value(RawValue::Boolean(truth)) => Some(truth),
            _ => None,
        })
    }

    /// Takes a whole number within `range`.
    pub(crate) fn integer(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        let (low, high) = (*range.start(), *range.end());
        let expected = format!("a whole number from {low} to {high}");
        let found = self.typed(key, &expected, |node| match node.kind {
            Kind::Value(RawValue::Integer(number)) => Some(number),
            _ => None,
        })?;
        if range.contains(&found.value) {
            return Some(found.value);
        }
        let what = format!("{} is out of range", found.value);
        self.problems.add(found.key, found.line, what, Some(format!("write {expected}")));
        None
    }

    /// Takes a string and reads it with `read`.
    pub(crate) fn parsed<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let found = self.text(key)?;
        match read(&found.value) {
            Ok(value) => Some(value),
            Err((what, help)) => {
                self.problems.add(found.key, found.line, what, help);
                None
            }
        }
    }

    /// Says that `key` must be there; `example` is what to write. Call after taking it.
    pub(crate) fn needs(&mut self, key: &'static str, taken: bool, example: &str) {
        if !taken {
            self.missing.push((key, format!("write {example}")));
        }
    }

    /// Whether `key` is there and was not taken yet.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether the table is absent or empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Everything that is left, for tables whose keys are somebody else's.
    pub(crate) fn rest(&mut self) -> Table {
        std::mem::take(&mut self.table)
    }

    /// Adds a mistake under a key of this table.
    pub(crate) fn wrong(
        &mut self,
        key: &str,
        line: Option<usize>,
        what: String,
        help: Option<String>,
    ) {
        let path = self.path_of(key);
        self.problems.add(path, line.or(self.line), what, help);
    }

    /// Adds a mistake about this table as a whole.
    pub(crate) fn itself_is_wrong(&mut self, what: String, help: Option<String>) {
        self.problems.add(self.path.clone(), self.line, what, help);
    }

    /// Reports what is left over and what is missing.
    pub(crate) fn finish(&mut self) {
        let mut meant = Vec::new();
        for (key, node) in std::mem::take(&mut self.table) {
            let near = nearest(&key, self.known.iter().copied());
            meant.extend(near);
            let what = match node.kind {
                Kind::Table(_) => "unknown table",
                _ => "unknown key",
            };
            let help = match (near, (self.elsewhere)(&key)) {
                (Some(near), _) => format!("did you mean {near}?"),
                (None, Some(place)) => format!("did you mean {place}?"),
                (None, None) if self.known.is_empty() => "leave it out".to_owned(),
                (None, None) => format!("known here: {}", self.known.join(", ")),
            };
            self.problems.add(self.path_of(&key), node.line, what, Some(help));
        }
        if self.torn {
            return;
        }
        for (key, help) in std::mem::take(&mut self.missing) {
            // A misspelt key was reported above; saying that it is missing too helps nobody.
            if !meant.contains(&key) {
                self.problems.add(self.path_of(key), self.line, "is missing", Some(help));
            }
        }
    }

    fn typed<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&Node) -> Option<T>,
    ) -> Option<Found<T>> {
        let node = self.take(key)?;
        let path = self.path_of(key);
        if let Some(value) = read(&node) {
            return Some(Found { value, key: path, line: node.line });
        }
        let what = format!("expected {expected}, found {}", node.described());
        self.problems.add(path, node.line, what, None);
        None
    }

    fn path_of(&self, key: &str) -> String {
        let key = quoted_if_needed(key);
        match self.path.as_str() {
            "" => key,
            path => format!("{path}.{key}"),
        }
    }
}
