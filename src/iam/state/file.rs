//! The file: sealed, read with suspicion, replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use zeroize::Zeroizing;

use super::document::{Document, FORMAT};
use crate::fault::Fault;
use crate::iam::error::Error;
use crate::spec::limit::IAM_STATE_BYTES_MAX;

/// Seals the state and opens it again; the room has no cipher of its own.
pub trait Keeper: Send + Sync {
    /// `plain`, sealed.
    ///
    /// # Errors
    /// When the key cannot be used.
    fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, Box<dyn Fault>>;

    /// What `sealed` holds.
    ///
    /// # Errors
    /// When the key cannot be used, or a bit was changed.
    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, Box<dyn Fault>>;
}

/// A state file and who seals it.
#[derive(Clone)]
pub struct State {
    path: PathBuf,
    keeper: Arc<dyn Keeper>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What tells whether the file is another than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl State {
    /// The state at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>, keeper: Arc<dyn Keeper>) -> State {
        State { path: path.into(), keeper }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file as it is now; `None` where there is none.
    pub fn stamp(&self) -> Option<Stamp> {
        let metadata = fs::metadata(&self.path).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Some(Stamp { modified: metadata.modified().ok(), bytes: metadata.len(), inode })
    }

    fn failed(&self, what: &'static str) -> impl FnOnce(io::Error) -> Error + '_ {
        move |source| Error::File { path: self.path.clone(), what, source }
    }

    /// Everything; an empty state where there is no file.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Open`], [`Error::Damaged`], [`Error::Keeper`].
    pub fn read(&self) -> Result<Document, Error> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Document::default()),
            Err(why) => return Err(self.failed("cannot be opened")(why)),
        };
        let metadata = file.metadata().map_err(self.failed("cannot be looked at"))?;
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
            if mode & 0o077 != 0 {
                return Err(Error::Open { path: self.path.clone(), mode });
            }
        }
        let damaged = |why: String| Error::Damaged { path: self.path.clone(), why };
        if metadata.len() > IAM_STATE_BYTES_MAX {
            let why = format!("it has {} bytes, more than {IAM_STATE_BYTES_MAX}", metadata.len());
            return Err(damaged(why));
        }
        let mut sealed = Vec::new();
        let mut bounded = (&mut file).take(IAM_STATE_BYTES_MAX);
        bounded.read_to_end(&mut sealed).map_err(self.failed("cannot be read"))?;
        let keeper = |why| Error::Keeper { path: self.path.clone(), why };
        let plain = Zeroizing::new(self.keeper.open(&sealed).map_err(keeper)?);
        let document: Document = serde_json::from_slice(&plain)
            // Not serde's own words: they may quote a secret.
            .map_err(|why| damaged(format!("not a state of smrt iam (line {})", why.line())))?;
        match document.format() {
            FORMAT => Ok(document),
            other => Err(damaged(format!("format {other}, this smrt reads format {FORMAT}"))),
        }
    }

    /// Reads, lets `act` change, and replaces the file if it succeeds. Others wait meanwhile.
    ///
    /// # Errors
    /// As [`State::read`], and what `act` fails with; the file is then as before.
    pub fn change<T>(
        &self,
        act: impl FnOnce(&mut Document) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if let Some(folder) = self.folder() {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(folder).map_err(self.failed("its folder cannot be made"))?;
        }
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let lock = options
            .open(self.path.with_file_name(name))
            .map_err(self.failed("its lock cannot be made"))?;
        lock.lock().map_err(self.failed("cannot be locked"))?;
        let mut document = self.read()?;
        let outcome = act(&mut document)?;
        self.replace(&document)?;
        Ok(outcome)
    }

    /// A file in the same folder, flushed, then renamed over the old one; then the folder flushed.
    fn replace(&self, document: &Document) -> Result<(), Error> {
        let plain = serde_json::to_vec(document).expect("names are strings, numbers are whole");
        let plain = Zeroizing::new(plain);
        let keeper = |why| Error::Keeper { path: self.path.clone(), why };
        let sealed = self.keeper.seal(&plain).map_err(keeper)?;
        let failed = || self.failed("cannot be written");
        let folder = self.folder().unwrap_or(Path::new("."));
        // tempfile makes it 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed())?;
        file.write_all(&sealed).map_err(failed())?;
        file.as_file().sync_all().map_err(failed())?;
        file.persist(&self.path).map_err(|why| failed()(why.error))?;
        #[cfg(unix)]
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed())?;
        Ok(())
    }

    fn folder(&self) -> Option<&Path> {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty())
    }
}
