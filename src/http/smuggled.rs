//! Finds requests that two parties may read differently, and that hyper mends before anybody sees
//! them (RFC 9112, sections 2.2, 6.1, 6.3 and 7.1).
//!
//! Such a request is how one party is made to read another request than the next: with a length and
//! a transfer coding, whoever went by the length would take the rest of the body for a request of
//! its own. hyper reads it by the coding and takes the length out of the head, so it can only be
//! seen in the bytes before. This follows their framing, head by head; nothing is kept but the
//! beginning of a line.

use memchr::memchr;

/// As much of a line as decides: `transfer-encoding:`, or `content-length:` and its digits.
const LINE_BYTES: usize = 48;

/// Digits of a chunk's size: all that 64 bits have.
const SIZE_DIGITS_MAX: usize = 16;

/// What can be read in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// A length and a transfer coding.
    LengthAndCoding,
    /// Two lengths, though they may be the same.
    Lengths,
    /// A line that ends without CR.
    LineFeed,
}

/// What was found in the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A head, by its number from 0.
    Head(u64, Doubt),
    /// A chunk whose size is followed by blanks, which some take for a part of it, or has more digits
    /// than some keep; where in these bytes its line ends.
    Chunk(usize),
}

/// Where the bytes of a connection stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before or in a head.
    Head,
    /// In a body, or in a chunk and its line end, with so many bytes to go.
    Bytes { left: u64, chunked: bool },
    /// In the line that says how long the next chunk is.
    ChunkSize,
    /// After the last chunk.
    Trailer,
    /// No longer HTTP/1: somebody else refuses it, or speaks another protocol.
    Lost,
}

/// Follows one connection.
#[derive(Debug)]
pub(super) struct Framing {
    place: Place,
    line: [u8; LINE_BYTES],
    line_bytes: usize,
    /// Whether the head has its request line.
    begun: bool,
    length: Option<u64>,
    coded: bool,
    doubt: Option<Doubt>,
    /// The last byte of the line so far.
    last: u8,
    /// Heads that ended.
    heads: u64,
}

impl Framing {
    pub(super) fn new() -> Framing {
        Framing {
            place: Place::Head,
            line: [0; LINE_BYTES],
            line_bytes: 0,
            begun: false,
            length: None,
            coded: false,
            doubt: None,
            last: 0,
            heads: 0,
        }
    }

    /// Follows the next bytes.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) -> Option<Found> {
        let whole = bytes.len();
        while !bytes.is_empty() {
            match self.place {
                Place::Lost => return None,
                Place::Bytes { left, chunked } => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[taken..];
                    self.place = match left - taken as u64 {
                        0 if chunked => Place::ChunkSize,
                        0 => Place::Head,
                        left => Place::Bytes { left, chunked },
                    };
                }
                Place::Head | Place::ChunkSize | Place::Trailer => {
                    let end = memchr(b'\n', bytes);
                    let Some(end) = end.filter(|_| self.line_bytes == 0) else {
                        self.keep(&bytes[..end.unwrap_or(bytes.len())]);
                        bytes = &bytes[end? + 1..];
                        let (line, count) = (self.line, std::mem::take(&mut self.line_bytes));
                        let bare = std::mem::take(&mut self.last) != b'\r';
                        if let Some(found) = self.line_ends(&line[..count], bare) {
                            return Some(self.lost(found, whole - bytes.len() - 1));
                        }
                        continue;
                    };
                    // Most lines come whole: nothing has to be kept.
                    let line = &bytes[..end];
                    bytes = &bytes[end + 1..];
                    let bare = line.last() != Some(&b'\r');
                    let decides = &line[..line.len().min(LINE_BYTES)];
                    if let Some(found) = self.line_ends(decides, bare) {
                        return Some(self.lost(found, whole - bytes.len() - 1));
                    }
                }
            }
        }
        None
    }

    /// Heads that ended so far.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// After what was found in the line that ends at `end`, nothing is followed.
    fn lost(&mut self, found: Found, end: usize) -> Found {
        self.place = Place::Lost;
        match found {
            Found::Chunk(_) => Found::Chunk(end),
            head => head,
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let count = bytes.len().min(LINE_BYTES - self.line_bytes);
        self.line[self.line_bytes..][..count].copy_from_slice(&bytes[..count]);
        self.line_bytes += count;
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    /// Acts on a whole line, of which as much is here as decides.
    fn line_ends(&mut self, line: &[u8], bare: bool) -> Option<Found> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.place {
            Place::ChunkSize => {
                let is_end = |byte: &u8| matches!(byte, b';' | b' ' | b'\t');
                let end = line.iter().position(is_end).unwrap_or(line.len());
                if end > SIZE_DIGITS_MAX || line.get(end).is_some_and(|byte| *byte != b';') {
                    return Some(Found::Chunk(0));
                }
                self.place = after_size(line);
            }
            Place::Trailer if line.is_empty() => self.place = Place::Head,
            Place::Head if line.is_empty() && self.begun => {
                self.is_bare(bare);
                return self.head_ends();
            }
            Place::Head if line.is_empty() => {}
            Place::Head if !self.begun => {
                self.begun = true;
                self.is_bare(bare);
                // The whole of it: hyper takes `PRI * HTTP/1.1` for a request, and reads on.
                if line == b"PRI * HTTP/2.0" {
                    self.place = Place::Lost;
                }
            }
            Place::Head => {
                self.is_bare(bare);
                self.field(line);
            }
            _ => {}
        }
        None
    }

    fn is_bare(&mut self, bare: bool) {
        if bare {
            self.doubt.get_or_insert(Doubt::LineFeed);
        }
    }

    fn field(&mut self, line: &[u8]) {
        let Some(colon) = memchr(b':', line) else { return };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.coded = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.is_some() {
                self.doubt = Some(Doubt::Lengths);
            }
            // One that cannot be read is refused by hyper.
            let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            self.length = Some(number.unwrap_or(0));
        }
    }

    fn head_ends(&mut self) -> Option<Found> {
        let (length, coded) = (self.length.take(), std::mem::take(&mut self.coded));
        self.begun = false;
        self.heads += 1;
        self.place = match length {
            _ if coded => Place::ChunkSize,
            Some(left @ 1..) => Place::Bytes { left, chunked: false },
            _ => Place::Head,
        };
        let doubt = self.doubt.take();
        let both = (coded && length.is_some()).then_some(Doubt::LengthAndCoding);
        both.or(doubt).map(|doubt| Found::Head(self.heads - 1, doubt))
    }
}

/// What follows the line with a chunk's size.
fn after_size(line: &[u8]) -> Place {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let size = std::str::from_utf8(digits).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
    match size {
        Some(0) => Place::Trailer,
        // The chunk, CR and LF.
        Some(size) => Place::Bytes { left: size.saturating_add(2), chunked: true },
        None => Place::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str = "POST / HTTP/1.1\r\nContent-Length: 5\r\nTRANSFER-encoding:chunked\r\n\r\n";
    const SIZED: &str = "POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n0,\r\n\r";
    const CODED: &str = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
        5;x=y\r\n0,\r\n\r\r\nA\r\n0123456789\r\n0\r\nContent-Length: 3\r\n\r\n";
    const PLAIN: &str = "\r\nGET /ping HTTP/1.1\r\nHost: x\r\n\r\n";

    /// The same answer however the bytes are cut.
    fn found(text: &str) -> Option<Found> {
        let whole = Framing::new().follow(text.as_bytes());
        for size in [1, 2, 3, 7, 50] {
            let mut framing = Framing::new();
            let mut pieces = text.as_bytes().chunks(size).enumerate();
            let in_pieces = pieces.find_map(|(at, piece)| {
                framing.follow(piece).map(|found| match found {
                    Found::Chunk(end) => Found::Chunk(at * size + end),
                    head => head,
                })
            });
            assert_eq!(in_pieces, whole, "{text:?} in pieces of {size}");
        }
        whole
    }

    fn both(head: u64) -> Option<Found> {
        Some(Found::Head(head, Doubt::LengthAndCoding))
    }

    #[test]
    fn a_head_with_a_length_and_a_coding_is_found_wherever_it_stands() {
        assert_eq!(found(BOTH), both(0));
        assert_eq!(found(&format!("{SIZED}{CODED}{PLAIN}{CODED}{BOTH}")), both(4));
        let reversed = "POST / HTTP/1.1\nTransfer-Encoding: x\nA: b\nContent-Length: +1\n\n";
        assert_eq!(found(reversed), both(0));
    }

    #[test]
    fn a_body_that_looks_like_such_a_head_is_a_body() {
        let sized = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{BOTH}", BOTH.len());
        let size = format!("{:x}", BOTH.len());
        let coded = format!(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n{BOTH}\r\n0\r\n\r\n"
        );
        assert_eq!(found(&format!("{sized}{coded}{sized}{PLAIN}")), None);
        assert_eq!(found(&format!("{sized}{coded}{BOTH}")), both(2));
    }

    #[test]
    fn two_lengths_bare_line_feeds_and_doubtful_sizes_are_found() {
        let twice = "POST / HTTP/1.1\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\n";
        let lengths = Some(Found::Head(1, Doubt::Lengths));
        assert_eq!(found(&format!("{PLAIN}{twice}")), lengths);
        let long = format!("X-Long: {}", "a".repeat(100));
        for bare in [
            "GET / HTTP/1.1\nHost: x\r\n\r\n".to_owned(),
            format!("GET / HTTP/1.1\r\n{long}\nHost: x\r\n\r\n"),
            "GET / HTTP/1.1\r\nHost: x\r\n\n".to_owned(),
        ] {
            assert_eq!(found(&bare), Some(Found::Head(0, Doubt::LineFeed)), "{bare:?}");
        }
        assert_eq!(found(&format!("GET / HTTP/1.1\r\n{long}\r\nHost: x\r\n\r\n")), None);
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        for size in ["5 \r\n", "5\t\r\n", "5 ;x=y\r\n", "00000000000000005\r\n"] {
            let end = head.len() + size.len() - 1;
            let text = format!("{head}{size}0,0,0\r\n");
            assert_eq!(found(&text), Some(Found::Chunk(end)), "{size:?}");
        }
        assert_eq!(found(&format!("{head}5; x = y\r\n0,0,0\r\n0\r\n\r\n{PLAIN}")), None);
    }

    #[test]
    fn a_length_in_a_trailer_or_a_name_that_only_begins_so_is_none() {
        assert_eq!(found(&format!("{CODED}{CODED}")), None);
        let near = "POST / HTTP/1.1\r\nContent-Length-X: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(found(near), None);
    }

    #[test]
    fn what_is_no_http_1_is_left_to_others() {
        assert_eq!(found(&format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{BOTH}")), None);
        // A request like any other, after which others come.
        assert_eq!(found(&format!("PRI * HTTP/1.1\r\nHost: x\r\n\r\n{BOTH}")), both(1));
        let head = CODED.split_inclusive("\r\n\r\n").next().unwrap();
        assert_eq!(found(&format!("{head}zz\r\n{BOTH}")), None);
        assert_eq!(found(&"x".repeat(100_000)), None);
    }
}
