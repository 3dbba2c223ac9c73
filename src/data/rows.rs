//! Decoded rows on their way from a decoder to a batch or a dataset: row after row, as they stood.

use super::label::LabelRows;
use super::sparse::{Entries, Width};

/// Rows of one block.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// rows × features, row after row.
    pub(crate) features: Vec<f32>,
    /// The rows instead, where the format leaves cells out.
    pub(crate) entries: Option<Entries>,
    /// How many.
    pub(crate) count: usize,
    /// One for each row, when the channel has labels.
    pub(crate) label: LabelRows,
    /// One for each row, when the channel has weights.
    pub(crate) weight: Vec<f32>,
    /// One for each row, when the channel has query groups.
    pub(crate) group: Vec<u32>,
    /// Lines of the block, counted in the file.
    pub(crate) lines: u64,
}

/// What all records of a channel look like.
#[derive(Debug)]
pub(crate) enum Layout {
    Csv(super::csv::Layout),
    JsonLines(super::jsonl::Layout),
    Libsvm(super::libsvm::Layout),
}

impl Layout {
    /// Features of a row; 0 where a row holds what it likes.
    pub(crate) fn features(&self) -> usize {
        match self {
            Layout::Csv(layout) => layout.features(),
            Layout::JsonLines(layout) => layout.features,
            Layout::Libsvm(layout) => match layout.width {
                Width::AtMost(width) => width,
                Width::Free => 0,
            },
        }
    }

    /// Whether rows have a label.
    pub(crate) fn has_label(&self) -> bool {
        match self {
            Layout::Csv(layout) => layout.label.is_some(),
            Layout::JsonLines(layout) => layout.label.is_some(),
            Layout::Libsvm(layout) => layout.label,
        }
    }

    /// Whether rows have a weight.
    pub(crate) fn has_weight(&self) -> bool {
        matches!(self, Layout::Libsvm(layout) if layout.weight)
    }

    /// Whether rows belong to query groups.
    pub(crate) fn has_group(&self) -> bool {
        matches!(self, Layout::Libsvm(layout) if layout.group)
    }

    /// Names of the features; empty when the data give none.
    pub(crate) fn feature_names(&self) -> Vec<String> {
        match self {
            Layout::Csv(layout) => layout.feature_names(),
            Layout::JsonLines(layout) => layout.names.clone(),
            Layout::Libsvm(_) => Vec::new(),
        }
    }

    /// A column's name, by its place in the file.
    pub(crate) fn column_name(&self, column: usize) -> Option<String> {
        match self {
            Layout::Csv(layout) => layout.names.get(column).cloned(),
            Layout::JsonLines(layout) => layout.names.get(column).cloned(),
            Layout::Libsvm(_) => None,
        }
    }
}
