//! Ten thousand generated policies and requests, decided here and by npm's
//! `@cloud-copilot/iam-simulate` in a process of its own (see tests/interop/iam_simulate.mjs).

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use smrt::iam::policy::{
    Context, Decision, Explanation, Kind, Policies, Policy, Principal, Request, decide, explain,
};

const PAIRS: usize = 10_000;
const HOME: &str = "111122223333";
const AWAY: &str = "444455556666";

/// A sequence of choices that is the same each time.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % count as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn some(&mut self, all: &[&str]) -> Vec<String> {
        let count = 1 + self.below(3);
        (0..count).map(|_| (*self.of(all)).to_owned()).collect()
    }
}

/// What may be done to what; the account is put in.
const ACTS: &[(&str, &str)] = &[
    ("sagemaker:InvokeEndpoint", "arn:aws:sagemaker:us-east-1:ACCOUNT:endpoint/NAME"),
    ("sagemaker:DescribeEndpoint", "arn:aws:sagemaker:us-east-1:ACCOUNT:endpoint/NAME"),
    ("sagemaker:CreateTrainingJob", "arn:aws:sagemaker:us-east-1:ACCOUNT:training-job/NAME"),
    ("sqs:SendMessage", "arn:aws:sqs:us-east-1:ACCOUNT:NAME"),
    (
        "secretsmanager:GetSecretValue",
        "arn:aws:secretsmanager:us-east-1:ACCOUNT:secret:NAME-a1B2c3",
    ),
    ("s3:GetObject", "arn:aws:s3:::data/NAME/train.csv"),
];
/// No name has a wildcard in it: the oracle then takes it for a question about many resources.
const NAMES: &[&str] = &["fraud", "bob", "churn-2", "churn-9"];
const ACTIONS: &[&str] = &[
    "*",
    "sagemaker:*",
    "sagemaker:Invoke*",
    "SAGEMAKER:invokeendpoint",
    "sagemaker:??????EndPoint",
    "sagemaker:CreateTrainingJob",
    "sqs:SendMessage",
    "sqs:*Message",
    "secretsmanager:Get*",
    "s3:GetObject",
    "s3:Get*",
];
const RESOURCES: &[&str] = &[
    "*",
    "arn:aws:sagemaker:*:*:endpoint/*",
    "arn:aws:sagemaker:us-east-1:111122223333:endpoint/fraud",
    "arn:aws:sagemaker:us-*-1:*:endpoint/${aws:username}",
    "arn:aws:sagemaker:*:111122223333:training-job/*",
    "arn:*:sagemaker:*:*:endpoint/fr?ud",
    // Never first in the resource: the oracle takes what stands before `:` or `/` literally.
    "arn:aws:sagemaker:*:*:endpoint/${aws:PrincipalTag/team, 'fraud'}",
    "arn:aws:sqs:*:*:*",
    "arn:aws:secretsmanager:*:*:secret:*",
    "arn:aws:secretsmanager:*:*:secret:fraud-??????",
    "arn:aws:s3:::data/*",
    "arn:aws:s3:::data/${aws:username}/*",
    "arn:aws:s3:::data/a${*}b/*",
];
/// Operator without negation and set, key, whether the key has several values, and values.
const CONDITIONS: &[(&[&str], &str, bool, &[&str])] = &[
    (
        &[
            "StringEquals",
            "StringNotEquals",
            "StringLike",
            "StringNotLike",
            "StringEqualsIgnoreCase",
            "StringNotEqualsIgnoreCase",
        ],
        "aws:PrincipalTag/team",
        false,
        &["fraud", "FRAUD", "fr*", "${aws:username}", "bob", "*"],
    ),
    (
        &["StringEquals", "StringNotEquals", "StringLike", "StringNotLike"],
        "aws:username",
        false,
        &["bob", "b?b", "${aws:PrincipalTag/team}", "alice"],
    ),
    // Version 4 only: the oracle takes an address of one version to be in no relation to a range of
    // the other, so that `NotIpAddress` does not hold either.
    (
        &["IpAddress", "NotIpAddress"],
        "aws:SourceIp",
        false,
        &["10.0.0.0/8", "192.0.2.7", "203.0.113.0/24"],
    ),
    (&["Bool"], "aws:SecureTransport", false, &["true", "false"]),
    (
        &[
            "NumericEquals",
            "NumericNotEquals",
            "NumericLessThan",
            "NumericLessThanEquals",
            "NumericGreaterThan",
            "NumericGreaterThanEquals",
        ],
        "aws:MultiFactorAuthAge",
        false,
        &["300", "3600", "0"],
    ),
    (
        &[
            "DateEquals",
            "DateNotEquals",
            "DateLessThan",
            "DateLessThanEquals",
            "DateGreaterThan",
            "DateGreaterThanEquals",
        ],
        "aws:CurrentTime",
        false,
        &["2026-01-01T00:00:00Z", "2026-11-25T19:00:00Z"],
    ),
    (
        &["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"],
        "aws:PrincipalArn",
        false,
        &[
            "arn:aws:iam::111122223333:user/bob",
            "arn:aws:iam::*:user/*",
            "arn:aws:iam::444455556666:*",
            "arn:aws:iam::*:role/Tr?in",
            "arn:aws:iam::*:user/${aws:username}",
        ],
    ),
    (
        &["StringEquals", "StringNotEquals", "StringLike", "StringNotLike"],
        "aws:CalledVia",
        true,
        &["athena.amazonaws.com", "glue.*", "glue.amazonaws.com"],
    ),
];

fn one_or_list(dice: &mut Dice, mut all: Vec<String>) -> Value {
    if all.len() == 1 && dice.chance(50) { json!(all.remove(0)) } else { json!(all) }
}

fn condition(dice: &mut Dice) -> Value {
    let mut block = serde_json::Map::new();
    for _ in 0..1 + dice.below(2) {
        let (operators, key, many, values) = *dice.of(CONDITIONS);
        let mut operator = (*dice.of(operators)).to_owned();
        let variables = operator.starts_with("String") || operator.starts_with("Arn");
        if dice.chance(20) {
            operator.push_str("IfExists");
        }
        if many {
            operator = format!("{}:{operator}", dice.of(&["ForAllValues", "ForAnyValue"]));
        }
        let mut values = dice.some(values);
        values.retain(|value| variables || !value.contains("${"));
        if dice.chance(8) {
            operator = "Null".into();
            values = vec![(*dice.of(&["true", "false"])).into()];
        }
        let value = one_or_list(dice, values);
        block.insert(operator, json!({ key: value }));
    }
    Value::Object(block)
}

fn statement(dice: &mut Dice, with_principal: bool, sid: usize) -> Value {
    let mut statement = json!({ "Sid": format!("s{sid}") });
    statement["Effect"] = json!(if dice.chance(82) { "Allow" } else { "Deny" });
    let actions = if dice.chance(25) { vec!["*".to_owned()] } else { dice.some(ACTIONS) };
    let actions = one_or_list(dice, actions);
    statement[if dice.chance(85) { "Action" } else { "NotAction" }] = actions;
    let resources = if dice.chance(40) { vec!["*".to_owned()] } else { dice.some(RESOURCES) };
    let resources = one_or_list(dice, resources);
    statement[if dice.chance(85) { "Resource" } else { "NotResource" }] = resources;
    if with_principal {
        let principals = dice.some(&[
            "111122223333",
            "arn:aws:iam::111122223333:root",
            "arn:aws:iam::111122223333:user/bob",
            "arn:aws:iam::111122223333:role/Train",
            "arn:aws:sts::111122223333:assumed-role/Train/job-1",
            "arn:aws:iam::444455556666:user/bob",
            "arn:aws:iam::444455556666:root",
        ]);
        let value = if dice.chance(10) { json!("*") } else { json!({ "AWS": principals }) };
        // AWS lets NotPrincipal stand with Deny.
        let negated = statement["Effect"] == "Deny" && dice.chance(30);
        statement[if negated { "NotPrincipal" } else { "Principal" }] = value;
    }
    if dice.chance(45) {
        statement["Condition"] = condition(dice);
    }
    statement
}

fn policy(dice: &mut Dice, with_principal: bool) -> Value {
    let count = 1 + dice.below(3);
    let statements: Vec<Value> =
        (0..count).map(|sid| statement(dice, with_principal, sid)).collect();
    // The oracle puts values in for variables in policies of 2008 as well; AWS does not.
    let plain = !json!(statements).to_string().contains("${");
    let version = if plain && dice.chance(20) { "2008-10-17" } else { "2012-10-17" };
    json!({ "Version": version, "Statement": statements })
}

/// One pair, as the oracle takes it.
pub(super) fn simulation(dice: &mut Dice) -> Value {
    let account = *dice.of(&[HOME, HOME, HOME, AWAY]);
    let (principal, role) = match dice.below(3) {
        0 => (format!("arn:aws:sts::{account}:assumed-role/Train/job-1"), true),
        _ => (format!("arn:aws:iam::{account}:user/bob"), false),
    };
    let owner = *dice.of(&[HOME, HOME, HOME, AWAY]);
    let (action, resource) = *dice.of(ACTS);
    let name = *dice.of(NAMES);
    let resource = resource.replace("ACCOUNT", owner).replace("NAME", name);
    let mut context = serde_json::Map::new();
    let mut put = |chance: usize, dice: &mut Dice, key: &str, values: &[&str]| {
        let value = *dice.of(values);
        if dice.chance(chance) {
            context.insert(key.into(), json!(value));
        }
    };
    if !role {
        put(85, dice, "aws:username", &["bob", "fraud", "*"]);
    }
    put(70, dice, "aws:PrincipalTag/team", &["fraud", "bob", "*", "Fraud"]);
    put(75, dice, "aws:SourceIp", &["10.1.2.3", "192.0.2.7", "203.0.113.9"]);
    put(75, dice, "aws:SecureTransport", &["true", "false"]);
    put(60, dice, "aws:MultiFactorAuthAge", &["100", "300", "7200"]);
    put(
        85,
        dice,
        "aws:CurrentTime",
        &["2026-01-01T00:00:00Z", "2026-11-25T20:00:00Z", "2025-05-05T05:05:05Z"],
    );
    let arn = if role { format!("arn:aws:iam::{account}:role/Train") } else { principal.clone() };
    context.insert("aws:PrincipalArn".into(), json!(arn));
    if dice.chance(60) {
        let via = ["athena.amazonaws.com", "glue.amazonaws.com", "lambda.amazonaws.com"];
        context.insert("aws:CalledVia".into(), json!(dice.some(&via)));
    }
    let identity: Vec<Value> = (0..dice.below(4))
        .map(|at| json!({ "name": format!("p{at}"), "policy": policy(dice, false) }))
        .collect();
    let mut simulation = json!({
        "request": {
            "principal": principal,
            "action": action,
            "resource": { "resource": resource, "accountId": owner },
            "contextVariables": context,
        },
        "identityPolicies": identity,
        "serviceControlPolicies": [],
        "resourceControlPolicies": [],
    });
    if dice.chance(40) {
        simulation["resourcePolicy"] = policy(dice, true);
    }
    if dice.chance(25) {
        simulation["permissionBoundaryPolicies"] =
            json!([{ "name": "boundary", "policy": policy(dice, false) }]);
    }
    // A resource's policy that names the session itself is not limited by the session's policies
    // (IAM User Guide, "Session policies"); the oracle limits it, so these two do not meet here.
    let names_session = simulation
        .get("resourcePolicy")
        .is_some_and(|policy| policy.to_string().contains("assumed-role"));
    if role && !names_session && dice.chance(60) {
        simulation["sessionPolicy"] = policy(dice, false);
    }
    simulation
}

/// A pair, read.
pub(super) struct Case {
    principal: Principal,
    context: Context,
    action: String,
    resource: String,
    account: Option<String>,
    identity: Vec<Arc<Policy>>,
    boundary: Option<Arc<Policy>>,
    session: Option<Vec<Arc<Policy>>>,
    of_resource: Option<Arc<Policy>>,
}

impl Case {
    pub(super) fn read(simulation: &Value) -> Case {
        let read = |value: &Value, kind| {
            Arc::new(Policy::read("generated", &value.to_string(), kind).unwrap_or_else(
                |mistakes| panic!("{}\n{value:#}", smrt::fault::rendered(&mistakes)),
            ))
        };
        let request = &simulation["request"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut context = Context::new();
        for (key, value) in request["contextVariables"].as_object().unwrap() {
            let values = match value {
                Value::Array(all) => all.iter().map(text).collect(),
                one => vec![text(one)],
            };
            context.set_all(key, values);
        }
        let identity = simulation["identityPolicies"].as_array().unwrap().iter();
        let optional = |key: &str, kind| simulation.get(key).map(|value| read(value, kind));
        Case {
            principal: Principal::new(text(&request["principal"])),
            context,
            action: text(&request["action"]),
            resource: text(&request["resource"]["resource"]),
            account: request["resource"]["accountId"].as_str().map(String::from),
            identity: identity.map(|entry| read(&entry["policy"], Kind::Identity)).collect(),
            boundary: simulation
                .get("permissionBoundaryPolicies")
                .map(|all| read(&all[0]["policy"], Kind::Identity)),
            session: optional("sessionPolicy", Kind::Identity).map(|policy| vec![policy]),
            of_resource: optional("resourcePolicy", Kind::Resource),
        }
    }

    fn request(&self) -> Request<'_> {
        Request::new(&self.principal, &self.action, &self.resource, &self.context)
    }

    fn policies(&self) -> Policies<'_> {
        Policies {
            identity: &self.identity,
            boundary: self.boundary.as_deref(),
            session: self.session.as_deref(),
            resource: self.of_resource.as_deref(),
            resource_must_grant: false,
            resource_account: self.account.as_deref(),
        }
    }

    pub(super) fn decide(&self) -> Decision {
        decide(&self.request(), &self.policies())
    }

    pub(super) fn explain(&self) -> Explanation {
        explain(&self.request(), &self.action, &self.policies())
    }
}

/// What smrt decides, in the oracle's words.
fn ours(simulation: &Value) -> &'static str {
    match Case::read(simulation).decide() {
        Decision::Allowed(_) => "Allowed",
        Decision::Forbidden(_) => "ExplicitlyDenied",
        Decision::NotGranted(_) => "ImplicitlyDenied",
    }
}

#[test]
fn ten_thousand_generated_pairs_are_decided_as_iam_simulate_decides_them() {
    let Some(folder) = std::env::var_os("SMRT_IAM_SIMULATE") else {
        return println!(
            "skipped: SMRT_IAM_SIMULATE names no folder with @cloud-copilot/iam-simulate"
        );
    };
    let mut dice = Dice(20_261_125);
    let simulations: Vec<Value> = (0..PAIRS).map(|_| simulation(&mut dice)).collect();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/iam_simulate.mjs");
    let mut oracle = Command::new("node")
        .arg(script)
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = oracle.stdin.take().unwrap();
    let lines: Vec<String> = simulations.iter().map(|one| format!("{one}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(lines.concat().as_bytes()).unwrap());
    let output = oracle.wait_with_output().unwrap();
    writer.join().unwrap();
    let theirs = String::from_utf8(output.stdout).unwrap();
    let theirs: Vec<&str> = theirs.lines().collect();
    assert_eq!(theirs.len(), PAIRS);
    let (mut counts, mut different) = (std::collections::BTreeMap::new(), Vec::new());
    for (simulation, theirs) in simulations.iter().zip(&theirs) {
        let ours = ours(simulation);
        *counts.entry(ours).or_insert(0) += 1;
        if ours != *theirs {
            different.push(format!("here {ours}, there {theirs}: {simulation}"));
        }
    }
    println!("{counts:?}");
    let shown = different.iter().take(8).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(different.is_empty(), "{} of {PAIRS} differ\n{shown}", different.len());
}
