//! Features as small numbers: every column cut at its quantiles, cells kept for the histogram.
//!
//! Cuts follow XGBoost's `hist`: a cut is a value of the column, rows below it go left; a column
//! with few distinct values is cut at each of them, one with many at weighted quantiles (see
//! `sketch`). A missing value has a bin of its own, behind the others, in columns that have any.
//!
//! Cells lie in tiles: up to 32 columns of like bin counts, row after row, so that one row of a
//! tile is half a cache line and the tile's histogram stays in the second-level cache.

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::sketch;
use crate::algorithm::Error;

/// Columns of a full tile.
pub const TILE_WIDTH: usize = 32;
/// Tiles are a multiple of this wide.
const TILE_STEP: usize = 4;
/// Rows binned as one task.
const CHUNK_ROWS: usize = 1 << 14;
/// Columns sorted together: as many as share a cache line of the row-major input.
const SORT_COLUMNS: usize = 16;

/// Where one column is cut.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Exclusive upper ends of the value bins, ascending; the last lies above every value.
    pub ends: Vec<f32>,
    /// Lies below every value: a split here parts missing from present.
    pub floor: f32,
    /// Whether training rows lack it.
    pub missing: bool,
}

impl Column {
    /// Bins, the one of missing values included.
    pub fn bins(&self) -> usize {
        self.ends.len() + usize::from(self.missing)
    }

    /// Whether rows can be told apart by it.
    fn is_live(&self) -> bool {
        self.bins() > 1
    }

    /// The bin of a value that is not missing.
    fn bin(&self, value: f32) -> usize {
        self.ends.partition_point(|end| *end <= value).min(self.ends.len() - 1)
    }

    /// The threshold that parts bins up to `last` (none when -1) from the rest.
    pub fn threshold(&self, last: i32) -> f32 {
        usize::try_from(last).map_or(self.floor, |last| self.ends[last])
    }
}

/// The cells of some columns.
#[derive(Debug)]
pub struct Tile {
    /// Column of each lane; lanes beyond are padding that stays in bin 0.
    pub columns: Vec<u32>,
    /// Lanes, a multiple of 4.
    pub width: usize,
    /// Histogram slots of a lane: at least the most bins of a column, and a cache line beside a
    /// power of two, so that the first bins of all lanes do not fall into one set of the cache.
    pub stride: usize,
    /// Where its slots start in a histogram.
    pub offset: usize,
    /// rows × width: what histograms are summed from.
    pub cells: Cells,
    /// The same, column after column: what rows are parted by.
    pub lanes: Vec<Cells>,
}

/// Cells of a tile, row after row.
#[derive(Debug)]
pub enum Cells {
    /// Up to 256 bins.
    Narrow(Vec<u8>),
    /// More.
    Wide(Vec<u16>),
}

impl Cells {
    /// One lane of `width`.
    fn lane(&self, lane: usize, width: usize) -> Cells {
        match self {
            Cells::Narrow(cells) => {
                Cells::Narrow(cells.iter().skip(lane).step_by(width).copied().collect())
            }
            Cells::Wide(cells) => {
                Cells::Wide(cells.iter().skip(lane).step_by(width).copied().collect())
            }
        }
    }

    /// One cell.
    pub fn at(&self, index: usize) -> usize {
        match self {
            Cells::Narrow(cells) => usize::from(cells[index]),
            Cells::Wide(cells) => usize::from(cells[index]),
        }
    }
}

/// A channel, binned.
#[derive(Debug)]
pub struct Bins {
    /// Number of rows.
    pub rows: usize,
    /// Every column of the data, also those no row can be told apart by.
    pub columns: Vec<Column>,
    /// All columns that matter.
    pub tiles: Vec<Tile>,
    /// Tile and lane of each column that matters.
    places: Vec<Option<(u32, u32)>>,
    /// Slots of one histogram.
    pub slots: usize,
}

impl Bins {
    /// Cuts and bins `features` (rows × columns) into at most `bins_max` bins a column.
    ///
    /// # Errors
    /// `Error::Data` naming row and column of an infinite value.
    pub fn new(
        features: &ArrayView2<'_, f32>,
        weights: Option<&[f32]>,
        bins_max: usize,
    ) -> Result<Bins, Error> {
        let features = features.as_standard_layout();
        let (rows, width) = features.dim();
        let values = features.as_slice().expect("a standard layout is contiguous");
        let columns = cut(values, width, weights, bins_max)?;
        let (tiles, places, slots) = lay(values, width, rows, &columns);
        Ok(Bins { rows, columns, tiles, places, slots })
    }

    /// Tile and lane of a column.
    pub fn place(&self, column: u32) -> (&Tile, usize) {
        let (tile, lane) =
            self.places[column as usize].expect("only columns that matter are split on");
        (&self.tiles[tile as usize], lane as usize)
    }

    /// Columns that rows can be told apart by, ascending.
    pub fn live(&self) -> Vec<u32> {
        let live = |(at, place): (usize, &Option<_>)| place.is_some().then_some(at as u32);
        self.places.iter().enumerate().filter_map(live).collect()
    }
}

fn cut(
    values: &[f32],
    width: usize,
    weights: Option<&[f32]>,
    bins_max: usize,
) -> Result<Vec<Column>, Error> {
    let blocks: Vec<usize> = (0..width).step_by(SORT_COLUMNS).collect();
    let cut_block = |first: &usize| -> Result<Vec<Column>, Error> {
        let count = SORT_COLUMNS.min(width - first);
        let mut block = vec![Vec::with_capacity(values.len() / width); count];
        for row in values.chunks_exact(width) {
            for (column, value) in block.iter_mut().zip(&row[*first..]) {
                column.push(*value);
            }
        }
        let one = |(lane, column): (usize, Vec<f32>)| {
            cut_column(&column, weights, bins_max).map_err(|row| Error::Data {
                what: format!(
                    "row {} of channel train has an infinite value in column {}",
                    row + 1,
                    first + lane + 1
                ),
                help: "write a finite number, or leave the cell empty for a missing value".into(),
            })
        };
        block.into_iter().enumerate().map(one).collect()
    };
    let found: Result<Vec<Vec<Column>>, Error> = blocks.par_iter().map(cut_block).collect();
    Ok(found?.into_iter().flatten().collect())
}

/// Cuts one column; the row of an infinite value as the error.
fn cut_column(column: &[f32], weights: Option<&[f32]>, bins_max: usize) -> Result<Column, usize> {
    if let Some(row) = column.iter().position(|value| value.is_infinite()) {
        return Err(row);
    }
    let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
    let present: Vec<(f32, f32)> = column
        .iter()
        .enumerate()
        .filter(|(_, value)| !value.is_nan())
        .map(|(row, value)| (*value, weight(row)))
        .collect();
    let missing = present.len() < column.len();
    // The missing bin must fit beside the others where a cell is one byte.
    let bins = if missing && bins_max == 256 { 255 } else { bins_max };
    let values = sketch::choose(&present, bins_max, bins);
    let (Some(first), Some(last)) = (values.first(), values.last()) else {
        return Ok(Column { ends: vec![1e-5], floor: 0.0, missing });
    };
    let mut ends: Vec<f32> = values.iter().take(bins).skip(1).copied().collect();
    ends.push(bounded(last + (last.abs() + 1e-5)));
    Ok(Column { ends, floor: bounded(first - (first.abs() + 1e-5)), missing })
}

fn bounded(value: f32) -> f32 {
    value.clamp(f32::MIN, f32::MAX)
}

type Places = Vec<Option<(u32, u32)>>;

/// Lays the columns that matter out in tiles, columns of like bin counts together.
fn lay(
    values: &[f32],
    width: usize,
    rows: usize,
    columns: &[Column],
) -> (Vec<Tile>, Places, usize) {
    let stride = |bins: usize| match bins {
        0..=16 => 16 + 4,
        17..=64 => 64 + 4,
        65..=256 => 256 + 4,
        more => more.next_multiple_of(256) + 4,
    };
    let mut live: Vec<u32> =
        (0..columns.len() as u32).filter(|at| columns[*at as usize].is_live()).collect();
    live.sort_by_key(|at| stride(columns[*at as usize].bins()));
    let mut tiles = Vec::new();
    let mut places: Places = vec![None; columns.len()];
    let mut slots = 0;
    for alike in live.chunk_by(|left, right| {
        stride(columns[*left as usize].bins()) == stride(columns[*right as usize].bins())
    }) {
        let stride = stride(columns[alike[0] as usize].bins());
        for part in alike.chunks(TILE_WIDTH) {
            for (lane, column) in part.iter().enumerate() {
                places[*column as usize] = Some((tiles.len() as u32, lane as u32));
            }
            let lanes = part.len().next_multiple_of(TILE_STEP);
            let cells = if stride <= 260 {
                Cells::Narrow(fill(values, width, rows, columns, part, lanes, |bin| bin as u8))
            } else {
                Cells::Wide(fill(values, width, rows, columns, part, lanes, |bin| bin as u16))
            };
            let columns = part.to_vec();
            let by_column = (0..part.len()).into_par_iter().map(|lane| cells.lane(lane, lanes));
            let by_column = by_column.collect();
            tiles.push(Tile {
                columns,
                width: lanes,
                stride,
                offset: slots,
                cells,
                lanes: by_column,
            });
            slots += lanes * stride;
        }
    }
    (tiles, places, slots)
}

fn fill<B: Copy + Default + Send>(
    values: &[f32],
    width: usize,
    rows: usize,
    columns: &[Column],
    part: &[u32],
    lanes: usize,
    cell: impl Fn(usize) -> B + Sync,
) -> Vec<B> {
    let mut cells = vec![B::default(); rows * lanes];
    cells.par_chunks_mut(CHUNK_ROWS * lanes).zip(values.par_chunks(CHUNK_ROWS * width)).for_each(
        |(cells, values)| {
            for (cells, values) in cells.chunks_exact_mut(lanes).zip(values.chunks_exact(width)) {
                for (out, at) in cells.iter_mut().zip(part) {
                    let (column, value) = (&columns[*at as usize], values[*at as usize]);
                    let bin = if value.is_nan() { column.ends.len() } else { column.bin(value) };
                    *out = cell(bin);
                }
            }
        },
    );
    cells
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    fn cell(bins: &Bins, row: usize, column: u32) -> usize {
        let (tile, lane) = bins.place(column);
        tile.cells.at(row * tile.width + lane)
    }

    #[test]
    fn few_values_are_cut_at_each_and_a_value_lies_below_its_bins_end() {
        let x = array![[3.0f32], [1.0], [2.0], [1.0]];
        let bins = Bins::new(&x.view(), None, 256).unwrap();
        assert_eq!(bins.columns[0].ends[..2], [2.0, 3.0]);
        assert_eq!((0..4).map(|row| cell(&bins, row, 0)).collect::<Vec<_>>(), [2, 0, 1, 0]);
    }

    #[test]
    fn a_missing_value_has_the_last_bin_and_constants_have_no_cell() {
        let x = array![[f32::NAN, 7.0], [1.0, 7.0], [2.0, 7.0]];
        let bins = Bins::new(&x.view(), None, 256).unwrap();
        assert_eq!(cell(&bins, 0, 0), 2);
        assert_eq!(bins.live(), [0]);
        let all = array![[f32::NAN], [f32::NAN]];
        assert_eq!(Bins::new(&all.view(), None, 256).unwrap().columns[0].bins(), 2);
    }

    #[test]
    fn many_values_give_even_bins() {
        let rows = 100_000;
        let x = Array2::from_shape_fn((rows, 1), |(row, _)| ((row * 7919) % rows) as f32);
        let bins = Bins::new(&x.view(), None, 64).unwrap();
        assert_eq!(bins.columns[0].bins(), 64);
        let mut counts = vec![0; 64];
        (0..rows).for_each(|row| counts[cell(&bins, row, 0)] += 1);
        assert!(counts.iter().all(|count| (1300..1900).contains(count)), "{counts:?}");
    }

    #[test]
    fn weights_move_the_cuts() {
        let x = Array2::from_shape_fn((1000, 1), |(row, _)| row as f32);
        let weights: Vec<f32> = (0..1000).map(|row| if row < 100 { 9.0 } else { 1.0 }).collect();
        let bins = Bins::new(&x.view(), Some(&weights), 10).unwrap();
        let below = bins.columns[0].ends.iter().filter(|end| **end <= 100.0).count();
        assert!((4..=6).contains(&below), "{:?}", bins.columns[0].ends);
    }

    #[test]
    fn routing_by_bin_is_routing_by_value() {
        let x = Array2::from_shape_fn((5000, 3), |(row, column)| {
            let value = ((row * 31 + column * 7) % 997) as f32 / 7.0 - 50.0;
            if row % 11 == column { f32::NAN } else { value }
        });
        let bins = Bins::new(&x.view(), None, 32).unwrap();
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
        let said = Bins::new(&x.view(), None, 256).unwrap_err().to_string();
        assert_eq!(said, "row 2 of channel train has an infinite value in column 2");
    }
}
