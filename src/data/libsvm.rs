//! libsvm's text to sparse rows: `label[:weight] [qid:query] index:value …`, a record on each line.
//!
//! Indices are taken as they stand, from 0, as XGBoost reads a file unless its URI says
//! `indexing_mode`: a file that counts from 1 has a first column that no row fills. `#` begins a
//! comment. Where XGBoost 3.2 reads on past a mistake (a weight on some lines only, an index twice,
//! queries that come back), the line is refused; entries may come in any order, as there.

use memchr::memchr;

use super::error::{Broken, shown};
use super::number::{self, Cell, NotNumber};
use super::roles::{Role, Roles};
use super::rows::Rows;
use super::schema::Absent;
use super::sparse::{Entries, Width};
use crate::spec::train::{Format, LabelColumn};

/// What each line looks like.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    /// Whether lines must begin with a label; one that is not wanted is passed over.
    pub(crate) label: bool,
    /// Whether the label carries a weight.
    weight: bool,
    /// Whether lines name their query.
    group: bool,
    width: Width,
    pub(crate) roles: Roles,
}

impl Layout {
    /// For lines that begin like this one, if they are to have labels.
    fn of(label: bool, head: Option<&Head>, width: Width) -> Layout {
        let head = head.filter(|_| label);
        let weight = head.is_some_and(|head| head.weight.is_some());
        let group = head.is_some_and(|head| head.group.is_some());
        let has = [(label, Role::Label), (weight, Role::Weight), (group, Role::Group)];
        let list = has.into_iter().filter(|(has, _)| *has).map(|(_, role)| role).collect();
        let roles = Roles { list, features: width.expected(), ..Roles::default() };
        Layout { label, weight, group, width, roles }
    }

    /// Looks at the first record of an object. `None` when there are only blank lines and comments.
    pub(crate) fn detect(
        text: &[u8],
        start: usize,
        format: &Format,
        features: Option<usize>,
    ) -> Result<Option<Layout>, Broken> {
        if text[start..].starts_with(b"\xff\xfe") || text[start..].starts_with(b"\xfe\xff") {
            return Err(broken(0, "the text is UTF-16", "save the file in UTF-8"));
        }
        let mut cursor = Cursor { bytes: text, end: text.len(), at: start };
        let mut line = 0;
        while cursor.at < cursor.end {
            if !cursor.pass_blank_line() {
                let label = format.label != LabelColumn::None;
                return match cursor.head(label) {
                    Ok(head) => Ok(Some(Layout::of(label, Some(&head), Width::of(features)))),
                    Err((what, help)) => Err(Broken { line, column: None, what, help }),
                };
            }
            line += 1;
        }
        Ok(None)
    }
}

/// Decodes every record of `bytes[start..end]` and appends it to `rows`.
pub(crate) fn decode(
    bytes: &[u8],
    start: usize,
    end: usize,
    layout: &Layout,
    rows: &mut Rows,
) -> Result<(), Broken> {
    let mut entries = rows.entries.take().unwrap_or_default();
    let mut cursor = Cursor { bytes, end, at: start };
    while cursor.at < end {
        if !cursor.pass_blank_line() {
            let line = rows.lines;
            cursor.record(layout, rows, &mut entries).map_err(|(what, help)| Broken {
                line,
                column: None,
                what,
                help,
            })?;
            rows.count += 1;
        }
        rows.lines += 1;
    }
    rows.entries = Some(entries);
    Ok(())
}

/// Appends the rows of a request to `values`, `features` numbers each and `absent` where a row leaves
/// a cell out; a label is welcome and passed over, a query as well. How many there were, or which row
/// is wrong and why. Stops behind `rows_max`.
pub(crate) fn rows(
    body: &[u8],
    features: usize,
    absent: Absent,
    rows_max: usize,
    values: &mut Vec<f32>,
) -> Result<usize, (usize, Wrong)> {
    let mut cursor = Cursor { bytes: body, end: body.len(), at: 0 };
    let mut spare = Entries::default();
    let mut count = 0;
    while cursor.at < cursor.end && count <= rows_max {
        if cursor.pass_blank_line() {
            continue;
        }
        let start = values.len();
        values.resize(start + features, absent.value());
        cursor.fill(&mut values[start..], &mut spare).map_err(|wrong| (count, wrong))?;
        count += 1;
    }
    Ok(count)
}

type Wrong = (String, String);

/// What stands before the features.
struct Head {
    label: Option<Label>,
    weight: Option<f32>,
    /// The query, from here to there.
    group: Option<(usize, usize)>,
}

/// A label as it stands there.
enum Label {
    Number(f32),
    /// From here to there.
    Text(usize, usize),
}

/// A place in the text.
struct Cursor<'a> {
    bytes: &'a [u8],
    end: usize,
    at: usize,
}

impl Cursor<'_> {
    /// The byte at `at`; behind the end, a line feed.
    #[inline]
    fn byte(&self, at: usize) -> u8 {
        if at < self.end { self.bytes[at] } else { b'\n' }
    }

    #[inline]
    fn pass_spaces(&mut self) {
        while matches!(self.byte(self.at), b' ' | b'\t' | b'\r') {
            self.at += 1;
        }
    }

    /// Whether a word ends before `at`.
    #[inline]
    fn ends_word(&self, at: usize) -> bool {
        matches!(self.byte(at), b' ' | b'\t' | b'\r' | b'\n' | b'#')
    }

    /// Where the word that begins here ends.
    fn word_end(&self) -> usize {
        let mut end = self.at;
        while !self.ends_word(end) {
            end += 1;
        }
        end
    }

    /// Passes a line without a record: spaces, a comment.
    fn pass_blank_line(&mut self) -> bool {
        self.pass_spaces();
        match self.byte(self.at) {
            b'\n' => self.at = (self.at + 1).min(self.end),
            b'#' => self.pass_comment(),
            _ => return false,
        }
        true
    }

    /// Passes the rest of the line.
    fn pass_comment(&mut self) {
        let rest = &self.bytes[self.at..self.end];
        self.at += memchr(b'\n', rest).map_or(rest.len(), |feed| feed + 1);
    }

    /// One record into one row; passes the end of its line.
    fn record(
        &mut self,
        layout: &Layout,
        rows: &mut Rows,
        entries: &mut Entries,
    ) -> Result<(), Wrong> {
        let head = self.head(layout.label)?;
        if layout.label {
            self.take_head(&head, layout, rows)?;
        }
        while let Some((index, value)) = self.next_entry()? {
            entries.push(layout.width.column(index)?, value);
        }
        entries.end_row().map_err(twice)
    }

    /// One record into `row`, whose cells hold what a left out one means. `spare` is memory for a
    /// record whose indices do not ascend: only there may one stand twice.
    fn fill(&mut self, row: &mut [f32], spare: &mut Entries) -> Result<(), Wrong> {
        self.head(false)?;
        let (begin, width) = (self.at, Width::AtMost(row.len()));
        let mut next = 0;
        while let Some((index, value)) = self.next_entry()? {
            let column = width.column(index)?;
            row[column as usize] = value;
            if column < next {
                self.at = begin;
                return self.check_twice(width, spare);
            }
            next = column + 1;
        }
        Ok(())
    }

    /// Reads the entries again, in any order.
    #[cold]
    fn check_twice(&mut self, width: Width, spare: &mut Entries) -> Result<(), Wrong> {
        spare.clear();
        while let Some((index, value)) = self.next_entry()? {
            spare.push(width.column(index)?, value);
        }
        spare.end_row().map_err(twice)
    }

    /// The next entry of the line; at its end, which is passed, `None`.
    #[inline]
    fn next_entry(&mut self) -> Result<Option<(u64, f32)>, Wrong> {
        self.pass_spaces();
        match self.byte(self.at) {
            b'\n' => self.at = (self.at + 1).min(self.end),
            b'#' => self.pass_comment(),
            _ => return self.entry().map(Some),
        }
        Ok(None)
    }

    fn take_head(&self, head: &Head, layout: &Layout, rows: &mut Rows) -> Result<(), Wrong> {
        match head.label {
            Some(Label::Number(value)) => rows.label.push_number(value)?,
            Some(Label::Text(from, to)) => self.refuse_label(&self.bytes[from..to])?,
            None => {
                return Err((
                    "the label is missing: the line begins with a feature".into(),
                    "begin every line with its label: 1 3:0.5 7:2".into(),
                ));
            }
        }
        match (head.weight, layout.weight) {
            (Some(weight), true) => rows.weight.push(weight),
            (None, false) => {}
            (found, _) => return Err(some_only(found.is_some(), "weight", "label:weight")),
        }
        match (head.group, layout.group) {
            (Some((from, to)), true) => rows.group.push(&self.bytes[from..to], rows.lines)?,
            (None, false) => {}
            (found, _) => return Err(some_only(found.is_some(), "query", "qid:query")),
        }
        Ok(())
    }

    fn refuse_label(&self, text: &[u8]) -> Result<(), Wrong> {
        let what = match number::parse(text) {
            Ok(_) => format!("the label is missing ({})", shown(text)),
            Err(NotNumber::Word) => format!("the label {} is not a number", shown(text)),
            Err(_) => format!("the label {} is not a finite number", shown(text)),
        };
        Err((what, "labels of libsvm are numbers: 1 3:0.5 7:2".into()))
    }

    /// `label[:weight] [qid:query]`. Where no label is needed, a line may begin with a feature, and
    /// `3:0.5` there is one.
    fn head(&mut self, labelled: bool) -> Result<Head, Wrong> {
        let start = self.at;
        let mut head = Head { label: None, weight: None, group: None };
        match number::scan(self.bytes, start) {
            Some((value, end)) if self.ends_word(end) => {
                self.at = end;
                head.label = Some(Label::Number(value));
            }
            _ => self.unusual_head(start, labelled, &mut head)?,
        }
        self.pass_spaces();
        if self.bytes[self.at..self.end].starts_with(b"qid:") {
            head.group = Some(self.query()?);
        }
        Ok(head)
    }

    /// A label with a weight, one that is no plain number, or none.
    fn unusual_head(&mut self, start: usize, labelled: bool, head: &mut Head) -> Result<(), Wrong> {
        let end = self.word_end();
        let word = &self.bytes[start..end];
        if word.starts_with(b"qid:") {
            return Ok(());
        }
        let Some(colon) = memchr(b':', word) else {
            self.at = end;
            head.label = Some(match number::parse(word) {
                Ok(Cell::Value(value)) => Label::Number(value),
                _ => Label::Text(start, end),
            });
            return Ok(());
        };
        if !labelled {
            return Ok(());
        }
        let (label, weight) = (&word[..colon], &word[colon + 1..]);
        let Ok(Cell::Value(label)) = number::parse(label) else {
            head.label = Some(Label::Text(start, start + colon));
            self.at = end;
            return Ok(());
        };
        head.label = Some(Label::Number(label));
        head.weight = Some(match number::parse(weight) {
            Ok(Cell::Value(weight)) if weight >= 0.0 => weight,
            _ => {
                let what = format!("the weight {} is not a number of 0 or more", shown(weight));
                return Err((what, "write label:weight, or the label alone".into()));
            }
        });
        self.at = end;
        Ok(())
    }

    fn query(&mut self) -> Result<(usize, usize), Wrong> {
        let (start, end) = (self.at + b"qid:".len(), self.word_end());
        let text = &self.bytes[start..end];
        if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
            let what = format!("the query {} is not a whole number", shown(text));
            return Err((what, "number queries from 0: 1 qid:7 3:0.5".into()));
        }
        self.at = end;
        Ok((start, end))
    }

    /// `index:value`
    #[inline]
    fn entry(&mut self) -> Result<(u64, f32), Wrong> {
        if let Some((index, colon)) = number::whole(self.bytes, self.at)
            && self.byte(colon) == b':'
        {
            if let Some([b':', digit @ b'0'..=b'9', mark, ..]) = self.bytes.get(colon..)
                && matches!(mark, b' ' | b'\n')
            {
                self.at = colon + 2;
                return Ok((index, f32::from(digit - b'0')));
            }
            if let Some((value, end)) = number::scan(self.bytes, colon + 1)
                && self.ends_word(end)
            {
                self.at = end;
                return Ok((index, value));
            }
        }
        self.unusual_entry()
    }

    #[cold]
    fn unusual_entry(&mut self) -> Result<(u64, f32), Wrong> {
        let end = self.word_end();
        let word = &self.bytes[self.at..end];
        let wrong = |what: String| Err((what, ENTRY.to_owned()));
        let Some(colon) = memchr(b':', word) else {
            return wrong(format!("{} is not a feature", shown(word)));
        };
        let (index, value) = (&word[..colon], &word[colon + 1..]);
        let whole = std::str::from_utf8(index).ok().and_then(|text| text.parse::<u64>().ok());
        let Some(whole) = whole else {
            return wrong(format!("the index {} is not a whole number", shown(index)));
        };
        if value.is_empty() {
            return wrong(format!("the index {whole} has no value"));
        }
        let value = match number::parse(value) {
            Ok(Cell::Value(value)) => value,
            Ok(Cell::Missing) => f32::NAN,
            Err(NotNumber::Word) => {
                return wrong(format!("the value {} of {whole} is not a number", shown(value)));
            }
            Err(_) => {
                let what = format!("the value {} of {whole} is not a finite number", shown(value));
                return Err((what, "write numbers between -3.4e38 and 3.4e38".into()));
            }
        };
        self.at = end;
        Ok((whole, value))
    }
}

const ENTRY: &str = "write features as index:value, e.g. 1 3:0.5 7:2";

fn twice(index: u32) -> Wrong {
    let what = format!("the index {index} stands there twice");
    (what, "give each feature one value on a line".into())
}

fn some_only(has: bool, thing: &str, shape: &str) -> Wrong {
    let what = if has {
        format!("the line has a {thing} where the first one has none")
    } else {
        format!("the line has no {thing} where the first one has one")
    };
    (what, format!("give every line a {thing} ({shape}), or none"))
}

fn broken(line: u64, what: &str, help: &str) -> Broken {
    Broken { line, column: None, what: what.into(), help: help.into() }
}
