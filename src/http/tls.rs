//! TLS: which files it is made from, and the handshake's terms.
//!
//! TLS 1.2 and 1.3 by rustls, HTTP/2 and HTTP/1.1 by ALPN. With `client_ca` a caller who shows no
//! certificate of it does not get in at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::error::Error;
use super::fresh::Fresh;
use crate::spec::limit::CREDENTIALS_BYTES_MAX;

/// The files of TLS, all PEM. They are watched: a renewed certificate is used for the next
/// connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate and those between it and a root.
    pub certificate: PathBuf,
    /// Its private key, in PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
    /// Roots of callers' certificates; every caller must have one.
    pub client_ca: Option<PathBuf>,
}

impl TlsFiles {
    /// Reads them, and again whenever they change.
    pub(super) fn open(self) -> Result<Fresh<ServerConfig>, Error> {
        let mut paths = vec![self.certificate.clone(), self.key.clone()];
        paths.extend(self.client_ca.clone());
        Fresh::new("tls certificates", paths, move || self.config())
    }

    fn config(&self) -> Result<ServerConfig, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&bytes(&self.key)?).map_err(|_| {
            let help = "give a file with one BEGIN PRIVATE KEY, without a passphrase";
            wrong(&self.key, "holds no private key in PEM", help)
        })?;
        let verifier = match &self.client_ca {
            None => Arc::new(NoClientAuth) as _,
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for root in certificates(path)? {
                    roots.add(root).map_err(|error| {
                        let help = "give the certificates of authorities, in PEM";
                        wrong(path, format!("holds a certificate that is no root: {error}"), help)
                    })?;
                }
                WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
                    .build()
                    .map_err(|error| wrong(path, error.to_string(), "give a root certificate"))?
            }
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&self.certificate, error.to_string(), "this is a bug of smrt"))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|error| {
                let what = format!("and {} do not fit: {error}", self.key.display());
                wrong(&self.certificate, what, "give a certificate and the key it was made with")
            })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // A caller who comes back spares both sides the signatures. New keys with new files: nobody
        // resumes under roots that are no longer trusted.
        if let Ok(ticketer) = rustls::crypto::ring::Ticketer::new() {
            config.ticketer = ticketer;
        }
        Ok(config)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = bytes(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let help = "give PEM: -----BEGIN CERTIFICATE----- …";
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(wrong(path, "holds no certificate", help)),
        Err(error) => Err(wrong(path, format!("is not PEM: {error}"), help)),
    }
}

/// A file's bytes, within bounds.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, Error> {
    let unread =
        |error: std::io::Error| wrong(path, format!("cannot be read: {error}"), "check the path");
    if fs::metadata(path).map_err(unread)?.len() > CREDENTIALS_BYTES_MAX {
        return Err(wrong(path, "is larger than 4 MiB", "give the right file"));
    }
    fs::read(path).map_err(unread)
}

fn wrong(path: &Path, what: impl Into<String>, help: &str) -> Error {
    Error::File { path: path.to_owned(), what: what.into(), help: help.to_owned() }
}
