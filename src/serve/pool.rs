//! The workers' list of models that have something waiting: whose turn it is.
//!
//! However many models there are, the workers are as many as the cores. Each takes one batch of the
//! model that has had least of the workers' time so far, measured and not counted in turns (start-time
//! fair queueing, Goyal, Vin and Cheng, SIGCOMM 1996): a model with a full queue of dear rows delays
//! another one by a batch, never by its queue, and gets no more of the machine than a cheap one. A
//! model that comes back starts where the others are; what it did not use before is not owed to it.
//!
//! A single row can take long, and a batch under way is not interrupted. So there is one thread more,
//! which works only while every worker is held by other models, and only for models whose rows are
//! cheap: they wait for no stranger's row. It runs beside the workers, on the operating system's
//! time slices.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::queue::{Full, Job, Look};
use super::served::Served;

/// A model whose single row takes no longer than this may be asked on the thread besides the workers.
const LIGHT_MAX: Duration = Duration::from_millis(1);

/// Models that wait for a worker.
pub(super) struct Pool {
    state: Mutex<State>,
    filled: Condvar,
    /// Told of what the thread besides the workers may take.
    lightened: Condvar,
    /// How many models have something waiting or under way.
    sharing: Arc<AtomicUsize>,
}

/// A model's place in the line: its share so far, and who came first.
type Place = (u64, u64);

struct State {
    light: BTreeMap<Place, Arc<Served>>,
    heavy: BTreeMap<Place, Arc<Served>>,
    /// To be looked at when their first request has waited for others.
    later: BinaryHeap<Reverse<Due>>,
    /// What each worker is at, by number; `None` while it looks for work or waits.
    running: Vec<Option<Arc<Served>>>,
    /// The share at which the last batch began: where a model that comes back starts.
    clock: u64,
    next: u64,
    closed: bool,
}

struct Due {
    at: Instant,
    number: u64,
    served: Arc<Served>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.number == other.number
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Who asks for work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// A worker, by its number.
    Worker(usize),
    /// The thread besides them.
    Besides,
}

impl Pool {
    /// For so many workers, telling in `sharing` how many models have something to do.
    pub(super) fn new(workers: usize, sharing: Arc<AtomicUsize>) -> Pool {
        Pool {
            state: Mutex::new(State {
                light: BTreeMap::new(),
                heavy: BTreeMap::new(),
                later: BinaryHeap::new(),
                running: vec![None; workers],
                clock: 0,
                next: 0,
                closed: false,
            }),
            filled: Condvar::new(),
            lightened: Condvar::new(),
            sharing,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job into its model's queue, or says at once why not.
    pub(super) fn push(&self, served: &Arc<Served>, job: Job) -> Result<(), Full> {
        if self.lock().closed {
            return Err(Full::Closed);
        }
        match served.queue.push(job)? {
            Look::Known => {}
            Look::Now => self.list(Arc::clone(served)),
            Look::At(at) => {
                let mut state = self.lock();
                let number = state.number();
                state.later.push(Reverse(Due { at, number, served: Arc::clone(served) }));
                // Whoever waits has to wait no longer than until then.
                self.filled.notify_one();
            }
        }
        Ok(())
    }

    /// Puts a model into the line, at its share of the time so far.
    pub(super) fn list(&self, served: Arc<Served>) {
        let mut state = self.lock();
        state.put(served);
        self.tell(&state);
    }

    /// Wakes who can take the first in line.
    fn tell(&self, state: &State) {
        self.sharing.store(state.sharing(), Ordering::Relaxed);
        if state.first().is_none() {
            return;
        }
        if state.running.iter().any(Option::is_none) {
            self.filled.notify_one();
        } else if state.for_besides().is_some() {
            self.lightened.notify_one();
        }
    }

    /// Waits for the next model; `None` once the pool is closed and nothing waits.
    pub(super) fn next(&self, who: Who) -> Option<Arc<Served>> {
        let mut state = self.lock();
        if let Who::Worker(at) = who {
            state.running[at] = None;
        }
        loop {
            let due = state.take_due(Instant::now());
            let found = match who {
                Who::Worker(_) => state.first(),
                Who::Besides => state.for_besides(),
            };
            if let Some(place) = found {
                let served = state.take(place)?;
                if let Who::Worker(at) = who {
                    state.running[at] = Some(Arc::clone(&served));
                }
                // One more worker is held: what waits may now be for the thread besides them; or
                // several became due at once.
                self.tell(&state);
                return Some(served);
            }
            if state.closed {
                return None;
            }
            state = match (who, due) {
                (Who::Besides, _) => {
                    self.lightened.wait(state).unwrap_or_else(PoisonError::into_inner)
                }
                (Who::Worker(_), None) => {
                    self.sharing.store(state.sharing(), Ordering::Relaxed);
                    self.filled.wait(state).unwrap_or_else(PoisonError::into_inner)
                }
                (Who::Worker(_), Some(time)) => {
                    let waited = self.filled.wait_timeout(state, time);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Charges a model for what a batch is expected to take. Called by whoever took the batch.
    pub(super) fn charge(served: &Served, time: Duration) {
        served.share.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Takes nothing more; workers end when nothing waits.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        // Nobody waits for company any more.
        state.take_due(Instant::now() + Duration::from_secs(3_600));
        drop(state);
        self.filled.notify_all();
        self.lightened.notify_all();
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn put(&mut self, served: Arc<Served>) {
        let share = served.share.fetch_max(self.clock, Ordering::Relaxed).max(self.clock);
        let place = (share, self.number());
        match served.cost.of(1) <= LIGHT_MAX {
            true => self.light.insert(place, served),
            false => self.heavy.insert(place, served),
        };
    }

    fn take(&mut self, place: Place) -> Option<Arc<Served>> {
        self.clock = self.clock.max(place.0);
        self.light.remove(&place).or_else(|| self.heavy.remove(&place))
    }

    /// The place of the model with the smallest share.
    fn first(&self) -> Option<Place> {
        let firsts = [self.light.first_key_value(), self.heavy.first_key_value()];
        firsts.into_iter().flatten().map(|(place, _)| *place).min()
    }

    /// The first light model that no worker is at, while every worker is at something.
    fn for_besides(&self) -> Option<Place> {
        if self.closed || self.running.iter().any(Option::is_none) {
            return None;
        }
        let at_work = |served: &Arc<Served>| {
            self.running.iter().flatten().any(|running| Arc::ptr_eq(running, served))
        };
        self.light.iter().find(|(_, served)| !at_work(served)).map(|(place, _)| *place)
    }

    /// Puts into the line whoever has waited for others long enough; the time until the next one.
    fn take_due(&mut self, now: Instant) -> Option<Duration> {
        while let Some(Reverse(due)) = self.later.peek() {
            if due.at > now {
                return Some(due.at - now);
            }
            let Some(Reverse(due)) = self.later.pop() else { break };
            self.put(due.served);
        }
        None
    }

    /// Models that have something waiting or under way.
    fn sharing(&self) -> usize {
        let waiting = self.light.len() + self.heavy.len();
        let running = self.running.iter().flatten();
        let queued = |served: &Arc<Served>| {
            let mut line = self.light.values().chain(self.heavy.values()).take(64);
            line.any(|other| Arc::ptr_eq(other, served))
        };
        let mut counted: Vec<&Arc<Served>> = Vec::new();
        for served in running {
            if !counted.iter().any(|other| Arc::ptr_eq(other, served)) && !queued(served) {
                counted.push(served);
            }
        }
        waiting + counted.len()
    }
}
