//! The frame around every operation: its name, the caller's signature, and how a refusal is told.

use std::sync::Arc;

use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde_json::json;
use uuid::Uuid;

use super::authority::ReadPolicies;
use super::callers::Callers;
use super::error::Refused;
use super::wire::Answer;
use super::{authority, operation, recorded};
use crate::http::{Call, Caller, Coding, Denied, Handler, Reply, Stage, reply};
use crate::iam::door::{Arrival, Door};
use crate::iam::sigv4::{self, PathRule, Refusal, Request, Rules, sha256};
use crate::iam::time;
use crate::seal::LocalKeys;
use crate::telemetry::audit::{self, Audit};
use crate::telemetry::log::ACCESS;

/// Every operation's name begins so.
pub(super) const TARGET: &str = "TrentService.";
/// As signatures name it.
pub(super) const SERVICE: &str = "kms";
const JSON: &str = "application/x-amz-json-1.1";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// What a caller must sign where it sends it: the operation, above all.
const MUST_SIGN: &[&str] = &["x-amz-"];

/// The key service on one thread.
pub(super) struct Front {
    pub(super) keys: LocalKeys,
    pub(super) access: Access,
    pub(super) policies: Arc<ReadPolicies>,
    /// Where every request is recorded before it is answered.
    pub(super) audit: Option<Arc<Audit>>,
}

/// Who may call, and for what.
#[derive(Clone)]
pub(super) enum Access {
    /// These, for everything.
    Callers(Arc<Callers>),
    /// Whoever is known there, for what policies and grants allow.
    Door(Arc<Door>),
}

impl Handler for Front {
    async fn handle(&self, call: Call) -> Reply {
        let id = Uuid::new_v4().to_string();
        let (mut who, mut what) = (String::new(), String::new());
        let (head, caller) = (call.head, call.caller);
        let mut reply = match (&head.method, head.uri.path()) {
            (&Method::GET, "/ping") if call.stage == Stage::Open => reply::empty(StatusCode::OK),
            (&Method::POST, "/") => match call.body.read(Coding::Identity).await {
                Ok(body) => {
                    let bytes = &body.bytes;
                    told(self.recorded(&id, &head, &caller, bytes, &mut who, &mut what).await)
                }
                Err(why) => told(Err(Refused::new("SerializationException", why.to_string()))),
            },
            _ => told(Err(Refused::new("UnknownOperationException", "POST / with X-Amz-Target"))),
        };
        let value = HeaderValue::from_str(&id).expect("a uuid is a header's value");
        reply.headers_mut().insert(REQUEST_ID, value);
        let status = reply.status().as_u16();
        tracing::info!(
            target: ACCESS, operation = what, caller = who, remote = %caller.remote, status,
            request_id = id, "request completed"
        );
        reply
    }

    // Callers sign; nobody is asked for a token.
    fn denied(&self, _: &Parts, why: Denied) -> Reply {
        told(Err(Refused::new("AccessDeniedException", why.message())))
    }
}

impl Front {
    /// The answer, once the log has it. What changes keys is in the log before it is begun, too.
    async fn recorded(
        &self,
        id: &str,
        head: &Parts,
        caller: &Caller,
        body: &[u8],
        who: &mut String,
        what: &mut String,
    ) -> Answer {
        let Some(audit) = &self.audit else { return self.answer(head, caller, body, who, what) };
        let act = recorded::Act { id, head, caller, body };
        if let Some(begun) = act.begun() {
            audit.write(&begun).await.map_err(unrecorded)?;
        }
        let answer = self.answer(head, caller, body, who, what);
        audit.write(&act.done(who, what, &answer)).await.map_err(unrecorded)?;
        answer
    }

    fn answer(
        &self,
        head: &Parts,
        caller: &Caller,
        body: &[u8],
        who: &mut String,
        what: &mut String,
    ) -> Answer {
        let headers: Vec<(&str, &[u8])> =
            head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let request = Request {
            method: head.method.as_str(),
            path: head.uri.path(),
            query: head.uri.query().unwrap_or_default(),
            headers: &headers,
        };
        let arrival = Arrival {
            request,
            named: None,
            private: caller.is_private(),
            source: caller.remote.ip(),
        };
        let known = match &self.access {
            Access::Callers(callers) => {
                *who = signed(callers, head, &request, body)?;
                None
            }
            Access::Door(door) => {
                let asked = door.ask(&arrival).map_err(stranger)?;
                let known = asked.prove(door, &arrival, body).map_err(stranger)?;
                *who = known.arn().to_string();
                Some((known.context(door, &arrival), known))
            }
        };
        let target = head.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
        let name = target.and_then(|target| target.strip_prefix(TARGET)).ok_or_else(|| {
            Refused::new("UnknownOperationException", "X-Amz-Target: TrentService.<operation>")
        })?;
        // Bounded: it goes into the log.
        *what = name.chars().take(64).collect();
        let (operation, body) = operation::find(name, body)?;
        if let Some((context, known)) = &known {
            authority::check(&self.keys, &self.policies, known, context, name, &body)?;
        }
        operation(&self.keys, &body)
    }
}

/// The access key that signed the request.
fn signed(
    callers: &Callers,
    head: &Parts,
    request: &Request<'_>,
    body: &[u8],
) -> Result<String, Refused> {
    let rules = Rules {
        service: SERVICE,
        // There is one region, under whatever name the client's settings give it.
        region: region(head).unwrap_or("local"),
        now_s: time::now(),
        path: PathRule::Normalised,
        private: false,
        must_sign: MUST_SIGN,
        token_unsigned: false,
    };
    let proof = sigv4::verify(request, &rules, &sha256(body), |key| callers.secret(key));
    proof.map(|proof| proof.access_key().to_owned()).map_err(stranger)
}

#[expect(clippy::needless_pass_by_value, reason = "called by map_err")]
fn stranger(why: Refusal) -> Refused {
    Refused { code: why.code(), message: why.to_string(), status: why.status() }
}

/// The region in the credential's scope: `Credential=KEY/DAY/REGION/SERVICE/…`.
fn region(head: &Parts) -> Option<&str> {
    let text = head.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    text.split_once("Credential=")?.1.split('/').nth(2)
}

#[expect(clippy::needless_pass_by_value, reason = "called by map_err")]
fn unrecorded(why: audit::Error) -> Refused {
    tracing::error!(%why, "a request is refused because it cannot be recorded");
    let message = "the request cannot be recorded, so it is not answered".into();
    Refused { code: "KMSInternalException", message, status: 500 }
}

fn told(answer: Answer) -> Reply {
    match answer {
        Ok(body) => reply::full(StatusCode::OK, JSON, body.to_string().into()),
        Err(Refused { code, message, status }) => {
            let body = json!({ "__type": code, "message": message }).to_string();
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            let reply = reply::full(status, JSON, body.into());
            reply::with(
                reply,
                HeaderName::from_static("x-amzn-errortype"),
                HeaderValue::from_static(code),
            )
        }
    }
}
