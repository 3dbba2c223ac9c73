//! Some trees laid out for one row at a time: no walk, but every node that sends the row right
//! strikes out the leaves of its left branch.
//!
//! What is left of a tree's leaves begins with the one the row falls into. Nodes lie by column, in the
//! order of their thresholds, so that those that send a row right are a prefix of each column:
//! they are read one behind the other, where a walk waits for each node, and guesses wrong, before
//! it knows the next (Lucchese, Nardini et al., "QuickScorer", SIGIR 2015). A node takes eight
//! bytes, so a thousand small trees stay in the cache that their complete ones would not fit into.

use std::collections::BTreeMap;
use std::ops::Range;

use super::ask::Ask;
use super::tree::{NONE, Node, Tree};

/// Leaves a tree may have.
const LEAVES_MAX: usize = 256;
/// What a strike takes in the steps of a walk, if about every third node is reached.
const STRIKE: f64 = 0.3;
/// What finding the strikes of a column takes.
const COLUMN: f64 = 2.0;
/// What finding the leaf of a tree takes.
const TREE: f64 = 1.0;
/// Leaves of a word.
const WORD: usize = u32::BITS as usize;

/// What a node that sends a row right does to one word.
#[derive(Debug, Clone, Copy)]
struct Strike {
    word: u32,
    /// The leaves that stay.
    keep: u32,
}

/// One tree: its first word, and where its leaves begin.
#[derive(Debug, Clone, Copy)]
struct Laid {
    word: u32,
    leaves: u32,
}

/// The nodes of one column.
#[derive(Debug, Clone)]
struct Column {
    feature: u32,
    range: Range<usize>,
    /// Those that send missing values right.
    missing: Range<usize>,
}

/// Trees that follow each other.
#[derive(Debug, Clone, Default)]
pub(super) struct Quick {
    columns: Vec<Column>,
    /// Ascending in each column.
    thresholds: Vec<f32>,
    strikes: Vec<Strike>,
    missing: Vec<Strike>,
    words: usize,
    trees: Vec<Laid>,
    values: Vec<f32>,
    nodes: Vec<u32>,
}

/// The strikes of a column in the making, with their thresholds and whether missing values go right.
type Gathered = BTreeMap<u32, Vec<(f32, bool, Strike)>>;

impl Quick {
    /// Of `trees`, as many as fit from the first on, and how many those are; none where walks are
    /// shorter. `steps` are those of a walk through a tree.
    pub(super) fn new(trees: &[Tree], steps: impl Fn(&Tree) -> f64) -> (Option<Quick>, usize) {
        let count = trees.iter().take_while(|tree| fits(tree)).count();
        let trees = &trees[..count];
        let mut quick = Quick::default();
        let mut columns = Gathered::new();
        for tree in trees {
            let first = quick.values.len();
            quick.trees.push(Laid { word: quick.words as u32, leaves: first as u32 });
            quick.lay(tree, 0, first, &mut columns);
            quick.words += (quick.values.len() - first).div_ceil(WORD);
        }
        let strikes: usize = columns.values().map(Vec::len).sum();
        let own = STRIKE * strikes as f64 + COLUMN * columns.len() as f64 + TREE * count as f64;
        if own >= trees.iter().map(steps).sum() {
            return (None, count.max(1));
        }
        for (feature, mut nodes) in columns {
            nodes.sort_by(|one, two| one.0.total_cmp(&two.0));
            let (start, first_missing) = (quick.strikes.len(), quick.missing.len());
            for (threshold, missing, strike) in nodes {
                quick.thresholds.push(threshold);
                quick.strikes.push(strike);
                quick.missing.extend(missing.then_some(strike));
            }
            quick.columns.push(Column {
                feature,
                range: start..quick.strikes.len(),
                missing: first_missing..quick.missing.len(),
            });
        }
        (Some(quick), count)
    }

    /// Lays what is at and below a node of the last tree, whose leaves begin at `first`.
    fn lay(&mut self, tree: &Tree, at: usize, first: usize, columns: &mut Gathered) {
        let node = &tree.nodes[at];
        if node.is_leaf() {
            self.values.push(node.value);
            self.nodes.push(at as u32);
            return;
        }
        let from = self.values.len() - first;
        self.lay(tree, node.left as usize, first, columns);
        let to = self.values.len() - first;
        let own = columns.entry(node.feature).or_default();
        for word in from / WORD..to.div_ceil(WORD) {
            let bit = |leaf: usize| (leaf.saturating_sub(word * WORD)).min(WORD);
            let struck = (1u64 << bit(to)) - (1u64 << bit(from));
            let strike = Strike { word: (self.words + word) as u32, keep: !(struck as u32) };
            // 0 and -0 are one threshold, but would sort apart.
            own.push((node.value + 0.0, !node.default_left, strike));
        }
        self.lay(tree, node.right as usize, first, columns);
    }

    /// Asks every tree for a row; `first` is the number of the first tree in the model.
    pub(super) fn ask<A: Ask>(
        &self,
        row: &[f32],
        first: usize,
        groups: &[u32],
        ask: &A,
        left: &mut Vec<u32>,
        out: &mut [A::Found],
    ) {
        left.clear();
        left.resize(self.words, u32::MAX);
        let mut strike = |strikes: &[Strike]| {
            for Strike { word, keep } in strikes {
                left[*word as usize] &= keep;
            }
        };
        for Column { feature, range, missing } in &self.columns {
            let value = row[*feature as usize];
            let thresholds = &self.thresholds[range.clone()];
            if value.is_nan() {
                strike(&self.missing[missing.clone()]);
            } else if value >= thresholds[0] {
                // Else none is reached, which is frequent: 0 in a column of counts or ink.
                let reached = thresholds.partition_point(|threshold| *threshold <= value);
                strike(&self.strikes[range.start..range.start + reached]);
            }
        }
        let leaves = ask.of(&self.values, &self.nodes);
        for (tree, laid) in self.trees.iter().enumerate() {
            let mut word = laid.word as usize;
            let mut leaf = laid.leaves as usize;
            // The leaf a row falls into is never struck out.
            while left[word] == 0 {
                word += 1;
                leaf += WORD;
            }
            let found = leaves[leaf + left[word].trailing_zeros() as usize];
            let tree = first + tree;
            ask.note(found, &mut out[ask.place(tree, groups[tree])]);
        }
    }
}

fn fits(tree: &Tree) -> bool {
    let leaves = tree.nodes.iter().filter(|node| node.is_leaf()).count();
    let plain = |node: &Node| node.is_leaf() || (node.set == NONE && !node.value.is_nan());
    leaves <= LEAVES_MAX && tree.nodes.iter().all(plain)
}
