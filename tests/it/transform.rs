//! Batch transform through the real binary: one output per input, one answer per record, the same
//! answers as `smrt predict`, after kills too, to a folder and to a bucket.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::s3::Server;

struct Place {
    folder: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

const MODEL: &str = "models/demo/output/model.tar.gz";

impl Place {
    /// A folder with a model of two columns in it.
    fn new() -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap(), variables: Vec::new() };
        place.write(
            "train.csv",
            &rows(0, 400).map(|row| format!("{}\n", row.0)).collect::<String>(),
        );
        place.write(
            "train.toml",
            "[job]\nname = \"demo\"\nseed = 1\n[algorithm]\nname = \"linear-learner\"\n\
             [hyperparameters]\npredictor_type = \"binary_classifier\"\nepochs = 3\n\
             num_models = 1\n[channels.train]\nuri = \"train.csv\"\n\
             [output]\nuri = \"models\"\n[resources]\ndevice = \"cpu\"\nthreads = 1\n",
        );
        place.done(&["train", "train.toml"]);
        place.job("");
        place
    }

    fn home(&self) -> &Path {
        self.folder.path()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The job, with more below its sections.
    fn job(&self, more: &str) {
        self.write(
            "job.toml",
            &format!(
                "[job]\nname = \"scores\"\n[model]\nuri = \"{MODEL}\"\n[input]\nuri = \"in\"\n\
                 split_type = \"Line\"\n[output]\nuri = \"out\"\nassemble_with = \"Line\"\n{more}"
            ),
        );
    }

    fn smrt(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smrt"));
        command.args(arguments).current_dir(self.home()).env("SMRT_HOME", self.path("keys"));
        command.env_remove("SMRT_LOG").envs(self.variables.iter().cloned());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.smrt(arguments).output().unwrap()
    }

    fn done(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.run(arguments);
        assert!(status.success(), "{arguments:?}: {}", text(&stderr));
        text(&stdout)
    }

    /// Runs and expects failure; what it said.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        text(&output.stderr)
    }

    /// What `smrt predict` answers for the rows of a file.
    fn predicted(&self, name: &str) -> String {
        self.done(&["predict", MODEL, name])
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Rows of two columns: with their label, and without.
fn rows(from: usize, to: usize) -> impl Iterator<Item = (String, String)> {
    (from..to).map(|row| {
        let (x, y) = ((row % 17) as f32 / 17.0, (row % 13) as f32 / 13.0);
        let features = format!("{x},{y}");
        (format!("{},{features}", u8::from(x + y > 1.0)), features)
    })
}

fn lines(from: usize, to: usize) -> String {
    rows(from, to).map(|(_, features)| features + "\n").collect()
}

/// All names below a folder, hidden ones too.
fn names(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(at).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path.strip_prefix(folder).unwrap().display().to_string()),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn each_object_gets_one_output_with_the_answers_of_predict_in_order() {
    let place = Place::new();
    for (name, from, to) in [("a.csv", 0, 3000), ("deep/b.csv", 5, 6), ("c", 10, 700)] {
        place.write(&format!("in/{name}"), &lines(from, to));
    }
    let report = place.done(&["transform", "job.toml"]);
    assert!(report.contains("3,691 records from 3 objects"), "{report}");
    assert_eq!(
        names(&place.path("out")),
        [".scores.transform", "a.csv.out", "c.out", "deep/b.csv.out"]
    );
    for name in ["a.csv", "deep/b.csv", "c"] {
        let expected = place.predicted(&format!("in/{name}"));
        assert_eq!(place.read(&format!("out/{name}.out")), expected, "{name}");
    }
    let json = place.done(&["transform", "--format", "json", "job.toml"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["records"], &json["objects"]), (&3691.into(), &3.into()));
}

#[test]
fn compressed_objects_and_last_lines_without_an_end_are_read() {
    let place = Place::new();
    let plain = lines(0, 500);
    place.write("plain.csv", &plain);
    let expected = place.predicted("plain.csv");
    place.write("in/short.csv", plain.trim_end());
    place.write("in/dos.csv", &plain.replace('\n', "\r\n"));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, plain.as_bytes()).unwrap();
    fs::write(place.path("in/a.csv.gz"), gzip.finish().unwrap()).unwrap();
    place.done(&["transform", "job.toml"]);
    for name in ["short.csv", "dos.csv", "a.csv.gz"] {
        assert_eq!(place.read(&format!("out/{name}.out")), expected, "{name}");
    }
    place.write("in2/plain.csv", &plain);
    let only = ["--set", "input.compression=Gzip", "--set", "input.uri=in2", "job.toml"];
    let said = place.refused(&[&["transform"][..], &only].concat());
    assert!(said.contains("plain.csv: it is not gzip"), "{said}");
}

#[test]
fn rows_of_parquet_are_answered_as_the_same_rows_of_text() {
    let place = Place::new();
    place.write("rows.csv", &lines(0, 3000));
    place.write("in/.keep", "");
    place.done(&["data", "convert", "--no-label", "rows.csv", "in/rows.parquet"]);
    let expected = place.predicted("rows.csv");
    assert_eq!(place.predicted("in/rows.parquet"), expected);
    let set = |more: &[&str]| {
        let sets = [
            "input.content_type=application/x-parquet",
            "input.split_type=None",
            "output.accept=text/csv",
        ];
        let mut arguments = vec!["transform"];
        sets.iter().chain(more).for_each(|set| arguments.extend(["--set", *set]));
        arguments.push("job.toml");
        place.run(&arguments)
    };
    let output = set(&[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).contains("3,000 records from 1 object"),
        "{}",
        text(&output.stdout)
    );
    assert_eq!(place.read("out/rows.parquet.out"), expected);
    set(&["output.accept=application/json", "output.assemble_with=None"]);
    let json: serde_json::Value =
        serde_json::from_str(&place.read("out/rows.parquet.out")).unwrap();
    assert_eq!(json["predictions"].as_array().unwrap().len(), 3000);

    place.write("three.csv", "1,2,3\n");
    place.done(&["data", "convert", "--no-label", "three.csv", "in/three.parquet"]);
    let said = text(&set(&[]).stderr);
    assert!(said.contains("three.parquet: the file has 3 features where 2 are expected"), "{said}");
    let said = text(&set(&["input.split_type=Line"]).stderr);
    assert!(said.contains("input.split_type: Line does not split application/x-parquet"), "{said}");
}

/// TensorFlow's frame: length, checksum, bytes, checksum.
fn tfrecord(payload: &[u8]) -> Vec<u8> {
    fn masked(bytes: &[u8]) -> [u8; 4] {
        let step = |sum: u32, _| if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 };
        let sum = !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step));
        sum.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
    }
    let length = (payload.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), payload, &masked(payload)].concat()
}

#[test]
fn records_in_frames_of_tfrecord_are_answered_one_by_one() {
    let place = Place::new();
    place.write("rows.csv", &lines(0, 700));
    let expected = place.predicted("rows.csv");
    let frames = |wrap: fn(&str) -> Vec<u8>| -> Vec<u8> {
        rows(0, 700).flat_map(|(_, row)| tfrecord(&wrap(&row))).collect()
    };
    let csv = frames(|row| row.as_bytes().to_vec());
    place.write("in/.keep", "");
    fs::write(place.path("in/rows.tfrecord"), &csv).unwrap();
    let run = |content: &str| {
        let content = format!("input.content_type={content}");
        let sets = [&content, "input.split_type=TFRecord", "output.accept=text/csv"];
        let mut arguments = vec!["transform"];
        sets.iter().for_each(|set| arguments.extend(["--set", *set]));
        arguments.push("job.toml");
        place.run(&arguments)
    };
    assert!(run("text/csv").status.success());
    assert_eq!(place.read("out/rows.tfrecord.out"), expected);
    fs::write(
        place.path("in/rows.tfrecord"),
        frames(|row| format!("{{\"features\":[{row}]}}").into_bytes()),
    )
    .unwrap();
    assert!(run("application/jsonlines").status.success());
    assert_eq!(place.read("out/rows.tfrecord.out"), expected);

    let mut damaged = csv;
    let at = damaged.len() / 2;
    damaged[at] ^= 1;
    fs::write(place.path("in/rows.tfrecord"), damaged).unwrap();
    fs::remove_file(place.path("out/rows.tfrecord.out")).unwrap();
    let said = text(&run("text/csv").stderr);
    assert!(said.contains("rows.tfrecord: record ") && said.contains("checksum"), "{said}");
    assert!(!place.path("out/rows.tfrecord.out").exists());
}

#[test]
fn a_manifest_names_the_objects_to_answer() {
    let place = Place::new();
    for (name, from, to) in [("a.csv", 0, 30), ("deep/b.csv", 5, 60), ("c.csv", 10, 70)] {
        place.write(&format!("in/{name}"), &lines(from, to));
    }
    place.write("list.manifest", r#"[{"prefix": "in/"}, "deep/b.csv", "a.csv"]"#);
    let run = |manifest: &str| {
        let uri = format!("input.uri={manifest}");
        let arguments =
            ["transform", "--set", &uri, "--set", "input.s3_data_type=ManifestFile", "job.toml"];
        place.run(&arguments)
    };
    let output = run("list.manifest");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(names(&place.path("out")), [".scores.transform", "a.csv.out", "deep/b.csv.out"]);
    for name in ["a.csv", "deep/b.csv"] {
        let expected = place.predicted(&format!("in/{name}"));
        assert_eq!(place.read(&format!("out/{name}.out")), expected, "{name}");
    }
    place.write("bad.manifest", r#"[{"prefix": "in/"}, "gone.csv", "../a.csv"]"#);
    let said = text(&run("bad.manifest").stderr);
    assert!(said.contains("entry 3: \"../a.csv\" has \"..\" in it"), "{said}");
}

#[test]
fn filters_and_joins_do_what_sagemaker_documents() {
    let place = Place::new();
    let ids: String =
        rows(0, 300).enumerate().map(|(at, (_, row))| format!("id-{at},{row}\n")).collect();
    place.write("in/ids.csv", &ids);
    place.write("rows.csv", &lines(0, 300));
    let scores = place.predicted("rows.csv");
    place.job(
        "[data_processing]\ninput_filter = \"$[1:]\"\njoin_source = \"Input\"\n\
         output_filter = \"$[0,-1]\"\n",
    );
    place.done(&["transform", "job.toml"]);
    let joined: String =
        scores.lines().enumerate().map(|(at, s)| format!("id-{at},{s}\n")).collect();
    assert_eq!(place.read("out/ids.csv.out"), joined);
    place.done(&["transform", "--set", "data_processing.output_filter=$", "job.toml"]);
    let whole: String =
        ids.lines().zip(scores.lines()).map(|(i, s)| format!("{i},{s}\n")).collect();
    assert_eq!(place.read("out/ids.csv.out"), whole);

    let json: String = rows(0, 300)
        .enumerate()
        .map(|(at, (_, row))| format!("{{\"id\": {at}.50, \"features\": [{row}]}}\n"))
        .collect();
    place.write("in3/r.jsonl", &json);
    let answers = place.done(&["predict", "--format", "jsonl", MODEL, "rows.csv"]);
    place.job("[data_processing]\ninput_filter = \"$.features\"\njoin_source = \"Input\"\n");
    let jsonl = ["--set", "input.uri=in3", "--set", "input.content_type=application/jsonlines"];
    let run = |more: &[&str]| {
        place.done(&[&["transform"][..], &jsonl, more, &["job.toml"]].concat());
        place.read("out/r.jsonl.out")
    };
    let expected: String = json
        .lines()
        .zip(answers.lines())
        .map(|(r, a)| format!("{},\"SageMakerOutput\":{a}}}\n", r.strip_suffix('}').unwrap()))
        .collect();
    assert_eq!(run(&[]), expected);
    let some: String = answers
        .lines()
        .enumerate()
        .map(|(at, a)| format!("{{\"id\":{at}.50,\"SageMakerOutput\":{a}}}\n"))
        .collect();
    let filter = "data_processing.output_filter=$['id','SageMakerOutput']";
    assert_eq!(run(&["--set", filter]), some);
    // One request for each record: its answer is a document of its own.
    let documents: String = answers
        .lines()
        .enumerate()
        .map(|(at, a)| {
            format!("{{\"id\":{at}.50,\"SageMakerOutput\":{{\"predictions\":[{a}]}}}}\n")
        })
        .collect();
    let single = [
        "--set",
        filter,
        "--set",
        "output.accept=application/json",
        "--set",
        "transform.batch_strategy=SingleRecord",
    ];
    assert_eq!(run(&single), documents);
}

#[test]
fn documents_and_frames_go_through_as_sagemaker_pairs_them() {
    let place = Place::new();
    place.write("rows.csv", &lines(0, 2000));
    let whole = place.done(&["predict", "--format", "json", MODEL, "rows.csv"]);
    let rows: Vec<String> = lines(0, 2000).lines().map(|row| format!("[{row}]")).collect();
    place.write("in/d.json", &format!("{{\"instances\": [{}]}}", rows.join(",")));
    let set = |list: &[&str]| {
        let mut arguments = vec!["transform".to_owned()];
        arguments.extend(list.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]));
        arguments.push("job.toml".into());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        place.done(&arguments);
    };
    let none = ["input.split_type=None", "output.assemble_with=None"];
    set(&[&none[..], &["input.content_type=application/json"]].concat());
    assert_eq!(place.read("out/d.json.out"), whole.trim_end());

    // Rows of CSV answered by one document, in pieces, and joined to one text.
    place.write("in2/rows.csv", &lines(0, 2000));
    set(&[&none[..], &["input.uri=in2", "output.accept=application/json"]].concat());
    assert_eq!(place.read("out/rows.csv.out"), whole.trim_end());

    place.done(&["data", "convert", "--no-label", "rows.csv", "in3/r.recordio"]);
    let frames = ["input.uri=in3", "input.content_type=application/x-recordio-protobuf"];
    set(&[
        &frames[..],
        &["output.assemble_with=None", "input.split_type=RecordIO", "output.accept=text/csv"],
    ]
    .concat());
    assert_eq!(place.read("out/r.recordio.out"), place.predicted("rows.csv"));
}

#[test]
fn a_wrong_record_fails_its_object_by_line_and_the_others_are_done() {
    let place = Place::new();
    place.write("in/good.csv", &lines(0, 100));
    let mut bad: Vec<String> = lines(0, 40_000).lines().map(str::to_owned).collect();
    bad[35_122] = "0.5,seven".into();
    place.write("in/word.csv", &(bad.join("\n") + "\n"));
    place.write("in/empty.csv", "0.5,0.5\n\n0.25,0.5\n");
    place.write("in/wide.csv", "0.5,0.5\n0.5,0.5,0.5\n");
    let said = place.refused(&["transform", "job.toml"]);
    for part in [
        "word.csv, line 35123: column 2: \"seven\" is not a number",
        "empty.csv, line 2: the line is empty",
        "wide.csv, line 2: the line has 3 columns where the model takes 2",
        "3 of 4 objects failed, and 1 are done",
        "--resume",
    ] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    assert_eq!(names(&place.path("out")), [".scores.transform", "good.csv.out"]);

    for name in ["word.csv", "empty.csv", "wide.csv"] {
        place.write(&format!("in/{name}"), &lines(0, 10));
    }
    let report = place.done(&["transform", "--resume", "job.toml"]);
    assert!(report.contains("30 records from 3 objects"), "{report}");
    assert!(report.contains("1 object done before"), "{report}");
}

#[test]
fn only_outputs_of_the_same_model_and_settings_are_gone_on_from() {
    let place = Place::new();
    place.write("in/a.csv", &lines(0, 10));
    place.write("out/a.csv.out", "older than the run\n");
    // Nothing has begun here yet, so an output that lies there is not ours.
    place.done(&["transform", "--resume", "job.toml"]);
    let expected = place.predicted("in/a.csv");
    assert_eq!(place.read("out/a.csv.out"), expected);
    let said = {
        let output = place.run(&[
            "transform",
            "--resume",
            "--set",
            "output.accept=text/csv;x=1",
            "job.toml",
        ]);
        assert_eq!(output.status.code(), Some(2));
        text(&output.stderr)
    };
    assert!(said.contains("begun with another model, other settings"), "{said}");

    // A changed input and a new one are answered, and nothing else is.
    place.write("in/b.csv", &lines(0, 5));
    let report = place.done(&["transform", "--resume", "job.toml"]);
    assert!(report.contains("5 records from 1 object"), "{report}");
    place.write("in/a.csv", &lines(3, 6));
    let report = place.done(&["transform", "--resume", "job.toml"]);
    assert!(report.contains("3 records from 1 object"), "{report}");
    assert_eq!(place.read("out/a.csv.out"), place.predicted("in/a.csv"));
}

/// Kills the job again and again, then lets it end. `out` is where outputs lie on this machine.
fn killed_and_gone_on(place: &Place, inputs: &[String], out: &Path) {
    let expected: Vec<String> =
        inputs.iter().map(|name| place.predicted(&format!("in/{name}"))).collect();
    let whole = || {
        let mut count = 0;
        for (name, expected) in inputs.iter().zip(&expected) {
            if let Ok(found) = fs::read_to_string(out.join(format!("{name}.out"))) {
                assert!(found == *expected, "{name} is not whole");
                count += 1;
            }
        }
        count
    };
    let (mut before, mut kills) = (0, 0);
    while kills < 4 && before < inputs.len() {
        let mut child = place
            .smrt(&["transform", "--resume", "job.toml"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let outputs = || inputs.iter().filter(|n| out.join(format!("{n}.out")).exists()).count();
        while outputs() < before + 3 && child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not go on");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        let now = whole();
        assert!(now >= before, "{before} outputs were there, now {now}");
        before = now;
    }
    assert!(kills > 1, "the job ended before it was killed twice: give it more to do");
    place.done(&["transform", "--resume", "job.toml"]);
    assert_eq!(whole(), inputs.len());
}

fn many(place: &Place) -> Vec<String> {
    let inputs: Vec<String> = (0..40).map(|at| format!("{at:02}.csv")).collect();
    for (at, name) in inputs.iter().enumerate() {
        place.write(&format!("in/{name}"), &lines(at, at + 8_000));
    }
    inputs
}

#[test]
fn threat_33_a_transform_killed_at_any_time_goes_on_and_no_output_is_ever_half_there() {
    let place = Place::new();
    let inputs = many(&place);
    killed_and_gone_on(&place, &inputs, &place.path("out"));
    let left = names(&place.path("out"));
    assert_eq!(left.len(), inputs.len() + 1, "something is left behind: {left:?}");
}

#[test]
fn a_bucket_is_transformed_into_another_and_kills_leave_whole_outputs() {
    let server = Server::start();
    server.make_bucket("scores");
    let mut place = Place::new();
    place.variables = server.variables();
    let inputs = many(&place);
    for name in &inputs {
        server.put("data", &format!("today/{name}"), place.read(&format!("in/{name}")).as_bytes());
    }
    let job = place.read("job.toml");
    let job = job.replace("uri = \"in\"", "uri = \"s3://data/today/\"");
    place.write("job.toml", &job.replace("uri = \"out\"", "uri = \"s3://scores/today\""));
    // The model is read from a bucket too.
    let model = fs::read(place.path(MODEL)).unwrap();
    server.put("data", "models/model.tar.gz", &model);
    let text = place.read("job.toml");
    place.write("job.toml", &text.replace(MODEL, "s3://data/models/model.tar.gz"));
    killed_and_gone_on(&place, &inputs, &server.path("scores", "today"));
}

#[test]
fn an_output_of_many_parts_lands_whole_in_a_bucket() {
    let server = Server::start();
    let mut place = Place::new();
    place.variables = server.variables();
    // Joined, so that the output is as long as the input: several parts of 8 MiB.
    let rows: String = (0..700_000).map(|at| format!("{at},0.{:02},0.25\n", at % 90)).collect();
    server.put("data", "big/rows.csv", rows.as_bytes());
    place.job("[data_processing]\ninput_filter = \"$[1:]\"\njoin_source = \"Input\"\n");
    let set = ["--set", "input.uri=s3://data/big/", "--set", "output.uri=s3://data/out"];
    place.done(&[&["transform"][..], &set, &["job.toml"]].concat());
    let out = fs::read_to_string(server.path("data", "out/rows.csv.out")).unwrap();
    assert!(out.len() > 16 << 20, "{}", out.len());
    assert_eq!(out.lines().count(), 700_000);
    for (at, (line, row)) in out.lines().zip(rows.lines()).enumerate() {
        assert!(line.starts_with(row) && line.len() > row.len() + 2, "line {at}: {line}");
    }
    assert!(server.unfinished_uploads().is_empty());
}

#[test]
fn memory_does_not_grow_with_the_object() {
    let place = Place::new();
    let block = lines(0, 17 * 13 * 40);
    let peak = |copies: usize| {
        place.write("in/rows.csv", &block.repeat(copies));
        let bytes = block.len() * copies;
        let mut child = place
            .smrt(&["transform", "job.toml"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0_usize;
        while child.try_wait().unwrap().is_none() {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
            peak = peak.max(kib.unwrap_or(0_usize) << 10);
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(child.wait().unwrap().success());
        (bytes, peak)
    };
    if !Path::new("/proc/self/status").exists() {
        println!("skipped: this system does not tell a process's memory in /proc");
        return;
    }
    let (small, small_peak) = peak(60);
    let (large, large_peak) = peak(480);
    assert!(large - small > 60 << 20, "{small} and {large} bytes");
    let grown = large_peak.saturating_sub(small_peak);
    assert!(grown < 16 << 20, "{small_peak} bytes for {small}, {large_peak} for {large}");
}

#[test]
fn sealed_outputs_are_opened_by_their_key() {
    let place = Place::new();
    place.write("in/a.csv", &lines(0, 100));
    let report = place.done(&["transform", "--set", "output.kms_key=alias/smrt", "job.toml"]);
    assert!(report.contains("key     arn:smrt:kms:local"), "{report}");
    let sealed = fs::File::open(place.path("out/a.csv.out")).unwrap();
    let keys = smrt::seal::LocalKeys::new(&place.path("keys"));
    let opened = smrt::seal::open_to_vec(sealed, &keys, &smrt::seal::Context::new(), 1 << 20);
    assert_eq!(text(&opened.unwrap()), place.predicted("in/a.csv"));
}

#[test]
fn a_stopped_transform_says_how_to_go_on() {
    let place = Place::new();
    for at in 0..200 {
        place.write(&format!("in/{at}.csv"), &lines(at, at + 20_000));
    }
    let mut child = place
        .smrt(&["transform", "job.toml"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while names(&place.path("out")).len() < 3 && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let mut said = String::new();
    std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    assert!(said.contains("of 200 objects") && said.contains("--resume"), "{said}");
    assert!(!names(&place.path("out")).iter().any(|name| name.ends_with(".part")));
}
