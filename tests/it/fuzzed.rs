//! The corpora of the fuzz targets, replayed as plain tests: every input that taught a fuzzer
//! something, and every one that once broke a parser.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use smrt::fuzzed::FUZZED;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|why| panic!("{folder:?}: {why}"));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_input_that_a_fuzzer_kept_is_taken_by_its_parser() {
    let (mut files, mut failed) = (0, Vec::new());
    for (target, check) in FUZZED {
        let folder = fuzz().join("corpus").join(target);
        for name in names(&folder) {
            let bytes = std::fs::read(folder.join(&name)).unwrap();
            files += 1;
            if catch_unwind(AssertUnwindSafe(|| check(&bytes))).is_err() {
                failed.push(format!("tests/fuzz/corpus/{target}/{name}"));
            }
        }
    }
    assert!(failed.is_empty(), "broken by:\n{}", failed.join("\n"));
    assert!(files > 10 * FUZZED.len(), "{files} files are no corpus");
}

#[test]
fn every_target_has_a_program_and_a_corpus_and_nothing_else_has() {
    let table: BTreeSet<String> = FUZZED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(table.len(), FUZZED.len(), "a name stands twice");
    assert_eq!(names(&fuzz().join("corpus")), table);
    let programs = names(&fuzz().join("fuzz_targets"));
    let programs: BTreeSet<String> =
        programs.iter().map(|name| name.trim_end_matches(".rs").to_owned()).collect();
    // One program that holds all of them.
    let expected: BTreeSet<String> = table.iter().cloned().chain(["any".to_owned()]).collect();
    assert_eq!(programs, expected);
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in &expected {
        let path = format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n");
        assert!(manifest.contains(&path), "{name} is not built");
        let program = std::fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs")));
        let calls = format!("smrt::fuzzed::check(\"{name}\", bytes)");
        assert!(name == "any" || program.unwrap().contains(&calls), "{name} calls another");
    }
}
