//! Features as small numbers: every column cut at its quantiles, every cell a bin.
//!
//! Cuts follow XGBoost's `hist`: a cut is a value of the column, rows below it go left; a column
//! with few distinct values is cut at each of them, one with many at weighted quantiles (see
//! `sketch`). In a column of categories the code is the bin. A missing value has a bin of its own,
//! behind the others, in columns that have any; absent cells of sparse rows are missing. How the
//! cells lie in memory is told in `tile`.

use rayon::prelude::*;

use super::disk::Disk;
use super::midpoints;
use super::rows::Rows;
use super::settings::Flavour;
use super::sketch;
use super::tile::{self, Lane, Tile};
use crate::algorithm::Error;
use crate::data::{Categories, Sparse};
use crate::spec::limit::CATEGORIES_MAX;

/// Columns cut together: as many as share half a cache line of the row-major input.
const CUT_COLUMNS: usize = 8;
/// Rows from which on a column is sorted whole instead of sketched.
const SORT_ROWS_MIN: usize = 1 << 18;

/// Where one column is cut.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Exclusive upper ends of the value bins, ascending; the last lies above every value.
    pub ends: Vec<f32>,
    /// Lies below every value: a split here parts missing from present.
    pub floor: f32,
    /// Whether training rows lack it.
    pub missing: bool,
    /// Whether its cells are codes, each a bin.
    pub categories: bool,
}

impl Column {
    /// Without any value.
    fn empty(missing: bool) -> Column {
        Column { ends: vec![1e-5], floor: 0.0, missing, categories: false }
    }

    /// Of values from `first` to `last`, cut at `ends`.
    fn between(first: f32, mut ends: Vec<f32>, last: f32, missing: bool) -> Column {
        ends.push(bounded(last + (last.abs() + 1e-5)));
        let floor = bounded(first - (first.abs() + 1e-5));
        Column { ends, floor, missing, categories: false }
    }

    /// Bins, the one of missing values included.
    pub fn bins(&self) -> usize {
        self.ends.len() + usize::from(self.missing)
    }

    /// Whether rows can be told apart by it.
    fn is_live(&self) -> bool {
        self.bins() > 1
    }

    /// The bin of a value; NaN is a missing one, in a column that has any.
    pub fn bin(&self, value: f32) -> usize {
        if value.is_nan() {
            return self.ends.len();
        }
        self.ends.partition_point(|end| *end <= value).min(self.ends.len() - 1)
    }

    /// The threshold that parts bins up to `last` (none when -1) from the rest.
    pub fn threshold(&self, last: i32) -> f32 {
        usize::try_from(last).map_or(self.floor, |last| self.ends[last])
    }
}

/// A channel, binned.
#[derive(Debug)]
pub struct Bins {
    /// Number of rows.
    pub rows: usize,
    /// Every column of the data, also those no row can be told apart by.
    pub columns: Vec<Column>,
    /// The cells of each column that matters, to part rows by.
    pub lanes: Vec<Option<Lane>>,
    /// The same, to sum histograms from.
    pub tiles: Vec<Tile>,
    /// Slots of one histogram.
    pub slots: usize,
    /// Where the cells are when they do not fit into memory; lanes and tiles have none then.
    pub disk: Option<Disk>,
}

/// What is cut by.
#[derive(Debug, Clone, Copy)]
pub struct Cutting<'a> {
    /// The columns of codes.
    pub categories: &'a Categories,
    /// Of the rows; LightGBM's cuts do not look at them.
    pub weights: Option<&'a [f32]>,
    /// Most bins of a column.
    pub bins_max: usize,
    /// Whose cuts.
    pub flavour: Flavour,
}

impl Bins {
    /// Cuts and bins `rows`; the columns of `cutting.categories` hold codes.
    ///
    /// # Errors
    /// `Error::Data` naming row and column of an infinite value, or of a code that is none.
    pub fn new(rows: Rows<'_>, cutting: &Cutting<'_>) -> Result<Bins, Error> {
        let binned = match rows {
            Rows::Dense(matrix) => {
                let matrix = matrix.as_standard_layout();
                let values = matrix.as_slice().expect("a standard layout is contiguous");
                cutting.dense(values, matrix.ncols())?
            }
            Rows::Sparse(sparse) => cutting.sparse(sparse)?,
        };
        let (columns, lanes): (Vec<Column>, Vec<Option<Lane>>) = binned.into_iter().unzip();
        let tiles = tile::lay(rows.count(), &columns, &lanes);
        let slots = tiles.iter().map(|tile| tile.slots).sum();
        Ok(Bins { rows: rows.count(), columns, lanes, tiles, slots, disk: None })
    }

    /// The cells of a column that rows can be told apart by.
    pub fn lane(&self, column: u32) -> &Lane {
        self.lanes[column as usize].as_ref().expect("only columns that matter are split on")
    }

    /// Columns that rows can be told apart by, ascending.
    pub fn live(&self) -> Vec<u32> {
        (0..self.lanes.len() as u32).filter(|at| self.lanes[*at as usize].is_some()).collect()
    }
}

type Binned = Vec<(Column, Option<Lane>)>;

impl Cutting<'_> {
    fn dense(&self, values: &[f32], width: usize) -> Result<Binned, Error> {
        let blocks: Vec<usize> = (0..width).step_by(CUT_COLUMNS).collect();
        let block = |first: &usize| -> Result<Binned, Error> {
            let count = CUT_COLUMNS.min(width - first);
            let mut block = vec![Vec::with_capacity(values.len() / width); count];
            for row in values.chunks_exact(width) {
                for (column, value) in block.iter_mut().zip(&row[*first..]) {
                    column.push(*value);
                }
            }
            let one = |(at, cells): (usize, Vec<f32>)| {
                let column = self.cut(first + at, &cells, |row| row, cells.len())?;
                let bins: Vec<u16> = cells.iter().map(|value| column.bin(*value) as u16).collect();
                let lane = column.is_live().then(|| Lane::of(&bins, column.bins()));
                Ok((column, lane))
            };
            block.into_iter().enumerate().map(one).collect()
        };
        let found: Result<Vec<Binned>, Error> = blocks.par_iter().map(block).collect();
        Ok(found?.into_iter().flatten().collect())
    }

    fn sparse(&self, rows: &Sparse) -> Result<Binned, Error> {
        let mut starts = vec![0usize; rows.width + 1];
        rows.columns.iter().for_each(|column| starts[*column as usize + 1] += 1);
        for column in 0..rows.width {
            starts[column + 1] += starts[column];
        }
        let mut next = starts.clone();
        let (mut row_of, mut values) =
            (vec![0u32; rows.values.len()], vec![0.0f32; rows.values.len()]);
        for row in 0..rows.rows() {
            let (columns, own) = rows.row(row);
            for (column, value) in columns.iter().zip(own) {
                let at = &mut next[*column as usize];
                (row_of[*at], values[*at]) = (row as u32, *value);
                *at += 1;
            }
        }
        let one = |at: usize| {
            let own = starts[at]..starts[at + 1];
            let (row_of, values) = (&row_of[own.clone()], &values[own]);
            let column = self.cut(at, values, |at| row_of[at] as usize, rows.rows())?;
            let lane = column.is_live().then(|| {
                let bins = values.iter().map(|value| column.bin(*value) as u16).collect();
                let rest = column.ends.len() as u16;
                Lane::listed(rows.rows(), row_of.to_vec(), bins, rest, column.bins())
            });
            Ok((column, lane))
        };
        (0..rows.width).into_par_iter().map(one).collect()
    }

    /// Cuts column `at`. `row_of` tells the row of each of the cells given, of `rows` in all.
    pub(super) fn cut(
        &self,
        at: usize,
        cells: &[f32],
        row_of: impl Fn(usize) -> usize,
        rows: usize,
    ) -> Result<Column, Error> {
        let fault = |cell: usize, what: String, help: &str| Error::Data {
            what: format!("row {} of channel train has {what} {}", row_of(cell) + 1, at + 1),
            help: help.into(),
        };
        if self.categories.contains_key(&at) {
            return cut_codes(cells, rows).map_err(|cell| {
                let what = format!("{} in column", cells[cell]);
                let help = "the column holds codes of categories: whole numbers from 0 to 65534";
                fault(cell, what, help)
            });
        }
        if let Some(cell) = cells.iter().position(|value| value.is_infinite()) {
            let help = "write a finite number, or leave the cell empty for a missing value";
            return Err(fault(cell, "an infinite value in column".into(), help));
        }
        let present = cells.iter().filter(|value| !value.is_nan()).count();
        let missing = present < rows;
        if self.flavour == Flavour::Lightgbm {
            let bins = self.bins_max - usize::from(missing);
            let values = sketch::counted(cells);
            let (Some((first, _)), Some((last, _))) = (values.first(), values.last()) else {
                return Ok(Column::empty(missing));
            };
            let mut ends = midpoints::ends(&values, bins.max(1));
            // Bounds beyond the values part none of them.
            ends.retain(|end| first < end && end <= last);
            return Ok(Column::between(*first, ends, *last, missing));
        }
        // The missing bin must fit beside the others where a cell is one byte.
        let bins = if missing && self.bins_max == 256 { 255 } else { self.bins_max };
        let values = match self.weights {
            None if present >= SORT_ROWS_MIN => sketch::sorted(cells, bins),
            weights => {
                let weight = |cell| weights.map_or(1.0, |weights| weights[row_of(cell)]);
                let cells = cells.iter().enumerate().filter(|(_, value)| !value.is_nan());
                let weighed = cells.map(|(cell, value)| (*value, weight(cell)));
                sketch::choose(&weighed.collect::<Vec<_>>(), self.bins_max, bins)
            }
        };
        let (Some(first), Some(last)) = (values.first(), values.last()) else {
            return Ok(Column::empty(missing));
        };
        let ends = values.iter().take(bins).skip(1).copied().collect();
        Ok(Column::between(*first, ends, *last, missing))
    }
}

/// A bin for each code up to the greatest; the cell of what is no code as the error.
fn cut_codes(cells: &[f32], rows: usize) -> Result<Column, usize> {
    let is_code = |value: &f32| {
        value.is_nan() || ((0.0..CATEGORIES_MAX as f32).contains(value) && value.fract() == 0.0)
    };
    if let Some(cell) = cells.iter().position(|value| !is_code(value)) {
        return Err(cell);
    }
    let present = cells.iter().filter(|value| !value.is_nan());
    let missing = present.clone().count() < rows;
    let greatest = present.fold(0.0, |top: f32, value| top.max(*value));
    let ends = (1..=greatest as usize + 1).map(|end| end as f32).collect();
    Ok(Column { ends, floor: -1.0, missing, categories: true })
}

fn bounded(value: f32) -> f32 {
    value.clamp(f32::MIN, f32::MAX)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    fn cutting<'a>(
        categories: &'a Categories,
        weights: Option<&'a [f32]>,
        bins_max: usize,
    ) -> Cutting<'a> {
        Cutting { categories, weights, bins_max, flavour: Flavour::Xgboost }
    }

    fn cut(x: &Array2<f32>, weights: Option<&[f32]>, bins_max: usize) -> Result<Bins, Error> {
        Bins::new(Rows::Dense(x.view()), &cutting(&Categories::new(), weights, bins_max))
    }

    fn cell(bins: &Bins, row: usize, column: u32) -> usize {
        bins.lane(column).at(row)
    }

    #[test]
    fn few_values_are_cut_at_each_and_a_value_lies_below_its_bins_end() {
        let x = array![[3.0f32], [1.0], [2.0], [1.0]];
        let bins = cut(&x, None, 256).unwrap();
        assert_eq!(bins.columns[0].ends[..2], [2.0, 3.0]);
        assert_eq!((0..4).map(|row| cell(&bins, row, 0)).collect::<Vec<_>>(), [2, 0, 1, 0]);
    }

    #[test]
    fn a_missing_value_has_the_last_bin_and_constants_have_no_cell() {
        let x = array![[f32::NAN, 7.0], [1.0, 7.0], [2.0, 7.0]];
        let bins = cut(&x, None, 256).unwrap();
        assert_eq!(cell(&bins, 0, 0), 2);
        assert_eq!(bins.live(), [0]);
        let all = array![[f32::NAN], [f32::NAN]];
        assert_eq!(cut(&all, None, 256).unwrap().columns[0].bins(), 2);
    }

    #[test]
    fn many_values_give_even_bins() {
        let rows = 100_000;
        let x = Array2::from_shape_fn((rows, 1), |(row, _)| ((row * 7919) % rows) as f32);
        let bins = cut(&x, None, 64).unwrap();
        assert_eq!(bins.columns[0].bins(), 64);
        let mut counts = vec![0; 64];
        (0..rows).for_each(|row| counts[cell(&bins, row, 0)] += 1);
        assert!(counts.iter().all(|count| (1300..1900).contains(count)), "{counts:?}");
    }

    #[test]
    fn weights_move_the_cuts() {
        let x = Array2::from_shape_fn((1000, 1), |(row, _)| row as f32);
        let weights: Vec<f32> = (0..1000).map(|row| if row < 100 { 9.0 } else { 1.0 }).collect();
        let bins = cut(&x, Some(&weights), 10).unwrap();
        let below = bins.columns[0].ends.iter().filter(|end| **end <= 100.0).count();
        assert!((4..=6).contains(&below), "{:?}", bins.columns[0].ends);
    }

    #[test]
    fn routing_by_bin_is_routing_by_value() {
        let x = Array2::from_shape_fn((5000, 3), |(row, column)| {
            let value = ((row * 31 + column * 7) % 997) as f32 / 7.0 - 50.0;
            if row % 11 == column { f32::NAN } else { value }
        });
        let bins = cut(&x, None, 32).unwrap();
        for column in 0..3u32 {
            let ends = &bins.columns[column as usize].ends;
            for row in 0..5000 {
                let value = x[[row, column as usize]];
                let bin = cell(&bins, row, column);
                if value.is_nan() {
                    assert_eq!(bin, ends.len());
                    continue;
                }
                for (last, end) in ends.iter().enumerate() {
                    assert_eq!(value < *end, bin <= last);
                }
            }
        }
    }

    #[test]
    fn infinite_values_are_refused_with_their_place() {
        let x = array![[1.0f32, 2.0], [1.0, f32::INFINITY]];
        let said = cut(&x, None, 256).unwrap_err().to_string();
        assert_eq!(said, "row 2 of channel train has an infinite value in column 2");
    }

    #[test]
    fn sparse_rows_are_binned_as_their_matrix() {
        let x = Array2::from_shape_fn((3000, 9), |(row, column)| {
            let draw = (row * 37 + column * 101 + row * row % 13) % 100;
            if draw < 11 * column { (draw % 29) as f32 } else { f32::NAN }
        });
        let mut sparse =
            Sparse { width: 9, offsets: vec![0], columns: Vec::new(), values: Vec::new() };
        for row in x.rows() {
            for (column, value) in row.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
                sparse.columns.push(column as u32);
                sparse.values.push(*value);
            }
            sparse.offsets.push(sparse.values.len());
        }
        for bins_max in [16, 256, 1000] {
            let dense = cut(&x, None, bins_max).unwrap();
            let none = Categories::new();
            let listed = Bins::new(Rows::Sparse(&sparse), &cutting(&none, None, bins_max)).unwrap();
            assert_eq!(dense.columns, listed.columns);
            assert_eq!(dense.live(), listed.live());
            for (row, column) in
                (0..3000).flat_map(|row| dense.live().into_iter().map(move |at| (row, at)))
            {
                assert_eq!(cell(&dense, row, column), cell(&listed, row, column), "{row} {column}");
            }
        }
    }

    #[test]
    fn a_code_is_its_bin_and_what_is_no_code_is_refused() {
        let x = array![[2.0f32], [0.0], [f32::NAN], [7.0]];
        let marked = Categories::from([(0, Vec::new())]);
        let bins = Bins::new(Rows::Dense(x.view()), &cutting(&marked, None, 2)).unwrap();
        assert_eq!((0..4).map(|row| cell(&bins, row, 0)).collect::<Vec<_>>(), [2, 0, 8, 7]);
        for bad in [-1.0, 0.5, 65_535.0, f32::INFINITY] {
            let x = array![[1.0f32], [bad]];
            let said = Bins::new(Rows::Dense(x.view()), &cutting(&marked, None, 256))
                .unwrap_err()
                .to_string();
            assert!(said.starts_with("row 2 of channel train has "), "{said}");
        }
    }
}
