//! Answers: how a fault becomes a status code, and what a refusal looks like.
//!
//! A refusal is `{"message": "...", "help": "..."}`. It says what was wrong with the request and
//! never what is inside the server.

use hyper::body::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::content::Content;
use crate::fault::Kind;

/// A whole answer.
pub type Reply = Response<Content>;

/// The status code for a kind of failure.
pub fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Caller | Kind::Data => StatusCode::BAD_REQUEST,
        Kind::Denied => StatusCode::FORBIDDEN,
        Kind::Busy | Kind::Stopped => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Unreachable => StatusCode::BAD_GATEWAY,
        Kind::Corrupt | Kind::Bug => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Content::default());
    *reply.status_mut() = status;
    reply
}

/// An answer with a body of a fixed content type.
pub fn full(status: StatusCode, content_type: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(Content::from(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// A refusal in words.
pub fn refusal(status: StatusCode, message: &str, help: Option<&str>) -> Reply {
    let body = match help {
        Some(help) => serde_json::json!({ "message": message, "help": help }),
        None => serde_json::json!({ "message": message }),
    };
    full(status, "application/json", body.to_string().into())
}

/// Says when to try again.
pub fn retry_after(mut reply: Reply, seconds: u64) -> Reply {
    reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    reply
}

/// Says that the connection ends with this answer.
pub fn last(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    reply
}

/// Adds a header whose value is known to be well-formed.
pub fn with(mut reply: Reply, name: HeaderName, value: HeaderValue) -> Reply {
    reply.headers_mut().insert(name, value);
    reply
}
