//! A model laid out for answering: complete trees in flat arrays, walked sixteen rows at a time.
//!
//! A tree of up to eight levels becomes a complete one: node i has children 2i and 2i+1, so a
//! step is one comparison and no pointer, and sixteen rows step together to hide each other's
//! latency. The columns the trees ask for are first copied into rows of a power of two of cells, so
//! that no step needs a check of bounds. Deeper trees, and those that part categories by a set, keep their pointers. A row's
//! margins are its base plus its leaves in the order of the trees, in f32, as XGBoost adds them:
//! alone or in a batch, the bits are the same.

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::ensemble::Ensemble;
use super::rows::Rows;
use super::tree::{NONE, Node, Set, Tree};

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

/// The cells of one row that trees ask for.
trait Cells {
    fn at(&self, feature: u32) -> f32;
}

impl Cells for &[f32] {
    #[inline(always)]
    fn at(&self, feature: u32) -> f32 {
        self[feature as usize]
    }
}

impl<const WIDTH: usize> Cells for [f32; WIDTH] {
    #[inline(always)]
    fn at(&self, feature: u32) -> f32 {
        // WIDTH is a power of two above every column: the mask only tells the compiler.
        self[feature as usize & (WIDTH - 1)]
    }
}

/// One comparison.
#[derive(Debug, Clone, Copy)]
struct Cut {
    threshold: f32,
    /// Which of the scorer's columns, with [`DEFAULT_LEFT`] and [`BY_SET`].
    feature: u32,
}

impl Cut {
    /// 1 when the row goes right.
    #[inline(always)]
    fn right<const MISSING: bool>(self, row: &impl Cells) -> usize {
        let value = row.at(self.feature & !DEFAULT_LEFT);
        if MISSING {
            let missing_right = value.is_nan() & (self.feature & DEFAULT_LEFT == 0);
            usize::from((value >= self.threshold) | missing_right)
        } else {
            usize::from(value >= self.threshold)
        }
    }

    /// The same where the cut may be by one of `sets`.
    fn right_of(self, sets: &[Set], row: &impl Cells) -> usize {
        if self.feature & BY_SET == 0 {
            return self.right::<true>(row);
        }
        let value = row.at(self.feature & !(DEFAULT_LEFT | BY_SET));
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
    /// The columns that trees ask for, ascending: cuts count these.
    used: Vec<u32>,
    base: Vec<f32>,
    trees: Vec<(Shape, u32)>,
    cuts: Vec<Cut>,
    leaves: Vec<f32>,
    /// The node each of `leaves` was.
    nodes: Vec<u32>,
    links: Vec<Link>,
    sets: Vec<Set>,
}

impl Scorer {
    /// Lays a sound model out.
    pub fn new(model: &Ensemble) -> Scorer {
        let nodes = model.trees.iter().flat_map(|tree| &tree.nodes);
        let asked = nodes.filter(|node| !node.is_leaf()).map(|node| node.feature);
        let used: std::collections::BTreeSet<u32> = asked.collect();
        let mut scorer = Scorer {
            features: model.features,
            used: used.into_iter().collect(),
            base: model.base_margins(),
            trees: Vec::with_capacity(model.trees.len()),
            cuts: Vec::new(),
            leaves: Vec::new(),
            nodes: Vec::new(),
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
        self.nodes.resize(leaves + (1 << levels), 0);
        let mut open = vec![(0usize, 1usize, 0usize)];
        while let Some((at, place, level)) = open.pop() {
            let node = &tree.nodes[at];
            if node.is_leaf() {
                let below = levels - level;
                let first = leaves + (place << below) - (1 << levels);
                self.leaves[first..first + (1 << below)].fill(node.value);
                self.nodes[first..first + (1 << below)].fill(at as u32);
            } else {
                self.cuts[cuts + place] = self.cut_of(node);
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
            let mut cut = self.cut_of(node);
            let next = if node.is_leaf() {
                // Where it leads does not matter, what it asks for must be there.
                cut.feature = DEFAULT_LEFT;
                [own, own]
            } else {
                [node.left, node.right]
            };
            if node.set != NONE && !node.is_leaf() {
                cut.feature |= BY_SET;
                cut.threshold = f32::from_bits((first_set + node.set as usize) as u32);
            }
            self.links.push(Link { cut, next, value: node.value });
        }
        start
    }

    fn cut_of(&self, node: &Node) -> Cut {
        let default = if node.default_left { DEFAULT_LEFT } else { 0 };
        let feature = self.used.partition_point(|column| *column < node.feature);
        Cut { threshold: node.value, feature: feature as u32 | default }
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
        self.over(rows, &mut out, groups, |values, out| {
            out.chunks_exact_mut(groups).for_each(|out| out.copy_from_slice(&self.base));
            self.block(values, &AsMargins, out);
        });
        out
    }

    /// The leaf of each row in each tree, by number of its node: rows × trees, row after row, as
    /// XGBoost's `pred_leaf`.
    pub fn leaves(&self, rows: &Rows<'_>) -> Vec<u32> {
        let width = self.trees.len();
        let mut out = vec![0; rows.count() * width];
        if width > 0 {
            self.over(rows, &mut out, width, |values, out| self.block(values, &AsNodes, out));
        }
        out
    }

    /// Works through `rows` block by block, `width` numbers of `out` for each row.
    fn over<T: Send>(
        &self,
        rows: &Rows<'_>,
        out: &mut [T],
        width: usize,
        work: impl Fn(&[f32], &mut [T]) + Sync,
    ) {
        let each = match rows {
            Rows::Dense(_) => BLOCK_ROWS,
            Rows::Sparse(_) => (FILLED_MAX / self.features.max(1)).clamp(1, BLOCK_ROWS),
        };
        let block = |scratch: &mut Vec<f32>, (at, out): (usize, &mut [T])| {
            work(rows.block(at * each, out.len() / width, scratch), out);
        };
        if rows.count() >= SHARED_ROWS {
            let blocks = out.par_chunks_mut(each * width).enumerate();
            blocks.for_each_init(Vec::new, block);
        } else {
            let mut scratch = Vec::new();
            out.chunks_mut(each * width).enumerate().for_each(|own| block(&mut scratch, own));
        }
    }

    /// Up to [`BLOCK_ROWS`] rows: sixteen together, then one by one.
    fn block<A: Ask>(&self, values: &[f32], ask: &A, out: &mut [A::Found]) {
        let rows = values.len() / self.features;
        let whole = rows - rows % LANES;
        let width = out.len() / rows.max(1);
        let (together, alone) = values.split_at(whole * self.features);
        let (out, out_alone) = out.split_at_mut(whole * width);
        match self.used.len() {
            _ if whole == 0 => {}
            0..=16 => self.padded::<16, A>(together, ask, width, out),
            17..=32 => self.padded::<32, A>(together, ask, width, out),
            33..=64 => self.padded::<64, A>(together, ask, width, out),
            65..=128 => self.padded::<128, A>(together, ask, width, out),
            129..=256 => self.padded::<256, A>(together, ask, width, out),
            257..=512 => self.padded::<512, A>(together, ask, width, out),
            _ => {
                let picked = self.picked(together);
                let row = |at: usize| &picked[at * self.used.len()..][..self.used.len()];
                let groups: Vec<[&[f32]; LANES]> = (0..whole / LANES)
                    .map(|group| std::array::from_fn(|lane| row(group * LANES + lane)))
                    .collect();
                self.trees_over(&groups, ask, width, out);
            }
        }
        let picked = self.picked(alone);
        let rows = picked.chunks_exact(self.used.len().max(1)).map(|row| [row]);
        let mut rows: Vec<[&[f32]; 1]> = rows.collect();
        if self.used.is_empty() {
            rows = vec![[&[]]; alone.len() / self.features];
        }
        self.trees_over(&rows, ask, width, out_alone);
    }

    /// The columns that trees ask for.
    fn picked(&self, values: &[f32]) -> Vec<f32> {
        let rows = values.chunks_exact(self.features);
        rows.flat_map(|row| self.used.iter().map(|column| row[*column as usize])).collect()
    }

    fn padded<const WIDTH: usize, A: Ask>(
        &self,
        values: &[f32],
        ask: &A,
        width: usize,
        out: &mut [A::Found],
    ) {
        let mut groups = vec![[[0.0f32; WIDTH]; LANES]; values.len() / (LANES * self.features)];
        let rows = groups.iter_mut().flatten().zip(values.chunks_exact(self.features));
        if self.used.len() == self.features {
            rows.for_each(|(kept, row)| kept[..row.len()].copy_from_slice(row));
        } else {
            for (kept, row) in rows {
                for (kept, column) in kept.iter_mut().zip(&self.used) {
                    *kept = row[*column as usize];
                }
            }
        }
        self.trees_over(&groups, ask, width, out);
    }

    fn trees_over<R: Cells, A: Ask, const ROWS: usize>(
        &self,
        groups: &[[R; ROWS]],
        ask: &A,
        width: usize,
        out: &mut [A::Found],
    ) {
        let used = self.used.len() as u32;
        let missing = |row: &R| (0..used).fold(false, |any, at| any | row.at(at).is_nan());
        if groups.iter().flatten().any(missing) {
            self.walk::<R, A, ROWS, true>(groups, ask, width, out);
        } else {
            self.walk::<R, A, ROWS, false>(groups, ask, width, out);
        }
    }

    fn walk<R: Cells, A: Ask, const ROWS: usize, const MISSING: bool>(
        &self,
        groups: &[[R; ROWS]],
        ask: &A,
        width: usize,
        out: &mut [A::Found],
    ) {
        for (at, (shape, group)) in self.trees.iter().enumerate() {
            let place = ask.place(at, *group);
            for (rows, out) in groups.iter().zip(out.chunks_exact_mut(ROWS * width)) {
                let found = self.step::<R, A, ROWS, MISSING>(*shape, ask, rows);
                for (found, out) in found.iter().zip(out.chunks_exact_mut(width)) {
                    ask.note(*found, &mut out[place]);
                }
            }
        }
    }

    /// What some rows find in one tree.
    #[inline(always)]
    fn step<R: Cells, A: Ask, const ROWS: usize, const MISSING: bool>(
        &self,
        shape: Shape,
        ask: &A,
        rows: &[R; ROWS],
    ) -> [A::Found; ROWS] {
        match shape {
            Shape::Complete { levels, cuts, leaves } => {
                let (cuts, leaves) = (&self.cuts[cuts..], &ask.leaves(self)[leaves..]);
                match levels {
                    0 => [leaves[0]; ROWS],
                    1 => complete::<1, 2, R, A, ROWS, MISSING>(cuts, leaves, rows),
                    2 => complete::<2, 4, R, A, ROWS, MISSING>(cuts, leaves, rows),
                    3 => complete::<3, 8, R, A, ROWS, MISSING>(cuts, leaves, rows),
                    4 => complete::<4, 16, R, A, ROWS, MISSING>(cuts, leaves, rows),
                    5 => complete::<5, 32, R, A, ROWS, MISSING>(cuts, leaves, rows),
                    6 => complete::<6, 64, R, A, ROWS, MISSING>(cuts, leaves, rows),
                    7 => complete::<7, 128, R, A, ROWS, MISSING>(cuts, leaves, rows),
                    _ => complete::<8, 256, R, A, ROWS, MISSING>(cuts, leaves, rows),
                }
            }
            Shape::Linked { start, steps } => {
                let links = &self.links[start..];
                let right = |cut: Cut, row: &R| cut.right::<MISSING>(row);
                linked(links, steps, rows, right).map(|at| ask.at(links[at as usize].value, at))
            }
            Shape::WithSets { start, steps } => {
                let links = &self.links[start..];
                let right = |cut: Cut, row: &R| cut.right_of(&self.sets, row);
                linked(links, steps, rows, right).map(|at| ask.at(links[at as usize].value, at))
            }
        }
    }
}

/// What is asked of a leaf: its value or its number.
trait Ask: Sync {
    type Found: Copy;
    /// Of all leaves of complete trees.
    fn leaves<'a>(&self, scorer: &'a Scorer) -> &'a [Self::Found];
    /// Of a leaf with this value and number.
    fn at(&self, value: f32, node: u32) -> Self::Found;
    /// Where in its row's numbers a tree has its say.
    fn place(&self, tree: usize, group: u32) -> usize;
    /// Has it.
    fn note(&self, found: Self::Found, out: &mut Self::Found);
}

struct AsMargins;

impl Ask for AsMargins {
    type Found = f32;
    fn leaves<'a>(&self, scorer: &'a Scorer) -> &'a [f32] {
        &scorer.leaves
    }
    #[inline(always)]
    fn at(&self, value: f32, _: u32) -> f32 {
        value
    }
    fn place(&self, _: usize, group: u32) -> usize {
        group as usize
    }
    #[inline(always)]
    fn note(&self, found: f32, out: &mut f32) {
        *out += found;
    }
}

struct AsNodes;

impl Ask for AsNodes {
    type Found = u32;
    fn leaves<'a>(&self, scorer: &'a Scorer) -> &'a [u32] {
        &scorer.nodes
    }
    #[inline(always)]
    fn at(&self, _: f32, node: u32) -> u32 {
        node
    }
    fn place(&self, tree: usize, _: u32) -> usize {
        tree
    }
    #[inline(always)]
    fn note(&self, found: u32, out: &mut u32) {
        *out = found;
    }
}

#[inline(always)]
fn complete<
    const LEVELS: usize,
    const LEAVES: usize,
    R: Cells,
    A: Ask,
    const ROWS: usize,
    const MISSING: bool,
>(
    cuts: &[Cut],
    leaves: &[A::Found],
    rows: &[R; ROWS],
) -> [A::Found; ROWS] {
    let cuts: &[Cut; LEAVES] = cuts.first_chunk().expect("a complete tree was laid out whole");
    let leaves: &[A::Found; LEAVES] =
        leaves.first_chunk().expect("a complete tree was laid out whole");
    let mut at = [1usize; ROWS];
    for _ in 0..LEVELS {
        for (at, row) in at.iter_mut().zip(rows) {
            // The mask tells the compiler what the level already ensures.
            *at = 2 * *at + cuts[*at & (LEAVES - 1)].right::<MISSING>(row);
        }
    }
    std::array::from_fn(|lane| leaves[at[lane] & (LEAVES - 1)])
}

fn linked<R: Cells, const ROWS: usize>(
    links: &[Link],
    steps: usize,
    rows: &[R; ROWS],
    right: impl Fn(Cut, &R) -> usize,
) -> [u32; ROWS] {
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
    at
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ndarray::{Array2, Axis, Slice};

    use super::super::objective::Objective;
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
            let mut walked = Vec::new();
            let turned = x.t().as_standard_layout().into_owned();
            assert_eq!(all, scorer.margins(&turned.t()));
            for row in 0..203 {
                let row_alone = x.slice_axis(Axis(0), Slice::from(row..row + 1));
                let one = scorer.margins(&row_alone);
                assert_eq!(one, all[2 * row..2 * row + 2]);
                let mut plain = model.base_margins();
                for (tree, group) in model.trees.iter().zip(&model.groups) {
                    let leaf = tree.leaf_of(|feature| x[[row, feature]]);
                    plain[*group as usize] += tree.nodes[leaf].value;
                    walked.push(leaf as u32);
                }
                assert_eq!(walked[24 * row..], scorer.leaves(&Rows::Dense(row_alone)));
                assert_eq!(plain, one);
            }
        }
    }
}
