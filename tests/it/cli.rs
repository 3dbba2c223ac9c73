//! The command line: goldens with exact output, and what a golden cannot show (a closed pipe, a
//! signal, a whole session from data to predictions).

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const SMRT: &str = env!("CARGO_BIN_EXE_smrt");

/// The binary as a user without settings has it, with keys below `home`.
fn smrt(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(SMRT);
    command.args(arguments).env("SMRT_HOME", home.join("keys"));
    for name in ["SMRT_LOG", "RUST_LOG", "SAGEMAKER_BIND_TO_PORT"] {
        command.env_remove(name);
    }
    command.current_dir(home);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs to the end and expects success.
fn done(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{status}\n{}\n{}", text(&stdout), text(&stderr));
    text(&stdout)
}

/// Two classes a line apart, so that any training learns them.
fn write_rows(path: &Path, rows: usize, with_label: bool) {
    let mut file = fs::File::create(path).unwrap();
    for row in 0..rows {
        let x = (row % 17) as f32 / 17.0;
        let y = (row % 13) as f32 / 13.0;
        let label = u8::from(x + y > 1.0);
        match with_label {
            true => writeln!(file, "{label},{x},{y}").unwrap(),
            false => writeln!(file, "{x},{y}").unwrap(),
        }
    }
}

fn write_job(home: &Path, epochs: usize) {
    write_rows(&home.join("train.csv"), 2000, true);
    write_rows(&home.join("rows.csv"), 5, false);
    let job = format!(
        "[job]\nname = \"demo\"\nseed = 1\n[algorithm]\nname = \"linear-learner\"\n\
         [hyperparameters]\npredictor_type = \"binary_classifier\"\nepochs = {epochs}\n\
         num_models = 1\nearly_stopping_patience = {epochs}\nearly_stopping_tolerance = 0.0\n\
         [channels.train]\nuri = \"train.csv\"\n[channels.validation]\nuri = \"train.csv\"\n\
         [output]\nuri = \"out\"\n[resources]\ndevice = \"cpu\"\nthreads = 1\n"
    );
    fs::write(home.join("job.toml"), job).unwrap();
}

const ARTIFACT: &str = "out/demo/output/model.tar.gz";

#[test]
fn every_golden_session_reads_as_written() {
    trycmd::TestCases::new()
        .register_bin("smrt", Path::new(SMRT))
        .env("SMRT_HOME", "/nonexistent/smrt-home")
        .case("tests/cmd/*.toml")
        .run();
}

#[test]
fn a_session_goes_from_data_to_predictions() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    write_job(home, 3);
    let report = done(smrt(home, &["train", "job.toml"]));
    for part in ["demo: linear-learner trained in", "2,000 rows from 1 object", "2 features"] {
        assert!(report.contains(part), "{part} is not in\n{report}");
    }
    assert!(report.contains(&format!("next      smrt serve {ARTIFACT}")), "{report}");
    assert!(report.contains("train  validation"), "{report}");

    let shown = done(smrt(home, &["inspect", ARTIFACT]));
    for part in ["linear-learner model of the job demo", "suite 0478", "opened by", "train.csv"] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    let json = done(smrt(home, &["inspect", "--format", "json", ARTIFACT]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["manifest"]["job"], "demo");
    assert_eq!(json["seal"]["proved"], true);

    let lines = done(smrt(home, &["predict", ARTIFACT, "rows.csv"]));
    let scores: Vec<f32> = lines.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(scores.len(), 5);
    let whole = done(smrt(home, &["predict", "--format", "json", ARTIFACT, "rows.csv"]));
    let whole: serde_json::Value = serde_json::from_str(&whole).unwrap();
    let predictions = whole["predictions"].as_array().unwrap();
    let again: Vec<f32> =
        predictions.iter().map(|entry| entry["score"].as_f64().unwrap() as f32).collect();
    assert_eq!(scores, again);
    assert!(predictions[0]["predicted_label"].is_number());
    done(smrt(home, &["predict", ARTIFACT, "rows.csv", "--output", "scores.csv"]));
    assert_eq!(fs::read_to_string(home.join("scores.csv")).unwrap(), lines);
}

#[test]
fn a_series_is_answered_point_by_point() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    write_rows(&home.join("series.csv"), 400, false);
    let job = "[job]\nname = \"demo\"\n[algorithm]\nname = \"random-cut-forest\"\n\
               [hyperparameters]\nnum_trees = 50\nshingle_size = 3\n\
               [channels.train]\nuri = \"series.csv\"\n\
               content_type = \"text/csv;label_size=0\"\n[output]\nuri = \"out\"\n";
    fs::write(home.join("job.toml"), job).unwrap();
    let report = done(smrt(home, &["train", "job.toml"]));
    assert!(report.contains("random-cut-forest trained in") && !report.contains("epoch"));
    assert!(!done(smrt(home, &["inspect", ARTIFACT])).contains("epochs"));
    let series = done(smrt(home, &["predict", "--series", ARTIFACT, "series.csv"]));
    // The same as whole shingles, each on a line of its own.
    let rows = fs::read_to_string(home.join("series.csv")).unwrap();
    let rows: Vec<&str> = rows.lines().collect();
    let shingles: Vec<String> = rows.windows(3).map(|rows| rows.join(",")).collect();
    fs::write(home.join("shingles.csv"), shingles.join("\n")).unwrap();
    assert_eq!(series, done(smrt(home, &["predict", ARTIFACT, "shingles.csv"])));
    assert_eq!(series.lines().count(), 398);
    let refused = smrt(home, &["predict", "--series", "--content-type", "json", ARTIFACT, "-"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("CSV or JSON Lines"));
}

#[test]
fn without_its_key_an_artifact_shows_its_header_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    write_job(home, 1);
    done(smrt(home, &["train", "job.toml"]));
    let mut command = smrt(home, &["inspect", ARTIFACT]);
    command.env("SMRT_HOME", home.join("other-keys"));
    let shown = done(command);
    assert!(shown.contains("suite 0478"), "{shown}");
    assert!(shown.contains("unproved"), "{shown}");
    assert!(!shown.contains("Metrics"), "{shown}");
    let mut command = smrt(home, &["predict", ARTIFACT, "rows.csv"]);
    let refused = command.env("SMRT_HOME", home.join("other-keys")).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("no key at hand opens this sealed file"), "{said}");
    assert!(said.contains("SMRT_HOME"), "{said}");
    assert!(refused.stdout.is_empty());
}

#[test]
fn a_disk_that_fills_up_fails_the_job_and_leaves_no_artifact() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    write_job(home, 1);
    let job = fs::read_to_string(home.join("job.toml")).unwrap();
    let (head, tail) = (job.split_once("[algorithm]").unwrap().0, job.find("[channels").unwrap());
    let wide = "[algorithm]\nname = \"mlp\"\n[hyperparameters]\n\
                predictor_type = \"binary_classifier\"\nepochs = 1\nhidden_layers = [64, 64]\n";
    fs::write(home.join("job.toml"), format!("{head}{wide}{}", &job[tail..])).unwrap();
    // The key first: afterwards no file may grow over eight blocks of 512 or 1,024 bytes, as `sh`
    // has it, so the write check of 4 KiB fits and the artifact of 17 does not.
    done(smrt(home, &["train", "--set", "job.name=first", "job.toml"]));
    let full = |arguments: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"", SMRT]);
        command.args(arguments).env("SMRT_HOME", home.join("keys")).current_dir(home);
        command.output().unwrap()
    };
    let refused = full(&["train", "job.toml"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("model.tar.gz") && said.contains("make room"), "{said}");
    assert_eq!(fs::read_dir(home.join("out/demo/output")).map_or(0, Iterator::count), 0, "{said}");

    write_rows(&home.join("many.csv"), 2000, false);
    let artifact = "out/first/output/model.tar.gz";
    let refused = full(&["predict", artifact, "many.csv", "--output", "scores.csv"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("scores.csv"), "{said}");
    assert!(!home.join("scores.csv").exists());
}

#[test]
fn a_header_where_rows_belong_is_told_the_option_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    write_job(home, 1);
    done(smrt(home, &["train", "job.toml"]));
    fs::write(home.join("named.csv"), "x,y\n0.5,0.25\n").unwrap();
    let refused = smrt(home, &["predict", ARTIFACT, "named.csv"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("--header") && !said.contains("data.header"), "{said}");
    let lines = done(smrt(home, &["predict", "--header", ARTIFACT, "named.csv"]));
    assert_eq!(lines.lines().count(), 1);
}

#[test]
fn standard_input_is_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    write_job(home, 1);
    done(smrt(home, &["train", "job.toml"]));
    let mut child = smrt(home, &["predict", ARTIFACT, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"0.1,0.2\n0.9,0.9\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(text(&output.stdout).lines().count(), 2);
}

#[test]
fn a_reader_that_goes_away_is_nobodys_mistake() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["completions", "bash"][..], &["algorithms", "linear-learner"], &["--help"]]
    {
        let mut child = smrt(folder.path(), arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(child.wait().unwrap().success(), "{arguments:?}: {said}");
        assert_eq!(said, "", "{arguments:?}");
    }
}

#[test]
fn an_interrupted_training_keeps_its_checkpoint_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    write_job(home, 1_000_000);
    let mut child = smrt(home, &["train", "--set", "job.seed=3", "job.toml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    // The first progress line proves that the training is under way.
    let begun = lines.by_ref().map(|line| line.unwrap()).find(|line| line.contains("epoch"));
    assert!(begun.is_some());
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let rest: Vec<String> = lines.map(|line| line.unwrap()).collect();
    let said = rest.join("\n");
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    assert!(said.contains("stopping at the next batch"), "{said}");
    assert!(said.contains("error: training stopped on request"), "{said}");
    assert!(said.contains("smrt train --resume --set job.seed=3 job.toml"), "{said}");
    assert!(!home.join(ARTIFACT).exists());
}

#[test]
fn the_log_is_json_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    write_job(home, 2);
    let output = smrt(home, &["train", "--log-format", "json", "job.toml"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    assert!(!said.is_empty());
    for line in said.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
    }
}

#[test]
fn a_job_trains_from_s3_and_is_asked_there_by_the_environment_alone() {
    for manner in [crate::s3::Manner::Plain, crate::s3::Manner::Tls] {
        let server = crate::s3::Server::start_as(manner);
        server.make_bucket("models");
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path();
        write_job(home, 3);
        for name in ["train.csv", "rows.csv"] {
            server.put("data", &format!("demo/{name}"), &fs::read(home.join(name)).unwrap());
        }
        let s3 = |arguments: &[&str]| {
            let mut command = smrt(home, arguments);
            command.envs(server.variables());
            done(command)
        };
        let places = [
            "--set",
            "channels.train.uri=s3://data/demo/train.csv",
            "--set",
            "channels.validation.uri=s3://data/demo/train.csv",
            "--set",
            "output.uri=s3://models/",
        ];
        let report = s3(&[&["train"][..], &places, &["job.toml"]].concat());
        let artifact = "s3://models/demo/output/model.tar.gz";
        assert!(report.contains(artifact), "{report}");
        assert!(s3(&["inspect", artifact]).contains("linear-learner model of the job demo"));
        let answers = s3(&["predict", artifact, "s3://data/demo/rows.csv"]);
        assert_eq!(answers.lines().count(), 5, "{answers}");
        s3(&["predict", "--output", "s3://models/answers.csv", artifact, "rows.csv"]);
        let stored = fs::read_to_string(server.path("models", "answers.csv")).unwrap();
        assert_eq!(stored, answers);
    }
}
