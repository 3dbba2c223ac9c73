//! Grants: a key's owner lets somebody else use it for some operations, under a context.
//!
//! They are kept and told; whether a caller may act under one is decided where callers are known.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One grant, with KMS's names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Chosen by the grantor, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Who may act.
    pub grantee: String,
    /// Who may retire the grant, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub retiring: String,
    /// `Decrypt`, `GenerateDataKey` …
    pub operations: Vec<String>,
    /// Pairs the request's context must be exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_equals: Option<BTreeMap<String, String>>,
    /// Pairs the request's context must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_subset: Option<BTreeMap<String, String>>,
    /// Seconds since 1970.
    pub created_s: u64,
}

/// The operations a grant may allow.
pub const GRANT_OPERATIONS: [&str; 9] = [
    "Decrypt",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
    "CreateGrant",
    "RetireGrant",
    "DescribeKey",
];

impl Grant {
    /// Whether it lets its grantee do `operation` under `context`.
    pub fn allows(&self, operation: &str, context: &BTreeMap<String, String>) -> bool {
        let subset = |pairs: &BTreeMap<String, String>| {
            pairs.iter().all(|(key, value)| context.get(key) == Some(value))
        };
        self.operations.iter().any(|allowed| allowed == operation)
            && self.context_equals.as_ref().is_none_or(|pairs| pairs == context)
            && self.context_subset.as_ref().is_none_or(subset)
    }
}
