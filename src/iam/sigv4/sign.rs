//! The other side: signing, for smrt as a client of signed doors, and for tests of the verifier.

use super::key::{Secret, SigningKey, hexed, sha256};
use super::{ALGORITHM, PathRule, Request, TERMINATOR, canonical};

/// Who signs, for what and when.
#[derive(Debug, Clone, Copy)]
pub struct Signer<'a> {
    /// The access key.
    pub access_key: &'a str,
    /// Its secret.
    pub secret: &'a Secret,
    /// Region of the scope.
    pub region: &'a str,
    /// Service of the scope.
    pub service: &'a str,
    /// `20150830T123600Z`.
    pub date: &'a str,
    /// How the path is signed.
    pub path: PathRule,
}

/// Every header of a request as `SignedHeaders` names them.
pub fn signed_headers(request: &Request<'_>) -> String {
    let mut names: Vec<String> =
        request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort();
    names.dedup();
    names.join(";")
}

impl Signer<'_> {
    /// `KEY/DAY/REGION/SERVICE/aws4_request`.
    pub fn credential(&self) -> String {
        format!("{}/{}", self.access_key, self.scope())
    }

    fn scope(&self) -> String {
        let day = self.date.get(..8).unwrap_or_default();
        format!("{day}/{}/{}/{TERMINATOR}", self.region, self.service)
    }

    /// The signature over `request` as it is, which names `signed` as its headers; `payload` is
    /// the hexadecimal SHA-256 of the body or the word that stands for it. `None` when a signed
    /// header is not there.
    pub fn signature(&self, request: &Request<'_>, signed: &str, payload: &str) -> Option<String> {
        let keep = |_: &[u8]| false;
        let canonical = canonical::request(request, self.path, signed, keep, payload.as_bytes())?;
        let digest = hexed(&sha256(&canonical));
        let day = self.date.get(..8).unwrap_or_default();
        let key = SigningKey::derive(Some(self.secret), day, self.region, self.service);
        let scope = self.scope();
        let head = format!("{ALGORITHM}\n{}\n{scope}\n", self.date);
        Some(hex::encode(key.sign(&[head.as_bytes(), &digest])))
    }

    /// The `Authorization` header of `request`, all headers of which are signed.
    pub fn authorization(&self, request: &Request<'_>, body: &[u8]) -> String {
        let signed = signed_headers(request);
        let payload = hex::encode(sha256(body));
        let signature = self.signature(request, &signed, &payload).unwrap_or_default();
        format!(
            "{ALGORITHM} Credential={}, SignedHeaders={signed}, Signature={signature}",
            self.credential()
        )
    }
}
