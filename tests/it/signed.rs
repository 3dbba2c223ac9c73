//! Who vouches for a model: signed by a job, held to it by verify, predict and serve, and PyPI's
//! model-signing both ways.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use smrt::seal::{Context, LocalKeys, open_to_vec};

const ARTIFACT: &str = "out/demo/output/model.tar.gz";

fn smrt(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_smrt"))
        .args(arguments)
        .env("SMRT_HOME", folder.join("home"))
        .env_remove("AWS_ENDPOINT_URL_KMS")
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
}

#[track_caller]
fn fine(folder: &Path, arguments: &[&str]) -> String {
    let (code, said, error) = smrt(folder, arguments);
    assert_eq!(code, 0, "{arguments:?}: {error}");
    said
}

#[track_caller]
fn refused(folder: &Path, arguments: &[&str], why: &str) {
    let (code, _, error) = smrt(folder, arguments);
    assert!(code != 0 && error.contains(why), "{arguments:?}: {code} {error}");
    assert!(error.contains(" help: "), "{error}");
}

/// A folder with data, two signing keys and their public halves, and a job that signs.
fn world() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let rows: String = (0..400)
        .map(|row| {
            let (x, y) = (f64::from(row % 17) / 17.0, f64::from(row % 13) / 13.0);
            format!("{},{x},{y}\n", u8::from(x + y > 1.0))
        })
        .collect();
    std::fs::write(at.join("train.csv"), rows).unwrap();
    std::fs::write(at.join("rows.csv"), "0.1,0.1\n0.9,0.9\n").unwrap();
    std::fs::write(
        at.join("job.toml"),
        "[job]\nname = \"demo\"\n[algorithm]\nname = \"linear-learner\"\n[hyperparameters]\n\
         predictor_type = \"binary_classifier\"\nepochs = 2\nnum_models = 1\n\
         [channels.train]\nuri = \"train.csv\"\n[output]\nuri = \"out\"\nsign = \"release\"\n\
         [resources]\nthreads = 1\n",
    )
    .unwrap();
    fine(at, &["sign", "keygen", "release"]);
    fine(at, &["sign", "keygen", "other", "--curve", "p384"]);
    for name in ["release", "other"] {
        std::fs::write(at.join(format!("{name}.pem")), fine(at, &["sign", "public", name]))
            .unwrap();
    }
    folder
}

/// The files inside an artifact.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let sealed = std::fs::File::open(folder.join(ARTIFACT)).unwrap();
    let keys = LocalKeys::new(&folder.join("home"));
    let archive = open_to_vec(sealed, &keys, &Context::new(), 1 << 30).unwrap();
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(&archive[..]));
    let entries = tar.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().to_string_lossy().into_owned(), bytes)
    });
    entries.collect()
}

/// A plain artifact of these files.
fn packed(path: &Path, files: &[(String, Vec<u8>)]) -> String {
    let to = std::fs::File::create(path).unwrap();
    let entries = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    smrt::model::write_files(entries, to).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_signed_artifact_is_opened_and_one_unsigned_strange_or_packed_anew_is_not() {
    let folder = world();
    let at = folder.path();
    let report = fine(at, &["train", "--format", "json", "job.toml"]);
    assert!(report.contains("\"signer\""), "{report}");
    let said = fine(at, &["verify", ARTIFACT, "--key", "other.pem", "--key", "release.pem"]);
    assert!(said.contains("signed by") && said.contains("\"demo\""), "{said}");
    assert!(fine(at, &["sign", "list"]).contains(said.split(' ').nth(3).unwrap()));
    assert!(fine(at, &["inspect", ARTIFACT]).contains("smrt verify"));

    let predict = |place: &str, key: &str| {
        let arguments = ["predict", "--require-signature", key, place, "rows.csv"];
        let (code, said, error) = smrt(at, &arguments);
        (code == 0 && said.lines().count() == 2, error)
    };
    assert!(predict(ARTIFACT, "release.pem").0);
    refused(at, &["verify", ARTIFACT, "--key", "other.pem"], "signed by another key");
    assert!(predict(ARTIFACT, "other.pem").1.contains("signed by another key"));

    // Unpacked and packed anew: the same files verify, others do not.
    let all = files(at);
    assert!(predict(&packed(&at.join("same.tar.gz"), &all), "release.pem").0);
    let at_name = |name: &str| all.iter().position(|(found, _)| found == name).unwrap();
    for (what, change) in [
        (
            "was changed after signing",
            &(|files: &mut Vec<(String, Vec<u8>)>| {
                files[at_name("manifest.json")].1.push(b' ');
            }) as &dyn Fn(&mut Vec<(String, Vec<u8>)>),
        ),
        ("was not signed", &|files| files.push(("more.txt".into(), b"x".to_vec()))),
        ("was signed and is not there", &|files| drop(files.remove(at_name("provenance.json")))),
        ("is not signed", &|files| drop(files.remove(at_name("model.sig")))),
    ] {
        let mut changed = all.clone();
        change(&mut changed);
        let place = packed(&at.join("changed.tar.gz"), &changed);
        let (worked, error) = predict(&place, "release.pem");
        assert!(!worked && error.contains(what), "{what}: {error}");
        refused(at, &["verify", &place, "--key", "release.pem"], what);
        refused(at, &["serve", "--require-signature", "release.pem", &place], what);
        std::fs::write(
            at.join("endpoint.toml"),
            format!(
                "[endpoint]\nname = \"e\"\nrequire_signature = [\"release.pem\"]\n\
                 [listener]\naddress = \"127.0.0.1:0\"\n[variants.a]\nmodel = \"{place}\"\n"
            ),
        )
        .unwrap();
        refused(at, &["serve", "endpoint.toml"], what);
    }
    // A model of another library that nobody signed.
    std::fs::write(at.join("model.json"), "{}").unwrap();
    let (worked, error) = predict("model.json", "release.pem");
    assert!(!worked && error.contains("not signed"), "{error}");

    // Moving it to another key leaves the signature.
    fine(at, &["keys", "create", "--alias", "alias/b"]);
    fine(at, &["reseal", ARTIFACT, "--key", "alias/b"]);
    assert!(predict(ARTIFACT, "release.pem").0);
}

#[test]
fn a_signing_key_is_private_sealed_and_bound_to_its_name() {
    use std::os::unix::fs::PermissionsExt;
    let folder = world();
    let at = folder.path();
    let key = at.join("home/signing/release.key");
    let bytes = std::fs::read(&key).unwrap();
    assert_eq!(bytes[0], 2, "not sealed");
    assert!(!String::from_utf8_lossy(&bytes).contains("PRIVATE KEY"));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&key), mode(&at.join("home/signing"))), (0o600, 0o700));
    refused(at, &["sign", "keygen", "release"], "a key of this name is there");
    refused(at, &["sign", "public", "nobody"], "there is no signing key");
    // Another key's file under this one's name.
    std::fs::copy(at.join("home/signing/other.key"), &key).unwrap();
    refused(at, &["train", "job.toml"], "does not open");
    std::fs::write(&key, &bytes).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    refused(at, &["check", "job.toml"], "others may use it");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    fine(at, &["check", "job.toml"]);
    refused(at, &["train", "--set", "output.sign=nobody", "job.toml"], "there is no signing key");
    assert!(!at.join("out").exists());
}

#[test]
fn threat_5_an_older_valid_version_at_the_same_key_is_refused() {
    let folder = world();
    let at = folder.path();
    let artifact = at.join(ARTIFACT);
    fine(at, &["train", "job.toml"]);
    let (old, old_record) =
        (std::fs::read(&artifact).unwrap(), std::fs::read(at.join("out/demo/job.json")).unwrap());
    fine(at, &["train", "--set", "job.seed=2", "job.toml"]);
    let record = "out/demo/job.json";
    let predict = |more: &[&str]| smrt(at, &[&["predict"], more, &[ARTIFACT, "rows.csv"]].concat());
    let by_record = ["--job-record", record, "--require-signature", "release.pem"];
    assert_eq!(predict(&by_record).0, 0);
    let shown = fine(at, &["inspect", "--format", "json", ARTIFACT]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let digest = format!("sha256:{}", shown["sha256"].as_str().unwrap());
    assert_eq!(predict(&["--digest", &digest]).0, 0);

    // Whoever writes the store puts the older one back: valid, sealed, signed.
    std::fs::write(&artifact, &old).unwrap();
    assert_eq!(predict(&["--require-signature", "release.pem"]).0, 0, "by itself it is fine");
    for more in [&by_record[..], &["--digest", &digest]] {
        let (code, _, error) = predict(more);
        assert!(code == 1 && error.contains("was wanted"), "{error}");
        assert!(error.contains("older or another version"), "{error}");
    }
    for rest in [format!("digest = \"{digest}\""), format!("job_record = \"{record}\"")] {
        std::fs::write(
            at.join("endpoint.toml"),
            format!(
                "[endpoint]\nname = \"e\"\n[listener]\naddress = \"127.0.0.1:0\"\n\
                 [variants.a]\nmodel = \"{ARTIFACT}\"\n{rest}\n"
            ),
        )
        .unwrap();
        refused(at, &["serve", "endpoint.toml"], "was wanted");
    }
    std::fs::write(
        at.join("endpoint.toml"),
        format!(
            "[endpoint]\nname = \"e\"\n[listener]\naddress = \"127.0.0.1:0\"\n[models]\nuri = \"out\"\n\
             pinned = [\"demo/output/model.tar.gz\"]\n[models.digests]\n\
             \"demo/output/model.tar.gz\" = \"{digest}\"\n"
        ),
    )
    .unwrap();
    refused(at, &["serve", "endpoint.toml"], "was wanted");

    // A record that somebody wrote to fit, and one of another signer.
    let text = String::from_utf8(old_record.clone()).unwrap();
    std::fs::write(at.join(record), text.replace("payload\":\"", "payload\":\"AAAA")).unwrap();
    let (code, _, error) = predict(&by_record);
    assert!(code != 0 && error.contains("does not match"), "{error}");
    std::fs::write(at.join(record), &old_record).unwrap();
    let (code, _, error) = predict(&["--job-record", record, "--require-signature", "other.pem"]);
    assert!(code != 0 && error.contains("another key"), "{error}");
}

#[test]
fn an_endpoint_file_tells_mistakes_about_trust_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(
        at.join("endpoint.toml"),
        "[endpoint]\nname = \"e\"\nrequire_signature = []\n\
         [variants.a]\nmodel = \"m.tar.gz\"\ndigest = \"sha256:12\"\n\
         [variants.b]\nmodel = \"m.tar.gz\"\ndigest = \"sha256:AA\"\njob_record = \"job.json\"\n",
    )
    .unwrap();
    let (code, _, error) = smrt(at, &["check", "endpoint.toml"]);
    assert_eq!(code, 2);
    for part in ["require_signature", "variants.a.digest", "variants.b.digest", "64 hexadecimal"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

/// Runs the script of PyPI's model-signing.
fn python(arguments: &[&str]) -> Option<String> {
    let Some(python) = std::env::var_os("SMRT_PYTHON").filter(|path| !path.is_empty()) else {
        println!("skipped: SMRT_PYTHON does not name a Python with model-signing");
        return None;
    };
    let there = Command::new(&python)
        .args(["-c", "import model_signing"])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    if !there.success() {
        println!("skipped: SMRT_PYTHON has no model-signing");
        return None;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/model_signing_both_ways.py");
    let done = Command::new(python).arg(script).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    Some(said.lines().last().unwrap_or_default().to_owned())
}

fn unpacked(folder: &Path, name: &str, files: &[(String, Vec<u8>)]) -> PathBuf {
    let tree = folder.join(name);
    for (name, bytes) in files {
        let path = tree.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    tree
}

#[test]
fn model_signing_verifies_the_tree_of_an_artifact_and_refuses_a_changed_one() {
    let folder = world();
    let at = folder.path();
    for name in ["release", "other"] {
        fine(at, &["train", "--set", &format!("output.sign={name}"), "job.toml"]);
        let tree = unpacked(at, name, &files(at));
        let (tree, key) = (tree.to_str().unwrap(), at.join(format!("{name}.pem")));
        let key = key.to_str().unwrap();
        let Some(said) = python(&["verify", tree, key]) else { return };
        assert_eq!(said, "done");
        let path = Path::new(tree).join("manifest.json");
        let mut changed = std::fs::read(&path).unwrap();
        changed.push(b' ');
        std::fs::write(&path, changed).unwrap();
        assert!(python(&["verify", tree, key]).unwrap().contains("refused"));
    }
}

#[test]
fn smrt_verifies_a_tree_that_model_signing_signed() {
    let folder = world();
    let at = folder.path();
    let place = at.to_str().unwrap();
    if python(&["keys", place]).is_none() {
        return;
    }
    fine(at, &["train", "job.toml"]);
    for curve in ["p256", "p384"] {
        let mut all = files(at);
        all.retain(|(name, _)| name != "model.sig");
        let tree = unpacked(at, curve, &all);
        let private = at.join(format!("{curve}.pem"));
        let said = python(&["sign", tree.to_str().unwrap(), private.to_str().unwrap()]).unwrap();
        assert_eq!(said, "done");
        all.push(("model.sig".into(), std::fs::read(tree.join("model.sig")).unwrap()));
        let artifact = packed(&at.join("theirs.tar.gz"), &all);
        let public = format!("{curve}.pub");
        assert!(fine(at, &["verify", &artifact, "--key", &public]).contains("signed by"));
        let predict = ["predict", "--require-signature", &public, &artifact, "rows.csv"];
        assert_eq!(fine(at, &predict).lines().count(), 2);
        refused(at, &["verify", &artifact, "--key", "release.pem"], "another key");
        all.push(("more".into(), b"x".to_vec()));
        let artifact = packed(&at.join("theirs.tar.gz"), &all);
        refused(at, &["verify", &artifact, "--key", &public], "was not signed");
        // Their key signs here.
        fine(at, &["sign", "import", curve, private.to_str().unwrap()]);
        assert_eq!(
            fine(at, &["sign", "public", curve]),
            std::fs::read_to_string(at.join(&public)).unwrap()
        );
    }
}

#[test]
fn provenance_is_slsa_v1_by_in_toto_s_own_schemas_and_names_every_input_by_digest() {
    use sha2::{Digest, Sha256};
    let folder = world();
    let at = folder.path();
    fine(at, &["train", "job.toml"]);
    let all = files(at);
    let digest = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let of = |name: &str| all.iter().find(|(found, _)| found == name).unwrap().1.clone();
    std::fs::write(at.join("provenance.json"), of("provenance.json")).unwrap();
    let file = at.join("provenance.json");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/provenance.py");
    let Some(python) = std::env::var_os("SMRT_PYTHON").filter(|path| !path.is_empty()) else {
        println!("skipped: SMRT_PYTHON does not name a Python with in-toto-attestation");
        return;
    };
    let done = Command::new(python).arg(script).arg(file).output().unwrap();
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{error}");
    let read: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let data = digest(&std::fs::read(at.join("train.csv")).unwrap());
    assert_eq!(read["inputs"]["train"], data);
    for (name, bytes) in &all {
        if !matches!(name.as_str(), "provenance.json" | "model.sig") {
            assert_eq!(read["subjects"][name], digest(bytes), "{name}");
        }
    }
    assert_eq!(
        read["parameters"],
        serde_json::json!(["algorithm", "hyperparameters", "job", "seed"])
    );
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");
    assert_eq!(read["made_of"]["Cargo.lock"]["sha256"], digest(&std::fs::read(lock).unwrap()));
    assert_eq!(read["version"], env!("CARGO_PKG_VERSION"));
}

proptest::proptest! {
    /// Envelopes, records, sidecars and keys are strangers' bytes.
    #[test]
    fn no_bytes_make_a_reader_of_trust_panic(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400),
        at in 0_usize..2000,
    ) {
        use smrt::model::JobRecord;
        use smrt::seal::Sidecar;
        use smrt::sign::{Curve, Envelope, PrivateKey, PublicKey, sign, verify};
        static KEY: std::sync::OnceLock<PrivateKey> = std::sync::OnceLock::new();
        let key = KEY.get_or_init(|| PrivateKey::generate(Curve::P256).unwrap());
        let trusted = [key.public()];
        let files = [("a", &b"1"[..])];
        let mut good = sign("m", files, key);
        let at = at % good.len();
        good.splice(at..(at + bytes.len() % 7).min(good.len()), bytes.iter().copied().take(9));
        for bytes in [&bytes[..], &good] {
            let _ = verify(bytes, files, &trusted);
            let _ = JobRecord::read(bytes, "x", &trusted);
            let _ = JobRecord::read(bytes, "x", &[]);
            let _ = Sidecar::read(bytes, "x");
            let _ = PublicKey::from_pem(&String::from_utf8_lossy(bytes), "x");
            // What nobody could read before it was signed is no statement after it, either.
            let _ = verify(&Envelope::sign(bytes, key).bytes(), files, &trusted);
        }
    }
}
