//! Where an endpoint's models come from: a store and the keys that open what is in it.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use hyper::StatusCode;

use super::codec::Refusal;
use crate::fault::{Fault, Kind};
use crate::keyring::beside;
use crate::model::{Model, Opener};
use crate::spec::limit::{FILE_NAME_BYTES_MAX, FILE_PATH_BYTES_MAX};
use crate::spec::uri::Uri;
use crate::store::{self, Object, Store};

/// Opens artifacts by their address.
#[derive(Clone)]
pub struct Library {
    store: Store,
    opener: Opener,
    /// SHA-256 of the artifacts that may only be these.
    pinned: Arc<BTreeMap<String, String>>,
}

/// Why an artifact is not a model that answers.
#[derive(Debug)]
pub(super) enum Unloaded {
    /// It is not there.
    Missing,
    /// Its store could not be asked: for the log.
    Store(Box<store::Error>),
    /// What is there cannot be used: for the caller too.
    Broken(String, Option<String>),
    /// It needs more memory than there may be.
    TooLarge(String),
}

impl Library {
    /// Artifacts that `store` has and `opener` can open.
    pub fn new(store: Store, opener: Opener) -> Library {
        Library { store, opener, pinned: Arc::default() }
    }

    /// Opens at `uri` nothing but the artifact with this SHA-256 (lower-case hex), where there is
    /// one; what is put there later is refused.
    #[must_use]
    pub fn pinning(mut self, uri: &Uri, sha256: Option<String>) -> Library {
        if let Some(sha256) = sha256 {
            Arc::make_mut(&mut self.pinned).insert(uri.to_string(), sha256);
        }
        self
    }

    /// What stands at exactly `uri`.
    pub(super) fn find(&self, uri: &Uri) -> Result<Object, Unloaded> {
        // A name that no file can have is a file that is not there, whatever the system calls it.
        if uri.local_path().is_some_and(|path| !may_exist(path)) {
            return Err(Unloaded::Missing);
        }
        self.store.head(uri).map_err(|error| match error {
            store::Error::NotFound { .. } => Unloaded::Missing,
            // A folder of this name is no artifact of this name.
            store::Error::Place { .. } if uri.local_path().is_some() => Unloaded::Missing,
            other => Unloaded::Store(Box::new(other)),
        })
    }

    /// Everything below `place`.
    pub(super) fn list(&self, place: &Uri) -> Result<Vec<Object>, store::Error> {
        match self.store.list(place) {
            Err(store::Error::Empty { .. }) => Ok(Vec::new()),
            other => other,
        }
    }

    /// Reads, verifies and opens an artifact; `shown` is what messages call it.
    pub(super) fn open(&self, object: &Object, shown: &str) -> Result<Model, Unloaded> {
        let reader = self.store.open(object).map_err(|error| Unloaded::Store(Box::new(error)))?;
        let sidecar = beside::sidecar(&object.uri).to_string();
        self.opener
            .beside(sidecar, beside::fetch(&self.store, &object.uri))
            .wanting(self.pinned.get(&object.uri.to_string()).cloned())
            .open(BufReader::new(reader), shown)
            .map_err(|error| Unloaded::Broken(error.to_string(), error.help()))
    }
}

fn may_exist(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    let fits = path.iter().all(|part| part.len() <= FILE_NAME_BYTES_MAX);
    fits && bytes.len() <= FILE_PATH_BYTES_MAX && !bytes.contains(&0)
}

impl Unloaded {
    /// What who starts the endpoint is told: everything.
    pub(super) fn told(&self, uri: &Uri) -> (String, Option<String>) {
        match self {
            Unloaded::Missing => (format!("{uri} is not there"), None),
            Unloaded::Store(error) => (error.to_string(), error.help()),
            Unloaded::Broken(what, help) => (what.clone(), help.clone()),
            Unloaded::TooLarge(what) => (what.clone(), None),
        }
    }

    /// What the model's callers are told.
    pub(super) fn refusal(&self, name: &str) -> Refusal {
        match self {
            Unloaded::Missing => {
                Refusal::new(StatusCode::NOT_FOUND, format!("there is no model {name:?} here"))
                    .help("POST /v2/repository/index lists the models")
                    .runtime("ValidationError")
            }
            Unloaded::Store(error) if error.kind() == Kind::Denied => Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("the server may not read model {name:?}"),
            )
            .help("the server's log says what its store answered"),
            Unloaded::Store(_) => Refusal {
                retry_after_s: Some(1),
                ..Refusal::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!("the store of model {name:?} cannot be asked"),
                )
                .help("the server's log says why")
            },
            Unloaded::Broken(why, help) => Refusal {
                help: help.clone(),
                ..Refusal::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    format!("model {name:?} cannot be loaded: {why}"),
                )
            },
            Unloaded::TooLarge(why) => Refusal::new(
                StatusCode::INSUFFICIENT_STORAGE,
                format!("model {name:?} cannot be loaded: {why}"),
            )
            .help("raise models.memory_bytes_max"),
        }
    }
}

/// Whether an object is still what it was. A listing knows times more exactly than a header does,
/// so they count only where there is no tag.
pub(super) fn same(then: &Object, now: &Object) -> bool {
    let bare = |tag: &String| tag.trim_matches('"').to_owned();
    then.bytes == now.bytes
        && match (&then.tag, &now.tag) {
            (Some(then), Some(now)) => bare(then) == bare(now),
            _ => then.modified == now.modified,
        }
}
