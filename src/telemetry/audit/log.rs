//! Writing: records come from any thread, one thread chains them, writes them and flushes them to
//! the disk, as many at once as have come.
//!
//! A record is never dropped: a full queue holds its thread up. When the disk fails, the log says
//! so from then on, and whoever must not act unrecorded asks [`Audit::is_open`] first.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

use super::record::Record;
use super::{BEGINNING, Error};
use crate::spec::limit::{AUDIT_LINE_BYTES_MAX, AUDIT_QUEUE_RECORDS_MAX};

/// An audit log being written.
#[derive(Debug)]
pub struct Audit {
    queue: Mutex<Option<SyncSender<Vec<u8>>>>,
    failed: Arc<AtomicBool>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// The end of the chain in its file.
struct Tail {
    path: PathBuf,
    file: File,
    head: [u8; 32],
}

impl Audit {
    /// Goes on with the log at `path`, or begins it. What a crash left half-written at its end was
    /// never acknowledged, and is cut off.
    ///
    /// # Errors
    /// When the file cannot be used, another process writes it, or its last line is no record.
    pub fn open(path: &Path) -> Result<Audit, Error> {
        let tail = Tail::open(path)?;
        let (queue, records) = sync_channel(AUDIT_QUEUE_RECORDS_MAX);
        let failed = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&failed);
        let writer = std::thread::Builder::new()
            .name("smrt-audit".into())
            .spawn(move || tail.write_all(&records, &theirs))
            .map_err(|source| Error::File {
                path: path.into(),
                what: "cannot be written",
                source,
            })?;
        Ok(Audit { queue: Mutex::new(Some(queue)), failed, writer: Mutex::new(Some(writer)) })
    }

    /// Whether records still reach the disk.
    pub fn is_open(&self) -> bool {
        !self.failed.load(Ordering::Relaxed)
    }

    /// Hands a record over.
    pub fn record(&self, record: &Record<'_>) {
        let line = record.to_json();
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // The writer takes records until the log is dropped.
        if queue.is_none_or(|queue| queue.send(line).is_err()) {
            self.failed.store(true, Ordering::Relaxed);
        }
    }
}

impl Audit {
    /// Waits until what was recorded is on the disk; nothing is recorded after it.
    pub fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It ends when the queue is empty; one that panicked has said so.
            let _ = writer.join();
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.close();
    }
}

impl Tail {
    fn open(path: &Path) -> Result<Tail, Error> {
        let failed = |what| move |source| Error::File { path: path.into(), what, source };
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(failed("cannot be opened"))?;
        file.try_lock().map_err(|_| Error::Taken { path: path.into() })?;
        let length = file.metadata().map_err(failed("cannot be looked at"))?.len();
        // The last whole line lies within the last two.
        let from = length.saturating_sub(2 * AUDIT_LINE_BYTES_MAX as u64);
        file.seek(SeekFrom::Start(from)).map_err(failed("cannot be read"))?;
        let mut end = Vec::new();
        let most = 2 * AUDIT_LINE_BYTES_MAX as u64;
        (&mut file).take(most).read_to_end(&mut end).map_err(failed("cannot be read"))?;
        let whole = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < end.len() {
            let cut = (end.len() - whole) as u64;
            tracing::warn!(path = %path.display(), bytes = cut, "a record that was never finished is cut off");
            file.set_len(length - cut).map_err(failed("cannot be cut"))?;
        }
        let lines = end[..whole].strip_suffix(b"\n");
        let last = lines.map(|lines| lines.rsplit(|byte| *byte == b'\n').next().unwrap_or(lines));
        let head = match last {
            None => BEGINNING,
            Some(line) => {
                super::read::prev(line).map_err(|what| Error::Broken {
                    path: path.into(),
                    line: 0,
                    what: format!("its last line {what}"),
                })?;
                Sha256::digest(line).into()
            }
        };
        Ok(Tail { path: path.into(), file, head })
    }

    fn write_all(mut self, records: &Receiver<Vec<u8>>, failed: &AtomicBool) {
        let mut lines = Vec::new();
        while let Ok(first) = records.recv() {
            lines.clear();
            let mut head = self.head;
            // What has come meanwhile shares the flush.
            for record in std::iter::once(first).chain(records.try_iter()) {
                head = chained(&record, &head, &mut lines);
            }
            let written = self.file.write_all(&lines).and_then(|()| self.file.sync_data());
            match written {
                Ok(()) => self.head = head,
                Err(why) => {
                    tracing::error!(path = %self.path.display(), %why, "records cannot be written");
                    failed.store(true, Ordering::Relaxed);
                    return;
                }
            }
        }
    }
}

/// Adds a record as the line after `head`, and gives its own hash.
fn chained(record: &[u8], head: &[u8; 32], lines: &mut Vec<u8>) -> [u8; 32] {
    let start = lines.len();
    // A record is an object that is not empty.
    lines.extend_from_slice(record.strip_suffix(b"}").unwrap_or(record));
    lines.extend_from_slice(b",\"prev\":\"");
    lines.extend_from_slice(hex::encode(head).as_bytes());
    lines.extend_from_slice(b"\"}");
    let digest = Sha256::digest(&lines[start..]).into();
    lines.push(b'\n');
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_whose_disk_fails_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        std::fs::write(&path, "").unwrap();
        // Opened for reading only: every write fails.
        let tail = Tail { file: File::open(&path).unwrap(), path, head: BEGINNING };
        let (queue, records) = sync_channel(4);
        queue.send(Record::default().to_json()).unwrap();
        drop(queue);
        let failed = AtomicBool::new(false);
        tail.write_all(&records, &failed);
        assert!(failed.load(Ordering::Relaxed));
    }
}
