//! Which operation a request asks for.

use serde_json::Value;

use super::error::Refused;
use super::wire::Answer;
use super::{keys, policy, usage};
use crate::seal::LocalKeys;

/// An operation on the keys.
type Operation = fn(&LocalKeys, &Value) -> Answer;

/// Every operation this service knows, by KMS's name.
const OPERATIONS: &[(&str, Operation)] = &[
    ("CancelKeyDeletion", keys::cancel_deletion),
    ("CreateAlias", keys::create_alias),
    ("CreateGrant", policy::create_grant),
    ("CreateKey", keys::create),
    ("Decrypt", usage::decrypt),
    ("DeleteAlias", keys::delete_alias),
    ("DescribeKey", keys::describe),
    ("DisableKey", keys::disable),
    ("DisableKeyRotation", keys::disable_rotation),
    ("EnableKey", keys::enable),
    ("EnableKeyRotation", keys::enable_rotation),
    ("Encrypt", usage::encrypt),
    ("GenerateDataKey", usage::generate_data_key),
    ("GenerateDataKeyWithoutPlaintext", usage::generate_data_key_without_plaintext),
    ("GenerateRandom", usage::generate_random),
    ("GetKeyPolicy", policy::get),
    ("GetKeyRotationStatus", keys::rotation_status),
    ("ListAliases", keys::list_aliases),
    ("ListGrants", policy::list_grants),
    ("ListKeyPolicies", policy::list),
    ("ListKeyRotations", keys::list_rotations),
    ("ListKeys", keys::list),
    ("ListResourceTags", keys::list_tags),
    ("ListRetirableGrants", policy::list_retirable_grants),
    ("PutKeyPolicy", policy::put),
    ("ReEncrypt", usage::re_encrypt),
    ("RetireGrant", policy::retire_grant),
    ("RevokeGrant", policy::revoke_grant),
    ("RotateKeyOnDemand", keys::rotate),
    ("ScheduleKeyDeletion", keys::schedule_deletion),
    ("TagResource", keys::tag),
    ("UntagResource", keys::untag),
    ("UpdateAlias", keys::update_alias),
    ("UpdateKeyDescription", keys::update_description),
];

/// Runs the operation `name` with the parameters in `body`.
///
/// # Errors
/// `UnknownOperationException`, `SerializationException`, or the operation's own.
pub(super) fn run(keys: &LocalKeys, name: &str, body: &[u8]) -> Answer {
    let operation = OPERATIONS.binary_search_by_key(&name, |(name, _)| name).map_err(|_| {
        Refused::new("UnknownOperationException", format!("{name:.64} is not done here"))
    })?;
    // serde_json bounds the depth.
    let body: Value = match body {
        [] => super::wire::empty(),
        body => serde_json::from_slice(body)
            .map_err(|error| Refused::new("SerializationException", error.to_string()))?,
    };
    (OPERATIONS[operation].1)(keys, &body)
}

#[cfg(test)]
mod tests {
    #[test]
    fn operations_are_sorted_by_name() {
        assert!(super::OPERATIONS.is_sorted_by_key(|(name, _)| name));
    }
}
