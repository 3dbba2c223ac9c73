//! Which objects a channel means: by prefix or manifest, in the order of their keys or in one that
//! follows from a seed, all of them or this host's share.

use crate::algorithm::net::random::{Purpose, Stream};
use crate::data::Source;
use crate::data::manifest::{self, Named};
use crate::fault::Fault;
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
    /// The manifest that names them, if one does.
    pub(super) manifest: Option<Source>,
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
            let (objects, below) = (store.list(&channel.uri)?, channel.uri.clone());
            Chosen { objects, below, manifest: None }
        }
        DataType::ManifestFile => {
            let Named { objects, below, source, .. } = manifest::named(store, &channel.uri)?;
            Chosen { objects, below, manifest: Some(source) }
        }
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
        DataType::ManifestFile => manifest::check_local(store, &channel.uri).map_err(Error::from),
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

/// An order that follows from the seed alone (Fisher and Yates).
fn shuffle(objects: &mut [Object], seed: u64) {
    let mut stream = Stream::new(seed, Purpose::Objects, 0);
    for last in (1..objects.len()).rev() {
        objects.swap(last, stream.below(last as u64 + 1) as usize);
    }
}
