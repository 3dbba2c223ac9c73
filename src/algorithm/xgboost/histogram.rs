//! Sums of gradients by bin: the inner loop of training.
//!
//! Gradients are whole numbers here (scaled by a power of two so that the largest takes 30 bits,
//! or fewer where there are more than four million rows), and their sums stay below 2^53: kept in
//! f64, they are exact in any order. So a tree does not depend on threads or blocks, and a
//! sibling's histogram is the parent's less the other child's, without rounding. (f64 and not
//! i64 because two of them are added in one instruction on every x86-64 and Arm.)

use rayon::prelude::*;

use super::bins::{Bins, Cells, Tile};
use super::objective::{BLOCK_ROWS, Gradient};
use crate::algorithm::Error;

/// Sums of first and second derivatives.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sum {
    /// First derivatives.
    pub g: f64,
    /// Second derivatives.
    pub h: f64,
}

impl Sum {
    /// Both.
    pub fn plus(self, other: Sum) -> Sum {
        Sum { g: self.g + other.g, h: self.h + other.h }
    }

    /// This without `other`.
    pub fn minus(self, other: Sum) -> Sum {
        Sum { g: self.g - other.g, h: self.h - other.h }
    }
}

/// Gradients of one tree as whole numbers.
#[derive(Debug, Default)]
pub struct Scaled {
    /// One per row.
    pub pairs: Vec<[i32; 2]>,
    /// What a sum is multiplied by to get back its value.
    pub unit: [f64; 2],
}

impl Scaled {
    /// Scales `gradients`, reusing the memory.
    ///
    /// # Errors
    /// `Error::Diverged` when one is not finite.
    pub fn set(&mut self, gradients: &[Gradient]) -> Result<(), Error> {
        let top = gradients
            .par_chunks(BLOCK_ROWS)
            .map(|block| {
                block.iter().fold([0.0f32; 2], |top, [g, h]| {
                    // A NaN must win, so that it is seen.
                    let larger = |top: f32, x: f32| if x <= top { top } else { x };
                    [larger(top[0], g.abs()), larger(top[1], h.abs())]
                })
            })
            .reduce(
                || [0.0; 2],
                |a, b| {
                    let larger = |a: f32, b: f32| if a.is_nan() || a >= b { a } else { b };
                    [larger(a[0], b[0]), larger(a[1], b[1])]
                },
            );
        if !top.iter().all(|top| top.is_finite()) {
            return Err(Error::Diverged {
                what: "a gradient is not a finite number".into(),
                help: "lower eta, set max_delta_step, or look for extreme labels and weights"
                    .into(),
            });
        }
        // So many bits that the sum over all rows stays below 2^52.
        let bits = 30.min(52 - usize::BITS.saturating_sub(gradients.len().leading_zeros()) as i32);
        let scale = top.map(|top| {
            let above = if top > 0.0 { f64::from(top).log2().floor() as i32 + 1 } else { bits };
            2f64.powi(bits - above)
        });
        self.unit = scale.map(|scale| 1.0 / scale);
        self.pairs.resize(gradients.len(), [0; 2]);
        self.pairs.par_chunks_mut(BLOCK_ROWS).zip(gradients.par_chunks(BLOCK_ROWS)).for_each(
            |(out, block)| {
                for (out, [g, h]) in out.iter_mut().zip(block) {
                    *out = [(f64::from(*g) * scale[0]) as i32, (f64::from(*h) * scale[1]) as i32];
                }
            },
        );
        Ok(())
    }

    /// The value of a sum.
    pub fn value(&self, sum: Sum) -> [f64; 2] {
        [sum.g * self.unit[0], sum.h * self.unit[1]]
    }

    /// The sum over `rows`.
    pub fn total(&self, rows: &[u32]) -> Sum {
        rows.par_chunks(BLOCK_ROWS)
            .map(|block| {
                block.iter().fold(Sum::default(), |sum, row| {
                    let [g, h] = self.pairs[*row as usize];
                    sum.plus(Sum { g: f64::from(g), h: f64::from(h) })
                })
            })
            .reduce(Sum::default, Sum::plus)
    }
}

/// One histogram to be filled.
#[derive(Debug)]
pub struct Order<'a> {
    /// `bins.slots` slots; what they hold is overwritten.
    pub out: &'a mut [Sum],
    /// The node's rows, ascending.
    pub rows: &'a [u32],
}

/// Rows below which sharing them among threads does not pay.
const SHARE_ROWS_MIN: usize = 1 << 14;
/// Rows copied together before they are summed, so that their cache misses overlap.
const GATHER_ROWS: usize = 32;

/// Fills all orders. `wanted` says which tiles are needed.
pub fn fill(bins: &Bins, scaled: &Scaled, wanted: &[bool], orders: Vec<Order<'_>>) {
    orders.into_par_iter().for_each(|order| {
        let threads = rayon::current_num_threads();
        let shares = (order.rows.len() / SHARE_ROWS_MIN).clamp(1, threads);
        // Many tiles share the work by themselves.
        if shares == 1 || bins.tiles.len() >= 4 * threads {
            return fill_tiles(bins, scaled, wanted, order.out, order.rows);
        }
        let (first, rest) = order.rows.split_at(order.rows.len() / shares);
        let part = |rows: &[u32]| {
            let mut out = vec![Sum::default(); bins.slots];
            fill_tiles(bins, scaled, wanted, &mut out, rows);
            out
        };
        let ((), parts) = rayon::join(
            || fill_tiles(bins, scaled, wanted, order.out, first),
            || rest.par_chunks(first.len()).map(part).collect::<Vec<_>>(),
        );
        for part in parts {
            order.out.iter_mut().zip(part).for_each(|(out, sum)| *out = out.plus(sum));
        }
    });
}

fn fill_tiles(bins: &Bins, scaled: &Scaled, wanted: &[bool], out: &mut [Sum], rows: &[u32]) {
    let contiguous = match (rows.first(), rows.last()) {
        (Some(first), Some(last)) => (last - first) as usize + 1 == rows.len(),
        _ => true,
    };
    // Every tile reads the same gradients: they are put in order once.
    let ordered: Vec<[i32; 2]>;
    let pairs = if contiguous {
        let first = rows.first().map_or(0, |first| *first as usize);
        &scaled.pairs[first..first + rows.len()]
    } else {
        ordered = rows.iter().map(|row| scaled.pairs[*row as usize]).collect();
        &ordered
    };
    let mut rest = out;
    let mut tasks = Vec::with_capacity(bins.tiles.len());
    for (tile, wanted) in bins.tiles.iter().zip(wanted) {
        let (own, behind) = rest.split_at_mut(tile.width * tile.stride);
        rest = behind;
        if *wanted {
            tasks.push((tile, own));
        }
    }
    tasks.into_par_iter().for_each(|(tile, out)| {
        out.fill(Sum::default());
        fill_tile(tile, pairs, out, rows, contiguous);
    });
}

/// `pairs` stand in the order of `rows`.
fn fill_tile(tile: &Tile, pairs: &[[i32; 2]], out: &mut [Sum], rows: &[u32], contiguous: bool) {
    let cells = match &tile.cells {
        Cells::Narrow(cells) => cells,
        Cells::Wide(cells) => return fill_wide(tile, cells, pairs, out, rows),
    };
    macro_rules! by_width {
        ($bins:literal, $stride:literal: $($width:literal)*) => {
            match tile.width {
                $($width => sum::<$width, $bins, $stride>(cells, pairs, out, rows, contiguous),)*
                _ => unreachable!("a tile is 4 to 32 columns wide, a multiple of 4"),
            }
        };
    }
    match tile.stride {
        20 => by_width!(16, 20: 4 8 12 16 20 24 28 32),
        68 => by_width!(64, 68: 4 8 12 16 20 24 28 32),
        _ => by_width!(256, 260: 4 8 12 16 20 24 28 32),
    }
}

/// The inner loop: every cell of a row adds the row's gradient to its slot.
fn sum<const WIDTH: usize, const BINS: usize, const STRIDE: usize>(
    cells: &[u8],
    pairs: &[[i32; 2]],
    out: &mut [Sum],
    rows: &[u32],
    contiguous: bool,
) {
    let (lanes, _) = out.as_chunks_mut::<STRIDE>();
    let lanes: &mut [[Sum; STRIDE]; WIDTH] =
        lanes.try_into().expect("a tile's histogram has width x stride slots");
    let (cells, _) = cells.as_chunks::<WIDTH>();
    if contiguous {
        let first = rows.first().map_or(0, |first| *first as usize);
        for (row, pair) in cells[first..first + rows.len()].iter().zip(pairs) {
            add::<WIDTH, BINS, STRIDE>(lanes, row, *pair);
        }
        return;
    }
    let mut block = [[0; WIDTH]; GATHER_ROWS];
    for (rows, pairs) in rows.chunks(GATHER_ROWS).zip(pairs.chunks(GATHER_ROWS)) {
        for (kept, row) in block.iter_mut().zip(rows) {
            *kept = cells[*row as usize];
        }
        for (row, pair) in block.iter().zip(pairs) {
            add::<WIDTH, BINS, STRIDE>(lanes, row, *pair);
        }
    }
}

#[inline(always)]
fn add<const WIDTH: usize, const BINS: usize, const STRIDE: usize>(
    lanes: &mut [[Sum; STRIDE]; WIDTH],
    row: &[u8; WIDTH],
    pair: [i32; 2],
) {
    let sum = Sum { g: f64::from(pair[0]), h: f64::from(pair[1]) };
    for (lane, bin) in lanes.iter_mut().zip(row) {
        // BINS is a power of two above every bin: the mask only tells the compiler.
        let slot = &mut lane[usize::from(*bin) & (BINS - 1)];
        *slot = slot.plus(sum);
    }
}

fn fill_wide(tile: &Tile, cells: &[u16], pairs: &[[i32; 2]], out: &mut [Sum], rows: &[u32]) {
    for (row, [g, h]) in rows.iter().zip(pairs) {
        let pair = Sum { g: f64::from(*g), h: f64::from(*h) };
        let cells = &cells[*row as usize * tile.width..][..tile.width];
        for (lane, bin) in out.chunks_exact_mut(tile.stride).zip(cells) {
            let slot = &mut lane[usize::from(*bin)];
            *slot = slot.plus(pair);
        }
    }
}

/// `of` becomes `of` less `other`: the sibling's histogram.
pub fn subtract(of: &mut [Sum], other: &[Sum]) {
    of.iter_mut().zip(other).for_each(|(of, other)| *of = of.minus(*other));
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn sums_are_exact_however_the_work_is_shared() {
        let rows = 70_000;
        let x = Array2::from_shape_fn((rows, 37), |(row, column)| {
            let value = (row * (column + 3) * 7919 % 1009) as f32;
            if column < 20 { (value % 9.0).floor() } else { value }
        });
        let gradients: Vec<Gradient> =
            (0..rows).map(|row| [(row as f32 * 0.37).sin() * 100.0, 1.0]).collect();
        let mut scaled = Scaled::default();
        scaled.set(&gradients).unwrap();
        let some: Vec<u32> = (0..rows as u32).filter(|row| row % 3 != 1).collect();
        for bins_max in [256, 700] {
            let bins = Bins::new(&x.view(), None, bins_max).unwrap();
            let wanted = vec![true; bins.tiles.len()];
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut out = vec![Sum { g: 7.0, h: 7.0 }; bins.slots];
                pool.install(|| {
                    fill(&bins, &scaled, &wanted, vec![Order { out: &mut out, rows: &some }]);
                });
                out
            };
            let one = run(1);
            assert_eq!(one, run(3));
            let total = scaled.total(&some);
            for tile in &bins.tiles {
                for lane in 0..tile.width {
                    let slots = &one[tile.offset + lane * tile.stride..][..tile.stride];
                    assert_eq!(slots.iter().fold(Sum::default(), |sum, one| sum.plus(*one)), total);
                }
            }
        }
    }

    #[test]
    fn scaling_keeps_value_and_refuses_what_is_not_finite() {
        let mut scaled = Scaled::default();
        scaled.set(&[[1.5, 0.25], [-3.0, 1.0]]).unwrap();
        assert_eq!(scaled.value(scaled.total(&[0, 1])), [-1.5, 1.25]);
        assert!(scaled.set(&[[f32::NAN, 1.0]]).is_err());
        assert!(scaled.set(&[[0.0, f32::INFINITY]]).is_err());
        scaled.set(&[[0.0, 0.0]]).unwrap();
    }
}
