//! What goes into a model and what comes out, as the artifact's manifest keeps it.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::batch::Categories;
use super::words::Vocabulary;

/// Names of the numbers of `rows` rows that stand one after the other, the oldest first: those of older
/// rows say how much older (`load[t-2]`).
pub fn shingled(names: &[String], rows: usize) -> Vec<String> {
    let of_row = |age: usize| {
        names.iter().map(move |name| match age {
            0 => name.clone(),
            age => format!("{name}[t-{age}]"),
        })
    };
    (0..rows).rev().flat_map(of_row).collect()
}

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
    /// The nearest of some centres, and how far it is.
    Clustering,
    /// Fewer numbers that tell most of what the row tells.
    Projection,
    /// A number that orders the rows of a query group; larger comes first.
    Ranking,
}

impl Task {
    /// As people say it.
    pub fn words(self) -> &'static str {
        match self {
            Task::BinaryClassification => "binary classification",
            Task::MulticlassClassification => "multiclass classification",
            Task::Regression => "regression",
            Task::AnomalyDetection => "anomaly detection",
            Task::Clustering => "clustering",
            Task::Projection => "projection",
            Task::Ranking => "ranking",
        }
    }
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

/// What a cell means that a sparse row leaves out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absent {
    /// It is 0.
    #[default]
    Zero,
    /// It is a missing value: XGBoost's reading of libsvm.
    Missing,
}

impl Absent {
    /// The number that stands for it.
    pub fn value(self) -> f32 {
        match self {
            Absent::Zero => 0.0,
            Absent::Missing => f32::NAN,
        }
    }

    fn is_zero(&self) -> bool {
        *self == Absent::Zero
    }
}

/// What stands in the columns of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cells {
    /// Numbers, or words that the signature lists.
    #[default]
    Numbers,
    /// Two words, an entity and an IP address; see [`super::login`].
    Login,
}

impl Cells {
    fn is_numbers(&self) -> bool {
        *self == Cells::Numbers
    }
}

/// Input and output of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signature {
    /// What stands in the columns.
    #[serde(default, skip_serializing_if = "Cells::is_numbers")]
    pub cells: Cells,
    /// Features per row.
    pub features: usize,
    /// Their names, when the training data gave them; otherwise empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// The words of each column that holds words, by column from 0.
    #[serde(default, skip_serializing_if = "Categories::is_empty")]
    pub categories: Categories,
    /// The same words, indexed when the first one is looked up: see
    /// [`vocabulary`](Self::vocabulary).
    #[serde(skip)]
    pub lookup: Lookup,
    /// What a cell means that a sparse row leaves out.
    #[serde(default, skip_serializing_if = "Absent::is_zero")]
    pub absent: Absent,
    /// What kind of answer.
    pub task: Task,
    /// The classes of a classification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelNames>,
    /// Scores at or above this are the positive class (binary models).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
}

impl Signature {
    /// So many numbers in, an answer to `task` out, and nothing besides.
    pub fn of(features: usize, task: Task) -> Signature {
        Signature {
            cells: Cells::Numbers,
            features,
            columns: Vec::new(),
            categories: Categories::new(),
            lookup: Lookup::default(),
            absent: Absent::Zero,
            task,
            labels: None,
            threshold: None,
        }
    }

    /// The words of [`categories`](Self::categories), ready to be looked up.
    pub fn vocabulary(&self) -> &Arc<Vocabulary> {
        self.lookup.0.get_or_init(|| Arc::new(Vocabulary::of(&self.categories)))
    }
}

/// An index that is made once, at first use. It says nothing that the words themselves do not, so
/// any two are equal, and a copy starts afresh: its words may be changed.
#[derive(Debug, Default)]
pub struct Lookup(OnceLock<Arc<Vocabulary>>);

impl Clone for Lookup {
    fn clone(&self) -> Lookup {
        Lookup::default()
    }
}

impl PartialEq for Lookup {
    fn eq(&self, _: &Lookup) -> bool {
        true
    }
}
