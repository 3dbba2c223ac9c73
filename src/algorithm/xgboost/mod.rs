//! `xgboost`: gradient-boosted trees with XGBoost's parameters, results and model file.
//!
//! The engine is smrt's own (histograms of exact sums, on rayon); the file it leaves in the
//! archive, `xgboost-model`, is XGBoost's UBJSON, which PyPI `xgboost` loads, and models that
//! XGBoost wrote are opened and answered the same. Trees are grown on the CPU whatever
//! `resources.device` says. Survival, dart and gblinear are refused by name.

use super::parameter::Parameter;
use super::{
    Adopted, Channels, Context, Definition, Earlier, Error, Files, Fitted, Importance, Predictor,
    Reads, Trainer,
};
use crate::data::{Absent, Signature};
use crate::spec::parameter::RawParameters;
use crate::spec::problem::Problems;

pub mod answer;
mod ask;
pub mod bins;
pub mod boost;
pub mod categories;
mod coded;
mod coder;
pub mod disk;
pub mod document;
mod draw;
pub mod ensemble;
pub mod explain;
pub mod folds;
pub mod grow;
pub mod histogram;
pub mod labels;
pub mod measure;
mod midpoints;
pub mod objective;
pub mod part;
mod quick;
pub mod rank;
pub mod rows;
pub mod score;
pub mod settings;
pub mod sketch;
pub mod split;
pub mod tile;
pub mod tree;
mod walk;

use answer::Opened;
use ensemble::Ensemble;
use settings::Settings;

/// The algorithm, for the table.
#[derive(Debug, Clone, Copy)]
pub struct Xgboost;

impl Definition for Xgboost {
    fn name(&self) -> &'static str {
        "xgboost"
    }

    fn summary(&self) -> &'static str {
        "gradient-boosted trees: classification and regression on tables, XGBoost's model file"
    }

    fn parameters(&self) -> &'static [Parameter] {
        settings::TABLE
    }

    /// What sparse rows leave out is missing, as XGBoost takes it.
    fn reads(&self) -> Reads {
        Reads { sparse: true, categories: true, absent: Absent::Missing, logins: false }
    }

    fn trainer(&self, raw: &RawParameters, problems: &mut Problems) -> Option<Box<dyn Trainer>> {
        let settings = Settings::read(raw, problems)?;
        Some(Box::new(Booster { settings, earlier: None }))
    }

    fn open(&self, signature: &Signature, files: &Files) -> Result<Box<dyn Predictor>, Error> {
        Ok(Box::new(Opened::new(signature, models(files)?)?))
    }

    fn adopt(&self, files: &Files) -> Option<Result<Adopted, Error>> {
        // SageMaker's container takes any file; the fixed names, and what begins as a model does.
        let ours = |(name, bytes): &(&String, &Vec<u8>)| {
            let ending = [".json", ".ubj", ".ubjson", ".model", ".bin", ".bst"];
            name.starts_with(ensemble::MODEL_FILE)
                || (bytes.starts_with(b"{") && ending.iter().any(|end| name.ends_with(end)))
                || bytes.starts_with(b"binf")
        };
        let found: Vec<(&String, &Vec<u8>)> = files.iter().filter(ours).collect();
        if found.is_empty() || found.len() != files.len() {
            return None;
        }
        let numbered = |at: usize| match found.len() {
            1 => ensemble::MODEL_FILE.to_owned(),
            _ => format!("{}-{at}", ensemble::MODEL_FILE),
        };
        let files: Files = found
            .iter()
            .enumerate()
            .map(|(at, (_, bytes))| (numbered(at), (*bytes).clone()))
            .collect();
        Some(models(&files).map(|models| Adopted {
            signature: boost::plain_signature(&models[0], None),
            epochs: models.iter().map(|model| model.rounds.len() - 1).sum(),
            files,
        }))
    }

    fn importances(
        &self,
        signature: &Signature,
        files: &Files,
    ) -> Result<Option<Vec<Importance>>, Error> {
        Ok(Some(explain::named_importances(signature, &models(files)?)))
    }
}

/// The model inside an archive.
///
/// # Errors
/// `Error::Corrupt` when it is missing, there are several, or it is not what it should be.
pub fn read(files: &Files) -> Result<Ensemble, Error> {
    let mut models = models(files)?;
    match (models.pop(), models.len()) {
        (Some(model), 0) => Ok(model),
        _ => Err(Error::Corrupt("the archive has several models, one for each fold".into())),
    }
}

/// The models inside an archive: one, or that of each fold. At least one.
///
/// # Errors
/// As [`read`].
pub fn models(files: &Files) -> Result<Vec<Ensemble>, Error> {
    let name = ensemble::MODEL_FILE;
    if let Some(bytes) = files.get(name) {
        return Ok(vec![Ensemble::read(bytes)?]);
    }
    let folds = (0..).map_while(|fold| files.get(&format!("{name}-{fold}")));
    let found: Vec<Ensemble> =
        folds.map(|bytes| Ensemble::read(bytes)).collect::<Result<_, _>>()?;
    match found.is_empty() {
        true => Err(Error::Corrupt(format!("the archive has no file {name:?}"))),
        false => Ok(found),
    }
}

struct Booster {
    settings: Settings,
    earlier: Option<Ensemble>,
}

impl Trainer for Booster {
    fn effective(&self) -> serde_json::Map<String, serde_json::Value> {
        self.settings.effective.clone()
    }

    fn streams(&self) -> bool {
        // Folds are cut out of rows in memory.
        self.settings.folds.is_none()
    }

    fn fit(&self, data: &Channels, context: &mut Context<'_>) -> Result<Fitted, Error> {
        if let Some(folds) = self.settings.folds {
            return folds::fit(&self.settings, folds, data, context);
        }
        let boosted = boost::fit(&self.settings, data, self.earlier.as_ref(), context)?;
        let boost::Boosted { model, metrics, prepared } = boosted;
        Ok(Fitted {
            files: Files::from([(ensemble::MODEL_FILE.to_owned(), model.to_ubjson())]),
            signature: boost::signature(&model, &data.train, &prepared),
            metrics,
            epochs: model.rounds.len() - 1,
        })
    }

    fn goes_on(&self) -> bool {
        true
    }

    fn go_on_from(&mut self, earlier: &Earlier) -> Result<(), Error> {
        if earlier.algorithm != Xgboost.name() {
            return Err(foreign(&earlier.algorithm, Xgboost.name()));
        }
        if self.settings.folds.is_some() {
            return Err(Error::Data {
                what: "_kfold does not go with the channel model".into(),
                help: "leave one of the two out".into(),
            });
        }
        self.earlier = Some(read(&earlier.files)?);
        Ok(())
    }
}

/// What is said of an earlier model that another algorithm made.
pub(super) fn foreign(made_by: &str, name: &str) -> Error {
    Error::Data {
        what: format!("the earlier model was made by {made_by}, and this job trains {name}"),
        help: "give a model of the same algorithm in the channel model".into(),
    }
}
