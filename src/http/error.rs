//! What can keep the gate from opening.

use std::io;
use std::path::PathBuf;

use crate::fault::{Fault, Finding, Kind};

/// The gate's failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is not one that can be listened on.
    #[error("{text:?} is not an address to listen on")]
    Address {
        /// As written.
        text: String,
    },
    /// The address is taken, not ours, or not allowed.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// A certificate, a key or another file cannot be used.
    #[error("{}: {what}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// How to mend it.
        help: String,
    },
    /// The file of tokens has mistakes.
    #[error("{}: {} mistake{}", path.display(), findings.len(), if findings.len() == 1 { "" } else { "s" })]
    Tokens {
        /// Which.
        path: PathBuf,
        /// One by one.
        findings: Vec<Finding>,
    },
    /// A thread or its event loop could not be started.
    #[error("cannot start a server thread: {0}")]
    Thread(io::Error),
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Address { .. } | Error::File { .. } | Error::Tokens { .. } => Kind::Caller,
            Error::Listen { .. } | Error::Thread(_) => Kind::Unreachable,
        }
    }

    fn findings(&self) -> Vec<Finding> {
        match self {
            Error::Tokens { findings, .. } => findings.clone(),
            _ => Vec::new(),
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Error::Address { .. } => Some(
                "write host:port, for example 127.0.0.1:8080, :0 for any free port, or unix:/path"
                    .into(),
            ),
            Error::Listen { source, .. } => Some(match source.kind() {
                io::ErrorKind::AddrInUse => {
                    "another process listens there: stop it, or choose another port with --listen"
                        .into()
                }
                io::ErrorKind::PermissionDenied => {
                    "ports below 1024 need a privilege: choose another with --listen".into()
                }
                _ => "choose an address of this machine with --listen".into(),
            }),
            Error::File { help, .. } => Some(help.clone()),
            Error::Tokens { .. } => None,
            Error::Thread(_) => Some("raise the limit of processes or of open files".into()),
        }
    }
}
