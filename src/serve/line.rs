//! The one completion line of an invocation, and its counts.
//!
//! Written when dropped, so that a caller who leaves is counted too. It borrows what its request
//! holds, until the answer outlives the request.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;

use super::asked::Asked;
use super::endpoint::Endpoint;
use super::invoke::Outcome;
use super::recorded;
use super::stats::Answers;
use super::traffic::Chosen;
use crate::http::Caller;
use crate::telemetry::log::ACCESS;

/// nginx's code for a caller who left before the answer; only ever in the log.
const CALLER_LEFT: u16 = 499;

/// One invocation under way.
pub(super) struct Line<'a> {
    endpoint: Held<'a>,
    thread: usize,
    /// The model that was asked, once it is known.
    pub(super) served: Option<Chosen>,
    id: [u8; 36],
    inference_id: Option<Cow<'a, HeaderValue>>,
    caller: Cow<'a, Caller>,
    agent: Option<Cow<'a, HeaderValue>>,
    start: Instant,
    begun: Option<Instant>,
    pub(super) status: u16,
    /// The status of a refusal before it was wrapped.
    pub(super) refused: Option<u16>,
    pub(super) rows: usize,
    pub(super) bytes_in: usize,
    pub(super) bytes_out: usize,
    pub(super) model: Duration,
    /// An answer that had begun was not finished.
    pub(super) cut: bool,
    /// Answered while it arrived: its time is its caller's as much as ours.
    streamed: bool,
    /// Somebody else writes it.
    away: bool,
}

/// The endpoint: within a request borrowed, since a count that all threads touch costs each of them.
enum Held<'a> {
    Here(&'a Arc<Endpoint>),
    Away(Arc<Endpoint>),
}

impl Held<'_> {
    fn get(&self) -> &Arc<Endpoint> {
        match self {
            Held::Here(endpoint) => endpoint,
            Held::Away(endpoint) => endpoint,
        }
    }
}

impl<'a> Line<'a> {
    pub(super) fn begin(
        endpoint: &'a Arc<Endpoint>,
        thread: usize,
        id: &[u8; 36],
        asked: &Asked<'a>,
        caller: &'a Caller,
    ) -> Line<'a> {
        endpoint.answers[thread].in_flight.add(1);
        Line {
            endpoint: Held::Here(endpoint),
            thread,
            served: None,
            id: *id,
            inference_id: asked.inference_id.map(Cow::Borrowed),
            caller: Cow::Borrowed(caller),
            agent: asked.agent.map(Cow::Borrowed),
            start: Instant::now(),
            begun: None,
            status: CALLER_LEFT,
            refused: None,
            rows: 0,
            bytes_in: 0,
            bytes_out: 0,
            model: Duration::ZERO,
            cut: false,
            streamed: false,
            away: false,
        }
    }

    pub(super) fn outcome(&mut self, outcome: &Outcome) {
        self.begun = Some(outcome.begun);
        self.rows = outcome.rows;
        self.bytes_in = outcome.bytes_in;
        self.model = outcome.model;
        self.bytes_out = outcome.result.as_ref().map_or(0, |answered| answered.body.len());
    }

    /// The same line for an answer that goes on after the request was handled.
    pub(super) fn streamed(&mut self) -> Line<'static> {
        self.away = true;
        Line {
            endpoint: Held::Away(Arc::clone(self.endpoint.get())),
            thread: self.thread,
            served: self.served.clone(),
            id: self.id,
            inference_id: self.inference_id.take().map(|id| Cow::Owned(id.into_owned())),
            caller: Cow::Owned(self.caller.as_ref().clone()),
            agent: self.agent.take().map(|agent| Cow::Owned(agent.into_owned())),
            start: self.start,
            begun: self.begun,
            status: CALLER_LEFT,
            refused: None,
            rows: self.rows,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            model: self.model,
            cut: false,
            streamed: true,
            away: false,
        }
    }

    fn answers(&self) -> &Answers {
        &self.endpoint.get().answers[self.thread]
    }

    fn count(&self, end: Instant) {
        let answers = self.answers();
        answers.in_flight.one_less();
        answers.answered(self.status);
        let endpoint = self.endpoint.get();
        let sheet = self.served.as_ref().map_or(&endpoint.nobody, |served| &served.sheet);
        let stats = sheet.of(self.thread);
        stats.invocations.add(1);
        let took = end - self.begun.unwrap_or(self.start);
        if self.status != CALLER_LEFT && !self.streamed {
            stats.all_took(took);
        }
        stats.received.add(self.bytes_in as u64);
        stats.sent.add(self.bytes_out as u64);
        // Whose fault it was is what the model's own door would have said: 424 tells nothing.
        match self.refused.unwrap_or(self.status) {
            200 => {
                stats.rows.add(self.rows as u64);
                if !self.streamed {
                    stats.model_took(self.model);
                    stats.overhead_took(took.saturating_sub(self.model));
                }
            }
            400..=499 => stats.invocations_4xx.add(1),
            500..=599 => stats.invocations_5xx.add(1),
            _ => {}
        }
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if self.away {
            return;
        }
        let end = Instant::now();
        self.count(end);
        let endpoint = self.endpoint.get();
        let inference_id = self.inference_id.as_ref().and_then(|id| id.to_str().ok());
        if endpoint.audit.is_some() {
            let served = self.served.as_ref().map(|served| &served.names);
            endpoint.record(recorded::Act {
                name: "InvokeEndpoint",
                request: &self.id,
                caller: &self.caller,
                agent: self.agent.as_ref().and_then(|value| value.to_str().ok()),
                status: self.status,
                error: self.cut.then_some(("ModelError", "the answer was cut short")),
                parameters: vec![
                    ("inferenceId", inference_id.into()),
                    ("targetModel", served.map(|names| names.model.as_ref()).into()),
                ],
                more: vec![
                    ("rows", self.rows.into()),
                    ("bytesTransferredIn", self.bytes_in.into()),
                    ("bytesTransferredOut", self.bytes_out.into()),
                ],
            });
        }
        if !endpoint.settings.access_log {
            return;
        }
        tracing::info!(
            target: ACCESS,
            request = std::str::from_utf8(&self.id).unwrap_or_default(),
            inference_id,
            status = self.status,
            rows = self.rows,
            bytes_in = self.bytes_in,
            bytes_out = self.bytes_out,
            model_us = micros(self.model),
            total_us = micros(end - self.start),
            remote = &*self.caller.shown,
            principal = self.caller.principal.as_deref(),
            cut = self.cut.then_some(true),
            "request completed"
        );
    }
}

fn micros(time: Duration) -> u64 {
    time.as_micros() as u64
}
