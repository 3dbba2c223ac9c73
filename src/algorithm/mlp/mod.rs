//! `mlp`: a fully connected network for two classes, many classes, or a number.
//!
//! [`settings`] reads the parameters, [`train`] runs the epochs, [`host`] takes the steps on the
//! CPU and [`graph`] on a GPU, [`predict`] keeps the model in files and answers. The network
//! itself is described in [`network`].
//!
//! Columns enter as they are, standardised; it does not encode categories. SageMaker has no
//! algorithm of this name: parameters, metrics and answers follow linear-learner.

pub mod checkpoint;
pub mod graph;
pub mod host;
pub mod loss;
pub mod network;
pub mod predict;
pub mod settings;
pub mod train;

use super::parameter::Parameter;
use super::{Definition, Error, Files, Predictor, Trainer};
use crate::data::Signature;
use crate::spec::parameter::RawParameters;
use crate::spec::problem::Problems;

/// The entry of the algorithm table.
#[derive(Debug, Clone, Copy)]
pub struct Mlp;

impl Definition for Mlp {
    fn name(&self) -> &'static str {
        "mlp"
    }

    fn summary(&self) -> &'static str {
        "neural network of fully connected layers: two classes, many classes, or a number"
    }

    fn parameters(&self) -> &'static [Parameter] {
        settings::PARAMETERS
    }

    fn trainer(&self, raw: &RawParameters, problems: &mut Problems) -> Option<Box<dyn Trainer>> {
        let (settings, checked) = settings::Settings::read(raw, problems)?;
        Some(Box::new(train::Fit { settings, checked }))
    }

    fn open(&self, signature: &Signature, files: &Files) -> Result<Box<dyn Predictor>, Error> {
        Ok(Box::new(predict::Opened::new(signature, files)?))
    }
}
