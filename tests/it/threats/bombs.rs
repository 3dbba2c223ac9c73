//! Little that becomes much: each bomb goes off in a process of its own, whose peak of memory is read
//! when it is over.

#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use smrt::data::channel::{Object, Options};
use smrt::model::Opener;
use smrt::seal::LocalKeys;
use smrt::spec::train::{Format, Media};

/// What each bomb may take, in bytes; the parsers' own caps are at most that.
const CAP: u64 = 64 << 20;

fn gzip(bytes: &mut dyn Read) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::copy(bytes, &mut gzip).unwrap();
    gzip.finish().unwrap()
}

/// A table of `bytes` as a channel that may take [`CAP`].
fn channel(media: Media, bytes: Vec<u8>) -> String {
    let options = Options { memory_bytes_max: CAP, threads: 1, ..Options::new("channels.train") };
    let object = Object {
        uri: "bomb".to_owned(),
        bytes: None,
        reader: Box::new(std::io::Cursor::new(bytes)),
    };
    let read = smrt::data::channel::read(vec![object], &Format::new(media), &options);
    read.map(|table| format!("{} rows", table.rows())).unwrap_or_else(|error| error.to_string())
}

/// A bomb's name, and what sets it off and tells the outcome.
const BOMBS: &[(&str, fn(&Path) -> String)] = &[
    ("nothing", |_| "nothing".to_owned()),
    ("an archive of zeros", |folder| {
        // 2 GiB in 9 MB, and a name that is right.
        let mut header = tar::Header::new_ustar();
        header.set_path("manifest.json").unwrap();
        header.set_size(2 << 30);
        header.set_cksum();
        let mut body = header.as_bytes().chain(std::io::repeat(0).take(2 << 30));
        let bomb = gzip(&mut body);
        let keys = Arc::new(LocalKeys::new(folder));
        let opened = Opener::new(keys).open(&bomb[..], "model.tar.gz");
        opened.map(|_| "a model".to_owned()).unwrap_or_else(|error| error.to_string())
    }),
    ("a table that unfolds", |_| {
        let bomb = gzip(&mut std::io::repeat(b'1').take(1 << 30));
        channel(Media::Csv, bomb)
    }),
    ("rows without end", |_| {
        let rows = "1,2\n".repeat(1 << 16);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        (0..1 << 10).for_each(|_| gzip.write_all(rows.as_bytes()).unwrap());
        channel(Media::Csv, gzip.finish().unwrap())
    }),
    ("a million columns", |_| channel(Media::Csv, "1,".repeat(1 << 20).into_bytes())),
    ("JSON a hundred thousand deep", |_| {
        channel(Media::JsonLines, "[".repeat(100_000).into_bytes())
    }),
    ("a record that claims 4 GiB", |_| {
        let mut record = 0xced7_230a_u32.to_le_bytes().to_vec();
        record.extend(u32::MAX.to_le_bytes());
        record.extend(b"x");
        channel(Media::RecordIo, record)
    }),
    ("a column numbered 2^31", |_| channel(Media::Libsvm, b"1 2147483647:1\n".to_vec())),
    ("a parquet index of 4 GiB", |_| {
        let mut bytes = b"PAR1".to_vec();
        bytes.extend(0xffff_fff0_u32.to_le_bytes());
        bytes.extend(b"PAR1");
        channel(Media::Parquet, bytes)
    }),
];

/// Not a test of its own: what the other starts again.
#[test]
fn the_bomb() {
    let Ok(bomb) = std::env::var("SMRT_BOMB") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (_, set_off) = BOMBS.iter().find(|(name, _)| *name == bomb).unwrap();
    let told = set_off(folder.path());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    println!("bomb: {kib} {told}");
}

fn set_off(bomb: &str) -> (u64, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "threats::bombs::the_bomb", "--nocapture"])
        .env("SMRT_BOMB", bomb)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = said.lines().find_map(|line| line.split_once("bomb: ").map(|(_, told)| told));
    let (kib, told) = line.unwrap_or_else(|| panic!("{bomb}: {output:?}")).split_once(' ').unwrap();
    (kib.parse::<u64>().unwrap() * 1024, told.to_owned())
}

#[test]
fn threat_20_a_bomb_takes_at_most_twice_the_memory_it_may_and_is_refused() {
    // What the test binary takes by itself.
    let (empty, _) = set_off("nothing");
    for (bomb, _) in &BOMBS[1..] {
        let (peak, told) = set_off(bomb);
        println!("{bomb}: {} MiB, {told}", (peak - empty.min(peak)) >> 20);
        assert!(!told.ends_with("rows") && told != "a model", "{bomb} was taken: {told}");
        assert!(peak - empty.min(peak) < 2 * CAP, "{bomb} took {} MiB", (peak - empty) >> 20);
    }
}
