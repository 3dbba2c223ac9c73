//! What can keep an endpoint from starting.

use crate::fault::{Fault, Kind};

/// The endpoint's failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The gate would not open.
    #[error(transparent)]
    Gate(#[from] crate::http::Error),
    /// The model failed on rows it must be able to answer.
    #[error("the model cannot answer for a row of zeros: {what}")]
    Model {
        /// What it said.
        what: String,
    },
    /// A model that must always be there is not.
    #[error("pinned model {name:?}: {what}")]
    Pinned {
        /// Its name.
        name: String,
        /// What is wrong.
        what: String,
        /// What to do.
        help: Option<String>,
    },
    /// A variant cannot be served.
    #[error("variant {name}: {what}")]
    Variant {
        /// Its name.
        name: String,
        /// What is wrong.
        what: String,
        /// What to do.
        help: Option<String>,
    },
    /// A worker thread could not be started.
    #[error("cannot start a worker thread: {0}")]
    Thread(std::io::Error),
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Gate(why) => why.kind(),
            Error::Model { .. } | Error::Pinned { .. } | Error::Variant { .. } => Kind::Corrupt,
            Error::Thread(_) => Kind::Unreachable,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Error::Gate(why) => why.help(),
            Error::Pinned { help, .. } | Error::Variant { help, .. } => help.clone(),
            Error::Model { .. } => {
                Some("the artifact opened, but its model is broken: train it again".into())
            }
            Error::Thread(_) => Some("raise the limit of processes".into()),
        }
    }
}
