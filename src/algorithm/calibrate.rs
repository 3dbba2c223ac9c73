//! From which score on a binary classifier says "positive".
//!
//! Every threshold that tells some rows apart is tried, in one sweep over the sorted scores; the
//! answer is exact. It reads scores and labels only and knows no model.

use super::metric::{Confusion, by_score};

/// What the threshold should be best for: `binary_classifier_model_selection_criteria`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Criterion {
    /// Most rows called right.
    Accuracy,
    /// Greatest F with this beta.
    FBeta(f64),
    /// Greatest precision among thresholds with at least this recall.
    PrecisionAtRecall(f64),
    /// Greatest recall among thresholds with at least this precision; where none reaches it, the
    /// greatest precision.
    RecallAtPrecision(f64),
    /// No choice: 0.5, and models are compared by their loss.
    Loss,
}

/// A threshold and what it reaches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// Scores at or above it are positive.
    pub at: f32,
    /// Whether the criterion's target was reached; true where it has none.
    pub met: bool,
    /// The criterion's figure on the rows it was chosen on; 0 for [`Criterion::Loss`]. Where the
    /// target was not reached, how near it came.
    pub reached: f64,
}

impl Threshold {
    /// Where nothing is chosen.
    pub const HALF: Threshold = Threshold { at: 0.5, met: true, reached: 0.0 };
}

/// The threshold that is best for `criterion`. Of several equally good ones the nearest to 0.5
/// wins. Between two neighbouring scores it lies in the middle, so that unseen rows near either
/// keep their side.
pub fn threshold(
    criterion: Criterion,
    scores: &[f32],
    positive: &[bool],
    weight: Option<&[f32]>,
) -> Threshold {
    if criterion == Criterion::Loss || scores.is_empty() {
        return Threshold::HALF;
    }
    let order = by_score(scores);
    // Below every score all rows are positive; each step moves one group of equal scores over.
    let mut confusion = Confusion::count(scores, positive, weight, f32::NEG_INFINITY);
    let mut best = Best { criterion, threshold: lowest(scores[order[0]]), rank: (false, 0.0) };
    best.rank = best.rank_of(&confusion);
    let mut at = 0;
    while at < order.len() {
        let score = scores[order[at]];
        while at < order.len() && scores[order[at]] == score {
            let row = order[at];
            let weight = weight.map_or(1.0, |weight| f64::from(weight[row]));
            if positive[row] {
                confusion.true_positive -= weight;
                confusion.false_negative += weight;
            } else {
                confusion.false_positive -= weight;
                confusion.true_negative += weight;
            }
            at += 1;
        }
        let cut = match order.get(at) {
            Some(next) => between(score, scores[*next]),
            None => above(score),
        };
        best.offer(cut, &confusion);
    }
    Threshold { at: best.threshold, met: best.rank.0, reached: best.rank.1 }
}

/// What `criterion` says of rows already split, as [`threshold`] ranks it.
pub fn reached(criterion: Criterion, confusion: &Confusion) -> f64 {
    match criterion {
        Criterion::Accuracy => confusion.accuracy(),
        Criterion::FBeta(beta) => confusion.f_beta(beta),
        Criterion::PrecisionAtRecall(_) => confusion.precision(),
        Criterion::RecallAtPrecision(_) => confusion.recall(),
        Criterion::Loss => 0.0,
    }
}

struct Best {
    criterion: Criterion,
    threshold: f32,
    /// Whether the target is met, then the figure.
    rank: (bool, f64),
}

/// Weighted counts are sums and differences of many terms; figures closer than this are equal.
const EQUAL: f64 = 1e-12;

impl Best {
    fn offer(&mut self, threshold: f32, confusion: &Confusion) {
        let rank = self.rank_of(confusion);
        let equal = rank.0 == self.rank.0 && (rank.1 - self.rank.1).abs() <= EQUAL;
        let nearer = (threshold - 0.5).abs() < (self.threshold - 0.5).abs();
        if (equal && nearer) || (!equal && rank > self.rank) {
            (self.threshold, self.rank) = (threshold, rank);
        }
    }

    fn rank_of(&self, confusion: &Confusion) -> (bool, f64) {
        let figure = reached(self.criterion, confusion);
        match self.criterion {
            Criterion::PrecisionAtRecall(target) => {
                let met = confusion.recall() >= target - EQUAL;
                (met, if met { figure } else { confusion.recall() })
            }
            Criterion::RecallAtPrecision(target) => {
                let met = confusion.precision() >= target - EQUAL;
                (met, if met { figure } else { confusion.precision() })
            }
            _ => (true, figure),
        }
    }
}

/// A threshold that calls every score positive: 0.5 when it does, else the lowest score.
fn lowest(score: f32) -> f32 {
    score.min(0.5)
}

/// A threshold above `score`: 0.5 when it is, else the next number.
fn above(score: f32) -> f32 {
    if score < 0.5 { 0.5 } else { score.next_up() }
}

/// A threshold above `low` and at most `high`: 0.5 when it is between, else their middle.
fn between(low: f32, high: f32) -> f32 {
    if low < 0.5 && 0.5 <= high {
        return 0.5;
    }
    let middle = low + (high - low) / 2.0;
    if middle > low && middle <= high { middle } else { high }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRITERIA: [Criterion; 6] = [
        Criterion::Accuracy,
        Criterion::FBeta(1.0),
        Criterion::FBeta(2.0),
        Criterion::PrecisionAtRecall(0.8),
        Criterion::RecallAtPrecision(0.7),
        Criterion::RecallAtPrecision(1.0),
    ];

    fn rows(count: usize, salt: usize, steps: usize) -> (Vec<f32>, Vec<bool>, Vec<f32>) {
        let noise = |row: usize, by: usize| (row * by + salt * 613) % 997;
        let scores: Vec<f32> =
            (0..count).map(|row| (noise(row, 389) % steps) as f32 / steps as f32).collect();
        let positive = (0..count)
            .map(|row| scores[row] + (noise(row, 733) as f32 / 997.0 - 0.5) * 1.2 > 0.55)
            .collect();
        let weight = (0..count).map(|row| 0.5 + (noise(row, 211) % 5) as f32 * 0.5).collect();
        (scores, positive, weight)
    }

    /// Every threshold that can matter, one after the other.
    fn brute(
        criterion: Criterion,
        scores: &[f32],
        positive: &[bool],
        weight: Option<&[f32]>,
    ) -> f64 {
        let cuts = scores.iter().copied().chain([f32::INFINITY]);
        let figures = cuts.map(|cut| {
            let confusion = Confusion::count(scores, positive, weight, cut);
            let (precision, recall) = (confusion.precision(), confusion.recall());
            match criterion {
                Criterion::PrecisionAtRecall(target) if recall < target - 1e-12 => (false, recall),
                Criterion::RecallAtPrecision(target) if precision < target - 1e-12 => {
                    (false, precision)
                }
                _ => (true, reached(criterion, &confusion)),
            }
        });
        figures.fold((false, -1.0), |best, one| if one > best { one } else { best }).1
    }

    #[test]
    fn the_sweep_finds_what_trying_every_threshold_finds() {
        for criterion in CRITERIA {
            for (count, salt, steps) in [(1, 0, 5), (2, 1, 7), (60, 2, 9), (200, 3, 997)] {
                let (scores, positive, weight) = rows(count, salt, steps);
                for weight in [None, Some(weight.as_slice())] {
                    let found = threshold(criterion, &scores, &positive, weight);
                    let best = brute(criterion, &scores, &positive, weight);
                    assert!((found.reached - best).abs() < 1e-9, "{criterion:?} {count} {found:?}");
                    let confusion = Confusion::count(&scores, &positive, weight, found.at);
                    let figure = match criterion {
                        Criterion::PrecisionAtRecall(t) if confusion.recall() < t - 1e-9 => {
                            confusion.recall()
                        }
                        Criterion::RecallAtPrecision(t) if confusion.precision() < t - 1e-9 => {
                            confusion.precision()
                        }
                        _ => reached(criterion, &confusion),
                    };
                    assert!((figure - best).abs() < 1e-9, "{criterion:?} {count} {found:?}");
                }
            }
        }
    }

    #[test]
    fn the_threshold_lies_between_its_neighbours() {
        let found = threshold(Criterion::Accuracy, &[0.1, 0.2, 0.4], &[false, false, true], None);
        assert!((found.at - 0.3).abs() < 1e-6);
        assert_eq!(found.reached, 1.0);
        let found = threshold(Criterion::Accuracy, &[0.1, 0.9], &[false, true], None);
        assert_eq!(found.at, 0.5);
    }

    #[test]
    fn neighbouring_numbers_are_told_apart() {
        let low = 0.25_f32;
        let scores = [low, low.next_up()];
        let found = threshold(Criterion::Accuracy, &scores, &[false, true], None);
        assert_eq!(found, Threshold { at: scores[1], met: true, reached: 1.0 });
        let found = threshold(Criterion::Accuracy, &[1.0, 1.0], &[false, false], None);
        assert!(found.at > 1.0);
    }

    #[test]
    fn loss_keeps_one_half() {
        assert_eq!(threshold(Criterion::Loss, &[0.9, 0.8], &[true, false], None).at, 0.5);
    }
}
