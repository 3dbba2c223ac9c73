//! `smrt data convert`: what is written in one format reads back as the same rows.

use std::path::Path;
use std::process::{Command, Output};

use proptest::prelude::*;
use smrt::data::channel::batches;
use smrt::data::write::{Encoder, Packing, Target};
use smrt::data::{Absent, Categories};
use smrt::spec::train::Categorical;

use super::*;

/// `rows` of CSV, label first, in another format.
fn written(csv: &str, media: Media, packing: Packing) -> Vec<u8> {
    let mut reader =
        batches(vec![object(csv.as_bytes())], &format(Media::Csv), &options()).unwrap();
    let target =
        Target { media, packing, absent: Absent::Zero, columns: vec![], label: "label".into() };
    let (mut encoder, mut bytes) = (Encoder::new(target), Vec::new());
    for batch in &mut reader {
        encoder.batch(&batch.unwrap(), &Categories::new(), &mut bytes).unwrap();
    }
    encoder.finish(&mut bytes).unwrap();
    bytes
}

fn whole(media: Media, bytes: &[u8], width: usize) -> Dataset {
    let options = Options { features: Some(width), fill: true, ..options() };
    read(vec![object(bytes)], &format(media), &options).unwrap()
}

fn bits(data: &Dataset) -> Vec<u32> {
    // Nothing tells -0 from 0 where zeros are left out.
    let bits = |value: &f32| if value.is_nan() { 1 } else { (value + 0.0).to_bits() };
    data.features.iter().map(bits).collect()
}

const ALL: [Media; 5] =
    [Media::Csv, Media::JsonLines, Media::Libsvm, Media::RecordIo, Media::Parquet];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn rows_survive_every_format_and_packing(
        rows in prop::collection::vec((-9_i8..9, prop::collection::vec(prop_oneof![
            3 => any::<f32>().prop_filter("finite", |v| v.is_finite()).prop_map(Some),
            2 => Just(Some(0.0_f32)),
            1 => Just(None),
        ], 3)), 1..30),
        packing in prop::sample::select(vec![Packing::Plain, Packing::Gzip, Packing::Zstd]),
    ) {
        let mut csv = String::new();
        for (label, cells) in &rows {
            csv.push_str(&label.to_string());
            for cell in cells {
                csv.push(',');
                csv.push_str(&cell.map(|value| value.to_string()).unwrap_or_default());
            }
            csv.push('\n');
        }
        let before = load(csv.as_bytes(), &format(Media::Csv));
        for media in ALL {
            let after = whole(media, &written(&csv, media, packing), 3);
            prop_assert_eq!(bits(&after), bits(&before), "{}", media);
            prop_assert_eq!(&after.label, &before.label, "{}", media);
        }
    }
}

fn smrt(folder: &Path, arguments: &[&str]) -> Output {
    let smrt = env!("CARGO_BIN_EXE_smrt");
    Command::new(smrt)
        .args(["data", "convert"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn convert(folder: &Path, arguments: &[&str]) {
    let done = smrt(folder, arguments);
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn words_and_names_go_through_parquet_and_json_lines_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let text = "churn,plan,age\nyes,\"a, b\",30\nno,basic,\nyes,,1.5\n";
    std::fs::write(folder.path().join("a.csv"), text).unwrap();
    convert(folder.path(), &["--header", "--label", "churn", "a.csv", "b.parquet"]);
    convert(folder.path(), &["--label", "churn", "b.parquet", "c.jsonl.gz"]);
    convert(folder.path(), &["--label", "churn", "c.jsonl.gz", "d.csv"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("d.csv")).unwrap(), text);
    let bytes = std::fs::read(folder.path().join("b.parquet")).unwrap();
    let named = LabelColumn::Named("churn".into());
    let auto = Format { label: named, categorical: Categorical::Auto, ..format(Media::Parquet) };
    assert_eq!(load(&bytes, &auto).categories[&0], ["a, b", "basic"]);
}

#[test]
fn sparse_rows_are_filled_up_or_stay_sparse_with_weights_and_queries() {
    let folder = tempfile::tempdir().unwrap();
    let text = "1:0.5 qid:0 0:2 4:1.5\n0:2 qid:0 1:3\n1:1 qid:1 \n";
    std::fs::write(folder.path().join("a.svm"), text).unwrap();
    convert(folder.path(), &["a.svm", "b.svm.zst"]);
    convert(folder.path(), &["b.svm.zst", "c.svm"]);
    let again = std::fs::read_to_string(folder.path().join("c.svm")).unwrap();
    assert_eq!(again, text.replace("qid:1 \n", "qid:1\n"));
    convert(folder.path(), &["a.svm", "d.csv"]);
    let csv = std::fs::read_to_string(folder.path().join("d.csv")).unwrap();
    assert_eq!(csv, "1,0.5,0,2,0,0,0,1.5\n0,2,0,0,3,0,0,0\n1,1,1,0,0,0,0,0\n");
    convert(folder.path(), &["--absent", "missing", "a.svm", "e.csv"]);
    let csv = std::fs::read_to_string(folder.path().join("e.csv")).unwrap();
    assert!(csv.starts_with("1,0.5,0,2,,,,1.5\n"), "{csv}");
    let refused = smrt(folder.path(), &["a.svm", "f.recordio"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        told.contains("weights and groups have no place in application/x-recordio-protobuf"),
        "{told}"
    );
    assert!(!folder.path().join("f.recordio").exists());
}

#[test]
fn a_row_that_is_wrong_leaves_no_result() {
    let folder = tempfile::tempdir().unwrap();
    let text = "1,2\n".repeat(200_000) + "1,2,3\n";
    std::fs::write(folder.path().join("a.csv"), text).unwrap();
    let refused = smrt(folder.path(), &["a.csv", "b.libsvm"]);
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("a.csv, line 200001: the line has 3 columns"), "{told}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
