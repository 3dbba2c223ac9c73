//! Text to cells: what each one is, and a number that stands for its value, so that equal cells
//! are equal numbers whatever way they were written.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::Hasher;

use serde_json::Value;

use super::Options;
use crate::data::block::Block;
use crate::data::csv;
use crate::data::error::{Broken, shown};
use crate::data::nested::{self, Flat};
use crate::data::number;
use crate::spec::limit::COLUMNS_MAX;
use crate::spec::train::Media;

/// The cells of one block, row after row.
pub(super) struct Cells {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Lines of the block.
    pub(super) lines: u64,
    /// What each cell is: its number, or NaN.
    numbers: Vec<f64>,
    /// Equal for equal cells; 0 for a missing one.
    hashes: Vec<u64>,
    /// Of each row, all cells together, and all but the label.
    pub(super) whole: Vec<u64>,
    pub(super) features: Vec<u64>,
    /// The different words of each column of the block.
    pub(super) words: Vec<(usize, u64, String)>,
    seen: HashSet<(usize, u64)>,
}

/// Bytes of a word that are kept to be shown.
const SHOWN_BYTES_MAX: usize = 64;
/// What the hash of a missing cell is.
const MISSING: u64 = 0;

impl Cells {
    pub(super) fn new(columns: usize) -> Cells {
        Cells {
            rows: 0,
            columns,
            lines: 0,
            numbers: Vec::new(),
            hashes: Vec::new(),
            whole: Vec::new(),
            features: Vec::new(),
            words: Vec::new(),
            seen: HashSet::new(),
        }
    }

    pub(super) fn number(&self, row: usize, column: usize) -> f64 {
        self.numbers[row * self.columns + column]
    }

    pub(super) fn hash(&self, row: usize, column: usize) -> u64 {
        self.hashes[row * self.columns + column]
    }

    pub(super) fn push(&mut self, column: usize, text: &[u8]) {
        let text = number::trimmed(text);
        if number::is_missing(text) {
            self.put(f64::NAN, MISSING);
            return;
        }
        let begins = matches!(text[0], b'0'..=b'9' | b'-' | b'+' | b'.');
        match begins.then(|| fast_float2::parse::<f64, _>(text)) {
            Some(Ok(value)) if value.is_finite() => self.push_number(value),
            _ => self.push_word(column, text),
        }
    }

    /// A number; NaN is a missing one.
    pub(super) fn push_cell(&mut self, value: f64) {
        match value.is_nan() {
            true => self.put(f64::NAN, MISSING),
            false => self.push_number(value),
        }
    }

    fn push_number(&mut self, value: f64) {
        // -0 is 0.
        self.put(value, mixed((value + 0.0).to_bits() ^ 0x9e37_79b9_7f4a_7c15).max(1));
    }

    fn push_word(&mut self, column: usize, text: &[u8]) {
        // Keys are fixed: the same table gives the same answer.
        #[allow(deprecated)]
        let mut hasher = std::hash::SipHasher::new();
        hasher.write(text);
        let hash = hasher.finish().max(1);
        self.put(f64::NAN, hash);
        if self.seen.insert((column, hash)) {
            let mut end = text.len().min(SHOWN_BYTES_MAX);
            while end > 0 && end < text.len() && text[end] & 0xc0 == 0x80 {
                end -= 1;
            }
            self.words.push((column, hash, String::from_utf8_lossy(&text[..end]).into_owned()));
        }
    }

    fn put(&mut self, number: f64, hash: u64) {
        self.numbers.push(number);
        self.hashes.push(hash);
    }

    /// Ends a row before it is known which column is the label: [`Cells::label`] has to follow.
    pub(super) fn end_unlabelled_row(&mut self) {
        self.rows += 1;
    }

    /// Sums the rows up that were ended without it.
    pub(super) fn label(&mut self, label: Option<usize>) {
        let rows = std::mem::take(&mut self.rows);
        for _ in 0..rows {
            self.end_row(label);
        }
    }

    fn end_row(&mut self, label: Option<usize>) {
        let start = self.rows * self.columns;
        let (mut whole, mut features) = (0_u64, 0_u64);
        for (at, hash) in self.hashes[start..start + self.columns].iter().enumerate() {
            let next = |sum: u64| mixed(sum.rotate_left(7) ^ hash.wrapping_add(at as u64));
            whole = next(whole);
            if Some(at) != label {
                features = next(features);
            }
        }
        self.whole.push(whole);
        self.features.push(features);
        self.rows += 1;
    }
}

/// Spreads bits (the finaliser of splitmix64).
pub(super) fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Knows the columns.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    pub(super) names: Vec<String>,
    pub(super) header: bool,
    label: Option<usize>,
    media: Media,
    delimiter: u8,
    /// Of JSON Lines: which column a key is; lists have one column for each entry.
    keys: HashMap<String, (usize, usize)>,
}

impl Reader {
    /// For rows that say themselves what their columns are.
    pub(super) fn of_names(names: Vec<String>, media: Media) -> Reader {
        let (label, keys) = (None, HashMap::new());
        Reader { names, header: media == Media::Parquet, label, media, delimiter: b',', keys }
    }

    /// Looks at the first records of an object, passes its header, and knows the columns then.
    /// `None` when the block is blank.
    pub(super) fn detect(
        block: &mut Block,
        options: &Options,
        before: Option<&Reader>,
    ) -> Result<Option<Reader>, Broken> {
        let found = match options.media {
            Media::Csv => Reader::of_csv(block, options)?,
            _ => Reader::of_lines(block, before)?,
        };
        let Some(mut reader) = found else { return Ok(None) };
        if let Some(before) = before
            && before.names.len() != reader.names.len()
        {
            let (ours, theirs) = (reader.names.len(), before.names.len());
            let what =
                format!("the line has {ours} columns where the objects before have {theirs}");
            return Err(broken(0, what, "give all objects the same columns"));
        }
        reader.label = match &options.label {
            super::Label::First if options.media == Media::Csv => Some(0),
            super::Label::First => reader.names.iter().position(|name| name == "label"),
            super::Label::Named(wanted) => reader.names.iter().position(|name| name == wanted),
            super::Label::None => None,
        };
        Ok(Some(reader))
    }

    fn of_csv(block: &mut Block, options: &Options) -> Result<Option<Reader>, Broken> {
        let text = &block.bytes[..block.end];
        let (first, second) = csv::first_records(text, block.start, options.delimiter)?;
        let Some((first, after)) = first else { return Ok(None) };
        let is_word = |cell: &[u8]| number::parse(cell) == Err(number::NotNumber::Word);
        let looks = || {
            let second = second.as_deref().unwrap_or_default();
            let differs = first.iter().zip(second).any(|(a, b)| is_word(a) && !is_word(b));
            let distinct: HashSet<&[u8]> = first.iter().map(AsRef::as_ref).collect();
            first.iter().all(|cell| is_word(cell)) && differs && distinct.len() == first.len()
        };
        let header = options.header.unwrap_or_else(looks);
        let named = |(at, cell): (usize, &Cow<'_, [u8]>)| {
            let name = String::from_utf8_lossy(number::trimmed(cell)).into_owned();
            if header && !name.is_empty() { name } else { format!("column {}", at + 1) }
        };
        let names = first.iter().enumerate().map(named).collect();
        if header {
            block.lines_before += crate::data::block::lines(&text[..after]);
            block.start = after;
        }
        Ok(Some(Reader {
            names,
            header,
            label: None,
            media: Media::Csv,
            delimiter: options.delimiter,
            keys: HashMap::new(),
        }))
    }

    fn of_lines(block: &Block, before: Option<&Reader>) -> Result<Option<Reader>, Broken> {
        if let Some(before) = before {
            return Ok(Some(before.clone()));
        }
        let text = &block.bytes[block.start..block.end];
        let blank = |line: &&[u8]| !line.iter().all(u8::is_ascii_whitespace);
        let Some(line) = text.split(|byte| *byte == b'\n').find(blank) else { return Ok(None) };
        let object = object(line, 0)?;
        let (mut names, mut keys) = (Vec::new(), HashMap::new());
        let flat = Flat::of(&object, &[]).map_err(|(what, help)| broken(0, what, &help))?;
        for (key, value) in flat.values {
            let width = value.as_array().map_or(1, Vec::len);
            keys.insert(key.clone(), (names.len(), width));
            match value {
                Value::Array(_) => names.extend((0..width).map(|at| format!("{key}[{at}]"))),
                _ => names.push(key),
            }
        }
        if names.is_empty() || names.len() > COLUMNS_MAX {
            let what = format!("the line holds {} values", names.len());
            return Err(broken(0, what, "write one object on each line"));
        }
        Ok(Some(Reader {
            names,
            header: true,
            label: None,
            media: Media::JsonLines,
            delimiter: b',',
            keys,
        }))
    }

    /// The cells of a block.
    pub(super) fn read(&self, block: &Block) -> Result<Cells, Broken> {
        match self.media {
            Media::Csv => self.read_csv(block),
            _ => self.read_lines(block),
        }
    }

    fn read_csv(&self, block: &Block) -> Result<Cells, Broken> {
        let mut cells = Cells::new(self.names.len());
        cells.lines = block.lines_before;
        let mut take = |fields: &[Cow<'_, [u8]>], line: u64| {
            if fields.len() != self.names.len() {
                let (found, wanted) = (fields.len(), self.names.len());
                let what = format!("the line has {found} columns where the first one has {wanted}");
                let help = "give every line the same columns; a text that holds the delimiter must stand in quotes";
                return Err(broken(line, what, help));
            }
            for (column, field) in fields.iter().enumerate() {
                cells.push(column, field);
            }
            cells.end_row(self.label);
            Ok(())
        };
        let bytes = &block.bytes[..block.end];
        let lines =
            csv::each_record(bytes, block.start, self.delimiter, block.lines_before, &mut take)?;
        cells.lines = lines;
        Ok(cells)
    }

    fn read_lines(&self, block: &Block) -> Result<Cells, Broken> {
        let mut cells = Cells::new(self.names.len());
        let text = &block.bytes[block.start..block.end];
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        for line in text.split(|byte| *byte == b'\n') {
            if !line.iter().all(u8::is_ascii_whitespace) {
                let object = object(line, cells.lines)?;
                let mut row: Vec<&Value> = vec![&Value::Null; self.names.len()];
                self.place(&object, &mut String::new(), &mut row)
                    .map_err(|what| broken(cells.lines, what, "give every line the same list"))?;
                for (column, value) in row.iter().enumerate() {
                    cells.push_value(column, value);
                }
                cells.end_row(self.label);
            }
            cells.lines += 1;
        }
        Ok(cells)
    }

    /// The values of an object, and of those within it, into their columns.
    fn place<'a>(
        &self,
        object: &'a serde_json::Map<String, Value>,
        path: &mut String,
        row: &mut [&'a Value],
    ) -> Result<(), String> {
        for (key, value) in object {
            let before = nested::enter(path, key);
            match (self.keys.get(path.as_str()).copied(), value) {
                (Some((start, width)), Value::Array(list)) if list.len() == width => {
                    row[start..start + width].iter_mut().zip(list).for_each(|(to, it)| *to = it);
                }
                (Some((_, width)), Value::Array(list)) => {
                    return Err(format!(
                        "the list {} has {} entries where the first line has {width}",
                        shown(path.as_bytes()),
                        list.len()
                    ));
                }
                // An empty list has no column, so nothing can stand in its place.
                (Some((start, width)), value) => row[start..][..width.min(1)].fill(value),
                (None, Value::Object(inner)) => self.place(inner, path, row)?,
                (None, _) => {}
            }
            path.truncate(before);
        }
        Ok(())
    }
}

impl Cells {
    fn push_value(&mut self, column: usize, value: &Value) {
        match value {
            Value::Null => self.put(f64::NAN, MISSING),
            Value::Bool(truth) => self.push_word(column, if *truth { b"true" } else { b"false" }),
            Value::Number(number) => match number.as_f64() {
                Some(value) => self.push_number(value),
                None => self.put(f64::NAN, MISSING),
            },
            Value::String(text) => self.push(column, text.as_bytes()),
            other => self.push_word(column, other.to_string().as_bytes()),
        }
    }
}

fn object(line: &[u8], number: u64) -> Result<serde_json::Map<String, Value>, Broken> {
    match serde_json::from_slice(line) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => {
            Err(broken(number, "the line is not a JSON object", "write one object on each line"))
        }
        Err(error) => {
            let what = format!("this is not JSON at byte {}", error.column());
            Err(broken(number, what, "write one object on each line"))
        }
    }
}

fn broken(line: u64, what: impl Into<String>, help: &str) -> Broken {
    Broken { line, column: None, what: what.into(), help: help.into() }
}
