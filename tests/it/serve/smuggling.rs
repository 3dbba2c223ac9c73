//! Requests that two parties could read differently: the rows that
//! `a_request_that_can_be_read_in_two_ways_ends_its_connection` does not have, and the corpus of
//! llhttp, Node's parser.

use super::*;

/// A request that must never be answered: it stands where a body ends for one reader alone.
const HIDDEN: &str = "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n";
const CHUNKS: &str = "5\r\n0,0,0\r\n0\r\n\r\n";
const CODED: &str = "Transfer-Encoding: chunked\r\n";

/// The statuses of all answers until the server ends the connection, which it does soon when
/// nothing more comes; `100 Continue` left out.
fn answers(address: SocketAddr, bytes: &[u8]) -> Vec<u16> {
    let mut client = Client::new(address);
    client.send(bytes);
    let is_head = bytes.starts_with(b"HEAD ");
    let replies = std::iter::from_fn(|| client.receive_to(is_head));
    replies.map(|reply| reply.status).filter(|status| *status != 100).collect()
}

#[test]
fn threat_22_a_line_a_length_or_a_chunk_in_doubt_ends_its_connection() {
    let running = builder(Linear::default()).limits(hasty()).start().unwrap();
    let start = "POST /invocations HTTP/1.1\r\nHost: x\r\n";
    let length = "Content-Length: 5\r\n";
    for (name, request) in [
        ("two equal lengths", format!("{start}{length}{length}\r\n0,0,0")),
        ("a length of a list of equals", format!("{start}Content-Length: 5, 5\r\n\r\n0,0,0")),
        ("a negative length", format!("{start}Content-Length: -5\r\n\r\n0,0,0")),
        ("an empty length", format!("{start}Content-Length: \r\n\r\n0,0,0")),
        (
            "a length beyond 64 bits",
            format!("{start}Content-Length: 18446744073709551621\r\n\r\n0,0,0"),
        ),
        ("a blank before the colon", format!("{start}Content-Length : 5\r\n\r\n0,0,0")),
        (
            "chunked twice in one",
            format!("{start}Transfer-Encoding: chunked, chunked\r\n\r\n{CHUNKS}"),
        ),
        ("a coding in quotes", format!("{start}Transfer-Encoding: \"chunked\"\r\n\r\n{CHUNKS}")),
        (
            "a coding behind a vertical tab",
            format!("{start}Transfer-Encoding: \x0bchunked\r\n\r\n{CHUNKS}"),
        ),
        (
            "a coding with a parameter",
            format!("{start}Transfer-Encoding: chunked;q=1\r\n\r\n{CHUNKS}"),
        ),
        ("a blank after a size", format!("{start}{CODED}\r\n5 \r\n0,0,0\r\n0\r\n\r\n")),
        ("a negative size", format!("{start}{CODED}\r\n-5\r\n0,0,0\r\n0\r\n\r\n")),
        ("a size with an underscore", format!("{start}{CODED}\r\n0_5\r\n0,0,0\r\n0\r\n\r\n")),
        ("a size without CR", format!("{start}{CODED}\r\n5\n0,0,0\r\n0\r\n\r\n")),
        (
            "an extension with a line feed",
            format!("{start}{CODED}\r\n5;a\n{HIDDEN}\r\n0,0,0\r\n0\r\n\r\n"),
        ),
        ("a chunk without CRLF", format!("{start}{CODED}\r\n5\r\n0,0,00\r\n\r\n")),
        ("a chunk that ends in LF", format!("{start}{CODED}\r\n5\r\n0,0,0\n0\r\n\r\n")),
        (
            "a last chunk of many zeros and more",
            format!("{start}{CODED}\r\n000000000000000005\r\n0,0,0\r\n0\r\n\r\n"),
        ),
        (
            "a bare LF after the request line",
            format!("POST /invocations HTTP/1.1\nHost: x\r\n{length}\r\n0,0,0"),
        ),
        (
            "a bare LF after a field",
            format!("POST /invocations HTTP/1.1\r\nHost: x\n{length}\r\n0,0,0"),
        ),
        ("a bare LF after the head", format!("{start}{length}\n0,0,0")),
        ("a NUL in a value", format!("{start}X-A: a\0b\r\n{length}\r\n0,0,0")),
        ("a CR in a value", format!("{start}X-A: a\rb\r\n{length}\r\n0,0,0")),
        ("a NUL in a name", format!("{start}X\0A: b\r\n{length}\r\n0,0,0")),
        ("a name without a colon", format!("{start}X-A\r\n{length}\r\n0,0,0")),
        ("an empty name", format!("{start}: b\r\n{length}\r\n0,0,0")),
        ("a folded line", format!("{start}X-A: b\r\n\tc\r\n{length}\r\n0,0,0")),
        (
            "a target of another host",
            format!("POST http://y/invocations HTTP/1.1\r\nHost: x\r\n{length}\r\n0,0,0"),
        ),
        (
            "a blank before the first field",
            format!("POST /invocations HTTP/1.1\r\n Host: x\r\n{length}\r\n0,0,0"),
        ),
        (
            "an unknown version",
            format!("POST /invocations HTTP/1.2\r\nHost: x\r\n{length}\r\n0,0,0"),
        ),
        (
            "two blanks in the request line",
            format!("POST  /invocations HTTP/1.1\r\nHost: x\r\n{length}\r\n0,0,0"),
        ),
    ] {
        let found = answers(running.address(), format!("{request}{HIDDEN}").as_bytes());
        assert!(matches!(found[..], [400 | 501]), "{name}: {found:?}");
    }
    // `PRI` is the beginning of HTTP/2 only in its own line: what follows it elsewhere is looked at.
    let pri = "PRI * HTTP/1.1\r\nHost: x\r\n\r\n";
    let both = format!("{pri}{start}{length}{CODED}\r\n{CHUNKS}{HIDDEN}");
    let found = answers(running.address(), both.as_bytes());
    assert!(matches!(found[..], [404 | 405, 400]), "after PRI: {found:?}");
    let expect = format!("{start}Expect: 200-ok\r\n{length}\r\n0,0,0{HIDDEN}");
    assert_eq!(answers(running.address(), expect.as_bytes()), [417]);
    // What is sound beside them: an absolute target, an extension, a trailer, zeros before a size.
    let sound = format!(
        "POST http://x/invocations HTTP/1.1\r\nHost: x\r\n{CODED}\r\n005;a=b\r\n0,0,0\r\n0\r\nX-A: b\r\n\r\n{HIDDEN}"
    );
    assert_eq!(answers(running.address(), sound.as_bytes()), [200, 200]);
}

/// One request of the corpus.
#[derive(Debug)]
struct Case {
    title: String,
    bytes: Vec<u8>,
    /// Heads that llhttp reads: each may be answered, whatever becomes of its body.
    heads: usize,
    /// Messages that it reads whole: each must be answered.
    complete: usize,
    /// Whether it refuses something in the end.
    refused: bool,
}

/// The strict requests of one of the corpus' files, as its own runner reads them.
fn cases(text: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for section in text.split("\n## ").flat_map(|part| part.split("\n### ")).skip(1) {
        let title = section.lines().next().unwrap_or_default().to_owned();
        let Some((meta, rest)) = section.split_once("```http\n") else { continue };
        let strict =
            meta.contains("\"request\"") && !meta.contains("pause") && !meta.contains("skipBody");
        let Some((http, rest)) = rest.split_once("\n```").filter(|_| strict) else { continue };
        let log =
            rest.split_once("```log\n").map_or("", |(_, log)| log.split("```").next().unwrap());
        // The runner of llhttp: a backslash before a line's end joins lines, every line ends in
        // CRLF, then escapes.
        let joined = http.replace("\\\n", "").replace('\n', "\r\n");
        let mut bytes = Vec::new();
        let mut rest = joined.as_str();
        while let Some((before, after)) = rest.split_once('\\') {
            bytes.extend(before.bytes());
            let skip = match after.as_bytes() {
                [b'r', ..] => {
                    bytes.push(b'\r');
                    1
                }
                [b'n', ..] => {
                    bytes.push(b'\n');
                    1
                }
                [b't', ..] => {
                    bytes.push(b'\t');
                    1
                }
                [b'f', ..] => {
                    bytes.push(0x0c);
                    1
                }
                [b'x', _, _, ..] => {
                    bytes.push(u8::from_str_radix(&after[1..3], 16).unwrap());
                    3
                }
                _ => {
                    bytes.push(b'\\');
                    0
                }
            };
            rest = &after[skip..];
        }
        bytes.extend(rest.bytes());
        let heads = log.matches("headers complete").count();
        let complete = log.matches("message complete").count();
        let refused = log.contains("error code=") && !log.contains("reason=\"Pause");
        cases.push(Case { title, bytes, heads, complete, refused });
    }
    cases
}

/// Where the endpoint judges otherwise than llhttp, and why that is meant.
const OTHERWISE: &[(&str, &str)] = &[
    ("SOURCE request with ICE", "not HTTP"),
    ("OPTIONS request with RTSP", "not HTTP"),
    ("ANNOUNCE request with RTSP", "not HTTP"),
    ("No HTTP version", "HTTP/0.9 has no status to refuse with"),
    ("POST with `chunked` as last transfer-encoding", "codings of a transfer are not undone: 501"),
    ("POST with `chunked` as last transfer-encoding (multiple headers)", "as above"),
    ("Quotes in URI", "RFC 3986 has no quotes"),
    ("Host terminated by a query string", "another host than the one this test adds"),
    ("`host:port` terminated by a query string", "as above"),
    ("`host:port` terminated by a space", "as above"),
    ("`host:port` and basic auth", "as above"),
    ("HTTP protocol and ANNOUNCE method", "a method nobody knows is answered 404 or 405"),
    ("Invalid method", "as above"),
    ("PRI request HTTP2", "in HTTP/1.1 a method as any other; what follows it is refused"),
];

#[test]
fn threat_22_llhttps_corpus_is_never_answered_more_often_than_llhttp_reads_it() {
    let Some(shared) = std::env::var_os("SMRT_SHARED").filter(|path| !path.is_empty()) else {
        return println!("skipped: SMRT_SHARED does not name the shared folder");
    };
    let archive = std::path::Path::new(&shared).join("vectors/http/llhttp-test.tar.gz");
    let file = std::fs::File::open(archive).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let running = builder(Linear::default()).limits(hasty()).start().unwrap();
    let (mut seen, mut wrong) = (0, Vec::new());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        if !path.contains("request/") || entry.read_to_string(&mut text).is_err() {
            continue;
        }
        for case in cases(&text) {
            seen += 1;
            // The corpus is about parsing: a host it does not have is no matter of that.
            let whole = String::from_utf8_lossy(&case.bytes).into_owned();
            let nameless = !whole.to_ascii_lowercase().contains("\nhost:");
            let bytes = match nameless {
                true => whole.replace(" HTTP/1.1\r\n", " HTTP/1.1\r\nHost: x\r\n").into_bytes(),
                false => case.bytes.clone(),
            };
            let found = answers(running.address(), &bytes);
            let refusal =
                |status: &u16| matches!(status, 400 | 408 | 413 | 414 | 417 | 431 | 501 | 505);
            let answered = found.iter().filter(|status| !refusal(status)).count();
            let otherwise = OTHERWISE.iter().any(|(title, _)| *title == case.title);
            let too_often = answered > case.heads;
            let too_seldom = !case.refused && answered < case.complete;
            if (too_often || too_seldom) != otherwise {
                wrong.push(format!(
                    "{path}: {}: {found:?} where llhttp reads {} (refused: {}) {:?}",
                    case.title,
                    case.complete,
                    case.refused,
                    String::from_utf8_lossy(&bytes)
                ));
            }
        }
    }
    assert!(seen > 80, "{seen} cases were found");
    assert!(wrong.is_empty(), "{} of {seen}:\n{}", wrong.len(), wrong.join("\n"));
}
