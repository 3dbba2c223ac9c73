//! Counters of one thread for one model or variant.
//!
//! Each thread writes only its own, so a count is a plain load and store; whoever asks adds them
//! up. [`super::book`] keeps them, [`super::page`] shows them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only one thread adds to.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    pub(super) fn one_less(&self) {
        self.add(u64::MAX);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Buckets are powers of two: finding one is counting zeros.
pub(super) const BUCKETS: usize = 32;

/// How often a value of each magnitude was seen.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    pub(super) counts: [Count; BUCKETS],
    pub(super) sum: Count,
}

impl Histogram {
    /// Value `v` falls into the first bucket `b` with `v <= unit << b`.
    fn see(&self, value: u64, unit_bits: u32) {
        let bucket = (64 - value.saturating_sub(1).leading_zeros()).saturating_sub(unit_bits);
        self.counts[(bucket as usize).min(BUCKETS - 1)].add(1);
        self.sum.add(value);
    }

    fn take_in(&self, other: &Histogram) {
        self.counts.iter().zip(&other.counts).for_each(|(mine, theirs)| mine.add(theirs.get()));
        self.sum.add(other.sum.get());
    }
}

/// 256 ns: the smallest bucket of a time.
pub(super) const TIME_UNIT_BITS: u32 = 8;

/// What one thread answers with, whatever was asked.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) in_flight: Count,
    /// By status code less 100.
    pub(super) statuses: [Count; 500],
}

impl Default for Answers {
    fn default() -> Answers {
        Answers { in_flight: Count::default(), statuses: std::array::from_fn(|_| Count::default()) }
    }
}

impl Answers {
    pub(super) fn answered(&self, status: u16) {
        if let Some(count) = self.statuses.get(usize::from(status).wrapping_sub(100)) {
            count.add(1);
        }
    }
}

/// What one thread counts of one model or variant; never on a cache line with another thread's.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Stats {
    pub(super) invocations: Count,
    pub(super) invocations_4xx: Count,
    pub(super) invocations_5xx: Count,
    pub(super) rows: Count,
    pub(super) received: Count,
    pub(super) sent: Count,
    pub(super) panics: Count,
    pub(super) abandoned: Count,
    pub(super) model: Histogram,
    pub(super) overhead: Histogram,
    pub(super) batch: Histogram,
}

impl Stats {
    /// Adds what another counted.
    pub(super) fn take_in(&self, other: &Stats) {
        for (mine, theirs) in [
            (&self.invocations, &other.invocations),
            (&self.invocations_4xx, &other.invocations_4xx),
            (&self.invocations_5xx, &other.invocations_5xx),
            (&self.rows, &other.rows),
            (&self.received, &other.received),
            (&self.sent, &other.sent),
            (&self.panics, &other.panics),
            (&self.abandoned, &other.abandoned),
        ] {
            mine.add(theirs.get());
        }
        self.model.take_in(&other.model);
        self.overhead.take_in(&other.overhead);
        self.batch.take_in(&other.batch);
    }

    pub(super) fn model_took(&self, time: Duration) {
        self.model.see(time.as_nanos() as u64, TIME_UNIT_BITS);
    }

    pub(super) fn overhead_took(&self, time: Duration) {
        self.overhead.see(time.as_nanos() as u64, TIME_UNIT_BITS);
    }

    pub(super) fn batch_of(&self, rows: usize) {
        self.batch.see(rows as u64, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_into_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for value in [0, 1, 2, 3, 4, 5, 1 << 40] {
            histogram.see(value, 0);
        }
        let counts: Vec<u64> = histogram.counts.iter().map(Count::get).collect();
        assert_eq!(counts[..4], [2, 1, 2, 1]);
        assert_eq!(counts[BUCKETS - 1], 1);
    }
}
