//! What the command line itself can fail at, and other rooms' errors in its own words; everything
//! else is passed on as it is.

use crate::fault::{Fault, Kind};
use crate::{data, store, train};

/// A failure of the command line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `smrt algorithms NAME` with a name that is not in the table.
    #[error("there is no algorithm {given:?}")]
    UnknownAlgorithm {
        /// As given.
        given: String,
        /// What to do.
        help: String,
    },
    /// An argument is not an address.
    #[error("{what}")]
    Address {
        /// Which, and why.
        what: String,
        /// What to do.
        help: Option<String>,
    },
    /// A variable of the environment says something that cannot be.
    #[error("{name}: {what}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// What is wrong.
        what: String,
        /// What to do.
        help: &'static str,
    },
    /// A place named on the command line could not be used.
    #[error("{source}")]
    Place {
        /// Why.
        source: store::Error,
    },
    /// A file named on the command line could not be read.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Rows to predict are not what the model needs.
    #[error("{source}")]
    Data {
        /// What is wrong.
        source: data::Error,
        /// Whether `--header` could be what is missing.
        header: bool,
    },
    /// Rows to predict could not be read.
    #[error("{place}: cannot be read")]
    ReadData {
        /// The object.
        place: String,
        /// Why.
        source: std::io::Error,
    },
    /// Answers could not be written.
    #[error("{place}: cannot be written")]
    WriteData {
        /// The object.
        place: String,
        /// Why.
        source: std::io::Error,
    },
    /// A training stopped early and can go on.
    #[error("{source}")]
    Stopped {
        /// Why.
        source: train::Error,
        /// Where the checkpoint lies.
        place: String,
        /// The command that goes on.
        resume: String,
    },
    /// Standard output refused the result.
    #[error("the result could not be written to standard output")]
    Output(#[source] std::io::Error),
    /// Signals could not be listened to.
    #[error("Ctrl-C cannot be listened to")]
    Signal(#[source] ctrlc::Error),
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::UnknownAlgorithm { .. } | Error::Address { .. } | Error::Variable { .. } => {
                Kind::Caller
            }
            Error::File { .. } => Kind::Caller,
            Error::Place { source } => source.kind(),
            Error::Data { source, .. } => source.kind(),
            Error::ReadData { .. } | Error::WriteData { .. } | Error::Output(_) => {
                Kind::Unreachable
            }
            Error::Stopped { .. } => Kind::Stopped,
            Error::Signal(_) => Kind::Bug,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Error::UnknownAlgorithm { help, .. } => Some(help.clone()),
            Error::Address { help, .. } => help.clone(),
            Error::Variable { help, .. } => Some((*help).to_owned()),
            // The store speaks of a job file's folder; here paths start where the user is.
            Error::Place { source } => {
                let help = source.help()?;
                Some(help.replace("; a relative one starts at the job file's folder", ""))
            }
            // The decoder speaks of a job file's keys; here they are options.
            Error::Data { source, header } => {
                let help = source.help()?.replace("set `data.header = true`", "add --header");
                Some(if *header { help } else { help.replace("add --header; ", "") })
            }
            Error::Stopped { place, resume, .. } => {
                Some(format!("the checkpoint is kept at {place}; go on with `{resume}`"))
            }
            Error::File { .. } => Some("name a file that you may read".into()),
            Error::WriteData { .. } | Error::Output(_) => Some("is the disk full?".into()),
            Error::ReadData { .. } | Error::Signal(_) => None,
        }
    }
}
