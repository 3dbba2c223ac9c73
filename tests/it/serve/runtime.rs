//! The SageMaker runtime, spoken by boto3: what its callers see as an answer and as an exception.

use std::process::Command;

use serde_json::Value;

use super::*;

/// What boto3 was told; `None` where there is none.
fn told(address: SocketAddr, bodies: &[&str]) -> Option<Value> {
    let python = std::env::var_os("SMRT_PYTHON").filter(|path| !path.is_empty());
    let Some(python) = python else {
        println!("skipped: SMRT_PYTHON does not name a Python with boto3");
        return None;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/sagemaker_runtime.py");
    let url = format!("http://{address}");
    let output =
        Command::new(python).args([script, &url, "churn-demo"]).args(bodies).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn boto3_is_answered_and_its_exceptions_are_sagemakers() {
    let running = quick();
    let failing = format!("{FAIL},0,0");
    let Some(told) = told(running.address(), &["1,2,0.5", "1,2", &failing]) else { return };
    let [answered, narrow, failed] = [0, 1, 2].map(|at| &told["bodies"][at]);
    let body: Value = serde_json::from_str(answered["body"].as_str().unwrap()).unwrap();
    let found = body["predictions"][0]["score"].as_f64().unwrap() as f32;
    assert!(close_to(found, score(&[1.0, 2.0, 0.5])));
    assert_eq!(answered["variant"], "AllTraffic");
    assert_eq!(answered["id"].as_str().map(str::len), Some(36));

    let csv = &told["csv"];
    let scores: Vec<f32> =
        csv["body"].as_str().unwrap().lines().map(|line| line.parse().unwrap()).collect();
    assert!(close_to(scores[0], 0.5) && close_to(scores[1], score(&[1.0, 2.0, 0.5])));
    assert_eq!([&csv["type"], &csv["attributes"]], ["text/csv", "trace=1; user=7"]);
    assert!(told["json"]["body"].as_str().unwrap().contains("\"score\":0.5"), "{}", told["json"]);
    assert!(told["bytes"]["body"].as_str().unwrap().contains("\"score\":0.5"), "{}", told["bytes"]);
    assert_eq!(told["empty"]["body"], "");

    for (failure, status) in
        [(narrow, 400), (failed, 500), (&told["type"], 415), (&told["accept"], 406)]
    {
        assert_eq!([&failure["class"], &failure["code"]], ["ModelError"; 2], "{failure}");
        assert_eq!(failure["modeled"], true);
        assert_eq!([&failure["status"], &failure["OriginalStatusCode"]], [424, status]);
        let party = if status == 500 { "server" } else { "client" };
        let message = failure["message"].as_str().unwrap();
        assert!(message.contains(&format!("Received {party} error ({status}) from")), "{failure}");
        assert!(!failure["OriginalMessage"].as_str().unwrap().is_empty());
    }
    assert!(narrow["OriginalMessage"].as_str().unwrap().contains("2 columns"), "{narrow}");
    for mistake in ["unknown", "variant", "model"] {
        let failure = &told[mistake];
        assert_eq!([&failure["class"], &failure["code"]], ["ValidationError"; 2], "{failure}");
        assert_eq!((&failure["modeled"], &failure["status"]), (&true.into(), &400.into()));
        assert!(!failure["message"].as_str().unwrap().is_empty());
    }
}

#[test]
fn boto3_sees_a_server_without_room_as_unavailable() {
    let door = Arc::default();
    let running = builder(heavy(&door)).workers(1).queue_max(1, 1_000).start().unwrap();
    let address = running.address();
    let mut held = Client::new(address);
    held.send(invocation(CSV, &format!("{HOLD},0,0")));
    door.wait_for(1);
    let mut waiting = Client::new(address);
    waiting.send(invocation(CSV, "1,0,0"));
    eventually("it waits", || metric(address, "smrt_queue_requests") == 1.0);
    if let Some(told) = told(address, &["0,0,0"]) {
        let failure = &told["bodies"][0];
        assert_eq!([&failure["class"], &failure["code"]], ["ServiceUnavailable"; 2], "{failure}");
        assert_eq!((&failure["modeled"], &failure["status"]), (&true.into(), &503.into()));
    }
    door.open();
    assert_eq!(held.receive().unwrap().status, 200);
    assert_eq!(waiting.receive().unwrap().status, 200);
}
