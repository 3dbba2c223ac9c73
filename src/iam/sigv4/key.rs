//! The secret and what is made from it.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::TERMINATOR;

/// A secret access key. Has no text form and is overwritten when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

/// The secret of nobody: what a signature of an unknown key is compared against, so that it takes
/// the same work as a known one. As long as AWS's are; a signature made with it is never accepted.
static NOBODY: &str = "nobody/nobody/nobody/nobody/nobody/nobod";

impl Secret {
    /// Takes a secret into keeping.
    pub fn new(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }

    /// The text, for the one place that shows or stores it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Lower-case hexadecimal digits.
pub(super) fn hexed(bytes: &[u8; 32]) -> [u8; 64] {
    let mut text = [0; 64];
    hex::encode_to_slice(bytes, &mut text).expect("two digits for each byte");
    text
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The key of one day, region and service. Wiped when dropped.
pub(super) struct SigningKey([u8; 32]);

impl SigningKey {
    /// Derives it from a secret, or from nobody's.
    pub(super) fn derive(
        secret: Option<&Secret>,
        day: &str,
        region: &str,
        service: &str,
    ) -> SigningKey {
        let text = secret.map_or(NOBODY, Secret::expose);
        let mut first = Zeroizing::new(Vec::with_capacity(4 + text.len()));
        first.extend_from_slice(b"AWS4");
        first.extend_from_slice(text.as_bytes());
        let mut key = mac(&first, &[day.as_bytes()]);
        for part in [region, service, TERMINATOR] {
            let next = mac(&key, &[part.as_bytes()]);
            key.zeroize();
            key = next;
        }
        SigningKey(key)
    }

    /// The signature over a string to sign that comes in parts.
    pub(super) fn sign(&self, parts: &[&[u8]]) -> [u8; 32] {
        mac(&self.0, parts)
    }
}

impl Drop for SigningKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(signing key)")
    }
}

/// Whether two byte strings are equal, in a time that tells nothing about where they differ.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    bool::from(one.ct_eq(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_day_is_the_one_in_aws_documentation() {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into());
        let key = SigningKey::derive(Some(&secret), "20150830", "us-east-1", "iam");
        let known = "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9";
        assert_eq!(hex::encode(key.0), known);
        assert_eq!(format!("{secret:?} {key:?}"), "(secret) (signing key)");
    }
}
