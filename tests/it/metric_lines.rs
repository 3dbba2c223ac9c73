//! What a training prints, held against the regular expressions by which SageMaker finds the metrics
//! of its own algorithms (`DescribeTrainingJob` of its built-in images; the developer guide's
//! "Define metrics" for XGBoost and LightGBM): each finds a number.

use std::fmt::Write;
use std::process::Command;

use crate::train::datasets;

/// Name of the metric, and SageMaker's pattern.
type Definition = (&'static str, &'static str);

const LINEAR: &[Definition] = &[
    (
        "train:objective_loss",
        r"#quality_metric: host=\S+, epoch=\S+, train \S+_objective <loss>=(\S+)",
    ),
    ("train:objective_loss:final", r"#quality_metric: host=\S+, train \S+_objective <loss>=(\S+)"),
    (
        "validation:objective_loss",
        r"#quality_metric: host=\S+, epoch=\S+, validation \S+_objective <loss>=(\S+)",
    ),
    (
        "validation:objective_loss:final",
        r"#quality_metric: host=\S+, validation \S+_objective <loss>=(\S+)",
    ),
    ("test:objective_loss", r"#quality_metric: host=\S+, test \S+_objective <loss>=(\S+)"),
    ("train:progress", r"#progress_metric: host=\S+, completed (\S+) %"),
    ("train:throughput", r"#throughput_metric: host=\S+, train throughput=(\S+) records/second"),
];

/// Of one metric on one channel.
fn scored(channel: &str, name: &str, kind: &str) -> String {
    format!(r"#quality_metric: host=\S+, {channel} {name} <{kind}>=(\S+)")
}

/// The pattern of `AlgorithmSpecification` today.
fn tree(name: &str) -> [String; 1] {
    [format!(r".*\[[0-9]+\].*#011{name}:([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?).*")]
}

/// The developer guide's, which takes all that follows and so fits the last figure of a line.
fn last(name: &str) -> [String; 1] {
    [format!(r".*\[[0-9]+\].*#011{name}:(\S+)")]
}

/// Trains, and gives the lines that were printed.
fn printed(algorithm: &str, parameters: &str, channels: &str) -> Vec<String> {
    let home = tempfile::tempdir().unwrap();
    let mut table = String::new();
    let (mut logins, mut strange) = (String::new(), String::new());
    for row in 0..300 {
        let (x, y) = ((row * 37 % 100) as f32 / 10.0, (row * 61 % 100) as f32 / 10.0);
        let class = u8::from(x + y > 10.0) + u8::from(x > 8.0);
        writeln!(table, "{class},{x},{y},{}", row % 7).unwrap();
        writeln!(strange, "{},{x},{y}", u8::from(row % 60 == 0)).unwrap();
        writeln!(logins, "user-{},10.{}.0.{}", row % 9, row % 3, row % 250).unwrap();
    }
    std::fs::write(home.path().join("table.csv"), table).unwrap();
    std::fs::write(home.path().join("logins.csv"), logins).unwrap();
    std::fs::write(home.path().join("strange.csv"), strange).unwrap();
    let job = format!(
        "[job]\nname = \"printed\"\nseed = 7\n[algorithm]\nname = \"{algorithm}\"\n\
         [hyperparameters]\n{parameters}\n{channels}[output]\nuri = \"models\"\n"
    );
    std::fs::write(home.path().join("job.toml"), job).unwrap();
    let mut smrt = Command::new(env!("CARGO_BIN_EXE_smrt"));
    smrt.args(["train", "job.toml"]).current_dir(home.path());
    smrt.env("SMRT_HOME", home.path().join("keys")).env_remove("SMRT_LOG").env_remove("RUST_LOG");
    let done = smrt.output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{algorithm}: {told}");
    told.lines().map(str::to_owned).collect()
}

/// Every pattern finds a number somewhere.
fn found(algorithm: &str, lines: &[String], patterns: impl IntoIterator<Item = impl AsRef<str>>) {
    for pattern in patterns {
        let pattern = pattern.as_ref();
        let regex = regex::bytes::RegexBuilder::new(pattern).unicode(false).build().unwrap();
        let number = lines.iter().find_map(|line| {
            let text = String::from_utf8(regex.captures(line.as_bytes())?[1].to_vec()).unwrap();
            Some(text.parse::<f64>().unwrap_or_else(|_| panic!("{pattern}: {text:?} in {line:?}")))
        });
        assert!(number.is_some(), "{algorithm}: {pattern} is not in:\n{}", lines.join("\n"));
    }
}

fn channels(names: &[&str], file: &str, more: &str) -> String {
    let channel = |name: &&str| format!("[channels.{name}]\nuri = \"{file}\"\n{more}\n");
    names.iter().map(channel).collect()
}

const THREE: [&str; 3] = ["train", "validation", "test"];

#[test]
fn linear_learner_prints_what_sagemakers_patterns_find() {
    let churn = |name: &&str| {
        let file = if *name == "train" { "train" } else { "validation" };
        let place = datasets().join("churn").join(format!("{file}.csv"));
        format!(
            "[channels.{name}]\nuri = \"{}\"\nheader = true\nlabel = \"churn\"\n",
            place.display()
        )
    };
    let binary: String = THREE.iter().map(churn).collect();
    let lines =
        printed("linear-learner", "predictor_type = \"binary_classifier\"\nepochs = 2\n", &binary);
    found("linear-learner", &lines, LINEAR.iter().map(|(_, pattern)| pattern));
    for channel in THREE {
        let names = [
            "binary_classification_accuracy",
            r"binary_f_\S+",
            "precision",
            "recall",
            "roc_auc_score",
        ];
        found("linear-learner", &lines, names.map(|name| scored(channel, name, "score")));
    }
    let table = channels(&THREE, "table.csv", "");
    let multi = "predictor_type = \"multiclass_classifier\"\nnum_classes = 3\nepochs = 2\n";
    let lines = printed("linear-learner", multi, &table);
    let names = [
        "multiclass_accuracy",
        r"multiclass_top_k_accuracy_\S+",
        r"macro_f_\S+",
        "macro_precision",
        "macro_recall",
        "dcg",
    ];
    found("linear-learner", &lines, names.map(|name| scored("validation", name, "score")));
    found("linear-learner", &lines, LINEAR.iter().map(|(_, pattern)| pattern));
    let lines = printed("linear-learner", "predictor_type = \"regressor\"\nepochs = 2\n", &table);
    found(
        "linear-learner",
        &lines,
        ["mse", "absolute_loss"].map(|name| scored("test", name, "loss")),
    );
    let lines = printed("mlp", "predictor_type = \"regressor\"\nepochs = 2\n", &table);
    found("mlp", &lines, LINEAR.iter().map(|(_, pattern)| pattern));
}

#[test]
fn trees_print_what_the_patterns_of_xgboost_and_lightgbm_find() {
    let two = channels(&["train", "validation"], "table.csv", "");
    for (parameters, names) in [
        (
            "objective = \"multi:softprob\"\nnum_class = 3\neval_metric = \"mlogloss,merror\"\n",
            &["mlogloss", "merror"][..],
        ),
        ("objective = \"reg:squarederror\"\neval_metric = \"rmse,mae\"\n", &["rmse", "mae"]),
    ] {
        let lines = printed("xgboost", &format!("num_round = 3\n{parameters}"), &two);
        for name in names {
            found("xgboost", &lines, tree(&format!("validation-{name}")));
            found("xgboost", &lines, tree(&format!("train-{name}")));
        }
        let name = names.last().unwrap();
        found("xgboost", &lines, last(&format!("validation-{name}")));
    }
    let folds = "num_round = 3\nobjective = \"reg:squarederror\"\n_kfold = 3\n";
    let lines = printed("xgboost", folds, &channels(&["train"], "table.csv", ""));
    found("xgboost", &lines, tree("validation-rmse"));
    let objective = "objective = \"multiclass\"\nnum_class = 3\nnum_boost_round = 3\n";
    let lines = printed("lightgbm", objective, &two);
    found("lightgbm", &lines, ["multi_logloss: ([0-9.]+)", r"multi_logloss: ([0-9\.]+)"]);
    let objective = "objective = \"regression\"\nnum_boost_round = 3\nmetric = \"rmse\"\n";
    let lines = printed("lightgbm", objective, &two);
    found("lightgbm", &lines, ["rmse: ([0-9.]+)"]);
}

#[test]
fn what_learns_without_labels_prints_what_sagemakers_patterns_find() {
    let table = channels(&["train"], "table.csv", "content_type = \"text/csv;label_size=0\"");
    let and_test = |name: &str| {
        format!(
            "{table}[channels.test]\nuri = \"table.csv\"\ncontent_type = \"text/csv;label_size={name}\"\n"
        )
    };
    let lines = printed("kmeans", "k = 3\neval_metrics = [\"msd\", \"ssd\"]\n", &and_test("0"));
    found("kmeans", &lines, ["msd", "ssd"].map(|name| scored("test", name, "loss")));
    found("kmeans", &lines, [r"#quality_metric: host=\S+, epoch=\S+, train msd <loss>=(\S+)"]);
    let labelled = "content_type = \"text/csv;label_size=1\"";
    let forest = channels(&["train", "test"], "strange.csv", labelled);
    let lines =
        printed("random-cut-forest", "num_trees = 50\nnum_samples_per_tree = 16\n", &forest);
    let names = ["f1", "precision", "recall", "accuracy"];
    found("random-cut-forest", &lines, names.map(|name| scored("test", name, "score")));
    let logins = channels(
        &["train", "validation"],
        "logins.csv",
        "content_type = \"text/csv;label_size=0\"",
    );
    let vectors = "num_entity_vectors = 50\nvector_dim = 8\nepochs = 2\nmini_batch_size = 50\n";
    let lines = printed("ip-insights", vectors, &logins);
    found(
        "ip-insights",
        &lines,
        [
            r"#quality_metric: host=\S+, epoch=\S+, validation discriminator_auc <score>=(\S+)",
            r"#quality_metric: host=\S+, epoch=\S+, train binary_classification_cross_entropy <loss>=(\S+)",
            r"#progress_metric: host=\S+, completed (\S+) %",
            r"#throughput_metric: host=\S+, train throughput=(\S+) records/second",
        ],
    );
    let lines = printed("pca", "num_components = 2\n", &table);
    found("pca", &lines, [scored("train", "explained_variance_ratio", "score")]);
}
