//! The ARN of a role, as a job or an endpoint names the one it acts with.

use std::fmt;

use super::cursor::Wrong;
use super::train::quoted;

/// A checked ARN of a role: `arn:aws:iam::000000000000:role/team/Train`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoleArn(String);

impl RoleArn {
    /// Reads the ARN of a role.
    ///
    /// # Errors
    /// A sentence saying what is wrong, and one saying how to mend it.
    pub fn parse(text: &str) -> Result<RoleArn, (String, Option<String>)> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let fits = match parts[..] {
            ["arn", partition, "iam", "", account, resource] => {
                let names = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-/".contains(c);
                let path = resource.strip_prefix("role/").unwrap_or_default();
                partition.starts_with("aws")
                    && account.len() == 12
                    && account.bytes().all(|byte| byte.is_ascii_digit())
                    && (1..=576).contains(&path.len())
                    && path.chars().all(names)
                    && path.split('/').all(|part| !part.is_empty())
            }
            _ => false,
        };
        match fits {
            true => Ok(RoleArn(text.to_owned())),
            false => Err(wrong(text)),
        }
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The role's name, without its path.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

fn wrong(text: &str) -> Wrong {
    let help = "write arn:aws:iam::ACCOUNT:role/NAME; smrt iam list-roles tells it".into();
    (format!("{} is not the ARN of a role", quoted(text)), Some(help))
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_role_is_a_role() {
        let good = RoleArn::parse("arn:aws:iam::000000000000:role/team/Train").unwrap();
        assert_eq!(good.name(), "Train");
        for text in [
            "Train",
            "arn:aws:iam::000000000000:user/Train",
            "arn:aws:iam::1:role/Train",
            "arn:aws:iam::000000000000:role/",
            "arn:aws:iam::000000000000:role/a//b",
            "arn:aws:iam::000000000000:role/*",
            "arn:aws:sts::000000000000:assumed-role/Train/x",
        ] {
            assert!(RoleArn::parse(text).is_err(), "{text}");
        }
    }
}
