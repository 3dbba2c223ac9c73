//! Sealing a stream: plaintext in, one AWS Encryption SDK message (suite 0478) out.
//!
//! Frames are encrypted on rayon's pool while the caller produces the next bytes and the finished
//! frames go to the inner writer, in order, from the caller's own thread. It never re-wraps or
//! rewrites a header: two headers under one data key would reuse the header's nonce, and that
//! gives the authentication key away.

use std::io::{self, Write};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::context::Context;
use super::derive::{commitment, sign_header};
use super::error::Error;
use super::frame::{Cipher, FINAL_HEAD, FRAMES_MAX, Place, Sequence, put_head};
use super::header::{Header, Suite, TAG_BYTES};
use super::parallel::Lane;
use super::secret::fill_random;
use super::service::KeyService;
use crate::spec::limit::{SEAL_FRAME_BYTES, SEAL_FRAME_BYTES_MAX, SEAL_IN_FLIGHT_BYTES_MAX};

/// What may be chosen about a message; [`Settings::default`] is right for artifacts.
#[derive(Clone)]
pub struct Settings<'a> {
    /// Plaintext bytes in one frame: 1 to 64 MiB, default 1 MiB. Larger frames cost memory, smaller
    /// ones time. PyPI's SDK reads any.
    pub frame_bytes: u32,
    /// Pairs that are bound to the message and not stored in it: a reader must bring them.
    pub required: Context,
    /// Further keys that open the same message, such as an offline escrow key.
    pub also: Vec<Recipient<'a>>,
}

/// A key of a service.
#[derive(Clone)]
pub struct Recipient<'a> {
    /// Who keeps the key.
    pub keys: &'a dyn KeyService,
    /// Its id, alias or ARN.
    pub key: String,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Settings { frame_bytes: SEAL_FRAME_BYTES, required: Context::new(), also: Vec::new() }
    }
}

/// The start of a message: what comes before the frames.
pub(super) struct Prologue {
    /// Header body and tag.
    pub(super) bytes: Vec<u8>,
    /// Of the header body, without its tag.
    pub(super) header_sha256: [u8; 32],
    pub(super) cipher: Cipher,
    pub(super) frame_bytes: usize,
}

/// Draws a message id and a data key, wraps it, and makes the header.
pub(super) fn begin(
    keys: &dyn KeyService,
    key: &str,
    context: &Context,
    settings: &Settings<'_>,
) -> Result<Prologue, Error> {
    let frame_bytes = settings.frame_bytes;
    if !(1..=SEAL_FRAME_BYTES_MAX).contains(&frame_bytes) {
        let what =
            format!("frames of {frame_bytes} bytes; 1 to {SEAL_FRAME_BYTES_MAX} are allowed");
        return Err(Error::Settings { what });
    }
    let bound = context.union(&settings.required)?;
    let (data_key, first) = keys.generate_data_key(key, &bound)?;
    let mut wrapped = vec![first];
    for other in &settings.also {
        wrapped.push(other.keys.wrap(&other.key, &data_key, &bound)?);
    }
    let mut message_id = [0; 32];
    fill_random(&mut message_id)?;
    let suite = Suite::Committing;
    let header = Header {
        suite,
        message_id,
        // A pair that is required is not stored, even when the caller names it in both.
        context: context.without(&settings.required),
        keys: wrapped,
        frame_bytes,
        commitment: commitment(&data_key, suite, &message_id),
    };
    let mut bytes = header.serialize()?;
    let (tag, cipher) = sign_header(&data_key, suite, &message_id, &bytes, &settings.required);
    let header_sha256 = Sha256::digest(&bytes).into();
    bytes.extend(tag);
    Ok(Prologue { bytes, header_sha256, cipher, frame_bytes: frame_bytes as usize })
}

/// A frame on its way: room for a head, the content, room for a tag.
struct Draft {
    at: Sequence,
    bytes: Vec<u8>,
}

/// Seals what is written to it.
///
/// Call [`Writer::finish`]: a message that was dropped has no final frame and no reader takes it.
///
/// ```
/// # use smrt::seal::{Context, RawKey, Reader, Writer};
/// # use std::io::{Read, Write};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let key = RawKey::new("my-keys", "backup", [7; 32])?;
/// let context = Context::from_pairs([("smrt:artifact", "model.tar.gz")])?;
/// let mut writer = Writer::new(Vec::new(), &key, "backup", &context)?;
/// writer.write_all(b"weights")?;
/// let sealed = writer.finish()?;
///
/// let mut plain = String::new();
/// Reader::open(&sealed[..], &key)?.read_to_string(&mut plain)?;
/// assert_eq!(plain, "weights");
/// # Ok(()) }
/// ```
pub struct Writer<W: Write> {
    inner: W,
    header_sha256: [u8; 32],
    cipher: Arc<Cipher>,
    frame_bytes: usize,
    lane: Lane<Draft, Vec<u8>>,
    in_flight_max: usize,
    draft: Vec<u8>,
    next: u64,
    spare: Vec<Vec<u8>>,
    failed: bool,
}

impl<W: Write> Writer<W> {
    /// Begins a message under `key` of `keys`, and writes its header.
    ///
    /// # Errors
    /// When the key cannot be used, the context breaks a rule, or `inner` fails.
    pub fn new(
        inner: W,
        keys: &dyn KeyService,
        key: &str,
        context: &Context,
    ) -> Result<Writer<W>, Error> {
        Writer::with_settings(inner, keys, key, context, &Settings::default())
    }

    /// As [`Writer::new`], with a choice of frame length, required pairs and further keys.
    ///
    /// # Errors
    /// As [`Writer::new`], and [`Error::Settings`].
    pub fn with_settings(
        mut inner: W,
        keys: &dyn KeyService,
        key: &str,
        context: &Context,
        settings: &Settings<'_>,
    ) -> Result<Writer<W>, Error> {
        let prologue = begin(keys, key, context, settings)?;
        inner
            .write_all(&prologue.bytes)
            .map_err(|source| Error::io("writing the header of a sealed file", source))?;
        let cipher = Arc::new(prologue.cipher);
        let sealing = Arc::clone(&cipher);
        Ok(Writer {
            inner,
            header_sha256: prologue.header_sha256,
            cipher,
            frame_bytes: prologue.frame_bytes,
            lane: Lane::new(move |draft| seal(&sealing, draft)),
            in_flight_max: in_flight_max(prologue.frame_bytes),
            draft: vec![0; FINAL_HEAD],
            next: 1,
            spare: Vec::new(),
            failed: false,
        })
    }

    /// SHA-256 of the message's header body: what names this message and no other.
    pub fn header_sha256(&self) -> [u8; 32] {
        self.header_sha256
    }

    /// Seals the last frame, writes everything out and gives the inner writer back.
    ///
    /// # Errors
    /// When `inner` fails, or a write failed before.
    pub fn finish(mut self) -> Result<W, Error> {
        self.check()?;
        let at = self.sequence()?;
        let mut last = std::mem::take(&mut self.draft);
        seal_final(&self.cipher, at, &mut last);
        self.drain(0).map_err(write_error)?;
        self.inner.write_all(&last).map_err(write_error)?;
        self.inner.flush().map_err(write_error)?;
        Ok(self.inner)
    }

    /// After a failed write some frames are missing: nothing may follow them.
    fn check(&self) -> Result<(), Error> {
        match self.failed {
            true => Err(write_error(io::Error::other("an earlier write failed"))),
            false => Ok(()),
        }
    }

    fn sequence(&self) -> Result<Sequence, Error> {
        let too_large = || Error::TooLarge {
            what: "the content of one sealed file".into(),
            bytes_max: (FRAMES_MAX + 1) * self.frame_bytes as u64,
        };
        u32::try_from(self.next).map(Sequence).map_err(|_| too_large())
    }

    /// Hands the full draft to the pool and takes up an empty one.
    fn push(&mut self) -> io::Result<()> {
        let at = self.sequence()?;
        if self.next > FRAMES_MAX {
            // The number after this one is the mark of the final frame.
            return Err(Error::TooLarge {
                what: "the content of one sealed file".into(),
                bytes_max: FRAMES_MAX * self.frame_bytes as u64,
            }
            .into());
        }
        self.drain(self.in_flight_max - 1)?;
        let empty = self.spare.pop().unwrap_or_else(|| {
            let mut bytes = Vec::with_capacity(FINAL_HEAD + self.frame_bytes + TAG_BYTES);
            bytes.resize(FINAL_HEAD, 0);
            bytes
        });
        let bytes = std::mem::replace(&mut self.draft, empty);
        self.lane.push(Draft { at, bytes });
        self.next += 1;
        Ok(())
    }

    /// Writes out the oldest frames until `left` remain in the lane.
    fn drain(&mut self, left: usize) -> io::Result<()> {
        while self.lane.len() > left {
            let Some(mut bytes) = self.lane.pop() else { break };
            self.inner.write_all(&bytes[FINAL_HEAD - super::frame::REGULAR_HEAD..])?;
            bytes.truncate(FINAL_HEAD);
            self.spare.push(bytes);
        }
        Ok(())
    }

    fn take(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            if self.draft.len() == FINAL_HEAD + self.frame_bytes {
                // Only now is it certain that this full frame is not the last one.
                self.push()?;
            }
            let room = FINAL_HEAD + self.frame_bytes - self.draft.len();
            let (now, later) = data.split_at(room.min(data.len()));
            self.draft.extend_from_slice(now);
            data = later;
        }
        Ok(())
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.check()?;
        let done = self.take(data);
        self.failed = done.is_err();
        done.map(|()| data.len())
    }

    /// Writes out whole frames; the begun one stays until it is full or [`Writer::finish`].
    fn flush(&mut self) -> io::Result<()> {
        self.check()?;
        let done = self.drain(0).and_then(|()| self.inner.flush());
        self.failed = done.is_err();
        done
    }
}

/// How many frames may be on their way at once: enough for all cores, within a bound of bytes.
pub(super) fn in_flight_max(frame_bytes: usize) -> usize {
    let for_cores = 2 * rayon::current_num_threads() + 2;
    for_cores.min(SEAL_IN_FLIGHT_BYTES_MAX / frame_bytes).max(1)
}

fn write_error(source: io::Error) -> Error {
    Error::io("writing a sealed file", source)
}

fn seal(cipher: &Cipher, draft: Draft) -> Vec<u8> {
    let Draft { at, mut bytes } = draft;
    seal_frame(cipher, Place::Regular, at, &mut bytes);
    bytes
}

fn seal_final(cipher: &Cipher, at: Sequence, bytes: &mut Vec<u8>) {
    seal_frame(cipher, Place::Final, at, bytes);
}

/// Encrypts what stands after the room for the head, fills in the head and appends the tag.
fn seal_frame(cipher: &Cipher, place: Place, at: Sequence, bytes: &mut Vec<u8>) {
    let (head, content) =
        bytes.split_first_chunk_mut::<FINAL_HEAD>().expect("a draft begins with room for a head");
    let tag = cipher.seal(place, at, content);
    let length = u32::try_from(content.len()).expect("a frame is at most 64 MiB");
    put_head(head, place, at, length);
    bytes.extend(tag);
}
