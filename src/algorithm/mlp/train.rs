//! From channels to a fitted network: labels, weights of rows, epochs, early stopping,
//! checkpoints, metrics.
//!
//! The arithmetic of a step is the engine's ([`super::host`] or [`super::graph`]); this file says
//! which rows it sees when, and when to stop.

use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::checkpoint::{self, Course, Learned};
use super::graph::Graph;
use super::host::{Engine, Host, Plan, Rows, Targets, parameter_lengths};
use super::loss::softmax;
use super::network::{Shape, Weights};
use super::predict::{self, Network};
use super::settings::{ClassWeight, Settings};
use crate::algorithm::label::{self, Classes};
use crate::algorithm::net::optimizer::Optimizer;
use crate::algorithm::net::stopping::EarlyStopping;
use crate::algorithm::parameter::Checked;
use crate::algorithm::standardise::{Standardiser, refuse_infinite_in};
use crate::algorithm::{
    Channels, Context, Error, Features, Fitted, Metric, Progress, Trainer, device, metric,
};
use crate::data::{Dataset, Signature, Task};

/// Numbers a network may learn: with gradients and moments 4 GiB.
const PARAMETERS_MAX: usize = 1 << 28;
/// Steps are taken in a row on the threads of the pool for about this long: going to the pool and
/// back costs as much as a step of a small network.
const VISIT: Duration = Duration::from_millis(4);
/// Progress is told no more often than this.
const TELL: Duration = Duration::from_millis(100);

/// A checked job.
pub struct Fit {
    /// What to do.
    pub settings: Settings,
    /// For the manifest.
    pub checked: Checked,
}

impl Trainer for Fit {
    fn effective(&self) -> serde_json::Map<String, serde_json::Value> {
        self.checked.effective()
    }

    fn streams(&self) -> bool {
        true
    }

    fn fit(&self, data: &Channels, context: &mut Context<'_>) -> Result<Fitted, Error> {
        let pool =
            ThreadPoolBuilder::new().num_threads(context.threads).build().map_err(|error| {
                Error::Data {
                    what: format!("{} threads could not be started: {error}", context.threads),
                    help: "set resources.threads to a smaller number".into(),
                }
            })?;
        let prepared = pool.install(|| Prepared::new(&self.settings, data))?;
        Training::new(self, &prepared, &pool, context)?.run(context)
    }
}

/// The channels, ready to learn from.
struct Prepared<'a> {
    shape: Shape,
    classes: Option<Classes>,
    label: LabelScale,
    standardiser: Standardiser,
    train: Channel<'a>,
    validation: Option<Channel<'a>>,
    test: Option<Channel<'a>>,
    columns: Vec<String>,
}

/// One channel with its labels in the network's terms.
struct Channel<'a> {
    name: &'static str,
    features: Features<'a>,
    targets: Targets,
    weight: Option<Vec<f32>>,
}

/// `(label - mean) / deviation` is what a regression learns.
#[derive(Debug, Clone, Copy)]
struct LabelScale {
    mean: f32,
    deviation: f32,
}

impl<'a> Prepared<'a> {
    fn new(settings: &Settings, data: &'a Channels) -> Result<Prepared<'a>, Error> {
        let train = &data.train;
        let inputs = train.width();
        check_width(settings, train)?;
        let classes = match settings.task {
            Task::Regression => None,
            _ => Some(Classes::learn(train, "train", settings.wanted)?),
        };
        let label = match settings.task {
            Task::Regression => LabelScale::learn(settings, train)?,
            _ => LabelScale { mean: 0.0, deviation: 1.0 },
        };
        let standardiser = if settings.normalize_data {
            Standardiser::learn_from(Features::of(train), "train")?
        } else {
            refuse_infinite_in(Features::of(train), "train")?;
            Standardiser::identity(inputs)
        };
        let shape = Shape {
            inputs,
            hidden: settings.hidden.clone(),
            outputs: classes.as_ref().map_or(1, Classes::count),
            activation: settings.activation,
            batch_norm: settings.batch_norm,
            dropout: settings.dropout,
        };
        check_size(&shape)?;
        let channel = |name, data| Channel::new(name, data, inputs, classes.as_ref(), label);
        let mut train_channel = channel("train", train)?;
        train_channel.weigh_classes(settings, classes.as_ref());
        let other = |name, data: &'a Option<Dataset>| {
            data.as_ref().map(|data| channel(name, data)).transpose()
        };
        Ok(Prepared {
            validation: other("validation", &data.validation)?,
            test: other("test", &data.test)?,
            train: train_channel,
            columns: train.columns.to_vec(),
            shape,
            label,
            standardiser,
            classes,
        })
    }
}

fn check_width(settings: &Settings, train: &Dataset) -> Result<(), Error> {
    let width = train.width();
    if let Some(wanted) = settings.features
        && wanted != width
        && train.rows() > 0
    {
        return Err(Error::Data {
            what: format!("channel train has {width} features and feature_dim is {wanted}"),
            help: format!("set feature_dim = {width} or leave it out"),
        });
    }
    if width == 0 && train.rows() > 0 {
        return Err(Error::Data {
            what: "channel train has labels and no features".into(),
            help: "give at least one column besides the label".into(),
        });
    }
    Ok(())
}

fn check_size(shape: &Shape) -> Result<(), Error> {
    match shape.parameters() {
        Some(count) if count <= PARAMETERS_MAX => Ok(()),
        count => Err(Error::Data {
            what: format!(
                "the network would have {} weights, more than {PARAMETERS_MAX}",
                count.map_or("uncountably many".into(), |count| count.to_string())
            ),
            help: "choose smaller hidden_layers, or fewer columns".into(),
        }),
    }
}

impl LabelScale {
    fn learn(settings: &Settings, train: &Dataset) -> Result<LabelScale, Error> {
        let targets = label::targets(train, "train")?;
        let count = targets.len() as f64;
        let mean = targets.iter().map(|t| f64::from(*t)).sum::<f64>() / count;
        let square = |t: &f32| (f64::from(*t) - mean).powi(2);
        let deviation = (targets.iter().map(square).sum::<f64>() / count).sqrt();
        if !settings.normalize_label {
            return Ok(LabelScale { mean: 0.0, deviation: 1.0 });
        }
        let deviation = if deviation > mean.abs() * 1e-7 { deviation as f32 } else { 1.0 };
        Ok(LabelScale { mean: mean as f32, deviation })
    }
}

impl<'a> Channel<'a> {
    fn new(
        name: &'static str,
        data: &'a Dataset,
        inputs: usize,
        classes: Option<&Classes>,
        label: LabelScale,
    ) -> Result<Channel<'a>, Error> {
        if data.rows() > 0 && data.width() != inputs {
            return Err(Error::Data {
                what: format!(
                    "channel {name} has {} features and channel train has {inputs}",
                    data.width()
                ),
                help: "give both channels the same columns".into(),
            });
        }
        let targets = match classes {
            Some(classes) => Targets::Class(classes.codes(data, name)?),
            None => {
                let scaled = |t: f32| (t - label.mean) / label.deviation;
                Targets::Number(label::targets(data, name)?.into_iter().map(scaled).collect())
            }
        };
        let features = Features::of(data);
        // Those of train were looked through when the standardisation was learned.
        if name != "train" {
            refuse_infinite_in(features, name)?;
        }
        let weight = row_weights(name, data)?;
        Ok(Channel { name, features, targets, weight })
    }

    fn rows(&self) -> usize {
        self.features.rows()
    }

    /// Multiplies each row's weight with that of its class.
    fn weigh_classes(&mut self, settings: &Settings, classes: Option<&Classes>) {
        let (Some(classes), Targets::Class(codes)) = (classes, &self.targets) else { return };
        let each = match settings.class_weight {
            ClassWeight::Equal => return,
            ClassWeight::Positive(weight) => vec![1.0, weight as f32],
            ClassWeight::Balanced => label::balanced(&label::counts(codes, classes.count())),
        };
        let own = self.weight.take();
        let weigh = |(row, code): (usize, &u32)| {
            each[*code as usize] * own.as_ref().map_or(1.0, |own| own[row])
        };
        self.weight = Some(codes.iter().enumerate().map(weigh).collect());
    }
}

fn row_weights(name: &str, data: &Dataset) -> Result<Option<Vec<f32>>, Error> {
    let Some(weight) = &data.weight else { return Ok(None) };
    let wrong = weight.iter().position(|w| !w.is_finite() || *w < 0.0);
    if let Some(row) = wrong {
        return Err(Error::Data {
            what: format!("row {} of channel {name} has weight {}", row + 1, weight[row]),
            help: "weights are finite numbers from 0 on".into(),
        });
    }
    if weight.len() != data.rows() || weight.iter().all(|w| *w == 0.0) {
        return Err(Error::Data {
            what: format!("the weights of channel {name} do not weigh its rows"),
            help: "give each row a weight, and one of them more than 0".into(),
        });
    }
    Ok(Some(weight.clone()))
}

/// A training under way.
struct Training<'a> {
    fit: &'a Fit,
    prepared: &'a Prepared<'a>,
    pool: &'a ThreadPool,
    job: String,
    seed: u64,
    threads: usize,
    device: device::Device,
    resumed: Option<(Course, Learned)>,
    first: Weights,
}

impl<'a> Training<'a> {
    fn new(
        fit: &'a Fit,
        prepared: &'a Prepared<'a>,
        pool: &'a ThreadPool,
        context: &mut Context<'_>,
    ) -> Result<Training<'a>, Error> {
        let train = &prepared.train;
        let first = Weights::first(&prepared.shape, context.seed);
        let job = format!(
            "{} rows={} columns={} seed={}",
            serde_json::Value::Object(fit.effective()),
            train.rows(),
            prepared.shape.inputs,
            context.seed
        );
        let fresh = EarlyStopping::new(fit.settings.patience, fit.settings.tolerance);
        let resumed = match context.checkpoints.take() {
            None => None,
            Some(files) => {
                let lengths = parameter_lengths(&first);
                let expected = Optimizer::new(fit.settings.optimizer, &lengths).moments;
                Some(checkpoint::read(&job, &prepared.shape, fresh, &expected, &files)?)
            }
        };
        Ok(Training {
            fit,
            prepared,
            pool,
            job,
            seed: context.seed,
            threads: context.threads,
            device: context.device.clone(),
            resumed,
            first,
        })
    }

    fn run(mut self, context: &mut Context<'_>) -> Result<Fitted, Error> {
        let settings = &self.fit.settings;
        let train = &self.prepared.train;
        let rows = Rows {
            features: train.features,
            standardiser: &self.prepared.standardiser,
            targets: train.targets.clone(),
            weight: train.weight.clone(),
        };
        let resumed = self.resumed.take();
        let mut engine = self.engine(&rows);
        let mut course = Course {
            epoch: 0,
            position: 0,
            loss: 0.0,
            weight: 0.0,
            stopping: EarlyStopping::new(settings.patience, settings.tolerance),
            best: None,
        };
        if let Some((stood, learned)) = resumed {
            engine.restore(&learned.weights, learned.steps, learned.moments);
            course = stood;
        }
        let mut done = course.epoch >= settings.epochs;
        while !done {
            self.epoch(engine.as_mut(), &rows, &mut course, context)?;
            done = self.end_epoch(engine.as_mut(), &mut course, context)?;
        }
        let epochs = course.epoch;
        let weights = course.best.unwrap_or_else(|| engine.weights());
        drop(engine);
        self.finish(weights, epochs)
    }

    fn engine<'e>(&'e self, rows: &'e Rows<'e>) -> Box<dyn Engine + 'e> {
        let settings = &self.fit.settings;
        let shape = &self.prepared.shape;
        let plan = Plan { shape, loss: settings.loss, seed: self.seed, rows };
        if device::is_cpu(&self.device) {
            let optimizer = Optimizer::new(settings.optimizer, &parameter_lengths(&self.first));
            Box::new(Host::new(plan, &self.first, optimizer, self.threads))
        } else {
            Box::new(Graph::new(plan, &self.first, settings.optimizer, &self.device))
        }
    }

    /// The rest of the epoch the course is in.
    fn epoch(
        &self,
        engine: &mut dyn Engine,
        rows: &Rows<'_>,
        course: &mut Course,
        context: &mut Context<'_>,
    ) -> Result<(), Error> {
        let settings = &self.fit.settings;
        let count = self.prepared.train.rows();
        let order = self.prepared.train.features.order(self.seed, course.epoch);
        let steps_per_epoch = count.div_ceil(settings.batch) as u64;
        let steps_in_all = steps_per_epoch * settings.epochs as u64;
        let mut told = Instant::now();
        let mut in_a_row = 1;
        while course.position < count {
            let started = Instant::now();
            let stop = context.stop;
            let stopped = self.pool.install(|| {
                for _ in 0..in_a_row {
                    if stop() {
                        return Ok(true);
                    }
                    let end = (course.position + settings.batch).min(count);
                    let batch = &order[course.position..end];
                    rows.features.ready(batch)?;
                    let step = course.epoch as u64 * steps_per_epoch
                        + (course.position / settings.batch) as u64;
                    let rate = settings.schedule.rate(settings.rate, step, steps_in_all);
                    course.loss += engine.step(batch, rate);
                    course.weight += rows.weight_of(batch);
                    course.position = end;
                    if end == count {
                        break;
                    }
                }
                Ok::<bool, Error>(false)
            })?;
            if stopped {
                self.save(engine, course, context)?;
                return Err(Error::Stopped);
            }
            if !course.loss.is_finite() {
                return Err(self.diverged(course.epoch));
            }
            let took = started.elapsed();
            in_a_row = match took {
                short if short < VISIT / 2 => (in_a_row * 2).min(4096),
                long if long > VISIT * 2 => (in_a_row / 2).max(1),
                _ => in_a_row,
            };
            if told.elapsed() >= TELL || course.position == count {
                told = Instant::now();
                self.tell(course, context);
            }
        }
        Ok(())
    }

    fn tell(&self, course: &Course, context: &mut Context<'_>) {
        let (count, epochs) = (self.prepared.train.rows() as u64, self.fit.settings.epochs);
        context.observer.step(Progress {
            epoch: course.epoch,
            epochs,
            rows_done: course.epoch as u64 * count + course.position as u64,
            rows_total: epochs as u64 * count,
        });
    }

    /// Metrics, early stopping and a checkpoint; whether the training is over.
    fn end_epoch(
        &self,
        engine: &mut dyn Engine,
        course: &mut Course,
        context: &mut Context<'_>,
    ) -> Result<bool, Error> {
        let loss = course.loss / course.weight.max(f64::MIN_POSITIVE);
        let mut metrics = vec![Metric { name: "train:objective_loss".into(), value: loss }];
        let mut watched = loss;
        let mut weights = None;
        if let Some(validation) = &self.prepared.validation {
            let network = self.network(weights.insert(engine.weights()));
            let found = self.pool.install(|| self.measure(&network, validation))?;
            watched = found[0].value;
            metrics.extend(found);
        }
        context.observer.epoch(course.epoch, &metrics);
        if !watched.is_finite() {
            return Err(self.diverged(course.epoch));
        }
        let verdict = course.stopping.hear(watched);
        if verdict.best {
            course.best = weights;
        }
        course.advance();
        self.over(verdict.stop, engine, course, context)
    }

    fn over(
        &self,
        stop: bool,
        engine: &mut dyn Engine,
        course: &Course,
        context: &mut Context<'_>,
    ) -> Result<bool, Error> {
        let over = stop || course.epoch >= self.fit.settings.epochs;
        if !over && context.checkpoints.due() {
            self.save(engine, course, context)?;
        }
        Ok(over)
    }

    fn save(
        &self,
        engine: &mut dyn Engine,
        course: &Course,
        context: &mut Context<'_>,
    ) -> Result<(), Error> {
        let weights = engine.weights();
        let (steps, moments) = engine.moments();
        let learned = Learned { weights, steps, moments };
        let files = checkpoint::files(&self.job, &self.prepared.shape, course, &learned);
        context.checkpoints.save(&files)
    }

    fn network(&self, weights: &Weights) -> Network {
        Network::new(&self.prepared.shape, weights, self.prepared.standardiser.clone())
    }

    /// The metrics of a channel, the objective first.
    fn measure(&self, network: &Network, channel: &Channel<'_>) -> Result<Vec<Metric>, Error> {
        let (settings, width) = (&self.fit.settings, self.prepared.shape.outputs);
        let mut outputs = channel.features.map(|rows| network.outputs_in_parallel(rows))?;
        let objective = self.objective(&outputs, channel);
        let weight = channel.weight.as_deref();
        Ok(match &channel.targets {
            Targets::Number(targets) => {
                let LabelScale { mean, deviation } = self.prepared.label;
                let real = |value: &f32| value * deviation + mean;
                let scores: Vec<f32> = outputs.iter().map(real).collect();
                let targets: Vec<f32> = targets.iter().map(real).collect();
                rows_of(channel, &scores, weight, objective).regression(&targets)
            }
            Targets::Class(codes) => {
                outputs.chunks_exact_mut(width).for_each(|row| {
                    softmax(row);
                });
                if settings.task == Task::BinaryClassification {
                    let scores: Vec<f32> = outputs.chunks_exact(2).map(|row| row[1]).collect();
                    let positive: Vec<bool> = codes.iter().map(|code| *code == 1).collect();
                    drop(outputs);
                    let rows = rows_of(channel, &scores, weight, objective);
                    return Ok(rows.binary(&positive, THRESHOLD, settings.f_beta));
                }
                rows_of(channel, &outputs, weight, objective).multiclass(
                    codes,
                    width,
                    settings.top_k,
                    settings.f_beta,
                )
            }
        })
    }

    /// The mean loss of a channel, of labels as the network learns them.
    fn objective(&self, outputs: &[f32], channel: &Channel<'_>) -> f64 {
        let width = self.prepared.shape.outputs;
        let rows: Vec<u32> = (0..channel.rows() as u32).collect();
        let mut slopes = outputs.to_vec();
        let weight = channel.weight.as_deref();
        let sum =
            self.fit.settings.loss.slopes(&mut slopes, width, &rows, &channel.targets, weight, 0.0);
        let total = weight.map_or(rows.len() as f64, |w| w.iter().map(|w| f64::from(*w)).sum());
        sum / total.max(f64::MIN_POSITIVE)
    }

    fn diverged(&self, epoch: usize) -> Error {
        Error::Diverged {
            what: format!("the loss stopped being a finite number in epoch {}", epoch + 1),
            help: format!(
                "lower learning_rate (now {}), set gradient_clip_norm = 1, or keep normalize_data = true",
                self.fit.settings.rate
            ),
        }
    }

    fn finish(&self, mut weights: Weights, epochs: usize) -> Result<Fitted, Error> {
        let prepared = self.prepared;
        let finite = |layer: &super::network::Layer| {
            layer.weight.iter().chain(&layer.bias).all(|number| number.is_finite())
        };
        if !weights.layers.iter().all(finite) {
            return Err(self.diverged(epochs.saturating_sub(1)));
        }
        let network = self.network(&weights);
        let channels =
            [Some(&prepared.train), prepared.validation.as_ref(), prepared.test.as_ref()];
        prepared.train.features.rest();
        let mut metrics = Vec::new();
        for channel in channels.into_iter().flatten() {
            metrics.extend(self.pool.install(|| self.measure(&network, channel))?);
        }
        prepared.label.undo(&mut weights);
        let task = self.fit.settings.task;
        Ok(Fitted {
            files: predict::files(&prepared.shape, &weights, &prepared.standardiser),
            signature: Signature {
                columns: prepared.columns.clone(),
                labels: prepared.classes.as_ref().map(|classes| classes.names().clone()),
                threshold: (task == Task::BinaryClassification).then_some(THRESHOLD),
                ..Signature::of(prepared.shape.inputs, task)
            },
            metrics,
            epochs,
        })
    }
}

/// Scores at or above this are the positive class.
const THRESHOLD: f32 = 0.5;

fn rows_of<'r>(
    channel: &'r Channel<'_>,
    scores: &'r [f32],
    weight: Option<&'r [f32]>,
    objective_loss: f64,
) -> metric::Rows<'r> {
    metric::Rows { channel: channel.name, scores, weight, objective_loss }
}

impl Course {
    /// On to the next epoch.
    fn advance(&mut self) {
        self.epoch += 1;
        self.position = 0;
        self.loss = 0.0;
        self.weight = 0.0;
    }
}

impl LabelScale {
    /// Lets the last layer answer in the label's own unit.
    fn undo(self, weights: &mut Weights) {
        let last = weights.layers.last_mut().expect("a network has a last layer");
        last.weight.iter_mut().for_each(|w| *w *= self.deviation);
        last.bias.iter_mut().for_each(|b| *b = *b * self.deviation + self.mean);
    }
}
