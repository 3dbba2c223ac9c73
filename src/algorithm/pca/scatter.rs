//! Sums over the rows that the components follow from: the scatter matrix `Σ x xᵀ` of centred
//! rows, and its product with a few directions. Both are taken in f64, over parts of the rows that
//! depend on the data alone, so neither does the result depend on the number of threads.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, Slice, linalg::general_mat_mul};
use rayon::prelude::*;

use crate::algorithm::net::simd;
use crate::algorithm::standardise::Standardiser;
use crate::algorithm::{Error, Features};

/// Rows that are centred together: with 100 columns they fit into a core's second-level cache.
const BLOCK_ROWS: usize = 256;
/// Columns of the scatter matrix that one task adds to.
const PANEL: usize = 96;
/// Numbers that the sums of all parts may take together.
const PART_NUMBERS_MAX: usize = 1 << 23;

/// The rows and how they are read.
pub(super) struct Rows<'a> {
    pub(super) features: Features<'a>,
    pub(super) weights: Option<&'a [f32]>,
    pub(super) standardiser: &'a Standardiser,
    pub(super) stop: &'a (dyn Fn() -> bool + Sync),
}

impl Rows<'_> {
    /// `Σ w x xᵀ`, columns × columns.
    ///
    /// # Errors
    /// `Error::Stopped` when that was asked for; `Error::Scratch`.
    pub(super) fn scatter(&self) -> Result<Array2<f64>, Error> {
        let width = self.features.width();
        let mut sum = self.sum(width, width, |block, sum| {
            add_scatter(&block, sum);
        })?;
        for row in 0..width {
            for column in 0..row {
                sum[[row, column]] = sum[[column, row]];
            }
        }
        Ok(sum)
    }

    /// `Σ w x xᵀ V` for directions V, columns × directions.
    ///
    /// # Errors
    /// `Error::Stopped` when that was asked for; `Error::Scratch`.
    pub(super) fn scatter_times(&self, directions: &Array2<f64>) -> Result<Array2<f64>, Error> {
        let (width, count) = directions.dim();
        self.sum(width, count, |block, mut sum| {
            let along = block.dot(directions);
            general_mat_mul(1.0, &block.t(), &along, 1.0, &mut sum);
        })
    }

    /// `Σ w |x|²`
    ///
    /// # Errors
    /// `Error::Stopped` when that was asked for; `Error::Scratch`.
    pub(super) fn squares(&self) -> Result<f64, Error> {
        let sum = self.sum(1, 1, |block, mut sum| {
            let block = block.as_slice().unwrap_or(&[]);
            sum[[0, 0]] += simd::run(|| {
                let (chunks, rest) = block.as_chunks::<8>();
                let mut sums = [0.0; 8];
                for chunk in chunks {
                    for lane in 0..8 {
                        sums[lane] += chunk[lane] * chunk[lane];
                    }
                }
                sums.iter().sum::<f64>() + rest.iter().map(|x| x * x).sum::<f64>()
            });
        })?;
        Ok(sum[[0, 0]])
    }

    /// Adds something of every block of centred rows, each times the root of its weight.
    fn sum(
        &self,
        height: usize,
        width: usize,
        add: impl Fn(ArrayView2<'_, f64>, ArrayViewMut2<'_, f64>) + Sync,
    ) -> Result<Array2<f64>, Error> {
        let mut total = Array2::zeros((height, width));
        self.features.each_block(|first, block| {
            let rows = block.nrows();
            let parts = (PART_NUMBERS_MAX / (height * width).max(1)).clamp(1, 64);
            let part_rows = rows.div_ceil(BLOCK_ROWS).div_ceil(parts).max(1) * BLOCK_ROWS;
            let sums: Vec<Array2<f64>> = (0..rows.div_ceil(part_rows))
                .into_par_iter()
                .map(|part| {
                    let end = rows.min((part + 1) * part_rows);
                    let mut sum = Array2::zeros((height, width));
                    let mut buffer = Vec::new();
                    for from in (part * part_rows..end).step_by(BLOCK_ROWS) {
                        if (self.stop)() {
                            break;
                        }
                        let some = Slice::from(from..end.min(from + BLOCK_ROWS));
                        let some = block.slice_axis(Axis(0), some);
                        add(self.centred(first + from, &some, &mut buffer), sum.view_mut());
                    }
                    sum
                })
                .collect();
            if (self.stop)() {
                return Err(Error::Stopped);
            }
            for sum in &sums {
                total += sum;
            }
            Ok(())
        })?;
        Ok(total)
    }

    /// Some rows, the first of which has the number `first`.
    fn centred<'b>(
        &self,
        first: usize,
        rows: &ArrayView2<'_, f32>,
        buffer: &'b mut Vec<f64>,
    ) -> ArrayView2<'b, f64> {
        let (count, width) = rows.dim();
        buffer.resize(count * width, 0.0);
        let (mean, scale) = (self.standardiser.mean(), self.standardiser.scale());
        let outs = buffer.chunks_exact_mut(width);
        for ((out, row), at) in outs.zip(rows.rows()).zip(first..) {
            let root = self.weights.map_or(1.0, |all| f64::from(all[at]).sqrt());
            let columns = mean.iter().zip(scale);
            match row.as_slice() {
                Some(row) => simd::run(|| {
                    for ((out, value), (mean, scale)) in out.iter_mut().zip(row).zip(columns) {
                        *out = root * f64::from(Standardiser::value(*value, *mean, *scale));
                    }
                }),
                None => {
                    for ((out, value), (mean, scale)) in out.iter_mut().zip(row).zip(columns) {
                        *out = root * f64::from(Standardiser::value(*value, *mean, *scale));
                    }
                }
            }
        }
        ArrayView2::from_shape((count, width), buffer).expect("the buffer was sized for it")
    }
}

/// Adds the products of the columns of a block, down to the diagonal.
pub(super) fn add_scatter(block: &ArrayView2<'_, f64>, mut sum: ArrayViewMut2<'_, f64>) {
    sum.axis_chunks_iter_mut(Axis(1), PANEL).into_par_iter().enumerate().for_each(
        |(panel, mut sum)| {
            let (first, count) = (panel * PANEL, sum.ncols());
            // Only down to the diagonal: the rest is the same.
            let upper = columns(block, 0..first + count);
            let panel = columns(block, first..first + count);
            let mut sum = sum.slice_axis_mut(Axis(0), Slice::from(..first + count));
            general_mat_mul(1.0, &upper.t(), &panel, 1.0, &mut sum);
        },
    );
}

fn columns<'a>(
    block: &'a ArrayView2<'_, f64>,
    range: std::ops::Range<usize>,
) -> ArrayView2<'a, f64> {
    block.slice_axis(Axis(1), Slice::from(range))
}
