//! Rows that leave cells out, while they are read: what libsvm and recordio have in common. Where
//! the entries come from is the formats' matter.

use super::batch::Sparse;
use super::rows::Rows;
use super::schema::Absent;
use crate::spec::limit::SPARSE_COLUMNS_MAX;

/// Entries of some rows, one row after the other.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// Behind each row's last entry.
    ends: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
    /// One more than the highest column.
    width: usize,
}

impl Entries {
    /// Adds an entry to the row under way.
    #[inline]
    pub(crate) fn push(&mut self, column: u32, value: f32) {
        self.columns.push(column);
        self.values.push(value);
    }

    /// Ends the row: its entries come in order. A column that stands there twice is given back.
    #[inline]
    pub(crate) fn end_row(&mut self) -> Result<(), u32> {
        let start = self.ends.last().copied().unwrap_or(0);
        if self.columns[start..].windows(2).any(|pair| pair[0] >= pair[1]) {
            self.sort_row(start)?;
        }
        if let Some(last) = self.columns[start..].last() {
            self.width = self.width.max(*last as usize + 1);
        }
        self.ends.push(self.columns.len());
        Ok(())
    }

    #[cold]
    fn sort_row(&mut self, start: usize) -> Result<(), u32> {
        let (columns, values) = (&mut self.columns[start..], &mut self.values[start..]);
        let mut entries: Vec<(u32, f32)> =
            columns.iter().copied().zip(values.iter().copied()).collect();
        entries.sort_by_key(|(column, _)| *column);
        if let Some(twice) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(twice[0].0);
        }
        for (slot, (column, value)) in entries.into_iter().enumerate() {
            (columns[slot], values[slot]) = (column, value);
        }
        Ok(())
    }

    /// Forgets all rows and keeps their memory.
    pub(crate) fn clear(&mut self) {
        self.ends.clear();
        self.columns.clear();
        self.values.clear();
        self.width = 0;
    }

    /// Bytes that the entries take.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<usize>() * self.ends.len() + 8 * self.columns.len()
    }

    /// Appends the rows that follow; `false` when there is no memory for them.
    pub(crate) fn append(&mut self, next: &Entries) -> bool {
        let room = self.columns.try_reserve(next.columns.len()).is_ok()
            && self.values.try_reserve(next.values.len()).is_ok()
            && self.ends.try_reserve(next.ends.len()).is_ok();
        if !room {
            return false;
        }
        let before = self.columns.len();
        self.ends.extend(next.ends.iter().map(|end| before + end));
        self.columns.extend_from_slice(&next.columns);
        self.values.extend_from_slice(&next.values);
        self.width = self.width.max(next.width);
        true
    }

    /// The rows, `width` or more columns wide.
    pub(crate) fn finish(self, width: usize) -> Sparse {
        let mut offsets = Vec::with_capacity(self.ends.len() + 1);
        offsets.push(0);
        offsets.extend(self.ends);
        let width = width.max(self.width);
        Sparse { width, offsets, columns: self.columns, values: self.values }
    }

    /// Appends the rows to `dense`, `absent` where they leave a cell out; all columns are below
    /// `width`.
    pub(crate) fn fill(&self, width: usize, absent: f32, dense: &mut Vec<f32>) {
        let mut start = 0;
        for end in &self.ends {
            let row = dense.len();
            dense.resize(row + width, absent);
            for (column, value) in self.columns[start..*end].iter().zip(&self.values[start..*end]) {
                dense[row + *column as usize] = *value;
            }
            start = *end;
        }
    }
}

/// How many columns a row may have, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    /// As many as the data hold.
    Free,
    /// So many were expected; a row may have fewer, since it leaves out what it likes.
    AtMost(usize),
}

impl Width {
    pub(crate) fn of(expected: Option<usize>) -> Width {
        expected.map_or(Width::Free, Width::AtMost)
    }

    /// Features of a row; 0 where it holds what it likes.
    pub(crate) fn expected(self) -> usize {
        match self {
            Width::Free => 0,
            Width::AtMost(width) => width,
        }
    }

    /// The column as a number, or what is wrong with it.
    #[inline]
    pub(crate) fn column(self, index: u64) -> Result<u32, (String, String)> {
        let bound = match self {
            Width::Free => SPARSE_COLUMNS_MAX,
            Width::AtMost(width) => width,
        };
        if index < bound as u64 { Ok(index as u32) } else { Err(self.refused(index)) }
    }

    #[cold]
    fn refused(self, index: u64) -> (String, String) {
        match self {
            Width::Free => (
                format!("the index {index} is beyond {}", SPARSE_COLUMNS_MAX - 1),
                format!("number the features from 0, below {SPARSE_COLUMNS_MAX}"),
            ),
            Width::AtMost(width) => (
                format!("the index {index} is beyond the {width} features that are expected"),
                "indices count from 0; leave out features that were not there in training".into(),
            ),
        }
    }
}

/// What stands where a row leaves a cell out, for readers that want every cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fill {
    pub(crate) width: usize,
    pub(crate) absent: Absent,
}

impl Fill {
    /// Turns sparse rows into whole ones.
    pub(crate) fn apply(self, rows: &mut Rows) {
        if let Some(entries) = rows.entries.take() {
            entries.fill(self.width, self.absent.value(), &mut rows.features);
        }
    }

    /// Bytes of text in a block, so that its rows, of two bytes or more each, do not take more than
    /// [`FILLED_BYTES`] of memory once they are whole.
    pub(crate) fn block_bytes(self, wanted: usize) -> usize {
        wanted.min(FILLED_BYTES / (2 * self.width.max(1))).max(1)
    }
}

const FILLED_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(rows: &[Vec<(u32, f32)>]) -> Entries {
        let mut entries = Entries::default();
        for row in rows {
            row.iter().for_each(|(column, value)| entries.push(*column, *value));
            entries.end_row().unwrap();
        }
        entries
    }

    #[test]
    fn a_row_out_of_order_is_put_in_order_and_a_column_twice_is_told() {
        let sorted = entries(&[vec![(5, 5.0), (0, 0.5), (2, 2.0)]]).finish(0);
        assert_eq!((sorted.width, sorted.columns), (6, vec![0, 2, 5]));
        assert_eq!(sorted.values, [0.5, 2.0, 5.0]);
        let mut twice = Entries::default();
        [3, 1, 3].iter().for_each(|column| twice.push(*column, 1.0));
        assert_eq!(twice.end_row(), Err(3));
    }

    proptest! {
        #[test]
        fn joined_blocks_are_the_rows_whole(
            rows in prop::collection::vec(
                prop::collection::btree_map(0u32..20, -3.0f32..3.0, 0..6), 0..12),
            cut in 0usize..12,
        ) {
            let rows: Vec<Vec<(u32, f32)>> =
                rows.into_iter().map(|row| row.into_iter().collect()).collect();
            let cut = cut.min(rows.len());
            let mut joined = entries(&rows[..cut]);
            prop_assert!(joined.append(&entries(&rows[cut..])));
            let mut dense = Vec::new();
            joined.fill(20, f32::NAN, &mut dense);
            let whole = entries(&rows).finish(20);
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(whole.dense(f32::NAN).as_slice().unwrap()), bits(&dense));
            prop_assert_eq!(joined.finish(20), whole);
        }
    }
}
