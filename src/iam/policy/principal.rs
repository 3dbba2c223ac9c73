//! Who a statement speaks of.

use super::context::{Named, Principal};

/// One entry of `Principal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PrincipalRule {
    /// `*`.
    Everybody,
    /// All of an account, if the account's own policies agree.
    Account(String),
    /// A user, role or session, by ARN.
    Arn(String),
    /// A service or an identity provider, by its name.
    Named(String),
}

impl PrincipalRule {
    /// An entry below `AWS`; `None` for what is none. Wildcards within an ARN are not taken, as in
    /// AWS.
    pub(super) fn aws(text: &str) -> Option<PrincipalRule> {
        let is_account = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
        if text == "*" {
            return Some(PrincipalRule::Everybody);
        }
        if is_account(text) {
            return Some(PrincipalRule::Account(text.into()));
        }
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, service @ ("iam" | "sts"), "", account, resource] = parts[..] else {
            return None;
        };
        let plain = !text.contains(['*', '?']) && !resource.is_empty() && !partition.is_empty();
        match (plain && is_account(account), service, resource) {
            (false, ..) => None,
            (true, "iam", "root") => Some(PrincipalRule::Account(account.into())),
            (true, ..) => Some(PrincipalRule::Arn(text.into())),
        }
    }

    /// How it names `principal`.
    pub(super) fn names(&self, principal: &Principal) -> Named {
        match self {
            PrincipalRule::Everybody => Named::Everybody,
            PrincipalRule::Account(account) if principal.account() == Some(account) => {
                Named::Account
            }
            PrincipalRule::Arn(arn) | PrincipalRule::Named(arn) if arn == principal.arn() => {
                Named::Itself
            }
            PrincipalRule::Arn(arn) if principal.is_session_of(arn) => Named::Role,
            _ => Named::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_by_itself_by_its_role_and_by_its_account() {
        let session = Principal::new("arn:aws:sts::111122223333:assumed-role/Train/job-1");
        for (text, named) in [
            ("*", Named::Everybody),
            ("111122223333", Named::Account),
            ("arn:aws:iam::111122223333:root", Named::Account),
            ("arn:aws:iam::111122223333:role/Train", Named::Role),
            ("arn:aws:iam::111122223333:role/ml/Train", Named::Role),
            ("arn:aws:sts::111122223333:assumed-role/Train/job-1", Named::Itself),
            ("arn:aws:sts::111122223333:assumed-role/Train/job-2", Named::No),
            ("arn:aws:iam::111122223333:role/Training", Named::No),
            ("444455556666", Named::No),
        ] {
            assert_eq!(PrincipalRule::aws(text).unwrap().names(&session), named, "{text}");
        }
    }

    #[test]
    fn what_names_nobody_is_not_read() {
        for text in ["", "bob", "1234", "arn:aws:iam::111122223333:user/*", "arn:aws:s3:::a"] {
            assert_eq!(PrincipalRule::aws(text), None, "{text}");
        }
    }
}
