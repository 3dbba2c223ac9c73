//! Training steps of `mlp`, in samples per second: the two networks of `benches/peers/fit.py`,
//! which runs PyTorch beside them; and boosted trees, fitted and asked, in rows per second
//! (`benches/peers/trees.py` runs XGBoost and LightGBM beside those). Whole fits through the public traits: shuffling, gathering and
//! standardising rows included, decoding of files not.
//!
//! With `SMRT_FIT_ONCE="784-512-256-10 256 2 2.0"` (network, batch, threads, seconds) it trains
//! once for about that long and prints one line, for the script.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use ndarray::{Array2, Axis};
use smrt::algorithm::{
    Channels, Checkpoints, Context, Error, Files, Fitted, Metric, Observer, Progress, Table, device,
};
use smrt::data::{Dataset, Labels};
use smrt::spec::parameter::{Raw, RawParameters, RawValue};
use smrt::spec::problem::Problems;
use smrt::spec::train::DeviceChoice;

/// Layers of a network and rows of a batch.
struct Case {
    sides: Vec<usize>,
    batch: usize,
}

impl Case {
    fn parse(net: &str, batch: usize) -> Case {
        let sides = net.split('-').map(|side| side.parse().expect("sides are numbers")).collect();
        Case { sides, batch }
    }

    /// Random-like rows; what they are does not change the speed.
    fn data(&self) -> Channels {
        let (inputs, classes) = (self.sides[0], self.sides[self.sides.len() - 1]);
        let rows = if inputs > 500 { 16_384 } else { 131_072 };
        let value = |(row, column)| ((row * 31 + column * 17) as f32 * 0.37).sin();
        let labels = (0..rows).map(|row| (row % classes) as f32).collect();
        let train = Dataset {
            label: Some(Labels::Number(labels)),
            ..Dataset::of(Array2::from_shape_fn((rows, inputs), value))
        };
        Channels { train, validation: None, test: None }
    }

    fn parameters(&self, epochs: usize) -> RawParameters {
        let hidden = &self.sides[1..self.sides.len() - 1];
        let hidden = hidden.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let binary = self.sides.last() == Some(&2);
        [
            ("predictor_type", if binary { "binary_classifier" } else { "multiclass_classifier" }),
            ("hidden_layers", &hidden),
            ("mini_batch_size", &self.batch.to_string()),
            ("epochs", &epochs.to_string()),
            ("early_stopping_patience", "0"),
        ]
        .into_iter()
        .map(|(name, text)| {
            (name.to_owned(), Raw { value: RawValue::Text(text.to_owned()), line: None })
        })
        .collect()
    }

    /// Time from the first step to the last epoch's end.
    fn train(&self, data: &Channels, epochs: usize, threads: usize) -> Duration {
        let mut clock = Clock { begun: None, ended: Instant::now() };
        black_box(fit("mlp", &self.parameters(epochs), data, threads, &mut clock));
        clock.ended - clock.begun.expect("there was more than one epoch")
    }
}

fn fit(
    algorithm: &str,
    parameters: &RawParameters,
    data: &Channels,
    threads: usize,
    observer: &mut Clock,
) -> Fitted {
    let mut problems = Problems::default();
    let definition = Table::builtin().get(algorithm).expect("it is built in");
    let trainer = definition.trainer(parameters, &mut problems);
    let trainer = trainer.unwrap_or_else(|| panic!("{problems:?}"));
    let mut context = Context {
        device: device::open(DeviceChoice::Cpu).expect("the CPU is there"),
        threads,
        seed: 7,
        stop: &|| false,
        observer,
        checkpoints: &mut Nowhere,
    };
    trainer.fit(data, &mut context).expect("the rows can be learned from")
}

/// 200,000 rows of 28 columns, 20 trees: of six levels, and of 31 leaves grown one by one.
fn trees(criterion: &mut Criterion, threads: usize) {
    let value = |(row, column)| ((row * 31 + column * 17) as f32 * 0.37).sin();
    let features = Array2::from_shape_fn((200_000, 28), value);
    let label = features.rows().into_iter();
    let label = label.map(|row| f32::from(row[0] * row[1] + row[2] > 0.2)).collect();
    let train = Dataset { label: Some(Labels::Number(label)), ..Dataset::of(features) };
    let data = Channels { train, validation: None, test: None };
    let levels = [("max_depth", "6")];
    let leaves = [("grow_policy", "lossguide"), ("max_leaves", "31"), ("max_depth", "0")];
    let rows = data.train.rows() as u64;
    for (shape, given) in [("6 levels", levels.as_slice()), ("31 leaves", leaves.as_slice())] {
        let given = [("objective", "binary:logistic"), ("num_round", "20")].iter().chain(given);
        let raw = |(name, text): &(&str, &str)| {
            ((*name).to_owned(), Raw { value: RawValue::Text((*text).to_owned()), line: None })
        };
        let given: RawParameters = given.map(raw).collect();
        let mut clock = Clock { begun: None, ended: Instant::now() };
        let fitted = fit("xgboost", &given, &data, threads, &mut clock);
        let definition = Table::builtin().get("xgboost").expect("it is built in");
        let opened = definition.open(&fitted.signature, &fitted.files).expect("it was just made");
        let mut group = criterion.benchmark_group(format!("trees of {shape}"));
        group.throughput(Throughput::Elements(rows));
        group.bench_function("fit", |bencher| {
            bencher.iter(|| fit("xgboost", &given, &data, threads, &mut clock));
        });
        let all = data.train.features.view();
        group.bench_function("predict", |bencher| {
            bencher.iter(|| opened.predict(all).expect("it answers"));
        });
        group.throughput(Throughput::Elements(1));
        let mut rows = all.axis_chunks_iter(Axis(0), 1).cycle();
        group.bench_function("predict one row", |bencher| {
            bencher
                .iter(|| opened.predict(rows.next().expect("they go round")).expect("it answers"));
        });
        group.finish();
    }
}

/// Starts at the end of the first epoch and ends with the last: no start-up, no final metrics.
struct Clock {
    begun: Option<Instant>,
    ended: Instant,
}

impl Observer for Clock {
    fn step(&mut self, _: Progress) {}

    fn epoch(&mut self, _: usize, _: &[Metric]) {
        self.ended = Instant::now();
        self.begun.get_or_insert(self.ended);
    }
}

/// Keeps nothing.
struct Nowhere;

impl Checkpoints for Nowhere {
    fn due(&self) -> bool {
        false
    }

    fn save(&mut self, _: &Files) -> Result<(), Error> {
        Ok(())
    }

    fn take(&mut self) -> Option<Files> {
        None
    }
}

fn once(text: &str) {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [net, batch, threads, seconds] = words[..] else {
        panic!("SMRT_FIT_ONCE is: network batch threads seconds")
    };
    let case = Case::parse(net, batch.parse().expect("a batch size"));
    let (threads, seconds) = (threads.parse().expect("threads"), seconds.parse::<f64>());
    let data = case.data();
    let first = case.train(&data, 2, threads).as_secs_f64();
    let epochs = (seconds.expect("seconds") / first).ceil().max(1.0) as usize;
    let spent = case.train(&data, epochs + 1, threads).as_secs_f64();
    let rate = (epochs * data.train.rows()) as f64 / spent;
    println!("{net} batch {batch} threads {threads}: {rate:.0} samples/s");
}

fn main() {
    if let Ok(text) = std::env::var("SMRT_FIT_ONCE") {
        return once(&text);
    }
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut group = criterion.benchmark_group("fit");
    for (net, batch) in [("30-64-32-2", 256), ("784-512-256-10", 256), ("784-512-256-10", 1024)] {
        let case = Case::parse(net, batch);
        let data = case.data();
        group.throughput(Throughput::Elements(data.train.rows() as u64));
        group.bench_function(format!("{net}/{batch}"), |bencher| {
            bencher.iter_custom(|epochs| case.train(&data, epochs as usize + 1, threads));
        });
    }
    group.finish();
    trees(&mut criterion, threads);
    criterion.final_summary();
}
