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

/// The models to train; never empty. `entries` is the number of weights of one model, which keeps
/// `auto` from training many large models.
pub(super) fn candidates(settings: &Settings, entries: usize) -> Vec<Candidate> {
    let grid = grid(settings);
    let room = (ENTRIES_MAX / entries.max(1)).max(1);
    let count = settings.models.unwrap_or(AUTO_MODELS.min(room));
    grid.into_iter().cycle_near(count)
}

/// Models of `num_models = "auto"`.
const AUTO_MODELS: usize = 12;
/// Weights of all models together beyond which `auto` trains fewer models.
const ENTRIES_MAX: usize = 1 << 22;

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

trait CycleNear {
    fn cycle_near(self, count: usize) -> Vec<Candidate>;
}

impl<I: Iterator<Item = Candidate> + Clone> CycleNear for I {
    /// The first `count`; beyond the grid, the grid again with ever smaller learning rates.
    fn cycle_near(self, count: usize) -> Vec<Candidate> {
        let grid: Vec<Candidate> = self.collect();
        let shrink = |at: usize| 0.7_f64.powi((at / grid.len()) as i32);
        let one = |at: usize| {
            let near = grid[at % grid.len()];
            Candidate { learning_rate: near.learning_rate * shrink(at), ..near }
        };
        (0..count).map(one).collect()
    }
}
