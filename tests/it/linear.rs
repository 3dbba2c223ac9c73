//! Integration tests of `linear-learner`: quality on real data where it lies beside the checkout,
//! and the promises of a fitted model on small made-up data.

// The helpers are tests too.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array2, Axis, ShapeBuilder, Slice};
use smrt::algorithm::device::Device;
use smrt::algorithm::linear_learner::LinearLearner;
use smrt::algorithm::{
    Channels, Checkpoints, Context, Definition, Error, Files, Fitted, Metric, Observer, Progress,
};
use smrt::data::{Answer, Dataset, LabelNames, Labels, Signature, Values};
use smrt::spec::parameter::{Raw, RawParameters, RawValue};
use smrt::spec::problem::Problems;

const BINARY: (&str, &str) = ("predictor_type", "binary_classifier");
const MULTICLASS: (&str, &str) = ("predictor_type", "multiclass_classifier");
const REGRESSOR: (&str, &str) = ("predictor_type", "regressor");

fn dataset(label: Labels, features: Array2<f32>) -> Dataset {
    Dataset { label: Some(label), ..Dataset::of(features) }
}

/// Evenly spread numbers in -1..1 that look random.
fn noise(row: usize, salt: usize) -> f32 {
    let mut mixed = (row as u64) << 20 ^ salt as u64;
    for by in [0xbf58_476d_1ce4_e5b9_u64, 0x94d0_49bb_1331_11eb, 0x9e37_79b9_7f4a_7c15] {
        mixed = (mixed ^ mixed >> 31).wrapping_add(by).wrapping_mul(by);
    }
    ((mixed >> 40) as f32 / (1 << 23) as f32) - 1.0
}

fn features(rows: usize, width: usize) -> Array2<f32> {
    Array2::from_shape_fn((rows, width), |(row, column)| noise(row, column) * (column + 1) as f32)
}

/// A plane with a little noise.
fn plane(features: &Array2<f32>) -> Vec<f32> {
    let one = |(row, values): (usize, ndarray::ArrayView1<'_, f32>)| {
        2.0 * values[0] - values[1] + 0.5 * values[2] + 10.0 + 0.1 * noise(row, 99)
    };
    features.rows().into_iter().enumerate().map(one).collect()
}

fn two_classes(rows: usize) -> Dataset {
    let features = features(rows, 5);
    let label = plane(&features).iter().map(|v| f32::from(*v > 11.0)).collect();
    dataset(Labels::Number(label), features)
}

fn three_classes(rows: usize) -> Dataset {
    let features = features(rows, 5);
    let class = |v: &f32| {
        if *v > 12.0 {
            30.0
        } else if *v > 9.0 {
            20.0
        } else {
            10.0
        }
    };
    let label = plane(&features).iter().map(class).collect();
    dataset(Labels::Number(label), features)
}

fn quantity(rows: usize) -> Dataset {
    let features = features(rows, 5);
    dataset(Labels::Number(plane(&features)), features)
}

fn only(train: Dataset) -> Channels {
    Channels { train, validation: None, test: None }
}

fn raw(pairs: &[(&str, &str)]) -> RawParameters {
    let entry = |(name, value): &(&str, &str)| {
        let value = RawValue::Text((*value).to_owned());
        ((*name).to_owned(), Raw { value, line: None })
    };
    pairs.iter().map(entry).collect()
}

#[derive(Default)]
struct Heard {
    epochs: usize,
    rows_done: u64,
}

impl Observer for Heard {
    fn step(&mut self, progress: Progress) {
        assert!(progress.rows_done > self.rows_done && progress.rows_done <= progress.rows_total);
        self.rows_done = progress.rows_done;
    }
    fn epoch(&mut self, epoch: usize, metrics: &[Metric]) {
        assert!(epoch >= self.epochs);
        assert!(metrics.iter().all(|metric| metric.value.is_finite()));
        self.epochs = epoch + 1;
    }
}

#[derive(Default)]
struct Kept {
    resume: Option<Files>,
    saved: Option<Files>,
    /// Whether a checkpoint is always due.
    eager: bool,
}

impl Checkpoints for Kept {
    fn due(&self) -> bool {
        self.eager
    }
    fn save(&mut self, state: &Files) -> Result<(), Error> {
        self.saved = Some(state.clone());
        Ok(())
    }
    fn take(&mut self) -> Option<Files> {
        self.resume.take()
    }
}

fn fit(pairs: &[(&str, &str)], data: &Channels) -> Result<Fitted, Error> {
    fit_with(&raw(pairs), data, &|| false, &mut Kept::default())
}

fn fit_with(
    raw: &RawParameters,
    data: &Channels,
    stop: &(dyn Fn() -> bool + Sync),
    checkpoints: &mut Kept,
) -> Result<Fitted, Error> {
    fit_on(Device::flex(), raw, data, stop, checkpoints)
}

fn fit_on(
    device: Device,
    raw: &RawParameters,
    data: &Channels,
    stop: &(dyn Fn() -> bool + Sync),
    checkpoints: &mut Kept,
) -> Result<Fitted, Error> {
    let mut problems = Problems::default();
    let trainer = LinearLearner.trainer(raw, &mut problems);
    let trainer = trainer.unwrap_or_else(|| panic!("{problems:?}"));
    let mut observer = Heard::default();
    let mut context =
        Context { device, threads: 2, seed: 7, stop, observer: &mut observer, checkpoints };
    trainer.fit(data, &mut context)
}

/// Says stop once it was asked `batches` times.
fn stop_after(batches: usize) -> impl Fn() -> bool + Sync {
    let asked = AtomicUsize::new(0);
    move || asked.fetch_add(1, Ordering::Relaxed) >= batches
}

fn figure(fitted: &Fitted, name: &str) -> f64 {
    let found = fitted.metrics.iter().find(|metric| metric.name == name);
    found.unwrap_or_else(|| panic!("{name} is missing in {:?}", fitted.metrics)).value
}

fn answer(fitted: &Fitted, rows: &Array2<f32>) -> Answer {
    let opened = LinearLearner.open(&fitted.signature, &fitted.files).unwrap();
    opened.predict(rows.view()).unwrap()
}

fn numbers(answer: &Answer) -> &[f32] {
    match &answer.fields[0].values {
        Values::Number(values) | Values::Vector { values, .. } => values,
        _ => panic!("the first field is a score"),
    }
}

fn refusal(result: Result<Fitted, Error>) -> String {
    result.map(|_| ()).unwrap_err().to_string()
}

#[test]
fn two_classes_are_told_apart_and_answered_by_sagemakers_names() {
    let fitted = fit(&[BINARY], &only(two_classes(2000))).unwrap();
    assert!(figure(&fitted, "train:roc_auc_score") > 0.999, "{:?}", fitted.metrics);
    assert!(figure(&fitted, "train:binary_classification_accuracy") > 0.98);
    let data = two_classes(50);
    let answer = answer(&fitted, &data.features);
    assert_eq!((answer.key, answer.rows), ("predictions", 50));
    let names: Vec<&str> = answer.fields.iter().map(|field| field.name).collect();
    assert_eq!(names, ["score", "predicted_label"]);
    let Values::Class { codes, names } = &answer.fields[1].values else { panic!() };
    assert_eq!(**names, LabelNames::Numbers(vec![0.0, 1.0]));
    let threshold = fitted.signature.threshold.unwrap();
    for (code, score) in codes.iter().zip(numbers(&answer)) {
        assert_eq!(*code == 1, *score >= threshold);
    }
}

#[test]
fn many_classes_get_a_probability_each() {
    let fitted = fit(&[MULTICLASS], &only(three_classes(2000))).unwrap();
    assert!(figure(&fitted, "train:multiclass_accuracy") > 0.9, "{:?}", fitted.metrics);
    assert_eq!(figure(&fitted, "train:multiclass_top_k_accuracy"), 1.0);
    let answer = answer(&fitted, &three_classes(50).features);
    let Values::Vector { width: 3, values } = &answer.fields[0].values else { panic!() };
    for scores in values.chunks_exact(3) {
        assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
    let expected = LabelNames::Numbers(vec![10.0, 20.0, 30.0]);
    assert_eq!(fitted.signature.labels, Some(expected));
}

#[test]
fn a_number_is_learned_under_every_loss() {
    let losses = [
        "squared_loss",
        "absolute_loss",
        "huber_loss",
        "quantile_loss",
        "eps_insensitive_squared_loss",
        "eps_insensitive_absolute_loss",
    ];
    for loss in losses {
        let fitted = fit(&[REGRESSOR, ("loss", loss)], &only(quantity(3000))).unwrap();
        // The noise alone has a deviation of 0.058.
        assert!(figure(&fitted, "train:rmse") < 0.07, "{loss}: {:?}", fitted.metrics);
        assert!(fitted.signature.labels.is_none() && fitted.signature.threshold.is_none());
    }
}

#[test]
fn a_quantile_lies_below_that_share_of_the_labels() {
    let mut data = quantity(4000);
    let label = (0..4000).map(|row| noise(row, 1) * 3.0 + noise(row, 55)).collect();
    data.label = Some(Labels::Number(label));
    let pairs = [REGRESSOR, ("loss", "quantile_loss"), ("quantile", "0.9")];
    let fitted = fit(&pairs, &only(data.clone())).unwrap();
    let answer = answer(&fitted, &data.features);
    let Some(Labels::Number(label)) = &data.label else { panic!() };
    let below = numbers(&answer).iter().zip(label).filter(|(line, label)| label < line).count();
    assert!((3520..3680).contains(&below), "{below} of 4000");
}

#[test]
fn every_optimizer_and_the_hinge_find_the_line() {
    for optimizer in ["adam", "sgd", "rmsprop"] {
        for loss in ["logistic", "hinge_loss"] {
            let pairs = [BINARY, ("optimizer", optimizer), ("loss", loss)];
            let fitted = fit(&pairs, &only(two_classes(2000))).unwrap();
            let accuracy = figure(&fitted, "train:binary_classification_accuracy");
            assert!(accuracy > 0.97, "{optimizer} {loss} {accuracy}");
        }
    }
}

#[test]
fn l1_drops_features_that_say_nothing() {
    let pairs = [REGRESSOR, ("l1", "0.05"), ("num_models", "1"), ("wd", "0")];
    let fitted = fit(&pairs, &only(quantity(3000))).unwrap();
    let bytes = &fitted.files["model.safetensors"];
    let tensors = safetensors::SafeTensors::deserialize(bytes).unwrap();
    let weight = tensors.tensor("weight").unwrap();
    assert_eq!(weight.shape(), [1, 5]);
    let weight: Vec<f32> =
        weight.data().as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect();
    assert_eq!(weight[3..], [0.0, 0.0], "{weight:?}");
    assert!(weight[..3].iter().all(|weight| *weight != 0.0), "{weight:?}");
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for (kind, data) in
        [(BINARY, two_classes(700)), (MULTICLASS, three_classes(700)), (REGRESSOR, quantity(700))]
    {
        let data = only(data);
        let (one, two) = (fit(&[kind], &data).unwrap(), fit(&[kind], &data).unwrap());
        assert_eq!(one.files, two.files);
        assert_eq!(one.metrics, two.metrics);
        assert_eq!(one.signature, two.signature);
    }
}

#[test]
fn a_stopped_training_goes_on_to_the_same_bytes() {
    let validation = Some(three_classes(300));
    let data = Channels { train: three_classes(900), validation, test: None };
    let raw = raw(&[MULTICLASS, ("init_method", "uniform")]);
    let whole = fit_with(&raw, &data, &|| false, &mut Kept::default()).unwrap();
    for batches in [0_usize, 1, 31, 32, 33, 70, 300] {
        let stop = stop_after(batches);
        let mut kept = Kept::default();
        let stopped = fit_with(&raw, &data, &stop, &mut kept);
        assert!(matches!(stopped, Err(Error::Stopped)), "after {batches} batches");
        let mut kept = Kept { resume: kept.saved, ..Kept::default() };
        let resumed = fit_with(&raw, &data, &|| false, &mut kept).unwrap();
        assert_eq!(resumed.files, whole.files, "after {batches} batches");
        assert_eq!(resumed.metrics, whole.metrics);
        assert_eq!(resumed.epochs, whole.epochs);
    }
}

#[test]
fn checkpoints_on_the_way_change_nothing() {
    let data = only(two_classes(300));
    let raw = raw(&[BINARY]);
    let plain = fit_with(&raw, &data, &|| false, &mut Kept::default()).unwrap();
    let mut kept = Kept { eager: true, ..Kept::default() };
    let saved = fit_with(&raw, &data, &|| false, &mut kept).unwrap();
    assert_eq!(plain.files, saved.files);
    assert!(kept.saved.is_some());
}

#[test]
fn a_checkpoint_of_another_job_or_a_damaged_one_is_refused() {
    let (pairs, data) = (raw(&[BINARY]), only(two_classes(300)));
    let stop = stop_after(20);
    let mut kept = Kept::default();
    assert!(fit_with(&pairs, &data, &stop, &mut kept).is_err());
    let state = kept.saved.unwrap();
    let go_on = |raw: &RawParameters, data: &Channels, state: Files| {
        fit_with(raw, data, &|| false, &mut Kept { resume: Some(state), ..Kept::default() })
    };
    let other = raw(&[BINARY, ("epochs", "16")]);
    assert!(matches!(go_on(&other, &data, state.clone()), Err(Error::Checkpoint { .. })));
    let other = only(two_classes(301));
    assert!(matches!(go_on(&pairs, &other, state.clone()), Err(Error::Checkpoint { .. })));
    let (name, bytes) = state.first_key_value().unwrap();
    for length in [0, 7, bytes.len() / 2, bytes.len() - 1] {
        let cut = Files::from([(name.clone(), bytes[..length].to_vec())]);
        assert!(go_on(&pairs, &data, cut).is_err(), "{length}");
    }
    assert!(go_on(&pairs, &data, Files::new()).is_err());
}

#[test]
fn a_batch_answers_as_its_rows_do() {
    for (kind, data) in
        [(BINARY, two_classes(400)), (MULTICLASS, three_classes(400)), (REGRESSOR, quantity(400))]
    {
        let rows = data.features.clone();
        let fitted = fit(&[kind, ("epochs", "2")], &only(data)).unwrap();
        let opened = LinearLearner.open(&fitted.signature, &fitted.files).unwrap();
        let whole = opened.predict(rows.view()).unwrap();
        let columns =
            Array2::from_shape_vec(rows.dim().f(), rows.t().iter().copied().collect::<Vec<f32>>())
                .unwrap();
        assert!(columns == rows && columns.as_slice().is_none());
        assert_eq!(opened.predict(columns.view()).unwrap(), whole);
        let width = numbers(&whole).len() / rows.nrows();
        for row in 0..rows.nrows() {
            let one = opened.predict(rows.slice_axis(Axis(0), Slice::from(row..=row))).unwrap();
            let expected = &numbers(&whole)[row * width..(row + 1) * width];
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(numbers(&one)), bits(expected));
        }
    }
}

#[test]
fn a_large_batch_on_threads_answers_as_a_small_one() {
    let rows = features(900_000, 5);
    let fitted = fit(&[BINARY, ("epochs", "1")], &only(two_classes(400))).unwrap();
    let opened = LinearLearner.open(&fitted.signature, &fitted.files).unwrap();
    let large = opened.predict(rows.view()).unwrap();
    for from in (0..900_000).step_by(90_001) {
        let to = (from + 10).min(900_000);
        let part = opened.predict(rows.slice_axis(Axis(0), Slice::from(from..to))).unwrap();
        assert_eq!(numbers(&part), &numbers(&large)[from..to]);
    }
}

#[test]
fn strange_numbers_get_an_answer_that_is_a_number() {
    let strange = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e-45, -0.0];
    for (kind, mut data) in
        [(BINARY, two_classes(400)), (MULTICLASS, three_classes(400)), (REGRESSOR, quantity(400))]
    {
        data.features.column_mut(4).fill(3.0);
        let fitted = fit(&[kind, ("epochs", "3")], &only(data)).unwrap();
        let rows = Array2::from_shape_fn((49, 5), |(row, column)| {
            strange[(row / (1 + 6 * (column % 2))) % 7]
        });
        let answer = answer(&fitted, &rows);
        assert!(numbers(&answer).iter().all(|score| score.is_finite()), "{answer:?}");
    }
}

#[test]
fn missing_values_are_learned_around() {
    let mut data = two_classes(2000);
    for (at, value) in data.features.iter_mut().enumerate() {
        if at % 17 == 0 {
            *value = f32::NAN;
        }
    }
    let fitted = fit(&[BINARY], &only(data)).unwrap();
    assert!(figure(&fitted, "train:binary_classification_accuracy") > 0.9);
}

#[test]
fn what_is_wrong_with_the_data_is_said_by_channel_and_row() {
    let mut one_class = two_classes(50);
    one_class.label = Some(Labels::Number(vec![1.0; 50]));
    assert!(refusal(fit(&[BINARY], &only(one_class))).contains("with one class only"));
    let mut outside = three_classes(50);
    outside.label = Some(Labels::Number((0..50).map(|row| (row % 5) as f32 + 3.0).collect()));
    assert_eq!(
        refusal(fit(&[MULTICLASS, ("num_classes", "5")], &only(outside))),
        "row 3 of channel train: label 5 is outside 0..=4 (num_classes = 5)"
    );
    let mut infinite = quantity(50);
    infinite.features[[7, 2]] = f32::INFINITY;
    assert_eq!(
        refusal(fit(&[REGRESSOR], &only(infinite))),
        "row 8 of channel train has an infinite value in feature 3"
    );
    let narrow = Dataset { features: features(50, 4), ..two_classes(50) };
    let data = Channels { train: two_classes(50), validation: Some(narrow), test: None };
    assert_eq!(
        refusal(fit(&[BINARY], &data)),
        "channel validation has 4 features and channel train 5"
    );
    let said = refusal(fit(&[BINARY, ("feature_dim", "6")], &only(two_classes(50))));
    assert_eq!(said, "channel train has 5 features and feature_dim is 6");
    let data = Channels { train: two_classes(50), validation: Some(three_classes(50)), test: None };
    assert!(refusal(fit(&[BINARY], &data)).contains("which no row of channel train has"));
    let weighted = Dataset { weight: Some(vec![-1.0; 50]), ..two_classes(50) };
    assert_eq!(refusal(fit(&[BINARY], &only(weighted))), "row 1 of channel train has weight -1");
}

#[test]
fn threat_35_a_learning_rate_far_too_high_is_an_error_and_not_a_model() {
    let pairs = [REGRESSOR, ("optimizer", "sgd"), ("learning_rate", "1e30"), ("num_models", "1")];
    assert!(matches!(fit(&pairs, &only(quantity(200))), Err(Error::Diverged { .. })));
    // Beside models that do not diverge it costs nothing.
    let pairs = [REGRESSOR, ("optimizer", "sgd"), ("learning_rate", "2.0"), ("num_models", "40")];
    assert!(figure(&fit(&pairs, &only(quantity(900))).unwrap(), "train:rmse") < 0.1);
}

#[test]
fn words_are_classes_and_row_weights_count() {
    let mut data = two_classes(500);
    let Some(Labels::Number(label)) = data.label.take() else { panic!() };
    let codes = label.iter().map(|label| *label as u32).collect();
    data.label = Some(Labels::Text { codes, names: vec!["no".into(), "yes".into()] });
    let fitted = fit(&[BINARY], &only(data.clone())).unwrap();
    let expected = LabelNames::Words(vec!["no".into(), "yes".into()]);
    assert_eq!(fitted.signature.labels, Some(expected));
    // Without weight the positive rows leave no trace but their number in the domain.
    data.weight = Some(label.iter().map(|label| 1.0 - label).collect());
    let fitted = fit(&[BINARY], &only(data)).unwrap();
    assert_eq!(figure(&fitted, "train:binary_classification_accuracy"), 1.0);
    assert!(fitted.metrics.iter().all(|metric| !metric.name.ends_with("roc_auc_score")));
}

#[test]
fn balanced_weights_raise_recall_of_a_rare_class() {
    let mut data = two_classes(3000);
    let label = plane(&data.features)
        .iter()
        .enumerate()
        .map(|(row, v)| f32::from(*v + 4.0 * noise(row, 77) > 15.0))
        .collect();
    data.label = Some(Labels::Number(label));
    let half = ("binary_classifier_model_selection_criteria", "loss_function");
    let plain = fit(&[BINARY, half], &only(data.clone())).unwrap();
    let pairs = [BINARY, half, ("positive_example_weight_mult", "balanced")];
    let balanced = fit(&pairs, &only(data)).unwrap();
    let recall = |fitted: &Fitted| figure(fitted, "train:recall");
    assert!(recall(&balanced) > recall(&plain) + 0.2, "{} {}", recall(&balanced), recall(&plain));
}

#[test]
fn the_threshold_reaches_its_target_on_validation() {
    let mut data = two_classes(3000);
    let label = plane(&data.features)
        .iter()
        .enumerate()
        .map(|(row, v)| f32::from(*v + 4.0 * noise(row, 77) > 12.0))
        .collect();
    data.label = Some(Labels::Number(label));
    let data = Channels { train: data.clone(), validation: Some(data), test: None };
    let name = "binary_classifier_model_selection_criteria";
    let pairs = [BINARY, (name, "precision_at_target_recall"), ("target_recall", "0.95")];
    let fitted = fit(&pairs, &data).unwrap();
    assert!(figure(&fitted, "validation:recall") >= 0.95);
    let pairs = [BINARY, (name, "recall_at_target_precision"), ("target_precision", "0.97")];
    let fitted = fit(&pairs, &data).unwrap();
    assert!(figure(&fitted, "validation:precision") >= 0.97);
}

#[test]
fn a_model_that_was_tampered_with_is_refused_without_a_panic() {
    let fitted = fit(&[MULTICLASS, ("epochs", "1")], &only(three_classes(200))).unwrap();
    let open =
        |signature: &Signature, files: &Files| LinearLearner.open(signature, files).map(|_| ());
    open(&fitted.signature, &fitted.files).unwrap();
    let bytes = &fitted.files["model.safetensors"];
    for length in 0..bytes.len() {
        let cut = Files::from([("model.safetensors".to_owned(), bytes[..length].to_vec())]);
        assert!(open(&fitted.signature, &cut).is_err(), "{length}");
    }
    let mut signature = fitted.signature.clone();
    for features in [0, 4, 6, usize::MAX] {
        signature.features = features;
        assert!(open(&signature, &fitted.files).is_err(), "{features}");
    }
    let mut signature = fitted.signature.clone();
    signature.labels = None;
    assert!(open(&signature, &fitted.files).is_err());
    signature.labels = Some(LabelNames::Numbers(vec![0.0, 1.0]));
    assert!(open(&signature, &fitted.files).is_err());
    assert!(open(&fitted.signature, &Files::new()).is_err());
}

pub(crate) fn shared() -> Option<PathBuf> {
    let fallback = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let place = std::env::var_os("SMRT_SHARED").map_or(fallback, PathBuf::from).join("data");
    place.is_dir().then_some(place)
}

/// Label first, numbers only, no header.
pub(crate) fn read(path: &Path) -> Dataset {
    let mut text = String::new();
    if path.exists() {
        text = std::fs::read_to_string(path).unwrap();
    } else {
        let file = std::fs::File::open(path.with_extension("csv.gz")).unwrap();
        flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    }
    let (mut label, mut values) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut cells = line.split(',').map(|cell| cell.trim().parse().unwrap_or(f32::NAN));
        label.push(cells.next().unwrap());
        values.extend(cells);
    }
    let width = values.len() / label.len();
    let features = Array2::from_shape_vec((label.len(), width), values).unwrap();
    dataset(Labels::Number(label), features)
}

/// The hyperparameters of a job file under `examples/quality`.
pub(crate) fn job(name: &str) -> RawParameters {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quality");
    let text = std::fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
    let file: toml::Table = text.parse().unwrap();
    let pairs = file["hyperparameters"].as_table().unwrap();
    let texts: BTreeMap<&str, String> = pairs
        .iter()
        .map(|(name, value)| {
            (name.as_str(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
        .collect();
    raw(&texts.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>())
}

/// Held-out figures of scikit-learn's LogisticRegression and LinearRegression (REFERENCE.md).
const REFERENCE: [(&str, &[(&str, f64)]); 6] = [
    ("adult", &[("binary_classification_accuracy", 0.8525), ("roc_auc_score", 0.9044)]),
    ("nsl_kdd", &[("binary_classification_accuracy", 0.7539), ("roc_auc_score", 0.8714)]),
    ("mlc_churn", &[("binary_classification_accuracy", 0.8712), ("roc_auc_score", 0.8146)]),
    ("letter", &[("multiclass_accuracy", 0.772)]),
    ("mnist", &[("multiclass_accuracy", 0.8895)]),
    ("california_housing", &[("rmse", 0.6875)]),
];

#[test]
fn on_real_data_it_is_as_good_as_logistic_and_linear_regression() {
    let Some(data) = shared() else {
        eprintln!("skipped: the shared data do not lie beside this checkout");
        return;
    };
    for (set, expected) in REFERENCE {
        let train = read(&data.join(set).join("train.csv"));
        let test = Some(read(&data.join(set).join("test.csv")));
        let channels = Channels { train, validation: None, test };
        let fitted =
            fit_with(&job(&format!("{set}-linear")), &channels, &|| false, &mut Kept::default())
                .unwrap();
        for (name, reference) in expected {
            let found = figure(&fitted, &format!("test:{name}"));
            eprintln!("{set} {name}: reference {reference:.4}, ours {found:.4}");
            assert!((found - reference).abs() <= 0.005, "{set} {name} {found}");
        }
    }
}

/// Needs a build with `--features wgpu` and a Vulkan driver; Mesa's software one will do.
#[cfg(feature = "wgpu")]
#[test]
fn a_gpu_learns_what_the_cpu_learns() {
    use smrt::algorithm::device::open;
    use smrt::spec::train::DeviceChoice::{Cpu, Wgpu};
    for (pairs, data) in [
        (&[BINARY][..], two_classes(600)),
        (&[MULTICLASS], three_classes(600)),
        (&[REGRESSOR], quantity(600)),
        (&[REGRESSOR, ("loss", "huber_loss"), ("optimizer", "rmsprop")], quantity(600)),
    ] {
        let rows = data.features.clone();
        let data = only(data);
        // One model: among several, two that are equally good may change places.
        let raw = raw(&[pairs, &[("epochs", "3"), ("num_models", "1")]].concat());
        let answers = [Cpu, Wgpu(0)].map(|choice| {
            let kept = &mut Kept::default();
            let fitted = fit_on(open(choice).unwrap(), &raw, &data, &|| false, kept).unwrap();
            numbers(&answer(&fitted, &rows)).to_vec()
        });
        let pairs_of = answers[0].iter().zip(&answers[1]);
        let away = pairs_of.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        eprintln!("linear-learner {pairs:?}: the scores are at most {away} apart");
        assert!(away < 1e-4, "{pairs:?}: {away}");
    }
}
