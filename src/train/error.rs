//! Why a job did not finish.

use crate::fault::{Fault, Finding, Kind};
use crate::spec::Mistakes;
use crate::spec::uri::Uri;

use super::stop::Reason;

/// A job's failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The job has mistakes; all of them.
    #[error(transparent)]
    Spec(#[from] Mistakes),
    /// The job file could not be read.
    #[error("{path}: {source}")]
    File {
        /// As given.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A channel could not be reached, or the output could not be written.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// A channel's data are not what the job says they are.
    #[error("channel {channel}: {source}")]
    Data {
        /// The channel's name.
        channel: String,
        /// What is wrong.
        source: Box<crate::data::Error>,
    },
    /// Two channels do not fit together.
    #[error("{what}")]
    Channels {
        /// What does not fit.
        what: String,
        /// What to do.
        help: String,
    },
    /// Sparse rows do not fit into memory once every cell stands there.
    #[error(
        "channel {channel}: {rows} rows of {features} features need {bytes} bytes when sparse rows are filled up; \
         with what else is held that is {needed_bytes}, and the job may use {limit_bytes}"
    )]
    Whole {
        /// The channel's name.
        channel: String,
        /// Its rows.
        rows: usize,
        /// Features of each.
        features: usize,
        /// What they take, filled up.
        bytes: u64,
        /// With what is held beside them.
        needed_bytes: u64,
        /// `resources.memory_bytes_max`
        limit_bytes: u64,
    },
    /// The algorithm gave up.
    #[error(transparent)]
    Algorithm(#[from] crate::algorithm::Error),
    /// The job could not be isolated, or the isolated process ended early.
    #[error(transparent)]
    Apart(#[from] crate::sandbox::Error),
    /// What failed in the isolated process.
    #[error(transparent)]
    Told(#[from] crate::courier::Told),
    /// A key is missing or refused.
    #[error(transparent)]
    Seal(#[from] crate::seal::Error),
    /// The artifact could not be made.
    #[error(transparent)]
    Model(#[from] crate::model::Error),
    /// Writing the artifact failed.
    #[error("{uri}: {source}")]
    Write {
        /// Where it was to lie.
        uri: Uri,
        /// Why.
        source: std::io::Error,
    },
    /// There is no checkpoint to go on from, or it belongs to another job.
    #[error("{what}")]
    Resume {
        /// What is wrong.
        what: String,
        /// What to do.
        help: String,
    },
    /// The job names a role, and who runs it does not hold it to one.
    #[error("job.role names a role, and nothing holds the job to it")]
    Role,
    /// The job was stopped before it was done.
    #[error("training stopped {}", match reason {
        Reason::Requested => "on request",
        Reason::MaxRuntime => "because stopping.max_runtime_s has passed",
    })]
    Stopped {
        /// Why.
        reason: Reason,
        /// The checkpoint that was kept.
        checkpoint: Option<Uri>,
    },
}

impl From<crate::data::manifest::Refused> for Error {
    fn from(refused: crate::data::manifest::Refused) -> Error {
        match refused {
            crate::data::manifest::Refused::Store(error) => error.into(),
            crate::data::manifest::Refused::Spec(mistakes) => mistakes.into(),
        }
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Spec(_) | Error::File { .. } => Kind::Caller,
            Error::Store(source) => source.kind(),
            Error::Data { source, .. } => source.kind(),
            Error::Channels { .. } => Kind::Data,
            Error::Whole { .. } => Kind::Caller,
            Error::Algorithm(source) => source.kind(),
            Error::Apart(source) => source.kind(),
            Error::Told(source) => source.kind(),
            Error::Seal(source) => source.kind(),
            Error::Model(source) => source.kind(),
            Error::Write { .. } => Kind::Unreachable,
            Error::Resume { .. } | Error::Role => Kind::Caller,
            Error::Stopped { .. } => Kind::Stopped,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Error::Spec(mistakes) => mistakes.help(),
            Error::File { .. } => {
                Some("give the path of a job file, e.g. examples/churn.toml".into())
            }
            Error::Store(source) => source.help(),
            Error::Data { source, .. } => source.help(),
            Error::Channels { help, .. } | Error::Resume { help, .. } => Some(help.clone()),
            Error::Whole { needed_bytes, .. } => Some(format!(
                "set `resources.memory_bytes_max` above {needed_bytes}, or give fewer rows or features"
            )),
            Error::Algorithm(source) => source.help(),
            Error::Apart(source) => source.help(),
            Error::Told(source) => source.help(),
            Error::Seal(source) => stored(source).or_else(|| source.help()),
            Error::Model(source) => stored(source).or_else(|| source.help()),
            Error::Role => {
                Some("use smrt train, or give the job smrt::role's store and keys".into())
            }
            Error::Write { .. } => {
                Some("nothing was left behind; make room or choose another output.uri".into())
            }
            Error::Stopped { checkpoint: Some(uri), .. } => Some(format!(
                "the checkpoint is kept at {uri}; go on with `smrt train --resume` and the same job file"
            )),
            Error::Stopped { checkpoint: None, .. } => {
                Some("no checkpoint was reached yet; run the job again from the start".into())
            }
        }
    }

    fn findings(&self) -> Vec<Finding> {
        match self {
            Error::Spec(mistakes) => mistakes.findings(),
            Error::Told(told) => told.findings(),
            _ => Vec::new(),
        }
    }
}

/// The way out that the store knows, when sealing or packing only passed its error on.
fn stored(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inside = error.downcast_ref().and_then(crate::store::Error::inside);
        if let Some(found) = inside {
            return found.help();
        }
        next = error.source();
    }
    None
}
