//! What a linear model is trained to make small, with its derivative, for many models at once.
//!
//! The margins of `models` models stand side by side in one matrix, rows × (models × outputs), so
//! that one matrix product serves all. Derivatives are written out rather than recorded: a linear
//! model's are short, and burn's autodiff is the oracle in the tests.

use burn::tensor::{Tensor, activation};

/// An objective. Parameters are in the units of the targets given to [`Loss::step`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Loss {
    /// ln(1 + exp(-y z)), y = ±1.
    Logistic,
    /// max(0, margin - y z), y = ±1.
    Hinge {
        /// Distance a row must keep.
        margin: f64,
    },
    /// Cross-entropy over classes.
    Softmax,
    /// (z - y)².
    Squared,
    /// |z - y|.
    Absolute,
    /// max(0, |z - y| - eps)².
    EpsSquared {
        /// Errors up to this cost nothing.
        eps: f64,
    },
    /// max(0, |z - y| - eps).
    EpsAbsolute {
        /// Errors up to this cost nothing.
        eps: f64,
    },
    /// quantile × (y - z) above the line, (1 - quantile) × (z - y) below it.
    Quantile {
        /// Which quantile of y to learn, between 0 and 1.
        quantile: f64,
    },
    /// e² / 2 up to delta, delta × (|e| - delta / 2) beyond.
    Huber {
        /// Where the square ends.
        delta: f64,
    },
}

/// What a batch of rows should answer.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// rows × 1: ±1 or a quantity. Of [`Loss::Softmax`] rows × classes: 1 at the row's class.
    pub(super) value: Tensor<2>,
    /// rows × 1: how much each row counts.
    pub(super) weight: Tensor<2>,
}

/// Loss and derivative of a batch.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// 1 × models: weighted sum over the rows.
    pub(super) sum: Tensor<2>,
    /// rows × (models × outputs): derivative of that sum by each margin.
    pub(super) gradient: Tensor<2>,
}

impl Loss {
    /// This loss for targets divided by `scale`.
    #[must_use]
    pub(super) fn divided_by(self, scale: f64) -> Loss {
        match self {
            Loss::EpsSquared { eps } => Loss::EpsSquared { eps: eps / scale },
            Loss::EpsAbsolute { eps } => Loss::EpsAbsolute { eps: eps / scale },
            Loss::Huber { delta } => Loss::Huber { delta: delta / scale },
            other => other,
        }
    }

    /// What a loss for targets divided by `scale` is to be multiplied with to be the loss for the
    /// targets themselves.
    pub(super) fn unit(self, scale: f64) -> f64 {
        match self {
            Loss::Squared | Loss::EpsSquared { .. } | Loss::Huber { .. } => scale * scale,
            Loss::Absolute | Loss::EpsAbsolute { .. } | Loss::Quantile { .. } => scale,
            Loss::Logistic | Loss::Hinge { .. } | Loss::Softmax => 1.0,
        }
    }

    /// Loss and derivative for the margins of `models` models.
    pub(super) fn step(self, margins: Tensor<2>, target: &Target, models: usize) -> Step {
        if self == Loss::Softmax {
            return softmax(margins, target, models);
        }
        let (each, slope) = self.each(margins, target.value.clone());
        Step {
            sum: (each * target.weight.clone()).sum_dim(0),
            gradient: slope * target.weight.clone(),
        }
    }

    /// 1 × models: the weighted sum of the loss alone.
    pub(super) fn sum(self, margins: Tensor<2>, target: &Target, models: usize) -> Tensor<2> {
        self.step(margins, target, models).sum
    }

    /// Loss and slope at each margin; `y` is rows × 1.
    fn each(self, z: Tensor<2>, y: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        match self {
            Loss::Logistic => {
                let against = z * -y.clone();
                // ln(1 + exp(a)) without overflow.
                let tail = (-against.clone().abs()).exp().log1p();
                let loss = against.clone().clamp_min(0.0) + tail;
                (loss, activation::sigmoid(against) * -y)
            }
            Loss::Hinge { margin } => {
                let lack = (z * -y.clone()).add_scalar(margin);
                let lacking = lack.clone().greater_elem(0.0).float();
                (lack.clamp_min(0.0), lacking * -y)
            }
            Loss::Squared => {
                let error = z - y;
                (error.clone().square(), error.mul_scalar(2.0))
            }
            Loss::Absolute => {
                let error = z - y;
                (error.clone().abs(), error.sign())
            }
            Loss::EpsSquared { eps } => {
                let error = z - y;
                let excess = error.clone().abs().sub_scalar(eps).clamp_min(0.0);
                (excess.clone().square(), excess * error.sign().mul_scalar(2.0))
            }
            Loss::EpsAbsolute { eps } => {
                let error = z - y;
                let excess = error.clone().abs().sub_scalar(eps);
                let outside = excess.clone().greater_elem(0.0).float();
                (excess.clamp_min(0.0), outside * error.sign())
            }
            Loss::Quantile { quantile } => {
                let error = z - y;
                let over = error.clone().clamp_min(0.0).mul_scalar(1.0 - quantile);
                let under = (-error.clone()).clamp_min(0.0).mul_scalar(quantile);
                let above = error.clone().greater_elem(0.0).float().mul_scalar(1.0 - quantile);
                let below = error.lower_elem(0.0).float().mul_scalar(-quantile);
                (over + under, above + below)
            }
            Loss::Huber { delta } => {
                let error = z - y;
                let near = error.clone().clamp(-delta, delta);
                // With c the error cut at ±delta, e c - c²/2 is both branches at once.
                let loss = error * near.clone() - near.clone().square().div_scalar(2.0);
                (loss, near)
            }
            Loss::Softmax => unreachable!("softmax is not a loss of single margins"),
        }
    }
}

fn softmax(margins: Tensor<2>, target: &Target, models: usize) -> Step {
    let [rows, columns] = margins.dims();
    let classes = columns / models;
    let margins = margins.reshape([rows, models, classes]);
    let truth = target.value.clone().reshape([rows, 1, classes]);
    let weight = target.weight.clone().reshape([rows, 1, 1]);
    let logs = activation::log_softmax(margins, 2);
    let gradient = (logs.clone().exp() - truth.clone()) * weight.clone();
    let each = -(logs * truth).sum_dim(2) * weight;
    Step { sum: each.sum_dim(0).reshape([1, models]), gradient: gradient.reshape([rows, columns]) }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    const LOSSES: [Loss; 8] = [
        Loss::Logistic,
        Loss::Hinge { margin: 1.0 },
        Loss::Squared,
        Loss::Absolute,
        Loss::EpsSquared { eps: 0.3 },
        Loss::EpsAbsolute { eps: 0.3 },
        Loss::Quantile { quantile: 0.8 },
        Loss::Huber { delta: 0.7 },
    ];

    fn tensor(values: &[f32], shape: [usize; 2], device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
    }

    fn values(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().try_into_vec().unwrap()
    }

    #[test]
    fn losses_have_their_known_values() {
        let device = Device::flex();
        let target = Target {
            value: tensor(&[1.0], [1, 1], &device),
            weight: tensor(&[2.0], [1, 1], &device),
        };
        // Twice the loss at z = -0.5, y = 1, by hand.
        let expected: [f32; 8] = [1.948_154, 3.0, 4.5, 3.0, 2.88, 2.4, 2.4, 1.61];
        for (loss, expected) in LOSSES.into_iter().zip(expected) {
            let margins = tensor(&[-0.5], [1, 1], &device);
            let found = values(loss.sum(margins, &target, 1))[0];
            assert!((found - expected).abs() < 1e-5, "{loss:?}: {found} is not {expected}");
        }
    }

    #[test]
    fn derivatives_agree_with_burns_autodiff() {
        let recording = Device::flex().autodiff();
        let device = Device::flex();
        let (rows, models) = (5, 3);
        let z: Vec<f32> = (0..rows * models).map(|i| (i as f32 * 0.77 + 0.3).sin() * 2.0).collect();
        let signs = [1.0, -1.0, 1.0, 1.0, -1.0];
        let quantities = [0.3, -1.2, 0.9, 2.0, -0.4];
        let weight = [1.0, 0.5, 2.0, 0.0, 1.5];
        for loss in LOSSES {
            let y = match loss {
                Loss::Logistic | Loss::Hinge { .. } => signs,
                _ => quantities,
            };
            let on = |device: &Device| Target {
                value: tensor(&y, [rows, 1], device),
                weight: tensor(&weight, [rows, 1], device),
            };
            let margins = tensor(&z, [rows, models], &recording).require_grad();
            let grads = loss.sum(margins.clone(), &on(&recording), models).sum().backward();
            let oracle = values(margins.grad(&grads).unwrap());
            let step = loss.step(tensor(&z, [rows, models], &device), &on(&device), models);
            for (ours, theirs) in values(step.gradient).iter().zip(&oracle) {
                assert!((ours - theirs).abs() < 1e-5, "{loss:?}: {ours} is not {theirs}");
            }
        }
    }

    #[test]
    fn softmax_agrees_with_burns_autodiff() {
        let recording = Device::flex().autodiff();
        let device = Device::flex();
        let (rows, models, classes) = (4, 2, 3);
        let columns = models * classes;
        let z: Vec<f32> = (0..rows * columns).map(|i| (i as f32 * 1.3).cos() * 3.0).collect();
        let truth = [1., 0., 0., 0., 0., 1., 0., 1., 0., 1., 0., 0.];
        let on = |device: &Device| Target {
            value: tensor(&truth, [rows, classes], device),
            weight: tensor(&[1.0, 2.0, 0.5, 1.0], [rows, 1], device),
        };
        let margins = tensor(&z, [rows, columns], &recording).require_grad();
        let sums = Loss::Softmax.sum(margins.clone(), &on(&recording), models);
        let grads = sums.clone().sum().backward();
        let oracle = values(margins.grad(&grads).unwrap());
        let step = Loss::Softmax.step(tensor(&z, [rows, columns], &device), &on(&device), models);
        for (ours, theirs) in values(step.gradient).iter().zip(&oracle) {
            assert!((ours - theirs).abs() < 1e-5, "{ours} is not {theirs}");
        }
        // The first model's loss by hand.
        let by_hand: f32 = (0..rows)
            .map(|row| {
                let margins = &z[row * columns..row * columns + classes];
                let total: f32 = margins.iter().map(|z| z.exp()).sum();
                let code = truth[row * classes..][..classes].iter().position(|t| *t == 1.0);
                [1.0, 2.0, 0.5, 1.0][row] * (total.ln() - margins[code.unwrap()])
            })
            .sum();
        assert!((values(step.sum)[0] - by_hand).abs() < 1e-4);
    }

    #[test]
    fn units_follow_the_scale_of_the_targets() {
        let device = Device::flex();
        let weight = tensor(&[1.0], [1, 1], &device);
        for loss in &LOSSES[2..] {
            let at = |z: f32, y: f32, loss: Loss| {
                let target =
                    Target { value: tensor(&[y], [1, 1], &device), weight: weight.clone() };
                values(loss.sum(tensor(&[z], [1, 1], &device), &target, 1))[0]
            };
            let whole = at(5.0, 1.0, *loss);
            let parts = at(0.5, 0.1, loss.divided_by(10.0)) * loss.unit(10.0) as f32;
            assert!((whole - parts).abs() < 1e-3, "{loss:?}: {whole} is not {parts}");
        }
    }
}
