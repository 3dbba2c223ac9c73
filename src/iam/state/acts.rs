//! What can be done to the state, under IAM's names and by its rules. Each act changes all of what
//! it says or nothing.

use std::collections::BTreeMap;
use std::fmt;

use super::document::{AccessKey, Document, Holder, ManagedPolicy, Role, Status, User};
use crate::iam::error::Error;
use crate::iam::policy::{Kind, Policy};
use crate::iam::sigv4::Secret;
use crate::iam::time;
use crate::spec::limit::{ACCESS_KEYS_MAX, ATTACHED_POLICIES_MAX, PRINCIPALS_MAX};
use crate::spec::problem::{nearest, shortened};

/// A user or a role, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom<'a> {
    /// A user.
    User(&'a str),
    /// A role.
    Role(&'a str),
}

impl fmt::Display for Whom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Whom::User(name) => write!(f, "user {}", shortened(name)),
            Whom::Role(name) => write!(f, "role {}", shortened(name)),
        }
    }
}

fn missing(
    what: impl fmt::Display,
    given: &str,
    known: impl IntoIterator<Item = impl AsRef<str>>,
) -> Error {
    let known: Vec<String> = known.into_iter().map(|name| name.as_ref().to_owned()).collect();
    let near = nearest(given, known.iter().map(String::as_str));
    let help = near.map(|near| format!("did you mean {near}?"));
    Error::NoSuchEntity { what: what.to_string(), help }
}

/// IAM's rule for names.
fn check_name(what: &str, name: &str, longest: usize) -> Result<(), Error> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    match (1..=longest).contains(&name.len()) && name.chars().all(fits) {
        true => Ok(()),
        false => Err(Error::InvalidInput {
            what: format!("{:?} is not a {what}", shortened(name)),
            help: format!("write 1 to {longest} letters, digits and _ + = , . @ -"),
        }),
    }
}

fn check_path(path: &str) -> Result<(), Error> {
    let inner = path
        .strip_prefix('/')
        .and_then(|rest| if rest.is_empty() { Some("") } else { rest.strip_suffix('/') });
    let fits = |c: char| c.is_ascii_graphic() && c != '*' && c != '?' && c != ':';
    match path.len() <= 512 && inner.is_some_and(|inner| inner.chars().all(fits)) {
        true => Ok(()),
        false => Err(Error::InvalidInput {
            what: format!("{:?} is not a path", shortened(path)),
            help: "write / or /team/".into(),
        }),
    }
}

/// Fresh letters and digits behind `head`, as AWS makes ids.
pub(super) fn fresh_id(head: &str) -> Result<String, Error> {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bytes = [0; 16];
    random(&mut bytes)?;
    let letters = bytes.iter().map(|byte| LETTERS[usize::from(byte & 31)] as char);
    Ok(head.chars().chain(letters).collect())
}

/// A fresh secret: 240 random bits in 40 characters.
pub(super) fn fresh_secret() -> Result<Secret, Error> {
    use base64::Engine;
    let mut bytes = zeroize::Zeroizing::new([0; 30]);
    random(&mut bytes[..])?;
    Ok(Secret::new(base64::engine::general_purpose::STANDARD.encode(&bytes[..])))
}

pub(super) fn random(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|why| Error::Random { why: why.to_string() })
}

fn holder(path: &str, head: &str, boundary: Option<&str>) -> Result<Holder, Error> {
    check_path(path)?;
    Ok(Holder {
        path: path.into(),
        id: fresh_id(head)?,
        created_s: time::now(),
        inline: BTreeMap::new(),
        attached: Vec::new(),
        boundary: boundary.map(String::from),
        tags: BTreeMap::new(),
    })
}

impl Document {
    /// The user or role.
    ///
    /// # Errors
    /// [`Error::NoSuchEntity`].
    pub fn holder(&self, whom: Whom<'_>) -> Result<&Holder, Error> {
        match whom {
            Whom::User(name) => self.user(name).map(|user| &user.holder),
            Whom::Role(name) => self.role(name).map(|role| &role.holder),
        }
    }

    /// The user.
    ///
    /// # Errors
    /// [`Error::NoSuchEntity`].
    pub fn user(&self, name: &str) -> Result<&User, Error> {
        self.users.get(name).ok_or_else(|| missing(Whom::User(name), name, self.users.keys()))
    }

    /// The role.
    ///
    /// # Errors
    /// [`Error::NoSuchEntity`].
    pub fn role(&self, name: &str) -> Result<&Role, Error> {
        self.roles.get(name).ok_or_else(|| missing(Whom::Role(name), name, self.roles.keys()))
    }

    /// The managed policy.
    ///
    /// # Errors
    /// [`Error::NoSuchEntity`].
    pub fn policy(&self, arn: &str) -> Result<&ManagedPolicy, Error> {
        let what = format!("policy {}", shortened(arn));
        self.policies.get(arn).ok_or_else(|| missing(what, arn, self.policies.keys()))
    }

    fn holder_mut(&mut self, whom: Whom<'_>) -> Result<&mut Holder, Error> {
        self.holder(whom)?;
        let found = match whom {
            Whom::User(name) => self.users.get_mut(name).map(|user| &mut user.holder),
            Whom::Role(name) => self.roles.get_mut(name).map(|role| &mut role.holder),
        };
        Ok(found.expect("it was found a moment ago"))
    }

    fn check_new(&self, whom: Whom<'_>, boundary: Option<&str>) -> Result<(), Error> {
        let (name, taken) = match whom {
            Whom::User(name) => (name, self.users.contains_key(name)),
            Whom::Role(name) => (name, self.roles.contains_key(name)),
        };
        check_name("name", name, 64)?;
        if taken {
            return Err(Error::EntityAlreadyExists { what: whom.to_string() });
        }
        if self.users.len() + self.roles.len() >= PRINCIPALS_MAX {
            let what = format!("there are {PRINCIPALS_MAX} users and roles, and no more may be");
            return Err(Error::LimitExceeded { what });
        }
        boundary.map_or(Ok(()), |arn| self.policy(arn).map(drop))
    }

    /// IAM's `CreateUser`.
    ///
    /// # Errors
    /// When the name is taken or not one, or the boundary is not there.
    pub fn create_user(
        &mut self,
        name: &str,
        path: &str,
        boundary: Option<&str>,
    ) -> Result<&User, Error> {
        self.check_new(Whom::User(name), boundary)?;
        let user = User { holder: holder(path, "AIDA", boundary)?, keys: Vec::new() };
        Ok(self.users.entry(name.into()).or_insert(user))
    }

    /// IAM's `CreateRole`.
    ///
    /// # Errors
    /// As [`Document::create_user`], and when the trust policy is wrong.
    pub fn create_role(
        &mut self,
        name: &str,
        path: &str,
        trust: (&str, &str),
        boundary: Option<&str>,
        session_s_max: i64,
    ) -> Result<&Role, Error> {
        self.check_new(Whom::Role(name), boundary)?;
        if !(3_600..=43_200).contains(&session_s_max) {
            return Err(Error::InvalidInput {
                what: format!("a session of {session_s_max} seconds cannot be"),
                help: "write 3600 to 43200".into(),
            });
        }
        let (file, trust) = trust;
        Policy::read(file, trust, Kind::Trust)?;
        let holder = holder(path, "AROA", boundary)?;
        let role = Role { holder, trust: trust.into(), session_s_max };
        Ok(self.roles.entry(name.into()).or_insert(role))
    }

    /// IAM's `UpdateAssumeRolePolicy`.
    ///
    /// # Errors
    /// When there is no such role, or the policy is wrong.
    pub fn update_assume_role_policy(
        &mut self,
        role: &str,
        (file, text): (&str, &str),
    ) -> Result<(), Error> {
        self.role(role)?;
        Policy::read(file, text, Kind::Trust)?;
        self.roles.get_mut(role).expect("it was found a moment ago").trust = text.into();
        Ok(())
    }

    /// IAM's `DeleteUser` and `DeleteRole`: only once nothing hangs on it.
    ///
    /// # Errors
    /// [`Error::DeleteConflict`] says what does.
    pub fn delete(&mut self, whom: Whom<'_>) -> Result<(), Error> {
        let holder = self.holder(whom)?;
        let keys = match whom {
            Whom::User(name) => self.user(name)?.keys.len(),
            Whom::Role(_) => 0,
        };
        let hanging = [
            ("access keys", keys),
            ("policies of its own", holder.inline.len()),
            ("attached policies", holder.attached.len()),
        ];
        if let Some((what, count)) = hanging.iter().find(|(_, count)| *count > 0) {
            let what = format!("{whom} has {count} {what}: delete or detach them first");
            return Err(Error::DeleteConflict { what });
        }
        match whom {
            Whom::User(name) => drop(self.users.remove(name)),
            Whom::Role(name) => drop(self.roles.remove(name)),
        }
        Ok(())
    }

    /// IAM's `PutUserPolicy` and `PutRolePolicy`.
    ///
    /// # Errors
    /// When there is no such user or role, or the policy is wrong.
    pub fn put_policy(
        &mut self,
        whom: Whom<'_>,
        name: &str,
        (file, text): (&str, &str),
    ) -> Result<(), Error> {
        check_name("policy's name", name, 128)?;
        Policy::read(file, text, Kind::Identity)?;
        self.holder_mut(whom)?.inline.insert(name.into(), text.into());
        Ok(())
    }

    /// IAM's `GetUserPolicy` and `GetRolePolicy`.
    ///
    /// # Errors
    /// [`Error::NoSuchEntity`].
    pub fn inline_policy(&self, whom: Whom<'_>, name: &str) -> Result<&str, Error> {
        let holder = self.holder(whom)?;
        holder.inline.get(name).map(String::as_str).ok_or_else(|| {
            let what = format!("policy {} of {whom}", shortened(name));
            missing(what, name, holder.inline.keys())
        })
    }

    /// IAM's `DeleteUserPolicy` and `DeleteRolePolicy`.
    ///
    /// # Errors
    /// [`Error::NoSuchEntity`].
    pub fn delete_inline_policy(&mut self, whom: Whom<'_>, name: &str) -> Result<(), Error> {
        let holder = self.holder_mut(whom)?;
        match holder.inline.remove(name) {
            Some(_) => Ok(()),
            None => {
                let what = format!("policy {} of {whom}", shortened(name));
                Err(missing(what, name, holder.inline.keys()))
            }
        }
    }

    /// IAM's `CreatePolicy`; gives its ARN.
    ///
    /// # Errors
    /// When the name is taken or not one, or the policy is wrong.
    pub fn create_policy(
        &mut self,
        name: &str,
        (file, text): (&str, &str),
    ) -> Result<String, Error> {
        check_name("policy's name", name, 128)?;
        let arn = format!("arn:aws:iam::{}:policy/{name}", self.account);
        if self.policies.contains_key(&arn) {
            return Err(Error::EntityAlreadyExists { what: format!("policy {name}") });
        }
        Policy::read(file, text, Kind::Identity)?;
        let policy = ManagedPolicy {
            name: name.into(),
            id: fresh_id("ANPA")?,
            created_s: time::now(),
            text: text.into(),
        };
        self.policies.insert(arn.clone(), policy);
        Ok(arn)
    }

    /// IAM's `DeletePolicy`: only once nobody has it.
    ///
    /// # Errors
    /// [`Error::DeleteConflict`] says who has.
    pub fn delete_policy(&mut self, arn: &str) -> Result<(), Error> {
        self.policy(arn)?;
        let users = self.users.iter().map(|(name, user)| (Whom::User(name), &user.holder));
        let roles = self.roles.iter().map(|(name, role)| (Whom::Role(name), &role.holder));
        let has = |holder: &Holder| {
            holder.attached.iter().any(|other| other == arn)
                || holder.boundary.as_deref() == Some(arn)
        };
        if let Some((whom, _)) = users.chain(roles).find(|(_, holder)| has(holder)) {
            let what = format!("{whom} has the policy: detach it first");
            return Err(Error::DeleteConflict { what });
        }
        self.policies.remove(arn);
        Ok(())
    }

    /// IAM's `AttachUserPolicy` and `AttachRolePolicy`. Doing it twice is doing it once.
    ///
    /// # Errors
    /// When there is no such policy, user or role, or there are too many.
    pub fn attach(&mut self, whom: Whom<'_>, arn: &str) -> Result<(), Error> {
        self.policy(arn)?;
        let holder = self.holder_mut(whom)?;
        if holder.attached.iter().any(|other| other == arn) {
            return Ok(());
        }
        if holder.attached.len() >= ATTACHED_POLICIES_MAX {
            let what = format!("{whom} has {ATTACHED_POLICIES_MAX} policies, and no more may be");
            return Err(Error::LimitExceeded { what });
        }
        holder.attached.push(arn.into());
        Ok(())
    }

    /// IAM's `DetachUserPolicy` and `DetachRolePolicy`.
    ///
    /// # Errors
    /// [`Error::NoSuchEntity`].
    pub fn detach(&mut self, whom: Whom<'_>, arn: &str) -> Result<(), Error> {
        let holder = self.holder_mut(whom)?;
        let Some(at) = holder.attached.iter().position(|other| other == arn) else {
            let what = format!("policy {} attached to {whom}", shortened(arn));
            return Err(missing(what, arn, &holder.attached));
        };
        holder.attached.remove(at);
        Ok(())
    }

    /// IAM's `PutUserPermissionsBoundary`, `DeleteRolePermissionsBoundary` and the like.
    ///
    /// # Errors
    /// [`Error::NoSuchEntity`].
    pub fn set_boundary(&mut self, whom: Whom<'_>, arn: Option<&str>) -> Result<(), Error> {
        if let Some(arn) = arn {
            self.policy(arn)?;
        }
        self.holder_mut(whom)?.boundary = arn.map(String::from);
        Ok(())
    }

    /// IAM's `TagUser` and `TagRole`.
    ///
    /// # Errors
    /// When there is no such user or role, or the tag is too long.
    pub fn tag(&mut self, whom: Whom<'_>, key: &str, value: &str) -> Result<(), Error> {
        if !(1..=128).contains(&key.chars().count()) || value.chars().count() > 256 {
            return Err(Error::InvalidInput {
                what: format!("{:?} cannot be a tag", shortened(key)),
                help: "keys have 1 to 128 characters, values at most 256".into(),
            });
        }
        let holder = self.holder_mut(whom)?;
        if holder.tags.len() >= 50 && !holder.tags.contains_key(key) {
            let what = format!("{whom} has 50 tags, and no more may be");
            return Err(Error::LimitExceeded { what });
        }
        holder.tags.insert(key.into(), value.into());
        Ok(())
    }

    /// IAM's `CreateAccessKey`. The secret is told now and never again.
    ///
    /// # Errors
    /// When there is no such user, or it has two keys.
    pub fn create_access_key(&mut self, user: &str) -> Result<AccessKey, Error> {
        self.user(user)?;
        let keys = &mut self.users.get_mut(user).expect("it was found a moment ago").keys;
        if keys.len() >= ACCESS_KEYS_MAX {
            let what =
                format!("{} has {} access keys already: delete one", Whom::User(user), keys.len());
            return Err(Error::LimitExceeded { what });
        }
        let key = AccessKey {
            id: fresh_id("AKIA")?,
            secret: fresh_secret()?,
            status: Status::Active,
            created_s: time::now(),
        };
        keys.push(key.clone());
        Ok(key)
    }

    fn key_at(&self, user: &str, id: &str) -> Result<usize, Error> {
        let keys = &self.user(user)?.keys;
        keys.iter().position(|key| key.id == id).ok_or_else(|| {
            let what = format!("access key {} of {}", shortened(id), Whom::User(user));
            missing(what, id, keys.iter().map(|key| &key.id))
        })
    }

    /// IAM's `UpdateAccessKey`.
    ///
    /// # Errors
    /// [`Error::NoSuchEntity`].
    pub fn update_access_key(&mut self, user: &str, id: &str, status: Status) -> Result<(), Error> {
        let at = self.key_at(user, id)?;
        self.users.get_mut(user).expect("it was found a moment ago").keys[at].status = status;
        Ok(())
    }

    /// IAM's `DeleteAccessKey`.
    ///
    /// # Errors
    /// [`Error::NoSuchEntity`].
    pub fn delete_access_key(&mut self, user: &str, id: &str) -> Result<(), Error> {
        let at = self.key_at(user, id)?;
        self.users.get_mut(user).expect("it was found a moment ago").keys.remove(at);
        Ok(())
    }
}
