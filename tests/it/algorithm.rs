//! `mlp` through the traits that a job and an endpoint use, and the table it is found in.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array2, Axis, Slice};
use smrt::algorithm::{
    Channels, Checkpoints, Context, Error, Files, Fitted, Metric, Observer, Predictor, Progress,
    Table, device,
};
use smrt::data::{Answer, Dataset, LabelNames, Labels, Task, Values};
use smrt::fault::{Fault, Kind};
use smrt::spec::parameter::{Raw, RawParameters, RawValue};
use smrt::spec::problem::Problems;
use smrt::spec::train::DeviceChoice;

use crate::linear;

/// Rows whose label follows from a curve through the first two of four features.
fn curve(rows: usize) -> Dataset {
    let value =
        |(row, column): (usize, usize)| ((row * 37 + column * 101) as f32 * 0.617).sin() * 3.0;
    let features = Array2::from_shape_fn((rows, 4), value);
    let inside = |row: ndarray::ArrayView1<'_, f32>| f32::from(row[0] * row[0] + row[1] > 2.0);
    let label = features.axis_iter(Axis(0)).map(inside).collect();
    dataset(features, Labels::Number(label))
}

fn dataset(features: Array2<f32>, label: Labels) -> Dataset {
    Dataset { label: Some(label), ..Dataset::of(features) }
}

fn only(train: Dataset) -> Channels {
    Channels { train, validation: None, test: None }
}

fn raw(pairs: &[(&str, &str)]) -> RawParameters {
    let one = |(name, text): &(&str, &str)| {
        ((*name).to_owned(), Raw { value: RawValue::Text((*text).to_owned()), line: None })
    };
    pairs.iter().map(one).collect()
}

#[derive(Default)]
struct Heard {
    epochs: Vec<Vec<Metric>>,
}

impl Observer for Heard {
    fn step(&mut self, progress: Progress) {
        assert!(progress.rows_done <= progress.rows_total);
    }

    fn epoch(&mut self, epoch: usize, metrics: &[Metric]) {
        assert!(!metrics.is_empty(), "epoch {epoch} has metrics");
        self.epochs.push(metrics.to_vec());
    }
}

/// Keeps the last checkpoint, and gives it to the next training.
#[derive(Default)]
struct Kept {
    due: bool,
    state: Option<Files>,
    resume: bool,
}

impl Checkpoints for Kept {
    fn due(&self) -> bool {
        self.due
    }

    fn save(&mut self, state: &Files) -> Result<(), Error> {
        self.state = Some(state.clone());
        Ok(())
    }

    fn take(&mut self) -> Option<Files> {
        if self.resume { self.state.take() } else { None }
    }
}

/// A training as the lead of a job runs it.
struct Job<'a> {
    parameters: &'a [(&'a str, &'a str)],
    data: &'a Channels,
    threads: usize,
    seed: u64,
    device: DeviceChoice,
}

fn fit(
    parameters: &RawParameters,
    data: &Channels,
    context: &mut Context<'_>,
) -> Result<Fitted, Error> {
    let mut problems = Problems::default();
    let trainer = Table::builtin().get("mlp").unwrap().trainer(parameters, &mut problems);
    trainer.unwrap_or_else(|| panic!("{problems:?}")).fit(data, context)
}

impl<'a> Job<'a> {
    fn new(parameters: &'a [(&'a str, &'a str)], data: &'a Channels) -> Job<'a> {
        Job { parameters, data, threads: 2, seed: 7, device: DeviceChoice::Cpu }
    }

    fn run_with(
        &self,
        stop: &(dyn Fn() -> bool + Sync),
        kept: &mut Kept,
        heard: &mut Heard,
    ) -> Result<Fitted, Error> {
        let mut context = Context {
            device: device::open(self.device).unwrap(),
            threads: self.threads,
            seed: self.seed,
            stop,
            observer: heard,
            checkpoints: kept,
        };
        fit(&raw(self.parameters), self.data, &mut context)
    }

    fn run(&self) -> Result<Fitted, Error> {
        self.run_with(&|| false, &mut Kept::default(), &mut Heard::default())
    }

    fn refusal(&self) -> Error {
        self.run().expect_err("this cannot be learned from")
    }
}

fn open(fitted: &Fitted) -> Box<dyn Predictor> {
    Table::builtin().get("mlp").unwrap().open(&fitted.signature, &fitted.files).unwrap()
}

fn scores(answer: &Answer) -> &[f32] {
    match &answer.fields[0].values {
        Values::Number(scores) | Values::Vector { values: scores, .. } => scores,
        _ => panic!("the first field is the score"),
    }
}

fn metric(fitted: &Fitted, name: &str) -> f64 {
    let found = fitted.metrics.iter().find(|metric| metric.name == name);
    found.unwrap_or_else(|| panic!("{name} is not in {:?}", fitted.metrics)).value
}

const BINARY: &[(&str, &str)] = &[
    ("predictor_type", "binary_classifier"),
    ("hidden_layers", "16,8"),
    ("epochs", "30"),
    ("mini_batch_size", "50"),
];

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = BINARY.iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    kept.chain(more).copied().collect()
}

#[test]
fn a_curve_is_learned_and_the_metrics_have_sagemakers_names() {
    let all = curve(3_000);
    let part = |from: usize, to: usize| {
        let Some(Labels::Number(label)) = &all.label else { panic!() };
        let features = all.features.slice_axis(Axis(0), Slice::from(from..to)).to_owned();
        dataset(features, Labels::Number(label[from..to].to_vec()))
    };
    let data = Channels {
        train: part(0, 2_000),
        validation: Some(part(2_000, 2_500)),
        test: Some(part(2_500, 3_000)),
    };
    let mut heard = Heard::default();
    let fitted =
        Job::new(BINARY, &data).run_with(&|| false, &mut Kept::default(), &mut heard).unwrap();
    for channel in ["train", "validation", "test"] {
        let accuracy = metric(&fitted, &format!("{channel}:binary_classification_accuracy"));
        assert!(accuracy > 0.95, "{channel}: {accuracy}");
        assert!(metric(&fitted, &format!("{channel}:roc_auc_score")) > 0.98);
    }
    assert_eq!(heard.epochs.len(), fitted.epochs);
    let names: Vec<&str> = heard.epochs[0].iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names[..2], ["train:objective_loss", "validation:objective_loss"]);
    assert_eq!(fitted.signature.labels, Some(LabelNames::Numbers(vec![0.0, 1.0])));
    assert_eq!(fitted.signature.threshold, Some(0.5));
}

#[test]
fn the_model_answers_what_was_measured() {
    let data = only(curve(1_000));
    let fitted = Job::new(BINARY, &data).run().unwrap();
    let answer = open(&fitted).predict(data.train.features.view()).unwrap();
    let Some(Labels::Number(labels)) = &data.train.label else { panic!() };
    let right = scores(&answer).iter().zip(labels).filter(|(s, l)| (**s >= 0.5) == (**l == 1.0));
    let accuracy = right.count() as f64 / 1_000.0;
    assert_eq!(accuracy, metric(&fitted, "train:binary_classification_accuracy"));
    assert_eq!((answer.key, answer.fields[1].name), ("predictions", "predicted_label"));
}

#[test]
fn the_same_seed_and_threads_give_the_same_bytes() {
    let data = only(curve(600));
    for more in [&[][..], &[("dropout", "0.2")], &[("batch_norm", "true")]] {
        let parameters = with(more);
        let job = Job::new(&parameters, &data);
        let (one, two) = (job.run().unwrap(), job.run().unwrap());
        assert_eq!(one.files, two.files, "{more:?}");
        assert_eq!(one.metrics, two.metrics);
        let other = Job { seed: 8, ..job };
        assert_ne!(one.files, other.run().unwrap().files);
    }
}

#[test]
fn a_stopped_training_goes_on_to_the_same_bytes() {
    let mut data = only(curve(700));
    for (validation, more) in [
        (false, &[("dropout", "0.1"), ("epochs", "6")][..]),
        (true, &[("optimizer", "rmsprop"), ("momentum", "0.5"), ("epochs", "8")]),
        (true, &[("batch_norm", "true"), ("schedule", "step"), ("epochs", "5")]),
    ] {
        data.validation = validation.then(|| curve(200));
        let parameters = with(more);
        let job = Job::new(&parameters, &data);
        let whole = job.run().unwrap();
        // Stops after so many batches, resumes, and so on; an epoch has 14.
        let mut kept = Kept::default();
        let mut stops = 0;
        let pieces = loop {
            let asked = AtomicUsize::new(0);
            let batches = [1, 17, 5, 30, 9][stops % 5];
            let stop = || asked.fetch_add(1, Ordering::Relaxed) >= batches;
            match job.run_with(&stop, &mut kept, &mut Heard::default()) {
                Ok(fitted) => break fitted,
                Err(Error::Stopped) => stops += 1,
                Err(error) => panic!("{error}"),
            }
            assert!(kept.state.is_some(), "what was learned is handed over");
            kept.resume = true;
        };
        assert!(stops >= 4, "{stops} stops");
        assert_eq!(pieces.files, whole.files);
        assert_eq!((pieces.metrics, pieces.epochs), (whole.metrics, whole.epochs));
    }
}

#[test]
fn a_checkpoint_at_an_epochs_end_goes_on_to_the_same_bytes() {
    let data = only(curve(300));
    let job = Job::new(BINARY, &data);
    let mut kept = Kept { due: true, ..Kept::default() };
    let whole = job.run_with(&|| false, &mut kept, &mut Heard::default()).unwrap();
    kept.resume = true;
    let rest = job.run_with(&|| false, &mut kept, &mut Heard::default()).unwrap();
    assert_eq!(rest.files, whole.files);
}

#[test]
fn another_jobs_checkpoint_is_refused() {
    let data = only(curve(300));
    let mut kept = Kept { due: true, ..Kept::default() };
    Job::new(BINARY, &data).run_with(&|| false, &mut kept, &mut Heard::default()).unwrap();
    kept.resume = true;
    let parameters = with(&[("epochs", "31")]);
    let refused = Job::new(&parameters, &data)
        .run_with(&|| false, &mut kept, &mut Heard::default())
        .unwrap_err();
    assert!(matches!(refused, Error::Checkpoint { .. }), "{refused}");
    assert!(refused.help().unwrap().contains("--resume"));
}

#[test]
fn a_damaged_checkpoint_is_refused_and_never_a_panic() {
    let data = only(curve(100));
    let mut kept = Kept { due: true, ..Kept::default() };
    let parameters = with(&[("epochs", "2"), ("hidden_layers", "2")]);
    let job = Job::new(&parameters, &data);
    job.run_with(&|| false, &mut kept, &mut Heard::default()).unwrap();
    let state = kept.state.clone().unwrap();
    for (name, bytes) in &state {
        for damage in 0..3 {
            let mut files = state.clone();
            match damage {
                0 => files.remove(name).map(|_| ()).unwrap(),
                1 => files.get_mut(name).unwrap().truncate(bytes.len() / 2),
                _ => files.get_mut(name).unwrap()[8] ^= 0xff,
            }
            let mut kept = Kept { state: Some(files), resume: true, due: false };
            let answer = job.run_with(&|| false, &mut kept, &mut Heard::default());
            assert!(answer.is_err(), "{name} with damage {damage}");
        }
    }
}

#[test]
fn a_batch_answers_as_its_rows_do() {
    let data = only(curve(500));
    let fitted = Job::new(BINARY, &data).run().unwrap();
    let model = open(&fitted);
    let rows = curve(133).features;
    let together = model.predict(rows.view()).unwrap();
    let by_column = rows.t().as_standard_layout().into_owned();
    assert_eq!(model.predict(by_column.t()).unwrap(), together, "in column-major order");
    for (at, row) in rows.axis_iter(Axis(0)).enumerate() {
        let alone = model.predict(row.insert_axis(Axis(0))).unwrap();
        assert_eq!(scores(&alone)[0].to_bits(), scores(&together)[at].to_bits(), "row {at}");
    }
    assert_eq!(model.predict(rows.slice_axis(Axis(0), Slice::from(0..0))).unwrap().rows, 0);
}

#[test]
fn three_classes_of_words_give_shares_and_a_name() {
    let features = curve(900).features;
    let code =
        |row: ndarray::ArrayView1<'_, f32>| if row[0] < -1.0 { 2 } else { u32::from(row[0] < 1.0) };
    let codes = features.axis_iter(Axis(0)).map(code).collect();
    let names = ["wasp", "ant", "bee"].map(str::to_owned).to_vec();
    let data = only(dataset(features, Labels::Text { codes, names }));
    let parameters = with(&[("predictor_type", "multiclass_classifier"), ("activation", "gelu")]);
    let fitted = Job::new(&parameters, &data).run().unwrap();
    assert!(metric(&fitted, "train:multiclass_accuracy") > 0.95);
    let words = ["ant", "bee", "wasp"].map(str::to_owned).to_vec();
    assert_eq!(fitted.signature.labels, Some(LabelNames::Words(words)));
    let answer = open(&fitted).predict(data.train.features.view()).unwrap();
    for shares in scores(&answer).chunks_exact(3) {
        assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{shares:?}");
    }
}

#[test]
fn a_regression_answers_in_the_labels_own_unit() {
    let features = curve(2_000).features;
    let target = |row: ndarray::ArrayView1<'_, f32>| 5_000.0 + 300.0 * row[0] * row[1];
    let label: Vec<f32> = features.axis_iter(Axis(0)).map(target).collect();
    let data = only(dataset(features, Labels::Number(label.clone())));
    for loss in ["squared_loss", "huber_loss"] {
        let parameters = [
            ("predictor_type", "regressor"),
            ("loss", loss),
            ("epochs", "60"),
            ("mini_batch_size", "32"),
        ];
        let fitted = Job::new(&parameters, &data).run().unwrap();
        assert_eq!(fitted.signature.task, Task::Regression);
        let rmse = metric(&fitted, "train:rmse");
        assert!(rmse < 120.0, "{loss}: {rmse}");
        let answer = open(&fitted).predict(data.train.features.view()).unwrap();
        let square = |(a, b): (&f32, &f32)| f64::from(a - b).powi(2);
        let mean = scores(&answer).iter().zip(&label).map(square).sum::<f64>() / 2_000.0;
        assert!((mean.sqrt() - rmse).abs() < 0.5, "{} and {rmse}", mean.sqrt());
    }
}

#[test]
fn missing_values_are_the_mean_and_constant_columns_play_no_part() {
    let mut train = curve(800);
    train.features.column_mut(3).fill(42.0);
    train.features.column_mut(2).iter_mut().step_by(7).for_each(|value| *value = f32::NAN);
    let data = only(train);
    let fitted = Job::new(BINARY, &data).run().unwrap();
    assert!(metric(&fitted, "train:binary_classification_accuracy") > 0.95);
    let answer = open(&fitted).predict(ndarray::arr2(&[[f32::NAN; 4]]).view()).unwrap();
    assert!(scores(&answer)[0].is_finite());
}

#[test]
fn early_stopping_keeps_the_best_epoch() {
    // Labels without reason: what is learned of them makes the validation loss worse.
    let noise = |rows: usize, salt: usize| {
        let label = (0..rows).map(|row| ((row * 7919 + salt) % 13 % 2) as f32).collect();
        dataset(curve(rows).features, Labels::Number(label))
    };
    let data = Channels { train: noise(120, 0), validation: Some(noise(120, 5)), test: None };
    let parameters =
        with(&[("epochs", "400"), ("early_stopping_patience", "4"), ("learning_rate", "0.02")]);
    let mut heard = Heard::default();
    let fitted =
        Job::new(&parameters, &data).run_with(&|| false, &mut Kept::default(), &mut heard).unwrap();
    assert!(fitted.epochs < 400, "ended after {}", fitted.epochs);
    let losses = heard.epochs.iter().map(|metrics| metrics[1].value);
    let best = losses.fold(f64::INFINITY, f64::min);
    assert_eq!(metric(&fitted, "validation:objective_loss"), best);
}

#[test]
fn weights_move_the_answer() {
    let mut data = only(curve(600));
    let called = |parameters: &[(&str, &str)], data: &Channels| {
        let fitted = Job::new(parameters, data).run().unwrap();
        let answer = open(&fitted).predict(data.train.features.view()).unwrap();
        scores(&answer).iter().filter(|score| **score >= 0.5).count()
    };
    let few = with(&[("epochs", "4")]);
    let plain = called(&few, &data);
    let heavy = with(&[("epochs", "4"), ("positive_example_weight_mult", "30")]);
    assert!(called(&heavy, &data) > plain);
    let Some(Labels::Number(labels)) = data.train.label.clone() else { panic!() };
    data.train.weight = Some(labels.iter().map(|label| 1.0 + 29.0 * label).collect());
    assert!(called(&few, &data) > plain);
}

#[test]
fn what_cannot_be_learned_from_is_refused_with_a_way_out() {
    let numbers = |values: Vec<f32>| dataset(curve(values.len()).features, Labels::Number(values));
    type Case<'a> = (Dataset, &'a [(&'a str, &'a str)], &'a str);
    let cases: Vec<Case<'_>> = vec![
        (numbers(vec![1.0; 50]), BINARY, "one class only"),
        (numbers(vec![]), BINARY, "no rows"),
        (numbers(vec![0.0, 1.0, 2.0]), BINARY, "3 distinct values"),
        (numbers(vec![0.0, f32::NAN]), BINARY, "has no label"),
        (Dataset { label: None, ..curve(5) }, BINARY, "has no labels"),
        (
            dataset(Array2::zeros((4, 0)), Labels::Number(vec![0.0, 1.0, 0.0, 1.0])),
            BINARY,
            "no features",
        ),
        (Dataset { weight: Some(vec![-1.0; 5]), ..curve(5) }, BINARY, "has weight -1"),
        (
            numbers(vec![0.0, 1.0, 7.0]),
            &[("predictor_type", "multiclass_classifier"), ("num_classes", "3")],
            "label 7 is outside",
        ),
        (numbers(vec![0.0, f32::INFINITY]), &[("predictor_type", "regressor")], "infinite label"),
        (
            curve(5),
            &[("predictor_type", "binary_classifier"), ("feature_dim", "9")],
            "feature_dim is 9",
        ),
        (
            curve(5),
            &[("predictor_type", "binary_classifier"), ("hidden_layers", "60000,60000")],
            "weights",
        ),
    ];
    for (train, parameters, said) in cases {
        let data = only(train);
        let error = Job::new(parameters, &data).refusal();
        assert!(error.to_string().contains(said), "{said}: {error}");
        assert_eq!(error.kind(), Kind::Data);
        assert!(error.help().is_some());
    }
    let infinite = {
        let mut data = curve(20);
        data.features[[3, 1]] = f32::INFINITY;
        only(data)
    };
    let error = Job::new(BINARY, &infinite).refusal().to_string();
    assert!(error.contains("row 4") && error.contains("feature 2"), "{error}");
    let other = Channels {
        train: curve(50),
        validation: Some(dataset(Array2::zeros((2, 3)), Labels::Number(vec![0.0, 1.0]))),
        test: None,
    };
    let error = Job::new(BINARY, &other).refusal().to_string();
    assert_eq!(error, "channel validation has 3 features and channel train has 4");
}

#[test]
fn threat_35_a_loss_that_stops_being_a_number_is_an_error_with_a_way_out() {
    let data = only(curve(200));
    let parameters = with(&[("optimizer", "sgd"), ("learning_rate", "1e30"), ("momentum", "0")]);
    let error = Job::new(&parameters, &data).refusal();
    assert!(matches!(error, Error::Diverged { .. }), "{error}");
    assert!(error.help().unwrap().contains("learning_rate"));
}

#[test]
fn a_model_from_a_stranger_is_refused_or_answers_and_never_panics() {
    let data = only(curve(100));
    let parameters = with(&[("epochs", "1"), ("hidden_layers", "3"), ("batch_norm", "true")]);
    let fitted = Job::new(&parameters, &data).run().unwrap();
    let definition = Table::builtin().get("mlp").unwrap();
    let row = ndarray::arr2(&[[0.5f32; 4]]);
    for (name, bytes) in &fitted.files {
        let mut files = fitted.files.clone();
        files.remove(name);
        assert!(definition.open(&fitted.signature, &files).is_err(), "without {name}");
        for at in 0..bytes.len() {
            let mut files = fitted.files.clone();
            files.get_mut(name).unwrap().truncate(at);
            assert!(definition.open(&fitted.signature, &files).is_err(), "{name} cut at {at}");
            for flip in [0x01, 0x80] {
                let mut files = fitted.files.clone();
                files.get_mut(name).unwrap()[at] ^= flip;
                if let Ok(model) = definition.open(&fitted.signature, &files) {
                    let _ = model.predict(row.view());
                }
            }
        }
    }
    for features in [0, 3, 5, usize::MAX] {
        let mut signature = fitted.signature.clone();
        signature.features = features;
        assert!(definition.open(&signature, &fitted.files).is_err(), "{features} features");
    }
    let mut signature = fitted.signature.clone();
    signature.labels = None;
    assert!(definition.open(&signature, &fitted.files).is_err());
    signature.task = Task::AnomalyDetection;
    assert!(definition.open(&signature, &fitted.files).is_err());
    let huge = br#"{"version":1,"hidden_layers":[18446744073709551615],"activation":"relu","batch_norm":true}"#;
    let mut files = fitted.files.clone();
    files.insert("mlp.json".into(), huge.to_vec());
    assert!(definition.open(&fitted.signature, &files).is_err());
}

#[test]
fn rows_of_another_width_are_refused() {
    let data = only(curve(100));
    let fitted = Job::new(BINARY, &data).run().unwrap();
    let error = open(&fitted).predict(Array2::zeros((1, 3)).view()).unwrap_err();
    assert_eq!(error.to_string(), "rows have 3 features, the model takes 4");
}

#[test]
fn a_table_takes_a_programs_own_algorithm() {
    let table = Table::builtin();
    let count = table.iter().count();
    let with = table.with(Box::new(smrt::algorithm::mlp::Mlp));
    assert_eq!(with.iter().count(), count, "the same name replaces");
    for definition in with.iter() {
        smrt::algorithm::parameter::table_is_sound(definition.parameters()).unwrap();
        assert!(!definition.summary().is_empty());
    }
}

/// Held-out figures of scikit-learn's MLPClassifier and MLPRegressor (REFERENCE.md).
const REFERENCE: [(&str, &[(&str, f64)]); 6] = [
    ("adult", &[("binary_classification_accuracy", 0.8496), ("roc_auc_score", 0.8981)]),
    ("nsl_kdd", &[("binary_classification_accuracy", 0.7964), ("roc_auc_score", 0.9522)]),
    ("mlc_churn", &[("binary_classification_accuracy", 0.8984), ("roc_auc_score", 0.8611)]),
    ("letter", &[("multiclass_accuracy", 0.9295)]),
    ("mnist", &[("multiclass_accuracy", 0.9455)]),
    ("california_housing", &[("rmse", 0.5278)]),
];

#[test]
fn on_real_data_it_is_as_good_as_scikit_learns_network() {
    let Some(data) = linear::shared() else {
        eprintln!("skipped: the shared data do not lie beside this checkout");
        return;
    };
    for (set, expected) in REFERENCE {
        let train = linear::read(&data.join(set).join("train.csv"));
        let test = Some(linear::read(&data.join(set).join("test.csv")));
        let channels = Channels { train, validation: None, test };
        let mut context = Context {
            device: device::open(DeviceChoice::Cpu).unwrap(),
            threads: 2,
            seed: 7,
            stop: &|| false,
            observer: &mut Heard::default(),
            checkpoints: &mut Kept::default(),
        };
        let job = linear::job(&format!("{set}-mlp"));
        let fitted = fit(&job, &channels, &mut context).unwrap();
        for (name, reference) in expected {
            let found = metric(&fitted, &format!("test:{name}"));
            eprintln!("{set} {name}: reference {reference:.4}, ours {found:.4}");
            let worse = if *name == "rmse" { found - reference } else { reference - found };
            assert!(worse <= 0.01, "{set} {name} {found}");
        }
    }
}

/// Needs a build with `--features wgpu` and a Vulkan driver; Mesa's software one will do.
#[cfg(feature = "wgpu")]
#[test]
fn a_gpu_learns_what_the_cpu_learns() {
    let data = only(curve(600));
    for more in
        [&[][..], &[("batch_norm", "true")], &[("dropout", "0.1"), ("optimizer", "rmsprop")]]
    {
        let parameters = with(&[more, &[("epochs", "3")]].concat());
        let cpu = Job::new(&parameters, &data);
        let gpu = Job { device: DeviceChoice::Wgpu(0), ..Job::new(&parameters, &data) };
        let rows = data.train.features.view();
        let answers = [cpu, gpu].map(|job| open(&job.run().unwrap()).predict(rows).unwrap());
        let pairs = scores(&answers[0]).iter().zip(scores(&answers[1]));
        let away = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        eprintln!("mlp {more:?}: the scores are at most {away} apart");
        assert!(away < 1e-4, "{more:?}: {away}");
    }
}
