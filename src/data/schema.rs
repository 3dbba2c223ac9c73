//! What goes into a model and what comes out, as the artifact's manifest keeps it.

use serde::{Deserialize, Serialize};

/// What kind of question the model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Two classes; the score is the probability of the second.
    BinaryClassification,
    /// Three classes or more; a probability for each.
    MulticlassClassification,
    /// A number.
    Regression,
    /// How unusual a row is; larger is stranger.
    AnomalyDetection,
}

/// The classes of a classification, in the order of the model's outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelNames {
    /// The labels were numbers; class i is the i-th of these.
    Numbers(Vec<f32>),
    /// The labels were words; class i is the i-th of these.
    Words(Vec<String>),
}

impl LabelNames {
    /// Number of classes.
    pub fn len(&self) -> usize {
        match self {
            LabelNames::Numbers(numbers) => numbers.len(),
            LabelNames::Words(words) => words.len(),
        }
    }

    /// Whether there is no class.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Input and output of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signature {
    /// Features per row.
    pub features: usize,
    /// Their names, when the training data gave them; otherwise empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// What kind of answer.
    pub task: Task,
    /// The classes of a classification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelNames>,
    /// Scores at or above this are the positive class (binary models).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
}
