//! Why events cannot be told.

use crate::fault::{Fault, Kind};

/// A place that events cannot be told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text names no place.
    #[error("{given:?} is no place for events")]
    Place {
        /// As given.
        given: String,
    },
    /// A webhook without a secret would be believed from anybody.
    #[error("events for {url} have no secret to be signed with")]
    Unsigned {
        /// Where to.
        url: String,
    },
    /// The place did not take it.
    #[error("{what}")]
    Refused {
        /// What happened.
        what: String,
    },
    /// The file or the command failed.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("a thread for events could not be started: {0}")]
    Thread(std::io::Error),
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Place { .. } | Error::Unsigned { .. } => Kind::Caller,
            _ => Kind::Unreachable,
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Error::Place { .. } => "write a file's path, https://host/path, or exec:PROGRAM".into(),
            Error::Unsigned { .. } => "set SMRT_EVENTS_SECRET, as the receiver has it".into(),
            _ => return None,
        })
    }
}
