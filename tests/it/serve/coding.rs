//! Compressed bodies in both directions.

use std::io::Write;

use flate2::{Compression, read::GzDecoder, write::GzEncoder, write::ZlibEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// What is sent as each coding, small and beyond what is unfolded in place.
fn packed(plain: &[u8]) -> [(&'static str, Vec<u8>); 3] {
    [
        ("gzip", gzip(plain)),
        ("deflate", zlib(plain)),
        ("zstd", compress_to_vec(plain, CompressionLevel::Fastest)),
    ]
}

fn ask(client: &mut Client, headers: &str, body: &[u8]) -> Reply {
    let head = format!(
        "POST /invocations HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(head).send(body).receive().unwrap()
}

#[test]
fn a_compressed_body_is_answered_as_the_plain_one() {
    let running = quick();
    let mut client = Client::new(running.address());
    for rows in [1, 20_000] {
        let plain: String = (0..rows).map(|row| format!("{},{row},0.5\n", row % 7)).collect();
        let expected = ask(&mut client, "Accept: text/csv\r\n", plain.as_bytes());
        assert_eq!((expected.status, expected.body.lines().count()), (200, rows));
        for (coding, body) in packed(plain.as_bytes()) {
            let headers = format!("Content-Encoding: {coding}\r\nAccept: text/csv\r\n");
            let reply = ask(&mut client, &headers, &body);
            assert_eq!((reply.status, &reply.body), (200, &expected.body), "{coding}");
        }
    }
    let empty = ask(&mut client, "Content-Encoding: gzip\r\n", &gzip(b""));
    assert_eq!(empty.status, 204);
}

#[test]
fn a_body_that_unfolds_beyond_the_limit_is_refused_and_the_connection_goes_on() {
    let limits = Limits { body_bytes_max: 1 << 20, ..Limits::default() };
    let running = builder(Linear::default()).limits(limits).start().unwrap();
    let mut client = Client::new(running.address());
    for (coding, bomb) in packed(&vec![b'0'; 64 << 20]) {
        assert!(bomb.len() < 1 << 20, "{coding}");
        let reply = ask(&mut client, &format!("Content-Encoding: {coding}\r\n"), &bomb);
        assert_eq!(reply.status, 413, "{coding}");
        assert!(reply.body.contains("1048576"), "{}", reply.body);
        assert_eq!(client.post(CSV, "0,0,0").status, 200);
    }
}

#[test]
fn what_is_not_what_its_coding_says_is_refused_with_the_reason() {
    let running = quick();
    let mut client = Client::new(running.address());
    for coding in ["gzip", "deflate", "zstd"] {
        let reply = ask(&mut client, &format!("Content-Encoding: {coding}\r\n"), b"1,2,3");
        assert_eq!(reply.status, 400);
        assert!(reply.body.contains(&format!("the body is not {coding}")), "{}", reply.body);
    }
    for unknown in ["br", "gzip, gzip", "compress"] {
        let reply = ask(&mut client, &format!("Content-Encoding: {unknown}\r\n"), b"1,2,3");
        assert_eq!(reply.status, 415);
        assert!(reply.body.contains("gzip, deflate, zstd"), "{}", reply.body);
    }
    let twice = "Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n";
    assert_eq!(ask(&mut client, twice, &gzip(b"1,2,3")).status, 415);
}

#[test]
fn a_large_answer_is_compressed_for_whoever_takes_it_so() {
    let running = quick();
    let mut client = Client::new(running.address());
    let body = "1,2,0.5\n".repeat(2_000);
    let plain = client.post("Accept: text/csv\r\n", &body);
    assert_eq!(
        (plain.header("content-encoding"), plain.header("vary")),
        (None, Some("accept-encoding"))
    );
    let packed = client.post("Accept: text/csv\r\nAccept-Encoding: br, gzip\r\n", &body);
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.bytes.len() < plain.bytes.len() / 4);
    let mut unfolded = String::new();
    GzDecoder::new(&packed.bytes[..]).read_to_string(&mut unfolded).unwrap();
    assert_eq!(unfolded, plain.body);
    let refused = client.post("Accept: text/csv\r\nAccept-Encoding: gzip;q=0\r\n", &body);
    assert_eq!((refused.header("content-encoding"), &refused.body), (None, &plain.body));
    let small = client.post("Accept-Encoding: gzip\r\n", "1,2,3");
    assert_eq!((small.header("content-encoding"), small.header("vary")), (None, None));
}
