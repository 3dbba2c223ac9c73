//! The variables a store may look at, taken once and handed in.
//!
//! A value instead of the process's own table, so that an embedder or a test can say what the
//! store sees without changing the process for everybody else.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Environment variables, by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// The variables of this process, as they are now. Those that are not Unicode are left out.
    pub fn of_process() -> Environment {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// A variable's value; an empty one counts as absent, as AWS's own tools have it.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether a variable says yes.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.value(name).is_some_and(|v| v.eq_ignore_ascii_case("true") || v == "1")
    }

    /// The file a variable names, or one below the home directory.
    pub(super) fn file(&self, name: &str, below_home: &str) -> Option<PathBuf> {
        let home = || self.value("HOME").map(PathBuf::from);
        match self.value(name) {
            Some(path) => match path.strip_prefix("~/") {
                Some(rest) => Some(home()?.join(rest)),
                None => Some(PathBuf::from(path)),
            },
            None => Some(home()?.join(below_home)),
        }
    }

    /// The variables of one cloud, those with a value; only the stores behind features want them.
    /// The prefix is a must: those stores' clients would also take a `TOKEN` or a `TIMEOUT` that
    /// somebody set for another program.
    #[cfg(any(feature = "gcp", feature = "azure"))]
    pub(super) fn beginning_with(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        let all = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        all.filter(move |(name, value)| name.starts_with(prefix) && !value.is_empty())
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Environment {
        let variables = pairs.into_iter().map(|(n, v)| (n.into(), v.into())).collect();
        Environment { variables }
    }
}

/// Names only: values are where secrets live.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}
