//! Everything smrt can train, and the only room that knows burn.
//!
//! A [`Definition`] names an algorithm, lists its parameters and turns raw ones into a
//! [`Trainer`]; a trainer fits and gives [`Fitted`]; the definition opens what was fitted as a
//! [`Predictor`]. All three may come from a user's own crate (see `examples/custom_algorithm.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::ArrayView2;

use crate::data::{Absent, Answer, Dataset, Signature};
use crate::spec::parameter::RawParameters;
use crate::spec::problem::{Problems, nearest};

pub mod ask;
pub mod calibrate;
pub mod device;
pub mod error;
pub mod expand;
pub mod features;
pub(crate) mod fuzzed;
pub mod ip_insights;
pub mod kmeans;
pub mod label;
pub mod lightgbm;
pub mod linear_learner;
pub mod metric;
pub mod mlp;
pub mod net;
pub mod parameter;
pub mod pca;
pub mod random_cut_forest;
pub mod standardise;
pub mod unsupervised;
pub mod weights;
pub mod xgboost;

pub use ask::{Ask, Selected};
pub use error::Error;
pub use features::Features;

/// The tensor library, for programs that bring their own network.
pub use burn;

/// One algorithm: its name, its parameters, and how to train and open it.
pub trait Definition: Send + Sync {
    /// SageMaker's name (`linear-learner`).
    fn name(&self) -> &'static str;

    /// Other names it goes by: that of SageMaker's image, where it differs.
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }

    /// One line for `smrt algorithms`.
    fn summary(&self) -> &'static str;

    /// Name, default, range and meaning of every parameter.
    fn parameters(&self) -> &'static [parameter::Parameter];

    /// Which rows it takes as they are. What it does not take is turned into plain numbers before
    /// it sees them, in training and in serving alike.
    fn reads(&self) -> Reads {
        Reads::default()
    }

    /// Checks what the user wrote, all of it; `None` when `problems` grew.
    fn trainer(&self, raw: &RawParameters, problems: &mut Problems) -> Option<Box<dyn Trainer>>;

    /// Opens a fitted model for prediction on the CPU. Must check everything it reads: the files
    /// come from an archive that a stranger may have made.
    ///
    /// # Errors
    /// When a file is missing, or its shapes do not fit the signature.
    fn open(&self, signature: &Signature, files: &Files) -> Result<Box<dyn Predictor>, Error>;

    /// Recognises a model that another library wrote: the files of an archive without a manifest,
    /// or one file alone. `None` when these are not its kind of files.
    fn adopt(&self, files: &Files) -> Option<Result<Adopted, Error>> {
        let _ = files;
        None
    }

    /// What each column is worth to a fitted model, when the algorithm knows it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn importances(
        &self,
        signature: &Signature,
        files: &Files,
    ) -> Result<Option<Vec<Importance>>, Error> {
        let _ = (signature, files);
        Ok(None)
    }
}

/// A model that another library wrote, as one of ours.
#[derive(Debug)]
pub struct Adopted {
    /// The files that [`Definition::open`] takes.
    pub files: Files,
    /// Input and output, as far as the model tells.
    pub signature: Signature,
    /// Rounds that were run.
    pub epochs: usize,
}

/// What one column is worth to a model of trees.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Importance {
    /// Its name, or `f` and its number as XGBoost says.
    pub column: String,
    /// Splits on it.
    pub weight: u64,
    /// Loss each of them saves, on average.
    pub gain: f64,
    /// Hessian (or rows) each of them parts, on average.
    pub cover: f64,
    /// Loss they save together.
    pub total_gain: f64,
    /// Hessian (or rows) they part together.
    pub total_cover: f64,
}

/// Which rows an algorithm takes as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reads {
    /// [`Dataset::sparse`] as it is; else sparse rows are filled up with `absent`.
    pub sparse: bool,
    /// Columns of words as codes; else each becomes one column for each of its words, 1 where
    /// the row has that word and 0 elsewhere.
    pub categories: bool,
    /// What a cell means that a sparse row leaves out.
    pub absent: Absent,
    /// Rows of two words, an entity and an IP address, as [`crate::data::login`] tells them; rows
    /// of numbers are then refused.
    pub logins: bool,
}

/// The files of a model inside the archive, by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A checked set of parameters, ready to fit.
pub trait Trainer: Send {
    /// The parameters in effect, defaults filled in, for the manifest.
    fn effective(&self) -> serde_json::Map<String, serde_json::Value>;

    /// Whether [`fit`](Self::fit) takes channels whose rows lie on disk ([`Dataset::pages`]): it
    /// then reads features through [`Features`] alone. Otherwise a job whose data do not fit
    /// into its memory is refused.
    fn streams(&self) -> bool {
        false
    }

    /// What one of [`Fitted::epochs`] is called.
    fn epoch_word(&self) -> &'static str {
        "epoch"
    }

    /// Fits a model.
    ///
    /// # Errors
    /// When the data cannot be learned from, or the loss stops being a number. `Error::Stopped`
    /// when [`Context::stop`] said so; the last checkpoint has then been handed over.
    fn fit(&self, data: &Channels, context: &mut Context<'_>) -> Result<Fitted, Error>;

    /// Whether it can go on from an earlier model: the channel `model`.
    fn goes_on(&self) -> bool {
        false
    }

    /// Takes the earlier model that [`fit`](Self::fit) will go on from.
    ///
    /// # Errors
    /// When it cannot go on at all, or not from this model.
    fn go_on_from(&mut self, earlier: &Earlier) -> Result<(), Error> {
        let _ = earlier;
        Err(Error::Data {
            what: "this algorithm cannot go on from an earlier model".into(),
            help: "leave the channel model out".into(),
        })
    }
}

/// A model that a training goes on from.
#[derive(Debug, Clone)]
pub struct Earlier {
    /// The algorithm that made it, by its name in the table.
    pub algorithm: String,
    /// Its input and output.
    pub signature: Signature,
    /// Its files.
    pub files: Files,
}

/// The channels a trainer sees.
#[derive(Debug)]
pub struct Channels {
    /// `train`
    pub train: Dataset,
    /// `validation`
    pub validation: Option<Dataset>,
    /// `test`
    pub test: Option<Dataset>,
}

/// What a trainer is given besides data.
pub struct Context<'a> {
    /// Where to compute.
    pub device: device::Device,
    /// Threads to use on the CPU; never 0.
    pub threads: usize,
    /// Everything random follows from it.
    pub seed: u64,
    /// True once the work should end; asked at every batch.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// Told about progress.
    pub observer: &'a mut dyn Observer,
    /// Keeps and gives back checkpoints.
    pub checkpoints: &'a mut dyn Checkpoints,
}

/// Hears how the training goes.
pub trait Observer: Send {
    /// Some rows of the current epoch were learned from.
    fn step(&mut self, progress: Progress);
    /// An epoch ended, with its metrics (`train:objective_loss`, …).
    fn epoch(&mut self, epoch: usize, metrics: &[Metric]);
}

/// How far a training is.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub struct Progress {
    /// From 0.
    pub epoch: usize,
    /// At most; early stopping may end before. 0 when the algorithm has none.
    pub epochs: usize,
    /// Rows learned from since the start, over all epochs.
    pub rows_done: u64,
    /// Rows to learn from, over all epochs.
    pub rows_total: u64,
}

/// Keeps the state of a training so that it can go on later.
pub trait Checkpoints: Send {
    /// Whether enough time has passed since the last one that a new one is worth its cost.
    fn due(&self) -> bool;
    /// Keeps `state`; it replaces the one before.
    ///
    /// # Errors
    /// When it could not be written.
    fn save(&mut self, state: &Files) -> Result<(), Error>;
    /// The state to go on from, once: the one given with `--resume`.
    fn take(&mut self) -> Option<Files>;
}

/// A named figure, SageMaker's names (`validation:roc_auc_score`).
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Metric {
    /// `<channel>:<metric>`
    pub name: String,
    /// Its value.
    pub value: f64,
}

/// A trained model, in the documented open formats that go into the archive.
#[derive(Debug)]
pub struct Fitted {
    /// `model.safetensors` and what else the algorithm keeps.
    pub files: Files,
    /// Input and output.
    pub signature: Signature,
    /// Final metrics on each channel.
    pub metrics: Vec<Metric>,
    /// Epochs (or rounds) that were run; 0 when the algorithm has none.
    pub epochs: usize,
}

/// A model that answers. Shared by all threads of an endpoint.
pub trait Predictor: Send + Sync {
    /// Answers for rows × features; a missing value is NaN. The number of columns was checked
    /// against the signature. A row's answer does not depend on the rows beside it.
    ///
    /// # Errors
    /// When the model cannot answer for these rows.
    fn predict(&self, rows: ArrayView2<'_, f32>) -> Result<Answer, Error>;

    /// Rows of a series that make one row of [`predict`](Self::predict), the oldest first.
    fn shingle(&self) -> usize {
        1
    }

    /// The same answers, and what was asked for besides; a model that does not know how to give
    /// it says so.
    ///
    /// # Errors
    /// As [`predict`](Self::predict), and when something is asked that the model does not have.
    fn predict_with(&self, rows: ArrayView2<'_, f32>, ask: &Ask) -> Result<Answer, Error> {
        if ask.is_plain() {
            return self.predict(rows);
        }
        Err(Error::Data {
            what: "this model gives its plain answer and nothing besides".into(),
            help: "leave explain, verbose and SAGEMAKER_INFERENCE_OUTPUT out".into(),
        })
    }
}

/// The algorithms of this process: the built-in ones, and a program's own.
#[derive(Clone)]
pub struct Table {
    entries: Vec<Arc<dyn Definition>>,
}

impl Table {
    /// The algorithms that come with smrt.
    pub fn builtin() -> Table {
        Table {
            entries: vec![
                Arc::new(linear_learner::LinearLearner),
                Arc::new(mlp::Mlp),
                Arc::new(xgboost::Xgboost),
                Arc::new(lightgbm::Lightgbm),
                Arc::new(random_cut_forest::RandomCutForest),
                Arc::new(kmeans::KMeans),
                Arc::new(pca::Pca),
                Arc::new(ip_insights::IpInsights),
            ],
        }
    }

    /// This table and one more; it replaces an entry of the same name.
    #[must_use]
    pub fn with(mut self, definition: Box<dyn Definition>) -> Table {
        self.entries.retain(|entry| entry.name() != definition.name());
        self.entries.push(Arc::from(definition));
        self
    }

    /// The algorithm called `name`: one of its names in any case and with `_` for `-`, or the
    /// repository part of a SageMaker image URI
    /// (`382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1`).
    pub fn get(&self, name: &str) -> Option<Arc<dyn Definition>> {
        let wanted = canonical(name);
        let is_meant = |entry: &&Arc<dyn Definition>| {
            entry.name() == wanted || entry.aliases().contains(&wanted.as_str())
        };
        self.entries.iter().find(is_meant).cloned()
    }

    /// The known name closest to `name`, when one is close enough to be what was meant.
    pub fn nearest(&self, name: &str) -> Option<&'static str> {
        nearest(&canonical(name), self.entries.iter().map(|entry| entry.name()))
    }

    /// Every algorithm, in the order they were registered.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Definition>> {
        self.entries.iter()
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| entry.name())).finish()
    }
}

/// A name as the table writes it: lower case, hyphens, without registry and tag.
fn canonical(name: &str) -> String {
    let repository = match name.split_once(".amazonaws.com/") {
        Some((_, path)) => path.split([':', '@']).next().unwrap_or(path),
        None => name,
    };
    repository.trim().to_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_is_found_by_name_case_underscore_and_image() {
        let table = Table::builtin();
        for name in ["mlp", "MLP", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/mlp:latest"] {
            assert_eq!(table.get(name).map(|found| found.name()), Some("mlp"), "{name}");
        }
        assert!(table.get("mlpp").is_none());
        assert_eq!(table.nearest("mlpp"), Some("mlp"));
    }
}
