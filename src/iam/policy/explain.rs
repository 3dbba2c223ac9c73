//! Why a decision fell as it did, statement by statement, and what would have to be written for
//! another one.

use std::fmt;
use std::sync::Arc;

use serde_json::json;

use super::document::{Effect, Policy, Statement};
use super::evaluate::{Decision, Layer, Misfit, Place, Policies, Request, decide};

/// A decision with its reasons.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// What was decided.
    pub decision: Decision,
    /// One sentence.
    pub because: String,
    /// Every statement, in the order they were asked.
    pub lines: Vec<Line>,
    /// The statement that would grant it, where one is missing, and the layer that lacks it.
    pub missing: Option<(Layer, serde_json::Value)>,
}

/// What one statement has to say.
#[derive(Debug, Clone)]
pub struct Line {
    /// Where it stands.
    pub place: Place,
    /// The policy's name and the statement's Sid or number.
    pub name: String,
    /// What it does.
    pub effect: Effect,
    /// Why it does not apply; `None` where it does.
    pub misfit: Option<String>,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layer::Identity => "the caller's policies",
            Layer::Boundary => "the permissions boundary",
            Layer::Session => "the session policies",
            Layer::Resource => "the resource's policy",
        })
    }
}

/// Decides, and says why. `action` is as the caller would write it.
pub fn explain(request: &Request<'_>, action: &str, policies: &Policies<'_>) -> Explanation {
    let decision = decide(request, policies);
    let session: &[Arc<Policy>] = policies.session.unwrap_or_default();
    let layers: [(Layer, Vec<&Policy>); 4] = [
        (Layer::Identity, policies.identity.iter().map(Arc::as_ref).collect()),
        (Layer::Boundary, policies.boundary.into_iter().collect()),
        (Layer::Session, session.iter().map(Arc::as_ref).collect()),
        (Layer::Resource, policies.resource.into_iter().collect()),
    ];
    let mut lines = Vec::new();
    for (layer, policies_of) in &layers {
        for (policy, of) in policies_of.iter().enumerate() {
            for (statement, of_statement) in of.statements.iter().enumerate() {
                let place = Place { layer: *layer, policy, statement };
                let misfit = of_statement
                    .applies(request, policies.boundary.is_some())
                    .err()
                    .map(|misfit| told(misfit, of_statement, request, action));
                let name = named(of, statement);
                lines.push(Line { place, name, effect: of_statement.effect, misfit });
            }
        }
    }
    let name = |place: Place| {
        let line = lines.iter().find(|line| line.place == place);
        line.map_or_else(String::new, |line| line.name.clone())
    };
    let because = match decision {
        Decision::Allowed(place) => format!("allowed by {}", name(place)),
        Decision::Forbidden(place) => format!("denied by {}", name(place)),
        Decision::NotGranted(layer) => format!("denied: {layer} do not allow it")
            .replace("boundary do not", "boundary does not")
            .replace("policy do not", "policy does not"),
    };
    let missing = match decision {
        Decision::NotGranted(layer) => Some((layer, statement_for(layer, action, request))),
        _ => None,
    };
    Explanation { decision, because, lines, missing }
}

/// `policy.json, statement 2 (AllowInvoke)`.
fn named(policy: &Policy, number: usize) -> String {
    let Statement { sid, line, .. } = &policy.statements[number];
    match sid {
        Some(sid) => format!("{}:{line}, statement {} ({sid})", policy.name, number + 1),
        None => format!("{}:{line}, statement {}", policy.name, number + 1),
    }
}

fn told(misfit: Misfit, statement: &Statement, request: &Request<'_>, action: &str) -> String {
    match misfit {
        Misfit::Action => format!("is not about {action}"),
        Misfit::Resource => format!("is not about {}", request.resource()),
        Misfit::Principal => format!("is not about {}", request.principal().arn()),
        Misfit::Condition(number) => {
            let condition = &statement.conditions[number];
            let given = match condition.given(request.context()) {
                [] => "which the request does not have".to_owned(),
                [one] => format!("which is {one:?}"),
                several => format!("which is {several:?}"),
            };
            let wanted = condition.values_text.join(", ");
            let (operator, key) = (&condition.operator_text, &condition.key_text);
            format!("wants {operator} {wanted} of {key}, {given}")
        }
    }
}

/// The smallest statement that the layer lacks.
fn statement_for(layer: Layer, action: &str, request: &Request<'_>) -> serde_json::Value {
    let mut statement = json!({ "Effect": "Allow" });
    if layer == Layer::Resource {
        let arn = request.principal().arn();
        let kind = if request.principal().account().is_some() { "AWS" } else { "Service" };
        statement["Principal"] = json!({ kind: arn });
    }
    statement["Action"] = json!(action);
    statement["Resource"] = json!(literal(request.resource()));
    statement
}

/// A name as a pattern that fits it alone.
pub fn literal(name: &str) -> String {
    if name == "*" {
        return name.to_owned();
    }
    let mut pattern = String::with_capacity(name.len());
    for (at, letter) in name.char_indices() {
        match letter {
            '*' => pattern.push_str("${*}"),
            '?' => pattern.push_str("${?}"),
            '$' if name[at + 1..].starts_with('{') => pattern.push_str("${$}"),
            other => pattern.push(other),
        }
    }
    pattern
}
