//! RecordIO of SageMaker's records: read from Google's protobuf, and our answers read by it.

use std::path::Path;
use std::process::Command;

use ndarray::array;
use proptest::prelude::*;
use serde_json::{Value, json};
use smrt::data::media::{Accept, ContentType};
use smrt::data::request::{Limits, decode};
use smrt::data::{Absent, Answer, Field, LabelNames, Signature, Task, Values, answer};

use super::*;

fn recordio() -> Format {
    format(Media::RecordIo)
}

fn unlabelled() -> Format {
    Format { label: LabelColumn::None, ..recordio() }
}

pub(crate) fn frame(payload: &[u8]) -> Vec<u8> {
    part(0, payload)
}

fn part(part: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = 0xCED7_230A_u32.to_le_bytes().to_vec();
    bytes.extend(((part << 29) | payload.len() as u32).to_le_bytes());
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [vec![number << 3 | 2], varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// A record by hand: 32-bit values, keys and shape where they are given, a label.
pub(crate) fn record(values: &[f32], keys: &[u64], shape: &[u64], label: Option<f32>) -> Vec<u8> {
    let whole = |numbers: &[u64]| numbers.iter().flat_map(|n| varint(*n)).collect::<Vec<u8>>();
    let tensor = |values: &[f32]| {
        field(1, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
    };
    let mut features = tensor(values);
    if !keys.is_empty() {
        features.extend(field(2, &whole(keys)));
    }
    if !shape.is_empty() {
        features.extend(field(3, &whole(shape)));
    }
    let entry = |tensor: &[u8]| [field(1, b"values"), field(2, &field(2, tensor))].concat();
    let mut bytes = field(1, &entry(&features));
    if let Some(label) = label {
        bytes.extend(field(2, &entry(&tensor(&[label]))));
    }
    bytes
}

fn dense(values: &[f32], label: f32) -> Vec<u8> {
    frame(&record(values, &[], &[], Some(label)))
}

fn complaint(bytes: &[u8], format: &Format) -> String {
    told(&read(vec![object(bytes)], format, &options()).unwrap_err())
}

#[test]
fn dense_records_are_rows() {
    let bytes = [dense(&[1.0, f32::NAN], 1.0), dense(&[-2.5, 4.0], 0.0)].concat();
    let data = load(&bytes, &recordio());
    assert_eq!(numbers(&data.label), [1.0, 0.0]);
    assert!(data.sparse.is_none() && data.features[[0, 1]].is_nan());
    assert_eq!(data.features.row(1), array![-2.5, 4.0]);
    assert!(load(&bytes, &unlabelled()).label.is_none());
}

#[test]
fn sparse_records_stay_sparse_and_are_as_wide_as_they_say() {
    let rows = [
        frame(&record(&[7.0, 1.0], &[3, 0], &[9], Some(1.0))),
        frame(&record(&[], &[], &[9], Some(0.0))),
    ];
    let data = load(&rows.concat(), &recordio());
    let sparse = data.sparse.unwrap();
    assert_eq!((sparse.width, sparse.offsets), (9, vec![0, 2, 2]));
    assert_eq!((sparse.columns, sparse.values), (vec![0, 3], vec![1.0, 7.0]));
    let whole = Options { features: Some(9), fill: true, absent: Absent::Missing, ..options() };
    let data = read(vec![object(&rows.concat())], &recordio(), &whole).unwrap();
    assert_eq!(data.features.dim(), (2, 9));
    assert!(data.features[[0, 3]] == 7.0 && data.features[[0, 1]].is_nan());
}

#[test]
fn a_record_may_come_in_parts() {
    let whole = record(&[1.0, 2.0], &[], &[2], Some(5.0));
    let cut = [&whole[..3], &whole[3..10], &whole[10..]];
    let bytes =
        [part(1, cut[0]), part(2, cut[1]), part(3, cut[2]), dense(&[3.0, 4.0], 6.0)].concat();
    for block_bytes in [1, 20, 1 << 20] {
        let options = Options { block_bytes, ..options() };
        let data = read(vec![object(&bytes)], &recordio(), &options).unwrap();
        assert_eq!(data.features, array![[1.0, 2.0], [3.0, 4.0]]);
    }
}

#[test]
fn a_wrong_record_is_shown_with_its_number_and_the_way_out() {
    let good = dense(&[1.0, 2.0], 0.0);
    let huge = [0xCED7_230A_u32.to_le_bytes(), 0x1fff_ffff_u32.to_le_bytes()].concat();
    let sparse = frame(&record(&[1.0], &[0], &[2], Some(0.0)));
    let bytes_label = [field(1, b"values"), field(2, &field(9, &field(1, b"x")))].concat();
    let other_key = [field(1, b"value"), field(2, &field(2, &field(1, &[0; 4])))].concat();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (
            b"1,2,3\n4,5,6\n".to_vec(),
            "this is not RecordIO: a record does not begin with 0xced7230a",
        ),
        (vec![0x0a, 0x23], "the record is cut short"),
        (huge, "the record has 536870911 bytes"),
        (part(3, b""), "this is not RecordIO: the parts of a record are out of order"),
        (part(1, b""), "the record is cut short"),
        (frame(b""), "the record has no features"),
        (frame(&[0xff; 12]), "the record is damaged: a whole number does not end"),
        (
            frame(&[10, 0xff, 0xff, 0xff, 0xff, 0x0f]),
            "the record is damaged: a field is longer than what is left",
        ),
        (frame(&[11]), "the record is damaged: a field is of a kind that is not used any more"),
        (
            frame(&record(&[1.0], &[], &[], Some(0.0))),
            "the record has 1 features where the first one has 2",
        ),
        (
            frame(&record(&[1.0, 2.0], &[], &[3], Some(0.0))),
            "the shape says 3 numbers and 2 are there",
        ),
        (frame(&record(&[1.0, f32::INFINITY], &[], &[], Some(0.0))), "inf is not a finite number"),
        (frame(&record(&[1.0, 2.0], &[], &[], None)), "the record has no label"),
        (frame(&record(&[1.0, 2.0], &[], &[], Some(f32::NAN))), "the label is missing"),
        (
            frame(&[record(&[1.0, 2.0], &[], &[], None), field(2, &bytes_label)].concat()),
            "the label are bytes where numbers belong",
        ),
        (
            frame(&field(1, &other_key)),
            "the features have the key \"value\" where SageMaker has \"values\"",
        ),
        (sparse.clone(), "the record is sparse where the first one is dense"),
        (frame(&record(&[1.0, 2.0], &[0], &[2], Some(0.0))), "1 keys stand beside 2 values"),
        (frame(&record(&[1.0], &[0], &[], Some(0.0))), "sparse features have no shape"),
    ];
    for (bytes, expected) in &cases {
        let complaint = complaint(&[&good[..], bytes].concat(), &recordio());
        assert!(complaint.starts_with("a, record 2"), "{expected}: {complaint}");
        assert!(complaint.contains(expected), "{expected}: {complaint}");
        assert!(complaint.lines().nth(1).is_some_and(|help| !help.is_empty()), "{expected}");
    }
    for (record, expected) in [
        (record(&[1.0], &[2], &[2], Some(0.0)), "a, record 2: the key 2 is not below 2"),
        (
            record(&[1.0, 2.0], &[1, 1], &[2], Some(0.0)),
            "a, record 2: the key 1 stands there twice",
        ),
        (record(&[1.0], &[0], &[3], Some(0.0)), "a, record 2: the record has 3 features where"),
        (
            record(&[1.0], &[0], &[1 << 40, 1 << 40], Some(0.0)),
            "a, record 2: sparse features have no shape",
        ),
    ] {
        let told = complaint(&[sparse.clone(), frame(&record)].concat(), &recordio());
        assert!(told.starts_with(expected), "{expected}: {told}");
    }
    let wide = complaint(&frame(&record(&[1.0], &[0], &[1 << 30], Some(0.0))), &recordio());
    assert!(wide.starts_with("a, record 1: the record has 1073741824 features"), "{wide}");
    assert!(complaint(b"", &recordio()).starts_with("a: is empty"));
}

#[test]
fn recordio_cut_anywhere_is_refused_but_between_records() {
    let bytes = [dense(&[1.0, 2.0], 0.0), dense(&[3.0, 4.0], 1.0)].concat();
    for cut in 0..bytes.len() {
        let outcome = read(vec![object(&bytes[..cut])], &recordio(), &options());
        assert_eq!(outcome.is_ok(), cut == bytes.len() / 2, "cut at {cut}: {outcome:?}");
    }
}

fn python() -> Option<String> {
    let python = std::env::var("SMRT_PYTHON").ok().filter(|path| !path.is_empty());
    if python.is_none() {
        println!("skipped: SMRT_PYTHON does not name a Python with protobuf");
    }
    python
}

fn script(python: &str, mode: &str, path: &Path) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/recordio.py");
    let done = Command::new(python).args([script, mode]).arg(path).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn what_googles_protobuf_writes_is_read() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let written = |rows: Value| {
        std::fs::write(folder.path().join("rows.json"), rows.to_string()).unwrap();
        script(&python, "write", folder.path());
        std::fs::read(folder.path().join("rows.rec")).unwrap()
    };
    for kind in ["float32_tensor", "float64_tensor", "int32_tensor"] {
        let bytes = written(json!([
            {"kind": kind, "values": [1, -2, 3], "label": 1},
            {"kind": kind, "values": [4, 5, 1_000_000], "label": 0, "shape": [3]},
        ]));
        let data = load(&bytes, &recordio());
        assert_eq!(data.features, array![[1.0, -2.0, 3.0], [4.0, 5.0, 1e6]], "{kind}");
        assert_eq!(numbers(&data.label), [1.0, 0.0]);
    }
    let bytes = written(json!([
        {"values": [0.5, null], "keys": [1, 300], "shape": [400], "label": 1},
        {"values": [], "keys": [], "shape": [400], "label": 0},
    ]));
    let sparse = load(&bytes, &recordio()).sparse.unwrap();
    assert_eq!((sparse.width, sparse.columns), (400, vec![1, 300]));
    assert!(sparse.values[0] == 0.5 && sparse.values[1].is_nan());
}

#[test]
fn googles_protobuf_reads_our_answers() {
    let Some(python) = python() else { return };
    let names = LabelNames::Words(vec!["no".into(), "yes".into()]);
    let answer = Answer {
        key: "predictions",
        rows: 2,
        fields: vec![
            Field { name: "score", values: Values::Number(vec![0.25, f32::NAN]) },
            Field {
                name: "scores",
                values: Values::Vector { width: 2, values: vec![0.5, 0.5, 1.0, 0.0] },
            },
            Field {
                name: "predicted_label",
                values: Values::Class { codes: vec![1, 0], names: std::sync::Arc::new(names) },
            },
        ],
    };
    let accept = Accept::parse(Some("application/x-recordio-protobuf"), Media::Json).unwrap();
    assert_eq!(accept.content_type(), "application/x-recordio-protobuf");
    let mut bytes = Vec::new();
    answer::encode(&answer, &accept, &mut bytes);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answer.rec");
    std::fs::write(&path, bytes).unwrap();
    let said = script(&python, "read", &path);
    let found: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = [
        json!({"features": {}, "label": {"score": {"values": [0.25]}, "scores": {"values": [0.5, 0.5]}, "predicted_label": ["yes"]}}),
        json!({"features": {}, "label": {"score": {"values": [null]}, "scores": {"values": [1.0, 0.0]}, "predicted_label": ["no"]}}),
    ];
    assert_eq!(found, expected);
}

#[test]
fn requests_of_recordio_are_filled_up_bounded_and_their_mistakes_have_a_row() {
    let content = ContentType::parse("application/x-recordio-protobuf").unwrap();
    let mut signature = Signature::of(3, Task::Regression);
    signature.absent = Absent::Missing;
    let all = Limits::default();
    let good = [
        frame(&record(&[1.0, 2.0, 3.0], &[], &[], Some(9.0))),
        frame(&record(&[5.0], &[2], &[3], None)),
    ]
    .concat();
    let rows = decode(&content, &good, &signature, &all).unwrap();
    assert_eq!(rows.row(0), array![1.0, 2.0, 3.0]);
    assert!(rows[[1, 2]] == 5.0 && rows[[1, 0]].is_nan());
    let refused = |bytes: &[u8], limits: &Limits| {
        told(&decode(&content, &[&good[..], bytes].concat(), &signature, limits).unwrap_err())
    };
    let short = frame(&record(&[1.0], &[], &[], None));
    assert!(
        refused(&short, &all).starts_with("row 3: the row has 1 number where the model takes 3")
    );
    let infinite = frame(&record(&[1.0, f32::NEG_INFINITY, 0.0], &[], &[], None));
    assert!(refused(&infinite, &all).starts_with("row 3, column 2: -inf is not a finite number"));
    assert!(refused(b"x", &all).starts_with("row 3: this is not RecordIO"));
    let few = Limits { rows_max: 1, ..all };
    assert!(refused(b"", &few).starts_with("the request has more than 1 rows"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn records_are_read_whatever_the_blocks_and_threads(
        rows in prop::collection::vec((-9.0f32..9.0, prop::collection::vec(any::<i16>(), 3)), 1..40),
        block_bytes in 1_usize..300, threads in 1_usize..4,
    ) {
        let bytes: Vec<u8> = rows
            .iter()
            .flat_map(|(label, row)| dense(&row.iter().map(|v| f32::from(*v)).collect::<Vec<_>>(), *label))
            .collect();
        let options = Options { threads, block_bytes, ..options() };
        let data = read(vec![object(&bytes)], &recordio(), &options).unwrap();
        let expected: Vec<f32> = rows.iter().flat_map(|(_, row)| row.iter().map(|v| f32::from(*v))).collect();
        prop_assert_eq!(data.features.iter().copied().collect::<Vec<_>>(), expected);
        prop_assert_eq!(numbers(&data.label), rows.iter().map(|(label, _)| *label).collect::<Vec<_>>());
    }

    #[test]
    fn strange_recordio_never_panics_and_does_not_depend_on_blocks(
        at in 0_usize..200, with in any::<u8>(), sparse in any::<bool>(),
    ) {
        let one = match sparse {
            true => frame(&record(&[1.0, 2.0], &[0, 2], &[5], Some(1.0))),
            false => dense(&[1.0, 2.0, 3.0], 1.0),
        };
        let mut bytes = one.repeat(3);
        let at = at % bytes.len();
        bytes[at] = with;
        let with = |block_bytes| read(vec![object(&bytes)], &recordio(), &Options { block_bytes, ..options() });
        match (with(1), with(1 << 20)) {
            (Ok(small), Ok(large)) => prop_assert_eq!(small.rows(), large.rows()),
            (Err(small), Err(large)) => prop_assert_eq!(small.to_string(), large.to_string()),
            (small, large) => prop_assert!(false, "{small:?} and {large:?}"),
        }
    }
}
