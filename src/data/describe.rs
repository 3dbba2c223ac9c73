//! What a table holds, before anyone trains on it: each column's kind, what is missing, how many
//! different values, their spread; how the label is balanced; rows that are there twice; and what a
//! careful person looks for ([`findings`]). One pass over the objects, in memory that does not grow
//! with them: what is not exact then says so.
//!
//! It reads text as it stands and needs no job: nothing here decides how a channel is decoded. Formats
//! that are no text are [`typed`]'s matter.

use std::sync::mpsc::sync_channel;

use rayon::prelude::*;

use super::block::{BOM, Block, Cutter, Failure, Records, lines};
use super::error::{Broken, Error, Place};
use super::stored::{Object, Stored};
use crate::spec::problem::nearest;
use crate::spec::train::Media;

mod cells;
mod column;
mod findings;
mod rows;
mod signal;
mod typed;

pub use column::{ColumnReport, Kind, Quantiles, TopWord};
pub use findings::{Finding, Severity};

use cells::{Cells, Reader};
use column::Column;
use rows::{RowSet, Sample};

/// How the objects are to be read.
#[derive(Debug, Clone)]
pub struct Options {
    /// The objects' format.
    pub media: Media,
    /// Features of a row of libsvm, which no single row shows.
    pub features: Option<usize>,
    /// Between the fields of CSV.
    pub delimiter: u8,
    /// Whether the first line of CSV names the columns; `None` looks.
    pub header: Option<bool>,
    /// The label's column.
    pub label: Label,
    /// Bytes of text looked at together. The result does not depend on it.
    pub block_bytes: usize,
}

/// Which column is the label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    /// The first one, SageMaker's rule; of JSON Lines and parquet the one called `label`, if there is
    /// one, and of parquet the first one otherwise.
    First,
    /// The column of this name.
    Named(String),
    /// None.
    None,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            media: Media::Csv,
            features: None,
            delimiter: b',',
            header: None,
            label: Label::First,
            block_bytes: 512 << 10,
        }
    }
}

/// A table that was looked through.
pub struct Profile {
    names: Vec<String>,
    header: bool,
    label: Option<usize>,
    columns: Vec<Column>,
    /// Whole rows.
    whole: RowSet,
    /// Rows without their label.
    features: RowSet,
    sample: Sample,
    rows: u64,
    objects: usize,
    bytes: u64,
    /// Rows whose features stand in the table before, and those whose label does too.
    seen: Option<(f64, f64)>,
}

/// What is told about one or two tables.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Report {
    /// The first one.
    pub table: TableReport,
    /// The second one, when two were given.
    pub second: Option<TableReport>,
    /// What deserves a look, the gravest first.
    pub findings: Vec<Finding>,
}

/// What is told about one table.
#[derive(Debug, Clone, serde::Serialize)]
pub struct TableReport {
    /// Rows.
    pub rows: u64,
    /// Objects read.
    pub objects: usize,
    /// Their stored size.
    pub bytes: u64,
    /// Whether the first line named the columns.
    pub header: bool,
    /// Column by column.
    pub columns: Vec<ColumnReport>,
    /// The label's column, from 0.
    pub label: Option<usize>,
    /// Rows that are there already, counted once for each time too many.
    pub duplicate_rows: f64,
    /// Rows whose features are there already with another label.
    pub contradicting_rows: f64,
    /// Whether the two figures above are exact; else they come from a sample of rows.
    pub duplicates_exact: bool,
    /// Rows that quantiles and findings are taken from.
    pub sample_rows: usize,
    /// How far a quantile may be off, in rank, 99 times of 100 (Dvoretzky, Kiefer and Wolfowitz);
    /// 0 when all rows were in the sample.
    pub quantile_rank_error: f64,
    /// Of a second table: rows whose features stand in the first one.
    pub features_in_first: Option<f64>,
    /// Of a second table: rows that stand in the first one with their label.
    pub rows_in_first: Option<f64>,
}

/// Looks through a table. `place` is what messages call it. `before` is the table that rows are
/// looked up in.
///
/// # Errors
/// What is wrong with the bytes, with object and line; a label that no column has.
pub fn profile(
    objects: Vec<Object>,
    place: &str,
    options: &Options,
    before: Option<&Profile>,
) -> Result<Profile, Error> {
    let threads = rayon::current_num_threads();
    let (blocks, pieces) = sync_channel(2 * threads);
    std::thread::scope(|scope| {
        let feeder = std::thread::Builder::new().name("smrt-read".into());
        feeder
            .spawn_scoped(scope, move || feed(objects, options, &blocks))
            .map_err(|error| Error::Thread(error.to_string()))?;
        let mut work = Work { options, before, place, reader: None, profile: None };
        let mut at = Position::default();
        let mut held = Vec::new();
        for piece in &pieces {
            match piece {
                Piece::Object(uri) => {
                    work.flush(&mut held, &mut at)?;
                    at = Position { uri, lines: 0, first: true };
                    if let Some(profile) = &mut work.profile {
                        profile.objects += 1;
                    }
                }
                Piece::Block(block) => {
                    held.push(block);
                    if held.len() == threads {
                        work.flush(&mut held, &mut at)?;
                    }
                }
                Piece::Cells(names, cells) => work.typed(&names, cells, &at)?,
                Piece::Broken(broken) => {
                    work.flush(&mut held, &mut at)?;
                    return Err(at.placed(broken, &[]));
                }
                Piece::Failed(error) => return Err(error),
                Piece::Ended(bytes) => {
                    work.flush(&mut held, &mut at)?;
                    if let Some(profile) = &mut work.profile {
                        profile.bytes += bytes;
                    }
                }
            }
        }
        match work.profile {
            Some(profile) if profile.rows > 0 => Ok(profile),
            _ => Err(Error::whole(place, "holds no rows", "check the address")),
        }
    })
}

/// What is told about `first`, and about `second` beside it.
pub fn report(first: &Profile, second: Option<&Profile>) -> Report {
    Report {
        table: first.report(),
        second: second.map(Profile::report),
        findings: findings::all(first, second),
    }
}

/// What the reading thread hands over.
enum Piece {
    Object(String),
    Block(Block),
    /// Cells of columns with these names.
    Cells(Vec<String>, Cells),
    /// An object ended; so many stored bytes.
    Ended(u64),
    Broken(Broken),
    Failed(Error),
}

fn feed(objects: Vec<Object>, options: &Options, to: &std::sync::mpsc::SyncSender<Piece>) {
    if !matches!(options.media, Media::Csv | Media::JsonLines) {
        return typed::feed(objects, options, to);
    }
    for object in objects {
        // Nobody listens any more once something was wrong.
        if to.send(Piece::Object(object.uri.clone())).is_err() {
            return;
        }
        let ended = feed_object(object, options, to);
        let failed = matches!(ended, Piece::Failed(_) | Piece::Broken(_));
        if to.send(ended).is_err() || failed {
            return;
        }
    }
}

fn feed_object(
    object: Object,
    options: &Options,
    to: &std::sync::mpsc::SyncSender<Piece>,
) -> Piece {
    let stored = match Stored::open(object) {
        Ok(stored) => stored,
        Err(error) => return Piece::Failed(error),
    };
    let records = match options.media {
        Media::Csv => Records::Csv { delimiter: options.delimiter },
        _ => Records::Lines,
    };
    let mut cutter = Cutter::new(stored, records, options.block_bytes);
    loop {
        match cutter.next(Vec::new()) {
            Ok(Some(block)) => {
                if to.send(Piece::Block(block)).is_err() {
                    return Piece::Ended(0);
                }
            }
            Ok(None) => break,
            Err(Failure::Read(error)) => return Piece::Failed(error),
            Err(Failure::Text(broken)) => return Piece::Broken(broken),
        }
    }
    match cutter.into_stored().finish() {
        Ok(source) => Piece::Ended(source.bytes),
        Err(error) => Piece::Failed(error),
    }
}

/// Where in the objects the next block begins.
#[derive(Default)]
struct Position {
    uri: String,
    lines: u64,
    first: bool,
}

impl Position {
    fn placed(&self, broken: Broken, names: &[String]) -> Error {
        let name = |column: usize| names.get(column).cloned();
        let place = Place {
            uri: self.uri.clone(),
            line: Some(self.lines + broken.line + 1),
            record: None,
            column: broken.column.map(|column| (column + 1, name(column))),
        };
        Error::Bad { place, what: broken.what, help: broken.help }
    }
}

/// Blocks into a profile.
struct Work<'a> {
    options: &'a Options,
    before: Option<&'a Profile>,
    place: &'a str,
    reader: Option<Reader>,
    profile: Option<Profile>,
}

impl Work<'_> {
    /// Takes in the blocks that are held, in their order.
    fn flush(&mut self, held: &mut Vec<Block>, at: &mut Position) -> Result<(), Error> {
        for block in held.iter_mut() {
            if std::mem::take(&mut at.first) {
                self.begin(block, at)?;
            }
        }
        let Some(reader) = &self.reader else {
            at.lines += held.drain(..).map(|block| lines(&block.bytes[..block.end])).sum::<u64>();
            return Ok(());
        };
        let read: Vec<_> = held.par_iter().map(|block| reader.read(block)).collect();
        held.clear();
        let mut good = Vec::new();
        for outcome in read {
            let cells = outcome.map_err(|broken| at.placed(broken, &reader.names))?;
            at.lines += cells.lines;
            good.push(cells);
        }
        if let Some(profile) = &mut self.profile {
            profile.take(&good, self.before);
        }
        Ok(())
    }

    /// Takes in cells that are read already.
    fn typed(&mut self, names: &[String], mut cells: Cells, at: &Position) -> Result<(), Error> {
        let reader =
            self.reader.get_or_insert_with(|| Reader::of_names(names.to_vec(), self.options.media));
        if reader.names != names {
            let help = "give all objects the same columns in the same order";
            return Err(Error::whole(&at.uri, "has other columns than the objects before", help));
        }
        if self.profile.is_none() {
            let reader = reader.clone();
            self.profile = Some(self.empty(&reader)?);
        }
        if let Some(profile) = &mut self.profile {
            cells.label(profile.label);
            profile.take(&[cells], self.before);
        }
        Ok(())
    }

    /// Looks at an object's first block: its header, its columns.
    fn begin(&mut self, block: &mut Block, at: &mut Position) -> Result<(), Error> {
        if block.bytes[..block.end].starts_with(BOM) {
            block.start = BOM.len();
        }
        let found = Reader::detect(block, self.options, self.reader.as_ref());
        let Some(reader) = found.map_err(|broken| at.placed(broken, &[]))? else {
            // Blank lines only: the next block of the object is looked at.
            at.first = true;
            return Ok(());
        };
        if self.profile.is_none() {
            self.profile = Some(self.empty(&reader)?);
        }
        self.reader = Some(reader);
        Ok(())
    }

    fn empty(&self, reader: &Reader) -> Result<Profile, Error> {
        let label = self.label(&reader.names)?;
        let columns = reader.names.len();
        if let Some(before) = self.before
            && before.names.len() != columns
        {
            let what =
                format!("has {columns} columns where the first one has {}", before.names.len());
            let help = "give two tables with the same columns, labels too";
            return Err(Error::whole(self.place, what, help));
        }
        if let Some((ours, theirs)) = self.before.and_then(|before| {
            let named = before.header && reader.header;
            let mut pairs = reader.names.iter().zip(&before.names);
            pairs.find(|(ours, theirs)| named && ours != theirs)
        }) {
            let what = format!("has the column {ours:?} where the first one has {theirs:?}");
            let help = "give two tables with the same columns in the same order";
            return Err(Error::whole(self.place, what, help));
        }
        Ok(Profile {
            names: reader.names.clone(),
            header: reader.header,
            label,
            columns: (0..columns).map(|_| Column::default()).collect(),
            whole: RowSet::default(),
            features: RowSet::default(),
            sample: Sample::for_columns(columns),
            rows: 0,
            objects: 1,
            bytes: 0,
            seen: self.before.map(|_| (0.0, 0.0)),
        })
    }

    fn label(&self, names: &[String]) -> Result<Option<usize>, Error> {
        if let Some(before) = self.before {
            return Ok(before.label);
        }
        match &self.options.label {
            Label::None => Ok(None),
            Label::First if self.options.media == Media::Csv => Ok((names.len() > 1).then_some(0)),
            Label::First if self.options.media == Media::Parquet => {
                let named = names.iter().position(|name| name == "label");
                Ok(named.or((names.len() > 1).then_some(0)))
            }
            Label::First => Ok(names.iter().position(|name| name == "label")),
            Label::Named(wanted) => {
                names.iter().position(|name| name == wanted).map(Some).ok_or_else(|| {
                    let help = match nearest(wanted, names.iter().map(String::as_str)) {
                        Some(meant) => format!("did you mean {meant:?}?"),
                        None => format!("the columns are {}", super::roles::some_names(names)),
                    };
                    Error::whole(self.place, format!("no column is named {wanted:?}"), help)
                })
            }
        }
    }
}

impl Profile {
    /// Takes in blocks, in order.
    fn take(&mut self, blocks: &[Cells], before: Option<&Profile>) {
        let (columns, whole, features, sample) =
            (&mut self.columns, &mut self.whole, &mut self.features, &mut self.sample);
        let (label, start) = (self.label, self.rows);
        rayon::join(
            || {
                columns.par_iter_mut().enumerate().for_each(|(at, column)| {
                    for block in blocks {
                        column.take(block, at);
                    }
                });
            },
            || {
                for block in blocks {
                    for row in 0..block.rows {
                        let label = label.map_or(0, |at| block.hash(row, at));
                        whole.add(block.whole[row], 0);
                        features.add(block.features[row], label);
                    }
                }
                let mut number = start;
                for block in blocks {
                    for row in 0..block.rows {
                        sample.offer(number, block, row);
                        number += 1;
                    }
                }
            },
        );
        if let (Some(before), Some((features, whole))) = (before, &mut self.seen) {
            for block in blocks {
                *features +=
                    block.features.iter().map(|row| before.features.weight(*row)).sum::<f64>();
                *whole += block.whole.iter().map(|row| before.whole.weight(*row)).sum::<f64>();
            }
        }
        self.rows += blocks.iter().map(|block| block.rows as u64).sum::<u64>();
    }

    fn report(&self) -> TableReport {
        let exact = self.sample.len() as u64 == self.rows;
        let error = (200.0_f64.ln() / (2.0 * self.sample.len() as f64)).sqrt();
        TableReport {
            rows: self.rows,
            objects: self.objects,
            bytes: self.bytes,
            header: self.header,
            columns: (0..self.columns.len())
                .into_par_iter()
                .map(|at| self.columns[at].report(&self.names[at], &self.sample, at))
                .collect(),
            label: self.label,
            duplicate_rows: self.whole.duplicates(),
            contradicting_rows: match self.label {
                Some(_) => self.features.contradictions(),
                None => 0.0,
            },
            duplicates_exact: self.whole.is_exact() && self.features.is_exact(),
            sample_rows: self.sample.len(),
            quantile_rank_error: if exact { 0.0 } else { error },
            features_in_first: self.seen.map(|(features, _)| features),
            rows_in_first: self.seen.map(|(_, whole)| whole),
        }
    }
}

#[cfg(test)]
mod tests;
