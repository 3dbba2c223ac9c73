//! A record on its way to the disk: who may act only once it is there waits here, on a thread or on
//! an event loop.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Error;

/// Whether a record is on the disk, once that is known.
#[derive(Debug, Default)]
pub(super) struct Slot {
    state: Mutex<(Option<bool>, Option<Waker>)>,
    ready: Condvar,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, (Option<bool>, Option<Waker>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, written: bool) {
        let mut state = self.lock();
        state.0 = Some(written);
        let waker = state.1.take();
        drop(state);
        self.ready.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Resolves when a record is on the disk, or cannot be.
#[derive(Debug)]
#[must_use = "nothing may be done before the record is on the disk"]
pub struct Written {
    slot: Arc<Slot>,
    path: PathBuf,
}

impl Written {
    pub(super) fn new(slot: Arc<Slot>, path: &Path) -> Written {
        Written { slot, path: path.to_owned() }
    }

    /// Waits on this thread.
    ///
    /// # Errors
    /// [`Error::Unrecorded`]: what was to be recorded must not be done.
    pub fn wait(self) -> Result<(), Error> {
        let mut state = self.slot.lock();
        loop {
            match state.0 {
                Some(true) => return Ok(()),
                Some(false) => return Err(Error::Unrecorded { path: self.path.clone() }),
                None => {
                    state = self.slot.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl Future for Written {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.slot.lock();
        match state.0 {
            Some(true) => Poll::Ready(Ok(())),
            Some(false) => Poll::Ready(Err(Error::Unrecorded { path: self.path.clone() })),
            None => {
                state.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
