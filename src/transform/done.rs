//! What an earlier run of the same transform has done.
//!
//! A run begins with a small object beside its outputs that says what they are made by: the model's
//! digest and every setting that decides an answer. An output that is younger than it, and younger
//! than its input, was made whole by that run or one that went on from it, since an output becomes
//! visible only when it is whole. Times are compared within one store. Where two are equal, as they
//! may be on a server that counts seconds, the object is done again.

use std::collections::HashMap;
use std::io::Write;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::model::Model;
use crate::spec::limit::SPEC_BYTES_MAX;
use crate::spec::transform::TransformJob;
use crate::spec::uri::Uri;
use crate::store::{self, Store};

use super::error::Error;
use super::names::Pair;

/// Where the run's own object lies; listings leave such names out.
fn place(job: &TransformJob) -> Uri {
    job.output.uri.join(&format!(".{}.transform", job.name))
}

/// Everything that decides the bytes of an output.
fn identity(job: &TransformJob, model: &Model) -> Value {
    let mut settings = job.effective();
    if let Some(settings) = settings.as_object_mut() {
        settings.remove("model");
        settings.remove("transform");
        if let Some(job) = settings.get_mut("job").and_then(Value::as_object_mut) {
            job.remove("role");
        }
    }
    json!({
        "model_sha256": model.digest,
        "settings": settings,
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// Says that a new run begins: no output that is there by now belongs to it.
pub(super) fn begin(store: &Store, job: &TransformJob, model: &Model) -> Result<(), Error> {
    let uri = place(job);
    let mut upload = store.create(&uri)?;
    let text = serde_json::to_vec_pretty(&identity(job, model)).expect("JSON has text keys");
    upload.write_all(&text).map_err(|source| Error::Write { uri, source })?;
    upload.finish()?;
    Ok(())
}

/// Takes the pairs whose outputs are done out of `pairs`, and counts them; `None` when no run has
/// begun here.
pub(super) fn take_out(
    store: &Store,
    job: &TransformJob,
    model: &Model,
    pairs: &mut Vec<Pair>,
) -> Result<Option<usize>, Error> {
    let uri = place(job);
    let begun = match store.head(&uri) {
        Err(store::Error::NotFound { .. }) => return Ok(None),
        found => found?.modified,
    };
    let bytes = store.read_to_vec(&uri, SPEC_BYTES_MAX)?;
    if serde_json::from_slice::<Value>(&bytes).ok() != Some(identity(job, model)) {
        return Err(Error::Resume {
            what: format!(
                "the outputs at {} were begun with another model, other settings or another smrt",
                job.output.uri
            ),
            help: "leave --resume out to make them all again".into(),
        });
    }
    let listed = match store.list(&job.output.uri) {
        Err(store::Error::NotFound { .. } | store::Error::Empty { .. }) => Vec::new(),
        listed => listed?,
    };
    let made: HashMap<Uri, Option<SystemTime>> =
        listed.into_iter().map(|object| (object.uri, object.modified)).collect();
    let before = pairs.len();
    pairs.retain(|pair| {
        let Some(Some(made)) = made.get(&pair.output) else { return true };
        let younger = |than: Option<SystemTime>| than.is_some_and(|than| *made > than);
        !(younger(begun) && younger(pair.input.modified))
    });
    Ok(Some(before - pairs.len()))
}
