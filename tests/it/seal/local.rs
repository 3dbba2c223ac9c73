//! The local key service: made at first use, once; private; versions that open for ever.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use smrt::fault::Fault;
use smrt::seal::{
    Context, DEFAULT_ALIAS, Error, KeyService, LocalKeys, Writer, inspect, open_to_vec,
};

use super::context;

fn sealed_under(keys: &LocalKeys, key: &str) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), keys, key, &context()).unwrap();
    writer.write_all(b"weights").unwrap();
    writer.finish().unwrap()
}

fn opens(keys: &LocalKeys, sealed: &[u8]) -> Result<Vec<u8>, Error> {
    open_to_vec(sealed, keys, &Context::new(), 1 << 20)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_default_key_is_made_at_first_use() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("not/yet/there");
    let keys = LocalKeys::new(&folder);
    assert!(matches!(keys.describe(DEFAULT_ALIAS).unwrap_err(), Error::UnknownKey { .. }));
    assert!(!folder.exists(), "asking makes nothing");

    let sealed = sealed_under(&keys, DEFAULT_ALIAS);
    let about = keys.describe(DEFAULT_ALIAS).unwrap();
    assert_eq!((about.versions, &about.aliases[..]), (1, &[DEFAULT_ALIAS.to_owned()][..]));
    let info = inspect(&mut &sealed[..]).unwrap();
    assert_eq!((&*info.keys[0].provider, info.keys[0].key_name()), ("aws-kms", about.arn.clone()));
    assert!(info.holders()[0].ends_with(&format!("{} (version 1)", about.arn)));
    // Another process with the same folder.
    assert_eq!(opens(&LocalKeys::new(&folder), &sealed).unwrap(), b"weights");
    assert_eq!(opens(&keys, &sealed_under(&keys, &about.arn)).unwrap(), b"weights");
    let id = about.arn.rsplit('/').next().unwrap();
    assert_eq!(opens(&keys, &sealed_under(&keys, id)).unwrap(), b"weights");
}

#[test]
fn threat_9_key_files_are_private_and_others_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let keys = LocalKeys::new(home.path());
    let sealed = sealed_under(&keys, DEFAULT_ALIAS);
    let folder = home.path().join("keys");
    assert_eq!(mode(&folder), 0o700);
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files += 1;
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        for wrong in [0o644, 0o640, 0o620, 0o604] {
            set_mode(&path, wrong);
            let error = Writer::new(Vec::new(), &keys, DEFAULT_ALIAS, &context()).map(|_| ());
            let error = error.unwrap_err();
            assert!(matches!(error, Error::KeyStore { .. }), "{error}");
            assert!(error.help().unwrap().contains("chmod 600"), "{:?}", error.help());
        }
        set_mode(&path, 0o600);
    }
    assert_eq!(files, 3, "a key, the aliases and the lock");
    set_mode(&folder, 0o755);
    let error = opens(&keys, &sealed).unwrap_err();
    assert!(error.help().unwrap().contains("chmod 700"), "{error}");
    set_mode(&folder, 0o700);
    assert!(opens(&keys, &sealed).is_ok());
}

#[test]
fn threat_11_what_was_sealed_opens_after_every_rotation() {
    let home = tempfile::tempdir().unwrap();
    let keys = LocalKeys::new(home.path());
    let mut sealed = vec![sealed_under(&keys, DEFAULT_ALIAS)];
    for version in 2..=100 {
        assert_eq!(keys.rotate(DEFAULT_ALIAS).unwrap().versions.len(), version);
        sealed.push(sealed_under(&keys, DEFAULT_ALIAS));
    }
    for (at, sealed) in sealed.iter().enumerate() {
        assert_eq!(opens(&keys, sealed).unwrap(), b"weights");
        let holder = inspect(&mut &sealed[..]).unwrap().holders().remove(0);
        assert!(holder.ends_with(&format!("(version {})", at + 1)), "{holder}");
    }
}

#[test]
fn keys_have_names_and_names_have_one_key() {
    let home = tempfile::tempdir().unwrap();
    let keys = LocalKeys::new(home.path());
    let team = keys.create(Some("alias/team")).unwrap();
    let other = keys.create(None).unwrap();
    assert!(keys.create(Some("alias/team")).is_err());
    assert_eq!(keys.describe("alias/team").unwrap(), team);
    assert_eq!(keys.describe(&other.arn).unwrap().aliases, Vec::<String>::new());
    let mut listed: Vec<String> = keys.list().unwrap().into_iter().map(|key| key.arn).collect();
    let mut made = vec![team.arn, other.arn];
    listed.sort();
    made.sort();
    assert_eq!(listed, made);
    for unknown in ["alias/nobody", "nonsense", "00000000-0000-4000-8000-000000000000", "../x"] {
        let error = Writer::new(Vec::new(), &keys, unknown, &context()).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::UnknownKey { .. }), "{unknown}: {error}");
    }
}

#[test]
fn another_home_does_not_open_it_and_says_which_key_would() {
    let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let sealed = sealed_under(&LocalKeys::new(one.path()), DEFAULT_ALIAS);
    let error = opens(&LocalKeys::new(other.path()), &sealed).unwrap_err();
    let name = inspect(&mut &sealed[..]).unwrap().keys[0].key_name();
    assert!(error.to_string().contains(&name), "{error}");
    assert!(!other.path().join("keys").exists());
}

#[test]
fn a_damaged_key_file_is_refused_without_showing_it() {
    let home = tempfile::tempdir().unwrap();
    let keys = LocalKeys::new(home.path());
    let sealed = sealed_under(&keys, DEFAULT_ALIAS);
    let arn = keys.describe(DEFAULT_ALIAS).unwrap().arn;
    let name = format!("{}.json", arn.rsplit('/').next().unwrap());
    let path = home.path().join("keys").join(name);
    let whole = std::fs::read_to_string(&path).unwrap();
    let material = whole.split('"').find(|part| part.len() == 44).unwrap();
    for damaged in [
        String::new(),
        whole[..whole.len() / 2].to_owned(),
        whole.replace(material, &material[..40]),
        whole.replace("\"smrt_key\": 2", "\"smrt_key\": 3"),
        whole.replace("\"state\"", "\"stat\""),
        whole.replace(material, &format!("{material}\", \"extra\": \"")),
        "{\"smrt_key\": 1, \"state\": \"enabled\", \"versions\": []}".into(),
        " ".repeat(2 << 20),
    ] {
        assert_ne!(damaged, whole);
        std::fs::write(&path, &damaged).unwrap();
        let error = opens(&keys, &sealed).unwrap_err();
        assert!(matches!(error, Error::KeyStore { .. }), "{error}");
        let text = format!("{error} {error:?} {:?}", error.help());
        assert!(!text.contains(&material[..20]), "{text}");
    }
    std::fs::write(&path, whole.replace("enabled", "disabled")).unwrap();
    assert!(matches!(opens(&keys, &sealed).unwrap_err(), Error::Disabled { .. }));
    std::fs::write(&path, whole).unwrap();
    assert!(opens(&keys, &sealed).is_ok());
}

#[test]
fn threads_that_start_at_once_make_one_key() {
    let home = tempfile::tempdir().unwrap();
    let start = std::sync::Barrier::new(8);
    let sealed: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let keys = LocalKeys::new(home.path());
                    start.wait();
                    sealed_under(&keys, DEFAULT_ALIAS)
                })
            })
            .collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    one_key_opens(home.path(), &sealed);
}

#[test]
fn processes_that_start_at_once_make_one_key() {
    let home = tempfile::tempdir().unwrap();
    let child = |number: usize| {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "seal::local::one_of_several_processes", "--ignored"])
            .env("SMRT_TEST_HOME", home.path())
            .env("SMRT_TEST_OUT", home.path().join(format!("sealed-{number}")))
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..6).map(child).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let sealed: Vec<Vec<u8>> = (0..6)
        .map(|number| std::fs::read(home.path().join(format!("sealed-{number}"))).unwrap())
        .collect();
    one_key_opens(home.path(), &sealed);
}

/// The child of `processes_that_start_at_once_make_one_key`.
#[test]
#[ignore = "run by another test, as a process of its own"]
fn one_of_several_processes() {
    let home = std::env::var_os("SMRT_TEST_HOME").expect("set by the parent");
    let sealed = sealed_under(&LocalKeys::new(Path::new(&home)), DEFAULT_ALIAS);
    std::fs::write(std::env::var_os("SMRT_TEST_OUT").expect("set by the parent"), sealed).unwrap();
}

fn one_key_opens(home: &Path, sealed: &[Vec<u8>]) {
    let keys = LocalKeys::new(home);
    assert_eq!(keys.list().unwrap().len(), 1);
    for sealed in sealed {
        assert_eq!(opens(&keys, sealed).unwrap(), b"weights");
    }
}

#[test]
fn the_service_fits_behind_the_seam() {
    let home = tempfile::tempdir().unwrap();
    let services: Vec<Box<dyn KeyService>> =
        vec![Box::new(LocalKeys::new(home.path())), Box::new(super::key())];
    for (service, name) in services.iter().zip([DEFAULT_ALIAS, super::KEY]) {
        let (data_key, wrapped) = service.generate_data_key(name, &context()).unwrap();
        assert!(service.knows(&wrapped));
        let unwrapped = service.unwrap(&wrapped, &context()).unwrap();
        assert_eq!(unwrapped.expose(), data_key.expose());
        assert!(service.unwrap(&wrapped, &Context::new()).is_err());
        assert!(service.describe(name).unwrap().holder.starts_with("who "));
    }
}
