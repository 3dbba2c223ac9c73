//! One frame: its bytes, its nonce, its associated data, and its cipher.
//!
//! A regular frame is `seq u32 | IV 12 | F bytes | tag 16`; the last one is
//! `FFFFFFFF | seq u32 | IV 12 | length u32 | 0 to F bytes | tag 16`. The IV is the sequence
//! number, from 1, in 12 bytes; IV 0 is the header's. The associated data tie a frame to its
//! message, its place, its kind and its length. Frames are sealed and opened in place, each on its
//! own, so that all cores can work.
//!
//! Content goes through ring's AES-256-GCM, everything else of this room through the crate
//! `aes-gcm`: one pass of ring's over the bytes encrypts and authenticates with 256-bit AES and
//! carry-less products, where `aes-gcm` 0.11 makes a second pass with 128-bit ones (5.5 against 1.5
//! GB/s a core on an AMD EPYC with both). The tests hold the two against each other.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

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
    /// Not wiped when dropped, as the crate has no way to: it opens this one message, whose content
    /// passes through the same memory.
    key: LessSafeKey,
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
    pub(super) fn new(message_key: &[u8; 32], message_id: [u8; 32]) -> Cipher {
        let key = UnboundKey::new(&AES_256_GCM, message_key).expect("the key has 32 bytes");
        Cipher { key: LessSafeKey::new(key), message_id }
    }

    /// Encrypts `content` in place and gives its tag.
    pub(super) fn seal(&self, place: Place, at: Sequence, content: &mut [u8]) -> [u8; TAG_BYTES] {
        let covered = Aad::from(self.covered(place, at, content.len()));
        // A message has a key of its own, and a number is given to one frame of it.
        let nonce = Nonce::assume_unique_for_key(at.iv());
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, covered, content)
            .expect("a frame is far below the cipher's limit");
        tag.as_ref().try_into().expect("a tag has 16 bytes")
    }

    /// Checks `tag` and decrypts `content` in place. On failure `content` is wiped: nothing that
    /// was not proved can be read from it.
    pub(super) fn open(
        &self,
        place: Place,
        at: Sequence,
        content: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), Error> {
        let covered = Aad::from(self.covered(place, at, content.len()));
        let nonce = Nonce::assume_unique_for_key(at.iv());
        self.key
            .open_in_place_separate_tag(nonce, covered, (*tag).into(), content, 0..)
            .map(|_| ())
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

#[cfg(test)]
mod tests {
    use aes_gcm::aead::AeadInOut;
    use aes_gcm::{Aes256Gcm, KeyInit};

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    #[test]
    fn both_ciphers_of_the_room_make_and_open_the_same_frames() {
        let (ours, other) = (Cipher::new(&KEY, [9; 32]), Aes256Gcm::new(&KEY.into()));
        // Lengths around the strides of both, and a whole frame.
        let lengths = (0..70).chain([127, 128, 129, 255, 256, 257, 511, 4095, 4097, 1 << 20]);
        for (number, length) in (1..).zip(lengths) {
            for place in [Place::Regular, Place::Final] {
                let at = Sequence(number);
                let covered = ours.covered(place, at, length);
                let plain: Vec<u8> = (0..length).map(|n| (n * 31 % 251) as u8).collect();
                let mut content = plain.clone();
                let tag = ours.seal(place, at, &mut content);
                let mut twin = plain.clone();
                let made = other
                    .encrypt_inout_detached(&at.iv().into(), &covered, (&mut twin[..]).into())
                    .unwrap();
                assert_eq!(content, twin, "{length} bytes");
                assert_eq!(tag[..], made[..], "{length} bytes");
                ours.open(place, at, &mut content, &tag).unwrap();
                assert_eq!(content, plain);
            }
        }
    }

    #[test]
    fn what_was_not_proved_cannot_be_read() {
        let cipher = Cipher::new(&KEY, [9; 32]);
        let mut content = vec![3; 1000];
        let mut tag = cipher.seal(Place::Regular, Sequence(1), &mut content);
        tag[15] ^= 1;
        assert!(cipher.open(Place::Regular, Sequence(1), &mut content, &tag).is_err());
        assert_eq!(content, [0; 1000]);
    }
}
