//! One key as its file holds it: what it is for, its state, its versions.
//!
//! Format 2. Format 1 (state and versions alone) is read as a key without anything else; it is
//! written back as 2 at its first change. A file is authenticated as a whole once the store has a
//! root key: see [`super::root`].

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::grant::Grant;
use super::root::RootKey;
use crate::seal::error::Error;
use crate::seal::secret::fill_random;
use crate::seal::service::KeyState;

/// Version of the file format.
const FORMAT: u32 = 2;
/// The format without metadata, written by the first smrt.
const FIRST_FORMAT: u32 = 1;

/// Seconds in a day.
pub(super) const DAY_S: u64 = 86_400;

/// One key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyFile {
    smrt_key: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    #[serde(default)]
    pub(super) created_s: u64,
    pub(super) state: KeyState,
    /// When it goes, while its deletion is pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deletion_s: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rotation: Option<Rotation>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) policy: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) grants: Vec<Grant>,
    /// Version n is at n - 1. Only ever appended to.
    pub(super) versions: Vec<Version>,
    /// HMAC-SHA256 over all the rest, in base64, when the store has a root key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
}

/// Automatic rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    pub(super) period_days: u32,
    /// When the next version is due, in seconds since 1970.
    pub(super) next_s: u64,
}

/// One backing key.
#[derive(Clone, Serialize, Deserialize, zeroize::ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
pub(super) struct Version {
    /// Seconds since 1970.
    pub(super) created_s: u64,
    /// Whether a person asked for it, as against the calendar.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) on_demand: bool,
    /// Base64 of 32 bytes, in a store without a root key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    material: String,
    /// The same sealed under the root key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    sealed: String,
}

impl KeyFile {
    /// A new key with one version.
    pub(super) fn generate(id: Uuid, root: Option<&RootKey>, now_s: u64) -> Result<KeyFile, Error> {
        let mut file = KeyFile {
            smrt_key: FORMAT,
            description: String::new(),
            created_s: now_s,
            state: KeyState::Enabled,
            deletion_s: None,
            rotation: None,
            tags: BTreeMap::new(),
            policy: None,
            grants: Vec::new(),
            versions: Vec::new(),
            mac: None,
        };
        file.add_version(id, root, now_s, false)?;
        Ok(file)
    }

    /// Appends a fresh backing key.
    pub(super) fn add_version(
        &mut self,
        id: Uuid,
        root: Option<&RootKey>,
        now_s: u64,
        on_demand: bool,
    ) -> Result<(), Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        fill_random(&mut bytes[..])?;
        let version = Version::hold(id, self.count() + 1, &bytes, root, now_s, on_demand)?;
        self.versions.push(version);
        Ok(())
    }

    /// How many versions there are; the last is the latest.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.versions.len()).expect("a key file is at most 1 MiB")
    }

    /// The backing key of a version, from 1.
    pub(super) fn material(
        &self,
        id: Uuid,
        version: u32,
        root: Option<&RootKey>,
    ) -> Option<Zeroizing<[u8; 32]>> {
        let held = self.versions.get((version as usize).checked_sub(1)?)?;
        held.material(id, version, root)
    }

    /// The same key, its material held under `to`, or in clear; what is sealed now, under `root`.
    pub(super) fn moved(
        &self,
        id: Uuid,
        root: &RootKey,
        to: Option<&RootKey>,
    ) -> Result<KeyFile, Error> {
        let mut file = self.clone();
        for (held, version) in file.versions.iter_mut().zip(1..) {
            let bytes = held.material(id, version, Some(root)).ok_or_else(|| Error::Settings {
                what: format!("version {version} of the key {id} cannot be opened"),
            })?;
            *held = Version::hold(id, version, &bytes, to, held.created_s, held.on_demand)?;
        }
        Ok(file)
    }

    /// Sets what authenticates the file, before it is written.
    pub(super) fn authenticate(&mut self, id: Uuid, root: Option<&RootKey>) {
        self.smrt_key = FORMAT;
        self.mac = None;
        self.mac = root.map(|root| root.mac(&self.covered(id)));
    }

    /// Whether the file is what smrt wrote.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn check(
        &self,
        id: Uuid,
        root: Option<&RootKey>,
        moving: bool,
    ) -> Result<(), String> {
        if self.smrt_key != FORMAT && self.smrt_key != FIRST_FORMAT {
            return Err(format!("format {}, this smrt reads format {FORMAT}", self.smrt_key));
        }
        match (root, &self.mac) {
            (None, None) => {}
            // Half of a store that is being moved under a root key is still in clear.
            (Some(_), None) if moving => {}
            (None, Some(_)) => return Err("it is sealed and the store has no root key".into()),
            (Some(_), None) => return Err("it is not sealed, and the store's root key asks".into()),
            (Some(root), Some(mac)) => {
                let bare = KeyFile { mac: None, ..self.clone() };
                if !root.proves(&bare.covered(id), mac) {
                    return Err("it was changed by somebody without the store's root key".into());
                }
            }
        }
        // Where a root key is, its seal was proved above: material is opened when it is asked for.
        let whole = self.versions.iter().all(|held| match held.material.is_empty() {
            true => !held.sealed.is_empty(),
            false => clear(&held.material).is_some(),
        });
        match whole && !self.versions.is_empty() {
            true => Ok(()),
            false => Err("a version is not 32 bytes in base64, or there is none".into()),
        }
    }

    /// What the file's authentication covers: which key it is, and all of it but that.
    fn covered(&self, id: Uuid) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(id.as_bytes().to_vec());
        serde_json::to_writer(&mut *bytes, self).expect("names and numbers have JSON");
        bytes
    }
}

impl Version {
    fn hold(
        id: Uuid,
        version: u32,
        bytes: &[u8; 32],
        root: Option<&RootKey>,
        created_s: u64,
        on_demand: bool,
    ) -> Result<Version, Error> {
        let (material, sealed) = match root {
            None => (STANDARD.encode(bytes), String::new()),
            Some(root) => (String::new(), root.seal(bytes, &place(id, version))?),
        };
        Ok(Version { created_s, on_demand, material, sealed })
    }

    fn material(
        &self,
        id: Uuid,
        version: u32,
        root: Option<&RootKey>,
    ) -> Option<Zeroizing<[u8; 32]>> {
        match (root, self.material.is_empty()) {
            (_, false) => clear(&self.material),
            (Some(root), true) => root.open(&self.sealed, &place(id, version)),
            (None, true) => None,
        }
    }
}

/// What a sealed version is bound to.
fn place(id: Uuid, version: u32) -> Vec<u8> {
    [b"smrt-key", &id.as_bytes()[..], &version.to_be_bytes()].concat()
}

fn clear(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    let length = STANDARD.decode_slice(text.as_bytes(), &mut bytes[..]).ok()?;
    (length == bytes.len()).then_some(bytes)
}
