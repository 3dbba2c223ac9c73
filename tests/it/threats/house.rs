//! Rules that the sources keep, read off the sources.

use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `folder` that ends so, with its text.
fn files(folder: &str, ending: &str) -> Vec<(PathBuf, String)> {
    let mut folders = vec![root().join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    found
}

#[test]
fn threat_36_every_dependency_is_locked_by_its_digest_and_comes_from_the_registry() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let mut count = 0;
    for package in lock.split("[[package]]").skip(1) {
        let field = |name: &str| {
            let start = format!("{name} = \"");
            package.lines().find_map(|line| line.strip_prefix(start.as_str()))
        };
        let name = field("name").unwrap().trim_end_matches('"');
        match field("source") {
            // This repository's own.
            None => assert!(name.starts_with("smrt"), "{name} comes from nowhere"),
            Some(source) => {
                let registry = "registry+https://github.com/rust-lang/crates.io-index\"";
                assert_eq!(source, registry, "{name} comes from elsewhere");
                let digest = field("checksum").unwrap_or_default().trim_end_matches('"');
                assert!(
                    digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()),
                    "{name}"
                );
                count += 1;
            }
        }
    }
    assert!(count > 200, "{count}");
    assert!(!root().join("build.rs").exists(), "something runs when smrt is built");
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(!manifest.contains("git ="), "a dependency has no release");
    assert!(!manifest.contains("[patch"), "a dependency is not what it says");
    // The first step of CI asks for exactly the lock file, and fails where it would have to change.
    let ci =
        [".ci/run", ".ci/features"].map(|path| std::fs::read_to_string(root().join(path)).unwrap());
    assert!(ci[0].contains(".ci/features") && ci[1].contains("\"--locked\""));
}

#[test]
fn threat_37_what_waits_and_what_bounds_counts_by_a_clock_that_cannot_jump() {
    /// Rooms that date things: signatures, records, keys, leases. All others wait and bound, and count
    /// by `Instant`.
    const DATE: &[&str] = &["iam", "kms", "seal", "telemetry", "cli"];
    let (mut dates, mut counts) = (0, 0);
    for (path, text) in files("src", ".rs") {
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines = code.lines().map(|line| line.split("//").next().unwrap());
        let code: String = lines.collect::<Vec<_>>().join("\n");
        counts += usize::from(code.contains("Instant::now"));
        if path.ends_with("tests.rs") || !code.contains("SystemTime::now") {
            continue;
        }
        dates += 1;
        let room = path.iter().nth(1).unwrap().to_str().unwrap().trim_end_matches(".rs");
        let record = path.ends_with("serve/recorded.rs");
        assert!(DATE.contains(&room) || record, "{} reads the wall clock", path.display());
        // A date less a date is a duration that a jump makes wrong, or negative.
        let subtracts = code.contains("SystemTime::now().duration_since(")
            && !code.contains("SystemTime::now().duration_since(SystemTime::UNIX_EPOCH")
            && !code.contains("SystemTime::now().duration_since(UNIX_EPOCH");
        assert!(!subtracts, "{} counts by the wall clock", path.display());
    }
    assert!(dates > 0 && counts > 10, "the sources were not found: {dates}, {counts}");
}
