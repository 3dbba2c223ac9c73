//! What all threads of an endpoint share: its models, its settings and its counters.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::background::Background;
use super::book::{Book, Sheet};
use super::change::{Change, Told};
use super::hot::Hot;
use super::pool::Pool;
use super::served::Served;
use super::stats::Answers;
use super::traffic::Traffic;
use crate::algorithm::Ask;
use crate::http::Limits;
use crate::iam::door::Door;
use crate::telemetry::audit::Audit;

/// Settings of an endpoint, all checked.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Connection threads; never 0.
    pub(super) threads: usize,
    /// Worker threads; never 0.
    pub(super) workers: usize,
    /// Name at the runtime door.
    pub(super) name: String,
    pub(super) limits: Limits,
    pub(super) invocation_timeout: Duration,
    pub(super) access_log: bool,
    /// Whether callers need a token, and a certificate.
    pub(super) asks_token: bool,
    pub(super) asks_certificate: bool,
    /// What every caller is answered besides the plain answer.
    pub(super) ask: Ask,
    /// Who is told what changes.
    pub(super) told: Told,
    /// Of each model's queue.
    pub(super) queue_requests_max: usize,
    pub(super) queue_rows_max: usize,
    /// Requests of one address in one queue; `None` is no bound of its own.
    pub(super) requests_per_address_max: Option<usize>,
    /// What nearly every request is to be answered within, once its body is there.
    pub(super) target_p99: Option<Duration>,
    /// How long a request may wait for others to share its batch.
    pub(super) queue_delay: Duration,
    /// How many models have something to do for the workers.
    pub(super) sharing: Arc<AtomicUsize>,
}

impl Settings {
    /// Tells whoever asked what has changed.
    pub(super) fn tell(&self, change: &Change<'_>) {
        self.told.tell(&self.name, change);
    }
}

/// The models behind an endpoint.
pub(super) enum Fleet {
    /// One, or several that share the traffic.
    Variants(Box<Traffic>),
    /// Many, each under its own name.
    Many(Arc<Hot>),
}

/// An endpoint that answers.
pub(super) struct Endpoint {
    pub(super) settings: Settings,
    /// Where who calls must be known, and may only what policies allow.
    pub(super) door: Option<Arc<Door>>,
    /// Where every invocation is recorded.
    pub(super) audit: Option<Arc<Audit>>,
    pub(super) fleet: Fleet,
    pub(super) pool: Pool,
    pub(super) background: Arc<Background>,
    pub(super) book: Arc<Book>,
    /// Counts invocations that never reached a model.
    pub(super) nobody: Arc<Sheet>,
    /// One for each connection thread.
    pub(super) answers: Arc<[Answers]>,
    /// Filled in when the gate is open.
    pub(super) connections: OnceLock<Arc<[AtomicUsize]>>,
}

impl Endpoint {
    /// What callers know it by.
    pub(super) fn name(&self) -> &str {
        &self.settings.name
    }

    /// Every model that is loaded.
    pub(super) fn loaded(&self) -> Vec<Arc<Served>> {
        match &self.fleet {
            Fleet::Variants(traffic) => traffic.loaded(),
            Fleet::Many(hot) => hot.all(),
        }
    }

    /// (requests, rows) that wait, over all models.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let depths = self.loaded().into_iter().map(|served| served.queue.depth());
        depths.fold((0, 0), |sum, depth| (sum.0 + depth.0, sum.1 + depth.1))
    }

    /// What a request would wait for a worker, at the model where that is longest.
    pub(super) fn wait(&self) -> Duration {
        let waits = self.loaded().into_iter().map(|served| served.queue.wait_now());
        waits.max().unwrap_or_default()
    }

    pub(super) fn in_flight(&self) -> u64 {
        let of_thread = |answers: &Answers| answers.in_flight.get();
        self.answers.iter().map(of_thread).fold(0, u64::wrapping_add)
    }

    pub(super) fn connected(&self) -> usize {
        let sum = |threads: &Arc<[AtomicUsize]>| {
            threads.iter().map(|load| load.load(Ordering::Relaxed)).sum()
        };
        self.connections.get().map_or(0, sum)
    }

    /// Labels of the build metric.
    pub(super) fn build(&self) -> Vec<(String, String)> {
        let mut labels = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        if let (Fleet::Variants(_), [served]) = (&self.fleet, self.loaded().as_slice()) {
            let manifest = &served.model.manifest;
            labels.push(("job", manifest.job.clone()));
            labels.push(("algorithm", manifest.algorithm.clone()));
            labels.push(("model_sha256", served.model.digest.clone()));
        }
        labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}
