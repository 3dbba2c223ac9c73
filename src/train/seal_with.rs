//! Which key a job seals with, decided before the work begins.

use std::io::Write;
use std::sync::Arc;

use crate::seal::{self, Context, KeyService};
use crate::spec::name::JobName;
use crate::spec::train::SealKey;

/// A key that was found to be usable, or the wish for none.
pub(super) struct Sealing {
    service: Arc<dyn KeyService>,
    key: Option<String>,
    job: JobName,
}

impl Sealing {
    /// Finds the key, making the local one at first use.
    ///
    /// # Errors
    /// When the key does not exist or may not be used.
    pub(super) fn new(
        service: Arc<dyn KeyService>,
        wish: &SealKey,
        job: &JobName,
    ) -> Result<Sealing, seal::Error> {
        let name = match wish {
            SealKey::Plain => None,
            SealKey::Default => Some(seal::DEFAULT_ALIAS),
            SealKey::Named(name) => Some(name.as_str()),
        };
        // Only using a key shows that it can be used; the local one is made by it.
        let key = name
            .map(|name| {
                service.generate_data_key(name, &Context::new())?;
                service.describe(name).map(|key| key.arn)
            })
            .transpose()?;
        Ok(Sealing { service, key, job: job.clone() })
    }

    /// The key's name, for the report; `None` when nothing is sealed.
    pub(super) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// A sealing writer around `to`; `None` when the job asked for plain bytes.
    pub(super) fn writer<W: Write>(
        &self,
        artifact: &str,
        to: W,
    ) -> Result<Option<seal::Writer<W>>, seal::Error> {
        let Some(key) = &self.key else { return Ok(None) };
        let context = Context::of_job(artifact, self.job.as_str())?;
        seal::Writer::new(to, self.service.as_ref(), key, &context).map(Some)
    }

    /// The service that opens what was sealed.
    pub(super) fn keys(&self) -> &dyn KeyService {
        self.service.as_ref()
    }
}
