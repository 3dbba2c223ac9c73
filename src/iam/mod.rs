//! Who is calling, and may they: AWS's IAM, inside smrt and without a cloud.
//!
//! [`sigv4`] proves that a request was made with an access key, [`policy`] decides what its owner
//! may do, [`state`] keeps users, roles and keys, [`door`] puts the three
//! together for an endpoint. Nothing here opens a socket, and no other file than
//! the state's is touched.

pub mod door;
mod error;
pub(crate) mod fuzzed;
pub mod policy;
pub mod sigv4;
pub mod state;
pub mod time;

pub use error::Error;
