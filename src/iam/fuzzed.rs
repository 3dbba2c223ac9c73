//! Strangers' bytes against this room's parsers; see [`crate::fuzzed`].

use std::sync::Arc;

use super::policy::{
    Context, Decision, Kind, Policies, Policy, Principal, Request as Wanted, decide, explain,
};
use super::sigv4::{
    Chunks, Claim, PathRule, Payload, Request, Rules, Secret, Signer, sha256, verify,
};
use super::state::{Directory, Document};
use super::time;
use crate::spec::problem::Problem;

/// 24 May 2013, the day of AWS's examples.
const NOW_S: i64 = 1_369_353_600;
const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// A policy document: what is wrong stands at a place that the text has, what is right decides.
pub(crate) fn policy(bytes: &[u8]) {
    let Some((choice, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let kind = [Kind::Identity, Kind::Resource, Kind::Trust][usize::from(*choice) % 3];
    match Policy::read("p", text, kind) {
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "refused without a reason");
            mistakes.problems.list.iter().for_each(|problem| has_place(text, problem));
        }
        Ok(policy) => {
            assert_eq!(Policy::read("p", &policy.text, kind).as_ref(), Ok(&policy));
            decided(policy);
        }
    }
}

fn has_place(text: &str, problem: &Problem) {
    let Some(line) = problem.line else { return };
    // A text that ends in a line feed ends on the line after it.
    let lines = text.split('\n').count();
    assert!((1..=lines).contains(&line), "line {line} of {lines}: {problem}");
    let column = problem.what.split_once("column ").map(|(_, rest)| rest);
    let digits = column.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    let column = digits.flatten().and_then(|digits| digits.parse::<usize>().ok());
    let length = text.split('\n').nth(line - 1).map_or(0, |line| line.chars().count());
    assert!(column.is_none_or(|column| column <= length + 1), "{problem} of {length}");
}

/// Deciding takes any policy; a denial beside it never grants, and what is explained is decided.
fn decided(policy: Policy) {
    let caller = Principal::new("arn:aws:iam::111122223333:user/teller");
    let resource = "arn:aws:sagemaker:us-east-1:111122223333:endpoint/fraud";
    let context = Context::new()
        .with("aws:username", "teller")
        .with("aws:SourceIp", "10.1.2.3")
        .with("aws:CurrentTime", "2013-05-24T00:00:00Z")
        .with("aws:SecureTransport", "true");
    let wanted = Wanted::new(&caller, "sagemaker:InvokeEndpoint", resource, &context);
    let deny =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}"#;
    let Ok(deny) = Policy::read("deny", deny, Kind::Identity) else { panic!("it is right") };
    let (policy, deny) = (Arc::new(policy), Arc::new(deny));
    let one = [Arc::clone(&policy)];
    let alone = Policies { identity: &one, ..Policies::default() };
    let decision = decide(&wanted, &alone);
    let explained = explain(&wanted, "sagemaker:InvokeEndpoint", &alone);
    assert_eq!(explained.decision.is_allowed(), decision.is_allowed());
    let two = [policy, deny];
    let both = Policies { identity: &two, ..Policies::default() };
    assert!(matches!(decide(&wanted, &both), Decision::Forbidden(_)), "a denial was passed over");
}

/// The state as it lies inside its seal: what is read, written and read again is the same.
pub(crate) fn state(bytes: &[u8]) {
    let Ok(document) = serde_json::from_slice::<Document>(bytes) else { return };
    let Ok(text) = serde_json::to_vec(&document) else { panic!("a state has no JSON") };
    let Ok(again) = serde_json::from_slice::<Document>(&text) else { panic!("not its own JSON") };
    assert_eq!(serde_json::to_vec(&again).ok().as_ref(), Some(&text));
    let Ok(directory) = Directory::of(&document, NOW_S) else { return };
    for name in document.users.keys() {
        assert!(directory.user(name).is_some(), "a user is lost");
    }
    let _ = document.sessions(NOW_S).count();
}

fn rules(path: PathRule) -> Rules<'static> {
    Rules { path, service: "s3", ..Rules::sagemaker("us-east-1", NOW_S) }
}

/// Target, headers and body.
type Lines<'a> = (&'a str, Vec<(&'a str, &'a [u8])>, &'a [u8]);

/// A request's lines: the target, then headers, then nothing and the body.
fn request(bytes: &[u8]) -> Option<Lines<'_>> {
    let end = memchr::memmem::find(bytes, b"\n\n")?;
    let (head, body) = (std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 2..]);
    let mut lines = head.lines();
    let target = lines.next()?;
    let split = |line| {
        let (name, value) = str::split_once(line, ':')?;
        Some((name, value.as_bytes()))
    };
    Some((target, lines.map_while(split).collect(), body))
}

/// A signed request, in its header or its query. Nobody has the secret it must be signed with, so
/// that one is right which this signer signs alike.
pub(crate) fn sigv4(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let Some((target, headers, body)) = request(bytes) else { return };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request { method: "POST", path, query, headers: &headers };
    let rule = [PathRule::Normalised, PathRule::Kept, PathRule::S3][usize::from(*choice) % 3];
    let rules = Rules { private: choice & 0x80 != 0, ..rules(rule) };
    let secret = Secret::new(SECRET.into());
    let digest = sha256(body);
    let claim = Claim::read(&request, &rules);
    let known = verify(&request, &rules, &digest, |key| (key == KEY).then_some(&secret));
    let unknown = verify(&request, &rules, &digest, |_| None);
    assert!(unknown.is_err(), "a key that nobody has was believed");
    let Ok(claim) = claim else {
        assert!(known.is_err(), "a claim that cannot be read was believed");
        return;
    };
    let Ok(proof) = known else { return };
    assert_eq!((proof.access_key(), claim.access_key()), (KEY, KEY));
    assert_eq!(proof.payload(), claim.payload());
    if let Payload::Declared(declared) = proof.payload() {
        assert_eq!(declared, digest, "another body was believed");
    }
    if let Some(chunks) = proof.into_chunks() {
        let _ = chunks.decode(body);
    }
}

/// What reads the body of one request that is signed in chunks.
fn chunks(trailer: bool) -> Chunks {
    let payload = match trailer {
        true => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        false => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    };
    let secret = Secret::new(SECRET.into());
    let signer = signer(&secret, PathRule::S3);
    let mut headers: Vec<(&str, &[u8])> = vec![
        ("host", b"h"),
        ("x-amz-content-sha256", payload.as_bytes()),
        ("x-amz-date", b"20130524T000000Z"),
    ];
    let bare = Request { method: "PUT", path: "/b/k", query: "", headers: &headers };
    let signed = "host;x-amz-content-sha256;x-amz-date";
    let signature = signer.signature(&bare, signed, payload).unwrap_or_default();
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}, SignedHeaders={signed}, Signature={signature}",
        signer.credential()
    );
    headers.push(("authorization", authorization.as_bytes()));
    let request = Request { method: "PUT", path: "/b/k", query: "", headers: &headers };
    let proof = verify(&request, &rules(PathRule::S3), &sha256(b""), |_| Some(&secret));
    let chunks = proof.ok().and_then(super::sigv4::Proof::into_chunks);
    chunks.expect("the request is signed right")
}

fn signer(secret: &Secret, path: PathRule) -> Signer<'_> {
    let (region, service, date) = ("us-east-1", "s3", "20130524T000000Z");
    Signer { access_key: KEY, secret, region, service, date, path }
}

/// A body in signed chunks: what is read is no more than what came.
pub(crate) fn chunked(bytes: &[u8]) {
    let Some((choice, body)) = bytes.split_first() else { return };
    let trailer = choice & 1 != 0;
    if let Ok(decoded) = chunks(trailer).decode(body) {
        assert!(decoded.bytes.len() < body.len() && (trailer || decoded.trailer.is_empty()));
    }
}

/// What this room signs, it believes: any method, path, query and header.
pub(crate) fn signed(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let Some((target, mut headers, body)) = request(bytes) else { return };
    let ours =
        ["x-amz-date", "host", "authorization", "x-amz-content-sha256", "x-amz-security-token"];
    headers.retain(|(name, _)| {
        let mut letters = name.bytes();
        let is_name = !name.is_empty() && letters.all(|b| b.is_ascii_alphanumeric() || b == b'-');
        is_name && !ours.iter().any(|own| name.eq_ignore_ascii_case(own))
    });
    headers.push(("host", b"h"));
    headers.push(("x-amz-date", b"20130524T000000Z"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if super::sigv4::is_signed(&Request { method: "PUT", path, query, headers: &[] }) {
        return;
    }
    let rule = [PathRule::Normalised, PathRule::Kept, PathRule::S3][usize::from(*choice) % 3];
    let secret = Secret::new(SECRET.into());
    let signer = signer(&secret, rule);
    let bare = Request { method: "PUT", path, query, headers: &headers };
    let authorization = signer.authorization(&bare, body);
    let mut headers = headers.clone();
    headers.push(("authorization", authorization.as_bytes()));
    let request = Request { headers: &headers, ..bare };
    let check = |body: &[u8]| {
        verify(&request, &rules(rule), &sha256(body), |key| (key == KEY).then_some(&secret))
    };
    let proof = check(body);
    assert!(proof.is_ok(), "its own signature is refused: {proof:?} {target:?}");
    assert!(check(&[body, b"x"].concat()).is_err(), "another body is believed");
}

/// Times as policies, signatures and tokens write them.
pub(crate) fn times(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(time) = time::basic(text) {
        assert_eq!(time::to_basic(time), text);
    }
    if let Some(date) = time::date(text) {
        assert!(date.is_finite(), "{text} is {date}");
    }
}
