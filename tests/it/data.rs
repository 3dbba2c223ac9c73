//! Integration tests of `data`: channels as users write them, and files that are wrong in one way
//! each.

#![allow(clippy::unwrap_used)]

use std::io::{self, Cursor, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use smrt::data::channel::{Object, Options, batches, read};
use smrt::data::{Dataset, Error, Labels};
use smrt::fault::{Fault, Kind};
use smrt::spec::limit;
use smrt::spec::train::{Format, LabelColumn, Media};

fn csv() -> Format {
    Format::new(Media::Csv)
}

fn with_header(label: &str) -> Format {
    Format { header: true, label: LabelColumn::Named(label.into()), ..csv() }
}

fn json_lines(label: LabelColumn) -> Format {
    Format { media: Media::JsonLines, label, ..csv() }
}

fn object(uri: &str, bytes: &[u8]) -> Object {
    Object {
        uri: uri.into(),
        bytes: Some(bytes.len() as u64),
        reader: Box::new(Cursor::new(bytes.to_vec())),
    }
}

fn options() -> Options {
    Options { threads: 2, ..Options::new("channels.train") }
}

fn load(text: &str, format: &Format) -> Dataset {
    read(vec![object("a.csv", text.as_bytes())], format, &options()).unwrap()
}

/// What the user reads: the message, and the help below it.
fn complaint(bytes: &[u8], format: &Format) -> String {
    told(&read(vec![object("a.csv", bytes)], format, &options()).unwrap_err())
}

fn told(error: &Error) -> String {
    format!("{error}\n{}", error.help().unwrap_or_default())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn numbers(labels: &Option<Labels>) -> Vec<f32> {
    match labels {
        Some(Labels::Number(numbers)) => numbers.clone(),
        other => panic!("not numbers: {other:?}"),
    }
}

#[test]
fn the_label_comes_first_and_there_is_no_header() {
    let data = load("1,0.5,2\n0,-1,3e2\n", &csv());
    assert_eq!(numbers(&data.label), [1.0, 0.0]);
    assert_eq!(data.features, ndarray::array![[0.5, 2.0], [-1.0, 300.0]]);
    assert!(data.columns.is_empty());
    assert_eq!(data.sources.len(), 1);
    assert_eq!(data.sources[0].bytes, 17);
    assert_eq!(data.sources[0].sha256, sha256("1,0.5,2\n0,-1,3e2\n"));
}

fn sha256(text: &str) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(text))
}

#[test]
fn a_header_names_the_columns_and_the_label_may_stand_anywhere() {
    let text = "age,churn,\"income, net\"\n30,yes,1.5\n40,no,2\n50,yes,\n";
    let data = load(text, &with_header("churn"));
    assert_eq!(*data.columns, ["age".to_owned(), "income, net".to_owned()]);
    assert_eq!(
        data.label,
        Some(Labels::Text { codes: vec![0, 1, 0], names: vec!["yes".into(), "no".into()] })
    );
    assert_eq!(data.features.column(0).to_vec(), [30.0, 40.0, 50.0]);
    assert!(data.features[[2, 1]].is_nan());
    let last = load("a,b,y\n1,2,3\n4,5,6", &with_header("y"));
    assert_eq!(numbers(&last.label), [3.0, 6.0]);
    assert_eq!(last.features, ndarray::array![[1.0, 2.0], [4.0, 5.0]]);
    let none = Format { label: LabelColumn::None, ..csv() };
    let none = load("1\n2\n\n3\n", &none);
    assert!(none.label.is_none());
    assert_eq!(none.features, ndarray::array![[1.0], [2.0], [3.0]]);
}

#[test]
fn freedoms_people_take_with_csv_are_understood() {
    let plain = load("1,2,3\n4,5,6\n", &csv());
    for text in [
        "1,2,3\r\n4,5,6\r\n",
        "1,2,3\n4,5,6",
        "\u{feff}1,2,3\n4,5,6\n",
        "\n1,2,3\n\n  \n4,5,6\n\r\n",
        "\"1\",\"2\",\"3\"\n\"4\" ,5,\"6\"",
        " 1 ,\t2, +3\n4,5.0,.6e1\n",
    ] {
        let data = load(text, &csv());
        assert_eq!(data.features, plain.features, "{text:?}");
        assert_eq!(data.label, plain.label, "{text:?}");
    }
    for delimiter in [b';', b'\t', b' ', b'|'] {
        let text = "1,2,3\n4,5,6\n".replace(',', &char::from(delimiter).to_string());
        let data = load(&text, &Format { delimiter, ..csv() });
        assert_eq!(data.features, plain.features, "{text:?}");
    }
    let missing = load("1,,NaN\n0,NA,null\n1, ,?\n", &csv());
    assert!(missing.features.iter().all(|value| value.is_nan()));
    let words = load("\"a \"\"b\"\"\nc\",1\nd,2\n", &csv());
    assert_eq!(
        words.label,
        Some(Labels::Text { codes: vec![0, 1], names: vec!["a \"b\"\nc".into(), "d".into()] })
    );
}

#[test]
fn several_objects_and_compressions_make_one_channel() {
    let many = [gzip(b"3,3,3\n"), gzip(b"4,4,4\n")].concat();
    let objects = vec![
        object("1.csv", b"1,1,1"),
        object("2.csv.zst", &[zstd(b"2,2,2\n"), zstd(b"")].concat()),
        object("empty.csv", b""),
        object("3.csv", &many),
    ];
    let data = read(objects, &csv(), &options()).unwrap();
    assert_eq!(numbers(&data.label), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(data.sources.len(), 4);
    assert_eq!(data.sources[3].bytes, many.len() as u64);
    assert_eq!(data.sources[3].sha256, {
        use sha2::Digest;
        hex::encode(sha2::Sha256::digest(&many))
    });
}

#[test]
fn json_lines_come_in_sagemakers_shapes_and_by_name() {
    let first = json_lines(LabelColumn::First);
    for text in [
        "{\"features\":[1,2.5],\"label\":0}\n\n{\"label\":1,\"features\":[3,null]}\n",
        "{\"data\":{\"features\":{\"values\":[1,2.5]}},\"label\":0}\r\n{\"features\":[3,null],\"label\":1,\"id\":\"x\"}",
    ] {
        let data = load(text, &first);
        assert_eq!(numbers(&data.label), [0.0, 1.0], "{text}");
        assert_eq!(data.features.row(0).to_vec(), [1.0, 2.5]);
        assert!(data.features[[1, 0]] == 3.0 && data.features[[1, 1]].is_nan());
    }
    let text = "{\"a\":1,\"y\":\"no\",\"b\":2}\n{\"b\":true,\"y\":\"yes\"}\n";
    let data = load(text, &json_lines(LabelColumn::Named("y".into())));
    assert_eq!(*data.columns, ["a".to_owned(), "b".to_owned()]);
    assert!(data.features[[1, 0]].is_nan() && data.features[[1, 1]] == 1.0);
    let sparse =
        "{\"data\":{\"features\":{\"keys\":[2],\"shape\":[3],\"values\":[7]}},\"label\":1}";
    assert_eq!(load(sparse, &first).features, ndarray::array![[0.0, 0.0, 7.0]]);
}

#[test]
fn a_wrong_cell_is_shown_with_its_place_and_the_way_out() {
    let cases: &[(&str, Format, &str)] = &[
        (
            "1,2,3\n\n4,x\u{1b}y,6\n",
            csv(),
            "a.csv, line 3, column 2: \"x\\u{1b}y\" is not a number\n",
        ),
        (
            "y,a,b\n0,1,2\n0,1,oops",
            with_header("y"),
            "a.csv, line 3, column 3 (b): \"oops\" is not a number\n",
        ),
        ("1,2\n1,inf\n", csv(), "a.csv, line 2, column 2: \"inf\" is not a finite number\n"),
        ("1,2\n1,1e999\n", csv(), "a.csv, line 2, column 2: \"1e999\" is too large\n"),
        (
            "1,2\n,3\n",
            csv(),
            "a.csv, line 2, column 1: the label is missing\nevery row to learn from needs a label; remove the row or fill it in",
        ),
        (
            "1,2\n1e40,3\n",
            csv(),
            "a.csv, line 2, column 1: the label \"1e40\" is not a finite number\n",
        ),
        (
            "1,2,3\n1,2\n",
            csv(),
            "a.csv, line 2: the line has 2 columns where the first one has 3\n",
        ),
        (
            "1,2,3\n1,2,3,4,5\n",
            csv(),
            "a.csv, line 2: the line has 5 columns where the first one has 3\n",
        ),
        ("1,2\n1,\0\n", csv(), "a.csv, line 2, column 2: \"\\u{0}\" is not a number\n"),
        ("1,2\r3,4\r", csv(), "a.csv, line 1: a carriage return stands without a line feed\n"),
        ("1,2\n3,4\r5,6\n", csv(), "a.csv, line 2: a carriage return stands without a line feed\n"),
        (
            "1,2\n\"3,4\n5,6\n",
            csv(),
            "a.csv, line 2, column 1: a quote is opened and not closed before the end of the file\nclose it, or double it if it is part of a text",
        ),
        (
            "1,2\n\"3\"x,4\n",
            csv(),
            "a.csv, line 2, column 1: text follows a closing quote: \"\\\"3\\\"x,4",
        ),
        (
            "label,age,plan\n1,2,3\n",
            csv(),
            "a.csv, line 1: this looks like a header: words stand where numbers belong (\"age\", \"plan\")\nset `channels.train.header = true`; if it is a row, turn its words into numbers",
        ),
        (
            "y,a\n1,2\n",
            with_header("yy"),
            "a.csv, line 1: no column is named \"yy\"\nset `channels.train.label = \"y\"`",
        ),
        (
            "y,a,y\n1,2,3\n",
            with_header("y"),
            "a.csv, line 1, column 3: two columns are named \"y\"\n",
        ),
        (
            "1;2;3\n",
            csv(),
            "a.csv, line 1: the line holds the label and no features\nif columns are separated by that, set `channels.train.delimiter = \";\"`",
        ),
        ("", csv(), "a.csv: is empty\n"),
        ("\n\n", csv(), "a.csv: is empty\n"),
        (
            "0.5,-1\n1.5,2\n",
            with_header("y"),
            "a.csv, line 1: a header is expected, and this looks like a row: \"0.5\", \"-1\"\nset `channels.train.header = false`",
        ),
        ("y,a\n", with_header("y"), "a.csv: holds a header and no rows\nput rows below the header"),
    ];
    for (text, format, expected) in cases {
        let complaint = complaint(text.as_bytes(), format);
        assert!(
            complaint.starts_with(expected),
            "{text:?}\n  says: {complaint}\nexpected: {expected}"
        );
        assert!(complaint.lines().nth(1).is_some_and(|help| !help.is_empty()), "{text:?}: no help");
    }
    assert!(
        complaint(b"1,2\n\xff\xfe,3\n", &csv())
            .contains("line 2, column 1: the label \"\\xff\\xfe\" is not UTF-8")
    );
    assert!(
        complaint(b"1,2\n1,\xff\n", &csv()).contains("line 2, column 2: \"\\xff\" is not a number")
    );
    assert!(complaint(b"\xff\xfe1\0,\x002\0", &csv()).contains("the text is UTF-16"));
}

#[test]
fn values_within_objects_are_columns_named_with_a_dot() {
    let text = "{\"customer\":{\"age\":31,\"plan\":{\"minutes\":2}},\"out\":{\"fraud\":1},\"amount\":5}\n\
                {\"amount\":6,\"customer.age\":32,\"out\":{\"fraud\":0},\"customer\":{\"plan\":null}}\n\
                {\"customer\":null,\"out\":{\"fraud\":1}}\n";
    let format = json_lines(LabelColumn::Named("out.fraud".into()));
    let data = load(text, &format);
    assert_eq!(
        *data.columns,
        ["customer.age", "customer.plan.minutes", "amount"].map(str::to_owned)
    );
    assert_eq!(numbers(&data.label), [1.0, 0.0, 1.0]);
    let shown: Vec<String> = data.features.iter().map(f32::to_string).collect();
    assert_eq!(shown.join(" "), "31 2 5 32 NaN 6 NaN NaN NaN");
    let ignoring = Format { ignore: vec!["customer".into()], ..format.clone() };
    let first = text.lines().next().unwrap();
    assert_eq!(*load(first, &ignoring).columns, ["amount".to_owned()]);

    let row = "{\"a\":{\"b\":1},\"c\":2,\"label\":0}\n";
    for (line, expected) in [
        ("{\"a\":{\"bb\":1},\"label\":0}", "line 2: the key \"a.bb\" is not in the first line"),
        (
            "{\"a\":7,\"label\":0}",
            "line 2: invalid type: integer `7`, expected an object under \"a\"",
        ),
        (
            "{\"c\":{\"d\":1},\"label\":0}",
            "line 2, column 2 (c): an object stands where the first line has one value",
        ),
        (
            "{\"a\":{\"b\":\"x\"},\"label\":0}",
            "line 2, column 1 (a.b): the text \"x\" stands where",
        ),
    ] {
        let told = complaint(format!("{row}{line}\n").as_bytes(), &json_lines(LabelColumn::First));
        assert!(told.starts_with(&format!("a.csv, {expected}")), "{line}\n says: {told}");
    }
    let twice = "{\"a\":{\"b\":1},\"a.b\":2,\"label\":0}\n";
    let told = complaint(twice.as_bytes(), &json_lines(LabelColumn::First));
    assert!(told.contains("the name \"a.b\" stands there twice"), "{told}");
    let deep = format!("{}1{}\n", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let told = complaint(deep.as_bytes(), &json_lines(LabelColumn::None));
    assert!(told.contains("recursion limit"), "{told}");
}

#[test]
fn a_wrong_json_line_is_shown_with_its_place_and_the_way_out() {
    let row = "{\"features\":[1,2],\"label\":0}\n";
    for (line, expected) in [
        (
            "{\"features\":[1],\"label\":0}",
            "a.csv, line 2: the line has 1 features where the first one has 2",
        ),
        ("{\"features\":[1,2,3],\"label\":0}", "a.csv, line 2: the line has 3 features where"),
        (
            "{\"features\":[1,\"x\"],\"label\":0}",
            "a.csv, line 2, column 2: the text \"x\" stands where a number belongs",
        ),
        ("{\"features\":[1,2]}", "a.csv, line 2: the label \"label\" is missing"),
        ("{\"features\":[1,2],\"label\":null}", "a.csv, line 2: the label is missing"),
        (
            "{\"features\":[1,2],\"label\":[1]}",
            "a.csv, line 2: the label is not a number or a word",
        ),
        (
            "{\"features\":[1,1e999],\"label\":0}",
            "a.csv, line 2, column 2: this is not JSON at byte 20: number out of range",
        ),
        ("{\"features\":[1,1e39],\"label\":0}", "a.csv, line 2, column 2: 1e39 is too large"),
        ("{\"features\":[1,2],\"label\":0", "a.csv, line 2: this is not JSON"),
        ("[1,2]", "a.csv, line 2: invalid type: sequence, expected a JSON object"),
        ("{\"features\":[1,2],\"label\":0} x", "a.csv, line 2: this is not JSON"),
    ] {
        let complaint =
            complaint(format!("{row}{line}\n").as_bytes(), &json_lines(LabelColumn::First));
        assert!(
            complaint.starts_with(expected),
            "{line}\n says: {complaint}\nexpected: {expected}"
        );
    }
    let named = "{\"a\":1,\"label\":0}\n{\"a\":1,\"aa\":2,\"label\":0}\n";
    let complaint = complaint(named.as_bytes(), &json_lines(LabelColumn::First));
    assert!(
        complaint.starts_with("a.csv, line 2: the key \"aa\" is not in the first line"),
        "{complaint}"
    );
    let unlabelled = told(
        &read(
            vec![object("a", b"{\"a\":1,\"lable\":0}\n")],
            &json_lines(LabelColumn::First),
            &options(),
        )
        .unwrap_err(),
    );
    assert!(
        unlabelled.contains("there is no key \"label\"")
            && unlabelled.contains("`label = \"lable\"`")
    );
}

#[test]
fn lines_are_counted_through_blocks_headers_and_quotes() {
    let mut text = String::from("y,a\n");
    for row in 0..5_000 {
        text.push_str(if row % 100 == 0 { "\"w\nord\",1\n" } else { "word,2\n" });
    }
    let line = text.lines().count() + 1;
    text.push_str("word,bad\n");
    for block_bytes in [1, 7, 64, 1000, 1 << 20] {
        let options = Options { block_bytes, ..options() };
        let error = read(vec![object("a.csv", text.as_bytes())], &with_header("y"), &options);
        let error = error.unwrap_err().to_string();
        assert_eq!(error, format!("a.csv, line {line}, column 2 (a): \"bad\" is not a number"));
    }
}

#[test]
fn objects_of_one_channel_must_agree() {
    let wrong = |second: &[u8], format: &Format, first: &[u8]| {
        let objects = vec![object("one", first), object("two", second)];
        told(&read(objects, format, &options()).unwrap_err())
    };
    let complaint = wrong(b"1,2\n", &csv(), b"1,2,3\n");
    assert!(
        complaint.starts_with("two, line 1: the line has 1 features where one has 2"),
        "{complaint}"
    );
    let complaint = wrong(b"y,b\n1,2\n", &with_header("y"), b"y,a\n1,2\n");
    assert!(
        complaint.starts_with("two, line 1: feature 1 is named \"b\" where one has \"a\""),
        "{complaint}"
    );
    let expected = Options { features: Some(2), ..options() };
    let unlabelled = Format { label: LabelColumn::None, ..csv() };
    let error = read(vec![object("a", b"1,2,3\n")], &unlabelled, &expected).unwrap_err();
    assert!(told(&error).contains("3 features where 2 are expected\nleave the label column out"));
    // The label may stand elsewhere in another object.
    let objects = vec![object("one", b"y,a\n1,2\n"), object("two", b"a,y\n4,3\n")];
    let data = read(objects, &with_header("y"), &options()).unwrap();
    assert_eq!(numbers(&data.label), [1.0, 3.0]);
    assert_eq!(data.features, ndarray::array![[2.0], [4.0]]);
}

#[test]
fn cut_and_damaged_archives_are_told_from_bad_reading() {
    let text = "1,2\n".repeat(10_000);
    for (name, packed) in [("gzip", gzip(text.as_bytes())), ("zstd", zstd(text.as_bytes()))] {
        for cut in [5, 12, packed.len() / 2, packed.len() - 1] {
            let error = read(vec![object("a", &packed[..cut])], &csv(), &options()).unwrap_err();
            assert_eq!(error.kind(), Kind::Corrupt, "{name} cut at {cut}: {error}");
            assert!(error.to_string().contains("cut short"), "{name} cut at {cut}: {error}");
        }
        let mut damaged = packed.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x55;
        let error = read(vec![object("a", &damaged)], &csv(), &options()).unwrap_err();
        assert!(matches!(error.kind(), Kind::Corrupt | Kind::Data), "{name}: {error}");
    }
    struct Breaks;
    impl Read for Breaks {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(io::ErrorKind::ConnectionReset, "the server hung up"))
        }
    }
    let mut packed = gzip(text.as_bytes());
    packed.truncate(20);
    let reader = Box::new(Cursor::new(packed).chain(Breaks));
    let broken = Object { uri: "s3://b/k".into(), bytes: None, reader };
    let error = read(vec![broken], &csv(), &options()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert_eq!(error.to_string(), "s3://b/k: reading stopped after 20 bytes: the server hung up");
    let changed = Object { bytes: Some(99), ..object("a", b"1,2\n") };
    let error = read(vec![changed], &csv(), &options()).unwrap_err();
    assert!(error.to_string().starts_with("a: has 4 bytes where 99 were listed"));
}

/// Bytes without end, made as they are read: a file that no memory could hold.
struct Endless {
    pattern: &'static [u8],
    left: u64,
    taken: Arc<AtomicU64>,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (buffer.len() as u64).min(self.left) as usize;
        for (at, slot) in buffer[..count].iter_mut().enumerate() {
            *slot = self.pattern[at % self.pattern.len()];
        }
        self.left -= count as u64;
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[test]
fn a_gigabyte_without_an_end_of_line_is_refused_after_the_limit() {
    for (start, pattern, expected) in [
        ("", b"1".as_slice(), "big, line 1: the line does not end within 16777216 bytes"),
        ("", b"1,", "big, line 1: the line does not end within"),
        ("", b"\"", "big, line 1: "),
        ("", b"1\r", "big, line 1: lines end with a carriage return alone within"),
        ("1,2\n\"", b"x\n", "big, line 2: a quote is opened and not closed within"),
    ] {
        let taken = Arc::new(AtomicU64::new(0));
        let endless = Endless { pattern, left: 1 << 30, taken: taken.clone() };
        let reader = Box::new(Cursor::new(start).chain(endless));
        let object = Object { uri: "big".into(), bytes: None, reader };
        let error = read(vec![object], &csv(), &options()).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
        let taken = taken.load(Ordering::Relaxed) as usize;
        assert!(taken <= 3 * limit::LINE_BYTES_MAX, "{taken} bytes were taken");
    }
}

#[test]
fn a_million_columns_are_refused_by_number() {
    let line = "1,".repeat(1_000_000) + "1\n";
    let complaint = complaint(line.as_bytes(), &csv());
    assert!(
        complaint.contains(&format!("more than {} columns", limit::COLUMNS_MAX)),
        "{complaint}"
    );
    let widest = format!("{}1\n", "1,".repeat(limit::COLUMNS_MAX - 1));
    assert_eq!(load(&widest, &csv()).features.ncols(), limit::COLUMNS_MAX - 1);
}

#[test]
fn bombs_and_tables_beyond_the_memory_limit_are_refused() {
    let small = Options { memory_bytes_max: 32 << 20, ..options() };
    // Rows for 1 GiB of matrix in a few megabytes.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let rows = "1,1\n".repeat(1 << 16);
    for _ in 0..1024 {
        encoder.write_all(rows.as_bytes()).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 8 << 20);
    let error = read(vec![object("bomb.gz", &bomb)], &csv(), &small).unwrap_err();
    let Error::Memory { needed_bytes, limit_bytes, .. } = &error else { panic!("{error}") };
    assert!(needed_bytes > limit_bytes && *limit_bytes == 32 << 20);
    assert!(told(&error).contains("set `resources.memory_bytes_max` above"), "{error}");
    // A line that only a bomb has.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..64 {
        encoder.write_all(&vec![b'0'; 1 << 20]).unwrap();
    }
    let error = read(vec![object("bomb.gz", &encoder.finish().unwrap())], &csv(), &small);
    assert!(error.unwrap_err().to_string().contains("the line does not end within"));
}

#[test]
fn a_wide_first_line_and_many_short_ones_do_not_fill_memory() {
    let text = format!("{}1\n{}", "1,".repeat(60_000), "\n".repeat(2_000_000));
    let data = load(&text, &csv());
    assert_eq!(data.features.dim(), (1, 60_000));
}

#[test]
fn batches_are_columns_in_order_and_labels_keep_their_codes() {
    let mut text = String::new();
    for row in 0..3_000 {
        text.push_str(&format!("{},{row},{}\n", ["no", "yes", "maybe"][row % 3], row * 2));
    }
    let small = Options { block_bytes: 512, ..options() };
    let whole = load(&text, &csv());
    let (mut first, mut codes, mut names) = (Vec::new(), Vec::new(), Vec::new());
    let mut reading = batches(vec![object("a.csv", text.as_bytes())], &csv(), &small).unwrap();
    let mut count = 0;
    for batch in &mut reading {
        let batch = batch.unwrap();
        count += 1;
        assert!(batch.features.t().is_standard_layout());
        first.extend(batch.features.column(0).iter().copied());
        let Some(Labels::Text { codes: more, names: all }) = batch.label else { panic!() };
        codes.extend(more);
        names = all;
    }
    assert!(count > 10);
    assert_eq!(first, whole.features.column(0).to_vec());
    assert_eq!(whole.label, Some(Labels::Text { codes, names }));
    assert_eq!(reading.sources(), whole.sources);
    let mut wrong = batches(vec![object("a", b"1,2\n1,x\n")], &csv(), &small).unwrap();
    assert!(wrong.any(|batch| batch.is_err()));
    assert!(wrong.next().is_none());
    let mut empty = batches(vec![object("a", b"")], &csv(), &small).unwrap();
    assert!(empty.next().unwrap().is_err());
}

#[test]
fn reading_that_nobody_waits_for_ends() {
    let text = "1,2\n".repeat(100_000);
    let small = Options { block_bytes: 1024, ..options() };
    let mut reading = batches(vec![object("a", text.as_bytes())], &csv(), &small).unwrap();
    assert!(reading.next().unwrap().is_ok());
    drop(reading);
}

#[test]
fn the_data_that_ships_is_read_whole() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/datasets");
    for (set, label, train, validation, features, classes) in [
        ("churn", "churn", 3_750, 1_250, 71, 2),
        ("phishing", "phishing", 937, 313, 9, 2),
        ("digits", "digit", 1_347, 450, 64, 10),
    ] {
        for (part, rows) in [("train", train), ("validation", validation)] {
            let path = format!("{folder}/{set}/{part}.csv");
            let bytes = std::fs::read(&path).unwrap();
            let data = read(vec![object(&path, &bytes)], &with_header(label), &options()).unwrap();
            assert_eq!(data.features.dim(), (rows, features), "{path}");
            assert!(data.features.iter().all(|value| value.is_finite()), "{path}");
            let mut labels: Vec<u32> = numbers(&data.label).iter().map(|v| *v as u32).collect();
            labels.sort_unstable();
            labels.dedup();
            assert_eq!(labels.len(), classes, "{path}");
            let readme = std::fs::read_to_string(format!("{folder}/README.md")).unwrap();
            assert!(readme.contains(&data.sources[0].sha256), "{path} is not what README says");
        }
    }
}

/// Cells as they may stand in a file, and what they mean.
fn cell() -> impl Strategy<Value = (String, f32)> {
    prop_oneof![
        4 => any::<f32>().prop_filter("finite", |v| v.is_finite()).prop_map(|v| (format!("{v}"), v)),
        4 => (-99_999_i32..99_999).prop_map(|v| (format!("{}", f64::from(v) / 100.0), (f64::from(v) / 100.0) as f32)),
        1 => Just((String::new(), f32::NAN)),
        1 => Just(("\"1.5\"".to_owned(), 1.5)),
        1 => Just((" NaN ".to_owned(), f32::NAN)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_written_is_read_whatever_the_blocks_and_threads(
        rows in proptest::collection::vec((prop_oneof![Just("0"), Just("\"a,\n\"\"b\""), Just("\"x\n,y\""), Just("1.5")], proptest::collection::vec(cell(), 3)), 1..40),
        crlf in any::<bool>(), block_bytes in 1_usize..200, threads in 1_usize..4,
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let mut text = String::new();
        for (label, cells) in &rows {
            let cells: Vec<&str> = cells.iter().map(|(text, _)| text.as_str()).collect();
            text.push_str(&format!("{label},{}{end}", cells.join(",")));
        }
        let whole = load(&text, &csv());
        let bits = |values: Vec<f32>| values.into_iter().map(|v| if v.is_nan() { 1 } else { v.to_bits() }).collect::<Vec<_>>();
        let expected: Vec<f32> = rows.iter().flat_map(|(_, cells)| cells.iter().map(|(_, v)| *v)).collect();
        prop_assert_eq!(bits(whole.features.iter().copied().collect()), bits(expected));
        let options = Options { threads, block_bytes, ..options() };
        let again = read(vec![object("a.csv", text.as_bytes())], &csv(), &options).unwrap();
        prop_assert_eq!(bits(again.features.iter().copied().collect()), bits(whole.features.iter().copied().collect()));
        prop_assert_eq!(again.label, whole.label);
    }

    #[test]
    fn strange_files_never_panic_and_do_not_depend_on_blocks(
        bytes in proptest::collection::vec(prop_oneof![
            8 => proptest::sample::select(b"0123456789.,,,\n\n\"\"-e \r;x".to_vec()),
            1 => any::<u8>(),
        ], 0..300),
        header in any::<bool>(), jsonl in any::<bool>(),
    ) {
        let media = if jsonl { Media::JsonLines } else { Media::Csv };
        let format = Format { header, media, ..csv() };
        let with = |block_bytes| {
            let options = Options { block_bytes, ..options() };
            read(vec![object("a", &bytes)], &format, &options)
        };
        match (with(1), with(1 << 20)) {
            (Ok(small), Ok(large)) => {
                prop_assert_eq!(small.label, large.label);
                prop_assert_eq!(small.features.dim(), large.features.dim());
            }
            (Err(small), Err(large)) => prop_assert_eq!(small.to_string(), large.to_string()),
            (small, large) => prop_assert!(false, "{small:?} and {large:?}"),
        }
    }
}
