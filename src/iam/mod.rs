//! Who is calling, and may they: AWS's IAM, inside smrt and without a cloud.
//!
//! [`sigv4`] proves that a request was made with an access key, [`policy`] decides what its owner
//! may do. Nothing here opens a socket.

pub mod policy;
pub mod sigv4;
pub mod time;
