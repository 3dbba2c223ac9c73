//! The best split of a node, from its histogram: XGBoost's gain, weights and constraints.
//!
//! A column of categories is parted one against all others where it has few, and else by the order
//! of its categories' own weights (Fisher 1958: the best of all sets is a prefix of that order).

use super::bins::Bins;
use super::histogram::{Scaled, Slot, Sum};
use super::settings::Growth;
use super::tile::Tile;
use super::tree::Set;

/// Loss a split must save to be made at all, as XGBoost's `kRtEps`.
pub const GAIN_MIN: f32 = 1e-6;

/// A way to part a node's rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Loss it saves.
    pub gain: f32,
    /// Column that decides.
    pub feature: u32,
    /// Last bin that goes left; -1 when only missing values do.
    pub last: i32,
    /// Whether missing values go left.
    pub default_left: bool,
    /// What goes left.
    pub left: Sum,
    /// What goes right.
    pub right: Sum,
    /// The categories that go right, where the column has any; then `last` says nothing.
    pub set: Option<Set>,
}

impl Split {
    /// Whether it beats `other`; of equals the lower column wins.
    fn beats(&self, other: Option<&Split>) -> bool {
        other.is_none_or(|other| {
            self.gain > other.gain || (self.gain == other.gain && self.feature < other.feature)
        })
    }
}

/// The better of two.
pub fn better(one: Option<Split>, two: Option<Split>) -> Option<Split> {
    match (one, two) {
        (Some(one), Some(two)) => Some(if two.beats(Some(&one)) { two } else { one }),
        (one, two) => one.or(two),
    }
}

/// What a node's weight must keep to, so that a monotone constraint holds above it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// At least.
    pub low: f64,
    /// At most.
    pub high: f64,
}

impl Bounds {
    /// No bound.
    pub const NONE: Bounds = Bounds { low: f64::NEG_INFINITY, high: f64::INFINITY };

    /// The bounds of both children after a split on a column of this sign.
    pub fn parted(self, sign: i8, left: f64, right: f64) -> (Bounds, Bounds) {
        let middle = (left + right) / 2.0;
        match sign {
            0 => (self, self),
            1.. => (Bounds { high: middle, ..self }, Bounds { low: middle, ..self }),
            _ => (Bounds { low: middle, ..self }, Bounds { high: middle, ..self }),
        }
    }
}

/// The regularised loss of a node.
#[derive(Debug, Clone, Copy)]
pub struct Loss<'a> {
    growth: &'a Growth,
    /// Whether any column is constrained.
    constrained: bool,
}

impl<'a> Loss<'a> {
    /// As `growth` says.
    pub fn new(growth: &'a Growth) -> Loss<'a> {
        Loss { growth, constrained: growth.monotone.iter().any(|sign| *sign != 0) }
    }

    /// -1, 0 or 1.
    pub fn sign(&self, feature: u32) -> i8 {
        self.growth.monotone.get(feature as usize).copied().unwrap_or(0)
    }

    /// The best weight of a leaf with these sums, before the learning rate.
    pub fn weight(&self, [g, h]: [f64; 2], bounds: Bounds) -> f64 {
        if h < self.growth.min_child_weight || h <= 0.0 {
            return 0.0;
        }
        let step = self.growth.max_delta_step;
        let mut weight = -shrunk(g, self.growth.alpha) / (h + self.growth.lambda);
        if step != 0.0 && weight.abs() > step {
            weight = step.copysign(weight);
        }
        weight.clamp(bounds.low, bounds.high)
    }

    /// Least hessian of a child of a node with this hessian and so many rows. A least number of
    /// rows is brought to hessians by the node's own ratio, as LightGBM does.
    pub fn least(&self, hessian: f64, rows: usize) -> f64 {
        let least = self.growth.min_child_weight;
        if self.growth.min_rows <= 1 || rows == 0 {
            return least;
        }
        least.max((self.growth.min_rows as f64 - 0.5) * hessian / rows as f64)
    }

    /// What the node saves against weight 0, doubled.
    pub fn gain(&self, sums: [f64; 2], bounds: Bounds) -> f64 {
        let [g, h] = sums;
        if h <= 0.0 {
            return 0.0;
        }
        if self.is_plain() {
            let g = shrunk(g, self.growth.alpha);
            return g * g / (h + self.growth.lambda);
        }
        self.gain_at(sums, self.weight(sums, bounds))
    }

    /// Without the L1 penalty of a bounded weight, as XGBoost 3.2 (3.4 counts it).
    fn gain_at(&self, [g, h]: [f64; 2], weight: f64) -> f64 {
        -(2.0 * g * weight + (h + self.growth.lambda) * weight * weight)
    }

    fn is_plain(&self) -> bool {
        self.growth.max_delta_step == 0.0 && !self.constrained
    }
}

fn shrunk(g: f64, alpha: f64) -> f64 {
    if g > alpha {
        g - alpha
    } else if g < -alpha {
        g + alpha
    } else {
        0.0
    }
}

/// A node whose split is sought.
#[derive(Debug, Clone, Copy)]
pub struct Sought<'a> {
    /// All its rows.
    pub sum: Sum,
    /// [`Loss::gain`] of them.
    pub gain: f64,
    /// Least hessian of a child: [`Loss::least`].
    pub least: f64,
    /// What its weight keeps to.
    pub bounds: Bounds,
    /// Whether each column may be used; `None` for all.
    pub allowed: Option<&'a [bool]>,
}

/// The best split over the columns of one tile.
pub fn best_of_tile<S: Slot>(
    bins: &Bins,
    tile: &Tile,
    slots: &[S],
    scaled: &Scaled,
    loss: &Loss<'_>,
    node: &Sought<'_>,
) -> Option<Split> {
    let mut best = None;
    for (lane, feature) in tile.columns.iter().enumerate() {
        if node.allowed.is_some_and(|allowed| !allowed[*feature as usize]) {
            continue;
        }
        let column = &bins.columns[*feature as usize];
        let slots = &slots[tile.starts[lane]..][..column.bins()];
        let (values, missing) = slots.split_at(column.ends.len());
        let missing = missing.first().map_or(Sum::default(), |slot| slot.sum());
        let scan = Scan { feature: *feature, values, missing, scaled, loss, node };
        let found = if column.categories && values.len() < loss.growth.onehot_max {
            scan.one_against_all()
        } else if column.categories {
            scan.parted()
        } else if loss.is_plain() && loss.growth.alpha == 0.0 {
            scan.plainly()
        } else {
            scan.carefully()
        };
        best = better(best, found);
    }
    best
}

/// One column of one node.
struct Scan<'a, S> {
    feature: u32,
    values: &'a [S],
    missing: Sum,
    scaled: &'a Scaled,
    loss: &'a Loss<'a>,
    node: &'a Sought<'a>,
}

/// A place to cut, before it is written out.
#[derive(Clone, Copy)]
struct Cut {
    gain: f32,
    last: i32,
    default_left: bool,
    left: Sum,
}

impl<S: Slot> Scan<'_, S> {
    /// Without bounds, steps or L1: a gain takes one division.
    fn plainly(&self) -> Option<Split> {
        let growth = self.loss.growth;
        let (lambda, least) = (growth.lambda, self.node.least.max(0.0));
        let [unit_g, unit_h] = self.scaled.unit;
        let [all_g, all_h] = self.scaled.value(self.node.sum);
        // Most cuts lose by far: they are told by products, and only the others take a division.
        // Rounded to f32 a gain beats another only when it is above it before.
        let worthwhile = |left: Sum, best: f32| {
            let (lg, lh) = (left.g * unit_g, left.h * unit_h);
            let (rg, rh) = (all_g - lg, all_h - lh);
            let (dl, dr) = (lh + lambda, rh + lambda);
            let bar = (f64::from(best) + self.node.gain) * (1.0 - 1e-12);
            (lg * lg * dr + rg * rg * dl >= bar * (dl * dr)) & (lh >= least) & (rh >= least)
        };
        let gain = |left: Sum| {
            let (lg, lh) = (left.g * unit_g, left.h * unit_h);
            let (rg, rh) = (all_g - lg, all_h - lh);
            if lh <= 0.0 || rh <= 0.0 {
                return f32::NEG_INFINITY;
            }
            let (dl, dr) = (lh + lambda, rh + lambda);
            ((lg * lg * dr + rg * rg * dl) / (dl * dr) - self.node.gain) as f32
        };
        self.scan(worthwhile, gain)
    }

    /// With everything.
    fn carefully(&self) -> Option<Split> {
        self.scan(|_, _| true, |left| self.gain(left))
    }

    /// The loss saved when `left` goes left.
    fn gain(&self, left: Sum) -> f32 {
        let (loss, node) = (self.loss, self.node);
        let least = node.least;
        let (l, r) = (self.scaled.value(left), self.scaled.value(node.sum.minus(left)));
        if l[1] < least || r[1] < least || l[1] <= 0.0 || r[1] <= 0.0 {
            return f32::NEG_INFINITY;
        }
        let sign = loss.sign(self.feature);
        if sign != 0 {
            let (wl, wr) = (loss.weight(l, node.bounds), loss.weight(r, node.bounds));
            if (sign > 0 && wl > wr) || (sign < 0 && wl < wr) {
                return f32::NEG_INFINITY;
            }
        }
        (loss.gain(l, node.bounds) + loss.gain(r, node.bounds) - node.gain) as f32
    }

    /// One category right, all others left; missing values with the others, or with the one.
    fn one_against_all(&self) -> Option<Split> {
        let mut best = Cut { gain: GAIN_MIN, last: -1, default_left: false, left: Sum::default() };
        for (code, slot) in self.values.iter().enumerate() {
            let alone = self.node.sum.minus(slot.sum());
            for (left, default_left) in [(alone, true), (alone.minus(self.missing), false)] {
                let gain = self.gain(left);
                if gain > best.gain {
                    best = Cut { gain, last: code as i32, default_left, left };
                }
            }
        }
        let code = u32::try_from(best.last).ok()?;
        Some(self.split(best, Some([code].into_iter().collect())))
    }

    /// A prefix of the categories, in the order of their weights, right; missing values left,
    /// then (scanned from the other end) right.
    fn parted(&self) -> Option<Split> {
        let weight =
            |slot: &S| self.loss.weight(self.scaled.value(slot.sum()), Bounds::NONE) as f32;
        let weights: Vec<f32> = self.values.iter().map(weight).collect();
        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.sort_by(|left, right| weights[*left].total_cmp(&weights[*right]));
        let steps = self.loss.growth.categories_max.min(order.len()).saturating_sub(1);
        let sum = |at: usize| self.values[order[at]].sum();
        // `last` is how many categories go right.
        let mut best = Cut { gain: GAIN_MIN, last: 0, default_left: false, left: Sum::default() };
        let mut right = Sum::default();
        for at in 0..steps {
            right = right.plus(sum(at));
            let left = self.node.sum.minus(right);
            let gain = self.gain(left);
            if gain > best.gain {
                best = Cut { gain, last: at as i32 + 1, default_left: true, left };
            }
        }
        let mut left = Sum::default();
        for at in (order.len() - steps..order.len()).rev() {
            left = left.plus(sum(at));
            let gain = self.gain(left);
            if gain > best.gain {
                best = Cut { gain, last: at as i32, default_left: false, left };
            }
        }
        let right = order.get(..best.last as usize).filter(|right| !right.is_empty())?;
        Some(self.split(best, Some(right.iter().map(|code| *code as u32).collect())))
    }

    fn split(&self, cut: Cut, set: Option<Set>) -> Split {
        Split {
            gain: cut.gain,
            feature: self.feature,
            last: cut.last,
            default_left: cut.default_left,
            left: cut.left,
            right: self.node.sum.minus(cut.left),
            set,
        }
    }

    /// Tries every cut, missing values right, then (where there are some) left; in LightGBM's way
    /// the other way round, from the top. `worthwhile` may tell of a cut that it does not beat the
    /// best gain so far.
    fn scan(
        &self,
        worthwhile: impl Fn(Sum, f32) -> bool,
        gain: impl Fn(Sum) -> f32,
    ) -> Option<Split> {
        let mut best = Cut { gain: GAIN_MIN, last: -2, default_left: false, left: Sum::default() };
        let mut consider = |left: Sum, last: i32, default_left: bool| {
            if worthwhile(left, best.gain) {
                let gain = gain(left);
                if gain > best.gain {
                    best = Cut { gain, last, default_left, left };
                }
            }
        };
        let some_missing = self.missing != Sum::default();
        let from_above = self.loss.growth.from_above;
        if from_above {
            self.down(&mut consider);
        }
        if !from_above || some_missing {
            self.up(&mut consider);
        }
        if !from_above && some_missing {
            // Down from the top, as XGBoost does, so that equal gains fall alike.
            self.down(&mut consider);
        }
        (best.last != -2).then(|| self.split(best, None))
    }

    /// The cuts from the lowest to the highest, missing values right.
    #[inline(always)]
    fn up(&self, consider: &mut impl FnMut(Sum, i32, bool)) {
        let mut left = Sum::default();
        for (block, slots) in self.values.chunks(SKIP).enumerate() {
            if are_empty(slots) {
                continue;
            }
            for (at, slot) in slots.iter().enumerate().filter(|(_, slot)| **slot != S::default()) {
                left = left.plus(slot.sum());
                consider(left, (block * SKIP + at) as i32, false);
            }
        }
    }

    /// The cuts from the highest to the lowest, missing values left.
    #[inline(always)]
    fn down(&self, consider: &mut impl FnMut(Sum, i32, bool)) {
        let mut left = self.node.sum;
        for (block, slots) in self.values.chunks(SKIP).enumerate().rev() {
            if are_empty(slots) {
                continue;
            }
            let full = slots.iter().enumerate().rev().filter(|(_, slot)| **slot != S::default());
            for (at, slot) in full {
                left = left.minus(slot.sum());
                consider(left, (block * SKIP + at) as i32 - 1, true);
            }
        }
    }
}

/// Slots looked at together: in small nodes most are empty.
const SKIP: usize = 8;

fn are_empty<S: Slot>(slots: &[S]) -> bool {
    slots.iter().fold(true, |empty, slot| empty & (*slot == S::default()))
}
