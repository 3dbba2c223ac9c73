//! In which order an epoch visits the rows.

use super::random::{Purpose, Stream};

/// A permutation of `rows` rows that follows from the seed and the epoch (Fisher and Yates).
/// At most 2^32 rows, which at one byte a row is more than a job may hold.
pub fn shuffled(seed: u64, epoch: usize, rows: usize) -> Vec<u32> {
    let count = u32::try_from(rows).expect("a channel in memory has fewer than 2^32 rows");
    let mut order: Vec<u32> = (0..count).collect();
    let mut stream = Stream::new(seed, Purpose::Order, epoch as u64);
    for last in (1..rows).rev() {
        order.swap(last, stream.below(last as u64 + 1) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_visited_once_and_epochs_differ() {
        let (one, two) = (shuffled(7, 0, 1_000), shuffled(7, 1, 1_000));
        assert_ne!(one, two);
        assert_eq!(one, shuffled(7, 0, 1_000));
        let mut sorted = one;
        sorted.sort_unstable();
        assert!(sorted.iter().enumerate().all(|(at, row)| at == *row as usize));
        assert!(shuffled(7, 0, 0).is_empty());
        assert_eq!(shuffled(7, 0, 1), [0]);
    }
}
