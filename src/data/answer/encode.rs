//! An answer to bytes, in SageMaker's formats. Numbers are the shortest decimals that read back as
//! the same `f32`.
//!
//! JSON knows no NaN and no infinity: they become `null`, so that the text stays JSON. In CSV they
//! are `NaN`, `inf` and `-inf`, as Python, C and [`crate::data`] read them.

use super::{Answer, Field, Values};
use crate::data::media::Accept;
use crate::data::schema::LabelNames;
use crate::spec::train::Media;

/// Appends the whole answer to `out`.
///
/// - `text/csv`: one line for each row with the first field; a vector's numbers are separated by
///   commas.
/// - `application/json`: `{"predictions":[{"score":0.4,"predicted_label":0}]}`.
/// - `application/jsonlines`: the same objects, one on each line.
///
/// - `application/x-recordio-protobuf`: a `Record` for each row, with the fields under `label`.
///
/// A field with fewer entries than rows counts as null there.
pub fn encode(answer: &Answer, accept: &Accept, out: &mut Vec<u8>) {
    write(answer, accept, false, out);
}

/// As [`encode`], with every field in CSV too: separated by commas, a vector as `"[0.1, 0.9]"` (as
/// SageMaker's XGBoost container writes selected fields), contributions as name and number in turn.
pub fn encode_fields(answer: &Answer, accept: &Accept, out: &mut Vec<u8>) {
    write(answer, accept, true, out);
}

fn write(answer: &Answer, accept: &Accept, all: bool, out: &mut Vec<u8>) {
    let mut writer = Writer { out, number: zmij::Buffer::new(), whole: itoa::Buffer::new() };
    match accept.media {
        Media::Csv | Media::Libsvm if all && answer.fields.len() > 1 => writer.csv_fields(answer),
        // `Accept` holds no other format than one that answers are written in.
        Media::Csv | Media::Libsvm | Media::Parquet => writer.csv(answer),
        Media::RecordIo => super::records::encode(answer, writer.out),
        Media::Json => writer.json(answer),
        Media::JsonLines => writer.json_lines(answer),
    }
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    number: zmij::Buffer,
    whole: itoa::Buffer,
}

impl Writer<'_> {
    fn csv(&mut self, answer: &Answer) {
        let Some(first) = answer.fields.first() else { return };
        for row in 0..answer.rows {
            self.csv_field(first, row);
            self.out.push(b'\n');
        }
    }

    fn csv_fields(&mut self, answer: &Answer) {
        for row in 0..answer.rows {
            for (at, field) in answer.fields.iter().enumerate() {
                if at > 0 {
                    self.out.push(b',');
                }
                match &field.values {
                    Values::Vector { width, values } => {
                        self.out.extend_from_slice(b"\"[");
                        for (at, value) in vector(values, *width, row).iter().enumerate() {
                            if at > 0 {
                                self.out.extend_from_slice(b", ");
                            }
                            self.csv_number(*value);
                        }
                        self.out.extend_from_slice(b"]\"");
                    }
                    Values::Classes(names) => {
                        self.out.extend_from_slice(b"\"[");
                        self.classes(names, b", ", Writer::quoted_word);
                        self.out.extend_from_slice(b"]\"");
                    }
                    _ => self.csv_field(field, row),
                }
            }
            self.out.push(b'\n');
        }
    }

    fn csv_field(&mut self, field: &Field, row: usize) {
        match &field.values {
            Values::Number(numbers) => {
                self.csv_number(numbers.get(row).copied().unwrap_or(f32::NAN));
            }
            Values::Vector { width, values } => {
                for (at, value) in vector(values, *width, row).iter().enumerate() {
                    if at > 0 {
                        self.out.push(b',');
                    }
                    self.csv_number(*value);
                }
            }
            Values::Class { codes, names } => match class(codes, names, row) {
                Some(Class::Number(number)) => self.label_number(number),
                Some(Class::Word(word)) => self.csv_word(word),
                None => self.csv_number(f32::NAN),
            },
            Values::Classes(names) => self.classes(names, b",", Writer::csv_word),
            Values::Contributions { width, columns, values, names } => {
                let columns = columns.get(row * width..(row + 1) * width).unwrap_or(&[]);
                for (at, (column, value)) in
                    columns.iter().zip(vector(values, *width, row)).enumerate()
                {
                    if at > 0 {
                        self.out.push(b',');
                    }
                    match names.get(*column as usize) {
                        Some(name) => self.csv_word(name),
                        None => self.out.extend_from_slice(self.whole.format(*column).as_bytes()),
                    }
                    self.out.push(b',');
                    self.csv_number(*value);
                }
            }
        }
    }

    fn csv_number(&mut self, value: f32) {
        match value {
            _ if value.is_finite() => self.finite(value),
            _ if value.is_nan() => self.out.extend_from_slice(b"NaN"),
            _ if value > 0.0 => self.out.extend_from_slice(b"inf"),
            _ => self.out.extend_from_slice(b"-inf"),
        }
    }

    fn csv_word(&mut self, word: &str) {
        if !word.contains([',', '"', '\n', '\r']) {
            self.out.extend_from_slice(word.as_bytes());
            return;
        }
        self.out.push(b'"');
        self.out.extend_from_slice(word.replace('"', "\"\"").as_bytes());
        self.out.push(b'"');
    }

    fn classes(&mut self, names: &LabelNames, comma: &[u8], word: fn(&mut Self, &str)) {
        for at in 0..names.len() {
            if at > 0 {
                self.out.extend_from_slice(comma);
            }
            match names {
                LabelNames::Numbers(numbers) => self.label_number(numbers[at]),
                LabelNames::Words(words) => word(self, &words[at]),
            }
        }
    }

    /// A word inside quotes.
    fn quoted_word(&mut self, word: &str) {
        self.out.extend_from_slice(word.replace('"', "\"\"").as_bytes());
    }

    fn json(&mut self, answer: &Answer) {
        self.out.extend_from_slice(b"{\"");
        self.out.extend_from_slice(answer.key.as_bytes());
        self.out.extend_from_slice(b"\":[");
        for row in 0..answer.rows {
            if row > 0 {
                self.out.push(b',');
            }
            self.json_row(answer, row);
        }
        self.out.extend_from_slice(b"]}");
    }

    fn json_lines(&mut self, answer: &Answer) {
        for row in 0..answer.rows {
            self.json_row(answer, row);
            self.out.push(b'\n');
        }
    }

    fn json_row(&mut self, answer: &Answer, row: usize) {
        self.out.push(b'{');
        for (at, field) in answer.fields.iter().enumerate() {
            self.out.extend_from_slice(if at > 0 { b",\"" } else { b"\"" });
            self.out.extend_from_slice(field.name.as_bytes());
            self.out.extend_from_slice(b"\":");
            self.json_field(field, row);
        }
        self.out.push(b'}');
    }

    fn json_field(&mut self, field: &Field, row: usize) {
        match &field.values {
            Values::Number(numbers) => {
                self.json_number(numbers.get(row).copied().unwrap_or(f32::NAN));
            }
            Values::Vector { width, values } => {
                self.out.push(b'[');
                for (at, value) in vector(values, *width, row).iter().enumerate() {
                    if at > 0 {
                        self.out.push(b',');
                    }
                    self.json_number(*value);
                }
                self.out.push(b']');
            }
            Values::Class { codes, names } => match class(codes, names, row) {
                Some(Class::Number(number)) => self.label_number(number),
                Some(Class::Word(word)) => self.json_word(word),
                None => self.out.extend_from_slice(b"null"),
            },
            Values::Classes(names) => {
                self.out.push(b'[');
                self.classes(names, b",", Writer::json_word);
                self.out.push(b']');
            }
            Values::Contributions { width, columns, values, names } => {
                let columns = columns.get(row * width..(row + 1) * width).unwrap_or(&[]);
                self.out.push(b'[');
                for (at, (column, value)) in
                    columns.iter().zip(vector(values, *width, row)).enumerate()
                {
                    self.out.extend_from_slice(if at > 0 {
                        b",{\"feature\":"
                    } else {
                        b"{\"feature\":"
                    });
                    match names.get(*column as usize) {
                        Some(name) => self.json_word(name),
                        None => self.out.extend_from_slice(self.whole.format(*column).as_bytes()),
                    }
                    self.out.extend_from_slice(b",\"contribution\":");
                    self.json_number(*value);
                    self.out.push(b'}');
                }
                self.out.push(b']');
            }
        }
    }

    fn json_number(&mut self, value: f32) {
        if value.is_finite() {
            self.finite(value);
        } else {
            self.out.extend_from_slice(b"null");
        }
    }

    fn json_word(&mut self, word: &str) {
        serde_json::to_writer(&mut *self.out, word).expect("a vector takes every byte");
    }

    /// A class that is a number: `1`, not `1.0`, as SageMaker writes it.
    fn label_number(&mut self, value: f32) {
        const EXACT: f32 = 16_777_216.0;
        if value.fract() == 0.0 && value.abs() <= EXACT {
            self.out.extend_from_slice(self.whole.format(value as i32).as_bytes());
        } else {
            self.json_number(value);
        }
    }

    fn finite(&mut self, value: f32) {
        self.out.extend_from_slice(self.number.format_finite(value).as_bytes());
    }
}

enum Class<'a> {
    Number(f32),
    Word(&'a str),
}

fn class<'a>(codes: &[u32], names: &'a LabelNames, row: usize) -> Option<Class<'a>> {
    let code = *codes.get(row)? as usize;
    match names {
        LabelNames::Numbers(numbers) => numbers.get(code).map(|number| Class::Number(*number)),
        LabelNames::Words(words) => words.get(code).map(|word| Class::Word(word)),
    }
}

fn vector(values: &[f32], width: usize, row: usize) -> &[f32] {
    values.get(row * width..(row + 1) * width).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn written(answer: &Answer, media: Media) -> String {
        let mut out = Vec::new();
        encode(answer, &media.into(), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn binary(scores: Vec<f32>, names: LabelNames) -> Answer {
        let codes = scores.iter().map(|score| u32::from(*score >= 0.5)).collect();
        Answer {
            key: "predictions",
            rows: scores.len(),
            fields: vec![
                Field { name: "score", values: Values::Number(scores) },
                Field {
                    name: "predicted_label",
                    values: Values::Class { codes, names: Arc::new(names) },
                },
            ],
        }
    }

    #[test]
    fn a_binary_answer_reads_as_sagemakers_linear_learner_writes_it() {
        let answer = binary(vec![0.4, 0.75], LabelNames::Numbers(vec![0.0, 1.0]));
        assert_eq!(
            written(&answer, Media::Json),
            r#"{"predictions":[{"score":0.4,"predicted_label":0},{"score":0.75,"predicted_label":1}]}"#
        );
        assert_eq!(
            written(&answer, Media::JsonLines),
            "{\"score\":0.4,\"predicted_label\":0}\n{\"score\":0.75,\"predicted_label\":1}\n"
        );
        assert_eq!(written(&answer, Media::Csv), "0.4\n0.75\n");
    }

    #[test]
    fn words_are_escaped_and_vectors_are_lists() {
        let words = LabelNames::Words(vec!["no".into(), "a \"b\"\n,c".into()]);
        let answer = binary(vec![0.9], words.clone());
        assert_eq!(
            written(&answer, Media::Json),
            r#"{"predictions":[{"score":0.9,"predicted_label":"a \"b\"\n,c"}]}"#
        );
        let class = Values::Class { codes: vec![1], names: Arc::new(words) };
        let answer = Answer {
            key: "predictions",
            rows: 1,
            fields: vec![Field { name: "predicted_label", values: class }],
        };
        assert_eq!(written(&answer, Media::Csv), "\"a \"\"b\"\"\n,c\"\n");
        let values = Values::Vector { width: 3, values: vec![0.5, 0.25, 0.25, 1.0, 0.0, 1e-7] };
        let answer =
            Answer { key: "predictions", rows: 2, fields: vec![Field { name: "score", values }] };
        assert_eq!(
            written(&answer, Media::Json),
            r#"{"predictions":[{"score":[0.5,0.25,0.25]},{"score":[1.0,0.0,1e-7]}]}"#
        );
        assert_eq!(written(&answer, Media::Csv), "0.5,0.25,0.25\n1.0,0.0,1e-7\n");
    }

    #[test]
    fn contributions_name_their_columns() {
        let contributions = Values::Contributions {
            width: 2,
            columns: vec![1, 0, 7, 1],
            values: vec![1.5, -0.5, 0.25, 0.0],
            names: Arc::from(["amount".to_owned(), "a,b".to_owned()]),
        };
        let field = Field { name: "contributions", values: contributions };
        let answer = Answer { key: "predictions", rows: 2, fields: vec![field] };
        assert_eq!(
            written(&answer, Media::JsonLines),
            concat!(
                r#"{"contributions":[{"feature":"a,b","contribution":1.5},"#,
                r#"{"feature":"amount","contribution":-0.5}]}"#,
                "\n",
                r#"{"contributions":[{"feature":7,"contribution":0.25},"#,
                r#"{"feature":"a,b","contribution":0.0}]}"#,
                "\n"
            )
        );
        assert_eq!(written(&answer, Media::Csv), "\"a,b\",1.5,amount,-0.5\n7,0.25,\"a,b\",0.0\n");
    }

    #[test]
    fn csv_has_every_field_when_all_are_asked_for() {
        let mut answer = binary(vec![0.25], LabelNames::Numbers(vec![0.0, 1.0]));
        let both = Values::Vector { width: 2, values: vec![0.75, 0.25] };
        answer.fields.push(Field { name: "probabilities", values: both });
        let mut out = Vec::new();
        encode_fields(&answer, &Media::Csv.into(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "0.25,0,\"[0.75, 0.25]\"\n");
    }

    #[test]
    fn what_json_cannot_say_is_null() {
        let numbers = vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        let answer = Answer {
            key: "scores",
            rows: 4,
            fields: vec![Field { name: "score", values: Values::Number(numbers) }],
        };
        assert_eq!(
            written(&answer, Media::Json),
            r#"{"scores":[{"score":null},{"score":null},{"score":null},{"score":null}]}"#
        );
        assert_eq!(written(&answer, Media::Csv), "NaN\ninf\n-inf\nNaN\n");
    }

    proptest! {
        #[test]
        fn every_number_reads_back_as_the_same_bits(bits in any::<u32>()) {
            let value = f32::from_bits(bits);
            prop_assume!(value.is_finite());
            let answer = Answer {
                key: "predictions",
                rows: 1,
                fields: vec![Field { name: "score", values: Values::Number(vec![value]) }],
            };
            let csv = written(&answer, Media::Csv);
            prop_assert_eq!(csv.trim().parse::<f32>().unwrap().to_bits(), bits);
            let json: serde_json::Value = serde_json::from_str(&written(&answer, Media::Json)).unwrap();
            prop_assert_eq!(json["predictions"][0]["score"].as_f64().unwrap() as f32, value);
        }
    }
}
