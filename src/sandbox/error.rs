//! Why a process is not isolated.

use crate::fault::{Fault, Kind};

/// A failure of isolation. The work is then not done at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel cannot do what was asked.
    #[error("this machine cannot isolate a process: {what}")]
    Lacking {
        /// What is missing.
        what: String,
    },
    /// The process could not be started.
    #[error("the isolated process cannot be started")]
    Start(#[source] std::io::Error),
    /// It ended before it was done.
    #[error("the isolated process ended before it was done ({how})")]
    Ended {
        /// Its exit code or signal.
        how: String,
    },
    /// What it says is not what it should say.
    #[error("the isolated process said something that it should not: {what}")]
    Said {
        /// What.
        what: String,
    },
    /// A process that was itself started as an isolated one asks for another.
    #[error("this program was started to do isolated work and does not begin with it")]
    Again,
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Lacking { .. } | Error::Again => Kind::Caller,
            Error::Start(_) | Error::Ended { .. } => Kind::Unreachable,
            Error::Said { .. } => Kind::Bug,
        }
    }

    fn help(&self) -> Option<String> {
        Some(
            match self {
                Error::Lacking { .. } => {
                    "use Linux 5.13 or newer with landlock and seccomp, or set network.isolation = \"open\""
                }
                Error::Start(_) => "may this user start processes?",
                Error::Ended { .. } => {
                    "its last lines above may say why; a signal often means that it wanted more memory than \
                     resources.memory_bytes_max allows"
                }
                Error::Said { .. } => "this is a mistake of smrt, or the process was taken over",
                Error::Again => "let its main() call smrt::isolated() before anything else",
            }
            .to_owned(),
        )
    }
}
