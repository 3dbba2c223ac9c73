//! Columns on one scale, and something in the place of missing values.
//!
//! A cut falls on a column in proportion to its range, so a column of cents would outweigh one of
//! euros a hundred times. Divided by its fences a column counts by how far its values lie from
//! each other beside how far its middle half does: what is far out in any unit is far out.

use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::algorithm::Error;

/// No scaled value is further from 0, so that sums over all columns stay finite.
pub(super) const LIMIT: f32 = 1e30;
/// Widths of the interquartile range between Tukey's fences: quartiles ± 1.5.
const FENCES: f64 = 4.0;

/// What each column is multiplied by, and what stands for a missing value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    factor: Vec<f32>,
    fill: Vec<f32>,
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
        Scale { factor, fill }
    }

    /// From stored numbers.
    ///
    /// # Errors
    /// `Error::Corrupt` when a factor is not above 0 or a number is not finite.
    pub(super) fn from_parts(factor: Vec<f32>, fill: Vec<f32>) -> Result<Scale, Error> {
        let sound = factor.iter().all(|factor| factor.is_finite() && *factor > 0.0)
            && fill.iter().all(|fill| fill.is_finite());
        match sound && factor.len() == fill.len() {
            true => Ok(Scale { factor, fill }),
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

    /// Scales a row, or a shingle of rows, from `raw` into `scaled`; both have the same length.
    pub(super) fn apply(&self, raw: &[f32], scaled: &mut [f32]) {
        let width = self.width();
        for (raw, scaled) in raw.chunks_exact(width).zip(scaled.chunks_exact_mut(width)) {
            let columns = self.factor.iter().zip(&self.fill);
            for ((raw, scaled), (factor, fill)) in raw.iter().zip(scaled).zip(columns) {
                let known = if raw.is_nan() { *fill } else { *raw };
                *scaled = (known * factor).clamp(-LIMIT, LIMIT);
            }
        }
    }
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
        let as_is = Scale::learn(&rows.view(), false);
        as_is.apply(&[f32::MAX, f32::NAN], &mut scaled[..2]);
        assert_eq!(scaled[..2], [LIMIT, 0.0]);
    }
}
