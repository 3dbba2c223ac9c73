//! `smrt reseal`: the same content under another key.

use std::io::BufReader;
use std::sync::Arc;

use clap::Args;

use super::open::{self, KeyOptions, StorageOptions};
use super::table::count;
use super::{Error, Failure, output};
use crate::keyring::beside;
use crate::seal::{self, Beside, KeyService};
use crate::spec::uri::Uri;
use crate::store::Store;

/// Move a sealed file to another key, without its plaintext touching a disk
///
/// By default the content is sealed anew, and its key stands in the file. With --detached the key
/// stands beside it, in FILE.keys.json: from then on --rewrap moves the file to another key in one
/// small write, however large it is, and deleting FILE.keys.json shreds it.
#[derive(Debug, Args)]
#[command(after_help = "\
The content and its context stay; a file that is sealed anew gets a data key and a message id of its
own, so its SHA-256 changes. Rotating a key needs none of this: what was sealed still opens.

Examples:
  smrt reseal model.tar.gz --key alias/fraud
  smrt reseal s3://models/a/output/model.tar.gz --key alias/fraud --output s3://team/a.tar.gz
  smrt reseal model.tar.gz --key alias/fraud --detached
  smrt reseal model.tar.gz --key alias/other --rewrap     model.tar.gz itself is not touched")]
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

    /// Keep the file's key beside it, in FILE.keys.json
    #[arg(long)]
    detached: bool,

    /// Move only FILE.keys.json to the key
    #[arg(long, conflicts_with_all = ["detached", "output"])]
    rewrap: bool,

    #[command(flatten)]
    storage: StorageOptions,

    #[command(flatten)]
    keys: KeyOptions,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let keys = options.keys.keys()?;
    let store = options.storage.store();
    let from = open::uri(&options.file)?;
    let to = open::uri(options.output.as_ref().unwrap_or(&options.file))?;
    let done = match options.rewrap {
        true => options.rewrapped(&keys, &store, &from)?,
        false => options.resealed(&keys, &store, (&from, &to))?,
    };
    // Its full name; who may use a key need not be allowed to have it described.
    let key = keys.describe(&options.key).map_or_else(|_| options.key.clone(), |key| key.arn);
    output::write(&format!("{to}: {done} under {key}\n"))
}

impl Options {
    fn resealed(
        &self,
        keys: &Arc<dyn KeyService>,
        store: &Store,
        (from, to): (&Uri, &Uri),
    ) -> Result<String, Failure> {
        let failed = |source| Error::Place { source };
        let object = store.head(from).map_err(failed)?;
        let reader = BufReader::new(store.open(&object).map_err(failed)?);
        let sidecar = beside::sidecar(from).to_string();
        let mine = Beside::new(Arc::clone(keys), sidecar, beside::fetch(store, from));
        // Nothing is visible under its name before finish(), and that only after the whole of what
        // is moved was proved.
        let upload = store.create(to).map_err(failed)?;
        let (theirs, key) = (keys.as_ref(), &self.key);
        if self.detached {
            let (bytes, upload, sidecar) =
                seal::reseal_detached(reader, &mine, upload, theirs, key)?;
            beside::place(store, to, &sidecar)?;
            upload.finish().map_err(failed)?;
            beside::settle(store, to, &sidecar)?;
            return Ok(format!(
                "{} bytes sealed, their key in {}",
                count(bytes),
                beside::sidecar(to)
            ));
        }
        let (bytes, upload) = seal::reseal(reader, &mine, upload, theirs, key)?;
        upload.finish().map_err(failed)?;
        // Its key stands in the file now; what opened the old one opens nothing here.
        if store.exists(&beside::sidecar(to)).map_err(failed)? {
            store.delete(&beside::sidecar(to)).map_err(failed)?;
        }
        Ok(format!("{} bytes sealed", count(bytes)))
    }

    fn rewrapped(
        &self,
        keys: &Arc<dyn KeyService>,
        store: &Store,
        uri: &Uri,
    ) -> Result<String, Failure> {
        let failed = |source| Error::Place { source };
        let object = store.head(uri).map_err(failed)?;
        let mut header = store.open(&object).map_err(failed)?;
        let (sidecar, place) = (beside::read(store, uri)?, beside::sidecar(uri).to_string());
        let moved = seal::rewrap(&mut header, &sidecar, keys.as_ref(), &self.key, &place)?;
        beside::settle(store, uri, &moved)?;
        Ok("its key is wrapped".to_owned())
    }
}
