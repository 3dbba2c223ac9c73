//! The endpoint over real sockets: every status, hostile callers, overload, and going away.

mod access;
mod allocations;
mod bad_input;
mod coding;
mod door;
mod formats;
mod grpc;
mod http2;
mod many;
mod openapi;
mod pace;
mod runtime;
mod smuggling;
mod soak;
mod streamed;
mod v2;
mod variants;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use ndarray::ArrayView2;
use smrt::algorithm::{Error, Predictor};
use smrt::data::{Answer, Field, LabelNames, Signature, Task, Values};
use smrt::http::Limits;
use smrt::model::{Manifest, Model};
use smrt::serve::{Builder, Running, Server};

/// A binary linear model of three features, with a few inputs that make it misbehave.
#[derive(Default)]
struct Linear {
    /// Time of a call: beyond 50 µs the endpoint batches instead of answering in place.
    spin: Duration,
    /// Time of each row besides.
    each: Duration,
    /// Rows whose first value is [`HOLD`] wait until this opens.
    door: Arc<Door>,
}

const WEIGHTS: [f32; 3] = [0.5, -0.25, 2.0];
const PANIC: f32 = 1e6;
const FAIL: f32 = 2e6;
const SHORT: f32 = 3e6;
const HOLD: f32 = 4e6;
const REFUSE: f32 = 5e6;

/// Shut at first: whoever waits is counted.
#[derive(Default)]
struct Door {
    state: Mutex<(usize, bool)>,
    moved: Condvar,
}

impl Door {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        self.moved.notify_all();
        drop(self.moved.wait_while(state, |(_, open)| !*open).unwrap());
    }

    fn wait_for(&self, waiting: usize) {
        let state = self.state.lock().unwrap();
        let result = self
            .moved
            .wait_timeout_while(state, Duration::from_secs(20), |(count, _)| *count < waiting)
            .unwrap();
        assert!(!result.1.timed_out(), "nobody reached the model");
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.moved.notify_all();
    }
}

fn score(row: &[f32]) -> f32 {
    let sum: f32 = row.iter().zip(WEIGHTS).map(|(value, weight)| value * weight).sum();
    1.0 / (1.0 + (-sum).exp())
}

impl Predictor for Linear {
    fn predict(&self, rows: ArrayView2<'_, f32>) -> Result<Answer, Error> {
        let start = Instant::now();
        let firsts = rows.column(0);
        if firsts.iter().any(|&first| first == PANIC) {
            panic!("the model met a row it fears");
        }
        if firsts.iter().any(|&first| first == FAIL) {
            return Err(Error::Corrupt("the weights are gone".into()));
        }
        if firsts.iter().any(|&first| first == REFUSE) {
            let (what, help) = ("a row is out of this model's range", "send smaller numbers");
            return Err(Error::Data { what: what.into(), help: help.into() });
        }
        if firsts.iter().any(|&first| first == HOLD) {
            self.door.pass();
        }
        let mut scores: Vec<f32> =
            rows.rows().into_iter().map(|row| score(row.as_slice().unwrap())).collect();
        let codes = scores.iter().map(|&score| u32::from(score >= 0.5)).collect();
        if firsts.iter().any(|&first| first == SHORT) {
            scores.pop();
        }
        while start.elapsed() < self.spin + self.each * rows.nrows() as u32 {
            std::hint::spin_loop();
        }
        let names = Arc::new(LabelNames::Numbers(vec![0.0, 1.0]));
        Ok(Answer {
            key: "predictions",
            rows: rows.nrows(),
            fields: vec![
                Field { name: "score", values: Values::Number(scores) },
                Field { name: "predicted_label", values: Values::Class { codes, names } },
            ],
        })
    }
}

fn model(predictor: impl Predictor + 'static) -> Model {
    Model {
        manifest: Manifest {
            smrt_format: 1,
            job: "churn-demo".into(),
            algorithm: "linear-learner".into(),
            hyperparameters: serde_json::Map::new(),
            signature: Signature {
                labels: Some(LabelNames::Numbers(vec![0.0, 1.0])),
                threshold: Some(0.5),
                ..Signature::of(3, Task::BinaryClassification)
            },
            metrics: Vec::new(),
            epochs: 1,
        },
        digest: "00".repeat(32),
        bytes: 0,
        predictor: Box::new(predictor),
    }
}

fn builder(predictor: Linear) -> Builder {
    Server::builder(model(predictor)).listen("127.0.0.1:0").threads(2).workers(2)
}

fn quick() -> Running {
    builder(Linear::default()).start().unwrap()
}

/// A model slow enough that every request goes through the queue.
fn heavy(door: &Arc<Door>) -> Linear {
    Linear { spin: Duration::from_micros(300), door: Arc::clone(door), ..Linear::default() }
}

/// One connection, spoken to in bytes.
struct Client<S: Read + Write = TcpStream> {
    stream: BufReader<S>,
}

#[derive(Debug)]
struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    bytes: Vec<u8>,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn score(&self) -> f32 {
        assert_eq!(self.status, 200, "{self:?}");
        let json: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        json["predictions"][0]["score"].as_f64().unwrap() as f32
    }
}

impl Client {
    fn new(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream: BufReader::new(stream) }
    }
}

impl<S: Read + Write> Client<S> {
    fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client<S> {
        // A server that has closed may refuse the rest: what it said is still there to read.
        let _ = self.stream.get_mut().write_all(bytes.as_ref());
        let _ = self.stream.get_mut().flush();
        self
    }

    fn receive(&mut self) -> Option<Reply> {
        self.receive_to(false)
    }

    /// The next answer; one to HEAD has no body, whatever its length says.
    fn receive_to(&mut self, is_head: bool) -> Option<Reply> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut reply = Reply { status, headers, body: String::new(), bytes: Vec::new() };
        let length = reply.header("content-length").map_or(0, |text| text.parse().unwrap());
        let length = if is_head { 0 } else { length };
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        reply.body = String::from_utf8_lossy(&body).into_owned();
        reply.bytes = body;
        Some(reply)
    }

    fn get(&mut self, path: &str) -> Reply {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).receive().unwrap()
    }

    fn post(&mut self, headers: &str, body: &str) -> Reply {
        self.send(invocation(headers, body)).receive().unwrap()
    }

    fn post_to(&mut self, path: &str, headers: &str, body: &str) -> Reply {
        let request = invocation(headers, body).replacen("/invocations", path, 1);
        self.send(request).receive().unwrap()
    }

    /// Whether the server closes the connection rather than waiting for more.
    fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 1]), Ok(0) | Err(_))
    }
}

fn invocation(headers: &str, body: &str) -> String {
    format!(
        "POST /invocations HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const CSV: &str = "Content-Type: text/csv\r\n";

/// The value of a metric, by the start of its line.
fn metric(address: SocketAddr, line: &str) -> f64 {
    let page = Client::new(address).get("/metrics").body;
    let found = page.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("{line} is not in\n{page}")).parse().unwrap()
}

/// Asks until `done`, for what the server does in its own time. Bounded.
fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::yield_now();
    }
}

fn close_to(one: f32, other: f32) -> bool {
    (one - other).abs() < 1e-6
}

#[test]
fn a_row_is_answered_with_its_score() {
    let running = quick();
    let reply = Client::new(running.address()).post(CSV, "1,2,0.5\n");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(close_to(reply.score(), score(&[1.0, 2.0, 0.5])));
    let json: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(json["predictions"][0]["predicted_label"], 1);
    assert_eq!(reply.header("x-amzn-requestid").map(str::len), Some(36));
}

#[test]
fn a_body_without_a_type_is_csv_and_the_answer_can_be_csv() {
    let running = quick();
    let reply = Client::new(running.address()).post("Accept: text/csv\r\n", "0,0,0\n4,0,0\n");
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/csv")));
    let scores: Vec<f32> = reply.body.lines().map(|line| line.parse().unwrap()).collect();
    assert!(close_to(scores[0], 0.5) && close_to(scores[1], score(&[4.0, 0.0, 0.0])));
}

#[test]
fn the_container_contract_beside_invocations() {
    let running = quick();
    let mut client = Client::new(running.address());
    let ping = client.get("/ping");
    assert_eq!((ping.status, ping.body.as_str()), (200, ""));
    let parameters = client.get("/execution-parameters");
    let json: serde_json::Value = serde_json::from_str(&parameters.body).unwrap();
    assert_eq!(json["BatchStrategy"], "MULTI_RECORD");
    assert_eq!(json["MaxPayloadInMB"], 6);
    assert!(json["MaxConcurrentTransforms"].as_u64().unwrap() >= 1);
    let head = client.send("HEAD /ping HTTP/1.1\r\nHost: x\r\n\r\n").receive().unwrap();
    assert_eq!(head.status, 200);
}

#[test]
fn each_mistake_has_its_status_and_says_what_to_do() {
    let running = quick();
    let mut client = Client::new(running.address());
    let mut ask = |headers: &str, body: &str| client.post(headers, body);
    assert_eq!(ask(CSV, "").status, 204);
    assert_eq!(ask(CSV, "\r\n").status, 204);

    let columns = ask(CSV, "1,2\n");
    assert_eq!(columns.status, 400);
    assert!(columns.body.contains('2') && columns.body.contains('3'), "{}", columns.body);
    let word = ask(CSV, "1,2,three\n");
    assert_eq!(word.status, 400);
    assert!(serde_json::from_str::<serde_json::Value>(&word.body).unwrap()["message"].is_string());

    assert_eq!(ask("Content-Type: image/png\r\n", "1,2,3").status, 415);
    assert_eq!(ask("Accept: text/html\r\n", "1,2,3").status, 406);
    assert_eq!(ask("Content-Encoding: br\r\n", "1,2,3").status, 415);
    // All of it on one connection: a mistake does not cost the next request anything.
    assert!(close_to(ask(CSV, "0,0,0").score(), 0.5));

    assert_eq!(client.get("/nowhere").status, 404);
    let method = client.get("/invocations");
    assert_eq!((method.status, method.header("allow")), (405, Some("POST")));
}

#[test]
fn a_body_over_the_limit_is_refused_before_or_while_it_is_read() {
    let limits = Limits { body_bytes_max: 1 << 10, streamed_bytes_max: 0, ..Limits::default() };
    let running = builder(Linear::default()).limits(limits).start().unwrap();
    let mut client = Client::new(running.address());
    let large = "1,2,3\n".repeat(100_000);
    let reply = client.post(CSV, &large);
    assert_eq!(reply.status, 413);
    assert!(reply.body.contains("1024"), "{}", reply.body);
    // The rest was read and thrown away: the connection goes on.
    assert_eq!(client.post(CSV, "0,0,0").status, 200);

    let mut chunked = Client::new(running.address());
    chunked.send("POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..100 {
        chunked.send(format!("{:x}\r\n{}\r\n", 600, "1".repeat(600)));
    }
    chunked.send("0\r\n\r\n");
    assert_eq!(chunked.receive().unwrap().status, 413);

    // Whoever waits for 100 Continue is told before sending.
    let mut polite = Client::new(running.address());
    polite.send("POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(polite.receive().unwrap().status, 413);
    assert!(polite.is_closed());
}

#[test]
fn whoever_waits_for_continue_is_told_to_go_on() {
    let running = quick();
    let mut client = Client::new(running.address());
    client.send("POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.receive().unwrap().status, 100);
    assert!(close_to(client.send("0,0,0").receive().unwrap().score(), 0.5));
}

#[test]
fn custom_attributes_come_back_and_only_if_they_are_sound() {
    let running = quick();
    let mut client = Client::new(running.address());
    let name = "x-amzn-sagemaker-custom-attributes";
    let reply = client.post("X-Amzn-SageMaker-Custom-Attributes: trace=1; b\r\n", "1,2,3");
    assert_eq!((reply.status, reply.header(name)), (200, Some("trace=1; b")));
    let long = format!("X-Amzn-SageMaker-Custom-Attributes: {}\r\n", "a".repeat(1_025));
    let reply = client.post(&long, "1,2,3");
    assert_eq!((reply.status, reply.header(name)), (400, None));
    let latin = "X-Amzn-SageMaker-Custom-Attributes: caf\u{e9}\r\n";
    assert_eq!(client.post(latin, "1,2,3").status, 400);
    let id = format!("X-Amzn-SageMaker-Inference-Id: {}\r\n", "a".repeat(65));
    assert_eq!(client.post(&id, "1,2,3").status, 400);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let running = quick();
    let mut client = Client::new(running.address());
    let all: String = (0..100).map(|at| invocation(CSV, &format!("{at},0,0"))).collect();
    client.send(all);
    for at in 0..100 {
        let reply = client.receive().unwrap();
        assert!(close_to(reply.score(), score(&[at as f32, 0.0, 0.0])));
    }
}

#[test]
fn a_chunked_body_is_put_together() {
    let running = quick();
    let mut client = Client::new(running.address());
    client.send("POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("2\r\n1,\r\n").send("3\r\n2,0\r\n").send("2\r\n.5\r\n0\r\n\r\n");
    assert!(close_to(client.receive().unwrap().score(), score(&[1.0, 2.0, 0.5])));
}

#[test]
fn callers_who_leave_in_the_middle_leave_nothing_behind() {
    let running = quick();
    for cut in 1..invocation(CSV, "1,2,3").len() {
        let mut client = Client::new(running.address());
        client.send(&invocation(CSV, "1,2,3").as_bytes()[..cut]);
        client.stream.get_ref().shutdown(Shutdown::Both).unwrap();
    }
    let address = running.address();
    eventually("all are gone", || metric(address, "smrt_connections") <= 1.0);
    assert_eq!(metric(address, "smrt_in_flight"), 0.0);
    assert!(close_to(Client::new(address).post(CSV, "0,0,0").score(), 0.5));
}

fn hasty() -> Limits {
    let soon = Duration::from_millis(60);
    Limits {
        header_timeout: soon,
        body_stall_timeout: soon,
        idle_timeout: soon,
        ..Limits::default()
    }
}

#[test]
fn threat_23_slow_heads_slow_bodies_and_idle_connections_end() {
    let running = builder(Linear::default()).limits(hasty()).start().unwrap();
    let mut body = Client::new(running.address());
    body.send("POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n0,");
    assert_eq!(body.receive().unwrap().status, 408);
    assert!(body.is_closed());
    let mut head = Client::new(running.address());
    head.send("POST /invocations HTTP/1.1\r\nHo");
    assert_eq!(head.receive().unwrap().status, 408);
    assert!(head.is_closed());
    let mut idle = Client::new(running.address());
    assert_eq!(idle.post(CSV, "0,0,0").status, 200);
    assert!(idle.is_closed());
    assert!(Client::new(running.address()).is_closed());
}

#[test]
fn a_body_that_trickles_is_given_its_whole_time_and_no_more() {
    let limits = Limits { body_timeout: Duration::from_millis(100), ..Limits::default() };
    let running = builder(Linear::default()).limits(limits).start().unwrap();
    let mut client = Client::new(running.address());
    client.send("POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
    client.stream.get_ref().set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let start = Instant::now();
    loop {
        client.send("1");
        match client.receive() {
            Some(reply) => break assert_eq!(reply.status, 408),
            None => assert!(start.elapsed() < Duration::from_secs(20)),
        }
    }
}

#[test]
fn heads_that_are_too_large_are_refused() {
    let running = quick();
    let mut client = Client::new(running.address());
    let large = format!("X-Large: {}\r\n", "a".repeat(20_000));
    assert_eq!(client.post(&large, "1,2,3").status, 431);
    assert!(client.is_closed());
    let mut client = Client::new(running.address());
    let many: String = (0..200).map(|at| format!("X-{at}: 1\r\n")).collect();
    assert_eq!(client.post(&many, "1,2,3").status, 431);
    let mut client = Client::new(running.address());
    assert_eq!(client.get(&format!("/{}", "a".repeat(6_000))).status, 414);
}

/// The ambiguities by which two requests are read out of one. Whatever the status, the second
/// request must never be answered.
#[test]
fn a_request_that_can_be_read_in_two_ways_ends_its_connection() {
    let running = quick();
    let hidden = "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n";
    let cases = [
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "0,0,0", &[400][..]),
        ("Content-Length: 5, 6\r\n", "0,0,0", &[400]),
        ("Content-Length: +5\r\n", "0,0,0", &[400]),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "5\r\n0,0,0\r\n0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "5\r\n0,0,0\r\n0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked, identity\r\n", "5\r\n0,0,0\r\n0\r\n\r\n", &[400, 501]),
        ("Transfer-Encoding: xchunked\r\n", "5\r\n0,0,0\r\n0\r\n\r\n", &[400, 501]),
        ("Transfer-Encoding : chunked\r\n", "5\r\n0,0,0\r\n0\r\n\r\n", &[400]),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "5\r\n0,0,0\r\n0\r\n\r\n",
            &[400, 501],
        ),
        ("Transfer-Encoding: gzip, chunked\r\n", "5\r\n0,0,0\r\n0\r\n\r\n", &[400, 501]),
        ("X-Folded: a\r\n b\r\nContent-Length: 5\r\n", "0,0,0", &[400]),
        ("Transfer-Encoding: chunked\r\n", "0x5\r\n0,0,0\r\n0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "+5\r\n0,0,0\r\n0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n0,0,0\r\n0\r\n\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "5\r\n0,0,0x\r\n0\r\n\r\n", &[400]),
        ("Host: y\r\nContent-Length: 5\r\n", "0,0,0", &[400]),
    ];
    for (headers, body, statuses) in cases {
        let mut client = Client::new(running.address());
        client
            .send(format!("POST /invocations HTTP/1.1\r\nHost: x\r\n{headers}\r\n{body}{hidden}"));
        let reply = client.receive().unwrap_or_else(|| panic!("no answer to {headers:?}"));
        assert!(statuses.contains(&reply.status), "{headers:?} {body:?}: {reply:?}");
        assert!(client.is_closed(), "{headers:?} {body:?}: a second request was read");
    }
    let mut old = Client::new(running.address());
    old.send("POST /invocations HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(old.receive().unwrap().status, 400);
    let mut nameless = Client::new(running.address());
    nameless.send("GET /ping HTTP/1.1\r\n\r\n");
    assert_eq!(nameless.receive().unwrap().status, 400);
}

#[test]
fn bytes_that_are_no_http_get_a_refusal_and_an_end() {
    let running = quick();
    for junk in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\n\r\n",
    ] {
        let mut client = Client::new(running.address());
        client.send(junk);
        client.stream.get_ref().shutdown(Shutdown::Write).unwrap();
        if let Some(reply) = client.receive() {
            assert_eq!(reply.status, 400, "{junk:?}");
        }
        assert!(client.is_closed());
    }
    assert_eq!(Client::new(running.address()).get("/ping").status, 200);
}

#[test]
fn a_missing_value_the_model_needs_is_named() {
    let running = quick();
    let reply = Client::new(running.address()).post(CSV, "0,0,0\n1,nan,3\n");
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains("row 2, column 2"), "{}", reply.body);
}

#[test]
fn rows_a_model_cannot_answer_for_are_their_senders_to_mend() {
    for predictor in [Linear::default(), heavy(&Arc::default())] {
        let running = builder(predictor).start().unwrap();
        let reply = Client::new(running.address()).post(CSV, &format!("{REFUSE},0,0"));
        let json: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!((reply.status, json["help"].as_str()), (400, Some("send smaller numbers")));
    }
}

#[test]
fn a_model_that_panics_fails_or_lies_costs_one_request() {
    for predictor in [Linear::default(), heavy(&Arc::default())] {
        let running = builder(predictor).start().unwrap();
        let mut client = Client::new(running.address());
        for (bad, panics) in [(PANIC, 1.0), (FAIL, 1.0), (SHORT, 1.0)] {
            let reply = client.post(CSV, &format!("{bad},0,0"));
            assert_eq!(reply.status, 500);
            // What went wrong inside is for the log, not for a stranger.
            assert!(!reply.body.contains("fears") && !reply.body.contains("weights"));
            assert!(close_to(client.post(CSV, "0,0,0").score(), 0.5));
            assert_eq!(metric(running.address(), "smrt_model_panics_total"), panics);
        }
        assert_eq!(metric(running.address(), "smrt_invocation_5xx_errors_total"), 3.0);
    }
}

#[test]
fn the_runtime_door_wraps_a_model_error_in_424() {
    let running = quick();
    let mut client = Client::new(running.address());
    let mut ask = |name: &str, body: &str| {
        let length = body.len();
        client
            .send(format!("POST /endpoints/{name}/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"))
            .receive()
            .unwrap()
    };
    let reply = ask("churn-demo", "0,0,0");
    assert!(close_to(reply.score(), 0.5));
    assert_eq!(reply.header("x-amzn-invoked-production-variant"), Some("AllTraffic"));
    let failed = ask("churn-demo", &format!("{FAIL},0,0"));
    assert_eq!((failed.status, failed.header("x-amzn-errortype")), (424, Some("ModelError")));
    let json: serde_json::Value = serde_json::from_str(&failed.body).unwrap();
    assert_eq!(json["OriginalStatusCode"], 500);
    let bad = ask("churn-demo", "1,2");
    let json: serde_json::Value = serde_json::from_str(&bad.body).unwrap();
    assert_eq!((bad.status, json["OriginalStatusCode"].as_u64()), (424, Some(400)));
    let unknown = ask("other", "0,0,0");
    assert_eq!(
        (unknown.status, unknown.header("x-amzn-errortype")),
        (400, Some("ValidationError"))
    );
}

#[test]
fn a_full_queue_refuses_at_once_and_says_when_to_come_back() {
    let door = Arc::default();
    let server = builder(heavy(&door)).workers(1).queue_max(2, 1_000).start().unwrap();
    let address = server.address();
    let held: Vec<_> = (0..3)
        .map(|at| {
            let mut client = Client::new(address);
            client.send(invocation(CSV, &format!("{HOLD},0,0")));
            // The first is with the model, the others wait in line.
            if at == 0 {
                door.wait_for(1);
            } else {
                eventually("it waits", || metric(address, "smrt_queue_requests") == at as f64);
            }
            client
        })
        .collect();
    let refused = Client::new(address).post(CSV, "0,0,0");
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    // Health does not go through the queue.
    assert_eq!(Client::new(address).get("/ping").status, 200);
    door.open();
    for mut client in held {
        assert!(close_to(client.receive().unwrap().score(), score(&[HOLD, 0.0, 0.0])));
    }
    assert!(close_to(Client::new(address).post(CSV, "0,0,0").score(), 0.5));
}

#[test]
fn threat_23_an_address_that_takes_more_than_its_share_gets_429() {
    let door = Arc::default();
    let server = builder(heavy(&door)).workers(1).requests_per_address_max(1).start().unwrap();
    let mut first = Client::new(server.address());
    first.send(invocation(CSV, &format!("{HOLD},0,0")));
    door.wait_for(1);
    let mut second = Client::new(server.address());
    second.send(invocation(CSV, "0,0,0"));
    eventually("it waits", || metric(server.address(), "smrt_queue_requests") == 1.0);
    let third = Client::new(server.address()).post(CSV, "0,0,0");
    assert_eq!((third.status, third.header("retry-after").is_some()), (429, true));
    door.open();
    assert_eq!(first.receive().unwrap().status, 200);
    assert_eq!(second.receive().unwrap().status, 200);
}

#[test]
fn work_of_a_caller_who_left_is_not_done() {
    let door = Arc::default();
    let server = builder(heavy(&door)).workers(1).start().unwrap();
    let address = server.address();
    let mut first = Client::new(address);
    first.send(invocation(CSV, &format!("{HOLD},0,0")));
    door.wait_for(1);
    let mut second = Client::new(address);
    second.send(invocation(CSV, "1,1,1"));
    eventually("it waits", || metric(address, "smrt_queue_requests") == 1.0);
    drop(second);
    eventually("it is seen to leave", || metric(address, "smrt_in_flight") == 1.0);
    door.open();
    assert_eq!(first.receive().unwrap().status, 200);
    eventually("it is skipped", || metric(address, "smrt_abandoned_total") == 1.0);
}

#[test]
fn a_request_whose_time_is_up_gets_504() {
    let door = Arc::default();
    let server = builder(heavy(&door))
        .workers(1)
        .invocation_timeout(Duration::from_millis(50))
        .start()
        .unwrap();
    let reply = Client::new(server.address()).post(CSV, &format!("{HOLD},0,0"));
    assert_eq!(reply.status, 504);
    door.open();
}

#[test]
fn stopping_finishes_what_is_under_way_and_refuses_the_rest() {
    let door = Arc::default();
    let server = builder(heavy(&door)).start().unwrap();
    let address = server.address();
    let mut under_way = Client::new(address);
    under_way.send(invocation(CSV, &format!("{HOLD},0,0")));
    door.wait_for(1);
    let mut idle = Client::new(address);
    assert_eq!(idle.post(CSV, "0,0,0").status, 200);
    server.stop();
    assert!(idle.is_closed());
    eventually("nobody listens", || TcpStream::connect(address).is_err());
    door.open();
    let reply = under_way.receive().unwrap();
    assert!(close_to(reply.score(), score(&[HOLD, 0.0, 0.0])));
    assert!(under_way.is_closed());
    server.wait();
}

#[test]
fn health_fails_before_connections_do() {
    let limits = Limits { drain_delay: Duration::from_secs(30), ..Limits::default() };
    let server = builder(Linear::default()).limits(limits).start().unwrap();
    let mut client = Client::new(server.address());
    assert_eq!(client.get("/ping").status, 200);
    server.stop();
    let ping = Client::new(server.address()).get("/ping");
    assert_eq!((ping.status, ping.header("retry-after").is_some()), (503, true));
    let reply = Client::new(server.address()).post(CSV, "0,0,0");
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    server.stopper().stop_now();
    server.wait();
}

#[test]
fn a_request_that_arrives_while_the_server_closes_gets_503() {
    let door = Arc::default();
    let server = builder(heavy(&door)).threads(1).start().unwrap();
    let address = server.address();
    let mut under_way = Client::new(address);
    under_way.send(invocation(CSV, &format!("{HOLD},0,0")));
    door.wait_for(1);
    let mut half = Client::new(address);
    half.send("POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Le");
    // One thread serves connections in turn: an answer on a third says the half was read.
    assert_eq!(Client::new(address).get("/ping").status, 200);
    server.stop();
    eventually("nobody listens", || TcpStream::connect(address).is_err());
    let reply = half.send("ngth: 5\r\n\r\n0,0,0").receive().unwrap();
    assert_eq!((reply.status, reply.header("retry-after").is_some()), (503, true));
    door.open();
    assert_eq!(under_way.receive().unwrap().status, 200);
    server.wait();
}

#[test]
fn a_server_that_is_dropped_is_gone() {
    let address = quick().address();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn threat_23_connections_over_the_limit_are_told_so() {
    let limits = Limits { connections_max: 2, ..Limits::default() };
    let server = builder(Linear::default()).limits(limits).start().unwrap();
    let mut first = Client::new(server.address());
    let mut second = Client::new(server.address());
    assert_eq!(first.get("/ping").status, 200);
    assert_eq!(second.get("/ping").status, 200);
    let mut third = Client::new(server.address());
    assert_eq!(third.receive().unwrap().status, 503);
    assert!(third.is_closed());
    drop(first);
    eventually("there is room again", || {
        Client::new(server.address())
            .send("GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
            .receive()
            .is_some_and(|reply| reply.status == 200)
    });
}

/// Values, not only statuses: an answer that reached the wrong caller would show.
fn everybody_gets_their_own(predictor: Linear) {
    let server = builder(predictor).start().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let address = server.address();
            scope.spawn(move || {
                let mut client = Client::new(address);
                for at in 0..60 {
                    let rows: Vec<[f32; 3]> = (0..1 + at % 5)
                        .map(|row| [thread as f32 * 0.1, at as f32 * 0.01, row as f32 * 0.2])
                        .collect();
                    let body: String =
                        rows.iter().map(|[a, b, c]| format!("{a},{b},{c}\n")).collect();
                    let reply = client.post("Accept: text/csv\r\n", &body);
                    assert_eq!(reply.status, 200, "{reply:?}");
                    let scores: Vec<f32> =
                        reply.body.lines().map(|line| line.parse().unwrap()).collect();
                    assert_eq!(scores.len(), rows.len());
                    for (given, row) in scores.iter().zip(&rows) {
                        assert!(close_to(*given, score(row)), "{given} {row:?}");
                    }
                }
            });
        }
    });
    assert_eq!(metric(server.address(), "smrt_invocations_total"), 16.0 * 60.0);
    assert_eq!(metric(server.address(), "smrt_rows_total"), 16.0 * 12.0 * 15.0);
}

#[test]
fn everybody_gets_their_own_answer_in_place() {
    everybody_gets_their_own(Linear::default());
}

#[test]
fn everybody_gets_their_own_answer_from_a_batch() {
    everybody_gets_their_own(heavy(&Arc::default()));
}

#[test]
fn a_large_request_is_answered_in_blocks_and_never_holds_up_a_ping() {
    let door: Arc<Door> = Arc::default();
    let running = builder(Linear { door: Arc::clone(&door), ..Linear::default() })
        .threads(1)
        .start()
        .unwrap();
    let rows = 50_000;
    let mut body: String = (0..rows).map(|row| format!("{},1,0\n", row % 7)).collect();
    body.push_str(&format!("{HOLD},0,0\n"));
    let mut client = Client::new(running.address());
    client.send(invocation("Accept: text/csv\r\n", &body));
    door.wait_for(1);
    assert_eq!(Client::new(running.address()).get("/ping").status, 200);
    assert!(close_to(Client::new(running.address()).post(CSV, "0,0,0").score(), 0.5));
    door.open();
    let reply = client.receive().unwrap();
    assert_eq!((reply.status, reply.body.lines().count()), (200, rows + 1));
    for (row, line) in reply.body.lines().take(rows).enumerate() {
        assert!(close_to(line.parse().unwrap(), score(&[(row % 7) as f32, 1.0, 0.0])));
    }
}

#[test]
fn an_address_that_is_taken_is_refused_with_help() {
    let running = quick();
    let again = Server::builder(model(Linear::default())).listen(running.address().to_string());
    let error = again.start().err().unwrap();
    assert!(error.to_string().contains(&running.address().to_string()), "{error}");
    assert!(smrt::fault::Fault::help(&error).unwrap().contains("--listen"));
}

#[test]
fn a_model_that_cannot_answer_for_zeros_is_not_served() {
    struct Broken;
    impl Predictor for Broken {
        fn predict(&self, _: ArrayView2<'_, f32>) -> Result<Answer, Error> {
            Err(Error::Corrupt("no weights".into()))
        }
    }
    let error = Server::builder(model(Broken)).listen("127.0.0.1:0").start().err().unwrap();
    assert!(error.to_string().contains("no weights"), "{error}");
}

#[test]
fn the_metrics_page_is_openmetrics_with_sagemakers_names_in_its_help() {
    let running = quick();
    let mut client = Client::new(running.address());
    client.post(CSV, "0,0,0\n0,0,0\n");
    client.post(CSV, "0,0");
    let page = client.get("/metrics");
    assert!(page.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    for line in [
        "smrt_invocations_total 2",
        "smrt_invocation_4xx_errors_total 1",
        "smrt_rows_total 2",
        "smrt_http_requests_total{code=\"200\"} 1",
        "smrt_model_latency_seconds_count 1",
        "smrt_batch_rows_sum 2.0",
        "smrt_in_flight 0",
    ] {
        assert!(page.body.lines().any(|known| known == line), "{line} is not in\n{}", page.body);
    }
    for name in ["Invocations", "Invocation4XXErrors", "ModelLatency", "OverheadLatency"] {
        assert!(page.body.contains(&format!("SageMaker: {name}")), "{name}");
    }
    assert!(page.body.contains("algorithm=\"linear-learner\""));
    assert!(page.body.ends_with("# EOF\n"));
}

#[test]
fn the_greeting_holds_a_command_that_works_when_pasted() {
    let running = quick();
    let greeting = running.greeting();
    assert!(greeting.contains("churn-demo") && greeting.contains("3 features"), "{greeting}");
    let (_, command) = greeting.split_once("try: ").unwrap();
    let Ok(output) =
        std::process::Command::new("sh").args(["-c", &format!("{command} -s")]).output()
    else {
        return eprintln!("skipped: no shell here");
    };
    if output.status.code() == Some(127) {
        return eprintln!("skipped: no curl here");
    }
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("{\"predictions\":"), "{text}");
}
