//! A job in a process of its own, which has neither network nor files nor keys; and that process.
//!
//! This side checks what can be checked, makes the key ready and tries the output. Then the other
//! side runs the very same job, [`Job::work`], over a store that asks here for every byte: so the
//! artifact is the one that a job in one process would have made.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::algorithm::{self, Metric, Observer, Progress, Table, device};
use crate::courier::{Grants, Line, NoKeys, Place, Porter, Said, Told, Wire};
use crate::fault::Fault;
use crate::model;
use crate::sandbox::{self, Apart, Held, Limits, Rules};
use crate::seal::Sealing;
use crate::spec::limit;
use crate::spec::manifest::Manifest;
use crate::spec::train::{DataType, KeyPlace, TrainingJob};
use crate::spec::uri::Uri;
use crate::store::Store;
use crate::telemetry::log;

use super::error::Error;
use super::report::Report;
use super::run::Job;
use super::stop::{Reason, Stop};

/// What the process is started for.
const TASK: &str = "train";
/// How often it is looked whether somebody wants the training to stop.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What there is to do.
#[derive(Debug, Serialize, Deserialize)]
struct Task {
    /// The job without credentials, as a job file.
    job: String,
    scratch: PathBuf,
    limits: Limits,
    log: Option<log::Chosen>,
    /// The key's name, for the report.
    key: Option<String>,
    resume: bool,
}

/// What the process tells.
#[derive(Debug, Serialize, Deserialize)]
enum Tells {
    Entered(Held),
    Step(Progress),
    Epoch(usize, Vec<Figure>),
    Done { report: Value, metrics: Vec<Figure> },
    Stopped { reason: Reason, checkpoint: Option<String> },
    Failed(Told),
}

/// A metric whose every bit crosses: JSON knows no NaN.
#[derive(Debug, Serialize, Deserialize)]
struct Figure(String, u64);

impl Figure {
    fn all(metrics: &[Metric]) -> Vec<Figure> {
        metrics.iter().map(|m| Figure(m.name.clone(), m.value.to_bits())).collect()
    }

    fn back(figures: Vec<Figure>) -> Vec<Metric> {
        let metric = |Figure(name, bits)| Metric { name, value: f64::from_bits(bits) };
        figures.into_iter().map(metric).collect()
    }
}

/// Runs `job` in a process of its own.
///
/// # Errors
/// Those of a job, and [`Error::Apart`] when it cannot be isolated.
pub(super) fn run(mut job: Job<'_>) -> Result<Report, Error> {
    job.check_held()?;
    job.check()?;
    let device = device::open(job.spec.resources.device)?;
    if !device::is_cpu(&device) {
        return Err(Error::Channels {
            what: format!(
                "network.isolation = \"{}\" cannot be had on the device {}: its driver needs files and calls \
                 that an isolated process must not have",
                job.spec.network.isolation,
                device::name(&device)
            ),
            help: "set resources.device = \"cpu\", or network.isolation = \"open\"".into(),
        });
    }
    if job.spec.output.sign.is_some() || job.spec.output.keys == KeyPlace::Detached {
        return Err(Error::Channels {
            what: format!(
                "network.isolation = \"{}\" cannot be had with output.sign or output.keys = \"detached\" yet",
                job.spec.network.isolation
            ),
            help: "leave one of them out; smrt reseal --detached moves a key out afterwards".into(),
        });
    }
    let sealing = job.sealing()?;
    let artifact = job.spec.artifact();
    let replaced = job.check_writable()?;
    // Drafts lie beside the objects, where the other side cannot look.
    job.store.sweep(&job.spec.checkpoints(), &format!("{}.", job.spec.name));

    let folder = job.spec.resources.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let scratch =
        tempfile::Builder::new().prefix("smrt-").tempdir_in(&folder).map_err(|source| {
            let place = folder.display();
            Error::Channels {
                what: format!("no folder can be made in {place}: {source}"),
                help: "let resources.scratch name a folder that can be written".into(),
            }
        })?;
    let (task, grants) = (task(&mut job, &sealing, scratch.path())?, grants(&job.spec, &job.store));
    let (mut apart, socket) = job.launch.start(TASK, &task.limits, Stdio::null())?;
    let wire = Wire::new(socket).map_err(sandbox::Error::Start)?;
    let begun = wire.tell_down(serde_json::to_value(&task).expect("a task is JSON"));
    let porter = Porter::new(&job.store, &*job.keys, Some(&sealing), grants);
    let outcome = begun.and_then(|()| {
        watched(&job.stop, &wire, || converse(porter, &wire, job.observer.as_mut(), &artifact))
    });
    match outcome {
        Ok(Outcome::Done(report)) => {
            apart.end();
            let key = sealing.key().map(str::to_owned);
            let record = job.spec.record();
            let report = Report { artifact, replaced, key, record, ..*report };
            job.record(&report)?;
            Ok(report)
        }
        Ok(Outcome::Failed(error)) => Err(error),
        Err(error) => Err(ended(&mut apart, &error)),
    }
}

/// What is to be done, in words that hold no secret.
fn task(job: &mut Job<'_>, sealing: &Sealing, scratch: &std::path::Path) -> Result<Task, Error> {
    // Counted here: the other side may not read what it depends on.
    if job.spec.resources.threads == 0 {
        job.spec.resources.threads = std::thread::available_parallelism().map_or(1, usize::from);
    }
    let resources = &job.spec.resources;
    let threads = resources.threads as u64;
    let runtime = job.spec.stopping.max_runtime.as_secs();
    let limits = Limits {
        // The rows, what the algorithm makes of them, and what any process has.
        memory_bytes: Some(
            resources.memory_bytes_max.saturating_mul(2).saturating_add(limit::ISOLATED_BYTES),
        ),
        // Beyond the time that the job itself keeps to.
        cpu_s: Some(runtime.saturating_mul(threads).saturating_mul(2).saturating_add(60)),
        files: Some(limit::ISOLATED_FILES_MAX),
        file_bytes: None,
    };
    let job_file = job.spec.written().map_err(|what| sandbox::Error::Said { what })?;
    Ok(Task {
        job: job_file,
        scratch: scratch.to_owned(),
        limits,
        log: log::chosen(),
        key: sealing.key().map(str::to_owned),
        resume: job.resume,
    })
}

/// What the other side may have and make: what the job names.
fn grants(spec: &TrainingJob, store: &Store) -> Grants {
    let mut grants = Grants::default();
    for channel in spec.channels.values() {
        grants.reads.push(channel.uri.clone());
        if channel.selection.data_type == DataType::ManifestFile {
            grants.reads.extend(named(store, &channel.uri));
        }
    }
    grants.opened.extend(spec.model.clone());
    grants.opened.push(spec.checkpoints());
    grants.writes = vec![
        Place { uri: spec.artifact(), named: None, artifact: model::FILE },
        Place {
            uri: spec.checkpoints(),
            named: Some((format!("{}.", spec.name), super::checkpoint::SUFFIX.to_owned())),
            artifact: "checkpoint",
        },
    ];
    grants
}

/// The objects of a manifest. One that cannot be read names none, and the other side says why.
fn named(store: &Store, uri: &Uri) -> Vec<Uri> {
    let base = uri.local_path().map(|path| path.parent().unwrap_or(std::path::Path::new("")));
    let bytes = store.read_to_vec(uri, limit::MANIFEST_BYTES_MAX).unwrap_or_default();
    Manifest::parse(&bytes, base).map(|manifest| manifest.objects).unwrap_or_default()
}

enum Outcome {
    Done(Box<Report>),
    Failed(Error),
}

/// Passes a wish to stop on while `work` goes on.
fn watched<T>(stop: &Stop, wire: &Wire, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if stop.requested() {
                    // Whoever is gone has stopped.
                    let _ = wire.tell_down(Value::from("stop"));
                    return;
                }
                std::thread::sleep(LOOK_EVERY);
            }
        });
        let outcome = work();
        done.store(true, Ordering::Relaxed);
        outcome
    })
}

fn converse(
    mut porter: Porter<'_>,
    wire: &Wire,
    observer: &mut dyn Observer,
    artifact: &Uri,
) -> io::Result<Outcome> {
    loop {
        let (said, bytes) = wire.hear_up()?;
        let value = match said {
            Said::Asks(ask) => {
                porter.answer(wire, ask, &bytes)?;
                continue;
            }
            Said::Tells(value) => value,
        };
        match serde_json::from_value(value)? {
            Tells::Entered(held) => tracing::info!(%held, "training is isolated"),
            Tells::Step(progress) => observer.step(progress),
            Tells::Epoch(epoch, metrics) => observer.epoch(epoch, &Figure::back(metrics)),
            Tells::Done { report, metrics } => {
                let mut report: Box<Report> = serde_json::from_value(report)?;
                let made = porter.made(artifact);
                let made = made.ok_or_else(|| io::Error::other("it made no artifact"))?;
                report.metrics = Figure::back(metrics);
                report.artifact_bytes = made.bytes;
                report.artifact_sha256.clone_from(&made.sha256);
                return Ok(Outcome::Done(report));
            }
            Tells::Stopped { reason, checkpoint } => {
                let place = |text: String| Uri::parse(&text, std::path::Path::new("")).ok();
                let checkpoint = checkpoint.and_then(place);
                return Ok(Outcome::Failed(Error::Stopped { reason, checkpoint }));
            }
            Tells::Failed(told) => return Ok(Outcome::Failed(Error::Told(told))),
        }
    }
}

/// Why nothing more was heard.
fn ended(apart: &mut Apart, error: &io::Error) -> Error {
    let said = match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset => None,
        _ => Some(error.to_string()),
    };
    match said {
        Some(what) => sandbox::Error::Said { what }.into(),
        None => {
            let how = apart.end().unwrap_or_else(|| "exit code 0".to_owned());
            sandbox::Error::Ended { how }.into()
        }
    }
}

/// Does what this process was started for, if it was started to train in isolation; with these
/// algorithms. To be called before any thread is started.
pub(crate) fn child(table: Table) -> Option<u8> {
    if sandbox::asked()? != TASK {
        return None;
    }
    // Without the other side nobody hears why not: it sees the end.
    Some(u8::from(work(table).is_err()))
}

fn work(table: Table) -> io::Result<()> {
    let failed = |fault: &dyn Fault| Tells::Failed(Told::of(fault));
    sandbox::close_inherited().map_err(io::Error::other)?;
    let wire = Wire::new(sandbox::wire()?)?;
    let task: Task = serde_json::from_value(Line::first(&wire)?)?;
    let rules =
        Rules { writes: vec![task.scratch.clone()], limits: task.limits, ..Rules::default() };
    // Before there is a second thread.
    let entered = sandbox::enter(&rules);
    let stop = Stop::new();
    let hear = {
        let stop = stop.clone();
        move |_| stop.request()
    };
    let line = Line::listen(wire, hear, || std::process::exit(1))?;
    let _written_when_dropped = task.log.as_ref().and_then(|chosen| chosen.install().ok());
    let held = match entered {
        Ok(held) => held,
        Err(error) => return tell(&line, &failed(&error)),
    };
    tell(&line, &Tells::Entered(held))?;
    let outcome = match spec(&task) {
        Ok(spec) => {
            let sealing = Sealing::elsewhere(Arc::new(NoKeys), task.key.clone(), &spec.name);
            Job::new(spec, Arc::new(NoKeys))
                .table(table)
                .store(Store::through(line.clone()))
                .stop(stop)
                .observer(Passed(line.clone()))
                .resume(task.resume)
                .work(Some(sealing))
        }
        Err(error) => Err(error),
    };
    tell(
        &line,
        &match outcome {
            Ok(report) => Tells::Done {
                metrics: Figure::all(&report.metrics),
                report: serde_json::to_value(Report { metrics: Vec::new(), ..report })?,
            },
            Err(Error::Stopped { reason, checkpoint }) => {
                Tells::Stopped { reason, checkpoint: checkpoint.map(|uri| uri.to_string()) }
            }
            Err(error) => failed(&error),
        },
    )
}

fn spec(task: &Task) -> Result<TrainingJob, Error> {
    let base = std::path::Path::new("");
    let mut spec = TrainingJob::parse(task.job.as_bytes(), "the job", base, &[])?;
    spec.resources.scratch = Some(task.scratch.clone());
    Ok(spec)
}

fn tell(line: &Line, tells: &Tells) -> io::Result<()> {
    line.tell(serde_json::to_value(tells)?)
}

/// Passes on how it goes.
struct Passed(Line);

impl Observer for Passed {
    fn step(&mut self, progress: algorithm::Progress) {
        // Whoever does not hear it has ended, and so will this process.
        let _ = tell(&self.0, &Tells::Step(progress));
    }

    fn epoch(&mut self, epoch: usize, metrics: &[Metric]) {
        let _ = tell(&self.0, &Tells::Epoch(epoch, Figure::all(metrics)));
    }
}
