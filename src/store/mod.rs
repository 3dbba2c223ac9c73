//! Bytes in and out: S3-compatible servers, folders, memory, the web, through `object_store`.
//!
//! The one border where waiting for the network happens. What leaves this room is plain
//! [`std::io::Read`] and [`std::io::Write`], so the rooms that decode and seal stay synchronous.
//! Nothing is decoded, hashed or decrypted here.
//!
//! | place | read | list | write |
//! |---|---|---|---|
//! | `s3://`, `gs://` (feature `gcp`), `az://` (feature `azure`) | ranges, four at a time | by string prefix, as SageMaker's `S3Prefix` | in parts, visible at the end |
//! | a path, `file://` | the file | the folder and below | hidden draft, fsync, rename |
//! | `memory://` | as a bucket | as a bucket | as a bucket |
//! | `http://`, `https://` | one stream | that object | no |
//!
//! A listing leaves out empty objects and names that begin with `.` or `_` (folder markers,
//! `_SUCCESS`, drafts), unless the user named exactly that object. Where SageMaker would read
//! `train.csv.bak` beside `train.csv`, an object of exactly the given name is read alone.

mod bounded;
mod client;
mod connect;
mod elsewhere;
mod environment;
mod error;
mod guard;
mod local;
mod object;
mod profile;
mod read;
mod remote;
mod runtime;
mod service;
mod settings;
mod upload;

use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

pub use elsewhere::{Draft, Elsewhere};
pub use environment::Environment;
pub use error::{Asked, Error};
pub use guard::{Act, Forbidden, Guard};
pub use object::Object;
pub use service::{Answer, Credentials, Service};
pub use upload::Upload;

use crate::spec::train::Storage;
use crate::spec::uri::Uri;
use connect::Bucket;

/// Every place that bytes come from or go to. Cheap to make and to clone: nothing is opened, and
/// no runtime started, until a remote place is touched.
///
/// ```
/// use smrt::spec::uri::Uri;
/// use smrt::store::Store;
/// use std::io::{Read, Write};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Store::new(&Default::default());
/// let folder = Uri::Memory("example".into());
/// let mut upload = store.create(&folder.join("a.csv"))?;
/// upload.write_all(b"1,2\n")?;
/// upload.finish()?;
///
/// let mut text = String::new();
/// for object in store.list(&folder)? {
///     store.open(&object)?.read_to_string(&mut text)?;
/// }
/// assert_eq!(text, "1,2\n");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    guard: Option<Arc<dyn Guard>>,
}

struct Shared {
    storage: Storage,
    environment: Environment,
    /// Guards the table only: a client is made outside it.
    buckets: Mutex<HashMap<String, Arc<Bucket>>>,
    /// Who does everything in place of this process.
    elsewhere: Option<Box<dyn Elsewhere>>,
}

impl Store {
    /// A store as the job says and the process's environment completes.
    pub fn new(storage: &Storage) -> Store {
        Store::with_environment(storage, Environment::of_process())
    }

    /// A store that sees these variables and no others. `HOME` decides where `~/.aws` is.
    pub fn with_environment(storage: &Storage, environment: Environment) -> Store {
        let storage = storage.clone();
        let buckets = Mutex::default();
        let shared = Shared { storage, environment, buckets, elsewhere: None };
        Store { shared: Arc::new(shared), guard: None }
    }

    /// A store whose acts `elsewhere` does: this process touches no file and no network.
    pub fn through(elsewhere: impl Elsewhere + 'static) -> Store {
        Store {
            shared: Arc::new(Shared {
                storage: Storage::default(),
                environment: Environment::default(),
                buckets: Mutex::default(),
                elsewhere: Some(Box::new(elsewhere)),
            }),
            guard: None,
        }
    }

    /// Size and SHA-256 of an object as it is stored, where it came open from elsewhere.
    pub fn as_stored(&self, uri: &Uri) -> Option<(u64, String)> {
        self.shared.elsewhere.as_ref()?.as_stored(uri)
    }

    fn elsewhere(&self) -> Option<&dyn Elsewhere> {
        self.shared.elsewhere.as_deref()
    }

    /// The same store, of which nothing is touched that `guard` does not allow.
    #[must_use]
    pub fn guarded(mut self, guard: Arc<dyn Guard>) -> Store {
        self.guard = Some(guard);
        self
    }

    /// Whether somebody guards it, here or where its acts are done.
    pub fn is_guarded(&self) -> bool {
        self.guard.is_some() || self.shared.elsewhere.is_some()
    }

    fn may(&self, act: Act, uri: &Uri) -> Result<(), Error> {
        let Some(guard) = &self.guard else { return Ok(()) };
        guard.may(act, uri).map_err(|why| Error::Forbidden {
            uri: uri.clone(),
            what: why.what,
            help: why.help,
        })
    }

    /// Every object at or below `uri`, sorted by key; never empty.
    ///
    /// # Errors
    /// [`Error::Empty`] and [`Error::NotFound`] when there is nothing; otherwise whatever kept the
    /// place from answering.
    pub fn list(&self, uri: &Uri) -> Result<Vec<Object>, Error> {
        self.may(Act::List, uri)?;
        if let Some(elsewhere) = self.elsewhere() {
            return elsewhere.list(uri);
        }
        match uri {
            Uri::File(path) => local::list(path),
            _ => self.ask(uri, |bucket, uri| async move { remote::list(&bucket, &uri).await }),
        }
    }

    /// The one object at exactly `uri`.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is not there.
    pub fn head(&self, uri: &Uri) -> Result<Object, Error> {
        self.may(Act::Read, uri)?;
        if let Some(elsewhere) = self.elsewhere() {
            return elsewhere.head(uri);
        }
        match uri {
            Uri::File(path) => local::head(path),
            _ => self.ask(uri, |bucket, uri| async move { remote::head(&bucket, &uri).await }),
        }
    }

    /// Whether there is an object at exactly `uri`.
    ///
    /// # Errors
    /// Whatever kept the place from answering.
    pub fn exists(&self, uri: &Uri) -> Result<bool, Error> {
        match self.head(uri) {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The object's bytes from first to last. A remote reader holds 40 MiB at most.
    ///
    /// Reading fails with an [`Error`] inside the [`std::io::Error`] (see [`Error::inside`]) when
    /// the object is no longer the one that was listed.
    ///
    /// # Errors
    /// Whatever kept it from being opened.
    pub fn open(&self, object: &Object) -> Result<Box<dyn Read + Send>, Error> {
        self.open_range(object, 0..object.bytes)
    }

    /// A part of the object; bytes past its end are left out.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_range(
        &self,
        object: &Object,
        range: Range<u64>,
    ) -> Result<Box<dyn Read + Send>, Error> {
        self.may(Act::Read, &object.uri)?;
        let end = range.end.min(object.bytes);
        let range = range.start.min(end)..end;
        if let Some(elsewhere) = self.elsewhere() {
            return elsewhere.open(object, range);
        }
        match &object.uri {
            Uri::File(path) => local::open(path, object, range),
            uri => read::open(self.bucket(uri)?, object.clone(), range),
        }
    }

    /// A whole object that is known to be small.
    ///
    /// # Errors
    /// [`Error::TooLarge`] before anything is read; otherwise as [`Store::open`].
    pub fn read_to_vec(&self, uri: &Uri, bytes_max: u64) -> Result<Vec<u8>, Error> {
        let object = self.head(uri)?;
        if object.bytes > bytes_max {
            let bytes = object.bytes;
            return Err(Error::TooLarge { uri: uri.clone(), bytes, bytes_max });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(object.bytes).unwrap_or_default());
        match self.open(&object)?.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(match error.downcast::<Error>() {
                Ok(error) => error,
                Err(source) => Error::local("read", uri.to_string(), source),
            }),
        }
    }

    /// Begins an object at `uri`. It becomes visible by [`Upload::finish`] and not before, and
    /// then replaces what was there. Folders on the way are made.
    ///
    /// # Errors
    /// What can be known before the first byte.
    pub fn create(&self, uri: &Uri) -> Result<Upload, Error> {
        self.may(Act::Write, uri)?;
        if let Some(elsewhere) = self.elsewhere() {
            return elsewhere.create(uri).map(Upload::elsewhere);
        }
        match uri {
            Uri::File(path) => local::Draft::create(path).map(Upload::local),
            Uri::Http(_) => Err(read_only(uri)),
            _ => Upload::remote(self.bucket(uri)?, uri.clone()),
        }
    }

    /// Whether whoever guards the store, if anybody does, will allow all of `acts` on `uri`. Nothing
    /// is touched: what would be refused after hours of work is refused before.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub fn check_allowed(&self, acts: &[Act], uri: &Uri) -> Result<(), Error> {
        acts.iter().try_for_each(|act| self.may(*act, uri))
    }

    /// Tries whether objects can be made below `folder`, and leaves nothing behind: what would
    /// fail after hours of training fails before.
    ///
    /// # Errors
    /// The reason, as [`Upload::finish`] would give it.
    pub fn check_writable(&self, folder: &Uri) -> Result<(), Error> {
        if self.elsewhere().is_some() {
            // Tried there, before this process was started.
            return Ok(());
        }
        // One name for all: where deleting is forbidden, one small object stays, not one per job.
        let probe = folder.join(".smrt-write-check");
        // Both before the first byte: a probe that may not be removed is not left there.
        self.may(Act::Write, &probe)?;
        self.may(Act::Delete, &probe)?;
        if let Uri::File(path) = folder {
            return local::check_writable(path);
        }
        // Writing needs no permission to list.
        if !matches!(folder, Uri::Http(_)) && self.may(Act::List, folder).is_ok() {
            self.ask(
                folder,
                |bucket, uri| async move { remote::check_bucket(&bucket, &uri).await },
            )?;
        }
        let mut upload = self.create(&probe)?;
        std::io::Write::write_all(&mut upload, b"smrt was here\n").expect("less than one part");
        upload.finish()?;
        if let Err(error) = self.delete(&probe) {
            tracing::warn!(uri = %probe, %error, "the write check could not be removed");
        }
        Ok(())
    }

    /// Removes an object. One that is not there counts as removed.
    ///
    /// # Errors
    /// Whatever kept it from being removed.
    pub fn delete(&self, uri: &Uri) -> Result<(), Error> {
        self.may(Act::Delete, uri)?;
        if let Some(elsewhere) = self.elsewhere() {
            return elsewhere.delete(uri);
        }
        match uri {
            Uri::File(path) => local::delete(path),
            Uri::Http(_) => Err(read_only(uri)),
            _ => self.ask(uri, |bucket, uri| async move { remote::delete(&bucket, &uri).await }),
        }
    }

    /// Removes what a process that was killed left of objects it was writing in `folder`, whose
    /// names begin with `begin`. Buckets show nothing of those and clean up by their own rules.
    /// Nothing is said where it fails: it is only tidying.
    pub fn sweep(&self, folder: &Uri, begin: &str) {
        if let (Uri::File(path), None) = (folder, self.elsewhere())
            && self.may(Act::Write, &folder.join(begin)).is_ok()
        {
            local::sweep(path, begin);
        }
    }

    /// As [`Store::sweep`], for the drafts of exactly these objects.
    pub fn sweep_each<'a>(&self, uris: impl Iterator<Item = &'a Uri>) {
        if self.elsewhere().is_some() {
            return;
        }
        let ours = uris.filter(|uri| uri.local_path().is_some());
        let ours = ours.filter(|uri| self.may(Act::Write, uri).is_ok());
        local::sweep_each(ours.filter_map(Uri::local_path));
    }

    fn ask<T, F>(&self, uri: &Uri, question: impl FnOnce(Arc<Bucket>, Uri) -> F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        runtime::wait(question(self.bucket(uri)?, uri.clone()))
    }

    /// The client for a bucket, made at its first use.
    fn bucket(&self, uri: &Uri) -> Result<Arc<Bucket>, Error> {
        let name = connect::bucket_of(uri);
        let known = || self.shared.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = known().get(&name) {
            return Ok(bucket.clone());
        }
        let made = connect::connect(uri, &self.shared.storage, &self.shared.environment)?;
        Ok(known().entry(name).or_insert_with(|| Arc::new(made)).clone())
    }
}

fn read_only(uri: &Uri) -> Error {
    Error::Place {
        uri: uri.clone(),
        what: "smrt reads the web and does not write to it".to_owned(),
        help: "write to s3://bucket/prefix or a folder".to_owned(),
    }
}

/// Names nothing: settings may hold secrets.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
