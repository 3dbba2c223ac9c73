//! The OpenAPI document, held against what is served.

use serde_json::Value;

use super::*;

fn document(server: &Running, headers: &str) -> Value {
    let request = format!("GET /openapi.json HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    let reply = Client::new(server.address()).send(request).receive().unwrap();
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    serde_json::from_str(&reply.body).unwrap()
}

#[test]
fn every_path_and_method_of_the_document_is_served_and_no_other_method() {
    let running = quick();
    let document = document(&running, "");
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document.get("security").is_none());
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 18, "{paths:#?}");
    for (path, operations) in paths {
        let known: Vec<String> =
            operations.as_object().unwrap().keys().map(|name| name.to_uppercase()).collect();
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
            let path = path.replace("{variant}", "AllTraffic");
            let request =
                format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
            let reply = Client::new(running.address()).send(request).receive().unwrap();
            if !known.iter().any(|name| name == method) {
                assert_eq!(reply.status, 405, "{method} {path}");
                let allowed = reply.header("allow").unwrap();
                let mut allowed: Vec<&str> = allowed.split(", ").collect();
                allowed.retain(|name| *name != "HEAD");
                assert_eq!(allowed, known, "{path}");
                continue;
            }
            let told = &operations[method.to_lowercase()]["responses"][reply.status.to_string()];
            assert!(told.is_object(), "{method} {path}: {} is not in the document", reply.status);
        }
    }
    // And the other way: what the front page names is in it.
    let front = Client::new(running.address()).get("/").body;
    for path in front.split_whitespace().filter(|word| word.starts_with('/')) {
        // Of an endpoint that serves many.
        if path == "/models," {
            continue;
        }
        assert!(paths.contains_key(path.trim_end_matches(',')), "{path}");
    }
    let row = &document["components"]["schemas"]["Row"];
    assert_eq!((row["minItems"].as_u64(), row["maxItems"].as_u64()), (Some(3), Some(3)));
    let parameters = &document["paths"]["/invocations"]["post"]["parameters"];
    assert!(parameters.to_string().contains("\"AllTraffic\""), "{parameters}");
}

#[test]
fn the_document_says_where_a_token_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    std::fs::write(&file, "docs the-token-of-the-documents\n").unwrap();
    let running = builder(Linear::default()).tokens(&file).start().unwrap();
    let document = document(&running, "Authorization: Bearer the-token-of-the-documents\r\n");
    assert_eq!(document["security"], serde_json::json!([{"token": []}]));
    assert_eq!(document["paths"]["/ping"]["get"]["security"], serde_json::json!([]));
    assert!(document["paths"]["/ping"]["get"]["responses"].get("401").is_none());
    assert!(document["paths"]["/metrics"]["get"]["responses"]["401"].is_object());
}
