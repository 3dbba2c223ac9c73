//! Requests to a bucket, and what its answers mean.
//!
//! The client library keeps status and body of a failure only as text, so that text is read here,
//! once: the S3 error code in it tells a missing bucket from a missing key and a wrong key from a
//! forbidden act.

use std::sync::Arc;

use object_store::client::{HttpError, HttpErrorKind};
use object_store::list::PaginatedListOptions;
use object_store::path::Path;
use object_store::{GetOptions, ObjectMeta, ObjectStoreExt};

use super::connect::Bucket;
use super::error::{Asked, Error};
use super::object::Object;
use crate::spec::limit;
use crate::spec::uri::Uri;

/// The key of `uri` as the client library has it.
///
/// # Errors
/// [`Error::Place`] when the library would change it, or when it names no object.
pub(super) fn object_path(uri: &Uri) -> Result<Path, Error> {
    let wrong = |what: &str, help: &str| Error::Place {
        uri: uri.clone(),
        what: what.to_owned(),
        help: help.to_owned(),
    };
    let key = match uri {
        Uri::Http(_) => return Ok(Path::ROOT),
        _ => key_of(uri),
    };
    if key.is_empty() || key.ends_with('/') {
        return Err(wrong("this names a folder, not an object", "name the object"));
    }
    match Path::parse(key) {
        Ok(path) if path.as_ref() == key => Ok(path),
        _ => Err(wrong(
            "smrt cannot use this key",
            "a key's parts between slashes cannot be empty, \".\" or \"..\"",
        )),
    }
}

fn key_of(uri: &Uri) -> &str {
    match uri {
        Uri::S3 { key, .. } | Uri::Gs { key, .. } | Uri::Az { key, .. } | Uri::Memory(key) => key,
        Uri::Http(_) | Uri::File(_) => "",
    }
}

/// The same bucket, another key.
fn with_key(uri: &Uri, key: String) -> Uri {
    match uri {
        Uri::S3 { bucket, .. } => Uri::S3 { bucket: bucket.clone(), key },
        Uri::Gs { bucket, .. } => Uri::Gs { bucket: bucket.clone(), key },
        Uri::Az { bucket, .. } => Uri::Az { bucket: bucket.clone(), key },
        Uri::Memory(_) => Uri::Memory(key),
        Uri::Http(_) | Uri::File(_) => uri.clone(),
    }
}

/// What is stored at exactly `uri`.
pub(super) async fn head(bucket: &Bucket, uri: &Uri) -> Result<Object, Error> {
    let path = object_path(uri)?;
    let meta = match bucket.objects.head(&path).await {
        Ok(meta) => meta,
        // Signed URLs are signed for GET alone, and some servers know no HEAD.
        Err(e) if matches!(uri, Uri::Http(_)) && failure(&e).status != Some(404) => bucket
            .objects
            .get_opts(&path, GetOptions::default())
            .await
            .map(|found| found.meta)
            .map_err(|e| explain(&e, bucket, uri, "read"))?,
        Err(e) => return Err(missing_what(e, bucket, uri).await),
    };
    Ok(Object::remote(uri.clone(), meta))
}

/// A missing object or a missing bucket, a forbidden act or a wrong key? An answer to HEAD has no
/// body to tell, so a question that has one follows.
async fn missing_what(error: object_store::Error, bucket: &Bucket, uri: &Uri) -> Error {
    let found = explain(&error, bucket, uri, "read");
    match found {
        Error::NotFound { .. } | Error::Denied { .. } => match check_bucket(bucket, uri).await {
            Err(better @ (Error::NoBucket { .. } | Error::WrongCredentials { .. })) => better,
            _ => found,
        },
        other => other,
    }
}

/// Fails when the bucket is known not to exist. Some servers make a bucket at the first write:
/// then a slip in its name would send a model where nobody looks for it.
pub(super) async fn check_bucket(bucket: &Bucket, uri: &Uri) -> Result<(), Error> {
    let Some(pages) = &bucket.pages else { return Ok(()) };
    let options = PaginatedListOptions { max_keys: Some(1), ..Default::default() };
    let key = Some(key_of(uri)).filter(|key| !key.is_empty());
    match pages.list_paginated(key, options).await {
        Ok(_) => Ok(()),
        Err(e) => match explain(&e, bucket, uri, "list") {
            // Writing needs no permission to list.
            Error::Denied { .. } => Ok(()),
            error => Err(error),
        },
    }
}

/// Everything below a prefix, or the one object of that name; sorted by key.
pub(super) async fn list(bucket: &Bucket, uri: &Uri) -> Result<Vec<Object>, Error> {
    if let Uri::Http(_) = uri {
        return Ok(vec![head(bucket, uri).await?]);
    }
    let prefix = key_of(uri);
    let found = match &bucket.pages {
        Some(_) => list_pages(bucket, uri, prefix).await,
        None => list_all(bucket, uri, prefix).await,
    };
    let mut metas = match found {
        Ok(metas) => metas,
        // Reading one object needs no permission to list.
        Err(denied @ Error::Denied { .. }) if object_path(uri).is_ok() => {
            return head(bucket, uri).await.map(|object| vec![object]).map_err(|_| denied);
        }
        Err(e) => return Err(e),
    };
    if let Some(exact) = metas.iter().position(|meta| meta.location.as_ref() == prefix) {
        let meta = metas.swap_remove(exact);
        // The library drops a slash at the end, so an empty `train` may be the marker `train/`.
        if meta.size > 0 || head(bucket, uri).await.is_ok() {
            return Ok(vec![Object::remote(uri.clone(), meta)]);
        }
    }
    // Azure's client leaves out the one object that has exactly the prefix for its name.
    if matches!(uri, Uri::Az { .. }) && object_path(uri).is_ok() {
        match head(bucket, uri).await {
            Err(Error::NotFound { .. }) => {}
            found => return found.map(|object| vec![object]),
        }
    }
    let all = metas.len();
    metas.retain(|meta| meta.size > 0 && is_data(prefix, meta.location.as_ref()));
    if metas.is_empty() {
        return Err(Error::Empty { uri: uri.clone(), skipped: all });
    }
    metas.sort_by(|a, b| a.location.as_ref().as_bytes().cmp(b.location.as_ref().as_bytes()));
    let named =
        |meta: ObjectMeta| Object::remote(with_key(uri, meta.location.as_ref().to_owned()), meta);
    Ok(metas.into_iter().map(named).collect())
}

/// Whether a key found below `prefix` is one that a user would call data. Names that begin with
/// `.` or `_` are not (`_SUCCESS`, `.crc`, `_temporary/`): XGBoost's container has the same rule.
/// What the user wrote as the prefix is never held against the key.
fn is_data(prefix: &str, key: &str) -> bool {
    let Some(rest) = key.strip_prefix(prefix) else { return false };
    let whole_names = prefix.is_empty() || prefix.ends_with('/');
    rest.split('/').skip(usize::from(!whole_names)).all(|name| !is_hidden(name))
}

/// The rule for one name.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

async fn list_pages(bucket: &Bucket, uri: &Uri, prefix: &str) -> Result<Vec<ObjectMeta>, Error> {
    let pages = bucket.pages.as_ref().expect("asked for only where there are pages");
    let mut metas = Vec::new();
    let mut page_token = None;
    loop {
        let options = PaginatedListOptions { page_token, ..Default::default() };
        let prefix = (!prefix.is_empty()).then_some(prefix);
        let page = pages
            .list_paginated(prefix, options)
            .await
            .map_err(|e| explain(&e, bucket, uri, "list"))?;
        metas.extend(page.result.objects);
        if metas.len() > limit::OBJECTS_MAX {
            let objects_max = limit::OBJECTS_MAX;
            return Err(Error::TooMany { uri: uri.clone(), objects_max });
        }
        page_token = page.page_token;
        if page_token.is_none() {
            return Ok(metas);
        }
    }
}

/// For stores that list by folder only: all keys, then the string prefix.
async fn list_all(bucket: &Bucket, uri: &Uri, prefix: &str) -> Result<Vec<ObjectMeta>, Error> {
    use futures_util::TryStreamExt;
    let found: Vec<ObjectMeta> = bucket
        .objects
        .list(None)
        .try_collect()
        .await
        .map_err(|e| explain(&e, bucket, uri, "list"))?;
    Ok(found.into_iter().filter(|meta| meta.location.as_ref().starts_with(prefix)).collect())
}

/// Removes an object; one that is not there counts as removed.
pub(super) async fn delete(bucket: &Bucket, uri: &Uri) -> Result<(), Error> {
    let path = object_path(uri)?;
    match bucket.objects.delete(&path).await {
        Ok(()) => Ok(()),
        Err(e) => match explain(&e, bucket, uri, "delete") {
            Error::NotFound { .. } => Ok(()),
            error => Err(error),
        },
    }
}

/// The last cause in a chain of errors: `Connection refused`, not `error sending request`.
pub(super) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    cut(&last.to_string())
}

/// What can be told from a failure of the client library.
pub(super) struct Failure {
    /// HTTP status, when the server answered.
    pub(super) status: Option<u16>,
    /// S3's or Azure's error code, when the server gave one.
    code: Option<String>,
    message: Option<String>,
    transport: Option<HttpErrorKind>,
    cause: String,
}

pub(super) fn failure(error: &object_store::Error) -> Failure {
    let text = error.to_string();
    let mut transport = None;
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            transport = Some(http.kind());
        }
        next = error.source();
    }
    let status = text
        .split_once("status code: ")
        .and_then(|(_, rest)| rest.get(..3))
        .and_then(|digits| digits.parse().ok());
    let status = status.or(match error {
        object_store::Error::NotFound { .. } => Some(404),
        object_store::Error::Precondition { .. } => Some(412),
        _ => None,
    });
    Failure {
        status,
        code: element(&text, "Code"),
        message: element(&text, "Message"),
        transport,
        cause: innermost(error),
    }
}

/// The text of an XML element, as far as it is short and plain.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    Some(cut(inner)).filter(|inner| !inner.is_empty())
}

/// At most 200 printable characters: a server's text goes to a terminal.
fn cut(text: &str) -> String {
    const MAX: usize = 200;
    let mut short: String = text.chars().filter(|c| !c.is_control()).take(MAX).collect();
    if text.chars().count() > MAX {
        short.push('…');
    }
    short
}

impl Failure {
    fn answer(&self) -> String {
        match (&self.code, &self.message, self.status) {
            (Some(code), Some(message), _) => format!("{code}: {}", message.trim_end_matches('.')),
            (Some(code), None, _) => code.clone(),
            (None, _, Some(status)) => format!("status {status}"),
            (None, _, None) => self.cause.clone(),
        }
    }
}

/// Codes that say the server does not know who asks; the last is Azure's.
const WRONG_CREDENTIALS: [&str; 11] = [
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "ExpiredToken",
    "TokenRefreshRequired",
    "RequestTimeTooSkewed",
    "AuthFailure",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "NotSignedUp",
    "AuthenticationFailed",
];

/// Turns a failure of the client library into one that a person can act on.
pub(super) fn explain(
    error: &object_store::Error,
    bucket: &Bucket,
    uri: &Uri,
    doing: &'static str,
) -> Error {
    if let object_store::Error::InvalidPath { source } = error {
        return Error::Place {
            uri: uri.clone(),
            what: format!("a key here cannot be used: {}", cut(&source.to_string())),
            help: "rename it, or name a prefix without it".to_owned(),
        };
    }
    let failure = failure(error);
    let (uri, endpoint) = (uri.clone(), bucket.endpoint.clone());
    let asked = Asked { endpoint: endpoint.clone(), origin: bucket.origin.clone() };
    let asked = Box::new(asked);
    let answer = failure.answer();
    let code = failure.code.as_deref().unwrap_or_default();
    match (failure.status, failure.transport) {
        _ if code == "NoSuchBucket" || code == "ContainerNotFound" => {
            let name = match &uri {
                Uri::S3 { bucket, .. } | Uri::Gs { bucket, .. } | Uri::Az { bucket, .. } => bucket,
                _ => "",
            };
            Error::NoBucket { bucket: name.to_owned(), uri, endpoint }
        }
        _ if WRONG_CREDENTIALS.contains(&code) => Error::WrongCredentials { uri, asked, answer },
        (Some(401), _) => Error::WrongCredentials { uri, asked, answer },
        (Some(403), _) => Error::Denied { uri, asked, doing, answer },
        (Some(404), _) => Error::NotFound { uri },
        (Some(412 | 416), _) => Error::Changed { uri, detail: answer },
        (Some(status), _) => {
            let busy = status == 429 || status == 503 || code == "SlowDown";
            Error::Server { uri, endpoint, doing, answer, busy }
        }
        (None, Some(kind)) if kind != HttpErrorKind::Decode => {
            Error::Unreachable { uri, endpoint, cause: failure.cause }
        }
        _ => Error::Server { uri, endpoint, doing, answer, busy: false },
    }
}

/// Why reading a part of `object` failed: gone, replaced, or a plain failure? The client library
/// reports a body that was cut and then replaced as a cut body, so the object is looked at again.
pub(super) async fn explain_read(
    error: object_store::Error,
    bucket: &Arc<Bucket>,
    object: &Object,
) -> Error {
    let uri = &object.uri;
    match explain(&error, bucket, uri, "read") {
        Error::NotFound { .. } => Error::Vanished { uri: uri.clone() },
        changed @ Error::Changed { .. } => changed,
        other if matches!(uri, Uri::Http(_)) => other,
        other => match head(bucket, uri).await {
            Err(Error::NotFound { .. }) => Error::Vanished { uri: uri.clone() },
            Ok(now) => object.same_as(&now).map_or_else(|changed| changed, |()| other),
            Err(_) => other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_names_are_not_data_unless_the_prefix_names_them() {
        assert!(is_data("train/", "train/a.csv"));
        assert!(is_data("train", "train-1/a.csv"));
        assert!(!is_data("train/", "train/_SUCCESS"));
        assert!(!is_data("train/", "train/.a.csv.crc"));
        assert!(!is_data("train", "train/_temporary/0/a"));
        assert!(!is_data("", "_x"));
        assert!(is_data("_x", "_x1.csv"));
        assert!(is_data("a/_x/", "a/_x/1.csv"));
        assert!(!is_data("train/", "train"), "a folder's own marker");
    }

    #[test]
    fn a_servers_text_is_cut_and_cleaned() {
        assert_eq!(element("x<Code>No\u{1b}[2J</Code>", "Code").unwrap(), "No[2J");
        assert_eq!(element("<Code></Code>", "Code"), None);
        assert_eq!(element("<Code>open", "Code"), None);
        assert_eq!(cut(&"é".repeat(300)).chars().count(), 201);
    }
}
