//! The state: a session at the command line from nobody to a session of a role, what a crash and
//! other processes cannot do to the file, and ten thousand principals.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;
use smrt::fault::{Fault, Kind};
use smrt::iam::policy::{Context, Request, decide};
use smrt::iam::state::{Directory, Document, Keeper, State, Status, Whom};
use smrt::iam::{Error, time};

/// Keeps nothing secret: what is tested here is the file.
struct Plain;

impl Keeper for Plain {
    fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, Box<dyn Fault>> {
        Ok([b"kept:", plain].concat())
    }

    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, Box<dyn Fault>> {
        let damaged = || Box::new(smrt::spec::Mistakes::new("state", Default::default()));
        sealed.strip_prefix(b"kept:").map(<[u8]>::to_vec).ok_or_else(|| damaged() as Box<dyn Fault>)
    }
}

pub(crate) fn state(folder: &Path) -> State {
    State::new(folder.join("iam/state"), Arc::new(Plain))
}

const ALLOW: &str = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
    "Action": "sagemaker:InvokeEndpoint", "Resource": "*"}}"#;

/// Runs `smrt iam …` with a home of its own.
fn smrt(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smrt"));
    command.arg("iam").args(arguments).env("SMRT_HOME", home).current_dir(home);
    command.output().unwrap()
}

fn told(home: &Path, arguments: &[&str]) -> Value {
    let output = smrt(home, arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}");
    match output.stdout.as_slice() {
        b"" => Value::Null,
        text => serde_json::from_slice(text).unwrap(),
    }
}

fn refused(home: &Path, arguments: &[&str]) -> String {
    let output = smrt(home, arguments);
    assert!(!output.status.success(), "{arguments:?} was done");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_session_goes_from_nobody_to_a_session_of_a_role() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    std::fs::write(home.join("allow.json"), ALLOW).unwrap();
    let trust = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::000000000000:user/teller"}, "Action": "sts:AssumeRole"}}"#;
    std::fs::write(home.join("trust.json"), trust).unwrap();
    let user = told(home, &["create-user", "--user-name", "teller"]);
    assert_eq!(user["User"]["Arn"], "arn:aws:iam::000000000000:user/teller");
    let key = told(home, &["create-access-key", "--user-name", "teller"]);
    let secret = key["AccessKey"]["SecretAccessKey"].as_str().unwrap().to_owned();
    assert_eq!(secret.len(), 40);
    assert!(key["AccessKey"]["AccessKeyId"].as_str().unwrap().starts_with("AKIA"));
    let listed = told(home, &["list-access-keys", "--user-name", "teller"]);
    assert!(!listed.to_string().contains(&secret));

    let role = ["create-role", "--role-name", "Invoke", "--assume-role-policy-document"];
    told(home, &[&role[..], &["file://trust.json"]].concat());
    let policy =
        told(home, &["create-policy", "--policy-name", "allow", "--policy-document", "allow.json"]);
    let arn = policy["Policy"]["Arn"].as_str().unwrap();
    told(home, &["attach-role-policy", "--role-name", "Invoke", "--policy-arn", arn]);
    let attached = told(home, &["list-attached-role-policies", "--role-name", "Invoke"]);
    assert_eq!(attached["AttachedPolicies"][0]["PolicyArn"], arn);

    let assume =
        ["assume-role", "--role-arn", "Invoke", "--role-session-name", "counter-7", "--caller"];
    let session = told(home, &[&assume[..], &["teller"]].concat());
    assert!(session["Credentials"]["AccessKeyId"].as_str().unwrap().starts_with("ASIA"));
    let arn_of_session = "arn:aws:sts::000000000000:assumed-role/Invoke/counter-7";
    assert_eq!(session["AssumedRoleUser"]["Arn"], arn_of_session);
    let other = refused(home, &[&assume[..], &["lambda.amazonaws.com"]].concat());
    assert!(
        other.contains("may not sts:AssumeRole") && other.contains("trust policy would need"),
        "{other}"
    );

    let ask = ["explain", "--action-names", "sagemaker:InvokeEndpoint", "--resource-arns"];
    let endpoint = "arn:aws:sagemaker:us-east-1:000000000000:endpoint/fraud";
    let why = smrt(home, &[&ask[..], &[endpoint, "--role-name", "Invoke"]].concat());
    let why = String::from_utf8(why.stdout).unwrap();
    assert!(why.contains(&format!("allowed by {arn}:1, statement 1")), "{why}");
    let why = smrt(home, &[&ask[..], &[endpoint, "--user-name", "teller"]].concat());
    let why = String::from_utf8(why.stdout).unwrap();
    assert!(why.contains("missing: the caller's policies need {\"Effect\":\"Allow\""), "{why}");

    for (arguments, words) in [
        (&["delete-role", "--role-name", "Invoke"][..], "has 1 attached policies"),
        (&["delete-policy", "--policy-arn", arn], "role Invoke has the policy"),
        (&["create-user", "--user-name", "teller"], "user teller exists already"),
        (&["get-user", "--user-name", "tellar"], "did you mean teller?"),
        (&["create-user", "--user-name", "a/b"], "is not a name"),
        (
            &[
                "put-user-policy",
                "--user-name",
                "teller",
                "--policy-name",
                "p",
                "--policy-document",
                "trust.json",
            ],
            "Principal",
        ),
    ] {
        let text = refused(home, arguments);
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
    // No secret lies in any file, and no file is open to others.
    let mut folders = vec![home.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!found, "the secret lies in {}", path.display());
        }
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let path = home.join("iam/state");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let text = refused(home, &["list-users"]);
        assert!(text.contains("others may read it") && text.contains("chmod 600"), "{text}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(refused(home, &["list-users"]).contains("error"));
    }
}

#[test]
fn threat_33_a_change_that_fails_changes_nothing_and_what_a_crash_leaves_is_not_seen() {
    let folder = tempfile::tempdir().unwrap();
    let state = state(folder.path());
    state.change(|all| all.create_user("a", "/", None).map(drop)).unwrap();
    let before = std::fs::read(state.path()).unwrap();
    let failed = state.change(|all| {
        all.create_user("b", "/", None)?;
        all.create_user("b", "/", None).map(drop)
    });
    assert!(matches!(failed, Err(Error::EntityAlreadyExists { .. })));
    assert_eq!(std::fs::read(state.path()).unwrap(), before);
    // A process that dies while it writes leaves a part beside the file, and an abandoned lock.
    std::fs::write(folder.path().join("iam/.tmpAbCdEf"), &before[..before.len() / 2]).unwrap();
    state.change(|all| all.create_user("b", "/", None).map(drop)).unwrap();
    assert_eq!(state.read().unwrap().users.len(), 2);
    // No beginning of the file is taken for the whole.
    let whole = std::fs::read(state.path()).unwrap();
    for end in 0..whole.len() {
        std::fs::write(state.path(), &whole[..end]).unwrap();
        assert!(state.read().is_err(), "{end} bytes were taken");
    }
}

#[test]
fn many_at_once_each_change_what_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let state = state(folder.path());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let state = &state;
            scope.spawn(move || {
                for number in 0..10 {
                    let name = format!("u{thread}-{number}");
                    state.change(|all| all.create_user(&name, "/", None).map(drop)).unwrap();
                    assert!(state.read().unwrap().users.contains_key(&name));
                }
            });
        }
    });
    assert_eq!(state.read().unwrap().users.len(), 80);
}

#[test]
fn a_key_is_taken_while_it_is_active_and_with_its_own_token_only() {
    let mut all = Document::default();
    all.create_user("teller", "/", None).unwrap();
    let key = all.create_access_key("teller").unwrap();
    let trust = r#"{"Statement": {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}}"#;
    all.create_role("Train", "/ml/", ("trust", trust), None, 3_600).unwrap();
    let asked = smrt::iam::state::Asked { role: "Train", name: "job-1", ..Default::default() };
    let session = all.assume_role("sagemaker.amazonaws.com", &asked).unwrap();
    let now_s = time::now();
    let directory = Directory::of(&all, now_s).unwrap();
    let found = |access_key: &str, token: Option<&str>, now_s| {
        directory.key(access_key, token, now_s).map(|key| key.who.principal.arn().to_owned())
    };
    assert_eq!(found(&key.id, None, now_s).unwrap(), "arn:aws:iam::000000000000:user/teller");
    assert_eq!(found(&key.id, Some("x"), now_s), None);
    let token = Some(session.token.expose());
    let arn = "arn:aws:sts::000000000000:assumed-role/Train/job-1";
    assert_eq!(found(&session.access_key, token, now_s).as_deref(), Some(arn));
    assert_eq!(found(&session.access_key, None, now_s), None);
    assert_eq!(found(&session.access_key, Some("x"), now_s), None);
    assert_eq!(found(&session.access_key, token, session.expires_s), None);

    all.update_access_key("teller", &key.id, Status::Inactive).unwrap();
    all.delete(Whom::Role("Train")).unwrap();
    // A role of the same name made later is another one.
    all.create_role("Train", "/", ("trust", trust), None, 3_600).unwrap();
    let directory = Directory::of(&all, now_s).unwrap();
    assert!(directory.key(&key.id, None, now_s).is_none());
    assert!(directory.key(&session.access_key, token, now_s).is_none());
    assert_eq!(format!("{:?}", key.secret), "(secret)");
}

#[test]
fn a_session_may_no_more_than_its_policy_and_its_role() {
    let mut all = Document::default();
    let trust =
        r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}}"#;
    all.create_role("Invoke", "/", ("trust", trust), None, 3_600).unwrap();
    all.put_policy(Whom::Role("Invoke"), "allow", ("allow", ALLOW)).unwrap();
    all.create_user("bob", "/", None).unwrap();
    let bounded = ALLOW.replace("\"*\"", "\"arn:aws:sagemaker:*:*:endpoint/fraud\"");
    let mut asked = smrt::iam::state::Asked { role: "Invoke", name: "s1", ..Default::default() };
    asked.policy = Some(("session", &bounded));
    let session = all.assume_role("arn:aws:iam::000000000000:user/bob", &asked).unwrap();
    let directory = Directory::of(&all, time::now()).unwrap();
    let token = Some(session.token.expose());
    let who = directory.key(&session.access_key, token, time::now()).unwrap().who;
    let context = who.context();
    let may = |action: &str, name: &str| {
        let resource = format!("arn:aws:sagemaker:us-east-1:000000000000:endpoint/{name}");
        let request = Request::new(&who.principal, action, &resource, &context);
        decide(&request, &who.policies()).is_allowed()
    };
    assert!(may("sagemaker:InvokeEndpoint", "fraud"));
    assert!(!may("sagemaker:InvokeEndpoint", "churn"));
    assert!(!may("sagemaker:DescribeEndpoint", "fraud"));
    assert_ne!(context, Context::new());
}

#[test]
fn ten_thousand_principals_are_kept_and_found() {
    let mut all = Document::default();
    let arn = all.create_policy("allow", ("allow", ALLOW)).unwrap();
    let mut ids = BTreeSet::new();
    for number in 0..10_000 {
        let name = format!("user-{number}");
        all.create_user(&name, "/", None).unwrap();
        all.attach(Whom::User(&name), &arn).unwrap();
        assert!(ids.insert(all.create_access_key(&name).unwrap().id));
    }
    let text = serde_json::to_vec(&all).unwrap();
    let again: Document = serde_json::from_slice(&text).unwrap();
    let directory = Directory::of(&again, time::now()).unwrap();
    assert_eq!(directory.len(), 10_000);
    for id in &ids {
        assert!(directory.key(id, None, time::now()).is_some());
    }
    assert!(directory.key("AKIAAAAAAAAAAAAAAAAA", None, time::now()).is_none());
    let third = all.create_access_key("user-1").and_then(|_| all.create_access_key("user-1"));
    assert_eq!(third.unwrap_err().kind(), Kind::Caller);
}

#[test]
fn boto3_asks_who_it_is_and_becomes_a_role_at_the_door_of_sts() {
    use std::io::BufRead;
    let Some(python) = super::python("import boto3") else { return };
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    told(home, &["create-user", "--user-name", "teller"]);
    let key = told(home, &["create-access-key", "--user-name", "teller"]);
    let trust = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"AWS": "arn:aws:iam::000000000000:user/teller"},
        "Condition": {"StringEquals": {"sts:ExternalId": "e<&>"}}}}"#;
    told(home, &["create-role", "--role-name", "Batch", "--assume-role-policy-document", trust]);
    let mut serving = Command::new(env!("CARGO_BIN_EXE_smrt"))
        .args(["iam", "serve", "--listen", "127.0.0.1:0", "--audit", "sts.jsonl"])
        .env("SMRT_HOME", home)
        .current_dir(home)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut greeting = String::new();
    let mut out = std::io::BufReader::new(serving.stdout.take().unwrap());
    out.read_line(&mut greeting).unwrap();
    let url = greeting.split_whitespace().nth(3).unwrap().trim_end_matches(';').to_owned();
    let text = |name: &str| key["AccessKey"][name].as_str().unwrap().to_owned();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/sts.py");
    let output = Command::new(python)
        .arg(script)
        .args([url, text("AccessKeyId"), text("SecretAccessKey")])
        .output()
        .unwrap();
    serving.kill().unwrap();
    serving.wait().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut names = std::collections::BTreeMap::new();
    smrt::telemetry::audit::read(&home.join("sts.jsonl"), |line| {
        *names.entry(line.record["eventName"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        assert!(!line.text.contains(&text("SecretAccessKey")));
    })
    .unwrap();
    assert_eq!(names["AssumeRole"], 4, "{names:?}");
}
