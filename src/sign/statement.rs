//! The statement about a model's files, made and held against them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::envelope::Envelope;
use super::error::Error;
use super::key::{PrivateKey, PublicKey};

/// Where the signature stands among a model's files.
pub const SIGNATURE_FILE: &str = "model.sig";

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://model_signing/signature/v1.0";

/// A model whose every file was signed by a trusted key. Made only by [`verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The name that the signer gave it.
    pub model: String,
    /// SHA-256 over the files' digests, as lower-case hex.
    pub digest: String,
    /// The fingerprint of the key.
    pub signer: String,
}

#[derive(Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Deserialize)]
struct Subject {
    name: String,
    digest: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Predicate {
    serialization: Serialization,
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Serialization {
    method: String,
    hash_type: String,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    algorithm: String,
    digest: String,
}

/// Signs `files`, by name, as the model `name`: the bytes of [`SIGNATURE_FILE`], which is not among
/// them.
pub fn sign<'f>(
    name: &str,
    files: impl IntoIterator<Item = (&'f str, &'f [u8])>,
    key: &PrivateKey,
) -> Vec<u8> {
    let digests: BTreeMap<&str, [u8; 32]> =
        files.into_iter().map(|(name, bytes)| (name, Sha256::digest(bytes).into())).collect();
    let mut root = Sha256::new();
    digests.values().for_each(|digest| root.update(digest));
    let resources: Vec<_> = digests
        .iter()
        .map(|(name, digest)| {
            json!({ "name": name, "algorithm": "sha256", "digest": hex::encode(digest) })
        })
        .collect();
    let statement = json!({
        "_type": STATEMENT,
        "subject": [{ "name": name, "digest": { "sha256": hex::encode(root.finalize()) } }],
        "predicateType": PREDICATE,
        "predicate": {
            "serialization": {
                "method": "files", "hash_type": "sha256", "allow_symlinks": false,
                "ignore_paths": [SIGNATURE_FILE],
            },
            "resources": resources,
        },
    });
    Envelope::sign(statement.to_string().as_bytes(), key).bytes()
}

/// Holds `files` against `signature`, which one of `trusted` must have made: every file is signed,
/// and every signed file is there.
///
/// # Errors
/// Any of [`Error`] but [`Error::Unsigned`] and [`Error::Key`].
pub fn verify<'f>(
    signature: &[u8],
    files: impl IntoIterator<Item = (&'f str, &'f [u8])>,
    trusted: &[PublicKey],
) -> Result<Signed, Error> {
    let (payload, signer) = Envelope::read(signature)?.open(trusted)?;
    let wrong = |what: String| Error::Unsupported { what };
    let statement: Statement =
        serde_json::from_slice(&payload).map_err(|error| wrong(error.to_string()))?;
    let Statement { kind, predicate_type, predicate, .. } = &statement;
    if kind != STATEMENT || predicate_type != PREDICATE {
        return Err(wrong(format!("{kind:.80?} with {predicate_type:.80?}")));
    }
    let Serialization { method, hash_type } = &predicate.serialization;
    if method != "files" || hash_type != "sha256" {
        return Err(wrong(format!("it is over {method:.40?} by {hash_type:.40?}")));
    }
    let [subject] = &statement.subject[..] else {
        return Err(wrong(format!("it is about {} subjects", statement.subject.len())));
    };
    let mut signed = BTreeMap::new();
    let mut root = Sha256::new();
    for Resource { name, algorithm, digest } in &predicate.resources {
        let bytes = hex::decode(digest).ok().filter(|bytes| bytes.len() == 32);
        let Some(bytes) = bytes.filter(|_| algorithm == "sha256") else {
            return Err(wrong(format!("the digest of {name:.80?} is no SHA-256")));
        };
        root.update(&bytes);
        if signed.insert(name.as_str(), bytes).is_some() {
            return Err(wrong(format!("{name:.80?} stands there twice")));
        }
    }
    let root = hex::encode(root.finalize());
    if subject.digest.get("sha256") != Some(&root) {
        return Err(wrong("its digest is not that of its files".into()));
    }
    for (name, bytes) in files {
        match signed.remove(name) {
            None => return Err(Error::Changed { what: format!("{name:?} was not signed") }),
            Some(digest) if Sha256::digest(bytes)[..] != digest => {
                return Err(Error::Changed { what: format!("{name:?} was changed after signing") });
            }
            Some(_) => {}
        }
    }
    if let Some(name) = signed.keys().next() {
        return Err(Error::Changed { what: format!("{name:?} was signed and is not there") });
    }
    let model: String = subject.name.chars().filter(|c| !c.is_control()).take(256).collect();
    Ok(Signed { model, digest: root, signer: signer.fingerprint() })
}

#[cfg(test)]
mod tests {
    use super::super::Curve;
    use super::*;

    const FILES: [(&str, &[u8]); 3] = [("a", b"1"), ("b/c", b"2"), ("manifest.json", b"{}")];

    #[test]
    fn what_was_signed_verifies_and_twice_the_same() {
        for curve in [Curve::P256, Curve::P384] {
            let key = PrivateKey::generate(curve).unwrap();
            let signature = sign("m", FILES, &key);
            assert_eq!(signature, sign("m", FILES, &key));
            let trusted = [key.public()];
            let signed = verify(&signature, FILES, &trusted).unwrap();
            assert_eq!((signed.model.as_str(), signed.signer), ("m", trusted[0].fingerprint()));
            let again = PrivateKey::from_pem(&key.to_pem(), "x").unwrap();
            assert_eq!(again.public(), key.public());
            assert_eq!(PublicKey::from_pem(key.public().to_pem(), "x").unwrap(), key.public());
        }
    }

    #[test]
    fn a_changed_added_renamed_or_missing_file_is_refused() {
        let key = PrivateKey::generate(Curve::P256).unwrap();
        let signature = sign("m", FILES, &key);
        let trusted = [key.public()];
        let [a, b, c] = FILES;
        for files in [
            vec![a, b],
            vec![a, b, c, ("d", b"")],
            vec![("a", b"2".as_slice()), b, c],
            vec![("A", b"1".as_slice()), b, c],
            vec![("a", b.1), ("b/c", a.1), c],
            vec![],
        ] {
            let error = verify(&signature, files.clone(), &trusted).unwrap_err();
            assert!(matches!(error, Error::Changed { .. }), "{files:?}: {error}");
        }
    }

    #[test]
    fn another_s_signature_and_every_changed_byte_of_one_are_refused() {
        let key = PrivateKey::generate(Curve::P256).unwrap();
        let other = PrivateKey::generate(Curve::P384).unwrap();
        let signature = sign("m", FILES, &key);
        let error = verify(&signature, FILES, &[other.public()]).unwrap_err();
        assert!(matches!(error, Error::Stranger { .. }), "{error}");
        assert!(verify(&signature, FILES, &[]).is_err());
        let trusted = [key.public(), other.public()];
        let said = verify(&signature, FILES, &trusted).unwrap();
        let mut refused = 0;
        for at in 0..signature.len() {
            let mut changed = signature.clone();
            changed[at] ^= 1;
            // A name that nobody reads, or the hint at a key gone, changes nothing that was signed.
            match verify(&changed, FILES, &trusted) {
                Ok(still) => assert_eq!(still, said, "byte {at}"),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > signature.len() / 2, "{refused} of {}", signature.len());
        // A claim to be the other key's.
        let text = String::from_utf8(signature).unwrap();
        let claimed = text.replace(&key.public().fingerprint(), &other.public().fingerprint());
        let error = verify(claimed.as_bytes(), FILES, &trusted).unwrap_err();
        assert!(matches!(error, Error::Forged), "{error}");
    }

    #[test]
    fn statements_of_other_kinds_are_refused_by_name() {
        let key = PrivateKey::generate(Curve::P256).unwrap();
        let trusted = [key.public()];
        let said = |payload: &str| {
            let envelope = Envelope::sign(payload.as_bytes(), &key).bytes();
            verify(&envelope, FILES, &trusted).unwrap_err().to_string()
        };
        assert!(said("{").contains("cannot be read"));
        let slsa = r#"{"_type": "https://in-toto.io/Statement/v1", "subject": [],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {"serialization": {"method": "files", "hash_type": "sha256"}, "resources": []}}"#;
        assert!(said(slsa).contains("slsa.dev"), "{}", said(slsa));
        let shards =
            slsa.replace("https://slsa.dev/provenance/v1", PREDICATE).replace("files", "shards");
        assert!(said(&shards).contains("shards"));
        for bytes in [&b""[..], b"{}", b"[]", &[b'['; 200_000]] {
            assert!(Envelope::read(bytes).is_err());
        }
    }
}
