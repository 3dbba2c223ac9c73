//! The hyperparameters of `pca`: SageMaker's names, defaults and ranges, and two of smrt's own.

use crate::algorithm::parameter::{Kind, Parameter, check, entry};
use crate::spec::parameter::RawParameters;
use crate::spec::problem::Problems;

const AUTO: &[&str] = &["auto"];
/// Components of a model, and columns it may have.
pub(super) const WIDTH_MAX: usize = 1 << 20;
/// Columns whose scatter matrix is held: 3.2 GB of f64.
pub(super) const REGULAR_WIDTH_MAX: usize = 20_000;

/// The table of `smrt algorithms pca`.
pub(super) static TABLE: &[Parameter] = &[
    Parameter {
        name: "num_components",
        aliases: &[],
        kind: Kind::Integer(1, WIDTH_MAX as i64),
        default: None,
        meaning: "Components to keep, those with most variance.",
    },
    entry(
        "feature_dim",
        Kind::WordOr(AUTO, &Kind::Integer(1, i64::MAX)),
        "auto",
        "Features per row; the data are refused when they have another number.",
    ),
    entry(
        "mini_batch_size",
        Kind::Integer(1, i64::MAX),
        "1000",
        "Rows of SageMaker's batches; understood, and of no effect: sums run over all rows here.",
    ),
    entry(
        "algorithm_mode",
        Kind::Choice(&["regular", "randomized"]),
        "regular",
        "regular takes the components from the matrix of all pairs of columns; randomized finds the first by random directions, for many columns.",
    ),
    entry(
        "extra_components",
        Kind::Integer(-1, WIDTH_MAX as i64),
        "-1",
        "Directions that randomized follows besides those kept; more are more exact. -1 is the larger of 10 and num_components.",
    ),
    entry(
        "subtract_mean",
        Kind::Boolean,
        "true",
        "Take each column's mean away, in training and in answers.",
    ),
    entry(
        "normalize_data",
        Kind::Boolean,
        "false",
        "Divide each column by its deviation first, so that columns with large numbers do not decide. SageMaker does not. smrt's own.",
    ),
    entry(
        "output",
        Kind::Choice(&["projection", "score"]),
        "projection",
        "projection answers with the components of a row, as SageMaker does; score with its reconstruction error, how far it lies from what the components can say: large is anomalous, and the mean and three deviations of the training rows become the threshold. smrt's own.",
    ),
];

/// What the model answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// The components of a row.
    Projection,
    /// Its distance from its reconstruction.
    Score,
}

/// Everything the training needs to know, checked.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) components: usize,
    pub(super) feature_dim: Option<usize>,
    /// Directions besides the components; `None` for the mode `regular`.
    pub(super) extra: Option<usize>,
    pub(super) centre: bool,
    pub(super) normalize: bool,
    pub(super) output: Output,
    pub(super) effective: serde_json::Map<String, serde_json::Value>,
}

impl Settings {
    /// Checks all of it; `None` when `problems` grew.
    pub(super) fn read(raw: &RawParameters, problems: &mut Problems) -> Option<Settings> {
        let checked = check(TABLE, raw, problems)?;
        let components = checked.size("num_components");
        let extra = match checked.integer("extra_components") {
            -1 => components.max(10),
            extra => usize::try_from(extra).expect("the range starts at -1"),
        };
        let regular = checked.word("algorithm_mode") == "regular";
        if regular
            && checked.is_given("extra_components")
            && checked.integer("extra_components") > -1
        {
            checked.refuse(
                problems,
                "extra_components",
                "extra_components has no meaning when algorithm_mode is regular",
                "leave it out, or set algorithm_mode = \"randomized\"",
            );
            return None;
        }
        let output = match checked.word("output") {
            "score" => Output::Score,
            _ => Output::Projection,
        };
        Some(Settings {
            components,
            feature_dim: checked.size_or_auto("feature_dim"),
            extra: (!regular).then_some(extra),
            centre: checked.boolean("subtract_mean"),
            normalize: checked.boolean("normalize_data"),
            output,
            effective: checked.effective(),
        })
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
