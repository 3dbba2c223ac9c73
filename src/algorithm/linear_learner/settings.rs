//! `linear-learner`'s hyperparameters: SageMaker's names, and what they come to once checked.
//!
//! Where SageMaker says `auto` without saying what follows, the meaning given here is smrt's.

use super::loss::Loss;
use crate::algorithm::calibrate::Criterion;
use crate::algorithm::label::Wanted;
use crate::algorithm::parameter::{Checked, Kind, Parameter, Range, check};
use crate::algorithm::standardise::Parts;
use crate::data::Task;
use crate::spec::limit::CLASSES_MAX;
use crate::spec::parameter::RawParameters;
use crate::spec::problem::Problems;

/// Everything the training needs to know, checked.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// What kind of answer.
    pub(super) task: Task,
    /// How many classes; of no meaning for a regression.
    pub(super) classes: Wanted,
    /// The objective, in the units of the labels.
    pub(super) loss: Loss,
    /// `feature_dim`, when given.
    pub(super) feature_dim: Option<usize>,
    /// Passes over the data, at most.
    pub(super) epochs: usize,
    /// Rows of a batch; `None` for auto.
    pub(super) batch_rows: Option<usize>,
    /// Models trained at once; `None` for auto.
    pub(super) models: Option<usize>,
    /// `None` for auto.
    pub(super) learning_rate: Option<f64>,
    /// L2; `None` for auto.
    pub(super) wd: Option<f64>,
    /// L1; `None` for auto.
    pub(super) l1: Option<f64>,
    /// How steps are made from gradients.
    pub(super) optimizer: Optimizer,
    /// `None` without a bias.
    pub(super) bias: Option<Bias>,
    /// First weights.
    pub(super) init: Init,
    /// How the learning rate falls.
    pub(super) schedule: Schedule,
    /// Epochs without progress before the training ends; 0 never ends it.
    pub(super) patience: usize,
    /// Relative progress that counts as such.
    pub(super) tolerance: f64,
    /// Which parts of the standardisation of features are wanted.
    pub(super) features: Parts,
    /// Which parts of the standardisation of labels are wanted (regression).
    pub(super) labels: Parts,
    /// What model and threshold are chosen for.
    pub(super) criterion: Criterion,
    /// Beta of the reported F.
    pub(super) beta: f64,
    /// K of the reported top-k accuracy.
    pub(super) top_k: usize,
    /// How much each class counts.
    pub(super) class_weights: ClassWeights,
    /// Rows the threshold is chosen on; `None` for all.
    pub(super) calibration_rows: Option<usize>,
}

/// How steps are made from gradients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Optimizer {
    /// Adam.
    Adam {
        /// Memory of the gradient.
        beta_1: f64,
        /// Memory of its square.
        beta_2: f64,
    },
    /// Plain steps, with momentum.
    Sgd {
        /// Share of the last step.
        momentum: f64,
    },
    /// Steps divided by the gradient's running size.
    RmsProp {
        /// Share of the last step.
        momentum: f64,
        /// Memory of the squared gradient.
        memory: f64,
    },
}

/// How the bias is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bias {
    /// Its learning rate beside that of the weights.
    pub(super) lr_mult: f64,
    /// Its L2 beside that of the weights.
    pub(super) wd_mult: f64,
    /// Its first value.
    pub(super) start: f64,
}

/// First weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Init {
    /// All 0.
    Zero,
    /// Uniform in ± this.
    Uniform(f64),
    /// Normal with this deviation.
    Normal(f64),
}

/// How the learning rate falls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Schedule {
    /// Not at all.
    Constant,
    /// Along a half cosine over all epochs, down to `floor` of its first value.
    Cosine {
        /// Lowest rate, absolute.
        floor: f64,
    },
    /// Times `factor` every `every` steps, down to `floor`.
    Steps {
        /// Batches between two falls.
        every: u64,
        /// What each fall leaves.
        factor: f64,
        /// Lowest rate, absolute.
        floor: f64,
    },
}

/// How much each class counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ClassWeights {
    /// All rows the same.
    Even,
    /// Positive rows so many times a negative one.
    Positive(f64),
    /// Every class the same in sum.
    Balanced,
}

const AUTO: &[&str] = &["auto"];

const fn entry(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
) -> Parameter {
    Parameter { name, aliases: &[], kind, default: Some(default), meaning }
}

const fn number(
    name: &'static str,
    range: Range,
    default: &'static str,
    meaning: &'static str,
) -> Parameter {
    entry(name, Kind::Float(range), default, meaning)
}

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

impl Settings {
    /// Checks what the user wrote; `None` when `problems` grew.
    pub(super) fn read(
        raw: &RawParameters,
        problems: &mut Problems,
    ) -> Option<(Settings, Checked)> {
        let checked = check(PARAMETERS, raw, problems)?;
        let before = problems.list.len();
        let task = match checked.word("predictor_type") {
            "binary_classifier" => Task::BinaryClassification,
            "multiclass_classifier" => Task::MulticlassClassification,
            _ => Task::Regression,
        };
        check_together(&checked, task, problems);
        let loss = loss(&checked, task, problems);
        if problems.list.len() > before {
            return None;
        }
        let settings = Settings {
            task,
            classes: match (task, checked.size_or_auto("num_classes")) {
                (Task::BinaryClassification, _) => Wanted::Two,
                (_, Some(count)) => Wanted::Exactly(count),
                (_, None) => Wanted::AsFound,
            },
            loss: loss?,
            feature_dim: checked.size_or_auto("feature_dim"),
            epochs: checked.size("epochs"),
            batch_rows: checked.size_or_auto("mini_batch_size"),
            models: checked.size_or_auto("num_models"),
            learning_rate: checked.float_or_auto("learning_rate"),
            wd: checked.float_or_auto("wd"),
            l1: checked.float_or_auto("l1"),
            optimizer: optimizer(&checked),
            bias: checked.boolean("use_bias").then(|| Bias {
                lr_mult: checked.float_or_auto("bias_lr_mult").unwrap_or(1.0),
                wd_mult: checked.float_or_auto("bias_wd_mult").unwrap_or(0.0),
                start: checked.float("init_bias"),
            }),
            init: match checked.word("init_method") {
                "uniform" => Init::Uniform(checked.float("init_scale")),
                "normal" => Init::Normal(checked.float("init_sigma")),
                _ => Init::Zero,
            },
            schedule: schedule(&checked),
            patience: checked.size("early_stopping_patience"),
            tolerance: checked.float("early_stopping_tolerance"),
            features: parts(&checked, Some(checked.boolean("normalize_data")), "unbias_data"),
            labels: parts(&checked, checked.boolean_or_auto("normalize_label"), "unbias_label"),
            criterion: criterion(&checked),
            beta: checked.float("f_beta"),
            top_k: checked.size("accuracy_top_k"),
            class_weights: class_weights(&checked, task),
            calibration_rows: checked.size_or_auto("num_calibration_samples"),
        };
        Some((settings, checked))
    }
}

fn parts(checked: &Checked, scale: Option<bool>, unbias: &str) -> Parts {
    let scale = scale.unwrap_or(true);
    Parts { scale, centre: checked.boolean_or_auto(unbias).unwrap_or(scale) }
}

/// Rules that tie a parameter to `predictor_type`: what would silently have no effect is refused.
fn check_together(checked: &Checked, task: Task, problems: &mut Problems) {
    let (binary, multiclass) =
        (task == Task::BinaryClassification, task == Task::MulticlassClassification);
    let predictor = checked.word("predictor_type");
    let classes = checked.size_or_auto("num_classes");
    if !multiclass && classes.is_some() && !(binary && classes == Some(2)) {
        let what = format!("num_classes has no meaning for a {predictor}");
        checked.refuse(
            problems,
            "num_classes",
            what,
            "leave it out, or use predictor_type = \"multiclass_classifier\"",
        );
    }
    let weighted = checked.float_or_auto("positive_example_weight_mult") != Some(1.0);
    if !binary && weighted {
        let what = format!("a {predictor} has no positive class");
        checked.refuse(
            problems,
            "positive_example_weight_mult",
            what,
            "leave it out; a multiclass_classifier has balance_multiclass_weights",
        );
    }
    if !multiclass && checked.boolean("balance_multiclass_weights") {
        let what = format!("a {predictor} has not many classes to balance");
        checked.refuse(
            problems,
            "balance_multiclass_weights",
            what,
            "leave it out; a binary_classifier has positive_example_weight_mult = \"balanced\"",
        );
    }
}

fn loss(checked: &Checked, task: Task, problems: &mut Problems) -> Option<Loss> {
    let eps = checked.float("loss_insensitivity");
    let name = checked.word("loss");
    let (loss, fits) = match name {
        "logistic" => (Loss::Logistic, Task::BinaryClassification),
        "hinge_loss" => {
            (Loss::Hinge { margin: checked.float("margin") }, Task::BinaryClassification)
        }
        "softmax_loss" => (Loss::Softmax, Task::MulticlassClassification),
        "squared_loss" => (Loss::Squared, Task::Regression),
        "absolute_loss" => (Loss::Absolute, Task::Regression),
        "eps_insensitive_squared_loss" => (Loss::EpsSquared { eps }, Task::Regression),
        "eps_insensitive_absolute_loss" => (Loss::EpsAbsolute { eps }, Task::Regression),
        "quantile_loss" => {
            (Loss::Quantile { quantile: checked.float("quantile") }, Task::Regression)
        }
        "huber_loss" => (Loss::Huber { delta: checked.float("huber_delta") }, Task::Regression),
        _ => match task {
            Task::BinaryClassification => (Loss::Logistic, task),
            Task::MulticlassClassification => (Loss::Softmax, task),
            _ => (Loss::Squared, task),
        },
    };
    if fits == task {
        return Some(loss);
    }
    let what = format!("{name:?} is not a loss of a {}", checked.word("predictor_type"));
    let help = match task {
        Task::BinaryClassification => "allowed: auto, logistic, hinge_loss",
        Task::MulticlassClassification => "allowed: auto, softmax_loss",
        _ => {
            "allowed: auto, squared_loss, absolute_loss, eps_insensitive_squared_loss, eps_insensitive_absolute_loss, quantile_loss, huber_loss"
        }
    };
    checked.refuse(problems, "loss", what, help);
    None
}

fn optimizer(checked: &Checked) -> Optimizer {
    let momentum = checked.float_or_auto("momentum");
    let beta_2 = checked.float_or_auto("beta_2");
    match checked.word("optimizer") {
        "sgd" => Optimizer::Sgd { momentum: momentum.unwrap_or(0.9) },
        "rmsprop" => {
            Optimizer::RmsProp { momentum: momentum.unwrap_or(0.0), memory: beta_2.unwrap_or(0.9) }
        }
        _ => Optimizer::Adam {
            beta_1: checked.float_or_auto("beta_1").unwrap_or(0.9),
            beta_2: beta_2.unwrap_or(0.999),
        },
    }
}

fn schedule(checked: &Checked) -> Schedule {
    let every = checked.size_or_auto("lr_scheduler_step");
    let factor = checked.float_or_auto("lr_scheduler_factor");
    let floor = checked.float_or_auto("lr_scheduler_minimum_lr");
    if !checked.boolean("use_lr_scheduler") {
        return Schedule::Constant;
    }
    if every.is_none() && factor.is_none() {
        return Schedule::Cosine { floor: floor.unwrap_or(0.0) };
    }
    Schedule::Steps {
        every: every.unwrap_or(100) as u64,
        factor: factor.unwrap_or(0.99),
        floor: floor.unwrap_or(1e-5),
    }
}

fn criterion(checked: &Checked) -> Criterion {
    match checked.word("binary_classifier_model_selection_criteria") {
        "accuracy" => Criterion::Accuracy,
        "f_beta" => Criterion::FBeta(checked.float("f_beta")),
        "precision_at_target_recall" => {
            Criterion::PrecisionAtRecall(checked.float("target_recall"))
        }
        "recall_at_target_precision" => {
            Criterion::RecallAtPrecision(checked.float("target_precision"))
        }
        _ => Criterion::Loss,
    }
}

fn class_weights(checked: &Checked, task: Task) -> ClassWeights {
    match task {
        Task::MulticlassClassification if checked.boolean("balance_multiclass_weights") => {
            ClassWeights::Balanced
        }
        Task::BinaryClassification => {
            let plain = matches!(criterion(checked), Criterion::Accuracy | Criterion::Loss);
            match checked.word_if_any("positive_example_weight_mult") {
                Some("auto") if plain => ClassWeights::Even,
                Some(_) => ClassWeights::Balanced,
                None => match checked.float("positive_example_weight_mult") {
                    1.0 => ClassWeights::Even,
                    weight => ClassWeights::Positive(weight),
                },
            }
        }
        _ => ClassWeights::Even,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::parameter::table_is_sound;
    use crate::spec::parameter::{Raw, RawValue};

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, Vec<(String, String)>> {
        let entry = |(name, value): &(&str, &str)| {
            let value = RawValue::Text((*value).to_owned());
            ((*name).to_owned(), Raw { value, line: Some(3) })
        };
        let raw = pairs.iter().map(entry).collect();
        let mut problems = Problems::default();
        let found = Settings::read(&raw, &mut problems);
        assert_eq!(found.is_none(), !problems.is_empty());
        let said = || problems.list.iter().map(|p| (p.key.clone(), p.what.clone())).collect();
        found.map(|(settings, _)| settings).ok_or_else(said)
    }

    #[test]
    fn the_table_is_sound_and_whole() {
        table_is_sound(PARAMETERS).unwrap();
        assert!(PARAMETERS.iter().all(|p| p.meaning.ends_with('.')));
    }

    #[test]
    fn the_defaults_are_sagemakers() {
        let settings = read(&[("predictor_type", "binary_classifier")]).unwrap();
        assert_eq!(settings.loss, Loss::Logistic);
        assert_eq!(settings.epochs, 15);
        assert_eq!(settings.criterion, Criterion::Accuracy);
        assert_eq!(settings.optimizer, Optimizer::Adam { beta_1: 0.9, beta_2: 0.999 });
        assert_eq!(settings.class_weights, ClassWeights::Even);
        assert_eq!((settings.patience, settings.tolerance), (3, 0.001));
        let settings = read(&[("predictor_type", "regressor")]).unwrap();
        assert_eq!(settings.loss, Loss::Squared);
        assert_eq!(settings.labels, Parts { centre: true, scale: true });
    }

    #[test]
    fn what_would_have_no_effect_is_refused() {
        let said = read(&[
            ("predictor_type", "regressor"),
            ("loss", "hinge_loss"),
            ("num_classes", "3"),
            ("positive_example_weight_mult", "balanced"),
            ("balance_multiclass_weights", "True"),
        ])
        .unwrap_err();
        let expected = [
            ("num_classes", "num_classes has no meaning for a regressor"),
            ("positive_example_weight_mult", "a regressor has no positive class"),
            ("balance_multiclass_weights", "a regressor has not many classes to balance"),
            ("loss", "\"hinge_loss\" is not a loss of a regressor"),
        ];
        assert_eq!(said.len(), expected.len(), "{said:?}");
        for ((key, what), (name, text)) in said.iter().zip(expected) {
            assert_eq!(
                (key.as_str(), what.as_str()),
                (format!("hyperparameters.{name}").as_str(), text)
            );
        }
    }

    #[test]
    fn a_given_step_or_factor_makes_the_rate_fall_in_steps() {
        let settings =
            read(&[("predictor_type", "regressor"), ("lr_scheduler_factor", "0.5")]).unwrap();
        let expected = Schedule::Steps { every: 100, factor: 0.5, floor: 1e-5 };
        assert_eq!(settings.schedule, expected);
        let settings = read(&[("predictor_type", "regressor"), ("use_lr_scheduler", "0")]).unwrap();
        assert_eq!(settings.schedule, Schedule::Constant);
    }
}
