//! Jobs whose training is a process without network, files and keys: the same model comes out, and
//! nothing is there to be stolen.

#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use seccompiler::{SeccompAction, SeccompFilter};
use smrt::algorithm::{Metric, Observer, Progress};
use smrt::sandbox::Launch;
use smrt::spec::train::TrainingJob;
use smrt::train::{Error, Job, Report, Stop};

use crate::s3;
use crate::train::{User, datasets, inside};

const FULL: &str = "[network]\nisolation = \"full\"\n";

fn smrt() -> PathBuf {
    env!("CARGO_BIN_EXE_smrt").into()
}

/// Runs a job with the shipped program as the isolated one; `None` where this machine cannot.
fn apart(
    user: &User,
    job: TrainingJob,
    stop: Option<usize>,
    resume: bool,
) -> Option<Result<Report, Error>> {
    let token = Stop::new();
    let launch = Launch { program: Some(smrt()), ..Launch::default() };
    let observer = StopAfter { epochs: stop, stop: token.clone() };
    let job = Job::new(job, user.keys.clone()).launch(launch).stop(token).observer(observer);
    match job.resume(resume).run() {
        Err(Error::Told(told)) if told.what.contains("cannot isolate") => {
            println!("skipped: {told}");
            None
        }
        other => Some(other),
    }
}

struct StopAfter {
    epochs: Option<usize>,
    stop: Stop,
}

impl Observer for StopAfter {
    fn step(&mut self, _: Progress) {}
    fn epoch(&mut self, epoch: usize, metrics: &[Metric]) {
        assert!(!metrics.is_empty());
        if self.epochs.is_some_and(|after| epoch >= after) {
            self.stop.request();
        }
    }
}

#[test]
fn a_job_trained_apart_is_bit_for_bit_the_job_trained_in_one_process() {
    let more = [
        (
            "linear-learner",
            "[hyperparameters]\npredictor_type = \"binary_classifier\"\nepochs = 4\n",
        ),
        ("xgboost", "[hyperparameters]\nnum_round = 6\nobjective = \"binary:logistic\"\n"),
        ("mlp", "[hyperparameters]\npredictor_type = \"binary_classifier\"\nepochs = 2\n"),
    ];
    for (algorithm, more) in more {
        let (here, there) = (User::new(), User::new());
        let open = here.run(here.job(algorithm, more)).unwrap();
        let job = there.job(algorithm, &format!("{more}{FULL}"));
        let Some(full) = apart(&there, job, None, false) else { return };
        let full = full.unwrap_or_else(|error| panic!("{error}"));
        assert!(inside(&here) == inside(&there), "{algorithm} learned something else");
        let path = full.artifact.local_path().unwrap();
        let stored = std::fs::read(path).unwrap();
        // What is told of the artifact is what is stored, though another process stored it.
        assert_eq!(full.artifact_bytes, stored.len() as u64);
        assert_eq!(full.artifact_sha256, smrt::model::sha256(&stored));
        assert_eq!(full.metrics, open.metrics);
        assert_eq!((full.epochs, full.threads), (open.epochs, open.threads));
        assert!(full.key.is_some() && full.device == "cpu");
        let model = there.opener().open(&stored[..], "model").unwrap();
        assert_eq!(model.manifest.job, "phishing");
    }
}

#[test]
fn rows_that_do_not_fit_go_to_a_folder_of_the_jobs_own_and_nothing_is_left_there() {
    let more = |scratch: &Path| {
        format!(
            "[hyperparameters]\npredictor_type = \"binary_classifier\"\nepochs = 2\n\
             [resources]\nmemory_bytes_max = \"16MiB\"\nthreads = 1\nscratch = \"{}\"\n",
            scratch.display()
        )
    };
    let (here, there) = (User::new(), User::new());
    let scratch = tempfile::tempdir().unwrap();
    here.run(here.job("linear-learner", &more(scratch.path()))).unwrap();
    let job = there.job("linear-learner", &format!("{}{FULL}", more(scratch.path())));
    let Some(done) = apart(&there, job, None, false) else { return };
    done.unwrap_or_else(|error| panic!("{error}"));
    assert!(inside(&here) == inside(&there));
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn a_job_stopped_apart_goes_on_apart_to_the_same_bits() {
    let more = "[hyperparameters]\npredictor_type = \"binary_classifier\"\nepochs = 40\n\
                early_stopping_patience = 40\nmini_batch_size = 200\n[checkpoint]\ninterval_s = 0\n";
    let (whole, halves) = (User::new(), User::new());
    whole.run(whole.job("linear-learner", more)).unwrap();
    let job = halves.job("linear-learner", &format!("{more}{FULL}"));
    let Some(stopped) = apart(&halves, job.clone(), Some(1), false) else { return };
    let Err(Error::Stopped { checkpoint: Some(checkpoint), .. }) = stopped else {
        panic!("{stopped:?}")
    };
    let kept = std::fs::read(checkpoint.local_path().unwrap()).unwrap();
    assert_eq!(&kept[..1], &[2], "the checkpoint is sealed");
    let report = apart(&halves, job, None, true).unwrap().unwrap_or_else(|error| panic!("{error}"));
    assert!(report.resumed);
    assert!(inside(&whole) == inside(&halves));
}

#[test]
fn a_job_goes_on_apart_from_an_earlier_model_and_names_it_as_it_is_stored() {
    let user = User::new();
    let more = "[hyperparameters]\nnum_round = 3\nobjective = \"binary:logistic\"\n";
    let first = user.run(user.job("xgboost", more)).unwrap();
    let on = format!(
        "{more}[channels.model]\nuri = \"{}\"\ncontent_type = \"application/x-sagemaker-model\"\n{FULL}",
        first.artifact
    );
    let Some(done) = apart(&user, user.job("xgboost", &on), None, false) else { return };
    done.unwrap_or_else(|error| panic!("{error}"));
    let stored = std::fs::read(first.artifact.local_path().unwrap()).unwrap();
    let contents = user.opener().contents(&stored, "model").unwrap().0;
    let told = contents.provenance.to_string();
    assert!(told.contains(&first.artifact_sha256), "{told}");
}

#[test]
fn what_is_wrong_is_told_as_it_is_without_isolation() {
    let texts = ["", FULL].map(|network| {
        let user = User::new();
        let file = user.folder.path().join("bad.csv");
        std::fs::write(&file, "1,2,3\n0,x,4\n").unwrap();
        let job = user.folder.path().join("job.toml");
        let text = format!(
            "[job]\nname = \"j\"\n[algorithm]\nname = \"linear-learner\"\n\
             [hyperparameters]\npredictor_type = \"binary_classifier\"\n\
             [channels.train]\nuri = \"bad.csv\"\n[output]\nuri = \"models\"\n{network}"
        );
        std::fs::write(&job, text).unwrap();
        let output = run(&user, &job, &[]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        error_of(&output).replace(user.folder.path().to_str().unwrap(), "FOLDER")
    });
    if texts[1].contains("cannot isolate") {
        println!("skipped: {}", texts[1]);
        return;
    }
    assert!(texts[0].contains("bad.csv"), "{}", texts[0]);
    assert_eq!(texts[0], texts[1]);
}

fn run(user: &User, job: &Path, variables: &[(&str, String)]) -> Output {
    command(user, job, variables).output().unwrap()
}

fn command(user: &User, job: &Path, variables: &[(&str, String)]) -> Command {
    let mut command = Command::new(smrt());
    command
        .arg("train")
        .arg(job)
        .env("SMRT_HOME", user.folder.path().join("home"))
        .envs(variables.iter().map(|(name, value)| (name, value)));
    command
}

/// The error and its help; not the log.
fn error_of(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let kept = |line: &&str| line.starts_with("error: ") || line.starts_with(" help: ");
    said.lines().filter(kept).collect::<Vec<_>>().join("\n")
}

/// A job that trains for minutes, on data and to an output in a bucket.
fn long_job(user: &User, server: &s3::Server) -> PathBuf {
    server.make_bucket("bucket");
    let data = std::fs::read(datasets().join("phishing/train.csv")).unwrap();
    server.put("bucket", "train/train.csv", &data);
    let job = user.folder.path().join("job.toml");
    let text = "[job]\nname = \"long\"\n[algorithm]\nname = \"linear-learner\"\n\
        [hyperparameters]\npredictor_type = \"binary_classifier\"\nepochs = 100000\n\
        early_stopping_patience = 100000\n\
        [channels.train]\nuri = \"s3://bucket/train/\"\nheader = true\nlabel = \"phishing\"\n\
        [output]\nuri = \"s3://bucket/models\"\n[checkpoint]\ninterval_s = 0\n[network]\nisolation = \"full\"\n";
    std::fs::write(&job, text).unwrap();
    job
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The one child of `parent`, once it is inside its sandbox; `None` when the parent ended before.
fn isolated_child(parent: &mut Child) -> Option<u32> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if parent.try_wait().unwrap().is_some() {
            return None;
        }
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
            else {
                continue;
            };
            let status = status_of(id);
            let is = |name: &str, value: &str| status.get(name).is_some_and(|found| found == value);
            if is("PPid", &parent.id().to_string()) && is("Seccomp", "2") {
                return Some(id);
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("there is no isolated child");
}

fn status_of(id: u32) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let pair =
        |line: &str| line.split_once(":\t").map(|(a, b)| (a.to_owned(), b.trim().to_owned()));
    text.lines().filter_map(pair).collect()
}

/// Whether any byte sequence of `wanted` stands in the memory of a process that may be written.
fn in_memory(id: u32, wanted: &[&[u8]]) -> Vec<bool> {
    let maps = std::fs::read_to_string(format!("/proc/{id}/maps")).unwrap();
    let memory = std::fs::File::open(format!("/proc/{id}/mem")).unwrap();
    let mut found = vec![false; wanted.len()];
    for line in maps.lines() {
        let mut parts = line.split_whitespace();
        let (range, mode) = (parts.next().unwrap(), parts.next().unwrap());
        if !mode.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut bytes = vec![0; 1 << 20];
        let mut at = start;
        while at < end {
            let length = bytes.len().min((end - at) as usize);
            if memory.read_exact_at(&mut bytes[..length], at).is_ok() {
                for (found, wanted) in found.iter_mut().zip(wanted) {
                    *found |= memchr::memmem::find(&bytes[..length], wanted).is_some();
                }
            }
            // A little of each piece again: a word may stand on the seam.
            at += (length as u64).saturating_sub(64).max(64);
        }
    }
    found
}

#[test]
fn threat_17_the_training_process_has_no_credentials_no_keys_and_no_way_to_them() {
    let (user, server) = (User::new(), s3::Server::start());
    let job = long_job(&user, &server);
    let variables = server.variables();
    let secret = s3::SECRET_ACCESS_KEY.as_bytes();
    let mut parent = Running(
        command(&user, &job, &variables)
            .env("SMRT_CANARY", "smrt-secret-canary")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let Some(child) = isolated_child(&mut parent.0) else {
        let mut said = String::new();
        parent.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(said.contains("cannot isolate"), "{said}");
        println!("skipped: {said}");
        return;
    };
    let status = status_of(child);
    assert_eq!(status["NoNewPrivs"], "1");
    // Let it read its data and begin.
    std::thread::sleep(Duration::from_millis(500));
    let network = |id: u32| std::fs::read_link(format!("/proc/{id}/ns/net"));
    match (network(child), network(parent.0.id())) {
        (Ok(child), Ok(parent)) => assert_ne!(child, parent, "they share a network"),
        _ => return println!("skipped: only the superuser can look into a sandbox"),
    }
    let devices = std::fs::read_to_string(format!("/proc/{child}/net/dev")).unwrap();
    assert_eq!(devices.lines().count(), 3, "two lines of heading, and lo: {devices}");
    let environment = std::fs::read(format!("/proc/{child}/environ")).unwrap();
    assert_eq!(String::from_utf8_lossy(&environment), "SMRT_ISOLATED=train\0");
    let arguments = std::fs::read(format!("/proc/{child}/cmdline")).unwrap();
    assert_eq!(arguments.split(|b| *b == 0).filter(|part| !part.is_empty()).count(), 1);
    for entry in std::fs::read_dir(format!("/proc/{child}/fd")).unwrap().flatten() {
        let number: u32 = entry.file_name().to_str().unwrap().parse().unwrap();
        let open = std::fs::read_link(entry.path()).unwrap();
        let open = open.to_str().unwrap();
        let own = open.starts_with("socket:") || open.contains("smrt-") || number <= 2;
        assert!(own, "descriptor {number} is {open}");
    }
    // The data are there, so the search finds what is there; secrets are not.
    let words: [&[u8]; 4] = [secret, b"smrt-secret-canary", b"[job]", s3::ACCESS_KEY_ID.as_bytes()];
    assert_eq!(in_memory(child, &words), [false, false, true, false]);
    // The control: the parent has them.
    assert_eq!(in_memory(parent.0.id(), &words)[..2], [true, true]);
}

#[test]
fn threat_15_neither_process_of_a_job_leaves_a_core_file_and_the_isolated_one_ends_with_its_parent()
{
    let (user, server) = (User::new(), s3::Server::start());
    let job = long_job(&user, &server);
    let mut parent = Running(command(&user, &job, &server.variables()).spawn().unwrap());
    let Some(child) = isolated_child(&mut parent.0) else { return println!("skipped") };
    for id in [child, parent.0.id()] {
        let limits = std::fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
        assert_eq!(core.split_whitespace().nth(5), Some("0"), "{core}");
    }
    parent.0.kill().unwrap();
    parent.0.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let gone = || status_of(child).get("State").is_none_or(|state| state.starts_with('Z'));
    while !gone() {
        assert!(Instant::now() < deadline, "it outlives its parent");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn where_the_kernel_lacks_landlock_the_job_is_refused_and_not_run_open() {
    let user = User::new();
    let job = user.folder.path().join("job.toml");
    let data = datasets().join("phishing/train.csv");
    let text = format!(
        "[job]\nname = \"j\"\n[algorithm]\nname = \"linear-learner\"\n\
         [hyperparameters]\npredictor_type = \"binary_classifier\"\n\
         [channels.train]\nuri = \"{}\"\nheader = true\nlabel = \"phishing\"\n\
         [output]\nuri = \"models\"\n{FULL}",
        data.display()
    );
    std::fs::write(&job, text).unwrap();
    // A kernel without landlock, as its programs see it; for this thread and what it starts.
    let calls = [(libc::SYS_landlock_create_ruleset, Vec::new())].into();
    let lacks = SeccompAction::Errno(libc::ENOSYS as u32);
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(calls, SeccompAction::Allow, lacks, architecture).unwrap();
    let program: seccompiler::BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
    let output = run(&user, &job, &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = error_of(&output);
    assert!(
        said.starts_with("error: this machine cannot isolate a process: no landlock"),
        "{said}"
    );
    assert!(said.contains("help: use Linux 5.13 or newer"), "{said}");
    assert!(!user.folder.path().join("models/j/output").exists(), "it ran all the same");
}

#[test]
fn a_program_that_does_not_know_of_isolation_is_no_sandbox() {
    let user = User::new();
    let job = user.job(
        "linear-learner",
        &format!("[hyperparameters]\npredictor_type = \"regressor\"\n{FULL}"),
    );
    let launch = Launch { program: Some("/bin/true".into()), ..Launch::default() };
    let error = Job::new(job, user.keys.clone()).launch(launch).run().unwrap_err();
    assert!(error.to_string().contains("ended before it was done (exit code 0)"), "{error}");
}

/// A server that says one thing to everybody.
fn saying(answer: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    port
}

#[test]
fn threat_25_metadata_and_what_is_not_allowed_is_refused_when_it_is_connected_to() {
    let user = User::new();
    let job = user.folder.path().join("job.toml");
    let refused = |endpoint: &str, network: &str| {
        let text = format!(
            "[job]\nname = \"j\"\n[algorithm]\nname = \"linear-learner\"\n\
             [hyperparameters]\npredictor_type = \"binary_classifier\"\n\
             [channels.train]\nuri = \"s3://b/train/\"\n[output]\nuri = \"models\"\n\
             [storage.s3]\nendpoint = \"{endpoint}\"\naccess_key_id = \"a\"\nsecret_access_key = \"b\"\n{network}"
        );
        std::fs::write(&job, text).unwrap();
        let started = Instant::now();
        let output = run(&user, &job, &[]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = error_of(&output);
        assert!(said.contains("network.allow forbids"), "{endpoint}: {said}");
        assert!(said.contains(" help: "), "{said}");
        // Nobody waited for an answer: it was not asked.
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{endpoint} was tried again and again"
        );
        said
    };
    for endpoint in [
        "http://169.254.169.254",
        "http://2852039166",
        "http://0xa9fea9fe",
        "http://[::ffff:169.254.169.254]",
        "http://[fe80::1]:9000",
        "http://[fd00:ec2::254]",
        "http://169.254.170.2",
    ] {
        let said = refused(endpoint, "");
        assert!(said.contains("a link-local or metadata address"), "{said}");
    }
    let private =
        |allow: &str| format!("[network]\nisolation = \"private\"\nallow = [\"{allow}\"]\n");
    // Addresses of this machine, where only others are allowed; a name is judged by what it leads to.
    for endpoint in
        ["http://127.0.0.1:9", "http://[::1]:9", "http://localhost:9", "http://2130706433:9"]
    {
        let said = refused(endpoint, &private("10.0.0.0/8"));
        assert!(said.contains("not in 10.0.0.0/8"), "{said}");
    }
    // A server that sends its callers on.
    let head = "HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\nConnection: close\r\n";
    let port = saying(format!("{head}Location: http://169.254.169.254/latest/meta-data/\r\n\r\n"));
    let text = format!(
        "[job]\nname = \"j\"\n[algorithm]\nname = \"linear-learner\"\n\
         [hyperparameters]\npredictor_type = \"binary_classifier\"\n\
         [channels.train]\nuri = \"http://127.0.0.1:{port}/train.csv\"\n[output]\nuri = \"models\"\n"
    );
    std::fs::write(&job, text).unwrap();
    let said = error_of(&run(&user, &job, &[]));
    assert!(said.contains("network.allow forbids 169.254.169.254"), "{said}");
}

#[test]
fn an_endpoint_answers_only_the_networks_it_allows() {
    use smrt::http::Limits;
    use smrt::spec::network::Range;
    let user = User::new();
    let more = "[hyperparameters]\npredictor_type = \"binary_classifier\"\nepochs = 1\n";
    let report = user.run(user.job("linear-learner", more)).unwrap();
    let bytes = std::fs::read(report.artifact.local_path().unwrap()).unwrap();
    for (allowed, answers) in [("127.0.0.0/8", true), ("10.0.0.0/8", false)] {
        let model = user.opener().open(&bytes[..], "model").unwrap();
        let limits = Limits { callers: vec![Range::parse(allowed).unwrap()], ..Limits::default() };
        let running = smrt::serve(model).listen("127.0.0.1:0").limits(limits).start().unwrap();
        let mut stream = std::net::TcpStream::connect(running.address()).unwrap();
        let _ = stream.write_all(b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert_eq!(answer.starts_with("HTTP/1.1 200"), answers, "{allowed}: {answer}");
        assert_eq!(answer.is_empty(), !answers);
    }
}
