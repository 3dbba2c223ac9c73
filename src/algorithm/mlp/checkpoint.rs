//! What a training keeps so that it can go on to the same bits.
//!
//! Order, masks and first weights follow from the seed, so only what has been learned is kept:
//! weights, moments, the best weights so far, and where the training stands.

use serde::{Deserialize, Serialize};

use super::network::{Shape, Weights};
use crate::algorithm::net::optimizer::Moments;
use crate::algorithm::net::stopping::EarlyStopping;
use crate::algorithm::weights::{Reader, Writer};
use crate::algorithm::{Error, Files};

const FORMAT: &str = "smrt mlp checkpoint 1";
const STATE: &str = "state.json";
const WEIGHTS: &str = "weights.safetensors";
const BEST: &str = "best.safetensors";
const MOMENTS: &str = "moments.safetensors";

/// Where a training stands.
#[derive(Debug, Clone)]
pub struct Course {
    /// The epoch being run, from 0.
    pub epoch: usize,
    /// Rows of it that were learned from.
    pub position: usize,
    /// Weighted sum of its losses so far, and the weights' sum.
    pub loss: f64,
    /// See [`Course::loss`].
    pub weight: f64,
    /// Watches the loss from epoch to epoch.
    pub stopping: EarlyStopping,
    /// The weights of the best epoch, when a validation channel tells which it is.
    pub best: Option<Weights>,
}

/// `state.json`. Numbers with a fraction are kept as their bits: they must come back exactly, and
/// an infinite one has no place in JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    version: u32,
    job: String,
    epoch: usize,
    position: usize,
    loss_bits: u64,
    weight_bits: u64,
    best_loss_bits: u64,
    waited: usize,
    has_best: bool,
    steps: u64,
}

/// What is learned, as an engine gives it.
pub struct Learned {
    /// The weights now.
    pub weights: Weights,
    /// Steps taken.
    pub steps: u64,
    /// The optimizer's moments.
    pub moments: Vec<Moments>,
}

/// The files of a checkpoint. `job` describes parameters and data: another job's state is refused.
pub fn files(job: &str, shape: &Shape, course: &Course, learned: &Learned) -> Files {
    let state = State {
        version: 1,
        job: job.to_owned(),
        epoch: course.epoch,
        position: course.position,
        loss_bits: course.loss.to_bits(),
        weight_bits: course.weight.to_bits(),
        best_loss_bits: course.stopping.best.to_bits(),
        waited: course.stopping.waited,
        has_best: course.best.is_some(),
        steps: learned.steps,
    };
    let json = serde_json::to_vec(&state).expect("plain values have a JSON form");
    let mut files = Files::from([(STATE.to_owned(), json)]);
    let stored = |weights: &Weights| {
        let mut writer = Writer::new(FORMAT);
        weights.write(shape, &mut writer);
        writer.finish()
    };
    files.insert(WEIGHTS.to_owned(), stored(&learned.weights));
    if let Some(best) = &course.best {
        files.insert(BEST.to_owned(), stored(best));
    }
    let mut writer = Writer::new(FORMAT);
    for (at, moments) in learned.moments.iter().enumerate() {
        writer.f32(&format!("first.{at}"), &[moments.first.len()], &moments.first);
        writer.f32(&format!("second.{at}"), &[moments.second.len()], &moments.second);
    }
    files.insert(MOMENTS.to_owned(), writer.finish());
    files
}

/// Reads a checkpoint back. `expected` has the lengths of the moments of this job's parameters.
///
/// # Errors
/// [`Error::Checkpoint`] when it belongs to another job, [`Error::Corrupt`] when it is damaged.
pub fn read(
    job: &str,
    shape: &Shape,
    fresh: EarlyStopping,
    expected: &[Moments],
    files: &Files,
) -> Result<(Course, Learned), Error> {
    let corrupt = |what: String| Error::Corrupt(format!("checkpoint: {STATE}: {what}"));
    let bytes = files.get(STATE).ok_or_else(|| corrupt("is missing".into()))?;
    let state: State = serde_json::from_slice(bytes).map_err(|error| corrupt(error.to_string()))?;
    if state.version != 1 || state.job != job {
        return Err(Error::Checkpoint {
            what: "the checkpoint belongs to a training with other parameters or other data".into(),
            help: "resume with the job file and the data it was made with, or start anew without --resume"
                .into(),
        });
    }
    let weights = |file: &str| Weights::read(shape, &Reader::of(files, file, FORMAT)?);
    let reader = Reader::of(files, MOMENTS, FORMAT)?;
    let moment = |(at, expected): (usize, &Moments)| {
        Ok(Moments {
            first: reader.f32(&format!("first.{at}"), &[expected.first.len()])?,
            second: reader.f32(&format!("second.{at}"), &[expected.second.len()])?,
        })
    };
    let moments = expected.iter().enumerate().map(moment).collect::<Result<_, Error>>()?;
    let mut stopping = fresh;
    stopping.best = f64::from_bits(state.best_loss_bits);
    stopping.waited = state.waited;
    let course = Course {
        epoch: state.epoch,
        position: state.position,
        loss: f64::from_bits(state.loss_bits),
        weight: f64::from_bits(state.weight_bits),
        stopping,
        best: if state.has_best { Some(weights(BEST)?) } else { None },
    };
    Ok((course, Learned { weights: weights(WEIGHTS)?, steps: state.steps, moments }))
}
