//! An endpoint that knows its callers: real signatures of boto3, and of a caller of our own.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use smrt::iam::door::Door as Guarded;
use smrt::iam::sigv4::{PathRule, Request, Secret, Signer};
use smrt::iam::state::{Asked, State, Status, Whom};
use smrt::iam::time;

use super::*;
use crate::iam::state::state;

const INVOKE: &str = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
    "Action": "sagemaker:InvokeEndpoint",
    "Resource": "arn:aws:sagemaker:us-east-1:000000000000:endpoint/churn-demo",
    "Condition": {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}}}"#;
const TRUST: &str = r#"{"Statement": {"Effect": "Allow",
    "Principal": {"Service": "batch.amazonaws.com"}, "Action": "sts:AssumeRole"}}"#;

/// A key of somebody: id, secret, token.
type Key = (String, Secret, Option<Secret>);

/// Those who may and those who may not, by what they are.
fn people(state: &State) -> Vec<(&'static str, Key)> {
    state
        .change(|all| {
            let mut keys = Vec::new();
            for name in ["allowed", "denied", "inactive"] {
                all.create_user(name, "/", None)?;
                let key = all.create_access_key(name)?;
                if name != "denied" {
                    all.put_policy(Whom::User(name), "invoke", ("invoke", INVOKE))?;
                }
                if name == "inactive" {
                    all.update_access_key(name, &key.id, Status::Inactive)?;
                }
                keys.push((name, (key.id, key.secret, None)));
            }
            all.create_role("Batch", "/", ("trust", TRUST), None, 3_600)?;
            all.put_policy(Whom::Role("Batch"), "invoke", ("invoke", INVOKE))?;
            let asked = Asked { role: "Batch", name: "job-1", ..Asked::default() };
            let session = all.assume_role("batch.amazonaws.com", &asked)?;
            keys.push(("session", (session.access_key, session.secret, Some(session.token))));
            let nobody = ("AKIAAAAAAAAAAAAAAAAA".into(), Secret::new("a".repeat(40)), None);
            keys.push(("nobody", nobody));
            Ok(keys)
        })
        .unwrap()
}

struct Guard {
    running: Running,
    keys: Vec<(&'static str, Key)>,
    state: State,
    door: Arc<Guarded>,
    // Gone with the value.
    _folder: tempfile::TempDir,
}

fn guarded(tokens: Option<&str>) -> Guard {
    let folder = tempfile::tempdir().unwrap();
    let state = state(folder.path());
    let keys = people(&state);
    let door = Guarded::open(state.clone(), "us-east-1").unwrap();
    let mut builder = builder(Linear::default()).door(Arc::clone(&door));
    if let Some(tokens) = tokens {
        let file = folder.path().join("tokens");
        std::fs::write(&file, tokens).unwrap();
        builder = builder.tokens(file);
    }
    let running = builder.start().unwrap();
    Guard { running, keys, state, door, _folder: folder }
}

impl Guard {
    fn key(&self, name: &str) -> &Key {
        &self.keys.iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// A signed request, as bytes; `change` may do what it likes to it behind the signature.
    fn asked(&self, name: &str, target: &str, body: &str, change: impl Fn(&mut String)) -> Reply {
        self.asked_with(name, target, None, body, change)
    }

    /// The same with one more header, signed too.
    fn asked_with(
        &self,
        name: &str,
        target: &str,
        more: Option<(&str, &str)>,
        body: &str,
        change: impl Fn(&mut String),
    ) -> Reply {
        let (id, secret, token) = self.key(name);
        let date = time::to_basic(time::now());
        let host = self.running.address().to_string();
        let mut headers: Vec<(&str, &[u8])> = vec![
            ("host", host.as_bytes()),
            ("content-type", b"text/csv"),
            ("x-amz-date", date.as_bytes()),
        ];
        headers.extend(more.map(|(name, value)| (name, value.as_bytes())));
        if let Some(token) = token {
            headers.push(("x-amz-security-token", token.expose().as_bytes()));
        }
        let signer = Signer {
            access_key: id,
            secret,
            region: "us-east-1",
            service: "sagemaker",
            date: &date,
            path: PathRule::Normalised,
        };
        let method = if body.is_empty() { "GET" } else { "POST" };
        let request = Request { method, path: target, query: "", headers: &headers };
        let authorization = signer.authorization(&request, body.as_bytes());
        let mut text = format!("{method} {target} HTTP/1.1\r\n");
        for (name, value) in &headers {
            text.push_str(&format!("{name}: {}\r\n", std::str::from_utf8(value).unwrap()));
        }
        text.push_str(&format!(
            "authorization: {authorization}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ));
        change(&mut text);
        Client::new(self.running.address()).send(&text).receive().unwrap()
    }
}

const RUNTIME: &str = "/endpoints/churn-demo/invocations";

#[test]
fn boto3_signs_and_is_let_in_or_told_why_not() {
    let python = std::env::var_os("SMRT_PYTHON").filter(|path| !path.is_empty());
    let Some(python) = python else {
        return println!("skipped: SMRT_PYTHON does not name a Python with boto3");
    };
    let guard = guarded(None);
    let keys: serde_json::Map<String, Value> = guard
        .keys
        .iter()
        .map(|(name, (id, secret, token))| {
            let token = token.as_ref().map(Secret::expose);
            ((*name).to_owned(), json!([id, secret.expose(), token]))
        })
        .collect();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/iam_door.py");
    let url = format!("http://{}", guard.running.address());
    let mut child = Command::new(python)
        .args([script, &url, "churn-demo"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(Value::Object(keys).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    for name in ["allowed", "odd", "session", "young"] {
        assert_eq!(told[name]["code"], "", "{name}: {}", told[name]);
        assert!(told[name]["body"].as_str().unwrap().contains("score"), "{name}");
    }
    let denied = &told["denied"];
    assert_eq!(
        [&denied["code"], &denied["status"]],
        [&json!("AccessDeniedException"), &json!(403)]
    );
    assert_eq!(
        denied["message"],
        "User: arn:aws:iam::000000000000:user/denied is not authorized to perform: \
         sagemaker:InvokeEndpoint on resource: \
         arn:aws:sagemaker:us-east-1:000000000000:endpoint/churn-demo because no identity-based \
         policy allows the sagemaker:InvokeEndpoint action"
    );
    let wrong = &told["wrong_secret"];
    assert_eq!(
        [&wrong["code"], &wrong["status"]],
        [&json!("InvalidSignatureException"), &json!(403)]
    );
    for name in ["unknown_key", "inactive", "no_token", "bad_token"] {
        assert_eq!(&told[name], wrong, "{name} looks different from a wrong secret");
    }
    for (name, code) in [
        ("region", "IncompleteSignatureException"),
        ("unsigned", "MissingAuthenticationTokenException"),
        ("old", "RequestTimeTooSkewed"),
        ("early", "RequestTimeTooSkewed"),
    ] {
        assert_eq!(told[name]["code"], code, "{name}: {}", told[name]);
    }
}

#[test]
fn every_path_but_health_asks_who_it_is() {
    let guard = guarded(None);
    let address = guard.running.address();
    let plain = |method: &str, path: &str| {
        let text =
            format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\n\r\n");
        Client::new(address).send(&text).receive().unwrap().status
    };
    for path in ["/ping", "/v2/health/live", "/v2/health/ready"] {
        assert_eq!(plain("GET", path), 200, "{path}");
    }
    for path in [
        "/",
        "/metrics",
        "/execution-parameters",
        "/v2",
        "/v2/models/churn-demo",
        "/models",
        "/nothing",
    ] {
        assert_eq!(plain("GET", path), 403, "{path}");
    }
    for path in
        ["/invocations", RUNTIME, "/v2/models/churn-demo/infer", "/endpoints/other/invocations"]
    {
        assert_eq!(plain("POST", path), 403, "{path}");
    }
    for path in ["/invocations", RUNTIME] {
        assert!(close_to(
            guard.asked("allowed", path, "1,2,0.5", |_| ()).score(),
            score(&[1.0, 2.0, 0.5])
        ));
        assert_eq!(guard.asked("denied", path, "1,2,0.5", |_| ()).status, 403);
    }
    // To invoke is all that the policy allows.
    let metrics = guard.asked("allowed", "/metrics", "", |_| ());
    assert_eq!(metrics.status, 403);
    assert!(metrics.body.contains("sagemaker:DescribeEndpoint"), "{}", metrics.body);
}

#[test]
fn a_request_changed_on_its_way_is_refused_and_the_connection_goes_on() {
    let guard = guarded(None);
    for (from, to) in
        [("1,2,0.5", "1,2,0.6"), ("text/csv", "text/cvs"), ("POST /endpoints", "POST /Endpoints")]
    {
        let reply =
            guard.asked("allowed", RUNTIME, "1,2,0.5", |text| *text = text.replace(from, to));
        assert_eq!(reply.status, 403, "{from}: {reply:?}");
    }
    let added = guard.asked("allowed", RUNTIME, "1,2,0.5", |text| {
        *text = text.replace("host:", "x-amzn-sagemaker-target-variant: b\r\nhost:");
    });
    assert_eq!(added.status, 400, "{added:?}");
    assert!(added.body.contains("SignedHeaders leaves out"), "{}", added.body);
}

#[test]
fn a_key_that_is_deleted_and_a_policy_that_changes_are_seen_without_a_restart() {
    let guard = guarded(None);
    assert_eq!(guard.asked("allowed", RUNTIME, "1,2,0.5", |_| ()).status, 200);
    let id = &guard.key("allowed").0;
    guard
        .state
        .change(|all| {
            all.put_policy(Whom::User("denied"), "invoke", ("invoke", INVOKE))?;
            all.delete_access_key("allowed", id)
        })
        .unwrap();
    guard.door.look();
    assert_eq!(guard.asked("allowed", RUNTIME, "1,2,0.5", |_| ()).status, 403);
    assert_eq!(guard.asked("denied", RUNTIME, "1,2,0.5", |_| ()).status, 200);
}

#[test]
fn a_token_stands_for_the_user_of_its_name_beside_signatures() {
    let guard = guarded(Some(
        "allowed the-token-of-the-allowed\ndenied the-token-of-the-denied\nstranger the-token-of-a-stranger\n",
    ));
    let bearer = |token: &str| {
        let text = invocation(&format!("Authorization: Bearer {token}\r\n"), "1,2,0.5");
        Client::new(guard.running.address()).send(&text).receive().unwrap().status
    };
    assert_eq!(bearer("the-token-of-the-allowed"), 200);
    assert_eq!(bearer("the-token-of-the-denied"), 403);
    assert_eq!(bearer("the-token-of-a-stranger"), 403);
    assert_eq!(bearer("the-token-of-nobody-at-all"), 401);
    assert_eq!(guard.asked("allowed", RUNTIME, "1,2,0.5", |_| ()).status, 200);
    assert_eq!(guard.asked("nobody", RUNTIME, "1,2,0.5", |_| ()).status, 403);
}

#[test]
fn every_invocation_is_recorded_with_who_and_what_came_of_it_and_without_its_payload() {
    let folder = tempfile::tempdir().unwrap();
    let state = state(folder.path());
    let keys = people(&state);
    let door = Guarded::open(state.clone(), "us-east-1").unwrap();
    let file = folder.path().join("audit.jsonl");
    let audit = Arc::new(smrt::telemetry::audit::Audit::open(&file).unwrap());
    let running = builder(Linear::default()).door(Arc::clone(&door)).audit(audit).start().unwrap();
    let guard = Guard { running, keys, state, door, _folder: folder };
    let body = "1.25,2.5,0.123456";
    for (name, status) in [("allowed", 200), ("denied", 403), ("nobody", 403), ("session", 200)] {
        assert_eq!(guard.asked(name, RUNTIME, body, |_| ()).status, status);
    }
    assert_eq!(guard.asked("allowed", RUNTIME, "1,2", |_| ()).status, 424);
    guard.running.stop();
    let Guard { running, _folder, .. } = guard;
    running.wait();
    let mut records = Vec::new();
    let chain =
        smrt::telemetry::audit::read(&file, |line| records.push(line.record.clone())).unwrap();
    assert_eq!(chain.records, 5);
    let told = |record: &Value| {
        let who = record["userIdentity"]["arn"].as_str().unwrap_or("nobody").to_owned();
        let who = who.rsplit(':').next().unwrap().to_owned();
        (who, record["errorCode"].as_str().unwrap_or("").to_owned())
    };
    let told: Vec<(String, String)> = records.iter().map(told).collect();
    let expected = [
        ("user/allowed", ""),
        ("user/denied", "AccessDeniedException"),
        ("nobody", "InvalidSignatureException"),
        ("assumed-role/Batch/job-1", ""),
        ("user/allowed", "ModelError"),
    ];
    let told: Vec<(&str, &str)> = told.iter().map(|(who, why)| (&**who, &**why)).collect();
    assert_eq!(told, expected);
    assert_eq!(records[0]["eventName"], "InvokeEndpoint");
    assert_eq!(records[0]["additionalEventData"]["rows"], 1);
    assert_eq!(
        records[0]["resources"][0]["ARN"],
        "arn:aws:sagemaker:us-east-1:000000000000:endpoint/churn-demo"
    );
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("0.123456"), "the payload was recorded");

    let smrt = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smrt"));
        let output = command.arg("audit").args(arguments).arg(&file).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (whole, shown) = smrt(&["verify", "--head", &chain.head]);
    assert!(whole && shown.contains("5 records, the chain holds"), "{shown}");
    let (_, denied) = smrt(&["query", "--error-code", "AccessDeniedException"]);
    assert_eq!(denied.lines().count(), 1);
    assert_eq!(smrt(&["query", "--principal", "allowed"]).1.lines().count(), 2);
    assert_eq!(smrt(&["tail", "-n", "2"]).1.lines().count(), 2);
    std::fs::write(&file, text.replacen("user/denied", "user/allowed", 1)).unwrap();
    assert!(!smrt(&["verify"]).0);
}

#[test]
fn a_state_without_anybody_opens_no_door() {
    let folder = tempfile::tempdir().unwrap();
    let why = Guarded::open(state(folder.path()), "us-east-1").unwrap_err();
    assert!(why.to_string().contains("no user or role"), "{why}");
}

#[test]
fn threat_24_a_name_that_is_spelt_otherwise_reaches_no_endpoint() {
    let guard = guarded(None);
    assert_eq!(guard.asked("allowed", RUNTIME, "1,2,0.5", |_| ()).status, 200);
    for target in [
        "/endpoints/CHURN-DEMO/invocations",
        "/endpoints/churn%2Ddemo/invocations",
        "/endpoints/churn-demo%2f..%2fchurn-demo/invocations",
        "/endpoints/other/../churn-demo/invocations",
        "/endpoints/other/..%2fchurn-demo/invocations",
        "/endpoints/./churn-demo/invocations",
        "/endpoints//churn-demo/invocations",
        "/endpoints/churn-demo./invocations",
        "/endpoints/churn-demo%00/invocations",
        "/endpoints/%C3%A7hurn-demo/invocations",
        "/endpoints/churn\u{2010}demo/invocations",
        "/endpoints/arn:aws:sagemaker:us-east-1:000000000000:endpoint%2Fchurn-demo/invocations",
    ] {
        let status = guard.asked("allowed", target, "1,2,0.5", |_| ()).status;
        assert!((400..500).contains(&status), "{target}: {status}");
    }
}

#[test]
fn threat_40_a_wrong_secret_and_an_unknown_key_are_refused_alike_in_words_and_in_time() {
    use std::time::Instant;
    let guard = guarded(None);
    let (id, ..) = guard.key("allowed").clone();
    let wrong = Secret::new("x".repeat(40));
    let date = time::to_basic(time::now());
    let base: Vec<(&str, &[u8])> = vec![
        ("host", b"127.0.0.1"),
        ("content-type", b"text/csv"),
        ("x-amz-date", date.as_bytes()),
    ];
    let body = b"1,2,0.5";
    let authorization = |access_key: &str| {
        let signer = Signer {
            access_key,
            secret: &wrong,
            region: "us-east-1",
            service: "sagemaker",
            date: &date,
            path: PathRule::Normalised,
        };
        let request = Request { method: "POST", path: RUNTIME, query: "", headers: &base };
        signer.authorization(&request, body)
    };
    let signed = [authorization(&id), authorization("AKIAAAAAAAAAAAAAAAAA")];
    let refuse = |authorization: &str| {
        let mut headers = base.clone();
        headers.push(("authorization", authorization.as_bytes()));
        let request = Request { method: "POST", path: RUNTIME, query: "", headers: &headers };
        let source = std::net::IpAddr::from([127, 0, 0, 1]);
        let arrival = smrt::iam::door::Arrival { request, named: None, private: false, source };
        let begun = Instant::now();
        let asked = guard.door.ask(&arrival).unwrap();
        let why = asked.prove(&guard.door, &arrival, body).unwrap_err();
        (begun.elapsed().as_secs_f64(), format!("{} {} {why}", why.code(), why.status()))
    };
    assert_eq!(refuse(&signed[0]).1, refuse(&signed[1]).1);
    // One after the other, so that whatever slows the machine slows both; the lower quartile, since
    // what is lost to other processes only ever adds. The bound is wide: a lookup that ended early
    // would save the HMACs and with them most of the time.
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..10_000 {
        let at = round % 2;
        times[at].push(refuse(&signed[at]).0);
    }
    let quartile = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 4]
    };
    let [known, unknown] = times.each_mut().map(quartile);
    let ratio = known / unknown;
    assert!((0.75..1.33).contains(&ratio), "{known} s for a known key, {unknown} s for another");
}

#[test]
fn a_policy_for_one_of_many_models_holds_for_each_of_its_names() {
    use super::many::{ROW, of_folder, pair, put};
    let policy = r#"{"Statement": [{"Effect": "Allow", "Action": "sagemaker:InvokeEndpoint", "Resource": "*",
        "Condition": {"StringEquals": {"sagemaker:TargetModel": "a.tar.gz"}}}]}"#;
    let but = r#"{"Statement": [{"Effect": "Allow", "Action": "sagemaker:InvokeEndpoint", "Resource": "*"},
        {"Effect": "Deny", "Action": "sagemaker:InvokeEndpoint", "Resource": "*",
        "Condition": {"StringEquals": {"sagemaker:TargetModel": "b.tar.gz"}}}]}"#;
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("models");
    put(&place, "a.tar.gz", &pair().bytes[0]);
    put(&place, "b/output/model.tar.gz", &pair().bytes[1]);
    put(&place, "c.tar.gz", &pair().bytes[1]);
    let state = state(folder.path());
    let mut keys = people(&state);
    for (name, text) in [("only-a", policy), ("all-but-b", but)] {
        let key = state.change(|all| {
            all.create_user(name, "/", None)?;
            all.put_policy(Whom::User(name), "invoke", ("invoke", text))?;
            all.create_access_key(name)
        });
        let key = key.unwrap();
        keys.push((name, (key.id, key.secret, None)));
    }
    let door = Guarded::open(state.clone(), "us-east-1").unwrap();
    let server = Server::many(of_folder(&place)).listen("127.0.0.1:0").threads(2).workers(2);
    let running = server.door(Arc::clone(&door)).start().unwrap();
    let guard = Guard { running, keys, state, door, _folder: folder };
    let tensors = json!({"inputs": [{"name": "input", "shape": [1, 9], "datatype": "FP32",
        "data": ROW.split(',').map(|value| value.parse::<f32>().unwrap()).collect::<Vec<_>>()}]});
    let tensors = tensors.to_string();
    let header = |name: &str, model: &str| {
        let more = Some(("x-amzn-sagemaker-target-model", model));
        guard.asked_with(name, "/invocations", more, ROW, |_| {}).status
    };
    let path = |name: &str, model: &str| {
        let target = format!("/v2/models/{model}/infer");
        guard.asked(name, &target, &tensors, |_| {}).status
    };
    for model in ["a", "a.tar.gz"] {
        assert_eq!([header("only-a", model), path("only-a", model)], [200, 200], "{model}");
        assert_eq!([header("all-but-b", model), path("all-but-b", model)], [200, 200], "{model}");
    }
    for model in ["b", "b/output", "b/output/model", "b/output/model.tar.gz"] {
        assert_eq!([header("only-a", model), header("all-but-b", model)], [403, 403], "{model}");
    }
    assert_eq!([path("only-a", "b"), path("all-but-b", "b")], [403, 403]);
    assert_eq!([header("only-a", "c"), header("all-but-b", "c")], [403, 200]);
}
