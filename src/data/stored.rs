//! An object's bytes as they are stored, and the text inside them: gzip and zstd are recognised by
//! content, and the SHA-256 of the stored bytes is taken as they pass. Where the bytes come from is
//! the store's matter.

use std::io::{self, BufRead, BufReader, Read};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use sha2::{Digest, Sha256};

use super::batch::Source;
use super::error::Error;

/// One object to read.
pub struct Object {
    /// Where it lies; for messages and provenance.
    pub uri: String,
    /// Its stored size, where the store told. Another length is an error: the object changed.
    pub bytes: Option<u64>,
    /// Its bytes.
    pub reader: Box<dyn Read + Send>,
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Object").field("uri", &self.uri).field("bytes", &self.bytes).finish()
    }
}

/// An open object: reads as plain text.
pub(crate) struct Stored {
    uri: String,
    bytes: Option<u64>,
    text: Text,
}

enum Text {
    Plain(Raw),
    Gzip(Box<MultiGzDecoder<Raw>>),
    Zstd(Box<Zstd>),
}

/// The stored bytes, hashed and counted as they pass.
struct Raw {
    /// The first bytes, read to recognise the compression and not yet handed on.
    head: Vec<u8>,
    reader: Box<dyn Read + Send>,
    hash: Sha256,
    bytes: u64,
    /// Whether an error came from here and not from what the bytes mean.
    failed: bool,
}

impl Stored {
    /// Looks at the first bytes and chooses how to read the rest.
    pub(crate) fn open(object: Object) -> Result<Stored, Error> {
        let Object { uri, bytes, reader } = object;
        let mut raw =
            Raw { head: Vec::new(), reader, hash: Sha256::new(), bytes: 0, failed: false };
        if let Err(source) = raw.fill_head() {
            return Err(Error::Read { uri, bytes: raw.bytes, source });
        }
        let text = match raw.head.as_slice() {
            [0x1f, 0x8b, ..] => Text::Gzip(Box::new(MultiGzDecoder::new(raw))),
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
                Text::Zstd(Box::new(Zstd::new(raw)))
            }
            _ => Text::Plain(raw),
        };
        Ok(Stored { uri, bytes, text })
    }

    /// Fills `buffer` from the front as far as the text goes; less than all of it means the end.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while filled < buffer.len() {
            let outcome = match &mut self.text {
                Text::Plain(raw) => raw.read(&mut buffer[filled..]),
                Text::Gzip(gzip) => gzip.read(&mut buffer[filled..]),
                Text::Zstd(zstd) => zstd.read(&mut buffer[filled..]),
            };
            match outcome {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failure(error)),
            }
        }
        Ok(filled)
    }

    /// The whole text, if it has `bytes_max` or less; `None` when it has more.
    pub(crate) fn whole(&mut self, bytes_max: usize) -> Result<Option<Vec<u8>>, Error> {
        const STEP_BYTES: usize = 4 << 20;
        let expected = self.bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
        let mut text = Vec::with_capacity(expected.min(bytes_max).saturating_add(1));
        loop {
            let filled = text.len();
            let room = (text.capacity() - filled).max(STEP_BYTES);
            text.resize(filled + room, 0);
            let count = self.fill(&mut text[filled..])?;
            text.truncate(filled + count);
            if text.len() > bytes_max {
                return Ok(None);
            }
            if count < room {
                return Ok(Some(text));
            }
        }
    }

    /// The first bytes of a text that is stored as it is, and its listed size; `None` where it is
    /// packed, or nobody listed it.
    pub(crate) fn plain(&self) -> Option<(&[u8], u64)> {
        match &self.text {
            Text::Plain(raw) if raw.bytes == raw.head.len() as u64 => {
                Some((&raw.head, self.bytes?))
            }
            _ => None,
        }
    }

    /// How many bytes of such a text were handed on.
    pub(crate) fn bytes_passed(&self) -> u64 {
        let raw = self.raw();
        raw.bytes - raw.head.len() as u64
    }

    /// Passes over so many bytes of such a text.
    pub(crate) fn pass(&mut self, mut bytes: u64) -> Result<(), Error> {
        let mut buffer = vec![0; 64 << 10];
        while bytes > 0 {
            let room = bytes.min(buffer.len() as u64) as usize;
            let count = self.fill(&mut buffer[..room])?;
            if count == 0 {
                return Ok(());
            }
            bytes -= count as u64;
        }
        Ok(())
    }

    /// The next so many bytes of such a text, fewer at its end. Their SHA-256 is still to be taken
    /// ([`digest`](Self::digest)), so that somebody can work on them meanwhile.
    pub(crate) fn undigested(&mut self, length: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let Text::Plain(raw) = &mut self.text else { return Ok(bytes) };
        bytes.reserve_exact(length);
        let read = raw.reader.by_ref().take(length as u64).read_to_end(&mut bytes);
        raw.bytes += bytes.len() as u64;
        match read {
            Ok(_) => Ok(bytes),
            Err(source) => {
                raw.failed = true;
                Err(self.failure(source))
            }
        }
    }

    /// Takes the SHA-256 of what came [`undigested`](Self::undigested), in its order.
    pub(crate) fn digest(&mut self, bytes: &[u8]) {
        if let Text::Plain(raw) = &mut self.text {
            raw.hash.update(bytes);
        }
    }

    /// Stored bytes taken so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.raw().bytes
    }

    /// After the end of the text: what was read, for provenance.
    pub(crate) fn finish(self) -> Result<Source, Error> {
        let found = self.raw().bytes;
        if let Some(expected) = self.bytes
            && expected != found
        {
            return Err(Error::whole(
                self.uri,
                format!(
                    "has {found} bytes where {expected} were listed: it changed while it was read"
                ),
                "run the job again once nothing writes to the channel any more",
            ));
        }
        let raw = match self.text {
            Text::Plain(raw) => raw,
            Text::Gzip(gzip) => gzip.into_inner(),
            Text::Zstd(zstd) => zstd.source.into_inner(),
        };
        Ok(Source { uri: self.uri, bytes: found, sha256: hex::encode(raw.hash.finalize()) })
    }

    fn raw(&self) -> &Raw {
        match &self.text {
            Text::Plain(raw) => raw,
            Text::Gzip(gzip) => gzip.get_ref(),
            Text::Zstd(zstd) => zstd.source.get_ref(),
        }
    }

    fn failure(&self, source: io::Error) -> Error {
        let raw = self.raw();
        let uri = self.uri.clone();
        let format = match &self.text {
            Text::Gzip(_) if !raw.failed => "gzip",
            Text::Zstd(_) if !raw.failed => "zstd",
            _ => return Error::Read { uri, bytes: raw.bytes, source },
        };
        let what = match source.kind() {
            io::ErrorKind::UnexpectedEof => {
                format!(
                    "the {format} stream is cut short: its end is missing after {} bytes",
                    raw.bytes
                )
            }
            _ => format!("the {format} stream is damaged before byte {}: {source}", raw.bytes),
        };
        Error::Corrupt { uri, what }
    }
}

impl Raw {
    fn fill_head(&mut self) -> io::Result<()> {
        let mut head = [0; 4];
        let mut filled = 0;
        while filled < head.len() {
            match self.fetch(&mut head[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.head = head[..filled].to_vec();
        Ok(())
    }

    fn fetch(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer).inspect_err(|_| self.failed = true)?;
        self.hash.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.head.is_empty() {
            return self.fetch(buffer);
        }
        let count = buffer.len().min(self.head.len());
        buffer[..count].copy_from_slice(&self.head[..count]);
        self.head.drain(..count);
        Ok(count)
    }
}

/// All frames of a zstd file, one after the other; skippable ones are skipped, checksums checked.
struct Zstd {
    source: BufReader<Raw>,
    decoder: FrameDecoder,
    inside_frame: bool,
}

impl Zstd {
    fn new(raw: Raw) -> Zstd {
        let source = BufReader::with_capacity(64 << 10, raw);
        Zstd { source, decoder: FrameDecoder::new(), inside_frame: false }
    }

    /// Begins the next frame; `false` at the end of the file.
    fn begin_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => self.skip(u64::from(length))?,
                Err(error) => return Err(zstd_error(&error)),
            }
        }
        Ok(false)
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.source).take(length), &mut io::sink())?;
        if skipped < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn end_frame(&mut self) -> io::Result<()> {
        self.inside_frame = false;
        let stored = self.decoder.get_checksum_from_data();
        if stored.is_some() && stored != self.decoder.get_calculated_checksum() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame's checksum is wrong"));
        }
        Ok(())
    }
}

impl Read for Zstd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.inside_frame {
                if !self.begin_frame()? {
                    return Ok(0);
                }
                self.inside_frame = true;
            }
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(buffer);
            }
            if self.decoder.is_finished() {
                self.end_frame()?;
                continue;
            }
            let one = BlockDecodingStrategy::UptoBlocks(1);
            self.decoder
                .decode_blocks(&mut self.source, one)
                .map_err(|error| zstd_error(&error))?;
        }
    }
}

/// Keeps the kind of an error from below, so that a cut file is told from a damaged one.
fn zstd_error(error: &FrameDecoderError) -> io::Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(below) = current.downcast_ref::<io::Error>() {
            return io::Error::new(below.kind(), error.to_string());
        }
        cause = current.source();
    }
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
