//! The workers' list of models that have something waiting, taken in turn.
//!
//! However many models there are, the workers are as many as the cores. Each takes one batch of
//! the model that has waited for longest, and puts the model back at the end while more waits
//! there: a model with a full queue delays another one by a batch, never by its queue.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::queue::{Full, Job};
use super::served::Served;

/// Models that wait for a worker.
#[derive(Default)]
pub(super) struct Pool {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Arc<Served>>,
    closed: bool,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job into its model's queue, or says at once why not.
    pub(super) fn push(&self, served: &Arc<Served>, job: Job) -> Result<(), Full> {
        if self.lock().closed {
            return Err(Full::Closed);
        }
        if served.queue.push(job)? {
            self.list(Arc::clone(served));
        }
        Ok(())
    }

    /// Puts a model at the end of the list.
    pub(super) fn list(&self, served: Arc<Served>) {
        self.lock().ready.push_back(served);
        self.filled.notify_one();
    }

    /// Waits for the next model; `None` once the pool is closed and nothing waits.
    pub(super) fn next(&self) -> Option<Arc<Served>> {
        let mut state = self.lock();
        loop {
            if let Some(served) = state.ready.pop_front() {
                return Some(served);
            }
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes nothing more; workers end when nothing waits.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }
}
