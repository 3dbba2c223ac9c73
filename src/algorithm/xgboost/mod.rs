//! `xgboost`: gradient-boosted trees with XGBoost's parameters, results and model file.
//!
//! The engine is smrt's own (histograms of exact sums, on rayon); the file it leaves in the
//! archive, `xgboost-model`, is XGBoost's UBJSON, which PyPI `xgboost` loads, and models that
//! XGBoost wrote are opened and answered the same. Trees are grown on the CPU whatever
//! `resources.device` says. Ranking, survival, dart, gblinear and categorical splits are refused
//! by name.

use std::sync::Arc;

use ndarray::ArrayView2;

use super::parameter::Parameter;
use super::{Channels, Context, Definition, Error, Files, Fitted, Predictor, Reads, Trainer};
use crate::data::{Absent, Answer, Field, LabelNames, Signature, Values};
use crate::spec::parameter::RawParameters;
use crate::spec::problem::Problems;

pub mod bins;
pub mod boost;
pub mod document;
pub mod draw;
pub mod ensemble;
pub mod explain;
pub mod grow;
pub mod histogram;
pub mod labels;
pub mod measure;
pub mod objective;
pub mod score;
pub mod settings;
pub mod sketch;
pub mod split;
pub mod tree;

use ensemble::Ensemble;
use objective::Objective;
use score::Scorer;
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

    /// What libsvm leaves out is missing, as XGBoost takes it.
    fn reads(&self) -> Reads {
        Reads { absent: Absent::Missing, ..Reads::default() }
    }

    fn trainer(&self, raw: &RawParameters, problems: &mut Problems) -> Option<Box<dyn Trainer>> {
        let settings = Settings::read(raw, problems)?;
        Some(Box::new(Booster { settings }))
    }

    fn open(&self, signature: &Signature, files: &Files) -> Result<Box<dyn Predictor>, Error> {
        Ok(Box::new(Opened::new(signature, &read(files)?)?))
    }
}

/// The model inside an archive.
///
/// # Errors
/// `Error::Corrupt` when it is missing or not what it should be.
pub fn read(files: &Files) -> Result<Ensemble, Error> {
    let bytes = files.get(ensemble::MODEL_FILE).ok_or_else(|| {
        Error::Corrupt(format!("the archive has no file {:?}", ensemble::MODEL_FILE))
    })?;
    Ensemble::read(bytes)
}

struct Booster {
    settings: Settings,
}

impl Trainer for Booster {
    fn effective(&self) -> serde_json::Map<String, serde_json::Value> {
        self.settings.effective.clone()
    }

    fn fit(&self, data: &Channels, context: &mut Context<'_>) -> Result<Fitted, Error> {
        boost::fit(&self.settings, data, context)
    }
}

/// A model that answers as SageMaker's container does: one `score` a row, which is the
/// probability for `binary:logistic`, the class for `multi:softmax`, all probabilities for
/// `multi:softprob`, else the value.
pub struct Opened {
    scorer: Scorer,
    objective: Objective,
    /// The words of `multi:softmax`'s classes.
    words: Option<Arc<LabelNames>>,
}

impl Opened {
    /// Checks that model and signature agree.
    ///
    /// # Errors
    /// `Error::Corrupt` when they do not.
    pub fn new(signature: &Signature, model: &Ensemble) -> Result<Opened, Error> {
        let own = boost::plain_signature(model, None);
        let classes = |signature: &Signature| signature.labels.as_ref().map(LabelNames::len);
        if own.features != signature.features || own.task != signature.task {
            return Err(Error::Corrupt(format!(
                "the model takes {} features for {:?} and the signature says {} for {:?}",
                own.features, own.task, signature.features, signature.task
            )));
        }
        if classes(&own) != classes(signature) {
            return Err(Error::Corrupt("the model and the signature differ in classes".into()));
        }
        let words = match &signature.labels {
            Some(names @ LabelNames::Words(_)) => Some(Arc::new(names.clone())),
            _ => None,
        };
        Ok(Opened { scorer: Scorer::new(model), objective: model.objective, words })
    }
}

impl Predictor for Opened {
    fn predict(&self, rows: ArrayView2<'_, f32>) -> Result<Answer, Error> {
        let mut scores = self.scorer.margins(&rows);
        let values = match self.objective {
            Objective::Multi { classes, probabilities: true } => {
                self.objective.score(&mut scores);
                Values::Vector { width: classes, values: scores }
            }
            Objective::Multi { classes, probabilities: false } => {
                let codes =
                    scores.chunks_exact(classes).map(|row| super::metric::argmax(row) as u32);
                match &self.words {
                    Some(names) => Values::Class { codes: codes.collect(), names: names.clone() },
                    None => Values::Number(codes.map(|code| code as f32).collect()),
                }
            }
            _ => {
                self.objective.score(&mut scores);
                Values::Number(scores)
            }
        };
        let fields = vec![Field { name: "score", values }];
        Ok(Answer { key: "predictions", rows: rows.nrows(), fields })
    }
}
