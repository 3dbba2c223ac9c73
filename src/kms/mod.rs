//! The key service's door: AWS KMS's JSON API over HTTP, in front of [`crate::seal::LocalKeys`].
//!
//! ```text
//! http::gate ─► front: target, SigV4 ─► operation ─► seal::LocalKeys ─► answer
//! ```
//! boto3's `kms` client, the AWS CLI and the AWS Encryption SDK's KMS keyrings talk to it with
//! `endpoint_url` (or `AWS_ENDPOINT_URL_KMS`). Symmetric keys only: signing, HMAC and key-pair
//! operations are refused by name, as are key stores and multi-region keys.
//!
//! Every request is signed ([`crate::iam::sigv4`]); who has no access key is told nothing. Who is
//! known to [`crate::iam`] may do what their policies, the key's policy and its grants allow
//! (`authority`); the callers of a plain file of access keys may do everything.
//!
//! Source: AWS KMS API Reference; the protocol is AWS JSON 1.1.

mod authority;
mod callers;
mod error;
mod front;
pub(crate) mod fuzzed;
mod keys;
mod operation;
mod policy;
mod recorded;
mod server;
mod usage;
mod wire;

pub use crate::http::Running;
pub use callers::Callers;
pub use error::Error;
pub use server::{Builder, Server};
