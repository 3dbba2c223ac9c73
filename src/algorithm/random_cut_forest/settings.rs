//! The hyperparameters of `random-cut-forest`: SageMaker's, and smrt's own below them.

use crate::algorithm::parameter::{self, Checked, Kind, Parameter, Range, entry};
use crate::spec::parameter::RawParameters;
use crate::spec::problem::Problems;

/// Features of a row, at most: SageMaker's bound. With shingles, those of the whole shingle.
pub(super) const FEATURES_MAX: usize = 10_000;
/// Trees, at most.
pub(super) const TREES_MAX: usize = 1_000;
/// Rows of a tree's sample, at most.
pub(super) const SAMPLES_MAX: usize = 2_048;
/// Rows of a shingle, at most.
pub(super) const SHINGLE_MAX: usize = 1_024;

const AUTO: &[&str] = &["auto"];

/// Every hyperparameter.
pub(super) static TABLE: &[Parameter] = &[
    entry(
        "feature_dim",
        Kind::WordOr(AUTO, &Kind::Integer(1, FEATURES_MAX as i64)),
        "auto",
        "Features per row; the data are refused when they have another number.",
    ),
    entry("num_trees", Kind::Integer(50, TREES_MAX as i64), "100", "Trees of the forest."),
    entry(
        "num_samples_per_tree",
        Kind::Integer(1, SAMPLES_MAX as i64),
        "256",
        "Rows each tree is made of, drawn from all rows. One over it should be near the share of anomalies.",
    ),
    entry(
        "eval_metrics",
        Kind::List {
            item: &Kind::Choice(&["accuracy", "precision_recall_fscore"]),
            length_min: 0,
            length_max: 2,
        },
        "[accuracy, precision_recall_fscore]",
        "Figures on the channels that have labels (0 normal, 1 anomalous), besides the AUC.",
    ),
    entry(
        "target_rate",
        Kind::WordOr(AUTO, &Kind::Float(Range::INSIDE_UNIT)),
        "auto",
        "Share of the training rows that the threshold calls anomalous. auto sets it at the mean of their scores and three standard deviations, SageMaker's rule.",
    ),
    entry(
        "normalize",
        Kind::Boolean,
        "true",
        "Columns count alike whatever their units: each is divided by the width of Tukey's fences (4 interquartile ranges), or by its range where that is less, and numbers far from the median count by their logarithm. false takes numbers as they are, as SageMaker does.",
    ),
    entry(
        "shingle_size",
        Kind::Integer(1, SHINGLE_MAX as i64),
        "1",
        "The rows are a series in order, and a point is so many rows in a row. A request then holds whole shingles, oldest row first.",
    ),
];

/// The checked values.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) feature_dim: Option<usize>,
    pub(super) trees: usize,
    pub(super) samples: usize,
    pub(super) accuracy: bool,
    pub(super) fscore: bool,
    pub(super) target_rate: Option<f64>,
    pub(super) normalize: bool,
    pub(super) shingle: usize,
    pub(super) checked: Checked,
}

impl Settings {
    /// What the user wrote, checked; `None` when `problems` grew.
    pub(super) fn read(raw: &RawParameters, problems: &mut Problems) -> Option<Settings> {
        let checked = parameter::check(TABLE, raw, problems)?;
        let metrics = checked.words("eval_metrics");
        Some(Settings {
            feature_dim: checked.size_or_auto("feature_dim"),
            trees: checked.size("num_trees"),
            samples: checked.size("num_samples_per_tree"),
            accuracy: metrics.contains(&"accuracy"),
            fscore: metrics.contains(&"precision_recall_fscore"),
            target_rate: checked.float_or_auto("target_rate"),
            normalize: checked.boolean("normalize"),
            shingle: checked.size("shingle_size"),
            checked,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        parameter::table_is_sound(TABLE).unwrap();
    }
}
