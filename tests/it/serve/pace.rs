//! Who waits for whom, and for how long: deadlines, promises, large requests and heavy neighbours.

use std::sync::OnceLock;

use smrt::algorithm::parameter::Parameter;
use smrt::algorithm::{Definition, Files, Table, Trainer};
use smrt::serve::{Library, Variants};
use smrt::spec::endpoint::{EndpointFile, Serves};
use smrt::spec::parameter::RawParameters;
use smrt::spec::problem::Problems;
use smrt::spec::train::Storage;
use smrt::store::Store;
use tempfile::TempDir;

use super::many::{ROW, ask, json, pair, put};
use super::*;

/// A model of so many milliseconds a row.
fn slow(ms: u64, door: &Arc<Door>) -> Linear {
    let each = Duration::from_millis(ms);
    Linear { each, door: Arc::clone(door), ..Linear::default() }
}

/// One worker, held by a first request.
fn held(builder: Builder, door: &Door) -> (Running, Client) {
    let running = builder.workers(1).start().unwrap();
    let mut first = Client::new(running.address());
    first.send(invocation(CSV, &format!("{HOLD},0,0")));
    door.wait_for(1);
    (running, first)
}

/// Sends a request that will wait, and sees it wait.
fn queued(address: SocketAddr, waiting: usize) -> Client {
    let mut client = Client::new(address);
    client.send(invocation(CSV, "0,0,0"));
    eventually("it waits", || metric(address, "smrt_queue_requests") == waiting as f64);
    client
}

#[test]
fn a_caller_says_how_long_it_waits_in_a_header_or_in_the_protocols_parameter() {
    let door = Arc::default();
    let running = builder(heavy(&door)).start().unwrap();
    let mut client = Client::new(running.address());
    let hold = format!("{HOLD},0,0");
    let start = Instant::now();
    let late = client.post("X-Smrt-Timeout-Ms: 40\r\n", &hold);
    assert_eq!(late.status, 504, "{late:?}");
    let body = |us: u64| {
        serde_json::json!({
            "parameters": {"timeout": us},
            "inputs": [{"name": "input", "shape": [1, 3], "datatype": "FP32", "data": [HOLD, 0, 0]}],
        })
        .to_string()
    };
    let infer = "/v2/models/churn-demo/infer";
    assert_eq!(client.post_to(infer, "", &body(40_000)).status, 504);
    assert!(start.elapsed() >= Duration::from_millis(80));
    // Both workers are held now; what is expected to be too late is not even begun.
    assert_eq!(client.post("X-Smrt-Timeout-Ms: soon\r\n", "0,0,0").status, 400);
    door.open();
    for headers in ["X-Smrt-Timeout-Ms: 0\r\n", "X-Smrt-Timeout-Ms: 20000\r\n"] {
        assert!(close_to(client.post(headers, "0,0,0").score(), 0.5));
    }
    assert_eq!(client.post_to(infer, "", &body(0)).status, 200);
}

#[test]
fn a_request_that_would_be_answered_too_late_is_refused_when_it_comes() {
    let door = Arc::default();
    let (running, mut first) = held(builder(slow(20, &door)), &door);
    let address = running.address();
    let mut waiting: Vec<Client> = (1..=10).map(|count| queued(address, count)).collect();
    // At 20 ms each, those before it alone take longer than it has.
    let mut hasty = Client::new(address);
    let refused = hasty.post("X-Smrt-Timeout-Ms: 100\r\n", "0,0,0");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(metric(address, "smrt_queue_wait_seconds") >= 0.2);
    let mut patient = Client::new(address);
    patient.send(invocation("X-Smrt-Timeout-Ms: 60000\r\n", "0,0,0"));
    eventually("it waits", || metric(address, "smrt_queue_requests") == 11.0);
    door.open();
    assert_eq!(first.receive().unwrap().status, 200);
    assert_eq!(patient.receive().unwrap().status, 200);
    for client in &mut waiting {
        assert!(close_to(client.receive().unwrap().score(), 0.5));
    }
}

#[test]
fn a_promise_is_kept_by_refusing_what_would_break_it() {
    let door = Arc::default();
    let promised = builder(slow(5, &door)).target_p99(Duration::from_millis(100));
    let (running, mut first) = held(promised, &door);
    let address = running.address();
    let mut waiting = Vec::new();
    let refused = loop {
        let mut client = Client::new(address);
        client.send(invocation(CSV, "0,0,0"));
        // Either it waits or it is told at once.
        let depth = waiting.len() as f64 + 1.0;
        let mut told = None;
        eventually("it waits or is told", || {
            let stream = client.stream.get_ref();
            stream.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
            told = client.receive();
            told.is_some() || metric(address, "smrt_queue_requests") == depth
        });
        match told {
            Some(reply) => break reply,
            None => waiting.push(client),
        }
        assert!(waiting.len() < 40, "nobody is refused");
    };
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{refused:?}");
    // Twenty at 5 ms are 100 ms; the first that waits is never refused.
    assert!((1..=20).contains(&waiting.len()), "{} wait", waiting.len());
    door.open();
    assert_eq!(first.receive().unwrap().status, 200);
    for client in &mut waiting {
        client.stream.get_ref().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(client.receive().unwrap().status, 200);
    }
}

#[test]
fn a_promise_that_no_row_can_keep_refuses_nobody_who_comes_alone() {
    let promised = builder(slow(5, &Arc::default())).target_p99(Duration::from_millis(1));
    let running = promised.start().unwrap();
    let mut client = Client::new(running.address());
    for _ in 0..5 {
        assert!(close_to(client.post(CSV, "0,0,0").score(), 0.5));
    }
}

#[test]
fn the_parts_of_a_large_request_are_answered_by_all_workers_in_order() {
    let door = Arc::default();
    let running = builder(slow(6, &door)).start().unwrap();
    let address = running.address();
    // A row takes longer than a batch may: each is a part.
    let rows: String =
        (0..8).map(|at| format!("{},{at},0\n", if at < 2 { HOLD } else { 0.0 })).collect();
    let mut client = Client::new(address);
    client.send(invocation("Accept: text/csv\r\n", &rows));
    // Two workers at once are at its first two rows.
    door.wait_for(2);
    door.open();
    let reply = client.receive().unwrap();
    let scores: Vec<f32> = reply.body.lines().map(|line| line.parse().unwrap()).collect();
    let right = (0..8).map(|at| score(&[if at < 2 { HOLD } else { 0.0 }, at as f32, 0.0]));
    assert!(
        scores.len() == 8 && scores.into_iter().zip(right).all(|(one, other)| close_to(one, other))
    );
}

#[test]
fn a_large_request_keeps_a_small_one_waiting_for_a_part_of_it_only() {
    let door = Arc::default();
    let (running, mut first) = held(builder(slow(6, &door)), &door);
    let address = running.address();
    let mut large = Client::new(address);
    large.send(invocation(CSV, &"0,0,0\n".repeat(2_000)));
    eventually("it waits", || metric(address, "smrt_queue_rows") == 2_000.0);
    let mut small = queued(address, 2);
    door.open();
    assert_eq!(first.receive().unwrap().status, 200);
    assert!(close_to(small.receive().unwrap().score(), 0.5));
    // Twelve seconds of it are left, by one worker.
    assert!(metric(address, "smrt_queue_rows") > 100.0);
    drop(large);
    eventually("it is dropped when its caller leaves", || {
        metric(address, "smrt_queue_rows") == 0.0
    });
    assert_eq!(metric(address, "smrt_abandoned_total"), 1.0);
}

#[test]
fn one_bad_row_of_a_large_request_is_told_once() {
    let running = builder(slow(6, &Arc::default())).start().unwrap();
    let mut client = Client::new(running.address());
    let reply = client.post(CSV, &format!("0,0,0\n0,0,0\n{REFUSE},0,0\n0,0,0\n"));
    assert_eq!(reply.status, 400, "{reply:?}");
    let missing = client.post(CSV, "0,0,0\n0,0,0\n0,0,0\n1,nan,3\n");
    assert_eq!(missing.status, 400);
    assert!(missing.body.contains("row 4, column 2"), "{}", missing.body);
    assert!(close_to(client.post(CSV, "0,0,0").score(), 0.5));
}

/// Opens as a model that holds whoever asks for rows other than zeros, until the door opens.
struct Stuck;

fn gate() -> &'static Door {
    static DOOR: OnceLock<Door> = OnceLock::new();
    DOOR.get_or_init(Door::default)
}

impl Definition for Stuck {
    fn name(&self) -> &'static str {
        "stuck"
    }

    fn summary(&self) -> &'static str {
        "holds its callers"
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    fn trainer(&self, _: &RawParameters, _: &mut Problems) -> Option<Box<dyn Trainer>> {
        None
    }

    fn open(&self, _: &Signature, _: &Files) -> Result<Box<dyn Predictor>, Error> {
        Ok(Box::new(Stuck))
    }
}

fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

fn zeros(rows: usize) -> Answer {
    let fields = vec![Field { name: "score", values: Values::Number(vec![0.0; rows]) }];
    Answer { key: "predictions", rows, fields }
}

impl Predictor for Stuck {
    fn predict(&self, rows: ArrayView2<'_, f32>) -> Result<Answer, Error> {
        spin(Duration::from_millis(2));
        if rows.iter().any(|value| *value != 0.0) {
            gate().pass();
        }
        Ok(zeros(rows.nrows()))
    }
}

/// Slow enough to be batched, and cheap.
struct Brisk;

impl Definition for Brisk {
    fn name(&self) -> &'static str {
        "brisk"
    }

    fn summary(&self) -> &'static str {
        "takes a moment"
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    fn trainer(&self, _: &RawParameters, _: &mut Problems) -> Option<Box<dyn Trainer>> {
        None
    }

    fn open(&self, _: &Signature, _: &Files) -> Result<Box<dyn Predictor>, Error> {
        Ok(Box::new(Brisk))
    }
}

impl Predictor for Brisk {
    fn predict(&self, rows: ArrayView2<'_, f32>) -> Result<Answer, Error> {
        spin(Duration::from_micros(150));
        Ok(zeros(rows.nrows()))
    }
}

/// An artifact that one of the two above opens.
fn artifact(algorithm: &str) -> Vec<u8> {
    let (mut contents, _) = pair().user.opener().contents(&pair().bytes[0], "a").unwrap();
    contents.manifest.algorithm = algorithm.into();
    let mut files = contents.files;
    files.insert("manifest.json".into(), serde_json::to_vec(&contents.manifest).unwrap());
    files.insert("provenance.json".into(), serde_json::to_vec(&contents.provenance).unwrap());
    let entries = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    smrt::model::write_files(entries, Vec::new()).unwrap()
}

#[test]
fn models_that_hold_every_worker_keep_no_cheap_one_waiting() {
    let folder = TempDir::new().unwrap();
    for name in ["stuck", "brisk"] {
        put(folder.path(), &format!("{name}.tar.gz"), &artifact(name));
    }
    let text = "endpoint.name = \"two\"\nvariants.stuck.model = \"stuck.tar.gz\"\n\
                variants.brisk.model = \"brisk.tar.gz\"\n";
    let file = EndpointFile::read(text.as_bytes(), "endpoint.toml", folder.path(), &[]).unwrap();
    let Serves::Variants { variants, shadow, rollout } = file.serves else { panic!() };
    let table = Table::builtin().with(Box::new(Stuck)).with(Box::new(Brisk));
    let library = Library::new(Store::new(&Storage::default()), pair().user.opener().table(table));
    let variants = Variants { library, production: variants, shadow, rollout, admin: None };
    let server = Server::variants(variants).listen("127.0.0.1:0").threads(2).workers(2);
    let running = server.start().unwrap_or_else(|error| panic!("{error}"));
    let of = |name: &str| format!("X-Amzn-SageMaker-Target-Variant: {name}\r\n");
    let mut held: Vec<Client> = (0..2)
        .map(|at| {
            let mut client = Client::new(running.address());
            client.send(invocation(&of("stuck"), ROW));
            gate().wait_for(at + 1);
            client
        })
        .collect();
    let mut client = Client::new(running.address());
    for _ in 0..20 {
        let reply = ask(&mut client, "POST", "/invocations", &of("brisk"), ROW);
        assert_eq!(json(&reply)["predictions"][0]["score"], 0.0, "{reply:?}");
    }
    gate().open();
    for client in &mut held {
        assert_eq!(client.receive().unwrap().status, 200);
    }
}
