//! Which artifact, and whose: what the commands that answer with a model may insist on.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Error, Failure, open};
use crate::keyring::signing::public_key;
use crate::model::{JobRecord, digest_of};
use crate::sign::PublicKey;
use crate::spec::limit::SIGNATURE_FILE_BYTES_MAX;
use crate::spec::uri::Uri;
use crate::store::Store;

/// What an artifact must be to be opened.
#[derive(Debug, Args)]
#[command(next_help_heading = "Trust (default: the seal alone)")]
pub(super) struct TrustOptions {
    /// Open only what this key signed (PEM, from `smrt sign public`); may be given several times
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    require_signature: Vec<PathBuf>,

    /// Open only the artifact with this SHA-256, and no other version of it
    #[arg(long, value_name = "SHA256", value_parser = digest_of, conflicts_with = "job_record")]
    digest: Option<String>,

    /// Open only the artifact that this job.json of `smrt train` names; with --require-signature it
    /// must be signed, too
    #[arg(long, value_name = "URI", value_hint = clap::ValueHint::FilePath)]
    job_record: Option<String>,
}

/// The answer to it.
pub(super) struct Trust {
    /// Who may have signed; nobody needs to where it is empty.
    pub(super) keys: Vec<PublicKey>,
    /// SHA-256 of the stored bytes.
    pub(super) digest: Option<String>,
}

impl TrustOptions {
    /// Which of the options were given, for where a file says it.
    pub(super) fn given(&self) -> [(&'static str, &'static str, bool); 3] {
        [
            (
                "--require-signature",
                "endpoint.require_signature",
                !self.require_signature.is_empty(),
            ),
            ("--digest", "variants.NAME.digest", self.digest.is_some()),
            ("--job-record", "variants.NAME.job_record", self.job_record.is_some()),
        ]
    }

    /// Reads the keys and the record.
    pub(super) fn trust(&self, store: &Store) -> Result<Trust, Failure> {
        let keys = public_keys(&self.require_signature)?;
        let digest = match &self.job_record {
            Some(place) => Some(recorded(&open::uri(place)?, store, &keys)?),
            None => self.digest.clone(),
        };
        Ok(Trust { keys, digest })
    }
}

/// Public keys in PEM files.
pub(super) fn public_keys<P: AsRef<Path>>(files: &[P]) -> Result<Vec<PublicKey>, Failure> {
    files.iter().map(|file| Ok(public_key(file.as_ref())?)).collect()
}

/// The SHA-256 that a job's record names.
pub(super) fn recorded(uri: &Uri, store: &Store, keys: &[PublicKey]) -> Result<String, Failure> {
    let bytes = store
        .read_to_vec(uri, SIGNATURE_FILE_BYTES_MAX as u64)
        .map_err(|source| Error::Place { source })?;
    Ok(JobRecord::read(&bytes, &uri.to_string(), keys)?.sha256)
}
