//! What the command line itself can fail at; everything else is some room's error.

use std::path::PathBuf;

use crate::fault::{Fault, Kind};

/// A failure of the command line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The job file cannot be read.
    #[error("{}: cannot be read", path.display())]
    ReadJob {
        /// As given.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// `smrt algorithms NAME` with a name that is not in the table.
    #[error("{given:?} is not an algorithm of this build")]
    UnknownAlgorithm {
        /// As given.
        given: String,
        /// What to do.
        help: String,
    },
    /// Standard output refused the result.
    #[error("the result could not be written to standard output")]
    Output(#[source] std::io::Error),
    /// Signals could not be listened to.
    #[error("Ctrl-C cannot be listened to")]
    Signal(#[source] ctrlc::Error),
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::ReadJob { .. } | Error::UnknownAlgorithm { .. } => Kind::Caller,
            Error::Output(_) => Kind::Unreachable,
            Error::Signal(_) => Kind::Bug,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Error::ReadJob { source, .. } => Some(match source.kind() {
                std::io::ErrorKind::IsADirectory => {
                    "give the job file itself, not its folder".into()
                }
                std::io::ErrorKind::PermissionDenied => {
                    "ask whoever owns it for read access".into()
                }
                _ => "give the path of a job.toml, or - for standard input".into(),
            }),
            Error::UnknownAlgorithm { help, .. } => Some(help.clone()),
            Error::Output(_) => Some("is the disk full?".into()),
            Error::Signal(_) => None,
        }
    }
}
