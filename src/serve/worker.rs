//! Worker threads: take a batch of the model whose turn it is, ask it once, and send each caller
//! its part.
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
use super::served::Served;
use super::stats::Stats;
use crate::algorithm::Ask;
use crate::data::Answer;
use crate::spec::limit::BLOCK_ROWS_MAX;

/// Starts the workers; they end when the pool is closed and nothing waits.
pub(super) fn start(endpoint: &Arc<Endpoint>) -> Result<Vec<std::thread::JoinHandle<()>>, Error> {
    (0..endpoint.settings.workers)
        .map(|at| {
            let endpoint = Arc::clone(endpoint);
            let thread = endpoint.settings.threads + at;
            std::thread::Builder::new()
                .name(format!("smrt-worker-{at}"))
                .spawn(move || work(&endpoint, thread))
                .map_err(Error::Thread)
        })
        .collect()
}

/// What one worker does until the end.
fn work(endpoint: &Endpoint, thread: usize) {
    let (mut batch, mut values) = (Vec::new(), Vec::new());
    while let Some(served) = endpoint.pool.next() {
        let stats = served.sheet.of(thread);
        let abandoned = |job: Job| {
            stats.abandoned.add(1);
            let _ = job.reply.send(Err(too_late()));
        };
        if served.queue.take(served.cost.batch_rows(), &mut batch, abandoned) {
            // Another worker can have the rest, after the models that are waiting.
            endpoint.pool.list(Arc::clone(&served));
        }
        let mut turn = Turn { served: &served, stats, values: &mut values };
        match batch.len() {
            0 => {}
            1 => batch.drain(..).for_each(|job| turn.alone(job)),
            _ => turn.together(&mut batch),
        }
        // One huge request does not leave its memory behind.
        values.shrink_to(BLOCK_ROWS_MAX * served.features());
    }
}

/// One batch of one model.
struct Turn<'a> {
    served: &'a Served,
    stats: &'a Stats,
    /// The rows of the batch; the worker keeps the memory from one to the next.
    values: &'a mut Vec<f32>,
}

impl Turn<'_> {
    /// Several requests, one call of the model.
    fn together(&mut self, batch: &mut Vec<Job>) {
        self.values.clear();
        for job in batch.iter() {
            if let Work::Rows { values, .. } = &job.work {
                self.values.extend_from_slice(values);
            }
        }
        let Some(ask) = batch.first().map(|job| job.ask.clone()) else { return };
        let (predictor, features) = (self.served.predictor(), self.served.features());
        let predicted = fence::predict(predictor, self.values, features, &ask);
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
        let mut values = std::mem::take(self.values);
        values.clear();
        let result = codec::decode(wire, body, self.served.signature(), &mut values)
            .and_then(|(_, form)| self.blocks(&values, &form, job));
        *self.values = values;
        result
    }

    fn blocks(&self, values: &[f32], form: &Form, job: &Job) -> Result<Done, Refusal> {
        let features = self.served.features();
        let block = self.served.cost.batch_rows() * features;
        let mut whole: Option<Answer> = None;
        let mut time = Duration::ZERO;
        for values in values.chunks(block.max(1)) {
            if job.is_abandoned() {
                self.stats.abandoned.add(1);
                return Err(too_late());
            }
            let predicted = fence::predict(self.served.predictor(), values, features, &job.ask)
                .map_err(|why| self.served.failed(self.stats, &why))?;
            self.stats.batch_of(predicted.answer.rows);
            time += predicted.time;
            match &mut whole {
                None => whole = Some(predicted.answer),
                Some(whole) => {
                    if !append(whole, predicted.answer) {
                        return Err(self.served.failed(self.stats, &Failed::WrongShape));
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
        self.served.sound(self.stats, answer, values)?;
        let mut body = Vec::new();
        let written = codec::encode(form, ask, self.served.told(), answer, &mut body)?;
        Ok(Done { body, written, rows: answer.rows, model })
    }
}

/// The answer to a request whose time was up before the model saw it.
fn too_late() -> Refusal {
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, "the request's time was up before it was answered")
        .help("send fewer rows at once, or try again when the server is less busy")
}
