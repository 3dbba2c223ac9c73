//! The gate itself: what it is set up with, what it hands over, and how it is opened.
//!
//! A thread per core, each with its own listener, event loop and connections
//! ([`super::reactor`]); a connection is spoken with in [`super::converse`].
//!
//! Not here: what is answered, which is a [`Handler`]'s affair.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;

use hyper::http::request::Parts;
use tokio::sync::mpsc;

use super::auth::{Denied, Tokens};
use super::body::{Body, Budget};
use super::error::Error;
use super::limits::Limits;
use super::listen::{self, Place, Remote};
use super::reactor::{self, Seat};
use super::reply::Reply;
use super::shutdown::{Stage, Stop};
use super::tls::TlsFiles;

/// One request, its head checked, its body not read.
#[derive(Debug)]
pub struct Call {
    /// Method, target, version and headers.
    pub head: Parts,
    /// What follows.
    pub body: Body,
    /// Who sent it.
    pub caller: Caller,
    /// Whether the server still takes new work.
    pub stage: Stage,
}

/// Who sent a request. Made only by the gate: where tokens or certificates are asked for, whoever
/// has none is not handed over.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Where from.
    pub remote: Remote,
    /// The same as text, written once for a connection and not for each request.
    pub shown: Arc<str>,
    /// By which name: the token's, else the client certificate's.
    pub principal: Option<Arc<str>>,
    /// See [`Caller::is_private`].
    pub(super) is_private: bool,
    pub(super) _proof: (),
}

impl Caller {
    /// Whether nobody between here and there could read or change the request: it came over TLS or
    /// a Unix socket.
    pub fn is_private(&self) -> bool {
        self.is_private
    }
}

/// Answers requests. Each thread has its own, made on that thread.
pub trait Handler: 'static {
    /// Answers one request. Must not block for longer than one caller may delay the others.
    fn handle(&self, call: Call) -> impl Future<Output = Reply>;

    /// Whether this path is for everybody, token or not: health, at most.
    fn is_public(&self, _path: &str) -> bool {
        false
    }

    /// Whether a caller without a token may have another way to say who it is, which the handler
    /// knows and asks for.
    fn asks_itself(&self) -> bool {
        false
    }

    /// Called now and then on its thread, to let go of what it no longer needs.
    fn tick(&self) {}

    /// The answer to a caller who is not let in, in the form of what was asked.
    fn denied(&self, head: &Parts, why: Denied) -> Reply;
}

/// How the gate is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen.
    pub place: Place,
    /// Threads; never 0.
    pub threads: usize,
    /// Bounds.
    pub limits: Limits,
    /// Stop at SIGTERM and SIGINT.
    pub signals: bool,
    /// Encrypted, with these; in the clear without.
    pub tls: Option<TlsFiles>,
    /// Callers need a token of this file.
    pub tokens: Option<PathBuf>,
}

/// An open gate.
#[derive(Debug)]
pub struct Gate {
    /// Where it listens; the port is the true one.
    pub place: Place,
    /// Closes it.
    pub stop: Stop,
    /// Connections of each thread.
    pub connections: Arc<[AtomicUsize]>,
    threads: Vec<JoinHandle<()>>,
}

impl Gate {
    /// Its address; the unspecified one and port 0 for a Unix socket.
    pub fn address(&self) -> SocketAddr {
        match &self.place {
            Place::Tcp(address) => *address,
            Place::Unix(_) => SocketAddr::from(([0; 4], 0)),
        }
    }

    /// For the program that opened it.
    pub fn running(self) -> Running {
        Running { gate: self }
    }

    /// Waits until it is closed and its last request is answered.
    pub fn wait(self) {
        for thread in self.threads {
            // A thread that panicked has said so; the others still drain.
            let _ = thread.join();
        }
        listen::leave(&self.place);
    }
}

/// A service that runs behind an open gate.
#[derive(Debug)]
pub struct Running {
    gate: Gate,
}

impl Running {
    /// Where it listens, with the true port.
    pub fn address(&self) -> SocketAddr {
        self.gate.address()
    }

    /// Stops it, from any thread.
    pub fn stop(&self) {
        self.gate.stop.stop();
    }

    /// Waits until it has stopped and its last request is answered.
    pub fn wait(self) {
        self.gate.wait();
    }
}

/// Opens the gate: listens before it returns, and answers with what `make` makes for each thread.
///
/// # Errors
/// When the address cannot be used, a certificate, key or token is not one, or a thread cannot be
/// started.
pub fn open<H: Handler>(
    settings: &Settings,
    stop: Stop,
    make: impl Fn(usize) -> H + Send + Sync + 'static,
) -> Result<Gate, Error> {
    let count = settings.threads.max(1);
    let tls = settings.tls.clone().map(TlsFiles::open).transpose()?.map(Arc::new);
    let tokens = settings.tokens.clone().map(Tokens::open).transpose()?.map(Arc::new);
    let (listeners, place) = listen::open(&settings.place, count)?;
    let connections: Arc<[AtomicUsize]> = (0..count).map(|_| AtomicUsize::new(0)).collect();
    let budget = Arc::new(Budget::new(settings.limits.bodies_bytes_max));
    let (hand, mut handed): (Vec<_>, Vec<_>) =
        (0..count).map(|_| mpsc::unbounded_channel()).unzip();
    let make = Arc::new(make);
    let mut threads = Vec::new();
    for (at, listener) in listeners.into_iter().enumerate().rev() {
        let handed = handed.pop().expect("there is one for each listener");
        let seat = Seat {
            at,
            connections: Arc::clone(&connections),
            hand: hand.clone(),
            budget: Arc::clone(&budget),
            tls: tls.clone(),
            tokens: tokens.clone(),
            stop: stop.clone(),
            signals: settings.signals && at == 0,
        };
        let (limits, make) = (settings.limits.clone(), Arc::clone(&make));
        let thread = std::thread::Builder::new()
            .name(format!("smrt-http-{at}"))
            .spawn(move || reactor::run(seat, limits, listener, handed, make.as_ref()))
            .map_err(Error::Thread)?;
        threads.push(thread);
    }
    Ok(Gate { place, stop, connections, threads })
}
