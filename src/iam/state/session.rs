//! STS's `AssumeRole`: somebody becomes a role for a while, if its trust policy says so.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::acts::{fresh_id, fresh_secret, random};
use super::directory::{Directory, Identity};
use super::document::{Document, Session};
use crate::iam::error::Error;
use crate::iam::policy::{Context, Kind, Layer, Policies, Policy, Principal, Request, explain};
use crate::iam::sigv4::{Secret, sha256};
use crate::iam::time;
use crate::spec::limit::SESSIONS_MAX;
use crate::spec::problem::shortened;

/// What a session signs with.
#[derive(Debug)]
pub struct Credentials {
    /// `ASIA…`.
    pub access_key: String,
    /// Its secret.
    pub secret: Secret,
    /// Must come with every signature.
    pub token: Secret,
    /// Seconds since 1970.
    pub expires_s: i64,
    /// `arn:aws:sts::…:assumed-role/ROLE/NAME`.
    pub arn: String,
    /// `AROA…:NAME`.
    pub id: String,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked<'a> {
    /// The role's name.
    pub role: &'a str,
    /// The session's name.
    pub name: &'a str,
    /// File and text of a session policy.
    pub policy: Option<(&'a str, &'a str)>,
    /// How long, in seconds.
    pub duration_s: Option<i64>,
    /// Known to both sides, against the confused deputy.
    pub external_id: Option<&'a str>,
}

const ACTION: &str = "sts:AssumeRole";

impl Document {
    /// STS's `AssumeRole`, by a user (its ARN) or a service (its name).
    ///
    /// # Errors
    /// [`Error::AccessDenied`] unless the role's trust policy names the caller and, where it names
    /// only the account, the caller's own policies agree.
    pub fn assume_role(&mut self, caller: &str, asked: &Asked<'_>) -> Result<Credentials, Error> {
        let now_s = time::now();
        let role = self.role(asked.role)?;
        let arn = self.role_arn(asked.role, role);
        let fits = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        if !(2..=64).contains(&asked.name.len()) || !asked.name.chars().all(fits) {
            return Err(Error::InvalidInput {
                what: format!("{:?} is not a session's name", shortened(asked.name)),
                help: "write 2 to 64 letters, digits and _ + = , . @ -".into(),
            });
        }
        let longest = role.session_s_max;
        let duration_s = asked.duration_s.unwrap_or(3_600);
        if !(900..=longest).contains(&duration_s) {
            return Err(Error::InvalidInput {
                what: format!("a session of {duration_s} seconds cannot be"),
                help: format!("the role allows 900 to {longest}"),
            });
        }
        let directory = Directory::of(self, now_s)?;
        let caller_is = self.user_of(caller, &directory);
        let mut context = Context::new();
        if let Some(id) = asked.external_id {
            context.set("sts:ExternalId", id);
        }
        context.set("sts:RoleSessionName", asked.name);
        check(caller, caller_is.map(AsRef::as_ref), &arn, &role.trust, &context)?;
        let policies = match asked.policy {
            Some((file, text)) => {
                Policy::read(file, text, Kind::Identity)?;
                Some(vec![text.to_owned()])
            }
            None => None,
        };
        let mut token = zeroize::Zeroizing::new([0; 48]);
        random(&mut token[..])?;
        let token = Secret::new(STANDARD.encode(&token[..]));
        let (access_key, secret) = (fresh_id("ASIA")?, fresh_secret()?);
        let id = format!("{}:{}", role.holder.id, asked.name);
        let session = Session {
            secret: secret.clone(),
            token_sha256: hex::encode(sha256(token.expose().as_bytes())),
            role: asked.role.into(),
            role_id: role.holder.id.clone(),
            name: asked.name.into(),
            policies,
            expires_s: now_s + duration_s,
        };
        self.sessions.retain(|_, session| session.expires_s > now_s);
        if self.sessions.len() >= SESSIONS_MAX {
            let what = format!("{SESSIONS_MAX} sessions run, and no more may");
            return Err(Error::LimitExceeded { what });
        }
        self.sessions.insert(access_key.clone(), session);
        let arn =
            format!("arn:aws:sts::{}:assumed-role/{}/{}", self.account, asked.role, asked.name);
        Ok(Credentials { access_key, secret, token, expires_s: now_s + duration_s, arn, id })
    }
}

impl Document {
    /// The user of this ARN.
    pub(super) fn user_of<'d>(
        &self,
        arn: &str,
        directory: &'d Directory,
    ) -> Option<&'d Arc<Identity>> {
        let found = self.users.iter().find(|(name, user)| self.user_arn(name, user) == arn);
        found.and_then(|(name, _)| directory.user(name))
    }
}

/// Whether `trust` lets `caller`, a user's ARN or a service's name, become `role`; `known` is what
/// is known of the request.
pub(super) fn check(
    caller: &str,
    identity: Option<&Identity>,
    role: &str,
    trust: &str,
    known: &Context,
) -> Result<(), Error> {
    let trust = Policy::read("trust policy", trust, Kind::Trust)?;
    let mut context = identity.map_or_else(Context::new, Identity::context);
    for (key, values) in known.iter() {
        context.set_all(key, values.to_vec());
    }
    let principal = Principal::new(caller);
    let request = Request::new(&principal, ACTION, role, &context);
    let own = identity.map_or_else(Policies::default, Identity::policies);
    let policies = Policies { resource: Some(&trust), resource_must_grant: true, ..own };
    let told = explain(&request, ACTION, &policies);
    if told.decision.is_allowed() {
        return Ok(());
    }
    let what = format!("{} may not {ACTION} {role}: {}", shortened(caller), told.because);
    let help = told.missing.map(|(layer, mut statement)| {
        if layer == Layer::Resource {
            // The role itself is the resource of its trust policy.
            statement.as_object_mut().map(|map| map.remove("Resource"));
            let misfits = told.lines.iter().filter_map(|line| line.misfit.as_deref());
            let conditions: Vec<&str> = misfits.filter(|why| why.starts_with("wants ")).collect();
            return match conditions.first() {
                Some(why) => format!("its trust policy {why}"),
                None => format!("its trust policy would need {statement}"),
            };
        }
        format!("{layer} would need {statement}")
    });
    Err(Error::AccessDenied { what, help })
}
