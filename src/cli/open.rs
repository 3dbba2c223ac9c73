//! What the commands that use a model share: where s3:// is, which keys there are, and how an
//! artifact's address becomes a model.

use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use clap::Args;

use super::{Error, Failure, audited};
use crate::model::{Model, Opener};
use crate::seal::{KeyService, LocalKeys};
use crate::spec::train::Storage;
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

/// The keys of the user who runs this process.
pub(super) fn keys() -> Result<Arc<dyn KeyService>, Failure> {
    audited::keys(Arc::new(LocalKeys::of_user()?), audited::user(), "local")
}

/// An address from the command line.
pub(super) fn uri(text: &str) -> Result<Uri, Failure> {
    Ok(Uri::parse(text, Path::new("")).map_err(|(what, help)| Error::Address { what, help })?)
}

/// Reads, verifies and opens the artifact at `place`.
pub(super) fn model(place: &str, store: &Store) -> Result<Model, Failure> {
    model_of(place, store, keys()?)
}

/// The same with these keys.
pub(super) fn model_of(
    place: &str,
    store: &Store,
    keys: Arc<dyn KeyService>,
) -> Result<Model, Failure> {
    let failed = |source| Error::Place { source };
    let object = store.head(&uri(place)?).map_err(failed)?;
    let reader: Box<dyn Read + Send> = store.open(&object).map_err(failed)?;
    Ok(Opener::new(keys).open(BufReader::new(reader), place)?)
}
