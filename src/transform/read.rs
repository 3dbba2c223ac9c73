//! A job file to a transform: its own keys, and what only the writer of answers can judge.

use std::path::Path;

use crate::algorithm::Ask;
use crate::data::media::Accept;
use crate::fault::Fault;
use crate::spec::limit;
use crate::spec::transform::TransformJob;

use super::error::Error;

/// Reads and checks a transform's job file. Paths in it are taken relative to the file; `overrides`
/// are `KEY=VALUE` texts that replace keys before they are checked.
///
/// # Errors
/// [`Error::File`] when it cannot be read, [`Error::Spec`] with all its mistakes.
pub fn read(path: &Path, overrides: &[String]) -> Result<TransformJob, Error> {
    let shown = path.display().to_string();
    let failed = |source| Error::File { path: shown.clone(), source };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > limit::SPEC_BYTES_MAX {
        let what = format!("the file has {length} bytes, a job file {}", limit::SPEC_BYTES_MAX);
        return Err(failed(std::io::Error::other(what)));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    let base = path.parent().unwrap_or(Path::new(""));
    let mut reading = TransformJob::read(&bytes, &shown, base, overrides);
    if let Some(job) = &reading.job
        && let Err((what, help)) = accept(job)
    {
        reading.mistakes.problems.add("output.accept", reading.accept_line, what, help);
    }
    match reading.job {
        Some(job) if reading.mistakes.is_empty() => Ok(job),
        _ => Err(Error::Spec(reading.mistakes)),
    }
}

/// How answers are written, and what they hold besides the plain one.
pub(super) fn accept(job: &TransformJob) -> Result<(Accept, Ask), (String, Option<String>)> {
    let accept = Accept::parse(Some(&job.output.accept), job.output.media)
        .map_err(|error| (error.to_string(), error.help()))?;
    let ask = Ask::default().with(&accept).map_err(|(what, help)| (what, Some(help.to_owned())))?;
    Ok((accept, ask))
}
