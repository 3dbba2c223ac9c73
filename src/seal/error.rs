//! What can go wrong while sealing, opening, and keeping keys.

use std::io;
use std::path::PathBuf;

use crate::fault::{Fault, Kind};

/// Why something could not be sealed, opened or inspected, or a key could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk or the stream below failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, with the path where there is one.
        what: String,
        /// The cause.
        source: io::Error,
    },
    /// The first byte is not that of a sealed file.
    #[error("not a sealed file: {found}")]
    NotSealed {
        /// What stands there instead.
        found: String,
    },
    /// A sealed file of a kind that smrt refuses.
    #[error("sealed file: {what} is not accepted")]
    Unsupported {
        /// Version, suite or content type, with its value.
        what: String,
    },
    /// The header breaks the format.
    #[error("sealed file: header: {what} (byte {at})")]
    Header {
        /// What is wrong.
        what: String,
        /// Where, from the start of the file.
        at: usize,
    },
    /// The file ends too early.
    #[error("sealed file: cut short in {what}")]
    Truncated {
        /// Where it ends.
        what: String,
    },
    /// The file goes on where it must end.
    #[error("sealed file: bytes after its end")]
    Trailing,
    /// A part does not match its authentication tag.
    #[error("sealed file: {what} was changed after sealing")]
    Tampered {
        /// Header, frame or signature.
        what: String,
    },
    /// None of the keys at hand is among those that open it.
    #[error("no key at hand opens this sealed file; it opens with {}", holders.join(", "))]
    NoKey {
        /// Each key that opens it.
        holders: Vec<String>,
    },
    /// The key is there and does not unwrap the data key.
    #[error("the key {key} does not open this sealed file")]
    Refused {
        /// The key's name.
        key: String,
    },
    /// The key may not be used now.
    #[error("the key {key} is {state}")]
    Disabled {
        /// The key's name.
        key: String,
        /// Its state.
        state: String,
    },
    /// Whoever acts may not use the key so.
    #[error("{what}")]
    Forbidden {
        /// Who may not do what with which key.
        what: String,
        /// What is missing.
        help: Option<String>,
    },
    /// The use of a key could not be recorded, and so nothing was given.
    #[error("{what}")]
    Unrecorded {
        /// What, and in which log.
        what: String,
        /// How to mend it.
        help: Option<String>,
    },
    /// The key's state does not allow this.
    #[error("the key {key} is {state}")]
    State {
        /// The key's name.
        key: String,
        /// Its state.
        state: String,
    },
    /// A blob was made by another key than the one that was named.
    #[error("the key {key} did not make this ciphertext")]
    OtherKey {
        /// The key that was named.
        key: String,
    },
    /// An alias is another key's.
    #[error("{alias} is the name of another key")]
    Taken {
        /// The alias.
        alias: String,
    },
    /// The local key store is locked, and what was given does not open it.
    #[error("the key store is locked: {what}")]
    Locked {
        /// What it asks for, or what was wrong with it.
        what: String,
    },
    /// Nobody knows a key of this name.
    #[error("there is no key {key:?} in {place}")]
    UnknownKey {
        /// As asked for.
        key: String,
        /// Where it was looked for.
        place: String,
    },
    /// The local key store cannot be trusted or read.
    #[error("key store: {path}: {what}", path = path.display())]
    KeyStore {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// How to mend it.
        help: String,
    },
    /// A key service elsewhere, or the store of what it needs, did not do what it was asked.
    #[error("{place}: {what}")]
    Service {
        /// Its server.
        place: String,
        /// What it said, or why it said nothing.
        what: String,
        /// How to mend it.
        help: String,
        /// Who has to act.
        kind: Kind,
    },
    /// The file of keys beside a sealed file cannot be used for it.
    #[error("{place}: {what}")]
    Sidecar {
        /// The file of keys.
        place: String,
        /// What is wrong.
        what: String,
    },
    /// The file of keys is gone, and with it every way to open what it belonged to.
    #[error("this sealed file was shredded: {sidecar} is gone")]
    Shredded {
        /// The file of keys.
        sidecar: String,
    },
    /// The caller's encryption context breaks a rule.
    #[error("encryption context: {what}")]
    Context {
        /// Which.
        what: String,
    },
    /// More data than the format, or the caller's bound, allows.
    #[error("{what} is larger than {bytes_max} bytes")]
    TooLarge {
        /// What.
        what: String,
        /// The bound.
        bytes_max: u64,
    },
    /// The caller's settings cannot be used.
    #[error("{what}")]
    Settings {
        /// Which, and its range.
        what: String,
    },
    /// The source changed while it was being sealed.
    #[error("{path}: changed while it was being sealed", path = path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {why}")]
    Random {
        /// Its words.
        why: String,
    },
}

impl Error {
    /// A failed read or write, with what was being done.
    pub(super) fn io(what: impl Into<String>, source: io::Error) -> Error {
        // A stream of ours may lie under another one of ours: keep the first, true cause.
        match source.downcast::<Error>() {
            Ok(inner) => inner,
            Err(source) => Error::Io { what: what.into(), source },
        }
    }

    /// A read that must not meet the end: the end means a file cut short.
    pub(super) fn read(what: &str, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Error::Truncated { what: what.into() },
            _ => Error::io(format!("reading {what}"), source),
        }
    }

    /// A part that does not match its tag.
    pub(super) fn tampered(what: impl Into<String>) -> Error {
        Error::Tampered { what: what.into() }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        let kind = match &error {
            Error::Io { source, .. } => source.kind(),
            Error::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            Error::Refused { .. }
            | Error::NoKey { .. }
            | Error::Forbidden { .. }
            | Error::Disabled { .. } => io::ErrorKind::PermissionDenied,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Service { kind, .. } => *kind,
            Error::Io { .. } | Error::Random { .. } | Error::Unrecorded { .. } => Kind::Unreachable,
            Error::NotSealed { .. }
            | Error::Unsupported { .. }
            | Error::Header { .. }
            | Error::Truncated { .. }
            | Error::Trailing
            | Error::Tampered { .. } => Kind::Corrupt,
            Error::NoKey { .. }
            | Error::Refused { .. }
            | Error::Disabled { .. }
            | Error::Forbidden { .. }
            | Error::State { .. }
            | Error::Locked { .. }
            | Error::KeyStore { .. }
            | Error::Sidecar { .. }
            | Error::Shredded { .. } => Kind::Denied,
            Error::UnknownKey { .. }
            | Error::Context { .. }
            | Error::Settings { .. }
            | Error::OtherKey { .. }
            | Error::Taken { .. }
            | Error::TooLarge { .. } => Kind::Caller,
            Error::Changed { .. } => Kind::Data,
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Error::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => "check who may read and write there".into(),
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge => "make room on the disk, then run again".into(),
                _ => return None,
            },
            Error::NotSealed { .. } => {
                "a sealed file begins with the byte 02, a plain archive with 1f 8b".into()
            }
            Error::Unsupported { .. } => {
                "smrt reads AWS Encryption SDK messages of version 2 with key commitment \
                 (suites 0478 and 0578, framed); seal it again with one of these"
                    .into()
            }
            Error::Header { .. } | Error::Trailing | Error::Tampered { .. } => {
                "take an unharmed copy; nothing in this one can be trusted".into()
            }
            Error::Truncated { .. } => "copy or download it again, whole".into(),
            Error::NoKey { .. } => "bring one of these keys: set SMRT_HOME to the folder whose \
                                    keys/ holds it, or name its key service: --kms-region, \
                                    --kms-endpoint, [storage.kms] or AWS_ENDPOINT_URL_KMS"
                .into(),
            Error::Refused { .. } => "the header was changed, or the sealed file was made for \
                                      another required context"
                .into(),
            Error::Disabled { key, .. } if !key.starts_with("arn:smrt:") => {
                format!("enable {key} where it is kept, or use another key")
            }
            Error::Disabled { key, .. } => {
                format!("smrt keys enable {}, or use another key", key.rsplit('/').next()?)
            }
            Error::State { key, state } if state == "pending deletion" => {
                format!(
                    "smrt keys cancel-deletion {}, while there is time",
                    key.rsplit('/').next()?
                )
            }
            Error::Forbidden { help, .. } | Error::Unrecorded { help, .. } => return help.clone(),
            Error::State { .. } => "smrt keys show KEY tells its state".into(),
            Error::OtherKey { .. } => "leave the key out, or name the one that made it".into(),
            Error::Taken { .. } => "smrt keys alias --move points it at another key".into(),
            Error::Locked { .. } => "give what it was locked with: SMRT_KEYS_PASSPHRASE, \
                                     SMRT_KEYS_PASSPHRASE_FILE or SMRT_KEYS_FILE"
                .into(),
            Error::UnknownKey { .. } => {
                "name a key by its id, its ARN, or its alias (alias/smrt is made at first use)"
                    .into()
            }
            Error::KeyStore { help, .. } | Error::Service { help, .. } => help.clone(),
            Error::Sidecar { .. } => {
                "bring the .keys.json that was written with the sealed file, or \
                                      the one that re-wrapping it last made"
                    .into()
            }
            Error::Shredded { .. } => {
                "bring the .keys.json back beside it, where it was only moved; \
                                       without it nobody can open the file, whatever keys they have"
                    .into()
            }
            Error::Context { .. } => format!(
                "keys are unique and not empty, do not begin with aws-crypto-, and all pairs take \
                 at most {} bytes",
                crate::spec::limit::SEAL_CONTEXT_BYTES_MAX
            ),
            Error::Changed { .. } => "wait until nobody writes to it, then seal it again".into(),
            Error::TooLarge { .. } | Error::Settings { .. } | Error::Random { .. } => return None,
        })
    }
}
