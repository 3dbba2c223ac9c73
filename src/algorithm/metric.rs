//! How good answers are, under SageMaker's names.
//!
//! All figures are computed on the host in f64, in row order, so they do not depend on threads.
//! Row weights count where the data have them. A figure that does not exist for the data (an AUC
//! of one class) is left out, never reported as 0 or NaN.

use super::Metric;

/// Rows by answer and truth, each counted by its weight.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Confusion {
    /// Positive and called so.
    pub true_positive: f64,
    /// Negative and called positive.
    pub false_positive: f64,
    /// Negative and called so.
    pub true_negative: f64,
    /// Positive and called negative.
    pub false_negative: f64,
}

impl Confusion {
    /// Counts rows; a score at or above `threshold` calls its row positive.
    pub fn count(
        scores: &[f32],
        positive: &[bool],
        weight: Option<&[f32]>,
        threshold: f32,
    ) -> Self {
        let mut confusion = Confusion::default();
        for (row, (score, positive)) in scores.iter().zip(positive).enumerate() {
            let cell = match (*score >= threshold, *positive) {
                (true, true) => &mut confusion.true_positive,
                (true, false) => &mut confusion.false_positive,
                (false, false) => &mut confusion.true_negative,
                (false, true) => &mut confusion.false_negative,
            };
            *cell += weight_of(weight, row);
        }
        confusion
    }

    /// Share of rows called right.
    pub fn accuracy(&self) -> f64 {
        let right = self.true_positive + self.true_negative;
        ratio(right, right + self.false_positive + self.false_negative)
    }

    /// Share of rows called positive that are; 0 when none is called so.
    pub fn precision(&self) -> f64 {
        ratio(self.true_positive, self.true_positive + self.false_positive)
    }

    /// Share of positive rows called so; 0 when there is none.
    pub fn recall(&self) -> f64 {
        ratio(self.true_positive, self.true_positive + self.false_negative)
    }

    /// The weighted harmonic mean of precision and recall; recall weighs `beta`² times as much.
    pub fn f_beta(&self, beta: f64) -> f64 {
        let square = beta * beta;
        let hit = (1.0 + square) * self.true_positive;
        ratio(hit, hit + square * self.false_negative + self.false_positive)
    }
}

/// Area under the ROC curve, exact, ties counting half; `None` when only one class has weight.
/// O(n log n).
pub fn roc_auc(scores: &[f32], positive: &[bool], weight: Option<&[f32]>) -> Option<f64> {
    let order = by_score(scores);
    let (mut below, mut area, mut positives) = (0.0, 0.0, 0.0);
    let mut at = 0;
    while at < order.len() {
        let score = scores[order[at]];
        let (mut tied_positive, mut tied_negative) = (0.0, 0.0);
        while at < order.len() && scores[order[at]] == score {
            let row = order[at];
            let cell = if positive[row] { &mut tied_positive } else { &mut tied_negative };
            *cell += weight_of(weight, row);
            at += 1;
        }
        area += tied_positive * (below + tied_negative / 2.0);
        below += tied_negative;
        positives += tied_positive;
    }
    let pairs = positives * below;
    (pairs > 0.0).then(|| area / pairs)
}

/// Row numbers in ascending order of score; equal scores stay in row order.
pub fn by_score(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|left, right| scores[*left].total_cmp(&scores[*right]));
    order
}

/// Mean cross-entropy of probabilities of the positive class, cut at 1e-7 from 0 and 1 (f32).
pub fn log_loss(scores: &[f32], positive: &[bool], weight: Option<&[f32]>) -> f64 {
    mean(scores.len(), weight, |row| {
        let score = f64::from(scores[row]).clamp(1e-7, 1.0 - 1e-7);
        -(if positive[row] { score } else { 1.0 - score }).ln()
    })
}

/// Mean squared error.
pub fn mean_squared(scores: &[f32], targets: &[f32], weight: Option<&[f32]>) -> f64 {
    mean(scores.len(), weight, |row| {
        let error = f64::from(scores[row]) - f64::from(targets[row]);
        error * error
    })
}

/// Mean absolute error.
pub fn mean_absolute(scores: &[f32], targets: &[f32], weight: Option<&[f32]>) -> f64 {
    mean(scores.len(), weight, |row| (f64::from(scores[row]) - f64::from(targets[row])).abs())
}

/// The figures of a multiclass answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Multiclass {
    /// Share of rows whose most probable class is theirs.
    pub accuracy: f64,
    /// Share of rows whose class is among the `top_k` most probable.
    pub top_k_accuracy: f64,
    /// Mean over classes of their precision, recall and F, each class against the rest. Classes
    /// that are neither present nor answered are left out, as scikit-learn does.
    pub macro_precision: f64,
    /// See `macro_precision`.
    pub macro_recall: f64,
    /// See `macro_precision`.
    pub macro_f_beta: f64,
    /// Mean of 1 / log2(1 + rank of the true class).
    pub dcg: f64,
    /// Mean cross-entropy.
    pub log_loss: f64,
}

impl Multiclass {
    /// From `classes` probabilities per row and the class of each row. Of equal probabilities the
    /// first class wins.
    pub fn count(
        probabilities: &[f32],
        classes: usize,
        codes: &[u32],
        weight: Option<&[f32]>,
        top_k: usize,
        beta: f64,
    ) -> Multiclass {
        let mut each = vec![Confusion::default(); classes];
        let (mut right, mut near, mut gain, mut loss, mut total) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (row, (scores, code)) in probabilities.chunks_exact(classes).zip(codes).enumerate() {
            let (weight, code) = (weight_of(weight, row), *code as usize);
            let rank = rank(scores, code);
            let answer = argmax(scores);
            total += weight;
            if rank == 0 {
                right += weight;
                each[code].true_positive += weight;
            } else {
                each[code].false_negative += weight;
                each[answer].false_positive += weight;
            }
            near += if rank < top_k { weight } else { 0.0 };
            gain += weight / (rank as f64 + 2.0).log2();
            loss -= weight * f64::from(scores[code]).clamp(1e-7, 1.0).ln();
        }
        let seen =
            |one: &&Confusion| one.true_positive + one.false_positive + one.false_negative > 0.0;
        let present = each.iter().filter(seen).count() as f64;
        let macro_mean = |figure: fn(&Confusion, f64) -> f64| {
            ratio(each.iter().filter(seen).map(|one| figure(one, beta)).sum(), present)
        };
        Multiclass {
            accuracy: ratio(right, total),
            top_k_accuracy: ratio(near, total),
            macro_precision: macro_mean(|one, _| one.precision()),
            macro_recall: macro_mean(|one, _| one.recall()),
            macro_f_beta: macro_mean(|one, beta| one.f_beta(beta)),
            dcg: ratio(gain, total),
            log_loss: ratio(loss, total),
        }
    }
}

/// The most probable class; of equal ones the first.
pub fn argmax(scores: &[f32]) -> usize {
    let better = |best: usize, at: usize| if scores[at] > scores[best] { at } else { best };
    (1..scores.len()).fold(0, better)
}

/// How many classes stand before `code` when sorted by probability, ties by class.
fn rank(scores: &[f32], code: usize) -> usize {
    let own = scores[code];
    let before = |(at, score): &(usize, &f32)| **score > own || (**score == own && *at < code);
    scores.iter().enumerate().filter(before).count()
}

/// What the metrics of a channel are computed from.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// `train`, `validation` or `test`: the prefix of every name.
    pub channel: &'a str,
    /// Scores as the model answers them: one per row, or one per row and class.
    pub scores: &'a [f32],
    /// Weight of each row, when the data have them.
    pub weight: Option<&'a [f32]>,
    /// The objective's mean, as trained.
    pub objective_loss: f64,
}

impl Rows<'_> {
    fn name(&self, figure: &str, value: f64) -> Metric {
        Metric { name: format!("{}:{figure}", self.channel), value }
    }

    /// The figures of a binary classifier.
    pub fn binary(&self, positive: &[bool], threshold: f32, beta: f64) -> Vec<Metric> {
        let confusion = Confusion::count(self.scores, positive, self.weight, threshold);
        let mut list = vec![
            self.name("objective_loss", self.objective_loss),
            self.name("binary_classification_accuracy", confusion.accuracy()),
            self.name("binary_f_beta", confusion.f_beta(beta)),
            self.name("precision", confusion.precision()),
            self.name("recall", confusion.recall()),
        ];
        if let Some(auc) = roc_auc(self.scores, positive, self.weight) {
            list.push(self.name("roc_auc_score", auc));
        }
        list
    }

    /// The figures of a multiclass classifier.
    pub fn multiclass(
        &self,
        codes: &[u32],
        classes: usize,
        top_k: usize,
        beta: f64,
    ) -> Vec<Metric> {
        let found = Multiclass::count(self.scores, classes, codes, self.weight, top_k, beta);
        vec![
            self.name("objective_loss", self.objective_loss),
            self.name("multiclass_accuracy", found.accuracy),
            self.name("multiclass_top_k_accuracy", found.top_k_accuracy),
            self.name("macro_f_beta", found.macro_f_beta),
            self.name("macro_precision", found.macro_precision),
            self.name("macro_recall", found.macro_recall),
            self.name("dcg", found.dcg),
        ]
    }

    /// The figures of a regressor.
    pub fn regression(&self, targets: &[f32]) -> Vec<Metric> {
        let square = mean_squared(self.scores, targets, self.weight);
        vec![
            self.name("objective_loss", self.objective_loss),
            self.name("mse", square),
            self.name("rmse", square.sqrt()),
            self.name("absolute_loss", mean_absolute(self.scores, targets, self.weight)),
        ]
    }
}

/// Weighted mean of a figure over rows.
fn mean(rows: usize, weight: Option<&[f32]>, figure: impl Fn(usize) -> f64) -> f64 {
    let (mut sum, mut total) = (0.0, 0.0);
    for row in 0..rows {
        let weight = weight_of(weight, row);
        sum += weight * figure(row);
        total += weight;
    }
    ratio(sum, total)
}

fn weight_of(weight: Option<&[f32]>, row: usize) -> f64 {
    weight.map_or(1.0, |weight| f64::from(weight[row]))
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f32; 8] = [0.1, 0.4, 0.35, 0.8, 0.4, 0.7, 0.2, 0.9];
    const TRUTH: [bool; 8] = [false, false, true, true, true, false, false, true];

    fn close(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-6, "{left} is not {right}");
    }

    #[test]
    fn the_confusion_gives_the_known_figures() {
        let confusion = Confusion::count(&SCORES, &TRUTH, None, 0.4);
        // Called positive: rows 1, 3, 4, 5, 7; of those 3, 4, 7 are.
        let expected = Confusion {
            true_positive: 3.0,
            false_positive: 2.0,
            true_negative: 2.0,
            false_negative: 1.0,
        };
        assert_eq!(confusion, expected);
        close(confusion.accuracy(), 0.625);
        close(confusion.precision(), 0.6);
        close(confusion.recall(), 0.75);
        close(confusion.f_beta(1.0), 2.0 / 3.0);
        close(confusion.f_beta(2.0), 5.0 * 0.6 * 0.75 / (4.0 * 0.6 + 0.75));
    }

    #[test]
    fn auc_counts_ties_half() {
        // Pairs won: 0.35 beats 2; 0.8 beats 4; 0.4 beats 2 and ties 1; 0.9 beats 4: 12.5 of 16.
        close(roc_auc(&SCORES, &TRUTH, None).unwrap(), 12.5 / 16.0);
        close(roc_auc(&[0.5; 4], &[true, false, true, false], None).unwrap(), 0.5);
        assert_eq!(roc_auc(&[0.1, 0.2], &[true, true], None), None);
    }

    #[test]
    fn auc_agrees_with_counting_all_pairs() {
        let scores: Vec<f32> = (0..300).map(|i| ((i * 7919) % 101) as f32 / 10.0).collect();
        let truth: Vec<bool> = (0..300).map(|i| (i * 31) % 7 < 3).collect();
        let weight: Vec<f32> = (0..300).map(|i| 1.0 + (i % 4) as f32).collect();
        let (mut won, mut pairs) = (0.0, 0.0);
        for (i, _) in truth.iter().enumerate().filter(|(_, t)| **t) {
            for (j, _) in truth.iter().enumerate().filter(|(_, t)| !**t) {
                let both = f64::from(weight[i] * weight[j]);
                pairs += both;
                won += both
                    * if scores[i] > scores[j] {
                        1.0
                    } else if scores[i] == scores[j] {
                        0.5
                    } else {
                        0.0
                    };
            }
        }
        close(roc_auc(&scores, &truth, Some(&weight)).unwrap(), won / pairs);
    }

    #[test]
    fn a_weight_counts_as_so_many_rows() {
        let weight = [1.0, 2.0, 1.0, 3.0, 1.0, 1.0, 2.0, 1.0];
        let mut scores = Vec::new();
        let mut truth = Vec::new();
        for row in 0..8 {
            for _ in 0..weight[row] as usize {
                scores.push(SCORES[row]);
                truth.push(TRUTH[row]);
            }
        }
        assert_eq!(
            Confusion::count(&SCORES, &TRUTH, Some(&weight), 0.4),
            Confusion::count(&scores, &truth, None, 0.4)
        );
        close(
            roc_auc(&SCORES, &TRUTH, Some(&weight)).unwrap(),
            roc_auc(&scores, &truth, None).unwrap(),
        );
        close(log_loss(&SCORES, &TRUTH, Some(&weight)), log_loss(&scores, &truth, None));
    }

    #[test]
    fn losses_have_their_known_values() {
        // -(ln 0.9 + ln 0.8) / 2
        close(log_loss(&[0.9, 0.2], &[true, false], None), 0.164_252_033);
        close(mean_squared(&[1.0, 2.0], &[0.0, 4.0], None), 2.5);
        close(mean_absolute(&[1.0, 2.0], &[0.0, 4.0], None), 1.5);
        assert!(log_loss(&[0.0], &[true], None).is_finite());
    }

    #[test]
    fn multiclass_figures_have_their_known_values() {
        let probabilities = [
            0.7, 0.2, 0.1, // 0, right
            0.3, 0.4, 0.3, // 0, second
            0.1, 0.8, 0.1, // 1, right
            0.5, 0.3, 0.2, // 2, third
        ];
        let found = Multiclass::count(&probabilities, 3, &[0, 0, 1, 2], None, 2, 1.0);
        close(found.accuracy, 0.5);
        close(found.top_k_accuracy, 0.75);
        // scikit-learn, average="macro", zero_division=0: precision (1/2, 1/2, 0), recall
        // (1/2, 1, 0), F1 (1/2, 2/3, 0).
        close(found.macro_precision, 1.0 / 3.0);
        close(found.macro_recall, 0.5);
        close(found.macro_f_beta, (0.5 + 2.0 / 3.0) / 3.0);
        close(found.dcg, (1.0 + 1.0 / 3.0_f64.log2() + 1.0 + 0.5) / 4.0);
        close(found.log_loss, -(0.7_f64.ln() + 0.3_f64.ln() + 0.8_f64.ln() + 0.2_f64.ln()) / 4.0);
    }

    #[test]
    fn names_are_sagemakers() {
        let rows =
            Rows { channel: "validation", scores: &SCORES, weight: None, objective_loss: 0.5 };
        let names: Vec<String> =
            rows.binary(&TRUTH, 0.5, 1.0).into_iter().map(|m| m.name).collect();
        assert_eq!(
            names,
            [
                "validation:objective_loss",
                "validation:binary_classification_accuracy",
                "validation:binary_f_beta",
                "validation:precision",
                "validation:recall",
                "validation:roc_auc_score",
            ]
        );
    }
}
