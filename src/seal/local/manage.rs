//! Keys' lives: made, named, tagged, rotated, disabled, deleted after a waiting time. Names and
//! bounds are KMS's.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::grant::Grant;
use super::record::{DAY_S, KeyFile, Rotation};
use super::root::Unlock;
use super::{ALIAS_ARN_HEAD, LocalKeys, arn, check_alias, pending, usable};
use crate::seal::error::Error;
use crate::seal::secret::fill_random;
use crate::seal::service::KeyState;

const DESCRIPTION_BYTES_MAX: usize = 8192;
const POLICY_BYTES_MAX: usize = 32 * 1024;
const TAGS_MAX: usize = 50;
const GRANTS_MAX: usize = 1000;
/// Days between automatic rotations that KMS allows; its default is a year.
const ROTATION_DAYS: std::ops::RangeInclusive<u32> = 90..=2560;
/// Days a key waits before it is deleted; KMS's default is the longest.
const DELETION_DAYS: std::ops::RangeInclusive<u32> = 7..=30;

/// What a new key is to be.
#[derive(Debug, Clone, Default)]
pub struct NewKey {
    /// What it is for.
    pub description: String,
    /// A name from the start, `alias/<name>`.
    pub alias: Option<String>,
    /// Pairs for people and policies.
    pub tags: BTreeMap<String, String>,
    /// Who may use and manage it, as an IAM policy in JSON.
    pub policy: Option<String>,
}

/// All that is known of a key, nothing of it secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyMetadata {
    /// Its one full name.
    pub arn: String,
    /// The end of its ARN.
    pub id: String,
    /// What it is for.
    pub description: String,
    /// Seconds since 1970.
    pub created_s: u64,
    /// Whether it can be used.
    pub state: KeyState,
    /// When it will be deleted, in seconds since 1970.
    pub deletion_s: Option<u64>,
    /// How it rotates by itself.
    pub rotation: Option<RotationPlan>,
    /// Its names.
    pub aliases: Vec<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its policy, where it was given one.
    pub policy: Option<String>,
    /// Its grants.
    pub grants: Vec<Grant>,
    /// Its backing keys, oldest first.
    pub versions: Vec<VersionInfo>,
}

/// Automatic rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationPlan {
    /// Days between two versions.
    pub period_days: u32,
    /// When the next is due, in seconds since 1970.
    pub next_s: u64,
}

/// A backing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionInfo {
    /// Seconds since 1970.
    pub created_s: u64,
    /// Whether somebody asked for it, as against the calendar.
    pub on_demand: bool,
}

impl LocalKeys {
    /// Makes a key.
    ///
    /// # Errors
    /// [`Error::Settings`] for what breaks a bound, [`Error::Taken`] for the alias of another key,
    /// [`Error::KeyStore`].
    pub fn create_key(&self, new: NewKey) -> Result<KeyMetadata, Error> {
        let NewKey { description, alias, tags, policy } = new;
        if let Some(alias) = &alias {
            check_alias(alias)?;
        }
        check_description(&description)?;
        check_tags(&tags)?;
        if let Some(policy) = &policy {
            check_policy(policy)?;
        }
        let changing = self.store.lock()?;
        let mut aliases = changing.aliases()?;
        if let Some(alias) = alias.as_ref().filter(|alias| aliases.contains_key(*alias)) {
            return Err(Error::Taken { alias: alias.clone() });
        }
        let (id, root) = (Uuid::new_v4(), self.store.root()?);
        let mut file = KeyFile::generate(id, root.as_ref().map(|root| &root.key), self.now())?;
        (file.description, file.tags, file.policy) = (description, tags, policy);
        changing.write_key(id, &file)?;
        if let Some(alias) = alias {
            aliases.insert(alias, id);
            changing.write_aliases(&aliases)?;
        }
        drop(changing);
        self.metadata_of(id, &file)
    }

    /// All that is known of `key`.
    ///
    /// # Errors
    /// [`Error::UnknownKey`], [`Error::KeyStore`].
    pub fn metadata(&self, key: &str) -> Result<KeyMetadata, Error> {
        let id = self.resolve(key)?;
        self.metadata_of(id, &*self.load(id, key)?)
    }

    /// Adds a version to a key. What was sealed before opens for ever; what is sealed from now on
    /// uses the new version.
    ///
    /// # Errors
    /// [`Error::UnknownKey`], [`Error::Disabled`], [`Error::State`], [`Error::KeyStore`].
    pub fn rotate(&self, key: &str) -> Result<KeyMetadata, Error> {
        self.change(key, |keys, id, file| {
            usable(id, file)?;
            let root = keys.store.root()?;
            file.add_version(id, root.as_ref().map(|root| &root.key), keys.now(), true)
        })
    }

    /// Rotates a key by itself every `period_days` (90 to 2560), or no more.
    ///
    /// # Errors
    /// As [`LocalKeys::rotate`], and [`Error::Settings`] for a period out of range.
    pub fn set_rotation(&self, key: &str, period_days: Option<u32>) -> Result<KeyMetadata, Error> {
        if let Some(days) = period_days.filter(|days| !ROTATION_DAYS.contains(days)) {
            let what = format!("a rotation period of {days} days: it is 90 to 2560");
            return Err(Error::Settings { what });
        }
        self.change(key, |keys, id, file| {
            usable(id, file)?;
            file.rotation = period_days.map(|period_days| Rotation {
                period_days,
                next_s: keys.now() + u64::from(period_days) * DAY_S,
            });
            Ok(())
        })
    }

    /// Lets a key be used, or not.
    ///
    /// # Errors
    /// [`Error::UnknownKey`], [`Error::State`] while its deletion is pending, [`Error::KeyStore`].
    pub fn set_enabled(&self, key: &str, enabled: bool) -> Result<KeyMetadata, Error> {
        self.change(key, |_, id, file| match file.state {
            KeyState::PendingDeletion => Err(pending(id)),
            _ => {
                file.state = if enabled { KeyState::Enabled } else { KeyState::Disabled };
                Ok(())
            }
        })
    }

    /// Deletes a key in `days` (7 to 30). Until then it cannot be used and can be had back; after
    /// that nothing it sealed will open again.
    ///
    /// # Errors
    /// [`Error::Settings`] for days out of range, [`Error::UnknownKey`], [`Error::State`] when it
    /// is pending already, [`Error::KeyStore`].
    pub fn schedule_deletion(&self, key: &str, days: u32) -> Result<KeyMetadata, Error> {
        if !DELETION_DAYS.contains(&days) {
            let what = format!("a waiting time of {days} days: it is 7 to 30");
            return Err(Error::Settings { what });
        }
        self.change(key, |keys, id, file| {
            if file.state == KeyState::PendingDeletion {
                return Err(pending(id));
            }
            file.state = KeyState::PendingDeletion;
            file.deletion_s = Some(keys.now() + u64::from(days) * DAY_S);
            Ok(())
        })
    }

    /// Takes a pending deletion back; the key is disabled then, as KMS leaves it.
    ///
    /// # Errors
    /// [`Error::UnknownKey`], [`Error::State`] when none is pending, [`Error::KeyStore`].
    pub fn cancel_deletion(&self, key: &str) -> Result<KeyMetadata, Error> {
        self.change(key, |_, id, file| {
            if file.state != KeyState::PendingDeletion {
                return Err(Error::State { key: arn(id), state: "not pending deletion".into() });
            }
            (file.state, file.deletion_s) = (KeyState::Disabled, None);
            Ok(())
        })
    }

    /// Says what a key is for.
    ///
    /// # Errors
    /// [`Error::Settings`] for more than 8 KiB, and as [`LocalKeys::set_enabled`].
    pub fn set_description(&self, key: &str, text: &str) -> Result<KeyMetadata, Error> {
        check_description(text)?;
        self.change(key, |_, id, file| {
            not_pending(id, file)?;
            text.clone_into(&mut file.description);
            Ok(())
        })
    }

    /// Adds `tags` and removes those named in `without`.
    ///
    /// # Errors
    /// [`Error::Settings`] for tags KMS would not take, and as [`LocalKeys::set_enabled`].
    pub fn tag(
        &self,
        key: &str,
        tags: &BTreeMap<String, String>,
        without: &[String],
    ) -> Result<KeyMetadata, Error> {
        self.change(key, |_, id, file| {
            not_pending(id, file)?;
            file.tags.extend(tags.iter().map(|(name, value)| (name.clone(), value.clone())));
            file.tags.retain(|name, _| !without.contains(name));
            check_tags(&file.tags)
        })
    }

    /// Replaces a key's policy: an IAM policy document in JSON.
    ///
    /// # Errors
    /// [`Error::Settings`] for what is not a JSON object of at most 32 KiB, and as
    /// [`LocalKeys::set_enabled`].
    pub fn set_policy(&self, key: &str, policy: &str) -> Result<KeyMetadata, Error> {
        check_policy(policy)?;
        self.change(key, |_, id, file| {
            not_pending(id, file)?;
            file.policy = Some(policy.to_owned());
            Ok(())
        })
    }

    /// Adds a grant; its id is chosen here.
    ///
    /// # Errors
    /// [`Error::Settings`] when there are 1000, and as [`LocalKeys::rotate`].
    pub fn add_grant(&self, key: &str, mut grant: Grant) -> Result<Grant, Error> {
        let mut id = [0; 32];
        fill_random(&mut id)?;
        (grant.id, grant.created_s) = (hex::encode(id), self.now());
        self.change(key, |_, id, file| {
            usable(id, file)?;
            if file.grants.len() >= GRANTS_MAX {
                return Err(Error::Settings { what: "a key has at most 1000 grants".into() });
            }
            file.grants.push(grant.clone());
            Ok(())
        })?;
        Ok(grant)
    }

    /// Ends a grant; whether there was one.
    ///
    /// # Errors
    /// [`Error::UnknownKey`], [`Error::KeyStore`].
    pub fn end_grant(&self, key: &str, grant: &str) -> Result<bool, Error> {
        let mut found = false;
        self.change(key, |_, _, file| {
            let before = file.grants.len();
            file.grants.retain(|held| held.id != grant);
            found = file.grants.len() < before;
            Ok(())
        })?;
        Ok(found)
    }

    /// All aliases with the ids of their keys.
    ///
    /// # Errors
    /// [`Error::KeyStore`].
    pub fn aliases(&self) -> Result<Vec<(String, String)>, Error> {
        let aliases = self.store.aliases()?;
        Ok(aliases.iter().map(|(alias, id)| (alias.clone(), id.to_string())).collect())
    }

    /// The ARN of an alias.
    pub fn alias_arn(alias: &str) -> String {
        format!("{ALIAS_ARN_HEAD}{alias}")
    }

    /// Names a key. With `again`, an alias that another key has moves to this one, and must exist.
    ///
    /// # Errors
    /// [`Error::Settings`] for what is not an alias, [`Error::Taken`], [`Error::UnknownKey`],
    /// [`Error::State`], [`Error::KeyStore`].
    pub fn set_alias(&self, alias: &str, key: &str, again: bool) -> Result<(), Error> {
        check_alias(alias)?;
        let id = self.resolve(key)?;
        let changing = self.store.lock()?;
        not_pending(id, &*self.load(id, key)?)?;
        let mut aliases = changing.aliases()?;
        match (aliases.contains_key(alias), again) {
            (true, false) => return Err(Error::Taken { alias: alias.into() }),
            (false, true) => return Err(self.unknown(alias)),
            _ => aliases.insert(alias.into(), id),
        };
        changing.write_aliases(&aliases)
    }

    /// Takes a name away; the key stays.
    ///
    /// # Errors
    /// [`Error::UnknownKey`], [`Error::KeyStore`].
    pub fn remove_alias(&self, alias: &str) -> Result<(), Error> {
        let changing = self.store.lock()?;
        let mut aliases = changing.aliases()?;
        match aliases.remove(alias) {
            Some(_) => changing.write_aliases(&aliases),
            None => Err(self.unknown(alias)),
        }
    }

    /// Locks the store by a passphrase or a key file, changes the lock, or (with `None`) takes it
    /// away: see [`super::root`]. Sealed artifacts are not touched. The answer reads the store.
    ///
    /// # Errors
    /// [`Error::Locked`] when it is locked by something else, [`Error::KeyStore`].
    pub fn protect(&self, lock: Option<&Unlock>) -> Result<LocalKeys, Error> {
        let changing = self.store.lock()?;
        let store = changing.protect(lock)?;
        drop(changing);
        Ok(LocalKeys { store, ..self.clone() })
    }

    /// Changes a key under the store's lock.
    fn change(
        &self,
        key: &str,
        change: impl FnOnce(&LocalKeys, Uuid, &mut KeyFile) -> Result<(), Error>,
    ) -> Result<KeyMetadata, Error> {
        let id = self.resolve(key)?;
        // Before the lock: a key that is due goes under it, too.
        self.load(id, key)?;
        let changing = self.store.lock()?;
        let read = self.store.read_key(id)?.ok_or_else(|| self.unknown(key))?;
        let mut file = (*read).clone();
        change(self, id, &mut file)?;
        changing.write_key(id, &file)?;
        drop(changing);
        self.metadata_of(id, &file)
    }

    fn metadata_of(&self, id: Uuid, file: &KeyFile) -> Result<KeyMetadata, Error> {
        let versions = file.versions.iter();
        Ok(KeyMetadata {
            arn: arn(id),
            id: id.to_string(),
            description: file.description.clone(),
            created_s: match file.created_s {
                0 => file.versions.first().map_or(0, |version| version.created_s),
                created_s => created_s,
            },
            state: file.state,
            deletion_s: file.deletion_s,
            rotation: file
                .rotation
                .map(|plan| RotationPlan { period_days: plan.period_days, next_s: plan.next_s }),
            aliases: self.aliases_of(id)?,
            tags: file.tags.clone(),
            policy: file.policy.clone(),
            grants: file.grants.clone(),
            versions: versions
                .map(|version| VersionInfo {
                    created_s: version.created_s,
                    on_demand: version.on_demand,
                })
                .collect(),
        })
    }
}

fn not_pending(id: Uuid, file: &KeyFile) -> Result<(), Error> {
    match file.state {
        KeyState::PendingDeletion => Err(pending(id)),
        _ => Ok(()),
    }
}

fn check_description(text: &str) -> Result<(), Error> {
    match text.len() <= DESCRIPTION_BYTES_MAX {
        true => Ok(()),
        false => Err(Error::Settings { what: "a description is at most 8192 bytes".into() }),
    }
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), Error> {
    let wrong = |what: String| Err(Error::Settings { what });
    if tags.len() > TAGS_MAX {
        return wrong(format!("a key has at most {TAGS_MAX} tags"));
    }
    for (name, value) in tags {
        let (names, values) = (name.chars().count(), value.chars().count());
        if !(1..=128).contains(&names) || values > 256 || name.starts_with("aws:") {
            return wrong(format!(
                "tag {name:.40?}: 1 to 128 characters, not beginning with aws:, and at most 256 of value"
            ));
        }
    }
    Ok(())
}

fn check_policy(text: &str) -> Result<(), Error> {
    let whole = text.len() <= POLICY_BYTES_MAX
        && serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok();
    match whole {
        true => Ok(()),
        false => Err(Error::Settings {
            what: "a key policy is a JSON object of at most 32768 bytes".into(),
        }),
    }
}
