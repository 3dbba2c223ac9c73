//! A request's body that is larger than what is held of one: handed on piece by piece, as it comes.
//!
//! A piece is waited for as long as any other body may stand still; who takes the pieces says when
//! enough have come for a new stretch of time to begin, so that a large body is given the time of
//! many small ones and a slow one no more than theirs.

use hyper::body::Bytes;

use super::body::{Body, Held, Refused};
use super::watch::Phase;

/// A body under way.
#[derive(Debug)]
pub struct Streamed {
    body: Body,
    /// What was read before it was known to be so large.
    begun: Bytes,
    held: Held,
    /// Bytes handed on.
    seen: u64,
}

impl Streamed {
    pub(super) fn new(body: Body, begun: Bytes, held: Held) -> Streamed {
        Streamed { body, begun, held, seen: 0 }
    }

    /// The next bytes; `None` at the end. Nothing is lost when it is dropped while it waits.
    ///
    /// # Errors
    /// When they are too many altogether or too slow, or the framing breaks.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Refused> {
        let bytes = match self.begun.is_empty() {
            false => Some(std::mem::take(&mut self.begun)),
            true => {
                self.body.watch.enter(Phase::Body);
                let piece = self.body.piece().await;
                self.body.watch.enter(Phase::Busy);
                piece?
            }
        };
        self.seen += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let max = self.body.limits.streamed_bytes_max;
        if self.seen > max {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            return Err(Refused::TooLarge { max, unread: true });
        }
        Ok(bytes)
    }

    /// From now on the next bytes have as long as a whole body may take.
    pub fn is_going_on(&self) {
        self.body.watch.body_begins();
        self.body.watch.enter(Phase::Busy);
    }

    /// Counts memory that is held for it from now on, in all bodies' budget.
    ///
    /// # Errors
    /// When there is no room.
    pub fn hold(&mut self, bytes: usize) -> Result<(), Refused> {
        self.held.more(bytes)
    }

    /// The most that is held of one body.
    pub fn held_max(&self) -> usize {
        self.body.limits.body_bytes_max
    }

    /// Bytes handed on so far.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Its answer has been given; over HTTP/1 the connection waits for the next request.
    pub fn answered(&self) {
        self.body.watch.answered();
    }

    /// As [`Body::discard`].
    pub async fn discard(self) -> bool {
        self.body.discard().await
    }
}
