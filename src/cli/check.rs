//! `smrt check`: every mistake of a job or an endpoint, without running it.

use std::sync::Arc;

use clap::Args;

use super::job::JobOptions;
use super::table::Table;
use super::{Failure, endpoint, output};
use crate::algorithm;
use crate::fault::Fault;
use crate::keyring::KeyRing;
use crate::keyring::signing::SigningKeys;
use crate::model;
use crate::seal::Sealing;
use crate::spec::Mistakes;
use crate::spec::endpoint::EndpointFile;
use crate::spec::name::JobName;
use crate::spec::problem::Problems;
use crate::spec::train::{SealKey, Storage, TrainingJob};
use crate::spec::transform::TransformJob;
use crate::spec::uri::Uri;
use crate::store::Store;
use crate::train;

/// Find every mistake in a job or endpoint file, without running it
///
/// Checks the file's own keys, the algorithm's name and every hyperparameter, and reports all
/// mistakes at once, each with its line, the allowed values and the nearest known key; then whether
/// local data are there and this build has the device, and whether a key service elsewhere that the
/// job names gives it a data key. No other server is asked, and no row is read. Exits with 2 when
/// anything is wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smrt check job.toml
  smrt check --set hyperparameters.epochs=5 job.toml
  smrt check endpoint.toml
  smrt check --format json job.toml       every value in effect, for scripts")]
pub(super) struct Options {
    #[command(flatten)]
    job: JobOptions,

    /// Write the result for people or for programs
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: output::Format,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    if options.job.is_transform() {
        return run_transform(options);
    }
    let path = options.job.path();
    if endpoint::bytes_of(path).is_ok_and(|bytes| EndpointFile::is_meant(&bytes)) {
        return endpoint::check(path, options.job.overrides(), options.format);
    }
    let job = options.job.read(&algorithm::Table::builtin())?;
    let problems = surroundings(&job);
    if !problems.is_empty() {
        return Err(Mistakes::new(options.job.shown(), problems).into());
    }
    match options.format {
        output::Format::Json => output::write(&output::json(&job.effective())),
        output::Format::Text => output::write(&summary(&options.job.shown(), &job)),
    }
}

fn run_transform(options: &Options) -> Result<(), Failure> {
    let job = options.job.read_transform()?;
    let (store, mut problems) = (Store::new(&job.storage), Problems::default());
    for (key, uri) in [("model.uri", &job.model), ("input.uri", &job.input.uri)] {
        if let Uri::File(_) = uri
            && let Err(error) = store.list(uri)
        {
            problems.add(key, None, error.to_string(), error.help());
        }
    }
    key_service(&job.storage, &job.output.key, &job.name, "output", &mut problems);
    if !problems.is_empty() {
        return Err(Mistakes::new(options.job.shown(), problems).into());
    }
    match options.format {
        output::Format::Json => output::write(&output::json(&job.effective())),
        output::Format::Text => output::write(&transform_summary(&options.job.shown(), &job)),
    }
}

/// What a transform would do.
fn transform_summary(file: &str, job: &TransformJob) -> String {
    let mut facts = Table::new(&[]);
    facts.row(["transform", job.name.as_str()]);
    facts.row(["model", &job.model.to_string()]);
    let (input, output) = (&job.input, &job.output);
    facts.row(["input", &format!("{} ({}, split {})", input.uri, input.media, input.split)]);
    facts.row(["output", &format!("{} ({})", output.uri, output.accept)]);
    let processing = &job.processing;
    if !processing.is_none() {
        let text = format!(
            "input {}, join {}, output {}",
            processing.input_filter, processing.join, processing.output_filter
        );
        facts.row(["processing", &text]);
    }
    facts.row(["key", &output.key.to_string()]);
    format!("{file}: no mistakes\n\n{}", facts.text("  "))
}

/// What this machine lacks for the job, as far as it can be known without asking a store.
fn surroundings(job: &TrainingJob) -> Problems {
    let mut problems = Problems::default();
    key_service(&job.storage, &job.output.key, &job.name, model::FILE, &mut problems);
    let signer = job.output.sign.as_ref();
    if let Some(Err(error)) = signer.map(|name| SigningKeys::of_user()?.open(name)) {
        problems.add("output.sign", None, error.to_string(), error.help());
    }
    let store = Store::new(&job.storage);
    for (name, channel) in &job.channels {
        train::check_local(&store, name.as_str(), channel, &mut problems);
    }
    if let Some(uri @ Uri::File(_)) = &job.model
        && let Err(error) = store.list(uri)
    {
        problems.add("channels.model.uri", None, error.to_string(), error.help());
    }
    if let Err(error) = algorithm::device::open(job.resources.device) {
        let what = error.to_string();
        let what = what.trim_start_matches("resources.device: ");
        problems.add("resources.device", None, what, error.help());
    }
    problems
}

/// Whether a key that is kept elsewhere can be used; the local one is made at first use.
fn key_service(
    storage: &Storage,
    key: &SealKey,
    job: &JobName,
    artifact: &str,
    problems: &mut Problems,
) {
    let SealKey::Named(name) = key else { return };
    let found = KeyRing::of_user(storage, key).and_then(|ring| {
        if ring.is_remote(name) {
            Sealing::new(Arc::new(ring), key, job, artifact)?;
        }
        Ok(())
    });
    if let Err(error) = found {
        problems.add("output.kms_key", None, error.to_string(), error.help());
    }
}

/// What the job would do.
fn summary(file: &str, job: &TrainingJob) -> String {
    let mut facts = Table::new(&[]);
    facts.row(["job", job.name.as_str()]);
    facts.row(["algorithm", &job.algorithm]);
    for (name, channel) in &job.channels {
        facts.row([name.as_str(), &format!("{} ({})", channel.uri, channel.format)]);
    }
    if let Some(uri) = &job.model {
        facts.row(["model", &format!("{uri} (an earlier model to go on from)")]);
    }
    facts.row(["artifact", &job.artifact().to_string()]);
    facts.row(["key", &job.output.key.to_string()]);
    facts.row(["device", &job.resources.device.to_string()]);
    if job.network.isolation.is_apart() {
        facts.row(["isolation", &job.network.isolation.to_string()]);
    }
    format!("{file}: no mistakes\n\n{}", facts.text("  "))
}
