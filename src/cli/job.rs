//! A job file and its overrides, read and checked against the algorithm table: all mistakes of
//! both in one answer.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Error, Failure};
use crate::algorithm::Table;
use crate::spec::limit::SPEC_BYTES_MAX;
use crate::spec::train::{Reading, TrainingJob};

/// Which job, and what is changed in it.
#[derive(Debug, Args)]
pub(super) struct JobOptions {
    /// The job file; - reads standard input
    #[arg(value_name = "JOB", value_hint = clap::ValueHint::FilePath)]
    pub(super) path: PathBuf,

    /// Override one key of the job, e.g. hyperparameters.epochs=5; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) overrides: Vec<String>,
}

impl JobOptions {
    /// The job's name in messages.
    pub(super) fn shown(&self) -> String {
        match self.is_stdin() {
            true => "standard input".into(),
            false => self.path.display().to_string(),
        }
    }

    fn is_stdin(&self) -> bool {
        self.path == Path::new("-")
    }

    /// Reads the job; its own keys, the algorithm's name and every hyperparameter are checked.
    pub(super) fn read(&self, table: &Table) -> Result<TrainingJob, Failure> {
        let bytes = self.bytes()?;
        let base = match self.is_stdin() {
            true => Path::new(""),
            false => self.path.parent().unwrap_or(Path::new("")),
        };
        let mut reading = TrainingJob::read(&bytes, &self.shown(), base, &self.overrides);
        check_algorithm(&mut reading, table);
        match reading.job {
            Some(job) if reading.mistakes.is_empty() => Ok(job),
            _ => Err(reading.mistakes.into()),
        }
    }

    fn bytes(&self) -> Result<Vec<u8>, Error> {
        let failed = |source| Error::ReadJob { path: self.path.clone(), source };
        let mut bytes = Vec::new();
        // One byte more than is allowed, so that a longer file is noticed and not cut.
        let limit = SPEC_BYTES_MAX + 1;
        if self.is_stdin() {
            std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(failed)?;
        } else {
            let file = std::fs::File::open(&self.path).map_err(failed)?;
            file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
        }
        Ok(bytes)
    }
}

/// Adds what the algorithm table and the algorithm itself find wrong.
fn check_algorithm(reading: &mut Reading, table: &Table) {
    let Some(name) = &reading.algorithm else { return };
    let problems = &mut reading.mistakes.problems;
    match table.get(name) {
        Some(definition) => {
            definition.trainer(&reading.hyperparameters, problems);
        }
        None => {
            let what = format!("{name:?} is not an algorithm of this build");
            let help = unknown_help(name, table);
            problems.add("algorithm.name", reading.algorithm_line, what, Some(help));
        }
    }
    reading.mistakes.sort();
}

/// What to write instead of an algorithm that is not there.
pub(super) fn unknown_help(name: &str, table: &Table) -> String {
    let names: Vec<&str> = table.iter().map(|definition| definition.name()).collect();
    match table.nearest(name) {
        Some(near) => {
            format!("did you mean {near:?}? `smrt algorithms` lists {}", names.join(", "))
        }
        None => format!("`smrt algorithms` lists {}", names.join(", ")),
    }
}
