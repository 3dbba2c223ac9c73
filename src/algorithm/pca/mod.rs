//! `pca`: rows told in fewer numbers, SageMaker's principal component analysis.
//!
//! Computed on the CPU, whatever `resources.device` says. There is nothing to resume: a training
//! is a few passes over the rows. A label column, if there is one, is passed over, but for
//! `output = score`, where a label of 0 and 1 lets the score be measured.

use super::parameter::Parameter;
use super::standardise::Standardiser;
use super::{
    Channels, Context, Definition, Error, Features, Files, Fitted, Metric, Predictor, Trainer,
    metric, unsupervised,
};
use crate::data::{Dataset, Labels, Signature, Task};
use crate::spec::parameter::RawParameters;
use crate::spec::problem::Problems;

mod at_once;
mod components;
mod eigen;
pub mod model;
mod scatter;
mod settings;

use components::Components;
use model::Model;
use settings::{Output, REGULAR_WIDTH_MAX, Settings};

/// The algorithm, for the table.
#[derive(Debug, Clone, Copy)]
pub struct Pca;

impl Definition for Pca {
    fn name(&self) -> &'static str {
        "pca"
    }

    fn summary(&self) -> &'static str {
        "principal components: rows told in fewer numbers, and how far each is from its retelling"
    }

    fn parameters(&self) -> &'static [Parameter] {
        settings::TABLE
    }

    fn trainer(&self, raw: &RawParameters, problems: &mut Problems) -> Option<Box<dyn Trainer>> {
        let settings = Settings::read(raw, problems)?;
        Some(Box::new(Retelling { settings }))
    }

    fn open(&self, signature: &Signature, files: &Files) -> Result<Box<dyn Predictor>, Error> {
        Ok(Box::new(Model::read(signature, files)?))
    }
}

struct Retelling {
    settings: Settings,
}

impl Trainer for Retelling {
    fn effective(&self) -> serde_json::Map<String, serde_json::Value> {
        self.settings.effective.clone()
    }

    fn streams(&self) -> bool {
        true
    }

    fn fit(&self, data: &Channels, context: &mut Context<'_>) -> Result<Fitted, Error> {
        let settings = &self.settings;
        let width = unsupervised::width(data, settings.feature_dim)?;
        let train = &data.train;
        let weights = unsupervised::weights(train, "train")?;
        let total = weights
            .map_or(train.rows() as f64, |all| all.iter().map(|weight| f64::from(*weight)).sum());
        self.check_size(train, width)?;
        let (standardiser, components) = self.components(train, weights, context)?;
        let freedom = if settings.centre { total - 1.0 } else { total };
        // One row of weight 1 has no variance, and no figure for it either.
        let freedom = if freedom > 0.0 { freedom } else { 1.0 };
        let model = Model::new(standardiser, &components, freedom, settings.output);
        let task = match settings.output {
            Output::Projection => Task::Projection,
            Output::Score => Task::AnomalyDetection,
        };
        let mut signature = unsupervised::signature(train, task);
        let mut metrics = vec![Metric {
            name: "train:explained_variance_ratio".into(),
            value: model.explained_ratio(),
        }];
        for (name, channel) in unsupervised::named(data) {
            if name == "train" && settings.output == Output::Projection {
                continue;
            }
            let weights = unsupervised::weights(channel, name)?;
            let errors = Features::of(channel).map(|rows| model.errors(rows.view()))?;
            let moments = moments(&errors, weights);
            metrics.push(Metric { name: format!("{name}:reconstruction_error"), value: moments.0 });
            if settings.output == Output::Score {
                metrics.extend(auc(channel, &errors, weights, name));
                if name == "train" {
                    signature.threshold = Some((moments.0 + 3.0 * moments.1) as f32);
                }
            }
        }
        context.observer.epoch(0, &metrics);
        Ok(Fitted { files: model.files(), signature, metrics, epochs: 0 })
    }
}

impl Retelling {
    fn check_size(&self, train: &Dataset, width: usize) -> Result<(), Error> {
        let wanted = self.settings.components;
        let most = width.min(train.rows());
        if wanted > most {
            return Err(Error::Data {
                what: format!(
                    "channel train has {} rows of {width} features and num_components is {wanted}",
                    train.rows()
                ),
                help: format!("lower num_components to {most} or less"),
            });
        }
        if self.settings.extra.is_none() && width > REGULAR_WIDTH_MAX {
            return Err(Error::Data {
                what: format!(
                    "{width} features are more than the {REGULAR_WIDTH_MAX} that algorithm_mode regular takes"
                ),
                help: "set algorithm_mode = \"randomized\"".into(),
            });
        }
        Ok(())
    }

    /// The components, and what is taken away from a row before it is told in them.
    fn components(
        &self,
        train: &Dataset,
        weights: Option<&[f32]>,
        context: &Context<'_>,
    ) -> Result<(Standardiser, Components), Error> {
        let settings = &self.settings;
        let features = Features::of(train);
        if settings.extra.is_none()
            && settings.centre
            && !settings.normalize
            && let Some((mean, scatter)) = at_once::moments(features, weights, context.stop)?
        {
            let mean: Vec<f32> = mean.iter().map(|mean| *mean as f32).collect();
            let standardiser = Standardiser::from_parts(mean, vec![1.0; train.width()])?;
            return Ok((standardiser, components::regular(scatter, settings.components)));
        }
        let standardiser = self.standardiser(train, weights)?;
        let stop = context.stop;
        let rows = scatter::Rows { features, weights, standardiser: &standardiser, stop };
        let components = match settings.extra {
            None => components::regular(rows.scatter()?, settings.components),
            Some(extra) => components::randomized(&rows, settings.components, extra, context.seed)?,
        };
        Ok((standardiser, components))
    }

    /// Means, and deviations where they are asked for.
    fn standardiser(
        &self,
        train: &Dataset,
        weights: Option<&[f32]>,
    ) -> Result<Standardiser, Error> {
        let Settings { centre, normalize, .. } = self.settings;
        let means = unsupervised::means(train, weights, "train")?;
        let scale = match normalize {
            true => Standardiser::learn_from(Features::of(train), "train")?.scale().to_vec(),
            false => vec![1.0; means.len()],
        };
        let mean = |mean: &f64| if centre { *mean as f32 } else { 0.0 };
        Standardiser::from_parts(means.iter().map(mean).collect(), scale)
    }
}

/// Mean and deviation.
fn moments(values: &[f32], weights: Option<&[f32]>) -> (f64, f64) {
    let weight = |at: usize| weights.map_or(1.0, |all| f64::from(all[at]));
    let (mut total, mut sum) = (0.0, 0.0);
    for (at, value) in values.iter().enumerate() {
        total += weight(at);
        sum += weight(at) * f64::from(*value);
    }
    let mean = sum / total;
    let away = |(at, value): (usize, &f32)| weight(at) * (f64::from(*value) - mean).powi(2);
    let squares: f64 = values.iter().enumerate().map(away).sum();
    (mean, (squares / total).sqrt())
}

/// How well the score tells rows labelled 1 from rows labelled 0.
fn auc(channel: &Dataset, scores: &[f32], weights: Option<&[f32]>, name: &str) -> Option<Metric> {
    let Some(Labels::Number(labels)) = &channel.label else { return None };
    if !labels.iter().all(|label| *label == 0.0 || *label == 1.0) {
        return None;
    }
    let positive: Vec<bool> = labels.iter().map(|label| *label == 1.0).collect();
    let value = metric::roc_auc(scores, &positive, weights)?;
    Some(Metric { name: format!("{name}:roc_auc_score"), value })
}
