//! Cross-validation inside a job: `_kfold` and `_num_cv_round` of SageMaker's container.
//!
//! Rows of `train` and `validation` are put together and parted anew in each round, by class for
//! a classification; for each part a model learns from the others and is measured on it. All
//! models are kept (`xgboost-model-0`, …) and answer together. Reported are the mean and the
//! standard deviation (`validation:auc_std`) over them. Unlike the container, which measures on
//! the whole channels, `validation` here is the part that was held out.

use super::boost::{self, Boosted};
use super::draw::Draw;
use super::ensemble;
use super::labels::Prepared;
use super::settings::{Folds, Settings};
use crate::algorithm::{
    Channels, Checkpoints, Context, Error, Files, Fitted, Metric, Observer, Progress,
};
use crate::data::{Dataset, Labels};
use ndarray::{Axis, concatenate};

/// File name of a fold's model in the archive.
fn file(fold: usize) -> String {
    format!("{}-{fold}", ensemble::MODEL_FILE)
}

/// Fits a model for each part.
///
/// # Errors
/// As [`boost::fit`]; and when there are fewer rows than parts.
pub fn fit(
    settings: &Settings,
    folds: Folds,
    data: &Channels,
    context: &mut Context<'_>,
) -> Result<Fitted, Error> {
    let all = joined(&data.train, data.validation.as_ref())?;
    if all.rows() < folds.parts {
        return Err(Error::Data {
            what: format!("{} rows cannot be parted into {} folds", all.rows(), folds.parts),
            help: "lower _kfold".into(),
        });
    }
    let prepared = Prepared::learn(&settings.objective, &all)?;
    let labels = prepared.labels(&settings.objective, &all, "train")?;
    let total = folds.parts * folds.rounds;
    let mut done = Files::new();
    let mut state = context.checkpoints.take();
    if let Some(state) = &mut state {
        let finished = |name: &String| name.starts_with(DONE);
        let names: Vec<String> = state.keys().filter(|name| finished(name)).cloned().collect();
        for name in names {
            done.extend(state.remove(&name).map(|bytes| (name[DONE.len()..].to_owned(), bytes)));
        }
    }
    let mut metrics: Vec<Vec<Metric>> = Vec::new();
    let mut epochs = 0;
    for number in 0..total {
        let round = number / folds.parts;
        if let (Some(_), Some(kept)) = (done.get(&file(number)), done.get(&figures(number))) {
            let found = serde_json::from_slice(kept).map_err(|_| Error::Checkpoint {
                what: format!("the figures of fold {number} are damaged"),
                help: "train without --resume".into(),
            })?;
            metrics.push(found);
            continue;
        }
        tracing::info!("Train cross validation fold {}", number % folds.parts + 1);
        let parts = parts(settings, folds.parts, &labels, context.seed, round);
        let held: Vec<bool> = parts.iter().map(|part| *part == number % folds.parts).collect();
        let channels = Channels {
            train: taken(&all, |row| !held[row]),
            validation: Some(taken(&all, |row| held[row])),
            test: None,
        };
        let mut observer = Folding { inner: context.observer, number, total };
        let mut shelf = Shelf { inner: context.checkpoints, done: &done, given: state.take() };
        let boosted = boost::fit(
            settings,
            &channels,
            None,
            &mut Context {
                device: context.device.clone(),
                threads: context.threads,
                seed: context.seed ^ (number as u64).rotate_left(48),
                stop: context.stop,
                observer: &mut observer,
                checkpoints: &mut shelf,
            },
        )?;
        let Boosted { model, metrics: found, .. } = boosted;
        epochs += model.rounds.len() - 1;
        let kept = serde_json::to_vec(&found).expect("metrics are names and numbers");
        done.insert(file(number), model.to_ubjson());
        done.insert(figures(number), kept);
        metrics.push(found);
        if (number + 1) % folds.parts == 0 {
            tracing::info!("The metrics of round {} cross validation", round + 1);
            tracing::info!("{}", line(settings, &metrics[number + 1 - folds.parts..]));
        }
    }
    if folds.rounds > 1 {
        tracing::info!("The overall metrics of {}-round cross validation", folds.rounds);
        tracing::info!("{}", line(settings, &metrics));
    }
    let mut summed = means(&metrics);
    let files: Files = done.into_iter().filter(|(name, _)| !name.starts_with(FIGURES)).collect();
    let models = super::models(&files)?;
    let signature = boost::signature(&models[0], &all, &prepared);
    if let Some(test) = &data.test {
        let of_each: Result<Vec<_>, _> =
            models.iter().map(|model| boost::of_test(settings, model, test, &prepared)).collect();
        summed.extend(means(&of_each?));
    }
    Ok(Fitted { files, signature, metrics: summed, epochs })
}

/// Marks files of finished folds in a checkpoint.
const DONE: &str = "done/";
/// Marks the figures of a fold.
const FIGURES: &str = "figures-";

fn figures(fold: usize) -> String {
    format!("{FIGURES}{fold}")
}

/// The part of each row; classes are spread evenly.
fn parts(settings: &Settings, count: usize, labels: &[f32], seed: u64, round: usize) -> Vec<usize> {
    let objective = &settings.objective;
    let by_class = objective.is_binary() || objective.groups() > 1;
    let draw = Draw::new(seed ^ settings.seed.rotate_left(32), round, usize::MAX - 1);
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by_key(|row| draw.key_of(*row));
    if by_class {
        order.sort_by(|one, two| labels[*one].total_cmp(&labels[*two]));
    }
    let mut parts = vec![0; labels.len()];
    order.into_iter().enumerate().for_each(|(place, row)| parts[row] = place % count);
    parts
}

/// Mean of each figure over the folds, and its standard deviation.
fn means(metrics: &[Vec<Metric>]) -> Vec<Metric> {
    let Some(first) = metrics.first() else { return Vec::new() };
    let mut found = Vec::new();
    for Metric { name, .. } in first {
        let of_fold = |fold: &Vec<Metric>| fold.iter().find(|m| m.name == *name).map(|m| m.value);
        let values: Vec<f64> = metrics.iter().filter_map(of_fold).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let square: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        found.push(Metric { name: name.clone(), value: mean });
        let spread = (square / values.len() as f64).sqrt();
        found.push(Metric { name: format!("{name}_std"), value: spread });
    }
    found
}

fn line(settings: &Settings, metrics: &[Vec<Metric>]) -> String {
    let mut means = means(metrics);
    means.retain(|metric| !metric.name.ends_with("_std"));
    boost::log_line(settings.flavour, settings.rounds, &means)
}

/// The rows of both, one below the other.
fn joined(train: &Dataset, validation: Option<&Dataset>) -> Result<Dataset, Error> {
    let Some(more) = validation else { return Ok(filled(train)) };
    let (train, more) = (&filled(train), &filled(more));
    let refuse = |what: &str| Error::Data {
        what: format!("train and validation cannot be put together for _kfold: {what}"),
        help: "give both the same columns, labels and weights, or leave validation out".into(),
    };
    let features = concatenate(Axis(0), &[train.features.view(), more.features.view()])
        .map_err(|_| refuse("they differ in columns"))?;
    let label = match (&train.label, &more.label) {
        (Some(Labels::Number(one)), Some(Labels::Number(two))) => {
            Labels::Number([one.as_slice(), two].concat())
        }
        (Some(one), Some(two)) => worded(one, two),
        _ => return Err(refuse("one has no labels")),
    };
    let weight = match (&train.weight, &more.weight) {
        (None, None) => None,
        (Some(one), Some(two)) => Some([one.as_slice(), two].concat()),
        _ => return Err(refuse("one has no weights")),
    };
    Ok(Dataset { features, label: Some(label), weight, ..train.clone() })
}

/// The rows with every cell, absent ones as missing.
fn filled(data: &Dataset) -> Dataset {
    match &data.sparse {
        None => data.clone(),
        Some(sparse) => {
            let features = sparse.dense(f32::NAN);
            Dataset { features, sparse: None, ..data.clone() }
        }
    }
}

/// Both lists of labels as words.
fn worded(one: &Labels, two: &Labels) -> Labels {
    let mut names: Vec<String> = Vec::new();
    let mut codes = Vec::new();
    let mut add = |word: String| {
        let at = names.iter().position(|name| *name == word).unwrap_or_else(|| {
            names.push(word);
            names.len() - 1
        });
        codes.push(at as u32);
    };
    for labels in [one, two] {
        match labels {
            Labels::Number(numbers) => numbers.iter().for_each(|n| add(n.to_string())),
            Labels::Text { codes, names } => {
                codes.iter().for_each(|code| {
                    add(names.get(*code as usize).cloned().unwrap_or_default());
                });
            }
        }
    }
    Labels::Text { codes, names }
}

/// The rows that `take` picks.
fn taken(all: &Dataset, take: impl Fn(usize) -> bool) -> Dataset {
    let rows: Vec<usize> = (0..all.rows()).filter(|row| take(*row)).collect();
    let label = all.label.as_ref().map(|labels| match labels {
        Labels::Number(numbers) => Labels::Number(rows.iter().map(|row| numbers[*row]).collect()),
        Labels::Text { codes, names } => Labels::Text {
            codes: rows.iter().map(|row| codes[*row]).collect(),
            names: names.clone(),
        },
    });
    Dataset {
        label,
        weight: all.weight.as_ref().map(|w| rows.iter().map(|row| w[*row]).collect()),
        categories: all.categories.clone(),
        columns: all.columns.clone(),
        ..Dataset::of(all.features.select(Axis(0), &rows))
    }
}

/// Tells of one fold as a part of all.
struct Folding<'a> {
    inner: &'a mut dyn Observer,
    number: usize,
    total: usize,
}

impl Observer for Folding<'_> {
    fn step(&mut self, progress: Progress) {
        let Progress { epoch, epochs, rows_done, rows_total } = progress;
        let number = self.number as u64;
        self.inner.step(Progress {
            epoch: self.number * epochs + epoch,
            epochs: self.total * epochs,
            rows_done: number * rows_total + rows_done,
            rows_total: rows_total * self.total as u64,
        });
    }

    fn epoch(&mut self, epoch: usize, metrics: &[Metric]) {
        self.inner.epoch(epoch, metrics);
    }
}

/// Keeps the state of one fold together with the folds that are done.
struct Shelf<'a> {
    inner: &'a mut dyn Checkpoints,
    done: &'a Files,
    given: Option<Files>,
}

impl Checkpoints for Shelf<'_> {
    fn due(&self) -> bool {
        self.inner.due()
    }

    fn save(&mut self, state: &Files) -> Result<(), Error> {
        let mut all = state.clone();
        all.extend(self.done.iter().map(|(name, bytes)| (format!("{DONE}{name}"), bytes.clone())));
        self.inner.save(&all)
    }

    fn take(&mut self) -> Option<Files> {
        self.given.take()
    }
}
