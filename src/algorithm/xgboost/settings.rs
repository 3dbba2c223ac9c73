//! The hyperparameters of `xgboost`: their table, and the checked values the engine runs on.
//!
//! Names, defaults and ranges are those of SageMaker's container (XGBoost 3). What the engine
//! lacks is refused by name, never ignored; what has no effect on a result here (`nthread`,
//! `deterministic_histogram`) is accepted and says so.

use super::measure::Measure;
use super::objective::{Given, Objective};
use super::rank::Pairs;
use crate::algorithm::parameter::{self, Checked, Kind, Parameter, Range, Value, aliased as entry};
use crate::spec::limit::{CLASSES_MAX, TREE_DEPTH_MAX};
use crate::spec::parameter::{RawParameters, RawValue};
use crate::spec::problem::Problems;

const SAMPLED: Kind =
    Kind::Float(Range { low: parameter::End::Without(0.0), high: parameter::End::With(1.0) });

/// Every hyperparameter.
pub static TABLE: &[Parameter] = &[
    Parameter {
        name: "num_round",
        aliases: &[],
        kind: Kind::Integer(1, 1_000_000),
        default: None,
        meaning: "Rounds of boosting.",
    },
    entry(
        "objective",
        &[],
        Kind::Text,
        "reg:squarederror",
        "What to learn (`binary:logistic`, …).",
    ),
    entry("num_class", &[], Kind::Integer(0, CLASSES_MAX as i64), "0", "Classes, for `multi:*`."),
    entry(
        "eval_metric",
        &[],
        Kind::Text,
        "",
        "Metrics, comma separated; empty = the objective's own.",
    ),
    entry(
        "base_score",
        &[],
        BASE,
        "auto",
        "Score before the first tree; `auto` = from the labels.",
    ),
    entry("eta", &["learning_rate"], UNIT, "0.3", "Each tree's weight."),
    entry("gamma", &["min_split_loss"], FROM_0, "0", "Loss a split must at least save."),
    entry("max_depth", &[], DEPTH, "6", "Deepest level; 0 = no limit."),
    entry("max_leaves", &[], Kind::Integer(0, i32::MAX as i64), "0", "Most leaves; 0 = no limit."),
    entry(
        "grow_policy",
        &[],
        Kind::Choice(&["depthwise", "lossguide"]),
        "depthwise",
        "Which leaf grows next: all of a level, or the one that saves most.",
    ),
    entry("min_child_weight", &[], FROM_0, "1", "Least sum of hessians in a child."),
    entry(
        "max_delta_step",
        &[],
        FROM_0,
        "0",
        "Largest step of a leaf; 0 = no limit (`count:poisson`: 0.7).",
    ),
    entry("subsample", &[], SAMPLED, "1", "Share of rows each tree sees."),
    entry(
        "sampling_method",
        &[],
        Kind::Fixed("rows are drawn uniformly; gradient_based is a GPU method"),
        "uniform",
        "How rows are drawn.",
    ),
    entry("colsample_bytree", &[], SAMPLED, "1", "Share of columns each tree sees."),
    entry("colsample_bylevel", &[], SAMPLED, "1", "Share of the tree's columns each level sees."),
    entry("colsample_bynode", &[], SAMPLED, "1", "Share of the level's columns each node sees."),
    entry("lambda", &["reg_lambda"], FROM_0, "1", "L2 regularisation of leaf weights."),
    entry("alpha", &["reg_alpha"], FROM_0, "0", "L1 regularisation of leaf weights."),
    entry(
        "scale_pos_weight",
        &[],
        Kind::Float(Range::ABOVE_0),
        "1",
        "Weight of rows whose label is 1.",
    ),
    entry(
        "max_bin",
        &[],
        Kind::Integer(2, 65_535),
        "256",
        "Most bins of a column; above 256 takes twice the memory.",
    ),
    entry(
        "max_cat_to_onehot",
        &[],
        Kind::Integer(1, 1_000_000),
        "4",
        "Columns of fewer categories are parted one category against all others.",
    ),
    entry(
        "max_cat_threshold",
        &[],
        Kind::Integer(1, 1_000_000),
        "64",
        "Most categories, in the order of their weights, that a split tries.",
    ),
    entry("num_parallel_tree", &[], Kind::Integer(1, 10_000), "1", "Trees grown in each round."),
    entry(
        "monotone_constraints",
        &[],
        Kind::Text,
        "",
        "One of 1, 0, -1 for each column: `(1,0,-1)`.",
    ),
    entry(
        "interaction_constraints",
        &[],
        Kind::Text,
        "",
        "Columns that may share a path: `[[0,1],[2,3]]`.",
    ),
    entry("tweedie_variance_power", &[], TWEEDIE, "1.5", "Variance power of `reg:tweedie`."),
    entry("huber_slope", &[], Kind::Float(Range::ABOVE_0), "1", "Delta of `reg:pseudohubererror`."),
    entry(
        "early_stopping_rounds",
        &[],
        Kind::Integer(0, 1_000_000),
        "0",
        "Rounds without gain on validation after which to stop, keeping the best; 0 = never.",
    ),
    entry("seed", &["random_state"], Kind::Integer(0, i64::MAX), "0", "Mixed with the job's seed."),
    entry(
        "booster",
        &[],
        Kind::Fixed("gbtree is the booster here; for a linear model use linear-learner"),
        "gbtree",
        "Kind of model.",
    ),
    entry(
        "tree_method",
        &[],
        Kind::Choice(&["auto", "hist"]),
        "auto",
        "How splits are found; both are histograms here.",
    ),
    entry(
        "process_type",
        &[],
        Kind::Fixed("updating a given model is not supported"),
        "default",
        "Grow, or update.",
    ),
    entry(
        "updater",
        &[],
        Kind::Fixed("the histogram grower is the only one; leave it out"),
        "",
        "Chain of tree updaters.",
    ),
    entry(
        "refresh_leaf",
        &[],
        Kind::Fixed("belongs to process_type = update"),
        "1",
        "Leaf refresh.",
    ),
    entry(
        "sketch_eps",
        &[],
        Kind::Fixed("belongs to tree_method = approx; use max_bin"),
        "0.03",
        "Sketch accuracy.",
    ),
    entry(
        "csv_weights",
        &[],
        Kind::Integer(0, 1),
        "0",
        "1: in CSV the column after the label is the weight; or name it with `channels.*.weight`.",
    ),
    entry(
        "_kfold",
        &[],
        Kind::Integer(0, 1_000),
        "0",
        "Cross-validation: a model for each of so many parts of train and validation; 0 = none.",
    ),
    entry("_num_cv_round", &[], Kind::Integer(1, 1_000), "1", "Times the parts are drawn anew."),
    entry(
        "lambdarank_pair_method",
        &[],
        Kind::Choice(&["topk", "mean"]),
        "topk",
        "Which pairs `rank:*` learns from: those of the first rows, or some drawn for each.",
    ),
    entry(
        "lambdarank_num_pair_per_sample",
        &[],
        Kind::WordOr(&["auto"], &Kind::Integer(1, 1_000_000)),
        "auto",
        "How many first rows (`auto`: 32), or pairs for each row (`auto`: 1).",
    ),
    entry(
        "lambdarank_normalization",
        &[],
        Kind::Boolean,
        "true",
        "Whether a query's gradients are scaled by their sum.",
    ),
    entry(
        "lambdarank_score_normalization",
        &[],
        Kind::Boolean,
        "true",
        "Whether a pair weighs less when its scores are far apart.",
    ),
    entry(
        "lambdarank_unbiased",
        &[],
        Kind::Fixed("positions are not debiased"),
        "false",
        "Debias clicks by position.",
    ),
    entry(
        "lambdarank_bias_norm",
        &[],
        Kind::Fixed("belongs to lambdarank_unbiased"),
        "1",
        "Regularisation of the bias.",
    ),
    entry(
        "ndcg_exp_gain",
        &[],
        Kind::Boolean,
        "true",
        "Whether a grade is worth 2^grade - 1 in NDCG, or itself.",
    ),
    entry(
        "save_model_on_termination",
        &[],
        Kind::Choice(&["true", "false"]),
        "true",
        "A stopped job always keeps its checkpoint here.",
    ),
    entry(
        "use_dask_gpu_training",
        &[],
        Kind::Fixed("trees are grown on the CPU"),
        "false",
        "Dask on GPUs.",
    ),
    entry(
        "single_precision_histogram",
        &[],
        Kind::Fixed("sums are exact here"),
        "false",
        "Sums in f32.",
    ),
    entry(
        "deterministic_histogram",
        &[],
        Kind::Boolean,
        "true",
        "No effect: sums are exact in any order.",
    ),
    entry(
        "predictor",
        &[],
        Kind::Choice(&["auto", "cpu_predictor"]),
        "auto",
        "No effect: prediction is on the CPU.",
    ),
    entry(
        "nthread",
        &["n_jobs"],
        Kind::Integer(0, 1 << 16),
        "0",
        "No effect: threads are `resources.threads`.",
    ),
    entry("verbosity", &[], Kind::Integer(0, 3), "1", "No effect: use the command's -v."),
];

const UNIT: Kind = Kind::Float(Range::UNIT);
const FROM_0: Kind = Kind::Float(Range::FROM_0);
const DEPTH: Kind = Kind::Integer(0, TREE_DEPTH_MAX as i64);
const BASE: Kind = Kind::WordOr(&["auto"], &Kind::Float(Range::ANY));
const TWEEDIE: Kind =
    Kind::Float(Range { low: parameter::End::Without(1.0), high: parameter::End::Without(2.0) });

/// What a tree is grown by.
#[derive(Debug, Clone, PartialEq)]
pub struct Growth {
    /// Learning rate.
    pub eta: f64,
    /// Loss a split must save.
    pub gamma: f64,
    /// Levels below the root; never 0.
    pub max_depth: usize,
    /// Leaves; `usize::MAX` when unlimited.
    pub max_leaves: usize,
    /// Grow the leaf that saves most, instead of whole levels.
    pub lossguide: bool,
    /// Least hessian of a child.
    pub min_child_weight: f64,
    /// Least rows of a child, by LightGBM's estimate; 1 for no limit of its own.
    pub min_rows: usize,
    /// Largest leaf weight before `eta`; 0 for none.
    pub max_delta_step: f64,
    /// L2.
    pub lambda: f64,
    /// L1.
    pub alpha: f64,
    /// Shares of columns by tree, level and node.
    pub columns: [f64; 3],
    /// -1, 0 or 1 for each of the first columns; the rest are 0.
    pub monotone: Vec<i8>,
    /// Sets of columns that may share a path; empty for no constraint.
    pub interactions: Vec<Vec<u32>>,
    /// Columns of fewer categories are parted one against all others.
    pub onehot_max: usize,
    /// Categories in the order of their weights that a split tries.
    pub categories_max: usize,
    /// Of cuts that save the same the uppermost is made, as LightGBM does, not the lowest.
    pub from_above: bool,
}

/// A metric and the name it is reported by.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What is measured.
    pub measure: Measure,
    /// `auc`
    pub name: String,
}

/// Whose words and habits a training follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// XGBoost's.
    Xgboost,
    /// LightGBM's: log lines, second derivatives of several classes, nodes that keep their rows.
    Lightgbm,
}

/// Which rows a tree sees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampling {
    /// Each tree its own draw of this share.
    Share(f64),
    /// All trees of some rounds the same draw of this share.
    Bag {
        /// Share of rows.
        share: f64,
        /// Rounds until the next draw.
        rounds: usize,
    },
    /// Rows with large gradients, and a share of the others (Ke et al. 2017), once the first
    /// rounds are done.
    Gradient {
        /// Share of rows taken for their gradients.
        top: f64,
        /// Share of rows drawn from the others.
        other: f64,
        /// Rounds before, on all rows.
        after: usize,
    },
}

/// Cross-validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folds {
    /// Parts; at least 2.
    pub parts: usize,
    /// Times they are drawn.
    pub rounds: usize,
}

/// Everything `fit` needs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whose words and habits.
    pub flavour: Flavour,
    /// Boosting rounds.
    pub rounds: usize,
    /// What to learn.
    pub objective: Objective,
    /// Metrics in the order they are reported.
    pub figures: Vec<Figure>,
    /// The one of them that decides early stopping.
    pub deciding: usize,
    /// The user's base score, in the answer's scale.
    pub base_score: Option<f32>,
    /// How trees grow.
    pub growth: Growth,
    /// Which rows they see.
    pub sampling: Sampling,
    /// Bins of a column.
    pub max_bin: usize,
    /// Trees per round and output.
    pub parallel: usize,
    /// Rounds without improvement.
    pub early_stopping: Option<usize>,
    /// Both classes weigh the same in sum.
    pub balanced: bool,
    /// Cross-validation instead of one model.
    pub folds: Option<Folds>,
    /// The `seed` hyperparameter.
    pub seed: u64,
    /// Everything in effect, for the manifest.
    pub effective: serde_json::Map<String, serde_json::Value>,
}

impl Settings {
    /// Checks what the user wrote; `None` when `problems` grew.
    pub fn read(raw: &RawParameters, problems: &mut Problems) -> Option<Settings> {
        let before = problems.list.len();
        let mut checked = parameter::check(TABLE, &listed_as_text(raw), problems)?;
        if checked.text("objective") == "count:poisson" && !checked.is_given("max_delta_step") {
            checked.settle("max_delta_step", Value::Float(0.7));
        }
        let objective = objective(&checked, problems);
        let measures = measures(&checked, objective.as_ref(), problems);
        let monotone = monotone(&checked, problems);
        let interactions = interactions(&checked, problems);
        let base_score = base_score(&checked, objective.as_ref(), problems);
        let folds = folds(&checked, objective.as_ref(), problems);
        if checked.word("grow_policy") == "lossguide"
            && checked.integer("max_depth") == 0
            && checked.integer("max_leaves") == 0
        {
            let help = "set max_leaves, or max_depth above 0";
            checked.refuse(problems, "max_leaves", "a tree without any limit never ends", help);
        }
        let objective = objective?;
        if problems.list.len() > before {
            return None;
        }
        let named = |measure: Measure| Figure { name: measure.name(), measure };
        let figures: Vec<Figure> = measures.into_iter().map(named).collect();
        Some(Settings {
            flavour: Flavour::Xgboost,
            rounds: checked.size("num_round"),
            objective,
            deciding: figures.len() - 1,
            figures,
            base_score,
            growth: growth(&checked, monotone, interactions),
            sampling: Sampling::Share(checked.float("subsample")),
            max_bin: checked.size("max_bin"),
            parallel: checked.size("num_parallel_tree"),
            early_stopping: Some(checked.size("early_stopping_rounds")).filter(|n| *n > 0),
            balanced: false,
            folds,
            seed: checked.integer("seed").unsigned_abs(),
            effective: checked.effective(),
        })
    }
}

fn folds(
    checked: &Checked,
    objective: Option<&Objective>,
    problems: &mut Problems,
) -> Option<Folds> {
    let (parts, rounds) = (checked.size("_kfold"), checked.size("_num_cv_round"));
    if parts == 0 {
        if rounds > 1 {
            let help = "set _kfold to 2 or more, or leave it out";
            checked.refuse(problems, "_num_cv_round", "there is no _kfold to repeat", help);
        }
        return None;
    }
    if parts == 1 {
        let help = "set _kfold to 2 or more";
        checked.refuse(problems, "_kfold", "one part leaves nothing to learn from", help);
    }
    if let Some(Objective::Rank(_)) = objective {
        let help = "leave _kfold out; give a validation channel";
        checked.refuse(problems, "_kfold", "queries are not parted into folds", help);
    }
    Some(Folds { parts, rounds })
}

/// What XGBoost writes as text may come as a TOML list too.
fn listed_as_text(raw: &RawParameters) -> RawParameters {
    let mut raw = raw.clone();
    for name in ["eval_metric", "monotone_constraints", "interaction_constraints"] {
        if let Some(given) = raw.get_mut(name)
            && let RawValue::List(_) = given.value
        {
            given.value = RawValue::Text(given.value.to_string());
        }
    }
    raw
}

fn growth(checked: &Checked, monotone: Vec<i8>, interactions: Vec<Vec<u32>>) -> Growth {
    let unlimited = |n: usize, all: usize| if n == 0 { all } else { n };
    Growth {
        eta: checked.float("eta"),
        gamma: checked.float("gamma"),
        max_depth: unlimited(checked.size("max_depth"), TREE_DEPTH_MAX),
        max_leaves: unlimited(checked.size("max_leaves"), usize::MAX),
        lossguide: checked.word("grow_policy") == "lossguide",
        min_child_weight: checked.float("min_child_weight"),
        min_rows: 1,
        max_delta_step: checked.float("max_delta_step"),
        lambda: checked.float("lambda"),
        alpha: checked.float("alpha"),
        columns: ["colsample_bytree", "colsample_bylevel", "colsample_bynode"]
            .map(|name| checked.float(name)),
        monotone,
        interactions,
        onehot_max: checked.size("max_cat_to_onehot"),
        categories_max: checked.size("max_cat_threshold"),
        from_above: false,
    }
}

fn objective(checked: &Checked, problems: &mut Problems) -> Option<Objective> {
    let name = checked.text("objective").trim().to_owned();
    let classes = checked.size("num_class");
    let mut given = Given {
        classes,
        positive: checked.float("scale_pos_weight") as f32,
        power: checked.float("tweedie_variance_power") as f32,
        slope: checked.float("huber_slope") as f32,
        step: checked.float("max_delta_step") as f32,
        ..Given::default()
    };
    let pairs = checked.float_or_auto("lambdarank_num_pair_per_sample").map(|pairs| pairs as usize);
    given.ranking.pairs = match checked.word("lambdarank_pair_method") {
        "mean" => Pairs::Mean(pairs.unwrap_or(1)),
        _ => Pairs::Top(pairs.unwrap_or(32)),
    };
    given.ranking.normalise = checked.boolean("lambdarank_normalization");
    given.ranking.by_difference = checked.boolean("lambdarank_score_normalization");
    given.ranking.exponential = checked.boolean("ndcg_exp_gain");
    let found = Objective::named(&name, &given);
    let Some(objective) = found else {
        let what = format!("{name:?} is not an objective of this engine");
        let help = format!("allowed: {}", Objective::NAMES.join(", "));
        checked.refuse(problems, "objective", what, help);
        return None;
    };
    match objective {
        Objective::Multi { classes, .. } if classes < 2 => {
            let what = format!("{name} needs the number of classes");
            checked.refuse(problems, "num_class", what, "set num_class to 2 or more");
            None
        }
        Objective::Multi { .. } => Some(objective),
        _ if classes > 1 => {
            let what = format!("num_class = {classes} does not go with {name}");
            let help = "use multi:softmax or multi:softprob, or leave num_class out";
            checked.refuse(problems, "num_class", what, help);
            None
        }
        _ => Some(objective),
    }
}

fn measures(
    checked: &Checked,
    objective: Option<&Objective>,
    problems: &mut Problems,
) -> Vec<Measure> {
    let Some(objective) = objective else { return Vec::new() };
    let mut found = Vec::new();
    let unquoted = |name: &'static str| {
        let text = checked.text(name).trim_start_matches('[').trim_end_matches(']');
        text.split(',').map(|item| item.trim().trim_matches(['"', '\'']).to_owned())
    };
    for name in unquoted("eval_metric").filter(|name| !name.is_empty()) {
        match Measure::named(&name, objective) {
            Ok(measure) => found.push(measure),
            Err(what) => checked.refuse(
                problems,
                "eval_metric",
                what,
                format!("metrics here: {}", Measure::NAMES.join(", ")),
            ),
        }
    }
    if found.is_empty() {
        found.push(Measure::of(objective));
    }
    found
}

fn base_score(
    checked: &Checked,
    objective: Option<&Objective>,
    problems: &mut Problems,
) -> Option<f32> {
    let score = checked.float_or_auto("base_score")? as f32;
    if let Some(objective) = objective
        && let Err(what) = objective.check_base_score(score)
    {
        checked.refuse(problems, "base_score", what, "leave it out to take it from the labels");
    }
    Some(score)
}

/// `(1,0,-1)` or `[1, 0, -1]`.
fn monotone(checked: &Checked, problems: &mut Problems) -> Vec<i8> {
    let text = checked.text("monotone_constraints").trim();
    let inner = text.trim_start_matches(['(', '[']).trim_end_matches([')', ']']).trim();
    if inner.is_empty() {
        return Vec::new();
    }
    let signs: Option<Vec<i8>> = inner
        .split(',')
        .map(|sign| sign.trim().parse().ok().filter(|sign| (-1..=1).contains(sign)))
        .collect();
    signs.unwrap_or_else(|| {
        let what = format!("{text:?} is not a list of 1, 0 and -1");
        checked.refuse(problems, "monotone_constraints", what, "write \"(1,0,-1)\"");
        Vec::new()
    })
}

/// `[[0,1],[2,3]]`, columns by number.
fn interactions(checked: &Checked, problems: &mut Problems) -> Vec<Vec<u32>> {
    let text = checked.text("interaction_constraints").trim();
    if text.is_empty() {
        return Vec::new();
    }
    serde_json::from_str(text).unwrap_or_else(|_| {
        let what = format!("{text:?} is not a list of lists of column numbers");
        checked.refuse(problems, "interaction_constraints", what, "write \"[[0,1],[2,3]]\"");
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::parameter::Raw;

    fn read(given: &[(&str, &str)]) -> Result<Settings, String> {
        let raw = given.iter().map(|(name, value)| {
            let value = RawValue::Text((*value).to_owned());
            ((*name).to_owned(), Raw { value, line: None })
        });
        let mut problems = Problems::default();
        Settings::read(&raw.collect(), &mut problems).ok_or_else(|| {
            let all: Vec<String> = problems.list.iter().map(ToString::to_string).collect();
            all.join("\n")
        })
    }

    #[test]
    fn the_table_is_sound() {
        parameter::table_is_sound(TABLE).unwrap();
    }

    #[test]
    fn defaults_are_xgboosts() {
        let settings = read(&[("num_round", "10")]).unwrap();
        assert_eq!(settings.objective, Objective::SquaredError { positive: 1.0 });
        assert_eq!((settings.growth.eta, settings.growth.max_depth), (0.3, 6));
        assert_eq!(settings.max_bin, 256);
        assert_eq!(settings.figures[0].measure, Measure::Rmse);
        assert_eq!(settings.sampling, Sampling::Share(1.0));
    }

    #[test]
    fn aliases_lists_and_constraints_are_read() {
        let settings = read(&[
            ("num_round", "10"),
            ("learning_rate", "0.1"),
            ("objective", "binary:logistic"),
            ("eval_metric", "auc,error@0.7"),
            ("monotone_constraints", "(1, 0,-1)"),
            ("interaction_constraints", "[[0,1],[2]]"),
        ])
        .unwrap();
        assert_eq!(settings.growth.eta, 0.1);
        assert_eq!(settings.growth.monotone, [1, 0, -1]);
        assert_eq!(settings.growth.interactions, [vec![0, 1], vec![2]]);
        let measures: Vec<Measure> = settings.figures.iter().map(|f| f.measure).collect();
        assert_eq!(measures, [Measure::Auc, Measure::Error(0.7)]);
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (name, value) in [
            ("booster", "dart"),
            ("booster", "gblinear"),
            ("tree_method", "exact"),
            ("lambdarank_unbiased", "true"),
            ("objective", "survival:cox"),
            ("process_type", "update"),
            ("_kfold", "1"),
            ("_num_cv_round", "3"),
            ("rate_drop", "0.1"),
            ("monotone_constraints", "(2)"),
            ("interaction_constraints", "[0,1]"),
            ("eval_metric", "ndcg@0"),
            ("subsample", "0"),
        ] {
            let said = read(&[("num_round", "1"), (name, value)]).unwrap_err();
            assert!(said.contains(name), "{name}: {said}");
        }
        let said = read(&[("num_round", "1"), ("objective", "multi:softmax")]).unwrap_err();
        assert!(said.contains("num_class"), "{said}");
    }
}
