//! Decoded rows on their way from a decoder to a batch or a dataset: row after row, as they stood.

use std::collections::BTreeSet;

use super::group::GroupRows;
use super::label::{LabelRows, Refused};
use super::number::{self, Cell};
use super::roles::{Role, Roles};
use super::sparse::Entries;
use super::words::Words;

/// Rows of one block.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// rows × features, row after row. A cell of a column of words is a code: of the model's words
    /// where those are known, else into `words`.
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
    pub(crate) group: GroupRows,
    /// The words of this block, for each column of words, unless they are known before.
    pub(crate) words: Vec<Words>,
    /// Features in which a word was met though they were taken for numbers
    /// ([`Roles::survey`]): the rows are not to be used.
    pub(crate) surprises: BTreeSet<usize>,
    /// Lines of the block, counted in the file.
    pub(crate) lines: u64,
}

impl Rows {
    /// Ready for rows with these roles, in the memory of `features`.
    pub(crate) fn of(roles: &Roles, mut features: Vec<f32>) -> Rows {
        features.clear();
        let mut rows = Rows { features, ..Rows::default() };
        if roles.known.is_none() {
            rows.words.resize_with(roles.words.len(), Words::default);
        }
        rows
    }

    /// The code of a cell in the `slot`-th column of words.
    pub(crate) fn word(&mut self, roles: &Roles, slot: usize, text: &[u8]) -> Result<f32, Refused> {
        match &roles.known {
            Some(known) => known.code(roles.words[slot], text),
            None => self.words[slot].code(text),
        }
    }

    /// Adds a weight as it stands in the file.
    pub(crate) fn push_weight(&mut self, text: &[u8]) -> Result<(), Refused> {
        match number::parse(text) {
            Ok(Cell::Value(weight)) if weight >= 0.0 => {
                self.weight.push(weight);
                Ok(())
            }
            Ok(Cell::Missing) => Err((
                "the weight is missing".into(),
                "every row needs a weight; write 1 where it counts once".into(),
            )),
            _ => Err((
                format!("the weight {} is not a number from 0 upwards", super::error::shown(text)),
                "a weight says how often a row counts: 0 or more".into(),
            )),
        }
    }
}

/// What all records of a channel look like.
#[derive(Debug)]
pub(crate) enum Layout {
    Csv(super::csv::Layout),
    JsonLines(super::jsonl::Layout),
    Libsvm(super::libsvm::Layout),
    RecordIo(super::recordio::Layout),
    Parquet(super::parquet::Layout),
}

impl Layout {
    /// What each column is for.
    pub(crate) fn roles(&self) -> &Roles {
        match self {
            Layout::Csv(layout) => &layout.roles,
            Layout::JsonLines(layout) => &layout.roles,
            Layout::Libsvm(layout) => &layout.roles,
            Layout::RecordIo(layout) => &layout.roles,
            Layout::Parquet(layout) => &layout.roles,
        }
    }

    /// The same records with other roles.
    pub(crate) fn with_roles(self, roles: Roles) -> Layout {
        match self {
            Layout::Csv(layout) => Layout::Csv(super::csv::Layout { roles, ..layout }),
            Layout::JsonLines(layout) => Layout::JsonLines(layout.with_roles(roles)),
            Layout::Libsvm(mut layout) => {
                layout.roles = roles;
                Layout::Libsvm(layout)
            }
            Layout::RecordIo(mut layout) => {
                layout.roles = roles;
                Layout::RecordIo(layout)
            }
            Layout::Parquet(layout) => Layout::Parquet(super::parquet::Layout { roles, ..layout }),
        }
    }

    /// What messages call the column of a feature: its place in the file, or among the features
    /// where records name their fields.
    pub(crate) fn column_of(&self, feature: usize) -> usize {
        match self {
            Layout::Csv(layout) => layout.roles.column_of(feature).unwrap_or(feature),
            Layout::Parquet(layout) => layout.roles.column_of(feature).unwrap_or(feature),
            Layout::JsonLines(_) | Layout::Libsvm(_) | Layout::RecordIo(_) => feature,
        }
    }

    /// Features of a row; 0 where a row holds what it likes.
    pub(crate) fn features(&self) -> usize {
        self.roles().features
    }

    /// Whether rows have a label.
    pub(crate) fn has_label(&self) -> bool {
        self.roles().has(Role::Label)
    }

    /// Names of the features; empty when the data give none.
    pub(crate) fn feature_names(&self) -> Vec<String> {
        match self {
            Layout::Csv(layout) => layout.roles.feature_names(&layout.names),
            Layout::JsonLines(layout) => layout.names.clone(),
            Layout::Libsvm(_) | Layout::RecordIo(_) => Vec::new(),
            Layout::Parquet(layout) => layout.roles.feature_names(&layout.names),
        }
    }

    /// A column's name, by its place in the file.
    pub(crate) fn column_name(&self, column: usize) -> Option<String> {
        match self {
            Layout::Csv(layout) => layout.names.get(column).cloned(),
            Layout::JsonLines(layout) => layout.names.get(column).cloned(),
            Layout::Libsvm(_) | Layout::RecordIo(_) => None,
            Layout::Parquet(layout) => layout.names.get(column).cloned(),
        }
    }
}
