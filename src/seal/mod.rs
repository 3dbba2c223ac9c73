//! Envelope encryption: an AWS Encryption SDK message (version 2, suite 0478) around every
//! artifact, and the local key service that wraps its data keys.
//!
//! [`Writer`] and [`Reader`] seal and open streams, [`seal_file`], [`open_file`] and
//! [`open_to_vec`] whole files; [`inspect`] tells what a header says without a key. Keys come from
//! a [`KeyService`]: [`LocalKeys`] is the silent default, [`RawKey`] one key in memory. With
//! [`detached`] a file's key stands beside it, in a [`Sidecar`].
//!
//! What it gives: secrecy and integrity of the content under a key of its own, bound to its public
//! [`Context`]; truncation, reordering and splicing are noticed; a key is committed to. What it
//! does not give: secrecy of the context, of sizes or of access; proof of *who* sealed; protection
//! from an older, valid version put back in place.

mod context;
mod derive;
mod detached;
mod error;
mod file;
mod frame;
pub(crate) mod fuzzed;
mod header;
mod inspect;
mod local;
mod notary;
mod parallel;
mod raw;
mod reader;
mod recorded;
mod reseal;
mod scratch;
mod sealing;
mod secret;
mod service;
mod signature;
mod writer;

pub use context::Context;
pub use detached::{Beside, SIDECAR_SUFFIX, Sidecar, detached, rewrap};
pub use error::Error;
pub use file::{open_file, open_to_vec, seal_file};
pub use header::{EncryptedDataKey, Suite};
pub use inspect::{Form, HeaderInfo, inspect};
pub use local::{
    BLOB_PLAIN_BYTES_MAX, DEFAULT_ALIAS, Decrypted, GRANT_OPERATIONS, Grant, KeyMetadata,
    LocalKeys, NewKey, RotationPlan, Unlock, VersionInfo, home_folder,
};
pub use notary::{Notary, vouched};
pub use raw::RawKey;
pub use reader::Reader;
pub use recorded::Recorded;
pub use reseal::{reseal, reseal_detached};
pub use scratch::Scratch;
pub use sealing::Sealing;
pub use secret::{DataKey, Secret};
pub use service::{KeyDescription, KeyService, KeyState};
pub use writer::{Recipient, Settings, Writer};
