//! The state of a training, for `--resume`: with it the rest gives the same bits.

use serde::{Deserialize, Serialize};

use super::lloyd::Run;
use super::mini_batch::Passes;
use crate::algorithm::weights::{Reader, Writer};
use crate::algorithm::{Error, Files};

const STATE_FILE: &str = "state.json";
const NUMBERS_FILE: &str = "state.safetensors";
const FORMAT: &str = "smrt kmeans checkpoint 1";

/// Where a training is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    /// Lloyd over all rows.
    Lloyd {
        /// Which of the trials is under way.
        trial: usize,
        run: Run,
        best: Option<Run>,
    },
    /// Passes in batches.
    MiniBatch(Passes),
}

/// `state.json`
#[derive(Debug, Serialize, Deserialize)]
struct Plain {
    /// Which job: parameters, seed and shape of the data.
    job: String,
    width: usize,
    kind: Kind,
}

#[derive(Debug, Serialize, Deserialize)]
enum Kind {
    Lloyd { trial: usize, run: Place, best: Option<Place> },
    MiniBatch { epoch: usize, batch: usize, seen: [f64; 2] },
}

#[derive(Debug, Serialize, Deserialize)]
struct Place {
    iteration: usize,
    /// `None` before the first iteration.
    inertia: Option<f64>,
    over: bool,
}

pub(super) fn write(job: &str, width: usize, state: &State) -> Files {
    let mut numbers = Writer::new(FORMAT);
    let kind = match state {
        State::Lloyd { trial, run, best } => Kind::Lloyd {
            trial: *trial,
            run: write_run(&mut numbers, "run", run),
            best: best.as_ref().map(|best| write_run(&mut numbers, "best", best)),
        },
        State::MiniBatch(passes) => {
            let Passes { epoch, batch, centres, weight, seen } = passes;
            numbers.f64("centres", &[centres.len()], centres);
            numbers.f64("weight", &[weight.len()], weight);
            Kind::MiniBatch { epoch: *epoch, batch: *batch, seen: *seen }
        }
    };
    let plain = Plain { job: job.to_owned(), width, kind };
    let plain = serde_json::to_vec(&plain).expect("a state is plain numbers and text");
    Files::from([(STATE_FILE.to_owned(), plain), (NUMBERS_FILE.to_owned(), numbers.finish())])
}

fn write_run(numbers: &mut Writer, name: &str, run: &Run) -> Place {
    numbers.f32(&format!("{name}.centres"), &[run.centres.len()], &run.centres);
    numbers.f32(&format!("{name}.before"), &[run.before.len()], &run.before);
    numbers.f64(&format!("{name}.sums"), &[run.sums.len()], &run.sums);
    numbers.f64(&format!("{name}.weight"), &[run.weight.len()], &run.weight);
    let inertia = run.inertia.is_finite().then_some(run.inertia);
    Place { iteration: run.iteration, inertia, over: run.over }
}

/// The state that [`write`] kept for the same job, with `centres` centres.
///
/// # Errors
/// `Error::Checkpoint` when it is another job's, `Error::Corrupt` when it is damaged.
pub(super) fn read(files: &Files, job: &str, width: usize, centres: usize) -> Result<State, Error> {
    let foreign = |what: &str| Error::Checkpoint {
        what: format!("the checkpoint {what}"),
        help: "train without --resume, or with the job and data it was made by".into(),
    };
    let bytes = files.get(STATE_FILE).ok_or_else(|| foreign("has no state.json"))?;
    let plain: Plain =
        serde_json::from_slice(bytes).map_err(|_| foreign("has a state.json that is damaged"))?;
    if plain.job != job || plain.width != width {
        return Err(foreign("was made with other parameters, seed or data"));
    }
    let numbers = Reader::of(files, NUMBERS_FILE, FORMAT)?;
    let run = |name: &str, place: &Place| read_run(&numbers, name, place, width, centres);
    Ok(match &plain.kind {
        Kind::Lloyd { trial, run: place, best } => State::Lloyd {
            trial: *trial,
            run: run("run", place)?,
            best: best.as_ref().map(|place| run("best", place)).transpose()?,
        },
        Kind::MiniBatch { epoch, batch, seen } => State::MiniBatch(Passes {
            epoch: *epoch,
            batch: *batch,
            seen: *seen,
            centres: numbers.f64("centres", &[centres * width])?,
            weight: numbers.f64("weight", &[centres])?,
        }),
    })
}

fn read_run(
    numbers: &Reader<'_>,
    name: &str,
    place: &Place,
    width: usize,
    centres: usize,
) -> Result<Run, Error> {
    let size = centres * width;
    let before = if place.iteration == 0 { 0 } else { size };
    Ok(Run {
        iteration: place.iteration,
        inertia: place.inertia.unwrap_or(f64::INFINITY),
        over: place.over,
        centres: numbers.f32(&format!("{name}.centres"), &[size])?,
        before: numbers.f32(&format!("{name}.before"), &[before])?,
        sums: numbers.f64(&format!("{name}.sums"), &[size])?,
        weight: numbers.f64(&format!("{name}.weight"), &[centres])?,
    })
}
