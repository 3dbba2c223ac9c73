//! The audit trail beyond its file: signed digests in CloudTrail's form, and copies of the records,
//! in a second place such as a bucket that who writes the log may not change.
//!
//! ```text
//! PLACE/000001_20261129T050000Z.digest.json   what the log held, signed, with the digest before it
//! PLACE/000001_20261129T050000Z.digest.sig    its signature, hexadecimal
//! PLACE/000001_20261129T050000Z.log.json      {"Records":[…]}: the records themselves, as CloudTrail delivers them
//! ```
//! The chain in the file shows every change but two: a whole new chain, and an end that was cut off.
//! The digests show both, and the copies show what stood there. Source: CloudTrail User Guide,
//! "CloudTrail digest file structure" and "Custom implementations of CloudTrail log file integrity
//! validation"; the signature is Ed25519 over the same four lines.

mod digest;
mod error;
mod verify;

pub use digest::{Made, digest};
pub use error::Error;
pub use verify::{Verified, verify};
