//! One stored object as it was found, so that a later read can tell whether it is still the same.

use std::time::{Duration, SystemTime};

use object_store::ObjectMeta;

use super::error::Error;
use crate::spec::uri::Uri;

/// An object that was found by listing or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Where it lies.
    pub uri: Uri,
    /// Its size in bytes.
    pub bytes: u64,
    /// The server's tag of its content, when it gives one.
    pub tag: Option<String>,
    /// When it was last written, as far as the store knows.
    pub modified: Option<SystemTime>,
}

impl Object {
    /// Whether a part of it is read without what stands before.
    pub fn has_parts(&self) -> bool {
        !matches!(self.uri, Uri::Http(_))
    }

    pub(super) fn remote(uri: Uri, meta: ObjectMeta) -> Object {
        let since = u64::try_from(meta.last_modified.timestamp_millis()).ok().filter(|ms| *ms > 0);
        Object {
            uri,
            bytes: meta.size,
            // A weak tag promises no equal bytes, so it proves nothing here.
            tag: meta.e_tag.filter(|tag| !tag.starts_with("W/")),
            modified: since.map(|ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms)),
        }
    }

    /// Whether `now` is still what was found.
    pub(super) fn same_as(&self, now: &Object) -> Result<(), Error> {
        let changed = |detail: String| Error::Changed { uri: self.uri.clone(), detail };
        if now.bytes != self.bytes {
            return Err(changed(format!("it had {} bytes, now {}", self.bytes, now.bytes)));
        }
        match (&self.tag, &now.tag) {
            (Some(then), Some(now)) if bare(then) != bare(now) => {
                Err(changed("another version was stored".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// The tag as `If-Match` wants it.
    pub(super) fn if_match(&self) -> Option<String> {
        self.tag.as_deref().map(|tag| match self.uri {
            Uri::Memory(_) => tag.to_owned(),
            _ => format!("\"{}\"", bare(tag)),
        })
    }
}

/// Listings and headers disagree about quotation marks.
fn bare(tag: &str) -> &str {
    tag.trim_matches('"')
}
