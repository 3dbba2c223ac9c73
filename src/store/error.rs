//! What can go wrong between smrt and a place that holds bytes.
//!
//! The variants are those somebody would act on differently: a wrong key, a missing bucket and a
//! server that is down need three different people. No variant holds a secret; what a server wrote
//! is shown only as its error code and a cut of its message.

use std::fmt;
use std::io;

use crate::fault::{Fault, Kind};
use crate::spec::uri::Uri;

/// A server, and who it was asked as. Shows itself as the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The server.
    pub endpoint: String,
    /// Where the credentials came from.
    pub origin: String,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.endpoint)
    }
}

/// A store's failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The object or folder does not exist.
    #[error("{uri} does not exist")]
    NotFound {
        /// Which.
        uri: Uri,
    },
    /// Nothing lies below a prefix or in a folder.
    #[error("no objects under {uri}{}", but_skipped(*skipped))]
    Empty {
        /// The prefix.
        uri: Uri,
        /// Empty or hidden objects that lie there and are not data.
        skipped: usize,
    },
    /// The bucket does not exist where it was looked for.
    #[error("{uri}: there is no bucket {bucket:?} at {endpoint}")]
    NoBucket {
        /// What was wanted.
        uri: Uri,
        /// The bucket.
        bucket: String,
        /// The server asked.
        endpoint: String,
    },
    /// Nobody said who the caller is.
    #[error("{uri}: no credentials for {endpoint}")]
    NoCredentials {
        /// What was wanted.
        uri: Uri,
        /// The server that would have been asked.
        endpoint: String,
        /// Where credentials were looked for.
        tried: String,
    },
    /// The server does not know the caller: a wrong key, secret or token.
    #[error("{uri}: {asked} does not accept the credentials ({answer})")]
    WrongCredentials {
        /// What was wanted.
        uri: Uri,
        /// Who was asked, by whom.
        asked: Box<Asked>,
        /// The server's error code and message.
        answer: String,
    },
    /// The caller is known but may not do this.
    #[error("{uri}: {asked} refuses to {doing} ({answer})")]
    Denied {
        /// What was wanted.
        uri: Uri,
        /// Who was asked, by whom.
        asked: Box<Asked>,
        /// What was tried.
        doing: &'static str,
        /// The server's error code and message.
        answer: String,
    },
    /// Whoever guards the store does not allow it.
    #[error("{uri}: {what}")]
    Forbidden {
        /// What was wanted.
        uri: Uri,
        /// Who may not do what to what.
        what: String,
        /// What is missing.
        help: Option<String>,
    },
    /// No answer, or none that could be trusted.
    #[error("{uri}: {endpoint} cannot be reached: {cause}")]
    Unreachable {
        /// What was wanted.
        uri: Uri,
        /// The server asked.
        endpoint: String,
        /// The innermost reason.
        cause: String,
    },
    /// The server answered with an error of its own.
    #[error("{uri}: {endpoint} failed to {doing}: {answer}")]
    Server {
        /// What was wanted.
        uri: Uri,
        /// The server asked.
        endpoint: String,
        /// What was tried.
        doing: &'static str,
        /// The server's status, code and message.
        answer: String,
        /// Whether waiting may mend it.
        busy: bool,
    },
    /// The bytes are no longer those that were listed.
    #[error("{uri} changed while it was being read ({detail})")]
    Changed {
        /// The object.
        uri: Uri,
        /// What differs.
        detail: String,
    },
    /// The object was there when it was listed, and is gone.
    #[error("{uri} vanished while it was being read")]
    Vanished {
        /// The object.
        uri: Uri,
    },
    /// More bytes than the reader is willing to hold.
    #[error("{uri} has {bytes} bytes, more than the {bytes_max} allowed here")]
    TooLarge {
        /// The object.
        uri: Uri,
        /// Its size.
        bytes: u64,
        /// The bound.
        bytes_max: u64,
    },
    /// More objects than one prefix may have.
    #[error("{uri} has more than {objects_max} objects")]
    TooMany {
        /// The prefix.
        uri: Uri,
        /// The bound.
        objects_max: usize,
    },
    /// A local file or folder could not be used.
    #[error("cannot {doing} {}: {source}", path.display())]
    Local {
        /// What was tried.
        doing: &'static str,
        /// The path.
        path: std::path::PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The place is not of a kind that allows this.
    #[error("{uri}: {what}")]
    Place {
        /// The place.
        uri: Uri,
        /// What it does not allow.
        what: String,
        /// What to do.
        help: String,
    },
    /// The build lacks the store.
    #[error("{uri}: this build of smrt cannot reach {scheme}://")]
    NotBuilt {
        /// What was wanted.
        uri: Uri,
        /// Its scheme.
        scheme: &'static str,
        /// The cargo feature that adds it.
        feature: &'static str,
    },
    /// What kept somebody else from doing it, in their words.
    #[error("{what}")]
    Elsewhere {
        /// What they said.
        what: String,
        /// Who has to act.
        kind: Kind,
        /// What to do.
        help: Option<String>,
    },
    /// Settings, variables or profile files that contradict themselves or cannot be read.
    #[error("{what}")]
    Settings {
        /// Which key, variable or file, and what is wrong.
        what: String,
        /// What to do.
        help: String,
    },
}

fn but_skipped(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => " but one that is empty or hidden".to_owned(),
        n => format!(" but {n} that are empty or hidden"),
    }
}

impl Error {
    /// The store's error inside an [`io::Error`] that a reader or an upload returned.
    pub fn inside(error: &io::Error) -> Option<&Error> {
        error.get_ref()?.downcast_ref()
    }

    pub(super) fn local(
        doing: &'static str,
        path: impl Into<std::path::PathBuf>,
        source: io::Error,
    ) -> Error {
        Error::Local { doing, path: path.into(), source }
    }

    /// The kind of [`io::Error`] this becomes when it leaves through a reader or writer.
    fn io_kind(&self) -> io::ErrorKind {
        match self {
            Error::Local { source, .. } => source.kind(),
            Error::NotFound { .. } | Error::Vanished { .. } => io::ErrorKind::NotFound,
            Error::Denied { .. } | Error::Forbidden { .. } | Error::WrongCredentials { .. } => {
                io::ErrorKind::PermissionDenied
            }
            Error::Changed { .. } => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        io::Error::new(error.io_kind(), error)
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::NotFound { .. }
            | Error::Empty { .. }
            | Error::NoBucket { .. }
            | Error::TooMany { .. }
            | Error::Place { .. }
            | Error::NotBuilt { .. }
            | Error::Settings { .. } => Kind::Caller,
            Error::NoCredentials { .. }
            | Error::WrongCredentials { .. }
            | Error::Forbidden { .. }
            | Error::Denied { .. } => Kind::Denied,
            Error::Changed { .. } | Error::Vanished { .. } | Error::TooLarge { .. } => Kind::Data,
            Error::Unreachable { .. } => Kind::Unreachable,
            Error::Elsewhere { kind, .. } => *kind,
            Error::Server { busy: true, .. } => Kind::Busy,
            Error::Server { .. } => Kind::Unreachable,
            Error::Local { source, .. } => match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Kind::Caller,
                io::ErrorKind::PermissionDenied => Kind::Denied,
                _ => Kind::Unreachable,
            },
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Error::NotFound { uri: Uri::File(_) } => {
                "check the path; a relative one starts at the job file's folder".to_owned()
            }
            Error::NotFound { .. } => "check the key, and that it was uploaded".to_owned(),
            Error::Empty { uri: Uri::File(_), .. } => {
                "put data files there; names that start with '.' or '_' and empty files do not count"
                    .to_owned()
            }
            Error::Empty { .. } => {
                "check the prefix; names that start with '.' or '_' and empty objects do not count"
                    .to_owned()
            }
            Error::NoBucket { uri, .. } => {
                format!("check the bucket's name and the endpoint ({})", endpoint_keys(uri))
            }
            Error::NoCredentials { tried, .. } => format!(
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or storage.s3.profile; looked in {tried}"
            ),
            Error::WrongCredentials { asked, .. } => {
                format!("they came from {}; check key, secret, token and this machine's clock", asked.origin)
            }
            Error::Denied { asked, .. } => format!(
                "the credentials from {} need that permission on this bucket and key; \
                 to who may not list, a missing object looks the same",
                asked.origin
            ),
            Error::Forbidden { help, .. } => return help.clone(),
            Error::Unreachable { cause, .. } if cause.contains(super::client::REFUSED) => {
                "use another address, or let `[network] allow` of the job file name its network"
                    .to_owned()
            }
            Error::Unreachable { cause, .. } if cause.contains("not valid for name") => {
                "use a host name that its certificate has; virtual_host = true puts the bucket before it"
                    .to_owned()
            }
            Error::Unreachable { cause, .. } if cause.contains("certificate") => {
                "name the authority that signed it: storage.s3.ca_bundle or AWS_CA_BUNDLE, a PEM file"
                    .to_owned()
            }
            Error::Unreachable { uri, .. } => {
                format!("check the endpoint ({}), the network and any proxy", endpoint_keys(uri))
            }
            Error::Server { answer, .. } if is_about_region(answer) => {
                "the bucket lies in another region: set storage.s3.region or AWS_REGION".to_owned()
            }
            Error::Server { busy: true, .. } => "try again later".to_owned(),
            Error::Server { .. } => "the server's own log says more".to_owned(),
            Error::Changed { .. } => {
                "start again, and do not overwrite objects that a job reads".to_owned()
            }
            Error::Vanished { .. } => {
                "start again, and keep objects until the job that reads them is done".to_owned()
            }
            Error::TooLarge { .. } => "is it the object you meant?".to_owned(),
            Error::TooMany { .. } => "name a narrower prefix".to_owned(),
            Error::Local { source, .. } => return local_help(source),
            Error::Elsewhere { help, .. } => return help.clone(),
            Error::Place { help, .. } | Error::Settings { help, .. } => help.clone(),
            Error::NotBuilt { feature, .. } => {
                format!("build it in: cargo build --release --features {feature}")
            }
        })
    }
}

/// What says where the server of this address is.
fn endpoint_keys(uri: &Uri) -> &'static str {
    match uri {
        Uri::Gs { .. } => "GOOGLE_BASE_URL, STORAGE_EMULATOR_HOST",
        Uri::Az { .. } => "AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ENDPOINT",
        _ => "storage.s3.endpoint, AWS_ENDPOINT_URL",
    }
}

fn is_about_region(answer: &str) -> bool {
    ["PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraint", "redirect"]
        .iter()
        .any(|word| answer.contains(word))
}

fn local_help(source: &io::Error) -> Option<String> {
    use io::ErrorKind as E;
    let help = match source.kind() {
        E::StorageFull | E::QuotaExceeded | E::FileTooLarge => {
            "make room there, or write somewhere else; nothing half-written was left"
        }
        E::PermissionDenied => "check owner and mode of the file and of the folders above it",
        E::ReadOnlyFilesystem => "that file system cannot be written; choose another place",
        E::NotFound => "check the path; a relative one starts at the job file's folder",
        E::NotADirectory | E::IsADirectory => {
            "a file stands where a folder is needed, or the reverse"
        }
        _ => return None,
    };
    Some(help.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_way_through_io() {
        let uri = Uri::Memory("a".into());
        let io: io::Error = Error::Vanished { uri }.into();
        assert!(matches!(Error::inside(&io), Some(Error::Vanished { .. })));
        assert_eq!(io.kind(), io::ErrorKind::NotFound);
        assert!(Error::inside(&io::Error::other("x")).is_none());
    }

    #[test]
    fn an_empty_prefix_says_what_was_left_out() {
        let uri = Uri::Memory("a/".into());
        let none = Error::Empty { uri: uri.clone(), skipped: 0 };
        assert_eq!(none.to_string(), "no objects under memory://a/");
        let two = Error::Empty { uri, skipped: 2 };
        assert_eq!(two.to_string(), "no objects under memory://a/ but 2 that are empty or hidden");
    }
}
