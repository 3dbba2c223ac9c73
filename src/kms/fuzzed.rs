//! Strangers' bytes against this room's parsers; see [`crate::fuzzed`].

use std::path::Path;

use super::{operation, wire};
use crate::seal::LocalKeys;

/// A request of the JSON API: the operation's name, a line end, its parameters. The key service has
/// no place to keep keys in, so that nothing a request does stays; each is read and checked to its
/// end all the same, and is answered or refused in the words of KMS.
pub(crate) fn operation(bytes: &[u8]) {
    let end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    let (name, body) = bytes.split_at(end);
    let Ok(name) = std::str::from_utf8(name) else { return };
    let body = body.strip_prefix(b"\n").unwrap_or(body);
    let keys = LocalKeys::new(Path::new("/dev/null/nowhere"));
    match operation::find(name, body) {
        Err(refused) => assert!((400..600).contains(&refused.status), "{}", refused.code),
        Ok((operation, parameters)) => match operation(&keys, &parameters) {
            Err(refused) => assert!((400..600).contains(&refused.status), "{}", refused.code),
            Ok(answer) => assert!(answer.is_object() || answer == wire::empty()),
        },
    }
}
