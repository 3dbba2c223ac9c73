//! The audit trail: what is done stands in it, from every door; what cannot be recorded is not
//! done; each way to tamper with it is found and located; and changes are told as events.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use smrt::fault::Fault;
use smrt::iam::sigv4::{PathRule, Request, Secret, Signer};
use smrt::iam::time;
use smrt::kms::{Callers, Server};
use smrt::seal::{Context, DEFAULT_ALIAS, Error, KeyService, LocalKeys, Notary, Recorded};
use smrt::spec::uri::Uri;
use smrt::store::Store;
use smrt::telemetry::audit::{self, Audit, Record};
use smrt::trail;

use crate::train::datasets;

/// A folder with a small job.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        let data = datasets().join("phishing");
        let text = format!(
            "[job]\nname = \"phishing\"\n[algorithm]\nname = \"linear-learner\"\n[hyperparameters]\n\
             predictor_type = \"binary_classifier\"\nepochs = 2\nmini_batch_size = 100\n\
             [channels.train]\nuri = \"{}/train.csv\"\nheader = true\nlabel = \"phishing\"\n\
             [output]\nuri = \"models\"\n[resources]\nthreads = 1\n",
            data.display()
        );
        fs::write(place.path("job.toml"), text).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smrt"));
        command.args(arguments).current_dir(self.0.path()).env("SMRT_HOME", self.path("home"));
        command.env_remove("SMRT_AUDIT").env_remove("SMRT_AUDIT_DIGESTS");
        command
    }

    fn done(&self, log: &str, arguments: &[&str]) -> String {
        let output = self.command(arguments).env("SMRT_AUDIT", log).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Names of what was done and of what it came to.
    fn told(&self, log: &str) -> Vec<(String, String)> {
        let mut told = Vec::new();
        audit::read(&self.path(log), |line| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let outcome = match &line.record["additionalEventData"]["outcome"] {
                Value::String(outcome) => outcome.clone(),
                _ => text(&line.record["errorCode"]),
            };
            told.push((text(&line.record["eventName"]), outcome));
        })
        .unwrap();
        told
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_act_of_the_command_line_is_recorded_before_it_is_begun_and_when_it_is_done() {
    let place = Place::new();
    place.done("audit.jsonl", &["train", "job.toml"]);
    place.done("audit.jsonl", &["iam", "create-user", "--user-name", "teller"]);
    place.done("audit.jsonl", &["iam", "list-users"]);
    place.done("audit.jsonl", &["keys", "create", "--alias", "alias/two"]);
    let twice = ["keys", "create", "--alias", "alias/two"];
    assert!(
        !place.command(&twice).env("SMRT_AUDIT", "audit.jsonl").output().unwrap().status.success()
    );
    fs::write(place.path("rows.csv"), "0,0,0,0,0,0,0,0,0\n").unwrap();
    place.done("audit.jsonl", &["predict", "models/phishing/output/model.tar.gz", "rows.csv"]);
    let told = place.told("audit.jsonl");
    let has =
        |name: &str, outcome: &str| told.iter().filter(|(a, b)| a == name && b == outcome).count();
    for name in ["CreateTrainingJob", "CreateUser"] {
        assert_eq!((has(name, "begun"), has(name, "")), (1, 1), "{name}: {told:?}");
    }
    assert_eq!((has("CreateKey", "begun"), has("CreateKey", "")), (2, 1), "{told:?}");
    assert_eq!(told.iter().filter(|(name, _)| name == "CreateKey").count(), 4);
    assert!(has("GenerateDataKey", "") >= 2 && has("Decrypt", "") >= 2, "{told:?}");
    assert_eq!(told[0], ("CreateTrainingJob".into(), "begun".into()));
}

#[test]
fn threat_30_what_cannot_be_recorded_is_not_done() {
    let place = Place::new();
    place.done("audit.jsonl", &["train", "job.toml"]);
    fs::write(place.path("rows.csv"), "0,0,0,0,0,0,0,0,0\n").unwrap();
    let artifact = "models/phishing/output/model.tar.gz";
    for arguments in [
        &["predict", artifact, "rows.csv"][..],
        &["train", "--set", "job.name=other", "job.toml"],
        &["iam", "create-user", "--user-name", "teller"],
        &["keys", "create", "--alias", "alias/two"],
        &["keys", "schedule-deletion", "alias/smrt"],
        &["serve", "--listen", "127.0.0.1:0", artifact],
    ] {
        let output = place.command(arguments).env("SMRT_AUDIT", "/dev/full").output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?} told something");
        assert!(stderr(&output).contains("cannot be recorded"), "{}", stderr(&output));
        assert!(stderr(&output).contains("make room on its disk"), "{}", stderr(&output));
    }
    assert!(!place.path("models/other").exists());
    let keys = place.done("audit.jsonl", &["keys", "list"]);
    assert!(!keys.contains("alias/two") && keys.contains("enabled"), "{keys}");
    assert!(!place.done("audit.jsonl", &["iam", "list-users"]).contains("teller"));
}

#[test]
fn threat_30_a_key_gives_nothing_while_its_use_cannot_be_recorded() {
    let home = tempfile::tempdir().unwrap();
    let local = Arc::new(LocalKeys::new(home.path()));
    let context = Context::of_job("model.tar.gz", "churn").unwrap();
    let (_, wrapped) = local.generate_data_key(DEFAULT_ALIAS, &context).unwrap();
    let full = Arc::new(Audit::open(Path::new("/dev/full")).unwrap());
    let keys = Recorded::new(local.clone(), full, "teller", "local");
    for refused in [
        keys.unwrap(&wrapped, &context).err().unwrap(),
        keys.generate_data_key(DEFAULT_ALIAS, &context).err().unwrap(),
    ] {
        assert!(matches!(refused, Error::Unrecorded { .. }), "{refused}");
        assert!(refused.help().unwrap().contains("make room"));
    }
    let path = home.path().join("audit.jsonl");
    let log = Arc::new(Audit::open(&path).unwrap());
    let keys = Recorded::new(local, log, "teller", "local");
    assert!(keys.unwrap(&wrapped, &context).is_ok());
    let other = Context::of_job("model.tar.gz", "other").unwrap();
    assert!(keys.unwrap(&wrapped, &other).is_err());
    let mut records = Vec::new();
    audit::read(&path, |line| records.push(line.record.clone())).unwrap();
    // They are on the disk by the time the answer is there.
    assert_eq!(records.len(), 2);
    assert_eq!(records[0]["requestParameters"]["encryptionContext"]["smrt:job"], "churn");
    assert_eq!(records[0]["resources"][0]["type"], "AWS::KMS::Key");
    assert_eq!(records[1]["errorCode"], "InvalidCiphertextException");
}

/// Asks a key service, signed; gives status and body.
fn kms(address: std::net::SocketAddr, operation: &str, body: &Value) -> (u16, Value) {
    let (secret, date) = (Secret::new("a-secret".into()), time::to_basic(time::now()));
    let (host, target) = (address.to_string(), format!("TrentService.{operation}"));
    let body = body.to_string();
    let headers: Vec<(&str, &[u8])> = vec![
        ("host", host.as_bytes()),
        ("content-type", b"application/x-amz-json-1.1"),
        ("x-amz-date", date.as_bytes()),
        ("x-amz-target", target.as_bytes()),
    ];
    let signer = Signer {
        access_key: "teller",
        secret: &secret,
        region: "local",
        service: "kms",
        date: &date,
        path: PathRule::Normalised,
    };
    let request = Request { method: "POST", path: "/", query: "", headers: &headers };
    let authorization = signer.authorization(&request, body.as_bytes());
    let mut text = String::from("POST / HTTP/1.1\r\nconnection: close\r\n");
    for (name, value) in &headers {
        text.push_str(&format!("{name}: {}\r\n", String::from_utf8_lossy(value)));
    }
    text.push_str(&format!(
        "user-agent: test\u{9b}2J\r\nauthorization: {authorization}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer[9..12].parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    (status, serde_json::from_str(body).unwrap())
}

#[test]
fn threat_30_the_key_service_answers_nothing_that_it_cannot_record() {
    let home = tempfile::tempdir().unwrap();
    let keys = LocalKeys::new(home.path());
    let callers = || Callers::new().with("teller", "a-secret");
    let serve = |log: &Path| {
        let log = Arc::new(Audit::open(log).unwrap());
        let server = Server::builder(keys.clone()).callers(callers()).audit(log);
        server.listen("127.0.0.1:0").threads(1).start().unwrap()
    };
    let path = home.path().join("audit.jsonl");
    let running = serve(&path);
    let wanted = json!({ "KeyId": "alias/smrt", "KeySpec": "AES_256",
                         "EncryptionContext": { "job": "churn" } });
    assert_eq!(kms(running.address(), "CreateKey", &json!({})).0, 200);
    let (status, made) = kms(running.address(), "GenerateDataKey", &wanted);
    assert_eq!(status, 200, "{made}");
    let opened = json!({ "CiphertextBlob": made["CiphertextBlob"],
                         "EncryptionContext": { "job": "churn" } });
    let (status, told) = kms(running.address(), "Decrypt", &opened);
    assert_eq!((status, &told["Plaintext"]), (200, &made["Plaintext"]));
    running.stop();
    running.wait();
    let text = fs::read_to_string(&path).unwrap();
    for secret in [made["Plaintext"].as_str().unwrap(), made["CiphertextBlob"].as_str().unwrap()] {
        assert!(!text.contains(secret), "a key stands in the log");
    }
    let names: Vec<String> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["eventName"].as_str().unwrap().into()
        })
        .collect();
    assert_eq!(names, ["CreateKey", "CreateKey", "GenerateDataKey", "Decrypt"]);
    assert!(text.is_ascii());

    let running = serve(Path::new("/dev/full"));
    for (operation, body) in
        [("Decrypt", &opened), ("GenerateDataKey", &wanted), ("CreateKey", &json!({}))]
    {
        let before = keys.list().unwrap().len();
        let (status, told) = kms(running.address(), operation, body);
        assert_eq!((status, &told["__type"]), (500, &json!("KMSInternalException")), "{operation}");
        assert!(told.get("Plaintext").is_none());
        assert_eq!(keys.list().unwrap().len(), before, "{operation} was done");
    }
    running.stop();
    running.wait();
}

/// A log of `count` records in `folder`, gone on with.
fn write(path: &Path, from: u64, count: u64) {
    let log = Audit::open(path).unwrap();
    for number in from..from + count {
        let request = format!("{number:036}");
        let record = Record {
            time_s: 1_764_000_000 + number,
            name: "Decrypt",
            request: &request,
            ..Record::default()
        };
        log.record(&record);
    }
}

#[test]
fn threat_29_each_way_to_tamper_with_the_log_or_its_digests_is_located() {
    let folder = tempfile::tempdir().unwrap();
    let (log, store) = (folder.path().join("audit.jsonl"), Store::new(&Default::default()));
    let place = Uri::File(folder.path().join("digests"));
    let notary = Notary::of(&Notary::generate().unwrap()).unwrap();
    let public = notary.public();
    for part in 0..3 {
        write(&log, part * 5, 5);
        let made = trail::digest(&log, &place, &store, &notary).unwrap();
        assert_eq!(made.records, 5);
    }
    write(&log, 15, 2);
    // An hour in which nothing came, and one more.
    trail::digest(&log, &place, &store, &notary).unwrap();
    assert_eq!(trail::digest(&log, &place, &store, &notary).unwrap().records, 0);
    write(&log, 17, 2);
    let verify = || trail::verify(&log, &place, &store, &public);
    let told = verify().unwrap();
    assert_eq!((told.chain.records, told.digests, told.vouched), (19, 5, 17));

    let whole = fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let joined = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let changed = lines[6].replace("Decrypt", "Encrypt");
    let mut edited = lines.clone();
    edited[6] = &changed;
    let mut deleted = lines.clone();
    deleted.remove(6);
    let mut inserted = lines.clone();
    inserted.insert(6, lines[5]);
    let mut moved = lines.clone();
    moved.swap(6, 7);
    for (how, text, line) in [
        ("edited", joined(&edited), 8),
        ("deleted", joined(&deleted), 7),
        ("inserted", joined(&inserted), 7),
        ("moved", joined(&moved), 7),
        // The chain alone sees neither of these.
        ("cut off", joined(&lines[..16]), 16),
        ("cut off where a digest ends", joined(&lines[..15]), 15),
        ("emptied", String::new(), 0),
    ] {
        fs::write(&log, text).unwrap();
        let why = verify().unwrap_err();
        let place = format!("audit.jsonl:{line}: ");
        assert!(why.to_string().contains(&place), "{how}: {why}");
    }
    // Written anew from the eighth line on, with a chain that holds.
    fs::write(&log, joined(&lines[..7])).unwrap();
    write(&log, 100, 12);
    assert!(audit::verify(&log, None).is_ok());
    let why = verify().unwrap_err();
    assert!(why.to_string().contains("audit.jsonl:8: "), "{why}");
    let help = why.help().unwrap();
    let copy = help.split_once(" has the record").unwrap().0;
    assert!(fs::read_to_string(copy).unwrap().contains(lines[7]), "the copy has what was there");
    // And nobody signs it.
    assert!(trail::digest(&log, &place, &store, &notary).is_err());

    fs::write(&log, &whole).unwrap();
    verify().unwrap();
    let mut names: Vec<PathBuf> = fs::read_dir(folder.path().join("digests"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    let named = |number: &str, kind: &str| {
        let fits = |path: &&PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(number) && name.ends_with(kind)
        };
        names.iter().find(fits).unwrap().clone()
    };
    for (file, number) in [
        (named("000002", ".digest.json"), "000003"),
        (named("000001", ".digest.json"), "000002"),
        (named("000003", ".digest.sig"), "000003"),
    ] {
        let bytes = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        let why = verify().unwrap_err().to_string();
        assert!(why.contains(&format!("/{number}_")), "{file:?} deleted: {why}");
        fs::write(&file, &bytes).unwrap();
    }
    let digest = named("000003", ".digest.json");
    let text = fs::read_to_string(&digest).unwrap();
    fs::write(&digest, text.replace("\"records\": 5", "\"records\": 4")).unwrap();
    let why = verify().unwrap_err().to_string();
    assert!(why.contains("/000003_") && why.contains("its signature is not the key's"), "{why}");
    fs::write(&digest, &text).unwrap();
    let stranger = Notary::of(&Notary::generate().unwrap()).unwrap().public();
    assert!(trail::verify(&log, &place, &store, &stranger).is_err());
    verify().unwrap();
}

#[test]
fn the_log_is_signed_into_a_bucket_and_verified_from_there() {
    let (place, server) = (Place::new(), crate::s3::Server::start());
    place.done("audit.jsonl", &["train", "job.toml"]);
    let run = |arguments: &[&str]| {
        let output = place.command(arguments).envs(server.variables()).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let told = run(&["audit", "digest", "--to", "s3://data/trail/host", "audit.jsonl"]);
    assert!(told.starts_with("s3://data/trail/host/000001_"), "{told}");
    let told = run(&["audit", "verify", "--digests", "s3://data/trail/host", "audit.jsonl"]);
    assert!(told.contains("1 digests vouch for "), "{told}");
    // What was copied is a file as CloudTrail delivers them.
    let folder = server.path("data", "trail/host");
    let copies = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let copy =
        copies.into_iter().find(|path| path.to_string_lossy().ends_with(".log.json")).unwrap();
    let copy: Value = serde_json::from_slice(&fs::read(copy).unwrap()).unwrap();
    assert!(copy["Records"].as_array().unwrap().len() >= 4);
    let key = run(&["audit", "key"]);
    assert_eq!(key.trim().len(), 64);
    let sealed = fs::read(place.path("home/audit/key")).unwrap();
    assert_eq!(sealed[0], 2, "the signing key lies in clear");
}

#[test]
fn an_endpoint_records_its_start_its_models_and_its_stop_and_signs_at_the_end() {
    let place = Place::new();
    place.done("train.jsonl", &["train", "job.toml"]);
    let artifact = "models/phishing/output/model.tar.gz";
    let mut serving = place
        .command(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--audit",
            "audit.jsonl",
            "--events",
            "events.jsonl",
            artifact,
        ])
        .env("SMRT_AUDIT_DIGESTS", "digests")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut greeting = String::new();
    let mut out = BufReader::new(serving.stdout.take().unwrap());
    out.read_line(&mut greeting).unwrap();
    assert!(greeting.starts_with("serving phishing"), "{greeting}");
    let status = Command::new("kill").arg(serving.id().to_string()).status().unwrap();
    assert!(status.success());
    assert!(serving.wait().unwrap().success());
    let told: Vec<String> = place.told("audit.jsonl").into_iter().map(|(name, _)| name).collect();
    for name in ["Decrypt", "ModelLoaded", "CreateEndpoint", "DeleteEndpoint"] {
        assert!(told.iter().any(|other| other == name), "{name}: {told:?}");
    }
    let verified =
        place.command(&["audit", "verify", "--digests", "digests", "audit.jsonl"]).output();
    let verified = verified.unwrap();
    let text = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(
        text.contains(&format!("vouch for {} of them", told.len())),
        "{text}{}",
        stderr(&verified)
    );
    let events = fs::read_to_string(place.path("events.jsonl")).unwrap();
    let events: Vec<Value> =
        events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of =
        |at: usize, key: &str| events[at]["detail"][key].as_str().unwrap_or_default().to_owned();
    assert_eq!(events[0]["detail-type"], "SageMaker Model State Change");
    assert_eq!(
        (of(1, "EndpointStatus"), of(2, "EndpointStatus")),
        ("IN_SERVICE".into(), "DELETING".into())
    );
    assert_eq!(
        events[1]["resources"][0],
        "arn:aws:sagemaker:us-east-1:000000000000:endpoint/phishing"
    );
}

/// A receiver that refuses the first `busy` requests, and what it was posted.
fn receiver(busy: usize, count: usize) -> (String, std::thread::JoinHandle<Vec<(String, String)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook?token=hidden", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let begun = std::time::Instant::now();
        listener.set_nonblocking(true).unwrap();
        let mut posted = Vec::new();
        let mut seen = 0;
        while posted.len() < count {
            // A sender that gave up must not leave the test waiting.
            let Ok((mut stream, _)) = listener.accept() else {
                assert!(begun.elapsed().as_secs() < 60, "{} of {count} came", posted.len());
                std::thread::park_timeout(std::time::Duration::from_millis(5));
                continue;
            };
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            // A connection may carry several.
            loop {
                let (mut signature, mut length, mut line) = (String::new(), 0, String::new());
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    break;
                }
                while !line.trim().is_empty() {
                    line.clear();
                    reader.read_line(&mut line).unwrap();
                    let lower = line.to_ascii_lowercase();
                    if let Some(value) = lower.strip_prefix("x-smrt-signature: ") {
                        signature = value.trim().to_owned();
                    } else if let Some(value) = lower.strip_prefix("content-length: ") {
                        length = value.trim().parse().unwrap();
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                seen += 1;
                let status = if seen <= busy { "503 Busy" } else { "204 No Content" };
                stream
                    .write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes())
                    .unwrap();
                if seen > busy {
                    posted.push((signature, String::from_utf8(body).unwrap()));
                }
                if posted.len() == count {
                    break;
                }
            }
        }
        posted
    });
    (url, thread)
}

#[test]
fn a_training_job_is_told_to_a_file_a_signed_webhook_and_a_command() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let (url, thread) = receiver(1, 2);
    let script = place.path("tell.sh");
    fs::write(&script, "#!/bin/sh\ncat >> told.jsonl\necho >> told.jsonl\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    let places = ["--events", "events.jsonl", "--events", &url, "--events", "exec:./tell.sh"];
    let arguments = [&["train"][..], &places, &["job.toml"]].concat();
    // Nobody believes an unsigned event.
    let unsigned = place.command(&arguments).env_remove("SMRT_EVENTS_SECRET").output().unwrap();
    assert_eq!(unsigned.status.code(), Some(2));
    assert!(
        stderr(&unsigned).contains("SMRT_EVENTS_SECRET") && !stderr(&unsigned).contains("hidden")
    );
    let output = place.command(&arguments).env("SMRT_EVENTS_SECRET", "both know").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let told = stderr(&output);
    assert!(!told.contains("could not be delivered") && !told.contains("panicked"), "{told}");
    let posted = thread.join().unwrap();
    let lines = |name: &str| -> Vec<Value> {
        let text = fs::read_to_string(place.path(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let events = lines("events.jsonl");
    let states: Vec<&str> =
        events.iter().map(|event| event["detail"]["TrainingJobStatus"].as_str().unwrap()).collect();
    assert_eq!(states, ["InProgress", "Completed"]);
    assert_eq!(lines("told.jsonl"), events);
    let last = &events[1];
    assert_eq!(last["detail-type"], "SageMaker Training Job State Change");
    assert_eq!(last["source"], "aws.sagemaker");
    assert!(last["detail"]["CreationTime"].is_string(), "times of jobs are texts");
    let artifact = last["detail"]["ModelArtifacts"]["S3ModelArtifacts"].as_str().unwrap();
    assert!(artifact.ends_with("models/phishing/output/model.tar.gz"), "{artifact}");
    for ((signature, body), event) in posted.iter().zip(&events) {
        assert_eq!(serde_json::from_str::<Value>(body).unwrap(), *event);
        let (at, given) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"both know").unwrap();
        mac.update(format!("{at}.{body}").as_bytes());
        assert_eq!(hex::encode(mac.finalize().into_bytes()), given);
    }
}

#[test]
fn a_receiver_that_is_not_there_does_not_keep_a_job_from_its_end() {
    let place = Place::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/hook");
    let arguments = [
        "train",
        "--set",
        "output.uri=none/../out",
        "--events",
        &url,
        "--events",
        "events.jsonl",
        "job.toml",
    ];
    let output = place.command(&arguments).env("SMRT_EVENTS_SECRET", "x").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("could not be delivered"), "{}", stderr(&output));
    // A job that fails says so, too.
    let failing = [
        "train",
        "--set",
        "channels.train.uri=nowhere.csv",
        "--events",
        "failed.jsonl",
        "job.toml",
    ];
    assert!(!place.command(&failing).output().unwrap().status.success());
    let text = fs::read_to_string(place.path("failed.jsonl")).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["detail"]["TrainingJobStatus"], "Failed");
    assert!(last["detail"]["FailureReason"].as_str().unwrap().starts_with("ClientError: "));
}

#[test]
fn threat_15_no_secret_is_in_anything_that_a_job_leaves_or_says() {
    let (place, server) = (Place::new(), crate::s3::Server::start());
    for name in ["train.csv", "validation.csv"] {
        let bytes = fs::read(datasets().join("phishing").join(name)).unwrap();
        server.put("data", name, &bytes);
    }
    let run = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.envs(server.variables()).env("SMRT_AUDIT", "audit.jsonl").env("SMRT_LOG", "trace");
        command.env("SMRT_EVENTS_SECRET", "canary-of-events").output().unwrap()
    };
    run(&["iam", "create-user", "--user-name", "teller"]);
    let made = run(&["iam", "create-access-key", "--user-name", "teller"]);
    let key: Value = serde_json::from_slice(&made.stdout).unwrap();
    let told_once = key["AccessKey"]["SecretAccessKey"].as_str().unwrap().to_owned();
    let mut said = vec![made.stderr];
    let train =
        ["train", "--set", "channels.train.uri=s3://data/train.csv", "--events", "events.jsonl"];
    for more in [&["job.toml"][..], &["--set", "output.uri=s3://nowhere/x", "job.toml"]] {
        let output = run(&[&train[..], more].concat());
        said.extend([output.stdout, output.stderr]);
    }
    for arguments in
        [&["audit", "tail", "audit.jsonl"][..], &["keys", "list"], &["iam", "list-users"]]
    {
        let output = run(arguments);
        said.extend([output.stdout, output.stderr]);
    }
    let mut folders = vec![place.0.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => said.push(fs::read(path).unwrap()),
            }
        }
    }
    assert!(said.len() > 12, "{}", said.len());
    for secret in [crate::s3::SECRET_ACCESS_KEY, "canary-of-events", &told_once] {
        let found =
            |bytes: &Vec<u8>| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!said.iter().any(found), "a secret was told or kept");
    }
}
