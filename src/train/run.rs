//! The job itself, told in order.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::algorithm::{
    self, Channels, Context, Earlier, Fitted, Metric, Observer, Table, Trainer, device,
};
use crate::data;
use crate::fault::{Fault, Kind};
use crate::keyring::beside;
use crate::model::{self, JobRecord, Manifest, Origin};
use crate::seal::KeyService;
use crate::sign::PrivateKey;
use crate::spec::Mistakes;
use crate::spec::limit;
use crate::spec::train::TrainingJob;
use crate::spec::uri::Uri;
use crate::store::{Act, Object, Store};
use crate::telemetry::date::now_s;

use super::channels;
use super::checkpoint::Keeper;
use super::error::Error;
use super::printed::{Printed, Words};
use super::report::Report;
use super::stop::{Stop, Watch};
use crate::sandbox::Launch;
use crate::seal::Sealing;

/// A training job about to run. Components are handed in; what is left out has a default.
pub struct Job<'a> {
    pub(super) spec: TrainingJob,
    table: Table,
    pub(super) store: Store,
    pub(super) keys: Arc<dyn KeyService>,
    pub(super) stop: Stop,
    pub(super) observer: Box<dyn Observer + 'a>,
    pub(super) resume: bool,
    pub(super) launch: Launch,
    pub(super) signer: Option<PrivateKey>,
}

impl<'a> Job<'a> {
    /// A job from a checked spec and the key service that seals its artifact.
    pub fn new(spec: TrainingJob, keys: Arc<dyn KeyService>) -> Job<'a> {
        let store = Store::new(&spec.storage);
        Job {
            spec,
            table: Table::builtin(),
            store,
            keys,
            stop: Stop::new(),
            observer: Box::new(Silent),
            resume: false,
            signer: None,
            launch: Launch::default(),
        }
    }

    /// Uses these algorithms instead of the built-in ones.
    pub fn table(mut self, table: Table) -> Self {
        self.table = table;
        self
    }

    /// Uses this store instead of one made of the spec and the process's environment.
    pub fn store(mut self, store: Store) -> Self {
        self.store = store;
        self
    }

    /// Uses this token to stop early.
    pub fn stop(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    /// Tells `observer` how it goes.
    pub fn observer(mut self, observer: impl Observer + 'a) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// The key that vouches for the artifact, where the job names one.
    pub fn signer(mut self, key: Option<PrivateKey>) -> Self {
        self.signer = key;
        self
    }

    /// Goes on from the last checkpoint instead of from the start.
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Starts this program for a job that is isolated, instead of the one that runs. It has to call
    /// [`isolated`](crate::isolated) before anything else, and know the same algorithms.
    pub fn launch(mut self, launch: Launch) -> Self {
        self.launch = launch;
        self
    }

    /// Checks everything that can be checked without reading data: the algorithm, every
    /// hyperparameter and the device.
    ///
    /// # Errors
    /// [`Error::Spec`] with all mistakes.
    pub fn check(&self) -> Result<(), Error> {
        let (algorithm, trainer) = self.trainer()?;
        self.check_goes_on(algorithm, trainer.as_ref())?;
        self.weighted(&*trainer)?;
        device::open(self.spec.resources.device)?;
        Ok(())
    }

    /// Runs the job to its end.
    ///
    /// # Errors
    /// Any of [`Error`]; no artifact is then visible, and an earlier one is untouched.
    pub fn run(self) -> Result<Report, Error> {
        match self.spec.network.isolation.is_apart() {
            true => super::apart::run(self),
            false => self.work(None),
        }
    }

    /// Whether somebody holds the job to its role, where it names one.
    pub(super) fn check_held(&self) -> Result<(), Error> {
        match self.spec.role.is_some() && !self.store.is_guarded() {
            true => Err(Error::Role),
            false => Ok(()),
        }
    }

    /// Finds out before any work whether everything can be written that the job makes; whether there
    /// is an artifact already.
    pub(super) fn check_writable(&self) -> Result<bool, Error> {
        self.store.check_writable(&self.spec.output.uri)?;
        // The default place lies below the output.
        if let Some(place) = &self.spec.checkpoint.uri {
            self.store.check_writable(place)?;
        }
        let artifact = self.spec.artifact();
        self.store.check_allowed(&[Act::Write], &artifact)?;
        self.store.check_allowed(&[Act::Write], &self.spec.record())?;
        let state = super::checkpoint::first(&self.spec);
        self.store.check_allowed(&[Act::Write, Act::Delete], &state)?;
        // Whether there is one already is told and not needed: who may only write need not read.
        match self.store.exists(&artifact) {
            Err(error) if error.kind() == Kind::Denied => Ok(false),
            other => Ok(other?),
        }
    }

    /// The job in this process, sealed as is found out here or as `sealing` says.
    pub(super) fn work(mut self, sealing: Option<Sealing>) -> Result<Report, Error> {
        let started = Instant::now();
        self.check_held()?;
        let (algorithm, mut trainer) = self.trainer()?;
        self.check_goes_on(algorithm, trainer.as_ref())?;
        self.spec = self.weighted(&*trainer)?;
        let device = device::open(self.spec.resources.device)?;
        let threads = match self.spec.resources.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let artifact = self.spec.artifact();

        let is_apart = sealing.is_some();
        let sealing = match sealing {
            Some(sealing) => sealing,
            None => {
                self.check_signer()?;
                self.sealing()?.keys_at(self.spec.output.keys, model::FILE)?
            }
        };
        let replaced = self.check_writable()?;

        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("train-{number}"))
            .build()
            .map_err(|error| Error::Channels {
                what: format!("{threads} threads could not be started: {error}"),
                help: "lower resources.threads".into(),
            })?;
        let earlier = self.earlier(trainer.as_mut())?;
        let (spec, store, streams) = (&self.spec, &self.store, trainer.streams());
        let reads = self.table.get(algorithm).map(|found| found.reads()).unwrap_or_default();
        let (channels, read) =
            pool.install(|| channels::read(spec, store, threads, reads, streams))?;
        let read_s = started.elapsed().as_secs_f64();

        let mut inputs = inputs(&channels);
        inputs.extend(earlier.map(|source| ("model".to_owned(), source)));
        let (columns, categories) =
            (channels.train.columns.clone(), channels.train.categories.clone());
        let features = channels.train.width();
        let channels = match reads.categories {
            true => channels,
            false => {
                let memory_bytes_max = self.spec.resources.memory_bytes_max;
                pool.install(|| channels::expand(channels, memory_bytes_max))?
            }
        };
        let effective = trainer.effective();
        let epoch_word = trainer.epoch_word().to_owned();
        let device_name = device::name(&device).to_owned();
        let mut identity =
            identity(algorithm, &effective, &self.spec, &inputs, threads, &device_name);
        identity.insert("memory_bytes_max".into(), windows(&channels));
        let mut keeper = Keeper::new(&self.store, &sealing, &self.spec, identity)?;
        if self.resume {
            keeper.resume()?;
        }

        let fitting = Instant::now();
        let watch =
            Watch::new(self.stop.clone(), fitting.checked_add(self.spec.stopping.max_runtime));
        let fitted = {
            let stop = || watch.reason().is_some();
            let words = Words::of(algorithm, &effective);
            let mut printed = Printed::new(algorithm, &words, self.observer.as_mut());
            let mut context = Context {
                device: device.clone(),
                threads,
                seed: self.spec.seed,
                stop: &stop,
                observer: &mut printed,
                checkpoints: &mut keeper,
            };
            let (channels, context) = (&channels, &mut context);
            let fitted = pool.install(move || trainer.fit(channels, context));
            fitted.inspect(|fitted| printed.finished(&fitted.metrics))
        };
        let fitted = match fitted {
            Err(algorithm::Error::Stopped) => {
                let reason = watch.reason().unwrap_or(super::Reason::Requested);
                return Err(Error::Stopped { reason, checkpoint: keeper.kept() });
            }
            other => other?,
        };
        let fit_s = fitting.elapsed().as_secs_f64();
        let width = channels.train.width();
        drop(channels);

        let writing = Instant::now();
        // What a process left that was killed while it wrote this very artifact.
        self.store.sweep_each(std::iter::once(&artifact));
        let Fitted { files, mut signature, metrics, epochs } = fitted;
        if !categories.is_empty() {
            // Outside, a model takes the rows as they were given, and a series so many of them at once.
            let rows = (signature.features / width.max(1)).max(1);
            signature.features = features * rows;
            signature.columns = data::schema::shingled(&columns, rows);
            let of_row = |row: usize| {
                categories.iter().map(move |(at, words)| (row * features + at, words.clone()))
            };
            signature.categories = (0..rows).flat_map(of_row).collect();
        }
        signature.absent = reads.absent;
        let manifest = Manifest {
            smrt_format: model::FORMAT,
            job: self.spec.name.to_string(),
            algorithm: algorithm.to_owned(),
            hyperparameters: effective,
            signature,
            metrics,
            epochs,
        };
        let origin = Origin { inputs, seed: self.spec.seed, threads, device: device_name.clone() };
        let (artifact_bytes, artifact_sha256) =
            self.write(&manifest, &origin, files, &sealing, &artifact)?;
        // The default place is ours to tidy; one that the job names is the user's.
        if self.spec.checkpoint.uri.is_none() {
            keeper.discard();
        }
        let Manifest { job, algorithm, signature, metrics, epochs, .. } = manifest;
        let report = Report {
            job,
            algorithm,
            channels: read,
            signature,
            epochs,
            epoch_word,
            metrics,
            artifact,
            artifact_bytes,
            artifact_sha256,
            key: sealing.key().map(str::to_owned),
            signer: self.signer.as_ref().map(|key| key.public().fingerprint()),
            record: self.spec.record(),
            device: device_name,
            threads,
            resumed: self.resume,
            replaced,
            read_s,
            fit_s,
            write_s: writing.elapsed().as_secs_f64(),
        };
        // Of a job in a process of its own the other one knows what was stored.
        if !is_apart {
            self.record(&report)?;
        }
        Ok(report)
    }

    /// The algorithm's name in the table, and its trainer with checked parameters.
    fn trainer(&self) -> Result<(&'static str, Box<dyn Trainer>), Error> {
        let spec = &self.spec;
        super::read::trainer(&self.table, &spec.algorithm, None, &spec.hyperparameters)
            .map_err(|problems| Error::Spec(Mistakes::new(spec.name.as_str(), problems)))
    }

    /// Before anything is read: the algorithm can do something with the channel `model`.
    fn check_goes_on(&self, algorithm: &str, trainer: &dyn Trainer) -> Result<(), Error> {
        if self.spec.model.is_none() || trainer.goes_on() {
            return Ok(());
        }
        Err(Error::Channels {
            what: format!("{algorithm} cannot go on from an earlier model"),
            help: "leave channels.model out".into(),
        })
    }

    /// Hands the model of the channel `model` to the trainer; what was read, for provenance.
    fn earlier(&self, trainer: &mut dyn Trainer) -> Result<Option<data::Source>, Error> {
        let Some(uri) = &self.spec.model else { return Ok(None) };
        let objects = self.store.list(uri)?;
        let named =
            |object: &&Object| object.uri.to_string().ends_with(&format!("/{}", model::FILE));
        let found = match objects.as_slice() {
            [only] => Some(only),
            several => several.iter().find(named),
        };
        let object = found.ok_or_else(|| Error::Channels {
            what: format!("{uri} holds {} objects, none called model.tar.gz", objects.len()),
            help: "let channels.model.uri name one artifact".into(),
        })?;
        let bytes = self.store.read_to_vec(&object.uri, limit::ARCHIVE_BYTES_MAX)?;
        let sidecar = beside::sidecar(&object.uri).to_string();
        let opener = model::Opener::new(self.keys.clone())
            .table(self.table.clone())
            .beside(sidecar, beside::fetch(&self.store, &object.uri));
        let (contents, sha256) = opener.contents(&bytes, &object.uri.to_string())?;
        trainer.go_on_from(&Earlier {
            algorithm: contents.manifest.algorithm,
            signature: contents.manifest.signature,
            files: contents.files,
        })?;
        let (bytes, sha256) =
            self.store.as_stored(&object.uri).unwrap_or((bytes.len() as u64, sha256));
        let uri = channels::shown(&object.uri, uri);
        Ok(Some(data::Source { uri, bytes, sha256 }))
    }

    /// The job with the weights that the hyperparameters ask for.
    fn weighted(&self, trainer: &dyn Trainer) -> Result<TrainingJob, Error> {
        channels::csv_weights(&self.spec, &trainer.effective())
            .map_err(|problems| Error::Spec(Mistakes::new(self.spec.name.as_str(), problems)))
    }

    /// A job that names a signer has its key, or does not run.
    fn check_signer(&self) -> Result<(), Error> {
        match (&self.spec.output.sign, &self.signer) {
            (Some(name), None) => Err(Error::Channels {
                what: format!("output.sign: the signing key {:?} was not handed in", name.as_str()),
                help: "give it to Job::signer, or leave output.sign out".into(),
            }),
            _ => Ok(()),
        }
    }

    /// The key of the job's artifact, found usable.
    pub(super) fn sealing(&self) -> Result<Sealing, Error> {
        let output = &self.spec.output;
        Ok(Sealing::new(self.keys.clone(), &output.key, &self.spec.name, model::FILE)?)
    }

    /// Writes down which artifact it was that the job made.
    pub(super) fn record(&self, report: &Report) -> Result<(), Error> {
        let record = JobRecord {
            job: report.job.clone(),
            algorithm: report.algorithm.clone(),
            artifact: report.artifact.to_string(),
            sha256: report.artifact_sha256.clone(),
            bytes: report.artifact_bytes,
            key: report.key.clone(),
            finished_s: now_s(),
        };
        let uri = &report.record;
        let mut upload = self.store.create(uri)?;
        upload
            .write_all(&record.bytes(self.signer.as_ref()))
            .map_err(|source| Error::Write { uri: uri.clone(), source })?;
        upload.finish()?;
        Ok(())
    }

    /// Packs, seals and uploads; returns size and SHA-256 of what was stored.
    fn write(
        &self,
        manifest: &Manifest,
        origin: &Origin,
        files: algorithm::Files,
        sealing: &Sealing,
        artifact: &Uri,
    ) -> Result<(u64, String), Error> {
        let upload = self.store.create(artifact)?;
        let mut counted = model::Digesting::new(upload);
        let (mut sidecar, signer) = (None, self.signer.as_ref());
        match sealing.artifact(model::FILE, &mut counted)? {
            Some((writer, keys)) => {
                model::pack_signed(manifest, origin, files, signer, writer)?.finish()?;
                sidecar = keys;
            }
            None => {
                model::pack_signed(manifest, origin, files, signer, &mut counted)?;
            }
        }
        let (upload, bytes, sha256) = counted.finish();
        if let Some(sidecar) = &sidecar {
            beside::place(&self.store, artifact, sidecar)?;
        }
        upload.finish()?;
        if let Some(sidecar) = &sidecar {
            beside::settle(&self.store, artifact, sidecar)?;
        }
        Ok((bytes, sha256))
    }
}

fn inputs(channels: &Channels) -> Vec<(String, data::Source)> {
    let named = [
        ("train", Some(&channels.train)),
        ("validation", channels.validation.as_ref()),
        ("test", channels.test.as_ref()),
    ];
    named
        .into_iter()
        .filter_map(|(name, dataset)| dataset.map(|dataset| (name, dataset)))
        .flat_map(|(name, dataset)| {
            dataset.sources.iter().map(move |source| (name.to_owned(), source.clone()))
        })
        .collect()
}

/// The windows of channels on disk: with others the rows come in another order.
fn windows(channels: &Channels) -> Value {
    [Some(&channels.train), channels.validation.as_ref(), channels.test.as_ref()]
        .into_iter()
        .map(|data| data.and_then(|data| data.pages.as_ref()).map(|pages| pages.window_rows()))
        .collect()
}

/// Everything that decides the model's bytes: a checkpoint is only good for the same.
fn identity(
    algorithm: &str,
    effective: &Map<String, Value>,
    spec: &TrainingJob,
    inputs: &[(String, data::Source)],
    threads: usize,
    device: &str,
) -> Map<String, Value> {
    let data: Vec<Value> =
        inputs.iter().map(|(channel, source)| json!([channel, source.sha256])).collect();
    let formats: Vec<String> =
        spec.channels.iter().map(|(name, c)| format!("{name} {:?}", c.format)).collect();
    let Value::Object(map) = json!({
        "algorithm": algorithm,
        "hyperparameters": effective,
        "seed": spec.seed,
        "threads": threads,
        "device": device,
        "data": data,
        "formats": formats,
        "version": env!("CARGO_PKG_VERSION"),
    }) else {
        unreachable!("an object literal is an object")
    };
    map
}

/// Hears nothing.
struct Silent;

impl Observer for Silent {
    fn step(&mut self, _: algorithm::Progress) {}
    fn epoch(&mut self, _: usize, _: &[Metric]) {}
}
