//! Counts and digests what passes, so that an artifact's SHA-256 is known without reading it twice.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

/// A writer that remembers how much went through it, and its SHA-256.
pub struct Digesting<W> {
    inner: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Digesting<W> {
    /// Passes everything on to `inner`.
    pub fn new(inner: W) -> Digesting<W> {
        Digesting { inner, hash: Sha256::new(), bytes: 0 }
    }

    /// The inner writer, how many bytes it was given, and their SHA-256 as lower-case hex.
    pub fn finish(self) -> (W, u64, String) {
        (self.inner, self.bytes, hex::encode(self.hash.finalize()))
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A reader that remembers how much came through it, and its SHA-256.
pub(super) struct DigestingReader<R> {
    inner: R,
    hash: Sha256,
    bytes: u64,
}

impl<R: Read> DigestingReader<R> {
    pub(super) fn new(inner: R) -> DigestingReader<R> {
        DigestingReader { inner, hash: Sha256::new(), bytes: 0 }
    }

    /// How many bytes came through, and their SHA-256 as lower-case hex.
    pub(super) fn finish(self) -> (u64, String) {
        (self.bytes, hex::encode(self.hash.finalize()))
    }
}

impl<R: Read> Read for DigestingReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.hash.update(&into[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}
