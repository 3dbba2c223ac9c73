//! Which objects a channel means: prefixes, manifests, shares and orders, as SageMaker has them.

use std::collections::BTreeSet;
use std::io::Write;

use smrt::fault::Fault;
use smrt::spec::name::ChannelName;
use smrt::spec::train::{
    Compression, DataType, Distribution, Hosts, InputMode, Selection, TrainingJob,
};
use smrt::spec::uri::Uri;
use smrt::train;

use crate::train::{User, inside};

const ALGORITHM: &str = "[hyperparameters]\npredictor_type = \"binary_classifier\"\nepochs = 2\n";

/// Ten parts of forty rows that can be told apart.
fn part(number: usize) -> String {
    let row = |row: usize| {
        let x = ((number * 40 + row) as f64 * 0.7).sin();
        format!("{},{x:.4},{}\n", u8::from(x > 0.0), number)
    };
    (0..40).map(row).collect()
}

/// A job on one channel at `uri`.
fn job(user: &User, uri: &str, selection: Selection) -> TrainingJob {
    let mut job = user.job("linear-learner", ALGORITHM);
    job.channels.retain(|name, _| name.as_str() == "train");
    let train = ChannelName::parse("train").unwrap();
    let channel = job.channels.get_mut(&train).unwrap();
    channel.uri = Uri::parse(uri, user.folder.path()).unwrap();
    channel.selection = selection;
    channel.format.header = false;
    channel.format.label = smrt::spec::train::LabelColumn::First;
    job
}

/// A folder with the ten parts.
fn parts(user: &User) {
    let folder = user.folder.path().join("rows");
    std::fs::create_dir_all(&folder).unwrap();
    for number in 0..10 {
        std::fs::write(folder.join(format!("part-{number}.csv")), part(number)).unwrap();
    }
}

/// The names of the objects a job read, in the order it read them.
fn read_by(user: &User, job: TrainingJob) -> Vec<String> {
    user.run(job).unwrap();
    let contents = smrt::model::unpack(&inside(user), "model.tar.gz").unwrap();
    let inputs =
        contents.provenance["predicate"]["buildDefinition"]["resolvedDependencies"].clone();
    inputs
        .as_array()
        .unwrap()
        .iter()
        .map(|input| input["uri"].as_str().unwrap().to_owned())
        .collect()
}

fn told(error: &train::Error) -> String {
    let mut lines = vec![error.to_string()];
    for finding in error.findings() {
        lines.push(finding.what);
        lines.extend(finding.help);
    }
    lines.extend(error.help());
    lines.join("\n")
}

#[test]
fn a_prefix_in_a_bucket_is_a_string_and_a_manifest_names_objects() {
    let server = crate::s3::Server::start();
    for (key, number) in [("train/a.csv", 0), ("train/b.csv", 1), ("train2/c.csv", 2)] {
        server.put("data", key, part(number).as_bytes());
    }
    let manifest = |text: &str| server.put("data", "list.manifest", text.as_bytes());
    manifest(r#"[{"prefix": "s3://data/train"}, "2/c.csv", "/b.csv"]"#);
    let user = User::new();
    let run = |uri: &str, data_type| {
        let mut job = job(&user, uri, Selection { data_type, ..Selection::default() });
        job.storage = server.storage();
        user.run(job)
    };
    assert_eq!(run("s3://data/train", DataType::S3Prefix).unwrap().channels[0].objects, 3);
    assert_eq!(run("s3://data/train/", DataType::S3Prefix).unwrap().channels[0].objects, 2);
    let report = run("s3://data/list.manifest", DataType::ManifestFile).unwrap();
    assert_eq!((report.channels[0].objects, report.channels[0].rows), (2, 80));

    manifest(r#"[{"prefix": "s3://data/train/"}, "a.csv", "gone.csv", "../a.csv"]"#);
    let refused = told(&run("s3://data/list.manifest", DataType::ManifestFile).unwrap_err());
    assert!(refused.contains("entry 4: \"../a.csv\" has \"..\" in it"), "{refused}");
    manifest(r#"[{"prefix": "s3://data/train/"}, "a.csv", "gone.csv", "lost.csv"]"#);
    let refused = told(&run("s3://data/list.manifest", DataType::ManifestFile).unwrap_err());
    for lost in ["entry 3: s3://data/train/gone.csv does", "entry 4: s3://data/train/lost.csv"] {
        assert!(refused.contains(lost), "{refused}");
    }
    let refused = told(&run("s3://data/train/a.csv", DataType::ManifestFile).unwrap_err());
    assert!(refused.contains("not JSON"), "{refused}");
}

#[test]
fn hosts_share_the_objects_of_a_sharded_channel() {
    let user = User::new();
    parts(&user);
    let names: Vec<String> = (1..=3).map(|host| format!("algo-{host}")).collect();
    let share = |index, shuffle_seed| {
        let distribution = Distribution::ShardedByS3Key;
        let selection = Selection { distribution, shuffle_seed, ..Selection::default() };
        let mut job = job(&user, "rows", selection);
        job.resources.hosts = Hosts { names: names.clone(), index };
        read_by(&user, job)
    };
    for seed in [None, Some(7)] {
        let shares: Vec<Vec<String>> = (0..3).map(|index| share(index, seed)).collect();
        assert!(shares.iter().all(|share| (3..=4).contains(&share.len())), "{shares:?}");
        assert_eq!(shares.concat().iter().collect::<BTreeSet<_>>().len(), 10);
    }
    assert_ne!(share(0, Some(7)), share(0, Some(8)), "another seed gives another share");

    let mut job = job(&user, "rows/part-0.csv", Selection::default());
    job.resources.hosts = Hosts { names, index: 1 };
    for channel in job.channels.values_mut() {
        channel.selection.distribution = Distribution::ShardedByS3Key;
    }
    let refused = told(&user.run(job).unwrap_err());
    assert!(refused.contains("algo-2 gets none of the 1 objects"), "{refused}");
}

#[test]
fn a_shuffle_seed_decides_the_order_of_the_objects() {
    let user = User::new();
    parts(&user);
    let order = |shuffle_seed| {
        read_by(&user, job(&user, "rows", Selection { shuffle_seed, ..Selection::default() }))
    };
    let sorted = order(None);
    assert!(sorted.is_sorted() && sorted.len() == 10, "{sorted:?}");
    let (seven, eight) = (order(Some(7)), order(Some(8)));
    assert_eq!(seven, order(Some(7)));
    assert!(seven != sorted && seven != eight, "{seven:?} {eight:?}");
    assert_eq!(BTreeSet::from_iter(&seven), BTreeSet::from_iter(&sorted));
}

#[test]
fn file_fast_file_and_pipe_give_the_same_model() {
    let user = User::new();
    parts(&user);
    let bits = |input_mode| {
        user.run(job(&user, "rows", Selection { input_mode, ..Selection::default() })).unwrap();
        inside(&user)
    };
    let file = bits(InputMode::File);
    assert!(file == bits(InputMode::FastFile) && file == bits(InputMode::Pipe));
}

#[test]
fn a_channel_that_says_gzip_holds_gzip() {
    let user = User::new();
    parts(&user);
    let compression = Compression::Gzip;
    let selection = || Selection { compression, ..Selection::default() };
    let refused = told(&user.run(job(&user, "rows", selection())).unwrap_err());
    assert!(refused.contains("part-0.csv") && refused.contains("is not gzip"), "{refused}");
    let file = std::fs::File::create(user.folder.path().join("one.csv.gz")).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    gzip.write_all(part(1).as_bytes()).unwrap();
    gzip.finish().unwrap();
    let report = user.run(job(&user, "one.csv.gz", selection())).unwrap();
    assert_eq!(report.channels[0].rows, 40);
}

#[test]
fn check_finds_what_a_local_manifest_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[job]\nname = \"a\"\n[algorithm]\nname = \"linear-learner\"\n[hyperparameters]\n\
                predictor_type = \"regressor\"\n[output]\nuri = \"out\"\n[channels.train]\n\
                uri = \"list.json\"\ns3_data_type = \"ManifestFile\"\n";
    std::fs::write(folder.path().join("job.toml"), text).unwrap();
    std::fs::write(folder.path().join("a.csv"), "1,2\n").unwrap();
    let check = |manifest: &str| {
        std::fs::write(folder.path().join("list.json"), manifest).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_smrt"))
            .args(["check", "job.toml"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(check(r#"[{"prefix": "./"}, "a.csv"]"#).0, Some(0));
    let (code, told) = check(r#"[{"prefix": "./"}, "a.csv", "b.csv", "c.csv"]"#);
    assert_eq!(code, Some(2));
    assert!(told.contains("entry 3: b.csv does not exist"), "{told}");
    assert!(told.contains("entry 4: c.csv does not exist"), "{told}");
}

#[test]
fn a_manifest_stands_with_its_own_digest_before_what_it_names() {
    let user = User::new();
    parts(&user);
    let text = r#"[{"prefix": "rows/"}, "part-3.csv", "part-1.csv"]"#;
    std::fs::write(user.folder.path().join("list.manifest"), text).unwrap();
    let data_type = DataType::ManifestFile;
    let selection = Selection { data_type, ..Selection::default() };
    assert_eq!(
        read_by(&user, job(&user, "list.manifest", selection.clone())),
        ["list.manifest", "part-3.csv", "part-1.csv"]
    );
    let report = user.run(job(&user, "list.manifest", selection)).unwrap();
    assert_eq!(report.channels[0].objects, 2);
    let contents = smrt::model::unpack(&inside(&user), "model.tar.gz").unwrap().provenance;
    let first = &contents["predicate"]["buildDefinition"]["resolvedDependencies"][0];
    let sha256 = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(text));
    assert_eq!(first["digest"]["sha256"], sha256.as_str(), "{first}");
}
