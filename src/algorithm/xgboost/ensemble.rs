//! A boosted model: its trees, and XGBoost's own file of them.
//!
//! Reading checks everything before it is believed: children in range, every node reached at most
//! once (so no cycle), bounded depth, columns that exist, finite numbers, codes within bounds.
//! Boosters the engine does not have (gblinear, dart, several targets in one leaf) are refused by
//! name. What a file says of categories is read in `categories`. Training is not here.

use std::collections::BTreeMap;

use super::categories;
use super::document::{self, Value};
use super::objective::{Given, Logistic, Objective};
use super::rank::Pairs;
use super::tree::{NONE, Node, Set, Tree};
use crate::algorithm::Error;
use crate::data::Categories;
use crate::spec::limit::{CATEGORY_BYTES_MAX, CLASSES_MAX, COLUMNS_MAX, TREE_DEPTH_MAX, TREES_MAX};

/// Name of the model inside the archive, as SageMaker's container leaves it.
pub const MODEL_FILE: &str = "xgboost-model";

/// XGBoost's version whose format is written.
const VERSION: [i32; 3] = [3, 2, 0];

/// A boosted model.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensemble {
    /// What it learned.
    pub objective: Objective,
    /// Score before the first tree, one per group, in the scale of the file.
    pub base_score: Vec<f32>,
    /// Columns of a row.
    pub features: usize,
    /// Their names, or none.
    pub names: Vec<String>,
    /// The columns that hold categories, with the words of their codes; no words where a model
    /// came without them.
    pub categories: Categories,
    /// In the order they are added up.
    pub trees: Vec<Tree>,
    /// Group of each tree.
    pub groups: Vec<u32>,
    /// Number of trees after each round, 0 first.
    pub rounds: Vec<usize>,
    /// Trees per round and group.
    pub parallel: usize,
    /// Free text by name (`best_iteration`, …).
    pub attributes: BTreeMap<String, String>,
}

impl Ensemble {
    /// The margin of each group before the first tree.
    pub fn base_margins(&self) -> Vec<f32> {
        self.base_score.iter().map(|score| self.objective.margin_of(*score)).collect()
    }

    /// Forgets all but the first rounds.
    pub fn keep_rounds(&mut self, rounds: usize) {
        self.rounds.truncate(rounds + 1);
        let trees = self.rounds.last().copied().unwrap_or(0);
        self.trees.truncate(trees);
        self.groups.truncate(trees);
    }

    /// XGBoost's UBJSON, what its `save_model` writes.
    pub fn to_ubjson(&self) -> Vec<u8> {
        document::write_ubjson(&self.to_document())
    }

    /// XGBoost's JSON.
    pub fn to_json(&self) -> Vec<u8> {
        document::write_json(&self.to_document())
    }

    /// Reads XGBoost's JSON or UBJSON.
    ///
    /// # Errors
    /// `Error::Corrupt` saying what is wrong or not supported.
    pub fn read(bytes: &[u8]) -> Result<Ensemble, Error> {
        Ensemble::from_document(&document::read(bytes)?)
    }

    fn to_document(&self) -> Value {
        let trees =
            self.trees.iter().enumerate().map(|(at, tree)| tree_document(tree, at, self.features));
        let whole =
            |items: &mut dyn Iterator<Item = i64>| Value::List(items.map(Value::Integer).collect());
        let model = Value::table([
            ("cats", categories::words_document(&self.categories, self.features)),
            (
                "gbtree_model_param",
                Value::table([
                    ("num_parallel_tree", Value::text(self.parallel)),
                    ("num_trees", Value::text(self.trees.len())),
                ]),
            ),
            ("iteration_indptr", whole(&mut self.rounds.iter().map(|end| *end as i64))),
            ("tree_info", whole(&mut self.groups.iter().map(|group| i64::from(*group)))),
            ("trees", Value::List(trees.collect())),
        ]);
        let names = self.names.iter().map(Value::text).collect();
        let types = categories::types(&self.categories, self.features, !self.names.is_empty());
        let attributes =
            self.attributes.iter().map(|(name, text)| (name.clone(), Value::text(text))).collect();
        let classes = if self.objective.groups() > 1 { self.objective.groups() } else { 0 };
        let scores: Vec<String> =
            self.base_score.iter().map(|score| format!("{score:E}")).collect();
        let learner = Value::table([
            ("attributes", Value::Table(attributes)),
            ("feature_names", Value::List(names)),
            ("feature_types", types),
            ("gradient_booster", Value::table([("model", model), ("name", Value::text("gbtree"))])),
            (
                "learner_model_param",
                Value::table([
                    ("base_score", Value::text(format!("[{}]", scores.join(",")))),
                    ("boost_from_average", Value::text(1)),
                    ("num_class", Value::text(classes)),
                    ("num_feature", Value::text(self.features)),
                    ("num_target", Value::text(1)),
                ]),
            ),
            ("objective", objective_document(&self.objective)),
        ]);
        Value::table([
            ("learner", learner),
            (
                "version",
                Value::List(VERSION.iter().map(|n| Value::Integer(i64::from(*n))).collect()),
            ),
        ])
    }

    fn from_document(document: &Value) -> Result<Ensemble, Error> {
        let learner = document.field("learner")?;
        let booster = learner.field("gradient_booster")?;
        match booster.field("name")?.as_text() {
            Some("gbtree") => {}
            Some(other) => {
                return Err(Error::Corrupt(format!(
                    "the model's booster is {other:?}; only gbtree is supported"
                )));
            }
            None => return Err(bad("gradient_booster.name")),
        }
        let parameters = learner.field("learner_model_param")?;
        if parsed(parameters, "num_target", 1)? > 1 {
            return Err(Error::Corrupt(
                "the model has several targets, which is not supported".into(),
            ));
        }
        let features = parsed(parameters, "num_feature", 0)?;
        let classes = parsed(parameters, "num_class", 0)?;
        if features == 0 || features > COLUMNS_MAX || classes > CLASSES_MAX {
            return Err(Error::Corrupt(format!(
                "the model has {features} features and {classes} classes; at most {COLUMNS_MAX} and {CLASSES_MAX} are read"
            )));
        }
        let objective = objective_of(learner.field("objective")?, classes)?;
        let base_score = base_score_of(parameters, objective.groups())?;
        if let Err(what) =
            base_score.iter().try_for_each(|score| objective.check_base_score(*score))
        {
            return Err(Error::Corrupt(what));
        }
        let names = match learner.find("feature_names").and_then(Value::as_list) {
            None => Vec::new(),
            Some(list) => list
                .iter()
                .map(|name| name.as_text().map(str::to_owned).ok_or_else(|| bad("feature_names")))
                .collect::<Result<_, _>>()?,
        };
        if !names.is_empty() && names.len() != features {
            return Err(bad("feature_names"));
        }
        let model = booster.field("model")?;
        let counts = model.field("gbtree_model_param")?;
        let categories = categories::read(learner, model, features)?;
        let trees = trees_of(model, features)?;
        let groups = groups_of(model, trees.len(), objective.groups())?;
        let parallel = parsed(counts, "num_parallel_tree", 1)?.max(1);
        let rounds = rounds_of(model, trees.len(), parallel.saturating_mul(objective.groups()))?;
        let attributes = match learner.find("attributes") {
            Some(Value::Table(entries)) => entries
                .iter()
                .filter_map(|(name, text)| Some((name.clone(), text.as_text()?.to_owned())))
                .collect(),
            _ => BTreeMap::new(),
        };
        let ensemble = Ensemble {
            objective,
            base_score,
            features,
            names,
            categories,
            trees,
            groups,
            rounds,
            parallel,
            attributes,
        };
        Ok(ensemble)
    }
}

pub(super) fn bad(what: &str) -> Error {
    Error::Corrupt(format!("the model's {what} is not as XGBoost writes it"))
}

/// A whole number that XGBoost writes as text.
fn parsed(table: &Value, name: &str, default: usize) -> Result<usize, Error> {
    match table.find(name) {
        None => Ok(default),
        Some(value) => match value {
            Value::Text(text) => text.trim().parse().map_err(|_| bad(name)),
            Value::Integer(number) => usize::try_from(*number).map_err(|_| bad(name)),
            _ => Err(bad(name)),
        },
    }
}

fn float(table: Option<&Value>, name: &str, default: f32) -> Result<f32, Error> {
    match table.and_then(|table| table.find(name)) {
        None => Ok(default),
        Some(Value::Text(text)) => {
            text.trim().parse().ok().filter(|n: &f32| n.is_finite()).ok_or_else(|| bad(name))
        }
        Some(value) => value.as_number().map(|n| n as f32).ok_or_else(|| bad(name)),
    }
}

/// `5E-1` before XGBoost 3.1, `[5E-1]` or `[1E0,2E0]` since.
fn base_score_of(parameters: &Value, groups: usize) -> Result<Vec<f32>, Error> {
    let text = parameters.field("base_score")?.as_text().ok_or_else(|| bad("base_score"))?;
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    let scores: Option<Vec<f32>> = inner
        .split(',')
        .map(|score| score.trim().parse().ok().filter(|score: &f32| score.is_finite()))
        .collect();
    let mut scores = scores.ok_or_else(|| bad("base_score"))?;
    if scores.len() == 1 {
        scores = vec![scores[0]; groups];
    }
    if scores.len() == groups { Ok(scores) } else { Err(bad("base_score")) }
}

fn objective_of(document: &Value, classes: usize) -> Result<Objective, Error> {
    let name = document.field("name")?.as_text().ok_or_else(|| bad("objective.name"))?;
    let mut given = Given {
        classes,
        positive: float(document.find("reg_loss_param"), "scale_pos_weight", 1.0)?,
        power: float(document.find("tweedie_regression_param"), "tweedie_variance_power", 1.5)?,
        slope: float(document.find("pseudo_huber_param"), "huber_slope", 1.0)?,
        step: float(document.find("poisson_regression_param"), "max_delta_step", 0.7)?,
        ..Given::default()
    };
    if let Some(rank) = document.find("lambdarank_param") {
        let text = |name: &str| rank.find(name).and_then(Value::as_text);
        let is_mean = matches!(text("lambdarank_pair_method"), Some("mean" | "1"));
        // A number that says "not set" is the largest there is.
        let said = text("lambdarank_num_pair_per_sample").and_then(|n| n.parse::<u64>().ok());
        let said = said.filter(|n| *n < u64::from(u32::MAX)).map(|n| n as usize);
        let pairs = &mut given.ranking.pairs;
        *pairs = match is_mean {
            true => Pairs::Mean(said.unwrap_or(1)),
            false => Pairs::Top(said.unwrap_or(32)),
        };
        let is = |name: &str| text(name).is_none_or(|truth| truth == "1" || truth == "true");
        given.ranking.normalise = is("lambdarank_normalization");
        given.ranking.by_difference = is("lambdarank_score_normalization");
        given.ranking.exponential = is("ndcg_exp_gain");
    }
    let objective = Objective::named(name, &given);
    let objective = objective.ok_or_else(|| {
        Error::Corrupt(format!(
            "the model's objective {name:?} is not supported; those that are: {}",
            Objective::NAMES.join(", ")
        ))
    })?;
    match objective {
        Objective::Multi { .. } if classes < 2 => Err(bad("num_class")),
        Objective::Multi { .. } => Ok(objective),
        _ if classes > 1 => Err(bad("num_class")),
        _ => Ok(objective),
    }
}

fn objective_document(objective: &Objective) -> Value {
    let part = |key: &str, value: f32| Value::table([(key, Value::text(value))]);
    let (name, parameters) = match objective {
        Objective::SquaredError { positive }
        | Objective::Gamma { positive }
        | Objective::Logistic { positive, .. } => {
            ("reg_loss_param", part("scale_pos_weight", *positive))
        }
        Objective::Multi { classes, .. } => {
            ("softmax_multiclass_param", Value::table([("num_class", Value::text(classes))]))
        }
        Objective::PseudoHuber { slope } => ("pseudo_huber_param", part("huber_slope", *slope)),
        Objective::Poisson { step } => ("poisson_regression_param", part("max_delta_step", *step)),
        Objective::Tweedie { power } => {
            ("tweedie_regression_param", part("tweedie_variance_power", *power))
        }
        Objective::Rank(ranking) => {
            let (method, pairs) = match ranking.pairs {
                Pairs::Top(pairs) => ("topk", pairs),
                Pairs::Mean(pairs) => ("mean", pairs),
            };
            let truth = |truth: bool| Value::text(u8::from(truth));
            let parameters = Value::table([
                ("lambdarank_bias_norm", Value::text(1)),
                ("lambdarank_normalization", truth(ranking.normalise)),
                ("lambdarank_num_pair_per_sample", Value::text(pairs)),
                ("lambdarank_pair_method", Value::text(method)),
                ("lambdarank_score_normalization", truth(ranking.by_difference)),
                ("lambdarank_unbiased", truth(false)),
                ("ndcg_exp_gain", truth(ranking.exponential)),
            ]);
            ("lambdarank_param", parameters)
        }
        Objective::Hinge | Objective::AbsoluteError | Objective::SquaredLog => {
            return Value::table([("name", Value::text(objective.name()))]);
        }
    };
    Value::table([("name", Value::text(objective.name())), (name, parameters)])
}

fn tree_document(tree: &Tree, id: usize, features: usize) -> Value {
    let nodes = &tree.nodes;
    let floats = |field: fn(&Node) -> f32| Value::Floats(nodes.iter().map(field).collect());
    let child = |number: u32| if number == NONE { -1 } else { number as i32 };
    let integers =
        |field: &dyn Fn(&Node) -> i32| Value::Integers(nodes.iter().map(field).collect());
    let sets = categories::sets_document(tree);
    Value::table([
        ("base_weights", floats(|node| if node.is_leaf() { node.value } else { node.weight })),
        ("categories", Value::Integers(sets.codes)),
        ("categories_nodes", Value::Integers(sets.nodes)),
        ("categories_segments", Value::Long(sets.segments)),
        ("categories_sizes", Value::Long(sets.sizes)),
        ("default_left", Value::Bytes(nodes.iter().map(|n| u8::from(n.default_left)).collect())),
        ("id", Value::Integer(id as i64)),
        ("left_children", integers(&|node| child(node.left))),
        ("loss_changes", floats(|node| node.gain)),
        (
            "parents",
            integers(&|node| if node.parent == NONE { i32::MAX } else { node.parent as i32 }),
        ),
        ("right_children", integers(&|node| child(node.right))),
        ("split_conditions", floats(|node| node.value)),
        ("split_indices", integers(&|node| node.feature as i32)),
        ("split_type", Value::Bytes(nodes.iter().map(|n| u8::from(n.set != NONE)).collect())),
        ("sum_hessian", floats(|node| node.cover)),
        (
            "tree_param",
            Value::table([
                ("num_deleted", Value::text(0)),
                ("num_feature", Value::text(features)),
                ("num_nodes", Value::text(nodes.len())),
                ("size_leaf_vector", Value::text(1)),
            ]),
        ),
    ])
}

fn trees_of(model: &Value, features: usize) -> Result<Vec<Tree>, Error> {
    let said = parsed(model.field("gbtree_model_param")?, "num_trees", 0)?;
    let list = model.field("trees")?.as_list().ok_or_else(|| bad("trees"))?;
    if said > TREES_MAX || list.len() > TREES_MAX {
        return Err(Error::Corrupt(format!(
            "the model says it has {said} trees; at most {TREES_MAX} are read"
        )));
    }
    if said != list.len() {
        return Err(Error::Corrupt(format!(
            "the model says it has {said} trees and holds {}",
            list.len()
        )));
    }
    let mut trees: Vec<Option<Tree>> = vec![None; list.len()];
    let mut set_bytes = 0;
    for (at, document) in list.iter().enumerate() {
        let id = document.find("id").and_then(Value::as_number).unwrap_or(at as f64);
        let tree = tree_of(document, features)
            .map_err(|error| Error::Corrupt(format!("tree {at}: {error}")))?;
        set_bytes += tree.sets.iter().map(Set::bytes).sum::<usize>();
        if set_bytes > CATEGORY_BYTES_MAX {
            return Err(Error::Corrupt(format!(
                "its sets of categories take more than {CATEGORY_BYTES_MAX} bytes"
            )));
        }
        let place = if id >= 0.0 { trees.get_mut(id as usize) } else { None };
        match place {
            Some(place @ None) => *place = Some(tree),
            _ => return Err(Error::Corrupt(format!("tree {at}: its id {id} is not its own"))),
        }
    }
    Ok(trees.into_iter().flatten().collect())
}

fn tree_of(document: &Value, features: usize) -> Result<Tree, Error> {
    let numbers = |name: &str| -> Result<Vec<f64>, Error> {
        document.field(name)?.as_numbers().ok_or_else(|| bad(name))
    };
    if parsed(document.field("tree_param")?, "size_leaf_vector", 1)? > 1 {
        return Err(Error::Corrupt("leaves with several values are not supported".into()));
    }
    let left = numbers("left_children")?;
    let count = left.len();
    let column = |name: &str| -> Result<Vec<f64>, Error> {
        numbers(name).and_then(|list| if list.len() == count { Ok(list) } else { Err(bad(name)) })
    };
    let (right, feature) = (column("right_children")?, column("split_indices")?);
    let (value, default) = (column("split_conditions")?, column("default_left")?);
    let zeros = || Ok(vec![0.0; count]);
    let optional = |name: &str| if document.find(name).is_some() { column(name) } else { zeros() };
    let (gain, cover) = (optional("loss_changes")?, optional("sum_hessian")?);
    let (weight, kind) = (optional("base_weights")?, optional("split_type")?);
    let (sets, set_of) = categories::sets(document, count)?;
    let mut nodes = vec![Node::leaf(NONE, 0.0, 0.0); count];
    for (at, node) in nodes.iter_mut().enumerate() {
        node.value = value[at] as f32;
        node.cover = cover[at] as f32;
        node.weight = weight[at] as f32;
        if left[at] == -1.0 && right[at] == -1.0 {
            continue;
        }
        if (kind[at] != 0.0) != (set_of[at] != NONE) {
            return Err(Error::Corrupt(format!("node {at} has a set of categories or is to have")));
        }
        node.set = set_of[at];
        let child = |number: f64| {
            let inside = number.fract() == 0.0 && number > 0.0 && number < count as f64;
            if inside {
                Ok(number as u32)
            } else {
                Err(Error::Corrupt(format!("node {at} leads to {number} of {count} nodes")))
            }
        };
        (node.left, node.right) = (child(left[at])?, child(right[at])?);
        if !(0.0..features as f64).contains(&feature[at]) || feature[at].fract() != 0.0 {
            return Err(Error::Corrupt(format!(
                "node {at} splits on column {} of {features}",
                feature[at]
            )));
        }
        node.feature = feature[at] as u32;
        node.default_left = default[at] != 0.0;
        node.gain = gain[at] as f32;
    }
    Ok(Tree { nodes: sound(nodes)?, sets })
}

/// Walks from the root: each node at most once, none too deep, each number finite.
fn sound(mut nodes: Vec<Node>) -> Result<Vec<Node>, Error> {
    if nodes.is_empty() {
        return Err(Error::Corrupt("it has no root".into()));
    }
    let mut seen = vec![false; nodes.len()];
    let mut open = vec![(0usize, 0usize)];
    seen[0] = true;
    while let Some((at, depth)) = open.pop() {
        let node = nodes[at];
        let finite = if node.is_leaf() { node.value.is_finite() } else { !node.value.is_nan() };
        if !finite || !node.cover.is_finite() {
            return Err(Error::Corrupt(format!("node {at} holds a number that is not finite")));
        }
        if node.is_leaf() {
            continue;
        }
        if depth >= TREE_DEPTH_MAX {
            return Err(Error::Corrupt(format!("it is deeper than {TREE_DEPTH_MAX} levels")));
        }
        for child in [node.left as usize, node.right as usize] {
            if std::mem::replace(&mut seen[child], true) {
                return Err(Error::Corrupt(format!("node {child} is reached twice: a cycle")));
            }
            nodes[child].parent = at as u32;
            open.push((child, depth + 1));
        }
    }
    Ok(nodes)
}

fn groups_of(model: &Value, trees: usize, groups: usize) -> Result<Vec<u32>, Error> {
    let list = model.field("tree_info")?.as_numbers().ok_or_else(|| bad("tree_info"))?;
    let inside = |group: &f64| group.fract() == 0.0 && (0.0..groups as f64).contains(group);
    if list.len() != trees || !list.iter().all(inside) {
        return Err(bad("tree_info"));
    }
    Ok(list.iter().map(|group| *group as u32).collect())
}

/// Where rounds end; XGBoost below 2.0 does not say, and each round has as many trees.
fn rounds_of(model: &Value, trees: usize, each: usize) -> Result<Vec<usize>, Error> {
    let Some(list) = model.find("iteration_indptr") else {
        let mut ends: Vec<usize> = (0..=trees).step_by(each.max(1)).collect();
        if ends.last() != Some(&trees) {
            ends.push(trees);
        }
        return Ok(ends);
    };
    let list = list.as_numbers().ok_or_else(|| bad("iteration_indptr"))?;
    let whole = list.iter().all(|end| end.fract() == 0.0 && (0.0..=trees as f64).contains(end));
    let bounded = list.first() == Some(&0.0) && list.last() == Some(&(trees as f64));
    if !whole || !bounded || !list.is_sorted() {
        return Err(bad("iteration_indptr"));
    }
    Ok(list.iter().map(|end| *end as usize).collect())
}

/// Whether the objective's score is a probability, for the signature.
pub fn threshold(objective: &Objective) -> Option<f32> {
    match objective {
        Objective::Logistic { kind: Logistic::Raw, .. } => Some(0.0),
        Objective::Logistic { kind: Logistic::Binary, .. } | Objective::Hinge => Some(0.5),
        _ => None,
    }
}
