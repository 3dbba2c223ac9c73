//! One invocation: decode, admit, predict, encode.
//!
//! A small request to a small model never leaves its connection's thread: its rows go into that
//! thread's buffer, the model is called, the answer is written into another. Everything else goes
//! to a worker through the bounded queue.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::body::Bytes;
use tokio::sync::oneshot;

use super::asked::Asked;
use super::codec::{self, Refusal, Wire, Written};
use super::endpoint::{Endpoint, Fleet};
use super::fence;
use super::queue::{Full, Job, Work};
use super::served::Served;
use super::shadow::{Copied, Shadow};
use super::stats::Stats;
use super::streamed::{self, Answering};
use crate::algorithm::Ask;
use crate::http::{Arrived, Body, Refused};
use crate::spec::limit::INLINE_BYTES_MAX;

/// What a thread uses for every invocation in turn.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    values: Vec<f32>,
    out: Vec<u8>,
}

/// What an invocation came to, for its answer, its line in the log and the metrics.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) result: Result<Answered, Refusal>,
    pub(super) bytes_in: usize,
    pub(super) rows: usize,
    pub(super) model: Duration,
    /// When the body had arrived; a slow caller is no fault of the server's.
    pub(super) begun: Instant,
    /// The connection cannot go on.
    pub(super) is_last: bool,
}

/// An answer to send.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) written: Written,
    pub(super) body: Bytes,
    /// What follows, where the request is answered while it arrives.
    pub(super) more: Option<Box<Answering>>,
}

impl Outcome {
    /// What never reached a model.
    pub(super) fn refused(refusal: Refusal) -> Outcome {
        Outcome {
            result: Err(refusal),
            bytes_in: 0,
            rows: 0,
            model: Duration::ZERO,
            begun: Instant::now(),
            is_last: false,
        }
    }

    /// An answer to a body without a row.
    pub(super) fn nothing(content_type: &'static str, bytes_in: usize) -> Outcome {
        let answered = Answered {
            status: StatusCode::NO_CONTENT,
            written: Written { content_type, json_bytes: None },
            body: Bytes::new(),
            more: None,
        };
        let nothing = Outcome::refused(Refusal::new(StatusCode::NO_CONTENT, ""));
        Outcome { result: Ok(answered), bytes_in, ..nothing }
    }
}

/// Which contract a request follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    SageMaker,
    OpenInference,
}

/// Answers one invocation of `served`.
pub(super) async fn invoke(
    endpoint: &Arc<Endpoint>,
    served: &Arc<Served>,
    stats: &Stats,
    scratch: &RefCell<Scratch>,
    asked: &Asked<'_>,
    (protocol, may_stream): (Protocol, bool),
    (body, remote, ticket): (Body, std::net::IpAddr, f64),
) -> Outcome {
    // Headers first: a caller who waits for `100 Continue` need not send a body in vain.
    let wanted = asked.check().and_then(|()| {
        let wire = match protocol {
            Protocol::SageMaker => Wire::sagemaker(asked.content_type()?, asked.accept()?)?,
            Protocol::OpenInference => Wire::open_inference(asked.json_bytes()?)?,
        };
        let ask = wire.ask(&endpoint.settings.ask)?;
        Ok((wire, ask, asked.coding()?, asked.timeout()?))
    });
    let (wire, ask, coding, timeout) = match wanted {
        Ok(wanted) => wanted,
        Err(refusal) => {
            let mut outcome = Outcome::refused(refusal);
            outcome.is_last = !body.discard().await;
            return outcome;
        }
    };
    let read = match may_stream && wire.is_of_rows() {
        true => body.read_or_stream(coding).await,
        false => body.read(coding).await.map(Arrived::Whole),
    };
    let payload = match read {
        Ok(Arrived::Whole(payload)) => payload,
        Ok(Arrived::Part(body)) => {
            let begun = streamed::begin(endpoint, served, body, wire, ask, remote);
            return Box::pin(begun).await;
        }
        Err(why) => {
            let mut outcome = Outcome::refused(not_read(&why));
            let read =
                matches!(why, Refused::TooLarge { unread: false, .. } | Refused::Coded { .. });
            outcome.is_last = !read;
            return outcome;
        }
    };
    let begun = Instant::now();
    let is_empty = payload.bytes.trim_ascii().is_empty();
    let request = Request { wire, ask, body: payload.bytes.clone(), timeout, remote, ticket };
    if is_empty {
        return Outcome::nothing(request.wire.content_type(), payload.bytes.len());
    }
    answer(endpoint, served, stats, scratch, request, begun).await
}

/// An invocation whose body is there.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) wire: Wire,
    pub(super) ask: Ask,
    pub(super) body: Bytes,
    /// What the caller gives it, where that is less than the endpoint does.
    pub(super) timeout: Option<Duration>,
    pub(super) remote: std::net::IpAddr,
    /// Its place in 0 to 1, by which the shadow's part is drawn.
    pub(super) ticket: f64,
}

/// Answers an invocation of `served`, begun when its body had arrived.
pub(super) async fn answer(
    endpoint: &Endpoint,
    served: &Arc<Served>,
    stats: &Stats,
    scratch: &RefCell<Scratch>,
    request: Request,
    begun: Instant,
) -> Outcome {
    let Request { wire, ask, body, timeout, remote, ticket } = request;
    let mut outcome = Outcome {
        bytes_in: body.len(),
        begun,
        ..Outcome::refused(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "nobody answered"))
    };
    let shadow = match &endpoint.fleet {
        Fleet::Variants(traffic) => traffic.shadow.as_ref().filter(|shadow| shadow.wants(ticket)),
        Fleet::Many(_) => None,
    };
    let copied = shadow.map(|shadow| (shadow, body.clone(), wire.clone(), ask.clone()));
    let longest = endpoint.settings.invocation_timeout;
    let within = |timeout: Option<Duration>| begun + timeout.unwrap_or(longest).min(longest);
    // Nobody's body is read in vain when there is no room for it anyway.
    let inline = match served.cost.is_inline(1) {
        true => Ok(()),
        false => served.queue.admits(begun, within(timeout)).map_err(no_room),
    };
    let inline =
        inline.and_then(|()| here(served, stats, scratch, (&wire, &ask), &body, &mut outcome));
    let work = match inline {
        Ok(None) => {
            copy(copied, &outcome);
            return outcome;
        }
        Ok(Some(work)) => work,
        Err(refusal) => {
            outcome.result = Err(refusal);
            return outcome;
        }
    };
    let deadline = within(work.timeout().into_iter().chain(timeout).min());
    let (reply, mut answer) = oneshot::channel();
    let job = Job { work, ask, begun, deadline, remote, reply };
    outcome.result = match endpoint.pool.push(served, job) {
        Err(full) => Err(no_room(full)),
        Ok(()) => match wait(&mut answer, deadline).await {
            Ok(done) => {
                outcome.rows = done.rows;
                outcome.model = done.model;
                let status = StatusCode::OK;
                let (written, body) = (done.written, done.body.into());
                Ok(Answered { status, written, body, more: None })
            }
            Err(refusal) => Err(refusal),
        },
    };
    copy(copied, &outcome);
    outcome
}

/// Gives the shadow what was asked and what was answered.
fn copy(copied: Option<(&Arc<Shadow>, Bytes, Wire, Ask)>, outcome: &Outcome) {
    let (Some((shadow, body, wire, ask)), Ok(answered)) = (copied, &outcome.result) else { return };
    let (answer, content_type) = (answered.body.clone(), answered.written.content_type);
    shadow.offer(Copied { body, wire, ask, answer, content_type });
}

/// Answers on this thread if that is quick: `Ok(None)` when it did, the work to hand over
/// otherwise.
fn here(
    served: &Served,
    stats: &Stats,
    scratch: &RefCell<Scratch>,
    (wire, ask): (&Wire, &Ask),
    body: &Bytes,
    outcome: &mut Outcome,
) -> Result<Option<Work>, Refusal> {
    if body.len() > INLINE_BYTES_MAX || wire.unfolds() {
        let rows = codec::rows_at_most(wire, body, served.features());
        return Ok(Some(Work::Body { bytes: body.clone(), wire: wire.clone(), rows }));
    }
    // Nothing below waits, so nobody else on this thread sees the cell borrowed.
    let Scratch { values, out } = &mut *scratch.borrow_mut();
    values.clear();
    let (rows, form) = codec::decode(wire, body, served.signature(), values)?;
    outcome.rows = rows;
    // What the model's plain answer costs says nothing of what an explanation does.
    if !served.cost.is_inline(rows) || ask.explain.is_some() || ask.verbose {
        return Ok(Some(Work::Rows { values: values.clone(), rows, form }));
    }
    let predicted = fence::predict(served.predictor(), values, served.features(), ask)
        .map_err(|why| served.failed(stats, &why))?;
    outcome.model = predicted.time;
    stats.batch_of(rows);
    served.sound(stats, &predicted.answer, values)?;
    out.clear();
    let written = codec::encode(&form, ask, served.told(), &predicted.answer, out)?;
    let body = Bytes::copy_from_slice(out);
    outcome.result = Ok(Answered { status: StatusCode::OK, written, body, more: None });
    Ok(None)
}

pub(super) async fn wait(
    answer: &mut oneshot::Receiver<Result<super::queue::Done, Refusal>>,
    deadline: Instant,
) -> Result<super::queue::Done, Refusal> {
    match tokio::time::timeout_at(deadline.into(), answer).await {
        Ok(Ok(result)) => result,
        // The worker is gone without a word, which its own fence should have prevented.
        Ok(Err(_)) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the worker was lost")),
        Err(_) => {
            Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, "the model did not answer in time")
                .help("send fewer rows at once"))
        }
    }
}

/// What a caller is told whose body could not be read.
pub(super) fn not_read(why: &Refused) -> Refusal {
    let status = match why {
        Refused::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Refused::Slow => StatusCode::REQUEST_TIMEOUT,
        Refused::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut refusal = Refusal::new(status, why.to_string());
    match why {
        Refused::TooLarge { .. } => {
            refusal.help = Some("send fewer rows at once, or raise the server's limit".into());
        }
        Refused::NoRoom => refusal.retry_after_s = Some(1),
        Refused::Coded { .. } => {
            refusal.help = Some("send it whole, or as it is without Content-Encoding".into());
        }
        _ => {}
    }
    refusal
}

pub(super) fn no_room(full: Full) -> Refusal {
    let (status, message, retry_after_s) = match full {
        Full::Queue { retry_after_s } => {
            (StatusCode::SERVICE_UNAVAILABLE, "the server is at capacity", retry_after_s)
        }
        Full::Caller { retry_after_s } => {
            (StatusCode::TOO_MANY_REQUESTS, "too many of your requests are waiting", retry_after_s)
        }
        Full::Closed => (StatusCode::SERVICE_UNAVAILABLE, "the server is stopping", 1),
    };
    Refusal { retry_after_s: Some(retry_after_s), ..Refusal::new(status, message) }
        .help("try again after the time in Retry-After")
}
