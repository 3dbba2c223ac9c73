//! RecordIO to rows: `0xCED7230A`, a length, so many bytes, zeros up to a multiple of four, again
//! and again (MXNet's format; the top three bits of the length say whether a record is whole or a
//! part). What a record means is [`super::record`]'s matter.

use std::ops::Range;

use super::error::Broken;
use super::record::{Dense, Record, Wrong};
use super::roles::{Role, Roles};
use super::rows::Rows;
use super::schema::Absent;
use super::sparse::Entries;
use crate::spec::limit::{COLUMNS_MAX, RECORD_BYTES_MAX, SPARSE_COLUMNS_MAX};
use crate::spec::train::{Format, LabelColumn};

const MAGIC: [u8; 4] = 0xCED7_230A_u32.to_le_bytes();
const HEADER_BYTES: usize = 8;
/// Of the length's word: 0 a whole record, 1 its first part, 2 a middle one, 3 its last.
const PART_SHIFT: u32 = 29;

/// What each record looks like.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    /// `channels.NAME`, for messages that name a key.
    channel: String,
    label: bool,
    /// Whether records leave cells out.
    pub(crate) sparse: bool,
    /// Features of a row, the ones left out counted.
    pub(crate) features: usize,
    pub(crate) roles: Roles,
}

impl Layout {
    /// Looks at the first record of an object.
    pub(crate) fn detect(
        text: &[u8],
        format: &Format,
        channel: &str,
    ) -> Result<Option<Layout>, Broken> {
        let mut frames = Frames { bytes: text, joined: Vec::new() };
        let mut record = Record::default();
        match frames.next(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err((column, (what, help))) => return Err(Broken { line: 0, column, what, help }),
        }
        let features = match record.features.width() {
            Ok(features) => features,
            Err((column, (what, help))) => return Err(Broken { line: 0, column, what, help }),
        };
        let sparse = record.features.is_sparse();
        let most = if sparse { SPARSE_COLUMNS_MAX } else { COLUMNS_MAX };
        if features == 0 || features > most {
            let what = format!("the record has {features} features");
            let help = format!("give between 1 and {most}");
            return Err(Broken { line: 0, column: None, what, help });
        }
        let label = format.label != LabelColumn::None;
        let list = if label { vec![Role::Label] } else { Vec::new() };
        let roles = Roles { list, features, ..Roles::default() };
        Ok(Some(Layout { channel: channel.to_owned(), label, sparse, features, roles }))
    }
}

/// Where the last whole record of a text that begins with one ends. A text that is no RecordIO is
/// taken whole, so that who decodes it says what is wrong.
pub(crate) fn border(text: &[u8]) -> usize {
    let (mut at, mut border) = (0, 0);
    while let Some(header) = text.get(at..at + HEADER_BYTES) {
        let (part, length) = part_and_length(header);
        if header[..4] != MAGIC || at + HEADER_BYTES + length - border > RECORD_BYTES_MAX {
            return text.len();
        }
        at += HEADER_BYTES + length.next_multiple_of(4);
        if at > text.len() {
            break;
        }
        if part == 0 || part == 3 {
            border = at;
        }
    }
    border
}

/// Where each record of a text begins and ends, by its frames alone; what is no frame is the last.
pub(crate) fn spans(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        while let Some(header) = text.get(at..at + HEADER_BYTES) {
            let (part, length) = part_and_length(header);
            let end = at + HEADER_BYTES + length.next_multiple_of(4);
            if header[..4] != MAGIC || end > text.len() {
                break;
            }
            at = end;
            if part == 0 || part == 3 {
                return Some(start..at);
            }
        }
        at = text.len();
        (start < at).then_some(start..at)
    })
}

fn part_and_length(header: &[u8]) -> (u32, usize) {
    let word = header[4..HEADER_BYTES].try_into().map_or(0, u32::from_le_bytes);
    (word >> PART_SHIFT, (word & ((1 << PART_SHIFT) - 1)) as usize)
}

/// The records of a text, one after the other.
pub(crate) struct Frames<'a> {
    bytes: &'a [u8],
    /// A record that came in parts.
    joined: Vec<u8>,
}

impl<'a> Frames<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Frames<'a> {
        Frames { bytes, joined: Vec::new() }
    }

    /// Reads the next record; `false` at the end.
    pub(crate) fn next(&mut self, record: &mut Record) -> Result<bool, Wrong> {
        match self.payload()? {
            Some(payload) => record.read(payload).map(|()| true),
            None => Ok(false),
        }
    }

    /// The bytes of the next record, its parts joined.
    fn payload(&mut self) -> Result<Option<&[u8]>, Wrong> {
        self.joined.clear();
        let mut inside = false;
        while !self.bytes.is_empty() {
            let (part, payload) = self.part()?;
            match (part, inside) {
                (0, false) => return Ok(Some(payload)),
                (1, false) | (2 | 3, true) => self.joined.extend_from_slice(payload),
                _ => return Err(no_recordio("the parts of a record are out of order")),
            }
            if self.joined.len() > RECORD_BYTES_MAX {
                return Err(too_long(self.joined.len()));
            }
            inside = true;
            if part == 3 {
                return Ok(Some(&self.joined));
            }
        }
        match inside {
            true => Err(cut_short()),
            false => Ok(None),
        }
    }

    fn part(&mut self) -> Result<(u32, &'a [u8]), Wrong> {
        let Some((header, rest)) = self.bytes.split_at_checked(HEADER_BYTES) else {
            return Err(match MAGIC.starts_with(&self.bytes[..self.bytes.len().min(4)]) {
                true => cut_short(),
                false => no_recordio("a record does not begin with 0xced7230a"),
            });
        };
        if header[..4] != MAGIC {
            return Err(no_recordio("a record does not begin with 0xced7230a"));
        }
        let (part, length) = part_and_length(header);
        if length > RECORD_BYTES_MAX {
            return Err(too_long(length));
        }
        let Some((payload, rest)) = rest.split_at_checked(length) else { return Err(cut_short()) };
        let padding = length.next_multiple_of(4) - length;
        let Some((_, rest)) = rest.split_at_checked(padding) else { return Err(cut_short()) };
        self.bytes = rest;
        Ok((part, payload))
    }
}

fn no_recordio(what: &str) -> Wrong {
    let help = "give application/x-recordio-protobuf as sagemaker.amazon.common writes it";
    (None, (format!("this is not RecordIO: {what}"), help.into()))
}

fn cut_short() -> Wrong {
    (None, ("the record is cut short".into(), "copy the object again from where it came".into()))
}

fn too_long(length: usize) -> Wrong {
    let what = format!("the record has {length} bytes");
    (None, (what, format!("a record may have {RECORD_BYTES_MAX}: check that this is RecordIO")))
}

/// Decodes every record of `bytes` and appends it to `rows`, whose `lines` count records here.
pub(crate) fn decode(bytes: &[u8], layout: &Layout, rows: &mut Rows) -> Result<(), Broken> {
    let mut entries = layout.sparse.then(Entries::default);
    let mut frames = Frames::new(bytes);
    let mut record = Record::default();
    loop {
        let line = rows.lines;
        let broken = |(column, (what, help))| Broken { line, column, what, help };
        let Some(payload) = frames.payload().map_err(broken)? else { break };
        if !take_dense(payload, layout, rows) {
            record.read(payload).map_err(broken)?;
            take(&record, layout, rows, entries.as_mut()).map_err(broken)?;
        }
        rows.count += 1;
        rows.lines += 1;
    }
    rows.entries = entries;
    Ok(())
}

/// The usual record straight from the wire into the row; `false`, and nothing done, where it deserves
/// a closer look, mistakes included.
fn take_dense(payload: &[u8], layout: &Layout, rows: &mut Rows) -> bool {
    if layout.sparse {
        return false;
    }
    let Some(dense) = Dense::read(payload) else { return false };
    let fits = dense.count() == layout.features && (!layout.label || dense.label.is_some());
    if !fits {
        return false;
    }
    let start = rows.features.len();
    dense.append_to(&mut rows.features);
    let sound = rows.features[start..].iter().all(|value| !value.is_infinite());
    let mut labelled = || match dense.label.filter(|_| layout.label) {
        Some(label) => label.is_finite() && rows.label.push_number(label).is_ok(),
        None => true,
    };
    let done = sound && labelled();
    if !done {
        rows.features.truncate(start);
    }
    done
}

fn take(
    record: &Record,
    layout: &Layout,
    rows: &mut Rows,
    entries: Option<&mut Entries>,
) -> Result<(), Wrong> {
    let found = record.features.width()?;
    let (is, was) = match (record.features.is_sparse(), layout.sparse) {
        (true, false) => ("sparse", "dense"),
        (false, true) => ("dense", "sparse"),
        _ => ("", ""),
    };
    if is != was {
        let what = format!("the record is {is} where the first one is {was}");
        return Err((None, (what, "write all records alike".into())));
    }
    if found != layout.features {
        let expected = layout.features;
        let what = format!("the record has {found} features where the first one has {expected}");
        return Err((None, (what, format!("give every record {expected} features"))));
    }
    match entries {
        None => rows.features.extend_from_slice(&record.features.values),
        Some(entries) => {
            push(record, found, entries)?;
        }
    }
    if layout.label {
        take_label(record, layout, rows)?;
    }
    Ok(())
}

fn push(record: &Record, width: usize, entries: &mut Entries) -> Result<(), Wrong> {
    for (key, value) in record.features.keys.iter().zip(&record.features.values) {
        if *key >= width as u64 {
            let what = format!("the key {key} is not below {width}");
            return Err((None, (what, "count keys from 0, below the shape".into())));
        }
        entries.push(*key as u32, *value);
    }
    entries.end_row().map_err(|twice| {
        let what = format!("the key {twice} stands there twice");
        (None, (what, "give each feature one value in a record".into()))
    })
}

fn take_label(record: &Record, layout: &Layout, rows: &mut Rows) -> Result<(), Wrong> {
    let refused = |refused| (None, refused);
    match record.label.values[..] {
        [label] if label.is_nan() => rows.label.push_text(b"nan").map_err(refused),
        [label] => rows.label.push_number(label).map_err(refused),
        [] => Err((
            None,
            (
                "the record has no label".into(),
                format!(
                    "set `{}.content_type = \"application/x-recordio-protobuf;label_size=0\"` if there are none",
                    layout.channel
                ),
            ),
        )),
        _ => Err((
            None,
            (
                format!("the record has {} labels", record.label.values.len()),
                "give each record one label".into(),
            ),
        )),
    }
}

/// Appends the rows of a request, `features` numbers each; labels are passed over. How many there
/// were, or which row is wrong and why. Stops behind `rows_max`.
pub(crate) fn rows(
    body: &[u8],
    features: usize,
    absent: Absent,
    rows_max: usize,
    values: &mut Vec<f32>,
) -> Result<usize, (usize, Wrong)> {
    let mut frames = Frames::new(body);
    let mut record = Record::default();
    let mut spare = Entries::default();
    let mut count = 0;
    while count <= rows_max {
        match row(&mut frames, &mut record, features, absent, &mut spare, values) {
            Ok(true) => count += 1,
            Ok(false) => break,
            Err(wrong) => return Err((count, wrong)),
        }
    }
    Ok(count)
}

/// The next row of a request, straight from the wire where it is dense; `false` at the end.
fn row(
    frames: &mut Frames<'_>,
    record: &mut Record,
    features: usize,
    absent: Absent,
    spare: &mut Entries,
    values: &mut Vec<f32>,
) -> Result<bool, Wrong> {
    let Some(payload) = frames.payload()? else { return Ok(false) };
    if let Some(dense) = Dense::read(payload).filter(|dense| dense.count() == features) {
        let start = values.len();
        dense.append_to(values);
        if values[start..].iter().all(|value| !value.is_infinite()) {
            return Ok(true);
        }
        values.truncate(start);
    }
    record.read(payload)?;
    let found = record.features.width()?;
    if found != features {
        return Err((None, super::request::wrong_length(found, features)));
    }
    if !record.features.is_sparse() {
        values.extend_from_slice(&record.features.values);
        return Ok(true);
    }
    spare.clear();
    push(record, features, spare)?;
    spare.fill(features, absent.value(), values);
    Ok(true)
}

/// Appends the bytes of a record with their frame.
pub(crate) fn frame(payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(payload);
    let padding = payload.len().next_multiple_of(4) - payload.len();
    out.extend_from_slice(&[0; 3][..padding]);
}

/// Appends a message with its frame.
pub(crate) fn write(message: &super::record::message::Record, out: &mut Vec<u8>) {
    use prost::Message;
    out.extend_from_slice(&MAGIC);
    let length = message.encoded_len();
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.reserve(length + 3);
    message.encode_raw(out);
    let padding = length.next_multiple_of(4) - length;
    out.extend_from_slice(&[0; 3][..padding]);
}
