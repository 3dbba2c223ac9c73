//! Which path and method mean what, and the frame around every answer: request id, echoed
//! attributes, counters and the completion line.
//!
//! Two doors lead to the model. `/invocations` answers as SageMaker's containers do (400, 500 …);
//! `/endpoints/NAME/invocations` answers as the SageMaker runtime in front of them does: there a
//! failed invocation is 424 `ModelError` with the container's status inside.

mod called;

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Version};

use super::admin;
use super::asked::{Asked, CUSTOM_ATTRIBUTES, JSON_BYTES, REQUEST_ID};
use super::codec::Refusal;
use super::container;
use super::endpoint::{Endpoint, Fleet};
use super::grpc;
use super::guard::{self, Act, Out};
use super::hot::Hot;
use super::identity::RequestIds;
use super::invoke::{self, Answered, Outcome, Protocol, Scratch};
use super::line::Line;
use super::openapi;
use super::page;
use super::recorded;
use super::stats::Answers;
use super::traffic::{Chosen, Own, Tickets};
use super::v2;
use crate::http::{Body, Call, Caller, Denied, Handler, Reply, Stage, may_be_packed, pack, reply};
use crate::telemetry::log::ACCESS;

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const VARIANT: HeaderName = HeaderName::from_static("x-amzn-invoked-production-variant");

/// Asks for a token (RFC 6750).
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"smrt\"");

/// Who answers: decides how a failure is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Container,
    Runtime,
    OpenInference,
}

/// How a request says which model it is for.
#[derive(Debug, Clone)]
enum Whom<'a> {
    /// In SageMaker's headers, or not at all.
    Headers,
    /// By its name, loaded or not.
    Named(Cow<'a, str>),
    /// By its name, and only if it is loaded.
    Loaded(Cow<'a, str>),
}

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Ping,
    Invoke,
    /// The name in the path.
    InvokeNamed(&'a str),
    ExecutionParameters,
    Metrics,
    OpenApi,
    Front,
    /// The Open Inference Protocol.
    V2(v2::Path<'a>),
    /// The same over gRPC.
    Grpc(grpc::Method),
    /// The multi-model container contract.
    Models(container::Path<'a>),
    /// What an operator asks of the endpoint of this name.
    Admin(&'a str, admin::Path<'a>),
    Unknown,
}

impl Route<'_> {
    pub(super) fn of(path: &str) -> Route<'_> {
        match path {
            "/invocations" => Route::Invoke,
            "/ping" => Route::Ping,
            "/execution-parameters" => Route::ExecutionParameters,
            "/metrics" => Route::Metrics,
            "/openapi.json" => Route::OpenApi,
            "/" => Route::Front,
            _ if path == "/v2" || path.starts_with("/v2/") => Route::V2(v2::Path::of(&path[3..])),
            _ if path.starts_with("/inference.") || path.starts_with("/grpc.") => {
                Route::Grpc(grpc::Method::of(path))
            }
            _ if path == "/models" || path.starts_with("/models/") => {
                container::Path::of(&path[7..]).map_or(Route::Unknown, Route::Models)
            }
            _ => Route::below_endpoints(path).unwrap_or(Route::Unknown),
        }
    }

    fn below_endpoints(path: &str) -> Option<Route<'_>> {
        let rest = path.strip_prefix("/endpoints/")?;
        let (name, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        match (name, rest) {
            ("", _) => None,
            (name, "/invocations") => Some(Route::InvokeNamed(name)),
            (name, rest) => admin::Path::of(rest).map(|path| Route::Admin(name, path)),
        }
    }

    /// The methods it knows, as the `Allow` header names them.
    fn allow(&self) -> &'static str {
        match self {
            Route::Invoke | Route::InvokeNamed(_) | Route::Grpc(_) => "POST",
            Route::V2(path) => path.allow(),
            Route::Models(path) => path.allow(),
            Route::Admin(_, path) => path.allow(),
            _ => "GET, HEAD",
        }
    }

    /// What it comes to, for who may do it.
    fn act(&self, method: &Method) -> Act {
        match self {
            Route::Invoke | Route::InvokeNamed(_) | Route::V2(v2::Path::Infer(_)) => Act::Invoke,
            Route::Models(container::Path::Invoke(_)) => Act::Invoke,
            Route::Models(_) | Route::Admin(..) => Act::managing(method),
            Route::V2(path) if path.is_managing() => Act::Update,
            Route::Grpc(method) => method.act(),
            // Each by its name: what is new is thought of here.
            Route::Ping
            | Route::ExecutionParameters
            | Route::Metrics
            | Route::OpenApi
            | Route::Front
            | Route::V2(_)
            | Route::Unknown => Act::Describe,
        }
    }

    fn allows(&self, method: &Method) -> bool {
        match self {
            Route::Invoke | Route::InvokeNamed(_) | Route::Grpc(_) => method == Method::POST,
            Route::V2(path) => path.allows(method),
            Route::Models(path) => path.allows(method),
            Route::Admin(_, admin::Path::Weights | admin::Path::Variant(_)) => {
                method == Method::PUT
            }
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
    own: RefCell<Own>,
}

impl Front {
    pub(super) fn new(endpoint: Arc<Endpoint>, thread: usize) -> Front {
        let ids = RefCell::new(RequestIds::new());
        let (scratch, tickets, own) = Default::default();
        Front { endpoint, thread, scratch, ids, tickets, own }
    }

    fn answers(&self) -> &Answers {
        &self.endpoint.answers[self.thread]
    }
}

impl Handler for Front {
    fn is_public(&self, path: &str) -> bool {
        match Route::of(path) {
            Route::Ping | Route::V2(v2::Path::Live | v2::Path::Ready) => true,
            Route::Grpc(method) => method.is_health(),
            _ => false,
        }
    }

    fn denied(&self, head: &Parts, why: Denied) -> Reply {
        let reply = match Route::of(head.uri.path()) {
            Route::V2(_) => v2::denied(why),
            Route::Grpc(_) => grpc::denied(why),
            Route::InvokeNamed(_) => runtime_denied(why),
            _ => reply::refusal(StatusCode::UNAUTHORIZED, why.message(), Some(why.help())),
        };
        self.answers().answered(reply.status().as_u16());
        let mut reply = reply::with(reply, header::WWW_AUTHENTICATE, CHALLENGE);
        put_id(&mut reply, &self.ids.borrow_mut().next());
        reply
    }

    fn asks_itself(&self) -> bool {
        self.endpoint.door.is_some()
    }

    fn tick(&self) {
        if let Fleet::Variants(traffic) = &self.endpoint.fleet {
            traffic.refresh(&self.own);
        }
    }

    async fn handle(&self, call: Call) -> Reply {
        let id = self.ids.borrow_mut().next();
        // Everything else is kept out of the way of invocations: what a request's future holds is
        // moved with it, whether it is used or not.
        match self.invoked(&call) {
            Some((door, whom)) => self.invocation(call, door, whom, &id).await,
            None => Box::pin(self.other(call, id)).await,
        }
    }
}

impl Front {
    /// Whether it is an invocation of somebody who need not be known.
    fn invoked(&self, call: &Call) -> Option<(Door, Whom<'static>)> {
        if self.endpoint.door.is_some() || call.head.method != Method::POST {
            return None;
        }
        let named = |name| Cow::Owned(container::decoded(name));
        Some(match Route::of(call.head.uri.path()) {
            Route::Invoke => (Door::Container, Whom::Headers),
            Route::InvokeNamed(name) if *name == self.endpoint.settings.name => {
                (Door::Runtime, Whom::Headers)
            }
            Route::V2(v2::Path::Infer(name)) => (Door::OpenInference, Whom::Named(named(name))),
            Route::Models(container::Path::Invoke(name)) => {
                (Door::Container, Whom::Loaded(named(name)))
            }
            _ => return None,
        })
    }

    async fn other(&self, mut call: Call, id: [u8; 36]) -> Reply {
        if let Some(door) = &self.endpoint.door
            && !self.is_public(call.head.uri.path())
        {
            let route = Route::of(call.head.uri.path());
            let is_many = matches!(self.endpoint.fleet, Fleet::Many(_));
            if is_many && route == Route::Grpc(grpc::Method::ModelInfer) {
                // The model's name stands within the message, which is read when who asks is known.
                let what = "of many models, those with identities are asked over HTTP";
                let refusal = Refusal::new(StatusCode::NOT_IMPLEMENTED, what);
                let reply = grpc::refusal(&refusal.help("POST /v2/models/NAME/infer"));
                self.answers().answered(reply.status().as_u16());
                return reply::last(reply);
            }
            let (act, model) = (route.act(&call.head.method), self.model_of(&route, &call.head));
            let model = model.as_deref();
            let name = self.endpoint.name();
            if let Err(out) = guard::admit(door, name, act, model, &mut call).await {
                return self.kept_out(call, act, &out, &id).await;
            }
        }
        let route = Route::of(call.head.uri.path());
        let mut reply = match &route {
            Route::Unknown => {
                reply::refusal(StatusCode::NOT_FOUND, "there is nothing here", Some(PATHS))
            }
            known if !known.allows(&call.head.method) => not_allowed(known),
            Route::Ping if call.stage == Stage::Open => reply::empty(StatusCode::OK),
            Route::Ping => stopping(),
            Route::Invoke => {
                return self.invocation(call, Door::Container, Whom::Headers, &id).await;
            }
            Route::InvokeNamed(name) if *name == self.endpoint.settings.name => {
                return self.invocation(call, Door::Runtime, Whom::Headers, &id).await;
            }
            Route::InvokeNamed(_) => unknown_endpoint(),
            Route::V2(v2::Path::Infer(name)) => {
                let name = container::decoded(name);
                return self
                    .invocation(call, Door::OpenInference, Whom::Named(name.into()), &id)
                    .await;
            }
            Route::V2(path) => v2::answer(&self.endpoint, *path, call.stage).await,
            Route::Models(container::Path::Invoke(name)) => {
                let name = container::decoded(name);
                return self
                    .invocation(call, Door::Container, Whom::Loaded(name.into()), &id)
                    .await;
            }
            Route::Models(_) => {
                return self
                    .managed(&call.head, &call.caller, call.body, call.stage, &route, &id)
                    .await;
            }
            Route::Admin(name, _) if *name != self.endpoint.name() => unknown_endpoint(),
            Route::Admin(..) => {
                return self
                    .managed(&call.head, &call.caller, call.body, call.stage, &route, &id)
                    .await;
            }
            Route::Grpc(_) if !grpc::is_call(&call.head, &Asked::read(&call.head.headers)) => {
                let what = "this is a path of gRPC";
                let help = "call it over HTTP/2 as application/grpc, or ask GET /v2";
                reply::refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, what, Some(help))
            }
            Route::Grpc(method) => return self.called(call, *method, &id).await,
            Route::ExecutionParameters => self.execution_parameters(),
            Route::Metrics => self.metrics(),
            Route::OpenApi => {
                let document = openapi::document(&self.endpoint).to_string();
                reply::full(StatusCode::OK, "application/json", document.into())
            }
            Route::Front => reply::full(StatusCode::OK, "text/plain; charset=utf-8", PATHS.into()),
        };
        reply = pack(reply, Asked::read(&call.head.headers).takes_gzip()).await;
        self.answers().answered(reply.status().as_u16());
        tracing::debug!(target: ACCESS, path = call.head.uri.path(), status = reply.status().as_u16(), "request completed");
        put_id(&mut reply, &id);
        reply
    }
}

const PATHS: &str = "POST /invocations, GET /ping, GET /execution-parameters, GET /metrics, GET /v2, GET /models, GET /openapi.json\n";

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

/// As AWS's services tell it, so that its SDKs do.
fn runtime_denied(why: Denied) -> Reply {
    let text = format!("{}: {}", why.message(), why.help());
    let body = serde_json::json!({ "Message": text }).to_string();
    let reply = reply::full(StatusCode::FORBIDDEN, "application/json", body.into());
    reply::with(reply, ERROR_TYPE, HeaderValue::from_static("AccessDeniedException"))
}

/// The same for who is known and may not, or signs wrongly.
fn runtime_out(out: &Out, refusal: &Refusal) -> Reply {
    let body = serde_json::json!({ "Message": refusal.message }).to_string();
    let reply = reply::full(refusal.status, "application/json", body.into());
    reply::with(reply, ERROR_TYPE, HeaderValue::from_static(out.code()))
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

    /// Which of many models a request is for, as policies see it: never by a header where the path
    /// says it.
    fn model_of(&self, route: &Route<'_>, head: &Parts) -> Option<String> {
        let named = match route {
            Route::Invoke | Route::InvokeNamed(_) => guard::target_model(head)?.to_owned(),
            Route::V2(path) => container::decoded(path.model()?),
            Route::Models(path) => container::decoded(path.model()?),
            _ => return None,
        };
        match &self.endpoint.fleet {
            Fleet::Many(hot) => Some(hot.policy_name(&named)),
            Fleet::Variants(_) => {
                matches!(route, Route::Invoke | Route::InvokeNamed(_)).then_some(named)
            }
        }
    }

    /// Tells a caller why it is not let in, in the form of what it asked for.
    async fn kept_out(&self, call: Call, act: Act, out: &Out, id: &[u8; 36]) -> Reply {
        let refusal = match out {
            Out::Unread(why) => invoke::not_read(why),
            _ => {
                let refusal = Refusal::new(out.status(), out.message());
                Refusal { help: out.help(), ..refusal }
            }
        };
        let mut reply = match Route::of(call.head.uri.path()) {
            Route::V2(_) => v2::refusal(&refusal),
            Route::Grpc(_) => grpc::refusal(&refusal),
            Route::InvokeNamed(_) => runtime_out(out, &refusal),
            _ => container_refusal(&refusal),
        };
        if !call.body.discard().await {
            reply = reply::last(reply);
        }
        let status = reply.status().as_u16();
        self.answers().answered(status);
        let (path, remote) = (call.head.uri.path(), call.caller.remote);
        tracing::info!(target: ACCESS, path, status, %remote, why = out.code(), "caller kept out");
        self.endpoint.record(recorded::Act {
            name: act.name(),
            request: id,
            caller: &call.caller,
            agent: agent(&call.head),
            status,
            error: Some((out.code(), &refusal.message)),
            parameters: Vec::new(),
            more: Vec::new(),
        });
        put_id(&mut reply, id);
        reply
    }

    /// The model a request is for.
    async fn find(
        &self,
        asked: &Asked<'_>,
        whom: &Whom<'_>,
        ticket: f64,
    ) -> Result<Chosen, Refusal> {
        self.endpoint.may_act()?;
        match &self.endpoint.fleet {
            Fleet::Variants(traffic) => {
                match whom {
                    Whom::Headers if asked.target_model()?.is_none() => {}
                    Whom::Headers => {
                        let what = "this endpoint does not serve many models";
                        return Err(Refusal::new(StatusCode::BAD_REQUEST, what)
                            .help("leave X-Amzn-SageMaker-Target-Model out")
                            .runtime("ValidationError"));
                    }
                    Whom::Named(name) | Whom::Loaded(name) if *name == *self.endpoint.name() => {}
                    Whom::Named(name) | Whom::Loaded(name) => return Err(v2::unknown(name)),
                }
                traffic.pick(&self.own, asked.target_variant, ticket)
            }
            Fleet::Many(hot) => match whom {
                Whom::Headers => match asked.target_model()? {
                    Some(name) => self.hot(hot, name).await,
                    None => Err(Refusal::new(StatusCode::BAD_REQUEST, "which model?")
                        .help("name it in the header X-Amzn-SageMaker-Target-Model")
                        .runtime("ValidationError")),
                },
                Whom::Named(name) => self.hot(hot, name).await,
                Whom::Loaded(name) => {
                    let loaded = hot.loaded(name).map(Chosen::Shared);
                    loaded.ok_or_else(|| container::not_loaded(name))
                }
            },
        }
    }

    /// One of many models, loaded if it is not.
    async fn hot(&self, hot: &Arc<Hot>, name: &str) -> Result<Chosen, Refusal> {
        match hot.loaded(name) {
            Some(served) => Ok(Chosen::Shared(served)),
            None => Box::pin(hot.find(name)).await.map(Chosen::Shared),
        }
    }

    /// Answers what manages models and variants.
    async fn managed(
        &self,
        head: &Parts,
        caller: &Caller,
        body: Body,
        stage: Stage,
        route: &Route<'_>,
        id: &[u8; 36],
    ) -> Reply {
        let act = route.act(&head.method);
        if act == Act::Update
            && let Err(refusal) = self.endpoint.may_act()
        {
            return reply::last(container_refusal(&refusal));
        }
        let asked = Asked::read(&head.headers);
        let query = head.uri.query().unwrap_or_default();
        let coding = asked.coding();
        let mut reply = match coding {
            Err(refusal) => container_refusal(&refusal),
            Ok(coding) => match body.read(coding).await {
                Err(why) => reply::last(container_refusal(&invoke::not_read(&why))),
                Ok(read) => {
                    let Front { endpoint, .. } = self;
                    match route {
                        Route::Models(path) => {
                            let method = &head.method;
                            container::answer(endpoint, *path, method, query, &read.bytes).await
                        }
                        Route::Admin(_, path) => {
                            admin::answer(endpoint, *path, &read.bytes, stage).await
                        }
                        _ => unknown_endpoint(),
                    }
                }
            },
        };
        if act == Act::Update {
            self.endpoint.record(recorded::Act {
                name: act.name(),
                request: id,
                caller,
                agent: agent(head),
                status: reply.status().as_u16(),
                error: None,
                parameters: vec![
                    ("method", head.method.as_str().into()),
                    ("path", head.uri.path().into()),
                ],
                more: Vec::new(),
            });
        }
        reply = pack(reply, asked.takes_gzip()).await;
        self.answers().answered(reply.status().as_u16());
        tracing::debug!(target: ACCESS, path = head.uri.path(), status = reply.status().as_u16(), "request completed");
        put_id(&mut reply, id);
        reply
    }

    async fn invocation(&self, call: Call, door: Door, whom: Whom<'_>, id: &[u8; 36]) -> Reply {
        let Call { head, body, caller, stage } = call;
        // In HTTP/1.0 an answer of unknown length ends with its connection, however that ends.
        let may_stream = head.version != Version::HTTP_10;
        let asked = Asked::read(&head.headers);
        let mut line = Line::begin(&self.endpoint, self.thread, id, &asked, &caller);
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
        let remote = caller.remote.ip();
        let ticket = self.tickets.borrow_mut().next();
        let outcome = match self.find(&asked, &whom, ticket).await {
            Err(refusal) => {
                let is_last = !body.discard().await;
                Outcome { is_last, ..Outcome::refused(refusal) }
            }
            Ok(served) => {
                let served = line.served.insert(served);
                let stats = served.sheet.of(self.thread);
                let Front { endpoint, scratch, .. } = self;
                invoke::invoke(
                    endpoint,
                    served,
                    stats,
                    scratch,
                    &asked,
                    (protocol, may_stream),
                    (body, remote, ticket),
                )
                .await
            }
        };
        line.outcome(&outcome);
        line.refused = outcome.result.as_ref().err().map(|refusal| refusal.status.as_u16());
        let mut reply = match outcome.result {
            Ok(Answered { written, body, more: Some(more), .. }) => {
                let reply = success(Answered { status: StatusCode::OK, written, body, more: None });
                let more = more.answers(line.streamed());
                reply.map(|content| content.then(more))
            }
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
        if may_be_packed(&reply) {
            reply = Box::pin(pack(reply, asked.takes_gzip())).await;
        }
        put_id(&mut reply, id);
        if let Some(attributes) = asked.custom_attributes.filter(|_| asked.check().is_ok()) {
            reply.headers_mut().insert(CUSTOM_ATTRIBUTES, attributes.clone());
        }
        line.status = reply.status().as_u16();
        reply
    }
}

/// The caller's program, as it says.
fn agent(head: &Parts) -> Option<&str> {
    head.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok())
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
        let status = match kind {
            "ValidationError" if refusal.runtime.is_some() => StatusCode::BAD_REQUEST,
            "ModelNotReadyException" => StatusCode::TOO_MANY_REQUESTS,
            _ => refusal.status,
        };
        let reply = container_refusal(&Refusal { status, ..refusal.clone() });
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
