//! Who is let in where identities are asked for, and for what: every request but a health check
//! passes here before its path is followed.
//!
//! An invocation is `sagemaker:InvokeEndpoint` on the endpoint, whichever door it comes through;
//! loading and unloading a model is `sagemaker:UpdateEndpoint`, everything else
//! `sagemaker:DescribeEndpoint`. Beside AWS's condition keys there is `sagemaker:TargetVariant`.

use hyper::header::{HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::asked::{TARGET_MODEL, TARGET_VARIANT};
use crate::http::{Call, Refused};
use crate::iam::door::{Arrival, Door, Forbidden};
use crate::iam::sigv4::{Refusal, Request};

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Invoke,
    Update,
    Describe,
}

impl Act {
    fn action(self) -> &'static str {
        match self {
            Act::Invoke => "sagemaker:InvokeEndpoint",
            Act::Update => "sagemaker:UpdateEndpoint",
            Act::Describe => "sagemaker:DescribeEndpoint",
        }
    }

    /// As CloudTrail names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Act::Invoke => "InvokeEndpoint",
            Act::Update => "UpdateEndpoint",
            Act::Describe => "DescribeEndpoint",
        }
    }

    /// What managing models by `method` is.
    pub(super) fn managing(method: &Method) -> Act {
        match *method == Method::GET || *method == Method::HEAD {
            true => Act::Describe,
            false => Act::Update,
        }
    }
}

/// Why somebody is not let in.
#[derive(Debug)]
pub(super) enum Out {
    /// Nobody knows who it is.
    Stranger(Refusal),
    /// It may not.
    Forbidden(Forbidden),
    /// The body that had to be proved could not be read.
    Unread(Refused),
}

impl Out {
    /// AWS's name.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Out::Stranger(refusal) => refusal.code(),
            Out::Forbidden(_) => "AccessDeniedException",
            Out::Unread(_) => "ValidationError",
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Out::Stranger(refusal) => {
                StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::FORBIDDEN)
            }
            Out::Forbidden(_) => StatusCode::FORBIDDEN,
            Out::Unread(_) => StatusCode::BAD_REQUEST,
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Out::Stranger(refusal) => refusal.to_string(),
            Out::Forbidden(forbidden) => forbidden.to_string(),
            Out::Unread(why) => why.to_string(),
        }
    }

    pub(super) fn help(&self) -> Option<String> {
        match self {
            Out::Stranger(refusal) => crate::fault::Fault::help(refusal),
            _ => None,
        }
    }
}

/// Lets `call` in, its caller named, or says why not. `model` is which of many it is for.
pub(super) async fn admit(
    door: &Door,
    endpoint: &str,
    act: Act,
    model: Option<&str>,
    call: &mut Call,
) -> Result<(), Out> {
    let headers = headers(&call.head);
    let arrival = Arrival {
        request: Request {
            method: call.head.method.as_str(),
            path: call.head.uri.path(),
            query: call.head.uri.query().unwrap_or_default(),
            headers: &headers,
        },
        named: call.caller.principal.as_deref(),
        private: call.caller.is_private(),
        source: call.caller.remote.ip(),
    };
    let asked = door.ask(&arrival).map_err(Out::Stranger)?;
    let known = match asked.needs_body() {
        true => {
            let body = call.body.read_ahead().await.map_err(Out::Unread)?;
            asked.prove(door, &arrival, &body)
        }
        false => asked.prove(door, &arrival, &[]),
    };
    let known = known.map_err(Out::Stranger)?;
    let mut context = known.context(door, &arrival);
    if let Some(model) = model {
        context.add("sagemaker:targetmodel", model.to_owned());
    }
    if let Some(variant) = text(&call.head.headers, &TARGET_VARIANT) {
        context.add("sagemaker:targetvariant", variant.to_owned());
    }
    // Its name is known now, whatever is decided.
    let arn = known.arn();
    let may = known.may(act.action(), &door.endpoint_arn(endpoint), &context);
    call.caller.principal = Some(arn);
    may.map_err(Out::Forbidden)?;
    Ok(())
}

/// The model that an invocation names in its header.
pub(super) fn target_model(head: &Parts) -> Option<&str> {
    text(&head.headers, &TARGET_MODEL)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The headers as they were signed: over HTTP/2 the host stands in the target.
fn headers(head: &Parts) -> Vec<(&str, &[u8])> {
    let mut all: Vec<(&str, &[u8])> =
        head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    if let Some(authority) = head.uri.authority()
        && !head.headers.contains_key("host")
    {
        all.push(("host", authority.as_str().as_bytes()));
    }
    all
}
