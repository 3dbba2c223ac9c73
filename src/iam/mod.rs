//! Who is calling, and may they: AWS's IAM, inside smrt and without a cloud.
//!
//! [`sigv4`] proves that a request was made with an access key. Nothing here opens a socket.

pub mod sigv4;
pub mod time;
