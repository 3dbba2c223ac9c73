//! Mistakes in what a user wrote, collected so that one answer names them all.

use std::fmt;

/// One mistake: which key, what is wrong with it, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Dotted path of the key, as the user would write it in `--set` (`channels.train.uri`).
    pub key: String,
    /// Line in the file, from 1, where the file is known.
    pub line: Option<usize>,
    /// What is wrong, naming the offending value.
    pub what: String,
    /// The allowed range, the nearest known key, or another way out.
    pub help: Option<String>,
}

/// Every mistake found in one document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    /// In the order they were found.
    pub list: Vec<Problem>,
}

impl Problems {
    /// Adds a mistake found under `key`.
    pub fn add(
        &mut self,
        key: impl Into<String>,
        line: Option<usize>,
        what: impl Into<String>,
        help: Option<String>,
    ) {
        self.list.push(Problem { key: key.into(), line, what: what.into(), help });
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.what)
    }
}

/// The known name closest to `given`, when it is close enough to be what was meant.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| {
            (strsim::damerau_levenshtein(&given.to_lowercase(), &name.to_lowercase()), name)
        })
        .filter(|(distance, name)| *distance <= 1 + given.len().max(name.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
