//! TensorFlow's TFRecord, unwrapped: a length, its checksum, so many bytes, theirs, again and again
//! (<https://www.tensorflow.org/tutorials/load_data/tfrecord>). What comes out is the records as lines,
//! or as frames of RecordIO, for whoever reads those.

use std::io::{self, Read};

use super::recordio;
use super::stored::Stored;
use crate::spec::limit::{LINE_BYTES_MAX, RECORD_BYTES_MAX};

const LENGTH_BYTES: usize = 8;
const SUM_BYTES: usize = 4;

/// How the records come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrap {
    /// Each on a line.
    Line,
    /// Each in a frame of RecordIO.
    Frame,
}

/// The records of an object.
pub(crate) struct Unwrapped {
    stored: Option<Stored>,
    wrap: Wrap,
    /// Records begun so far.
    count: u64,
    /// A record on its way out, from `at`.
    ready: Vec<u8>,
    at: usize,
    payload: Vec<u8>,
}

impl Unwrapped {
    pub(crate) fn new(stored: Stored, wrap: Wrap) -> Unwrapped {
        let (ready, payload) = (Vec::new(), Vec::new());
        Unwrapped { stored: Some(stored), wrap, count: 0, ready, at: 0, payload }
    }

    /// The next record into `ready`; nothing at the end.
    fn next(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.at = 0;
        let mut head = [0; LENGTH_BYTES + SUM_BYTES];
        match self.fill(&mut head)? {
            0 => {
                // It must be as long as it was listed.
                return match self.stored.take().map(Stored::finish) {
                    Some(Err(error)) => Err(io::Error::other(error)),
                    _ => Ok(()),
                };
            }
            found => {
                self.count += 1;
                if found < head.len() {
                    return Err(self.wrong("is cut short"));
                }
            }
        }
        let (length, sum) = head.split_at(LENGTH_BYTES);
        if masked(length).to_le_bytes() != *sum {
            return Err(
                self.wrong("does not begin as TFRecord does: the checksum of its length is wrong")
            );
        }
        let length = length.try_into().map_or(u64::MAX, u64::from_le_bytes);
        let most = RECORD_BYTES_MAX.min(LINE_BYTES_MAX);
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= most) else {
            return Err(self.wrong(&format!("has {length} bytes where {most} are allowed")));
        };
        let mut payload = std::mem::take(&mut self.payload);
        payload.resize(length + SUM_BYTES, 0);
        if self.fill(&mut payload)? < payload.len() {
            return Err(self.wrong("is cut short"));
        }
        let (text, sum) = payload.split_at(length);
        if masked(text).to_le_bytes() != *sum {
            return Err(self.wrong("is damaged: its checksum is wrong"));
        }
        match self.wrap {
            Wrap::Frame => recordio::frame(text, &mut self.ready),
            Wrap::Line => {
                let line = text.strip_suffix(b"\n").unwrap_or(text);
                if memchr::memchr(b'\n', line).is_some() {
                    return Err(self.wrong("has a line feed in it where one line is a record"));
                }
                self.ready.extend_from_slice(line);
                self.ready.push(b'\n');
            }
        }
        self.payload = payload;
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.stored {
            Some(stored) => stored.fill(buffer).map_err(io::Error::other),
            None => Ok(0),
        }
    }

    fn wrong(&self, what: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, format!("record {} {what}", self.count))
    }
}

impl Read for Unwrapped {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.ready.len() {
            self.next()?;
            if self.stored.is_none() {
                return Ok(0);
            }
        }
        let rest = &self.ready[self.at..];
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

/// TFRecord's checksum: a CRC-32C, turned and moved, since CRCs of texts that hold CRCs are weak.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Castagnoli's CRC (RFC 3720, appendix B.4).
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes
        .iter()
        .fold(!0, |sum: u32, byte| TABLE[((sum ^ u32::from(*byte)) & 0xff) as usize] ^ (sum >> 8))
}

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut sum = at as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 };
            bit += 1;
        }
        table[at] = sum;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::stored::Object;

    fn framed(payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u64).to_le_bytes();
        [&length[..], &masked(&length).to_le_bytes(), payload, &masked(payload).to_le_bytes()]
            .concat()
    }

    fn read(bytes: &[u8], wrap: Wrap) -> Result<Vec<u8>, String> {
        let reader = Box::new(io::Cursor::new(bytes.to_vec()));
        let object = Object { uri: "a".into(), bytes: Some(bytes.len() as u64), reader };
        let mut out = Vec::new();
        let mut records = Unwrapped::new(Stored::open(object).unwrap(), wrap);
        records.read_to_end(&mut out).map(|_| out).map_err(|error| error.to_string())
    }

    #[test]
    fn the_checksum_is_rfc_3720s() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn records_come_out_as_lines_or_as_frames() {
        let bytes = [framed(b"1,2"), framed(b"3,4\n"), framed(b"")].concat();
        assert_eq!(read(&bytes, Wrap::Line).unwrap(), b"1,2\n3,4\n\n");
        let frames = read(&bytes, Wrap::Frame).unwrap();
        assert_eq!(recordio::spans(&frames).count(), 3);
    }

    #[test]
    fn a_file_cut_anywhere_and_a_byte_changed_anywhere_is_told_with_its_record() {
        let bytes = [framed(b"1,2"), framed(b"3,4")].concat();
        for cut in 1..bytes.len() {
            let outcome = read(&bytes[..cut], Wrap::Line);
            assert_eq!(outcome.is_ok(), cut == bytes.len() / 2, "{cut}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            let told = read(&changed, Wrap::Line).unwrap_err();
            assert!(
                told.starts_with(if at < bytes.len() / 2 { "record 1" } else { "record 2" }),
                "{told}"
            );
        }
        assert!(read(&framed(b"1\n2"), Wrap::Line).unwrap_err().contains("a line feed in it"));
    }
}
