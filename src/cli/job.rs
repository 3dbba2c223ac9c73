//! Which job, and what is changed in it: the options that `train`, `transform` and `check` share.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use super::report::for_shell;
use crate::algorithm::Table;
use crate::spec::limit::SPEC_BYTES_MAX;
use crate::spec::train::TrainingJob;
use crate::spec::transform::{TransformJob, is_meant};
use crate::{train, transform};

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

    /// Whether the file is one of a batch transform. One that cannot be read is left to whoever
    /// reads it.
    pub(super) fn is_transform(&self) -> bool {
        let small = std::fs::metadata(&self.path).is_ok_and(|file| file.len() <= SPEC_BYTES_MAX);
        small && std::fs::read(&self.path).is_ok_and(|bytes| is_meant(&bytes))
    }

    /// Reads a batch transform.
    pub(super) fn read_transform(&self) -> Result<TransformJob, Failure> {
        Ok(transform::read(&self.path, &self.overrides)?)
    }
}
