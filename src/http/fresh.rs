//! A value that is read from files and read anew when they change: certificates are renewed and
//! tokens are taken back without a restart.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use super::error::Error;

/// What tells that a file is another than before; `None` when it is not there.
type Stamp = Option<(SystemTime, u64)>;

/// Makes the value from the files.
type Read<T> = dyn Fn() -> Result<T, Error> + Send + Sync;

/// The value as of the last look.
pub(super) struct Fresh<T> {
    what: &'static str,
    paths: Vec<PathBuf>,
    read: Box<Read<T>>,
    stamps: Mutex<Vec<Stamp>>,
    value: RwLock<Arc<T>>,
}

impl<T> Fresh<T> {
    /// Reads it for the first time; `what` names it in the log.
    pub(super) fn new(
        what: &'static str,
        paths: Vec<PathBuf>,
        read: impl Fn() -> Result<T, Error> + Send + Sync + 'static,
    ) -> Result<Fresh<T>, Error> {
        // Before the value: what changes meanwhile is read once more and not missed.
        let stamps = Mutex::new(stamps(&paths));
        let value = RwLock::new(Arc::new(read()?));
        Ok(Fresh { what, paths, read: Box::new(read), stamps, value })
    }

    /// The value.
    pub(super) fn get(&self) -> Arc<T> {
        // A reader cannot leave it half-written.
        Arc::clone(&self.value.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks whether the files have changed. What cannot be read leaves the value as it is: a
    /// certificate and its key are rarely replaced in the same moment.
    pub(super) fn look(&self) {
        let now = stamps(&self.paths);
        let mut known = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == now {
            return;
        }
        *known = now;
        match (self.read)() {
            Ok(value) => {
                *self.value.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
                tracing::info!(what = self.what, "read anew");
            }
            Err(why) => {
                tracing::warn!(what = self.what, %why, "changed but unusable: the former stays");
            }
        }
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |path: &PathBuf| {
        let about = std::fs::metadata(path).ok()?;
        Some((about.modified().ok()?, about.len()))
    };
    paths.iter().map(stamp).collect()
}

impl<T> std::fmt::Debug for Fresh<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fresh").field("what", &self.what).finish_non_exhaustive()
    }
}
