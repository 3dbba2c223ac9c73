//! Rows that were met before, and a fair sample of rows. Both are bounded: beyond so many rows the
//! set keeps every second, fourth, … of all different rows, chosen by their value, so that a row
//! and its copies are kept or left out together and counts stay fair.

use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use super::cells::{Cells, mixed};
use crate::spec::limit::{DESCRIBE_CELLS_MAX, DESCRIBE_ROWS_MAX, DESCRIBE_SAMPLE_ROWS_MAX};

/// What stands for a row is spread already.
#[derive(Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// A map whose keys are spread already.
pub(super) type SpreadMap<V> = HashMap<u64, V, BuildHasherDefault<Spread>>;

/// Different rows, and how often each was met.
#[derive(Default)]
pub(super) struct RowSet {
    met: SpreadMap<Met>,
    /// Of all different rows, one in 2^level is kept.
    level: u32,
}

struct Met {
    count: u32,
    label: u64,
    /// Rows with another label than the first.
    other: u32,
}

impl RowSet {
    pub(super) fn add(&mut self, row: u64, label: u64) {
        if !self.keeps(row) {
            return;
        }
        let met = self.met.entry(row).or_insert(Met { count: 0, label, other: 0 });
        met.count = met.count.saturating_add(1);
        met.other = met.other.saturating_add(u32::from(met.label != label));
        if self.met.len() > DESCRIBE_ROWS_MAX {
            self.level += 1;
            let level = self.level;
            self.met.retain(|row, _| kept(*row, level));
        }
    }

    fn keeps(&self, row: u64) -> bool {
        kept(row, self.level)
    }

    /// How many rows an occurrence of `row` stands for: 0 when it was not met.
    pub(super) fn weight(&self, row: u64) -> f64 {
        if self.keeps(row) && self.met.contains_key(&row) { self.scale() } else { 0.0 }
    }

    fn scale(&self) -> f64 {
        f64::from(self.level).exp2()
    }

    /// Rows that were there already.
    pub(super) fn duplicates(&self) -> f64 {
        let again: u64 = self.met.values().map(|met| u64::from(met.count - 1)).sum();
        again as f64 * self.scale()
    }

    /// Rows that were there already with another label.
    pub(super) fn contradictions(&self) -> f64 {
        let other: u64 = self.met.values().map(|met| u64::from(met.other)).sum();
        other as f64 * self.scale()
    }

    pub(super) fn is_exact(&self) -> bool {
        self.level == 0
    }
}

fn kept(row: u64, level: u32) -> bool {
    // Other bits than those a map chooses its place by.
    level == 0 || mixed(row) >> (64 - level.min(63)) == 0
}

/// Rows drawn so that each has the same chance: those whose numbers, well mixed, are smallest.
pub(super) struct Sample {
    rows_max: usize,
    columns: usize,
    /// The largest priority of a row that is kept, and where it lies, on top.
    order: BinaryHeap<(u64, usize)>,
    numbers: Vec<f64>,
    hashes: Vec<u64>,
}

impl Sample {
    pub(super) fn for_columns(columns: usize) -> Sample {
        let rows_max = (DESCRIBE_CELLS_MAX / columns.max(1)).clamp(64, DESCRIBE_SAMPLE_ROWS_MAX);
        let order = BinaryHeap::new();
        Sample { rows_max, columns, order, numbers: Vec::new(), hashes: Vec::new() }
    }

    /// Shows it the row with this number.
    pub(super) fn offer(&mut self, number: u64, cells: &Cells, row: usize) {
        let priority = mixed(number ^ 0x5851_f42d_4c95_7f2d);
        let slot = if self.order.len() < self.rows_max {
            let slot = self.order.len();
            self.numbers.resize((slot + 1) * self.columns, 0.0);
            self.hashes.resize((slot + 1) * self.columns, 0);
            slot
        } else {
            match self.order.peek() {
                Some((largest, slot)) if priority < *largest => {
                    let slot = *slot;
                    self.order.pop();
                    slot
                }
                _ => return,
            }
        };
        self.order.push((priority, slot));
        for column in 0..self.columns {
            self.numbers[slot * self.columns + column] = cells.number(row, column);
            self.hashes[slot * self.columns + column] = cells.hash(row, column);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Number and hash of a column's cells, in an order of no meaning.
    pub(super) fn column(&self, column: usize) -> impl Iterator<Item = (f64, u64)> + '_ {
        let numbers = self.numbers.iter().skip(column).step_by(self.columns);
        let hashes = self.hashes.iter().skip(column).step_by(self.columns);
        numbers.copied().zip(hashes.copied())
    }
}
