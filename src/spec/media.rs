//! Content types as SageMaker writes them: `text/csv;label_size=0`, or short, `csv`.
//!
//! Only what a job file may say is judged here; a request's headers are read by the endpoint.

use super::cursor::Wrong;
use super::problem::{nearest, shortened};
use super::train::{LabelColumn, Media};

/// What smrt reads a channel from.
const SUPPORTED: &str = "text/csv, text/libsvm, application/jsonlines, application/x-parquet and application/x-recordio-protobuf (short: csv, libsvm, jsonlines, parquet, recordio-protobuf)";

/// A channel's `content_type`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContentType {
    /// The media type.
    pub(crate) media: Media,
    /// `label_size`, when given.
    pub(crate) label: Option<LabelColumn>,
}

/// Reads a channel's `content_type`.
pub(crate) fn content_type(text: &str) -> Result<ContentType, Wrong> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let media = match name.as_str() {
        "text/csv" | "application/csv" | "csv" => Media::Csv,
        "application/jsonlines"
        | "application/x-jsonlines"
        | "application/x-ndjson"
        | "jsonlines" => Media::JsonLines,
        "text/libsvm" | "text/x-libsvm" | "libsvm" => Media::Libsvm,
        "application/x-recordio-protobuf" | "recordio-protobuf" => Media::RecordIo,
        "application/x-parquet" | "text/x-parquet" | "parquet" => Media::Parquet,
        "application/json" | "json" => {
            let what = format!("{} is for requests, not for channels", shortened_quoted(text));
            return Err((what, Some("write application/jsonlines: one object per line".into())));
        }
        _ => return Err(unsupported(text, &name)),
    };
    let mut label = None;
    for part in parts.filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let value = value.trim().trim_matches('"');
        match key.trim().to_ascii_lowercase().as_str() {
            "label_size" if media != Media::JsonLines => match value {
                "0" => label = Some(LabelColumn::None),
                "1" => label = Some(LabelColumn::First),
                _ => return Err(bad_parameter(text, "label_size is 0 or 1")),
            },
            "charset" if value.eq_ignore_ascii_case("utf-8") => {}
            "charset" => return Err(bad_parameter(text, "text is read as UTF-8 only")),
            _ => {
                return Err(bad_parameter(text, "the known parameters are label_size and charset"));
            }
        }
    }
    Ok(ContentType { media, label })
}

fn unsupported(text: &str, name: &str) -> Wrong {
    let known = [
        "text/csv",
        "application/jsonlines",
        "text/libsvm",
        "application/x-recordio-protobuf",
        "application/x-parquet",
        "parquet",
        "csv",
        "jsonlines",
        "libsvm",
        "recordio-protobuf",
    ];
    let meant = match nearest(name, known) {
        Some(near) => format!("; did you mean {near:?}?"),
        None => String::new(),
    };
    let what = format!("{} is not a content type smrt reads", shortened_quoted(text));
    (what, Some(format!("smrt reads {SUPPORTED}{meant}")))
}

fn bad_parameter(text: &str, help: &str) -> Wrong {
    (format!("{} has a parameter smrt does not know", shortened_quoted(text)), Some(help.into()))
}

fn shortened_quoted(text: &str) -> String {
    shortened(&format!("{text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_short_names_are_read() {
        let csv = |label| Ok(ContentType { media: Media::Csv, label });
        assert_eq!(content_type("text/csv"), csv(None));
        assert_eq!(content_type("CSV"), csv(None));
        assert_eq!(content_type("text/csv; charset=utf-8"), csv(None));
        assert_eq!(content_type("text/csv;label_size=0"), csv(Some(LabelColumn::None)));
        assert_eq!(content_type("text/csv; label_size=1"), csv(Some(LabelColumn::First)));
        let jsonlines = ContentType { media: Media::JsonLines, label: None };
        assert_eq!(content_type("application/jsonlines"), Ok(jsonlines.clone()));
        assert_eq!(content_type("jsonlines"), Ok(jsonlines));
        let libsvm = |label| Ok(ContentType { media: Media::Libsvm, label });
        for text in ["text/libsvm", "text/x-libsvm", "libsvm"] {
            assert_eq!(content_type(text), libsvm(None));
        }
        let recordio = ContentType { media: Media::RecordIo, label: None };
        assert_eq!(content_type("application/x-recordio-protobuf"), Ok(recordio.clone()));
        assert_eq!(content_type("recordio-protobuf"), Ok(recordio));
        for text in ["application/x-parquet", "text/x-parquet", "parquet"] {
            assert_eq!(content_type(text), Ok(ContentType { media: Media::Parquet, label: None }));
        }
        assert_eq!(content_type("text/libsvm;label_size=0"), libsvm(Some(LabelColumn::None)));
    }

    #[test]
    fn an_unsupported_type_is_answered_with_the_supported_ones() {
        for text in ["text/libsvn", "application/x-parket", "text/cvs", "", ";", "application/json"]
        {
            let (_, help) = content_type(text).unwrap_err();
            assert!(help.unwrap().contains("application/jsonlines"), "{text}");
        }
        assert!(content_type("text/cvs").unwrap_err().1.unwrap().contains("did you mean"));
    }

    #[test]
    fn an_unknown_parameter_or_value_is_refused() {
        for text in [
            "text/csv;label_size=2",
            "csv;charset=latin-1",
            "csv;header=present",
            "csv;x",
            "jsonlines;label_size=0",
        ] {
            assert!(content_type(text).is_err(), "{text}");
        }
    }
}
