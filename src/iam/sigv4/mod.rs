//! AWS Signature Version 4, verified: a pure function of a request, a secret and the time.
//!
//! ```text
//! Request ─► read ─► Claim ─► (secret of its access key) ─► verify ─► Proof ─► Chunks
//!           form, time, scope                               signature   a streamed body, if any
//! ```
//! [`Claim::read`] judges what anybody can judge: form, clock, scope, and that what must be signed
//! is named as signed. [`Claim::verify`] judges the signature, for an unknown key too, against a
//! secret that nobody has: both refusals are one and take the same work.
//!
//! SigV4 has no defence against a replay within its window; TLS and the short window are what
//! there is. Source: AWS General Reference, "Create a signed AWS API request"; S3 API Reference,
//! "Authenticating Requests: Using the Authorization Header", for streamed bodies.

mod canonical;
mod chunked;
mod claim;
mod error;
mod key;
mod parse;
mod sign;

pub use chunked::{Chunks, Decoded};
pub use claim::{Claim, Payload, Proof};
pub use error::Refusal;
pub use key::{Secret, sha256};
pub use sign::{Signer, signed_headers};

/// The only algorithm.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// What a credential's scope ends in.
const TERMINATOR: &str = "aws4_request";
/// The longest a presigned URL may live: a week.
pub const EXPIRES_S_MAX: i64 = 604_800;
/// How far the caller's clock may be away from ours.
pub const SKEW_S: i64 = 900;

/// A request as it was on the wire.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET`, `POST` …
    pub method: &'a str,
    /// Of the target, before the question mark, percent-encoded as sent.
    pub path: &'a str,
    /// Of the target, behind the question mark, as sent; empty where there is none.
    pub query: &'a str,
    /// Names in any case, values as sent; several of one name in their order.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// How the path enters the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathRule {
    /// Dots and double slashes removed, then encoded once more: every service but S3.
    Normalised,
    /// Encoded once more, not normalised.
    Kept,
    /// As sent: S3, where `a//b` and `a/b` are two objects.
    S3,
}

/// What a door expects of a signature.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Service in the credential's scope, such as `sagemaker`.
    pub service: &'a str,
    /// Region in the credential's scope.
    pub region: &'a str,
    /// Seconds since 1970.
    pub now_s: i64,
    /// How the path is signed.
    pub path: PathRule,
    /// Whether nobody between the caller and here can change the body: `UNSIGNED-PAYLOAD` is
    /// refused elsewhere.
    pub private: bool,
    /// Beginnings of header names, in lower case, that must be signed where they are present.
    pub must_sign: &'a [&'a str],
    /// Whether the session token may be added after signing, as a few services have it.
    pub token_unsigned: bool,
}

impl<'a> Rules<'a> {
    /// The rules of SageMaker's runtime, over plain HTTP.
    pub fn sagemaker(region: &'a str, now_s: i64) -> Rules<'a> {
        Rules {
            service: "sagemaker",
            region,
            now_s,
            path: PathRule::Normalised,
            private: false,
            must_sign: &["x-amz-", "x-amzn-sagemaker-"],
            token_unsigned: false,
        }
    }
}

/// Whether a request bears a signature of this kind, good or not.
pub fn is_signed(request: &Request<'_>) -> bool {
    let mut headers = request.headers.iter();
    let in_header = headers.any(|(name, value)| {
        name.eq_ignore_ascii_case("authorization") && value.starts_with(b"AWS4-")
    });
    in_header || parse::is_presigned(request)
}

/// Reads and verifies in one call; `secret` finds the secret of an access key.
///
/// # Errors
/// [`Refusal`]: why the caller is nobody.
pub fn verify<'a, 's>(
    request: &Request<'a>,
    rules: &Rules<'_>,
    body_sha256: &[u8; 32],
    secret: impl FnOnce(&str) -> Option<&'s Secret>,
) -> Result<Proof, Refusal> {
    let claim = Claim::read(request, rules)?;
    let secret = secret(claim.access_key());
    claim.verify(request, rules, secret, body_sha256)
}
