//! Every use of a key is an action of KMS, decided by the role's policies, and by the key's own
//! policy and grants where the key is one of this machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::fault::Fault;
use crate::iam::policy::{Context as Known, Kind, Policy};
use crate::iam::state::{Acting, Use};
use crate::seal::{
    Context, DataKey, EncryptedDataKey, Error, KeyDescription, KeyService, LocalKeys,
};

/// The keys of something that acts with a role: those of `inner`, for what the role allows. `local`
/// are the keys that have policies of their own here.
pub fn keys(
    acting: &Arc<Acting>,
    inner: Arc<dyn KeyService>,
    local: Option<LocalKeys>,
) -> Arc<dyn KeyService> {
    Arc::new(Keys { acting: Arc::clone(acting), inner, local })
}

struct Keys {
    acting: Arc<Acting>,
    inner: Arc<dyn KeyService>,
    local: Option<LocalKeys>,
}

impl Keys {
    /// Whether the role may do `operation` with the key called `key`.
    fn may(&self, operation: &str, key: &str, context: &Context) -> Result<(), Error> {
        // What is not known has no ARN, and is refused by its name.
        let resource = match self.inner.describe(key) {
            Ok(found) => found.arn,
            Err(_) => key.to_owned(),
        };
        let of_key = self.local.as_ref().and_then(|local| local.metadata(&resource).ok());
        let own = of_key.as_ref().and_then(|key| key.policy.as_deref());
        let own = own.map(|text| Policy::read("key policy", text, Kind::Resource)).transpose();
        let own = own.map_err(|mistakes| Error::Forbidden {
            what: format!("the policy of the key {resource} cannot be used: {mistakes}"),
            help: Some("write it anew: smrt keys policy KEY --set FILE".into()),
        })?;
        let pairs: BTreeMap<String, String> =
            context.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let arn = self.acting.arn();
        let granted = of_key.as_ref().is_some_and(|key| {
            let mut grants = key.grants.iter();
            grants.any(|grant| {
                let to = grant.grantee == arn || grant.grantee == self.acting.role_arn();
                to && grant.allows(operation, &pairs)
            })
        });
        let action = format!("kms:{operation}");
        let known = self.known(key, &pairs);
        let act = Use { action: &action, resource: &resource, known, own: own.as_ref(), granted };
        self.acting
            .may(&act)
            .map_err(|why| Error::Forbidden { what: why.to_string(), help: why.help() })
    }

    fn known(&self, key: &str, pairs: &BTreeMap<String, String>) -> Known {
        let account = self.acting.role_arn().split(':').nth(4).unwrap_or_default();
        let mut known = Known::new()
            .with("kms:ViaService", format!("sagemaker.{}.amazonaws.com", self.acting.region()))
            .with("kms:CallerAccount", account);
        if key.starts_with("alias/") {
            known.set("kms:RequestAlias", key);
        }
        for (key, value) in pairs {
            known.set(&format!("kms:EncryptionContext:{key}"), value.as_str());
        }
        known.set_all("kms:EncryptionContextKeys", pairs.keys().cloned().collect());
        known
    }
}

impl KeyService for Keys {
    fn generate_data_key(
        &self,
        key: &str,
        context: &Context,
    ) -> Result<(DataKey, EncryptedDataKey), Error> {
        self.may("GenerateDataKey", key, context)?;
        self.inner.generate_data_key(key, context)
    }

    fn wrap(
        &self,
        key: &str,
        data_key: &DataKey,
        context: &Context,
    ) -> Result<EncryptedDataKey, Error> {
        self.may("Encrypt", key, context)?;
        self.inner.wrap(key, data_key, context)
    }

    fn knows(&self, wrapped: &EncryptedDataKey) -> bool {
        self.inner.knows(wrapped)
    }

    fn unwrap(&self, wrapped: &EncryptedDataKey, context: &Context) -> Result<DataKey, Error> {
        self.may("Decrypt", &wrapped.key_name(), context)?;
        self.inner.unwrap(wrapped, context)
    }

    fn describe(&self, key: &str) -> Result<KeyDescription, Error> {
        self.may("DescribeKey", key, &Context::new())?;
        self.inner.describe(key)
    }
}
