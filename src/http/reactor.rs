//! One thread at work: it accepts connections, watches over them and sees them off.
//!
//! A connection lives on one thread from its first byte to its last, so that nothing it touches
//! needs a lock. The kernel spreads new connections by a hash of their addresses, which is uneven
//! for few of them: a thread that already has more than another hands the new one over.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::auth::Tokens;
use super::body::Budget;
use super::converse::{self, Local};
use super::fresh::Fresh;
use super::gate::Handler;
use super::limits::Limits;
use super::listen::{self, Listener, Remote};
use super::shutdown::{Stage, Stop};
use super::socket::Plain;
use super::watch::{Entry, Order, Roll};
use crate::spec::limit::FILES_LOOK_S;

/// After an accept that failed (out of descriptors, most likely).
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// For compressed bodies: beside the threads that answer, and not in their way.
const UNFOLDING_THREADS: usize = 2;

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\
    retry-after: 1\r\ncontent-type: application/json\r\ncontent-length: 35\r\n\r\n\
    {\"message\":\"too many connections\"}\n";

/// A connection on its way to another thread.
pub(super) type Handed = (Still, Remote);

/// A socket that no event loop watches.
pub(super) enum Still {
    Tcp(std::net::TcpStream),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
}

impl Still {
    fn of(stream: Plain) -> io::Result<Still> {
        Ok(match stream {
            Plain::Tcp(stream) => Still::Tcp(stream.into_std()?),
            #[cfg(unix)]
            Plain::Unix(stream) => Still::Unix(stream.into_std()?),
        })
    }

    fn watched(self) -> io::Result<Plain> {
        Ok(match self {
            Still::Tcp(stream) => Plain::Tcp(TcpStream::from_std(stream)?),
            #[cfg(unix)]
            Still::Unix(stream) => Plain::Unix(tokio::net::UnixStream::from_std(stream)?),
        })
    }
}

/// What one thread is given.
pub(super) struct Seat {
    pub(super) at: usize,
    pub(super) connections: Arc<[AtomicUsize]>,
    pub(super) hand: Vec<mpsc::UnboundedSender<Handed>>,
    pub(super) budget: Arc<Budget>,
    pub(super) tls: Option<Arc<Fresh<ServerConfig>>>,
    pub(super) tokens: Option<Arc<Fresh<Tokens>>>,
    pub(super) stop: Stop,
    pub(super) signals: bool,
}

/// One thread at work.
pub(super) struct Reactor<H> {
    pub(super) seat: Seat,
    pub(super) limits: Rc<Limits>,
    #[expect(clippy::redundant_allocation, reason = "the outer count is this thread's own")]
    pub(super) budget: Rc<Arc<Budget>>,
    pub(super) roll: Rc<Roll>,
    pub(super) handler: H,
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<Local>,
}

/// Works until the server has stopped.
pub(super) fn run<H: Handler>(
    seat: Seat,
    limits: Limits,
    listener: Listener,
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
    let handler = make(seat.at);
    let (http1, http2) = converse::protocols(&limits);
    let reactor = Rc::new(Reactor {
        budget: Rc::new(Arc::clone(&seat.budget)),
        seat,
        limits: Rc::new(limits),
        roll: Rc::new(Roll::new()),
        handler,
        http1,
        http2,
    });
    runtime.block_on(reactor.live(listener, handed));
}

impl<H: Handler> Reactor<H> {
    /// Accepts until told to stop, then sees the open connections off.
    async fn live(self: Rc<Self>, listener: Listener, mut handed: mpsc::UnboundedReceiver<Handed>) {
        let listener = match listener.watched() {
            Ok(listener) => listener,
            Err(why) => return tracing::error!(%why, "cannot watch a listener"),
        };
        let sweeper = Rc::clone(&self);
        tokio::task::spawn_local(async move {
            loop {
                sleep(sweeper.limits.sweep_every()).await;
                sweeper.roll.sweep(&sweeper.limits);
                sweeper.handler.tick();
            }
        });
        if self.seat.at == 0 {
            tokio::task::spawn_local(look(self.seat.tls.clone(), self.seat.tokens.clone()));
        }
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
            if self.limits.lets_in(&remote) {
                self.admit(stream, remote);
            }
        }
        drop(listener);
        stop.to(Stage::Closing);
        self.see_off(&mut handed).await;
    }

    async fn accept(
        self: &Rc<Self>,
        listener: &listen::Watched,
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
    fn place(self: &Rc<Self>, stream: Plain, remote: Remote) {
        if !self.limits.lets_in(&remote) {
            // Without a word: who is not to reach it need not learn what it is.
            return;
        }
        let loads = || self.seat.connections.iter().map(|load| load.load(Ordering::Relaxed));
        if loads().sum::<usize>() >= self.limits.connections_max {
            match &stream {
                // Best effort: a new socket's buffer is empty.
                Plain::Tcp(stream) if self.seat.tls.is_none() => drop(stream.try_write(FULL)),
                Plain::Tcp(_) => {}
                #[cfg(unix)]
                Plain::Unix(stream) => drop(stream.try_write(FULL)),
            }
            return;
        }
        let (least, load) = loads().enumerate().min_by_key(|(_, load)| *load).unwrap_or_default();
        let mine = self.seat.connections[self.seat.at].load(Ordering::Relaxed);
        if mine <= load {
            return self.admit(stream, remote);
        }
        if let Ok(stream) = Still::of(stream) {
            self.seat.connections[least].fetch_add(1, Ordering::Relaxed);
            if self.seat.hand[least].send((stream, remote)).is_err() {
                self.seat.connections[least].fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn take_over(self: &Rc<Self>, (stream, remote): Handed) {
        // It was counted for this thread when it was handed over.
        match stream.watched() {
            Ok(stream) => self.begin(stream, remote),
            Err(_) => drop(Leave { reactor: Rc::clone(self), entry: None }),
        }
    }

    fn admit(self: &Rc<Self>, stream: Plain, remote: Remote) {
        self.seat.connections[self.seat.at].fetch_add(1, Ordering::Relaxed);
        self.begin(stream, remote);
    }

    fn begin(self: &Rc<Self>, stream: Plain, remote: Remote) {
        listen::prepare(&stream);
        let leave = Leave { reactor: Rc::clone(self), entry: Some(self.roll.enter()) };
        tokio::task::spawn_local(async move {
            let Some(entry) = &leave.entry else { return };
            leave.reactor.converse(stream, remote, &entry.watch).await;
        });
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
    entry: Option<Entry>,
}

impl<H: Handler> Drop for Leave<H> {
    fn drop(&mut self) {
        self.entry.take();
        self.reactor.seat.connections[self.reactor.seat.at].fetch_sub(1, Ordering::Relaxed);
    }
}

/// Looks after the files that may change.
async fn look(tls: Option<Arc<Fresh<ServerConfig>>>, tokens: Option<Arc<Fresh<Tokens>>>) {
    if tls.is_none() && tokens.is_none() {
        return;
    }
    loop {
        sleep(Duration::from_secs(FILES_LOOK_S)).await;
        if let Some(tls) = &tls {
            tls.look();
        }
        if let Some(tokens) = &tokens {
            tokens.look();
        }
    }
}
