//! Which output belongs to which input: the same relative key, with `.out` behind it.

use std::collections::HashMap;
use std::path::Path;

use crate::spec::uri::Uri;
use crate::store::Object;

use super::error::Error;

/// An input, what messages call it, and its output.
pub(super) struct Pair {
    pub(super) input: Object,
    pub(super) name: String,
    pub(super) output: Uri,
}

/// Pairs every object below `input` with its output below `output`.
///
/// # Errors
/// [`Error::SameOutput`] when two of them would be one.
pub(super) fn pair(objects: Vec<Object>, input: &Uri, output: &Uri) -> Result<Vec<Pair>, Error> {
    let mut taken: HashMap<Uri, Uri> = HashMap::with_capacity(objects.len());
    let mut pairs = Vec::with_capacity(objects.len());
    for object in objects {
        let relative = relative(&object.uri, input);
        let place = output.join(&format!("{relative}.out"));
        if let Some(first) = taken.insert(place.clone(), object.uri.clone()) {
            return Err(Error::SameOutput {
                first: first.to_string(),
                second: object.uri.to_string(),
                output: place.to_string(),
            });
        }
        let name = match &object.uri {
            Uri::File(_) => relative,
            uri => uri.to_string(),
        };
        pairs.push(Pair { input: object, name, output: place });
    }
    Ok(pairs)
}

/// What an object is called below the place that was listed. Of a prefix that ends within a name,
/// the whole name counts.
fn relative(object: &Uri, input: &Uri) -> String {
    match (object, input) {
        (Uri::File(path), Uri::File(base)) => {
            let below = path.strip_prefix(base).ok().filter(|below| !below.as_os_str().is_empty());
            let name = below.or_else(|| path.file_name().map(Path::new)).unwrap_or(path);
            name.to_string_lossy().into_owned()
        }
        (
            Uri::S3 { key, .. } | Uri::Gs { key, .. } | Uri::Az { key, .. } | Uri::Memory(key),
            Uri::S3 { key: base, .. }
            | Uri::Gs { key: base, .. }
            | Uri::Az { key: base, .. }
            | Uri::Memory(base),
        ) => below(key, base).to_owned(),
        (other, _) => {
            let text = other.to_string();
            let name = text.rsplit('/').next().unwrap_or_default();
            name.split(['?', '#']).next().unwrap_or_default().to_owned()
        }
    }
}

fn below<'a>(key: &'a str, base: &str) -> &'a str {
    let rest = key.strip_prefix(base).unwrap_or(key);
    let folder = base.ends_with('/') || base.is_empty();
    match rest.strip_prefix('/') {
        Some(rest) if !folder => rest,
        _ if folder && !rest.is_empty() => rest,
        _ => {
            let cut = base.rfind('/').map_or(0, |slash| slash + 1);
            key.get(cut..).unwrap_or(key)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(uri: Uri) -> Object {
        Object { uri, bytes: 1, tag: None, modified: None }
    }

    fn outputs(keys: &[&str], base: &str) -> Result<Vec<String>, Error> {
        let s3 = |key: &str| Uri::S3 { bucket: "b".into(), key: key.into() };
        let objects = keys.iter().map(|key| object(s3(key))).collect();
        let pairs = pair(objects, &s3(base), &s3("o"))?;
        Ok(pairs.into_iter().map(|pair| pair.output.to_string()).collect())
    }

    #[test]
    fn an_output_has_its_inputs_relative_key() {
        for (key, base, expected) in [
            ("in/a.csv", "in/", "a.csv"),
            ("in/a.csv", "in", "a.csv"),
            ("in/x/a.csv", "in/", "x/a.csv"),
            ("in/a.csv", "in/a.csv", "a.csv"),
            ("in/part-1.csv", "in/part", "part-1.csv"),
            ("a.csv", "", "a.csv"),
            ("part-1", "part", "part-1"),
        ] {
            assert_eq!(outputs(&[key], base).unwrap(), [format!("s3://b/o/{expected}.out")]);
        }
        let file = |path: &str| Uri::File(path.into());
        for (path, base, expected) in
            [("in/x/a.csv", "in", "out/x/a.csv.out"), ("in/a.csv", "in/a.csv", "out/a.csv.out")]
        {
            let pairs = pair(vec![object(file(path))], &file(base), &file("out")).unwrap();
            assert_eq!(pairs[0].output, file(expected));
        }
    }

    #[test]
    fn two_inputs_never_share_an_output() {
        let same = outputs(&["in/in2", "in2"], "in");
        assert!(matches!(same, Err(Error::SameOutput { .. })));
    }
}
