//! Where a column is cut: XGBoost's weighted quantile sketch, step for step.
//!
//! Which of many values become cuts decides a tree as much as its parameters do, and on small data
//! more. So this follows `WQuantileSketch` of XGBoost 3.2 in its queue, its levels, its pruning and
//! its f32 ranks (Chen, Guestrin 2016, appendix): the same column in the same order gives the same
//! cuts. It is exact until a column has more than about eight times as many values as bins. A
//! column of many rows is not sketched but sorted, which is exact and takes less time.

/// Values kept for each bin while values come in.
const FACTOR: f64 = 8.0;

/// A value, with what is known of its rank.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Entry {
    /// Least weight below it.
    low: f32,
    /// Most weight below and at it.
    high: f32,
    /// Weight at it.
    weight: f32,
    value: f32,
}

impl Entry {
    /// Least weight below a value just above this one.
    fn above(&self) -> f32 {
        self.low + self.weight
    }

    /// Most weight at or below a value just below this one.
    fn below(&self) -> f32 {
        self.high - self.weight
    }
}

/// The values of a column that stand for all of them, ascending: at most `bins` + 1, the least and
/// the greatest among them. `column` gives values that are not missing, with their weights.
pub fn choose(column: &[(f32, f32)], bins_max: usize, bins: usize) -> Vec<f32> {
    let mut sketch = Sketch::new(column.len(), bins_max);
    for (value, weight) in column.iter().filter(|(_, weight)| *weight != 0.0) {
        sketch.push(*value, *weight);
    }
    let between = column.len().min((bins_max as f64 * FACTOR) as usize);
    let reduced = prune(&sketch.summary(), between);
    prune(&reduced, bins.min(between) + 1).iter().map(|entry| entry.value).collect()
}

/// The same from all values of a long column, NaN left out, each of weight 1: exact.
pub fn sorted(column: &[f32], bins: usize) -> Vec<f32> {
    let present = column.iter().filter(|value| !value.is_nan());
    let mut keys: Vec<u64> = present.map(|value| key(*value, 0.0)).collect();
    sort(&mut keys);
    let mut distinct: Vec<f32> = Vec::new();
    for pair in keys.chunk_by(|left, right| left == right) {
        if distinct.len() > bins {
            break;
        }
        distinct.push(value_of(pair[0]));
    }
    if distinct.len() > bins {
        let at = |step: usize| value_of(keys[(step * keys.len() / bins).min(keys.len() - 1)]);
        distinct = (0..=bins).map(at).collect();
    }
    // -0 and 0 are one value.
    distinct.dedup();
    distinct
}

/// Each of the values of a column with the number of rows that hold it, ascending, NaN left out.
pub fn counted(column: &[f32]) -> Vec<(f32, usize)> {
    // -0 and 0 are one value.
    let present = column.iter().filter(|value| !value.is_nan());
    let mut keys: Vec<u64> = present.map(|value| key(*value + 0.0, 0.0)).collect();
    sort(&mut keys);
    let runs = keys.chunk_by(|left, right| left == right);
    runs.map(|run| (value_of(run[0]), run.len())).collect()
}

/// A number that sorts as the value does, with its weight behind.
fn key(value: f32, weight: f32) -> u64 {
    let bits = value.to_bits();
    let flip = if bits >> 31 == 1 { u32::MAX } else { 1 << 31 };
    u64::from(bits ^ flip) << 32 | u64::from(weight.to_bits())
}

fn value_of(key: u64) -> f32 {
    let bits = (key >> 32) as u32;
    let flip = if bits >> 31 == 1 { 1 << 31 } else { u32::MAX };
    f32::from_bits(bits ^ flip)
}

/// Sorts by the upper half, eleven bits at a time.
fn sort(keys: &mut Vec<u64>) {
    const DIGIT: u32 = 11;
    if keys.len() < 1 << DIGIT {
        keys.sort_unstable_by_key(|key| key >> 32);
        return;
    }
    let mut spare = vec![0; keys.len()];
    for shift in [32, 32 + DIGIT, 32 + 2 * DIGIT] {
        let digit = |key: u64| (key >> shift) as usize & ((1 << DIGIT) - 1);
        let mut next = [0usize; 1 << DIGIT];
        keys.iter().for_each(|key| next[digit(*key)] += 1);
        let mut sum = 0;
        for next in &mut next {
            sum += std::mem::replace(next, sum);
        }
        for key in keys.iter() {
            let at = &mut next[digit(*key)];
            spare[*at] = *key;
            *at += 1;
        }
        std::mem::swap(keys, &mut spare);
    }
}

struct Sketch {
    limit: usize,
    queue: Vec<(f32, f32)>,
    /// Summaries of ever more values; the first is of one full queue.
    levels: Vec<Vec<Entry>>,
}

impl Sketch {
    fn new(values: usize, bins_max: usize) -> Sketch {
        let step = 1.0 / (values.min(bins_max).max(1) as f64 * FACTOR);
        let mut levels = 1usize;
        let limit = loop {
            let limit = ((levels as f64 / step).ceil() as usize + 1).min(values);
            if levels >= 48 || (1usize << levels).saturating_mul(limit) >= values {
                break limit;
            }
            levels += 1;
        };
        Sketch { limit, queue: Vec::new(), levels: Vec::new() }
    }

    fn push(&mut self, value: f32, weight: f32) {
        if let Some((last, sum)) = self.queue.last_mut()
            && *last == value
        {
            *sum += weight;
            return;
        }
        if self.queue.len() == self.limit * 2 {
            let full = self.drain();
            self.raise(full);
        }
        self.queue.push((value, weight));
    }

    /// The queue as a summary, which is exact.
    fn drain(&mut self) -> Vec<Entry> {
        let mut keys: Vec<u64> =
            self.queue.iter().map(|(value, weight)| key(*value, *weight)).collect();
        sort(&mut keys);
        let pair = |key: &u64| (value_of(*key), f32::from_bits(*key as u32));
        self.queue.clear();
        self.queue.extend(keys.iter().map(pair));
        let mut entries: Vec<Entry> = Vec::with_capacity(self.queue.len());
        let mut sum = 0.0f32;
        // -0 and 0 are one value.
        for run in self.queue.chunk_by(|left, right| left.0 == right.0) {
            let weight: f32 = run.iter().map(|(_, weight)| weight).sum();
            entries.push(Entry { low: sum, high: sum + weight, weight, value: run[0].0 });
            sum += weight;
        }
        self.queue.clear();
        entries
    }

    /// Merges a summary into the levels, as a carry goes up a binary number.
    fn raise(&mut self, mut full: Vec<Entry>) {
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let own = &mut self.levels[level];
            if own.is_empty() {
                *own = prune(&full, self.limit);
                return;
            }
            full = merge(&prune(&full, self.limit), own);
            if full.len() <= self.limit {
                *own = full;
                return;
            }
            own.clear();
        }
    }

    fn summary(&mut self) -> Vec<Entry> {
        let rest = self.drain();
        let mut out = prune(&rest, self.limit);
        for level in self.levels.iter().filter(|level| !level.is_empty()) {
            out =
                if out.is_empty() { level.clone() } else { prune(&merge(&out, level), self.limit) };
        }
        out
    }
}

/// At most `size` entries at even steps of rank, both ends among them.
fn prune(from: &[Entry], size: usize) -> Vec<Entry> {
    if from.len() <= size || size < 2 {
        return from.to_vec();
    }
    let last = from.len() - 1;
    let begin = from[0].high;
    let range = from[last].low - begin;
    let steps = size - 1;
    let mut chosen = Vec::with_capacity(size);
    chosen.push(from[0]);
    let (mut at, mut latest) = (1, 0);
    for step in 1..steps {
        let twice = 2.0 * ((step as f32 * range) / steps as f32 + begin);
        while at < last && twice >= from[at + 1].high + from[at + 1].low {
            at += 1;
        }
        if at == last {
            break;
        }
        let next = if twice < from[at].above() + from[at + 1].below() { at } else { at + 1 };
        if next != latest {
            chosen.push(from[next]);
            latest = next;
        }
    }
    if latest != last {
        chosen.push(from[last]);
    }
    chosen
}

/// Both summaries as one, ranks added.
fn merge(a: &[Entry], b: &[Entry]) -> Vec<Entry> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut at_a, mut at_b) = (0, 0);
    let (mut before_a, mut before_b) = (0.0, 0.0);
    let top = |entries: &[Entry]| entries.last().map_or(0.0, |last| last.high);
    let one = |entry: Entry, low: f32, high: f32| Entry {
        low: entry.low + low,
        high: entry.high + high,
        ..entry
    };
    while let (Some(&left), Some(&right)) = (a.get(at_a), b.get(at_b)) {
        if left.value == right.value {
            let weight = left.weight + right.weight;
            out.push(Entry { weight, ..one(left, right.low, right.high) });
            (before_a, before_b) = (left.above(), right.above());
            at_a += 1;
            at_b += 1;
        } else if left.value < right.value {
            out.push(one(left, before_b, right.below()));
            before_a = left.above();
            at_a += 1;
        } else {
            out.push(one(right, before_a, left.below()));
            before_b = right.above();
            at_b += 1;
        }
    }
    out.extend(a[at_a..].iter().map(|entry| one(*entry, before_b, top(b))));
    out.extend(b[at_b..].iter().map(|entry| one(*entry, before_a, top(a))));
    mend(&mut out);
    out
}

/// Undoes what rounding did to the order of ranks.
fn mend(entries: &mut [Entry]) {
    let (mut low, mut high) = (0.0f32, 0.0f32);
    for entry in entries {
        entry.low = entry.low.max(low);
        low = entry.low;
        entry.high = entry.high.max(high).max(entry.above());
        high = entry.high;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(rows: usize) -> Vec<(f32, f32)> {
        (0..rows).map(|row| (((row * 7919) % rows) as f32, 1.0)).collect()
    }

    #[test]
    fn few_values_are_all_kept() {
        let values = [(3.0, 1.0), (1.0, 1.0), (3.0, 1.0), (2.0, 1.0), (9.0, 0.0)];
        assert_eq!(choose(&values, 256, 256), [1.0, 2.0, 3.0]);
        assert_eq!(choose(&[(5.0, 2.0)], 256, 256), [5.0]);
        assert!(choose(&[], 256, 256).is_empty());
    }

    #[test]
    fn many_values_are_kept_at_even_ranks() {
        let chosen = choose(&column(200_000), 64, 64);
        assert_eq!(chosen.len(), 65);
        assert_eq!((chosen[0], chosen[64]), (0.0, 199_999.0));
        for (at, value) in chosen.iter().enumerate() {
            let expected = at as f32 * 200_000.0 / 64.0;
            assert!((value - expected).abs() < 400.0, "{at}: {value} {expected}");
        }
    }

    #[test]
    fn weights_move_the_ranks() {
        let heavy = |row: usize| if row < 1000 { 9.0 } else { 1.0 };
        let values: Vec<(f32, f32)> = (0..10_000).map(|row| (row as f32, heavy(row))).collect();
        let chosen = choose(&values, 18, 18);
        let below = chosen.iter().filter(|value| **value <= 1000.0).count();
        assert!((9..=11).contains(&below), "{chosen:?}");
    }
}
