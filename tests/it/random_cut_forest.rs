//! `random-cut-forest`: its trees against exact expectations, its score, its state, its contract.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array2, Axis, Slice, arr2};
use proptest::prelude::*;
use smrt::algorithm::random_cut_forest::{Forest, Plan, PointsOf, RandomCutForest};
use smrt::algorithm::{
    Ask, Channels, Checkpoints, Context, Definition, Earlier, Error, Files, Fitted, Metric,
    Observer, Predictor, Progress, Selected, Table, device,
};
use smrt::data::{Answer, Dataset, Labels, Task, Values};
use smrt::fault::Fault;
use smrt::spec::parameter::{Raw, RawParameters, RawValue};
use smrt::spec::problem::Problems;
use smrt::spec::train::DeviceChoice;

use crate::unlabelled::{Job, Kept};

struct Quiet;

impl Observer for Quiet {
    fn step(&mut self, progress: Progress) {
        assert!(progress.rows_done <= progress.rows_total);
    }
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

fn train(parameters: &[(&str, &str)], data: &Channels) -> Result<Fitted, Error> {
    train_until(parameters, data, &|| false)
}

fn train_until(
    parameters: &[(&str, &str)],
    data: &Channels,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Fitted, Error> {
    let one = |(name, text): &(&str, &str)| {
        ((*name).to_owned(), Raw { value: RawValue::Text((*text).to_owned()), line: None })
    };
    let raw: RawParameters = parameters.iter().map(one).collect();
    let mut problems = Problems::default();
    let trainer = RandomCutForest.trainer(&raw, &mut problems);
    let mut context = Context {
        device: device::open(DeviceChoice::Cpu).unwrap(),
        threads: 2,
        seed: 7,
        stop,
        observer: &mut Quiet,
        checkpoints: &mut Quiet,
    };
    trainer.unwrap_or_else(|| panic!("{problems:?}")).fit(data, &mut context)
}

fn only(train: Dataset) -> Channels {
    Channels { train, validation: None, test: None }
}

fn open(fitted: &Fitted) -> Box<dyn Predictor> {
    Table::builtin()
        .get("random-cut-forest")
        .unwrap()
        .open(&fitted.signature, &fitted.files)
        .unwrap()
}

fn metric(fitted: &Fitted, name: &str) -> f64 {
    let found = fitted.metrics.iter().find(|metric| metric.name == name);
    found.unwrap_or_else(|| panic!("{name} is not in {:?}", fitted.metrics)).value
}

fn scores(answer: &Answer) -> &[f32] {
    match &answer.fields[0].values {
        Values::Number(scores) => scores,
        other => panic!("the first field is the score, not {other:?}"),
    }
}

/// Numbers in [0, 1) that look like chance and are the same everywhere.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// Rows around 0, of which the last `strange` lie far out in the second column.
fn cloud(rows: usize, columns: usize, strange: usize) -> Dataset {
    let mut noise = noise(11);
    let mut features = Array2::from_shape_simple_fn((rows, columns), || {
        (0..4).map(|_| noise()).sum::<f32>() - 2.0
    });
    for at in rows - strange..rows {
        features[[at, 1]] += 7.0;
    }
    let label = (0..rows).map(|at| f32::from(at >= rows - strange)).collect();
    Dataset { label: Some(Labels::Number(label)), ..Dataset::of(features) }
}

fn plan(trees: usize, samples: usize, seed: u64) -> Plan {
    Plan { trees, samples, shingle: 1, normalize: false, seed }
}

// Exact expectations.

/// The expected depth of `x` in a random cut tree of `rows` and `x`, by going through every way
/// the cuts can part the rows: between two neighbouring values all cuts are the same. Equal rows
/// share a leaf, as deep as a balanced tree of them.
fn expected_depth(rows: &[Vec<f64>], x: &[f64]) -> f64 {
    let width = x.len();
    let all = || rows.iter().map(Vec::as_slice).chain([x]);
    let side = |at: usize| {
        let high = all().map(|row| row[at]).fold(f64::MIN, f64::max);
        high - all().map(|row| row[at]).fold(f64::MAX, f64::min)
    };
    let total: f64 = (0..width).map(side).sum();
    if total == 0.0 {
        return ((rows.len() + 1) as f64).log2();
    }
    let mut depth = 1.0;
    for at in 0..width {
        let mut values: Vec<f64> = all().map(|row| row[at]).collect();
        values.sort_by(f64::total_cmp);
        for pair in values.windows(2).filter(|pair| pair[1] > pair[0]) {
            let left = |row: &[f64]| row[at] <= pair[0];
            let with: Vec<Vec<f64>> =
                rows.iter().filter(|row| left(row) == left(x)).cloned().collect();
            if !with.is_empty() {
                depth += (pair[1] - pair[0]) / total * expected_depth(&with, x);
            }
        }
    }
    depth
}

fn points(rows: &[[f32; 2]]) -> (Array2<f32>, Vec<Vec<f64>>) {
    let exact = rows.iter().map(|row| row.map(f64::from).to_vec()).collect();
    (arr2(rows), exact)
}

const SMALL: [[f32; 2]; 6] =
    [[0.0, 0.0], [1.0, 0.5], [0.5, 3.0], [0.25, 1.0], [0.25, 1.0], [4.0, 0.75]];

/// Mean depth that a forest's score says, and what it should be. The standard error of a mean
/// over `trees` trees is far below the tolerance.
fn assert_depths(forest: &Forest, rows: &[Vec<f64>], queries: &[[f32; 2]]) {
    let flat: Vec<f32> = queries.concat();
    let scorer = forest.scorer();
    let scores = scorer.scores(&PointsOf::whole(&flat, 2));
    for (query, score) in queries.iter().zip(scores) {
        let depth = f64::from(scorer.highest()) / f64::from(score);
        let exact = expected_depth(rows, &query.map(f64::from));
        assert!((depth - exact).abs() < 0.03, "{query:?}: {depth} is not {exact}");
    }
}

const QUERIES: [[f32; 2]; 6] =
    [[0.25, 1.0], [0.3, 0.9], [10.0, 10.0], [0.0, 0.0], [-1.0, 2.0], [1.0, 0.75]];

#[test]
fn the_score_is_the_exact_expectation_over_random_cut_trees() {
    let (rows, exact) = points(&SMALL);
    let forest = Forest::fit(&rows.view(), &plan(20_000, 6, 1)).unwrap();
    assert!(forest.is_sound());
    assert_depths(&forest, &exact, &QUERIES);
}

#[test]
fn a_forest_that_learned_row_by_row_is_distributed_as_one_built_at_once() {
    let (rows, exact) = points(&SMALL);
    let first = rows.slice_axis(Axis(0), Slice::from(0..1));
    let mut forest = Forest::fit(&first, &plan(20_000, 6, 1)).unwrap();
    for row in rows.rows().into_iter().skip(1) {
        forest.update(&row.to_vec()).unwrap();
    }
    assert!(forest.is_sound());
    assert_eq!(forest.seen(), 6);
    assert_depths(&forest, &exact, &QUERIES);
}

#[test]
fn what_was_forgotten_leaves_no_trace() {
    // Trees of two samples that saw six rows hold each pair alike: the expectation is the mean
    // over all pairs, whatever was inserted and deleted on the way.
    let (rows, exact) = points(&SMALL);
    let mut forest =
        Forest::fit(&rows.slice_axis(Axis(0), Slice::from(0..2)), &plan(40_000, 2, 3)).unwrap();
    for row in rows.rows().into_iter().skip(2) {
        forest.update(&row.to_vec()).unwrap();
    }
    assert!(forest.is_sound());
    let scorer = forest.scorer();
    for query in QUERIES {
        let mut means = Vec::new();
        for one in 0..6 {
            for two in 0..one {
                let pair = [exact[one].clone(), exact[two].clone()];
                means.push(expected_depth(&pair, &query.map(f64::from)));
            }
        }
        let expected = means.iter().sum::<f64>() / means.len() as f64;
        let score = scorer.scores(&PointsOf::whole(&query, 2))[0];
        let depth = f64::from(scorer.highest()) / f64::from(score);
        assert!((depth - expected).abs() < 0.03, "{query:?}: {depth} is not {expected}");
    }
}

// The state.

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_stream_leaves_a_sound_forest_that_is_kept_and_opened_the_same(
        // A small grid makes many equal rows, equal coordinates and flat boxes.
        rows in prop::collection::vec(prop::array::uniform3(-2i8..3), 1..60),
        first in 1usize..60,
        samples in 1usize..12,
        seed in any::<u64>(),
    ) {
        let row = |row: &[i8; 3]| row.map(f32::from);
        let first = first.min(rows.len());
        let start: Vec<[f32; 3]> = rows[..first].iter().map(row).collect();
        let mut forest = Forest::fit(&arr2(&start).view(), &plan(8, samples, seed)).unwrap();
        prop_assert!(forest.is_sound());
        for next in &rows[first..] {
            forest.update(&row(next)).unwrap();
            prop_assert!(forest.is_sound());
        }
        prop_assert_eq!(forest.seen(), rows.len() as u64);
        let mut opened = Forest::open(&forest.files()).unwrap();
        prop_assert!(opened.is_sound());
        prop_assert_eq!(opened.files(), forest.files());
        let flat: Vec<f32> = rows.iter().flat_map(row).collect();
        let all = PointsOf::whole(&flat, 3);
        prop_assert_eq!(opened.scorer().scores(&all), forest.scorer().scores(&all));
        // And goes on with the same draws.
        for next in &rows {
            forest.update(&row(next)).unwrap();
            opened.update(&row(next)).unwrap();
        }
        prop_assert_eq!(opened.files(), forest.files());
    }
}

#[test]
fn the_state_stays_as_large_as_its_samples() {
    let mut noise = noise(5);
    let rows = Array2::from_shape_simple_fn((200, 4), &mut noise);
    let mut forest = Forest::fit(&rows.view(), &plan(10, 16, 1)).unwrap();
    let bytes = |forest: &Forest| forest.files()["model.safetensors"].len();
    let before = bytes(&forest);
    for _ in 0..3_000 {
        forest.update(&[noise(), noise(), noise(), noise()]).unwrap();
    }
    assert_eq!(forest.seen(), 3_200);
    assert!(bytes(&forest) < before + 1_000, "{before} {}", bytes(&forest));
}

#[test]
fn a_stream_that_moves_on_is_followed() {
    let mut noise = noise(5);
    let rows = Array2::from_shape_simple_fn((100, 2), &mut noise);
    let mut forest = Forest::fit(&rows.view(), &plan(50, 32, 1)).unwrap();
    let score = |forest: &Forest| forest.scorer().scores(&PointsOf::whole(&[5.5, 5.5], 2))[0];
    let before = score(&forest);
    for _ in 0..2_000 {
        forest.update(&[5.0 + noise(), 5.0 + noise()]).unwrap();
    }
    assert!(before > 3.0 && score(&forest) < 1.2, "{before}, then {}", score(&forest));
}

#[test]
fn a_wrong_update_changes_nothing() {
    let mut forest = Forest::fit(&cloud(50, 3, 0).features.view(), &plan(5, 8, 1)).unwrap();
    let before = forest.files();
    assert!(forest.update(&[0.0; 2]).is_err());
    assert!(forest.update(&[0.0, f32::INFINITY, 0.0]).is_err());
    assert_eq!(forest.files(), before);
    forest.update(&[0.0, f32::NAN, 0.0]).unwrap();
}

#[test]
fn hostile_bytes_are_refused_and_never_a_panic() {
    let rows = arr2(&[[0.0, 1.0], [2.0, 0.5], [2.0, 3.0], [0.0, 1.0]]);
    let files = Forest::fit(&rows.view(), &plan(3, 4, 1)).unwrap().files();
    let name = "model.safetensors";
    let bytes = &files[name];
    let with = |bytes: Vec<u8>| Forest::open(&Files::from([(name.to_owned(), bytes)]));
    for length in 0..bytes.len() {
        assert!(with(bytes[..length].to_vec()).is_err(), "cut at {length}");
    }
    let mut refused = 0;
    for at in 0..bytes.len() {
        for flip in [0x01, 0x40, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            match with(changed) {
                // What opens is a forest, if another one.
                Ok(mut forest) => {
                    assert!(forest.is_sound(), "byte {at}");
                    let score = forest.scorer().scores(&PointsOf::whole(&[0.5, 0.5], 2))[0];
                    assert!(score.is_finite() && score > 0.0, "byte {at}: {score}");
                    forest.update(&[9.0, 9.0]).unwrap();
                }
                Err(error) => {
                    assert!(matches!(error, Error::Corrupt(_)), "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > bytes.len(), "{refused}");
    assert!(Forest::open(&Files::new()).unwrap_err().to_string().contains("missing"));
}

// The score.

#[test]
fn strange_rows_score_higher_and_the_rule_finds_them() {
    let data = cloud(2_000, 5, 20);
    let test = data.clone();
    let fitted = train(&[], &Channels { test: Some(test), ..only(data) }).unwrap();
    assert!(metric(&fitted, "test:roc_auc_score") > 0.999, "{:?}", fitted.metrics);
    assert!(metric(&fitted, "test:f1") > 0.7, "{:?}", fitted.metrics);
    let names: Vec<&str> = fitted.metrics.iter().map(|metric| metric.name.as_str()).collect();
    for name in ["test:accuracy", "test:precision", "test:recall", "train:score_mean"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let rule = metric(&fitted, "train:score_mean") + 3.0 * metric(&fitted, "train:score_deviation");
    let threshold = f64::from(fitted.signature.threshold.unwrap());
    assert!((threshold - rule).abs() < 1e-6, "{threshold} is not {rule}");
    assert_eq!(fitted.signature.task, Task::AnomalyDetection);
}

#[test]
fn a_target_rate_is_met() {
    for rate in ["0.05", "0.001", "0.5"] {
        let fitted = train(&[("target_rate", rate)], &only(cloud(2_000, 3, 0))).unwrap();
        let met = metric(&fitted, "train:anomaly_rate");
        assert!((met - rate.parse::<f64>().unwrap()).abs() < 1e-9, "{rate}: {met}");
    }
    // All alike: nothing is stranger than the rest.
    for parameters in [&[][..], &[("target_rate", "0.1")]] {
        let fitted = train(parameters, &only(Dataset::of(Array2::ones((100, 3))))).unwrap();
        assert_eq!(metric(&fitted, "train:anomaly_rate"), 0.0);
    }
}

#[test]
fn a_rows_answer_does_not_depend_on_the_rows_beside_it_or_on_threads() {
    for columns in [1, 3, 10, 48, 49, 100] {
        let data = cloud(700, columns.max(2), 7);
        let data =
            Dataset::of(data.features.slice_axis(Axis(1), Slice::from(0..columns)).to_owned());
        let fitted = train(&[("num_samples_per_tree", "64")], &only(data.clone())).unwrap();
        let opened = open(&fitted);
        let rows = data.features.view();
        let all = opened.predict(rows).unwrap();
        for pieces in [1, 3, 100] {
            let apart: Vec<f32> = rows
                .axis_chunks_iter(Axis(0), pieces)
                .flat_map(|rows| scores(&opened.predict(rows).unwrap()).to_vec())
                .collect();
            assert_eq!(apart, scores(&all), "{columns} columns, {pieces} rows");
        }
        for threads in [1, 4] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let again = pool.install(|| opened.predict(rows).unwrap());
            assert_eq!(again, all);
            let plan = Plan { normalize: true, ..plan(100, 64, 7) };
            let forest = pool.install(|| Forest::fit(&rows, &plan).unwrap());
            assert_eq!(forest.files(), fitted.files, "{threads} threads");
        }
        // Rows as a decoder leaves them, column by column.
        let mut by_column = Array2::zeros(ndarray::ShapeBuilder::f(rows.dim()));
        by_column.assign(&rows);
        assert_eq!(opened.predict(by_column.view()).unwrap(), all);
    }
}

#[test]
fn units_do_not_matter_unless_asked() {
    let data = cloud(500, 4, 5);
    let mut cents = data.clone();
    // A power of two, so that scaling loses no digit.
    cents.features.column_mut(2).mapv_inplace(|value| value * 1024.0);
    let answer = |parameters: &[(&str, &str)], data: &Dataset| {
        let fitted = train(parameters, &only(data.clone())).unwrap();
        scores(&open(&fitted).predict(data.features.view()).unwrap()).to_vec()
    };
    assert_eq!(answer(&[], &data), answer(&[], &cents));
    let as_is = [("normalize", "false")];
    assert_ne!(answer(&as_is, &data), answer(&as_is, &cents));
}

#[test]
fn missing_values_and_constant_columns_are_taken() {
    let mut data = cloud(400, 4, 4);
    data.features.column_mut(0).fill(f32::NAN);
    data.features.column_mut(3).fill(1.0);
    for row in (0..390).step_by(7) {
        data.features[[row, 2]] = f32::NAN;
    }
    let fitted = train(&[], &only(data.clone())).unwrap();
    assert!(metric(&fitted, "train:roc_auc_score") > 0.99, "{:?}", fitted.metrics);
    let opened = open(&fitted);
    let answer = opened.predict(arr2(&[[f32::NAN; 4], [0.0, 0.0, 0.0, 9.0], [f32::MAX; 4]]).view());
    let answer = answer.unwrap();
    let [missing, changed, far] = scores(&answer) else { panic!() };
    // Nothing known is nothing strange; a constant that is another is.
    let threshold = fitted.signature.threshold.unwrap();
    assert!(*missing < threshold && *changed > threshold && *far > threshold, "{answer:?}");
    assert!(far.is_finite());
}

#[test]
fn one_row_one_column_and_ten_thousand_columns_are_forests() {
    let fitted =
        train(&[("num_samples_per_tree", "1")], &only(Dataset::of(arr2(&[[3.0]])))).unwrap();
    let answer = open(&fitted).predict(arr2(&[[3.0], [4.0], [f32::NAN]]).view()).unwrap();
    assert!(scores(&answer).iter().all(|score| score.is_finite()), "{answer:?}");
    let wide = cloud(40, 10_000, 1);
    let parameters = [("num_trees", "50"), ("num_samples_per_tree", "16")];
    let fitted = train(&parameters, &only(wide)).unwrap();
    assert!(metric(&fitted, "train:score_mean") > 0.0);
}

// Contributions.

#[test]
fn contributions_name_the_strange_column_and_add_up_to_the_score() {
    let data = Dataset {
        columns: ["a", "b", "c", "d"].map(String::from).to_vec().into(),
        ..cloud(1_000, 4, 10)
    };
    let fitted = train(&[], &only(data.clone())).unwrap();
    let opened = open(&fitted);
    let rows = data.features.slice_axis(Axis(0), Slice::from(980..));
    let ask = Ask { explain: Some(usize::MAX), verbose: true, ..Ask::default() };
    let answer = opened.predict_with(rows, &ask).unwrap();
    assert_eq!(scores(&answer), scores(&opened.predict(rows).unwrap()));
    let names: Vec<&str> = answer.fields.iter().map(|field| field.name).collect();
    assert_eq!(names, ["score", "predicted_label", "contributions"]);
    let Values::Contributions { width, columns, values, names } = &answer.fields[2].values else {
        panic!()
    };
    assert_eq!((*width, names.len()), (4, 4));
    for (row, (columns, values)) in columns.chunks(4).zip(values.chunks(4)).enumerate() {
        let sum: f32 = values.iter().sum();
        assert!((sum - scores(&answer)[row]).abs() < 1e-5, "row {row}: {sum}");
        assert!(values.is_sorted_by(|a, b| a >= b) && values.iter().all(|value| *value >= 0.0));
        if row >= 10 {
            assert_eq!(columns[0], 1, "row {row}: {values:?}");
            assert!(values[0] > 2.0 * values[1]);
        }
    }
    let top = opened
        .predict_with(rows, &Ask { explain: Some(1), verbose: false, ..Ask::default() })
        .unwrap();
    let Values::Contributions { width: 1, values, .. } = &top.fields[1].values else { panic!() };
    assert_eq!(values.len(), rows.nrows());
    // A row that all trees hold has its reasons as well.
    let same = train(&[], &only(Dataset::of(Array2::ones((9, 2))))).unwrap();
    let answer = open(&same).predict_with(Array2::ones((1, 2)).view(), &ask).unwrap();
    let Values::Contributions { values, .. } = &answer.fields[2].values else { panic!() };
    assert!((values.iter().sum::<f32>() - scores(&answer)[0]).abs() < 1e-6);
}

// Series.

#[test]
fn a_break_in_a_series_is_found_by_shingles_alone() {
    // A wave that stands still for a while: each value is usual, their order is not.
    let wave = |at: usize| if (700..712).contains(&at) { 0.8 } else { (at as f32 * 0.5).sin() };
    let rows = Array2::from_shape_fn((1_000, 1), |(at, _)| wave(at));
    let label = (0..1_000).map(|at| f32::from((704..712).contains(&at))).collect();
    let data = Dataset {
        label: Some(Labels::Number(label)),
        columns: ["load".to_owned()].into(),
        ..Dataset::of(rows)
    };
    let auc = |shingle: &str| {
        let fitted = train(&[("shingle_size", shingle)], &only(data.clone())).unwrap();
        (metric(&fitted, "train:roc_auc_score"), fitted)
    };
    let (single, _) = auc("1");
    let (shingled, fitted) = auc("8");
    assert!(shingled > 0.97 && single < 0.8, "{single} {shingled}");
    assert_eq!(fitted.signature.features, 8);
    assert_eq!(fitted.signature.columns[0], "load[t-7]");
    assert_eq!(fitted.signature.columns[7], "load");
    // A request is a whole shingle, and answers as the series does.
    let shingle: Vec<f32> = (701..709).map(wave).collect();
    let request = Array2::from_shape_vec((1, 8), shingle).unwrap();
    let answer = open(&fitted).predict(request.view()).unwrap();
    assert!(scores(&answer)[0] > fitted.signature.threshold.unwrap());
    let scorer = Forest::open(&fitted.files).unwrap().into_scorer();
    let series = data.features.as_slice().unwrap();
    let all = scorer.scores(&PointsOf::series(series, 1, 8));
    assert_eq!(all.len(), 993);
    assert_eq!(all[708 - 7], scores(&answer)[0]);
}

// Real data.

/// Beside scikit-learn's isolation forest, 100 trees of 256 rows, mean of three seeds. Shuttle is
/// known to fall short, and is held to what it has; the others to theirs less what seeds differ by.
#[test]
fn real_anomalies_are_found_as_an_isolation_forest_finds_them() {
    let Ok(shared) = std::env::var("SMRT_SHARED") else {
        println!("skipped: SMRT_SHARED is not set");
        return;
    };
    let user = crate::train::User::new();
    for (name, reference) in [
        ("ionosphere", 0.8481),
        ("pima", 0.6719),
        ("satellite", 0.7135),
        ("thyroid", 0.978),
        ("shuttle", 0.9948),
    ] {
        let job = format!("ad_{name}-forest.toml");
        let auc = crate::schema::quality(&user, &shared, &job, "train:roc_auc_score");
        println!("{name}: AUC {auc:.4}, isolation forest {reference:.4}");
        assert!(auc > reference - 0.008, "{name}: {auc} is below {reference}");
    }
}

// The shipped data.

#[test]
fn the_shipped_transactions_are_the_generators() {
    let mut expected = smrt::data::generate::TRANSACTION_COLUMNS.join(",").into_bytes();
    expected.push(b'\n');
    smrt::data::generate::transactions(4_000, 7, &mut expected).unwrap();
    assert!(std::fs::read("datasets/transactions/train.csv").unwrap() == expected);
}

// What is refused.

#[test]
fn what_cannot_be_learned_from_is_refused_with_a_way_out() {
    let numbers = |rows: usize, columns: usize| Dataset::of(Array2::zeros((rows, columns)));
    let labelled = |labels: Vec<f32>| Dataset {
        label: Some(Labels::Number(labels.clone())),
        ..numbers(labels.len(), 2)
    };
    type Case<'a> = (Channels, &'a [(&'a str, &'a str)], &'a str);
    let cases: Vec<Case<'_>> = vec![
        (only(numbers(0, 3)), &[], "has no rows"),
        (only(numbers(3, 0)), &[], "no features"),
        (only(numbers(3, 2)), &[("shingle_size", "4")], "shingles of 4 rows"),
        (only(numbers(3, 10_001)), &[], "at most 10000"),
        (only(numbers(30, 500)), &[("shingle_size", "21")], "10500 numbers"),
        (only(numbers(3, 2)), &[("feature_dim", "3")], "feature_dim is 3"),
        (only(labelled(vec![0.0, 2.5])), &[], "2.5 was read as a label"),
        (
            only(Dataset {
                label: Some(Labels::Text { codes: vec![0], names: vec!["paid".into()] }),
                ..numbers(1, 2)
            }),
            &[],
            "\"paid\" was read as a label",
        ),
        (Channels { test: Some(numbers(3, 2)), ..only(numbers(3, 2)) }, &[], "test has no labels"),
        (
            Channels { test: Some(labelled(vec![0.0])), ..only(numbers(3, 3)) },
            &[],
            "channel test has 2 features and channel train has 3",
        ),
        (only(Dataset::of(arr2(&[[1.0, f32::INFINITY]]))), &[], "row 1, feature 2 is infinite"),
    ];
    for (data, parameters, said) in cases {
        let error = train(parameters, &data).unwrap_err();
        assert!(matches!(error, Error::Data { .. }), "{error}");
        assert!(error.to_string().contains(said), "{error} does not say {said:?}");
        assert!(error.help().is_some_and(|help| !help.is_empty()));
    }
    let huge = [("num_trees", "1000"), ("num_samples_per_tree", "2048")];
    let error = train(&huge, &only(numbers(2_048, 1_000))).unwrap_err();
    assert!(error.to_string().contains("more than"), "{error}");
}

#[test]
fn a_training_that_should_stop_stops() {
    let error = train_until(&[], &only(cloud(100, 2, 0)), &|| true).unwrap_err();
    assert!(matches!(error, Error::Stopped));
}

// Trainings that are stopped, and trainings that go on.

const STOPPED: &[(&str, &str)] = &[("num_trees", "200"), ("num_samples_per_tree", "32")];

#[test]
fn a_stopped_training_goes_on_to_the_same_bytes() {
    let data = cloud(2_000, 50, 20);
    let data = Channels { validation: Some(cloud(1_500, 50, 100)), ..only(data) };
    let job = Job::new("random-cut-forest", STOPPED);
    let whole = job.fitted(&data);
    let (pieces, stops) = job.in_pieces(&data, &[1, 2]);
    assert!(stops >= 2, "{stops} stops");
    assert!(pieces.files == whole.files && pieces.metrics == whole.metrics);
    assert_eq!(pieces.signature, whole.signature);
    job.refuses_damaged_checkpoints(&data);
    let other = only(cloud(1_000, 50, 20));
    let mut kept = Kept::default();
    let asked = AtomicUsize::new(0);
    let stop = || asked.fetch_add(1, Ordering::Relaxed) >= 3;
    assert!(matches!(job.run_with(&data, &stop, &mut kept), Err(Error::Stopped)));
    kept.resume = true;
    let refused = job.run_with(&other, &|| false, &mut kept).unwrap_err();
    assert!(refused.to_string().contains("another job"), "{refused}");
}

fn earlier(fitted: &Fitted) -> Earlier {
    Earlier {
        algorithm: "random-cut-forest".into(),
        signature: fitted.signature.clone(),
        files: fitted.files.clone(),
    }
}

#[test]
fn a_forest_that_goes_on_is_the_one_that_learned_the_rows_one_by_one() {
    for parameters in [STOPPED, &[("num_samples_per_tree", "32"), ("shingle_size", "3")]] {
        let (first, second) = (cloud(20, 4, 0), cloud(1_000, 4, 10));
        let job = Job::new("random-cut-forest", parameters);
        let begun = job.fitted(&only(Dataset { label: None, ..first }));
        let rows = second.features.clone();
        let data = only(second);
        let more = job.fitted_from(&earlier(&begun), &data);
        let mut forest = Forest::open(&begun.files).unwrap();
        for shingle in rows.axis_windows(Axis(0), forest.shingle()) {
            forest.update(&shingle.iter().copied().collect::<Vec<f32>>()).unwrap();
        }
        assert!(forest.is_sound());
        assert!(more.files == forest.files(), "{parameters:?}");
        // Stopped on the way, it ends the same.
        let (mut kept, mut stops) = (Kept::default(), 0);
        let parted = loop {
            let asked = AtomicUsize::new(0);
            let stop = || asked.fetch_add(1, Ordering::Relaxed) >= 1;
            match job.run_from(Some(&earlier(&begun)), &data, &stop, &mut kept) {
                Ok(fitted) => break fitted,
                Err(Error::Stopped) => stops += 1,
                Err(error) => panic!("{error}"),
            }
            kept.resume = true;
        };
        assert!(stops > 0 && parted.files == more.files && parted.metrics == more.metrics);
    }
}

#[test]
fn a_forest_goes_on_from_a_forest_of_its_own_kind_alone() {
    let begun = earlier(&train(&[], &only(cloud(300, 4, 0))).unwrap());
    let try_with = |parameters: &[(&str, &str)], earlier: &Earlier, data: Dataset| {
        let job = Job::new("random-cut-forest", parameters);
        let refused =
            job.run_from(Some(earlier), &only(data), &|| false, &mut Kept::default()).unwrap_err();
        format!("{refused} / {}", refused.help().unwrap_or_default())
    };
    let trees = try_with(&[("num_trees", "50")], &begun, cloud(30, 4, 0));
    assert!(trees.contains("num_trees 100") && trees.contains("set num_trees = 100"), "{trees}");
    let narrow = try_with(&[], &begun, cloud(30, 3, 0));
    assert!(narrow.contains("has 3 features and the earlier forest 4"), "{narrow}");
    let other = Earlier { algorithm: "kmeans".into(), ..begun };
    assert!(try_with(&[], &other, cloud(30, 4, 0)).contains("made by kmeans"));
}

#[test]
fn sagemakers_selected_fields_are_answered() {
    let data = cloud(500, 3, 5);
    let fitted = train(&[], &only(data.clone())).unwrap();
    let opened = open(&fitted);
    let ask = |fields: &[Selected]| {
        opened
            .predict_with(data.features.view(), &Ask { fields: fields.to_vec(), ..Ask::default() })
    };
    let answer = ask(&[Selected::PredictedLabel, Selected::RawScore]).unwrap();
    let names: Vec<&str> = answer.fields.iter().map(|field| field.name).collect();
    assert_eq!(names, ["predicted_label", "raw_score"]);
    let plain = opened.predict(data.features.view()).unwrap();
    assert_eq!(answer.fields[1].values, plain.fields[0].values);
    let refused = ask(&[Selected::Probabilities]).unwrap_err();
    assert!(refused.to_string().contains("has no probabilities"), "{refused}");
}

#[test]
fn a_signature_of_another_model_is_refused() {
    let fitted = train(&[], &only(cloud(50, 3, 0))).unwrap();
    let mut signature = fitted.signature.clone();
    signature.features = 4;
    assert!(matches!(RandomCutForest.open(&signature, &fitted.files), Err(Error::Corrupt(_))));
}

#[test]
fn shingles_of_rows_with_words_are_answered_with_the_words_of_each_row() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..400)
        .map(|at| format!("{:.3},{}\n", (at as f32 * 0.7).sin(), ["low", "high"][at / 2 % 2]))
        .collect();
    std::fs::write(folder.path().join("rows.csv"), format!("load,mode\n{rows}")).unwrap();
    std::fs::write(
        folder.path().join("job.toml"),
        "[job]\nname = \"series\"\nseed = 1\n[algorithm]\nname = \"random-cut-forest\"\n\
         [hyperparameters]\nshingle_size = 3\nnum_trees = 50\n[channels.train]\nuri = \"rows.csv\"\n\
         content_type = \"text/csv;label_size=0\"\nheader = true\ncategorical = \"auto\"\n\
         [output]\nuri = \"models\"\nkms_key = \"none\"\n[resources]\ndevice = \"cpu\"\n",
    )
    .unwrap();
    let smrt = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_smrt"))
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    smrt(&["train", "job.toml"]);
    let model = "models/series/output/model.tar.gz";
    let scores = smrt(&["predict", "--header", "--series", model, "rows.csv"]);
    assert_eq!(scores.lines().count(), 398);
    // A request is a whole shingle, oldest row first, with the words of each of its rows.
    let rows: Vec<&str> = rows.lines().collect();
    let shingles: String = rows.windows(3).map(|three| three.join(",") + "\n").collect();
    std::fs::write(folder.path().join("shingles.csv"), shingles).unwrap();
    assert_eq!(smrt(&["predict", model, "shingles.csv"]), scores);
    // Words that the series never had together are stranger.
    std::fs::write(folder.path().join("odd.csv"), "0,low,0,high,0,low\n").unwrap();
    let score = |text: String| text.lines().next().unwrap().parse::<f32>().unwrap();
    let highest = scores.lines().map(|line| line.parse::<f32>().unwrap()).fold(0.0, f32::max);
    assert!(score(smrt(&["predict", model, "odd.csv"])) > highest);
}
