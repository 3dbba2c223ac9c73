//! Who gets in and how: TLS with certificates of both sides, tokens, and a Unix socket.

use std::fs;
use std::path::Path;

use hyper::http::request::Parts;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use smrt::http::{
    Call, Denied, Handler, Place, Reply as Answer, Settings, Stop, TlsFiles, gate, reply,
};

use super::*;

type Secure = StreamOwned<ClientConnection, TcpStream>;

/// An authority, and what it signs.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(super) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate and its key for `name`.
    fn sign(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// The server's files below `folder`; `clients`: whoever calls must be signed as well.
    pub(super) fn files(&self, folder: &Path, clients: bool) -> TlsFiles {
        let [certificate, key, ca] =
            ["cert.pem", "key.pem", "ca.pem"].map(|name| folder.join(name));
        let signed = self.sign("server");
        fs::write(&certificate, signed.0).unwrap();
        fs::write(&key, signed.1).unwrap();
        fs::write(&ca, &self.pem).unwrap();
        TlsFiles { certificate, key, client_ca: clients.then_some(ca) }
    }

    /// A caller who trusts it, with a certificate of its own or without.
    pub(super) fn caller(&self, own: Option<(String, String)>, alpn: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

fn secure(address: SocketAddr, config: &Arc<ClientConfig>) -> Client<Secure> {
    let name = "localhost".try_into().unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    Client { stream: BufReader::new(StreamOwned::new(connection, stream)) }
}

#[test]
fn tls_answers_as_plain_does_and_whoever_forgets_it_is_told() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let tls = authority.files(folder.path(), false);
    let running = builder(Linear::default()).tls(tls).start().unwrap();
    assert!(running.greeting().contains("https://127.0.0.1:"), "{}", running.greeting());
    let caller = authority.caller(None, &["http/1.1"]);
    let mut client = secure(running.address(), &caller);
    for at in 0..50 {
        assert!(close_to(
            client.post(CSV, &format!("{at},0,0")).score(),
            score(&[at as f32, 0.0, 0.0])
        ));
    }
    let body = "1,2,0.5\n".repeat(40_000);
    let reply = client.post("Accept: text/csv\r\n", &body);
    assert_eq!((reply.status, reply.body.lines().count()), (200, 40_000));

    let mut plain = Client::new(running.address());
    let reply = plain.get("/ping");
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains("https://"), "{}", reply.body);
    assert!(plain.is_closed());

    let stranger = Authority::new().caller(None, &[]);
    let mut client = secure(running.address(), &stranger);
    assert!(client.send("GET /ping HTTP/1.1\r\nHost: x\r\n\r\n").receive().is_none());
}

#[test]
fn a_handshake_that_stands_still_and_slow_callers_over_tls_end() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let tls = authority.files(folder.path(), false);
    let running = builder(Linear::default()).tls(tls).limits(hasty()).start().unwrap();
    let address = running.address();
    let mut silent = Client::new(address);
    assert!(silent.is_closed());
    let mut half = Client::new(address);
    half.send(b"\x16\x03\x01\x02\x00\x01");
    assert!(half.is_closed());

    let caller = authority.caller(None, &[]);
    let mut head = secure(address, &caller);
    head.send("POST /invocations HTTP/1.1\r\nHo");
    assert_eq!(head.receive().unwrap().status, 408);
    let mut body = secure(address, &caller);
    body.send("POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n0,");
    assert_eq!(body.receive().unwrap().status, 408);
    let mut idle = secure(address, &caller);
    assert_eq!(idle.post(CSV, "0,0,0").status, 200);
    assert!(idle.is_closed());
    eventually("all are gone", || {
        secure(address, &caller).get("/metrics").body.contains("\nsmrt_connections 1\n")
    });
}

#[test]
fn a_renewed_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let tls = authority.files(folder.path(), false);
    let running = builder(Linear::default()).tls(tls.clone()).start().unwrap();
    let shown = || {
        let mut client = secure(running.address(), &authority.caller(None, &[]));
        assert_eq!(client.get("/ping").status, 200);
        client.stream.get_ref().conn.peer_certificates().unwrap()[0].to_vec()
    };
    let before = shown();
    fs::write(&tls.certificate, "-----BEGIN CERTIFICATE-----\nAA").unwrap();
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(shown(), before);
    authority.files(folder.path(), false);
    eventually("the new one is shown", || shown() != before);
    // Both files together, and not one of each.
    let renewed = CertificateDer::from_pem_slice(&fs::read(&tls.certificate).unwrap()).unwrap();
    assert_eq!(shown(), renewed.to_vec());
}

#[test]
fn files_that_are_no_certificates_are_refused_before_anybody_is_answered() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let good = authority.files(folder.path(), false);
    let empty = folder.path().join("empty");
    fs::write(&empty, "").unwrap();
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    let other = authority.files(&other, false);
    let gone = folder.path().join("gone");
    for (files, what) in [
        (TlsFiles { certificate: gone, ..good.clone() }, "cannot be read"),
        (TlsFiles { certificate: empty.clone(), ..good.clone() }, "holds no certificate"),
        (TlsFiles { key: empty.clone(), ..good.clone() }, "holds no private key"),
        (TlsFiles { key: other.key, ..good.clone() }, "do not fit"),
        (TlsFiles { client_ca: Some(empty), ..good.clone() }, "holds no certificate"),
    ] {
        let error = builder(Linear::default()).tls(files).start().err().unwrap();
        assert!(error.to_string().contains(what), "{error}");
        assert!(smrt::fault::Fault::help(&error).is_some());
    }
}

/// Tells a caller who it is.
struct Who;

impl Handler for Who {
    async fn handle(&self, call: Call) -> Answer {
        let text = format!("{:?} {}", call.caller.principal, call.head.uri.path());
        reply::full(hyper::StatusCode::OK, "text/plain", text.into())
    }

    fn is_public(&self, path: &str) -> bool {
        path == "/ping"
    }

    fn denied(&self, _: &Parts, why: Denied) -> Answer {
        reply::refusal(hyper::StatusCode::UNAUTHORIZED, why.message(), Some(why.help()))
    }
}

fn who(tls: Option<TlsFiles>, tokens: Option<&Path>) -> gate::Gate {
    let settings = Settings {
        place: smrt::http::place("127.0.0.1:0").unwrap(),
        threads: 1,
        limits: Limits::default(),
        signals: false,
        tls,
        tokens: tokens.map(Path::to_owned),
    };
    gate::open(&settings, Stop::default(), |_| Who).unwrap()
}

#[test]
fn with_an_authority_for_callers_only_those_it_signed_get_in_under_their_name() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let gate = who(Some(authority.files(folder.path(), true)), None);
    let known = authority.caller(Some(authority.sign("fraud-team")), &[]);
    assert_eq!(secure(gate.address(), &known).get("/").body, "Some(\"fraud-team\") /");
    let strangers = Authority::new();
    for own in [None, Some(strangers.sign("fraud-team"))] {
        let mut client = secure(gate.address(), &authority.caller(own, &[]));
        assert!(client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").receive().is_none());
    }
    gate.stop.stop_now();
    gate.wait();
}

#[test]
fn a_token_is_asked_for_everywhere_but_for_health_and_names_its_holder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    fs::write(&file, "fraud-team the-token-of-the-fraud-team\n").unwrap();
    let gate = who(None, Some(&file));
    let mut client = Client::new(gate.address());
    assert_eq!(client.get("/ping").body, "None /ping");
    let mut with = |authorization: &str| {
        let client = client.send(format!("GET / HTTP/1.1\r\nHost: x\r\n{authorization}\r\n"));
        let reply = client.receive().unwrap();
        // Whoever is refused is not kept: its body was not read.
        let kept = reply.header("connection") != Some("close");
        if !kept {
            *client = Client::new(gate.address());
        }
        (reply.status, reply.body)
    };
    let (status, body) = with("Authorization: Bearer the-token-of-the-fraud-team\r\n");
    assert_eq!((status, body.as_str()), (200, "Some(\"fraud-team\") /"));
    for wrong in [
        "",
        "Authorization: Bearer the-token-of-the-fraud-tean\r\n",
        "Authorization: Basic YTpi\r\n",
    ] {
        let (status, body) = with(wrong);
        assert_eq!(status, 401, "{wrong}");
        assert!(body.contains("Bearer TOKEN") && !body.contains("fraud"), "{body}");
    }
    // One token is taken back and another given, while it runs.
    fs::write(&file, "audit the-token-of-the-auditors\n").unwrap();
    eventually("the new one is known", || {
        with("Authorization: Bearer the-token-of-the-auditors\r\n").0 == 200
    });
    assert_eq!(with("Authorization: Bearer the-token-of-the-fraud-team\r\n").0, 401);
    gate.stop.stop_now();
    gate.wait();
}

#[test]
fn each_door_tells_who_is_not_let_in_in_its_own_form() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    fs::write(&file, "fraud-team the-token-of-the-fraud-team\n").unwrap();
    let running = builder(Linear::default()).tokens(&file).start().unwrap();
    let ask = |target: &str| {
        let head = format!("{target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        Client::new(running.address()).send(head).receive().unwrap()
    };
    for open in ["GET /ping", "GET /v2/health/live", "GET /v2/health/ready"] {
        assert_eq!(ask(open).status, 200, "{open}");
    }
    let container = ask("POST /invocations");
    assert_eq!((container.status, container.header("www-authenticate").is_some()), (401, true));
    let v2 = ask("GET /v2/models/churn-demo");
    assert!(v2.status == 401 && v2.body.contains("\"error\":\"this endpoint asks for a token"));
    let runtime = ask("POST /endpoints/churn-demo/invocations");
    assert_eq!(
        (runtime.status, runtime.header("x-amzn-errortype")),
        (403, Some("AccessDeniedException"))
    );
    assert_eq!(ask("GET /metrics").status, 401);
    let token = "Authorization: Bearer the-token-of-the-fraud-team\r\n";
    assert!(close_to(Client::new(running.address()).post(token, "0,0,0").score(), 0.5));
}

#[cfg(unix)]
#[test]
fn a_unix_socket_answers_as_a_port_does_and_leaves_with_the_server() {
    use std::os::unix::net::UnixStream;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("smrt.sock");
    let running =
        builder(Linear::default()).listen(format!("unix:{}", path.display())).start().unwrap();
    assert_eq!(running.place(), &Place::Unix(path.clone()));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let path = &path;
            scope.spawn(move || {
                let stream = UnixStream::connect(path).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                let mut client = Client { stream: BufReader::new(stream) };
                for at in 0..50 {
                    let reply = client.post(CSV, &format!("{at},{thread},0"));
                    assert!(close_to(reply.score(), score(&[at as f32, thread as f32, 0.0])));
                }
            });
        }
    });
    let greeting = running.greeting();
    assert!(greeting.contains("curl") && greeting.contains("--unix-socket"), "{greeting}");
    running.stop();
    running.wait();
    assert!(!path.exists());
}

#[test]
fn curl_speaks_each_of_them() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let curl = |arguments: &[&str]| {
        let output = std::process::Command::new("curl").args(["-s", "-S"]).args(arguments).output();
        output.ok().map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    if curl(&["--version"]).is_none_or(|text| !text.contains("HTTP2")) {
        return println!("skipped: there is no curl with HTTP/2 here");
    }
    let tls = authority.files(folder.path(), true);
    let signed = authority.sign("curl");
    let [cert, key] = ["own.pem", "own.key"].map(|name| folder.path().join(name));
    fs::write(&cert, signed.0).unwrap();
    fs::write(&key, signed.1).unwrap();
    let running = builder(Linear::default()).tls(tls).start().unwrap();
    let url = format!("https://localhost:{}/invocations", running.address().port());
    let show = "%{http_version} %{http_code}";
    let text = |path: &Path| path.display().to_string();
    let (ca, cert, key) = (text(&folder.path().join("ca.pem")), text(&cert), text(&key));
    for (option, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let told = curl(&[
            option,
            "--resolve",
            &format!("localhost:{}:127.0.0.1", running.address().port()),
            "--cacert",
            &ca,
            "--cert",
            &cert,
            "--key",
            &key,
            "-H",
            "Content-Type: text/csv",
            "--data",
            "0,0,0",
            "-w",
            show,
            &url,
        ]);
        let expected =
            format!("{{\"predictions\":[{{\"score\":0.5,\"predicted_label\":1}}]}}{version} 200");
        assert_eq!(told.unwrap().replace('\n', ""), expected);
    }
    let plain = quick();
    let url = format!("http://{}/invocations", plain.address());
    let told = curl(&[
        "--http2-prior-knowledge",
        "-H",
        "Content-Type: text/csv",
        "--data",
        "0,0,0",
        "-w",
        show,
        &url,
    ])
    .unwrap();
    assert!(told.ends_with("2 200"), "{told}");
}
