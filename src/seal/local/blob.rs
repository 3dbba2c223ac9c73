//! KMS's ciphertext blob, as this key service makes it; opaque to callers.
//!
//! `"SKB1"` | key uuid 16 | version u32 | IV 12 | AES-256-GCM(plaintext) | tag 16, with
//! `"SKB1"` | ARN | version | canonical context as associated data. The cipher's key is
//! HKDF-SHA256(backing key, salt = IV, info = ARN): each blob has its own, so a backing key's
//! random IVs have no birthday bound to reach.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use hkdf::Hkdf;
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::arn;
use crate::seal::context::Context;
use crate::seal::error::Error;
use crate::seal::secret::fill_random;

const MAGIC: &[u8; 4] = b"SKB1";
const IV_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const HEAD_BYTES: usize = 4 + 16 + 4 + IV_BYTES;

/// A blob's parts, unproved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) id: Uuid,
    pub(super) version: u32,
    iv: [u8; IV_BYTES],
    sealed: &'a [u8],
    tag: [u8; TAG_BYTES],
}

impl Parts<'_> {
    /// Takes a blob apart, if it has the shape of one.
    pub(super) fn of(blob: &[u8]) -> Option<Parts<'_>> {
        let rest = blob.strip_prefix(MAGIC)?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let (version, rest) = rest.split_first_chunk::<4>()?;
        let (iv, rest) = rest.split_first_chunk::<IV_BYTES>()?;
        let (sealed, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
        let (id, version) = (Uuid::from_bytes(*id), u32::from_be_bytes(*version));
        Some(Parts { id, version, iv: *iv, sealed, tag: *tag })
    }

    /// The plaintext, if `material` and `context` are the ones it was made with.
    pub(super) fn open(
        &self,
        material: &[u8; 32],
        context: &Context,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let mut plain = Zeroizing::new(self.sealed.to_vec());
        let covered = covered(self.id, self.version, context);
        cipher(material, &self.iv, self.id)
            .decrypt_inout_detached(
                &self.iv.into(),
                &covered,
                (&mut plain[..]).into(),
                &self.tag.into(),
            )
            .ok()?;
        Some(plain)
    }
}

/// Seals `plain` under one version of a key.
pub(super) fn seal(
    id: Uuid,
    version: u32,
    material: &[u8; 32],
    plain: &[u8],
    context: &Context,
) -> Result<Vec<u8>, Error> {
    let mut iv = [0; IV_BYTES];
    fill_random(&mut iv)?;
    let mut blob = Vec::with_capacity(HEAD_BYTES + plain.len() + TAG_BYTES);
    blob.extend(MAGIC);
    blob.extend(id.as_bytes());
    blob.extend(version.to_be_bytes());
    blob.extend(iv);
    blob.extend(plain);
    let tag = cipher(material, &iv, id)
        .encrypt_inout_detached(
            &iv.into(),
            &covered(id, version, context),
            (&mut blob[HEAD_BYTES..]).into(),
        )
        .expect("at most 4 KiB, far below the cipher's limit");
    blob.extend(tag);
    Ok(blob)
}

fn cipher(material: &[u8; 32], iv: &[u8; IV_BYTES], id: Uuid) -> Aes256Gcm {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(iv), material)
        .expand(arn(id).as_bytes(), &mut key[..])
        .expect("32 bytes are one block");
    Aes256Gcm::new((&*key).into())
}

fn covered(id: Uuid, version: u32, context: &Context) -> Vec<u8> {
    [MAGIC, arn(id).as_bytes(), &version.to_be_bytes(), &context.serialize()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_a_blob_and_every_cut_matters() {
        let (id, context) = (Uuid::new_v4(), Context::from_pairs([("a", "b")]).unwrap());
        let blob = seal(id, 3, &[7; 32], b"secret", &context).unwrap();
        let opened = |blob: &[u8], context: &Context| {
            // The service looks a key up by id and version, so another one has another material.
            let parts = Parts::of(blob)?;
            let material = [if parts.id == id && parts.version == 3 { 7 } else { 8 }; 32];
            parts.open(&material, context)
        };
        assert_eq!(opened(&blob, &context).unwrap().as_slice(), b"secret");
        assert!(opened(&blob, &Context::new()).is_none());
        for bit in 0..blob.len() * 8 {
            let mut changed = blob.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(opened(&changed, &context).is_none(), "bit {bit}");
        }
        for end in 0..blob.len() {
            assert!(opened(&blob[..end], &context).is_none(), "cut at {end}");
        }
    }
}
