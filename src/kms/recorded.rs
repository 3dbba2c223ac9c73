//! A request to the key service as the audit log has it: who, which operation on which key under
//! which context, with which outcome. No plaintext, no ciphertext, no key.

use hyper::header;
use hyper::http::request::Parts;
use serde_json::{Value, json};
use uuid::Uuid;

use super::front::TARGET;
use super::wire::{Answer, Blob, read};
use crate::http::Caller;
use crate::seal::LocalKeys;
use crate::telemetry::audit::Record;
use crate::telemetry::date::now_s;

/// Operations that change nothing: what uses a key, and what only tells.
const STILL: [&str; 7] = ["Decrypt", "Encrypt", "Generate", "ReEncrypt", "Describe", "Get", "List"];

/// What of a request's parameters is recorded: names, never contents.
const KEPT: [&str; 16] = [
    "KeyId",
    "AliasName",
    "TargetKeyId",
    "DestinationKeyId",
    "SourceKeyId",
    "EncryptionContext",
    "SourceEncryptionContext",
    "DestinationEncryptionContext",
    "KeySpec",
    "NumberOfBytes",
    "PendingWindowInDays",
    "RotationPeriodInDays",
    "GranteePrincipal",
    "Operations",
    "GrantId",
    "Policy",
];

/// A request.
#[derive(Clone, Copy)]
pub(super) struct Act<'a> {
    pub(super) id: &'a str,
    pub(super) head: &'a Parts,
    pub(super) caller: &'a Caller,
    pub(super) body: &'a [u8],
}

impl<'a> Act<'a> {
    /// The operation's name as the request has it.
    fn name(&self) -> &'a str {
        let target = self.head.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
        target.and_then(|target| target.strip_prefix(TARGET)).unwrap_or("Unknown")
    }

    fn changes(&self) -> bool {
        !STILL.iter().any(|still| self.name().starts_with(still))
    }

    /// That something which changes keys is about to be done; `None` for what does not.
    pub(super) fn begun(&self) -> Option<Record<'a>> {
        self.changes().then(|| {
            let mut record = self.record();
            record.event = Some(Uuid::new_v4().to_string());
            record.more.push(("outcome", json!("begun")));
            record
        })
    }

    /// What came of it.
    pub(super) fn done<'b>(&self, who: &'b str, what: &'b str, answer: &'b Answer) -> Record<'b>
    where
        'a: 'b,
    {
        let mut record: Record<'b> = self.record();
        record.principal = (!who.is_empty()).then_some(who);
        if !what.is_empty() {
            record.name = what;
        }
        match answer {
            Err(refused) => record.error = Some((refused.code, refused.message.as_str())),
            Ok(answer) => {
                let key =
                    ["KeyId", "TargetKeyId"].iter().find_map(|name| answer.get(name)?.as_str());
                let key = key.or_else(|| answer.pointer("/KeyMetadata/Arn")?.as_str());
                record.resource = key.unwrap_or_default();
            }
        }
        record
    }

    fn record(&self) -> Record<'a> {
        let body: Value = serde_json::from_slice(self.body).unwrap_or_default();
        let mut parameters: Vec<(&'static str, Value)> =
            KEPT.iter().filter_map(|name| Some((*name, body.get(name)?.clone()))).collect();
        if body.get("KeyId").is_none()
            && let Some(Ok(blob)) = body.get("CiphertextBlob").map(read::<Blob>)
            && let Some(key) = LocalKeys::key_of(&blob.0)
        {
            parameters.push(("keyId", json!(key)));
        }
        let agent = self.head.headers.get(header::USER_AGENT);
        Record {
            time_s: now_s(),
            source: "kms.amazonaws.com",
            name: self.name(),
            region: "local",
            address: self.caller.remote.ip().to_string(),
            agent: agent.and_then(|value| value.to_str().ok()),
            request: self.id,
            parameters,
            writes: self.changes(),
            manages: true,
            ..Record::default()
        }
    }
}
