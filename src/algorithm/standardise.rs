//! Columns brought to mean 0 and deviation 1, and missing values filled with the mean.
//!
//! Learned from the training rows and kept inside the artifact, so that serving cannot disagree
//! with training. It does not scale labels and does not encode categories.

use ndarray::{Array2, Axis};
use rayon::prelude::*;

use super::{Error, Features};

/// `(value - mean) * scale` per column; a missing value (NaN) becomes 0, which is the mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Standardiser {
    mean: Vec<f32>,
    scale: Vec<f32>,
}

/// What is taken away and what is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// Take the mean away.
    pub centre: bool,
    /// Divide by the standard deviation.
    pub scale: bool,
}

/// No standardised value is further from 0: 10¹⁵ deviations.
pub const LIMIT: f32 = 1e15;
/// Rows worked on as one block.
const BLOCK_ROWS: usize = 4096;

impl Standardiser {
    /// Learns mean and deviation (of the population, as scikit-learn's `StandardScaler`) of each
    /// column from all rows, in f64. Missing values are left out; a column without variation, or
    /// without values, gets scale 0 and so plays no part.
    ///
    /// # Errors
    /// `Error::Data` naming channel, row and column of an infinite value.
    pub fn learn(features: &Array2<f32>, channel: &str) -> Result<Standardiser, Error> {
        Standardiser::learn_from(Features::Whole(features), channel)
    }

    /// The same from rows wherever they are, and to the same bits.
    ///
    /// # Errors
    /// As [`learn`](Self::learn), and [`Error::Scratch`].
    pub fn learn_from(features: Features<'_>, channel: &str) -> Result<Standardiser, Error> {
        refuse_infinite_in(features, channel)?;
        let width = features.width();
        let sums = fold_blocks(features, width, |row, sums: &mut [(f64, f64)]| {
            for (value, (sum, count)) in row.iter().zip(sums) {
                if !value.is_nan() {
                    *sum += f64::from(*value);
                    *count += 1.0;
                }
            }
        })?;
        let mean: Vec<f64> =
            sums.iter().map(|(sum, n)| if *n > 0.0 { sum / n } else { 0.0 }).collect();
        // A second pass over deviations: sums of squares alone lose all digits where the mean is
        // large beside the deviation (time stamps).
        let squares = fold_blocks(features, width, |row, sums: &mut [(f64, f64)]| {
            for ((value, mean), (square, count)) in row.iter().zip(&mean).zip(sums) {
                if !value.is_nan() {
                    let away = f64::from(*value) - mean;
                    *square += away * away;
                    *count += 1.0;
                }
            }
        })?;
        let scale = squares.iter().zip(&mean).map(|((square, count), mean)| {
            let deviation = (square / count.max(1.0)).sqrt();
            // Below this the column is constant up to rounding of f32.
            let noise = mean.abs() * 1e-7;
            let scale = if deviation > noise { (1.0 / deviation) as f32 } else { 0.0 };
            if scale.is_finite() { scale } else { 0.0 }
        });
        let scale = scale.collect();
        Ok(Standardiser { mean: mean.iter().map(|mean| *mean as f32).collect(), scale })
    }

    /// Leaves `width` columns as they are; missing values become 0.
    pub fn identity(width: usize) -> Standardiser {
        Standardiser { mean: vec![0.0; width], scale: vec![1.0; width] }
    }

    /// This standardiser with some of its parts left out. Without centring, a missing value
    /// still becomes 0. A constant column stays without part in every case but the identity.
    pub fn keeping(self, parts: Parts) -> Standardiser {
        let mean = if parts.centre { self.mean } else { vec![0.0; self.mean.len()] };
        let unit = |scale: f32| if scale == 0.0 { 0.0 } else { 1.0 };
        let scale = match parts {
            Parts { scale: true, .. } => self.scale,
            Parts { centre: true, scale: false } => self.scale.into_iter().map(unit).collect(),
            Parts { centre: false, scale: false } => vec![1.0; mean.len()],
        };
        Standardiser { mean, scale }
    }

    /// From stored numbers.
    ///
    /// # Errors
    /// `Error::Corrupt` when lengths differ or a number is not finite.
    pub fn from_parts(mean: Vec<f32>, scale: Vec<f32>) -> Result<Standardiser, Error> {
        let finite = mean.iter().chain(&scale).all(|number| number.is_finite());
        if mean.len() != scale.len() || !finite {
            return Err(Error::Corrupt(
                "the stored standardisation is not one finite mean and scale per column".into(),
            ));
        }
        Ok(Standardiser { mean, scale })
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// What is taken away from each column.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// What each centred column is multiplied by: one over the deviation, or 0.
    pub fn scale(&self) -> &[f32] {
        &self.scale
    }

    /// One value of a column with this mean and scale. The only place the formula stands, so that
    /// a row, a batch and the training see the same bits. Whatever the value, the result is
    /// finite and at most [`LIMIT`], so that weighted sums of a row do not overflow.
    #[inline(always)]
    pub fn value(value: f32, mean: f32, scale: f32) -> f32 {
        // A missing value, and an infinite one of a column without part, are NaN here.
        let scaled = ((value - mean) * scale).clamp(-LIMIT, LIMIT);
        if scaled.is_nan() { 0.0 } else { scaled }
    }

    /// Standardises one row of [`Self::width`] values into `out`, of the same length.
    pub fn row(&self, row: &[f32], out: &mut [f32]) {
        for (((out, value), mean), scale) in
            out.iter_mut().zip(row).zip(&self.mean).zip(&self.scale)
        {
            *out = Self::value(*value, *mean, *scale);
        }
    }

    /// Standardises all rows in place, on all threads of the current pool.
    pub fn in_place(&self, features: &mut Array2<f32>) {
        features.axis_chunks_iter_mut(Axis(0), BLOCK_ROWS).into_par_iter().for_each(|mut block| {
            for mut row in block.rows_mut() {
                for ((value, mean), scale) in row.iter_mut().zip(&self.mean).zip(&self.scale) {
                    *value = Self::value(*value, *mean, *scale);
                }
            }
        });
    }

    /// All rows standardised, row-major.
    pub fn all(&self, features: &Array2<f32>) -> Array2<f32> {
        let mut out = features.as_standard_layout().into_owned();
        self.in_place(&mut out);
        out
    }
}

/// # Errors
/// `Error::Data` naming channel, row and column of the first infinite value.
pub fn refuse_infinite(features: &Array2<f32>, channel: &str) -> Result<(), Error> {
    refuse_infinite_in(Features::Whole(features), channel)
}

/// The same for rows wherever they are.
///
/// # Errors
/// As [`refuse_infinite`], and [`Error::Scratch`].
pub fn refuse_infinite_in(features: Features<'_>, channel: &str) -> Result<(), Error> {
    let found = features.fold(
        || None,
        |found: &mut Option<(usize, usize)>, row, values| {
            // Whether any is comes first: that is one pass without a branch for each value.
            if found.is_none() && values.iter().any(|value| value.is_infinite()) {
                let column = values.iter().position(|value| value.is_infinite());
                *found = column.map(|column| (row, column));
            }
        },
    )?;
    match found.into_iter().flatten().next() {
        None => Ok(()),
        Some((row, column)) => Err(Error::Data {
            what: format!(
                "row {} of channel {channel} has an infinite value in feature {}",
                row + 1,
                column + 1
            ),
            help: "write a finite number, or leave the cell empty for a missing value".into(),
        }),
    }
}

/// Sums over rows: each block on its own, then the blocks in order.
fn fold_blocks(
    features: Features<'_>,
    width: usize,
    add: impl Fn(ndarray::ArrayView1<'_, f32>, &mut [(f64, f64)]) + Sync,
) -> Result<Vec<(f64, f64)>, Error> {
    let blocks = features.fold(|| vec![(0.0, 0.0); width], |sums, _, row| add(row, sums))?;
    let mut total = vec![(0.0, 0.0); width];
    for block in &blocks {
        for (total, sum) in total.iter_mut().zip(block) {
            total.0 += sum.0;
            total.1 += sum.1;
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    const BOTH: Parts = Parts { centre: true, scale: true };

    #[test]
    fn columns_come_to_mean_0_and_deviation_1() {
        // Mean 2.5, population variance 1.25, as StandardScaler says.
        let features = array![[1.0_f32], [2.0], [3.0], [4.0]];
        let scaler = Standardiser::learn(&features, "train").unwrap();
        assert_eq!(scaler.mean(), [2.5]);
        assert!((scaler.scale()[0] - 1.0 / 1.25_f32.sqrt()).abs() < 1e-7);
        let out = scaler.all(&features);
        assert!((out.sum()).abs() < 1e-6);
    }

    #[test]
    fn missing_values_are_left_out_and_become_the_mean() {
        let features = array![[1.0_f32], [f32::NAN], [3.0]];
        let scaler = Standardiser::learn(&features, "train").unwrap();
        assert_eq!(scaler.mean(), [2.0]);
        assert_eq!(scaler.all(&features), array![[-1.0], [0.0], [1.0]]);
    }

    #[test]
    fn a_constant_column_plays_no_part() {
        let features = array![[7.1_f32, f32::NAN], [7.1, f32::NAN], [7.1, f32::NAN]];
        let scaler = Standardiser::learn(&features, "train").unwrap();
        assert_eq!(scaler.scale(), [0.0, 0.0]);
        assert_eq!(scaler.all(&array![[9.0_f32, 3.0]]), array![[0.0, 0.0]]);
    }

    #[test]
    fn large_means_do_not_swallow_the_deviation() {
        let features = array![[1.6e9_f32], [1.6e9 + 1024.0], [1.6e9 + 2048.0]];
        let scaler = Standardiser::learn(&features, "train").unwrap();
        let out = scaler.all(&features);
        assert!((out[[2, 0]] - 1.224_744_9).abs() < 1e-4, "{out}");
    }

    #[test]
    fn an_infinite_value_is_refused_by_place() {
        let features = array![[1.0_f32, 2.0], [1.0, f32::NEG_INFINITY]];
        let error = Standardiser::learn(&features, "train").unwrap_err();
        assert_eq!(error.to_string(), "row 2 of channel train has an infinite value in feature 2");
    }

    #[test]
    fn blocks_and_rows_give_the_same_bits() {
        let features = Array2::from_shape_fn((10_000, 3), |(row, column)| {
            ((row * 31 + column * 17) % 1009) as f32 * 0.37
        });
        let scaler = Standardiser::learn(&features, "train").unwrap();
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(one.install(|| Standardiser::learn(&features, "train").unwrap()), scaler);
        let all = scaler.all(&features);
        let mut out = [0.0; 3];
        for (row, expected) in features.rows().into_iter().zip(all.rows()) {
            scaler.row(row.as_slice().unwrap(), &mut out);
            assert_eq!(out.as_slice(), expected.as_slice().unwrap());
        }
    }

    #[test]
    fn parts_can_be_left_out() {
        let features = array![[1.0_f32], [3.0], [5.0]];
        let scaler = Standardiser::learn(&features, "train").unwrap();
        assert_eq!(scaler.clone().keeping(BOTH), scaler);
        let none = scaler.clone().keeping(Parts { centre: false, scale: false });
        assert_eq!(none, Standardiser::identity(1));
        let centred = scaler.keeping(Parts { centre: true, scale: false });
        assert_eq!(centred.all(&features), array![[-2.0], [0.0], [2.0]]);
    }

    #[test]
    fn stored_numbers_must_be_finite_pairs() {
        assert!(Standardiser::from_parts(vec![0.0], vec![1.0]).is_ok());
        assert!(Standardiser::from_parts(vec![0.0], vec![]).is_err());
        assert!(Standardiser::from_parts(vec![f32::NAN], vec![1.0]).is_err());
    }
}
