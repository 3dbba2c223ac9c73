//! The root key: seals every backing key of a store, itself sealed under a passphrase or a file.
//!
//! ```text
//! passphrase ─ argon2id (64 MiB, 3 passes, 1 lane) ─┐
//! key file   ─ HKDF-SHA256 ─────────────────────────┴─► unlocks root.json ─► root key
//!                                                        seals versions, authenticates files
//! ```
//! A new passphrase rewrites `root.json` alone. Without one a store is as private as its files.
//! argon2id's parameters are RFC 9106's second choice but for the lanes; they stand in the file, bounded when read.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use argon2::{Algorithm, Argon2, Params};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::seal::error::Error;
use crate::seal::secret::{fill_random, same};

const FORMAT: u32 = 1;
const IV_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const SALT_BYTES: usize = 16;
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
/// Bounds on what a file may ask for: 1 GiB and 64 passes.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 64;
/// Bytes of a key file or of a file with a passphrase.
const FILE_BYTES_MAX: u64 = 4096;

/// What unlocks a store.
#[derive(Clone)]
pub enum Unlock {
    /// Words a person knows.
    Passphrase(Zeroizing<String>),
    /// The content of a key file: at least 32 bytes.
    KeyFile(Zeroizing<Vec<u8>>),
}

/// `root.json`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RootFile {
    smrt_root: u32,
    by: By,
    /// Base64 of 16 bytes.
    salt: String,
    /// The root key under what unlocks it.
    sealed: String,
    /// The store is being moved under this root key or away from it: files of both kinds are read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) moving: bool,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum By {
    Argon2id { m_kib: u32, t: u32, p: u32 },
    KeyFile,
}

/// The key over all keys.
pub(super) struct RootKey {
    seal: Zeroizing<[u8; 32]>,
    mac: Zeroizing<[u8; 32]>,
}

impl Unlock {
    /// What the environment gives: the words in `SMRT_KEYS_PASSPHRASE`, else the words in the file
    /// that `SMRT_KEYS_PASSPHRASE_FILE` names, else the key file `SMRT_KEYS_FILE`, else systemd's
    /// credential `smrt-keys` (`LoadCredential=`), taken as a key file.
    ///
    /// # Errors
    /// [`Error::Locked`] when a file that is named cannot be read, or others may read it.
    pub fn from_environment(
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<Unlock>, Error> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        if let Some(words) = set("SMRT_KEYS_PASSPHRASE") {
            let words = words
                .into_string()
                .map_err(|_| Error::Locked { what: "SMRT_KEYS_PASSPHRASE is not UTF-8".into() })?;
            return Ok(Some(Unlock::Passphrase(Zeroizing::new(words))));
        }
        if let Some(path) = set("SMRT_KEYS_PASSPHRASE_FILE") {
            let bytes = private_file(Path::new(&path))?;
            let words = std::str::from_utf8(&bytes).map_err(|_| Error::Locked {
                what: format!("{} is not UTF-8", Path::new(&path).display()),
            })?;
            let words = words.trim_end_matches(['\r', '\n']).to_owned();
            return Ok(Some(Unlock::Passphrase(Zeroizing::new(words))));
        }
        if let Some(path) = set("SMRT_KEYS_FILE") {
            return private_file(Path::new(&path)).map(|bytes| Some(Unlock::KeyFile(bytes)));
        }
        let given = set("CREDENTIALS_DIRECTORY").map(|folder| Path::new(&folder).join("smrt-keys"));
        match given.filter(|path| path.exists()) {
            Some(path) => private_file(&path).map(|bytes| Some(Unlock::KeyFile(bytes))),
            None => Ok(None),
        }
    }
}

/// A short file that only its owner may read.
fn private_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let wrong = |what: String| Error::Locked { what: format!("{}: {what}", path.display()) };
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let meta = file.metadata().map_err(|error| wrong(error.to_string()))?;
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o077 != 0 {
        return Err(wrong("others may read it (chmod 600 it, if nobody has)".into()));
    }
    if meta.len() > FILE_BYTES_MAX {
        return Err(wrong(format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize + 1));
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
    Ok(bytes)
}

impl RootFile {
    /// Draws a root key, locked by `unlock`.
    pub(super) fn generate(unlock: &Unlock) -> Result<RootFile, Error> {
        let mut root = Zeroizing::new([0; 32]);
        fill_random(&mut root[..])?;
        RootFile::lock(&root, unlock)
    }

    /// The same root key under another lock.
    pub(super) fn relocked(&self, from: &Unlock, to: &Unlock) -> Result<RootFile, Error> {
        let root = self.open(from)?;
        RootFile::lock(&root, to)
    }

    fn lock(root: &[u8; 32], unlock: &Unlock) -> Result<RootFile, Error> {
        let mut salt = [0; SALT_BYTES];
        fill_random(&mut salt)?;
        let by = match unlock {
            Unlock::Passphrase(_) => By::Argon2id { m_kib: MEMORY_KIB, t: PASSES, p: 1 },
            Unlock::KeyFile(_) => By::KeyFile,
        };
        let key = derive(by, unlock, &salt)?;
        let sealed = encrypt(&key, root, b"smrt-root")?;
        let salt = STANDARD.encode(salt);
        Ok(RootFile { smrt_root: FORMAT, by, salt, sealed, moving: false })
    }

    /// The root key, if `unlock` is what locked it.
    pub(super) fn unlock(&self, unlock: &Unlock) -> Result<RootKey, Error> {
        self.open(unlock).map(|root| RootKey::of(&root))
    }

    fn open(&self, unlock: &Unlock) -> Result<Zeroizing<[u8; 32]>, Error> {
        let wrong = |what: &str| Error::Locked { what: what.into() };
        if self.smrt_root != FORMAT {
            return Err(wrong("root.json is of a format this smrt does not read"));
        }
        match (self.by, unlock) {
            (By::Argon2id { .. }, Unlock::KeyFile(_)) => {
                return Err(wrong("it is locked by a passphrase, and a key file was given"));
            }
            (By::KeyFile, Unlock::Passphrase(_)) => {
                return Err(wrong("it is locked by a key file, and a passphrase was given"));
            }
            _ => {}
        }
        let mut salt = [0; SALT_BYTES];
        let whole = STANDARD.decode_slice(self.salt.as_bytes(), &mut salt).ok();
        if whole != Some(SALT_BYTES) {
            return Err(wrong("root.json is damaged"));
        }
        let key = derive(self.by, unlock, &salt)?;
        decrypt(&key, &self.sealed, b"smrt-root").ok_or_else(|| {
            wrong(match unlock {
                Unlock::Passphrase(_) => "the passphrase is not the one it was locked with",
                Unlock::KeyFile(_) => "the key file is not the one it was locked with",
            })
        })
    }

    /// What it takes, in words.
    pub(super) fn needs(&self) -> &'static str {
        match self.by {
            By::Argon2id { .. } => "a passphrase",
            By::KeyFile => "a key file",
        }
    }
}

impl RootKey {
    fn of(root: &[u8; 32]) -> RootKey {
        let hkdf = Hkdf::<Sha256>::new(None, root);
        let part = |info: &[u8]| {
            let mut key = Zeroizing::new([0; 32]);
            hkdf.expand(info, &mut key[..]).expect("32 bytes are one block");
            key
        };
        RootKey { seal: part(b"smrt root seal"), mac: part(b"smrt root mac") }
    }

    pub(super) fn seal(&self, bytes: &[u8; 32], place: &[u8]) -> Result<String, Error> {
        encrypt(&self.seal, bytes, place)
    }

    pub(super) fn open(&self, text: &str, place: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        decrypt(&self.seal, text, place)
    }

    pub(super) fn mac(&self, covered: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.mac[..]).expect("any length will do");
        mac.update(covered);
        STANDARD.encode(mac.finalize().into_bytes())
    }

    pub(super) fn proves(&self, covered: &[u8], mac: &str) -> bool {
        same(self.mac(covered).as_bytes(), mac.as_bytes())
    }
}

fn derive(by: By, unlock: &Unlock, salt: &[u8]) -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut key = Zeroizing::new([0; 32]);
    let wrong = |what: &str| Error::Locked { what: what.into() };
    match (by, unlock) {
        (By::Argon2id { m_kib, t, p }, Unlock::Passphrase(words)) => {
            if m_kib > MEMORY_KIB_MAX || t > PASSES_MAX || p != 1 {
                return Err(wrong("root.json asks for more work than smrt does"));
            }
            let params = Params::new(m_kib, t, p, Some(32))
                .map_err(|_| wrong("root.json's argon2id parameters are not possible"))?;
            Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, params)
                .hash_password_into(words.as_bytes(), salt, &mut key[..])
                .map_err(|_| wrong("the passphrase cannot be used (is it empty?)"))?;
        }
        (By::KeyFile, Unlock::KeyFile(bytes)) => {
            if bytes.len() < 32 {
                return Err(wrong("the key file holds fewer than 32 bytes"));
            }
            Hkdf::<Sha256>::new(Some(salt), bytes)
                .expand(b"smrt root lock", &mut key[..])
                .expect("32 bytes are one block");
        }
        _ => return Err(wrong("it is locked in another way")),
    }
    Ok(key)
}

/// Base64 of IV, ciphertext and tag.
fn encrypt(key: &[u8; 32], bytes: &[u8; 32], place: &[u8]) -> Result<String, Error> {
    let mut iv = [0; IV_BYTES];
    fill_random(&mut iv)?;
    let mut sealed = *bytes;
    let tag = Aes256Gcm::new(key.into())
        .encrypt_inout_detached(&iv.into(), place, (&mut sealed[..]).into())
        .expect("32 bytes are far below the cipher's limit");
    Ok(STANDARD.encode([&iv[..], &sealed, &tag].concat()))
}

fn decrypt(key: &[u8; 32], text: &str, place: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let mut all = [0; IV_BYTES + 32 + TAG_BYTES];
    let whole = STANDARD.decode_slice(text.as_bytes(), &mut all).ok()? == all.len();
    let (iv, rest) = all.split_first_chunk::<IV_BYTES>()?;
    let (sealed, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
    let mut bytes = Zeroizing::new([0; 32]);
    bytes.copy_from_slice(sealed);
    let key = Aes256Gcm::new(key.into());
    let opened =
        key.decrypt_inout_detached(&(*iv).into(), place, (&mut bytes[..]).into(), &(*tag).into());
    (whole && opened.is_ok()).then_some(bytes)
}
