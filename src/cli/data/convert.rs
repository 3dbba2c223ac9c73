//! `smrt data convert`: the same rows in another format, in constant memory where the format read
//! allows it.

use clap::{Args, ValueEnum};

use crate::cli::open::StorageOptions;
use crate::cli::predict::{Content, Sink, content_of, delimiter, objects};
use crate::cli::{Error, Failure};
use crate::data::channel::{self, batches};
use crate::data::write::{Encoder, Packing, Target};
use crate::data::{self, Absent};
use crate::spec::train::{Categorical, Format, LabelColumn, Media, WeightColumn};
use crate::store::Store;

/// Write a table's rows in another format
///
/// From and to csv, jsonl, libsvm, recordio and parquet, by the names' endings; .gz and .zst pack.
/// The label stands first, or under its name where columns have names. The result becomes visible
/// when it is complete.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smrt data convert --header --label churn train.csv train.parquet
  smrt data convert train.libsvm s3://data/train.recordio
  smrt data convert --absent missing train.csv train.libsvm.gz    for xgboost")]
pub(super) struct Options {
    /// The rows: a file, a folder, s3://bucket/prefix/, or - for standard input
    #[arg(value_name = "FROM", value_hint = clap::ValueHint::AnyPath)]
    source: String,

    /// Where they go: a path, s3://bucket/key, or - for standard output
    #[arg(value_name = "TO", value_hint = clap::ValueHint::AnyPath)]
    result: String,

    /// What is read [default: by the name's ending, else csv]
    #[arg(long, value_enum, value_name = "TYPE")]
    from: Option<Content>,

    /// What is written [default: by the name's ending, else csv]
    #[arg(long, value_enum, value_name = "TYPE")]
    to: Option<Content>,

    /// The first line of each CSV file names the columns
    #[arg(long)]
    header: bool,

    /// What stands between the columns of a CSV file that is read
    #[arg(long, value_name = "CHARACTER", default_value = ",", value_parser = delimiter)]
    delimiter: u8,

    /// The label's column [default: the first; of JSON Lines the key label]
    #[arg(long, value_name = "NAME", conflicts_with = "no_label")]
    label: Option<String>,

    /// There is no label
    #[arg(long)]
    no_label: bool,

    /// The column of weights
    #[arg(long, value_name = "NAME")]
    weight: Option<String>,

    /// The column of query groups
    #[arg(long, value_name = "NAME")]
    group: Option<String>,

    /// What a cell is that sparse rows leave out; xgboost takes it for missing
    #[arg(long, value_enum, default_value_t, value_name = "CELL")]
    absent: Cell,

    /// Features of a row, where sparse rows do not show it
    #[arg(long, value_name = "COUNT")]
    features: Option<usize>,

    #[command(flatten)]
    storage: StorageOptions,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Cell {
    #[default]
    Zero,
    Missing,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let store = options.storage.store();
    let from = media(options.from.unwrap_or_else(|| content_of(&options.source)), "--from")?;
    let to = media(options.to.unwrap_or_else(|| content_of(&options.result)), "--to")?;
    let format = options.format(from);
    let sparse_to = matches!(to, Media::Libsvm | Media::RecordIo | Media::JsonLines);
    let mut reading = channel::Options {
        absent: match options.absent {
            Cell::Zero => Absent::Zero,
            Cell::Missing => Absent::Missing,
        },
        fill: !sparse_to,
        features: options.features,
        ..channel::Options::new("data")
    };
    // Only the last of libsvm's rows tells how wide all of them are, and a record says no width.
    if reading.features.is_none() && to != Media::Libsvm {
        match from {
            Media::Libsvm => reading.features = Some(options.width(&format, &reading, &store)?),
            Media::RecordIo if !sparse_to => {
                reading.features = Some(options.first_width(&format, &reading, &store)?);
            }
            _ => {}
        }
    }
    loop {
        match options.convert(&format, &reading, to, &store) {
            Ok(done) => return done.finish(),
            Err(Stopped::Other(failure)) => return Err(failure),
            // A column of numbers turned out to hold a word: the rows are read anew with it.
            Err(Stopped::Data(data::Error::Words { columns }))
                if !columns.is_subset(&reading.words_met) && options.source != "-" =>
            {
                reading.words_met.extend(columns);
            }
            Err(Stopped::Data(source)) => return Err(explained(options, source)),
        }
    }
}

/// Why a conversion ended early.
enum Stopped {
    Data(data::Error),
    Other(Failure),
}

impl From<data::Error> for Stopped {
    fn from(error: data::Error) -> Stopped {
        Stopped::Data(error)
    }
}

fn explained(options: &Options, source: data::Error) -> Failure {
    Error::Data { source, header: !options.header }.into()
}

/// `application/json` is one document and no table.
pub(super) fn media(content: Content, option: &str) -> Result<Media, Failure> {
    match content {
        Content::Csv => Ok(Media::Csv),
        Content::Jsonlines => Ok(Media::JsonLines),
        Content::Libsvm => Ok(Media::Libsvm),
        Content::Recordio => Ok(Media::RecordIo),
        Content::Parquet => Ok(Media::Parquet),
        Content::Json => {
            let what = "json is for requests; a table of JSON has an object on each line";
            let help = Some(format!("write {option} jsonlines"));
            Err(Error::Address { what: what.to_owned(), help }.into())
        }
    }
}

impl Options {
    fn format(&self, media: Media) -> Format {
        let named = |name: &Option<String>| name.clone();
        Format {
            header: self.header && media == Media::Csv,
            delimiter: self.delimiter,
            label: match (&self.label, self.no_label) {
                (Some(name), _) => LabelColumn::Named(name.clone()),
                (None, true) => LabelColumn::None,
                (None, false) => LabelColumn::First,
            },
            weight: named(&self.weight).map(WeightColumn::Named),
            group: named(&self.group),
            categorical: match media {
                Media::Libsvm | Media::RecordIo => Categorical::None,
                _ => Categorical::Auto,
            },
            ..Format::new(media)
        }
    }

    /// How wide the widest row is.
    fn width(
        &self,
        format: &Format,
        reading: &channel::Options,
        store: &Store,
    ) -> Result<usize, Failure> {
        if self.source == "-" {
            let what = "standard input is read once, and only its last row tells the width";
            let help = Some("say how many features there are with --features".to_owned());
            return Err(Error::Address { what: what.to_owned(), help }.into());
        }
        let mut widest = 0;
        let told = |source| explained(self, source);
        for batch in batches(objects(&self.source, store)?.0, format, reading).map_err(told)? {
            let sparse = batch.map_err(told)?.sparse;
            widest = widest.max(sparse.map_or(0, |sparse| sparse.width));
        }
        Ok(widest)
    }

    /// How wide the first rows are, where all are alike.
    fn first_width(
        &self,
        format: &Format,
        reading: &channel::Options,
        store: &Store,
    ) -> Result<usize, Failure> {
        if self.source == "-" {
            let what = "records on standard input are read once, and may be sparse";
            let help = Some("say how many features there are with --features".to_owned());
            return Err(Error::Address { what: what.to_owned(), help }.into());
        }
        let told = |source| explained(self, source);
        let first = batches(objects(&self.source, store)?.0, format, reading).map_err(told)?.next();
        let Some(batch) = first else { return Ok(0) };
        let batch = batch.map_err(told)?;
        Ok(batch.sparse.map_or(batch.features.ncols(), |sparse| sparse.width))
    }

    fn convert(
        &self,
        format: &Format,
        reading: &channel::Options,
        to: Media,
        store: &Store,
    ) -> Result<Sink, Stopped> {
        let (objects, parts) = objects(&self.source, store).map_err(Stopped::Other)?;
        let mut reader = batches(objects, format, &channel::Options { parts, ..reading.clone() })?;
        let mut encoder = None;
        let mut sink = None;
        let mut bytes = Vec::new();
        while let Some(batch) = reader.next() {
            let batch = batch?;
            let encoder = encoder.get_or_insert_with(|| {
                Encoder::new(Target {
                    media: to,
                    packing: packing(&self.result),
                    absent: reading.absent,
                    columns: reader.columns(),
                    label: self.label.clone().unwrap_or_else(|| "label".into()),
                })
            });
            encoder.batch(&batch, &reader.categories(), &mut bytes)?;
            self.write(&mut sink, &mut bytes, store)?;
        }
        if let Some(encoder) = encoder {
            encoder.finish(&mut bytes)?;
        }
        self.write(&mut sink, &mut bytes, store)?;
        sink.ok_or(Stopped::Data(data::Error::NoRows))
    }

    /// Writes what is ready. The result is begun once there is something to write.
    fn write(
        &self,
        sink: &mut Option<Sink>,
        bytes: &mut Vec<u8>,
        store: &Store,
    ) -> Result<(), Stopped> {
        let open = match sink {
            Some(open) => open,
            None => sink.insert(Sink::open(&self.result, store).map_err(Stopped::Other)?),
        };
        open.write(bytes).map_err(Stopped::Other)?;
        bytes.clear();
        Ok(())
    }
}

/// What a name's ending says of packing.
fn packing(name: &str) -> Packing {
    let name = name.to_ascii_lowercase();
    match name.rsplit('.').next() {
        Some("gz") => Packing::Gzip,
        Some("zst") => Packing::Zstd,
        _ => Packing::Plain,
    }
}
