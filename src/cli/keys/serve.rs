//! `smrt keys serve`: AWS KMS's API on this machine.

use std::path::PathBuf;

use clap::Args;
use tracing::info;

use crate::cli::{Failure, output};
use crate::http::TlsFiles;
use crate::kms::{Callers, Server};
use crate::seal::LocalKeys;

#[derive(Debug, Args)]
#[command(after_help = "\
boto3, the AWS CLI and the AWS Encryption SDK use it with
  AWS_ENDPOINT_URL_KMS=http://127.0.0.1:8081, any region, and an access key of yours.

Examples:
  smrt keys serve --credentials callers.ini
  AWS_ACCESS_KEY_ID=me AWS_SECRET_ACCESS_KEY=… smrt keys serve")]
pub(super) struct Options {
    /// Where to listen
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8081")]
    listen: String,

    /// Access keys of who may call, written as ~/.aws/credentials [default: AWS_ACCESS_KEY_ID and
    /// AWS_SECRET_ACCESS_KEY]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    credentials: Option<PathBuf>,

    /// Encrypt, with this certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key", value_hint = clap::ValueHint::FilePath)]
    tls_cert: Option<PathBuf>,

    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", value_hint = clap::ValueHint::FilePath)]
    tls_key: Option<PathBuf>,

    /// Threads that answer [default: one per core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let callers = match &options.credentials {
        Some(path) => Callers::read(path)?,
        None => match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => Callers::new().with(id, secret),
            _ => Callers::new(),
        },
    };
    let count = callers.len();
    let keys = LocalKeys::of_user()?;
    // A store that is locked is found out now, not at the first request.
    let held = keys.list()?.len();
    let mut server = Server::builder(keys)
        .listen(&options.listen)
        .callers(callers)
        .threads(options.threads)
        .stop_on_signals(true);
    let mut scheme = "http";
    if let (Some(certificate), Some(key)) = (&options.tls_cert, &options.tls_key) {
        scheme = "https";
        server = server.tls(TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca: None,
        });
    }
    let running = server.start()?;
    let url = format!("{scheme}://{}", running.address());
    output::write(&format!(
        "serving {held} keys to {count} access keys on {url}; try: \
         AWS_ENDPOINT_URL_KMS={url} aws kms list-keys --region local\n"
    ))?;
    running.wait();
    info!("stopped");
    Ok(())
}
