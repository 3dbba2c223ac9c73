//! Batches to bytes, in every format that channels are read from: the way back. What is written
//! reads back as the same rows; what a format has no place for is refused before the first byte.

use std::io::Write;

use super::batch::{Batch, Categories, Labels};
use super::error::{Error, shown};
use super::parquet::writer::Table;
use super::record::message::{Record, Value};
use super::recordio;
use super::schema::Absent;
use crate::spec::train::Media;

/// What is to be written.
#[derive(Debug, Clone)]
pub struct Target {
    /// In which format.
    pub media: Media,
    /// How it is packed.
    pub packing: Packing,
    /// What libsvm leaves out of whole rows.
    pub absent: Absent,
    /// Names of the features; empty where there are none.
    pub columns: Vec<String>,
    /// What the label's column is called, where columns have names.
    pub label: String,
}

/// How bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// gzip
    Gzip,
    /// zstd
    Zstd,
}

/// Writes batch after batch; hands the bytes over as they are ready.
pub struct Encoder {
    target: Target,
    begun: bool,
    table: Option<Table>,
    text: Vec<u8>,
    gzip: Option<flate2::write::GzEncoder<Vec<u8>>>,
}

/// Bytes packed at a time.
const PACKED_BYTES: usize = 1 << 20;

impl Encoder {
    /// For rows of the kind that the first batch shows.
    pub fn new(target: Target) -> Encoder {
        let gzip = (target.packing == Packing::Gzip)
            .then(|| flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default()));
        Encoder { target, begun: false, table: None, text: Vec::new(), gzip }
    }

    /// Appends what the batch adds to `out`. `categories` are the words its columns of codes mean.
    ///
    /// # Errors
    /// [`Error::Bad`] when the format has no place for what the batch holds.
    pub fn batch(
        &mut self,
        batch: &Batch,
        categories: &Categories,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if !std::mem::replace(&mut self.begun, true) {
            self.begin(batch, categories)?;
        }
        let rows = Source { batch, categories, whole: batch.features.as_standard_layout() };
        match self.target.media {
            Media::Csv => rows.csv(&mut self.text),
            Media::JsonLines | Media::Json => rows.json_lines(&self.target, &mut self.text),
            Media::Libsvm => rows.libsvm(self.target.absent, &mut self.text)?,
            Media::RecordIo => rows.records(&mut self.text)?,
            Media::Parquet => {
                if let Some(table) = &mut self.table {
                    table.append(batch, categories, &mut self.text)?;
                }
            }
        }
        if self.text.len() >= PACKED_BYTES {
            self.pack(out)?;
        }
        Ok(())
    }

    /// Appends the end.
    ///
    /// # Errors
    /// As [`batch`](Self::batch).
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(table) = self.table.take() {
            table.finish(&mut self.text)?;
        }
        self.pack(out)?;
        if let Some(gzip) = self.gzip {
            out.extend(gzip.finish().map_err(|error| unwritten(&error.to_string()))?);
        }
        Ok(())
    }

    fn begin(&mut self, batch: &Batch, categories: &Categories) -> Result<(), Error> {
        let Target { media, columns, label, .. } = &self.target;
        let refuse = |what: &str, help: &str| {
            Err(Error::whole("the result", format!("{what} have no place in {media}"), help))
        };
        let help = "convert to text/csv, application/jsonlines or application/x-parquet";
        let is_bare = matches!(media, Media::Libsvm | Media::RecordIo);
        if is_bare && !categories.is_empty() {
            return refuse("columns of words", help);
        }
        if is_bare && matches!(batch.label, Some(Labels::Text { .. })) {
            return refuse("labels that are words", help);
        }
        if *media == Media::RecordIo && (batch.weight.is_some() || batch.group.is_some()) {
            return refuse("weights and groups", "convert to text/libsvm");
        }
        let mut names = before_names(batch, label);
        names.extend(columns.iter().cloned());
        let mut sorted = names.clone();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            let what = format!("two columns would be named {}", shown(pair[0].as_bytes()));
            return Err(Error::whole("the result", what, "give every column its own name"));
        }
        match media {
            Media::Csv if !columns.is_empty() => {
                let fields = names.iter().map(|name| name.as_bytes());
                fields.enumerate().for_each(|(at, name)| csv_word(at, name, &mut self.text));
                self.text.push(b'\n');
            }
            Media::Parquet => {
                if columns.is_empty() {
                    let width = batch.features.ncols();
                    names.extend((0..width).map(|at| format!("f{at}")));
                }
                self.table = Some(Table::begin(&names, batch, categories)?);
            }
            _ => {}
        }
        Ok(())
    }

    fn pack(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        match (&mut self.gzip, self.target.packing) {
            (Some(gzip), _) => {
                gzip.write_all(&self.text).map_err(|error| unwritten(&error.to_string()))?;
                out.append(gzip.get_mut());
            }
            (None, Packing::Zstd) if !self.text.is_empty() => {
                let level = ruzstd::encoding::CompressionLevel::Fastest;
                out.extend(ruzstd::encoding::compress_to_vec(&self.text[..], level));
            }
            _ => out.extend_from_slice(&self.text),
        }
        self.text.clear();
        Ok(())
    }
}

pub(super) fn unwritten(what: &str) -> Error {
    Error::whole("the result", format!("cannot be written: {what}"), "try another format")
}

/// Names of the columns that stand before the features.
pub(super) fn before_names(batch: &Batch, label: &str) -> Vec<String> {
    let has = [
        (batch.label.is_some(), label),
        (batch.weight.is_some(), "weight"),
        (batch.group.is_some(), "group"),
    ];
    has.into_iter().filter(|(has, _)| *has).map(|(_, name)| name.to_owned()).collect()
}

/// A batch, row after row.
struct Source<'a> {
    batch: &'a Batch,
    categories: &'a Categories,
    whole: ndarray::CowArray<'a, f32, ndarray::Ix2>,
}

impl Source<'_> {
    fn rows(&self) -> usize {
        self.batch.sparse.as_ref().map_or(self.whole.nrows(), super::batch::Sparse::rows)
    }

    fn csv(&self, out: &mut Vec<u8>) {
        for row in 0..self.rows() {
            let mut at = 0;
            let mut next = |out: &mut Vec<u8>| {
                if at > 0 {
                    out.push(b',');
                }
                at += 1;
            };
            match &self.batch.label {
                Some(Labels::Number(numbers)) => {
                    next(out);
                    number(numbers[row], out);
                }
                Some(Labels::Text { codes, names }) => {
                    next(out);
                    csv_word(0, names[codes[row] as usize].as_bytes(), out);
                }
                None => {}
            }
            if let Some(weight) = &self.batch.weight {
                next(out);
                number(weight[row], out);
            }
            if let Some(group) = &self.batch.group {
                next(out);
                out.extend_from_slice(group[row].to_string().as_bytes());
            }
            let alone = self.whole.ncols() == 1 && self.batch.label.is_none();
            for (column, cell) in self.whole.row(row).iter().enumerate() {
                next(out);
                match self.word(column, *cell) {
                    Some(word) => csv_word(0, word.as_bytes(), out),
                    // A line of nothing would be no row.
                    None if cell.is_nan() && alone => out.extend_from_slice(b"NaN"),
                    None if cell.is_nan() => {}
                    None => number(*cell, out),
                }
            }
            out.push(b'\n');
        }
    }

    fn word(&self, column: usize, cell: f32) -> Option<&str> {
        let words = self.categories.get(&column)?;
        words.get(cell as usize).filter(|_| !cell.is_nan()).map(String::as_str)
    }

    fn json_lines(&self, target: &Target, out: &mut Vec<u8>) {
        for row in 0..self.rows() {
            out.push(b'{');
            let key = |name: &str, out: &mut Vec<u8>| {
                if out.last() != Some(&b'{') {
                    out.push(b',');
                }
                json(name, out);
                out.push(b':');
            };
            match &self.batch.label {
                Some(Labels::Number(numbers)) => {
                    key(&target.label, out);
                    json_number(numbers[row], out);
                }
                Some(Labels::Text { codes, names }) => {
                    key(&target.label, out);
                    json(&names[codes[row] as usize], out);
                }
                None => {}
            }
            if let Some(weight) = &self.batch.weight {
                key("weight", out);
                json_number(weight[row], out);
            }
            if let Some(group) = &self.batch.group {
                key("group", out);
                out.extend_from_slice(group[row].to_string().as_bytes());
            }
            if let Some(sparse) = &self.batch.sparse {
                let (columns, values) = sparse.row(row);
                key("data", out);
                out.extend_from_slice(b"{\"features\":{\"keys\":[");
                list(columns.iter(), out, |key, out| {
                    out.extend_from_slice(key.to_string().as_bytes());
                });
                out.extend_from_slice(
                    format!("],\"shape\":[{}],\"values\":[", sparse.width).as_bytes(),
                );
                list(values.iter(), out, |value, out| json_number(*value, out));
                out.extend_from_slice(b"]}}");
            } else if target.columns.is_empty() {
                key("features", out);
                out.push(b'[');
                list(self.whole.row(row).iter(), out, |cell, out| json_number(*cell, out));
                out.push(b']');
            } else {
                for (column, cell) in self.whole.row(row).iter().enumerate() {
                    key(&target.columns[column], out);
                    match self.word(column, *cell) {
                        Some(word) => json(word, out),
                        None => json_number(*cell, out),
                    }
                }
            }
            out.extend_from_slice(b"}\n");
        }
    }

    fn libsvm(&self, absent: Absent, out: &mut Vec<u8>) -> Result<(), Error> {
        for row in 0..self.rows() {
            match &self.batch.label {
                Some(Labels::Number(numbers)) => number(numbers[row], out),
                Some(Labels::Text { .. }) => return Err(late("a label is a word")),
                None => {}
            }
            if let Some(weight) = &self.batch.weight {
                out.push(b':');
                number(weight[row], out);
            }
            if let Some(group) = &self.batch.group {
                out.extend_from_slice(format!(" qid:{}", group[row]).as_bytes());
            }
            let mut first = self.batch.label.is_none();
            let mut entry = |column: usize, value: f32| {
                if !std::mem::take(&mut first) {
                    out.push(b' ');
                }
                out.extend_from_slice(column.to_string().as_bytes());
                out.push(b':');
                if value.is_nan() { out.extend_from_slice(b"nan") } else { number(value, out) }
            };
            match &self.batch.sparse {
                Some(sparse) => {
                    let (columns, values) = sparse.row(row);
                    let entries = columns.iter().zip(values);
                    entries.for_each(|(column, value)| entry(*column as usize, *value));
                }
                None => {
                    for (column, value) in self.whole.row(row).iter().enumerate() {
                        let left_out = match absent {
                            Absent::Zero => *value == 0.0,
                            Absent::Missing => value.is_nan(),
                        };
                        if !left_out {
                            entry(column, *value);
                        }
                    }
                }
            }
            // A line of nothing would be no row; a label is passed over where none is wanted.
            if first {
                out.push(b'0');
            }
            out.push(b'\n');
        }
        Ok(())
    }

    fn records(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        for row in 0..self.rows() {
            let features = match &self.batch.sparse {
                Some(sparse) => {
                    let (columns, values) = sparse.row(row);
                    let keys = columns.iter().map(|column| u64::from(*column)).collect();
                    Value::float32(values.to_vec(), keys, vec![sparse.width as u64])
                }
                None => Value::float32(self.whole.row(row).to_vec(), Vec::new(), Vec::new()),
            };
            let label = match &self.batch.label {
                Some(Labels::Number(numbers)) => {
                    Some(Value::float32(vec![numbers[row]], Vec::new(), Vec::new()))
                }
                Some(Labels::Text { .. }) => return Err(late("a label is a word")),
                None => None,
            };
            recordio::write(&Record::of(features, label), out);
        }
        Ok(())
    }
}

/// A column that turned from numbers to words midway.
pub(super) fn late(what: &str) -> Error {
    let help = "convert to text/csv or application/jsonlines";
    Error::whole("the result", format!("{what} where those before were numbers"), help)
}

fn list<T>(items: impl Iterator<Item = T>, out: &mut Vec<u8>, put: impl Fn(T, &mut Vec<u8>)) {
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        put(item, out);
    }
}

/// The shortest decimal that reads back as the same number.
fn number(value: f32, out: &mut Vec<u8>) {
    const EXACT: f32 = 16_777_216.0;
    if value.fract() == 0.0 && value.abs() <= EXACT && !(value == 0.0 && value.is_sign_negative()) {
        out.extend_from_slice(itoa::Buffer::new().format(value as i32).as_bytes());
    } else {
        out.extend_from_slice(zmij::Buffer::new().format(value).as_bytes());
    }
}

fn json_number(value: f32, out: &mut Vec<u8>) {
    if value.is_finite() { number(value, out) } else { out.extend_from_slice(b"null") }
}

fn json(word: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, word).expect("a vector takes every byte");
}

fn csv_word(at: usize, word: &[u8], out: &mut Vec<u8>) {
    if at > 0 {
        out.push(b',');
    }
    let plain =
        !word.is_empty() && !word.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    if plain {
        out.extend_from_slice(word);
        return;
    }
    out.push(b'"');
    for byte in word {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}
