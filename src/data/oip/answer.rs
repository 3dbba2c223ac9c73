//! An answer as the protocol's tensors.

use std::borrow::Cow;

use super::{DataType, Wanted};
use crate::data::answer::{Answer, Field, Values};
use crate::data::error::{Error, shown};
use crate::data::protobuf::{Message, bytes_field};
use crate::data::schema::LabelNames;

/// What a tensor of an answer looks like, for a model's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its elements.
    pub datatype: DataType,
    /// Elements per row; `None` is one, without a dimension of its own.
    pub width: Option<usize>,
}

/// The tensors of an answer.
pub fn tensors(answer: &Answer) -> Vec<Tensor> {
    answer.fields.iter().flat_map(describe).collect()
}

fn describe(field: &Field) -> Vec<Tensor> {
    let one = |datatype, width| Tensor { name: field.name.to_owned(), datatype, width };
    match &field.values {
        Values::Number(_) => vec![one(DataType::Fp(4), None)],
        Values::Vector { width, .. } => vec![one(DataType::Fp(4), Some(*width))],
        Values::Class { names, .. } => vec![one(class_type(names), None)],
        // The same for every row: the model's metadata, not a row's.
        Values::Classes(_) => Vec::new(),
        Values::Contributions { width, .. } => vec![
            one(DataType::Fp(4), Some(*width)),
            Tensor {
                name: format!("{}_columns", field.name),
                datatype: DataType::Bytes,
                width: Some(*width),
            },
        ],
    }
}

fn class_type(names: &LabelNames) -> DataType {
    match names {
        LabelNames::Words(_) => DataType::Bytes,
        LabelNames::Numbers(numbers) if numbers.iter().all(|number| number.fract() == 0.0) => {
            DataType::Int(8)
        }
        LabelNames::Numbers(_) => DataType::Fp(4),
    }
}

/// Appends a response to `out`; returns the length of its JSON when binary tensors follow it. `known`
/// are the [`tensors`] of all answers of this model, worked out once.
///
/// # Errors
/// [`Error::Request`] when an output is wanted that the model does not have.
pub fn encode(
    answer: &Answer,
    known: &[Tensor],
    wanted: &Wanted,
    model: &str,
    out: &mut Vec<u8>,
) -> Result<Option<usize>, Error> {
    let chosen = chosen(known, wanted)?;
    let before = out.len();
    let mut binary = Vec::new();
    out.extend_from_slice(b"{\"model_name\":");
    text(model, out);
    out.extend_from_slice(b",\"model_version\":\"1\"");
    if let Some(id) = &wanted.id {
        out.extend_from_slice(b",\"id\":");
        text(id, out);
    }
    out.extend_from_slice(b",\"outputs\":[");
    for (number, (at, in_binary)) in chosen.into_iter().enumerate() {
        let Tensor { name, datatype, width } = &known[at];
        out.extend_from_slice(if number > 0 { b",{\"name\":" } else { b"{\"name\":" });
        text(name, out);
        out.extend_from_slice(b",\"datatype\":\"");
        out.extend_from_slice(datatype.name().as_bytes());
        out.extend_from_slice(b"\",\"shape\":[");
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(digits.format(answer.rows).as_bytes());
        if let Some(width) = width {
            out.push(b',');
            out.extend_from_slice(digits.format(*width).as_bytes());
        }
        out.push(b']');
        let elements = Elements::of(answer, name);
        if in_binary {
            let start = binary.len();
            elements.pack(&mut binary);
            let size = binary.len() - start;
            out.extend_from_slice(b",\"parameters\":{\"binary_data_size\":");
            out.extend_from_slice(digits.format(size).as_bytes());
            out.extend_from_slice(b"}}");
        } else {
            out.extend_from_slice(b",\"data\":[");
            elements.json(out);
            out.extend_from_slice(b"]}");
        }
    }
    out.extend_from_slice(b"]}");
    let json_bytes = out.len() - before;
    out.extend_from_slice(&binary);
    Ok((!binary.is_empty()).then_some(json_bytes))
}

/// Which tensors are wanted, in which order, and whether each is to be binary.
fn chosen(known: &[Tensor], wanted: &Wanted) -> Result<Vec<(usize, bool)>, Error> {
    if wanted.outputs.is_empty() {
        return Ok((0..known.len()).map(|at| (at, wanted.binary)).collect());
    }
    let find = |(name, binary): &(String, bool)| {
        let at = known.iter().position(|tensor| tensor.name == *name);
        at.map(|at| (at, *binary)).ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|tensor| tensor.name.as_str()).collect();
            Error::request(
                format!("the model has no output {}", shown(name.as_bytes())),
                format!("its outputs are {}", names.join(", ")),
            )
        })
    };
    let chosen: Vec<(usize, bool)> = wanted.outputs.iter().map(find).collect::<Result<_, _>>()?;
    // Naming one is short and its elements are not.
    let mut seen = vec![false; known.len()];
    match chosen.iter().find(|(at, _)| std::mem::replace(&mut seen[*at], true)) {
        Some((at, _)) => {
            let what = format!("the output {} is wanted twice", known[*at].name);
            Err(Error::request(what, "name each once"))
        }
        None => Ok(chosen),
    }
}

/// Appends a response to `out` as a `ModelInferResponse` of `inference.proto`, its tensors as
/// `raw_output_contents`. `known` as for [`encode`].
///
/// # Errors
/// As [`encode`].
pub fn encode_message(
    answer: &Answer,
    known: &[Tensor],
    wanted: &Wanted,
    model: &str,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let chosen = chosen(known, wanted)?;
    bytes_field(1, model.as_bytes(), out);
    bytes_field(2, b"1", out);
    if let Some(id) = &wanted.id {
        bytes_field(3, id.as_bytes(), out);
    }
    for (at, _) in &chosen {
        let Tensor { name, datatype, width } = &known[*at];
        let shape = [Some(answer.rows), *width].into_iter().flatten().map(|size| size as u64);
        let tensor = Message::default().text(1, name).text(2, datatype.name()).numbers(3, shape);
        bytes_field(5, &tensor.into_bytes(), out);
    }
    let mut packed = Vec::new();
    for (at, _) in chosen {
        packed.clear();
        Elements::of(answer, &known[at].name).pack(&mut packed);
        bytes_field(6, &packed, out);
    }
    Ok(())
}

fn text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a vector takes every byte");
}

/// One tensor's elements.
enum Elements<'a> {
    Numbers(Cow<'a, [f32]>),
    Whole(Vec<i64>),
    Words(Vec<String>),
}

impl<'a> Elements<'a> {
    fn of(answer: &'a Answer, name: &str) -> Elements<'a> {
        let own = answer.fields.iter().find(|field| field.name == name);
        let of_columns =
            || answer.fields.iter().find(|field| name.strip_suffix("_columns") == Some(field.name));
        match (own, own.or_else(of_columns).map(|field| &field.values)) {
            (None, Some(Values::Contributions { columns, names, .. })) => {
                let word = |column: &u32| {
                    names.get(*column as usize).cloned().unwrap_or_else(|| column.to_string())
                };
                Elements::Words(columns.iter().map(word).collect())
            }
            (_, Some(Values::Number(numbers))) => Elements::Numbers(numbers.into()),
            (_, Some(Values::Vector { values, .. } | Values::Contributions { values, .. })) => {
                Elements::Numbers(values.into())
            }
            (_, Some(Values::Class { codes, names })) => match &**names {
                LabelNames::Words(words) => {
                    let word = |code: &u32| words.get(*code as usize).cloned().unwrap_or_default();
                    Elements::Words(codes.iter().map(word).collect())
                }
                LabelNames::Numbers(numbers) => {
                    let number =
                        |code: &u32| numbers.get(*code as usize).copied().unwrap_or_default();
                    match class_type(names) {
                        DataType::Int(_) => {
                            Elements::Whole(codes.iter().map(|code| number(code) as i64).collect())
                        }
                        _ => Elements::Numbers(codes.iter().map(number).collect()),
                    }
                }
            },
            (_, None | Some(Values::Classes(_))) => Elements::Numbers(Cow::Borrowed(&[])),
        }
    }

    /// The elements with commas between them.
    fn json(&self, out: &mut Vec<u8>) {
        let mut comma = false;
        let mut separate = |out: &mut Vec<u8>| {
            if std::mem::replace(&mut comma, true) {
                out.push(b',');
            }
        };
        match self {
            Elements::Numbers(numbers) => {
                let mut shortest = zmij::Buffer::new();
                for number in numbers.iter() {
                    separate(out);
                    match number.is_finite() {
                        true => out.extend_from_slice(shortest.format_finite(*number).as_bytes()),
                        // JSON knows no NaN.
                        false => out.extend_from_slice(b"null"),
                    }
                }
            }
            Elements::Whole(numbers) => {
                let mut digits = itoa::Buffer::new();
                for number in numbers {
                    separate(out);
                    out.extend_from_slice(digits.format(*number).as_bytes());
                }
            }
            Elements::Words(words) => {
                for word in words {
                    separate(out);
                    text(word, out);
                }
            }
        }
    }

    fn pack(&self, out: &mut Vec<u8>) {
        match self {
            Elements::Numbers(numbers) => {
                numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
            }
            Elements::Whole(numbers) => {
                numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
            }
            Elements::Words(words) => {
                for word in words {
                    out.extend_from_slice(&(word.len() as u32).to_le_bytes());
                    out.extend_from_slice(word.as_bytes());
                }
            }
        }
    }
}
