//! What a request's headers ask for, found in one pass over them.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::codec::Refusal;
use crate::http::{Coding, takes_gzip};
use crate::spec::limit::{HEADER_VALUE_BYTES_MAX, INFERENCE_ID_BYTES_MAX};

/// Forwarded verbatim to the model and back.
pub(super) const CUSTOM_ATTRIBUTES: HeaderName =
    HeaderName::from_static("x-amzn-sagemaker-custom-attributes");
/// Names the request in the log.
pub(super) const INFERENCE_ID: HeaderName =
    HeaderName::from_static("x-amzn-sagemaker-inference-id");
/// Of the Open Inference Protocol's binary tensors, in requests and answers.
pub(super) const JSON_BYTES: HeaderName =
    HeaderName::from_static("inference-header-content-length");
/// Which of an endpoint's variants.
pub(super) const TARGET_VARIANT: HeaderName =
    HeaderName::from_static("x-amzn-sagemaker-target-variant");
/// Which of an endpoint's many models.
pub(super) const TARGET_MODEL: HeaderName =
    HeaderName::from_static("x-amzn-sagemaker-target-model");
/// How long its caller waits for the answer, in milliseconds; 0 is no bound of the caller's.
pub(super) const TIMEOUT: HeaderName = HeaderName::from_static("x-smrt-timeout-ms");
/// In every answer.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Stands for more than one coding, none of which is read.
static SEVERAL: HeaderValue = HeaderValue::from_static("several");

/// The headers an invocation is about, not checked yet.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Asked<'a> {
    content_type: Option<&'a HeaderValue>,
    accept: Option<&'a HeaderValue>,
    json_bytes: Option<&'a HeaderValue>,
    pub(super) custom_attributes: Option<&'a HeaderValue>,
    pub(super) inference_id: Option<&'a HeaderValue>,
    pub(super) agent: Option<&'a HeaderValue>,
    pub(super) target_variant: Option<&'a HeaderValue>,
    target_model: Option<&'a HeaderValue>,
    encoding: Option<&'a HeaderValue>,
    accept_encoding: Option<&'a HeaderValue>,
    timeout_ms: Option<&'a HeaderValue>,
    pub(super) grpc_encoding: Option<&'a HeaderValue>,
    pub(super) grpc_timeout: Option<&'a HeaderValue>,
}

impl<'a> Asked<'a> {
    pub(super) fn read(headers: &'a HeaderMap) -> Asked<'a> {
        let mut asked = Asked::default();
        for (name, value) in headers {
            let field = match name.as_str() {
                "content-type" => &mut asked.content_type,
                "accept" => &mut asked.accept,
                "user-agent" => &mut asked.agent,
                "grpc-encoding" => &mut asked.grpc_encoding,
                "grpc-timeout" => &mut asked.grpc_timeout,
                "accept-encoding" => &mut asked.accept_encoding,
                "content-encoding" if asked.encoding.is_some() => {
                    // Applied one after the other, as a list in one header is.
                    asked.encoding = Some(&SEVERAL);
                    continue;
                }
                "content-encoding" => &mut asked.encoding,
                "inference-header-content-length" => &mut asked.json_bytes,
                "x-amzn-sagemaker-custom-attributes" => &mut asked.custom_attributes,
                "x-amzn-sagemaker-inference-id" => &mut asked.inference_id,
                "x-amzn-sagemaker-target-variant" => &mut asked.target_variant,
                "x-smrt-timeout-ms" => &mut asked.timeout_ms,
                "x-amzn-sagemaker-target-model" => &mut asked.target_model,
                _ => continue,
            };
            field.get_or_insert(value);
        }
        asked
    }

    /// Checks the values that come back in the answer or go into the log.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        text(self.custom_attributes, &CUSTOM_ATTRIBUTES, HEADER_VALUE_BYTES_MAX)?;
        text(self.inference_id, &INFERENCE_ID, INFERENCE_ID_BYTES_MAX)?;
        self.coding().map(drop)
    }

    /// How the body is compressed.
    pub(super) fn coding(&self) -> Result<Coding, Refusal> {
        let Some(value) = self.encoding else { return Ok(Coding::Identity) };
        Coding::parse(value.as_bytes()).ok_or_else(|| {
            let what = "this Content-Encoding is not read";
            let help = format!("send the body as it is, or in one of {}", Coding::KNOWN);
            Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, what).help(help)
        })
    }

    /// Whether the answer may be compressed.
    pub(super) fn takes_gzip(&self) -> bool {
        self.accept_encoding.is_some_and(|value| takes_gzip(value.as_bytes()))
    }

    /// Whether the request is one of gRPC.
    pub(super) fn is_grpc(&self) -> bool {
        self.content_type.is_some_and(|value| {
            value.as_bytes().strip_prefix(b"application/grpc").is_some_and(|rest| {
                matches!(
                    rest,
                    [] | [b';' | b' ', ..]
                        | b"+proto"
                        | [b'+', b'p', b'r', b'o', b't', b'o', b';', ..]
                )
            })
        })
    }

    pub(super) fn content_type(&self) -> Result<Option<&'a str>, Refusal> {
        text(self.content_type, &hyper::header::CONTENT_TYPE, HEADER_VALUE_BYTES_MAX)
    }

    /// Length of the JSON that binary tensors follow.
    pub(super) fn json_bytes(&self) -> Result<Option<&'a str>, Refusal> {
        text(self.json_bytes, &JSON_BYTES, HEADER_VALUE_BYTES_MAX)
    }

    /// How long its caller waits.
    pub(super) fn timeout(&self) -> Result<Option<Duration>, Refusal> {
        let Some(value) = self.timeout_ms else { return Ok(None) };
        let ms = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
        let ms = ms.ok_or_else(|| {
            Refusal::new(StatusCode::BAD_REQUEST, format!("{TIMEOUT} is no whole number"))
                .help("write milliseconds, or leave it out")
        })?;
        Ok((ms > 0).then(|| Duration::from_millis(ms)))
    }

    /// The model that is asked for.
    pub(super) fn target_model(&self) -> Result<Option<&'a str>, Refusal> {
        text(self.target_model, &TARGET_MODEL, HEADER_VALUE_BYTES_MAX)
    }

    pub(super) fn accept(&self) -> Result<Option<&'a str>, Refusal> {
        text(self.accept, &hyper::header::ACCEPT, HEADER_VALUE_BYTES_MAX)
    }
}

/// A header's text, if it is printable ASCII within its length. The gate has refused line feeds
/// already; what is left out here is what a log or another server might stumble over.
fn text<'a>(
    value: Option<&'a HeaderValue>,
    name: &HeaderName,
    bytes_max: usize,
) -> Result<Option<&'a str>, Refusal> {
    let Some(value) = value else { return Ok(None) };
    let refuse = |what: String| {
        Err(Refusal::new(StatusCode::BAD_REQUEST, what)
            .help(format!("send at most {bytes_max} printable ASCII characters")))
    };
    if value.len() > bytes_max {
        return refuse(format!("{name} has {} characters", value.len()));
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(_) => refuse(format!("{name} holds a character that is not printable ASCII")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_bytes(value).unwrap());
        headers
    }

    #[test]
    fn custom_attributes_are_printable_and_not_too_long() {
        let check = |value: &[u8]| Asked::read(&headers(CUSTOM_ATTRIBUTES, value)).check();
        assert_eq!(check(&[b'a'; 1_024]), Ok(()));
        assert_eq!(check(b"trace=1; user=7"), Ok(()));
        assert_eq!(check(&[b'a'; 1_025]).unwrap_err().status, StatusCode::BAD_REQUEST);
        assert_eq!(check("é".as_bytes()).unwrap_err().status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_callers_time_is_whole_milliseconds_and_none_when_it_is_nought() {
        let timeout = |value: &[u8]| Asked::read(&headers(TIMEOUT, value)).timeout();
        assert_eq!(timeout(b"250"), Ok(Some(Duration::from_millis(250))));
        assert_eq!(timeout(b"0"), Ok(None));
        assert_eq!(Asked::default().timeout(), Ok(None));
        for wrong in ["-1", "1.5", "soon", "", "99999999999999999999"] {
            assert_eq!(timeout(wrong.as_bytes()).unwrap_err().status, StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn an_inference_id_has_at_most_64_characters() {
        let check = |value: &[u8]| Asked::read(&headers(INFERENCE_ID, value)).check();
        assert_eq!(check(&[b'a'; 64]), Ok(()));
        assert!(check(&[b'a'; 65]).is_err());
    }
}
