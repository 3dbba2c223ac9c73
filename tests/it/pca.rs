//! `pca` through the traits that a job and an endpoint use, and beside scikit-learn where the
//! environment variable SMRT_PYTHON names a Python that has it.

use std::path::Path;
use std::process::Command;

use ndarray::{Array2, Axis};
use smrt::algorithm::weights::{MODEL_FILE, Reader};
use smrt::algorithm::{Ask, Error, Fitted};
use smrt::data::media::Accept;
use smrt::data::{Dataset, Labels, Task, Values, answer};
use smrt::fault::Fault;
use smrt::spec::train::Media;

use crate::linear;
use crate::unlabelled::{Job, Kept, features_of, field, metric, only};

const TWO: &[(&str, &str)] = &[("num_components", "2")];
const RANDOMIZED: &[(&str, &str)] = &[("num_components", "2"), ("algorithm_mode", "randomized")];

/// Rows of seven columns that follow from three numbers, and a little noise.
fn flat(rows: usize) -> Array2<f32> {
    // Waves of different lengths are as good as independent.
    let part = |row: usize, at: usize| (row as f32 * (0.617 + 0.213 * at as f32)).sin();
    Array2::from_shape_fn((rows, 7), |(row, column)| {
        let mix = |at: usize| ((column * 5 + at * 3) as f32 * 1.3).cos();
        let told =
            9.0 * part(row, 0) * mix(0) + 4.0 * part(row, 1) * mix(1) + part(row, 2) * mix(2);
        told + 0.1 * part(row, 3 + column) + column as f32
    })
}

/// Explained variance, singular values and components (components × features).
fn parts(fitted: &Fitted) -> (Vec<f64>, Vec<f32>, Array2<f32>) {
    let reader = Reader::of(&fitted.files, MODEL_FILE, "smrt pca 1").unwrap();
    let shape = reader.shape("v").unwrap();
    let v = reader.f32("v", &shape).unwrap();
    let v = Array2::from_shape_vec((shape[0], shape[1]), v).unwrap();
    let kept = [shape[1]];
    let variance = reader.f64("explained_variance", &kept).unwrap();
    (variance, reader.f32("s", &kept).unwrap(), v.reversed_axes())
}

#[test]
fn the_answer_reads_as_sagemakers() {
    let data = only(Dataset::of(flat(500)));
    let job = Job::new("pca", TWO);
    let fitted = job.fitted(&data);
    assert_eq!(fitted.signature.task, Task::Projection);
    let model = job.open(&fitted);
    let mut out = Vec::new();
    let answer = model.predict(flat(3).view()).unwrap();
    answer::encode(&answer, &Accept::from(Media::Json), &mut out);
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let first = json["projections"][0].as_object().unwrap();
    assert_eq!((first.len(), first["projection"].as_array().unwrap().len()), (1, 2));
    assert_eq!(json["projections"].as_array().unwrap().len(), 3);
}

#[test]
fn the_projections_have_the_variance_the_artifact_says() {
    let rows = flat(2_000);
    for parameters in [TWO, RANDOMIZED] {
        let job = Job::new("pca", parameters);
        let fitted = job.fitted(&only(Dataset::of(rows.clone())));
        let answer = job.open(&fitted).predict(rows.view()).unwrap();
        let (variance, singular, directions) = parts(&fitted);
        for at in 0..2 {
            let along = field(&answer, "projection").iter().skip(at).step_by(2);
            let squares: f64 = along.map(|x| f64::from(*x).powi(2)).sum();
            assert!((squares / 1_999.0 / variance[at] - 1.0).abs() < 1e-5);
            assert!((f64::from(singular[at]).powi(2) / squares - 1.0).abs() < 1e-5);
            let direction = directions.row(at);
            assert!((direction.dot(&direction) - 1.0).abs() < 1e-5);
            let largest =
                direction.iter().fold(0.0f32, |a, b| if b.abs() > a.abs() { *b } else { a });
            assert!(largest > 0.0, "the sign is settled: {direction}");
        }
        let ratio = metric(&fitted, "train:explained_variance_ratio");
        assert!((0.97..0.99999).contains(&ratio), "{ratio}");
    }
}

#[test]
fn all_components_tell_a_row_in_full_and_few_tell_how_strange_it_is() {
    let data = only(Dataset::of(flat(300)));
    let verbose = Ask { verbose: true, explain: Some(usize::MAX), ..Ask::default() };
    let all = Job::new("pca", &[("num_components", "7")]);
    let fitted = all.fitted(&data);
    assert!((metric(&fitted, "train:explained_variance_ratio") - 1.0).abs() < 1e-9);
    let answer = all.open(&fitted).predict_with(flat(9).view(), &verbose).unwrap();
    assert!(field(&answer, "reconstruction_error").iter().all(|error| *error < 1e-4));

    let job = Job::new("pca", &[("num_components", "3"), ("output", "score")]);
    let fitted = job.fitted(&data);
    let mut rows = flat(2);
    rows[[1, 4]] += 8.0;
    let answer = job.open(&fitted).predict_with(rows.view(), &verbose).unwrap();
    assert_eq!((answer.key, fitted.signature.task), ("scores", Task::AnomalyDetection));
    let (score, threshold) = (field(&answer, "score"), fitted.signature.threshold.unwrap());
    assert!(score[0] < threshold && score[1] > threshold, "{score:?} {threshold}");
    let Values::Contributions { width, values, .. } = &answer.fields[2].values else { panic!() };
    let (parts, error) = (&values[*width..], score[1]);
    assert!(parts.is_sorted_by(|a, b| a >= b) && parts.len() == 7, "{parts:?}");
    assert!((parts.iter().sum::<f32>().sqrt() / error - 1.0).abs() < 1e-5, "{parts:?} {error}");
}

#[test]
fn a_labelled_test_channel_measures_the_score() {
    let mut data = only(Dataset::of(flat(300)));
    let mut rows = flat(100);
    rows.column_mut(5).iter_mut().step_by(10).for_each(|value| *value += 9.0);
    let labels = (0..100).map(|row| f32::from(u8::from(row % 10 == 0))).collect();
    data.test = Some(Dataset { label: Some(Labels::Number(labels)), ..Dataset::of(rows) });
    let fitted = Job::new("pca", &[("num_components", "3"), ("output", "score")]).fitted(&data);
    assert!(metric(&fitted, "test:roc_auc_score") > 0.99);
}

#[test]
fn seed_and_rows_decide_the_bytes_and_threads_do_not() {
    let data = only(Dataset::of(flat(20_000)));
    for parameters in [TWO, RANDOMIZED] {
        let job = Job::new("pca", parameters);
        let (one, two) = (job.fitted(&data), Job { threads: 3, ..job }.fitted(&data));
        assert!(one.files == two.files && one.metrics == two.metrics);
    }
}

#[test]
fn a_batch_answers_as_its_rows_do() {
    let job = Job::new("pca", &[("num_components", "3"), ("normalize_data", "true")]);
    let model = job.open(&job.fitted(&only(Dataset::of(flat(200)))));
    let (rows, ask) = (flat(133), Ask { verbose: true, ..Ask::default() });
    let together = model.predict_with(rows.view(), &ask).unwrap();
    let by_column = rows.t().as_standard_layout().into_owned();
    assert_eq!(model.predict_with(by_column.t(), &ask).unwrap(), together, "in column-major order");
    for (at, row) in rows.axis_iter(Axis(0)).enumerate() {
        let alone = model.predict_with(row.insert_axis(Axis(0)), &ask).unwrap();
        assert_eq!(field(&alone, "projection"), &field(&together, "projection")[at * 3..][..3]);
        let error = field(&together, "reconstruction_error")[at];
        assert_eq!(field(&alone, "reconstruction_error")[0].to_bits(), error.to_bits());
    }
}

#[test]
fn a_weight_counts_as_so_many_rows() {
    let rows = flat(60);
    let weights: Vec<f32> = (0..60).map(|row| (1 + row % 3) as f32).collect();
    let numbers: Vec<usize> = (0..60).flat_map(|row| vec![row; 1 + row % 3]).collect();
    let repeated = only(Dataset::of(rows.select(Axis(0), &numbers)));
    let weighed = only(Dataset { weight: Some(weights), ..Dataset::of(rows) });
    let job = Job::new("pca", TWO);
    let (one, two) = (parts(&job.fitted(&repeated)), parts(&job.fitted(&weighed)));
    for (one, two) in one.0.iter().zip(&two.0) {
        assert!((one / two - 1.0).abs() < 1e-6, "{one} {two}");
    }
}

#[test]
fn what_has_no_such_components_is_refused_with_a_way_out() {
    let refusal = |rows: Array2<f32>, parameters: &[(&str, &str)]| {
        let error = Job::new("pca", parameters).run(&only(Dataset::of(rows))).unwrap_err();
        (error.to_string(), error.help().unwrap())
    };
    let (what, help) = refusal(flat(100), &[("num_components", "8")]);
    assert_eq!(what, "channel train has 100 rows of 7 features and num_components is 8");
    assert!(help.contains("7 or less"), "{help}");
    assert!(refusal(flat(1), TWO).1.contains("1 or less"));
    let mut rows = flat(10);
    rows[[9, 6]] = f32::NEG_INFINITY;
    assert!(refusal(rows, TWO).0.contains("row 10 of channel train has an infinite value"));
    let mut kept = Kept::default();
    let stopped = Job::new("pca", TWO).run_with(&only(Dataset::of(flat(9))), &|| true, &mut kept);
    assert!(matches!(stopped, Err(Error::Stopped)));
}

#[test]
fn rows_without_variance_and_missing_values_are_no_obstacle() {
    for parameters in [TWO, RANDOMIZED] {
        let job = Job::new("pca", parameters);
        let fitted = job.fitted(&only(Dataset::of(Array2::from_elem((40, 5), 2.5))));
        assert!(parts(&fitted).0.iter().all(|variance| *variance == 0.0));
        let mut rows = flat(50);
        rows.column_mut(3).fill(f32::NAN);
        rows[[7, 0]] = f32::NAN;
        let fitted = job.fitted(&only(Dataset::of(rows.clone())));
        let answer = job.open(&fitted).predict(rows.view()).unwrap();
        assert!(field(&answer, "projection").iter().all(|x| x.is_finite()));
    }
}

#[test]
fn damaged_models_are_refused() {
    let job = Job::new("pca", TWO);
    job.refuses_damaged_models(&job.fitted(&only(Dataset::of(flat(60)))));
}

const SCIKIT_LEARN: &str = r#"
import sys, numpy as np
from sklearn.decomposition import PCA
folder, rows, columns, kept = sys.argv[1], *map(int, sys.argv[2:5])
x = np.fromfile(f"{folder}/x", "<f4").reshape(rows, columns).astype("f8")
p = PCA(kept, svd_solver="full").fit(x)
for name, values in [("variance", p.explained_variance_), ("singular", p.singular_values_),
                     ("components", p.components_), ("projection", p.transform(x))]:
    values.astype("<f8").tofile(f"{folder}/{name}")
"#;

fn doubles(path: &Path) -> Vec<f64> {
    let bytes = std::fs::read(path).unwrap();
    bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
}

#[test]
fn scikit_learn_finds_the_same_components() {
    let Ok(python) = std::env::var("SMRT_PYTHON") else {
        println!("skipped: set SMRT_PYTHON to a Python with scikit-learn");
        return;
    };
    let mut sets = vec![("flat", flat(3_000), 3)];
    match linear::shared() {
        None => println!("without real data: set SMRT_SHARED to a folder with them"),
        Some(folder) => {
            for (name, kept) in [("breast_cancer", 10), ("letter", 8), ("digits", 5)] {
                let text = std::fs::read_to_string(folder.join(name).join("train.csv")).unwrap();
                sets.push((name, features_of(&text), kept));
            }
        }
    }
    for (name, rows, kept) in sets {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = rows.iter().flat_map(|x| x.to_le_bytes()).collect();
        std::fs::write(folder.path().join("x"), bytes).unwrap();
        let (count, width) = rows.dim();
        let numbers = [count, width, kept].map(|number| number.to_string());
        let ran = Command::new(&python)
            .args(["-c", SCIKIT_LEARN])
            .arg(folder.path())
            .args(&numbers)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let theirs = |file: &str| doubles(&folder.path().join(file));
        for (mode, tolerance) in [("regular", 1e-5), ("randomized", 1e-4)] {
            let parameters = [("num_components", numbers[2].as_str()), ("algorithm_mode", mode)];
            let job = Job::new("pca", &parameters);
            let fitted = job.fitted(&only(Dataset::of(rows.clone())));
            let (variance, singular, components) = parts(&fitted);
            for (ours, theirs) in variance.iter().zip(theirs("variance")) {
                assert!((ours / theirs - 1.0).abs() < tolerance, "{name} {mode}: {ours} {theirs}");
            }
            for (ours, theirs) in singular.iter().zip(theirs("singular")) {
                assert!((f64::from(*ours) / theirs - 1.0).abs() < tolerance, "{name} {mode}");
            }
            if mode == "randomized" {
                continue;
            }
            let answer = job.open(&fitted).predict(rows.view()).unwrap();
            let projection = theirs("projection");
            let their_components = theirs("components");
            for at in 0..kept {
                let their = &their_components[at * width..][..width];
                let along: f64 =
                    components.row(at).iter().zip(their).map(|(a, b)| f64::from(*a) * b).sum();
                assert!(along.abs() > 1.0 - 1e-5, "{name} component {at}: {along}");
                let scale = singular[at] / (count as f32).sqrt();
                for row in 0..count {
                    let ours = f64::from(field(&answer, "projection")[row * kept + at]);
                    let their = projection[row * kept + at] * along.signum();
                    assert!(
                        (ours - their).abs() < 2e-3 * f64::from(scale),
                        "{name}: {ours} {their}"
                    );
                }
            }
        }
    }
}

/// AUC of PCA-5 reconstruction on sets with known anomalies, from the data's REFERENCE.md.
#[test]
fn real_anomalies_are_found_as_by_scikit_learn() {
    let Some(folder) = linear::shared() else {
        println!("skipped: set SMRT_SHARED to a folder with data");
        return;
    };
    for (name, reference) in [
        ("ad_ionosphere", 0.942),
        ("ad_optdigits", 0.5552),
        ("ad_pima", 0.5961),
        ("ad_satellite", 0.6302),
        ("ad_shuttle", 0.6341),
        ("ad_thyroid", 0.8282),
    ] {
        let text = std::fs::read_to_string(folder.join(name).join("data.csv")).unwrap();
        let labels = text.lines().map(|line| line.split(',').next().unwrap().parse().unwrap());
        let label = Some(Labels::Number(labels.collect()));
        let data = only(Dataset { label, ..Dataset::of(features_of(&text)) });
        let parameters = [("num_components", "5"), ("normalize_data", "true"), ("output", "score")];
        let auc = metric(&Job::new("pca", &parameters).fitted(&data), "train:roc_auc_score");
        assert!((auc - reference).abs() < 0.01, "{name}: {auc} where scikit-learn has {reference}");
    }
}
