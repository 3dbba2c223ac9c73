//! Words that stand in the training data, and thereby in the model, are looked for in everything that
//! a job leaves, says and stores while it is killed, goes on, ends and serves.

#![cfg(unix)]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::s3;
use crate::train::User;

/// A column's name, a word in its cells, and a value that no other column has.
const COLUMN: &str = "canary_column_7Qz";
const WORD: &str = "canary-word-9Xk";
const VALUE: f32 = 8_675_309.25;

/// What is looked for, the credential of the bucket too: text, and the value as it stands in memory and in files of weights.
fn canaries() -> Vec<Vec<u8>> {
    vec![
        COLUMN.as_bytes().to_vec(),
        WORD.as_bytes().to_vec(),
        VALUE.to_string().into_bytes(),
        VALUE.to_le_bytes().to_vec(),
        f64::from(VALUE).to_le_bytes().to_vec(),
        s3::SECRET_ACCESS_KEY.as_bytes().to_vec(),
    ]
}

fn found_in(bytes: &[u8]) -> Option<String> {
    let mut found = canaries().into_iter().filter(|c| memchr::memmem::find(bytes, c).is_some());
    found.next().map(|canary| String::from_utf8_lossy(&canary).into_owned())
}

/// Fails if any file below `folder` shows a canary, in its bytes or its name; how many there are.
fn search(folder: &Path) -> usize {
    let mut count = 0;
    // What is not there yet, or no more, shows nothing.
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    for entry in entries.flatten() {
        let path = entry.path();
        assert_eq!(found_in(path.to_str().unwrap().as_bytes()), None, "{}", path.display());
        // Whatever is being renamed away is looked at under its new name.
        let Ok(about) = std::fs::symlink_metadata(&path) else { continue };
        if about.is_dir() {
            count += search(&path);
        } else if about.is_file() {
            let Ok(bytes) = std::fs::read(&path) else { continue };
            assert_eq!(found_in(&bytes), None, "{} shows it", path.display());
            count += 1;
        }
    }
    count
}

/// Rows of four numbers and a word; the label follows from them, more or less.
fn table() -> String {
    let mut text = format!("y,a,b,c,{COLUMN}\n");
    let mut state = 7_u64;
    for row in 0..4_000 {
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) % 1000
        };
        let (a, b, c) = (draw(), draw(), draw());
        let value = if row % 5 == 0 { VALUE } else { c as f32 };
        let word = if a % 3 == 0 { WORD } else { "other" };
        text.push_str(&format!("{},{a},{b},{value},{word}\n", u8::from(a + b > 1000)));
    }
    text
}

struct Place {
    user: User,
    server: s3::Server,
    scratch: tempfile::TempDir,
    job: PathBuf,
    said: Vec<u8>,
}

impl Place {
    fn new(network: &str) -> Place {
        let (user, server) = (User::new(), s3::Server::start());
        server.make_bucket("data");
        server.make_bucket("models");
        server.put("data", "train/a.csv", table().as_bytes());
        let scratch = tempfile::tempdir().unwrap();
        // Beside the output in a bucket: checkpoints in a folder, and rows on disk.
        let text = format!(
            "[job]\nname = \"secret\"\n[algorithm]\nname = \"xgboost\"\n\
             [hyperparameters]\nnum_round = 4000\nobjective = \"binary:logistic\"\nmax_depth = 3\n\
             [channels.train]\nuri = \"s3://data/train/\"\nheader = true\nlabel = \"y\"\n\
             categorical = \"auto\"\n\
             [output]\nuri = \"s3://models/out\"\n\
             [checkpoint]\nuri = \"{}\"\ninterval_s = 0\n\
             [resources]\nmemory_bytes_max = \"16MiB\"\nthreads = 1\nscratch = \"{}\"\n{network}",
            user.folder.path().join("checkpoints").display(),
            scratch.path().display()
        );
        let job = user.folder.path().join("job.toml");
        std::fs::write(&job, text).unwrap();
        Place { user, server, scratch, job, said: Vec::new() }
    }

    fn smrt(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smrt"));
        command
            .args(arguments)
            .env("SMRT_HOME", self.user.folder.path().join("home"))
            .env("SMRT_LOG", "trace")
            .env("TMPDIR", self.scratch.path())
            .envs(self.server.variables())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn kept(&mut self, child: Child) -> std::process::ExitStatus {
        let output = child.wait_with_output().unwrap();
        self.said.extend(output.stdout);
        self.said.extend(output.stderr);
        output.status
    }

    /// Everything that is stored, but the data as they were given and the job.
    fn search(&self) -> usize {
        let home = search(&self.user.folder.path().join("home"));
        let kept = self.user.folder.path().join("checkpoints");
        let kept = if kept.exists() { search(&kept) } else { 0 };
        let bucket = self.server.path("models", "");
        home + kept + search(&bucket) + search(self.scratch.path())
    }
}

/// The bytes of every open file of a process that has no name any more: rows put aside.
#[cfg(target_os = "linux")]
fn unnamed(process: u32) -> Vec<Vec<u8>> {
    let folder = format!("/proc/{process}/fd");
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| {
            let link = std::fs::read_link(entry.path()).unwrap_or_default();
            link.to_string_lossy().ends_with(" (deleted)")
        })
        .filter_map(|entry| {
            let mut bytes = Vec::new();
            let file = std::fs::File::open(entry.path()).ok()?;
            file.take(64 << 20).read_to_end(&mut bytes).ok()?;
            Some(bytes)
        })
        .collect()
}

#[cfg(not(target_os = "linux"))]
fn unnamed(_: u32) -> Vec<Vec<u8>> {
    Vec::new()
}

fn whole_job(network: &str) {
    let mut place = Place::new(network);
    // The search itself finds what is there.
    assert!(found_in(table().as_bytes()).is_some());
    let job = place.job.to_str().unwrap().to_owned();
    // Killed, twice, as soon as a checkpoint is there.
    for attempt in 0..2 {
        let more: &[&str] = if attempt == 0 { &[] } else { &["--resume"] };
        let mut child = place.smrt(&[&["train", &job][..], more].concat()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let checkpoints = place.user.folder.path().join("checkpoints");
        let (mut rounds, before) = (0, Instant::now());
        while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
            for bytes in unnamed(child.id()) {
                assert_eq!(found_in(&bytes), None, "rows on disk show it");
            }
            place.search();
            rounds += 1;
            let there = std::fs::read_dir(&checkpoints).map_or(0, |entries| entries.count());
            if there > 0 && rounds > 5 && before.elapsed() > Duration::from_millis(300) {
                break;
            }
        }
        let _ = child.kill();
        place.kept(child);
        assert!(place.search() >= 2, "there is no key and no checkpoint");
    }
    let rounds = "hyperparameters.num_round=4000";
    let child = place.smrt(&["train", &job, "--resume", "--set", rounds]).spawn().unwrap();
    let status = place.kept(child);
    let said = String::from_utf8_lossy(&place.said).into_owned();
    if said.contains("cannot isolate a process") {
        return println!("skipped: this machine cannot isolate a process");
    }
    assert!(status.success(), "{said}");
    assert!(place.search() >= 2);
    // What is told of it, and what a request that holds them makes it say.
    let model = "s3://models/out/secret/output/model.tar.gz";
    let mut server = place.smrt(&["serve", model, "--listen", "127.0.0.1:0"]).spawn().unwrap();
    let mut greeting = String::new();
    let mut out = server.stdout.take().unwrap();
    let mut byte = [0];
    while !greeting.contains("\n") && out.read(&mut byte).unwrap() == 1 {
        greeting.push(char::from(byte[0]));
    }
    let port = greeting.split("127.0.0.1:").nth(1).unwrap_or_else(|| panic!("{greeting}"));
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    let ask = |path: &str, body: &str| {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        let method = if body.is_empty() { "GET" } else { "POST" };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    };
    let row = format!("1,2,{VALUE},{WORD}");
    let answer = ask("/invocations", &row);
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(found_in(&answer), None);
    let metrics = ask("/metrics", "");
    assert!(metrics.starts_with(b"HTTP/1.1 200"));
    assert_eq!(found_in(&metrics), None, "a metric shows it");
    let _ = server.kill();
    place.kept(server);
    assert!(place.said.len() > 1000, "nothing was logged");
    assert_eq!(found_in(&place.said), None, "{}", String::from_utf8_lossy(&place.said));
    place.search();
}

#[test]
fn threat_01_no_stored_byte_and_no_line_shows_a_word_of_the_data_through_a_whole_job() {
    whole_job("");
}

#[cfg(target_os = "linux")]
#[test]
fn threat_15_neither_the_data_nor_a_credential_shows_when_training_is_isolated() {
    whole_job("[network]\nisolation = \"full\"\n");
}

/// Pearson's statistic of the bytes against all 256 being as frequent: for even ones it is about 255,
/// with a standard deviation of √510.
fn chi_squared(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let expected = bytes.len() as f64 / 256.0;
    counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
}

#[test]
fn threat_01_sealed_bytes_are_as_even_as_chance() {
    let plain = b"the same words again and again ".repeat(40_000);
    let sealed = crate::seal::seal(&plain, 1 << 16);
    // One part in a hundred million of even bytes lies beyond, and no text comes near.
    let bound = 255.0 + 6.0 * 510_f64.sqrt();
    assert!(chi_squared(&sealed) < bound, "{}", chi_squared(&sealed));
    assert!(chi_squared(&plain) > 100.0 * bound);
}
