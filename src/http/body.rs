//! Reading a request's body: never more than its limit, never longer than its time, and all
//! bodies together within a budget.
//!
//! A body that came with its head is handed on without a copy. A compressed one is unfolded by
//! [`super::coding`] within the same limit and budget.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use hyper::body::{Body as _, Bytes, Incoming};

use super::coding::Coding;
use super::limits::Limits;
use super::streamed::Streamed;
use super::watch::{Phase, Watch};
use crate::spec::limit::BODY_DRAIN_BYTES_MAX;

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// It is larger than allowed.
    #[error("the body is larger than {max} bytes")]
    TooLarge {
        /// The limit.
        max: usize,
        /// Whether the rest of it was left unread, so that the connection cannot go on.
        unread: bool,
    },
    /// It stood still, or took too long altogether.
    #[error("the body did not arrive in time")]
    Slow,
    /// The caller left, or its chunks are not chunks.
    #[error("the body broke off or its framing is wrong")]
    Broken,
    /// It is not what its `Content-Encoding` says.
    #[error("the body is not {coding}: {why}")]
    Coded {
        /// What it should be.
        coding: &'static str,
        /// What is wrong.
        why: String,
    },
    /// All bodies together would take too much memory.
    #[error("too many large requests are being read")]
    NoRoom,
}

/// Bytes of large bodies held by all connections.
#[derive(Debug)]
pub(super) struct Budget {
    held: AtomicUsize,
    max: usize,
}

impl Budget {
    pub(super) fn new(max: usize) -> Budget {
        Budget { held: AtomicUsize::new(0), max }
    }
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Held {
    pub(super) fn nothing(budget: &Arc<Budget>) -> Held {
        Held { budget: Arc::clone(budget), bytes: 0 }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives some of it back, at most all.
    pub(super) fn less(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.budget.held.fetch_sub(bytes, Ordering::Relaxed);
        self.bytes -= bytes;
    }

    pub(super) fn more(&mut self, bytes: usize) -> Result<(), Refused> {
        let before = self.budget.held.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before + bytes > self.budget.max { Err(Refused::NoRoom) } else { Ok(()) }
    }
}

impl Held {
    /// Of no budget: for tests and [`super::fuzzed`].
    pub(super) fn unbounded() -> Held {
        Held { budget: Arc::new(Budget::new(usize::MAX)), bytes: 0 }
    }
}

#[cfg(test)]
impl Budget {
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The bounds that a body is unfolded within, for protocols that compress inside of it.
#[derive(Debug, Clone)]
pub struct Room {
    max: usize,
    budget: Arc<Budget>,
}

impl Room {
    /// What `packed` unfolds to.
    ///
    /// # Errors
    /// When it is too large, not what it should be, or there is no room for it now.
    pub async fn unfold(&self, coding: Coding, packed: Bytes) -> Result<Payload, Refused> {
        let held = Held { budget: Arc::clone(&self.budget), bytes: 0 };
        let (bytes, held) = coding.unfold(packed, self.max, held).await?;
        Ok(Payload { bytes, _held: Some(held) })
    }
}

/// A body that was read whole.
#[derive(Debug)]
pub struct Payload {
    /// Its bytes.
    pub bytes: Bytes,
    _held: Option<Held>,
}

/// A body that was read whole, or is larger than what is held of one.
#[derive(Debug)]
pub enum Arrived {
    /// All of it.
    Whole(Payload),
    /// Its beginning, and where the rest comes from.
    Part(Streamed),
}

/// A body not read yet.
#[derive(Debug)]
pub struct Body {
    pub(super) incoming: Incoming,
    pub(super) watch: Rc<Watch>,
    pub(super) limits: Rc<Limits>,
    /// By this thread's own handle: a count that all threads touch would cost each request.
    #[expect(clippy::redundant_allocation, reason = "the outer count is this thread's own")]
    pub(super) budget: Rc<Arc<Budget>>,
    /// The caller waits for `100 Continue`; a refusal before it spares sending the body.
    pub(super) expects_continue: bool,
    /// It was read ahead of what it is for.
    pub(super) early: Option<Payload>,
}

impl Body {
    /// Reads all of it, and unfolds it if it is compressed.
    ///
    /// # Errors
    /// When it is too large (known before it is read, if its length is declared), too slow, not
    /// well-formed, or there is no room for it now.
    pub async fn read(mut self, coding: Coding) -> Result<Payload, Refused> {
        let payload = self.read_as_sent().await?;
        if coding == Coding::Identity || payload.bytes.is_empty() {
            return Ok(payload);
        }
        let room = self.room();
        // Both forms are held until this one is unfolded.
        room.unfold(coding, payload.bytes.clone()).await
    }

    /// Reads all of it as [`Body::read`] does, or as far as is held of one body when it is larger and
    /// may be answered while it arrives.
    ///
    /// # Errors
    /// As [`Body::read`].
    pub async fn read_or_stream(mut self, coding: Coding) -> Result<Arrived, Refused> {
        let (max, streamed_max) = (self.limits.body_bytes_max, self.limits.streamed_bytes_max);
        let declared = self.incoming.size_hint().exact();
        let fits = declared.is_some_and(|length| length <= max as u64);
        if coding != Coding::Identity || self.early.is_some() || fits || streamed_max <= max as u64
        {
            return self.read(coding).await.map(Arrived::Whole);
        }
        self.watch.body_begins();
        if declared.is_some_and(|length| length > streamed_max) {
            let refused = self.refuse(0).await;
            return Err(match refused {
                Refused::TooLarge { unread, .. } => {
                    let max = usize::try_from(streamed_max).unwrap_or(usize::MAX);
                    Refused::TooLarge { max, unread }
                }
                other => other,
            });
        }
        let held = self.held();
        let (begun, held, ended) = match declared {
            Some(_) => (Bytes::new(), held, false),
            None => self.begin(max, held).await?,
        };
        self.watch.enter(Phase::Busy);
        Ok(match ended {
            true => Arrived::Whole(Payload { bytes: begun, _held: Some(held) }),
            false => Arrived::Part(Streamed::new(self, begun, held)),
        })
    }

    /// Reads a body of unknown length until it ends or is more than is held of one; whether it ended.
    async fn begin(&mut self, max: usize, mut held: Held) -> Result<(Bytes, Held, bool), Refused> {
        let mut whole = Vec::new();
        while whole.len() <= max {
            let Some(bytes) = self.piece().await? else { return Ok((whole.into(), held, true)) };
            held.more(bytes.len())?;
            whole.extend_from_slice(&bytes);
        }
        Ok((whole.into(), held, false))
    }

    /// Reads it as it was sent and keeps it for [`Body::read`]: whose it is may depend on its bytes,
    /// and what it is for on whose it is.
    ///
    /// # Errors
    /// As [`Body::read`].
    pub async fn read_ahead(&mut self) -> Result<Bytes, Refused> {
        let payload = self.read_as_sent().await?;
        let bytes = payload.bytes.clone();
        self.early = Some(payload);
        Ok(bytes)
    }

    /// The bounds it is read within.
    pub fn room(&self) -> Room {
        Room { max: self.limits.body_bytes_max, budget: Arc::clone(self.budget.as_ref()) }
    }

    fn held(&self) -> Held {
        Held::nothing(&self.budget)
    }

    /// Reads it only to throw it away, as far as that is reasonable, so that a request that was
    /// refused by its head does not cost its caller the connection. Whether the connection can go on.
    pub async fn discard(mut self) -> bool {
        if self.early.is_some() {
            return true;
        }
        if self.incoming.size_hint().exact() == Some(0) {
            return true;
        }
        self.watch.body_begins();
        matches!(self.refuse(0).await, Refused::TooLarge { unread: false, .. })
    }

    async fn read_as_sent(&mut self) -> Result<Payload, Refused> {
        if let Some(early) = self.early.take() {
            return Ok(early);
        }
        let declared = self.incoming.size_hint().exact();
        let max = self.limits.body_bytes_max;
        if declared == Some(0) {
            return Ok(Payload { bytes: Bytes::new(), _held: None });
        }
        self.watch.body_begins();
        if declared.is_some_and(|length| length > max as u64) {
            return Err(self.refuse(0).await);
        }
        let result = self.collect(declared, max).await;
        self.watch.enter(Phase::Busy);
        result
    }

    async fn collect(&mut self, declared: Option<u64>, max: usize) -> Result<Payload, Refused> {
        let Some(first) = self.piece().await? else {
            // A declared length that never came is an error of the piece before it is an end.
            return Ok(Payload { bytes: Bytes::new(), _held: None });
        };
        if declared == Some(first.len() as u64) {
            return Ok(Payload { bytes: first, _held: None });
        }
        let mut held = self.held();
        // The declared length is known to be within the limit, yet nothing has been sent for it:
        // memory follows what comes.
        let mut whole = Vec::with_capacity(first.len() * 2);
        let mut piece = Some(first);
        while let Some(bytes) = piece {
            if whole.len() + bytes.len() > max {
                return Err(self.refuse((whole.len() + bytes.len()) as u64).await);
            }
            held.more(bytes.len())?;
            whole.extend_from_slice(&bytes);
            piece = self.piece().await?;
        }
        Ok(Payload { bytes: whole.into(), _held: Some(held) })
    }

    /// The next piece; `None` at the end.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, Refused> {
        loop {
            let frame = poll_fn(|context| match Pin::new(&mut self.incoming).poll_frame(context) {
                Poll::Ready(frame) => Poll::Ready(Ok(frame)),
                Poll::Pending if self.watch.body_expired() => Poll::Ready(Err(Refused::Slow)),
                Poll::Pending => Poll::Pending,
            })
            .await?;
            match frame {
                None => return Ok(None),
                Some(Err(_)) => return Err(Refused::Broken),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return match self.watch.data_taken(bytes.len()) {
                            true => Ok(Some(bytes)),
                            false => Err(Refused::NoRoom),
                        };
                    }
                    // Trailers say nothing to a model.
                }
            }
        }
    }

    /// Reads and throws away what is still on its way, within bounds: a caller who is cut off
    /// while sending sees a broken connection and not the reason.
    async fn refuse(&mut self, mut seen: u64) -> Refused {
        let max = self.limits.body_bytes_max;
        let refused = |unread| Refused::TooLarge { max, unread };
        let declared = self.incoming.size_hint().exact();
        if self.expects_continue || declared.is_some_and(|length| length > BODY_DRAIN_BYTES_MAX) {
            return refused(true);
        }
        while seen <= BODY_DRAIN_BYTES_MAX {
            match self.piece().await {
                Ok(Some(bytes)) => seen += bytes.len() as u64,
                Ok(None) => {
                    self.watch.enter(Phase::Busy);
                    return refused(false);
                }
                Err(_) => break,
            }
        }
        refused(true)
    }
}
