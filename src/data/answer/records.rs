//! An answer as RecordIO: for each row a `Record` whose `label` has every field under its name, as
//! SageMaker's own algorithms answer. The name of a class that is a word is bytes of text.

use std::collections::BTreeMap;

use super::{Answer, Values};
use crate::data::record::message::{Record, Value};
use crate::data::recordio;
use crate::data::schema::LabelNames;

/// Appends the whole answer to `out`.
pub(super) fn encode(answer: &Answer, out: &mut Vec<u8>) {
    for row in 0..answer.rows {
        let mut label = BTreeMap::new();
        for field in &answer.fields {
            label.insert(field.name.to_owned(), value(&field.values, row));
            if let Values::Contributions { width, columns, .. } = &field.values {
                let columns = columns.get(row * width..(row + 1) * width).unwrap_or(&[]);
                let columns = columns.iter().map(|column| *column as f32).collect();
                label.insert(format!("{}_features", field.name), numbers(columns));
            }
        }
        recordio::write(&Record { label, ..Record::default() }, out);
    }
}

fn numbers(values: Vec<f32>) -> Value {
    Value::float32(values, Vec::new(), Vec::new())
}

fn value(values: &Values, row: usize) -> Value {
    match values {
        Values::Number(list) => numbers(vec![list.get(row).copied().unwrap_or(f32::NAN)]),
        Values::Vector { width, values } | Values::Contributions { width, values, .. } => {
            numbers(values.get(row * width..(row + 1) * width).unwrap_or(&[]).to_vec())
        }
        Values::Classes(names) => match &**names {
            LabelNames::Numbers(list) => numbers(list.clone()),
            LabelNames::Words(words) => Value::words(words),
        },
        Values::Class { codes, names } => {
            let code = codes.get(row).map_or(usize::MAX - 1, |code| *code as usize);
            match &**names {
                LabelNames::Numbers(list) => {
                    numbers(vec![list.get(code).copied().unwrap_or(f32::NAN)])
                }
                LabelNames::Words(words) => Value::words(words.get(code..=code).unwrap_or(&[])),
            }
        }
    }
}
