//! The objects that a manifest names, looked up. What a manifest looks like is
//! [`crate::spec::manifest`]'s matter.

use std::path::Path;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::batch::Source;
use crate::fault::Fault;
use crate::spec::Mistakes;
use crate::spec::limit;
use crate::spec::manifest::Manifest;
use crate::spec::problem::Problems;
use crate::spec::uri::Uri;
use crate::store::{self, Object, Store};

/// Why a manifest gives no objects.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It could not be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Everything that is wrong with it, missing objects included.
    #[error(transparent)]
    Spec(#[from] Mistakes),
}

/// What a manifest names.
#[derive(Debug)]
pub struct Named {
    /// The objects, in its order. Never empty.
    pub objects: Vec<Object>,
    /// What all their addresses begin with.
    pub prefix: Uri,
    /// The folder their names are relative to, where it is one of this machine; else the manifest.
    pub below: Uri,
    /// The manifest itself, for provenance.
    pub source: Source,
}

/// Reads the manifest at `uri` and looks its objects up, several at a time.
///
/// # Errors
/// [`Refused`], with every entry that is wrong.
pub fn named(store: &Store, uri: &Uri) -> Result<Named, Refused> {
    let (manifest, source) = read(store, uri)?;
    let objects = heads(store, uri, &manifest.objects)?;
    let base = uri.local_path().and_then(Path::parent).unwrap_or(Path::new(""));
    let prefix = Uri::parse(&manifest.prefix, base).unwrap_or_else(|_| uri.clone());
    Ok(Named { objects, prefix, below: folder_of(&manifest.prefix, uri), source })
}

/// Judges the manifest at `uri`, and looks those of its objects up that lie on this machine.
///
/// # Errors
/// As [`named`].
pub fn check_local(store: &Store, uri: &Uri) -> Result<(), Refused> {
    let (manifest, _) = read(store, uri)?;
    let local = |uri: &Uri| matches!(uri, Uri::File(_));
    let objects: Vec<Uri> = manifest.objects.into_iter().filter(local).collect();
    heads(store, uri, &objects).map(drop)
}

fn read(store: &Store, uri: &Uri) -> Result<(Manifest, Source), Refused> {
    let bytes = store.read_to_vec(uri, limit::MANIFEST_BYTES_MAX)?;
    let base = uri.local_path().map(|path| path.parent().unwrap_or(Path::new("")));
    let manifest = Manifest::parse(&bytes, base)
        .map_err(|problems| Mistakes::new(uri.to_string(), problems))?;
    let name = match uri.local_path().and_then(Path::file_name) {
        // So that a model made in two folders is the same model.
        Some(name) => name.to_string_lossy().into_owned(),
        None => uri.to_string(),
    };
    let sha256 = hex::encode(Sha256::digest(&bytes));
    Ok((manifest, Source { uri: name, bytes: bytes.len() as u64, sha256 }))
}

/// The folder that a manifest's prefix lies in, where it is one of this machine.
fn folder_of(prefix: &str, manifest: &Uri) -> Uri {
    let Some(base) = manifest.local_path().and_then(Path::parent) else { return manifest.clone() };
    let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
    Uri::parse(folder, base).unwrap_or_else(|_| Uri::File(base.to_owned()))
}

/// Looks every object of a manifest up, several at a time.
fn heads(store: &Store, manifest: &Uri, objects: &[Uri]) -> Result<Vec<Object>, Refused> {
    let found: Vec<_> = objects.par_iter().map(|uri| store.head(uri)).collect();
    let wrong = found.iter().filter(|found| found.is_err()).count();
    let mut problems = Problems::default();
    let mut heads = Vec::with_capacity(found.len());
    for (at, found) in found.into_iter().enumerate() {
        match found {
            Ok(object) => heads.push(object),
            Err(error) if problems.list.len() < limit::MANIFEST_MISTAKES_MAX => {
                problems.add(format!("entry {}", at + 2), None, error.to_string(), error.help());
            }
            Err(_) => {}
        }
    }
    if wrong > problems.list.len() {
        let more = wrong - problems.list.len();
        problems.add("", None, format!("{more} more objects could not be looked up"), None);
    }
    if problems.is_empty() {
        return Ok(heads);
    }
    Err(Mistakes::new(manifest.to_string(), problems).into())
}
