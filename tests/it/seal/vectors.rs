//! Known answers: messages that others made, and the primitives by Wycheproof.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use smrt::seal::{Context, RawKey};

use super::{open_under, shared};

#[derive(serde::Deserialize)]
struct Kat {
    key_namespace: String,
    key_name: String,
    wrapping_key_hex: String,
    vectors: Vec<Vector>,
}

#[derive(serde::Deserialize)]
struct Vector {
    suite: String,
    context: BTreeMap<String, String>,
    plaintext_hex: String,
    message_b64: String,
    expect: String,
    #[serde(default)]
    why: String,
}

#[test]
fn the_44_known_answers_of_the_python_sdk_hold() {
    let text = include_str!("../../vectors/esdk/python-4.0.7-kat.json");
    let kat: Kat = serde_json::from_str(text).unwrap();
    let bytes = hex::decode(kat.wrapping_key_hex).unwrap().try_into().unwrap();
    let key = RawKey::new(kat.key_namespace, kat.key_name, bytes).unwrap();
    let (mut good, mut broken) = (0, 0);
    for vector in kat.vectors {
        let message = STANDARD.decode(&vector.message_b64).unwrap();
        let opened = open_under(&message, &key, &Context::new());
        match vector.expect.as_str() {
            "ok" => {
                assert_eq!(opened.unwrap(), hex::decode(vector.plaintext_hex).unwrap());
                let reader = smrt::seal::Reader::open(&message[..], &key).unwrap();
                for (name, value) in &vector.context {
                    assert_eq!(reader.context().get(name), Some(value.as_str()));
                }
                good += 1;
            }
            _ => {
                let what = format!("{} {}", vector.suite, vector.why);
                assert!(opened.is_err(), "{what}");
                broken += 1;
            }
        }
    }
    println!("known answers: {good} opened, {broken} refused");
    assert_eq!((good, broken), (28, 16));
}

#[test]
fn the_official_messages_open_or_are_refused() {
    let Some(folder) = shared().map(|shared| shared.join("vectors/esdk")) else {
        println!("skipped: no ../shared/vectors/esdk here");
        return;
    };
    let mut counts = [0; 4];
    for (zip, valid) in [
        ("v4-Net-4.0.1.zip", true),
        ("valid-Net-4.0.0.zip", true),
        ("invalid-Net-4.0.0.zip", false),
    ] {
        let files = unzip(&folder.join(zip));
        let manifest: serde_json::Value = json(&files["manifest.json"]);
        for (name, test) in manifest["tests"].as_object().unwrap() {
            counts[judge(name, test, &files, valid)] += 1;
        }
    }
    let [opened, invalid, other_suites, other_keys] = counts;
    println!(
        "official messages: {opened} opened, {invalid} invalid ones refused, {other_suites} of \
         other suites or versions refused, {other_keys} without our kind of key refused"
    );
    assert_eq!((opened, invalid), (8, 4));
    // 165 in all: 18 more need KMS or RSA keys, the rest have no key commitment.
    assert_eq!(counts.iter().sum::<usize>(), 132 + 5 + 28);
    assert_eq!(other_keys, 18);
}

/// Which of the four counts a case belongs to.
fn judge(
    name: &str,
    test: &serde_json::Value,
    files: &BTreeMap<String, Vec<u8>>,
    valid: bool,
) -> usize {
    let file =
        |uri: &serde_json::Value| &files[uri.as_str().unwrap().trim_start_matches("file://")];
    let keys: serde_json::Value = json(&files["keys.json"]);
    let raw = STANDARD.decode(keys["keys"]["aes-256"]["material"].as_str().unwrap()).unwrap();
    let key =
        RawKey::new("aws-raw-vectors-persistant", "aes-256", raw.try_into().unwrap()).unwrap();
    let pairs = test["encryption-context"].as_object().unwrap();
    let required =
        Context::from_pairs(pairs.iter().map(|(k, v)| (k, v.as_str().unwrap()))).unwrap();
    let opened = open_under(file(&test["ciphertext"]), &key, &required);
    let committing = name.starts_with("0478") || name.starts_with("0578");
    let ours = test["master-keys"][0]["key"] == "aes-256";
    match (committing, ours, valid) {
        (true, true, true) => {
            assert_eq!(opened.expect(name), *file(&test["result"]["output"]["plaintext"]));
            0
        }
        (true, true, false) => {
            assert!(opened.is_err(), "{name}");
            1
        }
        (false, ..) => {
            let error = opened.map(|_| ()).unwrap_err();
            assert!(error.to_string().contains("not accepted"), "{name}: {error}");
            2
        }
        (true, false, _) => {
            let error = opened.map(|_| ()).unwrap_err();
            assert!(error.to_string().contains("no key at hand"), "{name}: {error}");
            3
        }
    }
}

fn json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> T {
    serde_json::from_slice(bytes).unwrap()
}

/// The files of a zip archive: stored and deflated entries of its central directory.
fn unzip(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let zip = std::fs::read(path).unwrap();
    let u16_at = |at: usize| usize::from(u16::from_le_bytes([zip[at], zip[at + 1]]));
    let u32_at = |at: usize| u32::from_le_bytes(zip[at..at + 4].try_into().unwrap()) as usize;
    let end = (0..zip.len() - 21).rev().find(|at| zip[*at..].starts_with(b"PK\x05\x06")).unwrap();
    let mut at = u32_at(end + 16);
    let mut files = BTreeMap::new();
    for _ in 0..u16_at(end + 10) {
        let (method, packed) = (u16_at(at + 10), u32_at(at + 20));
        let (name, extra, comment) = (u16_at(at + 28), u16_at(at + 30), u16_at(at + 32));
        let local = u32_at(at + 42);
        let start = local + 30 + u16_at(local + 26) + u16_at(local + 28);
        let mut bytes = Vec::new();
        match method {
            0 => bytes.extend(&zip[start..start + packed]),
            _ => {
                flate2::read::DeflateDecoder::new(&zip[start..start + packed])
                    .read_to_end(&mut bytes)
                    .unwrap();
            }
        }
        files.insert(String::from_utf8(zip[at + 46..at + 46 + name].to_vec()).unwrap(), bytes);
        at += 46 + name + extra + comment;
    }
    files
}

mod wycheproof_says {
    //! The crates as this room uses them, on C2SP's vectors.

    use aes_gcm::aead::AeadInOut;
    use aes_gcm::{Aes256Gcm, KeyInit};
    use hkdf::Hkdf;
    use p384::ecdsa::signature::hazmat::PrehashVerifier;
    use p384::ecdsa::{DerSignature, VerifyingKey};
    use sha2::{Digest, Sha384, Sha512};
    use wycheproof::{TestResult, aead, ecdsa, hkdf as kdf};

    #[test]
    fn aes_256_gcm_is_sound() {
        let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
        let mut seen = (0, 0);
        for group in set.test_groups {
            // Other key and nonce sizes cannot be expressed with the types this room uses.
            if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
                continue;
            }
            for test in group.tests {
                let cipher = Aes256Gcm::new_from_slice(&test.key).unwrap();
                let nonce: [u8; 12] = test.nonce[..].try_into().unwrap();
                let mut buffer = test.ct.to_vec();
                let tag: [u8; 16] = test.tag[..].try_into().unwrap();
                let opened = cipher.decrypt_inout_detached(
                    &nonce.into(),
                    &test.aad,
                    (&mut buffer[..]).into(),
                    &tag.into(),
                );
                if test.result == TestResult::Invalid {
                    assert!(opened.is_err(), "case {}", test.tc_id);
                    assert_eq!(buffer, test.ct[..], "case {}: plaintext was let out", test.tc_id);
                    seen.1 += 1;
                    continue;
                }
                assert!(opened.is_ok() && buffer == test.pt[..], "case {}", test.tc_id);
                let sealed = cipher
                    .encrypt_inout_detached(&nonce.into(), &test.aad, (&mut buffer[..]).into())
                    .unwrap();
                assert!(sealed[..] == test.tag[..] && buffer == test.ct[..], "{}", test.tc_id);
                seen.0 += 1;
            }
        }
        println!("wycheproof aes-256-gcm: {} valid, {} invalid", seen.0, seen.1);
        assert_eq!(seen, (39, 27));
    }

    #[test]
    fn hkdf_sha512_is_sound() {
        let set = kdf::TestSet::load(kdf::TestName::HkdfSha512).unwrap();
        let mut seen = (0, 0);
        for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
            let mut out = vec![0; test.size];
            let expanded = Hkdf::<Sha512>::new(Some(&test.salt), &test.ikm)
                .expand_multi_info(&[&test.info], &mut out);
            match test.result {
                TestResult::Invalid => {
                    assert!(expanded.is_err(), "case {}", test.tc_id);
                    seen.1 += 1;
                }
                _ => {
                    assert!(expanded.is_ok() && out == test.okm[..], "case {}", test.tc_id);
                    seen.0 += 1;
                }
            }
        }
        println!("wycheproof hkdf-sha512: {} valid, {} invalid", seen.0, seen.1);
        assert!(seen.0 > 50 && seen.1 > 0);
    }

    #[test]
    fn ecdsa_p384_sha384_is_sound() {
        let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp384r1Sha384).unwrap();
        let mut seen = (0, 0);
        for group in set.test_groups {
            let key = VerifyingKey::from_sec1_bytes(&group.key.key).unwrap();
            for test in group.tests {
                let verified = DerSignature::from_bytes(&test.sig)
                    .and_then(|sig| key.verify_prehash(&Sha384::digest(&test.msg), &sig));
                match test.result {
                    TestResult::Invalid => {
                        assert!(verified.is_err(), "case {}: {}", test.tc_id, test.comment);
                        seen.1 += 1;
                    }
                    _ => {
                        assert!(verified.is_ok(), "case {}: {}", test.tc_id, test.comment);
                        seen.0 += 1;
                    }
                }
            }
        }
        println!("wycheproof ecdsa-p384-sha384: {} valid, {} invalid", seen.0, seen.1);
        assert!(seen.0 > 50 && seen.1 > 100);
    }
}
