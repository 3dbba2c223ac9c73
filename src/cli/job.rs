//! Which job, and what is changed in it: the options that `train` and `check` share.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use super::report::for_shell;
use crate::algorithm::Table;
use crate::spec::train::TrainingJob;
use crate::train;

/// Which job, and what is changed in it.
#[derive(Debug, Args)]
pub(super) struct JobOptions {
    /// The job file
    #[arg(value_name = "JOB", value_hint = clap::ValueHint::FilePath)]
    path: PathBuf,

    /// Override one key of the job, e.g. hyperparameters.epochs=5; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

impl JobOptions {
    /// The job's name in messages.
    pub(super) fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// The options as they can be pasted into a shell.
    pub(super) fn for_shell(&self) -> String {
        let set = self.overrides.iter().map(|entry| format!("--set {} ", for_shell(entry)));
        format!("{}{}", set.collect::<String>(), for_shell(&self.shown()))
    }

    /// The file.
    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// What replaces keys of it.
    pub(super) fn overrides(&self) -> &[String] {
        &self.overrides
    }

    /// Reads the job; its own keys, the algorithm's name and every hyperparameter are checked.
    pub(super) fn read(&self, table: &Table) -> Result<TrainingJob, Failure> {
        Ok(train::read(&self.path, &self.overrides, table)?)
    }
}
