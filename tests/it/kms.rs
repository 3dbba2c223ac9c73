//! The key service: lives of keys under a clock of the test's, the lock over the store, boto3 and
//! the AWS Encryption SDK as clients of its door, and files of the first release.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smrt::fault::Fault;
use smrt::kms::{Callers, Server};
use smrt::seal::{
    Context, DEFAULT_ALIAS, Error, KeyState, LocalKeys, NewKey, Settings, Unlock, open_to_vec,
    reseal, seal_file,
};

const DAY: u64 = 86_400;

fn pairs() -> Context {
    Context::from_pairs([("smrt:job", "churn")]).unwrap()
}

/// Keys whose clock the test holds.
fn clocked(home: &Path) -> (LocalKeys, Arc<AtomicU64>) {
    let clock = Arc::new(AtomicU64::new(1_700_000_000));
    let read = Arc::clone(&clock);
    (LocalKeys::new(home).at(move || read.load(Ordering::SeqCst)), clock)
}

#[test]
fn threat_12_a_key_that_is_to_be_deleted_waits_unusable_and_then_is_gone() {
    let home = tempfile::tempdir().unwrap();
    let (keys, clock) = clocked(home.path());
    let key = keys.create_key(NewKey { alias: Some("alias/a".into()), ..NewKey::default() });
    let key = key.unwrap();
    let (_, blob) = keys.encrypt("alias/a", b"x", &pairs()).unwrap();
    assert!(keys.schedule_deletion("alias/a", 6).is_err());
    assert_eq!(keys.schedule_deletion("alias/a", 7).unwrap().state, KeyState::PendingDeletion);
    assert!(matches!(keys.decrypt(&blob, None, &pairs()).unwrap_err(), Error::State { .. }));
    assert!(matches!(keys.set_enabled("alias/a", true).unwrap_err(), Error::State { .. }));
    clock.fetch_add(7 * DAY - 1, Ordering::SeqCst);
    assert_eq!(keys.cancel_deletion("alias/a").unwrap().state, KeyState::Disabled);
    keys.set_enabled("alias/a", true).unwrap();
    assert_eq!(keys.decrypt(&blob, None, &pairs()).unwrap().plain.as_slice(), b"x");

    keys.schedule_deletion("alias/a", 7).unwrap();
    clock.fetch_add(7 * DAY, Ordering::SeqCst);
    assert!(matches!(keys.decrypt(&blob, None, &pairs()).unwrap_err(), Error::UnknownKey { .. }));
    assert!(!home.path().join(format!("keys/{}.json", key.id)).exists());
    assert!(keys.aliases().unwrap().is_empty());
    assert!(keys.list().unwrap().is_empty());
}

#[test]
fn a_key_rotates_by_its_calendar_and_old_seals_open() {
    let home = tempfile::tempdir().unwrap();
    let (keys, clock) = clocked(home.path());
    let arn = keys.create(None).unwrap().arn;
    assert!(keys.set_rotation(&arn, Some(89)).is_err());
    keys.set_rotation(&arn, Some(90)).unwrap();
    let mut blobs = Vec::new();
    for version in 1..=4 {
        blobs.push(keys.encrypt(&arn, b"x", &pairs()).unwrap().1);
        assert_eq!(keys.metadata(&arn).unwrap().versions.len(), version);
        clock.fetch_add(91 * DAY, Ordering::SeqCst);
    }
    for blob in &blobs {
        assert_eq!(keys.decrypt(blob, Some(&arn), &pairs()).unwrap().plain.as_slice(), b"x");
    }
    keys.set_rotation(&arn, None).unwrap();
    clock.fetch_add(900 * DAY, Ordering::SeqCst);
    keys.encrypt(&arn, b"x", &pairs()).unwrap();
    let versions = keys.metadata(&arn).unwrap().versions;
    assert_eq!(versions.len(), 4);
    assert!(versions.iter().all(|version| !version.on_demand));
}

fn words(text: &str) -> Unlock {
    Unlock::Passphrase(text.to_owned().into())
}

#[test]
fn threat_9_a_locked_store_opens_with_its_passphrase_alone() {
    let home = tempfile::tempdir().unwrap();
    let open = LocalKeys::new(home.path());
    let (arn, blob) = open.encrypt(DEFAULT_ALIAS, b"x", &pairs()).unwrap();
    let file = home.path().join(format!("keys/{}.json", arn.rsplit('/').next().unwrap()));
    let clear = std::fs::read_to_string(&file).unwrap();
    let material = clear.split('"').find(|part| part.len() == 44).unwrap().to_owned();

    let locked = open.protect(Some(&words("correct horse"))).unwrap();
    for entry in std::fs::read_dir(home.path().join("keys")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains(&material), "the key is in clear somewhere");
    }
    let opens = |keys: &LocalKeys| keys.decrypt(&blob, None, &pairs()).map(|_| ());
    opens(&locked).unwrap();
    opens(&LocalKeys::new(home.path()).unlocked_by(words("correct horse"))).unwrap();
    for keys in [
        LocalKeys::new(home.path()),
        LocalKeys::new(home.path()).unlocked_by(words("correct horses")),
        LocalKeys::new(home.path()).unlocked_by(Unlock::KeyFile(vec![1; 32].into())),
    ] {
        let error = opens(&keys).unwrap_err();
        assert!(matches!(error, Error::Locked { .. }), "{error}");
        assert!(error.help().unwrap().contains("SMRT_KEYS_PASSPHRASE"));
    }
    // New keys and versions, another lock, and none again.
    locked.rotate(&arn).unwrap();
    let other = Unlock::KeyFile(vec![7; 32].into());
    let relocked = locked.protect(Some(&other)).unwrap();
    opens(&relocked).unwrap();
    let stale = LocalKeys::new(home.path()).unlocked_by(words("correct horse"));
    assert!(opens(&stale).is_err());
    let open = relocked.protect(None).unwrap();
    opens(&open).unwrap();
    opens(&LocalKeys::new(home.path())).unwrap();
    assert!(std::fs::read_to_string(&file).unwrap().contains(&material));
}

#[test]
fn threat_9_a_locked_store_notices_every_change_to_its_files() {
    let home = tempfile::tempdir().unwrap();
    let keys = LocalKeys::new(home.path()).protect(Some(&words("w"))).unwrap();
    let keys = keys.unlocked_by(words("w"));
    let key = keys.create(Some("alias/a")).unwrap();
    let other = keys.create(None).unwrap();
    let path =
        |arn: &str| home.path().join(format!("keys/{}.json", arn.rsplit('/').next().unwrap()));
    let whole = std::fs::read_to_string(path(&key.arn)).unwrap();
    let foreign = std::fs::read_to_string(path(&other.arn)).unwrap();
    for changed in
        [whole.replace("enabled", "disabled"), foreign, whole.replace("\"mac\"", "\"m\"")]
    {
        std::fs::write(path(&key.arn), changed).unwrap();
        let error = keys.metadata(&key.arn).unwrap_err();
        assert!(matches!(error, Error::KeyStore { .. }), "{error}");
    }
    std::fs::write(path(&key.arn), &whole).unwrap();
    keys.metadata(&key.arn).unwrap();
    let aliases = home.path().join("keys/aliases.json");
    let id = |arn: &str| arn.rsplit('/').next().unwrap().to_owned();
    let text = std::fs::read_to_string(&aliases).unwrap();
    std::fs::write(&aliases, text.replace(&id(&key.arn), &id(&other.arn))).unwrap();
    assert!(matches!(keys.metadata("alias/a").unwrap_err(), Error::KeyStore { .. }));
}

#[test]
fn what_the_first_release_sealed_opens_and_its_keys_live_on() {
    let home = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/keys/0.1.0");
    let folder = home.path().join("keys");
    std::fs::create_dir(&folder).unwrap();
    let private = |path: &Path, mode| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    private(&folder, 0o700);
    for entry in std::fs::read_dir(&from).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "json") {
            let to = folder.join(path.file_name().unwrap());
            std::fs::copy(&path, &to).unwrap();
            private(&to, 0o600);
        }
    }
    let sealed = std::fs::read(from.join("model.tar.gz")).unwrap();
    let keys = LocalKeys::new(home.path());
    let open = |keys: &LocalKeys, sealed: &[u8]| {
        open_to_vec(sealed, keys, &Context::new(), 1 << 20).unwrap()
    };
    let archive = open(&keys, &sealed);
    assert!(archive.starts_with(&[0x1f, 0x8b]));
    keys.rotate(DEFAULT_ALIAS).unwrap();
    assert_eq!(open(&keys, &sealed), archive);
    let locked = keys.protect(Some(&words("w"))).unwrap();
    assert_eq!(open(&locked, &sealed), archive);
    // Under the form of today, from the old one.
    let (bytes, moved) = reseal(&sealed[..], &locked, Vec::new(), &locked, DEFAULT_ALIAS).unwrap();
    assert_eq!((bytes as usize, open(&locked, &moved)), (archive.len(), archive));
}

#[test]
fn a_resealed_file_opens_with_the_new_key_alone_and_a_changed_one_is_not_moved() {
    let home = tempfile::tempdir().unwrap();
    let keys = LocalKeys::new(home.path());
    let (one, other) = (keys.create(None).unwrap().arn, keys.create(None).unwrap().arn);
    let content = super::seal::content(3 << 20);
    let plain = home.path().join("plain");
    std::fs::write(&plain, &content).unwrap();
    let sealed = home.path().join("sealed");
    seal_file(&plain, &sealed, &keys, &one, &pairs(), &Settings::default()).unwrap();
    let sealed = std::fs::read(&sealed).unwrap();
    let (bytes, moved) = reseal(&sealed[..], &keys, Vec::new(), &keys, &other).unwrap();
    assert_eq!(bytes as usize, content.len());
    let info = smrt::seal::inspect(&mut &moved[..]).unwrap();
    assert_eq!((info.context.clone(), info.keys[0].key_name()), (pairs(), other.clone()));
    keys.set_enabled(&one, false).unwrap();
    assert!(open_to_vec(&moved[..], &keys, &Context::new(), 1 << 30).unwrap() == content);
    assert!(open_to_vec(&sealed[..], &keys, &Context::new(), 1 << 30).is_err());

    keys.set_enabled(&one, true).unwrap();
    let mut changed = sealed.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert!(reseal(&changed[..], &keys, Vec::new(), &keys, &other).is_err());
    assert!(reseal(&sealed[..sealed.len() - 1], &keys, Vec::new(), &keys, &other).is_err());
}

fn served(home: &Path) -> smrt::kms::Running {
    Server::builder(LocalKeys::new(home))
        .listen("127.0.0.1:0")
        .callers(Callers::new().with("AKIDEXAMPLE", "secret/of/the/tests"))
        .threads(2)
        .start()
        .unwrap()
}

#[test]
fn boto3_and_the_encryption_sdk_use_the_key_service_as_kms() {
    let Some(python) = std::env::var_os("SMRT_PYTHON").filter(|path| !path.is_empty()) else {
        println!("skipped: SMRT_PYTHON does not name a Python with boto3 and aws-encryption-sdk");
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let keys = LocalKeys::new(home.path());
    let content = super::seal::content(10_000);
    let path = |name: &str| home.path().join(name);
    std::fs::write(path("ours.plain"), &content).unwrap();
    let settings = Settings::default();
    seal_file(&path("ours.plain"), &path("ours.sealed"), &keys, DEFAULT_ALIAS, &pairs(), &settings)
        .unwrap();
    let running = served(home.path());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/kms.py");
    let done = Command::new(python)
        .arg(script)
        .arg(format!("http://{}", running.address()))
        .arg(home.path())
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret/of/the/tests")
        .env_remove("AWS_SESSION_TOKEN")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(said.trim(), "done");
    for name in ["theirs.sealed", "signed.sealed"] {
        let sealed = std::fs::read(path(name)).unwrap();
        let opened = open_to_vec(&sealed[..], &keys, &Context::new(), 1 << 20).unwrap();
        assert!(opened == content, "{name}");
    }
    running.stop();
    running.wait();
}

#[test]
fn requests_without_a_signature_or_a_known_operation_are_refused_in_words() {
    let home = tempfile::tempdir().unwrap();
    let running = served(home.path());
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(running.address()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let post = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\
                x-amz-target: TrentService.ListKeys\r\n\r\n{}";
    let answer = ask(post);
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("MissingAuthenticationTokenException"), "{answer}");
    let answer = ask("GET /keys HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(answer.contains("UnknownOperationException"), "{answer}");
    let answer = ask("GET /ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn keys_do_not_cross_the_network_in_the_clear_and_nobody_is_not_served() {
    let home = tempfile::tempdir().unwrap();
    let server = || Server::builder(LocalKeys::new(home.path()));
    let error = server().listen("0.0.0.0:0").callers(Callers::new().with("a", "b")).start();
    assert!(error.map(|_| ()).unwrap_err().help().unwrap().contains("--tls-cert"));
    let error = server().listen("127.0.0.1:0").start().map(|_| ()).unwrap_err();
    assert!(error.help().unwrap().contains("--credentials"));
}

#[test]
fn the_keys_command_makes_names_and_rotates_keys() {
    let home = tempfile::tempdir().unwrap();
    let smrt = |arguments: &[&str]| {
        let done = Command::new(env!("CARGO_BIN_EXE_smrt"))
            .args(arguments)
            .env("SMRT_HOME", home.path())
            .env_remove("SMRT_KEYS_PASSPHRASE")
            .current_dir(home.path())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
    };
    assert!(smrt(&["keys", "list"]).1.contains("no keys yet"));
    let (code, arn, _) = smrt(&["keys", "create", "--alias", "alias/fraud", "--tag", "a=b"]);
    assert_eq!((code, arn.starts_with("arn:smrt:kms:local:000000000000:key/")), (0, true));
    let id = arn.trim().rsplit('/').next().unwrap();
    assert_eq!(
        smrt(&["keys", "rotate", "alias/fraud"]).1,
        format!("{id} alias/fraud: enabled, version 2\n")
    );
    assert!(smrt(&["keys", "rotation", id, "--days", "365"]).1.contains("enabled"));
    let shown = smrt(&["keys", "show", "alias/fraud"]).1;
    for part in ["a = b", "every 365 days", "on demand", "alias/fraud"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let (code, _, error) = smrt(&["keys", "rotate", "alias/nobody"]);
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("there is no key") && error.contains("help:"), "{error}");
    std::fs::write(home.path().join("words"), "open sesame\n").unwrap();
    let (code, _, error) = smrt(&["keys", "protect", "--passphrase-file", "words"]);
    assert!(code != 0 && error.contains("chmod 600"), "{error}");
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(home.path().join("words"), mode).unwrap();
    let (code, said, error) = smrt(&["keys", "protect", "--passphrase-file", "words"]);
    assert_eq!(code, 0, "{error}");
    assert!(said.contains("1 keys are locked"), "{said}");
    let (code, _, error) = smrt(&["keys", "list"]);
    assert!(code == 1 && error.contains("locked"), "{code} {error}");
}

/// A caller with an access key, as a client signs its requests.
struct Caller {
    key: smrt::iam::state::AccessKey,
}

impl Caller {
    /// Asks for `operation`; the answer's code, or the empty text for one that worked, and its body.
    fn ask(
        &self,
        running: &smrt::kms::Running,
        operation: &str,
        body: &serde_json::Value,
    ) -> (String, serde_json::Value) {
        use smrt::iam::sigv4::{PathRule, Request, Signer};
        let (host, body) = (running.address().to_string(), body.to_string());
        let date = smrt::iam::time::to_basic(smrt::iam::time::now());
        let target = format!("TrentService.{operation}");
        let headers: [(&str, &[u8]); 3] = [
            ("host", host.as_bytes()),
            ("x-amz-date", date.as_bytes()),
            ("x-amz-target", target.as_bytes()),
        ];
        let request = Request { method: "POST", path: "/", query: "", headers: &headers };
        let signer = Signer {
            access_key: &self.key.id,
            secret: &self.key.secret,
            region: "local",
            service: "kms",
            date: &date,
            path: PathRule::Normalised,
        };
        let authorization = signer.authorization(&request, body.as_bytes());
        let mut stream = TcpStream::connect(running.address()).unwrap();
        write!(
            stream,
            "POST / HTTP/1.1\r\nhost: {host}\r\nx-amz-date: {date}\r\nx-amz-target: {target}\r\n\
             authorization: {authorization}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        (body["__type"].as_str().unwrap_or_default().to_owned(), body)
    }
}

#[test]
fn threat_10_policies_key_policies_and_grants_decide_who_uses_a_key() {
    use serde_json::json;
    use smrt::iam::door::Door;
    use smrt::iam::state::Whom;
    let home = tempfile::tempdir().unwrap();
    let state = super::iam::state::state(home.path());
    let allow = |actions: &str| {
        format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": [{actions}],
            "Resource": "*"}}]}}"#
        )
    };
    let mut callers = std::collections::BTreeMap::new();
    for (name, policy) in [
        ("admin", Some(allow(r#""kms:*""#))),
        ("trainer", Some(allow(r#""kms:GenerateDataKey", "kms:Encrypt""#))),
        ("nobody", None),
    ] {
        state
            .change(|all| {
                all.create_user(name, "/", None)?;
                if let Some(policy) = &policy {
                    all.put_policy(Whom::User(name), "own", ("own", policy))?;
                }
                callers.insert(name, Caller { key: all.create_access_key(name)? });
                Ok(())
            })
            .unwrap();
    }
    let keys = LocalKeys::new(home.path());
    let arn = keys.create(Some("alias/a")).unwrap().arn;
    let running = Server::builder(keys)
        .listen("127.0.0.1:0")
        .door(Door::of_service(state, "kms", "local").unwrap())
        .start()
        .unwrap();
    let ask = |who: &str, operation: &str, body: serde_json::Value| {
        callers[who].ask(&running, operation, &body)
    };
    let code = |who: &str, operation: &str, body: serde_json::Value| ask(who, operation, body).0;
    const DENIED: &str = "AccessDeniedException";
    let context = json!({ "smrt:job": "churn" });
    let encrypt = json!({ "KeyId": arn, "Plaintext": "eA==", "EncryptionContext": context });

    // Identity policies, through the policy that every key begins with.
    let (worked, sealed) = ask("trainer", "Encrypt", encrypt.clone());
    assert_eq!(worked, "", "{sealed}");
    let decrypt =
        json!({ "CiphertextBlob": sealed["CiphertextBlob"], "EncryptionContext": context });
    let (denied, why) = ask("trainer", "Decrypt", decrypt.clone());
    assert_eq!(denied, DENIED);
    let said = why["message"].as_str().unwrap();
    assert!(said.contains("user/trainer") && said.contains("kms:Decrypt") && said.contains(&arn));
    assert_eq!(code("nobody", "Encrypt", encrypt.clone()), DENIED);
    assert_eq!(code("trainer", "ListKeys", json!({})), DENIED);
    assert_eq!(code("admin", "ListKeys", json!({})), "");
    assert_eq!(code("admin", "Decrypt", decrypt.clone()), "");
    let move_it = json!({
        "CiphertextBlob": sealed["CiphertextBlob"], "SourceEncryptionContext": context,
        "DestinationKeyId": "alias/a",
    });
    assert_eq!(code("trainer", "ReEncrypt", move_it.clone()), DENIED);
    assert_eq!(code("admin", "ReEncrypt", move_it), "");

    // A grant, under its context and no other, until it is revoked.
    let grant = json!({
        "KeyId": arn, "GranteePrincipal": "arn:aws:iam::000000000000:user/nobody",
        "Operations": ["Decrypt"],
        "Constraints": { "EncryptionContextEquals": { "smrt:job": "churn" } },
    });
    let (worked, granted) = ask("admin", "CreateGrant", grant);
    assert_eq!(worked, "", "{granted}");
    assert_eq!(code("nobody", "Decrypt", decrypt.clone()), "");
    let other = json!({
        "CiphertextBlob": sealed["CiphertextBlob"], "EncryptionContext": { "smrt:job": "x" },
    });
    assert_eq!(code("nobody", "Decrypt", other), DENIED);
    assert_eq!(code("nobody", "Encrypt", encrypt.clone()), DENIED);
    let revoke = json!({ "KeyId": arn, "GrantId": granted["GrantId"] });
    assert_eq!(code("nobody", "RevokeGrant", revoke.clone()), DENIED);
    assert_eq!(code("admin", "RevokeGrant", revoke), "");
    assert_eq!(code("nobody", "Decrypt", decrypt.clone()), DENIED);

    // A key's own policy: it names who may, and what it does not grant no identity policy can.
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [
            { "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::000000000000:user/nobody" },
              "Action": "kms:Decrypt", "Resource": "*",
              "Condition": { "StringEquals": { "kms:EncryptionContext:smrt:job": "churn" } } },
            { "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::000000000000:user/admin" },
              "Action": "kms:PutKeyPolicy", "Resource": "*" },
        ],
    })
    .to_string();
    let put = |text: &str| json!({ "KeyId": arn, "PolicyName": "default", "Policy": text });
    let (refused, why) =
        ask("admin", "PutKeyPolicy", put(r#"{"Statement": [{"Effect": "Maybe"}]}"#));
    assert_eq!(refused, "MalformedPolicyDocumentException", "{why}");
    // One that would lock out who puts it there, unless they mean it.
    let only_nobody = policy.replace("user/admin", "user/nobody");
    let (refused, why) = ask("admin", "PutKeyPolicy", put(&only_nobody));
    assert_eq!(refused, "MalformedPolicyDocumentException", "{why}");
    assert!(why["message"].as_str().unwrap().contains("in the future"), "{why}");
    let create = json!({ "Policy": only_nobody });
    assert_eq!(code("admin", "CreateKey", create.clone()), "MalformedPolicyDocumentException");
    let mut meant = create;
    meant["BypassPolicyLockoutSafetyCheck"] = true.into();
    assert_eq!(code("admin", "CreateKey", meant), "");
    assert_eq!(code("admin", "Decrypt", decrypt.clone()), "", "the old policy still holds");
    assert_eq!(code("admin", "PutKeyPolicy", put(&policy)), "");
    assert_eq!(code("nobody", "Decrypt", decrypt.clone()), "");
    assert_eq!(code("admin", "Decrypt", decrypt), DENIED);
    assert_eq!(code("trainer", "Encrypt", encrypt), DENIED);
    running.stop();
    running.wait();
}
