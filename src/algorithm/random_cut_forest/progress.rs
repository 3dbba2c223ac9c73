//! Where a training is, for `--resume`: the forest as it is, and the scores of labelled channels as
//! far as they were given. Everything else follows from these, the job and the data.

use super::forest::Forest;
use crate::algorithm::weights::{Reader, Writer};
use crate::algorithm::{Error, Files};

const SCORES_FILE: &str = "scores.safetensors";
const FORMAT: &str = "smrt random-cut-forest checkpoint 1";

pub(super) fn write(forest: &Forest, scores: &[f32]) -> Files {
    let mut writer = Writer::new(FORMAT);
    writer.f32("scores", &[scores.len()], scores);
    let mut files = forest.files();
    files.insert(SCORES_FILE.to_owned(), writer.finish());
    files
}

/// # Errors
/// `Error::Corrupt` when this is not what [`write`] gave.
pub(super) fn read(files: &Files) -> Result<(Forest, Vec<f32>), Error> {
    let reader = Reader::of(files, SCORES_FILE, FORMAT)?;
    let count = reader.shape("scores")?.iter().product();
    Ok((Forest::open(files)?, reader.f32("scores", &[count])?))
}
