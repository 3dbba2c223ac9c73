//! The audit log: one record in CloudTrail's form for each act, chained by hashes so that none can
//! be changed, dropped, added or moved unseen.
//!
//! ```text
//! {"eventVersion":"1.09", … ,"prev":"<SHA-256 of the line before>"}
//! ```
//! The first line's `prev` is 64 zeros. Who can write the file can write another chain, or cut off
//! its end: keep the head that [`verify`] tells in a second place and compare. Records hold no
//! payload and no secret.

mod log;
pub(super) mod read;
mod record;
mod written;

pub use log::Audit;
pub use read::{Broken, Chain, Line, read, verify};
pub use record::{Record, SAGEMAKER};
pub use written::Written;

/// A moment as records have it, from seconds since 1970.
pub fn time(seconds: u64) -> String {
    super::line::iso(seconds)
}

use std::path::PathBuf;

use crate::fault::{Fault, Kind};

/// What the first record follows.
const BEGINNING: [u8; 32] = [0; 32];

/// The log cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened, read or written.
    #[error("{}: {what}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A record did not reach the disk: what it tells of was not done.
    #[error("{}: the act cannot be recorded", path.display())]
    Unrecorded {
        /// Which log.
        path: PathBuf,
    },
    /// The chain does not hold.
    #[error("{}:{line}: {what}", path.display())]
    Broken {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::File { .. } | Error::Unrecorded { .. } => Kind::Unreachable,
            Error::Broken { .. } => Kind::Corrupt,
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Error::File { .. } => "is the disk full, is the folder there?".into(),
            Error::Unrecorded { .. } => {
                "nothing was done: make room on its disk, then try again".into()
            }
            Error::Broken { .. } => {
                "what stands before that line is whole; compare with a copy of the log".into()
            }
        })
    }
}
