//! Sealing and opening, beside the raw cipher on the same frames and the same cores.
//!
//! `cargo bench --bench seal` measures with criterion. With `SMRT_SEAL_ROUNDS=5` it runs everything
//! in turn instead, several times over, and prints one JSON line with the median seconds of each
//! and the ratios: what `benches/peers/seal.py` reads, and what a claim is made from.
//! `SMRT_SEAL_BYTES` sets the size (default 256 MiB), `SMRT_SEAL_FOLDER` where the files lie.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use criterion::{BatchSize, Criterion, Throughput};
use rayon::prelude::*;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use smrt::seal::{
    Context, DEFAULT_ALIAS, KeyService, LocalKeys, RawKey, Reader, Settings, Writer, open_file,
    seal_file,
};

const FRAME: usize = 1 << 20;
const KEY: &str = "bench";

struct Place {
    bytes: usize,
    plain: Vec<u8>,
    sealed: Vec<u8>,
    // Gone with the value.
    _folder: tempfile::TempDir,
    source: PathBuf,
    target: PathBuf,
    opened: PathBuf,
}

fn key() -> RawKey {
    RawKey::new("bench", KEY, [1; 32]).expect("a good name")
}

fn prepare() -> Place {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let bytes = number("SMRT_SEAL_BYTES").unwrap_or(256 << 20);
    let folder = match std::env::var_os("SMRT_SEAL_FOLDER") {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    };
    let folder = folder.expect("a folder to work in");
    let [source, target, opened] =
        ["plain", "sealed", "opened"].map(|name| folder.path().join(name));
    // Anything but zeros: a file system may treat those in a way of its own.
    let words = (0..bytes as u64 / 8).flat_map(|n| (n.wrapping_mul(0x9e37_79b9)).to_le_bytes());
    let plain: Vec<u8> = words.collect();
    std::fs::write(&source, &plain).expect("room for the source");
    let sealed = seal_to_memory(&plain);
    let bytes = plain.len();
    Place { bytes, plain, sealed, _folder: folder, source, target, opened }
}

/// The limit: the same frames through the raw cipher on all cores, in place, no input or output.
fn raw_seal(cipher: &Aes256Gcm, buffer: &mut [u8]) {
    buffer.par_chunks_mut(FRAME).enumerate().for_each(|(at, frame)| {
        let tag = cipher.encrypt_inout_detached(&nonce(at).into(), &[0; 80], frame.into());
        black_box(tag.expect("a frame is short"));
    });
}

/// The same with ring's cipher, which is what frames go through.
fn ring_seal(cipher: &LessSafeKey, buffer: &mut [u8]) {
    buffer.par_chunks_mut(FRAME).enumerate().for_each(|(at, frame)| {
        let nonce = Nonce::assume_unique_for_key(nonce(at));
        let tag = cipher.seal_in_place_separate_tag(nonce, Aad::from([0; 80]), frame);
        let _ = black_box(tag.expect("a frame is short"));
    });
}

fn ring_key() -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[1; 32]).expect("a key has 32 bytes"))
}

fn nonce(at: usize) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&(at as u64).to_be_bytes());
    nonce
}

fn seal_to_memory(plain: &[u8]) -> Vec<u8> {
    let sealed = Vec::with_capacity(plain.len() + plain.len() / 1000 + 4096);
    let mut writer = Writer::new(sealed, &key(), KEY, &Context::new()).expect("a good key");
    writer.write_all(plain).expect("memory takes it");
    writer.finish().expect("memory takes it")
}

fn seal_stream(plain: &[u8]) {
    let mut writer = Writer::new(io::sink(), &key(), KEY, &Context::new()).expect("a good key");
    writer.write_all(plain).expect("a sink takes it");
    writer.finish().expect("a sink takes it");
}

fn open_stream(sealed: &[u8]) {
    let mut reader = Reader::open(sealed, &key()).expect("our own message");
    while let length @ 1.. = reader.fill_buf().expect("our own message").len() {
        reader.consume(length);
    }
}

fn seal_path(place: &Place, to: &Path) {
    let settings = Settings::default();
    seal_file(&place.source, to, &key(), KEY, &Context::new(), &settings)
        .expect("room for the sealed file");
}

fn open_path(place: &Place) {
    open_file(&place.target, &place.opened, &key(), &Context::new()).expect("our own file");
}

/// What the file system alone takes: the same pieces read and written on as many threads.
fn copy_path(from: &Path, to: &Path) {
    use std::os::unix::fs::FileExt;
    let (source, target) = (File::open(from).expect("a file"), File::create(to).expect("room"));
    let frames = source.metadata().expect("a file").len().div_ceil(FRAME as u64);
    let next = std::sync::atomic::AtomicU64::new(0);
    let run = || {
        let mut buffer = vec![0; FRAME];
        loop {
            let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if at >= frames {
                break;
            }
            let length = source.read_at(&mut buffer, at * FRAME as u64).expect("a file");
            target.write_all_at(&buffer[..length], at * FRAME as u64).expect("room");
        }
    };
    std::thread::scope(|scope| {
        (1..rayon::current_num_threads()).for_each(|_| {
            scope.spawn(run);
        });
        run();
    });
}

/// The key service in process, on one core: a fresh data key under a key of a store on disk, and back.
fn keys(criterion: &mut Criterion) {
    let home = tempfile::tempdir().expect("a folder for keys");
    let keys = LocalKeys::new(home.path());
    let context = Context::from_pairs([("smrt:job", "bench")]).expect("one short pair");
    let make = || keys.generate_data_key(DEFAULT_ALIAS, &context).expect("a new key");
    let (_, wrapped) = make();
    let mut group = criterion.benchmark_group("keys");
    group.throughput(Throughput::Elements(1));
    group.bench_function("GenerateDataKey", |b| b.iter(make));
    group.bench_function("Decrypt", |b| b.iter(|| keys.unwrap(&wrapped, &context)));
    group.finish();
}

fn with_criterion(place: &Place, criterion: &mut Criterion) {
    let cipher = Aes256Gcm::new(&[1; 32].into());
    let mut group = criterion.benchmark_group("seal");
    group.throughput(Throughput::Bytes(place.bytes as u64)).sample_size(10);
    let mut buffer = place.plain.clone();
    group.bench_function("raw cipher, all cores", |b| b.iter(|| raw_seal(&cipher, &mut buffer)));
    let ring = ring_key();
    group.bench_function("ring's cipher, all cores", |b| b.iter(|| ring_seal(&ring, &mut buffer)));
    drop(buffer);
    group.bench_function("writer, memory", |b| b.iter(|| seal_stream(&place.plain)));
    group.bench_function("reader, memory", |b| b.iter(|| open_stream(&place.sealed)));
    seal_path(place, &place.target);
    let works: [(&str, &dyn Fn()); 3] = [
        ("copy, file to file", &|| copy_path(&place.source, &place.opened)),
        ("seal, file to file", &|| seal_path(place, &place.opened)),
        ("open, file to file", &|| open_path(place)),
    ];
    for (name, work) in works {
        group.bench_function(name, |b| {
            b.iter_batched(|| warm(place), |()| work(), BatchSize::PerIteration);
        });
    }
    group.finish();
    keys(criterion);
}

/// CPU seconds of this process so far, all threads, in user and in system. On a shared machine they
/// say more than the clock on the wall. Zero where there is no /proc.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // utime and stime, the 14th and 15th of proc(5), in hundredths of a second.
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Frees as much memory as a file takes, just before it is wanted. A virtual machine gives memory
/// that was free for some seconds back to its host, and the first touch of each page then costs far
/// more than the copy into it (1 GiB written: 1.4 s of CPU instead of 0.2).
fn warm(place: &Place) {
    let _ = std::fs::remove_file(&place.opened);
    copy_path(&place.source, &place.opened);
    let _ = std::fs::remove_file(&place.opened);
}

/// Everything in turn, so that a disturbance meets all alike; medians of several rounds.
fn in_turn(place: &Place, rounds: usize) {
    let cipher = Aes256Gcm::new(&[1; 32].into());
    let ring = ring_key();
    let names = ["raw", "ring", "copy", "writer", "reader", "seal", "open"];
    let mut seconds = vec![(Vec::new(), Vec::new()); names.len()];
    let buffer = std::cell::RefCell::new(place.plain.clone());
    seal_path(place, &place.target);
    for _ in 0..rounds {
        let mut works: [&mut dyn FnMut(); 7] = [
            &mut || raw_seal(&cipher, &mut buffer.borrow_mut()),
            &mut || ring_seal(&ring, &mut buffer.borrow_mut()),
            &mut || copy_path(&place.source, &place.opened),
            &mut || seal_stream(&place.plain),
            &mut || open_stream(&place.sealed),
            &mut || seal_path(place, &place.opened),
            &mut || open_path(place),
        ];
        for (work, seconds) in works.iter_mut().zip(&mut seconds) {
            warm(place);
            let (start, cpu) = (Instant::now(), cpu_seconds());
            work();
            seconds.0.push(start.elapsed().as_secs_f64());
            seconds.1.push(cpu_seconds() - cpu);
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let medians: Vec<(f64, f64)> =
        seconds.iter_mut().map(|(wall, cpu)| (median(wall), median(cpu))).collect();
    let round = |number: f64| (number * 1000.0).round() / 1000.0;
    let of_each = |of: &dyn Fn((f64, f64)) -> f64| -> serde_json::Value {
        names.iter().zip(&medians).map(|(name, times)| (*name, round(of(*times)))).collect()
    };
    let raw = medians[0];
    let line = serde_json::json!({
        "bytes": place.bytes,
        "cores": rayon::current_num_threads(),
        "seconds": of_each(&|times| times.0),
        "cpu_seconds": of_each(&|times| times.1),
        "of_raw": of_each(&|times| raw.0 / times.0),
        "of_raw_by_cpu": of_each(&|times| raw.1 / times.1),
    });
    let _ = writeln!(io::stdout(), "{line}");
}

fn main() {
    let place = prepare();
    match std::env::var("SMRT_SEAL_ROUNDS").ok().and_then(|text| text.parse().ok()) {
        Some(rounds) => in_turn(&place, rounds),
        None => {
            let mut criterion = Criterion::default().configure_from_args();
            with_criterion(&place, &mut criterion);
            criterion.final_summary();
        }
    }
}
