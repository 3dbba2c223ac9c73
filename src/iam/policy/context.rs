//! What is known about a request: condition keys and their values, and who asks.

use std::sync::Arc;

/// The condition keys of one request. Names are compared without case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context {
    /// Names in lower case.
    entries: Vec<(String, Vec<String>)>,
}

impl Context {
    /// Nothing is known.
    pub fn new() -> Context {
        Context::default()
    }

    /// Sets the only value of `key`.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.set_all(key, vec![value.into()]);
    }

    /// Sets the only value of a key that is in lower case and was not set before: what a door does
    /// for each request.
    pub fn add(&mut self, key: &str, value: String) {
        debug_assert!(self.values(key).is_empty() && key == key.to_lowercase());
        self.entries.push((key.to_owned(), vec![value]));
    }

    /// Sets all values of `key`; none is as if the key were absent.
    pub fn set_all(&mut self, key: &str, values: Vec<String>) {
        let key = key.to_lowercase();
        self.entries.retain(|(name, _)| *name != key);
        if !values.is_empty() {
            self.entries.push((key, values));
        }
    }

    /// The same with a value, for building in one expression.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Context {
        self.set(key, value);
        self
    }

    /// Values of `key`, which is in lower case; none when it is absent.
    pub(super) fn values(&self, key: &str) -> &[String] {
        let found = self.entries.iter().find(|(name, _)| name == key);
        found.map_or(&[], |(_, values)| values)
    }

    /// The value of `key`, which is in lower case, where there is exactly one.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        match self.values(key) {
            [one] => Some(one),
            _ => None,
        }
    }

    /// Names and values, in the order they were set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.entries.iter().map(|(name, values)| (name.as_str(), values.as_slice()))
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    arn: Arc<str>,
}

/// How the principal of a statement names who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Named {
    /// Not at all.
    No,
    /// By its account: the account's own policies then decide.
    Account,
    /// As everybody.
    Everybody,
    /// By the role behind a session.
    Role,
    /// By its own name.
    Itself,
}

impl Principal {
    /// A user, a role, a session of a role or a service, by ARN or by name.
    pub fn new(arn: impl Into<Arc<str>>) -> Principal {
        Principal { arn: arn.into() }
    }

    /// As given.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// The same, to keep.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.arn)
    }

    /// Its account; `None` for a service.
    pub fn account(&self) -> Option<&str> {
        self.arn.split(':').nth(4).filter(|account| !account.is_empty())
    }

    /// Partition, account and name of the role, where this is a session of one.
    pub(super) fn role(&self) -> Option<(&str, &str, &str)> {
        let parts: Vec<&str> = self.arn.splitn(6, ':').collect();
        let ["arn", partition, "sts", _, account, resource] = parts[..] else { return None };
        let name = resource.strip_prefix("assumed-role/")?.split('/').next()?;
        Some((partition, account, name))
    }

    /// Whether `role` is the ARN of the role behind this session. A session does not know the
    /// role's path.
    pub(super) fn is_session_of(&self, role: &str) -> bool {
        let Some((partition, account, name)) = self.role() else { return false };
        let parts: Vec<&str> = role.splitn(6, ':').collect();
        let ["arn", its_partition, "iam", "", its_account, resource] = parts[..] else {
            return false;
        };
        let its_name = resource.strip_prefix("role/").and_then(|path| path.rsplit('/').next());
        its_partition == partition && its_account == account && its_name == Some(name)
    }
}
