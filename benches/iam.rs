//! What identity and policy cost an invocation: a signature of SigV4, and a decision on a typical
//! role and on a long one. `cargo bench --bench iam`.

use std::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use smrt::fault::Fault;
use smrt::iam::door::{Arrival, Door};
use smrt::iam::policy::{Context, Kind, Policies, Policy, Principal, Request, decide};
use smrt::iam::sigv4::{self, PathRule, Request as Signed, Rules, Secret, Signer, sha256};
use smrt::iam::state::{Keeper, State, Whom};
use smrt::iam::time;
use smrt::telemetry::audit::{Audit, Record, SAGEMAKER};

const ENDPOINT: &str = "arn:aws:sagemaker:us-east-1:111122223333:endpoint/fraud";

/// What a data scientist's role has: `statements` of them, the last one the one that matters.
fn role(statements: usize) -> Arc<Policy> {
    let mut all = vec![
        r#"{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject","s3:ListBucket"],"Resource":["arn:aws:s3:::fraud-data","arn:aws:s3:::fraud-data/*"]}"#.to_owned(),
        r#"{"Effect":"Allow","Action":["logs:CreateLogStream","logs:PutLogEvents"],"Resource":"arn:aws:logs:*:*:log-group:/aws/sagemaker/*"}"#.into(),
        r#"{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"kms:ViaService":"s3.us-east-1.amazonaws.com"}}}"#.into(),
        r#"{"Effect":"Deny","Action":"sagemaker:Create*","Resource":"*","Condition":{"Bool":{"sagemaker:NetworkIsolation":"false"}}}"#.into(),
        r#"{"Effect":"Deny","Action":"sagemaker:InvokeEndpoint","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":["10.0.0.0/8","127.0.0.0/8"]}}}"#.into(),
    ];
    for number in all.len()..statements - 1 {
        all.push(format!(
            r#"{{"Effect":"Allow","Action":"sagemaker:InvokeEndpoint","Resource":"arn:aws:sagemaker:*:*:endpoint/team-{number}-*"}}"#
        ));
    }
    all.push(
        r#"{"Effect":"Allow","Action":["sagemaker:InvokeEndpoint","sagemaker:InvokeEndpointAsync"],"Resource":"arn:aws:sagemaker:*:*:endpoint/fraud","Condition":{"StringLike":{"sagemaker:TargetModel":"fraud-*"}}}"#.into(),
    );
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, all.join(","));
    Arc::new(Policy::read("role", &text, Kind::Identity).expect("a good policy"))
}

/// Keeps nothing secret: the file is read once.
struct Plain;

impl Keeper for Plain {
    fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, Box<dyn Fault>> {
        Ok(plain.to_vec())
    }

    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, Box<dyn Fault>> {
        Ok(sealed.to_vec())
    }
}

/// A door with one caller who has a typical role's policy.
fn door(folder: &std::path::Path) -> (Arc<Door>, String, Secret) {
    let state = State::new(folder.join("state"), Arc::new(Plain));
    let made = state.change(|all| {
        all.create_user("teller", "/", None)?;
        all.put_policy(Whom::User("teller"), "role", ("role", &role(16).text))?;
        all.create_access_key("teller")
    });
    let key = made.expect("a user with a key");
    (Door::open(state, "us-east-1").expect("a door"), key.id, key.secret)
}

/// What the endpoint records of an invocation.
fn invocation<'a>(caller: &'a str, resource: &'a str) -> Record<'a> {
    Record {
        time_s: 1_764_000_000,
        source: SAGEMAKER,
        name: "InvokeEndpoint",
        region: "us-east-1",
        principal: Some(caller),
        address: "10.1.2.3".into(),
        agent: Some("Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux lang/python#3.11"),
        request: "0d6f0b52-7f6b-4a3e-9b0e-2f5b8c9d1e00",
        resource,
        parameters: vec![
            ("endpointName", "fraud".into()),
            ("inferenceId", serde_json::Value::Null),
            ("targetModel", "fraud-eu.tar.gz".into()),
        ],
        more: vec![
            ("status", 200.into()),
            ("rows", 1.into()),
            ("bytesTransferredIn", 141.into()),
            ("bytesTransferredOut", 20.into()),
        ],
        ..Record::default()
    }
}

/// What all threads of this process have run for so far.
fn cpu() -> std::time::Duration {
    let threads = std::fs::read_dir("/proc/self/task").expect("a Linux machine");
    let times = threads.flatten().filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    std::time::Duration::from_nanos(times.sum())
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("iam");
    let caller = Principal::new("arn:aws:sts::111122223333:assumed-role/Teller/counter-7");
    for statements in [8, 16, 32, 100, 1_000] {
        let identity = [role(statements)];
        let policies = Policies { identity: &identity, ..Policies::default() };
        group.bench_function(format!("decide, {statements} statements"), |bencher| {
            bencher.iter(|| {
                // The context is made anew for each invocation.
                let context = Context::new()
                    .with("aws:SourceIp", "10.1.2.3")
                    .with("aws:PrincipalArn", caller.arn())
                    .with("sagemaker:TargetModel", "fraud-eu.tar.gz");
                let request = Request::new(&caller, "sagemaker:InvokeEndpoint", ENDPOINT, &context);
                let decision = decide(&request, black_box(&policies));
                assert!(decision.is_allowed());
            });
        });
    }
    let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into());
    let body = vec![b'1'; 141];
    let mut headers: Vec<(&str, &[u8])> = vec![
        ("host", b"127.0.0.1:8080"),
        ("accept", b"application/json"),
        ("content-type", b"text/csv"),
        ("user-agent", b"Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux lang/python#3.11"),
        ("x-amz-date", b"20251124T160000Z"),
    ];
    let (path, query) = ("/endpoints/fraud/invocations", "");
    let signer = Signer {
        access_key: "AKIAIOSFODNN7EXAMPLE",
        secret: &secret,
        region: "us-east-1",
        service: "sagemaker",
        date: "20251124T160000Z",
        path: PathRule::Normalised,
    };
    let authorization =
        signer.authorization(&Signed { method: "POST", path, query, headers: &headers }, &body);
    headers.push(("authorization", authorization.as_bytes()));
    let request = Signed { method: "POST", path, query, headers: &headers };
    let rules = Rules::sagemaker("us-east-1", 1_764_000_000);
    group.bench_function("verify a signature, 141 bytes of body", |bencher| {
        bencher.iter(|| {
            let digest = sha256(black_box(&body));
            sigv4::verify(&request, &rules, &digest, |_| Some(&secret)).expect("a good signature")
        });
    });
    let folder = tempfile::tempdir().expect("a folder to work in");
    let (door, credential, secret) = door(folder.path());
    let date = time::to_basic(time::now());
    let signer = Signer { access_key: &credential, secret: &secret, date: &date, ..signer };
    let mut headers = headers[..5].to_vec();
    headers[4].1 = date.as_bytes();
    let authorization =
        signer.authorization(&Signed { method: "POST", path, query, headers: &headers }, &body);
    headers.push(("authorization", authorization.as_bytes()));
    let request = Signed { method: "POST", path, query, headers: &headers };
    group.bench_function("a whole invocation: signature, caller and policy", |bencher| {
        bencher.iter(|| {
            let source = std::net::IpAddr::from([10, 1, 2, 3]);
            let arrival = Arrival { request, named: None, private: false, source };
            let asked = door.ask(&arrival).expect("a good claim");
            let known = asked.prove(&door, &arrival, black_box(&body)).expect("a good signature");
            let mut context = known.context(&door, &arrival);
            context.add("sagemaker:targetmodel", "fraud-eu.tar.gz".into());
            known
                .may("sagemaker:InvokeEndpoint", &door.endpoint_arn("fraud"), &context)
                .expect("allowed");
        });
    });
    group.bench_function("the same with its audit record, CPU of all threads", |bencher| {
        // In memory where there is such a place: what a disk takes is not CPU.
        let shared = std::path::Path::new("/dev/shm");
        let memory = match shared.is_dir() {
            true => tempfile::tempdir_in(shared),
            false => tempfile::tempdir(),
        };
        let memory = memory.expect("a folder to work in");
        bencher.iter_custom(|times| {
            let log = Audit::open(&memory.path().join("audit.jsonl")).expect("a log");
            let before = cpu();
            for _ in 0..times {
                let source = std::net::IpAddr::from([10, 1, 2, 3]);
                let arrival = Arrival { request, named: None, private: false, source };
                let asked = door.ask(&arrival).expect("a good claim");
                let known = asked.prove(&door, &arrival, black_box(&body)).expect("a good one");
                let mut context = known.context(&door, &arrival);
                context.add("sagemaker:targetmodel", "fraud-eu.tar.gz".into());
                let resource = door.endpoint_arn("fraud");
                known.may("sagemaker:InvokeEndpoint", &resource, &context).expect("allowed");
                log.record(&invocation(&known.arn(), &resource));
            }
            log.write(&Record::default()).wait().expect("a log that is written");
            cpu() - before
        });
    });
    // Both are refused as one, and must cost the same: only the secret differs from the case above.
    let wrong = Secret::new("x".repeat(40));
    let forged = Signer { secret: &wrong, ..signer };
    let stranger = Signer { access_key: "AKIAAAAAAAAAAAAAAAAA", ..forged };
    for (name, signer) in [("refuse a wrong secret", forged), ("refuse an unknown key", stranger)] {
        let mut headers = headers[..5].to_vec();
        let signed = Signed { method: "POST", path, query, headers: &headers };
        let authorization = signer.authorization(&signed, &body);
        headers.push(("authorization", authorization.as_bytes()));
        let request = Signed { method: "POST", path, query, headers: &headers };
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let source = std::net::IpAddr::from([10, 1, 2, 3]);
                let arrival = Arrival { request, named: None, private: false, source };
                let asked = door.ask(&arrival).expect("a good claim");
                asked.prove(&door, &arrival, black_box(&body)).expect_err("a bad signature")
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
