//! The job itself, told in order.

use std::io::BufReader;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::algorithm::Table;
use crate::data::manifest;
use crate::fault::{Fault, Finding, message};
use crate::keyring::beside;
use crate::model::{Model, Opener};
use crate::seal::{KeyService, Sealing};
use crate::spec::Mistakes;
use crate::spec::limit::{
    TRANSFORM_FAILURES_MAX, TRANSFORM_OBJECTS_AT_ONCE, TRANSFORM_PAYLOAD_MB_MAX,
};
use crate::spec::problem::Problems;
use crate::spec::train::DataType;
use crate::spec::transform::TransformJob;
use crate::spec::uri::Uri;
use crate::store::{Object, Store};

use super::answer::Answerer;
use super::done;
use super::error::Error;
use super::names::{Pair, pair};
use super::object::{Counts, Lane};
use super::read::accept;
use super::report::Report;

/// A transform about to run. Components are handed in; what is left out has a default.
pub struct Job {
    spec: TransformJob,
    table: Table,
    store: Store,
    keys: Arc<dyn KeyService>,
    stop: Box<dyn Fn() -> bool + Send + Sync>,
    resume: bool,
}

impl Job {
    /// A job from a checked spec, and the key service that opens the model and seals the outputs.
    pub fn new(spec: TransformJob, keys: Arc<dyn KeyService>) -> Job {
        let store = Store::new(&spec.storage);
        let table = Table::builtin();
        Job { spec, table, store, keys, stop: Box::new(|| false), resume: false }
    }

    /// Knows these algorithms instead of the built-in ones.
    #[must_use]
    pub fn table(mut self, table: Table) -> Job {
        self.table = table;
        self
    }

    /// Uses this store instead of one made of the spec and the process's environment.
    #[must_use]
    pub fn store(mut self, store: Store) -> Job {
        self.store = store;
        self
    }

    /// Ends when `stop` says so, asked often.
    #[must_use]
    pub fn stop(mut self, stop: impl Fn() -> bool + Send + Sync + 'static) -> Job {
        self.stop = Box::new(stop);
        self
    }

    /// Keeps the outputs that an earlier run of the same job has made, and makes the others.
    #[must_use]
    pub fn resume(mut self, resume: bool) -> Job {
        self.resume = resume;
        self
    }

    /// Runs the job to its end.
    ///
    /// # Errors
    /// Any of [`Error`]. Outputs that are visible are whole, whatever happened.
    pub fn run(self) -> Result<Report, Error> {
        let started = Instant::now();
        let spec = &self.spec;
        if spec.role.is_some() && !self.store.is_guarded() {
            return Err(Error::Role);
        }
        let accept = accept(spec).map_err(|(what, help)| {
            let mut problems = Problems::default();
            problems.add("output.accept", None, what, help);
            Mistakes::new(spec.name.as_str(), problems)
        })?;
        let model = self.model()?;
        let answerer = Answerer::new(spec, &model, accept)?;
        let (listed, below) = self.listed()?;
        let mut pairs = pair(listed, &below, &spec.output.uri)?;
        let objects = pairs.len();
        let first = pairs.first().map(|pair| pair.output.to_string()).unwrap_or_default();
        let first = first.rsplit('/').next().unwrap_or_default();
        let sealing = Sealing::new(self.keys.clone(), &spec.output.key, &spec.name, first)?;
        self.store.check_writable(&spec.output.uri)?;
        self.sweep(&pairs);
        let kept = match self.resume {
            true => done::take_out(&self.store, spec, &model, &mut pairs)?,
            false => None,
        };
        if kept.is_none() {
            done::begin(&self.store, spec, &model)?;
        }
        let kept = kept.unwrap_or(0);

        let concurrent = concurrent(spec);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(concurrent)
            .thread_name(|number| format!("transform-{number}"))
            .build()
            .map_err(|_| Error::Threads(concurrent))?;
        let lane = Lane {
            job: spec,
            store: &self.store,
            sealing: &sealing,
            answerer: &answerer,
            pool: &pool,
            stop: &*self.stop,
        };
        let Outcome { counts, done, failed, fatal, stopped, .. } = lanes(&lane, &pairs);
        if let Some(error) = fatal {
            return Err(error);
        }
        let done = done + kept;
        if stopped {
            return Err(Error::Stopped { done, objects });
        }
        if !failed.is_empty() {
            return Err(failures(failed, objects, done));
        }
        Ok(Report {
            job: spec.name.to_string(),
            model: model.manifest.job.clone(),
            model_sha256: model.digest.clone(),
            objects,
            kept,
            records: counts.records,
            bytes_in: counts.bytes_in,
            bytes_out: counts.bytes_out,
            output: spec.output.uri.clone(),
            key: sealing.key().map(str::to_owned),
            concurrent,
            elapsed_s: started.elapsed().as_secs_f64(),
        })
    }

    /// The objects to answer, and the place their outputs' names are relative to.
    fn listed(&self) -> Result<(Vec<Object>, Uri), Error> {
        let input = &self.spec.input;
        Ok(match input.data_type {
            DataType::S3Prefix => (self.store.list(&input.uri)?, input.uri.clone()),
            DataType::ManifestFile => {
                let named = manifest::named(&self.store, &input.uri)?;
                (named.objects, named.prefix)
            }
        })
    }

    fn model(&self) -> Result<Model, Error> {
        let place = &self.spec.model;
        let artifact = BufReader::new(self.store.open(&self.store.head(place)?)?);
        let opener = Opener::new(self.keys.clone())
            .table(self.table.clone())
            .beside(beside::sidecar(place).to_string(), beside::fetch(&self.store, place));
        Ok(opener.open(artifact, &place.to_string())?)
    }

    /// Drafts of outputs that a process was killed over.
    fn sweep(&self, pairs: &[Pair]) {
        self.store.sweep_each(pairs.iter().map(|pair| &pair.output));
    }
}

/// Threads that answer. What SageMaker bounds is the payload of all of them together.
fn concurrent(spec: &TransformJob) -> usize {
    if spec.concurrent > 0 {
        return spec.concurrent;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mb = spec.payload_bytes_max.unwrap_or(0) >> 20;
    cores.min((TRANSFORM_PAYLOAD_MB_MAX as usize / mb.max(1)).max(1))
}

/// At most one line in this time says how it goes.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// What all objects came to.
#[derive(Default)]
struct Outcome {
    counts: Counts,
    done: usize,
    /// With the object's position, so that they are told in order.
    failed: Vec<(usize, Error)>,
    fatal: Option<Error>,
    /// When a line was last written about it.
    told: Option<Instant>,
    stopped: bool,
}

/// Some objects side by side, each in its turn.
fn lanes(lane: &Lane<'_>, pairs: &[Pair]) -> Outcome {
    let next = AtomicUsize::new(0);
    let halted = AtomicBool::new(false);
    let outcome = Mutex::new(Outcome::default());
    let stop = || halted.load(Ordering::Relaxed) || (lane.stop)();
    let lane = Lane { stop: &stop, ..*lane };
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(pair) = pairs.get(at) else { return };
            let result = if (lane.stop)() { Ok(None) } else { lane.transform(pair) };
            let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(Some(counts)) => {
                    outcome.done += 1;
                    outcome.counts.records += counts.records;
                    outcome.counts.bytes_in += counts.bytes_in;
                    outcome.counts.bytes_out += counts.bytes_out;
                    let due = outcome.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY);
                    if !due {
                        continue;
                    }
                    outcome.told = Some(Instant::now());
                    tracing::info!(
                        object = pair.name,
                        records = counts.records,
                        done = outcome.done,
                        objects = pairs.len(),
                        "object transformed"
                    );
                }
                Ok(None) => {
                    outcome.stopped = true;
                    return;
                }
                Err(error) if error.is_of_the_object() => outcome.failed.push((at, error)),
                Err(error) => {
                    halted.store(true, Ordering::Relaxed);
                    outcome.fatal.get_or_insert(error);
                    return;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..TRANSFORM_OBJECTS_AT_ONCE.min(pairs.len()) {
            scope.spawn(work);
        }
        work();
    });
    outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn failures(mut failed: Vec<(usize, Error)>, objects: usize, done: usize) -> Error {
    failed.sort_by_key(|(at, _)| *at);
    let count = failed.len();
    let findings = failed
        .iter()
        .take(TRANSFORM_FAILURES_MAX)
        .map(|(_, error)| Finding { what: message(error), help: error.help() })
        .collect();
    Error::Objects { findings, count, objects, done }
}
