//! The pass over the data that trains all candidate models at once.
//!
//! The weights of `models` models stand side by side, features × (models × outputs), so that one
//! product serves all. Everything that a resumed training needs is in [`State`]; its numbers are
//! kept as they are, so that going on gives the same bits as never having stopped.

use burn::tensor::{Device, Tensor};

use super::candidate::Candidate;
use super::feed::Feed;
use super::loss::Loss;
use super::optimise::{Block, Rates, matrix, read};
use super::settings::{Init, Schedule, Settings};
use crate::algorithm::net::random::{Purpose, Stream};
use crate::algorithm::{Context, Error, Metric, Progress};

/// What to train on.
#[derive(Debug)]
pub(super) struct Task<'a> {
    /// Checked parameters.
    pub(super) settings: &'a Settings,
    /// The objective in the units of the feeds' targets.
    pub(super) loss: Loss,
    /// What a loss in those units is multiplied with to be reported.
    pub(super) unit: f64,
    /// Rows to learn from.
    pub(super) train: Feed<'a>,
    /// Rows to stop and choose by.
    pub(super) validation: Option<Feed<'a>>,
    /// The models.
    pub(super) candidates: Vec<Candidate>,
    /// Margins per model.
    pub(super) outputs: usize,
    /// Rows per step.
    pub(super) batch_rows: usize,
    /// What a checkpoint must belong to.
    pub(super) fingerprint: u64,
}

/// The trained models.
#[derive(Debug)]
pub(super) struct Trained {
    /// features × (models × outputs).
    pub(super) weight: Vec<f32>,
    /// models × outputs; empty without a bias.
    pub(super) bias: Vec<f32>,
    /// Loss of each model on validation, without it on train; infinite for a model that diverged.
    pub(super) losses: Vec<f64>,
    /// Epochs that were run.
    pub(super) epochs: usize,
}

/// Rows evaluated at once; bounds the margins held.
const EVALUATE_ROWS: usize = 2048;

/// Where a training is.
pub(super) struct State {
    pub(super) weight: Block,
    pub(super) bias: Option<Block>,
    /// 1 × models: loss of the epoch so far.
    pub(super) running: Tensor<2>,
    /// Best weights and biases so far by validation, and the losses they had.
    pub(super) best_weight: Tensor<2>,
    pub(super) best_bias: Option<Tensor<2>>,
    pub(super) best_losses: Vec<f64>,
    pub(super) epoch: usize,
    /// Next batch of the epoch.
    pub(super) batch: usize,
    /// Steps made.
    pub(super) steps: u64,
    /// Least loss that early stopping counts from, and epochs since.
    pub(super) least: f64,
    pub(super) waited: usize,
    /// Step from which the rate is brought to its floor within an epoch, once stopping was
    /// decided: a rate cut off in mid-air leaves noise in the weights.
    pub(super) landing: Option<u64>,
}

/// Trains all candidates.
///
/// # Errors
/// `Error::Stopped` after the checkpoint was handed over; `Error::Diverged` when no model has a
/// finite loss; `Error::Checkpoint` when the one to go on from belongs to another job.
pub(super) fn train(task: &Task<'_>, context: &mut Context<'_>) -> Result<Trained, Error> {
    let device = context.device.clone();
    let rates = Rates {
        learning_rate: task.row(&device, |candidate| candidate.learning_rate),
        wd: task.row_unless_0(&device, |candidate| candidate.wd),
        l1: task.row_unless_0(&device, |candidate| candidate.l1),
    };
    let bias_rates = task.bias_rates(&device);
    let mut state = match context.checkpoints.take() {
        Some(files) => State::restore(task, &files, &device)?,
        None => State::first(task, context.seed, &device),
    };
    let rows = task.train.rows();
    let batches = rows.div_ceil(task.batch_rows);
    let epochs = task.settings.epochs;
    while state.epoch < epochs {
        let order = task.train.features.order(context.seed, state.epoch);
        while state.batch < batches {
            if (context.stop)() {
                context.checkpoints.save(&state.files(task)?)?;
                return Err(Error::Stopped);
            }
            if context.checkpoints.due() {
                context.checkpoints.save(&state.files(task)?)?;
            }
            let bounds = |batch: usize| batch * rows / batches;
            let order = &order[bounds(state.batch)..bounds(state.batch + 1)];
            state.learn(task, order, (&rates, bias_rates.as_ref()), batches, &device)?;
            context.observer.step(Progress {
                epoch: state.epoch,
                epochs,
                rows_done: (state.epoch * rows + bounds(state.batch)) as u64,
                rows_total: (epochs * rows) as u64,
            });
        }
        if state.end_epoch(task, batches, &device, context)? {
            break;
        }
    }
    state.finish(task, &device)
}

impl Task<'_> {
    /// Margins of all models together.
    pub(super) fn columns(&self) -> usize {
        self.candidates.len() * self.outputs
    }

    /// One number per column, the same for all outputs of a model.
    fn row(&self, device: &Device, figure: impl Fn(&Candidate) -> f64) -> Tensor<2> {
        let of = |one: &Candidate| std::iter::repeat_n(figure(one) as f32, self.outputs);
        matrix(self.candidates.iter().flat_map(of).collect(), [1, self.columns()], device)
    }

    fn row_unless_0(
        &self,
        device: &Device,
        figure: impl Fn(&Candidate) -> f64,
    ) -> Option<Tensor<2>> {
        let any = self.candidates.iter().any(|one| figure(one) > 0.0);
        any.then(|| self.row(device, figure))
    }

    fn bias_rates(&self, device: &Device) -> Option<Rates> {
        let bias = self.settings.bias?;
        Some(Rates {
            learning_rate: self.row(device, |one| one.learning_rate * bias.lr_mult),
            wd: self.row_unless_0(device, |one| one.wd * bias.wd_mult),
            l1: None,
        })
    }

    /// What is left of the learning rates at `step` (from 0).
    fn factor(&self, step: u64, batches: usize, landing: Option<u64>) -> f64 {
        let first = self.candidates[0].learning_rate;
        let at = |step: u64| match self.settings.schedule {
            Schedule::Constant => 1.0,
            Schedule::Cosine { floor } => {
                let steps = (batches * self.settings.epochs) as f64;
                let part = (step as f64 / steps).min(1.0);
                let floor = (floor / first).min(1.0);
                floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * part).cos())
            }
            Schedule::Steps { every, factor, floor } => {
                let falls = (step / every).min(1 << 20) as i32;
                factor.powi(falls).max((floor / first).min(1.0))
            }
        };
        match landing {
            Some(from) => {
                let part = (step - from) as f64 / batches as f64;
                at(from) * (1.0 - part.min(1.0))
            }
            None => at(step),
        }
    }

    /// Loss of each model on `feed`, per unit of weight.
    fn losses(
        &self,
        feed: &Feed<'_>,
        weight: &Tensor<2>,
        bias: Option<&Tensor<2>>,
        device: &Device,
    ) -> Result<Vec<f64>, Error> {
        let models = self.candidates.len();
        let order: Vec<u32> = (0..feed.rows() as u32).collect();
        let mut sums = vec![0.0; models];
        let room = (ENTRIES_AT_ONCE / self.columns().max(feed.features.width()).max(1)).max(1);
        for order in order.chunks(EVALUATE_ROWS.min(room)) {
            let (rows, target) = feed.batch(order, device)?;
            let margins = margins(rows, weight, bias);
            let found = read(&self.loss.sum(margins, &target, models))?;
            for (sum, found) in sums.iter_mut().zip(found) {
                *sum += f64::from(found);
            }
        }
        let total = feed.total().max(f64::MIN_POSITIVE);
        Ok(sums.into_iter().map(|sum| finite_or_infinite(sum / total)).collect())
    }
}

/// Margins or features held at once while evaluating.
const ENTRIES_AT_ONCE: usize = 1 << 23;

fn margins(rows: Tensor<2>, weight: &Tensor<2>, bias: Option<&Tensor<2>>) -> Tensor<2> {
    let margins = rows.matmul(weight.clone());
    match bias {
        Some(bias) => margins + bias.clone(),
        None => margins,
    }
}

fn finite_or_infinite(loss: f64) -> f64 {
    if loss.is_finite() { loss } else { f64::INFINITY }
}

fn least(losses: &[f64]) -> f64 {
    losses.iter().copied().fold(f64::INFINITY, f64::min)
}

impl State {
    fn first(task: &Task<'_>, seed: u64, device: &Device) -> State {
        let (width, columns) = (task.train.features.width(), task.columns());
        let mut stream = Stream::new(seed, Purpose::Weights, 0);
        let mut weight = vec![0.0; width * columns];
        // All models start alike: they differ in their rates, not in luck.
        for row in weight.chunks_exact_mut(columns) {
            let one: Vec<f32> = (0..task.outputs)
                .map(|_| match task.settings.init {
                    Init::Zero => 0.0,
                    Init::Uniform(scale) => stream.symmetric(scale as f32),
                    Init::Normal(sigma) => stream.normal() * sigma as f32,
                })
                .collect();
            row.chunks_exact_mut(task.outputs).for_each(|model| model.copy_from_slice(&one));
        }
        let weight = matrix(weight, [width, columns], device);
        let bias = task
            .settings
            .bias
            .map(|bias| matrix(vec![bias.start as f32; columns], [1, columns], device));
        State {
            best_weight: weight.clone(),
            best_bias: bias.clone(),
            best_losses: vec![f64::INFINITY; task.candidates.len()],
            weight: Block::new(weight),
            bias: bias.map(Block::new),
            running: Tensor::zeros([1, task.candidates.len()], device),
            epoch: 0,
            batch: 0,
            steps: 0,
            least: f64::INFINITY,
            waited: 0,
            landing: None,
        }
    }

    /// One step on the rows `order`.
    fn learn(
        &mut self,
        task: &Task<'_>,
        order: &[u32],
        (rates, bias_rates): (&Rates, Option<&Rates>),
        batches: usize,
        device: &Device,
    ) -> Result<(), Error> {
        let (rows, target) = task.train.batch(order, device)?;
        let bias = self.bias.as_ref().map(|bias| &bias.value);
        let margins = margins(rows.clone(), &self.weight.value, bias);
        let step = task.loss.step(margins, &target, task.candidates.len());
        let slope = step.gradient.div_scalar(order.len() as f64);
        let factor = task.factor(self.steps, batches, self.landing);
        self.steps += 1;
        self.batch += 1;
        let how = task.settings.optimizer;
        if let (Some(bias), Some(rates)) = (self.bias.take(), bias_rates) {
            let gradient = slope.clone().sum_dim(0);
            self.bias = Some(bias.step(gradient, rates, how, self.steps, factor));
        }
        let gradient = rows.transpose().matmul(slope);
        self.weight = self.weight.clone().step(gradient, rates, how, self.steps, factor);
        self.running = self.running.clone() + step.sum;
        Ok(())
    }

    /// Evaluates, keeps what is best, and says whether the training has ended.
    fn end_epoch(
        &mut self,
        task: &Task<'_>,
        batches: usize,
        device: &Device,
        context: &mut Context<'_>,
    ) -> Result<bool, Error> {
        let total = task.train.total().max(f64::MIN_POSITIVE);
        let trained: Vec<f64> = read(&self.running)?
            .into_iter()
            .map(|sum| finite_or_infinite(f64::from(sum) / total))
            .collect();
        let bias = self.bias.as_ref().map(|bias| &bias.value);
        let judged = match &task.validation {
            Some(feed) => task.losses(feed, &self.weight.value, bias, device)?,
            None => trained.clone(),
        };
        if least(&judged).is_infinite() {
            return Err(Error::Diverged {
                what: format!(
                    "in epoch {} the loss of every model is no longer a number",
                    self.epoch + 1
                ),
                help: "lower hyperparameters.learning_rate, or keep normalize_data = true".into(),
            });
        }
        self.keep_best(task, &judged, device);
        let figure = |name: &str, losses: &[f64]| Metric {
            name: format!("{name}:objective_loss"),
            value: least(losses) * task.unit,
        };
        let mut metrics = vec![figure("train", &trained)];
        if task.validation.is_some() {
            metrics.push(figure("validation", &judged));
        }
        context.observer.epoch(self.epoch, &metrics);
        self.epoch += 1;
        self.batch = 0;
        self.running = self.running.zeros_like();
        Ok(self.has_ended(task, least(&judged), batches))
    }

    fn has_ended(&mut self, task: &Task<'_>, loss: f64, batches: usize) -> bool {
        if let Some(from) = self.landing {
            return self.steps >= from + batches as u64;
        }
        let settings = task.settings;
        if loss < self.least - settings.tolerance * self.least.abs() || self.least.is_infinite() {
            self.least = loss;
            self.waited = 0;
        } else {
            self.waited += 1;
        }
        if settings.patience == 0 || self.waited < settings.patience {
            return false;
        }
        if matches!(settings.schedule, Schedule::Cosine { .. }) {
            self.landing = Some(self.steps);
            return false;
        }
        true
    }

    /// Takes over the weights of each model that is better by validation than ever before. Without
    /// validation the last weights are the best: the training loss measures the past epoch.
    fn keep_best(&mut self, task: &Task<'_>, judged: &[f64], device: &Device) {
        let better: Vec<bool> =
            judged.iter().zip(&self.best_losses).map(|(now, best)| now < best).collect();
        if task.validation.is_none() || better.iter().all(|better| *better) {
            self.best_weight = self.weight.value.clone();
            self.best_bias = self.bias.as_ref().map(|bias| bias.value.clone());
            self.best_losses = judged.to_vec();
            return;
        }
        let columns = better
            .iter()
            .flat_map(|better| std::iter::repeat_n(if *better { 1.0 } else { 0.0 }, task.outputs));
        let mask = matrix(columns.collect(), [1, task.columns()], device).greater_elem(0.5);
        let pick = |best: &Tensor<2>, now: &Tensor<2>| {
            best.clone().mask_where(mask.clone().expand(now.dims()), now.clone())
        };
        self.best_weight = pick(&self.best_weight, &self.weight.value);
        self.best_bias = match (&self.best_bias, &self.bias) {
            (Some(best), Some(now)) => Some(pick(best, &now.value)),
            _ => None,
        };
        for (best, now) in self.best_losses.iter_mut().zip(judged) {
            *best = best.min(*now);
        }
    }

    fn finish(self, task: &Task<'_>, device: &Device) -> Result<Trained, Error> {
        let losses = match task.validation {
            Some(_) => self.best_losses,
            None => task.losses(&task.train, &self.best_weight, self.best_bias.as_ref(), device)?,
        };
        let bias = self.best_bias.as_ref().map(read).transpose()?;
        Ok(Trained {
            weight: read(&self.best_weight)?,
            bias: bias.unwrap_or_default(),
            losses,
            epochs: self.epoch,
        })
    }
}
