//! Moving a sealed message to another key, without its plaintext ever touching a disk.
//!
//! There is no way to exchange a key in a header: two headers under one data key would give its
//! authentication away (see `threats`, row 8). So the message is opened and sealed anew, frame by
//! frame, under a data key and a message id of its own.

use std::io::{Read, Write};

use super::detached::{Sidecar, detached};
use super::error::Error;
use super::reader::Reader;
use super::service::KeyService;
use super::writer::Writer;

/// Bytes carried at a time.
const STEP_BYTES: usize = 1 << 20;

/// Opens `from` with `keys` and seals the same content and context under `key` of `to_keys`. Gives
/// the bytes of content and `to` back. Constant memory.
///
/// `to` is whole only when this succeeds: what was written before an error is to be thrown away.
///
/// # Errors
/// As [`Reader::open`] and [`Writer::new`].
pub fn reseal<W: Write>(
    from: impl Read,
    keys: &dyn KeyService,
    to: W,
    to_keys: &dyn KeyService,
    key: &str,
) -> Result<(u64, W), Error> {
    let reader = Reader::open(from, keys)?;
    let context = reader.context().unsigned();
    copy(reader, Writer::new(to, to_keys, key, &context)?)
}

/// As [`reseal`], with the key beside the file: see [`detached`].
///
/// # Errors
/// As [`reseal`].
pub fn reseal_detached<W: Write>(
    from: impl Read,
    keys: &dyn KeyService,
    to: W,
    to_keys: &dyn KeyService,
    key: &str,
) -> Result<(u64, W, Sidecar), Error> {
    let reader = Reader::open(from, keys)?;
    let context = reader.context().unsigned();
    let (writer, sidecar) = detached(to, to_keys, key, &context)?;
    let (bytes, to) = copy(reader, writer)?;
    Ok((bytes, to, sidecar))
}

fn copy<W: Write>(mut reader: Reader<impl Read>, mut writer: Writer<W>) -> Result<(u64, W), Error> {
    let mut step = zeroize::Zeroizing::new(vec![0; STEP_BYTES]);
    let mut bytes = 0;
    loop {
        let read =
            reader.read(&mut step).map_err(|error| Error::io("moving a sealed file", error))?;
        if read == 0 {
            break;
        }
        writer
            .write_all(&step[..read])
            .map_err(|error| Error::io("moving a sealed file", error))?;
        bytes += read as u64;
    }
    Ok((bytes, writer.finish()?))
}
