//! An object's text cut into pieces of whole records, for whoever answers them record by record and
//! must know where each one stands. What a record holds is not looked at.

use memchr::memmem;

use super::block::{BOM, Cutter, Failure, Records, lines};
use super::error::{Error, Place};
use super::recordio;
use super::stored::{Object, Stored};
use super::tfrecord::{Unwrapped, Wrap};

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// A line, also inside quotes, as SageMaker splits. No line may be empty, except after the last.
    Lines {
        /// The first one names the columns and is left out.
        header: bool,
    },
    /// A frame of RecordIO.
    RecordIo,
    /// A frame of TFRecord, handed on as a line, or as a frame of RecordIO.
    TfRecord {
        /// Whether as a frame.
        framed: bool,
    },
    /// The object.
    Whole,
}

/// Some whole records.
#[derive(Debug)]
pub struct Piece {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Number of the first one's line or record, from 1.
    pub first: u64,
    /// How many.
    pub records: usize,
}

impl Piece {
    /// The records; lines end with a line feed, each of them.
    pub fn text(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Each record with its own end.
    pub fn each(&self, split: Split) -> Box<dyn Iterator<Item = &[u8]> + '_> {
        let text = self.text();
        match split {
            Split::Lines { .. } | Split::TfRecord { framed: false } => {
                Box::new(text.split_inclusive(|byte| *byte == b'\n'))
            }
            Split::RecordIo | Split::TfRecord { framed: true } => {
                Box::new(recordio::spans(text).map(|span| &text[span]))
            }
            Split::Whole => Box::new(std::iter::once(text)),
        }
    }
}

/// Cuts one object.
pub struct Splitter {
    uri: String,
    split: Split,
    record_bytes_max: usize,
    source: Source,
    /// Number of the next line or record.
    next: u64,
    begun: bool,
    /// The number of an empty line that is a mistake if anything follows it.
    empty: Option<u64>,
}

enum Source {
    Blocks(Box<Cutter>),
    Whole(Box<Stored>),
    Ended,
}

impl Splitter {
    /// Opens an object; a piece has about `piece_bytes`, and a record at most `record_bytes_max`.
    ///
    /// # Errors
    /// When its first bytes cannot be read.
    pub fn open(
        object: Object,
        split: Split,
        piece_bytes: usize,
        record_bytes_max: usize,
    ) -> Result<Splitter, Error> {
        let uri = object.uri.clone();
        let mut stored = Stored::open(object)?;
        if let Split::TfRecord { framed } = split {
            let wrap = if framed { Wrap::Frame } else { Wrap::Line };
            let reader = Box::new(Unwrapped::new(stored, wrap));
            stored = Stored::open(Object { uri: uri.clone(), bytes: None, reader })
                .map_err(unwrapped)?;
        }
        let records = match split {
            Split::Lines { .. } | Split::TfRecord { framed: false } => Some(Records::Lines),
            Split::RecordIo | Split::TfRecord { framed: true } => Some(Records::RecordIo),
            Split::Whole => None,
        };
        let source = match records {
            Some(records) => Source::Blocks(Box::new(Cutter::new(stored, records, piece_bytes))),
            None => Source::Whole(Box::new(stored)),
        };
        Ok(Splitter { uri, split, record_bytes_max, source, next: 1, begun: false, empty: None })
    }

    /// The next piece, in order; `None` at the end.
    ///
    /// # Errors
    /// When the bytes cannot be read or are no records, with their place.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, Error> {
        loop {
            let (bytes, start, end) = match &mut self.source {
                Source::Ended => return Ok(None),
                Source::Whole(stored) => {
                    let whole = stored.whole(self.record_bytes_max)?;
                    let bytes = whole.ok_or_else(|| self.too_long(None))?;
                    self.end()?;
                    if bytes.trim_ascii().is_empty() {
                        return Ok(None);
                    }
                    let end = bytes.len();
                    return Ok(Some(Piece { bytes, start: 0, end, first: 1, records: 1 }));
                }
                Source::Blocks(cutter) => match cutter.next(Vec::new()) {
                    Ok(Some(block)) => (block.bytes, block.start, block.end),
                    Ok(None) => {
                        self.end()?;
                        return Ok(None);
                    }
                    Err(Failure::Read(error)) => return Err(unwrapped(error)),
                    Err(Failure::Text(broken)) => {
                        let at = self.next + broken.line;
                        return Err(self.bad(Some(at), broken.what, broken.help));
                    }
                },
            };
            let piece = match self.split {
                Split::Lines { header } => self.lines(bytes, start, end, header)?,
                Split::TfRecord { framed: false } => self.lines(bytes, start, end, false)?,
                Split::RecordIo | Split::TfRecord { framed: true } | Split::Whole => {
                    self.frames(bytes, start, end)?
                }
            };
            if let Some(piece) = piece {
                return Ok(Some(piece));
            }
        }
    }

    fn lines(
        &mut self,
        bytes: Vec<u8>,
        mut start: usize,
        mut end: usize,
        header: bool,
    ) -> Result<Option<Piece>, Error> {
        if !std::mem::replace(&mut self.begun, true) {
            if bytes[start..end].starts_with(BOM) {
                start += BOM.len();
            }
            if header {
                start = memchr::memchr(b'\n', &bytes[start..end]).map_or(end, |at| start + at + 1);
                self.next += 1;
            }
        }
        let (first, count) = (self.next, lines(&bytes[start..end]));
        self.next += count;
        // Empty lines at the end of a piece are a mistake only when something follows them.
        let mut full = count;
        while let Some(shorter) = without_empty_end(&bytes[start..end]) {
            end = start + shorter;
            full -= 1;
        }
        if full == 0 {
            self.empty = self.empty.or((count > 0).then_some(first));
            return Ok(None);
        }
        let inside = first_empty(&bytes[start..end]).map(|before| first + before);
        if let Some(at) = self.empty.or(inside) {
            return Err(self.bad(
                Some(at),
                "the line is empty, and a record gets exactly one answer",
                "take the line out, or write what is missing as an empty cell beside others",
            ));
        }
        self.empty = (full < count).then_some(first + full);
        if end - start > self.record_bytes_max
            && let Some(long) = bytes[start..end]
                .split(|byte| *byte == b'\n')
                .position(|line| line.len() > self.record_bytes_max)
        {
            return Err(self.too_long(Some(first + long as u64)));
        }
        Ok(Some(Piece { bytes, start, end, first, records: full as usize }))
    }

    fn frames(&mut self, bytes: Vec<u8>, start: usize, end: usize) -> Result<Option<Piece>, Error> {
        let (first, mut records) = (self.next, 0);
        for span in recordio::spans(&bytes[start..end]) {
            if span.len() > self.record_bytes_max {
                return Err(self.too_long(Some(first + records)));
            }
            records += 1;
        }
        self.next += records;
        Ok(Some(Piece { bytes, start, end, first, records: records as usize }))
    }

    /// The object has been read to its end; it must be as long as it was listed.
    fn end(&mut self) -> Result<(), Error> {
        match std::mem::replace(&mut self.source, Source::Ended) {
            Source::Blocks(cutter) => cutter.into_stored().finish().map(drop),
            Source::Whole(stored) => stored.finish().map(drop),
            Source::Ended => Ok(()),
        }
    }

    fn too_long(&self, at: Option<u64>) -> Error {
        let what = format!(
            "{} is longer than the {} bytes of one request",
            if at.is_some() { "the record" } else { "the object" },
            self.record_bytes_max
        );
        self.bad(at, what, "set transform.max_payload_in_mb higher, or split the object")
    }

    /// A mistake in a line or record, by its number.
    pub fn bad(&self, at: Option<u64>, what: impl Into<String>, help: impl Into<String>) -> Error {
        bad(&self.uri, self.split, at, what, help)
    }
}

/// A mistake in a line or record of the object `uri`, by its number.
pub fn bad(
    uri: &str,
    split: Split,
    at: Option<u64>,
    what: impl Into<String>,
    help: impl Into<String>,
) -> Error {
    let (line, record) = match split {
        Split::Lines { .. } => (at, None),
        Split::RecordIo | Split::TfRecord { .. } => (None, at),
        Split::Whole => (None, None),
    };
    let place = Place { uri: uri.to_owned(), line, record, column: None };
    Error::Bad { place, what: what.into(), help: help.into() }
}

/// What is wrong with frames of TFRecord is the object's mistake, and no reading that failed.
fn unwrapped(error: Error) -> Error {
    match error {
        Error::Read { uri, source, .. } if source.kind() == std::io::ErrorKind::InvalidData => {
            Error::Corrupt { uri, what: source.to_string() }
        }
        other => other,
    }
}

/// Where the text ends without its last line, if that one is empty.
fn without_empty_end(text: &[u8]) -> Option<usize> {
    let before = text.strip_suffix(b"\n")?;
    let before = before.strip_suffix(b"\r").unwrap_or(before);
    (before.is_empty() || before.ends_with(b"\n")).then_some(before.len())
}

/// Lines before the first empty one.
fn first_empty(text: &[u8]) -> Option<u64> {
    if text.starts_with(b"\n") || text.starts_with(b"\r\n") {
        return Some(0);
    }
    let unix = memmem::find(text, b"\n\n");
    let dos = memmem::find(text, b"\n\r\n");
    let at = unix.into_iter().chain(dos).min()?;
    Some(lines(&text[..=at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &[u8]) -> Object {
        Object {
            uri: "a.csv".into(),
            bytes: Some(text.len() as u64),
            reader: Box::new(std::io::Cursor::new(text.to_vec())),
        }
    }

    type Pieces = Vec<(u64, usize, String)>;

    fn cut(text: &str, header: bool, piece_bytes: usize) -> Result<Pieces, String> {
        let split = Split::Lines { header };
        let mut splitter = Splitter::open(object(text.as_bytes()), split, piece_bytes, 40).unwrap();
        let mut pieces = Vec::new();
        while let Some(piece) = splitter.next_piece().map_err(|error| error.to_string())? {
            let text = String::from_utf8(piece.text().to_vec()).unwrap();
            pieces.push((piece.first, piece.records, text));
        }
        Ok(pieces)
    }

    #[test]
    fn pieces_are_whole_lines_and_know_their_place() {
        let text: String = (0..100).map(|row| format!("{row},{}\n", row * row)).collect();
        for piece_bytes in [8, 16, 33, 1_000, 10_000] {
            let pieces = cut(&text, false, piece_bytes).unwrap();
            let mut next = 1;
            for (first, records, piece) in &pieces {
                assert_eq!((*first, *records), (next, piece.lines().count()));
                next += *records as u64;
            }
            let joined: String = pieces.into_iter().map(|(_, _, piece)| piece).collect();
            assert_eq!(joined, text);
        }
    }

    #[test]
    fn a_last_line_without_an_end_gets_one_and_a_header_is_left_out() {
        assert_eq!(cut("1\n2", false, 99).unwrap(), [(1, 2, "1\n2\n".to_owned())]);
        let pieces = cut("\u{feff}x,y\r\n1,2\r\n", true, 99).unwrap();
        assert_eq!(pieces, [(2, 1, "1,2\r\n".to_owned())]);
        assert_eq!(cut("x,y\n", true, 99).unwrap(), []);
    }

    #[test]
    fn an_empty_line_is_a_mistake_unless_nothing_follows() {
        for piece_bytes in [4, 8, 99] {
            assert_eq!(cut("1\n2\n\n\r\n\n", false, piece_bytes).unwrap().last().unwrap().0, 1);
            for (text, line) in [("1\n\n2\n", 2), ("\n1\n", 1), ("1\n2\n\r\n\n\n3\n", 3)] {
                let said = cut(text, false, piece_bytes).unwrap_err();
                assert!(said.contains(&format!("a.csv, line {line}: the line is empty")), "{said}");
            }
        }
    }

    #[test]
    fn a_record_longer_than_a_request_is_told_by_its_line() {
        let text = format!("1\n2\n{}\n4\n", "9".repeat(41));
        let said = cut(&text, false, 16).unwrap_err();
        assert!(said.contains("line 3: the record is longer than the 40 bytes"), "{said}");
        assert!(cut(&text.replace("99", "9"), false, 16).is_ok());
    }

    #[test]
    fn a_whole_object_is_one_piece_or_too_long() {
        let whole =
            |text: &[u8], most| Splitter::open(object(text), Split::Whole, 16, most).unwrap();
        let mut splitter = whole(b"{\n}\n", 4);
        assert_eq!(splitter.next_piece().unwrap().unwrap().text(), b"{\n}\n");
        assert!(splitter.next_piece().unwrap().is_none());
        let said = whole(b"{\n}\n", 3).next_piece().unwrap_err().to_string();
        assert!(said.contains("the object is longer than the 3 bytes"), "{said}");
    }
}
