//! When requests are due. A thread of its own sleeps until the next one is and wakes the event
//! loop, whose own timer is only exact to a millisecond.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Wakes somebody whenever a request is due; stops when dropped.
pub(super) struct Pacer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pacer {
    /// Wakes `due` at `start`, `start + every`, and so on.
    pub(super) fn start(
        start: Instant,
        every: Duration,
        due: Arc<Notify>,
    ) -> std::io::Result<Pacer> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = Builder::new().name("smrt-pace".into()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let now = Instant::now();
                let next = start + every.mul_f64(arrivals(start, every, now) as f64);
                // Seldom enough for the end of a slow run not to wait for it.
                std::thread::sleep(next.saturating_duration_since(now).min(PATIENCE));
                due.notify_one();
            }
        })?;
        Ok(Pacer { stop, thread: Some(thread) })
    }
}

const PATIENCE: Duration = Duration::from_millis(50);

/// How many requests are due by `now`, the first at `start`.
pub(super) fn arrivals(start: Instant, every: Duration, now: Instant) -> u64 {
    match now.checked_duration_since(start) {
        None => 0,
        Some(since) => (since.as_secs_f64() / every.as_secs_f64()) as u64 + 1,
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_due_at_once_and_the_next_one_interval_later() {
        let start = Instant::now();
        let every = Duration::from_millis(10);
        let at = |ms| arrivals(start, every, start + Duration::from_millis(ms));
        assert_eq!(arrivals(start + every, every, start), 0);
        assert_eq!([at(0), at(9), at(11), at(95)], [1, 1, 2, 10]);
    }
}
