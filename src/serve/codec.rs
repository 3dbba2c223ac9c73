//! The seam to the data room: bodies to rows, answers to bytes, and which status each failure has
//! at this door.

use hyper::StatusCode;

use super::grpc;
use crate::algorithm::Ask;
use crate::data::media::{Accept, ContentType};
use crate::data::request::{self, Limits};
use crate::data::{Answer, Error, Signature, answer, oip};
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
    /// What the SageMaker runtime calls it, where it is not the model that refused.
    pub(super) runtime: Option<&'static str>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Refusal {
        let message = message.into();
        Refusal { status, message, help: None, retry_after_s: None, runtime: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Refusal {
        self.help = Some(help.into());
        self
    }

    pub(super) fn runtime(mut self, name: &'static str) -> Refusal {
        self.runtime = Some(name);
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
        Refusal { help: error.help(), ..Refusal::new(status, error.to_string()) }
    }
}

/// How a request's body is to be read.
#[derive(Debug, Clone)]
pub(super) enum Wire {
    /// As SageMaker's containers do: by `Content-Type` and `Accept`.
    SageMaker { content: ContentType, accept: Accept },
    /// The Open Inference Protocol; the length of the JSON when binary tensors follow it.
    OpenInference { json_bytes: Option<usize> },
    /// The same in protobuf, over gRPC.
    Grpc,
}

/// How the answer is to be written, which is known once the body was read.
#[derive(Debug, Clone)]
pub(super) enum Form {
    SageMaker(Accept),
    OpenInference(oip::Wanted),
    Grpc(oip::Wanted),
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) content_type: &'static str,
    /// Length of the JSON that binary tensors follow.
    pub(super) json_bytes: Option<usize>,
}

impl Wire {
    /// From the headers of an invocation.
    pub(super) fn sagemaker(content: Option<&str>, accept: Option<&str>) -> Result<Wire, Refusal> {
        let content = match content.map(str::trim) {
            None | Some("") => CONTENT_DEFAULT.into(),
            Some(text) => ContentType::parse(text)?,
        };
        Ok(Wire::SageMaker { content, accept: Accept::parse(accept, ACCEPT_DEFAULT)? })
    }

    /// From `Inference-Header-Content-Length`.
    pub(super) fn open_inference(json_bytes: Option<&str>) -> Result<Wire, Refusal> {
        let json_bytes = json_bytes.map(|text| text.trim().parse()).transpose().map_err(|_| {
            Refusal::new(StatusCode::BAD_REQUEST, "Inference-Header-Content-Length is no number")
                .help("set it to the length of the JSON, or leave it out")
        })?;
        Ok(Wire::OpenInference { json_bytes })
    }

    /// What the caller wants besides, on top of what the endpoint answers everybody.
    pub(super) fn ask(&self, always: &Ask) -> Result<Ask, Refusal> {
        match self {
            Wire::SageMaker { accept, .. } if !accept.parameters.is_empty() => always
                .with(accept)
                .map_err(|(what, help)| Refusal::new(StatusCode::BAD_REQUEST, what).help(help)),
            _ => Ok(always.clone()),
        }
    }

    /// Whether a few bytes may hold many rows, so that even a short body is work.
    pub(super) fn unfolds(&self) -> bool {
        matches!(self, Wire::SageMaker { content, .. } if content.media == Media::Parquet)
    }

    /// Whether a body can be answered row by row, in blocks.
    pub(super) fn is_of_rows(&self) -> bool {
        self.border(b"").is_some()
    }

    /// Where the last whole row of a body's beginning ends; see [`request::border`].
    pub(super) fn border(&self, text: &[u8]) -> Option<usize> {
        match self {
            Wire::SageMaker { content, .. } => request::border(content, text),
            Wire::OpenInference { .. } | Wire::Grpc => None,
        }
    }

    /// How the rest of a body is to be read whose first rows were cut off.
    pub(super) fn of_the_rest(&self) -> Wire {
        let mut rest = self.clone();
        if let Wire::SageMaker { content, .. } = &mut rest {
            content.parameters.retain(|(name, _)| name != "header");
        }
        rest
    }

    /// Whether answers to parts of a body are JSON documents, to be joined into one.
    pub(super) fn answers_one_document(&self) -> bool {
        match self {
            Wire::SageMaker { accept, .. } => accept.media == Media::Json,
            Wire::OpenInference { .. } | Wire::Grpc => true,
        }
    }

    /// The type of an answer without a body.
    pub(super) fn content_type(&self) -> &'static str {
        match self {
            Wire::SageMaker { accept, .. } => accept.content_type(),
            Wire::OpenInference { .. } => JSON,
            Wire::Grpc => grpc::CONTENT_TYPE,
        }
    }
}

const JSON: &str = "application/json";
const BINARY: &str = "application/octet-stream";

/// Appends a body's rows to `values`, row-major; returns how many, and how to answer.
pub(super) fn decode(
    wire: &Wire,
    body: &[u8],
    signature: &Signature,
    values: &mut Vec<f32>,
) -> Result<(usize, Form), Refusal> {
    let limits = Limits::default();
    match wire {
        Wire::SageMaker { content, accept } => {
            let rows = request::decode_into(content, body, signature, &limits, values)?;
            Ok((rows, Form::SageMaker(accept.clone())))
        }
        Wire::OpenInference { json_bytes } => {
            let (rows, wanted) = oip::decode(body, *json_bytes, signature, &limits, values)?;
            Ok((rows, Form::OpenInference(wanted)))
        }
        Wire::Grpc => {
            let (rows, wanted) = oip::decode_message(body, signature, &limits, values)?;
            Ok((rows, Form::Grpc(wanted)))
        }
    }
}

/// Appends an answer to `out`; in CSV every field when more than the plain answer was asked for.
/// The model's name and the tensors of its answers are for the protocols that tell them.
pub(super) fn encode(
    form: &Form,
    ask: &Ask,
    (model, outputs): (&str, &[oip::Tensor]),
    answer: &Answer,
    out: &mut Vec<u8>,
) -> Result<Written, Refusal> {
    match form {
        Form::SageMaker(accept) => {
            match ask.is_plain() {
                true => answer::encode(answer, accept, out),
                false => answer::encode_fields(answer, accept, out),
            }
            Ok(Written { content_type: accept.content_type(), json_bytes: None })
        }
        Form::OpenInference(wanted) => {
            let json_bytes = oip::encode(answer, outputs, wanted, model, out)?;
            let content_type = if json_bytes.is_some() { BINARY } else { JSON };
            Ok(Written { content_type, json_bytes })
        }
        Form::Grpc(wanted) => {
            let write =
                |out: &mut Vec<u8>| oip::encode_message(answer, outputs, wanted, model, out);
            grpc::framed(out, write)?;
            Ok(Written { content_type: grpc::CONTENT_TYPE, json_bytes: None })
        }
    }
}

/// How many rows a body may hold, without reading it closely.
pub(super) fn rows_at_most(wire: &Wire, body: &[u8], features: usize) -> usize {
    match wire {
        // A value and the comma after it are two bytes or more, and in binary one.
        Wire::OpenInference { .. } | Wire::Grpc => body.len() / features.max(1) + 1,
        Wire::SageMaker { content, .. } => match content.media {
            Media::Json => body.len() / (2 * features.max(1)) + 1,
            // Each has a frame and the length of one of its parts.
            Media::RecordIo => body.len() / 8 + 1,
            // What its index says is bounded when it is read; writers pack a row into a byte or more.
            Media::Parquet => body.len(),
            Media::Csv | Media::JsonLines | Media::Libsvm => {
                memchr::memchr_iter(b'\n', body).count() + 1
            }
        },
    }
}
