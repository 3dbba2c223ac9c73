//! What a finished training says about itself.

use std::path::Path;

use serde::Deserialize as _;

use crate::algorithm::Metric;
use crate::data::Signature;
use crate::spec::uri::Uri;

/// The outcome of a training job.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// The job's name.
    pub job: String,
    /// Its algorithm.
    pub algorithm: String,
    /// What was read, channel by channel, `train` first.
    pub channels: Vec<ChannelReport>,
    /// Input and output of the model.
    pub signature: Signature,
    /// Epochs or rounds that were run.
    pub epochs: usize,
    /// What one of them is called.
    pub epoch_word: String,
    /// Final metrics (`train:…`, `validation:…`).
    pub metrics: Vec<Metric>,
    /// Where the artifact lies.
    #[serde(serialize_with = "as_text", deserialize_with = "of_text")]
    pub artifact: Uri,
    /// Its size as stored.
    pub artifact_bytes: u64,
    /// SHA-256 of the artifact as stored, lower-case hex.
    pub artifact_sha256: String,
    /// The key that opens it; `None` when the job asked for a plain tar.gz.
    pub key: Option<String>,
    /// The fingerprint of the key that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// Where it is written down which artifact the job made.
    #[serde(serialize_with = "as_text", deserialize_with = "of_text")]
    pub record: Uri,
    /// Where it was computed.
    pub device: String,
    /// On how many threads.
    pub threads: usize,
    /// Whether it went on from a checkpoint.
    pub resumed: bool,
    /// Whether an earlier artifact of the same job was replaced.
    pub replaced: bool,
    /// Seconds spent reading and decoding.
    pub read_s: f64,
    /// Seconds spent learning.
    pub fit_s: f64,
    /// Seconds spent packing, sealing and writing.
    pub write_s: f64,
}

/// What was read of one channel.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct ChannelReport {
    /// The channel's name.
    pub name: String,
    /// Objects read.
    pub objects: usize,
    /// Their stored size together.
    pub bytes: u64,
    /// Rows decoded.
    pub rows: usize,
    /// Whether they did not fit into memory and were read from disk epoch by epoch.
    pub streamed: bool,
}

fn of_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Uri, D::Error> {
    let text = String::deserialize(deserializer)?;
    Uri::parse(&text, Path::new("/")).map_err(|(what, _)| serde::de::Error::custom(what))
}

fn as_text<S: serde::Serializer>(uri: &Uri, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(uri)
}
