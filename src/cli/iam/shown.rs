//! Users, roles and policies in the JSON that IAM answers with.

use serde_json::{Map, Value, json};

use crate::iam::state::{AccessKey, Document, Holder, ManagedPolicy, Role, User};
use crate::iam::time::iso;

pub(super) fn user(document: &Document, name: &str, user: &User) -> Value {
    let mut shown = holder("User", name, &user.holder);
    shown.insert("Arn".into(), json!(document.user_arn(name, user)));
    Value::Object(shown)
}

pub(super) fn role(document: &Document, name: &str, role: &Role) -> Value {
    let mut shown = holder("Role", name, &role.holder);
    shown.insert("Arn".into(), json!(document.role_arn(name, role)));
    shown.insert("AssumeRolePolicyDocument".into(), policy_text(&role.trust));
    shown.insert("MaxSessionDuration".into(), json!(role.session_s_max));
    Value::Object(shown)
}

fn holder(kind: &str, name: &str, holder: &Holder) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("Path".into(), json!(holder.path));
    shown.insert(format!("{kind}Name"), json!(name));
    shown.insert(format!("{kind}Id"), json!(holder.id));
    shown.insert("CreateDate".into(), json!(iso(holder.created_s)));
    if let Some(arn) = &holder.boundary {
        let boundary = json!({
            "PermissionsBoundaryType": "Policy",
            "PermissionsBoundaryArn": arn,
        });
        shown.insert("PermissionsBoundary".into(), boundary);
    }
    if !holder.tags.is_empty() {
        let tag = |(key, value): (&String, &String)| json!({ "Key": key, "Value": value });
        shown.insert("Tags".into(), holder.tags.iter().map(tag).collect());
    }
    shown
}

pub(super) fn managed(arn: &str, policy: &ManagedPolicy) -> Value {
    json!({
        "PolicyName": policy.name,
        "PolicyId": policy.id,
        "Arn": arn,
        "CreateDate": iso(policy.created_s),
    })
}

/// Without its secret.
pub(super) fn key(user: &str, key: &AccessKey) -> Value {
    json!({
        "UserName": user,
        "AccessKeyId": key.id,
        "Status": format!("{:?}", key.status),
        "CreateDate": iso(key.created_s),
    })
}

/// A policy as the object it is.
pub(super) fn policy_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}
