//! The commands that change or show the state, one for each of IAM's operations.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{document, shown};
use crate::cli::{Failure, audited, output};
use crate::iam::state::{Asked, Document, State, Status, Whom};
use crate::iam::time::{self, iso};

#[derive(Debug, Args)]
pub(super) struct UserName {
    /// The user
    #[arg(long, value_name = "NAME")]
    user_name: String,
}

#[derive(Debug, Args)]
pub(super) struct RoleName {
    /// The role
    #[arg(long, value_name = "NAME")]
    role_name: String,
}

#[derive(Debug, Args)]
pub(super) struct PolicyName {
    /// The policy's name
    #[arg(long, value_name = "NAME")]
    policy_name: String,
}

#[derive(Debug, Args)]
pub(super) struct PolicyArn {
    /// The managed policy
    #[arg(long, value_name = "ARN")]
    policy_arn: String,
}

#[derive(Debug, Args)]
pub(super) struct Text {
    /// The policy: a file, or its text
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    policy_document: String,
}

#[derive(Debug, Args)]
pub(super) struct Made {
    /// Groups names: / or /team/
    #[arg(long, value_name = "PATH", default_value = "/")]
    path: String,

    /// The managed policy that bounds what may be granted
    #[arg(long, value_name = "ARN")]
    permissions_boundary: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Boundary {
    /// The managed policy
    #[arg(long, value_name = "ARN")]
    permissions_boundary: String,
}

#[derive(Debug, Args)]
pub(super) struct Tag {
    /// Its key, in policies aws:PrincipalTag/KEY
    #[arg(long)]
    key: String,

    /// Its value
    #[arg(long)]
    value: String,
}

#[derive(Debug, Args)]
pub(super) struct KeyId {
    /// The access key
    #[arg(long, value_name = "KEY")]
    access_key_id: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub(super) enum KeyStatus {
    Active,
    Inactive,
}

#[derive(Debug, Args)]
pub(super) struct Assume {
    /// The role, by ARN or name
    #[arg(long, value_name = "ARN")]
    role_arn: String,

    /// Names the session
    #[arg(long, value_name = "NAME")]
    role_session_name: String,

    /// Who becomes it: a user's name or ARN, or a service such as sagemaker.amazonaws.com
    #[arg(long, value_name = "NAME")]
    caller: String,

    /// Grants no more than this policy: a file, or its text
    #[arg(long, value_name = "FILE")]
    policy: Option<String>,

    /// How long, in seconds [default: 3600]
    #[arg(long, value_name = "SECONDS")]
    duration_seconds: Option<i64>,

    /// Known to both sides
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a user
    CreateUser {
        #[command(flatten)]
        user: UserName,
        #[command(flatten)]
        made: Made,
    },
    /// Show a user
    GetUser {
        #[command(flatten)]
        user: UserName,
    },
    /// List the users
    ListUsers,
    /// Delete a user that has no keys and policies left
    DeleteUser {
        #[command(flatten)]
        user: UserName,
    },
    /// Set a tag of a user
    TagUser {
        #[command(flatten)]
        user: UserName,
        #[command(flatten)]
        tag: Tag,
    },
    /// Make an access key; its secret is shown now and never again
    CreateAccessKey {
        #[command(flatten)]
        user: UserName,
    },
    /// List a user's access keys
    ListAccessKeys {
        #[command(flatten)]
        user: UserName,
    },
    /// Take an access key, or refuse it
    UpdateAccessKey {
        #[command(flatten)]
        user: UserName,
        #[command(flatten)]
        key: KeyId,
        /// Whether it is taken
        #[arg(long)]
        status: KeyStatus,
    },
    /// Delete an access key
    DeleteAccessKey {
        #[command(flatten)]
        user: UserName,
        #[command(flatten)]
        key: KeyId,
    },
    /// Make a role that its trust policy lets others become
    CreateRole {
        #[command(flatten)]
        role: RoleName,
        /// The trust policy: a file, or its text
        #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        assume_role_policy_document: String,
        #[command(flatten)]
        made: Made,
        /// The longest session, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
        max_session_duration: i64,
    },
    /// Show a role
    GetRole {
        #[command(flatten)]
        role: RoleName,
    },
    /// List the roles
    ListRoles,
    /// Delete a role that has no policies left
    DeleteRole {
        #[command(flatten)]
        role: RoleName,
    },
    /// Set a tag of a role
    TagRole {
        #[command(flatten)]
        role: RoleName,
        #[command(flatten)]
        tag: Tag,
    },
    /// Replace a role's trust policy
    UpdateAssumeRolePolicy {
        #[command(flatten)]
        role: RoleName,
        #[command(flatten)]
        text: Text,
    },
    /// Give a user a policy of its own, or replace it
    PutUserPolicy {
        #[command(flatten)]
        user: UserName,
        #[command(flatten)]
        policy: PolicyName,
        #[command(flatten)]
        text: Text,
    },
    /// Give a role a policy of its own, or replace it
    PutRolePolicy {
        #[command(flatten)]
        role: RoleName,
        #[command(flatten)]
        policy: PolicyName,
        #[command(flatten)]
        text: Text,
    },
    /// Show a user's own policy
    GetUserPolicy {
        #[command(flatten)]
        user: UserName,
        #[command(flatten)]
        policy: PolicyName,
    },
    /// Show a role's own policy
    GetRolePolicy {
        #[command(flatten)]
        role: RoleName,
        #[command(flatten)]
        policy: PolicyName,
    },
    /// List a user's own policies
    ListUserPolicies {
        #[command(flatten)]
        user: UserName,
    },
    /// List a role's own policies
    ListRolePolicies {
        #[command(flatten)]
        role: RoleName,
    },
    /// Delete a user's own policy
    DeleteUserPolicy {
        #[command(flatten)]
        user: UserName,
        #[command(flatten)]
        policy: PolicyName,
    },
    /// Delete a role's own policy
    DeleteRolePolicy {
        #[command(flatten)]
        role: RoleName,
        #[command(flatten)]
        policy: PolicyName,
    },
    /// Make a policy that several may have
    CreatePolicy {
        #[command(flatten)]
        policy: PolicyName,
        #[command(flatten)]
        text: Text,
    },
    /// Show a managed policy
    GetPolicy {
        #[command(flatten)]
        policy: PolicyArn,
    },
    /// List the managed policies
    ListPolicies,
    /// Delete a managed policy that nobody has
    DeletePolicy {
        #[command(flatten)]
        policy: PolicyArn,
    },
    /// Give a user a managed policy
    AttachUserPolicy {
        #[command(flatten)]
        user: UserName,
        #[command(flatten)]
        policy: PolicyArn,
    },
    /// Give a role a managed policy
    AttachRolePolicy {
        #[command(flatten)]
        role: RoleName,
        #[command(flatten)]
        policy: PolicyArn,
    },
    /// Take a managed policy from a user
    DetachUserPolicy {
        #[command(flatten)]
        user: UserName,
        #[command(flatten)]
        policy: PolicyArn,
    },
    /// Take a managed policy from a role
    DetachRolePolicy {
        #[command(flatten)]
        role: RoleName,
        #[command(flatten)]
        policy: PolicyArn,
    },
    /// List a user's managed policies
    ListAttachedUserPolicies {
        #[command(flatten)]
        user: UserName,
    },
    /// List a role's managed policies
    ListAttachedRolePolicies {
        #[command(flatten)]
        role: RoleName,
    },
    /// Bound what a user may be granted
    PutUserPermissionsBoundary {
        #[command(flatten)]
        user: UserName,
        #[command(flatten)]
        boundary: Boundary,
    },
    /// Bound what a role may be granted
    PutRolePermissionsBoundary {
        #[command(flatten)]
        role: RoleName,
        #[command(flatten)]
        boundary: Boundary,
    },
    /// Take a user's boundary away
    DeleteUserPermissionsBoundary {
        #[command(flatten)]
        user: UserName,
    },
    /// Take a role's boundary away
    DeleteRolePermissionsBoundary {
        #[command(flatten)]
        role: RoleName,
    },
    /// Become a role for a while, if its trust policy says so
    AssumeRole(Assume),
}

/// Runs one, and writes what IAM would answer; what it answers with nothing writes nothing.
pub(super) fn run(command: &Command, state: &State) -> Result<(), Failure> {
    // A command is named as IAM's operation is.
    let shown = format!("{command:?}");
    let name = shown.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    if name.starts_with("Get") || name.starts_with("List") {
        return work(command, state);
    }
    let source = if name == "AssumeRole" { "sts.amazonaws.com" } else { "iam.amazonaws.com" };
    audited::by_hand(source, name, || work(command, state))
}

fn work(command: &Command, state: &State) -> Result<(), Failure> {
    use Command as C;
    let user = |user: &'_ UserName| user.user_name.clone();
    let role = |role: &'_ RoleName| role.role_name.clone();
    let answer = match command {
        C::CreateUser { user: UserName { user_name: name }, made } => {
            let boundary = made.permissions_boundary.as_deref();
            state.change(|all| {
                all.create_user(name, &made.path, boundary)?;
                Ok(json!({ "User": shown::user(all, name, all.user(name)?) }))
            })?
        }
        C::GetUser { user: UserName { user_name: name } } => {
            let all = state.read()?;
            json!({ "User": shown::user(&all, name, all.user(name)?) })
        }
        C::ListUsers => {
            let all = state.read()?;
            let users = all.users.iter().map(|(name, user)| shown::user(&all, name, user));
            json!({ "Users": users.collect::<Value>() })
        }
        C::CreateAccessKey { user: UserName { user_name: name } } => {
            let key = state.change(|all| all.create_access_key(name))?;
            let mut shown = shown::key(name, &key);
            // The one time it is told.
            shown["SecretAccessKey"] = json!(key.secret.expose());
            json!({ "AccessKey": shown })
        }
        C::ListAccessKeys { user: UserName { user_name: name } } => {
            let all = state.read()?;
            let keys = all.user(name)?.keys.iter().map(|key| shown::key(name, key));
            json!({ "AccessKeyMetadata": keys.collect::<Value>() })
        }
        C::UpdateAccessKey { user: of, key, status } => {
            let status = match status {
                KeyStatus::Active => Status::Active,
                KeyStatus::Inactive => Status::Inactive,
            };
            state.change(|all| all.update_access_key(&user(of), &key.access_key_id, status))?;
            Value::Null
        }
        C::DeleteAccessKey { user: of, key } => {
            state.change(|all| all.delete_access_key(&user(of), &key.access_key_id))?;
            Value::Null
        }
        C::CreateRole {
            role: RoleName { role_name: name },
            assume_role_policy_document,
            made,
            max_session_duration,
        } => {
            let (file, trust) = document(assume_role_policy_document)?;
            let boundary = made.permissions_boundary.as_deref();
            state.change(|all| {
                let trust = (file.as_str(), trust.as_str());
                all.create_role(name, &made.path, trust, boundary, *max_session_duration)?;
                Ok(json!({ "Role": shown::role(all, name, all.role(name)?) }))
            })?
        }
        C::GetRole { role: RoleName { role_name: name } } => {
            let all = state.read()?;
            json!({ "Role": shown::role(&all, name, all.role(name)?) })
        }
        C::ListRoles => {
            let all = state.read()?;
            let roles = all.roles.iter().map(|(name, role)| shown::role(&all, name, role));
            json!({ "Roles": roles.collect::<Value>() })
        }
        C::UpdateAssumeRolePolicy { role: of, text } => {
            let (file, text) = document(&text.policy_document)?;
            state.change(|all| all.update_assume_role_policy(&role(of), (&file, &text)))?;
            Value::Null
        }
        C::CreatePolicy { policy, text } => {
            let (file, text) = document(&text.policy_document)?;
            state.change(|all| {
                let arn = all.create_policy(&policy.policy_name, (&file, &text))?;
                Ok(json!({ "Policy": shown::managed(&arn, all.policy(&arn)?) }))
            })?
        }
        C::GetPolicy { policy: PolicyArn { policy_arn: arn } } => {
            let all = state.read()?;
            let policy = all.policy(arn)?;
            json!({
                "Policy": shown::managed(arn, policy),
                "PolicyVersion": { "Document": shown::policy_text(&policy.text) },
            })
        }
        C::ListPolicies => {
            let all = state.read()?;
            let policies = all.policies.iter().map(|(arn, policy)| shown::managed(arn, policy));
            json!({ "Policies": policies.collect::<Value>() })
        }
        C::DeletePolicy { policy } => {
            state.change(|all| all.delete_policy(&policy.policy_arn))?;
            Value::Null
        }
        C::AssumeRole(assume) => assumed(assume, state)?,
        C::DeleteUser { user: of } => {
            state.change(|all| all.delete(Whom::User(&user(of))))?;
            Value::Null
        }
        C::DeleteRole { role: of } => {
            state.change(|all| all.delete(Whom::Role(&role(of))))?;
            Value::Null
        }
        C::TagUser { user: of, tag } => {
            state.change(|all| all.tag(Whom::User(&user(of)), &tag.key, &tag.value))?;
            Value::Null
        }
        C::TagRole { role: of, tag } => {
            state.change(|all| all.tag(Whom::Role(&role(of)), &tag.key, &tag.value))?;
            Value::Null
        }
        C::PutUserPolicy { user: of, policy, text } => {
            put(state, Whom::User(&user(of)), policy, text)?
        }
        C::PutRolePolicy { role: of, policy, text } => {
            put(state, Whom::Role(&role(of)), policy, text)?
        }
        C::GetUserPolicy { user: of, policy } => {
            inline(&state.read()?, Whom::User(&user(of)), policy)?
        }
        C::GetRolePolicy { role: of, policy } => {
            inline(&state.read()?, Whom::Role(&role(of)), policy)?
        }
        C::ListUserPolicies { user: of } => inlines(&state.read()?, Whom::User(&user(of)))?,
        C::ListRolePolicies { role: of } => inlines(&state.read()?, Whom::Role(&role(of)))?,
        C::DeleteUserPolicy { user: of, policy } => {
            let name = &policy.policy_name;
            state.change(|all| all.delete_inline_policy(Whom::User(&user(of)), name))?;
            Value::Null
        }
        C::DeleteRolePolicy { role: of, policy } => {
            let name = &policy.policy_name;
            state.change(|all| all.delete_inline_policy(Whom::Role(&role(of)), name))?;
            Value::Null
        }
        C::AttachUserPolicy { user: of, policy } => {
            state.change(|all| all.attach(Whom::User(&user(of)), &policy.policy_arn))?;
            Value::Null
        }
        C::AttachRolePolicy { role: of, policy } => {
            state.change(|all| all.attach(Whom::Role(&role(of)), &policy.policy_arn))?;
            Value::Null
        }
        C::DetachUserPolicy { user: of, policy } => {
            state.change(|all| all.detach(Whom::User(&user(of)), &policy.policy_arn))?;
            Value::Null
        }
        C::DetachRolePolicy { role: of, policy } => {
            state.change(|all| all.detach(Whom::Role(&role(of)), &policy.policy_arn))?;
            Value::Null
        }
        C::ListAttachedUserPolicies { user: of } => {
            attached(&state.read()?, Whom::User(&user(of)))?
        }
        C::ListAttachedRolePolicies { role: of } => {
            attached(&state.read()?, Whom::Role(&role(of)))?
        }
        C::PutUserPermissionsBoundary { user: of, boundary } => {
            let arn = Some(boundary.permissions_boundary.as_str());
            state.change(|all| all.set_boundary(Whom::User(&user(of)), arn))?;
            Value::Null
        }
        C::PutRolePermissionsBoundary { role: of, boundary } => {
            let arn = Some(boundary.permissions_boundary.as_str());
            state.change(|all| all.set_boundary(Whom::Role(&role(of)), arn))?;
            Value::Null
        }
        C::DeleteUserPermissionsBoundary { user: of } => {
            state.change(|all| all.set_boundary(Whom::User(&user(of)), None))?;
            Value::Null
        }
        C::DeleteRolePermissionsBoundary { role: of } => {
            state.change(|all| all.set_boundary(Whom::Role(&role(of)), None))?;
            Value::Null
        }
    };
    match answer {
        Value::Null => Ok(()),
        answer => output::write(&output::json(&answer)),
    }
}

fn put(state: &State, whom: Whom<'_>, name: &PolicyName, text: &Text) -> Result<Value, Failure> {
    let (file, text) = document(&text.policy_document)?;
    state.change(|all| all.put_policy(whom, &name.policy_name, (&file, &text)))?;
    Ok(Value::Null)
}

fn inline(all: &Document, whom: Whom<'_>, name: &PolicyName) -> Result<Value, Failure> {
    let text = all.inline_policy(whom, &name.policy_name)?;
    let kind = if matches!(whom, Whom::User(_)) { "UserName" } else { "RoleName" };
    let (Whom::User(of) | Whom::Role(of)) = whom;
    Ok(json!({
        kind: of,
        "PolicyName": name.policy_name,
        "PolicyDocument": shown::policy_text(text),
    }))
}

fn inlines(all: &Document, whom: Whom<'_>) -> Result<Value, Failure> {
    let names: Vec<&String> = all.holder(whom)?.inline.keys().collect();
    Ok(json!({ "PolicyNames": names }))
}

fn attached(all: &Document, whom: Whom<'_>) -> Result<Value, Failure> {
    let arns = all.holder(whom)?.attached.iter();
    let shown = arns.map(|arn| {
        let name = arn.rsplit('/').next().unwrap_or_default();
        json!({ "PolicyName": name, "PolicyArn": arn })
    });
    Ok(json!({ "AttachedPolicies": shown.collect::<Value>() }))
}

fn assumed(assume: &Assume, state: &State) -> Result<Value, Failure> {
    let policy = assume.policy.as_deref().map(document).transpose()?;
    let role = assume.role_arn.rsplit('/').next().unwrap_or_default();
    let credentials = state.change(|all| {
        let caller = match all.users.get(&assume.caller) {
            Some(user) => all.user_arn(&assume.caller, user),
            None => assume.caller.clone(),
        };
        let asked = Asked {
            role,
            name: &assume.role_session_name,
            policy: policy.as_ref().map(|(file, text)| (file.as_str(), text.as_str())),
            duration_s: assume.duration_seconds,
            external_id: assume.external_id.as_deref(),
        };
        all.assume_role(&caller, &asked)
    })?;
    tracing::debug!(at = %iso(time::now()), arn = credentials.arn, "role assumed");
    Ok(json!({
        "Credentials": {
            "AccessKeyId": credentials.access_key,
            "SecretAccessKey": credentials.secret.expose(),
            "SessionToken": credentials.token.expose(),
            "Expiration": iso(credentials.expires_s),
        },
        "AssumedRoleUser": { "AssumedRoleId": credentials.id, "Arn": credentials.arn },
    }))
}
