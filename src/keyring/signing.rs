//! The keys that sign models, kept as everything secret is: sealed under this machine's own key.
//!
//! ```text
//! $SMRT_HOME/signing/        0700
//!   NAME.key                 0600, PKCS#8 in a sealed file
//!   NAME.pub                 the public key, PEM: give it to whoever verifies
//! ```
//! A store that is locked by a passphrase locks these, too.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::fault::Fault;
use crate::seal::{
    Context, DEFAULT_ALIAS, Error, LocalKeys, Settings, Writer, home_folder, open_to_vec,
};
use crate::sign::{PrivateKey, PublicKey};
use crate::spec::name::JobName;

/// Bytes of a key file, sealed or PEM.
const KEY_FILE_BYTES_MAX: u64 = 64 << 10;

/// Signing keys in a folder.
pub struct SigningKeys {
    folder: PathBuf,
    keys: LocalKeys,
}

impl SigningKeys {
    /// Those of the user who runs this process.
    ///
    /// # Errors
    /// As [`LocalKeys::of_user`].
    pub fn of_user() -> Result<SigningKeys, Error> {
        let home = home_folder(|name| std::env::var_os(name))?;
        Ok(SigningKeys::new(&home, LocalKeys::of_user()?))
    }

    /// Those below `home`, sealed under the default key of `keys`.
    pub fn new(home: &Path, keys: LocalKeys) -> SigningKeys {
        SigningKeys { folder: home.join("signing"), keys }
    }

    /// Keeps a key under a name that is free.
    ///
    /// # Errors
    /// [`Error::KeyStore`].
    pub fn keep(&self, name: &JobName, key: &PrivateKey) -> Result<PublicKey, Error> {
        let path = self.path(name, "key");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(|error| wrong(&self.folder, &error, "let it be a folder of yours"))?;
        let pem = key.to_pem();
        let settings = Settings { required: required(name)?, ..Settings::default() };
        let context = Context::from_pairs([("smrt:format", "1")])?;
        let mut writer =
            Writer::with_settings(Vec::new(), &self.keys, DEFAULT_ALIAS, &context, &settings)?;
        writer
            .write_all(pem.as_bytes())
            .map_err(|source| Error::Io { what: "sealing a signing key".into(), source })?;
        let sealed = writer.finish()?;
        let public = key.public();
        // The private key last, and never over another: a name that has one is taken.
        if path.exists() {
            return Err(taken(&path));
        }
        write(&self.path(name, "pub"), public.to_pem().as_bytes(), 0o644, false)?;
        write(&path, &sealed, 0o600, true)?;
        Ok(public)
    }

    /// The key of a name.
    ///
    /// # Errors
    /// [`Error::KeyStore`] when there is none or others may read it; as
    /// [`open_to_vec`].
    pub fn open(&self, name: &JobName) -> Result<PrivateKey, Error> {
        let path = self.path(name, "key");
        let file = File::open(&path).map_err(|error| self.missing(name, &path, &error))?;
        let mode = file.metadata().map_or(0, |about| about.permissions().mode());
        if mode & 0o077 != 0 {
            return Err(Error::KeyStore {
                what: format!("others may use it (mode {:o})", mode & 0o777),
                help: format!("chmod 600 {}", path.display()),
                path,
            });
        }
        let sealed = file.take(KEY_FILE_BYTES_MAX);
        let pem = open_to_vec(sealed, &self.keys, &required(name)?, KEY_FILE_BYTES_MAX)?;
        let pem = Zeroizing::new(pem);
        let text = std::str::from_utf8(&pem).unwrap_or_default();
        PrivateKey::from_pem(text, &path.display().to_string()).map_err(|error| Error::KeyStore {
            path,
            what: error.to_string(),
            help: error.help().unwrap_or_default(),
        })
    }

    /// The public key of a name.
    ///
    /// # Errors
    /// [`Error::KeyStore`].
    pub fn public(&self, name: &JobName) -> Result<PublicKey, Error> {
        let path = self.path(name, "pub");
        match public_key(&path) {
            Err(Error::KeyStore { .. }) if !path.exists() => {
                let error = io::Error::from(io::ErrorKind::NotFound);
                Err(self.missing(name, &path, &error))
            }
            other => other,
        }
    }

    /// All names, sorted, with their public keys.
    ///
    /// # Errors
    /// [`Error::KeyStore`].
    pub fn list(&self) -> Result<Vec<(String, PublicKey)>, Error> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(wrong(&self.folder, &error, "let it be a folder of yours")),
        };
        let names = entries.filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            Some(name.strip_suffix(".key")?.to_owned())
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
            .into_iter()
            .map(|name| {
                let public = public_key(&self.folder.join(format!("{name}.pub")))?;
                Ok((name, public))
            })
            .collect()
    }

    fn path(&self, name: &JobName, ending: &str) -> PathBuf {
        self.folder.join(format!("{name}.{ending}"))
    }

    fn missing(&self, name: &JobName, path: &Path, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::NotFound => Error::KeyStore {
                path: self.folder.clone(),
                what: format!("there is no signing key {:?}", name.as_str()),
                help: format!("smrt sign keygen {name} makes it; smrt sign list shows those there"),
            },
            _ => wrong(path, error, "let it be a file of yours"),
        }
    }
}

/// Reads a public key in PEM.
///
/// # Errors
/// [`Error::KeyStore`].
pub fn public_key(path: &Path) -> Result<PublicKey, Error> {
    let mut pem = String::new();
    File::open(path)
        .and_then(|file| file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut pem))
        .map_err(|error| wrong(path, &error, "name a public key in PEM: smrt sign public NAME"))?;
    PublicKey::from_pem(&pem, &path.display().to_string()).map_err(|error| Error::KeyStore {
        path: path.to_owned(),
        what: "this is not a public key on P-256 or P-384 (PEM)".into(),
        help: error.help().unwrap_or_default(),
    })
}

/// Reads a private key in PEM (PKCS#8, not encrypted).
///
/// # Errors
/// [`Error::KeyStore`].
pub fn private_key(path: &Path) -> Result<PrivateKey, Error> {
    let mut pem = Zeroizing::new(String::new());
    File::open(path)
        .and_then(|file| file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut pem))
        .map_err(|error| wrong(path, &error, "name a private key in PEM"))?;
    PrivateKey::from_pem(&pem, &path.display().to_string()).map_err(|error| Error::KeyStore {
        path: path.to_owned(),
        what: "this is not an unencrypted private key on P-256 or P-384 (PKCS#8, PEM)".into(),
        help: error.help().unwrap_or_default(),
    })
}

/// Bound to the name and brought by the reader: a key file under another's name does not open.
fn required(name: &JobName) -> Result<Context, Error> {
    Context::from_pairs([("smrt:artifact", "signing-key"), ("smrt:name", name.as_str())])
}

fn write(path: &Path, bytes: &[u8], mode: u32, new: bool) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.write(true).mode(mode);
    match new {
        true => options.create_new(true),
        false => options.create(true).truncate(true),
    };
    let written = options.open(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(path),
        _ => wrong(path, &error, "make room, or let it be a folder of yours"),
    })
}

fn taken(path: &Path) -> Error {
    Error::KeyStore {
        path: path.to_owned(),
        what: "a key of this name is there".into(),
        help: "choose another name: what it signed is verified by its public key".into(),
    }
}

fn wrong(path: &Path, error: &io::Error, help: &str) -> Error {
    Error::KeyStore { path: path.to_owned(), what: error.to_string(), help: help.to_owned() }
}
