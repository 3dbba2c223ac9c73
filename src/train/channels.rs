//! From the job's channels to the rows that the algorithm sees.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use crate::algorithm::expand::Expansion;
use crate::algorithm::{Channels, Reads};
use crate::data::{self, Categories, Dataset, Vocabulary};
use crate::spec::problem::Problems;
use crate::spec::train::{Channel, LabelColumn, Media, TrainingJob, WeightColumn};
use crate::spec::uri::Uri;
use crate::store::{self, Store};

use super::error::Error;
use super::report::ChannelReport;

/// Reads every channel of the job whole. They share `resources.memory_bytes_max`. Sparse rows are
/// filled up where the algorithm does not read them.
///
/// # Errors
/// When a channel is missing or empty, its data are not what the job says, or two channels do not
/// have the same columns.
pub(super) fn read(
    spec: &TrainingJob,
    store: &Store,
    threads: usize,
    reads: Reads,
) -> Result<(Channels, Vec<ChannelReport>), Error> {
    // All of them are looked up before the first is read: a typing error in the last one should
    // not cost the time of the others.
    let mut listed = Vec::new();
    for name in ["train", "validation", "test"] {
        if let Some(channel) = spec.channels.get(name) {
            listed.push((name, channel, store.list(&channel.uri)?));
        }
    }
    let mut left = spec.resources.memory_bytes_max;
    let (mut features, mut categories) = (None, None);
    let mut words: Option<Categories> = None;
    let mut reports = Vec::new();
    let mut datasets = [None, None, None];
    for (slot, (name, channel, objects)) in datasets.iter_mut().zip(listed) {
        let options = data::channel::Options {
            threads,
            memory_bytes_max: left,
            features,
            absent: reads.absent,
            categories: categories.clone(),
            ..data::channel::Options::new(format!("channels.{name}"))
        };
        let mut dataset = data::channel::settle_words(&options, |options| {
            let objects = readers(store, channel, objects.clone());
            match reads.logins {
                true => data::login::read(objects, &channel.format, options),
                false => data::channel::read(objects, &channel.format, options),
            }
        })
        .map_err(|source| Error::Data { channel: name.to_owned(), source: Box::new(source) })?;
        left = left.saturating_sub(bytes_of(&dataset));
        features = Some(dataset.width());
        // What a word means is learned from the train channel alone.
        match &words {
            None => {
                words = Some(dataset.categories.clone());
                categories = Some(Arc::new(Vocabulary::of(&dataset.categories)));
            }
            Some(words) => dataset.categories.clone_from(words),
        }
        reports.push(ChannelReport {
            name: name.to_owned(),
            objects: dataset.sources.len(),
            bytes: dataset.sources.iter().map(|source| source.bytes).sum(),
            rows: dataset.rows(),
        });
        *slot = Some((name, dataset));
    }
    // All channels go to the algorithm in one shape.
    let whole =
        |slot: &Option<(_, Dataset)>| slot.as_ref().is_some_and(|(_, d)| d.sparse.is_none());
    if !reads.sparse || datasets.iter().any(whole) {
        for (name, dataset) in datasets.iter_mut().flatten() {
            fill(name, dataset, reads.absent, &mut left, spec)?;
        }
    }
    let mut take = |wanted: &str| {
        datasets.iter_mut().find_map(|slot| slot.take_if(|(name, _)| *name == wanted)).map(|d| d.1)
    };
    let train = take("train").expect("a checked job has the channel train");
    let channels = Channels { train, validation: take("validation"), test: take("test") };
    for (name, other) in [("validation", &channels.validation), ("test", &channels.test)] {
        if let Some(other) = other {
            same_columns(&channels.train, name, other)?;
        }
    }
    Ok((channels, reports))
}

/// The channels as an algorithm sees them that reads numbers only; `None` where they hold nothing
/// else already.
///
/// # Errors
/// When the words make too many columns, or the rows do not fit into memory then.
pub(super) fn expand(channels: Channels, memory_bytes_max: u64) -> Result<Channels, Error> {
    let Channels { train, validation, test } = channels;
    let Some(expansion) = Expansion::of(train.width(), &train.categories)? else {
        return Ok(Channels { train, validation, test });
    };
    let mut left = memory_bytes_max;
    let mut wide = |name: &str, dataset: Dataset| {
        // While a channel is expanded, both forms of it stand in memory.
        let rows = dataset.rows() as u64;
        let wide_bytes = 4 * rows * expansion.width() as u64;
        let needed_bytes = wide_bytes + bytes_of(&dataset);
        if needed_bytes > left {
            let source = data::Error::Memory {
                channel: format!("channels.{name}, with a column for each word,"),
                needed_bytes: memory_bytes_max - left + needed_bytes,
                limit_bytes: memory_bytes_max,
            };
            return Err(Error::Data { channel: name.to_owned(), source: Box::new(source) });
        }
        left -= wide_bytes;
        Ok(expansion.dataset(dataset))
    };
    let train = wide("train", train)?;
    let validation = validation.map(|dataset| wide("validation", dataset)).transpose()?;
    let test = test.map(|dataset| wide("test", dataset)).transpose()?;
    Ok(Channels { train, validation, test })
}

/// `csv_weights = 1`, SageMaker's hyperparameter: in CSV the column after the label is the weight.
///
/// # Errors
/// When a channel says otherwise.
pub(super) fn csv_weights(
    spec: &TrainingJob,
    effective: &serde_json::Map<String, serde_json::Value>,
) -> Result<TrainingJob, Problems> {
    let mut spec = spec.clone();
    if effective.get("csv_weights").and_then(serde_json::Value::as_i64) != Some(1) {
        return Ok(spec);
    }
    let mut problems = Problems::default();
    for (name, channel) in &mut spec.channels {
        let format = &mut channel.format;
        if format.media != Media::Csv {
            continue;
        }
        let what = match (&format.weight, &format.label) {
            (None, LabelColumn::First) => {
                format.weight = Some(WeightColumn::Second);
                continue;
            }
            (Some(_), _) => "says where the weight stands, and channels.{}.weight does too",
            (None, LabelColumn::Named(_)) => {
                "counts columns from a label that comes first, and channels.{} names its own"
            }
            (None, LabelColumn::None) => {
                "means the column after the label, and channels.{} has no label"
            }
        };
        let help =
            format!("leave csv_weights out, and write `weight = \"…\"` under channels.{name}");
        let what = format!("csv_weights = 1 {}", what.replace("{}", name.as_str()));
        problems.add("hyperparameters.csv_weights", None, what, Some(help));
    }
    if problems.is_empty() { Ok(spec) } else { Err(problems) }
}

fn readers(
    store: &Store,
    channel: &Channel,
    objects: Vec<store::Object>,
) -> Vec<data::channel::Object> {
    let lazy = |object: store::Object| data::channel::Object {
        uri: shown(&object.uri, &channel.uri),
        bytes: Some(object.bytes),
        reader: Box::new(Lazy { store: store.clone(), object, open: None }),
    };
    objects.into_iter().map(lazy).collect()
}

/// An object that is opened when it is read first: a prefix may hold more objects than a process
/// may have open files.
struct Lazy {
    store: Store,
    object: store::Object,
    open: Option<Box<dyn Read + Send>>,
}

impl Read for Lazy {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let reader = match &mut self.open {
            Some(reader) => reader,
            none => none.insert(self.store.open(&self.object).map_err(io::Error::other)?),
        };
        reader.read(into)
    }
}

/// What an object is called in messages and provenance: for local files its place below the
/// channel's own address, so that a model made in two folders is the same model.
fn shown(object: &Uri, channel: &Uri) -> String {
    let (Uri::File(path), Uri::File(base)) = (object, channel) else { return object.to_string() };
    let below = path.strip_prefix(base).ok().filter(|below| !below.as_os_str().is_empty());
    let name = below.or_else(|| path.file_name().map(Path::new));
    name.map_or_else(|| object.to_string(), |name| name.display().to_string())
}

/// Makes sparse rows whole, if they fit into the memory that is left.
fn fill(
    name: &str,
    dataset: &mut Dataset,
    absent: data::Absent,
    left: &mut u64,
    spec: &TrainingJob,
) -> Result<(), Error> {
    let Some(sparse) = dataset.sparse.take() else { return Ok(()) };
    let whole_bytes = 4 * sparse.rows() as u64 * sparse.width as u64;
    if whole_bytes > *left {
        return Err(Error::Whole {
            channel: name.to_owned(),
            rows: sparse.rows(),
            features: sparse.width,
            bytes: whole_bytes,
            needed_bytes: spec.resources.memory_bytes_max - *left + whole_bytes,
            limit_bytes: spec.resources.memory_bytes_max,
        });
    }
    dataset.features = sparse.dense(absent.value());
    *left = (*left + sparse_bytes(&sparse)).saturating_sub(whole_bytes);
    Ok(())
}

/// What a dataset holds in memory.
fn bytes_of(dataset: &Dataset) -> u64 {
    let beside = [dataset.label.is_some(), dataset.weight.is_some(), dataset.group.is_some()];
    let columns = dataset.features.ncols() + beside.into_iter().filter(|is| *is).count();
    let sparse = dataset.sparse.as_ref().map_or(0, sparse_bytes);
    (dataset.rows() * columns * size_of::<f32>()) as u64 + sparse
}

fn sparse_bytes(sparse: &data::Sparse) -> u64 {
    (sparse.offsets.len() * size_of::<usize>() + sparse.columns.len() * 8) as u64
}

fn same_columns(train: &Dataset, name: &str, other: &Dataset) -> Result<(), Error> {
    if train.columns.is_empty() || other.columns.is_empty() || train.columns == other.columns {
        return Ok(());
    }
    let at = train.columns.iter().zip(other.columns.iter()).position(|(a, b)| a != b);
    let what = match at {
        Some(at) => format!(
            "channel {name} has the column {:?} where train has {:?} (feature {})",
            other.columns[at],
            train.columns[at],
            at + 1
        ),
        None => format!("channel {name} has other columns than train"),
    };
    Err(Error::Channels { what, help: "give both files the same columns in the same order".into() })
}
