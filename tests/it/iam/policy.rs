//! Policies: what must hold of every decision, whatever the policies, and what a person reads whose
//! policy is wrong.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use smrt::fault::Fault;
use smrt::iam::policy::{
    Context, Decision, Kind, Layer, Policies, Policy, Principal, Request, decide, explain,
};

use super::oracle::{Case, Dice, simulation};

fn decided(simulation: &Value) -> Decision {
    Case::read(simulation).decide()
}

/// The same case with one statement more in the caller's policies.
fn with(simulation: &Value, effect: &str) -> Value {
    let mut more = simulation.clone();
    let action = more["request"]["action"].clone();
    let statement = json!({ "Effect": effect, "Action": action, "Resource": "*" });
    let policy = json!({ "Version": "2012-10-17", "Statement": [statement] });
    more["identityPolicies"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "more", "policy": policy }));
    more
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_deny_more_never_grants_and_an_allow_more_never_revokes(seed in any::<u64>()) {
        let simulation = simulation(&mut Dice(seed));
        let before = decided(&simulation);
        prop_assert!(matches!(decided(&with(&simulation, "Deny")), Decision::Forbidden(_)));
        let after = decided(&with(&simulation, "Allow"));
        prop_assert!(after.is_allowed() || !before.is_allowed());
        // And it never undoes a Deny.
        let forbidden = |decision| matches!(decision, Decision::Forbidden(_));
        prop_assert_eq!(forbidden(before), forbidden(after));
    }

    #[test]
    fn the_order_of_statements_policies_and_keys_does_not_matter(seed in any::<u64>()) {
        let simulation = simulation(&mut Dice(seed));
        fn turned(value: &Value) -> Value {
            match value {
                Value::Array(all) => all.iter().rev().map(turned).collect(),
                Value::Object(map) => {
                    map.iter().rev().map(|(key, value)| (key.clone(), turned(value))).collect()
                }
                other => other.clone(),
            }
        }
        let kind = |decision| match decision {
            Decision::Allowed(_) => 0,
            Decision::Forbidden(_) => 1,
            Decision::NotGranted(_) => 2,
        };
        let (one, other) = (decided(&simulation), decided(&turned(&simulation)));
        prop_assert_eq!(kind(one), kind(other));
    }

    #[test]
    fn not_action_and_not_resource_are_complements(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let mut simulation = simulation(&mut dice);
        let statement = |action: &str, resource: &str, not: usize| {
            let action_key = if not & 1 == 1 { "NotAction" } else { "Action" };
            let resource_key = if not & 2 == 2 { "NotResource" } else { "Resource" };
            json!({ "Effect": "Allow", action_key: action, resource_key: resource })
        };
        let action = *dice.of(&["sagemaker:*", "s3:GetObject", "sqs:*", "*"]);
        let resource = *dice.of(&["arn:aws:s3:::*", "arn:aws:sagemaker:*:*:endpoint/*", "*"]);
        let mut alone = |not: usize| {
            let policy = json!({ "Version": "2012-10-17", "Statement": statement(action, resource, not) });
            simulation["identityPolicies"] = json!([{ "name": "p", "policy": policy }]);
            for key in ["resourcePolicy", "permissionBoundaryPolicies", "sessionPolicy"] {
                simulation.as_object_mut().unwrap().remove(key);
            }
            simulation["request"]["resource"]["accountId"] = json!(null);
            let account = simulation["request"]["principal"].as_str().unwrap().split(':').nth(4);
            simulation["request"]["resource"]["accountId"] = json!(account);
            decided(&simulation).is_allowed()
        };
        // Exactly one of the four quadrants holds the request.
        let quadrants = (0..4).filter(|not| alone(*not)).count();
        prop_assert_eq!(quadrants, 1);
    }

    #[test]
    fn an_explanation_agrees_with_the_decision_and_what_it_misses_is_enough(seed in any::<u64>()) {
        let simulation = simulation(&mut Dice(seed));
        let case = Case::read(&simulation);
        let told = case.explain();
        prop_assert_eq!(told.decision, case.decide());
        let applies = told.lines.iter().filter(|line| line.misfit.is_none()).count();
        match told.decision {
            Decision::Allowed(place) | Decision::Forbidden(place) => {
                let line = told.lines.iter().find(|line| line.place == place).unwrap();
                prop_assert_eq!(&line.misfit, &None);
                prop_assert!(applies > 0);
            }
            Decision::NotGranted(layer) => {
                let (lacking, statement) = told.missing.unwrap();
                prop_assert_eq!(lacking, layer);
                // With the missing statement, that layer no longer stands in the way.
                if layer == Layer::Identity {
                    let mut mended = simulation.clone();
                    let policy = json!({ "Version": "2012-10-17", "Statement": statement });
                    mended["identityPolicies"].as_array_mut().unwrap()
                        .push(json!({ "name": "mended", "policy": policy }));
                    prop_assert_ne!(decided(&mended), Decision::NotGranted(Layer::Identity));
                }
            }
        }
    }

    #[test]
    fn a_strangers_policy_never_panics(text in "\\PC{0,200}|[{}\\[\\]:,\"a-zA-Z*$ ]{0,60}") {
        for kind in [Kind::Identity, Kind::Resource, Kind::Trust] {
            prop_assert!(Policy::read("p.json", &text, kind).is_err());
        }
    }
}

/// The whole text a person reads.
fn refused(text: &str, kind: Kind) -> String {
    let mistakes = Policy::read("p.json", text, kind).expect_err("was read");
    smrt::fault::rendered(&mistakes)
}

#[test]
fn every_mistake_of_a_policy_is_told_at_once_with_its_place_and_a_way_out() {
    let text = r#"{
  "Version": "2012-10-18",
  "Statement": [
    {"Effect": "allow", "Action": "InvokeEndpoint", "Resource": "endpoint/fraud"},
    {"Effect": "Deny", "Action": ["s3:*", 7], "NotAction": "*", "Resorce": "*",
     "Condition": {"StringEqual": {"aws:username": "bob"}, "IpAddress": {"aws:SourceIp": "10.0.0.0/99"}}},
    {"Effect": "Allow", "Effect": "Deny", "Action": [], "Resource": "arn:aws:s3:::a/${aws:user"}
  ]
}"#;
    let told = refused(text, Kind::Identity);
    for words in [
        "p.json:2: Version: is not a version of the policy language, at column 14",
        "help: write \"2012-10-17\"",
        "p.json:4: Statement[0].Effect: \"allow\" is not an effect, at column 16",
        "p.json:4: Statement[0].Action: \"InvokeEndpoint\" is not an action, at column 35",
        "help: write service:Action, such as sagemaker:InvokeEndpoint",
        "Statement[0].Resource: \"endpoint/fraud\" is not an ARN",
        "p.json:5: Statement[1].NotAction: stands beside Action",
        "p.json:5: Statement[1].Resorce: is not a key of a policy",
        "help: did you mean Resource?",
        "p.json:6: Statement[1].Condition.StringEqual: is not an operator, at column 20",
        "help: did you mean StringEquals?",
        "Statement[1].Condition.IpAddress.aws:SourceIp: \"10.0.0.0/99\" is not an address or range",
        "p.json:7: Statement[2].Effect: is given twice",
        "Statement[2].Action: is an empty list",
        "Statement[2].Resource: \"arn:aws:s3:::a/${aws:user\" a variable begins with ${ and has no }",
        "p.json: 12 mistakes",
    ] {
        assert!(told.contains(words), "{words:?} is not in\n{told}");
    }
}

#[test]
fn each_kind_of_policy_has_what_it_needs_and_no_more() {
    let identity = r#"{"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}"#;
    let resource = r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}}"#;
    let trust = r#"{"Statement": {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}}"#;
    for (text, good) in
        [(identity, Kind::Identity), (resource, Kind::Resource), (trust, Kind::Trust)]
    {
        for kind in [Kind::Identity, Kind::Resource, Kind::Trust] {
            assert_eq!(Policy::read("p", text, kind).is_ok(), kind == good, "{text} {kind:?}");
        }
    }
    assert!(refused(identity, Kind::Resource).contains("Statement[0].Principal: is missing"));
    let long = format!(r#"{{"Id": "{}", "Statement": []}}"#, "a".repeat(7_000));
    assert!(refused(&long, Kind::Identity).contains("more than 6144"));
}

#[test]
fn a_role_is_assumed_only_by_whom_its_trust_policy_names() {
    let trust = |principal: &str, condition: &str| {
        let text = format!(
            r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow", "Principal": {principal},
                "Action": "sts:AssumeRole"{condition}}}}}"#
        );
        Policy::read("trust", &text, Kind::Trust).unwrap()
    };
    let may = |policy: &Policy, principal: &str, context: &Context, identity: &[Arc<Policy>]| {
        let principal = Principal::new(principal);
        let role = "arn:aws:iam::111122223333:role/Train";
        let request = Request::new(&principal, "sts:AssumeRole", role, context);
        let policies = Policies {
            identity,
            resource: Some(policy),
            resource_must_grant: true,
            ..Policies::default()
        };
        decide(&request, &policies).is_allowed()
    };
    let (none, bob) = (Context::new(), "arn:aws:iam::111122223333:user/bob");
    let all = r#"{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;
    let all = [Arc::new(Policy::read("all", all, Kind::Identity).unwrap())];
    let service = trust(r#"{"Service": "sagemaker.amazonaws.com"}"#, "");
    assert!(may(&service, "sagemaker.amazonaws.com", &none, &[]));
    // An administrator is not named by it, whatever else he may do.
    assert!(!may(&service, bob, &none, &all));
    assert!(!may(&service, "lambda.amazonaws.com", &none, &[]));
    let named = trust(r#"{"AWS": "arn:aws:iam::111122223333:user/bob"}"#, "");
    assert!(may(&named, bob, &none, &[]));
    let account = trust(r#"{"AWS": "111122223333"}"#, "");
    assert!(!may(&account, bob, &none, &[]) && may(&account, bob, &none, &all));
    // The confused deputy: the service must come for the account it says.
    let guarded = trust(
        r#"{"Service": "sagemaker.amazonaws.com"}"#,
        r#", "Condition": {"StringEquals": {"aws:SourceAccount": "111122223333"},
            "ArnLike": {"aws:SourceArn": "arn:aws:sagemaker:*:111122223333:*"}}"#,
    );
    let of = |account: &str| {
        Context::new()
            .with("aws:SourceAccount", account)
            .with("aws:SourceArn", format!("arn:aws:sagemaker:us-east-1:{account}:training-job/a"))
    };
    assert!(may(&guarded, "sagemaker.amazonaws.com", &of("111122223333"), &[]));
    assert!(!may(&guarded, "sagemaker.amazonaws.com", &of("444455556666"), &[]));
    assert!(!may(&guarded, "sagemaker.amazonaws.com", &none, &[]));
}

#[test]
fn an_explanation_names_the_statement_and_the_condition_that_failed() {
    let text = r#"{"Version": "2012-10-17", "Statement": [
  {"Sid": "Invoke", "Effect": "Allow", "Action": "sagemaker:InvokeEndpoint",
   "Resource": "arn:aws:sagemaker:*:*:endpoint/fraud",
   "Condition": {"StringEquals": {"sagemaker:TargetModel": ["a.tar.gz", "b.tar.gz"]}}}]}"#;
    let policy = Arc::new(Policy::read("caller.json", text, Kind::Identity).unwrap());
    let caller = Principal::new("arn:aws:iam::111122223333:user/teller");
    let endpoint = "arn:aws:sagemaker:us-east-1:111122223333:endpoint/fraud";
    let context = Context::new().with("sagemaker:TargetModel", "c.tar.gz");
    let request = Request::new(&caller, "sagemaker:InvokeEndpoint", endpoint, &context);
    let policies = Policies { identity: &[policy], ..Policies::default() };
    let told = explain(&request, "sagemaker:InvokeEndpoint", &policies);
    assert_eq!(told.because, "denied: the caller's policies do not allow it");
    let line = &told.lines[0];
    assert_eq!(line.name, "caller.json:2, statement 1 (Invoke)");
    let why =
        "wants StringEquals a.tar.gz, b.tar.gz of sagemaker:TargetModel, which is \"c.tar.gz\"";
    assert_eq!(line.misfit.as_deref(), Some(why));
    let (_, missing) = told.missing.unwrap();
    assert_eq!(missing["Resource"], endpoint);
    assert!(Policy::read("p", text, Kind::Trust).unwrap_err().help().is_none());
}
