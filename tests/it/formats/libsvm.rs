//! libsvm's text.

use std::collections::BTreeMap;
use std::process::Command;

use proptest::prelude::*;
use smrt::data::channel::batches;
use smrt::data::{Absent, Sparse};

use super::*;
use crate::train::User;

fn libsvm() -> Format {
    format(Media::Libsvm)
}

fn sparse(data: &Dataset) -> &Sparse {
    data.sparse.as_ref().unwrap()
}

fn complaint(text: &[u8]) -> String {
    told(&read(vec![object(text)], &libsvm(), &options()).unwrap_err())
}

#[test]
fn indices_count_from_nought_as_xgboost_takes_them() {
    let data = load(b"1 1:2 3:4.5\n0 2:1\n", &libsvm());
    assert_eq!(numbers(&data.label), [1.0, 0.0]);
    assert_eq!(data.features.dim(), (2, 0));
    let rows = sparse(&data);
    assert_eq!((rows.width, rows.rows()), (4, 2));
    assert_eq!(rows.row(0), ([1, 3].as_slice(), [2.0, 4.5].as_slice()));
    assert_eq!(rows.dense(0.0), ndarray::array![[0.0, 2.0, 0.0, 4.5], [0.0, 0.0, 1.0, 0.0]]);
    assert_eq!((data.rows(), data.width()), (2, 4));
}

#[test]
fn weights_queries_comments_and_empty_rows_are_read() {
    let text =
        "# made by hand\n1:0.5 qid:7 0:2\t1:-3e2 # first\r\n\n+2:2 qid:7\n-1:1 qid:2 4:nan 1:1";
    let data = load(text.as_bytes(), &libsvm());
    assert_eq!(numbers(&data.label), [1.0, 2.0, -1.0]);
    assert_eq!(data.weight, Some(vec![0.5, 2.0, 1.0]));
    assert_eq!(data.group, Some(vec![0, 0, 1]));
    let rows = sparse(&data);
    assert_eq!(rows.offsets, [0, 2, 2, 4]);
    assert_eq!(rows.columns, [0, 1, 1, 4]);
    assert!(rows.values[..3] == [2.0, -300.0, 1.0] && rows.values[3].is_nan());
}

#[test]
fn a_channel_without_labels_may_have_some_all_the_same() {
    let none = Format { label: LabelColumn::None, ..libsvm() };
    let data = load(b"0:1 2:3\n1 1:2\n? 0:5\n", &none);
    assert!(data.label.is_none() && data.weight.is_none());
    assert_eq!(
        sparse(&data).dense(0.0),
        ndarray::array![[1.0, 0.0, 3.0], [0.0, 2.0, 0.0], [5.0, 0.0, 0.0]]
    );
}

#[test]
fn a_wrong_line_is_shown_with_its_place_and_the_way_out() {
    let cases: &[(&str, &str)] = &[
        ("a 0:1", "the label \"a\" is not a number"),
        ("nan 0:1", "the label is missing (\"nan\")"),
        ("1,2 0:1", "the label \"1,2\" is not a number"),
        ("inf 0:1", "the label \"inf\" is not a finite number"),
        ("qid:1 0:1", "the label is missing: the line begins with a feature"),
        ("1 0:1 0:2", "the index 0 stands there twice"),
        ("1 3:1 0:2 3:4", "the index 3 stands there twice"),
        ("1 0:inf", "the value \"inf\" of 0 is not a finite number"),
        ("1 0:1e999", "the value \"1e999\" of 0 is not a finite number"),
        ("1 0:x", "the value \"x\" of 0 is not a number"),
        ("1 0:", "the index 0 has no value"),
        ("1 0: 3", "the index 0 has no value"),
        ("1 3", "\"3\" is not a feature\nwrite features as index:value, e.g. 1 3:0.5 7:2"),
        ("1 -1:2", "the index \"-1\" is not a whole number"),
        ("1 1.5:2", "the index \"1.5\" is not a whole number"),
        ("1 16777216:1", "the index 16777216 is beyond 16777215"),
        ("1 18446744073709551616:1", "the index \"18446744073709551616\" is not a whole number"),
        ("1:-1 0:1", "the weight \"-1\" is not a number of 0 or more"),
        ("1:0.5 0:1", "the line has a weight where the first one has none"),
        ("1 qid:3 0:1", "the line has a query where the first one has none"),
        ("1 qid:x 0:1", "the query \"x\" is not a whole number"),
        ("1 0:1\u{0}", "the value \"1\\u{0}\" of 0 is not a number"),
        ("1,0.5,2", "the label \"1,0.5,2\" is not a number"),
    ];
    for (line, expected) in cases {
        let complaint = complaint(format!("1 0:1 1:1\n# here\n{line}\n1 0:1\n").as_bytes());
        assert!(complaint.starts_with(&format!("a, line 3: {expected}")), "{line}: {complaint}");
        assert!(complaint.lines().nth(1).is_some_and(|help| !help.is_empty()), "{line}: no help");
    }
    let weights = complaint(b"1:2 0:1\n1 0:1\n");
    assert!(weights.starts_with("a, line 2: the line has no weight where the first one has one"));
    let queries = complaint(b"1 qid:3 0:1\n1 qid:1 0:1\n1 qid:3 0:1\n");
    assert!(queries.starts_with("a, line 3: the group \"3\" comes back after"), "{queries}");
    assert!(complaint(b"").starts_with("a: is empty"));
    assert!(complaint(b"# only words\n").starts_with("a: is empty"));
    assert!(complaint(b"\xff\xfe1\0").contains("the text is UTF-16"));
}

#[test]
fn a_channel_beside_another_is_as_wide_and_not_wider() {
    let expected = Options { features: Some(5), ..options() };
    let data = read(vec![object(b"1 0:1\n")], &libsvm(), &expected).unwrap();
    assert_eq!(data.width(), 5);
    let error = read(vec![object(b"1 0:1\n1 5:1\n")], &libsvm(), &expected).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a, line 2: the index 5 is beyond the 5 features that are expected"
    );
    let objects = vec![object(b"1 0:1\n"), object(b"1:2 0:1\n")];
    let error = read(objects, &libsvm(), &options()).unwrap_err();
    assert_eq!(error.to_string(), "a, line 1: the line has a weight where a has none");
}

#[test]
fn who_wants_whole_rows_gets_them_in_bounded_blocks() {
    // Two bytes a line, 40,000 bytes a row.
    let text = "1\n".repeat(5_000) + "1 9999:3\n";
    let none = Format { label: LabelColumn::None, ..libsvm() };
    let whole =
        Options { features: Some(10_000), fill: true, absent: Absent::Missing, ..options() };
    let (mut rows, mut largest) = (0, 0);
    for batch in batches(vec![object(text.as_bytes())], &none, &whole).unwrap() {
        let batch = batch.unwrap();
        assert!(batch.sparse.is_none());
        rows += batch.features.nrows();
        largest = largest.max(batch.features.len());
        let last = batch.features[[batch.features.nrows() - 1, 9_999]];
        assert!(if rows == 5_001 { last == 3.0 } else { last.is_nan() });
    }
    assert_eq!(rows, 5_001);
    assert!(largest <= 4 << 20, "{largest} numbers at once");
}

#[test]
fn sparse_rows_beyond_the_memory_limit_are_refused() {
    let text = "1 0:1 1:1 2:1\n".repeat(100_000);
    let small = Options { memory_bytes_max: 2 << 20, block_bytes: 4 << 10, ..options() };
    let error = read(vec![object(text.as_bytes())], &libsvm(), &small).unwrap_err();
    assert!(matches!(error, Error::Memory { .. }), "{error}");
}

/// A job that learns from `train` and, if it is not empty, is checked on `validation`.
fn job(user: &User, algorithm: &str, train: &str, validation: &str, more: &str) -> String {
    let folder = user.folder.path();
    std::fs::write(folder.join("train.svm"), train).unwrap();
    std::fs::write(folder.join("validation.svm"), validation).unwrap();
    let second = match validation {
        "" => String::new(),
        _ => "[channels.validation]\nuri = \"validation.svm\"\ncontent_type = \"text/x-libsvm\"\n"
            .to_owned(),
    };
    format!(
        "[job]\nname = \"sparse\"\n[algorithm]\nname = \"{algorithm}\"\n[channels.train]\n\
         uri = \"train.svm\"\ncontent_type = \"text/libsvm\"\n{second}[output]\nuri = \"models\"\n{more}"
    )
}

fn run(user: &User, text: &str) -> Result<smrt::train::Report, smrt::train::Error> {
    let path = user.folder.path().join("job.toml");
    std::fs::write(&path, text).unwrap();
    user.run(smrt::train::read(&path, &[], &smrt::algorithm::Table::builtin())?)
}

const TREES: &str = "[hyperparameters]\nnum_round = 5\nobjective = \"binary:logistic\"\n";
const LINE: &str = "[hyperparameters]\npredictor_type = \"binary_classifier\"\nepochs = 2\n\
                    mini_batch_size = 10\n";

/// 200 rows of which each leaves some cells out; the label follows from one that is left out.
fn rows() -> String {
    let row = |at: usize| match at % 3 {
        0 => format!("1 0:{} 2:1\n", at % 7),
        1 => format!("0 0:{} 1:2\n", at % 5),
        _ => format!("0 1:{}\n", at % 4),
    };
    (0..200).map(row).collect()
}

#[test]
fn a_cell_left_out_is_missing_to_trees_and_nought_to_lines() {
    for (algorithm, more, absent) in
        [("xgboost", TREES, Absent::Missing), ("linear-learner", LINE, Absent::Zero)]
    {
        let user = User::new();
        let report = run(&user, &job(&user, algorithm, &rows(), "1 0:1\n0 1:1\n", more)).unwrap();
        assert_eq!(report.signature.features, 3, "{algorithm}");
        assert_eq!(report.signature.absent, absent, "{algorithm}");
        let artifact = user.folder.path().join("models/sparse/output/model.tar.gz");
        let model = user.opener().open(&std::fs::read(artifact).unwrap()[..], "m").unwrap();
        let content = smrt::data::media::ContentType::parse("text/x-libsvm").unwrap();
        let limits = smrt::data::request::Limits::default();
        let body = b"1 0:2\n2:3 1:1\n";
        let signature = &model.manifest.signature;
        let rows = smrt::data::request::decode(&content, body, signature, &limits).unwrap();
        let expected = match absent {
            Absent::Missing => [2.0, f32::NAN, f32::NAN, f32::NAN, 1.0, 3.0],
            Absent::Zero => [2.0, 0.0, 0.0, 0.0, 1.0, 3.0],
        };
        assert!(rows.iter().zip(expected).all(|(a, b)| *a == b || a.is_nan() && b.is_nan()));
        let json = smrt::data::media::ContentType::parse("application/json").unwrap();
        let body =
            br#"{"instances":[{"data":{"features":{"keys":[0],"shape":[3],"values":[2]}}}]}"#;
        let one = smrt::data::request::decode(&json, body, signature, &limits).unwrap();
        assert_eq!(one[[0, 1]].is_nan(), absent == Absent::Missing, "{algorithm}");
        assert_eq!(model.predict(rows.view()).unwrap().rows, 2);
    }
}

#[test]
fn a_validation_row_wider_than_training_is_refused_where_it_stands() {
    let user = User::new();
    let error = run(&user, &job(&user, "xgboost", &rows(), "1 0:1\n0 9:1\n", TREES)).unwrap_err();
    let expected = "channel validation: validation.svm, line 2: the index 9 is beyond the 3 features that are expected";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn rows_that_do_not_fit_once_filled_up_are_refused_with_the_figure() {
    let user = User::new();
    let text = rows() + "1 9999999:1\n";
    let more = format!("{LINE}[resources]\nmemory_bytes_max = \"100MiB\"\n");
    let error = run(&user, &job(&user, "linear-learner", &text, "", &more)).unwrap_err();
    let told = error.to_string();
    let expected = "channel train: 201 rows of 10000000 features need 8040000000 bytes when sparse rows are filled up; with what else is held";
    assert!(told.starts_with(expected), "{told}");
    assert!(error.help().unwrap().contains("`resources.memory_bytes_max`"));
}

#[test]
fn a_job_cannot_name_libsvms_label_or_its_header() {
    let user = User::new();
    let text = job(&user, "xgboost", &rows(), "", TREES)
        .replace("\"text/libsvm\"", "\"text/libsvm\"\nlabel = \"y\"\nheader = true");
    let error = run(&user, &text).unwrap_err();
    let found: Vec<String> = error.findings().into_iter().map(|finding| finding.what).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].contains("text/libsvm has no names") && found[1].contains("only CSV has a header")
    );
}

#[test]
fn requests_of_libsvm_are_bounded_and_their_mistakes_have_a_row() {
    use smrt::data::request::{Limits, decode};
    let content = smrt::data::media::ContentType::parse("libsvm").unwrap();
    let signature = smrt::data::Signature::of(3, smrt::data::Task::Regression);
    let told = |body: &[u8], limits: &Limits| {
        decode(&content, body, &signature, limits).map_err(|e| told(&e))
    };
    let all = Limits::default();
    assert_eq!(
        told(b"0:1\n1 1:x", &all).unwrap_err(),
        "row 2: the value \"x\" of 1 is not a number\nwrite features as index:value, e.g. 1 3:0.5 7:2"
    );
    assert!(
        told(b"0:1\n1 3:1", &all)
            .unwrap_err()
            .starts_with("row 2: the index 3 is beyond the 3 features")
    );
    assert!(told(b"# nothing\n", &all).unwrap_err().starts_with("the request holds no rows"));
    let few = Limits { rows_max: 2, ..all };
    assert!(told(b"1\n1\n1\n", &few).unwrap_err().starts_with("the request has more than 2 rows"));
    // Each of a million empty rows would take 16 MiB.
    let wide = smrt::data::Signature::of(4 << 20, smrt::data::Task::Regression);
    let bomb = b"1\n".repeat(1 << 20);
    let error = decode(&content, &bomb, &wide, &all).unwrap_err();
    assert!(matches!(error, Error::TooManyRows { rows_max: 4 }), "{error}");
}

#[test]
fn xgboost_reads_the_same_from_the_same_file() {
    let Ok(python) = std::env::var("SMRT_PYTHON") else {
        println!("skipped: set SMRT_PYTHON to a Python with xgboost 3.2");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for row in 0..300_u32 {
        text.push_str(&format!("{}:{} qid:{}", row % 2, 1 + row % 3, row / 10));
        for column in (row % 4..40).step_by(1 + (row % 5) as usize) {
            text.push_str(&format!(" {column}:{}", f64::from(row * column) / 7.0 - 3.0));
        }
        text.push_str(if row % 9 == 0 { " # note\n" } else { "\n" });
    }
    std::fs::write(folder.path().join("a.svm"), &text).unwrap();
    let script = "import sys, json, xgboost\n\
                  d = xgboost.DMatrix(sys.argv[1] + '?format=libsvm')\n\
                  c = d.get_data()\n\
                  print(json.dumps([c.shape[1], c.indptr.tolist(), c.indices.tolist(), c.data.tolist(), \
                  d.get_label().tolist(), d.get_weight().tolist(), d.get_uint_info('group_ptr').tolist()]))\n";
    let done = Command::new(python)
        .args(["-W", "ignore", "-c", script])
        .arg(folder.path().join("a.svm"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8_lossy(&done.stdout);
    let peer: (usize, Vec<usize>, Vec<u32>, Vec<f32>, Vec<f32>, Vec<f32>, Vec<usize>) =
        serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let data = load(text.as_bytes(), &libsvm());
    let rows = sparse(&data);
    assert_eq!((rows.width, &rows.offsets, &rows.columns), (peer.0, &peer.1, &peer.2));
    // XGBoost's reader is off by an ulp here and there; ours rounds as Python does.
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-6 * b.abs();
    assert!(rows.values.iter().zip(&peer.3).all(near));
    assert_eq!(numbers(&data.label), peer.4);
    let group = data.group.unwrap();
    let starts = (0..=300).filter(|row| *row == 0 || *row == 300 || group[row - 1] != group[*row]);
    assert_eq!(starts.collect::<Vec<_>>(), peer.6);
    assert_eq!(data.weight.unwrap(), peer.5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_written_as_libsvm_is_read_whatever_the_blocks_and_threads(
        rows in prop::collection::vec(
            (any::<i16>(), prop::collection::btree_map(0u32..5000, any::<f32>().prop_filter("finite", |v| v.is_finite()), 0..9)), 1..40),
        block_bytes in 1_usize..200, threads in 1_usize..4,
    ) {
        let line = |(label, row): &(i16, BTreeMap<u32, f32>)| {
            let cells: String = row.iter().map(|(index, value)| format!(" {index}:{value}")).collect();
            format!("{label}{cells}\n")
        };
        let text: String = rows.iter().map(line).collect();
        let options = Options { threads, block_bytes, ..options() };
        let data = read(vec![object(text.as_bytes())], &libsvm(), &options).unwrap();
        let read = sparse(&data);
        for (at, (label, row)) in rows.iter().enumerate() {
            let (columns, values) = read.row(at);
            prop_assert_eq!(columns, row.keys().copied().collect::<Vec<_>>());
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            prop_assert_eq!(bits(values.to_vec()), bits(row.values().copied().collect()));
            prop_assert_eq!(numbers(&data.label)[at], f32::from(*label));
        }
    }

    #[test]
    fn strange_libsvm_never_panics_and_does_not_depend_on_blocks(
        bytes in prop::collection::vec(prop_oneof![
            12 => prop::sample::select(b"0123456789:::::   \n\n#.-eqid\r\tn".to_vec()),
            1 => any::<u8>(),
        ], 0..300),
        label in any::<bool>(),
    ) {
        let label = if label { LabelColumn::First } else { LabelColumn::None };
        let format = Format { label, ..libsvm() };
        let with = |block_bytes| read(vec![object(&bytes)], &format, &Options { block_bytes, ..options() });
        match (with(1), with(1 << 20)) {
            (Ok(small), Ok(large)) => {
                prop_assert_eq!(small.label, large.label);
                prop_assert_eq!(small.sparse.map(|s| (s.width, s.offsets, s.columns)), large.sparse.map(|s| (s.width, s.offsets, s.columns)));
            }
            (Err(small), Err(large)) => prop_assert_eq!(small.to_string(), large.to_string()),
            (small, large) => prop_assert!(false, "{small:?} and {large:?}"),
        }
    }
}
