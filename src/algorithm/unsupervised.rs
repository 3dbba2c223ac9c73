//! What algorithms without labels ask of their channels: a width, weights, column means.
//!
//! A label column that the data have is passed over; it is not an error, since the same files
//! often serve a classifier too.

use ndarray::Axis;
use rayon::prelude::*;

use super::net::simd;
use super::standardise::refuse_infinite_in;
use super::{Channels, Error, Features};
use crate::data::{Dataset, Signature, Task};

/// Rows summed as one block. Fixed, so that the sums do not depend on the number of threads.
const BLOCK_ROWS: usize = 4096;

/// The channels there are, by name.
pub fn named(data: &Channels) -> impl Iterator<Item = (&'static str, &Dataset)> {
    let all = [
        ("train", Some(&data.train)),
        ("validation", data.validation.as_ref()),
        ("test", data.test.as_ref()),
    ];
    all.into_iter().filter_map(|(name, data)| Some((name, data?)))
}

/// Features per row, the same in every channel.
///
/// # Errors
/// `Error::Data` when there are no rows or no features, or a channel has other than `feature_dim`
/// or than the train channel.
pub fn width(data: &Channels, feature_dim: Option<usize>) -> Result<usize, Error> {
    let width = data.train.width();
    let bad = |what: String, help: String| Err(Error::Data { what, help });
    if data.train.rows() == 0 {
        return bad("channel train has no rows".into(), "put rows into it".into());
    }
    if width == 0 {
        return bad(
            "channel train has a label and no features".into(),
            "write content_type = \"text/csv;label_size=0\" when the first column is a feature"
                .into(),
        );
    }
    if let Some(wanted) = feature_dim.filter(|wanted| *wanted != width) {
        let mut help = format!("set feature_dim = {width} or leave it out");
        if wanted == width + 1 && data.train.label.is_some() {
            help = "the first column was read as a label: write content_type = \"text/csv;label_size=0\" for data without one".into();
        }
        return bad(
            format!("channel train has {width} features and feature_dim is {wanted}"),
            help,
        );
    }
    for (name, other) in named(data) {
        if other.width() != width {
            let what = format!(
                "channel {name} has {} features and channel train has {width}",
                other.width()
            );
            return bad(what, "give every channel the same columns in the same order".into());
        }
    }
    Ok(width)
}

/// The weight of each row, when the channel has weights: finite, not negative, some above 0.
///
/// # Errors
/// `Error::Data` naming the first row that is wrong.
pub fn weights<'a>(data: &'a Dataset, channel: &str) -> Result<Option<&'a [f32]>, Error> {
    super::xgboost::labels::weights(data, channel)
}

/// The mean of each column over the rows, in f64; missing values are left out, and a column
/// without a value has mean 0.
///
/// # Errors
/// `Error::Data` naming channel, row and column of an infinite value, and `Error::Scratch`.
pub fn means(data: &Dataset, weights: Option<&[f32]>, channel: &str) -> Result<Vec<f64>, Error> {
    let features = Features::of(data);
    let width = features.width();
    let mut total = vec![[0.0; 2]; width];
    features.each_block(|first, rows| {
        let blocks = rows.axis_chunks_iter(Axis(0), BLOCK_ROWS).into_par_iter().enumerate();
        let sums: Vec<Vec<[f64; 2]>> = blocks
            .map(|(block, rows)| {
                let mut sums = vec![[0.0; 2]; width];
                simd::run(|| {
                    for (at, row) in rows.rows().into_iter().enumerate() {
                        let at = first + block * BLOCK_ROWS + at;
                        let weight = weights.map_or(1.0, |all| f64::from(all[at]));
                        for (value, sum) in row.iter().zip(&mut sums) {
                            let there = if value.is_nan() { 0.0 } else { weight };
                            let value = if value.is_nan() { 0.0 } else { f64::from(*value) };
                            sum[0] += there * value;
                            sum[1] += there;
                        }
                    }
                });
                sums
            })
            .collect();
        for block in &sums {
            for (total, sum) in total.iter_mut().zip(block) {
                total[0] += sum[0];
                total[1] += sum[1];
            }
        }
        Ok(())
    })?;
    // A sum of finite f32 values is finite in f64, and an infinite value never leaves the sum.
    if total.iter().any(|[sum, _]| !sum.is_finite()) {
        refuse_infinite_in(features, channel)?;
    }
    Ok(total.iter().map(|[sum, count]| if *count > 0.0 { sum / count } else { 0.0 }).collect())
}

/// The signature of a model of the train channel's columns.
pub fn signature(train: &Dataset, task: Task) -> Signature {
    Signature { columns: train.columns.to_vec(), ..Signature::of(train.width(), task) }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn means_leave_missing_values_out_and_heed_weights() {
        let data = Dataset::of(array![[1.0_f32, f32::NAN], [3.0, f32::NAN], [f32::NAN, f32::NAN]]);
        assert_eq!(means(&data, None, "train").unwrap(), [2.0, 0.0]);
        assert_eq!(means(&data, Some(&[3.0, 1.0, 1.0]), "train").unwrap(), [1.5, 0.0]);
    }

    #[test]
    fn an_infinite_value_is_named_even_beside_its_opposite() {
        let data = Dataset::of(array![[f32::INFINITY], [f32::NEG_INFINITY]]);
        let error = means(&data, None, "train").unwrap_err().to_string();
        assert_eq!(error, "row 1 of channel train has an infinite value in feature 1");
    }
}
