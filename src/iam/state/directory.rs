//! The state as a door needs it: a secret for each access key, and compiled policies for each
//! caller, found without a lock and without reading a policy twice.

use std::collections::HashMap;
use std::sync::Arc;

use super::document::{Document, Holder, Session, Status};
use crate::iam::error::Error;
use crate::iam::policy::{Context, Kind, Policies, Policy, Principal};
use crate::iam::sigv4::{Secret, sha256};
use subtle::ConstantTimeEq;

/// A caller, and all that has a say about it.
#[derive(Debug)]
pub struct Identity {
    /// Who.
    pub principal: Principal,
    identity: Vec<Arc<Policy>>,
    boundary: Option<Arc<Policy>>,
    session: Option<Vec<Arc<Policy>>>,
    context: Context,
}

impl Identity {
    /// Its policies; the resource's can be added.
    pub fn policies(&self) -> Policies<'_> {
        Policies {
            identity: &self.identity,
            boundary: self.boundary.as_deref(),
            session: self.session.as_deref(),
            ..Policies::default()
        }
    }

    /// What is known of every request of it: `aws:PrincipalArn`, `aws:username`, tags and the like.
    pub fn context(&self) -> Context {
        self.context.clone()
    }
}

/// One access key.
#[derive(Debug)]
struct Entry {
    secret: Secret,
    token_sha256: Option<[u8; 32]>,
    expires_s: Option<i64>,
    who: Arc<Identity>,
}

/// Everybody.
#[derive(Debug, Default)]
pub struct Directory {
    keys: HashMap<String, Entry>,
    users: HashMap<String, Arc<Identity>>,
    roles: HashMap<String, Arc<Identity>>,
    account: String,
}

/// What an access key stands for, while it does.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// Its secret.
    pub secret: &'a Secret,
    /// Whose it is.
    pub who: &'a Arc<Identity>,
}

/// Compiles each text once.
#[derive(Default)]
struct Compiler<'a> {
    known: HashMap<&'a str, Arc<Policy>>,
}

/// Policies, and the boundary.
type Compiled = (Vec<Arc<Policy>>, Option<Arc<Policy>>);

impl<'a> Compiler<'a> {
    fn policy(&mut self, name: &str, text: &'a str) -> Result<Arc<Policy>, Error> {
        if let Some(policy) = self.known.get(text) {
            return Ok(Arc::clone(policy));
        }
        let policy = Arc::new(Policy::read(name, text, Kind::Identity)?);
        self.known.insert(text, Arc::clone(&policy));
        Ok(policy)
    }

    fn of(&mut self, document: &'a Document, holder: &'a Holder) -> Result<Compiled, Error> {
        let mut all = Vec::new();
        for (name, text) in &holder.inline {
            all.push(self.policy(name, text)?);
        }
        for arn in &holder.attached {
            all.push(self.policy(arn, &document.policy(arn)?.text)?);
        }
        let boundary = match &holder.boundary {
            Some(arn) => Some(self.policy(arn, &document.policy(arn)?.text)?),
            None => None,
        };
        Ok((all, boundary))
    }
}

fn context(document: &Document, holder: &Holder, arn: &str, kind: &str, userid: &str) -> Context {
    let mut context = Context::new()
        .with("aws:PrincipalArn", arn)
        .with("aws:PrincipalAccount", &*document.account)
        .with("aws:PrincipalType", kind)
        .with("aws:userid", userid);
    for (key, value) in &holder.tags {
        context.set(&format!("aws:PrincipalTag/{key}"), &**value);
    }
    context
}

impl Directory {
    /// Compiles a state.
    ///
    /// # Errors
    /// When a policy in it is wrong: none was when it was written.
    pub fn of(document: &Document, now_s: i64) -> Result<Directory, Error> {
        let mut compiler = Compiler::default();
        let mut directory = Directory { account: document.account.clone(), ..Directory::default() };
        for (name, user) in &document.users {
            let (identity, boundary) = compiler.of(document, &user.holder)?;
            let arn = document.user_arn(name, user);
            let mut context = context(document, &user.holder, &arn, "User", &user.holder.id);
            context.set("aws:username", &**name);
            let who = Arc::new(Identity {
                principal: Principal::new(arn),
                identity,
                boundary,
                session: None,
                context,
            });
            for key in user.keys.iter().filter(|key| key.status == Status::Active) {
                let entry = Entry {
                    secret: key.secret.clone(),
                    token_sha256: None,
                    expires_s: None,
                    who: Arc::clone(&who),
                };
                directory.keys.insert(key.id.clone(), entry);
            }
            directory.users.insert(name.clone(), who);
        }
        for (name, role) in &document.roles {
            let (identity, boundary) = compiler.of(document, &role.holder)?;
            let arn = document.role_arn(name, role);
            let context = context(document, &role.holder, &arn, "AssumedRole", &role.holder.id);
            let principal = Principal::new(arn);
            let who = Identity { principal, identity, boundary, session: None, context };
            directory.roles.insert(name.clone(), Arc::new(who));
        }
        for (key, session) in &document.sessions {
            let entry = directory.session(document, session, now_s, &mut compiler)?;
            directory.keys.extend(entry.map(|entry| (key.clone(), entry)));
        }
        Ok(directory)
    }

    fn session<'a>(
        &self,
        document: &Document,
        session: &'a Session,
        now_s: i64,
        compiler: &mut Compiler<'a>,
    ) -> Result<Option<Entry>, Error> {
        let role = document
            .roles
            .get(&session.role)
            .filter(|role| role.holder.id == session.role_id && session.expires_s > now_s);
        let (Some(role), Some(of_role)) = (role, self.roles.get(&session.role)) else {
            return Ok(None);
        };
        let mut token = [0; 32];
        if hex::decode_to_slice(&session.token_sha256, &mut token).is_err() {
            return Ok(None);
        }
        let arn = format!(
            "arn:aws:sts::{}:assumed-role/{}/{}",
            document.account, session.role, session.name
        );
        // As in AWS, the ARN that conditions see is the role's, not the session's.
        let userid = format!("{}:{}", role.holder.id, session.name);
        let mut context = of_role.context.clone();
        context.set("aws:userid", userid);
        let policies = match &session.policies {
            Some(texts) => {
                let read = texts.iter().map(|text| compiler.policy("session policy", text));
                Some(read.collect::<Result<Vec<_>, _>>()?)
            }
            None => None,
        };
        let who = Identity {
            principal: Principal::new(arn),
            identity: of_role.identity.clone(),
            boundary: of_role.boundary.clone(),
            session: policies,
            context,
        };
        Ok(Some(Entry {
            secret: session.secret.clone(),
            token_sha256: Some(token),
            expires_s: Some(session.expires_s),
            who: Arc::new(who),
        }))
    }

    /// What an access key stands for now, if the session token that came with it is its own: a
    /// session's key has one, a user's has none.
    pub fn key(&self, access_key: &str, token: Option<&str>, now_s: i64) -> Option<Key<'_>> {
        let entry = self.keys.get(access_key)?;
        // Taken of any token, so that the time does not tell whether the key is a session's.
        let digest = token.map(|token| sha256(token.as_bytes()));
        let token_is_its = match (&entry.token_sha256, &digest) {
            (None, None) => true,
            (Some(own), Some(given)) => bool::from(own.ct_eq(given)),
            _ => false,
        };
        let lives = entry.expires_s.is_none_or(|expires_s| now_s < expires_s);
        (token_is_its && lives).then_some(Key { secret: &entry.secret, who: &entry.who })
    }

    /// A user by name: whom a token or a certificate names.
    pub fn user(&self, name: &str) -> Option<&Arc<Identity>> {
        self.users.get(name)
    }

    /// A role by name.
    pub fn role(&self, name: &str) -> Option<&Arc<Identity>> {
        self.roles.get(name)
    }

    /// What a role is while `session` acts with it, without keys of its own.
    pub(super) fn acting(&self, role: &str, role_id: &str, session: &str) -> Option<Identity> {
        let of_role = self.roles.get(role)?;
        let arn = format!("arn:aws:sts::{}:assumed-role/{role}/{session}", self.account);
        let mut context = of_role.context.clone();
        context.set("aws:userid", format!("{role_id}:{session}"));
        Some(Identity {
            principal: Principal::new(arn),
            identity: of_role.identity.clone(),
            boundary: of_role.boundary.clone(),
            session: None,
            context,
        })
    }

    /// The account all of this is in.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Users and roles.
    pub fn len(&self) -> usize {
        self.users.len() + self.roles.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
