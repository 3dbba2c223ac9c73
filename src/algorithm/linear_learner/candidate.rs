//! Which models are trained in the same pass.
//!
//! The first has the values the user gave; the others have values near them, as SageMaker's
//! linear learner does: what the user left to `auto` is varied over a wide range, what the user
//! gave over a narrow one.

use super::settings::{Optimizer, Settings};

/// One model's learning rate and penalties.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    /// Learning rate before any schedule.
    pub(super) learning_rate: f64,
    /// L2.
    pub(super) wd: f64,
    /// L1.
    pub(super) l1: f64,
}

/// The models to train; never empty. `entries` is the number of weights or margins of one model,
/// which keeps `auto` from training many large models.
pub(super) fn candidates(settings: &Settings, entries: usize) -> Vec<Candidate> {
    let grid = grid(settings);
    let room = (ENTRIES_MAX / entries.max(1)).max(1);
    let count = settings.models.unwrap_or(grid.len().min(room));
    // More than the grid has: the grid again, each time with smaller learning rates.
    let one = |at: usize| {
        let rounds = (at / grid.len()) as i32;
        let near = grid[at % grid.len()];
        Candidate { learning_rate: near.learning_rate * 0.7_f64.powi(rounds), ..near }
    };
    (0..count).map(one).collect()
}

/// Weights or margins of all models together beyond which `auto` trains fewer models.
const ENTRIES_MAX: usize = 1 << 22;

/// Every combination, the first being what the user asked for. The learning rate varies fastest:
/// it is what a small number of models should try first.
fn grid(settings: &Settings) -> Vec<Candidate> {
    let auto_rates: &[f64] = match settings.optimizer {
        Optimizer::Adam { .. } => &[0.03, 0.1, 0.01],
        Optimizer::Sgd { .. } => &[0.03, 0.1, 0.01],
        Optimizer::RmsProp { .. } => &[0.01, 0.03, 0.003],
    };
    let rates: Vec<f64> = match settings.learning_rate {
        None => auto_rates.to_vec(),
        Some(rate) => vec![rate, rate * 3.0, rate / 3.0],
    };
    let decays: Vec<f64> = match settings.wd {
        None => vec![0.0, 1e-4, 1e-3, 1e-2],
        Some(0.0) => vec![0.0],
        Some(wd) => vec![wd, wd * 3.0, wd / 3.0],
    };
    let lassos: Vec<f64> = match settings.l1 {
        None | Some(0.0) => vec![0.0],
        Some(l1) => vec![l1, l1 * 3.0, l1 / 3.0],
    };
    let mut grid = Vec::with_capacity(rates.len() * decays.len() * lassos.len());
    for wd in &decays {
        for l1 in &lassos {
            for learning_rate in &rates {
                grid.push(Candidate { learning_rate: *learning_rate, wd: *wd, l1: *l1 });
            }
        }
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::parameter::{Raw, RawValue};
    use crate::spec::problem::Problems;

    fn of(pairs: &[(&str, f64)], entries: usize) -> Vec<Candidate> {
        let value = RawValue::Text("regressor".into());
        let mut raw = std::collections::BTreeMap::from([(
            "predictor_type".into(),
            Raw { value, line: None },
        )]);
        for (name, value) in pairs {
            raw.insert((*name).to_owned(), Raw { value: RawValue::Float(*value), line: None });
        }
        let (settings, _) = Settings::read(&raw, &mut Problems::default()).unwrap();
        candidates(&settings, entries)
    }

    #[test]
    fn the_first_model_has_what_the_user_gave() {
        let given = [("learning_rate", 0.2), ("wd", 0.01), ("l1", 0.001)];
        let found = of(&given, 1);
        assert_eq!(found[0], Candidate { learning_rate: 0.2, wd: 0.01, l1: 0.001 });
        assert_eq!(found.len(), 27);
        let found = of(&[("learning_rate", 0.2), ("wd", 0.0), ("num_models", 1.0)], 1);
        assert_eq!(found, [Candidate { learning_rate: 0.2, wd: 0.0, l1: 0.0 }]);
    }

    #[test]
    fn models_beyond_the_grid_differ_from_those_in_it() {
        let found = of(&[("num_models", 100.0)], 1);
        assert_eq!(found.len(), 100);
        for (at, one) in found.iter().enumerate() {
            assert!(found[..at].iter().all(|other| other != one), "{at}");
        }
    }

    #[test]
    fn large_models_are_trained_in_smaller_number() {
        assert_eq!(of(&[], 1).len(), 12);
        assert_eq!(of(&[], 1 << 20).len(), 4);
        assert_eq!(of(&[], usize::MAX).len(), 1);
    }
}
