//! Named arrays of numbers in safetensors files: what a model and a checkpoint keep.
//!
//! Written sorted and without metadata, so equal numbers give equal bytes. Reading trusts nothing:
//! the file may come from a stranger's archive, so every name, type and shape is asked for and
//! checked before a number is used.

use std::collections::BTreeMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::algorithm::Error;

/// Arrays of f32 with their shapes, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tensors {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Tensors {
    /// No arrays.
    pub fn new() -> Tensors {
        Tensors::default()
    }

    /// Adds an array.
    ///
    /// # Panics
    /// When the shape does not count the values.
    pub fn put(&mut self, name: impl Into<String>, shape: &[usize], values: Vec<f32>) {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "a shape counts its values");
        self.entries.insert(name.into(), Entry { shape: shape.to_vec(), values });
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let stored: Vec<(&String, &Entry, Vec<u8>)> = self
            .entries
            .iter()
            .map(|(name, entry)| {
                (name, entry, entry.values.iter().flat_map(|value| value.to_le_bytes()).collect())
            })
            .collect();
        let views = stored.iter().map(|(name, entry, bytes)| {
            let view = TensorView::new(Dtype::F32, entry.shape.clone(), bytes);
            (*name, view.expect("a shape counts its values"))
        });
        safetensors::serialize(views, None).expect("names and shapes of our own always serialise")
    }

    /// Reads a file that `what` names in errors (`model.safetensors`).
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is not a safetensors file of f32 arrays.
    pub fn from_bytes(what: &str, bytes: &[u8]) -> Result<Tensors, Error> {
        let corrupt = |text: String| Error::Corrupt(format!("{what}: {text}"));
        let read = SafeTensors::deserialize(bytes)
            .map_err(|error| corrupt(format!("not a safetensors file: {error}")))?;
        let mut entries = BTreeMap::new();
        for (name, view) in read.iter() {
            if view.dtype() != Dtype::F32 {
                return Err(corrupt(format!("{name:?} holds {:?}, expected F32", view.dtype())));
            }
            let (words, _) = view.data().as_chunks::<4>();
            let values: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
            let counted = view
                .shape()
                .iter()
                .try_fold(1usize, |product, side| product.checked_mul(*side));
            if counted != Some(values.len()) {
                return Err(corrupt(format!("{name:?} is shorter than its shape")));
            }
            entries.insert(name.to_owned(), Entry { shape: view.shape().to_vec(), values });
        }
        Ok(Tensors { entries })
    }

    /// Takes out an array that must be there with this shape.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is missing or has another shape.
    pub fn take(&mut self, what: &str, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let entry = self
            .entries
            .remove(name)
            .ok_or_else(|| Error::Corrupt(format!("{what}: {name:?} is missing")))?;
        if entry.shape != shape {
            return Err(Error::Corrupt(format!(
                "{what}: {name:?} has shape {:?}, expected {shape:?}",
                entry.shape
            )));
        }
        Ok(entry.values)
    }

    /// As [`Tensors::take`], and every number must be finite: weights of a model that answers.
    ///
    /// # Errors
    /// [`Error::Corrupt`] as there, and when a number is infinite or not a number.
    pub fn take_finite(
        &mut self,
        what: &str,
        name: &str,
        shape: &[usize],
    ) -> Result<Vec<f32>, Error> {
        let values = self.take(what, name, shape)?;
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(Error::Corrupt(format!("{what}: {name:?}[{at}] is {}", values[at]))),
            None => Ok(values),
        }
    }

    /// The shape of an array, when it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|entry| entry.shape.as_slice())
    }

    /// Ends the reading: what was not asked for does not belong there.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the first array that is left.
    pub fn finish(self, what: &str) -> Result<(), Error> {
        match self.entries.keys().next() {
            Some(name) => Err(Error::Corrupt(format!("{what}: {name:?} is not expected there"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Tensors {
        let mut tensors = Tensors::new();
        tensors.put("b", &[2, 3], (0..6).map(|i| i as f32).collect());
        tensors.put("a", &[1], vec![-0.5]);
        tensors.put("none", &[0, 4], vec![]);
        tensors
    }

    #[test]
    fn what_was_written_is_read_and_equal_numbers_give_equal_bytes() {
        let bytes = sample().to_bytes();
        assert_eq!(bytes, sample().to_bytes());
        let mut read = Tensors::from_bytes("m", &bytes).unwrap();
        assert_eq!(read, sample());
        assert_eq!(read.shape("b"), Some([2, 3].as_slice()));
        assert_eq!(read.take("m", "b", &[2, 3]).unwrap().len(), 6);
        let wrong = read.take("m", "a", &[2]).unwrap_err().to_string();
        assert_eq!(wrong, "m: \"a\" has shape [1], expected [2]");
        assert!(read.finish("m").unwrap_err().to_string().contains("\"none\""));
    }

    #[test]
    fn a_truncated_or_changed_file_is_refused_or_read_never_a_panic() {
        let bytes = sample().to_bytes();
        for end in 0..bytes.len() {
            assert!(Tensors::from_bytes("m", &bytes[..end]).is_err(), "{end}");
        }
        for at in 0..bytes.len() {
            for flip in [1u8, 0x80] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                let _ = Tensors::from_bytes("m", &changed);
            }
        }
    }

    #[test]
    fn a_number_that_is_none_is_not_a_weight() {
        let mut tensors = Tensors::new();
        tensors.put("w", &[2], vec![1.0, f32::NAN]);
        assert!(tensors.take_finite("m", "w", &[2]).unwrap_err().to_string().contains("[1]"));
    }
}
