//! CSV to rows: RFC 4180 with the freedoms people take. Numbers are read where they stand, without
//! looking for the end of the field first; everything unusual takes the slower way.
//!
//! A quote opens a field only as its first byte, and is doubled inside it. Lines end with a line
//! feed, before which a carriage return may stand. Blank lines are skipped.

use std::borrow::Cow;

use memchr::{memchr, memchr3};

use super::block::{closing_quote, lines};
use super::error::{Broken, shown};
use super::number::{self, Cell, NotNumber};
use super::rows::Rows;
use crate::spec::limit::COLUMNS_MAX;
use crate::spec::problem::nearest;
use crate::spec::train::{Format, LabelColumn};

/// What each record looks like.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    /// `channels.NAME`, for messages that name a key.
    pub(crate) channel: String,
    pub(crate) delimiter: u8,
    /// Fields of each record.
    pub(crate) columns: usize,
    /// Which field is the label, from 0.
    pub(crate) label: Option<usize>,
    /// The header's names, or none.
    pub(crate) names: Vec<String>,
    /// What fixed the number of columns.
    pub(crate) measure: Measure,
}

/// What a record's number of columns is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// The first record of the object.
    FirstLine,
    /// The features a model takes.
    Model,
}

impl Layout {
    pub(crate) fn features(&self) -> usize {
        self.columns - usize::from(self.label.is_some())
    }

    pub(crate) fn feature_names(&self) -> Vec<String> {
        let names = self.names.iter().enumerate();
        names.filter(|(at, _)| Some(*at) != self.label).map(|(_, name)| name.clone()).collect()
    }

    /// Reads the first record of an object that begins at `start`, and where the rows after it
    /// begin. `None` when there are only blank lines.
    pub(crate) fn detect(
        text: &[u8],
        start: usize,
        format: &Format,
        channel: &str,
    ) -> Result<Option<(Layout, usize)>, Broken> {
        if text[start..].starts_with(b"\xff\xfe") || text[start..].starts_with(b"\xfe\xff") {
            return Err(broken(0, None, "the text is UTF-16", "save the file in UTF-8"));
        }
        let mut cursor = Cursor {
            bytes: text,
            end: text.len(),
            at: start,
            line: 0,
            delimiter: format.delimiter,
        };
        while cursor.at < cursor.end && cursor.skip_blank() {}
        if cursor.at >= cursor.end {
            return Ok(None);
        }
        let (line, first_at) = (cursor.line, cursor.at);
        let fields = cursor.whole_record()?;
        let mut layout = Layout {
            channel: channel.to_owned(),
            delimiter: format.delimiter,
            columns: fields.len(),
            label: None,
            names: Vec::new(),
            measure: Measure::FirstLine,
        };
        if format.header {
            layout.names =
                fields.iter().map(|field| name(field, line)).collect::<Result<_, _>>()?;
        }
        layout.label = layout.find_label(&format.label, line)?;
        if layout.features() == 0 {
            return Err(layout.no_features(&fields[0], line));
        }
        if !format.header {
            layout.refuse_header(&fields, line)?;
        }
        Ok(Some((layout, if format.header { cursor.at } else { first_at })))
    }

    fn find_label(&self, wanted: &LabelColumn, line: u64) -> Result<Option<usize>, Broken> {
        let wanted = match wanted {
            LabelColumn::None => return Ok(None),
            LabelColumn::First => return Ok(Some(0)),
            LabelColumn::Named(wanted) => wanted,
        };
        let channel = &self.channel;
        if self.names.is_empty() {
            let what = format!("{channel}.label names a column, but the columns have no names");
            return Err(broken(line, None, what, format!("set `{channel}.header = true`")));
        }
        let mut found = (0..self.columns).filter(|at| self.names[*at] == *wanted);
        let (first, second) = (found.next(), found.next());
        if let Some(second) = second {
            let what = format!("two columns are named {}", shown(wanted.as_bytes()));
            return Err(broken(line, Some(second), what, "give every column its own name"));
        }
        if first.is_none() {
            let what = format!("no column is named {}", shown(wanted.as_bytes()));
            let known = self.names.iter().map(String::as_str);
            let meant = nearest(wanted, known).map(|name| shown(name.as_bytes()));
            let help = match meant {
                Some(meant) => format!("set `{channel}.label = {meant}`"),
                None => format!("the columns are {}", self.some_names()),
            };
            return Err(broken(line, None, what, help));
        }
        Ok(first)
    }

    fn some_names(&self) -> String {
        let names: Vec<String> =
            self.names.iter().take(8).map(|name| shown(name.as_bytes())).collect();
        let more = if self.names.len() > 8 { ", …" } else { "" };
        names.join(", ") + more
    }

    /// One column, and it is the label: nearly always the wrong delimiter.
    fn no_features(&self, field: &[u8], line: u64) -> Broken {
        let what = "the line holds the label and no features";
        let help = self.other_delimiter(field).unwrap_or_else(|| {
            format!("give at least two columns; or set `{}.content_type = \"text/csv;label_size=0\"` if there is no label", self.channel)
        });
        broken(line, None, what, help)
    }

    fn other_delimiter(&self, field: &[u8]) -> Option<String> {
        let found = [b';', b'\t', b'|', b',']
            .into_iter()
            .find(|b| *b != self.delimiter && memchr(*b, field).is_some())?;
        let shown = if found == b'\t' { "\\t".to_owned() } else { char::from(found).to_string() };
        Some(format!(
            "if columns are separated by that, set `{}.delimiter = \"{shown}\"`",
            self.channel
        ))
    }

    /// A first line of words where numbers belong is most probably a header.
    fn refuse_header(&self, fields: &[Cow<'_, [u8]>], line: u64) -> Result<(), Broken> {
        let features = fields.iter().enumerate().filter(|(at, _)| Some(*at) != self.label);
        let words: Vec<&[u8]> = features
            .map(|(_, field)| field.as_ref())
            .filter(|field| number::parse(field) == Err(NotNumber::Word))
            .collect();
        if words.len() * 2 <= self.features() {
            return Ok(());
        }
        let examples: Vec<String> = words.iter().take(3).map(|word| shown(word)).collect();
        let more = if words.len() > 3 { ", …" } else { "" };
        let what = format!(
            "this looks like a header: words stand where numbers belong ({}{more})",
            examples.join(", ")
        );
        let help = format!(
            "set `{}.header = true`; if it is a row, turn its words into numbers",
            self.channel
        );
        Err(broken(line, None, what, help))
    }

    fn not_a_number(&self, column: usize, line: u64, text: &[u8], why: NotNumber) -> Broken {
        let (what, help) = match why {
            NotNumber::Word => (
                format!("{} is not a number", shown(text)),
                self.other_delimiter(text).unwrap_or_else(|| {
                    "features are decimal numbers, or empty where a value is missing; turn words into numbers first".into()
                }),
            ),
            NotNumber::Infinite => (
                format!("{} is not a finite number", shown(text)),
                "write a number, or leave the cell empty if the value is missing".into(),
            ),
            NotNumber::Overflow => (
                format!("{} is too large", shown(text)),
                "write numbers between -3.4e38 and 3.4e38".into(),
            ),
        };
        broken(line, Some(column), what, help)
    }
}

/// Decodes every record of `bytes[start..end]` and appends it to `rows`. The text ends with a line
/// feed, or else with `bytes`.
pub(crate) fn decode(
    bytes: &[u8],
    start: usize,
    end: usize,
    layout: &Layout,
    rows: &mut Rows,
) -> Result<(), Broken> {
    let features = layout.features();
    let mut cursor =
        Cursor { bytes, end, at: start, line: rows.lines, delimiter: layout.delimiter };
    while cursor.at < end {
        if cursor.skip_blank() {
            continue;
        }
        let row = rows.features.len();
        rows.features.resize(row + features, 0.0);
        cursor.record(layout, &mut rows.features[row..], &mut rows.label)?;
        rows.count += 1;
    }
    rows.lines = cursor.line;
    Ok(())
}

/// A place in the text.
struct Cursor<'a> {
    bytes: &'a [u8],
    end: usize,
    at: usize,
    /// Lines before it.
    line: u64,
    delimiter: u8,
}

impl<'a> Cursor<'a> {
    /// The byte at `at`; behind the end, a line feed.
    #[inline]
    fn byte(&self, at: usize) -> u8 {
        if at < self.end { self.bytes[at] } else { b'\n' }
    }

    #[inline]
    fn ends_field(&self, byte: u8) -> bool {
        byte == self.delimiter || byte == b'\n' || byte == b'\r'
    }

    /// Passes a line of nothing but spaces.
    #[inline]
    fn skip_blank(&mut self) -> bool {
        let first = self.byte(self.at);
        if !matches!(first, b'\n' | b'\r' | b' ' | b'\t') || first == self.delimiter {
            return false;
        }
        let mut at = self.at;
        while at < self.end
            && matches!(self.bytes[at], b' ' | b'\t')
            && self.bytes[at] != self.delimiter
        {
            at += 1;
        }
        if self.byte(at) == b'\r' && self.byte(at + 1) == b'\n' {
            at += 1;
        }
        if self.byte(at) != b'\n' {
            return false;
        }
        self.at = (at + 1).min(self.end);
        self.line += 1;
        true
    }

    /// One record into one row.
    #[inline]
    fn record(
        &mut self,
        layout: &Layout,
        row: &mut [f32],
        label: &mut super::label::LabelRows,
    ) -> Result<(), Broken> {
        let line = self.line;
        let before = layout.label.unwrap_or(usize::MAX);
        for (column, slot) in row.iter_mut().enumerate() {
            if column == before {
                self.label(layout, before, label)?;
                self.next_field(layout, before, line)?;
            }
            let column = column + usize::from(column >= before);
            *slot = self.feature(layout, column)?;
            if column + 1 < layout.columns {
                self.next_field(layout, column, line)?;
            }
        }
        if before == row.len() {
            self.label(layout, before, label)?;
        }
        self.end_record(layout, line)
    }

    #[inline]
    fn feature(&mut self, layout: &Layout, column: usize) -> Result<f32, Broken> {
        if let Some((value, stop)) = number::scan(self.bytes, self.at)
            && self.ends_field(self.byte(stop))
        {
            self.at = stop;
            return Ok(value);
        }
        if self.ends_field(self.byte(self.at)) {
            return Ok(f32::NAN);
        }
        self.feature_slowly(layout, column)
    }

    #[cold]
    fn feature_slowly(&mut self, layout: &Layout, column: usize) -> Result<f32, Broken> {
        let line = self.line;
        let text = self.field(column)?;
        match number::parse(&text) {
            Ok(Cell::Value(value)) => Ok(value),
            Ok(Cell::Missing) => Ok(f32::NAN),
            Err(why) => Err(layout.not_a_number(column, line, &text, why)),
        }
    }

    #[inline]
    fn label(
        &mut self,
        layout: &Layout,
        column: usize,
        label: &mut super::label::LabelRows,
    ) -> Result<(), Broken> {
        let line = self.line;
        let outcome = match number::scan(self.bytes, self.at) {
            Some((value, stop)) if self.ends_field(self.byte(stop)) => {
                self.at = stop;
                label.push_number(value)
            }
            _ => {
                let text = self.field(column)?;
                label.push_text(&text)
            }
        };
        outcome.map_err(|(what, help)| broken(line, Some(column.min(layout.columns)), what, help))
    }

    /// Passes the delimiter between two fields.
    #[inline]
    fn next_field(&mut self, layout: &Layout, column: usize, line: u64) -> Result<(), Broken> {
        if self.at < self.end && self.bytes[self.at] == self.delimiter {
            self.at += 1;
            return Ok(());
        }
        self.lone_carriage_return()?;
        Err(ragged(layout, line, column + 1))
    }

    /// Passes the end of a record.
    #[inline]
    fn end_record(&mut self, layout: &Layout, line: u64) -> Result<(), Broken> {
        if self.byte(self.at) == b'\r' {
            self.lone_carriage_return()?;
            self.at += 1;
        }
        if self.byte(self.at) != b'\n' {
            return self.too_many(layout, line);
        }
        self.at += 1;
        self.line += 1;
        Ok(())
    }

    #[cold]
    fn too_many(&mut self, layout: &Layout, line: u64) -> Result<(), Broken> {
        let mut columns = layout.columns;
        while self.byte(self.at) == self.delimiter {
            self.at += 1;
            self.field(columns)?;
            columns += 1;
        }
        Err(ragged(layout, line, columns))
    }

    /// A carriage return must be followed by a line feed.
    fn lone_carriage_return(&self) -> Result<(), Broken> {
        if self.byte(self.at) == b'\r' && self.byte(self.at + 1) != b'\n' {
            return Err(broken(
                self.line,
                None,
                "a carriage return stands without a line feed",
                "end lines with a line feed, e.g. with `tr '\\r' '\\n'`, or quote the text that holds it",
            ));
        }
        Ok(())
    }

    /// The field that starts here, without its quotes; stops at what ends it.
    fn field(&mut self, column: usize) -> Result<Cow<'a, [u8]>, Broken> {
        if self.byte(self.at) == b'"' {
            return self.quoted_field(column);
        }
        let rest = &self.bytes[self.at..self.end];
        let length = memchr3(self.delimiter, b'\n', b'\r', rest).unwrap_or(rest.len());
        self.at += length;
        self.lone_carriage_return()?;
        Ok(Cow::Borrowed(&rest[..length]))
    }

    fn quoted_field(&mut self, column: usize) -> Result<Cow<'a, [u8]>, Broken> {
        let from = self.at + 1;
        let text = &self.bytes[..self.end];
        let Some(closing) = closing_quote(text, from) else {
            return Err(broken(
                self.line,
                Some(column),
                "a quote is opened and not closed before the end of the file",
                "close it, or double it if it is part of a text",
            ));
        };
        let inside = &text[from..closing];
        let mut at = closing + 1;
        while self.byte(at) == b' ' && self.delimiter != b' ' {
            at += 1;
        }
        if !self.ends_field(self.byte(at)) {
            let rest = &text[at..text.len().min(at + 8)];
            let near = at + memchr(b'\n', rest).unwrap_or(rest.len());
            let what = format!("text follows a closing quote: {}", shown(&text[self.at..near]));
            return Err(broken(
                self.line,
                Some(column),
                what,
                "double the quotes that are part of a text",
            ));
        }
        self.at = at;
        self.line += lines(inside);
        if memchr(b'"', inside).is_none() {
            return Ok(Cow::Borrowed(inside));
        }
        let mut single = Vec::with_capacity(inside.len());
        let mut rest = inside;
        while let Some(quote) = memchr(b'"', rest) {
            single.extend_from_slice(&rest[..=quote]);
            rest = &rest[(quote + 2).min(rest.len())..];
        }
        single.extend_from_slice(rest);
        Ok(Cow::Owned(single))
    }

    /// All fields of one record, as many as a table may have.
    fn whole_record(&mut self) -> Result<Vec<Cow<'a, [u8]>>, Broken> {
        let line = self.line;
        let mut fields = Vec::new();
        loop {
            if fields.len() == COLUMNS_MAX {
                return Err(broken(
                    line,
                    None,
                    format!("the line has more than {COLUMNS_MAX} columns"),
                    format!("give at most {COLUMNS_MAX} columns, or check the delimiter"),
                ));
            }
            fields.push(self.field(fields.len())?);
            if self.at >= self.end || self.byte(self.at) != self.delimiter {
                break;
            }
            self.at += 1;
        }
        if self.byte(self.at) == b'\r' {
            self.at += 1;
        }
        self.at = (self.at + 1).min(self.end);
        self.line += 1;
        Ok(fields)
    }
}

fn name(field: &[u8], line: u64) -> Result<String, Broken> {
    match std::str::from_utf8(number::trimmed(field)) {
        Ok(name) => Ok(name.to_owned()),
        Err(_) => {
            let what = format!("the column name {} is not UTF-8", shown(field));
            Err(broken(line, None, what, "save the file in UTF-8"))
        }
    }
}

#[cold]
fn ragged(layout: &Layout, line: u64, found: usize) -> Broken {
    let expected = layout.columns;
    let plural = if found == 1 { "" } else { "s" };
    let (measure, help) = match layout.measure {
        Measure::Model if found == expected + 1 => {
            ("the model takes", "leave the label out: send the features only".to_owned())
        }
        Measure::Model => ("the model takes", format!("send {expected} numbers on each line")),
        Measure::FirstLine => (
            "the first one has",
            format!(
                "give every line {expected} columns; a text that holds the delimiter {} must stand in quotes",
                shown(&[layout.delimiter])
            ),
        ),
    };
    let what = format!("the line has {found} column{plural} where {measure} {expected}");
    broken(line, None, what, help)
}

fn broken(
    line: u64,
    column: Option<usize>,
    what: impl Into<String>,
    help: impl Into<String>,
) -> Broken {
    Broken { line, column, what: what.into(), help: help.into() }
}
