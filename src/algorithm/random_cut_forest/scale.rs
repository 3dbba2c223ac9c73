//! Columns on one scale, and something in the place of missing values.
//!
//! A cut falls on a column in proportion to its range, so a column of cents would outweigh one of
//! euros a hundred times. Divided by its fences a column counts by how far its values lie from
//! each other beside how far its middle half does: what is far out in any unit is far out. Yet a
//! column with a long tail would then take nearly every cut. So numbers are squashed: as they are
//! near the median, and by their logarithm far from it (the inverse hyperbolic sine; Burbidge,
//! Magee, Robb, "Alternative Transformations to Handle Extreme Values", JASA 1988). Order is kept,
//! and with it which rows a cut can part.

use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::algorithm::Error;

/// No scaled value is further from 0, so that sums over all columns stay finite.
pub(super) const LIMIT: f32 = 1e30;
/// Widths of the interquartile range between Tukey's fences: quartiles ± 1.5.
const FENCES: f64 = 4.0;
/// Where squashing begins: at a quarter of the fences from the median, so outside of the middle half
/// of most columns.
const SQUASH: f32 = 4.0;

/// What each column is multiplied by, what stands for a missing value, and whether numbers are
/// squashed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    factor: Vec<f32>,
    fill: Vec<f32>,
    squashed: bool,
}

impl Scale {
    /// From rows drawn from the training data. A missing value counts as the column's median,
    /// which makes no row stranger; a column without any value as 0.
    pub(super) fn learn(rows: &ArrayView2<'_, f32>, normalize: bool) -> Scale {
        let learned: Vec<(f32, f32)> = (0..rows.ncols())
            .into_par_iter()
            .map(|column| {
                let known = rows.column(column).into_iter().copied().filter(|v| !v.is_nan());
                let mut sorted: Vec<f32> = known.collect();
                sorted.sort_unstable_by(f32::total_cmp);
                of_column(&sorted, normalize)
            })
            .collect();
        let (factor, fill) = learned.into_iter().unzip();
        Scale { factor, fill, squashed: normalize }
    }

    /// From stored numbers.
    ///
    /// # Errors
    /// `Error::Corrupt` when a factor is not above 0 or a number is not finite.
    pub(super) fn from_parts(
        factor: Vec<f32>,
        fill: Vec<f32>,
        squashed: bool,
    ) -> Result<Scale, Error> {
        let sound = factor.iter().all(|factor| factor.is_finite() && *factor > 0.0)
            && fill.iter().all(|fill| fill.is_finite());
        match sound && factor.len() == fill.len() {
            true => Ok(Scale { factor, fill, squashed }),
            false => Err(Error::Corrupt("the stored scale is not one of positive numbers".into())),
        }
    }

    /// Columns of a row, the shingle aside.
    pub(super) fn width(&self) -> usize {
        self.factor.len()
    }

    /// What each column is multiplied by.
    pub(super) fn factor(&self) -> &[f32] {
        &self.factor
    }

    /// What stands for a missing value, before scaling.
    pub(super) fn fill(&self) -> &[f32] {
        &self.fill
    }

    /// Whether numbers are squashed.
    pub(super) fn squashed(&self) -> bool {
        self.squashed
    }

    /// Scales a row, or a shingle of rows, from `raw` into `scaled`; both have the same length.
    pub(super) fn apply(&self, raw: &[f32], scaled: &mut [f32]) {
        let width = self.width();
        for (raw, scaled) in raw.chunks_exact(width).zip(scaled.chunks_exact_mut(width)) {
            let columns = self.factor.iter().zip(&self.fill);
            for ((raw, scaled), (factor, fill)) in raw.iter().zip(scaled).zip(columns) {
                let known = if raw.is_nan() { *fill } else { *raw };
                *scaled = match self.squashed {
                    true => squash((known - fill) * factor),
                    false => (known * factor).clamp(-LIMIT, LIMIT),
                };
            }
        }
    }
}

/// `value` in widths of the fences from the median, squashed. What overflowed counts as the furthest
/// there is.
fn squash(value: f32) -> f32 {
    (SQUASH * value.clamp(-LIMIT, LIMIT)).asinh() / SQUASH
}

/// Factor and fill from a column's known values in order.
fn of_column(sorted: &[f32], normalize: bool) -> (f32, f32) {
    let (Some(low), Some(high)) = (sorted.first(), sorted.last()) else { return (1.0, 0.0) };
    let at = |share: f64| f64::from(sorted[((sorted.len() - 1) as f64 * share).round() as usize]);
    let fill = at(0.5);
    if !normalize {
        return (1.0, fill as f32);
    }
    let range = f64::from(*high) - f64::from(*low);
    let fences = FENCES * (at(0.75) - at(0.25));
    let width = match (range > 0.0, fences > 0.0) {
        (true, true) => range.min(fences),
        (true, false) => range,
        // A constant column: another value is as strange as it is relatively far away.
        (false, _) if fill != 0.0 => fill.abs(),
        (false, _) => 1.0,
    };
    let factor = (1.0 / width).clamp(f64::from(f32::MIN_POSITIVE), f64::from(LIMIT));
    (factor as f32, fill as f32)
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    #[test]
    fn a_column_is_divided_by_its_fences_or_its_range() {
        let column = |values: &[f32]| {
            let mut values = values.to_vec();
            values.sort_unstable_by(f32::total_cmp);
            of_column(&values, true)
        };
        // Quartiles 2 and 4: fences 8 apart, more than the range.
        assert_eq!(column(&[1.0, 2.0, 3.0, 4.0, 5.0]), (0.25, 3.0));
        assert_eq!(column(&[1.0, 2.0, 3.0, 4.0, 500.0]), (0.125, 3.0));
        // Rarely anything but 0: no middle half.
        assert_eq!(column(&[0.0, 0.0, 0.0, 0.0, 4.0]), (0.25, 0.0));
        assert_eq!(column(&[50.0; 4]), (0.02, 50.0));
        assert_eq!(column(&[0.0; 4]), (1.0, 0.0));
        assert_eq!(column(&[]), (1.0, 0.0));
        assert_eq!(of_column(&[1.0, 2.0, 300.0], false), (1.0, 2.0));
    }

    #[test]
    fn missing_values_count_as_the_median_and_nothing_is_infinite() {
        let rows = arr2(&[[1.0, f32::MAX], [f32::NAN, -f32::MAX], [3.0, 0.0], [2.0, f32::NAN]]);
        let scale = Scale::learn(&rows.view(), true);
        assert_eq!(scale.fill(), [2.0, 0.0]);
        let mut scaled = [0.0; 4];
        scale.apply(&[f32::NAN, f32::MAX, f32::MAX, -f32::MAX], &mut scaled);
        assert!(scaled.iter().all(|value| value.is_finite()), "{scaled:?}");
        // A missing value lies where the median does.
        assert_eq!(scaled[0], 0.0);
        let as_is = Scale::learn(&rows.view(), false);
        as_is.apply(&[f32::MAX, f32::NAN], &mut scaled[..2]);
        assert_eq!(scaled[..2], [LIMIT, 0.0]);
    }

    #[test]
    fn squashing_keeps_order_and_brings_long_tails_nearer() {
        let steps: Vec<f32> = (0..2_000).map(|at| 1.03f32.powi(at - 1_000)).collect();
        let squashed: Vec<f32> = steps.iter().map(|value| squash(*value)).collect();
        assert!(squashed.is_sorted());
        assert!(steps.iter().zip(&squashed).all(|(value, near)| squash(-value) == -near));
        // As it is near the median, logarithmic in the tail.
        assert!((squash(0.01) / 0.01 - 1.0).abs() < 1e-3);
        let tenfold = squash(1e6) - squash(1e5);
        assert!((tenfold - 10f32.ln() / SQUASH).abs() < 1e-4, "{tenfold}");
    }
}
