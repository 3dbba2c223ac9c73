//! What a training makes small, and its slope at the network's outputs.

use super::host::Targets;

/// A loss per row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// Cross-entropy of the softmax of the outputs; with two classes this is the logistic loss.
    Softmax,
    /// `(y - t)² / 2`
    Squared,
    /// `|y - t|`
    Absolute,
    /// `(y - t)² / 2` near 0, a line further away than this.
    Huber(f32),
}

impl Loss {
    /// Turns the outputs of some rows (row-major, `width` each) into slopes in place, each row's
    /// multiplied by `share` of its weight, and gives the weighted sum of the losses.
    #[inline(always)]
    pub fn slopes(
        self,
        outputs: &mut [f32],
        width: usize,
        rows: &[u32],
        targets: &Targets,
        weight: Option<&[f32]>,
        share: f32,
    ) -> f64 {
        let mut sum = 0.0;
        for (out, row) in outputs.chunks_exact_mut(width).zip(rows) {
            let row = *row as usize;
            let weight = weight.map_or(1.0, |weight| weight[row]);
            sum += f64::from(weight) * f64::from(self.slope_of(out, row, targets));
            out.iter_mut().for_each(|slope| *slope *= weight * share);
        }
        sum
    }

    #[inline(always)]
    fn slope_of(self, out: &mut [f32], row: usize, targets: &Targets) -> f32 {
        match (self, targets) {
            (_, Targets::Class(codes)) => {
                let code = codes[row] as usize;
                let own = out[code];
                let (highest, sum) = softmax(out);
                out[code] -= 1.0;
                sum.ln() + (highest - own)
            }
            (loss, Targets::Number(values)) => {
                let error = out[0] - values[row];
                let (value, slope) = loss.of_error(error);
                out[0] = slope;
                value
            }
        }
    }

    /// Loss and slope of a regression's error.
    pub fn of_error(self, error: f32) -> (f32, f32) {
        match self {
            Loss::Absolute => (error.abs(), error.signum() * f32::from(error != 0.0)),
            Loss::Huber(delta) if error.abs() > delta => {
                (delta * (error.abs() - 0.5 * delta), delta * error.signum())
            }
            _ => (0.5 * error * error, error),
        }
    }
}

/// Turns outputs into probabilities, in place. Gives the highest output and the sum of
/// `e^(output - highest)`, which the cross-entropy needs.
#[inline(always)]
pub fn softmax(values: &mut [f32]) -> (f32, f32) {
    let highest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for value in values.iter_mut() {
        *value = (*value - highest).exp();
        sum += *value;
    }
    let share = 1.0 / sum;
    values.iter_mut().for_each(|value| *value *= share);
    (highest, sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cross_entropy_has_its_known_value_and_slope() {
        let mut out = [1.0f32, 2.0, 3.0];
        let targets = Targets::Class(vec![2]);
        let loss = Loss::Softmax.slopes(&mut out, 3, &[0], &targets, None, 1.0);
        // scipy.special: -log_softmax([1, 2, 3])[2] and softmax([1, 2, 3]) - [0, 0, 1]
        assert!((loss - 0.407_605_96).abs() < 1e-6);
        let slopes = [0.090_030_57, 0.244_728_47, -0.334_759_04];
        assert!(out.iter().zip(slopes).all(|(a, b)| (a - b).abs() < 1e-6), "{out:?}");
    }

    #[test]
    fn far_outputs_give_a_finite_loss() {
        let mut out = [1000.0f32, -1000.0];
        let loss = Loss::Softmax.slopes(&mut out, 2, &[0], &Targets::Class(vec![1]), None, 1.0);
        assert_eq!(loss, 2000.0);
    }

    #[test]
    fn a_weight_multiplies_loss_and_slope() {
        let mut out = [3.0f32];
        let targets = Targets::Number(vec![1.0]);
        let loss = Loss::Squared.slopes(&mut out, 1, &[0], &targets, Some(&[2.0]), 0.5);
        assert_eq!((loss, out[0]), (4.0, 2.0));
        assert_eq!(Loss::Huber(1.0).of_error(3.0), (2.5, 1.0));
        assert_eq!(Loss::Absolute.of_error(0.0), (0.0, 0.0));
    }
}
