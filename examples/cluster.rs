//! Algorithms without labels on raw numbers, for comparison with other libraries
//! (`benches/peers/cluster.py`).
//!
//! ```text
//! cluster fit     ALGORITHM DATA COLUMNS MODEL THREADS NAME=VALUE...   prints seconds and metrics
//! cluster predict ALGORITHM DATA COLUMNS MODEL THREADS                 prints seconds; writes MODEL.out
//! ```
//! DATA holds little-endian f32, row after row of COLUMNS numbers; MODEL.out the first field of
//! each answer, and `distance_to_cluster` or `reconstruction_error` behind it when there is one.

#![allow(clippy::print_stdout, reason = "the peer bench reads what it prints")]

use std::error::Error;
use std::time::Instant;

use ndarray::{Array2, Axis};
use rayon::prelude::*;
use smrt::algorithm::device::Device;
use smrt::algorithm::{
    Ask, Channels, Checkpoints, Context, Files, Metric, Observer, Progress, Table,
};
use smrt::data::{Dataset, Signature, Task, Values};
use smrt::spec::parameter::{Raw, RawParameters, RawValue};
use smrt::spec::problem::Problems;

struct Quiet;

impl Observer for Quiet {
    fn step(&mut self, _: Progress) {}
    fn epoch(&mut self, _: usize, _: &[Metric]) {}
}

impl Checkpoints for Quiet {
    fn due(&self) -> bool {
        false
    }
    fn save(&mut self, _: &Files) -> Result<(), smrt::algorithm::Error> {
        Ok(())
    }
    fn take(&mut self) -> Option<Files> {
        None
    }
}

fn numbers(path: &str, columns: usize) -> Result<Array2<f32>, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let values: Vec<f32> = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    Ok(Array2::from_shape_vec((values.len() / columns, columns), values)?)
}

fn fit(
    algorithm: &str,
    data: Array2<f32>,
    threads: usize,
    parameters: &[String],
) -> Result<Files, Box<dyn Error>> {
    let raw: RawParameters = parameters
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| {
            (name.to_owned(), Raw { value: RawValue::Text(value.to_owned()), line: None })
        })
        .collect();
    let definition = Table::builtin().get(algorithm).ok_or("no such algorithm")?;
    let mut problems = Problems::default();
    let trainer = definition.trainer(&raw, &mut problems).ok_or_else(|| format!("{problems:?}"))?;
    let channels = Channels { train: Dataset::of(data), validation: None, test: None };
    let start = Instant::now();
    let fitted = trainer.fit(
        &channels,
        &mut Context {
            device: Device::flex(),
            threads,
            seed: 7,
            stop: &|| false,
            observer: &mut Quiet,
            checkpoints: &mut Quiet,
        },
    )?;
    let seconds = start.elapsed().as_secs_f64();
    print!("{seconds} epochs={}", fitted.epochs);
    fitted.metrics.iter().for_each(|metric| print!(" {}={}", metric.name, metric.value));
    println!();
    Ok(fitted.files)
}

fn predict(algorithm: &str, data: &Array2<f32>, files: &Files) -> Result<Vec<u8>, Box<dyn Error>> {
    let definition = Table::builtin().get(algorithm).ok_or("no such algorithm")?;
    let task = if algorithm == "pca" { Task::Projection } else { Task::Clustering };
    let model = definition.open(&Signature::of(data.ncols(), task), files)?;
    let ask = Ask { verbose: algorithm == "pca", ..Ask::default() };
    let start = Instant::now();
    let blocks = data.axis_chunks_iter(Axis(0), 4096).into_par_iter();
    let answers =
        blocks.map(|rows| model.predict_with(rows, &ask)).collect::<Result<Vec<_>, _>>()?;
    println!("{}", start.elapsed().as_secs_f64());
    let mut out = Vec::new();
    for answer in answers {
        for row in 0..answer.rows {
            for field in answer.fields.iter().take(2) {
                let values = match &field.values {
                    Values::Number(numbers) => &numbers[row..=row],
                    Values::Vector { width, values } => &values[row * width..(row + 1) * width],
                    _ => &[],
                };
                out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }
        }
    }
    Ok(out)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [command, algorithm, path, columns, model, threads, parameters @ ..] = &arguments[..]
    else {
        return Err("cluster fit|predict ALGORITHM DATA COLUMNS MODEL THREADS ...".into());
    };
    let (data, threads) = (numbers(path, columns.parse()?)?, threads.parse()?);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let file = smrt::algorithm::weights::MODEL_FILE;
    if command == "fit" {
        let work = || fit(algorithm, data, threads, parameters).map_err(|error| error.to_string());
        std::fs::write(model, pool.install(work)?.remove(file).ok_or("no model file")?)?;
    } else {
        let files = Files::from([(file.to_owned(), std::fs::read(model)?)]);
        let work = || predict(algorithm, &data, &files).map_err(|error| error.to_string());
        std::fs::write(format!("{model}.out"), pool.install(work)?)?;
    }
    Ok(())
}
