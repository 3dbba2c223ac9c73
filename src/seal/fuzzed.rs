//! Strangers' bytes against this room's parsers; see [`crate::fuzzed`].

use uuid::Uuid;

use super::context::Context;
use super::file::open_to_vec;
use super::header::Header;
use super::inspect::{Form, inspect};
use super::raw::RawKey;

/// The key of every message here: who has it not makes none that opens.
const KEY: [u8; 32] = [7; 32];

/// Whether it is what the messages of the corpus hold: a beginning of one long text.
fn is_known(plain: &[u8]) -> bool {
    plain.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 251)
}

/// The header of a sealed file: what is read, written again, is the same bytes.
pub(crate) fn header(bytes: &[u8]) {
    let _ = Form::detect(bytes);
    let mut rest = bytes;
    let Ok(read) = Header::read(&mut rest) else { return };
    let used = bytes.len() - rest.len();
    assert_eq!(used, read.body.len() + read.tag.len());
    assert_eq!(read.header.serialize().ok().as_deref(), Some(&bytes[..read.body.len()]));
    let Ok(info) = inspect(&mut &*bytes) else { panic!("read once only") };
    assert_eq!(info.holders().len(), info.keys.len());
    assert!(info.holders().iter().all(|holder| !holder.chars().any(char::is_control)));
    for file_bytes in [0, used as u64, bytes.len() as u64, 1 << 40, u64::MAX] {
        let plain = info.plain_bytes(file_bytes);
        assert!(plain.is_none_or(|plain| plain < file_bytes), "{plain:?} of {file_bytes}");
    }
}

/// A sealed file. Only what was sealed with the key opens, and every byte of it counts.
pub(crate) fn message(bytes: &[u8]) {
    let Ok(key) = RawKey::new("fuzzed", "key", KEY) else { return };
    let open = |bytes: &[u8]| open_to_vec(bytes, &key, &Context::new(), 1 << 20);
    let Ok(plain) = open(bytes) else { return };
    assert!(is_known(&plain), "something else than what was sealed came out");
    assert!(open(&bytes[..bytes.len() - 1]).is_err(), "a message that is cut opens");
    assert!(open(&[bytes, b"\0"].concat()).is_err(), "a message that goes on opens");
}

/// A blob that wraps a data key.
pub(crate) fn blob(bytes: &[u8]) {
    let id = Uuid::from_bytes([3; 16]);
    if let Some(plain) = super::local::opened_blob(bytes, id, &KEY) {
        assert!(is_known(&plain), "something else than what was wrapped came out");
    }
}

/// A file of the key store: what is read, is written and read as the same.
pub(crate) fn key_file(bytes: &[u8]) {
    super::local::key_file(bytes, Uuid::from_bytes([3; 16]), &KEY);
}

/// The pairs that a message is bound to.
pub(crate) fn context(bytes: &[u8]) {
    if let Ok(context) = Context::parse(bytes) {
        assert_eq!(context.serialize(), bytes);
        assert_eq!(context.len(), context.iter().count());
    }
    let _ = super::raw::split_info(bytes);
}
