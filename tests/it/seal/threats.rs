//! Rows of the threat model that are about a whole job or about who brings which key.

use std::io::Write;
use std::path::Path;

use smrt::seal::{
    Context, DataKey, EncryptedDataKey, Error, KeyDescription, KeyService, LocalKeys, RawKey,
    Settings, Writer, open_file, open_to_vec,
};

use super::{KEY, content, context, key, seal};

/// Every file below a folder.
fn stored(folder: &Path) -> Vec<Vec<u8>> {
    let mut folders = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(std::fs::read(path).unwrap()),
            }
        }
    }
    files
}

fn holds(bytes: &[u8], canary: &[u8]) -> bool {
    bytes.windows(canary.len()).any(|window| window == canary)
}

/// Bits of information in a byte.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let total = bytes.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / total;
            -share * share.log2()
        })
        .sum()
}

#[test]
fn threat_1_a_canary_of_the_data_and_of_the_weights_is_in_no_stored_byte() {
    const CANARY: &[u8] = b"canary-7f3a91";
    let home = tempfile::tempdir().unwrap();
    let keys = LocalKeys::new(home.path());
    let arn = keys.create(None).unwrap().arn;
    let out = tempfile::tempdir().unwrap();
    let plain = [CANARY, &vec![0; 200_000], CANARY].concat();
    for (name, context) in [
        ("model.tar.gz", Context::of_job("model.tar.gz", "churn").unwrap()),
        ("checkpoint", Context::of_job("checkpoint", "churn").unwrap()),
    ] {
        let file = std::fs::File::create(out.path().join(name)).unwrap();
        let mut writer = Writer::new(file, &keys, &arn, &context).unwrap();
        writer.write_all(&plain).unwrap();
        writer.finish().unwrap();
    }
    let files = stored(out.path());
    assert_eq!(files.len(), 2);
    for bytes in &files {
        assert!(!holds(bytes, CANARY));
        assert!(entropy(bytes) > 7.99, "{}", entropy(bytes));
    }
    assert!(holds(&plain, CANARY) && entropy(&plain) < 1.0, "the test would notice");
}

#[test]
fn threat_6_another_tenant_s_artifact_is_refused_and_leaves_no_plaintext_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let tenant = |name: &str| Context::from_pairs([("smrt:account", name)]).unwrap();
    std::fs::write(path("plain"), content(3 << 20)).unwrap();
    let settings = Settings { required: tenant("one"), ..Settings::default() };
    smrt::seal::seal_file(&path("plain"), &path("sealed"), &key(), KEY, &context(), &settings)
        .unwrap();
    let opened = |required: &Context| open_file(&path("sealed"), &path("opened"), &key(), required);
    for wrong in [tenant("other"), Context::new()] {
        let error = opened(&wrong).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error}");
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 2, "something of it was written");
    }
    // A pair that stands in the header, and another value for it.
    let job = Context::from_pairs([("smrt:account", "one"), ("smrt:job", "fraud")]).unwrap();
    assert!(matches!(opened(&job).map(|_| ()).unwrap_err(), Error::Refused { .. }));
    opened(&tenant("one")).map(|_| ()).unwrap();
}

/// A key service that unwraps every data key to another one than was sealed with.
struct Lying(RawKey);

impl KeyService for Lying {
    fn wrap(&self, key: &str, data: &DataKey, pairs: &Context) -> Result<EncryptedDataKey, Error> {
        self.0.wrap(key, data, pairs)
    }

    fn knows(&self, wrapped: &EncryptedDataKey) -> bool {
        self.0.knows(wrapped)
    }

    fn unwrap(&self, _: &EncryptedDataKey, _: &Context) -> Result<DataKey, Error> {
        Ok(DataKey::from_bytes([9; 32]))
    }

    fn describe(&self, key: &str) -> Result<KeyDescription, Error> {
        self.0.describe(key)
    }
}

#[test]
fn threat_7_a_message_opens_under_one_key_and_a_kind_without_commitment_under_none() {
    let sealed = seal(b"weights", 4096);
    let error = open_to_vec(&sealed[..], &Lying(key()), &Context::new(), 1 << 20).unwrap_err();
    let Error::Tampered { what } = &error else { panic!("{error}") };
    // Not a frame: what is committed to is held against the key before any of them.
    assert!(what.contains("key"), "{what}");
    // Suites without commitment, in which one message can be made to open under two keys.
    for (at, with) in [(0, &[1_u8][..]), (1, &[0x01, 0x78]), (1, &[0x03, 0x78]), (1, &[0x00, 0x14])]
    {
        let mut other = sealed.clone();
        other[at..at + with.len()].copy_from_slice(with);
        let error = open_to_vec(&other[..], &key(), &Context::new(), 1 << 20).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    }
}
