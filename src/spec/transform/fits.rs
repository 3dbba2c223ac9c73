//! Whether a transform's keys fit together, so that every record gets exactly one answer of its own
//! and no run reads what the one before wrote.

use super::{AssembleWith, BatchStrategy, JoinSource, SplitType, TransformJob};
use crate::spec::json_path::{JsonPath, Step};
use crate::spec::limit;
use crate::spec::problem::Problems;
use crate::spec::train::{DataType, Media};
use crate::spec::uri::Uri;

/// Adds every mistake that needs two keys to be seen.
pub(super) fn check(
    job: &TransformJob,
    line_of: &dyn Fn(&str, &str) -> Option<usize>,
    problems: &mut Problems,
) {
    let mut wrong = |table: &str, key: &str, what: String, help: &str| {
        problems.add(format!("{table}.{key}"), line_of(table, key), what, Some(help.to_owned()));
    };
    let (input, output) = (&job.input, &job.output);
    let named = |media: Media| media.to_string();

    let split_fits = match input.split {
        SplitType::None => true,
        SplitType::Line => !matches!(input.media, Media::RecordIo | Media::Parquet),
        SplitType::RecordIO => input.media == Media::RecordIo,
        SplitType::TFRecord => input.media != Media::Parquet,
    };
    if !split_fits {
        let what = format!("{} does not split {}", input.split, named(input.media));
        let help = match input.media {
            Media::Parquet => "write \"None\": its rows are answered one by one as they are",
            _ => "write \"Line\" for text, \"RecordIO\" for recordio",
        };
        wrong("input", "split_type", what, help);
    }
    if input.header && input.split == SplitType::TFRecord {
        let what = "a frame of TFRecord is a record, and no header".to_owned();
        wrong("input", "header", what, "leave it out");
    } else if input.header && input.media != Media::Csv {
        let what = format!("{} has no header", named(input.media));
        wrong("input", "header", what, "leave it out");
    }

    let single = job.strategy == BatchStrategy::SingleRecord;
    if output.media == Media::Json && input.split != SplitType::None && !single {
        wrong(
            "output",
            "accept",
            "a document of JSON answers a whole request, not each of its records".into(),
            "write accept = \"application/jsonlines\", or batch_strategy = \"SingleRecord\"",
        );
    }
    if input.media == Media::Json && input.split != SplitType::None && !single {
        wrong(
            "input",
            "content_type",
            "lines of application/json are requests of their own".into(),
            "write content_type = \"application/jsonlines\", or batch_strategy = \"SingleRecord\"",
        );
    }
    if output.media == Media::RecordIo && output.assemble == AssembleWith::Line {
        let what = "a line feed would stand between frames of RecordIO".to_owned();
        wrong("output", "assemble_with", what, "write \"None\"");
    }

    if let Some(bytes) = job.payload_bytes_max {
        let (mb, most) = (bytes >> 20, limit::TRANSFORM_PAYLOAD_MB_MAX as usize);
        if mb.saturating_mul(job.concurrent) > most {
            let what = format!("{} requests of {mb} MB at once are too much", job.concurrent);
            let help = format!("the product of both may be {most}, as in SageMaker");
            wrong("transform", "max_concurrent_transforms", what, &help);
        }
    }

    let processing = &job.processing;
    let is_text = |media| matches!(media, Media::Csv | Media::JsonLines | Media::Json);
    let joined = processing.join == JoinSource::Input;
    for (key, media, path) in [
        ("input_filter", input.media, &processing.input_filter),
        (
            "output_filter",
            if joined { input.media } else { output.media },
            &processing.output_filter,
        ),
    ] {
        if path.is_whole() {
            continue;
        }
        if !is_text(media) {
            let what = format!("{} cannot be filtered", named(media));
            wrong("data_processing", key, what, "leave it out, or use text/csv or JSON");
        } else if media == Media::Csv && !fits_csv(path) {
            let what = format!("{path} does not fit a record of CSV, which is a list");
            wrong("data_processing", key, what, "write columns: $[1:], $[0,-1], $[2]");
        }
    }
    if joined {
        let json = |media| matches!(media, Media::Json | Media::JsonLines);
        // A document is one record with one answer.
        let alike = (input.media == Media::Csv && output.media == Media::Csv)
            || (input.media == Media::Json && output.media == Media::Json)
            || (input.media == Media::JsonLines && json(output.media));
        if !alike {
            let what =
                format!("{} and {} cannot be joined", named(input.media), named(output.media));
            wrong("data_processing", "join_source", what, "use CSV for both, or JSON for both");
        }
    }
    let needs_split = !matches!(input.media, Media::Json | Media::Parquet);
    if !processing.is_none() && input.split == SplitType::None && needs_split {
        wrong(
            "input",
            "split_type",
            "filters and joins work on records, and the object is not split".into(),
            "write split_type = \"Line\"",
        );
    }

    if input.data_type == DataType::S3Prefix && lies_in(&output.uri, &input.uri) {
        let what = format!("{} lies in the input: the next run would read its answers", output.uri);
        wrong("output", "uri", what, "write to a place beside input.uri");
    }
}

/// One choice of columns.
fn fits_csv(path: &JsonPath) -> bool {
    matches!(path.steps.as_slice(), [Step::Indices(_) | Step::Slice(..) | Step::All])
}

/// Whether listing `input` would find what is written below `output`.
fn lies_in(output: &Uri, input: &Uri) -> bool {
    let below =
        |output: &str, input: &str| format!("{}/", output.trim_end_matches('/')).starts_with(input);
    match (output, input) {
        (Uri::File(output), Uri::File(input)) => output.starts_with(input),
        (Uri::S3 { bucket: a, key: x }, Uri::S3 { bucket: b, key: y })
        | (Uri::Gs { bucket: a, key: x }, Uri::Gs { bucket: b, key: y })
        | (Uri::Az { bucket: a, key: x }, Uri::Az { bucket: b, key: y }) => a == b && below(x, y),
        (Uri::Memory(x), Uri::Memory(y)) => below(x, y),
        _ => false,
    }
}
