//! Bytes across the wall between two processes of one piece of work: the one that holds keys and
//! credentials, and the one that computes and holds nothing.
//!
//! The second asks ([`Line`]), the first answers ([`Porter`]): it lists and reads the objects that
//! were granted, opens what is sealed, seals what comes back, and stores it under the names that were
//! granted. Nothing else can be asked. Neither a key nor a credential nor the query of a signed
//! address ever crosses.
//!
//! What the work itself has to say, its progress and its outcome, goes along as values whose meaning
//! is the engines' matter.

mod error;
mod grants;
mod line;
mod porter;
mod wire;

pub use grants::{Grants, Place};
pub use line::Line;
pub use porter::{Porter, Stored};
pub use wire::{Said, Wire};

pub use error::Told;

use crate::seal;

/// A key service of a process that has no keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoKeys;

impl seal::KeyService for NoKeys {
    fn wrap(
        &self,
        key: &str,
        _: &seal::DataKey,
        _: &seal::Context,
    ) -> Result<seal::EncryptedDataKey, seal::Error> {
        Err(unknown(key))
    }

    fn knows(&self, _: &seal::EncryptedDataKey) -> bool {
        false
    }

    fn unwrap(
        &self,
        wrapped: &seal::EncryptedDataKey,
        _: &seal::Context,
    ) -> Result<seal::DataKey, seal::Error> {
        Err(unknown(&wrapped.key_name()))
    }

    fn describe(&self, key: &str) -> Result<seal::KeyDescription, seal::Error> {
        Err(unknown(key))
    }
}

fn unknown(key: &str) -> seal::Error {
    seal::Error::UnknownKey { key: key.to_owned(), place: "an isolated process".to_owned() }
}
