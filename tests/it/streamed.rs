//! Jobs whose data do not fit into their memory: rows go to disk and come back epoch by epoch.

use std::fmt::Write;

use smrt::algorithm::Metric;
use smrt::spec::name::ChannelName;
use smrt::spec::train::{Categorical, Format, LabelColumn, Media, TrainingJob};
use smrt::spec::uri::Uri;
use smrt::train::{self, Job, Stop};

use crate::train::{StopAfter, User, inside};

const COLUMNS: usize = 40;

/// CSV of two classes that a straight line parts but for noise.
fn table(rows: usize, salt: u64) -> String {
    let mut state = salt;
    let mut draw = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let mut text = String::new();
    for _ in 0..rows {
        let values: Vec<f32> = (0..COLUMNS).map(|_| draw()).collect();
        let sum: f32 = values.iter().enumerate().map(|(at, x)| x * ((at % 5) as f32 - 2.0)).sum();
        write!(text, "{}", u8::from(sum + 0.5 * draw() > 0.0)).unwrap();
        values.iter().for_each(|value| write!(text, ",{value:.3}").unwrap());
        text.push('\n');
    }
    text
}

/// A job on 60,000 rows that take 9.6 MB, and 6,000 to validate on.
fn job(user: &User, algorithm: &str, more: &str, memory_bytes_max: u64) -> TrainingJob {
    let folder = user.folder.path();
    if !folder.join("train.csv").exists() {
        std::fs::write(folder.join("train.csv"), table(60_000, 1)).unwrap();
        std::fs::write(folder.join("validation.csv"), table(6_000, 2)).unwrap();
        std::fs::create_dir(folder.join("scratch")).unwrap();
    }
    let mut job = user.job(algorithm, more);
    for name in ["train", "validation"] {
        let channel = job.channels.get_mut(&ChannelName::parse(name).unwrap()).unwrap();
        channel.uri = Uri::File(folder.join(format!("{name}.csv")));
        channel.format.header = false;
        channel.format.label = LabelColumn::First;
    }
    job.resources.threads = 2;
    job.resources.memory_bytes_max = memory_bytes_max;
    job.resources.scratch = Some(folder.join("scratch"));
    job
}

const ENOUGH: u64 = 1 << 30;
const TOO_LITTLE: u64 = 12 << 20;

const EPOCHS: &str = "[hyperparameters]\npredictor_type = \"binary_classifier\"\nepochs = 4\n\
                      mini_batch_size = 500\n";

fn auc(metrics: &[Metric]) -> f64 {
    figure(metrics, "validation:roc_auc_score")
}

fn figure(metrics: &[Metric], name: &str) -> f64 {
    let found = metrics.iter().find(|metric| metric.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {metrics:?}")).value
}

#[test]
fn a_channel_larger_than_the_memory_is_streamed_to_a_model_as_good() {
    for algorithm in ["linear-learner", "mlp"] {
        let user = User::new();
        let whole = user.run(job(&user, algorithm, EPOCHS, ENOUGH)).unwrap();
        assert!(!whole.channels[0].streamed);
        let streamed = user.run(job(&user, algorithm, EPOCHS, TOO_LITTLE)).unwrap();
        assert!(streamed.channels[0].streamed, "{algorithm} did not stream");
        assert_eq!(streamed.channels[0].rows, 60_000);
        let (whole, streamed) = (auc(&whole.metrics), auc(&streamed.metrics));
        assert!(whole > 0.9 && (whole - streamed).abs() < 0.005, "{algorithm} {whole} {streamed}");
        let bits = inside(&user);
        user.run(job(&user, algorithm, EPOCHS, TOO_LITTLE)).unwrap();
        assert!(bits == inside(&user), "{algorithm} does not repeat itself");
        let left = std::fs::read_dir(user.folder.path().join("scratch")).unwrap().count();
        assert_eq!(left, 0, "{algorithm} leaves files behind");
    }
}

#[test]
fn a_stopped_job_that_streams_resumes_to_the_same_model() {
    for algorithm in ["linear-learner", "mlp"] {
        let (whole, parted) = (User::new(), User::new());
        whole.run(job(&whole, algorithm, EPOCHS, TOO_LITTLE)).unwrap();
        for (steps, resume) in [(2, false), (2, true)] {
            let stop = Stop::new();
            let observer = StopAfter { steps, stop: stop.clone() };
            let job = Job::new(job(&parted, algorithm, EPOCHS, TOO_LITTLE), parted.keys.clone());
            let stopped = job.stop(stop).observer(observer).resume(resume).run().unwrap_err();
            assert!(matches!(stopped, train::Error::Stopped { .. }), "{stopped}");
        }
        // With other memory the rows would come in another order.
        let other = Job::new(job(&parted, algorithm, EPOCHS, ENOUGH), parted.keys.clone());
        let refused = other.resume(true).run().unwrap_err().to_string();
        assert!(refused.contains("memory_bytes_max"), "{refused}");
        let job = Job::new(job(&parted, algorithm, EPOCHS, TOO_LITTLE), parted.keys.clone());
        job.resume(true).run().unwrap();
        assert!(inside(&whole) == inside(&parted), "{algorithm} differs after resuming");
    }
}

/// The job with all in memory, and twice from disk: how far `name` is apart, in parts of itself.
fn apart(algorithm: &str, parameters: &str, name: &str) -> f64 {
    let user = User::new();
    let parameters = format!("[hyperparameters]\n{parameters}");
    let whole = user.run(job(&user, algorithm, &parameters, ENOUGH)).unwrap();
    assert!(!whole.channels[0].streamed);
    let streamed = user.run(job(&user, algorithm, &parameters, TOO_LITTLE)).unwrap();
    assert!(streamed.channels[0].streamed, "{algorithm} did not stream");
    let bits = inside(&user);
    user.run(job(&user, algorithm, &parameters, TOO_LITTLE)).unwrap();
    assert!(bits == inside(&user), "{algorithm} does not repeat itself: {parameters}");
    let left = std::fs::read_dir(user.folder.path().join("scratch")).unwrap().count();
    assert_eq!(left, 0, "{algorithm} leaves files behind");
    let (whole, streamed) = (figure(&whole.metrics, name), figure(&streamed.metrics, name));
    (whole - streamed).abs() / whole
}

#[test]
fn centres_learned_from_disk_are_as_near_to_the_rows() {
    for parameters in [
        "k = 6\nlocal_lloyd_max_iter = 20\n",
        "k = 6\nnormalize_data = true\nlocal_lloyd_max_iter = 20\nlocal_lloyd_init_method = \"random\"\n",
        "k = 6\nalgorithm_mode = \"mini-batch\"\nepochs = 2\nmini_batch_size = 1000\n",
    ] {
        let apart = apart("kmeans", parameters, "validation:msd");
        assert!(apart < 0.01, "{parameters}: {apart}");
    }
}

#[test]
fn components_learned_from_disk_are_those_of_memory() {
    let name = "train:explained_variance_ratio";
    for (parameters, bound) in [
        ("num_components = 4\n", 1e-9),
        ("num_components = 4\nnormalize_data = true\n", 1e-9),
        ("num_components = 4\nalgorithm_mode = \"randomized\"\n", 1e-9),
    ] {
        let apart = apart("pca", parameters, name);
        assert!(apart < bound, "{parameters}: {apart}");
    }
    let score = "num_components = 4\noutput = \"score\"\n";
    let apart = apart("pca", score, "validation:reconstruction_error");
    assert!(apart < 1e-6, "{apart}");
}

#[test]
fn logins_on_disk_teach_as_well_as_logins_in_memory() {
    // 300,000 logins of 48 bytes; every user comes from one network of its own.
    let user = User::new();
    let table = |rows: std::ops::Range<u64>| -> String {
        rows.map(|at| {
            let draw = at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
            let (name, host) = (draw % 300, draw / 300 % 250);
            match name % 3 {
                0 => format!("user-{name},2001:db8:{:x}::{host:x}\n", name * 37),
                _ => format!("user-{name},10.{}.{}.{host}\n", name % 7 * 31, name / 2),
            }
        })
        .collect()
    };
    let parameters = "[hyperparameters]\nnum_entity_vectors = 1000\nvector_dim = 16\nepochs = 1\n\
                      mini_batch_size = 2000\nlearning_rate = 0.02\n";
    let run = |memory_bytes_max: u64| {
        let mut job = job(&user, "ip-insights", parameters, memory_bytes_max);
        for channel in job.channels.values_mut() {
            channel.format.label = LabelColumn::None;
        }
        user.run(job).unwrap()
    };
    // Writes the tables of other algorithms first, which ours replace.
    job(&user, "ip-insights", parameters, ENOUGH);
    let folder = user.folder.path();
    std::fs::write(folder.join("train.csv"), table(0..300_000)).unwrap();
    std::fs::write(folder.join("validation.csv"), table(300_000..303_000)).unwrap();
    let name = "validation:discriminator_auc";
    let whole = run(ENOUGH);
    let streamed = run(TOO_LITTLE);
    assert!(!whole.channels[0].streamed && streamed.channels[0].streamed);
    let (whole, streamed) = (figure(&whole.metrics, name), figure(&streamed.metrics, name));
    assert!(whole > 0.9 && (whole - streamed).abs() < 0.01, "{whole} {streamed}");
}

/// Trains in memory and on disk; the models have to be the same bytes.
fn same_on_disk(user: &User, job: impl Fn(u64) -> TrainingJob) {
    let whole = user.run(job(ENOUGH)).unwrap();
    assert!(whole.channels.iter().all(|channel| !channel.streamed));
    let bits = inside(user);
    let streamed = user.run(job(TOO_LITTLE)).unwrap();
    assert!(streamed.channels.iter().all(|channel| channel.streamed), "it did not stream");
    assert_eq!(whole.metrics, streamed.metrics);
    assert!(bits == inside(user), "another model: {:?}", job(ENOUGH).hyperparameters);
}

#[test]
fn trees_on_disk_are_the_trees_of_memory_bit_for_bit() {
    for (algorithm, parameters) in [
        (
            "xgboost",
            "objective = \"binary:logistic\"\nnum_round = 6\nmax_depth = 5\nsubsample = 0.8\n",
        ),
        (
            "xgboost",
            "objective = \"binary:logistic\"\nnum_round = 3\ngrow_policy = \"lossguide\"\n\
             max_leaves = 20\nmax_depth = 0\nmax_bin = 300\ncolsample_bytree = 0.7\n",
        ),
        ("lightgbm", "objective = \"binary\"\nnum_boost_round = 5\nmetric = \"auc\"\n"),
        (
            "lightgbm",
            "objective = \"binary\"\nnum_boost_round = 4\nboosting = \"goss\"\nlearning_rate = 0.5\n\
             max_depth = -1\nnum_leaves = 31\nfeature_fraction_bynode = 0.5\n",
        ),
    ] {
        let user = User::new();
        let parameters = format!("[hyperparameters]\n{parameters}");
        same_on_disk(&user, |bytes| job(&user, algorithm, &parameters, bytes));
    }
}

/// CSV with a header: queries of twelve rows, a column of words, one with holes, and grades.
fn queries(rows: usize, salt: usize) -> String {
    let draw = |row: usize, column: usize| {
        let x = (row * 31 + column * 17 + salt * 7 + 1) as u64;
        (x.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32 / (1 << 24) as f32
    };
    let mut text = "grade,query,kind".to_owned();
    (0..COLUMNS).for_each(|column| write!(text, ",x{column}").unwrap());
    text.push('\n');
    for row in 0..rows {
        let kind = (draw(row, 99) * 9.0) as usize;
        let worth = draw(row, 3) + (kind % 3) as f32 / 2.0 + draw(row, 98) / 2.0;
        write!(text, "{},{},w{kind}", (worth * 2.0) as usize, row / 12).unwrap();
        for column in 0..COLUMNS {
            match draw(row, column) {
                hole if column == 5 && hole < 0.2 => text.push(','),
                value => write!(text, ",{value:.3}").unwrap(),
            }
        }
        text.push('\n');
    }
    text
}

#[test]
fn queries_and_words_on_disk_are_ranked_by_the_trees_of_memory() {
    for (algorithm, parameters) in [
        ("xgboost", "objective = \"rank:ndcg\"\nnum_round = 3\nmax_depth = 4\n"),
        ("lightgbm", "objective = \"lambdarank\"\nnum_boost_round = 3\neval_at = \"5\"\n"),
    ] {
        let user = User::new();
        let folder = user.folder.path();
        let of = |bytes: u64| {
            let mut job = job(&user, algorithm, &format!("[hyperparameters]\n{parameters}"), bytes);
            for name in ["train", "validation"] {
                let channel = job.channels.get_mut(&ChannelName::parse(name).unwrap()).unwrap();
                let path = folder.join(format!("{name}-queries.csv"));
                if !path.exists() {
                    let (rows, salt) = if name == "train" { (60_000, 1) } else { (6_000, 2) };
                    std::fs::write(&path, queries(rows, salt)).unwrap();
                }
                channel.uri = Uri::File(path);
                channel.format.header = true;
                channel.format.label = LabelColumn::Named("grade".into());
                channel.format.group = Some("query".into());
                channel.format.categorical = Categorical::Named(vec!["kind".into()]);
            }
            job
        };
        same_on_disk(&user, of);
    }
}

#[test]
fn sparse_rows_that_lightgbm_fills_up_with_zeros_go_to_disk() {
    let user = User::new();
    let folder = user.folder.path();
    let svm = |rows: usize, salt: usize| {
        let mut text = String::new();
        for row in 0..rows {
            let at = |turn: usize| 1 + (row * 7 + turn * 11 + salt * 3) % COLUMNS;
            let [mut one, mut two] = [at(0), at(1 + row % 3)];
            if one > two {
                (one, two) = (two, one);
            }
            let label = u8::from((one * two + row % 5) % 4 < 2);
            writeln!(text, "{label} {one}:{} {two}:{}.5", row % 13, row % 4).unwrap();
        }
        text
    };
    let parameters = "[hyperparameters]\nobjective = \"binary\"\nnum_boost_round = 3\n";
    let of = |bytes: u64| {
        let mut job = job(&user, "lightgbm", parameters, bytes);
        for (name, rows, salt) in [("train", 80_000, 1), ("validation", 60_000, 2)] {
            let channel = job.channels.get_mut(&ChannelName::parse(name).unwrap()).unwrap();
            let path = folder.join(format!("{name}.svm"));
            if !path.exists() {
                std::fs::write(&path, svm(rows, salt)).unwrap();
            }
            channel.uri = Uri::File(path);
            channel.format = Format::new(Media::Libsvm);
        }
        job
    };
    same_on_disk(&user, of);
}

#[test]
fn what_cannot_stream_is_refused_with_what_it_needs() {
    let user = User::new();
    let folds = "[hyperparameters]\nobjective = \"binary:logistic\"\nnum_round = 2\n_kfold = 3\n";
    let mut folds = job(&user, "xgboost", folds, TOO_LITTLE);
    folds.channels.remove(&ChannelName::parse("validation").unwrap());
    let refused = user.run(folds).unwrap_err();
    let help = smrt::fault::Fault::help(&refused).unwrap();
    assert!(refused.to_string().contains("the job may use 12582912"), "{refused}");
    assert!(help.contains("memory_bytes_max"), "{help}");
}

#[test]
fn a_forest_of_rows_on_disk_is_the_forest_of_memory_bit_for_bit() {
    let user = User::new();
    // Shingles, so that points reach over the ends of pages.
    let parameters =
        "[hyperparameters]\nnum_trees = 50\nnum_samples_per_tree = 16\nshingle_size = 2\n";
    let forest = |memory: u64| {
        Job::new(job(&user, "random-cut-forest", parameters, memory), user.keys.clone())
    };
    let whole = forest(ENOUGH).run().unwrap();
    assert!(!whole.channels[0].streamed);
    let bits = inside(&user);
    // On disk, and stopped while it gives scores to the rows.
    let stop = Stop::new();
    let observer = StopAfter { steps: 3, stop: stop.clone() };
    let stopped = forest(TOO_LITTLE).stop(stop).observer(observer).run().unwrap_err();
    assert!(matches!(stopped, train::Error::Stopped { .. }), "{stopped}");
    let streamed = forest(TOO_LITTLE).resume(true).run().unwrap();
    assert!(streamed.channels[0].streamed && streamed.channels[1].streamed);
    assert_eq!(whole.metrics, streamed.metrics);
    assert!(bits == inside(&user), "another model");
}

#[test]
fn an_impossible_scratch_folder_and_an_impossible_memory_are_told() {
    let user = User::new();
    let mut bad = job(&user, "mlp", EPOCHS, TOO_LITTLE);
    bad.resources.scratch = Some("/nonexistent/scratch".into());
    let refused = user.run(bad).unwrap_err();
    assert!(refused.to_string().contains("/nonexistent/scratch"), "{refused}");
    let help = smrt::fault::Fault::help(&refused).unwrap();
    assert!(help.contains("resources.scratch"), "{help}");

    let refused = user.run(job(&user, "mlp", EPOCHS, 7 << 20)).unwrap_err();
    let help = smrt::fault::Fault::help(&refused).unwrap();
    assert!(help.contains("memory_bytes_max"), "{refused} / {help}");
}
