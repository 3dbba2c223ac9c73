//! Every way a request's body can be wrong: its status, and words that help.

use super::*;

const JSON: &str = "Content-Type: application/json\r\n";
const LINES: &str = "Content-Type: application/jsonlines\r\n";
const INFER: &str = "/v2/models/churn-demo/infer";

fn post(client: &mut Client, path: &str, headers: &str, body: &[u8]) -> Reply {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    client.send([head.as_bytes(), body].concat()).receive().unwrap()
}

/// One connection for all of them: none costs the next one anything.
#[test]
fn each_way_a_body_is_wrong_has_its_status_and_words_that_help() {
    let running = quick();
    let mut client = Client::new(running.address());
    let deep = |open: &str, close: &str| open.repeat(20_000) + &close.repeat(20_000);
    let tensor = |rest: &str| format!(r#"{{"inputs":[{{"name":"x",{rest}}}]}}"#).into_bytes();
    let deep_lists = format!("{{\"instances\": [{}]}}", deep("[", "]")).into_bytes();
    let deep_objects = deep("{\"instances\":", "}").into_bytes();
    let deep_tensor =
        tensor(&format!(r#""shape":[1,3],"datatype":"FP32","data":{}"#, deep("[", "]")));
    let too_many = "0\n".repeat((1 << 20) + 1).into_bytes();
    let v2 = "";
    #[rustfmt::skip]
    let wrong: Vec<(&str, &str, Vec<u8>, u16, &str)> = vec![
        // Text that is none.
        ("/invocations", CSV, b"\xff\xfe,1,2".to_vec(), 400, "row 1, column 1"),
        ("/invocations", JSON, b"{\"instances\": [[\"\xff\"]]}".to_vec(), 400, "row 1"),
        ("/invocations", LINES, b"{\"features\": [1, 2, \xc3]}".to_vec(), 400, "row 1"),
        (INFER, v2, b"{\"inputs\": [{\"name\": \"\xff\"}]}".to_vec(), 400, "no inference request"),
        // Depth.
        ("/invocations", JSON, deep_lists, 400, "row 1"),
        ("/invocations", JSON, deep_objects, 400, "list of instances"),
        (INFER, v2, deep_tensor, 400, "nested too deeply"),
        // Shapes that claim what nobody sent.
        (INFER, v2, tensor(r#""shape":[10000000,3],"datatype":"FP32","data":[1]"#), 413, "more than"),
        (INFER, v2, tensor(r#""shape":[18446744073709551615,3],"datatype":"FP32","data":[1]"#), 413, "more than"),
        (INFER, v2, tensor(r#""shape":[1,1,1,1,3],"datatype":"FP32","data":[1,2,3]"#), 400, "shape"),
        (INFER, v2, tensor(r#""shape":[-1,3],"datatype":"FP32","data":[1,2,3]"#), 400, "no inference request"),
        // Sizes that disagree.
        ("/invocations", CSV, b"1,2".to_vec(), 400, "2 columns where the model takes 3"),
        ("/invocations", JSON, b"{\"instances\": [[1,2,3],[1,2,3,4]]}".to_vec(), 400, "row 2"),
        (INFER, v2, tensor(r#""shape":[2,3],"datatype":"FP32","data":[1,2,3]"#), 400, "3 elements where its shape says 6"),
        (INFER, "Inference-Header-Content-Length: 999\r\n", b"{}".to_vec(), 400, "999 bytes of JSON"),
        (INFER, "Inference-Header-Content-Length: x\r\n", b"{}".to_vec(), 400, "is no number"),
        // Types.
        (INFER, v2, tensor(r#""shape":[1,3],"datatype":"FP8","data":[1,2,3]"#), 400, "FP8"),
        (INFER, v2, tensor(r#""shape":[1,3],"datatype":"BYTES","data":["a","b","c"]"#), 400, "holds text"),
        ("/invocations", JSON, b"{\"instances\": [[1,\"two\",3]]}".to_vec(), 400, "row 1, column 2"),
        // What is no number, in each way to say so.
        ("/invocations", CSV, b"nan,1,2".to_vec(), 400, "row 1, column 1"),
        ("/invocations", CSV, b"1,inf,2".to_vec(), 400, "row 1, column 2"),
        ("/invocations", CSV, b"1,1e39,2".to_vec(), 400, "row 1, column 2"),
        ("/invocations", JSON, b"{\"instances\": [[1,null,3]]}".to_vec(), 400, "row 1, column 2"),
        ("/invocations", JSON, b"{\"instances\": [[1,NaN,3]]}".to_vec(), 400, "not JSON"),
        (INFER, v2, tensor(r#""shape":[1,3],"datatype":"FP32","data":[1,null,3]"#), 400, "row 1, column 2"),
        (INFER, v2, tensor(r#""shape":[1,3],"datatype":"FP32","data":[1,1e39,3]"#), 400, "row 1, column 2"),
        ("/invocations", JSON, b"{\"instances\": [[1,1e39,3]]}".to_vec(), 400, "row 1, column 2"),
        ("/invocations", LINES, b"[1,2,3]\n[1,2,-1e40]".to_vec(), 400, "row 2, column 3"),
        // No rows, and too many.
        ("/invocations", JSON, b"{\"instances\": []}".to_vec(), 400, "no rows"),
        ("/invocations", JSON, b"{}".to_vec(), 400, "instances"),
        (INFER, v2, tensor(r#""shape":[0,3],"datatype":"FP32","data":[]"#), 400, "no rows"),
        (INFER, v2, b"{\"inputs\": []}".to_vec(), 400, "no inputs"),
        ("/invocations", "Content-Type: text/libsvm\r\n", too_many, 413, "more than 1048576 rows"),
    ];
    let mut mistaken = Vec::new();
    for (path, headers, body, status, says) in wrong {
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        let reply = post(&mut client, path, headers, &body);
        let json: serde_json::Value = serde_json::from_str(&reply.body).unwrap_or_default();
        let told = json.to_string().replace('\\', "");
        // What to do stands beside it, or behind it in the protocol that has one text.
        let help = json["help"].as_str().or(json["error"].as_str()).unwrap_or_default();
        if reply.status != status || !told.contains(says) || help.len() < 9 {
            mistaken.push(format!("{path} {shown}: {} {told}", reply.status));
        }
    }
    assert!(mistaken.is_empty(), "{}", mistaken.join("\n"));
    // No bytes, and none but line ends: nothing was asked.
    for body in ["", "\n", " \r\n\n"] {
        assert_eq!(post(&mut client, "/invocations", CSV, body.as_bytes()).status, 204, "{body:?}");
    }
    assert!(close_to(client.post(CSV, "0,0,0").score(), 0.5));
}

#[test]
fn binary_tensors_are_checked_against_their_shape_their_type_and_their_size() {
    let running = quick();
    let mut client = Client::new(running.address());
    let mut ask = |shape: &str, kind: &str, size: usize, bytes: &[u8]| {
        let json = format!(
            r#"{{"inputs":[{{"name":"x","shape":{shape},"datatype":"{kind}","parameters":{{"binary_data_size":{size}}}}}]}}"#
        );
        let header = format!("Inference-Header-Content-Length: {}\r\n", json.len());
        let reply = post(&mut client, INFER, &header, &[json.as_bytes(), bytes].concat());
        (reply.status, reply.body)
    };
    let row: Vec<u8> = [0.5_f32, 1.0, 2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(ask("[1,3]", "FP32", 12, &row).0, 200);
    let infinite: Vec<u8> =
        [0.5, 1.0, f32::NEG_INFINITY].iter().flat_map(|value| value.to_le_bytes()).collect();
    let nan: Vec<u8> = [0.5, f32::NAN, 2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    for (shape, kind, size, bytes, status, says) in [
        ("[1,3]", "FP64", 12, &row[..], 400, "12 bytes are not 3 elements of FP64"),
        ("[1,3]", "BYTES", 12, &row, 400, "not 3 elements of BYTES"),
        ("[2,3]", "FP32", 12, &row, 400, "12 bytes are not 6 elements"),
        ("[1,3]", "FP32", 8, &row, 400, "8 bytes are not 3 elements"),
        ("[1,3]", "FP32", 16, &row, 400, "should have 16 bytes and 12 follow"),
        ("[1,3]", "FP32", 12, &[row.clone(), vec![0]].concat(), 400, "1 bytes follow"),
        ("[10000000,3]", "FP32", 12, &row, 413, "more than"),
        ("[6148914691236517206,3]", "FP32", 12, &row, 413, "more than"),
        ("[1,3]", "FP32", 12, &nan, 400, "row 1, column 2"),
        ("[1,3]", "FP32", 12, &infinite, 400, "row 1, column 3"),
    ] {
        let (found, body) = ask(shape, kind, size, bytes);
        assert_eq!(found, status, "{shape} {kind} {size}: {body}");
        assert!(body.contains(says), "{shape} {kind} {size}: {body}");
    }
    assert_eq!(ask("[1,3]", "FP32", 12, &row).0, 200);
}
