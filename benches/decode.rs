//! How fast bytes become rows: CSV channels and requests, beside a plain scan of the same memory
//! (counting line feeds), which is the floor.
//!
//! With `file PATH THREADS REPEAT` after `--` it decodes that file and prints what it took, one line
//! for each repetition: that is what `benches/peers/decode.py` runs. `generate PATH BYTES` writes a file
//! of card transactions.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Cursor, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::time::Instant;

use criterion::{Criterion, Throughput};
use smrt::data::channel::{Object, Options, Parts, batches, read};
use smrt::data::media::ContentType;
use smrt::data::write::{Encoder, Packing, Target};
use smrt::data::{Absent, Answer, Field, Signature, Task, Values, answer, generate, request};
use smrt::spec::train::{Format, Media};

const ROWS: u64 = 200_000;

fn format(media: Media) -> Format {
    Format::new(media)
}

fn options(threads: usize) -> Options {
    Options { threads, ..Options::new("channels.train") }
}

fn channel(c: &mut Criterion) {
    let mut text = Vec::new();
    generate::transactions(ROWS, 7, &mut text).unwrap();
    let mut group = c.benchmark_group("channel");
    group.throughput(Throughput::Bytes(text.len() as u64)).sample_size(10);
    group.bench_function("floor: count line feeds", |b| {
        b.iter(|| memchr::memchr_iter(b'\n', black_box(&text)).count());
    });
    let mut decode = |name: &str, text: &[u8], media, threads| {
        group.bench_function(name, |b| {
            b.iter(|| {
                let reader = Box::new(Cursor::new(text.to_vec()));
                let object = Object { uri: "memory".into(), bytes: None, reader };
                read(vec![object], &format(media), &options(threads)).unwrap()
            });
        });
    };
    decode("csv, 1 thread", &text, Media::Csv, 1);
    decode("csv, all cores", &text, Media::Csv, 0);
    let lines = json_lines(&text);
    group.throughput(Throughput::Bytes(lines.len() as u64));
    group.bench_function("json lines, all cores", |b| {
        b.iter(|| {
            let reader = Box::new(Cursor::new(lines.clone()));
            let object = Object { uri: "memory".into(), bytes: None, reader };
            read(vec![object], &format(Media::JsonLines), &options(0)).unwrap()
        });
    });
    group.finish();
}

/// The same rows in the formats that are no text, or sparse: as `smrt data convert` writes them.
fn formats(c: &mut Criterion) {
    let mut text = Vec::new();
    generate::transactions(ROWS, 7, &mut text).unwrap();
    let mut group = c.benchmark_group("format");
    group.throughput(Throughput::Elements(ROWS)).sample_size(10);
    for (name, media) in
        [("libsvm", Media::Libsvm), ("recordio", Media::RecordIo), ("parquet", Media::Parquet)]
    {
        let bytes = converted(&text, media);
        for threads in [1, 0] {
            group.bench_function(format!("{name}, {threads} threads (0: all cores)"), |b| {
                b.iter(|| {
                    let held = bytes.clone();
                    let part =
                        move |_, range: Range<u64>| -> std::io::Result<Box<dyn Read + Send>> {
                            let part = held[range.start as usize..range.end as usize].to_vec();
                            Ok(Box::new(Cursor::new(part)))
                        };
                    let options = Options { parts: Some(Parts::new(part)), ..options(threads) };
                    let length = Some(bytes.len() as u64);
                    let reader = Box::new(Cursor::new(bytes.clone()));
                    let object = Object { uri: "memory".into(), bytes: length, reader };
                    read(vec![object], &format(media), &options).unwrap()
                });
            });
        }
    }
    group.finish();
}

fn converted(csv: &[u8], media: Media) -> Vec<u8> {
    let reader = Box::new(Cursor::new(csv.to_vec()));
    let object = Object { uri: "memory".into(), bytes: None, reader };
    let mut rows = batches(vec![object], &format(Media::Csv), &options(0)).unwrap();
    let mut encoder = Encoder::new(Target {
        media,
        packing: Packing::Plain,
        absent: Absent::Zero,
        columns: Vec::new(),
        label: "label".into(),
    });
    let mut bytes = Vec::new();
    while let Some(batch) = rows.next() {
        encoder.batch(&batch.unwrap(), &rows.categories(), &mut bytes).unwrap();
    }
    encoder.finish(&mut bytes).unwrap();
    bytes
}

fn json_lines(csv: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    for row in csv.split(|byte| *byte == b'\n').filter(|row| !row.is_empty()) {
        lines.extend_from_slice(b"{\"label\":");
        lines.push(row[0]);
        lines.extend_from_slice(b",\"features\":[");
        lines.extend_from_slice(&row[2..]);
        lines.extend_from_slice(b"]}\n");
    }
    lines
}

fn requests(c: &mut Criterion) {
    let features = 30;
    let signature = Signature::of(features, Task::BinaryClassification);
    let row: Vec<String> = (0..features).map(|at| format!("{}", at as f32 * 0.37 - 3.0)).collect();
    let row = row.join(",");
    for rows in [1, 1000] {
        let mut group = c.benchmark_group(format!("request of {rows}"));
        let csv = format!("{row}\n").repeat(rows);
        let instances = vec![format!("{{\"features\":[{row}]}}"); rows].join(",");
        let json = format!("{{\"instances\":[{instances}]}}");
        for (name, media, body) in [("csv", Media::Csv, csv), ("json", Media::Json, json)] {
            let content = ContentType::from(media);
            group.throughput(Throughput::Bytes(body.len() as u64));
            group.bench_function(name, |b| {
                let limits = request::Limits::default();
                b.iter(|| {
                    request::decode(&content, black_box(body.as_bytes()), &signature, &limits)
                        .unwrap()
                });
            });
        }
        let scores = (0..rows).map(|at| 1.0 / (at as f32 + 1.7)).collect();
        let answer = Answer {
            key: "predictions",
            rows,
            fields: vec![Field { name: "score", values: Values::Number(scores) }],
        };
        group.throughput(Throughput::Elements(rows as u64));
        group.bench_function("answer in json", |b| {
            let mut out = Vec::new();
            b.iter(|| {
                out.clear();
                answer::encode(&answer, &Media::Json.into(), &mut out);
                out.len()
            });
        });
        group.finish();
    }
}

/// From an open file to a matrix in memory: wall and CPU seconds, rows and peak MiB of each
/// repetition.
fn time_file(path: &str, threads: usize, repeat: usize) {
    for _ in 0..repeat {
        report(|| {
            let file = File::open(path).unwrap();
            let bytes = file.metadata().unwrap().len();
            let object = Object { uri: path.into(), bytes: Some(bytes), reader: Box::new(file) };
            let again = path.to_owned();
            let part = move |_, range: Range<u64>| -> std::io::Result<Box<dyn Read + Send>> {
                let mut file = File::open(&again)?;
                file.seek(SeekFrom::Start(range.start))?;
                Ok(Box::new(file.take(range.end - range.start)))
            };
            let options = Options { parts: Some(Parts::new(part)), ..options(threads) };
            let media = match path.rsplit('.').next() {
                Some("parquet") => Media::Parquet,
                Some("svm") => Media::Libsvm,
                Some("recordio") => Media::RecordIo,
                _ => Media::Csv,
            };
            read(vec![object], &format(media), &options).unwrap().rows()
        });
    }
}

/// The floor for a file: read it and count its lines, in one thread.
fn time_floor(path: &str, repeat: usize) {
    for _ in 0..repeat {
        report(|| {
            let mut file = File::open(path).unwrap();
            let mut buffer = vec![0; 1 << 20];
            let mut lines = 0;
            loop {
                let count = file.read(&mut buffer).unwrap();
                if count == 0 {
                    return lines;
                }
                lines += memchr::memchr_iter(b'\n', &buffer[..count]).count();
            }
        });
    }
}

fn report(work: impl FnOnce() -> usize) {
    let (start, used) = (Instant::now(), cpu_seconds());
    let rows = work();
    let (wall, used) = (start.elapsed().as_secs_f64(), cpu_seconds() - used);
    println!("{wall:.4} {used:.2} {rows} {}", peak_mib());
}

/// User and system time of this process, from Linux's accounting in ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or("");
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    ticks.map(|word| word.parse::<f64>().unwrap_or(0.0)).sum::<f64>() / 100.0
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("");
    line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn generate_file(path: &str, bytes_min: u64) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let mut sample = Vec::new();
    generate::transactions(10_000, 7, &mut sample).unwrap();
    let rows = bytes_min * 10_000 / sample.len() as u64;
    generate::transactions(rows, 7, &mut file).unwrap();
    file.flush().unwrap();
}

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["file", path, threads, repeat] => {
            time_file(path, threads.parse().unwrap(), repeat.parse().unwrap());
        }
        ["floor", path, repeat] => time_floor(path, repeat.parse().unwrap()),
        ["generate", path, bytes] => generate_file(path, bytes.parse().unwrap()),
        _ => {
            let mut criterion = Criterion::default().configure_from_args();
            channel(&mut criterion);
            formats(&mut criterion);
            requests(&mut criterion);
            criterion.final_summary();
        }
    }
}
