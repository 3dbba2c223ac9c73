//! The table of `linear-learner`'s hyperparameters: SageMaker's names, defaults and ranges.
//!
//! Where SageMaker says `auto` without saying what follows, the meaning given here is smrt's.
//! What the values come to stands in [`super::settings`].

use crate::algorithm::parameter::{Kind, Parameter, Range, entry};
use crate::spec::limit::CLASSES_MAX;

/// The table of `smrt algorithms linear-learner`.
pub(super) static PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "predictor_type",
        aliases: &[],
        kind: Kind::Choice(&["binary_classifier", "multiclass_classifier", "regressor"]),
        default: None,
        meaning: "What to learn: one of two classes, one of many, or a number.",
    },
    entry(
        "num_classes",
        Kind::WordOr(AUTO, &Kind::Integer(2, CLASSES_MAX as i64)),
        "auto",
        "Classes of a multiclass_classifier: labels are then 0 to one less. auto maps whatever labels the data have.",
    ),
    entry(
        "feature_dim",
        Kind::WordOr(AUTO, &Kind::Integer(1, i64::MAX)),
        "auto",
        "Features per row; the data are refused when they have another number.",
    ),
    entry("epochs", Kind::Integer(1, 1_000_000), "15", "Passes over the data, at most."),
    entry(
        "mini_batch_size",
        Kind::WordOr(AUTO, &Kind::Integer(1, i64::MAX)),
        "auto",
        "Rows of a step. auto is SageMaker's 1000, fewer where an epoch would have fewer than 32 steps, but at least 16.",
    ),
    entry(
        "num_models",
        Kind::WordOr(AUTO, &Kind::Integer(1, 128)),
        "auto",
        "Models trained in the same pass: the first with the values given, the others with values near them.",
    ),
    entry(
        "loss",
        Kind::Choice(&[
            "auto",
            "logistic",
            "hinge_loss",
            "softmax_loss",
            "squared_loss",
            "absolute_loss",
            "eps_insensitive_squared_loss",
            "eps_insensitive_absolute_loss",
            "quantile_loss",
            "huber_loss",
        ]),
        "auto",
        "The objective. auto is logistic, softmax_loss or squared_loss, after predictor_type.",
    ),
    entry(
        "optimizer",
        Kind::Choice(&["auto", "adam", "sgd", "rmsprop"]),
        "auto",
        "How steps are made from gradients. auto is adam.",
    ),
    entry(
        "learning_rate",
        Kind::WordOr(AUTO, &Kind::Float(Range::ABOVE_0)),
        "auto",
        "Length of the first steps. auto tries several.",
    ),
    entry(
        "wd",
        Kind::WordOr(AUTO, &Kind::Float(Range::FROM_0)),
        "auto",
        "L2: this times half the squared weights is added to the mean loss. auto tries several.",
    ),
    entry(
        "l1",
        Kind::WordOr(AUTO, &Kind::Float(Range::FROM_0)),
        "auto",
        "L1: this times the absolute weights is added to the mean loss. auto is 0.",
    ),
    entry(
        "momentum",
        Kind::WordOr(AUTO, &Kind::Float(Range::BELOW_1)),
        "auto",
        "Share of the last step that sgd and rmsprop repeat. auto is 0.9 for sgd and 0 for rmsprop.",
    ),
    entry(
        "beta_1",
        Kind::WordOr(AUTO, &Kind::Float(Range::BELOW_1)),
        "auto",
        "Adam's memory of the gradient. auto is 0.9.",
    ),
    entry(
        "beta_2",
        Kind::WordOr(AUTO, &Kind::Float(Range::BELOW_1)),
        "auto",
        "Memory of the squared gradient. auto is 0.999 for adam and 0.9 for rmsprop.",
    ),
    entry("use_bias", Kind::Boolean, "true", "Whether there is a constant term."),
    entry(
        "bias_lr_mult",
        Kind::WordOr(AUTO, &Kind::Float(Range::ABOVE_0)),
        "auto",
        "The bias's learning rate beside that of the weights. auto is 1.",
    ),
    entry(
        "bias_wd_mult",
        Kind::WordOr(AUTO, &Kind::Float(Range::FROM_0)),
        "auto",
        "The bias's L2 beside that of the weights. auto is 0.",
    ),
    entry(
        "init_method",
        Kind::Choice(&["auto", "uniform", "normal"]),
        "auto",
        "First weights. auto is 0 (SageMaker: uniform): the objective has one minimum, and a feature too rare to learn keeps no noise.",
    ),
    number("init_scale", Range::ABOVE_0, "0.07", "Bound of uniform first weights."),
    number("init_sigma", Range::ABOVE_0, "0.01", "Deviation of normal first weights."),
    number("init_bias", Range::ANY, "0", "First bias."),
    entry(
        "use_lr_scheduler",
        Kind::Boolean,
        "true",
        "Whether the learning rate falls: along a half cosine over all epochs, or in steps when lr_scheduler_step or lr_scheduler_factor is given.",
    ),
    entry(
        "lr_scheduler_step",
        Kind::WordOr(AUTO, &Kind::Integer(1, i64::MAX)),
        "auto",
        "Batches between two falls of the learning rate. auto is 100 when lr_scheduler_factor is given.",
    ),
    entry(
        "lr_scheduler_factor",
        Kind::WordOr(AUTO, &Kind::Float(Range::INSIDE_UNIT)),
        "auto",
        "What a fall leaves of the learning rate. auto is 0.99 when lr_scheduler_step is given.",
    ),
    entry(
        "lr_scheduler_minimum_lr",
        Kind::WordOr(AUTO, &Kind::Float(Range::FROM_0)),
        "auto",
        "The learning rate does not fall below it. auto is 0 for the cosine and 0.00001 for steps.",
    ),
    entry(
        "early_stopping_patience",
        Kind::Integer(0, 1_000_000),
        "3",
        "Epochs without progress of the validation loss (without validation: the training loss) before the training ends; 0 never ends it.",
    ),
    number(
        "early_stopping_tolerance",
        Range::FROM_0,
        "0.001",
        "Relative fall of the loss that counts as progress.",
    ),
    entry(
        "normalize_data",
        Kind::Boolean,
        "true",
        "Whether features are divided by their deviation.",
    ),
    entry(
        "unbias_data",
        Kind::WordOr(AUTO, &Kind::Boolean),
        "auto",
        "Whether the mean of features is taken away. auto is as normalize_data.",
    ),
    entry(
        "normalize_label",
        Kind::WordOr(AUTO, &Kind::Boolean),
        "auto",
        "Whether a regressor's labels are divided by their deviation while training. auto is true.",
    ),
    entry(
        "unbias_label",
        Kind::WordOr(AUTO, &Kind::Boolean),
        "auto",
        "Whether the mean of a regressor's labels is taken away while training. auto is as normalize_label.",
    ),
    entry(
        "num_point_for_scaler",
        Kind::Integer(1, i64::MAX),
        "10000",
        "Rows that means and deviations are taken from, at least: smrt takes all.",
    ),
    entry(
        "num_calibration_samples",
        Kind::WordOr(AUTO, &Kind::Integer(1, i64::MAX)),
        "auto",
        "Rows of the validation channel (without it: of train) that the threshold is chosen on. auto is all.",
    ),
    entry(
        "binary_classifier_model_selection_criteria",
        Kind::Choice(&[
            "accuracy",
            "f_beta",
            "precision_at_target_recall",
            "recall_at_target_precision",
            "loss_function",
        ]),
        "accuracy",
        "What a binary_classifier's model and threshold are chosen for, on validation (without it: on train). loss_function keeps the threshold 0.5.",
    ),
    number("target_precision", Range::UNIT, "0.8", "For recall_at_target_precision."),
    number("target_recall", Range::UNIT, "0.8", "For precision_at_target_recall."),
    number(
        "f_beta",
        Range::ABOVE_0,
        "1.0",
        "Beta of the F score: recall weighs beta² times as much as precision.",
    ),
    entry(
        "accuracy_top_k",
        Kind::Integer(1, CLASSES_MAX as i64),
        "3",
        "K of the top-k accuracy that a multiclass_classifier reports.",
    ),
    entry(
        "positive_example_weight_mult",
        Kind::WordOr(&["balanced", "auto"], &Kind::Float(Range::ABOVE_0)),
        "1.0",
        "How many times a negative row a positive one counts; balanced makes both classes weigh the same, auto is balanced except for the criteria accuracy and loss_function.",
    ),
    entry(
        "balance_multiclass_weights",
        Kind::Boolean,
        "false",
        "Whether all classes weigh the same in sum.",
    ),
    number("margin", Range::ABOVE_0, "1", "Of hinge_loss: the distance a row must keep."),
    number("quantile", Range::INSIDE_UNIT, "0.5", "Of quantile_loss: which quantile to learn."),
    number(
        "loss_insensitivity",
        Range::FROM_0,
        "0.01",
        "Of the eps_insensitive losses: errors up to this cost nothing, in units of the label.",
    ),
    number(
        "huber_delta",
        Range::ABOVE_0,
        "1.0",
        "Of huber_loss: where the square ends, in units of the label.",
    ),
];

const AUTO: &[&str] = &["auto"];

const fn number(
    name: &'static str,
    range: Range,
    default: &'static str,
    meaning: &'static str,
) -> Parameter {
    entry(name, Kind::Float(range), default, meaning)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::parameter::table_is_sound;

    #[test]
    fn the_table_is_sound_and_whole() {
        table_is_sound(PARAMETERS).unwrap();
        assert!(PARAMETERS.iter().all(|p| p.meaning.ends_with('.')));
    }
}
