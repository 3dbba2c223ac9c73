//! A statement in its envelope: DSSE inside a Sigstore bundle v0.3, signed with a key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::key::{PrivateKey, PublicKey};
use crate::spec::limit::SIGNATURE_FILE_BYTES_MAX;

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD: &str = "application/vnd.in-toto+json";

/// A bundle. Nothing in it is proved before [`Envelope::open`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Dsse,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    #[serde(default)]
    public_key: Option<Hint>,
    #[serde(default)]
    tlog_entries: Vec<serde_json::Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Hint {
    #[serde(default)]
    hint: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dsse {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Signature {
    sig: String,
    #[serde(default)]
    keyid: String,
}

/// What is signed: DSSE's pre-authentication encoding.
fn signed_bytes(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {PAYLOAD} {} ", PAYLOAD.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

fn decoded(text: &str) -> Result<Vec<u8>, Error> {
    STANDARD.decode(text).map_err(|_| Error::Unsupported { what: "it is not base64".into() })
}

impl Envelope {
    /// Signs an in-toto statement in JSON.
    pub fn sign(payload: &[u8], key: &PrivateKey) -> Envelope {
        let sig = STANDARD.encode(key.sign(&signed_bytes(payload)));
        Envelope {
            media_type: BUNDLE.to_owned(),
            verification_material: Material {
                public_key: Some(Hint { hint: Some(key.public().fingerprint()) }),
                tlog_entries: Vec::new(),
            },
            dsse_envelope: Dsse {
                payload: STANDARD.encode(payload),
                payload_type: PAYLOAD.to_owned(),
                signatures: vec![Signature { sig, keyid: String::new() }],
            },
        }
    }

    /// As it is stored.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and lists always serialise")
    }

    /// Reads a bundle.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub fn read(bytes: &[u8]) -> Result<Envelope, Error> {
        let wrong = |what: String| Error::Unsupported { what };
        if bytes.len() > SIGNATURE_FILE_BYTES_MAX {
            return Err(wrong(format!("it has more than {SIGNATURE_FILE_BYTES_MAX} bytes")));
        }
        let envelope: Envelope = serde_json::from_slice(bytes).map_err(|error| {
            wrong(format!("it is no Sigstore bundle made with a key ({error})"))
        })?;
        let (of_bundle, of_payload) = (&envelope.media_type, &envelope.dsse_envelope.payload_type);
        if of_bundle != BUNDLE || of_payload != PAYLOAD {
            return Err(wrong(format!("{of_bundle:.80?} with {of_payload:.80?}")));
        }
        match envelope.dsse_envelope.signatures.len() {
            1 => Ok(envelope),
            count => Err(wrong(format!("it has {count} signatures"))),
        }
    }

    /// The fingerprint of the key that it claims to be by; unproved.
    pub fn hint(&self) -> Option<&str> {
        self.verification_material.public_key.as_ref()?.hint.as_deref()
    }

    /// The payload, not proved to be anybody's.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub fn payload(&self) -> Result<Vec<u8>, Error> {
        decoded(&self.dsse_envelope.payload)
    }

    /// The payload, proved to be signed by one of `trusted`, and which one.
    ///
    /// # Errors
    /// [`Error::Stranger`], [`Error::Forged`], [`Error::Unsupported`].
    pub fn open<'k>(&self, trusted: &'k [PublicKey]) -> Result<(Vec<u8>, &'k PublicKey), Error> {
        let payload = self.payload()?;
        let signature = decoded(&self.dsse_envelope.signatures[0].sig)?;
        let claimed = self.hint();
        let mut by: Vec<&PublicKey> = trusted.iter().collect();
        if let Some(hint) = claimed {
            by.retain(|key| key.fingerprint() == hint);
            if by.is_empty() {
                // A stranger wrote this: keep what a fingerprint may hold.
                let hint = hint.chars().filter(char::is_ascii_hexdigit).take(64).collect();
                return Err(Error::Stranger { hint });
            }
        }
        let message = signed_bytes(&payload);
        let signer = by.into_iter().find(|key| key.verifies(&message, &signature));
        signer.map(|key| (payload, key)).ok_or(Error::Forged)
    }
}
