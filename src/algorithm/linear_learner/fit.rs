//! From channels to a chosen model: labels, standardisation, training, choice, threshold, report.

use burn::tensor::Device;
use ndarray::{Array2, Axis, Slice};

use super::candidate::candidates;
use super::feed::{Feed, Truth};
use super::loss::{Loss, Target};
use super::model::Linear;
use super::optimise::{matrix, read};
use super::settings::{ClassWeights, Settings};
use super::train::{self, Trained, train};
use crate::algorithm::calibrate::{Threshold, threshold};
use crate::algorithm::label::{Classes, balanced, counts, targets};
use crate::algorithm::metric::Rows;
use crate::algorithm::parameter::Checked;
use crate::algorithm::standardise::{Standardiser, refuse_infinite_in};
use crate::algorithm::{Channels, Context, Error, Features, Fitted, Metric, Trainer};
use crate::data::{Dataset, Signature, Task};
use crate::spec::limit::LINEAR_ENTRIES_MAX;

/// A checked set of parameters, ready to fit.
#[derive(Debug)]
pub(super) struct Fit {
    /// What they come to.
    pub(super) settings: Settings,
    /// As they were written, for the manifest.
    pub(super) checked: Checked,
}

/// One channel with its labels understood.
struct Channel<'a> {
    name: &'static str,
    data: &'a Dataset,
    truth: Truth,
    /// Row weight times class weight; the mean over `train` is 1.
    weight: Vec<f32>,
}

/// What the labels of `train` settle for every channel.
struct Domain {
    classes: Option<Classes>,
    /// Weight of each class; empty for a regression.
    class_weight: Vec<f32>,
    /// Regression: taken away from labels, and divided by, while training.
    mean: f64,
    scale: f64,
}

impl Trainer for Fit {
    fn effective(&self) -> serde_json::Map<String, serde_json::Value> {
        self.checked.effective()
    }

    fn streams(&self) -> bool {
        true
    }

    fn fit(&self, data: &Channels, context: &mut Context<'_>) -> Result<Fitted, Error> {
        let settings = &self.settings;
        self.check_features(data)?;
        let scaler = Standardiser::learn_from(Features::of(&data.train), "train")?
            .keeping(settings.features);
        let (domain, channels) = self.channels(data)?;
        let trained = self.train(&domain, &channels, &scaler, context)?;
        let models = self.models(&trained, &domain, &scaler);
        let judge = channels.iter().find(|one| one.name == "validation").unwrap_or(&channels[0]);
        let (linear, cut) = self.choose(&trained, models, judge)?;
        let mut metrics = Vec::new();
        for channel in &channels {
            metrics.extend(self.report(&linear, cut, channel, &domain)?);
        }
        let signature = Signature {
            columns: data.train.columns.to_vec(),
            labels: domain.classes.as_ref().map(|classes| classes.names().clone()),
            threshold: (settings.task == Task::BinaryClassification).then_some(cut.at),
            ..Signature::of(data.train.width(), settings.task)
        };
        Ok(Fitted { files: linear.files(), signature, metrics, epochs: trained.epochs })
    }
}

impl Fit {
    fn check_features(&self, data: &Channels) -> Result<(), Error> {
        let width = data.train.width();
        if width == 0 {
            return Err(Error::Data {
                what: "channel train has no feature columns".into(),
                help: "give at least one column beside the label".into(),
            });
        }
        if let Some(wanted) = self.settings.feature_dim
            && wanted != width
        {
            return Err(Error::Data {
                what: format!("channel train has {width} features and feature_dim is {wanted}"),
                help: format!("set feature_dim = {width} or leave it out"),
            });
        }
        for (name, other) in [("validation", &data.validation), ("test", &data.test)] {
            let Some(other) = other else { continue };
            let found = other.width();
            if found != width {
                return Err(Error::Data {
                    what: format!("channel {name} has {found} features and channel train {width}"),
                    help: "give both channels the same columns".into(),
                });
            }
            refuse_infinite_in(Features::of(other), name)?;
        }
        Ok(())
    }

    /// The channels in the order they are reported, `train` first.
    fn channels<'a>(&self, data: &'a Channels) -> Result<(Domain, Vec<Channel<'a>>), Error> {
        let domain = self.domain(&data.train)?;
        let all = [
            ("train", Some(&data.train)),
            ("validation", data.validation.as_ref()),
            ("test", data.test.as_ref()),
        ];
        let mut channels = Vec::new();
        for (name, data) in all {
            if let Some(data) = data {
                channels.push(self.channel(&domain, name, data)?);
            }
        }
        let sum: f64 = channels[0].weight.iter().map(|weight| f64::from(*weight)).sum();
        if sum <= 0.0 {
            return Err(Error::Data {
                what: "every row of channel train has weight 0".into(),
                help: "give some rows a weight above 0".into(),
            });
        }
        let mean = (sum / channels[0].weight.len() as f64) as f32;
        for channel in &mut channels {
            channel.weight.iter_mut().for_each(|weight| *weight /= mean);
        }
        Ok((domain, channels))
    }

    fn domain(&self, data: &Dataset) -> Result<Domain, Error> {
        let mut domain = Domain { classes: None, class_weight: Vec::new(), mean: 0.0, scale: 1.0 };
        if self.settings.task == Task::Regression {
            let labels = targets(data, "train")?;
            let column = Array2::from_shape_vec((labels.len(), 1), labels)
                .expect("one column has as many values as rows");
            let scaler = Standardiser::learn(&column, "train")?.keeping(self.settings.labels);
            domain.mean = f64::from(scaler.mean()[0]);
            // Labels that are all the same are learned as they are.
            let scale = scaler.scale()[0];
            domain.scale = if scale > 0.0 { 1.0 / f64::from(scale) } else { 1.0 };
            return Ok(domain);
        }
        let classes = Classes::learn(data, "train", self.settings.classes)?;
        let counts = counts(&classes.codes(data, "train")?, classes.count());
        domain.class_weight = match self.settings.class_weights {
            ClassWeights::Even => vec![1.0; classes.count()],
            ClassWeights::Positive(weight) => vec![1.0, weight as f32],
            ClassWeights::Balanced => balanced(&counts),
        };
        domain.classes = Some(classes);
        Ok(domain)
    }

    fn channel<'a>(
        &self,
        domain: &Domain,
        name: &'static str,
        data: &'a Dataset,
    ) -> Result<Channel<'a>, Error> {
        let mut weight = row_weights(data, name)?;
        let truth = match &domain.classes {
            None => Truth::Number(targets(data, name)?),
            Some(classes) => {
                let codes = classes.codes(data, name)?;
                for (weight, code) in weight.iter_mut().zip(&codes) {
                    *weight *= domain.class_weight[*code as usize];
                }
                match self.settings.task {
                    Task::BinaryClassification => Truth::Number(
                        codes.iter().map(|code| if *code == 1 { 1.0 } else { -1.0 }).collect(),
                    ),
                    _ => Truth::Class { codes, classes: classes.count() },
                }
            }
        };
        Ok(Channel { name, data, truth, weight })
    }

    fn train(
        &self,
        domain: &Domain,
        channels: &[Channel<'_>],
        scaler: &Standardiser,
        context: &mut Context<'_>,
    ) -> Result<Trained, Error> {
        let width = scaler.width();
        let outputs = outputs(&channels[0].truth);
        let batch_rows = self.batch_rows(channels[0].data.rows());
        let entries = outputs.saturating_mul(width.max(batch_rows));
        if entries.saturating_mul(self.settings.models.unwrap_or(1)) > LINEAR_ENTRIES_MAX {
            return Err(Error::Data {
                what: format!(
                    "{outputs} outputs for {width} features and batches of {batch_rows} rows are more than {LINEAR_ENTRIES_MAX} numbers"
                ),
                help: "lower num_models or mini_batch_size, or use fewer classes or features"
                    .into(),
            });
        }
        let candidates = candidates(&self.settings, entries);
        let validation = channels.iter().find(|one| one.name == "validation");
        let task = train::Task {
            settings: &self.settings,
            loss: self.settings.loss.divided_by(domain.scale),
            unit: self.settings.loss.unit(domain.scale),
            train: domain.feed(&channels[0], scaler),
            validation: validation.map(|channel| domain.feed(channel, scaler)),
            candidates,
            outputs,
            batch_rows,
            fingerprint: self.fingerprint(channels, context.seed),
        };
        train(&task, context)
    }

    /// See `mini_batch_size` in the table.
    fn batch_rows(&self, rows: usize) -> usize {
        let auto = || (rows / 32).clamp(16, 1000);
        self.settings.batch_rows.unwrap_or_else(auto).clamp(1, rows)
    }

    /// What a checkpoint must belong to: parameters, seed, and every number of the channels that
    /// steer the training.
    fn fingerprint(&self, channels: &[Channel<'_>], seed: u64) -> u64 {
        // FNV-1a over words; it guards against mistakes, not against an enemy.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add =
            |word: u64| hash = (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        let written = serde_json::Value::from(self.checked.effective()).to_string();
        written.bytes().for_each(|byte| add(u64::from(byte)));
        add(seed);
        for channel in channels.iter().filter(|one| one.name != "test") {
            add(channel.data.rows() as u64);
            // What is on disk is known by its digest to whoever keeps checkpoints.
            channel.data.features.iter().for_each(|value| add(u64::from(value.to_bits())));
            channel.weight.iter().for_each(|value| add(u64::from(value.to_bits())));
            match &channel.truth {
                Truth::Number(values) => values.iter().for_each(|v| add(u64::from(v.to_bits()))),
                Truth::Class { codes, .. } => codes.iter().for_each(|code| add(u64::from(*code))),
            }
        }
        hash
    }

    /// The candidates as models for raw rows and labels; `None` for one that diverged.
    fn models(
        &self,
        trained: &Trained,
        domain: &Domain,
        scaler: &Standardiser,
    ) -> Vec<Option<Linear>> {
        let count = trained.losses.len();
        let columns = trained.weight.len() / scaler.width();
        let outputs = columns / count;
        let (scale, mean) = (domain.scale as f32, domain.mean as f32);
        let model = |model: usize| {
            let own = model * outputs..(model + 1) * outputs;
            let weight: Vec<f32> = trained
                .weight
                .chunks_exact(columns)
                .flat_map(|row| row[own.clone()].iter().map(|weight| weight * scale))
                .collect();
            let bias = match trained.bias.get(own.clone()) {
                Some(bias) => bias.iter().map(|bias| bias * scale + mean).collect(),
                None => vec![mean; outputs],
            };
            let linear = Linear::new(self.settings.task, scaler.clone(), weight, bias);
            (trained.losses[model].is_finite() && linear.is_finite()).then_some(linear)
        };
        (0..count).map(model).collect()
    }

    /// The best model on `judge`, and its threshold. By the criterion for two classes, by loss
    /// otherwise and among equals; of those the first.
    fn choose(
        &self,
        trained: &Trained,
        models: Vec<Option<Linear>>,
        judge: &Channel<'_>,
    ) -> Result<(Linear, Threshold), Error> {
        let rows = self.settings.calibration_rows.unwrap_or(usize::MAX).min(judge.data.rows());
        let features = Features::of(judge.data);
        let scores = |linear: &Linear| match features {
            Features::Whole(all) => {
                Ok(linear.scores(&all.slice_axis(Axis(0), Slice::from(..rows))))
            }
            paged => paged.map(|rows| linear.scores(rows)),
        };
        let weight = judge.data.weight.as_ref().map(|weight| &weight[..rows]);
        let mut best: Option<(usize, Linear, Threshold)> = None;
        for (at, linear) in models.into_iter().enumerate() {
            let Some(linear) = linear else { continue };
            let cut = match &judge.truth {
                Truth::Number(signs) if self.settings.task == Task::BinaryClassification => {
                    let positive: Vec<bool> =
                        signs[..rows].iter().map(|sign| *sign > 0.0).collect();
                    let scores = &scores(&linear)?[..rows];
                    threshold(self.settings.criterion, scores, &positive, weight)
                }
                _ => Threshold::HALF,
            };
            let better = best.as_ref().is_none_or(|(held, _, held_cut)| {
                let by_loss = trained.losses[at] < trained.losses[*held];
                let (rank, held_rank) = ((cut.met, cut.reached), (held_cut.met, held_cut.reached));
                rank > held_rank || (rank == held_rank && by_loss)
            });
            if better {
                best = Some((at, linear, cut));
            }
        }
        let (at, linear, cut) = best.ok_or_else(|| Error::Diverged {
            what: "no model has finite weights".into(),
            help: "lower hyperparameters.learning_rate".into(),
        })?;
        tracing::info!(
            model = at + 1,
            models = trained.losses.len(),
            loss = trained.losses[at],
            threshold = cut.at,
            "linear model chosen"
        );
        Ok((linear, cut))
    }

    /// The final metrics of a channel, from scores as the model will answer them.
    fn report(
        &self,
        linear: &Linear,
        cut: Threshold,
        channel: &Channel<'_>,
        domain: &Domain,
    ) -> Result<Vec<Metric>, Error> {
        let scores = Features::of(channel.data).map(|rows| linear.scores(rows))?;
        let rows = Rows {
            channel: channel.name,
            scores: &scores,
            weight: channel.data.weight.as_deref(),
            objective_loss: objective(self.settings.loss, linear, channel)?,
        };
        Ok(match &channel.truth {
            Truth::Class { codes, .. } => {
                let classes = domain.classes.as_ref().map_or(0, Classes::count);
                rows.multiclass(codes, classes, self.settings.top_k, self.settings.beta)
            }
            Truth::Number(values) if self.settings.task == Task::Regression => {
                rows.regression(values)
            }
            Truth::Number(signs) => {
                let positive: Vec<bool> = signs.iter().map(|sign| *sign > 0.0).collect();
                rows.binary(&positive, cut.at, self.settings.beta)
            }
        })
    }
}

impl Domain {
    fn feed<'a>(&self, channel: &'a Channel<'_>, scaler: &'a Standardiser) -> Feed<'a> {
        Feed {
            features: Features::of(channel.data),
            scaler,
            truth: self.inward(&channel.truth),
            weight: channel.weight.clone(),
        }
    }

    /// Labels as the training sees them.
    fn inward(&self, truth: &Truth) -> Truth {
        match truth {
            Truth::Number(values) if self.classes.is_none() => {
                let inward = |value: &f32| ((f64::from(*value) - self.mean) / self.scale) as f32;
                Truth::Number(values.iter().map(inward).collect())
            }
            other => other.clone(),
        }
    }
}

fn outputs(truth: &Truth) -> usize {
    match truth {
        Truth::Number(_) => 1,
        Truth::Class { classes, .. } => *classes,
    }
}

fn row_weights(data: &Dataset, name: &str) -> Result<Vec<f32>, Error> {
    let Some(weight) = &data.weight else { return Ok(vec![1.0; data.rows()]) };
    let bad = weight.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0));
    if let Some(row) = bad {
        return Err(Error::Data {
            what: format!("row {} of channel {name} has weight {}", row + 1, weight[row]),
            help: "a weight is a finite number, at least 0".into(),
        });
    }
    Ok(weight.clone())
}

/// Margins turned into tensors at once.
const OBJECTIVE_ROWS: usize = 8192;

/// The mean objective over a channel, in the units of its labels, on the CPU.
fn objective(loss: Loss, linear: &Linear, channel: &Channel<'_>) -> Result<f64, Error> {
    let device = Device::flex();
    let margins = Features::of(channel.data).map(|rows| linear.margins(rows))?;
    let outputs = linear.outputs();
    let (mut sum, mut total) = (0.0, 0.0);
    for from in (0..channel.data.rows()).step_by(OBJECTIVE_ROWS) {
        let range = from..(from + OBJECTIVE_ROWS).min(channel.data.rows());
        let count = range.len();
        let value = match &channel.truth {
            Truth::Number(values) => matrix(values[range.clone()].to_vec(), [count, 1], &device),
            Truth::Class { codes, classes } => {
                let mut values = vec![0.0; count * classes];
                for (out, code) in values.chunks_exact_mut(*classes).zip(&codes[range.clone()]) {
                    out[*code as usize] = 1.0;
                }
                matrix(values, [count, *classes], &device)
            }
        };
        let weight = channel.weight[range.clone()].to_vec();
        total += weight.iter().map(|weight| f64::from(*weight)).sum::<f64>();
        let target = Target { value, weight: matrix(weight, [count, 1], &device) };
        let own = margins[range.start * outputs..range.end * outputs].to_vec();
        let margins = matrix(own, [count, outputs], &device);
        sum += read(&loss.sum(margins, &target, 1))?.iter().map(|l| f64::from(*l)).sum::<f64>();
    }
    Ok(if total > 0.0 { sum / total } else { 0.0 })
}
