//! The parameters of `mlp`: the table a user reads, and the checked values a training uses.
//!
//! Names, defaults and meanings are linear-learner's where it has them. `auto` is settled here or,
//! where it depends on the data, in [`super::train`].

use super::loss::Loss;
use crate::algorithm::label::Wanted;
use crate::algorithm::net::dense::Activation;
use crate::algorithm::net::optimizer::{Rule, Settings as OptimizerSettings};
use crate::algorithm::net::schedule::Schedule;
use crate::algorithm::parameter::{self, Checked, Kind, Parameter, Range, Value, entry};
use crate::data::Task;
use crate::spec::limit::CLASSES_MAX;
use crate::spec::parameter::RawParameters;
use crate::spec::problem::Problems;

const AUTO: &[&str] = &["auto"];
/// Units of one hidden layer.
const UNITS_MAX: i64 = 1 << 16;
/// Hidden layers.
pub const LAYERS_MAX: usize = 64;

/// The table of `smrt algorithms mlp`.
pub static PARAMETERS: &[Parameter] = &[
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
    entry(
        "hidden_layers",
        Kind::List { item: &Kind::Integer(1, UNITS_MAX), length_min: 0, length_max: LAYERS_MAX },
        "[64, 32]",
        "Units of each hidden layer, first to last.",
    ),
    entry(
        "activation",
        Kind::Choice(&["relu", "gelu", "tanh", "sigmoid", "silu"]),
        "relu",
        "The function behind each hidden layer.",
    ),
    entry(
        "dropout",
        Kind::Float(Range::BELOW_1),
        "0",
        "Share of hidden units left out of each step.",
    ),
    entry(
        "batch_norm",
        Kind::Boolean,
        "false",
        "Whether hidden layers are normalised over the rows of a batch.",
    ),
    entry("epochs", Kind::Integer(1, 1_000_000), "50", "Passes over the data, at most."),
    entry("mini_batch_size", Kind::Integer(1, 1 << 24), "100", "Rows of a step."),
    entry(
        "loss",
        Kind::Choice(&[
            "auto",
            "logistic",
            "softmax_loss",
            "squared_loss",
            "absolute_loss",
            "huber_loss",
        ]),
        "auto",
        "The objective. auto is logistic, softmax_loss or squared_loss, after predictor_type.",
    ),
    entry(
        "huber_delta",
        Kind::Float(Range::ABOVE_0),
        "1",
        "Error (of the normalised label) from which huber_loss is a line.",
    ),
    entry(
        "optimizer",
        Kind::Choice(&["auto", "adam", "adamw", "sgd", "rmsprop"]),
        "auto",
        "How steps are made from gradients. auto is adam.",
    ),
    entry(
        "learning_rate",
        Kind::WordOr(AUTO, &Kind::Float(Range::ABOVE_0)),
        "auto",
        "Length of the first steps. auto is 0.005 for adam and adamw, 0.001 for rmsprop, 0.01 for sgd.",
    ),
    entry(
        "wd",
        Kind::Float(Range::FROM_0),
        "0.001",
        "L2: this times half the squared weights is added to the mean loss; decoupled for adamw.",
    ),
    entry(
        "l1",
        Kind::Float(Range::FROM_0),
        "0",
        "L1: this times the absolute weights is added to the mean loss.",
    ),
    entry(
        "momentum",
        Kind::WordOr(AUTO, &Kind::Float(Range::BELOW_1)),
        "auto",
        "Share of the last step that sgd and rmsprop repeat. auto is 0.9 for sgd and 0 for rmsprop.",
    ),
    entry("beta_1", Kind::Float(Range::BELOW_1), "0.9", "Adam's memory of the gradient."),
    entry(
        "beta_2",
        Kind::WordOr(AUTO, &Kind::Float(Range::BELOW_1)),
        "auto",
        "Memory of the squared gradient. auto is 0.999 for adam and 0.9 for rmsprop.",
    ),
    entry(
        "gradient_clip_norm",
        Kind::WordOr(&["none"], &Kind::Float(Range::ABOVE_0)),
        "none",
        "Longest the gradient of all weights together may be; a longer one is shortened to it.",
    ),
    entry(
        "use_lr_scheduler",
        Kind::Boolean,
        "true",
        "Whether the learning rate falls as schedule says; false is schedule = constant.",
    ),
    entry(
        "schedule",
        Kind::Choice(&["auto", "cosine", "step", "constant"]),
        "auto",
        "How the learning rate falls: along half a cosine over all epochs, in steps, or not. auto is step when lr_scheduler_step or lr_scheduler_factor is given, else cosine.",
    ),
    entry(
        "lr_scheduler_step",
        Kind::WordOr(AUTO, &Kind::Integer(1, i64::MAX)),
        "auto",
        "Batches between two falls of a stepwise learning rate. auto is 100.",
    ),
    entry(
        "lr_scheduler_factor",
        Kind::WordOr(AUTO, &Kind::Float(Range::INSIDE_UNIT)),
        "auto",
        "What a fall leaves of a stepwise learning rate. auto is 0.99.",
    ),
    entry(
        "lr_scheduler_minimum_lr",
        Kind::WordOr(AUTO, &Kind::Float(Range::FROM_0)),
        "auto",
        "The learning rate does not fall below it. auto is 0 for cosine and 0.00001 for step.",
    ),
    entry(
        "early_stopping_patience",
        Kind::Integer(0, 1_000_000),
        "10",
        "Epochs without progress of the validation loss (without validation: the training loss) before the training ends; 0 never ends it.",
    ),
    entry(
        "early_stopping_tolerance",
        Kind::Float(Range::FROM_0),
        "0.0001",
        "Relative fall of the loss that counts as progress.",
    ),
    entry(
        "normalize_data",
        Kind::Boolean,
        "true",
        "Whether features are brought to mean 0 and deviation 1. Missing values become the mean, or 0 without it.",
    ),
    entry(
        "normalize_label",
        Kind::WordOr(AUTO, &Kind::Boolean),
        "auto",
        "Whether a regressor's labels are brought to mean 0 and deviation 1 while learning. auto is true.",
    ),
    entry(
        "positive_example_weight_mult",
        Kind::WordOr(&["balanced", "auto"], &Kind::Float(Range::ABOVE_0)),
        "1",
        "Weight of the positive class beside 1 for the negative one. balanced lets both weigh the same in sum; auto is balanced.",
    ),
    entry(
        "balance_multiclass_weights",
        Kind::Boolean,
        "false",
        "Whether all classes weigh the same in sum.",
    ),
    entry(
        "accuracy_top_k",
        Kind::Integer(1, CLASSES_MAX as i64),
        "3",
        "The k of multiclass_top_k_accuracy.",
    ),
    entry("f_beta", Kind::Float(Range::ABOVE_0), "1", "The beta of the F measures."),
];

/// How much the rows of each class count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ClassWeight {
    /// As the rows say.
    Equal,
    /// The positive class this much more.
    Positive(f64),
    /// All classes the same in sum.
    Balanced,
}

/// Checked parameters.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What to learn.
    pub task: Task,
    /// How many classes.
    pub wanted: Wanted,
    /// `None`: as many as the data have.
    pub features: Option<usize>,
    /// Units of each hidden layer.
    pub hidden: Vec<usize>,
    /// Behind each hidden layer.
    pub activation: Activation,
    /// Share left out.
    pub dropout: f32,
    /// Whether hidden layers are normalised.
    pub batch_norm: bool,
    /// At most.
    pub epochs: usize,
    /// Rows of a step.
    pub batch: usize,
    /// The objective.
    pub loss: Loss,
    /// The first learning rate.
    pub rate: f64,
    /// How it moves.
    pub schedule: Schedule,
    /// How steps are made.
    pub optimizer: OptimizerSettings,
    /// See the table.
    pub patience: usize,
    /// See the table.
    pub tolerance: f64,
    /// See the table.
    pub normalize_data: bool,
    /// See the table.
    pub normalize_label: bool,
    /// See the table.
    pub class_weight: ClassWeight,
    /// See the table.
    pub top_k: usize,
    /// See the table.
    pub f_beta: f64,
}

impl Settings {
    /// Checks what the user wrote; `None` when `problems` grew. The second value is what goes into
    /// the manifest.
    pub fn read(raw: &RawParameters, problems: &mut Problems) -> Option<(Settings, Checked)> {
        let mut checked = parameter::check(PARAMETERS, raw, problems)?;
        let before = problems.list.len();
        refuse_without_effect(&checked, problems);
        if problems.list.len() > before {
            return None;
        }
        settle(&mut checked);
        Some((Settings::of(&checked), checked))
    }

    fn of(checked: &Checked) -> Settings {
        let task = task(checked);
        Settings {
            task,
            wanted: match (task, checked.size_or_auto("num_classes")) {
                (Task::BinaryClassification, _) => Wanted::Two,
                (_, Some(classes)) => Wanted::Exactly(classes),
                (_, None) => Wanted::AsFound,
            },
            features: checked.size_or_auto("feature_dim"),
            hidden: checked.sizes("hidden_layers"),
            activation: activation(checked.word("activation"))
                .expect("the table lists the activations there are"),
            dropout: checked.float("dropout") as f32,
            batch_norm: checked.boolean("batch_norm"),
            epochs: checked.size("epochs"),
            batch: checked.size("mini_batch_size"),
            loss: match checked.word("loss") {
                "squared_loss" => Loss::Squared,
                "absolute_loss" => Loss::Absolute,
                "huber_loss" => Loss::Huber(checked.float("huber_delta") as f32),
                _ => Loss::Softmax,
            },
            rate: checked.float("learning_rate"),
            schedule: schedule(checked),
            optimizer: OptimizerSettings {
                rule: rule(checked),
                momentum: checked.float("momentum"),
                beta_1: checked.float("beta_1"),
                beta_2: checked.float("beta_2"),
                epsilon: 1e-8,
                wd: checked.float("wd"),
                l1: checked.float("l1"),
                clip_norm: checked.float_or_auto("gradient_clip_norm"),
            },
            patience: checked.size("early_stopping_patience"),
            tolerance: checked.float("early_stopping_tolerance"),
            normalize_data: checked.boolean("normalize_data"),
            normalize_label: checked.boolean("normalize_label"),
            class_weight: class_weight(checked),
            top_k: checked.size("accuracy_top_k"),
            f_beta: checked.float("f_beta"),
        }
    }
}

/// The activation a name stands for.
pub fn activation(name: &str) -> Option<Activation> {
    Some(match name {
        "relu" => Activation::Relu,
        "gelu" => Activation::Gelu,
        "tanh" => Activation::Tanh,
        "sigmoid" => Activation::Sigmoid,
        "silu" => Activation::Silu,
        _ => return None,
    })
}

/// The name of an activation.
pub fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::Relu | Activation::Identity => "relu",
        Activation::Gelu => "gelu",
        Activation::Tanh => "tanh",
        Activation::Sigmoid => "sigmoid",
        Activation::Silu => "silu",
    }
}

fn task(checked: &Checked) -> Task {
    match checked.word("predictor_type") {
        "binary_classifier" => Task::BinaryClassification,
        "multiclass_classifier" => Task::MulticlassClassification,
        _ => Task::Regression,
    }
}

fn rule(checked: &Checked) -> Rule {
    match checked.word("optimizer") {
        "adamw" => Rule::AdamW,
        "sgd" => Rule::Sgd,
        "rmsprop" => Rule::RmsProp,
        _ => Rule::Adam,
    }
}

fn schedule(checked: &Checked) -> Schedule {
    let minimum = |otherwise| checked.float_or_auto("lr_scheduler_minimum_lr").unwrap_or(otherwise);
    match checked.word("schedule") {
        "step" => Schedule::Step {
            every: checked.size_or_auto("lr_scheduler_step").unwrap_or(100) as u64,
            factor: checked.float_or_auto("lr_scheduler_factor").unwrap_or(0.99),
            minimum: minimum(1e-5),
        },
        "constant" => Schedule::Constant,
        _ => Schedule::Cosine { minimum: minimum(0.0) },
    }
}

fn class_weight(checked: &Checked) -> ClassWeight {
    let balanced = checked.boolean("balance_multiclass_weights");
    match checked.float_or_auto("positive_example_weight_mult") {
        _ if balanced => ClassWeight::Balanced,
        None => ClassWeight::Balanced,
        Some(1.0) => ClassWeight::Equal,
        Some(weight) => ClassWeight::Positive(weight),
    }
}

/// Writes in what `auto` comes to, so that the manifest says what was used.
fn settle(checked: &mut Checked) {
    let task = task(checked);
    if checked.word("optimizer") == "auto" {
        checked.settle("optimizer", Value::Word("adam"));
    }
    let rule = rule(checked);
    let mut number = |name, value| {
        if checked.float_or_auto(name).is_none() {
            checked.settle(name, Value::Float(value));
        }
    };
    let rate = match rule {
        Rule::Adam | Rule::AdamW => 0.005,
        Rule::RmsProp => 0.001,
        Rule::Sgd => 0.01,
    };
    number("learning_rate", rate);
    number("momentum", if rule == Rule::Sgd { 0.9 } else { 0.0 });
    number("beta_2", if rule == Rule::RmsProp { 0.9 } else { 0.999 });
    if checked.word("loss") == "auto" {
        let loss = match task {
            Task::BinaryClassification => "logistic",
            Task::MulticlassClassification => "softmax_loss",
            _ => "squared_loss",
        };
        checked.settle("loss", Value::Word(loss));
    }
    if checked.boolean_or_auto("normalize_label").is_none() {
        checked.settle("normalize_label", Value::Boolean(task == Task::Regression));
    }
    if !checked.boolean("use_lr_scheduler") {
        checked.settle("schedule", Value::Word("constant"));
    }
    if checked.word("schedule") == "auto" {
        let stepwise =
            checked.is_given("lr_scheduler_step") || checked.is_given("lr_scheduler_factor");
        checked.settle("schedule", Value::Word(if stepwise { "step" } else { "cosine" }));
    }
}

/// What would silently have no effect is refused.
fn refuse_without_effect(checked: &Checked, problems: &mut Problems) {
    let predictor = checked.word("predictor_type");
    let task = task(checked);
    let only = |name: &'static str, holds: bool, help: &str, problems: &mut Problems| {
        if !holds && checked.is_given(name) {
            let what = format!("{name} has no meaning for a {predictor}");
            checked.refuse(problems, name, what, help);
        }
    };
    let multiclass = task == Task::MulticlassClassification;
    if checked.size_or_auto("num_classes").is_some_and(|classes| classes != 2) {
        only("num_classes", multiclass, "leave it out, or use multiclass_classifier", problems);
    } else {
        let classifies = task != Task::Regression;
        only("num_classes", classifies, "leave it out, or use multiclass_classifier", problems);
    }
    only(
        "positive_example_weight_mult",
        task == Task::BinaryClassification,
        "for many classes use balance_multiclass_weights",
        problems,
    );
    only(
        "balance_multiclass_weights",
        multiclass,
        "for two classes use positive_example_weight_mult = \"balanced\"",
        problems,
    );
    only("normalize_label", task == Task::Regression, "leave it out", problems);
    let fits = match checked.word("loss") {
        "auto" => true,
        "logistic" => task == Task::BinaryClassification,
        "softmax_loss" => task != Task::Regression,
        _ => task == Task::Regression,
    };
    if !fits {
        let what = format!("{} is not a loss of a {predictor}", checked.word("loss"));
        let help = match task {
            Task::Regression => "use squared_loss, absolute_loss, huber_loss or auto",
            Task::BinaryClassification => "use logistic or auto",
            _ => "use softmax_loss or auto",
        };
        checked.refuse(problems, "loss", what, help);
    }
    if checked.is_given("huber_delta") && checked.word("loss") != "huber_loss" {
        let what = "huber_delta has no meaning without loss = \"huber_loss\"";
        checked.refuse(problems, "huber_delta", what, "leave it out, or set the loss");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::parameter::{Raw, RawValue};

    fn raw(pairs: &[(&str, &str)]) -> RawParameters {
        let one = |(name, value): &(&str, &str)| {
            let value = RawValue::Text((*value).to_owned());
            ((*name).to_owned(), Raw { value, line: None })
        };
        pairs.iter().map(one).collect()
    }

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let mut problems = Problems::default();
        let read = Settings::read(&raw(pairs), &mut problems);
        let said: Vec<String> = problems.list.iter().map(ToString::to_string).collect();
        read.map(|(settings, _)| settings).ok_or(said.join("\n"))
    }

    #[test]
    fn the_table_is_sound() {
        parameter::table_is_sound(PARAMETERS).unwrap();
    }

    #[test]
    fn layers_are_a_list_or_text() {
        for text in ["128,64", "[128, 64]", " 128 , 64 "] {
            let settings = read(&[("predictor_type", "regressor"), ("hidden_layers", text)]);
            assert_eq!(settings.unwrap().hidden, [128, 64], "{text}");
        }
        let none = read(&[("predictor_type", "regressor"), ("hidden_layers", "[]")]);
        assert!(none.unwrap().hidden.is_empty());
    }

    #[test]
    fn auto_follows_the_predictor_and_the_optimizer() {
        let settings = read(&[("predictor_type", "regressor"), ("optimizer", "sgd")]).unwrap();
        assert_eq!((settings.rate, settings.optimizer.momentum), (0.01, 0.9));
        assert!(settings.normalize_label && settings.loss == Loss::Squared);
        let settings = read(&[("predictor_type", "binary_classifier")]).unwrap();
        assert_eq!((settings.rate, settings.optimizer.momentum), (0.005, 0.0));
        assert_eq!(settings.schedule, Schedule::Cosine { minimum: 0.0 });
        let constant =
            read(&[("predictor_type", "binary_classifier"), ("use_lr_scheduler", "false")]);
        assert_eq!(constant.unwrap().schedule, Schedule::Constant);
    }

    #[test]
    fn what_would_have_no_effect_or_cannot_be_is_refused_by_name() {
        for (predictor, name, value, said) in [
            ("regressor", "num_classes", "3", "num_classes has no meaning for a regressor"),
            ("regressor", "loss", "logistic", "logistic is not a loss of a regressor"),
            ("binary_classifier", "loss", "huber_loss", "huber_loss is not a loss"),
            ("regressor", "huber_delta", "2", "without loss"),
            ("multiclass_classifier", "positive_example_weight_mult", "2", "has no meaning"),
            ("binary_classifier", "dropout", "1", "\"1\" is not allowed"),
            ("binary_classifier", "hidden_layers", "0", "is not allowed"),
            ("binary_classifier", "epoch", "5", "no hyperparameter \"epoch\""),
        ] {
            let answer = read(&[("predictor_type", predictor), (name, value)]).unwrap_err();
            assert!(answer.contains(said), "{answer}");
        }
    }
}
