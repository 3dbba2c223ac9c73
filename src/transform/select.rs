//! Filters and joins on the text of records and answers: what is chosen keeps its own letters, so a
//! number comes out as it went in.
//!
//! A record of CSV is a list of cells. JSON follows Jayway's JsonPath, which SageMaker's words
//! describe: a path that may choose several values gives a list, several names give an object.

use std::borrow::Cow;
use std::ops::Range;

use crate::data::error::shown;
use crate::spec::json_path::{JsonPath, Step};

/// What is wrong with a record, for its place.
pub(super) type Wrong = (String, String);

/// The cells of one line of CSV without its end; quotes are kept.
pub(super) fn cells(line: &[u8], into: &mut Vec<Range<usize>>) {
    into.clear();
    let mut start = 0;
    if memchr::memchr(b'"', line).is_none() {
        for comma in memchr::memchr_iter(b',', line) {
            into.push(start..comma);
            start = comma + 1;
        }
        into.push(start..line.len());
        return;
    }
    let (mut quoted, mut begun) = (false, true);
    for (at, byte) in line.iter().enumerate() {
        match byte {
            b'"' if quoted || begun => quoted = !quoted,
            b',' if !quoted => {
                into.push(start..at);
                (start, begun) = (at + 1, true);
                continue;
            }
            _ => {}
        }
        begun = false;
    }
    into.push(start..line.len());
}

/// Appends what `path` chooses of a line of CSV; `scratch` is kept from line to line.
pub(super) fn csv(
    line: &[u8],
    path: &JsonPath,
    scratch: &mut Vec<Range<usize>>,
    out: &mut Vec<u8>,
) -> Result<(), Wrong> {
    let Some(step) = path.steps.first() else {
        out.extend_from_slice(line);
        return Ok(());
    };
    cells(line, scratch);
    for (at, index) in chosen(step, scratch.len(), path)?.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&line[scratch[index].clone()]);
    }
    Ok(())
}

/// The positions that a step chooses of a list.
fn chosen(step: &Step, length: usize, path: &JsonPath) -> Result<Vec<usize>, Wrong> {
    let from_end = |at: i64| if at < 0 { at + length as i64 } else { at };
    match step {
        Step::All => Ok((0..length).collect()),
        Step::Slice(start, end) => {
            let bound = |at: Option<i64>, default: i64| {
                from_end(at.unwrap_or(default)).clamp(0, length as i64) as usize
            };
            Ok((bound(*start, 0)..bound(*end, length as i64)).collect())
        }
        Step::Indices(list) => list
            .iter()
            .map(|at| {
                usize::try_from(from_end(*at)).ok().filter(|at| *at < length).ok_or_else(|| {
                    let what = format!("{path} asks for entry {at} of a list of {length}");
                    (what, "mend the record, or the filter".to_owned())
                })
            })
            .collect(),
        Step::Names(_) => {
            Err((format!("{path} asks for a name in a list"), "mend the filter".into()))
        }
    }
}

/// What `path` chooses of a JSON value.
pub(super) fn json<'a>(text: &'a [u8], path: &JsonPath) -> Result<Cow<'a, [u8]>, Wrong> {
    checked(text)?;
    let text = text.trim_ascii();
    if path.is_whole() {
        return Ok(text.into());
    }
    let mut found = Vec::new();
    walk(text, &path.steps, path, &mut found)?;
    let last = path.steps.len() - 1;
    let is_many = path.steps.iter().enumerate().any(|(at, step)| match step {
        Step::Names(names) => names.len() > 1 && at < last,
        Step::Indices(list) => list.len() > 1,
        Step::Slice(..) | Step::All => true,
    });
    if !is_many && let Some(one) = found.pop() {
        return Ok(one);
    }
    let mut list = vec![b'['];
    for (at, value) in found.iter().enumerate() {
        if at > 0 {
            list.push(b',');
        }
        list.extend_from_slice(value);
    }
    list.push(b']');
    Ok(list.into())
}

/// That a text is JSON, so that what follows may trust its brackets.
fn checked(text: &[u8]) -> Result<(), Wrong> {
    match serde_json::from_slice::<serde::de::IgnoredAny>(text) {
        Ok(_) => Ok(()),
        Err(error) => Err((
            format!("the record is not JSON: {error} in {}", shown(text.trim_ascii())),
            "write one JSON value on each line".to_owned(),
        )),
    }
}

fn walk<'a>(
    value: &'a [u8],
    steps: &[Step],
    path: &JsonPath,
    found: &mut Vec<Cow<'a, [u8]>>,
) -> Result<(), Wrong> {
    let Some((step, rest)) = steps.split_first() else {
        found.push(value.into());
        return Ok(());
    };
    match (value.first(), step) {
        (Some(b'{'), Step::Names(names)) => {
            let members = members(value);
            let get = |name: &str| {
                let member = members.iter().rev().find(|(key, _)| is_key(key, name));
                member.copied().ok_or_else(|| {
                    let what = format!("{path} asks for {name:?}, which is not there");
                    (what, "mend the record, or the filter".to_owned())
                })
            };
            if names.len() > 1 && rest.is_empty() {
                let mut object = vec![b'{'];
                for (at, name) in names.iter().enumerate() {
                    let (key, value) = get(name)?;
                    if at > 0 {
                        object.push(b',');
                    }
                    object.extend([key, b":", value].concat());
                }
                object.push(b'}');
                found.push(object.into());
                return Ok(());
            }
            names.iter().try_for_each(|name| walk(get(name)?.1, rest, path, found))
        }
        (Some(b'{'), Step::All) => {
            members(value).into_iter().try_for_each(|(_, value)| walk(value, rest, path, found))
        }
        (Some(b'['), step) => {
            let elements = elements(value);
            let chosen = chosen(step, elements.len(), path)?;
            chosen.into_iter().try_for_each(|at| walk(elements[at], rest, path, found))
        }
        _ => Err((
            format!("{path} looks inside {}", shown(value)),
            "mend the record, or the filter".to_owned(),
        )),
    }
}

fn is_key(key: &[u8], name: &str) -> bool {
    let bare = &key[1..key.len() - 1];
    if !bare.contains(&b'\\') {
        return bare == name.as_bytes();
    }
    serde_json::from_slice::<String>(key).is_ok_and(|key| key == name)
}

/// Keys (in quotes) and values of an object that is known to be JSON.
fn members(object: &[u8]) -> Vec<(&[u8], &[u8])> {
    let parts = parts(object);
    parts
        .into_iter()
        .filter_map(|part| {
            let key = string_end(part, 0);
            let colon = key + part[key..].iter().position(|byte| *byte == b':')?;
            Some((&part[..key], part[colon + 1..].trim_ascii()))
        })
        .collect()
}

fn elements(list: &[u8]) -> Vec<&[u8]> {
    parts(list)
}

/// What stands between the commas of a list or an object, blanks taken off.
fn parts(value: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let (mut depth, mut start, mut at) = (0_usize, 1, 0);
    while at < value.len() {
        match value[at] {
            b'"' => {
                at = string_end(value, at);
                continue;
            }
            b'[' | b'{' => depth += 1,
            b',' if depth == 1 => {
                parts.push(value[start..at].trim_ascii());
                start = at + 1;
            }
            b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    let last = value[start..at].trim_ascii();
                    if !last.is_empty() {
                        parts.push(last);
                    }
                    break;
                }
            }
            _ => {}
        }
        at += 1;
    }
    parts
}

/// Behind the string that begins at `at`.
fn string_end(text: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while end < text.len() && text[end] != b'"' {
        end += if text[end] == b'\\' { 2 } else { 1 };
    }
    (end + 1).min(text.len())
}

/// A JSON record with its answer, as SageMaker joins them.
pub(super) fn joined(record: &[u8], answer: &[u8]) -> Vec<u8> {
    let record = record.trim_ascii();
    let Some(open) = record.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")) else {
        return [b"{\"SageMakerInput\":", record, b",\"SageMakerOutput\":", answer, b"}"].concat();
    };
    let comma: &[u8] = if open.trim_ascii().is_empty() { b"" } else { b"," };
    [b"{", open, comma, b"\"SageMakerOutput\":", answer, b"}"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> JsonPath {
        JsonPath::parse(text).unwrap()
    }

    fn of_csv(line: &str, filter: &str) -> Result<String, Wrong> {
        let mut out = Vec::new();
        csv(line.as_bytes(), &path(filter), &mut Vec::new(), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn of_json(text: &str, filter: &str) -> Result<String, Wrong> {
        json(text.as_bytes(), &path(filter)).map(|found| String::from_utf8(found.into()).unwrap())
    }

    #[test]
    fn columns_of_csv_are_chosen_as_they_stand() {
        for (filter, expected) in [
            ("$", "7,1.50,\"a,\"\"b\",1e3"),
            ("$[1:]", "1.50,\"a,\"\"b\",1e3"),
            ("$[0,-1]", "7,1e3"),
            ("$[2]", "\"a,\"\"b\""),
            ("$[-2:]", "\"a,\"\"b\",1e3"),
            ("$[:-3]", "7"),
            ("$[*]", "7,1.50,\"a,\"\"b\",1e3"),
            ("$[9:]", ""),
        ] {
            assert_eq!(of_csv("7,1.50,\"a,\"\"b\",1e3", filter).unwrap(), expected, "{filter}");
        }
        assert_eq!(of_csv("1,,3", "$[1,2]").unwrap(), ",3");
        assert!(of_csv("1,2", "$[2]").unwrap_err().0.contains("entry 2 of a list of 2"));
        assert!(of_csv("1,2", "$[-3]").is_err());
    }

    #[test]
    fn values_of_json_are_chosen_as_they_stand() {
        let record = r#"{"id": 1.50, "f": [1, {"x":2}, [3]], "s": "a\"]},", "\u0061b": null}"#;
        for (filter, expected) in [
            ("$.id", "1.50"),
            ("$['id']", "1.50"),
            ("$.f", "[1, {\"x\":2}, [3]]"),
            ("$.f[1].x", "2"),
            ("$.f[-1][0]", "3"),
            ("$.f[0:2]", "[1,{\"x\":2}]"),
            ("$.f[0,2]", "[1,[3]]"),
            ("$['id','s']", "{\"id\":1.50,\"s\":\"a\\\"]},\"}"),
            ("$.ab", "null"),
            ("$.f[1].*", "[2]"),
            ("$.*", "[1.50,[1, {\"x\":2}, [3]],\"a\\\"]},\",null]"),
        ] {
            assert_eq!(of_json(record, filter).unwrap(), expected, "{filter}");
        }
        assert_eq!(of_json(" [] ", "$[*]").unwrap(), "[]");
        assert!(of_json(record, "$.missing").unwrap_err().0.contains("\"missing\""));
        assert!(of_json(record, "$.id.x").unwrap_err().0.contains("looks inside"));
        assert!(of_json("{\"a\":", "$.a").unwrap_err().0.contains("not JSON"));
    }

    #[test]
    fn a_joined_record_is_sagemakers() {
        let joined = |record: &str| String::from_utf8(joined(record.as_bytes(), b"0.5")).unwrap();
        assert_eq!(joined("{\"id\":1}\n"), "{\"id\":1,\"SageMakerOutput\":0.5}");
        assert_eq!(joined("{ }"), "{ \"SageMakerOutput\":0.5}");
        assert_eq!(joined("[1,2]"), "{\"SageMakerInput\":[1,2],\"SageMakerOutput\":0.5}");
    }

    proptest::proptest! {
        #[test]
        fn no_record_and_no_path_make_it_panic(
            text in "[\\[\\]{}a\":,0 \\\\]{0,40}",
            filter in "\\$(\\[(-?[0-3]|[0-3]?:[0-3]?|'a'|\\*)\\]|\\.a){0,3}",
        ) {
            let _ = json(text.as_bytes(), &path(&filter));
            let mut out = Vec::new();
            let _ = csv(text.as_bytes(), &path(&filter), &mut Vec::new(), &mut out);
        }

        #[test]
        fn what_is_chosen_of_json_is_json(
            list in proptest::collection::vec("[a-z\\\\\"\\[{,]{0,5}", 0..6),
            filter in "\\$\\[([0-3]?:(-?[0-3])?|\\*)\\]",
        ) {
            let text = serde_json::to_string(&list).unwrap();
            let found = json(text.as_bytes(), &path(&filter)).unwrap();
            let found: Vec<String> = serde_json::from_slice(&found).unwrap();
            proptest::prop_assert!(found.iter().all(|item| list.contains(item)));
        }
    }
}
