//! What can go wrong while learning or answering.

use crate::fault::{Fault, Kind};

/// An algorithm's failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data cannot be learned from: one class only, a label outside its domain, no rows.
    #[error("{what}")]
    Data {
        /// What is wrong with them.
        what: String,
        /// What to do.
        help: String,
    },
    /// The training produced numbers that are not finite.
    #[error("{what}")]
    Diverged {
        /// Which figure, when.
        what: String,
        /// What to do.
        help: String,
    },
    /// The stored model is not what it should be.
    #[error("{0}")]
    Corrupt(String),
    /// The build or the machine lacks the device.
    #[error("{what}")]
    Device {
        /// Which device.
        what: String,
        /// What to do.
        help: String,
    },
    /// A checkpoint could not be kept, or does not belong to this job.
    #[error("{what}")]
    Checkpoint {
        /// What is wrong.
        what: String,
        /// What to do.
        help: String,
    },
    /// Rows that were put on disk could not be read back.
    #[error("the rows put aside could not be read back: {source}")]
    Scratch {
        /// Why.
        source: std::io::Error,
    },
    /// The work was asked to stop.
    #[error("training was stopped")]
    Stopped,
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Data { .. } | Error::Diverged { .. } => Kind::Data,
            Error::Corrupt(_) => Kind::Corrupt,
            Error::Device { .. } => Kind::Caller,
            Error::Checkpoint { .. } | Error::Scratch { .. } => Kind::Unreachable,
            Error::Stopped => Kind::Stopped,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Error::Data { help, .. }
            | Error::Diverged { help, .. }
            | Error::Device { help, .. }
            | Error::Checkpoint { help, .. } => Some(help.clone()),
            Error::Scratch { .. } => {
                Some("look after the disk, or name another folder with resources.scratch".into())
            }
            _ => None,
        }
    }
}
