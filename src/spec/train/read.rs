//! `job.toml` to [`TrainingJob`], section by section.

use std::path::Path;
use std::time::Duration;

use super::channel::read_channels;
use super::selection::read_hosts;
use super::storage::read_storage;
use super::{
    Checkpoint, DeviceChoice, KeyPlace, Output, Resources, SealKey, Stopping, TrainingJob,
};
use crate::spec::Mistakes;
use crate::spec::cursor::{Cursor, Wrong};
use crate::spec::document::{self, Kind, Node};
use crate::spec::image::algorithm_name;
use crate::spec::limit;
use crate::spec::name::JobName;
use crate::spec::network::{self, Network, read_network};
use crate::spec::parameter::{Raw, RawParameters, RawValue};
use crate::spec::problem::{Problem, Problems, nearest, shortened};
use crate::spec::role::RoleArn;
use crate::spec::unit;
use crate::spec::uri::Uri;

/// What came of reading a job file: a checked job, or mistakes. What could be read of the
/// algorithm is there in both cases, so that the algorithm's own mistakes can be told at once.
#[derive(Debug)]
pub struct Reading {
    /// The job, when nothing is wrong with its own keys.
    pub job: Option<TrainingJob>,
    /// `[algorithm] name`, when it could be read.
    pub algorithm: Option<String>,
    /// Line of `[algorithm] name`.
    pub algorithm_line: Option<usize>,
    /// `[hyperparameters]`, as far as they could be read.
    pub hyperparameters: RawParameters,
    /// Everything that is wrong, in the order of the file.
    pub mistakes: Mistakes,
}

impl TrainingJob {
    /// Reads a job file. `file` is its name in messages; paths in it are taken relative to
    /// `base`; each of `overrides` is a `KEY=VALUE` that replaces a key before it is checked.
    pub fn read(bytes: &[u8], file: &str, base: &Path, overrides: &[String]) -> Reading {
        let mut problems = Problems::default();
        let document = document::parse(bytes, overrides, &mut problems);
        let broken_lines: Vec<_> = problems.list.iter().filter_map(|p| p.line).collect();
        let syntax_count = problems.list.len();
        let sections = read_sections(document.root, document.torn, base, &mut problems);
        // What a broken line still yielded is not worth a second mistake, and a broken table
        // header leaves its keys in another table.
        let first_broken = broken_lines.iter().min().filter(|_| document.torn);
        let is_echo = |problem: &Problem| {
            let Some(line) = problem.line else { return false };
            let displaced = first_broken.is_some_and(|first| line > *first);
            broken_lines.contains(&line) || (displaced && problem.what.starts_with("unknown "))
        };
        let found = problems.list.split_off(syntax_count);
        problems.list.extend(found.into_iter().filter(|problem| !is_echo(problem)));
        let overridden = document.overridden;
        let mut mistakes = Mistakes { file: file.to_owned(), overridden, problems };
        mistakes.sort();
        // Hyperparameters may be lost in a torn file: the algorithm would call them missing.
        let named = sections.algorithm.clone().filter(|_| !document.torn);
        let (algorithm, algorithm_line) = named.unzip();
        let hyperparameters = sections.hyperparameters.clone();
        let job = if mistakes.is_empty() { sections.into_job() } else { None };
        Reading {
            job,
            algorithm,
            algorithm_line: algorithm_line.flatten(),
            hyperparameters,
            mistakes,
        }
    }

    /// Reads a job file whose hyperparameters will be checked later, or gives every mistake.
    ///
    /// # Errors
    /// All that is wrong with the job's own keys.
    pub fn parse(
        bytes: &[u8],
        file: &str,
        base: &Path,
        overrides: &[String],
    ) -> Result<TrainingJob, Mistakes> {
        let reading = TrainingJob::read(bytes, file, base, overrides);
        reading.job.ok_or(reading.mistakes)
    }
}

/// The sections, each as far as it could be read.
struct Sections {
    name: Option<JobName>,
    seed: u64,
    role: Option<RoleArn>,
    algorithm: Option<(String, Option<usize>)>,
    hyperparameters: RawParameters,
    channels: std::collections::BTreeMap<super::ChannelName, super::Channel>,
    model: Option<Uri>,
    output: Option<Output>,
    resources: Resources,
    stopping: Stopping,
    checkpoint: Checkpoint,
    storage: super::Storage,
    network: Network,
}

impl Sections {
    fn into_job(self) -> Option<TrainingJob> {
        Some(TrainingJob {
            name: self.name?,
            seed: self.seed,
            role: self.role,
            algorithm: self.algorithm?.0,
            hyperparameters: self.hyperparameters,
            channels: self.channels,
            model: self.model,
            output: self.output?,
            resources: self.resources,
            stopping: self.stopping,
            checkpoint: self.checkpoint,
            storage: self.storage,
            network: self.network,
        })
    }
}

fn read_sections(
    root: document::Table,
    torn: bool,
    base: &Path,
    problems: &mut Problems,
) -> Sections {
    let mut top = Cursor::new(root, torn, place_of, problems);
    let (name, seed, role) = top.table("job", "[job] with name = \"my-job\" below it", |job| {
        let there = job.has("name");
        let name = job.parsed("name", |text| {
            JobName::parse(text)
                .map_err(|rule| (format!("{} is not a job name", quoted(text)), Some(rule.into())))
        });
        job.needs("name", there, "name = \"my-job\" below [job]");
        let seed = job.integer("seed", 0..=i64::MAX).unwrap_or(0) as u64;
        (name, seed, job.parsed("role", RoleArn::parse))
    });
    let algorithm = top.table("algorithm", "[algorithm] with name = \"…\" below it", |table| {
        let there = table.has("name");
        let found = table.text("name");
        table.needs("name", there, "name = \"linear-learner\" below [algorithm]");
        let found = found?;
        match algorithm_name(&found.value) {
            Ok(name) => Some((name, found.line)),
            Err((what, help)) => {
                table.wrong("name", found.line, what, help);
                None
            }
        }
    });
    let hyperparameters =
        top.table("hyperparameters", "[hyperparameters] with keys below it", read_hyperparameters);
    let (channels, model) =
        top.table("channels", "[channels.train] with uri = \"…\" below it", |table| {
            read_channels(table, base)
        });
    let output = top.table("output", "[output] with uri = \"…\" below it", |table| {
        let there = table.has("uri");
        let uri = table.parsed("uri", |text| writable(text, base));
        table.needs("uri", there, "uri = \"s3://bucket/prefix\", or a folder, below [output]");
        let key = table.parsed("kms_key", seal_key).unwrap_or(SealKey::Default);
        let keys = table.parsed("keys", key_place).unwrap_or_default();
        if (keys, &key) == (KeyPlace::Detached, &SealKey::Plain) {
            let help = "leave one of them out: a plain artifact has no key";
            table.wrong("keys", None, "stands beside kms_key = \"none\"".into(), Some(help.into()));
        }
        let sign = table.parsed("sign", |text| {
            JobName::parse(text).map_err(|rule| {
                (format!("{} is not a signing key's name", quoted(text)), Some(rule.into()))
            })
        });
        uri.map(|uri| Output { uri, key, keys, sign })
    });
    let resources = top
        .table("resources", "[resources] with keys below it", |table| read_resources(table, base));
    let stopping =
        top.table("stopping", "[stopping] with max_runtime_s = 3600 below it", |table| {
            let seconds = table
                .integer("max_runtime_s", 1..=limit::JOB_RUNTIME_S_MAX)
                .unwrap_or(limit::JOB_RUNTIME_S_DEFAULT);
            Stopping { max_runtime: Duration::from_secs(seconds as u64) }
        });
    let checkpoint =
        top.table("checkpoint", "[checkpoint] with uri = \"…\" below it", |table| Checkpoint {
            uri: table.parsed("uri", |text| writable(text, base)),
            keep: table
                .integer("keep", 1..=limit::CHECKPOINTS_MAX)
                .unwrap_or(limit::CHECKPOINTS_DEFAULT) as usize,
            interval: Duration::from_secs(
                table
                    .integer("interval_s", 0..=limit::JOB_RUNTIME_S_MAX)
                    .unwrap_or(limit::CHECKPOINT_INTERVAL_S_DEFAULT) as u64,
            ),
        });
    let network = top.table("network", network::TABLE, read_network);
    let mut storage =
        top.table("storage", "[storage.s3] with keys below it", |table| read_storage(table, base));
    storage.network = network.clone();
    top.finish();
    Sections {
        name,
        seed,
        role,
        algorithm,
        hyperparameters,
        channels,
        model,
        output,
        resources,
        stopping,
        checkpoint,
        storage,
        network,
    }
}

/// Where a key belongs that stands in the wrong table.
fn place_of(key: &str) -> Option<&'static str> {
    Some(match key {
        "name" => "job.name",
        "seed" => "job.seed",
        "role" => "job.role",
        "uri" => "channels.train.uri",
        "content_type" => "channels.train.content_type",
        "header" => "channels.train.header",
        "label" => "channels.train.label",
        "delimiter" => "channels.train.delimiter",
        "train" => "channels.train",
        "validation" => "channels.validation",
        "test" => "channels.test",
        "kms_key" => "output.kms_key",
        "device" => "resources.device",
        "threads" => "resources.threads",
        "memory_bytes_max" => "resources.memory_bytes_max",
        "scratch" => "resources.scratch",
        "hosts" => "resources.hosts",
        "current_host" => "resources.current_host",
        "s3_data_type" => "channels.train.s3_data_type",
        "distribution" => "channels.train.distribution",
        "shuffle_seed" => "channels.train.shuffle_seed",
        "input_mode" => "channels.train.input_mode",
        "keep" => "checkpoint.keep",
        "interval_s" => "checkpoint.interval_s",
        "max_runtime_s" => "stopping.max_runtime_s",
        "isolation" => "network.isolation",
        "allow" => "network.allow",
        "s3" => "storage.s3",
        "kms" => "storage.kms",
        "endpoint" => "storage.s3.endpoint",
        "region" => "storage.s3.region",
        "epochs" => "hyperparameters.epochs",
        "learning_rate" => "hyperparameters.learning_rate",
        "mini_batch_size" => "hyperparameters.mini_batch_size",
        "predictor_type" => "hyperparameters.predictor_type",
        _ => return None,
    })
}

fn read_hyperparameters(table: &mut Cursor<'_>) -> RawParameters {
    let mut raw = RawParameters::new();
    for (name, Node { kind, line, typed }) in table.rest() {
        let found = match kind {
            // SageMaker's own names are text in any case; the algorithm reads numbers from text.
            Kind::Value(value) => {
                raw.insert(name, Raw { value, line });
                continue;
            }
            Kind::Date(_) if typed.is_some() => {
                let value = RawValue::Text(typed.expect("the guard looked"));
                raw.insert(name, Raw { value, line });
                continue;
            }
            Kind::HugeInteger(text) => format!("{} does not fit into 64 bits", shortened(&text)),
            other => {
                let node = Node { kind: other, line, typed };
                format!("expected a number, a string or a list of them, found {}", node.described())
            }
        };
        table.wrong(&name, line, found, None);
    }
    if raw.len() > limit::HYPERPARAMETERS_MAX {
        let what = format!("{} hyperparameters are too many", raw.len());
        table.wrong("*", None, what, Some(format!("at most {}", limit::HYPERPARAMETERS_MAX)));
    }
    raw
}

fn read_resources(table: &mut Cursor<'_>, base: &Path) -> Resources {
    let device = table.parsed("device", device_choice).unwrap_or(DeviceChoice::Auto);
    let threads = table.integer("threads", 0..=limit::JOB_THREADS_MAX).unwrap_or(0) as usize;
    let memory_bytes_max = read_memory(table);
    let scratch = table.parsed("scratch", |text| match Uri::parse(text, base)? {
        Uri::File(path) => Ok(path),
        _ => Err((
            format!("{} is not on this machine", quoted(text)),
            Some("name a folder of a local disk: it is read and written all the time".into()),
        )),
    });
    Resources { device, threads, memory_bytes_max, scratch, hosts: read_hosts(table) }
}

fn read_memory(table: &mut Cursor<'_>) -> u64 {
    let key = "memory_bytes_max";
    let Some(node) = table.take(key) else { return limit::JOB_MEMORY_BYTES_MAX };
    let bytes = match &node.kind {
        Kind::Value(RawValue::Integer(number)) => u64::try_from(*number)
            .map_err(|_| "write a number of bytes, or text with a unit: \"8GiB\""),
        Kind::Value(RawValue::Text(text)) => unit::bytes(text),
        _ => Err("write a number of bytes, or text with a unit: \"8GiB\""),
    };
    match bytes {
        Ok(bytes) if bytes >= limit::JOB_MEMORY_BYTES_MIN => return bytes,
        Ok(bytes) => {
            let what = format!("{} is too little to work with", unit::shown_bytes(bytes));
            let least = unit::shown_bytes(limit::JOB_MEMORY_BYTES_MIN);
            table.wrong(key, node.line, what, Some(format!("at least {least}")));
        }
        Err(how) => {
            let what = format!("{} is not an amount of memory", node.described());
            table.wrong(key, node.line, what, Some(how.into()));
        }
    }
    limit::JOB_MEMORY_BYTES_MAX
}

/// `auto`, `cpu`, `wgpu[:n]` or `cuda[:n]`.
fn device_choice(text: &str) -> Result<DeviceChoice, Wrong> {
    let (name, number) = match text.split_once(':') {
        Some((name, number)) => (name, Some(number)),
        None => (text, None),
    };
    let index = number
        .map_or(Some(0), |digits| digits.parse::<usize>().ok())
        .filter(|index| *index <= limit::GPU_NUMBER_MAX);
    match (name, number, index) {
        ("auto", None, _) => Ok(DeviceChoice::Auto),
        ("cpu", None, _) => Ok(DeviceChoice::Cpu),
        ("wgpu", _, Some(index)) => Ok(DeviceChoice::Wgpu(index)),
        ("cuda", _, Some(index)) => Ok(DeviceChoice::Cuda(index)),
        _ => {
            let meant = match nearest(name, ["auto", "wgpu", "cuda", "cpu"]) {
                Some(near) if near != name => format!("; did you mean {near:?}?"),
                _ => String::new(),
            };
            let help =
                format!("write \"auto\", \"cpu\", \"wgpu\", \"wgpu:1\" or \"cuda:0\"{meant}");
            Err((format!("{} is not a device", quoted(text)), Some(help)))
        }
    }
}

/// `attached` or `detached`.
fn key_place(text: &str) -> Result<KeyPlace, Wrong> {
    match text {
        "attached" => Ok(KeyPlace::Attached),
        "detached" => Ok(KeyPlace::Detached),
        _ => Err((
            format!("{} is not a place for keys", quoted(text)),
            Some(
                "write \"attached\" (in the artifact's header) or \"detached\" (beside it)".into(),
            ),
        )),
    }
}

/// `none`, a key id, an alias, or the ARN of either.
pub(in crate::spec) fn seal_key(text: &str) -> Result<SealKey, Wrong> {
    const HOW: &str = "write alias/NAME, a key id, a key's or alias's ARN, or \"none\" for a plain \
                       tar.gz";
    if text == "none" {
        return Ok(SealKey::Plain);
    }
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-');
    let alias = |text: &str| {
        text.strip_prefix("alias/").is_some_and(|rest| !rest.is_empty() && rest.chars().all(name))
    };
    let id = |text: &str| {
        let bare = text.strip_prefix("mrk-").unwrap_or(text);
        bare.len() >= 32 && bare.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
    };
    let arn = |text: &str| {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let [scheme, partition, "kms", region, account, resource] = parts[..] else { return false };
        scheme == "arn"
            && (partition.starts_with("aws") || partition == "smrt")
            && !region.is_empty()
            && account.len() == 12
            && account.bytes().all(|b| b.is_ascii_digit())
            && (alias(resource) || resource.strip_prefix("key/").is_some_and(id))
    };
    if text.len() <= limit::KEY_NAME_CHARS_MAX && (alias(text) || id(text) || arn(text)) {
        return Ok(SealKey::Named(text.to_owned()));
    }
    let help = match !text.is_empty() && text.len() <= 64 && text.chars().all(name) {
        true => format!("{HOW}; did you mean \"alias/{text}\"?"),
        false => HOW.to_owned(),
    };
    Err((format!("{} does not name a key", quoted(text)), Some(help)))
}

/// An address that can be written to.
pub(in crate::spec) fn writable(text: &str, base: &Path) -> Result<Uri, Wrong> {
    match Uri::parse(text, base)? {
        Uri::Http(_) => Err((
            format!("{} cannot be written to", quoted(text)),
            Some("write s3://bucket/prefix, gs://…, az://…, file:///path or a path".into()),
        )),
        uri => Ok(uri),
    }
}

/// A user's text in quotes, of bounded length.
pub(in crate::spec) fn quoted(text: &str) -> String {
    shortened(&format!("{text:?}"))
}
