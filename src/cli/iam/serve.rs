//! `smrt iam serve`: AWS STS's API on this machine.

use std::path::PathBuf;

use clap::Args;
use tracing::info;

use super::state;
use crate::cli::tls::Tls;
use crate::cli::{Failure, audited, digests, output};
use crate::iam::door::DEFAULT_REGION;
use crate::sts::Server;

/// Answer AWS STS's API: GetCallerIdentity and AssumeRole
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smrt iam serve --audit sts.jsonl
  AWS_ENDPOINT_URL_STS=http://127.0.0.1:8082 aws sts get-caller-identity --region us-east-1")]
pub(super) struct Serve {
    /// Where to listen
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8082")]
    listen: String,

    /// Region that callers sign for
    #[arg(long, value_name = "REGION", default_value = DEFAULT_REGION)]
    iam_region: String,

    #[command(flatten)]
    tls: Tls,

    /// Record every request in this file before it is answered [default: SMRT_AUDIT]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    audit: Option<PathBuf>,
}

pub(super) fn run(options: &Serve, path: Option<&PathBuf>) -> Result<(), Failure> {
    let log = audited::log(options.audit.as_ref())?;
    let _signed_when_dropped = digests::Hourly::begin()?;
    let mut server = Server::builder(state(path)?, &options.iam_region)
        .listen(&options.listen)
        .stop_on_signals(true);
    if let Some(log) = log {
        server = server.audit(log);
    }
    if let Some(files) = options.tls.files() {
        server = server.tls(files);
    }
    let running = server.start()?;
    let url = format!("{}://{}", options.tls.scheme(), running.address());
    output::write(&format!(
        "serving identities on {url}; try: AWS_ENDPOINT_URL_STS={url} aws sts get-caller-identity \
         --region {}\n",
        options.iam_region
    ))?;
    running.wait();
    info!("stopped");
    Ok(())
}
