//! `kmeans`: rows grouped around k centres, SageMaker's k-means.
//!
//! Distances are Euclidean, over the columns as they are: a column with large numbers decides, so
//! give columns of like size or set `normalize_data`. Computed on the CPU, whatever
//! `resources.device` says. A label column, if there is one, is passed over.
//!
//! With a channel `model`, Lloyd starts from the centres of that model, and mini-batch goes on with
//! them and with what their rows weighed.

use super::parameter::Parameter;
use super::{Channels, Context, Definition, Earlier, Error, Files, Fitted, Predictor, Trainer};
use crate::data::Signature;
use crate::spec::parameter::RawParameters;
use crate::spec::problem::Problems;

mod checkpoint;
mod fit;
mod lloyd;
mod mini_batch;
pub mod model;
mod nearest;
mod seeding;
mod settings;
mod streamed;

use super::xgboost::foreign;
use model::Model;
use settings::Settings;

/// The algorithm, for the table.
#[derive(Debug, Clone, Copy)]
pub struct KMeans;

impl Definition for KMeans {
    fn name(&self) -> &'static str {
        "kmeans"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["k-means"]
    }

    fn summary(&self) -> &'static str {
        "k-means: rows grouped around k centres, and how far each is from its own"
    }

    fn parameters(&self) -> &'static [Parameter] {
        settings::TABLE
    }

    fn trainer(&self, raw: &RawParameters, problems: &mut Problems) -> Option<Box<dyn Trainer>> {
        let settings = Settings::read(raw, problems)?;
        Some(Box::new(Grouping { settings, earlier: None }))
    }

    fn open(&self, signature: &Signature, files: &Files) -> Result<Box<dyn Predictor>, Error> {
        Ok(Box::new(Model::read(signature, files)?))
    }
}

struct Grouping {
    settings: Settings,
    earlier: Option<Model>,
}

impl Trainer for Grouping {
    fn effective(&self) -> serde_json::Map<String, serde_json::Value> {
        self.settings.effective.clone()
    }

    fn streams(&self) -> bool {
        true
    }

    fn epoch_word(&self) -> &'static str {
        match &self.settings.batches {
            Some(_) => "epoch",
            None => "iteration",
        }
    }

    fn fit(&self, data: &Channels, context: &mut Context<'_>) -> Result<Fitted, Error> {
        fit::fit(&self.settings, self.earlier.as_ref(), data, context)
    }

    fn goes_on(&self) -> bool {
        true
    }

    fn go_on_from(&mut self, earlier: &Earlier) -> Result<(), Error> {
        if earlier.algorithm != KMeans.name() {
            return Err(foreign(&earlier.algorithm, KMeans.name()));
        }
        let model = Model::read(&earlier.signature, &earlier.files)?;
        if model.weight().len() != self.settings.k {
            return Err(Error::Data {
                what: format!(
                    "the earlier model has {} centres and k is {}",
                    model.weight().len(),
                    self.settings.k
                ),
                help: format!("set k = {}", model.weight().len()),
            });
        }
        self.earlier = Some(model);
        Ok(())
    }
}
