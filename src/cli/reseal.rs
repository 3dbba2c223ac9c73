//! `smrt reseal`: the same content under another key.

use std::io::BufReader;

use clap::Args;

use super::open::{self, StorageOptions};
use super::table::count;
use super::{Error, Failure, output};
use crate::seal::{self, KeyService, LocalKeys};

/// Move a sealed file to another key, without its plaintext touching a disk
#[derive(Debug, Args)]
#[command(after_help = "\
The content and its context stay; the file gets a data key and a message id of its own, so its
SHA-256 changes. Rotating a key needs none of this: what was sealed still opens.

Examples:
  smrt reseal model.tar.gz --key alias/fraud
  smrt reseal s3://models/a/output/model.tar.gz --key alias/fraud --output s3://team/a.tar.gz")]
pub(super) struct Options {
    /// The sealed file: a path, or s3://bucket/key
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: String,

    /// The key to seal under: an id, an alias or an ARN
    #[arg(long, value_name = "KEY")]
    key: String,

    /// Where to write it [default: in place of FILE]
    #[arg(long, value_name = "URI", value_hint = clap::ValueHint::FilePath)]
    output: Option<String>,

    #[command(flatten)]
    storage: StorageOptions,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let keys = LocalKeys::of_user()?;
    // Before anything is read: a key of that name may not be there.
    let key = keys.describe(&options.key)?;
    let store = options.storage.store();
    let failed = |source| Error::Place { source };
    let to = open::uri(options.output.as_ref().unwrap_or(&options.file))?;
    let object = store.head(&open::uri(&options.file)?).map_err(failed)?;
    let reader = BufReader::new(store.open(&object).map_err(failed)?);
    // Nothing is visible under its name before finish(), and that only after the whole of what is
    // moved was proved.
    let upload = store.create(&to).map_err(failed)?;
    let (bytes, upload) = seal::reseal(reader, &keys, upload, &keys, &options.key)?;
    upload.finish().map_err(failed)?;
    output::write(&format!("{to}: {} bytes sealed under {}\n", count(bytes), key.arn))
}
