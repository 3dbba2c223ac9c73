//! The rounds of boosting: gradients, trees, margins, metrics, early stopping, checkpoints.
//!
//! A round is a function of the model so far, the seed and the round's number; so a training
//! that goes on from a checkpoint gives, bit for bit, the model of one that was never stopped.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::bins::Bins;
use super::draw::Draw;
use super::ensemble::{self, Ensemble};
use super::grow::{Grower, Grown};
use super::histogram::Scaled;
use super::labels::Prepared;
use super::measure::Measure;
use super::objective::{BLOCK_ROWS, Gradient, Objective, Truth, quantile_half};
use super::rows::Rows;
use super::score::Scorer;
use super::settings::Settings;
use super::tree::Tree;
use crate::algorithm::{Channels, Context, Error, Files, Fitted, Metric, Progress};
use crate::data::{Absent, Dataset, LabelNames, Signature, Task};

/// File of a checkpoint beside the model so far.
const STATE_FILE: &str = "state.json";

/// One channel with its margins so far.
struct Channel<'a> {
    name: &'static str,
    rows: Rows<'a>,
    labels: Vec<f32>,
    weights: Option<&'a [f32]>,
    margins: Vec<f32>,
}

impl Channel<'_> {
    fn truth(&self) -> Truth<'_> {
        Truth { labels: &self.labels, weights: self.weights }
    }

    /// Adds a tree to the margins of every row that `skip` does not leave out.
    fn add(
        &mut self,
        tree: &Tree,
        group: usize,
        groups: usize,
        take: impl Fn(usize) -> bool + Sync,
    ) {
        let rows = self.rows;
        self.margins.par_chunks_mut(BLOCK_ROWS * groups).enumerate().for_each(
            |(block, margins)| {
                for (at, margins) in margins.chunks_exact_mut(groups).enumerate() {
                    let row = block * BLOCK_ROWS + at;
                    if take(row) {
                        let leaf = tree.leaf_of(|feature| rows.at(row, feature));
                        margins[group] += tree.nodes[leaf].value;
                    }
                }
            },
        );
    }

    fn metrics(&self, settings: &Settings) -> Vec<Metric> {
        let scores = settings.objective.scores(&self.margins);
        let one = |measure: &Measure| {
            let value = measure.of_rows(&settings.objective, &scores, &self.truth())?;
            Some(Metric { name: format!("{}:{}", self.name, measure.name()), value })
        };
        settings.measures.iter().filter_map(one).collect()
    }
}

/// What early stopping remembers, and what a checkpoint keeps beside the model.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct State {
    /// Which job: parameters, seed and shape of the data.
    job: String,
    /// Best figure so far and the round it came in.
    best: Option<(usize, f64)>,
    /// Its metrics.
    best_metrics: Vec<Metric>,
}

/// A training under way.
struct Boosting<'a> {
    settings: &'a Settings,
    seed: u64,
    bins: Bins,
    channels: Vec<Channel<'a>>,
    model: Ensemble,
    grower: Grower,
    scaled: Scaled,
    gradients: Vec<Vec<Gradient>>,
}

/// Fits a model to the channels.
///
/// # Errors
/// `Error::Data` for labels outside the objective's domain or features that cannot be read,
/// `Error::Diverged`, `Error::Checkpoint`, or `Error::Stopped`.
pub fn fit(
    settings: &Settings,
    data: &Channels,
    context: &mut Context<'_>,
) -> Result<Fitted, Error> {
    let prepared = Prepared::learn(&settings.objective, &data.train)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(context.threads).build();
    let pool = pool.map_err(|error| Error::Device {
        what: format!("{} threads could not be started: {error}", context.threads),
        help: "lower resources.threads".into(),
    })?;
    if settings.early_stopping.is_some() && data.validation.is_none() {
        return Err(Error::Data {
            what: "early_stopping_rounds needs a validation channel, and there is none".into(),
            help: "add [channels.validation], or leave early_stopping_rounds out".into(),
        });
    }
    let seed = context.seed ^ settings.seed.rotate_left(32);
    let mut state = State { job: job(settings, seed, data), best: None, best_metrics: Vec::new() };
    let mut boosting = pool.install(|| Boosting::new(settings, seed, data, &prepared))?;
    if let Some(files) = context.checkpoints.take() {
        state = pool.install(|| boosting.resume(&files, &state.job))?;
    }
    let (rounds, rows) = (settings.rounds, data.train.rows() as u64);
    let mut last_metrics = state.best_metrics.clone();
    for round in boosting.rounds()..rounds {
        if (context.stop)() {
            context.checkpoints.save(&boosting.checkpoint(&state))?;
            return Err(Error::Stopped);
        }
        last_metrics = pool.install(|| boosting.round(round))?;
        context.observer.step(Progress {
            epoch: round,
            epochs: rounds,
            rows_done: rows * (round as u64 + 1),
            rows_total: rows * rounds as u64,
        });
        context.observer.epoch(round, &last_metrics);
        // The text is SageMaker's: its metric definitions are regular expressions over it.
        tracing::info!("{}", log_line(round, &last_metrics));
        if settings.early_stopping.is_some() {
            state.judge(settings, round, &last_metrics);
        }
        if state.is_over(settings, round) {
            break;
        }
        if context.checkpoints.due() {
            context.checkpoints.save(&boosting.checkpoint(&state))?;
        }
    }
    if let Some((best, figure)) = state.best.filter(|_| settings.early_stopping.is_some()) {
        boosting.model.keep_rounds(best + 1);
        let attributes = &mut boosting.model.attributes;
        attributes.insert("best_iteration".into(), best.to_string());
        attributes.insert("best_score".into(), figure.to_string());
        last_metrics = state.best_metrics;
    } else if last_metrics.is_empty() {
        last_metrics = pool.install(|| boosting.metrics());
    }
    if let Some(test) = &data.test {
        last_metrics.extend(pool.install(|| of_test(settings, &boosting.model, test, &prepared))?);
    }
    let model = boosting.model;
    Ok(Fitted {
        files: Files::from([(ensemble::MODEL_FILE.to_owned(), model.to_ubjson())]),
        signature: signature(&model, &data.train, &prepared),
        metrics: last_metrics,
        epochs: model.rounds.len() - 1,
    })
}

/// A round as XGBoost prints it: number and figures, with a tab before each figure.
pub fn log_line(round: usize, metrics: &[Metric]) -> String {
    let mut line = format!("[{round}]");
    for Metric { name, value } in metrics {
        line += &format!("\t{}:{value:.5}", name.replacen(':', "-", 1));
    }
    line
}

fn job(settings: &Settings, seed: u64, data: &Channels) -> String {
    let parameters = serde_json::Value::Object(settings.effective.clone());
    let (rows, columns) = (data.train.rows(), data.train.width());
    format!("{parameters} seed {seed} rows {rows} columns {columns}")
}

impl State {
    fn judge(&mut self, settings: &Settings, round: usize, metrics: &[Metric]) {
        let Some(measure) = settings.measures.last() else { return };
        let name = format!("validation:{}", measure.name());
        let Some(figure) = metrics.iter().find(|metric| metric.name == name) else { return };
        let better = match self.best {
            None => true,
            Some((_, best)) if measure.rises() => figure.value > best,
            Some((_, best)) => figure.value < best,
        };
        if better {
            self.best = Some((round, figure.value));
            self.best_metrics = metrics.to_vec();
        }
    }

    fn is_over(&self, settings: &Settings, round: usize) -> bool {
        match (settings.early_stopping, self.best) {
            (Some(patience), Some((best, _))) => round - best >= patience,
            _ => false,
        }
    }
}

impl<'a> Boosting<'a> {
    fn new(
        settings: &'a Settings,
        seed: u64,
        data: &'a Channels,
        prepared: &Prepared,
    ) -> Result<Boosting<'a>, Error> {
        let mut channels = Vec::new();
        let width = data.train.width();
        check_constraints(settings, width)?;
        let all = [("train", Some(&data.train)), ("validation", data.validation.as_ref())];
        for (name, dataset) in all.into_iter().filter_map(|(name, data)| Some((name, data?))) {
            check_width(name, dataset, width)?;
            channels.push(Channel {
                name,
                rows: Rows::of(dataset),
                labels: prepared.labels(&settings.objective, dataset, name)?,
                weights: super::labels::weights(dataset, name)?,
                margins: Vec::new(),
            });
        }
        let train = &channels[0];
        let categories = &data.train.categories;
        let bins = Bins::new(train.rows, categories, train.weights, settings.max_bin)?;
        let groups = settings.objective.groups();
        let base_score = match settings.base_score {
            Some(score) => vec![score; groups],
            None => settings.objective.estimate(&train.truth()),
        };
        let model = Ensemble {
            objective: settings.objective,
            base_score,
            features: width,
            names: names(&data.train),
            categories: categories.clone(),
            trees: Vec::new(),
            groups: Vec::new(),
            rounds: vec![0],
            parallel: settings.parallel,
            attributes: BTreeMap::new(),
        };
        let base = model.base_margins();
        for channel in &mut channels {
            channel.margins = base.repeat(channel.labels.len());
        }
        let gradients = vec![vec![[0.0; 2]; data.train.rows()]; groups];
        let (grower, scaled) = (Grower::default(), Scaled::default());
        Ok(Boosting { settings, seed, bins, channels, model, grower, scaled, gradients })
    }

    fn rounds(&self) -> usize {
        self.model.rounds.len() - 1
    }

    fn metrics(&self) -> Vec<Metric> {
        self.channels.iter().flat_map(|channel| channel.metrics(self.settings)).collect()
    }

    /// Grows the trees of one round; the metrics after it.
    fn round(&mut self, round: usize) -> Result<Vec<Metric>, Error> {
        let settings = self.settings;
        let groups = settings.objective.groups();
        let train = &self.channels[0];
        if groups > 1 {
            settings.objective.multi_gradients(&train.margins, &train.truth(), &mut self.gradients);
        } else {
            let out = &mut self.gradients[0];
            settings.objective.gradients(&train.margins, &train.truth(), 0, out);
        }
        // Trees of a forest see the margins before the round and share the learning rate.
        let eta = settings.growth.eta / settings.parallel as f64;
        let before = (settings.parallel > 1 && settings.objective.refits_leaves())
            .then(|| train.margins.clone());
        for group in 0..groups {
            self.scaled.set(&self.gradients[group])?;
            for parallel in 0..settings.parallel {
                let number = group * settings.parallel + parallel;
                let draw = Draw::new(self.seed, round, number);
                let grown = self.grower.grow(&self.bins, &self.scaled, &settings.growth, eta, draw);
                let train = &mut self.channels[0];
                let tree = settle(settings, grown, train, before.as_deref(), eta, group, draw);
                for channel in &mut self.channels[1..] {
                    channel.add(&tree, group, groups, |_| true);
                }
                self.model.trees.push(tree);
                self.model.groups.push(group as u32);
            }
        }
        self.model.rounds.push(self.model.trees.len());
        Ok(self.metrics())
    }

    fn checkpoint(&self, state: &State) -> Files {
        let state = serde_json::to_vec(state).expect("a state is plain numbers and text");
        Files::from([
            (ensemble::MODEL_FILE.to_owned(), self.model.to_ubjson()),
            (STATE_FILE.to_owned(), state),
        ])
    }

    /// Goes on from a checkpoint: its trees, and the margins they give.
    fn resume(&mut self, files: &Files, job: &str) -> Result<State, Error> {
        let foreign = |what: &str| Error::Checkpoint {
            what: format!("the checkpoint {what}"),
            help: "train without --resume, or with the job and data it was made by".into(),
        };
        let bytes = files.get(STATE_FILE).ok_or_else(|| foreign("has no state.json"))?;
        let state: State = serde_json::from_slice(bytes)
            .map_err(|_| foreign("has a state.json that is damaged"))?;
        if state.job != job {
            return Err(foreign("was made with other parameters, seed or data"));
        }
        let bytes = files.get(ensemble::MODEL_FILE).ok_or_else(|| foreign("has no model"))?;
        let mut model = Ensemble::read(bytes)?;
        if model.features != self.model.features || model.base_score != self.model.base_score {
            return Err(foreign("has a model of other data"));
        }
        model.names.clone_from(&self.model.names);
        let groups = self.settings.objective.groups();
        for channel in &mut self.channels {
            for (tree, group) in model.trees.iter().zip(&model.groups) {
                channel.add(tree, *group as usize, groups, |_| true);
            }
        }
        self.model = model;
        Ok(state)
    }
}

/// Refits the leaves where the objective asks for it, and adds the tree to the train margins.
fn settle(
    settings: &Settings,
    grown: Grown<'_>,
    train: &mut Channel<'_>,
    before: Option<&[f32]>,
    eta: f64,
    group: usize,
    draw: Draw,
) -> Tree {
    let Grown { mut tree, leaves, rows } = grown;
    let groups = settings.objective.groups();
    if settings.objective.refits_leaves() {
        let margins = before.unwrap_or(&train.margins);
        let (labels, weights) = (&train.labels, train.weights);
        let refit = |(leaf, range): &(u32, std::ops::Range<usize>)| {
            let mut rows = rows[range.clone()].to_vec();
            let residual = |row: u32| labels[row as usize] - margins[row as usize];
            (*leaf, quantile_half(&mut rows, residual, weights))
        };
        let medians: Vec<(u32, f32)> = leaves.par_iter().map(refit).collect();
        for (leaf, median) in medians.into_iter().filter(|(_, median)| !median.is_nan()) {
            tree.nodes[leaf as usize].value = median * eta as f32;
        }
    }
    // Rows of a leaf are ascending, so each block of margins finds its own by halving.
    train.margins.par_chunks_mut(BLOCK_ROWS * groups).enumerate().for_each(|(block, margins)| {
        let first = block * BLOCK_ROWS;
        let end = first + margins.len() / groups;
        for (leaf, range) in &leaves {
            let rows = &rows[range.clone()];
            let from = rows.partition_point(|row| (*row as usize) < first);
            let value = tree.nodes[*leaf as usize].value;
            for row in rows[from..].iter().take_while(|row| (**row as usize) < end) {
                margins[(*row as usize - first) * groups + group] += value;
            }
        }
    });
    let share = settings.growth.subsample;
    if share < 1.0 {
        train.add(&tree, group, groups, |row| !draw.row(row, share));
    }
    tree
}

fn of_test(
    settings: &Settings,
    model: &Ensemble,
    test: &Dataset,
    prepared: &Prepared,
) -> Result<Vec<Metric>, Error> {
    check_width("test", test, model.features)?;
    if test.label.is_none() {
        return Ok(Vec::new());
    }
    let channel = Channel {
        name: "test",
        rows: Rows::of(test),
        labels: prepared.labels(&settings.objective, test, "test")?,
        weights: super::labels::weights(test, "test")?,
        margins: Scorer::new(model).margins_of(&Rows::of(test)),
    };
    Ok(channel.metrics(settings))
}

fn check_width(name: &str, data: &Dataset, width: usize) -> Result<(), Error> {
    let found = data.width();
    if found == width && width > 0 {
        return Ok(());
    }
    Err(Error::Data {
        what: format!("channel {name} has {found} features and channel train {width}"),
        help: "give every channel the same columns, at least one besides the label".into(),
    })
}

fn check_constraints(settings: &Settings, width: usize) -> Result<(), Error> {
    let (monotone, sets) = (&settings.growth.monotone, &settings.growth.interactions);
    let fault = if monotone.len() > width {
        format!("monotone_constraints has {} entries and the data {width} columns", monotone.len())
    } else if let Some(beyond) = sets.iter().flatten().find(|column| **column as usize >= width) {
        format!("interaction_constraints names column {beyond} and the data have {width}")
    } else {
        return Ok(());
    };
    Err(Error::Data { what: fault, help: "columns are counted from 0, without the label".into() })
}

/// Column names XGBoost would accept; none otherwise.
fn names(data: &Dataset) -> Vec<String> {
    let good = |name: &String| !name.is_empty() && !name.contains(['[', ']', '<']);
    let distinct: std::collections::BTreeSet<&String> = data.columns.iter().collect();
    let fits = data.columns.len() == data.width() && distinct.len() == data.columns.len();
    if fits && data.columns.iter().all(good) { data.columns.to_vec() } else { Vec::new() }
}

fn signature(model: &Ensemble, train: &Dataset, prepared: &Prepared) -> Signature {
    let columns =
        if train.columns.len() == model.features { train.columns.to_vec() } else { Vec::new() };
    Signature { columns, ..plain_signature(model, prepared.names()) }
}

/// The signature of a model that came without one. Classes are 0, 1, … unless named.
pub fn plain_signature(model: &Ensemble, names: Option<LabelNames>) -> Signature {
    let objective = &model.objective;
    let task = match objective {
        Objective::Multi { .. } => Task::MulticlassClassification,
        objective if objective.is_binary() => Task::BinaryClassification,
        _ => Task::Regression,
    };
    let classes = match task {
        Task::Regression => 0,
        _ => objective.groups().max(2),
    };
    let numbers = || LabelNames::Numbers((0..classes).map(|class| class as f32).collect());
    let mut categories = model.categories.clone();
    // Without words a cell is its code, a number like any other.
    categories.retain(|_, words| !words.is_empty());
    Signature {
        columns: model.names.clone(),
        categories,
        absent: Absent::Missing,
        labels: (classes > 0).then(|| names.unwrap_or_else(numbers)),
        threshold: ensemble::threshold(objective),
        ..Signature::of(model.features, task)
    }
}
