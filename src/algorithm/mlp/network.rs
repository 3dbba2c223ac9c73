//! What a network is made of: its shape, its numbers, and their names in files.
//!
//! No arithmetic happens here. Weights are kept inputs × outputs while training (the layout burn
//! multiplies) and written outputs × inputs with PyTorch's names, so that
//! `torch.nn.Module.load_state_dict` reads a model.

use crate::algorithm::Error;
use crate::algorithm::net::dense::{Activation, Dense};
use crate::algorithm::net::random::{Purpose, Stream};
use crate::algorithm::weights::{Reader, Writer};

/// Added to a variance before its root, as PyTorch's `BatchNorm1d`.
pub const NORM_EPSILON: f32 = 1e-5;
/// Share of a batch's statistics in the running ones, as PyTorch's `BatchNorm1d`.
pub const NORM_MOMENTUM: f32 = 0.1;

/// A network's shape. Hidden layer: linear, batch norm, activation, dropout. Last layer: linear.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Features of a row.
    pub inputs: usize,
    /// Units of each hidden layer; may be empty.
    pub hidden: Vec<usize>,
    /// Numbers it answers with: one per class, or 1.
    pub outputs: usize,
    /// After every hidden layer.
    pub activation: Activation,
    /// Whether hidden layers are normalised over the batch.
    pub batch_norm: bool,
    /// Share of hidden units left out while training.
    pub dropout: f32,
}

impl Shape {
    /// Inputs and outputs of each layer.
    pub fn layers(&self) -> Vec<(usize, usize)> {
        let mut sides = vec![self.inputs];
        sides.extend(&self.hidden);
        sides.push(self.outputs);
        sides.windows(2).map(|pair| (pair[0], pair[1])).collect()
    }

    /// Numbers that training changes; `None` when they cannot be counted.
    pub fn parameters(&self) -> Option<usize> {
        let norm = if self.batch_norm { 2 } else { 0 };
        self.layers().iter().try_fold(0usize, |sum, (inputs, outputs)| {
            let layer = inputs.checked_mul(*outputs)?.checked_add((1 + norm) * outputs)?;
            sum.checked_add(layer)
        })
    }
}

/// All numbers of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// First to last.
    pub layers: Vec<Layer>,
}

/// The numbers of one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Inputs × outputs.
    pub weight: Vec<f32>,
    /// One per output.
    pub bias: Vec<f32>,
    /// Of hidden layers, when the shape has batch norm.
    pub norm: Option<Norm>,
}

/// The numbers of a batch norm, one of each per unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Norm {
    /// Multiplied with the normalised sum.
    pub gamma: Vec<f32>,
    /// Added to it.
    pub beta: Vec<f32>,
    /// Running mean, used when answering.
    pub mean: Vec<f32>,
    /// Running variance, used when answering.
    pub variance: Vec<f32>,
}

impl Weights {
    /// First weights: uniform with the variance that He (2015) gives for the rectifier and its
    /// like, and Glorot (2010) for the others and the last layer. Biases start at 0.
    pub fn first(shape: &Shape, seed: u64) -> Weights {
        let sides = shape.layers();
        let last = sides.len() - 1;
        let layer = |(at, &(inputs, outputs)): (usize, &(usize, usize))| {
            let rectifies = !matches!(shape.activation, Activation::Tanh | Activation::Sigmoid);
            let fan = if rectifies && at < last { inputs } else { inputs + outputs };
            let bound = (6.0 / fan.max(1) as f32).sqrt();
            let mut stream = Stream::new(seed, Purpose::Weights, at as u64);
            Layer {
                weight: (0..inputs * outputs).map(|_| stream.symmetric(bound)).collect(),
                bias: vec![0.0; outputs],
                norm: (shape.batch_norm && at < last).then(|| Norm::first(outputs)),
            }
        };
        Weights { layers: sides.iter().enumerate().map(layer).collect() }
    }

    /// Adds all numbers under their names (`layers.0.weight`, `layers.0.bias`, `norms.0.weight`,
    /// `norms.0.bias`, `norms.0.running_mean`, `norms.0.running_var`).
    pub fn write(&self, shape: &Shape, writer: &mut Writer) {
        for (at, (layer, (inputs, outputs))) in self.layers.iter().zip(shape.layers()).enumerate() {
            let name = |part: &str| format!("layers.{at}.{part}");
            let turned = transposed(&layer.weight, inputs, outputs);
            writer.f32(&name("weight"), &[outputs, inputs], &turned);
            writer.f32(&name("bias"), &[outputs], &layer.bias);
            if let Some(norm) = &layer.norm {
                for (part, values) in norm.named() {
                    writer.f32(&format!("norms.{at}.{part}"), &[outputs], values);
                }
            }
        }
    }

    /// Reads what [`Weights::write`] wrote.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a tensor is missing or has another shape.
    pub fn read(shape: &Shape, reader: &Reader<'_>) -> Result<Weights, Error> {
        let sides = shape.layers();
        let last = sides.len() - 1;
        let layer = |(at, &(inputs, outputs)): (usize, &(usize, usize))| {
            let weight = reader.f32(&format!("layers.{at}.weight"), &[outputs, inputs])?;
            let vector = |name: String| reader.f32(&name, &[outputs]);
            let norm = if shape.batch_norm && at < last {
                let part = |part: &str| vector(format!("norms.{at}.{part}"));
                Some(Norm {
                    gamma: part("weight")?,
                    beta: part("bias")?,
                    mean: part("running_mean")?,
                    variance: part("running_var")?,
                })
            } else {
                None
            };
            Ok(Layer {
                weight: transposed(&weight, outputs, inputs),
                bias: vector(format!("layers.{at}.bias"))?,
                norm,
            })
        };
        Ok(Weights { layers: sides.iter().enumerate().map(layer).collect::<Result<_, Error>>()? })
    }

    /// The layers packed for answering, batch norm folded into them.
    pub fn packed(&self, shape: &Shape) -> Vec<Dense> {
        let pack = |(layer, (inputs, outputs)): (&Layer, (usize, usize))| {
            let mut weight = transposed(&layer.weight, inputs, outputs);
            let mut bias = layer.bias.clone();
            if let Some(norm) = &layer.norm {
                for out in 0..outputs {
                    // A stored variance may be anything; below 0 it has no root.
                    let scale =
                        norm.gamma[out] / (norm.variance[out].max(0.0) + NORM_EPSILON).sqrt();
                    weight[out * inputs..][..inputs].iter_mut().for_each(|w| *w *= scale);
                    bias[out] = (bias[out] - norm.mean[out]) * scale + norm.beta[out];
                }
            }
            Dense::new(inputs, outputs, &weight, &bias)
        };
        self.layers.iter().zip(shape.layers()).map(pack).collect()
    }
}

impl Norm {
    fn first(units: usize) -> Norm {
        Norm {
            gamma: vec![1.0; units],
            beta: vec![0.0; units],
            mean: vec![0.0; units],
            variance: vec![1.0; units],
        }
    }

    fn named(&self) -> [(&'static str, &[f32]); 4] {
        [
            ("weight", &self.gamma),
            ("bias", &self.beta),
            ("running_mean", &self.mean),
            ("running_var", &self.variance),
        ]
    }
}

/// A rows × columns matrix as columns × rows.
fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    for row in 0..rows {
        for column in 0..columns {
            out[column * rows + row] = values[row * columns + column];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(batch_norm: bool) -> Shape {
        Shape {
            inputs: 3,
            hidden: vec![5, 4],
            outputs: 2,
            activation: Activation::Relu,
            batch_norm,
            dropout: 0.0,
        }
    }

    #[test]
    fn weights_are_written_with_pytorchs_names_and_read_back() {
        for batch_norm in [false, true] {
            let shape = shape(batch_norm);
            let weights = Weights::first(&shape, 7);
            let mut writer = Writer::new("test");
            weights.write(&shape, &mut writer);
            let bytes = writer.finish();
            let reader = Reader::open("m", &bytes, "test").unwrap();
            assert_eq!(reader.shape("layers.1.weight").unwrap(), [4, 5]);
            assert_eq!(reader.has("norms.0.running_var"), batch_norm);
            assert!(!reader.has("norms.2.weight"));
            assert_eq!(Weights::read(&shape, &reader).unwrap(), weights);
        }
    }

    #[test]
    fn parameters_are_counted_without_overflow() {
        assert_eq!(shape(false).parameters(), Some(3 * 5 + 5 + 5 * 4 + 4 + 4 * 2 + 2));
        let huge = Shape { hidden: vec![usize::MAX], ..shape(false) };
        assert_eq!(huge.parameters(), None);
    }

    #[test]
    fn first_weights_follow_from_the_seed() {
        let shape = shape(false);
        assert_eq!(Weights::first(&shape, 1), Weights::first(&shape, 1));
        assert_ne!(Weights::first(&shape, 1), Weights::first(&shape, 2));
    }
}
