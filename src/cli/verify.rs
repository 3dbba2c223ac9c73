//! `smrt verify`: who vouches for an artifact.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::open::{self, KeyOptions, StorageOptions};
use super::report::plural;
use super::{Error, Failure, output};
use crate::keyring::signing::public_key;
use crate::spec::limit::ARCHIVE_BYTES_MAX;

/// Hold an artifact against the public key of who signed it
///
/// The artifact is a model.tar.gz, sealed or plain, with a model.sig in it: what a job with `sign`
/// leaves, or a tree that PyPI's model-signing signed, packed. Every file must be signed and every
/// signed file be there. Exits with 1 when it is not so.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smrt verify model.tar.gz --key release.pem
  smrt verify s3://models/churn-demo/output/model.tar.gz --key ours.pem --key theirs.pem")]
pub(super) struct Options {
    /// The artifact: a path, or s3://bucket/key
    #[arg(value_name = "ARTIFACT", value_hint = clap::ValueHint::FilePath)]
    artifact: String,

    /// A public key that may have signed it (PEM); may be given several times
    #[arg(long = "key", value_name = "FILE", required = true,
          value_hint = clap::ValueHint::FilePath)]
    keys: Vec<PathBuf>,

    /// Write the result for people or for programs
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: output::Format,

    #[command(flatten)]
    storage: StorageOptions,

    #[command(flatten)]
    services: KeyOptions,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let trusted =
        options.keys.iter().map(|path| public_key(path)).collect::<Result<Vec<_>, _>>()?;
    let store = options.storage.store();
    let uri = open::uri(&options.artifact)?;
    let bytes =
        store.read_to_vec(&uri, ARCHIVE_BYTES_MAX).map_err(|source| Error::Place { source })?;
    let opener = open::opener(options.services.keys()?, &store, &uri);
    let (signed, files) = opener.verify(&bytes, &options.artifact, &trusted)?;
    output::write(&match options.format {
        output::Format::Text => format!(
            "{}: signed by {} as {:?}, {}\n",
            options.artifact,
            signed.signer,
            signed.model,
            plural(files as u64, "file"),
        ),
        output::Format::Json => output::json(&json!({
            "artifact": options.artifact, "signer": signed.signer, "model": signed.model,
            "digest": signed.digest, "files": files,
        })),
    })
}
