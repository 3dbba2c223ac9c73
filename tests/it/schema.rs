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
        for batch in pieces.by_ref() {
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

fn json_lines(format: Format) -> Format {
    Format { media: Media::JsonLines, header: false, ..format }
}

#[test]
fn json_lines_are_read_as_csv_is() {
    let lines = "\
{\"id\":17,\"plan\":\"basic\",\"visits\":3,\"weight\":1,\"query\":\"q1\",\"bought\":\"no\",\"state\":\"NY\"}
{\"id\":18,\"state\":\"\",\"plan\":\"pro, yearly\",\"visits\":4,\"weight\":0.5,\"query\":\"q1\",\"bought\":\"yes\"}
{\"id\":19,\"plan\":\"basic\",\"visits\":null,\"weight\":2,\"query\":\"q2\",\"bought\":\"no\",\"state\":\"Île\"}
{\"plan\":\"free\",\"visits\":10,\"weight\":1,\"query\":\"q2\",\"bought\":\"yes\",\"state\":\"NY\"}
";
    let (ours, theirs) = (load(lines, &json_lines(sales())), load(SALES, &sales()));
    assert_eq!((&ours.columns, &ours.categories), (&theirs.columns, &theirs.categories));
    assert_eq!((&ours.weight, &ours.group), (&theirs.weight, &theirs.group));
    assert_eq!((bits(&ours), &ours.label), (bits(&theirs), &theirs.label));
    let auto = load(lines, &json_lines(Format { categorical: Categorical::Auto, ..sales() }));
    assert_eq!((bits(&auto), &auto.categories), (bits(&theirs), &theirs.categories));
}

#[test]
fn features_in_a_list_may_hold_words_and_weights_stand_beside_them() {
    let lines = "{\"features\":[1,\"red\",true],\"label\":0,\"w\":2,\"note\":\"x\"}\n\
                 {\"label\":1,\"w\":0.5,\"data\":{\"features\":{\"values\":[2,7,null]}}}\n\
                 {\"label\":1,\"w\":1,\"data\":{\"features\":{\"keys\":[1],\"shape\":[3],\"values\":[\"red\"]}}}\n";
    let format = Format { weight: Some(WeightColumn::Named("w".into())), ..json_lines(auto()) };
    let data = load(lines, &format);
    assert_eq!(data.categories, Categories::from([(1, words(&["red", "7"]))]));
    assert_eq!(data.weight, Some(vec![2.0, 0.5, 1.0]));
    assert_eq!(data.features.row(0).to_vec(), [1.0, 0.0, 1.0]);
    assert_eq!(data.features.column(1).to_vec(), [0.0, 1.0, 0.0]);
    let named = Format { categorical: words_in(&["color"]), ..json_lines(auto()) };
    let told = complaint(&lines.replace("\"note\"", "\"color\""), &named);
    assert!(told.contains("the features stand in a list"), "{told}");
    for (from, to, wanted) in [
        (",\"w\":0.5", "", "line 2: the weight is missing"),
        ("\"w\":0.5", "\"w\":-1", "line 2: the weight \"-1\" is not a number from 0"),
        ("\"w\":0.5", "\"w\":1,\"w\":1", "line 2: the weight stands there twice"),
        ("\"w\":0.5", "\"w\":[1]", "line 2: the weight is not a number"),
    ] {
        let told = complaint(&lines.replace(from, to), &format);
        assert!(told.contains(wanted), "{told}");
    }
    let plain = Format { categorical: Categorical::None, ..format };
    let told = complaint(lines, &plain);
    assert!(told.contains("line 1, column 2: the text \"red\""), "{told}");
    assert!(told.contains("channels.train.categorical = \"auto\""), "{told}");
}

/// Who churns: `plan` decides, `visits` a little, `id` not at all.
fn people(rows: usize, seed: u64) -> String {
    let mut text = String::from("id,plan,visits,city,churn\n");
    let mut state = seed;
    let mut next = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for row in 0..rows {
        let plan = ["basic", "pro", "team", "pro, yearly"][next(4) as usize];
        let visits = next(20);
        let city = next(12);
        let churns = matches!(plan, "basic" | "team") ^ (visits > 16);
        let churn = if churns { "yes" } else { "no" };
        text.push_str(&format!("u{row},\"{plan}\",{visits},city{city},{churn}\n"));
    }
    text
}

const KEYS: &str = "header = true\nlabel = \"churn\"\nignore = [\"id\"]\ncategorical = \"auto\"\n";

fn job(user: &crate::train::User, algorithm: &str, keys: &str, more: &str) -> String {
    let folder = user.folder.path();
    std::fs::write(folder.join("train.csv"), people(3_000, 1)).unwrap();
    std::fs::write(folder.join("test.csv"), people(1_000, 2)).unwrap();
    let path = folder.join("job.toml");
    let text = format!(
        "[job]\nname = \"people\"\nseed = 7\n[algorithm]\nname = \"{algorithm}\"\n\
         [channels.train]\nuri = \"train.csv\"\n{keys}\
         [channels.validation]\nuri = \"test.csv\"\n{keys}\
         [output]\nuri = \"models\"\n{more}"
    );
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn train(
    user: &crate::train::User,
    algorithm: &str,
    more: &str,
) -> Result<smrt::train::Report, smrt::train::Error> {
    let path = job(user, algorithm, KEYS, more);
    let table = smrt::algorithm::Table::builtin();
    user.run(smrt::train::read(std::path::Path::new(&path), &[], &table)?)
}

const BINARY: &str = "[hyperparameters]\npredictor_type = \"binary_classifier\"\nepochs = 20\n";
const TREES: &str = "[hyperparameters]\nobjective = \"binary:logistic\"\nnum_round = 20\n";

#[test]
fn every_algorithm_learns_from_words_and_answers_rows_of_words() {
    for (algorithm, more) in [("linear-learner", BINARY), ("mlp", BINARY), ("xgboost", TREES)] {
        let user = crate::train::User::new();
        let report = train(&user, algorithm, more).unwrap();
        let signature = &report.signature;
        assert_eq!(signature.columns, words(&["plan", "visits", "city"]), "{algorithm}");
        assert_eq!(signature.features, 3);
        assert_eq!((signature.categories[&0].len(), signature.categories[&2].len()), (4, 12));
        let path = report.artifact.to_string();
        let bytes = std::fs::read(path.trim_start_matches("file://")).unwrap();
        let model = user.opener().open(&bytes[..], "model.tar.gz").unwrap();
        assert_eq!(model.manifest.signature.categories, signature.categories);
        let ask = |content: &str, body: &str| {
            let content = smrt::data::media::ContentType::parse(content).unwrap();
            let limits = smrt::data::request::Limits::default();
            let signature = &model.manifest.signature;
            let rows =
                smrt::data::request::decode(&content, body.as_bytes(), signature, &limits).unwrap();
            let answer = model.predict(rows.view()).unwrap();
            match &answer.fields[0].values {
                smrt::data::Values::Number(scores) => scores.clone(),
                other => panic!("{other:?}"),
            }
        };
        let csv = ask("text/csv", "basic,3,city1\n\"pro, yearly\",3,city2\nteam,3,nowhere\n,3,\n");
        assert!(csv[0] > 0.7 && csv[1] < 0.3 && csv[2] > 0.7, "{algorithm} {csv:?}");
        let json = r#"{"instances":[{"features":["basic",3,"city1"]},["pro, yearly",3,"city2"],
                      {"visits":3,"plan":"team","city":"nowhere"},[null,3,null]]}"#;
        assert_eq!(ask("application/json", json), csv, "{algorithm}");
        // The same job, the same bytes.
        let again = crate::train::User::new();
        let other = train(&again, algorithm, more).unwrap();
        assert_eq!(other.metrics, report.metrics, "{algorithm}");
    }
}

#[test]
fn words_that_do_not_fit_into_memory_are_told_before_they_are_expanded() {
    let user = crate::train::User::new();
    let mut text = String::from("y,word\n");
    for row in 0..6_000 {
        text.push_str(&format!("{},w{}\n", row % 2, row % 5_000));
    }
    let path = job(&user, "mlp", "header = true\ncategorical = \"auto\"\n", BINARY);
    std::fs::write(user.folder.path().join("train.csv"), &text).unwrap();
    std::fs::write(user.folder.path().join("test.csv"), &text).unwrap();
    let set = ["resources.memory_bytes_max=64MiB".to_owned()];
    let table = smrt::algorithm::Table::builtin();
    let checked = smrt::train::read(std::path::Path::new(&path), &set, &table).unwrap();
    let error = user.run(checked).unwrap_err();
    assert!(error.to_string().contains("with a column for each word"), "{error}");
    assert!(error.help().unwrap().contains("memory_bytes_max"));
}

#[test]
fn a_row_of_weight_two_counts_as_two_rows() {
    let user = crate::train::User::new();
    let folder = user.folder.path();
    let (mut weighted, mut repeated) = (String::new(), String::new());
    for row in 0..400_u32 {
        let (a, b) = (row.wrapping_mul(2_654_435_761) % 101, row.wrapping_mul(40_503) % 67);
        let label = u32::from(a + b > 80);
        let weight = 1 + row % 2;
        weighted.push_str(&format!("{label},{weight},{a},{b}\n"));
        for _ in 0..weight {
            repeated.push_str(&format!("{label},{a},{b}\n"));
        }
    }
    std::fs::write(folder.join("weighted.csv"), weighted).unwrap();
    std::fs::write(folder.join("repeated.csv"), repeated).unwrap();
    let run = |file: &str, more: &str| {
        let path = folder.join("job.toml");
        let text = format!(
            "job.name = \"w\"\nalgorithm.name = \"xgboost\"\nchannels.train.uri = \"{file}\"\n\
             output.uri = \"models\"\nhyperparameters.num_round = 5\n\
             hyperparameters.objective = \"binary:logistic\"\n{more}"
        );
        std::fs::write(&path, text).unwrap();
        let table = smrt::algorithm::Table::builtin();
        user.run(smrt::train::read(&path, &[], &table)?)
    };
    let by_weight = run("weighted.csv", "hyperparameters.csv_weights = 1\n").unwrap();
    let by_rows = run("repeated.csv", "").unwrap();
    assert_eq!(by_weight.signature.features, 2);
    let loss = |report: &smrt::train::Report| report.metrics[0].value;
    assert!((loss(&by_weight) - loss(&by_rows)).abs() < 1e-6, "{by_weight:?} {by_rows:?}");
    let both = "hyperparameters.csv_weights = \"1\"\nchannels.train.weight = \"w\"\n";
    let mistakes = run("weighted.csv", both).unwrap_err();
    assert!(mistakes.to_string().contains("channels.train.weight does too"), "{mistakes}");
    let named = "hyperparameters.csv_weights = 1\nchannels.train.label = \"y\"\n";
    let mistakes = run("weighted.csv", named).unwrap_err();
    assert!(mistakes.to_string().contains("channels.train names its own"), "{mistakes}");
}

#[test]
fn a_manifest_whose_words_contradict_it_is_refused() {
    use smrt::data::{Signature, Task};
    let manifest = |categories: Categories| smrt::model::Manifest {
        smrt_format: smrt::model::FORMAT,
        job: "a".into(),
        algorithm: "mlp".into(),
        hyperparameters: serde_json::Map::new(),
        signature: Signature { categories, ..Signature::of(2, Task::Regression) },
        metrics: Vec::new(),
        epochs: 1,
    };
    let origin =
        smrt::model::Origin { inputs: Vec::new(), seed: 0, threads: 1, device: "cpu".into() };
    let read = |categories| {
        let files = smrt::algorithm::Files::new();
        let archive = smrt::model::pack(&manifest(categories), &origin, files, Vec::new()).unwrap();
        smrt::model::unpack(&archive, "a").map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(read(Categories::from([(1, words(&["a", "b"]))])), Ok(()));
    let beyond = read(Categories::from([(2, words(&["a"]))])).unwrap_err();
    assert!(beyond.contains("words for column 2 of 2 features"), "{beyond}");
    let twice = read(Categories::from([(0, words(&["a", "a"]))])).unwrap_err();
    assert!(twice.contains("2 words of column 0"), "{twice}");
    let many = (0..=WORDS_MAX).map(|id| id.to_string()).collect();
    assert!(read(Categories::from([(0, many)])).unwrap_err().contains("65537 words"));
}

/// A metric of a job under `examples/quality` on the shared data.
pub(crate) fn quality(user: &crate::train::User, shared: &str, job: &str, metric: &str) -> f64 {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("examples/quality").join(job);
    let text = std::fs::read_to_string(&path).unwrap();
    let models = user.folder.path().join("models").display().to_string();
    let text = text.replace("../../../shared", shared).replace("../../target/models", &models);
    let copy = user.folder.path().join("job.toml");
    std::fs::write(&copy, text).unwrap();
    let table = smrt::algorithm::Table::builtin();
    let report = user.run(smrt::train::read(&copy, &[], &table).unwrap()).unwrap();
    let found = report.metrics.iter().find(|found| found.name == metric);
    found.unwrap_or_else(|| panic!("no {metric} among {:?}", report.metrics)).value
}

#[test]
fn words_as_published_learn_as_well_as_their_one_hot_columns() {
    let Ok(shared) = std::env::var("SMRT_SHARED") else {
        println!("skipped: SMRT_SHARED is not set");
        return;
    };
    let user = crate::train::User::new();
    // The larger the better of the one, the smaller of the other.
    for (model, metric, sign) in
        [("linear", "test:roc_auc_score", 1.0), ("xgboost", "test:logloss", -1.0)]
    {
        let words = quality(&user, &shared, &format!("adult_words-{model}.toml"), metric);
        let one_hot = quality(&user, &shared, &format!("adult-{model}.toml"), metric);
        println!("{model}: {metric} {words:.4} with words, {one_hot:.4} one-hot");
        let better = sign * (words - one_hot);
        assert!(better > -0.001, "{model}: {words} with words, {one_hot} one-hot");
    }
}
