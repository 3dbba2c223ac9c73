//! How the learning rate moves while a training goes on.

/// A rule for the learning rate. Steps count from 0 over the whole training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schedule {
    /// The same from the first step to the last.
    Constant,
    /// From the given rate down to `minimum` along half a cosine.
    Cosine {
        /// Where it ends.
        minimum: f64,
    },
    /// Multiplied by `factor` every `every` steps, never below `minimum`: linear-learner's
    /// `lr_scheduler_step`, `lr_scheduler_factor` and `lr_scheduler_minimum_lr`.
    Step {
        /// Steps between two changes; never 0.
        every: u64,
        /// Between 0 and 1.
        factor: f64,
        /// The floor.
        minimum: f64,
    },
}

impl Schedule {
    /// The rate at `step` of `steps`, when the job asked for `rate`.
    pub fn rate(&self, rate: f64, step: u64, steps: u64) -> f64 {
        match *self {
            Schedule::Constant => rate,
            Schedule::Cosine { minimum } => {
                let share = (step as f64 / steps.max(1) as f64).min(1.0);
                let low = minimum.min(rate);
                low + (rate - low) * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
            }
            Schedule::Step { every, factor, minimum } => {
                let changes = i32::try_from(step / every.max(1)).unwrap_or(i32::MAX);
                (rate * factor.powi(changes)).max(minimum.min(rate))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cosine_starts_at_the_rate_and_ends_at_the_minimum() {
        let cosine = Schedule::Cosine { minimum: 0.1 };
        assert_eq!(cosine.rate(1.0, 0, 100), 1.0);
        assert!((cosine.rate(1.0, 50, 100) - 0.55).abs() < 1e-12);
        assert!((cosine.rate(1.0, 100, 100) - 0.1).abs() < 1e-12);
        assert!((cosine.rate(1.0, 900, 100) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn a_stepwise_rate_falls_by_the_factor_and_stops_at_the_floor() {
        let step = Schedule::Step { every: 10, factor: 0.5, minimum: 0.2 };
        assert_eq!(step.rate(1.0, 9, 0), 1.0);
        assert_eq!(step.rate(1.0, 10, 0), 0.5);
        assert_eq!(step.rate(1.0, 1_000_000, 0), 0.2);
    }
}
