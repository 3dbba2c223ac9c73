//! What reading a request allocates, counted: rows go straight into the batch's buffer.

use allocation_counter::measure;
use smrt::data::media::ContentType;
use smrt::data::oip;
use smrt::data::request::{self, Limits};
use smrt::data::{Signature, Task};

const FEATURES: usize = 30;
const MANY: usize = 1_000;

fn row(at: usize) -> String {
    let value = |column: usize| format!("{:.4}", (at * 31 + column) as f32 * 0.001 - 1.5);
    (0..FEATURES).map(value).collect::<Vec<_>>().join(",")
}

fn rows(count: usize, each: impl Fn(String) -> String, between: &str) -> String {
    (0..count).map(|at| each(row(at))).collect::<Vec<_>>().join(between)
}

/// Allocations of reading `count` rows in a format, into a buffer that is large enough.
fn allocations(format: &str, count: usize) -> u64 {
    let signature = Signature::of(FEATURES, Task::BinaryClassification);
    let mut values = Vec::with_capacity(FEATURES * MANY + FEATURES);
    let limits = Limits::default();
    let content = |name: &str| ContentType::parse(name).unwrap();
    let list = |row: String| format!("[{row}]");
    let shape = format!(r#""name":"input","datatype":"FP32","shape":[{count},{FEATURES}]"#);
    let mut read = |content: &str, body: String| {
        let content = ContentType::parse(content).unwrap();
        measure(|| {
            let found =
                request::decode_into(&content, body.as_bytes(), &signature, &limits, &mut values);
            assert_eq!(found.unwrap(), count);
        })
        .count_total
    };
    match format {
        "csv" => read("text/csv", rows(count, |row| row, "\n")),
        "csv, quoted" => read(
            "text/csv",
            rows(count, |row| format!("\"{}\"", row.replace(',', "\",\"")), "\r\n"),
        ),
        "json" => {
            let rows = rows(count, |row| format!("{{\"features\": [{row}]}}"), ", ");
            read("application/json", format!("{{\"instances\": [{rows}]}}"))
        }
        "json, general" => {
            let rows = rows(count, list, ",");
            read("application/json", format!("{{\"more\": 1, \"instances\": [{rows}]}}"))
        }
        "json lines" => read("application/jsonlines", rows(count, list, "\n")),
        "v2" | "v2, nested" | "v2, general" => {
            let between = if format == "v2, nested" { "],[" } else { "," };
            let data = rows(count, |row| row, between);
            let data = if format == "v2, nested" { format!("[{data}]") } else { data };
            let more = if format == "v2, general" { r#""more":1,"# } else { "" };
            let body = format!(r#"{{{more}"inputs":[{{{shape},"data":[{data}]}}]}}"#);
            measure(|| {
                let read = oip::decode(body.as_bytes(), None, &signature, &limits, &mut values);
                assert_eq!(read.unwrap().0, count);
            })
            .count_total
        }
        "v2, binary" => {
            let bytes = vec![0; 4 * count * FEATURES];
            let parameters = format!(r#""parameters":{{"binary_data_size":{}}}"#, bytes.len());
            let json = format!(r#"{{"inputs":[{{{shape},{parameters}}}]}}"#);
            let body = [json.as_bytes(), &bytes].concat();
            measure(|| {
                let read = oip::decode(&body, Some(json.len()), &signature, &limits, &mut values);
                assert_eq!(read.unwrap().0, count);
            })
            .count_total
        }
        _ => {
            let content = content(format);
            let body = rows(
                count,
                |row| {
                    let cells = row.split(',').enumerate();
                    cells.map(|(at, cell)| format!("{at}:{cell}")).collect::<Vec<_>>().join(" ")
                },
                "\n",
            );
            measure(|| {
                let found = request::decode_into(
                    &content,
                    body.as_bytes(),
                    &signature,
                    &limits,
                    &mut values,
                );
                assert_eq!(found.unwrap(), count);
            })
            .count_total
        }
    }
}

#[test]
fn the_usual_requests_are_read_without_an_allocation_however_many_rows_they_have() {
    for format in ["csv", "json", "v2", "v2, nested", "v2, binary"] {
        assert_eq!((allocations(format, 1), allocations(format, MANY)), (0, 0), "{format}");
    }
}

#[test]
fn no_format_allocates_for_each_row() {
    for format in ["csv, quoted", "json, general", "json lines", "v2, general", "text/libsvm"] {
        let (one, many) = (allocations(format, 1), allocations(format, MANY));
        // Buffers that grow are allocated again each time they double, and some have three.
        assert!(many <= one + 40, "{format}: {one} for a row, {many} for {MANY}");
    }
}
