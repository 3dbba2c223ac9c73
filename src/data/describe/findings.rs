//! What deserves a look before a model is trained, with the reason and what to do.

use ndarray::Array2;
use rayon::prelude::*;

use super::Profile;
use super::column::Kind;
use super::signal::{Target, distance, words_apart};
use crate::spec::limit::WORDS_MAX;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A model or its figures will be wrong.
    Grave,
    /// It may be.
    Doubtful,
    /// Good to know.
    Note,
}

/// One thing that deserves a look.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// What kind of thing (`leak`, `constant`, `id`, …), for programs.
    pub kind: &'static str,
    /// The columns it concerns.
    pub columns: Vec<String>,
    /// What was found, with the figure it rests on.
    pub what: String,
    /// What to do about it.
    pub help: String,
}

/// A column alone tells the label this well, or better than by guessing: it gives it away.
const GIVES: f64 = 0.995;
const NEARLY_GIVES: f64 = 0.98;
/// Correlation beyond which two columns say the same.
const SAME: f64 = 0.9995;
/// Distance between two distributions that is worth a word.
const MOVED: f64 = 0.1;
/// Columns and rows that are compared pair by pair.
const PAIRED_COLUMNS_MAX: usize = 2_048;
const PAIRED_ROWS_MAX: usize = 2_048;
/// Columns that one finding names before it counts.
const NAMED_MAX: usize = 6;

/// Everything, the gravest first.
pub(super) fn all(first: &Profile, second: Option<&Profile>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(second) = second {
        overlap(second, &mut findings);
    }
    label(first, &mut findings);
    leaks(first, &mut findings);
    copies(first, &mut findings);
    columns(first, &mut findings);
    rows(first, &mut findings);
    if let Some(second) = second {
        moved(first, second, &mut findings);
    }
    findings.sort_by_key(|finding| finding.severity);
    findings
}

impl Profile {
    fn name(&self, at: usize) -> &str {
        &self.names[at]
    }

    /// How to leave columns out.
    fn ignoring(&self, columns: &[usize]) -> String {
        if !self.header {
            return "take the column out of the file".into();
        }
        let names: Vec<String> =
            columns.iter().take(NAMED_MAX).map(|at| format!("{:?}", self.name(*at))).collect();
        let more = if columns.len() > NAMED_MAX { ", …" } else { "" };
        format!("`ignore = [{}{more}]`", names.join(", "))
    }

    fn features(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.columns.len()).filter(|at| Some(*at) != self.label)
    }

    /// One finding for all columns that share it.
    fn about(
        &self,
        columns: &[usize],
        severity: Severity,
        kind: &'static str,
        what: impl Fn(&str) -> String,
        help: String,
    ) -> Finding {
        let named: Vec<String> =
            columns.iter().take(NAMED_MAX).map(|at| self.name(*at).to_owned()).collect();
        let more = columns.len().saturating_sub(NAMED_MAX);
        let mut list = named.join(", ");
        if more > 0 {
            list.push_str(&format!(" and {more} more"));
        }
        let columns = columns.iter().map(|at| self.name(*at).to_owned()).collect();
        Finding { severity, kind, columns, what: what(&list), help }
    }
}

fn percent(part: f64, whole: f64) -> String {
    let share = 100.0 * part / whole.max(1.0);
    if share > 0.0 && share < 0.1 { format!("{share:.2} %") } else { format!("{share:.1} %") }
}

/// Rows of the second table that the first one holds too.
fn overlap(second: &Profile, findings: &mut Vec<Finding>) {
    let Some((features, whole)) = second.seen.filter(|(features, _)| *features > 0.0) else {
        return;
    };
    let rows = second.rows as f64;
    let about = if second.label.is_some() && (features - whole).abs() > 0.5 {
        format!(", {whole:.0} of them with the same label")
    } else {
        String::new()
    };
    findings.push(Finding {
        severity: if features / rows > 0.005 { Severity::Grave } else { Severity::Doubtful },
        kind: "rows_in_both",
        columns: Vec::new(),
        what: format!(
            "{features:.0} of {rows} rows of the second table ({}) have the features of a row of the first{about}",
            percent(features, rows)
        ),
        help: "a model has seen their answers: judge it on the other rows, or split anew by row value".into(),
    });
}

fn label(table: &Profile, findings: &mut Vec<Finding>) {
    let Some(at) = table.label else { return };
    let column = &table.columns[at];
    let rows = table.rows;
    if column.missing() > 0 {
        findings.push(table.about(
            &[at],
            Severity::Grave,
            "label_missing",
            |name| format!("the label {name} is missing in {} of {rows} rows", column.missing()),
            "remove those rows or fill the label in: training refuses them".into(),
        ));
    }
    let (distinct, exact) = column.distinct();
    if exact && distinct < 2.0 {
        findings.push(table.about(
            &[at],
            Severity::Grave,
            "one_class",
            |name| format!("the label {name} has one value only"),
            "choose the right column with --label".into(),
        ));
        return;
    }
    let top = column.top(50);
    if !exact || distinct > top.len() as f64 {
        return;
    }
    if let Some(rarest) = top.last().filter(|rarest| (rarest.count as f64) < 0.01 * rows as f64) {
        findings.push(table.about(
            &[at],
            Severity::Note,
            "imbalance",
            |_| {
                let share = percent(rarest.count as f64, rows as f64);
                format!("class {} has {} of {rows} rows ({share})", rarest.value, rarest.count)
            },
            "weigh the classes (`scale_pos_weight`, `positive_example_weight_mult`), and look at precision and recall, not at accuracy".into(),
        ));
    }
}

/// Columns that tell the label too well to be true.
fn leaks(table: &Profile, findings: &mut Vec<Finding>) {
    let Some(label) = table.label else { return };
    let words = table.columns[label].words() > 0;
    let Some(target) = Target::of(&table.sample, label, words) else { return };
    let columns: Vec<usize> = table.features().collect();
    let told: Vec<_> =
        columns.par_iter().map(|at| (*at, target.told_by(&table.sample, *at))).collect();
    for (at, told) in told {
        // As a part of the way from guessing to knowing, where guessing is often right.
        let certain = told.base < 0.95 || told.value > 1.0 - (1.0 - told.base) / 20.0;
        if told.value < NEARLY_GIVES || !certain {
            continue;
        }
        let gives = if told.value >= GIVES { "gives" } else { "nearly gives" };
        let severity = if told.value >= GIVES { Severity::Grave } else { Severity::Doubtful };
        findings.push(table.about(
            &[at],
            severity,
            "leak",
            |name| format!("{name} alone {gives} the label: {} {:.4}", told.measure, told.value),
            format!(
                "is it known before the label is? If not, a model cannot have it: {}",
                table.ignoring(&[at])
            ),
        ));
    }
}

/// Columns that say the same as another one.
fn copies(table: &Profile, findings: &mut Vec<Finding>) {
    let columns: Vec<usize> = table
        .features()
        .filter(|at| table.columns[*at].distinct().0 > 1.0)
        .take(PAIRED_COLUMNS_MAX)
        .collect();
    let mut copied = vec![false; columns.len()];
    let mut by_content = std::collections::HashMap::new();
    for (place, at) in columns.iter().enumerate() {
        let content = table
            .sample
            .column(*at)
            .fold(0_u64, |sum, cell| super::cells::mixed(sum.rotate_left(5) ^ cell.1));
        match by_content.get(&content) {
            None => drop(by_content.insert(content, *at)),
            Some(first) => {
                copied[place] = true;
                let other = table.name(*first).to_owned();
                findings.push(table.about(
                    &[*at],
                    Severity::Doubtful,
                    "copy",
                    |name| format!("{name} holds the same as {other}"),
                    format!("one of them is enough: {}", table.ignoring(&[*at])),
                ));
            }
        }
    }
    let numbers: Vec<usize> = columns
        .iter()
        .zip(&copied)
        .filter(|(at, copied)| !**copied && table.columns[**at].kind().is_number())
        .map(|(at, _)| *at)
        .collect();
    for (a, b, r) in correlated(table, &numbers) {
        let other = table.name(a).to_owned();
        findings.push(table.about(
            &[b],
            Severity::Note,
            "near_copy",
            |name| format!("{name} follows {other}: correlation {r:.4}"),
            format!("one of them is enough: {}", table.ignoring(&[b])),
        ));
    }
}

/// Pairs of columns that go together, each second one once.
fn correlated(table: &Profile, columns: &[usize]) -> Vec<(usize, usize, f64)> {
    let rows = table.sample.len();
    let step = rows.div_ceil(PAIRED_ROWS_MAX).max(1);
    let kept = rows.div_ceil(step);
    if kept < 30 || columns.len() < 2 {
        return Vec::new();
    }
    let standard: Vec<Vec<f32>> = columns
        .par_iter()
        .map(|at| {
            let cells: Vec<f64> = table.sample.column(*at).step_by(step).map(|c| c.0).collect();
            let there: Vec<f64> = cells.iter().copied().filter(|cell| !cell.is_nan()).collect();
            let mean = there.iter().sum::<f64>() / there.len().max(1) as f64;
            let size = there.iter().map(|cell| (cell - mean).powi(2)).sum::<f64>().sqrt();
            let scaled = |cell: &f64| match cell.is_nan() || size == 0.0 {
                true => 0.0,
                false => ((cell - mean) / size) as f32,
            };
            cells.iter().map(scaled).collect()
        })
        .collect();
    let matrix = Array2::from_shape_fn((columns.len(), kept), |(at, row)| standard[at][row]);
    let products = matrix.dot(&matrix.t());
    let mut pairs = Vec::new();
    for b in 1..columns.len() {
        if let Some(a) = (0..b).find(|a| f64::from(products[[*a, b]].abs()) > SAME) {
            pairs.push((columns[a], columns[b], f64::from(products[[a, b]])));
        }
    }
    pairs
}

/// What each column alone shows.
fn columns(table: &Profile, findings: &mut Vec<Finding>) {
    let rows = table.rows as f64;
    let with = |wanted: &dyn Fn(usize) -> bool| -> Vec<usize> {
        table.features().filter(|at| wanted(*at)).collect()
    };
    let kind = |at: usize| table.columns[at].kind();
    let constant = with(&|at| table.columns[at].distinct().0 <= 1.0);
    if !constant.is_empty() {
        findings.push(table.about(
            &constant,
            Severity::Note,
            "constant",
            |names| match constant.len() {
                1 => format!("{names} has one value only"),
                _ => format!("{names} have one value only"),
            },
            format!("they tell nothing: {}", table.ignoring(&constant)),
        ));
    }
    for at in table.features() {
        let column = &table.columns[at];
        let (distinct, exact) = column.distinct();
        let there = rows - column.missing() as f64;
        let all_different = if exact { distinct == there } else { distinct >= 0.97 * there };
        let id_like = matches!(kind(at), Kind::Integer | Kind::Words | Kind::Mixed);
        if all_different && there >= 100.0 && id_like {
            findings.push(table.about(
                &[at],
                Severity::Doubtful,
                "id",
                |name| match exact {
                    true => format!("{name} is different in every row: an id?"),
                    false => format!("{name} is different in nearly every row: an id?"),
                },
                format!("an id says nothing about a new row: {}", table.ignoring(&[at])),
            ));
            continue;
        }
        match kind(at) {
            Kind::Date => findings.push(table.about(
                &[at],
                Severity::Doubtful,
                "date",
                |name| format!("{name} holds dates or times, e.g. {}", column.some_words(1).join("")),
                format!("turn them into numbers (hour, weekday, days since), or {}; split train and test by time", table.ignoring(&[at])),
            )),
            Kind::Text => findings.push(table.about(
                &[at],
                Severity::Doubtful,
                "text",
                |name| format!("{name} holds texts, not categories"),
                format!("turn them into numbers first, or {}", table.ignoring(&[at])),
            )),
            Kind::Mixed => findings.push(table.about(
                &[at],
                Severity::Doubtful,
                "mixed",
                |name| {
                    let some = column.some_words(3);
                    format!("{name} holds numbers and words ({} words, e.g. {})", column.words(), some.join(", "))
                },
                "if the words mean that the value is missing, empty those cells; if all are codes, name the column under `categorical`".into(),
            )),
            Kind::Words if distinct > WORDS_MAX as f64 => findings.push(table.about(
                &[at],
                Severity::Doubtful,
                "many_words",
                |name| format!("{name} holds about {distinct:.0} different words, and a column of words {WORDS_MAX} at most"),
                format!("group them, or {}", table.ignoring(&[at])),
            )),
            Kind::Integer if exact || distinct > 0.0 => {
                if let Some(largest) = beyond_f32(table, at) {
                    findings.push(table.about(
                        &[at],
                        Severity::Note,
                        "rounded",
                        |name| format!("{name} holds whole numbers up to {largest}; models compute with 24 bits, and beyond 16,777,216 neighbours become one"),
                        "if they are codes, name the column under `categorical`; if they are times, subtract a start".into(),
                    ));
                }
            }
            _ => {}
        }
        if there > 0.0 && column.missing() as f64 > 0.5 * rows {
            findings.push(table.about(
                &[at],
                Severity::Note,
                "mostly_missing",
                |name| format!("{name} is missing in {} of the rows", percent(column.missing() as f64, rows)),
                "is it missing at serving as often? Else it tells only how the data were gathered".into(),
            ));
        }
    }
}

fn beyond_f32(table: &Profile, at: usize) -> Option<f64> {
    let numbers = table.sample.column(at).map(|cell| cell.0);
    let largest = numbers.filter(|number| !number.is_nan()).fold(0.0_f64, |a, b| a.max(b.abs()));
    (largest > 16_777_216.0).then_some(largest)
}

/// Rows that are there twice, and rows that contradict each other.
fn rows(table: &Profile, findings: &mut Vec<Finding>) {
    let about = if table.whole.is_exact() { "" } else { "about " };
    let (again, all) = (table.whole.duplicates(), table.rows as f64);
    if again > 0.0 {
        findings.push(Finding {
            severity: if again > 0.01 * all { Severity::Doubtful } else { Severity::Note },
            kind: "duplicate_rows",
            columns: Vec::new(),
            what: format!("{about}{again:.0} rows ({}) repeat an earlier one", percent(again, all)),
            help: "if they are copies, remove them; before a split, keep copies on one side".into(),
        });
    }
    let other = if table.label.is_some() { table.features.contradictions() } else { 0.0 };
    if other > 0.0 && table.columns.len() > 1 {
        findings.push(Finding {
            severity: if other > 0.01 * all { Severity::Doubtful } else { Severity::Note },
            kind: "contradictions",
            columns: Vec::new(),
            what: format!(
                "{about}{other:.0} rows ({}) have the features of an earlier one and another label",
                percent(other, all)
            ),
            help: "no model gets them all right: is a column missing, or are labels wrong?".into(),
        });
    }
}

/// Columns that are spread otherwise in the second table, the farthest first.
fn spread(first: &Profile, second: &Profile, findings: &mut Vec<Finding>) {
    let (n, m) = (first.sample.len() as f64, second.sample.len() as f64);
    // Beyond it by chance once in about two thousand columns (Kolmogorov and Smirnov).
    let chance = 2.0 * ((n + m) / (n * m)).sqrt();
    let all: Vec<usize> = (0..first.columns.len()).collect();
    let mut apart: Vec<(f64, usize)> = all
        .par_iter()
        .filter_map(|at| {
            let (ours, theirs) = (&first.columns[*at], &second.columns[*at]);
            let apart = match (ours.kind().is_number(), theirs.kind().is_number()) {
                (true, true) => distance(&first.sample, &second.sample, *at)?,
                // Words that are nearly all different are others anyway.
                (false, false) if ours.distinct().0 <= 0.1 * n => {
                    words_apart(&first.sample, &second.sample, *at)
                }
                _ => return None,
            };
            (apart > MOVED.max(chance)).then_some((apart, *at))
        })
        .collect();
    if apart.is_empty() {
        return;
    }
    apart.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let named = |(apart, at): &(f64, usize)| format!("{} {apart:.2}", first.name(*at));
    let mut list: Vec<String> = apart.iter().take(2 * NAMED_MAX).map(named).collect();
    if apart.len() > 2 * NAMED_MAX {
        list.push(format!("and {} more", apart.len() - 2 * NAMED_MAX));
    }
    let many = match apart.len() {
        1 => "1 column is".to_owned(),
        many => format!("{many} columns are"),
    };
    findings.push(Finding {
        severity: if apart[0].0 > 0.3 { Severity::Doubtful } else { Severity::Note },
        kind: "moved",
        columns: apart.iter().map(|(_, at)| first.name(*at).to_owned()).collect(),
        what: format!(
            "{many} spread otherwise in the second table, by this distance: {} (Kolmogorov-Smirnov; of words total variation)",
            list.join(", ")
        ),
        help: "is it from another time or place? A model's figures on the one tell less about the other".into(),
    });
}

/// Columns whose values are others in the second table.
fn moved(first: &Profile, second: &Profile, findings: &mut Vec<Finding>) {
    spread(first, second, findings);
    let all: Vec<usize> = (0..first.columns.len()).collect();
    let found: Vec<Vec<Finding>> = all
        .par_iter()
        .map(|at| {
            let mut findings = Vec::new();
            let (ours, theirs) = (&first.columns[*at], &second.columns[*at]);
            let by_number = ours.kind().is_number() && theirs.kind().is_number();
            if ours.kind() != theirs.kind() && by_number != ours.kind().is_number() {
                findings.push(first.about(
                    &[*at],
                    Severity::Grave,
                    "other_kind",
                    |name| format!("{name} is {} in the first table and {} in the second", ours.kind().word(), theirs.kind().word()),
                    "a model trained on the one cannot read the other".into(),
                ));
                return findings;
            }
            if let (Some(known), Some(met)) = (ours.counts(), theirs.counts())
                && theirs.words() > 0
                && Some(*at) != first.label
            {
                let unseen = met.iter().filter(|(word, _)| !known.contains_key(word));
                let cells: u64 = unseen.map(|(_, (count, _))| count).sum();
                if cells as f64 > 0.001 * second.rows as f64 {
                    findings.push(first.about(
                        &[*at],
                        Severity::Note,
                        "unseen_words",
                        |name| format!("{name} holds words in {cells} rows of the second table ({}) that the first has not", percent(cells as f64, second.rows as f64)),
                        "a model takes them as missing".into(),
                    ));
                }
            }
            let share = |profile: &Profile| {
                profile.columns[*at].missing() as f64 / profile.rows.max(1) as f64
            };
            if (share(first) - share(second)).abs() > 0.05 {
                findings.push(first.about(
                    &[*at],
                    Severity::Doubtful,
                    "missing_moved",
                    |name| {
                        format!(
                            "{name} is missing in {:.1} % of the first table and {:.1} % of the second",
                            100.0 * share(first),
                            100.0 * share(second)
                        )
                    },
                    "were the two gathered in the same way?".into(),
                ));
            }
            findings
        })
        .collect();
    findings.extend(found.into_iter().flatten());
}
