//! The rounds of boosting: gradients, trees, margins, metrics, early stopping, checkpoints.
//!
//! A round is a function of the model so far, the seed and the round's number; so a training
//! that goes on from a checkpoint gives, bit for bit, the model of one that was never stopped.
//! One that goes on from an earlier model adds its rounds to that model's trees.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::bins::{Bins, Cutting};
use super::draw::{Draw, Seen};
use super::ensemble::{self, Ensemble};
use super::grow::{Grower, Grown};
use super::histogram::Scaled;
use super::labels::{self, Prepared};
use super::objective::{BLOCK_ROWS, Gradient, Logistic, Objective, Truth, quantile_half};
use super::rows::Rows;
use super::score::Scorer;
use super::settings::{Figure, Flavour, Sampling, Settings};
use super::tree::Tree;
use crate::algorithm::{Channels, Context, Error, Features, Files, Metric, Progress};
use crate::data::{Absent, Categories, Dataset, LabelNames, Pages, Signature, Task};

/// File of a checkpoint beside the model so far.
const STATE_FILE: &str = "state.json";

/// One channel with its margins so far.
struct Channel<'a> {
    name: &'static str,
    rows: Rows<'a>,
    /// The rows, where they are on disk.
    pages: Option<&'a Pages>,
    labels: Vec<f32>,
    weights: Option<&'a [f32]>,
    groups: Option<Vec<usize>>,
    margins: Vec<f32>,
}

impl<'a> Channel<'a> {
    /// Without margins.
    fn new(
        objective: &Objective,
        prepared: &Prepared,
        name: &'static str,
        data: &'a Dataset,
    ) -> Result<Channel<'a>, Error> {
        let groups = labels::groups(data, name)?;
        if matches!(objective, Objective::Rank(_)) && groups.is_none() {
            return Err(Error::Data {
                what: format!("channel {name} has no queries, and {} ranks within them", objective.name()),
                help: "name the column of the query in the channel's settings, or choose another objective".into(),
            });
        }
        Ok(Channel {
            name,
            rows: Rows::of(data),
            pages: data.pages.as_deref(),
            labels: prepared.labels(objective, data, name)?,
            weights: labels::weights(data, name)?,
            groups,
            margins: Vec::new(),
        })
    }

    fn truth(&self) -> Truth<'_> {
        let groups = self.groups.as_deref();
        Truth { labels: &self.labels, weights: self.weights, groups }
    }

    /// Adds trees, each with its group, to the margins of every row that `take` takes.
    ///
    /// # Errors
    /// `Error::Scratch` when rows on disk cannot be read.
    fn add(
        &mut self,
        trees: &[(&Tree, usize)],
        groups: usize,
        take: impl Fn(usize) -> bool + Sync,
    ) -> Result<(), Error> {
        let (rows, pages) = (self.rows, self.pages);
        let size = pages.map_or(BLOCK_ROWS, Pages::page_rows);
        let block = |(block, margins): (usize, &mut [f32])| {
            let first = block * size;
            let page = match pages {
                None => None,
                Some(pages) => {
                    let page = pages.block(first..first + margins.len() / groups);
                    Some(page.map_err(|source| Error::Scratch { source })?)
                }
            };
            for (tree, group) in trees {
                for (at, margins) in margins.chunks_exact_mut(groups).enumerate() {
                    if take(first + at) {
                        let leaf = match &page {
                            None => tree.leaf_of(|feature| rows.at(first + at, feature)),
                            Some(page) => tree.leaf_of(|feature| page[[at, feature]]),
                        };
                        margins[*group] += tree.nodes[leaf].value;
                    }
                }
            }
            Ok(())
        };
        self.margins.par_chunks_mut(size * groups).enumerate().try_for_each(block)
    }

    fn metrics(&self, settings: &Settings) -> Vec<Metric> {
        let scores = settings.objective.scores(&self.margins);
        let one = |Figure { measure, name }: &Figure| {
            let value = measure.of_rows(&settings.objective, &scores, &self.truth())?;
            Some(Metric { name: format!("{}:{name}", self.name), value })
        };
        settings.figures.iter().filter_map(one).collect()
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
    /// The settings' own, with the weight that balances the classes.
    objective: Objective,
    /// Factor of all gradients, by the same.
    scale: f32,
    seed: u64,
    bins: Bins,
    channels: Vec<Channel<'a>>,
    model: Ensemble,
    grower: Grower,
    scaled: Scaled,
    gradients: Vec<Vec<Gradient>>,
}

/// What boosting came to.
#[derive(Debug)]
pub struct Boosted {
    /// The model.
    pub model: Ensemble,
    /// Final figures on each channel.
    pub metrics: Vec<Metric>,
    /// How labels were read.
    pub prepared: Prepared,
}

/// Fits a model to the channels, on top of an `earlier` one's trees if there is one.
///
/// # Errors
/// `Error::Data` for labels outside the objective's domain or features that cannot be read,
/// `Error::Diverged`, `Error::Checkpoint`, or `Error::Stopped`.
pub fn fit(
    settings: &Settings,
    data: &Channels,
    earlier: Option<&Ensemble>,
    context: &mut Context<'_>,
) -> Result<Boosted, Error> {
    let prepared = Prepared::learn(&settings.objective, &data.train)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(context.threads).build();
    let pool = pool.map_err(|error| Error::Device {
        what: format!("{} threads could not be started: {error}", context.threads),
        help: "lower resources.threads".into(),
    })?;
    if settings.early_stopping.is_some() && data.validation.is_none() {
        return Err(Error::Data {
            what: "early_stopping_rounds needs a validation channel, and there is none".into(),
            help: "add [channels.validation], or set early_stopping_rounds = 0".into(),
        });
    }
    let seed = context.seed ^ settings.seed.rotate_left(32);
    let job = job(settings, seed, data, earlier);
    let mut state = State { job, best: None, best_metrics: Vec::new() };
    let mut boosting = pool.install(|| Boosting::new(settings, seed, data, earlier, &prepared))?;
    let before = boosting.rounds();
    if let Some(files) = context.checkpoints.take() {
        state = pool.install(|| boosting.resume(&files, &state.job))?;
    }
    let (rounds, rows) = (before + settings.rounds, data.train.rows() as u64);
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
        tracing::info!("{}", log_line(settings.flavour, round, &last_metrics));
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
    Ok(Boosted { model: boosting.model, metrics: last_metrics, prepared })
}

/// A round as the library prints it, number and figures with a tab before each: `[3]` and
/// `train-auc:0.98123`, or `[4]` and `validation's auc: 0.98123`. LightGBM's lines name the last
/// channel first, since SageMaker's patterns (`auc: ([0-9.]+)`) take the first figure they find.
pub fn log_line(flavour: Flavour, round: usize, metrics: &[Metric]) -> String {
    match flavour {
        Flavour::Xgboost => {
            let mut line = format!("[{round}]");
            for Metric { name, value } in metrics {
                line += &format!("\t{}:{value:.5}", name.replacen(':', "-", 1));
            }
            line
        }
        Flavour::Lightgbm => {
            let mut line = format!("[{}]", round + 1);
            let channel = |metric: &Metric| metric.name.split(':').next().map(str::to_owned);
            for own in metrics.chunk_by(|one, two| channel(one) == channel(two)).rev() {
                for Metric { name, value } in own {
                    let (channel, name) = name.split_once(':').unwrap_or(("", name));
                    line += &format!("\t{channel}'s {name}: {value:.6}");
                }
            }
            line
        }
    }
}

fn job(settings: &Settings, seed: u64, data: &Channels, earlier: Option<&Ensemble>) -> String {
    let parameters = serde_json::Value::Object(settings.effective.clone());
    let (rows, columns) = (data.train.rows(), data.train.width());
    let trees = earlier.map_or(0, |model| model.trees.len());
    format!("{parameters} seed {seed} rows {rows} columns {columns} after {trees} trees")
}

impl State {
    fn judge(&mut self, settings: &Settings, round: usize, metrics: &[Metric]) {
        let Some(Figure { measure, name }) = settings.figures.get(settings.deciding) else {
            return;
        };
        let name = format!("validation:{name}");
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
        earlier: Option<&Ensemble>,
        prepared: &Prepared,
    ) -> Result<Boosting<'a>, Error> {
        let mut channels = Vec::new();
        let width = data.train.width();
        check_constraints(settings, width)?;
        let all = [("train", Some(&data.train)), ("validation", data.validation.as_ref())];
        for (name, dataset) in all.into_iter().filter_map(|(name, data)| Some((name, data?))) {
            check_width(name, dataset, width)?;
            channels.push(Channel::new(&settings.objective, prepared, name, dataset)?);
        }
        let train = &channels[0];
        let (objective, scale) = match settings.balanced {
            true => balanced(settings.objective, &train.labels),
            false => (settings.objective, 1.0),
        };
        let categories = &data.train.categories;
        let cutting = Cutting {
            categories,
            weights: train.weights,
            bins_max: settings.max_bin,
            flavour: settings.flavour,
        };
        let bins = match train.pages {
            Some(pages) => Bins::paged(pages, &cutting)?,
            None => Bins::new(train.rows, &cutting)?,
        };
        let groups = objective.groups();
        let model = match earlier {
            Some(earlier) => going_on(earlier, settings, width, names(&data.train), categories)?,
            None => {
                let base_score = match (settings.base_score, settings.flavour) {
                    (Some(score), _) => vec![score; groups],
                    (None, Flavour::Xgboost) => objective.estimate(&train.truth()),
                    (None, Flavour::Lightgbm) => objective.unweighted().estimate(&train.truth()),
                };
                Ensemble {
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
                }
            }
        };
        let base = model.base_margins();
        for channel in &mut channels {
            channel.margins = base.repeat(channel.labels.len());
            channel.add(&with_groups(&model), groups, |_| true)?;
        }
        let gradients = vec![vec![[0.0; 2]; data.train.rows()]; groups];
        let (grower, scaled) = (Grower::default(), Scaled::default());
        Ok(Boosting {
            settings,
            objective,
            scale,
            seed,
            bins,
            channels,
            model,
            grower,
            scaled,
            gradients,
        })
    }

    fn rounds(&self) -> usize {
        self.model.rounds.len() - 1
    }

    fn metrics(&self) -> Vec<Metric> {
        self.channels.iter().flat_map(|channel| channel.metrics(self.settings)).collect()
    }

    /// The gradients of all groups.
    fn measure(&mut self, round: usize) {
        let (train, objective) = (&self.channels[0], &self.objective);
        let (margins, truth) = (&train.margins, train.truth());
        match (objective, self.gradients.as_mut_slice()) {
            (Objective::Rank(ranking), [own]) => {
                ranking.gradients(margins, &truth, self.seed ^ (round as u64) << 32, own);
            }
            (_, [own]) => objective.gradients(margins, &truth, 0, own),
            (_, all) => {
                let count = all.len() as f32;
                let factor = match self.settings.flavour {
                    Flavour::Xgboost => 2.0,
                    Flavour::Lightgbm => count / (count - 1.0),
                };
                objective.multi_gradients(margins, &truth, factor, all);
            }
        }
        if self.scale != 1.0 {
            let scale = self.scale;
            for own in &mut self.gradients {
                own.par_iter_mut().for_each(|gradient| *gradient = gradient.map(|g| g * scale));
            }
        }
    }

    /// Grows the trees of one round; the metrics after it.
    fn round(&mut self, round: usize) -> Result<Vec<Metric>, Error> {
        let settings = self.settings;
        let groups = settings.objective.groups();
        self.measure(round);
        let marks = self.marks(round);
        let train = &self.channels[0];
        // Trees of a forest see the margins before the round and share the learning rate.
        let eta = settings.growth.eta / settings.parallel as f64;
        let before = (settings.parallel > 1 && settings.objective.refits_leaves())
            .then(|| train.margins.clone());
        for group in 0..groups {
            self.scaled.set(&self.gradients[group])?;
            for parallel in 0..settings.parallel {
                let number = group * settings.parallel + parallel;
                let draw = Draw::new(self.seed, round, number);
                let seen = match (&marks, settings.sampling) {
                    (Some(marks), _) => Seen::Marked(marks),
                    (None, Sampling::Share(share)) if share < 1.0 => Seen::Share(draw, share),
                    _ => Seen::All,
                };
                let grown =
                    self.grower.grow(&self.bins, &self.scaled, &settings.growth, eta, draw, seen);
                if let Some(disk) = &self.bins.disk {
                    disk.check()?;
                }
                let train = &mut self.channels[0];
                let tree = settle(settings, grown, train, before.as_deref(), eta, group, seen)?;
                for channel in &mut self.channels[1..] {
                    channel.add(&[(&tree, group)], groups, |_| true)?;
                }
                self.model.trees.push(tree);
                self.model.groups.push(group as u32);
            }
        }
        self.model.rounds.push(self.model.trees.len());
        Ok(self.metrics())
    }

    /// The rows all trees of the round see, where they share a draw. Gradients of rows that stand
    /// for others are scaled up.
    fn marks(&mut self, round: usize) -> Option<Vec<bool>> {
        let rows = self.channels[0].labels.len();
        match self.settings.sampling {
            Sampling::Bag { share, rounds } if share < 1.0 => {
                let draw = Draw::new(self.seed, round / rounds.max(1), usize::MAX);
                Some((0..rows).into_par_iter().map(|row| draw.row(row, share)).collect())
            }
            Sampling::Gradient { top, other, after } if round >= after => {
                let strength = |row: usize| -> f32 {
                    self.gradients.iter().map(|own| (own[row][0] * own[row][1]).abs()).sum()
                };
                let mut sorted: Vec<f32> = (0..rows).into_par_iter().map(strength).collect();
                let kept = ((rows as f64 * top) as usize).clamp(1, rows);
                let (_, least, _) = sorted.select_nth_unstable_by(kept - 1, |a, b| b.total_cmp(a));
                let least = *least;
                let draw = Draw::new(self.seed, round, usize::MAX);
                let rest = rows.saturating_sub(kept).max(1) as f64;
                let share = (rows as f64 * other / rest).min(1.0);
                let is_strong: Vec<bool> =
                    (0..rows).into_par_iter().map(|row| strength(row) >= least).collect();
                let marks: Vec<bool> = (0..rows)
                    .into_par_iter()
                    .map(|row| is_strong[row] || draw.row(row, share))
                    .collect();
                let factor = (1.0 / share) as f32;
                for own in &mut self.gradients {
                    own.par_iter_mut().zip(&is_strong).for_each(|(gradient, strong)| {
                        if !strong {
                            *gradient = gradient.map(|part| part * factor);
                        }
                    });
                }
                Some(marks)
            }
            _ => None,
        }
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
        model.objective = self.settings.objective;
        let groups = self.settings.objective.groups();
        let base = model.base_margins();
        for channel in &mut self.channels {
            channel.margins = base.repeat(channel.labels.len());
            channel.add(&with_groups(&model), groups, |_| true)?;
        }
        self.model = model;
        Ok(state)
    }
}

/// The earlier model that this training goes on from.
///
/// # Errors
/// `Error::Data` when it learned something else, or takes other columns.
fn going_on(
    earlier: &Ensemble,
    settings: &Settings,
    width: usize,
    names: Vec<String>,
    words: &Categories,
) -> Result<Ensemble, Error> {
    let refuse = |what: String, help: &str| Err(Error::Data { what, help: help.into() });
    let (was, is) = (&earlier.objective, &settings.objective);
    if was.name() != is.name() || was.groups() != is.groups() {
        return refuse(
            format!("the earlier model learned {}, and this job says {}", was.name(), is.name()),
            "set objective (and num_class) to the earlier model's",
        );
    }
    if earlier.features != width {
        return refuse(
            format!("the earlier model takes {} features, and train has {width}", earlier.features),
            "give the columns that the earlier model was trained on, in the same order",
        );
    }
    if let Some(score) = settings.base_score
        && earlier.base_score.iter().any(|own| *own != score)
    {
        return refuse(
            format!("the earlier model's base_score is not {score}"),
            "leave base_score out: it is the earlier model's",
        );
    }
    if earlier.categories.values().any(|words| !words.is_empty()) && earlier.categories != *words {
        return refuse(
            "the earlier model knows other words in its columns than train has".into(),
            "give data with the words that the earlier model was trained on",
        );
    }
    let mut model = earlier.clone();
    model.objective = *is;
    model.categories.clone_from(words);
    model.parallel = settings.parallel;
    model.attributes.clear();
    if !names.is_empty() {
        model.names = names;
    }
    Ok(model)
}

/// The objective with both classes weighing the same in sum, and the factor of all gradients that
/// leaves the rarer class its own weight up, as LightGBM's `is_unbalance`.
fn balanced(objective: Objective, labels: &[f32]) -> (Objective, f32) {
    let positives = labels.iter().filter(|label| **label == 1.0).count() as f32;
    let negatives = labels.len() as f32 - positives;
    match objective {
        Objective::Logistic { kind: Logistic::Binary, positive }
            if positives > 0.0 && negatives > 0.0 =>
        {
            let ratio = negatives / positives;
            let positive = positive * ratio;
            let weighted = Objective::Logistic { kind: Logistic::Binary, positive };
            (weighted, (1.0 / ratio).max(1.0))
        }
        other => (other, 1.0),
    }
}

/// Each node's cover becomes the rows it saw: what LightGBM's file and its SHAP values go by.
fn count_rows(tree: &mut Tree, leaves: &[(u32, std::ops::Range<usize>)]) {
    tree.nodes.iter_mut().for_each(|node| node.cover = 0.0);
    for (leaf, rows) in leaves {
        tree.nodes[*leaf as usize].cover = rows.len() as f32;
    }
    // Children stand behind their parents.
    for at in (0..tree.nodes.len()).rev() {
        let node = tree.nodes[at];
        if !node.is_leaf() {
            let below = [node.left, node.right].map(|child| tree.nodes[child as usize].cover);
            tree.nodes[at].cover = below[0] + below[1];
        }
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
    seen: Seen<'_>,
) -> Result<Tree, Error> {
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
    if settings.flavour == Flavour::Lightgbm {
        count_rows(&mut tree, &leaves);
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
    if !seen.is_all() {
        train.add(&[(&tree, group)], groups, |row| !seen.has(row))?;
    }
    Ok(tree)
}

/// The trees of a model, each with its group.
fn with_groups(model: &Ensemble) -> Vec<(&Tree, usize)> {
    let trees = model.trees.iter().zip(&model.groups);
    trees.map(|(tree, group)| (tree, *group as usize)).collect()
}

/// The figures of a model on the channel `test`; none without labels.
///
/// # Errors
/// `Error::Data` when its columns or labels are not those of training.
pub fn of_test(
    settings: &Settings,
    model: &Ensemble,
    test: &Dataset,
    prepared: &Prepared,
) -> Result<Vec<Metric>, Error> {
    check_width("test", test, model.features)?;
    if test.label.is_none() {
        return Ok(Vec::new());
    }
    let mut channel = Channel::new(&settings.objective, prepared, "test", test)?;
    let scorer = Scorer::new(model);
    channel.margins = match &test.pages {
        None => scorer.margins_of(&Rows::of(test)),
        Some(_) => Features::of(test).map(|rows| scorer.margins(rows))?,
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

/// The signature of a model fitted to `train`.
pub fn signature(model: &Ensemble, train: &Dataset, prepared: &Prepared) -> Signature {
    let columns =
        if train.columns.len() == model.features { train.columns.to_vec() } else { Vec::new() };
    Signature { columns, ..plain_signature(model, prepared.names()) }
}

/// The signature of a model that came without one. Classes are 0, 1, … unless named.
pub fn plain_signature(model: &Ensemble, names: Option<LabelNames>) -> Signature {
    let objective = &model.objective;
    let task = match objective {
        Objective::Multi { .. } => Task::MulticlassClassification,
        Objective::Rank(_) => Task::Ranking,
        objective if objective.is_binary() => Task::BinaryClassification,
        _ => Task::Regression,
    };
    let classes = match task {
        Task::Regression | Task::Ranking => 0,
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
