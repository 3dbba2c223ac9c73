//! The training: rows are centred, grouped, and the centres measured on every channel.

use super::checkpoint::{self, State};
use super::lloyd::{End, Rows, Run};
use super::mini_batch::{Data, Passes, Plan};
use super::model::Model;
use super::nearest::Panels;
use super::seeding::first_centres;
use super::settings::{Lloyd, Settings};
use super::streamed::{Source, squares};
use crate::algorithm::net::random::{Purpose, Stream};
use crate::algorithm::standardise::Standardiser;
use crate::algorithm::{
    Channels, Context, Error, Features, Fitted, Metric, Progress, unsupervised,
};
use crate::data::Task;

/// Streams of the last grouping of mini-batch's centres begin here: those before it are of the
/// first centres.
const REDUCE_STREAMS: u64 = 1 << 32;

/// Fits a model to the train channel.
///
/// # Errors
/// `Error::Data` for channels that cannot be grouped, `Error::Checkpoint`, or `Error::Stopped`.
pub(super) fn fit(
    settings: &Settings,
    earlier: Option<&Model>,
    data: &Channels,
    context: &mut Context<'_>,
) -> Result<Fitted, Error> {
    let width = unsupervised::width(data, settings.feature_dim)?;
    let train = &data.train;
    let features = Features::of(train);
    let weights = unsupervised::weights(train, "train")?;
    enough_rows(settings.k, train.rows(), weights)?;
    let standardiser = if settings.normalize {
        Standardiser::learn_from(features, "train")?
    } else {
        let means = unsupervised::means(train, weights, "train")?;
        let means = means.iter().map(|mean| *mean as f32).collect();
        Standardiser::from_parts(means, vec![1.0; width])?
    };
    if let Some(earlier) = earlier.filter(|earlier| earlier.width() != width) {
        return Err(Error::Data {
            what: format!(
                "channel train has {width} features and the earlier model {}",
                earlier.width()
            ),
            help: "give the columns that model was trained on".into(),
        });
    }
    let earlier =
        earlier.map(|earlier| (earlier.centres_in(&standardiser), earlier.weight().to_vec()));
    let training = Training {
        settings,
        earlier,
        width,
        weights,
        job: format!(
            "{} seed {} rows {} columns {width}",
            serde_json::Value::Object(settings.effective.clone()),
            context.seed,
            train.rows()
        ),
    };
    let (centres, weight, epochs) = match &settings.batches {
        None => {
            let source = Source::of(features, weights, &standardiser);
            training.lloyd(&source, context)?
        }
        Some(plan) => {
            let seed = context.seed;
            let data = Data { features, weights, standardiser: &standardiser, seed };
            training.mini_batch(&data, plan, context)?
        }
    };
    let model = Model::new(standardiser, &centres, weight);
    let mut metrics = Vec::new();
    for (name, channel) in unsupervised::named(data) {
        let weights = unsupervised::weights(channel, name)?;
        let (mut sum, mut weight) = (0.0, 0.0);
        Features::of(channel).each_block(|first, rows| {
            let weights = weights.map(|all| &all[first..first + rows.nrows()]);
            let here = model.squared_distances(rows, weights);
            (sum, weight) = (sum + here.0, weight + here.1);
            Ok(())
        })?;
        metrics.extend(settings.metrics.iter().map(|metric| Metric {
            name: format!("{name}:{metric}"),
            value: if *metric == "msd" { sum / weight } else { sum },
        }));
    }
    Ok(Fitted {
        files: model.files(),
        signature: unsupervised::signature(train, Task::Clustering),
        metrics,
        epochs,
    })
}

fn enough_rows(k: usize, rows: usize, weights: Option<&[f32]>) -> Result<(), Error> {
    let counted = weights.map_or(rows, |all| all.iter().filter(|weight| **weight > 0.0).count());
    if counted >= k {
        return Ok(());
    }
    let weighing = if counted < rows { " with a weight above 0" } else { "" };
    Err(Error::Data {
        what: format!("channel train has {counted} rows{weighing} and k is {k}"),
        help: format!("lower k to {counted} or less, or give more rows"),
    })
}

struct Training<'a> {
    settings: &'a Settings,
    /// Centres to start from, in the space of the rows, and what their rows weighed.
    earlier: Option<(Vec<f32>, Vec<f64>)>,
    width: usize,
    weights: Option<&'a [f32]>,
    job: String,
}

/// Centres in the space of the rows, what their rows weigh, and epochs.
type Found = (Vec<f32>, Vec<f64>, usize);

impl Training<'_> {
    fn lloyd(&self, source: &Source<'_>, context: &mut Context<'_>) -> Result<Found, Error> {
        let (lloyd, k, rows) = (&self.settings.lloyd, self.settings.k, source.rows());
        // From given centres every trial would be the same.
        let trials = self.earlier.as_ref().map_or_else(|| lloyd.trials(rows), |_| 1);
        let total: f64 =
            self.weights.map_or(rows as f64, |all| all.iter().map(|w| f64::from(*w)).sum());
        let end = end(lloyd, source.squares()? / total, self.width);
        let stop = context.stop;
        let first = |trial: usize, seed: u64| {
            if let Some((centres, _)) = &self.earlier {
                return Ok(Run::new(centres.clone(), self.width));
            }
            let centres = source.first_centres(lloyd.init, k, seed, trial as u64, end, stop)?;
            Ok::<Run, Error>(Run::new(centres, self.width))
        };
        let (mut trial, mut run, mut best) = match context.checkpoints.take() {
            None => (0, first(0, context.seed)?, None),
            Some(files) => match checkpoint::read(&files, &self.job, self.width, k)? {
                State::Lloyd { trial, run, best } => (trial, run, best),
                State::MiniBatch(_) => return Err(other_mode()),
            },
        };
        let mut iterations = best.as_ref().map_or(0, |best: &Run| best.iteration);
        loop {
            let mut each = |run: &Run| {
                let state = || State::Lloyd { trial, run: run.clone(), best: best.clone() };
                let msd = Metric { name: "train:msd".into(), value: run.inertia / total };
                let done = trial * end.iterations + run.iteration;
                self.after(context, done, trials * end.iterations, rows, Some(msd), state)
            };
            source.go(&mut run, end, &mut each)?;
            iterations = iterations.max(run.iteration);
            if best.as_ref().is_none_or(|best| run.inertia < best.inertia) {
                best = Some(run);
            }
            trial += 1;
            if trial >= trials {
                break;
            }
            run = first(trial, context.seed)?;
        }
        let best = best.expect("at least one trial ran");
        Ok((best.centres, best.weight, best.iteration))
    }

    fn mini_batch(
        &self,
        data: &Data<'_>,
        plan: &Plan,
        context: &mut Context<'_>,
    ) -> Result<Found, Error> {
        let rows = data.features.rows();
        let centres = match &self.earlier {
            Some(_) => self.settings.k,
            None => plan.centres.min(rows).max(self.settings.k),
        };
        let plan = &Plan { centres, ..*plan };
        let mut passes = match context.checkpoints.take() {
            None => match &self.earlier {
                Some((centres, weight)) => Passes::go_on(centres, weight),
                None => Passes::begin(data, plan)?,
            },
            Some(files) => match checkpoint::read(&files, &self.job, self.width, plan.centres)? {
                State::MiniBatch(passes) => passes,
                State::Lloyd { .. } => return Err(other_mode()),
            },
        };
        let batches = rows.div_ceil(plan.batch_rows);
        passes.go(data, plan, &mut |passes| {
            let state = || State::MiniBatch(passes.clone());
            let done = passes.epoch * batches + passes.batch;
            let ended = (passes.batch == 0).then(|| Metric {
                name: "train:msd".into(),
                value: passes.seen[0] / passes.seen[1],
            });
            self.after(
                context,
                done,
                plan.epochs * batches,
                plan.batch_rows.min(rows),
                ended,
                state,
            )
        })?;
        let followed: Vec<f32> = passes.centres.iter().map(|value| *value as f32).collect();
        if plan.centres == self.settings.k {
            return Ok((followed, passes.weight, plan.epochs));
        }
        let (centres, weight) = self.reduce(&followed, &passes.weight, context.seed);
        Ok((centres, weight, plan.epochs))
    }

    /// The centres that followed the rows, grouped into the k wanted.
    fn reduce(&self, centres: &[f32], weight: &[f64], seed: u64) -> (Vec<f32>, Vec<f64>) {
        let lloyd = &self.settings.lloyd;
        let count = weight.len();
        let view = ndarray::ArrayView2::from_shape((count, self.width), centres)
            .expect("centres are centres × width");
        let panels = Panels::new(view, &Standardiser::identity(self.width));
        let weights: Vec<f32> = weight.iter().map(|weight| *weight as f32).collect();
        let rows = Rows { panels: &panels, weights: Some(&weights) };
        let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        let end = end(lloyd, squares(&rows) / total, self.width);
        let runs = (0..lloyd.trials(count) as u64).map(|trial| {
            let mut stream = Stream::new(seed, Purpose::Centres, REDUCE_STREAMS + trial);
            let k = self.settings.k;
            let first = first_centres(lloyd.init, &panels, Some(&weights), k, &mut stream);
            let mut run = Run::new(first, self.width);
            // Some hundred rows: nothing here is long enough to be stopped.
            let always = run.go(&rows, end, &mut |_| Ok(()));
            always.expect("nothing asks this run to stop");
            run
        });
        let best = runs.min_by(|a, b| a.inertia.total_cmp(&b.inertia));
        let best = best.expect("at least one trial ran");
        (best.centres, best.weight)
    }

    /// Tells how far the training is, keeps a checkpoint when one is due, and stops when asked.
    /// `ended` is the figure of an epoch that ended.
    fn after(
        &self,
        context: &mut Context<'_>,
        done: usize,
        of: usize,
        rows: usize,
        ended: Option<Metric>,
        state: impl Fn() -> State,
    ) -> Result<(), Error> {
        context.observer.step(Progress {
            epoch: done.saturating_sub(1),
            epochs: of,
            rows_done: rows as u64 * done as u64,
            rows_total: rows as u64 * of as u64,
        });
        if let Some(metric) = ended {
            context.observer.epoch(done.saturating_sub(1), &[metric]);
        }
        if (context.stop)() {
            context.checkpoints.save(&checkpoint::write(&self.job, self.width, &state()))?;
            return Err(Error::Stopped);
        }
        if context.checkpoints.due() {
            context.checkpoints.save(&checkpoint::write(&self.job, self.width, &state()))?;
        }
        Ok(())
    }
}

/// `variance` of all columns together: the rows are centred, so it is the mean of their squares.
fn end(lloyd: &Lloyd, variance: f64, width: usize) -> End {
    let moved = lloyd.tolerance * variance / width as f64;
    End { iterations: lloyd.iterations, moved }
}

fn other_mode() -> Error {
    Error::Checkpoint {
        what: "the checkpoint was made with another algorithm_mode".into(),
        help: "train without --resume, or with the job it was made by".into(),
    }
}
