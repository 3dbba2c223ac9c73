//! The header of an AWS Encryption SDK message, version 2: bytes to value and back.
//!
//! Every length is held against what is left of a fixed budget before anything is allocated, and
//! everything read is kept, since the header's tag covers it. Whether the header is *true* is not
//! decided here: see [`super::derive`].
//!
//! Layout (big-endian): `02` | suite u16 | message id 32 | context length u16, context | key count
//! u16, keys | content type `02` | frame length u32 | commitment 32.

use std::io::Read;

use super::context::Context;
use super::error::Error;
use crate::spec::limit::{
    SEAL_CONTEXT_BYTES_MAX, SEAL_FRAME_BYTES_MAX, SEAL_HEADER_BYTES_MAX, SEAL_KEYS_MAX,
};

/// The first byte of every sealed file.
pub(super) const VERSION: u8 = 2;
/// Framed content: the other kind, one block, cannot be read as a stream.
const FRAMED: u8 = 2;
/// Bytes of a GCM tag.
pub(super) const TAG_BYTES: usize = 16;

/// The algorithm suites with key commitment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suite {
    /// `0478`: AES-256-GCM, HKDF-SHA512, key commitment. The one that smrt writes.
    Committing,
    /// `0578`: the same, with an ECDSA P-384 signature by a key made for each message. Read only.
    CommittingSigned,
}

impl Suite {
    /// The number in the header.
    pub fn id(self) -> u16 {
        match self {
            Suite::Committing => 0x0478,
            Suite::CommittingSigned => 0x0578,
        }
    }

    fn from_id(id: u16) -> Result<Suite, Error> {
        match id {
            0x0478 => Ok(Suite::Committing),
            0x0578 => Ok(Suite::CommittingSigned),
            _ => Err(Error::Unsupported { what: format!("algorithm suite {id:04x}") }),
        }
    }
}

/// A data key wrapped under one key, as it stands in the header ("EDK").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptedDataKey {
    /// Which kind of key service wrapped it: `aws-kms`, or the namespace of a raw key.
    pub provider: String,
    /// What that service needs to find the key: an ARN, or name and nonce.
    pub info: Vec<u8>,
    /// The wrapped data key.
    pub ciphertext: Vec<u8>,
}

impl EncryptedDataKey {
    /// The key's name, as far as it can be told without a key service.
    pub fn key_name(&self) -> String {
        let name = match super::raw::split_info(&self.info) {
            Some((name, _)) if self.provider != "aws-kms" => name,
            _ => &self.info,
        };
        // A stranger wrote this: keep what is printable, and not a page of it.
        let text = String::from_utf8_lossy(name);
        text.chars().take(256).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
    }
}

/// A parsed header, nothing of it verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) suite: Suite,
    pub(super) message_id: [u8; 32],
    pub(super) context: Context,
    pub(super) keys: Vec<EncryptedDataKey>,
    pub(super) frame_bytes: u32,
    pub(super) commitment: [u8; 32],
}

/// A header as it was read: the value, the bytes the tag covers, and the tag.
pub(super) struct Parsed {
    pub(super) header: Header,
    pub(super) body: Vec<u8>,
    pub(super) tag: [u8; TAG_BYTES],
}

impl Header {
    /// The header body: all that the tag covers.
    ///
    /// # Errors
    /// When a wrapped key is too long for its field, or all of it for the reader's budget.
    pub(super) fn serialize(&self) -> Result<Vec<u8>, Error> {
        let context = self.context.serialize();
        let mut bytes = vec![VERSION];
        bytes.extend(self.suite.id().to_be_bytes());
        bytes.extend(self.message_id);
        put_field(&mut bytes, &context)?;
        bytes.extend(number(self.keys.len())?.to_be_bytes());
        for key in &self.keys {
            put_field(&mut bytes, key.provider.as_bytes())?;
            put_field(&mut bytes, &key.info)?;
            put_field(&mut bytes, &key.ciphertext)?;
        }
        bytes.push(FRAMED);
        bytes.extend(self.frame_bytes.to_be_bytes());
        bytes.extend(self.commitment);
        if bytes.len() > SEAL_HEADER_BYTES_MAX || self.keys.len() > SEAL_KEYS_MAX {
            return Err(too_large());
        }
        Ok(bytes)
    }

    /// Reads a header and its tag, and not one byte more.
    ///
    /// # Errors
    /// [`Error::NotSealed`], [`Error::Unsupported`], [`Error::Header`], [`Error::Truncated`] or
    /// [`Error::Io`].
    pub(super) fn read(inner: &mut dyn Read) -> Result<Parsed, Error> {
        let mut tape = Tape { inner, seen: Vec::with_capacity(1024) };
        tape.version()?;
        let suite = Suite::from_id(tape.u16()?)?;
        let message_id = tape.array()?;
        let context = tape.context()?;
        let keys = tape.keys()?;
        let frame_bytes = tape.content()?;
        let commitment = tape.array()?;
        let body = tape.seen.clone();
        let tag = tape.array()?;
        let header = Header { suite, message_id, context, keys, frame_bytes, commitment };
        Ok(Parsed { header, body, tag })
    }
}

fn too_large() -> Error {
    Error::TooLarge {
        what: "the header of a sealed file".into(),
        bytes_max: SEAL_HEADER_BYTES_MAX as u64,
    }
}

fn number(length: usize) -> Result<u16, Error> {
    u16::try_from(length).map_err(|_| too_large())
}

fn put_field(bytes: &mut Vec<u8>, field: &[u8]) -> Result<(), Error> {
    bytes.extend(number(field.len())?.to_be_bytes());
    bytes.extend(field);
    Ok(())
}

/// What was read so far, with a budget.
struct Tape<'a> {
    inner: &'a mut dyn Read,
    seen: Vec<u8>,
}

impl Tape<'_> {
    fn take(&mut self, length: usize) -> Result<&[u8], Error> {
        let start = self.seen.len();
        if length > SEAL_HEADER_BYTES_MAX.saturating_sub(start) {
            return self.wrong(format!("longer than {SEAL_HEADER_BYTES_MAX} bytes"));
        }
        self.seen.resize(start + length, 0);
        let part = &mut self.seen[start..];
        self.inner.read_exact(part).map_err(|source| Error::read("the header", source))?;
        Ok(&self.seen[start..])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn u16(&mut self) -> Result<u16, Error> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn field(&mut self) -> Result<&[u8], Error> {
        let length = usize::from(self.u16()?);
        self.take(length)
    }

    fn wrong<T>(&self, what: impl Into<String>) -> Result<T, Error> {
        Err(Error::Header { what: what.into(), at: self.seen.len() })
    }

    fn version(&mut self) -> Result<(), Error> {
        match self.array()? {
            [VERSION] => Ok(()),
            // Version 1 has suites without key commitment: one file, two keys, two meanings.
            [1] => Err(Error::Unsupported { what: "version 1".into() }),
            [other] => Err(Error::NotSealed { found: format!("its first byte is {other:02x}") }),
        }
    }

    fn context(&mut self) -> Result<Context, Error> {
        let at = self.seen.len();
        let length = usize::from(self.u16()?);
        if length > SEAL_CONTEXT_BYTES_MAX {
            return self
                .wrong(format!("the encryption context is larger than {SEAL_CONTEXT_BYTES_MAX}"));
        }
        let bytes = self.take(length)?;
        Context::parse(bytes).map_err(|what| Error::Header { what: what.into(), at })
    }

    fn keys(&mut self) -> Result<Vec<EncryptedDataKey>, Error> {
        let count = usize::from(self.u16()?);
        if !(1..=SEAL_KEYS_MAX).contains(&count) {
            return self.wrong(format!("{count} wrapped keys; 1 to {SEAL_KEYS_MAX} are allowed"));
        }
        (0..count).map(|_| self.key()).collect()
    }

    fn key(&mut self) -> Result<EncryptedDataKey, Error> {
        let at = self.seen.len();
        let Ok(provider) = String::from_utf8(self.field()?.to_vec()) else {
            return Err(Error::Header { what: "a key provider is not UTF-8".into(), at });
        };
        let info = self.field()?.to_vec();
        let ciphertext = self.field()?.to_vec();
        Ok(EncryptedDataKey { provider, info, ciphertext })
    }

    fn content(&mut self) -> Result<u32, Error> {
        match self.array()? {
            [FRAMED] => {}
            [other] => {
                return Err(Error::Unsupported { what: format!("content type {other:02x}") });
            }
        }
        let frame_bytes = u32::from_be_bytes(self.array()?);
        if !(1..=SEAL_FRAME_BYTES_MAX).contains(&frame_bytes) {
            return self.wrong(format!(
                "frames of {frame_bytes} bytes; 1 to {SEAL_FRAME_BYTES_MAX} are allowed"
            ));
        }
        Ok(frame_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Header {
        Header {
            suite: Suite::Committing,
            message_id: [7; 32],
            context: Context::from_pairs([("smrt:artifact", "model.tar.gz")]).unwrap(),
            keys: vec![EncryptedDataKey {
                provider: "smrt-kms".into(),
                info: b"name".to_vec(),
                ciphertext: vec![9; 48],
            }],
            frame_bytes: 4096,
            commitment: [8; 32],
        }
    }

    fn bytes_of(header: &Header) -> Vec<u8> {
        [header.serialize().unwrap(), vec![5; TAG_BYTES]].concat()
    }

    #[test]
    fn a_header_comes_back() {
        let bytes = bytes_of(&example());
        let mut rest = &[bytes.as_slice(), b"frame"].concat()[..];
        let read = Header::read(&mut rest).unwrap();
        assert_eq!(read.header, example());
        assert_eq!(read.body, bytes[..bytes.len() - TAG_BYTES]);
        assert_eq!(read.tag, [5; TAG_BYTES]);
        assert_eq!(rest, b"frame");
    }

    #[test]
    fn every_cut_of_a_header_is_refused() {
        let bytes = bytes_of(&example());
        for end in 0..bytes.len() {
            let error = Header::read(&mut &bytes[..end]).map(|_| ()).unwrap_err();
            assert!(matches!(error, Error::Truncated { .. }), "cut at {end}: {error}");
        }
    }

    #[test]
    fn a_length_that_the_file_does_not_have_allocates_nothing() {
        // Context, key count, provider, info and ciphertext lengths at their largest.
        let bytes = bytes_of(&example());
        let context = 37 + example().context.serialize().len();
        for at in [35, context, context + 2, context + 12, context + 18] {
            let mut hostile = bytes.clone();
            hostile[at..at + 2].copy_from_slice(&[0xff, 0xff]);
            assert!(Header::read(&mut hostile.as_slice()).is_err(), "length at {at}");
        }
    }

    #[test]
    fn the_budget_holds_over_all_fields_together() {
        let mut header = example();
        header.keys = vec![header.keys[0].clone(); 16];
        for key in &mut header.keys {
            key.ciphertext = vec![0; 5000];
        }
        assert!(header.serialize().is_err());
        let mut bytes = vec![2, 4, 0x78];
        bytes.extend([0; 34]);
        bytes.extend([0, 16]);
        for _ in 0..16 {
            bytes.extend([0, 1, b'k', 0, 0, 0x13, 0x88]);
            bytes.extend([0; 5000]);
        }
        bytes.extend([0; 4096]);
        let error = Header::read(&mut bytes.as_slice()).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("longer than"), "{error}");
    }

    #[test]
    fn other_versions_suites_contents_and_frame_lengths_are_refused() {
        let bytes = bytes_of(&example());
        let content = bytes.len() - TAG_BYTES - 32 - 5;
        for (at, with) in [
            (0, &[1][..]),
            (0, &[3]),
            (0, &[0x1f, 0x8b]),
            (1, &[0x01, 0x78]),
            (1, &[0x03, 0x78]),
            (1, &[0xff, 0xff]),
            (content, &[1]),
            (content + 1, &[0, 0, 0, 0]),
            (content + 1, &[0xff; 4]),
        ] {
            let mut hostile = bytes.clone();
            hostile[at..at + with.len()].copy_from_slice(with);
            assert!(Header::read(&mut hostile.as_slice()).is_err(), "{with:02x?} at {at}");
        }
    }

    #[test]
    fn a_key_name_shows_no_control_characters() {
        let mut key = example().keys.remove(0);
        key.info = b"a\x1b[31mb\n".to_vec();
        assert_eq!(key.key_name(), "a\u{fffd}[31mb\u{fffd}");
    }
}
