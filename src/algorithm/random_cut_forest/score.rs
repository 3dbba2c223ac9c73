//! How strange a point is: the forest laid out for reading, and the walk through it.
//!
//! **The score.** Let x join a tree as the paper's insertion does. The depth of its leaf, expected
//! over the random cuts of that insertion, needs no drawing: with S the sum of the sides of a node's
//! box and e how far x lies outside of it, summed over dimensions, x is cut off right above that
//! node with probability e / (S + e), else it goes to the child on its side of the node's cut.
//! So the depth still to come below a node is 1 + S / (S + e) × that below the child, from 1 at a
//! leaf; or log2(m + 1) at a leaf of m rows equal to x, as deep as a balanced tree of them. With n
//! rows in each tree,
//!
//! score = log2(n + 1) / mean over trees of the expected depth.
//!
//! That is SageMaker's description (inversely proportional to depth, scaled by the sample size):
//! about 1 for a point as deep as in a balanced tree, less inside dense data, at most log2(n + 1)
//! for one that every tree cuts off at its root.
//!
//! **How it is computed.** S + e is the sum of the sides of the node's box widened to hold x, so one
//! pass over the numbers gives the quotient, and gives exactly 1 inside of the box. A block of rows
//! goes down one tree after the other, so that tree and rows stay in the cache: first the row
//! numbers are parted by the cuts ([`super::walk`]), which brings the rows of each node side by
//! side; then the boxes are met from the bottom up ([`super::boxes`]), many rows abreast for narrow
//! points. A row's arithmetic is the same in every block: its answer does not depend on the others.

use rayon::prelude::*;

use super::boxes;
use super::points::Points;
use super::scale::Scale;
use super::tree::{At, Tree};
use super::walk::Scratch;

/// `dimension` of a leaf.
pub(super) const LEAF: u32 = u32::MAX;
/// Points up to so many numbers are worked through rows abreast, wider ones numbers abreast.
pub(super) const NARROW_MAX: usize = 48;
/// Numbers of a block of rows: it and its two copies stay in the second-level cache.
const BLOCK_VALUES: usize = 80 << 10;
const BLOCK_ROWS_MIN: usize = 16;
/// Also what 16 bits can count.
const BLOCK_ROWS_MAX: usize = 8_192;
/// Below so many rows × trees × numbers a call stays on its thread.
const PARALLEL_WORK: usize = 1 << 20;

/// One node, in the order root, left, right: the left child is the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) dimension: u32,
    pub(super) cut: f32,
    pub(super) right: u32,
    /// Of an inner node: which box is its. Of a leaf: which point its rows are.
    pub(super) of: u32,
    /// Rows below.
    pub(super) mass: u32,
    /// Sum of the sides of its box as [`boxes::widened`] adds them, above 0.
    pub(super) sides: f32,
}

/// A tree for reading.
#[derive(Debug, Clone)]
pub(super) struct Laid {
    pub(super) steps: Vec<Step>,
    /// Lower and upper corner, `width` numbers each.
    corners: Vec<f32>,
}

/// A forest for reading: it answers and does not learn.
#[derive(Debug, Clone)]
pub struct Scorer {
    scale: Scale,
    shingle: usize,
    width: usize,
    /// log2(n + 1).
    full: f32,
    /// The rows of the leaves.
    points: Points,
    pub(super) trees: Vec<Laid>,
}

/// Points laid one after the other, or overlapping as the shingles of a series do.
#[derive(Debug, Clone, Copy)]
pub struct PointsOf<'a> {
    values: &'a [f32],
    stride: usize,
    count: usize,
}

impl<'a> PointsOf<'a> {
    /// Whole points, `width` numbers each.
    pub fn whole(values: &'a [f32], width: usize) -> PointsOf<'a> {
        PointsOf { values, stride: width, count: values.len() / width }
    }

    /// The shingles of a series of rows of `columns` numbers: the first ends with row `shingle`.
    pub fn series(values: &'a [f32], columns: usize, shingle: usize) -> PointsOf<'a> {
        let rows = values.len() / columns;
        PointsOf { values, stride: columns, count: (rows + 1).saturating_sub(shingle) }
    }

    /// The `width` numbers of one point.
    pub(super) fn raw(&self, at: usize, width: usize) -> &'a [f32] {
        &self.values[at * self.stride..][..width]
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Scorer {
    /// Lays a forest out.
    pub(super) fn new(scale: Scale, shingle: usize, points: Points, trees: &[Tree]) -> Scorer {
        let width = points.width();
        let mass = trees.first().map_or(0, Tree::mass);
        let trees = trees.par_iter().map(|tree| lay(tree, &points)).collect();
        Scorer { scale, shingle, width, full: ((mass + 1) as f32).log2(), points, trees }
    }

    /// Numbers of a point.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows of a point.
    pub fn shingle(&self) -> usize {
        self.shingle
    }

    /// The highest score there is.
    pub fn highest(&self) -> f32 {
        self.full
    }

    /// The score of each point. A missing value is NaN.
    pub fn scores(&self, points: &PointsOf<'_>) -> Vec<f32> {
        let mut scores = vec![0.0; points.count];
        let work = points.count.saturating_mul(self.trees.len()).saturating_mul(self.width);
        let fitting = (BLOCK_VALUES / self.width).clamp(BLOCK_ROWS_MIN, BLOCK_ROWS_MAX);
        if work < PARALLEL_WORK || points.count <= BLOCK_ROWS_MIN {
            let mut scratch = Scratch::default();
            for (at, scores) in scores.chunks_mut(fitting).enumerate() {
                self.block(points, at * fitting, scores, &mut scratch);
            }
            return scores;
        }
        let threads = rayon::current_num_threads();
        let rows = fitting.min(points.count.div_ceil(threads)).max(BLOCK_ROWS_MIN);
        scores.par_chunks_mut(rows).enumerate().for_each_init(
            Scratch::default,
            |scratch, (at, scores)| {
                self.block(points, at * rows, scores, scratch);
            },
        );
        scores
    }

    /// Scores the points from `first` on.
    fn block(
        &self,
        points: &PointsOf<'_>,
        first: usize,
        scores: &mut [f32],
        scratch: &mut Scratch,
    ) {
        scratch.load(self, points, first, scores.len());
        scores.fill(0.0);
        for tree in &self.trees {
            scratch.part(tree, self);
            boxes::meet(tree, self, scratch);
            for (id, depth) in scratch.order().zip(&scratch.depths) {
                scores[id] += *depth;
            }
        }
        let most = self.full * self.trees.len() as f32;
        scores.iter_mut().for_each(|depth| *depth = most / *depth);
    }

    /// A point on the forest's scale.
    pub(super) fn scaled(&self, points: &PointsOf<'_>, at: usize, scaled: &mut [f32]) {
        self.scale.apply(points.raw(at, self.width), scaled);
    }

    /// Lower and upper corner of an inner node's box.
    pub(super) fn corners<'a>(&self, tree: &'a Laid, inner: &Step) -> (&'a [f32], &'a [f32]) {
        let start = inner.of as usize * 2 * self.width;
        tree.corners[start..start + 2 * self.width].split_at(self.width)
    }

    /// The row that those of a leaf are.
    pub(super) fn leaf_row(&self, leaf: &Step) -> &[f32] {
        self.points.row(leaf.of)
    }

    /// Depth still to come at a leaf. One row has no depth below it, whichever it is.
    pub(super) fn at_leaf(&self, leaf: &Step, row: &[f32]) -> f32 {
        if leaf.mass > 1 && self.leaf_row(leaf) == row {
            ((leaf.mass + 1) as f32).log2()
        } else {
            1.0
        }
    }
}

fn lay(tree: &Tree, points: &Points) -> Laid {
    let mut laid = Laid { steps: Vec::with_capacity(2 * tree.mass()), corners: Vec::new() };
    // A node, and the step whose right child it is.
    let mut waiting: Vec<(At, Option<usize>)> =
        tree.root().map(|at| (at, None)).into_iter().collect();
    let mut boxes = 0;
    while let Some((at, right_of)) = waiting.pop() {
        let number = laid.steps.len();
        if let Some(parent) = right_of {
            laid.steps[parent].right = number as u32;
        }
        let mass = tree.mass_of(at);
        let (dimension, cut, of, sides) = match at {
            At::Leaf(leaf) => (LEAF, 0.0, tree.leaf(leaf).point, 0.0),
            At::Inner(inner) => {
                let (low, high) = tree.corners(points, at);
                let sides = boxes::widened(low, high, low);
                laid.corners.extend_from_slice(low);
                laid.corners.extend_from_slice(high);
                let inner = tree.inner(inner);
                waiting.extend([(inner.right, Some(number)), (inner.left, None)]);
                boxes += 1;
                (inner.dimension, inner.cut, boxes - 1, sides)
            }
        };
        laid.steps.push(Step { dimension, cut, right: 0, of, mass, sides });
    }
    laid.corners.shrink_to_fit();
    laid
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::algorithm::net::random::{Purpose, Stream};
    use crate::algorithm::random_cut_forest::{Forest, Plan};

    /// The formula as it stands above.
    fn depth(tree: &Tree, points: &Points, at: At, row: &[f32]) -> f64 {
        let (low, high) = tree.corners(points, at);
        let corners = || low.iter().zip(high).map(|(l, h)| (f64::from(*l), f64::from(*h)));
        let inner = match at {
            At::Leaf(_) if tree.mass_of(at) > 1 && low == row => {
                return f64::from(tree.mass_of(at) + 1).log2();
            }
            At::Leaf(_) => return 1.0,
            At::Inner(inner) => inner,
        };
        let sides: f64 = corners().map(|(low, high)| high - low).sum();
        let outside = |((low, high), value): ((f64, f64), &f32)| {
            (low - f64::from(*value)).max(f64::from(*value) - high).max(0.0)
        };
        let outside: f64 = corners().zip(row).map(outside).sum();
        1.0 + sides / (sides + outside) * depth(tree, points, tree.side(inner, row), row)
    }

    #[test]
    fn a_block_is_scored_as_the_formula_says_row_by_row() {
        // Narrow and wide points, and counts that do not fill the last registers and blocks.
        for (width, rows) in [(1, 500), (3, 9_001), (10, 3_333), (48, 300), (49, 300), (77, 129)] {
            let mut random = Stream::new(5, Purpose::Sample, width as u64);
            // A grid has equal rows, and values on the corners of boxes.
            let values = Array2::from_shape_simple_fn((rows, width), || {
                let value = 10.0 * random.normal();
                if rows % 2 == 0 { value.round() } else { value }
            });
            let plan = Plan { trees: 9, samples: 64, shingle: 1, normalize: true, seed: 3 };
            let forest = Forest::fit(&values.view(), &plan).unwrap();
            let scorer = forest.scorer();
            let flat = values.as_slice().unwrap();
            let scores = scorer.scores(&PointsOf::whole(flat, width));
            let mut scaled = vec![0.0; width];
            for (row, score) in values.rows().into_iter().zip(scores) {
                forest.scale.apply(row.as_slice().unwrap(), &mut scaled);
                let depths = forest
                    .trees
                    .iter()
                    .map(|tree| depth(tree, &forest.points, tree.root().unwrap(), &scaled));
                let expected = 65f64.log2() * 9.0 / depths.sum::<f64>();
                let error = (f64::from(score) / expected - 1.0).abs();
                assert!(error < 2e-6, "{width} numbers: {score} is not {expected}");
            }
        }
    }
}
