//! Tensors to safetensors bytes and back: what models and checkpoints are kept in.
//!
//! The same tensors always give the same bytes. Reading checks name, type, shape and finiteness
//! before a number is used, since the bytes may be a stranger's; it never panics and allocates
//! no more than the bytes given.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::Error;

/// Name of the file that holds a model's weights.
pub const MODEL_FILE: &str = "model.safetensors";

/// Tensors to be written.
#[derive(Debug, Default)]
pub struct Writer {
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
    /// `format` in the header: what the tensors are.
    format: String,
}

impl Writer {
    /// Nothing yet; `format` names what the tensors are (`smrt linear-learner 1`). It is kept in
    /// the header and checked by [`Reader::open`].
    pub fn new(format: &str) -> Writer {
        Writer { tensors: Vec::new(), format: format.to_owned() }
    }

    /// Adds numbers, row-major. `shape` must fit them.
    pub fn f32(&mut self, name: &str, shape: &[usize], values: &[f32]) -> &mut Writer {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.add(name, Dtype::F32, shape, bytes)
    }

    /// Adds numbers, row-major. `shape` must fit them.
    pub fn f64(&mut self, name: &str, shape: &[usize], values: &[f64]) -> &mut Writer {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.add(name, Dtype::F64, shape, bytes)
    }

    /// Adds whole numbers, row-major. `shape` must fit them.
    pub fn u32(&mut self, name: &str, shape: &[usize], values: &[u32]) -> &mut Writer {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.add(name, Dtype::U32, shape, bytes)
    }

    /// Adds whole numbers, row-major. `shape` must fit them.
    pub fn u64(&mut self, name: &str, shape: &[usize], values: &[u64]) -> &mut Writer {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.add(name, Dtype::U64, shape, bytes)
    }

    fn add(&mut self, name: &str, dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> &mut Writer {
        self.tensors.push((name.to_owned(), dtype, shape.to_vec(), bytes));
        self
    }

    /// The file. Tensors stand in the order of type and name; the header has one metadata entry,
    /// since several would be written in random order.
    pub fn finish(&self) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(*dtype, shape.clone(), bytes)
                .expect("an algorithm writes tensors whose shape fits their numbers");
            (name.as_str(), view)
        });
        let metadata = HashMap::from([("format".to_owned(), self.format.clone())]);
        safetensors::serialize(views, Some(metadata))
            .expect("an algorithm writes a bounded number of distinct tensors")
    }
}

/// Tensors read from bytes that may be anybody's.
#[derive(Debug)]
pub struct Reader<'a> {
    file: &'a str,
    tensors: SafeTensors<'a>,
}

impl<'a> Reader<'a> {
    /// Reads the header of `bytes`, the file named `file`, and checks that it is of `format`.
    ///
    /// # Errors
    /// `Error::Corrupt` when it is not a safetensors file, or of another format.
    pub fn open(file: &'a str, bytes: &'a [u8], format: &str) -> Result<Reader<'a>, Error> {
        let bad = |why: &dyn std::fmt::Display| Error::Corrupt(format!("{file}: {why}"));
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| bad(&e))?;
        let found = metadata.metadata().as_ref().and_then(|entries| entries.get("format"));
        if found.map(String::as_str) != Some(format) {
            return Err(bad(&format!("its tensors are not those of {format:?}")));
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| bad(&e))?;
        Ok(Reader { file, tensors })
    }

    /// Opens `file` of a model's files.
    ///
    /// # Errors
    /// As [`Reader::open`], and when the file is not there.
    pub fn of(files: &'a super::Files, file: &'a str, format: &str) -> Result<Reader<'a>, Error> {
        let bytes = files.get(file);
        let bytes = bytes.ok_or_else(|| Error::Corrupt(format!("{file} is missing")))?;
        Reader::open(file, bytes, format)
    }

    /// Whether a tensor of this name is there.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.names().contains(&name)
    }

    /// The shape of a tensor, to be checked by the caller before it believes it.
    ///
    /// # Errors
    /// `Error::Corrupt` when it is not there.
    pub fn shape(&self, name: &str) -> Result<Vec<usize>, Error> {
        Ok(self.view(name)?.shape().to_vec())
    }

    /// Finite numbers, row-major, of exactly this shape.
    ///
    /// # Errors
    /// `Error::Corrupt` when missing, of another type or shape, or not finite.
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let values = self.f32_as_written(name, shape)?;
        if values.iter().all(|value| value.is_finite()) {
            Ok(values)
        } else {
            Err(self.bad(name, "holds a number that is not finite"))
        }
    }

    /// Numbers as they were written, finite or not: for a checkpoint, which may hold a model that
    /// diverged beside others that did not.
    ///
    /// # Errors
    /// `Error::Corrupt` when missing, or of another type or shape.
    pub fn f32_as_written(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let bytes = self.bytes(name, Dtype::F32, shape)?;
        let (words, _) = bytes.as_chunks::<4>();
        Ok(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
    }

    /// Finite numbers, row-major, of exactly this shape.
    ///
    /// # Errors
    /// `Error::Corrupt` when missing, of another type or shape, or not finite.
    pub fn f64(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>, Error> {
        let bytes = self.bytes(name, Dtype::F64, shape)?;
        let (words, _) = bytes.as_chunks::<8>();
        let values: Vec<f64> = words.iter().map(|word| f64::from_le_bytes(*word)).collect();
        if values.iter().all(|value| value.is_finite()) {
            Ok(values)
        } else {
            Err(self.bad(name, "holds a number that is not finite"))
        }
    }

    /// Whole numbers, row-major, of exactly this shape.
    ///
    /// # Errors
    /// `Error::Corrupt` when missing, or of another type or shape.
    pub fn u32(&self, name: &str, shape: &[usize]) -> Result<Vec<u32>, Error> {
        let bytes = self.bytes(name, Dtype::U32, shape)?;
        let (words, _) = bytes.as_chunks::<4>();
        Ok(words.iter().map(|word| u32::from_le_bytes(*word)).collect())
    }

    /// Whole numbers, row-major, of exactly this shape.
    ///
    /// # Errors
    /// `Error::Corrupt` when missing, or of another type or shape.
    pub fn u64(&self, name: &str, shape: &[usize]) -> Result<Vec<u64>, Error> {
        let bytes = self.bytes(name, Dtype::U64, shape)?;
        let (words, _) = bytes.as_chunks::<8>();
        Ok(words.iter().map(|word| u64::from_le_bytes(*word)).collect())
    }

    fn view(&self, name: &str) -> Result<TensorView<'a>, Error> {
        self.tensors.tensor(name).map_err(|_| self.bad(name, "is missing"))
    }

    fn bytes(&self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<&'a [u8], Error> {
        let view = self.view(name)?;
        if view.dtype() != dtype || view.shape() != shape {
            let what = format!(
                "is {:?} {:?} where {dtype:?} {shape:?} belongs",
                view.dtype(),
                view.shape()
            );
            return Err(self.bad(name, &what));
        }
        Ok(view.data())
    }

    fn bad(&self, name: &str, what: &str) -> Error {
        Error::Corrupt(format!("{}: tensor {name:?} {what}", self.file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let mut writer = Writer::new("test 1");
        writer.f32("weight", &[2, 2], &[1.0, -2.5, 3.0, f32::MIN_POSITIVE]);
        writer.f64("mean", &[1], &[0.1]).u64("step", &[], &[u64::MAX]);
        writer.finish()
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = file();
        let reader = Reader::open("m", &bytes, "test 1").unwrap();
        assert_eq!(reader.f32("weight", &[2, 2]).unwrap(), [1.0, -2.5, 3.0, f32::MIN_POSITIVE]);
        assert_eq!(reader.f64("mean", &[1]).unwrap(), [0.1]);
        assert_eq!(reader.u64("step", &[]).unwrap(), [u64::MAX]);
        assert!(reader.has("mean") && !reader.has("bias"));
        assert_eq!(file(), bytes);
    }

    #[test]
    fn wrong_names_types_shapes_and_formats_are_refused() {
        let bytes = file();
        let reader = Reader::open("m", &bytes, "test 1").unwrap();
        let said = reader.f32("weight", &[4]).unwrap_err().to_string();
        assert_eq!(said, "m: tensor \"weight\" is F32 [2, 2] where F32 [4] belongs");
        assert!(reader.f64("weight", &[2, 2]).is_err());
        assert_eq!(reader.shape("bias").unwrap_err().to_string(), "m: tensor \"bias\" is missing");
        assert!(Reader::open("m", &bytes, "test 2").is_err());
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused() {
        let mut writer = Writer::new("test 1");
        let bytes = writer.f32("weight", &[1], &[f32::NAN]).finish();
        let reader = Reader::open("m", &bytes, "test 1").unwrap();
        assert!(reader.f32("weight", &[1]).is_err());
    }

    #[test]
    fn every_truncation_and_every_changed_header_byte_is_an_answer() {
        let bytes = file();
        for length in 0..bytes.len() {
            assert!(Reader::open("m", &bytes[..length], "test 1").is_err(), "{length}");
        }
        let header = bytes.len() - 48;
        for at in 0..header {
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                if let Ok(reader) = Reader::open("m", &changed, "test 1") {
                    let _ = reader.f32("weight", &[2, 2]);
                    let _ = reader.f64("mean", &[1]);
                    let _ = reader.u64("step", &[]);
                }
            }
        }
    }
}
