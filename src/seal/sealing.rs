//! Which key a job seals with, decided before the work begins.

use std::io::Write;
use std::sync::Arc;

use super::{Context, DEFAULT_ALIAS, Error, KeyService, Sidecar, Writer, detached};
use crate::spec::name::JobName;
use crate::spec::train::{KeyPlace, SealKey};

/// A writer, and the file of keys that goes beside what it writes.
pub(super) type WithKeys<W> = (Writer<W>, Option<Sidecar>);

/// A key that was found to be usable, or the wish for none.
pub struct Sealing {
    service: Arc<dyn KeyService>,
    key: Option<String>,
    job: JobName,
    keys: KeyPlace,
    /// Whether another process seals what this one writes.
    elsewhere: bool,
}

impl Sealing {
    /// Finds the key, making the local one at first use. It is tried as it will be used, for
    /// `artifact`: a policy may name the job.
    ///
    /// # Errors
    /// When the key does not exist or may not be used.
    pub fn new(
        service: Arc<dyn KeyService>,
        wish: &SealKey,
        job: &JobName,
        artifact: &str,
    ) -> Result<Sealing, Error> {
        let name = match wish {
            SealKey::Plain => None,
            SealKey::Default => Some(DEFAULT_ALIAS),
            SealKey::Named(name) => Some(name.as_str()),
        };
        // Only using a key shows that it can be used; the local one is made by it. What comes back
        // names it in full: who may use a key need not be allowed to have it described.
        let key = name
            .map(|name| {
                let context = Context::of_job(artifact, job.as_str())?;
                service.generate_data_key(name, &context).map(|(_, wrapped)| wrapped.key_name())
            })
            .transpose()?;
        Ok(Sealing { service, key, job: job.clone(), keys: KeyPlace::Attached, elsewhere: false })
    }

    /// Where the key of the job's `artifact` stands; what else is sealed has its own in its header.
    ///
    /// # Errors
    /// As [`Writer::new`], when the key may not be used so.
    pub fn keys_at(self, keys: KeyPlace, artifact: &str) -> Result<Sealing, Error> {
        let sealing = Sealing { keys, ..self };
        if keys == KeyPlace::Detached {
            // Tried now: another right is needed than for a key in the header.
            sealing.artifact(artifact, std::io::sink())?;
        }
        Ok(sealing)
    }

    /// A writer for the job's artifact as [`Sealing::writer`] gives one, and the file of keys that
    /// goes beside it, where the job wants one.
    ///
    /// # Errors
    /// As [`Writer::new`].
    pub fn artifact<W: Write>(&self, artifact: &str, to: W) -> Result<Option<WithKeys<W>>, Error> {
        match (&self.key, self.keys) {
            (Some(key), KeyPlace::Detached) => {
                let context = Context::of_job(artifact, self.job.as_str())?;
                let (writer, sidecar) = detached(to, self.service.as_ref(), key, &context)?;
                Ok(Some((writer, Some(sidecar))))
            }
            _ => Ok(self.writer(artifact, to)?.map(|writer| (writer, None))),
        }
    }

    /// For a process without keys, whose plain bytes another seals under `key`.
    pub fn elsewhere(service: Arc<dyn KeyService>, key: Option<String>, job: &JobName) -> Sealing {
        let keys = KeyPlace::Attached;
        Sealing { service, key, job: job.clone(), keys, elsewhere: true }
    }

    /// The key's name, for the report; `None` when nothing is sealed.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// A sealing writer around `to`, bound to the name of what is sealed and to the job; `None`
    /// when the job asked for plain bytes, or another process seals them.
    ///
    /// # Errors
    /// As [`Writer::new`].
    pub fn writer<W: Write>(&self, artifact: &str, to: W) -> Result<Option<Writer<W>>, Error> {
        let Some(key) = self.key.as_ref().filter(|_| !self.elsewhere) else { return Ok(None) };
        let context = Context::of_job(artifact, self.job.as_str())?;
        Writer::new(to, self.service.as_ref(), key, &context).map(Some)
    }

    /// The service that opens what was sealed.
    pub fn keys(&self) -> &dyn KeyService {
        self.service.as_ref()
    }
}
