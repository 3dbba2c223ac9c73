//! Strangers' bytes against this room's parsers; see [`crate::fuzzed`].

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Contents, Manifest, Opener, archive, check_signature, foreign};
use crate::algorithm::{self, Files, Table};
use crate::seal::RawKey;

/// A tar.gz: what is read, written by us and read again, is the same, and no name leads out of it.
pub(crate) fn archive(bytes: &[u8]) {
    let Ok(files) = archive::read(bytes) else { return };
    for name in files.keys() {
        let parts: Vec<&str> = name.split('/').collect();
        assert!(!name.starts_with('/') && !parts.contains(&".."), "{name:?} leads out");
        assert!(!name.chars().any(|c| c.is_control() || c == '\\'), "{name:?}");
    }
    // ustar cannot write every name that it and its extensions can be read to say.
    let Ok(written) = archive::write(archive::entries(&files), Vec::new()) else { return };
    assert_eq!(archive::read(&written).ok(), Some(files), "written and read, it is another");
}

/// A tar before it is packed, so that what is inside of a gzip is reached.
pub(crate) fn tar(bytes: &[u8]) {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    if gzip.write_all(bytes).is_ok()
        && let Ok(packed) = gzip.finish()
    {
        archive(&packed);
    }
}

/// `manifest.json`: one that is believed is written and read as the same.
pub(crate) fn manifest(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    let Ok(manifest) = serde_json::from_value::<Manifest>(value) else { return };
    if check_signature(&manifest).is_ok() {
        let written = serde_json::to_vec(&manifest).ok();
        let again = written.and_then(|text| serde_json::from_slice::<Manifest>(&text).ok());
        assert_eq!(again.as_ref(), Some(&manifest));
        let _ = manifest.signature.vocabulary();
    }
}

/// A model's files, each with its name and length in front (see [`unpacked`]): opened, asked for an
/// answer, and told about, as those of an archive are.
pub(crate) fn files(bytes: &[u8]) {
    let Some(files) = unpacked(bytes) else { return };
    let Ok(written) = archive::write(archive::entries(&files), Vec::new()) else { return };
    let Ok(Contents { manifest, files, .. }) = super::unpack(&written, "model.tar.gz") else {
        return;
    };
    let Some(definition) = Table::builtin().get(&manifest.algorithm) else { return };
    algorithm::fuzzed::opened(&*definition, &manifest.signature, &files);
}

/// `NAME\n`, four bytes of length, big-endian, and so many bytes; again and again. Lengths beyond
/// the end mean the end, so that a file may grow and shrink.
pub(crate) fn unpacked(mut bytes: &[u8]) -> Option<Files> {
    let mut files = BTreeMap::new();
    while !bytes.is_empty() {
        let end = memchr::memchr(b'\n', bytes)?;
        let name = std::str::from_utf8(&bytes[..end]).ok()?.to_owned();
        let (length, rest) = bytes[end + 1..].split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length) as usize;
        let (file, rest) = rest.split_at(length.min(rest.len()));
        files.insert(name, file.to_vec());
        bytes = rest;
    }
    Some(files)
}

/// Anything that is said to be a model, whatever it begins as.
pub(crate) fn artifact(bytes: &[u8]) {
    let Ok(key) = RawKey::new("fuzzed", "key", [7; 32]) else { return };
    let opener = Opener::new(Arc::new(key));
    let _ = foreign::may_be(bytes);
    let told = opener.inspect(bytes, "model.tar.gz");
    let opened = opener.open(bytes, "model.tar.gz");
    if let Ok(model) = &opened {
        assert!(told.is_ok_and(|told| told.digest == model.digest), "opened and not told about");
    }
}
