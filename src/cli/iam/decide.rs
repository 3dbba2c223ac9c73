//! What policies come to: `check`, `simulate` and `explain`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{document, state};
use crate::cli::{Error, Failure, output};
use crate::iam::policy::{
    Context, Decision, Effect, Explanation, Kind, Layer, Policies, Policy, Principal, Request,
    explain as explained,
};
use crate::iam::state::{Directory, Identity};
use crate::iam::time;

/// Which kind of policy a file holds.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum PolicyKind {
    /// Of a user, role or session
    #[default]
    Identity,
    /// Of a resource
    Resource,
    /// Of a role: who may become it
    Trust,
}

/// Find every mistake in policies before they are used
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Files, or texts
    #[arg(required = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    policies: Vec<String>,

    /// What the policies are for
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    kind: PolicyKind,
}

/// Who asks, and for what.
#[derive(Debug, Args)]
pub(super) struct Question {
    /// A user of the state
    #[arg(long, value_name = "NAME", conflicts_with_all = ["role_name", "policies"])]
    user_name: Option<String>,

    /// A role of the state
    #[arg(long, value_name = "NAME", conflicts_with = "policies")]
    role_name: Option<String>,

    /// Policies instead of a user's or role's: files, or texts
    #[arg(long = "policy", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    policies: Vec<String>,

    /// Who asks, where no user or role is named
    #[arg(long, value_name = "ARN", default_value = "arn:aws:iam::000000000000:user/caller")]
    caller_arn: String,

    /// What is asked for, e.g. sagemaker:InvokeEndpoint
    #[arg(long, required = true, num_args = 1.., value_name = "ACTION")]
    action_names: Vec<String>,

    /// On what
    #[arg(long, num_args = 1.., value_name = "ARN", default_value = "*")]
    resource_arns: Vec<String>,

    /// What is known of the request; several values of a key: the key several times
    #[arg(long, num_args = 1.., value_name = "KEY=VALUE")]
    context_entries: Vec<String>,

    /// A permissions boundary
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    permissions_boundary: Option<String>,

    /// A session policy
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    session_policy: Option<String>,

    /// The resource's policy
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    resource_policy: Option<String>,
}

/// Say whether each action would be allowed on each resource
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smrt iam simulate --policy role.json --action-names s3:GetObject s3:PutObject \\
      --resource-arns 'arn:aws:s3:::data/train.csv'
  smrt iam simulate --user-name teller --action-names sagemaker:InvokeEndpoint \\
      --resource-arns arn:aws:sagemaker:us-east-1:000000000000:endpoint/fraud \\
      --context-entries aws:SourceIp=10.0.0.7")]
pub(super) struct Simulate {
    #[command(flatten)]
    question: Question,

    /// Write the result for people or for programs
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: output::Format,
}

/// Say why: which statement decides, why the others do not apply, and what is missing
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smrt iam explain --role-name Train --action-names s3:GetObject \\
      --resource-arns 'arn:aws:s3:::data/train.csv'")]
pub(super) struct Explain {
    #[command(flatten)]
    question: Question,
}

pub(super) fn check(options: &Check) -> Result<(), Failure> {
    let kind = match options.kind {
        PolicyKind::Identity => Kind::Identity,
        PolicyKind::Resource => Kind::Resource,
        PolicyKind::Trust => Kind::Trust,
    };
    for given in &options.policies {
        let policy = read(given, kind)?;
        let count = policy.statements.len();
        let plural = if count == 1 { "" } else { "s" };
        output::write(&format!("{}: {count} statement{plural}, no mistake\n", policy.name))?;
    }
    Ok(())
}

fn read(given: &str, kind: Kind) -> Result<Arc<Policy>, Failure> {
    let (name, text) = document(given)?;
    Ok(Arc::new(Policy::read(&name, &text, kind)?))
}

/// A question with everything it needs.
struct Case {
    caller: Caller,
    boundary: Option<Arc<Policy>>,
    session: Option<Vec<Arc<Policy>>>,
    resource: Option<Arc<Policy>>,
    context: Context,
}

enum Caller {
    Known(Arc<Identity>),
    Given(Principal, Vec<Arc<Policy>>),
}

impl Case {
    fn read(question: &Question, path: Option<&PathBuf>) -> Result<Case, Failure> {
        let now_s = time::now();
        let known =
            || -> Result<Directory, Failure> { Ok(Directory::of(&state(path)?.read()?, now_s)?) };
        let caller = match (&question.user_name, &question.role_name) {
            (Some(name), _) => {
                let all = state(path)?.read()?;
                all.user(name)?;
                Caller::Known(Arc::clone(known()?.user(name).expect("it is in the state")))
            }
            (None, Some(name)) => {
                let all = state(path)?.read()?;
                all.role(name)?;
                Caller::Known(Arc::clone(known()?.role(name).expect("it is in the state")))
            }
            (None, None) => {
                let read = question.policies.iter().map(|given| read(given, Kind::Identity));
                let policies = read.collect::<Result<Vec<_>, _>>()?;
                Caller::Given(Principal::new(question.caller_arn.as_str()), policies)
            }
        };
        let mut context = match &caller {
            Caller::Known(identity) => identity.context(),
            Caller::Given(principal, _) => Context::new().with("aws:PrincipalArn", principal.arn()),
        };
        context.set("aws:CurrentTime", time::iso(now_s));
        context.set("aws:EpochTime", now_s.to_string());
        let mut entries: Vec<(String, Vec<String>)> = Vec::new();
        for entry in &question.context_entries {
            let Some((key, value)) = entry.split_once('=') else {
                let what = format!("{entry:?} is not a context entry");
                return Err(Error::Address { what, help: Some("write KEY=VALUE".into()) }.into());
            };
            match entries.iter_mut().find(|(other, _)| other.eq_ignore_ascii_case(key)) {
                Some((_, values)) => values.push(value.into()),
                None => entries.push((key.into(), vec![value.into()])),
            }
        }
        entries.into_iter().for_each(|(key, values)| context.set_all(&key, values));
        let optional = |given: &Option<String>, kind| {
            given.as_deref().map(|given| read(given, kind)).transpose()
        };
        Ok(Case {
            caller,
            boundary: optional(&question.permissions_boundary, Kind::Identity)?,
            session: optional(&question.session_policy, Kind::Identity)?.map(|one| vec![one]),
            resource: optional(&question.resource_policy, Kind::Resource)?,
            context,
        })
    }

    fn explain(&self, action: &str, resource: &str) -> Explanation {
        let (principal, policies) = match &self.caller {
            Caller::Known(identity) => (&identity.principal, identity.policies()),
            Caller::Given(principal, identity) => {
                (principal, Policies { identity, ..Policies::default() })
            }
        };
        let request = Request::new(principal, action, resource, &self.context);
        let policies = Policies {
            boundary: self.boundary.as_deref().or(policies.boundary),
            session: self.session.as_deref().or(policies.session),
            resource: self.resource.as_deref(),
            ..policies
        };
        explained(&request, action, &policies)
    }
}

fn each(
    question: &Question,
    path: Option<&PathBuf>,
    mut show: impl FnMut(&str, &str, Explanation),
) -> Result<(), Failure> {
    let case = Case::read(question, path)?;
    for action in &question.action_names {
        for resource in &question.resource_arns {
            show(action, resource, case.explain(action, resource));
        }
    }
    Ok(())
}

pub(super) fn simulate(options: &Simulate, path: Option<&PathBuf>) -> Result<(), Failure> {
    let (mut text, mut results) = (String::new(), Vec::new());
    each(&options.question, path, |action, resource, told| {
        text.push_str(&format!("{action} on {resource}: {}\n", told.because));
        results.push(as_json(action, resource, &told));
    })?;
    output::write(&match options.format {
        output::Format::Text => text,
        output::Format::Json => output::json(&json!({ "EvaluationResults": results })),
    })
}

/// As IAM's `SimulateCustomPolicy` answers.
fn as_json(action: &str, resource: &str, told: &Explanation) -> Value {
    let (decision, place) = match told.decision {
        Decision::Allowed(place) => ("allowed", Some(place)),
        Decision::Forbidden(place) => ("explicitDeny", Some(place)),
        Decision::NotGranted(_) => ("implicitDeny", None),
    };
    let line = told.lines.iter().find(|line| Some(line.place) == place);
    json!({
        "EvalActionName": action,
        "EvalResourceName": resource,
        "EvalDecision": decision,
        "MatchedStatements": line.map(|line| json!({ "SourcePolicyId": line.name })).into_iter().collect::<Vec<_>>(),
    })
}

pub(super) fn explain(options: &Explain, path: Option<&PathBuf>) -> Result<(), Failure> {
    let mut text = String::new();
    each(&options.question, path, |action, resource, told| {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("{action} on {resource}: {}\n", told.because));
        for line in &told.lines {
            let effect = match line.effect {
                Effect::Allow => "Allow",
                Effect::Deny => "Deny ",
            };
            let verdict = line.misfit.as_deref().unwrap_or("applies");
            text.push_str(&format!("  {effect}  {}: {verdict}\n", line.name));
        }
        if told.lines.is_empty() {
            text.push_str("  there is no policy\n");
        }
        if let Some((layer, statement)) = &told.missing {
            let layer = match layer {
                Layer::Identity => "the caller's policies need",
                Layer::Boundary => "the permissions boundary needs",
                Layer::Session => "the session policies need",
                Layer::Resource => "the resource's policy needs",
            };
            text.push_str(&format!("  missing: {layer} {statement}\n"));
        }
    })?;
    output::write(&text)
}
