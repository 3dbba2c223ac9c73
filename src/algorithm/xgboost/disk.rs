//! A channel on disk, binned on disk: for trees on data larger than memory.
//!
//! The cuts are made from whole columns, a few at a time, so they are those of the same rows in
//! memory. The cells then lie in chunks of rows, each tile and each lane of a chunk a piece of its
//! own: sums read the tiles of all chunks once a level, parting reads one lane for each node.
//! Histograms add whole numbers, so that the order of chunks does not show: the model is the one of
//! memory, bit for bit. What stays in memory is what [`Bins`] knows of its columns, and the
//! gradients, margins and places of rows, 40 bytes or so a row.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::bins::{Bins, Column, Cutting};
use super::histogram::{self, Histogram, Order, Scaled, Sum};
use super::tile::{self, Cells, Lane, LaneCells, Tile};
use crate::algorithm::Error;
use crate::data::Pages;
use crate::data::pages::Scratch;

/// Bytes of the cells of a chunk, about, where the memory is large enough for several.
const CHUNK_BYTES: usize = 8 << 20;
/// Rows of a chunk: a power of two within this.
const CHUNK_ROWS: Range<usize> = 1 << 12..1 << 17;
/// Bytes a row takes in memory for each column that is cut: cells, and keys to sort them by.
const CUT_BYTES: u64 = 4 + 16 + 4;
/// Columns cut together at most.
const CUT_COLUMNS_MAX: usize = 8;

/// The cells of a channel.
pub struct Disk {
    scratch: Box<dyn Scratch>,
    chunk_rows: usize,
    rows: usize,
    /// Of each column that has a lane, its place among them.
    place: Vec<Option<usize>>,
    /// Whether a lane has two bytes a cell.
    wide: Vec<bool>,
    /// Of each tile whether it is a list.
    listed: Vec<bool>,
    /// The first failure of the disk; what was to be read counts as 0 from then on.
    failed: Mutex<Option<io::Error>>,
}

/// A column's lane in the eyes of all rows: what decides how it is laid out.
struct Seen {
    rest: u16,
    listable: bool,
}

impl Bins {
    /// Cuts and bins rows on disk, as [`Bins::new`] does rows in memory.
    ///
    /// # Errors
    /// Those of [`Bins::new`]; [`Error::Scratch`].
    pub fn paged(pages: &Pages, cutting: &Cutting<'_>) -> Result<Bins, Error> {
        let (columns, seen) = cut(pages, cutting)?;
        let live: Vec<usize> = (0..columns.len()).filter(|at| seen[*at].is_some()).collect();
        let mut place = vec![None; columns.len()];
        live.iter().enumerate().for_each(|(at, column)| place[*column] = Some(at));
        let wide: Vec<bool> = live.iter().map(|column| columns[*column].bins() > 256).collect();
        let row_bytes = wide.iter().map(|wide| 2 + 2 * usize::from(*wide)).sum::<usize>().max(1);
        let bytes =
            usize::try_from(pages.room_bytes() / 16).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let chunk_rows = 1 << (bytes / row_bytes).clamp(CHUNK_ROWS.start, CHUNK_ROWS.end).ilog2();
        let scratch = pages.aside().map_err(failed)?;
        let rows = pages.rows();
        let mut disk = Disk {
            scratch,
            chunk_rows,
            rows,
            place,
            wide,
            listed: Vec::new(),
            failed: Mutex::default(),
        };
        let mut layout = Vec::new();
        for first in (0..rows).step_by(chunk_rows) {
            let range = first..(first + chunk_rows).min(rows);
            let lanes = disk.bin(pages, range.clone(), &columns, &seen)?;
            layout = tile::lay(range.len(), &columns, &lanes);
            for lane in lanes.iter().flatten() {
                disk.scratch.keep(&lane_bytes(lane)).map_err(failed)?;
            }
            for tile in &layout {
                disk.scratch.keep(&tile_bytes(tile)).map_err(failed)?;
            }
        }
        for tile in &mut layout {
            disk.listed.push(matches!(tile.cells, Cells::List { .. }));
            match &mut tile.cells {
                Cells::Grid { cells, .. } => *cells = Vec::new(),
                Cells::List { starts, slots, .. } => (*starts, *slots) = (Vec::new(), Vec::new()),
            }
        }
        let lanes = seen.into_iter().map(|seen| {
            seen.map(|seen| Lane {
                cells: LaneCells::Narrow(Vec::new()),
                rest: seen.rest,
                listed: 0,
            })
        });
        let lanes = lanes.collect();
        let slots = layout.iter().map(|tile| tile.slots).sum();
        Ok(Bins { rows, columns, lanes, tiles: layout, slots, disk: Some(disk) })
    }
}

/// Where the columns are cut, and what is to be seen of those that rows can be told apart by.
fn cut(pages: &Pages, cutting: &Cutting<'_>) -> Result<(Vec<Column>, Vec<Option<Seen>>), Error> {
    let (rows, width) = (pages.rows(), pages.width());
    let fitting = pages.room_bytes() / (CUT_BYTES * rows as u64).max(1);
    let together = usize::try_from(fitting).unwrap_or(usize::MAX).clamp(1, CUT_COLUMNS_MAX);
    let (mut columns, mut seen) = (Vec::with_capacity(width), Vec::with_capacity(width));
    for first in (0..width).step_by(together) {
        let count = together.min(width - first);
        let mut cells = vec![Vec::with_capacity(rows); count];
        for range in pages.ranges(CHUNK_BYTES) {
            let block = pages.block(range).map_err(failed)?;
            for row in block.rows() {
                for (at, cells) in cells.iter_mut().enumerate() {
                    cells.push(row[first + at]);
                }
            }
        }
        let one = |(at, cells): (usize, Vec<f32>)| {
            let column = cutting.cut(first + at, &cells, |row| row, cells.len())?;
            let seen = (column.bins() > 1).then(|| {
                let mut counts = vec![0usize; column.bins()];
                cells.iter().for_each(|value| counts[column.bin(*value)] += 1);
                let rest = tile::most_of(&counts);
                let listed = rows - counts[rest];
                let listable = column.bins() > 256 || tile::is_sparse(listed, rows);
                Seen { rest: rest as u16, listable }
            });
            Ok((column, seen))
        };
        let found: Result<Vec<_>, Error> = cells.into_par_iter().enumerate().map(one).collect();
        for (column, own) in found? {
            columns.push(column);
            seen.push(own);
        }
    }
    Ok((columns, seen))
}

impl Disk {
    /// The lanes of some rows. `listed` is set so that every chunk is laid out as all rows would be.
    fn bin(
        &self,
        pages: &Pages,
        range: Range<usize>,
        columns: &[Column],
        seen: &[Option<Seen>],
    ) -> Result<Vec<Option<Lane>>, Error> {
        let block = pages.block(range).map_err(failed)?;
        let lane = |(at, seen): (usize, &Option<Seen>)| {
            let seen = seen.as_ref()?;
            let (column, values) = (&columns[at], block.column(at));
            let cells = if column.bins() <= 256 {
                LaneCells::Narrow(values.iter().map(|value| column.bin(*value) as u8).collect())
            } else {
                LaneCells::Wide(values.iter().map(|value| column.bin(*value) as u16).collect())
            };
            let listed = if seen.listable { 0 } else { values.len() };
            Some(Lane { cells, rest: seen.rest, listed })
        };
        Ok(seen.par_iter().enumerate().map(lane).collect())
    }

    /// Rows of a chunk; the last may have fewer.
    pub fn chunk_rows(&self) -> usize {
        self.chunk_rows
    }

    /// The bins of a column in the rows of a chunk.
    pub fn lane(&self, chunk: usize, column: u32) -> LaneCells {
        let Some(place) = self.place[column as usize] else { return LaneCells::Narrow(Vec::new()) };
        let rows = self.rows_of(chunk).len();
        let bytes = self.fetch(chunk, place);
        if self.wide[place] {
            let mut cells: Vec<u16> = words(&bytes).collect();
            cells.resize(rows, 0);
            LaneCells::Wide(cells)
        } else {
            let mut cells = bytes;
            cells.resize(rows, 0);
            LaneCells::Narrow(cells)
        }
    }

    /// The first failure since the last time this was asked.
    ///
    /// # Errors
    /// [`Error::Scratch`] with it.
    pub fn check(&self) -> Result<(), Error> {
        match self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(source) => Err(failed(source)),
            None => Ok(()),
        }
    }

    fn rows_of(&self, chunk: usize) -> Range<usize> {
        chunk * self.chunk_rows..((chunk + 1) * self.chunk_rows).min(self.rows)
    }

    /// The tiles of a chunk, laid out as `layout`; those that are not `wanted` stay empty.
    fn tiles(&self, chunk: usize, layout: &[Tile], wanted: &[bool]) -> Vec<Tile> {
        let rows = self.rows_of(chunk).len();
        let tile = |(at, tile): (usize, &Tile)| {
            let bytes =
                if wanted[at] { self.fetch(chunk, self.wide.len() + at) } else { Vec::new() };
            let cells = match &tile.cells {
                Cells::Grid { width, stride, .. } => {
                    let mut cells = bytes;
                    if wanted[at] {
                        cells.resize(rows * width, 0);
                    }
                    Cells::Grid { cells, width: *width, stride: *stride }
                }
                Cells::List { rests, .. } => list_cells(&bytes, rows, rests.clone()),
            };
            let (columns, starts) = (tile.columns.clone(), tile.starts.clone());
            Tile { columns, starts, slots: tile.slots, offset: tile.offset, cells }
        };
        layout.iter().enumerate().map(tile).collect()
    }

    /// A piece; empty once the disk has failed.
    fn fetch(&self, chunk: usize, place: usize) -> Vec<u8> {
        let pieces = self.wide.len() + self.listed.len();
        match self.scratch.fetch(chunk * pieces + place) {
            Ok(bytes) => bytes,
            Err(error) => {
                let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.get_or_insert(error);
                Vec::new()
            }
        }
    }
}

/// Fills all orders from chunks on disk, the chunks shared among threads; see [`histogram::fill`].
pub fn fill(bins: &Bins, disk: &Disk, scaled: &Scaled, wanted: &[bool], orders: &mut [Order<'_>]) {
    let chunks = disk.rows.div_ceil(disk.chunk_rows);
    let shares = rayon::current_num_threads().clamp(1, chunks.max(1));
    let share = |share: usize| {
        let mut sums: Vec<Histogram> = orders.iter().map(|order| empty_like(order.out)).collect();
        for chunk in share * chunks / shares..(share + 1) * chunks / shares {
            add_chunk(bins, disk, scaled, wanted, orders, chunk, &mut sums);
        }
        sums
    };
    let parts: Vec<Vec<Histogram>> = (0..shares).into_par_iter().map(share).collect();
    for order in orders.iter_mut() {
        clear(order.out);
    }
    for part in parts {
        for (order, sums) in orders.iter_mut().zip(&part) {
            add(order.out, sums);
        }
    }
}

fn add_chunk(
    bins: &Bins,
    disk: &Disk,
    scaled: &Scaled,
    wanted: &[bool],
    orders: &[Order<'_>],
    chunk: usize,
    sums: &mut [Histogram],
) {
    let range = disk.rows_of(chunk);
    let within = |rows: &[u32]| {
        let from = rows.partition_point(|row| (*row as usize) < range.start);
        from..from + rows[from..].partition_point(|row| (*row as usize) < range.end)
    };
    if orders.iter().all(|order| within(order.rows).is_empty()) {
        return;
    }
    let part = Bins {
        rows: range.len(),
        columns: Vec::new(),
        lanes: Vec::new(),
        tiles: disk.tiles(chunk, &bins.tiles, wanted),
        slots: bins.slots,
        disk: None,
    };
    let own = scaled.part(range.clone());
    let mut rows = Vec::new();
    for (order, sums) in orders.iter().zip(sums) {
        rows.clear();
        rows.extend(order.rows[within(order.rows)].iter().map(|row| row - range.start as u32));
        if rows.is_empty() {
            continue;
        }
        let mut some = empty_like(sums);
        histogram::fill_part(&part, &own, wanted, &mut some, &rows);
        add(sums, &some);
    }
}

fn empty_like(histogram: &Histogram) -> Histogram {
    match histogram {
        Histogram::Packed(slots) => Histogram::Packed(vec![0; slots.len()]),
        Histogram::Wide(slots) => Histogram::Wide(vec![Sum::default(); slots.len()]),
    }
}

fn clear(histogram: &mut Histogram) {
    match histogram {
        Histogram::Packed(slots) => slots.fill(0),
        Histogram::Wide(slots) => slots.fill(Sum::default()),
    }
}

fn add(to: &mut Histogram, more: &Histogram) {
    match (to, more) {
        (Histogram::Packed(to), Histogram::Packed(more)) => {
            to.iter_mut().zip(more).for_each(|(to, more)| *to = to.wrapping_add(*more));
        }
        (Histogram::Wide(to), Histogram::Wide(more)) => {
            to.iter_mut().zip(more).for_each(|(to, more)| *to = to.plus(*more));
        }
        _ => unreachable!("sums are made like the histogram they are for"),
    }
}

fn lane_bytes(lane: &Lane) -> Vec<u8> {
    match &lane.cells {
        LaneCells::Narrow(cells) => cells.clone(),
        LaneCells::Wide(cells) | LaneCells::Listed(_, cells) => {
            cells.iter().flat_map(|cell| cell.to_le_bytes()).collect()
        }
    }
}

fn tile_bytes(tile: &Tile) -> Vec<u8> {
    match &tile.cells {
        Cells::Grid { cells, .. } => cells.clone(),
        Cells::List { starts, slots, .. } => starts
            .iter()
            .flat_map(|start| start.to_le_bytes())
            .chain(slots.iter().flat_map(|slot| slot.to_le_bytes()))
            .collect(),
    }
}

fn list_cells(bytes: &[u8], rows: usize, rests: Vec<usize>) -> Cells {
    let (starts, slots) = bytes.split_at(bytes.len().min(4 * (rows + 1)));
    let start = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let mut starts: Vec<u32> = starts.chunks_exact(4).map(start).collect();
    let slots: Vec<u16> = words(slots).collect();
    // A failed disk gives rows without entries.
    starts.resize(rows + 1, slots.len() as u32);
    Cells::List { starts, slots, rests }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.chunks_exact(2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn failed(source: io::Error) -> Error {
    Error::Scratch { source }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("rows", &self.rows).field("chunk", &self.chunk_rows).finish()
    }
}
