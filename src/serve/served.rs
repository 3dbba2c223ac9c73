//! One loaded model: what it costs, what waits for it, and what is counted about it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderValue;

use super::book::Sheet;
use super::calibrate::{self, Cost};
use super::codec::Refusal;
use super::endpoint::Settings;
use super::error::Error;
use super::fence::Failed;
use super::pace::Pace;
use super::queue::{Bounds, Queue};
use super::stats::Stats;
use crate::algorithm::Predictor;
use crate::data::oip::{self, Tensor};
use crate::data::{Answer, Signature};
use crate::model::Model;

/// What a model is called.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// In its own answers and in paths.
    pub(super) model: Arc<str>,
    /// In `x-Amzn-Invoked-Production-Variant`.
    pub(super) variant: HeaderValue,
}

/// A model that answers.
pub(super) struct Served {
    pub(super) names: Names,
    pub(super) model: Model,
    pub(super) cost: Cost,
    pub(super) pace: Arc<Pace>,
    /// What it has had of the workers' time, in nanoseconds, as the line behind them counts it.
    pub(super) share: AtomicU64,
    /// The tensors of its answer.
    pub(super) outputs: Vec<Tensor>,
    pub(super) queue: Queue,
    pub(super) sheet: Arc<Sheet>,
}

impl Served {
    /// Measures a model. Takes some milliseconds: never done on a connection's thread.
    ///
    /// # Errors
    /// When it cannot answer.
    pub(super) fn new(
        model: Model,
        names: Names,
        sheet: Arc<Sheet>,
        settings: &Settings,
    ) -> Result<Served, Error> {
        let features = model.manifest.signature.features;
        let cost = calibrate::measure(&*model.predictor, features)?;
        let sample = calibrate::sample(&*model.predictor, features, &settings.ask)?;
        let bounds = Bounds {
            requests_max: settings.queue_requests_max,
            rows_max: settings.queue_rows_max,
            requests_per_address_max: settings.requests_per_address_max,
            workers: settings.workers,
            // Where a call costs less than a row, company gains nothing.
            delay: if cost.call_s >= cost.row_s { settings.queue_delay } else { Duration::ZERO },
        };
        let pace = Arc::new(Pace::new(cost, settings.target_p99));
        let queue = Queue::new(bounds, Arc::clone(&pace), Arc::clone(&settings.sharing));
        let (outputs, share) = (oip::tensors(&sample), AtomicU64::new(0));
        Ok(Served { names, model, cost, pace, share, outputs, queue, sheet })
    }

    pub(super) fn predictor(&self) -> &dyn Predictor {
        &*self.model.predictor
    }

    pub(super) fn signature(&self) -> &Signature {
        &self.model.manifest.signature
    }

    /// What callers know it by.
    pub(super) fn name(&self) -> &str {
        &self.names.model
    }

    /// Its name and the tensors of its answers.
    pub(super) fn told(&self) -> (&str, &[Tensor]) {
        (self.name(), &self.outputs)
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
