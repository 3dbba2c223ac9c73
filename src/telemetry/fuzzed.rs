//! Strangers' bytes against this room's parsers; see [`crate::fuzzed`].

use super::audit::read::follow;
use super::audit::{Chain, Error};
use std::path::Path;

fn chain(bytes: &[u8]) -> Result<Chain, Error> {
    follow(bytes, Path::new("audit.jsonl"), |_| {})
}

/// An audit log: a whole chain has as many records as lines, and a byte changed in it, whichever,
/// breaks it or gives it another head.
pub(crate) fn audit(bytes: &[u8]) {
    let Some(([high, low], log)) = bytes.split_first_chunk::<2>() else { return };
    let Ok(whole) = chain(log) else { return };
    assert_eq!(whole.records, log.iter().filter(|byte| **byte == b'\n').count());
    if log.is_empty() {
        return;
    }
    let at = usize::from(u16::from_be_bytes([*high, *low])) % log.len();
    let mut changed = log.to_vec();
    changed[at] ^= 1;
    if let Ok(other) = chain(&changed) {
        assert_ne!(other.head, whole.head, "byte {at} was changed unnoticed");
    }
    // What follows a whole line is a line, or nothing.
    assert!(chain(&log[..log.len() - 1]).is_err(), "a log that is cut off is whole");
}
