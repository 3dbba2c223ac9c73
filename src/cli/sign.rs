//! `smrt sign`: the keys that vouch for models.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::table::Table;
use super::{Error, Failure, output};
use crate::keyring::signing::{SigningKeys, private_key};
use crate::sign::{Curve, PrivateKey};
use crate::spec::name::JobName;

/// Make and list the keys that sign models (OpenSSF Model Signing)
///
/// A job with `sign = "NAME"` below [output] leaves a model.sig in its artifact. `smrt verify`,
/// PyPI's model-signing, and --require-signature of serve and predict hold the artifact against the
/// public key.
#[derive(Debug, Args)]
#[command(after_help = "\
Private keys lie in $SMRT_HOME/signing, sealed under this machine's own key (alias/smrt).

Examples:
  smrt sign keygen release
  smrt sign public release > release.pem
  smrt train --set output.sign=release job.toml
  smrt verify model.tar.gz --key release.pem")]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key
    Keygen(Keygen),
    /// Take in a key that another program made (PKCS#8, PEM, not encrypted)
    Import(Import),
    /// Print a key's public half, PEM
    Public(OfKey),
    /// All keys, with the fingerprints that signatures name
    List,
}

#[derive(Debug, Args)]
struct Keygen {
    /// Its name: letters, digits and hyphens
    #[arg(value_name = "NAME")]
    name: String,

    /// The curve
    #[arg(long, value_enum, default_value_t, value_name = "CURVE")]
    curve: CurveName,
}

#[derive(Debug, Args)]
struct Import {
    /// Its name: letters, digits and hyphens
    #[arg(value_name = "NAME")]
    name: String,

    /// The private key
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
}

#[derive(Debug, Args)]
struct OfKey {
    /// The key's name
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum CurveName {
    /// NIST P-256 with SHA-256
    #[default]
    P256,
    /// NIST P-384 with SHA-384
    P384,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let keys = SigningKeys::of_user()?;
    match &options.command {
        Command::Keygen(options) => {
            let key = PrivateKey::generate(match options.curve {
                CurveName::P256 => Curve::P256,
                CurveName::P384 => Curve::P384,
            })?;
            let public = keys.keep(&name(&options.name)?, &key)?;
            output::write(&format!("{} {}\n", options.name, public.fingerprint()))
        }
        Command::Import(options) => {
            let key = private_key(&options.file)?;
            let public = keys.keep(&name(&options.name)?, &key)?;
            output::write(&format!("{} {}\n", options.name, public.fingerprint()))
        }
        Command::Public(options) => output::write(keys.public(&name(&options.name)?)?.to_pem()),
        Command::List => {
            let mut table = Table::new(&[]);
            for (name, public) in keys.list()? {
                table.row([name, public.fingerprint()]);
            }
            output::write(&table.text(""))
        }
    }
}

fn name(text: &str) -> Result<JobName, Failure> {
    let wrong = |rule: &str| Error::Address {
        what: format!("{text:?} is not a key's name"),
        help: Some(rule.to_owned()),
    };
    Ok(JobName::parse(text).map_err(wrong)?)
}
