//! Files and folders of this machine, straight through the standard library.
//!
//! Not through the object-store client: that one needs a runtime, loses file names that are not
//! Unicode, shows its drafts in the folder and does not wait for the disk. The contract is the
//! same as a bucket's: whole objects, sorted listings, an error when an object changes.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::error::Error;
use super::object::Object;
use super::remote::is_hidden;
use crate::spec::limit;
use crate::spec::uri::Uri;

/// The one file at `path`.
pub(super) fn head(path: &Path) -> Result<Object, Error> {
    let metadata = metadata(path)?;
    if metadata.is_dir() {
        return Err(Error::Place {
            uri: Uri::File(path.to_owned()),
            what: "this is a folder, not a file".to_owned(),
            help: "name the file".to_owned(),
        });
    }
    object(path.to_owned(), &metadata)
}

/// The file at `path`, or all files in the folder and below, sorted as a bucket sorts keys.
pub(super) fn list(path: &Path) -> Result<Vec<Object>, Error> {
    if !metadata(path)?.is_dir() {
        return Ok(vec![head(path)?]);
    }
    let mut walk = Walk { found: Vec::new(), skipped: 0 };
    walk.folder(path, &mut Vec::new())?;
    if walk.found.is_empty() {
        return Err(Error::Empty { uri: Uri::File(path.to_owned()), skipped: walk.skipped });
    }
    let bytes = |object: &Object| match &object.uri {
        Uri::File(path) => path.as_os_str().as_bytes().to_vec(),
        _ => Vec::new(),
    };
    walk.found.sort_by_cached_key(bytes);
    Ok(walk.found)
}

fn metadata(path: &Path) -> Result<fs::Metadata, Error> {
    fs::metadata(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Error::NotFound { uri: Uri::File(path.to_owned()) },
        _ => Error::local("read", path, e),
    })
}

fn object(path: PathBuf, metadata: &fs::Metadata) -> Result<Object, Error> {
    if !metadata.is_file() {
        // Opening a pipe waits for somebody to write to it, perhaps for ever.
        return Err(Error::Place {
            uri: Uri::File(path),
            what: "this is neither a file nor a folder".to_owned(),
            help: "copy it into a file first".to_owned(),
        });
    }
    let (bytes, modified) = (metadata.len(), metadata.modified().ok());
    Ok(Object { uri: Uri::File(path), bytes, tag: None, modified })
}

struct Walk {
    found: Vec<Object>,
    skipped: usize,
}

impl Walk {
    /// `above` holds the folders on the way down, so that a link back up is followed only once.
    fn folder(&mut self, path: &Path, above: &mut Vec<(u64, u64)>) -> Result<(), Error> {
        let own = metadata(path)?;
        let identity = (own.dev(), own.ino());
        if above.contains(&identity) {
            return Ok(());
        }
        above.push(identity);
        for entry in fs::read_dir(path).map_err(|e| Error::local("list", path, e))? {
            let entry = entry.map_err(|e| Error::local("list", path, e))?;
            let name = entry.file_name();
            if is_hidden(&name.to_string_lossy()) {
                self.skipped += 1;
                continue;
            }
            self.entry(path.join(name), above)?;
        }
        above.pop();
        Ok(())
    }

    fn entry(&mut self, path: PathBuf, above: &mut Vec<(u64, u64)>) -> Result<(), Error> {
        let metadata = metadata(&path)?;
        if metadata.is_dir() {
            return self.folder(&path, above);
        }
        if metadata.len() == 0 || !metadata.is_file() {
            self.skipped += 1;
            return Ok(());
        }
        self.found.push(object(path, &metadata)?);
        if self.found.len() > limit::OBJECTS_MAX {
            let uri = self.found[0].uri.clone();
            return Err(Error::TooMany { uri, objects_max: limit::OBJECTS_MAX });
        }
        Ok(())
    }
}

/// Opens `range` of a file that was found before.
pub(super) fn open(
    path: &Path,
    found: &Object,
    range: Range<u64>,
) -> Result<Box<dyn Read + Send>, Error> {
    let mut file = File::open(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Error::Vanished { uri: found.uri.clone() },
        _ => Error::local("read", path, e),
    })?;
    still_same(&file, found)?;
    if range.start > 0 {
        file.seek(SeekFrom::Start(range.start)).map_err(|e| Error::local("read", path, e))?;
    }
    Ok(Box::new(Checked { file, found: found.clone(), left: range.end - range.start }))
}

/// Whether an open file still is what was found.
fn still_same(file: &File, found: &Object) -> Result<(), Error> {
    let changed = |detail: String| Error::Changed { uri: found.uri.clone(), detail };
    let now = file.metadata().map_err(|e| changed(e.to_string()))?;
    if now.len() != found.bytes {
        return Err(changed(format!("it had {} bytes, now {}", found.bytes, now.len())));
    }
    match (now.modified().ok(), found.modified) {
        (Some(now), Some(then)) if now != then => Err(changed("it was written again".to_owned())),
        _ => Ok(()),
    }
}

/// A file that is looked at once more when its last byte was read.
struct Checked {
    file: File,
    found: Object,
    left: u64,
}

impl Read for Checked {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || out.is_empty() {
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        let count = self.file.read(&mut out[..most])?;
        self.left -= count as u64;
        if self.left == 0 || count == 0 {
            still_same(&self.file, &self.found)?;
        }
        Ok(count)
    }
}

/// A file being written under a hidden name beside its place.
pub(super) struct Draft {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
    bytes: u64,
    made: Folders,
}

/// Bytes gathered before they go to the system.
const BUFFER_BYTES: usize = 256 << 10;

impl Draft {
    /// Begins a file at `path`, making the folders above it.
    pub(super) fn create(path: &Path) -> Result<Draft, Error> {
        let before = fs::metadata(path).ok();
        let trailing_slash = path.as_os_str().as_bytes().ends_with(b"/");
        if trailing_slash || before.as_ref().is_some_and(|there| !there.is_file()) {
            // A device would be replaced by a file of its name, which nobody means.
            return Err(Error::Place {
                uri: Uri::File(path.to_owned()),
                what: "what is there is not a file".to_owned(),
                help: "name the file to write".to_owned(),
            });
        }
        let folder = folder_of(path);
        let made = Folders::make(folder)?;
        let mut prefix = OsString::from(".");
        prefix.push(path.file_name().unwrap_or_default());
        let file = draft_in(folder, &prefix)?;
        if let Some(before) = before {
            // Whoever closed a file to others keeps it closed when it is written again.
            let set = file.as_file().set_permissions(before.permissions());
            set.map_err(|e| Error::local("write", path, e))?;
        }
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(Draft { path: path.to_owned(), file, bytes: 0, made })
    }

    fn wrong(&self, source: io::Error) -> Error {
        Error::local("write", &self.path, source)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes).map_err(|e| self.wrong(e))?;
        self.bytes += count as u64;
        Ok(count)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.flush().map_err(|e| self.wrong(e).into())
    }

    /// On the disk first, then under its name: after a power cut the old file or the new one is
    /// there, never half of one.
    pub(super) fn finish(mut self) -> Result<u64, Error> {
        self.file.flush().map_err(|e| self.wrong(e))?;
        self.file.get_ref().as_file().sync_all().map_err(|e| self.wrong(e))?;
        let Draft { path, file, bytes, mut made } = self;
        let (file, _) = file.into_parts();
        let wrong = |e: io::Error| Error::local("write", &path, e);
        file.persist(&path).map_err(|e| wrong(e.error))?;
        made.keep();
        let folder = File::open(folder_of(&path)).map_err(wrong)?;
        folder.sync_all().map_err(wrong)?;
        Ok(bytes)
    }
}

/// Removes drafts of files in `folder` whose names begin with `begin`. Only for names that nobody
/// else writes now.
pub(super) fn sweep(folder: &Path, begin: &str) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let draft = name.strip_prefix('.').is_some_and(|name| name.starts_with(begin));
        if draft && name.ends_with(DRAFT_SUFFIX) {
            remove_stale(&entry.path());
        }
    }
}

/// Removes the drafts of these files; each folder is looked through once.
pub(super) fn sweep_each<'a>(paths: impl Iterator<Item = &'a Path>) {
    let mut folders: HashMap<&Path, HashSet<&OsStr>> = HashMap::new();
    for path in paths {
        folders.entry(folder_of(path)).or_default().extend(path.file_name());
    }
    for (folder, names) in folders {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let middle = name.as_bytes().strip_prefix(b".").and_then(|name| {
                // What makes a draft's name its own has a fixed length.
                let name = name.strip_suffix(DRAFT_SUFFIX.as_bytes())?;
                name.len().checked_sub(DRAFT_RANDOM_BYTES).map(|end| &name[..end])
            });
            if middle.is_some_and(|name| names.contains(OsStr::from_bytes(name))) {
                remove_stale(&entry.path());
            }
        }
    }
}

/// Removes a draft that nobody writes any more: whoever does holds its lock until it is gone.
fn remove_stale(path: &Path) {
    let ours = OpenOptions::new().write(true).open(path).is_ok_and(|file| file.try_lock().is_ok());
    if ours {
        let _ = fs::remove_file(path);
    }
}

/// Letters of a draft's name that no other draft has.
const DRAFT_RANDOM_BYTES: usize = 6;
/// How the names of drafts end.
const DRAFT_SUFFIX: &str = ".part";

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A hidden file, so that no listing ever counts it. Its mode is an ordinary file's: the owner's
/// umask says who may read an artifact, as it does for whatever other tools write; a file that is
/// replaced keeps its mode.
fn draft_in(folder: &Path, prefix: &OsString) -> Result<NamedTempFile, Error> {
    loop {
        let file = tempfile::Builder::new()
            .prefix(prefix)
            .suffix(DRAFT_SUFFIX)
            .rand_bytes(DRAFT_RANDOM_BYTES)
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(|e| Error::local("write into", folder, e))?;
        // Says that somebody writes it, see `remove_stale`. Where files cannot be locked, none is stale.
        let _ = file.as_file().try_lock();
        // Between its making and its locking another process may have taken it for stale.
        if file.path().exists() {
            return Ok(file);
        }
    }
}

/// Folders made for a file that may never come: those that stay empty are removed again.
struct Folders {
    made: Vec<PathBuf>,
}

impl Folders {
    fn make(folder: &Path) -> Result<Folders, Error> {
        let missing = folder.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists());
        let made: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        fs::create_dir_all(folder).map_err(|e| Error::local("make the folder", folder, e))?;
        Ok(Folders { made })
    }

    fn keep(&mut self) {
        self.made.clear();
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        for folder in &self.made {
            // Fails where somebody else has put something by now, and then it shall stay.
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
}

/// Tries what a later [`Draft`] in `folder` needs, and leaves nothing.
pub(super) fn check_writable(folder: &Path) -> Result<(), Error> {
    let _made = Folders::make(folder)?;
    let mut probe = draft_in(folder, &OsString::from(".smrt-write-check"))?;
    let wrong = |e| Error::local("write into", folder, e);
    probe.write_all(&[0; 4096]).map_err(wrong)?;
    probe.as_file().sync_all().map_err(wrong)
}

/// Removes a file; one that is not there counts as removed.
pub(super) fn delete(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::local("delete", path, e)),
        _ => Ok(()),
    }
}
