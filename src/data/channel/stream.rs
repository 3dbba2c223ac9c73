//! The consuming end of a channel: rows in order, with errors put in their place; and the threads
//! that decode between it and the reading one.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::Builder;

use super::feeder::Feeder;
use super::{Object, Options};
use crate::data::batch::Source;
use crate::data::block::{Block, Pool};
use crate::data::error::{Broken, Error, Place};
use crate::data::rows::{Layout, Rows};
use crate::data::sparse::Fill;
use crate::data::words::Dictionary;
use crate::data::{csv, jsonl, libsvm, recordio};
use crate::spec::train::{Format, Media};

/// What the reading thread tells, in the order of the channel.
pub(super) enum Piece {
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
pub(super) struct Work {
    pub(super) block: Block,
    pub(super) layout: Arc<Layout>,
    pub(super) answer: SyncSender<Result<Rows, Broken>>,
}

/// The consuming end: rows in order, with errors put in their place.
pub(super) struct Stream {
    pieces: Receiver<Piece>,
    pub(super) options: Options,
    pub(super) spent: Arc<Pool<f32>>,
    pub(super) layout: Option<Arc<Layout>>,
    pub(super) sources: Vec<Source>,
    uri: String,
    /// Lines of the object before the last block, and before the next one.
    lines_before: u64,
    lines: u64,
    rows: u64,
    pub(super) bytes_before_block: u64,
    in_flight_bytes: u64,
    /// What is held of an object that is not decoded block by block.
    held: Arc<AtomicU64>,
    /// Whether the format counts lines; others count records.
    has_lines: bool,
}

impl Stream {
    pub(super) fn start(
        objects: Vec<Object>,
        format: &Format,
        options: &Options,
    ) -> Result<Stream, Error> {
        let threads = options.threads();
        let fill = options.fill();
        let mut options = options.clone();
        if let Some(fill) = fill.filter(|_| matches!(format.media, Media::Libsvm | Media::RecordIo))
        {
            options.block_bytes = fill.block_bytes(options.block_bytes);
        }
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
        let held = Arc::new(AtomicU64::new(0));
        let feeder = Feeder {
            format: format.clone(),
            options: options.clone(),
            ordered,
            work,
            texts,
            layout: None,
            first: None,
            read_bytes: 0,
            held: held.clone(),
        };
        thread("read").spawn(move || feeder.run(objects)).map_err(refused)?;
        Ok(Stream {
            pieces,
            // A block is text and at most twice as many bytes of numbers.
            in_flight_bytes: 3 * (in_flight * options.block_bytes) as u64,
            held,
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

    /// What reading itself takes at most.
    pub(super) fn in_flight_bytes(&self) -> u64 {
        self.in_flight_bytes + self.held.load(Ordering::Relaxed)
    }

    /// The rows of the next block; `None` after the last one.
    pub(super) fn next_rows(&mut self) -> Result<Option<Rows>, Error> {
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
    pub(super) fn finish(mut self) -> Result<(Arc<Layout>, Vec<Source>), Error> {
        self.check_complete()?;
        let layout = self.layout.take().expect("rows were read, so their layout is known");
        Ok((layout, self.sources))
    }

    pub(super) fn check_complete(&self) -> Result<(), Error> {
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
    pub(super) fn take_words(
        &self,
        dictionary: &mut Dictionary,
        rows: &mut Rows,
    ) -> Result<(), Error> {
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
    pub(super) fn all_surprises(&mut self, mut columns: BTreeSet<usize>) -> Error {
        loop {
            match self.next_rows() {
                Ok(Some(mut rows)) => columns.append(&mut rows.surprises),
                Ok(None) => return Error::Words { columns },
                Err(error) => return error,
            }
        }
    }

    /// A group that comes back, found when blocks are joined.
    pub(super) fn group_error(&self, (line, (what, help)): (u64, (String, String))) -> Error {
        let line = Some(self.lines_before + line + 1);
        let place = Place { uri: self.uri.clone(), line, record: None, column: None };
        Error::Bad { place, what, help }
    }

    /// Labels that are wrong only together have no line.
    pub(super) fn label_error(&self, (what, help): (String, String)) -> Error {
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

pub(super) fn decode(block: &Block, layout: &Layout, rows: &mut Rows) -> Result<(), Broken> {
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
