//! Where log lines go: straight to standard error, or, for the lines that come by the ten
//! thousand, through a buffer per thread that one background thread writes out.
//!
//! A reader that does not read never holds up a request: past
//! [`LOG_BUFFER_BYTES_MAX`](crate::spec::limit::LOG_BUFFER_BYTES_MAX) lines are dropped, and the
//! next line that fits says how many.

use std::cell::RefCell;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use crate::spec::limit::LOG_BUFFER_BYTES_MAX;

/// How long a line may lie in a buffer before it is written.
const WRITE_EVERY: Duration = Duration::from_millis(50);

/// Bytes of one thread's lines, and how many lines did not fit.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    dropped: u64,
}

type Shared = Arc<Mutex<Buffer>>;

/// All buffers, and the thread that empties them.
pub(super) struct Sink {
    buffers: Mutex<Vec<Shared>>,
    /// Whether a line was added since the writer last looked.
    dirty: AtomicBool,
    writer: Mutex<Option<Thread>>,
    out: Mutex<Box<dyn Write + Send>>,
}

thread_local! {
    /// This thread's buffer. A process has one sink, so one is enough.
    static MINE: RefCell<Option<Shared>> = const { RefCell::new(None) };
}

fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while holding one of these locks leaves whole lines behind, never half a structure.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sink {
    /// A sink that writes to `out`, with its background thread running.
    pub(super) fn new(out: Box<dyn Write + Send>) -> Arc<Sink> {
        let sink = Arc::new(Sink {
            buffers: Mutex::default(),
            dirty: AtomicBool::new(false),
            writer: Mutex::default(),
            out: Mutex::new(out),
        });
        let theirs = Arc::downgrade(&sink);
        // Without this thread lines are still written, by `flush` and by `direct`.
        let spawned = std::thread::Builder::new().name("smrt-log".into()).spawn(move || {
            while let Some(sink) = theirs.upgrade() {
                let asleep = !sink.dirty.swap(false, Ordering::AcqRel);
                if !asleep {
                    sink.flush();
                }
                drop(sink);
                match asleep {
                    true => std::thread::park(),
                    false => std::thread::sleep(WRITE_EVERY),
                }
            }
        });
        if let Ok(handle) = spawned {
            *locked(&sink.writer) = Some(handle.thread().clone());
        }
        sink
    }

    /// Writes a line now, after all that waited.
    pub(super) fn direct(&self, line: &[u8]) {
        let mut out = locked(&self.out);
        self.empty_into(&mut **out);
        // A closed standard error is no reason to fail.
        let _ = out.write_all(line).and_then(|()| out.flush());
    }

    /// Adds a line to this thread's buffer.
    pub(super) fn buffered(&self, line: &[u8]) {
        MINE.with_borrow_mut(|mine| {
            let buffer = mine.get_or_insert_with(|| {
                let buffer = Shared::default();
                locked(&self.buffers).push(Arc::clone(&buffer));
                buffer
            });
            let mut buffer = locked(buffer);
            if buffer.bytes.len() + line.len() > LOG_BUFFER_BYTES_MAX {
                buffer.dropped += 1;
            } else {
                buffer.bytes.extend_from_slice(line);
            }
        });
        if !self.dirty.load(Ordering::Relaxed) && !self.dirty.swap(true, Ordering::AcqRel) {
            if let Some(writer) = &*locked(&self.writer) {
                writer.unpark();
            }
        }
    }

    /// Writes everything that waits.
    pub(super) fn flush(&self) {
        self.empty_into(&mut **locked(&self.out));
    }

    /// Empties every buffer into `out`. Only `out` is held while writing, so that a reader that
    /// stands still stops nobody but the writer.
    fn empty_into(&self, out: &mut (dyn Write + Send)) {
        let mut spare = Vec::new();
        let buffers: Vec<Shared> = locked(&self.buffers).clone();
        for buffer in &buffers {
            let dropped = {
                let mut buffer = locked(buffer);
                std::mem::swap(&mut buffer.bytes, &mut spare);
                std::mem::take(&mut buffer.dropped)
            };
            let _ = out.write_all(&spare);
            if dropped > 0 {
                let _ = writeln!(out, "{dropped} log lines were dropped: nobody reads them");
            }
            spare.clear();
        }
        drop(buffers);
        // A buffer that only this list holds belonged to a thread that has ended.
        locked(&self.buffers)
            .retain(|one| Arc::strong_count(one) > 1 || !locked(one).bytes.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            locked(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_of_many_threads_come_out_whole_and_all() {
        let kept = Kept::default();
        let sink = Sink::new(Box::new(kept.clone()));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let sink = &sink;
                scope.spawn(move || {
                    for line in 0..1_000 {
                        sink.buffered(format!("thread {thread} line {line}\n").as_bytes());
                    }
                });
            }
        });
        sink.direct(b"the end\n");
        let text = String::from_utf8(locked(&kept.0).clone()).unwrap();
        assert_eq!(text.lines().count(), 4_001);
        assert!(text.ends_with("the end\n"));
        for thread in 0..4 {
            assert!(text.contains(&format!("thread {thread} line 999\n")));
        }
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_not_memory() {
        let sink = Sink {
            buffers: Mutex::default(),
            dirty: AtomicBool::new(true),
            writer: Mutex::default(),
            out: Mutex::new(Box::new(Kept::default())),
        };
        let line = vec![b'x'; 1 << 10];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..4_096 {
                    sink.buffered(&line);
                }
                let buffers = locked(&sink.buffers);
                let buffer = locked(&buffers[0]);
                assert!(buffer.bytes.len() <= LOG_BUFFER_BYTES_MAX);
                assert_eq!(buffer.dropped, 4_096 - 1_024);
            });
        });
    }
}
