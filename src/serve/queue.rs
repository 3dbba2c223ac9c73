//! What waits for one model: bounded in requests and in rows, and by the time that it will take;
//! first come first served.
//!
//! There is no timer unless the endpoint asks for one. A worker that is free takes what is there, up
//! to a batch, and starts; while all are busy the next batch grows by itself. Which model's turn it
//! is, [`super::pool`] knows; how large a batch is and how long it takes, [`super::pace`].
//!
//! A request that would be answered too late is refused when it comes, not when its time is up: its
//! caller can ask elsewhere, and no work is done that nobody waits for.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use tokio::sync::oneshot;

use super::codec::{Form, Refusal, Wire, Written};
use super::pace::Pace;
use super::split::Part;
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
    /// What its caller said of it in the body.
    pub(super) fn timeout(&self) -> Option<Duration> {
        match self {
            Work::Rows { form: Form::OpenInference(wanted) | Form::Grpc(wanted), .. } => {
                wanted.timeout
            }
            Work::Rows { .. } | Work::Body { .. } => None,
        }
    }

    /// As many rows as it has for certain: a body that was not read may have fewer than it seems.
    fn rows_certain(&self) -> usize {
        match self {
            Work::Rows { rows, .. } => *rows,
            Work::Body { .. } => 1,
        }
    }

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
    /// When it was ready to be answered.
    pub(super) begun: Instant,
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
    /// How long a request may wait for others to share its batch.
    pub(super) delay: Duration,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// Of requests that were cut; some rows of the sum.
    parts: VecDeque<Part>,
    rows: usize,
    by_address: HashMap<IpAddr, usize>,
    listed: Listed,
    /// Whether parts come before jobs the next time.
    parts_next: bool,
    /// Jobs that were found to be waited for by nobody, and that no worker has counted yet.
    dropped: usize,
    /// When they were last looked for.
    swept: Option<Instant>,
    arrivals: Arrivals,
}

/// How often requests come.
#[derive(Default)]
struct Arrivals {
    last: Option<Instant>,
    /// A moving mean of the time between two, seconds.
    between_s: f64,
}

impl Arrivals {
    /// Whether, after one that came now, another one is likely to come within `delay`.
    fn see(&mut self, now: Instant, delay: Duration) -> bool {
        if let Some(last) = self.last.replace(now) {
            let between = now.saturating_duration_since(last).as_secs_f64();
            self.between_s += (between - self.between_s) * 0.1;
        }
        self.between_s > 0.0 && self.between_s <= delay.as_secs_f64()
    }
}

/// Whether the pool knows that something waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Listed {
    #[default]
    No,
    /// It will look when the first of them has waited for others.
    Later,
    Now,
}

/// When the pool has to look at a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It knows already.
    Known,
    Now,
    /// At this moment, unless a batch is full before.
    At(Instant),
}

/// The queue of one model.
pub(super) struct Queue {
    bounds: Bounds,
    pace: Arc<Pace>,
    waiting: Mutex<Waiting>,
    /// Models that share the workers now; this one among them if something waits here.
    sharing: Arc<AtomicUsize>,
}

/// Between two looks for jobs nobody waits for, while the queue is full.
const SWEEP_EVERY: Duration = Duration::from_millis(5);

impl Queue {
    pub(super) fn new(bounds: Bounds, pace: Arc<Pace>, sharing: Arc<AtomicUsize>) -> Queue {
        Queue { bounds, pace, waiting: Mutex::default(), sharing }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that can panic runs while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request would be refused, by what is known before its body is read.
    pub(super) fn admits(&self, begun: Instant, deadline: Instant) -> Result<(), Full> {
        self.room(&mut self.lock(), (1, 1), begun, deadline)
    }

    /// Takes a job, or says at once that there is no room, or no time.
    pub(super) fn push(&self, job: Job) -> Result<Look, Full> {
        let rows = job.work.rows();
        let mut waiting = self.lock();
        let waiting = &mut *waiting;
        self.room(waiting, (rows, job.work.rows_certain()), job.begun, job.deadline)?;
        if let Some(max) = self.bounds.requests_per_address_max {
            let mine = waiting.by_address.entry(job.remote).or_insert(0);
            if *mine >= max {
                let retry_after_s = seconds(self.wait(waiting));
                return Err(Full::Caller { retry_after_s });
            }
            *mine += 1;
        }
        waiting.rows += rows;
        let is_full = waiting.rows >= self.pace.rows();
        let (delay, begun) = (self.bounds.delay, job.begun);
        waiting.jobs.push_back(job);
        // Waiting is only worth it for company that is likely to come.
        let waits = !delay.is_zero() && !is_full && waiting.arrivals.see(begun, delay);
        let (listed, look) = match waiting.listed {
            Listed::Later if is_full => (Listed::Now, Look::Now),
            Listed::No if waits => (Listed::Later, Look::At(begun + delay)),
            Listed::No => (Listed::Now, Look::Now),
            known => (known, Look::Known),
        };
        waiting.listed = listed;
        Ok(look)
    }

    /// Whether `rows` more, of which some are certain, can wait here and be answered in time.
    fn room(
        &self,
        waiting: &mut Waiting,
        rows: (usize, usize),
        begun: Instant,
        deadline: Instant,
    ) -> Result<(), Full> {
        let refused = self.lacks_room(waiting, rows, begun, deadline);
        let now = Instant::now();
        let due = waiting.swept.is_none_or(|then| now.duration_since(then) > SWEEP_EVERY);
        let (Some(_), true) = (refused, due) else { return refused.map_or(Ok(()), Err) };
        // Who has left makes room for who is there.
        waiting.swept = Some(now);
        let mut kept = VecDeque::with_capacity(waiting.jobs.len());
        for job in std::mem::take(&mut waiting.jobs) {
            match job.reply.is_closed() {
                false => kept.push_back(job),
                true => {
                    waiting.rows -= job.work.rows();
                    waiting.dropped += 1;
                    self.left(waiting, job.remote);
                }
            }
        }
        waiting.jobs = kept;
        self.lacks_room(waiting, rows, begun, deadline).map_or(Ok(()), Err)
    }

    fn lacks_room(
        &self,
        waiting: &Waiting,
        (rows, certain): (usize, usize),
        begun: Instant,
        deadline: Instant,
    ) -> Option<Full> {
        let empty = waiting.jobs.is_empty() && waiting.parts.is_empty();
        // One request alone is always let in, however many rows it has: its body was bounded.
        let rows_full = !empty && waiting.rows + rows > self.bounds.rows_max;
        let wait = self.wait(waiting);
        let over_workers = |time: Duration| time.div_f64(self.bounds.workers.max(1) as f64);
        // Who finds nobody is the one by whom the machine is measured anew: refusing it for what was
        // seen before could go on for ever.
        let service = match empty {
            true => over_workers(self.pace.time_at_load(certain)),
            false => self.pace.time_at_most(certain).max(over_workers(self.pace.time(certain))),
        };
        let ready = Instant::now() + wait + service;
        // What the endpoint promised is kept by refusing what would break it. A request that finds
        // nobody before it is never refused for that: then it is the promise that is wrong.
        let promised = self.pace.objective().filter(|_| !empty).map(|time| begun + time);
        let late = ready > promised.map_or(deadline, |promised| promised.min(deadline));
        (waiting.jobs.len() >= self.bounds.requests_max || rows_full || late)
            .then(|| Full::Queue { retry_after_s: seconds(wait) })
    }

    /// How long the last in line waits.
    fn wait(&self, waiting: &Waiting) -> Duration {
        let parts: usize = match waiting.parts.len() {
            0 => 0,
            count => count.saturating_mul(waiting.parts[0].rows),
        };
        let jobs = waiting.rows.saturating_sub(parts);
        // Parts and jobs take turns.
        let before = jobs + parts.min(jobs + self.pace.rows());
        let sharing = self.sharing.load(Ordering::Relaxed).max(1);
        self.pace.time(before).mul_f64(sharing as f64 / self.bounds.workers.max(1) as f64)
    }

    /// How long a request that came now would wait.
    pub(super) fn wait_now(&self) -> Duration {
        self.wait(&self.lock())
    }

    /// Takes a batch of what waits: at least one job, then more while they fit into `rows_max`; or a
    /// part of a request that was cut. Jobs that nobody waits for are dropped, and `abandoned` is told
    /// of each, and given it if somebody may still listen. The boolean says that something is left, for
    /// which the pool has to be told again.
    pub(super) fn take(
        &self,
        rows_max: usize,
        batch: &mut Vec<Job>,
        mut abandoned: impl FnMut(Option<Job>),
    ) -> (Option<Part>, bool) {
        let mut waiting = self.lock();
        let waiting = &mut *waiting;
        (0..std::mem::take(&mut waiting.dropped)).for_each(|_| abandoned(None));
        let part = match waiting.parts_next || waiting.jobs.is_empty() {
            true => waiting.parts.pop_front(),
            false => None,
        };
        match &part {
            Some(part) => waiting.rows -= part.rows,
            None => self.take_jobs(waiting, rows_max, batch, &mut abandoned),
        }
        waiting.parts_next = part.is_none();
        let left = !(waiting.jobs.is_empty() && waiting.parts.is_empty());
        waiting.listed = if left { Listed::Now } else { Listed::No };
        (part, left)
    }

    fn take_jobs(
        &self,
        waiting: &mut Waiting,
        rows_max: usize,
        batch: &mut Vec<Job>,
        abandoned: &mut impl FnMut(Option<Job>),
    ) {
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
            self.left(waiting, job.remote);
            if job.is_abandoned() {
                abandoned(Some(job));
                continue;
            }
            rows += more;
            batch.push(job);
            if whole {
                break;
            }
        }
    }

    /// Puts in the parts of a request that was taken; true when the pool has to be told.
    pub(super) fn put_parts(&self, parts: impl Iterator<Item = Part>) -> bool {
        let mut waiting = self.lock();
        for part in parts {
            waiting.rows += part.rows;
            waiting.parts.push_back(part);
        }
        std::mem::replace(&mut waiting.listed, Listed::Now) != Listed::Now
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

/// For `Retry-After`.
fn seconds(wait: Duration) -> u64 {
    (wait.as_secs_f64().ceil() as u64).clamp(1, 3_600)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::calibrate::Cost;
    use crate::serve::split;
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
            begun: Instant::now(),
            deadline: Instant::now() + Duration::from_secs(60),
            remote: remote.into(),
            reply,
        };
        (job, answer)
    }

    fn of(bounds: Bounds) -> Queue {
        let cost = match bounds.delay.is_zero() {
            true => Cost { call_s: 0.0, row_s: 0.001, tail: 1.0 },
            // Five rows are a batch.
            false => Cost { call_s: 0.0005, row_s: 0.0009, tail: 1.0 },
        };
        Queue::new(bounds, Arc::new(Pace::new(cost, None)), Arc::default())
    }

    fn queue(requests_max: usize, rows_max: usize, own: Option<usize>) -> Queue {
        of(Bounds {
            requests_max,
            rows_max,
            requests_per_address_max: own,
            workers: 1,
            delay: Duration::ZERO,
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
        late.deadline = Instant::now() + Duration::from_millis(50);
        queue.push(late).unwrap();
        let (wanted, _keep) = job(3, [127, 0, 0, 1]);
        queue.push(wanted).unwrap();
        let (mut dropped, mut batch) = (0, Vec::new());
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(60) {
            std::thread::yield_now();
        }
        queue.take(100, &mut batch, |_| dropped += 1);
        assert_eq!((dropped, batch.len()), (2, 1));
    }

    #[test]
    fn a_request_that_would_be_answered_too_late_is_refused_when_it_comes() {
        let queue = queue(100, 10_000, None);
        let soon = |rows, ms| {
            let (mut job, answer) = job(rows, [127, 0, 0, 1]);
            job.deadline = Instant::now() + Duration::from_millis(ms);
            (job, answer)
        };
        // By itself it takes 3 s.
        assert_eq!(queue.push(soon(3_000, 2_000).0), Err(Full::Queue { retry_after_s: 1 }));
        let (first, _keep) = soon(3, 60_000);
        assert_eq!(queue.push(first), Ok(Look::Now));
        let (second, _keep) = soon(5_000, 60_000);
        assert_eq!(queue.push(second), Ok(Look::Known));
        // 5.003 s before it, and a millisecond of its own.
        let (hasty, _keep) = soon(1, 4_000);
        let deadline = hasty.deadline;
        assert_eq!(queue.push(hasty), Err(Full::Queue { retry_after_s: 6 }));
        assert!(queue.admits(Instant::now(), deadline).is_err());
        assert!(queue.push(soon(1, 60_000).0).is_ok());
    }

    #[test]
    fn what_the_endpoint_promised_is_kept_by_refusing_what_would_break_it() {
        let cost = Cost { call_s: 0.0, row_s: 0.001, tail: 1.0 };
        let pace = Pace::new(cost, Some(Duration::from_secs(20)));
        let bounds = Bounds {
            requests_max: 100,
            rows_max: 100_000,
            requests_per_address_max: None,
            workers: 1,
            delay: Duration::ZERO,
        };
        let queue = Queue::new(bounds, Arc::new(pace), Arc::default());
        let mut answers = Vec::new();
        let mut push = |rows| {
            let (job, answer) = job(rows, [127, 0, 0, 1]);
            answers.push(answer);
            queue.push(job)
        };
        // A promise that cannot be kept refuses nobody who finds the queue empty.
        assert!(push(21_000).is_ok());
        assert!(matches!(push(1), Err(Full::Queue { .. })));
        taken(&queue, 1);
        assert!(push(15_000).is_ok());
        assert!(push(3_000).is_ok());
        assert!(matches!(push(5_000), Err(Full::Queue { .. })));
    }

    #[test]
    fn requests_whose_callers_left_make_room() {
        let queue = queue(2, 10_000, None);
        let (gone, left) = job(1, [127, 0, 0, 1]);
        queue.push(gone).unwrap();
        let (stays, _keep) = job(2, [127, 0, 0, 1]);
        queue.push(stays).unwrap();
        drop(left);
        let (next, _keep) = job(3, [127, 0, 0, 1]);
        assert_eq!(queue.push(next), Ok(Look::Known));
        assert_eq!(queue.depth(), (2, 5));
        assert_eq!(taken(&queue, 8), [2, 3]);
    }

    #[test]
    fn a_delay_is_waited_for_company_that_is_likely_and_no_longer_than_a_batch_is_short() {
        let delay = Duration::from_millis(50);
        let queue = of(Bounds {
            requests_max: 100,
            rows_max: 1_000,
            requests_per_address_max: None,
            workers: 1,
            delay,
        });
        let mut answers = Vec::new();
        let mut push = |rows| {
            let (job, answer) = job(rows, [127, 0, 0, 1]);
            let due = job.begun + delay;
            answers.push(answer);
            (queue.push(job).unwrap(), due)
        };
        // Nothing is known of the first one's company.
        assert_eq!(push(1).0, Look::Now);
        assert_eq!(taken(&queue, 5), [1]);
        let (look, due) = push(1);
        assert_eq!(look, Look::At(due));
        assert_eq!(push(1).0, Look::Known);
        assert_eq!(push(3).0, Look::Now);
        assert_eq!(taken(&queue, 5), [1, 1, 3]);
    }

    #[test]
    fn parts_of_a_large_request_and_others_take_turns() {
        let queue = queue(100, 1_000, None);
        let (large, _keep) = job(9, [127, 0, 0, 1]);
        queue.push(large).unwrap();
        let mut batch = Vec::new();
        assert!(!queue.take(5, &mut batch, |_| {}).1);
        let job_of = batch.pop().unwrap();
        let Work::Rows { values, form, .. } = job_of.work else { unreachable!() };
        let asked =
            split::Asked { form, ask: job_of.ask, deadline: job_of.deadline, reply: job_of.reply };
        assert!(queue.put_parts(split::cut(values, 1, 3, asked).into_iter()));
        let (small, _keep) = job(1, [127, 0, 0, 1]);
        assert_eq!(queue.push(small), Ok(Look::Known));
        assert_eq!(queue.depth(), (1, 10));
        let mut turns = Vec::new();
        loop {
            let mut batch = Vec::new();
            let (part, left) = queue.take(5, &mut batch, |_| {});
            turns.push((part.map(|part| part.rows), batch.len()));
            if !left {
                break;
            }
        }
        assert_eq!(turns, [(Some(3), 0), (None, 1), (Some(3), 0), (Some(3), 0)]);
        assert_eq!(queue.depth(), (0, 0));
    }
}
