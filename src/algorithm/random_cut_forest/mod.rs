//! `random-cut-forest`: how strange a row is, learned from rows without labels.
//!
//! SageMaker's parameters, request and response; the trees of Guha, Mishra, Roy, Schrijvers,
//! "Robust Random Cut Forest Based Anomaly Detection On Streams" (ICML 2016). What is smrt's own:
//! a threshold kept in the artifact, contributions of each column ([`explain`]), columns on one
//! scale ([`scale`]), shingles of a series, and a state that goes on learning ([`Forest`]). The
//! score is defined in [`score`], the file in [`state`].
//!
//! With `shingle_size`, training reads its channels as one series each, in the order of their rows,
//! while a row of a request is a whole shingle, oldest row first: a request says all it means, and
//! its answer does not depend on what was asked before or beside it. A missing value counts as its
//! column's median. Trees are grown on the CPU whatever `resources.device` says.

use super::parameter::Parameter;
use super::{Channels, Context, Definition, Earlier, Error, Files, Fitted, Predictor, Trainer};
use crate::data::Signature;
use crate::spec::parameter::RawParameters;
use crate::spec::problem::Problems;

mod boxes;
mod explain;
mod fit;
mod forest;
mod points;
mod predict;
mod progress;
mod sample;
mod scale;
mod score;
mod settings;
mod state;
mod tree;
mod walk;

pub use forest::{Forest, Plan};
pub use score::{PointsOf, Scorer};
use settings::Settings;

/// The algorithm, for the table.
#[derive(Debug, Clone, Copy)]
pub struct RandomCutForest;

impl Definition for RandomCutForest {
    fn name(&self) -> &'static str {
        "random-cut-forest"
    }

    fn summary(&self) -> &'static str {
        "how strange a row is, without labels: fraud, faults, breaks in a series"
    }

    fn parameters(&self) -> &'static [Parameter] {
        settings::TABLE
    }

    fn trainer(&self, raw: &RawParameters, problems: &mut Problems) -> Option<Box<dyn Trainer>> {
        Some(Box::new(Grower { settings: Settings::read(raw, problems)?, earlier: None }))
    }

    fn open(&self, signature: &Signature, files: &Files) -> Result<Box<dyn Predictor>, Error> {
        Ok(Box::new(predict::Opened::new(signature, files)?))
    }
}

struct Grower {
    settings: Settings,
    earlier: Option<Forest>,
}

impl Trainer for Grower {
    fn effective(&self) -> serde_json::Map<String, serde_json::Value> {
        self.settings.checked.effective()
    }

    fn fit(&self, data: &Channels, context: &mut Context<'_>) -> Result<Fitted, Error> {
        fit::fit(&self.settings, self.earlier.as_ref(), data, context)
    }

    fn streams(&self) -> bool {
        true
    }

    fn goes_on(&self) -> bool {
        true
    }

    fn go_on_from(&mut self, earlier: &Earlier) -> Result<(), Error> {
        if earlier.algorithm != RandomCutForest.name() {
            return Err(Error::Data {
                what: format!(
                    "the earlier model was made by {}, and a forest goes on from a forest",
                    earlier.algorithm
                ),
                help: "let channels.model.uri name an artifact of random-cut-forest".into(),
            });
        }
        let forest = Forest::open(&earlier.files)?;
        let Settings { trees, samples, shingle, .. } = self.settings;
        let differs = [
            ("num_trees", forest.trees(), trees),
            ("num_samples_per_tree", forest.samples, samples),
            ("shingle_size", forest.shingle(), shingle),
        ];
        for (name, has, wanted) in differs {
            if has != wanted {
                return Err(Error::Data {
                    what: format!("the earlier forest has {name} {has} and this job says {wanted}"),
                    help: format!("set {name} = {has}"),
                });
            }
        }
        self.earlier = Some(forest);
        Ok(())
    }
}
