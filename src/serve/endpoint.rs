//! What all threads of an endpoint share: the model, its cost, its queue and its settings.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::StatusCode;

use super::calibrate::Cost;
use super::codec::Refusal;
use super::fence::Failed;
use super::queue::Queue;
use super::stats::{Gauges, Stats};
use crate::algorithm::{Ask, Predictor};
use crate::data::oip::Tensor;
use crate::data::{Answer, Signature};
use crate::http::Limits;
use crate::model::Model;

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
    /// What every caller is answered besides the plain answer.
    pub(super) ask: Ask,
}

/// One model being served.
pub(super) struct Endpoint {
    pub(super) model: Model,
    pub(super) cost: Cost,
    /// The tensors of its answer.
    pub(super) outputs: Vec<Tensor>,
    pub(super) queue: Queue,
    pub(super) settings: Settings,
    /// One for each connection thread, then one for each worker.
    pub(super) stats: Arc<[Arc<Stats>]>,
    /// Filled in when the gate is open.
    pub(super) connections: OnceLock<Arc<[AtomicUsize]>>,
}

impl Endpoint {
    pub(super) fn predictor(&self) -> &dyn Predictor {
        &*self.model.predictor
    }

    pub(super) fn signature(&self) -> &Signature {
        &self.model.manifest.signature
    }

    /// What callers know it by.
    pub(super) fn name(&self) -> &str {
        &self.settings.name
    }

    pub(super) fn features(&self) -> usize {
        self.signature().features
    }

    /// What a caller is told when the model failed; the log is told why.
    pub(super) fn failed(&self, stats: &Stats, why: &Failed) -> Refusal {
        match why {
            Failed::Rows { what, help } => {
                let refusal = Refusal::new(StatusCode::BAD_REQUEST, what.as_str());
                return Refusal { help: help.clone(), ..refusal };
            }
            Failed::Panicked(_) => stats.panics.add(1),
            Failed::Refused(_) | Failed::WrongShape => {}
        }
        tracing::error!(reason = why.reason(), job = self.model.manifest.job, "model failed");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the model failed on this request")
            .help("the server's log has the reason under this request's id")
    }

    /// An answer that is not a number is the request's fault when its row has a missing value
    /// that this model cannot do without, and the model's otherwise.
    pub(super) fn sound(
        &self,
        stats: &Stats,
        answer: &Answer,
        values: &[f32],
    ) -> Result<(), Refusal> {
        let Some(row) = answer.first_not_finite() else { return Ok(()) };
        let features = self.features();
        let given = values.get(row * features..(row + 1) * features).unwrap_or_default();
        let Some(column) = given.iter().position(|value| !value.is_finite()) else {
            return Err(self.failed(stats, &Failed::Refused("its answer is not a number".into())));
        };
        let message = format!(
            "row {}, column {}: the value is missing or not finite, and this model cannot answer without it",
            row + 1,
            column + 1
        );
        Err(Refusal::new(StatusCode::BAD_REQUEST, message).help("send a number in every column"))
    }
}

impl Gauges for Endpoint {
    fn read(&self) -> (u64, u64, u64) {
        let (requests, rows) = self.queue.depth();
        let open = self
            .connections
            .get()
            .map_or(0, |threads| threads.iter().map(|load| load.load(Ordering::Relaxed)).sum());
        (requests as u64, rows as u64, open as u64)
    }

    fn build(&self) -> Vec<(String, String)> {
        let manifest = &self.model.manifest;
        [
            ("version", env!("CARGO_PKG_VERSION")),
            ("job", &manifest.job),
            ("algorithm", &manifest.algorithm),
            ("model_sha256", &self.model.digest),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }
}
