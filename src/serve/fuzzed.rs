//! Strangers' bytes against this room's parsers; see [`crate::fuzzed`].

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::asked::Asked;
use super::codec::Wire;
use super::container::decoded;
use super::routes::Route;
use super::{admin, container, grpc, v2};
use crate::algorithm::Ask;

/// A path: it leads somewhere, and a model's name has no slash as it is sent.
pub(crate) fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if !text.starts_with('/') {
        return;
    }
    let route = Route::of(text);
    let name = match &route {
        Route::InvokeNamed(name) | Route::Admin(name, _) => Some(*name),
        Route::Models(path) => path.model(),
        Route::V2(path) => path.model(),
        _ => None,
    };
    if let Some(name) = name {
        assert!(!name.is_empty() && !name.contains('/'), "{text:?} names {name:?}");
        let plain = decoded(name);
        assert!(plain.len() <= 3 * name.len());
        if !name.contains('%') {
            assert_eq!(plain, name);
        }
    }
    let _ = (admin::Path::of(text), container::Path::of(text), v2::Path::of(text));
    let _ = grpc::Method::of(text);
}

/// The headers of an invocation, one on each line.
pub(crate) fn headers(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(100) {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let name = HeaderName::from_bytes(line[..colon].trim_ascii());
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let asked = Asked::read(&headers);
    let is_printable =
        |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\t');
    for read in [asked.content_type(), asked.accept(), asked.json_bytes(), asked.target_model()] {
        if let Ok(Some(text)) = read {
            assert!(is_printable(text), "{text:?}");
        }
    }
    let _ = (asked.check(), asked.coding(), asked.takes_gzip(), asked.is_grpc());
    if let Ok(Some(timeout)) = grpc::timeout(&asked) {
        assert!(timeout.as_secs() <= 99_999_999 * 3_600);
    }
    if let (Ok(content), Ok(accept)) = (asked.content_type(), asked.accept())
        && let Ok(wire) = Wire::sagemaker(content, accept)
    {
        let _ = wire.ask(&Ask::default());
    }
    if let Ok(length) = asked.json_bytes() {
        let _ = Wire::open_inference(length);
    }
}

/// What a call over gRPC sends: one message, as long as it says.
pub(crate) fn grpc_frame(bytes: &[u8]) {
    if let Ok((_, message)) = grpc::unframed(bytes) {
        assert_eq!(message.len() + 5, bytes.len());
        let fields = crate::data::protobuf::Fields { bytes: message };
        let _ = (fields.text(1), fields.text(2));
    }
}
