//! The usual JSON request read by hand, several times faster than by a general parser:
//! `{"instances": [{"features": [1.5, null]}, [2, 3]]}`. Anything else, mistakes included, is left
//! to [`super::json`], which must agree on whatever is read here.

use crate::data::number;

/// All rows of a request, or `None` when it deserves the general parser.
pub(super) fn instances(body: &[u8], features: usize, rows_max: usize) -> Option<Vec<f32>> {
    let mut values = Vec::with_capacity(body.len() / 4);
    let mut at = token(body, 0, b"{")?;
    at = token(body, at, b"\"instances\"")?;
    at = token(body, at, b":")?;
    at = token(body, at, b"[")?;
    let mut rows = 0;
    loop {
        at = instance(body, at, features, &mut values)?;
        rows += 1;
        if rows > rows_max {
            return None;
        }
        match token(body, at, b",") {
            Some(next) => at = next,
            None => break,
        }
    }
    at = token(body, at, b"]")?;
    at = token(body, at, b"}")?;
    (blank(body, at) == body.len()).then_some(values)
}

/// One line of JSON Lines; appends one row.
pub(super) fn line(line: &[u8], features: usize, values: &mut Vec<f32>) -> Option<()> {
    let at = instance(line, 0, features, values)?;
    (blank(line, at) == line.len()).then_some(())
}

fn instance(body: &[u8], at: usize, features: usize, values: &mut Vec<f32>) -> Option<usize> {
    match token(body, at, b"{") {
        Some(at) => {
            let at = token(body, at, b"\"features\"")?;
            let at = token(body, at, b":")?;
            let at = list(body, at, features, values)?;
            token(body, at, b"}")
        }
        None => list(body, at, features, values),
    }
}

fn list(body: &[u8], at: usize, features: usize, values: &mut Vec<f32>) -> Option<usize> {
    let mut at = token(body, at, b"[")?;
    for column in 0..features {
        if column > 0 {
            at = token(body, at, b",")?;
        }
        let start = blank(body, at);
        let (value, end) = match number::scan(body, start) {
            Some(found) if !leading_zero(body, start) => found,
            _ => (f32::NAN, token(body, start, b"null")?),
        };
        values.push(value);
        at = end;
    }
    token(body, at, b"]")
}

/// JSON does not allow `01`.
fn leading_zero(body: &[u8], start: usize) -> bool {
    let digits = body[start..].strip_prefix(b"-").unwrap_or(&body[start..]);
    matches!(digits, [b'0', b'0'..=b'9', ..])
}

/// Where the text after `expected` begins, spaces before it passed over.
fn token(body: &[u8], at: usize, expected: &[u8]) -> Option<usize> {
    let at = blank(body, at);
    body.get(at..)?.starts_with(expected).then_some(at + expected.len())
}

fn blank(body: &[u8], mut at: usize) -> usize {
    while matches!(body.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}
