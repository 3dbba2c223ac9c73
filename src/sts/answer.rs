//! What is asked and answered: a form comes in, XML goes out.

use std::collections::BTreeMap;

use crate::fault::{Fault, Kind};
use crate::iam;
use crate::iam::sigv4::Refusal;
use crate::iam::state::{Asked, State};
use crate::iam::time::iso;

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Who asks.
pub(super) struct Caller<'a> {
    pub(super) arn: &'a str,
    pub(super) user_id: &'a str,
}

/// Why something was not done.
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
}

impl Refused {
    pub(super) fn new(status: u16, code: &str, message: impl Into<String>) -> Refused {
        Refused { status, code: code.into(), message: message.into() }
    }

    pub(super) fn xml(&self, request: &str) -> String {
        let Refused { code, message, .. } = self;
        let (code, message) = (escaped(code), escaped(message));
        format!(
            "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code>\
             <Message>{message}</Message></Error><RequestId>{request}</RequestId></ErrorResponse>"
        )
    }
}

#[expect(clippy::needless_pass_by_value, reason = "called by map_err")]
pub(super) fn stranger(why: Refusal) -> Refused {
    Refused::new(why.status(), why.code(), why.to_string())
}

impl From<iam::Error> for Refused {
    fn from(why: iam::Error) -> Refused {
        match (&why, why.kind()) {
            // Whether there is such a role is not a stranger's to know.
            (_, Kind::Denied) | (iam::Error::NoSuchEntity { .. }, _) => {
                Refused::new(403, "AccessDenied", format!("not authorized: {why}"))
            }
            (iam::Error::MalformedPolicy(_), _) => {
                Refused::new(400, "MalformedPolicyDocument", why.to_string())
            }
            (_, Kind::Caller) => Refused::new(400, "ValidationError", why.to_string()),
            _ => {
                tracing::error!(%why, "the state could not be used");
                Refused::new(500, "InternalFailure", "the state could not be used")
            }
        }
    }
}

/// The parameters of a request.
pub(super) fn form(body: &[u8]) -> BTreeMap<String, String> {
    let pairs = url::form_urlencoded::parse(body);
    pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// Does what `form` asks for, and answers in XML.
pub(super) fn answer(
    state: &State,
    caller: &Caller<'_>,
    form: &BTreeMap<String, String>,
    request: &str,
) -> Result<String, Refused> {
    let text = |name: &str| form.get(name).map(String::as_str);
    let result = match text("Action").unwrap_or_default() {
        "GetCallerIdentity" => {
            let account = caller.arn.split(':').nth(4).unwrap_or_default();
            tags(&[("Arn", caller.arn), ("UserId", caller.user_id), ("Account", account)])
        }
        "AssumeRole" => {
            let needed = |name: &str| {
                text(name).ok_or_else(|| {
                    Refused::new(400, "ValidationError", format!("{name} is missing"))
                })
            };
            let duration_s =
                text("DurationSeconds").map(str::parse::<i64>).transpose().map_err(|_| {
                    Refused::new(400, "ValidationError", "DurationSeconds is not a number")
                })?;
            let asked = Asked {
                role: needed("RoleArn")?.rsplit('/').next().unwrap_or_default(),
                name: needed("RoleSessionName")?,
                policy: text("Policy").map(|policy| ("Policy", policy)),
                duration_s,
                external_id: text("ExternalId"),
            };
            let made = state.change(|all| {
                // A name is not an ARN of another account.
                let role = all.role(asked.role)?;
                let arn = all.role_arn(asked.role, role);
                match needed("RoleArn").is_ok_and(|given| given == arn) {
                    true => all.assume_role(caller.arn, &asked),
                    false => Err(iam::Error::NoSuchEntity {
                        what: "role of this ARN".into(),
                        help: None,
                    }),
                }
            })?;
            let user = tags(&[("AssumedRoleId", &made.id), ("Arn", &made.arn)]);
            let credentials = tags(&[
                ("AccessKeyId", &made.access_key),
                ("SecretAccessKey", made.secret.expose()),
                ("SessionToken", made.token.expose()),
                ("Expiration", &iso(made.expires_s)),
            ]);
            format!(
                "<AssumedRoleUser>{user}</AssumedRoleUser><Credentials>{credentials}</Credentials>"
            )
        }
        other => {
            let message = format!("{other:.64} is not done here");
            return Err(Refused::new(400, "InvalidAction", message));
        }
    };
    let action = text("Action").unwrap_or_default();
    Ok(format!(
        "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>{request}</RequestId></ResponseMetadata></{action}Response>"
    ))
}

fn tags(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(name, text)| format!("<{name}>{}</{name}>", escaped(text))).collect()
}

/// Text as XML has it; what XML cannot have becomes a question mark.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(' '),
            control if control.is_control() => escaped.push('?'),
            other => escaped.push(other),
        }
    }
    escaped
}
