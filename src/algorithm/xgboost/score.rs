//! A model laid out for answering.
//!
//! Many rows go through the trees as codes of one byte (`coded`), a few one by one (`quick`), as far
//! as the trees allow it; through the other trees they walk (`walk`). A row's margins are its base plus its leaves in
//! the order of the trees, in f32, as XGBoost adds them: alone or in a batch, the bits are the same.

use std::ops::Range;

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::ask::{AsMargins, AsNodes, Ask};
use super::coded::{self, Coded};
use super::ensemble::Ensemble;
use super::quick::Quick;
use super::rows::Rows;
use super::tree::Tree;
use super::walk::Walked;

/// Rows from which on they are turned into codes.
const CODED_ROWS_MIN: usize = 12;
/// Rows times trees from which a batch is shared among threads: about a millisecond.
const SHARED_WORK: usize = 1 << 18;
/// Floats that sparse rows are filled up to at one time.
const FILLED_MAX: usize = 1 << 18;

/// Trees that follow each other; those without a layout of their own are walked.
#[derive(Debug, Clone)]
struct Run<T> {
    trees: Range<usize>,
    laid: Option<T>,
}

/// All trees in runs: `lay` lays as many as it can from the first on, and says how many those are.
fn runs<T>(trees: &[Tree], lay: impl Fn(&[Tree]) -> (Option<T>, usize)) -> Vec<Run<T>> {
    let mut runs: Vec<Run<T>> = Vec::new();
    let mut done = 0;
    while done < trees.len() {
        let (laid, count) = lay(&trees[done..]);
        let own = done..done + count;
        done += count;
        match (&laid, runs.last_mut()) {
            (None, Some(last)) if last.laid.is_none() => last.trees.end = own.end,
            _ => runs.push(Run { trees: own, laid }),
        }
    }
    runs
}

/// A model ready to answer.
#[derive(Debug, Clone)]
pub struct Scorer {
    features: usize,
    base: Vec<f32>,
    /// The group of each tree.
    groups: Vec<u32>,
    walked: Walked,
    together: Vec<Run<Coded>>,
    alone: Vec<Run<Quick>>,
}

/// What a thread works with.
#[derive(Default)]
struct Room {
    filled: Vec<f32>,
    coded: coded::Room,
}

impl Scorer {
    /// Lays a sound model out.
    pub fn new(model: &Ensemble) -> Scorer {
        Scorer {
            features: model.features,
            base: model.base_margins(),
            groups: model.groups.clone(),
            walked: Walked::new(model),
            together: runs(&model.trees, Coded::new),
            alone: runs(&model.trees, |trees| Quick::new(trees, Walked::steps)),
        }
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
        self.over(rows, &mut out, groups, |values, room, out| {
            out.chunks_exact_mut(groups).for_each(|out| out.copy_from_slice(&self.base));
            self.block(values, &AsMargins, room, out);
        });
        out
    }

    /// The leaf of each row in each tree, by number of its node: rows × trees, row after row, as
    /// XGBoost's `pred_leaf`.
    pub fn leaves(&self, rows: &Rows<'_>) -> Vec<u32> {
        let width = self.groups.len();
        let mut out = vec![0; rows.count() * width];
        if width > 0 {
            self.over(rows, &mut out, width, |values, room, out| {
                self.block(values, &AsNodes, room, out);
            });
        }
        out
    }

    /// Works through `rows` block by block, `width` numbers of `out` for each row.
    fn over<T: Send>(
        &self,
        rows: &Rows<'_>,
        out: &mut [T],
        width: usize,
        work: impl Fn(&[f32], &mut coded::Room, &mut [T]) + Sync,
    ) {
        let each = match rows {
            Rows::Dense(_) => coded::ROWS,
            Rows::Sparse(_) => (FILLED_MAX / self.features.max(1)).clamp(1, coded::ROWS),
        };
        let block = |room: &mut Room, (at, out): (usize, &mut [T])| {
            let values = rows.block(at * each, out.len() / width, &mut room.filled);
            work(values, &mut room.coded, out);
        };
        if rows.count() * self.groups.len() >= SHARED_WORK {
            let blocks = out.par_chunks_mut(each * width).enumerate();
            blocks.for_each_init(Room::default, block);
        } else {
            let mut room = Room::default();
            out.chunks_mut(each * width).enumerate().for_each(|own| block(&mut room, own));
        }
    }

    /// At most [`coded::ROWS`] rows.
    fn block<A: Ask>(&self, values: &[f32], ask: &A, room: &mut coded::Room, out: &mut [A::Found]) {
        let rows = values.len() / self.features;
        let width = out.len() / rows.max(1);
        if rows < CODED_ROWS_MIN {
            return self.one_by_one(values, ask, width, out);
        }
        for Run { trees, laid } in &self.together {
            let Some(coded) = laid else {
                self.walked.rows(trees.clone(), values, ask, width, out);
                continue;
            };
            let (leaf_values, nodes) = coded.leaves();
            let leaves = ask.of(leaf_values, nodes);
            coded.each(values, self.features, room, |tree, first, found| {
                let tree = trees.start + tree;
                let place = ask.place(tree, self.groups[tree]);
                note(ask, &leaves[first..], found, width, &mut out[place..]);
            });
        }
    }

    fn one_by_one<A: Ask>(&self, values: &[f32], ask: &A, width: usize, out: &mut [A::Found]) {
        let mut left = Vec::new();
        for Run { trees, laid } in &self.alone {
            let Some(quick) = laid else {
                self.walked.alone(trees.clone(), values, ask, width, out);
                continue;
            };
            for (row, out) in values.chunks_exact(self.features).zip(out.chunks_exact_mut(width)) {
                quick.ask(row, trees.start, &self.groups, ask, &mut left, out);
            }
        }
    }
}

/// Notes what each row found in one tree; `out` begins where the first row notes it.
#[inline(always)]
fn note<A: Ask>(ask: &A, leaves: &[A::Found], found: &[u8], width: usize, out: &mut [A::Found]) {
    // As many as a byte can ask for: no check of bounds for each row.
    let leaves: &[A::Found; 256] = leaves.first_chunk().expect("the leaves are laid out so");
    if width == 1 {
        for (out, leaf) in out.iter_mut().zip(found) {
            ask.note(leaves[usize::from(*leaf)], out);
        }
    } else {
        for (out, leaf) in out.chunks_mut(width).zip(found) {
            ask.note(leaves[usize::from(*leaf)], &mut out[0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ndarray::{Array2, Axis, Slice};

    use super::super::objective::Objective;
    use super::super::tree::{NONE, Node, Set};
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

    fn model(trees: Vec<Tree>, features: usize) -> Ensemble {
        Ensemble {
            objective: Objective::Multi { classes: 2, probabilities: true },
            base_score: vec![0.1, -0.2],
            features,
            names: Vec::new(),
            categories: BTreeMap::new(),
            groups: (0..trees.len() as u32).map(|at| at % 2).collect(),
            rounds: vec![0, trees.len()],
            parallel: 1,
            trees,
            attributes: BTreeMap::new(),
        }
    }

    /// Whether all roads through `model` come to what the plain walk does, bit for bit.
    fn check(model: &Ensemble, x: &Array2<f32>) {
        let (scorer, width) = (Scorer::new(model), model.trees.len());
        let all = scorer.margins(&x.view());
        let all_leaves = scorer.leaves(&Rows::Dense(x.view()));
        let turned = x.t().as_standard_layout().into_owned();
        assert_eq!(all, scorer.margins(&turned.t()));
        for row in 0..x.nrows() {
            let mut plain = model.base_margins();
            let mut walked = Vec::new();
            for (tree, group) in model.trees.iter().zip(&model.groups) {
                let leaf = tree.leaf_of(|feature| x[[row, feature]]);
                plain[*group as usize] += tree.nodes[leaf].value;
                walked.push(leaf as u32);
            }
            let alone = x.slice_axis(Axis(0), Slice::from(row..row + 1));
            assert_eq!(plain, all[2 * row..2 * row + 2], "row {row}");
            assert_eq!(plain, scorer.margins(&alone));
            assert_eq!(walked, all_leaves[width * row..width * (row + 1)]);
            assert_eq!(walked, scorer.leaves(&Rows::Dense(alone)));
        }
    }

    #[test]
    fn every_shape_answers_as_the_plain_walk_alone_and_in_a_batch() {
        let shapes = [(0, false), (1, false), (6, false), (40, false), (40, true), (300, false)];
        let trees: Vec<Tree> =
            (0..24).map(|seed| tree(shapes[seed % 6].0, seed, shapes[seed % 6].1)).collect();
        let model = model(trees, 4);
        let scorer = Scorer::new(&model);
        assert!(scorer.alone.iter().any(|run| run.laid.is_some()));
        assert!(scorer.alone.iter().any(|run| run.laid.is_none()));
        for holes in [false, true] {
            let x = Array2::from_shape_fn((203, 4), |(row, column)| {
                let value = ((row * 37 + column * 11) % 23) as f32;
                let value = if column < 2 { value / 20.0 } else { value * 2.0 - 1.0 };
                if holes && (row + column) % 5 == 0 { f32::NAN } else { value }
            });
            check(&model, &x);
        }
    }

    #[test]
    fn thresholds_few_and_too_many_for_a_byte_part_rows_as_they_stand() {
        // Each column has its own number of thresholds; together some are too many for one run.
        for many in [3, 39, 41, 255, 700] {
            let mut trees: Vec<Tree> = (0..60).map(|seed| tree(20, seed * 4, false)).collect();
            let mut at = 0usize;
            for node in trees.iter_mut().flat_map(|tree| &mut tree.nodes) {
                if !node.is_leaf() {
                    at += 1;
                    node.value = match at * 7919 % many {
                        0 => 0.0,
                        1 => -0.0,
                        2 => f32::INFINITY,
                        place => place as f32 - many as f32 / 2.0,
                    };
                    node.set = NONE;
                }
            }
            trees.iter_mut().for_each(|tree| tree.sets.clear());
            let runs = Scorer::new(&model(trees.clone(), 4)).together;
            assert!(runs[0].laid.is_some());
            assert_eq!(runs.len() > 1, many > 255, "{many}");
            let special =
                [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, f32::MIN_POSITIVE];
            // Whole blocks, whole parts, and what is left over.
            for rows in [11, 12, 33, 128, 300] {
                let x = Array2::from_shape_fn((rows, 4), |(row, column)| {
                    let at = row * 31 + column * 17;
                    let place = (at * 13 % (2 * many)) as f32 / 2.0 - many as f32 / 2.0;
                    *special.get(at % 23).unwrap_or(&place)
                });
                check(&model(trees.clone(), 4), &x);
            }
        }
    }
}
