//! Why a signature was not accepted, under the names AWS gives these refusals.

use crate::fault::{Fault, Kind};

/// The caller is nobody. Messages hold no secret and nothing that was computed with one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no signature at all.
    #[error("the request is not signed")]
    Missing,
    /// The signature's form is wrong.
    #[error("{what}")]
    Incomplete {
        /// What is wrong with it.
        what: String,
    },
    /// The caller's clock and ours are too far apart.
    #[error("the request was signed at {signed}, and it is {now}")]
    Skewed {
        /// As the request says.
        signed: String,
        /// Our clock.
        now: String,
    },
    /// A presigned request came after its time.
    #[error("the presigned request expired at {at}")]
    Expired {
        /// When.
        at: String,
    },
    /// The signature is wrong, or the access key is nobody's: which of them is not told.
    #[error("the access key is not known here, or the signature is not made with its secret")]
    Mismatch,
    /// The body is not the one that was signed.
    #[error("the body is not the one whose SHA-256 was signed")]
    Body,
    /// A chunk of a streamed body is not the one that was signed, or not in its place.
    #[error("chunk {number} of the body is not the one that was signed")]
    Chunk {
        /// From 1.
        number: usize,
    },
}

impl Refusal {
    /// AWS's name, as `x-amzn-ErrorType` and `Code` have it.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::Missing => "MissingAuthenticationTokenException",
            Refusal::Incomplete { .. } => "IncompleteSignatureException",
            Refusal::Skewed { .. } => "RequestTimeTooSkewed",
            Refusal::Expired { .. } => "RequestExpired",
            Refusal::Mismatch | Refusal::Chunk { .. } => "InvalidSignatureException",
            Refusal::Body => "XAmzContentSHA256Mismatch",
        }
    }

    /// The HTTP status that goes with it.
    pub fn status(&self) -> u16 {
        match self {
            Refusal::Incomplete { .. } | Refusal::Body => 400,
            _ => 403,
        }
    }
}

impl Fault for Refusal {
    fn kind(&self) -> Kind {
        Kind::Denied
    }

    fn help(&self) -> Option<String> {
        Some(
            match self {
                Refusal::Missing => "sign it with an access key, as boto3 and the AWS CLI do",
                Refusal::Incomplete { .. } => {
                    "sign with AWS4-HMAC-SHA256, as boto3 and the AWS CLI do"
                }
                Refusal::Skewed { .. } => {
                    "set the clock; a signature is good for 15 minutes before and after its time"
                }
                Refusal::Expired { .. } => "ask for a new presigned request",
                Refusal::Mismatch => {
                    "check access key, secret, session token, and that no proxy changes the request"
                }
                Refusal::Body | Refusal::Chunk { .. } => {
                    "send the bytes that were signed; does a proxy change the body?"
                }
            }
            .into(),
        )
    }
}

/// A form that cannot be.
pub(super) fn incomplete(what: impl Into<String>) -> Refusal {
    Refusal::Incomplete { what: what.into() }
}
