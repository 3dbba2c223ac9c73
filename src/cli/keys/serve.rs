//! `smrt keys serve`: AWS KMS's API on this machine.

use std::path::PathBuf;

use clap::Args;
use tracing::info;

use crate::cli::tls::Tls;
use crate::cli::{Failure, audited, digests, iam, output};
use crate::iam::door::Door;
use crate::kms::{Callers, Server};
use crate::seal::LocalKeys;

#[derive(Debug, Args)]
#[command(after_help = "\
boto3, the AWS CLI and the AWS Encryption SDK use it with
  AWS_ENDPOINT_URL_KMS=http://127.0.0.1:8081, any region, and an access key of yours.

Examples:
  smrt keys serve --credentials callers.ini
  smrt keys serve --iam ~/.local/share/smrt/iam/state --audit keys.jsonl
  AWS_ACCESS_KEY_ID=me AWS_SECRET_ACCESS_KEY=… smrt keys serve")]
pub(super) struct Options {
    /// Where to listen
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8081")]
    listen: String,

    /// Access keys of who may call, written as ~/.aws/credentials [default: AWS_ACCESS_KEY_ID and
    /// AWS_SECRET_ACCESS_KEY]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    credentials: Option<PathBuf>,

    #[command(flatten)]
    tls: Tls,

    /// Let in callers of this state of `smrt iam`, to do what their policies, the keys' policies and
    /// grants allow
    #[arg(long, value_name = "STATE", conflicts_with = "credentials",
          value_hint = clap::ValueHint::FilePath)]
    iam: Option<PathBuf>,

    /// Region that callers of --iam sign for
    #[arg(long, value_name = "REGION", requires = "iam", default_value = "local")]
    iam_region: String,

    /// Record every request in this file before it is answered, and answer none that cannot be
    /// recorded [default: SMRT_AUDIT]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    audit: Option<PathBuf>,

    /// Threads that answer [default: one per core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    audited::log(options.audit.as_ref())?;
    let _signed_when_dropped = digests::Hourly::begin()?;
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let callers = match &options.credentials {
        Some(path) => Callers::read(path)?,
        None if options.iam.is_some() => Callers::new(),
        None => match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => Callers::new().with(id, secret),
            _ => Callers::new(),
        },
    };
    let door = match &options.iam {
        Some(path) => {
            let state = iam::state(Some(path))?;
            Some(Door::of_service(state, "kms", &options.iam_region)?)
        }
        None => None,
    };
    let who = match &door {
        Some(_) => "whom their policies allow".to_owned(),
        None => format!("{} access keys", callers.len()),
    };
    let keys = LocalKeys::of_user()?;
    // A store that is locked is found out now, not at the first request.
    let held = keys.list()?.len();
    let mut server = Server::builder(keys)
        .listen(&options.listen)
        .callers(callers)
        .threads(options.threads)
        .stop_on_signals(true);
    if let Some(door) = door {
        server = server.door(door);
    }
    if let Some(log) = audited::log(options.audit.as_ref())? {
        server = server.audit(log);
    }
    if let Some(files) = options.tls.files() {
        server = server.tls(files);
    }
    let running = server.start()?;
    let url = format!("{}://{}", options.tls.scheme(), running.address());
    output::write(&format!(
        "serving {held} keys to {who} on {url}; try: \
         AWS_ENDPOINT_URL_KMS={url} aws kms list-keys --region local\n"
    ))?;
    running.wait();
    info!("stopped");
    Ok(())
}
