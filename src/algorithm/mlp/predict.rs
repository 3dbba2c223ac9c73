//! A trained network that answers, on the CPU.
//!
//! No graph and no tensor: packed layers ([`Dense`]), the standardisation in front of them, and
//! the softmax behind. One row costs its multiplications; nothing is allocated per row. The same
//! code measures the validation channel during training, so what was measured is what is served.

use std::cell::RefCell;
use std::sync::Arc;

use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::loss::softmax;
use super::network::{Shape, Weights};
use super::settings::{LAYERS_MAX, activation, activation_name};
use crate::algorithm::label::Classes;
use crate::algorithm::metric::argmax;
use crate::algorithm::net::dense::{Activation, Dense};
use crate::algorithm::standardise::Standardiser;
use crate::algorithm::weights::{MODEL_FILE, Reader, Writer};
use crate::algorithm::{Error, Files, Predictor};
use crate::data::{Answer, Field, LabelNames, Signature, Task, Values};

/// Name of the file that says what the tensors cannot: the activation.
pub const NETWORK_FILE: &str = "mlp.json";
const FORMAT: &str = "smrt mlp 1";

/// `mlp.json`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    version: u32,
    hidden_layers: Vec<usize>,
    activation: String,
    batch_norm: bool,
}

/// Packed layers and the standardisation in front of them.
#[derive(Debug, Clone)]
pub struct Network {
    standardiser: Standardiser,
    layers: Vec<Dense>,
    activation: Activation,
    outputs: usize,
}

/// Rows that go through the layers together: their activations stay in a core's cache.
const BLOCK_ROWS: usize = 48;

/// Buffers of one thread, kept between requests.
#[derive(Default)]
struct Scratch {
    front: Vec<f32>,
    back: Vec<f32>,
    columns: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Network {
    /// Packs weights for answering.
    pub fn new(shape: &Shape, weights: &Weights, standardiser: Standardiser) -> Network {
        Network {
            standardiser,
            layers: weights.packed(shape),
            activation: shape.activation,
            outputs: shape.outputs,
        }
    }

    /// The last layer's sums of each row, rows × outputs.
    pub fn outputs(&self, rows: &ArrayView2<'_, f32>) -> Vec<f32> {
        let mut answers = vec![0.0; rows.nrows() * self.outputs];
        SCRATCH.with_borrow_mut(|scratch| {
            let blocks = rows.axis_chunks_iter(Axis(0), BLOCK_ROWS);
            for (rows, out) in blocks.zip(answers.chunks_mut(BLOCK_ROWS * self.outputs)) {
                self.block(&rows, out, scratch);
            }
        });
        answers
    }

    /// As [`Network::outputs`], on all threads of the current pool.
    pub fn outputs_in_parallel(&self, rows: &ArrayView2<'_, f32>) -> Vec<f32> {
        const ROWS: usize = 4096;
        let blocks = rows.axis_chunks_iter(Axis(0), ROWS).into_par_iter();
        blocks.map(|rows| self.outputs(&rows)).collect::<Vec<_>>().concat()
    }

    fn block(&self, rows: &ArrayView2<'_, f32>, out: &mut [f32], scratch: &mut Scratch) {
        let count = rows.nrows();
        let Scratch { front, back, columns } = scratch;
        let mut stride = self.standardiser.width();
        grow(front, count * stride);
        self.standardise(rows, &mut front[..count * stride]);
        let last = self.layers.len() - 1;
        for (at, layer) in self.layers.iter().enumerate() {
            let activation = if at == last { Activation::Identity } else { self.activation };
            grow(back, count * layer.stride());
            layer.forward(count, front, stride, back, activation, columns);
            std::mem::swap(front, back);
            stride = layer.stride();
        }
        for (out, sums) in out.chunks_exact_mut(self.outputs).zip(front.chunks_exact(stride)) {
            out.copy_from_slice(&sums[..self.outputs]);
        }
    }

    fn standardise(&self, rows: &ArrayView2<'_, f32>, out: &mut [f32]) {
        let width = self.standardiser.width();
        if width == 0 {
            return;
        }
        for (row, out) in rows.rows().into_iter().zip(out.chunks_exact_mut(width)) {
            if let Some(row) = row.as_slice() {
                self.standardiser.row(row, out);
                continue;
            }
            let columns = self.standardiser.mean().iter().zip(self.standardiser.scale());
            for ((out, value), (mean, scale)) in out.iter_mut().zip(row).zip(columns) {
                *out = Standardiser::value(*value, *mean, *scale);
            }
        }
    }
}

fn grow(buffer: &mut Vec<f32>, length: usize) {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
}

/// The files of a model.
pub fn files(shape: &Shape, weights: &Weights, standardiser: &Standardiser) -> Files {
    let mut writer = Writer::new(FORMAT);
    weights.write(shape, &mut writer);
    let width = [standardiser.width()];
    writer.f32("standardise.mean", &width, standardiser.mean());
    writer.f32("standardise.scale", &width, standardiser.scale());
    let description = Description {
        version: 1,
        hidden_layers: shape.hidden.clone(),
        activation: activation_name(shape.activation).to_owned(),
        batch_norm: shape.batch_norm,
    };
    let json = serde_json::to_vec(&description).expect("plain values have a JSON form");
    Files::from([(MODEL_FILE.to_owned(), writer.finish()), (NETWORK_FILE.to_owned(), json)])
}

/// An opened model, as an endpoint shares it.
#[derive(Debug)]
pub struct Opened {
    network: Network,
    task: Task,
    threshold: f32,
    names: Option<Arc<LabelNames>>,
}

impl Opened {
    /// Opens a model for its signature; both may be a stranger's.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a file is missing, or does not fit the signature or the others.
    pub fn new(signature: &Signature, files: &Files) -> Result<Opened, Error> {
        let corrupt = |what: &str| Error::Corrupt(what.to_owned());
        let names = match (signature.task, &signature.labels) {
            (Task::Regression, None) => None,
            (Task::BinaryClassification | Task::MulticlassClassification, Some(names)) => {
                Some(Classes::from_names(names.clone())?)
            }
            _ => return Err(corrupt("the signature is not an mlp's")),
        };
        let outputs = names.as_ref().map_or(1, Classes::count);
        if signature.task == Task::BinaryClassification && outputs != 2 {
            return Err(corrupt("a binary classifier has not two labels"));
        }
        let threshold = signature.threshold.unwrap_or(0.5);
        if !threshold.is_finite() {
            return Err(corrupt("the threshold is not a finite number"));
        }
        let shape = read_shape(files, signature.features, outputs)?;
        let reader = Reader::of(files, MODEL_FILE, FORMAT)?;
        let width = [signature.features];
        let standardiser = Standardiser::from_parts(
            reader.f32("standardise.mean", &width)?,
            reader.f32("standardise.scale", &width)?,
        )?;
        let weights = Weights::read(&shape, &reader)?;
        Ok(Opened {
            network: Network::new(&shape, &weights, standardiser),
            task: signature.task,
            threshold,
            names: names.map(|names| Arc::new(names.names().clone())),
        })
    }
}

fn read_shape(files: &Files, inputs: usize, outputs: usize) -> Result<Shape, Error> {
    let corrupt = |what: String| Error::Corrupt(format!("{NETWORK_FILE}: {what}"));
    let bytes = files.get(NETWORK_FILE).ok_or_else(|| corrupt("is missing".into()))?;
    let description: Description =
        serde_json::from_slice(bytes).map_err(|error| corrupt(error.to_string()))?;
    if description.version != 1 {
        return Err(corrupt(format!("version {} is not known", description.version)));
    }
    let hidden = description.hidden_layers;
    if hidden.len() > LAYERS_MAX || hidden.contains(&0) {
        return Err(corrupt(format!("hidden_layers is not 0 to {LAYERS_MAX} positive numbers")));
    }
    let name = description.activation;
    let activation =
        activation(&name).ok_or_else(|| corrupt(format!("activation {name:?} is not known")))?;
    let shape = Shape {
        inputs,
        hidden,
        outputs,
        activation,
        batch_norm: description.batch_norm,
        dropout: 0.0,
    };
    shape.parameters().ok_or_else(|| corrupt("the layers are too large to count".into()))?;
    Ok(shape)
}

impl Predictor for Opened {
    fn predict(&self, rows: ArrayView2<'_, f32>) -> Result<Answer, Error> {
        let (count, width) = (rows.nrows(), self.network.outputs);
        if rows.ncols() != self.network.standardiser.width() {
            return Err(Error::Data {
                what: format!(
                    "rows have {} features, the model takes {}",
                    rows.ncols(),
                    self.network.standardiser.width()
                ),
                help: "send the features the model was trained with, in the same order".into(),
            });
        }
        let mut outputs = self.network.outputs(&rows);
        if self.task != Task::Regression {
            outputs.chunks_exact_mut(width).for_each(|row| {
                softmax(row);
            });
        }
        let scores = match self.task {
            Task::BinaryClassification => {
                Values::Number(outputs.chunks_exact(2).map(|row| row[1]).collect())
            }
            Task::MulticlassClassification => Values::Vector { width, values: outputs },
            _ => Values::Number(outputs),
        };
        let codes = match &scores {
            Values::Number(scores) => {
                scores.iter().map(|score| u32::from(*score >= self.threshold)).collect()
            }
            Values::Vector { values, .. } => {
                values.chunks_exact(width).map(|row| argmax(row) as u32).collect()
            }
            _ => Vec::new(),
        };
        let mut fields = vec![Field { name: "score", values: scores }];
        if let Some(names) = &self.names {
            let values = Values::Class { codes, names: Arc::clone(names) };
            fields.push(Field { name: "predicted_label", values });
        }
        Ok(Answer { key: "predictions", rows: count, fields })
    }
}
