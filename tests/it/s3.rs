//! A real S3 server for the tests: s3s over a temporary folder, in its own thread, on port 0.
//!
//! It checks signatures, knows multipart uploads and ranges, and speaks plain HTTP or TLS, with
//! the bucket in the path or in the host name. [`Proxy`] stands in front of it where the network
//! is to misbehave. Shared by every room's tests; what is in a bucket can also be looked at as
//! plain files.

// The lint's own exception covers `#[test]` functions, not what they call.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::host::SingleDomain;
use s3s::service::{S3Service, S3ServiceBuilder};
use smrt::spec::train::{Hidden, S3, Storage};
use smrt::store::{Environment, Store};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// The one user the server knows.
pub(crate) const ACCESS_KEY_ID: &str = "smrt-test-user";
/// Their secret. No message may ever hold it.
pub(crate) const SECRET_ACCESS_KEY: &str = "hunter2-never-to-be-seen";

/// How a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As `Plain`, by anybody: nothing is signed.
    #[cfg(feature = "gcp")]
    Anonymous,
    /// `http://127.0.0.1:port/bucket/key`
    Plain,
    /// `https://localhost:port/bucket/key`, signed by an authority of its own.
    Tls,
    /// `https://bucket.localhost:port/key`
    TlsVirtualHost,
}

/// A running server; it ends when dropped.
pub(crate) struct Server {
    root: TempDir,
    manner: Manner,
    port: u16,
    ca_bundle: Option<PathBuf>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _ca_folder: TempDir,
}

impl Server {
    /// A plain server with one bucket, `data`.
    pub(crate) fn start() -> Server {
        Server::start_as(Manner::Plain)
    }

    /// A server with one bucket, `data`, reached in this manner.
    pub(crate) fn start_as(manner: Manner) -> Server {
        let root = TempDir::new().unwrap();
        let ca_folder = TempDir::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let service = service(root.path(), manner, port);
        let (tls, ca_bundle) = match manner {
            #[cfg(feature = "gcp")]
            Manner::Anonymous => (None, None),
            Manner::Plain => (None, None),
            Manner::Tls | Manner::TlsVirtualHost => {
                let (config, pem) = certificates();
                let path = ca_folder.path().join("ca.pem");
                std::fs::write(&path, pem).unwrap();
                (Some(config), Some(path))
            }
        };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || serve(listener, service, tls, stopped));
        let server = Server {
            root,
            manner,
            port,
            ca_bundle,
            stop: Some(stop),
            thread: Some(thread),
            _ca_folder: ca_folder,
        };
        server.make_bucket("data");
        server
    }

    /// Adds an empty bucket.
    pub(crate) fn make_bucket(&self, name: &str) {
        std::fs::create_dir_all(self.root.path().join(name)).unwrap();
    }

    /// Where an object lies on this machine.
    pub(crate) fn path(&self, bucket: &str, key: &str) -> PathBuf {
        self.root.path().join(bucket).join(key)
    }

    /// Puts an object there, past the protocol.
    pub(crate) fn put(&self, bucket: &str, key: &str, bytes: &[u8]) {
        let path = self.path(bucket, key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Parts and notes of uploads that were neither finished nor aborted.
    pub(crate) fn unfinished_uploads(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.root.path()).unwrap();
        names
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with(".upload") || name.starts_with(".tmp"))
            .collect()
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What goes into `storage.s3.endpoint` or `AWS_ENDPOINT_URL`.
    pub(crate) fn endpoint(&self) -> String {
        match self.manner {
            #[cfg(feature = "gcp")]
            Manner::Anonymous => format!("http://127.0.0.1:{}", self.port),
            Manner::Plain => format!("http://127.0.0.1:{}", self.port),
            Manner::Tls | Manner::TlsVirtualHost => format!("https://localhost:{}", self.port),
        }
    }

    /// `[storage]` of a job file that reaches the server.
    pub(crate) fn storage(&self) -> Storage {
        storage(&self.endpoint(), self.ca_bundle.clone(), self.manner == Manner::TlsVirtualHost)
    }

    /// The same as variables, for a process that the test starts.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let mut list = vec![
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY.to_owned()),
        ];
        if let Some(path) = &self.ca_bundle {
            list.push(("AWS_CA_BUNDLE", path.display().to_string()));
        }
        list
    }

    /// A store that reaches the server and sees no variables.
    pub(crate) fn store(&self) -> Store {
        Store::with_environment(&self.storage(), Environment::default())
    }
}

/// `[storage]` with the server's user.
pub(crate) fn storage(endpoint: &str, ca_bundle: Option<PathBuf>, virtual_host: bool) -> Storage {
    Storage {
        s3: S3 {
            endpoint: Some(endpoint.to_owned()),
            region: Some("us-east-1".to_owned()),
            access_key_id: Some(ACCESS_KEY_ID.to_owned()),
            secret_access_key: Some(Hidden(SECRET_ACCESS_KEY.to_owned())),
            virtual_host,
            ca_bundle,
            ..S3::default()
        },
        ..Storage::default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn service(root: &Path, manner: Manner, port: u16) -> S3Service {
    let files = s3s_fs::FileSystem::new(root).unwrap();
    let mut builder = S3ServiceBuilder::new(files);
    #[cfg(feature = "gcp")]
    let signed = manner != Manner::Anonymous;
    #[cfg(not(feature = "gcp"))]
    let signed = true;
    if signed {
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
    }
    if manner == Manner::TlsVirtualHost {
        builder.set_host(SingleDomain::new(&format!("localhost:{port}")).unwrap());
    }
    builder.build()
}

fn serve(
    listener: TcpListener,
    service: S3Service,
    tls: Option<Arc<rustls::ServerConfig>>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let acceptor = tls.map(tokio_rustls::TlsAcceptor::from);
        let accept = async {
            loop {
                let Ok((socket, _)) = listener.accept().await else { continue };
                let _ = socket.set_nodelay(true);
                let (files, acceptor) = (service.clone(), acceptor.clone());
                let service = hyper::service::service_fn(move |mut request| {
                    // What Google's client sends even to an emulator; S3 signs in other ways.
                    drop_bearer(&mut request);
                    hyper::service::Service::call(&files, request)
                });
                tokio::spawn(async move {
                    let http = hyper::server::conn::http1::Builder::new();
                    // A client that goes away is no failure of the server.
                    let _ = match acceptor {
                        None => http.serve_connection(TokioIo::new(socket), service).await,
                        Some(acceptor) => match acceptor.accept(socket).await {
                            Ok(socket) => {
                                http.serve_connection(TokioIo::new(socket), service).await
                            }
                            Err(_) => Ok(()),
                        },
                    };
                });
            }
        };
        tokio::select! { () = accept => (), _ = stopped => () }
    });
}

fn drop_bearer(request: &mut hyper::Request<hyper::body::Incoming>) {
    let given = request.headers().get(hyper::header::AUTHORIZATION);
    if given.is_some_and(|value| value.as_bytes().starts_with(b"Bearer ")) {
        request.headers_mut().remove(hyper::header::AUTHORIZATION);
    }
}

/// A server's certificate for localhost and the bucket `data`, and the authority behind it.
fn certificates() -> (Arc<rustls::ServerConfig>, String) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);

    // A certificate for `*.localhost` is refused: a wildcard needs two labels below it.
    let names = vec!["localhost".to_owned(), "data.localhost".to_owned()];
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    (Arc::new(config), pem)
}

/// What happens to one connection through a [`Proxy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The connection breaks after so many bytes of the answer.
    CutAnswerAfter(usize),
    /// The connection breaks after so many bytes of the request.
    CutRequestAfter(usize),
    /// `503 SlowDown`, and the connection ends.
    SlowDown,
}

/// Stands between a client and a server on this machine. The n-th connection meets the n-th
/// fault; those after the last meet none.
pub(crate) struct Proxy {
    port: u16,
    connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Begins to listen in front of `upstream`, a port of this machine.
    pub(crate) fn start(upstream: u16, faults: Vec<Fault>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(AtomicUsize::new(0));
        let (stopped, counted) = (stop.clone(), connections.clone());
        let thread = std::thread::spawn(move || {
            for client in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(client) = client else { continue };
                let index = counted.fetch_add(1, Ordering::SeqCst);
                let fault = faults.get(index).copied().unwrap_or(Fault::None);
                std::thread::spawn(move || relay(client, upstream, fault));
            }
        });
        Proxy { port, connections, stop, thread: Some(thread) }
    }

    /// `http://127.0.0.1:port`
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many connections came.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn relay(mut client: TcpStream, upstream: u16, fault: Fault) {
    if fault == Fault::SlowDown {
        slow_down(&mut client);
        return;
    }
    let server = TcpStream::connect(("127.0.0.1", upstream)).unwrap();
    let (request, answer) = match fault {
        Fault::CutAnswerAfter(bytes) => (usize::MAX, bytes),
        Fault::CutRequestAfter(bytes) => (bytes, usize::MAX),
        Fault::None | Fault::SlowDown => (usize::MAX, usize::MAX),
    };
    let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let up = std::thread::spawn(move || pump(from, to, request));
    pump(server, client, answer);
    let _ = up.join();
}

/// Copies until the end or until `left` bytes are through, then closes both ways.
fn pump(mut from: TcpStream, mut to: TcpStream, mut left: usize) {
    let mut buffer = vec![0; 64 << 10];
    while left > 0 {
        let most = buffer.len().min(left);
        let count = match from.read(&mut buffer[..most]) {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
        left -= count;
    }
    let _ = from.shutdown(std::net::Shutdown::Both);
    let _ = to.shutdown(std::net::Shutdown::Both);
}

fn slow_down(client: &mut TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|n| n == 1) {
        head.push(byte[0]);
    }
    let body = "<Error><Code>SlowDown</Code><Message>Please reduce your rate.</Message></Error>";
    let length = body.len();
    let _ = write!(
        client,
        "HTTP/1.1 503 Slow Down\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
}
