//! One frame: its bytes, its nonce, its associated data, and its cipher.
//!
//! A regular frame is `seq u32 | IV 12 | F bytes | tag 16`; the last one is
//! `FFFFFFFF | seq u32 | IV 12 | length u32 | 0 to F bytes | tag 16`. The IV is the sequence
//! number, from 1, in 12 bytes; IV 0 is the header's. The associated data tie a frame to its
//! message, its place, its kind and its length. Frames are sealed and opened in place, each on its
//! own, so that all cores can work.

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::AeadInOut;

use super::error::Error;
use super::header::TAG_BYTES;

/// Bytes before the content of a regular frame.
pub(super) const REGULAR_HEAD: usize = 4 + 12;
/// Bytes before the content of the final frame.
pub(super) const FINAL_HEAD: usize = 4 + 4 + 12 + 4;
/// The first word of the final frame.
pub(super) const FINAL_MARK: u32 = u32::MAX;
/// The most regular frames a message can have before its final one.
pub(super) const FRAMES_MAX: u64 = u32::MAX as u64 - 1;

/// Whether more frames follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// More follow.
    Regular,
    /// The last one.
    Final,
}

/// The cipher of one message. Made only when a header was written or verified.
pub(super) struct Cipher {
    gcm: Aes256Gcm,
    message_id: [u8; 32],
}

/// A frame's number, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sequence(pub(super) u32);

impl Sequence {
    pub(super) fn iv(self) -> [u8; 12] {
        let mut iv = [0; 12];
        iv[8..].copy_from_slice(&self.0.to_be_bytes());
        iv
    }
}

impl Cipher {
    pub(super) fn new(gcm: Aes256Gcm, message_id: [u8; 32]) -> Cipher {
        Cipher { gcm, message_id }
    }

    /// Encrypts `content` in place and gives its tag.
    pub(super) fn seal(&self, place: Place, at: Sequence, content: &mut [u8]) -> [u8; TAG_BYTES] {
        let covered = self.covered(place, at, content.len());
        self.gcm
            .encrypt_inout_detached(&at.iv().into(), &covered, content.into())
            .expect("a frame is far below the cipher's limit")
            .into()
    }

    /// Checks `tag`, then decrypts `content` in place. On failure `content` stays encrypted.
    pub(super) fn open(
        &self,
        place: Place,
        at: Sequence,
        content: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), Error> {
        let covered = self.covered(place, at, content.len());
        self.gcm
            .decrypt_inout_detached(&at.iv().into(), &covered, content.into(), &(*tag).into())
            .map_err(|_| Error::tampered(format!("frame {}", at.0)))
    }

    fn covered(&self, place: Place, at: Sequence, length: usize) -> Vec<u8> {
        let kind: &[u8] = match place {
            Place::Regular => b"AWSKMSEncryptionClient Frame",
            Place::Final => b"AWSKMSEncryptionClient Final Frame",
        };
        let length = (length as u64).to_be_bytes();
        [&self.message_id[..], kind, &at.0.to_be_bytes(), &length].concat()
    }
}

/// Writes the head of a frame into the bytes just before its content.
pub(super) fn put_head(
    head: &mut [u8; FINAL_HEAD],
    place: Place,
    at: Sequence,
    length: u32,
) -> usize {
    match place {
        Place::Regular => {
            let start = FINAL_HEAD - REGULAR_HEAD;
            head[start..start + 4].copy_from_slice(&at.0.to_be_bytes());
            head[start + 4..].copy_from_slice(&at.iv());
            start
        }
        Place::Final => {
            head[..4].copy_from_slice(&FINAL_MARK.to_be_bytes());
            head[4..8].copy_from_slice(&at.0.to_be_bytes());
            head[8..20].copy_from_slice(&at.iv());
            head[20..].copy_from_slice(&length.to_be_bytes());
            0
        }
    }
}
