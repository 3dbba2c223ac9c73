//! What a booster learns: gradients, the first score, and the way from a margin to an answer.
//!
//! Formulas, label checks and the estimated base score are XGBoost 3.2's. Ranking is in
//! [`super::rank`]; objectives of censored times are not supported.

use rayon::prelude::*;

use super::rank::{Pairs, RankKind, Ranking};
use crate::algorithm::Error;

/// An objective with its own parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// `reg:squarederror`; rows whose label is 1 weigh `positive` times as much.
    SquaredError {
        /// `scale_pos_weight`
        positive: f32,
    },
    /// `reg:logistic`, `binary:logistic`, `binary:logitraw`.
    Logistic {
        /// Which of the three.
        kind: Logistic,
        /// `scale_pos_weight`
        positive: f32,
    },
    /// `binary:hinge`
    Hinge,
    /// `multi:softmax` and `multi:softprob`.
    Multi {
        /// `num_class`
        classes: usize,
        /// Answers probabilities, not the best class.
        probabilities: bool,
    },
    /// `reg:pseudohubererror`
    PseudoHuber {
        /// `huber_slope`
        slope: f32,
    },
    /// `reg:absoluteerror`; leaves are set to the median of their residuals.
    AbsoluteError,
    /// `count:poisson`
    Poisson {
        /// `max_delta_step`: bounds the step; 0.7 unless given.
        step: f32,
    },
    /// `reg:gamma`
    Gamma {
        /// `scale_pos_weight`
        positive: f32,
    },
    /// `reg:tweedie`
    Tweedie {
        /// `tweedie_variance_power`
        power: f32,
    },
    /// `reg:squaredlogerror`
    SquaredLog,
    /// `rank:pairwise`, `rank:ndcg` and `rank:map`
    Rank(Ranking),
}

/// What an objective may be told besides its name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Given {
    /// `num_class`
    pub classes: usize,
    /// `scale_pos_weight`
    pub positive: f32,
    /// `tweedie_variance_power`
    pub power: f32,
    /// `huber_slope`
    pub slope: f32,
    /// `max_delta_step` of `count:poisson`
    pub step: f32,
    /// Parameters of ranking; which kind it is follows from the name.
    pub ranking: Ranking,
}

impl Default for Given {
    fn default() -> Given {
        let ranking = Ranking {
            kind: RankKind::Ndcg,
            pairs: Pairs::Top(32),
            normalise: true,
            by_difference: true,
            exponential: true,
            hessian: 2.0,
        };
        Given { classes: 0, positive: 1.0, power: 1.5, slope: 1.0, step: 0.7, ranking }
    }
}

/// The three that learn log odds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logistic {
    /// `reg:logistic`
    Regression,
    /// `binary:logistic`
    Binary,
    /// `binary:logitraw`
    Raw,
}

/// First and second derivative of the loss by the margin.
pub type Gradient = [f32; 2];

/// The labels of one channel, checked, with the weights of their rows.
#[derive(Debug, Clone, Copy)]
pub struct Truth<'a> {
    /// One per row.
    pub labels: &'a [f32],
    /// One per row, when the data have them.
    pub weights: Option<&'a [f32]>,
    /// Where queries begin, and last the number of rows; without, all rows are one query.
    pub groups: Option<&'a [usize]>,
}

impl Truth<'_> {
    /// The weight of a row.
    pub fn weight(&self, row: usize) -> f32 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    /// The rows of each query.
    pub fn lists(&self) -> Vec<std::ops::Range<usize>> {
        match self.groups {
            Some(groups) => groups.windows(2).map(|ends| ends[0]..ends[1]).collect(),
            None if self.labels.is_empty() => Vec::new(),
            None => std::iter::once(0..self.labels.len()).collect(),
        }
    }
}

/// Rows worked on as one block; fixed, so that sums do not depend on threads.
pub const BLOCK_ROWS: usize = 8192;

impl Objective {
    /// The names of all that are supported.
    pub const NAMES: [&'static str; 16] = [
        "reg:squarederror",
        "binary:logistic",
        "binary:logitraw",
        "binary:hinge",
        "multi:softmax",
        "multi:softprob",
        "reg:logistic",
        "reg:pseudohubererror",
        "reg:absoluteerror",
        "reg:squaredlogerror",
        "reg:gamma",
        "reg:tweedie",
        "count:poisson",
        "rank:pairwise",
        "rank:ndcg",
        "rank:map",
    ];

    /// The objective of that name; `None` when there is none.
    pub fn named(name: &str, given: &Given) -> Option<Objective> {
        let Given { classes, positive, power, slope, step, ranking } = *given;
        let rank = |kind| Objective::Rank(Ranking { kind, ..ranking });
        let logistic = |kind| Objective::Logistic { kind, positive };
        Some(match name {
            "reg:squarederror" | "reg:linear" => Objective::SquaredError { positive },
            "binary:logistic" => logistic(Logistic::Binary),
            "binary:logitraw" => logistic(Logistic::Raw),
            "reg:logistic" => logistic(Logistic::Regression),
            "binary:hinge" => Objective::Hinge,
            "multi:softmax" => Objective::Multi { classes, probabilities: false },
            "multi:softprob" => Objective::Multi { classes, probabilities: true },
            "reg:pseudohubererror" => Objective::PseudoHuber { slope },
            "reg:absoluteerror" => Objective::AbsoluteError,
            "reg:squaredlogerror" => Objective::SquaredLog,
            "reg:gamma" => Objective::Gamma { positive },
            "reg:tweedie" => Objective::Tweedie { power },
            "count:poisson" => Objective::Poisson { step },
            "rank:pairwise" => rank(RankKind::Pairwise),
            "rank:ndcg" => rank(RankKind::Ndcg),
            "rank:map" => rank(RankKind::Map),
            _ => return None,
        })
    }

    /// XGBoost's name.
    pub fn name(&self) -> &'static str {
        match self {
            Objective::SquaredError { .. } => "reg:squarederror",
            Objective::Logistic { kind: Logistic::Regression, .. } => "reg:logistic",
            Objective::Logistic { kind: Logistic::Binary, .. } => "binary:logistic",
            Objective::Logistic { kind: Logistic::Raw, .. } => "binary:logitraw",
            Objective::Hinge => "binary:hinge",
            Objective::Multi { probabilities: false, .. } => "multi:softmax",
            Objective::Multi { probabilities: true, .. } => "multi:softprob",
            Objective::PseudoHuber { .. } => "reg:pseudohubererror",
            Objective::AbsoluteError => "reg:absoluteerror",
            Objective::Poisson { .. } => "count:poisson",
            Objective::Gamma { .. } => "reg:gamma",
            Objective::Tweedie { .. } => "reg:tweedie",
            Objective::SquaredLog => "reg:squaredlogerror",
            Objective::Rank(ranking) => ranking.name(),
        }
    }

    /// Margins per row, and trees per round before `num_parallel_tree`.
    pub fn groups(&self) -> usize {
        match self {
            Objective::Multi { classes, .. } => *classes,
            _ => 1,
        }
    }

    /// Whether it answers one of two classes.
    pub fn is_binary(&self) -> bool {
        matches!(
            self,
            Objective::Hinge | Objective::Logistic { kind: Logistic::Binary | Logistic::Raw, .. }
        )
    }

    /// Whether leaves are refitted to medians once the tree stands.
    pub fn refits_leaves(&self) -> bool {
        *self == Objective::AbsoluteError
    }

    /// This objective with rows of label 1 weighing as the others.
    pub fn unweighted(&self) -> Objective {
        let mut plain = *self;
        if let Objective::SquaredError { positive }
        | Objective::Logistic { positive, .. }
        | Objective::Gamma { positive } = &mut plain
        {
            *positive = 1.0;
        }
        plain
    }

    /// What is wrong with the label `y`, in XGBoost's words, and what to do.
    fn label_fault(&self, y: f32) -> Option<(&'static str, &'static str)> {
        match self {
            Objective::Logistic { .. } if !(0.0..=1.0).contains(&y) => Some((
                "label must be in [0,1] for logistic regression",
                "write 0 for the negative and 1 for the positive class, or choose a reg: objective",
            )),
            Objective::Hinge if y != 0.0 && y != 1.0 => Some((
                "label must be 0 or 1 for hinge loss",
                "write 0 for the negative and 1 for the positive class",
            )),
            Objective::Multi { classes, .. }
                if y.fract() != 0.0 || !(0.0..*classes as f32).contains(&y) =>
            {
                Some((
                    "SoftmaxMultiClassObj: label must be discrete values in the range of [0, num_class)",
                    "number the classes from 0, or raise num_class",
                ))
            }
            Objective::Poisson { .. } | Objective::Tweedie { .. } if y < 0.0 => Some((
                "label must be non-negative for Poisson/Tweedie regression",
                "remove or correct the row, or choose reg:squarederror",
            )),
            Objective::Gamma { .. } if y <= 0.0 => Some((
                "label must be positive for gamma regression",
                "remove or correct the row, or choose reg:tweedie, which allows 0",
            )),
            Objective::SquaredLog if y <= -1.0 => Some((
                "label must be greater than -1 for rmsle so that log(label + 1) can be valid",
                "remove or correct the row, or choose reg:squarederror",
            )),
            Objective::Rank(ranking) => ranking.label_fault(y),
            _ => None,
        }
    }

    /// Checks every label against the objective's domain.
    ///
    /// # Errors
    /// `Error::Data` in XGBoost's words, naming channel, row and label.
    pub fn check_labels(&self, labels: &[f32], channel: &str) -> Result<(), Error> {
        let fault = |(row, label): (usize, &f32)| Some((row, *label, self.label_fault(*label)?));
        match labels.iter().enumerate().find_map(fault) {
            None => Ok(()),
            Some((row, label, (what, help))) => Err(Error::Data {
                what: format!("{what}: row {} of channel {channel} has {label}", row + 1),
                help: help.to_owned(),
            }),
        }
    }

    /// Whether a base score written by hand can be turned into a margin.
    ///
    /// # Errors
    /// What is wrong with it, in XGBoost's words.
    pub fn check_base_score(&self, score: f32) -> Result<(), String> {
        match self {
            Objective::Logistic { kind: Logistic::Binary | Logistic::Regression, .. }
                if !(0.0..=1.0).contains(&score) =>
            {
                Err(format!("base_score must be in (0,1) for the logistic loss, not {score}"))
            }
            Objective::Gamma { .. } | Objective::Poisson { .. } | Objective::Tweedie { .. }
                if score <= 0.0 =>
            {
                Err(format!("base_score must be greater than 0 for {}, not {score}", self.name()))
            }
            _ => Ok(()),
        }
    }

    /// The score before the first tree, one per group, in the scale the model file keeps it in:
    /// the mean label where the answer is a mean, the median for the absolute error, centred
    /// log shares of the classes, else one Newton step from 0. As XGBoost 3.2.
    pub fn estimate(&self, truth: &Truth<'_>) -> Vec<f32> {
        match self {
            Objective::Multi { classes, .. } => centred_log_shares(truth, *classes),
            Objective::AbsoluteError => vec![median(truth)],
            Objective::SquaredError { positive }
            | Objective::Logistic { positive, .. }
            | Objective::Gamma { positive }
                if (positive - 1.0).abs() <= 1e-6 =>
            {
                vec![mean(truth)]
            }
            Objective::Poisson { .. } | Objective::Tweedie { .. } => vec![mean(truth)],
            // Pairs pull as much up as down.
            Objective::Rank(_) => vec![0.0],
            _ => vec![self.stump(truth)],
        }
    }

    /// One step of Newton's method from margin 0, brought to the answer's scale.
    fn stump(&self, truth: &Truth<'_>) -> f32 {
        let zeros = vec![0.0; truth.labels.len()];
        let mut gradients = vec![[0.0; 2]; truth.labels.len()];
        self.gradients(&zeros, truth, 0, &mut gradients);
        let (mut first, mut second) = (0.0, 0.0);
        for [g, h] in gradients {
            first += f64::from(g);
            second += f64::from(h);
        }
        let weight = if second > 0.0 { (-first / second) as f32 } else { 0.0 };
        self.answer_one(weight)
    }

    /// The margin that a score of the model file stands for.
    pub fn margin_of(&self, score: f32) -> f32 {
        match self {
            Objective::Logistic { kind: Logistic::Binary | Logistic::Regression, .. } => {
                let score = score.clamp(1e-6, 1.0 - 1e-6);
                -(1.0 / score - 1.0).ln()
            }
            Objective::Gamma { .. } | Objective::Poisson { .. } | Objective::Tweedie { .. } => {
                score.ln()
            }
            _ => score,
        }
    }

    /// The gradients of one group. `margins` holds `groups()` numbers per row.
    pub fn gradients(
        &self,
        margins: &[f32],
        truth: &Truth<'_>,
        group: usize,
        out: &mut [Gradient],
    ) {
        let groups = self.groups();
        out.par_chunks_mut(BLOCK_ROWS).enumerate().for_each(|(block, out)| {
            let first = block * BLOCK_ROWS;
            for (row, out) in (first..).zip(out) {
                let margins = &margins[row * groups..(row + 1) * groups];
                *out = self.gradient(margins, truth.labels[row], truth.weight(row), group);
            }
        });
    }

    /// The gradients of all groups, group after group: the softmax is computed once per row.
    /// `factor` is that of second derivatives: 2 in XGBoost, k / (k - 1) of k classes in LightGBM.
    pub fn multi_gradients(
        &self,
        margins: &[f32],
        truth: &Truth<'_>,
        factor: f32,
        out: &mut [Vec<Gradient>],
    ) {
        let groups = out.len();
        let rows = truth.labels.len();
        let mut shares = vec![0.0f32; rows * groups];
        shares.par_chunks_mut(BLOCK_ROWS * groups).enumerate().for_each(|(block, shares)| {
            let first = block * BLOCK_ROWS * groups;
            shares.copy_from_slice(&margins[first..first + shares.len()]);
            shares.chunks_exact_mut(groups).for_each(softmax);
        });
        out.par_iter_mut().enumerate().for_each(|(group, out)| {
            for (row, out) in out.iter_mut().enumerate() {
                let own = truth.labels[row] == group as f32;
                let share = shares[row * groups + group];
                *out = multi_gradient(share, own, factor, truth.weight(row));
            }
        });
    }

    fn gradient(&self, margins: &[f32], y: f32, weight: f32, group: usize) -> Gradient {
        let scaled = |positive: f32| if y == 1.0 { weight * positive } else { weight };
        let margin = margins[0];
        match *self {
            Objective::SquaredError { positive } => {
                let w = scaled(positive);
                [(margin - y) * w, w]
            }
            Objective::Logistic { positive, .. } => {
                let (w, p) = (scaled(positive), sigmoid(margin));
                [(p - y) * w, (p * (1.0 - p)).max(1e-16) * w]
            }
            Objective::Hinge => {
                let side = 2.0 * y - 1.0;
                if margin * side < 1.0 {
                    [-side * weight, weight]
                } else {
                    [0.0, f32::MIN_POSITIVE]
                }
            }
            Objective::Multi { .. } => {
                let mut shares = margins.to_vec();
                softmax(&mut shares);
                multi_gradient(shares[group], y == group as f32, 2.0, weight)
            }
            Objective::PseudoHuber { slope } => {
                let z = margin - y;
                let root = (1.0 + z * z / (slope * slope)).sqrt();
                let scale = slope * slope + z * z;
                [z / root * weight, slope * slope / (scale * root) * weight]
            }
            Objective::AbsoluteError => {
                let z = margin - y;
                let sign = if z > 0.0 {
                    1.0
                } else if z < 0.0 {
                    -1.0
                } else {
                    0.0
                };
                [sign * weight, weight]
            }
            Objective::Poisson { step } => {
                [(margin.exp() - y) * weight, (margin + step).exp() * weight]
            }
            Objective::Gamma { positive } => {
                let (w, p) = (scaled(positive), margin.exp());
                [(1.0 - y / p) * w, y / p * w]
            }
            Objective::Tweedie { power } => {
                let (a, b) = (((1.0 - power) * margin).exp(), ((2.0 - power) * margin).exp());
                [(b - y * a) * weight, ((2.0 - power) * b - y * (1.0 - power) * a) * weight]
            }
            Objective::SquaredLog => {
                let p = margin.max(-1.0 + 1e-6);
                let gap = p.ln_1p() - y.ln_1p();
                let square = (p + 1.0) * (p + 1.0);
                [gap / (p + 1.0) * weight, ((1.0 - gap) / square).max(1e-6) * weight]
            }
            // A row alone has no partner to be compared with.
            Objective::Rank(_) => [0.0; 2],
        }
    }

    /// The answer for one margin of an objective with one group.
    pub fn answer_one(&self, margin: f32) -> f32 {
        match self {
            Objective::Logistic { kind: Logistic::Binary | Logistic::Regression, .. } => {
                sigmoid(margin)
            }
            Objective::Hinge => f32::from(margin > 0.0),
            Objective::Gamma { .. } | Objective::Poisson { .. } | Objective::Tweedie { .. } => {
                margin.exp()
            }
            _ => margin,
        }
    }

    /// What metrics are computed from: probabilities for classes, whatever the model answers.
    pub fn scores(&self, margins: &[f32]) -> Vec<f32> {
        let mut scores = margins.to_vec();
        let width = BLOCK_ROWS * self.groups();
        scores.par_chunks_mut(width).for_each(|block| self.score(block));
        scores
    }

    /// Turns margins into scores in place; a whole number of rows.
    pub fn score(&self, margins: &mut [f32]) {
        match self {
            Objective::Multi { classes, .. } => {
                margins.chunks_exact_mut(*classes).for_each(softmax);
            }
            _ => margins.iter_mut().for_each(|margin| *margin = self.answer_one(*margin)),
        }
    }
}

/// 1 / (1 + e^-x), as XGBoost computes it.
pub fn sigmoid(x: f32) -> f32 {
    1.0 / ((-x).min(88.7).exp() + 1.0 + 1e-16)
}

/// Shares of the classes, in place.
pub fn softmax(margins: &mut [f32]) {
    let top = margins.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0f64;
    for margin in margins.iter_mut() {
        *margin = (*margin - top).exp();
        sum += f64::from(*margin);
    }
    for margin in margins.iter_mut() {
        *margin /= sum as f32;
    }
}

fn multi_gradient(share: f32, own: bool, factor: f32, weight: f32) -> Gradient {
    let first = if own { share - 1.0 } else { share };
    [first * weight, (factor * share * (1.0 - share) * weight).max(1e-16)]
}

fn mean(truth: &Truth<'_>) -> f32 {
    let (mut sum, mut total) = (0.0, 0.0);
    for (row, label) in truth.labels.iter().enumerate() {
        let weight = f64::from(truth.weight(row));
        sum += weight * f64::from(*label);
        total += weight;
    }
    if total > 0.0 { (sum / total) as f32 } else { 0.0 }
}

fn median(truth: &Truth<'_>) -> f32 {
    let mut rows: Vec<u32> = (0..truth.labels.len() as u32).collect();
    quantile_half(&mut rows, |row| truth.labels[row as usize], truth.weights)
}

/// The median as XGBoost takes it: interpolated without weights, the first value that reaches
/// half the weight with them. NaN for no rows.
pub fn quantile_half(rows: &mut [u32], value: impl Fn(u32) -> f32, weights: Option<&[f32]>) -> f32 {
    rows.sort_by(|left, right| value(*left).total_cmp(&value(*right)));
    let Some(last) = rows.last() else { return f32::NAN };
    if let Some(weights) = weights {
        let half = rows.iter().map(|row| f64::from(weights[*row as usize])).sum::<f64>() / 2.0;
        let mut reached = 0.0;
        let enough = |row: &&u32| {
            reached += f64::from(weights[**row as usize]);
            reached >= half
        };
        return value(*rows.iter().find(enough).unwrap_or(last));
    }
    let n = rows.len() as f64;
    if 0.5 <= 1.0 / (n + 1.0) {
        return value(rows[0]);
    }
    if 0.5 >= n / (n + 1.0) {
        return value(*last);
    }
    let at = 0.5 * (n + 1.0);
    let whole = at.floor() as usize - 1;
    let part = at - at.floor();
    let (low, high) = (f64::from(value(rows[whole])), f64::from(value(rows[whole + 1])));
    (low + part * (high - low)) as f32
}

fn centred_log_shares(truth: &Truth<'_>, classes: usize) -> Vec<f32> {
    let mut counts = vec![0.0f64; classes];
    for (row, label) in truth.labels.iter().enumerate() {
        counts[*label as usize] += f64::from(truth.weight(row));
    }
    let total: f64 = counts.iter().sum();
    let logs: Vec<f32> =
        counts.iter().map(|count| ((count / total.max(1e-6)) as f32 + 1e-6).ln()).collect();
    let mean = logs.iter().map(|log| f64::from(*log)).sum::<f64>() / classes as f64;
    logs.iter().map(|log| log - mean as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Objective> {
        let given = Given { classes: 3, ..Given::default() };
        Objective::NAMES.iter().map(|name| Objective::named(name, &given).unwrap()).collect()
    }

    #[test]
    fn names_lead_to_themselves() {
        for objective in all() {
            let name = objective.name();
            let given = Given { classes: 3, ..Given::default() };
            assert_eq!(Objective::named(name, &given), Some(objective), "{name}");
        }
        assert_eq!(Objective::named("survival:cox", &Given::default()), None);
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() {
        let loss = |objective: &Objective, m: f64, y: f64| match objective {
            Objective::SquaredError { .. } => (m - y) * (m - y) / 2.0,
            Objective::Logistic { .. } => m.exp().ln_1p() - y * m,
            Objective::PseudoHuber { .. } => (1.0 + (m - y) * (m - y)).sqrt(),
            Objective::Poisson { .. } => m.exp() - y * m,
            Objective::Gamma { .. } => m + y * (-m).exp(),
            Objective::Tweedie { .. } => y * (-0.5 * m).exp() / 0.5 + (0.5 * m).exp() / 0.5,
            Objective::SquaredLog => (m.ln_1p() - y.ln_1p()).powi(2) / 2.0,
            _ => f64::NAN,
        };
        for objective in all() {
            let (m, y, step) = (0.3, 1.0, 1e-4);
            let slope =
                (loss(&objective, m + step, y) - loss(&objective, m - step, y)) / step / 2.0;
            if slope.is_nan() {
                continue;
            }
            let [g, h] = objective.gradient(&[m as f32], y as f32, 1.0, 0);
            assert!((f64::from(g) - slope).abs() < 1e-3, "{}: {g} {slope}", objective.name());
            assert!(h > 0.0);
        }
    }

    #[test]
    fn labels_outside_the_domain_are_refused_in_xgboosts_words() {
        let logistic = Objective::named("binary:logistic", &Given::default()).unwrap();
        let said = logistic.check_labels(&[0.0, 2.0], "train").unwrap_err().to_string();
        assert_eq!(
            said,
            "label must be in [0,1] for logistic regression: row 2 of channel train has 2"
        );
        let multi = Objective::Multi { classes: 3, probabilities: true };
        assert!(multi.check_labels(&[0.0, 3.0], "train").is_err());
        assert!(multi.check_labels(&[0.5], "train").is_err());
        assert!(multi.check_labels(&[2.0], "train").is_ok());
        assert!(Objective::Gamma { positive: 1.0 }.check_labels(&[0.0], "train").is_err());
        assert!(Objective::Poisson { step: 0.7 }.check_labels(&[-1.0], "train").is_err());
    }

    #[test]
    fn the_median_is_xgboosts() {
        let values = [3.0, 1.0, 2.0, 10.0];
        let mut rows = [0, 1, 2, 3];
        assert_eq!(quantile_half(&mut rows, |row| values[row as usize], None), 2.5);
        let weights = [1.0, 1.0, 1.0, 9.0];
        assert_eq!(quantile_half(&mut rows, |row| values[row as usize], Some(&weights)), 10.0);
    }
}
