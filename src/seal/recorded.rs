//! A key service whose every use of a key stands in the audit log before what it gives is given: a
//! use that cannot be recorded gives nothing.

use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::context::Context;
use super::error::Error;
use super::header::EncryptedDataKey;
use super::secret::DataKey;
use super::service::{KeyDescription, KeyService};
use crate::fault::{Fault, Kind};
use crate::telemetry::audit::{Audit, Record};
use crate::telemetry::date::now_s;

/// Records every use of the keys of `inner`.
pub struct Recorded {
    inner: Arc<dyn KeyService>,
    audit: Arc<Audit>,
    principal: String,
    region: String,
}

impl Recorded {
    /// Uses of `inner` by `principal`, an ARN or a name.
    pub fn new(
        inner: Arc<dyn KeyService>,
        audit: Arc<Audit>,
        principal: impl Into<String>,
        region: impl Into<String>,
    ) -> Recorded {
        Recorded { inner, audit, principal: principal.into(), region: region.into() }
    }

    /// Puts the outcome into the log, and passes it on once it is there.
    fn told<T>(
        &self,
        name: &str,
        key: &str,
        context: &Context,
        outcome: Result<T, Error>,
    ) -> Result<T, Error> {
        let pairs: Map<String, Value> =
            context.iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
        let why = outcome.as_ref().err().map(|why| (code(why), why.to_string()));
        let request = Uuid::new_v4().to_string();
        let record = Record {
            time_s: now_s(),
            source: "kms.amazonaws.com",
            name,
            region: &self.region,
            principal: Some(&self.principal),
            address: "AWS Internal".into(),
            request: &request,
            resource: key,
            error: why.as_ref().map(|(code, message)| (*code, message.as_str())),
            parameters: vec![("keyId", key.into()), ("encryptionContext", pairs.into())],
            manages: true,
            ..Record::default()
        };
        // A key that came with it is wiped where it is dropped.
        self.audit.write(&record).wait().map_err(|why| Error::Unrecorded {
            what: format!("{name} with {key}: {why}"),
            help: why.help(),
        })?;
        outcome
    }
}

/// KMS's name for a failure.
fn code(why: &Error) -> &'static str {
    match why {
        Error::UnknownKey { .. } => "NotFoundException",
        Error::Disabled { .. } => "DisabledException",
        Error::State { .. } => "KMSInvalidStateException",
        Error::OtherKey { .. } => "IncorrectKeyException",
        Error::Refused { .. } | Error::NoKey { .. } => "InvalidCiphertextException",
        why if why.kind() == Kind::Denied => "AccessDeniedException",
        _ => "KMSInternalException",
    }
}

impl KeyService for Recorded {
    fn generate_data_key(
        &self,
        key: &str,
        context: &Context,
    ) -> Result<(DataKey, EncryptedDataKey), Error> {
        let made = self.inner.generate_data_key(key, context);
        let name = made.as_ref().map_or_else(|_| key.to_owned(), |(_, wrapped)| wrapped.key_name());
        self.told("GenerateDataKey", &name, context, made)
    }

    fn wrap(
        &self,
        key: &str,
        data_key: &DataKey,
        context: &Context,
    ) -> Result<EncryptedDataKey, Error> {
        let wrapped = self.inner.wrap(key, data_key, context);
        self.told("Encrypt", key, context, wrapped)
    }

    fn knows(&self, wrapped: &EncryptedDataKey) -> bool {
        self.inner.knows(wrapped)
    }

    fn unwrap(&self, wrapped: &EncryptedDataKey, context: &Context) -> Result<DataKey, Error> {
        let opened = self.inner.unwrap(wrapped, context);
        self.told("Decrypt", &wrapped.key_name(), context, opened)
    }

    fn describe(&self, key: &str) -> Result<KeyDescription, Error> {
        self.inner.describe(key)
    }
}
