//! CSV to rows: RFC 4180 with the freedoms people take. Numbers are read where they stand, without
//! looking for the end of the field first; everything unusual takes the slower way.
//!
//! A quote opens a field only as its first byte, and is doubled inside it. Lines end with a line
//! feed, before which a carriage return may stand. Blank lines are skipped.

use std::borrow::Cow;

use memchr::{memchr, memchr3};

use super::block::{closing_quote, lines};
use super::error::{Broken, shown};
use super::label::Refused;
use super::number::{self, Cell, NotNumber};
use super::roles::{Before, Role, Roles, some_names};
use super::rows::Rows;
use crate::spec::limit::COLUMNS_MAX;
use crate::spec::train::Format;

/// What each record looks like.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    /// `channels.NAME`, for messages that name a key.
    pub(crate) channel: String,
    pub(crate) delimiter: u8,
    /// Fields of each record.
    pub(crate) columns: usize,
    /// What each field is for.
    pub(crate) roles: Roles,
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
    /// Reads the first record of an object that begins at `start`, and where the rows after it
    /// begin. `None` when there are only blank lines.
    pub(crate) fn detect(
        text: &[u8],
        start: usize,
        format: &Format,
        channel: &str,
        before: &Before,
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
            roles: Roles::default(),
            names: Vec::new(),
            measure: Measure::FirstLine,
        };
        if format.header {
            layout.names =
                fields.iter().map(|field| name(field, line)).collect::<Result<_, _>>()?;
        }
        if format.header && looks_like_a_row(&layout.names) {
            return Err(broken(
                line,
                None,
                format!(
                    "a header is expected, and this looks like a row: {}",
                    some_names(&layout.names)
                ),
                format!(
                    "set `{channel}.header = false`, or put the columns' names on the first line"
                ),
            ));
        }
        layout.roles = Roles::resolve(layout.columns, &layout.names, format, before, channel)
            .map_err(|(column, (what, help))| broken(line, column, what, help))?;
        if layout.roles.features == 0 {
            return Err(layout.no_features(&fields[0], line));
        }
        if !format.header {
            let second = cursor.second_record();
            layout.refuse_header(&fields, second.as_deref(), line)?;
        }
        Ok(Some((layout, if format.header { cursor.at } else { first_at })))
    }

    /// One column, and it is the label: nearly always the wrong delimiter.
    fn no_features(&self, field: &[u8], line: u64) -> Broken {
        let what = match self.columns {
            1 => "the line holds the label and no features",
            _ => "no column is left for the features",
        };
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
    /// Where columns may hold words, it is one when the second line has numbers below them.
    fn refuse_header(
        &self,
        fields: &[Cow<'_, [u8]>],
        second: Option<&[Cow<'_, [u8]>]>,
        line: u64,
    ) -> Result<(), Broken> {
        let is_word = |field: &[u8]| number::parse(field) == Err(NotNumber::Word);
        let features = || (0..fields.len()).filter(|at| self.roles.is_feature(*at));
        let words: Vec<&[u8]> =
            features().map(|at| fields[at].as_ref()).filter(|field| is_word(field)).collect();
        if words.len() * 2 <= self.roles.features {
            return Ok(());
        }
        let below = |at: usize| second.and_then(|second| second.get(at));
        let words_allowed = self.roles.survey || !self.roles.words.is_empty();
        let numbers_below = || features().any(|at| below(at).is_some_and(|field| !is_word(field)));
        if words_allowed && !(words.len() == self.roles.features && numbers_below()) {
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
                self.other_delimiter(text).unwrap_or_else(|| match self.measure {
                    Measure::Model => {
                        "send a number, or an empty cell where the value is missing".into()
                    }
                    Measure::FirstLine => {
                        self.roles.word_help(self.names.get(column), &self.channel)
                    }
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
    let (features, label) = (layout.roles.features, layout.roles.label());
    let plain = layout.roles.is_plain();
    let mut cursor =
        Cursor { bytes, end, at: start, line: rows.lines, delimiter: layout.delimiter };
    while cursor.at < end {
        if cursor.skip_blank() {
            continue;
        }
        if plain {
            let row = rows.features.len();
            rows.features.resize(row + features, 0.0);
            cursor.record(layout, label, &mut rows.features[row..], &mut rows.label)?;
        } else {
            cursor.record_by_role(layout, rows)?;
        }
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

    /// One record of numbers, and at most a label, into one row.
    #[inline]
    fn record(
        &mut self,
        layout: &Layout,
        labelled: Option<usize>,
        row: &mut [f32],
        label: &mut super::label::LabelRows,
    ) -> Result<(), Broken> {
        let line = self.line;
        let before = labelled.unwrap_or(usize::MAX);
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

    /// One record, each field as its column's role says.
    fn record_by_role(&mut self, layout: &Layout, rows: &mut Rows) -> Result<(), Broken> {
        let (line, roles) = (self.line, &layout.roles);
        for (column, role) in roles.list.iter().enumerate() {
            if column > 0 {
                self.next_field(layout, column - 1, line)?;
            }
            let at = self.line;
            let refused = |(what, help): Refused| broken(at, Some(column), what, help);
            match role {
                Role::Feature if roles.survey => {
                    let value = self.feature_or_word(layout, column)?;
                    if value.is_none() {
                        rows.surprises.insert(rows.features.len() % roles.features);
                    }
                    rows.features.push(value.unwrap_or(f32::NAN));
                }
                Role::Feature => {
                    let value = self.feature(layout, column)?;
                    rows.features.push(value);
                }
                Role::Words(slot) => {
                    let text = self.field(column)?;
                    let code = rows.word(roles, *slot, &text).map_err(refused)?;
                    rows.features.push(code);
                }
                Role::Label => self.label(layout, column, &mut rows.label)?,
                Role::Weight => {
                    let text = self.field(column)?;
                    rows.push_weight(&text).map_err(refused)?;
                }
                Role::Group => {
                    let text = self.field(column)?;
                    rows.group.push(&text, at).map_err(refused)?;
                }
                Role::Ignored => drop(self.field(column)?),
            }
        }
        self.end_record(layout, line)
    }

    /// A number, or `None` for a word.
    fn feature_or_word(&mut self, layout: &Layout, column: usize) -> Result<Option<f32>, Broken> {
        if let Some(value) = self.plain_feature() {
            return Ok(Some(value));
        }
        let line = self.line;
        let text = self.field(column)?;
        match number::parse(&text) {
            Ok(Cell::Value(value)) => Ok(Some(value)),
            Ok(Cell::Missing) => Ok(Some(f32::NAN)),
            Err(NotNumber::Word) => Ok(None),
            Err(why) => Err(layout.not_a_number(column, line, &text, why)),
        }
    }

    #[inline]
    fn feature(&mut self, layout: &Layout, column: usize) -> Result<f32, Broken> {
        match self.plain_feature() {
            Some(value) => Ok(value),
            None => self.feature_slowly(layout, column),
        }
    }

    /// A number as most are written, or an empty cell.
    #[inline]
    fn plain_feature(&mut self) -> Option<f32> {
        // Flags and one-hot columns: a guess that the processor learns, so that where the next
        // field begins need not be computed first.
        if let Some([digit @ b'0'..=b'9', mark, ..]) = self.bytes.get(self.at..)
            && self.ends_field(*mark)
        {
            self.at += 1;
            return Some(f32::from(digit - b'0'));
        }
        if let Some((value, stop)) = number::scan(self.bytes, self.at)
            && self.ends_field(self.byte(stop))
        {
            self.at = stop;
            return Some(value);
        }
        self.ends_field(self.byte(self.at)).then_some(f32::NAN)
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

    /// The fields of the record that starts here, if there is one and it is sound.
    fn second_record(&mut self) -> Option<Vec<Cow<'a, [u8]>>> {
        while self.at < self.end && self.skip_blank() {}
        if self.at < self.end { self.whole_record().ok() } else { None }
    }

    /// All fields of one record, as many as a table may have.
    fn whole_record(&mut self) -> Result<Fields<'a>, Broken> {
        let mut fields = Vec::new();
        self.fields_into(&mut fields)?;
        Ok(fields)
    }

    fn fields_into(&mut self, fields: &mut Fields<'a>) -> Result<(), Broken> {
        let line = self.line;
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
        Ok(())
    }
}

/// The fields of one record.
type Fields<'a> = Vec<Cow<'a, [u8]>>;

/// The fields of the first two records of a text, and where the second begins.
pub(crate) fn first_records(
    text: &[u8],
    start: usize,
    delimiter: u8,
) -> Result<(Option<(Fields<'_>, usize)>, Option<Fields<'_>>), Broken> {
    let mut cursor = Cursor { bytes: text, end: text.len(), at: start, line: 0, delimiter };
    while cursor.at < cursor.end && cursor.skip_blank() {}
    if cursor.at >= cursor.end {
        return Ok((None, None));
    }
    let first = cursor.whole_record()?;
    let after = cursor.at;
    Ok((Some((first, after)), cursor.second_record()))
}

/// Hands over the fields of each record with its line, counted from `line`; returns the lines up to
/// the end.
pub(crate) fn each_record(
    text: &[u8],
    start: usize,
    delimiter: u8,
    line: u64,
    take: &mut dyn FnMut(&[Cow<'_, [u8]>], u64) -> Result<(), Broken>,
) -> Result<u64, Broken> {
    let mut cursor = Cursor { bytes: text, end: text.len(), at: start, line, delimiter };
    let mut fields = Vec::new();
    while cursor.at < cursor.end {
        if cursor.skip_blank() {
            continue;
        }
        let line = cursor.line;
        fields.clear();
        cursor.fields_into(&mut fields)?;
        take(&fields, line)?;
    }
    Ok(cursor.line)
}

/// Whether all names are numbers, and not only such as count columns.
fn looks_like_a_row(names: &[String]) -> bool {
    let counts = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = |name: &String| number::parse(name.as_bytes()).is_ok();
    names.iter().all(is_number) && !names.iter().all(counts)
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
