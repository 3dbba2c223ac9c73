//! A key service elsewhere as a job's own: moto's KMS and another smrt, with the AWS Encryption SDK
//! as the witness that what a job wrote is what KMS's own clients read.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use smrt::fault::{Fault, Kind};
use smrt::http::TlsFiles;
use smrt::iam::door::Door;
use smrt::iam::state::Whom;
use smrt::keyring::KeyRing;
use smrt::kms::{Callers, Running, Server};
use smrt::seal::{Context, DEFAULT_ALIAS, Error, KeyService, LocalKeys, Writer, open_to_vec};
use smrt::spec::train::{Hidden, Kms, SealKey, Storage};
use smrt::store::Environment;

const KEY_ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "secret/of/the/tests";

/// Another smrt, with its own keys.
fn served(home: &Path, tls: Option<TlsFiles>) -> Running {
    let server = Server::builder(LocalKeys::new(home))
        .listen("127.0.0.1:0")
        .callers(Callers::new().with(KEY_ID, SECRET))
        .threads(1);
    match tls {
        Some(files) => server.tls(files),
        None => server,
    }
    .start()
    .unwrap()
}

fn access(endpoint: &str) -> Kms {
    Kms {
        endpoint: Some(endpoint.to_owned()),
        region: Some("us-east-1".into()),
        access_key_id: Some(KEY_ID.into()),
        secret_access_key: Some(Hidden(SECRET.into())),
        ..Kms::default()
    }
}

/// A user without keys of their own who names a key service.
fn ring_of(home: &Path, kms: Kms) -> KeyRing {
    let storage = Storage { kms, ..Storage::default() };
    KeyRing::new(LocalKeys::new(home), &storage, &SealKey::Default, Environment::default())
}

fn sealed(keys: &dyn KeyService, key: &str, content: &[u8]) -> Result<Vec<u8>, Error> {
    let context = Context::of_job("model.tar.gz", "churn")?;
    let mut writer = Writer::new(Vec::new(), keys, key, &context)?;
    writer.write_all(content).unwrap();
    writer.finish()
}

fn opened(keys: &dyn KeyService, sealed: &[u8]) -> Result<Vec<u8>, Error> {
    open_to_vec(sealed, keys, &Context::new(), 1 << 30)
}

/// The whole life of a job in the binary, with the key service in the job file or in a variable.
fn job(folder: &Path, url: &str, key: &str) -> String {
    let rows: String = (0..400)
        .map(|row| {
            let (x, y) = (f64::from(row % 17) / 17.0, f64::from(row % 13) / 13.0);
            format!("{},{x},{y}\n", u8::from(x + y > 1.0))
        })
        .collect();
    std::fs::write(folder.join("train.csv"), rows).unwrap();
    std::fs::write(folder.join("rows.csv"), "0.1,0.1\n0.9,0.9\n").unwrap();
    format!(
        "[job]\nname = \"demo\"\n[algorithm]\nname = \"linear-learner\"\n[hyperparameters]\n\
         predictor_type = \"binary_classifier\"\nepochs = 2\nnum_models = 1\n\
         [channels.train]\nuri = \"train.csv\"\n\
         [output]\nuri = \"out\"\nkms_key = \"{key}\"\n[resources]\nthreads = 1\n\
         [storage.kms]\nendpoint = \"{url}\"\nregion = \"us-east-1\"\n"
    )
}

const ARTIFACT: &str = "out/demo/output/model.tar.gz";

/// The binary, as somebody who may use the key service.
fn smrt(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_smrt"))
        .args(arguments)
        .env("SMRT_HOME", folder.join("home"))
        .env("HOME", folder)
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env_remove("AWS_SESSION_TOKEN")
        .env_remove("AWS_ENDPOINT_URL_KMS")
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
}

#[track_caller]
fn fine(folder: &Path, arguments: &[&str]) -> String {
    let (code, said, error) = smrt(folder, arguments);
    assert_eq!(code, 0, "{arguments:?}: {error}");
    said
}

#[test]
fn another_smrt_keeps_the_key_of_a_job_from_check_to_reseal() {
    let (home, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = folder.path();
    let theirs = LocalKeys::new(home.path());
    let arn = theirs.create(Some("alias/job")).unwrap().arn;
    let running = served(home.path(), None);
    let url = format!("http://{}", running.address());
    std::fs::write(folder.join("job.toml"), job(folder, &url, "alias/job")).unwrap();

    assert!(fine(folder, &["check", "job.toml"]).contains("alias/job"));
    let report = fine(folder, &["train", "--format", "json", "job.toml"]);
    assert!(report.contains(&arn), "{report}");
    assert!(!folder.join("home/keys").exists(), "a local key was made");
    let stored = std::fs::read(folder.join(ARTIFACT)).unwrap();
    assert!(opened(&theirs, &stored).unwrap().starts_with(&[0x1f, 0x8b]));

    let predict = ["predict", "--kms-endpoint", &url, ARTIFACT, "rows.csv"];
    assert_eq!(fine(folder, &predict).lines().count(), 2);
    let (code, _, error) = smrt(folder, &["predict", ARTIFACT, "rows.csv"]);
    assert!(code != 0 && error.contains("there is no key") || error.contains("no key"), "{error}");
    let shown = fine(folder, &["inspect", "--kms-endpoint", &url, ARTIFACT]);
    assert!(shown.contains("linear-learner") && shown.contains(&arn), "{shown}");

    std::fs::write(
        folder.join("transform.toml"),
        format!(
            "[job]\nname = \"scores\"\n[model]\nuri = \"{ARTIFACT}\"\n[input]\nuri = \"rows.csv\"\n\
             [output]\nuri = \"scores\"\nkms_key = \"{arn}\"\n\
             [storage.kms]\nendpoint = \"{url}\"\n"
        ),
    )
    .unwrap();
    fine(folder, &["transform", "transform.toml"]);
    let scores = std::fs::read(folder.join("scores/rows.csv.out")).unwrap();
    assert_eq!(scores[0], 2, "not sealed");
    assert_eq!(opened(&theirs, &scores).unwrap().split(|byte| *byte == b'\n').count(), 3);

    // To this machine's own key, and open without the service.
    fine(folder, &["reseal", "--kms-endpoint", &url, "--key", DEFAULT_ALIAS, ARTIFACT]);
    running.stop();
    running.wait();
    assert_eq!(fine(folder, &["predict", ARTIFACT, "rows.csv"]).lines().count(), 2);
}

#[test]
fn an_unreachable_key_service_is_told_before_training() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    std::fs::write(folder.join("job.toml"), job(folder, &url, "alias/job")).unwrap();
    for command in ["check", "train"] {
        let (code, _, error) = smrt(folder, &[command, "job.toml"]);
        assert_ne!(code, 0, "{command}");
        for part in ["cannot be reached", url.as_str(), "AWS_ENDPOINT_URL_KMS"] {
            assert!(error.contains(part), "{command}: {part} is not in {error}");
        }
    }
    assert!(!folder.join("out").exists());
    // In the clear beyond this machine: never asked.
    let text = job(folder, "http://keys.example", "alias/job");
    std::fs::write(folder.join("job.toml"), text).unwrap();
    let (code, _, error) = smrt(folder, &["check", "job.toml"]);
    assert!(code == 2 && error.contains("in the clear"), "{error}");
}

#[test]
fn policies_of_the_other_smrt_decide_and_a_refusal_names_action_and_key() {
    let (home, mine) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let state = super::iam::state::state(home.path());
    let mut access_key = None;
    state
        .change(|all| {
            all.create_user("trainer", "/", None)?;
            let allow = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
                "Action": ["kms:GenerateDataKey"], "Resource": "*",
                "Condition": {"StringEquals": {"kms:EncryptionContext:smrt:job": "churn"}}}]}"#;
            all.put_policy(Whom::User("trainer"), "own", ("own", allow))?;
            access_key = Some(all.create_access_key("trainer")?);
            Ok(())
        })
        .unwrap();
    let access_key = access_key.unwrap();
    let theirs = LocalKeys::new(home.path());
    let arn = theirs.create(Some("alias/job")).unwrap().arn;
    let running = Server::builder(theirs.clone())
        .listen("127.0.0.1:0")
        .door(Door::of_service(state, "kms", "local").unwrap())
        .threads(1)
        .start()
        .unwrap();
    let kms = Kms {
        region: Some("local".into()),
        access_key_id: Some(access_key.id.clone()),
        secret_access_key: Some(Hidden(access_key.secret.expose().to_owned())),
        ..access(&format!("http://{}", running.address()))
    };
    let ring = ring_of(mine.path(), kms.clone());
    let stored = sealed(&ring, "alias/job", b"weights").unwrap();
    assert_eq!(opened(&theirs, &stored).unwrap(), b"weights");
    let error = opened(&ring, &stored).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    let said = format!("{error}\n{}", error.help().unwrap());
    assert!(said.contains("kms:Decrypt") && said.contains(&arn), "{said}");
    assert!(said.contains("[storage.kms] of the job file"), "{said}");
    // Another job's context: the policy's condition.
    let context = Context::of_job("model.tar.gz", "fraud").unwrap();
    let error = ring.generate_data_key("alias/job", &context).unwrap_err();
    assert!(error.help().unwrap().contains("kms:GenerateDataKey"), "{error}");

    // Somebody else's secret, and a region that is not theirs.
    let wrong = Kms { secret_access_key: Some(Hidden("x".repeat(40))), ..kms.clone() };
    let error = sealed(&ring_of(mine.path(), wrong), "alias/job", b"").unwrap_err();
    assert!(error.to_string().contains("does not accept the credentials"), "{error}");
    let elsewhere = Kms { region: Some("eu-west-1".into()), ..kms };
    let error = sealed(&ring_of(mine.path(), elsewhere), "alias/job", b"").unwrap_err();
    assert!(error.help().unwrap().contains("region"), "{error}");
    running.stop();
    running.wait();
}

#[test]
fn a_key_service_behind_tls_is_trusted_by_its_authority_alone() {
    let (home, mine) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let keys = LocalKeys::new(home.path());
    keys.create(Some("alias/job")).unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (home.path().join("cert.pem"), home.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let files = TlsFiles { certificate: certificate.clone(), key, client_ca: None };
    let running = served(home.path(), Some(files));
    let kms = access(&format!("https://localhost:{}", running.address().port()));
    let trusting = Kms { ca_bundle: Some(certificate), ..kms.clone() };
    let ring = ring_of(mine.path(), trusting);
    let stored = sealed(&ring, "alias/job", b"weights").unwrap();
    assert_eq!(opened(&ring, &stored).unwrap(), b"weights");
    let error = sealed(&ring_of(mine.path(), kms), "alias/job", b"").unwrap_err();
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    running.stop();
    running.wait();
}

/// Answers each request with the next of `answers`, the last one for ever; counts them.
fn scripted(answers: Vec<(u16, String)>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            if stream.read_exact(&mut body).is_err() {
                continue;
            }
            let at = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            let (status, body) = &answers[at];
            let _ = write!(
                stream.get_mut(),
                "HTTP/1.1 {status} x\r\nlocation: http://127.0.0.1:1/\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    (url, asked)
}

#[test]
fn a_busy_key_service_is_asked_again_and_one_that_refuses_is_not() {
    use base64::Engine;
    let mine = tempfile::tempdir().unwrap();
    let plain = base64::engine::general_purpose::STANDARD.encode([7; 32]);
    let good =
        format!(r#"{{"KeyId": "arn:aws:x", "Plaintext": "{plain}", "CiphertextBlob": "AA=="}}"#);
    let busy = (400, r#"{"__type": "ThrottlingException"}"#.to_owned());
    let ask = |answers: Vec<(u16, String)>| {
        let (url, asked) = scripted(answers);
        let context = Context::of_job("model.tar.gz", "churn").unwrap();
        let found = ring_of(mine.path(), access(&url)).generate_data_key("alias/job", &context);
        (found.map(|(key, _)| *key.expose()), asked.load(Ordering::SeqCst))
    };
    let (key, asked) = ask(vec![busy.clone(), (500, "oops".into()), (200, good.clone())]);
    assert_eq!((key.unwrap(), asked), ([7; 32], 3));
    let (error, asked) = ask(vec![busy]);
    assert!(error.unwrap_err().to_string().contains("ThrottlingException"));
    assert_eq!(asked, 5);
    for (status, body, wanted) in [
        (400, r#"{"__type": "NotFoundException", "message": "no"}"#, "there is no key"),
        (
            400,
            r#"{"__type": "KMSInvalidStateException", "message": "x is pending deletion."}"#,
            "pending",
        ),
        (307, "", "not as KMS answers"),
        (200, "<html>", "not as KMS answers"),
        (200, r#"{"KeyId": "arn:aws:x", "CiphertextBlob": "AA=="}"#, "has no Plaintext"),
        (200, r#"{"KeyId": "a", "CiphertextBlob": "AA==", "Plaintext": "AA=="}"#, "32 bytes"),
    ] {
        let (error, asked) = ask(vec![(status, body.to_owned())]);
        let error = error.unwrap_err();
        assert!(error.to_string().contains(wanted), "{wanted}: {error}");
        assert_eq!(asked, 1, "{wanted}");
        assert!(!format!("{error:?}").contains(SECRET));
    }
    let (error, asked) = ask(vec![(200, "x".repeat(100 << 10))]);
    assert!(error.unwrap_err().to_string().contains("too long") && asked == 5, "{asked}");
}

/// A process that ends when dropped.
struct Moto {
    child: Child,
    url: String,
}

impl Moto {
    /// moto's server on a free port; `None`, with the reason printed, where there is none.
    fn start(python: &std::ffi::OsStr) -> Option<Moto> {
        let there = Command::new(python).args(["-c", "import moto.server"]).output().ok()?;
        if !there.status.success() {
            println!("skipped: SMRT_PYTHON has no moto[server]");
            return None;
        }
        let mut child = Command::new(python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let at = line.find("http://127.0.0.1:")?;
            Some(line[at..].trim().to_owned())
        });
        // It goes on writing a line for each request.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Moto { child, url: url.expect("moto says where it listens") })
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn python(url: &str, folder: &Path, step: &str) -> Option<String> {
    let Some(python) = std::env::var_os("SMRT_PYTHON").filter(|path| !path.is_empty()) else {
        println!("skipped: SMRT_PYTHON does not name a Python with boto3 and aws-encryption-sdk");
        return None;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/kms_job.py");
    let done = Command::new(python)
        .args([script, url, folder.to_str().unwrap(), step])
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env_remove("AWS_SESSION_TOKEN")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    Some(said)
}

/// A job under a key of the server at `url`; the Encryption SDK opens what it wrote, and what the
/// Encryption SDK wrote is a model here.
fn both_ways(url: &str, name_of_key: impl Fn(&str) -> String, minds_states: bool) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(arn) = python(url, folder, "make") else { return };
    let text = job(folder, url, &name_of_key(&arn));
    std::fs::write(folder.join("job.toml"), text).unwrap();
    assert!(fine(folder, &["check", "job.toml"]).contains("no mistakes"));
    let report = fine(folder, &["train", "--format", "json", "job.toml"]);
    assert!(report.contains(&arn), "{report}");
    let ours = folder.join("ours.sealed");
    std::fs::copy(folder.join(ARTIFACT), &ours).unwrap();
    let archive = opened(&ring_of(folder, access(url)), &std::fs::read(&ours).unwrap()).unwrap();
    std::fs::write(folder.join("theirs.plain"), &archive).unwrap();
    assert_eq!(python(url, folder, "check").unwrap(), "done");
    assert!(std::fs::read(folder.join("ours.opened")).unwrap() == archive);
    let predict = ["predict", "--kms-endpoint", url, "theirs.sealed", "rows.csv"];
    assert_eq!(fine(folder, &predict).lines().count(), 2);

    // moto's decrypts under a disabled key, too.
    if !minds_states {
        return;
    }
    python(url, folder, "disable").unwrap();
    let (code, _, error) = smrt(folder, &predict);
    assert!(code == 1 && error.contains("disabled"), "{error}");
}

#[test]
fn a_job_s_key_is_moto_s_and_the_encryption_sdk_reads_and_writes_its_artifacts() {
    let python = std::env::var_os("SMRT_PYTHON").filter(|path| !path.is_empty());
    let Some(moto) = python.as_deref().and_then(Moto::start) else {
        println!("skipped: SMRT_PYTHON does not name a Python with moto[server]");
        return;
    };
    both_ways(&moto.url, str::to_owned, false);
}

#[test]
fn a_job_s_key_is_another_smrt_s_and_the_encryption_sdk_reads_and_writes_its_artifacts() {
    let home = tempfile::tempdir().unwrap();
    let running = served(home.path(), None);
    both_ways(&format!("http://{}", running.address()), |_| "alias/job".to_owned(), true);
    running.stop();
    running.wait();
}

/// A job's folder whose artifact has its key beside it, under a local key.
fn detached_job(folder: &Path, output: &str, more: &str) {
    let text = job(folder, "http://127.0.0.1:1", "alias/a");
    let text = text.split("[storage.kms]").next().unwrap();
    let text = text.replace(
        "uri = \"out\"\nkms_key = \"alias/a\"",
        &format!("uri = \"{output}\"\nkms_key = \"alias/a\"\nkeys = \"detached\""),
    );
    std::fs::write(folder.join("job.toml"), format!("{text}{more}")).unwrap();
    for alias in ["alias/a", "alias/b"] {
        fine(folder, &["keys", "create", "--alias", alias]);
    }
    fine(folder, &["train", "job.toml"]);
}

#[test]
fn a_detached_artifact_is_moved_replaced_shredded_and_made_whole_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    detached_job(folder, "out", "");
    let (artifact, sidecar) = (folder.join(ARTIFACT), folder.join(format!("{ARTIFACT}.keys.json")));
    let read = |path: &Path| std::fs::read(path).unwrap();
    let answers = |expected: bool| {
        let (code, said, error) = smrt(folder, &["predict", ARTIFACT, "rows.csv"]);
        assert_eq!(code == 0 && said.lines().count() == 2, expected, "{error}");
        error
    };
    answers(true);
    assert!(fine(folder, &["inspect", ARTIFACT]).contains(".keys.json"));

    let (before, old) = (read(&artifact), read(&sidecar));
    fine(folder, &["reseal", "--rewrap", ARTIFACT, "--key", "alias/b"]);
    assert!(read(&artifact) == before, "the artifact was touched");
    fine(folder, &["keys", "disable", "alias/a"]);
    answers(true);
    std::fs::write(&sidecar, &old).unwrap();
    assert!(answers(false).contains("disabled"));
    fine(folder, &["keys", "enable", "alias/a"]);
    answers(true);

    // Trained again over it: a new file and its sidecar, and nothing of the old one left.
    fine(folder, &["train", "job.toml"]);
    answers(true);
    assert!(!String::from_utf8(read(&sidecar)).unwrap().contains("previous"));
    std::fs::write(&sidecar, &old).unwrap();
    assert!(answers(false).contains("another file's"));
    std::fs::remove_file(&sidecar).unwrap();
    assert!(answers(false).contains("was shredded"));

    // Attached, and back.
    fine(folder, &["train", "--set", "output.keys=attached", "job.toml"]);
    answers(true);
    fine(folder, &["reseal", "--detached", ARTIFACT, "--key", "alias/b"]);
    answers(true);
    assert!(sidecar.exists());
    fine(folder, &["reseal", ARTIFACT, "--key", "alias/a"]);
    assert!(!sidecar.exists());
    answers(true);
    let (code, _, error) = smrt(folder, &["reseal", "--rewrap", ARTIFACT, "--key", "alias/b"]);
    assert!(code != 0 && error.contains("keys.json"), "{error}");
}

#[test]
fn a_detached_artifact_in_a_bucket_moves_to_another_key() {
    let server = super::s3::Server::start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let storage = format!(
        "[storage.s3]\nendpoint = \"{}\"\nregion = \"us-east-1\"\naccess_key_id = \"{}\"\n\
         secret_access_key = \"{}\"\n",
        server.endpoint(),
        super::s3::ACCESS_KEY_ID,
        super::s3::SECRET_ACCESS_KEY
    );
    detached_job(folder, "s3://data/models", &storage);
    let stored =
        |suffix: &str| server.path("data", &format!("models/demo/output/model.tar.gz{suffix}"));
    let before = std::fs::read(stored("")).unwrap();
    let old = std::fs::read(stored(".keys.json")).unwrap();
    let uri = "s3://data/models/demo/output/model.tar.gz";
    let with_store = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smrt"));
        command.args(arguments).env("SMRT_HOME", folder.join("home")).current_dir(folder);
        let done = command.envs(server.variables()).output().unwrap();
        let error = String::from_utf8(done.stderr).unwrap();
        (done.status.success(), error)
    };
    let (worked, error) = with_store(&["reseal", "--rewrap", uri, "--key", "alias/b"]);
    assert!(worked, "{error}");
    assert!(std::fs::read(stored("")).unwrap() == before, "the artifact was touched");
    assert!(std::fs::read(stored(".keys.json")).unwrap() != old);
    fine(folder, &["keys", "disable", "alias/a"]);
    let (worked, error) = with_store(&["predict", uri, "rows.csv"]);
    assert!(worked, "{error}");
    std::fs::remove_file(stored(".keys.json")).unwrap();
    let (worked, error) = with_store(&["predict", uri, "rows.csv"]);
    assert!(!worked && error.contains("was shredded"), "{error}");
}

#[test]
fn a_sidecar_moves_by_one_re_encrypt_and_its_key_never_leaves_the_service() {
    use smrt::seal::{Beside, detached, rewrap};
    let (home, mine) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let state = super::iam::state::state(home.path());
    let mut access_key = None;
    state
        .change(|all| {
            all.create_user("mover", "/", None)?;
            // Whoever moves a fleet need not be able to open it.
            let allow = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
                "Action": ["kms:Encrypt", "kms:ReEncrypt*"], "Resource": "*"}]}"#;
            all.put_policy(Whom::User("mover"), "own", ("own", allow))?;
            access_key = Some(all.create_access_key("mover")?);
            Ok(())
        })
        .unwrap();
    let access_key = access_key.unwrap();
    let theirs = LocalKeys::new(home.path());
    for alias in ["alias/one", "alias/other"] {
        theirs.create(Some(alias)).unwrap();
    }
    let running = Server::builder(theirs.clone())
        .listen("127.0.0.1:0")
        .door(Door::of_service(state, "kms", "local").unwrap())
        .threads(1)
        .start()
        .unwrap();
    let ring = ring_of(
        mine.path(),
        Kms {
            region: Some("local".into()),
            access_key_id: Some(access_key.id.clone()),
            secret_access_key: Some(Hidden(access_key.secret.expose().to_owned())),
            ..access(&format!("http://{}", running.address()))
        },
    );
    let context = Context::of_job("model.tar.gz", "churn").unwrap();
    let (mut writer, sidecar) = detached(Vec::new(), &ring, "alias/one", &context).unwrap();
    writer.write_all(b"weights").unwrap();
    let sealed = writer.finish().unwrap();
    let moved = rewrap(&mut &sealed[..], &sidecar, &ring, "alias/other", "x").unwrap();
    assert_ne!(moved, sidecar);
    // The mover cannot open it, before or after; the keys' owner can, by the new key alone.
    let opens = |keys: Arc<dyn KeyService>, sidecar: &smrt::seal::Sidecar| {
        let bytes = sidecar.bytes();
        let beside = Beside::new(keys, "x", move || Ok(Some(bytes.clone())));
        open_to_vec(&sealed[..], &beside, &Context::new(), 1 << 20)
    };
    theirs.set_enabled("alias/one", false).unwrap();
    assert_eq!(opens(Arc::new(theirs.clone()), &moved).unwrap(), b"weights");
    assert!(opens(Arc::new(theirs), &sidecar).is_err());
    let error = opens(Arc::new(ring), &moved).unwrap_err();
    assert!(error.to_string().contains("kms:Decrypt"), "{error}");
    running.stop();
    running.wait();
}
