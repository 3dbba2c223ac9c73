//! Trainings without labels as the lead of a job runs them: what the tests of `kmeans`, `pca` and
//! their like share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::Array2;
use smrt::algorithm::{
    Channels, Checkpoints, Context, Earlier, Error, Files, Fitted, Metric, Observer, Predictor,
    Progress, Table, device,
};
use smrt::data::{Answer, Dataset, Values};
use smrt::spec::parameter::{Raw, RawParameters, RawValue};
use smrt::spec::problem::Problems;
use smrt::spec::train::DeviceChoice;

pub(crate) fn only(train: Dataset) -> Channels {
    Channels { train, validation: None, test: None }
}

pub(crate) fn raw(pairs: &[(&str, &str)]) -> RawParameters {
    let one = |(name, text): &(&str, &str)| {
        ((*name).to_owned(), Raw { value: RawValue::Text((*text).to_owned()), line: None })
    };
    pairs.iter().map(one).collect()
}

struct Heard;

impl Observer for Heard {
    fn step(&mut self, progress: Progress) {
        assert!(progress.rows_done <= progress.rows_total, "{progress:?}");
    }

    fn epoch(&mut self, epoch: usize, metrics: &[Metric]) {
        assert!(metrics.iter().all(|metric| metric.value.is_finite()), "{epoch}: {metrics:?}");
    }
}

/// Keeps the last checkpoint, and gives it to the next training.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) state: Option<Files>,
    pub(crate) resume: bool,
}

impl Checkpoints for Kept {
    fn due(&self) -> bool {
        false
    }

    fn save(&mut self, state: &Files) -> Result<(), Error> {
        self.state = Some(state.clone());
        Ok(())
    }

    fn take(&mut self) -> Option<Files> {
        if self.resume { self.state.take() } else { None }
    }
}

/// A training.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) algorithm: &'a str,
    pub(crate) parameters: &'a [(&'a str, &'a str)],
    pub(crate) seed: u64,
    pub(crate) threads: usize,
}

impl<'a> Job<'a> {
    pub(crate) fn new(algorithm: &'a str, parameters: &'a [(&'a str, &'a str)]) -> Job<'a> {
        Job { algorithm, parameters, seed: 7, threads: 2 }
    }

    pub(crate) fn run_with(
        &self,
        data: &Channels,
        stop: &(dyn Fn() -> bool + Sync),
        kept: &mut Kept,
    ) -> Result<Fitted, Error> {
        self.run_from(None, data, stop, kept)
    }

    /// The same, going on from an earlier model if there is one.
    pub(crate) fn run_from(
        &self,
        earlier: Option<&Earlier>,
        data: &Channels,
        stop: &(dyn Fn() -> bool + Sync),
        kept: &mut Kept,
    ) -> Result<Fitted, Error> {
        let pool = rayon_pool(self.threads);
        let mut problems = Problems::default();
        let definition = Table::builtin().get(self.algorithm).unwrap();
        let trainer = definition.trainer(&raw(self.parameters), &mut problems);
        let mut trainer = trainer.unwrap_or_else(|| panic!("{problems:?}"));
        if let Some(earlier) = earlier {
            assert!(trainer.goes_on());
            trainer.go_on_from(earlier)?;
        }
        let mut heard = Heard;
        let mut context = Context {
            device: device::open(DeviceChoice::Cpu).unwrap(),
            threads: self.threads,
            seed: self.seed,
            stop,
            observer: &mut heard,
            checkpoints: kept,
        };
        let context = &mut context;
        pool.install(move || trainer.fit(data, context))
    }

    pub(crate) fn run(&self, data: &Channels) -> Result<Fitted, Error> {
        self.run_with(data, &|| false, &mut Kept::default())
    }

    pub(crate) fn fitted(&self, data: &Channels) -> Fitted {
        self.run(data).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A training that goes on from an earlier model.
    pub(crate) fn fitted_from(&self, earlier: &Earlier, data: &Channels) -> Fitted {
        self.run_from(Some(earlier), data, &|| false, &mut Kept::default()).unwrap()
    }

    pub(crate) fn open(&self, fitted: &Fitted) -> Box<dyn Predictor> {
        let definition = Table::builtin().get(self.algorithm).unwrap();
        definition.open(&fitted.signature, &fitted.files).unwrap()
    }

    /// Trains in pieces, stopping after so many questions each, and gives what came of it and how
    /// often it was stopped.
    pub(crate) fn in_pieces(&self, data: &Channels, pieces: &[usize]) -> (Fitted, usize) {
        let mut kept = Kept::default();
        let mut stops = 0;
        loop {
            let asked = AtomicUsize::new(0);
            let most = pieces[stops % pieces.len()];
            let stop = || asked.fetch_add(1, Ordering::Relaxed) >= most;
            match self.run_with(data, &stop, &mut kept) {
                Ok(fitted) => return (fitted, stops),
                Err(Error::Stopped) => stops += 1,
                Err(error) => panic!("{error}"),
            }
            assert!(kept.state.is_some(), "what was learned is handed over");
            kept.resume = true;
        }
    }

    /// Damages each file of the checkpoint that a stop left, in three ways: an error each.
    pub(crate) fn refuses_damaged_checkpoints(&self, data: &Channels) {
        let mut kept = Kept::default();
        let asked = AtomicUsize::new(0);
        let stop = || asked.fetch_add(1, Ordering::Relaxed) >= 1;
        assert!(matches!(self.run_with(data, &stop, &mut kept), Err(Error::Stopped)));
        let state = kept.state.unwrap();
        for (name, bytes) in &state {
            for damage in 0..3 {
                let mut files = state.clone();
                match damage {
                    0 => files.remove(name).map(|_| ()).unwrap(),
                    1 => files.get_mut(name).unwrap().truncate(bytes.len() / 2),
                    _ => files.get_mut(name).unwrap()[8] ^= 0xff,
                }
                let mut kept = Kept { state: Some(files), resume: true };
                let answer = self.run_with(data, &|| false, &mut kept);
                assert!(answer.is_err(), "{name} with damage {damage}");
            }
        }
    }

    /// Files that are missing, cut short or of another shape are refused, and never a panic.
    pub(crate) fn refuses_damaged_models(&self, fitted: &Fitted) {
        let definition = Table::builtin().get(self.algorithm).unwrap();
        assert!(definition.open(&fitted.signature, &BTreeMap::new()).is_err());
        let mut wider = fitted.signature.clone();
        wider.features += 1;
        assert!(definition.open(&wider, &fitted.files).is_err());
        for (name, bytes) in &fitted.files {
            for length in (0..bytes.len()).step_by(1 + bytes.len() / 200) {
                let mut files = fitted.files.clone();
                files.get_mut(name).unwrap().truncate(length);
                assert!(definition.open(&fitted.signature, &files).is_err(), "{name} {length}");
            }
            for at in 0..bytes.len().min(600) {
                let mut files = fitted.files.clone();
                files.get_mut(name).unwrap()[at] ^= 0x15;
                if let Ok(model) = definition.open(&fitted.signature, &files) {
                    let rows = Array2::zeros((2, fitted.signature.features));
                    let _ = model.predict(rows.view());
                }
            }
        }
    }
}

fn rayon_pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

pub(crate) fn metric(fitted: &Fitted, name: &str) -> f64 {
    let found = fitted.metrics.iter().find(|metric| metric.name == name);
    found.unwrap_or_else(|| panic!("{name} is not in {:?}", fitted.metrics)).value
}

/// The numbers of the field called `name`, row after row.
pub(crate) fn field<'a>(answer: &'a Answer, name: &str) -> &'a [f32] {
    let field = answer.fields.iter().find(|field| field.name == name);
    match &field.unwrap_or_else(|| panic!("no {name} in {answer:?}")).values {
        Values::Number(values) | Values::Vector { values, .. } => values,
        _ => panic!("{name} holds numbers"),
    }
}

/// The features of a CSV file without header whose first column is the label.
pub(crate) fn features_of(text: &str) -> Array2<f32> {
    let mut values = Vec::new();
    let mut rows = 0;
    for line in text.lines() {
        values.extend(line.split(',').skip(1).map(|cell| cell.parse::<f32>().unwrap_or(f32::NAN)));
        rows += 1;
    }
    Array2::from_shape_vec((rows, values.len() / rows), values).unwrap()
}
