//! Who may do what: an operation is an action on a key, decided by the caller's policies, the key's
//! own policy and its grants, under the conditions of the encryption context.
//!
//! As in KMS a key's policy must grant, too; the one a key is made with hands that on to the
//! account's identity policies. `ReEncrypt` is two actions. Condition keys beside the global ones:
//! `kms:EncryptionContext:NAME`, `kms:EncryptionContextKeys`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::error::Refused;
use super::policy;
use super::wire::{Blob, read};
use crate::iam::door::Known;
use crate::iam::policy::{Context, Kind, Policy};
use crate::seal::LocalKeys;

type Pairs = BTreeMap<String, String>;

/// One thing an operation does.
struct Act<'a> {
    action: &'a str,
    /// The key as the request names it; none for operations on the whole store.
    key: Option<String>,
    pairs: Pairs,
}

/// Whether `who` may run the operation `name` with `body`.
///
/// # Errors
/// `AccessDeniedException`, or what the operation itself would say to such a body.
pub(super) fn check(
    keys: &LocalKeys,
    policies: &ReadPolicies,
    who: &Known,
    base: &Context,
    name: &str,
    body: &Value,
) -> Result<(), Refused> {
    for act in acts(keys, name, body)? {
        let action = format!("kms:{}", act.action);
        let mut context = base.clone();
        for (key, value) in &act.pairs {
            context.set(&format!("kms:EncryptionContext:{key}"), value.clone());
        }
        if !act.pairs.is_empty() {
            context.set_all("kms:EncryptionContextKeys", act.pairs.keys().cloned().collect());
        }
        let decided = match &act.key {
            None => who.may(&action, "*", &context),
            Some(key) => {
                let key = keys.metadata(key)?;
                let own = policies.of(&key.arn, key.policy)?;
                let arn = who.arn();
                let granted = key
                    .grants
                    .iter()
                    .any(|grant| grant.grantee == *arn && grant.allows(act.action, &act.pairs));
                who.may_use(&action, &key.arn, &context, &own, granted)
            }
        };
        decided.map_err(|why| Refused::new("AccessDeniedException", why.message))?;
    }
    check_lockout(keys, who, base, name, body)
}

/// As KMS does, a policy is refused under which who puts it there could not put another: a key must
/// not be left that nobody can govern. `BypassPolicyLockoutSafetyCheck` is for who means it.
fn check_lockout(
    keys: &LocalKeys,
    who: &Known,
    base: &Context,
    name: &str,
    body: &Value,
) -> Result<(), Refused> {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let meant = body.get("BypassPolicyLockoutSafetyCheck").and_then(Value::as_bool) == Some(true);
    let arn = match name {
        "PutKeyPolicy" => keys.metadata(text("KeyId").unwrap_or_default())?.arn,
        // Its id is chosen later, and no policy can know it.
        "CreateKey" => LocalKeys::alias_arn("key/*"),
        _ => return Ok(()),
    };
    let Some(new) = text("Policy").filter(|_| !meant) else { return Ok(()) };
    // One that is none is refused by the operation itself, with its mistakes.
    let Ok(new) = Policy::read("key policy", new, Kind::Resource) else { return Ok(()) };
    who.may_use("kms:PutKeyPolicy", &arn, base, &new, false).map_err(|_| {
        Refused::new(
            "MalformedPolicyDocumentException",
            "The new key policy will not allow you to update the key policy in the future.",
        )
    })
}

/// Key policies as they were last read, so that one is read when it changes and not when it is used.
#[derive(Default)]
pub(super) struct ReadPolicies(Mutex<HashMap<String, Kept>>);

/// A policy, and the text it was read from; without one, the policy that every key begins with.
type Kept = (Option<String>, Arc<Policy>);

/// Keys whose policies are kept; beyond, all are read anew once.
const KEPT_MAX: usize = 10_000;

impl ReadPolicies {
    fn of(&self, arn: &str, text: Option<String>) -> Result<Arc<Policy>, Refused> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, policy)) = kept.get(arn)
            && *of == text
        {
            return Ok(Arc::clone(policy));
        }
        let whole = text.clone().unwrap_or_else(policy::whole_account);
        // What is not a policy grants nothing; it was checked when it was put there.
        let policy = Policy::read("key policy", &whole, Kind::Resource).map_err(|mistakes| {
            tracing::error!(key = arn, %mistakes, "the key's policy cannot be used");
            Refused::new("AccessDeniedException", "the key's policy cannot be used")
        })?;
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        let policy = Arc::new(policy);
        kept.insert(arn.to_owned(), (text, Arc::clone(&policy)));
        Ok(policy)
    }
}

fn acts<'a>(keys: &LocalKeys, name: &'a str, body: &Value) -> Result<Vec<Act<'a>>, Refused> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let pairs = |name: &str| body.get(name).map_or_else(|| Ok(Pairs::new()), read);
    // Without its blob an operation has nothing to decide on, and says so itself.
    let made_by = || -> Result<Option<String>, Refused> {
        let blob: Option<Blob> = body.get("CiphertextBlob").map(read).transpose()?;
        let key = blob.and_then(|blob| LocalKeys::key_of(&blob.0));
        key.map(Some).ok_or_else(|| Refused::new("InvalidCiphertextException", ""))
    };
    let one = |key: Option<String>, pairs: Pairs| vec![Act { action: name, key, pairs }];
    Ok(match name {
        "CreateKey" | "ListKeys" | "GenerateRandom" | "ListRetirableGrants" => {
            one(None, Pairs::new())
        }
        "ListAliases" => one(text("KeyId"), Pairs::new()),
        "CreateAlias" | "UpdateAlias" => one(text("TargetKeyId"), Pairs::new()),
        "DeleteAlias" => one(text("AliasName"), Pairs::new()),
        "RetireGrant" => {
            let grant = text("GrantId").or_else(|| text("GrantToken")).unwrap_or_default();
            let key = match text("KeyId") {
                Some(key) => Some(key),
                None => policy::key_of_grant(keys, &grant)?,
            };
            one(key, Pairs::new())
        }
        "Decrypt" => one(made_by()?, pairs("EncryptionContext")?),
        "ReEncrypt" => vec![
            Act {
                action: "ReEncryptFrom",
                key: made_by()?,
                pairs: pairs("SourceEncryptionContext")?,
            },
            Act {
                action: "ReEncryptTo",
                key: text("DestinationKeyId"),
                pairs: pairs("DestinationEncryptionContext")?,
            },
        ],
        _ => one(
            Some(text("KeyId").ok_or_else(|| Refused::invalid("KeyId is missing"))?),
            pairs("EncryptionContext")?,
        ),
    })
}
