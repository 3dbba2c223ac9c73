//! Archives made to leave their folder, to be two things at once, or to be no model at all.

use std::io::Write;
use std::path::Path;

use sha2::{Digest, Sha256};
use tar::EntryType as Kind;

use crate::train::User;

/// A header of ustar with everything as given, its checksum right.
fn header(name: &[u8], kind: Kind, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

fn entry(out: &mut Vec<u8>, header: &tar::Header, body: &[u8]) {
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(body);
    out.resize(out.len().next_multiple_of(512), 0);
}

fn file(out: &mut Vec<u8>, name: &[u8], body: &[u8]) {
    entry(out, &header(name, Kind::Regular, body.len() as u64), body);
}

fn link(out: &mut Vec<u8>, name: &str, kind: Kind, to: &str) {
    let mut header = header(name.as_bytes(), kind, 0);
    header.set_link_name_literal(to).unwrap();
    header.set_cksum();
    entry(out, &header, b"");
}

/// A record of PAX: its length counts itself.
fn pax(out: &mut Vec<u8>, pairs: &[(&str, &str)]) {
    let mut body = String::new();
    for (key, value) in pairs {
        let bare = key.len() + value.len() + 3;
        let digits = (1..6).find(|digits| (bare + digits).to_string().len() == *digits).unwrap();
        body.push_str(&format!("{} {key}={value}\n", bare + digits));
    }
    entry(out, &header(b"PaxHeaders/x", Kind::XHeader, body.len() as u64), body.as_bytes());
}

fn gnu_long(out: &mut Vec<u8>, name: &[u8]) {
    let mut body = name.to_vec();
    body.push(0);
    entry(out, &header(b"././@LongLink", Kind::GNULongName, body.len() as u64), &body);
}

/// A size in base 256, as GNU writes what octal cannot hold.
fn huge(name: &[u8], size: [u8; 12]) -> tar::Header {
    let mut header = header(name, Kind::Regular, 0);
    header.as_old_mut().size = size;
    header.set_cksum();
    header
}

/// What to put into the archive `outside` that would be written there if it were unpacked.
fn corpus(outside: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let outside = outside.to_str().unwrap();
    let mut all: Vec<(&'static str, Vec<u8>)> = Vec::new();
    let mut add = |name: &'static str, make: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        make(&mut bytes);
        bytes.resize(bytes.len() + 1024, 0);
        all.push((name, bytes));
    };
    add("up", &|o| file(o, b"../out", b"x"));
    add("up twice", &|o| file(o, b"../../out", b"x"));
    add("up from below", &|o| file(o, b"a/../../out", b"x"));
    add("up at the end", &|o| file(o, b"a/..", b"x"));
    add("absolute", &|o| file(o, format!("{outside}/out").as_bytes(), b"x"));
    add("absolute twice", &|o| file(o, b"//etc/out", b"x"));
    add("a drive", &|o| file(o, b"C:\\out", b"x"));
    add("a drive, relative", &|o| file(o, b"C:out", b"x"));
    add("a share", &|o| file(o, b"\\\\host\\share\\out", b"x"));
    add("up, in backslashes", &|o| file(o, b"..\\out", b"x"));
    add("a stream of NTFS", &|o| file(o, b"manifest.json:out", b"x"));
    add("a new line in the name", &|o| file(o, b"a\nout", b"x"));
    add("an escape in the name", &|o| file(o, b"a\x1b[2Jout", b"x"));
    add("no UTF-8", &|o| file(o, b"\xff\xfe", b"x"));
    add("symbolic link out", &|o| link(o, "a", Kind::Symlink, outside));
    add("written through a link", &|o| {
        link(o, "a", Kind::Symlink, outside);
        file(o, b"a/out", b"x");
    });
    add("a chain of links", &|o| {
        link(o, "a", Kind::Symlink, "b");
        link(o, "b", Kind::Symlink, "..");
        file(o, b"a/out", b"x");
    });
    add("hard link out", &|o| link(o, "a", Kind::Link, "/etc/passwd"));
    add("hard link, then its content", &|o| {
        link(o, "a", Kind::Link, &format!("{outside}/there"));
        file(o, b"a", b"changed");
    });
    add("link to itself", &|o| link(o, "a", Kind::Symlink, "a"));
    add("character device", &|o| entry(o, &header(b"a", Kind::Char, 0), b""));
    add("block device", &|o| entry(o, &header(b"a", Kind::Block, 0), b""));
    add("pipe", &|o| entry(o, &header(b"a", Kind::Fifo, 0), b""));
    add("unknown kind", &|o| entry(o, &header(b"a", Kind::new(b'Z'), 0), b""));
    add("setuid", &|o| {
        let mut header = header(b"../a", Kind::Regular, 1);
        header.set_mode(0o6777);
        header.set_cksum();
        entry(o, &header, b"x");
    });
    add("the same name twice", &|o| {
        file(o, b"manifest.json", b"{}");
        file(o, b"manifest.json", b"[]");
    });
    add("the same name spelt twice", &|o| {
        file(o, b"manifest.json", b"{}");
        file(o, b"./manifest.json", b"[]");
    });
    add("PAX path up", &|o| {
        pax(o, &[("path", "../out")]);
        file(o, b"manifest.json", b"x");
    });
    add("PAX path absolute", &|o| {
        pax(o, &[("path", &format!("{outside}/out"))]);
        file(o, b"manifest.json", b"x");
    });
    // CVE-2025-62518: two sizes, and whoever believes the wrong one reads hidden entries.
    add("PAX size against the header's", &|o| {
        let mut hidden = Vec::new();
        file(&mut hidden, b"../out", b"x");
        pax(o, &[("size", &hidden.len().to_string())]);
        entry(o, &header(b"manifest.json", Kind::Regular, 0), &hidden);
    });
    add("PAX size that is none", &|o| {
        pax(o, &[("size", "-1")]);
        file(o, b"manifest.json", b"x");
    });
    add("GNU long name up", &|o| {
        gnu_long(o, format!("{}/../../out", "a".repeat(150)).as_bytes());
        file(o, b"short", b"x");
    });
    add("GNU long name of 5000", &|o| {
        gnu_long(o, &b"a".repeat(5000));
        file(o, b"short", b"x");
    });
    add("deep", &|o| {
        gnu_long(o, "a/".repeat(40).as_bytes());
        file(o, b"short", b"x");
    });
    add("sparse and huge", &|o| entry(o, &header(b"a", Kind::GNUSparse, 0), b""));
    add("a size beyond the file", &|o| entry(o, &header(b"a", Kind::Regular, 1 << 30), b"x"));
    add("a negative size", &|o| entry(o, &huge(b"a", [0xff; 12]), b"x"));
    add("a size of 2^64", &|o| {
        entry(
            o,
            &huge(b"a", [0x80, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            b"x",
        );
    });
    add("a checksum that is wrong", &|o| {
        let mut header = header(b"manifest.json", Kind::Regular, 1);
        header.as_old_mut().cksum = *b"0000000\0";
        entry(o, &header, b"x");
    });
    add("10,001 entries", &|o| (0..10_001).for_each(|n| file(o, format!("{n}").as_bytes(), b"")));
    add("no entries", &|_| {});
    all
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// Every path below `folder`, with what it is and a digest of its bytes.
fn tree(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let about = std::fs::symlink_metadata(&path).unwrap();
        let digest = match about.is_file() {
            true => Sha256::digest(std::fs::read(&path).unwrap()).to_vec(),
            false => format!("{:?}", about.file_type()).into_bytes(),
        };
        found.push((path.display().to_string(), digest));
        if about.is_dir() {
            found.extend(tree(&path));
        }
    }
    found.sort();
    found
}

#[test]
fn threat_19_forty_archives_that_would_leave_their_folder_are_refused_and_nothing_is_written() {
    let user = User::new();
    user.run(user.job(
        "linear-learner",
        "[hyperparameters]\npredictor_type = \"binary_classifier\"\nepochs = 1\n",
    ))
    .unwrap();
    let outside = user.folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("there"), b"as it was").unwrap();
    let corpus = corpus(&outside);
    assert!(corpus.len() >= 40, "{}", corpus.len());
    for (name, _) in &corpus {
        std::fs::write(outside.join(name.replace('/', "_")), b"").unwrap();
    }
    let before = tree(user.folder.path());
    for (name, bytes) in corpus {
        for packed in [gzip(&bytes), bytes] {
            let error = user.opener().open(&packed[..], "model.tar.gz").expect_err(name);
            let text = smrt::fault::message(&error);
            assert!(!text.contains('\n') && !text.contains('\x1b'), "{name}: {text:?}");
        }
        assert!(before == tree(user.folder.path()), "{name} left something behind");
    }
}

#[test]
fn threat_21_pickles_and_programs_are_refused_by_what_they_are() {
    let user = User::new();
    let mut torch = Vec::new();
    torch.extend_from_slice(b"PK\x03\x04\x14\0\0\0\0\0archive/data.pkl");
    let pickle = b"\x80\x04\x95\x1d\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94.";
    let strangers: [(&str, &[u8]); 8] = [
        ("model.pkl", pickle),
        ("model.joblib", pickle),
        ("model.pt", &torch),
        ("model.pkl", b"cposix\nsystem\n(S'id'\ntR."),
        (
            "model.npy",
            b"\x93NUMPY\x01\0v\0{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        ),
        ("model.h5", b"\x89HDF\r\n\x1a\n"),
        ("model.so", b"\x7fELF\x02\x01\x01\0"),
        ("model.sh", b"#!/bin/sh\nid\n"),
    ];
    for (name, bytes) in strangers {
        let error = user.opener().open(bytes, name).expect_err(name);
        assert!(error.to_string().starts_with(&format!("{name}: ")), "{error}");
        // Inside an archive they are no model either, whatever stands beside them.
        let mut archive = Vec::new();
        file(&mut archive, name.as_bytes(), bytes);
        archive.resize(archive.len() + 1024, 0);
        user.opener().open(&gzip(&archive)[..], "model.tar.gz").expect_err(name);
    }
}
