//! Labels and weights as boosting takes them: numbers in the objective's domain.
//!
//! Numbers are taken as they stand, as XGBoost does: 0 and 1, or 0 to one less than `num_class`.
//! Words, which XGBoost does not read, become the numbers of their classes in alphabetical order.

use crate::algorithm::Error;
use crate::algorithm::label::{self, Classes, Wanted};
use crate::data::{Dataset, LabelNames, Labels};

use super::objective::Objective;

/// How the labels of every channel are read, learned from `train`.
#[derive(Debug, Clone)]
pub struct Prepared {
    classes: Option<Classes>,
}

impl Prepared {
    /// Learns the classes where labels are words.
    ///
    /// # Errors
    /// `Error::Data` when words do not go with the objective, or are too many or too few.
    pub fn learn(objective: &Objective, train: &Dataset) -> Result<Prepared, Error> {
        let Some(Labels::Text { .. }) = train.label else { return Ok(Prepared { classes: None }) };
        let wanted = match objective {
            Objective::Multi { classes, .. } => *classes,
            objective if objective.is_binary() => 2,
            _ => return Err(words(objective, "train")),
        };
        let classes = Classes::learn(train, "train", Wanted::AsFound)?;
        if classes.count() != wanted {
            return Err(Error::Data {
                what: format!(
                    "channel train has {} distinct labels and {} takes {wanted}",
                    classes.count(),
                    objective.name()
                ),
                help:
                    "set num_class to the number of labels, with multi:softprob for more than two"
                        .into(),
            });
        }
        Ok(Prepared { classes: Some(classes) })
    }

    /// The label of every row of `data`, the channel named `channel`.
    ///
    /// # Errors
    /// `Error::Data` when one is missing or outside the objective's domain.
    pub fn labels(
        &self,
        objective: &Objective,
        data: &Dataset,
        channel: &str,
    ) -> Result<Vec<f32>, Error> {
        if let Some(classes) = &self.classes {
            let codes = classes.codes(data, channel)?;
            return Ok(codes.into_iter().map(|code| code as f32).collect());
        }
        if let Some(Labels::Text { .. }) = data.label {
            return Err(words(objective, channel));
        }
        let labels = label::targets(data, channel)?;
        objective.check_labels(&labels, channel)?;
        Ok(labels)
    }

    /// The words, in the order of their classes.
    pub fn names(&self) -> Option<LabelNames> {
        self.classes.as_ref().map(|classes| classes.names().clone())
    }
}

fn words(objective: &Objective, channel: &str) -> Error {
    Error::Data {
        what: format!(
            "channel {channel} has labels that are words, and {} needs numbers",
            objective.name()
        ),
        help: "correct the labels, or use binary:logistic or multi:softprob".into(),
    }
}

/// The weight of every row, when the channel has weights.
///
/// # Errors
/// `Error::Data` naming the row whose weight is negative or not finite, or when all are 0.
pub fn weights<'a>(data: &'a Dataset, channel: &str) -> Result<Option<&'a [f32]>, Error> {
    let Some(weights) = data.weight.as_deref() else { return Ok(None) };
    let good = |weight: &f32| weight.is_finite() && *weight >= 0.0;
    let what = match weights.iter().position(|weight| !good(weight)) {
        Some(row) => format!("row {} of channel {channel} has weight {}", row + 1, weights[row]),
        None if weights.len() != data.rows() => {
            format!("channel {channel} has {} rows and {} weights", data.rows(), weights.len())
        }
        None if weights.iter().all(|weight| *weight == 0.0) => {
            format!("every weight of channel {channel} is 0")
        }
        None => return Ok(Some(weights)),
    };
    Err(Error::Data { what, help: "weights are finite numbers from 0, some above".into() })
}

/// Where the queries of a channel begin, and last its number of rows; `None` when it has none.
///
/// # Errors
/// `Error::Data` when rows of one query do not stand together, or differ in weight.
pub fn groups(data: &Dataset, channel: &str) -> Result<Option<Vec<usize>>, Error> {
    let Some(ids) = data.group.as_deref() else { return Ok(None) };
    let refuse = |row: usize, what: String| Error::Data {
        what: format!("row {} of channel {channel}: {what}", row + 1),
        help: "sort the rows by query; all rows of a query carry its weight".into(),
    };
    if ids.len() != data.rows() {
        return Err(refuse(0, format!("{} rows have {} queries", data.rows(), ids.len())));
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut starts = Vec::new();
    for (row, id) in ids.iter().enumerate() {
        if row > 0 && ids[row - 1] == *id {
            let differs = data.weight.as_ref().is_some_and(|weight| weight[row] != weight[row - 1]);
            if differs {
                return Err(refuse(row, "its weight differs from its query's".into()));
            }
            continue;
        }
        if !seen.insert(*id) {
            return Err(refuse(row, format!("query {id} had ended above")));
        }
        starts.push(row);
    }
    starts.push(ids.len());
    Ok(Some(starts))
}
