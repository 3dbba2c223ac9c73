//! A signature's claim: read by anybody, proved with the secret.

use super::error::{Refusal, incomplete};
use super::key::{Secret, SigningKey, hexed, same, sha256};
use super::parse::{self, Parts, digest, header};
use super::{ALGORITHM, Chunks, Request, Rules, SKEW_S, TERMINATOR, canonical};
use crate::iam::time;
use crate::spec::problem::shortened;

/// What the signature says of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// Its SHA-256 is part of what was signed.
    Whole,
    /// The same, and a header says which it is: the body can be refused before it is used.
    Declared([u8; 32]),
    /// Nothing.
    Unsigned,
    /// It comes in chunks, each signed after the one before.
    Chunked {
        /// Whether headers follow the last chunk, signed too.
        trailer: bool,
    },
}

const STREAMING: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const STREAMING_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Who a request says it is from, its form found good and its time and scope ours.
#[derive(Debug)]
pub struct Claim<'a> {
    parts: Parts<'a>,
    payload: Payload,
    /// `x-amz-content-sha256` as sent.
    content: Option<&'a str>,
}

/// A signature that was found right. Made only by [`Claim::verify`].
#[derive(Debug)]
pub struct Proof {
    access_key: String,
    payload: Payload,
    chunks: Option<Chunks>,
}

impl Proof {
    /// Whose it is.
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// What was signed of the body.
    pub fn payload(&self) -> Payload {
        self.payload
    }

    /// What reads a body that is signed in chunks.
    pub fn into_chunks(self) -> Option<Chunks> {
        self.chunks
    }
}

impl<'a> Claim<'a> {
    /// Reads a request's signature.
    ///
    /// # Errors
    /// [`Refusal`] unless its form is right, its time now, its scope this service's, and all that
    /// `rules` says must be signed is named as signed.
    pub fn read(request: &Request<'a>, rules: &Rules<'_>) -> Result<Claim<'a>, Refusal> {
        let parts = parse::parts(request)?;
        check_scope(&parts, rules)?;
        check_time(&parts, rules.now_s)?;
        check_signed(&parts, request, rules)?;
        let content = header(request, "x-amz-content-sha256")?;
        let payload = payload(content, &parts, rules)?;
        Ok(Claim { parts, payload, content })
    }

    /// The access key that is claimed.
    pub fn access_key(&self) -> &str {
        &self.parts.access_key
    }

    /// The session token that came with it. It must be the key's: that is checked by who knows
    /// keys.
    pub fn token(&self) -> Option<&str> {
        self.parts.token.as_deref()
    }

    /// What the signature covers of the body.
    pub fn payload(&self) -> Payload {
        self.payload
    }

    /// Whether it stands in the URL.
    pub fn is_presigned(&self) -> bool {
        self.parts.expires_s.is_some()
    }

    /// Proves the signature with the secret of [`Claim::access_key`], or refuses it after the same
    /// work where there is none. `body_sha256` is that of the bytes that came; it is not looked at
    /// where the body is unsigned or in chunks.
    ///
    /// # Errors
    /// [`Refusal::Mismatch`]; [`Refusal::Body`] when only the body is another.
    pub fn verify(
        &self,
        request: &Request<'_>,
        rules: &Rules<'_>,
        secret: Option<&Secret>,
        body_sha256: &[u8; 32],
    ) -> Result<Proof, Refusal> {
        let Parts { day, region, service, date, .. } = &self.parts;
        let computed;
        let payload = match (self.content, self.payload) {
            (Some(content), _) => content.as_bytes(),
            (None, Payload::Unsigned) => UNSIGNED.as_bytes(),
            (None, _) => {
                computed = hexed(body_sha256);
                &computed
            }
        };
        let leave_out = |name: &[u8]| {
            name == b"X-Amz-Signature" || (rules.token_unsigned && name == b"X-Amz-Security-Token")
        };
        let canonical =
            canonical::request(request, rules.path, &self.parts.signed, leave_out, payload);
        let canonical = canonical.ok_or_else(|| incomplete("a signed header is not there"))?;
        let scope = format!("{day}/{region}/{service}/{TERMINATOR}");
        let key = SigningKey::derive(secret, day, region, service);
        let digest = hexed(&sha256(&canonical));
        let expected = key.sign(&[
            ALGORITHM.as_bytes(),
            b"\n",
            date.as_bytes(),
            b"\n",
            scope.as_bytes(),
            b"\n",
            &digest,
        ]);
        // Both are looked at, whatever the other says.
        if !(same(&expected, &self.parts.signature) & secret.is_some()) {
            return Err(Refusal::Mismatch);
        }
        if let Payload::Declared(declared) = self.payload
            && !same(&declared, body_sha256)
        {
            return Err(Refusal::Body);
        }
        let chunks = match self.payload {
            Payload::Chunked { trailer } => {
                Some(Chunks::new(key, format!("{date}\n{scope}"), expected, trailer))
            }
            _ => None,
        };
        Ok(Proof { access_key: self.parts.access_key.to_string(), payload: self.payload, chunks })
    }
}

fn check_scope(parts: &Parts<'_>, rules: &Rules<'_>) -> Result<(), Refusal> {
    if parts.service != rules.service {
        let given = shortened(&parts.service);
        return Err(incomplete(format!(
            "the signature is for the service {given:?}, not {:?}",
            rules.service
        )));
    }
    if parts.region != rules.region {
        let given = shortened(&parts.region);
        return Err(incomplete(format!(
            "the signature is for the region {given:?}, not {:?}",
            rules.region
        )));
    }
    match parts.date.get(..8) == Some(&*parts.day) {
        true => Ok(()),
        false => Err(incomplete("the day in Credential is not the day of X-Amz-Date")),
    }
}

fn check_time(parts: &Parts<'_>, now_s: i64) -> Result<(), Refusal> {
    let signed_s = time::basic(&parts.date)
        .ok_or_else(|| incomplete("X-Amz-Date is not a time such as 20150830T123600Z"))?;
    let skewed = || Refusal::Skewed { signed: time::iso(signed_s), now: time::iso(now_s) };
    match parts.expires_s {
        _ if signed_s - now_s > SKEW_S => Err(skewed()),
        None if now_s - signed_s > SKEW_S => Err(skewed()),
        Some(expires_s) if now_s > signed_s + expires_s => {
            Err(Refusal::Expired { at: time::iso(signed_s + expires_s) })
        }
        _ => Ok(()),
    }
}

/// The names are in order, `host` is among them, and so is everything present that must be.
fn check_signed(
    parts: &Parts<'_>,
    request: &Request<'_>,
    rules: &Rules<'_>,
) -> Result<(), Refusal> {
    let names: Vec<&str> = parts.signed.split(';').collect();
    let sorted = names.windows(2).all(|pair| pair[0] < pair[1]);
    let lower = !parts.signed.bytes().any(|byte| byte.is_ascii_uppercase() || byte <= b' ');
    if !sorted || !lower || names.iter().any(|name| name.is_empty()) {
        return Err(incomplete("SignedHeaders are not names in lower case, in order, each once"));
    }
    if names.binary_search(&"host").is_err() {
        return Err(incomplete("SignedHeaders leaves out host"));
    }
    for (name, _) in request.headers {
        let name = name.to_ascii_lowercase();
        let must = rules.must_sign.iter().any(|prefix| name.starts_with(prefix));
        let later = rules.token_unsigned && name == "x-amz-security-token";
        if must && !later && names.binary_search(&name.as_str()).is_err() {
            return Err(incomplete(format!("SignedHeaders leaves out {}", shortened(&name))));
        }
    }
    let there =
        |name: &&str| request.headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name));
    match names.iter().find(|name| !there(name)) {
        Some(name) => {
            Err(incomplete(format!("SignedHeaders names {}, which is not there", shortened(name))))
        }
        None => Ok(()),
    }
}

fn payload(
    content: Option<&str>,
    parts: &Parts<'_>,
    rules: &Rules<'_>,
) -> Result<Payload, Refusal> {
    let unsigned = || match rules.private {
        true => Ok(Payload::Unsigned),
        false => Err(incomplete("UNSIGNED-PAYLOAD is taken over TLS only")),
    };
    match content {
        // A presigned S3 URL does not know its body.
        None if parts.expires_s.is_some() && rules.path == super::PathRule::S3 => unsigned(),
        None => Ok(Payload::Whole),
        Some(UNSIGNED) => unsigned(),
        Some(STREAMING) => Ok(Payload::Chunked { trailer: false }),
        Some(STREAMING_TRAILER) => Ok(Payload::Chunked { trailer: true }),
        Some(text) => digest(text).map(Payload::Declared).map_err(|_| {
            incomplete(format!("X-Amz-Content-Sha256 {:?} is not taken here", shortened(text)))
        }),
    }
}
