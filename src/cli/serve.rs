//! `smrt serve`: a sealed model behind SageMaker's endpoint contract.

use std::time::Duration;

use clap::Args;
use tracing::info;

use super::logging::Logging;
use super::open::{StorageOptions, model};
use super::{Error, Failure, output};
use crate::algorithm::{Ask, Selected};
use crate::http::Limits;
use crate::serve::Server;
use crate::spec::{limit, unit};

/// Answer predictions over HTTP, as SageMaker's containers do
///
/// Opens the artifact, listens, and answers GET /ping, POST /invocations and GET /metrics. Says in
/// one line what it serves and how to ask it. SIGTERM or Ctrl-C finishes the requests under way and
/// stops.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smrt serve target/models/churn-demo/output/model.tar.gz
  smrt serve --listen 0.0.0.0:8080 s3://models/churn-demo/output/model.tar.gz
  curl -H 'Content-Type: text/csv' --data '1,2,3' http://127.0.0.1:8080/invocations

Environment:
  SMRT_HOME                    where keys are kept (default: $XDG_DATA_HOME/smrt)
  SAGEMAKER_BIND_TO_PORT       listen on this port of every address, where --listen is not given
  SAGEMAKER_INFERENCE_OUTPUT   fields of each answer of trees and forests, e.g. predicted_label,probability")]
pub(super) struct Options {
    /// The model: a path, or s3://bucket/key
    #[arg(value_name = "ARTIFACT", value_hint = clap::ValueHint::FilePath)]
    artifact: String,

    /// Address and port; port 0 takes any free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,

    /// Threads that read, answer and run small models; 0 = one per core
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    threads: usize,

    /// Threads that run larger models and requests; 0 = one per core
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    workers: usize,

    /// Name in POST /endpoints/NAME/invocations [default: the job's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Largest request body, e.g. 25MiB
    #[arg(long, value_name = "BYTES", default_value = "6MiB", value_parser = unit::bytes)]
    body_bytes_max: u64,

    /// Seconds a request may take once its body is there
    #[arg(long, value_name = "SECONDS", default_value_t = limit::INVOCATION_TIMEOUT_S,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout_s: u64,

    /// Seconds that requests under way are given when the server stops
    #[arg(long, value_name = "SECONDS", default_value_t = limit::DRAIN_TIMEOUT_S,
          value_parser = clap::value_parser!(u64).range(0..=3600))]
    drain_timeout_s: u64,

    /// Log no line per request
    #[arg(long)]
    no_access_log: bool,

    #[command(flatten)]
    storage: StorageOptions,
}

pub(super) fn run(options: &Options, logging: &Logging) -> Result<(), Failure> {
    let ask = ask()?;
    let model = model(&options.artifact, &options.storage.store())?;
    let limits = Limits {
        body_bytes_max: usize::try_from(options.body_bytes_max).unwrap_or(usize::MAX),
        drain_timeout: Duration::from_secs(options.drain_timeout_s),
        ..Limits::default()
    };
    let mut server = Server::builder(model)
        .listen(options.address())
        .threads(options.threads)
        .workers(options.workers)
        .limits(limits)
        .invocation_timeout(Duration::from_secs(options.timeout_s))
        .access_log(!options.no_access_log)
        .ask(ask)
        .stop_on_signals(true);
    if let Some(name) = &options.name {
        server = server.name(name);
    }
    let running = server.start()?;
    let greeting = running.greeting();
    match logging.is_json() {
        true => info!(address = %running.address(), "{greeting}"),
        false => output::write(&format!("{greeting}\n"))?,
    }
    running.wait();
    info!("stopped");
    Ok(())
}

/// The fields that SageMaker's variable selects.
fn ask() -> Result<Ask, Failure> {
    let Ok(text) = std::env::var("SAGEMAKER_INFERENCE_OUTPUT") else { return Ok(Ask::default()) };
    let wrong = |(what, help)| Error::Variable { name: "SAGEMAKER_INFERENCE_OUTPUT", what, help };
    let fields = Selected::list(&text).map_err(wrong)?;
    Ok(Ask { fields, ..Ask::default() })
}

impl Options {
    /// `--listen`, else what SageMaker's hosting says, else this machine alone.
    fn address(&self) -> String {
        let port = std::env::var("SAGEMAKER_BIND_TO_PORT").ok().filter(|port| !port.is_empty());
        match (&self.listen, port) {
            (Some(address), _) => address.clone(),
            (None, Some(port)) => format!("0.0.0.0:{port}"),
            (None, None) => "127.0.0.1:8080".into(),
        }
    }
}
