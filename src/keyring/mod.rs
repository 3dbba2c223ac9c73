//! Which key service keeps a key: this user's own store, or a KMS elsewhere.
//!
//! | the key | who is asked |
//! |---|---|
//! | none named, or `alias/smrt` | the local store, always |
//! | `arn:smrt:…` of a key that is here | the local store |
//! | `arn:aws:kms:REGION:…`, as a job's `kms_key` | the KMS of that region, or the endpoint that is named |
//! | any other name, or a sealed file's key that is not here | the KMS, where one is named; else the local store |
//!
//! A KMS is *named* by `[storage.kms]` (`--kms-endpoint`, `--kms-region`, `--kms-profile`) or by
//! `AWS_ENDPOINT_URL_KMS`. Without one nothing here touches the network: a stranger's artifact that
//! claims a key of AWS asks nobody. Clients are made, and credentials looked for, at first use.

mod answer;
pub mod beside;
mod kms;
pub mod signing;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use kms::Kms;

use crate::seal::{
    Context, DEFAULT_ALIAS, DataKey, EncryptedDataKey, Error, KeyDescription, KeyService, LocalKeys,
};
use crate::spec::train::{SealKey, Storage};
use crate::store::{Environment, Service};

/// The provider of data keys that a KMS wrapped.
const PROVIDER: &str = "aws-kms";

/// The local store and, where one is named, a KMS.
pub struct KeyRing {
    local: LocalKeys,
    access: Storage,
    environment: Environment,
    /// Whether a KMS is named for every key that is not here.
    named: bool,
    /// `arn:aws:kms:REGION:ACCOUNT:` of the job's own key: its keys may be asked for, too.
    home: Option<String>,
    /// One for each region.
    clients: Mutex<HashMap<Option<String>, Arc<Kms>>>,
}

impl KeyRing {
    /// The keys of the user who runs this process, and the KMS that the job or the environment
    /// names.
    ///
    /// # Errors
    /// As [`LocalKeys::of_user`].
    pub fn of_user(storage: &Storage, key: &SealKey) -> Result<KeyRing, Error> {
        Ok(KeyRing::new(LocalKeys::of_user()?, storage, key, Environment::of_process()))
    }

    /// The keys of `local`, and the KMS that the job or `environment` names.
    pub fn new(
        local: LocalKeys,
        storage: &Storage,
        key: &SealKey,
        environment: Environment,
    ) -> KeyRing {
        let home = match key {
            SealKey::Named(name) => account_of(name).map(str::to_owned),
            SealKey::Default | SealKey::Plain => None,
        };
        KeyRing {
            local,
            named: Service::is_named(&storage.kms, &environment),
            access: storage.clone(),
            environment,
            home,
            clients: Mutex::default(),
        }
    }

    /// Whether a key of this name is kept elsewhere: using it asks a server.
    pub fn is_remote(&self, key: &str) -> bool {
        if key == DEFAULT_ALIAS
            || (key.starts_with("arn:smrt:") && self.local.describe(key).is_ok())
        {
            return false;
        }
        self.named || self.is_home(key)
    }

    fn is_home(&self, key: &str) -> bool {
        self.home.as_ref().is_some_and(|home| key.starts_with(home))
    }

    /// Who keeps `key`.
    fn keeper(&self, key: &str) -> Result<Keeper<'_>, Error> {
        match self.is_remote(key) {
            true => self.client(key).map(Keeper::Elsewhere),
            false => Ok(Keeper::Here(&self.local)),
        }
    }

    /// The client for the region that `key`'s ARN names.
    fn client(&self, key: &str) -> Result<Arc<Kms>, Error> {
        let region = key.starts_with("arn:").then(|| key.split(':').nth(3)).flatten();
        let region = region.filter(|region| !region.is_empty()).map(str::to_owned);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&region) {
            return Ok(Arc::clone(client));
        }
        let service = Service::kms(&self.access, &self.environment, region.as_deref());
        let client = Arc::new(Kms::new(service.map_err(answer::settings)?));
        clients.insert(region, Arc::clone(&client));
        Ok(client)
    }
}

enum Keeper<'k> {
    Here(&'k LocalKeys),
    Elsewhere(Arc<Kms>),
}

impl Keeper<'_> {
    fn service(&self) -> &dyn KeyService {
        match self {
            Keeper::Here(local) => *local,
            Keeper::Elsewhere(kms) => kms.as_ref(),
        }
    }
}

impl KeyService for KeyRing {
    fn generate_data_key(
        &self,
        key: &str,
        context: &Context,
    ) -> Result<(DataKey, EncryptedDataKey), Error> {
        self.keeper(key)?.service().generate_data_key(key, context)
    }

    fn wrap(
        &self,
        key: &str,
        data_key: &DataKey,
        context: &Context,
    ) -> Result<EncryptedDataKey, Error> {
        self.keeper(key)?.service().wrap(key, data_key, context)
    }

    fn knows(&self, wrapped: &EncryptedDataKey) -> bool {
        let elsewhere = || {
            let name = wrapped.key_name();
            wrapped.provider == PROVIDER && (self.named || self.is_home(&name))
        };
        self.local.knows(wrapped) || elsewhere()
    }

    fn unwrap(&self, wrapped: &EncryptedDataKey, context: &Context) -> Result<DataKey, Error> {
        let name = wrapped.key_name();
        if !self.local.knows(wrapped) {
            return self.client(&name)?.unwrap(wrapped, context);
        }
        match self.local.unwrap(wrapped, context) {
            // Another smrt's key, by its looks.
            Err(Error::UnknownKey { .. }) if wrapped.provider == PROVIDER && self.named => {
                self.client(&name)?.unwrap(wrapped, context)
            }
            other => other,
        }
    }

    fn rewrap(
        &self,
        wrapped: &EncryptedDataKey,
        key: &str,
        context: &Context,
    ) -> Result<EncryptedDataKey, Error> {
        let (from, to) = (self.keeper(&wrapped.key_name())?, self.keeper(key)?);
        match (&from, &to) {
            // One server that knows both: what is wrapped does not leave it.
            (Keeper::Elsewhere(from), Keeper::Elsewhere(to)) if from.server() == to.server() => {
                from.rewrap(wrapped, key, context)
            }
            _ => to.service().wrap(key, &self.unwrap(wrapped, context)?, context),
        }
    }

    fn describe(&self, key: &str) -> Result<KeyDescription, Error> {
        self.keeper(key)?.service().describe(key)
    }
}

/// `arn:aws:kms:REGION:ACCOUNT:` of an ARN of AWS.
fn account_of(name: &str) -> Option<&str> {
    let end = name.match_indices(':').nth(4)?.0;
    name.starts_with("arn:aws").then(|| &name[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWS: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn ring(key: &SealKey, pairs: &[(&str, &str)]) -> (tempfile::TempDir, KeyRing) {
        let home = tempfile::tempdir().unwrap();
        let environment = pairs.iter().copied().collect();
        let local = LocalKeys::new(home.path());
        let ring = KeyRing::new(local, &Storage::default(), key, environment);
        (home, ring)
    }

    fn wrapped(arn: &str) -> EncryptedDataKey {
        EncryptedDataKey {
            provider: PROVIDER.into(),
            info: arn.as_bytes().to_vec(),
            ciphertext: vec![0; 184],
        }
    }

    #[test]
    fn without_a_named_service_every_key_is_local() {
        let everywhere = [("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("AWS_REGION", "eu-west-1")];
        let (_home, ring) = ring(&SealKey::Default, &everywhere);
        for key in [DEFAULT_ALIAS, "alias/fraud", AWS] {
            assert!(!ring.is_remote(key), "{key}");
        }
        // A stranger's file that claims a key of AWS.
        assert!(!ring.knows(&wrapped(AWS)));
    }

    #[test]
    fn a_job_s_own_arn_opens_the_way_to_its_account_and_to_no_other() {
        let (_home, ring) = ring(&SealKey::Named(AWS.into()), &[]);
        assert!(ring.is_remote(AWS) && ring.knows(&wrapped(AWS)));
        for other in [AWS.replace("1111", "9999"), AWS.replace("eu-west-1", "us-east-1")] {
            assert!(!ring.is_remote(&other) && !ring.knows(&wrapped(&other)), "{other}");
        }
        assert!(!ring.is_remote("alias/fraud"));
    }

    #[test]
    fn a_named_service_has_every_name_but_the_default_one_and_what_is_here() {
        let pairs = [("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1")];
        let (_home, ring) = ring(&SealKey::Default, &pairs);
        assert!(ring.is_remote("alias/fraud") && ring.is_remote(AWS));
        assert!(!ring.is_remote(DEFAULT_ALIAS));
        let here = ring.local.create(None).unwrap().arn;
        assert!(!ring.is_remote(&here));
        assert!(
            ring.is_remote(
                "arn:smrt:kms:local:000000000000:key/00000000-0000-4000-8000-000000000000"
            )
        );
    }
}
