//! `smrt predict`: a model's answers for a file, without a server and in constant memory.

use std::io::{self, BufReader, Read, Write};

use clap::{Args, ValueEnum};

use super::open::{self, KeyOptions, StorageOptions};
use super::series::Series;
use super::trust::TrustOptions;
use super::{Error, Failure, output};
use crate::algorithm::Ask;
use crate::data::channel::{self, Parts, batches};
use crate::data::login;
use crate::data::media::{Accept, ContentType};
use crate::data::request::{self, Limits};
use crate::data::schema::Cells;
use crate::data::{Answer, answer};
use crate::model::Model;
use crate::spec::limit::{JOB_MEMORY_BYTES_MAX, REQUEST_FILE_BYTES_MAX};
use crate::spec::train::{Format, LabelColumn, Media};
use crate::spec::uri::Uri;
use crate::store::{Store, Upload};

/// Answer predictions for a file, here and now
///
/// The data hold features only, in the order of the training data, no label. One line comes out
/// for each row: the score of a binary, regression or anomaly model, or the probability of every
/// class, separated by commas. --format json gives the endpoint's full response.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smrt predict model.tar.gz rows.csv
  smrt predict --header --format jsonl model.tar.gz rows.csv.gz
  smrt predict --series model.tar.gz series.csv
  smrt predict --explain 5 --format jsonl model.tar.gz rows.csv
  cut -d, -f2- train.csv | smrt predict model.tar.gz -
  smrt predict model.tar.gz s3://data/new/ --output s3://data/scores.csv

Environment:
  SMRT_HOME   where keys are kept (default: $XDG_DATA_HOME/smrt)")]
pub(super) struct Options {
    /// The model: a path, or s3://bucket/key
    #[arg(value_name = "ARTIFACT", value_hint = clap::ValueHint::FilePath)]
    artifact: String,

    /// The rows: a file, a folder, s3://bucket/prefix/, or - for standard input
    #[arg(value_name = "DATA", value_hint = clap::ValueHint::AnyPath)]
    data: String,

    /// What the data are [default: by the name's ending, else csv]
    #[arg(long, value_enum, value_name = "TYPE")]
    content_type: Option<Content>,

    /// The first line of each CSV file names the columns
    #[arg(long)]
    header: bool,

    /// The rows are one series in order: each is answered with the rows before it, as many as a
    /// shingle of the model has. The first answer is that of the first whole shingle
    #[arg(long)]
    series: bool,

    /// What stands between the columns of a CSV file
    #[arg(long, value_name = "CHARACTER", default_value = ",", value_parser = delimiter)]
    delimiter: u8,

    /// csv: one line per row; json: the endpoint's response; jsonl: one object per row
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Answers,

    /// Say which columns decided each answer, the COUNT strongest, or "all" (trees and forests)
    #[arg(long, value_name = "COUNT", value_parser = explained_columns)]
    explain: Option<usize>,

    /// Where the answers go: a path, s3://bucket/key, or - for standard output
    #[arg(long, short, value_name = "URI", default_value = "-")]
    output: String,

    #[command(flatten)]
    storage: StorageOptions,

    #[command(flatten)]
    keys: KeyOptions,

    #[command(flatten)]
    trust: TrustOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Content {
    Csv,
    Jsonlines,
    Json,
    Libsvm,
    Recordio,
    Parquet,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Answers {
    #[default]
    Csv,
    Json,
    Jsonl,
}

pub(super) fn delimiter(text: &str) -> Result<u8, String> {
    match (text, text.as_bytes()) {
        ("\\t" | "tab", _) => Ok(b'\t'),
        (_, [byte]) if byte.is_ascii_punctuation() || *byte == b' ' || *byte == b'\t' => Ok(*byte),
        _ => Err("write one character, e.g. ; or tab".into()),
    }
}

fn explained_columns(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ if text == "all" => Ok(usize::MAX),
        _ => Err("write how many columns, from 1, or all".into()),
    }
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let store = options.storage.store();
    let model = options.model(&store)?;
    let mut answers = Sink::open(&options.output, &store)?;
    let mut text = Text::new(options.format, !options.ask().is_plain());
    let mut bytes = Vec::new();
    let mut go_on = true;
    options.each_answer(&model, &store, &mut |answer| {
        bytes.clear();
        text.answer(answer, &mut bytes);
        go_on = answers.write(&bytes)?;
        Ok(go_on)
    })?;
    if go_on {
        bytes.clear();
        text.end(&mut bytes);
        answers.write(&bytes)?;
    }
    answers.finish()
}

impl Options {
    fn model(&self, store: &Store) -> Result<Model, Failure> {
        open::model(&self.artifact, store, self.keys.keys()?, self.trust.trust(store)?)
    }

    fn ask(&self) -> Ask {
        Ask { explain: self.explain, ..Ask::default() }
    }

    /// Hands over the model's answers, block by block, until `take` says that it has enough.
    fn each_answer(
        &self,
        model: &Model,
        store: &Store,
        take: &mut dyn FnMut(&Answer) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let content = self.content_type.unwrap_or_else(|| content_of(&self.data));
        let (objects, parts) = objects(&self.data, store)?;
        let media = match content {
            Content::Csv => Media::Csv,
            Content::Jsonlines => Media::JsonLines,
            Content::Libsvm => Media::Libsvm,
            Content::Recordio => Media::RecordIo,
            Content::Parquet => Media::Parquet,
            Content::Json if self.series => {
                return Err(Error::Address {
                    what: "--series reads rows one after the other, and JSON is one document"
                        .into(),
                    help: Some("give the series as CSV or JSON Lines".into()),
                }
                .into());
            }
            Content::Json => return whole_documents(model, objects, &self.ask(), take),
        };
        let format = Format {
            header: self.header && media == Media::Csv,
            delimiter: self.delimiter,
            label: LabelColumn::None,
            ..Format::new(media)
        };
        if model.manifest.signature.cells == Cells::Login {
            return logins(model, objects, &format, take);
        }
        let shingle = if self.series { model.predictor.shingle() } else { 1 };
        let columns = model.manifest.signature.features / shingle;
        let mut series = Series::new(shingle, columns);
        let options = channel::Options {
            features: Some(columns),
            categories: Some(model.manifest.signature.vocabulary().clone()),
            absent: model.manifest.signature.absent,
            fill: true,
            memory_bytes_max: JOB_MEMORY_BYTES_MAX,
            parts,
            ..channel::Options::new("data")
        };
        let explained = |source| Error::Data { source, header: !self.header };
        let mut read = batches(objects, &format, &options).map_err(explained)?;
        let mut compared = false;
        while let Some(batch) = read.next() {
            let batch = batch.map_err(explained)?;
            if !std::mem::replace(&mut compared, true) {
                // Of a shingle, the newest row has the names as they are.
                let wanted = &model.manifest.signature.columns;
                same_columns(&read.columns(), &wanted[wanted.len().saturating_sub(columns)..])?;
            }
            // A model reads row after row; a decoded batch stands column after column.
            let rows = batch.features.as_standard_layout();
            let go_on = match self.series {
                true => series.each(rows.view(), |shingles| {
                    take(&model.predict_with(shingles, &self.ask())?)
                })?,
                false => take(&model.predict_with(rows.view(), &self.ask())?)?,
            };
            if !go_on {
                break;
            }
        }
        Ok(())
    }
}

/// The objects at a place, or standard input for `-`, each opened when its turn comes; and how to read
/// a part of one.
pub(super) fn objects(
    place: &str,
    store: &Store,
) -> Result<(Vec<channel::Object>, Option<Parts>), Failure> {
    if place == "-" {
        let reader = Box::new(io::stdin());
        let object = channel::Object { uri: "standard input".into(), bytes: None, reader };
        return Ok((vec![object], None));
    }
    let listed = store.list(&open::uri(place)?).map_err(|source| Error::Place { source })?;
    let lazy = |object: &crate::store::Object| channel::Object {
        uri: object.uri.to_string(),
        bytes: Some(object.bytes),
        reader: Box::new(Lazy::new(store, object.clone())),
    };
    let objects = listed.iter().map(lazy).collect();
    let store = store.clone();
    let has_parts = listed.iter().all(crate::store::Object::has_parts);
    let open =
        move |at: usize, range| store.open_range(&listed[at], range).map_err(io::Error::other);
    Ok((objects, has_parts.then(|| Parts::new(open))))
}

/// Columns are taken by their place: where both sides name them, the names must agree.
fn same_columns(found: &[String], wanted: &[String]) -> Result<(), Failure> {
    if found.is_empty() || wanted.is_empty() {
        return Ok(());
    }
    let differ = found.iter().zip(wanted).position(|(found, wanted)| found != wanted);
    match differ {
        None => Ok(()),
        Some(at) => Err(Error::Columns {
            at: at + 1,
            found: found[at].clone(),
            wanted: wanted[at].clone(),
            elsewhere: found.iter().position(|name| *name == wanted[at]).map(|at| at + 1),
        }
        .into()),
    }
}

/// Answers rows of two words, an entity and an address.
fn logins(
    model: &Model,
    objects: Vec<channel::Object>,
    format: &Format,
    take: &mut dyn FnMut(&Answer) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let explained = |source| Error::Data { source, header: !format.header };
    let mut pieces = login::pieces(objects, format, "data").map_err(explained)?;
    while let Some(values) = pieces.next_rows().map_err(explained)? {
        let rows =
            ndarray::Array2::from_shape_vec((values.len() / login::WIDTH, login::WIDTH), values)
                .expect("every row was decoded whole");
        if !take(&model.predict(rows.view())?)? {
            break;
        }
    }
    Ok(())
}

/// An object that is opened when it is read first: a prefix may hold more than a process may open.
struct Lazy {
    store: Store,
    object: crate::store::Object,
    open: Option<BufReader<Box<dyn Read + Send>>>,
}

impl Lazy {
    fn new(store: &Store, object: crate::store::Object) -> Lazy {
        Lazy { store: store.clone(), object, open: None }
    }
}

impl Read for Lazy {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let reader = match &mut self.open {
            Some(reader) => reader,
            none => {
                let opened = self.store.open(&self.object).map_err(io::Error::other)?;
                none.insert(BufReader::new(opened))
            }
        };
        reader.read(into)
    }
}

/// `{"instances": […]}` is one document and cannot be read row by row.
fn whole_documents(
    model: &Model,
    objects: Vec<channel::Object>,
    ask: &Ask,
    take: &mut dyn FnMut(&Answer) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let content = ContentType::from(Media::Json);
    for mut object in objects {
        let uri = object.uri.clone();
        let failed = |source| Error::ReadData { place: uri.clone(), source };
        let mut body = Vec::new();
        let limit = REQUEST_FILE_BYTES_MAX;
        object.reader.by_ref().take(limit + 1).read_to_end(&mut body).map_err(failed)?;
        if body.len() as u64 > limit {
            let what = format!("a JSON document may have {limit} bytes; use JSON Lines for more");
            return Err(failed(io::Error::other(what)).into());
        }
        let explained = |source| Error::Data { source, header: false };
        let rows = request::decode(&content, &body, &model.manifest.signature, &Limits::default())
            .map_err(explained)?;
        if !take(&model.predict_with(rows.view(), ask)?)? {
            break;
        }
    }
    Ok(())
}

/// What a name's ending says, compression aside.
pub(super) fn content_of(name: &str) -> Content {
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(&name);
    match name.rsplit('.').next() {
        Some("jsonl" | "jsonlines" | "ndjson") => Content::Jsonlines,
        Some("json") => Content::Json,
        Some("libsvm" | "svm" | "svmlight") => Content::Libsvm,
        Some("parquet" | "pq") => Content::Parquet,
        Some("recordio" | "rec" | "pbr") => Content::Recordio,
        _ => Content::Csv,
    }
}

/// Answers as text. A JSON response is one document over all blocks.
struct Text {
    accept: Accept,
    /// CSV has every field, not the first alone.
    all: bool,
    joined: Option<&'static str>,
    started: bool,
}

impl Text {
    fn new(format: Answers, all: bool) -> Text {
        let media = match format {
            Answers::Csv => Media::Csv,
            Answers::Json => Media::Json,
            Answers::Jsonl => Media::JsonLines,
        };
        let joined = (format == Answers::Json).then_some(",");
        Text { accept: media.into(), all, joined, started: false }
    }

    fn answer(&mut self, answer: &Answer, out: &mut Vec<u8>) {
        let Some(comma) = self.joined else {
            match self.all {
                true => answer::encode_fields(answer, &self.accept, out),
                false => answer::encode(answer, &self.accept, out),
            }
            if out.last().is_some_and(|byte| *byte != b'\n') {
                out.push(b'\n');
            }
            return;
        };
        let mut document = Vec::new();
        answer::encode(answer, &self.accept, &mut document);
        let head = format!("{{\"{}\":[", answer.key);
        let entries = document
            .strip_prefix(head.as_bytes())
            .and_then(|rest| rest.trim_ascii_end().strip_suffix(b"]}"))
            .expect("an answer in JSON is an object with one list");
        out.extend_from_slice(if self.started { comma.as_bytes() } else { head.as_bytes() });
        out.extend_from_slice(entries);
        self.started = true;
    }

    fn end(&self, out: &mut Vec<u8>) {
        if self.joined.is_some() && self.started {
            out.extend_from_slice(b"]}\n");
        }
    }
}

/// Where answers go. An object becomes visible when it is complete.
pub(super) enum Sink {
    Stdout(io::BufWriter<io::Stdout>),
    Object(Uri, Box<Upload>),
}

impl Sink {
    pub(super) fn open(place: &str, store: &Store) -> Result<Sink, Failure> {
        if place == "-" {
            return Ok(Sink::Stdout(io::BufWriter::new(io::stdout())));
        }
        let uri = open::uri(place)?;
        let upload = store.create(&uri).map_err(|source| Error::Place { source })?;
        Ok(Sink::Object(uri, Box::new(upload)))
    }

    /// Writes; false when the reader has gone and nothing more is wanted.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        match self {
            Sink::Stdout(out) => match out.write_all(bytes) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
                other => Ok(other.map(|()| true).map_err(Error::Output)?),
            },
            Sink::Object(uri, upload) => {
                let failed = |source| Error::WriteData { place: uri.to_string(), source };
                Ok(upload.write_all(bytes).map(|()| true).map_err(failed)?)
            }
        }
    }

    pub(super) fn finish(self) -> Result<(), Failure> {
        match self {
            Sink::Stdout(mut out) => output::finish(out.flush()),
            Sink::Object(_, upload) => Ok(upload.finish().map(drop)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Field, Values};

    fn scores(scores: &[f32]) -> Answer {
        let values = Values::Number(scores.to_vec());
        let fields = vec![Field { name: "score", values }];
        Answer { key: "predictions", rows: scores.len(), fields }
    }

    fn written(format: Answers, blocks: &[Answer]) -> String {
        let mut text = Text::new(format, false);
        let mut out = Vec::new();
        for block in blocks {
            let mut bytes = Vec::new();
            text.answer(block, &mut bytes);
            out.extend(bytes);
        }
        text.end(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn blocks_join_to_one_answer() {
        let blocks = [scores(&[0.5, 0.25]), scores(&[1.0])];
        assert_eq!(written(Answers::Csv, &blocks), "0.5\n0.25\n1.0\n");
        let whole = "{\"predictions\":[{\"score\":0.5},{\"score\":0.25},{\"score\":1.0}]}\n";
        assert_eq!(written(Answers::Json, &blocks), whole);
        let lines = "{\"score\":0.5}\n{\"score\":0.25}\n{\"score\":1.0}\n";
        assert_eq!(written(Answers::Jsonl, &blocks), lines);
    }

    #[test]
    fn a_names_ending_tells_the_content() {
        assert_eq!(content_of("s3://b/rows.jsonl.gz"), Content::Jsonlines);
        assert_eq!(content_of("request.JSON"), Content::Json);
        assert_eq!(content_of("rows.csv.zst"), Content::Csv);
        assert_eq!(content_of("rows.svm.gz"), Content::Libsvm);
        assert_eq!(content_of("-"), Content::Csv);
    }
}
