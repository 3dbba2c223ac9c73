//! Grows one tree on binned rows: whole levels, or always the leaf that saves most.
//!
//! Rows of a node stay together and ascending in one list, parted in place at each split. The
//! smaller child's histogram is summed, the larger one's is its parent's less that. What is drawn
//! and what is summed does not depend on threads, so neither does the tree.

use std::collections::BinaryHeap;

use rayon::prelude::*;

use super::bins::Bins;
use super::draw::{Draw, Seen};
use super::histogram::{self, Histogram, Order, Pool, Scaled, Sum};
use super::part;
use super::settings::Growth;
use super::split::{self, Bounds, Loss, Sought, Split};
use super::tree::{NONE, Node, Tree};

/// What histograms of one level may hold together; beyond, parents are not kept and both
/// children are summed.
const HISTOGRAM_BYTES_MAX: usize = 512 << 20;
/// Stands where a threshold would, as XGBoost writes it.
const NO_THRESHOLD: f32 = f32::from_bits(1);

/// Buffers that live as long as a training.
#[derive(Debug, Default)]
pub struct Grower {
    rows: Vec<u32>,
    spare: Vec<u32>,
    histograms: Pool,
}

/// A grown tree, and where its training rows ended.
#[derive(Debug)]
pub struct Grown<'a> {
    /// Leaf values carry the learning rate.
    pub tree: Tree,
    /// Leaf, and its range in `rows`.
    pub leaves: Vec<(u32, std::ops::Range<usize>)>,
    /// The rows the tree saw; ascending inside each range.
    pub rows: &'a [u32],
}

/// A node that may still be split.
#[derive(Debug)]
struct Open {
    node: u32,
    depth: usize,
    rows: std::ops::Range<usize>,
    sum: Sum,
    bounds: Bounds,
    /// Columns on the way here; kept only under interaction constraints.
    path: Vec<u32>,
    histogram: Option<Histogram>,
    split: Option<Split>,
}

/// Orders open nodes: the one to grow next is the greatest.
#[derive(Debug)]
struct Queued(Open);

impl Queued {
    fn gain(&self) -> f32 {
        self.0.split.as_ref().map_or(0.0, |split| split.gain)
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Queued) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Queued) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Queued) -> std::cmp::Ordering {
        self.gain().total_cmp(&other.gain()).then(other.0.node.cmp(&self.0.node))
    }
}

/// One tree in the making.
struct Work<'a> {
    bins: &'a Bins,
    scaled: &'a Scaled,
    growth: &'a Growth,
    loss: Loss<'a>,
    draw: Draw,
    /// Columns of this tree.
    columns: Vec<u32>,
    /// Tiles with any of them.
    wanted: Vec<bool>,
    eta: f64,
    tree: Tree,
    leaves: usize,
    finished: Vec<(u32, std::ops::Range<usize>)>,
    rows: &'a mut [u32],
    spare: &'a mut [u32],
    histograms: &'a mut Pool,
}

impl Grower {
    /// Grows a tree on `scaled` gradients of the rows it sees. `eta` is the learning rate of its
    /// leaves.
    pub fn grow(
        &mut self,
        bins: &Bins,
        scaled: &Scaled,
        growth: &Growth,
        eta: f64,
        draw: Draw,
        seen: Seen<'_>,
    ) -> Grown<'_> {
        self.rows.clear();
        let all = (0..bins.rows as u32).into_par_iter();
        match seen.is_all() {
            true => self.rows.par_extend(all),
            false => self.rows.par_extend(all.filter(|row| seen.has(*row as usize))),
        }
        self.spare.resize(self.rows.len(), 0);
        let columns = draw.columns(&bins.live(), growth.columns[0], u64::MAX);
        let mut wanted = vec![false; bins.tiles.len()];
        for (tile, wanted) in bins.tiles.iter().zip(&mut wanted) {
            *wanted = tile.columns.iter().any(|column| columns.binary_search(column).is_ok());
        }
        let mut work = Work {
            bins,
            scaled,
            growth,
            loss: Loss::new(growth),
            draw,
            columns,
            wanted,
            eta,
            tree: Tree::default(),
            leaves: 1,
            finished: Vec::new(),
            rows: &mut self.rows,
            spare: &mut self.spare,
            histograms: &mut self.histograms,
        };
        work.run();
        let (tree, leaves) = (work.tree, work.finished);
        Grown { tree, leaves, rows: &self.rows }
    }
}

impl Work<'_> {
    fn run(&mut self) {
        let root = self.root();
        let mut open = self.seek(vec![root]);
        if self.growth.lossguide {
            let mut queue: BinaryHeap<Queued> = open.into_iter().map(Queued).collect();
            while let Some(Queued(next)) = queue.pop() {
                let children = self.expand(vec![next]);
                queue.extend(self.seek(children).into_iter().map(Queued));
            }
            return;
        }
        let batch = (HISTOGRAM_BYTES_MAX / (2 * size_of::<Sum>() * self.bins.slots.max(1))).max(1);
        while !open.is_empty() {
            let mut next = Vec::new();
            let mut level = open.into_iter();
            loop {
                let some: Vec<Open> = level.by_ref().take(batch).collect();
                if some.is_empty() {
                    break;
                }
                let children = self.expand(some);
                next.extend(self.seek(children));
            }
            // A level too large to be kept is summed again from its rows.
            if next.len() > batch {
                for node in &mut next {
                    node.histogram.take().into_iter().for_each(|own| self.histograms.give(own));
                    self.histograms.shrink(batch);
                }
            }
            open = next;
        }
    }

    fn root(&mut self) -> Open {
        let sum = self.scaled.total(self.rows);
        let sums = self.scaled.value(sum);
        let weight = self.loss.weight(sums, Bounds::NONE);
        let mut node = Node::leaf(NONE, (weight * self.eta) as f32, sums[1] as f32);
        node.weight = weight as f32;
        self.tree.nodes.push(node);
        let mut root = Open {
            node: 0,
            depth: 0,
            rows: 0..self.rows.len(),
            sum,
            bounds: Bounds::NONE,
            path: Vec::new(),
            histogram: None,
            split: None,
        };
        if self.may_grow(0) {
            let mut buffer = self.buffer(root.rows.len());
            let rows = &*self.rows;
            let order = Order { out: &mut buffer, rows, sum };
            histogram::fill(self.bins, self.scaled, &self.wanted, vec![order]);
            root.histogram = Some(buffer);
        }
        root
    }

    /// A histogram for a node of so many rows.
    fn buffer(&mut self, rows: usize) -> Histogram {
        self.histograms.take(self.bins.slots, self.scaled.packs(rows))
    }

    fn may_grow(&self, depth: usize) -> bool {
        depth < self.growth.max_depth && self.leaves < self.growth.max_leaves
    }

    /// Finds the split of each node; those without a worthwhile one are finished.
    fn seek(&mut self, nodes: Vec<Open>) -> Vec<Open> {
        let allowed: Vec<Option<Vec<bool>>> = nodes.iter().map(|node| self.allowed(node)).collect();
        let tasks: Vec<(usize, usize)> = (0..nodes.len())
            .filter(|at| nodes[*at].histogram.is_some())
            .flat_map(|at| (0..self.bins.tiles.len()).map(move |tile| (at, tile)))
            .filter(|(_, tile)| self.wanted[*tile])
            .collect();
        let find = |(at, tile): &(usize, usize)| {
            let (node, tile) = (&nodes[*at], &self.bins.tiles[*tile]);
            let sought = Sought {
                sum: node.sum,
                gain: self.loss.gain(self.scaled.value(node.sum), node.bounds),
                least: self.loss.least(self.scaled.value(node.sum)[1], node.rows.len()),
                bounds: node.bounds,
                allowed: allowed[*at].as_deref(),
            };
            let own = tile.offset..tile.offset + tile.slots;
            let (bins, scaled, loss) = (self.bins, self.scaled, &self.loss);
            match node.histogram.as_ref()? {
                Histogram::Packed(slots) => {
                    split::best_of_tile(bins, tile, &slots[own], scaled, loss, &sought)
                }
                Histogram::Wide(slots) => {
                    split::best_of_tile(bins, tile, &slots[own], scaled, loss, &sought)
                }
            }
        };
        let found: Vec<Option<Split>> = tasks.par_iter().map(find).collect();
        let mut best: Vec<Option<Split>> = vec![None; nodes.len()];
        for ((at, _), split) in tasks.iter().zip(found) {
            best[*at] = split::better(best[*at].take(), split);
        }
        let mut open = Vec::with_capacity(nodes.len());
        for (mut node, split) in nodes.into_iter().zip(best) {
            node.split = split.filter(|split| f64::from(split.gain) >= self.growth.gamma);
            if node.split.is_some() {
                open.push(node);
            } else {
                self.finish(node);
            }
        }
        open
    }

    fn finish(&mut self, node: Open) {
        node.histogram.into_iter().for_each(|own| self.histograms.give(own));
        self.finished.push((node.node, node.rows));
    }

    /// Which columns a node may use; `None` when any that was drawn for no one is left out.
    fn allowed(&self, node: &Open) -> Option<Vec<bool>> {
        let [by_tree, by_level, by_node] = self.growth.columns;
        let drawn = by_tree < 1.0 || by_level < 1.0 || by_node < 1.0;
        let parted = !self.growth.interactions.is_empty();
        if !drawn && !parted {
            return None;
        }
        let level = self.draw.columns(&self.columns, by_level, 2 * node.depth as u64);
        let columns = self.draw.columns(&level, by_node, 2 * u64::from(node.node) + 1);
        let mut allowed = vec![false; self.bins.columns.len()];
        columns.iter().for_each(|column| allowed[*column as usize] = true);
        if parted && !node.path.is_empty() {
            let mut together = vec![false; allowed.len()];
            node.path.iter().for_each(|column| together[*column as usize] = true);
            for set in &self.growth.interactions {
                if node.path.iter().all(|column| set.contains(column)) {
                    set.iter().for_each(|column| together[*column as usize] = true);
                }
            }
            allowed.iter_mut().zip(together).for_each(|(allowed, together)| *allowed &= together);
        }
        Some(allowed)
    }

    /// Splits nodes as far as the limit of leaves allows; gives their children.
    fn expand(&mut self, nodes: Vec<Open>) -> Vec<Open> {
        let mut split = Vec::with_capacity(nodes.len());
        for node in nodes {
            if self.leaves < self.growth.max_leaves {
                self.leaves += 1;
                split.push(node);
            } else {
                self.finish(node);
            }
        }
        let middles = self.part(&split);
        let mut children = Vec::with_capacity(2 * split.len());
        let mut parents = Vec::with_capacity(split.len());
        for (mut node, middle) in split.into_iter().zip(middles) {
            parents.push(node.histogram.take());
            children.extend(self.children(node, middle));
        }
        self.sum_children(&mut children, parents);
        children
    }

    /// Writes a split into the tree; its two children.
    fn children(&mut self, node: Open, middle: usize) -> [Open; 2] {
        let split = node.split.expect("only nodes with a split are expanded");
        let (left_sums, right_sums) =
            (self.scaled.value(split.left), self.scaled.value(split.right));
        let weights = [left_sums, right_sums].map(|sums| self.loss.weight(sums, node.bounds));
        let (left_bounds, right_bounds) =
            node.bounds.parted(self.loss.sign(split.feature), weights[0], weights[1]);
        let first = self.tree.nodes.len() as u32;
        for (sums, weight) in [left_sums, right_sums].iter().zip(weights) {
            let mut leaf = Node::leaf(node.node, (weight * self.eta) as f32, sums[1] as f32);
            leaf.weight = weight as f32;
            self.tree.nodes.push(leaf);
        }
        let own = &mut self.tree.nodes[node.node as usize];
        own.left = first;
        own.right = first + 1;
        own.feature = split.feature;
        if let Some(set) = split.set {
            own.value = NO_THRESHOLD;
            own.set = self.tree.sets.len() as u32;
            self.tree.sets.push(set);
        } else {
            own.value = self.bins.columns[split.feature as usize].threshold(split.last);
        }
        own.default_left = split.default_left;
        own.gain = split.gain;
        let mut path = node.path;
        if !self.growth.interactions.is_empty() && !path.contains(&split.feature) {
            path.push(split.feature);
        }
        let child = |at: u32, rows, sum, bounds| Open {
            node: first + at,
            depth: node.depth + 1,
            rows,
            sum,
            bounds,
            path: path.clone(),
            histogram: None,
            split: None,
        };
        [
            child(0, node.rows.start..middle, split.left, left_bounds),
            child(1, middle..node.rows.end, split.right, right_bounds),
        ]
    }

    /// Fills the histograms of children that may grow: pairs, in the order of `parents`.
    fn sum_children(&mut self, children: &mut [Open], parents: Vec<Option<Histogram>>) {
        let grows = children.first().is_some_and(|child| self.may_grow(child.depth));
        if !grows {
            parents.into_iter().flatten().for_each(|own| self.histograms.give(own));
            return;
        }
        // The smaller child's is summed, the larger one's too where the parent's was not kept.
        for (pair, parent) in children.chunks_exact_mut(2).zip(&parents) {
            let small = usize::from(pair[0].rows.len() > pair[1].rows.len());
            pair[small].histogram = Some(self.buffer(pair[small].rows.len()));
            if parent.is_none() {
                pair[1 - small].histogram = Some(self.buffer(pair[1 - small].rows.len()));
            }
        }
        let rows = &*self.rows;
        let orders = children.iter_mut().filter_map(|child| {
            let (own, sum) = (child.rows.clone(), child.sum);
            Some(Order { out: child.histogram.as_mut()?, rows: &rows[own], sum })
        });
        histogram::fill(self.bins, self.scaled, &self.wanted, orders.collect());
        let mut pairs = Vec::new();
        for (pair, parent) in children.chunks_exact_mut(2).zip(parents) {
            let Some(parent) = parent else { continue };
            let [left, right] = pair else { continue };
            let (small, large) =
                if left.histogram.is_some() { (left, right) } else { (right, left) };
            let packs = self.scaled.packs(large.rows.len());
            let spare = (packs && matches!(parent, Histogram::Wide(_)))
                .then(|| self.buffer(large.rows.len()));
            if let Some(small) = &small.histogram {
                pairs.push((parent, small, spare, &mut large.histogram));
            }
        }
        let settle = |(parent, small, spare, large): (_, _, _, &mut Option<Histogram>)| {
            let (own, left) = histogram::sibling(parent, small, spare);
            *large = Some(own);
            left
        };
        let left: Vec<Option<Histogram>> = pairs.into_par_iter().map(settle).collect();
        left.into_iter().flatten().for_each(|own| self.histograms.give(own));
    }

    /// Parts the rows of each node; where its right rows begin.
    fn part(&mut self, nodes: &[Open]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..nodes.len()).collect();
        order.sort_by_key(|at| nodes[*at].rows.start);
        let (mut rows, mut spare) = (&mut *self.rows, &mut *self.spare);
        let mut at_row = 0;
        let mut tasks = Vec::with_capacity(nodes.len());
        for at in order {
            let node = &nodes[at];
            let (skip, own) = (node.rows.start - at_row, node.rows.len());
            let (_, behind) = rows.split_at_mut(skip);
            let (mine, behind) = behind.split_at_mut(own);
            let (_, spare_behind) = spare.split_at_mut(skip);
            let (my_spare, spare_behind) = spare_behind.split_at_mut(own);
            (rows, spare) = (behind, spare_behind);
            at_row = node.rows.end;
            tasks.push((at, mine, my_spare));
        }
        let bins = self.bins;
        let counts: Vec<(usize, usize)> = tasks
            .into_par_iter()
            .map(|(at, rows, spare)| {
                let split = nodes[at].split.as_ref();
                let split = split.expect("only nodes with a split are expanded");
                (at, part::rows(bins, split, rows, spare))
            })
            .collect();
        let mut middles = vec![0; nodes.len()];
        for (at, lefts) in counts {
            middles[at] = nodes[at].rows.start + lefts;
        }
        middles
    }
}
