//! What `linear-learner`'s hyperparameters come to once checked, each against the table and all
//! against `predictor_type`.

use super::loss::Loss;
use super::table::PARAMETERS;
use crate::algorithm::calibrate::Criterion;
use crate::algorithm::label::Wanted;
use crate::algorithm::parameter::{Checked, check};
use crate::algorithm::standardise::Parts;
use crate::data::Task;
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
