//! Shapes of the JSON API that several operations share.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::error::Refused;
use crate::seal::{Context, KeyMetadata, KeyState};
use crate::spec::name::LOCAL_ACCOUNT;

/// How many items a list answers with, where the caller does not say.
const PAGE_DEFAULT: usize = 100;

/// What an operation answers.
pub(super) type Answer = Result<Value, Refused>;

/// Reads an operation's parameters.
pub(super) fn read<T: DeserializeOwned>(body: &Value) -> Result<T, Refused> {
    T::deserialize(body).map_err(|error| Refused::new("SerializationException", error.to_string()))
}

/// Bytes as the API carries them.
#[derive(Debug, Default)]
pub(super) struct Blob(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Blob, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let bytes = STANDARD
            .decode(text.as_bytes())
            .map_err(|_| serde::de::Error::custom("a blob is not base64"))?;
        Ok(Blob(bytes))
    }
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// An encryption context; callers of the Encryption SDK send its reserved pairs too.
pub(super) fn context(pairs: BTreeMap<String, String>) -> Result<Context, Refused> {
    Ok(Context::of_request(pairs)?)
}

/// Where a list goes on.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Page {
    limit: Option<usize>,
    marker: Option<String>,
}

impl Page {
    /// A piece of `items` under `name`, and where the next one begins. A marker is the last item's
    /// name, so that a list that changes meanwhile skips nothing that stayed.
    pub(super) fn of<T>(
        &self,
        name: &str,
        items: Vec<T>,
        key: impl Fn(&T) -> String,
        show: impl Fn(&T) -> Value,
    ) -> Answer {
        let limit = self.limit.unwrap_or(PAGE_DEFAULT);
        if !(1..=1000).contains(&limit) {
            return Err(Refused::invalid("Limit is 1 to 1000"));
        }
        let mut items: Vec<(String, T)> =
            items.into_iter().map(|item| (key(&item), item)).collect();
        items.sort_by(|(one, _), (other, _)| one.cmp(other));
        let after = |(key, _): &&(String, T)| self.marker.as_ref().is_none_or(|last| key > last);
        let rest: Vec<&(String, T)> = items.iter().filter(after).collect();
        let shown: Vec<Value> = rest.iter().take(limit).map(|(_, item)| show(item)).collect();
        let more = rest.len() > limit;
        let mut answer = json!({ name: shown, "Truncated": more });
        if more {
            answer["NextMarker"] = rest[limit - 1].0.clone().into();
        }
        Ok(answer)
    }
}

pub(super) fn metadata(key: &KeyMetadata) -> Value {
    let state = match key.state {
        KeyState::Enabled => "Enabled",
        KeyState::Disabled => "Disabled",
        KeyState::PendingDeletion => "PendingDeletion",
    };
    let mut shown = json!({
        "AWSAccountId": LOCAL_ACCOUNT,
        "KeyId": key.id,
        "Arn": key.arn,
        "CreationDate": key.created_s,
        "Enabled": key.state == KeyState::Enabled,
        "Description": key.description,
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": state,
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": false,
    });
    if let Some(at) = key.deletion_s {
        shown["DeletionDate"] = at.into();
    }
    shown
}

/// A key and its value, as tags are written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    tag_key: String,
    tag_value: String,
}

pub(super) fn tags(list: Vec<Tag>) -> BTreeMap<String, String> {
    list.into_iter().map(|tag| (tag.tag_key, tag.tag_value)).collect()
}

pub(super) fn empty() -> Value {
    Value::Object(Map::new())
}
