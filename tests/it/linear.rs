//! Integration tests of `linear-learner`: quality on real data where it lies beside the checkout,
//! and the promises of a fitted model on small made-up data.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ndarray::Array2;
use smrt::algorithm::device::Device;
use smrt::algorithm::linear_learner::LinearLearner;
use smrt::algorithm::{
    Channels, Checkpoints, Context, Definition, Error, Files, Fitted, Metric, Observer, Progress,
};
use smrt::data::{Dataset, Labels};
use smrt::spec::parameter::{Raw, RawParameters, RawValue};
use smrt::spec::problem::Problems;

fn shared() -> Option<PathBuf> {
    let fallback = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let place = std::env::var_os("SMRT_SHARED").map_or(fallback, PathBuf::from);
    place.join("data").is_dir().then(|| place.join("data"))
}

/// Label first, numbers only, no header.
fn read(path: &Path) -> Dataset {
    let packed = path.with_file_name(format!("{}.gz", path.file_name().unwrap().display()));
    let mut text = String::new();
    if path.exists() {
        text = std::fs::read_to_string(path).unwrap();
    } else {
        let file = std::fs::File::open(packed).unwrap();
        flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    }
    let mut label = Vec::new();
    let mut values = Vec::new();
    for line in text.lines() {
        let mut cells = line.split(',').map(|cell| cell.trim().parse().unwrap_or(f32::NAN));
        label.push(cells.next().unwrap());
        values.extend(cells);
    }
    dataset(label, values)
}

fn dataset(label: Vec<f32>, values: Vec<f32>) -> Dataset {
    let width = values.len() / label.len();
    Dataset {
        features: Array2::from_shape_vec((label.len(), width), values).unwrap(),
        label: Some(Labels::Number(label)),
        weight: None,
        columns: Arc::from([]),
        sources: Vec::new(),
    }
}

fn raw(pairs: &[(&str, &str)]) -> RawParameters {
    let entry = |(name, value): &(&str, &str)| {
        let value = RawValue::Text((*value).to_owned());
        ((*name).to_owned(), Raw { value, line: None })
    };
    pairs.iter().map(entry).collect()
}

struct Quiet;

impl Observer for Quiet {
    fn step(&mut self, _: Progress) {}
    fn epoch(&mut self, epoch: usize, metrics: &[Metric]) {
        if std::env::var_os("SMRT_SHOW").is_some() {
            eprintln!("epoch {epoch} {metrics:?}");
        }
    }
}

#[derive(Default)]
struct Kept {
    state: Option<Files>,
    saved: Option<Files>,
}

impl Checkpoints for Kept {
    fn due(&self) -> bool {
        false
    }
    fn save(&mut self, state: &Files) -> Result<(), Error> {
        self.saved = Some(state.clone());
        Ok(())
    }
    fn take(&mut self) -> Option<Files> {
        self.state.take()
    }
}

fn fit(pairs: &[(&str, &str)], data: &Channels) -> Result<Fitted, Error> {
    fit_with(pairs, data, &|| false, &mut Kept::default())
}

fn fit_with(
    pairs: &[(&str, &str)],
    data: &Channels,
    stop: &dyn Fn() -> bool,
    checkpoints: &mut Kept,
) -> Result<Fitted, Error> {
    let mut problems = Problems::default();
    let trainer = LinearLearner.trainer(&raw(pairs), &mut problems);
    let trainer = trainer.unwrap_or_else(|| panic!("{problems:?}"));
    let mut context = Context {
        device: Device::flex(),
        threads: 2,
        seed: 7,
        stop,
        observer: &mut Quiet,
        checkpoints,
    };
    trainer.fit(data, &mut context)
}

fn figures(fitted: &Fitted) -> BTreeMap<&str, f64> {
    fitted.metrics.iter().map(|metric| (metric.name.as_str(), metric.value)).collect()
}

#[test]
fn quality() {
    let Some(data) = shared() else { return };
    let sets = std::env::var("SMRT_SETS").unwrap_or("mlc_churn".into());
    let extra = std::env::var("SMRT_EXTRA").unwrap_or_default();
    for set in sets.split(',') {
        let train = read(&data.join(set).join("train.csv"));
        let test = read(&data.join(set).join("test.csv"));
        let kind = match set {
            "letter" | "mnist" => "multiclass_classifier",
            "california_housing" | "abalone" => "regressor",
            _ => "binary_classifier",
        };
        let mut pairs = vec![("predictor_type", kind)];
        pairs.extend(extra.split_whitespace().filter_map(|pair| pair.split_once('=')));
        let split = std::env::var_os("SMRT_SPLIT").is_some();
        let (train, validation) = if split { halves(&train) } else { (train, None) };
        let started = std::time::Instant::now();
        let fitted = fit(&pairs, &Channels { train, validation, test: Some(test) }).unwrap();
        println!("{set} {:.2}s epochs {}", started.elapsed().as_secs_f64(), fitted.epochs);
        for (name, value) in figures(&fitted) {
            println!("   {name} {value:.4}");
        }
    }
}

fn halves(data: &Dataset) -> (Dataset, Option<Dataset>) {
    let part = |validation: bool| {
        let rows: Vec<usize> =
            (0..data.rows()).filter(|row| (row % 5 == 4) == validation).collect();
        let Some(Labels::Number(label)) = &data.label else { panic!() };
        Dataset {
            features: data.features.select(ndarray::Axis(0), &rows),
            label: Some(Labels::Number(rows.iter().map(|row| label[*row]).collect())),
            ..data.clone()
        }
    };
    (part(false), Some(part(true)))
}
