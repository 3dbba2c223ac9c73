//! What can go wrong with identities and their policies, under AWS's names where it has one.

use std::path::PathBuf;

use crate::fault::{Fault, Finding, Kind};
use crate::spec::Mistakes;

/// A failure of the room.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such user, role, policy or key.
    #[error("there is no {what}")]
    NoSuchEntity {
        /// Which.
        what: String,
        /// What there is.
        help: Option<String>,
    },
    /// The name is taken.
    #[error("{what} exists already")]
    EntityAlreadyExists {
        /// Which.
        what: String,
    },
    /// Something hangs on it.
    #[error("{what}")]
    DeleteConflict {
        /// What.
        what: String,
    },
    /// There are as many as there may be.
    #[error("{what}")]
    LimitExceeded {
        /// Of what.
        what: String,
    },
    /// A name or number is not one.
    #[error("{what}")]
    InvalidInput {
        /// Which.
        what: String,
        /// What to write.
        help: String,
    },
    /// A policy's text is wrong.
    #[error(transparent)]
    MalformedPolicy(#[from] Mistakes),
    /// The caller may not.
    #[error("{what}")]
    AccessDenied {
        /// Who, what, on what, and why not.
        what: String,
        /// The statement that is missing.
        help: Option<String>,
    },
    /// The state file cannot be used.
    #[error("{}: {what}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The state file's rights let others read it.
    #[error("{}: others may read it (mode {mode:o})", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The state file is not what smrt wrote.
    #[error("{}: {why}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The state cannot be sealed or opened.
    #[error("{}: {why}", path.display())]
    Keeper {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: Box<dyn Fault>,
    },
    /// The operating system has no randomness to give.
    #[error("the operating system gives no random bytes: {why}")]
    Random {
        /// Why.
        why: String,
    },
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::MalformedPolicy(mistakes) => mistakes.kind(),
            Error::AccessDenied { .. } | Error::Open { .. } => Kind::Denied,
            Error::File { .. } => Kind::Unreachable,
            Error::Damaged { .. } => Kind::Corrupt,
            Error::Keeper { why, .. } => why.kind(),
            Error::Random { .. } => Kind::Unreachable,
            _ => Kind::Caller,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Error::NoSuchEntity { help, .. } | Error::AccessDenied { help, .. } => help.clone(),
            Error::InvalidInput { help, .. } => Some(help.clone()),
            Error::MalformedPolicy(mistakes) => mistakes.help(),
            Error::Open { path, .. } => Some(format!("chmod 600 {}", path.display())),
            Error::Damaged { .. } => Some("restore it from a backup".into()),
            Error::Keeper { why, .. } => why.help(),
            _ => None,
        }
    }

    fn findings(&self) -> Vec<Finding> {
        match self {
            Error::MalformedPolicy(mistakes) => mistakes.findings(),
            _ => Vec::new(),
        }
    }
}
