//! A forest behind an endpoint.

use std::sync::Arc;

use ndarray::ArrayView2;

use super::forest::Forest;
use super::score::{PointsOf, Scorer};
use crate::algorithm::{Ask, Error, Files, Predictor, Selected};
use crate::data::{Answer, Field, LabelNames, Signature, Task, Values};

/// Answers SageMaker's `{"scores":[{"score":0.02}]}`; `verbose=true` adds `predicted_label`, 1 from
/// the threshold on, and `explain=` the contributions. Of SageMaker's selected fields it has those
/// of a score and of a label.
pub(super) struct Opened {
    scorer: Scorer,
    threshold: Option<f32>,
    names: Arc<[String]>,
    labels: Arc<LabelNames>,
}

impl Opened {
    pub(super) fn new(signature: &Signature, files: &Files) -> Result<Opened, Error> {
        let forest = Forest::open(files)?;
        if signature.task != Task::AnomalyDetection || signature.features != forest.width() {
            return Err(Error::Corrupt(format!(
                "the signature is not that of a forest over {} numbers",
                forest.width()
            )));
        }
        Ok(Opened {
            scorer: forest.into_scorer(),
            threshold: signature.threshold,
            names: Arc::from(signature.columns.clone()),
            labels: Arc::new(LabelNames::Numbers(vec![0.0, 1.0])),
        })
    }

    /// A field that SageMaker's variable selects. There are no probabilities.
    fn selected(&self, field: Selected, scores: &[f32]) -> Result<Field, Error> {
        let values = match (field, self.threshold) {
            (Selected::RawScore | Selected::PredictedScore, _) => Values::Number(scores.to_vec()),
            (Selected::PredictedLabel, Some(threshold)) => {
                let codes = scores.iter().map(|score| u32::from(*score >= threshold)).collect();
                Values::Class { codes, names: self.labels.clone() }
            }
            (Selected::Labels, Some(_)) => Values::Classes(self.labels.clone()),
            _ => {
                return Err(Error::Data {
                    what: format!("a random cut forest has no {}", field.name()),
                    help: "choose among predicted_label, labels, raw_score and predicted_score"
                        .into(),
                });
            }
        };
        Ok(Field { name: field.name(), values })
    }

    /// The `count` strongest contributions of each row, the strongest first.
    fn explained(&self, points: &PointsOf<'_>, scores: &[f32], count: usize) -> Values {
        let width = self.scorer.width();
        let kept = count.min(width);
        let all = self.scorer.contributions(points, scores);
        let mut columns = Vec::with_capacity(scores.len() * kept);
        let mut values = Vec::with_capacity(scores.len() * kept);
        let mut order: Vec<u32> = Vec::new();
        for row in all.chunks_exact(width) {
            order.clear();
            order.extend(0..width as u32);
            let strength = |at: &u32| row[*at as usize];
            order.sort_by(|a, b| strength(b).total_cmp(&strength(a)));
            columns.extend_from_slice(&order[..kept]);
            values.extend(order[..kept].iter().map(strength));
        }
        Values::Contributions { width: kept, columns, values, names: self.names.clone() }
    }
}

impl Predictor for Opened {
    fn shingle(&self) -> usize {
        self.scorer.shingle()
    }

    fn predict(&self, rows: ArrayView2<'_, f32>) -> Result<Answer, Error> {
        self.predict_with(rows, &Ask::default())
    }

    fn predict_with(&self, rows: ArrayView2<'_, f32>, ask: &Ask) -> Result<Answer, Error> {
        let count = rows.nrows();
        let rows = rows.as_standard_layout();
        let values = rows.as_slice().expect("the layout is standard");
        let points = PointsOf::whole(values, self.scorer.width());
        let scores = self.scorer.scores(&points);
        let selected = ask.fields.iter().map(|field| self.selected(*field, &scores));
        let mut fields = selected.collect::<Result<Vec<Field>, Error>>()?;
        if fields.is_empty() {
            fields.push(Field { name: "score", values: Values::Number(scores.clone()) });
        }
        let is_there = fields.iter().any(|field| field.name == Selected::PredictedLabel.name());
        if ask.verbose && self.threshold.is_some() && !is_there {
            fields.push(self.selected(Selected::PredictedLabel, &scores)?);
        }
        if let Some(kept) = ask.explain {
            let values = self.explained(&points, &scores, kept);
            fields.push(Field { name: "contributions", values });
        }
        Ok(Answer { key: "scores", rows: count, fields })
    }
}
