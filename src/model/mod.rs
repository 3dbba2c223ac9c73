//! `model.tar.gz`: what is inside, how it is made, and how a stranger's is read.

use serde::{Deserialize, Serialize};

use crate::algorithm::{Metric, Predictor};
use crate::data::Signature;

/// `manifest.json`: what the model is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format; 1.
    pub smrt_format: u32,
    /// Name of the job that made it.
    pub job: String,
    /// Name in the algorithm table.
    pub algorithm: String,
    /// Every parameter in effect, defaults filled in.
    pub hyperparameters: serde_json::Map<String, serde_json::Value>,
    /// Input and output.
    pub signature: Signature,
    /// Final metrics on each channel.
    pub metrics: Vec<Metric>,
    /// Epochs or rounds that were run.
    pub epochs: usize,
}

/// A model that was read whole, verified and opened. Made only by this room.
pub struct Model {
    /// What it is.
    pub manifest: Manifest,
    /// SHA-256 of the artifact as it was stored, lower-case hex.
    pub digest: String,
    /// Answers.
    pub predictor: Box<dyn Predictor>,
}
