//! `job.toml`, read into values that cannot be wrong. All mistakes are found in one pass.
//!
//! The types stand here; [`read`] makes them from text. Hyperparameters are carried
//! along unchecked: their names and ranges belong to the algorithm.

use std::collections::BTreeMap;
use std::time::Duration;

mod channel;
mod effective;
mod read;
mod selection;
mod storage;
#[cfg(test)]
mod tests;

pub use read::Reading;
pub(in crate::spec) use read::{quoted, seal_key, writable};
pub(in crate::spec) use selection::word;
pub use selection::{
    Compression, DataType, Distribution, Hosts, InputMode, RecordWrapper, Selection,
};
pub(in crate::spec) use storage::read_storage;

use super::name::{ChannelName, JobName};
use super::network::Network;
use super::parameter::RawParameters;
use super::role::RoleArn;
use super::uri::Uri;

/// A training job whose own keys are checked. The hyperparameters are checked by the algorithm.
#[derive(Debug, Clone)]
pub struct TrainingJob {
    /// `[job] name`: names the artifact's folder under the output.
    pub name: JobName,
    /// `[job] seed`: everything random in the job follows from it. Default 0.
    pub seed: u64,
    /// `[job] role`: the job acts with this role and nothing else.
    pub role: Option<RoleArn>,
    /// `[algorithm] name`; SageMaker's image URIs and aliases are already resolved. Whether the
    /// algorithm table has it is for the table to say.
    pub algorithm: String,
    /// `[hyperparameters]`, unchecked.
    pub hyperparameters: RawParameters,
    /// `[channels.*]`; `train` is always there.
    pub channels: BTreeMap<ChannelName, Channel>,
    /// `[channels.model]`: an earlier model that the training goes on from.
    pub model: Option<Uri>,
    /// `[output]`
    pub output: Output,
    /// `[resources]`
    pub resources: Resources,
    /// `[stopping]`
    pub stopping: Stopping,
    /// `[checkpoint]`; default: `checkpoints/` beside the artifact.
    pub checkpoint: Checkpoint,
    /// `[storage]`
    pub storage: Storage,
    /// `[network]`; its `allow` stands in [`Storage::network`] too, where connections are made.
    pub network: Network,
}

/// One `[channels.NAME]` table.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Object, folder, prefix or manifest.
    pub uri: Uri,
    /// Which objects that means, and in which order they are read.
    pub selection: Selection,
    /// `content_type`, with its parameters, and the CSV keys beside it.
    pub format: Format,
}

/// How the bytes of a channel are to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// The media type; default `text/csv`.
    pub media: Media,
    /// `header = true`: the first line of each object names the columns.
    pub header: bool,
    /// `delimiter`, one ASCII character. Default `,`.
    pub delimiter: u8,
    /// Which column is the label.
    pub label: LabelColumn,
    /// Which column says how much a row counts.
    pub weight: Option<WeightColumn>,
    /// `group = "name"`: the column of query ids. Rows of one query stand together.
    pub group: Option<String>,
    /// Which columns hold words.
    pub categorical: Categorical,
    /// `ignore = ["name"]`: columns that are passed over.
    pub ignore: Vec<String>,
}

/// Media types a channel or a request may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Media {
    /// `text/csv`
    Csv,
    /// `application/jsonlines`
    JsonLines,
    /// `application/json`; requests and answers only.
    Json,
    /// `text/libsvm`
    Libsvm,
    /// `application/x-recordio-protobuf`
    RecordIo,
    /// `application/x-parquet`; channels only.
    Parquet,
}

/// Where the label stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelColumn {
    /// SageMaker's rule.
    First,
    /// `label_size=0` in the content type: no label.
    None,
    /// `label = "name"`; needs a header, or JSON Lines.
    Named(String),
}

/// Where the weight stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeightColumn {
    /// `csv_weights = 1`: the column after the label, SageMaker's rule.
    Second,
    /// `weight = "name"`; needs a header, or JSON Lines.
    Named(String),
}

/// `categorical`: the columns whose cells are words. Each word becomes a code; the words are kept
/// in the model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Categorical {
    /// None: a word where a number belongs is a mistake.
    #[default]
    None,
    /// `"auto"`: every column that holds a word somewhere.
    Auto,
    /// These, whatever they hold.
    Named(Vec<String>),
}

/// `[output]`
#[derive(Debug, Clone)]
pub struct Output {
    /// The artifact is `<uri>/<job>/output/model.tar.gz`.
    pub uri: Uri,
    /// Which key seals it.
    pub key: SealKey,
    /// `keys`: where the artifact's own key stands.
    pub keys: KeyPlace,
    /// `sign`: the signing key that vouches for the artifact; nobody does without one.
    pub sign: Option<JobName>,
}

/// `output.keys`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyPlace {
    /// In the artifact's header.
    #[default]
    Attached,
    /// In `model.tar.gz.keys.json` beside it: another key, or none, without touching the artifact.
    Detached,
}

/// `output.kms_key`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealKey {
    /// The local key, made at first use (`alias/smrt`).
    Default,
    /// A key id, alias or ARN.
    Named(String),
    /// `kms_key = "none"`: a plain tar.gz.
    Plain,
}

/// `[resources]`
#[derive(Debug, Clone)]
pub struct Resources {
    /// `device`
    pub device: DeviceChoice,
    /// `threads`; 0 = all cores.
    pub threads: usize,
    /// `memory_bytes_max`, in bytes.
    pub memory_bytes_max: u64,
    /// `scratch`: the folder for rows that do not fit into memory; default: the system's own for
    /// temporary files.
    pub scratch: Option<std::path::PathBuf>,
    /// `hosts` and `current_host`: whose share of sharded channels this is.
    pub hosts: Hosts,
}

/// `resources.device`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A GPU where the build and the machine have one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The n-th GPU through wgpu (feature `wgpu`).
    Wgpu(usize),
    /// The n-th GPU through CUDA (feature `cuda`).
    Cuda(usize),
}

/// `[stopping]`
#[derive(Debug, Clone, Copy)]
pub struct Stopping {
    /// `max_runtime_s`; default 86,400 as SageMaker.
    pub max_runtime: Duration,
}

/// `[checkpoint]`
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// `uri`; default `<output.uri>/<job>/checkpoints/`.
    pub uri: Option<Uri>,
    /// `keep`: complete checkpoints that are left in place; the oldest go first. Default 2.
    pub keep: usize,
    /// `interval_s`: at least so long between two. Default 10.
    pub interval: Duration,
}

/// `[storage.s3]` and its like: how to reach remote stores. Empty means: as the environment says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Storage {
    /// `[storage.s3]`
    pub s3: S3,
    /// `[storage.kms]`
    pub kms: Kms,
    /// `[network]`: where connections may lead.
    pub network: Network,
}

/// `[storage.s3]`; each key left out falls back to the `AWS_*` variables, then to the profile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3 {
    /// `endpoint`, e.g. `http://127.0.0.1:9000`.
    pub endpoint: Option<String>,
    /// `region`
    pub region: Option<String>,
    /// `profile` in `~/.aws/credentials`.
    pub profile: Option<String>,
    /// `access_key_id`; better in the environment or a profile.
    pub access_key_id: Option<String>,
    /// `secret_access_key`; better in the environment or a profile.
    pub secret_access_key: Option<Hidden>,
    /// `session_token`
    pub session_token: Option<Hidden>,
    /// `virtual_host = true`: bucket in the host name; default: in the path.
    pub virtual_host: bool,
    /// `ca_bundle`: PEM file with extra certificate authorities.
    pub ca_bundle: Option<std::path::PathBuf>,
}

/// `[storage.kms]`: a key service elsewhere, AWS KMS's or another smrt's. With a table that names an
/// endpoint, a region or a profile, names of keys are its names; empty: keys are local, unless one
/// is named by an ARN of AWS. Each key left out falls back as those of [`S3`] do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kms {
    /// `endpoint`, e.g. `https://keys.example:8081`.
    pub endpoint: Option<String>,
    /// `region`
    pub region: Option<String>,
    /// `profile` in `~/.aws/credentials`.
    pub profile: Option<String>,
    /// `access_key_id`; better in the environment or a profile.
    pub access_key_id: Option<String>,
    /// `secret_access_key`; better in the environment or a profile.
    pub secret_access_key: Option<Hidden>,
    /// `session_token`
    pub session_token: Option<Hidden>,
    /// `ca_bundle`: PEM file with extra certificate authorities.
    pub ca_bundle: Option<std::path::PathBuf>,
}

/// Text that never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub String);

impl TrainingJob {
    /// Where the artifact will lie: `<output.uri>/<job>/output/model.tar.gz`.
    pub fn artifact(&self) -> Uri {
        self.output.uri.join(&format!("{}/output/model.tar.gz", self.name))
    }

    /// Where it is written down which artifact that is: `<output.uri>/<job>/job.json`.
    pub fn record(&self) -> Uri {
        self.output.uri.join(&format!("{}/job.json", self.name))
    }

    /// Where checkpoints are kept: `checkpoint.uri`, or `<output.uri>/<job>/checkpoints`.
    pub fn checkpoints(&self) -> Uri {
        match &self.checkpoint.uri {
            Some(uri) => uri.clone(),
            None => self.output.uri.join(&format!("{}/checkpoints", self.name)),
        }
    }
}

impl Format {
    /// As SageMaker reads `media`: no header, label first, and nothing but numbers.
    pub fn new(media: Media) -> Format {
        Format {
            media,
            header: false,
            delimiter: b',',
            label: LabelColumn::First,
            weight: None,
            group: None,
            categorical: Categorical::None,
            ignore: Vec::new(),
        }
    }

    /// Whether a column is anything but a number or the label.
    pub fn has_roles(&self) -> bool {
        self.weight.is_some()
            || self.group.is_some()
            || self.categorical != Categorical::None
            || !self.ignore.is_empty()
    }
}

impl std::fmt::Display for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Media::Csv => "text/csv",
            Media::JsonLines => "application/jsonlines",
            Media::Json => "application/json",
            Media::Libsvm => "text/libsvm",
            Media::RecordIo => "application/x-recordio-protobuf",
            Media::Parquet => "application/x-parquet",
        })
    }
}

/// `text/csv, header, label "churn", words in ["plan"]`: what a reader should know about a channel's bytes.
impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.media)?;
        if self.header {
            f.write_str(", header")?;
        }
        if self.delimiter != b',' {
            write!(f, ", delimiter {:?}", char::from(self.delimiter))?;
        }
        match &self.label {
            LabelColumn::First if matches!(self.media, Media::Csv | Media::Parquet) => {
                f.write_str(", label first")?
            }
            LabelColumn::First => {}
            LabelColumn::None => f.write_str(", no label")?,
            LabelColumn::Named(name) => write!(f, ", label {name:?}")?,
        }
        match &self.weight {
            Some(WeightColumn::Second) => f.write_str(", weight second")?,
            Some(WeightColumn::Named(name)) => write!(f, ", weight {name:?}")?,
            None => {}
        }
        if let Some(name) = &self.group {
            write!(f, ", group {name:?}")?;
        }
        match &self.categorical {
            Categorical::None => {}
            Categorical::Auto => f.write_str(", words where they stand")?,
            Categorical::Named(names) => write!(f, ", words in {names:?}")?,
        }
        if !self.ignore.is_empty() {
            write!(f, ", without {:?}", self.ignore)?;
        }
        Ok(())
    }
}

impl std::fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DeviceChoice::Auto => f.write_str("auto"),
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::Wgpu(number) => write!(f, "wgpu:{number}"),
            DeviceChoice::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl std::fmt::Display for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SealKey::Default => "alias/smrt",
            SealKey::Named(name) => name,
            SealKey::Plain => "none",
        })
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}
