//! Why a signature does not vouch for a model, or a key cannot be used.

use crate::fault::{Fault, Kind};

/// A signature or a key of one that is not what it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no signature.
    #[error("it is not signed")]
    Unsigned,
    /// There is a signature, by none of the keys that are trusted.
    #[error("it is signed by another key ({hint})")]
    Stranger {
        /// The key's fingerprint, as the signature claims.
        hint: String,
    },
    /// The signature is not by the key that it claims.
    #[error("its signature does not match")]
    Forged,
    /// The files are not those that were signed.
    #[error("{what}")]
    Changed {
        /// Which, and how they differ.
        what: String,
    },
    /// The signature is of a kind that is not read here.
    #[error("its signature cannot be read: {what}")]
    Unsupported {
        /// What is strange about it.
        what: String,
    },
    /// A key cannot be used.
    #[error("{place}: {what}")]
    Key {
        /// The file or the name.
        place: String,
        /// What is wrong.
        what: String,
    },
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Unsigned | Error::Stranger { .. } => Kind::Denied,
            Error::Forged | Error::Changed { .. } | Error::Unsupported { .. } => Kind::Corrupt,
            Error::Key { .. } => Kind::Caller,
        }
    }

    fn help(&self) -> Option<String> {
        Some(
            match self {
                Error::Unsigned => {
                    "sign it where it is made ([output] sign = \"NAME\"), or do not require a signature"
                }
                Error::Stranger { .. } => {
                    "name the public key of who signed it, if you trust them: its fingerprint is the \
                     SHA-256 of its PEM"
                }
                Error::Forged | Error::Changed { .. } => {
                    "take the artifact as its maker published it; nothing in this one can be trusted"
                }
                Error::Unsupported { .. } => {
                    "smrt reads Sigstore bundles v0.3 with OpenSSF Model Signing v1.0, made with a key \
                     (`model_signing sign key`)"
                }
                Error::Key { .. } => {
                    "name a PEM file with an ECDSA key on P-256 or P-384; `smrt sign keygen NAME` makes one"
                }
            }
            .to_owned(),
        )
    }
}
