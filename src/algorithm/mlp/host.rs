//! Training steps on the CPU.
//!
//! The matrix products are burn's, on plain tensors; what stands between them runs in one pass
//! over the same memory, and the backward pass is written out for this one kind of network
//! instead of being recorded: on the CPU the graph and the optimizer cost as much as the
//! products. [`super::graph`] is the same training through burn's autodiff; a test holds the two
//! together.
//!
//! A batch is split into parts that run side by side. The split depends on the number of threads
//! and the batch alone, and the gradients are added in the order of the parts, so a training
//! repeats bit for bit. Batch norm needs the statistics of the whole batch and is not split.

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::loss::Loss;
use super::network::{Layer, NORM_EPSILON, NORM_MOMENTUM, Norm, Shape, Weights};
use crate::algorithm::Features;
use crate::algorithm::net::dense::Activation;
use crate::algorithm::net::optimizer::{Moments, Optimizer, Slot};
use crate::algorithm::net::random::{Purpose, Stream};
use crate::algorithm::net::simd;
use crate::algorithm::standardise::Standardiser;

/// Rows below which a part of a batch is not worth another thread.
const PART_ROWS_MIN: usize = 32;

/// What each row should come to.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// A class per row.
    Class(Vec<u32>),
    /// A number per row.
    Number(Vec<f32>),
}

/// The rows to learn from, in host memory or on disk.
#[derive(Debug)]
pub struct Rows<'a> {
    /// rows × columns, as they were read; those of a step are made ready before it.
    pub features: Features<'a>,
    /// What is done to a row before the network sees it.
    pub standardiser: &'a Standardiser,
    /// One per row.
    pub targets: Targets,
    /// One per row, when they differ.
    pub weight: Option<Vec<f32>>,
}

impl Rows<'_> {
    /// Writes the standardised features of `rows` one after the other.
    pub fn gather(&self, rows: &[u32], out: &mut [f32]) {
        self.features.standardised(self.standardiser, rows, out);
    }

    /// The summed weight of `rows`.
    pub fn weight_of(&self, rows: &[u32]) -> f64 {
        match &self.weight {
            None => rows.len() as f64,
            Some(weight) => rows.iter().map(|row| f64::from(weight[*row as usize])).sum(),
        }
    }
}

/// What does not change during a training.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The network.
    pub shape: &'a Shape,
    /// What to make small.
    pub loss: Loss,
    /// Where dropout masks come from.
    pub seed: u64,
    /// The training rows.
    pub rows: &'a Rows<'a>,
}

/// Something that takes training steps.
pub trait Engine: Send {
    /// Learns from the rows `batch` with learning rate `rate`; gives the weighted sum of their
    /// losses before the step.
    fn step(&mut self, batch: &[u32], rate: f64) -> f64;

    /// The weights now.
    fn weights(&mut self) -> Weights;

    /// Steps taken and the optimizer's moments, in the order of the parameters: each layer's
    /// weight, bias and, with batch norm, gamma and beta.
    fn moments(&mut self) -> (u64, Vec<Moments>);

    /// Goes on from an earlier state.
    fn restore(&mut self, weights: &Weights, steps: u64, moments: Vec<Moments>);
}

/// The engine of this file.
pub struct Host<'a> {
    plan: Plan<'a>,
    device: Device,
    threads: usize,
    layers: Vec<HostLayer>,
    optimizer: Optimizer,
    parts: Vec<Part>,
}

/// A layer's numbers; the matrix is a tensor so that products take it without a copy.
struct HostLayer {
    weight: Tensor<2>,
    bias: Vec<f32>,
    norm: Option<Norm>,
}

/// One part of a batch: its gradients, and buffers that live from step to step.
#[derive(Default)]
struct Part {
    inputs: Option<TensorData>,
    gradients: Vec<Gradient>,
    loss: f64,
}

/// The gradient of one layer.
#[derive(Default)]
struct Gradient {
    weight: Option<TensorData>,
    bias: Vec<f32>,
    norm: Option<NormGradient>,
}

#[derive(Default)]
struct NormGradient {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    mean: Vec<f32>,
    variance: Vec<f32>,
}

/// What the backward pass needs of a layer's forward pass.
struct Trace {
    /// The layer's input, rows × inputs.
    input: Tensor<2>,
    /// The activation's argument, where its slope needs it.
    before: Vec<f32>,
    /// What dropout multiplied each unit with; empty without dropout.
    kept: Vec<f32>,
    /// The normalised sums and one over each deviation; empty without batch norm.
    normalised: Vec<f32>,
    inverse: Vec<f32>,
}

/// Lengths of a network's parameters in the order an optimizer sees them.
pub fn parameter_lengths(weights: &Weights) -> Vec<usize> {
    let lengths = |layer: &Layer| {
        let norm = layer.norm.iter().flat_map(|norm| [norm.gamma.len(), norm.beta.len()]);
        [layer.weight.len(), layer.bias.len()].into_iter().chain(norm).collect::<Vec<_>>()
    };
    weights.layers.iter().flat_map(lengths).collect()
}

impl<'a> Host<'a> {
    /// An engine that starts from `weights`. It works on the current rayon pool, which should
    /// have `threads` threads.
    pub fn new(plan: Plan<'a>, weights: &Weights, optimizer: Optimizer, threads: usize) -> Self {
        let device = Device::flex();
        let layers = host_layers(plan.shape, weights, &device);
        Host { plan, device, threads, layers, optimizer, parts: Vec::new() }
    }

    /// How many parts a batch is split into.
    fn part_count(&self, rows: usize) -> usize {
        if self.plan.shape.batch_norm {
            return 1;
        }
        self.threads.min(rows / PART_ROWS_MIN).max(1)
    }

    /// Gradients of `batch` into the parts; gives the weighted sum of the losses.
    fn differentiate(&mut self, batch: &[u32]) -> (usize, f64) {
        let count = self.part_count(batch.len());
        self.parts.resize_with(count.max(self.parts.len()), Part::default);
        let share = 1.0 / self.plan.rows.weight_of(batch).max(f64::MIN_POSITIVE);
        let step = Step {
            plan: &self.plan,
            layers: &self.layers,
            device: &self.device,
            share: share as f32,
            number: self.optimizer.steps,
        };
        let rows = batch.len().div_ceil(count).max(1);
        let starts = (0..count).map(|part| (part * rows).min(batch.len()));
        let work: Vec<(&mut Part, usize)> = self.parts[..count].iter_mut().zip(starts).collect();
        let run = |(part, start): (&mut Part, usize)| {
            let end = (start + rows).min(batch.len());
            step.run(part, start, &batch[start..end]);
        };
        if count == 1 {
            work.into_iter().for_each(run);
        } else {
            work.into_par_iter().for_each(run);
        }
        (count, self.parts[..count].iter().map(|part| part.loss).sum())
    }

    /// Moves batch norm's running statistics towards the last batch's.
    fn follow_statistics(&mut self) {
        for (layer, gradient) in self.layers.iter_mut().zip(&self.parts[0].gradients) {
            if let (Some(norm), Some(batch)) = (&mut layer.norm, &gradient.norm) {
                let follow = |running: &mut [f32], batch: &[f32]| {
                    for (running, batch) in running.iter_mut().zip(batch) {
                        *running += NORM_MOMENTUM * (batch - *running);
                    }
                };
                follow(&mut norm.mean, &batch.mean);
                follow(&mut norm.variance, &batch.variance);
            }
        }
    }
}

fn host_layers(shape: &Shape, weights: &Weights, device: &Device) -> Vec<HostLayer> {
    let layer = |(layer, (inputs, outputs)): (&Layer, (usize, usize))| HostLayer {
        weight: matrix(TensorData::new(layer.weight.clone(), [inputs, outputs]), device),
        bias: layer.bias.clone(),
        norm: layer.norm.clone(),
    };
    weights.layers.iter().zip(shape.layers()).map(layer).collect()
}

impl Engine for Host<'_> {
    fn step(&mut self, batch: &[u32], rate: f64) -> f64 {
        let (count, loss) = self.differentiate(batch);
        if self.plan.shape.batch_norm {
            self.follow_statistics();
        }
        // The matrices leave their tensors for the step and come back: no copy is made, since
        // nobody else holds them now.
        let mut matrices: Vec<TensorData> = self
            .layers
            .iter_mut()
            .map(|layer| std::mem::replace(&mut layer.weight, nothing(&self.device)).into_data())
            .collect();
        let (first, others) = self.parts[..count].split_at_mut(1);
        let slots = slots(&mut matrices, &mut self.layers, &mut first[0], others);
        self.optimizer.step(rate, slots);
        for (layer, data) in self.layers.iter_mut().zip(matrices) {
            layer.weight = matrix(data, &self.device);
        }
        loss
    }

    fn weights(&mut self) -> Weights {
        let layer = |layer: &HostLayer| Layer {
            weight: numbers_of(&layer.weight.to_data()).to_vec(),
            bias: layer.bias.clone(),
            norm: layer.norm.clone(),
        };
        Weights { layers: self.layers.iter().map(layer).collect() }
    }

    fn moments(&mut self) -> (u64, Vec<Moments>) {
        (self.optimizer.steps, self.optimizer.moments.clone())
    }

    fn restore(&mut self, weights: &Weights, steps: u64, moments: Vec<Moments>) {
        self.layers = host_layers(self.plan.shape, weights, &self.device);
        self.optimizer.steps = steps;
        self.optimizer.moments = moments;
    }
}

/// Every parameter with its gradient in as many pieces as there are parts.
fn slots<'s>(
    matrices: &'s mut [TensorData],
    layers: &'s mut [HostLayer],
    first: &'s mut Part,
    others: &'s [Part],
) -> Vec<Slot<'s>> {
    let mut slots = Vec::with_capacity(matrices.len() * 4);
    let layers = matrices.iter_mut().zip(layers).zip(&mut first.gradients).enumerate();
    for (at, ((matrix, layer), gradient)) in layers {
        let same = |part: &'s Part| &part.gradients[at];
        slots.push(Slot {
            weight: numbers_in(matrix),
            gradient: numbers_in(gradient.weight.as_mut().expect("the backward pass came here")),
            more: others
                .iter()
                .map(|part| numbers_of(same(part).weight.as_ref().expect("and here")))
                .collect(),
            decay: true,
        });
        slots.push(Slot {
            weight: &mut layer.bias,
            gradient: &mut gradient.bias,
            more: others.iter().map(|part| same(part).bias.as_slice()).collect(),
            decay: false,
        });
        if let (Some(norm), Some(gradient)) = (&mut layer.norm, &mut gradient.norm) {
            for (weight, gradient) in
                [(&mut norm.gamma, &mut gradient.gamma), (&mut norm.beta, &mut gradient.beta)]
            {
                slots.push(Slot { weight, gradient, more: Vec::new(), decay: false });
            }
        }
    }
    slots
}

/// One step, seen by all parts.
struct Step<'s> {
    plan: &'s Plan<'s>,
    layers: &'s [HostLayer],
    device: &'s Device,
    /// One over the batch's weight.
    share: f32,
    number: u64,
}

impl Step<'_> {
    /// Forward and backward over `rows`, which begin at row `start` of the batch.
    fn run(&self, part: &mut Part, start: usize, rows: &[u32]) {
        part.gradients.resize_with(self.layers.len(), Gradient::default);
        let mut traces = Vec::with_capacity(self.layers.len());
        let last = self.layers.len() - 1;
        let mut values = self.inputs(part, rows);
        for at in 0..last {
            values = self.hidden(at, start, values, part, &mut traces);
        }
        let mut outputs = self.product(last, &values);
        traces.push(Trace::of(values));
        part.loss = self.slopes(&mut outputs, rows);
        self.backward(outputs, part, traces);
    }

    /// The part's rows as a matrix, in the memory of the step before when it fits.
    fn inputs(&self, part: &mut Part, rows: &[u32]) -> Tensor<2> {
        let shape = [rows.len(), self.plan.shape.inputs];
        let kept = part.inputs.take().filter(|data| data.shape().as_slice() == shape);
        let mut data =
            kept.unwrap_or_else(|| TensorData::new(vec![0f32; shape[0] * shape[1]], shape));
        self.plan.rows.gather(rows, numbers_in(&mut data));
        matrix(data, self.device)
    }

    /// `values × weight + bias` of a layer.
    fn product(&self, at: usize, values: &Tensor<2>) -> TensorData {
        let layer = &self.layers[at];
        let mut data = values.clone().matmul(layer.weight.clone()).into_data();
        let sums = numbers_in(&mut data);
        simd::run(|| {
            for row in sums.chunks_exact_mut(layer.bias.len()) {
                row.iter_mut().zip(&layer.bias).for_each(|(sum, bias)| *sum += bias);
            }
        });
        data
    }

    /// A hidden layer forward.
    fn hidden(
        &self,
        at: usize,
        start: usize,
        values: Tensor<2>,
        part: &mut Part,
        traces: &mut Vec<Trace>,
    ) -> Tensor<2> {
        let (layer, activation) = (&self.layers[at], self.plan.shape.activation);
        let mut data = self.product(at, &values);
        let mut trace = Trace::of(values);
        let sums = numbers_in(&mut data);
        if let Some(norm) = &layer.norm {
            let gradient = part.gradients[at].norm.get_or_insert_default();
            normalise(sums, norm, gradient, &mut trace);
        }
        if activation.slope_needs_input() {
            trace.before = sums.to_vec();
        }
        simd::run(|| activation.apply(sums));
        if self.plan.shape.dropout > 0.0 {
            let units = layer.bias.len();
            trace.kept = self.mask(at, start * units, sums.len());
            sums.iter_mut().zip(&trace.kept).for_each(|(value, kept)| *value *= kept);
        }
        traces.push(trace);
        matrix(data, self.device)
    }

    /// The dropout mask of some rows: the same numbers whichever part draws them.
    fn mask(&self, layer: usize, start: usize, length: usize) -> Vec<f32> {
        let mut stream = Stream::new(self.plan.seed, Purpose::Dropout, self.number);
        stream.seek(layer as u64, start as u64);
        dropout_mask(&mut stream, self.plan.shape.dropout, length)
    }

    fn slopes(&self, outputs: &mut TensorData, rows: &[u32]) -> f64 {
        let Plan { rows: data, loss, shape, .. } = self.plan;
        let (outputs, width) = (numbers_in(outputs), shape.outputs);
        let weight = data.weight.as_deref();
        let share = self.share;
        simd::run(|| loss.slopes(outputs, width, rows, &data.targets, weight, share))
    }

    /// From slopes at the outputs to the gradient of every parameter.
    fn backward(&self, outputs: TensorData, part: &mut Part, mut traces: Vec<Trace>) {
        let mut slopes = outputs;
        for at in (0..self.layers.len()).rev() {
            let Trace { input, .. } = traces.pop().expect("every layer left a trace");
            let gradient = &mut part.gradients[at];
            let units = self.layers[at].bias.len();
            match self.layers[at].norm {
                None => column_sums(numbers_of(&slopes), units, &mut gradient.bias),
                // Batch norm takes a bias before it away again: its slope is 0. What a sum would
                // give is rounding, which Adam scales up to whole steps, on each device others.
                Some(_) => gradient.bias.resize(units, 0.0),
            }
            let behind = matrix(slopes, self.device);
            let weight = input.clone().transpose().matmul(behind.clone());
            gradient.weight = Some(weight.into_data());
            let Some(before) = traces.last() else {
                part.inputs = Some(input.into_data());
                return;
            };
            let ahead = behind.matmul(self.layers[at].weight.clone().transpose());
            slopes = ahead.into_data();
            let activated = input.into_data();
            self.through_activation(numbers_in(&mut slopes), numbers_of(&activated), before);
            if let Some(norm) = &self.layers[at - 1].norm {
                let gradient = part.gradients[at - 1].norm.get_or_insert_default();
                through_norm(numbers_in(&mut slopes), norm, gradient, before);
            }
        }
    }

    /// Multiplies slopes behind an activation (and dropout) with the activation's own.
    fn through_activation(&self, slopes: &mut [f32], values: &[f32], trace: &Trace) {
        let activation = self.plan.shape.activation;
        simd::run(|| {
            if activation == Activation::Relu && trace.kept.is_empty() {
                for (slope, value) in slopes.iter_mut().zip(values) {
                    *slope = if *value > 0.0 { *slope } else { 0.0 };
                }
                return;
            }
            for (at, (slope, value)) in slopes.iter_mut().zip(values).enumerate() {
                let kept = trace.kept.get(at).copied().unwrap_or(1.0);
                let before = trace.before.get(at).copied().unwrap_or(0.0);
                *slope = if kept == 0.0 {
                    0.0
                } else {
                    *slope * kept * activation.slope(before, value / kept)
                };
            }
        });
    }
}

impl Trace {
    fn of(input: Tensor<2>) -> Trace {
        Trace {
            input,
            before: Vec::new(),
            kept: Vec::new(),
            normalised: Vec::new(),
            inverse: Vec::new(),
        }
    }
}

/// What dropout multiplies units with: 0 with probability `dropout`, else what keeps the mean.
pub fn dropout_mask(stream: &mut Stream, dropout: f32, length: usize) -> Vec<f32> {
    let threshold = (f64::from(dropout) * f64::from(u32::MAX)) as u32;
    let scale = 1.0 / (1.0 - dropout);
    (0..length).map(|_| if stream.bits() < threshold { 0.0 } else { scale }).collect()
}

/// Batch norm forward, in place; keeps what the backward pass and the running statistics need.
fn normalise(sums: &mut [f32], norm: &Norm, gradient: &mut NormGradient, trace: &mut Trace) {
    let units = norm.gamma.len();
    let rows = sums.len() / units;
    let scale = 1.0 / rows.max(1) as f32;
    column_sums(sums, units, &mut gradient.mean);
    gradient.mean.iter_mut().for_each(|mean| *mean *= scale);
    let squares = gradient.variance.len();
    gradient.variance.resize(squares.max(units), 0.0);
    gradient.variance.fill(0.0);
    for row in sums.chunks_exact(units) {
        for ((value, mean), square) in row.iter().zip(&gradient.mean).zip(&mut gradient.variance) {
            *square += (value - mean) * (value - mean);
        }
    }
    trace.inverse =
        gradient.variance.iter().map(|v| 1.0 / (v * scale + NORM_EPSILON).sqrt()).collect();
    // The running variance is the unbiased one.
    let unbiased = 1.0 / rows.saturating_sub(1).max(1) as f32;
    gradient.variance.iter_mut().for_each(|variance| *variance *= unbiased);
    for row in sums.chunks_exact_mut(units) {
        for ((value, mean), inverse) in row.iter_mut().zip(&gradient.mean).zip(&trace.inverse) {
            *value = (*value - mean) * inverse;
        }
    }
    trace.normalised = sums.to_vec();
    for row in sums.chunks_exact_mut(units) {
        for ((value, gamma), beta) in row.iter_mut().zip(&norm.gamma).zip(&norm.beta) {
            *value = *value * gamma + beta;
        }
    }
}

/// Batch norm backward, in place (Ioffe and Szegedy 2015).
fn through_norm(slopes: &mut [f32], norm: &Norm, gradient: &mut NormGradient, trace: &Trace) {
    let units = norm.gamma.len();
    let scale = 1.0 / (slopes.len() / units).max(1) as f32;
    column_sums(slopes, units, &mut gradient.beta);
    gradient.gamma.resize(units, 0.0);
    gradient.gamma.fill(0.0);
    for (row, normalised) in slopes.chunks_exact(units).zip(trace.normalised.chunks_exact(units)) {
        for ((sum, slope), value) in gradient.gamma.iter_mut().zip(row).zip(normalised) {
            *sum += slope * value;
        }
    }
    for (row, normalised) in
        slopes.chunks_exact_mut(units).zip(trace.normalised.chunks_exact(units))
    {
        for unit in 0..units {
            let away = gradient.beta[unit] + normalised[unit] * gradient.gamma[unit];
            let factor = norm.gamma[unit] * trace.inverse[unit];
            row[unit] = factor * (row[unit] - away * scale);
        }
    }
}

/// The sum of each of `columns` columns, rows in order.
fn column_sums(values: &[f32], columns: usize, sums: &mut Vec<f32>) {
    sums.resize(columns, 0.0);
    sums.fill(0.0);
    let sums = sums.as_mut_slice();
    simd::run(|| {
        for row in values.chunks_exact(columns) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
    });
}

fn matrix(data: TensorData, device: &Device) -> Tensor<2> {
    Tensor::from_data(data, device)
}

/// A tensor to stand where another one was taken out.
fn nothing(device: &Device) -> Tensor<2> {
    matrix(TensorData::new(Vec::<f32>::new(), [0, 0]), device)
}

fn numbers_in(data: &mut TensorData) -> &mut [f32] {
    data.as_mut_slice().expect("the CPU's tensors are f32 in host memory")
}

fn numbers_of(data: &TensorData) -> &[f32] {
    data.as_slice().expect("the CPU's tensors are f32 in host memory")
}
