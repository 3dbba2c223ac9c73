//! A trained linear model in host memory: how it answers, and how it lies in the archive.
//!
//! `model.safetensors`, format `smrt linear-learner 1`, all numbers f32:
//!
//! | tensor | shape | |
//! |---|---|---|
//! | `weight` | outputs × features | for standardised features |
//! | `bias` | outputs | |
//! | `standardise.mean` | features | taken away from each feature |
//! | `standardise.scale` | features | what is left is multiplied by it |
//!
//! outputs is 1, or the number of classes of a multiclass model. With
//! z = weight · ((x - mean) × scale) + bias, a missing x counting as its mean, the score is z for
//! a regression, 1 / (1 + exp(-z)) for two classes (of a hinge loss: a score between 0 and 1, not
//! a calibrated probability) and softmax(z) for more.
//!
//! It computes on the CPU whatever the training ran on, one row after the other in a fixed order,
//! so that a row's answer has the same bits in every batch.

use std::sync::Arc;

use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;

use crate::algorithm::label::Classes;
use crate::algorithm::metric::argmax;
use crate::algorithm::standardise::Standardiser;
use crate::algorithm::weights::{MODEL_FILE, Reader, Writer};
use crate::algorithm::{Error, Files, Predictor};
use crate::data::{Answer, Field, LabelNames, Signature, Task, Values};

const FORMAT: &str = "smrt linear-learner 1";

/// Weights and what turns a raw row into their input.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Linear {
    task: Task,
    outputs: usize,
    scaler: Standardiser,
    /// features × outputs: the order in which a row is worked through.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Linear {
    /// From features × outputs weights for standardised features. Weights of features that the
    /// standardisation leaves out are dropped.
    pub(super) fn new(
        task: Task,
        scaler: Standardiser,
        mut weight: Vec<f32>,
        bias: Vec<f32>,
    ) -> Linear {
        let outputs = bias.len();
        for (scale, weight) in scaler.scale().iter().zip(weight.chunks_exact_mut(outputs)) {
            if *scale == 0.0 {
                weight.fill(0.0);
            }
        }
        Linear { task, outputs, scaler, weight, bias }
    }

    /// Scores per row: 1, or the number of classes.
    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Whether every number is finite.
    pub(super) fn is_finite(&self) -> bool {
        self.weight.iter().chain(&self.bias).all(|number| number.is_finite())
    }

    /// The files for the archive.
    pub(super) fn files(&self) -> Files {
        let (width, outputs) = (self.scaler.width(), self.outputs);
        let by_output: Vec<f32> = (0..outputs)
            .flat_map(|output| self.weight.iter().skip(output).step_by(outputs).copied())
            .collect();
        let mut writer = Writer::new(FORMAT);
        writer.f32("weight", &[outputs, width], &by_output);
        writer.f32("bias", &[outputs], &self.bias);
        writer.f32("standardise.mean", &[width], self.scaler.mean());
        writer.f32("standardise.scale", &[width], self.scaler.scale());
        Files::from([(MODEL_FILE.to_owned(), writer.finish())])
    }

    /// Reads what [`Linear::files`] wrote; `files` may be a stranger's.
    ///
    /// # Errors
    /// `Error::Corrupt` when a tensor is missing, or does not fit the signature or the others.
    pub(super) fn open(signature: &Signature, files: &Files) -> Result<Linear, Error> {
        let outputs = match (signature.task, &signature.labels) {
            (Task::Regression | Task::BinaryClassification, _) => 1,
            (Task::MulticlassClassification, Some(labels)) => labels.len(),
            _ => return Err(Error::Corrupt("the signature is not a linear-learner's".into())),
        };
        let reader = Reader::of(files, MODEL_FILE, FORMAT)?;
        let width = signature.features;
        let by_output = reader.f32("weight", &[outputs, width])?;
        let bias = reader.f32("bias", &[outputs])?;
        let mean = reader.f32("standardise.mean", &[width])?;
        let scale = reader.f32("standardise.scale", &[width])?;
        let weight = (0..width)
            .flat_map(|feature| by_output.iter().skip(feature).step_by(width).copied())
            .collect();
        let scaler = Standardiser::from_parts(mean, scale)?;
        Ok(Linear::new(signature.task, scaler, weight, bias))
    }

    /// rows × outputs margins, before any sigmoid or softmax.
    pub(super) fn margins(&self, rows: &ArrayView2<'_, f32>) -> Vec<f32> {
        self.each_row(rows, |_| ())
    }

    /// rows × outputs scores, as answered.
    pub(super) fn scores(&self, rows: &ArrayView2<'_, f32>) -> Vec<f32> {
        self.each_row(rows, |margins| link(self.task, margins))
    }

    fn each_row(&self, rows: &ArrayView2<'_, f32>, link: impl Fn(&mut [f32]) + Sync) -> Vec<f32> {
        let mut out = vec![0.0; rows.nrows() * self.outputs];
        let work = rows.nrows().saturating_mul(self.weight.len());
        if work < PARALLEL_WORK {
            self.block(rows, &mut out, &link);
            return out;
        }
        let each = (PARALLEL_WORK / self.weight.len().max(1)).max(1);
        let blocks = rows.axis_chunks_iter(Axis(0), each).into_par_iter();
        blocks
            .zip(out.par_chunks_mut(each * self.outputs))
            .for_each(|(rows, out)| self.block(&rows, out, &link));
        out
    }

    fn block(&self, rows: &ArrayView2<'_, f32>, out: &mut [f32], link: &impl Fn(&mut [f32])) {
        // Column-major rows (a decoded batch) are gathered into this one buffer.
        let mut scratch = Vec::new();
        for (row, out) in rows.rows().into_iter().zip(out.chunks_exact_mut(self.outputs)) {
            if let Some(row) = row.as_slice() {
                self.row(row, out);
            } else {
                scratch.clear();
                scratch.extend(row.iter().copied());
                self.row(&scratch, out);
            }
            link(out);
        }
    }

    fn row(&self, row: &[f32], out: &mut [f32]) {
        if let [out] = out {
            *out = self.dot(row) + self.bias[0];
            return;
        }
        out.copy_from_slice(&self.bias);
        let columns = row.iter().zip(self.scaler.mean()).zip(self.scaler.scale());
        for (((value, mean), scale), weight) in columns.zip(self.weight.chunks_exact(self.outputs))
        {
            let value = Standardiser::value(*value, *mean, *scale);
            for (out, weight) in out.iter_mut().zip(weight) {
                *out += value * weight;
            }
        }
    }

    /// Eight running sums, so that the additions need not wait for each other.
    fn dot(&self, row: &[f32]) -> f32 {
        const LANES: usize = 8;
        let (values, values_left) = row.as_chunks::<LANES>();
        let (means, means_left) = self.scaler.mean().as_chunks::<LANES>();
        let (scales, scales_left) = self.scaler.scale().as_chunks::<LANES>();
        let (weights, weights_left) = self.weight.as_chunks::<LANES>();
        let mut sums = [0.0_f32; LANES];
        for (((value, mean), scale), weight) in values.iter().zip(means).zip(scales).zip(weights) {
            for lane in 0..LANES {
                sums[lane] +=
                    Standardiser::value(value[lane], mean[lane], scale[lane]) * weight[lane];
            }
        }
        let left = values_left.iter().zip(means_left).zip(scales_left).zip(weights_left);
        for (sum, (((value, mean), scale), weight)) in sums.iter_mut().zip(left) {
            *sum += Standardiser::value(*value, *mean, *scale) * weight;
        }
        let [a, b, c, d, e, f, g, h] = sums;
        ((a + b) + (c + d)) + ((e + f) + (g + h))
    }
}

/// Multiplications below which threads cost more than they save.
const PARALLEL_WORK: usize = 1 << 22;

/// Margins of one row to scores, in place.
fn link(task: Task, margins: &mut [f32]) {
    match task {
        Task::BinaryClassification => {
            for margin in margins {
                *margin = 1.0 / (1.0 + (-*margin).exp());
            }
        }
        Task::MulticlassClassification => {
            let greatest = margins.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for margin in margins.iter_mut() {
                *margin = (*margin - greatest).exp();
                sum += *margin;
            }
            for margin in margins {
                *margin /= sum;
            }
        }
        _ => {}
    }
}

/// An opened model, as an endpoint shares it.
#[derive(Debug)]
pub(super) struct Opened {
    linear: Linear,
    threshold: f32,
    names: Option<Arc<LabelNames>>,
}

impl Opened {
    /// Opens a model for its signature; both may be a stranger's.
    ///
    /// # Errors
    /// As [`Linear::open`], and when the labels or the threshold are not a classifier's.
    pub(super) fn new(signature: &Signature, files: &Files) -> Result<Opened, Error> {
        let names = match (signature.task, &signature.labels) {
            (Task::Regression, _) => None,
            (_, Some(names)) => Some(Classes::from_names(names.clone())?),
            (_, None) => {
                return Err(Error::Corrupt("the signature of a classifier has no labels".into()));
            }
        };
        let count = names.as_ref().map(Classes::count);
        if signature.task == Task::BinaryClassification && count != Some(2) {
            return Err(Error::Corrupt("a binary classifier has not two labels".into()));
        }
        let threshold = signature.threshold.unwrap_or(0.5);
        if !threshold.is_finite() {
            return Err(Error::Corrupt("the threshold is not a finite number".into()));
        }
        let linear = Linear::open(signature, files)?;
        Ok(Opened { linear, threshold, names: names.map(|names| Arc::new(names.names().clone())) })
    }
}

impl Predictor for Opened {
    fn predict(&self, rows: ArrayView2<'_, f32>) -> Result<Answer, Error> {
        let count = rows.nrows();
        let scores = self.linear.scores(&rows);
        let outputs = self.linear.outputs;
        let codes = match self.linear.task {
            Task::BinaryClassification => {
                scores.iter().map(|score| u32::from(*score >= self.threshold)).collect()
            }
            Task::MulticlassClassification => {
                scores.chunks_exact(outputs).map(|scores| argmax(scores) as u32).collect()
            }
            _ => Vec::new(),
        };
        let values = match self.linear.task {
            Task::MulticlassClassification => Values::Vector { width: outputs, values: scores },
            _ => Values::Number(scores),
        };
        let mut fields = vec![Field { name: "score", values }];
        if let Some(names) = &self.names {
            let values = Values::Class { codes, names: Arc::clone(names) };
            fields.push(Field { name: "predicted_label", values });
        }
        Ok(Answer { key: "predictions", rows: count, fields })
    }
}
