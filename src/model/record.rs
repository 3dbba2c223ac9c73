//! `job.json`: which artifact a job made, by the SHA-256 of its stored bytes.
//!
//! An artifact that is valid in itself may be an older one, put back in place by whoever writes the
//! store. What it should be stands here: an in-toto statement about the stored bytes, in a signed
//! envelope where the job signs. Kept where the store's writer cannot reach it, or signed and
//! compared by its time, it makes a roll-back noticed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Error;
use crate::sign::{self, Envelope, PrivateKey, PublicKey};

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://smrt.dev/job-record/v1";

/// What a finished job leaves beside its artifact's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The job's name.
    pub job: String,
    /// Its algorithm.
    pub algorithm: String,
    /// Where the artifact was put.
    pub artifact: String,
    /// SHA-256 of its stored bytes, lower-case hex.
    #[serde(skip, default)]
    pub sha256: String,
    /// Its size as stored.
    pub bytes: u64,
    /// The key that it is sealed under.
    pub key: Option<String>,
    /// When, in seconds since 1970.
    pub finished_s: u64,
}

#[derive(Serialize, Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: JobRecord,
}

#[derive(Serialize, Deserialize)]
struct Subject {
    name: String,
    digest: BTreeMap<String, String>,
}

impl JobRecord {
    /// As it is stored, signed by `key` where there is one.
    pub fn bytes(&self, key: Option<&PrivateKey>) -> Vec<u8> {
        let statement = Statement {
            kind: STATEMENT.into(),
            subject: vec![Subject {
                name: super::FILE.into(),
                digest: BTreeMap::from([("sha256".into(), self.sha256.clone())]),
            }],
            predicate_type: PREDICATE.into(),
            predicate: self.clone(),
        };
        let mut bytes = serde_json::to_vec_pretty(&statement).expect("text always serialises");
        bytes.push(b'\n');
        match key {
            Some(key) => Envelope::sign(&bytes, key).bytes(),
            None => bytes,
        }
    }

    /// Reads a record; with any key `trusted`, only one that is signed by one of them. `place`
    /// names it in messages.
    ///
    /// # Errors
    /// [`Error::Record`], [`Error::Signature`].
    pub fn read(bytes: &[u8], place: &str, trusted: &[PublicKey]) -> Result<JobRecord, Error> {
        let wrong = |what: String| Error::Record { place: place.to_owned(), what };
        let refused = |source| Error::Signature { place: place.to_owned(), source };
        let payload = match (Envelope::read(bytes), trusted) {
            (Ok(envelope), []) => envelope.payload().map_err(refused)?,
            (Ok(envelope), trusted) => envelope.open(trusted).map_err(refused)?.0,
            (Err(_), []) => bytes.to_vec(),
            (Err(_), _) => return Err(refused(sign::Error::Unsigned)),
        };
        let statement: Statement = serde_json::from_slice(&payload)
            .map_err(|error| wrong(format!("this is no record of a job ({error})")))?;
        let Statement { kind, subject, predicate_type, predicate } = statement;
        if kind != STATEMENT || predicate_type != PREDICATE {
            return Err(wrong(format!(
                "it is a statement of another kind ({predicate_type:.80?})"
            )));
        }
        let named = subject.first().and_then(|subject| subject.digest.get("sha256"));
        let sha256 = named
            .and_then(|text| digest_of(text).ok())
            .ok_or_else(|| wrong("it names no SHA-256".into()))?;
        Ok(JobRecord { sha256, ..predicate })
    }
}

/// A SHA-256 as people write it, `sha256:` and 64 digits or the digits alone: lower-case hex.
///
/// # Errors
/// A sentence saying how to write it.
pub fn digest_of(text: &str) -> Result<String, &'static str> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
    match digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(digits),
        false => Err("write \"sha256:\" and 64 hexadecimal digits, as `smrt inspect` shows them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::Curve;

    fn record() -> JobRecord {
        JobRecord {
            job: "churn".into(),
            algorithm: "mlp".into(),
            artifact: "s3://models/churn/output/model.tar.gz".into(),
            sha256: "ab".repeat(32),
            bytes: 7,
            key: None,
            finished_s: 1_700_000_000,
        }
    }

    #[test]
    fn a_record_comes_back_and_a_signed_one_only_from_its_signer() {
        let (key, other) = (
            PrivateKey::generate(Curve::P256).unwrap(),
            PrivateKey::generate(Curve::P256).unwrap(),
        );
        let (plain, signed) = (record().bytes(None), record().bytes(Some(&key)));
        assert_eq!(JobRecord::read(&plain, "x", &[]).unwrap(), record());
        assert_eq!(JobRecord::read(&signed, "x", &[]).unwrap(), record());
        assert_eq!(JobRecord::read(&signed, "x", &[key.public()]).unwrap(), record());
        assert!(JobRecord::read(&plain, "x", &[key.public()]).is_err());
        assert!(JobRecord::read(&signed, "x", &[other.public()]).is_err());
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let text = String::from_utf8(record().bytes(None)).unwrap();
        for bytes in [
            String::new(),
            "{}".into(),
            text.replace("job-record", "other"),
            text.replace(&"ab".repeat(32), "ab"),
            text.replace("sha256", "sha512"),
        ] {
            assert!(JobRecord::read(bytes.as_bytes(), "x", &[]).is_err(), "{bytes}");
        }
        assert_eq!(digest_of(&format!("sha256:{}", "AB".repeat(32))).unwrap(), "ab".repeat(32));
        assert!(digest_of("sha256:zz").is_err());
    }
}
