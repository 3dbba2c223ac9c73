//! The binary and sparse formats of SageMaker's algorithms through a real endpoint, there and back.

use super::*;
use crate::formats::parquet::{Packing, write};
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

const PARQUET: &str = "application/x-parquet";

fn columns(rows: &[[f32; 3]]) -> Vec<(&'static str, Vec<f64>)> {
    let column = |at: usize| rows.iter().map(|row| f64::from(row[at])).collect();
    vec![("a", column(0)), ("b", column(1)), ("c", column(2))]
}

#[test]
fn columns_of_parquet_go_in_by_any_of_the_types_names() {
    let running = quick();
    let mut client = Client::new(running.address());
    let rows = [[1.0, 2.0, 0.5], [0.0, 0.0, -3.0], [0.25, 9.0, 1.0]];
    let body = write(&columns(&rows), Packing { rows_per_group: 2, ..Packing::default() });
    for content in [PARQUET, "text/x-parquet", "parquet"] {
        are_close(&scores(&post(&mut client, content, "application/json", &body)), &rows);
    }
    let many: Vec<[f32; 3]> = (0..5_000).map(|row| [row as f32 / 5_000.0, 0.0, 1.0]).collect();
    let body = write(&columns(&many), Packing::default());
    are_close(&scores(&post(&mut client, PARQUET, "application/json", &body)), &many);
}

#[test]
fn a_parquet_bomb_is_refused_before_it_unfolds() {
    let running = quick();
    let mut client = Client::new(running.address());
    let rows = vec![0.0; 3 << 20];
    let body = write(&[("a", rows.clone()), ("b", rows.clone()), ("c", rows)], Packing::default());
    assert!(body.len() < 64 << 10, "{}", body.len());
    let reply = post(&mut client, PARQUET, "*/*", &body);
    assert_eq!(reply.status, 413, "{reply:?}");
    assert!(reply.body.contains("the request has more than 1048576 rows"), "{reply:?}");

    let body = long_zeros(200);
    assert!(body.len() < 6 << 20, "{}", body.len());
    let reply = post(&mut client, PARQUET, "*/*", &body);
    assert_eq!(reply.status, 400, "{reply:?}");
    assert!(reply.body.contains("its pages unpack to more bytes than are allowed"), "{reply:?}");
    are_close(&scores(&post(&mut client, PARQUET, "*/*", &long_zeros(3))), &[[0.0; 3]; 3]);
}

/// Rows of three numbers of a mebibyte each.
fn long_zeros(rows: usize) -> Vec<u8> {
    use parquet::data_type::{FixedLenByteArray, FixedLenByteArrayType};
    use parquet::file::{properties::WriterProperties, writer::SerializedFileWriter};
    let column = |name: &str| {
        format!("required fixed_len_byte_array ({}) {name} (decimal (38, 2));", 1 << 20)
    };
    let schema = format!("message rows {{{}{}{}}}", column("a"), column("b"), column("c"));
    let schema = parquet::schema::parser::parse_message_type(&schema).unwrap();
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_statistics_enabled(parquet::file::properties::EnabledStatistics::None)
        .set_compression(parquet::basic::Compression::GZIP(parquet::basic::GzipLevel::default()))
        .build();
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, schema.into(), properties.into()).unwrap();
    let mut group = file.next_row_group().unwrap();
    let zero = FixedLenByteArray::from(vec![0; 1 << 20]);
    while let Some(mut column) = group.next_column().unwrap() {
        let values = vec![zero.clone(); rows];
        column.typed::<FixedLenByteArrayType>().write_batch(&values, None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    file.close().unwrap();
    bytes
}

#[test]
fn what_is_wrong_with_a_parquet_request_is_told() {
    let running = quick();
    let mut client = Client::new(running.address());
    let good = write(&columns(&[[1.0, 2.0, 3.0]]), Packing::default());
    let four = [columns(&[[1.0; 3]]), vec![("label", vec![1.0])]].concat();
    let four = write(&four, Packing::default());
    let infinite = write(&columns(&[[1.0; 3], [1.0, f32::INFINITY, 1.0]]), Packing::default());
    for (body, told) in [
        (&good[..good.len() - 1], "the parquet file is damaged: it is cut short"),
        (b"1,2,3\n", "this is not parquet: it does not begin with PAR1"),
        (&four, "the file has 4 columns where the model takes 3"),
        (&infinite, "row 2, column 2: the number is infinite"),
    ] {
        let reply = post(&mut client, PARQUET, "*/*", body);
        assert_eq!(reply.status, 400, "{reply:?}");
        let json: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        let message = json["message"].as_str().unwrap();
        assert!(message.starts_with(told), "{message}");
    }
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
        ("text/libsvm", b"2:1 0:2\n2:1 0:2 2:3\n", "row 2: the index 2 stands there twice"),
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
