//! The hyperparameters of `kmeans`: SageMaker's names, defaults and ranges, and two of smrt's own.
//!
//! SageMaker's k-means passes over the rows once, in batches, with more centres than wanted, and
//! ends with a "local" Lloyd over those centres, since its data do not fit into memory. Here they
//! do, so `algorithm_mode = lloyd` runs the same local Lloyd over the rows themselves: slower than
//! one pass, and the better model.

use super::mini_batch::Plan;
use super::seeding::Init;
use crate::algorithm::parameter::{Kind, Parameter, Range, Value, check, entry};
use crate::spec::parameter::RawParameters;
use crate::spec::problem::Problems;

const AUTO: &[&str] = &["auto"];
/// Centres of a model.
pub(super) const CENTRES_MAX: i64 = 1 << 20;
/// The parameters that only batches give a meaning.
const OF_BATCHES: &[&str] =
    &["epochs", "mini_batch_size", "init_method", "extra_center_factor", "half_life_time_size"];

/// The table of `smrt algorithms kmeans`.
pub(super) static TABLE: &[Parameter] = &[
    Parameter {
        name: "k",
        aliases: &[],
        kind: Kind::Integer(1, CENTRES_MAX),
        default: None,
        meaning: "Clusters to find.",
    },
    entry(
        "feature_dim",
        Kind::WordOr(AUTO, &Kind::Integer(1, i64::MAX)),
        "auto",
        "Features per row; the data are refused when they have another number.",
    ),
    entry(
        "algorithm_mode",
        Kind::Choice(&["auto", "lloyd", "mini-batch"]),
        "auto",
        "lloyd groups all rows at once; mini-batch passes over them as SageMaker does. auto is mini-batch when a parameter is given that only batches have (epochs, mini_batch_size, init_method, extra_center_factor, half_life_time_size), else lloyd. smrt's own.",
    ),
    entry(
        "normalize_data",
        Kind::Boolean,
        "false",
        "Bring each column to mean 0 and deviation 1 first; distances are then in deviations. SageMaker does not. smrt's own.",
    ),
    entry("epochs", Kind::Integer(1, 1_000_000), "1", "Passes over the rows (mini-batch)."),
    entry("mini_batch_size", Kind::Integer(1, i64::MAX), "5000", "Rows of a batch (mini-batch)."),
    entry(
        "init_method",
        Kind::Choice(&["random", "kmeans++"]),
        "random",
        "How the centres that follow the rows are chosen (mini-batch).",
    ),
    entry(
        "extra_center_factor",
        Kind::WordOr(AUTO, &Kind::Integer(1, 1000)),
        "auto",
        "k times this many centres follow the rows and are grouped into k at the end (mini-batch). auto is 10 for k up to 100, so that there are at most 1000, and at least 1.",
    ),
    entry(
        "half_life_time_size",
        Kind::Integer(0, i64::MAX),
        "0",
        "Rows after which a row counts half (mini-batch); 0 lets all count the same.",
    ),
    entry(
        "local_lloyd_init_method",
        Kind::Choice(&["kmeans++", "random"]),
        "kmeans++",
        "How Lloyd's first centres are chosen.",
    ),
    entry(
        "local_lloyd_max_iter",
        Kind::Integer(1, 1_000_000),
        "300",
        "Iterations of Lloyd, at most.",
    ),
    entry(
        "local_lloyd_num_trials",
        Kind::WordOr(AUTO, &Kind::Integer(1, 1000)),
        "auto",
        "Runs of Lloyd from other first centres, of which the best is kept. auto is 50 for up to 2000 rows (or centres of mini-batch), 10 up to 10000, 3 up to 100000, else 1.",
    ),
    entry(
        "local_lloyd_tol",
        Kind::Float(Range::UNIT),
        "0.0001",
        "Lloyd ends when the centres' squared moves sum to less than this share of a column's mean variance.",
    ),
    entry(
        "eval_metrics",
        Kind::List { item: &Kind::Choice(&["msd", "ssd"]), length_min: 1, length_max: 2 },
        "[\"msd\"]",
        "What is measured on each channel: the mean (msd) or the sum (ssd) of squared distances to the nearest centre.",
    ),
];

/// Everything the training needs to know, checked.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) k: usize,
    pub(super) feature_dim: Option<usize>,
    pub(super) normalize: bool,
    /// How to pass over the rows; `None` for Lloyd over all of them.
    pub(super) batches: Option<Plan>,
    pub(super) lloyd: Lloyd,
    pub(super) metrics: Vec<&'static str>,
    pub(super) effective: serde_json::Map<String, serde_json::Value>,
}

/// `local_lloyd_*`
#[derive(Debug, Clone, Copy)]
pub(super) struct Lloyd {
    pub(super) init: Init,
    pub(super) iterations: usize,
    /// `None` for auto.
    pub(super) trials: Option<usize>,
    pub(super) tolerance: f64,
}

impl Lloyd {
    /// Runs over so many rows.
    pub(super) fn trials(&self, rows: usize) -> usize {
        self.trials.unwrap_or(match rows {
            0..=2_000 => 50,
            2_001..=10_000 => 10,
            10_001..=100_000 => 3,
            _ => 1,
        })
    }
}

impl Settings {
    /// Checks all of it; `None` when `problems` grew.
    pub(super) fn read(raw: &RawParameters, problems: &mut Problems) -> Option<Settings> {
        let mut checked = check(TABLE, raw, problems)?;
        let before = problems.list.len();
        let given: Vec<&str> =
            OF_BATCHES.iter().copied().filter(|name| checked.is_given(name)).collect();
        let mode = match checked.word("algorithm_mode") {
            "auto" if given.is_empty() => "lloyd",
            "auto" => "mini-batch",
            mode => mode,
        };
        if mode == "lloyd" {
            for name in given {
                let what = format!("{name} has no meaning when algorithm_mode is lloyd");
                let help = match name {
                    "init_method" => "local_lloyd_init_method is Lloyd's",
                    "epochs" => "local_lloyd_max_iter bounds Lloyd's iterations",
                    _ => "leave it out, or set algorithm_mode = \"mini-batch\"",
                };
                checked.refuse(problems, name, what, help);
            }
        }
        checked.settle("algorithm_mode", Value::Word(mode));
        let k = checked.size("k");
        let factor =
            checked.size_or_auto("extra_center_factor").unwrap_or_else(|| (1000 / k).clamp(1, 10));
        if mode == "mini-batch" {
            checked.settle("extra_center_factor", Value::Integer(factor as i64));
            if k.saturating_mul(factor) > CENTRES_MAX as usize {
                let what = format!("{k} × {factor} centres are more than {CENTRES_MAX}");
                checked.refuse(problems, "extra_center_factor", what, "lower one of the two");
            }
        }
        let plan = Plan {
            epochs: checked.size("epochs"),
            batch_rows: checked.size("mini_batch_size"),
            init: init(checked.word("init_method")),
            centres: k.saturating_mul(factor),
            half_life: checked.size("half_life_time_size") as u64,
        };
        let metrics =
            ["msd", "ssd"].into_iter().filter(|name| checked.words("eval_metrics").contains(name));
        let settings = Settings {
            k,
            feature_dim: checked.size_or_auto("feature_dim"),
            normalize: checked.boolean("normalize_data"),
            batches: (mode == "mini-batch").then_some(plan),
            lloyd: Lloyd {
                init: init(checked.word("local_lloyd_init_method")),
                iterations: checked.size("local_lloyd_max_iter"),
                trials: checked.size_or_auto("local_lloyd_num_trials"),
                tolerance: checked.float("local_lloyd_tol"),
            },
            metrics: metrics.collect(),
            effective: checked.effective(),
        };
        (problems.list.len() == before).then_some(settings)
    }
}

fn init(word: &str) -> Init {
    match word {
        "random" => Init::Random,
        _ => Init::PlusPlus,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::parameter::table_is_sound;
    use crate::spec::parameter::{Raw, RawValue};

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let one = |(name, text): &(&str, &str)| {
            ((*name).to_owned(), Raw { value: RawValue::Text((*text).to_owned()), line: None })
        };
        let mut problems = Problems::default();
        let settings = Settings::read(&pairs.iter().map(one).collect(), &mut problems);
        settings.ok_or_else(|| problems.list.iter().map(|problem| problem.what.clone()).collect())
    }

    #[test]
    fn the_table_is_sound() {
        table_is_sound(TABLE).unwrap();
    }

    #[test]
    fn the_mode_follows_from_what_is_given() {
        assert!(read(&[("k", "3")]).unwrap().batches.is_none());
        let plan = read(&[("k", "3"), ("mini_batch_size", "500")]).unwrap().batches.unwrap();
        assert_eq!((plan.batch_rows, plan.epochs, plan.centres), (500, 1, 30));
        let plan =
            read(&[("k", "600"), ("algorithm_mode", "mini-batch")]).unwrap().batches.unwrap();
        assert_eq!(plan.centres, 600);
    }

    #[test]
    fn nothing_that_was_asked_for_is_passed_over() {
        let said = read(&[("k", "3"), ("algorithm_mode", "lloyd"), ("epochs", "2")]).unwrap_err();
        assert_eq!(said, ["epochs has no meaning when algorithm_mode is lloyd"]);
        let said = read(&[("eval_metrics", "[\"mse\"]")]).unwrap_err();
        assert_eq!(said.len(), 2, "{said:?}");
        let both = read(&[("k", "2"), ("eval_metrics", "[\"ssd\", \"msd\"]")]).unwrap();
        assert_eq!(both.metrics, ["msd", "ssd"]);
    }
}
