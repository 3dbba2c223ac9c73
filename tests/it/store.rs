//! Integration tests of `store`: one contract over every kind of place, then what goes wrong.

// The lint's own exception covers `#[test]` functions, not what they call.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use smrt::fault::{Fault as _, Kind};
use smrt::spec::train::{Hidden, Storage};
use smrt::spec::uri::Uri;
use smrt::store::{Environment, Error, Store};
use tempfile::TempDir;

use crate::s3::{self, Fault, Manner, Proxy, Server};

const MIB: usize = 1 << 20;

pub(crate) fn uri(text: &str) -> Uri {
    Uri::parse(text, Path::new("/nowhere")).unwrap()
}

fn local() -> Store {
    Store::with_environment(&Storage::default(), Environment::default())
}

fn write(store: &Store, to: &Uri, bytes: &[u8]) {
    let mut upload = store.create(to).unwrap();
    upload.write_all(bytes).unwrap();
    assert_eq!(upload.finish().unwrap(), bytes.len() as u64);
}

fn read(store: &Store, from: &Uri) -> Vec<u8> {
    store.read_to_vec(from, u64::MAX).unwrap()
}

/// Bytes without a period that a part or a range could hide.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}

fn names(store: &Store, at: &Uri) -> Vec<String> {
    let skip = at.to_string().len();
    let list = store.list(at).unwrap();
    list.iter().map(|object| object.uri.to_string()[skip..].to_owned()).collect()
}

/// The contract of every place that can be written, below an empty folder.
pub(crate) fn conform(store: &Store, base: &Uri) {
    what_was_written_is_read(store, base);
    nothing_is_visible_before_the_end(store, base);
    listings_are_sorted_and_hold_data_only(store, base);
    large_objects_go_in_parts_and_come_in_ranges(store, base);
    a_write_check_leaves_nothing(store, base);
}

fn what_was_written_is_read(store: &Store, base: &Uri) {
    let at = base.join("plain/a.csv");
    assert!(!store.exists(&at).unwrap());
    assert!(matches!(store.head(&at), Err(Error::NotFound { .. })));
    write(store, &at, b"1,2\n");
    assert_eq!(read(store, &at), b"1,2\n");
    assert_eq!(store.head(&at).unwrap().bytes, 4);
    write(store, &at, b"3,4,5\n");
    assert_eq!(read(store, &at), b"3,4,5\n");
    let error = store.read_to_vec(&at, 5).unwrap_err();
    assert!(matches!(error, Error::TooLarge { bytes: 6, bytes_max: 5, .. }));
    store.delete(&at).unwrap();
    store.delete(&at).unwrap();
    assert!(!store.exists(&at).unwrap());

    let empty = base.join("plain/empty.csv");
    write(store, &empty, b"");
    assert_eq!(read(store, &empty), b"");
    assert_eq!(store.list(&empty).unwrap().len(), 1, "named outright, an empty object counts");
    store.delete(&empty).unwrap();
}

fn nothing_is_visible_before_the_end(store: &Store, base: &Uri) {
    for bytes in [10, 20 * MIB] {
        let at = base.join("half/model.tar.gz");
        let mut upload = store.create(&at).unwrap();
        upload.write_all(&vec![7; bytes]).unwrap();
        assert!(!store.exists(&at).unwrap());
        drop(upload);
        assert!(!store.exists(&at).unwrap());

        write(store, &at, b"the old one");
        let mut upload = store.create(&at).unwrap();
        upload.write_all(&vec![7; bytes]).unwrap();
        assert_eq!(read(store, &at), b"the old one");
        upload.abort();
        assert_eq!(read(store, &at), b"the old one");
        store.delete(&at).unwrap();
    }
    let below = base.join("half");
    assert!(matches!(store.list(&below), Err(Error::Empty { .. } | Error::NotFound { .. })));
}

fn listings_are_sorted_and_hold_data_only(store: &Store, base: &Uri) {
    let all = [
        "b.csv",
        "a/2.csv",
        "a/10.csv",
        "a/é ü%25 +&.csv",
        "a-1.csv",
        "a/_SUCCESS",
        "a/.hidden.csv",
        "a/_temporary/0/x.csv",
        "a/日本.csv",
    ];
    let folder = base.join("list");
    for name in all {
        write(store, &folder.join(name), name.as_bytes());
    }
    write(store, &folder.join("a/empty.csv"), b"");
    let sorted = ["a-1.csv", "a/10.csv", "a/2.csv", "a/é ü%25 +&.csv", "a/日本.csv", "b.csv"];
    assert_eq!(names(store, &base.join("list/")), sorted);
    for object in store.list(&folder).unwrap() {
        let mut text = String::new();
        store.open(&object).unwrap().read_to_string(&mut text).unwrap();
        assert!(object.uri.to_string().ends_with(&text), "{text}");
    }
    assert_eq!(
        names(store, &base.join("list/a/")),
        ["10.csv", "2.csv", "é ü%25 +&.csv", "日本.csv"]
    );
    let hidden = folder.join("a/_SUCCESS");
    assert_eq!(store.list(&hidden).unwrap().len(), 1, "named outright, a hidden object counts");
}

fn large_objects_go_in_parts_and_come_in_ranges(store: &Store, base: &Uri) {
    let bytes = noise(20 * MIB + 4321);
    let at = base.join("large/model.bin");
    let mut upload = store.create(&at).unwrap();
    for piece in bytes.chunks(1_000_003) {
        upload.write_all(piece).unwrap();
    }
    upload.flush().unwrap();
    assert_eq!(upload.finish().unwrap(), bytes.len() as u64);
    assert!(read(store, &at) == bytes);

    let object = store.head(&at).unwrap();
    let part = |range: std::ops::Range<u64>| {
        let mut part = Vec::new();
        store.open_range(&object, range).unwrap().read_to_end(&mut part).unwrap();
        part
    };
    assert!(part(8_388_600..8_388_700) == bytes[8_388_600..8_388_700]);
    assert!(part(20_971_000..u64::MAX) == bytes[20_971_000..]);
    assert!(part(5..5).is_empty());
    assert!(part(u64::MAX..u64::MAX).is_empty());
}

fn a_write_check_leaves_nothing(store: &Store, base: &Uri) {
    let folder = base.join("output/of/jobs");
    store.check_writable(&folder).unwrap();
    assert!(matches!(store.list(&folder), Err(Error::Empty { .. } | Error::NotFound { .. })));
}

#[test]
fn a_folder_keeps_the_contract() {
    let folder = TempDir::new().unwrap();
    conform(&local(), &Uri::File(folder.path().join("new")));
    assert!(!folder.path().join("new/output").exists(), "folders made for a check are removed");
}

#[test]
fn memory_keeps_the_contract_and_is_shared_in_the_process() {
    conform(&local(), &uri("memory://conform"));
    write(&local(), &uri("memory://shared/x"), b"seen");
    assert_eq!(read(&local(), &uri("memory://shared/x")), b"seen");
}

#[test]
fn an_s3_server_keeps_the_contract() {
    let server = Server::start();
    conform(&server.store(), &uri("s3://data/conform"));
    assert_eq!(server.unfinished_uploads(), Vec::<String>::new());
}

#[test]
fn an_outside_s3_server_keeps_the_contract() {
    // For instance: SMRT_TEST_S3=s3://bucket/empty/prefix AWS_ENDPOINT_URL=… AWS_ACCESS_KEY_ID=…
    let Ok(base) = std::env::var("SMRT_TEST_S3") else {
        println!("skipped: SMRT_TEST_S3 names no place");
        return;
    };
    conform(&Store::new(&Storage::default()), &uri(&base));
}

#[test]
fn an_s3_server_behind_tls_with_virtual_hosts_keeps_the_contract() {
    for manner in [Manner::Tls, Manner::TlsVirtualHost] {
        let server = Server::start_as(manner);
        let store = server.store();
        what_was_written_is_read(&store, &uri("s3://data"));
        large_objects_go_in_parts_and_come_in_ranges(&store, &uri("s3://data/x"));
    }
}

#[test]
fn a_server_signed_by_a_stranger_is_not_trusted_and_the_key_to_set_is_named() {
    let server = Server::start_as(Manner::Tls);
    let storage = s3::storage(&server.endpoint(), None, false);
    let store = Store::with_environment(&storage, Environment::default());
    let error = store.list(&uri("s3://data/")).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.help().unwrap().contains("ca_bundle"), "{error} {:?}", error.help());
}

#[test]
fn a_listing_goes_on_over_many_pages() {
    let server = Server::start();
    for i in 0..2_345 {
        server.put("data", &format!("many/{i:05}.csv"), b"1\n");
    }
    let list = server.store().list(&uri("s3://data/many/")).unwrap();
    assert_eq!(list.len(), 2_345);
    assert_eq!(list[2_344].uri, uri("s3://data/many/02344.csv"));
}

#[test]
fn an_s3_prefix_is_a_string_and_an_exact_name_is_one_object() {
    let server = Server::start();
    for key in ["train.csv", "train.csv.bak", "train-2/a.csv", "training/a.csv", "test.csv"] {
        server.put("data", key, b"1\n");
    }
    let store = server.store();
    let count = |text: &str| store.list(&uri(text)).unwrap().len();
    assert_eq!(count("s3://data/train"), 4);
    assert_eq!(count("s3://data/train.csv"), 1);
    assert_eq!(count("s3://data/training/"), 1);
    assert_eq!(count("s3://data"), 5);
}

#[test]
fn an_empty_prefix_is_named_with_what_was_left_out() {
    let server = Server::start();
    server.put("data", "out/_SUCCESS", b"");
    let error = server.store().list(&uri("s3://data/out/")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no objects under s3://data/out/ but one that is empty or hidden"
    );
    assert_eq!(error.kind(), Kind::Caller);
    let error = server.store().list(&uri("s3://data/typo/")).unwrap_err();
    assert_eq!(error.to_string(), "no objects under s3://data/typo/");
}

#[test]
fn a_missing_bucket_is_told_from_a_missing_object() {
    let server = Server::start();
    let store = server.store();
    let nowhere = uri("s3://nowhere/a.csv");
    let errors = [
        store.list(&nowhere).unwrap_err(),
        store.head(&nowhere).unwrap_err(),
        store.check_writable(&nowhere).unwrap_err(),
    ];
    for error in errors {
        assert!(
            matches!(&error, Error::NoBucket { bucket, .. } if bucket == "nowhere"),
            "{error:?}"
        );
        assert!(error.to_string().contains(&server.endpoint()));
    }
    let error = store.head(&uri("s3://data/a.csv")).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
}

#[test]
fn wrong_credentials_say_where_they_came_from_and_never_what_they_are() {
    let server = Server::start();
    server.put("data", "a.csv", b"1\n");
    let mut wrong_secret = server.storage();
    wrong_secret.s3.secret_access_key = Some(Hidden("hunter3-also-hidden".into()));
    let mut unknown_key = server.storage();
    unknown_key.s3.access_key_id = Some("nobody".into());
    for storage in [wrong_secret, unknown_key] {
        let store = Store::with_environment(&storage, Environment::default());
        let errors = [
            store.list(&uri("s3://data/")).unwrap_err(),
            store.head(&uri("s3://data/a.csv")).unwrap_err(),
            store.check_writable(&uri("s3://data/out")).unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, Error::WrongCredentials { .. }), "{error:?}");
            assert_eq!(error.kind(), Kind::Denied);
            let told = format!("{error} {error:?} {:?} {store:?} {storage:?}", error.help());
            assert!(told.contains("[storage.s3]"), "{told}");
            assert!(!told.contains("hunter"), "{told}");
        }
    }
}

#[test]
fn without_credentials_the_answer_comes_at_once_and_lists_the_ways() {
    let server = Server::start();
    let closed = closed_port();
    let mut storage = Storage::default();
    storage.s3.endpoint = Some(server.endpoint());
    let metadata = format!("http://127.0.0.1:{closed}");
    let environments = [
        [("AWS_EC2_METADATA_DISABLED", "true")],
        [("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.as_str())],
    ];
    for environment in environments {
        let store = Store::with_environment(&storage, environment.into_iter().collect());
        let begun = Instant::now();
        let error = store.list(&uri("s3://data/")).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        assert!(matches!(error, Error::NoCredentials { .. }), "{error:?}");
        assert!(error.help().unwrap().contains("AWS_ACCESS_KEY_ID"));
    }
}

#[test]
fn the_machines_metadata_service_gives_credentials() {
    let server = Server::start();
    server.put("data", "a.csv", b"1\n");
    let mut storage = Storage::default();
    storage.s3.endpoint = Some(server.endpoint());
    let endpoint = format!("http://127.0.0.1:{}", serve_metadata());
    let environment = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint)];
    let store = Store::with_environment(&storage, environment.into_iter().collect());
    assert_eq!(read(&store, &uri("s3://data/a.csv")), b"1\n");
}

/// The three questions of EC2's metadata service, version 2.
fn serve_metadata() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut head = [0; 4096];
            let count = client.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..count]).into_owned();
            let body = match head.split(' ').nth(1) {
                Some("/latest/api/token") => "token".to_owned(),
                Some("/latest/meta-data/iam/security-credentials/") => "role".to_owned(),
                Some("/latest/meta-data/iam/security-credentials/role") => format!(
                    "{{\"AccessKeyId\":\"{}\",\"SecretAccessKey\":\"{}\",\"Token\":\"t\",\
                     \"Expiration\":\"2100-01-01T00:00:00Z\"}}",
                    s3::ACCESS_KEY_ID,
                    s3::SECRET_ACCESS_KEY
                ),
                _ => String::new(),
            };
            let length = body.len();
            let _ = write!(
                client,
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    port
}

#[test]
fn an_endpoint_where_nobody_listens_fails_within_seconds() {
    let endpoint = format!("http://127.0.0.1:{}", closed_port());
    let storage = s3::storage(&endpoint, None, false);
    let store = Store::with_environment(&storage, Environment::default());
    let begun = Instant::now();
    let error = store.list(&uri("s3://data/")).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(error.to_string().contains(&endpoint));
}

fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn variables_and_profiles_reach_the_server_as_the_job_file_does() {
    let server = Server::start();
    server.put("data", "a.csv", b"1\n");
    let by_variables: Environment = server.variables().into_iter().collect();
    let home = TempDir::new().unwrap();
    let aws = home.path().join(".aws");
    std::fs::create_dir(&aws).unwrap();
    std::fs::write(
        aws.join("credentials"),
        format!(
            "[default]\naws_access_key_id = x\naws_secret_access_key = x\n[dev]\n\
             aws_access_key_id = {}\naws_secret_access_key = {}\n",
            s3::ACCESS_KEY_ID,
            s3::SECRET_ACCESS_KEY
        ),
    )
    .unwrap();
    let config =
        format!("[profile dev]\nregion = us-east-1\nendpoint_url = {}\n", server.endpoint());
    std::fs::write(aws.join("config"), config).unwrap();
    let home = home.path().to_str().unwrap();
    let by_profile: Environment = [("HOME", home), ("AWS_PROFILE", "dev")].into_iter().collect();
    let mut by_name = Storage::default();
    by_name.s3.profile = Some("dev".into());

    let stores = [
        Store::with_environment(&Storage::default(), by_variables),
        Store::with_environment(&Storage::default(), by_profile),
        Store::with_environment(&by_name, [("HOME", home)].into_iter().collect()),
    ];
    for store in stores {
        assert_eq!(read(&store, &uri("s3://data/a.csv")), b"1\n");
    }

    by_name.s3.profile = Some("prod".into());
    let store = Store::with_environment(&by_name, [("HOME", home)].into_iter().collect());
    let error = store.list(&uri("s3://data/")).unwrap_err();
    assert!(error.to_string().contains("\"prod\""), "{error}");
    assert_eq!(error.help().unwrap(), "known profiles: default, dev");
}

#[test]
fn threat_26_an_object_that_changes_while_it_is_read_is_an_error_that_names_it() {
    let server = Server::start();
    let store = server.store();
    let at = uri("s3://data/changing.bin");
    let mut bytes = noise(48 * MIB);
    for listed_with_tag in [true, false] {
        write(&store, &at, &bytes);
        let object = match listed_with_tag {
            true => store.head(&at).unwrap(),
            false => store.list(&uri("s3://data/chang")).unwrap().remove(0),
        };
        let mut reader = store.open(&object).unwrap();
        let mut some = vec![0; MIB];
        reader.read_exact(&mut some).unwrap();
        bytes[47 * MIB] ^= 1;
        write(&store, &at, &bytes);
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        let inside = Error::inside(&error).unwrap();
        assert!(matches!(inside, Error::Changed { .. }), "{inside:?}");
        assert!(error.to_string().contains("s3://data/changing.bin"), "{error}");
        assert!(reader.read(&mut some).is_err(), "a reader that failed stays failed");
    }
}

#[test]
fn an_object_that_vanishes_while_it_is_read_is_an_error_that_names_it() {
    let server = Server::start();
    let store = server.store();
    let at = uri("s3://data/going.bin");
    write(&store, &at, &vec![1; 48 * MIB]);
    let object = store.head(&at).unwrap();
    let mut reader = store.open(&object).unwrap();
    reader.read_exact(&mut [0]).unwrap();
    store.delete(&at).unwrap();
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(matches!(Error::inside(&error), Some(Error::Vanished { .. })), "{error:?}");

    let error = store.open(&object).unwrap().read(&mut [0]).unwrap_err();
    assert_eq!(error.to_string(), "s3://data/going.bin vanished while it was being read");
}

#[test]
fn a_broken_connection_is_mended_and_the_bytes_are_whole() {
    let server = Server::start();
    let bytes = noise(12 * MIB);
    write(&server.store(), &uri("s3://data/a.bin"), &bytes);
    let faults = vec![
        Fault::CutAnswerAfter(0),
        Fault::SlowDown,
        Fault::CutAnswerAfter(3 * MIB),
        Fault::CutAnswerAfter(MIB),
        Fault::SlowDown,
    ];
    let proxy = Proxy::start(server.port(), faults);
    let storage = s3::storage(&proxy.endpoint(), None, false);
    let store = Store::with_environment(&storage, Environment::default());
    assert!(read(&store, &uri("s3://data/a.bin")) == bytes);
    assert!(proxy.connections() > 5, "{} connections", proxy.connections());
}

#[test]
fn a_server_that_stays_busy_is_reported_as_busy() {
    let server = Server::start();
    let proxy = Proxy::start(server.port(), vec![Fault::SlowDown; 100]);
    let storage = s3::storage(&proxy.endpoint(), None, false);
    let store = Store::with_environment(&storage, Environment::default());
    let error = store.list(&uri("s3://data/")).unwrap_err();
    assert_eq!(error.kind(), Kind::Busy, "{error:?}");
    assert!(error.to_string().contains("SlowDown"), "{error}");
}

#[test]
fn an_upload_over_a_broken_connection_arrives_whole_or_not_at_all() {
    let server = Server::start();
    let bytes = noise(20 * MIB);
    let at = uri("s3://data/up.bin");
    let cut = vec![Fault::None, Fault::CutRequestAfter(MIB), Fault::CutRequestAfter(5 * MIB)];
    let proxy = Proxy::start(server.port(), cut);
    let storage = s3::storage(&proxy.endpoint(), None, false);
    let store = Store::with_environment(&storage, Environment::default());
    write(&store, &at, &bytes);
    assert!(read(&server.store(), &at) == bytes);

    server.store().delete(&at).unwrap();
    let mut upload = server.store().create(&at).unwrap();
    upload.write_all(&bytes).unwrap();
    drop(upload);
    assert!(!server.path("data", "up.bin").exists());
    assert_eq!(server.unfinished_uploads(), Vec::<String>::new());
}

#[test]
fn a_web_address_is_read_with_its_signature_and_never_shows_it() {
    let server = Server::start();
    let bytes = noise(3 * MIB);
    let web = Web::start(bytes.clone());
    let at = uri(&format!("http://127.0.0.1:{}/d/model.bin?X-Amz-Signature=hunter2", web.port));
    let store = server.store();
    assert!(read(&store, &at) == bytes);
    let object = store.list(&at).unwrap().remove(0);
    let mut part = Vec::new();
    store.open_range(&object, MIB as u64..MIB as u64 + 9).unwrap().read_to_end(&mut part).unwrap();
    assert_eq!(part, bytes[MIB..MIB + 9]);

    let missing = uri(&format!("http://127.0.0.1:{}/none?X-Amz-Signature=hunter2", web.port));
    let error = store.head(&missing).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    let Err(error) = store.create(&at) else { panic!("the web was written") };
    assert_eq!(error.kind(), Kind::Caller);
}

/// A web server that knows GET, one path and no ranges.
struct Web {
    port: u16,
}

impl Web {
    fn start(bytes: Vec<u8>) -> Web {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(mut client) = client else { continue };
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|n| n == 1) {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let (status, body) = match () {
                    () if head.starts_with("HEAD") => ("405 No", &b""[..]),
                    () if head.starts_with("GET /d/model.bin?X-Amz-Signature=hunter2 ") => {
                        ("200 OK", &bytes[..])
                    }
                    () => ("404 No", &b"?"[..]),
                };
                let length = body.len();
                let _ = write!(
                    client,
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                let _ = client.write_all(body);
            }
        });
        Web { port }
    }
}

#[test]
fn a_listing_without_end_or_with_a_mad_length_fills_no_memory() {
    let endless = "HTTP/1.1 200 OK\r\n\r\n<ListBucketResult>";
    let huge = "HTTP/1.1 403 No\r\ncontent-length: 9000000000000000000\r\n\r\n<Error>";
    for head in [endless, huge] {
        let port = serve_without_end(head);
        let storage = s3::storage(&format!("http://127.0.0.1:{port}"), None, false);
        let store = Store::with_environment(&storage, Environment::default());
        let error = store.list(&uri("s3://data/")).unwrap_err();
        assert!(error.to_string().contains("too long"), "{error:?}");
    }
}

/// A server that answers with `head` and then sends spaces for as long as anybody listens.
fn serve_without_end(head: &'static str) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(head.as_bytes());
            while client.write_all(&[b' '; 64 << 10]).is_ok() {}
        }
    });
    port
}

#[test]
fn local_files_start_no_runtime() {
    let folder = TempDir::new().unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::use_local_files_only", "--ignored", "--nocapture"])
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "run by local_files_start_no_runtime, in a process of its own"]
fn use_local_files_only() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let store = Store::new(&Storage::default());
    let at = uri(&folder).join("a/b.csv");
    store.check_writable(&uri(&folder)).unwrap();
    write(&store, &at, b"1\n");
    assert_eq!(read(&store, &store.list(&uri(&folder)).unwrap()[0].uri), b"1\n");
    let tasks = || std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks().map(|t| std::fs::read_to_string(t.unwrap().path().join("comm")).unwrap());
    assert!(!names.into_iter().any(|name| name.starts_with("smrt-store")));
    write(&store, &uri("memory://x/y"), b"1");
    let names = tasks().map(|t| std::fs::read_to_string(t.unwrap().path().join("comm")).unwrap());
    assert!(names.into_iter().any(|name| name.starts_with("smrt-store")), "or this proves nothing");
}

#[test]
fn stores_that_were_not_built_in_name_the_feature() {
    for (text, feature) in [("gs://b/k", "gcp"), ("az://c/k", "azure")] {
        let error = local().list(&uri(text)).unwrap_err();
        if let Error::NotBuilt { .. } = error {
            assert!(error.help().unwrap().ends_with(&format!("--features {feature}")));
        }
    }
}

#[test]
fn a_local_file_that_changes_between_listing_and_end_is_an_error() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, vec![b'1'; 100]).unwrap();
    let store = local();
    let object = store.head(&Uri::File(path.clone())).unwrap();

    let mut reader = store.open(&object).unwrap();
    reader.read_exact(&mut [0; 10]).unwrap();
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"2").unwrap();
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(matches!(Error::inside(&error), Some(Error::Changed { .. })), "{error:?}");

    assert!(matches!(store.open(&object), Err(Error::Changed { .. })));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(store.open(&object), Err(Error::Vanished { .. })));
}

#[test]
fn a_local_file_that_shrinks_while_it_is_read_is_an_error() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, vec![b'1'; 100]).unwrap();
    let object = local().head(&Uri::File(path.clone())).unwrap();
    let mut reader = local().open(&object).unwrap();
    reader.read_exact(&mut [0; 10]).unwrap();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(20).unwrap();
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(matches!(Error::inside(&error), Some(Error::Changed { .. })), "{error:?}");
}

#[test]
fn links_that_lead_back_up_and_pipes_hang_nothing() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("a.csv"), "1\n").unwrap();
    std::os::unix::fs::symlink(folder.path(), data.join("up")).unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let list = local().list(&Uri::File(data)).unwrap();
    assert_eq!(list.len(), 1, "{list:?}");
    let error = local().list(&Uri::File(pipe)).unwrap_err();
    assert!(error.to_string().ends_with("neither a file nor a folder"), "{error}");
}

#[test]
fn a_place_that_cannot_be_written_is_found_by_the_check() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    for path in [file.join("out"), "/proc/smrt/out".into(), "/dev/null/out".into()] {
        let error = local().check_writable(&Uri::File(path.clone())).unwrap_err();
        assert!(matches!(error, Error::Local { .. }), "{error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(local().create(&Uri::File(path)).is_err());
    }
    let link = folder.path().join("null");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    for path in [folder.path(), &link] {
        let Err(error) = local().create(&Uri::File(path.into())) else { panic!("{path:?}") };
        assert!(error.to_string().contains("is not a file"), "{error}");
    }
}

#[test]
fn a_written_file_has_an_ordinary_mode_and_leaves_no_draft() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let reference = folder.path().join("reference");
    std::fs::write(&reference, "x").unwrap();
    let ours = folder.path().join("ours");
    write(&local(), &Uri::File(ours.clone()), b"x");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&reference));
    std::fs::set_permissions(&ours, std::fs::Permissions::from_mode(0o600)).unwrap();
    write(&local(), &Uri::File(ours.clone()), b"y");
    assert_eq!(mode(&ours) & 0o777, 0o600, "a closed file stays closed");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

/// Names a folder to the tests that run in a process of their own.
const FOLDER: &str = "SMRT_TEST_FOLDER";

#[test]
fn a_full_disk_leaves_nothing_half_written_and_says_so() {
    // A disk of 4 MiB where the machine lets us mount one, else files of at most 4 MiB.
    let ways = [
        "unshare -rm sh -c 'mount -t tmpfs -o size=4m tmpfs \"$0\" && exec \"$@\"' \"$0\" \"$@\"",
        "trap '' XFSZ; ulimit -f 4096; exec \"$@\"",
    ];
    let folder = TempDir::new().unwrap();
    let mut said = String::new();
    for way in ways {
        let output = std::process::Command::new("sh")
            .args(["-c", way])
            .arg(folder.path())
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "store::write_until_the_disk_is_full", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .output()
            .unwrap();
        said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() && said.contains("1 passed") {
            return;
        }
    }
    panic!("{said}");
}

#[test]
#[ignore = "run by a_full_disk_leaves_nothing_half_written_and_says_so, on a small disk"]
fn write_until_the_disk_is_full() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let at = uri(&folder).join("model.tar.gz");
    write(&local(), &at, b"the old one");
    let mut upload = local().create(&at).unwrap();
    let error = loop {
        if let Err(error) = upload.write_all(&vec![1; MIB]) {
            break error;
        }
    };
    let inside = Error::inside(&error).unwrap();
    assert!(inside.to_string().contains("model.tar.gz"), "{inside}");
    assert!(inside.help().unwrap().contains("make room"), "{inside:?}");
    drop(upload);
    assert_eq!(read(&local(), &at), b"the old one");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
#[ignore = "a measurement: cargo test --release --test it -- --ignored --nocapture reading_200_mb"]
fn reading_200_mb_beside_a_plain_copy_over_loopback() {
    let bytes = noise(200 * MIB);
    let server = Server::start();
    let at = uri("s3://data/large.bin");
    write(&server.store(), &at, &bytes);
    let memory = serve_ranges(bytes);
    let bare = s3::storage(&format!("http://127.0.0.1:{memory}"), None, false);
    let bare = Store::with_environment(&bare, Environment::default());
    let ours = |store: &Store| {
        let object = store.head(&at).unwrap();
        let begun = Instant::now();
        let mut reader = store.open(&object).unwrap();
        let count = std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
        assert_eq!(count, 200 * MIB as u64);
        begun.elapsed()
    };
    for _ in 0..4 {
        let (from_files, from_memory) = (ours(&server.store()), ours(&bare));
        let begun = Instant::now();
        let mut client = std::net::TcpStream::connect(("127.0.0.1", memory)).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut buffer = vec![0; 1 << 20];
        while client.read(&mut buffer).unwrap() > 0 {}
        let plain = begun.elapsed();
        let of = |ours: Duration| plain.as_secs_f64() / ours.as_secs_f64();
        println!(
            "of a plain socket's speed: {:.2} from a server of bytes in memory, {:.2} from s3s",
            of(from_memory),
            of(from_files)
        );
    }
}

/// The fastest S3 server there can be: one object, in memory, any path, no signatures.
fn serve_ranges(bytes: Vec<u8>) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let bytes = std::sync::Arc::new(bytes);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let bytes = bytes.clone();
            std::thread::spawn(move || answer_ranges(client.unwrap(), &bytes));
        }
    });
    port
}

fn answer_ranges(mut client: std::net::TcpStream, bytes: &[u8]) {
    use std::io::BufRead;
    let mut requests = std::io::BufReader::new(client.try_clone().unwrap());
    loop {
        let (mut head, mut range, mut line) = (false, 0..bytes.len(), String::new());
        while line != "\r\n" {
            line.clear();
            if requests.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            head |= line.starts_with("HEAD");
            if let Some(text) = line.to_lowercase().strip_prefix("range: bytes=") {
                let (from, to) = text.trim().split_once('-').unwrap();
                range = from.parse().unwrap()..to.parse::<usize>().unwrap() + 1;
            }
        }
        let (status, total) = (if range.len() < bytes.len() { 206 } else { 200 }, bytes.len());
        let (from, to, length) = (range.start, range.end - 1, range.len());
        let about = format!(
            "HTTP/1.1 {status} OK\r\ncontent-length: {length}\r\netag: \"x\"\r\n\
             last-modified: Mon, 23 Nov 2026 18:00:00 GMT\r\n\
             content-range: bytes {from}-{to}/{total}\r\n\r\n"
        );
        let body = if head { &[] } else { &bytes[range] };
        if client.write_all(about.as_bytes()).and_then(|()| client.write_all(body)).is_err() {
            return;
        }
    }
}

#[test]
fn drafts_of_killed_writers_are_swept_and_those_of_living_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = local();
    let at = Uri::File(folder.path().join("model.tar.gz"));
    let mut living = store.create(&at).unwrap();
    living.write_all(b"half").unwrap();
    let dead = folder.path().join(".model.tar.gzAbCdEf.part");
    let others = [".model.tar.gzAbCdEf", ".other.tar.gzAbCdEf.part", "model.tar.gzAbCdEf.part"];
    std::fs::write(&dead, "half").unwrap();
    others.iter().for_each(|name| std::fs::write(folder.path().join(name), "theirs").unwrap());
    store.sweep_each(std::iter::once(&at));
    assert!(!dead.exists());
    assert!(others.iter().all(|name| folder.path().join(name).exists()));
    living.write_all(b" and whole").unwrap();
    living.finish().unwrap();
    assert_eq!(read(&store, &at), b"half and whole");
}
