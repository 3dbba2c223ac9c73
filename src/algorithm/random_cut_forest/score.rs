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
//! **How it is computed.** A block of rows goes down one tree after the other, so that the tree
//! stays in the cache: first the row numbers are parted by the cuts, which brings the rows of each
//! node side by side; then the boxes are met from the bottom up, eight rows at a time for narrow
//! points. A row's arithmetic is the same in every block: its answer does not depend on the others.

use rayon::prelude::*;

use super::points::Points;
use super::scale::Scale;
use super::tree::{At, Tree};
use crate::algorithm::net::simd;

/// `dimension` of a leaf.
pub(super) const LEAF: u32 = u32::MAX;
/// Points up to so many numbers are worked through rows abreast, wider ones numbers abreast.
const NARROW_MAX: usize = 48;
/// Rows abreast.
const ROWS: usize = 8;
/// Sums in flight for each row of a narrow point; its numbers are padded to a multiple.
const SUMS: usize = 4;
/// Numbers abreast of a wide point.
const LANES: usize = 16;
/// Numbers of a block of rows: it and its copy stay in the second-level cache.
const BLOCK_VALUES: usize = 24 << 10;
const BLOCK_ROWS_MIN: usize = 16;
const BLOCK_ROWS_MAX: usize = 2_048;
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
    /// Sum of the sides of its box, above 0.
    pub(super) sides: f32,
}

/// A tree for reading.
#[derive(Debug, Clone)]
pub(super) struct Laid {
    pub(super) steps: Vec<Step>,
    /// Lower and upper corner, `padded` numbers each.
    corners: Vec<f32>,
}

/// A forest for reading: it answers and does not learn.
#[derive(Debug, Clone)]
pub struct Scorer {
    scale: Scale,
    shingle: usize,
    width: usize,
    padded: usize,
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
        let padded = if width <= NARROW_MAX { width.next_multiple_of(SUMS) } else { width };
        let mass = trees.first().map_or(0, Tree::mass);
        let trees = trees.par_iter().map(|tree| lay(tree, &points, padded)).collect();
        Scorer { scale, shingle, width, padded, full: ((mass + 1) as f32).log2(), points, trees }
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
        let fitting = (BLOCK_VALUES / self.padded).clamp(BLOCK_ROWS_MIN, BLOCK_ROWS_MAX);
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
        let count = scores.len();
        scratch.fit(count, self);
        for (at, scaled) in
            scratch.rows[..count * self.width].chunks_exact_mut(self.width).enumerate()
        {
            self.scaled(points, first + at, scaled);
        }
        scores.fill(0.0);
        for tree in &self.trees {
            scratch.part(tree, self, count);
            simd::run(Boxes { tree, scorer: self, scratch });
            for (id, depth) in scratch.ids[..count].iter().zip(&scratch.depths) {
                scores[*id as usize] += *depth;
            }
        }
        let most = self.full * self.trees.len() as f32;
        scores.iter_mut().for_each(|depth| *depth = most / *depth);
    }

    /// A point on the forest's scale.
    pub(super) fn scaled(&self, points: &PointsOf<'_>, at: usize, scaled: &mut [f32]) {
        let start = at * points.stride;
        self.scale.apply(&points.values[start..start + self.width], scaled);
    }

    /// Lower and upper corner of an inner node's box.
    pub(super) fn corners<'a>(&self, tree: &'a Laid, inner: &Step) -> (&'a [f32], &'a [f32]) {
        let start = inner.of as usize * 2 * self.padded;
        tree.corners[start..start + 2 * self.padded].split_at(self.padded)
    }

    /// The row that those of a leaf are.
    pub(super) fn leaf_row(&self, leaf: &Step) -> &[f32] {
        self.points.row(leaf.of)
    }

    /// Depth still to come at a leaf. One row has no depth below it, whichever it is.
    fn at_leaf(&self, leaf: &Step, row: &[f32]) -> f32 {
        if leaf.mass > 1 && self.leaf_row(leaf) == row {
            ((leaf.mass + 1) as f32).log2()
        } else {
            1.0
        }
    }
}

fn lay(tree: &Tree, points: &Points, padded: usize) -> Laid {
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
                let sides =
                    low.iter().zip(high).map(|(l, h)| f64::from(*h) - f64::from(*l)).sum::<f64>();
                for side in [low, high] {
                    laid.corners.extend_from_slice(side);
                    laid.corners.resize(laid.corners.len() + padded - side.len(), 0.0);
                }
                let inner = tree.inner(inner);
                waiting.extend([(inner.right, Some(number)), (inner.left, None)]);
                boxes += 1;
                (inner.dimension, inner.cut, boxes - 1, sides)
            }
        };
        let sides = (sides as f32).max(f32::MIN_POSITIVE);
        laid.steps.push(Step { dimension, cut, right: 0, of, mass, sides });
    }
    laid.corners.shrink_to_fit();
    laid
}

/// What a thread uses for one block after the other.
#[derive(Default)]
struct Scratch {
    /// count × width: the scaled rows.
    rows: Vec<f32>,
    /// padded × stride: the same in the order of `ids`, number by number.
    columns: Vec<f32>,
    stride: usize,
    ids: Vec<u32>,
    spare: Vec<u32>,
    /// Depth still to come below the node last met, in the order of `ids`.
    depths: Vec<f32>,
    waiting: Vec<(u32, u32, u32)>,
    /// Inner nodes that rows came to, with their rows' places; children behind their parents.
    met: Vec<(u32, u32, u32)>,
}

impl Scratch {
    fn fit(&mut self, count: usize, scorer: &Scorer) {
        self.stride = count + ROWS;
        self.rows.resize(count * scorer.width, 0.0);
        self.ids.resize(count, 0);
        self.spare.resize(count, 0);
        self.depths.resize(count, 0.0);
        if scorer.width <= NARROW_MAX {
            // Padding must be 0 and what is behind the last row any number.
            self.columns.clear();
            self.columns.resize(scorer.padded * self.stride, 0.0);
        }
    }

    /// Parts the rows by the cuts of `tree`.
    fn part(&mut self, tree: &Laid, scorer: &Scorer, count: usize) {
        let width = scorer.width;
        for (at, id) in self.ids.iter_mut().enumerate() {
            *id = at as u32;
        }
        self.met.clear();
        self.waiting.clear();
        self.waiting.push((0, 0, count as u32));
        while let Some((number, from, to)) = self.waiting.pop() {
            let step = &tree.steps[number as usize];
            let range = from as usize..to as usize;
            if step.dimension == LEAF {
                self.arrive(step, scorer, range);
                continue;
            }
            self.met.push((number, from, to));
            let ids = &mut self.ids[range];
            let (dimension, cut) = (step.dimension as usize, step.cut);
            let (mut left, mut right) = (0, 0);
            for at in 0..ids.len() {
                let id = ids[at];
                let is_left = self.rows[id as usize * width + dimension] <= cut;
                // Both are written and one counts: which side is chance, and a guess costs more.
                ids[left] = id;
                self.spare[right] = id;
                left += usize::from(is_left);
                right += usize::from(!is_left);
            }
            ids[left..].copy_from_slice(&self.spare[..right]);
            let middle = from + left as u32;
            if middle < to {
                self.waiting.push((step.right, middle, to));
            }
            if from < middle {
                self.waiting.push((number + 1, from, middle));
            }
        }
    }

    /// Rows at their leaf: their order is final.
    fn arrive(&mut self, leaf: &Step, scorer: &Scorer, range: std::ops::Range<usize>) {
        let width = scorer.width;
        for place in range {
            let id = self.ids[place] as usize;
            let row = &self.rows[id * width..(id + 1) * width];
            self.depths[place] = scorer.at_leaf(leaf, row);
            if width <= NARROW_MAX {
                for (number, value) in row.iter().enumerate() {
                    self.columns[number * self.stride + place] = *value;
                }
            }
        }
    }
}

/// Meets the boxes from the bottom up.
struct Boxes<'a> {
    tree: &'a Laid,
    scorer: &'a Scorer,
    scratch: &'a mut Scratch,
}

impl pulp::WithSimd for Boxes<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Boxes { tree, scorer, scratch } = self;
        let narrow = scorer.width <= NARROW_MAX;
        for (number, from, to) in scratch.met.iter().rev() {
            let step = &tree.steps[*number as usize];
            let (low, high) = scorer.corners(tree, step);
            let (from, to) = (*from as usize, *to as usize);
            if narrow {
                narrow_box(
                    low,
                    high,
                    step.sides,
                    &scratch.columns,
                    scratch.stride,
                    from,
                    &mut scratch.depths[from..to],
                );
            } else {
                let ids = &scratch.ids[from..to];
                for (id, depth) in ids.iter().zip(&mut scratch.depths[from..to]) {
                    let start = *id as usize * scorer.width;
                    let outside =
                        wide_outside(low, high, &scratch.rows[start..start + scorer.width]);
                    *depth = 1.0 + step.sides / (step.sides + outside) * *depth;
                }
            }
        }
    }
}

/// How far a number lies outside of a side of a box. Without the rules of `f32::max` for NaN,
/// which none of them is, this is two instructions.
#[inline(always)]
fn outside(low: f32, high: f32, value: f32) -> f32 {
    let (below, above) = (low - value, value - high);
    let most = if below > above { below } else { above };
    if most > 0.0 { most } else { 0.0 }
}

#[inline(always)]
fn narrow_box(
    low: &[f32],
    high: &[f32],
    sides: f32,
    columns: &[f32],
    stride: usize,
    from: usize,
    depths: &mut [f32],
) {
    for (chunk, depths) in depths.chunks_mut(ROWS).enumerate() {
        let place = from + chunk * ROWS;
        let mut sums = [[0.0f32; ROWS]; SUMS];
        let mut start = place;
        for (low, high) in low.as_chunks::<SUMS>().0.iter().zip(high.as_chunks::<SUMS>().0) {
            for at in 0..SUMS {
                let values: &[f32; ROWS] =
                    columns[start..].first_chunk().expect("a row's place leaves room for eight");
                for lane in 0..ROWS {
                    sums[at][lane] += outside(low[at], high[at], values[lane]);
                }
                start += stride;
            }
        }
        let mut after = [0.0f32; ROWS];
        for lane in 0..ROWS {
            let outside = (sums[0][lane] + sums[1][lane]) + (sums[2][lane] + sums[3][lane]);
            after[lane] = sides / (sides + outside);
        }
        for (depth, stay) in depths.iter_mut().zip(after) {
            *depth = 1.0 + stay * *depth;
        }
    }
}

#[inline(always)]
fn wide_outside(low: &[f32], high: &[f32], row: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (lows, low_rest) = low.as_chunks::<LANES>();
    let (highs, high_rest) = high.as_chunks::<LANES>();
    let (rows, row_rest) = row.as_chunks::<LANES>();
    for ((low, high), row) in lows.iter().zip(highs).zip(rows) {
        for lane in 0..LANES {
            sums[lane] += outside(low[lane], high[lane], row[lane]);
        }
    }
    let mut sum = 0.0;
    for ((low, high), row) in low_rest.iter().zip(high_rest).zip(row_rest) {
        sum += outside(*low, *high, *row);
    }
    sums.iter().fold(sum, |sum, part| sum + part)
}
