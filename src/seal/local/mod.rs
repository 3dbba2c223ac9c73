//! The local key service: keys in files under `$SMRT_HOME`, made at first use, no set-up.
//!
//! ```text
//! $SMRT_HOME/keys/            0700
//!   <uuid>.json               0600, one key with all its versions
//!   aliases.json              0600, alias/<name> to uuid
//!   root.json                 0600, where the store is locked by a passphrase or a key file
//!   .lock                     0600, held while anything is changed
//! ```
//! It is AWS KMS in small: ARNs, aliases, versions and rotation, states, deletion with a waiting
//! time, tags, policies and grants, and an encryption context bound to every use. Without a lock
//! ([`LocalKeys::protect`]), who can read the files can use the keys.
//!
//! A data key is wrapped as KMS wraps it: provider `aws-kms`, the key's ARN, and a [`blob`] that
//! names its version. So rotation touches no sealed file, no version is tried in vain, and any AWS
//! Encryption SDK opens it through `smrt keys serve`. Files of the first smrt, wrapped as a raw AES
//! keyring in the namespace `smrt-kms`, open for ever.

mod blob;
mod fuzzed;
mod grant;
mod manage;
mod record;
mod root;
mod store;
mod usage;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

pub(super) use self::fuzzed::{key_file, opened_blob};
pub use self::grant::{GRANT_OPERATIONS, Grant};
pub use self::manage::{KeyMetadata, NewKey, RotationPlan, VersionInfo};
use self::record::KeyFile;
pub use self::root::Unlock;
use self::store::Store;
pub use self::usage::{BLOB_PLAIN_BYTES_MAX, Decrypted};
use super::context::Context;
use super::error::Error;
use super::header::EncryptedDataKey;
use super::raw::{RawKey, split_info};
use super::secret::DataKey;
use super::service::{KeyDescription, KeyService, KeyState};
use crate::spec::name::local_account;

/// The namespace of raw wrapping, as the first smrt did it.
pub(super) const PROVIDER: &str = "smrt-kms";
/// The provider of data keys that a KMS wrapped.
pub(super) const KMS_PROVIDER: &str = "aws-kms";
/// The key that is made when it is first asked for.
pub const DEFAULT_ALIAS: &str = "alias/smrt";
const ARN_HEAD: &str = concat!("arn:smrt:kms:local:", local_account!(), ":key/");
const ALIAS_ARN_HEAD: &str = concat!("arn:smrt:kms:local:", local_account!(), ":");

/// Keys in files. Cheap to make: nothing is read before a key is asked for.
#[derive(Clone)]
pub struct LocalKeys {
    store: Store,
    now_s: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl std::fmt::Debug for LocalKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalKeys").field("folder", &self.store.folder()).finish_non_exhaustive()
    }
}

/// Where smrt keeps its own: `$SMRT_HOME`, else `$XDG_DATA_HOME/smrt`, else
/// `$HOME/.local/share/smrt`. `variable` looks up an environment variable, as
/// [`std::env::var_os`] does.
///
/// # Errors
/// [`Error::Settings`] when none of the three is set to an absolute path.
pub fn home_folder(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, Error> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(home) = set("SMRT_HOME") {
        return std::path::absolute(&home).map_err(|e| Error::io("SMRT_HOME", e));
    }
    // The XDG rule: a relative path there is to be ignored.
    let data = set("XDG_DATA_HOME").filter(|path| path.is_absolute());
    let home = || set("HOME").filter(|path| path.is_absolute());
    data.or_else(|| Some(home()?.join(".local/share"))).map(|data| data.join("smrt")).ok_or_else(
        || Error::Settings {
            what: "there is no place for keys: set SMRT_HOME to a folder of yours".into(),
        },
    )
}

impl LocalKeys {
    /// The keys under the folder `home` (see [`home_folder`]), which need not exist yet. A locked
    /// store needs [`LocalKeys::unlocked_by`] too.
    pub fn new(home: &Path) -> LocalKeys {
        let now_s = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        LocalKeys { store: Store::new(home.join("keys"), None), now_s: Arc::new(now_s) }
    }

    /// The keys of the user who runs this process, unlocked by what the environment gives.
    ///
    /// # Errors
    /// As [`home_folder`] and [`Unlock::from_environment`].
    pub fn of_user() -> Result<LocalKeys, Error> {
        let home = home_folder(|name| std::env::var_os(name))?;
        let keys = LocalKeys::new(&home);
        Ok(match Unlock::from_environment(|name| std::env::var_os(name))? {
            Some(unlock) => keys.unlocked_by(unlock),
            None => keys,
        })
    }

    /// The same keys, with what unlocks their store.
    #[must_use]
    pub fn unlocked_by(self, unlock: Unlock) -> LocalKeys {
        let store = Store::new(self.store.folder().to_owned(), Some(unlock));
        LocalKeys { store, ..self }
    }

    /// The same keys under another clock, in seconds since 1970: for tests of rotation and
    /// deletion.
    #[must_use]
    pub fn at(self, now_s: impl Fn() -> u64 + Send + Sync + 'static) -> LocalKeys {
        LocalKeys { now_s: Arc::new(now_s), ..self }
    }

    /// Makes a key, and gives it `alias` (`alias/<name>`) where one is named.
    ///
    /// # Errors
    /// [`Error::KeyStore`]; [`Error::Settings`] for what is not an alias, [`Error::Taken`] for the
    /// name of another key.
    pub fn create(&self, alias: Option<&str>) -> Result<KeyDescription, Error> {
        let id =
            self.create_key(NewKey { alias: alias.map(str::to_owned), ..NewKey::default() })?;
        self.describe(&id.arn)
    }

    /// All keys, by ARN.
    ///
    /// # Errors
    /// [`Error::KeyStore`].
    pub fn list(&self) -> Result<Vec<KeyDescription>, Error> {
        let mut all = Vec::new();
        for id in self.store.ids()? {
            // One that was due for deletion is gone by now.
            if let Some(file) = self.living(id)? {
                all.push(self.describe_id(id, &file)?);
            }
        }
        Ok(all)
    }

    fn now(&self) -> u64 {
        (self.now_s)()
    }

    fn describe_id(&self, id: Uuid, file: &KeyFile) -> Result<KeyDescription, Error> {
        let path = self.store.key_path(id);
        Ok(KeyDescription {
            arn: arn(id),
            aliases: self.aliases_of(id)?,
            state: file.state,
            versions: file.count(),
            holder: format!("who can read {}", path.display()),
        })
    }

    fn aliases_of(&self, id: Uuid) -> Result<Vec<String>, Error> {
        let aliases = self.store.aliases()?;
        Ok(aliases.iter().filter(|(_, of)| **of == id).map(|(alias, _)| alias.clone()).collect())
    }

    fn unknown(&self, key: &str) -> Error {
        Error::UnknownKey { key: key.into(), place: self.store.folder().display().to_string() }
    }

    fn load(&self, id: Uuid, key: &str) -> Result<Arc<KeyFile>, Error> {
        self.living(id)?.ok_or_else(|| self.unknown(key))
    }

    /// The key's file; one whose time to be deleted has come is deleted here, whoever asks.
    fn living(&self, id: Uuid) -> Result<Option<Arc<KeyFile>>, Error> {
        let due = |file: &KeyFile| {
            file.state == KeyState::PendingDeletion
                && file.deletion_s.is_some_and(|at| at <= self.now())
        };
        let file = self.store.read_key(id)?;
        if !file.as_ref().is_some_and(|file| due(file)) {
            return Ok(file);
        }
        let changing = self.store.lock()?;
        if self.store.read_key(id)?.is_some_and(|file| due(&file)) {
            let mut aliases = changing.aliases()?;
            aliases.retain(|_, of| *of != id);
            changing.write_aliases(&aliases)?;
            changing.shred(id)?;
            tracing::warn!(key = arn(id), "key deleted: its waiting time is over");
        }
        Ok(None)
    }

    /// The id behind an id, an ARN, an alias or an alias's ARN.
    fn resolve(&self, key: &str) -> Result<Uuid, Error> {
        let alias = key.strip_prefix(ALIAS_ARN_HEAD).unwrap_or(key);
        if alias.starts_with("alias/") {
            let aliases = self.store.aliases()?;
            return aliases.get(alias).copied().ok_or_else(|| self.unknown(key));
        }
        let id = key.strip_prefix(ARN_HEAD).unwrap_or(key);
        Uuid::try_parse(id).map_err(|_| self.unknown(key))
    }

    /// As [`LocalKeys::resolve`], but the default key is made when it is not there.
    fn resolve_or_make(&self, key: &str) -> Result<Uuid, Error> {
        match self.resolve(key) {
            Err(Error::UnknownKey { .. }) if key == DEFAULT_ALIAS => {}
            other => return other,
        }
        let changing = self.store.lock()?;
        let mut aliases = changing.aliases()?;
        // Somebody else may have been first.
        if let Some(id) = aliases.get(key) {
            return Ok(*id);
        }
        let id = Uuid::new_v4();
        let root = self.store.root()?;
        let file = KeyFile::generate(id, root.as_ref().map(|root| &root.key), self.now())?;
        changing.write_key(id, &file)?;
        aliases.insert(key.into(), id);
        changing.write_aliases(&aliases)?;
        tracing::info!(key = arn(id), folder = %self.store.folder().display(), "local key made");
        Ok(id)
    }
}

impl KeyService for LocalKeys {
    fn wrap(
        &self,
        key: &str,
        data_key: &DataKey,
        context: &Context,
    ) -> Result<EncryptedDataKey, Error> {
        let id = self.resolve_or_make(key)?;
        Ok(EncryptedDataKey {
            provider: KMS_PROVIDER.into(),
            info: arn(id).into_bytes(),
            ciphertext: self.seal_blob(id, key, data_key.expose(), context)?,
        })
    }

    fn knows(&self, wrapped: &EncryptedDataKey) -> bool {
        match wrapped.provider.as_str() {
            KMS_PROVIDER => parse_arn(&wrapped.info).is_some(),
            PROVIDER => parse_name(&wrapped.info).is_some(),
            _ => false,
        }
    }

    fn unwrap(&self, wrapped: &EncryptedDataKey, context: &Context) -> Result<DataKey, Error> {
        let name = wrapped.key_name();
        if wrapped.provider == KMS_PROVIDER {
            let id = parse_arn(&wrapped.info).ok_or_else(|| self.unknown(&name))?;
            let opened = self.open_blob(&wrapped.ciphertext, context)?;
            // A blob moved under another key's name: the header is not what was written.
            let right = opened.id == id;
            let bytes = <[u8; 32]>::try_from(&opened.plain[..]).ok().filter(|_| right);
            return bytes.map(DataKey::from_bytes).ok_or(Error::Refused { key: name });
        }
        let (id, version) = parse_name(&wrapped.info).ok_or_else(|| self.unknown(&name))?;
        let file = self.load(id, &name)?;
        usable(id, &file)?;
        let material = self.material(id, &file, version)?.ok_or_else(|| self.unknown(&name))?;
        let name = format!("{}/{version}", arn(id));
        let raw = RawKey::new(PROVIDER, name, *material)
            .expect("the name is short and the namespace ours");
        raw.unwrap(wrapped, context)
    }

    fn describe(&self, key: &str) -> Result<KeyDescription, Error> {
        let id = self.resolve(key)?;
        self.describe_id(id, &*self.load(id, key)?)
    }
}

/// The version of a local key that wrapped a data key, as anybody can read it.
pub(super) fn version_of(wrapped: &EncryptedDataKey) -> Option<u32> {
    parse_arn(&wrapped.info)?;
    blob::Parts::of(&wrapped.ciphertext).map(|parts| parts.version)
}

/// The one spelling of a local key's ARN.
fn parse_arn(info: &[u8]) -> Option<Uuid> {
    let text = std::str::from_utf8(info).ok()?;
    let id = Uuid::try_parse(text.strip_prefix(ARN_HEAD)?).ok()?;
    (arn(id) == text).then_some(id)
}

fn arn(id: Uuid) -> String {
    format!("{ARN_HEAD}{id}")
}

fn usable(id: Uuid, file: &KeyFile) -> Result<(), Error> {
    match file.state {
        KeyState::Enabled => Ok(()),
        KeyState::Disabled => Err(Error::Disabled { key: arn(id), state: "disabled".into() }),
        KeyState::PendingDeletion => Err(pending(id)),
    }
}

fn pending(id: Uuid) -> Error {
    Error::State { key: arn(id), state: "pending deletion".into() }
}

/// Key and version in the info of a wrapped data key. Only the one spelling that we write.
fn parse_name(info: &[u8]) -> Option<(Uuid, u32)> {
    let (name, _) = split_info(info)?;
    let name = std::str::from_utf8(name).ok()?;
    let (id, version) = name.strip_prefix(ARN_HEAD)?.split_once('/')?;
    let (id, version) = (Uuid::try_parse(id).ok()?, version.parse().ok()?);
    (format!("{}/{version}", arn(id)) == name).then_some((id, version))
}

/// KMS's rule for aliases, without AWS's own `alias/aws/`.
fn check_alias(alias: &str) -> Result<(), Error> {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-');
    let name = alias.strip_prefix("alias/").unwrap_or_default();
    let fits = (1..=250).contains(&name.len()) && name.chars().all(inner);
    match fits && !name.starts_with("aws/") {
        true => Ok(()),
        false => {
            let what = format!(
                "{alias:?} is not an alias: write alias/ and 1 to 250 letters, digits, _, - and /"
            );
            Err(Error::Settings { what })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_is_smrt_home_then_xdg_then_home() {
        let with = |set: &'static [(&str, &str)]| {
            home_folder(move |name| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
            })
        };
        let all = &[("SMRT_HOME", "/a"), ("XDG_DATA_HOME", "/b"), ("HOME", "/c")];
        assert_eq!(with(all).unwrap(), Path::new("/a"));
        assert_eq!(with(&all[1..]).unwrap(), Path::new("/b/smrt"));
        assert_eq!(with(&all[2..]).unwrap(), Path::new("/c/.local/share/smrt"));
        assert_eq!(
            with(&[("SMRT_HOME", ""), ("XDG_DATA_HOME", "b"), ("HOME", "/c")]).unwrap(),
            Path::new("/c/.local/share/smrt")
        );
        assert!(with(&[]).is_err());
    }

    #[test]
    fn a_name_has_one_spelling() {
        let id = Uuid::new_v4();
        let info = |name: &str| [name.as_bytes(), &[0, 0, 0, 128, 0, 0, 0, 12], &[0; 12]].concat();
        assert_eq!(parse_name(&info(&format!("{ARN_HEAD}{id}/12"))), Some((id, 12)));
        for name in [
            format!("{ARN_HEAD}{id}"),
            format!("{ARN_HEAD}{id}/"),
            format!("{ARN_HEAD}{id}/01"),
            format!("{ARN_HEAD}{id}/+1"),
            format!("{ARN_HEAD}{id}/-1"),
            format!("{ARN_HEAD}{}/1", id.simple()),
            format!("{ARN_HEAD}../../etc/passwd/1"),
        ] {
            assert_eq!(parse_name(&info(&name)), None, "{name}");
        }
    }

    #[test]
    fn aliases_follow_the_rule_of_kms() {
        assert!(check_alias("alias/team-a/model_1").is_ok());
        for alias in ["", "smrt", "alias/", "alias/ä", "alias/a b", "alias/aws/s3"] {
            assert!(check_alias(alias).is_err(), "{alias}");
        }
    }
}
