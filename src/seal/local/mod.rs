//! The local key service: keys in files under `$SMRT_HOME`, made at first use, no set-up.
//!
//! ```text
//! $SMRT_HOME/keys/            0700
//!   <uuid>.json               0600, one key with all its versions
//!   aliases.json              0600, alias/<name> to uuid
//!   .lock                     0600, held while anything is changed
//! ```
//! It has KMS's names (ARN, alias, versions, enabled or disabled); policies, deletion and a
//! passphrase over the files are not here yet. Who can read the files can use the keys.
//!
//! A data key is wrapped as a raw AES keyring would, in the namespace `smrt-kms`, and the name of
//! the wrapping key ends in its version: `arn:smrt:kms:local:000000000000:key/<uuid>/<version>`.
//! So a sealed file says which version opens it, rotation touches no file, no version is tried in
//! vain, and any AWS Encryption SDK with that name and those 32 bytes opens it.

mod store;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use self::store::{KeyFile, Store};
use super::context::Context;
use super::error::Error;
use super::header::EncryptedDataKey;
use super::raw::{RawKey, split_info};
use super::secret::DataKey;
use super::service::{KeyDescription, KeyService, KeyState};

/// The namespace of keys that smrt keeps.
pub(super) const PROVIDER: &str = "smrt-kms";
/// The key that is made when it is first asked for.
pub const DEFAULT_ALIAS: &str = "alias/smrt";
const ARN_HEAD: &str = "arn:smrt:kms:local:000000000000:key/";

/// Keys in files. Cheap to make: nothing is read before a key is asked for.
#[derive(Debug, Clone)]
pub struct LocalKeys {
    store: Store,
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
    /// The keys under the folder `home` (see [`home_folder`]), which need not exist yet.
    pub fn new(home: &Path) -> LocalKeys {
        LocalKeys { store: Store::new(home.join("keys")) }
    }

    /// Makes a key, and gives it `alias` (`alias/<name>`) where one is named.
    ///
    /// # Errors
    /// [`Error::KeyStore`]; [`Error::Settings`] when the alias is taken or not a name.
    pub fn create(&self, alias: Option<&str>) -> Result<KeyDescription, Error> {
        if let Some(alias) = alias {
            check_alias(alias)?;
        }
        let changing = self.store.lock()?;
        let mut aliases = changing.aliases()?;
        if let Some(taken) = alias.filter(|alias| aliases.contains_key(*alias)) {
            return Err(Error::Settings { what: format!("{taken} is the name of another key") });
        }
        let (id, file) = (Uuid::new_v4(), KeyFile::generate()?);
        changing.write_key(id, &file)?;
        if let Some(alias) = alias {
            aliases.insert(alias.into(), id);
            changing.write_aliases(&aliases)?;
        }
        drop(changing);
        self.describe_id(id, &file)
    }

    /// Adds a version to a key. What was sealed before opens for ever; what is sealed from now on
    /// uses the new version.
    ///
    /// # Errors
    /// [`Error::UnknownKey`], [`Error::KeyStore`].
    pub fn rotate(&self, key: &str) -> Result<KeyDescription, Error> {
        let id = self.resolve(key)?;
        let changing = self.store.lock()?;
        let mut file = self.load(id, key)?;
        file.add_version()?;
        changing.write_key(id, &file)?;
        drop(changing);
        self.describe_id(id, &file)
    }

    /// All keys, by ARN.
    ///
    /// # Errors
    /// [`Error::KeyStore`].
    pub fn list(&self) -> Result<Vec<KeyDescription>, Error> {
        let ids = self.store.ids()?;
        ids.into_iter().map(|id| self.describe_id(id, &self.load(id, &arn(id))?)).collect()
    }

    fn describe_id(&self, id: Uuid, file: &KeyFile) -> Result<KeyDescription, Error> {
        let aliases = self.store.aliases()?;
        let mine = aliases.into_iter().filter(|(_, of)| *of == id);
        Ok(KeyDescription {
            arn: arn(id),
            aliases: mine.map(|(alias, _)| alias).collect(),
            state: file.state,
            versions: file.versions(),
            holder: format!("who can read {}", self.store.key_path(id).display()),
        })
    }

    fn unknown(&self, key: &str) -> Error {
        Error::UnknownKey { key: key.into(), place: self.store.folder().display().to_string() }
    }

    fn load(&self, id: Uuid, key: &str) -> Result<KeyFile, Error> {
        self.store.read_key(id)?.ok_or_else(|| self.unknown(key))
    }

    /// The id behind an id, an ARN or an alias.
    fn resolve(&self, key: &str) -> Result<Uuid, Error> {
        if key.starts_with("alias/") {
            let aliases = self.store.aliases()?;
            return aliases.get(key).copied().ok_or_else(|| self.unknown(key));
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
        changing.write_key(id, &KeyFile::generate()?)?;
        aliases.insert(key.into(), id);
        changing.write_aliases(&aliases)?;
        tracing::info!(key = arn(id), folder = %self.store.folder().display(), "local key made");
        Ok(id)
    }

    /// The latest version of a key that may be used, as a raw key.
    fn latest(&self, id: Uuid, key: &str) -> Result<RawKey, Error> {
        let file = self.load(id, key)?;
        usable(id, &file)?;
        raw(id, &file, file.versions()).ok_or_else(|| self.unknown(key))
    }
}

impl KeyService for LocalKeys {
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
        let raw = self.latest(self.resolve_or_make(key)?, key)?;
        raw.wrap(raw.name(), data_key, context)
    }

    fn knows(&self, wrapped: &EncryptedDataKey) -> bool {
        wrapped.provider == PROVIDER && parse_name(&wrapped.info).is_some()
    }

    fn unwrap(&self, wrapped: &EncryptedDataKey, context: &Context) -> Result<DataKey, Error> {
        let name = wrapped.key_name();
        let (id, version) = parse_name(&wrapped.info).ok_or_else(|| self.unknown(&name))?;
        let file = self.load(id, &name)?;
        usable(id, &file)?;
        let raw = raw(id, &file, version).ok_or_else(|| self.unknown(&name))?;
        raw.unwrap(wrapped, context)
    }

    fn describe(&self, key: &str) -> Result<KeyDescription, Error> {
        let id = self.resolve(key)?;
        self.describe_id(id, &self.load(id, key)?)
    }
}

fn arn(id: Uuid) -> String {
    format!("{ARN_HEAD}{id}")
}

fn usable(id: Uuid, file: &KeyFile) -> Result<(), Error> {
    match file.state {
        KeyState::Enabled => Ok(()),
        KeyState::Disabled => Err(Error::Disabled { key: arn(id), state: "disabled".into() }),
    }
}

/// Version `version` of a key as a raw key, where there is one.
fn raw(id: Uuid, file: &KeyFile, version: u32) -> Option<RawKey> {
    let material = file.material(version)?;
    let name = format!("{}/{version}", arn(id));
    Some(RawKey::new(PROVIDER, name, *material).expect("the name is short and the namespace ours"))
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
