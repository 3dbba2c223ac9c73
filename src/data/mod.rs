//! Bytes to [`Batch`] and answers back to bytes: formats, channels, schema.

pub mod answer;
pub mod batch;
pub mod channel;
pub mod describe;
pub mod error;
pub mod generate;
pub mod login;
pub mod manifest;
pub mod media;
pub mod oip;
pub mod pages;
pub mod request;
pub mod schema;
pub mod split;
pub mod write;

mod block;
mod csv;
pub(crate) mod fuzzed;
mod group;
mod jsonl;
mod label;
mod libsvm;
mod nested;
mod number;
mod parquet;
pub mod protobuf;
mod record;
mod recordio;
mod roles;
mod rows;
mod sparse;
mod stored;
mod tfrecord;
mod words;

pub use answer::{Answer, Field, Values};
pub use batch::{Batch, Categories, Dataset, Labels, Source, Sparse};
pub use error::Error;
pub use pages::Pages;
pub use schema::{Absent, LabelNames, Signature, Task};
pub use words::Vocabulary;
