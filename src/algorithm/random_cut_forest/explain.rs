//! Which numbers of a point made it strange.
//!
//! To set a point apart from the n rows of a tree takes log2(n + 1) bits: a cut that halves the rows
//! beside it gives one, a cut that leaves it one of four in 256 gives six. On its way down a point
//! meets the tree's cuts, each along some dimension, until the cut of its own insertion takes the
//! last rows from it, along one dimension or another in proportion to how far it lies outside of
//! the box there; the chance of each way is known exactly (see [`super::score`]). So the bits of
//! every tree, by dimension, add up to log2(n + 1), which is the score's numerator; divided by its
//! denominator, the mean expected depth, they are the contributions. They add up to the score and
//! none is below 0. Bits that no cut gives, since the tree holds the very same row, are shared
//! evenly.

use rayon::prelude::*;

use super::score::{LEAF, Laid, PointsOf, Scorer};

impl Scorer {
    /// points × width: what each number of each point contributed to `scores`, its own scores.
    pub fn contributions(&self, points: &PointsOf<'_>, scores: &[f32]) -> Vec<f32> {
        let width = self.width();
        let mut all = vec![0.0; points.len() * width];
        let each = |(at, (contributions, score)): (usize, (&mut [f32], &f32))| {
            let mut scaled = vec![0.0; width];
            self.scaled(points, at, &mut scaled);
            let mut credit = vec![0.0f64; width];
            for tree in &self.trees {
                self.credit(tree, &scaled, &mut credit);
            }
            let total: f64 = credit.iter().sum();
            for (contribution, credit) in contributions.iter_mut().zip(credit) {
                *contribution = (credit / total * f64::from(*score)) as f32;
            }
        };
        if points.len() < 16 {
            all.chunks_exact_mut(width).zip(scores).enumerate().for_each(each);
        } else {
            all.par_chunks_exact_mut(width).zip(scores).enumerate().for_each(each);
        }
        all
    }

    /// Adds the bits that one tree's cuts give; their sum is log2(n + 1).
    fn credit(&self, tree: &Laid, row: &[f32], credit: &mut [f64]) {
        let bits = |mass: u32| f64::from(mass + 1).log2();
        let (mut number, mut reach) = (0, 1.0);
        loop {
            let step = &tree.steps[number];
            if step.dimension == LEAF {
                let leaf = self.leaf_row(step);
                let away = |at: usize| (f64::from(row[at]) - f64::from(leaf[at])).abs();
                return share_out(away, reach * bits(step.mass), credit);
            }
            let (low, high) = self.corners(tree, step);
            let outside = |at: usize| {
                let (value, low, high) =
                    (f64::from(row[at]), f64::from(low[at]), f64::from(high[at]));
                (low - value).max(value - high).max(0.0)
            };
            let total: f64 = (0..row.len()).map(outside).sum();
            if total > 0.0 {
                let cut_off = total / (f64::from(step.sides) + total);
                share_out(outside, reach * cut_off * bits(step.mass), credit);
                reach *= 1.0 - cut_off;
            }
            let child = match row[step.dimension as usize] <= step.cut {
                true => number + 1,
                false => step.right as usize,
            };
            let given = bits(step.mass) - bits(tree.steps[child].mass);
            credit[step.dimension as usize] += reach * given;
            number = child;
        }
    }
}

/// Adds `bits` to the dimensions in proportion to `weight`, evenly when all weights are 0.
fn share_out(weight: impl Fn(usize) -> f64, bits: f64, credit: &mut [f64]) {
    let total: f64 = (0..credit.len()).map(&weight).sum();
    let even = 1.0 / credit.len() as f64;
    for (at, credit) in credit.iter_mut().enumerate() {
        *credit += bits * if total > 0.0 { weight(at) / total } else { even };
    }
}
