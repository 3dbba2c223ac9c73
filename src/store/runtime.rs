//! The crossing between plain threads and the client libraries that wait for the network.
//!
//! One small tokio runtime for the process, made when a remote place is first touched: a job or an
//! endpoint that stays on local files never pays for it. It only waits and copies bytes; nothing
//! is decoded or computed on it.

use std::future::Future;
use std::sync::{OnceLock, mpsc};
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// Two threads keep TLS off the caller's core without taking cores from training.
const THREADS: usize = 2;

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("smrt-store")
            .enable_all()
            .build()
            .expect("a process that may start threads can start two more")
    })
}

/// Work under way on the runtime. Dropping it ends the work.
pub(super) struct Pending<T> {
    answer: mpsc::Receiver<T>,
    task: JoinHandle<()>,
}

/// Starts `work` and returns at once.
pub(super) fn start<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Pending<T> {
    let (sender, answer) = mpsc::sync_channel(1);
    let task = runtime().spawn(async move {
        // The reader may have been dropped: then nobody wants the answer.
        let _ = sender.send(work.await);
    });
    Pending { answer, task }
}

impl<T> Pending<T> {
    /// Waits for the answer. A std channel, not `block_on`: this also works when the caller is
    /// itself on some async runtime's thread.
    pub(super) fn wait(self) -> T {
        self.answer.recv().expect("the work neither panics nor is ended while it is awaited")
    }

    /// Waits until `deadline` at most, and then ends the work.
    pub(super) fn wait_until(self, deadline: Instant) -> Option<T> {
        self.answer.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
    }

    /// Whether the answer is there, without waiting.
    pub(super) fn is_done(&self) -> bool {
        self.task.is_finished()
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Runs `work` to its end.
pub(super) fn wait<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    start(work).wait()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_works_from_inside_another_runtime() {
        let outer = Builder::new_current_thread().enable_all().build().unwrap();
        let answer = outer.block_on(async { wait(async { 7 }) });
        assert_eq!(answer, 7);
    }

    #[test]
    fn dropped_work_is_ended() {
        struct Flag(mpsc::Sender<()>);
        impl Drop for Flag {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }
        let (ended, seen) = mpsc::channel();
        let flag = Flag(ended);
        let pending = start(async move {
            let _flag = flag;
            std::future::pending::<()>().await;
        });
        drop(pending);
        seen.recv().unwrap();
    }
}
