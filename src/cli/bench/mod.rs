//! `smrt bench`: how fast an endpoint answers, and how many machines a load takes.

mod html;
mod text;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::output::{self, Format};
use super::{Error, Failure};
use crate::load::{Found, Histogram, Load, Measured, Pace, Search, Target, run, search};
use crate::spec::limit::REQUEST_FILE_BYTES_MAX;

/// Measure an endpoint: the highest rate that keeps a p99, and what that means for sizing
///
/// Requests are due at a constant rate whatever the server does, and a latency counts from when
/// its request was due: a server that stands still is charged with all it kept waiting. Without
/// --rate the highest rate is searched that keeps --p99-ms; with two URLs both are measured and
/// compared. Any HTTP/1.1 server can be measured.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("body").required(true))]
#[command(after_help = "\
Examples:
  smrt bench http://127.0.0.1:8080/invocations --data '0.1,2,3'
  smrt bench http://127.0.0.1:8080 --data-file rows.csv --rows 100 --p99-ms 20 --need 50000
  smrt bench http://127.0.0.1:8080 http://127.0.0.1:8081 --data '1,2' --html report.html
  smrt bench http://127.0.0.1:8080 --data '1,2' --rate 2000 --duration-s 30 --format json")]
pub(in crate::cli) struct Options {
    /// The endpoint, or two to compare; without a path it is /invocations
    #[arg(value_name = "URL", required = true, num_args = 1..=2)]
    urls: Vec<String>,

    /// The body of every request
    #[arg(long, value_name = "TEXT", group = "body")]
    data: Option<String>,

    /// A file whose lines are the bodies, in turn; a .json file is one body
    #[arg(long, value_name = "FILE", group = "body")]
    data_file: Option<PathBuf>,

    /// Lines of --data-file in each request
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rows: u32,

    /// Type of the body [default: by the file's ending, else text/csv]
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,

    /// A further header, e.g. 'Accept: text/csv'; may be given again
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,

    /// Connections: so many requests can be under way at once
    #[arg(long, value_name = "COUNT", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(1..=16_384))]
    connections: u32,

    /// Threads that send; 0 = one for two cores
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    threads: usize,

    /// What to keep: 99 of 100 answers within this many milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 10.0, value_parser = positive)]
    p99_ms: f64,

    /// Seconds for which each rate of the search is tried
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = positive)]
    step_s: f64,

    /// No search: this many requests a second
    #[arg(long, value_name = "RATE", value_parser = positive)]
    rate: Option<f64>,

    /// Seconds measured at --rate
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = positive,
          requires = "rate")]
    duration_s: f64,

    /// Requests a second to plan machines for
    #[arg(long, value_name = "RATE", value_parser = positive)]
    need: Option<f64>,

    /// text, or json
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,

    /// Also write a report with plots, a file that opens without a network
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Machines are planned with this share of what one can do, so that a burst, or the loss of one of
/// three, does not break the promise.
const HEADROOM: f64 = 0.7;

/// Everything a report shows.
#[derive(Debug, Serialize)]
struct Report {
    p99_target_ms: f64,
    connections: usize,
    threads: usize,
    body_bytes: usize,
    bodies: usize,
    endpoints: Vec<Endpoint>,
}

/// One endpoint's figures.
#[derive(Debug, Serialize)]
struct Endpoint {
    url: String,
    /// Answers a second in a closed loop; absent when a rate was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity_per_s: Option<f64>,
    rates: Vec<Step>,
    /// The highest rate that kept the p99, among `rates`.
    #[serde(skip_serializing_if = "Option::is_none")]
    best: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sizing: Option<Sizing>,
}

/// One rate, and what came of it.
#[derive(Debug, Serialize)]
struct Step {
    offered_per_s: f64,
    answered_per_s: f64,
    requests: u64,
    failed: u64,
    unanswered: u64,
    broken: u64,
    statuses: std::collections::BTreeMap<u16, u64>,
    mean_ms: f64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
    /// Of the successes alone.
    succeeded_p99_ms: f64,
    /// Answered 429 or 503, and how soon.
    refused: u64,
    refused_p99_ms: f64,
    kept: bool,
    /// (share of requests, milliseconds within which they were answered)
    #[serde(skip)]
    curve: Vec<(f64, f64)>,
}

/// How many machines.
#[derive(Debug, Serialize)]
struct Sizing {
    /// What to plan for on each machine like this one.
    plan_per_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    need_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    machines: Option<u64>,
}

pub(in crate::cli) fn run_command(options: &Options) -> Result<(), Failure> {
    let bodies = options.bodies()?;
    let wanted = Search {
        p99: Duration::from_secs_f64(options.p99_ms / 1e3),
        step: Duration::from_secs_f64(options.step_s),
    };
    let mut report = Report {
        p99_target_ms: options.p99_ms,
        connections: options.connections as usize,
        threads: options.threads(),
        body_bytes: bodies.iter().map(Vec::len).sum::<usize>() / bodies.len(),
        bodies: bodies.len(),
        endpoints: Vec::new(),
    };
    for url in &options.urls {
        let load = Load {
            target: Target::parse(url)?,
            headers: options.headers(),
            bodies: bodies.clone(),
            connections: report.connections,
            threads: report.threads,
        };
        report.endpoints.push(measure(options, &load, &wanted)?);
    }
    if let Some(path) = &options.html {
        std::fs::write(path, html::page(&report))
            .map_err(|source| Error::WriteData { place: path.display().to_string(), source })?;
    }
    match options.format {
        Format::Json => output::write(&output::json(&report)),
        Format::Text => output::write(&text::report(&report)),
    }
}

fn measure(options: &Options, load: &Load, wanted: &Search) -> Result<Endpoint, Failure> {
    let url = load.target.url.clone();
    if let Some(rate) = options.rate {
        let length = Duration::from_secs_f64(options.duration_s);
        let measured = run(load, Pace::Rate(rate), length / 10, length)?;
        let rates = vec![Step::of(rate, &measured, wanted)];
        return Ok(Endpoint { url, capacity_per_s: None, rates, best: None, sizing: None });
    }
    let Found { capacity, tried, best } = search(load, wanted, &mut |rate, measured, kept| {
        tracing::info!(
            rate = rate.round(),
            p99_ms = text::ms(measured.latency.quantile(0.99).as_secs_f64() * 1e3),
            kept,
            "tried a rate"
        );
    })?;
    let plan_per_s = tried[best].0 * HEADROOM;
    let sizing = Sizing {
        plan_per_s,
        need_per_s: options.need,
        machines: options.need.map(|need| (need / plan_per_s).ceil() as u64),
    };
    let rates: Vec<Step> =
        tried.iter().map(|(rate, measured)| Step::of(*rate, measured, wanted)).collect();
    Ok(Endpoint {
        url,
        capacity_per_s: Some(capacity),
        rates,
        best: Some(best),
        sizing: Some(sizing),
    })
}

impl Step {
    fn of(rate: f64, measured: &Measured, wanted: &Search) -> Step {
        // Whole microseconds: the histogram knows no more.
        let ms = |quantile| measured.latency.quantile(quantile).as_micros() as f64 / 1e3;
        let p99 = |latency: &Histogram| latency.quantile(0.99).as_micros() as f64 / 1e3;
        // As far as there are requests to tell it.
        let last = (measured.due.max(1) as f64).log10().min(5.0);
        let shares =
            (0..=50).map(|at| last * f64::from(at) / 50.0).map(|nines| 1.0 - 10_f64.powf(-nines));
        Step {
            offered_per_s: rate,
            answered_per_s: measured.goodput(),
            requests: measured.due,
            failed: measured.failed(),
            unanswered: measured.unanswered,
            broken: measured.broken,
            statuses: measured.statuses.clone(),
            mean_ms: measured.latency.mean().as_micros() as f64 / 1e3,
            p50_ms: ms(0.5),
            p90_ms: ms(0.9),
            p99_ms: ms(0.99),
            p999_ms: ms(0.999),
            max_ms: measured.latency.max().as_micros() as f64 / 1e3,
            succeeded_p99_ms: p99(&measured.succeeded_latency),
            refused: measured.refused_latency.count(),
            refused_p99_ms: p99(&measured.refused_latency),
            kept: wanted.is_kept(measured),
            curve: shares.map(|share| (share, ms(share))).collect(),
        }
    }
}

impl Options {
    fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if self.threads == 0 { (cores / 2).max(1) } else { self.threads }
    }

    fn headers(&self) -> Vec<(String, String)> {
        let mut headers = self.header.clone();
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            let ending = self.data_file.as_ref().and_then(|path| path.extension()?.to_str());
            let by_ending = match ending {
                Some("json") => "application/json",
                Some("jsonl" | "jsonlines") => "application/jsonlines",
                _ => "text/csv",
            };
            let kind = self.content_type.as_deref().unwrap_or(by_ending);
            headers.push(("Content-Type".into(), kind.into()));
        }
        headers
    }

    /// The bodies of requests; never empty.
    fn bodies(&self) -> Result<Vec<Vec<u8>>, Failure> {
        let Some(path) = &self.data_file else {
            return Ok(vec![self.data.clone().unwrap_or_default().into_bytes()]);
        };
        let place = || path.display().to_string();
        let failed = |source| Error::ReadData { place: place(), source };
        let length = std::fs::metadata(path).map_err(failed)?.len();
        if length > REQUEST_FILE_BYTES_MAX {
            let what =
                format!("{} has {length} bytes, more than {REQUEST_FILE_BYTES_MAX}", place());
            let help = Some("give the first lines of it, e.g. with head -n 1000".into());
            return Err(Error::Address { what, help }.into());
        }
        let bytes = std::fs::read(path).map_err(failed)?;
        if path.extension().is_some_and(|ending| ending == "json") {
            return Ok(vec![bytes]);
        }
        let lines: Vec<&[u8]> = bytes
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::trim_ascii_end)
            .filter(|line| !line.is_empty())
            .collect();
        if lines.is_empty() {
            let what = format!("{} is empty", place());
            return Err(Error::Address { what, help: Some("put rows into it".into()) }.into());
        }
        Ok(lines.chunks(self.rows as usize).map(|lines| lines.join(&b'\n')).collect())
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1e7 => Ok(value),
        _ => Err("write a number above 0 and up to 10000000".into()),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let refuse = || "write NAME: VALUE, printable, e.g. 'Accept: text/csv'".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(refuse)?;
    let (name, value) = (name.trim(), value.trim());
    let token = |c: char| c.is_ascii_alphanumeric() || "-_.!#$%&'*+^`|~".contains(c);
    let printable = |c: char| c.is_ascii_graphic() || c == ' ' || c == '\t';
    if name.is_empty() || !name.chars().all(token) || !value.chars().all(printable) {
        return Err(refuse());
    }
    Ok((name.to_owned(), value.to_owned()))
}
