//! How long a model takes, measured when it is loaded: decides whether a request is answered on
//! its connection's own thread or handed to a worker, and where [`super::pace`] starts.
//!
//! A hand-over costs 3 to 6 µs of CPU and, on an idle server, 30 to 50 µs of waiting
//! (reference/serving.md 2.7): a model of a few microseconds is not worth it.

use std::time::Duration;

use super::error::Error;
use super::fence::predict;
use crate::algorithm::{Ask, Predictor};
use crate::data::Answer;

/// The longest time one request may keep a connection's thread from the others.
const INLINE_MAX: Duration = Duration::from_micros(200);
/// A model slower than this for one row gains from batching and is always handed over.
const ONE_ROW_INLINE_MAX: Duration = Duration::from_micros(50);
/// Time spent on measuring one size.
const MEASURE_MAX: Duration = Duration::from_millis(2);
/// Repetitions of one size; the fastest counts, as everything else is the machine.
const REPEAT: usize = 24;
/// The slowest repetition over the fastest is how unsteady a model is, within this: what is beyond
/// was another process.
const TAIL_MAX: f64 = 2.0;

/// A line through the measured times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Time of a call whatever its rows, seconds.
    pub call_s: f64,
    /// Time of each row, seconds.
    pub row_s: f64,
    /// How much longer a call takes now and then, as a factor of 1 or more.
    pub tail: f64,
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

    /// Rows of a call that takes no longer than `time`; 0 when not even one does.
    pub(super) fn rows_within(&self, time: Duration) -> usize {
        let room = time.as_secs_f64() - self.call_s;
        if room <= 0.0 {
            return 0;
        }
        let rows = if self.row_s > 0.0 { room / self.row_s } else { f64::INFINITY };
        // Rounding must not cost a row.
        (rows + 1e-6) as usize
    }
}

/// Measures a model on rows of zeros.
///
/// # Errors
/// When the model cannot answer for them: better now than at the first request.
pub(super) fn measure(predictor: &dyn Predictor, features: usize) -> Result<Cost, Error> {
    let best = |rows: usize| -> Result<(f64, f64), Error> {
        let values = vec![0.0; rows * features];
        let (mut best, mut worst) = (Duration::MAX, Duration::ZERO);
        let mut spent = Duration::ZERO;
        for at in 0..REPEAT {
            let predicted = predict(predictor, &values, features, &Ask::default())
                .map_err(|why| Error::Model { what: why.reason().to_owned() })?;
            best = best.min(predicted.time);
            // The first call warms what the others use.
            worst = if at == 0 { worst } else { worst.max(predicted.time) };
            spent += predicted.time;
            if spent > MEASURE_MAX {
                break;
            }
        }
        let best = best.as_secs_f64();
        Ok((best, worst.as_secs_f64() / best.max(1e-9)))
    };
    let (one, _) = best(1)?;
    // Not so many that loading a slow model takes long.
    let many = ((0.01 / one.max(1e-9)) as usize).clamp(2, 64);
    let (all, tail) = best(many)?;
    let row_s = ((all - one) / (many - 1) as f64).max(0.0);
    Ok(Cost { call_s: (one - row_s).max(0.0), row_s, tail: tail.clamp(1.0, TAIL_MAX) })
}

/// Asks once for what every caller will be answered.
///
/// # Errors
/// When the model does not have it: better now than at the first request.
pub(super) fn sample(
    predictor: &dyn Predictor,
    features: usize,
    ask: &Ask,
) -> Result<Answer, Error> {
    match predict(predictor, &vec![0.0; features], features, ask) {
        Ok(predicted) => Ok(predicted.answer),
        Err(why) => Err(Error::Model { what: why.reason().to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_models_stay_on_the_connections_thread() {
        let small = Cost { call_s: 1e-6, row_s: 1e-6, tail: 1.0 };
        assert!(small.is_inline(1) && small.is_inline(100));
        assert!(!small.is_inline(1_000));
        let large = Cost { call_s: 1e-3, row_s: 1e-4, tail: 1.0 };
        assert!(!large.is_inline(1));
        assert_eq!(large.rows_within(Duration::from_millis(5)), 40);
        assert_eq!(large.rows_within(Duration::from_micros(10)), 0);
        let alike = Cost { call_s: 1e-3, row_s: 0.0, tail: 1.0 };
        assert_eq!(alike.rows_within(Duration::from_micros(10)), 0);
        assert_eq!(alike.rows_within(Duration::from_millis(2)), usize::MAX);
    }
}
