//! What a finished transform says about itself.

use crate::spec::uri::Uri;

/// The outcome of a transform.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Report {
    /// The job's name.
    pub job: String,
    /// The model's own job.
    pub model: String,
    /// SHA-256 of the model's artifact as stored, lower-case hex.
    pub model_sha256: String,
    /// Input objects, each of which has its output now.
    pub objects: usize,
    /// Those of them that an earlier run had done.
    pub kept: usize,
    /// Records answered by this run.
    pub records: u64,
    /// Stored bytes that it read.
    pub bytes_in: u64,
    /// Bytes that it wrote.
    pub bytes_out: u64,
    /// Where the outputs lie.
    #[serde(serialize_with = "as_text")]
    pub output: Uri,
    /// The key that opens them; `None` when they are plain.
    pub key: Option<String>,
    /// Requests answered at once.
    pub concurrent: usize,
    /// How long it took.
    pub elapsed_s: f64,
}

fn as_text<S: serde::Serializer>(uri: &Uri, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(uri)
}
