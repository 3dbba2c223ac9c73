//! `[tls]` and `[auth]`: how what is said is kept from others, and who gets in. The files are read
//! when the endpoint starts.

use std::path::{Path, PathBuf};

use super::read::quoted;
use crate::spec::cursor::Cursor;

/// The files of TLS, all PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate and those between it and a root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Roots of callers' certificates; every caller must have one.
    pub client_ca: Option<PathBuf>,
}

/// Who gets in. Default: everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Auth {
    /// A file of bearer tokens, each with the name of whoever holds it.
    pub tokens: Option<PathBuf>,
    /// A state of `smrt iam`: callers sign with its keys, or have its users' names, and do only what
    /// its policies allow.
    pub iam: Option<PathBuf>,
    /// The region that callers sign for, where it is not `us-east-1`.
    pub iam_region: Option<String>,
}

pub(super) fn read_tls(table: &mut Cursor<'_>, base: &Path) -> Option<Tls> {
    let there = (table.has("certificate"), table.has("key"));
    let (certificate, key) = (file(table, "certificate", base), file(table, "key", base));
    table.needs("certificate", there.0, "certificate = \"cert.pem\" below [tls]");
    table.needs("key", there.1, "key = \"key.pem\" below [tls]");
    let client_ca = file(table, "client_ca", base);
    Some(Tls { certificate: certificate?, key: key?, client_ca })
}

pub(super) fn read_auth(table: &mut Cursor<'_>, base: &Path) -> Auth {
    let iam_region = table.parsed("iam_region", |text| {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        match !text.is_empty() && text.len() <= 64 && text.chars().all(fits) {
            true => Ok(text.to_owned()),
            false => {
                let help = Some("write one such as \"eu-west-1\"".into());
                Err((format!("{} is not a region", quoted(text)), help))
            }
        }
    });
    let auth =
        Auth { tokens: file(table, "tokens", base), iam: file(table, "iam", base), iam_region };
    if auth.iam.is_none() && auth.iam_region.is_some() {
        let help = Some("name the state with iam = \"FILE\"".into());
        table.wrong("iam_region", None, "says where for nobody".into(), help);
    }
    auth
}

/// A path, from the folder of the file it stands in.
fn file(table: &mut Cursor<'_>, key: &'static str, base: &Path) -> Option<PathBuf> {
    table.parsed(key, |text| match text.is_empty() {
        true => Err(("a file has no name".into(), Some("write its path".into()))),
        false => Ok(base.join(text)),
    })
}
