//! Standard output: results only, and a reader that goes away early is not an error.

use std::io::{ErrorKind, Write};

use super::{Error, Failure};

/// Writes a whole result.
pub(super) fn write(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    finish(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// What a write to standard output means: `smrt … | head` has what it wants.
pub(super) fn finish(result: std::io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other.map_err(Error::Output)?),
    }
}

/// A value as indented JSON with a line feed.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    let mut text =
        serde_json::to_string_pretty(value).expect("reports have string keys and finite shapes");
    text.push('\n');
    text
}

/// How a command's result is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    #[default]
    Text,
    Json,
}
