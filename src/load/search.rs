//! The highest rate at which an endpoint keeps its promise.

use std::time::Duration;

use super::error::Error;
use super::run::{Load, Measured, Pace, run, try_once};

/// What to look for.
#[derive(Debug, Clone, Copy)]
pub struct Search {
    /// The promise: 99 of 100 requests are answered within this time.
    pub p99: Duration,
    /// How long each rate is tried.
    pub step: Duration,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Requests a second in a closed loop: more than this is not to be had.
    pub capacity: f64,
    /// Every rate that was tried, with what came of it, in the order it was tried.
    pub tried: Vec<(f64, Measured)>,
    /// Which of them is the answer.
    pub best: usize,
}

impl Found {
    /// The highest rate that kept the promise, and its figures.
    pub fn best(&self) -> (f64, &Measured) {
        let (rate, measured) = &self.tried[self.best];
        (*rate, measured)
    }
}

/// Failures among a thousand requests that still count as kept.
const FAILED_PER_THOUSAND: u64 = 1;
/// Two rates closer than this are one.
const PRECISION: f64 = 1.04;
/// The first guess, and how far down it goes before giving up.
const FIRST_SHARE: f64 = 0.7;
const RATE_MIN: f64 = 1.0;

impl Search {
    /// Whether a measurement keeps the promise.
    pub fn is_kept(&self, measured: &Measured) -> bool {
        measured.due > 0
            && measured.failed() * 1000 <= measured.due * FAILED_PER_THOUSAND
            && measured.latency.quantile(0.99) <= self.p99
    }
}

/// Finds the capacity in a closed loop, then halves the interval between the highest rate that
/// kept the promise and the lowest that did not. `told` hears of every rate as it is done.
///
/// # Errors
/// As [`run`], and [`Error::NeverInTime`].
pub fn search(
    load: &Load,
    search: &Search,
    told: &mut dyn FnMut(f64, &Measured, bool),
) -> Result<Found, Error> {
    try_once(load)?;
    let warmup = search.step / 5;
    let closed = run(load, Pace::Closed, warmup, search.step)?;
    let capacity = closed.goodput();
    if closed.succeeded() == 0 {
        return Err(never(load, search));
    }
    let mut tried: Vec<(f64, Measured)> = Vec::new();
    let mut best: Option<usize> = None;
    // A closed loop pays for its own waiting: a little more may be possible than it found.
    let (mut kept, mut broken) = (0.0_f64, capacity * 1.25);
    let mut rate = capacity * FIRST_SHARE;
    while rate >= RATE_MIN && (kept == 0.0 || broken / kept > PRECISION) {
        let measured = run(load, Pace::Rate(rate), warmup, search.step)?;
        let is_kept = search.is_kept(&measured);
        told(rate, &measured, is_kept);
        tried.push((rate, measured));
        if is_kept {
            kept = rate;
            best = Some(tried.len() - 1);
        } else {
            broken = rate;
        }
        rate = if kept == 0.0 { broken / 2.0 } else { (kept * broken).sqrt() };
    }
    match best {
        Some(best) => Ok(Found { capacity, tried, best }),
        None => Err(never(load, search)),
    }
}

fn never(load: &Load, search: &Search) -> Error {
    Error::NeverInTime {
        target: load.target.url.clone(),
        target_ms: search.p99.as_secs_f64() * 1e3,
    }
}
