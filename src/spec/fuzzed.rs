//! Strangers' bytes against this room's parsers; see [`crate::fuzzed`].

use std::path::Path;

use super::Mistakes;
use super::endpoint::EndpointFile;
use super::json_path::JsonPath;
use super::manifest::Manifest;
use super::name::{ChannelName, JobName};
use super::train::TrainingJob;
use super::transform::{self, TransformJob};
use super::unit;
use super::uri::Uri;

/// What is wrong has words, and a line that the file has.
fn mistakes(bytes: &[u8], mistakes: &Mistakes) {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    for problem in &mistakes.problems.list {
        assert!(!problem.what.is_empty(), "a mistake without words");
        assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{problem:?}");
    }
    assert!(!mistakes.to_string().is_empty());
}

/// `job.toml` of a training.
pub(crate) fn job(bytes: &[u8]) {
    let reading = TrainingJob::read(bytes, "job.toml", Path::new("/base"), &[]);
    mistakes(bytes, &reading.mistakes);
    assert_eq!(reading.job.is_some(), reading.mistakes.is_empty());
    if let Some(job) = reading.job {
        assert!(job.output.uri.to_string().contains(['/', ':']));
        let _ = job.checkpoints();
    }
}

/// `job.toml` of a transform.
pub(crate) fn transform(bytes: &[u8]) {
    let reading = TransformJob::read(bytes, "job.toml", Path::new("/base"), &[]);
    mistakes(bytes, &reading.mistakes);
    assert_eq!(reading.job.is_some(), reading.mistakes.is_empty());
    let _ = transform::is_meant(bytes);
    if let Some(job) = reading.job {
        assert!(job.effective().is_object());
    }
}

/// `endpoint.toml`.
pub(crate) fn endpoint(bytes: &[u8]) {
    let _ = EndpointFile::is_meant(bytes);
    if let Err(found) = EndpointFile::read(bytes, "endpoint.toml", Path::new("/base"), &[]) {
        assert!(!found.is_empty(), "refused without a reason");
        mistakes(bytes, &found);
    }
}

/// A channel's manifest: every object is there once, below the prefix, and none climbs out of it.
pub(crate) fn manifest(bytes: &[u8]) {
    for base in [None, Some(Path::new("/base"))] {
        match Manifest::parse(bytes, base) {
            Err(problems) => assert!(!problems.is_empty(), "refused without a reason"),
            Ok(manifest) => {
                assert!(!manifest.objects.is_empty(), "no object");
                let mut shown: Vec<String> = manifest.objects.iter().map(Uri::to_string).collect();
                assert!(shown.iter().all(|uri| !uri.split('/').any(|part| part == "..")));
                shown.sort();
                shown.dedup();
                assert_eq!(shown.len(), manifest.objects.len(), "an object twice");
            }
        }
    }
}

/// An address: as it is shown, it is read as the same.
pub(crate) fn uri(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let base = Path::new("/base");
    if let Ok(uri) = Uri::parse(text, base) {
        let shown = uri.to_string();
        // Of the web only so much is shown as is no secret.
        if !matches!(uri, Uri::Http(_)) {
            assert_eq!(Uri::parse(&shown, base).as_ref(), Ok(&uri), "{text:?}, shown {shown:?}");
        }
        let below = uri.join("a/b").to_string();
        assert!(Uri::parse(&below, base).is_ok(), "{below:?}");
    }
    let _ = (JobName::parse(text), ChannelName::parse(text));
    let _ = unit::bytes(text);
}

/// A filter of a transform: as it is shown, it is read as the same.
pub(crate) fn json_path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(path) = JsonPath::parse(text) {
        assert!(path.steps.len() <= text.len());
    }
}
