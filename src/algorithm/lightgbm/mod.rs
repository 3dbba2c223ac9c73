//! `lightgbm`: the boosting engine under LightGBM's hyperparameters, habits and model file.
//!
//! Trees grow leaf by leaf on the engine of [`super::xgboost`]; what is LightGBM's own is the
//! least number of rows in a leaf, its bagging, GOSS, second derivatives and metrics. The artifact
//! holds `model.txt`, LightGBM's text, since that is what whoever asks for LightGBM will want to
//! open with it: `lightgbm.Booster(model_file="model.txt")` answers the same, contributions
//! included. Models that LightGBM wrote are opened too. dart, rf, linear trees and what else the
//! engine lacks are refused by name.

use super::parameter::Parameter;
use super::xgboost::answer::Opened;
use super::xgboost::ensemble::Ensemble;
use super::xgboost::{boost, explain, foreign};
use super::{
    Adopted, Channels, Context, Definition, Earlier, Error, Features, Files, Fitted, Importance,
    Predictor, Reads, Trainer,
};
use crate::data::{Absent, Dataset, Signature};
use crate::spec::parameter::RawParameters;
use crate::spec::problem::Problems;

pub mod settings;
pub mod text;

use settings::Parameters;

/// Name of the model inside the archive.
pub const MODEL_FILE: &str = "model.txt";

/// The algorithm, for the table.
#[derive(Debug, Clone, Copy)]
pub struct Lightgbm;

impl Definition for Lightgbm {
    fn name(&self) -> &'static str {
        "lightgbm"
    }

    fn summary(&self) -> &'static str {
        "gradient-boosted trees grown leaf by leaf: LightGBM's parameters and model file"
    }

    fn parameters(&self) -> &'static [Parameter] {
        settings::TABLE
    }

    fn reads(&self) -> Reads {
        Reads { sparse: false, categories: true, absent: Absent::Zero, logins: false }
    }

    fn trainer(&self, raw: &RawParameters, problems: &mut Problems) -> Option<Box<dyn Trainer>> {
        let parameters = Parameters::read(raw, problems)?;
        Some(Box::new(Booster { parameters, earlier: None }))
    }

    fn open(&self, signature: &Signature, files: &Files) -> Result<Box<dyn Predictor>, Error> {
        Ok(Box::new(Opened::new(signature, vec![read(files)?])?))
    }

    fn adopt(&self, files: &Files) -> Option<Result<Adopted, Error>> {
        let mut texts = files.iter().filter(|(_, bytes)| text::is_text(bytes));
        let (_, bytes) = texts.next()?;
        if texts.next().is_some() || files.len() > 1 {
            return None;
        }
        Some(text::read(bytes).map(|model| Adopted {
            signature: plain_signature(&model),
            epochs: model.rounds.len() - 1,
            files: Files::from([(MODEL_FILE.to_owned(), bytes.clone())]),
        }))
    }

    fn importances(
        &self,
        signature: &Signature,
        files: &Files,
    ) -> Result<Option<Vec<Importance>>, Error> {
        Ok(Some(explain::named_importances(signature, &[read(files)?])))
    }
}

/// The model inside an archive.
///
/// # Errors
/// `Error::Corrupt` when it is missing or not what it should be.
pub fn read(files: &Files) -> Result<Ensemble, Error> {
    let bytes = files
        .get(MODEL_FILE)
        .ok_or_else(|| Error::Corrupt(format!("the archive has no file {MODEL_FILE:?}")))?;
    text::read(bytes)
}

/// The signature of a model that came without one: cells that a sparse row leaves out are 0.
fn plain_signature(model: &Ensemble) -> Signature {
    Signature { absent: Absent::Zero, ..boost::plain_signature(model, None) }
}

struct Booster {
    parameters: Parameters,
    earlier: Option<Ensemble>,
}

impl Trainer for Booster {
    fn effective(&self) -> serde_json::Map<String, serde_json::Value> {
        self.parameters.settings.effective.clone()
    }

    fn streams(&self) -> bool {
        true
    }

    fn fit(&self, data: &Channels, context: &mut Context<'_>) -> Result<Fitted, Error> {
        let mut settings = self.parameters.settings.clone();
        // SageMaker's default of ten rounds is for jobs that have a validation channel.
        if data.validation.is_none() && !self.parameters.stops_by_wish {
            settings.early_stopping = None;
        }
        let boosted = boost::fit(&settings, data, self.earlier.as_ref(), context)?;
        let boost::Boosted { model, metrics, prepared } = boosted;
        let parameters: Vec<(String, String)> = settings
            .effective
            .iter()
            .map(|(name, value)| match value.as_str() {
                Some(text) => (name.clone(), text.to_owned()),
                None => (name.clone(), value.to_string()),
            })
            .collect();
        let bytes = text::write(&model, &ranges(&data.train)?, &parameters);
        // What is opened later is what the text says.
        let model = text::read(&bytes)?;
        let signature = boost::signature(&model, &data.train, &prepared);
        let categories = data.train.categories.clone();
        Ok(Fitted {
            files: Files::from([(MODEL_FILE.to_owned(), bytes)]),
            signature: Signature { absent: Absent::Zero, categories, ..signature },
            metrics,
            epochs: model.rounds.len() - 1,
        })
    }

    fn goes_on(&self) -> bool {
        true
    }

    fn go_on_from(&mut self, earlier: &Earlier) -> Result<(), Error> {
        if earlier.algorithm != Lightgbm.name() {
            return Err(foreign(&earlier.algorithm, Lightgbm.name()));
        }
        self.earlier = Some(read(&earlier.files)?);
        Ok(())
    }
}

/// The least and the greatest value of each column.
///
/// # Errors
/// `Error::Scratch` when rows on disk cannot be read.
fn ranges(data: &Dataset) -> Result<Vec<[f32; 2]>, Error> {
    let features = Features::of(data);
    let mut ranges = vec![[f32::INFINITY, f32::NEG_INFINITY]; features.width()];
    features.each_block(|_, block| {
        for row in block.rows() {
            for ([low, high], value) in ranges.iter_mut().zip(row) {
                *low = low.min(*value);
                *high = high.max(*value);
            }
        }
        Ok(())
    })?;
    Ok(ranges)
}
