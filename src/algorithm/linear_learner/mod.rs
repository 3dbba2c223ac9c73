//! `linear-learner`: linear and logistic models for two classes, many classes, or a number.
//!
//! Several models with different learning rates and penalties are trained in one pass over the
//! data ([`train`]), their weights side by side so that one matrix product serves all
//! ([`loss`], [`optimise`]); the best on the validation channel is kept, and for two classes its
//! threshold is calibrated ([`fit`]). What is kept is a plain linear model ([`model`]).
//!
//! It does not make features: columns enter as they are, standardised.

mod candidate;
mod feed;
mod fit;
mod loss;
mod model;
mod optimise;
mod settings;
mod train;

use super::parameter::Parameter;
use super::{Definition, Error, Files, Predictor, Trainer};
use crate::data::Signature;
use crate::spec::parameter::RawParameters;
use crate::spec::problem::Problems;

/// The entry of the algorithm table.
#[derive(Debug, Clone, Copy)]
pub struct LinearLearner;

impl Definition for LinearLearner {
    fn name(&self) -> &'static str {
        "linear-learner"
    }

    fn summary(&self) -> &'static str {
        "linear and logistic models: two classes, many classes, or a number"
    }

    fn parameters(&self) -> &'static [Parameter] {
        settings::PARAMETERS
    }

    fn trainer(&self, raw: &RawParameters, problems: &mut Problems) -> Option<Box<dyn Trainer>> {
        let (settings, checked) = settings::Settings::read(raw, problems)?;
        Some(Box::new(fit::Fit { settings, checked }))
    }

    fn open(&self, signature: &Signature, files: &Files) -> Result<Box<dyn Predictor>, Error> {
        Ok(Box::new(model::Opened::new(signature, files)?))
    }
}
