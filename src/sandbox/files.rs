//! Landlock: which files, and that nothing is connected to, bound or signalled.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};

use super::enter::lacking;
use super::{Error, Rules};

/// The newest that this file was written for; an older kernel does what it knows.
const KNOWN: ABI = ABI::V6;

/// Whether the kernel knows all of it.
///
/// # Errors
/// [`Error::Lacking`] when it knows none of it.
pub(super) fn restrict(rules: &Rules) -> Result<bool, Error> {
    let status = apply(rules).map_err(|why| lacking("landlock", &why))?;
    match status {
        RulesetStatus::NotEnforced => Err(lacking("landlock", &"the kernel has none")),
        RulesetStatus::PartiallyEnforced => Ok(false),
        RulesetStatus::FullyEnforced => Ok(true),
    }
}

fn apply(rules: &Rules) -> Result<RulesetStatus, Box<dyn std::error::Error>> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write =
        read | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile;
    for (paths, access) in [(&rules.reads, read), (&rules.writes, write)] {
        for path in existing(paths) {
            // Of a file's rights only those that a file can have.
            let access = if path.is_dir() { access } else { access & AccessFs::from_file(KNOWN) };
            ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(path)?, access))?;
        }
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

/// What is not there needs no right.
fn existing(paths: &[PathBuf]) -> impl Iterator<Item = &PathBuf> {
    paths.iter().filter(|path| path.exists())
}
