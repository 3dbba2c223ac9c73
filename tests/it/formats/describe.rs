//! `smrt data describe` of formats that are no text: what is told is what is told of the same rows in
//! CSV.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn smrt(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_smrt"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn described(folder: &Path, more: &[&str]) -> Value {
    let arguments = [&["data", "describe", "--format", "json"], more].concat();
    serde_json::from_str(&smrt(folder, &arguments)).unwrap()
}

/// What is told of each column, its name aside, and of all rows.
fn facts(report: &Value) -> (Vec<Value>, Vec<Value>) {
    let table = &report["table"];
    let column = |column: &Value| {
        let mut column = column.clone();
        column.as_object_mut().unwrap().remove("name");
        column
    };
    let columns = table["columns"].as_array().unwrap().iter().map(column).collect();
    let all = ["rows", "label", "duplicate_rows", "contradicting_rows"];
    (columns, all.iter().map(|key| table[key].clone()).collect())
}

/// Labels, two columns of numbers with gaps, rows twice.
fn rows(words: bool) -> String {
    let row = |at: usize| {
        let gap = if at.is_multiple_of(5) { String::new() } else { format!("{}", at as f32 / 8.0) };
        let word = if words { [",ash", ",oak, old", ",elm"][at % 3] } else { "" };
        let word = if word.contains(", ") { ",\"oak, old\"" } else { word };
        format!("{},{gap},0.{}{word}\n", at % 2, at % 7 + 1)
    };
    (0..400).map(|at| row(at % 350)).collect()
}

#[test]
fn numbers_of_every_format_are_told_as_those_of_csv() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv"), rows(false)).unwrap();
    let wanted = facts(&described(folder.path(), &["--no-header", "a.csv"]));
    assert_eq!(wanted.0.len(), 3);
    for name in ["a.parquet", "a.recordio", "a.libsvm"] {
        let absent: &[&str] =
            if name == "a.libsvm" { &["--absent", "missing"] } else { &["--absent", "zero"] };
        smrt(folder.path(), &[&["data", "convert"], absent, &["a.csv", name]].concat());
        assert_eq!(facts(&described(folder.path(), &[name])), wanted, "{name}");
    }
    // Rows of one stand in the other, whatever the formats are.
    let report = described(folder.path(), &["a.libsvm", "a.libsvm"]);
    assert_eq!(report["second"]["rows_in_first"], 400.0);
}

#[test]
fn words_of_parquet_are_told_however_many_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let header = "label,gap,few,tree\n".to_owned();
    std::fs::write(folder.path().join("a.csv"), header + &rows(true)).unwrap();
    smrt(folder.path(), &["data", "convert", "--header", "a.csv", "a.parquet"]);
    let (text, parquet) =
        (described(folder.path(), &["a.csv"]), described(folder.path(), &["a.parquet"]));
    assert_eq!(facts(&parquet), facts(&text));
    let names = |report: &Value| -> Vec<Value> {
        let columns = report["table"]["columns"].as_array().unwrap();
        columns.iter().map(|column| column["name"].clone()).collect()
    };
    assert_eq!(names(&parquet), names(&text));
    assert_eq!(described(folder.path(), &["--label", "tree", "a.parquet"])["table"]["label"], 3);
}
