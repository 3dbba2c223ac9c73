//! The body of an answer: known whole before its first byte is sent, or begun while the request is
//! still arriving.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::stream::{LocalBoxStream, Stream};
use hyper::HeaderMap;
use hyper::body::{Body, Bytes, Frame, SizeHint};

use super::watch::{Entry, Phase};

/// Bytes that are handed over at once where a caller opens and shuts a window.
const PIECE_BYTES: usize = 64 << 10;

/// An answer that cannot be finished: its connection or stream is broken off, so that what was sent
/// is never taken for all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer could not be finished")]
pub struct Cut;

/// Bytes, and trailers where a protocol has them (gRPC).
#[derive(Debug, Default)]
pub struct Content {
    bytes: Bytes,
    /// What follows them, as it comes.
    more: Option<More>,
    trailers: Option<Box<HeaderMap>>,
    /// Over HTTP/2: whoever does not take it in time is seen here.
    paced: Option<Entry>,
}

struct More(LocalBoxStream<'static, Result<Bytes, Cut>>);

impl fmt::Debug for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("More")
    }
}

impl Content {
    /// The bytes not sent yet.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether nothing follows the bytes that is not known yet.
    pub(super) fn is_whole(&self) -> bool {
        self.more.is_none()
    }

    /// Sends these after the bytes; HTTP/2 alone has a place for them.
    pub fn with_trailers(mut self, trailers: HeaderMap) -> Content {
        self.trailers = Some(Box::new(trailers));
        self
    }

    /// Sends these after the bytes, each when it is there. Their number is not known: HTTP/1.1 sends
    /// chunks.
    pub fn then(mut self, more: impl Stream<Item = Result<Bytes, Cut>> + 'static) -> Content {
        self.more = Some(More(Box::pin(more)));
        self
    }

    /// Goes out piece by piece, watched.
    pub(super) fn paced(mut self, entry: Entry) -> Content {
        entry.watch.enter(Phase::Writing);
        self.paced = Some(entry);
        self
    }
}

impl<B: Into<Bytes>> From<B> for Content {
    fn from(bytes: B) -> Content {
        Content { bytes: bytes.into(), more: None, trailers: None, paced: None }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = &mut *self;
        while this.bytes.is_empty()
            && let Some(More(more)) = &mut this.more
        {
            if let Some(entry) = &this.paced {
                // What is waited for now is not the caller.
                entry.watch.enter(Phase::Busy);
            }
            match ready!(more.as_mut().poll_next(context)) {
                Some(Ok(bytes)) => this.bytes = bytes,
                Some(Err(cut)) => return Poll::Ready(Some(Err(cut))),
                None => this.more = None,
            }
        }
        let bytes = match &this.paced {
            Some(entry) => {
                entry.watch.enter(Phase::Writing);
                let count = this.bytes.len().min(PIECE_BYTES);
                this.bytes.split_to(count)
            }
            None => std::mem::take(&mut this.bytes),
        };
        if !bytes.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(*trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty() && self.more.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.more, &self.trailers) {
            (None, None) => SizeHint::with_exact(self.bytes.len() as u64),
            // Something follows the bytes.
            _ => SizeHint::default(),
        }
    }
}
