//! The rows of a channel as the engine reads them: a matrix, or compressed sparse rows.
//!
//! A cell that a sparse row leaves out is a missing value, as XGBoost reads libsvm. Sparse rows are
//! never filled up as a whole: a tree looks its few columns up, and an answer is made for some
//! rows at a time.

use ndarray::{ArrayView2, Axis, Slice};

use crate::data::{Dataset, Sparse};

/// Rows, borrowed.
#[derive(Debug, Clone, Copy)]
pub enum Rows<'a> {
    /// rows × columns; a missing value is NaN.
    Dense(ArrayView2<'a, f32>),
    /// Absent cells are missing.
    Sparse(&'a Sparse),
}

impl<'a> Rows<'a> {
    /// The rows of a channel.
    pub fn of(data: &'a Dataset) -> Rows<'a> {
        match &data.sparse {
            Some(sparse) => Rows::Sparse(sparse),
            None => Rows::Dense(data.features.view()),
        }
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        match self {
            Rows::Dense(rows) => rows.nrows(),
            Rows::Sparse(rows) => rows.rows(),
        }
    }

    /// Columns of a row.
    pub fn width(&self) -> usize {
        match self {
            Rows::Dense(rows) => rows.ncols(),
            Rows::Sparse(rows) => rows.width,
        }
    }

    /// One cell.
    #[inline]
    pub fn at(&self, row: usize, column: usize) -> f32 {
        match self {
            Rows::Dense(rows) => rows[[row, column]],
            Rows::Sparse(rows) => {
                let (columns, values) = rows.row(row);
                columns.binary_search(&(column as u32)).map_or(f32::NAN, |at| values[at])
            }
        }
    }

    /// Rows `first..first + count` one behind the other, absent cells filled up: borrowed where
    /// they lie so, else written into `scratch`.
    pub fn block<'b>(&'b self, first: usize, count: usize, scratch: &'b mut Vec<f32>) -> &'b [f32] {
        scratch.clear();
        match self {
            Rows::Dense(rows) => {
                let whole = rows.as_slice();
                if let Some(values) = whole {
                    return &values[first * rows.ncols()..][..count * rows.ncols()];
                }
                scratch.extend(rows.slice_axis(Axis(0), Slice::from(first..first + count)).iter());
            }
            Rows::Sparse(rows) => {
                scratch.resize(count * rows.width, f32::NAN);
                for (row, out) in scratch.chunks_exact_mut(rows.width.max(1)).enumerate() {
                    let (columns, values) = rows.row(first + row);
                    for (column, value) in columns.iter().zip(values) {
                        out[*column as usize] = *value;
                    }
                }
            }
        }
        scratch
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn sparse_rows_read_as_their_matrix() {
        let sparse = Sparse {
            width: 3,
            offsets: vec![0, 2, 2, 3],
            columns: vec![0, 2, 1],
            values: vec![1.0, 2.0, 0.0],
        };
        let dense = sparse.dense(f32::NAN);
        let (one, two) = (Rows::Sparse(&sparse), Rows::Dense(dense.view()));
        let bits = |rows: Rows<'_>, row, column| rows.at(row, column).to_bits();
        for (row, column) in (0..3).flat_map(|row| (0..3).map(move |column| (row, column))) {
            assert_eq!(bits(one, row, column), bits(two, row, column));
        }
        let mut scratch = Vec::new();
        assert_eq!(one.block(2, 1, &mut scratch)[1], 0.0);
        let turned = array![[1.0f32, 2.0], [3.0, 4.0]];
        let turned = Rows::Dense(turned.t());
        assert_eq!(turned.block(1, 1, &mut scratch), [2.0, 4.0]);
    }
}
