//! Parquet, as pandas, pyarrow and polars write it (`tests/vectors/parquet`, made by
//! `tests/interop/parquet.py`), and files that are no longer what they were.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use proptest::prelude::*;
use smrt::data::channel::{Parts, batches};
use smrt::spec::train::{Categorical, WeightColumn};

use super::*;

fn parquet() -> Format {
    Format { categorical: Categorical::Auto, ..format(Media::Parquet) }
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/parquet")
}

fn vector(name: &str) -> Vec<u8> {
    std::fs::read(vectors().join(format!("{name}.parquet"))).unwrap()
}

const SOUND: [&str; 8] = [
    "pandas",
    "polars",
    "pyarrow",
    "pyarrow-v2-gzip",
    "pyarrow-plain",
    "pyarrow-lz4",
    "pyarrow-zstd-v2",
    "pyarrow-delta",
];

const NAMES: [&str; 17] = [
    "required", "f32", "f64", "f16", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "truth",
    "price", "large", "date", "word",
];

/// Row `row` as `tests/interop/parquet.py` makes it.
fn expected(row: usize) -> Vec<f32> {
    let i = row as f32;
    let words = if row.is_multiple_of(7) { f32::NAN } else { word_code(row) };
    let some = [
        i / 4.0,
        i / 8.0,
        i / 2.0,
        -i,
        -i * 100.0,
        -i * 1000.0,
        -i * 10_000.0,
        255.0 - i,
        65535.0 - i,
        4e9,
        2_f32.powi(63),
        f32::from(u8::from(row.is_multiple_of(2))),
        (i - 30.0) / 4.0,
        (i - 30.0) * 1000.0,
        i,
        words,
    ];
    let missing = |value: f32| if row.is_multiple_of(7) { f32::NAN } else { value };
    std::iter::once(i / 2.0).chain(some.into_iter().map(missing)).collect()
}

/// Words count by first appearance: row 1 is green, row 2 blue, row 3 red.
fn word_code(row: usize) -> f32 {
    [2.0, 0.0, 1.0][row % 3]
}

fn check(bytes: &[u8], name: &str) {
    for (threads, ignore) in [(1, vec![]), (3, vec!["place.lat".to_owned(), "f64".to_owned()])] {
        let has_place = name.starts_with("pyarrow");
        let ignore: Vec<String> =
            ignore.into_iter().filter(|column| has_place || !column.starts_with("place")).collect();
        let format = Format { ignore: ignore.clone(), ..parquet() };
        let options = Options { threads, ..options() };
        let data = read(vec![object(bytes)], &format, &options).unwrap();
        let mut names: Vec<&str> = NAMES.to_vec();
        if has_place {
            names.push("place.lat");
        }
        let kept: Vec<usize> =
            (0..names.len()).filter(|at| !ignore.iter().any(|out| out == names[*at])).collect();
        let kept_names: Vec<&str> = kept.iter().map(|at| names[*at]).collect();
        assert_eq!(*data.columns, kept_names, "{name}");
        assert_eq!(data.rows(), 60, "{name}");
        for row in 0..60 {
            let mut expected = expected(row);
            expected.push(row as f32 / 2.0);
            for (cell, at) in data.features.row(row).iter().zip(&kept) {
                let wanted = expected[*at];
                assert!(
                    *cell == wanted || cell.is_nan() && wanted.is_nan(),
                    "{name}, row {row}, {}: {cell} and not {wanted}",
                    names[*at]
                );
            }
        }
        let labels: Vec<f32> = (0..60).map(|row| (row % 3) as f32).collect();
        assert_eq!(numbers(&data.label), labels, "{name}");
        let word = kept.iter().position(|at| names[*at] == "word").unwrap();
        assert_eq!(data.categories[&word], ["green", "blue", "red"], "{name}");
    }
}

#[test]
fn files_of_pandas_pyarrow_and_polars_are_read_in_all_their_packings() {
    for name in SOUND {
        check(&vector(name), name);
    }
}

#[test]
fn what_python_writes_today_is_read_too() {
    let Some(python) = std::env::var("SMRT_PYTHON").ok().filter(|path| !path.is_empty()) else {
        println!("skipped: SMRT_PYTHON does not name a Python with pandas, pyarrow and polars");
        return;
    };
    let has = ["-c", "import pandas, pyarrow, polars"];
    if !Command::new(&python).args(has).output().unwrap().status.success() {
        println!("skipped: {python} has no pandas, pyarrow or polars");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/parquet.py");
    let done = Command::new(python).arg(script).arg(folder.path()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for name in SOUND {
        let path = folder.path().join(format!("{name}.parquet"));
        check(&std::fs::read(path).unwrap(), name);
    }
}

#[test]
fn columns_of_parquet_are_label_weight_and_group_by_name() {
    let format = Format {
        label: LabelColumn::Named("word".into()),
        weight: Some(WeightColumn::Named("required".into())),
        ignore: NAMES[2..16].iter().map(ToString::to_string).collect(),
        ..format(Media::Parquet)
    };
    let error = read(vec![object(&vector("polars"))], &format, &options()).unwrap_err();
    assert_eq!(error.to_string(), "a, record 1, column 18 (word): the label is missing");
    let format = Format { label: LabelColumn::Named("date".into()), ..format };
    let told =
        super::told(&read(vec![object(&vector("polars"))], &format, &options()).unwrap_err());
    assert!(told.contains("the column \"word\" holds words\nif the column holds words, set `channels.train.categorical = [\"word\"]`"), "{told}");
    let format = Format {
        label: LabelColumn::Named("truth".into()),
        group: Some("label".into()),
        categorical: Categorical::Named(vec!["word".into()]),
        ..parquet()
    };
    let told =
        super::told(&read(vec![object(&vector("polars"))], &format, &options()).unwrap_err());
    assert!(told.starts_with("a, record 1, column 14 (truth): the label is missing"), "{told}");
}

#[test]
fn what_parquet_holds_and_no_model_takes_is_refused_by_name() {
    let told = |name: &str, format: &Format| {
        super::told(&read(vec![object(&vector(name))], format, &options()).unwrap_err())
    };
    let clocks = told("odd", &parquet());
    assert!(clocks.starts_with("a, column 2: the column \"clock\" holds times\n"), "{clocks}");
    assert!(
        clocks.ends_with("pass it over with `channels.train.ignore = [\"clock\"]`"),
        "{clocks}"
    );
    let without = Format { ignore: vec!["clock".into()], ..parquet() };
    assert!(told("odd", &without).contains("holds lists"));
    let brotli = told("brotli", &parquet());
    assert!(
        brotli.contains("packed with brotli, which smrt does not read\nwrite it with snappy"),
        "{brotli}"
    );
    let named = Format { label: LabelColumn::Named("lable".into()), ..parquet() };
    assert!(
        told("polars", &named)
            .contains("no column is named \"lable\"\nset `channels.train.label = \"label\"`")
    );
    let text = super::told(&read(vec![object(b"1,2\n3,4\n")], &parquet(), &options()).unwrap_err());
    assert!(text.starts_with("a: this is not parquet: it does not begin with PAR1"), "{text}");
    let small = Options { memory_bytes_max: 4_000, ..options() };
    let error = read(vec![object(&vector("polars"))], &parquet(), &small).unwrap_err();
    assert!(matches!(error, Error::Memory { .. }), "{error}");
}

#[test]
fn moments_of_every_unit_are_days_since_1970() {
    for name in ["stamps", "stamps96"] {
        let data = load(&vector(name), &parquet());
        assert_eq!(*data.columns, ["ms", "us", "ns", "zone"], "{name}");
        for column in data.features.columns() {
            assert_eq!((column[0], column[2]), (11_323.5, -0.25), "{name}");
            assert!(column[1].is_nan(), "{name}");
        }
    }
}

/// How to read parts of objects that lie in memory.
fn parts(objects: Vec<Vec<u8>>) -> Option<Parts> {
    Some(Parts::new(move |at, range| {
        let part = objects[at][range.start as usize..range.end as usize].to_vec();
        Ok(Box::new(Cursor::new(part)))
    }))
}

#[test]
fn row_groups_read_one_by_one_are_the_file_read_whole() {
    for name in SOUND {
        let bytes = vector(name);
        let whole = load(&bytes, &parquet());
        let objects = || vec![object(&bytes), object(&bytes)];
        let by_parts = Options { parts: parts(vec![bytes.clone(); 2]), ..options() };
        let data = read(objects(), &parquet(), &by_parts).unwrap();
        assert_eq!((data.rows(), &data.columns), (120, &whole.columns), "{name}");
        assert_eq!(data.sources, [whole.sources[0].clone(), whole.sources[0].clone()], "{name}");
        assert_eq!(data.categories, whole.categories, "{name}");
        let bits =
            |row: ndarray::ArrayView1<'_, f32>| row.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        for row in 0..60 {
            assert_eq!(bits(data.features.row(row)), bits(whole.features.row(row)), "{name}");
            assert_eq!(bits(data.features.row(row + 60)), bits(whole.features.row(row)), "{name}");
        }
    }
}

#[test]
fn a_file_larger_than_memory_is_read_row_group_by_row_group() {
    let rows: Vec<f64> = (0..40_000).map(f64::from).collect();
    let columns = [("y", rows.clone()), ("x", rows)];
    let compression = ::parquet::basic::Compression::UNCOMPRESSED;
    let bytes = write(&columns, Packing { rows_per_group: 1_000, compression });
    assert!(bytes.len() > 500_000);
    let small = Options { memory_bytes_max: 400_000, block_bytes: 4 << 10, ..options() };
    let count = |options: &Options| {
        let rows = batches(vec![object(&bytes)], &parquet(), options).unwrap();
        rows.map(|batch| batch.map(|batch| batch.features.nrows())).sum::<Result<usize, Error>>()
    };
    assert!(matches!(count(&small), Err(Error::Memory { .. })));
    assert_eq!(count(&Options { parts: parts(vec![bytes.clone()]), ..small }).unwrap(), 40_000);
}

#[test]
fn a_file_cut_behind_its_listing_is_refused_when_it_is_read_in_parts() {
    let whole = vector("pyarrow");
    for cut in (5..whole.len()).step_by(7) {
        let reader = Box::new(Cursor::new(whole[..cut].to_vec()));
        let short = Object { uri: "a".into(), bytes: Some(whole.len() as u64), reader };
        let by_parts = Options { parts: parts(vec![whole.clone()]), ..options() };
        let told = super::told(&read(vec![short], &parquet(), &by_parts).unwrap_err());
        assert!(told.contains(&format!("{cut} bytes where {} were listed", whole.len())), "{told}");
    }
}

/// How [`write`] packs.
#[derive(Clone, Copy)]
pub(crate) struct Packing {
    pub(crate) rows_per_group: usize,
    pub(crate) compression: ::parquet::basic::Compression,
}

impl Default for Packing {
    fn default() -> Packing {
        Packing { rows_per_group: 1 << 20, compression: ::parquet::basic::Compression::SNAPPY }
    }
}

/// A file with these columns of 64 bits.
pub(crate) fn write(columns: &[(&str, Vec<f64>)], packing: Packing) -> Vec<u8> {
    use ::parquet::data_type::DoubleType;
    use ::parquet::file::{properties::WriterProperties, writer::SerializedFileWriter};
    let fields: String =
        columns.iter().map(|(name, _)| format!("required double {name};")).collect();
    let schema =
        ::parquet::schema::parser::parse_message_type(&format!("message rows {{{fields}}}"));
    let properties = WriterProperties::builder().set_compression(packing.compression).build();
    let mut bytes = Vec::new();
    let mut file =
        SerializedFileWriter::new(&mut bytes, Arc::new(schema.unwrap()), Arc::new(properties))
            .unwrap();
    let rows = columns[0].1.len();
    for start in (0..rows).step_by(packing.rows_per_group) {
        let mut group = file.next_row_group().unwrap();
        for (_, values) in columns {
            let values = &values[start..rows.min(start + packing.rows_per_group)];
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<DoubleType>().write_batch(values, None, None).unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    file.close().unwrap();
    bytes
}

#[test]
fn several_files_make_one_channel_and_must_agree() {
    let two = vec![object(&vector("polars")), object(&vector("pandas"))];
    let data = read(two, &parquet(), &options()).unwrap();
    assert_eq!((data.rows(), data.sources.len()), (120, 2));
    assert_eq!(data.features.row(61), data.features.row(1));
    let two = vec![object(&vector("polars")), object(&vector("pyarrow"))];
    let error = read(two, &parquet(), &options()).unwrap_err();
    assert!(error.to_string().contains("the file has 18 features where a has 17"), "{error}");
}

#[test]
fn parquet_cut_anywhere_is_refused() {
    let whole = vector("pyarrow-v2-gzip");
    for cut in 1..whole.len() {
        let outcome = read(vec![object(&whole[..cut])], &parquet(), &options());
        assert!(outcome.is_err(), "cut at {cut}");
    }
}

#[test]
fn an_index_that_lies_about_its_lengths_is_refused_before_memory_is_taken() {
    // Field 4, row groups: a list of 2^31 of them.
    let index = [0x49, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00];
    let mut bytes = b"PAR1".to_vec();
    bytes.extend(index);
    bytes.extend((index.len() as u32).to_le_bytes());
    bytes.extend(b"PAR1");
    let error = read(vec![object(&bytes)], &parquet(), &options()).unwrap_err().to_string();
    assert_eq!(error, "a: the parquet file is damaged: its metadata are cut short or damaged");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn a_changed_byte_never_panics_and_takes_no_more_memory_than_allowed(
        name in prop::sample::select(SOUND.to_vec()), at in any::<prop::sample::Index>(), with in any::<u8>(),
    ) {
        let mut bytes = vector(name);
        let at = at.index(bytes.len());
        bytes[at] = with;
        let bounded = Options { memory_bytes_max: 64 << 20, ..options() };
        let _ = read(vec![object(&bytes)], &parquet(), &bounded);
        let by_parts = Options { parts: parts(vec![bytes.clone()]), ..bounded };
        let _ = read(vec![object(&bytes)], &parquet(), &by_parts);
    }
}
