//! Places smrt can read from and write to.

use std::fmt;
use std::path::{Path, PathBuf};

/// A checked address of an object or a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
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

impl Uri {
    /// Reads an address; a plain path is taken relative to `base`.
    ///
    /// # Errors
    /// A sentence saying what is wrong, and one saying how to mend it.
    pub fn parse(text: &str, base: &Path) -> Result<Uri, (String, Option<String>)> {
        let wrong = |help: Option<String>| {
            let help = help.unwrap_or_else(|| {
                "write s3://bucket/prefix, gs://…, az://…, http(s)://…, file:///path or a path"
                    .into()
            });
            Err((format!("{text:?} is not a place smrt can read"), Some(help)))
        };
        if text.is_empty() || text.contains('\0') {
            return wrong(None);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            if let Some((
                scheme @ ("s3" | "gs" | "az" | "file" | "http" | "https" | "memory"),
                rest,
            )) = text.split_once(":/")
            {
                let meant = format!("{scheme}://{}", rest.trim_start_matches('/'));
                return wrong(Some(format!(
                    "write s3://bucket/prefix, gs://…, az://… or file:///path; did you mean {meant:?}?"
                )));
            }
            return Ok(Uri::File(base.join(text)));
        };
        let bucket_and_key = |rest: &str| {
            let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
            (bucket.to_owned(), key.to_owned())
        };
        match scheme {
            "s3" | "gs" | "az" => {
                let (bucket, key) = bucket_and_key(rest);
                if bucket.is_empty() || bucket.chars().any(|c| c.is_whitespace() || c == '\\') {
                    return wrong(Some(format!("name a bucket: {scheme}://bucket/prefix")));
                }
                Ok(match scheme {
                    "s3" => Uri::S3 { bucket, key },
                    "gs" => Uri::Gs { bucket, key },
                    _ => Uri::Az { bucket, key },
                })
            }
            "http" | "https" => Ok(Uri::Http(text.to_owned())),
            "file" => match rest.strip_prefix('/') {
                Some(path) => Ok(Uri::File(Path::new("/").join(path))),
                None => wrong(Some("a file URI has three slashes: file:///path".into())),
            },
            "memory" => Ok(Uri::Memory(rest.trim_start_matches('/').to_owned())),
            _ => wrong(None),
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
            Uri::Http(url) => Uri::Http(format!("{}/{tail}", url.trim_end_matches('/'))),
            Uri::File(path) => Uri::File(path.join(tail)),
            Uri::Memory(key) => Uri::Memory(below(key)),
        }
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Uri::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
            Uri::Gs { bucket, key } => write!(f, "gs://{bucket}/{key}"),
            Uri::Az { bucket, key } => write!(f, "az://{bucket}/{key}"),
            Uri::Http(url) => f.write_str(url),
            Uri::File(path) => write!(f, "{}", path.display()),
            Uri::Memory(key) => write!(f, "memory://{key}"),
        }
    }
}
