//! The tar.gz itself: written so that the same model gives the same bytes, read as if a stranger
//! had made it.
//!
//! Reading keeps everything in memory and touches no path, so there is nowhere to escape to; what
//! is left are bounds (entries, bytes, ratio) and names that would mislead other tools. Sources:
//! POSIX ustar; the list of hostile archives in OWASP's and CVE-2025-62518's write-ups.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use flate2::{Compression, GzBuilder, read::MultiGzDecoder};

use crate::algorithm::Files;
use crate::spec::limit;

/// A refusal: what is wrong, and what to do where that is known.
pub(super) type Refusal = (String, Option<String>);

/// Below this, any ratio is fine: weights that are mostly zero do shrink a thousandfold.
const RATIO_FREE_BYTES: u64 = 64 << 20;

/// Writes files, by name, as a tar.gz with no time, owner or order of its own.
///
/// # Errors
/// When `to` cannot be written.
pub(super) fn write<'f, W: Write>(
    files: impl IntoIterator<Item = (&'f str, &'f [u8])>,
    to: W,
) -> io::Result<W> {
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(to, Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    tar.mode(tar::HeaderMode::Deterministic);
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        tar.append_data(&mut header, name, bytes)?;
    }
    tar.into_inner()?.finish()
}

/// Files as [`write`] takes them.
pub(super) fn entries(files: &Files) -> impl Iterator<Item = (&str, &[u8])> {
    files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
}

/// Reads a whole tar.gz into memory.
///
/// # Errors
/// A [`Refusal`] when it is not a tar.gz, is cut short, is larger than the limits, or holds a
/// link, a device, a name that leaves the archive, or the same name twice.
pub(super) fn read(archive: &[u8]) -> Result<Files, Refusal> {
    if !archive.starts_with(&[0x1f, 0x8b]) {
        return Err((
            "this is not a model.tar.gz: the bytes are neither sealed nor gzip".into(),
            Some("give the artifact that `smrt train` reported".into()),
        ));
    }
    let allowed = (archive.len() as u64)
        .saturating_mul(limit::ARCHIVE_RATIO_MAX)
        .clamp(RATIO_FREE_BYTES, limit::ARCHIVE_BYTES_MAX);
    let unzipped = Bounded { inner: MultiGzDecoder::new(archive), left: allowed };
    let mut tar = tar::Archive::new(unzipped);
    let mut files = BTreeMap::new();
    let mut claimed = 0u64;
    for (count, entry) in tar.entries().map_err(damaged)?.enumerate() {
        if count >= limit::ARCHIVE_ENTRIES_MAX {
            return Err((
                format!("the archive has more than {} entries", limit::ARCHIVE_ENTRIES_MAX),
                None,
            ));
        }
        let mut entry = entry.map_err(damaged)?;
        let name = checked_name(&entry.path_bytes())?;
        match entry.header().entry_type() {
            tar::EntryType::Directory => continue,
            tar::EntryType::Regular | tar::EntryType::Continuous => {}
            other => {
                return Err((
                    format!("{name:?} is not a plain file but {}", describe(other)),
                    Some("smrt reads plain files only; pack the model again without it".into()),
                ));
            }
        }
        let size = entry.size();
        if size > limit::ARCHIVE_ENTRY_BYTES_MAX {
            return Err((
                format!("{name:?} claims {size} bytes, more than a model may have"),
                None,
            ));
        }
        // What cannot all come is not begun.
        claimed += size;
        if claimed > allowed {
            return Err(damaged(io::Error::other(TooLarge)));
        }
        // Grown as the bytes arrive: a size that lies costs nothing.
        let mut bytes = Vec::with_capacity(size.min(1 << 20) as usize);
        entry.read_to_end(&mut bytes).map_err(damaged)?;
        if bytes.len() as u64 != size {
            return Err((format!("{name:?} is cut short"), None));
        }
        if files.insert(name.clone(), bytes).is_some() {
            return Err((format!("{name:?} stands in the archive twice"), None));
        }
    }
    // The gzip trailer is only checked when the stream is read to its end.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(damaged)?;
    Ok(files)
}

/// The entry's name, with one leading `./` removed, if no tool could be misled by it.
fn checked_name(bytes: &[u8]) -> Result<String, Refusal> {
    let shown = String::from_utf8_lossy(bytes).escape_default().take(120).collect::<String>();
    let refuse = |why: &str| Err((format!("the entry \"{shown}\" {why}"), None));
    let Ok(name) = std::str::from_utf8(bytes) else {
        return refuse("has a name that is not UTF-8");
    };
    let name = name.strip_prefix("./").unwrap_or(name).trim_end_matches('/');
    if name.len() > 4096 || name.split('/').count() > 32 {
        return refuse("has a name that is too long or too deep");
    }
    if name.starts_with('/')
        || name.split(['/', '\\']).any(|part| part == "..")
        || name.contains(':')
    {
        return refuse("points outside the archive");
    }
    if name.chars().any(|c| c.is_control() || c == '\\') {
        return refuse("has a name with control characters or backslashes");
    }
    Ok(if name == "." { String::new() } else { name.to_owned() })
}

fn describe(kind: tar::EntryType) -> &'static str {
    match kind {
        tar::EntryType::Symlink => "a symbolic link",
        tar::EntryType::Link => "a hard link",
        tar::EntryType::Char | tar::EntryType::Block => "a device",
        tar::EntryType::Fifo => "a pipe",
        tar::EntryType::GNUSparse => "a sparse file",
        _ => "of an unknown type",
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
fn damaged(error: io::Error) -> Refusal {
    if error.get_ref().is_some_and(|inner| inner.is::<TooLarge>()) {
        return (
            "the archive unpacks to more than a model may have, or shrinks like a bomb".into(),
            Some(format!(
                "at most {} bytes, and at most {} unpacked bytes for each stored one",
                limit::ARCHIVE_BYTES_MAX,
                limit::ARCHIVE_RATIO_MAX
            )),
        );
    }
    (
        format!("the archive is damaged or cut short ({error})"),
        Some("fetch it again, or train again".into()),
    )
}

/// Fails once more than `left` bytes came through.
struct Bounded<R> {
    inner: R,
    left: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("too many bytes")]
struct TooLarge;

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.left =
            self.left.checked_sub(count as u64).ok_or_else(|| io::Error::other(TooLarge))?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        Files::from([
            ("manifest.json".to_owned(), b"{}".to_vec()),
            ("model.safetensors".to_owned(), vec![7; 100_000]),
        ])
    }

    fn archive(entries: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        entries(&mut tar);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&tar.into_inner().unwrap()).unwrap();
        gzip.finish().unwrap()
    }

    fn raw(name: &[u8], kind: tar::EntryType, size: u64, body: &[u8]) -> Vec<u8> {
        archive(|tar| {
            let mut header = tar::Header::new_ustar();
            header.as_old_mut().name[..name.len()].copy_from_slice(name);
            header.set_entry_type(kind);
            header.set_size(size);
            header.set_mode(0o644);
            header.set_cksum();
            tar.append(&header, body).unwrap();
        })
    }

    #[test]
    fn what_is_written_is_read_and_twice_the_same() {
        let first = write(entries(&files()), Vec::new()).unwrap();
        assert_eq!(first, write(entries(&files()), Vec::new()).unwrap());
        assert_eq!(read(&first).unwrap(), files());
    }

    #[test]
    fn every_truncation_is_refused() {
        let whole = write(entries(&files()), Vec::new()).unwrap();
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "accepted after {length} bytes");
        }
    }

    #[test]
    fn names_that_leave_the_archive_are_refused() {
        for name in [&b"../x"[..], b"/etc/x", b"a/../../x", b"C:\\x", b"a\\..\\x", b"a\nb", b"\xff"]
        {
            let bytes = raw(name, tar::EntryType::Regular, 1, b"x");
            assert!(read(&bytes).is_err(), "accepted {:?}", String::from_utf8_lossy(name));
        }
    }

    #[test]
    fn links_devices_and_pipes_are_refused() {
        use tar::EntryType as T;
        for kind in [T::Symlink, T::Link, T::Char, T::Block, T::Fifo, T::GNUSparse] {
            let refusal = read(&raw(b"x", kind, 0, b"")).unwrap_err();
            assert!(refusal.0.contains("not a plain file") || kind == T::GNUSparse, "{refusal:?}");
        }
    }

    #[test]
    fn the_same_name_twice_is_refused() {
        let bytes = archive(|tar| {
            for _ in 0..2 {
                let mut header = tar::Header::new_ustar();
                header.set_size(1);
                header.set_cksum();
                tar.append_data(&mut header, "x", &b"x"[..]).unwrap();
            }
        });
        assert!(read(&bytes).unwrap_err().0.contains("twice"));
    }

    #[test]
    fn a_size_that_lies_is_refused() {
        assert!(read(&raw(b"x", tar::EntryType::Regular, 1 << 40, b"x")).is_err());
        assert!(read(&raw(b"x", tar::EntryType::Regular, 5_000, b"x")).is_err());
    }

    #[test]
    fn a_bomb_is_refused_before_it_fills_memory() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
        let mut header = tar::Header::new_ustar();
        header.set_path("x").unwrap();
        header.set_size(3 << 30);
        header.set_cksum();
        gzip.write_all(header.as_bytes()).unwrap();
        let zeros = vec![0; 1 << 20];
        for _ in 0..256 {
            gzip.write_all(&zeros).unwrap();
        }
        assert!(read(&gzip.finish().unwrap()).unwrap_err().0.contains("bomb"));
    }

    #[test]
    fn too_many_entries_are_refused() {
        let bytes = archive(|tar| {
            for number in 0..=limit::ARCHIVE_ENTRIES_MAX {
                let mut header = tar::Header::new_ustar();
                header.set_size(0);
                header.set_cksum();
                tar.append_data(&mut header, format!("{number}"), &b""[..]).unwrap();
            }
        });
        assert!(read(&bytes).unwrap_err().0.contains("entries"));
    }

    #[test]
    fn bytes_that_are_no_gzip_are_refused() {
        assert!(read(b"").is_err());
        assert!(read(b"\x80\x04\x95pickle").unwrap_err().0.contains("neither sealed nor gzip"));
    }
}
