//! Whole files and whole buffers: nothing appears under its name before all of it was proved.
//!
//! Sealing and opening go file to file on all cores: each thread reads a frame at its own place,
//! works on it while it is in the core's cache, and writes it to its own place. No data pass from
//! thread to thread. The result is made beside its destination (`.name.xxxxxx.part`, mode 0600) and
//! renamed at the end; on any error it is removed.

use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tempfile::NamedTempFile;

use super::context::Context;
use super::error::Error;
use super::frame::{Cipher, FINAL_HEAD, FRAMES_MAX, Place, REGULAR_HEAD, Sequence, put_head};
use super::header::TAG_BYTES;
use super::reader::{Opened, Reader, check_head, final_length, open_at, open_header};
use super::service::KeyService;
use super::writer::{Prologue, Settings, Writer, begin};

/// Bytes of a final frame beyond its content.
const FINAL_EXTRA: u64 = (FINAL_HEAD + TAG_BYTES) as u64;
/// Bytes of a regular frame beyond its content.
const REGULAR_EXTRA: u64 = (REGULAR_HEAD + TAG_BYTES) as u64;

/// Where the frames of a message lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    header_bytes: u64,
    frame_bytes: u64,
    /// Regular frames.
    regular: u64,
    /// Content bytes of the final frame.
    last_bytes: u64,
}

impl Layout {
    /// The layout of a sealed file of this length; nothing when no message has it.
    pub(super) fn of(file_bytes: u64, header_bytes: usize, frame_bytes: u32) -> Option<Layout> {
        let (header_bytes, frame_bytes) = (header_bytes as u64, u64::from(frame_bytes));
        let frames = file_bytes.checked_sub(header_bytes)?.checked_sub(FINAL_EXTRA)?;
        let regular = frames / (frame_bytes + REGULAR_EXTRA);
        let last_bytes = frames % (frame_bytes + REGULAR_EXTRA);
        let layout = Layout { header_bytes, frame_bytes, regular, last_bytes };
        (last_bytes <= frame_bytes && regular <= FRAMES_MAX).then_some(layout)
    }

    /// The layout of a message with this much content: the last frame is full rather than empty.
    fn for_content(plain_bytes: u64, header_bytes: usize, frame_bytes: usize) -> Layout {
        let (header_bytes, frame_bytes) = (header_bytes as u64, frame_bytes as u64);
        let regular = plain_bytes.saturating_sub(1) / frame_bytes;
        let last_bytes = plain_bytes - regular * frame_bytes;
        Layout { header_bytes, frame_bytes, regular, last_bytes }
    }

    pub(super) fn plain_bytes(self) -> u64 {
        self.regular * self.frame_bytes + self.last_bytes
    }

    /// Frame `index`, from 0: kind, number, content bytes, where it starts when plain and sealed.
    fn frame(self, index: u64) -> FrameAt {
        let number = u32::try_from(index + 1).expect("a layout has at most 2^32 - 1 frames");
        let (place, length) = match index == self.regular {
            true => (Place::Final, self.last_bytes),
            false => (Place::Regular, self.frame_bytes),
        };
        FrameAt {
            place,
            at: Sequence(number),
            length: usize::try_from(length).expect("a frame is at most 64 MiB"),
            plain: index * self.frame_bytes,
            sealed: self.header_bytes + index * (self.frame_bytes + REGULAR_EXTRA),
        }
    }
}

struct FrameAt {
    place: Place,
    at: Sequence,
    length: usize,
    plain: u64,
    sealed: u64,
}

/// Seals the file `from` into the file `to`, under `key` of `keys`. Gives the bytes of plaintext.
///
/// The result has mode 0600 and replaces what stood there. It survives the end of the process; a
/// power failure soon after may cut it short, which every reader notices.
///
/// # Errors
/// As [`Writer::new`]; [`Error::Io`] with the path; [`Error::Changed`] when `from` grows or shrinks
/// meanwhile.
pub fn seal_file(
    from: &Path,
    to: &Path,
    keys: &dyn KeyService,
    key: &str,
    context: Context,
    settings: &Settings<'_>,
) -> Result<u64, Error> {
    let source = open_source(from)?;
    let part = create_part(to)?;
    let plain_bytes = match source.metadata().map_err(|e| Error::io(shown(from), e))? {
        meta if meta.is_file() && cfg!(unix) => {
            let prologue = begin(keys, key, context, settings)?;
            seal_frames(from, &source, meta.len(), &prologue, part.as_file(), to)?;
            meta.len()
        }
        _ => seal_stream(from, &source, keys, key, context, settings, part.as_file())?,
    };
    part.persist(to).map_err(|error| Error::io(shown(to), error.error))?;
    Ok(plain_bytes)
}

/// Opens the sealed file `from` into the file `to`. Gives the bytes of plaintext.
///
/// `to` appears, with mode 0600, only when every frame, the end of the file and, in suite 0578, the
/// signature were proved; on any error nothing remains.
///
/// # Errors
/// As [`Reader::open_with`], and [`Error::Io`] with the path.
pub fn open_file(
    from: &Path,
    to: &Path,
    keys: &dyn KeyService,
    required: &Context,
) -> Result<u64, Error> {
    let mut source = open_source(from)?;
    let part = create_part(to)?;
    let meta = source.metadata().map_err(|e| Error::io(shown(from), e))?;
    let plain_bytes = match meta.is_file() && cfg!(unix) {
        true => {
            let opened = open_header(&mut source, keys, required)?;
            match opened.verifier {
                None => open_frames(from, &source, meta.len(), &opened, part.as_file(), to)?,
                // The signature covers the message from its first byte: one pass, in order.
                Some(_) => open_stream(open_source(from)?, keys, required, part.as_file(), to)?,
            }
        }
        false => open_stream(source, keys, required, part.as_file(), to)?,
    };
    part.persist(to).map_err(|error| Error::io(shown(to), error.error))?;
    Ok(plain_bytes)
}

/// Opens a sealed stream into memory, at most `bytes_max` of it. Nothing is given before the end
/// was proved.
///
/// # Errors
/// As [`Reader::open_with`]; [`Error::TooLarge`].
pub fn open_to_vec(
    from: impl Read,
    keys: &dyn KeyService,
    required: &Context,
    bytes_max: u64,
) -> Result<Vec<u8>, Error> {
    let mut reader = Reader::open_with(from, keys, required)?;
    let mut plain = Vec::new();
    (&mut reader)
        .take(bytes_max)
        .read_to_end(&mut plain)
        .map_err(|error| Error::io("reading a sealed file", error))?;
    match reader.read(&mut [0]) {
        Ok(0) => Ok(plain),
        Ok(_) => Err(Error::TooLarge { what: "the content of the sealed file".into(), bytes_max }),
        Err(error) => Err(Error::io("reading a sealed file", error)),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn open_source(from: &Path) -> Result<File, Error> {
    File::open(from).map_err(|error| Error::io(shown(from), error))
}

/// An unnamed-to-others file beside `to`, mode 0600, removed unless it is persisted.
fn create_part(to: &Path) -> Result<NamedTempFile, Error> {
    let wrong = |error| Error::io(shown(to), error);
    let name = to.file_name().ok_or_else(|| wrong(io::ErrorKind::InvalidFilename.into()))?;
    let folder = match to.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    tempfile::Builder::new().prefix(&prefix).suffix(".part").tempfile_in(folder).map_err(wrong)
}

fn seal_stream(
    from: &Path,
    mut source: &File,
    keys: &dyn KeyService,
    key: &str,
    context: Context,
    settings: &Settings<'_>,
    part: &File,
) -> Result<u64, Error> {
    let mut writer = Writer::with_settings(part, keys, key, context, settings)?;
    let copied = io::copy(&mut source, &mut writer).map_err(|e| Error::io(shown(from), e))?;
    writer.finish()?;
    Ok(copied)
}

fn open_stream(
    source: File,
    keys: &dyn KeyService,
    required: &Context,
    mut part: &File,
    to: &Path,
) -> Result<u64, Error> {
    let mut reader = Reader::open_with(source, keys, required)?;
    let mut copied = 0;
    loop {
        let plain = reader.fill_buf().map_err(|e| Error::io("reading a sealed file", e))?;
        if plain.is_empty() {
            return Ok(copied);
        }
        part.write_all(plain).map_err(|e| Error::io(shown(to), e))?;
        let length = plain.len();
        reader.consume(length);
        copied += length as u64;
    }
}

fn seal_frames(
    from: &Path,
    source: &File,
    plain_bytes: u64,
    prologue: &Prologue,
    part: &File,
    to: &Path,
) -> Result<(), Error> {
    let layout = Layout::for_content(plain_bytes, prologue.bytes.len(), prologue.frame_bytes);
    if layout.regular > FRAMES_MAX {
        let bytes_max = (FRAMES_MAX + 1) * layout.frame_bytes;
        return Err(Error::TooLarge { what: shown(from), bytes_max });
    }
    write_at(part, &prologue.bytes, 0).map_err(|error| Error::io(shown(to), error))?;
    for_each_frame(layout, |frame, buffer| {
        let bytes = &mut buffer[..FINAL_HEAD + frame.length + TAG_BYTES];
        let content = &mut bytes[FINAL_HEAD..FINAL_HEAD + frame.length];
        read_at(source, content, frame.plain).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::Changed { path: from.into() },
            _ => Error::io(shown(from), error),
        })?;
        let start = seal_at(&prologue.cipher, &frame, bytes);
        write_at(part, &bytes[start..], frame.sealed).map_err(|e| Error::io(shown(to), e))
    })?;
    match source.metadata().map_err(|error| Error::io(shown(from), error))?.len() == plain_bytes {
        true => Ok(()),
        false => Err(Error::Changed { path: from.into() }),
    }
}

/// Seals the content between head and tag; gives where the frame starts.
fn seal_at(cipher: &Cipher, frame: &FrameAt, bytes: &mut [u8]) -> usize {
    let (head, rest) = bytes.split_first_chunk_mut().expect("a buffer begins with a head");
    let (content, tag) = rest.split_at_mut(frame.length);
    tag.copy_from_slice(&cipher.seal(frame.place, frame.at, content));
    let length = u32::try_from(frame.length).expect("a frame is at most 64 MiB");
    put_head(head, frame.place, frame.at, length)
}

fn open_frames(
    from: &Path,
    source: &File,
    file_bytes: u64,
    opened: &Opened,
    part: &File,
    to: &Path,
) -> Result<u64, Error> {
    let frame_bytes = u32::try_from(opened.frame_bytes).expect("a header holds it in 32 bits");
    let layout = Layout::of(file_bytes, opened.header_bytes, frame_bytes)
        .ok_or_else(|| Error::Truncated { what: "the final frame".into() })?;
    for_each_frame(layout, |frame, buffer| {
        let head_bytes = match frame.place {
            Place::Regular => REGULAR_HEAD,
            Place::Final => FINAL_HEAD,
        };
        let bytes = &mut buffer[..head_bytes + frame.length + TAG_BYTES];
        read_at(source, bytes, frame.sealed)
            .map_err(|error| Error::read(&format!("frame {}", frame.at.0), error))?;
        check_place(bytes, &frame, opened.frame_bytes)?;
        open_at(&opened.cipher, frame.place, frame.at, bytes, head_bytes, frame.length)?;
        let content = &bytes[head_bytes..head_bytes + frame.length];
        write_at(part, content, frame.plain).map_err(|e| Error::io(shown(to), e))
    })?;
    match source.metadata().map_err(|error| Error::io(shown(from), error))?.len() {
        length if length > file_bytes => Err(Error::Trailing),
        _ => Ok(layout.plain_bytes()),
    }
}

/// Whether the frame is the one the length of the file says must stand here.
fn check_place(bytes: &[u8], frame: &FrameAt, frame_bytes: usize) -> Result<(), Error> {
    match (check_head(bytes, frame.at)?, frame.place) {
        (Place::Regular, Place::Regular) => Ok(()),
        (Place::Regular, Place::Final) => {
            Err(Error::Truncated { what: format!("frame {}", frame.at.0) })
        }
        (Place::Final, Place::Regular) => Err(Error::Trailing),
        (Place::Final, Place::Final) => match final_length(bytes, frame_bytes)? {
            length if length < frame.length => Err(Error::Trailing),
            length if length > frame.length => {
                Err(Error::Truncated { what: "the final frame".into() })
            }
            _ => Ok(()),
        },
    }
}

/// Runs `work` for every frame on all cores, each with a buffer of its own; the first error stops
/// the others.
fn for_each_frame(
    layout: Layout,
    work: impl Fn(FrameAt, &mut [u8]) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let frames = layout.regular + 1;
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let run = || {
        let largest = if frames == 1 { layout.last_bytes } else { layout.frame_bytes };
        let largest = usize::try_from(largest).expect("a frame is at most 64 MiB");
        let mut buffer = vec![0; FINAL_HEAD + largest + TAG_BYTES];
        while !stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= frames {
                break;
            }
            if let Err(error) = work(layout.frame(index), &mut buffer) {
                stop.store(true, Ordering::Relaxed);
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
    };
    let threads = frames.min(rayon::current_num_threads() as u64);
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| {
            scope.spawn(run);
        });
        run();
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

#[cfg(unix)]
fn read_at(file: &File, into: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, into, at)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

/// Elsewhere files go through the streams; `cfg!(unix)` keeps these from being reached.
#[cfg(not(unix))]
fn read_at(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
fn write_at(_: &File, _: &[u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_found_again_from_the_length() {
        for frame_bytes in [1_u32, 7, 128, 4096] {
            for plain in 0..3 * u64::from(frame_bytes) + 2 {
                let layout = Layout::for_content(plain, 100, frame_bytes as usize);
                assert_eq!(layout.plain_bytes(), plain);
                let last = layout.frame(layout.regular);
                let file_bytes = last.sealed + FINAL_EXTRA + last.length as u64;
                assert_eq!(Layout::of(file_bytes, 100, frame_bytes), Some(layout), "{plain}");
            }
        }
    }

    #[test]
    fn a_length_that_no_message_has_is_none() {
        assert_eq!(Layout::of(139, 100, 16), None);
        assert_eq!(Layout::of(100 + 40 + 17, 100, 16), None);
        assert_eq!(Layout::of(u64::MAX, 100, 1), None);
    }
}
