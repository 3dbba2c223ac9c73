//! A few threads for what takes long and concerns no single request: loading models, asking the
//! store. Nothing of it ever runs on a connection's thread or delays a prediction's worker.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::error::Error;
use crate::spec::limit::LOADS_WAITING_MAX;

type Task = Box<dyn FnOnce() + Send>;

/// Tasks that wait, first come first served.
#[derive(Default)]
pub(super) struct Background {
    state: Mutex<State>,
    filled: Condvar,
    closing: Condvar,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    closed: bool,
}

impl Background {
    /// Starts the threads; they end when it is closed, without what still waits.
    pub(super) fn start(
        self: &Arc<Background>,
        threads: usize,
    ) -> Result<Vec<JoinHandle<()>>, Error> {
        (0..threads)
            .map(|at| {
                let background = Arc::clone(self);
                std::thread::Builder::new()
                    .name(format!("smrt-loader-{at}"))
                    .spawn(move || background.work())
                    .map_err(Error::Thread)
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a task; false when too many wait already or nobody works any more.
    pub(super) fn push(&self, task: impl FnOnce() + Send + 'static) -> bool {
        let mut state = self.lock();
        if state.closed || state.tasks.len() >= LOADS_WAITING_MAX {
            return false;
        }
        state.tasks.push_back(Box::new(task));
        drop(state);
        self.filled.notify_one();
        true
    }

    /// Runs `task` and gives what it gave; `None` when it was not taken, or panicked.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let taken = self.push(move || drop(reply.send(task())));
        if taken { answer.await.ok() } else { None }
    }

    fn work(&self) {
        while let Some(task) = self.next() {
            // The panic hook has logged where; whoever waits sees its sender gone.
            let _ = catch_unwind(AssertUnwindSafe(task));
        }
    }

    fn next(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(task) = state.tasks.pop_front() {
                return Some(task);
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes and begins nothing more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.tasks.clear();
        drop(state);
        self.filled.notify_all();
        self.closing.notify_all();
    }

    /// Waits for a while; false once it is closed.
    pub(super) fn pause(&self, time: Duration) -> bool {
        let state = self.lock();
        let waited = self.closing.wait_timeout_while(state, time, |state| !state.closed);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !state.closed
    }
}
