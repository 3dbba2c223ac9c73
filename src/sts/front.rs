//! The frame around every request: the caller's signature, the record, and how it is told.

use std::sync::Arc;

use hyper::header;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use uuid::Uuid;

use super::answer::{Caller, Refused, answer, form, stranger};
use crate::http::{self, Call, Coding, Denied, Handler, Reply, Stage, reply};
use crate::iam::door::{Arrival, Door};
use crate::iam::sigv4::Request;
use crate::iam::state::State;
use crate::telemetry::audit::{Audit, Record};
use crate::telemetry::date::now_s;
use crate::telemetry::log::ACCESS;

const XML: &str = "text/xml";

/// The identity service on one thread.
pub(super) struct Front {
    pub(super) door: Arc<Door>,
    pub(super) state: State,
    pub(super) audit: Option<Arc<Audit>>,
}

impl Handler for Front {
    async fn handle(&self, call: Call) -> Reply {
        let id = Uuid::new_v4().to_string();
        let Call { head, caller, body, stage } = call;
        let told = match (&head.method, head.uri.path()) {
            (&Method::GET, "/ping") if stage == Stage::Open => return reply::empty(StatusCode::OK),
            (&Method::POST, "/") => match body.read(Coding::Identity).await {
                Ok(body) => self.recorded(&id, &head, &caller, &body.bytes).await,
                Err(why) => Err(Refused::new(400, "MalformedInput", why.to_string())),
            },
            _ => Err(Refused::new(400, "InvalidAction", "POST / with Action")),
        };
        let reply = match told {
            Ok(xml) => reply::full(StatusCode::OK, XML, xml.into()),
            Err(refused) => {
                let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::FORBIDDEN);
                reply::full(status, XML, refused.xml(&id).into())
            }
        };
        let status = reply.status().as_u16();
        tracing::info!(target: ACCESS, remote = %caller.remote, status, request_id = id, "request completed");
        reply
    }

    // Callers sign; nobody is asked for a token.
    fn denied(&self, _: &Parts, why: Denied) -> Reply {
        let refused = Refused::new(403, "AccessDenied", why.message());
        reply::full(StatusCode::FORBIDDEN, XML, refused.xml("").into())
    }
}

impl Front {
    /// The answer, once the log has it.
    async fn recorded(
        &self,
        id: &str,
        head: &Parts,
        caller: &http::Caller,
        body: &[u8],
    ) -> Result<String, Refused> {
        let form = form(body);
        let mut who = None;
        let told = self.answered(id, head, caller, body, &form, &mut who);
        let Some(audit) = &self.audit else { return told };
        let text = |name: &str| form.get(name).cloned();
        let action = text("Action").unwrap_or_default();
        let resource = text("RoleArn").unwrap_or_default();
        let agent = head.headers.get(header::USER_AGENT);
        let record = Record {
            time_s: now_s(),
            source: "sts.amazonaws.com",
            name: &action,
            region: self.door.region(),
            principal: who.as_deref(),
            address: caller.remote.ip().to_string(),
            agent: agent.and_then(|value| value.to_str().ok()),
            request: id,
            resource: &resource,
            error: told.as_ref().err().map(|why| (why.code.as_str(), why.message.as_str())),
            parameters: vec![
                ("roleArn", text("RoleArn").into()),
                ("roleSessionName", text("RoleSessionName").into()),
            ],
            writes: action == "AssumeRole",
            manages: true,
            ..Record::default()
        };
        match audit.write(&record).await {
            Ok(()) => told,
            // The session exists, and nobody is told its keys.
            Err(why) => {
                tracing::error!(%why, "a request is refused because it cannot be recorded");
                Err(Refused::new(500, "InternalFailure", "the request cannot be recorded"))
            }
        }
    }

    fn answered(
        &self,
        id: &str,
        head: &Parts,
        caller: &http::Caller,
        body: &[u8],
        form: &std::collections::BTreeMap<String, String>,
        who: &mut Option<Arc<str>>,
    ) -> Result<String, Refused> {
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
        let asked = self.door.ask(&arrival).map_err(stranger)?;
        let known = asked.prove(&self.door, &arrival, body).map_err(stranger)?;
        let arn = known.arn();
        *who = Some(Arc::clone(&arn));
        let context = known.context(&self.door, &arrival);
        let user_id = context.iter().find(|(name, _)| *name == "aws:userid");
        let user_id = user_id.and_then(|(_, values)| values.first()).map_or("", String::as_str);
        answer(&self.state, &Caller { arn: &arn, user_id }, form, id)
    }
}
