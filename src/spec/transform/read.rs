//! A file to [`TransformJob`], section by section.

use std::path::Path;

use super::fits::check;
use super::{
    AssembleWith, BatchStrategy, Input, JoinSource, Output, Processing, SplitType, TransformJob,
};
use crate::spec::Mistakes;
use crate::spec::cursor::{Cursor, Wrong};
use crate::spec::document::{self, Table};
use crate::spec::json_path::JsonPath;
use crate::spec::limit;
use crate::spec::name::JobName;
use crate::spec::problem::Problems;
use crate::spec::role::RoleArn;
use crate::spec::train::{
    Compression, DataType, Media, SealKey, Storage, quoted, read_storage, seal_key, word, writable,
};
use crate::spec::uri::Uri;

/// What came of reading a transform's file.
#[derive(Debug)]
pub struct Reading {
    /// The job, when nothing is wrong with its keys.
    pub job: Option<TransformJob>,
    /// Everything that is wrong, in the order of the file.
    pub mistakes: Mistakes,
    /// Line of `output.accept`, for what only the writer of answers can judge.
    pub accept_line: Option<usize>,
}

/// Whether a job file is one of a transform: it has such sections and no algorithm.
pub fn is_meant(bytes: &[u8]) -> bool {
    let root = document::parse(bytes, &[], &mut Problems::default()).root;
    let has = |key: &str| root.contains_key(key);
    !has("algorithm")
        && !has("channels")
        && ["input", "model", "transform", "data_processing"].into_iter().any(has)
}

impl TransformJob {
    /// Reads a job file. `file` is its name in messages; paths in it are taken relative to
    /// `base`; each of `overrides` is a `KEY=VALUE` that replaces a key before it is checked.
    pub fn read(bytes: &[u8], file: &str, base: &Path, overrides: &[String]) -> Reading {
        let mut problems = Problems::default();
        let document = document::parse(bytes, overrides, &mut problems);
        let torn = document.torn;
        let line_of = |table: &str, key: &str| match &document.root.get(table)?.kind {
            document::Kind::Table(table) => table.get(key)?.line,
            _ => None,
        };
        let accept_line = line_of("output", "accept");
        let sections = read_sections(document.root.clone(), torn, base, &mut problems);
        if !torn && let Some(sections) = &sections {
            check(sections, &line_of, &mut problems);
        }
        let mut mistakes =
            Mistakes { file: file.to_owned(), overridden: document.overridden.clone(), problems };
        mistakes.sort();
        let job = sections.filter(|_| mistakes.is_empty());
        Reading { job, mistakes, accept_line }
    }
}

fn read_sections(
    root: Table,
    torn: bool,
    base: &Path,
    problems: &mut Problems,
) -> Option<TransformJob> {
    let mut top = Cursor::new(root, torn, place_of, problems);
    let (name, role) = top.table("job", "[job] with name = \"my-job\" below it", |job| {
        let there = job.has("name");
        let name = job.parsed("name", |text| {
            JobName::parse(text)
                .map_err(|rule| (format!("{} is not a job name", quoted(text)), Some(rule.into())))
        });
        job.needs("name", there, "name = \"my-job\" below [job]");
        (name, job.parsed("role", RoleArn::parse))
    });
    let model = top.table("model", "[model] with uri = \"…\" below it", |table| {
        let there = table.has("uri");
        let uri = table.parsed("uri", |text| Uri::parse(text, base));
        table.needs("uri", there, "uri = \"s3://bucket/…/model.tar.gz\", or a path, below [model]");
        uri
    });
    let input =
        top.table("input", "[input] with uri = \"…\" below it", |table| read_input(table, base));
    let output = top.table("output", "[output] with uri = \"…\" below it", |table| {
        read_output(table, base, input.as_ref().map_or(Media::Csv, |input| input.media))
    });
    let (strategy, payload, concurrent) =
        top.table("transform", "[transform] with keys below it", read_transform);
    let processing =
        top.table("data_processing", "[data_processing] with keys below it", |table| Processing {
            input_filter: table.parsed("input_filter", JsonPath::parse).unwrap_or_default(),
            output_filter: table.parsed("output_filter", JsonPath::parse).unwrap_or_default(),
            join: word(table, "join_source", &[JoinSource::None, JoinSource::Input]),
        });
    let storage: Storage =
        top.table("storage", "[storage.s3] with keys below it", |table| read_storage(table, base));
    top.finish();
    Some(TransformJob {
        name: name?,
        role,
        model: model?,
        input: input?,
        output: output?,
        strategy,
        payload_bytes_max: (payload > 0).then_some(payload << 20),
        concurrent,
        processing,
        storage,
    })
}

fn read_input(table: &mut Cursor<'_>, base: &Path) -> Option<Input> {
    let there = table.has("uri");
    let uri = table.parsed("uri", |text| Uri::parse(text, base));
    table.needs("uri", there, "uri = \"s3://bucket/prefix/\", or a folder, below [input]");
    let media = table.parsed("content_type", content_type);
    let split = word(table, "split_type", &SPLITS);
    let compression = word(table, "compression", &[Compression::None, Compression::Gzip]);
    let header = table.boolean("header").is_some_and(|found| found.value);
    let data_type = word(table, "s3_data_type", &[DataType::S3Prefix, DataType::ManifestFile]);
    let media = media.unwrap_or(Media::Csv);
    Some(Input { uri: uri?, data_type, media, split, compression, header })
}

fn read_output(table: &mut Cursor<'_>, base: &Path, input: Media) -> Option<Output> {
    let there = table.has("uri");
    let uri = table.parsed("uri", |text| writable(text, base));
    table.needs("uri", there, "uri = \"s3://bucket/prefix\", or a folder, below [output]");
    let accepted = table.parsed("accept", |text| {
        let name = text.split(';').next().unwrap_or_default();
        match content_type(name) {
            Ok(media) if written(media) => Ok((text.to_owned(), media)),
            _ => Err((
                format!("{} is not a type smrt answers in", quoted(text)),
                Some(format!("write {ANSWERS}")),
            )),
        }
    });
    let assemble = word(table, "assemble_with", &[AssembleWith::None, AssembleWith::Line]);
    let key = table.parsed("kms_key", seal_key).unwrap_or(SealKey::Plain);
    let (accept, media) = accepted.unwrap_or_else(|| {
        let media = if written(input) { input } else { Media::Csv };
        (media.to_string(), media)
    });
    Some(Output { uri: uri?, accept, media, assemble, key })
}

fn read_transform(table: &mut Cursor<'_>) -> (BatchStrategy, usize, usize) {
    let strategy =
        word(table, "batch_strategy", &[BatchStrategy::MultiRecord, BatchStrategy::SingleRecord]);
    let payload = table
        .integer("max_payload_in_mb", 0..=limit::TRANSFORM_PAYLOAD_MB_MAX)
        .unwrap_or(limit::TRANSFORM_PAYLOAD_MB_DEFAULT);
    let concurrent =
        table.integer("max_concurrent_transforms", 0..=limit::JOB_THREADS_MAX).unwrap_or(0);
    (strategy, payload as usize, concurrent as usize)
}

const READ: &str = "text/csv, application/jsonlines, application/json, text/libsvm, application/x-recordio-protobuf or application/x-parquet";
const SPLITS: [SplitType; 4] =
    [SplitType::None, SplitType::Line, SplitType::RecordIO, SplitType::TFRecord];
const ANSWERS: &str =
    "text/csv, application/jsonlines, application/json or application/x-recordio-protobuf";

fn content_type(text: &str) -> Result<Media, Wrong> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let plain = |part: &str| {
        let part = part.to_ascii_lowercase().replace(' ', "");
        matches!(part.as_str(), "" | "label_size=0" | "charset=utf-8")
    };
    let media = match name.as_str() {
        "text/csv" | "application/csv" | "csv" => Media::Csv,
        "application/jsonlines"
        | "application/x-ndjson"
        | "application/x-jsonlines"
        | "jsonlines" => Media::JsonLines,
        "application/json" | "json" => Media::Json,
        "text/libsvm" | "text/x-libsvm" | "libsvm" => Media::Libsvm,
        "application/x-recordio-protobuf" | "recordio-protobuf" => Media::RecordIo,
        "application/x-parquet" | "text/x-parquet" | "parquet" => Media::Parquet,
        _ => {
            let what = format!("{} is not a content type that smrt transforms", quoted(text));
            return Err((what, Some(format!("write {READ}"))));
        }
    };
    match parts.all(plain) {
        true => Ok(media),
        false => Err((
            format!("{} has a parameter that means nothing here", quoted(text)),
            Some("records hold features only: leave the label and its parameter out".into()),
        )),
    }
}

fn written(media: Media) -> bool {
    matches!(media, Media::Csv | Media::Json | Media::JsonLines | Media::RecordIo)
}

/// Where a key belongs that stands in the wrong table.
fn place_of(key: &str) -> Option<&'static str> {
    Some(match key {
        "name" => "job.name",
        "role" => "job.role",
        "content_type" => "input.content_type",
        "split_type" => "input.split_type",
        "s3_data_type" => "input.s3_data_type",
        "header" => "input.header",
        "accept" => "output.accept",
        "assemble_with" => "output.assemble_with",
        "kms_key" => "output.kms_key",
        "batch_strategy" => "transform.batch_strategy",
        "max_payload_in_mb" => "transform.max_payload_in_mb",
        "max_concurrent_transforms" => "transform.max_concurrent_transforms",
        "input_filter" => "data_processing.input_filter",
        "output_filter" => "data_processing.output_filter",
        "join_source" => "data_processing.join_source",
        "s3" => "storage.s3",
        "kms" => "storage.kms",
        "endpoint" => "storage.s3.endpoint",
        "region" => "storage.s3.region",
        _ => return None,
    })
}
