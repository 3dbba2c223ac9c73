//! Starting and stopping an endpoint from a program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use super::background::Background;
use super::book::Book;
use super::change::{Change, Told};
use super::endpoint::{Endpoint, Fleet, Settings};
use super::error::Error;
use super::hot::Many;
use super::pool::Pool;
use super::routes::Front;
use super::serving::{self, Serving};
use super::stats::Answers;
use super::variants::Variants;
use super::worker;
use crate::algorithm::Ask;
use crate::data::Signature;
use crate::data::schema::Cells;
use crate::http::{self, Gate, Limits, Place, Stop, TlsFiles, gate};
use crate::iam::door::Door;
use crate::model::Model;
use crate::spec::limit;
use crate::telemetry::audit::Audit;

/// Threads that load models: they mostly wait for the store, and one that does not answer must not
/// keep the others from loading.
const LOADERS: usize = 4;

/// An endpoint that can be started: see [`Server::builder`].
#[derive(Debug)]
pub struct Server {
    _private: (),
}

impl Server {
    /// Serves `model` with SageMaker's defaults: port 8080 of this machine alone, a thread per
    /// core, bodies of 6 MiB.
    pub fn builder(model: Model) -> Builder {
        Server::serving(Serving::One(Box::new(model)))
    }

    /// Serves many models, each under its own name, with the same defaults.
    pub fn many(many: Many) -> Builder {
        Server::serving(Serving::Many(Box::new(many)))
    }

    /// Serves variants of one model that share its traffic, with the same defaults. Their artifacts
    /// are opened by [`Builder::start`].
    pub fn variants(variants: Variants) -> Builder {
        Server::serving(Serving::Variants(Box::new(variants)))
    }

    fn serving(serving: Serving) -> Builder {
        Builder {
            serving,
            listen: "127.0.0.1:8080".into(),
            threads: 0,
            workers: 0,
            name: None,
            limits: Limits::default(),
            queue_requests_max: limit::QUEUE_REQUESTS_MAX,
            queue_rows_max: limit::QUEUE_ROWS_MAX,
            requests_per_address_max: None,
            target_p99: None,
            queue_delay: Duration::ZERO,
            invocation_timeout: Duration::from_secs(limit::INVOCATION_TIMEOUT_S),
            access_log: true,
            ask: Ask::default(),
            signals: false,
            tls: None,
            tokens: None,
            door: None,
            audit: None,
            told: Told::default(),
        }
    }
}

/// Settings of an endpoint before it starts.
#[must_use = "nothing is served before start()"]
pub struct Builder {
    serving: Serving,
    listen: String,
    threads: usize,
    workers: usize,
    name: Option<String>,
    limits: Limits,
    queue_requests_max: usize,
    queue_rows_max: usize,
    requests_per_address_max: Option<usize>,
    target_p99: Option<Duration>,
    queue_delay: Duration,
    invocation_timeout: Duration,
    access_log: bool,
    ask: Ask,
    signals: bool,
    tls: Option<TlsFiles>,
    tokens: Option<PathBuf>,
    door: Option<Arc<Door>>,
    audit: Option<Arc<Audit>>,
    told: Told,
}

impl Builder {
    /// Where to listen, as `host:port` (port 0 takes any free one) or `unix:/path`.
    pub fn listen(mut self, address: impl Into<String>) -> Builder {
        self.listen = address.into();
        self
    }

    /// Threads that read, answer and, for small models, predict. 0 is one per core.
    pub fn threads(mut self, threads: usize) -> Builder {
        self.threads = threads;
        self
    }

    /// Threads that predict for larger models and requests. 0 is one per core.
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = workers;
        self
    }

    /// Name of the endpoint in `/endpoints/NAME/invocations`. Default: the job's.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// Bounds on what callers may send and how long it may take.
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.limits = limits;
        self
    }

    /// How many requests and rows may wait for a worker; beyond that callers get 503.
    pub fn queue_max(mut self, requests: usize, rows: usize) -> Builder {
        self.queue_requests_max = requests;
        self.queue_rows_max = rows;
        self
    }

    /// How many requests of one address may wait for a worker; beyond that it gets 429.
    pub fn requests_per_address_max(mut self, requests: usize) -> Builder {
        self.requests_per_address_max = Some(requests);
        self
    }

    /// What 99 of 100 requests are to be answered within, once their body is there: batches are made
    /// so large that they keep it, and what would break it is refused with 503 when it comes. Default
    /// none: batches of at most 5 ms, and nothing is refused that is answered within its time.
    pub fn target_p99(mut self, time: Duration) -> Builder {
        self.target_p99 = Some(time);
        self
    }

    /// How long a request may wait for others to share its batch, where the model gains from it and
    /// requests come often enough. Default not at all: a batch is what waits while the workers are
    /// busy.
    pub fn queue_delay(mut self, time: Duration) -> Builder {
        self.queue_delay = time;
        self
    }

    /// How long a request may take once its body is there.
    pub fn invocation_timeout(mut self, timeout: Duration) -> Builder {
        self.invocation_timeout = timeout;
        self
    }

    /// Whether each invocation has a completion line in the log. Default yes.
    pub fn access_log(mut self, wanted: bool) -> Builder {
        self.access_log = wanted;
        self
    }

    /// What every caller is answered besides the plain answer; `Accept` may add to it. Default
    /// nothing.
    pub fn ask(mut self, ask: Ask) -> Builder {
        self.ask = ask;
        self
    }

    /// Whether SIGTERM and SIGINT stop the server. Default no: they belong to the program.
    pub fn stop_on_signals(mut self, wanted: bool) -> Builder {
        self.signals = wanted;
        self
    }

    /// Speaks TLS, with these files. Default: in the clear.
    pub fn tls(mut self, files: TlsFiles) -> Builder {
        self.tls = Some(files);
        self
    }

    /// Records every invocation, answered or refused, and answers none that cannot be recorded.
    pub fn audit(mut self, audit: Arc<Audit>) -> Builder {
        self.audit = Some(audit);
        self
    }

    /// Tells `who` what changes about the endpoint, by its name, and about its models, on the thread that changed it.
    pub fn on_change(mut self, who: impl Fn(&str, &Change<'_>) + Send + Sync + 'static) -> Builder {
        self.told = Told::to(who);
        self
    }

    /// Lets in only callers whom this door knows, by an AWS signature, a token's name or a
    /// certificate's, and lets them do only what their policies allow.
    pub fn door(mut self, door: Arc<Door>) -> Builder {
        self.door = Some(door);
        self
    }

    /// Lets in only callers with a bearer token of this file; health is for everybody. Default: no
    /// token is asked for.
    pub fn tokens(mut self, file: impl Into<PathBuf>) -> Builder {
        self.tokens = Some(file.into());
        self
    }

    /// Measures the model, listens, and answers from now on.
    ///
    /// # Errors
    /// When the address cannot be used, the model cannot answer, a certificate, key or token is not
    /// one, or threads cannot be started.
    pub fn start(self) -> Result<Running, Error> {
        let place = http::place(&self.listen)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let or_cores = |count: usize| if count == 0 { cores } else { count };
        let (threads, workers) = (or_cores(self.threads), or_cores(self.workers));
        let ready = self.serving.open()?;
        let rollout = ready.rollout();
        let settings = Settings {
            threads,
            workers,
            name: self.name.unwrap_or_else(|| ready.name()),
            limits: self.limits.clone(),
            invocation_timeout: self.invocation_timeout,
            access_log: self.access_log,
            asks_token: self.tokens.is_some(),
            asks_certificate: self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()),
            ask: self.ask,
            told: self.told,
            queue_requests_max: self.queue_requests_max,
            queue_rows_max: self.queue_rows_max,
            requests_per_address_max: self.requests_per_address_max,
            target_p99: self.target_p99,
            queue_delay: self.queue_delay,
            sharing: Arc::default(),
        };
        let pool = Pool::new(workers, Arc::clone(&settings.sharing));
        // One for the thread besides the workers; the last one counts what the shadow does.
        let book = Book::new(threads + workers + 2);
        let background = Arc::<Background>::default();
        let fleet = ready.fleet(&settings, &book, &background)?;
        let endpoint = Arc::new(Endpoint {
            settings,
            door: self.door,
            audit: self.audit,
            fleet,
            pool,
            background: Arc::clone(&background),
            nobody: book.unlabelled(),
            book,
            answers: (0..threads).map(|_| Answers::default()).collect(),
            connections: OnceLock::new(),
        });
        let is_tls = self.tls.is_some();
        let settings = gate::Settings {
            place,
            threads,
            limits: self.limits,
            signals: self.signals,
            tls: self.tls,
            tokens: self.tokens,
        };
        let front = Arc::clone(&endpoint);
        let gate = gate::open(&settings, Stop::default(), move |thread| {
            Front::new(Arc::clone(&front), thread)
        })?;
        // Filled only here.
        let _ = endpoint.connections.set(Arc::clone(&gate.connections));
        let mut workers = worker::start(&endpoint)?;
        workers.extend(background.start(LOADERS)?);
        workers.extend(serving::change(&endpoint, rollout)?);
        if let Fleet::Variants(_) = &endpoint.fleet {
            for served in endpoint.loaded() {
                let (model, sha256) = (&*served.names.model, &*served.model.digest);
                endpoint.settings.tell(&Change::Loaded { model, sha256 });
            }
        }
        endpoint.settings.tell(&Change::InService);
        Ok(Running {
            endpoint,
            place: gate.place.clone(),
            address: gate.address(),
            is_tls,
            stop: gate.stop.clone(),
            gate: Some(gate),
            workers,
        })
    }
}

/// An endpoint that answers. Dropping it stops it without waiting for requests under way; see
/// [`Running::stop`] and [`Running::wait`] for the gentle way.
pub struct Running {
    endpoint: Arc<Endpoint>,
    place: Place,
    address: SocketAddr,
    is_tls: bool,
    stop: Stop,
    gate: Option<Gate>,
    workers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Where it listens.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its address, with the true port; the unspecified one with port 0 for a Unix socket.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it from another thread.
    pub fn stopper(&self) -> Stop {
        self.stop.clone()
    }

    /// Begins to stop: no new connections, requests under way are finished.
    pub fn stop(&self) {
        self.stop.stop();
    }

    /// Waits until it has stopped.
    pub fn wait(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.wait();
            self.endpoint.settings.tell(&Change::Stopped);
        }
        // Every request is answered: what was recorded of them has to reach the disk.
        if let Some(audit) = &self.endpoint.audit {
            audit.close();
        }
        self.endpoint.pool.close();
        self.endpoint.background.close();
        if let Fleet::Variants(traffic) = &self.endpoint.fleet
            && let Some(shadow) = &traffic.shadow
        {
            shadow.close();
        }
        for worker in self.workers.drain(..) {
            // Nobody waits for what a worker still computes once the gate is closed.
            if worker.is_finished() {
                let _ = worker.join();
            }
        }
    }

    /// Where it is, as it is written in a browser; a Unix socket as `--listen` has it.
    fn url(&self) -> String {
        match &self.place {
            Place::Tcp(address) if self.is_tls => format!("https://{address}"),
            Place::Tcp(address) => format!("http://{address}"),
            Place::Unix(_) => self.place.to_string(),
        }
    }

    /// How curl gets there.
    fn way(&self) -> String {
        let Place::Tcp(address) = &self.place else {
            let path = self.place.to_string();
            let path = path.trim_start_matches("unix:").to_owned();
            return format!("--unix-socket '{path}' http://localhost");
        };
        let host = match address.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
            other => other,
        };
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", SocketAddr::new(host, address.port()))
    }

    /// One line for people: what is served, how, and a command that asks it.
    pub fn greeting(&self) -> String {
        let endpoint = &self.endpoint;
        let traffic = match &endpoint.fleet {
            Fleet::Variants(traffic) => traffic,
            Fleet::Many(hot) => {
                return format!(
                    "serving the models below {place} on http://{address}; try: curl -X POST http://{address}/v2/repository/index",
                    place = hot.place(),
                    address = self.address,
                );
            }
        };
        let table = traffic.table();
        let served = &table.variants[0].served;
        let manifest = &served.model.manifest;
        let task = manifest.signature.task.words();
        let row_us = served.cost.of(1).as_secs_f64() * 1e6;
        let settings = &endpoint.settings;
        let (count, kind) = match served.cost.is_inline(1) {
            true => (settings.threads, "in place by"),
            false => (settings.workers, "in batches by"),
        };
        let threads = if count == 1 { "thread" } else { "threads" };
        format!(
            "serving {job} ({algorithm}, {task}, {features} features) on {address}, {row_us:.1} µs a row, {kind} {count} {threads}; try: {curl}",
            job = manifest.job,
            algorithm = manifest.algorithm,
            features = manifest.signature.features,
            address = self.url(),
            curl = example(&self.way(), &manifest.signature),
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.gate.is_some() {
            self.stop.stop_now();
            self.finish();
        }
    }
}

/// A command that can be pasted into a shell: a row of zeros (or a login) as CSV.
fn example(way: &str, signature: &Signature) -> String {
    let row = match signature.features {
        _ if signature.cells == Cells::Login => "'user,10.0.0.1'".to_owned(),
        0..=64 => format!("'{}'", vec!["0"; signature.features].join(",")),
        _ => format!("\"$(printf '0,%.0s' $(seq {}))0\"", signature.features - 1),
    };
    format!("curl -H 'Content-Type: text/csv' --data {row} {way}/invocations")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Task;

    #[test]
    fn the_example_can_be_pasted() {
        let text = example("http://127.0.0.1:8080", &Signature::of(3, Task::Regression));
        assert_eq!(
            text,
            "curl -H 'Content-Type: text/csv' --data '0,0,0' http://127.0.0.1:8080/invocations"
        );
        assert!(
            example("http://[::1]:80", &Signature::of(784, Task::Regression))
                .contains("$(seq 783))0\" http://[::1]:80/")
        );
    }
}
