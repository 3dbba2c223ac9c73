//! How long a model takes, measured when it is loaded: decides whether a request is answered on
//! its connection's own thread or handed to a worker, and how many rows a worker takes at once.
//!
//! A hand-over costs 3 to 6 µs of CPU and, on an idle server, 30 to 50 µs of waiting
//! (reference/serving.md 2.7): a model of a few microseconds is not worth it.

use std::time::Duration;

use super::error::Error;
use super::fence::predict;
use crate::algorithm::{Ask, Predictor};
use crate::spec::limit::BLOCK_ROWS_MAX;

/// The longest time one request may keep a connection's thread from the others.
const INLINE_MAX: Duration = Duration::from_micros(200);
/// A model slower than this for one row gains from batching and is always handed over.
const ONE_ROW_INLINE_MAX: Duration = Duration::from_micros(50);
/// The longest a batch may take, so that the next request is not kept waiting for long.
const BATCH_MAX: Duration = Duration::from_millis(5);
/// Time spent on measuring one size.
const MEASURE_MAX: Duration = Duration::from_millis(2);
/// Repetitions of one size; the fastest counts, as everything else is the machine.
const REPEAT: usize = 24;

/// A line through the measured times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Time of a call whatever its rows, seconds.
    pub call_s: f64,
    /// Time of each row, seconds.
    pub row_s: f64,
}

impl Cost {
    /// The time for `rows` rows.
    pub fn of(&self, rows: usize) -> Duration {
        Duration::from_secs_f64(self.call_s + self.row_s * rows as f64)
    }

    /// Whether `rows` rows are answered on the connection's own thread.
    pub(super) fn is_inline(&self, rows: usize) -> bool {
        self.of(1) <= ONE_ROW_INLINE_MAX && self.of(rows) <= INLINE_MAX
    }

    /// Rows a worker takes at once.
    pub(super) fn batch_rows(&self) -> usize {
        let room = (BATCH_MAX.as_secs_f64() - self.call_s).max(0.0);
        let rows = if self.row_s > 0.0 { room / self.row_s } else { f64::INFINITY };
        (rows as usize).clamp(1, BLOCK_ROWS_MAX)
    }
}

/// Measures a model on rows of zeros.
///
/// # Errors
/// When the model cannot answer for them: better now than at the first request.
pub(super) fn measure(predictor: &dyn Predictor, features: usize) -> Result<Cost, Error> {
    let best = |rows: usize| -> Result<f64, Error> {
        let values = vec![0.0; rows * features];
        let mut best = Duration::MAX;
        let mut spent = Duration::ZERO;
        for _ in 0..REPEAT {
            let predicted = predict(predictor, &values, features, &Ask::default())
                .map_err(|why| Error::Model { what: why.reason().to_owned() })?;
            best = best.min(predicted.time);
            spent += predicted.time;
            if spent > MEASURE_MAX {
                break;
            }
        }
        Ok(best.as_secs_f64())
    };
    let one = best(1)?;
    // Not so many that loading a slow model takes long.
    let many = ((0.01 / one.max(1e-9)) as usize).clamp(2, 64);
    let all = best(many)?;
    let row_s = ((all - one) / (many - 1) as f64).max(0.0);
    Ok(Cost { call_s: (one - row_s).max(0.0), row_s })
}

/// Asks once for what every caller will be answered besides.
///
/// # Errors
/// When the model does not have it: better now than at the first request.
pub(super) fn check(predictor: &dyn Predictor, features: usize, ask: &Ask) -> Result<(), Error> {
    if ask.is_plain() {
        return Ok(());
    }
    match predict(predictor, &vec![0.0; features], features, ask) {
        Ok(_) => Ok(()),
        Err(why) => Err(Error::Model { what: why.reason().to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_models_stay_on_the_connections_thread() {
        let small = Cost { call_s: 1e-6, row_s: 1e-6 };
        assert!(small.is_inline(1) && small.is_inline(100));
        assert!(!small.is_inline(1_000));
        assert_eq!(small.batch_rows(), BLOCK_ROWS_MAX);
        let large = Cost { call_s: 1e-3, row_s: 1e-4 };
        assert!(!large.is_inline(1));
        assert_eq!(large.batch_rows(), 40);
        let huge = Cost { call_s: 1.0, row_s: 1.0 };
        assert_eq!(huge.batch_rows(), 1);
    }
}
