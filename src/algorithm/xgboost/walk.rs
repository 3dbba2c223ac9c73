//! All trees of a model laid out for walking: complete trees in flat arrays, links where that would
//! waste too much.
//!
//! A tree of up to eight levels becomes a complete one: node i has children 2i and 2i+1, so a
//! step is one comparison and no pointer. What hides the latency of a step are the other walks: sixteen rows
//! step through one tree together, or one row through eight trees. Where rows go together, the
//! columns the trees ask for are first copied into rows of a power of two of cells, so that no step
//! needs a check of bounds. Deeper trees, and those that part categories by a set, keep their
//! pointers.

use std::ops::Range;

use super::ask::Ask;
use super::ensemble::Ensemble;
use super::tree::{NONE, Node, Set, Tree};

/// Rows that step together.
const LANES: usize = 16;
/// Trees that one row steps through together.
const TREES: usize = 8;
/// Levels up to which a tree is made complete.
const COMPLETE_LEVELS: usize = 8;
/// Levels up to which complete trees are filled up to those of the deepest, to step together.
const LEVEL_LEVELS: usize = 6;
/// What a step takes, several trees at a time, and how much more it takes along links.
const COMPLETE_STEP: f64 = 1.5;
const LINKED_STEP: f64 = 3.0;
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

impl Shape {
    /// Where its cuts or nodes begin.
    fn start(self) -> usize {
        match self {
            Shape::Complete { cuts, .. } => cuts,
            Shape::Linked { start, .. } | Shape::WithSets { start, .. } => start,
        }
    }
}

/// A node of a tree too deep to be made complete. A leaf leads to itself.
#[derive(Debug, Clone, Copy)]
struct Link {
    cut: Cut,
    next: [u32; 2],
    value: f32,
}

/// Trees that follow each other and are stepped through alike, at most [`TREES`].
#[derive(Debug, Clone)]
struct Band {
    trees: Range<usize>,
    /// Levels, where they are complete ones.
    complete: Option<usize>,
    /// Steps, where they are not.
    steps: usize,
}

/// Every tree of a model.
#[derive(Debug, Clone)]
pub(super) struct Walked {
    features: usize,
    /// The columns that trees ask for, ascending: cuts count these.
    used: Vec<u32>,
    trees: Vec<(Shape, u32)>,
    bands: Vec<Band>,
    cuts: Vec<Cut>,
    leaves: Vec<f32>,
    /// The node each of `leaves` was.
    nodes: Vec<u32>,
    links: Vec<Link>,
    sets: Vec<Set>,
}

impl Walked {
    /// Lays a sound model out.
    pub(super) fn new(model: &Ensemble) -> Walked {
        let nodes = model.trees.iter().flat_map(|tree| &tree.nodes);
        let asked = nodes.filter(|node| !node.is_leaf()).map(|node| node.feature);
        let used: std::collections::BTreeSet<u32> = asked.collect();
        let mut walked = Walked {
            features: model.features,
            used: used.into_iter().collect(),
            trees: Vec::with_capacity(model.trees.len()),
            bands: Vec::new(),
            cuts: Vec::new(),
            leaves: Vec::new(),
            nodes: Vec::new(),
            links: Vec::new(),
            sets: Vec::new(),
        };
        let depths = model.trees.iter().map(Tree::depth).filter(|depth| *depth <= LEVEL_LEVELS);
        let level = depths.max().unwrap_or(0);
        for (tree, group) in model.trees.iter().zip(&model.groups) {
            let shape = walked.lay(tree, level);
            walked.band(shape);
            walked.trees.push((shape, *group));
        }
        walked
    }

    /// What one row's walk through a tree takes, in steps through complete trees.
    pub(super) fn steps(tree: &Tree) -> f64 {
        let levels = tree.depth();
        let leaves = tree.nodes.iter().filter(|node| node.is_leaf()).count();
        let step = if is_complete(levels, leaves) { COMPLETE_STEP } else { LINKED_STEP };
        step * levels as f64
    }

    /// Puts the tree that comes next into a band.
    fn band(&mut self, shape: Shape) {
        let at = self.trees.len();
        let (complete, own) = match shape {
            Shape::Complete { levels, .. } => (Some(levels), 0),
            Shape::Linked { steps, .. } | Shape::WithSets { steps, .. } => (None, steps),
        };
        match self.bands.last_mut() {
            Some(band) if band.complete == complete && band.trees.len() < TREES => {
                band.trees.end = at + 1;
                band.steps = band.steps.max(own);
            }
            _ => self.bands.push(Band { trees: at..at + 1, complete, steps: own }),
        }
    }

    /// `level` is what shallow trees are filled up to.
    fn lay(&mut self, tree: &Tree, level: usize) -> Shape {
        let depth = tree.depth();
        let levels = if depth <= LEVEL_LEVELS { level } else { depth };
        let leaves = tree.nodes.iter().filter(|node| node.is_leaf()).count();
        if !tree.sets.is_empty() {
            return Shape::WithSets { start: self.link(tree), steps: depth };
        }
        if !is_complete(levels, leaves) {
            return Shape::Linked { start: self.link(tree), steps: depth };
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

    /// The same rows through the trees of a range: [`LANES`] together, then one by one.
    pub(super) fn rows<A: Ask>(
        &self,
        trees: Range<usize>,
        values: &[f32],
        ask: &A,
        width: usize,
        out: &mut [A::Found],
    ) {
        let rows = values.len() / self.features;
        let whole = rows - rows % LANES;
        let (together, alone) = values.split_at(whole * self.features);
        let (out, out_alone) = out.split_at_mut(whole * width);
        let trees_ = trees.clone();
        match self.used.len() {
            _ if whole == 0 => {}
            0..=16 => self.padded::<16, A>(trees_, together, ask, width, out),
            17..=32 => self.padded::<32, A>(trees_, together, ask, width, out),
            33..=64 => self.padded::<64, A>(trees_, together, ask, width, out),
            65..=128 => self.padded::<128, A>(trees_, together, ask, width, out),
            129..=256 => self.padded::<256, A>(trees_, together, ask, width, out),
            257..=512 => self.padded::<512, A>(trees_, together, ask, width, out),
            _ => {
                let picked = self.picked(together);
                let row = |at: usize| &picked[at * self.used.len()..][..self.used.len()];
                let groups: Vec<[&[f32]; LANES]> = (0..whole / LANES)
                    .map(|group| std::array::from_fn(|lane| row(group * LANES + lane)))
                    .collect();
                self.trees_over(trees_, &groups, ask, width, out);
            }
        }
        self.alone(trees, alone, ask, width, out_alone);
    }

    /// Rows one by one, each through several trees together.
    pub(super) fn alone<A: Ask>(
        &self,
        trees: Range<usize>,
        values: &[f32],
        ask: &A,
        width: usize,
        out: &mut [A::Found],
    ) {
        let mut picked = vec![0.0; self.used.len()];
        for (row, out) in values.chunks_exact(self.features).zip(out.chunks_exact_mut(width)) {
            for (cell, column) in picked.iter_mut().zip(&self.used) {
                *cell = row[*column as usize];
            }
            if picked.iter().fold(false, |any, cell| any | cell.is_nan()) {
                self.one::<A, true>(&trees, &picked, ask, out);
            } else {
                self.one::<A, false>(&trees, &picked, ask, out);
            }
        }
    }

    fn one<A: Ask, const MISSING: bool>(
        &self,
        trees: &Range<usize>,
        row: &[f32],
        ask: &A,
        out: &mut [A::Found],
    ) {
        let leaves = ask.of(&self.leaves, &self.nodes);
        for band in self
            .bands
            .iter()
            .filter(|band| band.trees.start < trees.end && trees.start < band.trees.end)
        {
            let own = &self.trees[band.trees.clone()];
            let mut at = [0usize; TREES];
            match band.complete {
                Some(levels) => {
                    let mut cuts = [0; TREES];
                    for (cuts, (shape, _)) in cuts.iter_mut().zip(own) {
                        *cuts = shape.start();
                    }
                    at = [1; TREES];
                    for _ in 0..levels {
                        for (at, cuts) in at.iter_mut().zip(cuts) {
                            *at = 2 * *at + self.cuts[cuts + *at].right::<MISSING>(&row);
                        }
                    }
                }
                None => {
                    let mut links = [0; TREES];
                    for (links, (shape, _)) in links.iter_mut().zip(own) {
                        *links = shape.start();
                    }
                    for _ in 0..band.steps {
                        for (at, start) in at.iter_mut().zip(links) {
                            let link = &self.links[start + *at];
                            *at = link.next[link.cut.right_of(&self.sets, &row)] as usize;
                        }
                    }
                }
            }
            for (tree, at) in band.trees.clone().zip(at).filter(|(tree, _)| trees.contains(tree)) {
                let (shape, group) = self.trees[tree];
                let found = match shape {
                    Shape::Complete { levels, leaves: first, .. } => {
                        leaves[first + at - (1 << levels)]
                    }
                    Shape::Linked { start, .. } | Shape::WithSets { start, .. } => {
                        ask.at(self.links[start + at].value, at as u32)
                    }
                };
                ask.note(found, &mut out[ask.place(tree, group)]);
            }
        }
    }

    /// The columns that trees ask for.
    fn picked(&self, values: &[f32]) -> Vec<f32> {
        let rows = values.chunks_exact(self.features);
        rows.flat_map(|row| self.used.iter().map(|column| row[*column as usize])).collect()
    }

    fn padded<const WIDTH: usize, A: Ask>(
        &self,
        trees: Range<usize>,
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
        self.trees_over(trees, &groups, ask, width, out);
    }

    fn trees_over<R: Cells, A: Ask, const ROWS: usize>(
        &self,
        trees: Range<usize>,
        groups: &[[R; ROWS]],
        ask: &A,
        width: usize,
        out: &mut [A::Found],
    ) {
        let used = self.used.len() as u32;
        let missing = |row: &R| (0..used).fold(false, |any, at| any | row.at(at).is_nan());
        if groups.iter().flatten().any(missing) {
            self.walk::<R, A, ROWS, true>(trees, groups, ask, width, out);
        } else {
            self.walk::<R, A, ROWS, false>(trees, groups, ask, width, out);
        }
    }

    fn walk<R: Cells, A: Ask, const ROWS: usize, const MISSING: bool>(
        &self,
        trees: Range<usize>,
        groups: &[[R; ROWS]],
        ask: &A,
        width: usize,
        out: &mut [A::Found],
    ) {
        for at in trees {
            let (shape, group) = &self.trees[at];
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
                let (cuts, leaves) =
                    (&self.cuts[cuts..], &ask.of(&self.leaves, &self.nodes)[leaves..]);
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

/// Whether a tree is made complete: where that does not waste too much.
fn is_complete(levels: usize, leaves: usize) -> bool {
    levels <= COMPLETE_LEVELS && (levels <= LEVEL_LEVELS || 1 << levels <= 8 * leaves)
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
