//! Which objects a channel means and how they are handed over, in SageMaker's words: the keys
//! `s3_data_type`, `distribution`, `shuffle_seed`, `input_mode`, `compression` and
//! `record_wrapper` of a channel, and the hosts that share it.
//!
//! smrt streams in every input mode, so `File`, `FastFile` and `Pipe` give the same model.

use std::fmt;

use super::read::quoted;
use crate::spec::cursor::{Cursor, Wrong};
use crate::spec::document::Kind;
use crate::spec::limit;
use crate::spec::parameter::RawValue;
use crate::spec::problem::nearest;

/// SageMaker's `S3DataSource`, `ShuffleConfig` and the modes beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// `s3_data_type`
    pub data_type: DataType,
    /// `distribution` (`S3DataDistributionType`)
    pub distribution: Distribution,
    /// `shuffle_seed` (`ShuffleConfig.Seed`): objects are read in an order that follows from it,
    /// instead of the order of their keys.
    pub shuffle_seed: Option<u64>,
    /// `input_mode` (`InputMode`)
    pub input_mode: InputMode,
    /// `compression` (`CompressionType`)
    pub compression: Compression,
    /// `record_wrapper` (`RecordWrapperType`)
    pub record_wrapper: RecordWrapper,
}

/// What a channel's `uri` names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DataType {
    /// Every object whose key begins with it, or a file, or a folder.
    #[default]
    S3Prefix,
    /// A JSON list of objects.
    ManifestFile,
}

/// Which of a channel's objects this host reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Distribution {
    /// All.
    #[default]
    FullyReplicated,
    /// Its share: of n hosts each gets every n-th object.
    ShardedByS3Key,
}

/// How SageMaker would hand the data over; here the words have one meaning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InputMode {
    /// `File`
    #[default]
    File,
    /// `FastFile`
    FastFile,
    /// `Pipe`
    Pipe,
}

/// Whether objects have to be gzip.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// They may be: gzip and zstd are recognised by content.
    #[default]
    None,
    /// They have to be.
    Gzip,
}

/// How SageMaker would wrap objects on their way into a container; here they are read unwrapped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RecordWrapper {
    /// `None`
    #[default]
    None,
    /// `RecordIO`
    RecordIO,
}

/// The hosts of a job, as SageMaker's `resourceconfig.json` names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts {
    /// `hosts`; never empty.
    pub names: Vec<String>,
    /// Position of `current_host` among them.
    pub index: usize,
}

impl Hosts {
    /// The name of this host.
    pub fn current(&self) -> &str {
        &self.names[self.index]
    }
}

impl Default for Hosts {
    fn default() -> Hosts {
        Hosts { names: vec![ALONE.to_owned()], index: 0 }
    }
}

/// What SageMaker calls the first host.
const ALONE: &str = "algo-1";

/// Reads the keys of a channel that choose its objects.
pub(super) fn read_selection(table: &mut Cursor<'_>) -> Selection {
    Selection {
        data_type: table.parsed("s3_data_type", data_type).unwrap_or_default(),
        distribution: word(table, "distribution", &DISTRIBUTIONS),
        shuffle_seed: table.integer("shuffle_seed", 0..=i64::MAX).map(|seed| seed as u64),
        input_mode: word(table, "input_mode", &INPUT_MODES),
        compression: word(table, "compression", &COMPRESSIONS),
        record_wrapper: word(table, "record_wrapper", &RECORD_WRAPPERS),
    }
}

const DATA_TYPES: [DataType; 2] = [DataType::S3Prefix, DataType::ManifestFile];
const DISTRIBUTIONS: [Distribution; 2] =
    [Distribution::FullyReplicated, Distribution::ShardedByS3Key];
const INPUT_MODES: [InputMode; 3] = [InputMode::File, InputMode::FastFile, InputMode::Pipe];
const COMPRESSIONS: [Compression; 2] = [Compression::None, Compression::Gzip];
const RECORD_WRAPPERS: [RecordWrapper; 2] = [RecordWrapper::None, RecordWrapper::RecordIO];

pub(in crate::spec) fn word<T: Copy + Default + fmt::Display>(
    table: &mut Cursor<'_>,
    key: &'static str,
    known: &[T],
) -> T {
    table.parsed(key, |text| one_of(text, known)).unwrap_or_default()
}

fn one_of<T: Copy + fmt::Display>(text: &str, known: &[T]) -> Result<T, Wrong> {
    if let Some(found) = known.iter().find(|value| value.to_string() == text) {
        return Ok(*found);
    }
    let words: Vec<String> = known.iter().map(|value| format!("{:?}", value.to_string())).collect();
    let names: Vec<String> = known.iter().map(T::to_string).collect();
    let meant = match nearest(text, names.iter().map(String::as_str)) {
        Some(near) => format!("; did you mean {near:?}?"),
        None => String::new(),
    };
    let help = format!("write {}{meant}", words.join(" or "));
    Err((format!("{} is not one of SageMaker's values", quoted(text)), Some(help)))
}

fn data_type(text: &str) -> Result<DataType, Wrong> {
    if matches!(text, "AugmentedManifestFile" | "Converse") {
        let help = "write \"S3Prefix\" or \"ManifestFile\"; JSON Lines with rows in them are a \
                    content_type: application/jsonlines";
        return Err((format!("smrt does not read {text}"), Some(help.into())));
    }
    one_of(text, &DATA_TYPES)
}

/// Reads `[resources] hosts` and `current_host`.
pub(super) fn read_hosts(table: &mut Cursor<'_>) -> Hosts {
    const EXAMPLE: &str = "write hosts = [\"algo-1\", \"algo-2\"]";
    let found = table.take("hosts");
    let line = found.as_ref().and_then(|node| node.line);
    let current = table.text("current_host");
    let mut wrong = |key, line, what: String, help: &str| {
        table.wrong(key, line, what, Some(help.to_owned()));
        Hosts::default()
    };
    let Some(node) = found else {
        return match current {
            None => Hosts::default(),
            Some(found) if found.value == ALONE => Hosts::default(),
            Some(found) => {
                let what =
                    format!("{} is not among the hosts: none are named", quoted(&found.value));
                wrong("current_host", found.line, what, EXAMPLE)
            }
        };
    };
    let described = node.described();
    let text = |item: RawValue| match item {
        RawValue::Text(text) if !text.trim().is_empty() => Some(text),
        _ => None,
    };
    let names: Option<Vec<String>> = match node.kind {
        Kind::Value(RawValue::List(items)) => items.into_iter().map(text).collect(),
        _ => None,
    };
    let names = match names {
        Some(names) if (1..=limit::HOSTS_MAX).contains(&names.len()) => names,
        Some(names) => {
            let what = format!("{} hosts cannot share a job", names.len());
            let help = format!("name 1 to {} hosts", limit::HOSTS_MAX);
            return wrong("hosts", line, what, &help);
        }
        None => {
            let what = format!("expected a list of names, found {described}");
            return wrong("hosts", line, what, EXAMPLE);
        }
    };
    if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        let what = format!("{} is named twice", quoted(twice.1));
        return wrong("hosts", line, what, "give each host its own name");
    }
    let index = match &current {
        None if names.len() == 1 => Some(0),
        None => {
            let what = "is missing".to_owned();
            let help = format!("write current_host = {:?}: the host this job runs on", names[0]);
            return wrong("current_host", line, what, &help);
        }
        Some(found) => names.iter().position(|name| *name == found.value),
    };
    match (index, current) {
        (Some(index), _) => Hosts { names, index },
        (None, found) => {
            let given = found.as_ref().map_or_else(String::new, |found| quoted(&found.value));
            let near = found.as_ref().and_then(|found| {
                nearest(&found.value, names.iter().map(String::as_str)).map(str::to_owned)
            });
            let help = match near {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("the hosts are {}", names.join(", ")),
            };
            let line = found.and_then(|found| found.line);
            wrong("current_host", line, format!("{given} is not among the hosts"), &help)
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for InputMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for RecordWrapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
