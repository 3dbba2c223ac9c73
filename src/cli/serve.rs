//! `smrt serve`: one sealed model, or a folder of them, behind SageMaker's endpoint contract.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tracing::info;

use super::acting::{self, Means, RoleOptions};
use super::events::EventOptions;
use super::iam;
use super::logging::Logging;
use super::open::{KeyOptions, StorageOptions, model, uri};
use super::told::{Owner, Told};
use super::trust::{Trust, TrustOptions};
use super::{Error, Failure, audited, digests, endpoint, output};
use crate::algorithm::{Ask, Selected};
use crate::http::{Limits, TlsFiles};
use crate::iam::door::{DEFAULT_REGION, Door};
use crate::model::Opener;
use crate::serve::{Builder, Library, Many, Server, Variants};
use crate::spec::endpoint::Variant;
use crate::spec::name::JobName;
use crate::spec::role::RoleArn;
use crate::spec::{limit, unit};
use crate::store::Store;

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
  smrt serve --watch-s 30 s3://models/fraud/output/model.tar.gz
  smrt serve endpoint.toml
  smrt serve --tls-cert cert.pem --tls-key key.pem --tokens tokens.txt model.tar.gz
  curl -H 'Content-Type: text/csv' --data '1,2,3' http://127.0.0.1:8080/invocations

Environment:
  SMRT_HOME                    where keys are kept (default: $XDG_DATA_HOME/smrt)
  SAGEMAKER_BIND_TO_PORT       listen on this port of every address, where --listen is not given
  SAGEMAKER_INFERENCE_OUTPUT   fields of each answer of trees and forests, e.g. predicted_label,probability")]
pub(super) struct Options {
    /// The model: a path, or s3://bucket/key; a folder, or s3://bucket/prefix/, for many models; an
    /// endpoint.toml for all that the options below cannot say
    #[arg(value_name = "ARTIFACT", value_hint = clap::ValueHint::FilePath)]
    artifact: String,

    /// Address and port (0 takes any free one), or unix:/path [default: 127.0.0.1:8080]
    #[arg(long, value_name = "PLACE")]
    listen: Option<String>,

    #[command(flatten)]
    access: Access,

    /// Override one key of an endpoint.toml, e.g. endpoint.threads=4; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,

    /// Look every so many seconds for a newer artifact and put it in without losing a request
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    watch_s: Option<u64>,

    /// Threads that read, answer and run small models [default: one per core]
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,

    /// Threads that run larger models and requests [default: one per core]
    #[arg(long, value_name = "COUNT")]
    workers: Option<usize>,

    /// Name in POST /endpoints/NAME/invocations [default: the job's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// What all loaded models may take, where many are served [default: 4GiB]
    #[arg(long, value_name = "BYTES", value_parser = unit::bytes)]
    memory_bytes_max: Option<u64>,

    /// How many models may be loaded, where many are served [default: 1000]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    hot_max: Option<u64>,

    /// A model that is loaded at the start and stays, where many are served; may be given several
    /// times
    #[arg(long, value_name = "NAME")]
    pinned: Vec<String>,

    /// Largest request body that is held, e.g. 25MiB [default: 6MiB]
    #[arg(long, value_name = "BYTES", value_parser = unit::bytes)]
    body_bytes_max: Option<u64>,

    /// Largest one that is answered while it arrives: CSV, JSON Lines or recordio; 0 turns this off
    /// [default: 64GiB]
    #[arg(long, value_name = "BYTES", value_parser = unit::bytes)]
    streamed_bytes_max: Option<u64>,

    /// Seconds a request may take once its body is there [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout_s: Option<u64>,

    /// Milliseconds within which 99 of 100 requests are to be answered: sizes batches, and refuses at
    /// once what would be late
    #[arg(long, value_name = "MS", value_parser = milliseconds)]
    target_p99_ms: Option<Duration>,

    /// Milliseconds that a request may wait for others to share its batch [default: 0]
    #[arg(long, value_name = "MS", value_parser = milliseconds)]
    queue_delay_ms: Option<Duration>,

    /// Seconds that requests under way are given when the server stops [default: 25]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3600))]
    drain_timeout_s: Option<u64>,

    /// Log no line per request
    #[arg(long)]
    no_access_log: bool,

    /// Act with this role and nothing else: it must allow reading the models and opening them
    #[arg(long = "role", value_name = "ARN", requires = "name", value_parser = role_arn)]
    role_arn: Option<RoleArn>,

    #[command(flatten)]
    events: EventOptions,

    #[command(flatten)]
    role: RoleOptions,

    #[command(flatten)]
    storage: StorageOptions,

    #[command(flatten)]
    keys: KeyOptions,

    #[command(flatten)]
    trust: TrustOptions,
}

fn owner(role: Option<&RoleArn>, region: &str) -> Owner {
    Owner {
        region: region.to_owned(),
        account: acting::account(role).to_owned(),
        role: role.map(|role| role.as_str().to_owned()),
    }
}

fn role_arn(text: &str) -> Result<RoleArn, String> {
    RoleArn::parse(text).map_err(|(what, help)| format!("{what}: {}", help.unwrap_or_default()))
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
    #[arg(long, value_name = "REGION", requires = "iam", default_value = DEFAULT_REGION)]
    iam_region: String,

    /// Record every invocation and act in this file, each record chained to the one before
    /// [default: SMRT_AUDIT]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    audit: Option<PathBuf>,

    /// Record this part of the invocations that are answered, e.g. 0.01; refusals always [default: 1]
    #[arg(long, value_name = "PART", value_parser = part)]
    audit_sample: Option<f64>,
}

/// A number from 0 to 1.
fn part(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "write a number from 0 to 1".into())
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
        if let Some(log) = audited::log(self.audit.as_ref())? {
            server = server.audit(log);
        }
        Ok(server)
    }
}

pub(super) fn run(options: &Options, logging: &Logging) -> Result<(), Failure> {
    let ask = ask()?;
    // Before any key is used.
    audited::sampled_log(options.access.audit.as_ref(), options.access.audit_sample)?;
    let _signed_when_dropped = digests::Hourly::begin()?;
    let (server, owner) = match options.is_file() {
        true => options.of_file()?,
        false => (options.of_options()?, options.owner()),
    };
    let server = server.ask(ask).stop_on_signals(true);
    let told = Told::new(owner, options.events.teller()?)?;
    let server = options.access.apply(server)?;
    let running = server.on_change(move |endpoint, change| told.tell(endpoint, change)).start()?;
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

/// A time above nothing and of an hour at most.
fn milliseconds(text: &str) -> Result<Duration, &'static str> {
    let number = text.parse::<f64>().ok().filter(|ms| *ms > 0.0 && *ms <= 3_600_000.0);
    number.map(|ms| Duration::from_secs_f64(ms / 1e3)).ok_or("write milliseconds, e.g. 20 or 2.5")
}

impl Options {
    /// Whether the argument is an endpoint file.
    fn is_file(&self) -> bool {
        let path = Path::new(&self.artifact);
        path.extension().is_some_and(|extension| extension == "toml") && path.is_file()
    }

    /// As an endpoint file says; what it has a key for is set by `--set` and not by an option.
    fn of_file(&self) -> Result<(Builder, Owner), Failure> {
        let given = [
            ("--threads", "endpoint.threads", self.threads.is_some()),
            ("--workers", "endpoint.workers", self.workers.is_some()),
            ("--name", "endpoint.name", self.name.is_some()),
            ("--watch-s", "variants.NAME.watch_s", self.watch_s.is_some()),
            ("--memory-bytes-max", "models.memory_bytes_max", self.memory_bytes_max.is_some()),
            ("--hot-max", "models.hot_max", self.hot_max.is_some()),
            ("--pinned", "models.pinned", !self.pinned.is_empty()),
            ("--body-bytes-max", "endpoint.body_bytes_max", self.body_bytes_max.is_some()),
            (
                "--streamed-bytes-max",
                "endpoint.streamed_bytes_max",
                self.streamed_bytes_max.is_some(),
            ),
            ("--timeout-s", "endpoint.timeout_s", self.timeout_s.is_some()),
            ("--target-p99-ms", "endpoint.target_p99_ms", self.target_p99_ms.is_some()),
            ("--queue-delay-ms", "endpoint.queue_delay_ms", self.queue_delay_ms.is_some()),
            ("--drain-timeout-s", "endpoint.drain_timeout_s", self.drain_timeout_s.is_some()),
            ("--no-access-log", "endpoint.access_log", self.no_access_log),
            ("--role", "endpoint.role", self.role_arn.is_some()),
        ];
        let given = given.into_iter().chain(self.trust.given());
        if let Some((option, key, _)) = given.into_iter().find(|(_, _, given)| *given) {
            let what = format!("{option} stands beside an endpoint file");
            let help = Some(format!("write --set {key}=VALUE, or put it into the file"));
            return Err(Error::Address { what, help }.into());
        }
        let file = endpoint::read(Path::new(&self.artifact), &self.overrides)?;
        let region = file.auth.iam_region.as_deref().unwrap_or(DEFAULT_REGION);
        let owner = owner(file.general.role.as_ref(), region);
        let server = endpoint::server(file, self.role.clone())?;
        let server = match self.given_address() {
            Some(address) => server.listen(address),
            None => server,
        };
        Ok((server, owner))
    }

    /// Whose endpoint it is, as the options say.
    fn owner(&self) -> Owner {
        owner(self.role_arn.as_ref(), &self.access.iam_region)
    }

    /// As the options say.
    fn of_options(&self) -> Result<Builder, Failure> {
        if !self.overrides.is_empty() {
            let what = "--set stands beside an artifact".to_owned();
            let help = Some("it replaces keys of an endpoint.toml; use the options".to_owned());
            return Err(Error::Address { what, help }.into());
        }
        let seconds = |given: Option<u64>, default| Duration::from_secs(given.unwrap_or(default));
        let limits = Limits {
            body_bytes_max: self.body_bytes_max.map_or(limit::BODY_BYTES_MAX, |bytes| {
                usize::try_from(bytes).unwrap_or(usize::MAX)
            }),
            streamed_bytes_max: self.streamed_bytes_max.unwrap_or(limit::STREAMED_BYTES_MAX),
            drain_timeout: seconds(self.drain_timeout_s, limit::DRAIN_TIMEOUT_S),
            ..Limits::default()
        };
        let mut server = self.server()?;
        if let Some(time) = self.target_p99_ms {
            server = server.target_p99(time);
        }
        let server = server
            .queue_delay(self.queue_delay_ms.unwrap_or_default())
            .listen(self.given_address().unwrap_or_else(|| "127.0.0.1:8080".into()))
            .threads(self.threads.unwrap_or(0))
            .workers(self.workers.unwrap_or(0))
            .limits(limits)
            .invocation_timeout(seconds(self.timeout_s, limit::INVOCATION_TIMEOUT_S))
            .access_log(!self.no_access_log);
        Ok(match &self.name {
            Some(name) => server.name(name),
            None => server,
        })
    }

    /// One model, watched or not, or many.
    fn server(&self) -> Result<Builder, Failure> {
        let Means { store, keys } =
            self.role.clone().or_state(self.access.iam.as_ref()).of_endpoint(
                self.role_arn.as_ref(),
                self.name.as_deref().unwrap_or_default(),
                &self.keys.added_to(self.storage.storage()),
                &self.access.iam_region,
            )?;
        let place = uri(&self.artifact)?;
        let many = match place.local_path() {
            Some(path) => path.is_dir(),
            None => self.artifact.ends_with('/'),
        };
        let trust = self.trust.trust(&store)?;
        if many && trust.digest.is_some() {
            let what = "--digest and --job-record are about one artifact".to_owned();
            let help =
                "write an endpoint.toml with [models.digests], NAME = \"sha256:…\"".to_owned();
            return Err(Error::Address { what, help: Some(help) }.into());
        }
        let library = |store: Store, trust: Trust| {
            let opener = Opener::new(keys.clone()).trusting(&trust.keys);
            Library::new(store, opener).pinning(&place, trust.digest)
        };
        if many {
            let hot_max = self.hot_max.and_then(|count| usize::try_from(count).ok());
            return Ok(Server::many(Many {
                library: library(store, trust),
                place,
                memory_bytes_max: self.memory_bytes_max.unwrap_or(limit::MODELS_MEMORY_BYTES_MAX),
                hot_max: hot_max.unwrap_or(limit::MODELS_HOT_MAX),
                pinned: self.pinned.clone(),
                watch: self.watch_s.map(Duration::from_secs),
            }));
        }
        let Some(watch_s) = self.watch_s else {
            return Ok(Server::builder(model(&self.artifact, &store, keys, trust)?));
        };
        let library = library(store, trust);
        let only = Variant {
            name: JobName::parse("AllTraffic").expect("letters"),
            model: place,
            weight: 1.0,
            watch: Some(Duration::from_secs(watch_s)),
            digest: None,
            job_record: None,
        };
        Ok(Server::variants(Variants {
            library,
            production: vec![only],
            shadow: None,
            rollout: None,
            admin: None,
        }))
    }

    /// `--listen`, else what SageMaker's hosting says.
    fn given_address(&self) -> Option<String> {
        let port = std::env::var("SAGEMAKER_BIND_TO_PORT").ok().filter(|port| !port.is_empty());
        self.listen.clone().or_else(|| port.map(|port| format!("0.0.0.0:{port}")))
    }
}
