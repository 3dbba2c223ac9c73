//! What can go wrong with the trail.

use crate::fault::{Fault, Kind};
use crate::telemetry::audit;
use crate::{seal, store};

/// The trail cannot be written, or does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log itself.
    #[error(transparent)]
    Log(#[from] audit::Error),
    /// The place of the digests.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The signing key.
    #[error(transparent)]
    Seal(#[from] seal::Error),
    /// A digest could not be written.
    #[error("{place}: {source}")]
    Write {
        /// Where.
        place: String,
        /// Why.
        source: std::io::Error,
    },
    /// The trail was tampered with.
    #[error("{place}: {what}")]
    Tampered {
        /// Log and line, or the digest.
        place: String,
        /// What is wrong there.
        what: String,
        /// Where to look for what stood there.
        help: String,
    },
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Log(source) => source.kind(),
            Error::Store(source) => source.kind(),
            Error::Seal(source) => source.kind(),
            Error::Write { .. } => Kind::Unreachable,
            Error::Tampered { .. } => Kind::Corrupt,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Error::Log(source) => source.help(),
            Error::Store(source) => source.help(),
            Error::Seal(source) => source.help(),
            Error::Write { .. } => Some("is there room, and may it be written to?".into()),
            Error::Tampered { help, .. } => Some(help.clone()),
        }
    }
}
