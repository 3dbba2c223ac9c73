//! What can be wrong with data: a channel's files, a request's body, a media type.

use crate::fault::{Fault, Kind};

/// Why bytes did not become rows, or an answer not bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data are not what the job says they are.
    #[error("{place}: {what}")]
    Bad {
        /// Object, line and column, as far as they are known.
        place: Place,
        /// What is wrong, with the offending text.
        what: String,
        /// How to mend it.
        help: String,
    },
    /// Reading the object failed before its end.
    #[error("{uri}: reading stopped after {bytes} bytes: {source}")]
    Read {
        /// The object.
        uri: String,
        /// Stored bytes that had arrived.
        bytes: u64,
        /// What the store says.
        source: std::io::Error,
    },
    /// A gzip or zstd stream is cut short or damaged.
    #[error("{uri}: {what}")]
    Corrupt {
        /// The object.
        uri: String,
        /// What is wrong with it.
        what: String,
    },
    /// The table does not fit into the job's memory.
    #[error(
        "{channel} needs {needed_bytes} bytes of memory or more; the job may use {limit_bytes}"
    )]
    Memory {
        /// `channels.NAME`
        channel: String,
        /// What was needed when reading stopped, projected to the whole channel where possible.
        needed_bytes: u64,
        /// `resources.memory_bytes_max`
        limit_bytes: u64,
    },
    /// Words were met in columns taken for numbers, while `categorical = "auto"` was still finding
    /// out; [`super::channel::settle_words`] reads again.
    #[error("features {columns:?} hold words")]
    Words {
        /// The features, from 0.
        columns: std::collections::BTreeSet<usize>,
    },
    /// A request's body cannot be read as rows for this model.
    #[error("{what}")]
    Request {
        /// What is wrong, with row and column.
        what: String,
        /// How to mend it.
        help: String,
    },
    /// A request holds more rows than are answered at once.
    #[error("the request has more than {rows_max} rows")]
    TooManyRows {
        /// The bound.
        rows_max: usize,
    },
    /// Rows that do not fit into memory could not be put on disk.
    #[error("{channel} does not fit into memory, and its rows could not be put aside: {source}")]
    Scratch {
        /// `channels.NAME`
        channel: String,
        /// Why.
        source: std::io::Error,
    },
    /// A request is well formed and holds no rows.
    #[error("the request holds no rows")]
    NoRows,
    /// A content type that is not understood.
    #[error("content type {given} is not one smrt reads")]
    UnknownMedia {
        /// As it was given, shortened and in quotes.
        given: String,
    },
    /// None of the accepted media types can be made.
    #[error("none of the accepted types {given} is one smrt writes")]
    NotAcceptable {
        /// As it was given, shortened and in quotes.
        given: String,
    },
    /// The machine would not give a thread, or one was lost.
    #[error("decoding stopped: {0}")]
    Thread(String),
}

/// Where in a channel something was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The object, or `channels.NAME` when all of them are meant.
    pub uri: String,
    /// The line, from 1, in the uncompressed text.
    pub line: Option<u64>,
    /// The record, from 1, where the format has no lines.
    pub record: Option<u64>,
    /// The column: its number from 1, and its name where the file gave one.
    pub column: Option<(usize, Option<String>)>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.uri)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(record) = self.record {
            write!(f, ", record {record}")?;
        }
        match &self.column {
            Some((number, Some(name))) => write!(f, ", column {number} ({name})"),
            Some((number, None)) => write!(f, ", column {number}"),
            None => Ok(()),
        }
    }
}

impl Error {
    /// A mistake that concerns a whole object or channel.
    pub(crate) fn whole(
        uri: impl Into<String>,
        what: impl Into<String>,
        help: impl Into<String>,
    ) -> Error {
        let place = Place { uri: uri.into(), line: None, record: None, column: None };
        Error::Bad { place, what: what.into(), help: help.into() }
    }

    /// A mistake in a request.
    pub(crate) fn request(what: impl Into<String>, help: impl Into<String>) -> Error {
        Error::Request { what: what.into(), help: help.into() }
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Bad { .. } | Error::Words { .. } => Kind::Data,
            Error::Read { source, .. } => match crate::store::Error::inside(source) {
                Some(inside) if inside.kind() == Kind::Denied => Kind::Denied,
                _ => Kind::Unreachable,
            },
            Error::Scratch { .. } => Kind::Unreachable,
            Error::Corrupt { .. } => Kind::Corrupt,
            Error::Memory { .. } => Kind::Caller,
            Error::Request { .. }
            | Error::TooManyRows { .. }
            | Error::NoRows
            | Error::UnknownMedia { .. }
            | Error::NotAcceptable { .. } => Kind::Caller,
            Error::Thread(_) => Kind::Bug,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Error::Bad { help, .. } | Error::Request { help, .. } => Some(help.clone()),
            Error::Read { source, .. } => crate::store::Error::inside(source)?.help(),
            Error::Words { .. } => None,
            Error::Scratch { .. } => Some(
                "make room there, or set `resources.scratch` to a folder with room or \
                 `resources.memory_bytes_max` higher"
                    .into(),
            ),
            Error::Corrupt { .. } => {
                Some("make the object again, or copy it again from where it came".into())
            }
            Error::Memory { needed_bytes, .. } => Some(format!(
                "set `resources.memory_bytes_max` above {needed_bytes}, or give fewer rows or columns"
            )),
            Error::TooManyRows { rows_max } => {
                Some(format!("send at most {rows_max} rows in one request"))
            }
            Error::NoRows => Some("send at least one row".into()),
            Error::UnknownMedia { .. } => Some(
                "use text/csv, application/json, application/jsonlines, text/libsvm (in UTF-8), application/x-recordio-protobuf or application/x-parquet"
                    .into(),
            ),
            Error::NotAcceptable { .. } => {
                Some("accept text/csv, application/json, application/jsonlines, application/x-recordio-protobuf or */*".into())
            }
            Error::Thread(_) => None,
        }
    }
}

/// A mistake found while decoding one block, before anyone knows the block's place in the object.
#[derive(Debug)]
pub(crate) struct Broken {
    /// Lines before it within the block.
    pub(crate) line: u64,
    /// The column in the file, from 0.
    pub(crate) column: Option<usize>,
    pub(crate) what: String,
    pub(crate) help: String,
}

/// Text from a stranger's file, short and printable, in quotes.
pub(crate) fn shown(text: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 40;
    let short = &text[..text.len().min(SHOWN_BYTES_MAX)];
    let ellipsis = if short.len() < text.len() { "…" } else { "" };
    let mut quoted = String::from("\"");
    for chunk in short.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '"' => quoted.push_str("\\\""),
                _ if letter.is_control() || is_invisible(letter) => {
                    quoted.extend(letter.escape_default());
                }
                _ => quoted.push(letter),
            }
        }
        // A letter cut in two by the shortening is left out, a broken one is shown.
        let cut = ellipsis == "…"
            && std::ptr::eq(chunk.invalid().as_ptr_range().end, short.as_ptr_range().end);
        if !cut {
            for byte in chunk.invalid() {
                quoted.push_str(&format!("\\x{byte:02x}"));
            }
        }
    }
    quoted.push_str(ellipsis);
    quoted.push('"');
    quoted
}

/// Letters that reorder or hide the text around them on a terminal.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_is_shown_short_and_printable() {
        assert_eq!(shown(b"abc"), "\"abc\"");
        assert_eq!(shown(b"a\0b\x1b[2J\xff\""), "\"a\\u{0}b\\u{1b}[2J\\xff\\\"\"");
        assert_eq!(shown("\u{202e}x".as_bytes()), "\"\\u{202e}x\"");
        let long = "é".repeat(100);
        assert_eq!(shown(long.as_bytes()), format!("\"{}…\"", "é".repeat(20)));
        let odd = format!("a{}", "é".repeat(100));
        assert_eq!(shown(odd.as_bytes()), format!("\"a{}…\"", "é".repeat(19)));
    }
}
