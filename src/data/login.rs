//! Rows that say who came from where: two words, an entity and an IP address, as SageMaker's IP
//! Insights reads them, in files and in requests.
//!
//! A row becomes [`WIDTH`] whole numbers below 65,536, which `f32` holds exactly, so that it goes
//! the way of every other row: four of the entity's [`hash`], the highest first, and the eight
//! groups of the address, an IPv4 address as `::ffff:a.b.c.d`. What a model makes of them is the
//! algorithm's matter.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use memchr::memchr;
use ndarray::Array2;
use serde_json::Value;

use super::batch::Dataset;
use super::block::BOM;
use super::channel::Options;
use super::error::{Error, Place, shown};
use super::media::ContentType;
use super::pages::PageWriter;
use super::request::Limits;
use super::stored::{Object, Stored};
use crate::spec::limit::LINE_BYTES_MAX;
use crate::spec::train::{Format, LabelColumn, Media};

/// Numbers of a row.
pub const WIDTH: usize = HASH_PARTS + 8;
const HASH_PARTS: usize = 4;
const SHAPE: &str = "send an entity and an address, as in {\"instances\": [{\"features\": [\"user\", \"10.0.0.1\"]}]}";
const LINE_SHAPE: &str = "write an entity and an address on each line, as in user,10.0.0.1";

/// The hash of an entity's name: FNV-1a of its bytes (64 bits, offset basis 0xcbf29ce484222325,
/// prime 0x100000001b3), then the finish of MurmurHash3, so that every bit depends on every byte.
/// Models are addressed by it: it never changes.
pub fn hash(entity: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in entity {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// A row's entity and address from its numbers.
pub fn parts(row: impl IntoIterator<Item = f32>) -> (u64, Ipv6Addr) {
    let (mut hash, mut groups) = (0u64, [0u16; 8]);
    for (at, value) in row.into_iter().take(WIDTH).enumerate() {
        // Numbers from elsewhere are cut to what a row may hold.
        let value = value as u16;
        match at {
            0..HASH_PARTS => hash = (hash << 16) | u64::from(value),
            _ => groups[at - HASH_PARTS] = value,
        }
    }
    (hash, Ipv6Addr::from(groups))
}

/// Appends a row. Blanks around both words are left out.
///
/// # Errors
/// What is wrong with the words.
fn push(entity: &[u8], address: &[u8], out: &mut Vec<f32>) -> Result<(), String> {
    let (entity, address) = (entity.trim_ascii(), address.trim_ascii());
    if entity.is_empty() {
        return Err("the entity is empty".into());
    }
    let parsed = std::str::from_utf8(address).ok().and_then(|text| text.parse().ok());
    let groups = match parsed {
        Some(IpAddr::V4(address)) => address.to_ipv6_mapped().segments(),
        Some(IpAddr::V6(address)) => address.segments(),
        None => return Err(format!("{} is not an IP address", shown(address))),
    };
    let hash = hash(entity);
    out.extend([48, 32, 16, 0].map(|shift| f32::from((hash >> shift) as u16)));
    out.extend(groups.map(f32::from));
    Ok(())
}

/// The cells of a CSV line; quotes as in RFC 4180, but no line ends inside.
fn cells(line: &[u8], delimiter: u8) -> Vec<Cow<'_, [u8]>> {
    let mut cells = Vec::with_capacity(2);
    let mut rest = Some(line);
    while let Some(text) = rest {
        let lead = text.len() - text.trim_ascii_start().len();
        if text.get(lead) != Some(&b'"') {
            let end = memchr(delimiter, text);
            cells.push(Cow::Borrowed(&text[..end.unwrap_or(text.len())]));
            rest = end.map(|end| &text[end + 1..]);
            continue;
        }
        let mut cell = Vec::new();
        let mut at = lead + 1;
        while let Some(byte) = text.get(at) {
            match (byte, text.get(at + 1)) {
                (b'"', Some(b'"')) => at += 1,
                (b'"', _) => break,
                _ => {}
            }
            cell.push(*byte);
            at += 1;
        }
        cells.push(Cow::Owned(cell));
        let after = text.get(at + 1..).unwrap_or(&[]);
        rest = memchr(delimiter, after).map(|end| &after[end + 1..]);
    }
    cells
}

/// Appends the row of a CSV line.
fn csv_line(line: &[u8], delimiter: u8, out: &mut Vec<f32>) -> Result<(), String> {
    match cells(line, delimiter).as_slice() {
        [entity, address] => push(entity, address, out),
        cells => Err(format!(
            "the line has {} column{} where an entity and an address belong",
            cells.len(),
            if cells.len() == 1 { "" } else { "s" }
        )),
    }
}

/// Appends the row of one JSON instance: `{"features": ["user", "10.0.0.1"]}`,
/// `{"data": {"features": {"values": ["user", "10.0.0.1"]}}}` or `["user", "10.0.0.1"]`.
fn instance(value: &Value, out: &mut Vec<f32>) -> Result<(), String> {
    let list = match value {
        Value::Object(map) => map
            .get("features")
            .or_else(|| map.get("data")?.get("features")?.get("values"))
            .ok_or("the row has no \"features\"")?,
        other => other,
    };
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    let [entity, Value::String(address)] = list else {
        return Err(format!(
            "the row has {} words where an entity and an address belong",
            list.len()
        ));
    };
    match entity {
        Value::String(entity) => push(entity.as_bytes(), address.as_bytes(), out),
        // A number is a name too: 17 is "17".
        Value::Number(number) => push(number.to_string().as_bytes(), address.as_bytes(), out),
        _ => Err("the entity is neither a word nor a number".into()),
    }
}

fn json_line(line: &[u8], out: &mut Vec<f32>) -> Result<(), String> {
    let value: Value =
        serde_json::from_slice(line).map_err(|error| format!("this is not JSON: {error}"))?;
    instance(&value, out)
}

fn line_in(media: Media, delimiter: u8, line: &[u8], out: &mut Vec<f32>) -> Result<(), String> {
    match media {
        Media::Csv => csv_line(line, delimiter, out),
        _ => json_line(line, out),
    }
}

/// Appends the rows of a request to `values` and returns how many.
///
/// # Errors
/// [`Error::Request`] with the row; [`Error::NoRows`]; [`Error::TooManyRows`]. `values` is then
/// as it was.
pub(super) fn decode_into(
    content: &ContentType,
    body: &[u8],
    limits: &Limits,
    values: &mut Vec<f32>,
) -> Result<usize, Error> {
    let before = values.len();
    let rows = decode(content, body, limits, values);
    if rows.is_err() {
        values.truncate(before);
    }
    rows
}

fn decode(
    content: &ContentType,
    body: &[u8],
    limits: &Limits,
    values: &mut Vec<f32>,
) -> Result<usize, Error> {
    let body = body.strip_prefix(BOM).unwrap_or(body);
    let rows_max = limits.rows_max.min(limits.values_max / WIDTH);
    let mut rows = 0;
    let mut take = |read: &mut dyn FnMut(&mut Vec<f32>) -> Result<(), String>, help: &str| {
        if rows == rows_max {
            return Err(Error::TooManyRows { rows_max });
        }
        rows += 1;
        read(values).map_err(|what| Error::request(format!("row {rows}: {what}"), help))
    };
    if !matches!(content.media, Media::Csv | Media::Json | Media::JsonLines) {
        let what = format!("{} holds numbers, and an entity is a word", content.media);
        return Err(Error::request(what, SHAPE));
    }
    if content.media == Media::Json {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| Error::request(format!("this is not JSON: {error}"), SHAPE))?;
        let list = value.get("instances").and_then(Value::as_array);
        let list =
            list.ok_or_else(|| Error::request("there is no list under \"instances\"", SHAPE))?;
        for value in list {
            take(&mut |out| instance(value, out), SHAPE)?;
        }
    } else {
        let header = content.media == Media::Csv && content.parameter("header") == Some("present");
        let help = if content.media == Media::Csv { LINE_SHAPE } else { SHAPE };
        for line in body.split(|byte| *byte == b'\n').skip(usize::from(header)) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.trim_ascii().is_empty() {
                take(&mut |out| line_in(content.media, b',', line, out), help)?;
            }
        }
    }
    if rows == 0 { Err(Error::NoRows) } else { Ok(rows) }
}

/// Text read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// The rows of a channel, piece by piece.
pub struct Pieces {
    objects: std::vec::IntoIter<Object>,
    format: Format,
    open: Option<Open>,
    /// The objects read to their end so far.
    pub sources: Vec<super::batch::Source>,
}

struct Open {
    uri: String,
    stored: Stored,
    /// Text that was read and not yet decoded.
    text: Vec<u8>,
    /// Lines decoded.
    lines: u64,
}

/// Starts reading objects of two columns.
///
/// # Errors
/// [`Error::Bad`] when the format has a label or is not one of lines.
pub fn pieces(objects: Vec<Object>, format: &Format, channel: &str) -> Result<Pieces, Error> {
    if let LabelColumn::Named(name) = &format.label {
        let what =
            format!("has the label {name:?}, and rows of an entity and an address have none");
        return Err(Error::whole(channel, what, "leave `label` out"));
    }
    if format.has_roles() {
        let what = "has rows of an entity and an address, and other columns have no use";
        let help = "leave weight, group, categorical and ignore out, and give two columns";
        return Err(Error::whole(channel, what, help));
    }
    if !matches!(format.media, Media::Csv | Media::JsonLines) {
        let what = "has rows of an entity and an address, which are read from CSV and JSON Lines";
        let help = "set content_type = \"text/csv\", with the columns entity and address";
        return Err(Error::whole(channel, what, help));
    }
    let objects = objects.into_iter();
    Ok(Pieces { objects, format: format.clone(), open: None, sources: Vec::new() })
}

impl Pieces {
    /// The next rows, row after row; `None` after the last.
    ///
    /// # Errors
    /// [`Error::Bad`] with object and line, and what reading gives.
    pub fn next_rows(&mut self) -> Result<Option<Vec<f32>>, Error> {
        loop {
            let open = match &mut self.open {
                Some(open) => open,
                none => {
                    let Some(object) = self.objects.next() else { return Ok(None) };
                    let uri = object.uri.clone();
                    let stored = Stored::open(object)?;
                    none.insert(Open { uri, stored, text: Vec::new(), lines: 0 })
                }
            };
            let (rows, ended) = open.piece(&self.format)?;
            if ended && let Some(open) = self.open.take() {
                self.sources.push(open.stored.finish()?);
            }
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
    }
}

impl Open {
    /// The rows of the next lines, and whether they were the last.
    fn piece(&mut self, format: &Format) -> Result<(Vec<f32>, bool), Error> {
        let held = self.text.len();
        self.text.resize(held + PIECE_BYTES, 0);
        let read = self.stored.fill(&mut self.text[held..])?;
        self.text.truncate(held + read);
        let ended = read < PIECE_BYTES;
        if self.lines == 0 && self.text.starts_with(BOM) {
            self.text.drain(..BOM.len());
        }
        let whole = match ended {
            true => self.text.len(),
            false => memchr::memrchr(b'\n', &self.text).map_or(0, |end| end + 1),
        };
        if whole == 0 && self.text.len() > LINE_BYTES_MAX {
            let what = format!("the line is longer than {LINE_BYTES_MAX} bytes");
            return Err(self.bad(what));
        }
        let text: Vec<u8> = self.text.drain(..whole).collect();
        let text = text.strip_suffix(b"\n").unwrap_or(&text);
        let mut rows = Vec::new();
        if whole == 0 {
            return Ok((rows, ended));
        }
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let is_header = self.lines == 0 && format.header && format.media == Media::Csv;
            if !is_header && !line.trim_ascii().is_empty() {
                line_in(format.media, format.delimiter, line, &mut rows)
                    .map_err(|what| self.bad(what))?;
            }
            self.lines += 1;
        }
        Ok((rows, ended))
    }

    fn bad(&self, what: String) -> Error {
        let mut help = LINE_SHAPE.to_owned();
        if self.lines == 0 {
            help.push_str("; if this is a header, set `header = true`");
        }
        let place =
            Place { uri: self.uri.clone(), line: Some(self.lines + 1), record: None, column: None };
        Error::Bad { place, what, help }
    }
}

/// Reads a whole channel: rows × [`WIDTH`]. What does not fit goes to disk where that is allowed.
///
/// # Errors
/// As [`pieces`] and [`Pieces::next_rows`]; [`Error::Memory`] when the rows do not fit;
/// [`Error::Scratch`] when the disk fails; [`Error::Bad`] when there are none.
pub fn read(objects: Vec<Object>, format: &Format, options: &Options) -> Result<Dataset, Error> {
    let mut pieces = pieces(objects, format, &options.channel)?;
    let mut values = Vec::new();
    let (mut count, mut spilled) = (0, None);
    while let Some(mut rows) = pieces.next_rows()? {
        count += rows.len() / WIDTH;
        let needed_bytes = 4 * (values.len() + rows.len()) as u64 + 2 * PIECE_BYTES as u64;
        if needed_bytes > options.memory_bytes_max && spilled.is_none() {
            let Some(spill) = &options.spill else {
                return Err(Error::Memory {
                    channel: options.channel.clone(),
                    needed_bytes,
                    limit_bytes: options.memory_bytes_max,
                });
            };
            let mut writer = PageWriter::new(spill.scratches.clone(), WIDTH)
                .map_err(|source| options.unspilled(source))?;
            let held = std::mem::take(&mut values);
            writer.push(&held).map_err(|source| options.unspilled(source))?;
            spilled = Some((writer, spill.room_bytes));
        }
        match &mut spilled {
            Some((writer, _)) => {
                writer.push(&rows).map_err(|source| options.unspilled(source))?;
            }
            None => values.append(&mut rows),
        }
    }
    if count == 0 {
        let help = "put rows into it, or check the channel's uri";
        return Err(Error::whole(options.channel.clone(), "has no rows", help));
    }
    let pages = spilled
        .map(|(writer, room_bytes)| writer.finish(room_bytes))
        .transpose()
        .map_err(|source| options.unspilled(source))?;
    let width = if pages.is_some() { 0 } else { WIDTH };
    let features =
        Array2::from_shape_vec((count, width), values).expect("every row was appended whole");
    Ok(Dataset { sources: pieces.sources, pages: pages.map(Arc::new), ..Dataset::of(features) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(media: Media, body: &str) -> Result<Vec<(u64, Ipv6Addr)>, String> {
        let mut values = Vec::new();
        let content = ContentType::from(media);
        decode_into(&content, body.as_bytes(), &Limits::default(), &mut values)
            .map_err(|error| error.to_string())?;
        Ok(values.chunks_exact(WIDTH).map(|row| parts(row.iter().copied())).collect())
    }

    #[test]
    fn the_hash_is_the_one_that_models_were_made_with() {
        assert_eq!(hash(b""), 0xefd0_1f60_ba99_2926);
        assert_ne!(hash(b"user-1"), hash(b"user-2"));
    }

    #[test]
    fn every_shape_says_the_same() {
        let csv = decoded(
            Media::Csv,
            "alice, 10.1.2.3\r\n\"alice\",\"10.1.2.3\"\n\nalice,::ffff:10.1.2.3",
        );
        let rows = csv.unwrap();
        assert_eq!(rows[0].1, "::ffff:10.1.2.3".parse::<Ipv6Addr>().unwrap());
        assert_eq!(rows[0].0, hash(b"alice"));
        assert!(rows.len() == 3 && rows.iter().all(|row| *row == rows[0]));
        let json = r#"{"instances": [{"data": {"features": {"values": ["alice", "10.1.2.3"]}}},
            {"features": ["alice", "10.1.2.3"]}, ["alice", "10.1.2.3"]]}"#;
        assert_eq!(decoded(Media::Json, json).unwrap(), rows);
        let line = r#"{"features": ["alice", "10.1.2.3"]}"#;
        assert_eq!(decoded(Media::JsonLines, &[line; 3].join("\n")).unwrap(), rows);
        let six = decoded(Media::Csv, "7,2001:db8::1").unwrap();
        assert_eq!(six, decoded(Media::Json, r#"{"instances": [[7, "2001:db8::1"]]}"#).unwrap());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_row() {
        for (media, body, said) in [
            (Media::Csv, "a,1.2.3.4\na", "row 2: the line has 1 column where"),
            (Media::Csv, "a,1.2.3.4,x", "row 1: the line has 3 columns where"),
            (Media::Csv, "a,1.2.3.400", "row 1: \"1.2.3.400\" is not an IP address"),
            (Media::Csv, " ,1.2.3.4", "row 1: the entity is empty"),
            (Media::Csv, "\n", "the request holds no rows"),
            (Media::Json, "{}", "there is no list under \"instances\""),
            (Media::Json, r#"{"instances": [{"features": ["a"]}]}"#, "row 1: the row has 1 words"),
            (Media::Json, r#"{"instances": [{"x": 1}]}"#, "row 1: the row has no \"features\""),
            (Media::JsonLines, "[\"a\", 5]", "row 1: the row has 2 words"),
            (Media::JsonLines, "nothing", "row 1: this is not JSON"),
        ] {
            let error = decoded(media, body).unwrap_err();
            assert!(error.starts_with(said), "{body:?}: {error}");
        }
    }

    #[test]
    fn numbers_from_elsewhere_are_a_row_too() {
        let (hash, address) = parts([f32::NAN, -1.0, 1e9, 3.5, f32::INFINITY]);
        assert_eq!((hash, address.segments()[0]), (0xffff_0003, 0xffff));
    }
}
