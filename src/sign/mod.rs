//! Who made a model: OpenSSF Model Signing v1.0, key mode.
//!
//! ```text
//! files ─► SHA-256 of each ─► in-toto statement ─► DSSE ─► ECDSA ─► Sigstore bundle (model.sig)
//! ```
//! The signature is over the plaintext tree and stands in it, so it survives sealing, resealing and
//! unpacking; PyPI's `model-signing` verifies ours and we verify its. Every file must be in the
//! statement and every file of the statement must be there: [`verify`] refuses a changed, added or
//! missing one. Sealing says that nobody without the key changed an artifact; a signature says who
//! vouches for it.
//!
//! Sources: `docs/model_signing_format.md` of sigstore/model-transparency v1.1; DSSE v1.0;
//! in-toto Statement v1; Sigstore bundle v0.3. Certificates and Sigstore's own service are not read.

mod envelope;
mod error;
mod key;
mod statement;

pub use envelope::Envelope;
pub use error::Error;
pub use key::{Curve, PrivateKey, PublicKey};
pub use statement::{SIGNATURE_FILE, Signed, sign, verify};
