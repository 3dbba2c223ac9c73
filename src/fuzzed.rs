//! Every parser of strangers' bytes, as a function of bytes: what the fuzz targets in `tests/fuzz`
//! call, and what `tests/it` replays over their corpora.
//!
//! A function holds what its parser promises besides not to panic: that two ways of reading agree,
//! that what is read is written and read as the same, that where bytes are cut does not matter, that
//! a place in a message exists. It panics where that is not so. The functions stand beside their
//! parsers, in the file `fuzzed.rs` of each room; nothing of smrt itself calls them, so the linker
//! leaves them out of the binary.

use crate::{algorithm, data, http, iam, kms, model, seal, serve, spec, telemetry, transform};

/// Holds a parser against some bytes.
pub type Check = fn(&[u8]);

/// By name: that of the fuzz target, and of the folder with its corpus.
pub static FUZZED: &[(&str, Check)] = &[
    // What a job reads.
    ("csv", data::fuzzed::csv),
    ("describe", data::fuzzed::described),
    ("jsonl", data::fuzzed::jsonl),
    ("libsvm", data::fuzzed::libsvm),
    ("logins", data::fuzzed::logins),
    ("manifest", spec::fuzzed::manifest),
    ("parquet", data::fuzzed::parquet),
    ("record", data::fuzzed::record),
    ("recordio", data::fuzzed::recordio),
    ("split", data::fuzzed::split),
    ("stored", data::fuzzed::stored),
    // What a user writes.
    ("endpoint_toml", spec::fuzzed::endpoint),
    ("hyperparameters", algorithm::fuzzed::hyperparameters),
    ("job_toml", spec::fuzzed::job),
    ("json_path", spec::fuzzed::json_path),
    ("select", transform::fuzzed::selected),
    ("transform_toml", spec::fuzzed::transform),
    ("uri", spec::fuzzed::uri),
    // What a caller sends.
    ("coding", http::fuzzed::coding),
    ("framing", http::fuzzed::framing),
    ("grpc_frame", serve::fuzzed::grpc_frame),
    ("headers", serve::fuzzed::headers),
    ("media_types", data::fuzzed::media_types),
    ("path", serve::fuzzed::path),
    ("request_csv", data::fuzzed::request_csv),
    ("request_json", data::fuzzed::request_json),
    ("request_jsonlines", data::fuzzed::request_jsonlines),
    ("request_libsvm", data::fuzzed::request_libsvm),
    ("request_logins", data::fuzzed::request_logins),
    ("request_recordio", data::fuzzed::request_recordio),
    ("tokens", http::fuzzed::tokens),
    ("v2", data::fuzzed::v2),
    ("v2_message", data::fuzzed::v2_message),
    // What is said to be a model.
    ("archive", model::fuzzed::archive),
    ("artifact", model::fuzzed::artifact),
    ("lightgbm", algorithm::fuzzed::lightgbm),
    ("model_files", model::fuzzed::files),
    ("model_manifest", model::fuzzed::manifest),
    ("tar", model::fuzzed::tar),
    ("tensors", algorithm::fuzzed::tensors),
    ("xgboost", algorithm::fuzzed::xgboost),
    // What is sealed.
    ("key_blob", seal::fuzzed::blob),
    ("key_file", seal::fuzzed::key_file),
    ("seal_context", seal::fuzzed::context),
    ("seal_header", seal::fuzzed::header),
    ("seal_message", seal::fuzzed::message),
    // Who may do what, and what was done.
    ("audit", telemetry::fuzzed::audit),
    ("chunked", iam::fuzzed::chunked),
    ("iam_state", iam::fuzzed::state),
    ("kms", kms::fuzzed::operation),
    ("policy", iam::fuzzed::policy),
    ("signed", iam::fuzzed::signed),
    ("sigv4", iam::fuzzed::sigv4),
    ("times", iam::fuzzed::times),
];

/// The function of a target.
///
/// # Panics
/// When there is none of this name.
pub fn check(target: &str, bytes: &[u8]) {
    let found = FUZZED.iter().find(|(name, _)| *name == target);
    let (_, check) = found.unwrap_or_else(|| panic!("there is no target {target:?}"));
    check(bytes);
}
