//! Which objects a channel means: by prefix or manifest, in the order of their keys or in one that
//! follows from a seed, all of them or this host's share.

use std::path::Path;

use rayon::prelude::*;

use crate::algorithm::net::random::{Purpose, Stream};
use crate::fault::Fault;
use crate::spec::Mistakes;
use crate::spec::limit;
use crate::spec::manifest::Manifest;
use crate::spec::problem::Problems;
use crate::spec::train::{Channel, DataType, Distribution, Hosts};
use crate::spec::uri::Uri;
use crate::store::{Object, Store};

use super::error::Error;

/// The objects of a channel that this host reads, in the order it reads them. Never empty.
pub(super) struct Chosen {
    /// The objects.
    pub(super) objects: Vec<Object>,
    /// The place their names in messages are relative to.
    pub(super) below: Uri,
}

impl Chosen {
    /// Their stored size together.
    pub(super) fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.bytes).sum()
    }
}

/// Finds the objects of the channel called `name`.
///
/// Shuffling comes before sharding, as SageMaker has it, so that another seed gives a host another
/// share. Of n hosts the i-th gets the objects i, i + n, i + 2n, … of that order: shares differ by
/// one object at most, and together they are the channel.
///
/// # Errors
/// What the store says; [`Error::Spec`] with all that is wrong with a manifest, missing objects
/// included; [`Error::Channels`] when this host's share is empty.
pub(super) fn choose(
    store: &Store,
    name: &str,
    channel: &Channel,
    hosts: &Hosts,
) -> Result<Chosen, Error> {
    let mut chosen = match channel.selection.data_type {
        DataType::S3Prefix => {
            Chosen { objects: store.list(&channel.uri)?, below: channel.uri.clone() }
        }
        DataType::ManifestFile => listed(store, &channel.uri)?,
    };
    if let Some(seed) = channel.selection.shuffle_seed {
        shuffle(&mut chosen.objects, seed);
    }
    if channel.selection.distribution == Distribution::ShardedByS3Key {
        let (count, total) = (hosts.names.len(), chosen.objects.len());
        let own = chosen.objects.into_iter().skip(hosts.index).step_by(count);
        chosen.objects = own.collect();
        if chosen.objects.is_empty() {
            return Err(Error::Channels {
                what: format!(
                    "channel {name}: {} gets none of the {total} objects that {count} hosts share",
                    hosts.current()
                ),
                help: "use fewer hosts or more objects, or distribution = \"FullyReplicated\""
                    .into(),
            });
        }
    }
    Ok(chosen)
}

/// Adds what is wrong with the data of a channel on this machine, as far as it can be known
/// without asking a server.
pub fn check_local(store: &Store, name: &str, channel: &Channel, problems: &mut Problems) {
    if !matches!(channel.uri, Uri::File(_)) {
        return;
    }
    let found = match channel.selection.data_type {
        DataType::S3Prefix => store.list(&channel.uri).map(drop).map_err(Error::from),
        DataType::ManifestFile => manifest(store, &channel.uri).and_then(|manifest| {
            let local = |uri: &Uri| matches!(uri, Uri::File(_));
            let objects: Vec<Uri> = manifest.objects.into_iter().filter(local).collect();
            heads(store, &channel.uri, &objects).map(drop)
        }),
    };
    let key = format!("channels.{name}.uri");
    match found {
        Ok(()) => {}
        Err(Error::Spec(mistakes)) => {
            for problem in mistakes.problems.list {
                let what = format!("{}: {problem}", mistakes.file);
                problems.add(&key, None, what, problem.help);
            }
        }
        Err(error) => problems.add(&key, None, error.to_string(), error.help()),
    }
}

fn manifest(store: &Store, uri: &Uri) -> Result<Manifest, Error> {
    let bytes = store.read_to_vec(uri, limit::MANIFEST_BYTES_MAX)?;
    let base = uri.local_path().map(|path| path.parent().unwrap_or(Path::new("")));
    Manifest::parse(&bytes, base)
        .map_err(|problems| Error::Spec(Mistakes::new(uri.to_string(), problems)))
}

fn listed(store: &Store, uri: &Uri) -> Result<Chosen, Error> {
    let manifest = manifest(store, uri)?;
    let objects = heads(store, uri, &manifest.objects)?;
    Ok(Chosen { objects, below: folder_of(&manifest.prefix, uri) })
}

/// The folder that a manifest's prefix lies in, where it is one of this machine.
fn folder_of(prefix: &str, manifest: &Uri) -> Uri {
    let Some(base) = manifest.local_path().and_then(Path::parent) else { return manifest.clone() };
    let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
    Uri::parse(folder, base).unwrap_or_else(|_| Uri::File(base.to_owned()))
}

/// Looks every object of a manifest up, several at a time.
fn heads(store: &Store, manifest: &Uri, objects: &[Uri]) -> Result<Vec<Object>, Error> {
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
    Err(Error::Spec(Mistakes::new(manifest.to_string(), problems)))
}

/// An order that follows from the seed alone (Fisher and Yates).
fn shuffle(objects: &mut [Object], seed: u64) {
    let mut stream = Stream::new(seed, Purpose::Objects, 0);
    for last in (1..objects.len()).rev() {
        objects.swap(last, stream.below(last as u64 + 1) as usize);
    }
}
