//! Rows in host memory.

use std::sync::Arc;

use ndarray::Array2;

/// A block of decoded rows, column by column.
#[derive(Debug, Clone)]
pub struct Batch {
    /// rows × columns, in column-major order: each column is one contiguous slice.
    /// A missing value is NaN.
    pub features: Array2<f32>,
    /// One per row, when the channel has labels.
    pub label: Option<Labels>,
    /// One per row, when the channel has weights.
    pub weight: Option<Vec<f32>>,
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
    pub features: Array2<f32>,
    /// One per row, when the channel has labels.
    pub label: Option<Labels>,
    /// One per row, when the channel has weights.
    pub weight: Option<Vec<f32>>,
    /// Names of the features, when the file gave them; otherwise empty.
    pub columns: Arc<[String]>,
    /// What was read, for provenance.
    pub sources: Vec<Source>,
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
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.features.nrows()
    }
}
