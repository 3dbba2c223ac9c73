//! The report as one HTML file with its plots inside: no script, no font, no network.

use std::fmt::Write as _;

use super::text::{compared, ms, rate, threads};
use super::{Endpoint, Report, Step};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#6a737d;--line:#d0d7de;--paper:#fff;\
--a:#0969da;--b:#bc4c00;--c:#8250df}\
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#8b949e;--line:#30363d;\
--paper:#0d1117;--a:#58a6ff;--b:#f0883e;--c:#bc8cff}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);\
max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem;overflow-wrap:anywhere}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
td,th{padding:.2rem .7rem;text-align:right;border-bottom:1px solid var(--line)}\
.kept td:first-child::after{content:' \\2713'}\
table{margin-top:1rem}svg{width:100%;height:auto}text{font:12px system-ui,sans-serif;fill:var(--soft)}\
.axis{stroke:var(--line)}.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(24rem,1fr));gap:1rem}";

/// The page.
pub(super) fn page(report: &Report) -> String {
    let mut page = String::from("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">");
    let _ = write!(
        page,
        "<title>smrt bench</title><style>{STYLE}</style><h1>How fast it answers</h1>\
         <p>Requests were due at a constant rate; a latency counts from when its request was due. \
         {} bytes a request, {} connections, {} sending. A rate is kept (&#10003;) when its \
         p99 stays within {} ms and at most one request in a thousand fails.</p>",
        report.body_bytes,
        report.connections,
        threads(report.threads),
        report.p99_target_ms
    );
    if let [first, second] = report.endpoints.as_slice() {
        let text = compared(first, second);
        let _ = write!(page, "<p><strong>{}</strong></p>", escaped(&sentence(text.trim_end())));
    }
    for endpoint in &report.endpoints {
        section(&mut page, report, endpoint);
    }
    page.push_str("</html>\n");
    page
}

fn section(page: &mut String, report: &Report, endpoint: &Endpoint) {
    let _ = write!(page, "<h2>{}</h2>", escaped(&endpoint.url));
    let mut steps: Vec<&Step> = endpoint.rates.iter().collect();
    steps.sort_by(|a, b| a.offered_per_s.total_cmp(&b.offered_per_s));
    if let (Some(best), Some(sizing)) = (endpoint.best, &endpoint.sizing) {
        let _ = write!(
            page,
            "<p><strong>{} requests/s</strong> keep the p99 within {} ms. Plan {} requests/s for a \
             machine like this, so that a burst has room.",
            rate(endpoint.rates[best].offered_per_s),
            report.p99_target_ms,
            rate(sizing.plan_per_s)
        );
        if let (Some(need), Some(machines)) = (sizing.need_per_s, sizing.machines) {
            let _ = write!(page, " {} requests/s need {machines} of them.", rate(need));
        }
        page.push_str("</p>");
    }
    page.push_str("<div class=\"plots\">");
    if steps.len() > 1 {
        page.push_str(&by_rate(&steps, report.p99_target_ms));
    }
    let shown = endpoint.best.map_or(steps[0], |best| &endpoint.rates[best]);
    page.push_str(&by_share(shown));
    page.push_str("</div><table><tr>");
    for head in
        ["offered/s", "answered/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "failed"]
    {
        let _ = write!(page, "<th>{head}</th>");
    }
    page.push_str("</tr>");
    for step in steps {
        let _ = write!(
            page,
            "<tr{}><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            if step.kept { " class=\"kept\"" } else { "" },
            rate(step.offered_per_s),
            rate(step.answered_per_s),
            ms(step.p50_ms),
            ms(step.p90_ms),
            ms(step.p99_ms),
            ms(step.p999_ms),
            ms(step.max_ms),
            step.failed
        );
    }
    page.push_str("</table>");
}

fn by_rate(steps: &[&Step], target_ms: f64) -> String {
    let line = |of: fn(&Step) -> f64| -> Vec<(f64, f64)> {
        steps.iter().map(|step| (step.offered_per_s, of(step))).collect()
    };
    let lines = [
        ("p50", "--a", line(|step| step.p50_ms)),
        ("p99", "--b", line(|step| step.p99_ms)),
        ("p99.9", "--c", line(|step| step.p999_ms)),
    ];
    let highest = steps.last().map_or(1.0, |step| step.offered_per_s);
    plot("Latency (ms) by offered requests/s", &lines, round_marks(highest), Some(target_ms))
}

fn by_share(step: &Step) -> String {
    let nines = |share: f64| -(1.0 - share).log10();
    let points = step.curve.iter().map(|(share, ms)| (nines(*share), *ms)).collect();
    let marks =
        [(1.0, "90 %"), (2.0, "99 %"), (3.0, "99.9 %"), (4.0, "99.99 %"), (5.0, "99.999 %")]
            .map(|(x, text)| (x, text.to_owned()))
            .to_vec();
    // No further than there are requests to tell it.
    let told = step.curve.last().map_or(0.0, |(share, _)| nines(*share));
    let marks = marks.into_iter().filter(|(x, _)| *x <= told + 1e-9).collect();
    let title = format!("Latency (ms) by share of requests, at {}/s", rate(step.offered_per_s));
    plot(&title, &[("", "--a", points)], marks, None)
}

/// Rates to write below an axis: multiples of 1, 2 or 5 and a power of ten, four to nine of them.
fn round_marks(highest: f64) -> Vec<(f64, String)> {
    let power = 10_f64.powf(highest.max(1e-9).log10().floor());
    let steps = [0.1, 0.2, 0.5, 1.0, 2.0].map(|step| step * power);
    let step = steps.into_iter().find(|step| highest / step < 8.0).unwrap_or(power);
    (1..=(highest / step + 1e-9) as u32)
        .map(|at| f64::from(at) * step)
        .map(|x| (x, rate(x)))
        .collect()
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).chain(['.']).collect()
}

type Line<'a> = (&'a str, &'a str, Vec<(f64, f64)>);

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 46.0;
const BELOW: f64 = 28.0;
const ABOVE: f64 = 26.0;

/// Lines over a linear x from 0 and a logarithmic y.
fn plot(title: &str, lines: &[Line<'_>], marks: Vec<(f64, String)>, bar: Option<f64>) -> String {
    let points = || lines.iter().flat_map(|(_, _, points)| points);
    let x_max = marks.iter().map(|(x, _)| *x).chain(points().map(|(x, _)| *x)).fold(1e-9, f64::max);
    let values = || points().map(|(_, y)| *y).chain(bar).filter(|y| *y > 0.0);
    let low = values().fold(f64::INFINITY, f64::min).min(1e6).log10().floor();
    let high = values().fold(0.0, f64::max).max(1e-6).log10().ceil().max(low + 1.0);
    let x = |value: f64| LEFT + value / x_max * (WIDTH - LEFT - 12.0);
    let y = |value: f64| {
        let share = (value.max(1e-9).log10() - low) / (high - low);
        HEIGHT - BELOW - share.clamp(0.0, 1.0) * (HEIGHT - BELOW - ABOVE)
    };
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"><title>{title}</title>\
         <text x=\"{LEFT}\" y=\"14\">{title}</text>"
    );
    for power in low as i32..=high as i32 {
        let at = y(10_f64.powi(power));
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            10_f64.powi(power)
        );
    }
    for (mark, text) in marks {
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            x(mark) + 8.0,
            HEIGHT - 10.0
        );
    }
    if let Some(bar) = bar {
        let at = y(bar);
        let _ = write!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"var(--soft)\" stroke-dasharray=\"4 4\"/>"
        );
    }
    for (at, (name, colour, points)) in lines.iter().enumerate() {
        let path: Vec<String> =
            points.iter().map(|(px, py)| format!("{:.1},{:.1}", x(*px), y(*py))).collect();
        if points.len() < 20 {
            for (px, py) in points {
                let (px, py) = (x(*px), y(*py));
                let dot = format!(
                    "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"2.5\" fill=\"var({colour})\"/>"
                );
                svg.push_str(&dot);
            }
        }
        let _ = write!(
            svg,
            "<polyline fill=\"none\" stroke=\"var({colour})\" stroke-width=\"2\" points=\"{}\"/>\
             <text x=\"{:.1}\" y=\"14\" text-anchor=\"end\" style=\"fill:var({colour})\">{name}</text>",
            path.join(" "),
            WIDTH - 110.0 + 45.0 * at as f64
        );
    }
    svg.push_str("</svg>");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_of_an_axis_are_round() {
        let marks = |highest: f64| -> Vec<f64> {
            round_marks(highest).into_iter().map(|(x, _)| x.round()).collect()
        };
        assert_eq!(marks(822.0), [200.0, 400.0, 600.0, 800.0]);
        assert_eq!(marks(18_126.0), [5_000.0, 10_000.0, 15_000.0]);
        assert_eq!(marks(1_000.0), [200.0, 400.0, 600.0, 800.0, 1_000.0]);
    }
}
