//! The job itself, told in order.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::algorithm::{self, Channels, Context, Fitted, Metric, Observer, Table, Trainer, device};
use crate::data;
use crate::model::{self, Manifest, Origin};
use crate::seal::KeyService;
use crate::spec::Mistakes;
use crate::spec::train::TrainingJob;
use crate::spec::uri::Uri;
use crate::store::Store;

use super::Sealing;
use super::channels;
use super::checkpoint::Keeper;
use super::error::Error;
use super::report::Report;
use super::stop::{Stop, Watch};

/// A training job about to run. Components are handed in; what is left out has a default.
pub struct Job<'a> {
    spec: TrainingJob,
    table: Table,
    store: Store,
    keys: Arc<dyn KeyService>,
    stop: Stop,
    observer: Box<dyn Observer + 'a>,
    resume: bool,
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
        }
    }

    /// Uses these algorithms instead of the built-in ones.
    pub fn table(mut self, table: Table) -> Self {
        self.table = table;
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

    /// Goes on from the last checkpoint instead of from the start.
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Checks everything that can be checked without reading data: the algorithm, every
    /// hyperparameter and the device.
    ///
    /// # Errors
    /// [`Error::Spec`] with all mistakes.
    pub fn check(&self) -> Result<(), Error> {
        let (_, trainer) = self.trainer()?;
        self.weighted(&*trainer)?;
        device::open(self.spec.resources.device)?;
        Ok(())
    }

    /// Runs the job to its end.
    ///
    /// # Errors
    /// Any of [`Error`]; no artifact is then visible, and an earlier one is untouched.
    pub fn run(mut self) -> Result<Report, Error> {
        let started = Instant::now();
        let (algorithm, trainer) = self.trainer()?;
        self.spec = self.weighted(&*trainer)?;
        let device = device::open(self.spec.resources.device)?;
        let threads = match self.spec.resources.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let artifact = self.spec.artifact();

        let sealing = Sealing::new(self.keys.clone(), &self.spec.output.key, &self.spec.name)?;
        self.store.check_writable(&self.spec.output.uri)?;
        let replaced = self.store.exists(&artifact)?;

        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("train-{number}"))
            .build()
            .map_err(|error| Error::Channels {
                what: format!("{threads} threads could not be started: {error}"),
                help: "lower resources.threads".into(),
            })?;
        let (spec, store) = (&self.spec, &self.store);
        let reads = self.table.get(algorithm).map(|found| found.reads()).unwrap_or_default();
        let (channels, read) = pool.install(|| channels::read(spec, store, threads, reads))?;
        let read_s = started.elapsed().as_secs_f64();

        let inputs = inputs(&channels);
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
        let device_name = device::name(&device).to_owned();
        let identity = identity(algorithm, &effective, &self.spec, &inputs, threads, &device_name);
        let mut keeper = Keeper::new(&self.store, &sealing, &self.spec.checkpoints(), identity);
        if self.resume {
            keeper.resume()?;
        }

        let fitting = Instant::now();
        let watch =
            Watch::new(self.stop.clone(), fitting.checked_add(self.spec.stopping.max_runtime));
        let fitted = {
            let stop = || watch.reason().is_some();
            let mut context = Context {
                device: device.clone(),
                threads,
                seed: self.spec.seed,
                stop: &stop,
                observer: self.observer.as_mut(),
                checkpoints: &mut keeper,
            };
            let (channels, context) = (&channels, &mut context);
            pool.install(move || trainer.fit(channels, context))
        };
        let fitted = match fitted {
            Err(algorithm::Error::Stopped) => {
                let reason = watch.reason().unwrap_or(super::Reason::Requested);
                return Err(Error::Stopped { reason, checkpoint: keeper.kept() });
            }
            other => other?,
        };
        let fit_s = fitting.elapsed().as_secs_f64();
        drop(channels);

        let writing = Instant::now();
        let Fitted { files, mut signature, metrics, epochs } = fitted;
        if !categories.is_empty() {
            // Outside, a model takes the rows as they were given.
            signature.features = features;
            signature.columns = columns.to_vec();
            signature.categories = categories;
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
        Ok(Report {
            job,
            algorithm,
            channels: read,
            signature,
            epochs,
            metrics,
            artifact,
            artifact_bytes,
            artifact_sha256,
            key: sealing.key().map(str::to_owned),
            device: device_name,
            threads,
            resumed: self.resume,
            replaced,
            read_s,
            fit_s,
            write_s: writing.elapsed().as_secs_f64(),
        })
    }

    /// The algorithm's name in the table, and its trainer with checked parameters.
    fn trainer(&self) -> Result<(&'static str, Box<dyn Trainer>), Error> {
        let spec = &self.spec;
        super::read::trainer(&self.table, &spec.algorithm, None, &spec.hyperparameters)
            .map_err(|problems| Error::Spec(Mistakes::new(spec.name.as_str(), problems)))
    }

    /// The job with the weights that the hyperparameters ask for.
    fn weighted(&self, trainer: &dyn Trainer) -> Result<TrainingJob, Error> {
        channels::csv_weights(&self.spec, &trainer.effective())
            .map_err(|problems| Error::Spec(Mistakes::new(self.spec.name.as_str(), problems)))
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
        match sealing.writer("model.tar.gz", &mut counted)? {
            Some(writer) => {
                model::pack(manifest, origin, files, writer)?.finish()?;
            }
            None => {
                model::pack(manifest, origin, files, &mut counted)?;
            }
        }
        let (upload, bytes, sha256) = counted.finish();
        upload.finish()?;
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
