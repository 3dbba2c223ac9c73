//! `smrt iam least`: the smallest policy a job or an endpoint runs with.

use std::io::Read;

use clap::Args;
use serde_json::json;

use crate::algorithm::Table;
use crate::cli::acting::region;
use crate::cli::job::JobOptions;
use crate::cli::{Failure, endpoint, open, output};
use crate::iam::door::DEFAULT_REGION;
use crate::role::least::{self, Facts};
use crate::seal::{self, DEFAULT_ALIAS, Form, KeyDescription};
use crate::spec::endpoint::{EndpointFile, Serves};
use crate::spec::limit;
use crate::spec::manifest::Manifest;
use crate::spec::train::{DataType, SealKey, TrainingJob};
use crate::spec::uri::Uri;
use crate::store::Store;

/// Write the smallest policy for the role of a job or an endpoint
///
/// Names every object it reads, lists, writes and removes, and every key it uses, as one policy for
/// put-role-policy. Manifests and the headers of artifacts are read to know which; nothing else is.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smrt iam least job.toml > least.json
  smrt iam put-role-policy --role-name Train --policy-name least --policy-document least.json
  smrt iam least endpoint.toml")]
pub(super) struct Least {
    #[command(flatten)]
    job: JobOptions,

    /// Allow, too, what `smrt train --resume` needs
    #[arg(long)]
    resume: bool,
}

pub(super) fn run(options: &Least) -> Result<(), Failure> {
    let mut facts = Facts { resume: options.resume, ..Facts::default() };
    let path = options.job.path();
    let policy = if options.job.is_transform() {
        let job = options.job.read_transform()?;
        let store = Store::new(&job.storage);
        facts.region = region(&job.storage);
        facts.key = key(&job.output.key)?;
        facts.opens = openers(&store, &[&job.model]);
        least::of_transform(&job, &facts)
    } else if endpoint::bytes_of(path).is_ok_and(|bytes| EndpointFile::is_meant(&bytes)) {
        let file = endpoint::read(path, options.job.overrides())?;
        let store = Store::new(&file.storage);
        facts.region = file.auth.iam_region.clone().unwrap_or_else(|| DEFAULT_REGION.into());
        facts.opens = served(&file, &store)?;
        least::of_endpoint(&file, &facts)
    } else {
        let job = options.job.read(&Table::builtin())?;
        let store = Store::new(&job.storage);
        facts.region = region(&job.storage);
        facts.key = key(&job.output.key)?;
        facts.objects = manifests(&job, &store)?;
        if let Some(model) = &job.model {
            let artifacts = store.list(model)?;
            let artifacts: Vec<&Uri> = artifacts.iter().map(|object| &object.uri).collect();
            facts.opens = openers(&store, &artifacts);
        }
        least::of_training(&job, &facts)
    };
    output::write(&output::json(&json!(policy)))
}

/// The key that seals, made where it is the default one and not there yet.
fn key(wish: &SealKey) -> Result<Option<KeyDescription>, Failure> {
    let keys = open::local_keys()?;
    let name = match wish {
        SealKey::Plain => return Ok(None),
        SealKey::Named(name) => name,
        SealKey::Default => {
            if keys.describe(DEFAULT_ALIAS).is_err() {
                keys.generate_data_key(DEFAULT_ALIAS, &seal::Context::new())?;
            }
            DEFAULT_ALIAS
        }
    };
    Ok(Some(keys.describe(name)?))
}

/// The objects that the manifests of a job name.
fn manifests(job: &TrainingJob, store: &Store) -> Result<Vec<Uri>, Failure> {
    let mut objects = Vec::new();
    for channel in job.channels.values() {
        if channel.selection.data_type != DataType::ManifestFile {
            continue;
        }
        let bytes = store.read_to_vec(&channel.uri, limit::MANIFEST_BYTES_MAX)?;
        let base = channel.uri.local_path().and_then(std::path::Path::parent);
        let manifest = Manifest::parse(&bytes, base)
            .map_err(|problems| crate::spec::Mistakes::new(channel.uri.to_string(), problems))?;
        objects.extend(manifest.objects);
    }
    Ok(objects)
}

fn served(file: &EndpointFile, store: &Store) -> Result<Vec<String>, Failure> {
    let found;
    let artifacts: Vec<&Uri> = match &file.serves {
        Serves::Variants { variants, shadow, .. } => {
            let shadow = shadow.iter().map(|shadow| &shadow.variant);
            variants.iter().chain(shadow).map(|variant| &variant.model).collect()
        }
        Serves::Models(models) => {
            found = store.list(&models.uri)?;
            found.iter().map(|object| &object.uri).collect()
        }
    };
    Ok(openers(store, &artifacts))
}

/// The keys that open these artifacts: the first that this machine's key service knows of each. One
/// that cannot be read now is passed over with a word.
fn openers(store: &Store, artifacts: &[&Uri]) -> Vec<String> {
    let mut all = Vec::new();
    for uri in artifacts {
        match opener(store, uri) {
            Ok(key) => all.extend(key),
            Err(why) => {
                tracing::warn!(%uri, %why, "what opens it is not known: its key is not in the policy");
            }
        }
    }
    all.sort();
    all.dedup();
    all
}

fn opener(store: &Store, uri: &Uri) -> Result<Option<String>, Failure> {
    let mut reader = store.open(&store.head(uri)?)?;
    let mut first = [0; 1];
    let failed = |source| crate::cli::Error::ReadData { place: uri.to_string(), source };
    reader.read_exact(&mut first).map_err(failed)?;
    if Form::detect(&first)? != Form::Sealed {
        return Ok(None);
    }
    let header = seal::inspect(&mut first.as_slice().chain(reader))?;
    let keys = open::local_keys()?;
    let known = header.keys.iter().find(|key| keys.knows(key));
    Ok(known.map(|key| match keys.describe(&key.key_name()) {
        Ok(found) => found.arn,
        Err(_) => key.key_name(),
    }))
}
