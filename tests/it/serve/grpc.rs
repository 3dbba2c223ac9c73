//! gRPC, spoken by Triton's own client and by hand.

use std::fs;

use serde_json::Value;
use smrt::data::protobuf::Message;

use super::access::Authority;
use super::*;

fn python() -> Option<std::ffi::OsString> {
    let python = std::env::var_os("SMRT_PYTHON").filter(|path| !path.is_empty());
    if python.is_none() {
        println!("skipped: SMRT_PYTHON does not name a Python with tritonclient[grpc]");
    }
    python
}

/// What Triton's client was told.
fn told(python: &std::ffi::OsStr, address: &str, more: &[&str]) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/triton_grpc.py");
    let mut arguments = vec![script, address, "churn-demo", "5"];
    arguments.extend(more);
    let output = std::process::Command::new(python).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn check(told: &Value) {
    let row = |row: usize| -> Vec<f32> {
        (0..3).map(|at| told["data"][row][at].as_f64().unwrap() as f32).collect()
    };
    assert_eq!([&told["live"], &told["ready"], &told["unknown_ready"]], [true, true, false]);
    assert_eq!(told["server"]["name"], "smrt");
    let metadata = &told["metadata"];
    assert_eq!((&metadata["name"], &metadata["versions"]), (&"churn-demo".into(), &["1"].into()));
    assert_eq!(metadata["inputs"][0]["shape"], serde_json::json!(["-1", "3"]));
    assert_eq!(metadata["outputs"][1]["datatype"], "INT64");
    let config = &told["config"]["config"];
    assert_eq!(config["platform"], "smrt_linear_learner");
    assert_eq!(
        config["input"][0],
        serde_json::json!({"name": "input", "data_type": "TYPE_FP32", "dims": ["3"]})
    );
    assert_eq!(config["output"][0]["data_type"], "TYPE_FP32");
    assert_eq!(told["index"]["models"][0]["state"], "READY");
    let answers = told["answers"].as_array().unwrap();
    assert_eq!(answers.len(), 5);
    for answer in answers {
        for at in 0..5 {
            assert!(close_to(answer[0][at].as_f64().unwrap() as f32, score(&row(at))));
            assert_eq!(answer[1][at], i64::from(score(&row(at)) >= 0.5));
        }
    }
    for scores in told["typed"].as_array().unwrap() {
        for at in 0..5 {
            assert!(close_to(scores[at].as_f64().unwrap() as f32, score(&row(at))));
        }
    }
    assert_eq!(told["statistics"]["inference_count"], "45");
    assert_eq!(told["load"][0], "OK");
    for (case, code, words) in [
        ("unknown", "NOT_FOUND", "unknown model"),
        ("version", "NOT_FOUND", "version 2"),
        ("wide", "INVALID_ARGUMENT", "give it the shape [rows, 3]"),
        ("large", "RESOURCE_EXHAUSTED", "6291456 bytes"),
        ("mixed", "INVALID_ARGUMENT", "data twice"),
        ("empty", "INVALID_ARGUMENT", "there are no inputs"),
        ("wrong", "NOT_FOUND", "unknown model"),
        ("shared memory", "UNIMPLEMENTED", "no such call"),
    ] {
        let failure = &told["failures"][case];
        assert_eq!(failure[0], code, "{case}: {failure}");
        assert!(failure[1].as_str().unwrap().contains(words), "{case}: {failure}");
    }
}

#[test]
fn tritons_own_client_is_answered_over_grpc() {
    let Some(python) = python() else { return };
    for predictor in [Linear::default(), heavy(&Arc::default())] {
        let running = builder(predictor).start().unwrap();
        let told = told(&python, &running.address().to_string(), &[]);
        check(&told);
        assert_eq!(told["without a token"][0], "OK");
    }
}

#[test]
fn tritons_own_client_is_answered_over_tls_with_its_token_and_not_without() {
    let Some(python) = python() else { return };
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let tls = authority.files(folder.path(), false);
    let tokens = folder.path().join("tokens");
    fs::write(&tokens, "triton the-token-of-tritons-client\n").unwrap();
    let running = builder(Linear::default()).tls(tls).tokens(&tokens).start().unwrap();
    let ca = folder.path().join("ca.pem").display().to_string();
    let more = [ca.as_str(), "the-token-of-tritons-client"];
    let told = told(&python, &running.address().to_string(), &more);
    check(&told);
    let refused = &told["without a token"];
    assert_eq!(refused[0], "UNAUTHENTICATED");
    assert!(refused[1].as_str().unwrap().contains("Bearer TOKEN"), "{refused}");
}

/// A call by hand: HTTP status, gRPC status (from the headers or the trailers) and the messages.
async fn call(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> (u16, String, Vec<u8>) {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut request = hyper::Request::builder().method("POST").uri(format!("http://x{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut client = client.ready().await.unwrap();
    let (reply, mut stream) = client.send_request(request.body(()).unwrap(), false).unwrap();
    stream.send_data(bytes::Bytes::from(body), true).unwrap();
    let reply = reply.await.unwrap();
    let status = reply.status().as_u16();
    let mut code = reply.headers().get("grpc-status").cloned();
    let mut content = reply.into_body();
    let mut bytes = Vec::new();
    while let Some(piece) = content.data().await {
        bytes.extend_from_slice(&piece.unwrap());
    }
    if let Some(trailers) = content.trailers().await.unwrap() {
        code = trailers.get("grpc-status").cloned();
    }
    (status, code.map_or(String::new(), |code| code.to_str().unwrap().to_owned()), bytes)
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");
const LIVE: &str = "/inference.GRPCInferenceService/ServerLive";

#[test]
fn a_call_that_is_not_one_gets_a_status_and_never_an_answer() {
    let running = quick();
    let address = running.address();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ask = |path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let (status, code, bytes) = runtime.block_on(call(address, path, headers, body.to_vec()));
        (status, code, bytes)
    };
    let empty = [0, 0, 0, 0, 0];
    assert_eq!(ask(LIVE, &[GRPC], &empty), (200, "0".into(), vec![0, 0, 0, 0, 2, 8, 1]));
    let health = "/grpc.health.v1.Health/Check";
    assert_eq!(ask(health, &[GRPC], &empty), (200, "0".into(), vec![0, 0, 0, 0, 2, 8, 1]));
    let plus = ("content-type", "application/grpc+proto");
    assert_eq!(ask(LIVE, &[plus], &empty).1, "0");
    for (path, headers, body, status, code) in [
        (LIVE, vec![("content-type", "application/json")], &empty[..], 415, ""),
        (LIVE, vec![GRPC], b"", 200, "3"),
        (LIVE, vec![GRPC], &[0, 0, 0, 0, 9], 200, "3"),
        (LIVE, vec![GRPC], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 200, "3"),
        (LIVE, vec![GRPC], &[0, 255, 255, 255, 255], 200, "3"),
        (LIVE, vec![GRPC], &[1, 0, 0, 0, 1, 0], 200, "3"),
        (LIVE, vec![GRPC, ("grpc-encoding", "gzip")], &[1, 0, 0, 0, 1, 0], 200, "3"),
        (LIVE, vec![GRPC, ("grpc-encoding", "snappy")], &empty, 200, "12"),
        ("/inference.GRPCInferenceService/Nothing", vec![GRPC], &empty, 200, "12"),
        (
            "/inference.GRPCInferenceService/ModelInfer",
            vec![GRPC],
            &[0, 0, 0, 0, 2, 10, 9],
            200,
            "3",
        ),
        (
            "/inference.GRPCInferenceService/ModelInfer",
            vec![GRPC, ("grpc-timeout", "soon")],
            &empty,
            200,
            "3",
        ),
        (
            "/inference.GRPCInferenceService/ModelMetadata",
            vec![GRPC],
            &[0, 0, 0, 0, 2, 8, 1],
            200,
            "3",
        ),
    ] {
        let found = ask(path, &headers, body);
        assert_eq!((found.0, found.1.as_str()), (status, code), "{path} {headers:?} {body:?}");
        assert!(found.2.is_empty() || status == 415, "{path} {headers:?} {body:?}");
    }
    // Over HTTP/1, where no trailer could follow.
    let reply =
        Client::new(address).post_to(LIVE, "Content-Type: application/grpc\r\n", "\0\0\0\0\0");
    assert_eq!(reply.status, 415);
    assert!(reply.body.contains("HTTP/2"), "{}", reply.body);
}

/// A `ModelInferRequest` for one row, in its frame.
fn infer(row: [f32; 3]) -> Vec<u8> {
    let raw: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
    let tensor = Message::default().text(1, "input").text(2, "FP32").numbers(3, [1, 3]);
    let message = Message::default().text(1, "churn-demo").each(5, [tensor]).bytes(7, &raw);
    let message = message.into_bytes();
    [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat()
}

#[test]
fn a_callers_deadline_and_a_full_queue_have_their_codes() {
    let door = Arc::default();
    let running = builder(heavy(&door)).workers(1).queue_max(1, 1_000).start().unwrap();
    let address = running.address();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let path = "/inference.GRPCInferenceService/ModelInfer";
    let headers = [GRPC, ("grpc-timeout", "80m")];
    let late = runtime.block_on(call(address, path, &headers, infer([HOLD, 0.0, 0.0])));
    assert_eq!((late.0, late.1.as_str()), (200, "4"));
    let waiting = runtime.spawn(call(address, path, &[GRPC], infer([1.0, 0.0, 0.0])));
    eventually("it waits", || metric(address, "smrt_queue_requests") == 1.0);
    let refused = runtime.block_on(call(address, path, &[GRPC], infer([1.0, 0.0, 0.0])));
    assert_eq!(refused.1, "14");
    door.open();
    let answered = runtime.block_on(waiting).unwrap();
    assert_eq!(answered.1, "0");
    // The score stands in the answer as its four bytes.
    let score = score(&[1.0, 0.0, 0.0]).to_le_bytes();
    assert!(answered.2.windows(4).any(|bytes| bytes == score), "{answered:?}");
}
