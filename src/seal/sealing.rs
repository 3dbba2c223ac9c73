//! Which key a job seals with, decided before the work begins.

use std::io::Write;
use std::sync::Arc;

use super::{Context, DEFAULT_ALIAS, Error, KeyService, Writer};
use crate::spec::name::JobName;
use crate::spec::train::SealKey;

/// A key that was found to be usable, or the wish for none.
pub struct Sealing {
    service: Arc<dyn KeyService>,
    key: Option<String>,
    job: JobName,
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
        // Only using a key shows that it can be used; the local one is made by it.
        let key = name
            .map(|name| {
                service.generate_data_key(name, &Context::of_job(artifact, job.as_str())?)?;
                service.describe(name).map(|key| key.arn)
            })
            .transpose()?;
        Ok(Sealing { service, key, job: job.clone(), elsewhere: false })
    }

    /// For a process without keys, whose plain bytes another seals under `key`.
    pub fn elsewhere(service: Arc<dyn KeyService>, key: Option<String>, job: &JobName) -> Sealing {
        Sealing { service, key, job: job.clone(), elsewhere: true }
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
