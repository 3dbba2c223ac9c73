//! Worker threads: take a batch from the queue, ask the model once, and send each caller its part.
//!
//! One bad request never spoils its neighbours: when a joint batch fails, each request is asked
//! again by itself. Large bodies go through the model in blocks, and stop when their caller leaves.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;

use super::codec::{self, Form, Refusal, Wire};
use super::endpoint::Endpoint;
use super::error::Error;
use super::fence::{self, Failed, append, part};
use super::queue::{Done, Job, Work};
use super::stats::Stats;
use crate::algorithm::Ask;
use crate::data::Answer;
use crate::spec::limit::BLOCK_ROWS_MAX;

/// Starts the workers; they end when the queue is closed and empty.
pub(super) fn start(endpoint: &Arc<Endpoint>) -> Result<Vec<std::thread::JoinHandle<()>>, Error> {
    (0..endpoint.settings.workers)
        .map(|at| {
            let endpoint = Arc::clone(endpoint);
            let stats = Arc::clone(&endpoint.stats[endpoint.settings.threads + at]);
            std::thread::Builder::new()
                .name(format!("smrt-worker-{at}"))
                .spawn(move || Worker { endpoint, stats, values: Vec::new() }.work())
                .map_err(Error::Thread)
        })
        .collect()
}

struct Worker {
    endpoint: Arc<Endpoint>,
    stats: Arc<Stats>,
    /// The rows of the batch at hand; kept from one to the next.
    values: Vec<f32>,
}

impl Worker {
    fn work(mut self) {
        let endpoint = Arc::clone(&self.endpoint);
        let rows_max = endpoint.cost.batch_rows();
        let stats = Arc::clone(&self.stats);
        let abandoned = |job: Job| {
            stats.abandoned.add(1);
            let _ = job.reply.send(Err(too_late()));
        };
        let mut batch = Vec::new();
        while endpoint.queue.take(rows_max, &mut batch, abandoned) {
            match batch.len() {
                1 => batch.drain(..).for_each(|job| self.alone(job)),
                _ => self.together(&mut batch),
            }
            // One huge request does not leave its memory behind.
            self.values.shrink_to(BLOCK_ROWS_MAX * endpoint.features());
        }
    }

    /// Several requests, one call of the model.
    fn together(&mut self, batch: &mut Vec<Job>) {
        self.values.clear();
        for job in batch.iter() {
            if let Work::Rows { values, .. } = &job.work {
                self.values.extend_from_slice(values);
            }
        }
        let Some(ask) = batch.first().map(|job| job.ask.clone()) else { return };
        let (predictor, features) = (self.endpoint.predictor(), self.endpoint.features());
        let predicted = fence::predict(predictor, &self.values, features, &ask);
        let Ok(predicted) = predicted else {
            return batch.drain(..).for_each(|job| self.alone(job));
        };
        self.stats.batch_of(predicted.answer.rows);
        let mut from = 0;
        for job in batch.drain(..) {
            let Work::Rows { rows, values, form } = &job.work else { continue };
            let answer = part(&predicted.answer, from, from + rows);
            from += rows;
            let done = self.encode(form, &job.ask, &answer, values, predicted.time);
            let _ = job.reply.send(done);
        }
    }

    /// One request by itself.
    fn alone(&mut self, job: Job) {
        let result = match &job.work {
            Work::Rows { values, form, .. } => self.blocks(values, form, &job),
            Work::Body { bytes, wire, .. } => self.whole(bytes, wire, &job),
        };
        let _ = job.reply.send(result);
    }

    fn whole(&mut self, body: &[u8], wire: &Wire, job: &Job) -> Result<Done, Refusal> {
        let mut values = std::mem::take(&mut self.values);
        values.clear();
        let result = codec::decode(wire, body, self.endpoint.signature(), &mut values)
            .and_then(|(_, form)| self.blocks(&values, &form, job));
        self.values = values;
        result
    }

    fn blocks(&self, values: &[f32], form: &Form, job: &Job) -> Result<Done, Refusal> {
        let features = self.endpoint.features();
        let block = self.endpoint.cost.batch_rows() * features;
        let mut whole: Option<Answer> = None;
        let mut time = Duration::ZERO;
        for values in values.chunks(block.max(1)) {
            if job.is_abandoned() {
                self.stats.abandoned.add(1);
                return Err(too_late());
            }
            let predicted = fence::predict(self.endpoint.predictor(), values, features, &job.ask)
                .map_err(|why| self.endpoint.failed(&self.stats, &why))?;
            self.stats.batch_of(predicted.answer.rows);
            time += predicted.time;
            match &mut whole {
                None => whole = Some(predicted.answer),
                Some(whole) => {
                    if !append(whole, predicted.answer) {
                        return Err(self.endpoint.failed(&self.stats, &Failed::WrongShape));
                    }
                }
            }
        }
        let whole = whole.ok_or_else(|| Refusal::from(crate::data::Error::NoRows))?;
        self.encode(form, &job.ask, &whole, values, time)
    }

    fn encode(
        &self,
        form: &Form,
        ask: &Ask,
        answer: &Answer,
        values: &[f32],
        model: Duration,
    ) -> Result<Done, Refusal> {
        self.endpoint.sound(&self.stats, answer, values)?;
        let mut body = Vec::new();
        let written = codec::encode(form, ask, self.endpoint.told(), answer, &mut body)?;
        Ok(Done { body, written, rows: answer.rows, model })
    }
}

/// The answer to a request whose time was up before the model saw it.
fn too_late() -> Refusal {
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, "the request's time was up before it was answered")
        .help("send fewer rows at once, or try again when the server is less busy")
}
