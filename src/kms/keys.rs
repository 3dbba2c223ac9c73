//! Operations on keys, their names, tags and lives.

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::Refused;
use super::wire::{Answer, Page, Tag, empty, metadata, read, tags};
use crate::seal::{LocalKeys, NewKey};

/// The days between automatic rotations, where the caller does not say.
const ROTATION_DAYS: u32 = 365;
/// The days a key waits for its deletion, where the caller does not say.
const DELETION_DAYS: u32 = 30;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfKey {
    key_id: String,
}

fn key_of(body: &Value) -> Result<String, Refused> {
    read::<OfKey>(body).map(|asked| asked.key_id)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    #[serde(default)]
    description: String,
    policy: Option<String>,
    key_usage: Option<String>,
    key_spec: Option<String>,
    customer_master_key_spec: Option<String>,
    origin: Option<String>,
    #[serde(default)]
    multi_region: bool,
    custom_key_store_id: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

pub(super) fn create(keys: &LocalKeys, body: &Value) -> Answer {
    let asked: Create = read(body)?;
    let only = |what: Option<&str>, one: &str| what.is_none_or(|what| what == one);
    let plain = only(asked.key_usage.as_deref(), "ENCRYPT_DECRYPT")
        && only(asked.key_spec.as_deref(), "SYMMETRIC_DEFAULT")
        && only(asked.customer_master_key_spec.as_deref(), "SYMMETRIC_DEFAULT")
        && only(asked.origin.as_deref(), "AWS_KMS");
    if !plain || asked.multi_region || asked.custom_key_store_id.is_some() {
        return Err(Refused::new(
            "UnsupportedOperationException",
            "keys are symmetric (SYMMETRIC_DEFAULT, ENCRYPT_DECRYPT), made here, in one region",
        ));
    }
    let key = keys.create_key(NewKey {
        description: asked.description,
        alias: None,
        tags: tags(asked.tags),
        policy: asked.policy,
    })?;
    Ok(json!({ "KeyMetadata": metadata(&key) }))
}

pub(super) fn describe(keys: &LocalKeys, body: &Value) -> Answer {
    Ok(json!({ "KeyMetadata": metadata(&keys.metadata(&key_of(body)?)?) }))
}

pub(super) fn list(keys: &LocalKeys, body: &Value) -> Answer {
    let page: Page = read(body)?;
    let id = |arn: &str| arn.rsplit('/').next().unwrap_or_default().to_owned();
    page.of(
        "Keys",
        keys.list()?,
        |key| id(&key.arn),
        |key| json!({ "KeyId": id(&key.arn), "KeyArn": key.arn }),
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Alias {
    alias_name: String,
    target_key_id: String,
}

pub(super) fn create_alias(keys: &LocalKeys, body: &Value) -> Answer {
    let asked: Alias = read(body)?;
    keys.set_alias(&asked.alias_name, &asked.target_key_id, false)?;
    Ok(empty())
}

pub(super) fn update_alias(keys: &LocalKeys, body: &Value) -> Answer {
    let asked: Alias = read(body)?;
    keys.set_alias(&asked.alias_name, &asked.target_key_id, true)?;
    Ok(empty())
}

pub(super) fn delete_alias(keys: &LocalKeys, body: &Value) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Delete {
        alias_name: String,
    }
    keys.remove_alias(&read::<Delete>(body)?.alias_name)?;
    Ok(empty())
}

pub(super) fn list_aliases(keys: &LocalKeys, body: &Value) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct List {
        key_id: Option<String>,
    }
    let (asked, page): (List, Page) = (read(body)?, read(body)?);
    let of = asked.key_id.map(|key| keys.metadata(&key)).transpose()?.map(|key| key.id);
    let mut aliases = keys.aliases()?;
    aliases.retain(|(_, id)| of.as_ref().is_none_or(|of| of == id));
    page.of(
        "Aliases",
        aliases,
        |(alias, _)| alias.clone(),
        |(alias, id)| {
            json!({
                "AliasName": alias, "AliasArn": LocalKeys::alias_arn(alias), "TargetKeyId": id,
            })
        },
    )
}

pub(super) fn enable(keys: &LocalKeys, body: &Value) -> Answer {
    keys.set_enabled(&key_of(body)?, true)?;
    Ok(empty())
}

pub(super) fn disable(keys: &LocalKeys, body: &Value) -> Answer {
    keys.set_enabled(&key_of(body)?, false)?;
    Ok(empty())
}

pub(super) fn enable_rotation(keys: &LocalKeys, body: &Value) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Enable {
        rotation_period_in_days: Option<u32>,
    }
    let days = read::<Enable>(body)?.rotation_period_in_days.unwrap_or(ROTATION_DAYS);
    keys.set_rotation(&key_of(body)?, Some(days))?;
    Ok(empty())
}

pub(super) fn disable_rotation(keys: &LocalKeys, body: &Value) -> Answer {
    keys.set_rotation(&key_of(body)?, None)?;
    Ok(empty())
}

pub(super) fn rotation_status(keys: &LocalKeys, body: &Value) -> Answer {
    let key = keys.metadata(&key_of(body)?)?;
    let mut answer = json!({ "KeyId": key.arn, "KeyRotationEnabled": key.rotation.is_some() });
    if let Some(plan) = key.rotation {
        answer["RotationPeriodInDays"] = plan.period_days.into();
        answer["NextRotationDate"] = plan.next_s.into();
    }
    Ok(answer)
}

pub(super) fn list_rotations(keys: &LocalKeys, body: &Value) -> Answer {
    let page: Page = read(body)?;
    let key = keys.metadata(&key_of(body)?)?;
    // The first version is the key itself, not a rotation of it.
    let rotations = key.versions.iter().enumerate().skip(1).collect::<Vec<_>>();
    page.of(
        "Rotations",
        rotations,
        |(at, _)| format!("{at:08}"),
        |(_, version)| {
            let kind = if version.on_demand { "ON_DEMAND" } else { "AUTOMATIC" };
            json!({
                "KeyId": key.arn, "RotationDate": version.created_s, "RotationType": kind,
            })
        },
    )
}

pub(super) fn rotate(keys: &LocalKeys, body: &Value) -> Answer {
    let key = keys.rotate(&key_of(body)?)?;
    Ok(json!({ "KeyId": key.arn }))
}

pub(super) fn schedule_deletion(keys: &LocalKeys, body: &Value) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Schedule {
        pending_window_in_days: Option<u32>,
    }
    let days = read::<Schedule>(body)?.pending_window_in_days.unwrap_or(DELETION_DAYS);
    let key = keys.schedule_deletion(&key_of(body)?, days)?;
    Ok(json!({
        "KeyId": key.arn, "DeletionDate": key.deletion_s, "KeyState": "PendingDeletion",
        "PendingWindowInDays": days,
    }))
}

pub(super) fn cancel_deletion(keys: &LocalKeys, body: &Value) -> Answer {
    let key = keys.cancel_deletion(&key_of(body)?)?;
    Ok(json!({ "KeyId": key.arn }))
}

pub(super) fn update_description(keys: &LocalKeys, body: &Value) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Update {
        description: String,
    }
    keys.set_description(&key_of(body)?, &read::<Update>(body)?.description)?;
    Ok(empty())
}

pub(super) fn tag(keys: &LocalKeys, body: &Value) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Tags {
        tags: Vec<Tag>,
    }
    keys.tag(&key_of(body)?, &tags(read::<Tags>(body)?.tags), &[])?;
    Ok(empty())
}

pub(super) fn untag(keys: &LocalKeys, body: &Value) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Untag {
        tag_keys: Vec<String>,
    }
    keys.tag(&key_of(body)?, &Default::default(), &read::<Untag>(body)?.tag_keys)?;
    Ok(empty())
}

pub(super) fn list_tags(keys: &LocalKeys, body: &Value) -> Answer {
    let page: Page = read(body)?;
    let tags = keys.metadata(&key_of(body)?)?.tags;
    page.of(
        "Tags",
        tags.into_iter().collect(),
        |(name, _): &(String, String)| name.clone(),
        |(name, value)| json!({ "TagKey": name, "TagValue": value }),
    )
}
