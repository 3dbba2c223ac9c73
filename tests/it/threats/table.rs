//! `SECURITY.md` against the tests that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Rows of the table.
const ROWS: u32 = 40;

/// Every `fn threat_NN_…` of a test, by its row.
fn tests() -> BTreeMap<u32, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = ["src", "tests"].map(|name| root.join(name)).into();
    let mut found: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let mut attributes = Vec::new();
                for line in text.lines().map(str::trim) {
                    match line.strip_prefix("fn threat_") {
                        _ if line.starts_with("#[") => attributes.push(line.to_owned()),
                        Some(rest) => {
                            let name = rest.split('(').next().unwrap();
                            let row = name.split('_').next().unwrap().parse().unwrap();
                            assert!(
                                attributes.iter().any(|line| line.starts_with("#[test")),
                                "{}: threat_{name} is no test",
                                path.display()
                            );
                            found.entry(row).or_default().insert(format!("threat_{name}"));
                        }
                        None => attributes.clear(),
                    }
                }
            }
        }
    }
    found
}

/// The table's rows: number, tests named, and whether a reason is given that something is not covered.
fn table() -> BTreeMap<u32, (BTreeSet<String>, bool)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("SECURITY.md");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let row = cells.first()?.parse().ok()?;
            assert_eq!(cells.len(), 4, "row {row} has other columns than the table");
            let named = cells[3].split('`').skip(1).step_by(2).map(str::to_owned).collect();
            Some((row, (named, cells[3].contains("Not covered:"))))
        })
        .collect()
}

#[test]
fn the_threat_table_names_exactly_the_tests_that_exist() {
    let (table, tests) = (table(), tests());
    let mut wrong = Vec::new();
    for row in 1..=ROWS {
        let Some((named, reason)) = table.get(&row) else {
            wrong.push(format!("row {row} is not in the table"));
            continue;
        };
        let there = tests.get(&row).cloned().unwrap_or_default();
        for name in named.difference(&there) {
            wrong.push(format!("row {row} names {name}, which is no test"));
        }
        for name in there.difference(named) {
            wrong.push(format!("row {row} does not name {name}"));
        }
        if named.is_empty() && !reason {
            wrong.push(format!("row {row} has neither a test nor a reason"));
        }
    }
    for row in tests.keys().filter(|row| !(1..=ROWS).contains(row)) {
        wrong.push(format!("there is no row {row}"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
