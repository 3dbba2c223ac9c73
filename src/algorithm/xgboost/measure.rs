//! The metrics of a boosting round, under XGBoost's names and by its formulas.
//!
//! Those of SageMaker's container (`accuracy`, `f1`, …) are scikit-learn's, on classes called at
//! probability 0.5, and count rows without weights, as there. Sums run over fixed blocks of rows,
//! so a figure does not depend on threads. Those of ranked lists are in [`super::rank`]; survival is
//! not supported.

use rayon::prelude::*;

use super::objective::{BLOCK_ROWS, Logistic, Objective, Truth};
use super::rank::{Pairs, RankKind, Ranked, RankedKind};

/// A metric with its own parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// Root mean squared error.
    Rmse,
    /// The same of `ln(1 + x)`.
    Rmsle,
    /// Mean absolute error.
    Mae,
    /// Mean absolute error as a share of the label.
    Mape,
    /// The same, of labels below 1 as if they were 1: LightGBM's.
    MapeFromOne,
    /// Mean pseudo-Huber error, with its slope.
    Mphe(f32),
    /// Mean squared error.
    Mse,
    /// Coefficient of determination.
    R2,
    /// Cross-entropy of a probability.
    LogLoss,
    /// Share of rows called wrong at this threshold.
    Error(f32),
    /// Share of rows whose best class is wrong.
    MultiError,
    /// Cross-entropy of the classes.
    MultiLogLoss,
    /// Area under the ROC curve; of several classes the mean of each against the rest.
    Auc,
    /// Area under the precision-recall curve.
    AucPr,
    /// Mean precision over the ranks of positive rows, as scikit-learn's and LightGBM's.
    AveragePrecision,
    /// Negative log likelihood of a Poisson count.
    Poisson,
    /// The same without the part that depends on labels alone: LightGBM's.
    PoissonLoss,
    /// Deviance of a gamma variable.
    GammaDeviance,
    /// Negative log likelihood of a gamma variable.
    Gamma,
    /// Negative log likelihood of a Tweedie variable of this power.
    Tweedie(f32),
    /// A figure of called classes.
    Called(Called),
    /// A figure of ranked lists.
    Ranked(Ranked),
}

/// Figures of called classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Called {
    /// Share called right.
    Accuracy,
    /// Mean recall of the classes.
    BalancedAccuracy,
    /// `f1`: SageMaker's is the macro mean.
    F1,
    /// F1 of the positive class.
    F1Binary,
    /// Mean F1 of the classes.
    F1Macro,
    /// Precision of the positive class.
    Precision,
    /// Mean precision of the classes.
    PrecisionMacro,
    /// Precision over all classes at once.
    PrecisionMicro,
    /// Recall of the positive class.
    Recall,
    /// Mean recall of the classes.
    RecallMacro,
    /// Recall over all classes at once.
    RecallMicro,
}

const CALLED: [(&str, Called); 11] = [
    ("accuracy", Called::Accuracy),
    ("balanced_accuracy", Called::BalancedAccuracy),
    ("f1", Called::F1),
    ("f1_binary", Called::F1Binary),
    ("f1_macro", Called::F1Macro),
    ("precision", Called::Precision),
    ("precision_macro", Called::PrecisionMacro),
    ("precision_micro", Called::PrecisionMicro),
    ("recall", Called::Recall),
    ("recall_macro", Called::RecallMacro),
    ("recall_micro", Called::RecallMicro),
];

impl Measure {
    /// The names of all that are supported.
    pub const NAMES: [&'static str; 21] = [
        "rmse",
        "rmsle",
        "mae",
        "mape",
        "mphe",
        "mse",
        "r2",
        "logloss",
        "error",
        "error@t",
        "merror",
        "mlogloss",
        "auc",
        "aucpr",
        "poisson-nloglik",
        "gamma-deviance",
        "gamma-nloglik",
        "tweedie-nloglik@rho",
        "ndcg@n",
        "map@n",
        "pre@n",
    ];

    /// The metric of that name.
    ///
    /// # Errors
    /// Why there is none for `objective`.
    pub fn named(name: &str, objective: &Objective) -> Result<Measure, String> {
        if let Some(ranked) = ranked(name, objective)? {
            return Measure::Ranked(ranked).fits(objective).map(|()| Measure::Ranked(ranked));
        }
        let (stem, parameter) = match name.split_once('@') {
            Some((stem, text)) => {
                let number = text.parse::<f32>().ok().filter(|n| n.is_finite());
                (stem, Some(number.ok_or_else(|| format!("{name:?}: {text:?} is no number"))?))
            }
            None => (name, None),
        };
        let measure = match (stem, parameter) {
            ("rmse", None) => Measure::Rmse,
            ("rmsle", None) => Measure::Rmsle,
            ("mae", None) => Measure::Mae,
            ("mape", None) => Measure::Mape,
            ("mphe", None) => match objective {
                Objective::PseudoHuber { slope } => Measure::Mphe(*slope),
                _ => Measure::Mphe(1.0),
            },
            ("mse", None) => Measure::Mse,
            ("r2", None) => Measure::R2,
            ("logloss", None) => Measure::LogLoss,
            ("error", threshold) => Measure::Error(threshold.unwrap_or(0.5)),
            ("merror", None) => Measure::MultiError,
            ("mlogloss", None) => Measure::MultiLogLoss,
            ("auc", None) => Measure::Auc,
            ("aucpr", None) => Measure::AucPr,
            ("poisson-nloglik", None) => Measure::Poisson,
            ("gamma-deviance", None) => Measure::GammaDeviance,
            ("gamma-nloglik", None) => Measure::Gamma,
            ("tweedie-nloglik", Some(power)) if (1.0..2.0).contains(&power) => {
                Measure::Tweedie(power)
            }
            (stem, None) => match CALLED.iter().find(|(known, _)| *known == stem) {
                Some((_, called)) => Measure::Called(*called),
                None => return Err(format!("{name:?} is not a metric of this engine")),
            },
            _ => return Err(format!("{name:?} is not a metric of this engine")),
        };
        measure.fits(objective).map(|()| measure)
    }

    /// The objective's own metric.
    pub fn of(objective: &Objective) -> Measure {
        match objective {
            Objective::SquaredError { .. }
            | Objective::Logistic { kind: Logistic::Regression, .. } => Measure::Rmse,
            Objective::Logistic { .. } => Measure::LogLoss,
            Objective::Hinge => Measure::Error(0.5),
            Objective::Multi { .. } => Measure::MultiLogLoss,
            Objective::PseudoHuber { slope } => Measure::Mphe(*slope),
            Objective::AbsoluteError => Measure::Mae,
            Objective::Poisson { .. } => Measure::Poisson,
            Objective::Gamma { .. } => Measure::GammaDeviance,
            Objective::Tweedie { power } => Measure::Tweedie(*power),
            Objective::SquaredLog => Measure::Rmsle,
            Objective::Rank(ranking) => {
                let top = match ranking.pairs {
                    Pairs::Top(top) => top,
                    Pairs::Mean(_) => usize::MAX,
                };
                let kind = match ranking.kind {
                    RankKind::Map => RankedKind::Map,
                    _ => RankedKind::Ndcg,
                };
                let exponential = ranking.exponential;
                Measure::Ranked(Ranked { kind, top, strict: false, exponential })
            }
        }
    }

    /// Whether it is defined for what the objective answers.
    ///
    /// # Errors
    /// Why not.
    pub fn fits(&self, objective: &Objective) -> Result<(), String> {
        let several = objective.groups() > 1;
        if let (Objective::Rank(_), Measure::Auc | Measure::AucPr | Measure::AveragePrecision) =
            (objective, self)
        {
            return Err(format!("{} of ranked lists is not supported", self.name()));
        }
        let of_several = matches!(self, Measure::MultiError | Measure::MultiLogLoss);
        let of_any = matches!(self, Measure::Auc | Measure::AucPr | Measure::Called(_));
        if several && !of_several && !of_any {
            return Err(format!("{} is not for several classes", self.name()));
        }
        if !several && of_several {
            return Err(format!("{} needs multi:softmax or multi:softprob", self.name()));
        }
        let binary = objective.is_binary() || matches!(objective, Objective::Logistic { .. });
        if matches!(self, Measure::Called(_)) && !several && !binary {
            return Err(format!("{} needs a classification", self.name()));
        }
        let one =
            matches!(self, Measure::Called(Called::F1Binary | Called::Precision | Called::Recall));
        if several && one {
            return Err(format!("{} is not for several classes", self.name()));
        }
        Ok(())
    }

    /// As XGBoost writes it.
    pub fn name(&self) -> String {
        let name = match self {
            Measure::Rmse => "rmse",
            Measure::Rmsle => "rmsle",
            Measure::Mae => "mae",
            Measure::Mape | Measure::MapeFromOne => "mape",
            Measure::Mphe(_) => "mphe",
            Measure::Mse => "mse",
            Measure::R2 => "r2",
            Measure::LogLoss => "logloss",
            Measure::Error(threshold) if *threshold != 0.5 => return format!("error@{threshold}"),
            Measure::Error(_) => "error",
            Measure::MultiError => "merror",
            Measure::MultiLogLoss => "mlogloss",
            Measure::Auc => "auc",
            Measure::AucPr => "aucpr",
            Measure::AveragePrecision => "average_precision",
            Measure::Poisson | Measure::PoissonLoss => "poisson-nloglik",
            Measure::GammaDeviance => "gamma-deviance",
            Measure::Gamma => "gamma-nloglik",
            Measure::Tweedie(power) => return format!("tweedie-nloglik@{power}"),
            Measure::Called(called) => {
                let known = CALLED.iter().find(|(_, known)| known == called);
                known.map_or("accuracy", |(name, _)| name)
            }
            Measure::Ranked(ranked) => return ranked.name(),
        };
        name.to_owned()
    }

    /// Whether more is better.
    pub fn rises(&self) -> bool {
        matches!(
            self,
            Measure::Auc
                | Measure::AucPr
                | Measure::AveragePrecision
                | Measure::R2
                | Measure::Called(_)
                | Measure::Ranked(_)
        )
    }

    /// The figure for rows answered with `scores` (`groups` probabilities per row for several
    /// classes); `None` when it does not exist for these rows.
    pub fn of_rows(&self, objective: &Objective, scores: &[f32], truth: &Truth<'_>) -> Option<f64> {
        let value = match self {
            Measure::Auc | Measure::AucPr | Measure::AveragePrecision => {
                return self.area(objective.groups(), scores, truth);
            }
            Measure::Ranked(ranked) => return ranked.of(scores, truth),
            Measure::R2 => determination(scores, truth.labels)?,
            Measure::Called(called) => called.of(objective, scores, truth.labels),
            Measure::MultiError | Measure::MultiLogLoss => {
                let groups = objective.groups();
                mean(truth, |row| {
                    let shares = &scores[row * groups..(row + 1) * groups];
                    let own = truth.labels[row] as usize;
                    match self {
                        Measure::MultiError => f64::from(best(shares) != own),
                        _ => f64::from(-shares[own].max(1e-16).ln()),
                    }
                })
            }
            _ => {
                let mean = mean(truth, |row| self.row(truth.labels[row], scores[row]));
                match self {
                    Measure::Rmse | Measure::Rmsle => mean.sqrt(),
                    Measure::GammaDeviance => 2.0 * mean,
                    _ => mean,
                }
            }
        };
        value.is_finite().then_some(value)
    }

    /// One row's part of a mean.
    fn row(&self, y: f32, p: f32) -> f64 {
        f64::from(match *self {
            Measure::Rmse | Measure::Mse => (y - p) * (y - p),
            Measure::Rmsle => {
                let gap = y.ln_1p() - p.ln_1p();
                gap * gap
            }
            Measure::Mae => (y - p).abs(),
            Measure::Mape => ((y - p) / y).abs(),
            Measure::MapeFromOne => (y - p).abs() / y.abs().max(1.0),
            Measure::Mphe(slope) => {
                let a = (y - p) / slope;
                slope * slope * ((1.0 + a * a).sqrt() - 1.0)
            }
            Measure::LogLoss => {
                let part = |y: f32, p: f32| if y == 0.0 { 0.0 } else { -y * p.max(1e-16).ln() };
                part(y, p) + part(1.0 - y, 1.0 - p)
            }
            Measure::Error(threshold) => {
                if p > threshold {
                    1.0 - y
                } else {
                    y
                }
            }
            Measure::Poisson => {
                let p = f64::from(p.max(1e-16));
                return log_gamma(f64::from(y) + 1.0) + p - p.ln() * f64::from(y);
            }
            Measure::PoissonLoss => {
                let p = f64::from(p.max(1e-10));
                return p - f64::from(y) * p.ln();
            }
            Measure::GammaDeviance => {
                let (p, y) = (p + 1e-6, y + 1e-6);
                (p / y).ln() + y / p - 1.0
            }
            Measure::Gamma => {
                let p = p.max(1e-6);
                y / p + p.ln()
            }
            Measure::Tweedie(power) => {
                let log = p.ln();
                let a = y * ((1.0 - power) * log).exp() / (1.0 - power);
                ((2.0 - power) * log).exp() / (2.0 - power) - a
            }
            _ => 0.0,
        })
    }

    fn area(&self, groups: usize, scores: &[f32], truth: &Truth<'_>) -> Option<f64> {
        let curve = |scores: &[f32], labels: &[f32]| match self {
            Measure::Auc => roc(scores, labels, truth.weights),
            Measure::AveragePrecision => average_precision(scores, labels, truth.weights),
            _ => precision_recall(scores, labels, truth.weights),
        };
        if groups == 1 {
            return curve(scores, truth.labels).map(|(area, _)| area);
        }
        let (mut sum, mut total) = (0.0, 0.0);
        for class in 0..groups {
            let own: Vec<f32> = scores.iter().skip(class).step_by(groups).copied().collect();
            let labels: Vec<f32> =
                truth.labels.iter().map(|y| f32::from(*y == class as f32)).collect();
            let (area, positives) = curve(&own, &labels)?;
            sum += area * positives;
            total += positives;
        }
        Some(sum / total)
    }
}

impl Called {
    fn of(&self, objective: &Objective, scores: &[f32], labels: &[f32]) -> f64 {
        let groups = objective.groups();
        let cut = match objective {
            Objective::Logistic { kind: Logistic::Raw, .. } => 0.0,
            _ => 0.5,
        };
        let classes = groups.max(2);
        // Rows by class: called and right, called, present.
        let mut counts = vec![[0.0f64; 3]; classes];
        for (row, label) in labels.iter().enumerate() {
            let called = match groups {
                1 => usize::from(scores[row] > cut),
                _ => best(&scores[row * groups..(row + 1) * groups]),
            };
            let own = (*label as usize).min(classes - 1);
            counts[own][2] += 1.0;
            counts[called][1] += 1.0;
            counts[own][0] += f64::from(own == called);
        }
        let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let precision = |[right, called, _]: &[f64; 3]| ratio(*right, *called);
        let recall = |[right, _, own]: &[f64; 3]| ratio(*right, *own);
        let f1 = |[right, called, own]: &[f64; 3]| ratio(2.0 * right, called + own);
        let seen: Vec<&[f64; 3]> = counts.iter().filter(|[_, a, b]| a + b > 0.0).collect();
        let present: Vec<&[f64; 3]> = counts.iter().filter(|[_, _, own]| *own > 0.0).collect();
        let over = |rows: &[&[f64; 3]], figure: &dyn Fn(&[f64; 3]) -> f64| {
            ratio(rows.iter().map(|row| figure(row)).sum(), rows.len() as f64)
        };
        match self {
            Called::Accuracy | Called::PrecisionMicro | Called::RecallMicro => {
                ratio(counts.iter().map(|[right, ..]| right).sum(), labels.len() as f64)
            }
            Called::BalancedAccuracy => over(&present, &recall),
            Called::F1 | Called::F1Macro => over(&seen, &f1),
            Called::F1Binary => f1(&counts[1]),
            Called::Precision => precision(&counts[1]),
            Called::PrecisionMacro => over(&seen, &precision),
            Called::Recall => recall(&counts[1]),
            Called::RecallMacro => over(&seen, &recall),
        }
    }
}

/// The best class; of equal ones the first.
fn best(shares: &[f32]) -> usize {
    crate::algorithm::metric::argmax(shares)
}

/// Weighted mean over rows, block by block.
fn mean(truth: &Truth<'_>, figure: impl Fn(usize) -> f64 + Sync) -> f64 {
    let rows = truth.labels.len();
    let blocks: Vec<(f64, f64)> = (0..rows.div_ceil(BLOCK_ROWS))
        .into_par_iter()
        .map(|block| {
            let (mut sum, mut total) = (0.0, 0.0);
            for row in block * BLOCK_ROWS..((block + 1) * BLOCK_ROWS).min(rows) {
                let weight = truth.weights.map_or(1.0, |weights| f64::from(weights[row]));
                sum += weight * figure(row);
                total += weight;
            }
            (sum, total)
        })
        .collect();
    let (sum, total) = blocks.iter().fold((0.0, 0.0), |(a, b), (c, d)| (a + c, b + d));
    if total > 0.0 { sum / total } else { sum }
}

fn determination(scores: &[f32], labels: &[f32]) -> Option<f64> {
    let mean = labels.iter().map(|y| f64::from(*y)).sum::<f64>() / labels.len() as f64;
    let square = |away: f64| away * away;
    let spread: f64 = labels.iter().map(|y| square(f64::from(*y) - mean)).sum();
    let left: f64 =
        labels.iter().zip(scores).map(|(y, p)| square(f64::from(*y) - f64::from(*p))).sum();
    (spread > 0.0).then(|| 1.0 - left / spread)
}

/// Area and weight of the positive rows. Labels between 0 and 1 count in part, as in XGBoost.
fn roc(scores: &[f32], labels: &[f32], weights: Option<&[f32]>) -> Option<(f64, f64)> {
    let mut area = 0.0;
    let (negatives, positives) = descend(scores, labels, weights, |[fp0, fp], [tp0, tp]| {
        area += (fp - fp0) * (tp + tp0) / 2.0;
    });
    (negatives > 0.0 && positives > 0.0)
        .then(|| ((area / (negatives * positives)).min(1.0), positives))
}

/// Area under the interpolated precision-recall curve (Keilwagen 2014), as XGBoost computes it.
fn precision_recall(scores: &[f32], labels: &[f32], weights: Option<&[f32]>) -> Option<(f64, f64)> {
    let weight = |row: usize| weights.map_or(1.0, |weights| f64::from(weights[row]));
    let total: f64 = labels.iter().enumerate().map(|(row, y)| weight(row) * f64::from(*y)).sum();
    let mut area = 0.0;
    let (negatives, positives) = descend(scores, labels, weights, |[fp0, fp], [tp0, tp]| {
        let (before, now) = (tp0 / total, tp / total);
        let (mut a, mut b) = (1.0, 0.0);
        if tp != tp0 {
            let h = (fp - fp0) / (tp - tp0);
            a = h + 1.0;
            b = (fp0 - h * tp0) / total;
        }
        area += if b == 0.0 {
            (now - before) / a
        } else {
            (now - before - b / a * ((a * now + b).ln() - (a * before + b).ln())) / a
        };
    });
    (negatives > 0.0 && positives > 0.0).then_some((area, positives))
}

/// The precision at each positive row's rank, averaged.
fn average_precision(
    scores: &[f32],
    labels: &[f32],
    weights: Option<&[f32]>,
) -> Option<(f64, f64)> {
    let mut sum = 0.0;
    let (_, positives) = descend(scores, labels, weights, |[_, fp], [tp0, tp]| {
        sum += (tp - tp0) * tp / (tp + fp);
    });
    (positives > 0.0).then(|| (sum / positives, positives))
}

/// `ndcg@5-`, `map`, `pre@10`; `None` for another metric's name.
fn ranked(name: &str, objective: &Objective) -> Result<Option<Ranked>, String> {
    let (plain, strict) = match name.strip_suffix('-') {
        Some(plain) => (plain, true),
        None => (name, false),
    };
    let (stem, top) = match plain.split_once('@') {
        Some((stem, top)) => (stem, Some(top)),
        None => (plain, None),
    };
    let kind = match stem {
        "ndcg" => RankedKind::Ndcg,
        "map" => RankedKind::Map,
        "pre" => RankedKind::Precision,
        _ => return Ok(None),
    };
    let top = match top.map(str::parse::<usize>) {
        None => usize::MAX,
        Some(Ok(top)) if top > 0 => top,
        Some(_) => return Err(format!("{name:?}: write {stem}@5, with any number from 1")),
    };
    let exponential = match objective {
        Objective::Rank(ranking) => ranking.exponential,
        _ => true,
    };
    Ok(Some(Ranked { kind, top, strict, exponential }))
}

/// Walks rows from the highest score down, telling `step` false and true positives before and
/// after each group of equal scores; gives both totals.
fn descend(
    scores: &[f32],
    labels: &[f32],
    weights: Option<&[f32]>,
    mut step: impl FnMut([f64; 2], [f64; 2]),
) -> (f64, f64) {
    let mut order: Vec<(u32, u32)> =
        scores.iter().enumerate().map(|(row, score)| (!ordered(*score), row as u32)).collect();
    order.par_sort_unstable();
    let (mut fp, mut tp) = (0.0, 0.0);
    let mut at = 0;
    while at < order.len() {
        let (key, before) = (order[at].0, [fp, tp]);
        while at < order.len() && order[at].0 == key {
            let row = order[at].1 as usize;
            let weight = weights.map_or(1.0, |weights| f64::from(weights[row]));
            let y = f64::from(labels[row]);
            fp += (1.0 - y) * weight;
            tp += y * weight;
            at += 1;
        }
        step([before[0], fp], [before[1], tp]);
    }
    (fp, tp)
}

/// A key that sorts as the number does; 0 and -0 are one.
fn ordered(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// ln Γ(x) for x > 0 (Lanczos, g = 7, nine terms): relative error below 1e-14.
fn log_gamma(x: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let sum = TERMS
        .iter()
        .enumerate()
        .fold(0.999_999_999_999_809_9, |sum, (at, term)| sum + term / (x + at as f64 + 1.0));
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINARY: Objective = Objective::Logistic { kind: Logistic::Binary, positive: 1.0 };

    fn figure(name: &str, scores: &[f32], labels: &[f32]) -> f64 {
        let measure = Measure::named(name, &BINARY).unwrap();
        measure.of_rows(&BINARY, scores, &Truth { labels, weights: None, groups: None }).unwrap()
    }

    #[test]
    fn known_figures() {
        let scores = [0.1, 0.4, 0.35, 0.8];
        let labels = [0.0, 0.0, 1.0, 1.0];
        assert!((figure("auc", &scores, &labels) - 0.75).abs() < 1e-12);
        assert!((figure("error", &scores, &labels) - 0.25).abs() < 1e-12);
        assert!((figure("error@0.05", &scores, &labels) - 0.5).abs() < 1e-12);
        assert!((figure("accuracy", &scores, &labels) - 0.75).abs() < 1e-12);
        assert!((figure("precision", &scores, &labels) - 1.0).abs() < 1e-12);
        assert!((figure("recall", &scores, &labels) - 0.5).abs() < 1e-12);
        // XGBoost 3.2 on the same rows.
        assert!((figure("aucpr", &scores, &labels) - 0.797_267).abs() < 1e-5);
        assert!((figure("logloss", &scores, &labels) - 0.472_288).abs() < 1e-5);
    }

    #[test]
    fn log_gamma_is_right() {
        assert!((log_gamma(5.0) - 24f64.ln()).abs() < 1e-12);
        assert!((log_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-12);
    }

    #[test]
    fn a_metric_that_does_not_fit_the_objective_is_refused() {
        assert!(Measure::named("merror", &BINARY).is_err());
        assert!(Measure::named("ndcg@0", &BINARY).is_err());
        assert!(Measure::named("cox-nloglik", &BINARY).is_err());
        assert!(Measure::named("tweedie-nloglik", &BINARY).is_err());
        let multi = Objective::Multi { classes: 3, probabilities: true };
        assert!(Measure::named("logloss", &multi).is_err());
        assert!(Measure::named("auc", &multi).is_ok());
    }

    #[test]
    fn names_lead_to_themselves() {
        for name in Measure::NAMES.iter().filter(|name| !name.contains('@')) {
            if let Ok(measure) = Measure::named(name, &BINARY) {
                assert_eq!(measure.name(), **name);
            }
        }
        for name in ["ndcg", "ndcg@5-", "map@10", "pre@3"] {
            assert_eq!(Measure::named(name, &BINARY).unwrap().name(), name);
        }
        assert_eq!(Measure::named("error@0.7", &BINARY).unwrap().name(), "error@0.7");
    }
}
