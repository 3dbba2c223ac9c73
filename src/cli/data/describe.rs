//! `smrt data describe`: a table looked through before anyone trains on it.

use std::io::IsTerminal;

use clap::Args;

use super::convert::media;
use crate::cli::open::StorageOptions;
use crate::cli::predict::{Content, content_of, delimiter, objects};
use crate::cli::report::plural;
use crate::cli::table::{Table, count, wrapped};
use crate::cli::{Error, Failure, output};
use crate::data::channel;
use crate::data::describe::{
    self, ColumnReport, Finding, Kind, Label, Profile, Report, Severity, TableReport,
};
use crate::spec::train::{Format, LabelColumn, Media};
use crate::spec::unit::shown_bytes;
use crate::store::Store;

/// Columns of the longest line.
const WIDTH: usize = 100;
/// Columns that are listed unless all are wanted.
const LISTED_MAX: usize = 30;
/// Letters of a name that are shown.
const NAME_MAX: usize = 28;

/// Say what a table holds, and what a careful person looks for before training on it
///
/// Types, missing and different values, spread, label balance, duplicates; then findings: columns
/// that give the label away, constants, ids, copies, dates and texts. With a second table (the
/// test data) also rows that stand in both and columns whose values have moved. One pass over the
/// data, in memory that does not grow with them; what is not exact says so.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smrt data describe --label churn datasets/churn/train.csv datasets/churn/validation.csv
  smrt data describe train.csv.gz
  smrt data describe --no-label --format json s3://data/events/")]
pub(super) struct Options {
    /// The table: a file, a folder, s3://bucket/prefix/, or - for standard input
    #[arg(value_name = "DATA", value_hint = clap::ValueHint::AnyPath)]
    data: String,

    /// Another one, to look for its rows in the first and for what has moved
    #[arg(value_name = "SECOND", value_hint = clap::ValueHint::AnyPath)]
    second: Option<String>,

    /// The label's column [default: the first; of JSON Lines the key label]
    #[arg(long, value_name = "NAME", conflicts_with = "no_label")]
    label: Option<String>,

    /// There is no label
    #[arg(long)]
    no_label: bool,

    /// The first line names the columns [default: look]
    #[arg(long, conflicts_with = "no_header")]
    header: bool,

    /// The first line is a row [default: look]
    #[arg(long)]
    no_header: bool,

    /// What the data are [default: by the name's ending, else csv]
    #[arg(long, value_enum, value_name = "TYPE")]
    content_type: Option<Content>,

    /// What stands between the columns of a CSV file
    #[arg(long, value_name = "CHARACTER", default_value = ",", value_parser = delimiter)]
    delimiter: u8,

    /// List every column, however many there are
    #[arg(long)]
    all: bool,

    /// Write the result for people or for programs
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: output::Format,

    #[command(flatten)]
    storage: StorageOptions,
}

pub(in crate::cli) fn run(options: &Options) -> Result<(), Failure> {
    let store = options.storage.store();
    let first = options.profile(&options.data, &store, None)?;
    let second = match &options.second {
        Some(place) => Some(options.profile(place, &store, Some(&first))?),
        None => None,
    };
    let report = describe::report(&first, second.as_ref());
    output::write(&match options.format {
        output::Format::Json => output::json(&report),
        output::Format::Text => options.text(&report, std::io::stdout().is_terminal()),
    })
}

impl Options {
    fn profile(
        &self,
        place: &str,
        store: &Store,
        before: Option<&Profile>,
    ) -> Result<Profile, Failure> {
        let media =
            media(self.content_type.unwrap_or_else(|| content_of(place)), "--content-type")?;
        let features = match media {
            Media::Libsvm => Some(self.width(place, store)?),
            _ => None,
        };
        let options = describe::Options {
            media,
            features,
            delimiter: self.delimiter,
            header: match (self.header, self.no_header) {
                (true, _) => Some(true),
                (_, true) => Some(false),
                _ => None,
            },
            label: match (&self.label, self.no_label) {
                (Some(name), _) => Label::Named(name.clone()),
                (None, true) => Label::None,
                (None, false) => Label::First,
            },
            ..describe::Options::default()
        };
        let (objects, _) = objects(place, store)?;
        Ok(describe::profile(objects, place, &options, before)?)
    }

    /// How wide the widest row of libsvm is.
    fn width(&self, place: &str, store: &Store) -> Result<usize, Failure> {
        if place == "-" {
            let what = "standard input is read once, and only libsvm's last row tells the width";
            let help = Some("put the rows into a file".to_owned());
            return Err(Error::Address { what: what.to_owned(), help }.into());
        }
        let label = if self.no_label { LabelColumn::None } else { LabelColumn::First };
        let format = Format { label, ..Format::new(Media::Libsvm) };
        let reading = channel::Options::new("data");
        let mut widest = 0;
        for batch in channel::batches(objects(place, store)?.0, &format, &reading)? {
            widest = widest.max(batch?.sparse.map_or(0, |sparse| sparse.width));
        }
        Ok(widest)
    }

    fn text(&self, report: &Report, coloured: bool) -> String {
        let mut text = self.head(&self.data, &report.table);
        if let (Some(place), Some(table)) = (&self.second, &report.second) {
            text.push_str(&self.head(place, table));
        }
        text.push_str(&label(&report.table));
        text.push_str(&self.columns(&report.table));
        text.push_str(&findings(&report.findings, coloured));
        text.push_str(&honesty(report));
        text
    }

    fn head(&self, place: &str, table: &TableReport) -> String {
        let header = if table.header { "names in it" } else { "no header" };
        let mut text = format!(
            "{place}\n  {} × {}, {}, {}, {header}",
            plural(table.rows, "row"),
            plural(table.columns.len() as u64, "column"),
            plural(table.objects as u64, "object"),
            shown_bytes(table.bytes),
        );
        match table.label {
            Some(at) => text.push_str(&format!(", label {}", table.columns[at].name)),
            None => text.push_str(", no label"),
        }
        text.push_str("\n\n");
        text
    }

    fn columns(&self, table: &TableReport) -> String {
        let of = |numbers: bool| -> Vec<&ColumnReport> {
            let wanted = |column: &&ColumnReport| column.kind.is_number() == numbers;
            table.columns.iter().filter(wanted).collect()
        };
        let most = if self.all { usize::MAX } else { LISTED_MAX };
        let mut text = String::new();
        let (numbers, others) = (of(true), of(false));
        if !numbers.is_empty() {
            let mut lines = Table::new(&[1, 2, 3, 4, 5, 6, 7]);
            lines.row([
                "Numbers",
                "missing",
                "distinct",
                "min",
                "median",
                "max",
                "mean",
                "sd",
                "1 % to 99 %",
            ]);
            for column in numbers.iter().take(most) {
                lines.row(numbers_line(column, table.rows));
            }
            text.push_str(&lines.text(""));
            text.push_str(&more(numbers.len(), most));
            text.push('\n');
        }
        if !others.is_empty() {
            let mut lines = Table::new(&[2, 3]);
            lines.row(["Words", "", "missing", "distinct", "most frequent"]);
            for column in others.iter().take(most) {
                lines.row(words_line(column, table.rows));
            }
            text.push_str(&lines.text(""));
            text.push_str(&more(others.len(), most));
            text.push('\n');
        }
        text
    }
}

fn more(all: usize, listed: usize) -> String {
    match all.saturating_sub(listed) {
        0 => String::new(),
        more => format!("  … {more} more; --all lists them\n"),
    }
}

fn numbers_line(column: &ColumnReport, rows: u64) -> Vec<String> {
    let shown = |value: Option<f64>| value.map_or("-".into(), short);
    let quantile = |of: fn(&describe::Quantiles) -> f64| shown(column.quantiles.as_ref().map(of));
    vec![
        format!("  {}", name(&column.name)),
        share(column.missing, rows),
        distinct(column),
        quantile(|q| q.min),
        quantile(|q| q.p50),
        quantile(|q| q.max),
        shown(column.mean),
        shown(column.sd),
        bars(&column.shape),
    ]
}

fn words_line(column: &ColumnReport, rows: u64) -> Vec<String> {
    let mut top = String::new();
    for word in &column.top {
        let next = format!("{} {}", name(&word.value), share(word.count, rows));
        if top.chars().count() + next.chars().count() > 44 {
            top.push_str(", …");
            break;
        }
        if !top.is_empty() {
            top.push_str(", ");
        }
        top.push_str(&next);
    }
    vec![
        format!("  {}", name(&column.name)),
        if column.kind == Kind::Words { String::new() } else { column.kind.word().into() },
        share(column.missing, rows),
        distinct(column),
        top,
    ]
}

/// The label's values as bars.
fn label(table: &TableReport) -> String {
    const BAR: usize = 40;
    let Some(column) = table.label.map(|at| &table.columns[at]) else { return String::new() };
    let classes: u64 = column.top.iter().map(|word| word.count).sum();
    if column.top.is_empty() || classes + column.missing < table.rows {
        let kind = column.kind.word();
        return format!("Label {}: {kind}, {} different values\n\n", column.name, distinct(column));
    }
    let most = column.top.iter().map(|word| word.count).max().unwrap_or(1).max(1);
    let mut lines = Table::new(&[1, 2]);
    for word in &column.top {
        let eighths = (word.count as f64 / most as f64 * 8.0 * BAR as f64).round() as usize;
        let mut bar = "█".repeat(eighths / 8);
        bar.extend(["▏", "▎", "▍", "▌", "▋", "▊", "▉"].get((eighths % 8).wrapping_sub(1)).copied());
        lines.row([name(&word.value), count(word.count), share(word.count, table.rows), bar]);
    }
    let values = plural(column.top.len() as u64, "value");
    format!("Label {}: {values}\n{}\n", column.name, lines.text("  "))
}

fn findings(findings: &[Finding], coloured: bool) -> String {
    if findings.is_empty() {
        return "Findings: none\n".into();
    }
    let mut text = "Findings\n".to_owned();
    for finding in findings {
        let (word, colour) = match finding.severity {
            Severity::Grave => ("grave   ", "1;31"),
            Severity::Doubtful => ("doubtful", "1;33"),
            Severity::Note => ("note    ", "1;36"),
        };
        let indent = " ".repeat(12);
        let body = wrapped(&finding.what, &indent, WIDTH) + &wrapped(&finding.help, &indent, WIDTH);
        let word = if coloured { format!("\x1b[{colour}m{word}\x1b[0m") } else { word.to_owned() };
        text.push_str(&format!("  {word}  {}", &body[indent.len()..]));
    }
    text
}

/// What is not exact, and how far off it may be.
fn honesty(report: &Report) -> String {
    let tables = std::iter::once(&report.table).chain(&report.second);
    let mut text = String::new();
    for table in tables.clone() {
        if table.quantile_rank_error > 0.0 && text.is_empty() {
            let sentence = format!(
                "Medians, shapes and what columns tell are of {} rows drawn evenly: a quantile's rank is off by {:.1} points at most, 99 times of 100. All else counts every row.",
                count(table.sample_rows as u64),
                100.0 * table.quantile_rank_error
            );
            text.push('\n');
            text.push_str(&wrapped(&sentence, "", WIDTH));
        }
    }
    if tables.clone().any(|table| !table.duplicates_exact) {
        let sentence = "Repeated rows are counted among a part of all rows that was chosen by value, and scaled up.";
        text.push_str(&wrapped(sentence, "", WIDTH));
    }
    if tables.into_iter().any(|table| table.columns.iter().any(|column| !column.distinct_exact)) {
        text.push_str("≈ is an estimate (HyperLogLog), mostly within 0.8 %.\n");
    }
    text
}

fn name(name: &str) -> String {
    let clean = |letter: char| if letter.is_control() { '·' } else { letter };
    let mut shown: String = name.chars().take(NAME_MAX).map(clean).collect();
    if name.chars().nth(NAME_MAX).is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

fn distinct(column: &ColumnReport) -> String {
    let about = if column.distinct_exact { "" } else { "≈" };
    format!("{about}{}", count(column.distinct as u64))
}

fn share(part: u64, rows: u64) -> String {
    match 100.0 * part as f64 / rows.max(1) as f64 {
        _ if part == 0 => "-".into(),
        share if share < 0.1 => "<0.1 %".into(),
        share => format!("{share:.1} %"),
    }
}

/// Five digits that matter.
fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".into();
    }
    if !(1e-4..1e9).contains(&size) {
        return format!("{value:.2e}");
    }
    let before = size.log10().floor() as i32 + 1;
    let decimals = usize::try_from((5 - before).clamp(0, 6)).unwrap_or(0);
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

fn bars(shape: &[u64]) -> String {
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = shape.iter().copied().max().unwrap_or(0).max(1);
    let step = |count: &u64| match *count {
        0 => ' ',
        count => STEPS[((count * 8).div_ceil(most) as usize - 1).min(7)],
    };
    shape.iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_bars_are_eight_high() {
        for (value, text) in [
            (0.0, "0"),
            (12.5, "12.5"),
            (1.0 / 3.0, "0.33333"),
            (123_456.789, "123457"),
            (-0.000_012, "-1.20e-5"),
            (4e12, "4.00e12"),
            (1500.0, "1500"),
        ] {
            assert_eq!(short(value), text);
        }
        assert_eq!(bars(&[0, 1, 8, 4]), " ▁█▄");
        assert_eq!(name("a\u{1b}[2J"), "a·[2J");
        assert_eq!(
            (share(0, 10), share(1, 100_000), share(1, 8)),
            ("-".into(), "<0.1 %".into(), "12.5 %".into())
        );
    }
}
