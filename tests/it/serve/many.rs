//! Many models: real artifacts in a folder and in a bucket, each under its own name.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use smrt::serve::{Library, Many};
use smrt::spec::train::Storage;
use smrt::spec::uri::Uri;
use smrt::store::Store;
use tempfile::TempDir;

use super::*;
use crate::train::User;

pub(super) const ROW: &str = "1,0,-1,1,0,-1,1,0,1";

/// Two artifacts that answer differently, and what each says of [`ROW`].
pub(super) struct Pair {
    pub(super) user: User,
    pub(super) bytes: [Vec<u8>; 2],
    pub(super) scores: [f32; 2],
}

/// Trained once for all tests.
pub(super) fn pair() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| {
        let user = User::new();
        let train = |epochs: usize| {
            let more = format!(
                "[hyperparameters]\npredictor_type = \"binary_classifier\"\nepochs = {epochs}\n"
            );
            let report = user.run(user.job("linear-learner", &more)).unwrap();
            let bytes = std::fs::read(report.artifact.local_path().unwrap()).unwrap();
            let model = user.opener().open(&bytes[..], "model.tar.gz").unwrap();
            let row: Vec<f32> = ROW.split(',').map(|value| value.parse().unwrap()).collect();
            let rows = ndarray::Array2::from_shape_vec((1, 9), row).unwrap();
            let answer = model.predict(rows.view()).unwrap();
            let Values::Number(scores) = &answer.fields[0].values else { panic!("{answer:?}") };
            (bytes, scores[0])
        };
        let [(a, score_a), (b, score_b)] = [train(1), train(9)];
        assert!((score_a - score_b).abs() > 1e-3, "{score_a} and {score_b} are too close to tell");
        Pair { user, bytes: [a, b], scores: [score_a, score_b] }
    })
}

pub(super) fn put(folder: &Path, key: &str, bytes: &[u8]) {
    let path = folder.join(key);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    // As smrt puts artifacts: never half of one under its name.
    let draft = path.with_extension("draft");
    std::fs::write(&draft, bytes).unwrap();
    std::fs::rename(draft, path).unwrap();
}

fn many(place: Uri, store: Store) -> Many {
    Many {
        place,
        library: Library::new(store, pair().user.opener()),
        memory_bytes_max: 1 << 30,
        hot_max: 1_000,
        pinned: Vec::new(),
        watch: None,
    }
}

pub(super) fn of_folder(folder: &Path) -> Many {
    many(Uri::File(folder.to_owned()), Store::new(&Storage::default()))
}

fn start(many: Many) -> Running {
    Server::many(many).listen("127.0.0.1:0").threads(2).workers(2).start().unwrap()
}

pub(super) fn ask(
    client: &mut Client,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Reply {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {length}");
    client.send(format!("{head}\r\n\r\n{body}")).receive().unwrap()
}

/// One row for `model` through the container's door.
fn invoke(client: &mut Client, model: &str) -> Reply {
    let headers = format!("X-Amzn-SageMaker-Target-Model: {model}\r\nAccept: text/csv\r\n");
    ask(client, "POST", "/invocations", &headers, ROW)
}

pub(super) fn is(reply: &Reply, score: f32) -> bool {
    reply.status == 200 && reply.body.trim().parse::<f32>().unwrap().to_bits() == score.to_bits()
}

pub(super) fn json(reply: &Reply) -> serde_json::Value {
    serde_json::from_str(&reply.body).unwrap_or_else(|_| panic!("{reply:?}"))
}

#[test]
fn each_model_answers_under_its_names_at_every_door() {
    let folder = TempDir::new().unwrap();
    put(folder.path(), "a.tar.gz", &pair().bytes[0]);
    put(folder.path(), "team/b/output/model.tar.gz", &pair().bytes[1]);
    let running = start(of_folder(folder.path()));
    let mut client = Client::new(running.address());
    let [a, b] = pair().scores;
    for name in ["a", "a.tar.gz"] {
        assert!(is(&invoke(&mut client, name), a), "{name}");
    }
    for name in ["team/b", "team/b/output/model.tar.gz"] {
        assert!(is(&invoke(&mut client, name), b), "{name}");
    }
    let headers = "X-Amzn-SageMaker-Target-Model: team/b\r\nAccept: text/csv\r\n";
    let reply = ask(&mut client, "POST", "/endpoints/models/invocations", headers, ROW);
    assert!(is(&reply, b), "{reply:?}");
    assert_eq!(reply.header("x-amzn-invoked-production-variant"), Some("AllTraffic"));
    let csv = "Accept: text/csv\r\n";
    assert!(is(&ask(&mut client, "POST", "/models/team%2Fb/invoke", csv, ROW), b));
    let row: Vec<f32> = ROW.split(',').map(|value| value.parse().unwrap()).collect();
    let body = serde_json::json!({
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 9], "data": row}],
    });
    let path = "/v2/models/team%2Fb/infer";
    let told = json(&ask(&mut client, "POST", path, "", &body.to_string()));
    assert_eq!(told["model_name"], "team/b");
    assert_eq!(told["outputs"][0]["data"][0].as_f64().unwrap() as f32, b);
    let about = json(&ask(&mut client, "GET", "/v2/models/a", "", ""));
    assert_eq!(about["inputs"][0]["shape"], serde_json::json!([-1, 9]));
    // Two objects, however many names and doors: each was loaded once.
    assert_eq!(metric(running.address(), "smrt_model_loads_total"), 2.0);
    assert_eq!(metric(running.address(), "LoadedModelCount"), 2.0);
    let line =
        "Invocations_total{EndpointName=\"models\",VariantName=\"AllTraffic\",ModelName=\"a\"}";
    assert_eq!(metric(running.address(), line), 2.0);
}

#[test]
fn a_missing_or_broken_model_says_why_and_is_found_when_it_is_mended() {
    let folder = TempDir::new().unwrap();
    put(folder.path(), "broken.tar.gz", b"\x1f\x8b this is no artifact");
    put(folder.path(), "a.tar.gz", &pair().bytes[0]);
    let running = start(of_folder(folder.path()));
    let mut client = Client::new(running.address());
    let missing = invoke(&mut client, "nobody");
    assert_eq!(missing.status, 404, "{missing:?}");
    assert!(missing.body.contains("nobody") && missing.body.contains("index"), "{missing:?}");
    let broken = invoke(&mut client, "broken");
    assert_eq!(broken.status, 500, "{broken:?}");
    assert!(broken.body.contains("broken.tar.gz"), "{broken:?}");
    assert!(!broken.body.contains(&*folder.path().to_string_lossy()), "{broken:?}");
    // Remembered: the second caller does not wait for the disk.
    for _ in 0..50 {
        assert_eq!(invoke(&mut client, "broken").body, broken.body);
    }
    assert_eq!(metric(running.address(), "smrt_model_load_failures_total"), 2.0);
    let index = json(&ask(&mut client, "POST", "/v2/repository/index", "", ""));
    let lines: Vec<(&str, &str)> = index
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["name"].as_str().unwrap(), line["state"].as_str().unwrap()))
        .collect();
    assert_eq!(lines, [("a", "UNAVAILABLE"), ("broken", "UNAVAILABLE")]);
    assert!(index[1]["reason"].as_str().unwrap().contains("cannot be loaded"), "{index}");

    let runtime = |client: &mut Client, model: &str| {
        let headers = format!("X-Amzn-SageMaker-Target-Model: {model}\r\n");
        ask(client, "POST", "/endpoints/models/invocations", &headers, ROW)
    };
    let told = runtime(&mut client, "nobody");
    assert_eq!((told.status, told.header("x-amzn-errortype")), (400, Some("ValidationError")));
    let told = runtime(&mut client, "broken");
    assert_eq!((told.status, told.header("x-amzn-errortype")), (424, Some("ModelError")));
    assert_eq!(json(&told)["OriginalStatusCode"], 500);
    let none = ask(&mut client, "POST", "/invocations", "", ROW);
    assert_eq!(none.status, 400);
    assert!(none.body.contains("Target-Model"), "{none:?}");

    put(folder.path(), "broken.tar.gz", &pair().bytes[1]);
    put(folder.path(), "nobody.tar.gz", &pair().bytes[0]);
    eventually("the mended model answers", || is(&invoke(&mut client, "broken"), pair().scores[1]));
    eventually("the new model answers", || is(&invoke(&mut client, "nobody"), pair().scores[0]));
}

#[test]
fn a_name_cannot_leave_its_folder() {
    let folder = TempDir::new().unwrap();
    put(folder.path(), "outside.tar.gz", &pair().bytes[0]);
    put(folder.path(), "in/a.tar.gz", &pair().bytes[0]);
    let running = start(of_folder(&folder.path().join("in")));
    let mut client = Client::new(running.address());
    for name in ["../outside", "../outside.tar.gz", "a/../../outside", "/etc/passwd"] {
        assert_eq!(invoke(&mut client, name).status, 404, "{name}");
    }
    for path in ["/v2/models/..%2Foutside/infer", "/v2/repository/models/..%2Foutside/load"] {
        assert_eq!(ask(&mut client, "POST", path, "", "{}").status, 404, "{path}");
    }
    for url in ["../outside.tar.gz", "/etc/passwd", "s3://other/a.tar.gz", "http://127.0.0.1/a"] {
        let body = serde_json::json!({"model_name": "x", "url": url}).to_string();
        let status = ask(&mut client, "POST", "/models", "", &body).status;
        assert!(matches!(status, 400 | 404), "{url}: {status}");
    }
}

#[test]
fn a_name_that_no_file_can_have_is_a_model_that_is_not_there() {
    let folder = TempDir::new().unwrap();
    let running = start(of_folder(folder.path()));
    let mut client = Client::new(running.address());
    let long = "a".repeat(300);
    for name in [long.as_str(), "a%00b"] {
        let path = format!("/v2/models/{name}");
        assert_eq!(ask(&mut client, "GET", &path, "", "").status, 404, "{name}");
    }
    assert_eq!(invoke(&mut client, &long).status, 404);
    let body = serde_json::json!({"model_name": "x", "url": "a/".repeat(4_000)}).to_string();
    assert_eq!(ask(&mut client, "POST", "/models", "", &body).status, 404);
}

#[test]
fn the_platform_loads_lists_and_unloads_models() {
    let folder = TempDir::new().unwrap();
    put(folder.path(), "a.tar.gz", &pair().bytes[0]);
    put(folder.path(), "b/model.tar.gz", &pair().bytes[1]);
    let running = start(of_folder(folder.path()));
    let mut client = Client::new(running.address());
    let mut load = |name: &str, url: &str| {
        let body = serde_json::json!({"model_name": name, "url": url}).to_string();
        ask(&mut client, "POST", "/models", "Content-Type: application/json\r\n", &body).status
    };
    let absolute = folder.path().join("b").display().to_string();
    assert_eq!(load("one", "a.tar.gz"), 200);
    assert_eq!(load("two", &absolute), 200);
    assert_eq!(load("one", "a.tar.gz"), 409);
    assert_eq!(load("three", "nothing.tar.gz"), 404);
    let mut ask = |method: &str, path: &str, body: &str| {
        ask(&mut client, method, path, "Accept: text/csv\r\n", body)
    };
    assert_eq!(ask("POST", "/models", "{}").status, 400);
    assert!(is(&ask("POST", "/models/two/invoke", ROW), pair().scores[1]));
    assert_eq!(ask("POST", "/models/three/invoke", ROW).status, 404);
    let one = json(&ask("GET", "/models/one", ""));
    assert_eq!(one["modelName"], "one");
    assert!(one["modelUrl"].as_str().unwrap().ends_with("/a.tar.gz"), "{one}");
    let mut names = Vec::new();
    let mut path = "/models?limit=1".to_owned();
    loop {
        let page = json(&ask("GET", &path, ""));
        names.push(page["models"][0]["modelName"].as_str().unwrap().to_owned());
        let Some(token) = page["nextPageToken"].as_str() else { break };
        path = format!("/models?limit=1&next_page_token={token}");
    }
    assert_eq!(names, ["one", "two"]);
    assert_eq!(ask("DELETE", "/models/one", "").status, 200);
    assert_eq!(ask("DELETE", "/models/one", "").status, 404);
    assert_eq!(ask("GET", "/models/one", "").status, 404);
    assert_eq!(ask("POST", "/models/one/invoke", ROW).status, 404);
    assert_eq!(ask("PUT", "/models/two", "").header("allow"), Some("GET, HEAD, DELETE"));
}

#[test]
fn the_model_not_used_for_longest_goes_and_a_pinned_one_stays() {
    let folder = TempDir::new().unwrap();
    for name in ["a", "b", "c", "d"] {
        put(folder.path(), &format!("{name}.tar.gz"), &pair().bytes[0]);
    }
    let pinned = vec!["a".to_owned()];
    let running = start(Many { hot_max: 3, pinned, ..of_folder(folder.path()) });
    let mut client = Client::new(running.address());
    // a is there from the start and is never asked for again.
    for name in ["b", "c", "b", "d"] {
        assert!(is(&invoke(&mut client, name), pair().scores[0]));
    }
    let page = json(&ask(&mut client, "GET", "/models", "", ""));
    let names: Vec<&str> = page["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["modelName"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["a", "b", "d"]);
    assert_eq!(ask(&mut client, "DELETE", "/models/a", "", "").status, 400);
    assert_eq!(metric(running.address(), "smrt_model_unloads_total"), 1.0);
    // What it had counted is still there.
    assert_eq!(metric(running.address(), "smrt_invocations_total"), 4.0);
}

#[test]
fn models_keep_within_their_memory_and_one_that_cannot_fit_says_so() {
    let folder = TempDir::new().unwrap();
    for at in 0..20 {
        put(folder.path(), &format!("m{at}.tar.gz"), &pair().bytes[0]);
    }
    let model = pair().user.opener().open(&pair().bytes[0][..], "a").unwrap();
    let memory_bytes_max = 5 * (model.bytes * 3 / 2 + (16 << 10) + 1);
    let running = start(Many { memory_bytes_max, ..of_folder(folder.path()) });
    let mut client = Client::new(running.address());
    for at in 0..20 {
        assert!(is(&invoke(&mut client, &format!("m{at}")), pair().scores[0]));
        assert!(metric(running.address(), "smrt_models_bytes") <= memory_bytes_max as f64);
    }
    assert_eq!(metric(running.address(), "LoadedModelCount"), 5.0);
    let tiny = start(Many { memory_bytes_max: 1_000, ..of_folder(folder.path()) });
    let refused = invoke(&mut Client::new(tiny.address()), "m1");
    assert_eq!(refused.status, 507, "{refused:?}");
    assert!(refused.body.contains("memory_bytes_max"), "{refused:?}");
}

#[test]
fn threat_32_ten_thousand_models_may_lie_there_and_metrics_name_a_hundred() {
    let folder = TempDir::new().unwrap();
    put(folder.path(), "m0.tar.gz", &pair().bytes[0]);
    for at in 1..10_000 {
        let link = folder.path().join(format!("m{at}.tar.gz"));
        std::fs::hard_link(folder.path().join("m0.tar.gz"), link).unwrap();
    }
    let running = start(Many { hot_max: 20, ..of_folder(folder.path()) });
    let address = running.address();
    let mut client = Client::new(address);
    // Every other request goes to one model, which therefore stays.
    for at in 1..150 {
        assert!(is(&invoke(&mut client, &format!("m{}", at * 61)), pair().scores[0]));
        assert!(is(&invoke(&mut client, "m0"), pair().scores[0]));
    }
    assert_eq!(metric(address, "LoadedModelCount"), 20.0);
    assert_eq!(metric(address, "smrt_model_loads_total"), 150.0);
    let index = json(&ask(&mut client, "POST", "/v2/repository/index", "", ""));
    assert_eq!(index.as_array().unwrap().len(), 10_000);
    // Names are bounded in the metrics, and nothing is lost from the totals.
    let page = client.get("/metrics").body;
    let named = page.lines().filter(|line| line.starts_with("Invocations_total{")).count();
    assert_eq!(named, 101);
    assert_eq!(metric(address, "smrt_invocations_total"), 298.0);
}

#[test]
fn many_first_requests_load_a_model_once_and_nobody_else_waits() {
    let folder = TempDir::new().unwrap();
    put(folder.path(), "a.tar.gz", &pair().bytes[0]);
    put(folder.path(), "b.tar.gz", &pair().bytes[1]);
    let running = start(of_folder(folder.path()));
    let address = running.address();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert!(is(&invoke(&mut Client::new(address), "a"), pair().scores[0])));
        }
    });
    assert_eq!(metric(address, "smrt_model_loads_total"), 1.0);
}

#[test]
fn a_pinned_model_that_is_not_there_keeps_the_endpoint_from_starting() {
    let folder = TempDir::new().unwrap();
    let pinned = vec!["a".to_owned()];
    let many = Many { pinned, ..of_folder(folder.path()) };
    let error = Server::many(many).listen("127.0.0.1:0").start().err().unwrap();
    assert!(error.to_string().contains("pinned model \"a\""), "{error}");
}

#[test]
fn models_of_a_bucket_are_loaded_on_demand_and_anew_when_asked() {
    let server = crate::s3::Server::start();
    server.make_bucket("models");
    server.put("models", "tenants/a/output/model.tar.gz", &pair().bytes[0]);
    server.put("models", "tenants/b.tar.gz", &pair().bytes[1]);
    server.put("models", "tenants-of-others/c.tar.gz", &pair().bytes[1]);
    let place = Uri::parse("s3://models/tenants/", Path::new("")).unwrap();
    let running = start(many(place, server.store()));
    let mut client = Client::new(running.address());
    assert!(is(&invoke(&mut client, "a"), pair().scores[0]));
    assert!(is(&invoke(&mut client, "b.tar.gz"), pair().scores[1]));
    assert_eq!(invoke(&mut client, "c").status, 404);
    let index = json(&ask(&mut client, "POST", "/v2/repository/index", "", ""));
    let names: Vec<&str> =
        index.as_array().unwrap().iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b"]);
    server.put("models", "tenants/a/output/model.tar.gz", &pair().bytes[1]);
    assert!(is(&invoke(&mut client, "a"), pair().scores[0]));
    assert_eq!(ask(&mut client, "POST", "/v2/repository/models/a/load", "", "").status, 200);
    assert!(is(&invoke(&mut client, "a"), pair().scores[1]));
    // What is loaded outlives its store.
    drop(server);
    assert!(is(&invoke(&mut client, "a"), pair().scores[1]));
}

#[test]
fn a_loaded_model_is_loaded_anew_when_its_file_changes() {
    let folder = TempDir::new().unwrap();
    put(folder.path(), "a.tar.gz", &pair().bytes[0]);
    let running =
        start(Many { watch: Some(Duration::from_millis(50)), ..of_folder(folder.path()) });
    let mut client = Client::new(running.address());
    assert!(is(&invoke(&mut client, "a"), pair().scores[0]));
    put(folder.path(), "a.tar.gz", &pair().bytes[1]);
    eventually("the new model answers", || is(&invoke(&mut client, "a"), pair().scores[1]));
    assert!(is(&invoke(&mut client, "a.tar.gz"), pair().scores[1]));
    // Neither a broken file nor one that is gone takes away what is loaded.
    put(folder.path(), "a.tar.gz", b"nothing");
    std::thread::sleep(Duration::from_millis(200));
    assert!(is(&invoke(&mut client, "a"), pair().scores[1]));
    std::fs::remove_file(folder.path().join("a.tar.gz")).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert!(is(&invoke(&mut client, "a"), pair().scores[1]));
}

/// Passes bytes on between clients and a port of this machine until `deaf`; then takes them and is
/// silent.
fn relay(upstream: u16, deaf: &Arc<AtomicBool>) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let deaf = Arc::clone(deaf);
    let pump = |mut from: TcpStream, mut to: TcpStream, deaf: Arc<AtomicBool>| {
        move || {
            let mut bytes = [0; 16 << 10];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                let silent = deaf.load(Ordering::Relaxed);
                if !silent && to.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
        }
    };
    // Ends with the process: what it waits for has no end of its own.
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(("127.0.0.1", upstream)).unwrap();
            let (twin, other) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(pump(client, server, Arc::clone(&deaf)));
            std::thread::spawn(pump(other, twin, Arc::clone(&deaf)));
        }
    });
    port
}

#[test]
fn a_store_that_does_not_answer_delays_neither_other_models_nor_ping() {
    let server = crate::s3::Server::start();
    server.make_bucket("models");
    server.put("models", "tenants/a.tar.gz", &pair().bytes[0]);
    server.put("models", "tenants/slow.tar.gz", &pair().bytes[1]);
    let deaf = Arc::new(AtomicBool::new(false));
    let endpoint = format!("http://127.0.0.1:{}", relay(server.port(), &deaf));
    let none = std::iter::empty::<(&str, &str)>();
    let storage = crate::s3::storage(&endpoint, None, false);
    let store = Store::with_environment(&storage, none.collect());
    let place = Uri::parse("s3://models/tenants/", Path::new("")).unwrap();
    // One thread for everything: it would be noticed.
    let running = Server::many(many(place, store))
        .listen("127.0.0.1:0")
        .threads(1)
        .workers(1)
        .invocation_timeout(Duration::from_millis(500))
        .start()
        .unwrap();
    let address = running.address();
    let mut client = Client::new(address);
    assert!(is(&invoke(&mut client, "a"), pair().scores[0]));
    deaf.store(true, Ordering::Relaxed);
    let mut answered = 0;
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let headers = "X-Amzn-SageMaker-Target-Model: slow\r\n";
            let mut client = Client::new(address);
            let told = ask(&mut client, "POST", "/endpoints/models/invocations", headers, ROW);
            (invoke(&mut client, "slow"), told)
        });
        while !waiting.is_finished() {
            assert!(is(&invoke(&mut client, "a"), pair().scores[0]));
            assert_eq!(client.get("/ping").status, 200);
            answered += 1;
        }
        let (container, runtime) = waiting.join().unwrap();
        assert_eq!(container.status, 503, "{container:?}");
        let kind = runtime.header("x-amzn-errortype");
        assert_eq!((runtime.status, kind), (429, Some("ModelNotReadyException")));
    });
    assert!(answered > 20, "only {answered} answers while a model was waited for");
}

#[test]
fn boto3_names_its_model_and_is_told_in_sagemakers_exceptions() {
    let python = std::env::var_os("SMRT_PYTHON").filter(|path| !path.is_empty());
    let Some(python) = python else {
        return println!("skipped: SMRT_PYTHON does not name a Python with boto3");
    };
    let folder = TempDir::new().unwrap();
    put(folder.path(), "a.tar.gz", &pair().bytes[0]);
    put(folder.path(), "broken.tar.gz", b"\x1f\x8b no artifact");
    let running = start(of_folder(folder.path()));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/sagemaker_models.py");
    let url = format!("http://{}", running.address());
    let names = ["a.tar.gz", "nobody.tar.gz", "broken.tar.gz"];
    let output = Command::new(python).args([script, &url, "models", ROW]).args(names).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told[0]["body"].as_str().unwrap().trim().parse::<f32>().unwrap(), pair().scores[0]);
    assert_eq!(told[0]["variant"], "AllTraffic");
    assert_eq!(told[1]["class"], "ValidationError");
    assert_eq!((&told[2]["class"], &told[2]["original"]), (&"ModelError".into(), &500.into()));
}

#[test]
fn tritons_own_client_manages_the_models() {
    let python = std::env::var_os("SMRT_PYTHON").filter(|path| !path.is_empty());
    let Some(python) = python else {
        return println!("skipped: SMRT_PYTHON does not name a Python with tritonclient");
    };
    let folder = TempDir::new().unwrap();
    put(folder.path(), "a.tar.gz", &pair().bytes[0]);
    put(folder.path(), "team/b.tar.gz", &pair().bytes[1]);
    let running = start(of_folder(folder.path()));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/triton_many.py");
    let address = running.address().to_string();
    let output = Command::new(python).args([script, address.as_str(), ROW]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["before"], serde_json::json!({"a": "UNAVAILABLE", "team/b": "UNAVAILABLE"}));
    assert_eq!(told["after"], serde_json::json!({"a": "READY", "team/b": "UNAVAILABLE"}));
    assert_eq!(told["ready"], serde_json::json!([false, true, false]));
    assert_eq!(told["score"].as_f64().unwrap() as f32, pair().scores[0]);
    assert!(told["missing"].as_str().unwrap().contains("nobody"), "{told}");
}
