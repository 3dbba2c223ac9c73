//! `[rollout]`: moves an endpoint's traffic from one variant to another, and back at once when the
//! new one fails more often or answers later than allowed (SageMaker: `BlueGreenUpdatePolicy` and
//! `AutoRollbackConfiguration`).

use std::time::Duration;

use super::read::{name, number, quoted, seconds};
use crate::spec::cursor::Cursor;
use crate::spec::name::JobName;

/// A planned move of traffic, begun when the endpoint starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// Gives its traffic away.
    pub from: JobName,
    /// Gets it.
    pub to: JobName,
    /// In which steps.
    pub shift: Shift,
    /// How long each step is watched before the next.
    pub wait: Duration,
    /// When to go back.
    pub rollback: Rollback,
}

/// The steps (SageMaker: `TrafficRoutingConfiguration.Type`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shift {
    /// All at once, then watched.
    AllAtOnce,
    /// This percentage first, then all.
    Canary(f64),
    /// This percentage more in each step.
    Linear(f64),
}

/// What the new variant may not exceed while it is watched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rollback {
    /// Of its invocations, the part that failed by the model or the server (5xx).
    pub error_rate_max: f64,
    /// 99 of 100 invocations took at most this long.
    pub p99_max: Option<Duration>,
    /// Before so many invocations in a step nothing is judged.
    pub invocations_min: u64,
}

pub(super) fn read_rollout(table: &mut Cursor<'_>, variants: &[String]) -> Option<Rollout> {
    let mut end = |key: &'static str, example: &str| {
        let there = table.has(key);
        let found = table.parsed(key, |text| {
            let name = name(text, "a variant's name")?;
            // Where there are none at all, that was said already.
            let known = variants.is_empty() || variants.iter().any(|one| *one == name.as_str());
            known.then_some(name).ok_or_else(|| {
                let help = format!("known: {}", variants.join(", "));
                (format!("there is no variant {}", quoted(text)), Some(help))
            })
        });
        table.needs(key, there, example);
        found
    };
    let from = end("from", "from = \"blue\", the variant that has the traffic now");
    let to = end("to", "to = \"green\", the variant that shall get it");
    if from.is_some() && from == to {
        let help = "name two variants";
        table.wrong("to", None, "is the variant the traffic comes from".into(), Some(help.into()));
    }
    let kind = table.parsed("type", |text| match text {
        "ALL_AT_ONCE" | "CANARY" | "LINEAR" => Ok(text.to_owned()),
        _ => Err((
            format!("{} is not a way to move traffic", quoted(text)),
            Some("write \"ALL_AT_ONCE\", \"CANARY\" or \"LINEAR\"".into()),
        )),
    });
    // SageMaker's bound: a step is never more than half.
    let step = number(table, "step_percentage", (1.0, 50.0)).unwrap_or(10.0);
    let shift = match kind.as_deref() {
        Some("ALL_AT_ONCE") => Shift::AllAtOnce,
        Some("LINEAR") => Shift::Linear(step),
        _ => Shift::Canary(step),
    };
    let wait = seconds(table, "wait_interval_s", 1..=3600, 300);
    let rollback =
        table.table("rollback", "[rollout.rollback] with keys below it", |table| Rollback {
            error_rate_max: number(table, "error_rate_max", (0.0, 1.0)).unwrap_or(0.01),
            p99_max: number(table, "p99_ms_max", (0.001, 3.6e6))
                .map(|ms| Duration::from_secs_f64(ms / 1e3)),
            invocations_min: table.integer("invocations_min", 1..=1_000_000).unwrap_or(50) as u64,
        });
    Some(Rollout { from: from?, to: to?, shift, wait, rollback })
}
