//! One column: what is in it.

use std::collections::HashMap;

use super::cells::Cells;
use super::rows::{Sample, SpreadMap};
use crate::spec::limit::{DESCRIBE_DISTINCT_MAX, DESCRIBE_WORDS_SHOWN_MAX};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Nothing but missing values.
    Empty,
    /// Whole numbers.
    Integer,
    /// Numbers.
    Number,
    /// Words.
    Words,
    /// Dates or times.
    Date,
    /// Long texts, nearly all different.
    Text,
    /// Numbers and words.
    Mixed,
}

impl Kind {
    /// As people say it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Empty => "empty",
            Kind::Integer => "integer",
            Kind::Number => "number",
            Kind::Words => "words",
            Kind::Date => "date",
            Kind::Text => "text",
            Kind::Mixed => "mixed",
        }
    }

    /// Whether its cells are numbers.
    pub fn is_number(self) -> bool {
        matches!(self, Kind::Integer | Kind::Number)
    }
}

/// What is told about a column.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ColumnReport {
    /// Its name; `column 3` where the data give none.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Cells without a value.
    pub missing: u64,
    /// Different values.
    pub distinct: f64,
    /// Whether `distinct` is exact; else it is off by 0.8 % in the usual case (HyperLogLog, 16,384
    /// registers: Flajolet, Fusy, Gandouet and Meunier, 2007).
    pub distinct_exact: bool,
    /// Cells that are numbers.
    pub numbers: u64,
    /// Their mean.
    pub mean: Option<f64>,
    /// Their standard deviation (n - 1).
    pub sd: Option<f64>,
    /// Smallest and largest, and the quantiles of the sample between them.
    pub quantiles: Option<Quantiles>,
    /// Cells in eight equal steps between the 1st and the 99th percentile, of the sample.
    pub shape: Vec<u64>,
    /// The most frequent values, when they could be counted.
    pub top: Vec<TopWord>,
}

/// Where the numbers of a column lie.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Quantiles {
    /// The smallest of all.
    pub min: f64,
    /// 1 %
    pub p1: f64,
    /// 25 %
    pub p25: f64,
    /// 50 %
    pub p50: f64,
    /// 75 %
    pub p75: f64,
    /// 99 %
    pub p99: f64,
    /// The largest of all.
    pub max: f64,
}

/// A value and how often it is there.
#[derive(Debug, Clone, serde::Serialize)]
pub struct TopWord {
    /// As it stands in the file, shortened.
    pub value: String,
    /// Cells.
    pub count: u64,
}

/// A column while the table is looked through.
#[derive(Default)]
pub(super) struct Column {
    missing: u64,
    numbers: u64,
    words: u64,
    fractions: u64,
    mean: f64,
    squares: f64,
    min: f64,
    max: f64,
    distinct: Distinct,
    names: HashMap<u64, Name>,
}

struct Name {
    word: String,
    date: bool,
    long: bool,
}

impl Column {
    pub(super) fn take(&mut self, cells: &Cells, at: usize) {
        for (column, hash, word) in &cells.words {
            if *column == at && self.names.len() < DESCRIBE_WORDS_SHOWN_MAX {
                self.names.entry(*hash).or_insert_with(|| Name::of(word));
            }
        }
        for row in 0..cells.rows {
            let (number, hash) = (cells.number(row, at), cells.hash(row, at));
            if hash == 0 {
                self.missing += 1;
                continue;
            }
            self.distinct.add(hash, number);
            if number.is_nan() {
                self.words += 1;
                continue;
            }
            self.numbers += 1;
            self.fractions += u64::from(number.fract() != 0.0);
            if self.numbers == 1 {
                (self.min, self.max) = (number, number);
            }
            self.min = self.min.min(number);
            self.max = self.max.max(number);
            // Welford, 1962.
            let off = number - self.mean;
            self.mean += off / self.numbers as f64;
            self.squares += off * (number - self.mean);
        }
    }

    pub(super) fn kind(&self) -> Kind {
        let named = self.names.len().max(1);
        let share = |of: fn(&Name) -> bool| {
            self.names.values().filter(|name| of(name)).count() as f64 / named as f64
        };
        match (self.numbers, self.words) {
            (0, 0) => Kind::Empty,
            (_, 0) if self.fractions == 0 => Kind::Integer,
            (_, 0) => Kind::Number,
            (0, _) if share(|name| name.date) > 0.95 => Kind::Date,
            (0, _) if share(|name| name.long) > 0.5 && self.names.len() > 20 => Kind::Text,
            (0, _) => Kind::Words,
            _ => Kind::Mixed,
        }
    }

    pub(super) fn missing(&self) -> u64 {
        self.missing
    }

    pub(super) fn words(&self) -> u64 {
        self.words
    }

    pub(super) fn distinct(&self) -> (f64, bool) {
        self.distinct.count()
    }

    /// How often each value was met, where that is known of all of them.
    pub(super) fn counts(&self) -> Option<&SpreadMap<(u64, f64)>> {
        self.distinct.exact()
    }

    /// The value that stands behind a hash.
    pub(super) fn shown(&self, hash: u64, number: f64) -> String {
        match self.names.get(&hash) {
            Some(name) => name.word.clone(),
            None if !number.is_nan() => number.to_string(),
            None => "…".into(),
        }
    }

    /// Some words of the column, in alphabetical order.
    pub(super) fn some_words(&self, many: usize) -> Vec<String> {
        let mut words: Vec<String> = self.names.values().map(|name| name.word.clone()).collect();
        words.sort_unstable();
        words.truncate(many);
        words
    }

    /// Values by how often they are there.
    pub(super) fn top(&self, many: usize) -> Vec<TopWord> {
        let Some(counts) = self.counts() else { return Vec::new() };
        let mut top: Vec<(u64, f64, u64)> =
            counts.iter().map(|(hash, (count, number))| (*count, *number, *hash)).collect();
        // Enough of the most frequent ones that those shown are the first by name, too.
        top.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        let least = top.get(many.saturating_sub(1)).map_or(0, |last| last.0);
        let ties = top.partition_point(|value| value.0 >= least);
        top.truncate(ties);
        let named = |(count, number, hash): (u64, f64, u64)| {
            (number, TopWord { value: self.shown(hash, number), count })
        };
        let mut top: Vec<(f64, TopWord)> = top.into_iter().map(named).collect();
        top.sort_unstable_by(|(a, one), (b, other)| {
            let by_value = a.total_cmp(b).then_with(|| one.value.cmp(&other.value));
            other.count.cmp(&one.count).then(by_value)
        });
        top.truncate(many);
        top.into_iter().map(|(_, word)| word).collect()
    }

    pub(super) fn report(&self, name: &str, sample: &Sample, at: usize) -> ColumnReport {
        const TOP: usize = 12;
        let (distinct, distinct_exact) = self.distinct();
        let mut numbers: Vec<f64> =
            sample.column(at).map(|(number, _)| number).filter(|number| !number.is_nan()).collect();
        numbers.sort_unstable_by(f64::total_cmp);
        let some = self.numbers > 0;
        let sd = (self.numbers > 1).then(|| (self.squares / (self.numbers - 1) as f64).sqrt());
        let quantile = |share: f64| match numbers.len() {
            0 => f64::NAN,
            count => numbers[((count - 1) as f64 * share).round() as usize],
        };
        let quantiles = (some && !numbers.is_empty()).then(|| Quantiles {
            min: self.min,
            p1: quantile(0.01),
            p25: quantile(0.25),
            p50: quantile(0.5),
            p75: quantile(0.75),
            p99: quantile(0.99),
            max: self.max,
        });
        ColumnReport {
            name: name.to_owned(),
            kind: self.kind(),
            missing: self.missing,
            distinct,
            distinct_exact,
            numbers: self.numbers,
            mean: some.then_some(self.mean),
            sd,
            quantiles,
            shape: quantiles.map(|q| shape(&numbers, q.p1, q.p99)).unwrap_or_default(),
            top: if self.words > 0 || distinct <= TOP as f64 { self.top(TOP) } else { Vec::new() },
        }
    }
}

/// How many of the sorted numbers fall into each of eight equal steps.
fn shape(numbers: &[f64], low: f64, high: f64) -> Vec<u64> {
    const STEPS: usize = 8;
    let mut steps = vec![0; STEPS];
    let width = (high - low) / STEPS as f64;
    for number in numbers.iter().filter(|number| (low..=high).contains(*number)) {
        let at = if width > 0.0 { ((number - low) / width) as usize } else { 0 };
        steps[at.min(STEPS - 1)] += 1;
    }
    steps
}

impl Name {
    fn of(word: &str) -> Name {
        let blanks = word.bytes().filter(|byte| *byte == b' ').count();
        Name { date: is_date(word), long: blanks >= 4 || word.len() >= 48, word: word.to_owned() }
    }
}

/// `2026-01-31`, `31/01/2026 10:05`, `2026-01-31T10:05:00Z` and their like: two marks between
/// three groups of digits, or a clock time alone.
fn is_date(word: &str) -> bool {
    let head = word.split(['T', ' ']).next().unwrap_or_default();
    let groups: Vec<&str> = head.split(['-', '/', '.', ':']).collect();
    let digits = |group: &&str| {
        (1..=4).contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_digit())
    };
    groups.len() == 3 && groups.iter().all(digits)
}

/// How many different values there are: counted one by one up to a bound, estimated beyond.
enum Distinct {
    /// Each value's count, and its number.
    Exact(SpreadMap<(u64, f64)>),
    /// The registers of HyperLogLog.
    Estimated(Vec<u8>),
}

impl Default for Distinct {
    fn default() -> Distinct {
        Distinct::Exact(SpreadMap::default())
    }
}

/// Bits of a hash that choose the register.
const REGISTER_BITS: u32 = 14;

impl Distinct {
    #[inline]
    fn add(&mut self, hash: u64, number: f64) {
        match self {
            Distinct::Estimated(registers) => register(registers, hash),
            Distinct::Exact(counts) => {
                counts.entry(hash).or_insert((0, number)).0 += 1;
                if counts.len() > DESCRIBE_DISTINCT_MAX {
                    let mut registers = vec![0; 1 << REGISTER_BITS];
                    counts.keys().for_each(|hash| register(&mut registers, *hash));
                    *self = Distinct::Estimated(registers);
                }
            }
        }
    }

    fn exact(&self) -> Option<&SpreadMap<(u64, f64)>> {
        match self {
            Distinct::Exact(counts) => Some(counts),
            Distinct::Estimated(_) => None,
        }
    }

    fn count(&self) -> (f64, bool) {
        match self {
            Distinct::Exact(counts) => (counts.len() as f64, true),
            Distinct::Estimated(registers) => (estimate(registers), false),
        }
    }
}

fn register(registers: &mut [u8], hash: u64) {
    // Mixed once more: words come from a hash whose low bits the maps use as they are.
    let hash = super::cells::mixed(hash);
    let at = (hash >> (64 - REGISTER_BITS)) as usize;
    let rank = ((hash << REGISTER_BITS) | (1 << (REGISTER_BITS - 1))).leading_zeros() as u8 + 1;
    registers[at] = registers[at].max(rank);
}

fn estimate(registers: &[u8]) -> f64 {
    let many = registers.len() as f64;
    let sum: f64 = registers.iter().map(|rank| (-f64::from(*rank)).exp2()).sum();
    let raw = 0.7213 / (1.0 + 1.079 / many) * many * many / sum;
    let empty = registers.iter().filter(|rank| **rank == 0).count();
    if raw <= 2.5 * many && empty > 0 {
        return (many * (many / empty as f64).ln()).round();
    }
    raw.round()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::describe::cells::mixed;

    #[test]
    fn an_estimate_of_many_values_is_near() {
        for many in [100_000_u64, 1_000_000] {
            let mut distinct = Distinct::default();
            for number in 0..many {
                distinct.add(mixed(number), 0.0);
                distinct.add(mixed(number), 0.0);
            }
            let (count, exact) = distinct.count();
            assert!(!exact);
            assert!((count / many as f64 - 1.0).abs() < 0.03, "{count} of {many}");
        }
    }

    #[test]
    fn dates_are_told_from_words_and_numbers() {
        for date in ["2026-01-31", "31/1/2026 10:05", "2026-01-31T10:05:00Z", "10:05:59"] {
            assert!(is_date(date), "{date}");
        }
        for word in ["a-b-c", "2026", "1.2", "192.168.0.1", "12345-1-1", "--"] {
            assert!(!is_date(word), "{word}");
        }
    }
}
