//! The canonical request: what caller and verifier must agree on, byte for byte.

use super::{PathRule, Request};

/// Characters that stand for themselves.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn encode_byte(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    match is_unreserved(byte) {
        true => out.push(byte),
        false => {
            let digits = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
            out.extend_from_slice(&[b'%', digits[0], digits[1]]);
        }
    }
}

/// Bytes of a percent-encoded text. A `%` that begins no code stands for itself.
fn decoded(text: &str) -> impl Iterator<Item = u8> + '_ {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let byte = *bytes.get(at)?;
        let digit = |place: usize| (*bytes.get(place)? as char).to_digit(16);
        if let (b'%', Some(high), Some(low)) = (byte, digit(at + 1), digit(at + 2)) {
            at += 3;
            return Some((high * 16 + low) as u8);
        }
        at += 1;
        Some(byte)
    })
}

/// The text that percent-encoded `text` stands for; `None` where it is not UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    String::from_utf8(decoded(text).collect()).ok()
}

/// The path as it is signed.
pub(super) fn path(path: &str, rule: PathRule, out: &mut Vec<u8>) {
    let put = |text: &str, out: &mut Vec<u8>| {
        for byte in text.bytes() {
            match byte {
                b'/' => out.push(b'/'),
                other => encode_byte(other, out),
            }
        }
    };
    match rule {
        _ if path.is_empty() => out.push(b'/'),
        PathRule::Kept => put(path, out),
        PathRule::S3 => {
            for byte in decoded(path) {
                match byte {
                    b'/' => out.push(b'/'),
                    other => encode_byte(other, out),
                }
            }
        }
        PathRule::Normalised if is_normal(path) => put(path, out),
        PathRule::Normalised => put(&normalised(path), out),
    }
}

/// Whether normalising would change nothing: nearly every path.
fn is_normal(path: &str) -> bool {
    let inner = path.strip_prefix('/').unwrap_or(path);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    path == "/" || inner.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// `path` without dots and double slashes, after RFC 3986, section 5.2.4.
fn normalised(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    let mut text = String::from("/");
    text.push_str(&parts.join("/"));
    if !parts.is_empty() && path.ends_with(['/']) {
        text.push('/');
    }
    text
}

/// Names and values of a query, each percent-encoded as it is signed, in the signed order.
/// `leave_out` is asked about the decoded names.
pub(super) fn query(query: &str, leave_out: impl Fn(&[u8]) -> bool, out: &mut Vec<u8>) {
    if query.is_empty() {
        return;
    }
    let mut pairs = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plain: Vec<u8> = decoded(name).collect();
        if leave_out(&plain) {
            continue;
        }
        let (mut name, mut coded) = (Vec::new(), Vec::new());
        plain.iter().for_each(|byte| encode_byte(*byte, &mut name));
        decoded(value).for_each(|byte| encode_byte(byte, &mut coded));
        pairs.push((name, coded));
    }
    pairs.sort();
    for (at, (name, value)) in pairs.iter().enumerate() {
        if at > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value);
    }
}

/// A header's value as it is signed: trimmed, each run of spaces one space.
pub(super) fn header_value(value: &[u8], out: &mut Vec<u8>) {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let mut words = value.split(blank).filter(|word| !word.is_empty());
    if let Some(first) = words.next() {
        out.extend_from_slice(first);
    }
    for word in words {
        out.push(b' ');
        out.extend_from_slice(word);
    }
}

/// The whole canonical request. `signed` are names in lower case and in order; `None` when one of
/// them is not there.
pub(super) fn request(
    request: &Request<'_>,
    rule: PathRule,
    signed: &str,
    leave_out: impl Fn(&[u8]) -> bool,
    payload: &[u8],
) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(1_024);
    out.extend_from_slice(request.method.as_bytes());
    out.push(b'\n');
    path(request.path, rule, &mut out);
    out.push(b'\n');
    query(request.query, leave_out, &mut out);
    out.push(b'\n');
    for name in signed.split(';') {
        let mut values =
            request.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        header_value(values.next()?.1, &mut out);
        for (_, value) in values {
            out.push(b',');
            header_value(value, &mut out);
        }
        out.push(b'\n');
    }
    out.push(b'\n');
    out.extend_from_slice(signed.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(payload);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(path_text: &str, rule: PathRule) -> String {
        let mut out = Vec::new();
        path(path_text, rule, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_path_is_normalised_for_all_but_s3() {
        for (given, normal) in [
            ("", "/"),
            ("/", "/"),
            ("/a/./b", "/a/b"),
            ("/a/../..", "/"),
            ("//a//b//", "/a/b/"),
            ("/a%20b", "/a%2520b"),
            ("/a/", "/a/"),
        ] {
            assert_eq!(shown(given, PathRule::Normalised), normal, "{given}");
        }
        assert_eq!(shown("/a//b/../c%20d", PathRule::S3), "/a//b/../c%20d");
    }

    #[test]
    fn a_query_is_sorted_by_name_and_then_by_value() {
        let mut out = Vec::new();
        query("b=2&a=2&a=1&c&%7e=%2f", |_| false, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "a=1&a=2&b=2&c=&~=%2F");
    }
}
