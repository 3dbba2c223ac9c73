//! One connection, from its handshake to its last answer: TLS, then HTTP/1.1 or HTTP/2.
//!
//! Which of the two is seen in its first bytes, so that HTTP/2 is spoken where TLS agreed on it
//! (ALPN) and where a caller begins with it (prior knowledge) alike. A connection reads through
//! [`super::stream`], which notes for the sweep what happens on it.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use hyper::body::Incoming;
use hyper::header;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::auth::Denied;
use super::body::Body;
use super::frames::Frames;
use super::gate::{Call, Caller, Handler};
use super::limits::Limits;
use super::listen::Remote;
use super::reactor::Reactor;
use super::reply::{self, Reply};
use super::shutdown::Stage;
use super::smuggled::{Doubt, Framing};
use super::socket::{Plain, Socket};
use super::stream::{Followed, Watched};
use super::watch::{Order, Phase, Watch};
use super::{certificate, check};
use crate::spec::limit::{
    HEADERS_MAX, READ_AHEAD_BYTES_MAX, STREAM_PING_S, STREAM_PING_TIMEOUT_S, STREAM_WINDOW_BYTES,
    STREAMS_MAX,
};

/// How HTTP/2 begins (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes that are looked at once to see which protocol it is.
const FIRST_BYTES: usize = 4 << 10;

const SLOW_HEAD: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\
    content-length: 0\r\n\r\n";
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
    content-type: application/json\r\ncontent-length: 59\r\n\r\n\
    {\"message\":\"this port speaks TLS\",\"help\":\"write https://\"}\n";

/// Runs the requests of HTTP/2 on the thread of their connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// The two protocols with their bounds.
pub(super) fn protocols(limits: &Limits) -> (http1::Builder, http2::Builder<Local>) {
    let mut http1 = http1::Builder::new();
    // Not `pipeline_flush`: in hyper 1.12 it keeps answers back while bytes are left to read, and a
    // head that is refused leaves them there for good, its refusal and the answers before it unsent.
    http1
        // Answers are small: one buffer is cheaper for the kernel than a list of pieces.
        .writev(false)
        .max_headers(HEADERS_MAX)
        .max_header_size(limits.header_bytes_max)
        .max_buf_size(READ_AHEAD_BYTES_MAX.max(limits.header_bytes_max));
    let mut http2 = http2::Builder::new(Local);
    // What h2 bounds by itself stays: streams reset before they are seen (20), errors of a caller's
    // own (1,024), CONTINUATION frames beyond the list's size.
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(STREAM_WINDOW_BYTES)
        .keep_alive_interval(Duration::from_secs(STREAM_PING_S))
        .keep_alive_timeout(Duration::from_secs(STREAM_PING_TIMEOUT_S));
    (http1, http2)
}

/// What all requests of a connection share.
struct Peer {
    remote: Remote,
    shown: Arc<str>,
    /// Whom its certificate names.
    certificate: Option<Arc<str>>,
    /// Over TLS, or within this machine.
    is_private: bool,
}

impl<H: Handler> Reactor<H> {
    /// Everything one connection asks, until it ends.
    pub(super) async fn converse(
        self: &Rc<Self>,
        stream: Plain,
        remote: Remote,
        watch: &Rc<Watch>,
    ) {
        let config = self.seat.tls.as_ref().map(|tls| tls.get());
        let is_private = config.is_some() || remote == Remote::Unix;
        let secured = match (config, remote) {
            (Some(config), Remote::Tcp(_)) => secure(stream, config, watch, &self.limits).await,
            _ => Some((Socket::Plain(stream), None)),
        };
        let Some((mut socket, certificate)) = secured else { return };
        let Some(early) = first_bytes(&mut socket, watch).await else { return };
        let is_http2 = early.starts_with(PREFACE);
        let framing = match is_http2 {
            true => Followed::Http2(Frames::new()),
            false => Followed::Http1(Box::new(Framing::new())),
        };
        let io = TokioIo::new(Watched { socket, early, watch: Rc::clone(watch), framing });
        let shown = remote.to_string().into();
        let peer = Rc::new(Peer { remote, shown, certificate, is_private });
        match is_http2 {
            true => self.http2(io, watch, peer).await,
            false => self.http1(io, watch, peer).await,
        }
    }

    async fn http1(
        self: &Rc<Self>,
        io: TokioIo<Watched<Socket>>,
        watch: &Rc<Watch>,
        peer: Rc<Peer>,
    ) {
        let service = service_fn(|request| {
            let (reactor, watch, peer) = (Rc::clone(self), Rc::clone(watch), Rc::clone(&peer));
            async move {
                watch.enter(Phase::Busy);
                let doubt = watch.next_is_ambiguous();
                let reply = reactor.answer(&watch, &peer, request, doubt).await;
                watch.enter(Phase::Idle);
                Ok::<Reply, Infallible>(reply)
            }
        });
        let mut connection = self.http1.serve_connection(io, service);
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
            let mut socket = connection.into_parts().io.into_inner().socket;
            last_words(&mut socket, SLOW_HEAD).await;
        }
    }

    async fn http2(
        self: &Rc<Self>,
        io: TokioIo<Watched<Socket>>,
        watch: &Rc<Watch>,
        peer: Rc<Peer>,
    ) {
        watch.has_streams(&self.budget);
        let service = service_fn(|request| {
            let (reactor, peer) = (Rc::clone(self), Rc::clone(&peer));
            let mut entry = self.roll.enter_stream(watch);
            async move {
                let watch = Rc::clone(&entry.watch);
                let mut answer = pin!(reactor.answer(&watch, &peer, request, None));
                let mut reply = poll_fn(|context| {
                    watch.keep_waker(context);
                    answer.as_mut().poll(context)
                })
                .await;
                entry.answered();
                // HTTP/2 ends a stream, not a connection.
                reply.headers_mut().remove(header::CONNECTION);
                Ok::<Reply, Infallible>(reply.map(|content| content.paced(entry)))
            }
        });
        let mut connection = pin!(self.http2.serve_connection(io, service));
        let mut draining = false;
        poll_fn(|context| {
            watch.keep_waker(context);
            match watch.order() {
                Order::Close => return Poll::Ready(()),
                Order::Drain if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                Order::Drain | Order::Go => {}
            }
            connection.as_mut().poll(context).map(drop)
        })
        .await;
    }

    async fn answer(
        self: &Rc<Self>,
        watch: &Rc<Watch>,
        peer: &Peer,
        request: hyper::Request<Incoming>,
        doubt: Option<Doubt>,
    ) -> Reply {
        let (head, incoming) = request.into_parts();
        if let Some(refusal) = check::head(&head, doubt) {
            return refusal;
        }
        let mut principal = peer.certificate.clone();
        if let Some(tokens) = &self.seat.tokens
            && !self.handler.is_public(head.uri.path())
        {
            match tokens.get().identify(&head.headers) {
                Ok(name) => principal = Some(name),
                Err(Denied::Missing) if self.handler.asks_itself() => {}
                // The body is not read for somebody nobody knows.
                Err(why) => return reply::last(self.handler.denied(&head, why)),
            }
        }
        let body = Body {
            incoming,
            watch: Rc::clone(watch),
            limits: Rc::clone(&self.limits),
            budget: Rc::clone(&self.budget),
            expects_continue: head.headers.contains_key(header::EXPECT),
            early: None,
        };
        let stage = self.seat.stop.stage();
        let caller = Caller {
            remote: peer.remote,
            shown: Arc::clone(&peer.shown),
            principal,
            is_private: peer.is_private,
            _proof: (),
        };
        let reply = self.handler.handle(Call { head, body, caller, stage }).await;
        if stage == Stage::Open { reply } else { reply::last(reply) }
    }
}

/// The TLS handshake, within the time of a head; and whom the caller's certificate names.
async fn secure(
    stream: Plain,
    config: Arc<ServerConfig>,
    watch: &Watch,
    limits: &Limits,
) -> Option<(Socket, Option<Arc<str>>)> {
    let handshake = async {
        if let Plain::Tcp(tcp) = &stream {
            // Whoever writes http:// for https:// is told so instead of a broken connection.
            let mut first = [0];
            if tcp.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase() {
                let mut stream = stream;
                last_words(&mut stream, NOT_TLS).await;
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        TlsAcceptor::from(config).accept(stream).await
    };
    let handshake = unless_closed(watch, handshake);
    let tls = tokio::time::timeout(limits.header_timeout, handshake).await.ok()??.ok()?;
    let certificate = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let name = certificate.map(|certificate| {
        certificate::name(certificate).unwrap_or_else(|| "a certificate without a name".into())
    });
    Some((Socket::Tls(Box::new(tls)), name.map(Into::into)))
}

/// As many bytes as show the protocol; `None` when the connection ended before.
async fn first_bytes(socket: &mut Socket, watch: &Watch) -> Option<BytesMut> {
    let mut early = BytesMut::with_capacity(FIRST_BYTES);
    loop {
        let read = unless_closed(watch, socket.read_buf(&mut early)).await;
        let Some(read) = read else {
            if watch.phase() == Phase::Head {
                last_words(socket, SLOW_HEAD).await;
            }
            return None;
        };
        if read.ok()? == 0 {
            // It may have sent less than a preface and still want to hear why that is nothing.
            return (!early.is_empty()).then_some(early);
        }
        watch.received();
        let seen = early.len().min(PREFACE.len());
        if seen == PREFACE.len() || early[..seen] != PREFACE[..seen] {
            return Some(early);
        }
    }
}

/// `None` when the sweep orders the connection to close first.
async fn unless_closed<T>(watch: &Watch, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| {
        watch.keep_waker(context);
        match watch.order() {
            Order::Close => Poll::Ready(None),
            _ => future.as_mut().poll(context).map(Some),
        }
    })
    .await
}

/// Says something to a caller whose connection ends, as far as its socket takes it now.
async fn last_words(socket: &mut (impl AsyncWrite + Unpin), words: &[u8]) {
    let mut talk = pin!(async {
        let _ = socket.write_all(words).await;
        let _ = socket.shutdown().await;
    });
    poll_fn(|context| {
        let _ = talk.as_mut().poll(context);
        Poll::Ready(())
    })
    .await;
}
