//! Mistakes in what a user wrote, collected so that one answer names them all.
//!
//! How they are shown is decided in [`super::Mistakes`]; here they are only found and counted.

use std::fmt;

/// One mistake: which key, what is wrong with it, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Dotted path of the key, as the user would write it in `--set` (`channels.train.uri`);
    /// empty when the whole file is meant.
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
        match self.key.as_str() {
            "" => f.write_str(&self.what),
            key => write!(f, "{key}: {}", self.what),
        }
    }
}

/// The known name closest to `given`, when it is close enough to be what was meant: a few
/// letters apart, or the one name that begins or ends with it (`runtime` for `max_runtime_s`).
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_lowercase();
    let known: Vec<&str> = known.into_iter().collect();
    let close = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&given, &name.to_lowercase()), *name))
        .filter(|(distance, name)| *distance <= 1 + given.len().max(name.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name);
    let whole_word = |name: &&&str| {
        let mut parts = name.split(['_', '-', ':']);
        given.len() >= 3 && parts.any(|part| part.eq_ignore_ascii_case(&given))
    };
    close.or_else(|| {
        let mut containing = known.iter().filter(whole_word);
        containing.next().copied().filter(|_| containing.next().is_none())
    })
}

/// Characters of a user's text that a message repeats.
const SHOWN_CHARS_MAX: usize = 64;

/// `text` on one line and of bounded length, for messages.
pub fn shortened(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).map(clean).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["learning_rate", "epochs", "max_runtime_s", "mini_batch_size"];

    #[test]
    fn a_slip_of_the_finger_finds_its_name() {
        assert_eq!(nearest("lerning_rate", KNOWN), Some("learning_rate"));
        assert_eq!(nearest("Epoch", KNOWN), Some("epochs"));
        assert_eq!(nearest("max_runtime", KNOWN), Some("max_runtime_s"));
    }

    #[test]
    fn a_word_of_one_name_finds_that_name() {
        assert_eq!(nearest("runtime", KNOWN), Some("max_runtime_s"));
        assert_eq!(nearest("size", ["body_size", "batch_size"]), None);
    }

    #[test]
    fn what_is_far_from_everything_finds_nothing() {
        assert_eq!(nearest("gamma", KNOWN), None);
        assert_eq!(nearest("", KNOWN), None);
    }

    #[test]
    fn long_text_is_cut_and_kept_on_one_line() {
        assert_eq!(shortened("a\nb"), "a b");
        assert_eq!(shortened(&"é".repeat(100)).chars().count(), SHOWN_CHARS_MAX + 1);
    }
}
