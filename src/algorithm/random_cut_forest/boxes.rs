//! How far the rows of a block lie outside of the boxes they meet, from the bottom of a tree to its
//! top: the arithmetic of the score (see [`super::score`]).
//!
//! The sum of the sides of a box widened to hold a row is Σ max(high, value) - min(low, value): four
//! instructions for a number, of which many rows share the loading of the corners.

use pulp::{Simd, WithSimd};

use super::score::{Laid, NARROW_MAX, Scorer, Step};
use super::walk::Scratch;
use crate::algorithm::net::simd;

/// Registers of rows abreast in a narrow box.
const ABREAST: usize = 4;
/// Numbers abreast of a wide point.
const LANES: usize = 16;

/// Brings the depths of a parted block from the leaves to the root.
pub(super) fn meet(tree: &Laid, scorer: &Scorer, scratch: &mut Scratch) {
    simd::run(Meeting { tree, scorer, scratch });
}

/// The sum of the sides of a box that holds the box `low`, `high` and `row`. That of the box itself
/// is with any row in it the same, bit for bit.
pub(super) fn widened(low: &[f32], high: &[f32], row: &[f32]) -> f32 {
    if low.len() > NARROW_MAX {
        return simd::run(|| wide(low, high, row));
    }
    let corners = low.iter().zip(high).zip(row);
    corners.fold(0.0, |sum, ((low, high), value)| sum + side(*low, *high, *value))
}

struct Meeting<'a> {
    tree: &'a Laid,
    scorer: &'a Scorer,
    scratch: &'a mut Scratch,
}

impl WithSimd for Meeting<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Meeting { tree, scorer, scratch } = self;
        let width = scorer.width();
        for (number, from, to) in scratch.met.iter().rev() {
            let step = &tree.steps[*number as usize];
            let (low, high) = scorer.corners(tree, step);
            let (from, to) = (*from as usize, *to as usize);
            let depths = &mut scratch.depths[from..to];
            if width <= NARROW_MAX {
                let columns = Columns { values: &scratch.parted, stride: scratch.stride, from };
                narrow(simd, step, (low, high), columns, depths);
            } else {
                for (id, depth) in scratch.ids[from..to].iter().zip(depths) {
                    let start = usize::from(*id) * width;
                    let all = wide(low, high, &scratch.rows[start..start + width]);
                    *depth = 1.0 + step.sides / all * *depth;
                }
            }
        }
    }
}

/// Rows number by number.
#[derive(Clone, Copy)]
struct Columns<'a> {
    values: &'a [f32],
    stride: usize,
    from: usize,
}

/// The rows of one box, [`ABREAST`] registers of them at a time, then one, then what is left.
#[inline(always)]
fn narrow<S: Simd>(
    simd: S,
    step: &Step,
    corners: (&[f32], &[f32]),
    mut columns: Columns<'_>,
    depths: &mut [f32],
) {
    let (registers, rest) = S::as_mut_simd_f32s(depths);
    let (many, few) = registers.as_chunks_mut::<ABREAST>();
    for depths in many {
        abreast(simd, step, corners, columns, depths);
        columns.from += ABREAST * S::F32_LANES;
    }
    for depths in few.as_chunks_mut::<1>().0 {
        abreast(simd, step, corners, columns, depths);
        columns.from += S::F32_LANES;
    }
    if !rest.is_empty() {
        let mut depths = [simd.partial_load_f32s(rest)];
        abreast(simd, step, corners, columns, &mut depths);
        simd.partial_store_f32s(rest, depths[0]);
    }
}

#[inline(always)]
fn abreast<S: Simd, const N: usize>(
    simd: S,
    step: &Step,
    (low, high): (&[f32], &[f32]),
    columns: Columns<'_>,
    depths: &mut [S::f32s; N],
) {
    let mut sums = [simd.splat_f32s(0.0); N];
    let columns_of_rows = columns.values.chunks_exact(columns.stride);
    for ((low, high), column) in low.iter().zip(high).zip(columns_of_rows) {
        let (low, high) = (simd.splat_f32s(*low), simd.splat_f32s(*high));
        let values = &column[columns.from..columns.from + N * S::F32_LANES];
        let values = S::as_simd_f32s(values).0.first_chunk::<N>();
        let values = values.expect("a column leaves room behind its last row");
        for at in 0..N {
            let above = simd.max_f32s(values[at], high);
            let below = simd.min_f32s(values[at], low);
            sums[at] = simd.add_f32s(sums[at], simd.sub_f32s(above, below));
        }
    }
    let (one, sides) = (simd.splat_f32s(1.0), simd.splat_f32s(step.sides));
    for at in 0..N {
        let stay = simd.div_f32s(sides, sums[at]);
        depths[at] = simd.add_f32s(one, simd.mul_f32s(stay, depths[at]));
    }
}

/// As [`widened`], for a wide point.
#[inline(always)]
fn wide(low: &[f32], high: &[f32], row: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (lows, low_rest) = low.as_chunks::<LANES>();
    let (highs, high_rest) = high.as_chunks::<LANES>();
    let (rows, row_rest) = row.as_chunks::<LANES>();
    for ((low, high), row) in lows.iter().zip(highs).zip(rows) {
        for lane in 0..LANES {
            sums[lane] += side(low[lane], high[lane], row[lane]);
        }
    }
    let mut sum = 0.0;
    for ((low, high), row) in low_rest.iter().zip(high_rest).zip(row_rest) {
        sum += side(*low, *high, *row);
    }
    sums.iter().fold(sum, |sum, part| sum + part)
}

/// One side of a widened box. Without the rules of `f32::max` for NaN, which none of these is, it
/// is three instructions.
#[inline(always)]
fn side(low: f32, high: f32, value: f32) -> f32 {
    let above = if value > high { value } else { high };
    let below = if value < low { value } else { low };
    above - below
}
