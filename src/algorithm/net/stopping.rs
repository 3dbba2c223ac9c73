//! When to end a training that no longer gets better.

/// Watches one loss per epoch: ends after `patience` epochs in a row that did not lower the best
/// one by more than the share `tolerance`. linear-learner's `early_stopping_patience` and
/// `early_stopping_tolerance`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EarlyStopping {
    patience: usize,
    tolerance: f64,
    /// The lowest loss seen, and what a checkpoint must carry of it.
    pub best: f64,
    /// Epochs in a row without an improvement worth the name.
    pub waited: usize,
}

/// What an epoch's loss means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// It is the lowest so far: these weights are the ones to keep.
    pub best: bool,
    /// Patience has run out.
    pub stop: bool,
}

impl EarlyStopping {
    /// A watch that has seen nothing; patience 0 never ends a training.
    pub fn new(patience: usize, tolerance: f64) -> EarlyStopping {
        EarlyStopping { patience, tolerance, best: f64::INFINITY, waited: 0 }
    }

    /// Hears the loss of an epoch.
    pub fn hear(&mut self, loss: f64) -> Verdict {
        let worth = loss < self.best - self.tolerance * self.best.abs().min(f64::MAX);
        let best = loss < self.best;
        self.waited = if worth { 0 } else { self.waited + 1 };
        if best {
            self.best = loss;
        }
        Verdict { best, stop: self.patience > 0 && self.waited >= self.patience }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_runs_out_after_epochs_without_an_improvement() {
        let mut watch = EarlyStopping::new(2, 0.1);
        assert_eq!(watch.hear(1.0), Verdict { best: true, stop: false });
        assert_eq!(watch.hear(0.95), Verdict { best: true, stop: false });
        assert_eq!(watch.hear(0.94), Verdict { best: true, stop: true });
        assert_eq!(watch.hear(0.1), Verdict { best: true, stop: false });
        assert_eq!(watch.hear(f64::NAN), Verdict { best: false, stop: false });
    }

    #[test]
    fn no_patience_means_no_end() {
        let mut watch = EarlyStopping::new(0, 0.0);
        assert!((0..50).all(|_| !watch.hear(1.0).stop));
    }
}
