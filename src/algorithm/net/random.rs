//! Random numbers that follow from the job's seed alone.
//!
//! Every use has its own stream, keyed by (seed, purpose, index): the weights do not change because
//! the shuffling drew one number more, a resumed training draws what the uninterrupted one would
//! have drawn, and two trainings in one process cannot disturb each other. burn's own generator is
//! global to the process and is never used.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream is for. The numbers are part of what makes a model reproducible: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// First weights; the index is the layer.
    Weights = 1,
    /// The order of rows; the index is the epoch.
    Order = 2,
    /// Dropout masks; the index is the step.
    Dropout = 3,
    /// Drawing a sample of the rows.
    Sample = 4,
    /// The cuts of a random tree; the index is the tree.
    Cut = 5,
    /// A row learned after training; the index is the number of rows seen before it.
    Update = 6,
    /// First centres of k-means; the index is the trial.
    Centres = 11,
    /// Directions a randomized PCA begins with.
    Sketch = 12,
    /// Pairs that were not seen; the index is the step.
    Negatives = 13,
    /// The order of a channel's objects.
    Objects = 20,
    /// The order of the pages of rows on disk; the index is the epoch.
    Pages = 21,
}

/// One stream of random numbers.
#[derive(Debug, Clone)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of `(seed, purpose, index)`.
    pub fn new(seed: u64, purpose: Purpose, index: u64) -> Stream {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&(purpose as u64).to_le_bytes());
        key[16..24].copy_from_slice(&index.to_le_bytes());
        Stream(ChaCha8Rng::from_seed(key))
    }

    /// Goes to the `word`-th 32-bit word of the stream `lane`, so that parts of one mask can be
    /// drawn on several threads and still be the same mask.
    pub fn seek(&mut self, lane: u64, word: u64) {
        self.0.set_stream(lane);
        self.0.set_word_pos(u128::from(word));
    }

    /// 32 random bits.
    pub fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Uniform in [0, 1), 24 bits.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / (1u32 << 24) as f32
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn unit_f64(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in [-bound, bound).
    pub fn symmetric(&mut self, bound: f32) -> f32 {
        (2.0 * self.unit() - 1.0) * bound
    }

    /// Standard normal, by the polar form of Box and Muller.
    pub fn normal(&mut self) -> f32 {
        loop {
            let (x, y) = (self.symmetric(1.0), self.symmetric(1.0));
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                return x * (-2.0 * square.ln() / square).sqrt();
            }
        }
    }

    /// Uniform in 0..end, without bias. `end` must not be 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // Lemire's method: reject the few products that would make small numbers likelier.
        let threshold = end.wrapping_neg() % end;
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(end);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_purpose_and_index_and_repeat_themselves() {
        let draw = |seed, purpose, index| Stream::new(seed, purpose, index).bits();
        let one = draw(7, Purpose::Weights, 0);
        assert_eq!(one, draw(7, Purpose::Weights, 0));
        assert_ne!(one, draw(8, Purpose::Weights, 0));
        assert_ne!(one, draw(7, Purpose::Order, 0));
        assert_ne!(one, draw(7, Purpose::Weights, 1));
    }

    #[test]
    fn a_stream_can_be_entered_anywhere() {
        let mut whole = Stream::new(1, Purpose::Dropout, 5);
        whole.seek(3, 0);
        let words: Vec<u32> = (0..100).map(|_| whole.bits()).collect();
        for at in [0, 1, 17, 63, 64, 99] {
            let mut part = Stream::new(1, Purpose::Dropout, 5);
            part.seek(3, at as u64);
            assert_eq!(part.bits(), words[at]);
        }
    }

    #[test]
    fn numbers_below_an_end_are_even() {
        let mut stream = Stream::new(0, Purpose::Sample, 0);
        let mut counts = [0usize; 5];
        for _ in 0..10_000 {
            counts[stream.below(5) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (1_800..2_200).contains(count)), "{counts:?}");
    }
}
