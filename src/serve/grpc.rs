//! The Open Inference Protocol over gRPC (`inference.GRPCInferenceService`), and gRPC's health
//! check: unary calls over HTTP/2, by hand.
//!
//! A call other than inference asks [`super::v2`] what the same question over HTTP would, and writes
//! its answer as protobuf: there is one truth about models. A failure is a gRPC status with the
//! message of the HTTP answer.
//!
//! Sources: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, `statuscodes.md`
//! beside it, and `inference.proto` of <https://github.com/kserve/open-inference-protocol> with
//! Triton's additions. Not here: `ModelStreamInfer`, shared memory, trace and log settings.

use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{StatusCode, Version};
use serde_json::Value;

use super::asked::Asked;
use super::codec::Refusal;
use super::endpoint::Endpoint;
use super::guard::Act;
use super::invoke::not_read;
use super::v2::{self, About, Path, VERSION};
use crate::data::protobuf::{Fields, Message};
use crate::http::{Body, Coding, Content, Denied, Payload, Reply, Stage};

/// Of requests and answers.
pub(super) const CONTENT_TYPE: &str = "application/grpc";

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const CODINGS: HeaderValue = HeaderValue::from_static("identity,deflate,gzip");

/// Before each message: whether it is compressed, and its length.
const FRAME_BYTES: usize = 5;
/// Bytes of a message for people: a header has a bound.
const MESSAGE_BYTES_MAX: usize = 1_024;

/// What can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    ServerLive,
    ServerReady,
    ModelReady,
    ServerMetadata,
    ModelMetadata,
    ModelInfer,
    ModelConfig,
    ModelStatistics,
    RepositoryIndex,
    RepositoryModelLoad,
    RepositoryModelUnload,
    /// `grpc.health.v1.Health/Check`
    Health,
    Unknown,
}

impl Method {
    /// From a path that begins as one of gRPC's.
    pub(super) fn of(path: &str) -> Method {
        let Some(name) = path.strip_prefix("/inference.GRPCInferenceService/") else {
            return match path {
                "/grpc.health.v1.Health/Check" => Method::Health,
                _ => Method::Unknown,
            };
        };
        match name {
            "ModelInfer" => Method::ModelInfer,
            "ServerLive" => Method::ServerLive,
            "ServerReady" => Method::ServerReady,
            "ModelReady" => Method::ModelReady,
            "ServerMetadata" => Method::ServerMetadata,
            "ModelMetadata" => Method::ModelMetadata,
            "ModelConfig" => Method::ModelConfig,
            "ModelStatistics" => Method::ModelStatistics,
            "RepositoryIndex" => Method::RepositoryIndex,
            "RepositoryModelLoad" => Method::RepositoryModelLoad,
            "RepositoryModelUnload" => Method::RepositoryModelUnload,
            _ => Method::Unknown,
        }
    }

    /// Whether it is for everybody, token or not.
    /// What it comes to, for who may do it.
    pub(super) fn act(self) -> Act {
        match self {
            Method::ModelInfer => Act::Invoke,
            Method::RepositoryModelLoad | Method::RepositoryModelUnload => Act::Update,
            _ => Act::Describe,
        }
    }

    pub(super) fn is_health(self) -> bool {
        matches!(self, Method::ServerLive | Method::ServerReady | Method::Health)
    }
}

/// Whether it is a call at all: otherwise its caller would not understand gRPC's answer.
pub(super) fn is_call(head: &Parts, asked: &Asked<'_>) -> bool {
    head.version == Version::HTTP_2 && asked.is_grpc()
}

/// The one message of a call.
pub(super) async fn message(asked: &Asked<'_>, body: Body) -> Result<Payload, Refusal> {
    let coding = asked.grpc_encoding.map_or(Some(Coding::Identity), |value| {
        Coding::parse(value.as_bytes()).filter(|coding| *coding != Coding::Zstd)
    });
    let coding = coding.ok_or_else(|| {
        let what = "this grpc-encoding is not read: send identity, deflate or gzip";
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, what)
    })?;
    let room = body.room();
    let mut payload = body.read(Coding::Identity).await.map_err(|why| not_read(&why))?;
    let (packed, message) = unframed(&payload.bytes)?;
    match (packed, message.is_empty()) {
        (0, _) => {
            payload.bytes = payload.bytes.slice(FRAME_BYTES..);
            Ok(payload)
        }
        (1, false) if coding != Coding::Identity => {
            let packed = payload.bytes.slice(FRAME_BYTES..);
            room.unfold(coding, packed).await.map_err(|why| not_read(&why))
        }
        _ => Err(damaged("the message is compressed and no grpc-encoding says how")),
    }
}

fn damaged(what: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, what)
}

/// The one message of a call, and the byte that says whether it is compressed.
pub(super) fn unframed(bytes: &[u8]) -> Result<(u8, &[u8]), Refusal> {
    let (frame, rest) = bytes
        .split_first_chunk::<FRAME_BYTES>()
        .ok_or_else(|| damaged("the call has no message"))?;
    let length = u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]]) as usize;
    match length == rest.len() {
        true => Ok((frame[0], rest)),
        false => Err(damaged("a call has one message, of the length it says")),
    }
}

/// How long the caller waits (`grpc-timeout`).
pub(super) fn timeout(asked: &Asked<'_>) -> Result<Option<Duration>, Refusal> {
    let Some(value) = asked.grpc_timeout else { return Ok(None) };
    let read = |text: &str| {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = digits.parse().ok().filter(|_| all_digits && digits.len() <= 8)?;
        Some(match unit {
            "H" => Duration::from_secs(number * 3_600),
            "M" => Duration::from_secs(number * 60),
            "S" => Duration::from_secs(number),
            "m" => Duration::from_millis(number),
            "u" => Duration::from_micros(number),
            "n" => Duration::from_nanos(number),
            _ => return None,
        })
    };
    let timeout = value.to_str().ok().and_then(read);
    timeout.map(Some).ok_or_else(|| {
        Refusal::new(StatusCode::BAD_REQUEST, "grpc-timeout is no time")
            .help("write up to 8 digits and one of H, M, S, m, u, n")
    })
}

/// There is one version of each model; none is that one.
pub(super) fn is_version(version: &str) -> bool {
    version.is_empty() || version == VERSION
}

/// As [`super::v2`] tells of a model.
pub(super) fn unknown_version(name: &str, version: &str) -> Refusal {
    let mut refusal = v2::unknown(name);
    let version: String = version.chars().take(20).collect();
    refusal.message.push_str(&format!(" in version {version}"));
    refusal
}

/// Answers everything but an inference with what [`super::v2`] says of the same question.
pub(super) async fn answer(
    endpoint: &Endpoint,
    stage: Stage,
    method: Method,
    message: &[u8],
) -> Result<Reply, Refusal> {
    let fields = Fields { bytes: message };
    let text = |number| {
        fields.text(number).map_err(|_| {
            Refusal::new(StatusCode::BAD_REQUEST, "the message is not what this call takes")
        })
    };
    let ask = async |path| v2::answer(endpoint, path, stage).await;
    let is_yes = async |path| ask(path).await.status() == StatusCode::OK;
    let told = async |path| heard(&ask(path).await);
    let named = || {
        let (name, version) = (text(1)?, text(2)?);
        if is_version(version) { Ok(name) } else { Err(unknown_version(name, version)) }
    };
    let written = match method {
        Method::ServerLive => Message::default().number(1, u64::from(is_yes(Path::Live).await)),
        Method::ServerReady => Message::default().number(1, u64::from(is_yes(Path::Ready).await)),
        // SERVING is 1 and NOT_SERVING 2; the name is of a service, of which there is one.
        Method::Health => {
            Message::default().number(1, if is_yes(Path::Ready).await { 1 } else { 2 })
        }
        Method::ModelReady => {
            let is_ready = match named() {
                Ok(name) => is_yes(Path::Model(name, About::Ready)).await,
                Err(_) => false,
            };
            Message::default().number(1, u64::from(is_ready))
        }
        Method::ServerMetadata => server(&told(Path::Server).await?),
        Method::ModelMetadata => metadata(&told(Path::Model(named()?, About::Metadata)).await?),
        Method::ModelConfig => {
            let config = config(&told(Path::Model(named()?, About::Config)).await?);
            Message::default().bytes(1, &config.into_bytes())
        }
        Method::ModelStatistics => {
            let path = match named()? {
                "" => Path::Statistics,
                name => Path::Model(name, About::Statistics),
            };
            let models = told(path).await?;
            Message::default().each(1, list(&models["model_stats"]).map(statistics))
        }
        Method::RepositoryIndex => {
            let models = told(Path::Index).await?;
            Message::default().each(1, list(&models).map(index))
        }
        Method::RepositoryModelLoad => {
            told(Path::Load(text(2)?)).await.map(|_| Message::default())?
        }
        Method::RepositoryModelUnload => {
            told(Path::Unload(text(2)?)).await.map(|_| Message::default())?
        }
        Method::ModelInfer | Method::Unknown => {
            let what = "there is no such call here";
            return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, what));
        }
    };
    let mut out = Vec::new();
    framed(&mut out, |out| {
        out.extend(written.into_bytes());
        Ok::<(), Refusal>(())
    })?;
    Ok(framed_reply(out.into()))
}

/// An HTTP answer as its value, or the refusal it is.
fn heard(reply: &Reply) -> Result<Value, Refusal> {
    let value: Value = serde_json::from_slice(reply.body().bytes()).unwrap_or_default();
    if reply.status() == StatusCode::OK {
        return Ok(value);
    }
    Err(Refusal::new(reply.status(), value["error"].as_str().unwrap_or_default()))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Fields of text: their numbers and their names.
fn texts<'a>(value: &'a Value, fields: &[(u64, &str)]) -> Message {
    let text = |name: &str| -> &'a str { value[name].as_str().unwrap_or_default() };
    fields
        .iter()
        .fold(Message::default(), |message, (number, name)| message.text(*number, text(name)))
}

fn each_text(message: Message, number: u64, values: &Value) -> Message {
    list(values).filter_map(Value::as_str).fold(message, |message, text| message.text(number, text))
}

fn server(value: &Value) -> Message {
    each_text(texts(value, &[(1, "name"), (2, "version")]), 3, &value["extensions"])
}

fn metadata(value: &Value) -> Message {
    let tensor = |tensor: &Value| {
        let shape = list(&tensor["shape"]).filter_map(Value::as_i64).map(|size| size as u64);
        texts(tensor, &[(1, "name"), (2, "datatype")]).numbers(3, shape)
    };
    each_text(texts(value, &[(1, "name")]), 2, &value["versions"])
        .text(3, value["platform"].as_str().unwrap_or_default())
        .each(4, list(&value["inputs"]).map(tensor))
        .each(5, list(&value["outputs"]).map(tensor))
}

/// `inference.ModelConfig`, as much of it as is told.
fn config(value: &Value) -> Message {
    // In the order of `inference.DataType`, from 1.
    const KINDS: [&str; 13] = [
        "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16",
        "FP32", "FP64", "STRING",
    ];
    let kind = |tensor: &Value| {
        let name = tensor["data_type"].as_str().unwrap_or_default();
        let at = KINDS.iter().position(|kind| name.strip_prefix("TYPE_") == Some(*kind));
        at.map_or(0, |at| at as u64 + 1)
    };
    let tensor = |tensor: &Value, dims: u64| {
        let sizes = list(&tensor["dims"]).filter_map(Value::as_i64).map(|size| size as u64);
        texts(tensor, &[(1, "name")]).number(2, kind(tensor)).numbers(dims, sizes)
    };
    texts(value, &[(1, "name"), (2, "platform")])
        .number(4, value["max_batch_size"].as_u64().unwrap_or_default())
        .each(5, list(&value["input"]).map(|input| tensor(input, 4)))
        .each(6, list(&value["output"]).map(|output| tensor(output, 3)))
}

fn statistics(value: &Value) -> Message {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let duration = |value: &Value| {
        Message::default().number(1, number(&value["count"])).number(2, number(&value["ns"]))
    };
    let stats = &value["inference_stats"];
    let names = ["success", "fail", "queue", "compute_input", "compute_infer", "compute_output"];
    let durations = names.iter().enumerate().filter(|(_, name)| stats[**name].is_object());
    let durations = durations.fold(Message::default(), |message, (at, name)| {
        message.bytes(at as u64 + 1, &duration(&stats[*name]).into_bytes())
    });
    texts(value, &[(1, "name"), (2, "version")])
        .number(3, number(&value["last_inference"]))
        .number(4, number(&value["inference_count"]))
        .number(5, number(&value["execution_count"]))
        .bytes(6, &durations.into_bytes())
}

fn index(value: &Value) -> Message {
    texts(value, &[(1, "name"), (2, "version"), (3, "state"), (4, "reason")])
}

/// Appends a message that `write` appends, behind its frame.
pub(super) fn framed<E>(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let before = out.len();
    out.extend([0; FRAME_BYTES]);
    write(out)?;
    let length = u32::try_from(out.len() - before - FRAME_BYTES).unwrap_or(u32::MAX);
    out[before + 1..before + FRAME_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// A message in its frame, and that it went well.
pub(super) fn framed_reply(framed: Bytes) -> Reply {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(STATUS, HeaderValue::from_static("0"));
    reply(Content::from(framed).with_trailers(trailers))
}

fn reply(content: Content) -> Reply {
    let mut reply = Reply::new(content);
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    reply.headers_mut().insert(ACCEPT_ENCODING, CODINGS);
    reply
}

/// A failure: in the headers, since nothing else follows.
pub(super) fn refusal(refusal: &Refusal) -> Reply {
    let text = match &refusal.help {
        Some(help) => format!("{}: {help}", refusal.message),
        None => refusal.message.clone(),
    };
    let mut reply = reply(Content::default());
    let headers = reply.headers_mut();
    headers.insert(STATUS, HeaderValue::from(code(refusal.status)));
    if let Ok(text) = HeaderValue::from_str(&escaped(&text)) {
        headers.insert(MESSAGE, text);
    }
    if let Some(seconds) = refusal.retry_after_s {
        headers.insert(PUSHBACK, HeaderValue::from(seconds * 1_000));
    }
    reply
}

/// What a caller without a token is told.
pub(super) fn denied(why: Denied) -> Reply {
    refusal(&Refusal::new(StatusCode::UNAUTHORIZED, why.message()).help(why.help()))
}

/// gRPC's code for a status of HTTP.
fn code(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 | 406 => 3,
        408 | 504 => 4,
        404 => 5,
        403 => 7,
        413 | 429 | 507 => 8,
        409 => 9,
        405 | 415 | 501 => 12,
        500 => 13,
        503 => 14,
        401 => 16,
        _ => 2,
    }
}

/// Percent-encoded where a header could not hold it.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        if out.len() >= MESSAGE_BYTES_MAX {
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            timeout(&Asked::read(&headers))
        };
        assert_eq!(read("100m"), Ok(Some(Duration::from_millis(100))));
        assert_eq!(read("2H"), Ok(Some(Duration::from_secs(7_200))));
        for wrong in ["", "S", "1", "1x", "-1S", "+1S", "123456789S", "1 S"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_message_for_people_survives_a_header() {
        assert_eq!(escaped("50 % \u{e9}\n"), "50 %25 %C3%A9%0A");
        assert!(escaped(&"\u{e9}".repeat(9_000)).len() <= MESSAGE_BYTES_MAX + 3);
    }
}
