//! The house plan, kept true by reading the sources: who may import whom, which outside crate
//! lives in which room, and where `async` may stand. The table is the one `manual/architecture`
//! shows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Room, and the rooms it may import. Rows go down: nothing imports from above.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("fault", &[]),
    ("spec", &["fault"]),
    ("telemetry", &["spec", "fault"]),
    ("store", &["telemetry", "spec", "fault"]),
    ("seal", &["telemetry", "spec", "fault"]),
    ("http", &["telemetry", "spec", "fault"]),
    ("iam", &["telemetry", "spec", "fault"]),
    ("sandbox", &["telemetry", "spec", "fault"]),
    ("sign", &["telemetry", "spec", "fault"]),
    ("keyring", &["store", "seal", "iam", "sign", "telemetry", "spec", "fault"]),
    ("role", &["iam", "store", "seal", "telemetry", "spec", "fault"]),
    ("event", &["telemetry", "spec", "fault"]),
    ("trail", &["store", "seal", "telemetry", "spec", "fault"]),
    ("data", &["store", "telemetry", "spec", "fault"]),
    ("algorithm", &["data", "telemetry", "spec", "fault"]),
    ("model", &["algorithm", "data", "seal", "sign", "telemetry", "spec", "fault"]),
    ("courier", &["model", "sandbox", "store", "seal", "telemetry", "spec", "fault"]),
    (
        "train",
        &[
            "courier",
            "keyring",
            "sign",
            "model",
            "algorithm",
            "data",
            "sandbox",
            "store",
            "seal",
            "telemetry",
            "spec",
            "fault",
        ],
    ),
    (
        "transform",
        &["keyring", "model", "algorithm", "data", "store", "seal", "telemetry", "spec", "fault"],
    ),
    ("load", &["telemetry", "spec", "fault"]),
    (
        "serve",
        &[
            "keyring",
            "model",
            "algorithm",
            "data",
            "store",
            "seal",
            "http",
            "iam",
            "telemetry",
            "spec",
            "fault",
        ],
    ),
    ("sts", &["http", "iam", "telemetry", "spec", "fault"]),
    ("kms", &["http", "iam", "seal", "telemetry", "spec", "fault"]),
    (
        "cli",
        &[
            "kms",
            "sts",
            "role",
            "trail",
            "event",
            "courier",
            "sandbox",
            "train",
            "transform",
            "serve",
            "load",
            "keyring",
            "sign",
            "model",
            "algorithm",
            "data",
            "store",
            "seal",
            "http",
            "iam",
            "telemetry",
            "spec",
            "fault",
            "error",
        ],
    ),
];

/// The top of the house may see everything: it gathers errors and what fuzzers call, and shows the
/// paved path.
const TOP: &[&str] = &["lib", "main", "error", "manual", "fuzzed"];

/// Outside crate, and the rooms it may live in.
const LIVES_IN: &[(&str, &[&str])] = &[
    ("burn", &["algorithm"]),
    ("pulp", &["algorithm"]),
    ("safetensors", &["algorithm"]),
    ("object_store", &["store"]),
    ("reqwest", &["store", "event"]),
    ("aes_gcm", &["seal"]),
    ("ring", &["seal"]),
    ("landlock", &["sandbox"]),
    ("seccompiler", &["sandbox"]),
    ("nix", &["sandbox"]),
    ("libc", &["sandbox"]),
    ("hkdf", &["seal"]),
    ("p256", &["sign"]),
    ("p384", &["seal", "sign"]),
    ("hmac", &["iam", "seal", "event"]),
    ("argon2", &["seal"]),
    ("zeroize", &["seal", "sign", "iam", "kms", "keyring", "event"]),
    ("subtle", &["seal", "iam", "http"]),
    ("hyper", &["http", "serve", "kms", "sts"]),
    ("http_body_util", &["http", "serve"]),
    ("socket2", &["http", "serve"]),
    ("httparse", &["load"]),
    ("tokio", &["store", "http", "serve", "load", "event"]),
    ("rustls", &["store", "http", "event"]),
    ("tar", &["model", "train"]),
    ("flate2", &["model", "data", "http"]),
    ("ruzstd", &["data", "http"]),
    ("fast_float2", &["data"]),
    ("parquet", &["data"]),
    ("snap", &["data"]),
    ("lz4_flex", &["data"]),
    ("toml", &["spec"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("indicatif", &["cli"]),
    ("ctrlc", &["cli"]),
    ("tracing_subscriber", &["telemetry"]),
];

/// Rooms in which waiting is allowed.
const ASYNC: &[&str] = &["store", "http", "serve", "kms", "sts", "load"];

struct File {
    room: String,
    path: PathBuf,
    /// Without comments and without the inline tests at the end.
    code: String,
}

fn sources() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(&root).unwrap();
                let first = below.iter().next().unwrap().to_string_lossy().into_owned();
                let room = first.trim_end_matches(".rs").to_owned();
                let text = std::fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                let code = text
                    .lines()
                    .map(|line| line.split("//").next().unwrap())
                    .collect::<Vec<_>>()
                    .join("\n");
                files.push(File { room, path: below.to_owned(), code });
            }
        }
    }
    assert!(files.len() > 40, "the sources were not found");
    files
}

/// Every word that follows `marker` in `code`, also inside `{a, b}` after it.
fn after<'a>(code: &'a str, marker: &str) -> BTreeSet<&'a str> {
    let word = |text: &'a str| {
        text.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default()
    };
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(marker) {
        let rest = &code[at + marker.len()..];
        if let Some(list) = rest.strip_prefix('{') {
            found.extend(list.split('}').next().unwrap().split(',').map(|part| word(part.trim())));
        } else {
            found.insert(word(rest));
        }
    }
    found
}

#[test]
fn rooms_import_only_from_below() {
    let allowed: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let rooms: BTreeSet<_> = allowed.keys().copied().collect();
    let mut wrong = Vec::new();
    for file in sources() {
        if TOP.contains(&file.room.as_str()) {
            continue;
        }
        let Some(may) = allowed.get(file.room.as_str()) else {
            wrong.push(format!("{}: the room is not in the table", file.path.display()));
            continue;
        };
        for used in after(&file.code, "crate::") {
            if used == file.room || may.contains(&used) {
                continue;
            }
            if rooms.contains(used) || TOP.contains(&used) {
                wrong.push(format!("{} imports crate::{used}", file.path.display()));
            } else {
                wrong.push(format!(
                    "{} uses crate::{used}: import it by its room's path",
                    file.path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_has_no_cycle() {
    for (row, (room, below)) in MAY_IMPORT.iter().enumerate() {
        for other in below.iter().filter(|other| !TOP.contains(other)) {
            let at = MAY_IMPORT.iter().position(|(name, _)| name == other);
            assert!(at.is_some_and(|at| at < row), "{room} may import {other}, which is not below");
        }
    }
}

#[test]
fn an_outside_crate_lives_in_its_rooms() {
    let mut wrong = Vec::new();
    for file in sources() {
        for (name, rooms) in LIVES_IN {
            let used = file.code.match_indices(&format!("{name}::")).any(|(at, _)| {
                let before = file.code[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
            });
            if used && !rooms.contains(&file.room.as_str()) {
                wrong.push(format!("{} uses {name}", file.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn waiting_happens_only_at_the_borders() {
    for file in sources() {
        if !ASYNC.contains(&file.room.as_str()) {
            let waits = file.code.contains("async fn") || file.code.contains(".await");
            assert!(!waits, "{} waits", file.path.display());
        }
    }
}
