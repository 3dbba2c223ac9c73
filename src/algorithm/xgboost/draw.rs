//! Which rows and columns a tree sees. Every draw is a function of seed, round, tree and place,
//! so a training that was resumed draws what it would have drawn.

/// The draws of one tree.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    key: u64,
}

impl Draw {
    /// For tree number `tree` (of all groups and parallel ones) of `round`.
    pub fn new(seed: u64, round: usize, tree: usize) -> Draw {
        Draw { key: mix(mix(mix(seed) ^ round as u64) ^ tree as u64) }
    }

    /// Whether the tree sees this row, with probability `share`.
    pub fn row(&self, row: usize, share: f64) -> bool {
        share >= 1.0 || unit(mix(self.key ^ mix(row as u64))) < share
    }

    /// A number that orders rows at random.
    pub fn key_of(&self, row: usize) -> u64 {
        mix(self.key ^ mix(row as u64))
    }

    /// A number below `end`, which is not 0; `place` tells draws of one tree apart.
    pub fn below(&self, end: usize, place: u64) -> usize {
        (mix(self.key ^ mix(place)) % end.max(1) as u64) as usize
    }

    /// `share` of the columns of `from`, at least one, ascending. `place` tells draws of one tree
    /// apart.
    pub fn columns(&self, from: &[u32], share: f64, place: u64) -> Vec<u32> {
        if share >= 1.0 || from.is_empty() {
            return from.to_vec();
        }
        let count = ((from.len() as f64 * share) as usize).max(1);
        let mut pool = from.to_vec();
        let mut state = mix(self.key ^ mix(!place));
        for at in 0..count {
            state = mix(state);
            let left = (pool.len() - at) as u64;
            pool.swap(at, at + (state % left) as usize);
        }
        pool.truncate(count);
        pool.sort_unstable();
        pool
    }
}

/// Which rows a tree sees.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'a> {
    /// Every row.
    All,
    /// Each with this probability, by this draw.
    Share(Draw, f64),
    /// Those that are marked.
    Marked(&'a [bool]),
}

impl Seen<'_> {
    /// Whether the tree sees this row.
    pub fn has(&self, row: usize) -> bool {
        match self {
            Seen::All => true,
            Seen::Share(draw, share) => draw.row(row, *share),
            Seen::Marked(marks) => marks[row],
        }
    }

    /// Whether it sees every row.
    pub fn is_all(&self) -> bool {
        matches!(self, Seen::All)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn unit(x: u64) -> f64 {
    (x >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_drawn_at_their_share_and_anew_for_each_tree() {
        let (one, two) = (Draw::new(7, 0, 0), Draw::new(7, 0, 1));
        let seen = |draw: &Draw| (0..10_000).filter(|row| draw.row(*row, 0.3)).collect::<Vec<_>>();
        assert!((2800..3200).contains(&seen(&one).len()));
        assert_ne!(seen(&one), seen(&two));
        assert_eq!(seen(&one), seen(&Draw::new(7, 0, 0)));
    }

    #[test]
    fn columns_are_a_subset_of_the_right_size() {
        let draw = Draw::new(1, 2, 3);
        let from: Vec<u32> = (0..10).map(|n| n * 3).collect();
        let some = draw.columns(&from, 0.5, 9);
        assert_eq!(some.len(), 5);
        assert!(some.iter().all(|column| from.contains(column)));
        assert!(some.is_sorted());
        assert_eq!(draw.columns(&from, 0.01, 9).len(), 1);
    }
}
