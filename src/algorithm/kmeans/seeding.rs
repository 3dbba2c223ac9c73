//! The first centres: rows drawn at random, or by k-means++ (Arthur and Vassilvitskii, SODA 2007)
//! in its greedy form: of a few rows drawn by their squared distance, the one that leaves the
//! least is taken, as scikit-learn does.
//!
//! Sums run over fixed blocks of rows, so the draws do not depend on the number of threads.

use rayon::prelude::*;

use super::nearest::{Centres, LANES, Panels};
use crate::algorithm::net::random::Stream;

/// How the first centres are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Init {
    /// Rows drawn by their weight.
    Random,
    /// k-means++
    PlusPlus,
}

/// Panels summed as one block.
const BLOCK_PANELS: usize = 64;
const BLOCK_ROWS: usize = BLOCK_PANELS * LANES;
/// Distances below this share of the squared lengths are rounding.
const NOISE: f32 = 4.0 * f32::EPSILON;

/// The rows that become the first `count` centres (centres × width numbers). Rows of weight 0 are
/// never taken; a row is taken twice only when there are not enough different ones.
pub(super) fn first_centres(
    init: Init,
    rows: &Panels,
    weights: Option<&[f32]>,
    count: usize,
    stream: &mut Stream,
) -> Vec<f32> {
    match init {
        Init::Random => random(rows, weights, count, stream),
        Init::PlusPlus => plus_plus(rows, weights, count, stream),
    }
}

fn random(rows: &Panels, weights: Option<&[f32]>, count: usize, stream: &mut Stream) -> Vec<f32> {
    let weight = |row: usize| weights.map_or(1.0, |all| f64::from(all[row]));
    let some = (0..rows.rows).filter(|row| weight(*row) > 0.0).count();
    let mut taken = std::collections::BTreeSet::new();
    let sums = Sums::of(rows.rows, weight);
    while taken.len() < count.min(some) {
        taken.insert(sums.draw(stream, weight));
    }
    // The order of the rows, not of the draws: it does not matter, and a set is simplest.
    let mut chosen: Vec<usize> = taken.into_iter().collect();
    chosen.extend(std::iter::repeat_n(chosen[0], count - chosen.len()));
    chosen.into_iter().flat_map(|row| rows.row(row)).collect()
}

fn plus_plus(
    rows: &Panels,
    weights: Option<&[f32]>,
    count: usize,
    stream: &mut Stream,
) -> Vec<f32> {
    let weight = |row: usize| weights.map_or(1.0, |all| f64::from(all[row]));
    let squares = rows.squares();
    let trials = 2 + (count as f64).ln() as usize;
    let mut nearest = vec![f32::INFINITY; squares.len()];
    let mut offers = vec![0.0; squares.len() * trials];
    let first = Sums::of(rows.rows, weight).draw(stream, weight);
    let mut centres: Vec<f32> = rows.row(first).collect();
    let candidate = Centres::new(rows.width, centres.clone());
    offer(rows, &squares, weights, &candidate, &nearest, &mut offers);
    take(&offers, 1, 0, &mut nearest);
    for _ in 1..count {
        let potential = |row: usize| weight(row) * f64::from(nearest[row]);
        let sums = Sums::of(rows.rows, potential);
        let candidates: Vec<usize> = (0..trials)
            .map(|_| match sums.total > 0.0 {
                true => sums.draw(stream, potential),
                false => stream.below(rows.rows as u64) as usize,
            })
            .collect();
        let values = candidates.iter().flat_map(|row| rows.row(*row)).collect();
        let candidate = Centres::new(rows.width, values);
        let left = offer(rows, &squares, weights, &candidate, &nearest, &mut offers);
        let best = (0..trials).min_by(|a, b| left[*a].total_cmp(&left[*b])).unwrap_or(0);
        take(&offers, trials, best, &mut nearest);
        centres.extend_from_slice(candidate.centre(best));
    }
    centres
}

/// What each candidate would leave of every row's squared distance, into `offers`
/// (panels × candidates × LANES), and in sum.
fn offer(
    rows: &Panels,
    squares: &[f32],
    weights: Option<&[f32]>,
    candidates: &Centres,
    nearest: &[f32],
    offers: &mut [f32],
) -> Vec<f64> {
    let trials = candidates.count;
    let lengths: Vec<f32> = (0..trials)
        .map(|at| candidates.centre(at).iter().map(|value| value * value).sum())
        .collect();
    let panels = rows.values.par_chunks(rows.stride() * BLOCK_PANELS);
    let sides = squares.par_chunks(BLOCK_ROWS).zip(nearest.par_chunks(BLOCK_ROWS));
    let outs = offers.par_chunks_mut(BLOCK_ROWS * trials);
    let left: Vec<Vec<f64>> = panels
        .zip(sides)
        .zip(outs)
        .enumerate()
        .map(|(block, ((panels, (squares, nearest)), out))| {
            let lanes = squares.len() * trials;
            candidates.scores(panels, &mut out[..lanes]);
            let mut left = vec![0.0; trials];
            let sides = squares.as_chunks::<LANES>().0.iter().zip(nearest.as_chunks::<LANES>().0);
            for (panel, (out, (squares, nearest))) in
                out.chunks_exact_mut(LANES * trials).zip(sides).enumerate()
            {
                let row = block * BLOCK_ROWS + panel * LANES;
                let here = LANES.min(rows.rows - row);
                for (at, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                    for lane in 0..LANES {
                        let distance = squares[lane] - 2.0 * out[lane];
                        let noise = NOISE * (squares[lane] + lengths[at]);
                        let distance = if distance > noise { distance } else { 0.0 };
                        out[lane] = distance.min(nearest[lane]);
                    }
                    left[at] += match weights {
                        None => out[..here].iter().map(|left| f64::from(*left)).sum::<f64>(),
                        Some(weights) => out[..here]
                            .iter()
                            .zip(&weights[row..])
                            .map(|(left, weight)| f64::from(*left) * f64::from(*weight))
                            .sum(),
                    };
                }
            }
            left
        })
        .collect();
    let mut total = vec![0.0; trials];
    for block in &left {
        total.iter_mut().zip(block).for_each(|(total, left)| *total += left);
    }
    total
}

/// Makes one candidate's offer the distances from now on.
fn take(offers: &[f32], trials: usize, chosen: usize, nearest: &mut [f32]) {
    nearest
        .par_chunks_exact_mut(LANES)
        .zip(offers.par_chunks_exact(LANES * trials))
        .with_min_len(256)
        .for_each(|(nearest, offers)| {
            nearest.copy_from_slice(&offers[chosen * LANES..][..LANES]);
        });
}

/// Sums of a share of each row, block by block, to draw rows by it.
struct Sums {
    rows: usize,
    blocks: Vec<f64>,
    total: f64,
}

impl Sums {
    fn of(rows: usize, share: impl Fn(usize) -> f64 + Sync) -> Sums {
        let blocks: Vec<f64> = (0..rows.div_ceil(BLOCK_ROWS))
            .into_par_iter()
            .map(|block| {
                let start = block * BLOCK_ROWS;
                (start..rows.min(start + BLOCK_ROWS)).map(&share).sum()
            })
            .collect();
        let total = blocks.iter().sum();
        Sums { rows, blocks, total }
    }

    /// A row, with the probability of its share.
    fn draw(&self, stream: &mut Stream, share: impl Fn(usize) -> f64) -> usize {
        let mut left = (f64::from(stream.bits()) * 2f64.powi(32) + f64::from(stream.bits()))
            * 2f64.powi(-64)
            * self.total;
        let mut last = 0;
        for (block, sum) in self.blocks.iter().enumerate() {
            if left >= *sum {
                left -= sum;
                continue;
            }
            let start = block * BLOCK_ROWS;
            for row in start..self.rows.min(start + BLOCK_ROWS) {
                let here = share(row);
                if here > 0.0 {
                    last = row;
                    if left < here {
                        return row;
                    }
                }
                left -= here;
            }
        }
        // Rounding went past the end: the last row that has a share, from the end backwards.
        let from_end = (0..self.rows).rev().find(|row| share(*row) > 0.0);
        from_end.unwrap_or(last)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::algorithm::net::random::Purpose;
    use crate::algorithm::standardise::Standardiser;

    fn stream(seed: u64) -> Stream {
        Stream::new(seed, Purpose::Centres, 0)
    }

    fn groups() -> Panels {
        let rows = Array2::from_shape_fn((400, 2), |(row, column)| {
            let group = [(-9.0, 0.0), (9.0, 1.0), (0.0, 9.0), (0.0, -9.0)][row % 4];
            let near = ((row * 7 + column * 3) as f32).sin() * 0.1;
            near + if column == 0 { group.0 } else { group.1 }
        });
        Panels::new(rows.view(), &Standardiser::identity(2))
    }

    #[test]
    fn plus_plus_takes_one_centre_of_each_far_group() {
        let rows = groups();
        for seed in 0..20 {
            let centres = first_centres(Init::PlusPlus, &rows, None, 4, &mut stream(seed));
            let mut places: Vec<(i32, i32)> = centres
                .chunks_exact(2)
                .map(|c| ((c[0] / 9.0).round() as i32, (c[1] / 9.0).round() as i32))
                .collect();
            places.sort_unstable();
            assert_eq!(places, [(-1, 0), (0, -1), (0, 1), (1, 0)], "seed {seed}");
        }
    }

    #[test]
    fn rows_without_weight_are_never_taken() {
        let rows = groups();
        let weights: Vec<f32> = (0..400).map(|row| f32::from(u8::from(row % 4 == 1))).collect();
        for init in [Init::Random, Init::PlusPlus] {
            let centres = first_centres(init, &rows, Some(&weights), 3, &mut stream(1));
            assert!(centres.chunks_exact(2).all(|centre| centre[0] > 8.0), "{init:?} {centres:?}");
        }
    }

    #[test]
    fn fewer_different_rows_than_centres_is_no_endless_search() {
        let rows = Panels::new(Array2::zeros((5, 2)).view(), &Standardiser::identity(2));
        let weights = [0.0, 1.0, 0.0, 1.0, 0.0];
        for init in [Init::Random, Init::PlusPlus] {
            for weights in [None, Some(&weights[..])] {
                let centres = first_centres(init, &rows, weights, 4, &mut stream(2));
                assert_eq!(centres, [0.0; 8]);
            }
        }
    }
}
