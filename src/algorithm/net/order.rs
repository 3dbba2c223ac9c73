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

/// A permutation of rows that lie in pages of `page` rows: the pages in an order that follows from
/// the seed and the epoch, and the rows shuffled within each window of `window` rows' worth of
/// pages. As good as [`shuffled`] for learning when a window holds many pages, and a window is all
/// that has to be in memory.
pub fn windowed(seed: u64, epoch: usize, rows: usize, page: usize, window: usize) -> Vec<u32> {
    let pages = rows.div_ceil(page.max(1));
    let mut numbers: Vec<usize> = (0..pages).collect();
    let mut stream = Stream::new(seed, Purpose::Pages, epoch as u64);
    for last in (1..pages).rev() {
        numbers.swap(last, stream.below(last as u64 + 1) as usize);
    }
    let mut order: Vec<u32> = Vec::with_capacity(rows);
    let mut stream = Stream::new(seed, Purpose::Order, epoch as u64);
    for window in numbers.chunks((window / page.max(1)).max(1)) {
        let start = order.len();
        for number in window {
            let range = number * page..((number + 1) * page).min(rows);
            order.extend(
                range.map(|row| u32::try_from(row).expect("a channel has fewer than 2^32 rows")),
            );
        }
        let window = &mut order[start..];
        for last in (1..window.len()).rev() {
            window.swap(last, stream.below(last as u64 + 1) as usize);
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_in_pages_are_visited_once_and_window_by_window() {
        let (one, two) = (windowed(7, 0, 1_003, 16, 64), windowed(7, 1, 1_003, 16, 64));
        assert_ne!(one, two);
        assert_eq!(one, windowed(7, 0, 1_003, 16, 64));
        for window in one.chunks(64) {
            let pages: std::collections::BTreeSet<u32> =
                window.iter().map(|row| row / 16).collect();
            // The last page is short, so that windows after it begin within a page.
            assert!(pages.len() <= 5, "{pages:?}");
        }
        let mut sorted = one;
        sorted.sort_unstable();
        assert!(sorted.iter().enumerate().all(|(at, row)| at == *row as usize));
        assert!(windowed(7, 0, 0, 16, 64).is_empty());
    }

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
