//! `smrt train`: a job file in, a sealed model out.

use clap::Args;

use super::acting::{self, Means, RoleOptions};
use super::events::{EventOptions, JobEvents};
use super::job::JobOptions;
use super::logging::Logging;
use super::progress::Shown;
use super::signal::stop_on_signal;
use super::{Error, Failure, audited, output, report};
use crate::algorithm::Table;
use crate::keyring::signing::SigningKeys;
use crate::telemetry::audit::SAGEMAKER;
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

    #[command(flatten)]
    events: EventOptions,

    /// Record the job and every use of a key in this file [default: SMRT_AUDIT]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    audit: Option<std::path::PathBuf>,

    /// Write the report for people or for programs
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: output::Format,

    // The last: its heading would be above what follows it.
    #[command(flatten)]
    role: RoleOptions,
}

pub(super) fn run(options: &Options, logging: &Logging) -> Result<(), Failure> {
    let job = options.job.read(&Table::builtin())?;
    let stop = Stop::new();
    stop_on_signal(stop.clone(), "stopping at the next batch; once more stops at once")?;
    audited::log(options.audit.as_ref())?;
    let region = acting::region(&job.storage);
    let arn = format!(
        "arn:aws:sagemaker:{region}:{}:training-job/{}",
        acting::account(job.role.as_ref()),
        job.name
    );
    let act = audited::Act {
        source: SAGEMAKER,
        name: "CreateTrainingJob",
        principal: options.role.caller(),
        region: &region,
        resource: &arn,
        parameters: vec![
            ("trainingJobName", job.name.as_str().into()),
            ("algorithm", job.algorithm.as_str().into()),
            ("roleArn", job.role.as_ref().map(|role| role.as_str()).into()),
            ("s3OutputPath", job.output.uri.to_string().into()),
        ],
    };
    let teller = options.events.teller()?;
    let events = JobEvents::begin(teller.as_ref(), &job, &arn);
    let outcome = act.recorded(|| {
        let Means { store, keys } = options.role.of_training(&job)?;
        let name = job.output.sign.as_ref();
        let signer = name.map(|name| SigningKeys::of_user()?.open(name)).transpose()?;
        Job::new(job.clone(), keys)
            .store(store)
            .signer(signer)
            .stop(stop)
            .observer(Shown::new(logging))
            .resume(options.resume)
            .run()
            .map_err(|source| options.explained(source))
    });
    events.end(&outcome);
    let report = outcome?;
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
