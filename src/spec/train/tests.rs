use std::path::Path;

use super::*;
use crate::spec::parameter::RawValue;

const GOOD: &str = r#"
[job]
name = "churn-demo"
seed = 7

[algorithm]
name = "linear-learner"

[hyperparameters]
predictor_type = "binary_classifier"
epochs = 5
hidden_layers = [64, 32]

[channels.train]
uri = "s3://data/churn/train/"
content_type = "text/csv;label_size=1"

[channels.validation]
uri = "validation.csv"
label = "churn"
delimiter = ";"

[output]
uri = "models"
kms_key = "alias/team"

[resources]
device = "wgpu:1"
threads = 2
memory_bytes_max = "512MiB"

[stopping]
max_runtime_s = 3600

[checkpoint]
uri = "s3://checkpoints/churn"

[storage.s3]
endpoint = "http://127.0.0.1:9000/"
region = "us-east-1"
access_key_id = "me"
secret_access_key = "hunter2"
virtual_host = true
"#;

const LEAST: &str = "job.name = \"a\"\nalgorithm.name = \"mlp\"\n\
                     channels.train.uri = \"a.csv\"\noutput.uri = \"out\"\n";

fn read(text: &str, overrides: &[&str]) -> Reading {
    let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
    TrainingJob::read(text.as_bytes(), "job.toml", Path::new("/base"), &overrides)
}

fn good(text: &str, overrides: &[&str]) -> TrainingJob {
    let reading = read(text, overrides);
    reading.job.unwrap_or_else(|| panic!("{}", shown(&reading.mistakes)))
}

fn shown(mistakes: &crate::spec::Mistakes) -> String {
    use crate::fault::Fault;
    let mut lines: Vec<String> = Vec::new();
    for finding in mistakes.findings() {
        lines.push(finding.what);
        lines.extend(finding.help.map(|help| format!("  {help}")));
    }
    lines.push(mistakes.to_string());
    lines.extend(mistakes.help().map(|help| format!("  {help}")));
    lines.join("\n")
}

/// The one mistake of a job that is good but for `extra`.
fn one_mistake(extra: &str) -> String {
    let mistakes = read(&format!("{LEAST}{extra}"), &[]).mistakes;
    assert_eq!(mistakes.problems.list.len(), 1, "{extra}: {}", shown(&mistakes));
    shown(&mistakes)
}

#[test]
fn a_whole_job_is_read() {
    let job = good(GOOD, &[]);
    assert_eq!(
        (job.name.as_str(), job.seed, job.algorithm.as_str()),
        ("churn-demo", 7, "linear-learner")
    );
    assert_eq!(job.hyperparameters["epochs"].value, RawValue::Integer(5));
    assert_eq!(job.hyperparameters["epochs"].line, Some(11));
    assert_eq!(job.channels["train"].uri.to_string(), "s3://data/churn/train/");
    assert_eq!(job.channels["train"].format.label, LabelColumn::First);
    let validation = &job.channels["validation"];
    assert_eq!(validation.uri, Uri::File("/base/validation.csv".into()));
    assert_eq!(
        validation.format,
        Format {
            header: true,
            delimiter: b';',
            label: LabelColumn::Named("churn".into()),
            ..Format::new(Media::Csv)
        }
    );
    assert_eq!(job.output.key, SealKey::Named("alias/team".into()));
    assert_eq!(job.artifact(), Uri::File("/base/models/churn-demo/output/model.tar.gz".into()));
    assert_eq!(job.resources.device, DeviceChoice::Wgpu(1));
    assert_eq!(job.resources.memory_bytes_max, 512 << 20);
    assert_eq!(job.stopping.max_runtime.as_secs(), 3600);
    assert_eq!(job.checkpoints().to_string(), "s3://checkpoints/churn");
    assert_eq!(job.storage.s3.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
    assert!(job.storage.s3.virtual_host);
}

#[test]
fn columns_are_named_for_what_they_are() {
    let keys = "channels.train.weight = \"w\"\nchannels.train.group = \"q\"\n\
                channels.train.categorical = [\"plan\", \"state\"]\nchannels.train.ignore = [\"id\"]\n";
    let format = &good(&format!("{LEAST}{keys}"), &[]).channels["train"].format;
    assert!(format.header, "a named column means that the file has names");
    assert_eq!(format.weight, Some(WeightColumn::Named("w".into())));
    assert_eq!(format.group.as_deref(), Some("q"));
    let words = Categorical::Named(vec!["plan".into(), "state".into()]);
    assert_eq!((&format.categorical, &format.ignore), (&words, &vec!["id".to_owned()]));
    let auto = good(LEAST, &["channels.train.categorical=auto"]);
    let format = &auto.channels["train"].format;
    assert_eq!((&format.categorical, format.header), (&Categorical::Auto, false));
}

#[test]
fn a_column_is_one_thing_only() {
    let train = "channels.train.label = \"y\"\nchannels.train.";
    for (keys, told) in [
        ("weight = \"y\"", "channels.train.weight: \"y\" is the label already"),
        ("group = \"\"", "channels.train.group: is empty"),
        ("ignore = [\"a\", \"a\"]", "channels.train.ignore: \"a\" stands there twice"),
        (
            "ignore = [\"a\"]\nchannels.train.categorical = [\"a\"]",
            "channels.train.ignore: \"a\" stands under categorical already",
        ),
        ("categorical = [1]", "channels.train.categorical: expected a list of strings"),
        ("categorical = [\"\"]", "channels.train.categorical: holds an empty name"),
        ("weights = \"a\"", "did you mean weight?"),
    ] {
        let mistake = one_mistake(&format!("{train}{keys}\n"));
        assert!(mistake.contains(told), "{mistake}");
    }
    let bare = "channels.train.header = false\nchannels.train.";
    for (keys, told) in [
        ("ignore = [\"a\"]", "write header = true, or leave ignore out"),
        ("categorical = [\"a\"]", "write header = true, or categorical = \"auto\""),
    ] {
        let mistake = one_mistake(&format!("{bare}{keys}\n"));
        assert!(mistake.contains(told), "{mistake}");
    }
}

#[test]
fn defaults_are_sagemakers() {
    let job = good(LEAST, &[]);
    assert_eq!(job.seed, 0);
    assert_eq!(job.channels["train"].format.media, Media::Csv);
    assert!(!job.channels["train"].format.header);
    assert_eq!(job.output.key, SealKey::Default);
    assert_eq!(job.resources.device, DeviceChoice::Auto);
    assert_eq!(job.stopping.max_runtime.as_secs(), 86_400);
    assert_eq!(job.checkpoints(), Uri::File("/base/out/a/checkpoints".into()));
    assert_eq!(job.storage, Storage::default());
}

#[test]
fn a_channel_says_which_objects_it_means_in_sagemakers_words() {
    let job = good(LEAST, &[]);
    assert_eq!(job.channels["train"].selection, Selection::default());
    assert_eq!(job.resources.hosts.current(), "algo-1");
    let text = LEAST.replace("channels.train.uri = \"a.csv\"", "");
    let job = good(
        &format!(
            "{text}[resources]\nhosts = [\"algo-1\", \"algo-2\"]\ncurrent_host = \"algo-2\"\n\
             [channels.train]\nuri = \"s3://data/list.manifest\"\n\
             s3_data_type = \"ManifestFile\"\ndistribution = \"ShardedByS3Key\"\n\
             shuffle_seed = 3\ninput_mode = \"Pipe\"\ncompression = \"Gzip\"\n\
             record_wrapper = \"RecordIO\"\n[checkpoint]\nkeep = 5\ninterval_s = 60\n"
        ),
        &[],
    );
    let expected = Selection {
        data_type: DataType::ManifestFile,
        distribution: Distribution::ShardedByS3Key,
        shuffle_seed: Some(3),
        input_mode: InputMode::Pipe,
        compression: Compression::Gzip,
        record_wrapper: RecordWrapper::RecordIO,
    };
    assert_eq!(job.channels["train"].selection, expected);
    assert_eq!((job.resources.hosts.index, job.resources.hosts.current()), (1, "algo-2"));
    assert_eq!((job.checkpoint.keep, job.checkpoint.interval.as_secs()), (5, 60));
}

#[test]
fn a_slip_in_sagemakers_words_is_answered_with_them() {
    for (extra, expected) in [
        ("channels.train.s3_data_type = \"S3prefix\"", "did you mean \"S3Prefix\"?"),
        ("channels.train.s3_data_type = \"AugmentedManifestFile\"", "does not read Augmented"),
        ("channels.train.distribution = \"Sharded\"", "write \"FullyReplicated\" or"),
        ("channels.train.shuffle_seed = -1", "is out of range"),
        ("channels.train.shuffle_seed = \"seven\"", "expected a whole number"),
        ("channels.train.input_mode = \"pipe\"", "did you mean \"Pipe\"?"),
        ("channels.train.compression = \"zstd\"", "write \"None\" or \"Gzip\""),
        ("channels.train.record_wrapper = \"Recordio\"", "did you mean \"RecordIO\"?"),
        ("resources.hosts = []", "0 hosts cannot share a job"),
        ("resources.hosts = 2", "expected a list of names, found integer 2"),
        ("resources.hosts = [\"a\", \"a\"]", "\"a\" is named twice"),
        ("resources.hosts = [\"a\", \"b\"]", "current_host: is missing"),
        (
            "resources.hosts = [\"algo-1\", \"algo-2\"]\nresources.current_host = \"algo2\"",
            "did you mean \"algo-2\"?",
        ),
        ("resources.current_host = \"algo-7\"", "is not among the hosts"),
        ("checkpoint.keep = 0", "checkpoint.keep: 0 is out of range"),
    ] {
        let told = one_mistake(extra);
        assert!(told.contains(expected), "{extra}: {told}");
    }
}

#[test]
fn secrets_are_never_shown() {
    let job = good(GOOD, &[]);
    assert!(!format!("{job:?}").contains("hunter2"));
    assert!(!job.effective().to_string().contains("hunter2"));
    let wrong = one_mistake("[storage.s3]\nsession_token = 12345\n");
    assert!(!wrong.contains("12345"), "{wrong}");
}

#[test]
fn the_effective_values_read_back_to_the_same_job() {
    let job = good(GOOD, &["storage={}", "checkpoint.uri=s3://c/x"]);
    let effective = job.effective();
    let text = toml::to_string(&effective).unwrap();
    assert_eq!(good(&text, &[]).effective(), effective);
}

#[test]
fn every_mistake_is_told_in_one_answer() {
    let text = r#"
[job]
nmae = "x"
seed = -1
[algorithm]
name = 3
[channels.train]
uri = "s3:/fraud/2026"
content_type = "image/png"
[channels.validaton]
uri = "v.csv"
[outputs]
uri = "x"
[resources]
device = "gpu"
memory_bytes_max = "8GiBs"
threads = 1.5
[stopping]
max_runtime_s = 0
"#;
    let mistakes = read(text, &[]).mistakes;
    let expected = "\
job.toml:3: job.nmae: unknown key
  did you mean name?
job.toml:4: job.seed: -1 is out of range
  write a whole number from 0 to 9223372036854775807
job.toml:6: algorithm.name: expected a string, found integer 3
job.toml:8: channels.train.uri: \"s3:/fraud/2026\" is not a place smrt can read
  write s3://bucket/prefix, gs://…, az://… or file:///path; did you mean \"s3://fraud/2026\"?
job.toml:9: channels.train.content_type: \"image/png\" is not a content type smrt reads
  smrt reads text/csv, text/libsvm, application/jsonlines, application/x-parquet and application/x-recordio-protobuf (short: csv, libsvm, jsonlines, parquet, recordio-protobuf)
job.toml:10: channels.validaton: no algorithm reads a channel of this name
  did you mean channels.validation?
job.toml:12: outputs: unknown table
  did you mean output?
job.toml:15: resources.device: \"gpu\" is not a device
  write \"auto\", \"cpu\", \"wgpu\", \"wgpu:1\" or \"cuda:0\"; did you mean \"wgpu\"?
job.toml:16: resources.memory_bytes_max: string \"8GiBs\" is not an amount of memory
  write a number of bytes, or a number with KiB, MiB, GiB, TiB, kB, MB, GB or TB
job.toml:17: resources.threads: expected a whole number from 0 to 1024, found float 1.5
job.toml:19: stopping.max_runtime_s: 0 is out of range
  write a whole number from 1 to 2419200
job.toml: 11 mistakes";
    assert_eq!(shown(&mistakes), expected.replace("\\\n  ", ""));
}

#[test]
fn an_empty_file_is_told_what_it_needs() {
    let mistakes = read("", &[]).mistakes;
    let keys: Vec<_> = mistakes.problems.list.iter().map(|p| p.key.as_str()).collect();
    assert_eq!(keys, ["job.name", "algorithm.name", "channels.train", "output.uri"]);
}

#[test]
fn a_key_in_the_wrong_table_is_shown_its_place() {
    assert!(one_mistake("job.device = \"cpu\"\n").contains("did you mean resources.device?"));
    assert!(one_mistake("epochs = 3\n").contains("did you mean hyperparameters.epochs?"));
}

#[test]
fn a_value_where_a_table_belongs_is_told_how_to_write_it() {
    let mistakes = read("algorithm = \"mlp\"\n[[output]]\nuri = \"x\"\n", &[]).mistakes;
    let shown = shown(&mistakes);
    assert!(
        shown.contains("job.toml:1: algorithm: expected a table, found string \"mlp\""),
        "{shown}"
    );
    assert!(shown.contains("job.toml:2: output: expected a table, found a list"), "{shown}");
    assert!(!shown.contains("algorithm.name"), "{shown}");
}

#[test]
fn overrides_replace_keys_before_they_are_checked() {
    let job = good(
        &LEAST.replace("\"mlp\"", "3"),
        &["algorithm.name=mlp", "hyperparameters.eta=0.2", "job.name=123", "job.seed=9"],
    );
    assert_eq!(job.algorithm, "mlp");
    assert_eq!(job.name.as_str(), "123");
    assert_eq!(job.seed, 9);
    assert_eq!(job.hyperparameters["eta"].value, RawValue::Float(0.2));
    assert_eq!(job.hyperparameters["eta"].line, None);
}

#[test]
fn a_mistake_in_an_override_names_the_override() {
    let mistakes = read(LEAST, &["resources.thread=2", "job.seed=x", "eta"]).mistakes;
    let expected = "\
--set resources.thread: unknown key
  did you mean threads?
--set job.seed: expected a whole number from 0 to 9223372036854775807, found string \"x\"
--set eta: no \"=\" in it
  write --set TABLE.KEY=VALUE, e.g. --set hyperparameters.epochs=5";
    let shown = shown(&mistakes);
    for line in expected.lines() {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
}

#[test]
fn csv_keys_that_contradict_are_mistakes() {
    let train = |keys: &str| one_mistake(&format!("[channels.validation]\nuri = \"v\"\n{keys}\n"));
    assert!(train("label = \"y\"\nheader = false").contains("header = false: columns have none"));
    assert!(train("label = \"y\"\ncontent_type = \"csv;label_size=0\"").contains("label_size=0"));
    assert!(train("header = true\ncontent_type = \"jsonlines\"").contains("only CSV has a header"));
    assert!(
        train("delimiter = \";\"\ncontent_type = \"jsonlines\"").contains("only CSV has a delim")
    );
    assert!(train("label = \"\"").contains("is empty"));
    for delimiter in ["", ";;", "a", "\\\"", "\\n", ".", "é"] {
        assert!(train(&format!("delimiter = \"{delimiter}\"")).contains("cannot separate columns"));
    }
}

#[test]
fn keys_devices_and_endpoints_have_a_form() {
    for key in [
        "alias/a",
        "none",
        "1234abcd-12ab-34cd-56ef-1234567890ab",
        "arn:aws:kms:us-east-1:123456789012:alias/a",
        "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    ] {
        good(&format!("{LEAST}output.kms_key = \"{key}\"\n"), &[]);
    }
    let wrong = one_mistake("output.kms_key = \"smrt\"\n");
    assert!(wrong.contains("did you mean \"alias/smrt\"?"), "{wrong}");
    for key in ["", "alias/", "arn:aws:s3:::b", "a b"] {
        one_mistake(&format!("output.kms_key = \"{key}\"\n"));
    }
    for device in ["", "gpu", "cpu:1", "wgpu:", "cuda:-1", "cuda:256", "wgpu:1:2"] {
        one_mistake(&format!("resources.device = \"{device}\"\n"));
    }
    for endpoint in ["", "127.0.0.1:9000", "http://", "http://h/bucket", "http://me:pw@host"] {
        let wrong = one_mistake(&format!("storage.s3.endpoint = \"{endpoint}\"\n"));
        assert!(!wrong.contains("pw"), "{wrong}");
    }
}

#[test]
fn credentials_come_whole_and_from_one_place() {
    let wrong = |keys: &str| one_mistake(&format!("[storage.s3]\n{keys}\n"));
    assert!(wrong("access_key_id = \"a\"").contains("without secret_access_key"));
    assert!(wrong("secret_access_key = \"a\"").contains("without access_key_id"));
    assert!(wrong("session_token = \"a\"").contains("without access_key_id"));
    let both = "access_key_id = \"a\"\nsecret_access_key = \"b\"\nprofile = \"p\"";
    assert!(wrong(both).contains("two sources of credentials"));
}

#[test]
fn an_output_that_cannot_be_written_is_refused_at_once() {
    let text = LEAST.replace("\"out\"", "\"https://host/x\"");
    assert!(shown(&read(&text, &[]).mistakes).contains("cannot be written to"));
}

#[test]
fn an_image_uri_is_the_algorithms_name() {
    let image = "382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1";
    assert_eq!(good(&LEAST.replace("mlp", image), &[]).algorithm, "linear-learner");
}

#[test]
fn a_hyperparameter_is_a_value_and_nothing_else() {
    one_mistake("hyperparameters.a = 2026-01-01\n");
    one_mistake("hyperparameters.a = { b = 1 }\n");
    one_mistake("hyperparameters.a = 99999999999999999999\n");
    one_mistake("hyperparameters.a = [1, { b = 1 }]\n");
}

#[test]
fn a_broken_line_hides_no_other_mistake_and_invents_none() {
    let reading = read("[job]\nname = churn\nseed = -3\n[algorithm]\nname = \"mlp\"\n", &[]);
    let lines: Vec<_> = reading.mistakes.problems.list.iter().map(|p| p.line).collect();
    assert_eq!(lines, [Some(2), Some(3)], "{}", shown(&reading.mistakes));
}

#[test]
fn a_broken_table_header_does_not_make_its_keys_unknown() {
    let reading = read("[job]\nname = \"a\"\n[output\nuri = \"models\"\n", &[]);
    let lines: Vec<_> = reading.mistakes.problems.list.iter().map(|p| p.line).collect();
    assert_eq!(lines, [Some(3)], "{}", shown(&reading.mistakes));
    assert!(reading.algorithm.is_none());
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,300}") {
        let reading = read(&text, &[]);
        proptest::prop_assert_eq!(reading.job.is_none(), !reading.mistakes.is_empty());
    }

    #[test]
    fn no_damage_to_a_good_job_makes_it_panic(
        at in 0usize..700, cut in 0usize..40, put in "[\\[\\]{}=\"'#.,a\n\\\\0-9-]{0,6}",
    ) {
        let start = GOOD.floor_char_boundary(at);
        let end = GOOD.floor_char_boundary((at + cut).min(GOOD.len()));
        let start = start.min(end);
        let reading = read(&format!("{}{put}{}", &GOOD[..start], &GOOD[end..]), &[]);
        proptest::prop_assert_eq!(reading.job.is_none(), !reading.mistakes.is_empty());
    }

    #[test]
    fn no_override_makes_it_panic(path in "[a-z._\"]{0,20}", value in ".{0,30}") {
        let reading = read(GOOD, &[&format!("{path}={value}")]);
        proptest::prop_assert_eq!(reading.job.is_none(), !reading.mistakes.is_empty());
    }
}
