//! A channel's objects to rows: one thread reads, hashes, decompresses and cuts; others decode
//! block by block; rows come out in order. [`read`] gathers them into one [`Dataset`],
//! [`batches`] hands them over piece by piece in bounded memory.
//!
//! Where the objects come from is the store's matter. `memory_bytes_max` bounds what a dataset may
//! hold in memory; rows beyond it go to disk where that is allowed ([`Options::spill`]), in the
//! same one pass.

use std::collections::BTreeSet;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use ndarray::{Array2, ShapeBuilder};

use super::batch::{Batch, Categories, Dataset, Source};
use super::error::Error;
use super::group::Groups;
use super::label::LabelRows;
use super::pages::Scratches;
use super::roles::{Before, Role};
use super::rows::Rows;
use super::schema::Absent;
use super::sparse::Fill;
pub use super::stored::Object;
use super::words::{Dictionary, Vocabulary};
use crate::spec::train::Format;

mod feeder;
mod groups;
mod stream;
mod table;

use stream::Stream;
use table::Table;

/// How to read a channel.
#[derive(Debug, Clone)]
pub struct Options {
    /// `channels.NAME`: what messages call it, and the prefix of the keys they name.
    pub channel: String,
    /// Threads that decode; 0 = one for each core.
    pub threads: usize,
    /// `resources.memory_bytes_max`: what the dataset and the blocks in flight may take.
    pub memory_bytes_max: u64,
    /// Features a row must have, where that is known before: a validation channel beside its
    /// train channel, a file to predict from.
    pub features: Option<usize>,
    /// What to do with rows that do not fit; without it they are an error.
    pub spill: Option<Spill>,
    /// What a cell means that a sparse row leaves out.
    pub absent: Absent,
    /// Whether sparse rows are wanted whole, with `absent` where they leave a cell out. Takes that
    /// `features` are known; such rows stay sparse otherwise.
    pub fill: bool,
    /// The words of each column that holds words, where training found them before: those of the
    /// train channel, or a model's.
    pub categories: Option<Arc<Vocabulary>>,
    /// Features in which words were met before, for `categorical = "auto"`; see [`settle_words`].
    pub words_met: BTreeSet<usize>,
    /// Bytes of text decoded at a time. The result does not depend on it.
    pub block_bytes: usize,
    /// How to read a part of an object. Without it parquet, whose index stands at its end, is held
    /// whole while it is decoded; with it, a row group at a time.
    pub parts: Option<Parts>,
}

/// Opens parts of the objects of a channel: which of them, by its place in the list, and which bytes.
#[derive(Clone)]
pub struct Parts(Arc<Open>);

type Open = dyn Fn(usize, Range<u64>) -> std::io::Result<Box<dyn Read + Send>> + Send + Sync;

impl Parts {
    /// From what opens them.
    pub fn new(
        open: impl Fn(usize, Range<u64>) -> std::io::Result<Box<dyn Read + Send>>
        + Send
        + Sync
        + 'static,
    ) -> Parts {
        Parts(Arc::new(open))
    }

    /// The bytes of a part that is known to be small.
    pub(super) fn read(&self, object: usize, range: Range<u64>) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let length = range.end.saturating_sub(range.start);
        (self.0)(object, range)?.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// Where rows go that do not fit into memory.
#[derive(Debug, Clone)]
pub struct Spill {
    /// Makes the files.
    pub scratches: Arc<dyn Scratches>,
    /// What work on them may take of the memory.
    pub room_bytes: u64,
}

/// What a training holds of each row besides its features: label and target, weight, place in the
/// order of the epoch, scores.
pub const ROW_BYTES: u64 = 40;

impl Options {
    /// For the channel that messages call `channel` (`channels.train`).
    pub fn new(channel: impl Into<String>) -> Options {
        Options {
            channel: channel.into(),
            threads: 0,
            memory_bytes_max: crate::spec::limit::JOB_MEMORY_BYTES_MAX,
            features: None,
            spill: None,
            absent: Absent::Zero,
            fill: false,
            categories: None,
            words_met: BTreeSet::new(),
            block_bytes: BLOCK_BYTES,
            parts: None,
        }
    }

    /// What the blocks being decoded take at most: text, and twice as many bytes of numbers.
    pub fn in_flight_bytes(&self) -> u64 {
        3 * ((self.threads() + 2) * self.block_bytes) as u64
    }

    pub(super) fn unspilled(&self, source: std::io::Error) -> Error {
        Error::Scratch { channel: self.channel.clone(), source }
    }

    fn before(&self) -> Before {
        Before { known: self.categories.clone(), met: self.words_met.clone() }
    }

    fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }

    fn fill(&self) -> Option<Fill> {
        let fill = Fill { width: self.features?, absent: self.absent };
        self.fill.then_some(fill)
    }
}

/// A block and its numbers fit into a core's second-level cache.
const BLOCK_BYTES: usize = 512 << 10;

/// Reads a whole channel. The result does not depend on threads or blocks.
///
/// # Errors
/// [`Error::Bad`] with object, line and column for what is wrong in the data, also when there are
/// no rows; [`Error::Memory`] when they do not fit; [`Error::Read`] and [`Error::Corrupt`] for the
/// bytes themselves.
pub fn read(objects: Vec<Object>, format: &Format, options: &Options) -> Result<Dataset, Error> {
    let stored_bytes: Option<u64> = objects.iter().map(|object| object.bytes).sum();
    let mut stream = Stream::start(objects, format, options)?;
    let mut table = Table::default();
    while let Some(rows) = stream.next_rows()? {
        table.append(rows, &stream, options, stored_bytes)?;
    }
    if !table.surprises.is_empty() {
        return Err(Error::Words { columns: table.surprises });
    }
    let (layout, sources) = stream.finish()?;
    let pages = table.pages(options)?.map(Arc::new);
    let roles = layout.roles();
    let (features, sparse) = match table.entries {
        Some(entries) => (
            Array2::zeros((table.rows, 0)),
            Some(entries.finish(options.features.unwrap_or(layout.features()))),
        ),
        None => {
            table.features.shrink_to_fit();
            let width = if pages.is_some() { 0 } else { layout.features() };
            let features = Array2::from_shape_vec((table.rows, width), table.features);
            (features.expect("every row was appended whole"), None)
        }
    };
    Ok(Dataset {
        sparse,
        pages,
        label: layout.has_label().then(|| table.label.finish()),
        weight: roles.has(Role::Weight).then_some(table.weight),
        group: roles.has(Role::Group).then(|| table.groups.take_rows()),
        categories: table.dictionary.categories(&roles.words),
        columns: layout.feature_names().into(),
        sources,
        ..Dataset::of(features)
    })
}

/// Calls `attempt` until it is known which columns hold words: with `categorical = "auto"` a column
/// of numbers may turn out to hold a word in its last line, and is then read anew as words. Twice at
/// most, and once where the first block of rows shows every such column.
///
/// # Errors
/// Those of `attempt`.
pub fn settle_words<T>(
    options: &Options,
    mut attempt: impl FnMut(&Options) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut options = options.clone();
    loop {
        match attempt(&options) {
            Err(Error::Words { columns }) if !columns.is_subset(&options.words_met) => {
                options.words_met.extend(columns);
            }
            other => return other,
        }
    }
}

/// Starts reading a channel piece by piece.
///
/// # Errors
/// [`Error::Thread`] when the machine gives no threads.
pub fn batches(objects: Vec<Object>, format: &Format, options: &Options) -> Result<Batches, Error> {
    let stream = Stream::start(objects, format, options)?;
    Ok(Batches {
        stream,
        label: LabelRows::default(),
        dictionary: Dictionary::default(),
        groups: Groups::default(),
        ended: false,
    })
}

/// The batches of a channel, in order. After an error there are no more.
///
/// Labels that are words keep their codes from batch to batch: each batch names all words so far;
/// so do columns of words ([`categories`](Batches::categories)). A column that turns from numbers to words midway does so from that batch on.
pub struct Batches {
    stream: Stream,
    label: LabelRows,
    dictionary: Dictionary,
    groups: Groups,
    ended: bool,
}

impl Batches {
    /// The words of each column of words, as far as the batches handed over go. Empty where the
    /// words were known before.
    pub fn categories(&self) -> Categories {
        match (&self.stream.layout, &self.stream.options.categories) {
            (Some(layout), None) => self.dictionary.categories(&layout.roles().words),
            _ => Categories::new(),
        }
    }

    /// Names of the features, once the first batch was handed over; empty when there are none.
    pub fn columns(&self) -> Vec<String> {
        self.stream.layout.as_ref().map(|layout| layout.feature_names()).unwrap_or_default()
    }

    /// The objects read to their end so far.
    pub fn sources(&self) -> &[Source] {
        &self.stream.sources
    }

    fn batch(&mut self) -> Result<Option<Batch>, Error> {
        while let Some(rows) = self.stream.next_rows()? {
            if !rows.surprises.is_empty() {
                return Err(self.stream.all_surprises(rows.surprises));
            }
            if rows.count > 0 {
                return self.columnar(rows).map(Some);
            }
        }
        self.stream.check_complete().map(|()| None)
    }

    fn columnar(&mut self, mut rows: Rows) -> Result<Batch, Error> {
        let width = self.stream.layout.as_ref().map_or(0, |layout| layout.features());
        let expected = self.stream.options.features.unwrap_or(width);
        let sparse = rows.entries.take().map(|entries| entries.finish(expected));
        let width = rows.features.len() / rows.count;
        self.stream.take_words(&mut self.dictionary, &mut rows)?;
        let group = std::mem::take(&mut rows.group);
        self.groups.append(group).map_err(|refused| self.stream.group_error(refused))?;
        let mut columns = vec![0.0; rows.features.len()];
        transpose(&rows.features, width, &mut columns);
        let features = Array2::from_shape_vec((rows.count, width).f(), columns)
            .expect("every row was decoded whole");
        self.stream.spent.put(rows.features);
        self.label.append(rows.label).map_err(|refused| self.stream.label_error(refused))?;
        let has = |role| self.stream.layout.as_ref().is_some_and(|layout| layout.roles().has(role));
        Ok(Batch {
            features,
            sparse,
            label: has(Role::Label).then(|| self.label.take_rows()),
            weight: has(Role::Weight).then_some(rows.weight),
            group: has(Role::Group).then(|| self.groups.take_rows()),
        })
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Result<Batch, Error>> {
        if self.ended {
            return None;
        }
        let batch = self.batch().transpose();
        self.ended = !matches!(batch, Some(Ok(_)));
        batch
    }
}

/// Rows into columns, in tiles so that neither side leaves the cache.
fn transpose(rows: &[f32], width: usize, columns: &mut [f32]) {
    const TILE: usize = 16;
    // Sparse rows have no columns here.
    let count = rows.len().checked_div(width).unwrap_or(0);
    for top in (0..count).step_by(TILE) {
        for left in (0..width).step_by(TILE) {
            for column in left..(left + TILE).min(width) {
                for row in top..(top + TILE).min(count) {
                    columns[column * count + row] = rows[row * width + column];
                }
            }
        }
    }
}
