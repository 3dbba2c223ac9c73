//! Rows against centres: the matrix product under everything k-means does.
//!
//! Rows stand in panels of [`LANES`], column after column, so that one register holds the same
//! feature of many rows: the products of a row with all centres and the choice of the nearest
//! then need no sum across a register. The nearest centre is the one with the largest
//! `x·c − |c|²/2`, which orders centres as the squared distance does. Rows are centred first
//! ([`Standardiser`]), or a mean far from 0 would eat the digits of that difference.

use ndarray::{ArrayView2, Axis};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::algorithm::net::simd;
use crate::algorithm::standardise::Standardiser;
use crate::algorithm::{Error, Features};

/// Rows of a panel; two AVX2 registers.
pub(super) const LANES: usize = 16;
/// Centres multiplied together: 12 sums in registers, two features and a coordinate beside them.
pub(super) const TILE: usize = 6;

/// Rows in panels.
#[derive(Debug, Clone)]
pub(super) struct Panels {
    pub(super) width: usize,
    pub(super) rows: usize,
    /// panels × width × LANES; rows past the last one are zeros.
    pub(super) values: Vec<f32>,
}

impl Panels {
    /// All `rows`, standardised, on all threads of the current pool.
    #[expect(clippy::needless_pass_by_value, reason = "a view is a reference")]
    pub(super) fn new(rows: ArrayView2<'_, f32>, standardiser: &Standardiser) -> Panels {
        let (count, width) = rows.dim();
        let mut values = vec![0.0; count.div_ceil(LANES) * width * LANES];
        let blocks = rows.axis_chunks_iter(Axis(0), LANES).into_par_iter();
        values.par_chunks_exact_mut(width * LANES).zip(blocks).with_min_len(64).for_each(
            |(panel, rows)| {
                for (lane, row) in rows.rows().into_iter().enumerate() {
                    put(standardiser, row, panel, lane);
                }
            },
        );
        Panels { width, rows: count, values }
    }

    /// The rows with these numbers, standardised, on all threads of the current pool.
    ///
    /// # Errors
    /// `Error::Scratch` when rows on disk cannot be read.
    pub(super) fn gather(
        features: Features<'_>,
        numbers: &[u32],
        standardiser: &Standardiser,
    ) -> Result<Panels, Error> {
        features.ready(numbers)?;
        let width = features.width();
        let mut values = vec![0.0; numbers.len().div_ceil(LANES) * width * LANES];
        values
            .par_chunks_exact_mut(width * LANES)
            .zip(numbers.par_chunks(LANES))
            .with_min_len(64)
            .for_each(|(panel, numbers)| match features {
                Features::Whole(rows) => {
                    for (lane, number) in numbers.iter().enumerate() {
                        put(standardiser, rows.row(*number as usize), panel, lane);
                    }
                }
                Features::Paged(pages) => pages.gather(numbers, |lane, row| {
                    put(standardiser, row.into(), panel, lane);
                }),
            });
        Ok(Panels { width, rows: numbers.len(), values })
    }

    /// Floats of one panel.
    pub(super) fn stride(&self) -> usize {
        self.width * LANES
    }

    /// One row, feature after feature.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = f32> + '_ {
        let panel = &self.values[row / LANES * self.stride()..][..self.stride()];
        panel[row % LANES..].iter().step_by(LANES).copied()
    }

    /// The squared length of each row, the rows that fill the last panel included.
    pub(super) fn squares(&self) -> Vec<f32> {
        let mut squares = vec![0.0; self.values.len() / self.width.max(1)];
        squares
            .par_chunks_exact_mut(LANES)
            .zip(self.values.par_chunks_exact(self.stride()))
            .with_min_len(64)
            .for_each(|(squares, panel)| {
                simd::run(|| {
                    for values in panel.as_chunks::<LANES>().0 {
                        for (square, value) in squares.iter_mut().zip(values) {
                            *square += value * value;
                        }
                    }
                });
            });
        squares
    }
}

/// Puts one row into a lane of a panel.
#[expect(clippy::needless_pass_by_value, reason = "a view is a reference")]
pub(super) fn put(
    standardiser: &Standardiser,
    row: ndarray::ArrayView1<'_, f32>,
    panel: &mut [f32],
    lane: usize,
) {
    let columns = standardiser.mean().iter().zip(standardiser.scale());
    let (panel, _) = panel.as_chunks_mut::<LANES>();
    // The same twice: a slice is read faster than a row with strides.
    if let Some(row) = row.as_slice() {
        for ((out, value), (mean, scale)) in panel.iter_mut().zip(row).zip(columns) {
            out[lane] = Standardiser::value(*value, *mean, *scale);
        }
        return;
    }
    for ((out, value), (mean, scale)) in panel.iter_mut().zip(row).zip(columns) {
        out[lane] = Standardiser::value(*value, *mean, *scale);
    }
}

/// Centres, packed for the product.
#[derive(Debug, Clone)]
pub(super) struct Centres {
    pub(super) count: usize,
    pub(super) width: usize,
    /// centres × width, in the space of the standardised rows.
    pub(super) values: Vec<f32>,
    /// tiles × width × TILE.
    packed: Vec<f32>,
    /// tiles × TILE: `−|c|²/2`, and −∞ past the last centre.
    start: Vec<f32>,
}

impl Centres {
    /// From centres × width numbers.
    pub(super) fn new(width: usize, values: Vec<f32>) -> Centres {
        let count = values.len() / width;
        let tiles = count.div_ceil(TILE);
        let mut packed = vec![0.0; tiles * width * TILE];
        let mut start = vec![f32::NEG_INFINITY; tiles * TILE];
        for (at, centre) in values.chunks_exact(width).enumerate() {
            let tile = &mut packed[at / TILE * width * TILE..][..width * TILE];
            for (slot, value) in tile.iter_mut().skip(at % TILE).step_by(TILE).zip(centre) {
                *slot = *value;
            }
            let square: f64 = centre.iter().map(|value| f64::from(*value).powi(2)).sum();
            start[at] = (-0.5 * square) as f32;
        }
        Centres { count, width, values, packed, start }
    }

    /// One centre.
    pub(super) fn centre(&self, at: usize) -> &[f32] {
        &self.values[at * self.width..][..self.width]
    }

    /// Finds the nearest centre of every lane of whole `panels`: its number, and its
    /// `x·c − |c|²/2`. The first of equals wins.
    pub(super) fn nearest(&self, panels: &[f32], codes: &mut [u32], scores: &mut [f32]) {
        simd::run(Nearest { centres: self, panels, codes, scores });
    }

    /// `x·c − |c|²/2` of every lane of whole `panels` with every centre, panels × centres × LANES.
    /// Meant for a few centres.
    pub(super) fn scores(&self, panels: &[f32], out: &mut [f32]) {
        simd::run(Scores { centres: self, panels, out });
    }

    /// The squared distance between a lane of a panel and a centre, exact to the rounding of the
    /// sum.
    pub(super) fn squared_distance(&self, panel: &[f32], lane: usize, centre: usize) -> f32 {
        let (panel, _) = panel.as_chunks::<LANES>();
        panel.iter().zip(self.centre(centre)).map(|(x, c)| (x[lane] - c) * (x[lane] - c)).sum()
    }

    fn tiles(&self) -> impl Iterator<Item = (&[[f32; TILE]], &[f32; TILE])> {
        let tiles = self.packed.chunks_exact((self.width * TILE).max(1));
        tiles.map(|tile| tile.as_chunks().0).zip(self.start.as_chunks().0)
    }
}

struct Nearest<'a> {
    centres: &'a Centres,
    panels: &'a [f32],
    codes: &'a mut [u32],
    scores: &'a mut [f32],
}

impl WithSimd for Nearest<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // The number of registers per panel must be known when compiling.
        match S::F32_LANES {
            16 => self.all::<S, 1>(simd),
            8 => self.all::<S, 2>(simd),
            4 => self.all::<S, 4>(simd),
            2 => self.all::<S, 8>(simd),
            _ => self.all::<S, 16>(simd),
        }
    }
}

impl Nearest<'_> {
    #[inline(always)]
    fn all<S: Simd, const N: usize>(self, simd: S) {
        let Nearest { centres, panels, codes, scores } = self;
        let panels = panels.chunks_exact(centres.width * LANES);
        let outs = codes.as_chunks_mut::<LANES>().0.iter_mut();
        let outs = outs.zip(scores.as_chunks_mut::<LANES>().0);
        for (panel, (codes, scores)) in panels.zip(outs) {
            let mut best = [simd.splat_f32s(f32::NEG_INFINITY); N];
            let mut code = [simd.splat_u32s(0); N];
            let mut number = 0;
            for (tile, start) in centres.tiles() {
                let sums = products::<S, N>(simd, panel, tile, start);
                for sum in sums {
                    let this = simd.splat_u32s(number);
                    number += 1;
                    for at in 0..N {
                        let nearer = simd.greater_than_f32s(sum[at], best[at]);
                        best[at] = simd.select_f32s(nearer, sum[at], best[at]);
                        code[at] = simd.select_u32s(nearer, this, code[at]);
                    }
                }
            }
            S::as_mut_simd_f32s(scores).0.copy_from_slice(&best);
            S::as_mut_simd_u32s(codes).0.copy_from_slice(&code);
        }
    }
}

struct Scores<'a> {
    centres: &'a Centres,
    panels: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Scores<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.all::<S, 1>(simd),
            8 => self.all::<S, 2>(simd),
            4 => self.all::<S, 4>(simd),
            2 => self.all::<S, 8>(simd),
            _ => self.all::<S, 16>(simd),
        }
    }
}

impl Scores<'_> {
    #[inline(always)]
    fn all<S: Simd, const N: usize>(self, simd: S) {
        let Scores { centres, panels, out } = self;
        let panels = panels.chunks_exact(centres.width * LANES);
        for (panel, out) in panels.zip(out.chunks_exact_mut(centres.count * LANES)) {
            let (out, _) = out.as_chunks_mut::<LANES>();
            for ((tile, start), out) in centres.tiles().zip(out.chunks_mut(TILE)) {
                let sums = products::<S, N>(simd, panel, tile, start);
                for (out, sum) in out.iter_mut().zip(&sums) {
                    S::as_mut_simd_f32s(out).0.copy_from_slice(sum);
                }
            }
        }
    }
}

/// A panel times a tile of centres.
#[inline(always)]
fn products<S: Simd, const N: usize>(
    simd: S,
    panel: &[f32],
    tile: &[[f32; TILE]],
    start: &[f32; TILE],
) -> [[S::f32s; N]; TILE] {
    let mut sums = [[simd.splat_f32s(0.0); N]; TILE];
    for at in 0..TILE {
        sums[at] = [simd.splat_f32s(start[at]); N];
    }
    let (features, _) = S::as_simd_f32s(panel);
    let (features, _) = features.as_chunks::<N>();
    for (feature, coordinates) in features.iter().zip(tile) {
        for at in 0..TILE {
            let coordinate = simd.splat_f32s(coordinates[at]);
            for lane in 0..N {
                sums[at][lane] = simd.mul_add_e_f32s(coordinate, feature[lane], sums[at][lane]);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn the_nearest_centre_is_found_for_every_row_and_number_of_centres() {
        let value =
            |(row, column): (usize, usize)| ((row * 37 + column * 101) as f32 * 0.617).sin();
        let rows = Array2::from_shape_fn((37, 5), value);
        let panels = Panels::new(rows.view(), &Standardiser::identity(5));
        for count in [1, 2, 5, 6, 7, 13] {
            let all = Array2::from_shape_fn((count, 5), |(row, column)| value((row + 50, column)));
            let centres = Centres::new(5, all.iter().copied().collect());
            let (mut codes, mut scores) = (vec![0; 48], vec![0.0; 48]);
            centres.nearest(&panels.values, &mut codes, &mut scores);
            for (row, code) in rows.rows().into_iter().zip(codes) {
                let distance = |centre: &[f32]| -> f32 {
                    row.iter().zip(centre).map(|(x, c)| (x - c) * (x - c)).sum()
                };
                let found = distance(centres.centre(code as usize));
                let least = (0..count).map(|at| distance(centres.centre(at)));
                let least = least.fold(f32::INFINITY, f32::min);
                assert!(found <= least + 1e-5, "{found} {least}");
            }
        }
    }

    #[test]
    fn rows_go_into_panels_and_come_out() {
        let rows = Array2::from_shape_fn((20, 3), |(row, column)| (row * 3 + column) as f32);
        let panels = Panels::new(rows.view(), &Standardiser::identity(3));
        assert_eq!(panels.row(17).collect::<Vec<_>>(), [51.0, 52.0, 53.0]);
        assert_eq!(panels.squares()[17], 51.0 * 51.0 + 52.0 * 52.0 + 53.0 * 53.0);
        assert_eq!(panels.squares().len(), 32);
    }
}
