//! Moves traffic from one variant to another in steps, watches the new one meanwhile, and takes
//! everything back at once when it fails more often or answers later than allowed.

use std::time::{Duration, Instant};

use super::stats::{Fine, Stats};
use super::traffic::Traffic;
use crate::spec::endpoint::{Rollback, Rollout, Shift};

/// How far a rollout is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Progress {
    /// So many percent have been moved, and are being watched.
    Moved(f64),
    /// The new variant has everything.
    Done,
    /// The old variant has everything again, and why.
    RolledBack(String),
}

/// The percentages that are moved, one after the other.
fn steps(shift: Shift) -> Vec<f64> {
    match shift {
        Shift::AllAtOnce => vec![100.0],
        Shift::Canary(first) => vec![first, 100.0],
        Shift::Linear(step) => {
            let count = (100.0 / step).ceil() as usize;
            (1..=count).map(|at| (step * at as f64).min(100.0)).collect()
        }
    }
}

/// Runs a rollout from its first step to its end. `pause` waits for a moment and is false when
/// the endpoint stops.
pub(super) fn run(traffic: &Traffic, rollout: &Rollout, pause: &dyn Fn(Duration) -> bool) {
    let (from, to) = (rollout.from.as_str(), rollout.to.as_str());
    let before = (traffic.weight(from), traffic.weight(to));
    let total = before.0 + before.1;
    let tick = (rollout.wait / 20).clamp(Duration::from_millis(20), Duration::from_secs(1));
    for percent in steps(rollout.shift) {
        let moved = total * percent / 100.0;
        let start = traffic.counted(to);
        traffic.set_weights(&[(from, total - moved), (to, moved)]);
        traffic.progress(Progress::Moved(percent));
        tracing::info!(from, to, percent, "traffic moved");
        let begun = Instant::now();
        while begun.elapsed() < rollout.wait {
            if !pause(tick) {
                return;
            }
            if let Some(why) = fault(&rollout.rollback, &start, &traffic.counted(to)) {
                traffic.set_weights(&[(from, total), (to, 0.0)]);
                tracing::error!(from, to, percent, reason = why, "traffic moved back");
                traffic.progress(Progress::RolledBack(why));
                return;
            }
        }
    }
    traffic.progress(Progress::Done);
    tracing::info!(from, to, "traffic moved for good");
}

/// What is wrong with what was counted between two moments.
fn fault(rollback: &Rollback, before: &Stats, now: &Stats) -> Option<String> {
    let since = |of: &dyn Fn(&Stats) -> u64| of(now).saturating_sub(of(before));
    let invocations = since(&|stats| stats.invocations.get());
    if invocations < rollback.invocations_min {
        return None;
    }
    let failed = since(&|stats| stats.invocations_5xx.get());
    let rate = failed as f64 / invocations as f64;
    if rate > rollback.error_rate_max {
        let most = rollback.error_rate_max;
        return Some(format!(
            "{failed} of {invocations} invocations failed ({rate:.4}; at most {most} may)"
        ));
    }
    let p99 = Fine::quantile_since(before.took.as_deref()?, now.took.as_deref()?, 0.99)?;
    let most = rollback.p99_max.filter(|most| p99 > *most)?;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Some(format!("p99 was {:.3} ms ({:.3} ms is allowed)", ms(p99), ms(most)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(invocations: u64, failed: u64, ms: u64) -> Stats {
        let stats = Stats::with_quantiles();
        stats.invocations.add(invocations);
        stats.invocations_5xx.add(failed);
        for _ in 0..invocations {
            stats.all_took(Duration::from_millis(ms));
        }
        stats
    }

    const RULE: Rollback = Rollback {
        error_rate_max: 0.01,
        p99_max: Some(Duration::from_millis(10)),
        invocations_min: 50,
    };

    #[test]
    fn too_many_failures_or_too_late_answers_are_faults() {
        let start = stats(1_000, 900, 500);
        let later = |invocations, failed, ms| {
            let now = stats(invocations, failed, ms);
            now.take_in(&start);
            fault(&RULE, &start, &now)
        };
        assert_eq!(later(100, 1, 1), None);
        assert!(later(100, 2, 1).unwrap().contains("2 of 100"));
        assert!(later(100, 0, 20).unwrap().contains("p99 was"));
        // Of few invocations nothing is said.
        assert_eq!(later(49, 49, 500), None);
    }

    #[test]
    fn steps_end_at_everything() {
        assert_eq!(steps(Shift::AllAtOnce), [100.0]);
        assert_eq!(steps(Shift::Canary(5.0)), [5.0, 100.0]);
        assert_eq!(steps(Shift::Linear(40.0)), [40.0, 80.0, 100.0]);
    }
}
