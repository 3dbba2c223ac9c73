//! `[storage.s3]` and `[storage.kms]`: how to reach `s3://` and a key service elsewhere when the
//! environment does not say.
//!
//! Secrets may stand here, so no message of this file repeats one.

use std::path::Path;

use super::read::quoted;
use super::{Hidden, Kms, S3, Storage};
use crate::spec::cursor::{Cursor, Wrong};

pub(crate) fn read_storage(table: &mut Cursor<'_>, base: &Path) -> Storage {
    let s3 = table.table("s3", "[storage.s3] with keys below it", |table| read_s3(table, base));
    let kms = table.table("kms", "[storage.kms] with keys below it", |table| read_kms(table, base));
    Storage { s3, kms, ..Storage::default() }
}

fn read_s3(table: &mut Cursor<'_>, base: &Path) -> S3 {
    if table.is_empty() {
        return S3::default();
    }
    let Kms {
        endpoint,
        region,
        profile,
        access_key_id,
        secret_access_key,
        session_token,
        ca_bundle,
    } = read_access(table, base);
    let virtual_host = table.boolean("virtual_host").is_some_and(|found| found.value);
    S3 {
        endpoint,
        region,
        profile,
        access_key_id,
        secret_access_key,
        session_token,
        virtual_host,
        ca_bundle,
    }
}

fn read_kms(table: &mut Cursor<'_>, base: &Path) -> Kms {
    match table.is_empty() {
        true => Kms::default(),
        false => read_access(table, base),
    }
}

/// What both have: where the service is, and who asks.
fn read_access(table: &mut Cursor<'_>, base: &Path) -> Kms {
    let endpoint = table.parsed("endpoint", endpoint);
    let region = table.parsed("region", |text| word(text, "a region, e.g. us-east-1"));
    let profile = table.parsed("profile", |text| word(text, "a profile of ~/.aws/credentials"));
    let access_key_id = table.text("access_key_id").map(|found| found.value);
    let secret_access_key = table.secret("secret_access_key").map(|found| Hidden(found.value));
    let session_token = table.secret("session_token").map(|found| Hidden(found.value));
    let ca_bundle = table.text("ca_bundle").map(|found| base.join(found.value));
    check_credentials(
        table,
        [access_key_id.is_some(), secret_access_key.is_some(), session_token.is_some()],
        profile.is_some(),
    );
    Kms { endpoint, region, profile, access_key_id, secret_access_key, session_token, ca_bundle }
}

/// Half a pair of credentials, or two sources of them, is a mistake.
fn check_credentials(table: &mut Cursor<'_>, [id, secret, token]: [bool; 3], profile: bool) {
    let mut wrong = |key: &str, what: &str, help: &str| {
        table.wrong(key, None, what.into(), Some(help.into()));
    };
    match (id, secret) {
        (true, false) => wrong(
            "access_key_id",
            "stands without secret_access_key",
            "give both, or neither: AWS_* variables and profiles work too",
        ),
        (false, true) => wrong(
            "secret_access_key",
            "stands without access_key_id",
            "give both, or neither: AWS_* variables and profiles work too",
        ),
        (false, false) if token => wrong(
            "session_token",
            "stands without access_key_id and secret_access_key",
            "give all three, or none",
        ),
        (true, true) if profile => wrong(
            "profile",
            "stands beside access_key_id: two sources of credentials",
            "keep one of them",
        ),
        _ => {}
    }
}

/// `http://host[:port]`, nothing behind it.
fn endpoint(text: &str) -> Result<String, Wrong> {
    let how = "write http://host:port or https://host, without a bucket or path";
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    let fine =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']' | '_');
    match host {
        Some(host) if !host.is_empty() && host.chars().all(fine) => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        // What stands before an @ is a password.
        _ if text.contains('@') => Err(("is not an endpoint".into(), Some(how.into()))),
        _ => Err((format!("{} is not an endpoint", quoted(text)), Some(how.into()))),
    }
}

fn word(text: &str, what: &str) -> Result<String, Wrong> {
    let fine = !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    fine.then(|| text.to_owned()).ok_or_else(|| (format!("{} is not {what}", quoted(text)), None))
}
