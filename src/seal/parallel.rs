//! Work for all cores whose results come back in the order it was given.
//!
//! The owner's thread gives jobs and takes results; rayon's pool does the work in between. A result
//! whose job nobody has begun is made on the owner's own thread, so a busy pool, or a pool whose
//! only thread *is* the owner, can slow the work down but never stop it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// A queue of jobs of one kind.
pub(super) struct Lane<J, R> {
    work: Arc<dyn Fn(J) -> R + Send + Sync>,
    queue: VecDeque<Arc<Slot<J, R>>>,
}

struct Slot<J, R> {
    state: Mutex<State<J, R>>,
    done: Condvar,
}

enum State<J, R> {
    Waiting(J),
    Running,
    Done(R),
    Taken,
}

impl<J: Send + 'static, R: Send + 'static> Lane<J, R> {
    /// A lane that does `work`, which must not panic.
    pub(super) fn new(work: impl Fn(J) -> R + Send + Sync + 'static) -> Lane<J, R> {
        Lane { work: Arc::new(work), queue: VecDeque::new() }
    }

    /// How many jobs are given and not taken back.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Gives a job to the pool.
    pub(super) fn push(&mut self, job: J) {
        let slot = Arc::new(Slot { state: Mutex::new(State::Waiting(job)), done: Condvar::new() });
        self.queue.push_back(Arc::clone(&slot));
        let work = Arc::clone(&self.work);
        rayon::spawn(move || slot.run(&*work));
    }

    /// The result of the oldest job, waited for; nothing when there is none.
    pub(super) fn pop(&mut self) -> Option<R> {
        let slot = self.queue.pop_front()?;
        slot.run(&*self.work);
        Some(slot.wait())
    }
}

impl<J, R> Slot<J, R> {
    /// Does the job if nobody has begun it.
    fn run(&self, work: &dyn Fn(J) -> R) {
        let job = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            match std::mem::replace(&mut *state, State::Running) {
                State::Waiting(job) => job,
                other => {
                    *state = other;
                    return;
                }
            }
        };
        let result = work(job);
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Done(result);
        self.done.notify_one();
    }

    fn wait(&self) -> R {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match std::mem::replace(&mut *state, State::Taken) {
                State::Done(result) => return result,
                other => *state = other,
            }
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_their_jobs() {
        let mut lane = Lane::new(|n: u64| {
            // Later jobs are quicker, so that they overtake.
            (0..(200 - n) * 1000).fold(n, |sum, _| std::hint::black_box(sum))
        });
        (0..200).for_each(|n| lane.push(n));
        let results: Vec<u64> = std::iter::from_fn(|| lane.pop()).collect();
        assert_eq!(results, (0..200).collect::<Vec<u64>>());
    }

    #[test]
    fn a_pool_whose_only_thread_waits_still_finishes() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let sum: u64 = pool.install(|| {
            let mut lane = Lane::new(|n: u64| n * 2);
            (0..50).for_each(|n| lane.push(n));
            std::iter::from_fn(|| lane.pop()).sum()
        });
        assert_eq!(sum, 49 * 50);
    }
}
