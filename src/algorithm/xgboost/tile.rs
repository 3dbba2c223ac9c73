//! Cells as histograms are summed from and rows are parted by.
//!
//! Each is kept twice. For sums, columns lie together in tiles, row after row: a *grid* of one byte a
//! cell where most cells differ, with a histogram that stays in the second-level cache; a *list*
//! where most rows have one and the same bin, its *rest*: only the other cells are listed, each by
//! its slot, and the rest's sum is what the node's total leaves over. (LightGBM keeps sparse
//! columns so; one-hot columns, counts and libsvm are mostly rest.) For parting, each column is a
//! *lane*: a byte a row, or the list of the rows that are not rest where that takes less.

use rayon::prelude::*;

use super::bins::Column;

/// Columns of a full grid.
pub const GRID_WIDTH: usize = 32;
/// Grids are a multiple of this wide.
const GRID_STEP: usize = 4;
/// Slots of a list's histogram; a slot is a u16.
const LIST_SLOTS_MAX: usize = 1 << 16;
/// Rows laid out as one task.
const CHUNK_ROWS: usize = 1 << 13;
/// A column is listed when at most this share of its rows is not rest.
const LIST_SHARE_MAX: f64 = 0.4;
/// A column whose rows are rest but for so few is kept as a list of them.
const LANE_SHARE_MAX: f64 = 0.2;

/// One column, binned.
#[derive(Debug)]
pub struct Lane {
    /// The cells.
    pub cells: LaneCells,
    /// The bin most rows have.
    pub rest: u16,
    /// Rows that have another.
    pub listed: usize,
}

/// Cells of a lane.
#[derive(Debug)]
pub enum LaneCells {
    /// A bin for each row, up to 256 bins.
    Narrow(Vec<u8>),
    /// A bin for each row.
    Wide(Vec<u16>),
    /// The rows that are not rest, ascending, with their bins.
    Listed(Vec<u32>, Vec<u16>),
}

impl Lane {
    /// A lane of one bin for each row. `bins` is how many there are.
    pub fn of(cells: &[u16], bins: usize) -> Lane {
        let mut counts = vec![0usize; bins];
        cells.iter().for_each(|bin| counts[usize::from(*bin)] += 1);
        let rest = most_of(&counts);
        let listed = cells.len() - counts.get(rest).copied().unwrap_or(0);
        let cells = if bins <= 256 {
            LaneCells::Narrow(cells.iter().map(|bin| *bin as u8).collect())
        } else {
            LaneCells::Wide(cells.to_vec())
        };
        Lane { cells, rest: rest as u16, listed }
    }

    /// A lane of `rows` rows of which some are given and all others have the bin `rest`.
    pub fn listed(rows: usize, given: Vec<u32>, bins_of: Vec<u16>, rest: u16, bins: usize) -> Lane {
        let listed = bins_of.iter().filter(|bin| **bin != rest).count();
        if (given.len() as f64) < LANE_SHARE_MAX * rows as f64 {
            return Lane { cells: LaneCells::Listed(given, bins_of), rest, listed };
        }
        let mut cells = vec![rest; rows];
        given.iter().zip(&bins_of).for_each(|(row, bin)| cells[*row as usize] = *bin);
        Lane::of(&cells, bins)
    }

    /// The bin of one row.
    pub fn at(&self, row: usize) -> usize {
        usize::from(match &self.cells {
            LaneCells::Narrow(cells) => u16::from(cells[row]),
            LaneCells::Wide(cells) => cells[row],
            LaneCells::Listed(rows, bins) => {
                rows.binary_search(&(row as u32)).map_or(self.rest, |at| bins[at])
            }
        })
    }

    /// Calls for every row that is not rest, ascending, with its bin.
    fn for_listed(&self, mut each: impl FnMut(usize, u16)) {
        let rest = self.rest;
        let mut one = |row: usize, bin: u16| {
            if bin != rest {
                each(row, bin);
            }
        };
        match &self.cells {
            LaneCells::Narrow(cells) => {
                cells.iter().enumerate().for_each(|(row, bin)| one(row, u16::from(*bin)));
            }
            LaneCells::Wide(cells) => {
                cells.iter().enumerate().for_each(|(row, bin)| one(row, *bin))
            }
            LaneCells::Listed(rows, bins) => {
                rows.iter().zip(bins).for_each(|(row, bin)| one(*row as usize, *bin));
            }
        }
    }
}

/// Some columns, row after row.
#[derive(Debug)]
pub struct Tile {
    /// Column of each lane.
    pub columns: Vec<u32>,
    /// First slot of each lane.
    pub starts: Vec<usize>,
    /// Slots of its histogram.
    pub slots: usize,
    /// Where they start in the histogram of all tiles.
    pub offset: usize,
    /// The cells.
    pub cells: Cells,
}

/// Cells of a tile.
#[derive(Debug)]
pub enum Cells {
    /// rows × `width` bins; lanes beyond the columns are padding that stays in bin 0.
    Grid {
        /// Row after row.
        cells: Vec<u8>,
        /// Lanes, a multiple of 4.
        width: usize,
        /// Slots of a lane: a power of two and a cache line more, so that the first bins of all
        /// lanes do not fall into one set of the cache.
        stride: usize,
    },
    /// What is not rest.
    List {
        /// Where the slots of each row begin; one more than there are rows.
        starts: Vec<u32>,
        /// Row after row.
        slots: Vec<u16>,
        /// The slot of each lane's rest.
        rests: Vec<usize>,
    },
}

/// The bin that most rows have; the last of equals.
pub fn most_of(counts: &[usize]) -> usize {
    (0..counts.len()).rev().max_by_key(|bin| counts[*bin]).unwrap_or(0)
}

/// Whether so few rows are not rest that a column is better listed.
pub fn is_sparse(listed: usize, rows: usize) -> bool {
    listed as f64 <= LIST_SHARE_MAX * rows as f64
}

/// Lays out the columns that have a lane.
pub fn lay(rows: usize, columns: &[Column], lanes: &[Option<Lane>]) -> Vec<Tile> {
    let live = lanes.iter().enumerate();
    let live = live.filter_map(|(at, lane)| Some((at as u32, lane.as_ref()?)));
    let listable = |lane: &Lane| {
        matches!(lane.cells, LaneCells::Wide(_) | LaneCells::Listed(..))
            || is_sparse(lane.listed, rows)
    };
    let (listed, grid): (Vec<_>, Vec<_>) = live.partition(|(_, lane)| listable(lane));
    // The few columns of a small table are not worth a list of their own.
    let narrow = |(_, lane): &(u32, &Lane)| matches!(lane.cells, LaneCells::Narrow(_));
    let (listed, grid) = if listed.len() < 4 && listed.iter().all(narrow) {
        (Vec::new(), [grid, listed].concat())
    } else {
        (listed, grid)
    };
    let bins = |column: u32| columns[column as usize].bins();
    let mut tiles = grids(rows, grid, bins);
    tiles.extend(lists(rows, &listed, bins));
    let mut offset = 0;
    for tile in &mut tiles {
        tile.offset = offset;
        offset += tile.slots;
    }
    tiles
}

/// Grids, columns of like bin counts together.
fn grids(
    rows: usize,
    mut columns: Vec<(u32, &Lane)>,
    bins: impl Fn(u32) -> usize + Sync,
) -> Vec<Tile> {
    let stride = |column: u32| match bins(column) {
        0..=16 => 16 + 4,
        17..=64 => 64 + 4,
        _ => 256 + 4,
    };
    columns.sort_by_key(|(column, _)| (stride(*column), *column));
    let alike = columns.chunk_by(|left, right| stride(left.0) == stride(right.0));
    let grid = |part: &[(u32, &Lane)]| {
        let width = part.len().next_multiple_of(GRID_STEP);
        let stride = stride(part[0].0);
        let mut cells = vec![0u8; rows * width];
        cells.par_chunks_mut(CHUNK_ROWS * width).enumerate().for_each(|(chunk, out)| {
            let first = chunk * CHUNK_ROWS;
            for (at, (_, lane)) in part.iter().enumerate() {
                let LaneCells::Narrow(cells) = &lane.cells else { continue };
                for (row, bin) in out.chunks_exact_mut(width).zip(&cells[first..]) {
                    row[at] = *bin;
                }
            }
        });
        Tile {
            columns: part.iter().map(|(column, _)| *column).collect(),
            starts: (0..part.len()).map(|lane| lane * stride).collect(),
            slots: width * stride,
            offset: 0,
            cells: Cells::Grid { cells, width, stride },
        }
    };
    alike.flat_map(|alike| alike.chunks(GRID_WIDTH).map(grid)).collect()
}

/// Lists, as many columns together as slots can be numbered.
fn lists(rows: usize, columns: &[(u32, &Lane)], bins: impl Fn(u32) -> usize + Sync) -> Vec<Tile> {
    let mut parts: Vec<&[(u32, &Lane)]> = Vec::new();
    let (mut begin, mut slots, mut entries) = (0, 0, 0);
    for (at, (column, lane)) in columns.iter().enumerate() {
        let (own, listed) = (bins(*column), lane.listed);
        if slots + own > LIST_SLOTS_MAX || entries + listed > u32::MAX as usize {
            parts.push(&columns[begin..at]);
            (begin, slots, entries) = (at, 0, 0);
        }
        slots += own;
        entries += listed;
    }
    parts.push(&columns[begin..]);
    let list = |part: &&[(u32, &Lane)]| {
        let mut first_slots = Vec::with_capacity(part.len());
        let mut slots = 0;
        for (column, _) in *part {
            first_slots.push(slots);
            slots += bins(*column);
        }
        // Counted, then filled lane by lane: a row's slots ascend.
        let mut starts = vec![0u32; rows + 1];
        part.iter().for_each(|(_, lane)| lane.for_listed(|row, _| starts[row + 1] += 1));
        for row in 0..rows {
            starts[row + 1] += starts[row];
        }
        let mut next = starts[..rows].to_vec();
        let mut listed = vec![0u16; starts[rows] as usize];
        for ((_, lane), first) in part.iter().zip(&first_slots) {
            lane.for_listed(|row, bin| {
                listed[next[row] as usize] = (*first + usize::from(bin)) as u16;
                next[row] += 1;
            });
        }
        let rests = part.iter().zip(&first_slots);
        let rests = rests.map(|((_, lane), first)| first + usize::from(lane.rest)).collect();
        Tile {
            columns: part.iter().map(|(column, _)| *column).collect(),
            starts: first_slots,
            slots,
            offset: 0,
            cells: Cells::List { starts, slots: listed, rests },
        }
    };
    parts.par_iter().filter(|part| !part.is_empty()).map(list).collect()
}
