//! Column means and the scatter matrix of rows without missing values, in one pass.
//!
//! The rows are shifted by the mean of the first of them, which is near enough to their own that
//! what the shift adds can be taken away at the end without losing digits. With few columns the
//! block of rows stays in a core's first-level cache and is multiplied there without being packed.

use ndarray::{Array2, ArrayView2};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::scatter::add_scatter;
use crate::algorithm::net::simd;
use crate::algorithm::{Error, Features};

/// Rows that are shifted together.
const BLOCK_ROWS: usize = 128;
/// Rows whose mean is the shift.
const SHIFT_ROWS: usize = 1024;
/// Columns up to which a block is multiplied where it stands.
const NARROW: usize = 64;
/// Columns of a tile; two AVX2 registers.
const TILE: usize = 8;
/// Numbers that the sums of all parts may take together.
const PART_NUMBERS_MAX: usize = 1 << 23;

/// The weighted means, and `Σ w (x − mean)(x − mean)ᵀ`.
pub(super) type Moments = (Vec<f64>, Array2<f64>);

/// Means and scatter matrix, in one pass over the rows; `None` when a value is missing or infinite,
/// or the rows do not stand one after the other.
///
/// # Errors
/// `Error::Stopped` when that was asked for; `Error::Scratch`.
pub(super) fn moments(
    features: Features<'_>,
    weights: Option<&[f32]>,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Moments>, Error> {
    let stride = features.width().next_multiple_of(TILE);
    // The shift and the sums; `None` before the first row, and after one that does not go in.
    let (mut sums, mut fits) = (None, true);
    features.each_block(|first, block| {
        // Rows on disk are still read to their end where a value is missing: that is rare, and
        // the two passes that follow cost more.
        let Some(values) = block.as_slice().filter(|_| fits) else {
            fits = false;
            return Ok(());
        };
        let weights = weights.map(|all| &all[first..first + block.nrows()]);
        let (shift, total) = sums.get_or_insert_with(|| {
            let head = features.width() * block.nrows().min(SHIFT_ROWS);
            (first_mean(&values[..head], features.width()), Sums::new(stride))
        });
        total.add_all(values, weights, shift, stop)?;
        fits = total.first.iter().all(|sum| sum.is_finite());
        Ok(())
    })?;
    Ok(sums.filter(|_| fits).map(|(shift, total)| total.finish(&shift)))
}

/// The mean of some rows; what is not finite makes it so.
fn first_mean(values: &[f32], width: usize) -> Vec<f64> {
    let mut mean = vec![0.0; width];
    for row in values.chunks_exact(width) {
        mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += f64::from(*value));
    }
    let rows = (values.len() / width) as f64;
    mean.iter_mut().for_each(|mean| *mean /= rows);
    mean
}

/// Sums of shifted rows.
struct Sums {
    weight: f64,
    /// `Σ w (x − shift)`
    first: Vec<f64>,
    /// `Σ w (x − shift)(x − shift)ᵀ`, down to the diagonal; stride × stride.
    scatter: Array2<f64>,
}

impl Sums {
    fn new(stride: usize) -> Sums {
        Sums { weight: 0.0, first: vec![0.0; stride], scatter: Array2::zeros((stride, stride)) }
    }

    /// Adds rows that stand one after the other, on all threads of the current pool, in parts that
    /// depend on their number alone.
    fn add_all(
        &mut self,
        values: &[f32],
        weights: Option<&[f32]>,
        shift: &[f64],
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), Error> {
        let (width, stride) = (shift.len(), self.first.len());
        let rows = values.len() / width;
        let parts = (PART_NUMBERS_MAX / (stride * stride)).clamp(1, 64);
        let part_rows = rows.div_ceil(BLOCK_ROWS).div_ceil(parts).max(1) * BLOCK_ROWS;
        let parts: Vec<Sums> = values
            .par_chunks(part_rows * width)
            .enumerate()
            .map(|(part, values)| {
                let mut sums = Sums::new(stride);
                let mut block = Vec::new();
                for (at, values) in values.chunks(BLOCK_ROWS * width).enumerate() {
                    if stop() {
                        break;
                    }
                    let first = part * part_rows + at * BLOCK_ROWS;
                    let weights = weights.map(|all| &all[first..first + values.len() / width]);
                    sums.add(values, weights, shift, &mut block);
                }
                sums
            })
            .collect();
        if stop() {
            return Err(Error::Stopped);
        }
        for part in &parts {
            self.weight += part.weight;
            self.first.iter_mut().zip(&part.first).for_each(|(total, sum)| *total += sum);
            self.scatter += &part.scatter;
        }
        Ok(())
    }

    fn add(
        &mut self,
        values: &[f32],
        weights: Option<&[f32]>,
        shift: &[f64],
        block: &mut Vec<f64>,
    ) {
        let (width, stride) = (shift.len(), self.first.len());
        let rows = values.len() / width;
        block.clear();
        block.resize(rows * stride, 0.0);
        for (at, (out, row)) in
            block.chunks_exact_mut(stride).zip(values.chunks_exact(width)).enumerate()
        {
            let weight = weights.map_or(1.0, |all| f64::from(all[at]));
            self.weight += weight;
            let root = weight.sqrt();
            let first = &mut self.first;
            simd::run(|| {
                for (((out, value), shift), first) in
                    out.iter_mut().zip(row).zip(shift).zip(first.iter_mut())
                {
                    *out = root * (f64::from(*value) - shift);
                    *first += root * *out;
                }
            });
        }
        if stride > NARROW {
            let block = ArrayView2::from_shape((rows, stride), block).expect("it was sized so");
            add_scatter(&block, self.scatter.view_mut());
        } else if let Some(sum) = self.scatter.as_slice_mut() {
            simd::run(Narrow { block, stride, sum });
        }
    }

    fn finish(self, shift: &[f64]) -> Moments {
        let width = shift.len();
        let away: Vec<f64> = self.first[..width].iter().map(|sum| sum / self.weight).collect();
        let scatter = Array2::from_shape_fn((width, width), |(row, column)| {
            let (low, high) = (row.min(column), row.max(column));
            self.scatter[[low, high]] - self.weight * away[low] * away[high]
        });
        (shift.iter().zip(&away).map(|(shift, away)| shift + away).collect(), scatter)
    }
}

/// Adds the products of the columns of a block, whole tiles from the diagonal on.
struct Narrow<'a> {
    block: &'a [f64],
    stride: usize,
    sum: &'a mut [f64],
}

impl WithSimd for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // The number of registers per tile must be known when compiling.
        match S::F64_LANES {
            8 => self.all::<S, 1>(simd),
            4 => self.all::<S, 2>(simd),
            2 => self.all::<S, 4>(simd),
            _ => self.all::<S, 8>(simd),
        }
    }
}

impl Narrow<'_> {
    #[inline(always)]
    fn all<S: Simd, const N: usize>(self, simd: S) {
        /// Rows of a tile: 8 sums in registers, two columns and one number beside them.
        const SIDE: usize = 4;
        let Narrow { block, stride, sum } = self;
        for side in 0..stride / SIDE {
            for tile in side * SIDE / TILE..stride / TILE {
                let mut sums = [[simd.splat_f64s(0.0); N]; SIDE];
                for row in block.chunks_exact(stride) {
                    let (columns, _) = S::as_simd_f64s(&row.as_chunks::<TILE>().0[tile]);
                    let numbers = &row.as_chunks::<SIDE>().0[side];
                    for at in 0..SIDE {
                        let number = simd.splat_f64s(numbers[at]);
                        for lane in 0..N {
                            sums[at][lane] =
                                simd.mul_add_e_f64s(number, columns[lane], sums[at][lane]);
                        }
                    }
                }
                for (at, more) in sums.iter().enumerate() {
                    let out = &mut sum[(side * SIDE + at) * stride + tile * TILE..][..TILE];
                    let (out, _) = S::as_mut_simd_f64s(out);
                    for (out, more) in out.iter_mut().zip(more) {
                        *out = simd.add_f64s(*out, *more);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pass_gives_what_two_give() {
        for (rows, width) in [(1, 1), (3, 2), (500, 7), (5_000, 28), (700, 70)] {
            let value = |(row, column): (usize, usize)| {
                ((row * 37 + column * 101) as f32 * 0.617).sin() + 1000.0 * column as f32
            };
            let features = Array2::from_shape_fn((rows, width), value);
            let weights: Vec<f32> = (0..rows).map(|row| (row % 3 + 1) as f32).collect();
            for weights in [None, Some(&weights[..])] {
                let found = moments(Features::Whole(&features), weights, &|| false).unwrap();
                let (mean, scatter) = found.unwrap();
                let weight = |row: usize| weights.map_or(1.0, |all| f64::from(all[row]));
                let total: f64 = (0..rows).map(weight).sum();
                for one in 0..width {
                    let column = |at: usize, row: usize| f64::from(features[[row, at]]);
                    let sum: f64 = (0..rows).map(|row| weight(row) * column(one, row)).sum();
                    assert!((mean[one] - sum / total).abs() < 1e-9 * (1.0 + mean[one].abs()));
                    for two in 0..width {
                        let product = |row: usize| {
                            weight(row)
                                * (column(one, row) - mean[one])
                                * (column(two, row) - mean[two])
                        };
                        let exact: f64 = (0..rows).map(product).sum();
                        assert!(
                            (scatter[[one, two]] - exact).abs() < 1e-8 * total,
                            "{rows} {width}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_missing_or_infinite_is_left_to_others() {
        for odd in [f32::NAN, f32::INFINITY] {
            for row in [0, 4_999] {
                let mut features = Array2::zeros((5_000, 3));
                features[[row, 1]] = odd;
                assert!(moments(Features::Whole(&features), None, &|| false).unwrap().is_none());
            }
        }
    }
}
