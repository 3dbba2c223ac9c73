//! The shadow variant: gets a copy of a request once its caller has been answered, answers it on a
//! thread of its own, and what it says is compared with what the caller got.
//!
//! It never delays or alters an answer: a copy is a reference to bytes that are there already, and
//! what does not fit into its bounded queue is dropped and counted.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hyper::body::Bytes;

use super::codec::{self, Wire};
use super::compare::compare;
use super::error::Error;
use super::fence::{self, append};
use super::served::Served;
use super::traffic::Source;
use crate::algorithm::Ask;
use crate::data::Answer;
use crate::spec::limit::{BLOCK_ROWS_MAX, SHADOW_BYTES_MAX, SHADOW_REQUESTS_MAX};

/// How often differences are told in the log; between, they are only counted.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A variant nobody is answered by.
pub(super) struct Shadow {
    pub(super) served: RwLock<Arc<Served>>,
    pub(super) source: Mutex<Source>,
    /// Part of the requests it gets, 0 to 1.
    sampling: f64,
    tolerance: f64,
    /// Which set of its sheet its thread writes.
    thread: usize,
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Copied>,
    bytes: usize,
    closed: bool,
    counts: Counts,
}

/// What the shadow's answers came to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Counts {
    /// Copies that were answered and compared.
    pub(super) compared: u64,
    /// Of those, the ones that were not the same.
    pub(super) different: u64,
    /// Copies the shadow could not answer.
    pub(super) failed: u64,
    /// Requests that were not copied because it was behind.
    pub(super) dropped: u64,
    /// The largest distance of two numbers so far.
    pub(super) largest: f64,
}

/// A request and what its caller was answered.
pub(super) struct Copied {
    pub(super) body: Bytes,
    pub(super) wire: Wire,
    pub(super) ask: Ask,
    pub(super) answer: Bytes,
    pub(super) content_type: &'static str,
}

impl Copied {
    fn bytes(&self) -> usize {
        self.body.len() + self.answer.len()
    }
}

impl Shadow {
    pub(super) fn new(
        served: Arc<Served>,
        source: Source,
        (sampling, tolerance): (f64, f64),
        thread: usize,
    ) -> Arc<Shadow> {
        Arc::new(Shadow {
            served: RwLock::new(served),
            source: Mutex::new(source),
            sampling,
            tolerance,
            thread,
            state: Mutex::default(),
            filled: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The model it asks.
    pub(super) fn served(&self) -> Arc<Served> {
        Arc::clone(&self.served.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the request with this ticket is copied.
    pub(super) fn wants(&self, ticket: f64) -> bool {
        ticket < self.sampling
    }

    /// Takes a copy, or counts that there was no room for it.
    pub(super) fn offer(&self, copied: Copied) {
        let mut state = self.lock();
        let bytes = state.bytes + copied.bytes();
        if state.closed || state.waiting.len() >= SHADOW_REQUESTS_MAX || bytes > SHADOW_BYTES_MAX {
            state.counts.dropped += 1;
            return;
        }
        state.bytes = bytes;
        state.waiting.push_back(copied);
        drop(state);
        self.filled.notify_one();
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Starts its thread, which ends when it is closed.
    pub(super) fn start(self: &Arc<Shadow>) -> Result<JoinHandle<()>, Error> {
        let shadow = Arc::clone(self);
        std::thread::Builder::new()
            .name("smrt-shadow".into())
            .spawn(move || shadow.work())
            .map_err(Error::Thread)
    }

    /// Takes nothing more and forgets what waits.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
        drop(state);
        self.filled.notify_all();
    }

    fn next(&self) -> Option<Copied> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(copied) = state.waiting.pop_front() {
                state.bytes -= copied.bytes();
                return Some(copied);
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self) {
        let mut told = None;
        while let Some(copied) = self.next() {
            let served = self.served();
            let stats = served.sheet.of(self.thread);
            stats.invocations.add(1);
            stats.received.add(copied.body.len() as u64);
            let start = Instant::now();
            let answered = answer(&served, self.thread, &copied);
            let Ok((body, rows, model)) = answered else {
                stats.invocations_5xx.add(1);
                self.lock().counts.failed += 1;
                continue;
            };
            stats.rows.add(rows as u64);
            stats.sent.add(body.len() as u64);
            stats.model_took(model);
            stats.overhead_took(start.elapsed().saturating_sub(model));
            let difference = compare(copied.content_type, &copied.answer, &body);
            let counts = {
                let mut state = self.lock();
                let counts = &mut state.counts;
                counts.compared += 1;
                counts.largest = counts.largest.max(difference.largest);
                counts.different += u64::from(difference.counts(self.tolerance));
                *counts
            };
            let due = told.is_none_or(|then: Instant| then.elapsed() > TELL_EVERY);
            if difference.counts(self.tolerance) && due {
                told = Some(Instant::now());
                tracing::info!(
                    variant = served.names.variant.to_str().unwrap_or_default(),
                    largest = difference.largest,
                    other = difference.other,
                    different = counts.different,
                    compared = counts.compared,
                    "shadow answers differently"
                );
            }
        }
    }
}

/// What the shadow's model says, written as the caller's answer was.
fn answer(
    served: &Served,
    thread: usize,
    copied: &Copied,
) -> Result<(Vec<u8>, usize, Duration), codec::Refusal> {
    let Copied { body, wire, ask, .. } = copied;
    let stats = served.sheet.of(thread);
    let (mut values, features) = (Vec::new(), served.features());
    let (_, form) = codec::decode(wire, body, served.signature(), &mut values)?;
    let mut whole: Option<Answer> = None;
    let mut model = Duration::ZERO;
    for values in values.chunks((BLOCK_ROWS_MAX * features).max(1)) {
        let predicted = fence::predict(served.predictor(), values, features, ask)
            .map_err(|why| served.failed(stats, &why))?;
        model += predicted.time;
        match &mut whole {
            None => whole = Some(predicted.answer),
            Some(whole) => drop(append(whole, predicted.answer)),
        }
    }
    let whole = whole.ok_or_else(|| codec::Refusal::from(crate::data::Error::NoRows))?;
    served.sound(stats, &whole, &values)?;
    let mut out = Vec::new();
    codec::encode(&form, ask, served.told(), &whole, &mut out)?;
    Ok((out, whole.rows, model))
}
