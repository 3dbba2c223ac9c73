//! What keeps the door from opening, and what a caller is told.

use std::path::PathBuf;

use crate::fault::{Fault, Kind};
use crate::seal;

/// The key service could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The gate would not open.
    #[error(transparent)]
    Gate(#[from] crate::http::Error),
    /// The file of callers cannot be used.
    #[error("{path}: {what}", path = path.display())]
    Callers {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// It would listen beyond this machine in the clear.
    #[error("{place}: keys would cross the network in the clear")]
    Clear {
        /// Where it was to listen.
        place: String,
    },
    /// Nobody could call.
    #[error("there is no access key: nobody could call this key service")]
    Nobody,
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Gate(why) => why.kind(),
            Error::Callers { .. } | Error::Clear { .. } | Error::Nobody => Kind::Caller,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Error::Gate(why) => why.help(),
            Error::Callers { .. } => Some(
                "write it as ~/.aws/credentials: [profile], aws_access_key_id = …, \
                 aws_secret_access_key = …"
                    .into(),
            ),
            Error::Clear { .. } => {
                Some("add --tls-cert and --tls-key, or listen on 127.0.0.1 or unix:/path".into())
            }
            Error::Nobody => Some(
                "name a file of access keys with --credentials, or set AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY"
                    .into(),
            ),
        }
    }
}

/// A refusal as KMS tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// `NotFoundException` …
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) status: u16,
}

impl Refused {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Refused {
        let status = if code == "KMSInternalException" { 500 } else { 400 };
        Refused { code, message: message.into(), status }
    }

    /// A parameter that breaks a rule.
    pub(super) fn invalid(message: impl Into<String>) -> Refused {
        Refused::new("ValidationException", message)
    }
}

impl From<seal::Error> for Refused {
    fn from(error: seal::Error) -> Refused {
        let code = match &error {
            seal::Error::UnknownKey { .. } => "NotFoundException",
            seal::Error::Disabled { .. } => "DisabledException",
            seal::Error::State { .. } => "KMSInvalidStateException",
            seal::Error::OtherKey { .. } => "IncorrectKeyException",
            seal::Error::Taken { .. } => "AlreadyExistsException",
            seal::Error::Settings { .. }
            | seal::Error::TooLarge { .. }
            | seal::Error::Context { .. } => "ValidationException",
            // One word for a changed blob, a strange one and a wrong context: no oracle.
            seal::Error::Refused { .. } => {
                return Refused::new("InvalidCiphertextException", "");
            }
            other => {
                tracing::error!(error = %other, "the key store failed");
                return Refused::new("KMSInternalException", "the key store failed; see its log");
            }
        };
        Refused::new(code, error.to_string())
    }
}
