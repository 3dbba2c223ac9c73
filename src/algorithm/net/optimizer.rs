//! The step from gradients to new weights, over host memory.
//!
//! One pass reads gradient, moments and weight and writes moments and weight in place; a chain of
//! tensor operations would walk the same memory about ten times. The pieces are independent, so
//! the result does not depend on how many threads share them. On a GPU the same arithmetic runs as
//! tensor operations, see [`super::super::mlp::graph`].

use rayon::prelude::*;

use super::simd;

/// Which rule turns a gradient into a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Gradient descent, with momentum when it is not 0.
    Sgd,
    /// Adam; weight decay is part of the gradient.
    Adam,
    /// Adam with decoupled weight decay.
    AdamW,
    /// RMSprop, with momentum when it is not 0.
    RmsProp,
}

/// A rule and its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The rule.
    pub rule: Rule,
    /// For SGD and RMSprop.
    pub momentum: f64,
    /// Adam's decay of the mean gradient.
    pub beta_1: f64,
    /// Adam's and RMSprop's decay of the mean square.
    pub beta_2: f64,
    /// Added to the root of the mean square.
    pub epsilon: f64,
    /// L2 penalty: `wd / 2 · w²` per weight (decoupled for AdamW).
    pub wd: f64,
    /// L1 penalty: `l1 · |w|` per weight.
    pub l1: f64,
    /// Longest the whole gradient may be, in the L2 norm; longer ones are shortened.
    pub clip_norm: Option<f64>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            rule: Rule::Adam,
            momentum: 0.0,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            wd: 0.0,
            l1: 0.0,
            clip_norm: None,
        }
    }
}

impl Settings {
    /// Whether the rule keeps a mean gradient, and whether it keeps a mean square.
    pub fn keeps(&self) -> (bool, bool) {
        match self.rule {
            Rule::Sgd => (self.momentum != 0.0, false),
            Rule::Adam | Rule::AdamW => (true, true),
            Rule::RmsProp => (self.momentum != 0.0, true),
        }
    }

    /// The numbers of step `step` (from 1), so that the inner loops hold only products.
    pub fn at(&self, rate: f64, step: u64) -> Coefficients {
        let steps = step.min(i32::MAX as u64) as i32;
        let (first, second) = match self.rule {
            Rule::Adam | Rule::AdamW => {
                (1.0 - self.beta_1.powi(steps), (1.0 - self.beta_2.powi(steps)).sqrt())
            }
            Rule::Sgd | Rule::RmsProp => (1.0, 1.0),
        };
        Coefficients {
            rate: (rate / first) as f32,
            root: (1.0 / second) as f32,
            shrink: if self.rule == Rule::AdamW { (1.0 - rate * self.wd) as f32 } else { 1.0 },
            wd: if self.rule == Rule::AdamW { 0.0 } else { self.wd as f32 },
            l1: self.l1 as f32,
            momentum: self.momentum as f32,
            beta_1: self.beta_1 as f32,
            beta_2: self.beta_2 as f32,
            epsilon: self.epsilon as f32,
            scale: 1.0,
        }
    }
}

/// One step's numbers.
#[derive(Debug, Clone, Copy)]
pub struct Coefficients {
    /// Learning rate, Adam's first bias correction included.
    pub rate: f32,
    /// Adam's second bias correction, for the root of the mean square.
    pub root: f32,
    /// What AdamW multiplies the weights with.
    pub shrink: f32,
    /// L2 penalty inside the gradient.
    pub wd: f32,
    /// L1 penalty.
    pub l1: f32,
    /// See [`Settings`].
    pub momentum: f32,
    /// See [`Settings`].
    pub beta_1: f32,
    /// See [`Settings`].
    pub beta_2: f32,
    /// See [`Settings`].
    pub epsilon: f32,
    /// What the gradient is multiplied with first: clipping.
    pub scale: f32,
}

/// A rule with the moments it keeps for each parameter.
#[derive(Debug, Clone)]
pub struct Optimizer {
    settings: Settings,
    /// Steps taken.
    pub steps: u64,
    /// The moments of each parameter; empty where the rule keeps none.
    pub moments: Vec<Moments>,
}

/// What a rule remembers of one parameter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Moments {
    /// Mean gradient, or velocity.
    pub first: Vec<f32>,
    /// Mean square.
    pub second: Vec<f32>,
}

/// One parameter and its gradients, as a step sees them.
pub struct Slot<'a> {
    /// Changed in place.
    pub weight: &'a mut [f32],
    /// The gradient, or the first part of it; used as scratch.
    pub gradient: &'a mut [f32],
    /// The other parts of a gradient whose batch was split; added in this order.
    pub more: Vec<&'a [f32]>,
    /// Whether the penalties apply: yes for weights, no for biases.
    pub decay: bool,
}

/// Weights that one task walks through: 64 KiB of each array, within a core's cache.
const PIECE: usize = 16 * 1024;
/// Below this a step is shorter than handing it to another thread.
const ALONE_MAX: usize = 64 * 1024;

struct Piece<'a> {
    weight: &'a mut [f32],
    gradient: &'a mut [f32],
    more: Vec<&'a [f32]>,
    first: &'a mut [f32],
    second: &'a mut [f32],
    decay: bool,
}

impl Optimizer {
    /// An optimizer for parameters of these lengths that has taken no step.
    pub fn new(settings: Settings, lengths: &[usize]) -> Optimizer {
        let (first, second) = settings.keeps();
        let kept = |keeps: bool, length: usize| vec![0.0; if keeps { length } else { 0 }];
        let moments = lengths
            .iter()
            .map(|&length| Moments { first: kept(first, length), second: kept(second, length) })
            .collect();
        Optimizer { settings, steps: 0, moments }
    }

    /// What it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// One step with learning rate `rate`. The slots come in the order of the lengths given at
    /// first. Runs on the current rayon pool when there is enough to share.
    ///
    /// # Panics
    /// When a slot's slices differ in length from what the optimizer was made for.
    pub fn step(&mut self, rate: f64, slots: Vec<Slot<'_>>) {
        self.steps += 1;
        let mut numbers = self.settings.at(rate, self.steps);
        let rule = self.settings.rule;
        let total: usize = slots.iter().map(|slot| slot.weight.len()).sum();
        let shared = total > ALONE_MAX;
        let mut pieces = cut(slots, &mut self.moments);
        if let Some(longest) = self.settings.clip_norm {
            numbers.scale = shortening(&mut pieces, longest, shared);
        }
        let work = |piece: Piece<'_>| simd::run(move || advance(rule, numbers, piece));
        if shared {
            pieces.into_par_iter().for_each(work);
        } else {
            pieces.into_iter().for_each(work);
        }
    }
}

/// Cuts every slot into pieces that a core's cache holds.
fn cut<'a>(slots: Vec<Slot<'a>>, moments: &'a mut [Moments]) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    for (slot, kept) in slots.into_iter().zip(moments) {
        assert_eq!(slot.weight.len(), slot.gradient.len(), "a gradient has its weight's shape");
        let mut first = kept.first.chunks_mut(PIECE);
        let mut second = kept.second.chunks_mut(PIECE);
        let mut more: Vec<_> = slot.more.iter().map(|part| part.chunks(PIECE)).collect();
        for (weight, gradient) in slot.weight.chunks_mut(PIECE).zip(slot.gradient.chunks_mut(PIECE))
        {
            pieces.push(Piece {
                weight,
                gradient,
                more: more
                    .iter_mut()
                    .map(|part| part.next().expect("all parts have the weight's shape"))
                    .collect(),
                first: first.next().unwrap_or_default(),
                second: second.next().unwrap_or_default(),
                decay: slot.decay,
            });
        }
    }
    pieces
}

/// What the gradient must be multiplied with to be no longer than `longest`. Sums the parts into
/// the first one on the way. The squares are added in the order of the pieces, so the result does
/// not depend on the threads.
fn shortening(pieces: &mut [Piece<'_>], longest: f64, shared: bool) -> f32 {
    let square = |piece: &mut Piece<'_>| {
        gather_parts(piece);
        let gradient = &*piece.gradient;
        simd::run(|| sum_of_squares(gradient))
    };
    let squares: Vec<f64> = if shared {
        pieces.par_iter_mut().map(square).collect()
    } else {
        pieces.iter_mut().map(square).collect()
    };
    let norm = squares.iter().sum::<f64>().sqrt();
    if norm > longest { (longest / norm) as f32 } else { 1.0 }
}

/// Sixteen sums side by side, so that the additions need not wait for each other.
#[inline(always)]
fn sum_of_squares(values: &[f32]) -> f64 {
    let (blocks, rest) = values.as_chunks::<16>();
    let mut sums = [0f32; 16];
    for block in blocks {
        for (sum, value) in sums.iter_mut().zip(block) {
            *sum += value * value;
        }
    }
    sums.iter()
        .chain(&rest.iter().map(|v| v * v).collect::<Vec<f32>>())
        .map(|s| f64::from(*s))
        .sum()
}

#[inline(always)]
fn gather_parts(piece: &mut Piece<'_>) {
    for part in piece.more.drain(..) {
        for (sum, more) in piece.gradient.iter_mut().zip(part) {
            *sum += more;
        }
    }
}

/// One piece's step.
#[inline(always)]
fn advance(rule: Rule, c: Coefficients, mut piece: Piece<'_>) {
    gather_parts(&mut piece);
    let Piece { weight, gradient, first, second, decay, .. } = piece;
    let (wd, l1, shrink) = if decay { (c.wd, c.l1, c.shrink) } else { (0.0, 0.0, 1.0) };
    for (g, w) in gradient.iter_mut().zip(weight.iter()) {
        let sign = if *w > 0.0 {
            l1
        } else if *w < 0.0 {
            -l1
        } else {
            0.0
        };
        *g = *g * c.scale + wd * w + sign;
    }
    match rule {
        Rule::Adam | Rule::AdamW => {
            for (((w, g), m), v) in weight.iter_mut().zip(&*gradient).zip(first).zip(second) {
                *m += (g - *m) * (1.0 - c.beta_1);
                *v += (g * g - *v) * (1.0 - c.beta_2);
                *w = *w * shrink - c.rate * *m / (v.sqrt() * c.root + c.epsilon);
            }
        }
        Rule::Sgd if first.is_empty() => {
            for (w, g) in weight.iter_mut().zip(&*gradient) {
                *w -= c.rate * g;
            }
        }
        Rule::Sgd => {
            for ((w, g), m) in weight.iter_mut().zip(&*gradient).zip(first) {
                *m = c.momentum * *m + g;
                *w -= c.rate * *m;
            }
        }
        Rule::RmsProp if first.is_empty() => {
            for ((w, g), v) in weight.iter_mut().zip(&*gradient).zip(second) {
                *v += (g * g - *v) * (1.0 - c.beta_2);
                *w -= c.rate * g / (v.sqrt() + c.epsilon);
            }
        }
        Rule::RmsProp => {
            for (((w, g), m), v) in weight.iter_mut().zip(&*gradient).zip(first).zip(second) {
                *v += (g * g - *v) * (1.0 - c.beta_2);
                *m = c.momentum * *m + g / (v.sqrt() + c.epsilon);
                *w -= c.rate * *m;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(settings: Settings, steps: usize, parts: usize) -> Vec<f32> {
        let mut weight: Vec<f32> = (0..PIECE * 5 + 3).map(|i| (i as f32 * 0.37).sin()).collect();
        let mut optimizer = Optimizer::new(settings, &[weight.len()]);
        for step in 0..steps {
            let whole: Vec<f32> = weight.iter().map(|w| w * 0.5 + (step as f32).cos()).collect();
            let part: Vec<f32> = whole.iter().map(|g| g / parts as f32).collect();
            let mut gradient = part.clone();
            let slot = Slot {
                weight: &mut weight,
                gradient: &mut gradient,
                more: (1..parts).map(|_| part.as_slice()).collect(),
                decay: true,
            };
            optimizer.step(0.01, vec![slot]);
        }
        weight
    }

    /// The rule's definition, one weight at a time in f64 (Kingma and Ba 2015, algorithm 1).
    #[test]
    fn adam_steps_as_its_paper_says() {
        let settings = Settings::default();
        let fast = run(settings, 20, 1);
        for at in [0usize, 1, 77, PIECE, PIECE * 5 + 2] {
            let mut w = f64::from((at as f32 * 0.37).sin());
            let (mut m, mut v) = (0.0, 0.0);
            for step in 0..20 {
                let g = w * 0.5 + f64::from((step as f32).cos());
                m = 0.9 * m + 0.1 * g;
                v = 0.999 * v + 0.001 * g * g;
                let m_hat = m / (1.0 - 0.9f64.powi(step + 1));
                let v_hat = v / (1.0 - 0.999f64.powi(step + 1));
                w -= 0.01 * m_hat / (v_hat.sqrt() + 1e-8);
            }
            assert!((w - f64::from(fast[at])).abs() < 1e-5, "{w} {}", fast[at]);
        }
    }

    #[test]
    fn a_gradient_in_parts_is_the_gradient() {
        for rule in [Rule::Sgd, Rule::Adam, Rule::AdamW, Rule::RmsProp] {
            let settings = Settings {
                rule,
                momentum: 0.9,
                wd: 0.01,
                l1: 0.001,
                clip_norm: Some(5.0),
                ..Settings::default()
            };
            let (one, two) = (run(settings, 5, 1), run(settings, 5, 2));
            assert!(one.iter().zip(&two).all(|(a, b)| (a - b).abs() < 1e-4), "{rule:?}");
        }
    }

    #[test]
    fn the_threads_do_not_change_a_bit() {
        let settings = Settings { clip_norm: Some(1.0), ..Settings::default() };
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| run(settings, 3, 2))
        };
        assert_eq!(with(1), with(4));
    }

    #[test]
    fn clipping_shortens_only_what_is_too_long() {
        let step = |clip_norm| {
            let settings = Settings { rule: Rule::Sgd, clip_norm, ..Settings::default() };
            let (mut weight, mut gradient) = (vec![0.0f32; 2], vec![3.0f32, 4.0]);
            let slot =
                Slot { weight: &mut weight, gradient: &mut gradient, more: vec![], decay: true };
            Optimizer::new(settings, &[2]).step(1.0, vec![slot]);
            weight
        };
        assert_eq!(step(Some(10.0)), [-3.0, -4.0]);
        assert_eq!(step(Some(1.0)), [-0.6, -0.8]);
    }
}
