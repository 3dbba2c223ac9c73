//! Parquet objects: the index at the end is read first, then row group after row group in one pass over
//! the object, while the group before is decoded and what was read is hashed. Where an object cannot be
//! read in parts it is held whole.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};

use bytes::Bytes;

use super::feeder::{Feeder, Stop};
use super::stream::Piece;
use crate::data::batch::Source;
use crate::data::error::{Broken, Error};
use crate::data::parquet::{self, Bounds, File};
use crate::data::rows::{Layout, Rows};
use crate::data::stored::Stored;

/// What is read of an object's end at first: most indices lie within.
const TAIL_BYTES: u64 = 64 << 10;

/// The bytes of a row group.
struct Group {
    number: usize,
    bytes: Bytes,
    /// Where in the object they begin.
    base: u64,
}

impl Feeder {
    /// Reads and decodes one object.
    pub(super) fn parquet(&mut self, at: usize, stored: Stored, uri: &str) -> Result<(), Stop> {
        let Some((head, size)) = stored.plain() else { return self.whole(stored, uri) };
        if size == 0 {
            return self.ended(stored);
        }
        if self.options.parts.is_none() {
            return self.whole(stored, uri);
        }
        if let Err(broken) = parquet::check_begin(head) {
            return self.fail(Piece::Misfit(broken));
        }
        let tail = match self.tail(at, size) {
            Ok(tail) => tail,
            Err(source) => {
                let (uri, bytes) = (uri.to_owned(), stored.bytes_read());
                return self.fail(Piece::Failed(Error::Read { uri, bytes, source }));
            }
        };
        let (file, layout) = self.open(&tail, uri)?;
        let Layout::Parquet(columns) = &*layout else { unreachable!("made so") };
        let spans = match file.spans(columns) {
            Ok(spans) => spans,
            Err(broken) => return self.fail(Piece::Misfit(broken)),
        };
        let one_pass =
            spans.iter().filter(|span| !span.is_empty()).is_sorted_by(|a, b| a.end <= b.start);
        if !one_pass || spans.iter().any(|span| span.end > size || span.is_empty()) {
            return self.whole_opened(stored, &file, &layout);
        }
        // One is decoded while the next is read.
        let longest = spans.iter().map(|span| span.end - span.start).max().unwrap_or(0);
        self.hold(2 * longest)?;
        let mut progress = Progress::of(&file, size);
        let mut outcome = Ok(());
        let ended = std::thread::scope(|scope| {
            let (to, groups) = sync_channel(0);
            let reading = scope.spawn(|| read_groups(stored, &spans, to));
            for Group { number, bytes, base } in groups {
                let mut take = |rows| {
                    outcome = self.rows(rows, &mut progress);
                    outcome.is_ok()
                };
                if !file.decode_group(number, (&bytes, base), columns, &mut take) {
                    break;
                }
            }
            reading.join()
        });
        outcome?;
        match ended {
            Ok(Ok(None)) => Ok(()),
            Ok(Ok(Some(source))) => {
                self.read_bytes += source.bytes;
                self.tell(Piece::Source(source))
            }
            Ok(Err(error)) => self.fail(Piece::Failed(error)),
            Err(_) => {
                let lost = "the thread that reads was lost".to_owned();
                self.fail(Piece::Failed(Error::Thread(lost)))
            }
        }
    }

    /// The end of an object, its index in it.
    fn tail(&self, at: usize, size: u64) -> std::io::Result<Vec<u8>> {
        let Some(parts) = &self.options.parts else { return Ok(Vec::new()) };
        let tail = parts.read(at, size.saturating_sub(TAIL_BYTES)..size)?;
        let most = crate::spec::limit::PARQUET_INDEX_BYTES_MAX;
        let wanted = parquet::index_bytes(&tail).unwrap_or(0).min(most) as u64;
        if wanted <= tail.len() as u64 {
            return Ok(tail);
        }
        parts.read(at, size.saturating_sub(wanted)..size)
    }

    /// An object that is held whole.
    fn whole(&mut self, mut stored: Stored, uri: &str) -> Result<(), Stop> {
        let Some(bytes) = self.bytes(&mut stored)? else { return self.ended(stored) };
        if let Err(broken) = parquet::check_begin(&bytes[..bytes.len().min(4)]) {
            return self.fail(Piece::Misfit(broken));
        }
        let (file, layout) = self.open(&bytes, uri)?;
        self.decode_whole(stored, &bytes, &file, &layout)
    }

    /// The same, when its index was read before.
    fn whole_opened(
        &mut self,
        mut stored: Stored,
        file: &File,
        layout: &Layout,
    ) -> Result<(), Stop> {
        let Some(bytes) = self.bytes(&mut stored)? else { return self.ended(stored) };
        self.decode_whole(stored, &bytes, file, layout)
    }

    /// All bytes of an object; `None` when it is empty.
    fn bytes(&mut self, stored: &mut Stored) -> Result<Option<Bytes>, Stop> {
        let memory_bytes_max = self.options.memory_bytes_max;
        let bytes_max = usize::try_from(memory_bytes_max).unwrap_or(usize::MAX);
        match stored.whole(bytes_max) {
            Ok(Some(bytes)) => {
                self.hold(bytes.len() as u64)?;
                Ok(Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty()))
            }
            Ok(None) => self
                .hold(stored.bytes_read().max(memory_bytes_max.saturating_add(1)))
                .map(|()| None),
            Err(error) => self.fail(Piece::Failed(error)).map(|()| None),
        }
    }

    fn decode_whole(
        &mut self,
        stored: Stored,
        bytes: &Bytes,
        file: &File,
        layout: &Layout,
    ) -> Result<(), Stop> {
        let Layout::Parquet(columns) = layout else { unreachable!("made so") };
        let stored_bytes = stored.bytes_read();
        let mut progress = Progress::of(file, stored_bytes);
        let mut outcome = Ok(());
        file.decode(bytes, columns, |rows| {
            outcome = self.rows(rows, &mut progress);
            outcome.is_ok()
        });
        outcome?;
        self.read_bytes += stored_bytes;
        self.ended(stored)
    }

    /// Reads the index and tells what the columns are.
    fn open(&mut self, tail: &[u8], uri: &str) -> Result<(File, Arc<Layout>), Stop> {
        let bounds = Bounds::of_job(self.options.threads(), self.options.memory_bytes_max);
        let (channel, before) = (&self.options.channel, self.before());
        let (file, layout) = match File::open(tail, &self.format, channel, &before, bounds) {
            Ok(opened) => opened,
            Err(broken) => return Err(self.failed(Piece::Misfit(broken))),
        };
        let layout = Layout::Parquet(layout);
        if let Err((what, help)) = self.fits(&layout) {
            let what = what.replacen("the line", "the file", 1);
            return Err(self.failed(Piece::Misfit(Broken { line: 0, column: None, what, help })));
        }
        let layout = Arc::new(layout);
        self.first.get_or_insert_with(|| (layout.clone(), uri.to_owned()));
        self.tell(Piece::Layout(layout.clone()))?;
        Ok((file, layout))
    }

    /// Counts what is held, and refuses what would be too much.
    fn hold(&self, bytes: u64) -> Result<(), Stop> {
        self.held.fetch_max(bytes, Ordering::Relaxed);
        let limit_bytes = self.options.memory_bytes_max;
        if bytes <= limit_bytes {
            return Ok(());
        }
        let channel = self.options.channel.clone();
        self.fail(Piece::Failed(Error::Memory { channel, needed_bytes: bytes, limit_bytes }))
    }

    fn rows(&self, rows: Result<Rows, Broken>, progress: &mut Progress) -> Result<(), Stop> {
        progress.done += rows.as_ref().map_or(0, |rows| rows.count as u64);
        let read_bytes = self.read_bytes + progress.bytes();
        let (answer, waiting) = sync_channel(1);
        let failed = rows.is_err();
        let _ = answer.send(rows);
        self.tell(Piece::Rows { answer: waiting, read_bytes })?;
        if failed { Err(Stop) } else { Ok(()) }
    }

    fn failed(&self, piece: Piece) -> Stop {
        // Whether anybody hears it or not, this is the end.
        let _ = self.fail(piece);
        Stop
    }
}

/// How far an object is read, by its rows.
struct Progress {
    bytes: u64,
    done: u64,
    rows: u64,
}

impl Progress {
    fn of(file: &File, bytes: u64) -> Progress {
        Progress { bytes, done: 0, rows: file.rows().max(1) }
    }

    fn bytes(&self) -> u64 {
        (self.bytes as f64 * (self.done as f64 / self.rows as f64)) as u64
    }
}

/// Reads the object from its beginning to its end, and hands over the row groups on the way. Their
/// bytes are hashed once somebody works on them. `None` when nobody listens any more.
fn read_groups(
    mut stored: Stored,
    spans: &[Range<u64>],
    to: SyncSender<Group>,
) -> Result<Option<Source>, Error> {
    for (number, span) in spans.iter().enumerate() {
        stored.pass(span.start.saturating_sub(stored.bytes_passed()))?;
        let length = usize::try_from(span.end - span.start).unwrap_or(usize::MAX);
        let bytes = Bytes::from(stored.undigested(length)?);
        if bytes.len() < length {
            break;
        }
        let group = Group { number, bytes: bytes.clone(), base: span.start };
        // Rows that are wrong, or enough, end it.
        if to.send(group).is_err() {
            return Ok(None);
        }
        stored.digest(&bytes);
    }
    drop(to);
    stored.pass(u64::MAX)?;
    stored.finish().map(Some)
}
