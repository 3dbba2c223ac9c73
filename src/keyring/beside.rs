//! The file of keys beside a sealed one, in whatever store both lie.

use crate::fault::Fault;
use crate::seal::{Error, SIDECAR_SUFFIX, Sidecar};
use crate::spec::limit::SIDECAR_BYTES_MAX;
use crate::spec::uri::Uri;
use crate::store::{self, Store};

/// Where the keys of the sealed file at `uri` stand, when they are detached.
pub fn sidecar(uri: &Uri) -> Uri {
    uri.beside(SIDECAR_SUFFIX)
}

/// Brings the file of keys of the sealed file at `uri`, or nothing where there is none, whenever
/// it is asked.
pub fn fetch(
    store: &Store,
    uri: &Uri,
) -> impl Fn() -> Result<Option<Vec<u8>>, Error> + Send + Sync + 'static {
    let (store, place) = (store.clone(), sidecar(uri));
    move || match store.read_to_vec(&place, SIDECAR_BYTES_MAX) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(of_store(&place, &error)),
    }
}

/// The sidecar of the sealed file at `uri`.
///
/// # Errors
/// [`Error::Shredded`] where there is none, [`Error::Sidecar`], the store's.
pub fn read(store: &Store, uri: &Uri) -> Result<Sidecar, Error> {
    let place = sidecar(uri).to_string();
    match fetch(store, uri)()? {
        Some(bytes) => Sidecar::read(&bytes, &place),
        None => Err(Error::Shredded { sidecar: place }),
    }
}

/// Puts the sidecar of the file that is about to become visible at `uri` beside it. What opens the
/// file that is there now stays in it until [`settle`]: whenever the process ends, the file that is
/// visible has its keys.
///
/// # Errors
/// The store's.
pub fn place(store: &Store, uri: &Uri, new: &Sidecar) -> Result<(), Error> {
    let old = match read(store, uri) {
        Ok(old) => Some(old),
        Err(Error::Shredded { .. } | Error::Sidecar { .. }) => None,
        Err(error) => return Err(error),
    };
    let new = new.clone();
    write(store, uri, &old.map_or(new.clone(), |old| new.replacing(old)))
}

/// Takes out what opened the file that was replaced.
///
/// # Errors
/// The store's.
pub fn settle(store: &Store, uri: &Uri, new: &Sidecar) -> Result<(), Error> {
    write(store, uri, new)
}

fn write(store: &Store, uri: &Uri, what: &Sidecar) -> Result<(), Error> {
    use std::io::Write;
    let place = sidecar(uri);
    let failed = |error: &store::Error| of_store(&place, error);
    let mut upload = store.create(&place).map_err(|error| failed(&error))?;
    upload
        .write_all(&what.bytes())
        .map_err(|source| Error::Io { what: format!("writing {place}"), source })?;
    upload.finish().map(|_| ()).map_err(|error| failed(&error))
}

fn of_store(place: &Uri, error: &store::Error) -> Error {
    Error::Service {
        place: place.to_string(),
        what: error.to_string(),
        help: error.help().unwrap_or_default(),
        kind: error.kind(),
    }
}
