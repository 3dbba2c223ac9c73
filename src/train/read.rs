//! A job file to a job: its own keys and its algorithm's, so that one answer names every mistake.

use std::path::Path;

use crate::algorithm::{Table, Trainer};
use crate::spec::limit;
use crate::spec::parameter::RawParameters;
use crate::spec::problem::{Problem, Problems};
use crate::spec::train::TrainingJob;

use super::error::Error;

/// Reads and checks a job file, hyperparameters included. Paths in it are taken relative to the
/// file; `overrides` are `KEY=VALUE` texts that replace keys before they are checked.
///
/// # Errors
/// [`Error::File`] when it cannot be read, [`Error::Spec`] with all its mistakes.
pub fn read(path: &Path, overrides: &[String], table: &Table) -> Result<TrainingJob, Error> {
    let shown = path.display().to_string();
    let bytes = bytes_of(path).map_err(|source| Error::File { path: shown.clone(), source })?;
    let base = path.parent().unwrap_or(Path::new(""));
    let mut reading = TrainingJob::read(&bytes, &shown, base, overrides);
    if let Some(algorithm) = &reading.algorithm
        && let Err(more) =
            trainer(table, algorithm, reading.algorithm_line, &reading.hyperparameters)
    {
        reading.mistakes.problems.list.extend(more.list);
        reading.mistakes.sort();
    }
    match reading.job {
        Some(job) if reading.mistakes.is_empty() => Ok(job),
        _ => Err(Error::Spec(reading.mistakes)),
    }
}

fn bytes_of(path: &Path) -> std::io::Result<Vec<u8>> {
    let length = std::fs::metadata(path)?.len();
    if length > limit::SPEC_BYTES_MAX {
        return Err(std::io::Error::other(format!(
            "the file has {length} bytes, and a job file at most {}",
            limit::SPEC_BYTES_MAX
        )));
    }
    std::fs::read(path)
}

/// The algorithm's name in the table, and its trainer with checked parameters.
///
/// # Errors
/// Every mistake found in them.
pub(super) fn trainer(
    table: &Table,
    algorithm: &str,
    line: Option<usize>,
    parameters: &RawParameters,
) -> Result<(&'static str, Box<dyn Trainer>), Problems> {
    let mut problems = Problems::default();
    let Some(definition) = table.get(algorithm) else {
        let help = match table.nearest(algorithm) {
            Some(name) => format!("did you mean {name:?}? `smrt algorithms` lists them all"),
            None => "`smrt algorithms` lists them all".into(),
        };
        let what = format!("there is no algorithm {algorithm:?}");
        let key = "algorithm.name".to_owned();
        problems.list.push(Problem { key, line, what, help: Some(help) });
        return Err(problems);
    };
    match definition.trainer(parameters, &mut problems) {
        Some(trainer) if problems.is_empty() => Ok((definition.name(), trainer)),
        _ => Err(problems),
    }
}
