//! Some trees laid out for many rows at a time, whose cells are codes of one byte.
//!
//! No row walks: every node of a tree is asked for 32 rows by one comparison, from the leaves up,
//! and picks for each row the leaf its left or its right branch came to. That is one comparison, one
//! choice and one store for each node, whatever shape the tree has; so a tree that grew leaf by
//! leaf takes no longer than a complete one of as many leaves, and none waits for a cell or guesses
//! a branch wrong. It pays up to 256 leaves, which is also what a byte can number.

use pulp::{Simd, WithSimd};

use super::coder::{Coder, Codes, Gathering, LANES};
use super::tree::Tree;
use crate::algorithm::net::simd;

/// Leaves a tree may have.
const LEAVES_MAX: usize = 256;
/// First the numbers of the leaves, then what nodes came to whose parents are still to be asked.
const SLOTS: usize = 2 * LEAVES_MAX;
/// Parts of 32 rows worked on together: fewer would spend their time on finding places.
const PARTS: usize = 4;
/// Rows worked on together.
pub(super) const ROWS: usize = PARTS * LANES;
/// Trees that each column must serve for its codes to pay.
const TREES_PER_COLUMN_MIN: f64 = 0.5;

/// One node: asked for column `column`, `right` is taken by codes above `threshold`.
#[derive(Debug, Clone, Copy)]
struct Step {
    column: u16,
    threshold: i8,
    left: u16,
    right: u16,
    /// Where the choice is put.
    to: u16,
}

/// Where a tree's steps end, where its leaves begin, and which slot tells the leaf.
#[derive(Debug, Clone, Copy)]
struct Laid {
    steps_end: usize,
    leaves: usize,
    root: u16,
}

/// Trees that follow each other.
#[derive(Debug, Clone)]
pub(super) struct Coded {
    coder: Coder,
    steps: Vec<Step>,
    trees: Vec<Laid>,
    /// Of every tree from the left, then as many as a byte can ask for.
    values: Vec<f32>,
    /// The number of the node each of them was.
    nodes: Vec<u32>,
    /// Most leaves of a tree.
    leaves_most: usize,
}

/// What a thread works with.
#[derive(Debug, Default)]
pub(super) struct Room {
    codes: Vec<Codes>,
    slots: Vec<[u8; LANES]>,
    /// Parts that `slots` numbers the leaves for, and how many leaves.
    numbered: (usize, usize),
}

impl Coded {
    /// Of `trees`, as many as fit from the first on, and how many those are; none where it would not
    /// pay.
    pub(super) fn new(trees: &[Tree]) -> (Option<Coded>, usize) {
        let mut gathering = Gathering::default();
        let leaves = |tree: &Tree| tree.nodes.iter().filter(|node| node.is_leaf()).count();
        let fits = |tree: &&Tree| leaves(tree) <= LEAVES_MAX && gathering.take(tree);
        let count = trees.iter().take_while(fits).count();
        if (count as f64) < TREES_PER_COLUMN_MIN * gathering.width() as f64 || count == 0 {
            return (None, count.max(1));
        }
        let mut coded = Coded {
            coder: Coder::new(&gathering),
            steps: Vec::new(),
            trees: Vec::with_capacity(count),
            values: Vec::new(),
            nodes: Vec::new(),
            leaves_most: 0,
        };
        for tree in &trees[..count] {
            let leaves = coded.values.len();
            let root = coded.lay(tree, 0, leaves, LEAVES_MAX as u16);
            coded.trees.push(Laid { steps_end: coded.steps.len(), leaves, root });
            coded.leaves_most = coded.leaves_most.max(coded.values.len() - leaves);
        }
        coded.values.resize(coded.values.len() + LEAVES_MAX, 0.0);
        coded.nodes.resize(coded.values.len(), 0);
        (Some(coded), count)
    }

    /// Lays what is at and below a node; the slot that tells its leaf. Slots from `free` on may
    /// be used.
    fn lay(&mut self, tree: &Tree, at: usize, leaves: usize, free: u16) -> u16 {
        let node = &tree.nodes[at];
        if node.is_leaf() {
            self.values.push(node.value);
            self.nodes.push(at as u32);
            return (self.values.len() - 1 - leaves) as u16;
        }
        let left = self.lay(tree, node.left as usize, leaves, free);
        // The left branch holds its slot until both are done.
        let rest = free + u16::from(usize::from(left) >= LEAVES_MAX);
        let right = self.lay(tree, node.right as usize, leaves, rest);
        let (column, threshold) = self.coder.place(node);
        self.steps.push(Step { column, threshold, left, right, to: free });
        free
    }

    /// The values of all leaves, and the numbers of the nodes they were.
    pub(super) fn leaves(&self) -> (&[f32], &[u32]) {
        (&self.values, &self.nodes)
    }

    /// Asks every tree for `rows` of `features` cells each, at most [`ROWS`]. `found` gets the
    /// number of the tree, the place of its first leaf, and for each row which of its leaves.
    pub(super) fn each<F: FnMut(usize, usize, &[u8])>(
        &self,
        rows: &[f32],
        features: usize,
        room: &mut Room,
        found: F,
    ) {
        if rows.len() <= LANES * features {
            simd::run(Asking::<F, 1> { coded: self, rows, features, room, found });
        } else {
            simd::run(Asking::<F, PARTS> { coded: self, rows, features, room, found });
        }
    }
}

struct Asking<'a, F, const PARTS: usize> {
    coded: &'a Coded,
    rows: &'a [f32],
    features: usize,
    room: &'a mut Room,
    found: F,
}

impl<F: FnMut(usize, usize, &[u8]), const PARTS: usize> WithSimd for Asking<'_, F, PARTS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Asking { coded, rows, features, room, mut found } = self;
        room.codes.resize(coded.coder.width() * PARTS, [0; LANES]);
        room.number(PARTS, coded.leaves_most);
        let (codes, _) = room.codes.as_chunks_mut::<PARTS>();
        coded.coder.code(simd, rows, features, codes);
        let count = rows.len() / features;
        let (slots, _) = room.slots.as_chunks_mut::<PARTS>();
        let slots: &mut [[[u8; LANES]; PARTS]; SLOTS] =
            slots.first_chunk_mut().expect("there are as many slots for every number of parts");
        let mut begin = 0;
        for (at, tree) in coded.trees.iter().enumerate() {
            for step in &coded.steps[begin..tree.steps_end] {
                // Places are below SLOTS; the remainder only tells the compiler.
                let place = |slot: u16| usize::from(slot) % SLOTS;
                let (left, right, to) = (place(step.left), place(step.right), place(step.to));
                let (codes, threshold) = (&codes[usize::from(step.column)], step.threshold);
                for part in 0..PARTS {
                    slots[to][part] =
                        choose(codes[part], threshold, slots[left][part], slots[right][part]);
                }
            }
            begin = tree.steps_end;
            let leaves = &slots[usize::from(tree.root) % SLOTS];
            found(at, tree.leaves, &leaves.as_flattened()[..count]);
        }
    }
}

/// `right` for codes above the threshold, `left` for others.
#[inline(always)]
fn choose(codes: Codes, threshold: i8, left: [u8; LANES], right: [u8; LANES]) -> [u8; LANES] {
    let mut chosen = [0; LANES];
    for lane in 0..LANES {
        let above = if codes[lane] > threshold { u8::MAX } else { 0 };
        chosen[lane] = (right[lane] & above) | (left[lane] & !above);
    }
    chosen
}

impl Room {
    /// Numbers the slots of so many leaves.
    fn number(&mut self, parts: usize, leaves: usize) {
        if self.numbered.0 == parts && self.numbered.1 >= leaves {
            return;
        }
        self.slots.resize((SLOTS * parts).max(self.slots.len()), [0; LANES]);
        for (leaf, slots) in self.slots.chunks_exact_mut(parts).take(leaves).enumerate() {
            slots.fill([leaf as u8; LANES]);
        }
        self.numbered = (parts, leaves);
    }
}
