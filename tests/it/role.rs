//! Execution roles: a job and an endpoint do what their role allows and nothing else, on a real S3
//! server and with real keys; whoever starts them must be allowed to pass the role, and the role
//! must trust SageMaker.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::s3::Server;
use crate::train::datasets;

const ROLE: &str = "arn:aws:iam::000000000000:role/Train";
const TRUST: &str = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
    "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}}"#;

/// A user's folder and a server; a job that reads from one bucket and writes into another.
struct Place {
    folder: tempfile::TempDir,
    server: Server,
}

impl Place {
    fn new() -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap(), server: Server::start() };
        place.server.make_bucket("models");
        for name in ["train.csv", "validation.csv"] {
            let bytes = fs::read(datasets().join("phishing").join(name)).unwrap();
            place.server.put("data", &format!("phishing/{name}"), &bytes);
        }
        let channel = |name: &str| {
            format!(
                "[channels.{name}]\nuri = \"s3://data/phishing/{name}.csv\"\nheader = true\n\
                 label = \"phishing\"\n"
            )
        };
        let text = format!(
            "[job]\nname = \"phishing\"\nseed = 7\nrole = \"{ROLE}\"\n[algorithm]\n\
             name = \"linear-learner\"\n[hyperparameters]\npredictor_type = \"binary_classifier\"\n\
             epochs = 4\nmini_batch_size = 100\n{}{}[output]\nuri = \"s3://models/out\"\n\
             [resources]\nthreads = 2\n[checkpoint]\nkeep = 1\ninterval_s = 0\n",
            channel("train"),
            channel("validation"),
        );
        fs::write(place.path("job.toml"), text).unwrap();
        place.iam(&["create-role", "--role-name", "Train", "--assume-role-policy-document", TRUST]);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smrt"));
        command.args(arguments).current_dir(self.folder.path());
        command.env("SMRT_HOME", self.path("home")).env_remove("SMRT_AUDIT");
        command.envs(self.server.variables());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What is told by a command that does its work.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What is told by one that does not.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?} was done or failed otherwise");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let last = text.rfind("error: ").unwrap_or_default();
        text[last..].to_owned()
    }

    fn iam(&self, arguments: &[&str]) -> String {
        self.done(&[&["iam"], arguments].concat())
    }

    /// Gives the role these statements and no others.
    fn allow(&self, statements: &[Value]) {
        let policy = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
        let role = ["--role-name", "Train", "--policy-name", "all"];
        self.iam(&[&["put-role-policy"], &role[..], &["--policy-document", &policy]].concat());
    }

    fn least(&self, arguments: &[&str]) -> Vec<Value> {
        let told = self.iam(&[&["least"], arguments].concat());
        let policy: Value = serde_json::from_str(&told).unwrap();
        policy["Statement"].as_array().unwrap().clone()
    }

    /// Every object in the bucket of models.
    fn stored(&self) -> Vec<String> {
        fn walk(folder: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                match entry.path() {
                    path if path.is_dir() => walk(&path, found),
                    path => found.push(path.display().to_string()),
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.server.path("models", ""), &mut found);
        found.retain(|name| !name.rsplit('/').next().unwrap().starts_with(".s3s"));
        found
    }
}

/// The statements, one for each action and resource.
fn single(statements: &[Value]) -> Vec<Value> {
    let list = |value: &Value| match value {
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    };
    let mut all = Vec::new();
    for statement in statements {
        for action in list(&statement["Action"]) {
            for resource in list(&statement["Resource"]) {
                let mut one = statement.clone();
                one["Action"] = action.clone();
                one["Resource"] = resource;
                all.push(one);
            }
        }
    }
    all
}

/// The statement that a refusal says is missing.
fn missing(told: &str) -> Value {
    let at = told.find('{').unwrap_or_else(|| panic!("no statement in {told}"));
    let mut values = serde_json::Deserializer::from_str(&told[at..]).into_iter();
    values.next().unwrap().unwrap()
}

#[test]
fn threat_16_a_role_that_lacks_any_one_permission_fails_a_job_by_its_name_and_leaves_nothing() {
    let place = Place::new();
    let all = single(&place.least(&["job.toml"]));
    let actions: std::collections::BTreeSet<&str> =
        all.iter().map(|one| one["Action"].as_str().unwrap()).collect();
    let expected = [
        "kms:GenerateDataKey",
        "s3:AbortMultipartUpload",
        "s3:DeleteObject",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
    ];
    assert_eq!(actions.into_iter().collect::<Vec<_>>(), expected);
    for (at, left_out) in all.iter().enumerate() {
        let action = left_out["Action"].as_str().unwrap();
        let resource = left_out["Resource"].as_str().unwrap();
        let rest: Vec<Value> = all
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != at)
            .map(|(_, v)| v.clone())
            .collect();
        place.allow(&rest);
        let told = place.refused(&["train", "job.toml"]);
        assert!(told.contains(&format!("role Train may not {action} on ")), "{action}: {told}");
        let statement = missing(&told);
        assert_eq!(statement["Action"], action, "{told}");
        let named = statement["Resource"].as_str().unwrap();
        assert!(
            named.starts_with(resource.trim_end_matches(".checkpoint").trim_end_matches('*')),
            "{told}"
        );
        assert_eq!(place.stored(), Vec::<String>::new(), "{action} left something");
        assert_eq!(place.server.unfinished_uploads(), Vec::<String>::new(), "{action}");
    }
    place.allow(&all);
    let told = place.done(&["train", "job.toml"]);
    assert!(told.contains("s3://models/out/phishing/output/model.tar.gz"), "{told}");
    // The artifact, and the record of it.
    assert_eq!(place.stored().len(), 2, "{:?}", place.stored());
}

#[test]
fn the_statement_that_is_missing_can_be_pasted() {
    let place = Place::new();
    let mut granted = Vec::new();
    place.allow(&[json!({ "Effect": "Deny", "Action": "s3:PutObjectAcl", "Resource": "*" })]);
    // Each refusal brings its own cure; a job has few objects.
    for _ in 0..40 {
        let few = ["train", "--set", "checkpoint.interval_s=3600", "job.toml"];
        let output = place.run(&few);
        if output.status.success() {
            assert!(granted.len() >= 7, "{granted:?}");
            return;
        }
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        granted.push(missing(&told[told.rfind("error: ").unwrap()..]));
        place.allow(&granted);
    }
    panic!("never enough: {granted:#?}");
}

#[test]
fn the_least_policy_is_enough_and_no_statement_of_it_can_be_left_out() {
    let place = Place::new();
    let train = place.least(&["job.toml"]);
    place.allow(&train);
    place.done(&["train", "job.toml"]);
    let transform = format!(
        "[job]\nname = \"scores\"\nrole = \"{ROLE}\"\n[model]\n\
         uri = \"s3://models/out/phishing/output/model.tar.gz\"\n[input]\nuri = \"s3://data/rows/\"\n\
         split_type = \"Line\"\n[output]\nuri = \"s3://models/scores\"\nkms_key = \"alias/smrt\"\n"
    );
    fs::write(place.path("transform.toml"), transform).unwrap();
    place.server.put("data", "rows/a.csv", b"1,2,3,4,5,6,7,8,9\n0,0,0,0,0,0,0,0,0\n");
    let scores = place.least(&["transform.toml"]);
    // A job that goes on from a model opens that too.
    let later = fs::read_to_string(place.path("job.toml")).unwrap();
    let later = later.replace("name = \"phishing\"\nseed", "name = \"later\"\nseed");
    let model = "[channels.model]\nuri = \"s3://models/out/phishing/output/\"\n\
                 content_type = \"application/x-sagemaker-model\"\n[output]";
    fs::write(place.path("later.toml"), later.replace("[output]", model)).unwrap();
    for (command, file, least) in
        [("train", "job.toml", train), ("transform", "transform.toml", scores)]
    {
        place.allow(&least);
        place.done(&[command, file]);
        for at in 0..least.len() {
            let mut rest = least.clone();
            let gone = rest.remove(at);
            place.allow(&rest);
            let told = place.refused(&[command, file]);
            assert!(told.contains("role Train may not "), "without {gone}: {told}");
        }
    }
}

#[test]
fn threat_16_who_may_not_pass_a_role_or_start_the_work_starts_nothing() {
    let place = Place::new();
    place.allow(&place.least(&["job.toml"]));
    place.iam(&["create-user", "--user-name", "teller"]);
    let job = "arn:aws:sagemaker:us-east-1:000000000000:training-job/phishing";
    let grant = |statements: Value| {
        let text = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
        let user = ["--user-name", "teller", "--policy-name", "start"];
        place.iam(&[&["put-user-policy"], &user[..], &["--policy-document", &text]].concat());
    };
    let train = ["train", "--caller", "teller", "job.toml"];
    let create = json!({ "Effect": "Allow", "Action": "sagemaker:CreateTrainingJob", "Resource": job,
        "Condition": { "NumericLessThanEquals": { "sagemaker:MaxRuntimeInSeconds": "86400" } } });
    let pass = |service: &str| {
        json!({ "Effect": "Allow", "Action": "iam:PassRole", "Resource": ROLE,
            "Condition": { "StringEquals": { "iam:PassedToService": service } } })
    };
    grant(json!([pass("sagemaker.amazonaws.com")]));
    let told = place.refused(&train);
    assert!(told.contains("may not sagemaker:CreateTrainingJob on "), "{told}");
    assert_eq!(missing(&told)["Resource"], job);
    for others in [json!([create]), json!([create, pass("lambda.amazonaws.com")])] {
        grant(others);
        let told = place.refused(&train);
        assert!(told.contains("user/teller may not iam:PassRole on "), "{told}");
        assert_eq!(missing(&told)["Resource"], ROLE);
    }
    grant(json!([create, pass("sagemaker.amazonaws.com")]));
    // A bound on the work is a bound on the caller.
    let longer =
        ["train", "--caller", "teller", "--set", "stopping.max_runtime_s=90000", "job.toml"];
    assert!(place.refused(&longer).contains("sagemaker:CreateTrainingJob"));
    assert_eq!(place.stored(), Vec::<String>::new());
    place.done(&train);
    let told = place.run(&["train", "--caller", "nobody", "job.toml"]);
    assert!(String::from_utf8_lossy(&told.stderr).contains("there is no user nobody"));
}

#[test]
fn threat_16_a_role_serves_only_the_service_the_account_and_the_work_that_it_trusts() {
    let place = Place::new();
    place.allow(&place.least(&["job.toml"]));
    let trust = |principal: Value, condition: Value| {
        let text = json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow",
            "Principal": principal, "Action": "sts:AssumeRole", "Condition": condition } });
        let text = text.to_string();
        let role = ["--role-name", "Train", "--policy-document", &text];
        place.iam(&[&["update-assume-role-policy"], &role[..]].concat());
    };
    let service = json!({ "Service": "sagemaker.amazonaws.com" });
    let arn = |tail: &str| format!("arn:aws:sagemaker:us-east-1:000000000000:{tail}");
    for (why, principal, condition) in [
        ("another service", json!({ "Service": "lambda.amazonaws.com" }), json!({})),
        ("a user only", json!({ "AWS": "arn:aws:iam::000000000000:root" }), json!({})),
        (
            "another account",
            service.clone(),
            json!({ "StringEquals": { "aws:SourceAccount": "111122223333" } }),
        ),
        (
            "other work",
            service.clone(),
            json!({ "ArnLike": { "aws:SourceArn": arn("endpoint/*") } }),
        ),
    ] {
        trust(principal, condition);
        let told = place.refused(&["train", "job.toml"]);
        assert!(told.contains("sagemaker.amazonaws.com may not sts:AssumeRole"), "{why}: {told}");
        assert!(told.contains("its trust policy "), "{why}: {told}");
    }
    assert_eq!(place.stored(), Vec::<String>::new());
    trust(
        service,
        json!({ "StringEquals": { "aws:SourceAccount": "000000000000" },
                "ArnLike": { "aws:SourceArn": arn("training-job/phish*") } }),
    );
    place.done(&["train", "job.toml"]);
}

#[test]
fn an_endpoint_reads_and_opens_what_its_role_allows() {
    let place = Place::new();
    place.allow(&place.least(&["job.toml"]));
    place.done(&["train", "job.toml"]);
    let endpoint = format!(
        "[endpoint]\nname = \"phishing\"\nrole = \"{ROLE}\"\n[listener]\naddress = \"127.0.0.1:0\"\n\
         [variants.blue]\nmodel = \"s3://models/out/phishing/output/model.tar.gz\"\n"
    );
    fs::write(place.path("endpoint.toml"), endpoint).unwrap();
    let least = place.least(&["endpoint.toml"]);
    assert_eq!(least.len(), 2, "{least:?}");
    for at in 0..2 {
        let mut rest = least.clone();
        let gone = rest.remove(at);
        place.allow(&rest);
        let told = place.refused(&["serve", "endpoint.toml"]);
        let action = gone["Action"].as_str().unwrap();
        assert!(told.contains(&format!("role Train may not {action} on ")), "{told}");
    }
    place.allow(&least);
    let artifact = "s3://models/out/phishing/output/model.tar.gz";
    let by_options =
        ["serve", "--listen", "127.0.0.1:0", "--name", "phishing", "--role", ROLE, artifact];
    for arguments in [&["serve", "endpoint.toml"][..], &by_options] {
        let mut serving = place.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut greeting = String::new();
        BufReader::new(serving.stdout.take().unwrap()).read_line(&mut greeting).unwrap();
        serving.kill().unwrap();
        serving.wait().unwrap();
        assert!(greeting.starts_with("serving phishing"), "{greeting}");
    }
}

#[test]
fn a_role_holds_for_files_too_and_follows_links() {
    let place = Place::new();
    let data = place.path("data");
    fs::create_dir(&data).unwrap();
    for name in ["train.csv", "validation.csv"] {
        fs::copy(datasets().join("phishing").join(name), place.path(name)).unwrap();
        std::os::unix::fs::symlink(place.path(name), data.join(name)).unwrap();
    }
    let text = fs::read_to_string(place.path("job.toml")).unwrap();
    let text = text.replace("s3://data/phishing/", "data/").replace("s3://models/out", "out");
    fs::write(place.path("job.toml"), text).unwrap();
    let root = place.folder.path().canonicalize().unwrap();
    let arn = |name: &str| format!("arn:smrt:file:::{}/{name}", root.display());
    let rest = json!({ "Effect": "Allow", "Action": "*", "Resource": [arn("out/*"), "arn:smrt:kms:*:*:*"] });
    let inside = json!({ "Effect": "Allow", "Action": "s3:*", "Resource": arn("data/*") });
    place.allow(&[rest.clone(), inside]);
    let told = place.refused(&["train", "job.toml"]);
    assert!(told.contains(&format!("on {}", arn("train.csv"))), "a link leads out: {told}");
    assert!(!place.path("out").exists());
    let behind = json!({ "Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetObject"],
        "Resource": [arn("train.csv"), arn("validation.csv")] });
    place.allow(&[rest, behind]);
    place.done(&["train", "job.toml"]);
    // And what is least for files is enough.
    fs::remove_dir_all(place.path("out")).unwrap();
    place.allow(&place.least(&["job.toml"]));
    place.done(&["train", "job.toml"]);
}
