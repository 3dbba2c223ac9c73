//! A channel's objects to rows: one thread reads, hashes, decompresses and cuts; others decode
//! block by block; rows come out in order. [`read`] gathers them into one [`Dataset`],
//! [`batches`] hands them over piece by piece in bounded memory.
//!
//! Where the objects come from is the store's matter. `memory_bytes_max` bounds what a dataset may
//! hold in memory; rows beyond it go to disk where that is allowed ([`Options::spill`]), in the
//! same one pass.

use std::collections::{BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::Builder;

use ndarray::{Array2, ShapeBuilder};

use super::batch::{Batch, Categories, Dataset, Source};
use super::block::{BOM, Block, Cutter, Failure, Pool, Records, lines};
use super::error::{Broken, Error, Place, shown};
use super::group::Groups;
use super::label::LabelRows;
use super::pages::{PageWriter, Pages, Scratches};
use super::roles::{Before, Role};
use super::rows::{Layout, Rows};
use super::schema::Absent;
use super::sparse::{Entries, Fill};
pub use super::stored::Object;
use super::stored::Stored;
use super::words::{Dictionary, Vocabulary};
use super::{csv, jsonl, libsvm, parquet, recordio};
use crate::spec::train::{Format, Media};

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
/// Stored bytes after which it can be told how large the rest will be.
const EARLY_BYTES: u64 = 4 << 20;

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

/// The dataset while it grows.
#[derive(Default)]
struct Table {
    features: Vec<f32>,
    /// Where the features go once they do not fit.
    spilled: Option<PageWriter>,
    entries: Option<Entries>,
    label: LabelRows,
    weight: Vec<f32>,
    groups: Groups,
    dictionary: Dictionary,
    surprises: BTreeSet<usize>,
    rows: usize,
}

impl Table {
    fn append(
        &mut self,
        mut rows: Rows,
        stream: &Stream,
        options: &Options,
        stored_bytes: Option<u64>,
    ) -> Result<(), Error> {
        self.surprises.append(&mut rows.surprises);
        if !self.surprises.is_empty() {
            // The channel is read anew; only what other surprises it holds is of interest now.
            *self = Table { surprises: std::mem::take(&mut self.surprises), ..Table::default() };
            stream.spent.put(rows.features);
            return Ok(());
        }
        stream.take_words(&mut self.dictionary, &mut rows)?;
        let beside = 1 + usize::from(!rows.weight.is_empty()) + usize::from(rows.group.is_used());
        self.spill(&rows, beside, stream, options, stored_bytes)?;
        let needed_bytes = self.needed_bytes(&rows, beside, stream);
        let refused = |needed_bytes: u64| Error::Memory {
            channel: options.channel.clone(),
            needed_bytes: projected(needed_bytes, stream.bytes_before_block, stored_bytes),
            limit_bytes: options.memory_bytes_max,
        };
        if needed_bytes > options.memory_bytes_max {
            return Err(refused(needed_bytes));
        }
        if let Some(pages) = &mut self.spilled {
            pages.push(&rows.features).map_err(|source| options.unspilled(source))?;
        } else {
            // Growing moves pages, not bytes, on the systems that matter, and what is reserved
            // beyond the end is not resident.
            self.features.try_reserve(rows.features.len()).map_err(|_| refused(needed_bytes))?;
            self.features.extend_from_slice(&rows.features);
        }
        if let Some(next) = &rows.entries
            && !self.entries.get_or_insert_default().append(next)
        {
            return Err(refused(needed_bytes));
        }
        self.rows += rows.count;
        stream.spent.put(rows.features);
        self.weight.append(&mut rows.weight);
        self.groups.append(rows.group).map_err(|refused| stream.group_error(refused))?;
        self.label.append(rows.label).map_err(|refused| stream.label_error(refused))
    }
}

impl Table {
    /// What is held once `rows` are appended.
    fn needed_bytes(&self, rows: &Rows, beside: usize, stream: &Stream) -> u64 {
        let count = (self.rows + rows.count) as u64;
        let values = match &self.spilled {
            Some(_) => ROW_BYTES * count,
            None => {
                let held = (self.features.len() + rows.features.len()) as u64;
                4 * (held + beside as u64 * count)
            }
        };
        let entry_bytes = |entries: &Option<Entries>| entries.as_ref().map_or(0, Entries::bytes);
        let sparse_bytes = entry_bytes(&self.entries) + entry_bytes(&rows.entries);
        values + (self.groups.bytes + sparse_bytes) as u64 + stream.in_flight_bytes
    }

    /// Turns to disk when `rows` do not fit any more, or all that follow will not.
    fn spill(
        &mut self,
        rows: &Rows,
        beside: usize,
        stream: &Stream,
        options: &Options,
        stored_bytes: Option<u64>,
    ) -> Result<(), Error> {
        let (Some(spill), None) = (&options.spill, &self.spilled) else { return Ok(()) };
        if rows.count == 0 || rows.features.is_empty() {
            return Ok(());
        }
        let needed = self.needed_bytes(rows, beside, stream);
        let read = stream.bytes_before_block;
        let told = read >= EARLY_BYTES;
        let expected = if told { projected(needed, read, stored_bytes) } else { needed };
        if expected <= options.memory_bytes_max {
            return Ok(());
        }
        let width = rows.features.len() / rows.count;
        let mut writer = PageWriter::new(spill.scratches.clone(), width)
            .map_err(|source| options.unspilled(source))?;
        writer.push(&self.features).map_err(|source| options.unspilled(source))?;
        self.features = Vec::new();
        self.spilled = Some(writer);
        Ok(())
    }

    /// The rows on disk, if they went there.
    fn pages(&mut self, options: &Options) -> Result<Option<Pages>, Error> {
        let (Some(spill), Some(writer)) = (&options.spill, self.spilled.take()) else {
            return Ok(None);
        };
        writer.finish(spill.room_bytes).map(Some).map_err(|source| options.unspilled(source))
    }
}

/// What the whole channel will need if it goes on as it began.
fn projected(needed_bytes: u64, read_bytes: u64, stored_bytes: Option<u64>) -> u64 {
    match stored_bytes {
        Some(stored) if read_bytes > 0 && stored > read_bytes => {
            (needed_bytes as f64 * (stored as f64 / read_bytes as f64)) as u64
        }
        _ => needed_bytes,
    }
}

/// What the reading thread tells, in the order of the channel.
enum Piece {
    /// An object begins.
    Object(String),
    /// An object's first record was seen.
    Layout(Arc<Layout>),
    /// A block is being decoded; `read_bytes` of the channel's stored bytes lie before its end.
    Rows { answer: Receiver<Result<Rows, Broken>>, read_bytes: u64 },
    /// Lines without a record.
    Blank(u64),
    /// An object ended.
    Source(Source),
    /// The text is wrong, counted from here.
    Broken(Broken),
    /// An object as a whole is wrong, or a column of it.
    Misfit(Broken),
    /// Reading failed.
    Failed(Error),
}

/// A block to decode.
struct Work {
    block: Block,
    layout: Arc<Layout>,
    answer: SyncSender<Result<Rows, Broken>>,
}

/// The consuming end: rows in order, with errors put in their place.
struct Stream {
    pieces: Receiver<Piece>,
    options: Options,
    spent: Arc<Pool<f32>>,
    layout: Option<Arc<Layout>>,
    sources: Vec<Source>,
    uri: String,
    /// Lines of the object before the last block, and before the next one.
    lines_before: u64,
    lines: u64,
    rows: u64,
    bytes_before_block: u64,
    in_flight_bytes: u64,
    /// Whether the format counts lines; others count records.
    has_lines: bool,
}

impl Stream {
    fn start(objects: Vec<Object>, format: &Format, options: &Options) -> Result<Stream, Error> {
        let threads = options.threads();
        let fill = options.fill();
        let mut options = options.clone();
        if let Some(fill) = fill.filter(|_| matches!(format.media, Media::Libsvm | Media::RecordIo))
        {
            options.block_bytes = fill.block_bytes(options.block_bytes);
        }
        // Parquet is held whole while it is decoded.
        let whole_bytes = match format.media {
            Media::Parquet => objects.iter().filter_map(|object| object.bytes).max().unwrap_or(0),
            _ => 0,
        };
        let in_flight = threads + 2;
        let (ordered, pieces) = sync_channel(in_flight);
        let (work, works) = sync_channel::<Work>(in_flight);
        let texts = Arc::new(Pool::new(in_flight, 8 * options.block_bytes));
        let spent = Arc::new(Pool::new(in_flight, 8 * options.block_bytes));
        let works = Arc::new(Mutex::new(works));
        let thread = |name: &str| Builder::new().name(format!("smrt-{name}"));
        let refused = |error: std::io::Error| Error::Thread(error.to_string());
        for _ in 0..threads {
            let (works, texts, spent) = (works.clone(), texts.clone(), spent.clone());
            thread("decode")
                .spawn(move || decode_blocks(&works, &texts, &spent, fill))
                .map_err(refused)?;
        }
        let feeder = Feeder {
            format: format.clone(),
            options: options.clone(),
            ordered,
            work,
            texts,
            layout: None,
            first: None,
            read_bytes: 0,
        };
        thread("read").spawn(move || feeder.run(objects)).map_err(refused)?;
        Ok(Stream {
            pieces,
            // A block is text and at most twice as many bytes of numbers.
            in_flight_bytes: 3 * (in_flight * options.block_bytes) as u64 + whole_bytes,
            options,
            spent,
            layout: None,
            sources: Vec::new(),
            uri: String::new(),
            lines_before: 0,
            lines: 0,
            rows: 0,
            bytes_before_block: 0,
            has_lines: !matches!(format.media, Media::RecordIo | Media::Parquet),
        })
    }

    /// The rows of the next block; `None` after the last one.
    fn next_rows(&mut self) -> Result<Option<Rows>, Error> {
        while let Ok(piece) = self.pieces.recv() {
            match piece {
                Piece::Object(uri) => (self.uri, self.lines_before, self.lines) = (uri, 0, 0),
                Piece::Layout(layout) => self.layout = Some(layout),
                Piece::Blank(lines) => self.lines += lines,
                Piece::Source(source) => self.sources.push(source),
                Piece::Broken(broken) => return Err(self.placed(broken)),
                Piece::Misfit(Broken { column, what, help, .. }) => {
                    let name = |at| self.layout.as_ref().and_then(|layout| layout.column_name(at));
                    let column = column.map(|column| (column + 1, name(column)));
                    let place = Place { uri: self.uri.clone(), line: None, record: None, column };
                    return Err(Error::Bad { place, what, help });
                }
                Piece::Failed(error) => return Err(error),
                Piece::Rows { answer, read_bytes } => {
                    let lost = |_| Error::Thread("a decoding thread was lost".into());
                    let rows =
                        answer.recv().map_err(lost)?.map_err(|broken| self.placed(broken))?;
                    self.lines_before = self.lines;
                    self.lines += rows.lines;
                    self.rows += rows.count as u64;
                    self.bytes_before_block = read_bytes;
                    return Ok(Some(rows));
                }
            }
        }
        Ok(None)
    }

    /// After the last row.
    fn finish(mut self) -> Result<(Arc<Layout>, Vec<Source>), Error> {
        self.check_complete()?;
        let layout = self.layout.take().expect("rows were read, so their layout is known");
        Ok((layout, self.sources))
    }

    fn check_complete(&self) -> Result<(), Error> {
        if self.rows > 0 {
            return Ok(());
        }
        let objects = self.sources.len();
        // A file named on the command line is no channel.
        let check = match self.options.channel.starts_with("channels.") {
            true => "check the channel's uri",
            false => "check the address",
        };
        let (what, help) = match (&self.layout, objects) {
            (Some(_), _) => {
                ("holds a header and no rows".to_owned(), "put rows below the header".into())
            }
            (None, 0) => ("holds no objects".to_owned(), check.to_owned()),
            (None, 1) => ("is empty".to_owned(), format!("put rows into it, or {check}")),
            (None, _) => {
                let what = format!("holds {objects} objects, all of them empty");
                (what, format!("put rows into one, or {check}"))
            }
        };
        let uri = if objects == 1 { &self.sources[0].uri } else { &self.options.channel };
        Err(Error::whole(uri.clone(), what, help))
    }

    fn placed(&self, broken: Broken) -> Error {
        let name = |column| self.layout.as_ref().and_then(|layout| layout.column_name(column));
        let column = broken.column.map(|column| (column + 1, name(column)));
        let count = Some(self.lines + broken.line + 1);
        let (line, record) = if self.has_lines { (count, None) } else { (None, count) };
        let place = Place { uri: self.uri.clone(), line, record, column };
        Error::Bad { place, what: broken.what, help: broken.help }
    }

    /// The words of a block, joined to those before it.
    fn take_words(&self, dictionary: &mut Dictionary, rows: &mut Rows) -> Result<(), Error> {
        let Some(layout) = &self.layout else { return Ok(()) };
        let roles = layout.roles();
        let joined = dictionary.take(&rows.words, &roles.words, &mut rows.features, roles.features);
        joined.map_err(|(feature, (what, help))| {
            let column = layout.column_of(feature);
            let place = Place {
                uri: self.uri.clone(),
                line: None,
                record: None,
                column: Some((column + 1, layout.column_name(column))),
            };
            Error::Bad { place, what, help }
        })
    }

    /// After the first surprise, those of the rest of the channel.
    fn all_surprises(&mut self, mut columns: BTreeSet<usize>) -> Error {
        loop {
            match self.next_rows() {
                Ok(Some(mut rows)) => columns.append(&mut rows.surprises),
                Ok(None) => return Error::Words { columns },
                Err(error) => return error,
            }
        }
    }

    /// A group that comes back, found when blocks are joined.
    fn group_error(&self, (line, (what, help)): (u64, (String, String))) -> Error {
        let line = Some(self.lines_before + line + 1);
        let place = Place { uri: self.uri.clone(), line, record: None, column: None };
        Error::Bad { place, what, help }
    }

    /// Labels that are wrong only together have no line.
    fn label_error(&self, (what, help): (String, String)) -> Error {
        Error::whole(self.uri.clone(), what, help)
    }
}

fn decode_blocks(
    works: &Mutex<Receiver<Work>>,
    texts: &Pool<u8>,
    spent: &Pool<f32>,
    fill: Option<Fill>,
) {
    loop {
        let next = match works.lock() {
            Ok(works) => works.recv(),
            Err(_) => return,
        };
        let Ok(Work { block, layout, answer }) = next else { return };
        let mut rows = Rows::of(layout.roles(), spent.take());
        rows.lines = block.lines_before;
        let outcome = decode(&block, &layout, &mut rows);
        if let Some(fill) = fill {
            fill.apply(&mut rows);
        }
        texts.put(block.bytes);
        // Nobody waits any more when reading ended early.
        let _ = answer.send(outcome.map(|()| rows));
    }
}

fn decode(block: &Block, layout: &Layout, rows: &mut Rows) -> Result<(), Broken> {
    match layout {
        Layout::Csv(layout) => csv::decode(&block.bytes, block.start, block.end, layout, rows),
        Layout::JsonLines(layout) => {
            jsonl::decode(&block.bytes[block.start..block.end], layout, rows)
        }
        Layout::Libsvm(layout) => {
            libsvm::decode(&block.bytes, block.start, block.end, layout, rows)
        }
        Layout::RecordIo(layout) => {
            recordio::decode(&block.bytes[block.start..block.end], layout, rows)
        }
        Layout::Parquet(_) => unreachable!("parquet is decoded where it is read"),
    }
}

/// The reading thread.
struct Feeder {
    format: Format,
    options: Options,
    ordered: SyncSender<Piece>,
    work: SyncSender<Work>,
    texts: Arc<Pool<u8>>,
    /// Of the current object.
    layout: Option<Arc<Layout>>,
    /// Of the first object with rows, and where it lies.
    first: Option<(Arc<Layout>, String)>,
    read_bytes: u64,
}

/// The consumer is gone, or was told why there is no more.
struct Stop;

impl Feeder {
    fn run(mut self, objects: Vec<Object>) {
        for object in VecDeque::from(objects) {
            if self.object(object).is_err() {
                return;
            }
        }
    }

    fn object(&mut self, object: Object) -> Result<(), Stop> {
        self.layout = None;
        let uri = object.uri.clone();
        self.tell(Piece::Object(uri.clone()))?;
        let stored = match Stored::open(object) {
            Ok(stored) => stored,
            Err(error) => return self.fail(Piece::Failed(error)),
        };
        if self.format.media == Media::Parquet {
            return self.parquet(stored, &uri);
        }
        let records = match self.format.media {
            Media::Csv => Records::Csv { delimiter: self.format.delimiter },
            Media::RecordIo | Media::Parquet => Records::RecordIo,
            Media::JsonLines | Media::Json | Media::Libsvm => Records::Lines,
        };
        let mut cutter = Cutter::new(stored, records, self.options.block_bytes);
        let (mut first_block, mut begun) = (true, false);
        loop {
            let mut block = match cutter.next(self.texts.take()) {
                Ok(Some(block)) => block,
                Ok(None) => break,
                Err(Failure::Read(error)) => return self.fail(Piece::Failed(error)),
                Err(Failure::Text(broken)) => return self.fail(Piece::Broken(broken)),
            };
            if std::mem::take(&mut first_block) && block.bytes[..block.end].starts_with(BOM) {
                block.start = BOM.len();
            }
            if !begun {
                begun = self.begin(&mut block, &uri)?;
            }
            self.block(block, begun, self.read_bytes + cutter.bytes_read())?;
        }
        self.read_bytes += cutter.bytes_read();
        self.ended(cutter.into_stored())
    }

    /// An object that is read whole before its first row, and decoded here.
    fn parquet(&mut self, mut stored: Stored, uri: &str) -> Result<(), Stop> {
        let memory_bytes_max = self.options.memory_bytes_max;
        let bytes_max = usize::try_from(memory_bytes_max).unwrap_or(usize::MAX);
        let bytes = match stored.whole(bytes_max) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                return self.fail(Piece::Failed(Error::Memory {
                    channel: self.options.channel.clone(),
                    needed_bytes: stored.bytes_read().max(memory_bytes_max + 1),
                    limit_bytes: memory_bytes_max,
                }));
            }
            Err(error) => return self.fail(Piece::Failed(error)),
        };
        let stored_bytes = stored.bytes_read();
        if bytes.is_empty() {
            return self.ended(stored);
        }
        let opened =
            parquet::File::open(bytes.into(), &self.format, &self.options.channel, &self.before());
        let (file, layout) = match opened {
            Ok(opened) => opened,
            Err(broken) => return self.fail(Piece::Misfit(broken)),
        };
        let layout = Layout::Parquet(layout);
        if let Err((what, help)) = self.fits(&layout) {
            let what = what.replacen("the line", "the file", 1);
            return self.fail(Piece::Misfit(Broken { line: 0, column: None, what, help }));
        }
        let layout = Arc::new(layout);
        self.first.get_or_insert_with(|| (layout.clone(), uri.to_owned()));
        self.tell(Piece::Layout(layout.clone()))?;
        let Layout::Parquet(columns) = &*layout else { unreachable!("made above") };
        let threads = self.options.threads();
        let total = file.rows().max(1);
        let mut outcome = Ok(());
        let mut done = 0;
        file.decode(columns, parquet::Decoding { threads, memory_bytes_max }, |rows| {
            done += rows.as_ref().map_or(0, |rows| rows.count as u64);
            let part = (stored_bytes as f64 * (done as f64 / total as f64)) as u64;
            let (answer, waiting) = sync_channel(1);
            let failed = rows.is_err();
            let _ = answer.send(rows);
            outcome =
                self.tell(Piece::Rows { answer: waiting, read_bytes: self.read_bytes + part });
            if failed && outcome.is_ok() {
                outcome = Err(Stop);
            }
            outcome.is_ok()
        });
        outcome?;
        self.read_bytes += stored_bytes;
        self.ended(stored)
    }

    fn ended(&self, stored: Stored) -> Result<(), Stop> {
        match stored.finish() {
            Ok(source) => self.tell(Piece::Source(source)),
            Err(error) => self.fail(Piece::Failed(error)),
        }
    }

    /// What is known of words before an object is read.
    fn before(&self) -> Before {
        match &self.first {
            Some((first, _)) => {
                let met = first.roles().words.iter().copied().collect();
                Before { met, ..self.options.before() }
            }
            None => self.options.before(),
        }
    }

    /// Looks at an object's first record; `false` when the block holds none.
    fn begin(&mut self, block: &mut Block, uri: &str) -> Result<bool, Stop> {
        let (text, channel) = (&block.bytes[..block.end], &self.options.channel);
        let before = self.before();
        let found = match self.format.media {
            Media::Csv => csv::Layout::detect(text, block.start, &self.format, channel, &before)
                .map(|found| found.map(|(layout, start)| (Layout::Csv(layout), start))),
            Media::Parquet => unreachable!("parquet is read by itself"),
            Media::Libsvm | Media::RecordIo if self.format.has_roles() => {
                let media = self.format.media;
                let what =
                    format!("{media} holds label, weight and query in its own way, and no words");
                let help = "leave weight, group, categorical and ignore out";
                Err(Broken { line: 0, column: None, what, help: help.into() })
            }
            Media::JsonLines | Media::Json => {
                jsonl::Layout::detect(text, block.start, &self.format, channel, &before).map(
                    |found| {
                        let absent = self.options.absent;
                        let layout = found.map(|layout| layout.absent(absent));
                        layout.map(|layout| (Layout::JsonLines(layout), block.start))
                    },
                )
            }
            Media::RecordIo => recordio::Layout::detect(text, &self.format, channel)
                .map(|found| found.map(|layout| (Layout::RecordIo(layout), 0))),
            Media::Libsvm => {
                libsvm::Layout::detect(text, block.start, &self.format, self.options.features)
                    .map(|found| found.map(|layout| (Layout::Libsvm(layout), block.start)))
            }
        };
        let (layout, start) = match found {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(false),
            Err(broken) => return self.fail(Piece::Broken(broken)).map(|()| false),
        };
        let line = lines(&block.bytes[..start]);
        if let Err((what, help)) = self.fits(&layout) {
            let broken = Broken { line: line.saturating_sub(1), column: None, what, help };
            return self.fail(Piece::Broken(broken)).map(|()| false);
        }
        block.lines_before = line;
        block.start = start;
        let layout = if self.first.is_some() { layout } else { self.with_words(block, layout) };
        let layout = match (&self.first, layout) {
            // Keys are found by name, so the first object's layout serves them all.
            (Some((first, _)), Layout::JsonLines(_)) => first.clone(),
            (_, layout) => Arc::new(layout),
        };
        self.first.get_or_insert_with(|| (layout.clone(), uri.to_owned()));
        self.layout = Some(layout.clone());
        self.tell(Piece::Layout(layout)).map(|()| true)
    }

    /// The layout with the columns of words that the channel's first block shows.
    fn with_words(&self, block: &Block, layout: Layout) -> Layout {
        if !layout.roles().survey {
            return layout;
        }
        let mut rows = Rows::of(layout.roles(), Vec::new());
        // What is wrong with the block is told when it is decoded in its turn.
        let _ = decode(block, &layout, &mut rows);
        let roles = layout.roles().with_words(&rows.surprises);
        layout.with_roles(roles)
    }

    /// Whether an object is like the ones before, and like what is expected.
    fn fits(&self, layout: &Layout) -> Result<(), (String, String)> {
        if matches!(layout, Layout::Libsvm(_)) {
            return self.fits_sparsely(layout);
        }
        let found = layout.features();
        if matches!((&self.first, layout), (Some(_), Layout::JsonLines(_))) {
            return Ok(());
        }
        if let Some(expected) = self.options.features
            && found != expected
        {
            let help = if found == expected + 1 && !layout.has_label() {
                "leave the label column out: only the features are wanted here".to_owned()
            } else {
                format!("give {expected} features in each row, in the same order as for training")
            };
            return Err((
                format!("the line has {found} features where {expected} are expected"),
                help,
            ));
        }
        let Some((first, first_uri)) = &self.first else { return Ok(()) };
        if let (Layout::RecordIo(ours), Layout::RecordIo(theirs)) = (layout, &**first)
            && ours.sparse != theirs.sparse
        {
            let what = format!("the record is not sparse or dense as those of {first_uri}");
            return Err((what, "write all records of a channel alike".into()));
        }
        if first.features() != found {
            let expected = first.features();
            let what = format!("the line has {found} features where {first_uri} has {expected}");
            return Err((what, "give all objects of a channel the same columns".into()));
        }
        let (ours, theirs) = (layout.feature_names(), first.feature_names());
        if let Some((at, (ours, theirs))) =
            ours.iter().zip(&theirs).enumerate().find(|(_, (ours, theirs))| ours != theirs)
        {
            let (ours, theirs) = (shown(ours.as_bytes()), shown(theirs.as_bytes()));
            let what = format!("feature {} is named {ours} where {first_uri} has {theirs}", at + 1);
            let help = "give all objects of a channel the same columns in the same order";
            return Err((what, help.into()));
        }
        Ok(())
    }

    /// Rows of libsvm have no common width; what else a line holds is the same in all objects.
    fn fits_sparsely(&self, layout: &Layout) -> Result<(), (String, String)> {
        let Some((first, first_uri)) = &self.first else { return Ok(()) };
        for (role, thing) in [(Role::Weight, "weight"), (Role::Group, "query")] {
            let what = match (layout.roles().has(role), first.roles().has(role)) {
                (true, false) => format!("the line has a {thing} where {first_uri} has none"),
                (false, true) => format!("the line has no {thing} where {first_uri} has one"),
                _ => continue,
            };
            return Err((what, "give all objects of a channel the same columns".into()));
        }
        Ok(())
    }

    fn block(&mut self, block: Block, begun: bool, read_bytes: u64) -> Result<(), Stop> {
        let Some(layout) = self.layout.clone().filter(|_| begun) else {
            let blank = lines(&block.bytes[..block.end]);
            self.texts.put(block.bytes);
            return self.tell(Piece::Blank(blank));
        };
        let (answer, waiting) = sync_channel(1);
        self.tell(Piece::Rows { answer: waiting, read_bytes })?;
        self.work.send(Work { block, layout, answer }).map_err(|_| Stop)
    }

    fn tell(&self, piece: Piece) -> Result<(), Stop> {
        self.ordered.send(piece).map_err(|_| Stop)
    }

    fn fail(&self, piece: Piece) -> Result<(), Stop> {
        self.tell(piece)?;
        Err(Stop)
    }
}
