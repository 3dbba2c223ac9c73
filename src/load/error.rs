//! What keeps a measurement from being made.

use std::io;

use crate::fault::{Fault, Kind};

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is not one that can be asked.
    #[error("{text:?} is not an endpoint to measure: {why}")]
    Target {
        /// As written.
        text: String,
        /// Why not.
        why: &'static str,
    },
    /// Nobody answers there.
    #[error("cannot connect to {target}: {source}")]
    Connect {
        /// Where.
        target: String,
        /// Why not.
        source: io::Error,
    },
    /// The server answers, but not with predictions.
    #[error("{target} answers {status}: {body}")]
    Refused {
        /// Where.
        target: String,
        /// HTTP status of the first answer.
        status: u16,
        /// The beginning of its body.
        body: String,
    },
    /// The first request got no answer that can be read.
    #[error("{target} sends no HTTP answer: {why}")]
    Answer {
        /// Where.
        target: String,
        /// What came instead.
        why: String,
    },
    /// Not even one request in a hundred milliseconds is answered within the objective.
    #[error("{target} keeps its p99 within {target_ms} ms at no rate that was tried")]
    NeverInTime {
        /// Where.
        target: String,
        /// The objective.
        target_ms: f64,
    },
    /// Threads or sockets could not be had.
    #[error("cannot start the load: {0}")]
    Start(io::Error),
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Target { .. } => Kind::Caller,
            Error::Refused { .. } => Kind::Data,
            _ => Kind::Unreachable,
        }
    }

    fn help(&self) -> Option<String> {
        Some(
            match self {
                Error::Target { .. } => {
                    "write http://host:port/path, e.g. http://127.0.0.1:8080/invocations"
                }
                Error::Connect { .. } => "start the server, or check host and port",
                Error::Refused { .. } => {
                    "give a body the model takes with --data, and its type with --content-type"
                }
                Error::Answer { .. } => "check that an HTTP/1.1 server listens there",
                Error::NeverInTime { .. } => "raise --p99-ms",
                Error::Start(_) => {
                    "raise the limit of open files (ulimit -n), or lower --connections"
                }
            }
            .into(),
        )
    }
}
