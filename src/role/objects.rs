//! Every touch of an object is an action of S3 on an ARN.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::fault::Fault;
use crate::iam::policy::Context;
use crate::iam::state::{Acting, Use};
use crate::spec::uri::Uri;
use crate::store::{Act, Forbidden, Guard};

/// Asks the role.
pub(super) struct Objects(pub(super) Arc<Acting>);

impl Guard for Objects {
    fn may(&self, act: Act, uri: &Uri) -> Result<(), Forbidden> {
        let (resource, known) = match act {
            Act::List => listed(uri),
            _ => (arn_of(uri), Context::new()),
        };
        let resource = resource.ok_or_else(|| Forbidden {
            what: "its name is not Unicode, so that no policy can name it".into(),
            help: None,
        })?;
        for action in actions(act, uri) {
            let act = Use {
                action,
                resource: &resource,
                known: known.clone(),
                own: None,
                granted: false,
            };
            self.0
                .may(&act)
                .map_err(|why| Forbidden { what: why.to_string(), help: why.help() })?;
        }
        Ok(())
    }
}

/// What an act is called. Writing to S3 may go in parts, and who may not take them away would leave
/// them there: so that is asked before the first.
pub(super) fn actions(act: Act, uri: &Uri) -> &'static [&'static str] {
    match (act, uri) {
        (Act::List, _) => &["s3:ListBucket"],
        (Act::Read, _) => &["s3:GetObject"],
        (Act::Write, Uri::S3 { .. }) => &["s3:PutObject", "s3:AbortMultipartUpload"],
        (Act::Write, _) => &["s3:PutObject"],
        (Act::Delete, _) => &["s3:DeleteObject"],
    }
}

/// The ARN of an object; `None` for a file whose name is not Unicode.
pub fn arn_of(uri: &Uri) -> Option<String> {
    Some(match uri {
        Uri::S3 { bucket, key } => format!("arn:aws:s3:::{bucket}/{key}"),
        Uri::Gs { bucket, key } => format!("arn:smrt:gs:::{bucket}/{key}"),
        Uri::Az { bucket, key } => format!("arn:smrt:az:::{bucket}/{key}"),
        Uri::Memory(key) => format!("arn:smrt:memory:::{key}"),
        Uri::Http(_) => {
            // As it is shown: without user, password and signature.
            let shown = uri.to_string();
            format!("arn:smrt:web:::{}", shown.strip_suffix("?…").unwrap_or(&shown))
        }
        Uri::File(path) => format!("arn:smrt:file:::{}", real(path).to_str()?),
    })
}

/// What is listed, and what is known of the listing.
pub(super) fn listed(uri: &Uri) -> (Option<String>, Context) {
    let (resource, key) = match uri {
        Uri::S3 { bucket, key } => (format!("arn:aws:s3:::{bucket}"), key),
        Uri::Gs { bucket, key } => (format!("arn:smrt:gs:::{bucket}"), key),
        Uri::Az { bucket, key } => (format!("arn:smrt:az:::{bucket}"), key),
        Uri::Memory(_) | Uri::Http(_) | Uri::File(_) => return (arn_of(uri), Context::new()),
    };
    (Some(resource), Context::new().with("s3:prefix", key.as_str()))
}

/// The path with links followed as far as it exists, absolute and without `..`: what a policy names
/// must be what is opened.
fn real(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut missing = Vec::new();
    for ancestor in absolute.ancestors() {
        if let Ok(mut found) = ancestor.canonicalize() {
            for part in missing.into_iter().rev() {
                match part {
                    Component::ParentDir => drop(found.pop()),
                    Component::CurDir => {}
                    part => found.push(part),
                }
            }
            return found;
        }
        missing.extend(ancestor.components().next_back());
    }
    absolute
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_where_it_is_and_not_by_how_it_is_reached() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("secret"), "x").unwrap();
        std::os::unix::fs::symlink(root.join("secret"), root.join("a/link")).unwrap();
        let told = |path: &str| arn_of(&Uri::File(root.join(path))).unwrap();
        let named = |path: &str| format!("arn:smrt:file:::{}", root.join(path).display());
        assert_eq!(told("a/../secret"), named("secret"));
        assert_eq!(told("a/link"), named("secret"));
        assert_eq!(told("a/b/new.csv"), named("a/b/new.csv"));
        assert_eq!(told("a/none/../../secret"), named("secret"));
        assert_eq!(told("a/none/deep.csv"), named("a/none/deep.csv"));
    }

    #[test]
    fn an_address_on_the_web_is_named_without_its_secrets() {
        let uri = Uri::parse("https://me:pw@host/a.csv?X-Amz-Signature=1", Path::new("")).unwrap();
        assert_eq!(arn_of(&uri).unwrap(), "arn:smrt:web:::https://host/a.csv");
    }
}
