//! Rows in host memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::Array2;

use super::pages::Pages;

/// A block of decoded rows, column by column.
#[derive(Debug, Clone)]
pub struct Batch {
    /// rows × columns, in column-major order: each column is one contiguous slice.
    /// A missing value is NaN. Without columns when the rows are [`sparse`](Self::sparse).
    pub features: Array2<f32>,
    /// The rows, where the format leaves absent cells out and nobody asked to fill them up.
    pub sparse: Option<Sparse>,
    /// One per row, when the channel has labels.
    pub label: Option<Labels>,
    /// One per row, when the channel has weights.
    pub weight: Option<Vec<f32>>,
    /// One per row, when the channel has query groups: rows of one group stand together.
    pub group: Option<Vec<u32>>,
}

/// The words of each column that holds words, by column from 0. A cell is the position of its word
/// in this list; a word that is not in it is a missing value.
pub type Categories = BTreeMap<usize, Vec<String>>;

/// Rows of which most cells are absent: compressed sparse rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Sparse {
    /// Features per row, the absent ones counted.
    pub width: usize,
    /// Row `i` has the entries `offsets[i]..offsets[i + 1]`; one more than there are rows.
    pub offsets: Vec<usize>,
    /// Column of each entry, from 0, ascending within a row.
    pub columns: Vec<u32>,
    /// Value of each entry.
    pub values: Vec<f32>,
}

/// A label column as it stood in the file.
#[derive(Debug, Clone, PartialEq)]
pub enum Labels {
    /// Every value was a number.
    Number(Vec<f32>),
    /// At least one was a word: codes into `names`, which are in order of first appearance.
    Text {
        /// One code per row.
        codes: Vec<u32>,
        /// The words.
        names: Vec<String>,
    },
}

/// A whole channel in memory, ready for an algorithm.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// rows × columns, row-major: the layout gradient-trained models read. Missing values are NaN.
    /// Without columns when the rows are [`sparse`](Self::sparse).
    pub features: Array2<f32>,
    /// The rows, where the format leaves absent cells out and the algorithm reads such rows
    /// ([`Reads::sparse`](crate::algorithm::Reads)); `None` otherwise.
    pub sparse: Option<Sparse>,
    /// The columns of words; their cells are codes.
    pub categories: Categories,
    /// One per row, when the channel has labels.
    pub label: Option<Labels>,
    /// One per row, when the channel has weights.
    pub weight: Option<Vec<f32>>,
    /// One per row, when the channel has query groups: rows of one group stand together.
    pub group: Option<Vec<u32>>,
    /// Names of the features, when the file gave them; otherwise empty.
    pub columns: Arc<[String]>,
    /// What was read, for provenance.
    pub sources: Vec<Source>,
    /// The features, where they do not fit into memory; `features` has no columns then. Only who
    /// says so is given such a channel
    /// ([`Trainer::streams`](crate::algorithm::Trainer::streams)).
    pub pages: Option<Arc<Pages>>,
}

/// One object that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it lay.
    pub uri: String,
    /// Stored size.
    pub bytes: u64,
    /// SHA-256 of the stored bytes, lower-case hex.
    pub sha256: String,
}

impl Dataset {
    /// Rows × columns of numbers, and nothing besides.
    pub fn of(features: Array2<f32>) -> Dataset {
        Dataset {
            features,
            sparse: None,
            categories: Categories::new(),
            label: None,
            weight: None,
            group: None,
            columns: Arc::from([]),
            sources: Vec::new(),
            pages: None,
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.sparse.as_ref().map_or(self.features.nrows(), Sparse::rows)
    }

    /// Features per row.
    pub fn width(&self) -> usize {
        match (&self.sparse, &self.pages) {
            (Some(sparse), _) => sparse.width,
            (_, Some(pages)) => pages.width(),
            _ => self.features.ncols(),
        }
    }
}

impl Sparse {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Columns and values of one row.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[row]..self.offsets[row + 1];
        (&self.columns[range.clone()], &self.values[range])
    }

    /// Rows × columns with `absent` where a row has no entry.
    pub fn dense(&self, absent: f32) -> Array2<f32> {
        let mut dense = Array2::from_elem((self.rows(), self.width), absent);
        for (row, mut cells) in dense.rows_mut().into_iter().enumerate() {
            let (columns, values) = self.row(row);
            for (column, value) in columns.iter().zip(values) {
                cells[*column as usize] = *value;
            }
        }
        dense
    }
}
