//! Operations that use keys.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::error::Refused;
use super::wire::{Answer, Blob, base64, context, read};
use crate::seal::LocalKeys;

type Pairs = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Encrypt {
    key_id: String,
    plaintext: Blob,
    #[serde(default)]
    encryption_context: Pairs,
    encryption_algorithm: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

pub(super) fn encrypt(keys: &LocalKeys, body: &Value) -> Answer {
    let asked: Encrypt = read(body)?;
    symmetric(asked.encryption_algorithm.as_deref())?;
    if asked.plaintext.0.is_empty() {
        return Err(Refused::invalid("Plaintext is 1 to 4096 bytes"));
    }
    let context = context(asked.encryption_context)?;
    let (arn, blob) = keys.encrypt(&asked.key_id, &asked.plaintext.0, &context)?;
    would_succeed(asked.dry_run)?;
    Ok(json!({
        "CiphertextBlob": base64(&blob), "KeyId": arn, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Decrypt {
    ciphertext_blob: Blob,
    key_id: Option<String>,
    #[serde(default)]
    encryption_context: Pairs,
    encryption_algorithm: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

pub(super) fn decrypt(keys: &LocalKeys, body: &Value) -> Answer {
    let asked: Decrypt = read(body)?;
    symmetric(asked.encryption_algorithm.as_deref())?;
    let context = context(asked.encryption_context)?;
    let opened = keys.decrypt(&asked.ciphertext_blob.0, asked.key_id.as_deref(), &context)?;
    would_succeed(asked.dry_run)?;
    Ok(json!({
        "KeyId": opened.arn, "Plaintext": base64(&opened.plain),
        "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReEncrypt {
    ciphertext_blob: Blob,
    source_key_id: Option<String>,
    destination_key_id: String,
    #[serde(default)]
    source_encryption_context: Pairs,
    #[serde(default)]
    destination_encryption_context: Pairs,
    source_encryption_algorithm: Option<String>,
    destination_encryption_algorithm: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

pub(super) fn re_encrypt(keys: &LocalKeys, body: &Value) -> Answer {
    let asked: ReEncrypt = read(body)?;
    symmetric(asked.source_encryption_algorithm.as_deref())?;
    symmetric(asked.destination_encryption_algorithm.as_deref())?;
    let (from, to) =
        (context(asked.source_encryption_context)?, context(asked.destination_encryption_context)?);
    let opened = keys.decrypt(&asked.ciphertext_blob.0, asked.source_key_id.as_deref(), &from)?;
    let (arn, blob) = keys.encrypt(&asked.destination_key_id, &opened.plain, &to)?;
    would_succeed(asked.dry_run)?;
    Ok(json!({
        "CiphertextBlob": base64(&blob), "SourceKeyId": opened.arn, "KeyId": arn,
        "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GenerateDataKey {
    key_id: String,
    key_spec: Option<String>,
    number_of_bytes: Option<usize>,
    #[serde(default)]
    encryption_context: Pairs,
    #[serde(default)]
    dry_run: bool,
}

pub(super) fn generate_data_key(keys: &LocalKeys, body: &Value) -> Answer {
    let (mut answer, plain) = data_key(keys, body)?;
    answer["Plaintext"] = base64(&plain).into();
    Ok(answer)
}

pub(super) fn generate_data_key_without_plaintext(keys: &LocalKeys, body: &Value) -> Answer {
    data_key(keys, body).map(|(answer, _)| answer)
}

fn data_key(keys: &LocalKeys, body: &Value) -> Result<(Value, Zeroizing<Vec<u8>>), Refused> {
    let asked: GenerateDataKey = read(body)?;
    let bytes = match (asked.key_spec.as_deref(), asked.number_of_bytes) {
        (Some("AES_256"), None) => 32,
        (Some("AES_128"), None) => 16,
        (None, Some(bytes @ 1..=1024)) => bytes,
        _ => {
            return Err(Refused::invalid(
                "either KeySpec (AES_256 or AES_128) or NumberOfBytes (1 to 1024)",
            ));
        }
    };
    let context = context(asked.encryption_context)?;
    let plain = LocalKeys::random(bytes)?;
    let (arn, blob) = keys.encrypt(&asked.key_id, &plain, &context)?;
    would_succeed(asked.dry_run)?;
    Ok((json!({ "CiphertextBlob": base64(&blob), "KeyId": arn }), plain))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GenerateRandom {
    number_of_bytes: Option<usize>,
    custom_key_store_id: Option<String>,
}

pub(super) fn generate_random(_: &LocalKeys, body: &Value) -> Answer {
    let asked: GenerateRandom = read(body)?;
    match (asked.number_of_bytes, asked.custom_key_store_id) {
        (Some(bytes @ 1..=1024), None) => {
            Ok(json!({ "Plaintext": base64(&LocalKeys::random(bytes)?) }))
        }
        (_, Some(_)) => Err(Refused::new("UnsupportedOperationException", "no custom key stores")),
        _ => Err(Refused::invalid("NumberOfBytes is 1 to 1024")),
    }
}

fn symmetric(algorithm: Option<&str>) -> Result<(), Refused> {
    match algorithm {
        None | Some("SYMMETRIC_DEFAULT") => Ok(()),
        Some(_) => Err(Refused::new("InvalidKeyUsageException", "only SYMMETRIC_DEFAULT")),
    }
}

fn would_succeed(dry_run: bool) -> Result<(), Refused> {
    match dry_run {
        false => Ok(()),
        true => Err(Refused::new("DryRunOperationException", "it would have succeeded")),
    }
}
