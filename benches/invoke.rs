//! Requests per second and latency of one CSV row over loopback, 64 connections, beside a bare
//! hyper server that reads the same body and answers a constant: the limit of this design.
//!
//! Both servers run as processes of their own (this program again, with `serve bare` or
//! `serve smrt`), a thread per core each, so that their CPU time can be read from `/proc`. The
//! requests come from this process and share the cores: compare only within one run. After
//! criterion's own figures a table of alternating runs is printed; `benches/peers/serve.py` does
//! the same with `wrk`.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use ndarray::ArrayView2;
use smrt::algorithm::{Error, Predictor};
use smrt::data::{Answer, Field, LabelNames, Signature, Task, Values};
use smrt::model::{Manifest, Model};
use smrt::serve::Server;
use smrt::telemetry::log;

const CONNECTIONS: usize = 64;
const SIZES: [usize; 4] = [30, 64, 32, 2];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", "bare", address, ref size @ ..] => {
            let size = size.first().map(|size| size.parse().expect("bytes of an answer"));
            serve_bare(address.parse().expect("an address"), size);
        }
        ["serve", "smrt", address, ..] => serve_smrt(address),
        _ => measure(),
    }
}

/// The small MLP of the issue, 30-64-32-2, with weights from a fixed sequence.
struct Mlp {
    /// For each layer, inputs × outputs.
    weights: Vec<Vec<f32>>,
    names: Arc<LabelNames>,
}

impl Mlp {
    fn new() -> Mlp {
        let mut state = 7_u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 0.5
        };
        let layer = |pair: &[usize]| (0..pair[0] * pair[1]).map(|_| next()).collect();
        let names = Arc::new(LabelNames::Numbers(vec![0.0, 1.0]));
        Mlp { weights: SIZES.windows(2).map(layer).collect(), names }
    }

    fn probability(&self, row: &[f32]) -> f32 {
        let (mut from, mut to) = ([0.0_f32; 64], [0.0_f32; 64]);
        from[..row.len()].copy_from_slice(row);
        for (layer, sizes) in SIZES.windows(2).enumerate() {
            let to = &mut to[..sizes[1]];
            to.fill(0.0);
            for (input, weights) in from.iter().zip(self.weights[layer].chunks_exact(sizes[1])) {
                for (sum, weight) in to.iter_mut().zip(weights) {
                    *sum += input * weight;
                }
            }
            let last = layer == SIZES.len() - 2;
            from[..sizes[1]].copy_from_slice(to);
            if !last {
                from[..sizes[1]].iter_mut().for_each(|value| *value = value.max(0.0));
            }
        }
        1.0 / (1.0 + (from[0] - from[1]).exp())
    }
}

impl Predictor for Mlp {
    fn predict(&self, rows: ArrayView2<'_, f32>) -> Result<Answer, Error> {
        let scores: Vec<f32> = rows
            .rows()
            .into_iter()
            .map(|row| self.probability(row.as_slice().expect("rows are contiguous")))
            .collect();
        let codes = scores.iter().map(|&score| u32::from(score >= 0.5)).collect();
        let names = Arc::clone(&self.names);
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

fn model() -> Model {
    Model {
        manifest: Manifest {
            smrt_format: 1,
            job: "small-mlp".into(),
            algorithm: "mlp".into(),
            hyperparameters: serde_json::Map::new(),
            signature: Signature {
                labels: Some(LabelNames::Numbers(vec![0.0, 1.0])),
                threshold: Some(0.5),
                ..Signature::of(SIZES[0], Task::BinaryClassification)
            },
            metrics: Vec::new(),
            epochs: 1,
        },
        digest: String::new(),
        bytes: 0,
        predictor: Box::new(Mlp::new()),
    }
}

/// As `smrt serve` does it, completion lines included.
fn serve_smrt(address: &str) {
    let level = std::env::var("BENCH_LOG").unwrap_or_else(|_| "info".into());
    let _guard = log::install(log::Format::Text, &level, false).expect("the first subscriber");
    let running = Server::builder(model())
        .listen(address)
        .stop_on_signals(true)
        .start()
        .expect("the address is free");
    announce(running.address());
    running.wait();
}

/// The limit: the same threads and listeners, the body read, a constant of so many bytes answered.
fn serve_bare(address: SocketAddr, size: Option<usize>) {
    use http_body_util::{BodyExt, Full};
    use hyper::body::{Bytes, Incoming};
    use hyper::{Request, Response};

    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let listen = |address: SocketAddr| {
        let kind = socket2::Type::STREAM;
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), kind, None)
            .expect("a socket");
        socket.set_reuse_address(true).expect("an option");
        socket.set_reuse_port(true).expect("an option");
        socket.set_nonblocking(true).expect("an option");
        socket.bind(&address.into()).expect("the address is free");
        socket.listen(1_024).expect("it can be listened on");
        std::net::TcpListener::from(socket)
    };
    let first = listen(address);
    let address = first.local_addr().expect("it is bound");
    let mut listeners = vec![first];
    listeners.extend((1..cores).map(|_| listen(address)));
    announce(address);
    let constant = br#"{"predictions":[{"score":0.5660191,"predicted_label":1}]}"#;
    let mut constant = constant.to_vec();
    constant.resize(size.unwrap_or(constant.len()), b' ');
    let threads: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            // Each has its own: a count that both threads touch would cost the limit something.
            let constant: &'static [u8] = Box::leak(constant.clone().into_boxed_slice());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("an event loop");
                runtime.block_on(async move {
                    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                    while let Ok((stream, _)) = listener.accept().await {
                        let _ = stream.set_nodelay(true);
                        tokio::spawn(async move {
                            let answer = |request: Request<Incoming>| async move {
                                let body = request.into_body().collect().await;
                                drop(body);
                                let constant = Bytes::from_static(constant);
                                Ok::<_, Infallible>(Response::new(Full::new(constant)))
                            };
                            let _ = hyper::server::conn::http1::Builder::new()
                                .pipeline_flush(true)
                                .serve_connection(
                                    hyper_util::rt::TokioIo::new(stream),
                                    hyper::service::service_fn(answer),
                                )
                                .await;
                        });
                    }
                });
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| drop(thread.join()));
}

#[expect(clippy::print_stdout, reason = "how the parent learns the port")]
fn announce(address: SocketAddr) {
    println!("{address}");
}

/// A server in a process of its own; ended when dropped.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(kind: &str) -> Process {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["serve", kind, "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts again");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it says where it listens");
        Process { child, address: line.trim().parse().expect("an address") }
    }

    /// User and system time so far, in ticks of 10 ms.
    fn cpu_ticks(&self) -> u64 {
        let text =
            std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let after_name = text.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connections that each send a request and read its answer, in turn.
struct Load {
    streams: Vec<TcpStream>,
    request: Vec<u8>,
}

impl Load {
    fn new(address: SocketAddr) -> Load {
        let streams: Vec<TcpStream> = (0..CONNECTIONS)
            .map(|_| {
                let stream = TcpStream::connect(address).expect("the server listens");
                stream.set_nodelay(true).expect("an option");
                stream
            })
            .collect();
        let row: Vec<String> =
            (0..SIZES[0]).map(|at| format!("{:.4}", at as f32 * 0.1 - 1.5)).collect();
        let body = row.join(",");
        let request = format!(
            "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Load { streams, request: request.into() }
    }

    /// One request on each connection; how long each took goes to `times`.
    fn round(&mut self, times: &mut Vec<Duration>) {
        let mut buffer = [0; 4_096];
        let start = Instant::now();
        for stream in &mut self.streams {
            stream.write_all(&self.request).expect("it is read");
        }
        for stream in &mut self.streams {
            // Answers are far smaller than a packet: they come whole.
            let read = stream.read(&mut buffer).expect("an answer");
            assert!(buffer[..read].starts_with(b"HTTP/1.1 200"), "an answer of another kind");
            times.push(start.elapsed());
        }
    }
}

#[expect(clippy::print_stdout, reason = "a bench reports")]
fn measure() {
    let servers = [("bare", Process::start("bare")), ("smrt", Process::start("smrt"))];
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("invoke");
    group.throughput(Throughput::Elements(CONNECTIONS as u64));
    for (name, server) in &servers {
        let mut load = Load::new(server.address);
        let mut times = Vec::new();
        group.bench_function(format!("{name}, 64 connections, one row"), |bencher| {
            bencher.iter(|| {
                times.clear();
                load.round(&mut times);
            });
        });
    }
    group.finish();
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    println!("\nalternating runs       req/s   cpu µs/req   p50 µs   p99 µs");
    let mut sums = [[0.0; 4]; 2];
    for _ in 0..6 {
        for (sums, (name, server)) in sums.iter_mut().zip(&servers) {
            let figures = run(server);
            println!(
                "{name:20} {:8.0} {:12.2} {:8.0} {:8.0}",
                figures[0], figures[1], figures[2], figures[3]
            );
            sums.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure);
        }
    }
    let ratio = |at: usize| sums[1][at] / sums[0][at];
    println!(
        "smrt / bare          {:8.2} {:12.2} {:8.2} {:8.2}",
        ratio(0),
        ratio(1),
        ratio(2),
        ratio(3)
    );
}

/// Requests a second, CPU microseconds of the server for each, median and 99th percentile.
fn run(server: &Process) -> [f64; 4] {
    let mut load = Load::new(server.address);
    let mut times = Vec::new();
    let (ticks, start) = (server.cpu_ticks(), Instant::now());
    while start.elapsed() < Duration::from_secs(2) {
        load.round(&mut times);
    }
    let seconds = start.elapsed().as_secs_f64();
    let requests = times.len() as f64;
    let cpu_us = (server.cpu_ticks() - ticks) as f64 * 1e4 / requests;
    times.sort_unstable();
    let at = |part: f64| times[(part * (requests - 1.0)) as usize].as_secs_f64() * 1e6;
    [requests / seconds, cpu_us, at(0.5), at(0.99)]
}
