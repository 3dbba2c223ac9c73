//! One AES-256 wrapping key with a name: the raw AES keyring of the AWS Encryption SDK.
//!
//! It wraps for the local store, and serves on its own as an offline escrow key: whoever holds
//! these 32 bytes opens the message with any AWS Encryption SDK. It keeps no files and no versions.
//!
//! Wrapped form: info = name || tag bits u32 || IV bytes u32 || IV; ciphertext = AES-256-GCM(data
//! key) || tag, with the serialized context as associated data. IVs are random, so one key must
//! not wrap more than 2^32 times: rotate before.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use zeroize::Zeroizing;

use super::context::Context;
use super::error::Error;
use super::header::{EncryptedDataKey, TAG_BYTES};
use super::secret::{DataKey, Secret, fill_random};
use super::service::{KeyDescription, KeyService, KeyState};

const IV_BYTES: usize = 12;
/// Bytes of info after the name.
const TAIL_BYTES: usize = 4 + 4 + IV_BYTES;
/// Tag length in bits, IV length in bytes: the only ones there are.
const SHAPE: [u8; 8] = [0, 0, 0, 128, 0, 0, 0, 12];

/// A wrapping key with its namespace and name.
pub struct RawKey {
    namespace: String,
    name: String,
    key: Secret<[u8; 32]>,
}

impl RawKey {
    /// Takes a key into use.
    ///
    /// # Errors
    /// [`Error::Settings`] for a namespace that belongs to AWS KMS, or a name or namespace that is
    /// empty or longer than 256 bytes.
    pub fn new(
        namespace: impl Into<String>,
        name: impl Into<String>,
        key: [u8; 32],
    ) -> Result<RawKey, Error> {
        let (namespace, name) = (namespace.into(), name.into());
        let fits = |text: &str| (1..=256).contains(&text.len());
        if !fits(&namespace) || !fits(&name) || namespace.starts_with("aws-kms") {
            let what = format!(
                "raw key {name:?} in {namespace:?}: both take 1 to 256 bytes, and aws-kms is taken"
            );
            return Err(Error::Settings { what });
        }
        Ok(RawKey { namespace, name, key: Secret::new(key) })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(self.key.expose().into())
    }

    fn refused(&self) -> Error {
        Error::Refused { key: self.name.clone() }
    }
}

impl KeyService for RawKey {
    fn generate_data_key(
        &self,
        key: &str,
        context: &Context,
    ) -> Result<(DataKey, EncryptedDataKey), Error> {
        let data_key = DataKey::generate()?;
        let wrapped = self.wrap(key, &data_key, context)?;
        Ok((data_key, wrapped))
    }

    fn wrap(
        &self,
        key: &str,
        data_key: &DataKey,
        context: &Context,
    ) -> Result<EncryptedDataKey, Error> {
        self.describe(key)?;
        let mut iv = [0; IV_BYTES];
        fill_random(&mut iv)?;
        let mut bytes = Zeroizing::new(*data_key.expose());
        let tag = self
            .cipher()
            .encrypt_inout_detached(&iv.into(), &context.serialize(), (&mut bytes[..]).into())
            .expect("32 bytes are far below the cipher's limit");
        Ok(EncryptedDataKey {
            provider: self.namespace.clone(),
            info: [self.name.as_bytes(), &SHAPE, &iv].concat(),
            ciphertext: [&bytes[..], &tag].concat(),
        })
    }

    fn knows(&self, wrapped: &EncryptedDataKey) -> bool {
        wrapped.provider == self.namespace
            && split_info(&wrapped.info).is_some_and(|(name, _)| name == self.name.as_bytes())
    }

    fn unwrap(&self, wrapped: &EncryptedDataKey, context: &Context) -> Result<DataKey, Error> {
        let (_, iv) = split_info(&wrapped.info).ok_or_else(|| self.refused())?;
        let (bytes, tag) =
            wrapped.ciphertext.split_last_chunk::<TAG_BYTES>().ok_or_else(|| self.refused())?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| self.refused())?;
        let mut bytes = Zeroizing::new(bytes);
        self.cipher()
            .decrypt_inout_detached(
                &iv.into(),
                &context.serialize(),
                (&mut bytes[..]).into(),
                &(*tag).into(),
            )
            .map_err(|_| self.refused())?;
        Ok(DataKey::from_bytes(*bytes))
    }

    fn describe(&self, key: &str) -> Result<KeyDescription, Error> {
        if key != self.name {
            let place = format!("the raw key {}", self.name);
            return Err(Error::UnknownKey { key: key.into(), place });
        }
        Ok(KeyDescription {
            arn: self.name.clone(),
            aliases: Vec::new(),
            state: KeyState::Enabled,
            versions: 1,
            holder: format!("who holds the raw key {} ({})", self.name, self.namespace),
        })
    }
}

/// Name and IV, when `info` has the shape of a raw AES keyring.
pub(super) fn split_info(info: &[u8]) -> Option<(&[u8], [u8; IV_BYTES])> {
    let (name, tail) = info.split_last_chunk::<TAIL_BYTES>()?;
    let (shape, iv) = tail.split_last_chunk::<IV_BYTES>()?;
    (shape == SHAPE && !name.is_empty()).then_some((name, *iv))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> RawKey {
        RawKey::new("smrt-artifact", "escrow", [3; 32]).unwrap()
    }

    #[test]
    fn a_data_key_comes_back_under_its_context_only() {
        let context = Context::from_pairs([("job", "churn")]).unwrap();
        let (data_key, wrapped) = key().generate_data_key("escrow", &context).unwrap();
        assert!(key().knows(&wrapped));
        assert_eq!(key().unwrap(&wrapped, &context).unwrap().expose(), data_key.expose());
        let refused = key().unwrap(&wrapped, &Context::new()).unwrap_err();
        assert!(matches!(refused, Error::Refused { .. }), "{refused}");
    }

    #[test]
    fn every_bit_of_a_wrapped_key_matters() {
        let (_, wrapped) = key().generate_data_key("escrow", &Context::new()).unwrap();
        for at in 0..wrapped.ciphertext.len() * 8 {
            let mut changed = wrapped.clone();
            changed.ciphertext[at / 8] ^= 1 << (at % 8);
            assert!(key().unwrap(&changed, &Context::new()).is_err(), "bit {at}");
        }
        for at in 0..wrapped.info.len() * 8 {
            let mut changed = wrapped.clone();
            changed.info[at / 8] ^= 1 << (at % 8);
            let opened = key().knows(&changed) && key().unwrap(&changed, &Context::new()).is_ok();
            assert!(!opened, "bit {at} of info");
        }
    }

    #[test]
    fn a_wrapped_key_of_another_length_is_refused() {
        let (_, wrapped) = key().generate_data_key("escrow", &Context::new()).unwrap();
        for length in [0, 15, 16, 47, 49] {
            let mut changed = wrapped.clone();
            changed.ciphertext.resize(length, 0);
            assert!(key().unwrap(&changed, &Context::new()).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn the_namespace_of_aws_kms_is_not_for_raw_keys() {
        assert!(RawKey::new("aws-kms", "x", [0; 32]).is_err());
        assert!(RawKey::new("aws-kms-mrk", "x", [0; 32]).is_err());
        assert!(RawKey::new("", "x", [0; 32]).is_err());
    }
}
