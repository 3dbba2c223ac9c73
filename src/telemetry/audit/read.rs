//! Reading: the chain is followed from its first line, and the first that does not hold is named.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{BEGINNING, Error};
use crate::spec::limit::AUDIT_LINE_BYTES_MAX;

/// A chain that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// How many records it has.
    pub records: usize,
    /// SHA-256 of the last line, hexadecimal: what to keep in a second place.
    pub head: String,
}

/// A line that was found whole and in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// From 1.
    pub number: usize,
    /// The record.
    pub record: Value,
    /// As written.
    pub text: String,
    /// Its SHA-256.
    pub digest: [u8; 32],
}

/// Where and why the chain does not hold.
pub type Broken = Error;

/// Follows the chain of the log at `path` and gives each line of it.
///
/// # Errors
/// The first line that is no record, or does not follow the one before.
pub fn read(path: &Path, each: impl FnMut(&Line)) -> Result<Chain, Error> {
    let failed = |source| Error::File { path: path.into(), what: "cannot be read", source };
    follow(BufReader::new(File::open(path).map_err(failed)?), path, each)
}

/// The same of any bytes; `path` is what messages call them.
pub(in crate::telemetry) fn follow(
    mut reader: impl BufRead,
    path: &Path,
    mut each: impl FnMut(&Line),
) -> Result<Chain, Error> {
    let failed = |source| Error::File { path: path.into(), what: "cannot be read", source };
    let (mut head, mut number, mut bytes) = (BEGINNING, 0, Vec::new());
    loop {
        bytes.clear();
        let mut bounded = (&mut reader).take(AUDIT_LINE_BYTES_MAX as u64 + 1);
        if bounded.read_until(b'\n', &mut bytes).map_err(failed)? == 0 {
            return Ok(Chain { records: number, head: hex::encode(head) });
        }
        number += 1;
        let broken = |what: String| Error::Broken { path: path.into(), line: number, what };
        let Some(text) = bytes.strip_suffix(b"\n") else {
            return Err(broken("the line does not end: it was cut off or is too long".into()));
        };
        let given = prev(text).map_err(&broken)?;
        if given != head {
            let what = match number {
                1 => "the first record follows another: what stood before it is missing",
                _ => {
                    "the record does not follow the one before: one of them was changed, added, moved or dropped"
                }
            };
            return Err(broken(what.into()));
        }
        head = Sha256::digest(text).into();
        let text = String::from_utf8_lossy(text).into_owned();
        let record = serde_json::from_str(&text).unwrap_or_default();
        each(&Line { number, record, text, digest: head });
    }
}

/// Follows the whole chain; with `expected`, the head kept in a second place, that record must be
/// in it.
///
/// # Errors
/// As [`read`]; and when the end was cut off.
pub fn verify(path: &Path, expected: Option<&str>) -> Result<Chain, Error> {
    let mut seen = false;
    let chain = read(path, |line| {
        seen |= expected.is_some_and(|head| head.eq_ignore_ascii_case(&hex::encode(line.digest)));
    })?;
    match (expected, seen) {
        (Some(head), false) => Err(Error::Broken {
            path: path.into(),
            line: chain.records,
            what: format!(
                "the record {head} is not in it: the end was cut off, or all of it replaced"
            ),
        }),
        _ => Ok(chain),
    }
}

/// What a line says it follows.
pub(super) fn prev(line: &[u8]) -> Result<[u8; 32], String> {
    let record: Value = serde_json::from_slice(line).map_err(|_| "is not a record".to_owned())?;
    let mut digest = [0; 32];
    let text = record.get("prev").and_then(Value::as_str).unwrap_or_default();
    match hex::decode_to_slice(text, &mut digest) {
        Ok(()) => Ok(digest),
        Err(_) => Err("says not what it follows (prev)".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Audit, Record};
    use super::*;

    fn written(folder: &Path, count: usize) -> std::path::PathBuf {
        let path = folder.join("audit.jsonl");
        let audit = Audit::open(&path).unwrap();
        for number in 0..count {
            let request = format!("{number:036}");
            audit.record(&Record {
                time_s: 1_764_000_000 + number as u64,
                source: "sagemaker.amazonaws.com",
                name: "InvokeEndpoint",
                request: &request,
                agent: Some("a\r\n\u{1b}[31m\"}{\u{2028}"),
                principal: Some("arn:aws:iam::000000000000:user/teller"),
                resource: "arn:aws:sagemaker:us-east-1:000000000000:endpoint/fraud",
                ..Record::default()
            });
        }
        drop(audit);
        path
    }

    #[test]
    fn a_log_is_gone_on_with_and_holds_whatever_strangers_write() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), 3);
        let path = written(folder.path(), 2);
        let mut lines = Vec::new();
        let chain = read(&path, |line| lines.push(line.clone())).unwrap();
        assert_eq!((chain.records, lines.len()), (5, 5));
        let record = &lines[4].record;
        assert_eq!(record["eventTime"], "2025-11-24T16:00:01Z");
        assert_eq!(record["userIdentity"]["userName"], "teller");
        assert_eq!(record["userAgent"], "a\r\n\u{1b}[31m\"}{\u{2028}");
        assert_eq!(verify(&path, Some(&chain.head)).unwrap(), chain);
    }

    #[test]
    fn each_way_to_tamper_is_found_at_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), 6);
        let whole = std::fs::read_to_string(&path).unwrap();
        let head = verify(&path, None).unwrap().head;
        let lines: Vec<&str> = whole.lines().collect();
        let joined =
            |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let without = |at: usize| {
            let mut lines = lines.clone();
            lines.remove(at);
            joined(&lines)
        };
        let mut swapped = lines.clone();
        swapped.swap(2, 3);
        let mut doubled = lines.clone();
        doubled.insert(3, lines[2]);
        let edited = whole.replacen("teller", "tellar", 3).replacen("tellar", "teller", 2);
        for (name, text, line) in [
            ("edited", edited, 3),
            ("dropped", without(2), 3),
            ("first dropped", without(0), 1),
            ("moved", joined(&swapped), 3),
            ("doubled", joined(&doubled), 4),
            ("garbage", whole.replacen('{', "[", 1), 1),
        ] {
            std::fs::write(&path, text).unwrap();
            match verify(&path, Some(&head)) {
                Err(Error::Broken { line: at, .. }) => assert_eq!(at, line, "{name}"),
                other => panic!("{name}: {other:?}"),
            }
        }
        // Cutting off the end leaves a chain that holds: only the head kept elsewhere tells.
        std::fs::write(&path, joined(&lines[..5])).unwrap();
        assert!(verify(&path, None).is_ok());
        assert!(matches!(verify(&path, Some(&head)), Err(Error::Broken { line: 5, .. })));
        // So does changing the last line, without it.
        std::fs::write(&path, &whole[..whole.len() - 10]).unwrap();
        assert!(matches!(verify(&path, None), Err(Error::Broken { line: 6, .. })));
    }

    #[test]
    fn what_a_crash_left_half_written_is_cut_off_and_the_chain_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), 3);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 7]).unwrap();
        let path = written(folder.path(), 1);
        assert_eq!(verify(&path, None).unwrap().records, 3);
    }

    #[test]
    fn records_of_many_threads_make_one_chain() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let audit = Audit::open(&path).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..250).for_each(|_| audit.record(&Record::default())));
            }
        });
        assert!(audit.is_open());
        drop(audit);
        assert_eq!(verify(&path, None).unwrap().records, 2_000);
    }
}
