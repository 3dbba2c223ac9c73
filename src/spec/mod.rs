//! What a user writes, parsed into values that cannot be wrong. No I/O happens here.
//!
//! [`train::TrainingJob::read`] is the way in: bytes of a `job.toml` (and `--set` overrides) come
//! in, a checked job or every [`Mistakes`] goes out; [`endpoint::EndpointFile::read`] does the same
//! for an `endpoint.toml`.

mod cursor;
mod document;
pub mod endpoint;
pub mod error;
pub(crate) mod fuzzed;
mod image;
pub mod json_path;
pub mod limit;
pub mod manifest;
mod media;
pub mod name;
pub mod network;
pub mod parameter;
pub mod problem;
pub mod role;
pub mod train;
pub mod transform;
pub mod unit;
pub mod uri;

pub use error::Mistakes;
