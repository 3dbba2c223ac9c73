//! Files whose key stands beside them: moved to another key, mixed up, and shredded.

use std::io::Write;
use std::sync::Arc;

use smrt::seal::{
    Beside, Context, Error, KeyService, LocalKeys, SIDECAR_SUFFIX, Sidecar, detached, inspect,
    open_to_vec, rewrap,
};

use super::context;

struct Artifact {
    sealed: Vec<u8>,
    sidecar: Sidecar,
}

fn made(keys: &LocalKeys, key: &str, content: &[u8]) -> Artifact {
    let (mut writer, sidecar) = detached(Vec::new(), keys, key, &context()).unwrap();
    writer.write_all(content).unwrap();
    Artifact { sealed: writer.finish().unwrap(), sidecar }
}

fn opens(keys: &LocalKeys, sealed: &[u8], sidecar: Option<Vec<u8>>) -> Result<Vec<u8>, Error> {
    let beside =
        Beside::new(Arc::new(keys.clone()), "model.tar.gz.keys.json", move || Ok(sidecar.clone()));
    open_to_vec(sealed, &beside, &Context::new(), 1 << 20)
}

fn moved(keys: &LocalKeys, artifact: &Artifact, key: &str) -> Result<Sidecar, Error> {
    rewrap(&mut &artifact.sealed[..], &artifact.sidecar, keys, key, "sidecar")
}

fn world() -> (tempfile::TempDir, LocalKeys, String, String) {
    let home = tempfile::tempdir().unwrap();
    let keys = LocalKeys::new(home.path());
    let (a, b) = (keys.create(None).unwrap().arn, keys.create(None).unwrap().arn);
    (home, keys, a, b)
}

#[test]
fn a_sidecar_moves_to_another_key_and_the_file_is_not_touched() {
    let (_home, keys, a, b) = world();
    let artifact = made(&keys, &a, b"weights");
    let old = artifact.sidecar.bytes();
    assert_eq!(opens(&keys, &artifact.sealed, Some(old.clone())).unwrap(), b"weights");
    let new = moved(&keys, &artifact, &b).unwrap();
    assert_eq!(new.keys().collect::<Vec<_>>(), [b.as_str()]);
    keys.set_enabled(&a, false).unwrap();
    assert_eq!(opens(&keys, &artifact.sealed, Some(new.bytes())).unwrap(), b"weights");
    // The one from before the move.
    let error = opens(&keys, &artifact.sealed, Some(old)).unwrap_err();
    assert!(matches!(error, Error::Disabled { .. }), "{error}");
    // A key that may not be used moves nothing.
    assert!(matches!(moved(&keys, &artifact, &b).unwrap_err(), Error::Disabled { .. }));
}

#[test]
fn a_sidecar_of_another_file_opens_nothing_even_when_it_claims_to_be_this_one_s() {
    let (_home, keys, a, _) = world();
    let (one, other) = (made(&keys, &a, b"one"), made(&keys, &a, b"other"));
    let error = opens(&keys, &one.sealed, Some(other.sidecar.bytes())).unwrap_err();
    assert!(matches!(error, Error::Sidecar { .. }), "{error}");
    // With the other file's wraps under this file's names: the context of the wrap says no.
    let read = |sidecar: &Sidecar| -> serde_json::Value {
        serde_json::from_slice(&sidecar.bytes()).unwrap()
    };
    let mut forged = read(&one.sidecar);
    forged["wraps"] = read(&other.sidecar)["wraps"].clone();
    let error = opens(&keys, &one.sealed, Some(forged.to_string().into_bytes())).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    let error = rewrap(&mut &one.sealed[..], &other.sidecar, &keys, &a, "x").unwrap_err();
    assert!(matches!(error, Error::Sidecar { .. }), "{error}");
}

#[test]
fn a_file_without_its_sidecar_is_shredded_and_says_so() {
    let (_home, keys, a, _) = world();
    let artifact = made(&keys, &a, b"weights");
    let error = opens(&keys, &artifact.sealed, None).unwrap_err();
    assert!(matches!(error, Error::Shredded { .. }), "{error}");
    assert!(error.to_string().contains(SIDECAR_SUFFIX), "{error}");
    // Nor does any key of the store open it by itself.
    let error = open_to_vec(&artifact.sealed[..], &keys, &Context::new(), 1 << 20).unwrap_err();
    assert!(matches!(error, Error::NoKey { .. }), "{error}");
}

#[test]
fn a_file_is_shredded_when_its_key_is_deleted_after_its_window() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let home = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicU64::new(1_700_000_000));
    let now = Arc::clone(&clock);
    let keys = LocalKeys::new(home.path()).at(move || now.load(Ordering::SeqCst));
    let a = keys.create(None).unwrap().arn;
    let artifact = made(&keys, &a, b"weights");
    let sidecar = artifact.sidecar.bytes();
    keys.schedule_deletion(&a, 7).unwrap();
    clock.fetch_add(7 * 86_400, Ordering::SeqCst);
    let error = opens(&keys, &artifact.sealed, Some(sidecar)).unwrap_err();
    assert!(matches!(error, Error::NoKey { .. }) && error.to_string().contains(&a), "{error}");
    assert!(moved(&keys, &artifact, &keys.create(None).unwrap().arn).is_err());
}

#[test]
fn threat_8_two_seals_never_share_message_id_or_data_key_and_a_move_leaves_the_header() {
    let (_home, keys, a, b) = world();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..64 {
        let artifact = made(&keys, &a, b"the same content");
        let before = inspect(&mut &artifact.sealed[..]).unwrap();
        assert!(seen.insert(before.message_id.to_vec()), "a message id came twice");
        assert!(seen.insert(before.keys[0].ciphertext.clone()), "a data key came twice");
        moved(&keys, &artifact, &b).unwrap();
        assert_eq!(inspect(&mut &artifact.sealed[..]).unwrap(), before);
    }
}

#[test]
fn while_a_file_is_replaced_both_have_their_keys() {
    let (_home, keys, a, _) = world();
    let (old, new) = (made(&keys, &a, b"old"), made(&keys, &a, b"new"));
    let both = new.sidecar.clone().replacing(old.sidecar.clone()).bytes();
    assert_eq!(opens(&keys, &old.sealed, Some(both.clone())).unwrap(), b"old");
    assert_eq!(opens(&keys, &new.sealed, Some(both)).unwrap(), b"new");
    let error = opens(&keys, &old.sealed, Some(new.sidecar.bytes())).unwrap_err();
    assert!(matches!(error, Error::Sidecar { .. }), "{error}");
}

#[test]
fn a_stranger_s_sidecar_is_read_within_bounds() {
    let (_home, keys, a, _) = world();
    let artifact = made(&keys, &a, b"weights");
    let good: serde_json::Value = serde_json::from_slice(&artifact.sidecar.bytes()).unwrap();
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut value = good.clone();
        change(&mut value);
        opens(&keys, &artifact.sealed, Some(value.to_string().into_bytes())).unwrap_err()
    };
    for error in [
        with(&|v| v["version"] = 2.into()),
        with(&|v| v["more"] = 1.into()),
        with(&|v| v["wraps"] = serde_json::json!([])),
        with(&|v| v["wraps"] = vec![good["wraps"][0].clone(); 17].into()),
        with(&|v| v["wraps"][0]["ciphertext"] = "%".into()),
        with(&|v| {
            let mut one = good.clone();
            one["previous"] = good.clone();
            v["previous"] = one;
        }),
    ] {
        assert!(matches!(error, Error::Sidecar { .. }), "{error}");
    }
    let whole = artifact.sidecar.bytes();
    for end in 0..whole.len() - 2 {
        assert!(Sidecar::read(&whole[..end], "x").is_err(), "cut at {end}");
    }
    // A key service that does not know the key.
    let stranger = tempfile::tempdir().unwrap();
    let error = opens(&LocalKeys::new(stranger.path()), &artifact.sealed, Some(whole)).unwrap_err();
    assert!(matches!(error, Error::NoKey { .. }), "{error}");
    assert!(keys.describe(&a).is_ok());
}
