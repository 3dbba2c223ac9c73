//! `smrt keys`: the keys that seal, as AWS KMS would have them.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Failure, audited};
use crate::seal::LocalKeys;

mod change;
mod protect;
mod serve;
mod show;

/// Make, name, rotate, disable and delete the keys that seal, and serve them as AWS KMS
#[derive(Debug, Args)]
#[command(after_help = "\
A KEY is an id, an alias (alias/smrt) or an ARN.

Examples:
  smrt keys list
  smrt keys create --alias alias/fraud --description 'models of the fraud team'
  smrt keys rotate alias/fraud                 a new version; what was sealed still opens
  smrt keys rotation alias/fraud --days 365    the same, every year
  smrt keys schedule-deletion alias/old        gone in 30 days, and what it sealed with it
  smrt keys protect --passphrase-file words    lock the store
  smrt keys serve                              AWS KMS's API on http://127.0.0.1:8081")]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// All keys
    List(show::List),
    /// One key: state, versions, tags, policy, grants
    Show(show::One),
    /// Make a key
    Create(change::Create),
    /// Give a key a name
    Alias(change::Alias),
    /// Take a name away; the key stays
    Unalias(change::Unalias),
    /// Let a key be used again
    Enable(OfKey),
    /// Let nobody use a key until it is enabled again
    Disable(OfKey),
    /// Add a version; new seals use it, old ones still open
    Rotate(OfKey),
    /// Rotate a key by itself, or no more
    Rotation(change::Rotation),
    /// Delete a key after a waiting time
    ScheduleDeletion(change::Schedule),
    /// Keep a key that was to be deleted; it is disabled then
    CancelDeletion(OfKey),
    /// Say what a key is for
    Describe(change::Describe),
    /// Set and remove tags
    Tag(change::Tag),
    /// Show a key's policy, or replace it
    Policy(change::Policy),
    /// Lock the key store by a passphrase or a key file, or take the lock away
    Protect(protect::Options),
    /// Answer AWS KMS's API
    Serve(serve::Options),
}

/// A key that a command is about.
#[derive(Debug, Args)]
pub(super) struct OfKey {
    /// The key: an id, an alias or an ARN
    #[arg(value_name = "KEY")]
    key: String,
}

impl Command {
    /// KMS's name for what changes keys; `None` for what only tells, and for serving them.
    fn changes(&self) -> Option<&'static str> {
        Some(match self {
            Command::Create(_) => "CreateKey",
            Command::Alias(_) => "CreateAlias",
            Command::Unalias(_) => "DeleteAlias",
            Command::Enable(_) => "EnableKey",
            Command::Disable(_) => "DisableKey",
            Command::Rotate(_) => "RotateKeyOnDemand",
            Command::Rotation(_) => "EnableKeyRotation",
            Command::ScheduleDeletion(_) => "ScheduleKeyDeletion",
            Command::CancelDeletion(_) => "CancelKeyDeletion",
            Command::Describe(_) => "UpdateKeyDescription",
            Command::Tag(_) => "TagResource",
            Command::Policy(policy) if policy.is_set() => "PutKeyPolicy",
            Command::Protect(_) => "ProtectKeyStore",
            _ => return None,
        })
    }
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    match options.command.changes() {
        None => work(options),
        Some(name) => audited::by_hand("kms.amazonaws.com", name, || work(options)),
    }
}

fn work(options: &Options) -> Result<(), Failure> {
    let keys = || LocalKeys::of_user();
    match &options.command {
        Command::List(options) => show::list(&keys()?, options),
        Command::Show(options) => show::one(&keys()?, options),
        Command::Create(options) => change::create(&keys()?, options),
        Command::Alias(options) => change::alias(&keys()?, options),
        Command::Unalias(options) => change::unalias(&keys()?, options),
        Command::Enable(of) => show::state(&keys()?.set_enabled(&of.key, true)?),
        Command::Disable(of) => show::state(&keys()?.set_enabled(&of.key, false)?),
        Command::Rotate(of) => show::state(&keys()?.rotate(&of.key)?),
        Command::Rotation(options) => change::rotation(&keys()?, options),
        Command::ScheduleDeletion(options) => change::schedule(&keys()?, options),
        Command::CancelDeletion(of) => show::state(&keys()?.cancel_deletion(&of.key)?),
        Command::Describe(options) => change::describe(&keys()?, options),
        Command::Tag(options) => change::tag(&keys()?, options),
        Command::Policy(options) => change::policy(&keys()?, options),
        Command::Protect(options) => protect::run(options),
        Command::Serve(options) => serve::run(options),
    }
}

/// A file as a whole, small one.
fn read(path: &PathBuf) -> Result<String, Failure> {
    Ok(std::fs::read_to_string(path)
        .map_err(|source| super::Error::File { path: path.clone(), source })?)
}
