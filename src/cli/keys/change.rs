//! Changes to one key.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use super::show;
use crate::cli::{Failure, output};
use crate::seal::{LocalKeys, NewKey};

#[derive(Debug, Args)]
pub(super) struct Create {
    /// A name for it, alias/NAME
    #[arg(long, value_name = "ALIAS")]
    alias: Option<String>,

    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,

    /// A tag; may be given again
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = pair)]
    tags: Vec<(String, String)>,

    /// A file with its policy, an IAM policy in JSON
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    policy: Option<PathBuf>,
}

pub(super) fn create(keys: &LocalKeys, options: &Create) -> Result<(), Failure> {
    let key = keys.create_key(NewKey {
        description: options.description.clone(),
        alias: options.alias.clone(),
        tags: options.tags.iter().cloned().collect(),
        policy: options.policy.as_ref().map(super::read).transpose()?,
    })?;
    output::write(&format!("{}\n", key.arn))
}

#[derive(Debug, Args)]
pub(super) struct Alias {
    /// The name, alias/NAME
    #[arg(value_name = "ALIAS")]
    alias: String,

    /// The key: an id, another alias or an ARN
    #[arg(value_name = "KEY")]
    key: String,

    /// Take the name from the key that has it
    #[arg(long)]
    r#move: bool,
}

pub(super) fn alias(keys: &LocalKeys, options: &Alias) -> Result<(), Failure> {
    keys.set_alias(&options.alias, &options.key, options.r#move)?;
    show::state(&keys.metadata(&options.alias)?)
}

#[derive(Debug, Args)]
pub(super) struct Unalias {
    /// The name, alias/NAME
    #[arg(value_name = "ALIAS")]
    alias: String,
}

pub(super) fn unalias(keys: &LocalKeys, options: &Unalias) -> Result<(), Failure> {
    let key = keys.metadata(&options.alias)?;
    keys.remove_alias(&options.alias)?;
    show::state(&keys.metadata(&key.id)?)
}

#[derive(Debug, Args)]
pub(super) struct Rotation {
    /// The key: an id, an alias or an ARN
    #[arg(value_name = "KEY")]
    key: String,

    /// A new version every so many days, 90 to 2560
    #[arg(long, value_name = "DAYS", required_unless_present = "off")]
    days: Option<u32>,

    /// Only by hand from now on
    #[arg(long, conflicts_with = "days")]
    off: bool,
}

pub(super) fn rotation(keys: &LocalKeys, options: &Rotation) -> Result<(), Failure> {
    show::state(&keys.set_rotation(&options.key, options.days)?)
}

#[derive(Debug, Args)]
pub(super) struct Schedule {
    /// The key: an id, an alias or an ARN
    #[arg(value_name = "KEY")]
    key: String,

    /// Days until then, 7 to 30
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    days: u32,
}

pub(super) fn schedule(keys: &LocalKeys, options: &Schedule) -> Result<(), Failure> {
    show::state(&keys.schedule_deletion(&options.key, options.days)?)
}

#[derive(Debug, Args)]
pub(super) struct Describe {
    /// The key: an id, an alias or an ARN
    #[arg(value_name = "KEY")]
    key: String,

    /// What it is for
    #[arg(value_name = "TEXT")]
    text: String,
}

pub(super) fn describe(keys: &LocalKeys, options: &Describe) -> Result<(), Failure> {
    show::state(&keys.set_description(&options.key, &options.text)?)
}

#[derive(Debug, Args)]
pub(super) struct Tag {
    /// The key: an id, an alias or an ARN
    #[arg(value_name = "KEY")]
    key: String,

    /// Tags to set
    #[arg(value_name = "NAME=VALUE", value_parser = pair)]
    tags: Vec<(String, String)>,

    /// A tag to remove; may be given again
    #[arg(long, value_name = "NAME")]
    remove: Vec<String>,
}

pub(super) fn tag(keys: &LocalKeys, options: &Tag) -> Result<(), Failure> {
    let tags: BTreeMap<String, String> = options.tags.iter().cloned().collect();
    show::state(&keys.tag(&options.key, &tags, &options.remove)?)
}

#[derive(Debug, Args)]
pub(super) struct Policy {
    /// The key: an id, an alias or an ARN
    #[arg(value_name = "KEY")]
    key: String,

    /// A file with the new policy, an IAM policy in JSON
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    set: Option<PathBuf>,
}

impl Policy {
    /// Whether it replaces the policy.
    pub(super) fn is_set(&self) -> bool {
        self.set.is_some()
    }
}

pub(super) fn policy(keys: &LocalKeys, options: &Policy) -> Result<(), Failure> {
    let Some(path) = &options.set else {
        let policy = keys.metadata(&options.key)?.policy;
        return output::write(&policy.map_or_else(String::new, |text| format!("{text}\n")));
    };
    let text = super::read(path)?;
    // All mistakes at once, with their places, before anything is changed.
    crate::iam::policy::Policy::read(
        &path.display().to_string(),
        &text,
        crate::iam::policy::Kind::Resource,
    )?;
    show::state(&keys.set_policy(&options.key, &text)?)
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
