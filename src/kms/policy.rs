//! Operations on who may use a key: its policy, and grants.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::Refused;
use super::wire::{Answer, Page, empty, read};
use crate::fault::Fault;
use crate::iam::policy::{Kind, Policy};
use crate::seal::{GRANT_OPERATIONS, Grant, LocalKeys};
use crate::spec::name::LOCAL_ACCOUNT;

/// The one name a key policy has.
const NAME: &str = "default";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    key_id: String,
    policy_name: Option<String>,
}

fn named(body: &Value) -> Result<Named, Refused> {
    let asked: Named = read(body)?;
    match asked.policy_name.as_deref() {
        None | Some(NAME) => Ok(asked),
        Some(_) => Err(Refused::new("NotFoundException", "a key has one policy: default")),
    }
}

pub(super) fn get(keys: &LocalKeys, body: &Value) -> Answer {
    let key = keys.metadata(&named(body)?.key_id)?;
    let policy = key.policy.unwrap_or_else(whole_account);
    Ok(json!({ "Policy": policy, "PolicyName": NAME }))
}

pub(super) fn put(keys: &LocalKeys, body: &Value) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Put {
        policy: String,
    }
    let asked: Put = read(body)?;
    check(&asked.policy)?;
    keys.set_policy(&named(body)?.key_id, &asked.policy)?;
    Ok(empty())
}

/// Refuses what is not a resource's policy, every mistake with its place.
pub(super) fn check(text: &str) -> Result<(), Refused> {
    Policy::read("key policy", text, Kind::Resource).map(|_| ()).map_err(|mistakes| {
        let found: Vec<String> = mistakes.findings().into_iter().map(|one| one.what).collect();
        Refused::new("MalformedPolicyDocumentException", found.join("; "))
    })
}

pub(super) fn list(keys: &LocalKeys, body: &Value) -> Answer {
    let page: Page = read(body)?;
    keys.metadata(&named(body)?.key_id)?;
    page.of("PolicyNames", vec![NAME], |name| (*name).into(), |name| (*name).into())
}

/// What KMS gives a key that came without a policy.
pub(super) fn whole_account() -> String {
    json!({
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [{
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": { "AWS": format!("arn:aws:iam::{LOCAL_ACCOUNT}:root") },
            "Action": "kms:*",
            "Resource": "*",
        }],
    })
    .to_string()
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Constraints {
    encryption_context_subset: Option<BTreeMap<String, String>>,
    encryption_context_equals: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    key_id: String,
    grantee_principal: String,
    #[serde(default)]
    retiring_principal: String,
    operations: Vec<String>,
    #[serde(default)]
    constraints: Constraints,
    #[serde(default)]
    name: String,
}

pub(super) fn create_grant(keys: &LocalKeys, body: &Value) -> Answer {
    let asked: Create = read(body)?;
    if asked.operations.is_empty() {
        return Err(Refused::invalid("Operations names at least one operation"));
    }
    if let Some(unknown) = asked.operations.iter().find(|op| !GRANT_OPERATIONS.contains(&&***op)) {
        let known = GRANT_OPERATIONS.join(", ");
        return Err(Refused::invalid(format!("Operations: {unknown:.64?} is none of {known}")));
    }
    let grant = keys.add_grant(
        &asked.key_id,
        Grant {
            id: String::new(),
            name: asked.name,
            grantee: asked.grantee_principal,
            retiring: asked.retiring_principal,
            operations: asked.operations,
            context_equals: asked.constraints.encryption_context_equals,
            context_subset: asked.constraints.encryption_context_subset,
            created_s: 0,
        },
    )?;
    // Grants hold at once here; the token is for callers who pass one on.
    Ok(json!({ "GrantId": grant.id, "GrantToken": grant.id }))
}

fn shown(key: &str, grant: &Grant) -> Value {
    let mut shown = json!({
        "KeyId": key,
        "GrantId": grant.id,
        "CreationDate": grant.created_s,
        "GranteePrincipal": grant.grantee,
        "IssuingAccount": format!("arn:aws:iam::{LOCAL_ACCOUNT}:root"),
        "Operations": grant.operations,
    });
    if !grant.name.is_empty() {
        shown["Name"] = grant.name.clone().into();
    }
    if !grant.retiring.is_empty() {
        shown["RetiringPrincipal"] = grant.retiring.clone().into();
    }
    let mut constraints = serde_json::Map::new();
    for (name, pairs) in [
        ("EncryptionContextSubset", &grant.context_subset),
        ("EncryptionContextEquals", &grant.context_equals),
    ] {
        if let Some(pairs) = pairs {
            constraints.insert(name.into(), json!(pairs));
        }
    }
    if !constraints.is_empty() {
        shown["Constraints"] = constraints.into();
    }
    shown
}

pub(super) fn list_grants(keys: &LocalKeys, body: &Value) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct List {
        key_id: String,
        grant_id: Option<String>,
        grantee_principal: Option<String>,
    }
    let (asked, page): (List, Page) = (read(body)?, read(body)?);
    let key = keys.metadata(&asked.key_id)?;
    let mut grants = key.grants;
    grants.retain(|grant| {
        asked.grant_id.as_ref().is_none_or(|id| *id == grant.id)
            && asked.grantee_principal.as_ref().is_none_or(|who| *who == grant.grantee)
    });
    page.of("Grants", grants, |grant| grant.id.clone(), |grant| shown(&key.arn, grant))
}

pub(super) fn list_retirable_grants(keys: &LocalKeys, body: &Value) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct List {
        retiring_principal: String,
    }
    let (asked, page): (List, Page) = (read(body)?, read(body)?);
    let mut grants = Vec::new();
    for key in keys.list()? {
        let key = keys.metadata(&key.arn)?;
        let mine =
            key.grants.into_iter().filter(|grant| grant.retiring == asked.retiring_principal);
        grants.extend(mine.map(|grant| (key.arn.clone(), grant)));
    }
    page.of("Grants", grants, |(_, grant)| grant.id.clone(), |(key, grant)| shown(key, grant))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct End {
    key_id: Option<String>,
    grant_id: Option<String>,
    grant_token: Option<String>,
}

pub(super) fn revoke_grant(keys: &LocalKeys, body: &Value) -> Answer {
    end(keys, read(body)?)
}

pub(super) fn retire_grant(keys: &LocalKeys, body: &Value) -> Answer {
    end(keys, read(body)?)
}

fn end(keys: &LocalKeys, asked: End) -> Answer {
    let grant = asked.grant_id.or(asked.grant_token);
    let grant = grant.ok_or_else(|| Refused::invalid("GrantId or GrantToken names the grant"))?;
    let key = match asked.key_id {
        Some(key) => Some(key),
        None => key_of_grant(keys, &grant)?,
    };
    match key.map(|key| keys.end_grant(&key, &grant)).transpose()? {
        Some(true) => Ok(empty()),
        _ => Err(Refused::new("NotFoundException", "there is no such grant")),
    }
}

/// The key that a grant is of.
pub(super) fn key_of_grant(keys: &LocalKeys, grant: &str) -> Result<Option<String>, Refused> {
    for key in keys.list()? {
        if keys.metadata(&key.arn)?.grants.iter().any(|held| held.id == grant) {
            return Ok(Some(key.arn));
        }
    }
    Ok(None)
}
