//! Starting and stopping an endpoint from a program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::header::HeaderValue;

use super::book::{Book, Label};
use super::endpoint::{Endpoint, Settings};
use super::error::Error;
use super::pool::Pool;
use super::routes::Front;
use super::served::{Names, Served};
use super::stats::Answers;
use super::traffic::{ONLY_VARIANT, Traffic, Variant};
use super::worker;
use crate::algorithm::Ask;
use crate::data::Signature;
use crate::data::schema::Cells;
use crate::http::{self, Gate, Limits, Stop, gate};
use crate::model::Model;
use crate::spec::limit;

/// An endpoint that can be started: see [`Server::builder`].
#[derive(Debug)]
pub struct Server {
    _private: (),
}

impl Server {
    /// Serves `model` with SageMaker's defaults: port 8080 of this machine alone, a thread per
    /// core, bodies of 6 MiB.
    pub fn builder(model: Model) -> Builder {
        Builder {
            model,
            listen: "127.0.0.1:8080".into(),
            threads: 0,
            workers: 0,
            name: None,
            limits: Limits::default(),
            queue_requests_max: limit::QUEUE_REQUESTS_MAX,
            queue_rows_max: limit::QUEUE_ROWS_MAX,
            requests_per_address_max: None,
            invocation_timeout: Duration::from_secs(limit::INVOCATION_TIMEOUT_S),
            access_log: true,
            ask: Ask::default(),
            signals: false,
        }
    }
}

/// Settings of an endpoint before it starts.
#[must_use = "nothing is served before start()"]
pub struct Builder {
    model: Model,
    listen: String,
    threads: usize,
    workers: usize,
    name: Option<String>,
    limits: Limits,
    queue_requests_max: usize,
    queue_rows_max: usize,
    requests_per_address_max: Option<usize>,
    invocation_timeout: Duration,
    access_log: bool,
    ask: Ask,
    signals: bool,
}

impl Builder {
    /// Where to listen, as `host:port`; port 0 takes any free one.
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

    /// Measures the model, listens, and answers from now on.
    ///
    /// # Errors
    /// When the address cannot be used, the model cannot answer, or threads cannot be started.
    pub fn start(self) -> Result<Running, Error> {
        let address = http::address(&self.listen)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let or_cores = |count: usize| if count == 0 { cores } else { count };
        let (threads, workers) = (or_cores(self.threads), or_cores(self.workers));
        let settings = Settings {
            threads,
            workers,
            name: self.name.unwrap_or_else(|| self.model.manifest.job.clone()),
            limits: self.limits.clone(),
            invocation_timeout: self.invocation_timeout,
            access_log: self.access_log,
            ask: self.ask,
            queue_requests_max: self.queue_requests_max,
            queue_rows_max: self.queue_rows_max,
            requests_per_address_max: self.requests_per_address_max,
        };
        let book = Book::new(threads + workers);
        let names = Names {
            model: settings.name.as_str().into(),
            variant: HeaderValue::from_static(ONLY_VARIANT),
        };
        let sheet = book.sheet(&Label { variant: ONLY_VARIANT.into(), model: None });
        let served = Arc::new(Served::new(self.model, names, sheet, &settings)?);
        let endpoint = Arc::new(Endpoint {
            settings,
            traffic: Traffic::new(vec![Variant { served, weight: 1.0 }]),
            pool: Pool::default(),
            nobody: book.unlabelled(),
            book,
            answers: (0..threads).map(|_| Answers::default()).collect(),
            connections: OnceLock::new(),
        });
        let settings =
            gate::Settings { address, threads, limits: self.limits, signals: self.signals };
        let front = Arc::clone(&endpoint);
        let gate = gate::open(&settings, Stop::default(), move |thread| {
            Front::new(Arc::clone(&front), thread)
        })?;
        // Filled only here.
        let _ = endpoint.connections.set(Arc::clone(&gate.connections));
        let workers = worker::start(&endpoint)?;
        Ok(Running {
            endpoint,
            address: gate.address,
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
    address: SocketAddr,
    stop: Stop,
    gate: Option<Gate>,
    workers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Where it listens, with the true port.
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
        }
        self.endpoint.pool.close();
        for worker in self.workers.drain(..) {
            // Nobody waits for what a worker still computes once the gate is closed.
            if worker.is_finished() {
                let _ = worker.join();
            }
        }
    }

    /// One line for people: what is served, how, and a command that asks it.
    pub fn greeting(&self) -> String {
        let endpoint = &self.endpoint;
        let served = endpoint.traffic.table();
        let served = &served.variants[0].served;
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
            "serving {job} ({algorithm}, {task}, {features} features) on http://{address}, {row_us:.1} µs a row, {kind} {count} {threads}; try: {curl}",
            job = manifest.job,
            algorithm = manifest.algorithm,
            features = manifest.signature.features,
            address = self.address,
            curl = example(self.address, &manifest.signature),
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
fn example(address: SocketAddr, signature: &Signature) -> String {
    let host = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    let url = SocketAddr::new(host, address.port());
    let row = match signature.features {
        _ if signature.cells == Cells::Login => "'user,10.0.0.1'".to_owned(),
        0..=64 => format!("'{}'", vec!["0"; signature.features].join(",")),
        _ => format!("\"$(printf '0,%.0s' $(seq {}))0\"", signature.features - 1),
    };
    format!("curl -H 'Content-Type: text/csv' --data {row} http://{url}/invocations")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Task;

    #[test]
    fn the_example_names_an_address_one_can_reach() {
        let text = example("0.0.0.0:8080".parse().unwrap(), &Signature::of(3, Task::Regression));
        assert_eq!(
            text,
            "curl -H 'Content-Type: text/csv' --data '0,0,0' http://127.0.0.1:8080/invocations"
        );
        assert!(
            example("[::]:80".parse().unwrap(), &Signature::of(784, Task::Regression))
                .contains("$(seq 783))0\" http://[::1]:80/")
        );
    }
}
