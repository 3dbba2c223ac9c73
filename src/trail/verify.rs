//! The whole trail: the log's chain, every digest and its signature, their own chain, and the log
//! against what they vouch for. The first thing that is wrong is named by its line or its file.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::digest::{Found, found, number_of, sha256, signed};
use super::error::Error;
use crate::seal::vouched;
use crate::spec::limit::{AUDIT_DIGESTS_MAX, AUDIT_SEGMENT_BYTES_MAX};
use crate::spec::uri::Uri;
use crate::store::Store;
use crate::telemetry::audit::{self, Chain};

/// A trail that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The log's chain.
    pub chain: Chain,
    /// How many digests vouch for it.
    pub digests: usize,
    /// For how many of its records.
    pub vouched: usize,
}

/// Verifies the log at `log` against the digests below `place`, signed by the key `public`.
///
/// # Errors
/// [`Error::Tampered`] and [`Error::Log`] say where; otherwise what kept it from being read.
pub fn verify(log: &Path, place: &Uri, store: &Store, public: &[u8]) -> Result<Verified, Error> {
    let digests = found(place, store)?;
    check_digests(place, &digests, public)?;
    // Lines are compared where a digest ends; a chain that breaks says itself where.
    let ends = digests.iter().filter_map(|found| found.digest.log_files.first());
    // An hour in which nothing came vouches for nothing.
    let mut ends = ends.filter(|file| file.records > 0);
    let (mut next, mut hash, mut wrong) = (ends.next(), Sha256::new(), None);
    let mut vouched = 0;
    let chain = audit::read(log, |line| {
        let Some(file) = next.filter(|_| wrong.is_none()) else { return };
        if line.number > file.first_record {
            hash.update(line.text.as_bytes());
            hash.update(b"\n");
        }
        if line.number == file.first_record + file.records {
            let given = hex::encode(std::mem::take(&mut hash).finalize());
            if given != file.hash_value || hex::encode(line.digest) != file.head {
                wrong = Some(file.clone());
                return;
            }
            vouched = line.number;
            next = ends.next();
        }
    })?;
    if let Some(file) = wrong {
        let line = differs(log, place, store, &file.s3_object, file.first_record)?;
        return Err(Error::Tampered {
            place: format!("{}:{line}", log.display()),
            what: "it is not the record that was signed: the log was written anew from here".into(),
            help: format!("{} has the record as it was", place.join(&file.s3_object)),
        });
    }
    if let Some(file) = next {
        let all = file.first_record + file.records;
        return Err(Error::Tampered {
            place: format!("{}:{}", log.display(), chain.records),
            what: format!(
                "its end was cut off: {all} records were signed, {} are there",
                chain.records
            ),
            help: format!("{} has the records as they were", place.join(&file.s3_object)),
        });
    }
    Ok(Verified { chain, digests: digests.len(), vouched })
}

fn check_digests(place: &Uri, digests: &[Found], public: &[u8]) -> Result<(), Error> {
    let mut before: Option<&Found> = None;
    for found in digests {
        let wrong = |what: String| {
            Err(Error::Tampered {
                place: place.join(&format!("{}{}", found.name, super::digest::SUFFIX)).to_string(),
                what,
                help: "nothing from this digest on is vouched for".into(),
            })
        };
        let signature = hex::decode(&found.signature).unwrap_or_default();
        let message = signed(&found.digest, &found.bytes);
        if !vouched(public, message.as_bytes(), &signature) {
            return wrong("its signature is not the key's".into());
        }
        if found.digest.digest_s3_object != format!("{}{}", found.name, super::digest::SUFFIX) {
            return wrong("it has another digest's name".into());
        }
        let expected = before.map(|before| sha256(&before.bytes));
        let given = &found.digest.previous_digest_hash_value;
        // Of very many only the newest were read.
        let is_cut = before.is_none() && digests.len() == AUDIT_DIGESTS_MAX;
        let first_is_known = before.is_some() || number_of(&found.name) == 1;
        if first_is_known && *given != expected {
            let missing = found.digest.previous_digest_s3_object.as_deref().unwrap_or("none");
            return wrong(format!("the digest before it ({missing}) is missing or another"));
        }
        if before.is_none() && !first_is_known && !is_cut {
            let missing = found.digest.previous_digest_s3_object.as_deref().unwrap_or("none");
            return wrong(format!("the digest before it ({missing}) is missing"));
        }
        before = Some(found);
    }
    Ok(())
}

/// The first line of the log that differs from the copy of its records.
fn differs(
    log: &Path,
    place: &Uri,
    store: &Store,
    copy: &str,
    first_record: usize,
) -> Result<usize, Error> {
    let bytes = store.read_to_vec(&place.join(copy), AUDIT_SEGMENT_BYTES_MAX)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut records = text.lines().filter(|line| line.starts_with("{\"eventVersion\""));
    let mut at = None;
    audit::read(log, |line| {
        if line.number <= first_record || at.is_some() {
            return;
        }
        let copied = records.next().map(|record| record.strip_suffix(',').unwrap_or(record));
        if copied != Some(line.text.as_str()) {
            at = Some(line.number);
        }
    })?;
    Ok(at.unwrap_or(first_record + 1))
}
