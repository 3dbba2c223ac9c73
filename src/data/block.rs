//! Text cut into blocks of whole records, so that they can be decoded side by side. It knows where
//! a record ends; it does not look inside.

use std::sync::Mutex;

use memchr::{memchr, memchr_iter, memrchr};

use super::error::{Broken, Error};
use super::stored::Stored;
use crate::spec::limit::LINE_BYTES_MAX;

/// Bytes behind a block's end that mean nothing, so that [`super::number::scan`] need not treat the
/// last numbers apart.
const PAD_BYTES: usize = 16;

/// The mark that some editors put before UTF-8 text.
pub(crate) const BOM: &[u8] = b"\xef\xbb\xbf";

/// Whole records. `bytes[start..end]` is the text; it ends with a line feed.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) bytes: Vec<u8>,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Lines of this block before `start`: a header.
    pub(crate) lines_before: u64,
}

/// How records end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Records {
    /// At every line feed.
    Lines,
    /// As their frames say.
    RecordIo,
    /// At every line feed outside quotes.
    Csv {
        /// Between fields; a quote only opens right after it or at the start of a record.
        delimiter: u8,
    },
}

impl Records {
    /// Where the last whole record ends in a text that begins with one; 0 when none does.
    pub(crate) fn border(self, text: &[u8]) -> usize {
        match self {
            Records::Lines => memrchr(b'\n', text).map_or(0, |at| at + 1),
            Records::Csv { delimiter } => scan_quotes(text, delimiter).border,
            Records::RecordIo => super::recordio::border(text),
        }
    }
}

/// Why there is no next block.
pub(crate) enum Failure {
    /// The bytes could not be had.
    Read(Error),
    /// The text is wrong, counted from the block's first line.
    Text(Broken),
}

/// Cuts one object.
pub(crate) struct Cutter {
    stored: Stored,
    records: Records,
    block_bytes: usize,
    /// The beginning of a record whose end has not been read.
    carry: Vec<u8>,
    ended: bool,
}

impl Cutter {
    pub(crate) fn new(stored: Stored, records: Records, block_bytes: usize) -> Cutter {
        Cutter { stored, records, block_bytes, carry: Vec::new(), ended: false }
    }

    /// The next block, in `buffer`'s memory.
    pub(crate) fn next(&mut self, mut buffer: Vec<u8>) -> Result<Option<Block>, Failure> {
        let mut filled = self.carry.len();
        let mut target = (filled + self.block_bytes / 2).max(self.block_bytes);
        grow(&mut buffer, target);
        buffer[..filled].copy_from_slice(&self.carry);
        self.carry.clear();
        loop {
            if !self.ended {
                let room = target - filled;
                let count = self.stored.fill(&mut buffer[filled..target]).map_err(Failure::Read)?;
                filled += count;
                self.ended = count < room;
            }
            if self.ended {
                let is_text = !matches!(self.records, Records::RecordIo);
                return Ok(last_block(buffer, filled, is_text));
            }
            let end = self.records.border(&buffer[..filled]);
            if end > 0 {
                self.carry.extend_from_slice(&buffer[end..filled]);
                return Ok(Some(Block { bytes: buffer, start: 0, end, lines_before: 0 }));
            }
            if filled > LINE_BYTES_MAX {
                return Err(Failure::Text(self.too_long(&buffer[..filled])));
            }
            target = filled * 2;
            grow(&mut buffer, target);
        }
    }

    /// Stored bytes taken so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.stored.bytes_read()
    }

    /// The object behind it, after the last block.
    pub(crate) fn into_stored(self) -> Stored {
        self.stored
    }

    fn too_long(&self, text: &[u8]) -> Broken {
        let quoted = match self.records {
            Records::Csv { delimiter } => scan_quotes(text, delimiter).open,
            Records::Lines | Records::RecordIo => false,
        };
        let carriage_returns = memchr(b'\n', text).is_none() && memchr(b'\r', text).is_some();
        let (what, help) = if quoted {
            ("a quote is opened and not closed", "close it, or double it if it is part of a text")
        } else if carriage_returns {
            (
                "lines end with a carriage return alone",
                "end lines with a line feed, e.g. with `tr '\\r' '\\n'`",
            )
        } else {
            ("the line does not end", "check that the object is text, one record on each line")
        };
        let what = format!("{what} within {LINE_BYTES_MAX} bytes");
        Broken { line: 0, column: None, what, help: help.into() }
    }
}

/// What a text that begins outside quotes holds.
struct Quotes {
    /// Behind the last line feed outside quotes; 0 without one.
    border: usize,
    /// Whether a quote is still open at the end.
    open: bool,
}

fn scan_quotes(text: &[u8], delimiter: u8) -> Quotes {
    let mut border = 0;
    // Everything before it, outside quotes, has been searched for a border.
    let mut outside = 0;
    let mut from = 0;
    let mut search = |outside: usize, end: usize| {
        border = memrchr(b'\n', &text[outside..end]).map_or(border, |at| outside + at + 1);
        border
    };
    while let Some(opening) = memchr(b'"', &text[from..]).map(|at| from + at) {
        from = opening + 1;
        let before = opening.checked_sub(1).map(|at| text[at]);
        let first = opening == BOM.len() && text.starts_with(BOM);
        if before.is_some_and(|b| b != delimiter && b != b'\n') && !first {
            continue;
        }
        let border = search(outside, opening);
        match closing_quote(text, from) {
            // A quote at the very end may be the first of a doubled one.
            Some(closing) if closing + 1 < text.len() => from = closing + 1,
            _ => return Quotes { border, open: true },
        }
        outside = from;
    }
    Quotes { border: search(outside, text.len()), open: false }
}

/// Where the quoted text that begins at `from` ends: its closing quote, doubled ones passed over.
pub(crate) fn closing_quote(text: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let quote = from + memchr(b'"', text.get(from..)?)?;
        if text.get(quote + 1) != Some(&b'"') {
            return Some(quote);
        }
        from = quote + 2;
    }
}

fn grow(buffer: &mut Vec<u8>, text_bytes: usize) {
    if buffer.len() < text_bytes + PAD_BYTES {
        buffer.resize(text_bytes + PAD_BYTES, 0);
    }
}

/// The rest of an object, with a line feed where its last line lacks one.
fn last_block(mut buffer: Vec<u8>, filled: usize, is_text: bool) -> Option<Block> {
    if filled == 0 {
        return None;
    }
    let mut end = filled;
    if is_text && buffer[filled - 1] != b'\n' {
        buffer[filled] = b'\n';
        end += 1;
    }
    grow(&mut buffer, end);
    Some(Block { bytes: buffer, start: 0, end, lines_before: 0 })
}

/// Line feeds in a text.
pub(crate) fn lines(text: &[u8]) -> u64 {
    memchr_iter(b'\n', text).count() as u64
}

/// Buffers that go round between threads, since fresh memory costs a page fault every 4 KiB.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    free: Mutex<Vec<Vec<T>>>,
    kept_max: usize,
    length_max: usize,
}

impl<T> Pool<T> {
    /// Keeps up to `kept_max` buffers of up to `length_max` entries.
    pub(crate) fn new(kept_max: usize, length_max: usize) -> Pool<T> {
        Pool { free: Mutex::new(Vec::new()), kept_max, length_max }
    }

    /// A buffer, with whatever it held before.
    pub(crate) fn take(&self) -> Vec<T> {
        self.free.lock().map(|mut free| free.pop().unwrap_or_default()).unwrap_or_default()
    }

    /// Gives one back.
    pub(crate) fn put(&self, buffer: Vec<T>) {
        if let Ok(mut free) = self.free.lock()
            && free.len() < self.kept_max
            && buffer.capacity() <= self.length_max
        {
            free.push(buffer);
        }
    }
}
