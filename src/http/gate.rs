//! The gate itself: a thread per core, each with its own listener, event loop and connections.
//!
//! A connection lives on one thread from its first byte to its last, so that nothing it touches
//! needs a lock. The kernel spreads new connections by a hash of their addresses, which is uneven
//! for few of them: a thread that already has more than another hands the new one over.
//!
//! Not here: what is answered (that is a [`Handler`]), TLS, HTTP/2 and who the caller is. All three
//! belong between accepting a socket and `serve_connection`.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::{SocketAddr, TcpListener};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header;
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::body::{Body, Budget};
use super::error::Error;
use super::limits::Limits;
use super::reply::{self, Reply};
use super::shutdown::{Stage, Stop};
use super::smuggled::Framing;
use super::stream::Watched;
use super::watch::{Order, Phase, Roll, Watch};
use super::{check, listen};
use crate::spec::limit::{HEADERS_MAX, READ_AHEAD_BYTES_MAX};

/// After an accept that failed (out of descriptors, most likely).
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// For compressed bodies: beside the threads that answer, and not in their way.
const UNFOLDING_THREADS: usize = 2;

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\
    retry-after: 1\r\ncontent-type: application/json\r\ncontent-length: 35\r\n\r\n\
    {\"message\":\"too many connections\"}\n";
const SLOW_HEAD: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\
    content-length: 0\r\n\r\n";

/// One request, its head checked, its body not read.
#[derive(Debug)]
pub struct Call {
    /// Method, target, version and headers.
    pub head: Parts,
    /// What follows.
    pub body: Body,
    /// Who sent it.
    pub remote: SocketAddr,
    /// Whether the server still takes new work.
    pub stage: Stage,
}

/// Answers requests. Each thread has its own, made on that thread.
pub trait Handler: 'static {
    /// Answers one request. Must not block for longer than one caller may delay the others.
    fn handle(&self, call: Call) -> impl Future<Output = Reply>;
}

/// How the gate is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen.
    pub address: SocketAddr,
    /// Threads; never 0.
    pub threads: usize,
    /// Bounds.
    pub limits: Limits,
    /// Stop at SIGTERM and SIGINT.
    pub signals: bool,
}

/// An open gate.
#[derive(Debug)]
pub struct Gate {
    /// Where it listens; the port is the true one.
    pub address: SocketAddr,
    /// Closes it.
    pub stop: Stop,
    /// Connections of each thread.
    pub connections: Arc<[AtomicUsize]>,
    threads: Vec<JoinHandle<()>>,
}

impl Gate {
    /// Waits until it is closed and its last request is answered.
    pub fn wait(self) {
        for thread in self.threads {
            // A thread that panicked has said so; the others still drain.
            let _ = thread.join();
        }
    }
}

type Handed = (std::net::TcpStream, SocketAddr);

/// Opens the gate: listens before it returns, and answers with what `make` makes for each thread.
///
/// # Errors
/// When the address cannot be used, or a thread not be started.
pub fn open<H: Handler>(
    settings: &Settings,
    stop: Stop,
    make: impl Fn(usize) -> H + Send + Sync + 'static,
) -> Result<Gate, Error> {
    let count = settings.threads.max(1);
    let listeners = listen::open(settings.address, count)?;
    let address = listeners[0]
        .local_addr()
        .map_err(|source| Error::Listen { address: settings.address, source })?;
    let connections: Arc<[AtomicUsize]> = (0..count).map(|_| AtomicUsize::new(0)).collect();
    let budget = Arc::new(Budget::new(settings.limits.bodies_bytes_max));
    let (hand, mut handed): (Vec<_>, Vec<_>) =
        (0..count).map(|_| mpsc::unbounded_channel::<Handed>()).unzip();
    let make = Arc::new(make);
    let mut threads = Vec::new();
    for (at, listener) in listeners.into_iter().enumerate().rev() {
        let handed = handed.pop().expect("there is one for each listener");
        let seat = Seat {
            at,
            connections: Arc::clone(&connections),
            hand: hand.clone(),
            budget: Arc::clone(&budget),
            stop: stop.clone(),
            signals: settings.signals && at == 0,
        };
        let (limits, make) = (settings.limits.clone(), Arc::clone(&make));
        let thread = std::thread::Builder::new()
            .name(format!("smrt-http-{at}"))
            .spawn(move || run(seat, limits, listener, handed, make.as_ref()))
            .map_err(Error::Thread)?;
        threads.push(thread);
    }
    Ok(Gate { address, stop, connections, threads })
}

/// What one thread is given.
struct Seat {
    at: usize,
    connections: Arc<[AtomicUsize]>,
    hand: Vec<mpsc::UnboundedSender<Handed>>,
    budget: Arc<Budget>,
    stop: Stop,
    signals: bool,
}

/// One thread at work.
struct Reactor<H> {
    seat: Seat,
    limits: Rc<Limits>,
    roll: Roll,
    handler: H,
    protocol: http1::Builder,
}

fn run<H: Handler>(
    seat: Seat,
    limits: Limits,
    listener: TcpListener,
    handed: mpsc::UnboundedReceiver<Handed>,
    make: &dyn Fn(usize) -> H,
) {
    let runtime = match Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(UNFOLDING_THREADS)
        .build_local(LocalOptions::default())
    {
        Ok(runtime) => runtime,
        Err(why) => {
            tracing::error!(%why, "cannot start an event loop");
            return;
        }
    };
    let mut protocol = http1::Builder::new();
    // Not `pipeline_flush`: in hyper 1.12 it keeps answers back while bytes are left to read, and a
    // head that is refused leaves them there for good, its refusal and the answers before it unsent.
    protocol
        // Answers are small: one buffer is cheaper for the kernel than a list of pieces.
        .writev(false)
        .max_headers(HEADERS_MAX)
        .max_header_size(limits.header_bytes_max)
        .max_buf_size(READ_AHEAD_BYTES_MAX.max(limits.header_bytes_max));
    let handler = make(seat.at);
    let reactor =
        Rc::new(Reactor { seat, limits: Rc::new(limits), roll: Roll::new(), handler, protocol });
    runtime.block_on(reactor.live(listener, handed));
}

impl<H: Handler> Reactor<H> {
    /// Accepts until told to stop, then sees the open connections off.
    async fn live(
        self: Rc<Self>,
        listener: TcpListener,
        mut handed: mpsc::UnboundedReceiver<Handed>,
    ) {
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(why) => return tracing::error!(%why, "cannot watch a listener"),
        };
        let sweeper = Rc::clone(&self);
        tokio::task::spawn_local(async move {
            loop {
                sleep(sweeper.limits.sweep_every()).await;
                sweeper.roll.sweep(&sweeper.limits);
            }
        });
        if self.seat.signals {
            tokio::task::spawn_local(super::shutdown::at_signals(self.seat.stop.clone()));
        }
        let stop = self.seat.stop.clone();
        self.accept(&listener, &mut handed, stop.reached(Stage::Leaving)).await;
        let delay = sleep(self.limits.drain_delay);
        tokio::select! {
            () = self.accept(&listener, &mut handed, delay) => {}
            () = stop.reached(Stage::Closing) => {}
        }
        // Callers whose connection the kernel already completed are not turned away.
        while let Ok(Ok((stream, remote))) = timeout(Duration::ZERO, listener.accept()).await {
            self.admit(stream, remote);
        }
        drop(listener);
        stop.to(Stage::Closing);
        self.see_off(&mut handed).await;
    }

    async fn accept(
        self: &Rc<Self>,
        listener: &tokio::net::TcpListener,
        handed: &mut mpsc::UnboundedReceiver<Handed>,
        until: impl Future<Output = ()>,
    ) {
        let mut until = pin!(until);
        loop {
            tokio::select! {
                biased;
                () = &mut until => return,
                Some(given) = handed.recv() => self.take_over(given),
                accepted = listener.accept() => match accepted {
                    Ok((stream, remote)) => self.place(stream, remote),
                    Err(why) => {
                        tracing::warn!(%why, "cannot accept a connection");
                        sleep(ACCEPT_AGAIN).await;
                    }
                },
            }
        }
    }

    /// Keeps a new connection, or hands it to the thread that has the fewest.
    fn place(self: &Rc<Self>, stream: TcpStream, remote: SocketAddr) {
        let loads = || self.seat.connections.iter().map(|load| load.load(Ordering::Relaxed));
        if loads().sum::<usize>() >= self.limits.connections_max {
            // Best effort: a new socket's buffer is empty.
            let _ = stream.try_write(FULL);
            return;
        }
        let (least, load) = loads().enumerate().min_by_key(|(_, load)| *load).unwrap_or_default();
        let mine = self.seat.connections[self.seat.at].load(Ordering::Relaxed);
        if mine <= load {
            return self.admit(stream, remote);
        }
        if let Ok(stream) = stream.into_std() {
            self.seat.connections[least].fetch_add(1, Ordering::Relaxed);
            if self.seat.hand[least].send((stream, remote)).is_err() {
                self.seat.connections[least].fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn take_over(self: &Rc<Self>, (stream, remote): Handed) {
        // It was counted for this thread when it was handed over.
        match TcpStream::from_std(stream) {
            Ok(stream) => self.begin(stream, remote),
            Err(_) => drop(Leave { reactor: Rc::clone(self), number: None }),
        }
    }

    fn admit(self: &Rc<Self>, stream: TcpStream, remote: SocketAddr) {
        self.seat.connections[self.seat.at].fetch_add(1, Ordering::Relaxed);
        self.begin(stream, remote);
    }

    fn begin(self: &Rc<Self>, stream: TcpStream, remote: SocketAddr) {
        listen::prepare(&stream);
        let (number, watch) = self.roll.enter(remote);
        let leave = Leave { reactor: Rc::clone(self), number: Some(number) };
        tokio::task::spawn_local(async move {
            leave.reactor.converse(stream, &watch).await;
        });
    }

    /// Everything one connection asks, until it ends.
    async fn converse(self: &Rc<Self>, stream: TcpStream, watch: &Rc<Watch>) {
        let (watched, framing) = (Rc::clone(watch), Framing::new());
        let io = TokioIo::new(Watched { socket: stream, watch: watched, framing });
        let service = service_fn(|request| Rc::clone(self).answer(Rc::clone(watch), request));
        let mut connection = self.protocol.serve_connection(io, service);
        let mut draining = false;
        let closed = poll_fn(|context| {
            watch.keep_waker(context);
            match watch.order() {
                Order::Close => return Poll::Ready(false),
                Order::Drain if !draining => {
                    draining = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
                Order::Drain | Order::Go => {}
            }
            // A connection that breaks is its caller's affair; the request's own line says so.
            Pin::new(&mut connection).poll(context).map(|_| true)
        })
        .await;
        if !closed && watch.phase() == Phase::Head {
            let socket = connection.into_parts().io.into_inner().socket;
            let _ = socket.try_write(SLOW_HEAD);
        }
    }

    async fn answer(
        self: Rc<Self>,
        watch: Rc<Watch>,
        request: hyper::Request<Incoming>,
    ) -> Result<Reply, Infallible> {
        watch.enter(Phase::Busy);
        let (head, incoming) = request.into_parts();
        let reply = match check::head(&head, watch.next_is_ambiguous()) {
            Some(refusal) => refusal,
            None => {
                let body = Body {
                    incoming,
                    watch: Rc::clone(&watch),
                    limits: Rc::clone(&self.limits),
                    budget: Arc::clone(&self.seat.budget),
                    expects_continue: head.headers.contains_key(header::EXPECT),
                };
                let stage = self.seat.stop.stage();
                let call = Call { head, body, remote: watch.remote, stage };
                let reply = self.handler.handle(call).await;
                if stage == Stage::Open { reply } else { reply::last(reply) }
            }
        };
        watch.enter(Phase::Idle);
        Ok(reply)
    }

    /// Lets requests under way finish, within their time.
    async fn see_off(self: &Rc<Self>, handed: &mut mpsc::UnboundedReceiver<Handed>) {
        while let Ok(given) = handed.try_recv() {
            self.take_over(given);
        }
        self.roll.tell_all(Order::Drain);
        let deadline = Instant::now() + self.limits.drain_timeout;
        while !self.roll.is_empty() && Instant::now() < deadline {
            if self.seat.stop.stage() == Stage::Now {
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
        if !self.roll.is_empty() {
            tracing::warn!("requests were still under way when their time was up");
            self.roll.tell_all(Order::Close);
            tokio::task::yield_now().await;
        }
    }
}

/// Signs a connection off, however its task ends.
struct Leave<H: Handler> {
    reactor: Rc<Reactor<H>>,
    number: Option<u64>,
}

impl<H: Handler> Drop for Leave<H> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.reactor.roll.leave(number);
        }
        self.reactor.seat.connections[self.reactor.seat.at].fetch_sub(1, Ordering::Relaxed);
    }
}
