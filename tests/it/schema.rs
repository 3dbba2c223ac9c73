//! Columns with meaning: weights, query groups, words and columns passed over, as a job file names
//! them.

use std::io::Cursor;
use std::sync::Arc;

use smrt::data::channel::{Object, Options, batches, read, settle_words};
use smrt::data::{Categories, Dataset, Error, Vocabulary};
use smrt::fault::Fault;
use smrt::spec::limit::WORDS_MAX;
use smrt::spec::train::{Categorical, Format, LabelColumn, Media, WeightColumn};

const SALES: &str = "\
id,plan,visits,weight,query,bought,state
17,basic,3,1,q1,no,NY
18,\"pro, yearly\",4,0.5,q1,yes,
19,basic,,2,q2,no,Île
20,free,1e1,1,q2,yes,NY
";

fn sales() -> Format {
    Format {
        header: true,
        label: LabelColumn::Named("bought".into()),
        weight: Some(WeightColumn::Named("weight".into())),
        group: Some("query".into()),
        categorical: words_in(&["plan", "state"]),
        ignore: vec!["id".into()],
        ..Format::new(Media::Csv)
    }
}

fn words_in(names: &[&str]) -> Categorical {
    Categorical::Named(names.iter().map(|name| (*name).to_owned()).collect())
}

fn auto() -> Format {
    Format { categorical: Categorical::Auto, ..Format::new(Media::Csv) }
}

fn objects(texts: &[&str]) -> Vec<Object> {
    let object = |(at, text): (usize, &&str)| Object {
        uri: format!("{at}.csv"),
        bytes: Some(text.len() as u64),
        reader: Box::new(Cursor::new(text.as_bytes().to_vec())),
    };
    texts.iter().enumerate().map(object).collect()
}

fn options() -> Options {
    Options { threads: 2, ..Options::new("channels.train") }
}

fn load_with(texts: &[&str], format: &Format, options: &Options) -> Result<Dataset, Error> {
    settle_words(options, |options| read(objects(texts), format, options))
}

fn load(text: &str, format: &Format) -> Dataset {
    load_with(&[text], format, &options()).unwrap()
}

fn complaint(text: &str, format: &Format) -> String {
    let error = load_with(&[text], format, &options()).unwrap_err();
    format!("{error}\n{}", error.help().unwrap_or_default())
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Numbers that compare, missing ones included.
fn bits(dataset: &Dataset) -> Vec<u32> {
    dataset.features.iter().map(|value| if value.is_nan() { 1 } else { value.to_bits() }).collect()
}

#[test]
fn each_column_is_what_the_channel_says() {
    let data = load(SALES, &sales());
    assert_eq!(*data.columns, words(&["plan", "visits", "state"]));
    assert_eq!(data.weight, Some(vec![1.0, 0.5, 2.0, 1.0]));
    assert_eq!(data.group, Some(vec![0, 0, 1, 1]));
    assert_eq!(data.features.column(0).to_vec(), [0.0, 1.0, 0.0, 2.0]);
    assert_eq!(data.categories[&0], words(&["basic", "pro, yearly", "free"]));
    assert_eq!(data.categories[&2], words(&["NY", "Île"]));
    assert!(data.features[[1, 2]].is_nan() && data.features[[2, 1]].is_nan());
    assert_eq!(data.features[[3, 1]], 10.0);
}

#[test]
fn auto_finds_the_columns_of_words_and_no_other() {
    let found = load("1,5,red,7\n0,6,3,8\n", &auto());
    assert_eq!(found.categories, Categories::from([(1, words(&["red", "3"]))]));
    let numbers = load("1,5,6\n0,6,\n", &auto());
    assert!(numbers.categories.is_empty());
    // Without a header the first line may be words; with one that was forgotten it may not.
    let all = load("yes,red,NY\nno,blue,LA\n", &auto());
    assert_eq!(all.categories.len(), 2);
    assert!(complaint("bought,plan,visits\nyes,basic,3\n", &auto()).contains("header = true"));
}

#[test]
fn a_word_in_the_last_line_turns_the_whole_column_into_words() {
    let mut text = String::new();
    for row in 0..40_000 {
        text.push_str(&format!("{},{},{}\n", row % 2, row % 7, row % 3));
    }
    text.push_str("1,late,2\n");
    let wide = Options { block_bytes: 4 << 10, ..options() };
    let found = load_with(&[&text], &auto(), &wide).unwrap();
    let whole =
        load_with(&[&text], &auto(), &Options { block_bytes: 4 << 20, ..options() }).unwrap();
    assert_eq!(found.categories[&0].len(), 8);
    assert_eq!(found.categories[&0][..2], words(&["0", "1"]));
    assert_eq!((bits(&found), &found.categories), (bits(&whole), &whole.categories));
    assert_eq!(found.rows(), 40_001);
}

#[test]
fn codes_and_groups_do_not_depend_on_blocks_threads_or_objects() {
    let mut text = String::from("y,w,g,word,n,other\n");
    for row in 0..5_000_u32 {
        let word = row.wrapping_mul(2_654_435_761) % 977;
        text.push_str(&format!(
            "{},{}.5,q{},w{word},{row},o{}\n",
            row % 2,
            row % 4,
            row / 10,
            row % 13
        ));
    }
    let format = Format {
        header: true,
        label: LabelColumn::Named("y".into()),
        weight: Some(WeightColumn::Named("w".into())),
        group: Some("g".into()),
        categorical: Categorical::Auto,
        ..Format::new(Media::Csv)
    };
    let whole = load(&text, &format);
    assert_eq!(whole.categories[&0].len(), 977);
    for (block_bytes, threads) in [(64, 1), (1_000, 3), (70_000, 2)] {
        let options = Options { block_bytes, threads, ..options() };
        let cut = load_with(&[&text], &format, &options).unwrap();
        assert_eq!(cut.categories, whole.categories, "{block_bytes} {threads}");
        assert_eq!(bits(&cut), bits(&whole));
        assert_eq!((&cut.weight, &cut.group), (&whole.weight, &whole.group));
        // In pieces, the same codes; the words grow as they are met.
        let options = Options { words_met: whole.categories.keys().copied().collect(), ..options };
        let mut pieces = batches(objects(&[&text]), &format, &options).unwrap();
        let mut column = Vec::new();
        let mut groups = Vec::new();
        while let Some(batch) = pieces.next() {
            let batch = batch.unwrap();
            column.extend(batch.features.column(0).to_vec());
            groups.extend(batch.group.unwrap());
        }
        assert_eq!(column, whole.features.column(0).to_vec());
        assert_eq!(Some(groups), whole.group);
        assert_eq!(pieces.categories(), whole.categories);
    }
}

#[test]
fn another_channel_is_read_by_the_words_of_training() {
    let train = load(SALES, &sales());
    let known = Options {
        categories: Some(Arc::new(Vocabulary::of(&train.categories))),
        features: Some(3),
        ..Options::new("channels.validation")
    };
    let text =
        "id,plan,visits,weight,query,bought,state\n1,free,2,1,a,no,Île\n2,gold,2,1,b,no,NY\n";
    // `categorical` need not be said again.
    let format = Format { categorical: Categorical::None, ..sales() };
    let data = load_with(&[text], &format, &known).unwrap();
    assert_eq!(data.features.column(0)[0], 2.0);
    assert!(data.features[[1, 0]].is_nan(), "a word that training did not see is missing");
    assert_eq!(data.features.column(2).to_vec(), [1.0, 0.0]);
    let more = Format { categorical: words_in(&["visits"]), ..sales() };
    let error = load_with(&[text], &more, &known).unwrap_err().to_string();
    assert!(error.contains("holds numbers in the training data"), "{error}");
    let word = text.replace("free,2", "free,often");
    let error = load_with(&[&word], &format, &known).unwrap_err();
    assert_eq!(error.to_string(), "0.csv, line 2, column 3 (visits): \"often\" is not a number");
    assert!(error.help().unwrap().contains("learned from numbers"));
}

#[test]
fn a_word_where_a_number_belongs_names_the_key_to_set() {
    let named = Format { categorical: words_in(&["plan"]), ..sales() };
    let told = complaint(SALES, &named);
    assert!(told.starts_with("0.csv, line 2, column 7 (state): \"NY\" is not a number"), "{told}");
    assert!(told.contains("channels.train.categorical = [\"state\"]"), "{told}");
    let bare = complaint("1,2,3\n1,red,3\n", &Format::new(Media::Csv));
    assert!(bare.contains("channels.train.categorical = \"auto\""), "{bare}");
}

#[test]
fn what_the_keys_name_must_be_there() {
    for (format, told) in [
        (
            Format { weight: Some(WeightColumn::Named("wieght".into())), ..sales() },
            "no column is named \"wieght\", as channels.train.weight says\nset `channels.train.weight = \"weight\"`",
        ),
        (
            Format { group: Some("zzz".into()), ..sales() },
            "no column is named \"zzz\", as channels.train.group says\nthe columns are \"id\", \"plan\",",
        ),
        (
            Format { categorical: words_in(&["stat"]), ..sales() },
            "no column is named \"stat\", as channels.train.categorical says\nwrite \"state\" under `channels.train.categorical`",
        ),
        (
            Format { header: false, label: LabelColumn::First, ..sales() },
            "channels.train.weight names a column, but the columns have no names\nset `channels.train.header = true`",
        ),
        (
            Format {
                ignore: words(&["id", "plan", "visits", "state"]),
                categorical: Categorical::None,
                ..sales()
            },
            "no column is left for the features",
        ),
    ] {
        let complaint = complaint(SALES, &format);
        assert!(complaint.contains(told), "{complaint}");
    }
}

#[test]
fn weights_and_groups_that_cannot_be_are_refused_with_their_line() {
    for (from, to, told) in [
        (
            "18,\"pro, yearly\",4,0.5",
            "18,b,4,-0.5",
            "line 3, column 4 (weight): the weight \"-0.5\" is not",
        ),
        ("18,\"pro, yearly\",4,0.5", "18,b,4,", "line 3, column 4 (weight): the weight is missing"),
        (
            "18,\"pro, yearly\",4,0.5",
            "18,b,4,inf",
            "line 3, column 4 (weight): the weight \"inf\" is not",
        ),
        ("q2,no", ",no", "line 4, column 5 (query): the group is missing"),
        ("1,q2,yes,NY", "1,q1,yes,NY", "line 5: the group \"q1\" comes back"),
    ] {
        let complaint = complaint(&SALES.replace(from, to), &sales());
        assert!(complaint.contains(told), "{complaint}");
    }
    let cut = Options { block_bytes: 16, ..options() };
    let again = SALES.replace("1,q2,yes,NY", "1,q1,yes,NY");
    let error = load_with(&[&again], &sales(), &cut).unwrap_err().to_string();
    assert!(error.starts_with("0.csv, line 5: the group \"q1\" comes back"), "{error}");
}

#[test]
fn the_second_column_is_the_weight_when_csv_weights_says_so() {
    let format = Format { weight: Some(WeightColumn::Second), ..Format::new(Media::Csv) };
    let data = load("1,0.5,7,8\n0,2,9,10\n", &format);
    assert_eq!(data.weight, Some(vec![0.5, 2.0]));
    assert_eq!(data.features, ndarray::array![[7.0, 8.0], [9.0, 10.0]]);
}

#[test]
fn a_vocabulary_that_overflows_is_refused_with_its_column() {
    let mut text = String::from("y,id,n\n");
    for row in 0..=WORDS_MAX {
        text.push_str(&format!("1,u{row},2\n"));
    }
    let format = Format { header: true, ..auto() };
    let complaint = complaint(&text, &format);
    assert!(complaint.contains("column 2 (id): the column holds more than 65536"), "{complaint}");
    assert!(complaint.contains("ignore"), "{complaint}");
}

#[test]
fn odd_words_are_kept_as_they_stand() {
    let text = "y,w\n1,\"a\"\"b\"\n1,\"line\nbreak\"\n1, spaced \n1,\"\"\n1,007\n1,7.0\n1,日本\n";
    let format = Format { header: true, categorical: words_in(&["w"]), ..Format::new(Media::Csv) };
    let data = load(text, &format);
    assert_eq!(data.categories[&0], words(&["a\"b", "line\nbreak", "spaced", "007", "7", "日本"]));
    assert!(data.features[[3, 0]].is_nan());
    let latin = read(
        vec![Object { uri: "a".into(), bytes: None, reader: Box::new(&b"y,w\n1,\xe9t\xe9\n"[..]) }],
        &format,
        &options(),
    );
    assert!(latin.unwrap_err().to_string().contains("line 2, column 2 (w)"));
}
