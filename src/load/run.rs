//! One measurement: a load for a while, and what came of it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::connection::Connection;
use super::error::Error;
use super::histogram::Histogram;
use super::pace::{Pacer, arrivals};
use super::target::Target;

/// What is asked, of whom, over how many connections.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where requests go.
    pub target: Target,
    /// Headers of every request, besides `Host` and `Content-Length`.
    pub headers: Vec<(String, String)>,
    /// Bodies, sent in turn; not empty.
    pub bodies: Vec<Vec<u8>>,
    /// Connections kept open, so many requests can be under way at once.
    pub connections: usize,
    /// Threads that send and read.
    pub threads: usize,
}

/// How fast requests come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// So many a second, whatever the server does.
    Rate(f64),
    /// Each connection asks again as soon as it is answered: finds the capacity, and says nothing
    /// about latency under a given load.
    Closed,
}

/// What a measurement came to. Latencies count from when a request was due.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Seconds measured, without the warm-up.
    pub seconds: f64,
    /// Requests that were due.
    pub due: u64,
    /// Answers by HTTP status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests whose connection broke, or whose answer could not be read.
    pub broken: u64,
    /// Requests without an answer when the run was over.
    pub unanswered: u64,
    /// Latencies of all answers, and of the unanswered up to the end.
    pub latency: Histogram,
    /// Latencies of the successes alone.
    pub succeeded_latency: Histogram,
    /// Latencies of the refusals for load alone (429 and 503): a server that is full should say so
    /// at once.
    pub refused_latency: Histogram,
}

impl Measured {
    /// Answers with a 2xx status.
    pub fn succeeded(&self) -> u64 {
        self.statuses.range(200..300).map(|(_, count)| count).sum()
    }

    /// Everything else that was due.
    pub fn failed(&self) -> u64 {
        self.due.saturating_sub(self.succeeded())
    }

    /// Successful answers a second.
    pub fn goodput(&self) -> f64 {
        self.succeeded() as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }

    fn merge(&mut self, other: &Measured) {
        self.due += other.due;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.broken += other.broken;
        self.unanswered += other.unanswered;
        self.latency.merge(&other.latency);
        self.succeeded_latency.merge(&other.succeeded_latency);
        self.refused_latency.merge(&other.refused_latency);
    }
}

/// A request that takes longer is given up and its connection with it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the last requests may take once no new ones are due.
const GRACE: Duration = Duration::from_secs(2);
/// Before a connection that broke is opened again.
const AGAIN: Duration = Duration::from_millis(10);

/// Puts `load` on its target for `warmup`, which is not counted, and then for `length`.
///
/// # Errors
/// When nobody answers there, the first answer is no success, or threads cannot be started.
pub fn run(load: &Load, pace: Pace, warmup: Duration, length: Duration) -> Result<Measured, Error> {
    let threads = load.threads.clamp(1, load.connections.max(1));
    // Threads have their connections open before the first request is due.
    let start = Instant::now() + Duration::from_millis(50 + load.connections as u64 / 2);
    let window = Window { start, from: start + warmup, until: start + warmup + length };
    let parts = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|at| {
                let share = Share { at, of: threads };
                std::thread::Builder::new()
                    .name(format!("smrt-load-{at}"))
                    .spawn_scoped(scope, move || one_thread(load, pace, window, share))
            })
            .collect();
        handles
            .into_iter()
            .map(|handle| {
                let handle = handle.map_err(Error::Start)?;
                handle.join().unwrap_or_else(|_| {
                    Err(Error::Start(std::io::Error::other("a thread was lost")))
                })
            })
            .collect::<Result<Vec<Measured>, Error>>()
    })?;
    let mut whole = Measured { seconds: length.as_secs_f64(), ..Measured::default() };
    parts.iter().for_each(|part| whole.merge(part));
    Ok(whole)
}

/// Asks once and says what is wrong if that is no success.
pub(super) fn try_once(load: &Load) -> Result<(), Error> {
    let target = || load.target.url.clone();
    let runtime =
        runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Start)?;
    runtime.block_on(async {
        let mut connection = Connection::open(load.target.address)
            .await
            .map_err(|source| Error::Connect { target: target(), source })?;
        let request = load.target.request(&load.headers, &load.bodies[0]);
        let mut body = Vec::with_capacity(SHOWN_BYTES);
        let answer = match timeout(ANSWER_TIMEOUT, connection.ask(&request, &mut body)).await {
            Ok(answer) => {
                answer.map_err(|why| Error::Answer { target: target(), why: why.to_string() })?
            }
            Err(_) => {
                return Err(Error::Answer { target: target(), why: "nothing came in time".into() });
            }
        };
        match answer.status {
            200..300 => Ok(()),
            status => Err(Error::Refused {
                target: target(),
                status,
                body: String::from_utf8_lossy(&body)
                    .chars()
                    .map(|shown| if shown.is_control() { ' ' } else { shown })
                    .collect(),
            }),
        }
    })
}

const SHOWN_BYTES: usize = 300;

/// When requests are due, and which of them count.
#[derive(Debug, Clone, Copy)]
struct Window {
    start: Instant,
    from: Instant,
    until: Instant,
}

/// A thread's part of the load.
#[derive(Debug, Clone, Copy)]
struct Share {
    at: usize,
    of: usize,
}

/// What the tasks of one thread share.
struct Shared {
    load: Load,
    requests: Vec<Vec<u8>>,
    window: Window,
    closed: bool,
    /// Requests that are due and that nobody has taken.
    waiting: RefCell<VecDeque<Instant>>,
    arrived: Notify,
    over: Cell<bool>,
    turn: Cell<usize>,
    /// When each request under way was due, by connection.
    under_way: RefCell<Vec<Option<Instant>>>,
    measured: RefCell<Measured>,
}

fn one_thread(load: &Load, pace: Pace, window: Window, share: Share) -> Result<Measured, Error> {
    let runtime =
        runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Start)?;
    let connections =
        load.connections / share.of + usize::from(share.at < load.connections % share.of);
    let requests =
        load.bodies.iter().map(|body| load.target.request(&load.headers, body)).collect();
    let shared = Rc::new(Shared {
        load: load.clone(),
        requests,
        window,
        closed: pace == Pace::Closed,
        waiting: RefCell::default(),
        arrived: Notify::new(),
        over: Cell::new(false),
        turn: Cell::new(share.at),
        under_way: RefCell::new(vec![None; connections]),
        measured: RefCell::default(),
    });
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let mut tasks = Vec::new();
        for at in 0..connections {
            let connection = Connection::open(load.target.address)
                .await
                .map_err(|source| Error::Connect { target: load.target.url.clone(), source })?;
            let shared = Rc::clone(&shared);
            tasks.push(tokio::task::spawn_local(converse(shared, at, connection)));
        }
        match pace {
            Pace::Rate(rate) => release(&shared, rate, share).await?,
            Pace::Closed => tokio::time::sleep_until(window.until.into()).await,
        }
        let end = Instant::now() + GRACE;
        while Instant::now() < end && !shared.is_idle() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        shared.over.set(true);
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        Ok(())
    })?;
    shared.give_up();
    let measured = shared.measured.borrow().clone();
    Ok(measured)
}

/// Lets requests become due at `rate`, over all threads.
async fn release(shared: &Shared, rate: f64, share: Share) -> Result<(), Error> {
    let every = Duration::from_secs_f64(share.of as f64 / rate);
    let start = shared.window.start + Duration::from_secs_f64(share.at as f64 / rate);
    let due = Arc::new(Notify::new());
    let _pacer = Pacer::start(start, every, Arc::clone(&due)).map_err(Error::Start)?;
    let mut released = 0;
    loop {
        due.notified().await;
        let now = Instant::now().min(shared.window.until);
        let arrived = arrivals(start, every, now);
        for number in released..arrived {
            let at = start + every.mul_f64(number as f64);
            if at >= shared.window.until {
                return Ok(());
            }
            if at >= shared.window.from {
                shared.measured.borrow_mut().due += 1;
            }
            shared.waiting.borrow_mut().push_back(at);
            shared.arrived.notify_one();
        }
        released = released.max(arrived);
        if now == shared.window.until {
            return Ok(());
        }
    }
}

/// One connection's life.
async fn converse(shared: Rc<Shared>, at: usize, connection: Connection) {
    let mut connection = Some(connection);
    let mut body = Vec::new();
    while let Some(due) = shared.next().await {
        shared.under_way.borrow_mut()[at] = Some(due);
        let mut open = match connection.take() {
            Some(open) => open,
            None => match Connection::open(shared.load.target.address).await {
                Ok(open) => open,
                Err(_) => {
                    shared.done(at, due, None);
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            },
        };
        let turn = shared.turn.get();
        shared.turn.set(turn + 1);
        let request = &shared.requests[turn % shared.requests.len()];
        match timeout(ANSWER_TIMEOUT, open.ask(request, &mut body)).await {
            Ok(Ok(answer)) => {
                shared.done(at, due, Some(answer.status));
                connection = answer.goes_on.then_some(open);
            }
            Ok(Err(_)) | Err(_) => shared.done(at, due, None),
        }
    }
}

impl Shared {
    /// When the next request was due, once it is; `None` when the load is over.
    async fn next(&self) -> Option<Instant> {
        if self.closed {
            let now = Instant::now();
            if now < self.window.start {
                tokio::time::sleep_until(self.window.start.into()).await;
            }
            let now = Instant::now();
            if now >= self.window.until {
                return None;
            }
            if now >= self.window.from {
                self.measured.borrow_mut().due += 1;
            }
            return Some(now);
        }
        loop {
            if self.over.get() {
                return None;
            }
            // The borrow ends before anybody waits.
            let due = self.waiting.borrow_mut().pop_front();
            match due {
                Some(due) => return Some(due),
                None => self.arrived.notified().await,
            }
        }
    }

    fn done(&self, at: usize, due: Instant, status: Option<u16>) {
        self.under_way.borrow_mut()[at] = None;
        if due < self.window.from {
            return;
        }
        let mut measured = self.measured.borrow_mut();
        let time = due.elapsed();
        measured.latency.add(time);
        match status {
            Some(200..300) => measured.succeeded_latency.add(time),
            Some(429 | 503) => measured.refused_latency.add(time),
            _ => {}
        }
        match status {
            Some(status) => *measured.statuses.entry(status).or_default() += 1,
            None => measured.broken += 1,
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.borrow().is_empty() && self.under_way.borrow().iter().all(Option::is_none)
    }

    /// Counts what has no answer, with the time it has waited already.
    fn give_up(&self) {
        let mut measured = self.measured.borrow_mut();
        let waiting = self.waiting.borrow();
        let under_way = self.under_way.borrow();
        for due in waiting.iter().chain(under_way.iter().flatten()) {
            if *due >= self.window.from {
                measured.unanswered += 1;
                measured.latency.add(due.elapsed());
            }
        }
    }
}
