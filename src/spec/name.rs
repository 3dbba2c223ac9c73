//! Names with SageMaker's rules.

use std::fmt;

/// The account of everything on this machine, as text in the program: parts of names are put
/// together from it.
macro_rules! local_account {
    () => {
        "000000000000"
    };
}
pub(crate) use local_account;

/// The account of everything on this machine: keys, users, endpoints. Twelve digits, as AWS has them.
pub const LOCAL_ACCOUNT: &str = local_account!();

/// A training job's name: letters, digits and inner hyphens, 1 to 63 characters
/// (`[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobName(String);

/// A channel's name: letters, digits, `.`, `-` and `_`, 1 to 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(String);

impl JobName {
    /// Reads a name.
    ///
    /// # Errors
    /// The rule, as a sentence, when `text` breaks it.
    pub fn parse(text: &str) -> Result<JobName, &'static str> {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let ok = (1..=63).contains(&text.len())
            && text.chars().all(inner)
            && !text.starts_with('-')
            && !text.ends_with('-');
        ok.then(|| JobName(text.to_owned()))
            .ok_or("use 1 to 63 letters, digits and hyphens, not starting or ending with a hyphen")
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ChannelName {
    /// Reads a name.
    ///
    /// # Errors
    /// The rule, as a sentence, when `text` breaks it.
    pub fn parse(text: &str) -> Result<ChannelName, &'static str> {
        let ok = (1..=64).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
        ok.then(|| ChannelName(text.to_owned()))
            .ok_or("use 1 to 64 letters, digits, dots, hyphens and underscores")
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}
