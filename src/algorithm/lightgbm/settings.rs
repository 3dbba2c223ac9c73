//! The hyperparameters of `lightgbm`: LightGBM's names, SageMaker's defaults where it has them
//! (64 leaves, depth 6, 3 rows in a leaf, nine tenths of rows and columns), else LightGBM's.
//! What the engine lacks is refused by name, never ignored.

use crate::algorithm::parameter::{self, Checked, End, Kind, Parameter, Range, aliased as entry};
use crate::algorithm::xgboost::measure::Measure;
use crate::algorithm::xgboost::objective::{Given, Objective};
use crate::algorithm::xgboost::rank::{Pairs, Ranked, RankedKind};
use crate::algorithm::xgboost::settings::{Figure, Flavour, Growth, Sampling, Settings};
use crate::spec::limit::{CLASSES_MAX, TREE_DEPTH_MAX};
use crate::spec::parameter::{RawParameters, RawValue};
use crate::spec::problem::Problems;

const FROM_0: Kind = Kind::Float(Range::FROM_0);
const SHARE: Kind = Kind::Float(Range { low: End::Without(0.0), high: End::With(1.0) });
const UNIT: Kind = Kind::Float(Range::UNIT);

/// Every hyperparameter.
pub static TABLE: &[Parameter] = &[
    entry(
        "num_boost_round",
        &["num_iterations", "num_round", "n_estimators", "num_trees"],
        Kind::Integer(1, 1_000_000),
        "100",
        "Rounds of boosting.",
    ),
    entry(
        "objective",
        &["application", "loss"],
        Kind::Text,
        "regression",
        "What to learn: regression, regression_l1, poisson, gamma, tweedie, binary, multiclass, cross_entropy, lambdarank.",
    ),
    entry(
        "num_class",
        &["num_classes"],
        Kind::Integer(1, CLASSES_MAX as i64),
        "1",
        "Classes, for `multiclass`.",
    ),
    entry(
        "metric",
        &["metrics"],
        Kind::Text,
        "auto",
        "Metrics, comma separated; `auto` = the objective's own.",
    ),
    entry(
        "early_stopping_rounds",
        &["early_stopping_round"],
        Kind::Integer(0, 1_000_000),
        "10",
        "Rounds without gain on validation (first metric) after which to stop, keeping the best; 0 = never.",
    ),
    entry(
        "learning_rate",
        &["eta", "shrinkage_rate"],
        Kind::Float(Range::ABOVE_0),
        "0.1",
        "Each tree's weight.",
    ),
    entry(
        "num_leaves",
        &["max_leaves", "num_leaf"],
        Kind::Integer(2, 131_072),
        "64",
        "Most leaves of a tree.",
    ),
    entry(
        "max_depth",
        &[],
        Kind::Integer(-1, TREE_DEPTH_MAX as i64),
        "6",
        "Deepest level; 0 or less = no limit.",
    ),
    entry(
        "min_data_in_leaf",
        &["min_child_samples", "min_data"],
        Kind::Integer(0, i32::MAX as i64),
        "3",
        "Least rows of a leaf.",
    ),
    entry(
        "min_sum_hessian_in_leaf",
        &["min_child_weight", "min_hessian"],
        FROM_0,
        "0.001",
        "Least sum of hessians in a leaf.",
    ),
    entry(
        "feature_fraction",
        &["colsample_bytree"],
        SHARE,
        "0.9",
        "Share of columns each tree sees.",
    ),
    entry(
        "feature_fraction_bynode",
        &["colsample_bynode"],
        SHARE,
        "1",
        "Share of the tree's columns each node sees.",
    ),
    entry("bagging_fraction", &["subsample", "bagging"], SHARE, "0.9", "Share of rows trees see."),
    entry(
        "bagging_freq",
        &["subsample_freq"],
        Kind::Integer(0, 1_000_000),
        "1",
        "Rounds that share a draw of rows; 0 = all rows.",
    ),
    entry(
        "lambda_l1",
        &["reg_alpha", "l1_regularization"],
        FROM_0,
        "0",
        "L1 regularisation of leaves.",
    ),
    entry("lambda_l2", &["reg_lambda", "lambda"], FROM_0, "0", "L2 regularisation of leaves."),
    entry(
        "min_gain_to_split",
        &["min_split_gain"],
        FROM_0,
        "0",
        "Loss a split must at least save.",
    ),
    entry(
        "max_delta_step",
        &["max_tree_output"],
        FROM_0,
        "0",
        "Largest output of a leaf before the learning rate; 0 = no limit.",
    ),
    entry("max_bin", &["max_bins"], Kind::Integer(2, 65_535), "255", "Most bins of a column."),
    entry(
        "boosting",
        &["boosting_type", "boost"],
        Kind::Choice(&["gbdt", "goss"]),
        "gbdt",
        "gbdt, or goss: rows with large gradients and a share of the others (dart and rf are not supported).",
    ),
    entry("top_rate", &[], UNIT, "0.2", "Share of rows `goss` keeps for their gradients."),
    entry("other_rate", &[], UNIT, "0.1", "Share of rows `goss` draws from the others."),
    entry(
        "scale_pos_weight",
        &[],
        Kind::Float(Range::ABOVE_0),
        "1",
        "Weight of rows whose label is 1.",
    ),
    entry(
        "is_unbalance",
        &["unbalance", "unbalanced_sets"],
        Kind::Boolean,
        "false",
        "Both classes weigh the same in sum.",
    ),
    entry(
        "tweedie_variance_power",
        &[],
        Kind::Float(Range { low: End::Without(1.0), high: End::Without(2.0) }),
        "1.5",
        "Variance power of `tweedie`.",
    ),
    entry(
        "poisson_max_delta_step",
        &[],
        Kind::Float(Range::ABOVE_0),
        "0.7",
        "Bounds the step of `poisson`.",
    ),
    entry(
        "lambdarank_truncation_level",
        &[],
        Kind::Integer(1, 1_000_000),
        "30",
        "First rows of a query whose pairs `lambdarank` learns from.",
    ),
    entry(
        "lambdarank_norm",
        &[],
        Kind::Boolean,
        "true",
        "Whether a query's gradients are scaled by their sum.",
    ),
    entry(
        "eval_at",
        &["ndcg_eval_at", "ndcg_at"],
        Kind::Text,
        "1,2,3,4,5",
        "Places that ndcg and map look at.",
    ),
    entry(
        "monotone_constraints",
        &["mc"],
        Kind::Text,
        "",
        "One of 1, 0, -1 for each column: `1,0,-1`.",
    ),
    entry(
        "interaction_constraints",
        &[],
        Kind::Text,
        "",
        "Columns that may share a path: `[0,1],[2,3]`.",
    ),
    entry(
        "max_cat_to_onehot",
        &[],
        Kind::Integer(1, 1_000_000),
        "4",
        "Up to so many categories a split sets one apart.",
    ),
    entry(
        "max_cat_threshold",
        &[],
        Kind::Integer(1, 1_000_000),
        "32",
        "Most categories that a split tries as a set.",
    ),
    entry(
        "seed",
        &["random_seed", "random_state"],
        Kind::Integer(0, i64::MAX),
        "0",
        "Mixed with the job's seed.",
    ),
    entry(
        "tree_learner",
        &["tree", "tree_type"],
        Kind::Fixed("one machine grows the trees"),
        "serial",
        "How work is shared.",
    ),
    entry(
        "linear_tree",
        &[],
        Kind::Fixed("leaves are constants here"),
        "false",
        "Linear models in leaves.",
    ),
    entry(
        "extra_trees",
        &[],
        Kind::Fixed("every threshold is tried"),
        "false",
        "Random thresholds.",
    ),
    entry(
        "path_smooth",
        &[],
        Kind::Fixed("leaves are not smoothed"),
        "0",
        "Smoothing towards the parent.",
    ),
    entry(
        "zero_as_missing",
        &[],
        Kind::Fixed("0 is a number here"),
        "false",
        "Zero stands for missing.",
    ),
    entry(
        "boost_from_average",
        &[],
        Kind::Fixed("the first score comes from the labels"),
        "true",
        "First score.",
    ),
    entry(
        "use_missing",
        &[],
        Kind::Fixed("missing values have their own direction"),
        "true",
        "Missing values.",
    ),
    entry(
        "num_threads",
        &["num_thread", "nthread", "n_jobs"],
        Kind::Integer(-1, 1 << 16),
        "0",
        "No effect: threads are `resources.threads`.",
    ),
    entry("verbosity", &["verbose"], Kind::Integer(-1, 3), "1", "No effect: use the command's -v."),
];

/// LightGBM's objectives and the engine's.
const OBJECTIVES: [(&str, &str); 14] = [
    ("regression", "reg:squarederror"),
    ("regression_l2", "reg:squarederror"),
    ("l2", "reg:squarederror"),
    ("mse", "reg:squarederror"),
    ("rmse", "reg:squarederror"),
    ("regression_l1", "reg:absoluteerror"),
    ("l1", "reg:absoluteerror"),
    ("mae", "reg:absoluteerror"),
    ("poisson", "count:poisson"),
    ("gamma", "reg:gamma"),
    ("tweedie", "reg:tweedie"),
    ("binary", "binary:logistic"),
    ("cross_entropy", "reg:logistic"),
    ("lambdarank", "rank:ndcg"),
];

/// Metrics in LightGBM's words.
const METRICS: [(&str, Measure); 14] = [
    ("l2", Measure::Mse),
    ("rmse", Measure::Rmse),
    ("l1", Measure::Mae),
    ("mape", Measure::MapeFromOne),
    ("poisson", Measure::PoissonLoss),
    ("gamma", Measure::Gamma),
    ("binary_logloss", Measure::LogLoss),
    ("binary_error", Measure::Error(0.5)),
    ("auc", Measure::Auc),
    ("average_precision", Measure::AveragePrecision),
    ("multi_logloss", Measure::MultiLogLoss),
    ("multi_error", Measure::MultiError),
    ("cross_entropy", Measure::LogLoss),
    ("r2", Measure::R2),
];

/// Other names of them.
const ALIASES: [(&str, &str); 12] = [
    ("mse", "l2"),
    ("mean_squared_error", "l2"),
    ("regression", "l2"),
    ("l2_root", "rmse"),
    ("root_mean_squared_error", "rmse"),
    ("mae", "l1"),
    ("mean_absolute_error", "l1"),
    ("regression_l1", "l1"),
    ("binary", "binary_logloss"),
    ("multiclass", "multi_logloss"),
    ("softmax", "multi_logloss"),
    ("xentropy", "cross_entropy"),
];

/// Checked hyperparameters.
#[derive(Debug, Clone)]
pub struct Parameters {
    /// What the engine runs on.
    pub settings: Settings,
    /// Early stopping was asked for, and is not SageMaker's default alone.
    pub stops_by_wish: bool,
}

impl Parameters {
    /// Checks what the user wrote; `None` when `problems` grew.
    pub fn read(raw: &RawParameters, problems: &mut Problems) -> Option<Parameters> {
        let before = problems.list.len();
        let mut raw = raw.clone();
        for name in ["metric", "eval_at", "monotone_constraints", "interaction_constraints"] {
            if let Some(given) = raw.get_mut(name)
                && let RawValue::List(_) = given.value
            {
                given.value = RawValue::Text(given.value.to_string());
            }
        }
        let checked = parameter::check(TABLE, &raw, problems)?;
        let objective = objective(&checked, problems);
        let figures = figures(&checked, objective.as_ref(), problems);
        let monotone = monotone(&checked, problems);
        let interactions = interactions(&checked, problems);
        let balanced = checked.boolean("is_unbalance");
        if balanced && checked.float("scale_pos_weight") != 1.0 {
            let what = "is_unbalance and scale_pos_weight both weigh the classes";
            checked.refuse(problems, "scale_pos_weight", what, "leave one of the two out");
        }
        if balanced && objective.is_some_and(|found| !found.is_binary()) {
            let what = "only objective = binary has two classes to balance";
            checked.refuse(problems, "is_unbalance", what, "leave it out");
        }
        let objective = objective?;
        if problems.list.len() > before {
            return None;
        }
        let settings = Settings {
            flavour: Flavour::Lightgbm,
            rounds: checked.size("num_boost_round"),
            objective,
            figures,
            deciding: 0,
            base_score: None,
            growth: growth(&checked, monotone, interactions),
            sampling: sampling(&checked),
            max_bin: checked.size("max_bin"),
            parallel: 1,
            early_stopping: Some(checked.size("early_stopping_rounds")).filter(|n| *n > 0),
            balanced,
            folds: None,
            seed: checked.integer("seed").unsigned_abs(),
            effective: checked.effective(),
        };
        let stops_by_wish = checked.is_given("early_stopping_rounds");
        Some(Parameters { settings, stops_by_wish })
    }
}

fn growth(checked: &Checked, monotone: Vec<i8>, interactions: Vec<Vec<u32>>) -> Growth {
    Growth {
        eta: checked.float("learning_rate"),
        gamma: checked.float("min_gain_to_split"),
        max_depth: match usize::try_from(checked.integer("max_depth")) {
            Ok(depth) if depth > 0 => depth,
            _ => TREE_DEPTH_MAX,
        },
        max_leaves: checked.size("num_leaves"),
        lossguide: true,
        min_child_weight: checked.float("min_sum_hessian_in_leaf"),
        min_rows: checked.size("min_data_in_leaf"),
        max_delta_step: checked.float("max_delta_step"),
        lambda: checked.float("lambda_l2"),
        alpha: checked.float("lambda_l1"),
        columns: [checked.float("feature_fraction"), 1.0, checked.float("feature_fraction_bynode")],
        monotone,
        interactions,
        onehot_max: checked.size("max_cat_to_onehot"),
        categories_max: checked.size("max_cat_threshold"),
        from_above: true,
    }
}

fn sampling(checked: &Checked) -> Sampling {
    if checked.word("boosting") == "goss" {
        // All rows in the first rounds, while gradients tell little.
        let after = (1.0 / checked.float("learning_rate")) as usize;
        let (top, other) = (checked.float("top_rate"), checked.float("other_rate"));
        return Sampling::Gradient { top, other, after };
    }
    match checked.size("bagging_freq") {
        0 => Sampling::Share(1.0),
        rounds => Sampling::Bag { share: checked.float("bagging_fraction"), rounds },
    }
}

fn objective(checked: &Checked, problems: &mut Problems) -> Option<Objective> {
    let name = checked.text("objective").trim().to_ascii_lowercase();
    let classes = checked.size("num_class");
    let mut given = Given {
        classes,
        positive: checked.float("scale_pos_weight") as f32,
        power: checked.float("tweedie_variance_power") as f32,
        step: checked.float("poisson_max_delta_step") as f32,
        ..Given::default()
    };
    given.ranking.pairs = Pairs::Top(checked.size("lambdarank_truncation_level"));
    given.ranking.normalise = checked.boolean("lambdarank_norm");
    given.ranking.by_difference = given.ranking.normalise;
    given.ranking.hessian = 1.0;
    if matches!(name.as_str(), "multiclass" | "softmax") {
        if classes < 2 {
            let what = "multiclass needs the number of classes";
            checked.refuse(problems, "num_class", what, "set num_class to 2 or more");
        }
        return Objective::named("multi:softprob", &given);
    }
    let Some((_, own)) = OBJECTIVES.iter().find(|(known, _)| *known == name) else {
        let what = format!("{name:?} is not an objective of this engine");
        let known: Vec<&str> = OBJECTIVES.iter().map(|(known, _)| *known).collect();
        let help = format!("allowed: {}, multiclass", known.join(", "));
        checked.refuse(problems, "objective", what, help);
        return None;
    };
    if classes > 1 {
        let what = format!("num_class = {classes} does not go with {name}");
        checked.refuse(problems, "num_class", what, "use multiclass, or leave num_class out");
    }
    // Only what is about two classes weighs them.
    if !matches!(*own, "binary:logistic") {
        given.positive = 1.0;
    }
    Objective::named(own, &given)
}

/// The metrics under LightGBM's names.
fn figures(
    checked: &Checked,
    objective: Option<&Objective>,
    problems: &mut Problems,
) -> Vec<Figure> {
    let Some(objective) = objective else { return Vec::new() };
    let text = checked.text("metric").trim_matches(['[', ']']).to_owned();
    let names = text.split(',').map(|name| name.trim().trim_matches(['"', '\'']));
    let mut found = Vec::new();
    for name in names.filter(|name| !name.is_empty()) {
        let name = if name == "auto" { own_metric(objective) } else { name };
        let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, own)| own);
        let mut add = |measure: Measure, name: String| match measure.fits(objective) {
            Ok(()) => found.push(Figure { measure, name }),
            Err(what) => checked.refuse(problems, "metric", what, "choose another, or auto"),
        };
        match name {
            "ndcg" | "lambdarank" | "map" | "mean_average_precision" => {
                for top in places(checked) {
                    let kind =
                        if name.starts_with('m') { RankedKind::Map } else { RankedKind::Ndcg };
                    let ranked = Ranked { kind, top, strict: false, exponential: true };
                    add(Measure::Ranked(ranked), ranked.name());
                }
            }
            "tweedie" => {
                let power = checked.float("tweedie_variance_power") as f32;
                add(Measure::Tweedie(power), "tweedie".into());
            }
            name => match METRICS.iter().find(|(known, _)| *known == name) {
                Some((_, measure)) => add(*measure, name.to_owned()),
                None => {
                    let known: Vec<&str> = METRICS.iter().map(|(known, _)| *known).collect();
                    let help = format!("metrics here: {}, tweedie, ndcg, map", known.join(", "));
                    let what = format!("{name:?} is not a metric of this engine");
                    checked.refuse(problems, "metric", what, help);
                }
            },
        }
    }
    found
}

fn own_metric(objective: &Objective) -> &'static str {
    match objective {
        Objective::Multi { .. } => "multi_logloss",
        Objective::Rank(_) => "ndcg",
        Objective::Poisson { .. } => "poisson",
        Objective::Gamma { .. } => "gamma",
        Objective::Tweedie { .. } => "tweedie",
        Objective::AbsoluteError => "l1",
        objective if objective.is_binary() => "binary_logloss",
        Objective::Logistic { .. } => "cross_entropy",
        // SageMaker's choice for a regression; LightGBM's own is l2.
        _ => "rmse",
    }
}

fn places(checked: &Checked) -> Vec<usize> {
    let text = checked.text("eval_at");
    let numbers = text.split(|letter: char| !letter.is_ascii_digit());
    let found: Vec<usize> =
        numbers.filter_map(|number| number.parse().ok()).filter(|place| *place > 0).collect();
    if found.is_empty() { vec![1, 2, 3, 4, 5] } else { found }
}

fn monotone(checked: &Checked, problems: &mut Problems) -> Vec<i8> {
    let text = checked.text("monotone_constraints");
    let inner = text.trim_matches(['(', ')', '[', ']', ' ']);
    if inner.is_empty() {
        return Vec::new();
    }
    let sign = |sign: &str| sign.trim().parse::<i8>().ok().filter(|sign| (-1..=1).contains(sign));
    inner.split(',').map(sign).collect::<Option<_>>().unwrap_or_else(|| {
        let what = format!("{text:?} is not a list of 1, 0 and -1");
        checked.refuse(problems, "monotone_constraints", what, "write \"1,0,-1\"");
        Vec::new()
    })
}

fn interactions(checked: &Checked, problems: &mut Problems) -> Vec<Vec<u32>> {
    let text = checked.text("interaction_constraints").trim();
    if text.is_empty() {
        return Vec::new();
    }
    let whole = if text.starts_with("[[") { text.to_owned() } else { format!("[{text}]") };
    serde_json::from_str(&whole).unwrap_or_else(|_| {
        let what = format!("{text:?} is not lists of column numbers");
        checked.refuse(problems, "interaction_constraints", what, "write \"[0,1],[2,3]\"");
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::parameter::Raw;

    fn read(given: &[(&str, &str)]) -> Result<Parameters, String> {
        let raw = given.iter().map(|(name, value)| {
            let value = RawValue::Text((*value).to_owned());
            ((*name).to_owned(), Raw { value, line: None })
        });
        let mut problems = Problems::default();
        Parameters::read(&raw.collect(), &mut problems).ok_or_else(|| {
            let all: Vec<String> = problems.list.iter().map(ToString::to_string).collect();
            all.join("\n")
        })
    }

    #[test]
    fn the_table_is_sound() {
        parameter::table_is_sound(TABLE).unwrap();
    }

    #[test]
    fn defaults_are_sagemakers() {
        let Parameters { settings, stops_by_wish } = read(&[]).unwrap();
        assert_eq!((settings.rounds, settings.early_stopping), (100, Some(10)));
        let growth = &settings.growth;
        assert_eq!((growth.max_leaves, growth.max_depth, growth.min_rows), (64, 6, 3));
        assert_eq!(settings.sampling, Sampling::Bag { share: 0.9, rounds: 1 });
        assert_eq!((settings.figures[0].name.as_str(), stops_by_wish), ("rmse", false));
    }

    #[test]
    fn objectives_and_metrics_have_lightgbms_names() {
        let found = read(&[("objective", "binary"), ("metric", "auc,binary,average_precision")]);
        let names: Vec<String> =
            found.unwrap().settings.figures.into_iter().map(|figure| figure.name).collect();
        assert_eq!(names, ["auc", "binary_logloss", "average_precision"]);
        let ranked = read(&[("objective", "lambdarank"), ("eval_at", "3,10")]).unwrap();
        let names: Vec<String> =
            ranked.settings.figures.into_iter().map(|figure| figure.name).collect();
        assert_eq!(names, ["ndcg@3", "ndcg@10"]);
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (name, value) in [
            ("boosting", "dart"),
            ("boosting", "rf"),
            ("objective", "quantile"),
            ("objective", "multiclass"),
            ("linear_tree", "true"),
            ("tree_learner", "data"),
            ("metric", "auc_mu"),
            ("metric", "multi_logloss"),
            ("extra_trees", "true"),
            ("zero_as_missing", "true"),
            ("is_unbalance", "true"),
        ] {
            let said = read(&[(name, value)]).err().unwrap_or_default();
            let told = if value == "multiclass" { "num_class" } else { name };
            assert!(said.contains(told), "{name} {value}: {said}");
        }
    }
}
