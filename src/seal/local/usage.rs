//! What keys are for: KMS's Encrypt, Decrypt and ReEncrypt, on its ciphertext blobs.

use std::sync::Arc;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::record::{DAY_S, KeyFile};
use super::{LocalKeys, arn, blob, usable};
use crate::seal::context::Context;
use crate::seal::error::Error;
use crate::seal::secret::fill_random;

/// Bytes of plaintext that one blob may hold, as in KMS.
pub const BLOB_PLAIN_BYTES_MAX: usize = 4096;

/// A blob that was opened.
#[derive(Debug)]
pub struct Decrypted {
    /// The key that opened it.
    pub arn: String,
    pub(super) id: Uuid,
    /// What it held.
    pub plain: Zeroizing<Vec<u8>>,
}

impl LocalKeys {
    /// Seals up to [`BLOB_PLAIN_BYTES_MAX`] bytes under the latest version of `key`; answers the
    /// key's ARN and the blob.
    ///
    /// # Errors
    /// [`Error::UnknownKey`], [`Error::Disabled`], [`Error::State`], [`Error::TooLarge`].
    pub fn encrypt(
        &self,
        key: &str,
        plain: &[u8],
        context: &Context,
    ) -> Result<(String, Vec<u8>), Error> {
        if plain.len() > BLOB_PLAIN_BYTES_MAX {
            let bytes_max = BLOB_PLAIN_BYTES_MAX as u64;
            return Err(Error::TooLarge { what: "a plaintext".into(), bytes_max });
        }
        let id = self.resolve_or_make(key)?;
        Ok((arn(id), self.seal_blob(id, key, plain, context)?))
    }

    /// Opens a blob. `key`, where it is given, must be the one that made it.
    ///
    /// # Errors
    /// [`Error::Refused`] for a blob that is not ours, was changed, or was made under another
    /// context; [`Error::OtherKey`]; [`Error::UnknownKey`] when its key is gone;
    /// [`Error::Disabled`], [`Error::State`].
    pub fn decrypt(
        &self,
        blob: &[u8],
        key: Option<&str>,
        context: &Context,
    ) -> Result<Decrypted, Error> {
        if let Some(key) = key {
            let (id, of) = (self.resolve(key)?, blob::Parts::of(blob).map(|parts| parts.id));
            if of.is_some_and(|of| of != id) {
                return Err(Error::OtherKey { key: key.into() });
            }
        }
        self.open_blob(blob, context)
    }

    /// `bytes` of the operating system's randomness.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn random(bytes: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut random = Zeroizing::new(vec![0; bytes]);
        fill_random(&mut random)?;
        Ok(random)
    }

    pub(super) fn open_blob(&self, blob: &[u8], context: &Context) -> Result<Decrypted, Error> {
        let refused = |key: String| Error::Refused { key };
        let parts = blob::Parts::of(blob).ok_or_else(|| refused("of this store".into()))?;
        let (id, name) = (parts.id, arn(parts.id));
        let file = self.load(id, &name)?;
        usable(id, &file)?;
        let material =
            self.material(id, &file, parts.version)?.ok_or_else(|| refused(name.clone()))?;
        let plain = parts.open(&material, context).ok_or_else(|| refused(name.clone()))?;
        Ok(Decrypted { arn: name, id, plain })
    }

    pub(super) fn seal_blob(
        &self,
        id: Uuid,
        key: &str,
        plain: &[u8],
        context: &Context,
    ) -> Result<Vec<u8>, Error> {
        let file = self.rotated(id, key)?;
        usable(id, &file)?;
        let version = file.count();
        let material = self.material(id, &file, version)?.ok_or_else(|| self.unknown(key))?;
        blob::seal(id, version, &material, plain, context)
    }

    /// The backing key of a version, if there is one.
    pub(super) fn material(
        &self,
        id: Uuid,
        file: &KeyFile,
        version: u32,
    ) -> Result<Option<Zeroizing<[u8; 32]>>, Error> {
        let root = self.store.root()?;
        Ok(file.material(id, version, root.as_ref().map(|root| &root.key)))
    }

    /// The key's file, after the version that its calendar says is due.
    fn rotated(&self, id: Uuid, key: &str) -> Result<Arc<KeyFile>, Error> {
        let file = self.load(id, key)?;
        let due = |file: &KeyFile| {
            file.rotation.filter(|plan| plan.next_s <= self.now() && usable(id, file).is_ok())
        };
        if due(&file).is_none() {
            return Ok(file);
        }
        let changing = self.store.lock()?;
        let mut file = (*self.load(id, key)?).clone();
        if let Some(mut plan) = due(&file) {
            let root = self.store.root()?;
            file.add_version(id, root.as_ref().map(|root| &root.key), self.now(), false)?;
            plan.next_s = self.now() + u64::from(plan.period_days) * DAY_S;
            file.rotation = Some(plan);
            changing.write_key(id, &file)?;
            tracing::info!(key = arn(id), version = file.count(), "key rotated by its calendar");
        }
        drop(changing);
        self.load(id, key)
    }
}
