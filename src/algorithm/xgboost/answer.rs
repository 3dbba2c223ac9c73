//! A tree model that answers as SageMaker's XGBoost container does, and what it can say besides.
//!
//! The plain answer is one `score` a row: the probability for `binary:logistic`, the class for
//! `multi:softmax`, all probabilities for `multi:softprob`, else the value. Several models (the
//! folds of `_kfold`) answer together: by vote where the answer is a class, else by their mean.

use std::sync::{Arc, OnceLock};

use ndarray::ArrayView2;

use super::boost;
use super::ensemble::Ensemble;
use super::explain::{self, Explainer};
use super::objective::{Logistic, Objective};
use super::score::Scorer;
use crate::algorithm::metric::argmax;
use crate::algorithm::{Ask, Error, Predictor, Selected};
use crate::data::{Answer, Field, LabelNames, Signature, Values};

/// Models that answer together.
pub struct Opened {
    members: Vec<Member>,
    objective: Objective,
    /// Names of the classes; none for a regression.
    labels: Option<Arc<LabelNames>>,
    /// Names of the columns, or none.
    columns: Arc<[String]>,
}

struct Member {
    scorer: Scorer,
    model: Ensemble,
    /// Laid out when it is asked for first.
    explainer: OnceLock<Explainer>,
}

impl Opened {
    /// Checks that models and signature agree.
    ///
    /// # Errors
    /// `Error::Corrupt` when they do not, or there is no model.
    pub fn new(signature: &Signature, models: Vec<Ensemble>) -> Result<Opened, Error> {
        let Some(first) = models.first() else {
            return Err(Error::Corrupt("there is no model".into()));
        };
        let objective = first.objective;
        let same = |model: &&Ensemble| {
            model.features == first.features && model.objective == first.objective
        };
        if !models.iter().all(|model| same(&model)) {
            return Err(Error::Corrupt("the models of the folds are not of one kind".into()));
        }
        let own = boost::plain_signature(first, None);
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
        let member = |model: Ensemble| Member {
            scorer: Scorer::new(&model),
            model,
            explainer: OnceLock::new(),
        };
        Ok(Opened {
            objective,
            labels: signature.labels.clone().map(Arc::new),
            columns: signature.columns.clone().into(),
            members: models.into_iter().map(member).collect(),
        })
    }

    /// Numbers per row of the plain answer.
    fn width(&self) -> usize {
        match self.objective {
            Objective::Multi { classes, probabilities: true, .. } => classes,
            _ => 1,
        }
    }

    /// The plain answer in numbers, [`width`](Self::width) per row; a class is its number.
    fn scores(&self, rows: &ArrayView2<'_, f32>) -> Vec<f32> {
        let one = |member: &Member| {
            let mut margins = member.scorer.margins(rows);
            match self.objective {
                Objective::Multi { classes, probabilities: false, .. } => {
                    margins.chunks_exact(classes).map(|row| argmax(row) as f32).collect()
                }
                _ => {
                    self.objective.score(&mut margins);
                    margins
                }
            }
        };
        if let [member] = self.members.as_slice() {
            return one(member);
        }
        let all: Vec<Vec<f32>> = self.members.iter().map(one).collect();
        let votes = matches!(
            self.objective,
            Objective::Hinge | Objective::Multi { probabilities: false, .. }
        );
        (0..rows.nrows() * self.width())
            .map(|at| {
                let answers = all.iter().map(|answers| answers[at]);
                if votes { most(answers) } else { mean(answers, all.len()) }
            })
            .collect()
    }

    /// Margins per row, the mean of all models.
    fn margins(&self, rows: &ArrayView2<'_, f32>) -> Vec<f32> {
        let mut all = self.members.iter().map(|member| member.scorer.margins(rows));
        let mut sum = all.next().unwrap_or_default();
        for margins in all {
            sum.iter_mut().zip(margins).for_each(|(sum, margin)| *sum += margin);
        }
        let count = self.members.len() as f32;
        sum.iter_mut().for_each(|margin| *margin /= count);
        sum
    }

    fn plain(&self, scores: Vec<f32>) -> Field {
        let values = match (&self.objective, &self.labels) {
            (Objective::Multi { classes, probabilities: true, .. }, _) => {
                Values::Vector { width: *classes, values: scores }
            }
            (Objective::Multi { .. }, Some(names)) if matches!(**names, LabelNames::Words(_)) => {
                class(scores.iter().map(|score| *score as u32), names)
            }
            _ => Values::Number(scores),
        };
        Field { name: "score", values }
    }

    /// The class of each row.
    fn called(&self, scores: &[f32]) -> Vec<u32> {
        let cut = match self.objective {
            Objective::Logistic { kind: Logistic::Raw, .. } => 0.0,
            _ => 0.5,
        };
        match self.objective {
            Objective::Multi { classes, probabilities: true, .. } => {
                scores.chunks_exact(classes).map(|row| argmax(row) as u32).collect()
            }
            Objective::Multi { .. } => scores.iter().map(|score| *score as u32).collect(),
            _ => scores.iter().map(|score| u32::from(*score > cut)).collect(),
        }
    }

    /// A field that SageMaker's container can be told to answer; `None` when the objective does
    /// not have it.
    fn selected(&self, field: Selected, scores: &[f32]) -> Option<Values> {
        let is_multi = matches!(self.objective, Objective::Multi { .. });
        let has_classes = is_multi || self.objective.is_binary();
        let has_probabilities = matches!(
            self.objective,
            Objective::Multi { probabilities: true, .. }
                | Objective::Logistic { kind: Logistic::Binary, .. }
        );
        let width = self.width();
        let highest = || scores.chunks_exact(width).map(|row| row[argmax(row)]).collect();
        let both = || Values::Vector {
            width: 2,
            values: scores.iter().flat_map(|score| [1.0 - score, *score]).collect(),
        };
        let every = || Values::Vector { width, values: scores.to_vec() };
        match field {
            Selected::PredictedScore => (!has_classes).then(|| Values::Number(scores.to_vec())),
            _ if !has_classes => None,
            Selected::PredictedLabel => {
                Some(class(self.called(scores).into_iter(), self.labels.as_ref()?))
            }
            Selected::Labels => Some(Values::Classes(self.labels.clone()?)),
            Selected::Probability | Selected::Probabilities if !has_probabilities => None,
            Selected::Probability | Selected::RawScore => Some(Values::Number(highest())),
            Selected::Probabilities | Selected::RawScores if width > 1 => Some(every()),
            Selected::Probabilities | Selected::RawScores => Some(both()),
        }
    }

    fn fields(&self, ask: &Ask, scores: &[f32]) -> Result<Vec<Field>, Error> {
        let one = |field: &Selected| {
            let values = self.selected(*field, scores).ok_or_else(|| Error::Data {
                what: format!("{} has no {}", self.objective.name(), field.name()),
                help: if self.objective.is_binary() || self.width() > 1 {
                    "choose among predicted_label, labels, probability, probabilities, raw_score and raw_scores".into()
                } else {
                    "a regression has predicted_score; a classification has predicted_label and the like".into()
                },
            })?;
            Ok(Field { name: field.name(), values })
        };
        ask.fields.iter().map(one).collect()
    }

    /// What the model knows besides, but for explanations.
    fn details(&self, rows: &ArrayView2<'_, f32>, scores: &[f32], fields: &mut Vec<Field>) {
        for field in [Selected::PredictedLabel, Selected::Probabilities] {
            let known = fields.iter().any(|found| found.name == field.name());
            if let (false, Some(values)) = (known, self.selected(field, scores)) {
                fields.push(Field { name: field.name(), values });
            }
        }
        let margins = self.margins(rows);
        let values = match self.objective.groups() {
            1 => Values::Number(margins),
            width => Values::Vector { width, values: margins },
        };
        fields.push(Field { name: "margin", values });
        if let [member] = self.members.as_slice() {
            let width = member.model.trees.len();
            let leaves = explain::leaves(&member.model, rows);
            let values = leaves.into_iter().map(|leaf| leaf as f32).collect();
            fields.push(Field { name: "leaf", values: Values::Vector { width, values } });
        }
    }

    /// What the columns added to the margin, of several classes to the called one's: the `count`
    /// strongest, and the margin's expectation before any column is known.
    fn explained(&self, rows: &ArrayView2<'_, f32>, scores: &[f32], count: usize) -> [Field; 2] {
        let groups = self.objective.groups();
        let features = self.members[0].model.features;
        let width = count.min(features);
        let groups_of: Vec<usize> = match groups {
            1 => vec![0; rows.nrows()],
            _ => self.called(scores).into_iter().map(|class| class as usize).collect(),
        };
        let mut sums = vec![0.0f32; rows.nrows() * (features + 1)];
        for member in &self.members {
            let explainer = member.explainer.get_or_init(|| Explainer::new(&member.model));
            let found = explainer.contributions(rows);
            for (row, sums) in sums.chunks_exact_mut(features + 1).enumerate() {
                for (at, sum) in sums.iter_mut().enumerate() {
                    *sum += found[[row, groups_of[row], at]];
                }
            }
        }
        let share = 1.0 / self.members.len() as f32;
        let mut base = Vec::with_capacity(rows.nrows());
        let mut columns = Vec::with_capacity(rows.nrows() * width);
        let mut values = Vec::with_capacity(rows.nrows() * width);
        let mut order: Vec<u32> = Vec::with_capacity(features);
        for sums in sums.chunks_exact(features + 1) {
            base.push(sums[features] * share);
            order.clear();
            order.extend(0..features as u32);
            let strength = |column: &u32| -sums[*column as usize].abs();
            let stronger =
                |one: &u32, two: &u32| strength(one).total_cmp(&strength(two)).then(one.cmp(two));
            if width < features {
                order.select_nth_unstable_by(width, stronger);
                order.truncate(width);
            }
            order.sort_unstable_by(stronger);
            columns.extend_from_slice(&order);
            values.extend(order.iter().map(|column| sums[*column as usize] * share));
        }
        let names = self.columns.clone();
        [
            Field { name: "base_value", values: Values::Number(base) },
            Field {
                name: "contributions",
                values: Values::Contributions { width, columns, values, names },
            },
        ]
    }
}

impl Predictor for Opened {
    fn predict(&self, rows: ArrayView2<'_, f32>) -> Result<Answer, Error> {
        let fields = vec![self.plain(self.scores(&rows))];
        Ok(Answer { key: "predictions", rows: rows.nrows(), fields })
    }

    fn predict_with(&self, rows: ArrayView2<'_, f32>, ask: &Ask) -> Result<Answer, Error> {
        if ask.is_plain() {
            return self.predict(rows);
        }
        let scores = self.scores(&rows);
        let mut fields = match ask.fields.is_empty() {
            true => vec![self.plain(scores.clone())],
            false => self.fields(ask, &scores)?,
        };
        if ask.verbose {
            self.details(&rows, &scores, &mut fields);
        }
        if let Some(count) = ask.explain {
            fields.extend(self.explained(&rows, &scores, count));
        }
        Ok(Answer { key: "predictions", rows: rows.nrows(), fields })
    }
}

fn class(codes: impl Iterator<Item = u32>, names: &Arc<LabelNames>) -> Values {
    Values::Class { codes: codes.collect(), names: names.clone() }
}

/// The most frequent; of equally frequent ones the smallest, as SciPy's `mode`.
fn most(answers: impl Iterator<Item = f32>) -> f32 {
    let mut sorted: Vec<f32> = answers.collect();
    sorted.sort_by(f32::total_cmp);
    let runs = sorted.chunk_by(|one, two| one == two);
    let best = runs.fold(&sorted[..0], |best, run| if run.len() > best.len() { run } else { best });
    best.first().copied().unwrap_or(f32::NAN)
}

fn mean(answers: impl Iterator<Item = f32>, count: usize) -> f32 {
    (answers.map(f64::from).sum::<f64>() / count as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vote_takes_the_most_frequent_and_of_equals_the_smallest() {
        assert_eq!(most([2.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(most([3.0, 1.0, 3.0, 1.0].into_iter()), 1.0);
        assert_eq!(mean([0.25, 0.75].into_iter(), 2), 0.5);
    }
}
