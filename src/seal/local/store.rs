//! The files of the local key service: read with suspicion, written so that a crash or a second
//! process never leaves half a key.
//!
//! A change is made under a lock (advisory, released by the system when its holder dies), into a
//! new file that is flushed to the disk and then renamed. Readers take no lock: they see the file
//! before or after. A file that others may read is refused: the keys in it may be known.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::seal::error::Error;
use crate::seal::secret::fill_random;
use crate::seal::service::KeyState;
use crate::spec::limit::KEY_FILE_BYTES_MAX;

/// Version of the file format.
const FORMAT: u32 = 1;

/// One key as its file holds it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyFile {
    smrt_key: u32,
    pub(super) state: KeyState,
    /// Version n is at n - 1. Only ever appended to.
    versions: Vec<Version>,
}

#[derive(Serialize, Deserialize, zeroize::ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Version {
    /// Seconds since 1970.
    created_s: u64,
    /// Base64 of 32 bytes.
    material: String,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct AliasFile {
    smrt_aliases: u32,
    /// Alias to key id.
    aliases: BTreeMap<String, String>,
}

impl KeyFile {
    /// A new key with one version.
    pub(super) fn generate() -> Result<KeyFile, Error> {
        let mut file = KeyFile { smrt_key: FORMAT, state: KeyState::Enabled, versions: Vec::new() };
        file.add_version()?;
        Ok(file)
    }

    /// Appends a fresh backing key.
    pub(super) fn add_version(&mut self) -> Result<(), Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        fill_random(&mut bytes[..])?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let material = STANDARD.encode(&bytes[..]);
        self.versions.push(Version { created_s: now.as_secs(), material });
        Ok(())
    }

    /// How many versions there are; the last is the latest.
    pub(super) fn versions(&self) -> u32 {
        u32::try_from(self.versions.len()).expect("a key file is at most 1 MiB")
    }

    /// The backing key of a version, from 1.
    pub(super) fn material(&self, version: u32) -> Option<Zeroizing<[u8; 32]>> {
        let version = self.versions.get((version as usize).checked_sub(1)?)?;
        let mut bytes = Zeroizing::new([0; 32]);
        let length = STANDARD.decode_slice(version.material.as_bytes(), &mut bytes[..]).ok()?;
        (length == bytes.len()).then_some(bytes)
    }

    fn check(&self) -> Result<(), String> {
        if self.smrt_key != FORMAT {
            return Err(format!("format {}, this smrt reads format {FORMAT}", self.smrt_key));
        }
        let whole = (1..=self.versions()).all(|version| self.material(version).is_some());
        match whole && !self.versions.is_empty() {
            true => Ok(()),
            false => Err("a version is not 32 bytes in base64, or there is none".into()),
        }
    }
}

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Store {
    folder: PathBuf,
}

/// The right to change the folder, until dropped.
pub(super) struct Changing<'a> {
    store: &'a Store,
    _lock: File,
}

impl Store {
    pub(super) fn new(folder: PathBuf) -> Store {
        Store { folder }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn key_path(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    fn alias_path(&self) -> PathBuf {
        self.folder.join("aliases.json")
    }

    /// The key's file, or nothing when there is none.
    pub(super) fn read_key(&self, id: Uuid) -> Result<Option<KeyFile>, Error> {
        let path = self.key_path(id);
        let Some(text) = self.read(&path)? else { return Ok(None) };
        let file: KeyFile = parse(&path, &text)?;
        file.check().map_err(|what| damaged(&path, what))?;
        Ok(Some(file))
    }

    /// All aliases; none when nothing was ever made.
    pub(super) fn aliases(&self) -> Result<BTreeMap<String, Uuid>, Error> {
        let path = self.alias_path();
        let Some(text) = self.read(&path)? else { return Ok(BTreeMap::new()) };
        let file: AliasFile = parse(&path, &text)?;
        if file.smrt_aliases != FORMAT {
            let what = format!("format {}, this smrt reads {FORMAT}", file.smrt_aliases);
            return Err(damaged(&path, what));
        }
        let ids = file.aliases.into_iter().map(|(alias, id)| match Uuid::try_parse(&id) {
            Ok(id) => Ok((alias, id)),
            Err(_) => Err(damaged(&path, format!("{id:?} is not a key's id"))),
        });
        ids.collect()
    }

    /// The ids of all keys, sorted.
    pub(super) fn ids(&self) -> Result<Vec<Uuid>, Error> {
        let wrong = |error| Error::io(self.folder.display().to_string(), error);
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(wrong)?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.map_err(wrong)?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".json"));
            ids.extend(id.and_then(|id| Uuid::try_parse(id).ok()));
        }
        ids.sort();
        Ok(ids)
    }

    /// Makes the folder where it is missing, and waits for the right to change it.
    pub(super) fn lock(&self) -> Result<Changing<'_>, Error> {
        let wrong = |error| self.unusable(error);
        make_folder(&self.folder).map_err(wrong)?;
        check_private(&self.folder, &fs::metadata(&self.folder).map_err(wrong)?)?;
        let lock = private(OpenOptions::new().write(true).create(true).truncate(false))
            .open(self.folder.join(".lock"))
            .map_err(wrong)?;
        lock.lock().map_err(wrong)?;
        Ok(Changing { store: self, _lock: lock })
    }

    fn unusable(&self, error: io::Error) -> Error {
        Error::KeyStore {
            path: self.folder.clone(),
            what: error.to_string(),
            help: "smrt keeps its keys there; make it a folder of yours, or set SMRT_HOME to one"
                .into(),
        }
    }

    fn read(&self, path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let wrong = |error: io::Error| Error::io(path.display().to_string(), error);
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(wrong)?,
        };
        // Asked of the open file, so that it cannot be exchanged in between.
        let meta = file.metadata().map_err(wrong)?;
        check_private(path, &meta)?;
        check_private(&self.folder, &fs::metadata(&self.folder).map_err(wrong)?)?;
        if meta.len() > KEY_FILE_BYTES_MAX {
            return Err(damaged(path, format!("larger than {KEY_FILE_BYTES_MAX} bytes")));
        }
        // Room for all of it at once: growing would leave copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(meta.len() as usize + 1));
        file.take(KEY_FILE_BYTES_MAX).read_to_end(&mut text).map_err(wrong)?;
        Ok(Some(text))
    }
}

impl Changing<'_> {
    /// As [`Store::aliases`], now that nobody else changes them.
    pub(super) fn aliases(&self) -> Result<BTreeMap<String, Uuid>, Error> {
        self.store.aliases()
    }

    pub(super) fn write_key(&self, id: Uuid, file: &KeyFile) -> Result<(), Error> {
        self.write(&self.store.key_path(id), file)
    }

    pub(super) fn write_aliases(&self, aliases: &BTreeMap<String, Uuid>) -> Result<(), Error> {
        let ids = aliases.iter().map(|(alias, id)| (alias.clone(), id.to_string()));
        let file = AliasFile { smrt_aliases: FORMAT, aliases: ids.collect() };
        self.write(&self.store.alias_path(), &file)
    }

    /// Writes beside, flushes to the disk, renames, and flushes the folder.
    fn write(&self, path: &Path, value: &impl Serialize) -> Result<(), Error> {
        let wrong = |error: io::Error| Error::io(path.display().to_string(), error);
        // Large enough that no copy of a key is left behind by growing.
        let mut text = Zeroizing::new(Vec::with_capacity(KEY_FILE_BYTES_MAX as usize));
        serde_json::to_writer_pretty(&mut *text, value).map_err(|e| wrong(e.into()))?;
        text.push(b'\n');
        if text.len() as u64 > KEY_FILE_BYTES_MAX {
            return Err(damaged(path, format!("it would exceed {KEY_FILE_BYTES_MAX} bytes")));
        }
        let folder = &self.store.folder;
        let mut part = tempfile::Builder::new()
            .prefix(".key.")
            .suffix(".part")
            .tempfile_in(folder)
            .map_err(wrong)?;
        part.write_all(&text).map_err(wrong)?;
        part.as_file().sync_all().map_err(wrong)?;
        part.persist(path).map_err(|error| wrong(error.error))?;
        sync_folder(folder).map_err(wrong)
    }
}

fn parse<'a, T: Deserialize<'a>>(path: &Path, text: &'a [u8]) -> Result<T, Error> {
    // serde's message could show a piece of the text, and with it of a key: keep the place only.
    serde_json::from_slice(text)
        .map_err(|error| damaged(path, format!("not as smrt writes it (line {})", error.line())))
}

fn damaged(path: &Path, what: String) -> Error {
    Error::KeyStore {
        path: path.into(),
        what,
        help: "bring the file back from a backup; without it, what it sealed stays sealed".into(),
    }
}

#[cfg(unix)]
fn check_private(path: &Path, meta: &fs::Metadata) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let right = if meta.is_dir() { "700" } else { "600" };
    Err(Error::KeyStore {
        path: path.into(),
        what: format!("others may read or change it (mode {mode:03o})"),
        help: format!(
            "if nobody else has seen it: chmod {right} {}; if in doubt, make a new key",
            path.display()
        ),
    })
}

#[cfg(not(unix))]
fn check_private(_: &Path, _: &fs::Metadata) -> Result<(), Error> {
    Ok(())
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Makes the folder, its own mode 0700; folders above it as the system makes them.
fn make_folder(folder: &Path) -> io::Result<()> {
    if let Some(above) = folder.parent() {
        fs::create_dir_all(above)?;
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
