//! The random cut forest on raw numbers, for comparison with other libraries
//! (`benches/peers/forest.py`).
//!
//! ```text
//! forest DATA COLUMNS SCORES THREADS [NAME=VALUE...]
//! ```
//! DATA holds little-endian f32, row after row of COLUMNS numbers; SCORES gets one f32 a point.
//! Prints the seconds of fitting (the threshold included), of scoring the same rows, and of one
//! row, and the threshold.

#![allow(clippy::print_stdout, reason = "the peer bench reads what it prints")]

use std::error::Error;
use std::time::Instant;

use ndarray::{Array2, Axis, Slice};
use smrt::algorithm::device::Device;
use smrt::algorithm::random_cut_forest::{Forest, PointsOf, RandomCutForest};
use smrt::algorithm::{
    Channels, Checkpoints, Context, Definition, Files, Metric, Observer, Progress,
};
use smrt::data::Dataset;
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

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, columns, out, threads, parameters @ ..] = arguments.as_slice() else {
        return Err("forest DATA COLUMNS SCORES THREADS [NAME=VALUE...]".into());
    };
    let (columns, threads): (usize, usize) = (columns.parse()?, threads.parse()?);
    let bytes = std::fs::read(data)?;
    let values: Vec<f32> = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    drop(bytes);
    let rows = Array2::from_shape_vec((values.len() / columns, columns), values)?;
    let raw: RawParameters = parameters
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| {
            (name.to_owned(), Raw { value: RawValue::Text(value.to_owned()), line: None })
        })
        .filter(|(name, _)| name != "seed")
        .collect();
    let seed = parameters.iter().find_map(|pair| pair.strip_prefix("seed="));
    let seed: u64 = seed.unwrap_or("7").parse()?;
    let mut problems = Problems::default();
    let trainer = RandomCutForest.trainer(&raw, &mut problems);
    let trainer = trainer.ok_or_else(|| format!("{problems:?}"))?;
    let channels = Channels { train: Dataset::of(rows), validation: None, test: None };
    let (mut observer, mut checkpoints) = (Quiet, Quiet);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let start = Instant::now();
    let mut context = Context {
        device: Device::flex(),
        threads,
        seed,
        stop: &|| false,
        observer: &mut observer,
        checkpoints: &mut checkpoints,
    };
    let (seen, told) = (&channels, &mut context);
    let fitted = pool.install(move || trainer.fit(seen, told))?;
    let fit_s = start.elapsed().as_secs_f64();
    let scorer = Forest::open(&fitted.files)?.into_scorer();
    let rows = channels.train.features;
    let flat = rows.as_slice().ok_or("rows lie one after the other")?;
    let start = Instant::now();
    let series = PointsOf::series(flat, columns, scorer.shingle());
    let scores = pool.install(|| scorer.scores(&series));
    let score_s = start.elapsed().as_secs_f64();
    let opened = RandomCutForest.open(&fitted.signature, &fitted.files)?;
    let one = Array2::from_shape_vec((1, scorer.width()), flat[..scorer.width()].to_vec())?;
    let start = Instant::now();
    for _ in 0..1_000 {
        std::hint::black_box(opened.predict(one.slice_axis(Axis(0), Slice::from(0..1)))?);
    }
    let one_us = start.elapsed().as_secs_f64() * 1e3;
    let threshold = fitted.signature.threshold.unwrap_or(f32::NAN);
    println!("{fit_s} {score_s} {one_us} {threshold}");
    std::fs::write(out, scores.iter().flat_map(|score| score.to_le_bytes()).collect::<Vec<u8>>())?;
    Ok(())
}
