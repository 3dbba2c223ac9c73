//! What the commands that use a model share: where s3:// is, which keys there are, and how an
//! artifact's address becomes a model.

use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use clap::Args;

use super::trust::Trust;
use super::{Error, Failure, audited};
use crate::keyring::{KeyRing, beside};
use crate::model::{Model, Opener};
use crate::seal::{KeyService, LocalKeys};
use crate::spec::train::{SealKey, Storage};
use crate::spec::uri::Uri;
use crate::store::Store;

/// How to reach `s3://`, where the environment does not say.
#[derive(Debug, Args)]
#[command(next_help_heading = "S3 (default: AWS_* variables, then ~/.aws)")]
pub(super) struct StorageOptions {
    /// Server, e.g. http://127.0.0.1:9000
    #[arg(long, value_name = "URL")]
    s3_endpoint: Option<String>,

    /// Region, e.g. us-east-1
    #[arg(long, value_name = "REGION")]
    s3_region: Option<String>,

    /// Profile of ~/.aws/credentials
    #[arg(long, value_name = "NAME")]
    s3_profile: Option<String>,
}

impl StorageOptions {
    pub(super) fn store(&self) -> Store {
        Store::new(&self.storage())
    }

    pub(super) fn storage(&self) -> Storage {
        let mut storage = Storage::default();
        storage.s3.endpoint = self.s3_endpoint.clone();
        storage.s3.region = self.s3_region.clone();
        storage.s3.profile = self.s3_profile.clone();
        storage
    }
}

/// Which key service has the keys that are not on this machine.
#[derive(Debug, Args)]
#[command(
    next_help_heading = "Keys elsewhere (default: AWS_ENDPOINT_URL_KMS; without, keys are local)"
)]
pub(super) struct KeyOptions {
    /// Server of AWS KMS's API, e.g. https://keys.example:8081, `smrt keys serve` or another
    #[arg(long, value_name = "URL")]
    kms_endpoint: Option<String>,

    /// Region, e.g. us-east-1; alone, AWS KMS is asked there
    #[arg(long, value_name = "REGION")]
    kms_region: Option<String>,

    /// Profile of ~/.aws/credentials
    #[arg(long, value_name = "NAME")]
    kms_profile: Option<String>,
}

impl KeyOptions {
    /// The keys of the user who runs this process, and of the service that is named.
    pub(super) fn keys(&self) -> Result<Arc<dyn KeyService>, Failure> {
        keys(&self.added_to(Storage::default()), &SealKey::Default)
    }

    /// The service that is named, beside the store that is.
    pub(super) fn added_to(&self, mut storage: Storage) -> Storage {
        storage.kms.endpoint = self.kms_endpoint.clone();
        storage.kms.region = self.kms_region.clone();
        storage.kms.profile = self.kms_profile.clone();
        storage
    }
}

/// The keys of the user who runs this process, and of the service that a job names.
pub(super) fn keys(storage: &Storage, key: &SealKey) -> Result<Arc<dyn KeyService>, Failure> {
    audited::keys(Arc::new(KeyRing::of_user(storage, key)?), audited::user(), "local")
}

/// The keys on this machine alone.
pub(super) fn local_keys() -> Result<Arc<dyn KeyService>, Failure> {
    audited::keys(Arc::new(LocalKeys::of_user()?), audited::user(), "local")
}

/// What opens the artifact at `uri`, whose key may stand beside it.
pub(super) fn opener(keys: Arc<dyn KeyService>, store: &Store, uri: &Uri) -> Opener {
    Opener::new(keys).beside(beside::sidecar(uri).to_string(), beside::fetch(store, uri))
}

/// An address from the command line.
pub(super) fn uri(text: &str) -> Result<Uri, Failure> {
    Ok(Uri::parse(text, Path::new("")).map_err(|(what, help)| Error::Address { what, help })?)
}

/// Reads, verifies and opens the artifact at `place`.
pub(super) fn model(
    place: &str,
    store: &Store,
    keys: Arc<dyn KeyService>,
    trust: Trust,
) -> Result<Model, Failure> {
    let failed = |source| Error::Place { source };
    let object = store.head(&uri(place)?).map_err(failed)?;
    let reader: Box<dyn Read + Send> = store.open(&object).map_err(failed)?;
    let opener = opener(keys, store, &object.uri).trusting(&trust.keys).wanting(trust.digest);
    Ok(opener.open(BufReader::new(reader), place)?)
}
