//! A model laid out for answering: complete trees in flat arrays, walked sixteen rows at a time.
//!
//! A tree of up to eight levels becomes a complete one: node i has children 2i and 2i+1, so a
//! step is one comparison and no pointer, and sixteen rows step together to hide each other's
//! latency. Deeper trees, and those that part categories by a set, keep their pointers. A row's
//! margins are its base plus its leaves in the order of the trees, in f32, as XGBoost adds them:
//! alone or in a batch, the bits are the same.

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::ensemble::Ensemble;
use super::rows::Rows;
use super::tree::{NONE, Set, Tree};

/// Rows that step together.
const LANES: usize = 16;
/// Rows that meet a tree while it is in the first-level cache.
const BLOCK_ROWS: usize = 64;
/// Levels up to which a tree is made complete.
const COMPLETE_LEVELS: usize = 8;
/// Rows from which a batch is shared among threads.
const SHARED_ROWS: usize = 1 << 14;
/// Floats that sparse rows are filled up to at one time.
const FILLED_MAX: usize = 1 << 18;
/// Marks a cut whose missing values go left.
const DEFAULT_LEFT: u32 = 1 << 31;
/// Marks a cut by a set, whose number stands in the bits of the threshold.
const BY_SET: u32 = 1 << 30;

/// One comparison.
#[derive(Debug, Clone, Copy)]
struct Cut {
    threshold: f32,
    /// The column, with [`DEFAULT_LEFT`] and [`BY_SET`].
    feature: u32,
}

impl Cut {
    /// 1 when the row goes right.
    #[inline(always)]
    fn right<const MISSING: bool>(self, row: &[f32]) -> usize {
        let value = row[(self.feature & !DEFAULT_LEFT) as usize];
        if MISSING {
            let missing_right = value.is_nan() & (self.feature & DEFAULT_LEFT == 0);
            usize::from((value >= self.threshold) | missing_right)
        } else {
            usize::from(value >= self.threshold)
        }
    }

    /// The same where the cut may be by one of `sets`.
    fn right_of(self, sets: &[Set], row: &[f32]) -> usize {
        if self.feature & BY_SET == 0 {
            return self.right::<true>(row);
        }
        let value = row[(self.feature & !(DEFAULT_LEFT | BY_SET)) as usize];
        if value.is_nan() {
            return usize::from(self.feature & DEFAULT_LEFT == 0);
        }
        usize::from(sets[self.threshold.to_bits() as usize].has(value))
    }
}

/// Where a tree lies.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// So many levels; cuts from `cuts`, leaves from `leaves`.
    Complete { levels: usize, cuts: usize, leaves: usize },
    /// Nodes from `start` on; at most so many steps.
    Linked { start: usize, steps: usize },
    /// The same, with cuts by sets among them.
    WithSets { start: usize, steps: usize },
}

/// A node of a tree too deep to be made complete. A leaf leads to itself.
#[derive(Debug, Clone, Copy)]
struct Link {
    cut: Cut,
    next: [u32; 2],
    value: f32,
}

/// A model ready to answer.
#[derive(Debug, Clone)]
pub struct Scorer {
    features: usize,
    base: Vec<f32>,
    trees: Vec<(Shape, u32)>,
    cuts: Vec<Cut>,
    leaves: Vec<f32>,
    links: Vec<Link>,
    sets: Vec<Set>,
}

impl Scorer {
    /// Lays a sound model out.
    pub fn new(model: &Ensemble) -> Scorer {
        let mut scorer = Scorer {
            features: model.features,
            base: model.base_margins(),
            trees: Vec::with_capacity(model.trees.len()),
            cuts: Vec::new(),
            leaves: Vec::new(),
            links: Vec::new(),
            sets: Vec::new(),
        };
        for (tree, group) in model.trees.iter().zip(&model.groups) {
            let shape = scorer.lay(tree);
            scorer.trees.push((shape, *group));
        }
        scorer
    }

    fn lay(&mut self, tree: &Tree) -> Shape {
        let levels = tree.depth();
        let leaves = tree.nodes.iter().filter(|node| node.is_leaf()).count();
        if !tree.sets.is_empty() {
            return Shape::WithSets { start: self.link(tree), steps: levels };
        }
        if levels > COMPLETE_LEVELS || (levels > 6 && 1 << levels > 8 * leaves) {
            return Shape::Linked { start: self.link(tree), steps: levels };
        }
        let (cuts, leaves) = (self.cuts.len(), self.leaves.len());
        // The unused place 0 lets node i be found at i. Where a branch ends early, both ways
        // lead to copies of its leaf.
        let always_left = Cut { threshold: f32::INFINITY, feature: DEFAULT_LEFT };
        self.cuts.resize(cuts + (1 << levels), always_left);
        self.leaves.resize(leaves + (1 << levels), 0.0);
        let mut open = vec![(0usize, 1usize, 0usize)];
        while let Some((at, place, level)) = open.pop() {
            let node = &tree.nodes[at];
            if node.is_leaf() {
                let below = levels - level;
                let first = (place << below) - (1 << levels);
                self.leaves[leaves + first..leaves + first + (1 << below)].fill(node.value);
            } else {
                self.cuts[cuts + place] = cut_of(node);
                open.push((node.left as usize, 2 * place, level + 1));
                open.push((node.right as usize, 2 * place + 1, level + 1));
            }
        }
        Shape::Complete { levels, cuts, leaves }
    }

    fn link(&mut self, tree: &Tree) -> usize {
        let start = self.links.len();
        let first_set = self.sets.len();
        self.sets.extend(tree.sets.iter().cloned());
        for (at, node) in tree.nodes.iter().enumerate() {
            let own = at as u32;
            let next = if node.is_leaf() { [own, own] } else { [node.left, node.right] };
            let mut cut = cut_of(node);
            if node.set != NONE {
                cut.feature |= BY_SET;
                cut.threshold = f32::from_bits((first_set + node.set as usize) as u32);
            }
            self.links.push(Link { cut, next, value: node.value });
        }
        start
    }

    /// Margins per row.
    pub fn groups(&self) -> usize {
        self.base.len()
    }

    /// The margins of rows × features, `groups` per row. Large batches are shared among threads.
    pub fn margins(&self, rows: &ArrayView2<'_, f32>) -> Vec<f32> {
        self.margins_of(&Rows::Dense(*rows))
    }

    /// The same of rows of either kind; sparse ones are filled up a few at a time.
    pub fn margins_of(&self, rows: &Rows<'_>) -> Vec<f32> {
        let groups = self.groups();
        let mut out = vec![0.0; rows.count() * groups];
        let each = match rows {
            Rows::Dense(_) => BLOCK_ROWS,
            Rows::Sparse(_) => (FILLED_MAX / self.features.max(1)).clamp(1, BLOCK_ROWS),
        };
        let block = |scratch: &mut Vec<f32>, (at, out): (usize, &mut [f32])| {
            let values = rows.block(at * each, out.len() / groups, scratch);
            self.block(values, out);
        };
        if rows.count() >= SHARED_ROWS {
            let blocks = out.par_chunks_mut(each * groups).enumerate();
            blocks.for_each_init(Vec::new, block);
        } else {
            let mut scratch = Vec::new();
            out.chunks_mut(each * groups).enumerate().for_each(|own| block(&mut scratch, own));
        }
        out
    }

    /// Up to [`BLOCK_ROWS`] rows.
    fn block(&self, values: &[f32], out: &mut [f32]) {
        let width = self.features;
        let groups = self.groups();
        out.chunks_exact_mut(groups).for_each(|out| out.copy_from_slice(&self.base));
        if values.iter().any(|value| value.is_nan()) {
            self.trees_over::<true>(values, width, groups, out);
        } else {
            self.trees_over::<false>(values, width, groups, out);
        }
    }

    fn trees_over<const MISSING: bool>(
        &self,
        values: &[f32],
        width: usize,
        groups: usize,
        out: &mut [f32],
    ) {
        let rows = out.len() / groups;
        let whole = rows - rows % LANES;
        for (shape, group) in &self.trees {
            let group = *group as usize;
            for first in (0..whole).step_by(LANES) {
                let lanes: [&[f32]; LANES] =
                    std::array::from_fn(|lane| &values[(first + lane) * width..][..width]);
                let found = self.step::<LANES, MISSING>(*shape, &lanes);
                for (lane, value) in found.iter().enumerate() {
                    out[(first + lane) * groups + group] += value;
                }
            }
            for row in whole..rows {
                let lanes = [&values[row * width..][..width]];
                out[row * groups + group] += self.step::<1, MISSING>(*shape, &lanes)[0];
            }
        }
    }

    /// The leaf values of some rows in one tree.
    #[inline(always)]
    fn step<const ROWS: usize, const MISSING: bool>(
        &self,
        shape: Shape,
        rows: &[&[f32]; ROWS],
    ) -> [f32; ROWS] {
        match shape {
            Shape::Complete { levels, cuts, leaves } => {
                let (cuts, leaves) = (&self.cuts[cuts..], &self.leaves[leaves..]);
                match levels {
                    0 => [leaves[0]; ROWS],
                    1 => complete::<1, 2, ROWS, MISSING>(cuts, leaves, rows),
                    2 => complete::<2, 4, ROWS, MISSING>(cuts, leaves, rows),
                    3 => complete::<3, 8, ROWS, MISSING>(cuts, leaves, rows),
                    4 => complete::<4, 16, ROWS, MISSING>(cuts, leaves, rows),
                    5 => complete::<5, 32, ROWS, MISSING>(cuts, leaves, rows),
                    6 => complete::<6, 64, ROWS, MISSING>(cuts, leaves, rows),
                    7 => complete::<7, 128, ROWS, MISSING>(cuts, leaves, rows),
                    _ => complete::<8, 256, ROWS, MISSING>(cuts, leaves, rows),
                }
            }
            Shape::Linked { start, steps } => {
                let right = |cut: Cut, row: &[f32]| cut.right::<MISSING>(row);
                linked(&self.links[start..], steps, rows, right)
            }
            Shape::WithSets { start, steps } => {
                let right = |cut: Cut, row: &[f32]| cut.right_of(&self.sets, row);
                linked(&self.links[start..], steps, rows, right)
            }
        }
    }
}

fn cut_of(node: &super::tree::Node) -> Cut {
    let default = if node.default_left { DEFAULT_LEFT } else { 0 };
    Cut { threshold: node.value, feature: node.feature | default }
}

#[inline(always)]
fn complete<const LEVELS: usize, const LEAVES: usize, const ROWS: usize, const MISSING: bool>(
    cuts: &[Cut],
    leaves: &[f32],
    rows: &[&[f32]; ROWS],
) -> [f32; ROWS] {
    let cuts: &[Cut; LEAVES] = cuts.first_chunk().expect("a complete tree was laid out whole");
    let leaves: &[f32; LEAVES] = leaves.first_chunk().expect("a complete tree was laid out whole");
    let mut at = [1usize; ROWS];
    for _ in 0..LEVELS {
        for (at, row) in at.iter_mut().zip(rows) {
            // The mask tells the compiler what the level already ensures.
            *at = 2 * *at + cuts[*at & (LEAVES - 1)].right::<MISSING>(row);
        }
    }
    std::array::from_fn(|lane| leaves[at[lane] & (LEAVES - 1)])
}

fn linked<const ROWS: usize>(
    links: &[Link],
    steps: usize,
    rows: &[&[f32]; ROWS],
    right: impl Fn(Cut, &[f32]) -> usize,
) -> [f32; ROWS] {
    let mut at = [0u32; ROWS];
    for _ in 0..steps {
        let before = at;
        for (at, row) in at.iter_mut().zip(rows) {
            let link = &links[*at as usize];
            *at = link.next[right(link.cut, row)];
        }
        if at == before {
            break;
        }
    }
    at.map(|at| links[at as usize].value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ndarray::{Array2, Axis, Slice};

    use super::super::objective::Objective;
    use super::super::tree::Node;
    use super::*;

    /// A tree that grows `nodes` splits at places a counter chooses.
    fn tree(splits: usize, seed: usize, chain: bool) -> Tree {
        let mut nodes = vec![Node::leaf(NONE, 0.5, 1.0)];
        let mut sets: Vec<Set> = Vec::new();
        for step in 0..splits {
            let leaves: Vec<usize> = (0..nodes.len()).filter(|at| nodes[*at].is_leaf()).collect();
            let pick = if chain { leaves.len() - 1 } else { (step * 31 + seed) % leaves.len() };
            let (at, first) = (leaves[pick], nodes.len() as u32);
            for side in 0..2 {
                let value = ((step * 2 + side + seed) % 17) as f32 / 7.0 - 1.0;
                nodes.push(Node::leaf(at as u32, value, 1.0));
            }
            nodes[at].left = first;
            nodes[at].right = first + 1;
            nodes[at].feature = ((step * 5 + seed) % 4) as u32;
            nodes[at].value = ((step * 13 + seed) % 10) as f32 / 10.0;
            nodes[at].default_left = step % 2 == 0;
            if seed % 4 == 3 && step % 3 == 0 {
                nodes[at].set = sets.len() as u32;
                sets.push((0..3).map(|code| (code * 7 + step as u32) % 40).collect());
            }
        }
        Tree { nodes, sets }
    }

    #[test]
    fn every_shape_answers_as_the_plain_walk_alone_and_in_a_batch() {
        let shapes = [(0, false), (1, false), (6, false), (40, false), (40, true), (300, false)];
        let trees: Vec<Tree> =
            (0..24).map(|seed| tree(shapes[seed % 6].0, seed, shapes[seed % 6].1)).collect();
        let model = Ensemble {
            objective: Objective::Multi { classes: 2, probabilities: true },
            base_score: vec![0.1, -0.2],
            features: 4,
            names: Vec::new(),
            categories: BTreeMap::new(),
            groups: (0..24).map(|at| at % 2).collect(),
            rounds: vec![0, 24],
            parallel: 1,
            trees,
            attributes: BTreeMap::new(),
        };
        let scorer = Scorer::new(&model);
        for holes in [false, true] {
            let x = Array2::from_shape_fn((203, 4), |(row, column)| {
                let value = ((row * 37 + column * 11) % 23) as f32;
                let value = if column < 2 { value / 20.0 } else { value * 2.0 - 1.0 };
                if holes && (row + column) % 5 == 0 { f32::NAN } else { value }
            });
            let all = scorer.margins(&x.view());
            let turned = x.t().as_standard_layout().into_owned();
            assert_eq!(all, scorer.margins(&turned.t()));
            for row in 0..203 {
                let one = scorer.margins(&x.slice_axis(Axis(0), Slice::from(row..row + 1)));
                assert_eq!(one, all[2 * row..2 * row + 2]);
                let mut plain = model.base_margins();
                for (tree, group) in model.trees.iter().zip(&model.groups) {
                    let leaf = tree.leaf_of(|feature| x[[row, feature]]);
                    plain[*group as usize] += tree.nodes[leaf].value;
                }
                assert_eq!(plain, one);
            }
        }
    }
}
