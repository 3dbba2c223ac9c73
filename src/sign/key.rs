//! Keys that sign and verify: ECDSA on P-256 with SHA-256, or on P-384 with SHA-384.
//!
//! Signing is deterministic (RFC 6979): the same model signed twice has the same bytes.

use p256::ecdsa::signature::{Signer, Verifier};
use p256::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding,
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::error::Error;

/// The curves that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// NIST P-256 (`secp256r1`).
    P256,
    /// NIST P-384 (`secp384r1`).
    P384,
}

/// A key that signs. Has no text form but the one that is asked for by name.
pub struct PrivateKey(Private);

enum Private {
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
}

/// A key that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: Public,
    pem: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Public {
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
}

impl PrivateKey {
    /// Draws a key from the operating system's randomness.
    ///
    /// # Errors
    /// [`Error::Key`] when there is none.
    pub fn generate(curve: Curve) -> Result<PrivateKey, Error> {
        let failed = |what: String| Error::Key { place: "a new key".into(), what };
        // A number of the curve's size is one of its keys but for one in 2^32: then another.
        for _ in 0..8 {
            let mut bytes = Zeroizing::new([0; 48]);
            getrandom::fill(&mut bytes[..]).map_err(|error| failed(error.to_string()))?;
            let key = match curve {
                Curve::P256 => p256::ecdsa::SigningKey::from_slice(&bytes[..32]).map(Private::P256),
                Curve::P384 => p384::ecdsa::SigningKey::from_slice(&bytes[..]).map(Private::P384),
            };
            if let Ok(key) = key {
                return Ok(PrivateKey(key));
            }
        }
        Err(failed("the operating system's randomness is none".into()))
    }

    /// Reads a PKCS#8 PEM (`BEGIN PRIVATE KEY`); `place` names it in messages.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn from_pem(pem: &str, place: &str) -> Result<PrivateKey, Error> {
        let p256 = || p256::ecdsa::SigningKey::from_pkcs8_pem(pem).ok().map(Private::P256);
        let p384 = || p384::ecdsa::SigningKey::from_pkcs8_pem(pem).ok().map(Private::P384);
        p256().or_else(p384).map(PrivateKey).ok_or_else(|| Error::Key {
            place: place.to_owned(),
            what: "this is not an unencrypted private key on P-256 or P-384 (PKCS#8, PEM)".into(),
        })
    }

    /// As PKCS#8 PEM, for keeping it.
    pub fn to_pem(&self) -> Zeroizing<String> {
        let pem = match &self.0 {
            Private::P256(key) => key.to_pkcs8_pem(LineEnding::LF),
            Private::P384(key) => key.to_pkcs8_pem(LineEnding::LF),
        };
        pem.expect("a key of its curve has a PKCS#8 form")
    }

    /// The key that verifies what this one signs.
    pub fn public(&self) -> PublicKey {
        PublicKey::new(match &self.0 {
            Private::P256(key) => Public::P256(*key.verifying_key()),
            Private::P384(key) => Public::P384(*key.verifying_key()),
        })
    }

    /// A DER signature over `message`.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.0 {
            Private::P256(key) => {
                let signature: p256::ecdsa::DerSignature = key.sign(message);
                signature.as_bytes().to_vec()
            }
            Private::P384(key) => {
                let signature: p384::ecdsa::DerSignature = key.sign(message);
                signature.as_bytes().to_vec()
            }
        }
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({})", self.public().fingerprint())
    }
}

impl PublicKey {
    fn new(key: Public) -> PublicKey {
        let pem = match &key {
            Public::P256(key) => key.to_public_key_pem(LineEnding::LF),
            Public::P384(key) => key.to_public_key_pem(LineEnding::LF),
        };
        PublicKey { key, pem: pem.expect("a point of its curve has an SPKI form") }
    }

    /// Reads a PEM (`BEGIN PUBLIC KEY`); `place` names it in messages.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn from_pem(pem: &str, place: &str) -> Result<PublicKey, Error> {
        let p256 = || p256::ecdsa::VerifyingKey::from_public_key_pem(pem).ok().map(Public::P256);
        let p384 = || p384::ecdsa::VerifyingKey::from_public_key_pem(pem).ok().map(Public::P384);
        p256().or_else(p384).map(PublicKey::new).ok_or_else(|| Error::Key {
            place: place.to_owned(),
            what: "this is not a public key on P-256 or P-384 (PEM)".into(),
        })
    }

    /// As PEM.
    pub fn to_pem(&self) -> &str {
        &self.pem
    }

    /// SHA-256 of the PEM, as lower-case hex: what a bundle says of its key.
    pub fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(self.pem.as_bytes()))
    }

    /// Whether `signature` (DER) is this key's over `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.key {
            Public::P256(key) => p256::ecdsa::DerSignature::from_bytes(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Public::P384(key) => p384::ecdsa::DerSignature::from_bytes(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
        }
    }
}
