//! `manifest.json` and `provenance.json`: what the model is, and what it was made from.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::algorithm::{Files, Metric};
use crate::data::{Signature, Source};

/// The version of the artifact's layout that this build writes and reads.
pub const FORMAT: u32 = 1;

/// `manifest.json`: what the model is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this layout; see [`FORMAT`].
    pub smrt_format: u32,
    /// Name of the job that made it.
    pub job: String,
    /// Name in the algorithm table.
    pub algorithm: String,
    /// Every parameter in effect, defaults filled in.
    pub hyperparameters: Map<String, Value>,
    /// Input and output.
    pub signature: Signature,
    /// Final metrics on each channel.
    pub metrics: Vec<Metric>,
    /// Epochs or rounds that were run.
    pub epochs: usize,
}

/// What a model was made from: everything needed to make it again.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Each object that was read, with its channel.
    pub inputs: Vec<(String, Source)>,
    /// The job's seed.
    pub seed: u64,
    /// Threads that computed; part of the origin because sums depend on their order.
    pub threads: usize,
    /// The device that computed.
    pub device: String,
}

/// `provenance.json`: an in-toto statement (v1) with a SLSA provenance predicate (v1.0).
///
/// It holds no time and no path of this machine, so the same job on the same data gives the same
/// bytes. Source: <https://slsa.dev/spec/v1.0/provenance>.
pub(super) fn provenance(manifest: &Manifest, origin: &Origin, files: &Files) -> Value {
    let subject: Vec<Value> = files
        .iter()
        .map(|(name, bytes)| json!({"name": name, "digest": {"sha256": digest(bytes)}}))
        .collect();
    let inputs: Vec<Value> = origin
        .inputs
        .iter()
        .map(|(channel, source)| {
            json!({
                "uri": source.uri,
                "digest": {"sha256": source.sha256},
                "annotations": {"channel": channel, "bytes": source.bytes},
            })
        })
        .collect();
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://smrt.dev/training-job/v1",
                "externalParameters": {
                    "job": manifest.job,
                    "algorithm": manifest.algorithm,
                    "hyperparameters": manifest.hyperparameters,
                    "seed": origin.seed,
                },
                "internalParameters": {"threads": origin.threads, "device": origin.device},
                "resolvedDependencies": inputs,
            },
            "runDetails": {
                "builder": builder(),
                "metadata": {"invocationId": manifest.job},
            },
        },
    })
}

/// Who trained: this program, its version, and what it was built from.
///
/// `SMRT_BUILD_COMMIT`, where it is set when smrt is compiled, is the commit; the lock file names
/// every dependency with its digest in any case.
fn builder() -> Value {
    static LOCK: OnceLock<String> = OnceLock::new();
    let lock = LOCK.get_or_init(|| digest(include_bytes!("../../Cargo.lock")));
    let mut made_of = vec![json!({ "name": "Cargo.lock", "digest": { "sha256": lock } })];
    if let Some(commit) = option_env!("SMRT_BUILD_COMMIT") {
        made_of.push(json!({ "name": "smrt", "digest": { "gitCommit": commit } }));
    }
    json!({
        "id": "https://smrt.dev/builder/v1",
        "version": { "smrt": env!("CARGO_PKG_VERSION") },
        "builderDependencies": made_of,
    })
}

/// SHA-256 as lower-case hex.
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
