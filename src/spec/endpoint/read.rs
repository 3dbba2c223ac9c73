//! `endpoint.toml` to [`EndpointFile`], table by table.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::access::{read_auth, read_tls};
use super::listener::read_listener;
use super::models::read_models;
use super::rollout::read_rollout;
use super::variant::{read_shadow, read_variants};
use super::{Admin, EndpointFile, General, Serves};
use crate::spec::Mistakes;
use crate::spec::cursor::{Cursor, Wrong};
use crate::spec::document::{self, Kind};
use crate::spec::limit;
use crate::spec::name::JobName;
use crate::spec::network::{self, Isolation, read_network};
use crate::spec::parameter::RawValue;
use crate::spec::problem::{Problem, Problems, shortened};
use crate::spec::role::RoleArn;
use crate::spec::train::read_storage;
use crate::spec::unit;
use crate::spec::uri::Uri;

impl EndpointFile {
    /// Reads an endpoint file. `file` is its name in messages; paths in it are taken relative to
    /// `base`; each of `overrides` is a `KEY=VALUE` that replaces a key before it is checked.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file.
    pub fn read(
        bytes: &[u8],
        file: &str,
        base: &Path,
        overrides: &[String],
    ) -> Result<EndpointFile, Mistakes> {
        let mut problems = Problems::default();
        let document = document::parse(bytes, overrides, &mut problems);
        let broken: Vec<_> = problems.list.iter().filter_map(|problem| problem.line).collect();
        let syntax_count = problems.list.len();
        let endpoint = read_tables(document.root, document.torn, base, &mut problems);
        // What a broken line still yielded is not worth a second mistake, and a broken table
        // header leaves its keys in another table.
        let first_broken = broken.iter().min().filter(|_| document.torn);
        let is_echo = |problem: &Problem| {
            let Some(line) = problem.line else { return false };
            let displaced = first_broken.is_some_and(|first| line > *first);
            broken.contains(&line) || (displaced && problem.what.starts_with("unknown "))
        };
        let found = problems.list.split_off(syntax_count);
        problems.list.extend(found.into_iter().filter(|problem| !is_echo(problem)));
        let mut mistakes =
            Mistakes { file: file.to_owned(), overridden: document.overridden, problems };
        mistakes.sort();
        match endpoint {
            Some(endpoint) if mistakes.is_empty() => Ok(endpoint),
            _ => Err(mistakes),
        }
    }

    /// Whether a file looks like an endpoint's rather than a job's: `check` asks this.
    pub fn is_meant(bytes: &[u8]) -> bool {
        let root = document::parse(bytes, &[], &mut Problems::default()).root;
        let job = ["job", "channels", "algorithm"].iter().any(|key| root.contains_key(*key));
        let ours = ["endpoint", "variants", "models"].iter().any(|key| root.contains_key(*key));
        ours && !job
    }
}

const TLS: &str = "[tls] with certificate and key below it";

fn read_tables(
    root: document::Table,
    torn: bool,
    base: &Path,
    problems: &mut Problems,
) -> Option<EndpointFile> {
    let mut top = Cursor::new(root, torn, place_of, problems);
    let general = top.table("endpoint", "[endpoint] with name = \"fraud\" below it", |table| {
        read_general(table, base)
    });
    let listener = top.table("listener", "[listener] with keys below it", read_listener);
    // Without a mistake in it, its absence is a choice.
    let tls = match top.has("tls") {
        true => top.table("tls", TLS, |table| Some(read_tls(table, base))),
        false => Some(None),
    };
    let auth = top.table("auth", "[auth] with tokens = \"tokens.txt\" below it", |table| {
        read_auth(table, base)
    });
    let serves = read_serves(&mut top, base);
    let admin = top.table("admin", "[admin] with models = \"s3://…\" below it", |table| Admin {
        models: table.parsed("models", |text| Uri::parse(text, base)),
    });
    let network = top.table("network", network::TABLE, |table| {
        let network = read_network(table);
        if network.isolation == Isolation::Full {
            let what = "an endpoint cannot be isolated in full".to_owned();
            let help =
                "write \"private\" and name the networks in allow; jobs can be isolated in full";
            table.wrong("isolation", None, what, Some(help.to_owned()));
        }
        network
    });
    let mut storage =
        top.table("storage", "[storage.s3] with keys below it", |table| read_storage(table, base));
    storage.network = network.clone();
    top.finish();
    Some(EndpointFile {
        general: general?,
        listener: listener?,
        tls: tls?,
        auth,
        serves: serves?,
        admin,
        storage,
        network,
    })
}

fn read_general(table: &mut Cursor<'_>, base: &Path) -> Option<General> {
    let there = table.has("name");
    let name = table.parsed("name", |text| name(text, "an endpoint's name"));
    table.needs("name", there, "name = \"fraud\" below [endpoint]");
    let role = table.parsed("role", RoleArn::parse);
    let threads = count(table, "threads");
    let workers = count(table, "workers");
    let body = bytes(table, "body_bytes_max", 1, limit::BODY_BYTES_MAX as u64);
    let streamed = bytes(table, "streamed_bytes_max", 0, limit::STREAMED_BYTES_MAX);
    let timeout = seconds(table, "timeout_s", 1..=3600, limit::INVOCATION_TIMEOUT_S);
    let target = milliseconds(table, "target_p99_ms", (0.1, 3_600_000.0));
    let delay = milliseconds(table, "queue_delay_ms", (0.0, 1_000.0));
    if let (Some(target), Some(delay)) = (target, delay)
        && delay >= target
    {
        let what = "requests would wait for others longer than they may take".to_owned();
        let help = "make it less than target_p99_ms, or leave it out: a batch is what waits anyway";
        table.wrong("queue_delay_ms", None, what, Some(help.into()));
    }
    let drain = seconds(table, "drain_timeout_s", 0..=3600, limit::DRAIN_TIMEOUT_S);
    let access_log = table.boolean("access_log").is_none_or(|found| found.value);
    let signers = read_signers(table, base);
    Some(General {
        require_signature: signers,
        name: name?,
        role,
        threads,
        workers,
        body_bytes_max: usize::try_from(body).unwrap_or(usize::MAX),
        streamed_bytes_max: streamed,
        timeout,
        target_p99: target,
        queue_delay: delay.unwrap_or_default(),
        drain_timeout: drain,
        access_log,
    })
}

/// An empty list would require nothing, and look as if it did.
fn read_signers(table: &mut Cursor<'_>, base: &Path) -> Vec<PathBuf> {
    let key = "require_signature";
    let Some(found) = table.texts(key) else { return Vec::new() };
    if found.value.is_empty() || found.value.len() > limit::SIGNERS_MAX {
        let what = format!("{} public keys", found.value.len());
        let help = format!("name 1 to {} PEM files, or leave it out", limit::SIGNERS_MAX);
        table.wrong(key, found.line, what, Some(help));
    }
    found.value.iter().map(|path| base.join(path)).collect()
}

/// Either variants of one model, or many models.
fn read_serves(top: &mut Cursor<'_>, base: &Path) -> Option<Serves> {
    let of_variants = ["variants", "shadow", "rollout"].iter().any(|key| top.has(key));
    if top.has("models") {
        let models = top.table("models", "[models] with uri = \"…\" below it", |table| {
            read_models(table, base)
        });
        if of_variants {
            let help = "serve many models, or variants of one: remove either";
            top.wrong("models", None, "stands beside variants".into(), Some(help.into()));
            for key in ["variants", "shadow", "rollout"] {
                top.take(key);
            }
        }
        return models.map(Serves::Models);
    }
    top.needs("variants", of_variants, "[variants.blue] with model = \"…\" below it, or [models]");
    let (variants, names) =
        top.table("variants", "[variants.blue] with model = \"…\" below it", |table| {
            read_variants(table, base)
        });
    let shadow = top.table("shadow", "[shadow.next] with model = \"…\" below it", |table| {
        read_shadow(table, base)
    });
    let clash = shadow.as_ref().filter(|shadow| {
        variants.iter().flatten().any(|variant| variant.name == shadow.variant.name)
    });
    if let Some(shadow) = clash {
        let what = format!("{} is the name of a variant already", shadow.variant.name);
        top.wrong("shadow", None, what, Some("give it a name of its own".into()));
    }
    let rollout = match top.has("rollout") {
        true => top.table("rollout", "[rollout] with to = \"…\" below it", |table| {
            read_rollout(table, &names)
        }),
        false => {
            top.take("rollout");
            None
        }
    };
    Some(Serves::Variants { variants: variants?, shadow, rollout })
}

/// Where a key belongs that stands in the wrong table.
fn place_of(key: &str) -> Option<&'static str> {
    Some(match key {
        "name" => "endpoint.name",
        "role" => "endpoint.role",
        "threads" => "endpoint.threads",
        "workers" => "endpoint.workers",
        "body_bytes_max" => "endpoint.body_bytes_max",
        "streamed_bytes_max" => "endpoint.streamed_bytes_max",
        "timeout_s" => "endpoint.timeout_s",
        "target_p99_ms" | "p99_ms" => "endpoint.target_p99_ms",
        "queue_delay_ms" => "endpoint.queue_delay_ms",
        "drain_timeout_s" => "endpoint.drain_timeout_s",
        "access_log" => "endpoint.access_log",
        "require_signature" => "endpoint.require_signature",
        "digest" => "variants.blue.digest",
        "job_record" => "variants.blue.job_record",
        "address" | "listen" => "listener.address",
        "certificate" | "cert" => "tls.certificate",
        "key" => "tls.key",
        "client_ca" => "tls.client_ca",
        "tokens" => "auth.tokens",
        "iam" | "state" => "auth.iam",
        "iam_region" => "auth.iam_region",
        "model" => "variants.blue.model",
        "weight" => "variants.blue.weight",
        "uri" => "models.uri",
        "memory_bytes_max" => "models.memory_bytes_max",
        "hot_max" => "models.hot_max",
        "pinned" => "models.pinned",
        "rollback" => "rollout.rollback",
        "isolation" => "network.isolation",
        "allow" => "network.allow",
        "s3" => "storage.s3",
        "kms" => "storage.kms",
        "region" => "storage.s3.region",
        _ => return None,
    })
}

/// A name by SageMaker's rule.
pub(super) fn name(text: &str, what: &str) -> Result<JobName, Wrong> {
    JobName::parse(text)
        .map_err(|rule| (format!("{} is not {what}", quoted(text)), Some(rule.to_owned())))
}

fn count(table: &mut Cursor<'_>, key: &'static str) -> usize {
    table.integer(key, 0..=limit::JOB_THREADS_MAX).unwrap_or(0) as usize
}

/// `sha256:` and 64 hexadecimal digits.
pub(super) fn digest(text: &str) -> Result<String, Wrong> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
    match digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(digits),
        false => Err((
            format!("{} is not a SHA-256", quoted(text)),
            Some(
                "write \"sha256:\" and 64 hexadecimal digits, as `smrt inspect` shows them".into(),
            ),
        )),
    }
}

/// A number of seconds.
pub(super) fn seconds(
    table: &mut Cursor<'_>,
    key: &'static str,
    range: std::ops::RangeInclusive<i64>,
    default: u64,
) -> Duration {
    let given = table.integer(key, range).and_then(|number| u64::try_from(number).ok());
    Duration::from_secs(given.unwrap_or(default))
}

/// A time in milliseconds, whole or not.
fn milliseconds(table: &mut Cursor<'_>, key: &'static str, range: (f64, f64)) -> Option<Duration> {
    number(table, key, range).map(|ms| Duration::from_secs_f64(ms / 1e3))
}

/// An amount of bytes, as a number or as text with a unit.
pub(super) fn bytes(table: &mut Cursor<'_>, key: &'static str, least: u64, default: u64) -> u64 {
    const HOW: &str = "write a number of bytes, or text with a unit: \"1GiB\"";
    let Some(node) = table.take(key) else { return default };
    let amount = match &node.kind {
        Kind::Value(RawValue::Integer(number)) => u64::try_from(*number).map_err(|_| HOW),
        Kind::Value(RawValue::Text(text)) => unit::bytes(text),
        _ => Err(HOW),
    };
    match amount {
        Ok(amount) if amount >= least => return amount,
        Ok(amount) => {
            let what = format!("{} is too little", unit::shown_bytes(amount));
            let help = format!("at least {}", unit::shown_bytes(least));
            table.wrong(key, node.line, what, Some(help));
        }
        Err(how) => {
            let what = format!("{} is not an amount of bytes", node.described());
            table.wrong(key, node.line, what, Some(how.into()));
        }
    }
    default
}

/// A number, whole or not, within bounds.
pub(super) fn number(
    table: &mut Cursor<'_>,
    key: &'static str,
    (low, high): (f64, f64),
) -> Option<f64> {
    let node = table.take(key)?;
    let found = match &node.kind {
        Kind::Value(RawValue::Integer(number)) => Some(*number as f64),
        Kind::Value(RawValue::Float(number)) => Some(*number),
        _ => None,
    };
    match found {
        Some(number) if (low..=high).contains(&number) => return Some(number),
        Some(number) => {
            let help = format!("write a number from {low} to {high}");
            table.wrong(key, node.line, format!("{number} is out of range"), Some(help));
        }
        None => {
            let what =
                format!("expected a number from {low} to {high}, found {}", node.described());
            table.wrong(key, node.line, what, None);
        }
    }
    None
}

/// A user's text in quotes, of bounded length.
pub(super) fn quoted(text: &str) -> String {
    shortened(&format!("{text:?}"))
}
