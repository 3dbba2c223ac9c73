//! `smrt train`: a job file in, a sealed model out.

use clap::Args;

use super::job::JobOptions;
use super::logging::Logging;
use super::progress::Shown;
use super::signal::stop_on_signal;
use super::{Error, Failure, open, output, report};
use crate::algorithm::Table;
use crate::keyring::signing::SigningKeys;
use crate::train::{self, Job, Stop};

/// Train a model from a job file and seal it
///
/// Reads the channels, trains, and writes a sealed model.tar.gz below the job's output. Ctrl-C
/// stops at the next batch and keeps the last checkpoint; --resume goes on from it to the same
/// model as an uninterrupted run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smrt train examples/churn.toml
  smrt train --set hyperparameters.epochs=5 --set job.seed=7 job.toml
  smrt train --resume job.toml            go on after Ctrl-C
  smrt train --format json job.toml > report.json

Environment:
  SMRT_HOME   where keys are kept (default: $XDG_DATA_HOME/smrt)
  AWS_*       how to reach s3://, where the job has no [storage.s3]")]
pub(super) struct Options {
    #[command(flatten)]
    job: JobOptions,

    /// Go on from the last checkpoint of this job
    #[arg(long)]
    resume: bool,

    /// Write the report for people or for programs
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: output::Format,
}

pub(super) fn run(options: &Options, logging: &Logging) -> Result<(), Failure> {
    let job = options.job.read(&Table::builtin())?;
    let stop = Stop::new();
    stop_on_signal(stop.clone(), "stopping at the next batch; once more stops at once")?;
    let keys = open::keys(&job.storage, &job.output.key)?;
    let name = job.output.sign.as_ref();
    let signer = name.map(|name| SigningKeys::of_user()?.open(name)).transpose()?;
    let report = Job::new(job, keys)
        .signer(signer)
        .stop(stop)
        .observer(Shown::new(logging))
        .resume(options.resume)
        .run()
        .map_err(|source| options.explained(source))?;
    output::write(&match options.format {
        output::Format::Text => report::training(&report),
        output::Format::Json => output::json(&report),
    })
}

impl Options {
    /// A stopped training says what to type to go on.
    fn explained(&self, source: train::Error) -> Failure {
        match source {
            train::Error::Stopped { reason, checkpoint: Some(checkpoint) } => {
                let resume = format!("smrt train --resume {}", self.job.for_shell());
                let place = checkpoint.to_string();
                Error::Stopped {
                    source: train::Error::Stopped { reason, checkpoint: Some(checkpoint) },
                    place,
                    resume,
                }
                .into()
            }
            other => other.into(),
        }
    }
}
