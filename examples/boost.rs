//! The boosting engine on raw numbers, for comparison with other libraries (`benches/peers/trees.py`).
//!
//! ```text
//! boost fit     DATA COLUMNS MODEL THREADS NAME=VALUE...   label first in each row; prints seconds
//! boost predict DATA COLUMNS MODEL THREADS OUT             features only; answers as f32
//! boost shap    DATA COLUMNS MODEL THREADS OUT             contributions as f32
//! ```
//! DATA holds little-endian f32, row after row of COLUMNS numbers.

#![allow(clippy::print_stdout, reason = "the peer bench reads what it prints")]

use std::error::Error;
use std::time::Instant;

use ndarray::{Array2, Axis, Slice};
use smrt::algorithm::device::Device;
use smrt::algorithm::xgboost::ensemble::Ensemble;
use smrt::algorithm::xgboost::explain::Explainer;
use smrt::algorithm::xgboost::{Xgboost, boost, ensemble, read};
use smrt::algorithm::{
    Channels, Checkpoints, Context, Definition, Files, Metric, Observer, Progress,
};
use smrt::data::{Dataset, Labels, Values};
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
    data: Array2<f32>,
    threads: usize,
    parameters: &[String],
) -> Result<Vec<u8>, Box<dyn Error>> {
    let raw: RawParameters = parameters
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| {
            (name.to_owned(), Raw { value: RawValue::Text(value.to_owned()), line: None })
        })
        .collect();
    let mut problems = Problems::default();
    let trainer = Xgboost.trainer(&raw, &mut problems).ok_or_else(|| format!("{problems:?}"))?;
    let label = data.index_axis(Axis(1), 0).to_vec();
    let features = data.slice_axis(Axis(1), Slice::from(1..)).as_standard_layout().into_owned();
    drop(data);
    let train = Dataset { label: Some(Labels::Number(label)), ..Dataset::of(features) };
    let channels = Channels { train, validation: None, test: None };
    let (mut observer, mut checkpoints) = (Quiet, Quiet);
    // From here on the peak is the training's; Linux forgets the one before when it is told so.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let held = held_kib("VmRSS");
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let fitted = trainer.fit(
        &channels,
        &mut Context {
            device: Device::flex(),
            threads,
            seed: 7,
            stop: &|| false,
            observer: &mut observer,
            checkpoints: &mut checkpoints,
        },
    )?;
    let seconds = start.elapsed().as_secs_f64();
    let metrics: Vec<String> =
        fitted.metrics.iter().map(|metric| format!("{}={}", metric.name, metric.value)).collect();
    let peak = held_kib("VmHWM");
    println!(
        "{seconds} cpu={} peak_kib={peak} fit_kib={} {}",
        cpu_seconds() - cpu,
        peak.saturating_sub(held),
        metrics.join(" ")
    );
    Ok(fitted.files[ensemble::MODEL_FILE].clone())
}

/// What this process holds, in KiB, as Linux tells it: `VmRSS` now, `VmHWM` at most; 0 elsewhere.
fn held_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// CPU seconds of this process, as Linux tells it (in hundredths); 0 elsewhere.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind = stat.rsplit(')').next().unwrap_or("");
    let ticks = |at: usize| behind.split_whitespace().nth(at).and_then(|n| n.parse().ok());
    (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / 100.0
}

fn predict(data: &Array2<f32>, model: Vec<u8>) -> Result<Vec<f32>, Box<dyn Error>> {
    let files = Files::from([(ensemble::MODEL_FILE.to_owned(), model)]);
    let signature = boost::plain_signature(&read(&files)?, None);
    let opened = Xgboost.open(&signature, &files)?;
    let start = Instant::now();
    let answer = opened.predict(data.view())?;
    let all = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let count = data.nrows().min(20_000);
    for row in 0..count {
        std::hint::black_box(opened.predict(data.slice_axis(Axis(0), Slice::from(row..row + 1)))?);
    }
    println!("{all} {}", start.elapsed().as_secs_f64() / count as f64);
    Ok(match &answer.fields[0].values {
        Values::Number(values) | Values::Vector { values, .. } => values.clone(),
        Values::Class { codes, .. } => codes.iter().map(|code| *code as f32).collect(),
        _ => return Err("the first field is the answer".into()),
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [command, data, columns, model, threads, rest @ ..] = given.as_slice() else {
        return Err("boost fit|predict|shap DATA COLUMNS MODEL THREADS ...".into());
    };
    let data = numbers(data, columns.parse()?)?;
    let threads: usize = threads.parse()?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let out = match command.as_str() {
        "fit" => {
            std::fs::write(model, fit(data, threads, rest)?)?;
            return Ok(());
        }
        "shap" => {
            let explainer = Explainer::new(&Ensemble::read(&std::fs::read(model)?)?);
            let start = Instant::now();
            let parts = pool.install(|| explainer.contributions(&data.view()));
            println!("{}", start.elapsed().as_secs_f64());
            parts.into_raw_vec_and_offset().0
        }
        _ => {
            let model = std::fs::read(model)?;
            pool.install(|| predict(&data, model).map_err(|error| error.to_string()))?
        }
    };
    let bytes: Vec<u8> = out.iter().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(rest.first().ok_or("give OUT")?, bytes)?;
    Ok(())
}
