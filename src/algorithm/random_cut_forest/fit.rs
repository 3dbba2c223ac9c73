//! One training: the forest, its threshold, and how it does on the channels that have labels.

use super::forest::{Forest, Plan};
use super::sample::reservoir;
use super::score::{PointsOf, Scorer};
use super::settings::Settings;
use crate::algorithm::metric::{Confusion, roc_auc};
use crate::algorithm::net::random::{Purpose, Stream};
use crate::algorithm::{Channels, Context, Error, Fitted, Metric, Progress, unsupervised};
use crate::data::{Dataset, Labels, Signature, Task};

/// Points the threshold is fitted to, at most: drawn from all, so that fitting does not take as
/// long as scoring everything. The mean of so many is known to 0.4 % of a deviation.
const THRESHOLD_POINTS: usize = 1 << 16;

/// # Errors
/// `Error::Data` when the rows are no points for a forest or the labels are not 0 and 1;
/// `Error::Stopped`.
pub(super) fn fit(
    settings: &Settings,
    data: &Channels,
    context: &mut Context<'_>,
) -> Result<Fitted, Error> {
    unsupervised::width(data, settings.feature_dim)?;
    let channels: Vec<(&str, &Dataset)> = unsupervised::named(data).collect();
    // All labels are looked at before any work.
    let mut truths = Vec::new();
    for (name, dataset) in &channels {
        let truth = truth(name, dataset)?;
        if truth.is_none() && *name != "train" {
            return Err(Error::Data {
                what: format!("the channel {name} has no labels to measure the forest against"),
                help: "give it a first column of 0 (normal) and 1 (anomalous) and the content type text/csv;label_size=1, or leave the channel out".into(),
            });
        }
        truths.push(truth);
    }
    let plan = Plan {
        trees: settings.trees,
        samples: settings.samples,
        shingle: settings.shingle,
        normalize: settings.normalize,
        seed: context.seed,
    };
    stop(context)?;
    let forest = Forest::fit(&data.train.features.view(), &plan)?;
    stop(context)?;
    let scorer = forest.scorer();
    let scores = threshold_scores(&scorer, &data.train, context.seed);
    let (threshold, mut metrics) = threshold(settings, &scores);
    stop(context)?;
    for ((name, dataset), truth) in channels.iter().zip(&truths) {
        if let Some(truth) = truth {
            // A point of a series is judged by its newest row.
            let truth = &truth[settings.shingle.min(truth.len() + 1) - 1..];
            metrics.extend(measured(
                settings,
                name,
                &score_all(&scorer, dataset),
                truth,
                threshold,
            ));
            stop(context)?;
        }
    }
    let rows_total = data.train.rows() as u64;
    context.observer.step(Progress { epoch: 0, epochs: 1, rows_done: rows_total, rows_total });
    context.observer.epoch(0, &metrics);
    let signature = Signature {
        columns: names(&data.train, settings.shingle),
        threshold: Some(threshold),
        ..Signature::of(forest.width(), Task::AnomalyDetection)
    };
    Ok(Fitted { files: forest.files(), signature, metrics, epochs: 1 })
}

fn stop(context: &Context<'_>) -> Result<(), Error> {
    if (context.stop)() { Err(Error::Stopped) } else { Ok(()) }
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

/// Scores of the points of a channel, each by its newest row.
fn score_all(scorer: &Scorer, dataset: &Dataset) -> Vec<f32> {
    let rows = dataset.features.as_standard_layout();
    let values = rows.as_slice().expect("the layout is standard");
    scorer.scores(&PointsOf::series(values, rows.ncols(), scorer.shingle()))
}

/// Scores of training points, of all or of a uniform draw.
fn threshold_scores(scorer: &Scorer, train: &Dataset, seed: u64) -> Vec<f32> {
    let points = train.rows() + 1 - scorer.shingle();
    if points <= THRESHOLD_POINTS {
        return score_all(scorer, train);
    }
    let mut random = Stream::new(seed, Purpose::Sample, u64::MAX - 1);
    let mut drawn = reservoir(points, THRESHOLD_POINTS, &mut random);
    drawn.sort_unstable();
    let rows = train.features.as_standard_layout();
    let values = rows.as_slice().expect("the layout is standard");
    let mut picked = Vec::with_capacity(drawn.len() * scorer.width());
    for at in drawn {
        let start = at * rows.ncols();
        picked.extend_from_slice(&values[start..start + scorer.width()]);
    }
    scorer.scores(&PointsOf::whole(&picked, scorer.width()))
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

/// Names of a point's numbers; those of older rows of a shingle say how much older.
fn names(train: &Dataset, shingle: usize) -> Vec<String> {
    if shingle == 1 {
        return train.columns.to_vec();
    }
    let of_row = |age: usize| {
        train.columns.iter().map(move |name| match age {
            0 => name.clone(),
            age => format!("{name}[t-{age}]"),
        })
    };
    (0..shingle).rev().flat_map(of_row).collect()
}
