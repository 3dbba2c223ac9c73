//! One training: the forest, its threshold, and how it does on the channels that have labels.
//!
//! Rows are passed over, not held: once for the sample of the trees (or row by row, to go on from
//! an earlier forest), once for the points the threshold is fitted to, and once for the scores of
//! channels that have labels. They may lie on disk. Between any two stretches of rows it can be
//! stopped and keep its state.

use super::forest::{Forest, Plan, refuse_infinite};
use super::progress;
use super::sample::reservoir;
use super::score::{PointsOf, Scorer};
use super::settings::Settings;
use crate::algorithm::metric::{Confusion, roc_auc};
use crate::algorithm::net::random::{Purpose, Stream};
use crate::algorithm::{
    Channels, Context, Error, Features, Fitted, Metric, Progress, unsupervised,
};
use crate::data::pages::BLOCK_ROWS;
use crate::data::schema::shingled;
use crate::data::{Dataset, Labels, Signature, Task};

/// Points the threshold is fitted to, at most: drawn from all, so that fitting does not take as
/// long as scoring everything. The mean of so many is known to 0.6 % of a deviation.
const THRESHOLD_POINTS: usize = 1 << 15;
/// Numbers of these points, at most, if 4,096 points have fewer.
const THRESHOLD_VALUES: usize = 1 << 24;
/// Work of a stretch of rows, in rows × numbers of a point × trees, and its rows.
const STRETCH_WORK: usize = 1 << 24;
const STRETCH_ROWS: std::ops::RangeInclusive<usize> = 256..=1 << 15;

/// Goes on from `earlier`, if there is one.
///
/// # Errors
/// `Error::Data` when the rows are no points for a forest or the labels are not 0 and 1;
/// `Error::Stopped`.
pub(super) fn fit(
    settings: &Settings,
    earlier: Option<&Forest>,
    data: &Channels,
    context: &mut Context<'_>,
) -> Result<Fitted, Error> {
    let width = unsupervised::width(data, settings.feature_dim)?;
    // All labels are looked at before any work.
    let mut labelled = Vec::new();
    for (name, dataset) in unsupervised::named(data) {
        match truth(name, dataset)? {
            Some(truth) => labelled.push((name, dataset, truth)),
            None if name == "train" => {}
            None => {
                return Err(Error::Data {
                    what: format!("the channel {name} has no labels to measure the forest against"),
                    help: "give it a first column of 0 (normal) and 1 (anomalous) and the content type text/csv;label_size=1, or leave the channel out".into(),
                });
            }
        }
    }
    let train = Rows::of(&data.train, settings.shingle);
    if let Some(earlier) = earlier.filter(|forest| forest.width() != width * settings.shingle) {
        let columns = earlier.width() / settings.shingle;
        return Err(Error::Data {
            what: format!("channel train has {width} features and the earlier forest {columns}"),
            help: "give it the columns of the earlier training, in the same order".into(),
        });
    }
    let own = earlier.map_or(0, Forest::seen);
    let labelled_points: usize =
        labelled.iter().map(|(_, data, _)| Rows::of(data, settings.shingle).points()).sum();
    let mut run = Run {
        total: (train.points() + labelled_points) as u64,
        done: 0,
        forest: None,
        scores: Vec::new(),
    };
    if let Some(files) = context.checkpoints.take() {
        let (forest, scores) = progress::read(&files)?;
        let fits = forest.width() == width * settings.shingle
            && forest.seen().checked_sub(own).is_some_and(|seen| seen <= train.points() as u64)
            && scores.len() <= labelled_points;
        if !fits {
            return Err(Error::Checkpoint {
                what: "the checkpoint is that of another job or other data".into(),
                help: "train without --resume, or with the job and data it was made by".into(),
            });
        }
        (run.forest, run.scores) = (Some(forest), scores);
    }
    run.grow(settings, earlier, &train, context)?;
    let scorer = run.forest()?.scorer();
    let scores = threshold_scores(&scorer, &train, context)?;
    let (threshold, mut metrics) = threshold(settings, &scores);
    let mut before = 0;
    for (name, dataset, truth) in &labelled {
        let rows = Rows::of(dataset, settings.shingle);
        run.score(&scorer, &rows, before, context)?;
        // A point of a series is judged by its newest row.
        let truth = &truth[settings.shingle.min(truth.len() + 1) - 1..];
        let scores = &run.scores[before..before + rows.points()];
        metrics.extend(measured(settings, name, scores, truth, threshold));
        before += rows.points();
    }
    context.observer.epoch(0, &metrics);
    let forest = run.forest()?;
    let signature = Signature {
        columns: shingled(&data.train.columns, settings.shingle),
        threshold: Some(threshold),
        ..Signature::of(forest.width(), Task::AnomalyDetection)
    };
    Ok(Fitted { files: forest.files(), signature, metrics, epochs: 0 })
}

/// What a training has so far.
struct Run {
    forest: Option<Forest>,
    /// Of the points of the labelled channels, one channel after the other.
    scores: Vec<f32>,
    done: u64,
    total: u64,
}

impl Run {
    fn forest(&self) -> Result<&Forest, Error> {
        self.forest.as_ref().ok_or(Error::Stopped)
    }

    /// The forest of the training rows.
    fn grow(
        &mut self,
        settings: &Settings,
        earlier: Option<&Forest>,
        train: &Rows<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Error> {
        let own = earlier.map_or(0, Forest::seen);
        match (&self.forest, earlier) {
            (Some(_), _) => {}
            (None, Some(earlier)) => self.forest = Some(earlier.clone()),
            (None, None) => {
                let plan = Plan {
                    trees: settings.trees,
                    samples: settings.samples,
                    shingle: settings.shingle,
                    normalize: settings.normalize,
                    seed: context.seed,
                };
                let shape = (train.features.rows(), train.columns);
                let stop = context.stop;
                let mut pick = |wanted: &[usize]| train.pick(wanted, stop);
                self.forest = Some(Forest::grow(shape, &plan, &mut pick)?);
            }
        }
        // Of an earlier forest that goes on; one made anew has seen all.
        while let Some(forest) = &mut self.forest {
            let from = (forest.seen() - own) as usize;
            self.done = from as u64;
            if from >= train.points() {
                break;
            }
            let to = train.points().min(from + train.step(settings.trees));
            train.points_of(from..to, |points| forest.learn(points))?;
            self.pass(to - from, context)?;
        }
        self.done += self.scores.len() as u64;
        self.pass(0, context)
    }

    /// Scores of a channel, whose first has the number `before`.
    fn score(
        &mut self,
        scorer: &Scorer,
        rows: &Rows<'_>,
        before: usize,
        context: &mut Context<'_>,
    ) -> Result<(), Error> {
        while self.scores.len() < before + rows.points() {
            let from = self.scores.len() - before;
            let to = rows.points().min(from + rows.step(scorer.trees.len()));
            let scores = rows.points_of(from..to, |points| Ok(scorer.scores(points)))?;
            self.scores.extend(scores);
            self.pass(to - from, context)?;
        }
        Ok(())
    }

    /// Some points more are done: says so, and keeps the state when it is time or the end.
    fn pass(&mut self, points: usize, context: &mut Context<'_>) -> Result<(), Error> {
        self.done = (self.done + points as u64).min(self.total);
        let (rows_done, rows_total) = (self.done, self.total);
        context.observer.step(Progress { epoch: 0, epochs: 0, rows_done, rows_total });
        let ends = (context.stop)();
        if ends || context.checkpoints.due() {
            context.checkpoints.save(&progress::write(self.forest()?, &self.scores))?;
        }
        if ends { Err(Error::Stopped) } else { Ok(()) }
    }
}

/// The points of a channel, in memory or on disk.
struct Rows<'a> {
    features: Features<'a>,
    columns: usize,
    shingle: usize,
}

impl<'a> Rows<'a> {
    fn of(data: &'a Dataset, shingle: usize) -> Rows<'a> {
        let features = Features::of(data);
        Rows { features, columns: features.width(), shingle }
    }

    fn points(&self) -> usize {
        (self.features.rows() + 1).saturating_sub(self.shingle)
    }

    /// Points to do at a time, so that it is not long until it can be stopped.
    fn step(&self, trees: usize) -> usize {
        let width = (self.columns * self.shingle).max(1);
        (STRETCH_WORK / trees / width).clamp(*STRETCH_ROWS.start(), *STRETCH_ROWS.end())
    }

    /// Hands over the points of that range.
    fn points_of<T>(
        &self,
        range: std::ops::Range<usize>,
        take: impl FnOnce(&PointsOf<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let rows = self.features.stretch(range.start..range.end + self.shingle - 1)?;
        let values = rows.as_slice().expect("a stretch has standard layout");
        take(&PointsOf::series(values, self.columns, self.shingle))
    }

    /// The rows `wanted`, which ascend, in one pass that looks at all rows.
    fn pick(&self, wanted: &[usize], stop: &(dyn Fn() -> bool + Sync)) -> Result<Vec<f32>, Error> {
        let mut picked = Vec::with_capacity(wanted.len() * self.columns);
        let mut wanted = wanted.iter().copied().peekable();
        // Whole pages are read, each once.
        let step = self.step(1).next_multiple_of(BLOCK_ROWS);
        for from in (0..self.features.rows()).step_by(step) {
            if stop() {
                return Err(Error::Stopped);
            }
            let to = self.features.rows().min(from + step);
            let rows = self.features.stretch(from..to)?;
            let values = rows.as_slice().expect("a stretch has standard layout");
            refuse_infinite(values, self.columns, from)?;
            while let Some(row) = wanted.next_if(|row| *row < to) {
                picked.extend_from_slice(&values[(row - from) * self.columns..][..self.columns]);
            }
        }
        Ok(picked)
    }
}

/// Whether each row is anomalous, when the channel says so.
fn truth(channel: &str, dataset: &Dataset) -> Result<Option<Vec<bool>>, Error> {
    let wrong = |what: String| Error::Data {
        what: format!(
            "channels.{channel}: {what}, and a label here is 0 (normal) or 1 (anomalous)"
        ),
        help: "if the first column is no label, say content_type = \"text/csv;label_size=0\""
            .into(),
    };
    match &dataset.label {
        None => Ok(None),
        Some(Labels::Text { names, .. }) => {
            let word = names.iter().find(|name| !matches!(name.as_str(), "0" | "1"));
            Err(wrong(format!("{:?} was read as a label", word.map_or("", String::as_str))))
        }
        Some(Labels::Number(labels)) => {
            match labels.iter().find(|label| **label != 0.0 && **label != 1.0) {
                Some(label) => Err(wrong(format!("{label} was read as a label"))),
                None => Ok(Some(labels.iter().map(|label| *label == 1.0).collect())),
            }
        }
    }
}

/// Scores of training points, of all or of a uniform draw.
fn threshold_scores(
    scorer: &Scorer,
    train: &Rows<'_>,
    context: &Context<'_>,
) -> Result<Vec<f32>, Error> {
    let (points, width) = (train.points(), scorer.width());
    let most = (THRESHOLD_VALUES / width).clamp(4_096, THRESHOLD_POINTS);
    if points <= most && !train.features.paged() {
        return train.points_of(0..points, |all| Ok(scorer.scores(all)));
    }
    let mut random = Stream::new(context.seed, Purpose::Sample, u64::MAX - 1);
    let mut drawn = reservoir(points, most, &mut random);
    drawn.sort_unstable();
    let mut wanted: Vec<usize> = drawn.iter().flat_map(|at| *at..at + train.shingle).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let values = train.pick(&wanted, context.stop)?;
    let mut picked = Vec::with_capacity(drawn.len() * width);
    for at in drawn {
        let start = wanted.binary_search(&at).expect("it was asked for") * train.columns;
        picked.extend_from_slice(&values[start..start + width]);
    }
    Ok(scorer.scores(&PointsOf::whole(&picked, width)))
}

/// The threshold, from which on a point is anomalous, and what it was made of.
fn threshold(settings: &Settings, scores: &[f32]) -> (f32, Vec<Metric>) {
    let count = scores.len() as f64;
    let mean = scores.iter().map(|score| f64::from(*score)).sum::<f64>() / count;
    let square = |score: &f32| (f64::from(*score) - mean).powi(2);
    let deviation = (scores.iter().map(square).sum::<f64>() / count).sqrt();
    let threshold = match settings.target_rate {
        // Above the rule's figure: a point just at it, as all are when all are alike, is normal.
        None => ((mean + 3.0 * deviation) as f32).next_up(),
        Some(rate) => {
            let mut sorted = scores.to_vec();
            sorted.sort_unstable_by(f32::total_cmp);
            let above = (rate * count).round() as usize;
            match above {
                0 => sorted[sorted.len() - 1].next_up(),
                above => {
                    let at = sorted.len() - above.min(sorted.len());
                    // Ties with a score that must stay normal are normal, too.
                    let is_tied = at > 0 && sorted[at - 1] == sorted[at];
                    if is_tied { sorted[at].next_up() } else { sorted[at] }
                }
            }
        }
    };
    let flagged = scores.iter().filter(|score| **score >= threshold).count() as f64;
    let figure = |name: &str, value: f64| Metric { name: format!("train:{name}"), value };
    let metrics = vec![
        figure("score_mean", mean),
        figure("score_deviation", deviation),
        figure("score_threshold", f64::from(threshold)),
        figure("anomaly_rate", flagged / count),
    ];
    (threshold, metrics)
}

fn measured(
    settings: &Settings,
    channel: &str,
    scores: &[f32],
    truth: &[bool],
    threshold: f32,
) -> Vec<Metric> {
    let confusion = Confusion::count(scores, truth, None, threshold);
    let mut metrics = Vec::new();
    let mut add = |name: &str, value: f64| {
        metrics.push(Metric { name: format!("{channel}:{name}"), value });
    };
    if settings.accuracy {
        add("accuracy", confusion.accuracy());
    }
    if settings.fscore {
        add("precision", confusion.precision());
        add("recall", confusion.recall());
        add("f1", confusion.f_beta(1.0));
    }
    if let Some(auc) = roc_auc(scores, truth, None) {
        add("roc_auc_score", auc);
    }
    metrics
}
