//! What one column alone tells about the label, and how far two samples of a column are apart.
//!
//! A column is cut into groups (its words, its values when they are few, else 64 groups of equal
//! size; missing values are a group of their own). Half of the sample says what the label is in
//! each group, the other half is judged by it, and the other way round: what is told is not what
//! was learned by heart, so that a column of ids tells nothing.

use std::collections::HashMap;

use super::cells::mixed;
use super::rows::Sample;

/// The label of each row of the sample.
pub(super) enum Target {
    /// Whether it is the rarer of two values; `None` when missing.
    Two(Vec<Option<bool>>),
    /// One of several classes.
    Classes(Vec<Option<u32>>, usize),
    /// A number.
    Number(Vec<Option<f64>>),
}

/// More different values make a number of whole labels.
const CLASSES_MAX: usize = 50;
const GROUPS: usize = 64;

/// How well a column alone tells the label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Told {
    /// `AUC`, `accuracy` or `R²`.
    pub(super) measure: &'static str,
    pub(super) value: f64,
    /// The same without looking at the column.
    pub(super) base: f64,
}

impl Target {
    /// From the sample's label column; `None` when it has one value only.
    pub(super) fn of(sample: &Sample, label: usize, words: bool) -> Option<Target> {
        let cells: Vec<(f64, u64)> = sample.column(label).collect();
        let mut counts: HashMap<u64, usize> = HashMap::new();
        cells.iter().filter(|cell| cell.1 != 0).for_each(|cell| {
            *counts.entry(cell.1).or_default() += 1;
        });
        let mut values: Vec<(usize, u64)> = counts.iter().map(|(hash, n)| (*n, *hash)).collect();
        values.sort_unstable();
        let known = |hash: u64| (hash != 0).then_some(hash);
        match values.len() {
            0 | 1 => None,
            2 => {
                let rarer = values[0].1;
                Some(Target::Two(cells.iter().map(|c| known(c.1).map(|h| h == rarer)).collect()))
            }
            many if words || many <= CLASSES_MAX => {
                let code: HashMap<u64, u32> = values.iter().map(|v| v.1).zip(0..).collect();
                let classes = cells.iter().map(|cell| known(cell.1).map(|hash| code[&hash]));
                Some(Target::Classes(classes.collect(), many))
            }
            _ => {
                let number = |cell: &(f64, u64)| (!cell.0.is_nan()).then_some(cell.0);
                Some(Target::Number(cells.iter().map(number).collect()))
            }
        }
    }

    /// How well the column `at` tells it.
    pub(super) fn told_by(&self, sample: &Sample, at: usize) -> Told {
        let groups = groups(sample, at);
        match self {
            Target::Two(labels) => {
                let hits = |labels: &[bool]| labels.iter().filter(|label| **label).count() as f64;
                let scores = crossed(&groups, labels, |all, group| {
                    let rate = hits(all) / all.len().max(1) as f64;
                    (hits(group) + 2.0 * rate) / (group.len() as f64 + 2.0)
                });
                Told { measure: "AUC", value: auc(&scores), base: 0.5 }
            }
            Target::Classes(labels, many) => {
                let scores = crossed(&groups, labels, |all, group| {
                    let guess = majority(group, *many).or_else(|| majority(all, *many));
                    f64::from(guess.unwrap_or(0))
                });
                let right = scores.iter().filter(|(guess, is)| *guess == f64::from(*is)).count();
                let all: Vec<u32> = labels.iter().flatten().copied().collect();
                let common = majority(&all, *many);
                let base = all.iter().filter(|label| Some(**label) == common).count();
                let share = |count: usize| count as f64 / scores.len().max(1) as f64;
                Told { measure: "accuracy", value: share(right), base: share(base) }
            }
            Target::Number(labels) => {
                let scores = crossed(&groups, labels, |all, group| {
                    let mean = all.iter().sum::<f64>() / all.len().max(1) as f64;
                    (group.iter().sum::<f64>() + mean) / (group.len() as f64 + 1.0)
                });
                let mean = scores.iter().map(|score| score.1).sum::<f64>() / scores.len() as f64;
                let error: f64 = scores.iter().map(|(guess, is)| (is - guess).powi(2)).sum();
                let whole: f64 = scores.iter().map(|(_, is)| (is - mean).powi(2)).sum();
                let value = if whole > 0.0 { (1.0 - error / whole).max(0.0) } else { 0.0 };
                let straight = straight(sample, at, labels);
                Told { measure: "R²", value: value.max(straight), base: 0.0 }
            }
        }
    }
}

/// The squared correlation of a column with a label of numbers.
fn straight(sample: &Sample, at: usize, labels: &[Option<f64>]) -> f64 {
    let cells = sample.column(at).zip(labels);
    let pairs: Vec<(f64, f64)> = cells
        .filter_map(|((number, _), label)| label.filter(|_| !number.is_nan()).map(|l| (number, l)))
        .collect();
    if pairs.len() * 2 < labels.len() {
        return 0.0;
    }
    let many = pairs.len() as f64;
    let (x, y) = pairs.iter().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
    let (x, y) = (x / many, y / many);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (a, b) in pairs {
        xx += (a - x) * (a - x);
        yy += (b - y) * (b - y);
        xy += (a - x) * (b - y);
    }
    if xx > 0.0 && yy > 0.0 { xy * xy / (xx * yy) } else { 0.0 }
}

/// The group of each row.
fn groups(sample: &Sample, at: usize) -> Vec<u64> {
    let cells: Vec<(f64, u64)> = sample.column(at).collect();
    let mut numbers: Vec<f64> =
        cells.iter().map(|cell| cell.0).filter(|number| !number.is_nan()).collect();
    numbers.sort_unstable_by(f64::total_cmp);
    let steps = 1 + numbers.windows(2).filter(|pair| pair[0] != pair[1]).count();
    if steps <= GROUPS {
        return cells.iter().map(|cell| cell.1).collect();
    }
    let borders: Vec<f64> = (1..GROUPS).map(|g| numbers[g * numbers.len() / GROUPS]).collect();
    let group = |cell: &(f64, u64)| match cell.0.is_nan() {
        true => cell.1,
        false => borders.partition_point(|border| *border <= cell.0) as u64 + 1,
    };
    cells.iter().map(group).collect()
}

/// Each labelled row with what the other half of the sample says about its group: `guess` is given
/// all labels of that half, and those of the group.
fn crossed<T: Copy>(
    groups: &[u64],
    labels: &[Option<T>],
    guess: impl Fn(&[T], &[T]) -> f64,
) -> Vec<(f64, T)> {
    let half = |row: usize| mixed(row as u64 ^ 0xa5a5) & 1;
    let mut scores = Vec::new();
    for learned in 0..2 {
        let mut all: Vec<T> = Vec::new();
        let mut by_group: HashMap<u64, Vec<T>> = HashMap::new();
        for (row, label) in labels.iter().enumerate() {
            if let (Some(label), true) = (label, half(row) == learned) {
                all.push(*label);
                by_group.entry(groups[row]).or_default().push(*label);
            }
        }
        let unknown = guess(&all, &[]);
        let guesses: HashMap<u64, f64> =
            by_group.iter().map(|(group, labels)| (*group, guess(&all, labels))).collect();
        for (row, label) in labels.iter().enumerate() {
            if let (Some(label), true) = (label, half(row) != learned) {
                scores.push((guesses.get(&groups[row]).copied().unwrap_or(unknown), *label));
            }
        }
    }
    scores
}

fn majority(labels: &[u32], many: usize) -> Option<u32> {
    let mut counts = vec![0_usize; many];
    labels.iter().for_each(|label| counts[*label as usize] += 1);
    let most = (0u32..).zip(&counts).max_by_key(|(label, count)| (**count, u32::MAX - label));
    most.filter(|(_, count)| **count > 0).map(|(label, _)| label)
}

/// The area under the ROC curve; ties count half.
fn auc(scores: &[(f64, bool)]) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let hits = sorted.iter().filter(|score| score.1).count() as f64;
    let misses = sorted.len() as f64 - hits;
    let (mut below, mut area) = (0.0, 0.0);
    for ties in sorted.chunk_by(|a, b| a.0 == b.0) {
        let hits = ties.iter().filter(|score| score.1).count() as f64;
        let misses = ties.len() as f64 - hits;
        area += hits * (below + misses / 2.0);
        below += misses;
    }
    if hits * misses > 0.0 { area / (hits * misses) } else { 0.5 }
}

/// The largest distance between two distribution functions (Kolmogorov and Smirnov), missing
/// values left out; `None` when one sample has no numbers.
pub(super) fn distance(one: &Sample, other: &Sample, at: usize) -> Option<f64> {
    let sorted = |sample: &Sample| {
        let mut numbers: Vec<f64> =
            sample.column(at).map(|cell| cell.0).filter(|number| !number.is_nan()).collect();
        numbers.sort_unstable_by(f64::total_cmp);
        numbers
    };
    let (a, b) = (sorted(one), sorted(other));
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let (mut i, mut j, mut most) = (0, 0, 0.0_f64);
    while i < a.len() && j < b.len() {
        let value = a[i].min(b[j]);
        i += a[i..].iter().take_while(|number| **number <= value).count();
        j += b[j..].iter().take_while(|number| **number <= value).count();
        most = most.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    Some(most)
}

/// Half the sum of the differences between the shares of each word (total variation).
pub(super) fn words_apart(one: &Sample, other: &Sample, at: usize) -> f64 {
    let shares = |sample: &Sample| {
        let mut counts: HashMap<u64, f64> = HashMap::new();
        let each = 1.0 / sample.len().max(1) as f64;
        sample.column(at).for_each(|cell| *counts.entry(cell.1).or_default() += each);
        counts
    };
    let (a, b) = (shares(one), shares(other));
    let gone: f64 =
        a.iter().map(|(word, share)| (share - b.get(word).unwrap_or(&0.0)).max(0.0)).sum();
    let come: f64 =
        b.iter().map(|(word, share)| (share - a.get(word).unwrap_or(&0.0)).max(0.0)).sum();
    (gone + come) / 2.0
}
