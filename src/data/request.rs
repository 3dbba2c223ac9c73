//! A request's body to rows for a model: features only, row after row in one buffer. Which status
//! a mistake deserves, and what an empty body means, is the endpoint's matter.

use ndarray::Array2;

use super::block::Records;
use super::error::{Broken, Error};
use super::login;
use super::media::ContentType;
use super::number::{self, NotNumber};
use super::roles::Roles;
use super::rows::Rows;
use super::schema::{Cells, Signature};
use super::{csv, libsvm, recordio};
use crate::spec::limit::{REQUEST_ROWS_MAX, REQUEST_VALUES_MAX};
use crate::spec::train::Media;

mod json;
mod parquet;
mod plain;
mod scan;

/// What one request may make a server hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Rows of one request.
    pub rows_max: usize,
    /// Numbers of one request, rows × features.
    pub values_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { rows_max: REQUEST_ROWS_MAX, values_max: REQUEST_VALUES_MAX }
    }
}

/// Reads `body` as rows × features; an empty cell or `null` is missing, NaN. In a column of words
/// stands a word, also where it looks like a number; one that training did not see is missing.
///
/// - `text/csv`: features only, no header (unless `header=present`), quotes and CRLF as in files.
/// - `application/json`: `{"instances": [..]}` whose entries are `{"features": [1.5, 2]}`,
///   `{"data": {"features": {"values": [..]}}}`, the same with `keys` and `shape` where zeros are
///   left out, `[1.5, 2]`, or a value under each column's name where the model knows names.
/// - `application/jsonlines`: one such entry on each line.
/// - `text/libsvm`: `[label] index:value …` on each line, indices from 0; a label is passed over.
/// - `application/x-recordio-protobuf`: a `Record` for each row, dense or sparse; a label is passed
///   over.
/// - `application/x-parquet`: columns of features in the order of training, under the same names where
///   the model knows names.
///
/// A cell that a sparse row leaves out is what [`Signature::absent`] says.
///
/// A model of logins reads the same shapes with two words in each row.
///
/// # Errors
/// [`Error::Request`] with row and column; [`Error::NoRows`]; [`Error::TooManyRows`].
pub fn decode(
    content: &ContentType,
    body: &[u8],
    signature: &Signature,
    limits: &Limits,
) -> Result<Array2<f32>, Error> {
    if signature.cells == Cells::Login {
        let mut values = Vec::new();
        let rows = login::decode_into(content, body, limits, &mut values)?;
        return Ok(Array2::from_shape_vec((rows, login::WIDTH), values)
            .expect("every row was decoded whole"));
    }
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let rows_max = limits.rows_max.min(limits.values_max / signature.features.max(1));
    let mut values = Vec::new();
    let values = match content.media {
        Media::Csv => decode_csv(content, body, signature)?,
        Media::Json => {
            values.reserve(body.len() / 4);
            let scanned = match signature.categories.is_empty() {
                true => scan::instances(body, signature.features, rows_max, &mut values),
                false => None,
            };
            match scanned {
                Some(_) => values,
                None => json::instances(body, signature, rows_max)?,
            }
        }
        Media::JsonLines => json::lines(body, signature, rows_max)?,
        Media::Libsvm | Media::RecordIo | Media::Parquet => {
            decode_rows(content.media, body, signature, rows_max, &mut values)?;
            values
        }
    };
    finite(&values, signature.features)?;
    let rows = values.len().checked_div(signature.features).unwrap_or(0);
    match rows {
        0 => Err(Error::NoRows),
        _ if rows > rows_max => Err(Error::TooManyRows { rows_max }),
        _ => Ok(Array2::from_shape_vec((rows, signature.features), values)
            .expect("every row was decoded whole")),
    }
}

/// Appends the rows of `body` to `values`, row after row, and returns how many: [`decode`] for a
/// caller who keeps one buffer for many requests. A plain body in CSV or JSON costs no allocation, one
/// in libsvm or RecordIO none for each row.
///
/// # Errors
/// As [`decode`]; `values` is then as it was.
pub fn decode_into(
    content: &ContentType,
    body: &[u8],
    signature: &Signature,
    limits: &Limits,
    values: &mut Vec<f32>,
) -> Result<usize, Error> {
    if signature.cells == Cells::Login {
        return login::decode_into(content, body, limits, values);
    }
    let features = signature.features;
    let rows_max = limits.rows_max.min(limits.values_max / features.max(1));
    if matches!(content.media, Media::Libsvm | Media::RecordIo | Media::Parquet) {
        let before = values.len();
        let decoded = decode_rows(content.media, body, signature, rows_max, values);
        let decoded =
            decoded.and_then(|rows| if rows == 0 { Err(Error::NoRows) } else { Ok(rows) });
        return decoded.inspect_err(|_| values.truncate(before));
    }
    // The quick ways know numbers only; where a column holds words, a number is one too.
    let rows = match content.media {
        _ if !signature.categories.is_empty() => None,
        Media::Csv if content.parameters.is_empty() => {
            plain::rows(body, features, rows_max, values)
        }
        Media::Json if features > 0 => scan::instances(body, features, rows_max, values),
        _ => None,
    };
    if let Some(rows) = rows {
        return Ok(rows);
    }
    let decoded = decode(content, body, signature, limits)?;
    let rows = decoded.nrows();
    if values.is_empty() {
        *values = decoded.into_raw_vec_and_offset().0;
    } else {
        values.extend(decoded);
    }
    Ok(rows)
}

/// Appends the rows of a format that is decoded straight into the buffer.
fn decode_rows(
    media: Media,
    body: &[u8],
    signature: &Signature,
    rows_max: usize,
    values: &mut Vec<f32>,
) -> Result<usize, Error> {
    let (features, absent) = (signature.features, signature.absent);
    let found = match media {
        Media::Libsvm => {
            let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
            let rows = libsvm::rows(text, features, absent, rows_max, values);
            rows.map_err(|(row, wrong)| (row, (None, wrong)))
        }
        Media::RecordIo => recordio::rows(body, features, absent, rows_max, values),
        _ => return parquet::rows(body, signature, rows_max, values),
    };
    match found {
        Ok(rows) if rows > rows_max => Err(Error::TooManyRows { rows_max }),
        Ok(rows) => Ok(rows),
        Err((row, (column, (what, help)))) => {
            Err(placed(Broken { line: 0, column, what, help }, row, signature))
        }
    }
}

/// Where the last whole row ends in the beginning of a body whose rows stand one after the other; 0
/// when none does, `None` for a format that is only read whole. What is before the border and what is
/// behind it are bodies of their own, the second without the first one's header.
pub fn border(content: &ContentType, text: &[u8]) -> Option<usize> {
    let records = match content.media {
        Media::Csv => Records::Csv { delimiter: b',' },
        Media::JsonLines => Records::Lines,
        Media::RecordIo => Records::RecordIo,
        Media::Json | Media::Libsvm | Media::Parquet => return None,
    };
    Some(records.border(text))
}

fn decode_csv(
    content: &ContentType,
    body: &[u8],
    signature: &Signature,
) -> Result<Vec<f32>, Error> {
    if content.parameter("label_size").is_some_and(|size| size != "0") {
        return Err(Error::request(
            "label_size must be 0: a request holds features only",
            "leave the label out",
        ));
    }
    let layout = csv::Layout {
        channel: "request".into(),
        delimiter: b',',
        columns: signature.features,
        roles: Roles::request(signature.features, signature.vocabulary()),
        names: signature.columns.clone(),
        measure: csv::Measure::Model,
    };
    let start = match content.parameter("header") {
        Some("present") => memchr::memchr(b'\n', body).map_or(body.len(), |end| end + 1),
        _ => 0,
    };
    let mut rows = Rows::default();
    // A number takes two bytes or more, so the body bounds what is held.
    rows.features.reserve(body.len() / 4);
    match csv::decode(body, start, body.len(), &layout, &mut rows) {
        Ok(()) => Ok(rows.features),
        Err(mut broken) => {
            if rows.count == 0 && is_header(&body[start..]) {
                broken.help =
                    "leave the header out, or say that it is there: text/csv; header=present"
                        .into();
            }
            Err(placed(broken, rows.count, signature))
        }
    }
}

/// Whether the first line holds nothing but words.
fn is_header(body: &[u8]) -> bool {
    let line = body.split(|byte| *byte == b'\n').next().unwrap_or(&[]);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.split(|byte| *byte == b',').all(|cell| number::parse(cell) == Err(NotNumber::Word))
}

/// A mistake with its row and column in front.
fn placed(broken: Broken, row: usize, signature: &Signature) -> Error {
    let mut what = format!("row {}", row + 1);
    if let Some(column) = broken.column {
        what.push_str(&format!(", column {}", column + 1));
        if let Some(name) = signature.columns.get(column) {
            what.push_str(&format!(" ({name})"));
        }
    }
    Error::request(format!("{what}: {}", broken.what), broken.help)
}

/// Refuses what is a number and no model can take: CSV says so of a cell, and every other format has a
/// way to write it too.
pub(super) fn finite(values: &[f32], features: usize) -> Result<(), Error> {
    let Some(at) = values.iter().position(|value| value.is_infinite()) else { return Ok(()) };
    let (row, column) = (at / features.max(1) + 1, at % features.max(1) + 1);
    Err(Error::request(
        format!("row {row}, column {column}: the number is infinite, or too large"),
        "send numbers between -3.4e38 and 3.4e38, and null or NaN where a value is missing",
    ))
}

/// Says that a row has another length than the model's.
pub(super) fn wrong_length(found: usize, features: usize) -> (String, String) {
    let help = if found == features + 1 {
        "leave the label out: send the features only".to_owned()
    } else {
        format!("send {features} numbers in each row, in the same order as for training")
    };
    let plural = if found == 1 { "" } else { "s" };
    (format!("the row has {found} number{plural} where the model takes {features}"), help)
}

#[cfg(test)]
mod tests;
