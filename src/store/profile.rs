//! AWS's shared files, `~/.aws/credentials` and `~/.aws/config`: which profile says what.
//!
//! The format is AWS's own dialect of INI (AWS SDKs and Tools Reference Guide, "Shared config and
//! credentials files"): sections, `key = value`, comments, and settings nested by indentation.
//! Single sign-on, assumed roles and credential processes are recognised, not performed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::error::Error;
use crate::spec::limit;

/// One section's settings; a nested one is `outer.inner`.
type Section = BTreeMap<String, String>;

/// What both files say about one profile.
#[derive(Default)]
pub(super) struct Profile {
    settings: Section,
    /// Where the keys stand, for messages.
    pub(super) origin: String,
}

impl Profile {
    /// A setting of the profile.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The way of getting credentials that this profile asks for and smrt does not have.
    pub(super) fn unsupported(&self) -> Option<&'static str> {
        ["sso_session", "sso_start_url", "role_arn", "credential_process", "login_session"]
            .into_iter()
            .find(|key| self.value(key).is_some())
    }
}

/// Reads the profile `asked` for (by the job, or by `AWS_PROFILE`), or the default one.
///
/// # Errors
/// [`Error::Settings`] when a file cannot be read or understood, or when a profile that was asked
/// for is in neither.
pub(super) fn read(environment: &Environment, asked: Option<&str>) -> Result<Profile, Error> {
    let name = asked.unwrap_or("default");
    let paths = [
        environment.file("AWS_CONFIG_FILE", ".aws/config"),
        environment.file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
    ];
    let mut profile = Profile::default();
    let mut known = Vec::new();
    let mut found = false;
    for (path, is_config) in paths.iter().zip([true, false]) {
        let Some(path) = path else { continue };
        let mut sections = read_file(path)?;
        known.extend(sections.keys().filter_map(|s| profile_name(s, is_config)).map(String::from));
        let services = section_named(&sections, name, is_config)
            .and_then(|s| s.get("services"))
            .and_then(|s| sections.get(&format!("services {s}")));
        let endpoints: Vec<_> = ["s3.endpoint_url", "kms.endpoint_url"]
            .into_iter()
            .filter_map(|key| Some((key.to_owned(), services?.get(key)?.clone())))
            .collect();
        let key = sections.keys().find(|s| profile_name(s, is_config) == Some(name)).cloned();
        let Some(section) = key.and_then(|key| sections.remove(&key)) else { continue };
        found = true;
        if section.contains_key("aws_access_key_id") || profile.origin.is_empty() {
            profile.origin = format!("profile {name:?} in {}", path.display());
        }
        profile.settings.extend(section);
        profile.settings.extend(endpoints);
    }
    if asked.is_some() && !found {
        return Err(no_such_profile(name, &paths, known));
    }
    Ok(profile)
}

fn no_such_profile(name: &str, paths: &[Option<PathBuf>], mut known: Vec<String>) -> Error {
    known.sort();
    known.dedup();
    let files: Vec<_> = paths.iter().flatten().map(|p| p.display().to_string()).collect();
    let help = match known.as_slice() {
        [] => "neither file has any profile".to_owned(),
        known => format!("known profiles: {}", known.join(", ")),
    };
    Error::Settings { what: format!("profile {name:?} is not in {}", files.join(" or ")), help }
}

/// The profile a section header is about. `config` writes `[profile dev]`, `credentials` `[dev]`.
fn profile_name(section: &str, is_config: bool) -> Option<&str> {
    match section.strip_prefix("profile ") {
        Some(name) => Some(name.trim().trim_matches('"')),
        None if section == "default" || !is_config => Some(section),
        None => None,
    }
}

fn section_named<'a>(
    sections: &'a BTreeMap<String, Section>,
    name: &str,
    is_config: bool,
) -> Option<&'a Section> {
    sections.iter().find(|(s, _)| profile_name(s, is_config) == Some(name)).map(|(_, s)| s)
}

fn read_file(path: &Path) -> Result<BTreeMap<String, Section>, Error> {
    let text = match read_small(path)? {
        Some(bytes) => bytes,
        None => return Ok(BTreeMap::new()),
    };
    let help = "it holds [sections] and `key = value` lines".to_owned();
    let wrong = |what: String| Error::Settings { what, help: help.clone() };
    let text = String::from_utf8(text)
        .map_err(|_| wrong(format!("{} is not UTF-8 text", path.display())))?;
    // The line's number, never the line: it may hold a secret.
    parse(&text)
        .map_err(|line| wrong(format!("{}:{line}: this line cannot be understood", path.display())))
}

/// A file of settings, bounded; `None` when it is not there.
pub(super) fn read_small(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    use std::io::Read;
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::local("read", path, e)),
    };
    let mut bytes = Vec::new();
    file.take(limit::CREDENTIALS_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::local("read", path, e))?;
    if bytes.len() as u64 > limit::CREDENTIALS_BYTES_MAX {
        return Err(Error::Settings {
            what: format!(
                "{} is larger than {} bytes",
                path.display(),
                limit::CREDENTIALS_BYTES_MAX
            ),
            help: "is it the file you meant?".to_owned(),
        });
    }
    Ok(Some(bytes))
}

/// Sections by header; on failure the number of the line at fault.
fn parse(text: &str) -> Result<BTreeMap<String, Section>, usize> {
    let mut sections: BTreeMap<String, Section> = BTreeMap::new();
    let mut section = None;
    let mut outer = String::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        let nested = line.starts_with([' ', '\t']) && !outer.is_empty();
        if let Some(header) = trimmed.strip_prefix('[') {
            let name = header.split_once(']').ok_or(index + 1)?.0;
            let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
            sections.entry(name.clone()).or_default();
            section = Some(name);
            outer.clear();
            continue;
        }
        let (key, value) = trimmed.split_once('=').ok_or(index + 1)?;
        let (key, value) = (key.trim().to_lowercase(), without_comment(value));
        let name = section.as_ref().ok_or(index + 1)?;
        let full = if nested { format!("{outer}.{key}") } else { key.clone() };
        if !nested {
            outer = if value.is_empty() { key } else { String::new() };
        }
        sections.entry(name.clone()).or_default().insert(full, value.to_owned());
    }
    Ok(sections)
}

fn without_comment(value: &str) -> &str {
    let end = value
        .char_indices()
        .zip(value.chars().skip(1))
        .find(|((_, c), next)| c.is_whitespace() && matches!(next, '#' | ';'))
        .map_or(value.len(), |((at, _), _)| at);
    value[..end].trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_comments_nesting_and_spaces_are_read() {
        let text = "\u{feff}# top\n[default]\naws_access_key_id=AK # mine\nsecret = a#b=c ;d\n\
                    s3 =\n  endpoint_url = http://h:1\nregion = r\n\n[ profile  dev ]\nregion=x\n";
        let sections = parse(text).unwrap();
        let default = &sections["default"];
        assert_eq!(default["aws_access_key_id"], "AK");
        assert_eq!(default["secret"], "a#b=c");
        assert_eq!(default["s3.endpoint_url"], "http://h:1");
        assert_eq!(default["region"], "r");
        assert_eq!(sections["profile dev"]["region"], "x");
    }

    #[test]
    fn a_line_that_is_nothing_is_named_by_number() {
        assert_eq!(parse("[a]\nx=1\nhunter2\n"), Err(3));
        assert_eq!(parse("x=1\n"), Err(1));
        assert_eq!(parse("[a\n"), Err(1));
        assert_eq!(parse("[a]\né ;\n"), Err(2));
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn config_and_credentials_name_profiles_differently() {
        assert_eq!(profile_name("profile dev", true), Some("dev"));
        assert_eq!(profile_name("profile \"my dev\"", true), Some("my dev"));
        assert_eq!(profile_name("default", true), Some("default"));
        assert_eq!(profile_name("dev", true), None);
        assert_eq!(profile_name("dev", false), Some("dev"));
    }
}
