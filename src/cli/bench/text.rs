//! The report as text.

use super::super::table::{Table, count};
use super::{Endpoint, Report};

/// The whole report.
pub(super) fn report(report: &Report) -> String {
    let mut text = String::new();
    for endpoint in &report.endpoints {
        text.push_str(&one(report, endpoint));
        text.push('\n');
    }
    if let [first, second] = report.endpoints.as_slice() {
        text.push_str(&compared(first, second));
    }
    text
}

/// Milliseconds with three significant places.
pub(super) fn ms(value: f64) -> String {
    match value {
        ..1.0 => format!("{value:.3}"),
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A rate, whole from 10 on.
pub(super) fn rate(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { count(value.round() as u64) }
}

fn one(report: &Report, endpoint: &Endpoint) -> String {
    let mut text = format!("{}\n", endpoint.url);
    text.push_str(&format!(
        "  {} bytes a request, {} connections, {} sending\n\n",
        count(report.body_bytes as u64),
        report.connections,
        threads(report.threads),
    ));
    let mut rates = Table::new(&[0, 1, 2, 3, 4, 5, 6, 7]);
    rates.row([
        "offered/s",
        "answered/s",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "p99.9 ms",
        "max ms",
        "failed",
    ]);
    let mut order: Vec<_> = endpoint.rates.iter().collect();
    order.sort_by(|a, b| a.offered_per_s.total_cmp(&b.offered_per_s));
    for step in order {
        rates.row([
            rate(step.offered_per_s),
            rate(step.answered_per_s),
            ms(step.p50_ms),
            ms(step.p90_ms),
            ms(step.p99_ms),
            ms(step.p999_ms),
            ms(step.max_ms),
            count(step.failed),
        ]);
    }
    text.push_str(&rates.text("  "));
    for step in &endpoint.rates {
        if step.failed > 0 {
            text.push_str(&failures(step));
        }
    }
    let (Some(best), Some(capacity)) = (endpoint.best, endpoint.capacity_per_s) else {
        return text;
    };
    let best = &endpoint.rates[best];
    text.push_str(&format!(
        "\n  {} requests/s keep the p99 within {} ms (p99 {} ms); without pause it answers {}\n",
        rate(best.offered_per_s),
        report.p99_target_ms,
        ms(best.p99_ms),
        rate(capacity),
    ));
    if let Some(sizing) = &endpoint.sizing {
        text.push_str(&format!(
            "  plan {} requests/s for a machine like this: 70 % of that, so that a burst has room\n",
            rate(sizing.plan_per_s)
        ));
        if let (Some(need), Some(machines)) = (sizing.need_per_s, sizing.machines) {
            let word = if machines == 1 { "machine" } else { "machines" };
            text.push_str(&format!(
                "  {} requests/s need {} {word}\n",
                rate(need),
                count(machines)
            ));
        }
    }
    text
}

fn failures(step: &super::Step) -> String {
    let mut kinds: Vec<String> = step
        .statuses
        .iter()
        .filter(|(status, _)| !(200..300).contains(*status))
        .map(|(status, number)| format!("{} answered {status}", count(*number)))
        .collect();
    if step.broken > 0 {
        kinds.push(format!("{} connections broke", count(step.broken)));
    }
    if step.unanswered > 0 {
        kinds.push(format!("{} had no answer at the end", count(step.unanswered)));
    }
    let mut text = format!("  at {}/s: {}\n", rate(step.offered_per_s), kinds.join(", "));
    if step.refused > 0 {
        text.push_str(&format!(
            "  at {}/s: p99 of the successes {} ms, of the refusals {} ms\n",
            rate(step.offered_per_s),
            ms(step.succeeded_p99_ms),
            ms(step.refused_p99_ms)
        ));
    }
    text
}

/// The sending threads in words.
pub(super) fn threads(count: usize) -> String {
    if count == 1 { "1 thread".into() } else { format!("{count} threads") }
}

/// How two endpoints stand to each other.
pub(super) fn compared(first: &Endpoint, second: &Endpoint) -> String {
    let figures = |endpoint: &Endpoint| {
        let at = endpoint.best.unwrap_or(0);
        (endpoint.rates[at].offered_per_s, endpoint.rates[at].p99_ms)
    };
    let ((a, a_p99), (b, b_p99)) = (figures(first), figures(second));
    match (first.best, second.best) {
        (Some(_), Some(_)) => {
            format!("the first keeps the promise at {:.2} times the rate of the second\n", a / b)
        }
        _ => format!("the first's p99 is {:.2} times the second's\n", a_p99 / b_p99),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_as_long_as_they_are_exact() {
        assert_eq!(
            [ms(0.1234), ms(1.234), ms(12.34), ms(1234.0)],
            ["0.123", "1.23", "12.3", "1234"]
        );
        assert_eq!([rate(1.5), rate(12_345.6)], ["1.5", "12,346"]);
    }
}
