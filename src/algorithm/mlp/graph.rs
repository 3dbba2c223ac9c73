//! Training steps on any device through burn's autodiff: what a GPU runs.
//!
//! The same network, batches, masks and optimizer as [`super::host`], written as tensor
//! operations. Data stay on the host and a batch at a time goes to the device. Sums may be taken
//! in another order there, so the models of two devices agree closely and not bit for bit.

use burn::tensor::{Device, Int, Tensor, TensorData, activation};

use super::host::{Engine, Plan, Targets, dropout_mask};
use super::loss::Loss;
use super::network::{Layer, NORM_EPSILON, NORM_MOMENTUM, Norm, Shape, Weights};
use crate::algorithm::net::dense::Activation;
use crate::algorithm::net::optimizer::{Coefficients, Moments, Rule, Settings};
use crate::algorithm::net::random::{Purpose, Stream};

/// The engine of this file.
pub struct Graph<'a> {
    plan: Plan<'a>,
    /// With autodiff.
    device: Device,
    settings: Settings,
    steps: u64,
    layers: Vec<GraphLayer>,
    /// First and second moment of each parameter, as long as it; 0 where the rule keeps none.
    moments: Vec<[Tensor<2>; 2]>,
}

struct GraphLayer {
    weight: Tensor<2>,
    bias: Tensor<2>,
    norm: Option<GraphNorm>,
}

struct GraphNorm {
    gamma: Tensor<2>,
    beta: Tensor<2>,
    mean: Tensor<2>,
    variance: Tensor<2>,
}

impl<'a> Graph<'a> {
    /// An engine on `device` that starts from `weights`.
    pub fn new(plan: Plan<'a>, weights: &Weights, settings: Settings, device: &Device) -> Self {
        let device = device.clone().autodiff();
        let layers = graph_layers(plan.shape, weights, &device);
        let mut graph = Graph { plan, device, settings, steps: 0, layers, moments: Vec::new() };
        graph.moments = graph
            .parameters()
            .iter()
            .map(|parameter| {
                let zero = || Tensor::zeros(parameter.dims(), &graph.plain());
                [zero(), zero()]
            })
            .collect();
        graph
    }

    fn plain(&self) -> Device {
        self.device.clone().without_autodiff()
    }

    /// In the order of [`super::host::parameter_lengths`].
    fn parameters(&self) -> Vec<&Tensor<2>> {
        let mut list = Vec::new();
        for layer in &self.layers {
            list.extend([&layer.weight, &layer.bias]);
            if let Some(norm) = &layer.norm {
                list.extend([&norm.gamma, &norm.beta]);
            }
        }
        list
    }

    fn parameters_mut(&mut self) -> Vec<&mut Tensor<2>> {
        let mut list = Vec::new();
        for layer in &mut self.layers {
            list.extend([&mut layer.weight, &mut layer.bias]);
            if let Some(norm) = &mut layer.norm {
                list.extend([&mut norm.gamma, &mut norm.beta]);
            }
        }
        list
    }

    /// The network's outputs for a batch; moves the running statistics of batch norm.
    fn forward(&mut self, batch: &[u32]) -> Tensor<2> {
        let shape = self.plan.shape;
        let mut features = vec![0.0; batch.len() * shape.inputs];
        self.plan.rows.gather(batch, &mut features);
        let mut values =
            Tensor::from_data(TensorData::new(features, [batch.len(), shape.inputs]), &self.device);
        let last = self.layers.len() - 1;
        for (at, layer) in self.layers.iter_mut().enumerate() {
            // Before batch norm a bias has no slope, and must not learn from rounding: see `host`.
            let bias = match layer.norm {
                None => layer.bias.clone(),
                Some(_) => layer.bias.clone().detach(),
            };
            values = values.matmul(layer.weight.clone()) + bias;
            if at == last {
                break;
            }
            if let Some(norm) = &mut layer.norm {
                values = norm.forward(values);
            }
            values = activated(shape.activation, values);
            if shape.dropout > 0.0 {
                let mut stream = Stream::new(self.plan.seed, Purpose::Dropout, self.steps);
                stream.seek(at as u64, 0);
                let sides = values.dims();
                let mask = dropout_mask(&mut stream, shape.dropout, sides[0] * sides[1]);
                values = values * Tensor::from_data(TensorData::new(mask, sides), &self.device);
            }
        }
        values
    }

    /// The weighted sum of the batch's losses, on the device.
    fn loss(&self, outputs: Tensor<2>, batch: &[u32]) -> Tensor<1> {
        let rows = self.plan.rows;
        let count = batch.len();
        let each = match &rows.targets {
            Targets::Class(codes) => {
                let codes: Vec<i32> = batch.iter().map(|row| codes[*row as usize] as i32).collect();
                let codes =
                    Tensor::<2, Int>::from_data(TensorData::new(codes, [count, 1]), &self.device);
                activation::log_softmax(outputs, 1).gather(1, codes).neg()
            }
            Targets::Number(values) => {
                let values: Vec<f32> = batch.iter().map(|row| values[*row as usize]).collect();
                let values = Tensor::from_data(TensorData::new(values, [count, 1]), &self.device);
                of_error(self.plan.loss, outputs - values)
            }
        };
        let each = match &rows.weight {
            None => each,
            Some(weight) => {
                let weight: Vec<f32> = batch.iter().map(|row| weight[*row as usize]).collect();
                each * Tensor::from_data(TensorData::new(weight, [count, 1]), &self.device)
            }
        };
        each.sum()
    }

    fn update(&mut self, gradients: Vec<Tensor<2>>, rate: f64) {
        let mut numbers = self.settings.at(rate, self.steps);
        if let Some(longest) = self.settings.clip_norm {
            let square = |gradient: &Tensor<2>| {
                f64::from(gradient.clone().square().sum().into_scalar::<f32>())
            };
            let norm = gradients.iter().map(square).sum::<f64>().sqrt();
            numbers.scale = if norm > longest { (longest / norm) as f32 } else { 1.0 };
        }
        let rule = self.settings.rule;
        let decays: Vec<bool> = self
            .layers
            .iter()
            .flat_map(|layer| {
                let norm = usize::from(layer.norm.is_some()) * 2;
                std::iter::once(true).chain(std::iter::repeat_n(false, 1 + norm))
            })
            .collect();
        let mut moments = std::mem::take(&mut self.moments);
        let parameters = self.parameters_mut().into_iter().zip(gradients);
        for (((parameter, gradient), moments), decay) in parameters.zip(&mut moments).zip(decays) {
            let weight = parameter.clone().inner();
            let next = advance(rule, &numbers, weight, gradient, moments, decay);
            *parameter = Tensor::from_inner(next).require_grad();
        }
        self.moments = moments;
    }
}

impl Engine for Graph<'_> {
    fn step(&mut self, batch: &[u32], rate: f64) -> f64 {
        let outputs = self.forward(batch);
        let sum = self.loss(outputs, batch);
        let share = 1.0 / self.plan.rows.weight_of(batch).max(f64::MIN_POSITIVE);
        let gradients = (sum.clone() * share as f32).backward();
        let gradients = self
            .parameters()
            .into_iter()
            .map(|parameter| {
                parameter.grad(&gradients).unwrap_or_else(|| parameter.clone().inner().zeros_like())
            })
            .collect();
        self.steps += 1;
        self.update(gradients, rate);
        f64::from(sum.into_scalar::<f32>())
    }

    fn weights(&mut self) -> Weights {
        let norm = |norm: &GraphNorm| Norm {
            gamma: on_host(&norm.gamma),
            beta: on_host(&norm.beta),
            mean: on_host(&norm.mean),
            variance: on_host(&norm.variance),
        };
        let layer = |layer: &GraphLayer| Layer {
            weight: on_host(&layer.weight),
            bias: on_host(&layer.bias),
            norm: layer.norm.as_ref().map(norm),
        };
        Weights { layers: self.layers.iter().map(layer).collect() }
    }

    fn moments(&mut self) -> (u64, Vec<Moments>) {
        let (first, second) = self.settings.keeps();
        let kept = |keep: bool, moment: &Tensor<2>| if keep { on_host(moment) } else { vec![] };
        let moments = self
            .moments
            .iter()
            .map(|[one, two]| Moments { first: kept(first, one), second: kept(second, two) });
        (self.steps, moments.collect())
    }

    fn restore(&mut self, weights: &Weights, steps: u64, moments: Vec<Moments>) {
        self.layers = graph_layers(self.plan.shape, weights, &self.device);
        self.steps = steps;
        let plain = self.plain();
        let restored = |values: Vec<f32>, sides: [usize; 2]| match values.is_empty() {
            true => Tensor::zeros(sides, &plain),
            false => Tensor::from_data(TensorData::new(values, sides), &plain),
        };
        let sides: Vec<[usize; 2]> = self.parameters().iter().map(|p| p.dims()).collect();
        self.moments = moments
            .into_iter()
            .zip(sides)
            .map(|(kept, sides)| [restored(kept.first, sides), restored(kept.second, sides)])
            .collect();
    }
}

impl GraphNorm {
    fn forward(&mut self, values: Tensor<2>) -> Tensor<2> {
        let rows = values.dims()[0];
        let mean = values.clone().mean_dim(0);
        let away = values - mean.clone();
        let variance = away.clone().square().mean_dim(0);
        let unbiased = rows as f32 / rows.saturating_sub(1).max(1) as f32;
        self.mean = follow(self.mean.clone(), mean.inner());
        self.variance = follow(self.variance.clone(), variance.clone().inner() * unbiased);
        let normalised = away / (variance + NORM_EPSILON).sqrt();
        normalised * self.gamma.clone() + self.beta.clone()
    }
}

fn follow(running: Tensor<2>, batch: Tensor<2>) -> Tensor<2> {
    running * (1.0 - NORM_MOMENTUM) + batch * NORM_MOMENTUM
}

fn activated(kind: Activation, values: Tensor<2>) -> Tensor<2> {
    match kind {
        Activation::Identity => values,
        Activation::Relu => activation::relu(values),
        Activation::Gelu => activation::gelu(values),
        Activation::Tanh => activation::tanh(values),
        Activation::Sigmoid => activation::sigmoid(values),
        Activation::Silu => activation::silu(values),
    }
}

fn of_error(loss: Loss, error: Tensor<2>) -> Tensor<2> {
    match loss {
        Loss::Absolute => error.abs(),
        Loss::Huber(delta) => {
            // The part within delta squared, the rest as a line.
            let away = error.abs();
            let near = away.clone().clamp_max(delta);
            near.clone().square() * 0.5 + (away - near) * delta
        }
        Loss::Squared | Loss::Softmax => error.square() * 0.5,
    }
}

/// The arithmetic of [`crate::algorithm::net::optimizer`] as tensor operations.
fn advance(
    rule: Rule,
    c: &Coefficients,
    weight: Tensor<2>,
    gradient: Tensor<2>,
    [first, second]: &mut [Tensor<2>; 2],
    decay: bool,
) -> Tensor<2> {
    let mut g = gradient * c.scale;
    if decay && c.wd != 0.0 {
        g = g + weight.clone() * c.wd;
    }
    if decay && c.l1 != 0.0 {
        g = g + weight.clone().sign() * c.l1;
    }
    let towards = |old: &Tensor<2>, new: Tensor<2>, beta: f32| {
        old.clone() + (new - old.clone()) * (1.0 - beta)
    };
    match rule {
        Rule::Adam | Rule::AdamW => {
            *first = towards(first, g.clone(), c.beta_1);
            *second = towards(second, g.square(), c.beta_2);
            let root = second.clone().sqrt() * c.root + c.epsilon;
            let kept = if decay { weight * c.shrink } else { weight };
            kept - first.clone() / root * c.rate
        }
        Rule::Sgd => {
            *first = first.clone() * c.momentum + g;
            weight - first.clone() * c.rate
        }
        Rule::RmsProp => {
            *second = towards(second, g.clone().square(), c.beta_2);
            *first = first.clone() * c.momentum + g / (second.clone().sqrt() + c.epsilon);
            weight - first.clone() * c.rate
        }
    }
}

fn graph_layers(shape: &Shape, weights: &Weights, device: &Device) -> Vec<GraphLayer> {
    let plain = device.clone().without_autodiff();
    let learned = |values: &[f32], sides: [usize; 2]| {
        let tensor = Tensor::<2>::from_data(TensorData::new(values.to_vec(), sides), device);
        tensor.require_grad()
    };
    let fixed = |values: &[f32]| {
        Tensor::from_data(TensorData::new(values.to_vec(), [1, values.len()]), &plain)
    };
    let layer = |(layer, (inputs, outputs)): (&Layer, (usize, usize))| GraphLayer {
        weight: learned(&layer.weight, [inputs, outputs]),
        bias: learned(&layer.bias, [1, outputs]),
        norm: layer.norm.as_ref().map(|norm| GraphNorm {
            gamma: learned(&norm.gamma, [1, outputs]),
            beta: learned(&norm.beta, [1, outputs]),
            mean: fixed(&norm.mean),
            variance: fixed(&norm.variance),
        }),
    };
    weights.layers.iter().zip(shape.layers()).map(layer).collect()
}

fn on_host(tensor: &Tensor<2>) -> Vec<f32> {
    let data = tensor.clone().inner().into_data();
    data.try_into_vec().expect("the network's tensors are f32")
}

#[cfg(test)]
mod tests {
    use super::super::host::{Host, Rows, parameter_lengths};
    use super::super::predict::Network;
    use super::*;
    use crate::algorithm::Features;
    use crate::algorithm::net::optimizer::Optimizer;
    use crate::algorithm::standardise::Standardiser;

    const ROWS: usize = 96;

    fn features() -> Vec<f32> {
        (0..ROWS * 6).map(|at| ((at * at) as f32 * 0.173).sin()).collect()
    }

    /// The same few steps on both engines; the largest difference of any weight.
    fn apart(shape: &Shape, loss: Loss, settings: Settings, weighted: bool) -> f32 {
        let features = features();
        let standardiser = Standardiser::identity(6);
        let targets = match loss {
            Loss::Softmax => Targets::Class((0..ROWS as u32).map(|row| row * row % 3).collect()),
            _ => Targets::Number((0..ROWS).map(|row| (row as f32 * 0.3).cos() * 2.0).collect()),
        };
        let weight = weighted.then(|| (0..ROWS).map(|row| 0.5 + (row % 4) as f32).collect());
        let features = ndarray::Array2::from_shape_vec((ROWS, 6), features).unwrap();
        let features = Features::Whole(&features);
        let rows = Rows { features, standardiser: &standardiser, targets, weight };
        let plan = || Plan { shape, loss, seed: 5, rows: &rows };
        let first = Weights::first(shape, 5);
        let optimizer = Optimizer::new(settings, &parameter_lengths(&first));
        let mut host = Host::new(plan(), &first, optimizer, 2);
        let mut graph = Graph::new(plan(), &first, settings, &Device::flex());
        let order: Vec<u32> = (0..ROWS as u32).rev().collect();
        for batch in [&order[..80], &order[16..96], &order[3..70]] {
            let (one, two) = (host.step(batch, 0.01), graph.step(batch, 0.01));
            assert!((one - two).abs() < 1e-3 * one.abs().max(1.0), "losses {one} and {two}");
        }
        let numbers = |weights: Weights| -> Vec<f32> {
            let layer = |layer: Layer| {
                let norm = layer
                    .norm
                    .into_iter()
                    .flat_map(|norm| [norm.gamma, norm.beta, norm.mean, norm.variance].concat());
                layer.weight.into_iter().chain(layer.bias).chain(norm).collect::<Vec<_>>()
            };
            weights.layers.into_iter().flat_map(layer).collect()
        };
        let (one, two) = (numbers(host.weights()), numbers(graph.weights()));
        assert_eq!(one.len(), two.len());
        one.iter().zip(&two).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    fn shape(activation: Activation, outputs: usize) -> Shape {
        Shape {
            inputs: 6,
            hidden: vec![16, 9],
            outputs,
            activation,
            batch_norm: false,
            dropout: 0.0,
        }
    }

    /// Plain gradient descent, so that a wrong gradient cannot hide behind a moment's root.
    fn sgd() -> Settings {
        Settings { rule: Rule::Sgd, ..Settings::default() }
    }

    #[test]
    fn the_written_out_gradients_are_those_of_autodiff() {
        use Activation::*;
        for activation in [Relu, Gelu, Tanh, Sigmoid, Silu] {
            let shape = shape(activation, 3);
            let away = apart(&shape, Loss::Softmax, sgd(), false);
            assert!(away < 1e-5, "{activation:?}: {away}");
            let dropped = Shape { dropout: 0.3, ..shape.clone() };
            let away = apart(&dropped, Loss::Softmax, sgd(), true);
            assert!(away < 1e-5, "{activation:?} with dropout: {away}");
            let normed = Shape { batch_norm: true, dropout: 0.2, ..shape };
            let away = apart(&normed, Loss::Softmax, sgd(), true);
            assert!(away < 1e-5, "{activation:?} with batch norm: {away}");
        }
    }

    #[test]
    fn every_loss_of_a_regression_agrees() {
        for loss in [Loss::Squared, Loss::Absolute, Loss::Huber(0.7)] {
            let away = apart(&shape(Activation::Tanh, 1), loss, sgd(), true);
            assert!(away < 1e-5, "{loss:?}: {away}");
        }
    }

    #[test]
    fn every_optimizer_agrees() {
        for rule in [Rule::Sgd, Rule::Adam, Rule::AdamW, Rule::RmsProp] {
            let settings = Settings {
                rule,
                momentum: 0.8,
                wd: 0.05,
                l1: 0.01,
                clip_norm: Some(0.5),
                epsilon: 1e-3,
                ..Settings::default()
            };
            let away = apart(&shape(Activation::Silu, 3), Loss::Softmax, settings, false);
            assert!(away < 1e-4, "{rule:?}: {away}");
        }
    }

    #[test]
    fn adam_makes_nothing_of_the_rounding_before_batch_norm() {
        let normed = Shape { batch_norm: true, ..shape(Activation::Tanh, 3) };
        let away = apart(&normed, Loss::Softmax, Settings::default(), false);
        assert!(away < 1e-3, "{away}");
    }

    #[test]
    fn no_hidden_layer_is_a_network_too() {
        let linear = Shape { hidden: vec![], ..shape(Activation::Relu, 3) };
        assert!(apart(&linear, Loss::Softmax, sgd(), false) < 1e-5);
    }

    #[test]
    fn the_packed_network_answers_as_burn_does() {
        for activation in [Activation::Relu, Activation::Gelu, Activation::Tanh, Activation::Silu] {
            let shape = shape(activation, 3);
            let (features, standardiser) = (features(), Standardiser::identity(6));
            let targets = Targets::Class(vec![0; ROWS]);
            let features = ndarray::Array2::from_shape_vec((ROWS, 6), features).unwrap();
            let rows = Rows {
                features: Features::Whole(&features),
                standardiser: &standardiser,
                targets,
                weight: None,
            };
            let weights = Weights::first(&shape, 3);
            let plan = Plan { shape: &shape, loss: Loss::Softmax, seed: 3, rows: &rows };
            let mut graph = Graph::new(plan, &weights, sgd(), &Device::flex());
            let all: Vec<u32> = (0..ROWS as u32).collect();
            let expected = on_host(&graph.forward(&all));
            let network = Network::new(&shape, &weights, Standardiser::identity(6));
            let found = network.outputs(&features.view());
            let away = expected.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(away < 1e-5, "{activation:?}: {away}");
        }
    }
}
