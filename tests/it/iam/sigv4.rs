//! SigV4 against the public suite of aws-c-auth, against each way to change a signed request, and
//! against requests that botocore signs.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;

use proptest::prelude::*;
use smrt::iam::sigv4::{self, PathRule, Refusal, Request, Rules, Secret, Signer, sha256};
use smrt::iam::time;

/// A request as it stands in a file of the suite.
#[derive(Debug, Clone)]
struct Raw {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Raw {
    fn read(text: &str) -> Raw {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let first = lines.next().unwrap();
        let (method, rest) = first.split_once(' ').unwrap();
        let (target, _) = rest.rsplit_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
        for line in lines {
            if line.starts_with(' ') {
                let (_, value) = headers.last_mut().unwrap();
                value.extend_from_slice(b"\n");
                value.extend_from_slice(line.as_bytes());
            } else {
                let (name, value) = line.split_once(':').unwrap();
                headers.push((name.into(), value.as_bytes().to_vec()));
            }
        }
        let [method, path, query] = [method, path, query].map(String::from);
        Raw { method, path, query, headers, body: body.trim_end_matches('\n').as_bytes().to_vec() }
    }

    fn verify(&self, rules: &Rules<'_>, access_key: &str, secret: &Secret) -> Result<(), Refusal> {
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let request = Request {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &headers,
        };
        let lookup = |given: &str| (given == access_key).then_some(secret);
        sigv4::verify(&request, rules, &sha256(&self.body), lookup).map(drop)
    }

    /// Every request that differs in one field, with the name of the change.
    fn mutations(&self) -> Vec<(String, Raw)> {
        let mut all = Vec::new();
        let mut add = |name: String, change: &dyn Fn(&mut Raw)| {
            let mut raw = self.clone();
            change(&mut raw);
            all.push((name, raw));
        };
        let other = if self.method == "GET" { "PUT" } else { "GET" };
        add("method".into(), &|raw| raw.method = other.into());
        add("path".into(), &|raw| raw.path.push('x'));
        add("body".into(), &|raw| raw.body.push(b'x'));
        add("a parameter more".into(), &|raw| {
            raw.query = format!("{}{}zz=1", raw.query, if raw.query.is_empty() { "" } else { "&" });
        });
        let pairs: Vec<String> = self.query.split('&').map(String::from).collect();
        for (at, pair) in pairs.iter().enumerate().filter(|(_, pair)| !pair.is_empty()) {
            let with = |new: Option<String>| {
                let mut pairs = pairs.clone();
                match new {
                    Some(new) => pairs[at] = new,
                    None => drop(pairs.remove(at)),
                }
                pairs.join("&")
            };
            add(format!("without {pair}"), &|raw| raw.query = with(None));
            add(format!("{pair} longer"), &|raw| raw.query = with(Some(format!("{pair}1"))));
            add(format!("{pair} twice"), &|raw| {
                raw.query = with(Some(format!("{pair}&{pair}")));
            });
            let last = pair.chars().last().unwrap();
            let changed = if last == '0' { '1' } else { '0' };
            let cut = &pair[..pair.len() - last.len_utf8()];
            add(format!("{pair} changed"), &|raw| {
                raw.query = with(Some(format!("{cut}{changed}")))
            });
        }
        for (at, (name, value)) in self.headers.iter().enumerate() {
            add(format!("without {name}"), &|raw| drop(raw.headers.remove(at)));
            add(format!("{name} longer"), &|raw| raw.headers[at].1.extend_from_slice(b"1"));
            add(format!("{name} twice"), &|raw| {
                let again = raw.headers[at].clone();
                raw.headers.push(again);
            });
            if name == "Authorization" {
                // Every byte of the credential, the names and the signature.
                for (place, byte) in value.iter().enumerate() {
                    let new = if *byte == b'a' { b'b' } else { b'a' };
                    add(format!("{name} byte {place}"), &|raw| raw.headers[at].1[place] = new);
                }
            }
        }
        all
    }
}

/// The folder of the suite's cases by name, or `None` with the reason printed.
fn suite() -> Option<BTreeMap<String, BTreeMap<String, String>>> {
    let shared = std::env::var_os("SMRT_SHARED").map(PathBuf::from);
    let file = shared.map(|shared| shared.join("vectors/sigv4/aws-signing-test-suite-v4.tar.gz"));
    let Some(bytes) = file.and_then(|file| std::fs::read(file).ok()) else {
        println!("skipped: SMRT_SHARED has no vectors/sigv4/aws-signing-test-suite-v4.tar.gz");
        return None;
    };
    let mut cases: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let [.., case, file] = parts.as_slice() else { continue };
        let mut text = String::new();
        if entry.header().entry_type().is_file() && entry.read_to_string(&mut text).is_ok() {
            cases.entry(case.clone()).or_default().insert(file.clone(), text);
        }
    }
    Some(cases)
}

#[test]
fn threat_13_the_public_suite_verifies_and_every_request_changed_in_one_field_is_refused() {
    let Some(cases) = suite() else { return };
    let (mut good, mut refused) = (0, 0);
    for (name, files) in &cases {
        let context: serde_json::Value = serde_json::from_str(&files["context.json"]).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let secret = Secret::new(text(&context["credentials"]["secret_access_key"]));
        let access_key = text(&context["credentials"]["access_key_id"]);
        let (region, service) = (text(&context["region"]), text(&context["service"]));
        let normalise = context["normalize"].as_bool().unwrap();
        let rules = Rules {
            service: &service,
            region: &region,
            now_s: time::date(&text(&context["timestamp"])).unwrap() as i64,
            path: if normalise { PathRule::Normalised } else { PathRule::Kept },
            private: false,
            must_sign: &["x-amz-"],
            token_unsigned: context["omit_session_token"].as_bool() == Some(true),
        };
        for form in ["header-signed-request.txt", "query-signed-request.txt"] {
            let raw = Raw::read(&files[form]);
            let outcome = raw.verify(&rules, &access_key, &secret);
            assert_eq!(outcome, Ok(()), "{name} {form}");
            good += 1;
            for (change, mutated) in raw.mutations() {
                let token = rules.token_unsigned && change.contains("X-Amz-Security-Token");
                // Only a session token that is added after signing may differ: it is checked
                // against the key. And a header no one signed is not part of the signature.
                let unsigned = form.starts_with("query")
                    && !raw.query.to_lowercase().contains("content-type")
                    && change.contains("Content-");
                if token || unsigned {
                    continue;
                }
                let outcome = mutated.verify(&rules, &access_key, &secret);
                assert!(outcome.is_err(), "{name} {form}: {change} was accepted");
                refused += 1;
            }
            let wrong = Secret::new("wrong".into());
            let outcome = raw.verify(&rules, &access_key, &wrong);
            assert_eq!(outcome, Err(Refusal::Mismatch), "{name} {form}");
            let outcome = raw.verify(&rules, "SOMEBODYELSE", &secret);
            assert_eq!(outcome, Err(Refusal::Mismatch), "{name} {form}");
        }
    }
    assert_eq!(good, 76);
    println!("{good} of 76 signatures verified, {refused} changed requests refused");
}

const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const NOW_S: i64 = 1_764_000_000;

fn secret() -> Secret {
    Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into())
}

/// A request signed in its header at `signed_s`.
fn signed(path: &str, query: &str, more: &[(&str, &str)], body: &[u8], signed_s: i64) -> Raw {
    let date = time::to_basic(signed_s);
    let mut headers: Vec<(String, Vec<u8>)> = vec![
        ("Host".into(), b"localhost:8080".to_vec()),
        ("X-Amz-Date".into(), date.clone().into()),
    ];
    headers.extend(more.iter().map(|(name, value)| ((*name).into(), value.as_bytes().to_vec())));
    let mut raw = Raw {
        method: "POST".into(),
        path: path.into(),
        query: query.into(),
        headers,
        body: body.to_vec(),
    };
    let secret = secret();
    let signer = Signer {
        access_key: ACCESS_KEY,
        secret: &secret,
        region: "us-east-1",
        service: "sagemaker",
        date: &date,
        path: PathRule::Normalised,
    };
    let borrowed: Vec<(&str, &[u8])> =
        raw.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    let request = Request { method: "POST", path, query, headers: &borrowed };
    let authorization = signer.authorization(&request, body);
    raw.headers.push(("Authorization".into(), authorization.into()));
    raw
}

fn outcome(raw: &Raw, now_s: i64) -> Result<(), Refusal> {
    raw.verify(&Rules::sagemaker("us-east-1", now_s), ACCESS_KEY, &secret())
}

const PATH: &str = "/endpoints/fraud/invocations";

#[test]
fn threat_14_a_signature_is_good_for_fifteen_minutes_before_and_after_its_time() {
    let raw = signed(PATH, "", &[], b"1,2", NOW_S);
    for (away_s, good) in [(0, true), (900, true), (-900, true), (901, false), (-901, false)] {
        let outcome = outcome(&raw, NOW_S + away_s);
        match good {
            true => assert_eq!(outcome, Ok(()), "{away_s}"),
            false => {
                assert!(matches!(outcome, Err(Refusal::Skewed { .. })), "{away_s}: {outcome:?}")
            }
        }
    }
}

#[test]
fn another_region_service_or_day_in_the_scope_is_refused() {
    let raw = signed(PATH, "", &[], b"1,2", NOW_S);
    let secret = secret();
    let rules = Rules::sagemaker("us-east-1", NOW_S);
    for rules in [Rules { region: "eu-west-1", ..rules }, Rules { service: "s3", ..rules }] {
        let outcome = raw.verify(&rules, ACCESS_KEY, &secret);
        assert!(matches!(outcome, Err(Refusal::Incomplete { .. })), "{outcome:?}");
    }
}

#[test]
fn a_header_that_steers_the_invocation_must_be_signed() {
    for name in ["X-Amzn-SageMaker-Target-Model", "X-Amz-Target", "x-amz-meta-a"] {
        let good = signed(PATH, "", &[(name, "a.tar.gz")], b"1,2", NOW_S);
        assert_eq!(outcome(&good, NOW_S), Ok(()));
        let mut added = signed(PATH, "", &[], b"1,2", NOW_S);
        added.headers.push((name.into(), b"a.tar.gz".to_vec()));
        let outcome = outcome(&added, NOW_S);
        assert!(matches!(outcome, Err(Refusal::Incomplete { .. })), "{name}: {outcome:?}");
    }
}

#[test]
fn an_unsigned_payload_needs_a_private_line() {
    let content = [("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")];
    let raw = signed(PATH, "", &content, b"", NOW_S);
    let rules = Rules::sagemaker("us-east-1", NOW_S);
    let open = raw.verify(&rules, ACCESS_KEY, &secret());
    assert!(matches!(open, Err(Refusal::Incomplete { .. })), "{open:?}");
}

#[test]
fn a_declared_digest_is_checked_against_the_body_that_came() {
    let digest = hex::encode(sha256(b"1,2"));
    let headers = [("X-Amz-Content-Sha256", digest.as_str())];
    let mut raw = signed(PATH, "", &headers, b"1,2", NOW_S);
    assert_eq!(outcome(&raw, NOW_S), Ok(()));
    raw.body = b"1,3".to_vec();
    assert_eq!(outcome(&raw, NOW_S), Err(Refusal::Body));
}

#[test]
fn strange_authorization_headers_are_refused_and_never_panic() {
    for text in [
        "",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=,SignedHeaders=,Signature=",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request,SignedHeaders=host,Signature=00",
        "AWS4-HMAC-SHA256 Credential=a, Credential=b",
        "AWS4-HMAC-SHA512 x",
        "Bearer abc",
        "AWS4-HMAC-SHA256 Credential=é/é/é/é/aws4_request, SignedHeaders=é;host, Signature=é",
    ] {
        let mut raw = signed(PATH, "", &[], b"", NOW_S);
        raw.headers.last_mut().unwrap().1 = text.as_bytes().to_vec();
        assert!(matches!(outcome(&raw, NOW_S), Err(Refusal::Incomplete { .. })), "{text}");
    }
    let mut raw = signed(PATH, "", &[], b"", NOW_S);
    raw.headers.pop();
    assert_eq!(outcome(&raw, NOW_S), Err(Refusal::Missing));
}

proptest! {
    #[test]
    fn what_is_signed_verifies_and_what_is_changed_does_not(
        path in "(/[a-zA-Z0-9._~%+= -]{0,8}){1,4}",
        query in "([a-z]{1,3}=[a-zA-Z0-9%+/~.-]{0,6}(&[a-z]{1,3}=[a-z0-9]{0,3}){0,3})?",
        value in "[ -~]{0,20}",
        body in proptest::collection::vec(any::<u8>(), 0..64),
        flip in any::<(prop::sample::Index, u8)>(),
    ) {
        let raw = signed(&path, &query, &[("X-Custom", &value)], &body, NOW_S);
        prop_assert_eq!(outcome(&raw, NOW_S), Ok(()));
        let mut changed = raw.clone();
        changed.body.push(flip.1);
        prop_assert!(outcome(&changed, NOW_S).is_err());
        let mut changed = raw.clone();
        let signature = &mut changed.headers.last_mut().unwrap().1;
        let at = flip.0.index(signature.len());
        signature[at] = signature[at].wrapping_add(flip.1.max(1));
        prop_assert!(outcome(&changed, NOW_S).is_err());
    }

    #[test]
    fn strangers_bytes_never_panic(
        authorization in "\\PC{0,200}",
        query in "(X-Amz-(Signature|Algorithm|Credential|Date|Expires|SignedHeaders)=\\PC{0,20}&?){0,8}",
        path in "\\PC{0,40}",
    ) {
        let headers: Vec<(&str, &[u8])> =
            vec![("Host", b"a"), ("X-Amz-Date", b"20251124T160000Z"), ("Authorization", authorization.as_bytes())];
        for headers in [&headers[..], &headers[..2]] {
            let request = Request { method: "GET", path: &path, query: &query, headers };
            let rules = Rules::sagemaker("us-east-1", NOW_S);
            let secret = secret();
            prop_assert!(sigv4::verify(&request, &rules, &sha256(b""), |_| Some(&secret)).is_err());
        }
    }
}

/// Signs with botocore as `sagemaker-runtime` does, and presigned; one JSON line each.
const BOTOCORE: &str = r#"
import json, sys
from botocore.auth import SigV4Auth, SigV4QueryAuth, S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
import random
random.seed(7)
names = ["fraud", "a b", "x~y", "é", "a%20b", "..", "q+r", "a//b"]
for at in range(400):
    token = "token/+=" * 3 if at % 3 == 0 else None
    credentials = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token)
    from urllib.parse import quote
    path = "/endpoints/" + quote(random.choice(names), safe="/~") + "/invocations"
    params = {}
    if at % 4 == 1:
        params = {random.choice("abc"): "v%d +/é" % at, "z": random.choice(["", "1 2"])}
    from urllib.parse import urlencode
    query = urlencode(params, quote_via=quote, safe="-_.~")
    url = "http://127.0.0.1:8080" + path + ("?" + query if query else "")
    kind = "query" if at % 5 == 0 else "header"
    body = bytes(random.randrange(256) for _ in range(random.randrange(40))) if kind == "header" else b""
    headers = {"Host": "127.0.0.1:8080", "Content-Type": "text/csv", "X-Amzn-SageMaker-Target-Model": "m  odel.tar.gz "}
    request = AWSRequest(method="POST", url=url, data=body, headers=headers)
    signer = SigV4QueryAuth(credentials, "sagemaker", "us-east-1", expires=60) if kind == "query" else SigV4Auth(credentials, "sagemaker", "us-east-1")
    signer.add_auth(request)
    prepared = request.prepare()
    target = prepared.url.split("127.0.0.1:8080", 1)[1]
    path, _, query = target.partition("?")
    print(json.dumps({"path": path, "query": query, "body": body.hex(), "kind": kind,
        "headers": [[n, v.decode() if isinstance(v, bytes) else v] for n, v in prepared.headers.items()]}))
"#;

#[test]
fn requests_signed_by_botocore_verify_in_header_and_in_query() {
    let Some(python) = super::python("botocore") else { return };
    let output = Command::new(python).args(["-c", BOTOCORE]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (mut count, secret) = (0, secret());
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        let headers = json["headers"].as_array().unwrap().iter().map(|pair| {
            (pair[0].as_str().unwrap().into(), pair[1].as_str().unwrap().as_bytes().to_vec())
        });
        let mut raw = Raw {
            method: "POST".into(),
            path: json["path"].as_str().unwrap().into(),
            query: json["query"].as_str().unwrap().into(),
            headers: headers.collect(),
            body: hex::decode(json["body"].as_str().unwrap()).unwrap(),
        };
        let rules = Rules::sagemaker("us-east-1", time::now());
        assert_eq!(raw.verify(&rules, ACCESS_KEY, &secret), Ok(()), "{line}");
        raw.path.push('x');
        assert!(raw.verify(&rules, ACCESS_KEY, &secret).is_err());
        count += 1;
    }
    assert_eq!(count, 400);
}
