//! The same for jobs whose rows lie on disk: killed in the middle of an epoch, they read their
//! channels anew, find the place they were at, and end in the same bits.

use std::fmt::Write;
use std::process::Stdio;

use super::{Place, finish, killed};

const COLUMNS: usize = 40;
const ROWS: u64 = 50_000;

/// Numbers that depend on row and column alone.
fn draw(row: u64, column: usize) -> f32 {
    let x = (row * 131 + column as u64 * 17 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x >> 40) as f32 / (1 << 24) as f32 - 0.5
}

/// Two classes that a straight line parts but for noise: 8 MB of numbers.
fn numbers() -> String {
    let mut text = String::new();
    for row in 0..ROWS {
        let sum: f32 = (0..COLUMNS).map(|at| draw(row, at) * ((at % 5) as f32 - 2.0)).sum();
        write!(text, "{}", u8::from(sum + 0.5 * draw(row, 99) > 0.0)).unwrap();
        (0..COLUMNS).for_each(|at| write!(text, ",{:.3}", draw(row, at)).unwrap());
        text.push('\n');
    }
    text
}

/// Every user comes from one network of its own: 300,000 logins of 48 bytes.
fn logins() -> String {
    let line = |at: u64| {
        let draw = at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        format!("user-{},10.{}.{}.{}\n", draw % 300, draw % 300 % 7, draw % 300 / 2, draw / 300 % 250)
    };
    (0..300_000).map(line).collect()
}

/// Trains once in peace and once killed `kills` times; the models are the same bytes.
fn the_same_when_killed(algorithm: &str, parameters: &str, channel: &str, text: &str, kills: usize) {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("train.csv"), text).unwrap();
    std::fs::create_dir(home.path().join("scratch")).unwrap();
    let mut bits = Vec::new();
    for folder in ["whole", "parted"] {
        let place = Place {
            home: home.path().to_owned(),
            output: home.path().join(folder).display().to_string(),
            folder: home.path().join(folder),
            server: None,
        };
        // The file's name is the job's.
        let job = format!(
            "[job]\nname = \"{algorithm}\"\nseed = 7\n[algorithm]\nname = \"{algorithm}\"\n\
             [hyperparameters]\n{parameters}[channels.train]\nuri = \"train.csv\"\n{channel}\n\
             [output]\nuri = \"{}\"\n[resources]\ndevice = \"cpu\"\nthreads = 2\n\
             memory_bytes_max = {}\nscratch = \"scratch\"\n\
             [checkpoint]\nkeep = 2\ninterval_s = 0\n",
            place.output,
            12 << 20
        );
        let file = format!("{algorithm}.toml");
        std::fs::write(home.path().join(&file), job).unwrap();
        match folder {
            "parted" if kills == 0 => killed_before_a_state(&place, &file),
            "parted" => {
                killed(&place, algorithm, &mut u64::from(std::process::id()), kills);
                finish(place.smrt(&["train", "--resume", &file]).spawn().unwrap());
                assert!(place.checkpoints(algorithm).is_empty(), "something is left behind");
            }
            _ => {
                let done = place.smrt(&["train", &file]).stdout(Stdio::piped()).output().unwrap();
                let told = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
                assert!(done.status.success(), "{told}");
                assert!(told.contains("streamed from disk"), "{algorithm} did not stream: {told}");
            }
        }
        bits.push(place.inside(algorithm));
    }
    assert!(bits[0] == bits[1], "{algorithm} differs after it was killed: {parameters}");
    let left = std::fs::read_dir(home.path().join("scratch")).unwrap().count();
    assert_eq!(left, 0, "rows are left on disk");
}

/// An algorithm of one pass keeps no state: killed anywhere it leaves nothing behind, says so when it
/// is told to go on, and is begun anew.
fn killed_before_a_state(place: &Place<'_>, file: &str) {
    for delay_ms in [30, 150, 400] {
        let mut child = place.smrt(&["train", file]).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(delay_ms));
        // One that is quick may have ended.
        let _ = child.kill();
        child.wait().unwrap();
        let _ = std::fs::remove_dir_all(&place.folder);
    }
    let refused = place.smrt(&["train", "--resume", file]).output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("without --resume"), "{told}");
    finish(place.smrt(&["train", file]).spawn().unwrap());
}

const LABELLED: &str = "content_type = \"text/csv;label_size=1\"";

#[test]
fn trees_of_rows_on_disk_killed_at_any_time_resume_to_the_same_bits() {
    let text = numbers();
    for (algorithm, parameters) in [
        (
            "xgboost",
            "objective = \"binary:logistic\"\nnum_round = 40\nmax_depth = 4\nsubsample = 0.7\n\
             colsample_bytree = 0.6\n",
        ),
        (
            "lightgbm",
            "objective = \"binary\"\nnum_boost_round = 40\nboosting = \"goss\"\nnum_leaves = 15\n\
             learning_rate = 0.3\nmetric = \"auc\"\n",
        ),
    ] {
        the_same_when_killed(algorithm, parameters, LABELLED, &text, 4);
    }
}

#[test]
fn epochs_over_rows_on_disk_killed_at_any_time_resume_to_the_same_bits() {
    let text = numbers();
    for (algorithm, parameters) in [
        (
            "mlp",
            "predictor_type = \"binary_classifier\"\nepochs = 8\nmini_batch_size = 500\n\
             hidden_layers = [16]\nearly_stopping_patience = 0\n",
        ),
        (
            "linear-learner",
            "predictor_type = \"binary_classifier\"\nepochs = 8\nmini_batch_size = 500\n\
             num_models = 2\n",
        ),
    ] {
        the_same_when_killed(algorithm, parameters, LABELLED, &text, 4);
    }
}

#[test]
fn centres_and_components_of_rows_on_disk_survive_being_killed() {
    let text = numbers();
    for parameters in [
        "k = 16\nlocal_lloyd_max_iter = 60\nlocal_lloyd_tol = 0.000001\n",
        "k = 16\nalgorithm_mode = \"mini-batch\"\nepochs = 12\nmini_batch_size = 500\n",
    ] {
        the_same_when_killed("kmeans", parameters, LABELLED, &text, 4);
    }
    the_same_when_killed("pca", "num_components = 4\n", LABELLED, &text, 0);
}

#[test]
fn logins_on_disk_killed_at_any_time_teach_the_same() {
    let parameters = "num_entity_vectors = 600\nvector_dim = 16\nepochs = 8\n\
                      mini_batch_size = 5000\nlearning_rate = 0.02\n";
    let channel = "content_type = \"text/csv;label_size=0\"";
    the_same_when_killed("ip-insights", parameters, channel, &logins(), 4);
}
