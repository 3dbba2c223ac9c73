//! The artifact's contents: what stands inside, and that others can read it.

use smrt::model::unpack;

use crate::train::User;

const EPOCH: &str = "[hyperparameters]\npredictor_type = \"binary_classifier\"\nepochs = 1\n";

fn contents(user: &User, algorithm: &str) -> smrt::model::Contents {
    let mut job = user.job(algorithm, EPOCH);
    job.output.key = smrt::spec::train::SealKey::Plain;
    let report = user.run(job).unwrap();
    let bytes = std::fs::read(report.artifact.to_string()).unwrap();
    unpack(&bytes, "model.tar.gz").unwrap()
}

#[test]
fn the_manifest_says_what_the_model_is() {
    let user = User::new();
    let manifest = contents(&user, "mlp").manifest;
    assert_eq!(manifest.algorithm, "mlp");
    assert_eq!(manifest.job, "phishing");
    assert_eq!(manifest.signature.columns.len(), 9);
    assert_eq!(manifest.hyperparameters["epochs"], 1);
    assert!(manifest.metrics.iter().any(|metric| metric.name == "validation:roc_auc_score"));
}

#[test]
fn threat_26_the_provenance_names_every_input_by_its_digest_and_no_place_of_this_machine() {
    use sha2::Digest;
    let user = User::new();
    let contents = contents(&user, "linear-learner");
    let build = &contents.provenance["predicate"]["buildDefinition"];
    let inputs = build["resolvedDependencies"].as_array().unwrap();
    assert_eq!(inputs.len(), 2);
    for (input, file) in inputs.iter().zip(["train.csv", "validation.csv"]) {
        let bytes = std::fs::read(crate::train::datasets().join("phishing").join(file)).unwrap();
        assert_eq!(input["digest"]["sha256"], hex::encode(sha2::Sha256::digest(bytes)));
        assert_eq!(input["uri"], file);
    }
    let text = contents.provenance.to_string();
    assert!(!text.contains(&user.folder.path().display().to_string()), "{text}");
    // The subject is what stands beside it.
    for subject in contents.provenance["subject"].as_array().unwrap() {
        let name = subject["name"].as_str().unwrap();
        if name == "manifest.json" {
            continue;
        }
        let bytes = &contents.files[name];
        assert_eq!(subject["digest"]["sha256"], hex::encode(sha2::Sha256::digest(bytes)));
    }
}

#[test]
fn a_manifest_that_lies_is_refused_when_it_is_opened() {
    let user = User::new();
    let good = contents(&user, "mlp");
    let pack = |manifest: &smrt::model::Manifest, files: smrt::algorithm::Files| {
        let origin =
            smrt::model::Origin { inputs: Vec::new(), seed: 0, threads: 1, device: "cpu".into() };
        smrt::model::pack(manifest, &origin, files, Vec::new()).unwrap()
    };
    let open = |bytes: Vec<u8>| user.opener().open(&bytes[..], "model.tar.gz").map(drop);
    assert!(open(pack(&good.manifest, good.files.clone())).is_ok());

    for (name, change) in [
        ("features", (|m| m.signature.features = 4) as fn(&mut smrt::model::Manifest)),
        ("no features", |m| m.signature.features = 0),
        ("columns", |m| m.signature.columns.truncate(3)),
        ("labels", |m| m.signature.labels = None),
        ("algorithm", |m| m.algorithm = "pickle".into()),
        ("format", |m| m.smrt_format = 99),
    ] {
        let mut manifest = good.manifest.clone();
        change(&mut manifest);
        assert!(open(pack(&manifest, good.files.clone())).is_err(), "{name} was believed");
    }
    let mut files = good.files.clone();
    files.clear();
    assert!(open(pack(&good.manifest, files)).is_err(), "a model without weights was opened");
    for (name, bytes) in &good.files {
        for length in [0, 7, bytes.len() / 2, bytes.len() - 1] {
            let mut files = good.files.clone();
            files.insert(name.clone(), bytes[..length].to_vec());
            assert!(open(pack(&good.manifest, files)).is_err(), "{name} cut at {length}");
        }
    }
}
