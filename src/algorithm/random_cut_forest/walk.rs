//! The way of a block of rows down one tree: row numbers parted by the cuts, until the rows of each
//! node stand side by side.

use super::score::{LEAF, Laid, NARROW_MAX, PointsOf, Scorer, Step};

/// Behind the last row of a column, so that whole registers can be read; it also keeps columns from
/// falling on the same cache lines when there is a power of two of rows.
pub(super) const PADDING: usize = 48;

/// What a thread uses for one block after the other.
#[derive(Default)]
pub(super) struct Scratch {
    count: usize,
    /// count × width: the scaled rows.
    pub(super) rows: Vec<f32>,
    /// width × stride, for narrow points: the same, number by number.
    columns: Vec<f32>,
    /// The same in the order of `ids`.
    pub(super) parted: Vec<f32>,
    pub(super) stride: usize,
    pub(super) ids: Vec<u16>,
    spare: Vec<u16>,
    /// Depth still to come below the node last met, in the order of `ids`.
    pub(super) depths: Vec<f32>,
    waiting: Vec<(u32, u32, u32)>,
    /// Inner nodes that rows came to, with their rows' places; children behind their parents.
    pub(super) met: Vec<(u32, u32, u32)>,
}

impl Scratch {
    /// Takes `count` points from `first` on, scaled.
    pub(super) fn load(
        &mut self,
        scorer: &Scorer,
        points: &PointsOf<'_>,
        first: usize,
        count: usize,
    ) {
        let width = scorer.width();
        self.count = count;
        self.stride = count.next_multiple_of(16) + PADDING;
        self.rows.resize(count * width, 0.0);
        self.ids.resize(count, 0);
        self.spare.resize(count, 0);
        self.depths.resize(count, 0.0);
        for (at, scaled) in self.rows.chunks_exact_mut(width).enumerate() {
            scorer.scaled(points, first + at, scaled);
        }
        if width <= NARROW_MAX {
            // What is behind the last row must be a number, any.
            self.columns.resize(width * self.stride, 0.0);
            self.parted.resize(width * self.stride, 0.0);
            for (number, column) in self.columns.chunks_exact_mut(self.stride).enumerate() {
                for (row, value) in self.rows.chunks_exact(width).zip(column) {
                    *value = row[number];
                }
            }
        }
    }

    /// The rows by number, in the order in which they stand.
    pub(super) fn order(&self) -> impl Iterator<Item = usize> {
        self.ids.iter().map(|id| usize::from(*id))
    }

    /// Parts the rows by the cuts of `tree`, and sets the depth still to come at the leaves.
    pub(super) fn part(&mut self, tree: &Laid, scorer: &Scorer) {
        let width = scorer.width();
        for (at, id) in self.ids.iter_mut().enumerate() {
            *id = at as u16;
        }
        self.depths.fill(1.0);
        self.met.clear();
        self.waiting.clear();
        self.waiting.push((0, 0, self.count as u32));
        while let Some((number, from, to)) = self.waiting.pop() {
            let step = &tree.steps[number as usize];
            let range = from as usize..to as usize;
            if step.dimension == LEAF {
                if step.mass > 1 {
                    self.arrive(step, scorer, range);
                }
                continue;
            }
            self.met.push((number, from, to));
            // Which of two leaves of one row each it is makes no difference to the depth.
            if step.mass == 2 {
                continue;
            }
            let (dimension, cut) = (step.dimension as usize, step.cut);
            let ids = &mut self.ids[range];
            let left = if width <= NARROW_MAX {
                let column = &self.columns[dimension * self.stride..][..self.count];
                part(ids, &mut self.spare, |id| column[id] <= cut)
            } else {
                part(ids, &mut self.spare, |id| self.rows[id * width + dimension] <= cut)
            };
            let middle = from + left as u32;
            if middle < to {
                self.waiting.push((step.right, middle, to));
            }
            if from < middle {
                self.waiting.push((number + 1, from, middle));
            }
        }
        if width <= NARROW_MAX {
            self.set_apart();
        }
    }

    /// Rows at a leaf of several: those equal to it are as deep as in a balanced tree of them.
    fn arrive(&mut self, leaf: &Step, scorer: &Scorer, range: std::ops::Range<usize>) {
        let width = scorer.width();
        for place in range {
            let id = usize::from(self.ids[place]);
            self.depths[place] = scorer.at_leaf(leaf, &self.rows[id * width..(id + 1) * width]);
        }
    }

    /// Writes the numbers of the rows in the order in which they now stand, a column at a time: it
    /// stays in the first-level cache.
    fn set_apart(&mut self) {
        let columns = self.columns.chunks_exact(self.stride);
        for (column, parted) in columns.zip(self.parted.chunks_exact_mut(self.stride)) {
            for (parted, id) in parted.iter_mut().zip(&self.ids) {
                *parted = column[usize::from(*id)];
            }
        }
    }
}

/// Brings the rows that go left to the front, all in the order they had, and counts them.
#[inline(always)]
fn part(ids: &mut [u16], spare: &mut [u16], is_left: impl Fn(usize) -> bool) -> usize {
    let count = ids.len();
    let spare = &mut spare[..count];
    let mut left = 0;
    for at in 0..count {
        let id = ids[at];
        // Both are written and one counts: which side is chance, and a guess costs more.
        ids[left] = id;
        spare[at - left] = id;
        left += usize::from(is_left(usize::from(id)));
    }
    ids[left..].copy_from_slice(&spare[..count - left]);
    left
}
