//! A batch transform as a user writes it: SageMaker's `CreateTransformJob` in a file.
//!
//! | section | SageMaker's |
//! |---|---|
//! | `[job] name` | `TransformJobName` |
//! | `[job] role` | the model's `ExecutionRoleArn` |
//! | `[model] uri` | the model's `ModelDataUrl` |
//! | `[input]` | `TransformInput` |
//! | `[output]` | `TransformOutput` |
//! | `[transform]` | `BatchStrategy`, `MaxPayloadInMB`, `MaxConcurrentTransforms` |
//! | `[data_processing]` | `DataProcessing` |
//! | `[storage.s3]`, `[storage.kms]` | as in a training job |

use std::fmt;

mod effective;
mod fits;
mod read;
#[cfg(test)]
mod tests;

pub use read::{Reading, is_meant};

use super::json_path::JsonPath;
use super::name::JobName;
use super::role::RoleArn;
use super::train::{Compression, DataType, Media, SealKey, Storage};
use super::uri::Uri;

/// A checked batch transform.
#[derive(Debug, Clone)]
pub struct TransformJob {
    /// `[job] name`
    pub name: JobName,
    /// `[job] role`: the job acts with this role and nothing else.
    pub role: Option<RoleArn>,
    /// `[model] uri`: an artifact.
    pub model: Uri,
    /// `[input]`
    pub input: Input,
    /// `[output]`
    pub output: Output,
    /// `[transform] batch_strategy`
    pub strategy: BatchStrategy,
    /// `[transform] max_payload_in_mb` in bytes; `None` for 0, no bound.
    pub payload_bytes_max: Option<usize>,
    /// `[transform] max_concurrent_transforms`; 0 takes every core.
    pub concurrent: usize,
    /// `[data_processing]`
    pub processing: Processing,
    /// `[storage]`
    pub storage: Storage,
}

/// SageMaker's `TransformInput`.
#[derive(Debug, Clone)]
pub struct Input {
    /// An object, a folder or a prefix; or a manifest.
    pub uri: Uri,
    /// `s3_data_type`
    pub data_type: DataType,
    /// `content_type`
    pub media: Media,
    /// `split_type`
    pub split: SplitType,
    /// `compression`
    pub compression: Compression,
    /// The first line of each CSV object names its columns and is no record.
    pub header: bool,
}

/// SageMaker's `TransformOutput`.
#[derive(Debug, Clone)]
pub struct Output {
    /// The folder or prefix that the `.out` objects lie below.
    pub uri: Uri,
    /// `accept`, as written: a media type, with the endpoint's parameters.
    pub accept: String,
    /// Its media type.
    pub media: Media,
    /// `assemble_with`
    pub assemble: AssembleWith,
    /// `kms_key`; plain unless one is named.
    pub key: SealKey,
}

/// What one record of an object is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SplitType {
    /// The object is one request.
    #[default]
    None,
    /// A line.
    Line,
    /// A frame of RecordIO.
    RecordIO,
    /// A frame of TensorFlow's TFRecord, whose bytes are a record of the content type.
    TFRecord,
}

/// What stands between answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AssembleWith {
    /// Nothing.
    #[default]
    None,
    /// A line feed after each.
    Line,
}

/// How many records make a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BatchStrategy {
    /// As many as fit into the payload.
    #[default]
    MultiRecord,
    /// One.
    SingleRecord,
}

/// SageMaker's `DataProcessing`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Processing {
    /// `input_filter`: what of a record the model is given.
    pub input_filter: JsonPath,
    /// `output_filter`: what of the answer, joined or not, is written.
    pub output_filter: JsonPath,
    /// `join_source`
    pub join: JoinSource,
}

/// Whether a record is written beside its answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum JoinSource {
    /// No.
    #[default]
    None,
    /// Yes.
    Input,
}

impl Processing {
    /// Whether records and answers pass as they are.
    pub fn is_none(&self) -> bool {
        *self == Processing::default()
    }
}

macro_rules! shown_as_named {
    ($($name:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, f)
            }
        }
    )*};
}

shown_as_named!(SplitType, AssembleWith, BatchStrategy, JoinSource);
