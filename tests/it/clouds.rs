//! `gs://` and `az://` against servers: the contract of every store, mistakes, and whole jobs.
//!
//! `.ci/clouds` builds the features, starts the emulators and runs this. Azure's is Azurite, which
//! knows all that smrt asks. No emulator of Google's storage that a package registry has knows the
//! whole of its XML interface: fake-gcs-server lists and reads, and writing, parts and all, goes to
//! a server of S3, whose requests that interface shares.

use smrt::spec::train::Storage;
use smrt::spec::uri::Uri;
use smrt::store::{Environment, Error, Store};

use crate::store::{conform, uri};
use crate::train::{User, datasets};

fn store(variables: Vec<(&str, String)>) -> Store {
    Store::with_environment(&Storage::default(), variables.into_iter().collect::<Environment>())
}

/// An emulator's address from the variable that `.ci/clouds` sets.
fn emulator(variable: &str) -> Option<String> {
    let address = std::env::var(variable).ok();
    if address.is_none() {
        println!("skipped: {variable} names no emulator; .ci/clouds starts one");
    }
    address
}

fn put(store: &Store, at: &Uri, bytes: &[u8]) {
    let mut upload = store.create(at).unwrap();
    std::io::Write::write_all(&mut upload, bytes).unwrap();
    upload.finish().unwrap();
}

/// Data from the cloud, the artifact to the cloud, and predictions from there.
fn a_job_lives_in(store: &Store, base: &Uri) {
    for name in ["train.csv", "validation.csv"] {
        let bytes = std::fs::read(datasets().join("phishing").join(name)).unwrap();
        put(store, &base.join(&format!("data/{name}")), &bytes);
    }
    let user = User::new();
    let more = "[hyperparameters]\npredictor_type = \"binary_classifier\"\nepochs = 2\n";
    let mut job = user.job("linear-learner", more);
    for (name, channel) in &mut job.channels {
        channel.uri = base.join(&format!("data/{name}.csv"));
    }
    job.output.uri = base.join("models");
    let job = smrt::train::Job::new(job, user.keys.clone()).store(store.clone());
    let report = job.run().unwrap();
    assert_eq!(report.channels[0].rows, 937);
    assert_eq!(report.artifact, base.join("models/phishing/output/model.tar.gz"));
    let bytes = store.read_to_vec(&report.artifact, 1 << 20).unwrap();
    let model = user.opener().open(&bytes[..], "model.tar.gz").unwrap();
    assert_eq!(model.predict(ndarray::Array2::zeros((3, 9)).view()).unwrap().rows, 3);
}

/// What is not there is named, and what to look at.
fn missing_things_are_named(store: &Store, nowhere: &Uri, base: &Uri, endpoint: &str) {
    for error in [store.list(nowhere).unwrap_err(), store.check_writable(nowhere).unwrap_err()] {
        assert!(matches!(error, Error::NoBucket { .. }), "{error:?}");
        assert!(error.to_string().contains(endpoint), "{error}");
    }
    let error = store.head(&base.join("no.csv")).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    let error = store.list(&base.join("typo/")).unwrap_err();
    assert!(matches!(error, Error::Empty { .. }), "{error:?}");
}

#[cfg(feature = "azure")]
mod azure {
    use smrt::fault::{Fault as _, Kind};

    use super::*;

    /// The emulator's own account, the same everywhere: no secret.
    const KEY: &str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

    fn variables(endpoint: &str, key: &str) -> Vec<(&'static str, String)> {
        vec![
            ("AZURE_STORAGE_ENDPOINT", endpoint.to_owned()),
            ("AZURE_STORAGE_ACCOUNT_NAME", "devstoreaccount1".to_owned()),
            ("AZURE_STORAGE_ACCOUNT_KEY", key.to_owned()),
        ]
    }

    #[test]
    fn an_azure_container_keeps_the_contract() {
        let Some(endpoint) = emulator("SMRT_TEST_AZURITE") else { return };
        conform(&store(variables(&endpoint, KEY)), &uri("az://data/conform"));
    }

    #[test]
    fn a_whole_job_lives_in_azure() {
        let Some(endpoint) = emulator("SMRT_TEST_AZURITE") else { return };
        a_job_lives_in(&store(variables(&endpoint, KEY)), &uri("az://data/jobs"));
    }

    #[test]
    fn azures_refusals_are_told_apart() {
        let Some(endpoint) = emulator("SMRT_TEST_AZURITE") else { return };
        let (nowhere, base) = (uri("az://nowhere/x/"), uri("az://data/absent"));
        missing_things_are_named(&store(variables(&endpoint, KEY)), &nowhere, &base, &endpoint);
        let other_key = "A".repeat(86) + "==";
        let error = store(variables(&endpoint, &other_key)).list(&uri("az://data/")).unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{error:?}");
        let told = format!("{error} {:?}", error.help());
        assert!(told.contains("AZURE_*") && !told.contains("AAAA"), "{told}");
    }

    #[test]
    fn other_programs_variables_do_not_steer_azure() {
        let Some(endpoint) = emulator("SMRT_TEST_AZURITE") else { return };
        let mut variables = variables(&endpoint, KEY);
        for (name, value) in [("TOKEN", "x"), ("TIMEOUT", "1ns"), ("AZURE_CONTAINER_NAME", "other")]
        {
            variables.push((name, value.to_owned()));
        }
        let at = uri("az://data/steered.csv");
        put(&store(variables), &at, b"1\n");
    }
}

#[cfg(feature = "gcp")]
mod google {
    use std::io::Read as _;

    use super::*;
    use crate::s3::{Manner, Server};

    /// A server of the interface that S3 and Google share, one bucket, nothing signed.
    fn shared_interface() -> (Server, Store) {
        let server = Server::start_as(Manner::Anonymous);
        let store = store(vec![("STORAGE_EMULATOR_HOST", server.endpoint())]);
        (server, store)
    }

    #[test]
    fn a_bucket_of_googles_xml_interface_keeps_the_contract() {
        let (server, store) = shared_interface();
        conform(&store, &uri("gs://data/conform"));
        assert_eq!(server.unfinished_uploads(), Vec::<String>::new());
        missing_things_are_named(
            &store,
            &uri("gs://nowhere/x/"),
            &uri("gs://data/absent"),
            &server.endpoint(),
        );
    }

    #[test]
    fn a_whole_job_lives_behind_googles_xml_interface() {
        let (_server, store) = shared_interface();
        a_job_lives_in(&store, &uri("gs://data/jobs"));
    }

    #[test]
    fn other_programs_variables_do_not_steer_google() {
        let server = Server::start_as(Manner::Anonymous);
        let host = server.endpoint().trim_start_matches("http://").to_owned();
        let store = store(vec![
            ("STORAGE_EMULATOR_HOST", host),
            ("BASE_URL", "http://127.0.0.1:1".to_owned()),
            ("GOOGLE_BUCKET", "other".to_owned()),
        ]);
        put(&store, &uri("gs://data/steered.csv"), b"1\n");
        assert!(server.path("data", "steered.csv").exists());
    }

    #[test]
    fn googles_emulator_lists_and_gives_ranges() {
        let Some(endpoint) = emulator("SMRT_TEST_FAKE_GCS") else { return };
        // `.ci/clouds` puts the shipped data there, past the interface that smrt uses.
        let store = store(vec![("STORAGE_EMULATOR_HOST", endpoint)]);
        let objects = store.list(&uri("gs://data/phishing/")).unwrap();
        assert_eq!(objects.len(), 2);
        for object in &objects {
            let name = object.uri.to_string();
            let name = name.rsplit('/').next().unwrap();
            let expected = std::fs::read(datasets().join("phishing").join(name)).unwrap();
            assert_eq!(object.bytes, expected.len() as u64);
            let mut whole = Vec::new();
            store.open(object).unwrap().read_to_end(&mut whole).unwrap();
            assert!(whole == expected, "{name}");
            let mut part = Vec::new();
            store.open_range(object, 100..1234).unwrap().read_to_end(&mut part).unwrap();
            assert!(part == expected[100..1234], "{name}");
        }
        let user = User::new();
        let more = "[hyperparameters]\npredictor_type = \"binary_classifier\"\nepochs = 2\n";
        let mut job = user.job("linear-learner", more);
        for (name, channel) in &mut job.channels {
            channel.uri = uri(&format!("gs://data/phishing/{name}.csv"));
        }
        let job = smrt::train::Job::new(job, user.keys.clone()).store(store.clone());
        assert_eq!(job.run().unwrap().channels[0].rows, 937);
        let error = store.head(&uri("gs://data/no.csv")).unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    }
}
