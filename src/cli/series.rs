//! `smrt predict --series`: the rows of a series, as the overlapping shingles a model takes.
//!
//! Rows come in pieces of any size; the last ones of a piece are kept, so that the shingles are
//! those of the series in one piece.

use ndarray::{Array2, ArrayView2};

/// Numbers of the shingles that are made at a time, at most, if one shingle has fewer.
const VALUES: usize = 1 << 20;

/// A series that is read row by row.
pub(super) struct Series {
    shingle: usize,
    columns: usize,
    /// Rows that belong to shingles still to come, and those just read.
    kept: Vec<f32>,
}

impl Series {
    /// `shingle` rows of `columns` numbers make one row for the model.
    pub(super) fn new(shingle: usize, columns: usize) -> Series {
        Series { shingle, columns, kept: Vec::new() }
    }

    /// The shingles that end with one of `rows`, oldest row first; as many as are wanted until
    /// `take` says that it has enough.
    #[expect(clippy::needless_pass_by_value, reason = "a view is a reference")]
    pub(super) fn each<E>(
        &mut self,
        rows: ArrayView2<'_, f32>,
        mut take: impl FnMut(ArrayView2<'_, f32>) -> Result<bool, E>,
    ) -> Result<bool, E> {
        self.kept.extend(rows.iter());
        let width = self.shingle * self.columns;
        let count = (self.kept.len() / self.columns + 1).saturating_sub(self.shingle);
        for first in (0..count).step_by((VALUES / width).max(1)) {
            let last = count.min(first + (VALUES / width).max(1));
            let of = |at: usize| &self.kept[at * self.columns..at * self.columns + width];
            let values: Vec<f32> = (first..last).flat_map(of).copied().collect();
            let shingles = Array2::from_shape_vec((last - first, width), values);
            if !take(shingles.expect("every shingle is whole").view())? {
                return Ok(false);
            }
        }
        self.kept.drain(..count * self.columns);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Axis, Slice};

    use super::*;

    #[test]
    fn the_shingles_of_pieces_are_those_of_the_whole() {
        let rows = Array2::from_shape_fn((50, 2), |(row, column)| (10 * row + column) as f32);
        for (shingle, step) in [(1, 7), (4, 1), (4, 3), (4, 50), (50, 9), (51, 9)] {
            let mut series = Series::new(shingle, 2);
            let mut found: Vec<f32> = Vec::new();
            for first in (0..50).step_by(step) {
                let piece = rows.slice_axis(Axis(0), Slice::from(first..(first + step).min(50)));
                let go_on = series.each(piece, |shingles| {
                    found.extend(shingles.iter());
                    Ok::<bool, ()>(true)
                });
                assert_eq!(go_on, Ok(true));
            }
            let expected: Vec<f32> = rows
                .axis_windows(Axis(0), shingle)
                .into_iter()
                .flat_map(|shingle| shingle.iter().copied().collect::<Vec<f32>>())
                .collect();
            assert_eq!(found, expected, "{shingle} rows, {step} at a time");
        }
    }
}
