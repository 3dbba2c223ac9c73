//! HTTP/2, by a client that does what a good one would not.

use bytes::Bytes;
use h2::Reason;
use h2::client::{Builder as Connect, SendRequest};
use hyper::{Method, Request};
use tokio::runtime::Runtime;

use super::*;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A connection, and how it ended.
async fn connect(
    address: SocketAddr,
    settings: &mut Connect,
) -> (SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (client, connection) = settings.handshake(stream).await.unwrap();
    (client, tokio::spawn(connection))
}

fn request(method: Method, path: &str) -> Request<()> {
    let uri = format!("http://x{path}");
    Request::builder().method(method).uri(uri).body(()).unwrap()
}

/// The status and the body.
async fn ask(
    client: &SendRequest<Bytes>,
    request: Request<()>,
    body: &str,
) -> Result<(u16, String), h2::Error> {
    let mut client = client.clone().ready().await?;
    let (reply, mut stream) = client.send_request(request, body.is_empty())?;
    if !body.is_empty() {
        stream.send_data(Bytes::from(body.to_owned()), true)?;
    }
    let reply = reply.await?;
    let status = reply.status().as_u16();
    let mut content = reply.into_body();
    let mut text = Vec::new();
    while let Some(piece) = content.data().await {
        let piece = piece?;
        content.flow_control().release_capacity(piece.len())?;
        text.extend_from_slice(&piece);
    }
    Ok((status, String::from_utf8(text).unwrap()))
}

fn infer() -> Request<()> {
    let mut request = request(Method::POST, "/invocations");
    request.headers_mut().insert("accept", "text/csv".parse().unwrap());
    request
}

#[test]
fn a_hundred_requests_on_one_connection_get_their_own_answers() {
    for predictor in [Linear::default(), heavy(&Arc::default())] {
        let running = builder(predictor).start().unwrap();
        runtime().block_on(async {
            let (client, _connection) = connect(running.address(), &mut Connect::new()).await;
            let asked = (0..100).map(|at| {
                let client = client.clone();
                async move {
                    let rows = 1 + at % 40;
                    let body: String = (0..rows).map(|row| format!("{at},{row},0\n")).collect();
                    let (status, answer) = ask(&client, infer(), &body).await.unwrap();
                    assert_eq!((status, answer.lines().count()), (200, rows));
                    for (row, line) in answer.lines().enumerate() {
                        assert!(close_to(
                            line.parse().unwrap(),
                            score(&[at as f32, row as f32, 0.0])
                        ));
                    }
                }
            });
            futures_util::future::join_all(asked).await;
            let (status, _) = ask(&client, request(Method::GET, "/ping"), "").await.unwrap();
            assert_eq!(status, 200);
        });
    }
}

#[test]
fn large_bodies_go_both_ways_and_one_that_is_too_large_ends_its_stream_alone() {
    let running = quick();
    runtime().block_on(async {
        let (client, _connection) = connect(running.address(), &mut Connect::new()).await;
        let rows = 200_000;
        let body: String = (0..rows).map(|row| format!("{},1,0\n", row % 7)).collect();
        let (status, answer) = ask(&client, infer(), &body).await.unwrap();
        assert_eq!((status, answer.lines().count()), (200, rows));
        // Not of rows: it is held, or not at all.
        let mut whole = infer();
        whole.headers_mut().insert("content-type", "application/json".parse().unwrap());
        let (status, _) = ask(&client, whole, &"1,2,3\n".repeat(2 << 20)).await.unwrap();
        assert_eq!(status, 413);
        assert_eq!(ask(&client, infer(), "0,0,0").await.unwrap().1.trim(), "0.5");
    });
}

#[test]
fn a_head_that_says_two_things_is_refused_and_the_next_is_not_touched() {
    let running = quick();
    runtime().block_on(async {
        let (client, _connection) = connect(running.address(), &mut Connect::new()).await;
        let mut two = infer();
        two.headers_mut().insert("host", "y".parse().unwrap());
        assert_eq!(ask(&client, two, "0,0,0").await.unwrap().0, 400);
        let long = request(Method::GET, &format!("/{}", "a".repeat(6_000)));
        assert_eq!(ask(&client, long, "").await.unwrap().0, 414);
        assert_eq!(ask(&client, infer(), "0,0,0").await.unwrap().0, 200);
        // What would be a request of its own to whoever writes it down as HTTP/1.
        let mut smuggled = infer();
        smuggled.headers_mut().insert("x-a", "b\tGET /ping HTTP/1.1".parse().unwrap());
        assert_eq!(ask(&client, smuggled, "0,0,0").await.unwrap().0, 200);
    });
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let running = quick();
    runtime().block_on(async {
        let (client, _connection) = connect(running.address(), &mut Connect::new()).await;
        let mut large = infer();
        large.headers_mut().insert("x-large", "a".repeat(20_000).parse().unwrap());
        match ask(&client, large, "0,0,0").await {
            Ok((status, _)) => assert_eq!(status, 431),
            Err(error) => assert!(error.reason().is_some(), "{error}"),
        }
    });
}

#[test]
fn whoever_asks_and_takes_back_without_end_is_cut_off() {
    let running = builder(heavy(&Arc::default())).start().unwrap();
    runtime().block_on(async {
        let (client, connection) = connect(running.address(), &mut Connect::new()).await;
        let flood = async {
            for _ in 0..50_000 {
                let mut client = client.clone().ready().await?;
                let (_reply, mut stream) = client.send_request(infer(), false)?;
                stream.send_data(Bytes::from_static(b"0,0,0"), true)?;
                // Let it be begun, so that it is no longer one that was never seen.
                tokio::task::yield_now().await;
                stream.send_reset(Reason::CANCEL);
            }
            Ok::<(), h2::Error>(())
        };
        assert!(flood.await.is_err());
        // By a word if there was time for one.
        drop(client);
        let _ = connection.await.unwrap();
    });
    assert!(close_to(Client::new(running.address()).post(CSV, "0,0,0").score(), 0.5));
    eventually("nothing of it is left", || metric(running.address(), "smrt_connections") <= 1.0);
    assert_eq!(metric(running.address(), "smrt_in_flight"), 0.0);
}

#[test]
fn slow_bodies_unread_answers_and_idle_connections_end() {
    let limits = Limits { write_timeout: Duration::from_millis(60), ..hasty() };
    let running = builder(Linear::default()).limits(limits).start().unwrap();
    runtime().block_on(async {
        let (client, connection) = connect(running.address(), &mut Connect::new()).await;
        let mut sender = client.clone().ready().await.unwrap();
        let (reply, mut stream) = sender.send_request(infer(), false).unwrap();
        stream.send_data(Bytes::from_static(b"0,"), false).unwrap();
        assert_eq!(reply.await.unwrap().status().as_u16(), 408);
        drop(stream);
        drop((client, sender));
        // Idle now: the connection is told to go, and ends.
        let _ = connection.await.unwrap();

        let (client, connection) = connect(running.address(), &mut Connect::new()).await;
        let mut sender = client.clone().ready().await.unwrap();
        let (reply, mut stream) = sender.send_request(infer(), false).unwrap();
        let body = "1,2,0.5\n".repeat(100_000);
        stream.reserve_capacity(body.len());
        stream.send_data(Bytes::from(body), true).unwrap();
        let reply = reply.await.unwrap();
        assert_eq!(reply.status().as_u16(), 200);
        // Its answer is larger than the window, which is never opened again.
        let ended = tokio::time::timeout(Duration::from_secs(20), connection).await;
        assert!(ended.is_ok(), "whoever does not read is kept");
        drop((reply, client, sender));
    });
    eventually("all are gone", || metric(running.address(), "smrt_connections") <= 1.0);
}

#[test]
fn stopping_finishes_what_is_under_way_on_each_connection() {
    let door = Arc::default();
    let running = builder(heavy(&door)).start().unwrap();
    let address = running.address();
    runtime().block_on(async {
        let (client, connection) = connect(address, &mut Connect::new()).await;
        let held = tokio::spawn({
            let client = client.clone();
            async move { ask(&client, infer(), &format!("{HOLD},0,0")).await.unwrap() }
        });
        let waiting = Arc::clone(&door);
        tokio::task::spawn_blocking(move || waiting.wait_for(1)).await.unwrap();
        running.stop();
        tokio::task::spawn_blocking(move || {
            eventually("nobody listens", || TcpStream::connect(address).is_err());
        })
        .await
        .unwrap();
        door.open();
        let (status, answer) = held.await.unwrap();
        assert_eq!(status, 200);
        assert!(close_to(answer.trim().parse().unwrap(), score(&[HOLD, 0.0, 0.0])));
        drop(client);
        connection.await.unwrap().unwrap();
    });
    running.wait();
}

#[test]
fn a_preface_in_pieces_is_a_preface_and_half_of_one_is_not() {
    let running = builder(Linear::default()).limits(hasty()).start().unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut pieces = Client::new(running.address());
    for byte in preface {
        pieces.send([*byte]);
    }
    // An empty SETTINGS frame: the answer begins with the server's own.
    pieces.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    let mut frame = [0; 9];
    pieces.stream.read_exact(&mut frame).unwrap();
    assert_eq!(frame[3], 4, "{frame:?}");
    let mut half = Client::new(running.address());
    half.send(&preface[..10]);
    assert_eq!(half.receive().unwrap().status, 408);
    let mut wrong = Client::new(running.address());
    wrong.send("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    assert_eq!(wrong.receive().unwrap().status, 400);
    assert!(wrong.is_closed());
}

/// Frames written by hand: what no client would send.
struct Raw {
    stream: TcpStream,
    next: u32,
}

impl Raw {
    fn new(address: SocketAddr) -> Raw {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
        Raw { stream, next: 1 }
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        let _ = self.stream.write_all(&frame);
    }

    fn read(&mut self) -> Option<(u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).ok()?;
        Some((head[3], u32::from_be_bytes(head[5..].try_into().unwrap()), payload))
    }

    /// Asks with these headers; what became of it.
    fn ask(&mut self, headers: &[(&str, &str)], body: &str) -> Came {
        let stream = self.next;
        self.next += 2;
        let mut block = Vec::new();
        for (name, value) in headers {
            // A literal without indexing, its name too (RFC 7541, section 6.2.2).
            block.push(0);
            for text in [name, value] {
                block.push(text.len() as u8);
                block.extend(text.as_bytes());
            }
        }
        self.frame(1, 4, stream, &block);
        self.frame(0, 1, stream, body.as_bytes());
        loop {
            match self.read() {
                // 400 and 200 stand in the static table as 12 and 8.
                Some((1, of, payload)) if of == stream => return Came::Status(payload[0]),
                Some((3, of, _)) if of == stream => return Came::Reset,
                Some((7, ..)) | None => return Came::Closed,
                Some(_) => {}
            }
        }
    }
}

#[derive(Debug, PartialEq)]
enum Came {
    Status(u8),
    Reset,
    Closed,
}

const OK: Came = Came::Status(0x88);
const BAD: Came = Came::Status(0x8c);

/// What an HTTP/1 server behind a gateway could be made to read as two requests (RFC 9113,
/// sections 8.2 and 8.3): never an answer of the model's.
#[test]
fn a_head_that_would_be_two_in_http_1_is_refused() {
    let running = quick();
    let sound =
        [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/invocations")];
    let mut raw = Raw::new(running.address());
    assert_eq!(raw.ask(&sound, "0,0,0"), OK);
    for (name, value) in [
        ("transfer-encoding", "chunked"),
        ("connection", "keep-alive"),
        ("keep-alive", "1"),
        ("upgrade", "h2c"),
        ("te", "chunked"),
        ("content-length", "0"),
        ("content-length", "4"),
        ("content-length", "6"),
        ("content-length", "+5"),
        ("Content-Length", "5"),
        ("host", "y"),
        ("x-a", "b\r\nx-c: d"),
        ("x-a", "b\nx-c: d"),
        ("x-a", "b\0"),
        ("x-a: b\r\nx-c", "d"),
        ("x a", "b"),
        ("", "b"),
        (":path", "/ping"),
        (":status", "200"),
        (":method", "GET"),
    ] {
        let mut raw = Raw::new(running.address());
        let mut headers = sound.to_vec();
        headers.push((name, value));
        let came = raw.ask(&headers, "0,0,0");
        assert!(
            came == BAD || matches!(came, Came::Reset | Came::Closed),
            "{name:?} {value:?}: {came:?}"
        );
        if came != Came::Closed {
            assert_eq!(raw.ask(&sound, "0,0,0"), OK, "after {name:?} {value:?}");
        }
    }
    let mut twice = sound.to_vec();
    twice.extend([("content-length", "5"), ("content-length", "6")]);
    assert_ne!(Raw::new(running.address()).ask(&twice, "0,0,0"), OK);
    for missing in [0, 3] {
        let mut headers = sound.to_vec();
        headers.remove(missing);
        assert_ne!(Raw::new(running.address()).ask(&headers, "0,0,0"), OK, "{missing}");
    }
    for path in ["/invocations HTTP/1.1\r\nx: y", "invocations", ""] {
        let mut headers = sound;
        headers[3].1 = path;
        assert_ne!(Raw::new(running.address()).ask(&headers, "0,0,0"), OK, "{path:?}");
    }
}

/// CVE-2024-27316 and its kin: frames that cost the server and not the caller.
#[test]
fn floods_of_frames_end_the_connection_and_nobody_elses() {
    let running = quick();
    let head = [0, 7, b':', b'm', b'e', b't', b'h', b'o', b'd', 3, b'G', b'E', b'T'];
    let floods: [(&str, &dyn Fn(&mut Raw, u32)); 4] = [
        ("continuations", &|raw, at| {
            if at == 0 {
                raw.frame(1, 0, 1, &head[..1 + 1 + 7 + 1 + 3]);
            }
            raw.frame(9, 0, 1, &[&[0, 1, b'a', 100][..], &[b'b'; 100]].concat());
        }),
        ("resets", &|raw, at| {
            raw.frame(1, 5, 1 + 2 * at, &[0x83, 0x86, 0x84, 0x41, 1, b'x']);
            raw.frame(3, 0, 1 + 2 * at, &8_u32.to_be_bytes());
        }),
        ("frames of no stream", &|raw, at| raw.frame(0, 0, 2 * at + 1, b"x")),
        ("a frame too long", &|raw, _| raw.frame(0, 0, 1, &vec![0; 100_000])),
    ];
    for (name, flood) in floods {
        let mut raw = Raw::new(running.address());
        raw.stream.set_nodelay(true).unwrap();
        for at in 0..20_000 {
            flood(&mut raw, at);
        }
        let _ = raw.stream.shutdown(Shutdown::Write);
        while raw.read().is_some() {}
        assert!(close_to(Client::new(running.address()).post(CSV, "0,0,0").score(), 0.5), "{name}");
    }
    eventually("all are gone", || metric(running.address(), "smrt_connections") <= 1.0);
}
