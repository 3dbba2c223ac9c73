//! A key pair that vouches for what it signs: Ed25519 (RFC 8032), for digests of the audit log.

use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::error::Error;

/// Signs.
pub struct Notary(Ed25519KeyPair);

impl Notary {
    /// A fresh private key, as PKCS #8.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn generate() -> Result<Zeroizing<Vec<u8>>, Error> {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| Error::Random { why: "no key could be made".into() })?;
        Ok(Zeroizing::new(made.as_ref().to_vec()))
    }

    /// Reads a private key.
    ///
    /// # Errors
    /// [`Error::Settings`] when it is not one.
    pub fn of(pkcs8: &[u8]) -> Result<Notary, Error> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8)
            .map_err(|_| Error::Settings { what: "this is not a signing key".into() })?;
        Ok(Notary(pair))
    }

    /// The public key, 32 bytes.
    pub fn public(&self) -> Vec<u8> {
        self.0.public_key().as_ref().to_vec()
    }

    /// A signature, 64 bytes.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

/// Whether `signature` is the key's own over `message`.
pub fn vouched(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
}
