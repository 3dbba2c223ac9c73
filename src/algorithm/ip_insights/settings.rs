//! The hyperparameters of `ip-insights`: SageMaker's names, defaults and ranges.

use crate::algorithm::parameter::{Kind, Parameter, Range, check, entry};
use crate::spec::parameter::RawParameters;
use crate::spec::problem::Problems;

const AUTO: &[&str] = &["auto"];
/// Buckets of entities; SageMaker's bound.
pub(super) const ENTITY_VECTORS_MAX: u64 = 250_000_000;
/// Numbers of an embedding; SageMaker's bound.
pub(super) const VECTOR_DIM_MAX: usize = 4096;
/// Layers before the last one of the address encoder; SageMaker's bound.
pub(super) const LAYERS_MAX: usize = 100;

/// The table of `smrt algorithms ip-insights`.
pub(super) static TABLE: &[Parameter] = &[
    Parameter {
        name: "num_entity_vectors",
        aliases: &[],
        kind: Kind::Integer(1, ENTITY_VECTORS_MAX as i64),
        default: None,
        meaning: "Buckets that entities are hashed into; about twice as many as there are entities keeps most of them apart. Only buckets that the training meets take room.",
    },
    Parameter {
        name: "vector_dim",
        aliases: &[],
        kind: Kind::Integer(4, VECTOR_DIM_MAX as i64),
        default: None,
        meaning: "Numbers of an embedding; SageMaker recommends 128.",
    },
    entry("epochs", Kind::Integer(1, 1_000_000), "10", "Passes over the rows."),
    entry(
        "mini_batch_size",
        Kind::WordOr(AUTO, &Kind::Integer(1, 500_000)),
        "auto",
        "Rows of a step. auto is SageMaker's 10000, fewer where an epoch would have fewer than 100 steps, but at least 64.",
    ),
    entry("learning_rate", Kind::Float(Range::between(1e-6, 10.0)), "0.001", "Adam's step."),
    entry(
        "weight_decay",
        Kind::Float(Range::between(0.0, 10.0)),
        "0.00001",
        "L2 penalty, on what a step touches.",
    ),
    entry(
        "num_ip_encoder_layers",
        Kind::Integer(0, LAYERS_MAX as i64),
        "1",
        "Layers with a ReLU before the last one of the address encoder; those after the first are added to what they read.",
    ),
    entry(
        "random_negative_sampling_rate",
        Kind::Integer(0, 500),
        "1",
        "Random addresses per row that the row's entity is told it does not use.",
    ),
    entry(
        "shuffled_negative_sampling_rate",
        Kind::Integer(0, 500),
        "1",
        "Addresses of other rows of the batch, per row, that the row's entity is told it does not use.",
    ),
    entry(
        "batch_metrics_publish_interval",
        Kind::Integer(1, i64::MAX),
        "1000",
        "Steps between two lines in the log that say the loss.",
    ),
];

/// Everything the training needs to know, checked.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) buckets: u64,
    pub(super) dim: usize,
    pub(super) epochs: usize,
    /// `None` for auto.
    pub(super) batch_rows: Option<usize>,
    pub(super) rate: f64,
    pub(super) decay: f64,
    pub(super) layers: usize,
    pub(super) random: usize,
    pub(super) shuffled: usize,
    pub(super) publish: u64,
    pub(super) effective: serde_json::Map<String, serde_json::Value>,
}

impl Settings {
    /// Checks all of it; `None` when `problems` grew.
    pub(super) fn read(raw: &RawParameters, problems: &mut Problems) -> Option<Settings> {
        let checked = check(TABLE, raw, problems)?;
        let random = checked.size("random_negative_sampling_rate");
        let shuffled = checked.size("shuffled_negative_sampling_rate");
        if random + shuffled == 0 {
            checked.refuse(
                problems,
                "random_negative_sampling_rate",
                "without any negative pairs there is nothing to tell apart",
                "set random_negative_sampling_rate or shuffled_negative_sampling_rate to 1 or more",
            );
            return None;
        }
        Some(Settings {
            buckets: checked.size("num_entity_vectors") as u64,
            dim: checked.size("vector_dim"),
            epochs: checked.size("epochs"),
            batch_rows: checked.size_or_auto("mini_batch_size"),
            rate: checked.float("learning_rate"),
            decay: checked.float("weight_decay"),
            layers: checked.size("num_ip_encoder_layers"),
            random,
            shuffled,
            publish: checked.size("batch_metrics_publish_interval") as u64,
            effective: checked.effective(),
        })
    }

    /// Pairs that are made up beside each row.
    pub(super) fn made_up(&self) -> usize {
        self.random + self.shuffled
    }

    /// Rows of a step.
    pub(super) fn batch_rows(&self, rows: usize) -> usize {
        const WANTED_STEPS: usize = 100;
        self.batch_rows.unwrap_or_else(|| rows.div_ceil(WANTED_STEPS).clamp(64, 10_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        crate::algorithm::parameter::table_is_sound(TABLE).unwrap();
    }
}
