//! `aialgs.data` as prost writes it; message and field numbers as in SageMaker's
//! `record.proto`.

use std::collections::BTreeMap;

use prost::{Message, Oneof};

/// Numbers of 32 bits.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Float32Tensor {
    #[prost(float, repeated, tag = "1")]
    pub(crate) values: Vec<f32>,
    #[prost(uint64, repeated, tag = "2")]
    pub(crate) keys: Vec<u64>,
    #[prost(uint64, repeated, tag = "3")]
    pub(crate) shape: Vec<u64>,
}

/// Numbers of 64 bits.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Float64Tensor {
    #[prost(double, repeated, tag = "1")]
    pub(crate) values: Vec<f64>,
    #[prost(uint64, repeated, tag = "2")]
    pub(crate) keys: Vec<u64>,
    #[prost(uint64, repeated, tag = "3")]
    pub(crate) shape: Vec<u64>,
}

/// Whole numbers.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Int32Tensor {
    #[prost(int32, repeated, tag = "1")]
    pub(crate) values: Vec<i32>,
    #[prost(uint64, repeated, tag = "2")]
    pub(crate) keys: Vec<u64>,
    #[prost(uint64, repeated, tag = "3")]
    pub(crate) shape: Vec<u64>,
}

/// Anything else: here, the name of a class.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Bytes {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(crate) value: Vec<Vec<u8>>,
    #[prost(string, optional, tag = "2")]
    pub(crate) content_type: Option<String>,
}

/// One of the tensors.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Value {
    #[prost(oneof = "Kind", tags = "2, 3, 7, 9")]
    pub(crate) value: Option<Kind>,
}

/// Which one.
#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Kind {
    #[prost(message, tag = "2")]
    Float32(Float32Tensor),
    #[prost(message, tag = "3")]
    Float64(Float64Tensor),
    #[prost(message, tag = "7")]
    Int32(Int32Tensor),
    #[prost(message, tag = "9")]
    Bytes(Bytes),
}

/// A row, or an answer to one. Maps in order, so that the same record is the same bytes.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Record {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(crate) features: BTreeMap<String, Value>,
    #[prost(btree_map = "string, message", tag = "2")]
    pub(crate) label: BTreeMap<String, Value>,
    #[prost(string, optional, tag = "3")]
    pub(crate) uid: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(crate) metadata: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub(crate) configuration: Option<String>,
}

impl Value {
    pub(crate) fn float32(values: Vec<f32>, keys: Vec<u64>, shape: Vec<u64>) -> Value {
        Value { value: Some(Kind::Float32(Float32Tensor { values, keys, shape })) }
    }

    pub(crate) fn words(words: &[String]) -> Value {
        let value = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let content_type = Some("text/plain".into());
        Value { value: Some(Kind::Bytes(Bytes { value, content_type })) }
    }
}

#[cfg(test)]
impl Value {
    pub(crate) fn float64(values: Vec<f64>, keys: Vec<u64>, shape: Vec<u64>) -> Value {
        Value { value: Some(Kind::Float64(Float64Tensor { values, keys, shape })) }
    }

    pub(crate) fn int32(values: Vec<i32>, keys: Vec<u64>, shape: Vec<u64>) -> Value {
        Value { value: Some(Kind::Int32(Int32Tensor { values, keys, shape })) }
    }

    pub(crate) fn as_float32(&self) -> Option<&Float32Tensor> {
        match &self.value {
            Some(Kind::Float32(tensor)) => Some(tensor),
            _ => None,
        }
    }
}

impl Record {
    /// A row: its features, and its label if it has one.
    pub(crate) fn of(features: Value, label: Option<Value>) -> Record {
        let map = |value| BTreeMap::from([("values".to_owned(), value)]);
        Record {
            features: map(features),
            label: label.map(map).unwrap_or_default(),
            ..Record::default()
        }
    }
}
