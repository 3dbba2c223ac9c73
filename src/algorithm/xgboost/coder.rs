//! Cells as one byte each: how many of the thresholds on their column they reach.
//!
//! A threshold asks a cell only on which side it is, so its place among the thresholds of its
//! column tells as much as the value does, and a byte holds it where there are at most 255 of them.
//! Thirty-two rows then take one comparison of an AVX2 register. Few thresholds are counted one by
//! one, for many rows together; of many, each eighth is, and one more comparison of eight
//! finds the place between two of those.

use std::collections::{BTreeMap, BTreeSet};

use pulp::Simd;

use super::tree::{NONE, Node, Tree};
use crate::algorithm::net::simd;

/// Rows of a register.
pub(super) const LANES: usize = 32;
/// The codes of some rows in one column, less 128: x86 compares signed bytes.
pub(super) type Codes = [i8; LANES];

/// Thresholds a column may have.
const CUTS_MAX: usize = 255;
/// Thresholds counted by one comparison.
const FINE: usize = 8;
/// Thresholds up to which all rows meet each.
const FEW: usize = 40;
/// Columns turned together.
const TOGETHER: usize = 16;
/// The code above all thresholds.
const TOP: i8 = i8::MAX;

/// The thresholds of some trees by column, while they fit.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    columns: BTreeMap<u32, Thresholds>,
}

#[derive(Debug, Default)]
struct Thresholds {
    /// By [`order`].
    values: BTreeSet<u32>,
    /// Whether any node sends missing values left, and right.
    sides: [bool; 2],
}

impl Gathering {
    /// Takes the thresholds of a tree; false, and nothing taken, where they are too many or no
    /// numbers.
    pub(super) fn take(&mut self, tree: &Tree) -> bool {
        let mut own: BTreeMap<u32, Thresholds> = BTreeMap::new();
        for node in tree.nodes.iter().filter(|node| !node.is_leaf()) {
            if node.set != NONE || node.value.is_nan() {
                return false;
            }
            let column = own.entry(node.feature).or_default();
            column.values.insert(order(node.value));
            column.sides[side(node)] = true;
        }
        let fits = own.iter().all(|(feature, own)| match self.columns.get(feature) {
            None => own.values.len() <= CUTS_MAX,
            Some(known) => known.values.union(&own.values).count() <= CUTS_MAX,
        });
        let new = own.keys().filter(|feature| !self.columns.contains_key(feature)).count();
        if !fits || 2 * (self.columns.len() + new) > usize::from(u16::MAX) {
            return false;
        }
        for (feature, own) in own {
            let known = self.columns.entry(feature).or_default();
            known.values.extend(own.values);
            (0..2).for_each(|side| known.sides[side] |= own.sides[side]);
        }
        true
    }

    /// Columns with any threshold.
    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }
}

/// Where a node sends missing values: 0 left, 1 right.
fn side(node: &Node) -> usize {
    usize::from(!node.default_left)
}

/// A number that sorts as the value does; 0 and -0 are one value.
fn order(value: f32) -> u32 {
    let bits = (value + 0.0).to_bits();
    bits ^ if bits >> 31 == 1 { u32::MAX } else { 1 << 31 }
}

fn value_of(order: u32) -> f32 {
    f32::from_bits(order ^ if order >> 31 == 1 { 1 << 31 } else { u32::MAX })
}

/// Where a column's thresholds stand.
#[derive(Debug, Clone)]
struct Column {
    feature: u32,
    /// The first of them in `cuts`, ascending.
    first: usize,
    count: usize,
    /// Those that all rows meet: all of them, or the last of each eight.
    met: std::ops::Range<usize>,
    /// Where the codes go whose missing values go left, and where those go whose go right.
    out: [Option<u16>; 2],
}

/// Turns rows into codes.
#[derive(Debug, Clone, Default)]
pub(super) struct Coder {
    columns: Vec<Column>,
    cuts: Vec<f32>,
    /// Columns of codes.
    width: usize,
}

impl Coder {
    /// For the thresholds gathered.
    pub(super) fn new(gathering: &Gathering) -> Coder {
        let mut coder = Coder::default();
        for (feature, known) in &gathering.columns {
            let values: Vec<f32> = known.values.iter().map(|order| value_of(*order)).collect();
            let first = coder.cuts.len();
            coder.cuts.extend(&values);
            let mut met = first..coder.cuts.len();
            if values.len() > FEW {
                // Nothing reaches NaN: eight can be compared where fewer are left, or none.
                let padded = (values.len() / FINE + 1) * FINE;
                coder.cuts.resize(first + padded, f32::NAN);
                met.start = coder.cuts.len();
                coder.cuts.extend(values.chunks_exact(FINE).map(|eight| eight[FINE - 1]));
                met.end = coder.cuts.len();
            }
            let out = known.sides.map(|used| {
                let at = coder.width as u16;
                coder.width += usize::from(used);
                used.then_some(at)
            });
            let count = values.len();
            coder.columns.push(Column { feature: *feature, first, count, met, out });
        }
        coder
    }

    /// Where a node finds its codes, and what a code must be above to go right.
    pub(super) fn place(&self, node: &Node) -> (u16, i8) {
        let at = self.columns.partition_point(|column| column.feature < node.feature);
        let column = &self.columns[at];
        let cuts = &self.cuts[column.first..][..column.count];
        let below = cuts.partition_point(|cut| *cut < node.value);
        let place = column.out[side(node)].expect("the tree was gathered");
        (place, (below as u8 ^ 128).cast_signed())
    }

    /// Columns of codes.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The codes of `rows` of `features` cells each, at most 32 × `PARTS`, into `width` columns.
    /// Rows that are not there keep what codes there are.
    #[inline(always)]
    pub(super) fn code<S: Simd, const PARTS: usize>(
        &self,
        simd: S,
        rows: &[f32],
        features: usize,
        out: &mut [[Codes; PARTS]],
    ) {
        let mut turned = [[[0.0f32; LANES]; PARTS]; TOGETHER];
        for columns in self.columns.chunks(TOGETHER) {
            for (at, row) in rows.chunks_exact(features).take(LANES * PARTS).enumerate() {
                for (turned, column) in turned.iter_mut().zip(columns) {
                    turned[at / LANES][at % LANES] = row[column.feature as usize];
                }
            }
            for (values, column) in turned.iter().zip(columns) {
                for (part, values) in values.iter().enumerate() {
                    let codes = self.column(simd, column, values);
                    if let Some(left) = column.out[0] {
                        out[usize::from(left)][part] = codes;
                    }
                    if let Some(right) = column.out[1] {
                        let mut codes = codes;
                        for (code, value) in codes.iter_mut().zip(values) {
                            *code = if value.is_nan() { TOP } else { *code };
                        }
                        out[usize::from(right)][part] = codes;
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn column<S: Simd>(&self, simd: S, column: &Column, values: &[f32; LANES]) -> Codes {
        let met = &self.cuts[column.met.clone()];
        let mut counts = [0u32; LANES];
        // The number of registers must be known when compiling.
        match S::F32_LANES {
            16 => count::<S, 2>(simd, met, values, &mut counts),
            8 => count::<S, 4>(simd, met, values, &mut counts),
            4 => count::<S, 8>(simd, met, values, &mut counts),
            2 => count::<S, 16>(simd, met, values, &mut counts),
            _ => count::<S, 32>(simd, met, values, &mut counts),
        }
        if column.count > FEW {
            let (eights, _) = self.cuts[column.first..].as_chunks::<FINE>();
            for (count, value) in counts.iter_mut().zip(values) {
                let own = &eights[*count as usize];
                *count = FINE as u32 * *count + simd::reached(simd, own, *value);
            }
        }
        let mut codes = [0; LANES];
        for (code, count) in codes.iter_mut().zip(counts) {
            *code = (count as u8 ^ 128).cast_signed();
        }
        codes
    }
}

/// How many of `cuts` each value reaches.
#[inline(always)]
fn count<S: Simd, const N: usize>(
    simd: S,
    cuts: &[f32],
    values: &[f32; LANES],
    counts: &mut [u32; LANES],
) {
    let mut own = [simd.splat_f32s(0.0); N];
    own.copy_from_slice(S::as_simd_f32s(values).0);
    let mut sums = [simd.splat_u32s(0); N];
    let (zero, one) = (simd.splat_u32s(0), simd.splat_u32s(1));
    for cut in cuts {
        let cut = simd.splat_f32s(*cut);
        for at in 0..N {
            let reached = simd.greater_than_or_equal_f32s(own[at], cut);
            sums[at] = simd.add_u32s(sums[at], simd.select_u32s(reached, one, zero));
        }
    }
    S::as_mut_simd_u32s(counts).0.copy_from_slice(&sums);
}
