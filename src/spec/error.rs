//! All mistakes of one document, and how they are shown: one finding each, then the count.

use std::fmt;

use super::problem::{Problem, Problems};
use crate::fault::{Fault, Finding, Kind};

/// Every mistake found in one document. Not empty when it is returned as an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mistakes {
    /// The document, as the user named it.
    pub file: String,
    /// Dotted paths that came from `--set` and therefore have no line.
    pub overridden: Vec<String>,
    /// What is wrong, in the order of the lines; what has no line comes last.
    pub problems: Problems,
}

impl Mistakes {
    /// Mistakes in the document that messages call `file`.
    pub fn new(file: impl Into<String>, problems: Problems) -> Mistakes {
        Mistakes { file: file.into(), overridden: Vec::new(), problems }
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Puts the mistakes into the order of the file.
    pub fn sort(&mut self) {
        self.problems.list.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
    }

    /// Where a mistake stands: `job.toml:12`, `--set` or `job.toml`.
    fn place(&self, problem: &Problem) -> String {
        let set_by = |path: &String| {
            problem
                .key
                .strip_prefix(path.as_str())
                .is_some_and(|r| r.is_empty() || r.starts_with('.'))
        };
        match problem.line {
            Some(line) => format!("{}:{line}: ", self.file),
            // A `--set` that is not even a path names itself.
            None if problem.key.is_empty() && problem.what.starts_with("--set ") => String::new(),
            None if self.overridden.iter().any(set_by) => "--set ".into(),
            None => format!("{}: ", self.file),
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.list.as_slice() {
            [one] => write!(f, "{}{one}", self.place(one)),
            many => write!(f, "{}: {} mistakes", self.file, many.len()),
        }
    }
}

impl std::error::Error for Mistakes {}

impl Fault for Mistakes {
    fn kind(&self) -> Kind {
        Kind::Caller
    }

    fn help(&self) -> Option<String> {
        match self.problems.list.as_slice() {
            [one] => one.help.clone(),
            _ => None,
        }
    }

    fn findings(&self) -> Vec<Finding> {
        match self.problems.list.as_slice() {
            [_] => Vec::new(),
            many => many
                .iter()
                .map(|problem| Finding {
                    what: format!("{}{problem}", self.place(problem)),
                    help: problem.help.clone(),
                })
                .collect(),
        }
    }
}
