//! Opening a stream: one AWS Encryption SDK message in, plaintext out.
//!
//! The header is proved before a `Reader` exists. Every frame is proved before a byte of it leaves;
//! frames are opened on rayon's pool while the caller reads on. That a message was cut short shows
//! only at its end, so a caller must not act on a stream that did not end with `Ok(0)`:
//! [`super::open_file`] and [`super::open_to_vec`] see to that.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::context::Context;
use super::derive::verify_header;
use super::error::Error;
use super::frame::{Cipher, FINAL_HEAD, FINAL_MARK, FRAMES_MAX, Place, REGULAR_HEAD, Sequence};
use super::header::{EncryptedDataKey, Header, Suite, TAG_BYTES};
use super::parallel::Lane;
use super::service::{KeyService, unwrap_any};
use super::signature::{SIGNATURE_BYTES_MAX, Verifier};
use super::writer::in_flight_max;

/// Small frames are opened together, about this many bytes in one job.
const CHUNK_BYTES: usize = 1 << 20;

/// A proved header, and what is needed to open the frames after it.
pub(super) struct Opened {
    pub(super) cipher: Cipher,
    pub(super) verifier: Option<Verifier>,
    pub(super) context: Context,
    pub(super) suite: Suite,
    pub(super) frame_bytes: usize,
    /// Header body and tag.
    pub(super) header_bytes: usize,
}

/// Reads and proves a header: limits, a key, the commitment, the tag.
pub(super) fn open_header(
    inner: &mut dyn Read,
    keys: &dyn KeyService,
    required: &Context,
) -> Result<Opened, Error> {
    let read = Header::read(inner)?;
    let header = &read.header;
    let verifier = Verifier::for_header(&read)?;
    // The caller's pairs must agree with the stored ones; those not stored are required ones.
    for (key, value) in required.iter() {
        if header.context.get(key).is_some_and(|stored| stored != value) {
            return Err(Error::Refused { key: names(&header.keys) });
        }
    }
    let missing = required.without(&header.context);
    let bound = header.context.union(&missing)?;
    let header_sha256 = Sha256::digest(&read.body).into();
    let data_key = unwrap_any(keys, &header.keys, &bound, &header_sha256)?;
    let cipher = verify_header(&data_key, &read, &missing)?;
    Ok(Opened {
        cipher,
        verifier,
        suite: header.suite,
        frame_bytes: header.frame_bytes as usize,
        header_bytes: read.body.len() + TAG_BYTES,
        context: bound,
    })
}

fn names(keys: &[EncryptedDataKey]) -> String {
    keys.iter().map(EncryptedDataKey::key_name).collect::<Vec<_>>().join(", ")
}

/// Encrypted frames in a row.
struct Chunk {
    bytes: Vec<u8>,
    first: u32,
    /// Regular frames.
    frames: usize,
    /// Where the final frame starts and how long its content is, when it is in here.
    last: Option<(usize, usize)>,
}

/// Plaintext, somewhere within its buffer.
#[derive(Default)]
struct Plain {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

/// Opens what is read from it.
///
/// `Ok(0)` comes only after the final frame, the end of the input and, in suite 0578, the
/// signature. Any error is an [`Error`] inside the [`io::Error`], and final.
pub struct Reader<R: Read> {
    inner: R,
    lane: Lane<Chunk, Result<Plain, Error>>,
    in_flight_max: usize,
    frame_bytes: usize,
    frames_per_chunk: usize,
    next: u64,
    verifier: Option<Verifier>,
    context: Context,
    suite: Suite,
    plain: Plain,
    spare: Vec<Vec<u8>>,
    cipher: Arc<Cipher>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// More frames are to be read.
    Reading,
    /// The final frame and the end of the input were seen.
    Ended,
    /// Something was wrong; it stays so.
    Failed,
}

impl<R: Read> Reader<R> {
    /// Reads and proves the header.
    ///
    /// # Errors
    /// What [`super::Error`] lists: not sealed, refused kinds, no key, wrong context, changed.
    pub fn open(inner: R, keys: &dyn KeyService) -> Result<Reader<R>, Error> {
        Reader::open_with(inner, keys, &Context::new())
    }

    /// As [`Reader::open`], for a message bound to `required` pairs. Pairs that are stored in the
    /// header may be given too: they must then be the same.
    ///
    /// # Errors
    /// As [`Reader::open`]; [`Error::Refused`] for a pair that differs.
    pub fn open_with(
        mut inner: R,
        keys: &dyn KeyService,
        required: &Context,
    ) -> Result<Reader<R>, Error> {
        let opened = open_header(&mut inner, keys, required)?;
        let cipher = Arc::new(opened.cipher);
        let opening = Arc::clone(&cipher);
        let frame_bytes = opened.frame_bytes;
        let frames_per_chunk = (CHUNK_BYTES / (frame_bytes + REGULAR_HEAD + TAG_BYTES)).max(1);
        Ok(Reader {
            inner,
            lane: Lane::new(move |chunk| open_chunk(&opening, frame_bytes, chunk)),
            in_flight_max: in_flight_max(frame_bytes * frames_per_chunk),
            frame_bytes,
            frames_per_chunk,
            next: 1,
            verifier: opened.verifier,
            context: opened.context,
            suite: opened.suite,
            plain: Plain::default(),
            spare: Vec::new(),
            cipher,
            state: State::Reading,
        })
    }

    /// The context, proved: stored and required pairs.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The suite.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Makes the next plaintext current; it is empty at the proved end.
    fn advance(&mut self) -> Result<(), Error> {
        loop {
            let used = std::mem::take(&mut self.plain).bytes;
            if !used.is_empty() {
                self.spare.push(used);
            }
            while self.state == State::Reading && self.lane.len() < self.in_flight_max {
                let chunk = self.read_chunk()?;
                if chunk.last.is_some() && self.lane.len() == 0 {
                    // The last piece of work is not worth a second thread.
                    self.plain = open_chunk(&self.cipher, self.frame_bytes, chunk)?;
                    return Ok(());
                }
                self.lane.push(chunk);
            }
            match self.lane.pop() {
                None => return Ok(()),
                Some(plain) => self.plain = plain?,
            }
            if self.plain.start < self.plain.end {
                return Ok(());
            }
        }
    }

    fn read_chunk(&mut self) -> Result<Chunk, Error> {
        let regular = self.frame_bytes + REGULAR_HEAD + TAG_BYTES;
        let whole = self.frames_per_chunk * regular;
        // Room for a final frame in the place of a regular one, a footer, and a byte too many.
        let room = whole + (FINAL_HEAD - REGULAR_HEAD) + 2 + SIGNATURE_BYTES_MAX + 1;
        let bytes = self.spare.pop().unwrap_or_else(|| vec![0; room]);
        let first = u32::try_from(self.next).unwrap_or(FINAL_MARK);
        let mut chunk = Chunk { bytes, first, frames: 0, last: None };
        let filled = fill(&mut self.inner, &mut chunk.bytes[..whole])?;
        while chunk.frames < self.frames_per_chunk {
            let start = chunk.frames * regular;
            let at = self.sequence()?;
            let frame = &chunk.bytes[start..filled];
            match check_head(frame, at)? {
                Place::Final => {
                    self.read_end(&mut chunk, start, filled)?;
                    break;
                }
                Place::Regular if frame.len() < regular => {
                    return Err(Error::Truncated { what: format!("frame {}", at.0) });
                }
                Place::Regular if self.next > FRAMES_MAX => {
                    return Err(Error::tampered(format!("frame {}", at.0)));
                }
                Place::Regular => {
                    chunk.frames += 1;
                    self.next += 1;
                }
            }
        }
        if let (Some(verifier), None) = (&mut self.verifier, chunk.last) {
            verifier.update(&chunk.bytes[..whole]);
        }
        Ok(chunk)
    }

    fn sequence(&self) -> Result<Sequence, Error> {
        let wrong = |_| Error::tampered("the number of frames");
        u32::try_from(self.next).map(Sequence).map_err(wrong)
    }

    /// Reads the rest of the final frame, the footer, and the end of the input.
    fn read_end(&mut self, chunk: &mut Chunk, start: usize, mut have: usize) -> Result<(), Error> {
        let bytes = &mut chunk.bytes;
        read_to(&mut self.inner, bytes, &mut have, start + FINAL_HEAD)?;
        let head = &bytes[start..start + FINAL_HEAD];
        let length = final_length(head, self.frame_bytes)?;
        let mut end = start + FINAL_HEAD + length + TAG_BYTES;
        read_to(&mut self.inner, bytes, &mut have, end)?;
        if let Some(mut verifier) = self.verifier.take() {
            verifier.update(&bytes[..end]);
            read_to(&mut self.inner, bytes, &mut have, end + 2)?;
            let signature = usize::from(u16::from_be_bytes([bytes[end], bytes[end + 1]]));
            if signature > SIGNATURE_BYTES_MAX {
                return Err(Error::tampered("the length of the signature"));
            }
            end += 2 + signature;
            read_to(&mut self.inner, bytes, &mut have, end)?;
            verifier.verify(&bytes[end - signature..end])?;
        }
        have += fill(&mut self.inner, &mut bytes[have..have.max(end + 1)])?;
        if have > end {
            return Err(Error::Trailing);
        }
        chunk.last = Some((start, length));
        self.state = State::Ended;
        Ok(())
    }
}

impl<R: Read> BufRead for Reader<R> {
    /// The next proved plaintext, without a copy; empty at the proved end.
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.state == State::Failed {
            return Err(io::Error::other("reading on in a sealed file after a failure"));
        }
        if self.plain.start == self.plain.end
            && let Err(error) = self.advance()
        {
            self.state = State::Failed;
            return Err(error.into());
        }
        Ok(&self.plain.bytes[self.plain.start..self.plain.end])
    }

    fn consume(&mut self, amount: usize) {
        self.plain.start = (self.plain.start + amount).min(self.plain.end);
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        let rest = self.fill_buf()?;
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        self.consume(length);
        Ok(length)
    }
}

/// Checks sequence number and nonce of the frame at the start of `frame`, as far as they are there.
pub(super) fn check_head(frame: &[u8], at: Sequence) -> Result<Place, Error> {
    let cut = || Error::Truncated { what: format!("frame {}", at.0) };
    let wrong = || Error::tampered(format!("the order of frames, at frame {},", at.0));
    let (mark, rest) = frame.split_first_chunk::<4>().ok_or_else(cut)?;
    let (place, rest, number) = match u32::from_be_bytes(*mark) {
        FINAL_MARK => {
            let (number, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
            (Place::Final, rest, number)
        }
        _ => (Place::Regular, rest, mark),
    };
    let iv = rest.first_chunk::<12>().ok_or_else(cut)?;
    match *number == at.0.to_be_bytes() && *iv == at.iv() {
        true => Ok(place),
        false => Err(wrong()),
    }
}

/// The content length in the head of a final frame.
pub(super) fn final_length(head: &[u8], frame_bytes: usize) -> Result<usize, Error> {
    let length = head[FINAL_HEAD - 4..FINAL_HEAD].try_into().map(u32::from_be_bytes);
    match length.expect("four bytes were cut out") as usize {
        length if length <= frame_bytes => Ok(length),
        _ => Err(Error::tampered("the length of the final frame")),
    }
}

/// Opens frames in place and closes the gaps between their contents.
fn open_chunk(cipher: &Cipher, frame_bytes: usize, chunk: Chunk) -> Result<Plain, Error> {
    let Chunk { mut bytes, first, frames, last } = chunk;
    let regular = frame_bytes + REGULAR_HEAD + TAG_BYTES;
    let mut end = REGULAR_HEAD;
    for (frame, number) in (0..frames).zip(first..) {
        let start = frame * regular + REGULAR_HEAD;
        open_at(cipher, Place::Regular, Sequence(number), &mut bytes, start, frame_bytes)?;
        if start != end {
            bytes.copy_within(start..start + frame_bytes, end);
        }
        end += frame_bytes;
    }
    if let Some((start, length)) = last {
        let number = first + u32::try_from(frames).expect("a chunk holds few frames");
        let start = start + FINAL_HEAD;
        open_at(cipher, Place::Final, Sequence(number), &mut bytes, start, length)?;
        bytes.copy_within(start..start + length, end);
        end += length;
    }
    Ok(Plain { bytes, start: REGULAR_HEAD, end })
}

/// Opens the content at `start`, which its tag follows.
pub(super) fn open_at(
    cipher: &Cipher,
    place: Place,
    at: Sequence,
    bytes: &mut [u8],
    start: usize,
    length: usize,
) -> Result<(), Error> {
    let (content, rest) = bytes[start..].split_at_mut(length);
    let tag = rest.first_chunk().expect("a frame was read with its tag");
    cipher.open(place, at, content, tag)
}

/// Reads until `into` is full or the input ends; how much was read.
fn fill(inner: &mut impl Read, into: &mut [u8]) -> Result<usize, Error> {
    let mut filled = 0;
    while filled < into.len() {
        match inner.read(&mut into[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("reading a sealed file", error)),
        }
    }
    Ok(filled)
}

/// Reads until `end` bytes are there.
fn read_to(
    inner: &mut impl Read,
    bytes: &mut [u8],
    have: &mut usize,
    end: usize,
) -> Result<(), Error> {
    if *have < end {
        *have += fill(inner, &mut bytes[*have..end])?;
    }
    match *have < end {
        true => Err(Error::Truncated { what: "the final frame".into() }),
        false => Ok(()),
    }
}
