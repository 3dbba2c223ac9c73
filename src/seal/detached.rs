//! Sealed files whose key stands beside them, so that moving a fleet to another key touches no file.
//!
//! The file's one wrapped data key is under a random key of its own (a raw AES keyring in the
//! namespace `smrt-artifact`); that artifact key, wrapped by a key service, is `FILE.keys.json`.
//! [`rewrap`] moves the sidecar to another key, and deleting the sidecar shreds the file: nobody has
//! the artifact key any more, in whatever copy of the file.
//!
//! ```json
//! {"version": 1, "header_sha256": "…", "artifact_key": "<uuid>",
//!  "wraps": [{"provider": "aws-kms", "key": "<ARN>", "ciphertext": "<base64>", "created": "…Z"}]}
//! ```
//! Each wrap's encryption context is the file's, and `smrt:header-sha256`: a sidecar put beside
//! another file opens neither its own wraps nor that file. While a file is replaced, `previous` is
//! the sidecar of the one that is still in place.
//!
//! A header is never rewritten, in this mode neither: see `threats`, row 8.

use std::io::{Read, Write};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::context::Context;
use super::error::Error;
use super::header::{EncryptedDataKey, Header};
use super::raw::RawKey;
use super::secret::DataKey;
use super::service::{KeyDescription, KeyService};
use super::writer::Writer;
use crate::spec::limit::{SEAL_KEYS_MAX, SIDECAR_BYTES_MAX};
use crate::telemetry::date::{civil, now_s};

/// The namespace of artifact keys.
pub(super) const NAMESPACE: &str = "smrt-artifact";
/// What is added to a file's name.
pub const SIDECAR_SUFFIX: &str = ".keys.json";
/// The pair that binds a wrap to its file.
const HEADER: &str = "smrt:header-sha256";
const VERSION: u32 = 1;

/// `FILE.keys.json`: what opens one sealed file, itself wrapped by a key service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sidecar {
    version: u32,
    header_sha256: String,
    artifact_key: String,
    wraps: Vec<Wrap>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Box<Sidecar>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrap {
    provider: String,
    key: String,
    ciphertext: String,
    created: String,
}

impl Wrap {
    fn new(wrapped: &EncryptedDataKey) -> Wrap {
        Wrap {
            provider: wrapped.provider.clone(),
            key: wrapped.key_name(),
            ciphertext: STANDARD.encode(&wrapped.ciphertext),
            created: now(),
        }
    }

    fn wrapped(&self) -> Option<EncryptedDataKey> {
        Some(EncryptedDataKey {
            provider: self.provider.clone(),
            info: self.key.clone().into_bytes(),
            ciphertext: STANDARD.decode(&self.ciphertext).ok()?,
        })
    }
}

impl Sidecar {
    /// Reads a sidecar; `place` names it in messages.
    ///
    /// # Errors
    /// [`Error::Sidecar`].
    pub fn read(bytes: &[u8], place: &str) -> Result<Sidecar, Error> {
        let wrong = |what: String| Error::Sidecar { place: place.to_owned(), what };
        let sidecar: Sidecar =
            serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        let nested = sidecar.previous.as_ref().is_some_and(|previous| previous.previous.is_some());
        match sidecar {
            _ if bytes.len() as u64 > SIDECAR_BYTES_MAX || nested => Err(wrong("too large".into())),
            Sidecar { version, .. } if version != VERSION => {
                Err(wrong(format!("its version is {version}, and this build reads {VERSION}")))
            }
            Sidecar { ref wraps, .. } if !(1..=SEAL_KEYS_MAX).contains(&wraps.len()) => Err(wrong(
                format!("it has {} wraps; 1 to {SEAL_KEYS_MAX} are allowed", wraps.len()),
            )),
            sidecar => Ok(sidecar),
        }
    }

    /// As it is stored.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("text and lists always serialise");
        bytes.push(b'\n');
        bytes
    }

    /// Keeps what opens the file that this one's is about to replace.
    #[must_use]
    pub fn replacing(self, old: Sidecar) -> Sidecar {
        let previous = Some(Box::new(Sidecar { previous: None, ..old }));
        Sidecar { previous, ..self }
    }

    /// The names of the keys that open it.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.wraps.iter().map(|wrap| wrap.key.as_str())
    }

    /// The part that is about the file with this header.
    fn about(&self, header_sha256: &str) -> Option<&Sidecar> {
        let previous = self.previous.as_deref();
        [Some(self), previous].into_iter().flatten().find(|one| one.header_sha256 == header_sha256)
    }
}

/// Begins a detached message on `to`: a writer, and the sidecar that opens what it writes.
///
/// # Errors
/// As [`Writer::new`].
pub fn detached<W: Write>(
    to: W,
    keys: &dyn KeyService,
    key: &str,
    context: &Context,
) -> Result<(Writer<W>, Sidecar), Error> {
    let (artifact_key, id) = (DataKey::generate()?, Uuid::new_v4());
    let raw = RawKey::new(NAMESPACE, id.to_string(), *artifact_key.expose())?;
    let writer = Writer::new(to, &raw, raw.name(), context)?;
    let header_sha256 = hex::encode(writer.header_sha256());
    let wrapped = keys.wrap(key, &artifact_key, &bound(context, &header_sha256)?)?;
    let sidecar = Sidecar {
        version: VERSION,
        header_sha256,
        artifact_key: id.to_string(),
        wraps: vec![Wrap::new(&wrapped)],
        previous: None,
    };
    Ok((writer, sidecar))
}

/// Wraps the artifact key of the sealed file `from` under another `key`, instead of those that it is
/// under. Nothing but the header is read of the file, and nothing written.
///
/// # Errors
/// [`Error::Sidecar`] when the file has no detached key or the sidecar is another file's; as
/// [`KeyService::rewrap`].
pub fn rewrap(
    from: &mut dyn Read,
    sidecar: &Sidecar,
    keys: &dyn KeyService,
    key: &str,
    place: &str,
) -> Result<Sidecar, Error> {
    let wrong = |what: &str| Error::Sidecar { place: place.to_owned(), what: what.into() };
    let read = Header::read(from)?;
    if !read.header.keys.iter().any(|key| key.provider == NAMESPACE) {
        return Err(wrong("the file has its key in its header: `smrt reseal --detached` moves it"));
    }
    let header_sha256 = hex::encode(Sha256::digest(&read.body));
    let mine = sidecar.about(&header_sha256).ok_or_else(|| wrong("it is another file's"))?;
    let context = bound(&read.header.context, &header_sha256)?;
    let wraps: Vec<_> = mine.wraps.iter().filter_map(Wrap::wrapped).collect();
    let mut refusal = no_key(mine);
    for wrapped in wraps.iter().filter(|wrapped| keys.knows(wrapped)) {
        match keys.rewrap(wrapped, key, &context) {
            Ok(moved) => {
                let wraps = vec![Wrap::new(&moved)];
                return Ok(Sidecar { wraps, previous: None, ..mine.clone() });
            }
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

fn no_key(sidecar: &Sidecar) -> Error {
    Error::NoKey { holders: sidecar.keys().map(|key| format!("who may use {key}")).collect() }
}

fn bound(context: &Context, header_sha256: &str) -> Result<Context, Error> {
    let mut bound = context.clone();
    bound.insert(HEADER, header_sha256)?;
    Ok(bound)
}

/// Brings a sidecar's bytes, or nothing where there is none.
type Fetch = dyn Fn() -> Result<Option<Vec<u8>>, Error> + Send + Sync;

/// A key service, and the sidecar of one file: it is fetched when the file turns out to need it.
pub struct Beside {
    keys: Arc<dyn KeyService>,
    place: String,
    fetch: Box<Fetch>,
}

impl Beside {
    /// `place` is the sidecar's name, for messages.
    pub fn new(
        keys: Arc<dyn KeyService>,
        place: impl Into<String>,
        fetch: impl Fn() -> Result<Option<Vec<u8>>, Error> + Send + Sync + 'static,
    ) -> Beside {
        Beside { keys, place: place.into(), fetch: Box::new(fetch) }
    }

    fn artifact_key(
        &self,
        id: &str,
        context: &Context,
        header_sha256: &[u8; 32],
    ) -> Result<DataKey, Error> {
        let wrong = |what: &str| Error::Sidecar { place: self.place.clone(), what: what.into() };
        let bytes =
            (self.fetch)()?.ok_or_else(|| Error::Shredded { sidecar: self.place.clone() })?;
        let sidecar = Sidecar::read(&bytes, &self.place)?;
        let header_sha256 = hex::encode(header_sha256);
        let mine = sidecar
            .about(&header_sha256)
            .filter(|mine| mine.artifact_key == id)
            .ok_or_else(|| wrong("it is another file's"))?;
        let context = bound(context, &header_sha256)?;
        let mut refusal = no_key(mine);
        for wrap in &mine.wraps {
            let wrapped = wrap.wrapped().ok_or_else(|| wrong("a ciphertext is not base64"))?;
            if self.keys.knows(&wrapped) {
                match self.keys.unwrap(&wrapped, &context) {
                    Ok(key) => return Ok(key),
                    // Its own kind of key, and not there: what the sidecar opens with says more.
                    Err(Error::UnknownKey { .. }) => {}
                    Err(error) => refusal = error,
                }
            }
        }
        Err(refusal)
    }
}

impl KeyService for Beside {
    fn generate_data_key(
        &self,
        key: &str,
        context: &Context,
    ) -> Result<(DataKey, EncryptedDataKey), Error> {
        self.keys.generate_data_key(key, context)
    }

    fn wrap(
        &self,
        key: &str,
        data_key: &DataKey,
        context: &Context,
    ) -> Result<EncryptedDataKey, Error> {
        self.keys.wrap(key, data_key, context)
    }

    fn knows(&self, wrapped: &EncryptedDataKey) -> bool {
        wrapped.provider == NAMESPACE || self.keys.knows(wrapped)
    }

    fn unwrap(&self, wrapped: &EncryptedDataKey, context: &Context) -> Result<DataKey, Error> {
        self.keys.unwrap(wrapped, context)
    }

    fn unwrap_for(
        &self,
        wrapped: &EncryptedDataKey,
        context: &Context,
        header_sha256: &[u8; 32],
    ) -> Result<DataKey, Error> {
        if wrapped.provider != NAMESPACE {
            return self.keys.unwrap_for(wrapped, context, header_sha256);
        }
        let id = wrapped.key_name();
        let artifact_key = self.artifact_key(&id, context, header_sha256)?;
        RawKey::new(NAMESPACE, id, *artifact_key.expose())?.unwrap(wrapped, context)
    }

    fn rewrap(
        &self,
        wrapped: &EncryptedDataKey,
        key: &str,
        context: &Context,
    ) -> Result<EncryptedDataKey, Error> {
        self.keys.rewrap(wrapped, key, context)
    }

    fn describe(&self, key: &str) -> Result<KeyDescription, Error> {
        self.keys.describe(key)
    }
}

/// RFC 3339, by the wall clock: for people, nothing depends on it.
fn now() -> String {
    let [year, month, day, hour, minute, second] = civil(i64::try_from(now_s()).unwrap_or(0));
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
