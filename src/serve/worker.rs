//! Worker threads: take a batch of the model whose turn it is, ask it once, and send each caller
//! its part.
//!
//! One bad request never spoils its neighbours: when a joint batch fails, each request is asked
//! again by itself. A large request is cut into parts that all workers share ([`super::split`]), and
//! stops when its caller leaves.
//!
//! Workers give way to the threads that read and answer (`nice`): a model that takes every core does
//! not keep a small one, or `/ping`, from being answered on its connection's own thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::StatusCode;

use super::codec::{self, Form, Refusal, Wire};
use super::endpoint::Endpoint;
use super::error::Error;
use super::fence::{self, Failed, part};
use super::pool::{Pool, Who};
use super::queue::{Done, Job, Work};
use super::served::Served;
use super::split::{self, Gathered, Part};
use super::stats::Stats;
use crate::algorithm::Ask;
use crate::data::Answer;
use crate::spec::limit::BLOCK_ROWS_MAX;

/// How much workers give way: a third of the time of a connection's thread that wants as much.
const NICE: i32 = 5;

/// Starts the workers, and the thread besides them; they end when the pool is closed and nothing
/// waits.
pub(super) fn start(endpoint: &Arc<Endpoint>) -> Result<Vec<std::thread::JoinHandle<()>>, Error> {
    let count = endpoint.settings.workers;
    let workers = (0..count).map(|at| (Who::Worker(at), format!("smrt-worker-{at}")));
    workers
        .chain([(Who::Besides, "smrt-light".to_owned())])
        .enumerate()
        .map(|(at, (who, name))| {
            let endpoint = Arc::clone(endpoint);
            let thread = endpoint.settings.threads + at;
            std::thread::Builder::new()
                .name(name)
                .spawn(move || work(&endpoint, thread, who))
                .map_err(Error::Thread)
        })
        .collect()
}

/// What one worker does until the end.
fn work(endpoint: &Endpoint, thread: usize, who: Who) {
    if who != Who::Besides {
        // Where it is not allowed, the operating system shares the cores evenly.
        let _ = rustix::process::nice(NICE);
    }
    let (mut batch, mut values) = (Vec::new(), Vec::new());
    while let Some(served) = endpoint.pool.next(who) {
        let stats = served.sheet.of(thread);
        let abandoned = |job: Option<Job>| {
            stats.abandoned.add(1);
            job.map(|job| job.reply.send(Err(too_late())));
        };
        let (part, left) = served.queue.take(served.pace.rows(), &mut batch, abandoned);
        let rows = part.as_ref().map_or_else(|| rows_of(&batch), |part| part.rows);
        let expected = served.pace.time(rows);
        Pool::charge(&served, expected);
        if left {
            // Another worker can have the rest, after the models that are waiting.
            endpoint.pool.list(Arc::clone(&served));
        }
        let start = Instant::now();
        let mut turn = Turn { endpoint, served: &served, stats, values: &mut values };
        match (part, batch.len()) {
            (Some(part), _) => turn.part(&part),
            (None, 0) => continue,
            (None, 1) => batch.drain(..).for_each(|job| turn.alone(job)),
            (None, _) => turn.together(&mut batch),
        }
        // What was asked for besides the plain answer may have taken much longer.
        Pool::charge(&served, start.elapsed().saturating_sub(expected));
        // One huge request does not leave its memory behind.
        values.shrink_to(BLOCK_ROWS_MAX * served.features());
    }
}

/// The rows that will be answered now: of a large request only one part.
fn rows_of(batch: &[Job]) -> usize {
    let rows = |job: &Job| match job.work {
        Work::Rows { rows, .. } => rows,
        Work::Body { .. } => 1,
    };
    batch.iter().map(rows).sum()
}

/// One batch of one model.
struct Turn<'a> {
    endpoint: &'a Endpoint,
    served: &'a Arc<Served>,
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
        let rows = predicted.answer.rows;
        self.saw(rows, &ask, predicted.time);
        let now = Instant::now();
        let times = batch.iter().map(|job| now.saturating_duration_since(job.begun));
        self.served.pace.saw_requests(rows, times);
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
        let Job { work, ask, begun, deadline, reply, .. } = job;
        let (values, form) = match work {
            Work::Rows { values, form, .. } => (values, form),
            Work::Body { bytes, wire, .. } => match self.decoded(&bytes, &wire) {
                Ok((values, form)) => (values, form),
                Err(refusal) => return drop(reply.send(Err(refusal))),
            },
        };
        let features = self.served.features();
        let (rows, part_rows) = (values.len() / features.max(1), self.served.pace.rows());
        if rows > part_rows {
            let asked = split::Asked { form, ask, deadline, reply };
            let mut parts = split::cut(values, features, part_rows, asked).into_iter();
            let first = parts.next();
            if self.served.queue.put_parts(parts) {
                self.endpoint.pool.list(Arc::clone(self.served));
            }
            return first.iter().for_each(|first| self.part(first));
        }
        let result = self.predicted(&values, &ask).and_then(|(answer, time)| {
            let taken = begun.elapsed();
            self.served.pace.saw_requests(rows, std::iter::once(taken));
            self.encode(&form, &ask, &answer, &values, time)
        });
        let _ = reply.send(result);
    }

    fn decoded(&self, body: &[u8], wire: &Wire) -> Result<(Vec<f32>, Form), Refusal> {
        let mut values = Vec::new();
        let (rows, form) = codec::decode(wire, body, self.served.signature(), &mut values)?;
        if rows == 0 {
            return Err(crate::data::Error::NoRows.into());
        }
        Ok((values, form))
    }

    /// Some rows of a large request.
    fn part(&mut self, part: &Part) {
        let whole = &part.whole;
        if whole.is_abandoned() {
            if whole.refuse(too_late()) {
                self.stats.abandoned.add(1);
            }
            return;
        }
        let (answer, time) = match self.predicted(part.values(), &whole.ask) {
            Ok(predicted) => predicted,
            Err(refusal) => {
                whole.refuse(refusal);
                return;
            }
        };
        let Some(Gathered { answer, time, reply }) = part.answered(answer, time) else { return };
        let result = match answer {
            Some(answer) => self.encode(&whole.form, &whole.ask, &answer, &whole.values, time),
            None => Err(self.served.failed(self.stats, &Failed::WrongShape)),
        };
        let _ = reply.send(result);
    }

    fn predicted(&self, values: &[f32], ask: &Ask) -> Result<(Answer, Duration), Refusal> {
        let (predictor, features) = (self.served.predictor(), self.served.features());
        let predicted = fence::predict(predictor, values, features, ask)
            .map_err(|why| self.served.failed(self.stats, &why))?;
        self.saw(predicted.answer.rows, ask, predicted.time);
        Ok((predicted.answer, predicted.time))
    }

    fn saw(&self, rows: usize, ask: &Ask, time: Duration) {
        self.stats.batch_of(rows);
        // What an explanation costs says nothing of what a plain answer does.
        if ask.explain.is_none() && !ask.verbose {
            self.served.pace.saw_batch(rows, time);
        }
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
