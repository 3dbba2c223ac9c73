//! The seam to the data room: bodies to rows, answers to bytes, and which status each failure has
//! at this door.

use hyper::StatusCode;

use crate::algorithm::Ask;
pub(super) use crate::data::media::{Accept, ContentType};
use crate::data::request::{self, Limits};
use crate::data::{Answer, Error, Signature, answer};
use crate::fault::Fault;
use crate::spec::train::Media;

/// What a body is taken for when nobody says: the format SageMaker's built-in algorithms share.
const CONTENT_DEFAULT: Media = Media::Csv;
/// What is answered to `*/*` or no `Accept`: SageMaker's format for these algorithms.
const ACCEPT_DEFAULT: Media = Media::Json;

/// Why a request gets no prediction: a status and two lines of text for its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// Seconds after which trying again may work.
    pub(super) retry_after_s: Option<u64>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into(), help: None, retry_after_s: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Refusal {
        self.help = Some(help.into());
        self
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        let status = match &error {
            Error::UnknownMedia { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Error::NotAcceptable { .. } => StatusCode::NOT_ACCEPTABLE,
            Error::TooManyRows { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Error::NoRows | Error::Request { .. } => StatusCode::BAD_REQUEST,
            other => crate::http::reply::status(other.kind()),
        };
        Refusal { status, message: error.to_string(), help: error.help(), retry_after_s: None }
    }
}

/// The format of a body.
pub(super) fn content_type(header: Option<&str>) -> Result<ContentType, Refusal> {
    match header.map(str::trim) {
        None | Some("") => Ok(CONTENT_DEFAULT.into()),
        Some(text) => Ok(ContentType::parse(text)?),
    }
}

/// The format of the answer.
pub(super) fn accept(header: Option<&str>) -> Result<Accept, Refusal> {
    Ok(Accept::parse(header, ACCEPT_DEFAULT)?)
}

/// What the caller wants besides, on top of what the endpoint answers everybody.
pub(super) fn ask(accept: &Accept, always: &Ask) -> Result<Ask, Refusal> {
    if accept.parameters.is_empty() {
        return Ok(always.clone());
    }
    always
        .with(accept)
        .map_err(|(what, help)| Refusal::new(StatusCode::BAD_REQUEST, what).help(help))
}

/// Appends a body's rows to `values`, row-major; returns how many.
pub(super) fn decode(
    content: &ContentType,
    body: &[u8],
    signature: &Signature,
    values: &mut Vec<f32>,
) -> Result<usize, Refusal> {
    Ok(request::decode_into(content, body, signature, &Limits::default(), values)?)
}

/// Appends an answer to `out`; in CSV every field when more than the plain answer was asked for.
pub(super) fn encode(accept: &Accept, ask: &Ask, answer: &Answer, out: &mut Vec<u8>) {
    if ask.is_plain() {
        answer::encode(answer, accept, out);
    } else {
        answer::encode_fields(answer, accept, out);
    }
}

/// How many rows a body may hold, without reading it closely.
pub(super) fn rows_at_most(content: &ContentType, body: &[u8], features: usize) -> usize {
    match content.media {
        // A value and the comma after it are two bytes or more.
        Media::Json => body.len() / (2 * features.max(1)) + 1,
        // Each has a frame and the length of one of its parts.
        Media::RecordIo | Media::Parquet => body.len() / 8 + 1,
        Media::Csv | Media::JsonLines | Media::Libsvm => {
            memchr::memchr_iter(b'\n', body).count() + 1
        }
    }
}
