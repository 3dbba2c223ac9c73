//! `[tls]` and `[auth]`: how what is said is kept from others, and who gets in. The files are read
//! when the endpoint starts.

use std::path::{Path, PathBuf};

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
    Auth { tokens: file(table, "tokens", base) }
}

/// A path, from the folder of the file it stands in.
fn file(table: &mut Cursor<'_>, key: &'static str, base: &Path) -> Option<PathBuf> {
    table.parsed(key, |text| match text.is_empty() {
        true => Err(("a file has no name".into(), Some("write its path".into()))),
        false => Ok(base.join(text)),
    })
}
