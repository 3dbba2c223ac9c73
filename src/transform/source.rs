//! What an object is read as: text in pieces of whole records, or rows that are decoded already.

use ndarray::Array2;

use crate::data::channel::{self, Batches, Object, Parts, batches};
use crate::data::split::{Piece, Split, Splitter};
use crate::data::{self, Signature};
use crate::spec::train::{Format, LabelColumn, Media};

/// An object being read.
pub(super) enum Source {
    Text(Splitter),
    Rows(Box<Rows>),
}

/// Rows of a format whose records are no text: parquet.
pub(super) struct Rows {
    batches: Batches,
    name: String,
    /// The names that the columns must have, where both sides name them.
    wanted: Vec<String>,
    /// Rows handed over.
    done: u64,
}

/// Some records.
pub(super) enum Part {
    Text(Piece),
    /// Rows, and the number of the first of them, from 1.
    Rows(Array2<f32>, u64),
}

impl Source {
    /// Opens an object of text; see [`Splitter::open`].
    ///
    /// # Errors
    /// When its first bytes cannot be read.
    pub(super) fn text(
        object: Object,
        split: Split,
        piece_bytes: usize,
        record_bytes_max: usize,
    ) -> Result<Source, data::Error> {
        Splitter::open(object, split, piece_bytes, record_bytes_max).map(Source::Text)
    }

    /// Opens a parquet object, which may hold `memory_bytes_max` bytes.
    ///
    /// # Errors
    /// When the machine gives no threads.
    pub(super) fn rows(
        object: Object,
        signature: &Signature,
        memory_bytes_max: u64,
        parts: Option<Parts>,
    ) -> Result<Source, data::Error> {
        let name = object.uri.clone();
        let format = Format { label: LabelColumn::None, ..Format::new(Media::Parquet) };
        let options = channel::Options {
            features: Some(signature.features),
            categories: Some(signature.vocabulary().clone()),
            absent: signature.absent,
            // The job's own threads answer; this one decodes ahead of them.
            threads: 1,
            memory_bytes_max,
            parts,
            ..channel::Options::new("input")
        };
        let batches = batches(vec![object], &format, &options)?;
        let wanted = signature.columns.clone();
        Ok(Source::Rows(Box::new(Rows { batches, name, wanted, done: 0 })))
    }

    /// The next records, in order; `None` at the end.
    ///
    /// # Errors
    /// What is wrong with them, with their place.
    pub(super) fn next_part(&mut self) -> Result<Option<Part>, data::Error> {
        match self {
            Source::Text(splitter) => splitter.next_piece().map(|piece| piece.map(Part::Text)),
            Source::Rows(rows) => rows.next_part(),
        }
    }
}

impl Rows {
    fn next_part(&mut self) -> Result<Option<Part>, data::Error> {
        let Some(batch) = self.batches.next() else { return Ok(None) };
        let rows = batch?.features;
        if self.done == 0 {
            self.check_names()?;
        }
        let first = self.done + 1;
        self.done += rows.nrows() as u64;
        // A model reads row after row; a decoded batch stands column after column.
        Ok(Some(Part::Rows(rows.as_standard_layout().into_owned(), first)))
    }

    fn check_names(&self) -> Result<(), data::Error> {
        let found = self.batches.columns();
        let differ = found.iter().zip(&self.wanted).position(|(found, wanted)| found != wanted);
        let Some(at) = differ else { return Ok(()) };
        Err(data::Error::whole(
            self.name.clone(),
            format!(
                "column {} is named {:?} where the model has {:?}",
                at + 1,
                found[at],
                self.wanted[at]
            ),
            "give the columns of training, in their order",
        ))
    }
}
