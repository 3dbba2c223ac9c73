//! Whole jobs and models on what strangers give: each case is wrong in one way, and the answer
//! says what is wrong, where, and what to do. Nothing panics, and nothing half-done stays behind.

use smrt::error::Error;
use smrt::fault::Fault;
use smrt::spec::uri::Uri;
use smrt::train::{self, Job};

use crate::train::User;

/// A good little table: label, two features, both classes.
fn good(rows: usize) -> String {
    (0..rows).map(|row| format!("{},{},{}\n", row % 2, row, (row * 7) % 5)).collect()
}

/// Runs a job whose train channel is `bytes`, and gives message and help of its failure.
fn refused(bytes: &[u8], more: &str) -> (String, String) {
    let user = User::new();
    let file = user.folder.path().join("data.csv");
    std::fs::write(&file, bytes).unwrap();
    let text = format!(
        "[job]\nname = \"hostile\"\n[algorithm]\nname = \"linear-learner\"\n\
         [channels.train]\nuri = \"data.csv\"\n[output]\nuri = \"models\"\n{more}"
    );
    let path = user.folder.path().join("job.toml");
    std::fs::write(&path, text).unwrap();
    let table = smrt::algorithm::Table::builtin();
    let error = train::read(&path, &[], &table)
        .and_then(|job| Job::new(job, user.keys.clone()).run())
        .expect_err("a bad table was learned from");
    let left = user.folder.path().join("models/hostile/output/model.tar.gz");
    assert!(!left.exists(), "a failed job left an artifact");
    let error = Error::from(error);
    (smrt::fault::message(&error), Fault::help(&error).unwrap_or_default())
}

const BINARY: &str = "[hyperparameters]\npredictor_type = \"binary_classifier\"\n";

fn check(name: &str, bytes: &[u8], more: &str, told: &[&str]) {
    let (what, help) = refused(bytes, more);
    for words in told {
        let both = format!("{what} / {help}").to_lowercase();
        assert!(
            both.contains(&words.to_lowercase()),
            "{name}: {words:?} is not in: {what} / {help}"
        );
    }
    assert!(!help.is_empty(), "{name}: no way out is told: {what}");
}

#[test]
fn tables_that_cannot_be_learned_from_are_refused_with_place_and_way_out() {
    let rows = good(100);
    let with = |line: &str| format!("{rows}{line}\n{rows}");
    for (name, bytes, told) in [
        ("ragged row", with("1,2"), &["data.csv", "101", "2"][..]),
        ("text in a number's place", with("1,2,tall"), &["data.csv", "101", "tall"]),
        ("infinity", with("1,2,inf"), &["data.csv", "101", "inf"]),
        ("beyond a float", with("1,2,1e999"), &["data.csv", "101", "1e999"]),
        ("label missing", with(",2,3"), &["data.csv", "101", "label"]),
        ("a header", format!("label,a,b\n{rows}"), &["header"]),
        ("header only", "label,a,b\n".into(), &["header"]),
        ("one class only", "1,2,3\n".repeat(50), &["class"]),
        ("three classes for binary", good(10) + "2,1,1\n", &["label"]),
    ] {
        check(name, bytes.as_bytes(), BINARY, told);
    }
    let five = "[hyperparameters]\npredictor_type = \"multiclass_classifier\"\nnum_classes = 5\n";
    check("label out of range", with("7,2,3").as_bytes(), five, &["7", "num_classes"]);
}

#[test]
fn an_empty_file_is_named() {
    let (what, _) = refused(b"", BINARY);
    assert!(what.contains("data.csv") || what.contains("empty"), "{what}");
}

#[test]
fn a_million_columns_are_refused_by_count_and_not_by_memory() {
    let wide = format!("1{}\n", ",0".repeat(1_000_000));
    check("a million columns", wide.as_bytes(), BINARY, &["column"]);
}

#[test]
fn damaged_compression_is_named() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, good(10_000).as_bytes()).unwrap();
    let whole = gzip.finish().unwrap();
    let (what, _) = refused(&whole[..whole.len() / 2], BINARY);
    assert!(what.contains("data.csv"), "{what}");
}

#[test]
fn a_missing_key_is_told_without_opening_anything() {
    let (one, other) = (User::new(), User::new());
    let more = "[hyperparameters]\npredictor_type = \"binary_classifier\"\nepochs = 1\n";
    let report = one.run(one.job("linear-learner", more)).unwrap();
    let sealed = std::fs::read(report.artifact.to_string()).unwrap();
    let error = other.opener().open(&sealed[..], "model.tar.gz").unwrap_err();
    assert!(error.to_string().contains("key"), "{error}");
    assert!(error.help().is_some());

    // What the header says can be told without the key, and nothing else.
    let told = other.opener().inspect(&sealed, "model.tar.gz").unwrap();
    assert!(told.contents.is_err());
    let header = told.seal.expect("it is sealed");
    assert_eq!(header.context.get("smrt:job"), Some("phishing"));
}

#[test]
fn an_artifact_cut_short_or_changed_anywhere_is_refused() {
    let user = User::new();
    let more = "[hyperparameters]\npredictor_type = \"binary_classifier\"\nepochs = 1\n";
    let report = user.run(user.job("linear-learner", more)).unwrap();
    let whole = std::fs::read(report.artifact.to_string()).unwrap();
    let opener = user.opener();
    for length in (0..whole.len()).step_by(7) {
        assert!(opener.open(&whole[..length], "cut").is_err(), "opened at {length}");
    }
    for at in (0..whole.len()).step_by(11) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        assert!(opener.open(&changed[..], "changed").is_err(), "opened with byte {at} changed");
    }
    let longer = [whole.as_slice(), b"x"].concat();
    assert!(opener.open(&longer[..], "longer").is_err());
    assert!(opener.open(&whole[..], "whole").is_ok());
}

#[test]
fn what_is_no_artifact_is_refused_by_what_it_is() {
    let user = User::new();
    for bytes in [&b""[..], b"\x80\x04\x95", b"PK\x03\x04", b"\x1f\x8b", b"hello"] {
        let error = user.opener().open(bytes, "model.tar.gz").unwrap_err();
        assert!(error.to_string().starts_with("model.tar.gz: "), "{error}");
    }
}

#[test]
fn a_channel_that_is_not_there_is_named() {
    let user = User::new();
    let mut job = user.job("mlp", "[hyperparameters]\npredictor_type = \"binary_classifier\"\n");
    for channel in job.channels.values_mut() {
        channel.uri = Uri::File(user.folder.path().join("nowhere.csv"));
    }
    let error = user.run(job).unwrap_err();
    assert!(error.to_string().contains("nowhere.csv"), "{error}");
    assert!(error.help().is_some());
}
