//! The Open Inference Protocol, spoken by hand and by Triton's own client.

use super::*;

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")
}

fn asked(server: &Running, request: &str) -> (u16, serde_json::Value) {
    let reply = Client::new(server.address()).send(request).receive().unwrap();
    let json = match reply.body.is_empty() {
        true => serde_json::Value::Null,
        false => serde_json::from_str(&reply.body).unwrap(),
    };
    (reply.status, json)
}

const INFER: &str = "/v2/models/churn-demo/infer";

fn request(rows: &[[f32; 3]]) -> String {
    let json = serde_json::json!({
        "id": "a",
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [rows.len(), 3], "data": rows}],
    });
    post(INFER, &json.to_string())
}

#[test]
fn an_inference_request_is_answered_with_tensors_in_place_and_from_a_batch() {
    let rows = [[0.5, -1.0, 2.0], [1.0, 1.0, 1.0]];
    for predictor in [Linear::default(), heavy(&Arc::default())] {
        let server = builder(predictor).start().unwrap();
        let (status, json) = asked(&server, &request(&rows));
        assert_eq!(status, 200, "{json}");
        assert_eq!((&json["model_name"], &json["id"]), (&"churn-demo".into(), &"a".into()));
        let [scores, labels] = [&json["outputs"][0], &json["outputs"][1]];
        assert_eq!((&scores["name"], &scores["datatype"]), (&"score".into(), &"FP32".into()));
        assert_eq!((&labels["datatype"], &labels["shape"]), (&"INT64".into(), &[2].into()));
        for (at, row) in rows.iter().enumerate() {
            let found = scores["data"][at].as_f64().unwrap() as f32;
            assert!(close_to(found, score(row)));
            assert_eq!(labels["data"][at], i64::from(score(row) >= 0.5));
        }
    }
}

#[test]
fn health_metadata_and_repository_are_told() {
    let server = quick();
    for path in ["/v2/health/live", "/v2/health/ready", "/v2/models/churn-demo/ready"] {
        assert_eq!(asked(&server, &get(path)).0, 200, "{path}");
    }
    let (_, about) = asked(&server, &get("/v2/models/churn-demo/versions/1"));
    assert_eq!(about["inputs"][0]["shape"], serde_json::json!([-1, 3]));
    assert_eq!(about["outputs"][1]["name"], "predicted_label");
    let (_, index) = asked(&server, &post("/v2/repository/index", "{}"));
    assert_eq!((&index[0]["name"], &index[0]["state"]), (&"churn-demo".into(), &"READY".into()));
}

#[test]
fn mistakes_are_told_in_the_protocols_form() {
    let server = quick();
    let (status, json) = asked(&server, &post("/v2/models/other/infer", "{}"));
    assert_eq!(status, 404);
    assert_eq!(json["error"], "Request for unknown model: 'other' is not found");
    let (status, json) = asked(&server, &post(INFER, "{\"inputs\":[]}"));
    assert_eq!(status, 400);
    assert!(json["error"].as_str().unwrap().starts_with("there are no inputs"), "{json}");
    assert_eq!(asked(&server, &get(INFER)).0, 405);
    assert_eq!(asked(&server, &get("/v2/models/churn-demo/versions/9")).0, 404);
    let body = "{\"inputs\":[]}";
    let long = format!(
        "POST {INFER} HTTP/1.1\r\nhost: a\r\ninference-header-content-length: 99\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(asked(&server, &long).0, 400);
}

#[test]
fn tritons_own_client_is_answered_in_json_and_in_binary() {
    let python = std::env::var_os("SMRT_PYTHON").filter(|path| !path.is_empty());
    let Some(python) = python else {
        return println!("skipped: SMRT_PYTHON does not name a Python with tritonclient");
    };
    let server = quick();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/triton.py");
    let address = server.address().to_string();
    let output = std::process::Command::new(python)
        .args([script, address.as_str(), "churn-demo", "5"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!([&told["live"], &told["ready"]], [true, true]);
    assert_eq!(told["unknown_ready"], false);
    assert!(told["unknown"].as_str().unwrap().contains("unknown model"));
    assert_eq!(told["statistics"]["inference_count"], 30);
    let answers = told["answers"].as_array().unwrap();
    assert_eq!(answers.len(), 4);
    assert_eq!([&told["packed"], &told["deflated"]], [&answers[0]; 2]);
    for answer in answers {
        for row in 0..5 {
            let values: Vec<f32> =
                (0..3).map(|at| told["data"][row][at].as_f64().unwrap() as f32).collect();
            assert!(close_to(answer[0][row].as_f64().unwrap() as f32, score(&values)));
            assert_eq!(answer[1][row], i64::from(score(&values) >= 0.5));
        }
    }
}
