//! An execution role at the seams: what a job or an endpoint reads, writes and opens is decided by
//! its role's policies and by nothing else.
//!
//! ```text
//! job ─► Store ──(objects)──┐
//!     └► KeyService ─(keys)─┴─► iam: Acting ─► allowed, or who may not do what to what, and the missing statement
//! ```
//! A [`Store`] is guarded as a whole and a key service is wrapped as a whole, so
//! that no way to an object or a key passes the role by. Objects of S3 have their own ARNs; places
//! that AWS has no name for get one, with S3's actions:
//!
//! | place | ARN |
//! |---|---|
//! | `s3://bucket/key` | `arn:aws:s3:::bucket/key`; listing: `arn:aws:s3:::bucket` with `s3:prefix` |
//! | a file or folder | `arn:smrt:file:::/path`, links followed |
//! | `gs://bucket/key`, `az://container/key` | `arn:smrt:gs:::bucket/key`, `arn:smrt:az:::container/key` |
//! | `https://host/path` | `arn:smrt:web:::https://host/path`, without its query |
//! | `memory://key` | `arn:smrt:memory:::key` |
//!
//! Condition keys: those of the role (`aws:PrincipalArn`, `aws:PrincipalTag/…`), `aws:RequestedRegion`,
//! the time, `s3:prefix`; of keys `kms:ViaService` (`sagemaker.REGION.amazonaws.com`),
//! `kms:CallerAccount`, `kms:RequestAlias`, `kms:EncryptionContext:…`, `kms:EncryptionContextKeys`.
//! [`least`] writes the smallest policy a job runs with.

mod keys;
pub mod least;
mod objects;

pub use keys::keys;
pub use objects::arn_of;

use std::sync::Arc;

use crate::iam::state::Acting;
use crate::store::Store;

/// The store of something that acts with a role.
pub fn store(acting: &Arc<Acting>, store: Store) -> Store {
    store.guarded(Arc::new(objects::Objects(Arc::clone(acting))))
}
