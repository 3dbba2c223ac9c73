//! Bodies larger than what is held of one: answered row by row while they arrive.
//!
//! `SMRT_STREAM_MB=400 cargo test --release --test it -- serve::streamed::a_body_of_any` is the long
//! one, which looks at memory too; without it the body is a few MB.

use super::*;
use crate::formats::recordio::{frame, record};

/// What is held of one body here.
const HELD: usize = 1 << 20;

fn streaming(limits: Limits) -> Running {
    builder(Linear::default()).limits(Limits { body_bytes_max: HELD, ..limits }).start().unwrap()
}

fn row(at: usize) -> [f32; 3] {
    [at % 1_000, at % 777, at % 13].map(|value| value as f32 * 0.001 - 0.3)
}

fn line(at: usize) -> String {
    let [a, b, c] = row(at);
    format!("{a},{b},{c}\n")
}

fn rows(count: usize) -> String {
    (0..count).map(line).collect()
}

/// An answer in chunks: its status, its bytes, and whether its end was there.
fn in_chunks(stream: &mut impl BufRead) -> (u16, Vec<u8>, bool) {
    let mut line = String::new();
    let mut next = |stream: &mut dyn BufRead| {
        line.clear();
        stream.read_line(&mut line).unwrap_or(0);
        line.trim_end().to_owned()
    };
    let status = next(stream).split(' ').nth(1).unwrap().parse().unwrap();
    let mut chunked = false;
    loop {
        let header = next(stream).to_ascii_lowercase();
        assert!(!header.starts_with("content-length"), "{header}");
        chunked |= header == "transfer-encoding: chunked";
        if header.is_empty() {
            break;
        }
    }
    assert!(chunked);
    let mut bytes = Vec::new();
    while let Ok(size) = usize::from_str_radix(&next(stream), 16) {
        if size == 0 {
            next(stream);
            return (status, bytes, true);
        }
        let begun = bytes.len();
        bytes.resize(begun + size, 0);
        if stream.read_exact(&mut bytes[begun..]).is_err() || !next(stream).is_empty() {
            break;
        }
    }
    (status, bytes, false)
}

/// Sends a request while its answer is read.
fn exchange(address: SocketAddr, request: &[u8]) -> (u16, Vec<u8>, bool) {
    let mut client = Client::new(address);
    let mut writer = client.stream.get_ref().try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _ = writer.write_all(request);
        });
        in_chunks(&mut client.stream)
    })
}

#[test]
fn a_large_body_is_answered_in_every_format_as_if_it_had_been_held() {
    let body = rows(120_000);
    assert!(body.len() > 2 * HELD);
    let streaming = streaming(Limits::default());
    let held = Limits { streamed_bytes_max: 0, body_bytes_max: 64 << 20, ..Limits::default() };
    let held = builder(Linear::default()).limits(held).start().unwrap();
    for accept in ["text/csv", "application/json", "application/jsonlines"] {
        let request = invocation(&format!("{CSV}Accept: {accept}\r\n"), &body);
        let whole = Client::new(held.address()).send(&request).receive().unwrap();
        let (status, bytes, complete) = exchange(streaming.address(), request.as_bytes());
        assert_eq!((status, complete, whole.status), (200, true, 200), "{accept}");
        assert!(bytes == whole.bytes, "{accept}: {} and {}", bytes.len(), whole.bytes.len());
    }
    // Of another shape: a header, quotes, no length, no last line feed, nothing at the end.
    let entries = body.lines().map(|line| format!("{{\"features\": [{line}]}}\n"));
    let lines: String = entries.collect();
    let (first, rest) = body.split_once('\n').unwrap();
    let quoted = format!("\"{}\"\n{rest}", first.replace(',', "\",\""));
    for (headers, body) in [
        ("Content-Type: text/csv; header=present\r\n", format!("a,b,c\n{body}")),
        ("Content-Type: application/jsonlines\r\n", lines),
        (CSV, body.trim_end().to_owned()),
        (CSV, body.replace('\n', "\r\n") + "\r\n\r\n"),
        (CSV, quoted),
    ] {
        let headers = format!("{headers}Accept: text/csv\r\n");
        let whole = Client::new(held.address()).post(&headers, &body);
        let mut request = format!(
            "POST /invocations HTTP/1.1\r\nHost: x\r\n{headers}Transfer-Encoding: chunked\r\n\r\n"
        )
        .into_bytes();
        for piece in body.as_bytes().chunks(70_001) {
            request.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            request.extend_from_slice(piece);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"0\r\n\r\n");
        let (status, bytes, complete) = exchange(streaming.address(), &request);
        assert_eq!((status, complete, whole.status), (200, true, 200), "{headers}");
        assert!(bytes == whole.bytes, "{headers}");
    }
}

#[test]
fn records_are_cut_between_their_frames() {
    let count = 80_000;
    let body: Vec<u8> =
        (0..count).flat_map(|at| frame(&record(&row(at), &[], &[], None))).collect();
    assert!(body.len() > HELD + (HELD >> 1));
    let running = streaming(Limits::default());
    let head = format!(
        "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-recordio-protobuf\r\n\
         Accept: text/csv\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let (status, bytes, complete) = exchange(running.address(), &[head.as_bytes(), &body].concat());
    assert_eq!((status, complete), (200, true));
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(text.lines().count(), count);
    for (at, line) in text.lines().enumerate() {
        assert!(close_to(line.parse().unwrap(), score(&row(at))), "row {at}: {line}");
    }
}

#[test]
fn a_connection_goes_on_after_a_streamed_answer() {
    let running = streaming(Limits::default());
    let mut client = Client::new(running.address());
    let body = rows(120_000);
    for _ in 0..2 {
        let request = invocation(&format!("{CSV}Accept: text/csv\r\n"), &body);
        let mut writer = client.stream.get_ref().try_clone().unwrap();
        let answer = std::thread::scope(|scope| {
            scope.spawn(move || writer.write_all(request.as_bytes()).unwrap());
            in_chunks(&mut client.stream)
        });
        assert!(answer.0 == 200 && answer.2);
        assert!(close_to(client.post(CSV, "0,0,0").score(), 0.5));
    }
    assert_eq!(metric(running.address(), "smrt_in_flight"), 0.0);
}

#[test]
fn blocks_of_a_body_that_was_let_in_wait_for_room() {
    let door = Arc::default();
    let limits = Limits { body_bytes_max: HELD, ..Limits::default() };
    let running = builder(heavy(&door)).workers(1).queue_max(4, 10).limits(limits).start().unwrap();
    let address = running.address();
    let mut held = Client::new(address);
    held.send(invocation(CSV, &format!("{HOLD},0,0")));
    door.wait_for(1);
    // Its first block alone has more rows than may wait; those behind it are not sent away.
    let request = invocation(&format!("{CSV}Accept: text/csv\r\n"), &rows(90_000));
    let (status, bytes, complete) = std::thread::scope(|scope| {
        let asked = scope.spawn(|| exchange(address, request.as_bytes()));
        eventually("it waits", || metric(address, "smrt_queue_requests") >= 1.0);
        door.open();
        asked.join().unwrap()
    });
    assert_eq!((status, complete), (200, true));
    assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 90_000);
    assert!(close_to(held.receive().unwrap().score(), score(&[HOLD, 0.0, 0.0])));
}

#[test]
fn a_mistake_in_the_first_rows_is_told_and_one_later_cuts_the_answer() {
    let running = streaming(Limits::default());
    let address = running.address();
    let wrong = |at: usize| -> String {
        (0..120_000).map(|row| if row == at { "1,2\n".to_owned() } else { line(row) }).collect()
    };
    let mut client = Client::new(address);
    let reply = client.post(CSV, &wrong(6));
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains("row 7"), "{}", reply.body);
    // The rest was read and thrown away.
    assert_eq!(client.post(CSV, "0,0,0").status, 200);

    let request = invocation(&format!("{CSV}Accept: text/csv\r\n"), &wrong(100_000));
    let (status, bytes, complete) = exchange(address, request.as_bytes());
    assert_eq!((status, complete), (200, false));
    // What was sent is right, and not all.
    let text = String::from_utf8(bytes).unwrap();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    assert!(whole.lines().count() < 100_000);
    for (at, line) in whole.lines().enumerate() {
        assert!(close_to(line.parse().unwrap(), score(&row(at))), "row {at}: {line}");
    }
    eventually("it is counted", || metric(address, "smrt_in_flight") == 0.0);
    let page = Client::new(address).get("/metrics").body;
    let refused = page.lines().filter(|line| line.contains("4XX") || line.contains("4xx"));
    assert!(refused.clone().any(|line| line.ends_with(" 2")), "{:?}", refused.collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_streamed_is_refused_as_too_large() {
    let running = streaming(Limits { streamed_bytes_max: 2 << 20, ..Limits::default() });
    let address = running.address();
    let ask = |request: String| Client::new(address).send(request).receive().unwrap();
    let body = rows(120_000);
    assert!((HELD..2 << 20).contains(&(body.len() / 2)));
    // An answer without a length ends with its connection in HTTP/1.0, whole or not.
    let old = invocation(CSV, &body).replacen("HTTP/1.1", "HTTP/1.0", 1);
    assert_eq!(ask(old).status, 413);
    let json = format!("{{\"instances\": [{}]}}", vec!["[1,2,3]"; 200_000].join(","));
    assert_eq!(ask(invocation("Content-Type: application/json\r\n", &json)).status, 413);
    let declared = ask(invocation(CSV, &body));
    assert_eq!(declared.status, 413);
    assert!(declared.body.contains("2097152"), "{}", declared.body);
    // One row that never ends is not held for ever.
    let endless = ask(invocation(CSV, &"1,".repeat(HELD / 2 + 200_000)));
    assert_eq!(endless.status, 413);
    assert!(endless.body.contains("a row does not end"), "{}", endless.body);

    // Of unknown length: known to be too large when half of it has been answered.
    let mut request = format!(
        "POST /invocations HTTP/1.1\r\nHost: x\r\n{CSV}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body.as_bytes());
    request.extend_from_slice(b"\r\n0\r\n\r\n");
    let (status, _, complete) = exchange(address, &request);
    assert_eq!((status, complete), (200, false));
}

#[test]
fn a_caller_who_stalls_or_does_not_read_or_leaves_is_let_go() {
    let limits = Limits {
        body_stall_timeout: Duration::from_millis(200),
        write_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let running = streaming(limits);
    let address = running.address();
    let head = "POST /invocations HTTP/1.1\r\nHost: x\r\nAccept: text/csv\r\nContent-Length: 99999999\r\n\r\n";
    let body = rows(30_000);

    let mut stalled = Client::new(address);
    stalled.send(head).send(&body);
    let (status, _, complete) = in_chunks(&mut stalled.stream);
    assert_eq!((status, complete), (200, false));

    let mut early = Client::new(address);
    early.send(head).send("1,2,3\n");
    assert_eq!(early.receive().unwrap().status, 408);
    assert!(early.is_closed());

    // Sends for as long as it is taken, and reads nothing: it cannot go on for ever.
    let mut deaf = Client::new(address);
    deaf.send(head);
    let start = Instant::now();
    while deaf.stream.get_mut().write_all(body.as_bytes()).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(20), "a caller who never reads is served");
    }

    let mut gone = Client::new(address);
    gone.send(head).send(&body);
    let mut first = [0; 12];
    gone.stream.read_exact(&mut first).unwrap();
    drop(gone);
    eventually("all are counted", || metric(address, "smrt_in_flight") == 0.0);
    eventually("all are gone", || metric(address, "smrt_connections") <= 1.0);
}

#[test]
fn over_http2_a_large_body_is_answered_and_a_mistake_resets_its_stream() {
    use bytes::Bytes;
    let running = streaming(Limits::default());
    let address = running.address();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let ask = |body: String| {
        runtime.block_on(async move {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let (client, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            let request = hyper::Request::post("http://x/invocations").header("accept", "text/csv");
            let mut client = client.ready().await.unwrap();
            let (reply, mut sender) =
                client.send_request(request.body(()).unwrap(), false).unwrap();
            tokio::spawn(async move {
                let mut left = Bytes::from(body);
                while !left.is_empty() {
                    sender.reserve_capacity(left.len());
                    match std::future::poll_fn(|context| sender.poll_capacity(context)).await {
                        Some(Ok(room)) => {
                            let piece = left.split_to(room.min(left.len()));
                            if sender.send_data(piece, left.is_empty()).is_err() {
                                return;
                            }
                        }
                        _ => return,
                    }
                }
            });
            let mut content = reply.await.unwrap().into_body();
            let mut text = Vec::new();
            while let Some(piece) = content.data().await {
                let Ok(piece) = piece else { return (text, false) };
                content.flow_control().release_capacity(piece.len()).unwrap();
                text.extend_from_slice(&piece);
            }
            (text, true)
        })
    };
    let count = 120_000;
    let (text, complete) = ask(rows(count));
    assert!(complete);
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().count(), count);
    for (at, line) in text.lines().enumerate().step_by(997) {
        assert!(close_to(line.parse().unwrap(), score(&row(at))), "row {at}: {line}");
    }
    let (_, complete) = ask(rows(count) + "1,2\n" + &rows(1_000));
    assert!(!complete);
}

/// Resident bytes of this process.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok().map(|kib: usize| kib << 10)
}

#[test]
fn a_body_of_any_length_is_answered_by_value_in_constant_memory() {
    let megabytes = std::env::var("SMRT_STREAM_MB").ok().and_then(|text| text.parse().ok());
    let megabytes: usize = megabytes.unwrap_or(8);
    let running = streaming(Limits::default());
    let mut client = Client::new(running.address());
    let mut writer = client.stream.get_ref().try_clone().unwrap();
    let (start, mut before, mut most, mut answered) = (Instant::now(), None, 0, 0);
    std::thread::scope(|scope| {
        // Rows are made as they are sent: nobody holds the body.
        let sender = scope.spawn(move || {
            let head = "POST /invocations HTTP/1.1\r\nHost: x\r\nAccept: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n";
            writer.write_all(head.as_bytes()).unwrap();
            let (mut sent, mut at) = (0, 0);
            while sent < megabytes << 20 {
                let rows: String = (at..at + 2_000).map(line).collect();
                (at, sent) = (at + 2_000, sent + rows.len());
                writer.write_all(format!("{:x}\r\n{rows}\r\n", rows.len()).as_bytes()).unwrap();
            }
            writer.write_all(b"0\r\n\r\n").unwrap();
            at
        });
        let stream = &mut client.stream;
        let mut text = String::new();
        while text != "\r\n" {
            text.clear();
            stream.read_line(&mut text).unwrap();
        }
        let mut carry = Vec::new();
        loop {
            text.clear();
            stream.read_line(&mut text).unwrap();
            let size = usize::from_str_radix(text.trim_end(), 16).expect("the answer was cut");
            let begun = carry.len();
            carry.resize(begun + size, 0);
            stream.read_exact(&mut carry[begun..]).unwrap();
            stream.read_exact(&mut [0; 2]).unwrap();
            if size == 0 {
                break;
            }
            let end = carry.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            for line in std::str::from_utf8(&carry[..end]).unwrap().lines() {
                let (found, expected) = (line.parse().unwrap(), score(&row(answered)));
                assert!(close_to(found, expected), "row {answered}: {found}");
                answered += 1;
            }
            carry.drain(..end);
            // What is kept for reuse is there after the first rows.
            if answered > 100_000 && before.is_none() {
                before = resident();
            }
            if answered.is_multiple_of(1_000) {
                most = most.max(resident().unwrap_or(0));
            }
        }
        assert_eq!(answered, sender.join().unwrap());
    });
    let (seconds, before) = (start.elapsed().as_secs_f64(), before.unwrap_or(0));
    println!(
        "{megabytes} MB, {answered} rows, {seconds:.1} s, {before} bytes resident, then at most {most}"
    );
    // Only where nothing else runs beside it in this process.
    if megabytes >= 100 {
        assert!(most < before + (16 << 20), "memory grew from {before} to {most}");
    }
}
