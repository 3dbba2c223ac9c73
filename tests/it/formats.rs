//! The formats besides CSV and JSON Lines: what they hold is what CSV would, and a file that is
//! wrong is refused with its place.

use std::io::Cursor;

use smrt::data::channel::{Object, Options, read};
use smrt::data::{Dataset, Error, Labels};
use smrt::fault::Fault;
use smrt::spec::train::{Format, LabelColumn, Media};

mod convert;
mod describe;
mod libsvm;
pub(crate) mod parquet;
pub(crate) mod recordio;

fn format(media: Media) -> Format {
    Format::new(media)
}

fn object(bytes: &[u8]) -> Object {
    let reader = Box::new(Cursor::new(bytes.to_vec()));
    Object { uri: "a".into(), bytes: Some(bytes.len() as u64), reader }
}

fn options() -> Options {
    Options { threads: 2, ..Options::new("channels.train") }
}

fn load(bytes: &[u8], format: &Format) -> Dataset {
    read(vec![object(bytes)], format, &options()).unwrap()
}

/// What the user reads: the message, and the help below it.
fn told(error: &Error) -> String {
    format!("{error}\n{}", error.help().unwrap_or_default())
}

fn numbers(labels: &Option<Labels>) -> Vec<f32> {
    match labels {
        Some(Labels::Number(numbers)) => numbers.clone(),
        other => panic!("not numbers: {other:?}"),
    }
}
