//! Bytes to [`Batch`] and answers back to bytes: formats, channels, schema.

pub mod answer;
pub mod batch;
pub mod schema;

pub use answer::{Answer, Field, Values};
pub use batch::{Batch, Dataset, Labels, Source};
pub use schema::{LabelNames, Signature, Task};
