//! The training: passes over the logins in batches, each beside pairs that were not seen, and what
//! the model tells apart in the end.

use serde::{Deserialize, Serialize};

use super::logins::{Login, Logins, Negatives};
use super::model::Model;
use super::settings::Settings;
use super::step::Learner;
use crate::algorithm::metric::roc_auc;
use crate::algorithm::net::random::{Purpose, Stream};
use crate::algorithm::weights::{Reader, Writer};
use crate::algorithm::{Channels, Context, Error, Files, Fitted, Metric, Progress, unsupervised};
use crate::data::schema::{Cells, Signature};
use crate::data::{Task, login};

const STATE_FILE: &str = "state.json";
const NUMBERS_FILE: &str = "state.safetensors";
const FORMAT: &str = "smrt ip-insights checkpoint 1";
/// The stream of the pairs that a channel is measured with: beyond every step.
const MEASURED: u64 = 1 << 63;

/// `state.json`: where a training is.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stands {
    /// Which job: parameters, seed and shape of the data.
    job: String,
    epoch: usize,
    /// Rows of the epoch that were learned from.
    position: usize,
    step: u64,
    /// Of this epoch, each batch's mean loss times its rows.
    loss: f64,
}

/// Fits a model to the train channel.
///
/// # Errors
/// `Error::Data` for channels that hold no logins, `Error::Diverged`, `Error::Checkpoint`, or
/// `Error::Stopped`.
pub(super) fn fit(
    settings: &Settings,
    data: &Channels,
    context: &mut Context<'_>,
) -> Result<Fitted, Error> {
    let train = Logins::of(&data.train, "train", settings.buckets)?;
    let entities = train.entities()?;
    if entities.len() < 2 && settings.random == 0 {
        return Err(Error::Data {
            what: "channel train has one entity, and every pair of the batch is its own".into(),
            help: "give logins of several entities, or set random_negative_sampling_rate = 1"
                .into(),
        });
    }
    let number = |login: &Login| {
        entities.binary_search(&login.entity).expect("every login's entity was listed") as u32
    };
    let mut learner = Learner::new(
        entities.len(),
        settings.dim,
        settings.layers,
        settings.decay,
        settings.rate,
        context.seed,
        &context.device,
    );
    let job = format!(
        "{} seed {} rows {} entities {}",
        serde_json::Value::Object(settings.effective.clone()),
        context.seed,
        train.count(),
        entities.len()
    );
    let mut stands = Stands { job, epoch: 0, position: 0, step: 0, loss: 0.0 };
    if let Some(files) = context.checkpoints.take() {
        stands = resume(&files, &stands.job, &mut learner)?;
    }
    let batch_rows = settings.batch_rows(train.count());
    let validation = data.validation.as_ref();
    let validation = validation
        .map(|v| {
            let logins = Logins::of(v, "validation", settings.buckets)?;
            logins.measured(settings.made_up(), context.seed)
        })
        .transpose()?;
    while stands.epoch < settings.epochs {
        let order = train.order(context.seed, stands.epoch);
        for batch in order[stands.position..].chunks(batch_rows) {
            if (context.stop)() {
                context.checkpoints.save(&checkpoint(&stands, &learner))?;
                return Err(Error::Stopped);
            }
            let some = train.batch(batch)?;
            let numbers: Vec<u32> = some.iter().map(number).collect();
            let mut stream = Stream::new(context.seed, Purpose::Negatives, stands.step);
            let negatives = Negatives::draw(&some, settings.random, settings.shuffled, &mut stream);
            let loss = learner.step(&some, &numbers, &negatives);
            if !loss.is_finite() {
                return Err(Error::Diverged {
                    what: format!("the loss stopped being a number in epoch {}", stands.epoch + 1),
                    help: format!("lower learning_rate (now {})", settings.rate),
                });
            }
            stands.step += 1;
            stands.position += batch.len();
            stands.loss += loss * batch.len() as f64;
            if stands.step.is_multiple_of(settings.publish) {
                tracing::info!(step = stands.step, loss, "batch learned");
            }
            context.observer.step(Progress {
                epoch: stands.epoch,
                epochs: settings.epochs,
                rows_done: (stands.epoch * train.count() + stands.position) as u64,
                rows_total: (settings.epochs * train.count()) as u64,
            });
        }
        let mut metrics = vec![Metric {
            name: "train:objective_loss".into(),
            value: stands.loss / train.count() as f64,
        }];
        if let Some(validation) = &validation {
            let model = model(settings, &entities, &learner);
            let measured = Measured::of(&model, validation, settings, context.seed);
            metrics.extend(measured.metric("validation"));
        }
        context.observer.epoch(stands.epoch, &metrics);
        stands = Stands { epoch: stands.epoch + 1, position: 0, loss: 0.0, ..stands };
        if stands.epoch < settings.epochs && context.checkpoints.due() {
            context.checkpoints.save(&checkpoint(&stands, &learner))?;
        }
    }
    let model = model(settings, &entities, &learner);
    let mut metrics = Vec::new();
    let mut threshold = None;
    for (name, channel) in unsupervised::named(data) {
        let logins = Logins::of(channel, name, settings.buckets)?;
        let logins = logins.measured(settings.made_up(), context.seed)?;
        let measured = Measured::of(&model, &logins, settings, context.seed);
        metrics.extend(measured.metric(name));
        // The training rows first, then better ones: those it has not learned.
        if name != "test" {
            threshold = measured.threshold();
        }
    }
    let signature = Signature {
        cells: Cells::Login,
        threshold,
        ..Signature::of(login::WIDTH, Task::AnomalyDetection)
    };
    Ok(Fitted { files: model.files(), signature, metrics, epochs: settings.epochs })
}

fn model(settings: &Settings, entities: &[u64], learner: &Learner) -> Model {
    let (entities, vectors) = (entities.to_vec(), learner.vectors.values.clone());
    Model::new(settings.buckets, entities, vectors, learner.weights.clone())
}

/// The scores of a channel's logins, and of pairs that were made up beside them.
struct Measured {
    scores: Vec<f32>,
    seen: Vec<bool>,
}

impl Measured {
    fn of(model: &Model, logins: &[Login], settings: &Settings, seed: u64) -> Measured {
        let mut stream = Stream::new(seed, Purpose::Negatives, MEASURED);
        let made_up = Negatives::draw(logins, settings.random, settings.shuffled, &mut stream);
        let own = logins.iter().cycle();
        let mut pairs: Vec<Login> = logins.to_vec();
        pairs.extend(
            own.zip(&made_up.random).map(|(login, address)| Login { address: *address, ..*login }),
        );
        for round in &made_up.shuffled {
            let given = logins.iter().zip(round).filter_map(|(login, other)| {
                let address = logins[(*other)? as usize].address;
                Some(Login { address, ..*login })
            });
            pairs.extend(given);
        }
        let seen = (0..pairs.len()).map(|at| at < logins.len()).collect();
        Measured { scores: model.scores(&pairs), seen }
    }

    fn metric(&self, channel: &str) -> Option<Metric> {
        let value = roc_auc(&self.scores, &self.seen, None)?;
        Some(Metric { name: format!("{channel}:discriminator_auc"), value })
    }

    /// The score that tells logins from made-up pairs best: most of the logins at or above it and
    /// fewest of the others (Youden's index). The lowest of equals.
    fn threshold(&self) -> Option<f32> {
        let logins = self.seen.iter().filter(|seen| **seen).count() as f64;
        let others = self.seen.len() as f64 - logins;
        let mut order: Vec<usize> = (0..self.scores.len()).collect();
        order.sort_by(|a, b| self.scores[*b].total_cmp(&self.scores[*a]));
        let (mut right, mut wrong) = (0.0, 0.0);
        let mut best = (f64::NEG_INFINITY, None);
        for (at, number) in order.iter().enumerate() {
            *(if self.seen[*number] { &mut right } else { &mut wrong }) += 1.0;
            let score = self.scores[*number];
            let next = order.get(at + 1).map(|number| self.scores[*number]);
            let index = right / logins.max(1.0) - wrong / others.max(1.0);
            if next != Some(score) && index >= best.0 {
                best = (index, Some(score));
            }
        }
        best.1
    }
}

fn checkpoint(stands: &Stands, learner: &Learner) -> Files {
    let (count, dim) = (learner.vectors.steps.len(), learner.vectors.dim);
    let mut numbers = Writer::new(FORMAT);
    let vectors = &learner.vectors;
    numbers
        .f32("entity.weight", &[count, dim], &vectors.values)
        .f32("entity.first", &[count, dim], &vectors.first)
        .f32("entity.second", &[count, dim], &vectors.second)
        .u64("entity.steps", &[count], &vectors.steps)
        .u64("optimizer.steps", &[1], &[learner.optimizer.steps]);
    for (at, (weight, bias)) in learner.weights.layers.iter().enumerate() {
        for (name, values, slot) in [("weight", weight, 2 * at), ("bias", bias, 2 * at + 1)] {
            let moments = &learner.optimizer.moments[slot];
            let length = [values.len()];
            numbers.f32(&format!("encoder.{at}.{name}"), &length, values);
            numbers.f32(&format!("encoder.{at}.{name}.first"), &length, &moments.first);
            numbers.f32(&format!("encoder.{at}.{name}.second"), &length, &moments.second);
        }
    }
    let stands = serde_json::to_vec(stands).expect("a state is plain numbers and text");
    Files::from([(STATE_FILE.to_owned(), stands), (NUMBERS_FILE.to_owned(), numbers.finish())])
}

fn resume(files: &Files, job: &str, learner: &mut Learner) -> Result<Stands, Error> {
    let foreign = |what: &str| Error::Checkpoint {
        what: format!("the checkpoint {what}"),
        help: "train without --resume, or with the job and data it was made by".into(),
    };
    let bytes = files.get(STATE_FILE).ok_or_else(|| foreign("has no state.json"))?;
    let stands: Stands =
        serde_json::from_slice(bytes).map_err(|_| foreign("has a state.json that is damaged"))?;
    let (count, dim) = (learner.vectors.steps.len(), learner.vectors.dim);
    if stands.job != job {
        return Err(foreign("was made with other parameters, seed or data"));
    }
    let reader = Reader::of(files, NUMBERS_FILE, FORMAT)?;
    let vectors = &mut learner.vectors;
    vectors.values = reader.f32("entity.weight", &[count, dim])?;
    vectors.first = reader.f32("entity.first", &[count, dim])?;
    vectors.second = reader.f32("entity.second", &[count, dim])?;
    vectors.steps = reader.u64("entity.steps", &[count])?;
    learner.optimizer.steps = reader.u64("optimizer.steps", &[1])?[0];
    for (at, (weight, bias)) in learner.weights.layers.iter_mut().enumerate() {
        for (name, values, slot) in [("weight", weight, 2 * at), ("bias", bias, 2 * at + 1)] {
            let length = [values.len()];
            let moments = &mut learner.optimizer.moments[slot];
            *values = reader.f32(&format!("encoder.{at}.{name}"), &length)?;
            moments.first = reader.f32(&format!("encoder.{at}.{name}.first"), &length)?;
            moments.second = reader.f32(&format!("encoder.{at}.{name}.second"), &length)?;
        }
    }
    Ok(stands)
}
