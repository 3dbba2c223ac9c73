//! The body of an answer: known whole before its first byte is sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::HeaderMap;
use hyper::body::{Body, Bytes, Frame, SizeHint};

use super::watch::{Entry, Phase};

/// Bytes that are handed over at once where a caller opens and shuts a window.
const PIECE_BYTES: usize = 64 << 10;

/// Bytes, and trailers where a protocol has them (gRPC).
#[derive(Debug, Default)]
pub struct Content {
    bytes: Bytes,
    trailers: Option<Box<HeaderMap>>,
    /// Over HTTP/2: whoever does not take it in time is seen here.
    paced: Option<Entry>,
}

impl Content {
    /// The bytes not sent yet.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Sends these after the bytes; HTTP/2 alone has a place for them.
    pub fn with_trailers(mut self, trailers: HeaderMap) -> Content {
        self.trailers = Some(Box::new(trailers));
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
        Content { bytes: bytes.into(), trailers: None, paced: None }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = match &self.paced {
            Some(entry) => {
                entry.watch.enter(Phase::Writing);
                let count = self.bytes.len().min(PIECE_BYTES);
                self.bytes.split_to(count)
            }
            None => std::mem::take(&mut self.bytes),
        };
        if !bytes.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(*trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.trailers {
            None => SizeHint::with_exact(self.bytes.len() as u64),
            // Something follows the bytes.
            Some(_) => SizeHint::default(),
        }
    }
}
