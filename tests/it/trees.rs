//! Integration tests of what boosted trees read besides plain numbers: columns of categories and
//! sparse rows, each compared with PyPI `xgboost` where the environment variable SMRT_PYTHON names
//! a Python that has it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ndarray::Array2;
use smrt::algorithm::device::Device;
use smrt::algorithm::xgboost::boost::plain_signature;
use smrt::algorithm::xgboost::ensemble::{Ensemble, MODEL_FILE};
use smrt::algorithm::xgboost::explain::{Explainer, leaves};
use smrt::algorithm::xgboost::rows::Rows;
use smrt::algorithm::xgboost::score::Scorer;
use smrt::algorithm::xgboost::{Xgboost, read};
use smrt::algorithm::{
    Channels, Checkpoints, Context, Definition, Error, Files, Fitted, Metric, Observer, Progress,
};
use smrt::data::{Categories, Dataset, Labels, Sparse, Values};
use smrt::spec::parameter::{Raw, RawParameters, RawValue};
use smrt::spec::problem::Problems;

/// Hears nothing, keeps nothing.
struct Quiet;

impl Observer for Quiet {
    fn step(&mut self, _: Progress) {}
    fn epoch(&mut self, _: usize, _: &[Metric]) {}
}

impl Checkpoints for Quiet {
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

fn fit(train: Dataset, given: &[(&str, &str)]) -> Result<Fitted, Error> {
    fit_beside(train, None, given)
}

fn fit_beside(
    train: Dataset,
    validation: Option<Dataset>,
    given: &[(&str, &str)],
) -> Result<Fitted, Error> {
    let one = |(name, value): &(&str, &str)| {
        let value = RawValue::Text((*value).to_owned());
        ((*name).to_owned(), Raw { value, line: None })
    };
    let raw: RawParameters = given.iter().map(one).collect();
    let mut problems = Problems::default();
    let trainer = Xgboost.trainer(&raw, &mut problems);
    let trainer = trainer.unwrap_or_else(|| panic!("{problems:?}"));
    let channels = Channels { train, validation, test: None };
    let (mut observer, mut checkpoints) = (Quiet, Quiet);
    let mut context = Context {
        device: Device::flex(),
        threads: 2,
        seed: 7,
        stop: &|| false,
        observer: &mut observer,
        checkpoints: &mut checkpoints,
    };
    trainer.fit(&channels, &mut context)
}

/// A number from 0 to 1 that follows from a place.
fn noise(row: usize, column: usize) -> f32 {
    let mut x = (row as u64) << 20 | (column as u64 + 1);
    for _ in 0..3 {
        x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    (x >> 40) as f32 / (1u64 << 24) as f32
}

const KINDS: [usize; 3] = [12, 3, 40];

/// Three columns of codes, the first with holes, and a number.
fn coded(rows: usize, salt: usize) -> Dataset {
    let cell = |row: usize, column: usize| noise(row, column + 10 * salt);
    let features = Array2::from_shape_fn((rows, 4), |(row, column)| match column {
        0 if cell(row, 9) < 0.1 => f32::NAN,
        0..3 => (cell(row, column) * KINDS[column] as f32).floor(),
        _ => (cell(row, column) * 16.0).floor(),
    });
    let worth = |row: usize| {
        let own = |column: usize| features[[row, column]];
        let first = if own(0).is_nan() { 0.4 } else { noise(own(0) as usize, 77) };
        let third = noise(own(2) as usize, 78) * f32::from(own(1) != 1.0);
        2.0 * first + third + own(3) / 32.0 + cell(row, 5) / 4.0
    };
    let label = (0..rows).map(worth).collect();
    Dataset {
        categories: KINDS.iter().enumerate().map(|(at, kinds)| (at, words(*kinds))).collect(),
        columns: Arc::from(["a", "b", "c", "d"].map(str::to_owned)),
        label: Some(Labels::Number(label)),
        ..Dataset::of(features)
    }
}

fn words(count: usize) -> Vec<String> {
    (0..count).map(|code| format!("w{}", (code * 7) % count)).collect()
}

fn scores(signature: &smrt::data::Signature, files: &Files, x: &Array2<f32>) -> Vec<f32> {
    let opened = Xgboost.open(signature, files).unwrap();
    let answer = opened.predict(x.view()).unwrap();
    match &answer.fields[0].values {
        Values::Number(values) | Values::Vector { values, .. } => values.clone(),
        other => panic!("{other:?}"),
    }
}

fn contributions(model: &Ensemble, x: &Array2<f32>) -> Vec<f32> {
    Explainer::new(model).contributions(&x.view()).into_raw_vec_and_offset().0
}

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

/// Runs a script on a folder; `false` when no Python is named.
fn peer(script: &str, folder: &Path) -> bool {
    let Ok(python) = std::env::var("SMRT_PYTHON") else {
        println!("skipped: set SMRT_PYTHON to a Python with xgboost 3.2");
        return false;
    };
    std::fs::write(folder.join("peer.py"), script).unwrap();
    let mut command = std::process::Command::new(python);
    let done = command.arg(folder.join("peer.py")).arg(folder).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    true
}

#[test]
fn a_tree_parts_categories_and_answers_for_unknown_ones() {
    let given = [("num_round", "20"), ("max_depth", "4")];
    let fitted = fit_beside(coded(3000, 0), Some(coded(500, 3)), &given).unwrap();
    let model = read(&fitted.files).unwrap();
    assert!(model.trees.iter().all(|tree| !tree.sets.is_empty()));
    assert_eq!(fitted.signature.categories, coded(1, 0).categories);
    let rmse = |name: &str| fitted.metrics.iter().find(|metric| metric.name == name).unwrap().value;
    assert!(rmse("train:rmse") < 0.15 && rmse("validation:rmse") < 0.2, "{:?}", fitted.metrics);
    // Many more categories than trees know, none at all, and no whole ones.
    let odd = ndarray::array![[99.0f32, 2e9, -3.0, 1.0], [f32::NAN, f32::NAN, f32::NAN, f32::NAN]];
    let answers = scores(&fitted.signature, &fitted.files, &odd);
    assert!(answers.iter().all(|answer| answer.is_finite()));
    // The parts of an explanation add up, for those rows too.
    for x in [odd, coded(50, 5).features] {
        let parts = contributions(&model, &x);
        let margins = Scorer::new(&model).margins(&x.view());
        for (parts, margin) in parts.chunks_exact(5).zip(margins) {
            assert!((parts.iter().sum::<f32>() - margin).abs() < 1e-4);
        }
    }
}

#[test]
fn few_categories_are_parted_one_by_one_and_many_by_their_order() {
    let sizes = |onehot: &str| {
        let given = [("num_round", "3"), ("max_cat_to_onehot", onehot)];
        let fitted = fit(coded(3000, 0), &given).unwrap();
        let model = read(&fitted.files).unwrap();
        let sets = model.trees.iter().flat_map(|tree| &tree.sets);
        sets.map(|set| set.codes().count()).collect::<Vec<_>>()
    };
    assert!(sizes("1000").iter().all(|size| *size == 1));
    assert!(sizes("1").iter().any(|size| *size > 1));
}

#[test]
fn a_cell_that_is_no_code_is_refused() {
    let mut train = coded(100, 0);
    train.features[[41, 2]] = 1.5;
    let said = fit(train, &[("num_round", "1")]).unwrap_err().to_string();
    assert_eq!(said, "row 42 of channel train has 1.5 in column 3");
}

/// What Python does with categories. Arguments: the folder.
const CATEGORIES: &str = r#"
import sys, numpy as np, pandas as pd, xgboost as xgb
folder = sys.argv[1]
read = lambda name: np.fromfile(f"{folder}/{name}", "<f4")
x, t, y = read("x").reshape(-1, 4), read("t").reshape(-1, 4), read("y")
names, types = list("abcd"), ["c", "c", "c", "float"]
matrix = lambda x, y=None: xgb.DMatrix(x, y, feature_names=names, feature_types=types, enable_categorical=True)
words = [[f"w{(code * 7) % n}" for code in range(n)] for n in (12, 3, 40)]
frame = pd.DataFrame({"d": t[:, 3]})
for at, name in enumerate("abc"):
    cells = [None if np.isnan(v) else words[at][int(v)] for v in t[:, at]]
    # Another order of the words than the model's: XGBoost finds them by name.
    frame[name] = pd.Categorical(cells, categories=sorted(words[at]))
frame = frame[names]
for form in ("ubj", "json"):
    b = xgb.Booster(); b.load_model(f"{folder}/ours.{form}")
    b.predict(matrix(t)).astype("<f4").tofile(f"{folder}/ours.{form}.score")
    b.predict(matrix(t), pred_contribs=True).astype("<f4").tofile(f"{folder}/ours.{form}.shap")
    b.predict(xgb.DMatrix(frame, enable_categorical=True)).astype("<f4").tofile(f"{folder}/ours.{form}.words")
given = {"max_depth": 4, "tree_method": "hist", "nthread": 1}
b = xgb.train(given, matrix(x, y), 8)
b.predict(matrix(t)).astype("<f4").tofile(f"{folder}/theirs.score")
b.predict(matrix(t), pred_contribs=True).astype("<f4").tofile(f"{folder}/theirs.shap")
b.predict(matrix(t), pred_leaf=True).astype("<f4").tofile(f"{folder}/theirs.leaf")
b.save_model(f"{folder}/theirs.ubj"); b.save_model(f"{folder}/theirs.json")
own = xgb.DMatrix(frame, read("ty"), enable_categorical=True)
b = xgb.train(given, own, 8)
b.predict(own).astype("<f4").tofile(f"{folder}/frame.score")
b.save_model(f"{folder}/frame.ubj"); b.save_model(f"{folder}/frame.json")
"#;

#[test]
fn models_with_categories_travel_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (train, test) = (coded(3000, 0), coded(400, 8));
    let label = |data: &Dataset| match &data.label {
        Some(Labels::Number(label)) => label.clone(),
        _ => panic!("labels are numbers"),
    };
    write(&at("x"), train.features.iter().copied());
    write(&at("t"), test.features.iter().copied());
    write(&at("y"), label(&train));
    write(&at("ty"), label(&test));
    let fitted = fit(train, &[("num_round", "8"), ("max_depth", "4")]).unwrap();
    let model = read(&fitted.files).unwrap();
    std::fs::write(at("ours.ubj"), model.to_ubjson()).unwrap();
    std::fs::write(at("ours.json"), model.to_json()).unwrap();
    assert_eq!(Ensemble::read(&model.to_ubjson()).unwrap(), model);
    assert_eq!(Ensemble::read(&model.to_json()).unwrap(), model);
    if !peer(CATEGORIES, folder.path()) {
        return;
    }
    let x = &test.features;
    let ours = scores(&fitted.signature, &fitted.files, x);
    for form in ["ubj", "json"] {
        for kind in ["score", "words"] {
            let theirs = floats(&at(&format!("ours.{form}.{kind}")));
            assert!(furthest(&ours, &theirs) <= 1e-6, "{form} {kind}");
        }
        let shap = floats(&at(&format!("ours.{form}.shap")));
        assert!(furthest(&contributions(&model, x), &shap) < 1e-4, "{form}: contributions");
    }
    for (name, form) in [("theirs", "ubj"), ("theirs", "json"), ("frame", "ubj"), ("frame", "json")]
    {
        let bytes = std::fs::read(at(&format!("{name}.{form}"))).unwrap();
        let foreign = Ensemble::read(&bytes).unwrap();
        let signature = plain_signature(&foreign, None);
        let files = Files::from([(MODEL_FILE.to_owned(), bytes)]);
        let mut x = x.clone();
        if name == "frame" {
            // Its words are in another order: a cell's code is its place among them.
            for (column, sorted) in &signature.categories {
                let own = words(KINDS[*column]);
                assert!(sorted.is_sorted() && sorted.len() == own.len());
                x.column_mut(*column).mapv_inplace(|code| match own.get(code as usize) {
                    Some(word) if !code.is_nan() => {
                        sorted.iter().position(|other| other == word).unwrap() as f32
                    }
                    _ => f32::NAN,
                });
            }
        } else {
            assert_eq!(foreign.categories, BTreeMap::from([(0, vec![]), (1, vec![]), (2, vec![])]));
        }
        let found = scores(&signature, &files, &x);
        let theirs = floats(&at(&format!("{name}.score")));
        assert!(furthest(&found, &theirs) <= 1e-6, "{name} {form}");
        if name == "theirs" {
            assert!(furthest(&contributions(&foreign, &x), &floats(&at("theirs.shap"))) < 1e-4);
            let leaf: Vec<f32> = leaves(&foreign, &x.view()).iter().map(|at| *at as f32).collect();
            assert_eq!(leaf, floats(&at("theirs.leaf")));
            // Same data, same parameters: the same trees.
            assert!(furthest(&ours, &found) < 1e-4, "{form}: {}", furthest(&ours, &found));
        }
    }
}

/// Rows of which one cell in twelve is there: half of them ones, the others numbers.
fn sparse(rows: usize, salt: usize) -> Dataset {
    let width = 300;
    let mut sparse = Sparse { width, offsets: vec![0], columns: Vec::new(), values: Vec::new() };
    let mut label = Vec::new();
    for row in 0..rows {
        let mut worth = noise(row, 1000 + salt) / 4.0;
        for column in 0..width {
            let draw = noise(row, column + 2000 * (salt + 1));
            let often = if column % 30 == 7 { 0.7 } else { 0.06 };
            if draw < often {
                let value = if column % 2 == 0 { 1.0 } else { (draw / often * 8.0).floor() - 2.0 };
                sparse.columns.push(column as u32);
                sparse.values.push(value);
                worth += value * (noise(column, 5) - 0.4);
            }
        }
        sparse.offsets.push(sparse.values.len());
        label.push(f32::from(worth > 1.0));
    }
    let none = Array2::zeros((rows, 0));
    let (sparse, label) = (Some(sparse), Some(Labels::Number(label)));
    Dataset { sparse, label, ..Dataset::of(none) }
}

fn filled(data: &Dataset) -> Dataset {
    let features = data.sparse.as_ref().unwrap().dense(f32::NAN);
    Dataset { label: data.label.clone(), ..Dataset::of(features) }
}

const CHANCES: [(&str, &str); 3] =
    [("objective", "binary:logistic"), ("num_round", "8"), ("eval_metric", "auc")];

#[test]
fn sparse_rows_give_the_model_and_answers_of_their_matrix() {
    let one = fit_beside(sparse(3000, 0), Some(sparse(500, 1)), &CHANCES).unwrap();
    let two =
        fit_beside(filled(&sparse(3000, 0)), Some(filled(&sparse(500, 1))), &CHANCES).unwrap();
    assert_eq!(one.files, two.files);
    assert_eq!(one.metrics, two.metrics);
    let (test, scorer) = (sparse(700, 2), Scorer::new(&read(&one.files).unwrap()));
    let dense = filled(&test).features;
    assert_eq!(scorer.margins_of(&Rows::of(&test)), scorer.margins(&dense.view()));
    assert_eq!(scorer.leaves(&Rows::of(&test)), scorer.leaves(&Rows::Dense(dense.view())));
    let model = read(&one.files).unwrap();
    assert_eq!(scorer.leaves(&Rows::of(&test)), leaves(&model, &dense.view()));
}

/// What Python does with libsvm. Arguments: the folder.
const LIBSVM: &str = r#"
import sys, numpy as np, xgboost as xgb
folder = sys.argv[1]
load = lambda name: xgb.DMatrix(f"{folder}/{name}.svm?format=libsvm")
b = xgb.Booster(); b.load_model(f"{folder}/ours.ubj")
b.predict(load("t")).astype("<f4").tofile(f"{folder}/ours.score")
given = {"objective": "binary:logistic", "tree_method": "hist", "nthread": 1}
b = xgb.train(given, load("x"), 8)
b.predict(load("t")).astype("<f4").tofile(f"{folder}/theirs.score")
"#;

fn libsvm(data: &Dataset) -> String {
    let (Some(sparse), Some(Labels::Number(labels))) = (&data.sparse, &data.label) else {
        panic!("sparse rows with labels")
    };
    let line = |row: usize| {
        let (columns, values) = sparse.row(row);
        let cells = columns.iter().zip(values);
        let cells: String = cells.map(|(column, value)| format!(" {column}:{value}")).collect();
        format!("{}{cells}\n", labels[row])
    };
    (0..sparse.rows()).map(line).collect()
}

#[test]
fn the_same_libsvm_file_gives_the_scores_xgboost_gives() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (train, test) = (sparse(3000, 0), sparse(700, 2));
    std::fs::write(at("x.svm"), libsvm(&train)).unwrap();
    std::fs::write(at("t.svm"), libsvm(&test)).unwrap();
    let fitted = fit(train, &CHANCES).unwrap();
    let model = read(&fitted.files).unwrap();
    std::fs::write(at("ours.ubj"), model.to_ubjson()).unwrap();
    if !peer(LIBSVM, folder.path()) {
        return;
    }
    let mut own = Scorer::new(&model).margins_of(&Rows::of(&test));
    model.objective.score(&mut own);
    assert!(furthest(&own, &floats(&at("ours.score"))) <= 1e-6);
    // Trained on its own: the same trees.
    let far = furthest(&own, &floats(&at("theirs.score")));
    assert!(far <= 1e-5, "{far}");
}

#[test]
fn categories_in_a_model_file_that_do_not_fit_are_refused() {
    let fitted = fit(coded(600, 0), &[("num_round", "2")]).unwrap();
    let model = read(&fitted.files).unwrap();
    let text = String::from_utf8(model.to_json()).unwrap();
    for (from, to) in [
        ("\"categories_nodes\":[0", "\"categories_nodes\":[70000"),
        ("\"categories_segments\":[0", "\"categories_segments\":[-1"),
        ("\"categories_sizes\":[", "\"categories_sizes\":[900000,"),
        ("\"split_type\":[1", "\"split_type\":[0"),
        ("\"feature_types\":[\"c\",", "\"feature_types\":["),
    ] {
        assert!(text.contains(from), "{from}");
        let spoiled = text.replacen(from, to, 1);
        assert!(Ensemble::read(spoiled.as_bytes()).is_err(), "{to}");
    }
    let none = Categories::new();
    assert!(model.categories != none);
}
