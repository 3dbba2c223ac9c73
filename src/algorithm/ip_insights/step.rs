//! One step of learning: the pairs of a batch through burn's autodiff, on any device, and the new
//! weights on the host.
//!
//! Only what a batch touches is moved: an entity's embedding has its own Adam, with its own count
//! of steps, so a step costs the rows of the batch and not the number of entities. The first
//! embedding of every entity is 0, and so is that of one that is never met.

use burn::tensor::{Device, Int, Tensor, TensorData, activation};

use super::address::{BITS, bits};
use super::logins::{Login, Negatives};
use super::model::Weights;
use crate::algorithm::net::optimizer::{Optimizer, Rule, Settings as Rules, Slot};
use crate::algorithm::net::random::{Purpose, Stream};

/// Embeddings of entities, and what Adam remembers of each.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Vectors {
    pub(super) dim: usize,
    pub(super) values: Vec<f32>,
    pub(super) first: Vec<f32>,
    pub(super) second: Vec<f32>,
    pub(super) steps: Vec<u64>,
}

impl Vectors {
    /// For so many entities.
    pub(super) fn new(count: usize, dim: usize) -> Vectors {
        let zeros = || vec![0.0; count * dim];
        let (values, first, second) = (zeros(), zeros(), zeros());
        Vectors { dim, values, first, second, steps: vec![0; count] }
    }

    fn row(&self, at: usize) -> &[f32] {
        &self.values[at * self.dim..][..self.dim]
    }

    /// Moves the embedding of each row of a batch; `gradients` is rows × dim. The gradients of
    /// rows of one entity are added in the order of the batch.
    fn learn(&mut self, rules: &Rules, rate: f64, rows: &[u32], gradients: &[f32]) {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|at| rows[*at]);
        let mut sum = vec![0.0; self.dim];
        for group in order.chunk_by(|a, b| rows[*a] == rows[*b]) {
            sum.fill(0.0);
            for at in group {
                let gradient = &gradients[at * self.dim..][..self.dim];
                sum.iter_mut().zip(gradient).for_each(|(sum, gradient)| *sum += gradient);
            }
            let entity = rows[group[0]] as usize;
            self.steps[entity] += 1;
            let c = rules.at(rate, self.steps[entity]);
            let here = entity * self.dim..(entity + 1) * self.dim;
            let moments = self.first[here.clone()].iter_mut().zip(&mut self.second[here.clone()]);
            for ((weight, gradient), (first, second)) in
                self.values[here].iter_mut().zip(&sum).zip(moments)
            {
                let gradient = gradient + c.wd * *weight;
                *first += (gradient - *first) * (1.0 - c.beta_1);
                *second += (gradient * gradient - *second) * (1.0 - c.beta_2);
                *weight -= c.rate * *first / (second.sqrt() * c.root + c.epsilon);
            }
        }
    }
}

/// What is learned, and how.
pub(super) struct Learner {
    pub(super) vectors: Vectors,
    pub(super) weights: Weights,
    pub(super) optimizer: Optimizer,
    rules: Rules,
    rate: f64,
    /// With autodiff.
    device: Device,
}

/// Parameters of one layer on the device.
struct Layer {
    /// inputs × outputs
    weight: Tensor<2>,
    bias: Tensor<2>,
}

impl Learner {
    /// Before the first step.
    pub(super) fn new(
        entities: usize,
        dim: usize,
        hidden: usize,
        decay: f64,
        rate: f64,
        seed: u64,
        device: &Device,
    ) -> Learner {
        let weights = first_weights(dim, hidden, seed);
        let rules = Rules { rule: Rule::Adam, wd: decay, ..Rules::default() };
        let lengths: Vec<usize> =
            weights.layers.iter().flat_map(|(weight, bias)| [weight.len(), bias.len()]).collect();
        Learner {
            vectors: Vectors::new(entities, dim),
            weights,
            optimizer: Optimizer::new(rules, &lengths),
            rules,
            rate,
            device: device.clone().autodiff(),
        }
    }

    /// Learns from a batch: its logins, the number of each one's entity, and the pairs made up.
    /// Gives the mean loss before the step.
    pub(super) fn step(&mut self, logins: &[Login], rows: &[u32], negatives: &Negatives) -> f64 {
        let (count, dim) = (logins.len(), self.vectors.dim);
        let own: Vec<f32> =
            rows.iter().flat_map(|row| self.vectors.row(*row as usize)).copied().collect();
        let own = self.tensor(own, [count, dim]).require_grad();
        let layers = self.layers();
        let addresses =
            logins.iter().map(|login| login.address).chain(negatives.random.iter().copied());
        let total = count + negatives.random.len();
        let mut inputs = vec![0.0; total * BITS];
        for (address, out) in addresses.zip(inputs.chunks_exact_mut(BITS)) {
            bits(address, out);
        }
        let encoded = encode(&layers, self.tensor(inputs, [total, BITS]));

        let score = |address: Tensor<2>| (own.clone() * address).sum_dim(1);
        // The loss of a pair is the log loss of its score being the log odds that it was seen.
        let seen = encoded.clone().narrow(0, 0, count);
        let mut loss = activation::log_sigmoid(score(seen.clone())).sum().neg();
        let mut pairs = total;
        for round in 0..negatives.random.len() / count {
            let random = encoded.clone().narrow(0, (round + 1) * count, count);
            loss = loss - activation::log_sigmoid(score(random).neg()).sum();
        }
        for given in &negatives.shuffled {
            let numbers = given.iter().map(|other| other.unwrap_or(0) as i32).collect::<Vec<_>>();
            let numbers = TensorData::new(numbers, [count]);
            let numbers = Tensor::<1, Int>::from_data(numbers, &self.device);
            let counts = given.iter().map(|other| f32::from(u8::from(other.is_some()))).collect();
            let counts = self.tensor(counts, [count, 1]);
            let shuffled = seen.clone().select(0, numbers);
            loss = loss - (activation::log_sigmoid(score(shuffled).neg()) * counts).sum();
            pairs += given.iter().flatten().count();
        }
        let loss = loss / pairs as f32;
        let gradients = loss.backward();
        let gradient = |tensor: &Tensor<2>| -> Vec<f32> {
            let found = tensor.grad(&gradients);
            let found = found.unwrap_or_else(|| tensor.clone().inner().zeros_like());
            found.into_data().try_into_vec().expect("gradients are f32")
        };
        self.vectors.learn(&self.rules, self.rate, rows, &gradient(&own));
        let found: Vec<_> =
            layers.iter().map(|layer| (gradient(&layer.weight), gradient(&layer.bias))).collect();
        self.move_encoder(found);
        f64::from(loss.into_scalar::<f32>())
    }

    fn move_encoder(&mut self, gradients: Vec<(Vec<f32>, Vec<f32>)>) {
        let dim = self.weights.dim;
        let mut gradients: Vec<(Vec<f32>, Vec<f32>)> = gradients
            .into_iter()
            .map(|(weight, bias)| (transposed(&weight, weight.len() / dim, dim), bias))
            .collect();
        let mut slots = Vec::new();
        for ((weight, bias), (by_weight, by_bias)) in
            self.weights.layers.iter_mut().zip(&mut gradients)
        {
            slots.push(Slot { weight, gradient: by_weight, more: Vec::new(), decay: true });
            slots.push(Slot { weight: bias, gradient: by_bias, more: Vec::new(), decay: false });
        }
        self.optimizer.step(self.rate, slots);
    }

    fn layers(&self) -> Vec<Layer> {
        let dim = self.weights.dim;
        let on_device = |(at, (weight, bias)): (usize, &(Vec<f32>, Vec<f32>))| {
            let inputs = self.weights.inputs(at);
            let weight = transposed(weight, dim, inputs);
            Layer {
                weight: self.tensor(weight, [inputs, dim]).require_grad(),
                bias: self.tensor(bias.clone(), [1, dim]).require_grad(),
            }
        };
        self.weights.layers.iter().enumerate().map(on_device).collect()
    }

    fn tensor(&self, values: Vec<f32>, sides: [usize; 2]) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values, sides), &self.device)
    }
}

/// The same arithmetic as [`super::model::Model`] does when it answers.
fn encode(layers: &[Layer], mut values: Tensor<2>) -> Tensor<2> {
    let last = layers.len() - 1;
    for (at, layer) in layers.iter().enumerate() {
        let made = values.clone().matmul(layer.weight.clone()) + layer.bias.clone();
        values = match at {
            _ if at == last => made,
            0 => activation::relu(made),
            _ => values + activation::relu(made),
        };
    }
    values
}

/// rows × columns to columns × rows.
fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    for (row, line) in values.chunks_exact(columns.max(1)).enumerate() {
        for (column, value) in line.iter().enumerate() {
            out[column * rows + row] = *value;
        }
    }
    out
}

/// Uniform within one over the root of the inputs that are not 0, as PyTorch's `Linear`; biases
/// are 0.
fn first_weights(dim: usize, hidden: usize, seed: u64) -> Weights {
    let mut weights = Weights { dim, layers: Vec::new() };
    for at in 0..=hidden {
        let mut stream = Stream::new(seed, Purpose::Weights, at as u64);
        let inputs = weights.inputs(at);
        let bound = |input: usize| match (at, input) {
            (0, 0..32) => (1.0f32 / 32.0).sqrt(),
            (0, _) => (1.0f32 / 128.0).sqrt(),
            _ => (1.0 / dim as f32).sqrt(),
        };
        let weight = (0..dim * inputs).map(|n| stream.symmetric(bound(n % inputs))).collect();
        weights.layers.push((weight, vec![0.0; dim]));
    }
    weights
}
