//! Why a row got its margin: exact SHAP values of a tree ensemble, and what each column is worth.
//!
//! Path-dependent TreeSHAP (Lundberg, Erion, Lee 2018), as XGBoost's `pred_contribs`, told path by
//! path: every way from a root to a leaf is a list of distinct columns, each with the interval
//! its splits leave open and the share of training rows (by hessian) that take them. A row either
//! fits an interval or does not, so sixteen rows go down one path together without a branch.
//! Columns a row does not fit all share one sum, which a recursion down the tree cannot use.

use ndarray::{Array3, ArrayView2};
use rayon::prelude::*;

use super::ensemble::Ensemble;
use super::tree::{NONE, Set, Tree};

/// Rows that go down a path together.
const LANES: usize = 16;

type Lanes = [f32; LANES];

/// Which categories stay on a path, by number of the splits' sets.
#[derive(Debug, Clone, Default)]
struct Codes {
    /// Those in all of these.
    within: Vec<u32>,
    /// And in none of these.
    without: Vec<u32>,
}

impl Codes {
    fn has(&self, sets: &[Set], value: f32) -> bool {
        let in_set = |set: &u32| sets[*set as usize].has(value);
        self.within.iter().all(in_set) && !self.without.iter().any(in_set)
    }
}

/// One column of a path.
#[derive(Debug, Clone, Copy)]
struct Step {
    feature: u32,
    /// Values from here...
    low: f32,
    /// ...to below here stay on the path.
    high: f32,
    /// Whether missing values do.
    missing: bool,
    /// Share of training rows that do.
    share: f32,
    /// Which of the explainer's codes do, where the column holds categories; else [`NONE`].
    codes: u32,
}

/// A way from a root to a leaf.
#[derive(Debug, Clone, Copy)]
struct Path {
    group: u32,
    value: f32,
    start: usize,
    length: usize,
}

/// A model laid out for explaining.
#[derive(Debug, Clone)]
pub struct Explainer {
    features: usize,
    /// Expected margin of each group.
    expected: Vec<f32>,
    paths: Vec<Path>,
    steps: Vec<Step>,
    codes: Vec<Codes>,
    sets: Vec<Set>,
    longest: usize,
}

impl Explainer {
    /// Lays a sound model out.
    pub fn new(model: &Ensemble) -> Explainer {
        let mut explainer = Explainer {
            features: model.features,
            expected: Vec::new(),
            paths: Vec::new(),
            steps: Vec::new(),
            codes: Vec::new(),
            sets: Vec::new(),
            longest: 0,
        };
        let mut expected: Vec<f64> = model.base_margins().iter().map(|m| f64::from(*m)).collect();
        for (tree, group) in model.trees.iter().zip(&model.groups) {
            expected[*group as usize] += explainer.lay(tree, *group);
        }
        explainer.expected = expected.into_iter().map(|margin| margin as f32).collect();
        explainer.longest = explainer.paths.iter().map(|path| path.length).max().unwrap_or(0);
        explainer
    }

    /// Adds the paths of a tree; its expected value.
    fn lay(&mut self, tree: &Tree, group: u32) -> f64 {
        let mut expected = 0.0;
        let first_set = self.sets.len() as u32;
        self.sets.extend(tree.sets.iter().cloned());
        let mut open: Vec<(usize, Vec<Step>, f64)> = vec![(0, Vec::new(), 1.0)];
        while let Some((at, steps, share)) = open.pop() {
            let node = &tree.nodes[at];
            if node.is_leaf() {
                expected += share * f64::from(node.value);
                let (start, length) = (self.steps.len(), steps.len());
                self.paths.push(Path { group, value: node.value, start, length });
                self.steps.extend(steps);
                continue;
            }
            for (child, goes_left) in [(node.left, true), (node.right, false)] {
                let covers = [tree.nodes[child as usize].cover, node.cover].map(f64::from);
                // A node without cover says nothing of where rows go.
                let part = if covers[1] > 0.0 { covers[0] / covers[1] } else { 0.5 };
                let mut steps = steps.clone();
                let known = steps.iter().position(|step| step.feature == node.feature);
                let at = known.unwrap_or_else(|| {
                    steps.push(Step {
                        feature: node.feature,
                        low: f32::NEG_INFINITY,
                        high: f32::INFINITY,
                        missing: true,
                        share: 1.0,
                        codes: NONE,
                    });
                    steps.len() - 1
                });
                let step = &mut steps[at];
                if node.set != NONE {
                    let before = self.codes.get(step.codes as usize).cloned();
                    let mut codes = before.unwrap_or_default();
                    // Those in the set go right.
                    let list = if goes_left { &mut codes.without } else { &mut codes.within };
                    list.push(first_set + node.set);
                    self.codes.push(codes);
                    step.codes = self.codes.len() as u32 - 1;
                } else if goes_left {
                    step.high = step.high.min(node.value);
                } else {
                    step.low = step.low.max(node.value);
                }
                step.missing &= node.default_left == goes_left;
                step.share *= part as f32;
                open.push((child as usize, steps, share * part));
            }
        }
        expected
    }

    /// rows × groups × (features + 1): what each column adds to the margin, and last what the
    /// margin is expected to be; together the margin.
    pub fn contributions(&self, rows: &ArrayView2<'_, f32>) -> Array3<f32> {
        let (count, groups) = (rows.nrows(), self.expected.len());
        let width = groups * (self.features + 1);
        let mut out = vec![0.0; count * width];
        let block = |(block, out): (usize, &mut [f32])| {
            let first = block * LANES;
            let lanes = out.len() / width;
            let mut values = vec![[0.0; LANES]; self.features];
            for lane in 0..lanes {
                for (column, value) in values.iter_mut().zip(rows.row(first + lane)) {
                    column[lane] = *value;
                }
            }
            let mut sums = vec![[0.0; LANES]; width];
            self.explain(&values, &mut sums);
            for (lane, out) in out.chunks_exact_mut(width).enumerate() {
                out.iter_mut().zip(&sums).for_each(|(out, sum)| *out = sum[lane]);
            }
        };
        if count > 4 * LANES {
            out.par_chunks_mut(LANES * width).enumerate().for_each(block);
        } else {
            out.chunks_mut(LANES * width).enumerate().for_each(block);
        }
        Array3::from_shape_vec((count, groups, self.features + 1), out)
            .expect("so many numbers were made")
    }

    fn explain(&self, values: &[Lanes], sums: &mut [Lanes]) {
        let mut scratch = Scratch {
            fits: vec![[0.0; LANES]; self.longest],
            weights: vec![[0.0; LANES]; self.longest + 1],
        };
        for path in &self.paths {
            let steps = &self.steps[path.start..path.start + path.length];
            let first = path.group as usize * (self.features + 1);
            if path.length == 0 || path.value == 0.0 {
                continue;
            }
            self.fit(steps, values, &mut scratch.fits);
            walk(steps, path.value, &mut scratch, &mut sums[first..]);
        }
        for (group, expected) in self.expected.iter().enumerate() {
            sums[group * (self.features + 1) + self.features] = [*expected; LANES];
        }
    }

    /// Tells for each step whether the rows fit it.
    fn fit(&self, steps: &[Step], values: &[Lanes], fits: &mut [Lanes]) {
        for (fits, step) in fits.iter_mut().zip(steps) {
            let own = &values[step.feature as usize];
            if let Some(codes) = self.codes.get(step.codes as usize) {
                for (fits, value) in fits.iter_mut().zip(own) {
                    let inside =
                        if value.is_nan() { step.missing } else { codes.has(&self.sets, *value) };
                    *fits = f32::from(u8::from(inside));
                }
                continue;
            }
            for (fits, value) in fits.iter_mut().zip(own) {
                let inside = (*value >= step.low) & (*value < step.high);
                *fits = f32::from(u8::from(inside | (value.is_nan() & step.missing)));
            }
        }
    }
}

struct Scratch {
    /// 1 where a row fits a step, else 0.
    fits: Vec<Lanes>,
    /// Weights of the subsets by their size.
    weights: Vec<Lanes>,
}

/// Adds what one path says.
fn walk(steps: &[Step], value: f32, scratch: &mut Scratch, sums: &mut [Lanes]) {
    let length = steps.len();
    let fits = &scratch.fits[..length];
    let weights = &mut scratch.weights[..=length];
    extend(steps, fits, weights);
    // What every step the row does not fit gives up.
    let mut lost = [0.0; LANES];
    let whole = (length + 1) as f32;
    for (size, weights) in weights[..length].iter().enumerate() {
        let factor = whole / (length - size) as f32;
        for (lost, weight) in lost.iter_mut().zip(weights) {
            *lost += weight * factor;
        }
    }
    for (step, fits) in steps.iter().zip(fits.iter()) {
        let kept = unwound(weights, step.share);
        let sums = &mut sums[step.feature as usize];
        for lane in 0..LANES {
            let gain = kept[lane] * (1.0 - step.share);
            sums[lane] += value * if fits[lane] != 0.0 { gain } else { -lost[lane] };
        }
    }
}

/// Weights of subsets of the steps by size.
fn extend(steps: &[Step], fits: &[Lanes], weights: &mut [Lanes]) {
    weights.fill([0.0; LANES]);
    weights[0] = [1.0; LANES];
    for (at, (step, fits)) in steps.iter().zip(fits).enumerate() {
        let whole = (at + 2) as f32;
        for size in (0..=at).rev() {
            let with = (size + 1) as f32 / whole;
            let without = step.share * (at + 1 - size) as f32 / whole;
            let (low, high) = weights.split_at_mut(size + 1);
            let (own, next) = (&mut low[size], &mut high[0]);
            for lane in 0..LANES {
                next[lane] += fits[lane] * own[lane] * with;
                own[lane] *= without;
            }
        }
    }
}

/// The sum of weights had a fitting step of this share not been added.
fn unwound(weights: &[Lanes], share: f32) -> Lanes {
    let length = weights.len() - 1;
    let whole = (length + 1) as f32;
    let mut next = weights[length];
    let mut total = [0.0; LANES];
    for size in (0..length).rev() {
        let back = whole / (size + 1) as f32;
        let down = share * (length - size) as f32 / whole;
        let own = &weights[size];
        for lane in 0..LANES {
            let part = next[lane] * back;
            total[lane] += part;
            next[lane] = own[lane] - part * down;
        }
    }
    total
}

/// What a column is worth over all trees, as XGBoost's `get_score`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Importance {
    /// Splits on it.
    pub weight: u64,
    /// Loss they save, together.
    pub total_gain: f64,
    /// Hessians they part, together.
    pub total_cover: f64,
}

impl Importance {
    /// Mean loss a split saves.
    pub fn gain(&self) -> f64 {
        self.total_gain / self.weight.max(1) as f64
    }

    /// Mean hessian a split parts.
    pub fn cover(&self) -> f64 {
        self.total_cover / self.weight.max(1) as f64
    }
}

/// The importance of every column, in their order.
pub fn importances(model: &Ensemble) -> Vec<Importance> {
    let mut found = vec![Importance::default(); model.features];
    for node in model.trees.iter().flat_map(|tree| &tree.nodes).filter(|node| !node.is_leaf()) {
        let own = &mut found[node.feature as usize];
        own.weight += 1;
        own.total_gain += f64::from(node.gain);
        own.total_cover += f64::from(node.cover);
    }
    found
}

/// What each column that any split uses is worth over all models, the greatest total gain first.
pub fn named_importances(
    signature: &crate::data::Signature,
    models: &[Ensemble],
) -> Vec<crate::algorithm::Importance> {
    let mut sums = vec![Importance::default(); signature.features];
    for model in models {
        for (sum, own) in sums.iter_mut().zip(importances(model)) {
            sum.weight += own.weight;
            sum.total_gain += own.total_gain;
            sum.total_cover += own.total_cover;
        }
    }
    let one = |(at, own): (usize, &Importance)| crate::algorithm::Importance {
        column: signature.columns.get(at).cloned().unwrap_or_else(|| format!("f{at}")),
        weight: own.weight,
        gain: own.gain(),
        cover: own.cover(),
        total_gain: own.total_gain,
        total_cover: own.total_cover,
    };
    let mut found: Vec<_> =
        sums.iter().enumerate().filter(|(_, own)| own.weight > 0).map(one).collect();
    found.sort_by(|one, two| two.total_gain.total_cmp(&one.total_gain));
    found
}

/// The leaf each row ends in: rows × trees, row after row, as XGBoost's `pred_leaf`.
pub fn leaves(model: &Ensemble, rows: &ArrayView2<'_, f32>) -> Vec<u32> {
    let width = model.trees.len();
    let mut out = vec![0; rows.nrows() * width];
    if width > 0 {
        out.par_chunks_mut(width).enumerate().for_each(|(row, out)| {
            for (leaf, tree) in out.iter_mut().zip(&model.trees) {
                *leaf = tree.leaf_of(|feature| rows[[row, feature]]) as u32;
            }
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ndarray::Array2;

    use super::super::objective::Objective;
    use super::super::tree::Node;
    use super::*;

    /// Two levels with column 0 above column 1 and, once, column 0 again.
    fn model() -> Ensemble {
        let split = |feature, value, left, parent, cover| Node {
            left,
            right: left + 1,
            parent,
            feature,
            value,
            set: NONE,
            default_left: true,
            gain: 1.0,
            cover,
            weight: 0.0,
        };
        let nodes = vec![
            split(0, 0.5, 1, NONE, 10.0),
            split(1, 0.5, 3, 0, 6.0),
            split(0, 0.8, 5, 0, 4.0),
            Node::leaf(1, 1.0, 2.0),
            Node::leaf(1, -2.0, 4.0),
            Node::leaf(2, 3.0, 1.0),
            Node::leaf(2, 0.25, 3.0),
        ];
        Ensemble {
            objective: Objective::SquaredError { positive: 1.0 },
            base_score: vec![0.5],
            features: 2,
            names: Vec::new(),
            categories: BTreeMap::new(),
            trees: vec![Tree::of(nodes)],
            groups: vec![0],
            rounds: vec![0, 1],
            parallel: 1,
            attributes: BTreeMap::new(),
        }
    }

    /// The value of a tree when only some columns are known.
    fn expectation(tree: &Tree, at: usize, row: &[f32], known: u32) -> f64 {
        let node = &tree.nodes[at];
        if node.is_leaf() {
            return f64::from(node.value);
        }
        let of = |child: u32| expectation(tree, child as usize, row, known);
        if known >> node.feature & 1 == 1 {
            return of(tree.next(at, row[node.feature as usize]));
        }
        let cover = |child: u32| f64::from(tree.nodes[child as usize].cover);
        (cover(node.left) * of(node.left) + cover(node.right) * of(node.right))
            / f64::from(node.cover)
    }

    #[test]
    fn contributions_are_shapleys_by_definition() {
        let model = model();
        let explainer = Explainer::new(&model);
        let x =
            Array2::from_shape_vec((4, 2), vec![0.1, 0.1, 0.9, 0.9, f32::NAN, 0.7, 0.6, f32::NAN])
                .unwrap();
        let found = explainer.contributions(&x.view());
        for (row, x) in x.rows().into_iter().enumerate() {
            let x = x.to_vec();
            let value = |known| expectation(&model.trees[0], 0, &x, known);
            let first = (value(1) - value(0) + value(3) - value(2)) / 2.0;
            let second = (value(2) - value(0) + value(3) - value(1)) / 2.0;
            for (column, expected) in [first, second, value(0) + 0.5].into_iter().enumerate() {
                let got = f64::from(found[[row, 0, column]]);
                assert!((got - expected).abs() < 1e-5, "{row} {column}: {got} {expected}");
            }
        }
    }

    #[test]
    fn importances_count_splits() {
        let found = importances(&model());
        assert_eq!((found[0].weight, found[1].weight), (2, 1));
        assert_eq!((found[0].total_cover, found[0].cover()), (14.0, 7.0));
    }
}
