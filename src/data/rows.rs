//! Decoded rows on their way from a decoder to a batch or a dataset: row after row, as they stood.

use super::label::LabelRows;

/// Rows of one block.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// rows × features, row after row.
    pub(crate) features: Vec<f32>,
    /// How many.
    pub(crate) count: usize,
    /// One for each row, when the channel has labels.
    pub(crate) label: LabelRows,
    /// Lines of the block, counted in the file.
    pub(crate) lines: u64,
}

/// What all records of a channel look like.
#[derive(Debug)]
pub(crate) enum Layout {
    Csv(super::csv::Layout),
    JsonLines(super::jsonl::Layout),
}

impl Layout {
    /// Features of a row.
    pub(crate) fn features(&self) -> usize {
        match self {
            Layout::Csv(layout) => layout.features(),
            Layout::JsonLines(layout) => layout.features,
        }
    }

    /// Whether rows have a label.
    pub(crate) fn has_label(&self) -> bool {
        match self {
            Layout::Csv(layout) => layout.label.is_some(),
            Layout::JsonLines(layout) => layout.label.is_some(),
        }
    }

    /// Names of the features; empty when the data give none.
    pub(crate) fn feature_names(&self) -> Vec<String> {
        match self {
            Layout::Csv(layout) => layout.feature_names(),
            Layout::JsonLines(layout) => layout.names.clone(),
        }
    }

    /// A column's name, by its place in the file.
    pub(crate) fn column_name(&self, column: usize) -> Option<String> {
        match self {
            Layout::Csv(layout) => layout.names.get(column).cloned(),
            Layout::JsonLines(layout) => layout.names.get(column).cloned(),
        }
    }
}
