//! The seam to whoever keeps wrapping keys: the local store, a raw key, AWS KMS, another smrt.
//!
//! A service is asked in plain function calls; one that speaks HTTP waits inside. Deciding *who*
//! may use a key, and recording that it was used, is the service's business, so both can be added
//! around any of them.

use super::context::Context;
use super::error::Error;
use super::header::EncryptedDataKey;
use super::secret::DataKey;

/// Makes, wraps and unwraps the data keys of messages.
///
/// `key` is always what a person may write: an id, an alias (`alias/smrt`) or an ARN. `context` is
/// the message's whole encryption context, required pairs included; a service binds it to what it
/// wraps, so that unwrapping under another context fails.
pub trait KeyService: Send + Sync {
    /// Draws a fresh data key and wraps it under `key`. A service that draws keys itself, as AWS KMS
    /// does, has its own.
    ///
    /// # Errors
    /// [`Error::UnknownKey`], [`Error::Disabled`], or whatever keeps the service from its key.
    fn generate_data_key(
        &self,
        key: &str,
        context: &Context,
    ) -> Result<(DataKey, EncryptedDataKey), Error> {
        let data_key = DataKey::generate()?;
        let wrapped = self.wrap(key, &data_key, context)?;
        Ok((data_key, wrapped))
    }

    /// Wraps a data key that another service made: a second way to open the same message.
    ///
    /// # Errors
    /// As [`KeyService::generate_data_key`].
    fn wrap(
        &self,
        key: &str,
        data_key: &DataKey,
        context: &Context,
    ) -> Result<EncryptedDataKey, Error>;

    /// Whether `wrapped` names a key of this service. Asked without effort: no network, no disk.
    fn knows(&self, wrapped: &EncryptedDataKey) -> bool;

    /// Unwraps a data key.
    ///
    /// # Errors
    /// [`Error::UnknownKey`] when the key is gone, [`Error::Disabled`], and [`Error::Refused`] for
    /// a changed header and for a wrong context alike.
    fn unwrap(&self, wrapped: &EncryptedDataKey, context: &Context) -> Result<DataKey, Error>;

    /// Unwraps the data key of a message whose header body has this SHA-256: what a service needs
    /// that keeps something beside the message. Others need not know.
    ///
    /// # Errors
    /// As [`KeyService::unwrap`].
    fn unwrap_for(
        &self,
        wrapped: &EncryptedDataKey,
        context: &Context,
        _header_sha256: &[u8; 32],
    ) -> Result<DataKey, Error> {
        self.unwrap(wrapped, context)
    }

    /// The same data key wrapped under another `key`. A service that can do so by itself lets
    /// nobody see it.
    ///
    /// # Errors
    /// As [`KeyService::unwrap`] and [`KeyService::wrap`].
    fn rewrap(
        &self,
        wrapped: &EncryptedDataKey,
        key: &str,
        context: &Context,
    ) -> Result<EncryptedDataKey, Error> {
        self.wrap(key, &self.unwrap(wrapped, context)?, context)
    }

    /// What `key` is, for people and for provenance.
    ///
    /// # Errors
    /// [`Error::UnknownKey`].
    fn describe(&self, key: &str) -> Result<KeyDescription, Error>;
}

/// A key as a service describes it. Nothing here is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDescription {
    /// Its one full name.
    pub arn: String,
    /// Other names it goes by, `alias/...`.
    pub aliases: Vec<String>,
    /// Whether it can be used.
    pub state: KeyState,
    /// How many backing keys it has, 0 where its service does not tell; new data keys are wrapped
    /// under the latest.
    pub versions: u32,
    /// Who can open what is sealed under it, in words: "who holds …".
    pub holder: String,
}

/// Whether a key can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// Yes.
    Enabled,
    /// Not until somebody enables it again.
    Disabled,
    /// Not unless its deletion is cancelled in time.
    PendingDeletion,
}

/// Unwraps the data key of a message with the first of `wrapped` that `keys` can open.
///
/// # Errors
/// [`Error::NoKey`] when the service has none of them; else the last refusal.
pub(super) fn unwrap_any(
    keys: &dyn KeyService,
    wrapped: &[EncryptedDataKey],
    context: &Context,
    header_sha256: &[u8; 32],
) -> Result<DataKey, Error> {
    let holders = wrapped.iter().map(|key| format!("{} ({})", key.key_name(), key.provider));
    let mut refusal = Error::NoKey { holders: holders.collect() };
    for key in wrapped.iter().filter(|key| keys.knows(key)) {
        match keys.unwrap_for(key, context, header_sha256) {
            Ok(data_key) => return Ok(data_key),
            // Its own kind of key, and not there: what the message opens with says more.
            Err(Error::UnknownKey { .. }) => {}
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}
