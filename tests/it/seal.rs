//! Integration tests of `seal`: the format against other implementations, streams and files,
//! hostile input, the local key service.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "counts and skips are to be read")]

mod detached;
mod hostile;
mod interop;
mod local;
mod stream;
mod threats;
mod vectors;

use std::io::{Read, Write};
use std::path::PathBuf;

use smrt::seal::{Context, Error, KeyService, RawKey, Reader, Settings, Writer};

pub(crate) const KEY: &str = "arn:smrt:kms:local:000000000000:key/test";

/// A wrapping key that every test may know.
pub(crate) fn key() -> RawKey {
    RawKey::new("smrt-kms", KEY, [0x42; 32]).unwrap()
}

pub(crate) fn context() -> Context {
    Context::from_pairs([("smrt:artifact", "model.tar.gz"), ("smrt:job", "churn")]).unwrap()
}

/// Bytes that do not repeat within a frame.
pub(crate) fn content(length: usize) -> Vec<u8> {
    (0..length as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

pub(crate) fn seal(plain: &[u8], frame_bytes: u32) -> Vec<u8> {
    let settings = Settings { frame_bytes, ..Settings::default() };
    let mut writer = Writer::with_settings(Vec::new(), &key(), KEY, &context(), &settings).unwrap();
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

pub(crate) fn open(sealed: &[u8]) -> Result<Vec<u8>, Error> {
    open_under(sealed, &key(), &Context::new())
}

/// Opens through the stream, as a caller of `Read` would.
pub(crate) fn open_under(
    sealed: &[u8],
    keys: &dyn KeyService,
    required: &Context,
) -> Result<Vec<u8>, Error> {
    let mut reader = Reader::open_with(sealed, keys, required)?;
    let mut plain = Vec::new();
    match reader.read_to_end(&mut plain) {
        Ok(_) => Ok(plain),
        Err(error) => Err(error.downcast::<Error>().expect("a reader fails with our error")),
    }
}

/// The folder of reference data that lies beside a checkout, where there is one.
pub(crate) fn shared() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared");
    let folder = std::env::var_os("SMRT_SHARED").map_or_else(|| beside.into(), PathBuf::from);
    folder.is_dir().then_some(folder)
}
