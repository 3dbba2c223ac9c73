//! Which path and method mean what, and the frame around every answer: request id, echoed
//! attributes, counters and the completion line.
//!
//! Two doors lead to the model. `/invocations` answers as SageMaker's containers do (400, 500 …);
//! `/endpoints/NAME/invocations` answers as the SageMaker runtime in front of them does: there a
//! failed invocation is 424 `ModelError` with the container's status inside.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};

use super::asked::{Asked, CUSTOM_ATTRIBUTES, JSON_BYTES, REQUEST_ID};
use super::codec::Refusal;
use super::endpoint::Endpoint;
use super::identity::RequestIds;
use super::invoke::{self, Answered, Outcome, Protocol, Scratch};
use super::page;
use super::served::Served;
use super::stats::Answers;
use super::traffic::Tickets;
use super::v2;
use crate::http::{Call, Handler, Reply, Stage, pack, reply};
use crate::telemetry::log::ACCESS;

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const VARIANT: HeaderName = HeaderName::from_static("x-amzn-invoked-production-variant");

/// nginx's code for a caller who left before the answer; only ever in the log.
const CALLER_LEFT: u16 = 499;

/// Who answers: decides how a failure is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Container,
    Runtime,
    OpenInference,
}

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
enum Route<'a> {
    Ping,
    Invoke,
    /// The name in the path.
    InvokeNamed(&'a str),
    ExecutionParameters,
    Metrics,
    Front,
    /// The Open Inference Protocol.
    V2(v2::Path<'a>),
    Unknown,
}

impl Route<'_> {
    fn of(path: &str) -> Route<'_> {
        match path {
            "/invocations" => Route::Invoke,
            "/ping" => Route::Ping,
            "/execution-parameters" => Route::ExecutionParameters,
            "/metrics" => Route::Metrics,
            "/" => Route::Front,
            _ if path == "/v2" || path.starts_with("/v2/") => Route::V2(v2::Path::of(&path[3..])),
            _ => path
                .strip_prefix("/endpoints/")
                .and_then(|rest| rest.strip_suffix("/invocations"))
                .filter(|name| !name.is_empty() && !name.contains('/'))
                .map_or(Route::Unknown, Route::InvokeNamed),
        }
    }

    /// The methods it knows, as the `Allow` header names them.
    fn allow(&self) -> &'static str {
        match self {
            Route::Invoke | Route::InvokeNamed(_) => "POST",
            Route::V2(path) => path.allow(),
            _ => "GET, HEAD",
        }
    }

    fn allows(&self, method: &Method) -> bool {
        match self {
            Route::Invoke | Route::InvokeNamed(_) => method == Method::POST,
            Route::V2(path) => path.allows(method),
            _ => method == Method::GET || method == Method::HEAD,
        }
    }
}

/// The endpoint on one thread.
pub(super) struct Front {
    endpoint: Arc<Endpoint>,
    /// Which of the connection threads this is.
    thread: usize,
    scratch: RefCell<Scratch>,
    ids: RefCell<RequestIds>,
    tickets: RefCell<Tickets>,
}

impl Front {
    pub(super) fn new(endpoint: Arc<Endpoint>, thread: usize) -> Front {
        let ids = RefCell::new(RequestIds::new());
        Front { endpoint, thread, scratch: RefCell::default(), ids, tickets: RefCell::default() }
    }

    fn answers(&self) -> &Answers {
        &self.endpoint.answers[self.thread]
    }
}

impl Handler for Front {
    async fn handle(&self, call: Call) -> Reply {
        let id = self.ids.borrow_mut().next();
        let route = Route::of(call.head.uri.path());
        let mut reply = match &route {
            Route::Unknown => {
                reply::refusal(StatusCode::NOT_FOUND, "there is nothing here", Some(PATHS))
            }
            known if !known.allows(&call.head.method) => not_allowed(known),
            Route::Ping if call.stage == Stage::Open => reply::empty(StatusCode::OK),
            Route::Ping => stopping(),
            Route::Invoke => return self.invocation(call, Door::Container, &id).await,
            Route::InvokeNamed(name) if *name == self.endpoint.settings.name => {
                return self.invocation(call, Door::Runtime, &id).await;
            }
            Route::InvokeNamed(_) => unknown_endpoint(),
            Route::V2(v2::Path::Infer(name)) if *name == self.endpoint.name() => {
                return self.invocation(call, Door::OpenInference, &id).await;
            }
            Route::V2(path) => v2::answer(&self.endpoint, *path, call.stage),
            Route::ExecutionParameters => self.execution_parameters(),
            Route::Metrics => self.metrics(),
            Route::Front => reply::full(StatusCode::OK, "text/plain; charset=utf-8", PATHS.into()),
        };
        reply = pack(reply, Asked::read(&call.head.headers).takes_gzip()).await;
        self.answers().answered(reply.status().as_u16());
        tracing::debug!(target: ACCESS, path = call.head.uri.path(), status = reply.status().as_u16(), "request completed");
        put_id(&mut reply, &id);
        reply
    }
}

const PATHS: &str =
    "POST /invocations, GET /ping, GET /execution-parameters, GET /metrics, GET /v2\n";

fn not_allowed(route: &Route<'_>) -> Reply {
    let reply = reply::refusal(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not know that method",
        Some(route.allow()),
    );
    reply::with(reply, header::ALLOW, HeaderValue::from_static(route.allow()))
}

fn stopping() -> Reply {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    reply::retry_after(reply::refusal(status, "the server is stopping", None), 1)
}

fn unknown_endpoint() -> Reply {
    let body = br#"{"Message":"there is no endpoint of this name here"}"#;
    let reply = reply::full(StatusCode::BAD_REQUEST, "application/json", body[..].into());
    reply::with(reply, ERROR_TYPE, HeaderValue::from_static("ValidationError"))
}

fn put_id(reply: &mut Reply, id: &[u8; 36]) {
    // Hexadecimal digits and hyphens.
    let value = HeaderValue::from_bytes(id).expect("an id is printable ASCII");
    reply.headers_mut().insert(REQUEST_ID, value);
}

impl Front {
    fn execution_parameters(&self) -> Reply {
        let settings = &self.endpoint.settings;
        let body = serde_json::json!({
            "MaxConcurrentTransforms": settings.threads,
            "BatchStrategy": "MULTI_RECORD",
            "MaxPayloadInMB": (settings.limits.body_bytes_max >> 20).max(1),
        });
        reply::full(StatusCode::OK, "application/json", body.to_string().into())
    }

    fn metrics(&self) -> Reply {
        reply::full(StatusCode::OK, page::CONTENT_TYPE, page::text(&self.endpoint).into())
    }

    /// The model a request is for.
    fn find(&self, asked: &Asked<'_>) -> Result<Arc<Served>, Refusal> {
        if asked.target_model()?.is_some() {
            let what = "this endpoint does not serve many models";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, what)
                .help("leave X-Amzn-SageMaker-Target-Model out")
                .runtime("ValidationError"));
        }
        let ticket = self.tickets.borrow_mut().next();
        self.endpoint.traffic.pick(asked.target_variant, ticket)
    }

    async fn invocation(&self, call: Call, door: Door, id: &[u8; 36]) -> Reply {
        let Call { head, body, remote, stage } = call;
        let asked = Asked::read(&head.headers);
        let mut line = Line::begin(self, id, &asked, remote);
        if stage >= Stage::Closing {
            let mut reply = stopping();
            put_id(&mut reply, id);
            line.status = reply.status().as_u16();
            return reply;
        }
        let protocol = match door {
            Door::Container | Door::Runtime => Protocol::SageMaker,
            Door::OpenInference => Protocol::OpenInference,
        };
        let remote = remote.ip();
        let outcome = match self.find(&asked) {
            Err(refusal) => Outcome::refused(refusal),
            Ok(served) => {
                let served: &Arc<Served> = line.served.insert(served);
                let stats = served.sheet.of(self.thread);
                let Front { endpoint, scratch, .. } = self;
                invoke::invoke(endpoint, served, stats, scratch, &asked, protocol, body, remote)
                    .await
            }
        };
        line.outcome(&outcome);
        let mut reply = match outcome.result {
            Ok(answered) => success(answered),
            Err(refusal) => match door {
                Door::Container => container_refusal(&refusal),
                Door::Runtime => runtime_refusal(&refusal),
                Door::OpenInference => v2::refusal(&refusal),
            },
        };
        if let (Door::Runtime, Some(served)) = (door, &line.served) {
            reply.headers_mut().insert(VARIANT, served.names.variant.clone());
        }
        if outcome.is_last {
            reply = reply::last(reply);
        }
        reply = pack(reply, asked.takes_gzip()).await;
        put_id(&mut reply, id);
        if let Some(attributes) = asked.custom_attributes.filter(|_| asked.check().is_ok()) {
            reply.headers_mut().insert(CUSTOM_ATTRIBUTES, attributes.clone());
        }
        line.status = reply.status().as_u16();
        reply
    }
}

fn success(answered: Answered) -> Reply {
    let reply = match answered.status {
        StatusCode::NO_CONTENT => reply::empty(StatusCode::NO_CONTENT),
        status => reply::full(status, answered.written.content_type, answered.body),
    };
    match answered.written.json_bytes {
        Some(length) => reply::with(reply, JSON_BYTES, HeaderValue::from(length)),
        None => reply,
    }
}

fn container_refusal(refusal: &Refusal) -> Reply {
    let reply = reply::refusal(refusal.status, &refusal.message, refusal.help.as_deref());
    match refusal.retry_after_s {
        Some(seconds) => reply::retry_after(reply, seconds),
        None => reply,
    }
}

/// The runtime's view: capacity is the service's own affair, everything else came from the model.
fn runtime_refusal(refusal: &Refusal) -> Reply {
    let kind = match refusal.status {
        _ if refusal.runtime.is_some() => refusal.runtime,
        StatusCode::SERVICE_UNAVAILABLE => Some("ServiceUnavailable"),
        StatusCode::TOO_MANY_REQUESTS => Some("ThrottlingException"),
        StatusCode::REQUEST_TIMEOUT => Some("ValidationError"),
        _ => None,
    };
    if let Some(kind) = kind {
        let reply = container_refusal(refusal);
        return reply::with(reply, ERROR_TYPE, HeaderValue::from_static(kind));
    }
    let code = refusal.status.as_u16();
    let party = if refusal.status.is_client_error() { "client" } else { "server" };
    let original = match &refusal.help {
        Some(help) => format!("{}\n{help}", refusal.message),
        None => refusal.message.clone(),
    };
    let body = serde_json::json!({
        "Message": format!("Received {party} error ({code}) from primary with message \"{original}\"."),
        "OriginalStatusCode": code,
        "OriginalMessage": original,
        "LogStreamArn": "",
    });
    let status = StatusCode::FAILED_DEPENDENCY;
    let reply = reply::full(status, "application/json", body.to_string().into());
    reply::with(reply, ERROR_TYPE, HeaderValue::from_static("ModelError"))
}

/// The one completion line of an invocation, and its counts. Written when dropped, so that a
/// caller who leaves is counted too.
struct Line<'a> {
    front: &'a Front,
    /// The model that was asked, once it is known.
    served: Option<Arc<Served>>,
    id: &'a [u8; 36],
    inference_id: Option<&'a HeaderValue>,
    remote: SocketAddr,
    start: Instant,
    begun: Option<Instant>,
    status: u16,
    rows: usize,
    bytes_in: usize,
    bytes_out: usize,
    model: Duration,
}

impl<'a> Line<'a> {
    fn begin(
        front: &'a Front,
        id: &'a [u8; 36],
        asked: &Asked<'a>,
        remote: SocketAddr,
    ) -> Line<'a> {
        front.answers().in_flight.add(1);
        Line {
            front,
            served: None,
            id,
            inference_id: asked.inference_id,
            remote,
            start: Instant::now(),
            begun: None,
            status: CALLER_LEFT,
            rows: 0,
            bytes_in: 0,
            bytes_out: 0,
            model: Duration::ZERO,
        }
    }

    fn outcome(&mut self, outcome: &Outcome) {
        self.begun = Some(outcome.begun);
        self.rows = outcome.rows;
        self.bytes_in = outcome.bytes_in;
        self.model = outcome.model;
        self.bytes_out = outcome.result.as_ref().map_or(0, |answered| answered.body.len());
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let end = Instant::now();
        let Front { endpoint, thread, .. } = self.front;
        let answers = self.front.answers();
        answers.in_flight.one_less();
        answers.answered(self.status);
        let sheet = self.served.as_ref().map_or(&endpoint.nobody, |served| &served.sheet);
        let stats = sheet.of(*thread);
        stats.invocations.add(1);
        stats.received.add(self.bytes_in as u64);
        stats.sent.add(self.bytes_out as u64);
        match self.status {
            200 => {
                stats.rows.add(self.rows as u64);
                stats.model_took(self.model);
                let server = end - self.begun.unwrap_or(self.start);
                stats.overhead_took(server.saturating_sub(self.model));
            }
            400..=499 => stats.invocations_4xx.add(1),
            500..=599 => stats.invocations_5xx.add(1),
            _ => {}
        }
        if !endpoint.settings.access_log {
            return;
        }
        let inference_id = self.inference_id.and_then(|id| id.to_str().ok());
        tracing::info!(
            target: ACCESS,
            request = std::str::from_utf8(self.id).unwrap_or_default(),
            inference_id,
            status = self.status,
            rows = self.rows,
            bytes_in = self.bytes_in,
            bytes_out = self.bytes_out,
            model_us = micros(self.model),
            total_us = micros(end - self.start),
            remote = %self.remote,
            "request completed"
        );
    }
}

fn micros(time: Duration) -> u64 {
    time.as_micros() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_exact() {
        assert_eq!(Route::of("/invocations"), Route::Invoke);
        assert_eq!(Route::of("/endpoints/a/invocations"), Route::InvokeNamed("a"));
        for path in ["/invocations/", "/INVOCATIONS", "/endpoints//invocations", "/ping/x", "*"] {
            assert_eq!(Route::of(path), Route::Unknown, "{path}");
        }
    }

    #[test]
    fn the_runtime_wraps_what_the_container_said() {
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, "row 1 has 2 values");
        let reply = runtime_refusal(&refusal);
        assert_eq!(reply.status(), StatusCode::FAILED_DEPENDENCY);
        assert_eq!(reply.headers()["x-amzn-errortype"], "ModelError");
        let busy = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "full");
        assert_eq!(runtime_refusal(&busy).status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
