//! What a head must be before anybody acts on it: the ambiguities that let two parties read one
//! stream as different requests (RFC 9112, sections 3.2, 6.1 and 6.3; RFC 9113, section 8.3.1).
//!
//! hyper has refused by now: malformed request lines and headers, two different lengths, a
//! transfer coding that does not end in `chunked`, and folded lines. What it mends before anybody
//! sees the head, [`super::smuggled`] has seen in the bytes before.

use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{StatusCode, Version};

use super::reply::{self, Reply};
use super::smuggled::Doubt;
use crate::spec::limit::TARGET_BYTES_MAX;

/// The answer to a head that is not to be trusted; the connection ends with it. `doubt`: what hyper
/// has mended of it.
pub(super) fn head(request: &Parts, doubt: Option<Doubt>) -> Option<Reply> {
    let refuse =
        |status, message, help| Some(reply::last(reply::refusal(status, message, Some(help))));
    if let Some(doubt) = doubt {
        let (message, help) = match doubt {
            Doubt::LengthAndCoding => {
                ("both Content-Length and Transfer-Encoding", "send one of them")
            }
            Doubt::Lengths => ("more than one Content-Length", "send one"),
            Doubt::LineFeed => ("a line ends without CR", "end each line with CR and LF"),
        };
        return refuse(StatusCode::BAD_REQUEST, message, help);
    }
    let mut hosts = request.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => {
            return refuse(StatusCode::BAD_REQUEST, "more than one Host header", "send one");
        }
        (None, _) if request.version == Version::HTTP_11 => {
            return refuse(
                StatusCode::BAD_REQUEST,
                "no Host header",
                "HTTP/1.1 asks for exactly one",
            );
        }
        (Some(host), None) => {
            // Of an absolute target, or HTTP/2's `:authority`.
            let authority = request.uri.authority().map(|authority| authority.as_str().as_bytes());
            if authority.is_some_and(|named| !named.eq_ignore_ascii_case(host.as_bytes())) {
                return refuse(
                    StatusCode::BAD_REQUEST,
                    "the target and the Host header name different hosts",
                    "name one host",
                );
            }
        }
        _ => {}
    }
    if let Some(coding) = request.headers.get(header::TRANSFER_ENCODING) {
        let one = request.headers.get_all(header::TRANSFER_ENCODING).iter().count() == 1;
        if !one || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return refuse(
                StatusCode::NOT_IMPLEMENTED,
                "this transfer coding is not understood",
                "send Transfer-Encoding: chunked once, or a Content-Length",
            );
        }
    }
    let unknown = |expect: &HeaderValue| !expect.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if request.headers.get(header::EXPECT).is_some_and(unknown) {
        return refuse(
            StatusCode::EXPECTATION_FAILED,
            "this expectation cannot be met",
            "send Expect: 100-continue or none",
        );
    }
    let target = request.uri.path_and_query().map_or("", |target| target.as_str());
    if !target.is_ascii() {
        return refuse(
            StatusCode::BAD_REQUEST,
            "the request's target has characters that are not ASCII",
            "write them percent-encoded, as UTF-8",
        );
    }
    if target.len() > TARGET_BYTES_MAX {
        return refuse(
            StatusCode::URI_TOO_LONG,
            "the request's target is too long",
            "the paths here are short: see GET /",
        );
    }
    None
}
