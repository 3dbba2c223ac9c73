//! `ip-insights` from text to answers: logins of users with home networks, made up by a seed, and
//! real ones where they are at hand.

use std::net::{Ipv4Addr, Ipv6Addr};

use smrt::algorithm::{Ask, Fitted, Table};
use smrt::data::media::{Accept, ContentType};
use smrt::data::request::{self, Limits};
use smrt::data::schema::Cells;
use smrt::data::{Dataset, Signature, Task, answer, login};
use smrt::fault::Fault;
use smrt::spec::problem::Problems;
use smrt::spec::train::Media;

use crate::linear;
use crate::unlabelled::{Job, field, metric, only};

/// SplitMix64.
fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Login `number`: one of the users, from one of the one to three networks (IPv4 /20 or, for every
/// fourth user, IPv6 /48) that are the user's own.
fn line(users: u64, number: u64) -> String {
    let draw = mix(number);
    let user = draw % users;
    let network = mix((user << 8) | ((draw >> 32) % (1 + user % 3)));
    let host = mix(draw);
    if user % 4 == 3 {
        let high = 0x2000_0000_0000_0000 | (network >> 3 & !0xffff);
        let address = Ipv6Addr::from_bits(u128::from(high | host >> 48) << 64 | u128::from(host));
        return format!("user-{user},{address}");
    }
    let address = Ipv4Addr::from_bits((network as u32 & 0xffff_f000) | (host as u32 & 0xfff));
    format!("user-{user},{address}")
}

fn logins(users: u64, numbers: std::ops::Range<u64>) -> String {
    numbers.map(|number| line(users, number) + "\n").collect()
}

fn signature() -> Signature {
    let plain = Signature::of(login::WIDTH, Task::AnomalyDetection);
    Signature { cells: Cells::Login, ..plain }
}

/// Text as a request or a channel holds it, to rows.
fn rows(media: Media, text: &str) -> ndarray::Array2<f32> {
    let content = ContentType::from(media);
    request::decode(&content, text.as_bytes(), &signature(), &Limits::default()).unwrap()
}

fn dataset(text: &str) -> Dataset {
    Dataset::of(rows(Media::Csv, text))
}

const SMALL: &[(&str, &str)] = &[
    ("num_entity_vectors", "2000"),
    ("vector_dim", "16"),
    ("epochs", "2"),
    ("mini_batch_size", "100"),
];

#[test]
fn users_with_home_networks_are_told_from_strangers() {
    let mut data = only(dataset(&logins(200, 0..8_000)));
    data.validation = Some(dataset(&logins(200, 8_000..10_000)));
    let parameters = [("num_entity_vectors", "1000"), ("vector_dim", "64")];
    let job = Job::new("ipinsights", &parameters);
    let fitted = job.fitted(&data);
    let auc = metric(&fitted, "validation:discriminator_auc");
    assert!(auc > 0.95, "{auc}");

    // Addresses that were never seen, of the user's network and of somebody else's.
    let (model, threshold) = (job.open(&fitted), fitted.signature.threshold.unwrap());
    let score = |line: &str| {
        field(&model.predict(rows(Media::Csv, line).view()).unwrap(), "dot_product")[0]
    };
    let (mut own, mut strange) = (0, 0);
    for number in 20_000..20_400 {
        let (line, other) = (line(200, number), line(200, number + 1));
        let (user, _) = line.split_once(',').unwrap();
        let (_, address) = other.split_once(',').unwrap();
        own += usize::from(score(&line) >= threshold);
        strange += usize::from(score(&format!("{user},{address}")) >= threshold);
    }
    assert!(own > 340 && strange < 80, "{own} and {strange} of 400 above {threshold}");
    assert_eq!(score("nobody-ever-seen,10.0.0.1"), 0.0, "nothing is known");
}

#[test]
fn the_answer_reads_as_sagemakers_in_every_format() {
    let job = Job::new("ip-insights", SMALL);
    let model = job.open(&job.fitted(&only(dataset(&logins(50, 0..500)))));
    let json = rows(
        Media::Json,
        r#"{"instances": [{"data": {"features": {"values": ["user-1", "10.2.3.4"]}}},
                          {"features": ["user-2", "2001:db8::7"]}]}"#,
    );
    assert_eq!(json, rows(Media::Csv, "user-1, 10.2.3.4\nuser-2, 2001:db8::7\n"));
    let lines = "{\"data\": {\"features\": {\"values\": [\"user-1\", \"10.2.3.4\"]}}}\n{\"features\": [\"user-2\", \"2001:db8::7\"]}";
    assert_eq!(json, rows(Media::JsonLines, lines));

    let written = |ask: &Ask| {
        let mut out = Vec::new();
        let answer = model.predict_with(json.view(), ask).unwrap();
        answer::encode(&answer, &Accept::from(Media::Json), &mut out);
        serde_json::from_slice::<serde_json::Value>(&out).unwrap()
    };
    let plain = written(&Ask::default());
    let first = plain["predictions"][0].as_object().unwrap();
    assert_eq!(first.keys().collect::<Vec<_>>(), ["dot_product"]);
    let verbose = written(&Ask { verbose: true, ..Ask::default() });
    let first = verbose["predictions"][0].as_object().unwrap();
    let keys: Vec<&str> = first.keys().map(String::as_str).collect();
    assert_eq!(keys, ["dot_product", "entity_embedding", "ip_embedding"]);
    let numbers = |key: &str| -> Vec<f64> {
        first[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let (entity, address) = (numbers("entity_embedding"), numbers("ip_embedding"));
    let dot: f64 = entity.iter().zip(&address).map(|(a, b)| a * b).sum();
    assert_eq!(entity.len(), 16);
    assert!((dot - first["dot_product"].as_f64().unwrap()).abs() < 1e-4);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_a_stop_changes_none() {
    let mut data = only(dataset(&logins(60, 0..900)));
    data.validation = Some(dataset(&logins(60, 900..1_100)));
    let job = Job::new("ip-insights", SMALL);
    let whole = job.fitted(&data);
    assert!(whole.files == job.fitted(&data).files);
    assert!(whole.files != Job { seed: 8, ..job }.fitted(&data).files);
    let (pieces, stops) = job.in_pieces(&data, &[1, 4, 2]);
    assert!(stops >= 4, "{stops}");
    assert!(pieces.files == whole.files && pieces.metrics == whole.metrics);
    job.refuses_damaged_checkpoints(&data);
    job.refuses_damaged_models(&whole);
}

#[test]
fn a_batch_answers_as_its_rows_do() {
    let job = Job::new("ip-insights", SMALL);
    let model = job.open(&job.fitted(&only(dataset(&logins(50, 0..500)))));
    let text = logins(70, 600..733);
    let together = model.predict(rows(Media::Csv, &text).view()).unwrap();
    for (at, line) in text.lines().enumerate() {
        let alone = model.predict(rows(Media::Csv, line).view()).unwrap();
        let (alone, all) = (field(&alone, "dot_product")[0], field(&together, "dot_product")[at]);
        assert_eq!(alone.to_bits(), all.to_bits(), "{line}");
    }
}

#[test]
fn deep_and_linear_encoders_learn_too() {
    let data = only(dataset(&logins(40, 0..2_000)));
    for layers in ["0", "4"] {
        let parameters = [SMALL, &[("num_ip_encoder_layers", layers), ("learning_rate", "0.01")]];
        let fitted = Job::new("ip-insights", &parameters.concat()).fitted(&data);
        let auc = metric(&fitted, "train:discriminator_auc");
        assert!(auc > 0.8, "{layers} layers: {auc}");
    }
}

#[test]
fn what_holds_no_logins_is_refused_with_a_way_out() {
    let numbers = only(Dataset::of(ndarray::Array2::zeros((5, 3))));
    let error = Job::new("ip-insights", SMALL).run(&numbers).unwrap_err();
    assert!(error.to_string().contains("no rows of an entity and an address"), "{error}");
    assert!(error.help().unwrap().contains("two columns"));
    let mut problems = Problems::default();
    let raw = [
        ("num_entity_vectors", "10"),
        ("vector_dim", "8"),
        ("random_negative_sampling_rate", "0"),
        ("shuffled_negative_sampling_rate", "0"),
    ];
    let raw = raw.iter().map(|(name, text)| {
        let value = smrt::spec::parameter::RawValue::Text((*text).to_owned());
        ((*name).to_owned(), smrt::spec::parameter::Raw { value, line: None })
    });
    let table = Table::builtin();
    assert!(table.get("ipinsights").unwrap().trainer(&raw.collect(), &mut problems).is_none());
    assert_eq!(problems.list.len(), 1, "{problems:?}");
}

/// A job file, its data as text, and the artifact that answers.
#[test]
fn a_job_goes_from_two_columns_of_text_to_answers() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("train.csv"), format!("user,ip\n{}", logins(30, 0..600))).unwrap();
    let job = "[job]\nname = \"logins\"\n[algorithm]\nname = \"ipinsights\"\n\
               [hyperparameters]\nnum_entity_vectors = 100\nvector_dim = 8\nepochs = 1\n\
               [channels.train]\nuri = \"train.csv\"\nheader = true\ncontent_type = \"text/csv;label_size=0\"\n\
               [output]\nuri = \"out/\"\nkms_key = \"none\"\n";
    std::fs::write(at("job.toml"), job).unwrap();
    let report = smrt::train(at("job.toml")).unwrap();
    assert_eq!((report.channels[0].rows, report.signature.cells), (600, Cells::Login));
    let model = smrt::Model::open(&report.artifact.to_string()).unwrap();
    assert_eq!(model.predict(rows(Media::Csv, "user-1,10.0.0.1").view()).unwrap().rows, 1);

    std::fs::write(at("train.csv"), "user,ip\nuser-1,10.0.0.1\nuser-2,10.0.0\n").unwrap();
    let error = smrt::train(at("job.toml")).unwrap_err();
    let said = format!("{error}");
    assert!(said.contains("line 3") && said.contains("\"10.0.0\" is not an IP address"), "{said}");
}

fn auc(fitted: &Fitted) -> f64 {
    metric(fitted, "validation:discriminator_auc")
}

#[test]
fn real_logins_are_learned_from() {
    let Some(folder) = linear::shared() else {
        println!("skipped: set SMRT_SHARED to a folder with data");
        return;
    };
    let text = std::fs::read_to_string(folder.join("ip_openssh/data.csv")).unwrap();
    // Every fourth login is held out.
    let part = |held: bool| -> String {
        let lines = text.lines().enumerate().filter(|(at, _)| (at % 4 == 3) == held);
        lines
            .filter_map(|(_, line)| {
                let mut cells = line.split(',');
                Some(format!("{},{}\n", cells.next()?, cells.next()?))
            })
            .collect()
    };
    let mut data = only(dataset(&part(false)));
    data.validation = Some(dataset(&part(true)));
    let parameters = [
        ("num_entity_vectors", "500"),
        ("vector_dim", "32"),
        ("epochs", "100"),
        ("learning_rate", "0.003"),
    ];
    let fitted = Job::new("ip-insights", &parameters).fitted(&data);
    assert!(auc(&fitted) > 0.7, "{}", auc(&fitted));
}
