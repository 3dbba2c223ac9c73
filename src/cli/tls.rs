//! The options of TLS that `smrt keys serve` and `smrt iam serve` share.

use std::path::PathBuf;

use clap::Args;

use crate::http::TlsFiles;

#[derive(Debug, Args)]
pub(super) struct Tls {
    /// Encrypt, with this certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key", value_hint = clap::ValueHint::FilePath)]
    tls_cert: Option<PathBuf>,

    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", value_hint = clap::ValueHint::FilePath)]
    tls_key: Option<PathBuf>,
}

impl Tls {
    /// How addresses begin that it is served at.
    pub(super) fn scheme(&self) -> &'static str {
        if self.tls_cert.is_some() { "https" } else { "http" }
    }

    /// What was given; clap sees to it that one file has the other.
    pub(super) fn files(&self) -> Option<TlsFiles> {
        let (certificate, key) = (self.tls_cert.clone()?, self.tls_key.clone()?);
        Some(TlsFiles { certificate, key, client_ca: None })
    }
}
