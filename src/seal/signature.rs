//! The footer of suite 0578: an ECDSA P-384 signature over the whole message. Only checked, never
//! made: its key is drawn for each message, so it does not say who signed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p384::ecdsa::signature::hazmat::PrehashVerifier;
use p384::ecdsa::{DerSignature, VerifyingKey};
use sha2::{Digest, Sha384};

use super::context::{Context, PUBLIC_KEY};
use super::error::Error;
use super::header::{Parsed, Suite};

/// Bytes a DER signature over P-384 takes at most (two 49-byte integers and their frames).
pub(super) const SIGNATURE_BYTES_MAX: usize = 104;

/// Hashes a message as it goes by, and checks the signature at its end.
pub(super) struct Verifier {
    key: VerifyingKey,
    hash: Sha384,
}

impl Verifier {
    /// The verifier a header asks for; nothing for suite 0478.
    ///
    /// # Errors
    /// [`Error::Header`] when the public key is missing, not one, or there without the suite.
    pub(super) fn for_header(read: &Parsed) -> Result<Option<Verifier>, Error> {
        let wrong = |what: &str| Err(Error::Header { what: what.into(), at: 37 });
        match (read.header.suite, read.header.context.get(PUBLIC_KEY)) {
            (Suite::Committing, None) => Ok(None),
            (Suite::Committing, Some(_)) => wrong("a signing key without a signature"),
            (Suite::CommittingSigned, None) => wrong("no key for the signature"),
            (Suite::CommittingSigned, Some(_)) => match public_key(&read.header.context) {
                None => wrong("the key for the signature is not a point of P-384"),
                Some(key) => {
                    let hash = Sha384::new_with_prefix(&read.body).chain_update(read.tag);
                    Ok(Some(Verifier { key, hash }))
                }
            },
        }
    }

    /// Takes in the next bytes of the message.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
    }

    /// Checks the DER signature over all that was taken in.
    ///
    /// # Errors
    /// [`Error::Tampered`].
    pub(super) fn verify(self, signature: &[u8]) -> Result<(), Error> {
        let wrong = || Error::tampered("the signed content");
        let signature = DerSignature::from_bytes(signature).map_err(|_| wrong())?;
        self.key.verify_prehash(&self.hash.finalize(), &signature).map_err(|_| wrong())
    }
}

fn public_key(context: &Context) -> Option<VerifyingKey> {
    let point = STANDARD.decode(context.get(PUBLIC_KEY)?).ok()?;
    VerifyingKey::from_sec1_bytes(&point).ok()
}
