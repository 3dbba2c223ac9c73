//! Learning to rank: LambdaMART's gradients and the metrics of ranked lists, as XGBoost 3.2.
//!
//! Rows of one query stand together; a pair of rows of a query with different relevance pulls one
//! up and the other down, weighed by what their exchange would change in the list's figure
//! (Burges 2010, "From RankNet to LambdaRank to LambdaMART"). Debiasing by position
//! (`lambdarank_unbiased`) is not here.

use rayon::prelude::*;

use super::draw::Draw;
use super::objective::{Gradient, Truth};

/// Grades above this overflow `2^grade - 1`.
const GRADE_MAX: f32 = 31.0;

/// A ranking objective with its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranking {
    /// What a pair is weighed by.
    pub kind: RankKind,
    /// Which pairs count.
    pub pairs: Pairs,
    /// `lambdarank_normalization`
    pub normalise: bool,
    /// `lambdarank_score_normalization`
    pub by_difference: bool,
    /// `ndcg_exp_gain`: a grade is worth `2^grade - 1`, not itself.
    pub exponential: bool,
    /// Factor of second derivatives: 2 in XGBoost, 1 in LightGBM.
    pub hessian: f32,
}

/// What a pair is weighed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RankKind {
    /// Nothing.
    Pairwise,
    /// The change in NDCG.
    Ndcg,
    /// The change in mean average precision.
    Map,
}

/// Which pairs count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairs {
    /// Those with one of the first so many of the list as it stands.
    Top(usize),
    /// So many for each row, with rows of another grade drawn at random.
    Mean(usize),
}

impl Ranking {
    /// XGBoost's name.
    pub fn name(&self) -> &'static str {
        match self.kind {
            RankKind::Pairwise => "rank:pairwise",
            RankKind::Ndcg => "rank:ndcg",
            RankKind::Map => "rank:map",
        }
    }

    /// What is wrong with a grade, and what to do.
    pub fn label_fault(&self, y: f32) -> Option<(&'static str, &'static str)> {
        match self.kind {
            RankKind::Map if y != 0.0 && y != 1.0 => Some((
                "rank:map is defined for relevance 0 and 1 alone",
                "write 0 and 1, or choose rank:ndcg",
            )),
            RankKind::Ndcg if self.exponential && (y.fract() != 0.0 || y < 0.0) => Some((
                "When using relevance degree as target, label must be either 0 or positive integer",
                "write whole grades from 0, or set ndcg_exp_gain to false",
            )),
            RankKind::Ndcg if self.exponential && y > GRADE_MAX => Some((
                "Relevance degress must be lesser than or equal to 31 when the exponential NDCG gain function is used",
                "write lower grades, or set ndcg_exp_gain to false",
            )),
            _ => None,
        }
    }

    /// The gradients of every row. `seed` decides which pairs [`Pairs::Mean`] draws.
    pub fn gradients(&self, margins: &[f32], truth: &Truth<'_>, seed: u64, out: &mut [Gradient]) {
        let lists = truth.lists();
        let total: f64 = lists.iter().map(|list| f64::from(truth.weight(list.start))).sum();
        let share = if total > 0.0 { lists.len() as f64 / total } else { 1.0 };
        let mut rest = out;
        let mut tasks = Vec::with_capacity(lists.len());
        for (number, list) in lists.iter().enumerate() {
            let (own, behind) = rest.split_at_mut(list.len());
            rest = behind;
            tasks.push((number, list.clone(), own));
        }
        tasks.into_par_iter().for_each(|(number, list, out)| {
            let weight = f64::from(truth.weight(list.start)) * share;
            let list = List::new(&margins[list.clone()], &truth.labels[list], self);
            list.gradients(Draw::new(seed, number, 0), weight, out);
        });
    }
}

/// One query's rows.
struct List<'a> {
    ranking: &'a Ranking,
    margins: &'a [f32],
    labels: &'a [f32],
    /// Rows from the highest margin down.
    order: Vec<u32>,
    /// 1 / the best DCG there can be; 0 where there is none.
    best: f64,
    /// For each place, how much relevance stands above it and with it; of places, for `rank:map`.
    relevant: Vec<f64>,
    /// Sum of relevance by place number.
    shares: Vec<f64>,
}

impl<'a> List<'a> {
    fn new(margins: &'a [f32], labels: &'a [f32], ranking: &'a Ranking) -> List<'a> {
        let order = descending(margins);
        let top = match ranking.pairs {
            Pairs::Top(top) => top,
            Pairs::Mean(_) => usize::MAX,
        };
        let best = match ranking.kind {
            RankKind::Ndcg => inverse_best(labels, top, ranking.exponential),
            _ => 0.0,
        };
        let (mut relevant, mut shares) = (Vec::new(), Vec::new());
        if ranking.kind == RankKind::Map {
            let (mut sum, mut share) = (0.0, 0.0);
            for (place, row) in order.iter().enumerate() {
                let label = f64::from(labels[*row as usize]);
                sum += label;
                share += label / (place + 1) as f64;
                relevant.push(sum);
                shares.push(share);
            }
        }
        List { ranking, margins, labels, order, best, relevant, shares }
    }

    fn gradients(&self, draw: Draw, weight: f64, out: &mut [Gradient]) {
        out.fill([0.0; 2]);
        let mut pulled = 0.0f64;
        let mut pull = |one: usize, two: usize| {
            if let Some((up, down, [g, h])) = self.pair(one, two) {
                out[up][0] += g;
                out[up][1] += h;
                out[down][0] -= g;
                out[down][1] += h;
                pulled -= 2.0 * f64::from(g);
            }
        };
        let count = self.order.len();
        match self.ranking.pairs {
            Pairs::Top(top) => {
                for one in 0..count.min(top) {
                    (one + 1..count).for_each(|two| pull(one, two));
                }
            }
            Pairs::Mean(times) => self.drawn(draw, times, &mut pull),
        }
        let norm = match self.ranking.pairs {
            _ if !self.ranking.normalise => 1.0,
            Pairs::Mean(times) => 1.0 / times as f64,
            Pairs::Top(_) if pulled > 0.0 => (1.0 + pulled).log2() / pulled,
            Pairs::Top(_) => 1.0,
        };
        for gradient in out {
            *gradient = gradient.map(|part| ((part as f64 * norm) as f32 as f64 * weight) as f32);
        }
    }

    /// For each row so many partners of another grade, drawn evenly.
    fn drawn(&self, draw: Draw, times: usize, pull: &mut impl FnMut(usize, usize)) {
        let grade = |place: usize| self.labels[self.order[place] as usize];
        let mut by_grade: Vec<usize> = (0..self.order.len()).collect();
        by_grade.sort_by(|one, two| grade(*two).total_cmp(&grade(*one)));
        let count = by_grade.len();
        let mut first = 0;
        let mut drawn = 0u64;
        while first < count {
            let own = grade(by_grade[first]);
            let end = (first..count).find(|at| grade(by_grade[*at]) != own).unwrap_or(count);
            let others = first + count - end;
            for _ in 0..if others > 0 { times } else { 0 } {
                for at in first..end {
                    let pick = draw.below(others, drawn);
                    drawn += 1;
                    let other = if pick >= first { pick - first + end } else { pick };
                    pull(by_grade[at], by_grade[other]);
                }
            }
            first = end;
        }
    }

    /// The rows to pull up and down of two places, and how hard; `None` when they are equal.
    fn pair(&self, one: usize, two: usize) -> Option<(usize, usize, Gradient)> {
        let row = |place: usize| self.order[place] as usize;
        let (mut high, mut low) = (one, two);
        if self.labels[row(high)] == self.labels[row(low)] {
            return None;
        }
        if self.labels[row(high)] < self.labels[row(low)] {
            (high, low) = (low, high);
        }
        let (up, down) = (row(high), row(low));
        let gap = self.margins[up] - self.margins[down];
        let sigmoid = f64::from(super::objective::sigmoid(gap));
        let mut change = self.change(high, low).abs();
        let spread = self.margins[row(0)] != self.margins[row(self.order.len() - 1)];
        if self.ranking.by_difference && spread {
            change /= f64::from(gap.abs()) + 0.01;
        }
        let slope = (sigmoid - 1.0) * change;
        let curve =
            (sigmoid * (1.0 - sigmoid)).max(1e-16) * change * f64::from(self.ranking.hessian);
        Some((up, down, [slope as f32, curve as f32]))
    }

    /// What the list's figure would change if two places changed rows.
    fn change(&self, high: usize, low: usize) -> f64 {
        let label = |place: usize| self.labels[self.order[place] as usize];
        match self.ranking.kind {
            RankKind::Pairwise => 1.0,
            RankKind::Ndcg => {
                let worth = |place| gain(label(place), self.ranking.exponential);
                let gap = discount(high) - discount(low);
                (worth(high) - worth(low)) * gap * self.best
            }
            RankKind::Map => {
                let (first, second) = (high.min(low), high.max(low));
                let (top, bottom) = ((first + 1) as f64, (second + 1) as f64);
                let (m, n) = (self.relevant[second], self.relevant[first]);
                let between = self.shares[second - 1] - self.shares[first];
                let total = self.relevant.last().copied().unwrap_or(1.0);
                if label(first) < label(second) {
                    (m / bottom - (n + 1.0) / top - between) / total
                } else {
                    (n / top - m / bottom + between) / total
                }
            }
        }
    }
}

/// A figure of ranked lists: the mean over queries, each with its weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    /// Which.
    pub kind: RankedKind,
    /// Looks at the first so many places; `usize::MAX` for all.
    pub top: usize,
    /// A query without a relevant row counts 0, not 1 (`ndcg@5-`).
    pub strict: bool,
    /// A grade is worth `2^grade - 1`.
    pub exponential: bool,
}

/// Which figure of a ranked list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RankedKind {
    /// Normalised discounted cumulative gain.
    Ndcg,
    /// Mean average precision.
    Map,
    /// Precision.
    Precision,
}

impl Ranked {
    /// `ndcg@5-`
    pub fn name(&self) -> String {
        let stem = match self.kind {
            RankedKind::Ndcg => "ndcg",
            RankedKind::Map => "map",
            RankedKind::Precision => "pre",
        };
        let top = if self.top == usize::MAX { String::new() } else { format!("@{}", self.top) };
        format!("{stem}{top}{}", if self.strict { "-" } else { "" })
    }

    /// The figure; `None` when there are no rows, or labels it is not defined for.
    pub fn of(&self, scores: &[f32], truth: &Truth<'_>) -> Option<f64> {
        let grades = truth.labels.iter().all(|y| y.fract() == 0.0 && (0.0..=GRADE_MAX).contains(y));
        let defined = match self.kind {
            RankedKind::Ndcg => !self.exponential || grades,
            _ => truth.labels.iter().all(|y| *y == 0.0 || *y == 1.0),
        };
        let lists = truth.lists();
        if !defined || lists.is_empty() {
            return None;
        }
        let one = |list: &std::ops::Range<usize>| {
            let weight = f64::from(truth.weight(list.start));
            let figure = self.of_list(&scores[list.clone()], &truth.labels[list.clone()]);
            // XGBoost gives a query without relevant rows its whole share whatever its weight.
            let part = match (self.kind, figure) {
                (RankedKind::Ndcg, None) => f64::from(u8::from(!self.strict)),
                (_, None) => weight * f64::from(u8::from(!self.strict)),
                (_, Some(figure)) => weight * figure,
            };
            (part, weight)
        };
        let parts: Vec<(f64, f64)> = lists.par_iter().map(one).collect();
        let (sum, total) = parts.iter().fold((0.0, 0.0), |(a, b), (c, d)| (a + c, b + d));
        (total > 0.0).then(|| (sum / total).min(1.0))
    }

    /// `None` when no row is relevant.
    fn of_list(&self, scores: &[f32], labels: &[f32]) -> Option<f64> {
        let order = descending(scores);
        let label = |row: &u32| labels[*row as usize];
        let top = self.top.min(order.len());
        match self.kind {
            RankedKind::Ndcg => {
                let best = inverse_best(labels, self.top, self.exponential);
                let worth = |(place, row)| discount(place) * gain(label(row), self.exponential);
                let sum: f64 = order[..top].iter().enumerate().map(worth).sum();
                (best > 0.0).then_some(sum * best)
            }
            RankedKind::Map => {
                let (mut hits, mut sum) = (0.0, 0.0);
                for (place, row) in order[..top].iter().enumerate() {
                    let own = f64::from(label(row));
                    hits += own;
                    sum += hits / (place + 1) as f64 * own;
                }
                let all: f64 = labels.iter().map(|y| f64::from(*y)).sum();
                (all > 0.0).then(|| sum / all.min(self.top as f64))
            }
            RankedKind::Precision => {
                let hits: f64 = order[..top].iter().map(|row| f64::from(label(row))).sum();
                Some(hits / top as f64)
            }
        }
    }
}

/// Rows from the highest score down, equals in their order.
fn descending(scores: &[f32]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..scores.len() as u32).collect();
    order.sort_by(|one, two| scores[*two as usize].total_cmp(&scores[*one as usize]));
    order
}

fn gain(label: f32, exponential: bool) -> f64 {
    if exponential { f64::from(label).exp2() - 1.0 } else { f64::from(label) }
}

fn discount(place: usize) -> f64 {
    1.0 / ((place + 2) as f64).log2()
}

/// 1 / the DCG of the best order; 0 when no row is relevant.
fn inverse_best(labels: &[f32], top: usize, exponential: bool) -> f64 {
    let mut sorted = labels.to_vec();
    sorted.sort_by(|one, two| two.total_cmp(one));
    let worth = |(place, label): (usize, &f32)| discount(place) * gain(*label, exponential);
    let best: f64 = sorted.iter().take(top).enumerate().map(worth).sum();
    if best > 0.0 { 1.0 / best } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(kind: RankedKind, top: usize) -> Ranked {
        Ranked { kind, top, strict: false, exponential: true }
    }

    #[test]
    fn figures_of_a_list_are_those_of_the_books() {
        let (scores, labels) = ([0.9, 0.8, 0.7, 0.6], [0.0, 1.0, 0.0, 1.0]);
        let truth = Truth { labels: &labels, weights: None, groups: None };
        let of = |kind, top| ranked(kind, top).of(&scores, &truth).unwrap();
        assert!((of(RankedKind::Map, usize::MAX) - 0.5).abs() < 1e-12);
        assert!((of(RankedKind::Precision, 2) - 0.5).abs() < 1e-12);
        let (a, b) = (1.0 / 3f64.log2(), 1.0 / 5f64.log2());
        assert!((of(RankedKind::Ndcg, usize::MAX) - (a + b) / (1.0 + a)).abs() < 1e-12);
        assert_eq!(ranked(RankedKind::Ndcg, 5).name(), "ndcg@5");
    }

    #[test]
    fn a_pair_pulls_the_better_row_up_as_much_as_the_other_down() {
        let ranking = Ranking {
            kind: RankKind::Ndcg,
            pairs: Pairs::Top(32),
            normalise: true,
            by_difference: true,
            exponential: true,
            hessian: 2.0,
        };
        for (kind, pairs) in [
            (RankKind::Ndcg, Pairs::Top(32)),
            (RankKind::Pairwise, Pairs::Mean(3)),
            (RankKind::Map, Pairs::Top(2)),
        ] {
            let ranking = Ranking { kind, pairs, ..ranking };
            let labels = [1.0, 0.0, 1.0, 0.0, 1.0];
            let groups = [0, 3, 5];
            let truth = Truth { labels: &labels, weights: None, groups: Some(&groups) };
            let mut out = [[0.0; 2]; 5];
            ranking.gradients(&[0.1, 0.3, 0.2, 0.5, 0.4], &truth, 7, &mut out);
            assert!(out[0][0] < 0.0 && out[2][0] < 0.0 && out[1][0] > 0.0, "{out:?}");
            assert!(out[3][0] > 0.0 && (out[3][0] + out[4][0]).abs() < 1e-6, "{out:?}");
            assert!(out.iter().all(|[_, h]| *h > 0.0));
        }
    }
}
