//! Strangers' bytes against this room's parsers; see [`crate::fuzzed`].

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::Write;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use super::auth::Tokens;
use super::body::Held;
use super::coding::{Coding, takes_gzip};
use super::converse::protocols;
use super::limits::Limits;
use super::smuggled::{Found, Framing};
use super::{check, listen};

/// What one connection sends. However the bytes are cut, the same is found in them; and where
/// nothing is found, hyper reads as many requests out of them as there are heads, no more.
pub(crate) fn framing(bytes: &[u8]) {
    let Some((size, bytes)) = bytes.split_first() else { return };
    let mut whole = Framing::new();
    let found = whole.follow(bytes);
    let size = usize::from(*size).max(1);
    let mut framing = Framing::new();
    let in_pieces = bytes.chunks(size).enumerate().find_map(|(at, piece)| {
        framing.follow(piece).map(|found| match found {
            Found::Chunk(end) => Found::Chunk(at * size + end),
            head @ Found::Head(..) => head,
        })
    });
    assert_eq!(in_pieces, found, "the pieces decide");
    let (requests, is_whole) = read_by_hyper(bytes);
    let heads = whole.heads();
    match found {
        None if is_whole => assert_eq!(requests, heads, "hyper counts other requests"),
        None => assert!(requests <= heads, "hyper reads {requests} requests, {heads} heads"),
        // The head in doubt is counted, and refused by the gate.
        Some(Found::Head(at, _)) => assert!(requests.min(at) <= heads),
        Some(Found::Chunk(_)) => {}
    }
}

/// How many requests hyper sees, and whether it read all bytes without complaint.
fn read_by_hyper(bytes: &[u8]) -> (u64, bool) {
    let seen = Rc::new(RefCell::new((0, true)));
    let count = Rc::clone(&seen);
    let service = service_fn(move |request: Request<Incoming>| {
        let count = Rc::clone(&count);
        async move {
            let (head, body) = request.into_parts();
            count.borrow_mut().0 += 1;
            // What ends a connection, or hands it to another protocol, may leave bytes unread.
            let goes_on = head.version == hyper::Version::HTTP_11
                && head.method != hyper::Method::CONNECT
                && !head.headers.contains_key(hyper::header::UPGRADE)
                && !head.headers.contains_key(hyper::header::CONNECTION);
            let is_fine = body.collect().await.is_ok() && goes_on;
            count.borrow_mut().1 &= is_fine;
            let _ = check::head(&head, None);
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let io = tokio::io::join(bytes, tokio::io::sink());
    let (http1, _) = protocols(&Limits::default());
    let mut connection = pin!(http1.serve_connection(TokioIo::new(io), service));
    let woken = Arc::new(Woken::default());
    let waker = Arc::clone(&woken).into();
    let mut context = Context::from_waker(&waker);
    // Nothing here waits for another: who is not woken while polled waits for ever.
    let ended = loop {
        match connection.as_mut().poll(&mut context) {
            Poll::Ready(ended) => break ended.is_ok(),
            Poll::Pending if woken.0.swap(false, Ordering::Relaxed) => {}
            Poll::Pending => break false,
        }
    };
    let (requests, is_fine) = *seen.borrow();
    (requests, ended && is_fine)
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Woken>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A body in a content coding: never more than is wanted; what is packed comes back.
pub(crate) fn coding(bytes: &[u8]) {
    const MAX: usize = 1 << 18;
    let Some((choice, body)) = bytes.split_first() else { return };
    let coding = [Coding::Gzip, Coding::Deflate, Coding::Zstd][usize::from(*choice) % 3];
    let unfold = |coding: Coding, body: &[u8]| {
        let mut held = Held::unbounded();
        let unfolded = coding.unfold_here(body, MAX, &mut held);
        assert!(held.bytes() <= MAX + 1, "{} bytes were unfolded", held.bytes());
        unfolded
    };
    if let Ok(text) = unfold(coding, body) {
        assert!(text.len() <= MAX);
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    let written = gzip.write_all(body).and_then(|()| zlib.write_all(body));
    let (Ok(()), Ok(gzip), Ok(zlib)) = (written, gzip.finish(), zlib.finish()) else { return };
    for (coding, packed) in [(Coding::Gzip, gzip), (Coding::Deflate, zlib)] {
        let unfolded = unfold(coding, &packed);
        assert!(unfolded.is_ok_and(|text| text == body), "what was packed does not come back");
    }
    let _ = (Coding::parse(body), takes_gzip(body));
}

/// A file of tokens, and what a listener is told to listen on.
pub(crate) fn tokens(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(findings) = Tokens::parse(text) {
        assert!(!findings.is_empty(), "refused without a reason");
    }
    let _ = listen::place(text);
}
