//! A network of your own beside the built-in algorithms.
//!
//! The network is an ordinary burn module, here one whose hidden layers add to what they were
//! given. Three small pieces make it an algorithm: a [`Definition`] with its parameters, a
//! [`Trainer`] that calls smrt's training loop, and a [`Predictor`]. Registered in a [`Table`], it
//! has what the built-in ones have: checked parameters, checkpoints, a sealed artifact, an endpoint.
//!
//! ```sh
//! cargo run --release --example custom_algorithm
//! ```
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::sync::Arc;

use ndarray::{Array2, ArrayView2};
use smrt::algorithm::burn::module::Module;
use smrt::algorithm::burn::nn::loss::CrossEntropyLossConfig;
use smrt::algorithm::burn::nn::{Linear, LinearConfig};
use smrt::algorithm::burn::optim::AdamWConfig;
use smrt::algorithm::burn::tensor::{Device, Int, Tensor, TensorData, activation};
use smrt::algorithm::label::{Classes, Wanted};
use smrt::algorithm::net::fit_module::{self, Course, fit_module};
use smrt::algorithm::net::schedule::Schedule;
use smrt::algorithm::parameter::{self, Checked, Kind, Parameter, Range};
use smrt::algorithm::standardise::Standardiser;
use smrt::algorithm::weights::{MODEL_FILE, Reader, Writer};
use smrt::algorithm::{
    Channels, Context, Definition, Error, Files, Fitted, Metric, Observer, Predictor, Progress,
    Table, Trainer,
};
use smrt::data::{Answer, Field, LabelNames, Signature, Task, Values};
use smrt::model::Opener;
use smrt::seal::LocalKeys;
use smrt::spec::parameter::RawParameters;
use smrt::spec::problem::Problems;
use smrt::train;

/// The network: in, `blocks` layers that add to their input, out.
#[derive(Module, Debug)]
struct Residual {
    first: Linear,
    blocks: Vec<Linear>,
    last: Linear,
}

impl Residual {
    fn new(inputs: usize, units: usize, blocks: usize, device: &Device) -> Residual {
        let layer = |from, to| LinearConfig::new(from, to).init(device);
        Residual {
            first: layer(inputs, units),
            blocks: (0..blocks).map(|_| layer(units, units)).collect(),
            last: layer(units, 2),
        }
    }

    fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        let mut values = activation::gelu(self.first.forward(rows));
        for block in &self.blocks {
            values = values.clone() + activation::gelu(block.forward(values));
        }
        self.last.forward(values)
    }
}

/// What a user may write under `[hyperparameters]`.
static PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "units",
        aliases: &[],
        kind: Kind::Integer(1, 4096),
        default: Some("32"),
        meaning: "Width of the network.",
    },
    Parameter {
        name: "blocks",
        aliases: &[],
        kind: Kind::Integer(0, 64),
        default: Some("2"),
        meaning: "Layers that add to their input.",
    },
    Parameter {
        name: "epochs",
        aliases: &[],
        kind: Kind::Integer(1, 100_000),
        default: Some("40"),
        meaning: "Passes over the data.",
    },
    Parameter {
        name: "learning_rate",
        aliases: &[],
        kind: Kind::Float(Range::ABOVE_0),
        default: Some("0.003"),
        meaning: "Length of the first steps.",
    },
];

const NAME: &str = "residual";
/// Names the format of the files; change it when they change.
const NETWORK: &str = "network.safetensors";
const FORMAT: &str = "residual 1";

struct ResidualNet;

impl Definition for ResidualNet {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "two classes with a residual network"
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn trainer(&self, raw: &RawParameters, problems: &mut Problems) -> Option<Box<dyn Trainer>> {
        Some(Box::new(Fit(parameter::check(PARAMETERS, raw, problems)?)))
    }

    fn open(&self, signature: &Signature, files: &Files) -> Result<Box<dyn Predictor>, Error> {
        Ok(Box::new(Opened::new(signature, files)?))
    }
}

struct Fit(Checked);

impl Trainer for Fit {
    fn effective(&self) -> serde_json::Map<String, serde_json::Value> {
        self.0.effective()
    }

    fn fit(&self, data: &Channels, context: &mut Context<'_>) -> Result<Fitted, Error> {
        let train = &data.train;
        let classes = Classes::learn(train, "train", Wanted::Two)?;
        let codes = classes.codes(train, "train")?;
        let standardiser = Standardiser::learn(&train.features, "train")?;
        let features = standardiser.all(&train.features);
        let (units, blocks) = (self.0.size("units"), self.0.size("blocks"));
        let network = fit_module::first(context, |device| {
            Residual::new(features.ncols(), units, blocks, device)
        });
        let course = Course {
            epochs: self.0.size("epochs"),
            batch: 128,
            rate: self.0.float("learning_rate"),
            schedule: Schedule::Cosine { minimum: 0.0 },
        };
        let optimizer = AdamWConfig::new().init();
        let loss = |network: &Residual, rows: &[u32], device: &Device| {
            let labels: Vec<i32> = rows.iter().map(|row| codes[*row as usize] as i32).collect();
            let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [rows.len()]), device);
            let outputs = network.forward(batch(&features, rows, device));
            CrossEntropyLossConfig::new().init(device).forward(outputs, labels)
        };
        let network = fit_module(context, network, optimizer, course, train.rows(), loss)?;
        let mut writer = Writer::new(FORMAT);
        writer.u64("sides", &[2], &[units as u64, blocks as u64]);
        let width = [features.ncols()];
        writer.f32("standardise.mean", &width, standardiser.mean());
        writer.f32("standardise.scale", &width, standardiser.scale());
        Ok(Fitted {
            files: Files::from([
                (MODEL_FILE.to_owned(), writer.finish()),
                (NETWORK.to_owned(), fit_module::write(&network.valid(), FORMAT)),
            ]),
            signature: Signature {
                columns: train.columns.to_vec(),
                labels: Some(classes.names().clone()),
                threshold: Some(0.5),
                ..Signature::of(features.ncols(), Task::BinaryClassification)
            },
            metrics: Vec::new(),
            epochs: course.epochs,
        })
    }
}

/// Some rows of a table, on the device.
fn batch(features: &Array2<f32>, rows: &[u32], device: &Device) -> Tensor<2> {
    let width = features.ncols();
    let mut values: Vec<f32> = Vec::with_capacity(rows.len() * width);
    rows.iter().for_each(|row| values.extend(features.row(*row as usize)));
    Tensor::from_data(TensorData::new(values, [rows.len(), width]), device)
}

/// The network on the CPU, answering.
struct Opened {
    network: Residual,
    standardiser: Standardiser,
    names: Arc<LabelNames>,
}

impl Opened {
    /// The files may be a stranger's: every number is checked before it is believed.
    fn new(signature: &Signature, files: &Files) -> Result<Opened, Error> {
        let reader = Reader::of(files, MODEL_FILE, FORMAT)?;
        let sides = reader.u64("sides", &[2])?;
        if !(1..=4096).contains(&sides[0]) || sides[1] > 64 {
            return Err(Error::Corrupt(format!("{MODEL_FILE}: sides are {sides:?}")));
        }
        let width = [signature.features];
        let mean = reader.f32("standardise.mean", &width)?;
        let standardiser =
            Standardiser::from_parts(mean, reader.f32("standardise.scale", &width)?)?;
        let labels = signature.labels.clone();
        let labels = labels.ok_or_else(|| Error::Corrupt("the labels are missing".into()))?;
        let empty = Residual::new(
            signature.features,
            sides[0] as usize,
            sides[1] as usize,
            &Device::flex(),
        );
        let bytes = files.get(NETWORK);
        let bytes = bytes.ok_or_else(|| Error::Corrupt(format!("{NETWORK} is missing")))?;
        Ok(Opened {
            network: fit_module::read(empty, NETWORK, bytes, FORMAT)?,
            standardiser,
            names: Arc::new(Classes::from_names(labels)?.names().clone()),
        })
    }
}

impl Predictor for Opened {
    fn predict(&self, rows: ArrayView2<'_, f32>) -> Result<Answer, Error> {
        let features = self.standardiser.all(&rows.to_owned());
        let all: Vec<u32> = (0..features.nrows() as u32).collect();
        let outputs = self.network.forward(batch(&features, &all, &Device::flex()));
        let shares = activation::softmax(outputs, 1).into_data();
        let shares = shares.try_into_vec::<f32>().expect("the network answers with f32");
        let scores: Vec<f32> = shares.chunks_exact(2).map(|row| row[1]).collect();
        let codes = scores.iter().map(|score| u32::from(*score >= 0.5)).collect();
        let labels = Values::Class { codes, names: Arc::clone(&self.names) };
        Ok(Answer {
            key: "predictions",
            rows: rows.nrows(),
            fields: vec![
                Field { name: "score", values: Values::Number(scores) },
                Field { name: "predicted_label", values: labels },
            ],
        })
    }
}

/// Says how it goes; a program of its own may draw a curve.
struct Printed;

impl Observer for Printed {
    fn step(&mut self, _: Progress) {}

    fn epoch(&mut self, epoch: usize, metrics: &[Metric]) {
        if epoch.is_multiple_of(10) {
            println!("epoch {epoch}: {} {:.4}", metrics[0].name, metrics[0].value);
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let table = Table::builtin().with(Box::new(ResidualNet));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/custom_algorithm.toml");
    let job = train::read(&file, &[], &table)?;

    let keys = Arc::new(LocalKeys::of_user()?);
    let report = train::Job::new(job, keys.clone()).table(table.clone()).observer(Printed).run()?;
    println!("sealed at {}", report.artifact);

    let place = report.artifact.to_string();
    let model = Opener::new(keys).table(table).open(std::fs::File::open(&place)?, &place)?;
    let rows = Array2::zeros((1, model.manifest.signature.features));
    println!("{:?}", model.predict(rows.view())?);
    Ok(())
}
