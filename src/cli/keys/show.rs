//! What there is: `smrt keys list` and `show`.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::table::Table;
use crate::cli::{Failure, output};
use crate::iam::time;
use crate::seal::{KeyMetadata, KeyState, LocalKeys};

#[derive(Debug, Args)]
pub(super) struct List {
    /// Write the result for people or for programs
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: output::Format,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// The key: an id, an alias or an ARN
    #[arg(value_name = "KEY")]
    key: String,

    /// Write the result for people or for programs
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: output::Format,
}

pub(super) fn list(keys: &LocalKeys, options: &List) -> Result<(), Failure> {
    let mut all = Vec::new();
    for key in keys.list()? {
        all.push(keys.metadata(&key.arn)?);
    }
    if options.format == output::Format::Json {
        return output::write(&output::json(&all.iter().map(as_json).collect::<Vec<_>>()));
    }
    if all.is_empty() {
        return output::write("there are no keys yet; the first job makes alias/smrt\n");
    }
    let mut table = Table::new(&[2]);
    table.row(["key", "state", "versions", "created", "aliases"]);
    for key in &all {
        table.row([
            key.id.clone(),
            state_of(key),
            key.versions.len().to_string(),
            day(key.created_s),
            key.aliases.join(" "),
        ]);
    }
    output::write(&table.text(""))
}

pub(super) fn one(keys: &LocalKeys, options: &One) -> Result<(), Failure> {
    let key = keys.metadata(&options.key)?;
    output::write(&match options.format {
        output::Format::Json => output::json(&as_json(&key)),
        output::Format::Text => text(&key),
    })
}

/// What a change has come to, in a line.
pub(super) fn state(key: &KeyMetadata) -> Result<(), Failure> {
    let names = key.aliases.join(" ");
    let versions = key.versions.len();
    let line = format!("{} {names}", key.id);
    output::write(&format!("{}: {}, version {versions}\n", line.trim_end(), state_of(key)))
}

fn state_of(key: &KeyMetadata) -> String {
    match (key.state, key.deletion_s) {
        (KeyState::Enabled, _) => "enabled".into(),
        (KeyState::Disabled, _) => "disabled".into(),
        (KeyState::PendingDeletion, at) => format!("deleted on {}", day(at.unwrap_or(0))),
    }
}

fn text(key: &KeyMetadata) -> String {
    let mut facts = Table::new(&[]);
    facts.row(["key", &key.arn]);
    for alias in &key.aliases {
        facts.row(["alias", alias]);
    }
    if !key.description.is_empty() {
        facts.row(["description", &key.description]);
    }
    facts.row(["state", &state_of(key)]);
    facts.row(["created", &rfc3339(key.created_s)]);
    facts.row([
        "rotation".into(),
        match key.rotation {
            Some(plan) => format!("every {} days, next on {}", plan.period_days, day(plan.next_s)),
            None => "by hand".into(),
        },
    ]);
    for (version, at) in key.versions.iter().zip(1..) {
        let how = match (at, version.on_demand) {
            (1, _) => "made with the key",
            (_, true) => "on demand",
            (_, false) => "by its calendar",
        };
        facts.row(["version".into(), format!("{at}, {}, {how}", rfc3339(version.created_s))]);
    }
    for (name, value) in &key.tags {
        facts.row(["tag".into(), format!("{name} = {value}")]);
    }
    for grant in &key.grants {
        let what = format!("{} may {}", grant.grantee, grant.operations.join(", "));
        facts.row(["grant".into(), what]);
    }
    facts.row(["policy", if key.policy.is_some() { "its own: smrt keys policy" } else { "none" }]);
    facts.text("")
}

fn as_json(key: &KeyMetadata) -> Value {
    json!({
        "arn": key.arn,
        "aliases": key.aliases,
        "description": key.description,
        "state": match key.state {
            KeyState::Enabled => "Enabled",
            KeyState::Disabled => "Disabled",
            KeyState::PendingDeletion => "PendingDeletion",
        },
        "created": rfc3339(key.created_s),
        "deletion": key.deletion_s.map(rfc3339),
        "rotation_period_days": key.rotation.map(|plan| plan.period_days),
        "next_rotation": key.rotation.map(|plan| rfc3339(plan.next_s)),
        "versions": key.versions.iter().map(|version| json!({
            "created": rfc3339(version.created_s), "on_demand": version.on_demand,
        })).collect::<Vec<_>>(),
        "tags": key.tags,
        "grants": key.grants,
        "policy": key.policy,
    })
}

fn rfc3339(seconds: u64) -> String {
    time::iso(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// The day of a time in seconds since 1970.
fn day(seconds: u64) -> String {
    rfc3339(seconds).chars().take(10).collect()
}
