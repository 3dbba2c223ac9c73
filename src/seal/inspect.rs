//! What can be told about a file without any key: whether it is sealed, and what its header says.
//! Nothing reported here is proved; only [`super::Reader`] proves a header.

use std::io::Read;

use super::context::Context;
use super::error::Error;
use super::header::{EncryptedDataKey, Header, Suite, TAG_BYTES, VERSION};

/// What a file's first bytes claim it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// `02`: an AWS Encryption SDK message.
    Sealed,
    /// `1f 8b`: gzip, a plain archive.
    Gzip,
}

impl Form {
    /// Tells by the first two bytes (one is enough for a sealed file).
    ///
    /// # Errors
    /// [`Error::NotSealed`] for anything else.
    pub fn detect(first: &[u8]) -> Result<Form, Error> {
        match first {
            [VERSION, ..] => Ok(Form::Sealed),
            [0x1f, 0x8b, ..] => Ok(Form::Gzip),
            [] => Err(Error::NotSealed { found: "the file is empty".into() }),
            [other, ..] => {
                let found = format!("its first byte is {other:02x}, neither sealed nor gzip");
                Err(Error::NotSealed { found })
            }
        }
    }
}

/// A header as it stands there, unproved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderInfo {
    /// The algorithm suite.
    pub suite: Suite,
    /// The message's own random id.
    pub message_id: [u8; 32],
    /// The stored pairs; required ones are not in the file.
    pub context: Context,
    /// Each wrapped data key: any one of them opens the file.
    pub keys: Vec<EncryptedDataKey>,
    /// Plaintext bytes in a frame.
    pub frame_bytes: u32,
    /// Bytes of header body and tag.
    pub header_bytes: usize,
}

impl HeaderInfo {
    /// Who can open the file, one line for each wrapped key.
    pub fn holders(&self) -> Vec<String> {
        let holder = |key: &EncryptedDataKey| match key.provider.as_str() {
            super::local::KMS_PROVIDER => match super::local::version_of(key) {
                Some(version) => {
                    format!("who may use the smrt key {} (version {version})", key.key_name())
                }
                None => format!("who may use the AWS KMS key {}", key.key_name()),
            },
            super::local::PROVIDER => format!("who holds the smrt key {}", key.key_name()),
            super::detached::NAMESPACE => {
                let suffix = super::detached::SIDECAR_SUFFIX;
                format!("who may use the key in its {suffix} (artifact key {})", key.key_name())
            }
            other => format!("who holds the raw key {} of {other:?}", key.key_name()),
        };
        self.keys.iter().map(holder).collect()
    }

    /// Bytes of plaintext in a sealed file of `file_bytes`, if it is whole.
    pub fn plain_bytes(&self, file_bytes: u64) -> Option<u64> {
        let layout = super::file::Layout::of(file_bytes, self.header_bytes, self.frame_bytes)?;
        Some(layout.plain_bytes())
    }
}

/// Reads a header, and nothing after it.
///
/// # Errors
/// [`Error::NotSealed`], [`Error::Unsupported`], [`Error::Header`], [`Error::Truncated`] or
/// [`Error::Io`].
pub fn inspect(inner: &mut dyn Read) -> Result<HeaderInfo, Error> {
    let read = Header::read(inner)?;
    Ok(HeaderInfo {
        suite: read.header.suite,
        message_id: read.header.message_id,
        context: read.header.context,
        keys: read.header.keys,
        frame_bytes: read.header.frame_bytes,
        header_bytes: read.body.len() + TAG_BYTES,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_form() {
        assert_eq!(Form::detect(&[2]).unwrap(), Form::Sealed);
        assert_eq!(Form::detect(&[0x1f, 0x8b, 8]).unwrap(), Form::Gzip);
        for other in [&[][..], &[0x1f], &[1, 4, 0x78], b"PK", b"\x80\x04"] {
            assert!(Form::detect(other).is_err(), "{other:02x?}");
        }
    }
}
