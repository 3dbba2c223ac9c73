//! Why a transform did not finish.

use crate::fault::{Fault, Finding, Kind};
use crate::spec::Mistakes;
use crate::spec::uri::Uri;

/// A transform's failure.
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
    /// A place could not be listed, read or written.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// An output could not be written.
    #[error("{uri}: {source}")]
    Write {
        /// Which.
        uri: Uri,
        /// Why.
        source: std::io::Error,
    },
    /// The model could not be opened.
    #[error(transparent)]
    Model(#[from] crate::model::Error),
    /// A key is missing or refused.
    #[error(transparent)]
    Seal(#[from] crate::seal::Error),
    /// The model gave up for a reason of its own.
    #[error(transparent)]
    Algorithm(#[from] crate::algorithm::Error),
    /// An object's bytes are not the records they should be.
    #[error(transparent)]
    Data(#[from] crate::data::Error),
    /// Two inputs would have one output.
    #[error("{first} and {second} would both be answered in {output}")]
    SameOutput {
        /// An input.
        first: String,
        /// Another.
        second: String,
        /// What both would write.
        output: String,
    },
    /// What an earlier run left cannot be gone on from.
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
    /// Threads could not be started.
    #[error("{0} threads could not be started")]
    Threads(usize),
    /// Some objects failed; the others are done.
    #[error("{count} of {objects} objects failed, and {done} are done")]
    Objects {
        /// What is wrong with each, the first of them.
        findings: Vec<Finding>,
        /// How many failed.
        count: usize,
        /// How many there are.
        objects: usize,
        /// How many have their output.
        done: usize,
    },
    /// Somebody asked for the work to stop.
    #[error("the transform was stopped after {done} of {objects} objects")]
    Stopped {
        /// How many have their output.
        done: usize,
        /// How many there are.
        objects: usize,
    },
}

impl Error {
    /// Whether it concerns one object alone, so that the others may go on.
    pub(super) fn is_of_the_object(&self) -> bool {
        matches!(self, Error::Data(_) | Error::Store(_))
            && matches!(self.kind(), Kind::Data | Kind::Corrupt | Kind::Caller)
    }
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
            Error::Spec(_) | Error::File { .. } | Error::Resume { .. } => Kind::Caller,
            Error::SameOutput { .. } | Error::Role => Kind::Caller,
            Error::Store(source) => source.kind(),
            Error::Write { source, .. } => {
                crate::store::Error::inside(source).map_or(Kind::Unreachable, Fault::kind)
            }
            Error::Model(source) => source.kind(),
            Error::Seal(source) => source.kind(),
            Error::Algorithm(source) => source.kind(),
            Error::Data(source) => source.kind(),
            Error::Threads(_) => Kind::Unreachable,
            Error::Objects { .. } => Kind::Data,
            Error::Stopped { .. } => Kind::Stopped,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Error::Spec(mistakes) => mistakes.help(),
            Error::File { .. } => Some("give the path of a transform's job file".into()),
            Error::Store(source) => source.help(),
            Error::Write { source, .. } => match crate::store::Error::inside(source) {
                Some(inside) => inside.help(),
                None => Some("nothing was left behind; make room, then add --resume".into()),
            },
            Error::Model(source) => source.help(),
            Error::Seal(source) => source.help(),
            Error::Algorithm(source) => source.help(),
            Error::Data(source) => source.help(),
            Error::SameOutput { .. } => Some("rename one of them, or transform them apart".into()),
            Error::Resume { help, .. } => Some(help.clone()),
            Error::Role => {
                Some("use smrt transform, or give the job smrt::role's store and keys".into())
            }
            Error::Threads(_) => Some("lower transform.max_concurrent_transforms".into()),
            Error::Objects { .. } => {
                Some("mend them, then add --resume: what is done is not done again".into())
            }
            Error::Stopped { .. } => Some("add --resume to go on with the rest".into()),
        }
    }

    fn findings(&self) -> Vec<Finding> {
        match self {
            Error::Spec(mistakes) => mistakes.findings(),
            Error::Objects { findings, .. } => findings.clone(),
            _ => Vec::new(),
        }
    }
}
