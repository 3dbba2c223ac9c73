//! Writing: records come from any thread, one thread chains them, writes them and flushes them to
//! the disk, as many at once as have come.
//!
//! Two ways in. [`Audit::record`] hands a record over and goes on: it is kept until the disk takes
//! it, a full queue holds its thread up, and while the disk refuses, [`Audit::is_open`] says so.
//! [`Audit::write`] is for what must not happen unrecorded: it tells when the record is on the disk,
//! or that it is not, and then nothing may be done or told.
//!
//! Several processes may write one log: each takes the file's lock for a batch and goes on from the
//! line that is last then.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::record::Record;
use super::written::{Slot, Written};
use super::{BEGINNING, Error};
use crate::spec::limit::{AUDIT_LINE_BYTES_MAX, AUDIT_QUEUE_RECORDS_MAX};

/// Between two tries on a disk that refuses.
const AGAIN: Duration = Duration::from_millis(500);

/// An audit log being written.
#[derive(Debug)]
pub struct Audit {
    path: PathBuf,
    queue: Mutex<Option<SyncSender<Entry>>>,
    failed: Arc<AtomicBool>,
    writer: Mutex<Option<JoinHandle<()>>>,
    sample: f64,
    /// Draws which of the sampled are taken: nobody outside can foresee it.
    draws: (RandomState, AtomicU64),
}

/// A record on its way, and who waits for it.
#[derive(Debug)]
struct Entry {
    line: Vec<u8>,
    waiting: Option<Arc<Slot>>,
}

/// The end of the chain in its file.
struct Tail {
    path: PathBuf,
    file: File,
    length: u64,
    head: [u8; 32],
}

impl Audit {
    /// Goes on with the log at `path`, or begins it. What a crash left half-written at its end was
    /// never acknowledged, and is cut off.
    ///
    /// # Errors
    /// When the file cannot be used, or its last line is no record.
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
        Ok(Audit {
            path: path.to_owned(),
            queue: Mutex::new(Some(queue)),
            failed,
            writer: Mutex::new(Some(writer)),
            sample: 1.0,
            draws: (RandomState::new(), AtomicU64::new(0)),
        })
    }

    /// Takes this part, 0 to 1, of what [`Audit::sampled`] is given. Default: all.
    #[must_use]
    pub fn sample(mut self, part: f64) -> Audit {
        self.sample = part;
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether records still reach the disk.
    pub fn is_open(&self) -> bool {
        !self.failed.load(Ordering::Relaxed)
    }

    /// Hands a record over.
    pub fn record(&self, record: &Record<'_>) {
        self.send(Entry { line: record.to_json(), waiting: None });
    }

    /// Hands a record over that may be one of many alike: one that tells of a failure is always
    /// taken, of the others the part that was asked for.
    pub fn sampled(&self, record: &mut Record<'_>) {
        if self.sample < 1.0 && record.error.is_none() {
            let drawn = self.draws.0.hash_one(self.draws.1.fetch_add(1, Ordering::Relaxed));
            // The upper 53 bits are a number from 0 to 1.
            if (drawn >> 11) as f64 / (1_u64 << 53) as f64 >= self.sample {
                return;
            }
            record.more.push(("sampleRate", self.sample.into()));
        }
        self.record(record);
    }

    /// Hands a record over, and tells when it is on the disk.
    pub fn write(&self, record: &Record<'_>) -> Written {
        let slot = Arc::<Slot>::default();
        self.send(Entry { line: record.to_json(), waiting: Some(Arc::clone(&slot)) });
        Written::new(slot, &self.path)
    }

    fn send(&self, entry: Entry) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // The writer takes records until the log is closed.
        let refused = match queue {
            Some(queue) => queue.send(entry).err().map(|back| back.0),
            None => Some(entry),
        };
        if let Some(entry) = refused {
            self.failed.store(true, Ordering::Relaxed);
            entry.tell(false);
        }
    }

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

impl Entry {
    fn tell(&self, written: bool) {
        if let Some(slot) = &self.waiting {
            slot.tell(written);
        }
    }
}

impl Tail {
    fn open(path: &Path) -> Result<Tail, Error> {
        let failed = |what| move |source| Error::File { path: path.into(), what, source };
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(failed("cannot be opened"))?;
        let mut tail = Tail { path: path.into(), file, length: 0, head: BEGINNING };
        tail.file.lock().map_err(failed("cannot be locked"))?;
        let looked = tail.look();
        let _ = tail.file.unlock();
        looked.map_err(|why| match why.downcast::<Error>() {
            Ok(broken) => broken,
            Err(source) => failed("cannot be read")(source),
        })?;
        Ok(tail)
    }

    /// Finds the last line. The lock is held.
    fn look(&mut self) -> io::Result<()> {
        let mut length = self.file.metadata()?.len();
        // The last whole line lies within the last two.
        let most = 2 * (AUDIT_LINE_BYTES_MAX as u64 + 1);
        self.file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
        let mut end = Vec::new();
        if length > 0 {
            (&mut self.file).take(most).read_to_end(&mut end)?;
        }
        let whole = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < end.len() {
            let cut = (end.len() - whole) as u64;
            tracing::warn!(path = %self.path.display(), bytes = cut, "a record that was never finished is cut off");
            length -= cut;
            self.file.set_len(length)?;
        }
        let lines = end[..whole].strip_suffix(b"\n");
        let last = lines.map(|lines| lines.rsplit(|byte| *byte == b'\n').next().unwrap_or(lines));
        self.head = match last {
            None => BEGINNING,
            Some(line) => {
                super::read::prev(line).map_err(|what| {
                    let what = format!("its last line {what}");
                    io::Error::other(Error::Broken { path: self.path.clone(), line: 0, what })
                })?;
                Sha256::digest(line).into()
            }
        };
        self.length = length;
        Ok(())
    }

    fn write_all(mut self, records: &Receiver<Entry>, failed: &AtomicBool) {
        // What nobody waits for is kept until the disk takes it.
        let mut kept: Vec<Entry> = Vec::new();
        let mut told = false;
        loop {
            let first = match kept.is_empty() {
                true => records.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => records.recv_timeout(AGAIN),
            };
            let mut batch = std::mem::take(&mut kept);
            let mut ends = false;
            match first {
                Ok(entry) => batch.push(entry),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if batch.is_empty() => return,
                // The last try.
                Err(RecvTimeoutError::Disconnected) => ends = true,
            }
            // What has come meanwhile shares the flush.
            while let Ok(entry) = records.try_recv() {
                batch.push(entry);
            }
            match self.append(&batch) {
                Ok(()) => {
                    failed.store(false, Ordering::Relaxed);
                    told = false;
                    batch.iter().for_each(|entry| entry.tell(true));
                }
                Err(why) => {
                    failed.store(true, Ordering::Relaxed);
                    if !told {
                        tracing::error!(path = %self.path.display(), %why, "records cannot be written");
                        told = true;
                    }
                    for entry in batch {
                        match entry.waiting {
                            Some(_) => entry.tell(false),
                            None if kept.len() < AUDIT_QUEUE_RECORDS_MAX => kept.push(entry),
                            None => {}
                        }
                    }
                    if ends {
                        return;
                    }
                }
            }
        }
    }

    /// Writes a batch and flushes it, all or nothing.
    fn append(&mut self, batch: &[Entry]) -> io::Result<()> {
        self.file.lock()?;
        let written = self.append_locked(batch);
        let _ = self.file.unlock();
        written
    }

    fn append_locked(&mut self, batch: &[Entry]) -> io::Result<()> {
        let now = self.file.metadata()?.len();
        if now < self.length {
            return Err(io::Error::other("its end was cut off while it was being written"));
        }
        if now > self.length {
            // Another process went on with it.
            self.look()?;
        }
        let (mut lines, mut head) = (Vec::new(), self.head);
        for entry in batch {
            head = chained(&entry.line, &head, &mut lines);
        }
        let written = self.file.write_all(&lines).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => {
                self.head = head;
                // A device has no length.
                self.length = self.file.metadata()?.len();
                Ok(())
            }
            Err(why) => {
                // Half a batch would be half a truth.
                let _ = self.file.set_len(self.length);
                Err(why)
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
    fn a_log_whose_disk_fails_says_so_and_goes_on_when_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        std::fs::write(&path, "").unwrap();
        // Opened for reading only: every write fails.
        let mut tail = Tail {
            file: File::open(&path).unwrap(),
            path: path.clone(),
            length: 0,
            head: BEGINNING,
        };
        let slot = Arc::<Slot>::default();
        let line = Record::default().to_json();
        let batch = [Entry { line, waiting: Some(Arc::clone(&slot)) }];
        assert!(tail.append(&batch).is_err());
        tail.file = OpenOptions::new().read(true).append(true).open(&path).unwrap();
        tail.append(&batch).unwrap();
        assert_eq!(super::super::verify(&path, None).unwrap().records, 1);
    }

    #[test]
    fn two_writers_of_one_file_make_one_chain() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let logs = [Audit::open(&path).unwrap(), Audit::open(&path).unwrap()];
        std::thread::scope(|scope| {
            for log in &logs {
                scope.spawn(|| {
                    for number in 0..200 {
                        log.record(&Record { time_s: number, ..Record::default() });
                    }
                    log.write(&Record::default()).wait().unwrap();
                });
            }
        });
        drop(logs);
        assert_eq!(super::super::verify(&path, None).unwrap().records, 402);
    }

    #[test]
    fn a_log_that_is_cut_off_while_it_is_written_takes_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let log = Audit::open(&path).unwrap();
        log.write(&Record::default()).wait().unwrap();
        std::fs::write(&path, "").unwrap();
        assert!(log.write(&Record::default()).wait().is_err());
        assert!(!log.is_open());
    }

    #[test]
    fn of_many_alike_a_part_is_taken_and_of_failures_every_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let log = Audit::open(&path).unwrap().sample(0.1);
        for _ in 0..5_000 {
            log.sampled(&mut Record::default());
            let error = Some(("AccessDeniedException", "no"));
            log.sampled(&mut Record { error, ..Record::default() });
        }
        drop(log);
        let (mut taken, mut failed) = (0, 0);
        super::super::read(&path, |line| match line.record["errorCode"].is_null() {
            true => taken += 1,
            false => failed += 1,
        })
        .unwrap();
        assert_eq!(failed, 5_000);
        // Ten standard deviations.
        assert!((288..=712).contains(&taken), "{taken}");
    }
}
