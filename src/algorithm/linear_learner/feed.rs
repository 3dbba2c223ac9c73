//! Rows on their way to the device: gathered, standardised and labelled batch by batch, so that
//! no second copy of the data is held.

use burn::tensor::Device;
use rayon::prelude::*;

use super::loss::Target;
use super::optimise::matrix;
use crate::algorithm::standardise::Standardiser;
use crate::algorithm::{Error, Features};

/// One channel as the training reads it.
#[derive(Debug)]
pub(super) struct Feed<'a> {
    /// rows × features, as decoded.
    pub(super) features: Features<'a>,
    /// How a row is standardised.
    pub(super) scaler: &'a Standardiser,
    /// What each row should answer.
    pub(super) truth: Truth,
    /// How much each row counts: its own weight times that of its class, 1 in the mean.
    pub(super) weight: Vec<f32>,
}

/// What rows should answer.
#[derive(Debug, Clone)]
pub(super) enum Truth {
    /// ±1, or a quantity, per row.
    Number(Vec<f32>),
    /// A class per row.
    Class {
        /// Per row.
        codes: Vec<u32>,
        /// How many there are.
        classes: usize,
    },
}

/// Values gathered per thread, at least.
const GATHER_VALUES: usize = 1 << 16;

impl Feed<'_> {
    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.features.rows()
    }

    /// Sum of the rows' weights.
    pub(super) fn total(&self) -> f64 {
        self.weight.iter().map(|weight| f64::from(*weight)).sum()
    }

    /// The rows `order` on the device: rows × features, and what they should answer.
    ///
    /// # Errors
    /// `Error::Scratch` when rows on disk cannot be read.
    pub(super) fn batch(
        &self,
        order: &[u32],
        device: &Device,
    ) -> Result<(burn::tensor::Tensor<2>, Target), Error> {
        self.features.ready(order)?;
        let width = self.features.width();
        let mut values = vec![0.0; order.len() * width];
        let each = (GATHER_VALUES / width.max(1)).max(1);
        let gather = |(order, out): (&[u32], &mut [f32])| {
            self.features.standardised(self.scaler, order, out);
        };
        order.par_chunks(each).zip(values.par_chunks_mut(each * width)).for_each(gather);
        let target = self.target(order, device);
        Ok((matrix(values, [order.len(), width], device), target))
    }

    fn target(&self, order: &[u32], device: &Device) -> Target {
        let weight = order.iter().map(|row| self.weight[*row as usize]).collect();
        let value = match &self.truth {
            Truth::Number(values) => {
                let values = order.iter().map(|row| values[*row as usize]).collect();
                matrix(values, [order.len(), 1], device)
            }
            Truth::Class { codes, classes } => {
                let mut values = vec![0.0; order.len() * classes];
                for (row, out) in order.iter().zip(values.chunks_exact_mut(*classes)) {
                    out[codes[*row as usize] as usize] = 1.0;
                }
                matrix(values, [order.len(), *classes], device)
            }
        };
        Target { value, weight: matrix(weight, [order.len(), 1], device) }
    }
}
