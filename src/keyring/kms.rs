//! AWS KMS's JSON API as a key service: signed requests, repeated where repeating may help.
//!
//! A file's encryption context goes with every request, so the key's policy and the service's log
//! see which artifact it is about. Opening names the key that the header names, as the KMS keyring
//! of the AWS Encryption SDK does: a ciphertext of another key is refused by the service.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::PROVIDER;
use super::answer::{Refusal, settings, undone};
use crate::iam::sigv4::{PathRule, Request, Secret, Signer};
use crate::iam::time;
use crate::seal::{
    Context, DataKey, EncryptedDataKey, Error, KeyDescription, KeyService, KeyState,
};
use crate::spec::limit::KEY_SERVICE_ATTEMPTS_MAX;
use crate::store::Service;

/// The pause before the second attempt; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const JSON: &str = "application/x-amz-json-1.1";

/// A key service behind a server.
#[derive(Debug)]
pub struct Kms {
    service: Service,
}

impl Kms {
    /// Asks `service`.
    pub fn new(service: Service) -> Kms {
        Kms { service }
    }

    /// Where it is.
    pub(super) fn server(&self) -> String {
        self.service.server()
    }

    /// Runs an operation on `key`; the answer's fields.
    fn ask(&self, operation: &str, key: &str, body: &Value) -> Result<Answer, Error> {
        let body = Zeroizing::new(serde_json::to_vec(body).expect("JSON always serialises"));
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let refusal = match self.attempt(operation, &body)? {
                Ok(answer) => return Ok(answer),
                Err(refusal) => refusal,
            };
            if attempt >= KEY_SERVICE_ATTEMPTS_MAX || !refusal.may_pass() {
                return Err(refusal.told(&self.service, operation, key));
            }
            tracing::warn!(
                server = self.service.server(), operation, attempt, why = %refusal,
                "a request to the key service is repeated"
            );
            std::thread::sleep(pause);
            pause *= 2;
        }
        unreachable!("the last attempt returns")
    }

    /// One request; the outer error is one that no further attempt would mend.
    fn attempt(&self, operation: &str, body: &[u8]) -> Result<Result<Answer, Refusal>, Error> {
        let who = self.service.credentials().map_err(settings)?;
        let (host, date) = (self.service.host(), time::to_basic(time::now()));
        let target = format!("TrentService.{operation}");
        let mut headers = vec![
            ("content-type", JSON.to_owned()),
            ("host", host),
            ("x-amz-date", date.clone()),
            ("x-amz-target", target),
        ];
        headers.extend(who.session_token.map(|token| ("x-amz-security-token", token.0)));
        let signed: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let request =
            Request { method: "POST", path: self.service.path(), query: "", headers: &signed };
        let secret = Secret::new(who.secret_access_key.0);
        let signer = Signer {
            access_key: &who.access_key_id,
            secret: &secret,
            region: self.service.region(),
            service: "kms",
            date: &date,
            path: PathRule::Normalised,
        };
        let authorization = signer.authorization(&request, body);
        drop(signed);
        headers.push(("authorization", authorization));
        Ok(match self.service.post(&headers, body.to_vec()) {
            Err(cause) => Err(Refusal::Unreached { cause }),
            Ok(answer) => {
                let body = Zeroizing::new(answer.body);
                match answer.status {
                    200 => Answer::read(&body).ok_or(Refusal::NotKms { status: 200 }),
                    status => Err(Refusal::read(status, &body)),
                }
            }
        })
    }

    /// A field that every good answer has.
    fn field(&self, answer: &Answer, name: &str, operation: &str) -> Result<String, Error> {
        let missing = || undone(&self.service, operation, &format!("its answer has no {name}"));
        answer.0.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(missing)
    }

    fn bytes(
        &self,
        answer: &Answer,
        name: &str,
        operation: &str,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let text = Zeroizing::new(self.field(answer, name, operation)?);
        STANDARD
            .decode(text.as_bytes())
            .map(Zeroizing::new)
            .map_err(|_| undone(&self.service, operation, &format!("its {name} is not base64")))
    }

    fn data_key(&self, answer: &Answer, operation: &str) -> Result<DataKey, Error> {
        let plain = self.bytes(answer, "Plaintext", operation)?;
        let key = <[u8; 32]>::try_from(&plain[..]).map_err(|_| {
            undone(&self.service, operation, "what it gave is not a data key of 32 bytes")
        })?;
        Ok(DataKey::from_bytes(key))
    }

    fn wrapped(&self, answer: &Answer, operation: &str) -> Result<EncryptedDataKey, Error> {
        Ok(EncryptedDataKey {
            provider: PROVIDER.into(),
            info: self.field(answer, "KeyId", operation)?.into_bytes(),
            ciphertext: self.bytes(answer, "CiphertextBlob", operation)?.to_vec(),
        })
    }
}

/// The fields of a good answer.
struct Answer(serde_json::Map<String, Value>);

impl Answer {
    fn read(body: &[u8]) -> Option<Answer> {
        serde_json::from_slice(body).ok().map(Answer)
    }
}

fn pairs(context: &Context) -> Value {
    context.iter().map(|(key, value)| (key.to_owned(), Value::from(value))).collect()
}

impl KeyService for Kms {
    fn generate_data_key(
        &self,
        key: &str,
        context: &Context,
    ) -> Result<(DataKey, EncryptedDataKey), Error> {
        const NAME: &str = "GenerateDataKey";
        let body = json!({
            "KeyId": key, "NumberOfBytes": 32, "EncryptionContext": pairs(context),
        });
        let answer = self.ask(NAME, key, &body)?;
        Ok((self.data_key(&answer, NAME)?, self.wrapped(&answer, NAME)?))
    }

    fn wrap(
        &self,
        key: &str,
        data_key: &DataKey,
        context: &Context,
    ) -> Result<EncryptedDataKey, Error> {
        const NAME: &str = "Encrypt";
        let body = json!({
            "KeyId": key, "Plaintext": STANDARD.encode(data_key.expose()),
            "EncryptionContext": pairs(context),
        });
        let answer = self.ask(NAME, key, &body)?;
        self.wrapped(&answer, NAME)
    }

    fn knows(&self, wrapped: &EncryptedDataKey) -> bool {
        wrapped.provider == PROVIDER
    }

    fn unwrap(&self, wrapped: &EncryptedDataKey, context: &Context) -> Result<DataKey, Error> {
        const NAME: &str = "Decrypt";
        let key = wrapped.key_name();
        let body = json!({
            "KeyId": key, "CiphertextBlob": STANDARD.encode(&wrapped.ciphertext),
            "EncryptionContext": pairs(context),
        });
        let answer = self.ask(NAME, &key, &body)?;
        match self.field(&answer, "KeyId", NAME)? == key {
            true => self.data_key(&answer, NAME),
            false => Err(Error::Refused { key }),
        }
    }

    fn rewrap(
        &self,
        wrapped: &EncryptedDataKey,
        key: &str,
        context: &Context,
    ) -> Result<EncryptedDataKey, Error> {
        const NAME: &str = "ReEncrypt";
        let body = json!({
            "CiphertextBlob": STANDARD.encode(&wrapped.ciphertext),
            "SourceKeyId": wrapped.key_name(), "SourceEncryptionContext": pairs(context),
            "DestinationKeyId": key, "DestinationEncryptionContext": pairs(context),
        });
        let answer = self.ask(NAME, key, &body)?;
        self.wrapped(&answer, NAME)
    }

    fn describe(&self, key: &str) -> Result<KeyDescription, Error> {
        const NAME: &str = "DescribeKey";
        let answer = self.ask(NAME, key, &json!({ "KeyId": key }))?;
        let told = answer.0.get("KeyMetadata").cloned().unwrap_or_default();
        let arn = told["Arn"].as_str();
        let arn = arn.ok_or_else(|| undone(&self.service, NAME, "its answer has no Arn"))?;
        let state = match told["KeyState"].as_str() {
            Some("Enabled") => KeyState::Enabled,
            Some("PendingDeletion") => KeyState::PendingDeletion,
            _ => KeyState::Disabled,
        };
        Ok(KeyDescription {
            arn: arn.to_owned(),
            aliases: key.starts_with("alias/").then(|| key.to_owned()).into_iter().collect(),
            state,
            versions: 0,
            holder: format!("who may use {arn} at {}", self.service.server()),
        })
    }
}
