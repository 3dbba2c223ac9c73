//! How many rows of a model go through it at once, and how long what waits will take.
//!
//! The start is what was measured at load. From then on two things follow what is seen: how much
//! slower the machine is than it was then, and, where the endpoint has a latency objective, the size
//! of a batch (additive increase, multiplicative decrease, as in Clipper, NSDI 2017).
//!
//! A batch never grows beyond what it gains by: once the cost of a call is a few hundredths of that
//! of its rows, more rows only keep others waiting. And it never shrinks to where rows cost a quarter
//! more than they have to: under overload that would lose the answers it was meant to speed up.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::calibrate::Cost;
use crate::spec::limit::BLOCK_ROWS_MAX;

/// The longest a batch may take, so that the next request is not kept waiting for long.
const BATCH_MAX: Duration = Duration::from_millis(5);
/// A batch shorter than this is worth less than handing it around.
const BATCH_MIN: Duration = Duration::from_micros(500);
/// The cost of a call, as a part of that of its rows, from which on more rows gain nothing.
const GAIN_MIN: f64 = 0.03;
/// How much more a row may cost in a batch that was made smaller.
const LOSS_MAX: f64 = 0.25;
/// Batches between two changes of the size.
const WINDOW: u32 = 100;
/// Part of the requests that may miss the objective: it is a p99.
const MISSES_MAX: f64 = 0.01;
/// Part of a window's batches that have to be full for its size to be what mattered.
const FULL_MIN: f64 = 0.2;
/// What the size shrinks to on a miss.
const SHRINK: f64 = 0.9;
/// How fast the machine's slowness follows what is seen.
const FOLLOW: f32 = 0.1;
/// How much slower or faster than expected one batch may seem.
const JUMP_MAX: f32 = 4.0;
/// It is never taken for slower than this.
const SLOWNESS_MAX: f32 = 1_000.0;

/// The size of a model's batches.
#[derive(Debug)]
pub(super) struct Pace {
    cost: Cost,
    objective: Option<Duration>,
    floor: usize,
    ceiling: usize,
    rows: AtomicUsize,
    /// Time seen over time calibrated, as the bits of an `f32`.
    slowness: AtomicU32,
    window: Mutex<Window>,
}

/// What was seen since the size last changed.
#[derive(Debug, Default)]
struct Window {
    batches: u32,
    full: u32,
    answered: u32,
    missed: u32,
}

impl Pace {
    pub(super) fn new(cost: Cost, objective: Option<Duration>) -> Pace {
        let ceiling = ceiling(&cost, objective);
        Pace {
            floor: floor(&cost, ceiling),
            ceiling,
            rows: AtomicUsize::new(ceiling),
            slowness: AtomicU32::new(1.0_f32.to_bits()),
            cost,
            objective,
            window: Mutex::default(),
        }
    }

    /// What the endpoint promised.
    pub(super) fn objective(&self) -> Option<Duration> {
        self.objective
    }

    /// Rows a worker takes at once.
    pub(super) fn rows(&self) -> usize {
        self.rows.load(Ordering::Relaxed)
    }

    /// The time of so many rows in batches of today's size, as fast as the machine now is.
    pub(super) fn time(&self, rows: usize) -> Duration {
        let batches = rows.div_ceil(self.rows()) as f64;
        let calibrated = rows as f64 * self.cost.row_s + batches * self.cost.call_s;
        Duration::from_secs_f64(calibrated * f64::from(self.slowness()))
    }

    /// The time in which all but a few batches of so many rows, or of a part of them, are done.
    pub(super) fn time_at_most(&self, rows: usize) -> Duration {
        self.time(rows.min(self.rows())).mul_f64(self.cost.tail)
    }

    /// The time of so many rows as it was at load: what is expected where nothing newer can be seen.
    pub(super) fn time_at_load(&self, rows: usize) -> Duration {
        self.cost.of(rows)
    }

    fn slowness(&self) -> f32 {
        f32::from_bits(self.slowness.load(Ordering::Relaxed))
    }

    /// A batch of so many rows took so long.
    pub(super) fn saw_batch(&self, rows: usize, time: Duration) {
        let ratio = time.as_secs_f64() / self.cost.of(rows).as_secs_f64().max(1e-9);
        let before = self.slowness();
        // One batch that stood still says little of the next.
        let ratio = (ratio as f32).clamp(before / JUMP_MAX, before * JUMP_MAX);
        // Two workers at once may lose one of their two looks; the next batch makes up for it.
        let next = (before + (ratio - before) * FOLLOW).clamp(1.0 / SLOWNESS_MAX, SLOWNESS_MAX);
        self.slowness.store(next.to_bits(), Ordering::Relaxed);
    }

    /// The requests of a batch of so many rows were answered after these times in the server.
    pub(super) fn saw_requests(&self, rows: usize, times: impl Iterator<Item = Duration>) {
        let Some(objective) = self.objective else { return };
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.batches += 1;
        let size = self.rows();
        // One more request of the same size would not have gone in.
        window.full += u32::from(rows + rows.min(size) / 8 >= size);
        for time in times {
            window.answered += 1;
            window.missed += u32::from(time > objective);
        }
        if window.batches < WINDOW {
            return;
        }
        let Window { batches, full, answered, missed } = std::mem::take(&mut *window);
        if f64::from(full) < FULL_MIN * f64::from(batches) {
            // The size kept nothing in or out: a step now would be a step at random.
            return;
        }
        let late = f64::from(missed) > MISSES_MAX * f64::from(answered);
        let next = match late {
            true => (size as f64 * SHRINK) as usize,
            false => size + (self.ceiling / 64).max(1),
        };
        self.rows.store(next.clamp(self.floor, self.ceiling), Ordering::Relaxed);
    }
}

/// The largest batch: within the objective's half or [`BATCH_MAX`], and no larger than it gains by.
fn ceiling(cost: &Cost, objective: Option<Duration>) -> usize {
    let within = |time: Duration| cost.rows_within(time).min(BLOCK_ROWS_MAX);
    let longest = match objective {
        Some(objective) => within(objective.div_f64(2.0 * cost.tail)),
        // Where a call alone takes long, rows beside it are nearly free.
        None => within(BATCH_MAX.max(Duration::from_secs_f64(2.0 * cost.call_s))),
    };
    let gains = match cost.row_s > 0.0 {
        true => (cost.call_s / (GAIN_MIN * cost.row_s)).ceil() as usize,
        false => BLOCK_ROWS_MAX,
    };
    gains.max(within(BATCH_MIN)).min(longest).max(1)
}

/// The smallest batch in which a row costs no more than [`LOSS_MAX`] more than in the largest.
fn floor(cost: &Cost, ceiling: usize) -> usize {
    let a_row = |rows: usize| cost.row_s + cost.call_s / rows as f64;
    let dearest = a_row(ceiling) * (1.0 + LOSS_MAX);
    let rows = cost.call_s / (dearest - cost.row_s).max(f64::MIN_POSITIVE);
    (rows.ceil() as usize).clamp(1, ceiling)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(call_us: f64, row_us: f64) -> Cost {
        Cost { call_s: call_us / 1e6, row_s: row_us / 1e6, tail: 1.0 }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_batch_is_as_large_as_it_gains_by_and_no_longer_than_it_may_take() {
        // 50 µs a call and 10 a row: at 167 rows the call is a thirtieth.
        assert_eq!(Pace::new(cost(50.0, 10.0), None).rows(), 167);
        // A call that costs nothing: half a millisecond is enough.
        assert_eq!(Pace::new(cost(0.0, 10.0), None).rows(), 50);
        // A dear call: 5 ms and no more.
        assert_eq!(Pace::new(cost(1_000.0, 100.0), None).rows(), 40);
        assert_eq!(Pace::new(cost(1e6, 1e6), None).rows(), 1);
        // One whose call alone takes longer than that: as long again for the rows.
        assert_eq!(Pace::new(cost(20_000.0, 1_000.0), None).rows(), 20);
        assert_eq!(Pace::new(cost(100.0, 0.0), None).rows(), BLOCK_ROWS_MAX);
    }

    #[test]
    fn half_of_the_objective_is_the_longest_batch() {
        let steady = cost(1_000.0, 100.0);
        assert_eq!(Pace::new(steady, Some(ms(4))).rows(), 10);
        let shaky = Cost { tail: 1.5, ..steady };
        assert_eq!(Pace::new(shaky, Some(ms(4))).rows(), 3);
        // An objective that cannot be met is no reason to answer nobody.
        assert_eq!(Pace::new(steady, Some(ms(1))).rows(), 1);
    }

    fn windows(pace: &Pace, count: usize, rows: impl Fn() -> usize, time: Duration) {
        for _ in 0..count * WINDOW as usize {
            pace.saw_requests(rows(), std::iter::once(time));
        }
    }

    #[test]
    fn missed_objectives_shrink_full_batches_to_where_rows_become_dear_and_met_ones_grow_them() {
        let pace = Pace::new(cost(100.0, 100.0), Some(ms(20)));
        let largest = pace.rows();
        windows(&pace, 1, || pace.rows(), ms(30));
        assert_eq!(pace.rows(), (largest as f64 * 0.9) as usize);
        windows(&pace, 100, || pace.rows(), ms(30));
        let smallest = pace.rows();
        let a_row = |rows: usize| 100.0 + 100.0 / rows as f64;
        assert!(a_row(smallest) <= 1.26 * a_row(largest), "{smallest} of {largest}");
        assert!(a_row(smallest - 1) > 1.25 * a_row(largest), "{smallest} of {largest}");
        windows(&pace, 1, || pace.rows(), ms(10));
        assert_eq!(pace.rows(), smallest + 1);
        windows(&pace, 200, || pace.rows(), ms(10));
        assert_eq!(pace.rows(), largest);
    }

    #[test]
    fn batches_that_were_not_full_change_nothing() {
        let pace = Pace::new(cost(100.0, 100.0), Some(ms(20)));
        let largest = pace.rows();
        windows(&pace, 10, || 1, ms(30));
        assert_eq!(pace.rows(), largest);
    }

    #[test]
    fn a_slower_machine_makes_the_wait_longer() {
        let pace = Pace::new(cost(0.0, 100.0), None);
        assert!((pace.time(10).as_secs_f64() - 1e-3).abs() < 1e-6);
        for _ in 0..200 {
            pace.saw_batch(10, ms(3));
        }
        let time = pace.time(10).as_secs_f64();
        assert!((time - 3e-3).abs() < 1e-6, "{time}");
        let before = pace.time(10);
        pace.saw_batch(10, Duration::from_secs(60));
        assert!(pace.time(10) <= before.mul_f64(1.31), "one outlier is not the machine");
    }
}
