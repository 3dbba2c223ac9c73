//! A policy's text to what is evaluated: every mistake is found, each with its place.
//!
//! Source: IAM User Guide, "Grammar of the IAM JSON policy language". Stricter than AWS where AWS
//! takes what can never mean anything: an operator it does not know, an ARN cut short.

use super::arn::ArnPattern;
use super::condition::{Condition, Operator};
use super::json::{self, At, Entry, Kind as Json, Node};
use super::pattern::{Grammar, Pattern};
use super::principal::PrincipalRule;
use crate::spec::Mistakes;
use crate::spec::limit::{POLICY_BYTES_MAX, POLICY_CHARS_MAX};
use crate::spec::problem::{Problems, nearest, shortened};

/// Where a policy is used, which decides what it must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Of a user, role or session, or a boundary: says what, not who.
    Identity,
    /// Of a resource such as a key: says who may do what.
    Resource,
    /// Of a role: says who may assume it.
    Trust,
}

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Grants.
    Allow,
    /// Forbids, whatever else grants.
    Deny,
}

/// A list of which any must fit, or, negated, none.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Any<T> {
    pub(super) negated: bool,
    pub(super) of: Vec<T>,
}

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Its name, where it has one.
    pub sid: Option<String>,
    /// Its line in the policy.
    pub line: usize,
    /// What it does.
    pub effect: Effect,
    /// `None` in policies that do not say who.
    pub(super) principals: Option<Any<PrincipalRule>>,
    /// In lower case.
    pub(super) actions: Any<Pattern>,
    /// `None` in trust policies.
    pub(super) resources: Option<Any<ArnPattern>>,
    pub(super) conditions: Vec<Condition>,
}

/// A policy that was read without a mistake.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// As messages call it.
    pub name: String,
    /// As written.
    pub text: String,
    /// In their order.
    pub statements: Vec<Statement>,
}

impl Policy {
    /// Reads a policy; `name` is what messages call it.
    ///
    /// # Errors
    /// Every mistake, with key, line and column.
    pub fn read(name: &str, text: &str, kind: Kind) -> Result<Policy, Mistakes> {
        let mut problems = Problems::default();
        let statements = read(text, kind, &mut problems);
        match problems.is_empty() {
            true => Ok(Policy { name: name.into(), text: text.into(), statements }),
            false => {
                let mut mistakes = Mistakes::new(name, problems);
                mistakes.sort();
                Err(mistakes)
            }
        }
    }
}

fn read(text: &str, kind: Kind, problems: &mut Problems) -> Vec<Statement> {
    if text.len() > POLICY_BYTES_MAX {
        let what = format!("the policy has {} bytes, more than {POLICY_BYTES_MAX}", text.len());
        problems.add("", None, what, None);
        return Vec::new();
    }
    let counted = text.chars().filter(|c| !c.is_whitespace()).count();
    if counted > POLICY_CHARS_MAX {
        let what = format!("the policy has {counted} characters, more than {POLICY_CHARS_MAX}");
        let help = Some("white space does not count; attach several policies instead".into());
        problems.add("", None, what, help);
    }
    let Some(root) = json::parse(text, problems) else { return Vec::new() };
    let mut reader = Reader { problems, kind, variables: false };
    reader.document(root)
}

/// What a key holds, taken out of its object.
struct Taken {
    at: At,
    value: Node,
}

struct Reader<'p> {
    problems: &'p mut Problems,
    kind: Kind,
    variables: bool,
}

const TOP: [&str; 3] = ["Version", "Id", "Statement"];
const PARTS: [&str; 9] = [
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

impl Reader<'_> {
    fn wrong(&mut self, key: &str, at: At, what: &str, help: Option<&str>) {
        let what = format!("{what}, at column {}", at.column);
        self.problems.add(key, Some(at.line), what, help.map(String::from));
    }

    /// The values of the known keys of an object; everything else is a mistake.
    fn keys<const N: usize>(
        &mut self,
        path: &str,
        entries: Vec<Entry>,
        known: [&str; N],
    ) -> [Option<Taken>; N] {
        let mut taken = [const { None }; N];
        for Entry { key, at, value } in entries {
            let place = dotted(path, &key);
            match known.iter().position(|name| *name == key) {
                None => {
                    let help = nearest(&key, known).map(|near| format!("did you mean {near}?"));
                    self.wrong(&place, at, "is not a key of a policy", help.as_deref());
                }
                Some(slot) if taken[slot].is_some() => {
                    self.wrong(&place, at, "is given twice", Some("keep one of them"));
                }
                Some(slot) => taken[slot] = Some(Taken { at, value }),
            }
        }
        taken
    }

    fn document(&mut self, root: Node) -> Vec<Statement> {
        let Json::Object(entries) = root.kind else {
            let what = format!("a policy is an object, this is {}", root.kind);
            self.wrong("", root.at, &what, None);
            return Vec::new();
        };
        let [version, id, statement] = self.keys("", entries, TOP);
        if let Some(Taken { value, .. }) = version {
            match &value.kind {
                Json::Text(text) if text == "2012-10-17" => self.variables = true,
                Json::Text(text) if text == "2008-10-17" => {}
                _ => {
                    self.wrong(
                        "Version",
                        value.at,
                        "is not a version of the policy language",
                        Some("write \"2012-10-17\""),
                    );
                    // What follows is judged as it was most likely meant.
                    self.variables = true;
                }
            }
        }
        if let Some(Taken { value, .. }) = id
            && !matches!(value.kind, Json::Text(_))
        {
            self.wrong("Id", value.at, &format!("is {}, not a text", value.kind), None);
        }
        let Some(Taken { at, value }) = statement else {
            self.wrong("Statement", root.at, "is missing", Some("a policy has statements"));
            return Vec::new();
        };
        let nodes = match value.kind {
            Json::List(nodes) => nodes,
            _ => vec![value],
        };
        if nodes.is_empty() {
            self.wrong("Statement", at, "is empty", Some("a policy has statements"));
        }
        let read: Vec<Statement> = nodes
            .into_iter()
            .enumerate()
            .filter_map(|(number, node)| self.statement(&format!("Statement[{number}]"), node))
            .collect();
        for (number, statement) in read.iter().enumerate() {
            let Some(sid) = &statement.sid else { continue };
            if read[..number].iter().any(|other| other.sid.as_ref() == Some(sid)) {
                let what = format!("the Sid {:?} is used twice", shortened(sid));
                let key = format!("Statement[{number}].Sid");
                self.problems.add(key, Some(statement.line), what, None);
            }
        }
        read
    }

    fn statement(&mut self, path: &str, node: Node) -> Option<Statement> {
        let Json::Object(entries) = node.kind else {
            let what = format!("a statement is an object, this is {}", node.kind);
            self.wrong(path, node.at, &what, None);
            return None;
        };
        let [
            sid,
            effect,
            principal,
            not_principal,
            action,
            not_action,
            resource,
            not_resource,
            condition,
        ] = self.keys(path, entries, PARTS);
        let sid = sid.and_then(|taken| self.sid(&dotted(path, "Sid"), taken));
        let effect = self.effect(path, node.at, effect);
        let principals = self.principals(path, node.at, principal, not_principal);
        let actions = self.either(path, node.at, ("Action", action), ("NotAction", not_action));
        let actions = actions.map(|(key, negated, taken)| Any {
            negated,
            of: self.texts(&key, taken, Reader::action),
        });
        let resources = self.resources(path, node.at, resource, not_resource);
        let conditions = match condition {
            Some(taken) => self.conditions(&dotted(path, "Condition"), taken),
            None => Vec::new(),
        };
        Some(Statement {
            sid,
            line: node.at.line,
            effect: effect?,
            principals,
            actions: actions?,
            resources,
            conditions,
        })
    }

    fn sid(&mut self, key: &str, taken: Taken) -> Option<String> {
        let Json::Text(text) = taken.value.kind else {
            let what = format!("is {}, not a text", taken.value.kind);
            self.wrong(key, taken.value.at, &what, None);
            return None;
        };
        if self.kind == Kind::Identity && !text.chars().all(|c| c.is_ascii_alphanumeric()) {
            let help = Some("write letters and digits only");
            self.wrong(key, taken.value.at, "has other characters than a Sid may", help);
        }
        Some(text)
    }

    fn effect(&mut self, path: &str, at: At, taken: Option<Taken>) -> Option<Effect> {
        let key = dotted(path, "Effect");
        let help = Some("write \"Allow\" or \"Deny\"");
        let Some(taken) = taken else {
            self.wrong(&key, at, "is missing", help);
            return None;
        };
        match &taken.value.kind {
            Json::Text(text) if text == "Allow" => Some(Effect::Allow),
            Json::Text(text) if text == "Deny" => Some(Effect::Deny),
            Json::Text(text) => {
                let what = format!("{:?} is not an effect", shortened(text));
                self.wrong(&key, taken.value.at, &what, help);
                None
            }
            other => {
                self.wrong(&key, taken.value.at, &format!("is {other}, not a text"), help);
                None
            }
        }
    }

    /// Exactly one of two keys.
    fn either(
        &mut self,
        path: &str,
        at: At,
        (name, plain): (&str, Option<Taken>),
        (not_name, negated): (&str, Option<Taken>),
    ) -> Option<(String, bool, Taken)> {
        match (plain, negated) {
            (Some(taken), None) => Some((dotted(path, name), false, taken)),
            (None, Some(taken)) => Some((dotted(path, not_name), true, taken)),
            (Some(_), Some(taken)) => {
                let what = format!("stands beside {name}");
                self.wrong(&dotted(path, not_name), taken.at, &what, Some("keep one of them"));
                None
            }
            (None, None) => {
                self.wrong(&dotted(path, name), at, "is missing", Some("every statement needs it"));
                None
            }
        }
    }

    /// A text or a list of texts, each read with `read`.
    fn texts<T>(
        &mut self,
        key: &str,
        taken: Taken,
        read: fn(&mut Self, &str, At, &str) -> Option<T>,
    ) -> Vec<T> {
        let list = matches!(taken.value.kind, Json::List(_));
        let nodes = match taken.value.kind {
            Json::List(nodes) => nodes,
            _ => vec![taken.value],
        };
        if nodes.is_empty() {
            self.wrong(key, taken.at, "is an empty list", Some("leave nothing out by accident"));
        }
        let mut all = Vec::new();
        for (number, node) in nodes.into_iter().enumerate() {
            let key = if list { format!("{key}[{number}]") } else { key.to_owned() };
            match &node.kind {
                Json::Text(text) => all.extend(read(self, &key, node.at, text)),
                other => self.wrong(&key, node.at, &format!("is {other}, not a text"), None),
            }
        }
        all
    }

    fn action(&mut self, key: &str, at: At, text: &str) -> Option<Pattern> {
        let shape = |text: &str| match text.split_once(':') {
            None => text == "*",
            Some((service, name)) => {
                let service_fits = !service.is_empty()
                    && service.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
                let name_fits = !name.is_empty()
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '*' | '?'));
                (service_fits || service == "*") && name_fits
            }
        };
        if !shape(text) {
            let what = format!("{:?} is not an action", shortened(text));
            let help = "write service:Action, such as sagemaker:InvokeEndpoint; * and ? may stand \
                        in the name";
            self.wrong(key, at, &what, Some(help));
            return None;
        }
        let grammar = Grammar { wildcards: true, variables: false, caseless: true };
        Pattern::compile(text, grammar).ok()
    }

    fn resources(
        &mut self,
        path: &str,
        at: At,
        plain: Option<Taken>,
        negated: Option<Taken>,
    ) -> Option<Any<ArnPattern>> {
        if self.kind == Kind::Trust {
            for (name, taken) in [("Resource", plain), ("NotResource", negated)] {
                if let Some(taken) = taken {
                    let what = "has no place in a trust policy: the role is the resource";
                    self.wrong(&dotted(path, name), taken.at, what, Some("leave it out"));
                }
            }
            return None;
        }
        let (key, negated, taken) =
            self.either(path, at, ("Resource", plain), ("NotResource", negated))?;
        Some(Any { negated, of: self.texts(&key, taken, Reader::resource) })
    }

    fn resource(&mut self, key: &str, at: At, text: &str) -> Option<ArnPattern> {
        match ArnPattern::compile(text, self.variables) {
            Ok(pattern) => Some(pattern),
            Err(why) => {
                let what = format!("{:?} {why}", shortened(text));
                self.wrong(
                    key,
                    at,
                    &what,
                    Some("write an ARN, with * where it may vary, or \"*\""),
                );
                None
            }
        }
    }

    fn principals(
        &mut self,
        path: &str,
        at: At,
        plain: Option<Taken>,
        negated: Option<Taken>,
    ) -> Option<Any<PrincipalRule>> {
        if self.kind == Kind::Identity {
            for (name, taken) in [("Principal", plain), ("NotPrincipal", negated)] {
                if let Some(taken) = taken {
                    let what = "has no place here: the policy is for whom it is attached to";
                    self.wrong(&dotted(path, name), taken.at, what, Some("leave it out"));
                }
            }
            return None;
        }
        let (key, negated, taken) =
            self.either(path, at, ("Principal", plain), ("NotPrincipal", negated))?;
        let mut of = Vec::new();
        match taken.value.kind {
            Json::Text(text) if text == "*" => of.push(PrincipalRule::Everybody),
            Json::Object(entries) => {
                let known = ["AWS", "Service", "Federated", "CanonicalUser"];
                let taken = self.keys(&key, entries, known);
                for (name, taken) in known.iter().zip(taken) {
                    let Some(taken) = taken else { continue };
                    let key = dotted(&key, name);
                    of.extend(match *name {
                        "AWS" => self.texts(&key, taken, Reader::aws),
                        _ => self.texts(&key, taken, |_, _, _, text| {
                            Some(PrincipalRule::Named(text.to_owned()))
                        }),
                    });
                }
            }
            other => {
                let what = format!("is {other}");
                let help = "write \"*\" or {\"AWS\": …}, {\"Service\": …}";
                self.wrong(&key, taken.value.at, &what, Some(help));
            }
        }
        Some(Any { negated, of })
    }

    fn aws(&mut self, key: &str, at: At, text: &str) -> Option<PrincipalRule> {
        let rule = PrincipalRule::aws(text);
        if rule.is_none() {
            let what = format!("{:?} is not a principal", shortened(text));
            let help =
                "write \"*\", an account of 12 digits, or the ARN of a user, role or session";
            self.wrong(key, at, &what, Some(help));
        }
        rule
    }

    fn conditions(&mut self, path: &str, taken: Taken) -> Vec<Condition> {
        let Json::Object(operators) = taken.value.kind else {
            let what = format!("is {}, not an object of operators", taken.value.kind);
            self.wrong(path, taken.value.at, &what, None);
            return Vec::new();
        };
        let mut all: Vec<Condition> = Vec::new();
        for Entry { key: name, at, value } in operators {
            let path = dotted(path, &name);
            let Some(operator) = Operator::parse(&name) else {
                let bare = name.rsplit(':').next().unwrap_or_default();
                let bare = bare.strip_suffix("IfExists").unwrap_or(bare);
                let near = nearest(bare, Operator::names()).filter(|near| *near != bare);
                let help = near.map(|near| format!("did you mean {near}?"));
                self.wrong(&path, at, "is not an operator", help.as_deref());
                continue;
            };
            let Json::Object(keys) = value.kind else {
                let what = format!("is {}, not an object of condition keys", value.kind);
                self.wrong(&path, value.at, &what, None);
                continue;
            };
            for Entry { key, at, value } in keys {
                let path = dotted(&path, &key);
                let twice = |other: &Condition| {
                    other.operator_text == name && other.key_text.eq_ignore_ascii_case(&key)
                };
                if all.iter().any(twice) {
                    self.wrong(&path, at, "is given twice", Some("write a list of its values"));
                }
                let places = places(&value);
                let Some(texts) = self.values(&path, value) else { continue };
                match Condition::compile(&name, operator, &key, &texts, self.variables) {
                    Ok(condition) => all.push(condition),
                    Err((number, why)) => {
                        let what = format!("{:?} {why}", shortened(&texts[number]));
                        self.wrong(&path, places[number], &what, None);
                    }
                }
            }
        }
        all
    }

    /// The values of a condition as texts; `None` when one of them cannot be one.
    fn values(&mut self, path: &str, value: Node) -> Option<Vec<String>> {
        let nodes = match value.kind {
            Json::List(nodes) => nodes,
            _ => vec![value.clone()],
        };
        if nodes.is_empty() {
            self.wrong(path, value.at, "is an empty list, which nothing can fit", None);
            return None;
        }
        let mut texts = Vec::new();
        for node in nodes {
            match node.kind {
                Json::Text(text) | Json::Number(text) => texts.push(text),
                Json::Boolean(truth) => texts.push(truth.to_string()),
                other => {
                    self.wrong(path, node.at, &format!("is {other}, not a value"), None);
                    return None;
                }
            }
        }
        Some(texts)
    }
}

/// Where each value of a condition begins.
fn places(value: &Node) -> Vec<At> {
    match &value.kind {
        Json::List(nodes) => nodes.iter().map(|node| node.at).collect(),
        _ => vec![value.at],
    }
}

fn dotted(path: &str, key: &str) -> String {
    match path {
        "" => shortened(key),
        path => format!("{path}.{}", shortened(key)),
    }
}
