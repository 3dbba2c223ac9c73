//! Live, both ways, with PyPI's `aws-encryption-sdk`, through `tests/interop/esdk.py`. Runs where
//! `SMRT_PYTHON` names a Python that has it; says so and passes where not.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use smrt::seal::{Context, RawKey, Settings, open_file, seal_file};

use super::{KEY, content, key, open_under};

const SIZES: [usize; 8] = [0, 1, 4095, 4096, 4097, 8192, 1 << 20, (1 << 20) + 1];

fn python() -> Option<std::ffi::OsString> {
    let python = std::env::var_os("SMRT_PYTHON").filter(|path| !path.is_empty());
    if python.is_none() {
        println!("skipped: SMRT_PYTHON does not name a Python with aws-encryption-sdk");
    }
    python
}

fn run(python: &std::ffi::OsStr, mode: &str, folder: &Path, cases: &[Value]) {
    std::fs::write(folder.join("cases.json"), serde_json::to_vec(cases).unwrap()).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/esdk.py");
    let done = Command::new(python).args([script, mode]).arg(folder).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(said.trim(), format!("{mode}: {} cases", cases.len()));
    println!("{}", said.trim());
}

fn contexts() -> [Vec<(&'static str, &'static str)>; 3] {
    [vec![], vec![("smrt:artifact", "model.tar.gz"), ("zé", "ü")], vec![("only", "one")]]
}

fn case(
    name: &str,
    suite: &str,
    frame_bytes: u32,
    pairs: &[(&str, &str)],
    folder: &Path,
    size: usize,
) -> Value {
    std::fs::write(folder.join(format!("{name}.plain")), content(size)).unwrap();
    json!({
        "name": name, "suite": suite, "frame_bytes": frame_bytes,
        "context": pairs.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
        "plain": format!("{name}.plain"), "sealed": format!("{name}.sealed"),
        "key_hex": hex::encode([0x42; 32]), "key_name": KEY, "key_namespace": "smrt-kms",
    })
}

#[test]
fn python_opens_what_smrt_sealed() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut cases = Vec::new();
    for (at, size) in SIZES.into_iter().enumerate() {
        for (which, pairs) in contexts().into_iter().enumerate() {
            for frame_bytes in [4096, 1 << 20] {
                let name = format!("{at}-{which}-{frame_bytes}");
                let path = |ending: &str| folder.path().join(format!("{name}.{ending}"));
                cases.push(case(&name, "0478", frame_bytes, &pairs, folder.path(), size));
                let context = Context::from_pairs(pairs.clone()).unwrap();
                let settings = Settings { frame_bytes, ..Settings::default() };
                seal_file(&path("plain"), &path("sealed"), &key(), KEY, &context, &settings)
                    .unwrap();
            }
        }
    }
    run(&python, "open", folder.path(), &cases);
}

#[test]
fn smrt_opens_what_python_sealed() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut cases = Vec::new();
    for (at, size) in SIZES.into_iter().enumerate() {
        for (which, pairs) in contexts().into_iter().enumerate() {
            for suite in ["0478", "0578"] {
                let name = format!("{at}-{which}-{suite}");
                cases.push(case(&name, suite, 4096, &pairs, folder.path(), size));
            }
        }
    }
    run(&python, "seal", folder.path(), &cases);
    for case in &cases {
        let path = |key: &str| folder.path().join(case[key].as_str().unwrap());
        let plain = std::fs::read(path("plain")).unwrap();
        let sealed = std::fs::read(path("sealed")).unwrap();
        let pairs = case["context"].as_object().unwrap();
        let asked =
            Context::from_pairs(pairs.iter().map(|(k, v)| (k, v.as_str().unwrap()))).unwrap();
        assert!(open_under(&sealed, &key(), &asked).unwrap() == plain, "{}", case["name"]);
        let opened = folder.path().join("opened");
        open_file(&path("sealed"), &opened, &key(), &Context::new()).unwrap();
        assert!(std::fs::read(opened).unwrap() == plain, "{}", case["name"]);
        let stranger = RawKey::new("smrt-kms", KEY, [0; 32]).unwrap();
        assert!(open_under(&sealed, &stranger, &asked).is_err(), "{}", case["name"]);
    }
}
