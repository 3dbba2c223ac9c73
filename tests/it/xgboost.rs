//! Integration tests of the algorithm `xgboost`: fitted, saved, opened, resumed, attacked, and
//! compared with PyPI `xgboost` where the environment variable SMRT_PYTHON names a Python that
//! has it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array2, Axis, Slice};
use smrt::algorithm::device::Device;
use smrt::algorithm::xgboost::boost::plain_signature;
use smrt::algorithm::xgboost::document::{self, Value};
use smrt::algorithm::xgboost::ensemble::{Ensemble, MODEL_FILE};
use smrt::algorithm::xgboost::explain::Explainer;
use smrt::algorithm::xgboost::{Xgboost, read};
use smrt::algorithm::{
    Channels, Checkpoints, Context, Definition, Error, Files, Fitted, Metric, Observer, Progress,
};
use smrt::data::{Dataset, LabelNames, Labels, Task, Values};
use smrt::spec::parameter::{Raw, RawParameters, RawValue};
use smrt::spec::problem::Problems;

/// Hears metrics, keeps checkpoints.
#[derive(Default)]
struct Witness {
    epochs: Vec<Vec<Metric>>,
}

impl Observer for Witness {
    fn step(&mut self, progress: Progress) {
        assert!(progress.rows_done <= progress.rows_total);
    }
    fn epoch(&mut self, epoch: usize, metrics: &[Metric]) {
        assert_eq!(epoch % 1000, epoch);
        self.epochs.push(metrics.to_vec());
    }
}

#[derive(Default)]
struct Shelf {
    kept: Option<Files>,
    given: Option<Files>,
}

impl Checkpoints for Shelf {
    fn due(&self) -> bool {
        false
    }
    fn save(&mut self, state: &Files) -> Result<(), Error> {
        self.kept = Some(state.clone());
        Ok(())
    }
    fn take(&mut self) -> Option<Files> {
        self.given.take()
    }
}

fn raw(given: &[(&str, &str)]) -> RawParameters {
    let one = |(name, value): &(&str, &str)| {
        let value = RawValue::Text((*value).to_owned());
        ((*name).to_owned(), Raw { value, line: None })
    };
    given.iter().map(one).collect()
}

struct Run {
    threads: usize,
    seed: u64,
    stop_after: usize,
    shelf: Shelf,
    witness: Witness,
}

impl Default for Run {
    fn default() -> Run {
        let (shelf, witness) = (Shelf::default(), Witness::default());
        Run { threads: 2, seed: 7, stop_after: usize::MAX, shelf, witness }
    }
}

impl Run {
    fn fit(&mut self, channels: &Channels, given: &[(&str, &str)]) -> Result<Fitted, Error> {
        let mut problems = Problems::default();
        let trainer = Xgboost.trainer(&raw(given), &mut problems);
        let trainer = trainer.unwrap_or_else(|| panic!("{problems:?}"));
        let asked = AtomicUsize::new(0);
        let stop_after = self.stop_after;
        let stop = || asked.fetch_add(1, Ordering::Relaxed) >= stop_after;
        trainer.fit(
            channels,
            &mut Context {
                device: Device::flex(),
                threads: self.threads,
                seed: self.seed,
                stop: &stop,
                observer: &mut self.witness,
                checkpoints: &mut self.shelf,
            },
        )
    }
}

fn fit(channels: &Channels, given: &[(&str, &str)]) -> Result<Fitted, Error> {
    Run::default().fit(channels, given)
}

/// A number from 0 to 1 that follows from a place.
fn noise(row: usize, column: usize) -> f32 {
    let mut x = (row as u64) << 20 | (column as u64 + 1);
    for _ in 0..3 {
        x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    (x >> 40) as f32 / (1u64 << 24) as f32
}

/// Rows of six columns: uniform, few values, missing now and then, constant.
fn features(rows: usize, salt: usize) -> Array2<f32> {
    Array2::from_shape_fn((rows, 6), |(row, column)| {
        let value = noise(row, column + 10 * salt);
        match column {
            3 => (value * 5.0).floor(),
            4 if noise(row, 99 + salt) < 0.2 => f32::NAN,
            5 => 4.0,
            _ => value,
        }
    })
}

fn signal(x: &Array2<f32>, row: usize) -> f32 {
    let at = |column: usize| if x[[row, column]].is_nan() { 0.7 } else { x[[row, column]] };
    2.0 * at(0) * at(1) + (at(2) * 6.0).sin() / 2.0 + at(3) / 10.0 + at(4)
}

fn dataset(features: Array2<f32>, label: Vec<f32>) -> Dataset {
    let label = Some(Labels::Number(label));
    Dataset { label, ..Dataset::of(features) }
}

#[derive(Clone, Copy)]
enum Kind {
    Real,
    Two,
    Three,
    Count,
}

fn part(rows: usize, salt: usize, kind: Kind) -> Dataset {
    let x = features(rows, salt);
    let label = (0..rows).map(|row| {
        let value = signal(&x, row) + noise(row, 500 + salt) / 4.0;
        match kind {
            Kind::Real => value + 1.0,
            Kind::Two => f32::from(value > 1.6),
            Kind::Three => f32::from(value > 1.2) + f32::from(value > 2.0),
            Kind::Count => (value.max(0.0) * 2.0).floor(),
        }
    });
    let label = label.collect();
    dataset(x, label)
}

fn channels(kind: Kind) -> Channels {
    Channels { train: part(3000, 0, kind), validation: Some(part(1000, 1, kind)), test: None }
}

fn scores(fitted: &Fitted, x: &Array2<f32>) -> Vec<f32> {
    let opened = Xgboost.open(&fitted.signature, &fitted.files).unwrap();
    let answer = opened.predict(x.view()).unwrap();
    assert_eq!((answer.key, answer.rows), ("predictions", x.nrows()));
    match &answer.fields[0].values {
        Values::Number(values) | Values::Vector { values, .. } => values.clone(),
        Values::Class { codes, .. } => codes.iter().map(|code| *code as f32).collect(),
        other => panic!("the first field is the answer, not {other:?}"),
    }
}

fn metric(metrics: &[Metric], name: &str) -> f64 {
    metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("{metrics:?}")).value
}

const LOGISTIC: (&str, &str) = ("objective", "binary:logistic");

#[test]
fn a_classifier_learns_and_its_file_answers() {
    let data = channels(Kind::Two);
    let mut run = Run::default();
    let fitted =
        run.fit(&data, &[LOGISTIC, ("num_round", "30"), ("eval_metric", "auc,error")]).unwrap();
    assert_eq!(run.witness.epochs.len(), 30);
    assert!(metric(&fitted.metrics, "train:auc") > 0.98);
    assert!(metric(&fitted.metrics, "validation:auc") > 0.96);
    assert_eq!(fitted.signature.task, Task::BinaryClassification);
    assert_eq!(fitted.signature.labels, Some(LabelNames::Numbers(vec![0.0, 1.0])));
    assert!(scores(&fitted, &features(50, 3)).iter().all(|score| (0.0..=1.0).contains(score)));
}

#[test]
fn the_model_does_not_depend_on_threads() {
    let data = Channels { train: part(40_000, 0, Kind::Two), validation: None, test: None };
    let given = [
        LOGISTIC,
        ("num_round", "4"),
        ("subsample", "0.8"),
        ("colsample_bytree", "0.8"),
        ("colsample_bynode", "0.7"),
    ];
    let of = |threads| Run { threads, ..Run::default() }.fit(&data, &given).unwrap().files;
    let one = of(1);
    assert_eq!(one, of(2));
    assert_eq!(one, of(5));
    let other = Run { seed: 8, ..Run::default() }.fit(&data, &given).unwrap().files;
    assert_ne!(one, other);
}

#[test]
fn a_stopped_training_goes_on_to_the_same_bits() {
    let data = channels(Kind::Three);
    let given = [
        ("objective", "multi:softprob"),
        ("num_class", "3"),
        ("num_round", "9"),
        ("subsample", "0.7"),
        ("num_parallel_tree", "2"),
        ("early_stopping_rounds", "5"),
    ];
    let whole = fit(&data, &given).unwrap();
    let mut stopped = Run { stop_after: 4, ..Run::default() };
    assert!(matches!(stopped.fit(&data, &given), Err(Error::Stopped)));
    let kept = stopped.shelf.kept.expect("a stopped training leaves a checkpoint");
    let shelf = || Shelf { given: Some(kept.clone()), kept: None };
    let mut resumed = Run { shelf: shelf(), ..Run::default() };
    let rest = resumed.fit(&data, &given).unwrap();
    assert_eq!(resumed.witness.epochs.len(), 5);
    assert_eq!(rest.files, whole.files);
    assert_eq!(rest.metrics, whole.metrics);
    let mut other = given;
    other[2].1 = "10";
    let said = Run { shelf: shelf(), ..Run::default() }.fit(&data, &other).unwrap_err();
    assert!(said.to_string().contains("other parameters"), "{said}");
}

#[test]
fn early_stopping_keeps_the_best_rounds() {
    let data = channels(Kind::Two);
    let given = [LOGISTIC, ("num_round", "300"), ("early_stopping_rounds", "5"), ("eta", "0.5")];
    let mut run = Run::default();
    let fitted = run.fit(&data, &given).unwrap();
    let ran = run.witness.epochs.len();
    assert!(ran < 300);
    assert_eq!(fitted.epochs, ran - 5);
    let figure = |metrics: &Vec<Metric>| metric(metrics, "validation:logloss");
    let best = run.witness.epochs.iter().map(figure).fold(f64::INFINITY, f64::min);
    assert_eq!(metric(&fitted.metrics, "validation:logloss"), best);
    let model = read(&fitted.files).unwrap();
    assert_eq!(model.attributes["best_iteration"], (fitted.epochs - 1).to_string());
    let lonely = Channels { train: part(100, 0, Kind::Two), validation: None, test: None };
    assert!(fit(&lonely, &given).unwrap_err().to_string().contains("validation"));
}

#[test]
fn monotone_constraints_hold_everywhere() {
    let data = channels(Kind::Real);
    for (policy, leaves) in [("depthwise", "0"), ("lossguide", "40")] {
        let given = [
            ("num_round", "40"),
            ("monotone_constraints", "(1,-1,0)"),
            ("grow_policy", policy),
            ("max_leaves", leaves),
        ];
        let fitted = fit(&data, &given).unwrap();
        for row in 0..40 {
            for (column, sign) in [(0, 1.0), (1, -1.0)] {
                let base = features(row + 1, 5).row(row).to_owned();
                let line = Array2::from_shape_fn((50, 6), |(step, at)| {
                    if at == column { step as f32 / 49.0 } else { base[at] }
                });
                let scores = scores(&fitted, &line);
                assert!(scores.windows(2).all(|pair| sign * (pair[1] - pair[0]) >= -1e-5));
            }
        }
    }
}

#[test]
fn interaction_constraints_keep_columns_apart() {
    let data = channels(Kind::Real);
    let given = [("num_round", "20"), ("interaction_constraints", "[[0,1],[2,3,4]]")];
    let model = read(&fit(&data, &given).unwrap().files).unwrap();
    let mut together = 0;
    for tree in &model.trees {
        for (at, _) in tree.nodes.iter().enumerate().filter(|(_, node)| node.is_leaf()) {
            let (mut up, mut seen) = (tree.nodes[at].parent, [false; 2]);
            let mut distinct = std::collections::BTreeSet::new();
            while let Some(node) = tree.nodes.get(up as usize) {
                seen[usize::from(node.feature >= 2)] = true;
                distinct.insert(node.feature);
                up = node.parent;
            }
            assert!(!(seen[0] && seen[1]));
            together += usize::from(distinct.len() > 1);
        }
    }
    assert!(together > 0);
}

#[test]
fn limits_of_depth_leaves_weight_and_gain_hold() {
    let data = channels(Kind::Real);
    let of = |given: &[(&str, &str)]| {
        let given: Vec<(&str, &str)> = [&[("num_round", "5")], given].concat();
        read(&fit(&data, &given).unwrap().files).unwrap().trees
    };
    assert!(of(&[("max_depth", "3")]).iter().all(|tree| tree.depth() <= 3));
    for policy in ["depthwise", "lossguide"] {
        let trees = of(&[("grow_policy", policy), ("max_leaves", "11"), ("max_depth", "0")]);
        let leaves = |tree: &smrt::algorithm::xgboost::tree::Tree| {
            tree.nodes.iter().filter(|node| node.is_leaf()).count()
        };
        assert!(trees.iter().all(|tree| leaves(tree) == 11), "{policy}");
    }
    let heavy = of(&[("min_child_weight", "200")]);
    assert!(heavy.iter().flat_map(|tree| &tree.nodes).all(|node| node.cover >= 200.0));
    let plain = of(&[]).iter().map(|tree| tree.nodes.len()).sum::<usize>();
    let gained = of(&[("gamma", "5")]);
    assert!(gained.iter().map(|tree| tree.nodes.len()).sum::<usize>() < plain);
    let inner = gained.iter().flat_map(|tree| &tree.nodes).filter(|node| !node.is_leaf());
    assert!(inner.into_iter().all(|node| node.gain >= 5.0));
    let small = of(&[("max_delta_step", "0.1"), ("eta", "1")]);
    let leaves = small.iter().flat_map(|tree| &tree.nodes).filter(|node| node.is_leaf());
    assert!(leaves.into_iter().all(|node| node.value.abs() <= 0.1 + 1e-6));
}

#[test]
fn a_weight_counts_as_so_many_rows() {
    let once = part(2000, 0, Kind::Two);
    let weight: Vec<f32> = (0..2000).map(|row| (row % 3) as f32).collect();
    let rows: Vec<usize> = (0..2000).flat_map(|row| vec![row; row % 3]).collect();
    let Some(Labels::Number(labels)) = &once.label else { panic!("labels are numbers") };
    let many = dataset(
        once.features.select(Axis(0), &rows),
        rows.iter().map(|row| labels[*row]).collect(),
    );
    let weighted = Dataset { weight: Some(weight), ..once.clone() };
    let given = [LOGISTIC, ("num_round", "5"), ("max_bin", "4096")];
    let of = |train| fit(&Channels { train, validation: None, test: None }, &given).unwrap();
    let (one, two) = (of(weighted), of(many));
    let x = features(300, 4);
    let close = |(a, b): (f32, f32)| (a - b).abs() < 1e-4;
    let (one, two) = (scores(&one, &x), scores(&two, &x));
    let alike = one.into_iter().zip(two).filter(|pair| close(*pair)).count();
    // Rows without weight still offer places to cut, so a few thresholds differ.
    assert!(alike > 270, "{alike} of 300");
}

#[test]
fn words_become_classes_and_come_back() {
    let mut data = channels(Kind::Three);
    for part in [Some(&mut data.train), data.validation.as_mut()].into_iter().flatten() {
        let Some(Labels::Number(labels)) = &part.label else { panic!("labels are numbers") };
        let codes = labels.iter().map(|label| *label as u32).collect();
        let names = ["low", "middle", "upper"].map(str::to_owned).to_vec();
        part.label = Some(Labels::Text { codes, names });
    }
    let given = [("objective", "multi:softmax"), ("num_class", "3"), ("num_round", "10")];
    let fitted = fit(&data, &given).unwrap();
    let opened = Xgboost.open(&fitted.signature, &fitted.files).unwrap();
    let answer = opened.predict(data.train.features.view()).unwrap();
    let Values::Class { codes, names } = &answer.fields[0].values else { panic!("{answer:?}") };
    let words = ["low", "middle", "upper"].map(str::to_owned).to_vec();
    assert_eq!(**names, LabelNames::Words(words));
    let Some(Labels::Text { codes: truth, .. }) = &data.train.label else { panic!("words") };
    assert!(codes.iter().zip(truth).filter(|(a, b)| a == b).count() > 2700);
    let said = fit(&data, &[LOGISTIC, ("num_round", "1")]).unwrap_err();
    assert!(said.to_string().contains("3 distinct labels"), "{said}");
}

#[test]
fn data_that_cannot_be_learned_from_are_refused_in_words() {
    let bad = |label: f32, given: &[(&str, &str)]| {
        let mut data = channels(Kind::Two);
        let Some(Labels::Number(labels)) = &mut data.train.label else { panic!("numbers") };
        labels[4] = label;
        let given: Vec<(&str, &str)> = [&[("num_round", "1")], given].concat();
        fit(&data, &given).unwrap_err().to_string()
    };
    assert_eq!(
        bad(3.0, &[LOGISTIC]),
        "label must be in [0,1] for logistic regression: row 5 of channel train has 3"
    );
    assert!(bad(f32::NAN, &[LOGISTIC]).contains("row 5 of channel train has no label"));
    let multi = [("objective", "multi:softprob"), ("num_class", "3")];
    assert!(bad(7.0, &multi).contains("range of [0, num_class)"));
    assert!(bad(-1.0, &[("objective", "count:poisson")]).contains("non-negative"));
    let mut data = channels(Kind::Two);
    data.train.features[[1, 2]] = f32::INFINITY;
    let said = fit(&data, &[LOGISTIC, ("num_round", "1")]).unwrap_err().to_string();
    assert_eq!(said, "row 2 of channel train has an infinite value in column 3");
    let mut data = channels(Kind::Two);
    data.validation = Some(dataset(Array2::zeros((3, 2)), vec![0.0, 1.0, 0.0]));
    let said = fit(&data, &[LOGISTIC, ("num_round", "1")]).unwrap_err().to_string();
    assert!(said.contains("validation has 2 features"), "{said}");
    let one = Channels {
        train: dataset(Array2::zeros((5, 2)), vec![1.0; 5]),
        validation: None,
        test: None,
    };
    let fitted = fit(&one, &[("num_round", "2")]).unwrap();
    assert_eq!(scores(&fitted, &Array2::zeros((1, 2))), [1.0]);
}

/// A small model as a document, and a way to spoil it.
fn spoiled(spoil: impl Fn(&mut BTreeMap<String, Value>)) -> String {
    let data = channels(Kind::Two);
    let fitted = fit(&data, &[LOGISTIC, ("num_round", "2"), ("max_depth", "3")]).unwrap();
    let mut value = document::read(&fitted.files[MODEL_FILE]).unwrap();
    let Value::Table(root) = &mut value else { panic!("a table") };
    let Some(Value::Table(learner)) = root.get_mut("learner") else { panic!("a table") };
    let Some(Value::Table(booster)) = learner.get_mut("gradient_booster") else {
        panic!("a table")
    };
    let Some(Value::Table(model)) = booster.get_mut("model") else { panic!("a table") };
    let Some(Value::List(trees)) = model.get_mut("trees") else { panic!("a list") };
    let Value::Table(tree) = &mut trees[1] else { panic!("a table") };
    spoil(tree);
    match Ensemble::read(&document::write_ubjson(&value)) {
        Ok(_) => "read".into(),
        Err(error) => error.to_string(),
    }
}

fn set(tree: &mut BTreeMap<String, Value>, name: &str, at: usize, number: i32) {
    match tree.get_mut(name) {
        Some(Value::Integers(items)) => items[at] = number,
        Some(Value::Bytes(items)) => items[at] = number as u8,
        Some(Value::Floats(items)) => items[at] = f32::NAN,
        other => panic!("{other:?}"),
    }
}

#[test]
fn spoiled_models_are_refused_each_with_its_reason() {
    assert_eq!(spoiled(|_| {}), "read");
    let cycle = spoiled(|tree| set(tree, "left_children", 1, 2));
    assert!(cycle.contains("tree 1") && cycle.contains("reached twice"), "{cycle}");
    assert!(spoiled(|tree| set(tree, "left_children", 1, 0)).contains("leads to 0"));
    assert!(spoiled(|tree| set(tree, "right_children", 0, 1000)).contains("leads to 1000"));
    assert!(spoiled(|tree| set(tree, "right_children", 0, -7)).contains("leads to -7"));
    assert!(spoiled(|tree| set(tree, "split_indices", 0, 6)).contains("column 6 of 6"));
    assert!(spoiled(|tree| set(tree, "split_conditions", 0, 0)).contains("not finite"));
    assert!(spoiled(|tree| set(tree, "split_type", 0, 1)).contains("categories"));
    assert!(spoiled(|tree| drop(tree.remove("left_children"))).contains("left_children"));
    let uneven = |tree: &mut BTreeMap<String, Value>| {
        tree.insert("default_left".into(), Value::Bytes(vec![0]));
    };
    assert!(spoiled(uneven).contains("default_left"));
    let empty = |tree: &mut BTreeMap<String, Value>| {
        for value in tree.values_mut() {
            match value {
                Value::Integers(items) => items.clear(),
                Value::Floats(items) => items.clear(),
                Value::Bytes(items) => items.clear(),
                _ => {}
            }
        }
    };
    assert!(spoiled(empty).contains("no root"));
}

#[test]
fn a_chain_too_deep_and_too_many_trees_are_refused() {
    let nodes = 2 * 5000 + 1;
    let child = |side: i32| {
        let of = |at: i32| if at % 2 == 0 && at + 2 < nodes { at + side } else { -1 };
        Value::Integers((0..nodes).map(of).collect())
    };
    let tree = Value::table([
        ("tree_param", Value::table([])),
        ("left_children", child(1)),
        ("right_children", child(2)),
        ("split_indices", Value::Integers(vec![0; nodes as usize])),
        ("split_conditions", Value::Floats(vec![0.0; nodes as usize])),
        ("default_left", Value::Bytes(vec![0; nodes as usize])),
    ]);
    let model = |count: &str, trees: Vec<Value>| {
        Value::table([(
            "learner",
            Value::table([
                (
                    "gradient_booster",
                    Value::table([
                        ("name", Value::text("gbtree")),
                        (
                            "model",
                            Value::table([
                                (
                                    "gbtree_model_param",
                                    Value::table([("num_trees", Value::text(count))]),
                                ),
                                ("tree_info", Value::Integers(vec![0; trees.len()])),
                                ("trees", Value::List(trees)),
                            ]),
                        ),
                    ]),
                ),
                (
                    "learner_model_param",
                    Value::table([
                        ("base_score", Value::text("5E-1")),
                        ("num_feature", Value::text(1)),
                    ]),
                ),
                ("objective", Value::table([("name", Value::text("reg:squarederror"))])),
            ]),
        )])
    };
    let said =
        |value: &Value| Ensemble::read(&document::write_ubjson(value)).unwrap_err().to_string();
    assert!(said(&model("1", vec![tree])).contains("deeper than"));
    assert!(said(&model("2147483648", Vec::new())).contains("2147483648 trees"));
    assert!(said(&model("3", Vec::new())).contains("says it has 3 trees and holds 0"));
    let json = document::write_json(&model("0", Vec::new()));
    assert_eq!(Ensemble::read(&json).unwrap().trees.len(), 0);
}

#[test]
fn every_cut_and_many_changed_bytes_of_a_model_are_an_answer() {
    let data = channels(Kind::Two);
    let fitted = fit(&data, &[LOGISTIC, ("num_round", "1"), ("max_depth", "2")]).unwrap();
    let model = read(&fitted.files).unwrap();
    let x = features(20, 3);
    for bytes in [model.to_ubjson(), model.to_json()] {
        assert_eq!(Ensemble::read(&bytes).unwrap().to_ubjson(), model.to_ubjson());
        for length in 0..bytes.len() {
            assert!(Ensemble::read(&bytes[..length]).is_err());
        }
        for at in 0..bytes.len() {
            for flip in [0x01, 0x08, 0x80] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                let Ok(model) = Ensemble::read(&changed) else { continue };
                let files = Files::from([(MODEL_FILE.to_owned(), changed)]);
                if let Ok(opened) = Xgboost.open(&plain_signature(&model, None), &files)
                    && model.features == 6
                {
                    opened.predict(x.view()).unwrap();
                    Explainer::new(&model).contributions(&x.view());
                }
            }
        }
    }
}

#[test]
fn contributions_add_up_to_the_margin() {
    let data = channels(Kind::Three);
    let given = [("objective", "multi:softprob"), ("num_class", "3"), ("num_round", "6")];
    let model = read(&fit(&data, &given).unwrap().files).unwrap();
    let x = features(70, 2);
    let margins = smrt::algorithm::xgboost::score::Scorer::new(&model).margins(&x.view());
    let parts = Explainer::new(&model).contributions(&x.view());
    assert_eq!(parts.dim(), (70, 3, 7));
    for (at, margin) in margins.iter().enumerate() {
        let sum: f32 = (0..7).map(|column| parts[[at / 3, at % 3, column]]).sum();
        assert!((sum - margin).abs() < 1e-4);
    }
    let one = Explainer::new(&model).contributions(&x.slice_axis(Axis(0), Slice::from(69..)));
    assert_eq!(one.index_axis(Axis(0), 0), parts.index_axis(Axis(0), 69));
}

#[test]
fn a_signature_that_does_not_fit_the_model_is_refused() {
    let fitted = fit(&channels(Kind::Two), &[LOGISTIC, ("num_round", "1")]).unwrap();
    let mut wrong = fitted.signature.clone();
    wrong.features = 5;
    assert!(Xgboost.open(&wrong, &fitted.files).is_err());
    let mut wrong = fitted.signature.clone();
    wrong.task = Task::Regression;
    assert!(Xgboost.open(&wrong, &fitted.files).is_err());
    assert!(Xgboost.open(&fitted.signature, &Files::new()).is_err());
}

/// What Python does with our models and its own. Arguments: the folder.
const PEER: &str = r#"
import sys, json, os
import numpy as np, xgboost as xgb
folder = sys.argv[1]
cases = json.load(open(f"{folder}/cases.json"))
x = np.fromfile(f"{folder}/x", "<f4").reshape(-1, 6)
t = np.fromfile(f"{folder}/t", "<f4").reshape(-1, 6)
for case in cases:
    name, d = case["name"], xgb.DMatrix(t)
    for form in ("ubj", "json"):
        b = xgb.Booster(); b.load_model(f"{folder}/{name}.ours.{form}")
        b.predict(d).astype("<f4").tofile(f"{folder}/{name}.ours.{form}.score")
        b.predict(d, pred_contribs=True).astype("<f4").tofile(f"{folder}/{name}.ours.{form}.shap")
    y = np.fromfile(f"{folder}/{name}.y", "<f4")
    given = dict(case["parameters"]); rounds = int(given.pop("num_round"))
    if "eval_metric" in given: given["eval_metric"] = given["eval_metric"].split(",")
    train = xgb.DMatrix(x, y); heard = {}
    b = xgb.train({**given, "tree_method": "hist", "nthread": 1}, train, rounds,
                  evals=[(train, "train")], evals_result=heard, verbose_eval=False)
    b.save_model(f"{folder}/{name}.theirs.ubj"); b.save_model(f"{folder}/{name}.theirs.json")
    b.predict(d).astype("<f4").tofile(f"{folder}/{name}.theirs.score")
    b.predict(d, pred_contribs=True).astype("<f4").tofile(f"{folder}/{name}.theirs.shap")
    b.predict(d, pred_leaf=True).astype("<f4").tofile(f"{folder}/{name}.theirs.leaf")
    json.dump(heard["train"], open(f"{folder}/{name}.heard", "w"))
"#;

fn floats(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

fn write(path: &Path, values: impl IntoIterator<Item = f32>) {
    let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
    std::fs::write(path, bytes).unwrap();
}

fn furthest(one: &[f32], two: &[f32]) -> f32 {
    assert_eq!(one.len(), two.len());
    one.iter().zip(two).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f32::max)
}

#[test]
fn models_travel_both_ways_between_smrt_and_xgboost() {
    let Ok(python) = std::env::var("SMRT_PYTHON") else {
        println!("skipped: set SMRT_PYTHON to a Python with xgboost 3.2");
        return;
    };
    let auc = ("eval_metric", "auc,aucpr,logloss,error@0.3");
    let cases: Vec<(&str, Kind, Vec<(&str, &str)>)> = vec![
        ("squarederror", Kind::Real, vec![("eval_metric", "rmse,mae,mape,rmsle")]),
        ("logistic", Kind::Two, vec![LOGISTIC, auc]),
        ("weighted", Kind::Two, vec![LOGISTIC, ("scale_pos_weight", "3"), auc]),
        ("logitraw", Kind::Two, vec![("objective", "binary:logitraw"), ("eval_metric", "auc")]),
        ("hinge", Kind::Two, vec![("objective", "binary:hinge")]),
        ("reglogistic", Kind::Two, vec![("objective", "reg:logistic")]),
        (
            "softprob",
            Kind::Three,
            vec![
                ("objective", "multi:softprob"),
                ("num_class", "3"),
                ("eval_metric", "merror,auc,mlogloss"),
            ],
        ),
        (
            "softmax",
            Kind::Three,
            vec![("objective", "multi:softmax"), ("num_class", "3"), ("num_parallel_tree", "2")],
        ),
        ("huber", Kind::Real, vec![("objective", "reg:pseudohubererror"), ("huber_slope", "0.5")]),
        ("absolute", Kind::Real, vec![("objective", "reg:absoluteerror")]),
        ("squaredlog", Kind::Real, vec![("objective", "reg:squaredlogerror")]),
        (
            "gamma",
            Kind::Real,
            vec![("objective", "reg:gamma"), ("eval_metric", "gamma-deviance,gamma-nloglik")],
        ),
        (
            "tweedie",
            Kind::Count,
            vec![("objective", "reg:tweedie"), ("tweedie_variance_power", "1.3")],
        ),
        ("poisson", Kind::Count, vec![("objective", "count:poisson")]),
        (
            "lossguide",
            Kind::Two,
            vec![LOGISTIC, ("grow_policy", "lossguide"), ("max_leaves", "20"), ("max_depth", "0")],
        ),
        (
            "regular",
            Kind::Real,
            vec![("alpha", "0.5"), ("gamma", "0.1"), ("lambda", "3"), ("max_delta_step", "0.4")],
        ),
        ("monotone", Kind::Real, vec![("monotone_constraints", "(1,-1,0,0,1,0)")]),
        ("apart", Kind::Real, vec![("interaction_constraints", "[[0,1],[2,3,4]]")]),
    ];
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // Few values, so that both libraries cut at the same places.
    let coarse = |data: Dataset| Dataset {
        features: data.features.mapv(|value| (value * 128.0).floor() / 128.0),
        ..data
    };
    let (x, t) = (coarse(part(3000, 0, Kind::Real)).features, features(400, 8));
    write(&at("x"), x.iter().copied());
    write(&at("t"), t.iter().copied());
    let mut fitted = BTreeMap::new();
    let mut listed = Vec::new();
    for (name, kind, given) in &cases {
        let given: Vec<(&str, &str)> =
            [given.as_slice(), &[("num_round", "8"), ("max_depth", "5")]].concat();
        let mut once = BTreeMap::new();
        for (name, value) in &given {
            once.entry(*name).or_insert(*value);
        }
        let given: Vec<(&str, &str)> = once.clone().into_iter().collect();
        let train = coarse(part(3000, 0, *kind));
        let Some(Labels::Number(y)) = train.label.clone() else { panic!("numbers") };
        write(&at(&format!("{name}.y")), y);
        let mut run = Run::default();
        let model = run.fit(&Channels { train, validation: None, test: None }, &given).unwrap();
        let ensemble = read(&model.files).unwrap();
        std::fs::write(at(&format!("{name}.ours.ubj")), ensemble.to_ubjson()).unwrap();
        std::fs::write(at(&format!("{name}.ours.json")), ensemble.to_json()).unwrap();
        listed.push(serde_json::json!({"name": name, "parameters": once}));
        fitted.insert(*name, (model, run.witness));
    }
    std::fs::write(at("cases.json"), serde_json::Value::from(listed).to_string()).unwrap();
    std::fs::write(at("peer.py"), PEER).unwrap();
    let done =
        std::process::Command::new(python).arg(at("peer.py")).arg(folder.path()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for (name, ..) in &cases {
        let (model, witness) = &fitted[name];
        let ours = scores(model, &t);
        let explained = |ensemble: &Ensemble| {
            Explainer::new(ensemble).contributions(&t.view()).into_raw_vec_and_offset().0
        };
        for form in ["ubj", "json"] {
            let theirs = floats(&at(&format!("{name}.ours.{form}.score")));
            assert!(furthest(&ours, &theirs) <= 1e-6, "{name} {form}");
            let shap = floats(&at(&format!("{name}.ours.{form}.shap")));
            let far = furthest(&explained(&read(&model.files).unwrap()), &shap);
            assert!(far < 1e-4, "{name} {form}: contributions differ by {far}");
        }
        // Their models, opened here.
        let theirs = floats(&at(&format!("{name}.theirs.score")));
        for form in ["ubj", "json"] {
            let bytes = std::fs::read(at(&format!("{name}.theirs.{form}"))).unwrap();
            let ensemble = Ensemble::read(&bytes).unwrap();
            let files = Files::from([(MODEL_FILE.to_owned(), bytes)]);
            let opened = Xgboost.open(&plain_signature(&ensemble, None), &files).unwrap();
            let answer = opened.predict(t.view()).unwrap();
            let (Values::Number(own) | Values::Vector { values: own, .. }) =
                &answer.fields[0].values
            else {
                panic!("{answer:?}")
            };
            assert!(furthest(own, &theirs) <= 1e-6, "{name} {form}: theirs");
            let shap = floats(&at(&format!("{name}.theirs.shap")));
            assert!(furthest(&explained(&ensemble), &shap) < 1e-4, "{name}: their contributions");
            let leaves = smrt::algorithm::xgboost::explain::leaves(&ensemble, &t.view());
            let leaves: Vec<f32> = leaves.into_iter().map(|leaf| leaf as f32).collect();
            assert_eq!(leaves, floats(&at(&format!("{name}.theirs.leaf"))), "{name}: leaves");
        }
        // Same data, same parameters: about the same model, and the same figures for it.
        let heard: serde_json::Value =
            serde_json::from_slice(&std::fs::read(at(&format!("{name}.heard"))).unwrap()).unwrap();
        for (measure, rounds) in heard.as_object().unwrap() {
            let theirs = rounds.as_array().unwrap().last().unwrap().as_f64().unwrap();
            let own = metric(witness.epochs.last().unwrap(), &format!("train:{measure}"));
            println!("{name} {measure}: {own} {theirs}");
            assert!(
                (own - theirs).abs() <= 0.002 * theirs.abs().max(0.1),
                "{name} {measure}: {own} {theirs}"
            );
        }
    }
}
