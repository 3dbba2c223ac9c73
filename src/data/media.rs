//! `Content-Type` and `Accept`: which format a body has, and which one the caller wants back.
//! Parameters are kept for whoever understands them (`verbose=true`, `header=present`).

use super::error::{Error, shown};
use crate::spec::train::Media;

/// A parsed `Content-Type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentType {
    /// The format.
    pub media: Media,
    /// Parameters in order, names in lower case.
    pub parameters: Vec<(String, String)>,
}

/// The format chosen from an `Accept` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept {
    /// The format to answer in.
    pub media: Media,
    /// Parameters of the chosen range in order, names in lower case, without `q`.
    pub parameters: Vec<(String, String)>,
}

/// Ranges of one `Accept` header that are looked at; nobody has a reason to send more.
const RANGES_MAX: usize = 64;

impl ContentType {
    /// Reads a header's value: a media type in any case, then `; name=value` parameters.
    ///
    /// # Errors
    /// [`Error::UnknownMedia`] for a type or a `charset` that is not read.
    pub fn parse(text: &str) -> Result<ContentType, Error> {
        let unknown = || Error::UnknownMedia { given: shown(text.as_bytes()) };
        let mut parts = split_outside_quotes(text, ';');
        let media = media(parts.next().unwrap_or("").trim()).ok_or_else(unknown)?;
        let parameters = parameters(parts);
        let charset = parameters.iter().find(|(name, _)| name == "charset");
        if charset.is_some_and(|(_, value)| !is_utf8(value)) {
            return Err(unknown());
        }
        Ok(ContentType { media, parameters })
    }

    /// A parameter's value.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        find(&self.parameters, name)
    }
}

impl From<Media> for ContentType {
    fn from(media: Media) -> ContentType {
        ContentType { media, parameters: Vec::new() }
    }
}

impl Accept {
    /// Chooses from a header's value. No header, an empty one and `*/*` mean `default`. Among
    /// several ranges the one with the highest `q` wins, then the more exact, then the earlier.
    ///
    /// # Errors
    /// [`Error::NotAcceptable`] when no range names a format that can be written.
    pub fn parse(header: Option<&str>, default: Media) -> Result<Accept, Error> {
        let text = header.unwrap_or("").trim();
        if text.is_empty() {
            return Ok(default.into());
        }
        let mut best: Option<((u16, u8), Accept)> = None;
        for range in split_outside_quotes(text, ',').take(RANGES_MAX) {
            let Some((rank, accept)) = read_range(range, default) else { continue };
            if rank.0 > 0 && best.as_ref().is_none_or(|(top, _)| rank > *top) {
                best = Some((rank, accept));
            }
        }
        best.map(|(_, accept)| accept)
            .ok_or_else(|| Error::NotAcceptable { given: shown(text.as_bytes()) })
    }

    /// A parameter's value.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        find(&self.parameters, name)
    }

    /// The `Content-Type` of the answer.
    pub fn content_type(&self) -> &'static str {
        name(self.media)
    }
}

/// A format that answers are not written in becomes CSV.
impl From<Media> for Accept {
    fn from(media: Media) -> Accept {
        let media = if is_written(media) { media } else { Media::Csv };
        Accept { media, parameters: Vec::new() }
    }
}

/// The media type's own name.
pub fn name(media: Media) -> &'static str {
    match media {
        Media::Csv => "text/csv",
        Media::JsonLines => "application/jsonlines",
        Media::Json => "application/json",
        Media::Libsvm => "text/libsvm",
        Media::RecordIo => "application/x-recordio-protobuf",
        Media::Parquet => "application/x-parquet",
    }
}

/// A format by any of the names in use for it; SageMaker's short ones included.
fn media(text: &str) -> Option<Media> {
    const NAMES: [(&str, Media); 18] = [
        ("text/csv", Media::Csv),
        ("application/csv", Media::Csv),
        ("csv", Media::Csv),
        ("application/json", Media::Json),
        ("json", Media::Json),
        ("application/jsonlines", Media::JsonLines),
        ("application/x-jsonlines", Media::JsonLines),
        ("application/x-ndjson", Media::JsonLines),
        ("jsonlines", Media::JsonLines),
        ("text/libsvm", Media::Libsvm),
        ("text/x-libsvm", Media::Libsvm),
        ("libsvm", Media::Libsvm),
        ("application/x-recordio-protobuf", Media::RecordIo),
        ("recordio-protobuf", Media::RecordIo),
        ("application/x-parquet", Media::Parquet),
        ("application/vnd.apache.parquet", Media::Parquet),
        ("text/x-parquet", Media::Parquet),
        ("parquet", Media::Parquet),
    ];
    NAMES.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, media)| *media)
}

/// Whether answers can be given in a format.
fn is_written(media: Media) -> bool {
    matches!(media, Media::Csv | Media::Json | Media::JsonLines | Media::RecordIo)
}

/// One range with its rank: quality in thousandths, then how exact it is.
fn read_range(text: &str, default: Media) -> Option<((u16, u8), Accept)> {
    let mut parts = split_outside_quotes(text, ';');
    let range = parts.next().unwrap_or("").trim();
    let (exact, media) = match range.to_ascii_lowercase().as_str() {
        "*/*" | "*" => (0, default),
        "text/*" => (1, Media::Csv),
        "application/*" if default == Media::JsonLines => (1, Media::JsonLines),
        "application/*" => (1, Media::Json),
        _ => (2, media(range).filter(|media| is_written(*media))?),
    };
    let mut parameters = parameters(parts);
    let quality = find(&parameters, "q").map_or(Some(1000), quality)?;
    parameters.retain(|(name, _)| name != "q");
    Some(((quality, exact), Accept { media, parameters }))
}

/// `0.5` as 500; `None` when it is no quality, which makes its range void.
fn quality(text: &str) -> Option<u16> {
    let value: f32 = text.parse().ok()?;
    (0.0..=1.0).contains(&value).then_some((value * 1000.0) as u16)
}

fn parameters<'a>(parts: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    parts
        .filter(|part| !part.trim().is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim().trim_matches('"');
            (name.trim().to_ascii_lowercase(), value.to_owned())
        })
        .collect()
}

fn find<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn is_utf8(charset: &str) -> bool {
    ["utf-8", "utf8", "us-ascii", "ascii"].iter().any(|name| charset.eq_ignore_ascii_case(name))
}

fn split_outside_quotes(text: &str, mark: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |letter| {
        quoted ^= letter == '"';
        letter == mark && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_read_in_any_case_and_with_parameters() {
        let csv = ContentType::parse("Text/CSV; Label_Size=0 ; charset=\"UTF-8\"").unwrap();
        assert_eq!(csv.media, Media::Csv);
        assert_eq!(csv.parameter("label_size"), Some("0"));
        assert_eq!(ContentType::parse("application/json").unwrap().media, Media::Json);
        assert_eq!(ContentType::parse("application/jsonlines;").unwrap().media, Media::JsonLines);
        assert_eq!(ContentType::parse("text/x-libsvm").unwrap().media, Media::Libsvm);
        for text in ["", "text/html", "text/csv; charset=utf-16", "image/png", ";", "text/*"] {
            let error = ContentType::parse(text).unwrap_err();
            assert!(matches!(error, Error::UnknownMedia { .. }), "{text}");
        }
    }

    #[test]
    fn the_accept_header_chooses_as_http_says() {
        let choose = |text| Accept::parse(Some(text), Media::Csv).map(|accept| accept.media).ok();
        assert_eq!(Accept::parse(None, Media::Json).unwrap().media, Media::Json);
        assert_eq!(choose(""), Some(Media::Csv));
        assert_eq!(choose("*/*"), Some(Media::Csv));
        assert_eq!(choose("application/json"), Some(Media::Json));
        assert_eq!(choose("APPLICATION/JSON; verbose=true"), Some(Media::Json));
        assert_eq!(choose("text/html, application/json;q=0.9, */*;q=0.1"), Some(Media::Json));
        assert_eq!(choose("text/csv;q=0.5, application/jsonlines;q=0.8"), Some(Media::JsonLines));
        assert_eq!(choose("*/*, application/json"), Some(Media::Json));
        assert_eq!(choose("application/*"), Some(Media::Json));
        assert_eq!(choose("text/*"), Some(Media::Csv));
        assert_eq!(choose("text/html"), None);
        assert_eq!(choose("text/libsvm"), None);
        assert_eq!(choose("application/json;q=0"), None);
        assert_eq!(choose("application/json;q=nan"), None);
        assert_eq!(choose(",,;;,"), None);
    }

    #[test]
    fn parameters_of_the_chosen_range_are_kept() {
        let accept = Accept::parse(Some("application/json; verbose=true;q=1"), Media::Csv).unwrap();
        assert_eq!(accept.parameters, [("verbose".to_owned(), "true".to_owned())]);
        assert_eq!(accept.content_type(), "application/json");
    }
}
