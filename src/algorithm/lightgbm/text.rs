//! LightGBM's text model (`model.txt`, versions 3 and 4), read and written.
//!
//! A split `value <= t` of doubles becomes `value < next(t)` of floats, which parts the same
//! floats; on the way back the threshold is written half way between two floats, so that doubles
//! fall as their nearest float does. What is read is checked as a stranger's: children in range,
//! no node twice, bounded depth, finite numbers. Linear trees, random forests' averages of
//! several classes, and transformed outputs that the engine lacks are refused by name.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::algorithm::Error;
use crate::algorithm::xgboost::ensemble::Ensemble;
use crate::algorithm::xgboost::objective::{Given, Logistic, Objective};
use crate::algorithm::xgboost::tree::{NONE, Node, Tree};
use crate::spec::limit::{CLASSES_MAX, COLUMNS_MAX, TREES_MAX};

/// Where LightGBM's zero ends, for missing values of the kind "zero".
const ZERO: f64 = 1e-35;

fn bad(what: impl std::fmt::Display) -> Error {
    Error::Corrupt(format!("the LightGBM model's {what}"))
}

/// `name=value` lines up to an empty one.
struct Block<'a> {
    entries: BTreeMap<&'a str, &'a str>,
}

impl<'a> Block<'a> {
    fn read(lines: &mut std::str::Lines<'a>) -> Block<'a> {
        let mut entries = BTreeMap::new();
        for line in lines {
            let line = line.trim_end_matches('\r');
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            entries.insert(name, value);
        }
        Block { entries }
    }

    fn find(&self, name: &str) -> Option<&'a str> {
        self.entries.get(name).copied()
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, Error> {
        let text = self.find(name).ok_or_else(|| bad(format!("{name} is missing")))?;
        text.trim().parse().map_err(|_| bad(format!("{name} is not a number")))
    }

    /// So many numbers; the list may be missing when none are due.
    fn numbers<T: std::str::FromStr>(&self, name: &str, count: usize) -> Result<Vec<T>, Error> {
        let text = self.find(name).unwrap_or("");
        let found: Option<Vec<T>> = text.split_ascii_whitespace().map(|n| n.parse().ok()).collect();
        match found {
            Some(found) if found.len() == count => Ok(found),
            _ => Err(bad(format!("{name} is not a list of {count} numbers"))),
        }
    }
}

/// Whether these bytes begin as LightGBM's text model does.
pub fn is_text(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(64)];
    start.starts_with(b"tree\nversion=v") || start.starts_with(b"tree\r\nversion=v")
}

/// Reads a model.
///
/// # Errors
/// `Error::Corrupt` saying what is wrong or not supported.
pub fn read(bytes: &[u8]) -> Result<Ensemble, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| bad("text is not UTF-8"))?;
    if !is_text(bytes) {
        return Err(bad("first lines are not `tree` and `version=v…`"));
    }
    let mut lines = text.lines();
    let head = Block::read(&mut lines);
    let features = head.number::<usize>("max_feature_idx")?.saturating_add(1);
    let classes = head.number::<usize>("num_class")?;
    let each = head.number::<usize>("num_tree_per_iteration")?;
    if features > COLUMNS_MAX || classes > CLASSES_MAX || each == 0 {
        return Err(bad(format!(
            "{features} features, {classes} classes and {each} trees a round are more than is read, at most {COLUMNS_MAX} and {CLASSES_MAX}"
        )));
    }
    let (objective, scale) = objective_of(head.find("objective"), classes)?;
    if objective.groups() != each {
        return Err(bad(format!("{each} trees a round do not go with {}", objective.name())));
    }
    let names: Vec<String> =
        head.find("feature_names").unwrap_or("").split(' ').map(str::to_owned).collect();
    if names.len() != features {
        return Err(bad(format!("feature_names are {} for {features} features", names.len())));
    }
    // Names that LightGBM made up are none.
    let made_up = |(at, name): (usize, &String)| *name == format!("Column_{at}");
    let names = if names.iter().enumerate().all(made_up) { Vec::new() } else { names };
    let mut trees = Vec::new();
    let mut categories = BTreeMap::new();
    let mut ended = false;
    while let Some(line) = lines.next() {
        let line = line.trim_end();
        if line == "end of trees" {
            ended = true;
            break;
        }
        if line.is_empty() {
            continue;
        }
        if !line.starts_with("Tree=") {
            return Err(bad(format!("tree {} does not begin with Tree=", trees.len())));
        }
        if trees.len() >= TREES_MAX {
            return Err(bad(format!("trees are more than {TREES_MAX}")));
        }
        let block = Block::read(&mut lines);
        let tree = tree_of(&block, features, scale, &mut categories)
            .map_err(|error| Error::Corrupt(format!("tree {}: {error}", trees.len())))?;
        trees.push(tree);
    }
    if !ended {
        return Err(bad("end of trees is missing: it is cut short"));
    }
    if trees.len() % each != 0 {
        return Err(bad(format!("{} trees are not whole rounds of {each}", trees.len())));
    }
    if head.find("average_output").is_some() {
        let share = each as f32 / trees.len().max(1) as f32;
        for node in trees.iter_mut().flat_map(|tree| &mut tree.nodes) {
            if node.is_leaf() {
                node.value *= share;
            }
        }
    }
    Ok(Ensemble {
        // LightGBM keeps the first score in the first trees.
        base_score: vec![neutral(&objective); each],
        objective,
        features,
        names,
        categories,
        groups: (0..trees.len()).map(|at| (at % each) as u32).collect(),
        rounds: (0..=trees.len()).step_by(each).collect(),
        trees,
        parallel: 1,
        attributes: BTreeMap::new(),
    })
}

/// The score whose margin is 0.
fn neutral(objective: &Objective) -> f32 {
    match objective {
        Objective::Logistic { kind: Logistic::Binary | Logistic::Regression, .. } => 0.5,
        Objective::Poisson { .. } | Objective::Gamma { .. } | Objective::Tweedie { .. } => 1.0,
        _ => 0.0,
    }
}

/// What the model answers with, and what its margins are to be multiplied by.
fn objective_of(text: Option<&str>, classes: usize) -> Result<(Objective, f32), Error> {
    let mut words = text.unwrap_or("").split_ascii_whitespace();
    let name = words.next().unwrap_or("");
    let mut scale = 1.0f32;
    for word in words {
        match word.split_once(':') {
            Some(("sigmoid", number)) => {
                scale = number.parse().ok().filter(|n: &f32| n.is_finite()).unwrap_or(f32::NAN);
            }
            None if word == "sqrt" => {
                return Err(bad("objective squares its answer (reg_sqrt), which is not supported"));
            }
            _ => {}
        }
    }
    if !scale.is_finite() {
        return Err(bad("sigmoid is not a number"));
    }
    let given = Given { classes, ..Given::default() };
    let named = |name: &str| {
        Objective::named(name, &given).ok_or_else(|| bad(format!("objective {name} is unknown")))
    };
    let objective = match name {
        "regression" | "regression_l2" | "" | "custom" => named("reg:squarederror")?,
        "regression_l1" | "huber" | "fair" | "quantile" | "mape" => named("reg:absoluteerror")?,
        "binary" => named("binary:logistic")?,
        "multiclass" | "softmax" if classes > 1 => named("multi:softprob")?,
        "poisson" => named("count:poisson")?,
        "gamma" => named("reg:gamma")?,
        "tweedie" => named("reg:tweedie")?,
        "cross_entropy" | "xentropy" => named("reg:logistic")?,
        "lambdarank" | "rank_xendcg" => named("rank:ndcg")?,
        other => {
            return Err(bad(format!(
                "objective {other:?} is not supported; those that are: regression, regression_l1, huber, fair, quantile, mape, binary, multiclass, poisson, gamma, tweedie, cross_entropy, lambdarank, rank_xendcg"
            )));
        }
    };
    let scale = if name == "binary" { scale } else { 1.0 };
    Ok((objective, scale))
}

fn tree_of(
    block: &Block<'_>,
    features: usize,
    scale: f32,
    categories: &mut BTreeMap<usize, Vec<String>>,
) -> Result<Tree, Error> {
    let leaves = block.number::<usize>("num_leaves")?;
    // A leaf takes two bytes of text or more.
    let room = block.find("leaf_value").map_or(0, str::len);
    if leaves == 0 || leaves > room.max(1) {
        return Err(bad(format!("num_leaves is {leaves}")));
    }
    if block.find("is_linear").is_some_and(|text| text.trim() == "1") {
        return Err(bad("leaves are linear (linear_tree), which is not supported"));
    }
    let inner = leaves - 1;
    let values: Vec<f64> = block.numbers("leaf_value", leaves)?;
    let counts: Vec<f64> = match block.find("leaf_count") {
        Some(text) if !text.trim().is_empty() => block.numbers("leaf_count", leaves)?,
        _ => vec![0.0; leaves],
    };
    if let Some(leaf) = values.iter().position(|value| !(*value as f32 * scale).is_finite()) {
        return Err(bad(format!("leaf {leaf} is not a number")));
    }
    if inner == 0 {
        let cover = counts.first().copied().unwrap_or(0.0);
        return Ok(Tree::of(vec![Node::leaf(NONE, values[0] as f32 * scale, cover as f32)]));
    }
    let columns: Vec<usize> = block.numbers("split_feature", inner)?;
    let thresholds: Vec<f64> = block.numbers("threshold", inner)?;
    let decisions: Vec<i64> = block.numbers("decision_type", inner)?;
    let lefts: Vec<i64> = block.numbers("left_child", inner)?;
    let rights: Vec<i64> = block.numbers("right_child", inner)?;
    let gains: Vec<f64> = match block.find("split_gain") {
        Some(_) => block.numbers("split_gain", inner)?,
        None => vec![0.0; inner],
    };
    let sets = Sets::read(block)?;
    let mut builder = Builder { tree: Tree::of(Vec::new()), seen: vec![false; inner] };
    // Inner nodes by number, then the node's place in ours; depth first keeps children behind.
    let mut open: Vec<(i64, u32, usize, Option<Side>)> = vec![(0, NONE, 0, None)];
    let mut leaf_seen = vec![false; leaves];
    while let Some((number, parent, depth, side)) = open.pop() {
        let place = builder.tree.nodes.len() as u32;
        if let Some(side) = side {
            let parent = &mut builder.tree.nodes[parent as usize];
            match side {
                Side::Left => parent.left = place,
                Side::Right => parent.right = place,
            }
        }
        if number < 0 {
            let leaf = usize::try_from(!number).ok().filter(|leaf| *leaf < leaves);
            let leaf = leaf.ok_or_else(|| bad(format!("child {number} is no leaf")))?;
            if std::mem::replace(&mut leaf_seen[leaf], true) {
                return Err(bad(format!("leaf {leaf} is reached twice")));
            }
            let node = Node::leaf(parent, values[leaf] as f32 * scale, counts[leaf] as f32);
            builder.tree.nodes.push(node);
            continue;
        }
        let at = usize::try_from(number).ok().filter(|at| *at < inner);
        let at = at.ok_or_else(|| bad(format!("child {number} is no node")))?;
        if std::mem::replace(&mut builder.seen[at], true) {
            return Err(bad(format!("node {at} is reached twice: a cycle")));
        }
        if depth >= crate::spec::limit::TREE_DEPTH_MAX {
            return Err(bad("tree is too deep"));
        }
        if columns[at] >= features {
            return Err(bad(format!("node {at} splits on column {} of {features}", columns[at])));
        }
        let mut node = Node::leaf(parent, 0.0, 0.0);
        node.feature = columns[at] as u32;
        node.gain = gains[at] as f32;
        let decision = decisions[at];
        let (mut left, mut right) = (lefts[at], rights[at]);
        if decision & 1 == 1 {
            // The set goes left there and right here; a missing value goes with the others.
            (left, right) = (right, left);
            node.default_left = true;
            node.set = sets.add_to(&mut builder.tree, thresholds[at])?;
            categories.entry(columns[at]).or_default();
        } else {
            let threshold = thresholds[at];
            if threshold.is_nan() {
                return Err(bad(format!("node {at} has no threshold")));
            }
            node.value = above(threshold);
            let says_left = decision & 2 != 0;
            let zero_left = 0.0 <= threshold;
            node.default_left = match (decision >> 2) & 3 {
                0 => zero_left,
                1 if says_left != zero_left || threshold.abs() < ZERO / 2.0 => {
                    return Err(bad(
                        "splits take zero for missing (zero_as_missing), which is not supported",
                    ));
                }
                1 | 2 => says_left,
                _ => return Err(bad(format!("node {at} has a decision_type of {decision}"))),
            };
        }
        builder.tree.nodes.push(node);
        open.push((right, place, depth + 1, Some(Side::Right)));
        open.push((left, place, depth + 1, Some(Side::Left)));
    }
    let Builder { mut tree, .. } = builder;
    for at in (0..tree.nodes.len()).rev() {
        let node = tree.nodes[at];
        if !node.is_leaf() {
            let below = [node.left, node.right].map(|child| tree.nodes[child as usize].cover);
            tree.nodes[at].cover = below[0] + below[1];
        }
    }
    Ok(tree)
}

struct Builder {
    tree: Tree,
    seen: Vec<bool>,
}

#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

/// The least float such that `x < it` for every float `x <= threshold`, and for no other.
fn above(threshold: f64) -> f32 {
    let near = threshold as f32;
    let floor = if f64::from(near) > threshold { near.next_down() } else { near };
    floor.next_up()
}

/// The sets of categories of one tree, as bit sets.
struct Sets {
    bounds: Vec<usize>,
    words: Vec<u32>,
}

impl Sets {
    fn read(block: &Block<'_>) -> Result<Sets, Error> {
        let count = block.find("num_cat").map_or(Ok(0), |_| block.number::<usize>("num_cat"))?;
        if count == 0 {
            return Ok(Sets { bounds: vec![0], words: Vec::new() });
        }
        let bounds: Vec<usize> = block.numbers("cat_boundaries", count.saturating_add(1))?;
        let last = bounds.last().copied().unwrap_or(0);
        if bounds.first() != Some(&0) || !bounds.is_sorted() {
            return Err(bad("cat_boundaries do not rise from 0"));
        }
        let words = block.numbers("cat_threshold", last)?;
        Ok(Sets { bounds, words })
    }

    /// Puts set number `at` into the tree; its number there.
    fn add_to(&self, tree: &mut Tree, at: f64) -> Result<u32, Error> {
        let wrong = || bad("threshold of a categorical split names no set");
        let at = if at >= 0.0 && at.fract() == 0.0 { at as usize } else { return Err(wrong()) };
        let (Some(from), Some(to)) = (self.bounds.get(at), self.bounds.get(at + 1)) else {
            return Err(wrong());
        };
        let words = self.words.get(*from..*to).ok_or_else(wrong)?;
        let codes = words.iter().enumerate().flat_map(|(word, bits)| {
            (0..32).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| word as u32 * 32 + bit)
        });
        tree.sets.push(codes.collect());
        Ok(tree.sets.len() as u32 - 1)
    }
}

/// Writes a model as `save_model` does, so far as `lightgbm` reads it.
pub fn write(model: &Ensemble, infos: &[[f32; 2]], parameters: &[(String, String)]) -> Vec<u8> {
    let each = model.objective.groups();
    let base = model.base_margins();
    let blocks: Vec<String> = model
        .trees
        .iter()
        .enumerate()
        .map(|(at, tree)| {
            // The first score goes into the first tree of each class.
            let added = if at < each { f64::from(base[model.groups[at] as usize]) } else { 0.0 };
            tree_text(tree, at, added)
        })
        .collect();
    let name = |at: usize| match model.names.get(at) {
        Some(name) => plain(name),
        None => format!("Column_{at}"),
    };
    let names: Vec<String> = (0..model.features).map(name).collect();
    let info = |at: usize| match infos.get(at) {
        Some([low, high]) if low < high => format!("[{low}:{high}]"),
        _ => "none".to_owned(),
    };
    let infos: Vec<String> = (0..model.features).map(info).collect();
    let sizes: Vec<String> = blocks.iter().map(|block| block.len().to_string()).collect();
    let mut text = String::new();
    let _ = write!(
        text,
        "tree\nversion=v4\nnum_class={each}\nnum_tree_per_iteration={each}\nlabel_index=0\nmax_feature_idx={}\nobjective={}\nfeature_names={}\nfeature_infos={}\ntree_sizes={}\n\n",
        model.features - 1,
        objective_text(&model.objective),
        names.join(" "),
        infos.join(" "),
        sizes.join(" "),
    );
    blocks.iter().for_each(|block| text.push_str(block));
    text.push_str("end of trees\n\nfeature_importances:\n\nparameters:\n");
    for (name, value) in parameters {
        let _ = writeln!(text, "[{name}: {value}]");
    }
    text.push_str("\nend of parameters\n\npandas_categorical:null\n");
    text.into_bytes()
}

/// A name that may stand in the list of names, which blanks part.
fn plain(name: &str) -> String {
    let good = |letter: char| {
        !letter.is_whitespace() && !letter.is_control() && !"\",:[]{}=".contains(letter)
    };
    name.chars().map(|letter| if good(letter) { letter } else { '_' }).collect()
}

fn objective_text(objective: &Objective) -> String {
    match objective {
        Objective::Logistic { kind: Logistic::Binary, .. } => "binary sigmoid:1".into(),
        Objective::Logistic { .. } => "cross_entropy".into(),
        Objective::Multi { classes, .. } => format!("multiclass num_class:{classes}"),
        Objective::Poisson { .. } => "poisson".into(),
        Objective::Gamma { .. } => "gamma".into(),
        Objective::Tweedie { .. } => "tweedie".into(),
        Objective::AbsoluteError => "regression_l1".into(),
        Objective::Rank(_) => "lambdarank".into(),
        _ => "regression".into(),
    }
}

fn tree_text(tree: &Tree, number: usize, added: f64) -> String {
    // Leaves and inner nodes are numbered each for themselves, in the order of ours.
    let mut numbers = vec![0i64; tree.nodes.len()];
    let (mut inner, mut leaves) = (Vec::new(), Vec::new());
    for (at, node) in tree.nodes.iter().enumerate() {
        if node.is_leaf() {
            numbers[at] = !(leaves.len() as i64);
            leaves.push(node);
        } else {
            numbers[at] = inner.len() as i64;
            inner.push((at, node));
        }
    }
    let mut sets = Vec::new();
    let mut fields: Vec<(&str, String)> = Vec::new();
    let of_inner = |field: &mut dyn FnMut(usize, &Node) -> String| -> String {
        inner.iter().map(|(at, node)| field(*at, node)).collect::<Vec<_>>().join(" ")
    };
    let of_leaves = |field: &dyn Fn(&Node) -> String| -> String {
        leaves.iter().map(|node| field(node)).collect::<Vec<_>>().join(" ")
    };
    fields.push(("num_leaves", leaves.len().to_string()));
    let thresholds = of_inner(&mut |_, node| match node.set {
        NONE => below(node.value).to_string(),
        set => {
            sets.push(tree.sets[set as usize].codes().collect::<Vec<u32>>());
            (sets.len() - 1).to_string()
        }
    });
    fields.push(("num_cat", sets.len().to_string()));
    if !inner.is_empty() {
        let child = |at: u32| numbers[at as usize].to_string();
        let is_set = |node: &Node| node.set != NONE;
        fields.push(("split_feature", of_inner(&mut |_, node| node.feature.to_string())));
        fields.push(("split_gain", of_inner(&mut |_, node| node.gain.to_string())));
        fields.push(("threshold", thresholds));
        let decision =
            |node: &Node| if is_set(node) { 9 } else { 8 + 2 * u8::from(node.default_left) };
        fields.push(("decision_type", of_inner(&mut |_, node| decision(node).to_string())));
        // The set goes right here and left there.
        fields.push((
            "left_child",
            of_inner(&mut |_, node| child(if is_set(node) { node.right } else { node.left })),
        ));
        fields.push((
            "right_child",
            of_inner(&mut |_, node| child(if is_set(node) { node.left } else { node.right })),
        ));
    }
    fields.push(("leaf_value", of_leaves(&|node| (f64::from(node.value) + added).to_string())));
    fields.push(("leaf_weight", of_leaves(&|node| node.cover.to_string())));
    fields.push(("leaf_count", of_leaves(&|node| (node.cover as u64).to_string())));
    if !inner.is_empty() {
        fields.push(("internal_value", of_inner(&mut |_, node| node.weight.to_string())));
        fields.push(("internal_weight", of_inner(&mut |_, node| node.cover.to_string())));
        fields.push(("internal_count", of_inner(&mut |_, node| (node.cover as u64).to_string())));
    }
    if !sets.is_empty() {
        let (mut bounds, mut words) = (vec![0usize], Vec::new());
        for codes in &sets {
            let first = words.len();
            words.resize(first + codes.iter().max().map_or(0, |top| *top as usize / 32 + 1), 0u32);
            codes.iter().for_each(|code| words[first + *code as usize / 32] |= 1 << (code % 32));
            bounds.push(words.len());
        }
        let joined = |list: Vec<String>| list.join(" ");
        fields.push(("cat_boundaries", joined(bounds.iter().map(usize::to_string).collect())));
        fields.push(("cat_threshold", joined(words.iter().map(u32::to_string).collect())));
    }
    fields.push(("is_linear", "0".into()));
    fields.push(("shrinkage", "1".into()));
    let mut text = format!("Tree={number}\n");
    for (name, value) in fields {
        let _ = writeln!(text, "{name}={value}");
    }
    text.push_str("\n\n");
    text
}

/// A double that parts doubles as their nearest floats are parted by `x < value`.
fn below(value: f32) -> f64 {
    let middle = f64::midpoint(f64::from(value.next_down()), f64::from(value));
    if middle.is_finite() { middle } else { f64::MAX.copysign(middle) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_part_the_same_floats_on_both_sides() {
        for threshold in [0.1f64, 0.5, 1e-35, -3.25, 0.0, 1e300, -1e300, 16_777_217.0] {
            let cut = above(threshold);
            for near in [threshold as f32, cut, cut.next_down(), cut.next_up(), 0.0, -1.0] {
                assert_eq!(near < cut, f64::from(near) <= threshold, "{near} {threshold}");
            }
        }
        for value in [0.1f32, 1.0, -2.5, 1e-30, 12345.678] {
            assert_eq!(above(below(value)), value);
        }
    }

    const MODEL: &str = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=1\nobjective=binary sigmoid:1\nfeature_names=a b\nfeature_infos=[0:1] [0:1]\ntree_sizes=1\n\nTree=0\nnum_leaves=3\nnum_cat=0\nsplit_feature=0 1\nsplit_gain=1 1\nthreshold=0.5 0.25\ndecision_type=10 8\nleft_child=1 -1\nright_child=-2 -3\nleaf_value=0.1 -0.2 0.3\nleaf_weight=1 1 1\nleaf_count=4 5 6\ninternal_value=0 0\ninternal_weight=0 0\ninternal_count=15 10\nis_linear=0\nshrinkage=1\n\n\nend of trees\n\n";

    fn leaf(model: &Ensemble, row: [f32; 2]) -> f32 {
        let tree = &model.trees[0];
        tree.nodes[tree.leaf_of(|column| row[column])].value
    }

    #[test]
    fn a_model_is_read_and_what_is_written_reads_back() {
        let model = read(MODEL.as_bytes()).unwrap();
        assert_eq!(model.names, ["a", "b"]);
        assert_eq!(leaf(&model, [0.5, 0.25]), 0.1);
        assert_eq!(leaf(&model, [0.5, 0.26]), 0.3);
        assert_eq!(leaf(&model, [0.51, 0.0]), -0.2);
        assert_eq!(leaf(&model, [f32::NAN, f32::NAN]), 0.3);
        assert_eq!(model.trees[0].nodes[0].cover, 15.0);
        let again = read(&write(&model, &[], &[])).unwrap();
        assert_eq!(again.trees[0].nodes.len(), 5);
        for row in [[0.5, 0.25], [0.5, 0.26], [0.51, 0.0], [f32::NAN, 0.1]] {
            assert_eq!(leaf(&again, row), leaf(&model, row));
        }
    }

    #[test]
    fn a_strangers_text_is_refused_with_its_reason() {
        for (from, to, why) in [
            ("left_child=1 -1", "left_child=0 -1", "twice"),
            ("left_child=1 -1", "left_child=9 -1", "no node"),
            ("right_child=-2 -3", "right_child=-2 -9", "no leaf"),
            ("right_child=-2 -3", "right_child=-2 -2", "twice"),
            ("split_feature=0 1", "split_feature=0 7", "column 7"),
            ("num_leaves=3", "num_leaves=4000000000", "num_leaves"),
            ("threshold=0.5 0.25", "threshold=nan 0.25", "threshold"),
            ("leaf_value=0.1", "leaf_value=1e999", "leaf 0"),
            ("is_linear=0", "is_linear=1", "linear"),
            ("decision_type=10 8", "decision_type=4 8", "zero_as_missing"),
            ("max_feature_idx=1", "max_feature_idx=4294967295", "features"),
            ("binary sigmoid:1", "cross_entropy_lambda", "not supported"),
            ("end of trees", "", "cut short"),
        ] {
            let said = read(MODEL.replace(from, to).as_bytes()).unwrap_err().to_string();
            assert!(said.contains(why), "{to}: {said}");
        }
        for length in 0..MODEL.len() - 14 {
            assert!(read(&MODEL.as_bytes()[..length]).is_err(), "{length}");
        }
    }
}
