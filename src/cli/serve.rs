//! `smrt serve`: one sealed model, or a folder of them, behind SageMaker's endpoint contract.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tracing::info;

use super::iam;
use super::logging::Logging;
use super::open::{StorageOptions, keys, model, uri};
use super::{Error, Failure, output};
use crate::algorithm::{Ask, Selected};
use crate::http::{Limits, TlsFiles};
use crate::iam::door::Door;
use crate::model::Opener;
use crate::serve::{Builder, Library, Many, Server};
use crate::spec::{limit, unit};

/// Answer predictions over HTTP, as SageMaker's containers do
///
/// Opens the artifact, listens, and answers GET /ping, POST /invocations and GET /metrics. Given a
/// folder or prefix, serves every artifact below it, each loaded when somebody asks for it by
/// X-Amzn-SageMaker-Target-Model. Says in one line what it serves and how to ask it. SIGTERM or
/// Ctrl-C finishes the requests under way and stops.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smrt serve target/models/churn-demo/output/model.tar.gz
  smrt serve --listen 0.0.0.0:8080 s3://models/churn-demo/output/model.tar.gz
  smrt serve --memory-bytes-max 1GiB s3://models/tenants/
  smrt serve --tls-cert cert.pem --tls-key key.pem --tokens tokens.txt model.tar.gz
  curl -H 'Content-Type: text/csv' --data '1,2,3' http://127.0.0.1:8080/invocations

Environment:
  SMRT_HOME                    where keys are kept (default: $XDG_DATA_HOME/smrt)
  SAGEMAKER_BIND_TO_PORT       listen on this port of every address, where --listen is not given
  SAGEMAKER_INFERENCE_OUTPUT   fields of each answer of a tree model, e.g. predicted_label,probability")]
pub(super) struct Options {
    /// The model: a path, or s3://bucket/key; a folder, or s3://bucket/prefix/, for many models
    #[arg(value_name = "ARTIFACT", value_hint = clap::ValueHint::FilePath)]
    artifact: String,

    /// Address and port (0 takes any free one), or unix:/path [default: 127.0.0.1:8080]
    #[arg(long, value_name = "PLACE")]
    listen: Option<String>,

    #[command(flatten)]
    access: Access,

    /// Threads that read, answer and run small models; 0 = one per core
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    threads: usize,

    /// Threads that run larger models and requests; 0 = one per core
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    workers: usize,

    /// Name in POST /endpoints/NAME/invocations [default: the job's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// What all loaded models may take, where many are served
    #[arg(long, value_name = "BYTES", default_value = "4GiB", value_parser = unit::bytes)]
    memory_bytes_max: u64,

    /// How many models may be loaded, where many are served
    #[arg(long, value_name = "COUNT", default_value_t = limit::MODELS_HOT_MAX)]
    hot_max: usize,

    /// A model that is loaded at the start and stays, where many are served; may be given several
    /// times
    #[arg(long, value_name = "NAME")]
    pinned: Vec<String>,

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

/// Who gets in, and how what they say is kept from others.
#[derive(Debug, Args)]
#[command(next_help_heading = "Access")]
struct Access {
    /// Speak TLS, with this certificate and those between it and a root (PEM); watched for changes
    #[arg(long, value_name = "FILE", requires = "tls_key", value_hint = clap::ValueHint::FilePath)]
    tls_cert: Option<PathBuf>,

    /// The private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", value_hint = clap::ValueHint::FilePath)]
    tls_key: Option<PathBuf>,

    /// Let in only callers with a certificate of these authorities (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", value_hint = clap::ValueHint::FilePath)]
    tls_client_ca: Option<PathBuf>,

    /// Let in only callers with a bearer token of this file: lines of NAME TOKEN, or NAME sha256:DIGEST
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    tokens: Option<PathBuf>,

    /// Let in only callers of this state of `smrt iam`, signed with their access keys as boto3 does, or
    /// named by a token or certificate, and only to do what their policies allow
    #[arg(long, value_name = "STATE", value_hint = clap::ValueHint::FilePath)]
    iam: Option<PathBuf>,

    /// Region that callers sign for, and of the endpoint's ARN
    #[arg(long, value_name = "REGION", requires = "iam", default_value = "us-east-1")]
    iam_region: String,
}

impl Access {
    fn apply(&self, mut server: Builder) -> Result<Builder, Failure> {
        if let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) {
            server = server.tls(TlsFiles {
                certificate: certificate.clone(),
                key: key.clone(),
                client_ca: self.tls_client_ca.clone(),
            });
        }
        if let Some(file) = &self.tokens {
            server = server.tokens(file);
        }
        if let Some(state) = &self.iam {
            let state = iam::state(Some(state))?;
            server = server.door(Door::open(state, &self.iam_region)?);
        }
        Ok(server)
    }
}

pub(super) fn run(options: &Options, logging: &Logging) -> Result<(), Failure> {
    let ask = ask()?;
    let limits = Limits {
        body_bytes_max: usize::try_from(options.body_bytes_max).unwrap_or(usize::MAX),
        drain_timeout: Duration::from_secs(options.drain_timeout_s),
        ..Limits::default()
    };
    let mut server = options
        .server()?
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
    let running = options.access.apply(server)?.start()?;
    let greeting = running.greeting();
    match logging.is_json() {
        true => info!(address = %running.place(), "{greeting}"),
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
    /// One model, or many.
    fn server(&self) -> Result<Builder, Failure> {
        let store = self.storage.store();
        let place = uri(&self.artifact)?;
        let many = match place.local_path() {
            Some(path) => path.is_dir(),
            None => self.artifact.ends_with('/'),
        };
        if !many {
            return Ok(Server::builder(model(&self.artifact, &store)?));
        }
        Ok(Server::many(Many {
            place,
            library: Library::new(store, Opener::new(keys()?)),
            memory_bytes_max: self.memory_bytes_max,
            hot_max: self.hot_max.max(1),
            pinned: self.pinned.clone(),
        }))
    }

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
