//! What can be wrong with an artifact.

use crate::fault::{Fault, Kind};

/// A failure to make, read or open an artifact.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The archive is not one smrt will read.
    #[error("{place}: {what}")]
    Archive {
        /// The artifact.
        place: String,
        /// What is wrong with it.
        what: String,
        /// What to do.
        help: Option<String>,
    },
    /// The artifact was made by an algorithm this process does not have.
    #[error("{place}: the model was made by {algorithm:?}, which this build does not have")]
    UnknownAlgorithm {
        /// The artifact.
        place: String,
        /// Its algorithm.
        algorithm: String,
    },
    /// The artifact could not be read.
    #[error("{place}: {source}")]
    Read {
        /// The artifact.
        place: String,
        /// Why.
        source: std::io::Error,
    },
    /// The seal would not open.
    #[error("{place}: {source}")]
    Seal {
        /// The artifact.
        place: String,
        /// Why.
        source: crate::seal::Error,
    },
    /// Nobody who is trusted vouches for the artifact.
    #[error("{place}: {source}")]
    Signature {
        /// The artifact.
        place: String,
        /// Why.
        source: crate::sign::Error,
    },
    /// The artifact is not the one that was meant.
    #[error("{place}: its SHA-256 is {found}, and {wanted} was wanted")]
    Digest {
        /// The artifact.
        place: String,
        /// Of what is there.
        found: String,
        /// Of what was meant.
        wanted: String,
    },
    /// A record of a job cannot be believed.
    #[error("{place}: {what}")]
    Record {
        /// The record.
        place: String,
        /// What is wrong.
        what: String,
    },
    /// The weights do not fit the manifest.
    #[error("{place}: {source}")]
    Weights {
        /// The artifact.
        place: String,
        /// Why.
        source: crate::algorithm::Error,
    },
    /// Writing the archive failed.
    #[error("the archive could not be written: {0}")]
    Write(#[source] std::io::Error),
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Archive { .. } | Error::Weights { .. } => Kind::Corrupt,
            Error::Digest { .. } | Error::Record { .. } => Kind::Denied,
            Error::Signature { source, .. } => source.kind(),
            Error::UnknownAlgorithm { .. } => Kind::Caller,
            Error::Seal { source, .. } => source.kind(),
            Error::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Kind::Caller
            }
            Error::Read { .. } | Error::Write(_) => Kind::Unreachable,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Error::Archive { help, .. } => help.clone(),
            Error::UnknownAlgorithm { .. } => Some(
                "open it with the program that registered this algorithm, or a newer smrt".into(),
            ),
            Error::Seal { source, .. } => source.help(),
            Error::Signature { source, .. } => source.help(),
            Error::Digest { .. } => Some(
                "an older or another version was put in its place: bring the one that the job's \
                 record names, or change what is wanted"
                    .into(),
            ),
            Error::Record { .. } => {
                Some("give the job.json that `smrt train` left beside the artifact's folder".into())
            }
            Error::Weights { .. } => {
                Some("train the model again, or fetch the artifact again".into())
            }
            Error::Read { .. } => Some("give the artifact that `smrt train` reported".into()),
            Error::Write(_) => None,
        }
    }
}
