//! Which rows a tree is made of: a uniform sample in one pass over rows whose number need not be
//! known before.

use crate::algorithm::net::random::Stream;

/// Rows of a sample of `samples` among `rows`, by the place they took: all of them when there are
/// no more. Every set of rows is as likely as any other.
///
/// Algorithm L (Li, "Reservoir-Sampling Algorithms of Time Complexity O(n(1 + log(N/n)))", 1994):
/// it draws how many rows to pass over, so a long table costs little more than a short one.
pub(super) fn reservoir(rows: usize, samples: usize, random: &mut Stream) -> Vec<usize> {
    let mut chosen: Vec<usize> = (0..rows.min(samples)).collect();
    let open = |random: &mut Stream| (1.0 - random.unit_f64()).ln();
    let mut log_largest = open(random) / samples as f64;
    let mut at = samples as f64 - 1.0;
    loop {
        let passed = (open(random) / (-log_largest.exp()).ln_1p()).floor();
        at += passed + 1.0;
        // Also the end of what f64 can count, should the largest have come to nothing.
        if at.is_nan() || at >= rows as f64 {
            return chosen;
        }
        chosen[random.below(samples as u64) as usize] = at as usize;
        log_largest += open(random) / samples as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::net::random::Purpose;

    #[test]
    fn every_row_is_as_likely_as_every_other() {
        let mut counts = [0u32; 40];
        for index in 0..8_000 {
            let mut random = Stream::new(3, Purpose::Sample, index);
            let mut chosen = reservoir(40, 5, &mut random);
            chosen.iter().for_each(|row| counts[*row] += 1);
            chosen.sort_unstable();
            chosen.dedup();
            assert_eq!(chosen.len(), 5);
        }
        // 1000 each on average, with a deviation of 29.6.
        assert!(counts.iter().all(|count| (880..1120).contains(count)), "{counts:?}");
    }

    #[test]
    fn few_rows_are_all_taken() {
        let mut random = Stream::new(3, Purpose::Sample, 0);
        assert_eq!(reservoir(3, 5, &mut random), [0, 1, 2]);
        assert!(reservoir(0, 5, &mut random).is_empty());
        assert_eq!(reservoir(1_000_000_000, 1, &mut random).len(), 1);
    }
}
