//! A forest behind an endpoint.

use std::sync::Arc;

use ndarray::ArrayView2;

use super::forest::Forest;
use super::score::{PointsOf, Scorer};
use crate::algorithm::{Ask, Error, Files, Predictor};
use crate::data::{Answer, Field, LabelNames, Signature, Task, Values};

/// Answers SageMaker's `{"scores":[{"score":0.02}]}`; `verbose=true` adds `predicted_label`, 1 from
/// the threshold on, and `explain=` the contributions.
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
    fn predict(&self, rows: ArrayView2<'_, f32>) -> Result<Answer, Error> {
        self.predict_with(rows, &Ask::default())
    }

    fn predict_with(&self, rows: ArrayView2<'_, f32>, ask: &Ask) -> Result<Answer, Error> {
        let count = rows.nrows();
        let rows = rows.as_standard_layout();
        let values = rows.as_slice().expect("the layout is standard");
        let points = PointsOf::whole(values, self.scorer.width());
        let scores = self.scorer.scores(&points);
        let mut more = Vec::new();
        if let (true, Some(threshold)) = (ask.verbose, self.threshold) {
            let codes = scores.iter().map(|score| u32::from(*score >= threshold)).collect();
            let values = Values::Class { codes, names: self.labels.clone() };
            more.push(Field { name: "predicted_label", values });
        }
        if let Some(kept) = ask.explain {
            let values = self.explained(&points, &scores, kept);
            more.push(Field { name: "contributions", values });
        }
        let mut fields = vec![Field { name: "score", values: Values::Number(scores) }];
        fields.extend(more);
        Ok(Answer { key: "scores", rows: count, fields })
    }
}
