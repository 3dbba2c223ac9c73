//! The tensors of the Open Inference Protocol (v2 of KServe's and Triton's): a request's body to
//! rows, an answer to a response's body, as JSON or with the tensors behind it in binary.
//!
//! A model of `n` features takes either one tensor of any name with the shape `[rows, n]` (or
//! `[n]`, one row), or one tensor of the shape `[rows]` or `[rows, 1]` for each column by its name.
//! Columns of words are `BYTES`. Each field of an answer is a tensor.
//!
//! Sources: <https://github.com/kserve/open-inference-protocol>, and Triton's binary tensor data
//! extension; [`decode_message`] and [`encode_message`] are the same in protobuf, for gRPC.

mod answer;
mod message;
mod request;
mod scan;

pub use answer::{Tensor, encode, encode_message, tensors};
pub use message::{decode_message, model_of};
pub use request::{Wanted, decode};

/// What stands between the rows and a name: the only input of a model whose columns are numbers.
pub const INPUT: &str = "input";

/// An element's type, by the protocol's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataType {
    /// One byte, 0 or 1.
    Bool,
    /// An unsigned integer of so many bytes.
    Uint(u8),
    /// A signed integer of so many bytes.
    Int(u8),
    /// A floating-point number of 4 or 8 bytes.
    Fp(u8),
    /// Text; in binary four bytes of length before each.
    Bytes,
}

const NAMES: [(&str, DataType); 12] = [
    ("BOOL", DataType::Bool),
    ("UINT8", DataType::Uint(1)),
    ("UINT16", DataType::Uint(2)),
    ("UINT32", DataType::Uint(4)),
    ("UINT64", DataType::Uint(8)),
    ("INT8", DataType::Int(1)),
    ("INT16", DataType::Int(2)),
    ("INT32", DataType::Int(4)),
    ("INT64", DataType::Int(8)),
    ("FP32", DataType::Fp(4)),
    ("FP64", DataType::Fp(8)),
    ("BYTES", DataType::Bytes),
];

impl DataType {
    /// The type of that name.
    pub fn parse(name: &str) -> Option<DataType> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, kind)| *kind == self).map_or("FP32", |(name, _)| name)
    }
}

#[cfg(test)]
mod tests;
