//! How errors and training reports read.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

use serde_json::json;

use super::table::{Table, count, figure, seconds};
use crate::algorithm::Metric;
use crate::data::Task;
use crate::data::schema::Cells;
use crate::fault::{Fault, Finding, Kind, message, rendered};
use crate::spec::unit::shown_bytes;
use crate::train::Report;

/// Channels in the order a reader wants them.
const CHANNELS: [&str; 3] = ["train", "validation", "test"];

/// Writes an error to standard error: as text, or as a log line each.
pub(super) fn show(failure: &dyn Fault, as_json: bool) {
    let text = match as_json {
        // The subscriber adds the time; where a filter silences it, the error is shown even so.
        true if tracing::enabled!(tracing::Level::ERROR) => return log(failure),
        true => json_lines(failure),
        false if std::io::stderr().is_terminal() => {
            coloured(&rendered(failure), failure.kind() == Kind::Stopped)
        }
        false => rendered(failure),
    };
    // There is nobody left to tell when standard error is closed.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// The findings, then the error itself.
fn all_findings(failure: &dyn Fault) -> Vec<Finding> {
    let mut findings = failure.findings();
    findings.push(Finding { what: message(failure), help: failure.help() });
    findings
}

fn log(failure: &dyn Fault) {
    let kind = format!("{:?}", failure.kind()).to_lowercase();
    for Finding { what, help } in all_findings(failure) {
        tracing::error!(kind, help, "{what}");
    }
}

fn json_lines(failure: &dyn Fault) -> String {
    let kind = format!("{:?}", failure.kind()).to_lowercase();
    let line = |finding: Finding| json!({ "level": "error", "message": finding.what, "kind": kind, "help": finding.help });
    all_findings(failure).into_iter().map(|finding| format!("{}\n", line(finding))).collect()
}

/// An error's text with its first words in colour; a requested stop is no alarm.
fn coloured(text: &str, calm: bool) -> String {
    let error = if calm { "\x1b[1;33merror\x1b[0m" } else { "\x1b[1;31merror\x1b[0m" };
    let mut shown = String::new();
    for line in text.lines() {
        match (line.strip_prefix("error:"), line.strip_prefix(" help:")) {
            (Some(rest), _) => shown.extend([error, ":", rest]),
            (_, Some(rest)) => shown.extend([" \x1b[1;36mhelp\x1b[0m:", rest]),
            _ => shown.push_str(line),
        }
        shown.push('\n');
    }
    shown
}

/// What a finished training says.
pub(super) fn training(report: &Report) -> String {
    let elapsed_s = report.read_s + report.fit_s + report.write_s;
    let epochs = match report.epochs {
        0 => String::new(),
        epochs => plural(epochs as u64, &report.epoch_word) + " ",
    };
    let mut text = format!(
        "{}: {} trained in {} ({epochs}on {}, {})\n\n",
        report.job,
        report.algorithm,
        seconds(elapsed_s),
        report.device,
        plural(report.threads as u64, "thread"),
    );
    let mut facts = Table::new(&[]);
    for channel in &report.channels {
        let objects = plural(channel.objects as u64, "object");
        let size = shown_bytes(channel.bytes);
        let streamed = if channel.streamed { ", streamed from disk" } else { "" };
        let read = format!("{} from {objects}, {size}{streamed}", rows(channel.rows));
        facts.row([channel.name.clone(), read]);
    }
    facts.row(["columns".into(), columns(report)]);
    text.push_str(&facts.text("  "));
    if !report.metrics.is_empty() {
        text.push('\n');
        text.push_str(&metrics(&report.metrics));
    }
    let artifact = report.artifact.to_string();
    let mut outcome = Table::new(&[]);
    let replaced = if report.replaced { ", replaced the one before" } else { "" };
    outcome.row(["artifact".into(), artifact.clone()]);
    outcome.row(["".to_owned(), format!("{}{replaced}", shown_bytes(report.artifact_bytes))]);
    outcome.row(["sha256", &report.artifact_sha256]);
    outcome.row(["key", report.key.as_deref().unwrap_or("none: anybody can read the artifact")]);
    if let Some(signer) = &report.signer {
        outcome.row(["signed", &format!("by {signer}")]);
    }
    outcome.row(["record", &report.record.to_string()]);
    outcome.row(["next", &format!("smrt serve {}", for_shell(&artifact))]);
    text.push('\n');
    text.push_str(&outcome.text("  "));
    text
}

fn columns(report: &Report) -> String {
    let signature = &report.signature;
    let mut features = match signature.cells {
        Cells::Numbers => plural(signature.features as u64, "feature"),
        Cells::Login => "entity, address".to_owned(),
    };
    if !signature.categories.is_empty() {
        features.push_str(&format!(" ({} of words)", signature.categories.len()));
    }
    let answer = match (signature.task, &signature.labels) {
        (Task::Regression, _) => "a number to predict".to_owned(),
        (Task::AnomalyDetection | Task::Clustering | Task::Projection, _) => "no label".to_owned(),
        (Task::Ranking, _) => "a relevance within its group".to_owned(),
        (_, Some(labels)) => format!("a label of {} classes", labels.len()),
        (_, None) => "a label".to_owned(),
    };
    format!("{features} and {answer}")
}

/// Metrics as a table: one line each, one column per channel.
pub(super) fn metrics(metrics: &[Metric]) -> String {
    let mut lines: Vec<(&str, BTreeMap<&str, f64>)> = Vec::new();
    for metric in metrics {
        let (channel, name) = metric.name.split_once(':').unwrap_or(("", &metric.name));
        match lines.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => {
                values.insert(channel, metric.value);
            }
            None => lines.push((name, BTreeMap::from([(channel, metric.value)]))),
        }
    }
    let others = lines.iter().flat_map(|(_, values)| values.keys().copied());
    let mut channels: Vec<&str> = CHANNELS.iter().copied().chain(others).collect();
    let has = |channel: &&str| lines.iter().any(|(_, values)| values.contains_key(channel));
    let mut seen = Vec::new();
    channels.retain(|channel| {
        let fresh = has(channel) && !seen.contains(channel);
        seen.push(channel);
        fresh
    });
    let mut table = Table::new(&[1, 2, 3]);
    table.row(std::iter::once("").chain(channels.iter().copied()));
    for (name, values) in lines {
        let cells =
            channels.iter().map(|channel| values.get(channel).map_or("-".into(), |v| figure(*v)));
        table.row(std::iter::once(name.to_owned()).chain(cells));
    }
    table.text("  ")
}

/// `1 epoch`, `12 epochs`.
pub(super) fn plural(number: u64, word: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {word}{ending}", count(number))
}

fn rows(number: usize) -> String {
    plural(number as u64, "row")
}

/// A word as a shell takes it when pasted.
pub(super) fn for_shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=@%+,".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{LabelNames, Signature};
    use crate::spec::uri::Uri;
    use crate::train::ChannelReport;

    fn metric(name: &str, value: f64) -> Metric {
        Metric { name: name.into(), value }
    }

    fn channel(name: &str, rows: usize) -> ChannelReport {
        ChannelReport {
            name: name.into(),
            objects: 1,
            bytes: 409_600,
            rows,
            streamed: rows == 4000,
        }
    }

    #[test]
    fn a_report_says_what_was_read_how_good_it_is_where_it_lies_and_what_to_type_next() {
        let report = Report {
            job: "churn-demo".into(),
            algorithm: "linear-learner".into(),
            channels: vec![channel("train", 4000), channel("validation", 1)],
            signature: Signature {
                labels: Some(LabelNames::Words(vec!["no".into(), "yes".into()])),
                threshold: Some(0.4),
                ..Signature::of(69, Task::BinaryClassification)
            },
            epochs: 15,
            epoch_word: "epoch".into(),
            metrics: vec![
                metric("train:objective_loss", 0.21),
                metric("validation:objective_loss", 0.25),
                metric("validation:roc_auc_score", 0.91),
            ],
            artifact: Uri::File("my models/churn-demo/output/model.tar.gz".into()),
            artifact_bytes: 12_800,
            artifact_sha256: "ab12".into(),
            key: Some("alias/smrt".into()),
            signer: Some("cd34".into()),
            record: Uri::File("my models/churn-demo/job.json".into()),
            device: "cpu".into(),
            threads: 2,
            resumed: false,
            replaced: false,
            read_s: 0.1,
            fit_s: 1.0,
            write_s: 0.1,
        };
        let expected = "\
churn-demo: linear-learner trained in 1.2 s (15 epochs on cpu, 2 threads)

  train       4,000 rows from 1 object, 400 KiB, streamed from disk
  validation  1 row from 1 object, 400 KiB
  columns     69 features and a label of 2 classes

                   train  validation
  objective_loss  0.2100      0.2500
  roc_auc_score        -      0.9100

  artifact  my models/churn-demo/output/model.tar.gz
            12.5 KiB
  sha256    ab12
  key       alias/smrt
  signed    by cd34
  record    my models/churn-demo/job.json
  next      smrt serve 'my models/churn-demo/output/model.tar.gz'
";
        assert_eq!(training(&report), expected);
        let without = training(&Report { epochs: 0, ..report });
        assert!(without.contains(" trained in 1.2 s (on cpu, 2 threads)\n"), "{without}");
    }

    #[test]
    fn words_are_quoted_for_a_shell_when_they_need_it() {
        assert_eq!(for_shell("s3://b/k.tar.gz"), "s3://b/k.tar.gz");
        assert_eq!(for_shell("it's"), "'it'\\''s'");
    }
}
