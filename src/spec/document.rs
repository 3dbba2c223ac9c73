//! TOML text to a tree whose every value knows its line, with `--set` laid over it.
//!
//! The only file that knows the `toml` crate. It judges syntax (and keys given twice), never
//! meaning: which keys exist and what they may hold is decided by the readers above it.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::limit::SPEC_BYTES_MAX;
use super::parameter::RawValue;
use super::problem::{Problems, shortened};

/// Syntax mistakes shown of one document; the rest are usually echoes of the first.
const SYNTAX_PROBLEMS_MAX: usize = 20;
/// Characters of a source line shown beside a syntax mistake.
const SOURCE_CHARS_MAX: usize = 72;

/// A document that was read as far as it goes.
#[derive(Debug)]
pub(crate) struct Document {
    /// Its tables and values.
    pub(crate) root: Table,
    /// Keys given by `--set`, as dotted paths.
    pub(crate) overridden: Vec<String>,
    /// Whether a syntax mistake may have swallowed keys: then nothing is reported as missing.
    pub(crate) torn: bool,
}

/// Keys of one table, in alphabetical order.
pub(crate) type Table = BTreeMap<String, Node>;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// The value.
    pub(crate) kind: Kind,
    /// Line of its key, from 1; `None` when it came from `--set`.
    pub(crate) line: Option<usize>,
    /// The text behind `=` when it came from `--set`: where a string is wanted, that is it.
    pub(crate) typed: Option<String>,
}

/// What a TOML value can be.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Numbers, strings, booleans and lists of them.
    Value(RawValue),
    /// A whole number beyond 64 bits, as written.
    HugeInteger(String),
    /// A date or time, as written.
    Date(String),
    /// A list that holds a table, a date or a huge number somewhere.
    MixedList,
    /// `[table]` or `{ … }`
    Table(Table),
}

impl Node {
    /// The value as a mistake names it: `integer 3`, `string "cpu"`, `a table`.
    pub(crate) fn described(&self) -> String {
        match &self.kind {
            Kind::Value(value) => format!("{} {}", self.type_name(), shortened(&value.to_string())),
            Kind::HugeInteger(text) | Kind::Date(text) => {
                format!("{} {}", self.type_name(), shortened(text))
            }
            Kind::MixedList | Kind::Table(_) => format!("a {}", self.type_name()),
        }
    }

    /// The type alone, for values that must not be shown.
    pub(crate) fn type_name(&self) -> &'static str {
        match &self.kind {
            Kind::Value(RawValue::Text(_)) => "string",
            Kind::Value(RawValue::Integer(_)) | Kind::HugeInteger(_) => "integer",
            Kind::Value(RawValue::Float(_)) => "float",
            Kind::Value(RawValue::Boolean(_)) => "boolean",
            Kind::Value(RawValue::List(_)) | Kind::MixedList => "list",
            Kind::Date(_) => "date",
            Kind::Table(_) => "table",
        }
    }
}

/// Reads `bytes`, then lays each `KEY=VALUE` of `overrides` over the result.
pub(crate) fn parse(bytes: &[u8], overrides: &[String], problems: &mut Problems) -> Document {
    let (mut root, torn) = match text_of(bytes, problems) {
        Some(text) => parse_text(text, problems),
        None => (Table::new(), true),
    };
    let mut overridden = Vec::new();
    for entry in overrides {
        match apply(&mut root, entry) {
            Ok(path) => overridden.push(path),
            Err((key, what, help)) => {
                problems.add(key.clone(), None, what, help);
                overridden.push(key);
            }
        }
    }
    Document { root, overridden, torn }
}

/// The bytes as text, without a byte order mark.
fn text_of<'a>(bytes: &'a [u8], problems: &mut Problems) -> Option<&'a str> {
    if bytes.len() as u64 > SPEC_BYTES_MAX {
        problems.add(
            "",
            None,
            format!("the file has {} bytes; at most {SPEC_BYTES_MAX} are read", bytes.len()),
            Some("a job file names data, it does not hold them; is this the right file?".into()),
        );
        return None;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|b| **b == b'\n').count();
            problems.add(
                "",
                Some(line),
                format!("byte {} is not UTF-8 text", error.valid_up_to() + 1),
                Some("save the file as UTF-8; is this the right file?".into()),
            );
            None
        }
    }
}

/// Text to tables; true when a mistake may have swallowed keys.
fn parse_text(text: &str, problems: &mut Problems) -> (Table, bool) {
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut torn = false;
    let mut last_line = 0;
    let mut shown = 0;
    for error in &errors {
        let duplicate = error.message() == "duplicate key";
        torn |= !duplicate;
        let span = error.span().unwrap_or(text.len()..text.len());
        let (line, column) = lines.position(span.start);
        // One mistake makes the parser stumble several times on the same line.
        if line == last_line || shown == SYNTAX_PROBLEMS_MAX {
            continue;
        }
        last_line = line;
        shown += 1;
        if duplicate {
            let name = text.get(span).unwrap_or_default();
            problems.add(
                "",
                Some(line),
                format!("{} is given twice", shortened(name)),
                Some("keep one of them; a table, too, may stand only once".into()),
            );
        } else {
            let excerpt = lines.excerpt(line, column);
            // The parser names every kind of string there is; quotes are what a user needs.
            let message = error.message().replace(", expected literal string", "");
            let what = format!("not TOML at column {column}: {message}{excerpt}");
            problems.add("", Some(line), what, None);
        }
    }
    (table_of(table.get_ref(), &lines), torn)
}

fn table_of(table: &DeTable<'_>, lines: &Lines<'_>) -> Table {
    table
        .iter()
        .map(|(key, value)| {
            let (line, _) = lines.position(key.span().start);
            let node = Node { kind: kind_of(value, lines), line: Some(line), typed: None };
            (key.get_ref().to_string(), node)
        })
        .collect()
}

fn kind_of(value: &Spanned<DeValue<'_>>, lines: &Lines<'_>) -> Kind {
    match value.get_ref() {
        DeValue::Table(table) => Kind::Table(table_of(table, lines)),
        DeValue::Datetime(date) => Kind::Date(date.to_string()),
        DeValue::Array(_) => plain_value(value.get_ref()).map_or(Kind::MixedList, Kind::Value),
        DeValue::Integer(number) => plain_value(value.get_ref())
            .map_or_else(|| Kind::HugeInteger(number.to_string()), Kind::Value),
        other => plain_value(other).map_or(Kind::MixedList, Kind::Value),
    }
}

/// A value as a hyperparameter may have it; `None` for tables, dates and huge integers.
fn plain_value(value: &DeValue<'_>) -> Option<RawValue> {
    Some(match value {
        DeValue::String(text) => RawValue::Text(text.to_string()),
        DeValue::Integer(number) => {
            RawValue::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()?)
        }
        // A float too large for f64 reads as infinite, which every range refuses.
        DeValue::Float(number) => RawValue::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(truth) => RawValue::Boolean(*truth),
        DeValue::Array(items) => RawValue::List(
            items.iter().map(|item| plain_value(item.get_ref())).collect::<Option<Vec<_>>>()?,
        ),
        DeValue::Datetime(_) | DeValue::Table(_) => return None,
    })
}

/// Key as far as known, what is wrong, help.
type Refusal = (String, String, Option<String>);

/// Lays one `KEY=VALUE` over the tables; gives the dotted path it set.
fn apply(root: &mut Table, entry: &str) -> Result<String, Refusal> {
    let form = || Some("write --set TABLE.KEY=VALUE, e.g. --set hyperparameters.epochs=5".into());
    let Some((key, value)) = entry.split_once('=') else {
        return Err((String::new(), format!("--set {}: no \"=\" in it", shortened(entry)), form()));
    };
    let Some(path) = key_path(key.trim()) else {
        let what = format!("--set {}: not a dotted key", shortened(key.trim()));
        return Err((String::new(), what, form()));
    };
    let dotted = joined(&path);
    let (last, tables) = path.split_last().expect("a key path has at least one part");
    let mut table = root;
    for part in tables {
        let fresh = || Node { kind: Kind::Table(Table::new()), line: None, typed: None };
        let node = table.entry(part.clone()).or_insert_with(fresh);
        let described = node.described();
        let Kind::Table(inner) = &mut node.kind else {
            let what = format!("cannot be set: {part} is {described}, not a table");
            return Err((dotted, what, None));
        };
        table = inner;
    }
    table.insert(last.clone(), override_node(value.trim()));
    Ok(dotted)
}

/// The value behind `=`: TOML when it reads as TOML, else the text itself.
fn override_node(value: &str) -> Node {
    let line = format!("value = {value}");
    let kind = (!value.contains(['\n', '\r']))
        .then(|| DeTable::parse(&line).ok())
        .flatten()
        .and_then(|table| table.get_ref().iter().next().map(|(_, v)| kind_of(v, &Lines::of(&line))))
        .unwrap_or_else(|| Kind::Value(RawValue::Text(value.to_owned())));
    let mut node = Node { kind, line: None, typed: Some(value.to_owned()) };
    forget_lines(&mut node);
    node
}

/// Lines inside an override are lines of the override, not of the file.
fn forget_lines(node: &mut Node) {
    node.line = None;
    if let Kind::Table(table) = &mut node.kind {
        table.values_mut().for_each(forget_lines);
    }
}

/// The parts of a dotted key, quotes understood.
fn key_path(key: &str) -> Option<Vec<String>> {
    if key.contains(['\n', '\r', '=', '#']) {
        return None;
    }
    let line = format!("{key} = 0");
    let table = DeTable::parse(&line).ok()?;
    let mut path = Vec::new();
    let mut table = table.get_ref();
    loop {
        let (part, value) = table.iter().next()?;
        path.push(part.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => return Some(path),
        }
    }
}

/// A dotted path, with quotes around parts that need them.
fn joined(path: &[String]) -> String {
    path.iter().map(|part| quoted_if_needed(part)).collect::<Vec<_>>().join(".")
}

/// A key as it would be written in a dotted path.
pub(crate) fn quoted_if_needed(part: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match !part.is_empty() && part.chars().all(bare) {
        true => part.to_owned(),
        false => shortened(&format!("{part:?}")),
    }
}

/// Byte offsets to lines.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Lines<'a> {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
        Lines { text, starts: starts.collect() }
    }

    /// Line and column of a byte, both from 1; the column counts characters.
    fn position(&self, at: usize) -> (usize, usize) {
        let at = at.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= at);
        let start = self.starts[line - 1];
        let before = self.text.get(start..at).map_or(0, |text| text.chars().count());
        (line, before + 1)
    }

    /// The source line with a mark under the column, each on a line of its own.
    fn excerpt(&self, line: usize, column: usize) -> String {
        let start = self.starts[line - 1];
        let source = self.text[start..].lines().next().unwrap_or_default();
        if source.contains("secret_access_key") || source.contains("session_token") {
            return String::new();
        }
        // A window around the column, so that a line of a megabyte stays one line.
        let skip = column.saturating_sub(SOURCE_CHARS_MAX - 12);
        let window: String = source
            .chars()
            .skip(skip)
            .take(SOURCE_CHARS_MAX)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        let mark = " ".repeat(column - 1 - skip);
        format!("\n {gutter} |\n {number} | {window}\n {gutter} | {mark}^")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, overrides: &[&str]) -> (Document, Problems) {
        let mut problems = Problems::default();
        let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
        (parse(text.as_bytes(), &overrides, &mut problems), problems)
    }

    fn at<'a>(document: &'a Document, path: &[&str]) -> &'a Node {
        let (last, tables) = path.split_last().unwrap();
        let mut table = &document.root;
        for part in tables {
            let Kind::Table(inner) = &table[*part].kind else { panic!("{part} is no table") };
            table = inner;
        }
        &table[*last]
    }

    #[test]
    fn every_value_knows_its_line() {
        let (document, problems) = read("[job]\n\nname = \"a\"\n[x]\ny = { z = 1 }\n", &[]);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(at(&document, &["job", "name"]).line, Some(3));
        assert_eq!(at(&document, &["x", "y", "z"]).line, Some(5));
    }

    #[test]
    fn a_syntax_mistake_shows_its_line_and_column() {
        let (document, problems) = read("[job]\nname = churn\n", &[]);
        assert!(document.torn);
        assert_eq!(problems.list.len(), 1, "{problems:?}");
        assert_eq!(problems.list[0].line, Some(2));
        assert!(problems.list[0].what.contains("column 8"), "{problems:?}");
        assert!(problems.list[0].what.contains("2 | name = churn\n   |        ^"), "{problems:?}");
    }

    #[test]
    fn a_line_with_a_secret_is_not_shown() {
        let (_, problems) = read("[storage.s3]\nsecret_access_key = hunter2\n", &[]);
        assert!(!problems.list[0].what.contains("hunter2"), "{problems:?}");
    }

    #[test]
    fn a_key_given_twice_is_named() {
        let (document, problems) = read("[job]\nname = \"a\"\nname = \"b\"\n[job]\n", &[]);
        assert!(!document.torn);
        let lines: Vec<_> = problems.list.iter().map(|p| p.line).collect();
        assert_eq!(lines, [Some(3), Some(4)], "{problems:?}");
        assert_eq!(problems.list[0].what, "name is given twice");
    }

    #[test]
    fn an_override_is_toml_where_it_can_be_and_text_elsewhere() {
        let (document, problems) = read(
            "[a]\nb = 1\n",
            &["a.b=0.5", "a.c = some words", "d.e=[1, 2]", "a.\"x.y\"=true", "a.f=s3://x/y"],
        );
        assert!(problems.is_empty(), "{problems:?}");
        let value = |path: &[&str]| match &at(&document, path).kind {
            Kind::Value(value) => value.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(value(&["a", "b"]), RawValue::Float(0.5));
        assert_eq!(value(&["a", "c"]), RawValue::Text("some words".into()));
        assert_eq!(value(&["a", "x.y"]), RawValue::Boolean(true));
        assert_eq!(value(&["a", "f"]), RawValue::Text("s3://x/y".into()));
        assert_eq!(document.overridden, ["a.b", "a.c", "d.e", "a.\"x.y\"", "a.f"]);
        assert_eq!(at(&document, &["a", "b"]).line, None);
    }

    #[test]
    fn an_override_without_a_path_or_through_a_value_is_refused() {
        let (_, problems) = read("[a]\nb = 1\n", &["a.b", "=3", "a.b.c=3", "a b=3", "a\n.b=3"]);
        assert_eq!(problems.list.len(), 5, "{problems:?}");
        assert_eq!(problems.list[2].what, "cannot be set: b is integer 1, not a table");
    }

    #[test]
    fn a_byte_order_mark_and_crlf_are_read() {
        let (document, problems) = read("\u{feff}[job]\r\nname = \"a\"\r\n", &[]);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(at(&document, &["job", "name"]).line, Some(2));
    }

    #[test]
    fn bytes_that_are_not_text_are_refused_with_their_line() {
        let mut problems = Problems::default();
        parse(b"[job]\nname = \"\xff\"\n", &[], &mut problems);
        assert_eq!(problems.list[0].line, Some(2));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}", set in ".{0,40}") {
            read(&text, &[&set]);
        }

        #[test]
        fn no_toml_like_text_makes_it_panic(
            text in "([\\[\\]{}a-c.=\"'#\\\\0-9,\n\r\t é\u{feff}-]|\"\"\"|true|nan|\\[\\[|=\n){0,60}",
            set in "[a-c.=\"' {}\\[\\]0-9é]{0,20}",
        ) {
            read(&text, &[&set]);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(0u8..=255, 0..120)) {
            parse(&bytes, &[], &mut Problems::default());
        }
    }
}
