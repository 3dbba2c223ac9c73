//! Steps from gradients, for many models side by side: each column of the weights has its own
//! learning rate and penalties.
//!
//! L2 is part of the gradient. L1 is a proximal step with the length of the very step taken, so
//! that weights become exactly 0 and the minimum is that of the stated objective under every
//! optimizer.

use burn::tensor::{Device, Tensor, TensorData};

use super::settings::Optimizer;
use crate::algorithm::Error;

impl Optimizer {
    /// The share of the last step that is added to the next. Adam's memory is a mean, not a sum.
    fn momentum(self) -> f64 {
        match self {
            Optimizer::Adam { .. } => 0.0,
            Optimizer::Sgd { momentum } | Optimizer::RmsProp { momentum, .. } => momentum,
        }
    }
}

/// What keeps Adam and RMSprop from dividing by 0; PyTorch's.
const EPSILON: f64 = 1e-8;

/// Rates and penalties, one per column: 1 × columns.
#[derive(Debug, Clone)]
pub(super) struct Rates {
    /// Learning rate before any schedule.
    pub(super) learning_rate: Tensor<2>,
    /// L2; `None` when all are 0.
    pub(super) wd: Option<Tensor<2>>,
    /// L1; `None` when all are 0.
    pub(super) l1: Option<Tensor<2>>,
}

/// Weights with the optimizer's memory of them.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// rows × columns.
    pub(super) value: Tensor<2>,
    /// Memory of the gradient, or the last step.
    first: Tensor<2>,
    /// Memory of the squared gradient.
    second: Tensor<2>,
}

impl Block {
    /// Nothing remembered yet.
    pub(super) fn new(value: Tensor<2>) -> Block {
        Block { first: value.zeros_like(), second: value.zeros_like(), value }
    }

    /// One step, the `step`-th from 1, at `factor` of the learning rates.
    #[must_use]
    pub(super) fn step(
        self,
        gradient: Tensor<2>,
        rates: &Rates,
        how: Optimizer,
        step: u64,
        factor: f64,
    ) -> Block {
        let Block { value, first, second } = self;
        let gradient = match &rates.wd {
            Some(wd) => gradient + value.clone() * wd.clone(),
            None => gradient,
        };
        let rate = rates.learning_rate.clone().mul_scalar(factor);
        let (first, second, length, direction) = match how {
            Optimizer::Adam { beta_1, beta_2 } => {
                let first = first.mul_scalar(beta_1) + gradient.clone().mul_scalar(1.0 - beta_1);
                let second = second.mul_scalar(beta_2) + gradient.square().mul_scalar(1.0 - beta_2);
                let steps = step as f64;
                let (bias_1, bias_2) = (1.0 - beta_1.powf(steps), 1.0 - beta_2.powf(steps));
                let size = second.clone().div_scalar(bias_2).sqrt().add_scalar(EPSILON);
                (first.clone(), second, rate / size, first.div_scalar(bias_1))
            }
            Optimizer::Sgd { momentum } => {
                let first = first.mul_scalar(momentum) + gradient;
                (first.clone(), second, rate, first)
            }
            Optimizer::RmsProp { momentum, memory } => {
                let second =
                    second.mul_scalar(memory) + gradient.clone().square().mul_scalar(1.0 - memory);
                let length = rate / second.clone().sqrt().add_scalar(EPSILON);
                let first = first.mul_scalar(momentum) + gradient;
                (first.clone(), second, length, first)
            }
        };
        let moved = value - length.clone() * direction;
        let value = match &rates.l1 {
            Some(l1) => {
                // At rest a momentum adds the gradient up 1 / (1 - momentum) times; so must this.
                let length = length.div_scalar(1.0 - how.momentum());
                let room = moved.clone().abs() - length * l1.clone();
                room.clamp_min(0.0) * moved.sign()
            }
            None => moved,
        };
        Block { value, first, second }
    }

    /// All three matrices for a checkpoint.
    ///
    /// # Errors
    /// `Error::Device` when the device cannot be read.
    pub(super) fn read(&self) -> Result<[Vec<f32>; 3], Error> {
        Ok([read(&self.value)?, read(&self.first)?, read(&self.second)?])
    }

    /// From what [`Block::read`] gave.
    pub(super) fn restore(parts: [Vec<f32>; 3], shape: [usize; 2], device: &Device) -> Block {
        let [value, first, second] = parts.map(|part| matrix(part, shape, device));
        Block { value, first, second }
    }
}

/// A matrix on the device. `shape` fits `values`.
pub(super) fn matrix(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// A matrix back in host memory, row-major.
///
/// # Errors
/// `Error::Device` when the device cannot be read.
pub(super) fn read(matrix: &Tensor<2>) -> Result<Vec<f32>, Error> {
    matrix.try_to_vec_as::<f32>().map_err(|why| Error::Device {
        what: format!("the device did not give its numbers back: {why}"),
        help: "train on the CPU: resources.device = \"cpu\"".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(how: Optimizer, wd: f32, l1: f32, steps: u64) -> f32 {
        let device = Device::flex();
        let one = |value: f32| matrix(vec![value], [1, 1], &device);
        let rates = Rates {
            learning_rate: one(0.1),
            wd: (wd > 0.0).then(|| one(wd)),
            l1: (l1 > 0.0).then(|| one(l1)),
        };
        let mut block = Block::new(one(2.0));
        for step in 1..=steps {
            // Objective (w - 1)² / 2.
            let gradient = block.value.clone().sub_scalar(1.0);
            block = block.step(gradient, &rates, how, step, 1.0);
        }
        read(&block.value).unwrap()[0]
    }

    const ALL: [Optimizer; 3] = [
        Optimizer::Adam { beta_1: 0.9, beta_2: 0.999 },
        Optimizer::Sgd { momentum: 0.9 },
        Optimizer::RmsProp { momentum: 0.0, memory: 0.9 },
    ];

    #[test]
    fn first_steps_have_their_known_values() {
        // Adam's first step is the learning rate; SGD's the rate times the gradient; RMSprop's
        // the rate over the root of a tenth.
        let expected = [1.9, 1.9, 2.0 - 0.1 / 0.1_f32.sqrt()];
        for (how, expected) in ALL.into_iter().zip(expected) {
            assert!((run(how, 0.0, 0.0, 1) - expected).abs() < 1e-5, "{how:?}");
        }
        // PyTorch's Adam(lr=0.1) on the same objective: 1.9, then 1.8002.
        assert!((run(ALL[0], 0.0, 0.0, 2) - 1.800_2).abs() < 1e-3);
    }

    #[test]
    fn penalties_move_the_minimum_as_they_should() {
        for how in [ALL[0], ALL[1]] {
            // (w - 1)² / 2 + w² / 2 is least at 1/2; (w - 1)² / 2 + |w| / 4 at 3/4.
            assert!((run(how, 1.0, 0.0, 2000) - 0.5).abs() < 1e-3, "{how:?}");
            assert!((run(how, 0.0, 0.25, 2000) - 0.75).abs() < 1e-3, "{how:?}");
            // A penalty above the slope at 0 makes the weight exactly 0.
            assert_eq!(run(how, 0.0, 2.0, 2000), 0.0, "{how:?}");
        }
    }
}
