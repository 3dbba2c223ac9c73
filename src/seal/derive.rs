//! From the data key to the message key, and the proof that a header is true.
//!
//! PRK = HKDF-Extract(SHA-512, salt = message id, data key); the commitment is Expand("COMMITKEY"),
//! the message key is Expand(suite id || "DERIVEKEY"). A header is accepted in this order:
//! commitment in constant time (so no cipher runs under a key the writer did not commit to), then
//! the GCM tag over the header body and the required context.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use hkdf::Hkdf;
use sha2::Sha512;
use zeroize::{Zeroize, Zeroizing};

use super::context::Context;
use super::error::Error;
use super::frame::Cipher;
use super::header::{Parsed, Suite, TAG_BYTES};
use super::secret::{DataKey, same};

/// What a data key yields for one message.
struct Derived {
    message_key: Zeroizing<[u8; 32]>,
    commitment: [u8; 32],
}

fn derive(key: &DataKey, suite: Suite, message_id: &[u8; 32]) -> Derived {
    let (mut prk, hkdf) = Hkdf::<Sha512>::extract(Some(message_id), key.expose());
    prk.as_mut_slice().zeroize();
    let mut message_key = Zeroizing::new([0; 32]);
    let mut commitment = [0; 32];
    let parts = [&suite.id().to_be_bytes()[..], b"DERIVEKEY"];
    hkdf.expand_multi_info(&parts, &mut message_key[..]).expect("32 bytes are one block");
    hkdf.expand(b"COMMITKEY", &mut commitment).expect("32 bytes are one block");
    Derived { message_key, commitment }
}

impl Derived {
    /// For the header, whose IV is 0.
    fn header_cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new((&*self.message_key).into())
    }
}

/// The commitment to put into a new header.
pub(super) fn commitment(key: &DataKey, suite: Suite, message_id: &[u8; 32]) -> [u8; 32] {
    derive(key, suite, message_id).commitment
}

/// The tag over a header body, and the cipher for the frames that follow it.
pub(super) fn sign_header(
    key: &DataKey,
    suite: Suite,
    message_id: &[u8; 32],
    body: &[u8],
    required: &Context,
) -> ([u8; TAG_BYTES], Cipher) {
    let derived = derive(key, suite, message_id);
    let covered = [body, &required.serialize()].concat();
    let tag = derived
        .header_cipher()
        .encrypt_inout_detached(&[0; 12].into(), &covered, (&mut [][..]).into())
        .expect("a header is far below the cipher's limit");
    (tag.into(), Cipher::new(&derived.message_key, *message_id))
}

/// The cipher for the frames, once commitment and tag are proved.
///
/// # Errors
/// [`Error::Tampered`]; the text tells which check failed, as it may to someone with the key.
pub(super) fn verify_header(
    key: &DataKey,
    read: &Parsed,
    required: &Context,
) -> Result<Cipher, Error> {
    let header = &read.header;
    let derived = derive(key, header.suite, &header.message_id);
    if !same(&derived.commitment, &header.commitment) {
        return Err(Error::tampered("the header's key commitment"));
    }
    let covered = [&read.body[..], &required.serialize()].concat();
    derived
        .header_cipher()
        .decrypt_inout_detached(&[0; 12].into(), &covered, (&mut [][..]).into(), &read.tag.into())
        .map_err(|_| Error::tampered("the header, or the required context,"))?;
    Ok(Cipher::new(&derived.message_key, header.message_id))
}
