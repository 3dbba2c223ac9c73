//! A training that is killed, again and again, and goes on: the real binary, `kill -9`, `--resume`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use smrt::seal::{Context, LocalKeys, open_to_vec};

use crate::s3::Server;
use crate::train::datasets;

/// Where a job's output lies, and how its process is told.
struct Place<'a> {
    /// The user's folder: job file and keys.
    home: PathBuf,
    /// `output.uri`
    output: String,
    /// The same as a folder of this machine.
    folder: PathBuf,
    server: Option<&'a Server>,
}

impl Place<'_> {
    fn smrt(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smrt"));
        command.args(arguments).current_dir(&self.home).env("SMRT_HOME", self.home.join("keys"));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        if let Some(server) = self.server {
            command.envs(server.variables());
        }
        command
    }

    fn write_job(&self, name: &str, algorithm: &str, parameters: &str) {
        let text = format!(
            "[job]\nname = \"{name}\"\nseed = 7\n[algorithm]\nname = \"{algorithm}\"\n\
             [hyperparameters]\n{parameters}\n\
             [channels.train]\nuri = \"{0}/train.csv\"\nheader = true\nlabel = \"churn\"\n\
             [channels.validation]\nuri = \"{0}/validation.csv\"\nheader = true\nlabel = \"churn\"\n\
             [output]\nuri = \"{1}\"\n[resources]\ndevice = \"cpu\"\nthreads = 2\n\
             [checkpoint]\nkeep = 2\ninterval_s = 0\n",
            datasets().join("churn").display(),
            self.output,
        );
        std::fs::write(self.home.join(format!("{name}.toml")), text).unwrap();
    }

    /// Names of what lies in the checkpoint folder of a job, drafts included.
    fn checkpoints(&self, name: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.folder.join(name).join("checkpoints")) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The unsealed bytes of a job's artifact.
    fn inside(&self, name: &str) -> Vec<u8> {
        let file = self.folder.join(name).join("output/model.tar.gz");
        let keys = LocalKeys::new(&self.home.join("keys"));
        open_to_vec(std::fs::File::open(file).unwrap(), &keys, &Context::new(), 1 << 30).unwrap()
    }
}

fn finish(mut child: Child) {
    let mut told = String::new();
    std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut told).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}: {told}");
}

const KILLS: usize = 5;

/// Kills the job so many times: once wherever it is, then at a random moment after it has kept a state
/// that the run before had not.
fn killed(place: &Place<'_>, name: &str, random: &mut u64, times: usize) {
    let mut seen = String::new();
    let mut kills = 0;
    while kills < times {
        let resume = place.checkpoints(name).iter().any(|name| name.ends_with(".checkpoint"));
        let file = format!("{name}.toml");
        let arguments: &[&str] =
            if resume { &["train", "--resume", &file] } else { &["train", &file] };
        let mut child = place.smrt(arguments).spawn().unwrap();
        let begun = Instant::now();
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let delay = Duration::from_micros((*random >> 33) % 60_000);
        if kills > 0 {
            // Names ascend, so a greater one is a newer one.
            let newest =
                || place.checkpoints(name).into_iter().rfind(|n| n.ends_with("checkpoint"));
            while newest().is_none_or(|newest| newest <= seen) {
                if let Some(status) = child.try_wait().unwrap() {
                    panic!("{name} ended after {kills} kills with {status}: give it more to do");
                }
                assert!(begun.elapsed() < Duration::from_secs(60), "{name} keeps no state");
                std::thread::sleep(Duration::from_millis(1));
            }
            seen = newest().unwrap_or_default();
        }
        std::thread::sleep(delay);
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        let kept = place.checkpoints(name);
        let complete = kept.iter().filter(|name| name.ends_with(".checkpoint")).count();
        assert!(complete <= 3, "more than the old two and the new one are left: {kept:?}");
    }
}

fn killed_and_whole_are_the_same(place: &Place<'_>) {
    let mut random = u64::from(std::process::id());
    for (algorithm, parameters) in [
        (
            "mlp",
            "predictor_type = \"binary_classifier\"\nepochs = 60\nhidden_layers = [32]\n\
             early_stopping_patience = 0",
        ),
        ("linear-learner", "predictor_type = \"binary_classifier\"\nepochs = 6\nnum_models = 3"),
        ("xgboost", "objective = \"binary:logistic\"\nnum_round = 60\nsubsample = 0.7"),
    ] {
        let (whole, parted) = (format!("{algorithm}-whole"), format!("{algorithm}-parted"));
        // The name is in the artifact, so both jobs are called the same and lie in two places.
        for folder in [&whole, &parted] {
            let inner = Place {
                home: place.home.clone(),
                output: format!("{}/{folder}", place.output),
                folder: place.folder.join(folder),
                server: place.server,
            };
            inner.write_job(algorithm, algorithm, parameters);
            if *folder == parted {
                killed(&inner, algorithm, &mut random, KILLS);
                finish(
                    inner
                        .smrt(&["train", "--resume", &format!("{algorithm}.toml")])
                        .spawn()
                        .unwrap(),
                );
                assert!(inner.checkpoints(algorithm).is_empty(), "something is left behind");
            } else {
                finish(inner.smrt(&["train", &format!("{algorithm}.toml")]).spawn().unwrap());
            }
        }
        let inside = |folder: &str| {
            let folder = place.folder.join(folder);
            let (home, output) = (place.home.clone(), String::new());
            Place { home, output, folder, server: None }.inside(algorithm)
        };
        assert!(inside(&whole) == inside(&parted), "{algorithm} differs after it was killed");
    }
}

#[test]
fn threat_34_a_training_killed_at_any_time_resumes_to_the_same_bits() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("models");
    let output = folder.display().to_string();
    let place = Place { home: home.path().to_owned(), output, folder, server: None };
    killed_and_whole_are_the_same(&place);
}

#[test]
fn a_forest_killed_at_any_time_resumes_to_the_same_bits() {
    let home = tempfile::tempdir().unwrap();
    let mut text = String::new();
    let mut state = 1u64;
    for row in 0..24_000 {
        text.push(if row % 100 == 0 { '1' } else { '0' });
        for _ in 0..10 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push_str(&format!(",{}", (state >> 44) % 1_000));
        }
        text.push('\n');
    }
    std::fs::write(home.path().join("train.csv"), text).unwrap();
    let mut bits = Vec::new();
    for folder in ["whole", "parted"] {
        let place = Place {
            home: home.path().to_owned(),
            output: home.path().join(folder).display().to_string(),
            folder: home.path().join(folder),
            server: None,
        };
        let name = "random-cut-forest";
        let job = format!(
            "[job]\nname = \"{name}\"\nseed = 7\n[algorithm]\nname = \"{name}\"\n\
             [hyperparameters]\nnum_trees = 500\n[channels.train]\nuri = \"train.csv\"\n\
             content_type = \"text/csv;label_size=1\"\n[output]\nuri = \"{}\"\n\
             [resources]\nthreads = 2\n[checkpoint]\nkeep = 2\ninterval_s = 0\n",
            place.output
        );
        std::fs::write(home.path().join(format!("{name}.toml")), job).unwrap();
        let file = format!("{name}.toml");
        if folder == "parted" {
            killed(&place, name, &mut u64::from(std::process::id()), KILLS);
            finish(place.smrt(&["train", "--resume", &file]).spawn().unwrap());
            assert!(place.checkpoints(name).is_empty(), "something is left behind");
        } else {
            finish(place.smrt(&["train", &file]).spawn().unwrap());
        }
        bits.push(place.inside(name));
    }
    assert!(bits[0] == bits[1], "the model differs after it was killed");
}

#[test]
fn a_training_with_checkpoints_in_a_bucket_may_be_killed_as_well() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start();
    server.make_bucket("models");
    let place = Place {
        home: home.path().to_owned(),
        output: "s3://models".to_owned(),
        folder: server.path("models", ""),
        server: Some(&server),
    };
    killed_and_whole_are_the_same(&place);
}

#[test]
fn threat_34_the_newest_whole_checkpoint_is_taken_and_so_many_are_left() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("models");
    let output = folder.display().to_string();
    let place = Place { home: home.path().to_owned(), output, folder, server: None };
    place.write_job(
        "demo",
        "mlp",
        "predictor_type = \"binary_classifier\"\nepochs = 6\nearly_stopping_patience = 0",
    );
    let kept = place.home.join("kept");
    let settings = format!("checkpoint.uri={}", kept.display());
    let run = |more: &[&str]| {
        let all = [&["train", "--set", &settings, "--set", "checkpoint.keep=3"], more].concat();
        place.smrt(&[&all[..], &["demo.toml"]].concat()).spawn().unwrap()
    };
    finish(run(&[]));
    let names = |folder: &Path| {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let left = names(&kept);
    let expected: Vec<String> = (3..=5).map(|n| format!("demo.{n:08}.checkpoint")).collect();
    assert_eq!(left, expected, "a place that the job names keeps the last three");
    let whole = place.inside("demo");

    // The newest is damaged: the one before it serves, and the bits are the same.
    let newest = kept.join(&left[2]);
    let mut bytes = std::fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    finish(run(&["--resume"]));
    assert!(whole == place.inside("demo"));

    // What a killed process left half written is never taken, and is swept away.
    std::fs::write(kept.join(".demo.00000099.checkpointX.part"), "half").unwrap();
    finish(run(&["--resume"]));
    assert!(whole == place.inside("demo"));
    assert!(!names(&kept).iter().any(|name| name.ends_with(".part")));
}
