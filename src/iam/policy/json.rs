//! JSON with the place of every value, so that a mistake in a policy is told with line and column.
//!
//! `serde_json` forgets places and keeps the last of two equal keys; a policy in which `Effect`
//! stands twice must be refused.

use std::fmt;

use crate::spec::problem::Problems;

/// Levels of nesting; a policy needs six.
const DEPTH_MAX: usize = 32;

/// A place in a text, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct At {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Null,
    Boolean(bool),
    /// As written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Vec<Entry>),
}

/// A key, where it stands, and its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: At,
    pub(super) value: Node,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Null => "null",
            Kind::Boolean(_) => "true or false",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "a text",
            Kind::List(_) => "a list",
            Kind::Object(_) => "an object",
        })
    }
}

/// Reads `text`; a mistake of form goes into `problems`, and then there is no value.
pub(super) fn parse(text: &str, problems: &mut Problems) -> Option<Node> {
    let mut parser = Parser { rest: text, at: At { line: 1, column: 1 } };
    let outcome = parser.value(0).and_then(|value| {
        parser.blank();
        match parser.rest.is_empty() {
            true => Ok(value),
            false => Err("something follows the end of the policy".into()),
        }
    });
    match outcome {
        Ok(value) => Some(value),
        Err(what) => {
            let what = format!("not JSON at column {}: {what}", parser.at.column);
            problems.add("", Some(parser.at.line), what, None);
            None
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
    at: At,
}

type Outcome<T> = Result<T, String>;

impl Parser<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        match c {
            '\n' => self.at = At { line: self.at.line + 1, column: 1 },
            _ => self.at.column += 1,
        }
        Some(c)
    }

    /// Goes over what was looked at.
    fn skip(&mut self, text: &str) {
        for _ in text.chars() {
            self.next();
        }
    }

    fn blank(&mut self) {
        while self.rest.starts_with([' ', '\t', '\n', '\r']) {
            self.next();
        }
    }

    fn expect(&mut self, wanted: char) -> Outcome<()> {
        self.blank();
        match self.rest.chars().next() {
            Some(c) if c == wanted => {
                self.next();
                Ok(())
            }
            Some(c) => Err(format!("expected {wanted:?}, found {c:?}")),
            None => Err(format!("the text ends where {wanted:?} is expected")),
        }
    }

    fn word(&mut self, word: &str, kind: Kind) -> Outcome<Kind> {
        if !self.rest.starts_with(word) {
            return Err(format!("expected {word}"));
        }
        self.skip(word);
        Ok(kind)
    }

    fn value(&mut self, depth: usize) -> Outcome<Node> {
        if depth > DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX} levels"));
        }
        self.blank();
        let at = self.at;
        let kind = match self.rest.chars().next() {
            Some('{') => self.object(depth)?,
            Some('[') => self.list(depth)?,
            Some('"') => Kind::Text(self.text()?),
            Some('t') => self.word("true", Kind::Boolean(true))?,
            Some('f') => self.word("false", Kind::Boolean(false))?,
            Some('n') => self.word("null", Kind::Null)?,
            Some('-' | '0'..='9') => self.number()?,
            Some(c) => return Err(format!("expected a value, found {c:?}")),
            None => return Err("the text ends where a value is expected".into()),
        };
        Ok(Node { at, kind })
    }

    fn object(&mut self, depth: usize) -> Outcome<Kind> {
        self.expect('{')?;
        let mut entries = Vec::new();
        self.blank();
        if self.rest.starts_with('}') {
            self.next();
            return Ok(Kind::Object(entries));
        }
        loop {
            self.blank();
            let at = self.at;
            if !self.rest.starts_with('"') {
                return Err("expected a key in quotes".into());
            }
            let key = self.text()?;
            self.expect(':')?;
            let value = self.value(depth + 1)?;
            entries.push(Entry { key, at, value });
            self.blank();
            if self.rest.starts_with('}') {
                self.next();
                return Ok(Kind::Object(entries));
            }
            self.expect(',')?;
        }
    }

    fn list(&mut self, depth: usize) -> Outcome<Kind> {
        self.expect('[')?;
        let mut items = Vec::new();
        self.blank();
        if self.rest.starts_with(']') {
            self.next();
            return Ok(Kind::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.blank();
            if self.rest.starts_with(']') {
                self.next();
                return Ok(Kind::List(items));
            }
            self.expect(',')?;
        }
    }

    fn number(&mut self) -> Outcome<Kind> {
        let part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
        let length = self.rest.find(|c| !part(c)).unwrap_or(self.rest.len());
        let text = self.rest[..length].to_owned();
        // serde_json knows the grammar of numbers.
        if serde_json::from_str::<serde_json::Number>(&text).is_err() {
            return Err(format!("{text:?} is not a number"));
        }
        self.skip(&text);
        Ok(Kind::Number(text))
    }

    fn text(&mut self) -> Outcome<String> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next().ok_or("the text ends inside quotes")? {
                '"' => return Ok(text),
                '\\' => text.push(self.escape()?),
                c if c < ' ' => return Err("a line ends inside quotes".into()),
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Outcome<char> {
        Ok(match self.next().ok_or("the text ends inside quotes")? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            c @ ('"' | '\\' | '/') => c,
            'u' => {
                let first = self.unit()?;
                let pair = (0xd800..0xdc00).contains(&first) && self.rest.starts_with("\\u");
                if !pair {
                    return char::from_u32(first).ok_or_else(|| "half a character".into());
                }
                self.next();
                self.next();
                let second = self.unit()?;
                let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400);
                low.and_then(|low| char::from_u32(0x10000 + ((first - 0xd800) << 10) + low))
                    .ok_or("half a character")?
            }
            c => return Err(format!("\\{c} means nothing")),
        })
    }

    fn unit(&mut self) -> Outcome<u32> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.next().and_then(|c| c.to_digit(16));
            value = value * 16 + digit.ok_or("\\u needs four hexadecimal digits")?;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of_serde(value: &serde_json::Value) -> Kind {
        use serde_json::Value;
        let node = |value: &Value| Node { at: At::default(), kind: of_serde(value) };
        match value {
            Value::Null => Kind::Null,
            Value::Bool(truth) => Kind::Boolean(*truth),
            Value::Number(number) => Kind::Number(number.to_string()),
            Value::String(text) => Kind::Text(text.clone()),
            Value::Array(items) => Kind::List(items.iter().map(node).collect()),
            Value::Object(map) => Kind::Object(
                map.iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        at: At::default(),
                        value: node(value),
                    })
                    .collect(),
            ),
        }
    }

    fn placeless(node: &mut Node) {
        node.at = At::default();
        match &mut node.kind {
            Kind::List(items) => items.iter_mut().for_each(placeless),
            Kind::Object(entries) => entries.iter_mut().for_each(|entry| {
                entry.at = At::default();
                placeless(&mut entry.value);
            }),
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn texts_are_read_as_serde_json_reads_them(
            text in r#"[\[\]{}:,"\\a0-9.eE+ \nutrfalsn-]{0,24}|(\[("[a-z\\u0-9d]{0,8}"|-?[0-9]{1,3}|null|\{"a":1\}),?\]){1,2}"#
        ) {
            let mut problems = Problems::default();
            let ours = parse(&text, &mut problems);
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            prop_assert_eq!(ours.is_some(), problems.is_empty());
            // Two equal keys are kept here and not there, and a number keeps its spelling here.
            let has_numbers = text.bytes().any(|byte| byte.is_ascii_digit());
            match theirs {
                Ok(value) => {
                    let mut node = ours.expect("serde_json read it");
                    placeless(&mut node);
                    if !has_numbers && text.matches(':').count() < 2 {
                        prop_assert_eq!(node.kind, of_serde(&value));
                    }
                }
                // serde_json refuses numbers beyond a float; their spelling is fine.
                Err(why) => prop_assert!(ours.is_none() || why.to_string().contains("range")),
            }
        }
    }

    #[test]
    fn a_mistake_of_form_is_told_with_line_and_column() {
        for (text, line, told) in [
            ("{\n  \"a\": ]", 2, "column 8: expected a value, found ']'"),
            ("{\"a\" 1}", 1, "column 6: expected ':', found '1'"),
            ("[1, 2", 1, "the text ends where ',' is expected"),
            ("{} x", 1, "column 4: something follows"),
            ("\"\\ud800\"", 1, "half a character"),
            ("", 1, "the text ends"),
        ] {
            let mut problems = Problems::default();
            assert_eq!(parse(text, &mut problems), None, "{text}");
            let [problem] = problems.list.as_slice() else { panic!("{problems:?}") };
            assert_eq!(problem.line, Some(line), "{text}");
            assert!(problem.what.contains(told), "{text}: {}", problem.what);
        }
        let deep = "[".repeat(100_000);
        let mut problems = Problems::default();
        assert_eq!(parse(&deep, &mut problems), None);
    }
}
