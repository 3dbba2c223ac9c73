//! What waits for one model: bounded in requests and in rows, first come first served.
//!
//! There is no timer. A worker that is free takes what is there, up to a batch, and starts; while
//! all are busy the next batch grows by itself. Which model's turn it is, [`super::pool`] knows.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use tokio::sync::oneshot;

use super::calibrate::Cost;
use super::codec::{Form, Refusal, Wire, Written};
use crate::algorithm::Ask;

/// Rows that are decoded already, or a body to decode.
#[derive(Debug)]
pub(super) enum Work {
    /// rows × features, row-major.
    Rows {
        /// The values.
        values: Vec<f32>,
        /// How many rows.
        rows: usize,
        /// How to answer.
        form: Form,
    },
    /// A large body.
    Body {
        /// Its bytes.
        bytes: Bytes,
        /// Its format.
        wire: Wire,
        /// How many rows it may hold.
        rows: usize,
    },
}

impl Work {
    fn rows(&self) -> usize {
        match self {
            Work::Rows { rows, .. } | Work::Body { rows, .. } => *rows,
        }
    }
}

/// An encoded answer.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) body: Vec<u8>,
    pub(super) written: Written,
    pub(super) rows: usize,
    pub(super) model: Duration,
}

/// One invocation on its way to a worker.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) ask: Ask,
    /// After this nobody wants the answer.
    pub(super) deadline: Instant,
    pub(super) remote: IpAddr,
    pub(super) reply: oneshot::Sender<Result<Done, Refusal>>,
}

impl Job {
    /// Whether its caller has left or its time is up: work nobody waits for is not done.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reply.is_closed() || Instant::now() > self.deadline
    }
}

/// Why a job was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// No room, or the wait would outlast the request's time.
    Queue {
        /// When there will be room, as far as one can tell.
        retry_after_s: u64,
    },
    /// This caller alone has as much in the queue as one may.
    Caller {
        /// As above.
        retry_after_s: u64,
    },
    /// The workers have gone home.
    Closed,
}

/// Bounds of a queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) requests_max: usize,
    pub(super) rows_max: usize,
    /// Requests of one address; `None` is no bound of its own.
    pub(super) requests_per_address_max: Option<usize>,
    pub(super) workers: usize,
    pub(super) cost: Cost,
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    rows: usize,
    by_address: HashMap<IpAddr, usize>,
    /// Whether the pool knows that something waits here.
    listed: bool,
}

/// The queue of one model.
#[derive(Debug)]
pub(super) struct Queue {
    bounds: Bounds,
    waiting: Mutex<Waiting>,
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Queue {
        Queue { bounds, waiting: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that can panic runs while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a job, or says at once that there is no room. True when the pool has to be told
    /// that something waits here.
    pub(super) fn push(&self, job: Job) -> Result<bool, Full> {
        let rows = job.work.rows();
        let mut waiting = self.lock();
        let wait = self.wait(&waiting);
        let retry_after_s = (wait.as_secs_f64().ceil() as u64).clamp(1, 3_600);
        let late = Instant::now() + wait > job.deadline;
        // One request alone is always let in, however many rows it has: its body was bounded.
        let rows_full = !waiting.jobs.is_empty() && waiting.rows + rows > self.bounds.rows_max;
        if waiting.jobs.len() >= self.bounds.requests_max || rows_full || late {
            return Err(Full::Queue { retry_after_s });
        }
        if let Some(max) = self.bounds.requests_per_address_max {
            let mine = waiting.by_address.entry(job.remote).or_insert(0);
            if *mine >= max {
                return Err(Full::Caller { retry_after_s });
            }
            *mine += 1;
        }
        waiting.rows += rows;
        waiting.jobs.push_back(job);
        Ok(!std::mem::replace(&mut waiting.listed, true))
    }

    /// How long the last in line waits.
    fn wait(&self, waiting: &Waiting) -> Duration {
        let batches = waiting.rows.div_ceil(self.bounds.cost.batch_rows());
        let seconds =
            waiting.rows as f64 * self.bounds.cost.row_s + batches as f64 * self.bounds.cost.call_s;
        Duration::from_secs_f64(seconds / self.bounds.workers.max(1) as f64)
    }

    /// Takes a batch of what waits: at least one job, then more while they fit into `rows_max`.
    /// Jobs that nobody waits for are dropped, and `abandoned` is told of each. True when
    /// something is left, for which the pool has to be told again.
    pub(super) fn take(
        &self,
        rows_max: usize,
        batch: &mut Vec<Job>,
        mut abandoned: impl FnMut(Job),
    ) -> bool {
        let mut waiting = self.lock();
        let mut rows = 0;
        while let Some(next) = waiting.jobs.front() {
            let more = next.work.rows();
            // What is asked for is asked of all rows of a call.
            let other = batch.first().is_some_and(|first: &Job| first.ask != next.ask);
            let whole = matches!(next.work, Work::Body { .. }) || other;
            if !batch.is_empty() && (whole || rows + more > rows_max) {
                break;
            }
            let Some(job) = waiting.jobs.pop_front() else { break };
            waiting.rows -= more;
            self.left(&mut waiting, job.remote);
            if job.is_abandoned() {
                abandoned(job);
                continue;
            }
            rows += more;
            batch.push(job);
            if whole {
                break;
            }
        }
        waiting.listed = !waiting.jobs.is_empty();
        waiting.listed
    }

    fn left(&self, waiting: &mut Waiting, remote: IpAddr) {
        if self.bounds.requests_per_address_max.is_none() {
            return;
        }
        if let Some(count) = waiting.by_address.get_mut(&remote) {
            *count -= 1;
            if *count == 0 {
                waiting.by_address.remove(&remote);
            }
        }
    }

    /// (requests, rows) that wait.
    pub(super) fn depth(&self) -> (usize, usize) {
        let waiting = self.lock();
        (waiting.jobs.len(), waiting.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::train::Media;

    type Answer = oneshot::Receiver<Result<Done, Refusal>>;

    fn job(rows: usize, remote: [u8; 4]) -> (Job, Answer) {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            work: Work::Rows {
                values: vec![0.0; rows],
                rows,
                form: Form::SageMaker(Media::Json.into()),
            },
            ask: Ask::default(),
            deadline: Instant::now() + Duration::from_secs(60),
            remote: remote.into(),
            reply,
        };
        (job, answer)
    }

    fn queue(requests_max: usize, rows_max: usize, own: Option<usize>) -> Queue {
        Queue::new(Bounds {
            requests_max,
            rows_max,
            requests_per_address_max: own,
            workers: 1,
            cost: Cost { call_s: 0.0, row_s: 0.001 },
        })
    }

    fn taken(queue: &Queue, rows_max: usize) -> Vec<usize> {
        let mut batch = Vec::new();
        queue.take(rows_max, &mut batch, |_| {});
        batch.iter().map(|job| job.work.rows()).collect()
    }

    #[test]
    fn a_full_queue_refuses_and_says_when_to_come_back() {
        let queue = queue(2, 10_000, None);
        let mut answers = Vec::new();
        for _ in 0..2 {
            let (job, answer) = job(1_500, [127, 0, 0, 1]);
            queue.push(job).unwrap();
            answers.push(answer);
        }
        let refused = queue.push(job(1, [127, 0, 0, 1]).0);
        assert_eq!(refused, Err(Full::Queue { retry_after_s: 3 }));
    }

    #[test]
    fn rows_count_and_one_large_request_is_still_let_in() {
        let queue = queue(100, 10, None);
        let (large, _keep) = job(50, [127, 0, 0, 1]);
        queue.push(large).unwrap();
        assert!(matches!(queue.push(job(1, [127, 0, 0, 1]).0), Err(Full::Queue { .. })));
    }

    #[test]
    fn one_address_cannot_have_more_than_its_share() {
        let queue = queue(100, 1_000, Some(1));
        let (first, _keep) = job(1, [10, 0, 0, 1]);
        queue.push(first).unwrap();
        assert!(matches!(queue.push(job(1, [10, 0, 0, 1]).0), Err(Full::Caller { .. })));
        let (other, _keep) = job(1, [10, 0, 0, 2]);
        queue.push(other).unwrap();
        taken(&queue, 100);
        let (again, _keep) = job(1, [10, 0, 0, 1]);
        queue.push(again).unwrap();
    }

    #[test]
    fn a_batch_takes_what_is_there_up_to_its_size_in_order() {
        let queue = queue(100, 1_000, None);
        let mut answers = Vec::new();
        for rows in [3, 4, 5, 20, 1] {
            let (job, answer) = job(rows, [127, 0, 0, 1]);
            queue.push(job).unwrap();
            answers.push(answer);
        }
        assert_eq!(taken(&queue, 8), [3, 4]);
        assert_eq!(taken(&queue, 8), [5]);
        assert_eq!(taken(&queue, 8), [20]);
        assert_eq!(taken(&queue, 8), [1]);
        assert!(taken(&queue, 8).is_empty());
    }

    #[test]
    fn requests_that_ask_for_different_things_are_not_one_batch() {
        let queue = queue(100, 1_000, None);
        let mut answers = Vec::new();
        for explain in [None, None, Some(5), Some(5), None] {
            let (mut job, answer) = job(1, [127, 0, 0, 1]);
            job.ask.explain = explain;
            queue.push(job).unwrap();
            answers.push(answer);
        }
        assert_eq!(taken(&queue, 8), [1, 1]);
        assert_eq!(taken(&queue, 8), [1, 1]);
        assert_eq!(taken(&queue, 8), [1]);
    }

    #[test]
    fn work_nobody_waits_for_is_not_done() {
        let queue = queue(100, 1_000, None);
        let (gone, answer) = job(1, [127, 0, 0, 1]);
        queue.push(gone).unwrap();
        drop(answer);
        let (mut late, _keep) = job(2, [127, 0, 0, 1]);
        late.deadline = Instant::now() + Duration::from_millis(2);
        queue.push(late).unwrap();
        let (wanted, _keep) = job(3, [127, 0, 0, 1]);
        queue.push(wanted).unwrap();
        let (mut dropped, mut batch) = (0, Vec::new());
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(4) {
            std::hint::spin_loop();
        }
        queue.take(100, &mut batch, |_| dropped += 1);
        assert_eq!((dropped, batch.len()), (2, 1));
    }
}
