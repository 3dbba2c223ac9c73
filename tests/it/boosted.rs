//! What boosted trees can do besides learning: explain, rank, go on from an earlier model, part
//! into folds, speak LightGBM, and open what other libraries left. PyPI `xgboost` and `lightgbm`
//! are the oracles where SMRT_PYTHON names a Python that has them.

use std::io::{Read, Write};
use std::path::Path;

use ndarray::{Array2, ArrayView2};
use smrt::algorithm::device::Device;
use smrt::algorithm::lightgbm::Lightgbm;
use smrt::algorithm::xgboost::answer::Opened;
use smrt::algorithm::xgboost::ensemble::MODEL_FILE;
use smrt::algorithm::xgboost::explain::Explainer;
use smrt::algorithm::xgboost::{Xgboost, boost, models, read};
use smrt::algorithm::{
    Ask, Channels, Checkpoints, Context, Definition, Earlier, Error, Files, Fitted, Metric,
    Observer, Predictor, Progress, Selected, lightgbm,
};
use smrt::data::{Dataset, Labels, Values};
use smrt::model::{Opener, write_files};
use smrt::spec::parameter::{Raw, RawParameters, RawValue};
use smrt::spec::problem::Problems;

use crate::train::User;

#[derive(Default)]
struct Witness {
    rounds: Vec<Vec<Metric>>,
    kept: Option<Files>,
    given: Option<Files>,
}

struct Ear<'a>(&'a mut Vec<Vec<Metric>>);

impl Observer for Ear<'_> {
    fn step(&mut self, progress: Progress) {
        assert!(progress.rows_done <= progress.rows_total);
    }
    fn epoch(&mut self, _: usize, metrics: &[Metric]) {
        self.0.push(metrics.to_vec());
    }
}

struct Shelf<'a>(&'a mut Option<Files>, Option<Files>);

impl Checkpoints for Shelf<'_> {
    fn due(&self) -> bool {
        false
    }
    fn save(&mut self, state: &Files) -> Result<(), Error> {
        *self.0 = Some(state.clone());
        Ok(())
    }
    fn take(&mut self) -> Option<Files> {
        self.1.take()
    }
}

fn raw(given: &[(&str, &str)]) -> RawParameters {
    let one = |(name, value): &(&str, &str)| {
        ((*name).to_owned(), Raw { value: RawValue::Text((*value).to_owned()), line: None })
    };
    given.iter().map(one).collect()
}

impl Witness {
    fn fit(
        &mut self,
        algorithm: &dyn Definition,
        data: &Channels,
        given: &[(&str, &str)],
        earlier: Option<&Earlier>,
        stop_after: usize,
    ) -> Result<Fitted, Error> {
        let mut problems = Problems::default();
        let trainer = algorithm.trainer(&raw(given), &mut problems);
        let mut trainer = trainer.unwrap_or_else(|| panic!("{problems:?}"));
        if let Some(earlier) = earlier {
            trainer.go_on_from(earlier)?;
        }
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let stop = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= stop_after;
        let mut shelf = Shelf(&mut self.kept, self.given.take());
        trainer.fit(
            data,
            &mut Context {
                device: Device::flex(),
                threads: 2,
                seed: 7,
                stop: &stop,
                observer: &mut Ear(&mut self.rounds),
                checkpoints: &mut shelf,
            },
        )
    }
}

fn fit(algorithm: &dyn Definition, data: &Channels, given: &[(&str, &str)]) -> Fitted {
    Witness::default().fit(algorithm, data, given, None, usize::MAX).unwrap()
}

fn noise(row: usize, column: usize) -> f32 {
    let mut x = (row as u64) << 20 | (column as u64 + 1);
    for _ in 0..3 {
        x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    (x >> 40) as f32 / (1u64 << 24) as f32
}

/// Few values in a column, so that all libraries cut at the same places; some are missing.
fn features(rows: usize, salt: usize) -> Array2<f32> {
    Array2::from_shape_fn((rows, 5), |(row, column)| {
        let value = (noise(row, column + 10 * salt) * 64.0).floor() / 64.0;
        if column == 3 && noise(row, 77 + salt) < 0.2 { f32::NAN } else { value }
    })
}

#[expect(clippy::needless_pass_by_value, reason = "a view is a reference")]
fn signal(x: ArrayView2<'_, f32>, row: usize) -> f32 {
    let at = |column: usize| if x[[row, column]].is_nan() { 0.7 } else { x[[row, column]] };
    2.0 * at(0) * at(1) + (at(2) * 6.0).sin() / 2.0 + at(3) - at(4) / 3.0
}

/// Rows with labels of `classes` levels; 0 for numbers.
fn part(rows: usize, salt: usize, classes: u32) -> Dataset {
    let x = features(rows, salt);
    let label = (0..rows).map(|row| {
        let value = signal(x.view(), row) + noise(row, 500 + salt) / 3.0;
        match classes {
            0 => value + 1.0,
            2 => f32::from(value > 1.3),
            _ => (value.clamp(0.0, 2.99) * classes as f32 / 3.0).floor(),
        }
    });
    let label = Some(Labels::Number(label.collect()));
    Dataset { label, ..Dataset::of(x) }
}

fn only(train: Dataset) -> Channels {
    Channels { train, validation: None, test: None }
}

fn numbers(values: &Values) -> Vec<f32> {
    match values {
        Values::Number(values) | Values::Vector { values, .. } => values.clone(),
        other => panic!("{other:?}"),
    }
}

fn scores(algorithm: &dyn Definition, fitted: &Fitted, x: &Array2<f32>) -> Vec<f32> {
    let opened = algorithm.open(&fitted.signature, &fitted.files).unwrap();
    numbers(&opened.predict(x.view()).unwrap().fields[0].values)
}

fn furthest(one: &[f32], two: &[f32]) -> f32 {
    assert_eq!(one.len(), two.len());
    one.iter().zip(two).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f32::max)
}

fn python() -> Option<String> {
    let found = std::env::var("SMRT_PYTHON").ok();
    if found.is_none() {
        println!("skipped: set SMRT_PYTHON to a Python with xgboost 3.2 and lightgbm");
    }
    found
}

fn run(python: &str, folder: &Path, script: &str) {
    let path = folder.join("peer.py");
    std::fs::write(&path, script).unwrap();
    let done = std::process::Command::new(python).arg(path).arg(folder).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn write(path: &Path, values: impl IntoIterator<Item = f32>) {
    let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
    std::fs::write(path, bytes).unwrap();
}

fn floats(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

const BINARY: [(&str, &str); 2] = [("objective", "binary:logistic"), ("num_round", "10")];

#[test]
fn an_answer_names_the_columns_that_decided_it_and_adds_up() {
    let mut train = part(800, 0, 2);
    train.columns = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
    let fitted = fit(&Xgboost, &only(train), &BINARY);
    let opened = Xgboost.open(&fitted.signature, &fitted.files).unwrap();
    let x = features(40, 3);
    let ask = Ask { explain: Some(usize::MAX), verbose: true, fields: Vec::new() };
    let answer = opened.predict_with(x.view(), &ask).unwrap();
    let field = |name: &str| {
        let found = answer.fields.iter().find(|field| field.name == name);
        &found.unwrap_or_else(|| panic!("{name}")).values
    };
    let (margins, base) = (numbers(field("margin")), numbers(field("base_value")));
    let Values::Contributions { width: 5, values, columns, names } = field("contributions") else {
        panic!("contributions")
    };
    assert_eq!(names.as_ref(), ["a", "b", "c", "d", "e"]);
    for row in 0..40 {
        let own = &values[row * 5..row * 5 + 5];
        assert!((own.iter().sum::<f32>() + base[row] - margins[row]).abs() < 1e-4);
        assert!(own.windows(2).all(|pair| pair[0].abs() >= pair[1].abs()));
    }
    let top = Ask { explain: Some(2), ..Ask::default() };
    let answer = opened.predict_with(x.view(), &top).unwrap();
    let Values::Contributions { width: 2, columns: two, .. } = &answer.fields[2].values else {
        panic!("{answer:?}")
    };
    assert_eq!(two[..2], columns[..2]);
    assert_eq!(answer.fields[0], opened.predict(x.view()).unwrap().fields[0]);
}

#[test]
fn the_fields_sagemakers_container_can_be_told_to_answer_are_its() {
    let fitted = fit(&Xgboost, &only(part(600, 0, 2)), &BINARY);
    let opened = Xgboost.open(&fitted.signature, &fitted.files).unwrap();
    let fields = Selected::list("predicted_label,labels,probability,probabilities,raw_score");
    let ask = Ask { fields: fields.unwrap(), ..Ask::default() };
    let x = features(30, 3);
    let answer = opened.predict_with(x.view(), &ask).unwrap();
    let plain = numbers(&opened.predict(x.view()).unwrap().fields[0].values);
    assert_eq!(numbers(&answer.fields[2].values), plain);
    assert_eq!(numbers(&answer.fields[4].values), plain);
    let both = numbers(&answer.fields[3].values);
    let Values::Class { codes, .. } = &answer.fields[0].values else { panic!("{answer:?}") };
    for (row, score) in plain.iter().enumerate() {
        assert_eq!(codes[row], u32::from(*score > 0.5));
        assert!((both[2 * row] + both[2 * row + 1] - 1.0).abs() < 1e-6);
    }
    let regression = fit(&Xgboost, &only(part(300, 0, 0)), &[("num_round", "3")]);
    let opened = Xgboost.open(&regression.signature, &regression.files).unwrap();
    let said = opened.predict_with(x.view(), &ask).unwrap_err().to_string();
    assert!(said.contains("has no predicted_label"), "{said}");
}

fn asked(address: std::net::SocketAddr, accept: &str, row: &str) -> (u16, String) {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let length = row.len();
    write!(stream, "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nAccept: {accept}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{row}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split("\r\n\r\n").nth(1).unwrap_or("").to_owned())
}

#[test]
fn an_endpoint_explains_when_asked_and_says_what_is_wrong_with_a_wish() {
    let user = User::new();
    let report = user.run(user.job("xgboost", "[hyperparameters]\nnum_round = 5\n")).unwrap();
    let artifact =
        std::fs::read(report.artifact.to_string().trim_start_matches("file://")).unwrap();
    let model = user.opener().open(&artifact[..], "model.tar.gz").unwrap();
    let width = model.manifest.signature.features;
    let names = model.manifest.signature.columns.clone();
    let running = smrt::serve(model).listen("127.0.0.1:0").access_log(false).start().unwrap();
    let address = running.address();
    let row = vec!["0.5"; width].join(",");
    let (status, plain) = asked(address, "application/json", &row);
    assert_eq!(status, 200, "{plain}");
    let (status, body) = asked(address, "application/json; explain=top3", &row);
    assert_eq!(status, 200, "{body}");
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    let plain: serde_json::Value = serde_json::from_str(&plain).unwrap();
    let (own, was) = (&json["predictions"][0], &plain["predictions"][0]);
    assert_eq!(own["score"], was["score"]);
    assert!(own["base_value"].is_number());
    let contributions = own["contributions"].as_array().unwrap();
    assert_eq!(contributions.len(), 3);
    let feature = contributions[0]["feature"].as_str().unwrap();
    assert!(names.iter().any(|name| name == feature), "{feature}");
    let (_, csv) = asked(address, "text/csv; explain=top1", &row);
    assert!(csv.starts_with(&own["score"].to_string()) && csv.contains(feature), "{csv}");
    for wrong in ["explain=top0", "explain=most", "verbose=perhaps"] {
        let (status, body) = asked(address, &format!("application/json; {wrong}"), &row);
        assert!(status == 400 && body.contains("help"), "{status} {body}");
    }
    let (status, _) = asked(address, "application/json; flavour=vanilla", &row);
    assert_eq!(status, 200);
}

const RANKING: &str = r#"
import sys, json, numpy as np, xgboost as xgb
folder = sys.argv[1]
read = lambda n: np.fromfile(f"{folder}/{n}", "<f4")
x, y, q, w = read("x").reshape(-1, 5), read("y"), read("q").astype(int), read("w")
b = (y > 1).astype("f4")
starts = np.r_[0, np.flatnonzero(np.diff(q)) + 1]
out = {}
for name, given, label in json.load(open(f"{folder}/cases.json")):
    d = xgb.DMatrix(x, label=b if label == "two" else y, qid=q, weight=w[starts])
    heard = {}
    m = xgb.train({**given, "tree_method": "hist", "nthread": 1, "max_depth": 4,
                   "eval_metric": ["ndcg@5", "map@3", "pre@2", "ndcg@4-", "ndcg"] if label == "two" else ["ndcg@5", "ndcg"]},
                  d, 6, evals=[(d, "train")], evals_result=heard, verbose_eval=False)
    m.predict(d).astype("<f4").tofile(f"{folder}/{name}.score")
    out[name] = {k: v for k, v in heard["train"].items()}
json.dump(out, open(f"{folder}/heard.json", "w"))
"#;

#[test]
fn ranking_learns_and_measures_as_xgboost_does() {
    let mut train = part(900, 0, 4);
    let group: Vec<u32> = (0..900).map(|row| (row / 9) as u32 * 3).collect();
    let weight: Vec<f32> = group.iter().map(|query| 1.0 + (query % 5) as f32 / 4.0).collect();
    train.group = Some(group.clone());
    train.weight = Some(weight.clone());
    let Some(Labels::Number(y)) = train.label.clone() else { panic!("numbers") };
    let two: Vec<f32> = y.iter().map(|y| f32::from(*y > 1.0)).collect();
    let cases: [(&str, Vec<(&str, &str)>, &str); 5] = [
        ("ndcg", vec![("objective", "rank:ndcg")], "many"),
        ("pairwise", vec![("objective", "rank:pairwise")], "many"),
        ("map", vec![("objective", "rank:map")], "two"),
        (
            "plain",
            vec![
                ("objective", "rank:ndcg"),
                ("lambdarank_normalization", "false"),
                ("lambdarank_score_normalization", "false"),
                ("lambdarank_num_pair_per_sample", "3"),
            ],
            "two",
        ),
        ("linear", vec![("objective", "rank:ndcg"), ("ndcg_exp_gain", "false")], "two"),
    ];
    let mut fitted = Vec::new();
    for (name, given, label) in &cases {
        let mut data = train.clone();
        let metrics = match *label {
            "two" => {
                data.label = Some(Labels::Number(two.clone()));
                "ndcg@5,map@3,pre@2,ndcg@4-,ndcg"
            }
            _ => "ndcg@5,ndcg",
        };
        let more = [("num_round", "6"), ("max_depth", "4"), ("eval_metric", metrics)];
        let given: Vec<(&str, &str)> = given.iter().copied().chain(more).collect();
        let mut witness = Witness::default();
        let model = witness.fit(&Xgboost, &only(data), &given, None, usize::MAX).unwrap();
        let first = witness.rounds[0].iter().find(|m| m.name == "train:ndcg").unwrap().value;
        let last = witness.rounds[5].iter().find(|m| m.name == "train:ndcg").unwrap().value;
        assert!(last > first, "{name}: {first} {last}");
        fitted.push((name, model, witness));
    }
    let no_groups = Witness::default().fit(
        &Xgboost,
        &only(part(90, 0, 4)),
        &[("num_round", "1"), ("objective", "rank:ndcg")],
        None,
        9,
    );
    assert!(no_groups.unwrap_err().to_string().contains("no queries"));
    let mut torn = train.clone();
    torn.group = Some((0..900).map(|row| row % 7).collect());
    let said = Witness::default().fit(
        &Xgboost,
        &only(torn),
        &[("num_round", "1"), ("objective", "rank:ndcg")],
        None,
        9,
    );
    assert!(said.unwrap_err().to_string().contains("had ended above"));

    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("x"), train.features.iter().copied());
    write(&at("y"), y);
    write(&at("q"), group.iter().map(|query| *query as f32));
    write(&at("w"), weight);
    let listed: Vec<_> = cases
        .iter()
        .map(|(name, given, label)| {
            let given: std::collections::BTreeMap<_, _> = given.iter().copied().collect();
            serde_json::json!([name, given, label])
        })
        .collect();
    std::fs::write(at("cases.json"), serde_json::Value::from(listed).to_string()).unwrap();
    run(&python, folder.path(), RANKING);
    let heard: serde_json::Value =
        serde_json::from_slice(&std::fs::read(at("heard.json")).unwrap()).unwrap();
    for (name, model, witness) in fitted {
        let theirs = floats(&at(&format!("{name}.score")));
        let ours = scores(&Xgboost, &model, &train.features);
        let far = furthest(&ours, &theirs);
        println!("{name}: scores differ by {far}");
        assert!(far < 1e-3, "{name}: scores differ by {far}");
        for (measure, rounds) in heard[name].as_object().unwrap() {
            let theirs = rounds[5].as_f64().unwrap();
            let own = witness.rounds[5].iter().find(|m| m.name == format!("train:{measure}"));
            let own = own.unwrap_or_else(|| panic!("{measure}")).value;
            assert!((own - theirs).abs() < 2e-3, "{name} {measure}: {own} {theirs}");
        }
    }
}

#[test]
fn a_training_goes_on_from_an_earlier_model_as_if_it_had_not_ended() {
    let data = only(part(700, 0, 2));
    for (algorithm, five, ten) in [
        (
            &Xgboost as &dyn Definition,
            [("num_round", "5"), BINARY[0]],
            [("num_round", "10"), BINARY[0]],
        ),
        (
            &Lightgbm,
            [("num_boost_round", "5"), ("objective", "binary")],
            [("num_boost_round", "10"), ("objective", "binary")],
        ),
    ] {
        let first = fit(algorithm, &data, &five);
        let earlier = Earlier {
            algorithm: algorithm.name().to_owned(),
            signature: first.signature.clone(),
            files: first.files.clone(),
        };
        let mut witness = Witness::default();
        let more = witness.fit(algorithm, &data, &five, Some(&earlier), usize::MAX).unwrap();
        assert_eq!((more.epochs, witness.rounds.len()), (10, 5));
        let whole = fit(algorithm, &data, &ten);
        let x = features(100, 4);
        let far = furthest(&scores(algorithm, &more, &x), &scores(algorithm, &whole, &x));
        assert!(far < 2e-3, "{}: {far}", algorithm.name());
        if algorithm.name() == "xgboost" {
            assert_eq!(read(&more.files).unwrap().trees, read(&whole.files).unwrap().trees);
        }
        let other = Earlier { algorithm: "mlp".into(), ..earlier };
        let said = Witness::default().fit(algorithm, &data, &five, Some(&other), 9).unwrap_err();
        assert!(said.to_string().contains("made by mlp"), "{said}");
    }
}

#[test]
fn a_job_goes_on_from_the_sealed_artifact_of_another() {
    let user = User::new();
    let first = user.run(user.job("xgboost", "[hyperparameters]\nnum_round = 4\n")).unwrap();
    let kept = user.folder.path().join("first.tar.gz");
    std::fs::copy(first.artifact.to_string().trim_start_matches("file://"), &kept).unwrap();
    let more = format!(
        "[hyperparameters]\nnum_round = 3\n[channels.model]\nuri = \"{}\"\ncontent_type = \"application/x-sagemaker-model\"\n",
        kept.display()
    );
    let second = user.run(user.job("xgboost", &more)).unwrap();
    assert_eq!((first.epochs, second.epochs), (4, 7));
    let bytes = std::fs::read(second.artifact.to_string().trim_start_matches("file://")).unwrap();
    let (contents, _) = user.opener().contents(&bytes, "model.tar.gz").unwrap();
    let inputs =
        contents.provenance["predicate"]["buildDefinition"]["resolvedDependencies"].clone();
    assert!(inputs.to_string().contains("first.tar.gz"), "{inputs}");
    let said = user
        .run(user.job(
            "linear-learner",
            &more.replace("num_round = 3", "predictor_type = \"binary_classifier\""),
        ))
        .unwrap_err();
    assert!(said.to_string().contains("cannot go on"), "{said}");
}

#[test]
fn folds_are_models_that_answer_together() {
    let data = only(part(300, 0, 2));
    let given = [
        ("num_round", "4"),
        BINARY[0],
        ("_kfold", "3"),
        ("_num_cv_round", "2"),
        ("eval_metric", "auc"),
    ];
    let mut witness = Witness::default();
    let fitted = witness.fit(&Xgboost, &data, &given, None, usize::MAX).unwrap();
    assert_eq!((fitted.files.len(), witness.rounds.len(), fitted.epochs), (6, 24, 24));
    let names: Vec<&str> = fitted.metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["train:auc", "train:auc_std", "validation:auc", "validation:auc_std"]);
    assert!(fitted.metrics[2].value < fitted.metrics[0].value && fitted.metrics[3].value > 0.0);
    let x = features(50, 2);
    let together = scores(&Xgboost, &fitted, &x);
    let each: Vec<Vec<f32>> = models(&fitted.files)
        .unwrap()
        .into_iter()
        .map(|model| {
            let opened = Opened::new(&fitted.signature, vec![model]).unwrap();
            numbers(&opened.predict(x.view()).unwrap().fields[0].values)
        })
        .collect();
    for (row, score) in together.iter().enumerate() {
        let mean = each.iter().map(|own| own[row]).sum::<f32>() / 6.0;
        assert!((score - mean).abs() < 1e-6);
    }
    // Stopped in the third fold and gone on with: the same bits.
    let mut stopped = Witness::default();
    let end = stopped.fit(&Xgboost, &data, &given, None, 10);
    assert!(matches!(end, Err(Error::Stopped)));
    let mut resumed = Witness { given: stopped.kept, ..Witness::default() };
    let again = resumed.fit(&Xgboost, &data, &given, None, usize::MAX).unwrap();
    assert_eq!(again.files, fitted.files);
    assert_eq!(again.metrics, fitted.metrics);
}

#[test]
fn what_other_libraries_left_opens_packed_and_alone() {
    let user = User::new();
    let fitted = fit(&Xgboost, &only(part(400, 0, 2)), &BINARY);
    let model = read(&fitted.files).unwrap();
    let light = fit(&Lightgbm, &only(part(400, 0, 2)), &[("objective", "binary")]);
    let x = features(20, 5);
    let opener: Opener = user.opener();
    let packed = |files: Files| {
        let files = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        write_files(files, Vec::new()).unwrap()
    };
    let one = |name: &str, bytes: Vec<u8>| Files::from([(name.to_owned(), bytes)]);
    let hidden = Files::from([
        (MODEL_FILE.to_owned(), model.to_ubjson()),
        ("._xgboost-model".to_owned(), vec![0, 5, 22, 7]),
    ]);
    for (place, bytes) in [
        ("model.tar.gz", packed(one(MODEL_FILE, model.to_ubjson()))),
        ("model.tar.gz", packed(one(MODEL_FILE, model.to_json()))),
        ("model.tar.gz", packed(hidden)),
        ("fraud.json", model.to_json()),
        ("fraud.ubj", model.to_ubjson()),
    ] {
        let opened = opener.open(&bytes[..], place).unwrap();
        assert_eq!(opened.manifest.algorithm, "xgboost");
        let answer = opened.predict(x.view()).unwrap();
        assert_eq!(numbers(&answer.fields[0].values), scores(&Xgboost, &fitted, &x));
    }
    let text = light.files[lightgbm::MODEL_FILE].clone();
    for (place, bytes) in
        [("fraud.txt", text.clone()), ("m.tar.gz", packed(one("model.txt", text)))]
    {
        let opened = opener.open(&bytes[..], place).unwrap();
        assert_eq!(opened.manifest.algorithm, "lightgbm");
        let answer = opened.predict(x.view()).unwrap();
        assert_eq!(numbers(&answer.fields[0].values), scores(&Lightgbm, &light, &x));
    }
    let pickle = packed(one(MODEL_FILE, b"\x80\x04\x95pickle".to_vec()));
    let said = opener.open(&pickle[..], "model.tar.gz").err().unwrap().to_string();
    assert!(said.contains("pickle"), "{said}");
}

#[test]
fn every_cut_and_many_changed_bytes_of_a_lightgbm_model_are_an_answer() {
    let light = fit(
        &Lightgbm,
        &only(part(300, 0, 3)),
        &[
            ("objective", "multiclass"),
            ("num_class", "4"),
            ("num_boost_round", "2"),
            ("num_leaves", "5"),
        ],
    );
    let text = light.files[lightgbm::MODEL_FILE].clone();
    for length in (0..text.len()).step_by(7) {
        let _ = lightgbm::text::read(&text[..length]);
    }
    for at in 0..text.len() {
        for byte in [b'9', b'-', b' ', b'=', b'\n', 0xff] {
            let mut changed = text.clone();
            changed[at] = byte;
            if let Ok(model) = lightgbm::text::read(&changed) {
                let row = vec![0.5f32; model.features];
                let view = ArrayView2::from_shape((1, row.len()), &row).unwrap();
                let files = Files::from([(lightgbm::MODEL_FILE.to_owned(), changed)]);
                let signature = boost::plain_signature(&model, None);
                let _ = Lightgbm.open(&signature, &files).map(|opened| opened.predict(view));
            }
        }
    }
}

const LIGHT: &str = r#"
import sys, json, numpy as np, lightgbm as lgb, warnings
warnings.filterwarnings("ignore")
folder = sys.argv[1]
read = lambda n: np.fromfile(f"{folder}/{n}", "<f4")
t = read("t").reshape(-1, 5)
out = {}
for case in json.load(open(f"{folder}/cases.json")):
    name, given, cats = case["name"], case["given"], case["cats"]
    ours = lgb.Booster(model_file=f"{folder}/{name}.ours.txt")
    ours.predict(t).astype("<f4").tofile(f"{folder}/{name}.ours.score")
    ours.predict(t, pred_contrib=True).astype("<f4").tofile(f"{folder}/{name}.ours.shap")
    x, y = read(f"{name}.x").reshape(-1, 5), read(f"{name}.y")
    group = np.full(len(y) // 10, 10) if case["ranks"] else None
    d = lgb.Dataset(x.astype("f8"), label=y, group=group, categorical_feature=cats, params={"min_data_in_bin": 1})
    heard = {}
    b = lgb.train({**given, "verbose": -1, "num_threads": 1, "deterministic": True, "min_data_in_bin": 1},
                  d, 20, valid_sets=[d], valid_names=["train"], callbacks=[lgb.record_evaluation(heard)])
    b.save_model(f"{folder}/{name}.theirs.txt")
    b.predict(t).astype("<f4").tofile(f"{folder}/{name}.theirs.score")
    b.predict(t, pred_contrib=True).astype("<f4").tofile(f"{folder}/{name}.theirs.shap")
    out[name] = {k: v[-1] for k, v in heard["train"].items()}
json.dump(out, open(f"{folder}/heard.json", "w"))
"#;

#[test]
fn models_travel_both_ways_between_smrt_and_lightgbm() {
    let Some(python) = python() else { return };
    type Case = (&'static str, u32, Vec<(&'static str, &'static str)>);
    let all_rows = [("bagging_freq", "0"), ("feature_fraction", "1"), ("num_leaves", "15")];
    let cases: Vec<Case> = vec![
        ("regression", 0, vec![("metric", "l2,l1,rmse,mape")]),
        ("l1", 0, vec![("objective", "regression_l1"), ("metric", "l1")]),
        (
            "binary",
            2,
            vec![
                ("objective", "binary"),
                ("metric", "auc,binary_logloss,binary_error,average_precision"),
            ],
        ),
        ("words", 2, vec![("objective", "binary"), ("metric", "binary_logloss")]),
        (
            "unbalanced",
            2,
            vec![("objective", "binary"), ("is_unbalance", "true"), ("metric", "auc")],
        ),
        (
            "multiclass",
            3,
            vec![
                ("objective", "multiclass"),
                ("num_class", "3"),
                ("metric", "multi_logloss,multi_error"),
            ],
        ),
        ("poisson", 4, vec![("objective", "poisson"), ("metric", "poisson")]),
        ("gamma", 0, vec![("objective", "gamma"), ("metric", "gamma")]),
        ("tweedie", 4, vec![("objective", "tweedie"), ("metric", "tweedie")]),
        ("ranking", 4, vec![("objective", "lambdarank"), ("metric", "ndcg"), ("eval_at", "3,5")]),
        (
            "regular",
            0,
            vec![
                ("lambda_l1", "0.5"),
                ("lambda_l2", "2"),
                ("min_gain_to_split", "0.1"),
                ("min_data_in_leaf", "40"),
                ("metric", "l2"),
            ],
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let at = |name: String| folder.path().join(name);
    let mut t = features(300, 9);
    t.column_mut(4).mapv_inplace(|value| (value * 8.0).floor());
    write(&at("t".into()), t.iter().copied());
    let mut fitted = Vec::new();
    let mut listed = Vec::new();
    for (name, classes, given) in &cases {
        let mut train = part(2000, 0, *classes);
        let ranks = *name == "ranking";
        let cats: Vec<usize> = if *name == "words" { vec![4] } else { Vec::new() };
        if *name == "words" {
            train.features.column_mut(4).mapv_inplace(|value| (value * 8.0).floor());
        }
        if ranks {
            train.group = Some((0..2000).map(|row| row / 10).collect());
        }
        let Some(Labels::Number(y)) = train.label.clone() else { panic!("numbers") };
        write(&at(format!("{name}.x")), train.features.iter().copied());
        write(&at(format!("{name}.y")), y);
        let mut own: Vec<(&str, &str)> = given.iter().copied().chain(all_rows).collect();
        own.push(("num_boost_round", "20"));
        if !given.iter().any(|(name, _)| *name == "min_data_in_leaf") {
            own.push(("min_data_in_leaf", "20"));
        }
        let mut witness = Witness::default();
        let model = witness.fit(&Lightgbm, &only(train), &own, None, usize::MAX).unwrap();
        std::fs::write(at(format!("{name}.ours.txt")), &model.files[lightgbm::MODEL_FILE]).unwrap();
        let table: std::collections::BTreeMap<_, _> = own
            .iter()
            .copied()
            .chain([("max_depth", "6")])
            .filter(|(name, _)| *name != "num_boost_round")
            .collect();
        listed
            .push(serde_json::json!({"name": name, "given": table, "cats": cats, "ranks": ranks}));
        fitted.push((*name, model, witness));
    }
    std::fs::write(at("cases.json".into()), serde_json::Value::from(listed).to_string()).unwrap();
    run(&python, folder.path(), LIGHT);
    let heard: serde_json::Value =
        serde_json::from_slice(&std::fs::read(at("heard.json".into())).unwrap()).unwrap();
    let explained = |text: &[u8]| {
        let model = lightgbm::text::read(text).unwrap();
        Explainer::new(&model).contributions(&t.view()).into_raw_vec_and_offset().0
    };
    let mut faults = Vec::new();
    let mut hold = |is: bool, what: String| {
        println!("{what}");
        if !is {
            faults.push(what);
        }
    };
    for (name, model, witness) in &fitted {
        let ours = scores(&Lightgbm, model, &t);
        let far = furthest(&ours, &floats(&at(format!("{name}.ours.score"))));
        hold(far <= 2e-6, format!("{name}: ours in lightgbm differs by {far}"));
        let shap = floats(&at(format!("{name}.ours.shap")));
        let far = furthest(&explained(&model.files[lightgbm::MODEL_FILE]), &shap);
        hold(far < 1e-4, format!("{name}: our contributions differ by {far}"));
        let text = std::fs::read(at(format!("{name}.theirs.txt"))).unwrap();
        let adopted = Lightgbm.adopt(&Files::from([("m.txt".to_owned(), text.clone())]));
        let adopted = adopted.unwrap().unwrap();
        let opened = Lightgbm.open(&adopted.signature, &adopted.files).unwrap();
        let own = numbers(&opened.predict(t.view()).unwrap().fields[0].values);
        let theirs = floats(&at(format!("{name}.theirs.score")));
        let far = furthest(&own, &theirs);
        hold(far <= 2e-6, format!("{name}: theirs opened here differs by {far}"));
        let far = furthest(&explained(&text), &floats(&at(format!("{name}.theirs.shap"))));
        hold(far < 1e-4, format!("{name}: their contributions differ by {far}"));
        for (measure, theirs) in heard[name].as_object().unwrap() {
            let theirs = theirs.as_f64().unwrap();
            let last = witness.rounds.last().unwrap();
            let found = last.iter().find(|metric| metric.name == format!("train:{measure}"));
            let own = found.unwrap_or_else(|| panic!("{name} {measure}: {last:?}")).value;
            let near = (own - theirs).abs() <= 0.02 * theirs.abs().max(0.05);
            hold(near, format!("{name} {measure}: {own} {theirs}"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

const TWIN: &str = r#"
import sys, numpy as np, lightgbm as lgb
folder = sys.argv[1]
read = lambda name: np.fromfile(f"{folder}/{name}", "<f4")
x, t = read("x").reshape(-1, 5).astype("f8"), read("t").reshape(-1, 5).astype("f8")
given = dict(objective="regression", num_leaves=15, min_data_in_leaf=20, verbose=-1, num_threads=2)
model = lgb.train(given, lgb.Dataset(x, read("y")), 30)
model.predict(t).astype("<f4").tofile(f"{folder}/score")
"#;

#[test]
fn lightgbm_cuts_columns_and_chooses_cuts_as_the_library_does() {
    let Some(python) = python() else { return };
    // Negative and positive, mostly 0, some missing, of two values, of many.
    let columns = |rows: usize, salt: usize| {
        Array2::from_shape_fn((rows, 5), |(row, column)| {
            let value = noise(row, column + 10 * salt);
            match column {
                0 => value - 0.3,
                1 if value < 0.7 => 0.0,
                1 => (value * 900.0).floor(),
                2 if value < 0.1 => f32::NAN,
                2 => value * value,
                3 => value.round(),
                _ => (value * 40.0).floor() / 8.0,
            }
        })
    };
    let (x, t) = (columns(3000, 0), columns(500, 7));
    let target = |row: usize| {
        let at = |column: usize| if x[[row, column]].is_nan() { 0.5 } else { x[[row, column]] };
        let sum = 3.0 * at(0) * at(4) + at(1) / 500.0 + (at(2) * 5.0).sin() * at(3);
        sum + noise(row, 99) - 0.5
    };
    let y: Vec<f32> = (0..3000).map(target).collect();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("x"), x.iter().copied());
    write(&at("t"), t.iter().copied());
    write(&at("y"), y.iter().copied());
    run(&python, folder.path(), TWIN);
    let train = Dataset { label: Some(Labels::Number(y)), ..Dataset::of(x) };
    let given = [
        ("num_boost_round", "30"),
        ("num_leaves", "15"),
        ("max_depth", "-1"),
        ("min_data_in_leaf", "20"),
        ("bagging_freq", "0"),
        ("feature_fraction", "1"),
    ];
    // One other cut in any of the thirty trees would show a thousand times larger.
    let own = scores(&Lightgbm, &fit(&Lightgbm, &only(train), &given), &t);
    let far = furthest(&own, &floats(&at("score")));
    assert!(far < 1e-5, "{far}");
}

const SCORES: &str = r#"
import sys, json, xgboost as xgb
folder = sys.argv[1]
b = xgb.Booster(); b.load_model(f"{folder}/model.ubj")
kinds = ["weight", "gain", "cover", "total_gain", "total_cover"]
json.dump({kind: b.get_score(importance_type=kind) for kind in kinds}, open(f"{folder}/scores.json", "w"))
"#;

#[test]
fn importances_are_those_of_xgboosts_get_score() {
    let fitted = fit(&Xgboost, &only(part(900, 0, 2)), &BINARY);
    let found = Xgboost.importances(&fitted.signature, &fitted.files).unwrap().unwrap();
    assert!(found.windows(2).all(|pair| pair[0].total_gain >= pair[1].total_gain));
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.ubj"), &fitted.files[MODEL_FILE]).unwrap();
    run(&python, folder.path(), SCORES);
    let scores = std::fs::read(folder.path().join("scores.json")).unwrap();
    let scores: serde_json::Value = serde_json::from_slice(&scores).unwrap();
    assert_eq!(scores["weight"].as_object().unwrap().len(), found.len());
    for column in &found {
        for (kind, own) in [
            ("weight", column.weight as f64),
            ("gain", column.gain),
            ("cover", column.cover),
            ("total_gain", column.total_gain),
            ("total_cover", column.total_cover),
        ] {
            let theirs = scores[kind][&column.column].as_f64().unwrap();
            assert!((own - theirs).abs() <= 1e-4 * theirs.abs(), "{kind} {column:?} {theirs}");
        }
    }
}
