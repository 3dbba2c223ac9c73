//! Places smrt can read from and write to, as a user writes them.
//!
//! Text becomes a [`Uri`] once, here; what cannot be addressed later (an empty key segment, a
//! bucket that is no host name) is refused here too. Nothing is opened or looked up. A signed URL
//! keeps its query for the store, but never shows it: neither `Display` nor `Debug` prints it.

use std::fmt;
use std::path::{Component, Path, PathBuf};

/// A checked address of an object or a prefix.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Uri {
    /// `s3://bucket/key`
    S3 {
        /// Bucket name.
        bucket: String,
        /// Key or prefix; may be empty.
        key: String,
    },
    /// `gs://bucket/key` (feature `gcp`)
    Gs {
        /// Bucket name.
        bucket: String,
        /// Key or prefix; may be empty.
        key: String,
    },
    /// `az://container/key` (feature `azure`)
    Az {
        /// Container name.
        bucket: String,
        /// Key or prefix; may be empty.
        key: String,
    },
    /// `http://` or `https://`, one object, read only.
    Http(String),
    /// A local file or folder: `file:///path`, or a path, absolute or relative to the job file.
    File(PathBuf),
    /// `memory://name`, within this process; for tests and embedding.
    Memory(String),
}

/// Schemes a user may write, for the "did you mean".
const SCHEMES: [&str; 7] = ["s3", "gs", "az", "file", "http", "https", "memory"];
/// What other tools call the same places.
const OTHER_NAMES: [(&str, &str); 8] = [
    ("s3a", "s3"),
    ("s3n", "s3"),
    ("gcs", "gs"),
    ("azure", "az"),
    ("adl", "az"),
    ("abfs", "az"),
    ("abfss", "az"),
    ("mem", "memory"),
];
const HELP: &str = "write s3://bucket/prefix, gs://…, az://…, http(s)://…, file:///path or a path";

/// What is wrong, and how to mend it.
type Wrong = (String, Option<String>);

impl Uri {
    /// Reads an address; a plain path is taken relative to `base`.
    ///
    /// # Errors
    /// A sentence saying what is wrong, and one saying how to mend it.
    pub fn parse(text: &str, base: &Path) -> Result<Uri, Wrong> {
        if text.trim().is_empty() || text.chars().any(char::is_control) {
            return Err(unreadable(text, HELP));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return plain_path(text, base);
        };
        match scheme.to_ascii_lowercase().as_str() {
            "s3" => bucket_and_key(text, "s3", rest).map(|(bucket, key)| Uri::S3 { bucket, key }),
            "gs" => bucket_and_key(text, "gs", rest).map(|(bucket, key)| Uri::Gs { bucket, key }),
            "az" => bucket_and_key(text, "az", rest).map(|(bucket, key)| Uri::Az { bucket, key }),
            "http" | "https" => web(text),
            "file" => file(text, rest),
            "memory" => {
                let key = rest.trim_start_matches('/');
                check_key(text, key)?;
                Ok(Uri::Memory(key.to_owned()))
            }
            other => Err(unreadable(text, &other_scheme(other, rest))),
        }
    }

    /// This address with `tail` below it, joined by one slash.
    pub fn join(&self, tail: &str) -> Uri {
        let below = |key: &str| match key.trim_end_matches('/') {
            "" => tail.to_owned(),
            key => format!("{key}/{tail}"),
        };
        match self {
            Uri::S3 { bucket, key } => Uri::S3 { bucket: bucket.clone(), key: below(key) },
            Uri::Gs { bucket, key } => Uri::Gs { bucket: bucket.clone(), key: below(key) },
            Uri::Az { bucket, key } => Uri::Az { bucket: bucket.clone(), key: below(key) },
            Uri::Http(url) => {
                let (path, query) = split_query(url);
                Uri::Http(format!("{}/{tail}{query}", path.trim_end_matches('/')))
            }
            Uri::File(path) => Uri::File(path.join(tail)),
            Uri::Memory(key) => Uri::Memory(below(key)),
        }
    }

    /// The address of what stands beside this: its name with `suffix` behind it.
    #[must_use]
    pub fn beside(&self, suffix: &str) -> Uri {
        let longer = |key: &str| format!("{key}{suffix}");
        match self {
            Uri::S3 { bucket, key } => Uri::S3 { bucket: bucket.clone(), key: longer(key) },
            Uri::Gs { bucket, key } => Uri::Gs { bucket: bucket.clone(), key: longer(key) },
            Uri::Az { bucket, key } => Uri::Az { bucket: bucket.clone(), key: longer(key) },
            Uri::Http(url) => {
                let (path, query) = split_query(url);
                Uri::Http(format!("{path}{suffix}{query}"))
            }
            Uri::File(path) => {
                let mut name = path.clone().into_os_string();
                name.push(suffix);
                Uri::File(name.into())
            }
            Uri::Memory(key) => Uri::Memory(longer(key)),
        }
    }

    /// The scheme as it is written before `://`.
    pub fn scheme(&self) -> &'static str {
        match self {
            Uri::S3 { .. } => "s3",
            Uri::Gs { .. } => "gs",
            Uri::Az { .. } => "az",
            Uri::Http(url) if url.get(..6).is_some_and(|s| s.eq_ignore_ascii_case("https:")) => {
                "https"
            }
            Uri::Http(_) => "http",
            Uri::File(_) => "file",
            Uri::Memory(_) => "memory",
        }
    }

    /// The path, when the place is on this machine.
    pub fn local_path(&self) -> Option<&Path> {
        match self {
            Uri::File(path) => Some(path),
            _ => None,
        }
    }
}

fn unreadable(text: &str, help: &str) -> Wrong {
    (format!("{:?} is not a place smrt can read", shown(text)), Some(help.to_owned()))
}

/// Text without anything that could be a password or a signature.
fn shown(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, _))
            if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") =>
        {
            without_secrets(text)
        }
        _ => text.to_owned(),
    }
}

fn without_secrets(url: &str) -> String {
    let (front, query) = split_query(url);
    let (scheme, rest) = front.split_once("://").unwrap_or(("http", front));
    let (host, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}{}", if query.is_empty() { "" } else { "?…" })
}

/// A URL's front, and its query and fragment with the mark that begins them.
fn split_query(url: &str) -> (&str, &str) {
    url.find(['?', '#']).map_or((url, ""), |at| url.split_at(at))
}

fn plain_path(text: &str, base: &Path) -> Result<Uri, Wrong> {
    if let Some((scheme, rest)) = text.split_once(":/")
        && SCHEMES.contains(&scheme.to_ascii_lowercase().as_str())
    {
        let meant = format!("{}://{}", scheme.to_ascii_lowercase(), rest.trim_start_matches('/'));
        return Err(unreadable(
            text,
            &format!(
                "write s3://bucket/prefix, gs://…, az://… or file:///path; did you mean {meant:?}?"
            ),
        ));
    }
    if text == "~" || text.starts_with("~/") {
        return Err(unreadable(text, "only a shell knows ~; write the whole path"));
    }
    Ok(Uri::File(tidy(&base.join(text))))
}

/// `examples/../target` as `target`: what is shown and pasted should be what one would type.
/// Leading `..` stay. As in a shell's `cd`, a link before `..` is not followed.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        let below = matches!(tidy.components().next_back(), Some(Component::Normal(_)));
        match part {
            Component::CurDir => {}
            Component::ParentDir if below => {
                tidy.pop();
            }
            part => tidy.push(part),
        }
    }
    if tidy.as_os_str().is_empty() { PathBuf::from(".") } else { tidy }
}

fn other_scheme(scheme: &str, rest: &str) -> String {
    let known = OTHER_NAMES.iter().find(|(other, _)| *other == scheme).map(|(_, ours)| *ours);
    match known.or_else(|| super::problem::nearest(scheme, SCHEMES)) {
        Some(ours) => format!("{HELP}; did you mean {:?}?", format!("{ours}://{rest}")),
        None => HELP.to_owned(),
    }
}

fn bucket_and_key(text: &str, scheme: &str, rest: &str) -> Result<(String, String), Wrong> {
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(unreadable(text, &format!("name a bucket: {scheme}://bucket/prefix")));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let dots = bucket.contains("..");
    if bucket.len() > 255
        || dots
        || !bucket.chars().all(fits)
        || !ends(bucket.chars().next())
        || !ends(bucket.chars().last())
    {
        return Err(unreadable(
            text,
            &format!(
                "{bucket:?} is no bucket: 3 to 63 lower-case letters, digits, dots and hyphens, \
                 letter or digit first and last"
            ),
        ));
    }
    check_key(text, key)?;
    Ok((bucket.to_owned(), key.to_owned()))
}

/// Object stores allow such keys; the client library would quietly read another one.
fn check_key(text: &str, key: &str) -> Result<(), Wrong> {
    let inner = key.strip_suffix('/').unwrap_or(key);
    if inner.is_empty() && key.is_empty() {
        return Ok(());
    }
    for segment in inner.split('/') {
        if matches!(segment, "" | "." | "..") {
            return Err(unreadable(
                text,
                "a key's parts between slashes cannot be empty, \".\" or \"..\"",
            ));
        }
    }
    Ok(())
}

fn web(text: &str) -> Result<Uri, Wrong> {
    let parsed = url::Url::parse(text)
        .map_err(|e| unreadable(text, &format!("{e}; write https://host/path")))?;
    if parsed.host_str().is_none_or(str::is_empty) {
        return Err(unreadable(text, "name a host: https://host/path"));
    }
    Ok(Uri::Http(text.to_owned()))
}

fn file(text: &str, rest: &str) -> Result<Uri, Wrong> {
    let three = "a file URI has three slashes: file:///path";
    let path = rest.strip_prefix("localhost").filter(|p| p.starts_with('/')).unwrap_or(rest);
    if !path.starts_with('/') {
        return Err(unreadable(text, three));
    }
    // `?` and `#` are plain characters of a path here: nobody asks a file for a query.
    let escaped = path.replace('?', "%3F").replace('#', "%23");
    url::Url::parse(&format!("file://{escaped}"))
        .ok()
        .and_then(|url| url.to_file_path().ok())
        .map(Uri::File)
        .ok_or_else(|| unreadable(text, three))
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Uri::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
            Uri::Gs { bucket, key } => write!(f, "gs://{bucket}/{key}"),
            Uri::Az { bucket, key } => write!(f, "az://{bucket}/{key}"),
            Uri::Http(url) => f.write_str(&without_secrets(url)),
            Uri::File(path) => write!(f, "{}", path.display()),
            Uri::Memory(key) => write!(f, "memory://{key}"),
        }
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uri({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Uri, Wrong> {
        Uri::parse(text, Path::new("/jobs"))
    }

    fn help(text: &str) -> String {
        parse(text).unwrap_err().1.unwrap()
    }

    #[test]
    fn each_scheme_is_read_into_its_place() {
        let s3 = Uri::S3 { bucket: "data".into(), key: "churn/train/".into() };
        assert_eq!(parse("s3://data/churn/train/").unwrap(), s3);
        assert_eq!(parse("S3://data/churn/train/").unwrap(), s3);
        assert_eq!(parse("s3://data").unwrap(), Uri::S3 { bucket: "data".into(), key: "".into() });
        assert_eq!(parse("gs://b/k").unwrap().scheme(), "gs");
        assert_eq!(parse("az://c/k").unwrap().scheme(), "az");
        assert_eq!(parse("HTTPS://host/x").unwrap().scheme(), "https");
        assert_eq!(parse("file:///a/b%20c?d#e").unwrap(), Uri::File("/a/b c?d#e".into()));
        assert_eq!(parse("file://localhost/a").unwrap(), Uri::File("/a".into()));
        assert_eq!(parse("train.csv").unwrap(), Uri::File("/jobs/train.csv".into()));
        assert_eq!(parse("/abs/é.csv").unwrap(), Uri::File("/abs/é.csv".into()));
        assert_eq!(parse("memory:///a/b").unwrap(), Uri::Memory("a/b".into()));
    }

    #[test]
    fn a_slip_of_the_pen_is_answered_with_what_was_meant() {
        assert!(help("s3:/fraud/2026").contains("did you mean \"s3://fraud/2026\"?"));
        assert!(help("s3a://fraud/x").contains("did you mean \"s3://fraud/x\"?"));
        assert!(help("htps://h/x").contains("did you mean \"https://h/x\"?"));
        assert!(help("s3:///x").contains("name a bucket"));
        assert!(help("file://x").contains("three slashes"));
        assert!(help("~/x.csv").contains("whole path"));
        assert!(help("s3://My Bucket/x").contains("no bucket"));
    }

    #[test]
    fn keys_the_client_would_silently_change_are_refused() {
        for text in ["s3://b//k", "s3://b/a//k", "s3://b/a/../k", "s3://b/./k", "memory://a//b"] {
            assert!(help(text).contains("between slashes"), "{text}");
        }
        assert!(parse("s3://b/a/..b/.c/d./").is_ok());
    }

    #[test]
    fn empty_text_and_control_characters_are_refused() {
        for text in ["", "  ", "a\0b", "s3://b/a\nb", "https://"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn join_puts_one_slash_between() {
        let at = |text: &str| parse(text).unwrap().join("x/y").to_string();
        assert_eq!(at("s3://b"), "s3://b/x/y");
        assert_eq!(at("s3://b/p/"), "s3://b/p/x/y");
        assert_eq!(at("memory://"), "memory://x/y");
        assert_eq!(at("/a/"), "/a/x/y");
        assert_eq!(
            parse("http://h/p?q=1").unwrap().join("z"),
            Uri::Http("http://h/p/z?q=1".into())
        );
    }

    #[test]
    fn signatures_and_passwords_in_a_url_are_never_shown() {
        let uri = parse("https://me:hunter2@host:1/a@b?X-Amz-Signature=abc").unwrap();
        assert_eq!(uri.to_string(), "https://host:1/a@b?…");
        assert_eq!(format!("{uri:?}"), "Uri(https://host:1/a@b?…)");
        assert!(!parse("https://u:hunter2@/?k=secret").unwrap_err().0.contains("secret"));
        assert!(!parse("https://u:hunter2@/?k=secret").unwrap_err().0.contains("hunter2"));
    }
}
