//! How often each latency was seen, to within 0.4 %, in constant memory: the log-linear buckets
//! of HdrHistogram (Gil Tene).

use std::time::Duration;

/// Buckets for each power of two: values are kept to one part in 256.
const FINE_BITS: u32 = 8;
const FINE: usize = 1 << FINE_BITS;
/// 2^40 ns are 18 minutes; what takes longer is counted as that.
const VALUE_MAX: u64 = (1 << 40) - 1;
const BUCKETS: usize = (40 - FINE_BITS as usize + 1) * FINE;

/// Counts of durations.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    sum_ns: u128,
    max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: vec![0; BUCKETS], total: 0, sum_ns: 0, max_ns: 0 }
    }
}

fn bucket(ns: u64) -> usize {
    // Below 2^FINE_BITS every value has a bucket of its own.
    let power = (u64::BITS - ns.leading_zeros()).saturating_sub(FINE_BITS + 1);
    power as usize * FINE + (ns >> power) as usize
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let power = (bucket / FINE).saturating_sub(1) as u32;
    let fine = (bucket - power as usize * FINE) as u64;
    ((fine + 1) << power) - 1
}

impl Histogram {
    /// Counts one duration.
    pub fn add(&mut self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.max_ns = self.max_ns.max(ns);
        self.sum_ns += u128::from(ns);
        self.total += 1;
        self.counts[bucket(ns.min(VALUE_MAX))] += 1;
    }

    /// Counts all of `other` too.
    pub fn merge(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The greatest.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max_ns)
    }

    /// Their mean; zero when there are none.
    pub fn mean(&self) -> Duration {
        let mean = self.sum_ns / u128::from(self.total.max(1));
        Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// The duration that a share `quantile` (0 to 1) of all did not exceed; zero when there are
    /// none.
    pub fn quantile(&self, quantile: f64) -> Duration {
        let wanted = ((self.total as f64 * quantile).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(upper(at).min(self.max_ns));
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_one_part_in_two_hundred_and_fifty_six() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.99), Duration::ZERO);
        for us in 1..=10_000 {
            histogram.add(Duration::from_micros(us));
        }
        for (quantile, us) in [(0.0, 1.0), (0.5, 5_000.0), (0.99, 9_900.0), (1.0, 10_000.0)] {
            let found = histogram.quantile(quantile).as_secs_f64() * 1e6;
            assert!((found / us - 1.0).abs() <= 1.0 / 256.0, "{quantile}: {found} for {us}");
        }
        assert_eq!(histogram.max(), Duration::from_millis(10));
        assert_eq!(histogram.mean(), Duration::from_nanos(5_000_500));
    }

    #[test]
    fn every_value_lies_within_its_bucket() {
        for shift in 0..40 {
            for ns in [(1_u64 << shift) - 1, 1 << shift, (1 << shift) + 1] {
                let ns = ns.min(VALUE_MAX);
                let at = bucket(ns);
                assert!(upper(at) >= ns, "{ns}");
                assert!(at == 0 || upper(at - 1) < ns, "{ns}");
            }
        }
        let mut histogram = Histogram::default();
        histogram.add(Duration::from_secs(1 << 40));
        assert_eq!(histogram.count(), 1);
    }

    #[test]
    fn halves_merge_to_the_whole() {
        let (mut left, mut right, mut whole) =
            (Histogram::default(), Histogram::default(), Histogram::default());
        for ns in (0..100_000).step_by(77) {
            let time = Duration::from_nanos(ns * ns);
            if ns % 2 == 0 {
                left.add(time)
            } else {
                right.add(time)
            }
            whole.add(time);
        }
        left.merge(&right);
        assert_eq!((left.count(), left.max()), (whole.count(), whole.max()));
        assert_eq!(left.quantile(0.9), whole.quantile(0.9));
    }
}
