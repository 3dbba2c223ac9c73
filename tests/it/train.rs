//! Whole jobs through the library: data in, sealed artifact out, the same bits again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use smrt::algorithm::{Metric, Observer, Progress, Table};
use smrt::model::Opener;
use smrt::seal::{KeyService, LocalKeys};
use smrt::spec::train::TrainingJob;
use smrt::train::{self, Job, Reason, Stop};
use tempfile::TempDir;

/// A folder of one user: keys, outputs and job files.
pub(crate) struct User {
    pub(crate) folder: TempDir,
    pub(crate) keys: Arc<dyn KeyService>,
}

impl User {
    pub(crate) fn new() -> User {
        let folder = TempDir::new().unwrap();
        let keys = Arc::new(LocalKeys::new(&folder.path().join("home")));
        User { folder, keys }
    }

    /// A job on the shipped phishing data, its output in this folder, with `more` appended.
    pub(crate) fn job(&self, algorithm: &str, more: &str) -> TrainingJob {
        self.try_job(algorithm, more).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_job(&self, algorithm: &str, more: &str) -> Result<TrainingJob, train::Error> {
        let text = format!(
            "[job]\nname = \"phishing\"\nseed = 7\n[algorithm]\nname = \"{algorithm}\"\n\
             [channels.train]\nuri = \"{0}/train.csv\"\nheader = true\nlabel = \"phishing\"\n\
             [channels.validation]\nuri = \"{0}/validation.csv\"\nheader = true\nlabel = \"phishing\"\n\
             [output]\nuri = \"{1}/models\"\n{more}",
            datasets().join("phishing").display(),
            self.folder.path().display(),
        );
        let path = self.folder.path().join("job.toml");
        std::fs::write(&path, text).unwrap();
        train::read(&path, &[], &Table::builtin())
    }

    pub(crate) fn run(&self, job: TrainingJob) -> Result<train::Report, train::Error> {
        Job::new(job, self.keys.clone()).run()
    }

    pub(crate) fn opener(&self) -> Opener {
        Opener::new(self.keys.clone())
    }

    fn artifact(&self) -> PathBuf {
        self.folder.path().join("models/phishing/output/model.tar.gz")
    }
}

pub(crate) fn datasets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets")
}

const BINARY: &str = "[hyperparameters]\npredictor_type = \"binary_classifier\"\nepochs = 6\n\
                      mini_batch_size = 100\n";

/// What is inside a sealed artifact, as the bytes of the archive.
pub(crate) fn inside(user: &User) -> Vec<u8> {
    let sealed = std::fs::File::open(user.artifact()).unwrap();
    let context = smrt::seal::Context::new();
    smrt::seal::open_to_vec(sealed, user.keys.as_ref(), &context, 1 << 30).unwrap()
}

fn metric(metrics: &[Metric], name: &str) -> f64 {
    let found = metrics.iter().find(|metric| metric.name == name);
    found.unwrap_or_else(|| panic!("no {name} among {metrics:?}")).value
}

#[test]
fn a_job_leaves_a_sealed_artifact_that_answers() {
    for algorithm in ["linear-learner", "mlp"] {
        let user = User::new();
        let report = user.run(user.job(algorithm, BINARY)).unwrap();
        assert_eq!(report.channels[0].rows + report.channels[1].rows, 1250);
        assert_eq!(report.signature.features, 9);
        assert!(metric(&report.metrics, "validation:roc_auc_score") > 0.9, "{algorithm}");
        let stored = std::fs::read(user.artifact()).unwrap();
        assert_eq!(stored[0], 0x02, "not sealed");
        assert_eq!(stored.len() as u64, report.artifact_bytes);

        let model = user.opener().open(&stored[..], "model.tar.gz").unwrap();
        assert_eq!(model.digest, report.artifact_sha256);
        let rows = ndarray::Array2::<f32>::zeros((3, 9));
        assert_eq!(model.predict(rows.view()).unwrap().rows, 3);
        assert!(model.predict(ndarray::Array2::zeros((1, 8)).view()).is_err());
    }
}

#[test]
fn the_same_job_leaves_the_same_bytes_inside() {
    for algorithm in ["linear-learner", "mlp"] {
        let (one, other) = (User::new(), User::new());
        one.run(one.job(algorithm, BINARY)).unwrap();
        other.run(other.job(algorithm, BINARY)).unwrap();
        assert!(inside(&one) == inside(&other), "{algorithm} differs");
        let mut job = other.job(algorithm, BINARY);
        job.seed = 8;
        other.run(job).unwrap();
        assert!(inside(&one) != inside(&other), "{algorithm} ignores the seed");
    }
}

/// Asks for a stop after some steps.
pub(crate) struct StopAfter {
    pub(crate) steps: usize,
    pub(crate) stop: Stop,
}

impl Observer for StopAfter {
    fn step(&mut self, _: Progress) {
        self.steps = self.steps.saturating_sub(1);
        if self.steps == 0 {
            self.stop.request();
        }
    }

    fn epoch(&mut self, _: usize, _: &[Metric]) {
        self.step(Progress { epoch: 0, epochs: 0, rows_done: 0, rows_total: 0 });
    }
}

#[test]
fn a_stopped_job_resumes_to_the_same_model() {
    for algorithm in ["linear-learner", "mlp"] {
        let (whole, parted) = (User::new(), User::new());
        whole.run(whole.job(algorithm, BINARY)).unwrap();
        for steps in [1, 3] {
            let stop = Stop::new();
            let observer = StopAfter { steps, stop: stop.clone() };
            let job = Job::new(parted.job(algorithm, BINARY), parted.keys.clone());
            let stopped = job.stop(stop).observer(observer).resume(steps == 3).run().unwrap_err();
            let train::Error::Stopped { reason, checkpoint } = stopped else {
                panic!("{algorithm}: {stopped}")
            };
            assert_eq!(reason, Reason::Requested);
            assert!(checkpoint.is_some(), "{algorithm}");
            assert!(!parted.artifact().exists(), "an unfinished model is visible");
        }
        let job = Job::new(parted.job(algorithm, BINARY), parted.keys.clone());
        assert!(job.resume(true).run().unwrap().resumed);
        assert!(inside(&whole) == inside(&parted), "{algorithm} differs after resuming");
        let folder = parted.folder.path().join("models/phishing/checkpoints");
        let left = std::fs::read_dir(folder).unwrap().count();
        assert_eq!(left, 0, "the checkpoint of a finished job is left behind");
    }
}

#[test]
fn a_checkpoint_is_sealed_and_belongs_to_its_job() {
    let user = User::new();
    let stop = Stop::new();
    stop.request();
    let job = Job::new(user.job("mlp", BINARY), user.keys.clone());
    let train::Error::Stopped { checkpoint: Some(uri), .. } = job.stop(stop).run().unwrap_err()
    else {
        panic!("no checkpoint was kept")
    };
    assert_eq!(std::fs::read(uri.to_string()).unwrap()[0], 0x02, "the checkpoint is not sealed");

    let mut other = user.job("mlp", BINARY);
    other.seed = 8;
    let refused = Job::new(other, user.keys.clone()).resume(true).run().unwrap_err();
    assert!(refused.to_string().contains("another seed"), "{refused}");
}

#[test]
fn resuming_without_a_checkpoint_is_the_callers_mistake() {
    let user = User::new();
    let job = Job::new(user.job("mlp", BINARY), user.keys.clone());
    let refused = job.resume(true).run().unwrap_err();
    assert!(refused.to_string().contains("there is no checkpoint"), "{refused}");
}

#[test]
fn max_runtime_stops_the_job_and_says_so() {
    let user = User::new();
    let mut job = user.job("mlp", BINARY);
    job.stopping.max_runtime = std::time::Duration::ZERO;
    let stopped = user.run(job).unwrap_err();
    assert!(matches!(stopped, train::Error::Stopped { reason: Reason::MaxRuntime, .. }));
}

#[test]
fn kms_key_none_leaves_a_plain_archive() {
    let user = User::new();
    let job = user.job("linear-learner", BINARY);
    let mut plain = job.clone();
    plain.output.key = smrt::spec::train::SealKey::Plain;
    assert_eq!(user.run(plain).unwrap().key, None);
    let stored = std::fs::read(user.artifact()).unwrap();
    assert_eq!(stored[..2], [0x1f, 0x8b]);
    let again = user.run(job).unwrap();
    assert!(again.replaced);
    assert!(inside(&user) == stored, "sealing changed what is inside");
}

#[test]
fn an_output_that_cannot_be_written_is_found_before_the_data_are_read() {
    let user = User::new();
    let mut job = user.job("mlp", BINARY);
    std::fs::write(user.folder.path().join("file"), "").unwrap();
    job.output.uri = smrt::spec::uri::Uri::File(user.folder.path().join("file/below"));
    // Were the data read first, this would be the error.
    let train = smrt::spec::name::ChannelName::parse("train").unwrap();
    job.channels.get_mut(&train).unwrap().uri =
        smrt::spec::uri::Uri::File(user.folder.path().join("missing"));
    let refused = user.run(job).unwrap_err();
    assert!(refused.to_string().contains("below"), "{refused}");
}

#[test]
fn a_checkpoint_place_that_cannot_be_written_is_found_before_the_data_are_read() {
    let user = User::new();
    let mut job = user.job("mlp", BINARY);
    std::fs::write(user.folder.path().join("file"), "").unwrap();
    job.checkpoint.uri = Some(smrt::spec::uri::Uri::File(user.folder.path().join("file/below")));
    // Were the data read first, this would be the error.
    let train = smrt::spec::name::ChannelName::parse("train").unwrap();
    job.channels.get_mut(&train).unwrap().uri =
        smrt::spec::uri::Uri::File(user.folder.path().join("missing"));
    let refused = user.run(job).unwrap_err();
    assert!(refused.to_string().contains("below"), "{refused}");
}

#[test]
fn a_failed_job_leaves_an_earlier_artifact_alone() {
    let user = User::new();
    user.run(user.job("linear-learner", BINARY)).unwrap();
    let before = std::fs::read(user.artifact()).unwrap();
    let bad = user.folder.path().join("bad.csv");
    std::fs::write(&bad, "1,2,3,4,5,6,7,8,9,0\n0,1\n").unwrap();
    let mut job = user.job("linear-learner", BINARY);
    for channel in job.channels.values_mut() {
        channel.uri = smrt::spec::uri::Uri::File(bad.clone());
        channel.format.header = false;
        channel.format.label = smrt::spec::train::LabelColumn::First;
    }
    let refused = user.run(job).unwrap_err().to_string();
    assert!(refused.contains("bad.csv") && refused.contains('2'), "{refused}");
    assert_eq!(std::fs::read(user.artifact()).unwrap(), before);
}

#[test]
fn a_job_that_does_not_fit_its_memory_says_how_much_it_needs() {
    let user = User::new();
    let mut job = user.job("linear-learner", BINARY);
    job.resources.memory_bytes_max = 10_000;
    let refused = user.run(job).unwrap_err();
    let help = smrt::fault::Fault::help(&refused).unwrap_or_default();
    assert!(format!("{refused} {help}").contains("memory_bytes_max"), "{refused} / {help}");
}

#[test]
fn every_mistake_of_a_job_is_told_at_once() {
    let user = User::new();
    let more = "[hyperparameters]\nepocs = 3\nlearning_rate = -1\n[resources]\ndevise = \"cpu\"\n";
    let train::Error::Spec(mistakes) = user.try_job("mlp", more).unwrap_err() else {
        panic!("accepted")
    };
    let told: Vec<_> = mistakes.problems.list.iter().map(|p| p.key.as_str()).collect();
    for key in ["hyperparameters.epocs", "hyperparameters.learning_rate", "resources.devise"] {
        assert!(told.contains(&key), "{key} is not among {told:?}");
    }
}

#[test]
fn a_whole_job_lives_in_s3_and_is_served_from_there() {
    let server = crate::s3::Server::start();
    server.make_bucket("models");
    for part in ["train", "validation"] {
        let bytes = std::fs::read(datasets().join(format!("phishing/{part}.csv"))).unwrap();
        server.put("data", &format!("phishing/{part}/part-0.csv"), &bytes);
    }
    let user = User::new();
    let mut job = user.job("linear-learner", BINARY);
    let s3 = |text: &str| smrt::spec::uri::Uri::parse(text, Path::new("")).unwrap();
    for (name, channel) in &mut job.channels {
        channel.uri = s3(&format!("s3://data/phishing/{name}/"));
    }
    job.output.uri = s3("s3://models/");
    job.storage = server.storage();
    let report = user.run(job.clone()).unwrap();
    assert_eq!(report.artifact.to_string(), "s3://models/phishing/output/model.tar.gz");
    assert!(server.unfinished_uploads().is_empty());
    let stored = std::fs::read(server.path("models", "phishing/output/model.tar.gz")).unwrap();
    assert_eq!(stored[0], 0x02, "not sealed");

    // The same data in a folder give the same model: only the names of the inputs differ.
    let store = server.store();
    let bytes = store.read_to_vec(&report.artifact, 1 << 30).unwrap();
    let model = user.opener().open(&bytes[..], "s3").unwrap();
    let row = "1,0,-1,1,0,-1,1,0,1";
    let rows = ndarray::Array2::from_shape_vec(
        (1, 9),
        row.split(',').map(|v| v.parse().unwrap()).collect(),
    );
    let answer = model.predict(rows.unwrap().view()).unwrap();
    let endpoint = smrt::serve(model).listen("127.0.0.1:0").start().unwrap();
    let mut connection = std::net::TcpStream::connect(endpoint.address()).unwrap();
    let request = format!(
        "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nAccept: text/csv\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{row}",
        row.len()
    );
    std::io::Write::write_all(&mut connection, request.as_bytes()).unwrap();
    let mut reply = String::new();
    std::io::Read::read_to_string(&mut connection, &mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    let smrt::data::Values::Number(scores) = &answer.fields[0].values else { panic!("{answer:?}") };
    let body = reply.split("\r\n\r\n").nth(1).unwrap().trim();
    assert_eq!(body.parse::<f32>().unwrap().to_bits(), scores[0].to_bits());
    endpoint.stop();
    endpoint.wait();

    // What cannot be is said before any work, with the place.
    let refused = |change: &dyn Fn(&mut TrainingJob)| {
        let mut job = job.clone();
        change(&mut job);
        user.run(job).unwrap_err().to_string()
    };
    let empty = refused(&|job| {
        for channel in job.channels.values_mut() {
            channel.uri = s3("s3://data/nothing/here/");
        }
    });
    assert!(empty.contains("s3://data/nothing/here/"), "{empty}");
    let missing = refused(&|job| job.output.uri = s3("s3://no-such-bucket/"));
    assert!(missing.contains("no-such-bucket"), "{missing}");
    let wrong = refused(&|job| {
        let secret = smrt::spec::train::Hidden("wrong-secret".into());
        job.storage.s3.secret_access_key = Some(secret);
    });
    assert!(!wrong.contains("wrong-secret"), "{wrong}");
}
