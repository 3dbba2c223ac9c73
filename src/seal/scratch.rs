//! A file for what a job puts aside while it runs, readable by this process alone.
//!
//! It has no name: when the process ends, however it ends, its space is free again. When it is
//! sealed its key is drawn here, never wrapped and never written, so that what a disk still holds
//! afterwards is ciphertext that nothing opens: as SageMaker's volumes under a key that is thrown
//! away. Pieces are sealed one by one with AES-256-GCM; the number of a piece is its nonce and its
//! tag stays in memory, so that one cannot stand in for another.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};

use super::error::Error;
use super::header::TAG_BYTES;
use super::secret::DataKey;

/// A file of numbered pieces.
pub struct Scratch {
    file: File,
    /// The folder, for messages.
    place: String,
    cipher: Option<LessSafeKey>,
    pieces: Vec<Piece>,
    end: u64,
    buffer: Vec<u8>,
}

struct Piece {
    at: u64,
    bytes: usize,
    tag: [u8; TAG_BYTES],
}

impl Scratch {
    /// A new file in `folder`, sealed or not.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be made there, [`Error::Random`].
    pub fn create(folder: &Path, sealed: bool) -> Result<Scratch, Error> {
        let place = folder.display().to_string();
        let file = tempfile::tempfile_in(folder)
            .map_err(|source| Error::Io { what: format!("a scratch file in {place}"), source })?;
        let cipher = match sealed {
            true => {
                let key = DataKey::generate()?;
                let key = UnboundKey::new(&AES_256_GCM, key.expose()).expect("32 bytes are a key");
                Some(LessSafeKey::new(key))
            }
            false => None,
        };
        Ok(Scratch { file, place, cipher, pieces: Vec::new(), end: 0, buffer: Vec::new() })
    }

    /// Keeps a piece and gives its number, from 0.
    ///
    /// # Errors
    /// [`Error::Io`], as when the disk is full.
    pub fn keep(&mut self, piece: &[u8]) -> Result<usize, Error> {
        let number = self.pieces.len();
        self.buffer.clear();
        self.buffer.extend_from_slice(piece);
        let tag = match &self.cipher {
            None => [0; TAG_BYTES],
            Some(cipher) => {
                let tag = cipher
                    .seal_in_place_separate_tag(nonce(number), Aad::empty(), &mut self.buffer)
                    .expect("a piece is far below the cipher's limit");
                tag.as_ref().try_into().expect("a tag has 16 bytes")
            }
        };
        self.file.write_all_at(&self.buffer, self.end).map_err(|source| self.failed(source))?;
        self.pieces.push(Piece { at: self.end, bytes: piece.len(), tag });
        self.end += piece.len() as u64;
        Ok(number)
    }

    /// The piece of that number, which [`Scratch::keep`] gave.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Tampered`] when it is not what was kept.
    pub fn fetch(&self, number: usize) -> Result<Vec<u8>, Error> {
        let piece = &self.pieces[number];
        let mut bytes = vec![0; piece.bytes];
        self.file.read_exact_at(&mut bytes, piece.at).map_err(|source| self.failed(source))?;
        if let Some(cipher) = &self.cipher {
            cipher
                .open_in_place_separate_tag(
                    nonce(number),
                    Aad::empty(),
                    Tag::from(piece.tag),
                    &mut bytes,
                    0..,
                )
                .map_err(|_| Error::tampered(format!("piece {number} of a scratch file")))?;
        }
        Ok(bytes)
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::Io { what: format!("the scratch file in {}", self.place), source }
    }
}

fn nonce(number: usize) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&(number as u64).to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sealed, pieces) = (self.cipher.is_some(), self.pieces.len());
        f.debug_struct("Scratch").field("sealed", &sealed).field("pieces", &pieces).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_and_a_sealed_file_shows_none_of_them() {
        for sealed in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let mut scratch = Scratch::create(folder.path(), sealed).unwrap();
            let pieces = [&b"the first piece"[..], b"", &[7; 100_000]];
            for (number, piece) in pieces.iter().enumerate() {
                assert_eq!(scratch.keep(piece).unwrap(), number);
            }
            for (number, piece) in pieces.iter().enumerate().rev() {
                assert_eq!(scratch.fetch(number).unwrap(), *piece);
            }
            let mut stored = vec![0; 15];
            scratch.file.read_exact_at(&mut stored, 0).unwrap();
            assert_eq!(stored == pieces[0], !sealed);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has a name");
        }
    }

    #[test]
    fn a_changed_piece_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::create(folder.path(), true).unwrap();
        scratch.keep(b"one").unwrap();
        scratch.keep(b"two").unwrap();
        scratch.file.write_all_at(b"x", 4).unwrap();
        assert_eq!(scratch.fetch(0).unwrap(), b"one");
        assert!(matches!(scratch.fetch(1), Err(Error::Tampered { .. })));
        let mut first = vec![0; 3];
        scratch.file.read_exact_at(&mut first, 0).unwrap();
        scratch.file.write_all_at(&first, 3).unwrap();
        assert!(matches!(scratch.fetch(1), Err(Error::Tampered { .. })), "one stood in for two");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Scratch::create(Path::new("/nonexistent/scratch"), true).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/scratch"), "{error}");
    }
}
