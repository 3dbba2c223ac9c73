//! What the side that computes may have and make.

use std::path::{Component, Path};

use crate::spec::uri::Uri;

/// What may be asked for. Everything else is refused, as if it were not there.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    /// Objects at or below these places may be listed and read, as they are stored.
    pub reads: Vec<Uri>,
    /// The same, and what is sealed comes open.
    pub opened: Vec<Uri>,
    /// What may be made and removed.
    pub writes: Vec<Place>,
}

/// Objects that may be made.
#[derive(Debug, Clone)]
pub struct Place {
    /// The object, or the folder that it lies in.
    pub uri: Uri,
    /// How names in that folder begin and end; `None` where `uri` is the object.
    pub named: Option<(String, String)>,
    /// What the seal says that it is.
    pub artifact: &'static str,
}

impl Grants {
    /// The address that may be read, and whether it comes open.
    pub(super) fn read(&self, text: &str) -> Option<(Uri, bool)> {
        let find = |granted: &[Uri]| granted.iter().find_map(|granted| below(granted, text));
        let opened = find(&self.opened).map(|uri| (uri, true));
        opened.or_else(|| find(&self.reads).map(|uri| (uri, false)))
    }

    /// The address that may be looked for: what may be read or made.
    pub(super) fn seen(&self, text: &str) -> Option<Uri> {
        let read = self.read(text).map(|(uri, _)| uri);
        read.or_else(|| self.write(text).map(|(uri, _)| uri))
    }

    /// The address that may be made, and what it is called.
    pub(super) fn write(&self, text: &str) -> Option<(Uri, &'static str)> {
        self.writes.iter().find_map(|place| {
            let uri = below(&place.uri, text)?;
            let fits = match &place.named {
                None => uri == place.uri,
                Some((begins, ends)) => {
                    let name = text.rsplit('/').next().unwrap_or_default();
                    let own = name.starts_with(begins.as_str()) && name.ends_with(ends.as_str());
                    own && uri == place.uri.join(name)
                }
            };
            fits.then_some((uri, place.artifact))
        })
    }
}

/// `text` as an address, when it is `granted` or lies below it. An address with a secret in its query
/// crosses without; here it gets it back.
fn below(granted: &Uri, text: &str) -> Option<Uri> {
    if granted.to_string() == text {
        return Some(granted.clone());
    }
    let asked = Uri::parse(text, Path::new("")).ok()?;
    let inside = match (granted, &asked) {
        (Uri::File(folder), Uri::File(path)) => {
            let up = |part: Component<'_>| part == Component::ParentDir;
            let rest = path.strip_prefix(folder).ok()?;
            !rest.components().any(up)
        }
        (Uri::S3 { bucket, key }, Uri::S3 { bucket: other, key: asked })
        | (Uri::Gs { bucket, key }, Uri::Gs { bucket: other, key: asked })
        | (Uri::Az { bucket, key }, Uri::Az { bucket: other, key: asked }) => {
            bucket == other && asked.starts_with(key.as_str())
        }
        (Uri::Memory(key), Uri::Memory(asked)) => asked.starts_with(key.as_str()),
        _ => false,
    };
    inside.then_some(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        Uri::parse(text, Path::new("")).unwrap()
    }

    fn grants() -> Grants {
        Grants {
            reads: vec![
                uri("s3://data/train/"),
                uri("/data/train"),
                uri("https://h/a.csv?Signature=s"),
            ],
            opened: vec![uri("s3://data/checkpoints")],
            writes: vec![
                Place {
                    uri: uri("s3://out/j/output/model.tar.gz"),
                    named: None,
                    artifact: "model",
                },
                Place {
                    uri: uri("s3://data/checkpoints"),
                    named: Some(("j.".into(), ".checkpoint".into())),
                    artifact: "checkpoint",
                },
            ],
        }
    }

    #[test]
    fn what_was_granted_is_found_and_nothing_beside_it() {
        let grants = grants();
        for text in ["s3://data/train/a.csv", "/data/train", "/data/train/b/c.csv"] {
            assert_eq!(grants.read(text), Some((uri(text), false)), "{text}");
        }
        for text in [
            "s3://data/other/a.csv",
            "s3://elsewhere/train/a.csv",
            "/data/train/../secret",
            "/data/trainer",
            "/etc/passwd",
            "file:///data/train/../../etc/passwd",
            "http://169.254.169.254/latest/meta-data",
            "memory://x",
            "",
        ] {
            assert_eq!(grants.read(text), None, "{text}");
            assert_eq!(grants.write(text), None, "{text}");
        }
        assert!(grants.read("s3://data/checkpoints/j.1.checkpoint").unwrap().1);
    }

    #[test]
    fn only_the_artifact_and_own_checkpoints_may_be_made() {
        let grants = grants();
        assert!(grants.write("s3://out/j/output/model.tar.gz").is_some());
        assert!(grants.write("s3://data/checkpoints/j.00000001.checkpoint").is_some());
        for text in [
            "s3://out/j/output/model.tar.gz.old",
            "s3://data/checkpoints/other.00000001.checkpoint",
            "s3://data/checkpoints/j.1.checkpoint/x",
            "s3://data/checkpoints/below/j.1.checkpoint",
            "s3://data/train/a.csv",
        ] {
            assert!(grants.write(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_signed_address_keeps_its_secret_on_this_side() {
        // As an address is shown, and so as the other side asks for it.
        let asked = uri("https://h/a.csv?Signature=s").to_string();
        assert!(!asked.contains("Signature"), "{asked}");
        let found = grants().read(&asked).unwrap().0;
        assert!(matches!(found, Uri::Http(url) if url.ends_with("Signature=s")));
        assert!(grants().read(&asked.replace("/a.csv", "/b.csv")).is_none());
    }
}
