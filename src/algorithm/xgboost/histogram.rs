//! Sums of gradients by bin: the inner loop of training.
//!
//! Gradients are whole numbers here, scaled by a power of two, so their sums are exact in any order:
//! a tree does not depend on threads or blocks, and a sibling's histogram is the parent's less the
//! other child's, without rounding.
//!
//! The loop is bound by loads and stores, one of each for every cell, and by the cache the slots lie
//! in. So both derivatives of a row are packed into one i64 (the first in its upper half), which
//! is added in one instruction and halves the histogram. For that a gradient has 17 bits, rounded
//! up or down by chance so that sums are right on average (Shi, Ke et al., NeurIPS 2022, show
//! that 2 to 5 bits do), and at most 16,384 rows are added up before a sum is unpacked. Where 17
//! bits would lose what matters - few rows, or a few gradients far above the rest - it is 30
//! bits and sums in f64, which stay below 2^53 and are exact as well.

use rayon::prelude::*;

use super::bins::Bins;
use super::disk;
use super::objective::{BLOCK_ROWS, Gradient};
use super::tile::{Cells, Tile};
use crate::algorithm::Error;

/// Rows whose packed gradients may be added up.
pub const PACKED_ROWS_MAX: usize = 1 << 14;
/// Bits of a packed gradient: the sum of so many rows has 31.
const PACKED_BITS: i32 = 17;
/// Bits of one that is not.
const WIDE_BITS: i32 = 30;
/// Rows up to which nothing is packed.
const WIDE_ROWS: usize = 1 << 12;
/// More than any gradient.
const ABOVE: f64 = (1u64 << 31) as f64;
/// The mean size of a packed gradient, in units, below which too much would be lost.
const PACKED_MEAN_MIN: f64 = 4.0;

/// Sums of first and second derivatives, in the units of [`Scaled`].
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

    /// From a packed sum of at most [`PACKED_ROWS_MAX`] rows.
    #[inline(always)]
    fn unpacked(pair: i64) -> Sum {
        let [g, h] = unpack(pair);
        Sum { g: f64::from(g), h: f64::from(h) }
    }

    fn packed(self) -> i64 {
        pack(self.g as i32, self.h as i32)
    }
}

fn pack(g: i32, h: i32) -> i64 {
    (i64::from(g) << 32) + i64::from(h)
}

#[inline(always)]
fn unpack(pair: i64) -> [i32; 2] {
    let h = pair as i32;
    [((pair - i64::from(h)) >> 32) as i32, h]
}

/// What a histogram is made of.
pub trait Slot: Copy + Default + PartialEq + Send + Sync {
    /// The sum it stands for.
    fn sum(self) -> Sum;
    /// With a packed pair added.
    fn with(self, pair: i64) -> Self;
    /// What is left of `total` without all of `parts`.
    fn rest(total: Sum, parts: &[Self]) -> Self;
}

impl Slot for Sum {
    #[inline(always)]
    fn sum(self) -> Sum {
        self
    }

    #[inline(always)]
    fn with(self, pair: i64) -> Sum {
        self.plus(Sum::unpacked(pair))
    }

    fn rest(total: Sum, parts: &[Sum]) -> Sum {
        parts.iter().fold(total, |rest, part| rest.minus(*part))
    }
}

impl Slot for i64 {
    #[inline(always)]
    fn sum(self) -> Sum {
        Sum::unpacked(self)
    }

    #[inline(always)]
    fn with(self, pair: i64) -> i64 {
        self.wrapping_add(pair)
    }

    fn rest(total: Sum, parts: &[i64]) -> i64 {
        parts.iter().fold(total.packed(), |rest, part| rest.wrapping_sub(*part))
    }
}

/// The sums of one node, for every bin of every tile.
#[derive(Debug)]
pub enum Histogram {
    /// Of few rows.
    Packed(Vec<i64>),
    /// Of any number.
    Wide(Vec<Sum>),
}

/// Histograms not in use.
#[derive(Debug, Default)]
pub struct Pool {
    packed: Vec<Vec<i64>>,
    wide: Vec<Vec<Sum>>,
}

impl Pool {
    /// One of `slots` slots that hold anything.
    pub fn take(&mut self, slots: usize, packed: bool) -> Histogram {
        if packed {
            Histogram::Packed(self.packed.pop().unwrap_or_else(|| vec![0; slots]))
        } else {
            Histogram::Wide(self.wide.pop().unwrap_or_else(|| vec![Sum::default(); slots]))
        }
    }

    /// Keeps one for later.
    pub fn give(&mut self, histogram: Histogram) {
        match histogram {
            Histogram::Packed(slots) => self.packed.push(slots),
            Histogram::Wide(slots) => self.wide.push(slots),
        }
    }

    /// Keeps at most so many.
    pub fn shrink(&mut self, count: usize) {
        self.packed.truncate(count);
        self.wide.truncate(count);
    }
}

/// Gradients of one tree as whole numbers.
#[derive(Debug, Default)]
pub struct Scaled {
    /// One packed pair per row.
    pairs: Vec<i64>,
    /// What a sum is multiplied by to get back its value.
    pub unit: [f64; 2],
    /// Whether few of them may be added up packed.
    packs: bool,
}

impl Scaled {
    /// Scales `gradients`, reusing the memory.
    ///
    /// # Errors
    /// `Error::Diverged` when one is not finite.
    pub fn set(&mut self, gradients: &[Gradient]) -> Result<(), Error> {
        let (top, sum) = measure(gradients);
        if !top.iter().all(|top| top.is_finite()) {
            return Err(Error::Diverged {
                what: "a gradient is not a finite number".into(),
                help: "lower eta, set max_delta_step, or look for extreme labels and weights"
                    .into(),
            });
        }
        let rows = gradients.len();
        // So many bits that the sum over all rows stays below 2^52.
        let wide = WIDE_BITS.min(52 - usize::BITS.saturating_sub(rows.leading_zeros()) as i32);
        let scale = |bits: i32| {
            top.map(|top| {
                let above = if top > 0.0 { f64::from(top).log2().floor() as i32 + 1 } else { bits };
                2f64.powi(bits - above)
            })
        };
        let packed = scale(PACKED_BITS);
        let mean = |at: usize| sum[at] * packed[at] / rows as f64;
        let kept = |at: usize| sum[at] == 0.0 || mean(at) >= PACKED_MEAN_MIN;
        self.packs = rows > WIDE_ROWS && kept(0) && kept(1);
        let (scale, bits) = if self.packs { (packed, PACKED_BITS) } else { (scale(wide), wide) };
        self.unit = scale.map(|scale| 1.0 / scale);
        self.pairs.resize(rows, 0);
        let most = (1i32 << bits) - 1;
        let blocks = self.pairs.par_chunks_mut(BLOCK_ROWS).zip(gradients.par_chunks(BLOCK_ROWS));
        blocks.enumerate().for_each(|(block, (out, gradients))| {
            for (at, (out, [g, h])) in out.iter_mut().zip(gradients).enumerate() {
                // Even steps around the circle, so that of any rows as many are rounded up as
                // their fractions ask for.
                let turn = ((block * BLOCK_ROWS + at) as u32).wrapping_mul(0x9e37_79b9);
                let chance = f64::from(turn) / 4_294_967_296.0;
                // Rounded towards 0 from above 0 is rounded down, in one instruction.
                let whole = |x: f32, scale: f64| {
                    let above = f64::from(x) * scale + (chance + ABOVE);
                    ((above as i64 - ABOVE as i64) as i32).clamp(-most, most)
                };
                *out = pack(whole(*g, scale[0]), whole(*h, scale[1]));
            }
        });
        Ok(())
    }

    /// The gradients of some rows, as rows of their own.
    pub fn part(&self, range: std::ops::Range<usize>) -> Scaled {
        Scaled { pairs: self.pairs[range].to_vec(), unit: self.unit, packs: self.packs }
    }

    /// The value of a sum.
    pub fn value(&self, sum: Sum) -> [f64; 2] {
        [sum.g * self.unit[0], sum.h * self.unit[1]]
    }

    /// The sum over `rows`.
    pub fn total(&self, rows: &[u32]) -> Sum {
        rows.par_chunks(BLOCK_ROWS)
            .map(|block| {
                block.iter().fold(Sum::default(), |sum, row| sum.with(self.pairs[*row as usize]))
            })
            .reduce(Sum::default, Sum::plus)
    }

    /// Whether the histogram of so many rows is a packed one.
    pub fn packs(&self, rows: usize) -> bool {
        self.packs && rows <= PACKED_ROWS_MAX
    }
}

/// The largest of both derivatives, and the sums of their sizes.
fn measure(gradients: &[Gradient]) -> ([f32; 2], [f64; 2]) {
    let blocks: Vec<([f32; 2], [f64; 2])> = gradients
        .par_chunks(BLOCK_ROWS)
        .map(|block| {
            block.iter().fold(([0.0f32; 2], [0.0f64; 2]), |(top, sum), [g, h]| {
                // A NaN must win, so that it is seen.
                let larger = |top: f32, x: f32| if x <= top { top } else { x };
                let (g, h) = (g.abs(), h.abs());
                let sums = [sum[0] + f64::from(g), sum[1] + f64::from(h)];
                ([larger(top[0], g), larger(top[1], h)], sums)
            })
        })
        .collect();
    // In the order of the blocks, so that the sums do not depend on threads.
    blocks.iter().fold(([0.0; 2], [0.0; 2]), |(top, sum), (more, part)| {
        let larger = |a: f32, b: f32| if a.is_nan() || a >= b { a } else { b };
        let top = [larger(top[0], more[0]), larger(top[1], more[1])];
        (top, [sum[0] + part[0], sum[1] + part[1]])
    })
}

/// One histogram to be filled.
#[derive(Debug)]
pub struct Order<'a> {
    /// `bins.slots` slots; what they hold is overwritten.
    pub out: &'a mut Histogram,
    /// The node's rows, ascending.
    pub rows: &'a [u32],
    /// The sum over them.
    pub sum: Sum,
}

/// Rows below which sharing them among threads does not pay.
const SHARE_ROWS_MIN: usize = 1 << 14;
/// Rows copied together before they are summed, so that their cache misses overlap.
const GATHER_ROWS: usize = 32;
/// Tiles up to which each picks its gradients itself.
const FEW_TILES: usize = 2;

/// Fills all orders. `wanted` says which tiles are needed.
pub fn fill(bins: &Bins, scaled: &Scaled, wanted: &[bool], orders: Vec<Order<'_>>) {
    if let Some(cells) = &bins.disk {
        let mut orders = orders;
        disk::fill(bins, cells, scaled, wanted, &mut orders);
        for Order { out, sum, .. } in orders {
            match out {
                Histogram::Packed(out) => restore(bins, wanted, out, sum),
                Histogram::Wide(out) => restore(bins, wanted, out, sum),
            }
        }
        return;
    }
    orders.into_par_iter().for_each(|order| match order.out {
        Histogram::Packed(out) => {
            fill_tiles(bins, scaled, wanted, out, order.rows);
            restore(bins, wanted, out, order.sum);
        }
        Histogram::Wide(out) => {
            fill_shared(bins, scaled, wanted, out, order.rows);
            restore(bins, wanted, out, order.sum);
        }
    });
}

/// What `rows` of `bins`, which are in memory, add up to; what listed columns leave over is not made
/// up for. What `out` holds is overwritten.
pub fn fill_part(bins: &Bins, scaled: &Scaled, wanted: &[bool], out: &mut Histogram, rows: &[u32]) {
    match out {
        Histogram::Packed(out) => fill_tiles(bins, scaled, wanted, out, rows),
        Histogram::Wide(out) => fill_tiles(bins, scaled, wanted, out, rows),
    }
}

/// Shares the rows of a large node among threads.
fn fill_shared(bins: &Bins, scaled: &Scaled, wanted: &[bool], out: &mut [Sum], rows: &[u32]) {
    let threads = rayon::current_num_threads();
    let shares = (rows.len() / SHARE_ROWS_MIN).clamp(1, threads);
    // Many tiles share the work by themselves.
    if shares == 1 || bins.tiles.len() >= 4 * threads {
        return fill_tiles(bins, scaled, wanted, out, rows);
    }
    let (first, rest) = rows.split_at(rows.len() / shares);
    let part = |rows: &[u32]| {
        let mut out = vec![Sum::default(); bins.slots];
        fill_tiles(bins, scaled, wanted, &mut out, rows);
        out
    };
    let ((), parts) = rayon::join(
        || fill_tiles(bins, scaled, wanted, out, first),
        || rest.par_chunks(first.len()).map(part).collect::<Vec<_>>(),
    );
    for part in parts {
        out.iter_mut().zip(part).for_each(|(out, sum)| *out = out.plus(sum));
    }
}

/// The rows of a node as a tile meets them.
#[derive(Clone, Copy)]
struct Picked<'a> {
    rows: &'a [u32],
    /// By row where there are few tiles, else in the order of `rows`.
    pairs: &'a [i64],
    in_order: bool,
    /// Whether the rows follow each other without a gap.
    contiguous: bool,
}

impl<'a> Picked<'a> {
    /// Some of them, one behind the other.
    fn part(self, range: std::ops::Range<usize>) -> Picked<'a> {
        let pairs = if self.in_order { &self.pairs[range.clone()] } else { self.pairs };
        Picked { rows: &self.rows[range], pairs, ..self }
    }
}

fn fill_tiles<S: Slot + Fill>(
    bins: &Bins,
    scaled: &Scaled,
    wanted: &[bool],
    out: &mut [S],
    rows: &[u32],
) {
    let contiguous = match (rows.first(), rows.last()) {
        (Some(first), Some(last)) => (last - first) as usize + 1 == rows.len(),
        _ => true,
    };
    let first = rows.first().map_or(0, |first| *first as usize);
    let in_order = contiguous || bins.tiles.len() > FEW_TILES;
    // Many tiles read the same gradients: they are put in order once.
    let ordered: Vec<i64>;
    let pairs = if contiguous {
        &scaled.pairs[first..first + rows.len()]
    } else if in_order {
        ordered = rows.iter().map(|row| scaled.pairs[*row as usize]).collect();
        &ordered
    } else {
        &scaled.pairs
    };
    let picked = Picked { rows, pairs, in_order, contiguous };
    let mut rest = out;
    let mut tasks = Vec::with_capacity(bins.tiles.len());
    for (tile, wanted) in bins.tiles.iter().zip(wanted) {
        let (own, behind) = rest.split_at_mut(tile.slots);
        rest = behind;
        if *wanted {
            tasks.push((tile, own));
        }
    }
    tasks.into_par_iter().for_each(|(tile, out)| {
        out.fill(S::default());
        S::fill(tile, picked, out, scaled.packs);
    });
}

/// How a tile's slots are filled.
trait Fill: Sized {
    fn fill(tile: &Tile, picked: Picked<'_>, out: &mut [Self], packs: bool);
}

impl Fill for i64 {
    fn fill(tile: &Tile, picked: Picked<'_>, out: &mut [i64], _: bool) {
        match &tile.cells {
            Cells::Grid { cells, width, stride } => {
                packed_grid(cells, *width, *stride, picked, out)
            }
            Cells::List { starts, slots, .. } => list(starts, slots, picked, out),
        }
    }
}

impl Fill for Sum {
    fn fill(tile: &Tile, picked: Picked<'_>, out: &mut [Sum], packs: bool) {
        if packs {
            let mut some = vec![0i64; out.len()];
            for first in (0..picked.rows.len()).step_by(PACKED_ROWS_MAX) {
                let end = picked.rows.len().min(first + PACKED_ROWS_MAX);
                i64::fill(tile, picked.part(first..end), &mut some, true);
                for (out, some) in out.iter_mut().zip(&mut some) {
                    *out = out.with(std::mem::take(some));
                }
            }
            return;
        }
        match &tile.cells {
            Cells::Grid { cells, width, stride } => wide_grid(cells, *width, *stride, picked, out),
            Cells::List { starts, slots, .. } => list(starts, slots, picked, out),
        }
    }
}

fn packed_grid(cells: &[u8], width: usize, stride: usize, picked: Picked<'_>, out: &mut [i64]) {
    macro_rules! by_width {
        ($bins:literal, $stride:literal: $($width:literal)*) => {
            match width {
                $($width => grid::<$width, $bins, $stride>(cells, picked, out),)*
                _ => unreachable!("a grid is 4 to 32 columns wide, a multiple of 4"),
            }
        };
    }
    match stride {
        20 => by_width!(16, 20: 4 8 12 16 20 24 28 32),
        68 => by_width!(64, 68: 4 8 12 16 20 24 28 32),
        _ => by_width!(256, 260: 4 8 12 16 20 24 28 32),
    }
}

/// The inner loop: every cell of a row adds the row's gradient to its slot.
fn grid<const WIDTH: usize, const BINS: usize, const STRIDE: usize>(
    cells: &[u8],
    picked: Picked<'_>,
    out: &mut [i64],
) {
    let (lanes, _) = out.as_chunks_mut::<STRIDE>();
    let lanes: &mut [[i64; STRIDE]; WIDTH] =
        lanes.try_into().expect("a grid's histogram has width x stride slots");
    let (cells, _) = cells.as_chunks::<WIDTH>();
    let Picked { rows, pairs, in_order, contiguous } = picked;
    if contiguous {
        let first = rows.first().map_or(0, |first| *first as usize);
        for (row, pair) in cells[first..first + rows.len()].iter().zip(pairs) {
            add::<WIDTH, BINS, STRIDE>(lanes, row, *pair);
        }
        return;
    }
    let (mut block, mut own) = ([[0; WIDTH]; GATHER_ROWS], [0i64; GATHER_ROWS]);
    for (at, rows) in rows.chunks(GATHER_ROWS).enumerate() {
        for (kept, row) in block.iter_mut().zip(rows) {
            *kept = cells[*row as usize];
        }
        let pairs = if in_order {
            &pairs[at * GATHER_ROWS..][..rows.len()]
        } else {
            for (own, row) in own.iter_mut().zip(rows) {
                *own = pairs[*row as usize];
            }
            &own[..rows.len()]
        };
        for (row, pair) in block.iter().zip(pairs) {
            add::<WIDTH, BINS, STRIDE>(lanes, row, *pair);
        }
    }
}

#[inline(always)]
fn add<const WIDTH: usize, const BINS: usize, const STRIDE: usize>(
    lanes: &mut [[i64; STRIDE]; WIDTH],
    row: &[u8; WIDTH],
    pair: i64,
) {
    for (lane, bin) in lanes.iter_mut().zip(row) {
        // BINS is a power of two above every bin: the mask only tells the compiler.
        let slot = &mut lane[usize::from(*bin) & (BINS - 1)];
        *slot = slot.wrapping_add(pair);
    }
}

impl Picked<'_> {
    /// The gradient of the row at a place.
    #[inline(always)]
    fn pair(&self, at: usize) -> i64 {
        if self.in_order { self.pairs[at] } else { self.pairs[self.rows[at] as usize] }
    }
}

fn wide_grid(cells: &[u8], width: usize, stride: usize, picked: Picked<'_>, out: &mut [Sum]) {
    for (at, row) in picked.rows.iter().enumerate() {
        let pair = picked.pair(at);
        let cells = &cells[*row as usize * width..][..width];
        for (lane, bin) in out.chunks_exact_mut(stride).zip(cells) {
            let slot = &mut lane[usize::from(*bin)];
            *slot = slot.with(pair);
        }
    }
}

fn list<S: Slot>(starts: &[u32], slots: &[u16], picked: Picked<'_>, out: &mut [S]) {
    for (at, row) in picked.rows.iter().enumerate() {
        let pair = picked.pair(at);
        let own = starts[*row as usize] as usize..starts[*row as usize + 1] as usize;
        for slot in &slots[own] {
            if let Some(slot) = out.get_mut(usize::from(*slot)) {
                *slot = slot.with(pair);
            }
        }
    }
}

/// Gives each listed lane's rest what the others leave of the node's sum.
fn restore<S: Slot>(bins: &Bins, wanted: &[bool], out: &mut [S], sum: Sum) {
    for (tile, _) in bins.tiles.iter().zip(wanted).filter(|(_, wanted)| **wanted) {
        let Cells::List { rests, .. } = &tile.cells else { continue };
        let out = &mut out[tile.offset..][..tile.slots];
        for (lane, rest) in rests.iter().enumerate() {
            let end = tile.starts.get(lane + 1).copied().unwrap_or(tile.slots);
            out[*rest] = S::default();
            out[*rest] = S::rest(sum, &out[tile.starts[lane]..end]);
        }
    }
}

/// The sibling's histogram: `parent` less `other`. It is written into `spare` where the sibling's
/// rows allow a packed one and the parent is none; then the parent is left over.
pub fn sibling(
    parent: Histogram,
    other: &Histogram,
    spare: Option<Histogram>,
) -> (Histogram, Option<Histogram>) {
    match (parent, other, spare) {
        (Histogram::Packed(mut slots), Histogram::Packed(other), _) => {
            slots.iter_mut().zip(other).for_each(|(own, other)| *own = own.wrapping_sub(*other));
            (Histogram::Packed(slots), None)
        }
        (Histogram::Wide(parent), other, Some(Histogram::Packed(mut slots))) => {
            match other {
                Histogram::Packed(other) => narrow(&mut slots, &parent, other),
                Histogram::Wide(other) => narrow(&mut slots, &parent, other),
            }
            (Histogram::Packed(slots), Some(Histogram::Wide(parent)))
        }
        (Histogram::Wide(mut slots), other, _) => {
            match other {
                Histogram::Packed(other) => subtract(&mut slots, other),
                Histogram::Wide(other) => subtract(&mut slots, other),
            }
            (Histogram::Wide(slots), None)
        }
        (Histogram::Packed(_), Histogram::Wide(_), _) => {
            unreachable!("a node has no more rows than its parent")
        }
    }
}

fn subtract<S: Slot>(of: &mut [Sum], other: &[S]) {
    of.iter_mut().zip(other).for_each(|(of, other)| *of = of.minus(other.sum()));
}

fn narrow<S: Slot>(out: &mut [i64], parent: &[Sum], other: &[S]) {
    let both = out.iter_mut().zip(parent).zip(other);
    both.for_each(|((out, parent), other)| *out = parent.minus(other.sum()).packed());
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::super::bins::Cutting;
    use super::super::rows::Rows;
    use super::super::settings::Flavour;
    use super::*;
    use crate::data::Categories;

    /// Columns that are grids of all kinds, and columns that are mostly one value.
    fn table(rows: usize) -> Array2<f32> {
        Array2::from_shape_fn((rows, 43), |(row, column)| {
            let value = (row * (column + 3) * 7919 % 1009) as f32;
            match column {
                0..20 => (value % 9.0).floor(),
                20..37 => value,
                _ if value < 150.0 => value,
                _ => 500.0,
            }
        })
    }

    fn scaled(rows: usize, far: f32) -> Scaled {
        let mut scaled = Scaled::default();
        let g = |row: usize| (row as f32 * 0.37).sin() * if row == 3 { far } else { 100.0 };
        scaled.set(&(0..rows).map(|row| [g(row), 1.0]).collect::<Vec<_>>()).unwrap();
        scaled
    }

    fn sums(histogram: &Histogram) -> Vec<Sum> {
        match histogram {
            Histogram::Packed(slots) => slots.iter().map(|slot| slot.sum()).collect(),
            Histogram::Wide(slots) => slots.clone(),
        }
    }

    fn filled(
        bins: &Bins,
        scaled: &Scaled,
        rows: &[u32],
        packed: bool,
        threads: usize,
    ) -> Histogram {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut out = match packed {
            true => Histogram::Packed(vec![7; bins.slots]),
            false => Histogram::Wide(vec![Sum { g: 7.0, h: 7.0 }; bins.slots]),
        };
        let wanted = vec![true; bins.tiles.len()];
        pool.install(|| {
            let sum = scaled.total(rows);
            fill(bins, scaled, &wanted, vec![Order { out: &mut out, rows, sum }]);
        });
        out
    }

    #[test]
    fn sums_are_exact_however_the_work_is_shared_and_kept() {
        let rows = 70_000;
        let x = table(rows);
        let some: Vec<u32> = (0..rows as u32).filter(|row| row % 3 != 1).collect();
        for (bins_max, far) in [(256, 100.0), (700, 100.0), (256, 1e9)] {
            let scaled = scaled(rows, far);
            assert_eq!(scaled.packs, far == 100.0);
            let none = Categories::new();
            let cutting =
                Cutting { categories: &none, weights: None, bins_max, flavour: Flavour::Xgboost };
            let bins = Bins::new(Rows::Dense(x.view()), &cutting).unwrap();
            assert!(bins.tiles.iter().any(|tile| matches!(tile.cells, Cells::List { .. })));
            let one = sums(&filled(&bins, &scaled, &some, false, 1));
            assert_eq!(one, sums(&filled(&bins, &scaled, &some, false, 3)));
            let total = scaled.total(&some);
            for tile in &bins.tiles {
                for (lane, start) in tile.starts.iter().enumerate() {
                    let slots = &one[tile.offset + start..];
                    let slots = &slots[..bins.columns[tile.columns[lane] as usize].bins()];
                    assert_eq!(slots.iter().fold(Sum::default(), |sum, one| sum.plus(*one)), total);
                    let lane = bins.lane(tile.columns[lane]);
                    let mut plain = vec![Sum::default(); slots.len()];
                    for row in &some {
                        let slot = &mut plain[lane.at(*row as usize)];
                        *slot = slot.with(scaled.pairs[*row as usize]);
                    }
                    assert_eq!(plain, slots);
                }
            }
            let (few, others) = some.split_at(9000);
            let parent = || filled(&bins, &scaled, &some[..20_000], false, 2);
            let packed = scaled.packs(9000);
            let small = filled(&bins, &scaled, few, packed, 2);
            assert_eq!(sums(&small), sums(&filled(&bins, &scaled, few, false, 2)));
            let large = sums(&filled(&bins, &scaled, &others[..11_000], false, 2));
            let spare = || packed.then(|| Histogram::Packed(vec![5; bins.slots]));
            let (found, left) = sibling(parent(), &small, spare());
            assert_eq!((sums(&found), left.is_some()), (large.clone(), packed));
            assert_eq!(sums(&sibling(parent(), &small, None).0), large);
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

    #[test]
    fn packed_gradients_are_right_on_average() {
        let rows = 60_000usize;
        let gradients: Vec<Gradient> =
            (0..rows).map(|row| [(row as f32 * 0.7).sin() * 1e-4 + 3e-6, 0.2]).collect();
        let mut with_one = gradients.clone();
        with_one[5] = [1.0, 0.25];
        let mut scaled = Scaled::default();
        scaled.set(&with_one).unwrap();
        assert!(scaled.packs);
        let rows: Vec<u32> = (1000..rows as u32).collect();
        let sum = scaled.value(scaled.total(&rows));
        let exact: f64 = rows.iter().map(|row| f64::from(gradients[*row as usize][0])).sum();
        // A unit is 7.6e-6: rounding down would lose 0.22.
        assert!((sum[0] - exact).abs() < 2e-3, "{} {exact}", sum[0]);
    }
}
