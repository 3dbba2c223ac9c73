//! What can keep the gate from opening.

use std::io;
use std::net::SocketAddr;

use crate::fault::{Fault, Kind};

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
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A thread or its event loop could not be started.
    #[error("cannot start a server thread: {0}")]
    Thread(io::Error),
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Address { .. } => Kind::Caller,
            Error::Listen { .. } | Error::Thread(_) => Kind::Unreachable,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Error::Address { .. } => {
                Some("write host:port, for example 127.0.0.1:8080, or :0 for any free port".into())
            }
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
            Error::Thread(_) => Some("raise the limit of processes or of open files".into()),
        }
    }
}
