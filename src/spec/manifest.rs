//! SageMaker's `ManifestFile`: a JSON list of objects below one prefix.
//!
//! ```json
//! [{"prefix": "s3://bucket/some/prefix/"}, "relative/a.csv", "relative/b.csv"]
//! ```
//!
//! The address of an object is the prefix and the relative name written one after the other, as
//! SageMaker does it: without a slash at the end of the prefix there is none between them. Nothing
//! is looked up here.

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;

use super::limit;
use super::problem::{Problems, shortened};
use super::uri::Uri;

/// A manifest whose every entry is an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The text that every address begins with.
    pub prefix: String,
    /// The objects in the order of the list; never empty.
    pub objects: Vec<Uri>,
}

const SHAPE: &str = "write [{\"prefix\": \"s3://bucket/some/prefix/\"}, \"relative/a.csv\", …]";

impl Manifest {
    /// Reads a manifest. `base` is the folder that a prefix without a scheme is relative to; a
    /// manifest that does not lie in a folder has none.
    ///
    /// # Errors
    /// Everything that is wrong with it, entry by entry (counted from 1); beyond
    /// [`limit::MANIFEST_MISTAKES_MAX`] only their number.
    pub fn parse(bytes: &[u8], base: Option<&Path>) -> Result<Manifest, Problems> {
        let mut problems = Problems::default();
        let mut refuse = |key: &str, what: String, help: &str| {
            problems.add(key, None, what, Some(help.to_owned()));
        };
        let found = match serde_json::from_slice(bytes) {
            Ok(Value::Array(entries)) => entries,
            Ok(_) => {
                refuse("", "a manifest is a list".into(), SHAPE);
                return Err(problems);
            }
            Err(error) => {
                refuse("", format!("this is not JSON: {error}"), SHAPE);
                return Err(problems);
            }
        };
        let Some((first, rest)) = found.split_first() else {
            refuse("", "the list is empty".into(), SHAPE);
            return Err(problems);
        };
        let prefix = match prefix(first) {
            Ok(prefix) => Some(prefix),
            Err(what) => {
                refuse("entry 1", what, SHAPE);
                None
            }
        };
        if rest.is_empty() {
            refuse("", "no object is named".into(), "name at least one after the prefix");
        }
        if rest.len() > limit::OBJECTS_MAX {
            let help = format!("at most {}", limit::OBJECTS_MAX);
            refuse("", format!("{} objects are too many", rest.len()), &help);
            return Err(problems);
        }
        let mut reader =
            Reader { prefix: prefix.unwrap_or_default(), base, seen: HashSet::new(), wrong: 0 };
        let mut objects = Vec::with_capacity(rest.len());
        for (at, entry) in rest.iter().enumerate() {
            match reader.entry(entry) {
                Ok(object) => objects.extend(object),
                Err((what, help)) => {
                    reader.wrong += 1;
                    if reader.wrong <= limit::MANIFEST_MISTAKES_MAX {
                        problems.add(format!("entry {}", at + 2), None, what, Some(help));
                    }
                }
            }
        }
        if reader.wrong > limit::MANIFEST_MISTAKES_MAX {
            let more = reader.wrong - limit::MANIFEST_MISTAKES_MAX;
            problems.add("", None, format!("{more} more entries are wrong"), None);
        }
        if problems.is_empty() {
            Ok(Manifest { prefix: reader.prefix.to_owned(), objects })
        } else {
            Err(problems)
        }
    }
}

/// The first entry's text.
fn prefix(entry: &Value) -> Result<&str, String> {
    let Value::Object(fields) = entry else {
        return Err(format!("{} is not the prefix", shown(entry)));
    };
    if let Some(other) = fields.keys().find(|key| *key != "prefix") {
        return Err(format!("{} is no key of a manifest", shortened(&format!("{other:?}"))));
    }
    match fields.get("prefix") {
        Some(Value::String(prefix)) if prefix.is_empty() => Err("the prefix is empty".into()),
        Some(Value::String(prefix)) if climbs(prefix) => {
            Err(format!("the prefix {} has \"..\" in it", shown(&Value::from(prefix.as_str()))))
        }
        Some(Value::String(prefix)) => Ok(prefix),
        Some(other) => Err(format!("the prefix {} is no text", shown(other))),
        None => Err("the prefix is missing".into()),
    }
}

struct Reader<'a> {
    /// Empty when it is wrong: then entries are judged without it.
    prefix: &'a str,
    base: Option<&'a Path>,
    seen: HashSet<&'a str>,
    wrong: usize,
}

impl<'a> Reader<'a> {
    /// The object an entry names; `None` when that cannot be told without the prefix.
    fn entry(&mut self, entry: &'a Value) -> Result<Option<Uri>, (String, String)> {
        let wrong = |what: String, help: &str| Err((what, help.to_owned()));
        let relative = match entry {
            Value::String(relative) => relative.as_str(),
            Value::Object(fields) if fields.contains_key("prefix") => {
                return wrong(
                    "there is a second prefix".into(),
                    "a manifest has one prefix, its first entry; write two manifests",
                );
            }
            other => {
                return wrong(
                    format!("{} is not a name", shown(other)),
                    "write the name of an object as text, relative to the prefix",
                );
            }
        };
        if relative.is_empty() || relative.ends_with('/') {
            return wrong(
                format!("{} names no object", shown(entry)),
                "a manifest names every object; a whole prefix is s3_data_type = \"S3Prefix\"",
            );
        }
        if climbs(relative) {
            return wrong(
                format!("{} has \"..\" in it", shown(entry)),
                "write the name of an object below the prefix",
            );
        }
        if !self.seen.insert(relative) {
            return wrong(format!("{} is named twice", shown(entry)), "name each object once");
        }
        if self.prefix.is_empty() {
            return Ok(None);
        }
        let text = format!("{}{relative}", self.prefix);
        let relative_to = match (text.contains("://"), self.base) {
            (true, _) => Path::new(""),
            (false, Some(base)) => base,
            (false, None) => {
                return wrong(
                    format!("{} has no bucket", shown(&Value::from(text))),
                    "begin the prefix with s3://bucket/",
                );
            }
        };
        Uri::parse(&text, relative_to)
            .map(Some)
            .map_err(|(what, help)| (what, help.unwrap_or_else(|| SHAPE.to_owned())))
    }
}

fn climbs(text: &str) -> bool {
    text.split(['/', '\\']).any(|part| part == "..")
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => shortened(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, Vec<String>> {
        match Manifest::parse(text.as_bytes(), None) {
            Ok(manifest) => Ok(manifest.objects.iter().map(ToString::to_string).collect()),
            Err(problems) => Err(problems.list.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn an_address_is_the_prefix_and_the_name_written_one_after_the_other() {
        assert_eq!(
            read(r#"[{"prefix": "s3://b/some/prefix/"}, "rel/a", "rel/b"]"#).unwrap(),
            ["s3://b/some/prefix/rel/a", "s3://b/some/prefix/rel/b"]
        );
        assert_eq!(
            read(r#"[{"prefix": "s3://b/part-"}, "1.csv"]"#).unwrap(),
            ["s3://b/part-1.csv"]
        );
    }

    #[test]
    fn every_wrong_entry_is_told_at_once() {
        let told = read(
            r#"[{"prefix": "s3://b/p/"}, "a", 7, "", "../c", {"prefix": "s3://x/"}, "a", "d/"]"#,
        )
        .unwrap_err();
        let expected = [
            "entry 3: 7 is not a name",
            "entry 4: \"\" names no object",
            "entry 5: \"../c\" has \"..\" in it",
            "entry 6: there is a second prefix",
            "entry 7: \"a\" is named twice",
            "entry 8: \"d/\" names no object",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_no_manifest_is_refused_by_name() {
        for (text, expected) in [
            ("", "this is not JSON"),
            ("[{\"prefix\": \"s3://b/\"}", "this is not JSON"),
            ("{}", "a manifest is a list"),
            ("[]", "the list is empty"),
            ("[\"s3://b/a\"]", "entry 1: \"s3://b/a\" is not the prefix"),
            ("[{}, \"a\"]", "entry 1: the prefix is missing"),
            ("[{\"prefix\": \"\"}, \"a\"]", "entry 1: the prefix is empty"),
            ("[{\"prefix\": 7}, \"a\"]", "entry 1: the prefix 7 is no text"),
            ("[{\"prefix\": \"s3://b/../\"}, \"a\"]", "has \"..\" in it"),
            ("[{\"prefix\": \"s3://b/\", \"x\": 1}, \"a\"]", "\"x\" is no key of a manifest"),
            ("[{\"prefix\": \"s3://b/\"}]", "no object is named"),
            ("[{\"prefix\": \"data/\"}, \"a\"]", "has no bucket"),
            ("[{\"prefix\": \"ftp://b/\"}, \"a\"]", "is not a place smrt can read"),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.iter().any(|line| line.contains(expected)), "{text}: {told:?}");
        }
    }

    #[test]
    fn a_manifest_with_many_mistakes_counts_the_rest() {
        let entries = vec!["7"; 30].join(",");
        let told = read(&format!("[{{\"prefix\": \"s3://b/\"}},{entries}]")).unwrap_err();
        assert_eq!(told.len(), limit::MANIFEST_MISTAKES_MAX + 1);
        assert_eq!(told.last().unwrap(), "10 more entries are wrong");
    }

    #[test]
    fn in_a_folder_a_prefix_may_be_relative() {
        let text = br#"[{"prefix": "rows/"}, "a.csv"]"#;
        let manifest = Manifest::parse(text, Some(Path::new("/data"))).unwrap();
        assert_eq!(manifest.objects, [Uri::File("/data/rows/a.csv".into())]);
    }
}
