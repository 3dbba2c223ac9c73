//! `smrt keys protect`: locking the key store.

use std::path::PathBuf;

use clap::Args;

use crate::cli::{Failure, output};
use crate::seal::{LocalKeys, Unlock};

#[derive(Debug, Args)]
#[command(after_help = "\
A locked store needs its passphrase or key file at every use. It is looked for in
  SMRT_KEYS_PASSPHRASE, SMRT_KEYS_PASSPHRASE_FILE, SMRT_KEYS_FILE,
  and in systemd's credential smrt-keys (LoadCredential=smrt-keys:/path).

Examples:
  (umask 077; openssl rand 32 > /etc/smrt/keys.bin)
  smrt keys protect --key-file /etc/smrt/keys.bin
  SMRT_KEYS_FILE=/etc/smrt/keys.bin smrt keys list")]
#[group(required = true, multiple = false)]
pub(super) struct Options {
    /// Lock by the words in this file (its last line feed left out)
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    passphrase_file: Option<PathBuf>,

    /// Lock by this file, at least 32 random bytes
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    key_file: Option<PathBuf>,

    /// Take the lock away
    #[arg(long)]
    off: bool,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let keys = LocalKeys::of_user()?;
    // As the environment would give it, so that what locks is what will unlock.
    let named = |name: &'static str, path: &Option<PathBuf>| {
        let path = path.clone()?;
        Some(Unlock::from_environment(move |asked| {
            (asked == name).then(|| path.clone().into_os_string())
        }))
    };
    let lock = named("SMRT_KEYS_PASSPHRASE_FILE", &options.passphrase_file)
        .or_else(|| named("SMRT_KEYS_FILE", &options.key_file))
        .transpose()?
        .flatten();
    let after = keys.protect(lock.as_ref())?;
    let count = after.list()?.len();
    output::write(&match (&options.passphrase_file, &options.key_file) {
        (Some(path), _) => format!(
            "{count} keys are locked by a passphrase; set SMRT_KEYS_PASSPHRASE_FILE={} to use \
             them\n",
            path.display()
        ),
        (_, Some(path)) => format!(
            "{count} keys are locked by a key file; set SMRT_KEYS_FILE={} to use them\n",
            path.display()
        ),
        _ => format!("{count} keys are not locked any more\n"),
    })
}
