//! One digest: what has come to the log since the one before, signed and copied to the second place.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::error::Error;
use crate::seal::Notary;
use crate::spec::limit::{AUDIT_DIGEST_BYTES_MAX, AUDIT_DIGESTS_MAX};
use crate::spec::uri::Uri;
use crate::store::{self, Store};
use crate::telemetry::audit;
use crate::telemetry::date::now_s;

/// A digest file. Names are CloudTrail's; the last four of a log file are ours, since our log is
/// one file that grows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Digest {
    pub(super) aws_account_id: String,
    pub(super) digest_start_time: String,
    pub(super) digest_end_time: String,
    pub(super) digest_s3_object: String,
    pub(super) digest_public_key_fingerprint: String,
    pub(super) digest_signature_algorithm: String,
    pub(super) newest_event_time: Option<String>,
    pub(super) oldest_event_time: Option<String>,
    pub(super) previous_digest_s3_object: Option<String>,
    pub(super) previous_digest_hash_value: Option<String>,
    pub(super) previous_digest_hash_algorithm: Option<String>,
    pub(super) previous_digest_signature: Option<String>,
    pub(super) log_files: Vec<LogFile>,
}

/// What of the log a digest is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LogFile {
    pub(super) s3_object: String,
    pub(super) hash_value: String,
    pub(super) hash_algorithm: String,
    pub(super) newest_event_time: Option<String>,
    pub(super) oldest_event_time: Option<String>,
    /// Records before these.
    pub(super) first_record: usize,
    pub(super) records: usize,
    /// The chain's head behind the last of them.
    pub(super) head: String,
}

/// A digest as it was found, its signature not checked yet.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) signature: String,
    pub(super) digest: Digest,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Where it lies.
    pub uri: Uri,
    /// How many records it vouches for that no digest did before.
    pub records: usize,
}

pub(super) const SUFFIX: &str = ".digest.json";
const ALGORITHM: &str = "Ed25519";

/// Makes the digest of what has come to the log at `log` since the last one below `place`, and
/// copies those records there.
///
/// # Errors
/// When the chain does not hold (nothing is signed then), or a place cannot be used.
pub fn digest(log: &Path, place: &Uri, store: &Store, notary: &Notary) -> Result<Made, Error> {
    let before = found(place, store)?.pop();
    let file = before.as_ref().and_then(|found| found.digest.log_files.first());
    let first_record = file.map_or(0, |file| file.first_record + file.records);
    let (mut hash, mut times) = (Sha256::new(), Vec::new());
    let mut copied = String::from("{\"Records\":[");
    let mut at_first = None;
    let chain = audit::read(log, |line| {
        if line.number == first_record {
            at_first = Some(hex::encode(line.digest));
        }
        if line.number <= first_record {
            return;
        }
        hash.update(line.text.as_bytes());
        hash.update(b"\n");
        copied.push_str(if times.is_empty() { "\n" } else { ",\n" });
        copied.push_str(&line.text);
        let time = line.record.get("eventTime").and_then(Value::as_str).unwrap_or_default();
        times.push(time.to_owned());
    })?;
    copied.push_str("\n]}\n");
    if let Some(file) =
        file.filter(|file| first_record > 0 && at_first.as_ref() != Some(&file.head))
    {
        return Err(Error::Tampered {
            place: format!("{}:{}", log.display(), chain.records.min(first_record)),
            what: format!("it is not the log that the last digest vouched for ({})", file.head),
            help: format!("smrt audit verify --digests {place} says where they part"),
        });
    }
    let now = time_now();
    let number = before.as_ref().map_or(1, |found| number_of(&found.name) + 1);
    let name = format!("{number:06}_{}", now.replace(['-', ':'], ""));
    let logged = LogFile {
        s3_object: format!("{name}.log.json"),
        hash_value: hex::encode(hash.finalize()),
        hash_algorithm: "SHA-256".into(),
        newest_event_time: times.iter().max().cloned(),
        oldest_event_time: times.iter().min().cloned(),
        first_record,
        records: chain.records.saturating_sub(first_record),
        head: chain.head,
    };
    let digest = Digest {
        aws_account_id: "000000000000".into(),
        digest_start_time: match &before {
            Some(found) => found.digest.digest_end_time.clone(),
            None => logged.oldest_event_time.clone().unwrap_or_else(|| now.clone()),
        },
        digest_end_time: now,
        digest_s3_object: format!("{name}{SUFFIX}"),
        digest_public_key_fingerprint: hex::encode(&Sha256::digest(notary.public())[..16]),
        digest_signature_algorithm: ALGORITHM.into(),
        newest_event_time: logged.newest_event_time.clone(),
        oldest_event_time: logged.oldest_event_time.clone(),
        previous_digest_s3_object: before.as_ref().map(|found| format!("{}{SUFFIX}", found.name)),
        previous_digest_hash_value: before.as_ref().map(|found| sha256(&found.bytes)),
        previous_digest_hash_algorithm: before.as_ref().map(|_| "SHA-256".into()),
        previous_digest_signature: before.as_ref().map(|found| found.signature.clone()),
        log_files: vec![logged],
    };
    let bytes = serde_json::to_vec_pretty(&digest).expect("a digest has text keys");
    let signature = hex::encode(notary.sign(signed(&digest, &bytes).as_bytes()));
    // The records first: a digest never vouches for what is not there.
    put(store, &place.join(&format!("{name}.log.json")), copied.as_bytes())?;
    put(store, &place.join(&format!("{name}.digest.sig")), signature.as_bytes())?;
    let uri = place.join(&format!("{name}{SUFFIX}"));
    put(store, &uri, &bytes)?;
    Ok(Made { uri, records: digest.log_files[0].records })
}

/// What is signed: CloudTrail's four lines.
pub(super) fn signed(digest: &Digest, bytes: &[u8]) -> String {
    let previous = digest.previous_digest_signature.as_deref().unwrap_or("null");
    let Digest { digest_end_time, digest_s3_object, .. } = digest;
    format!("{digest_end_time}\n{digest_s3_object}\n{}\n{previous}", sha256(bytes))
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The digests below `place`, oldest first.
pub(super) fn found(place: &Uri, store: &Store) -> Result<Vec<Found>, Error> {
    let listed = match store.list(&place.join("")) {
        Err(store::Error::NotFound { .. } | store::Error::Empty { .. }) => Vec::new(),
        listed => listed?,
    };
    let name_of = |object: &store::Object| {
        let text = object.uri.to_string();
        let name = text.rsplit('/').next()?.strip_suffix(SUFFIX)?.to_owned();
        Some(name)
    };
    let mut names: Vec<String> = listed.iter().filter_map(name_of).collect();
    names.sort();
    // Only the last so many: a year of hours.
    let names = names.split_off(names.len().saturating_sub(AUDIT_DIGESTS_MAX));
    let read = |name: String| -> Result<Found, Error> {
        let uri = place.join(&format!("{name}{SUFFIX}"));
        let bytes = store.read_to_vec(&uri, AUDIT_DIGEST_BYTES_MAX)?;
        let signature =
            store.read_to_vec(&place.join(&format!("{name}.digest.sig")), AUDIT_DIGEST_BYTES_MAX);
        let signature = match signature {
            Ok(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
            Err(store::Error::NotFound { .. }) => String::new(),
            Err(other) => return Err(other.into()),
        };
        let digest = serde_json::from_slice(&bytes).map_err(|why| Error::Tampered {
            place: uri.to_string(),
            what: format!("it is not a digest: {why}"),
            help: "take the copy of another place".into(),
        })?;
        Ok(Found { name, bytes, signature, digest })
    };
    names.into_iter().map(read).collect()
}

pub(super) fn number_of(name: &str) -> u64 {
    name.split('_').next().and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn put(store: &Store, uri: &Uri, bytes: &[u8]) -> Result<(), Error> {
    let mut upload = store.create(uri)?;
    upload.write_all(bytes).map_err(|source| Error::Write { place: uri.to_string(), source })?;
    upload.finish()?;
    Ok(())
}

fn time_now() -> String {
    audit::time(now_s())
}
