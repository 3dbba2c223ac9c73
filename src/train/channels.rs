//! From the job's channels to the rows that the algorithm sees.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use crate::algorithm::expand::Expansion;
use crate::algorithm::{Channels, Reads};
use crate::data::{self, Categories, Dataset, Vocabulary};
use crate::spec::problem::Problems;
use crate::spec::train::{Channel, Compression, LabelColumn, Media, TrainingJob, WeightColumn};
use crate::spec::uri::Uri;
use crate::store::{self, Store};

use super::error::Error;
use super::memory::{Memory, bytes_of};
use super::objects::{Chosen, choose};
use super::report::ChannelReport;

/// Reads every channel of the job, each object once. They share `resources.memory_bytes_max`; rows
/// that do not fit go to disk when the algorithm `streams`. Sparse rows are filled up, likewise, where
/// the algorithm does not read them.
///
/// # Errors
/// When a channel is missing or empty, its data are not what the job says, or two channels do not
/// have the same columns.
pub(super) fn read(
    spec: &TrainingJob,
    store: &Store,
    threads: usize,
    reads: Reads,
    streams: bool,
) -> Result<(Channels, Vec<ChannelReport>), Error> {
    // All of them are looked up before the first is read: a typing error in the last one should
    // not cost the time of the others.
    let mut listed = Vec::new();
    for name in ["train", "validation", "test"] {
        if let Some(channel) = spec.channels.get(name) {
            listed.push((name, channel, choose(store, name, channel, &spec.resources.hosts)?));
        }
    }
    let mut memory = Memory::new(spec, streams, &listed);
    let (mut features, mut categories) = (None, None);
    let mut words: Option<Categories> = None;
    let mut reports = Vec::new();
    let mut datasets = [None, None, None];
    for (slot, (name, channel, chosen)) in datasets.iter_mut().zip(listed) {
        let options = memory.grant(
            &chosen,
            data::channel::Options {
                threads,
                features,
                absent: reads.absent,
                categories: categories.clone(),
                parts: parts(store, channel, &chosen),
                ..data::channel::Options::new(format!("channels.{name}"))
            },
        );
        let mut dataset = data::channel::settle_words(&options, |options| {
            let objects = readers(store, channel, &chosen);
            match reads.logins {
                true => data::login::read(objects, &channel.format, options),
                false => data::channel::read(objects, &channel.format, options),
            }
        })
        .map_err(|source| Error::Data {
            channel: name.to_owned(),
            source: Box::new(memory.of_the_job(source, &options, &chosen)),
        })?;
        memory.take(&dataset);
        features = Some(dataset.width());
        if let Some(pages) = &dataset.pages {
            tracing::info!(
                channel = name,
                rows = pages.rows(),
                window_rows = pages.window_rows(),
                memory_bytes_max = memory.limit,
                "channel does not fit into memory: it is read from disk epoch by epoch"
            );
        }
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
            streamed: dataset.pages.is_some(),
        });
        // What was read depends on the list as it does on what stands in it.
        dataset.sources.splice(0..0, chosen.manifest.clone());
        *slot = Some((name, dataset));
    }
    // All channels go to the algorithm in one shape.
    let whole =
        |slot: &Option<(_, Dataset)>| slot.as_ref().is_some_and(|(_, d)| d.sparse.is_none());
    if !reads.sparse || datasets.iter().any(whole) {
        for ((name, dataset), report) in datasets.iter_mut().flatten().zip(&mut reports) {
            memory.fill(name, dataset, reads.absent)?;
            report.streamed = dataset.pages.is_some();
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
        if dataset.pages.is_some() {
            let refused = |source| Error::Data {
                channel: name.to_owned(),
                source: Box::new(data::Error::Scratch {
                    channel: format!("channels.{name}"),
                    source,
                }),
            };
            return widen(dataset, &expansion).map_err(refused);
        }
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

/// The same for rows on disk: they are written anew.
fn widen(mut dataset: Dataset, expansion: &Expansion) -> io::Result<Dataset> {
    const RANGE_BYTES: usize = 1 << 20;
    let Some(pages) = dataset.pages.take() else { return Ok(dataset) };
    let mut writer = pages.like(expansion.width())?;
    for range in pages.ranges(RANGE_BYTES) {
        let wide = expansion.rows(pages.block(range)?.view());
        writer.push(wide.as_slice().expect("rows stand one after the other"))?;
    }
    let columns = expansion.names(&dataset.columns, &dataset.categories).into();
    Ok(Dataset {
        columns,
        categories: Categories::new(),
        pages: Some(Arc::new(writer.finish(pages.room_bytes())?)),
        ..dataset
    })
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
    Chosen { objects, below, .. }: &Chosen,
) -> Vec<data::channel::Object> {
    let gzip = channel.selection.compression == Compression::Gzip;
    let lazy = |object: store::Object| data::channel::Object {
        uri: shown(&object.uri, below),
        bytes: Some(object.bytes),
        reader: Box::new(Lazy { store: store.clone(), object, gzip, open: None }),
    };
    objects.iter().cloned().map(lazy).collect()
}

/// How to read a part of one of them, unless they have to be gzip.
fn parts(store: &Store, channel: &Channel, chosen: &Chosen) -> Option<data::channel::Parts> {
    let plain = channel.selection.compression == Compression::None
        && chosen.objects.iter().all(store::Object::has_parts);
    (plain && channel.format.media == Media::Parquet).then(|| {
        let (store, objects) = (store.clone(), chosen.objects.clone());
        data::channel::Parts::new(move |at, range| {
            store.open_range(&objects[at], range).map_err(io::Error::other)
        })
    })
}

/// An object that is opened when it is read first: a prefix may hold more objects than a process
/// may have open files.
struct Lazy {
    store: Store,
    object: store::Object,
    /// Whether it has to be gzip.
    gzip: bool,
    open: Option<Box<dyn Read + Send>>,
}

impl Lazy {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let mut reader = self.store.open(&self.object).map_err(io::Error::other)?;
        if !self.gzip || self.object.bytes == 0 {
            return Ok(reader);
        }
        let mut head = Vec::new();
        (&mut reader).take(2).read_to_end(&mut head)?;
        if head != [0x1f, 0x8b] {
            return Err(io::Error::other(
                "it is not gzip, and the channel says compression = \"Gzip\"",
            ));
        }
        Ok(Box::new(io::Cursor::new(head).chain(reader)))
    }
}

impl Read for Lazy {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let reader = match &mut self.open {
            Some(reader) => reader,
            None => {
                let open = self.open()?;
                self.open.insert(open)
            }
        };
        reader.read(into)
    }
}

/// What an object is called in messages and provenance: for local files its place below the
/// channel's own address, so that a model made in two folders is the same model.
pub(super) fn shown(object: &Uri, channel: &Uri) -> String {
    let (Uri::File(path), Uri::File(base)) = (object, channel) else { return object.to_string() };
    let below = path.strip_prefix(base).ok().filter(|below| !below.as_os_str().is_empty());
    let name = below.or_else(|| path.file_name().map(Path::new));
    name.map_or_else(|| object.to_string(), |name| name.display().to_string())
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
