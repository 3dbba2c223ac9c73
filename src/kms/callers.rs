//! Who may call: access keys with their secrets, from a file like `~/.aws/credentials`.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::Error;
use crate::iam::sigv4::Secret;

const FILE_BYTES_MAX: u64 = 1 << 20;

/// Access keys and their secrets.
#[derive(Default)]
pub struct Callers(BTreeMap<String, Secret>);

impl Callers {
    /// Nobody.
    pub fn new() -> Callers {
        Callers::default()
    }

    /// Adds one access key.
    #[must_use]
    pub fn with(mut self, access_key: impl Into<String>, secret: impl Into<String>) -> Callers {
        self.0.insert(access_key.into(), Secret::new(secret.into()));
        self
    }

    /// Whether nobody can call.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many access keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn secret(&self, access_key: &str) -> Option<&Secret> {
        self.0.get(access_key)
    }

    /// Reads a file in the form of `~/.aws/credentials`: each profile with both keys is a caller.
    ///
    /// # Errors
    /// [`Error::Callers`] when it cannot be read, others may read it, or a profile is half there.
    pub fn read(path: &Path) -> Result<Callers, Error> {
        let wrong = |what: String| Error::Callers { path: path.into(), what };
        let meta = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
        #[cfg(unix)]
        if std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o077 != 0 {
            return Err(wrong(
                "others may read it: chmod 600, and new secrets if anybody did".into(),
            ));
        }
        if meta.len() > FILE_BYTES_MAX {
            return Err(wrong(format!("larger than {FILE_BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        parse(&text).map_err(wrong)
    }
}

fn parse(text: &str) -> Result<Callers, String> {
    let mut callers = Callers::new();
    let (mut profile, mut id, mut secret) = ("before the first profile", None, None);
    let mut whole = |profile: &str, id: Option<&str>, secret: Option<&str>| match (id, secret) {
        (Some(id), Some(secret)) => {
            callers.0.insert(id.to_owned(), Secret::new(secret.to_owned()));
            Ok(())
        }
        (None, None) => Ok(()),
        _ => Err(format!(
            "profile {profile:?} needs both aws_access_key_id and aws_secret_access_key"
        )),
    };
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            whole(profile, id.take(), secret.take())?;
            profile = name.trim();
            continue;
        }
        // The line is not shown: it may hold a secret.
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| format!("line {}: neither [profile] nor name = value", number + 1))?;
        match name.trim() {
            "aws_access_key_id" => id = Some(value.trim()),
            "aws_secret_access_key" => secret = Some(value.trim()),
            _ => {}
        }
    }
    whole(profile, id, secret)?;
    Ok(callers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_whole_profile_is_a_caller_and_half_a_one_is_named() {
        let text = "# c\n[default]\naws_access_key_id = A\naws_secret_access_key=s1\nregion = x\n\
                    [other]\naws_access_key_id=B\naws_secret_access_key = s=2\n[empty]\n";
        let callers = parse(text).unwrap();
        assert_eq!(callers.len(), 2);
        assert_eq!(callers.secret("B").unwrap().expose(), "s=2");
        assert!(callers.secret("C").is_none());
        let error = parse("[half]\naws_access_key_id = A\n").map(|_| ()).unwrap_err();
        assert!(error.contains("half"), "{error}");
        let error = parse("[x]\nsecretsecret\n").map(|_| ()).unwrap_err();
        assert!(error.contains("line 2") && !error.contains("secretsecret"), "{error}");
    }
}
