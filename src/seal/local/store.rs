//! The files of the local key service: read with suspicion, written so that a crash or a second
//! process never leaves half a key.
//!
//! A change is made under a lock (advisory, released by the system when its holder dies), into a
//! new file that is flushed to the disk and then renamed. Readers take no lock: they see the file
//! before or after. A file that others may read is refused: the keys in it may be known.
//!
//! What was read is kept for as long as the file is the same one (its inode, size and time of
//! change): a rename always makes another, so no change of another process is missed.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::record::KeyFile;
use super::root::{RootFile, RootKey, Unlock};
use crate::seal::error::Error;
use crate::spec::limit::KEY_FILE_BYTES_MAX;

/// Version of the alias file's format.
const FORMAT: u32 = 1;

#[derive(Clone, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct AliasFile {
    smrt_aliases: u32,
    /// Alias to key id.
    aliases: BTreeMap<String, String>,
    /// As a key file's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
}

/// Alias to key id.
type Aliases = BTreeMap<String, Uuid>;
/// A file's content, wiped when dropped.
type Text = Zeroizing<Vec<u8>>;

/// The folder.
#[derive(Clone)]
pub(super) struct Store {
    folder: PathBuf,
    unlock: Option<Unlock>,
    kept: Arc<Kept>,
}

/// What was read already.
#[derive(Default)]
struct Kept {
    root: Mutex<Option<(Stamp, Arc<Root>)>>,
    keys: Mutex<HashMap<Uuid, (Stamp, Arc<KeyFile>)>>,
    aliases: Mutex<Option<(Stamp, Arc<Aliases>)>>,
}

/// The root key in use.
pub(super) struct Root {
    pub(super) key: RootKey,
    file: RootFile,
}

/// Which file was read, as against another of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    changed: Option<SystemTime>,
}

/// The right to change the folder, until dropped.
pub(super) struct Changing<'a> {
    store: &'a Store,
    _lock: File,
}

impl Store {
    pub(super) fn new(folder: PathBuf, unlock: Option<Unlock>) -> Store {
        Store { folder, unlock, kept: Arc::default() }
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

    fn root_path(&self) -> PathBuf {
        self.folder.join("root.json")
    }

    /// The root key, where the store has one.
    pub(super) fn root(&self) -> Result<Option<Arc<Root>>, Error> {
        let path = self.root_path();
        let Some(stamp) = self.stamp(&path)? else { return Ok(None) };
        let mut kept = held(&self.kept.root);
        if let Some((_, root)) = kept.as_ref().filter(|(of, _)| *of == stamp) {
            return Ok(Some(Arc::clone(root)));
        }
        let Some((stamp, text)) = self.read(&path)? else { return Ok(None) };
        let file: RootFile = parse(&path, &text)?;
        let unlock = self.unlock.as_ref().ok_or_else(|| Error::Locked {
            what: format!("{} asks for {}", path.display(), file.needs()),
        })?;
        let root = Arc::new(Root { key: file.unlock(unlock)?, file });
        *kept = Some((stamp, Arc::clone(&root)));
        Ok(Some(root))
    }

    /// The key's file, or nothing when there is none.
    pub(super) fn read_key(&self, id: Uuid) -> Result<Option<Arc<KeyFile>>, Error> {
        let path = self.key_path(id);
        let Some(stamp) = self.stamp(&path)? else { return Ok(None) };
        if let Some((_, file)) = held(&self.kept.keys).get(&id).filter(|(of, _)| *of == stamp) {
            return Ok(Some(Arc::clone(file)));
        }
        let Some((stamp, text)) = self.read(&path)? else { return Ok(None) };
        let file: KeyFile = parse(&path, &text)?;
        let root = self.root()?;
        let moving = root.as_ref().is_some_and(|root| root.file.moving);
        file.check(id, root.as_ref().map(|root| &root.key), moving)
            .map_err(|what| damaged(&path, what))?;
        let file = Arc::new(file);
        held(&self.kept.keys).insert(id, (stamp, Arc::clone(&file)));
        Ok(Some(file))
    }

    /// All aliases; none when nothing was ever made.
    pub(super) fn aliases(&self) -> Result<Arc<Aliases>, Error> {
        let path = self.alias_path();
        let Some(stamp) = self.stamp(&path)? else { return Ok(Arc::default()) };
        if let Some((_, aliases)) = held(&self.kept.aliases).as_ref().filter(|(of, _)| *of == stamp)
        {
            return Ok(Arc::clone(aliases));
        }
        let Some((stamp, text)) = self.read(&path)? else { return Ok(Arc::default()) };
        let file: AliasFile = parse(&path, &text)?;
        if file.smrt_aliases != FORMAT {
            let what = format!("format {}, this smrt reads {FORMAT}", file.smrt_aliases);
            return Err(damaged(&path, what));
        }
        self.prove(&file).map_err(|what| damaged(&path, what.into()))?;
        let ids = file.aliases.into_iter().map(|(alias, id)| match Uuid::try_parse(&id) {
            Ok(id) => Ok((alias, id)),
            Err(_) => Err(damaged(&path, format!("{id:?} is not a key's id"))),
        });
        let aliases: Arc<Aliases> = Arc::new(ids.collect::<Result<_, _>>()?);
        *held(&self.kept.aliases) = Some((stamp, Arc::clone(&aliases)));
        Ok(aliases)
    }

    /// Whether the aliases are what smrt wrote; [`Store::root`] fails on its own.
    fn prove(&self, file: &AliasFile) -> Result<(), &'static str> {
        let root = self.root().map_err(|_| "its root key cannot be used")?;
        match (root, &file.mac) {
            (None, None) => Ok(()),
            (Some(root), None) if root.file.moving => Ok(()),
            (Some(root), Some(mac)) if root.key.proves(&file.covered(), mac) => Ok(()),
            _ => Err("it was changed by somebody without the store's root key"),
        }
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
        let wrong = |error: io::Error| self.unusable(&error);
        make_folder(&self.folder).map_err(wrong)?;
        check_private(&self.folder, &fs::metadata(&self.folder).map_err(wrong)?)?;
        let lock = private(OpenOptions::new().write(true).create(true).truncate(false))
            .open(self.folder.join(".lock"))
            .map_err(wrong)?;
        lock.lock().map_err(wrong)?;
        Ok(Changing { store: self, _lock: lock })
    }

    fn unusable(&self, error: &io::Error) -> Error {
        Error::KeyStore {
            path: self.folder.clone(),
            what: error.to_string(),
            help: "smrt keeps its keys there; make it a folder of yours, or set SMRT_HOME to one"
                .into(),
        }
    }

    /// Which file stands at `path` now, or nothing; refused when others may read it.
    fn stamp(&self, path: &Path) -> Result<Option<Stamp>, Error> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(path.display().to_string(), error)),
            Ok(meta) => {
                self.check(path, &meta)?;
                Ok(Some(Stamp::of(&meta)))
            }
        }
    }

    fn check(&self, path: &Path, meta: &Metadata) -> Result<(), Error> {
        let wrong = |error: io::Error| Error::io(path.display().to_string(), error);
        check_private(path, meta)?;
        check_private(&self.folder, &fs::metadata(&self.folder).map_err(wrong)?)
    }

    fn read(&self, path: &Path) -> Result<Option<(Stamp, Text)>, Error> {
        let wrong = |error: io::Error| Error::io(path.display().to_string(), error);
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(wrong)?,
        };
        // Asked of the open file, so that it cannot be exchanged in between.
        let meta = file.metadata().map_err(wrong)?;
        self.check(path, &meta)?;
        if meta.len() > KEY_FILE_BYTES_MAX {
            return Err(damaged(path, format!("larger than {KEY_FILE_BYTES_MAX} bytes")));
        }
        // Room for all of it at once: growing would leave copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(meta.len() as usize + 1));
        file.take(KEY_FILE_BYTES_MAX).read_to_end(&mut text).map_err(wrong)?;
        Ok(Some((Stamp::of(&meta), text)))
    }
}

impl Stamp {
    fn of(meta: &Metadata) -> Stamp {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(meta);
        #[cfg(not(unix))]
        let inode = 0;
        Stamp { inode, bytes: meta.len(), changed: meta.modified().ok() }
    }
}

impl AliasFile {
    fn covered(&self) -> Vec<u8> {
        let bare = AliasFile { mac: None, ..self.clone() };
        let mut bytes = b"smrt-aliases".to_vec();
        serde_json::to_writer(&mut bytes, &bare).expect("names have JSON");
        bytes
    }
}

/// What a lock guards; a thread that panicked has left it whole, since values are put in at once.
fn held<T>(lock: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Changing<'_> {
    /// As [`Store::aliases`], now that nobody else changes them.
    pub(super) fn aliases(&self) -> Result<BTreeMap<String, Uuid>, Error> {
        self.store.aliases().map(|aliases| (*aliases).clone())
    }

    pub(super) fn write_key(&self, id: Uuid, file: &KeyFile) -> Result<(), Error> {
        let root = self.store.root()?;
        self.write_key_under(id, file.clone(), root.as_ref().map(|root| &root.key))
    }

    fn write_key_under(
        &self,
        id: Uuid,
        mut file: KeyFile,
        root: Option<&RootKey>,
    ) -> Result<(), Error> {
        file.authenticate(id, root);
        self.write(&self.store.key_path(id), &file)
    }

    pub(super) fn write_aliases(&self, aliases: &BTreeMap<String, Uuid>) -> Result<(), Error> {
        let root = self.store.root()?;
        self.write_aliases_under(aliases, root.as_ref().map(|root| &root.key))
    }

    fn write_aliases_under(
        &self,
        aliases: &BTreeMap<String, Uuid>,
        root: Option<&RootKey>,
    ) -> Result<(), Error> {
        let ids = aliases.iter().map(|(alias, id)| (alias.clone(), id.to_string()));
        let mut file = AliasFile { smrt_aliases: FORMAT, aliases: ids.collect(), mac: None };
        file.mac = root.map(|root| root.mac(&file.covered()));
        self.write(&self.store.alias_path(), &file)
    }

    /// Removes a key for ever: its bytes are overwritten first, for disks that write in place.
    pub(super) fn shred(&self, id: Uuid) -> Result<(), Error> {
        let path = self.store.key_path(id);
        let wrong = |error: io::Error| Error::io(path.display().to_string(), error);
        let length = fs::metadata(&path).map_err(wrong)?.len();
        let mut file = OpenOptions::new().write(true).open(&path).map_err(wrong)?;
        file.write_all(&vec![b' '; length as usize]).map_err(wrong)?;
        file.sync_all().map_err(wrong)?;
        fs::remove_file(&path).map_err(wrong)?;
        held(&self.store.kept.keys).remove(&id);
        sync_folder(&self.store.folder).map_err(wrong)
    }

    /// Puts the whole store under a root key that `to` locks, or under none. A store that has one
    /// keeps it, and only its lock changes. What must read it from then on is answered.
    pub(super) fn protect(&self, to: Option<&Unlock>) -> Result<Store, Error> {
        let (store, path) = (self.store, self.store.root_path());
        let after = Store::new(store.folder.clone(), to.cloned());
        let before = store.root()?;
        let mut file = match (&before, to) {
            (None, None) => return Ok(after),
            (None, Some(to)) => RootFile::generate(to)?,
            (Some(root), Some(to)) => {
                let from = store.unlock.as_ref().expect("the root key was unlocked with it");
                root.file.relocked(from, to)?
            }
            (Some(root), None) => root.file.clone(),
        };
        if before.as_ref().is_some_and(|root| !root.file.moving) && to.is_some() {
            self.write(&path, &file)?;
            return Ok(after);
        }
        // First both kinds of file are read, then each is moved, then one kind only: whatever
        // moment the process dies at, every file can be read and the move can be done again.
        file.moving = true;
        self.write(&path, &file)?;
        let reading = if to.is_some() { &after } else { store };
        let root = reading.root()?.expect("it was written above");
        let under = to.map(|_| &root.key);
        for id in reading.ids()? {
            let Some(held) = reading.read_key(id)? else { continue };
            self.write_key_under(id, held.moved(id, &root.key, under)?, under)?;
        }
        let aliases = reading.aliases()?;
        self.write_aliases_under(&aliases, under)?;
        if to.is_some() {
            file.moving = false;
            self.write(&path, &file)?;
        } else {
            let wrong = |error: io::Error| Error::io(path.display().to_string(), error);
            fs::remove_file(&path).map_err(wrong)?;
            sync_folder(&store.folder).map_err(wrong)?;
        }
        Ok(after)
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
