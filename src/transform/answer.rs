//! A piece of records to the bytes of their answers.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, Axis, Slice};

use crate::algorithm::Ask;
use crate::data::media::{Accept, ContentType};
use crate::data::request::{self, Limits};
use crate::data::split::{self, Piece, Split};
use crate::data::{Signature, answer};
use crate::fault::{Fault, Kind};
use crate::model::Model;
use crate::spec::limit::BLOCK_ROWS_MAX;
use crate::spec::train::Media;
use crate::spec::transform::{
    AssembleWith, BatchStrategy, JoinSource, Processing, SplitType, TransformJob,
};

use super::error::Error;
use super::select::{self, Wrong};
use super::source::Part;

/// How an output stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A line for each record.
    Lines,
    /// A frame of RecordIO for each record.
    Frames,
    /// A JSON document for each record, and what follows it.
    Documents(&'static [u8]),
    /// One JSON document over all of the object's records.
    Document,
}

/// Answers pieces; shared by the threads of a job.
pub(super) struct Answerer<'a> {
    model: &'a Model,
    content: ContentType,
    accept: Accept,
    ask: Ask,
    /// Of the list in the model's documents.
    key: &'static str,
    processing: &'a Processing,
    /// How objects are split.
    pub(super) split: Split,
    /// How outputs stand.
    pub(super) shape: Shape,
}

/// The answers of one piece.
pub(super) struct Answered {
    pub(super) bytes: Vec<u8>,
    pub(super) records: usize,
}

/// Why a piece was not answered.
enum Failed {
    /// A record is wrong.
    Record(Wrong),
    /// The model, whatever the record.
    Model(Error),
}

impl From<Wrong> for Failed {
    fn from(wrong: Wrong) -> Failed {
        Failed::Record(wrong)
    }
}

impl<'a> Answerer<'a> {
    /// Asks the model once for what every record will be answered.
    ///
    /// # Errors
    /// When the model does not have it: better now than at the first object.
    pub(super) fn new(
        job: &'a TransformJob,
        model: &'a Model,
        (accept, ask): (Accept, Ask),
    ) -> Result<Answerer<'a>, Error> {
        let features = model.manifest.signature.features;
        let sample = model.predict_with(Array2::zeros((1, features)).view(), &ask)?;
        let split = match (job.input.media, job.input.split) {
            (media, SplitType::TFRecord) => Split::TfRecord { framed: media == Media::RecordIo },
            (Media::RecordIo, _) => Split::RecordIo,
            (Media::Json, SplitType::None) => Split::Whole,
            _ => Split::Lines { header: job.input.header },
        };
        let after: &[u8] = if job.output.assemble == AssembleWith::Line { b"\n" } else { b"" };
        let single =
            job.strategy == BatchStrategy::SingleRecord && job.input.split != SplitType::None;
        let shape = match job.output.media {
            Media::RecordIo => Shape::Frames,
            Media::Json if single || split == Split::Whole => Shape::Documents(after),
            Media::Json => Shape::Document,
            _ => Shape::Lines,
        };
        let content = ContentType::from(job.input.media);
        let (processing, key) = (&job.processing, sample.key);
        Ok(Answerer { model, content, accept, ask, key, processing, split, shape })
    }

    /// What goes into the model.
    pub(super) fn signature(&self) -> &Signature {
        &self.model.manifest.signature
    }

    /// Answers a part of the object that messages call `name`.
    ///
    /// # Errors
    /// The first record that is wrong, by its line; or what is wrong with the model.
    pub(super) fn answer(&self, name: &str, part: &Part) -> Result<Answered, Error> {
        match part {
            Part::Text(piece) => self.answer_text(name, piece),
            Part::Rows(rows, first) => self.answer_rows(name, &rows.view(), *first),
        }
    }

    fn answer_rows(
        &self,
        name: &str,
        rows: &ArrayView2<'_, f32>,
        first: u64,
    ) -> Result<Answered, Error> {
        let answer = |rows: ArrayView2<'_, f32>| {
            let values = rows.as_slice().expect("rows stand one after the other");
            let answers = self.predict(values)?;
            match self.processes_answers() {
                false => self.shaped(answers, rows.nrows()),
                true => self.filtered(answers, rows.nrows()),
            }
        };
        let why = match answer(*rows) {
            Ok(bytes) => return Ok(Answered { bytes, records: rows.nrows() }),
            Err(Failed::Model(error)) => return Err(error),
            Err(Failed::Record(why)) => why,
        };
        let wrong = (0..rows.nrows()).find_map(|at| {
            match answer(rows.slice_axis(Axis(0), Slice::from(at..=at))) {
                Err(Failed::Record(why)) => Some((at as u64, why)),
                _ => None,
            }
        });
        let (at, (what, help)) = wrong.unwrap_or((0, why));
        Err(split::bad(name, Split::RecordIo, Some(first + at), what, help).into())
    }

    fn answer_text(&self, name: &str, piece: &Piece) -> Result<Answered, Error> {
        let why = match self.piece(piece) {
            Ok(bytes) => return Ok(Answered { bytes, records: piece.records }),
            Err(Failed::Model(error)) => return Err(error),
            Err(Failed::Record(why)) => why,
        };
        // The decoder counts rows of what it was given: each record by itself finds its line.
        for (at, record) in piece.each(self.split).enumerate() {
            if let Err(Failed::Record((what, help))) = self.records(record, 1) {
                let what = ["row 1: ", "row 1, "]
                    .into_iter()
                    .find_map(|front| what.strip_prefix(front))
                    .unwrap_or(&what);
                let at = Some(piece.first + at as u64);
                return Err(split::bad(name, self.split, at, what, help).into());
            }
        }
        let (what, help) = why;
        Err(split::bad(name, self.split, Some(piece.first), what, help).into())
    }

    fn piece(&self, piece: &Piece) -> Result<Vec<u8>, Failed> {
        // Each line is a request of its own, whose rows nobody else counts.
        if self.content.media == Media::Json && self.split != Split::Whole {
            let mut out = Vec::new();
            for record in piece.each(self.split) {
                out.extend(self.records(record, 1)?);
            }
            return Ok(out);
        }
        self.records(piece.text(), piece.records)
    }

    /// Answers `count` records.
    fn records(&self, text: &[u8], count: usize) -> Result<Vec<u8>, Failed> {
        let filtered;
        let features = match self.processing.input_filter.is_whole() {
            true => text,
            false => {
                filtered = self.features(text)?;
                &filtered
            }
        };
        let mut values = Vec::new();
        let signature = &self.model.manifest.signature;
        let limits = Limits { rows_max: usize::MAX, values_max: usize::MAX };
        let rows = request::decode_into(&self.content, features, signature, &limits, &mut values)
            .map_err(told)?;
        let rows_are_records = self.content.media != Media::Json;
        if rows_are_records && rows != count {
            let what = format!("{count} records were read as {rows} rows");
            return Err(Failed::Record((what, "write one record on each line".into())));
        }
        let answers = self.predict(&values)?;
        if !self.processes_answers() {
            return self.shaped(answers, rows);
        }
        self.processed(text, answers, rows)
    }

    fn processes_answers(&self) -> bool {
        self.processing.join == JoinSource::Input || !self.processing.output_filter.is_whole()
    }

    /// What the input filter leaves of each record.
    fn features(&self, text: &[u8]) -> Result<Vec<u8>, Wrong> {
        let path = &self.processing.input_filter;
        if self.split == Split::Whole {
            return select::json(text, path).map(|found| found.into_owned());
        }
        let (mut out, mut scratch) = (Vec::with_capacity(text.len()), Vec::new());
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            match self.content.media {
                Media::Csv => select::csv(without_end(line), path, &mut scratch, &mut out)?,
                _ => out.extend_from_slice(&select::json(line, path)?),
            }
            out.push(b'\n');
        }
        Ok(out)
    }

    /// The answers in lines, or in frames.
    fn predict(&self, values: &[f32]) -> Result<Vec<u8>, Failed> {
        let features = self.model.manifest.signature.features;
        let accept = match self.shape {
            Shape::Lines | Shape::Frames => self.accept.clone(),
            Shape::Documents(_) | Shape::Document => Media::JsonLines.into(),
        };
        let mut out = Vec::new();
        for values in values.chunks((BLOCK_ROWS_MAX * features).max(1)) {
            let rows = ArrayView2::from_shape((values.len() / features.max(1), features), values)
                .expect("rows times features values were decoded");
            let answer = self.model.predict_with(rows, &self.ask).map_err(refused)?;
            if let Some(row) = answer.first_not_finite() {
                return Err(Failed::Record(not_finite(&values[row * features..][..features])));
            }
            match self.ask.is_plain() {
                true => answer::encode(&answer, &accept, &mut out),
                false => answer::encode_fields(&answer, &accept, &mut out),
            }
            if self.shape != Shape::Frames && out.last().is_some_and(|byte| *byte != b'\n') {
                out.push(b'\n');
            }
        }
        Ok(out)
    }

    /// Lines of answers as the output has them.
    fn shaped(&self, answers: Vec<u8>, rows: usize) -> Result<Vec<u8>, Failed> {
        match self.shape {
            Shape::Lines => {
                // Each end is one answer's: a name with a line feed in it would make two of one.
                let lines = memchr::memchr_iter(b'\n', &answers).count();
                match lines == rows {
                    true => Ok(answers),
                    false => Err(Failed::Record((
                        "an answer has a line feed in it".into(),
                        "accept application/jsonlines, which writes it as \\n".into(),
                    ))),
                }
            }
            Shape::Frames => Ok(answers),
            Shape::Document => Ok(entries(&answers)),
            Shape::Documents(after) => {
                let documents: Vec<&[u8]> = match self.content.media {
                    Media::Json => vec![&answers],
                    _ => answers.split_inclusive(|byte| *byte == b'\n').collect(),
                };
                let ended = |lines: &&[u8]| [&self.document(lines), after].concat();
                Ok(documents.iter().flat_map(ended).collect())
            }
        }
    }

    /// One document over lines of answers.
    fn document(&self, answers: &[u8]) -> Vec<u8> {
        [self.head().as_bytes(), &entries(answers), TAIL].concat()
    }

    /// What a document begins with.
    pub(super) fn head(&self) -> String {
        format!("{{\"{}\":[", self.key)
    }

    /// What the output filter leaves of answers to records that are no text.
    fn filtered(&self, answers: Vec<u8>, rows: usize) -> Result<Vec<u8>, Failed> {
        let nothing = vec![b'\n'; rows];
        self.processed(&nothing, answers, rows)
    }

    /// Answers joined with their records, and what the output filter leaves of them.
    fn processed(&self, text: &[u8], answers: Vec<u8>, rows: usize) -> Result<Vec<u8>, Failed> {
        let answers = match self.shape {
            Shape::Lines => self.shaped(answers, rows)?,
            _ => answers,
        };
        let after: &[u8] = match self.shape {
            Shape::Documents(after) => after,
            _ => b"\n",
        };
        let lines = || answers.split_inclusive(|byte| *byte == b'\n').map(without_end);
        let (mut out, mut scratch) = (Vec::with_capacity(answers.len() + text.len()), Vec::new());
        let mut put = |record: &[u8], answer: &[u8]| {
            self.one(record, answer, &mut scratch, &mut out)?;
            out.extend_from_slice(after);
            Ok::<_, Failed>(())
        };
        let wraps = matches!(self.shape, Shape::Documents(_));
        match (self.content.media == Media::Json, wraps) {
            (true, true) => put(text, &self.document(&answers))?,
            (true, false) => lines().try_for_each(|line| put(text, line))?,
            (false, _) => {
                for (record, line) in text.split_inclusive(|byte| *byte == b'\n').zip(lines()) {
                    match wraps {
                        true => put(record, &self.document(line))?,
                        false => put(record, line)?,
                    }
                }
            }
        }
        Ok(out)
    }

    /// Appends one answer, joined and filtered.
    fn one(
        &self,
        record: &[u8],
        answer: &[u8],
        scratch: &mut Vec<Range<usize>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Wrong> {
        let path = &self.processing.output_filter;
        let joins = self.processing.join == JoinSource::Input;
        let record = without_end(record);
        if self.accept.media == Media::Csv {
            let line = match joins {
                true => [record, b",", answer].concat(),
                false => answer.to_vec(),
            };
            return select::csv(&line, path, scratch, out);
        }
        let value = if joins { select::joined(record, answer) } else { answer.to_vec() };
        match path.is_whole() {
            true => out.extend_from_slice(&value),
            false => out.extend_from_slice(&select::json(&value, path)?),
        }
        Ok(())
    }
}

/// What a document ends with.
pub(super) const TAIL: &[u8] = b"]}";

/// Lines of JSON as the entries of a list.
fn entries(lines: &[u8]) -> Vec<u8> {
    let mut out = lines.strip_suffix(b"\n").unwrap_or(lines).to_vec();
    // Inside a JSON text a line feed is written as \n.
    out.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b',');
    out
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[expect(clippy::needless_pass_by_value, reason = "called by map_err")]
fn told(error: crate::data::Error) -> Failed {
    Failed::Record((error.to_string(), error.help().unwrap_or_default()))
}

fn refused(error: crate::algorithm::Error) -> Failed {
    match error.kind() {
        Kind::Data | Kind::Caller => {
            Failed::Record((error.to_string(), error.help().unwrap_or_default()))
        }
        _ => Failed::Model(error.into()),
    }
}

fn not_finite(row: &[f32]) -> Wrong {
    match row.iter().position(|value| !value.is_finite()) {
        Some(column) => (
            format!(
                "column {}: the value is missing or not finite, and this model cannot answer without it",
                column + 1
            ),
            "write a number in every column".into(),
        ),
        None => ("the model's answer is not a number".into(), "train the model again".into()),
    }
}
