//! Strangers' bytes against this room's parsers; see [`crate::fuzzed`].

use super::select;
use crate::spec::json_path::JsonPath;

/// A filter, a line end, and a record: of JSON, what is chosen is JSON; of CSV, it is cells of it.
pub(crate) fn selected(bytes: &[u8]) {
    let Some(end) = memchr::memchr(b'\n', bytes) else { return };
    let (filter, record) = (&bytes[..end], &bytes[end + 1..]);
    let Ok(filter) = std::str::from_utf8(filter) else { return };
    let Ok(path) = JsonPath::parse(filter) else { return };
    if let Ok(chosen) = select::json(record, &path) {
        assert!(is_json(&chosen), "{:?}", String::from_utf8_lossy(&chosen));
    }
    let line = record.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let (mut scratch, mut out) = (Vec::new(), Vec::new());
    select::cells(line, &mut scratch);
    let length = scratch.iter().map(|cell| cell.len() + 1).sum::<usize>();
    assert_eq!(length, line.len() + 1, "cells and commas are not the line");
    if select::csv(line, &path, &mut scratch, &mut out).is_ok() && path.is_whole() {
        assert_eq!(out, line);
    }
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}
