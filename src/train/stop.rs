//! One token per job that says when the work should end. Asked at every batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// A request to stop that many threads may make and see. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A token that nobody has used yet.
    pub fn new() -> Stop {
        Stop::default()
    }

    /// Asks the work to end at its next batch. Safe to call from a signal's thread.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether anybody asked.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a training ended before its last epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Reason {
    /// Somebody asked (SageMaker's `Stopped`).
    Requested,
    /// `stopping.max_runtime_s` passed (SageMaker's `MaxRuntimeExceeded`).
    MaxRuntime,
}

/// The two reasons together, as the training sees them.
pub(super) struct Watch {
    stop: Stop,
    deadline: Option<Instant>,
}

impl Watch {
    pub(super) fn new(stop: Stop, deadline: Option<Instant>) -> Watch {
        Watch { stop, deadline }
    }

    /// Why the work should end now, if it should.
    pub(super) fn reason(&self) -> Option<Reason> {
        if self.stop.requested() {
            return Some(Reason::Requested);
        }
        self.deadline.is_some_and(|end| Instant::now() >= end).then_some(Reason::MaxRuntime)
    }
}
