//! Keeps a training's states where the job says, sealed like the artifact, and finds the newest.
//!
//! Each is an object of its own, `<job>.<number>.checkpoint`, that becomes visible when its last byte
//! is there: what can be listed is complete. The new one is made before an old one is removed, so
//! that a process may be killed at any moment and leaves at least one. A state holds what the job is
//! made of, so that one of another job, other data or other parameters is refused by name instead
//! of continued.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::algorithm::{self, Checkpoints, Files};
use crate::fault::{Fault, Kind};
use crate::model;
use crate::spec::limit;
use crate::spec::train::TrainingJob;
use crate::spec::uri::Uri;
use crate::store::{self, Store};

use super::error::Error;
use crate::seal::Sealing;

/// What the state belongs to, inside the checkpoint.
const IDENTITY: &str = "job.json";
/// How the objects' names end.
pub(super) const SUFFIX: &str = ".checkpoint";

/// The checkpoints of one job.
pub(super) struct Keeper<'a> {
    store: &'a Store,
    sealing: &'a Sealing,
    folder: Uri,
    job: String,
    keep: usize,
    interval: Duration,
    identity: Vec<u8>,
    facts: Map<String, Value>,
    last: Instant,
    /// Numbers of the complete ones, ascending.
    kept: Vec<u64>,
    /// Whether this process has made or taken one.
    own: bool,
    start_from: Option<Files>,
}

impl<'a> Keeper<'a> {
    /// Looks at what an earlier run left. `facts` are what a state belongs to.
    ///
    /// # Errors
    /// When the place cannot be listed, unless only listing is forbidden.
    pub(super) fn new(
        store: &'a Store,
        sealing: &'a Sealing,
        spec: &TrainingJob,
        facts: Map<String, Value>,
    ) -> Result<Keeper<'a>, Error> {
        let mut keeper = Keeper {
            store,
            sealing,
            folder: spec.checkpoints(),
            job: spec.name.to_string(),
            keep: spec.checkpoint.keep,
            interval: spec.checkpoint.interval,
            identity: serde_json::to_vec(&facts).expect("JSON values always serialise"),
            facts,
            last: Instant::now(),
            kept: Vec::new(),
            own: false,
            start_from: None,
        };
        store.sweep(&keeper.folder, &format!("{}.", keeper.job));
        keeper.kept = match keeper.list() {
            // Who may write and not list can train, and is told when it comes to resuming.
            Err(error) if error.kind() == Kind::Denied => Vec::new(),
            other => other?,
        };
        Ok(keeper)
    }

    /// Where the newest state is, if this run has one.
    pub(super) fn kept(&self) -> Option<Uri> {
        self.kept.last().filter(|_| self.own).map(|number| self.object(*number))
    }

    /// Finds the newest state to go on from. One that is damaged is passed over for the one before.
    ///
    /// # Errors
    /// When there is none, it cannot be opened, or it belongs to another job.
    pub(super) fn resume(&mut self) -> Result<(), Error> {
        let missing = |what: String| Error::Resume {
            what,
            help: "run without --resume to start from the beginning".into(),
        };
        self.kept = self.list()?;
        let mut damaged = None;
        for at in (0..self.kept.len()).rev() {
            let uri = self.object(self.kept[at]);
            let mut files = match self.open(&uri) {
                Ok(files) => files,
                Err(error) if error.kind() == Kind::Corrupt => {
                    tracing::warn!(%uri, %error, "a damaged checkpoint is passed over");
                    damaged.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let found: Map<String, Value> = files
                .remove(IDENTITY)
                .and_then(|bytes| serde_json::from_slice(&bytes).ok())
                .ok_or_else(|| missing(format!("{uri} is not a checkpoint")))?;
            if let Some(key) = self.facts.keys().find(|key| found.get(*key) != self.facts.get(*key))
            {
                return Err(missing(format!(
                    "the checkpoint at {uri} was made with another {key} than this job has"
                )));
            }
            tracing::info!(%uri, "checkpoint found");
            self.start_from = Some(files);
            self.own = true;
            // A process that was killed may have left some that it was about to remove.
            self.remove_oldest((at + 1).saturating_sub(self.keep));
            return Ok(());
        }
        Err(match damaged {
            Some(error) => error,
            None => missing(format!("there is no checkpoint of {} at {}", self.job, self.folder)),
        })
    }

    /// Removes the states of a job that is done.
    pub(super) fn discard(&mut self) {
        self.remove_oldest(self.kept.len());
    }

    fn remove_oldest(&mut self, count: usize) {
        for number in self.kept.drain(..count) {
            let uri = self.folder.join(&name(&self.job, number));
            if let Err(error) = self.store.delete(&uri) {
                tracing::warn!(%uri, %error, "a checkpoint could not be removed");
            }
        }
    }

    fn object(&self, number: u64) -> Uri {
        self.folder.join(&name(&self.job, number))
    }

    /// The numbers of this job's checkpoints, ascending.
    fn list(&self) -> Result<Vec<u64>, store::Error> {
        let begin = format!("{}.", self.job);
        // In a bucket a prefix need not be a folder, so that no more is listed than is wanted.
        let place = match &self.folder {
            Uri::File(_) => self.folder.clone(),
            bucket => bucket.join(&begin),
        };
        let found = match self.store.list(&place) {
            Ok(found) => found,
            Err(store::Error::NotFound { .. } | store::Error::Empty { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        let number = |object: &store::Object| {
            let text = object.uri.to_string();
            let name = text.rsplit('/').next()?;
            let number = name.strip_prefix(&begin)?.strip_suffix(SUFFIX)?.parse().ok()?;
            (self.object(number) == object.uri).then_some(number)
        };
        let mut numbers: Vec<u64> = found.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn open(&self, uri: &Uri) -> Result<Files, Error> {
        let bytes = self.store.read_to_vec(uri, limit::ARCHIVE_BYTES_MAX)?;
        Ok(model::read_files(&bytes[..], &uri.to_string(), self.sealing.keys())?)
    }

    fn write(&self, uri: &Uri, state: &Files) -> Result<(), Box<dyn Fault>> {
        let mut upload = self.store.create(uri).map_err(boxed)?;
        let write_error = |source| boxed(Error::Write { uri: uri.clone(), source });
        let identity = (IDENTITY, self.identity.as_slice());
        let state = state.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        let entries = state.chain([identity]);
        match self.sealing.writer("checkpoint", &mut upload).map_err(boxed)? {
            Some(writer) => {
                model::write_files(entries, writer).map_err(boxed)?.finish().map_err(boxed)?;
            }
            None => {
                model::write_files(entries, &mut upload)
                    .map_err(boxed)?
                    .flush()
                    .map_err(write_error)?;
            }
        }
        upload.finish().map_err(boxed)?;
        Ok(())
    }
}

/// Numbers are padded so that they are listed in their order.
fn name(job: &str, number: u64) -> String {
    format!("{job}.{number:08}{SUFFIX}")
}

/// Where the first state of a job would lie.
pub(super) fn first(spec: &TrainingJob) -> Uri {
    spec.checkpoints().join(&name(spec.name.as_str(), 1))
}

fn boxed<E: Fault>(error: E) -> Box<dyn Fault> {
    Box::new(error)
}

impl Checkpoints for Keeper<'_> {
    fn due(&self) -> bool {
        self.last.elapsed() >= self.interval
    }

    fn save(&mut self, state: &Files) -> Result<(), algorithm::Error> {
        let number = self.kept.last().map_or(1, |last| last + 1);
        let uri = self.object(number);
        self.write(&uri, state).map_err(|error| algorithm::Error::Checkpoint {
            what: format!("the checkpoint could not be kept: {error}"),
            help: error.help().unwrap_or_else(|| "set checkpoint.uri to another place".into()),
        })?;
        tracing::debug!(%uri, "checkpoint kept");
        self.kept.push(number);
        self.own = true;
        self.last = Instant::now();
        self.remove_oldest(self.kept.len().saturating_sub(self.keep));
        Ok(())
    }

    fn take(&mut self) -> Option<Files> {
        self.start_from.take()
    }
}
