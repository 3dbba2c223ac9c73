//! The binary and sparse formats of SageMaker's algorithms through a real endpoint, there and back.

use super::*;
use crate::formats::recordio::{frame, record};

const RECORDIO: &str = "application/x-recordio-protobuf";

fn post(client: &mut Client, content: &str, accept: &str, body: &[u8]) -> Reply {
    let head = format!(
        "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: {content}\r\nAccept: {accept}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    client.send([head.as_bytes(), body].concat()).receive().unwrap()
}

fn scores(reply: &Reply) -> Vec<f32> {
    assert_eq!(reply.status, 200, "{reply:?}");
    let json: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    let rows = json["predictions"].as_array().unwrap();
    rows.iter().map(|row| row["score"].as_f64().unwrap() as f32).collect()
}

fn are_close(found: &[f32], rows: &[[f32; 3]]) {
    assert_eq!(found.len(), rows.len());
    for (found, row) in found.iter().zip(rows) {
        assert!(close_to(*found, score(row)), "{found} for {row:?}");
    }
}

#[test]
fn records_go_in_dense_and_sparse_and_come_out_as_records() {
    let running = quick();
    let mut client = Client::new(running.address());
    let rows = [[1.0, 2.0, 0.5], [0.0, 0.0, -3.0]];
    let dense: Vec<u8> = rows.iter().flat_map(|row| frame(&record(row, &[], &[], None))).collect();
    are_close(&scores(&post(&mut client, RECORDIO, "application/json", &dense)), &rows);
    let sparse = [
        frame(&record(&[0.5, 1.0, 2.0], &[2, 0, 1], &[3], Some(1.0))),
        frame(&record(&[-3.0], &[2], &[3], None)),
    ];
    are_close(&scores(&post(&mut client, RECORDIO, "application/json", &sparse.concat())), &rows);

    let reply = post(&mut client, RECORDIO, RECORDIO, &dense);
    assert_eq!((reply.status, reply.header("content-type")), (200, Some(RECORDIO)));
    let mut left = &reply.bytes[..];
    for row in &rows {
        assert_eq!(left[..4], 0xCED7_230A_u32.to_le_bytes());
        let length = u32::from_le_bytes(left[4..8].try_into().unwrap()) as usize;
        let (payload, rest) = left[8..].split_at(length);
        let holds = |wanted: &[u8]| payload.windows(wanted.len()).any(|part| part == wanted);
        assert!(holds(b"score") && holds(b"predicted_label"));
        let near = payload
            .windows(4)
            .any(|four| close_to(f32::from_le_bytes(four.try_into().unwrap()), score(row)));
        assert!(near, "{} is not in {payload:?}", score(row));
        left = &rest[length.next_multiple_of(4) - length..];
    }
    assert!(left.is_empty());
}

#[test]
fn lines_of_libsvm_go_in_with_or_without_a_label() {
    let running = quick();
    let mut client = Client::new(running.address());
    let body = b"1 0:1 1:2 2:0.5\n2:-3 # the others are nought\n0\n";
    let reply = post(&mut client, "text/libsvm", "application/json", body);
    are_close(&scores(&reply), &[[1.0, 2.0, 0.5], [0.0, 0.0, -3.0], [0.0; 3]]);
}

#[test]
fn what_is_wrong_with_a_record_or_a_line_is_told_with_its_row() {
    let running = quick();
    let mut client = Client::new(running.address());
    let good = frame(&record(&[1.0, 2.0, 3.0], &[], &[], None));
    let narrow = [good.clone(), frame(&record(&[1.0], &[], &[], None))].concat();
    for (content, body, told) in [
        (RECORDIO, &narrow[..], "row 2: the row has 1 number where the model takes 3"),
        (RECORDIO, &good[..good.len() - 1], "row 1: the record is cut short"),
        (RECORDIO, b"1,2,3\n4", "row 1: this is not RecordIO"),
        ("text/libsvm", b"0:1\n3:1\n", "row 2: the index 3 is beyond the 3 features"),
    ] {
        let reply = post(&mut client, content, "*/*", body);
        assert_eq!(reply.status, 400, "{reply:?}");
        let json: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        let message = json["message"].as_str().unwrap();
        assert!(message.starts_with(told), "{message}");
    }
    let reply = post(&mut client, RECORDIO, "*/*", b"");
    assert_eq!(reply.status, 204);
}
