//! What the state file holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::iam::sigv4::Secret;
use crate::spec::name::LOCAL_ACCOUNT;

/// Version of the format.
pub(super) const FORMAT: u32 = 1;

/// Everything.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    smrt_iam: u32,
    /// Twelve digits.
    pub account: String,
    /// By name.
    pub users: BTreeMap<String, User>,
    /// By name.
    pub roles: BTreeMap<String, Role>,
    /// By ARN.
    pub policies: BTreeMap<String, ManagedPolicy>,
    /// By access key.
    pub(super) sessions: BTreeMap<String, Session>,
}

/// What a user and a role have in common.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    /// `/` or `/team/`.
    pub path: String,
    /// `AIDA…` or `AROA…`: never used twice, unlike names.
    pub id: String,
    /// Seconds since 1970.
    pub created_s: i64,
    /// Policies of its own, texts by name.
    pub inline: BTreeMap<String, String>,
    /// ARNs of managed policies.
    pub attached: Vec<String>,
    /// ARN of the managed policy that is its permissions boundary.
    pub boundary: Option<String>,
    /// Become `aws:PrincipalTag/…`.
    pub tags: BTreeMap<String, String>,
}

/// A person or a program.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Its policies and the like.
    pub holder: Holder,
    /// At most two, so that one can be replaced by the next.
    pub keys: Vec<AccessKey>,
}

/// What somebody may become for a while.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its policies and the like.
    pub holder: Holder,
    /// Who may become it.
    pub trust: String,
    /// The longest session, in seconds.
    pub session_s_max: i64,
}

/// Whether a key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It is.
    Active,
    /// It is refused as if it were unknown.
    Inactive,
}

/// A key of a user.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    /// `AKIA…`.
    pub id: String,
    /// Its secret.
    #[serde(with = "secret")]
    pub secret: Secret,
    /// Whether it is taken.
    pub status: Status,
    /// Seconds since 1970.
    pub created_s: i64,
}

/// A policy that several may have.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManagedPolicy {
    /// Its name.
    pub name: String,
    /// `ANPA…`.
    pub id: String,
    /// Seconds since 1970.
    pub created_s: i64,
    /// The policy.
    pub text: String,
}

/// A role that somebody has become.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Session {
    #[serde(with = "secret")]
    pub(super) secret: Secret,
    /// Hexadecimal: the token itself is not kept.
    pub(super) token_sha256: String,
    pub(super) role: String,
    /// The role's id then: one of the same name made later is another.
    pub(super) role_id: String,
    pub(super) name: String,
    /// Texts of the session's policies.
    pub(super) policies: Option<Vec<String>>,
    pub(super) expires_s: i64,
}

/// A secret as text, in the sealed file only.
mod secret {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::iam::sigv4::Secret;

    pub(super) fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Secret, D::Error> {
        String::deserialize(from).map(Secret::new)
    }
}

impl Default for Document {
    fn default() -> Document {
        Document {
            smrt_iam: FORMAT,
            account: LOCAL_ACCOUNT.into(),
            users: BTreeMap::new(),
            roles: BTreeMap::new(),
            policies: BTreeMap::new(),
            sessions: BTreeMap::new(),
        }
    }
}

impl Document {
    pub(super) fn format(&self) -> u32 {
        self.smrt_iam
    }

    /// `arn:aws:iam::000000000000:user/team/bob`.
    pub fn user_arn(&self, name: &str, user: &User) -> String {
        format!("arn:aws:iam::{}:user{}{name}", self.account, user.holder.path)
    }

    /// `arn:aws:iam::000000000000:role/Train`.
    pub fn role_arn(&self, name: &str, role: &Role) -> String {
        format!("arn:aws:iam::{}:role{}{name}", self.account, role.holder.path)
    }

    /// Sessions that still run, as access key, role, name and end.
    pub fn sessions(&self, now_s: i64) -> impl Iterator<Item = (&str, &str, &str, i64)> {
        self.sessions.iter().filter(move |(_, session)| session.expires_s > now_s).map(
            |(key, session)| {
                (key.as_str(), session.role.as_str(), session.name.as_str(), session.expires_s)
            },
        )
    }
}
