//! Keeps a training's state where the job says, sealed like the artifact, and finds it again.
//!
//! One object, replaced as a whole: a reader sees the old state or the new one. It holds what the
//! job is made of, so that a checkpoint of another job, other data or other parameters is refused
//! by name instead of continued.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::algorithm::{self, Checkpoints, Files};
use crate::fault::Fault;
use crate::model;
use crate::spec::limit;
use crate::spec::uri::Uri;
use crate::store::Store;

use super::Sealing;
use super::error::Error;

/// Name of the object below the checkpoint prefix.
const OBJECT: &str = "latest.checkpoint";
/// What the state belongs to, inside the checkpoint.
const IDENTITY: &str = "job.json";
/// Losing this much work is cheaper than writing more often.
const INTERVAL: Duration = Duration::from_secs(10);

/// The checkpoint of one job.
pub(super) struct Keeper<'a> {
    store: &'a Store,
    sealing: &'a Sealing,
    uri: Uri,
    identity: Map<String, Value>,
    last: Instant,
    kept: bool,
    start_from: Option<Files>,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(
        store: &'a Store,
        sealing: &'a Sealing,
        prefix: &Uri,
        identity: Map<String, Value>,
    ) -> Keeper<'a> {
        Keeper {
            store,
            sealing,
            uri: prefix.join(OBJECT),
            identity,
            last: Instant::now(),
            kept: false,
            start_from: None,
        }
    }

    /// Where the state was kept, if any was.
    pub(super) fn kept(&self) -> Option<Uri> {
        self.kept.then(|| self.uri.clone())
    }

    /// Finds the state to go on from.
    ///
    /// # Errors
    /// When there is none, it cannot be opened, or it belongs to another job.
    pub(super) fn resume(&mut self) -> Result<(), Error> {
        let missing = |what: String| Error::Resume {
            what,
            help: "run without --resume to start from the beginning".into(),
        };
        if !self.store.exists(&self.uri)? {
            return Err(missing(format!("there is no checkpoint at {}", self.uri)));
        }
        let bytes = self.store.read_to_vec(&self.uri, limit::ARCHIVE_BYTES_MAX)?;
        let place = self.uri.to_string();
        let mut files = model::read_files(&bytes[..], &place, self.sealing.keys())?;
        let found: Map<String, Value> = files
            .remove(IDENTITY)
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| missing(format!("{place} is not a checkpoint")))?;
        if let Some(key) =
            self.identity.keys().find(|key| found.get(*key) != self.identity.get(*key))
        {
            return Err(missing(format!(
                "the checkpoint at {place} was made with another {key} than this job has"
            )));
        }
        self.start_from = Some(files);
        self.kept = true;
        Ok(())
    }

    /// Removes the state of a job that is done.
    pub(super) fn discard(&self) {
        if self.kept
            && let Err(error) = self.store.delete(&self.uri)
        {
            tracing::warn!(uri = %self.uri, %error, "the checkpoint could not be removed");
        }
    }

    fn write(&self, state: &Files) -> Result<(), Box<dyn Fault>> {
        let mut files = state.clone();
        let identity = serde_json::to_vec(&self.identity).expect("JSON values always serialise");
        files.insert(IDENTITY.into(), identity);
        let mut upload = self.store.create(&self.uri).map_err(boxed)?;
        let write_error = |source| boxed(Error::Write { uri: self.uri.clone(), source });
        let archive = model::write_files(&files, Vec::new()).map_err(boxed)?;
        match self.sealing.writer("checkpoint", &mut upload).map_err(boxed)? {
            Some(mut writer) => {
                writer.write_all(&archive).map_err(write_error)?;
                writer.finish().map_err(boxed)?;
            }
            None => upload.write_all(&archive).map_err(write_error)?,
        }
        upload.finish().map_err(boxed)?;
        Ok(())
    }
}

fn boxed<E: Fault>(error: E) -> Box<dyn Fault> {
    Box::new(error)
}

impl Checkpoints for Keeper<'_> {
    fn due(&self) -> bool {
        self.last.elapsed() >= INTERVAL
    }

    fn save(&mut self, state: &Files) -> Result<(), algorithm::Error> {
        self.write(state).map_err(|error| algorithm::Error::Checkpoint {
            what: format!("the checkpoint could not be kept: {error}"),
            help: error.help().unwrap_or_else(|| "set checkpoint.uri to another place".into()),
        })?;
        tracing::debug!(uri = %self.uri, "checkpoint kept");
        self.last = Instant::now();
        self.kept = true;
        Ok(())
    }

    fn take(&mut self) -> Option<Files> {
        self.start_from.take()
    }
}
