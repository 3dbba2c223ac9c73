//! Principal components from the rows: all at once from the scatter matrix, or the first few by
//! random directions (Halko, Martinsson, Tropp, SIAM Review 2011), which passes over the rows a
//! few times and never holds a matrix of columns × columns.

use ndarray::Array2;

use super::eigen::symmetric;
use super::scatter::Rows;
use crate::algorithm::Error;
use crate::algorithm::net::random::{Purpose, Stream};

/// The first components of some rows.
#[derive(Debug)]
pub(super) struct Components {
    /// components × columns, of length 1, most variance first. The largest coordinate of each (the
    /// first of equals) is positive, as in scikit-learn.
    pub(super) directions: Vec<f64>,
    /// The sum of squares along each: the square of SageMaker's and scikit-learn's singular value.
    pub(super) squares: Vec<f64>,
    /// The sum of squares of all rows.
    pub(super) total: f64,
}

/// Times the random directions are multiplied by the scatter matrix before they are measured. Each
/// makes what lies beyond the last direction smaller by the square of a ratio of singular values;
/// scikit-learn's default is as many.
const PASSES: usize = 5;

/// From the whole scatter matrix.
pub(super) fn regular(scatter: Array2<f64>, count: usize) -> Components {
    let width = scatter.ncols();
    let total = scatter.diag().sum();
    let eigen = symmetric(scatter.into_raw_vec_and_offset().0, width, count);
    Components::new(eigen.vectors, &eigen.values[..count], total, width)
}

/// From `count + extra` random directions.
pub(super) fn randomized(
    rows: &Rows<'_>,
    count: usize,
    extra: usize,
    seed: u64,
) -> Result<Components, Error> {
    let width = rows.features.width();
    let taken = count.saturating_add(extra).min(width);
    let mut stream = Stream::new(seed, Purpose::Sketch, 0);
    let mut directions =
        Array2::from_shape_simple_fn((width, taken), || f64::from(stream.normal()));
    orthonormal(&mut directions);
    for _ in 1..PASSES {
        directions = rows.scatter_times(&directions)?;
        orthonormal(&mut directions);
    }
    // Within the directions found, the best are those of the small matrix (Rayleigh and Ritz).
    let image = rows.scatter_times(&directions)?;
    let mut small = directions.t().dot(&image);
    small = (&small + &small.t()) * 0.5;
    let eigen = symmetric(small.into_raw_vec_and_offset().0, taken, count);
    let turns =
        Array2::from_shape_vec((count, taken), eigen.vectors).expect("eigenvectors are wanted × n");
    let found = turns.dot(&directions.t()).as_standard_layout().into_owned();
    let found = found.into_raw_vec_and_offset().0;
    Ok(Components::new(found, &eigen.values[..count], rows.squares()?, width))
}

impl Components {
    fn new(mut directions: Vec<f64>, squares: &[f64], total: f64, width: usize) -> Components {
        for direction in directions.chunks_exact_mut(width) {
            let mut largest = 0;
            for at in 1..width {
                // Equal but for rounding counts as equal, so that the first of two keeps its place.
                if direction[at].abs() > direction[largest].abs() * (1.0 + 1e-9) {
                    largest = at;
                }
            }
            if direction[largest] < 0.0 {
                direction.iter_mut().for_each(|x| *x = -*x);
            }
        }
        // Rounding may leave what is 0 a little below.
        let squares = squares.iter().map(|square| square.max(0.0)).collect();
        Components { directions, squares, total }
    }
}

/// Makes the columns orthonormal (Gram and Schmidt, twice, which is enough: Kahan). A column that
/// depends on those before it becomes zeros, and takes no part any more.
fn orthonormal(columns: &mut Array2<f64>) {
    let length = |column: &ndarray::Array1<f64>| column.dot(column).sqrt();
    let size = columns.iter().map(|x| x * x).sum::<f64>().sqrt();
    for at in 0..columns.ncols() {
        let mut column = columns.column(at).to_owned();
        for _ in 0..2 {
            for before in 0..at {
                let other = columns.column(before);
                let share = other.dot(&column);
                column.scaled_add(-share, &other);
            }
        }
        let own = length(&column);
        if own > size * 1e-14 && own > 0.0 {
            column /= own;
        } else {
            column.fill(0.0);
        }
        columns.column_mut(at).assign(&column);
    }
}
