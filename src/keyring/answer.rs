//! What a key service that says no means: whether to ask again, and what to tell whom.

use std::fmt;

use serde_json::Value;

use crate::fault::{Fault, Kind};
use crate::seal::Error;
use crate::store::{self, Service};

/// Characters of a server's words that are shown.
const WORDS_MAX: usize = 300;

/// Why a request was not answered as asked.
pub(super) enum Refusal {
    /// No answer, or none that could be trusted.
    Unreached { cause: String },
    /// An answer that KMS would not give.
    NotKms { status: u16 },
    /// KMS's own word for it.
    Told { status: u16, code: String, message: String },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Unreached { cause } => f.write_str(cause),
            Refusal::NotKms { status } => write!(f, "status {status}, and not as KMS answers"),
            Refusal::Told { code, message, .. } if message.is_empty() => f.write_str(code),
            Refusal::Told { code, message, .. } => write!(f, "{code}: {message}"),
        }
    }
}

impl Refusal {
    /// Reads an answer that is not a good one.
    pub(super) fn read(status: u16, body: &[u8]) -> Refusal {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let Some(kind) = text("__type") else { return Refusal::NotKms { status } };
        // AWS writes a namespace before it: `com.amazon.coral.service#…`.
        let code = shown(kind.rsplit('#').next().unwrap_or(kind));
        let message = text("message").or_else(|| text("Message")).unwrap_or_default();
        Refusal::Told { status, code, message: shown(message) }
    }

    /// Whether the same request may be answered another time.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Refusal::Unreached { .. } => true,
            Refusal::NotKms { status } => *status >= 500 || *status == 429,
            Refusal::Told { status, code, .. } => {
                *status >= 500
                    || *status == 429
                    || matches!(
                        code.as_str(),
                        "ThrottlingException"
                            | "Throttling"
                            | "TooManyRequestsException"
                            | "RequestLimitExceeded"
                            | "LimitExceededException"
                            | "DependencyTimeoutException"
                            | "KeyUnavailableException"
                            | "KMSInternalException"
                            | "InternalFailure"
                            | "ServiceUnavailable"
                    )
            }
        }
    }

    /// As an error of sealing, about `key`.
    pub(super) fn told(&self, service: &Service, operation: &str, key: &str) -> Error {
        let (place, key) = (named(service), key.to_owned());
        let failed = |what: String, help: String, kind: Kind| Error::Service {
            place: place.clone(),
            what,
            help,
            kind,
        };
        let (status, code, message) = match self {
            Refusal::Unreached { cause } => {
                let help = "is it running, and is [storage.kms] endpoint (or AWS_ENDPOINT_URL_KMS) \
                            its address? a local key needs none of it: leave kms_key out";
                return failed(
                    format!("cannot be reached: {cause}"),
                    help.into(),
                    Kind::Unreachable,
                );
            }
            Refusal::NotKms { .. } => {
                let help = "let [storage.kms] endpoint (or AWS_ENDPOINT_URL_KMS) name a server of \
                            AWS KMS's API, such as `smrt keys serve`";
                return failed(
                    format!("answered {operation} with {self}"),
                    help.into(),
                    Kind::Unreachable,
                );
            }
            Refusal::Told { status, code, message } => (*status, code.as_str(), message),
        };
        match code {
            "NotFoundException" => Error::UnknownKey { key, place },
            "DisabledException" => Error::Disabled { key, state: "disabled".into() },
            "KMSInvalidStateException" => {
                let pending = message.contains("pending deletion");
                let state = if pending { "pending deletion" } else { "not in a state to be used" };
                Error::State { key, state: state.into() }
            }
            "InvalidCiphertextException" | "IncorrectKeyException" => Error::Refused { key },
            "AccessDeniedException" | "AccessDenied" => failed(
                format!("refuses {operation} with {key}: {message}"),
                format!(
                    "let a policy, the key's policy or a grant allow kms:{operation} on {key} to \
                     the credentials used ({})",
                    service.origin()
                ),
                Kind::Denied,
            ),
            "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "InvalidClientTokenId"
            | "IncompleteSignatureException"
            | "IncompleteSignature"
            | "MissingAuthenticationTokenException"
            | "MissingAuthenticationToken"
            | "ExpiredTokenException"
            | "RequestExpired" => failed(
                format!("does not accept the credentials ({self})"),
                format!(
                    "they come from {}; requests are signed for region {:?}, which [storage.kms] \
                     region sets, and by this machine's clock",
                    service.origin(),
                    service.region()
                ),
                Kind::Denied,
            ),
            _ => failed(
                format!("failed at {operation} with {key}: {self}"),
                "the service's own log says more".into(),
                if status >= 500 { Kind::Unreachable } else { Kind::Caller },
            ),
        }
    }
}

fn named(service: &Service) -> String {
    format!("key service {}", service.server())
}

/// An answer that is good by its status and not by what it holds.
pub(super) fn undone(service: &Service, operation: &str, what: &str) -> Error {
    Error::Service {
        place: named(service),
        what: format!("answered {operation}, but {what}"),
        help: "is it a server of AWS KMS's API?".into(),
        kind: Kind::Unreachable,
    }
}

/// What keeps a service from being asked at all, as an error of sealing.
#[expect(clippy::needless_pass_by_value, reason = "called by map_err")]
pub(super) fn settings(error: store::Error) -> Error {
    Error::Service {
        place: "key service".into(),
        what: error.to_string(),
        help: error.help().unwrap_or_default(),
        kind: error.kind(),
    }
}

/// A server's words: no control characters, not a page of them.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, body: &str) -> (Refusal, Error) {
        let service = Service::kms(
            &Default::default(),
            &[("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1")].into_iter().collect(),
            None,
        );
        let refusal = Refusal::read(status, body.as_bytes());
        let error = refusal.told(&service.unwrap(), "Decrypt", "alias/a");
        (refusal, error)
    }

    #[test]
    fn a_refusal_names_the_key_and_the_action_and_is_not_repeated() {
        let (refusal, error) = told(
            400,
            r#"{"__type": "com.amazonaws.kms#AccessDeniedException", "Message": "no\u001b[31m"}"#,
        );
        assert!(!refusal.may_pass());
        let said = format!("{error} {}", error.help().unwrap());
        assert!(said.contains("alias/a") && said.contains("kms:Decrypt"), "{said}");
        assert!(!said.contains('\u{1b}'), "{said}");
        assert_eq!(error.kind(), Kind::Denied);
    }

    #[test]
    fn what_may_pass_is_repeated_and_what_is_no_kms_says_so() {
        assert!(told(400, r#"{"__type": "ThrottlingException"}"#).0.may_pass());
        assert!(told(503, "busy").0.may_pass());
        let (refusal, error) = told(404, "<html>");
        assert!(!refusal.may_pass());
        assert!(error.to_string().contains("not as KMS answers"), "{error}");
        for (code, wanted) in [
            ("NotFoundException", "there is no key"),
            ("DisabledException", "disabled"),
            ("InvalidCiphertextException", "does not open"),
        ] {
            let (refusal, error) = told(400, &format!(r#"{{"__type": "{code}"}}"#));
            assert!(!refusal.may_pass() && error.to_string().contains(wanted), "{code}: {error}");
        }
    }
}
