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

    /// A time, in buckets as all times are.
    pub(super) fn see_time(&self, time: Duration) {
        self.see(time.as_nanos() as u64, TIME_UNIT_BITS);
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

/// Times told apart to an eighth: fine enough for the quantiles that a rollout is judged by.
#[derive(Debug)]
pub(super) struct Fine([Count; Fine::BUCKETS]);

impl Default for Fine {
    fn default() -> Fine {
        Fine(std::array::from_fn(|_| Count::default()))
    }
}

impl Fine {
    /// Up to an hour.
    const BUCKETS: usize = 256;
    /// 1024 ns, below which nothing is told apart.
    const UNIT_BITS: u32 = 10;

    fn see(&self, time: Duration) {
        let value = time.as_nanos() as u64 >> Fine::UNIT_BITS;
        let bucket = match value {
            0..8 => value,
            _ => {
                let octave = u64::from(value.ilog2());
                (octave - 2) * 8 + ((value >> (octave - 3)) & 7)
            }
        };
        self.0[(bucket as usize).min(Fine::BUCKETS - 1)].add(1);
    }

    /// The time below which a bucket's values lie.
    fn bound(bucket: usize) -> Duration {
        let (octave, eighth) = (bucket / 8, bucket as u64 % 8);
        let units = if octave == 0 { eighth + 1 } else { (9 + eighth) << (octave - 1) };
        Duration::from_nanos(units << Fine::UNIT_BITS)
    }

    /// The quantile of what was seen between two moments, at most an eighth too high.
    pub(super) fn quantile_since(before: &Fine, now: &Fine, quantile: f64) -> Option<Duration> {
        let counts = || now.0.iter().zip(&before.0).map(|(now, before)| now.get() - before.get());
        let total: u64 = counts().sum();
        let rank = ((total as f64 * quantile).ceil() as u64).max(1);
        let mut sum = 0;
        let reached = counts().position(|count| {
            sum += count;
            sum >= rank
        });
        reached.filter(|_| total > 0).map(Fine::bound)
    }

    fn take_in(&self, other: &Fine) {
        self.0.iter().zip(&other.0).for_each(|(mine, theirs)| mine.add(theirs.get()));
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
    /// Of variants: from body to answer, whatever the status.
    pub(super) took: Option<Box<Fine>>,
}

impl Stats {
    /// With what a rollout looks at.
    pub(super) fn with_quantiles() -> Stats {
        Stats { took: Some(Box::default()), ..Stats::default() }
    }

    pub(super) fn all_took(&self, time: Duration) {
        if let Some(fine) = &self.took {
            fine.see(time);
        }
    }

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
        if let (Some(mine), Some(theirs)) = (&self.took, &other.took) {
            mine.take_in(theirs);
        }
    }

    pub(super) fn model_took(&self, time: Duration) {
        self.model.see_time(time);
    }

    pub(super) fn overhead_took(&self, time: Duration) {
        self.overhead.see_time(time);
    }

    pub(super) fn batch_of(&self, rows: usize) {
        self.batch.see(rows as u64, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_at_most_an_eighth_too_high() {
        for micros in [1, 3, 9, 100, 1_234, 50_000, 2_000_000_000] {
            let (before, now) = (Fine::default(), Fine::default());
            (0..100).for_each(|_| now.see(Duration::from_micros(micros)));
            let found = Fine::quantile_since(&before, &now, 0.99).unwrap().as_nanos() as f64;
            let true_one = micros as f64 * 1e3;
            assert!(found > true_one && found <= 1.125 * true_one + 1_024.0, "{micros}: {found}");
        }
        assert_eq!(Fine::quantile_since(&Fine::default(), &Fine::default(), 0.99), None);
    }

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
