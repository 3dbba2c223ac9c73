//! Stopping: one token for the whole server, from "still open" to "now".

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::watch;

/// How far the server is on its way out. Only ever grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It takes requests.
    Open,
    /// It takes requests, and tells health checks to look elsewhere.
    Leaving,
    /// It finishes what is under way and refuses the rest.
    Closing,
    /// It closes without waiting.
    Now,
}

/// Stops a server, from any thread. Clones are the same token.
#[derive(Debug, Clone)]
pub struct Stop {
    stage: Arc<watch::Sender<Stage>>,
    /// The same, for every request to read without a lock.
    glance: Arc<AtomicU8>,
}

impl Default for Stop {
    fn default() -> Stop {
        Stop {
            stage: Arc::new(watch::Sender::new(Stage::Open)),
            glance: Arc::new(AtomicU8::new(Stage::Open as u8)),
        }
    }
}

impl Stop {
    /// Begins to stop: health checks fail, then connections are refused, then what is under way
    /// is finished.
    pub fn stop(&self) {
        self.to(Stage::Leaving);
    }

    /// Closes without waiting for requests under way.
    pub fn stop_now(&self) {
        self.to(Stage::Now);
    }

    /// How far it is.
    pub fn stage(&self) -> Stage {
        match self.glance.load(Ordering::Relaxed) {
            0 => Stage::Open,
            1 => Stage::Leaving,
            2 => Stage::Closing,
            _ => Stage::Now,
        }
    }

    pub(super) fn to(&self, stage: Stage) {
        self.stage.send_if_modified(|now| {
            let later = stage > *now;
            self.glance.fetch_max(stage as u8, Ordering::Relaxed);
            *now = stage.max(*now);
            later
        });
    }

    /// Waits until it is at least at `stage`.
    pub(super) async fn reached(&self, stage: Stage) {
        let mut receiver = self.stage.subscribe();
        // The sender is ours: it cannot be gone.
        let _ = receiver.wait_for(|now| *now >= stage).await;
    }
}

/// Stops at SIGTERM or SIGINT; a second signal does not wait.
pub(super) async fn at_signals(stop: Stop) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (terminate, interrupt) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
            return tracing::warn!("signals cannot be caught: the server stops without draining");
        };
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first {
                tracing::info!("stopping: finishing the requests under way");
                stop.stop();
            } else {
                stop.stop_now();
            }
        }
    }
    #[cfg(not(unix))]
    {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.stop();
        }
    }
}
