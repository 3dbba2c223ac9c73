//! The rows that an algorithm learns from, wherever they are: in memory, or in pages on disk when a
//! channel does not fit. An algorithm that reads them through here trains on data of any size and
//! says so by [`Trainer::streams`](super::Trainer::streams).
//!
//! For an algorithm in one pass: [`Features::each_block`]. For epochs: take an
//! [`order`](Features::order), make the rows of each step [`ready`](Features::ready), and read them.
//! Rows in memory give the same numbers as before there were pages; rows on disk are shuffled
//! window by window, so the model is another one of the same quality.

use std::ops::Range;

use ndarray::{Array2, ArrayView1, ArrayView2, Axis, CowArray, Ix2, Slice};
use rayon::prelude::*;

use super::Error;
use super::net::order;
use super::net::random::Stream;
use super::standardise::Standardiser;
use crate::data::pages::BLOCK_ROWS;
use crate::data::{Dataset, Pages};

/// rows × columns.
#[derive(Debug, Clone, Copy)]
pub enum Features<'a> {
    /// In memory.
    Whole(&'a Array2<f32>),
    /// On disk.
    Paged(&'a Pages),
}

/// Bytes of rows that are read from disk at a time when all are wanted in turn.
const BLOCK_BYTES: usize = 16 << 20;

impl<'a> Features<'a> {
    /// The features of a channel.
    pub fn of(data: &'a Dataset) -> Features<'a> {
        match &data.pages {
            Some(pages) => Features::Paged(pages),
            None => Features::Whole(&data.features),
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Features::Whole(all) => all.nrows(),
            Features::Paged(pages) => pages.rows(),
        }
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        match self {
            Features::Whole(all) => all.ncols(),
            Features::Paged(pages) => pages.width(),
        }
    }

    /// Whether they are on disk.
    pub fn paged(&self) -> bool {
        matches!(self, Features::Paged(_))
    }

    /// A permutation of the rows for an epoch; it follows from the seed, and on disk from the size
    /// of the windows as well.
    pub fn order(&self, seed: u64, epoch: usize) -> Vec<u32> {
        match self {
            Features::Whole(all) => order::shuffled(seed, epoch, all.nrows()),
            Features::Paged(pages) => {
                let (page, window) = (pages.page_rows(), pages.window_rows());
                order::windowed(seed, epoch, pages.rows(), page, window)
            }
        }
    }

    /// Sees to it that [`standardised`](Self::standardised) finds these rows in memory.
    ///
    /// # Errors
    /// [`Error::Scratch`] when the disk fails.
    pub fn ready(&self, rows: &[u32]) -> Result<(), Error> {
        match self {
            Features::Whole(_) => Ok(()),
            Features::Paged(pages) => pages.ready(rows).map_err(failed),
        }
    }

    /// Lets go of what is held in memory of rows on disk.
    pub fn rest(&self) {
        if let Features::Paged(pages) = self {
            pages.rest();
        }
    }

    /// The rows with these numbers, which rise; rows × columns.
    ///
    /// # Errors
    /// [`Error::Scratch`] when the disk fails.
    pub fn picked(&self, rows: &[u32]) -> Result<Array2<f32>, Error> {
        let mut values = Vec::with_capacity(rows.len() * self.width());
        let mut left = rows;
        self.each_block(|first, block| {
            let here = left.partition_point(|row| (*row as usize) < first + block.nrows());
            for row in &left[..here] {
                values.extend(block.row(*row as usize - first));
            }
            left = &left[here..];
            Ok(())
        })?;
        Ok(Array2::from_shape_vec((rows.len(), self.width()), values)
            .expect("every row was found once"))
    }

    /// Writes `rows`, standardised, into `out` one after the other. Rows on disk have to be
    /// [`ready`](Self::ready).
    pub fn standardised(&self, scaler: &Standardiser, rows: &[u32], out: &mut [f32]) {
        let width = self.width();
        if width == 0 {
            return;
        }
        match self {
            Features::Paged(pages) => pages.gather(rows, |place, row| {
                scaler.row(row, &mut out[place * width..(place + 1) * width]);
            }),
            Features::Whole(all) => match all.as_slice() {
                Some(values) => {
                    for (row, out) in rows.iter().zip(out.chunks_exact_mut(width)) {
                        let start = *row as usize * width;
                        scaler.row(&values[start..start + width], out);
                    }
                }
                None => {
                    for (row, out) in rows.iter().zip(out.chunks_exact_mut(width)) {
                        scaler.row(&all.row(*row as usize).to_vec(), out);
                    }
                }
            },
        }
    }

    /// Calls `take` with all rows in turn, block by block, and the number of each block's first row.
    /// In memory all rows are one block.
    ///
    /// # Errors
    /// [`Error::Scratch`] when the disk fails, and those of `take`.
    pub fn each_block(
        &self,
        mut take: impl FnMut(usize, ArrayView2<'_, f32>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self {
            Features::Whole(all) => take(0, all.view()),
            Features::Paged(pages) => {
                for range in pages.ranges(BLOCK_BYTES) {
                    let (first, block) = (range.start, pages.block(range).map_err(failed)?);
                    take(first, block.view())?;
                }
                Ok(())
            }
        }
    }

    /// The rows `range`, in standard layout: those in memory where they are, if they lie so.
    ///
    /// # Errors
    /// [`Error::Scratch`] when the disk fails.
    pub fn stretch(&self, range: Range<usize>) -> Result<CowArray<'a, f32, Ix2>, Error> {
        match self {
            Features::Whole(all) => {
                let rows = all.view().slice_axis_move(Axis(0), Slice::from(range));
                Ok(match rows.is_standard_layout() {
                    true => rows.into(),
                    false => rows.as_standard_layout().into_owned().into(),
                })
            }
            Features::Paged(pages) => Ok(pages.block(range).map_err(failed)?.into()),
        }
    }

    /// What `of` gives for all rows, one after the other.
    ///
    /// # Errors
    /// [`Error::Scratch`] when the disk fails.
    pub fn map(&self, of: impl Fn(&ArrayView2<'_, f32>) -> Vec<f32>) -> Result<Vec<f32>, Error> {
        let Features::Paged(_) = self else {
            let mut whole = Vec::new();
            self.each_block(|_, block| {
                whole = of(&block);
                Ok(())
            })?;
            return Ok(whole);
        };
        let mut joined = Vec::new();
        self.each_block(|_, block| {
            let found = of(&block);
            if joined.capacity() == 0 && block.nrows() > 0 {
                joined.reserve_exact(found.len() / block.nrows() * self.rows());
            }
            joined.extend_from_slice(&found);
            Ok(())
        })?;
        Ok(joined)
    }

    /// Folds the rows into one state for each stretch of [`BLOCK_ROWS`] rows, several stretches
    /// side by side, and gives the states in order. The stretches do not depend on where the rows
    /// are, so sums do not either.
    ///
    /// # Errors
    /// [`Error::Scratch`] when the disk fails.
    pub fn fold<S: Send>(
        &self,
        first: impl Fn() -> S + Sync,
        add: impl Fn(&mut S, usize, ArrayView1<'_, f32>) + Sync,
    ) -> Result<Vec<S>, Error> {
        let starts: Vec<usize> = (0..self.rows()).step_by(BLOCK_ROWS).collect();
        let stretch = |start: usize| {
            let end = (start + BLOCK_ROWS).min(self.rows());
            let mut state = first();
            match self {
                Features::Whole(all) => {
                    let rows = all.slice_axis(Axis(0), Slice::from(start..end));
                    for (at, row) in rows.rows().into_iter().enumerate() {
                        add(&mut state, start + at, row);
                    }
                }
                Features::Paged(pages) => {
                    for from in (start..end).step_by(pages.page_rows()) {
                        let to = (from + pages.page_rows()).min(end);
                        let page = pages.block(from..to).map_err(failed)?;
                        for (at, row) in page.rows().into_iter().enumerate() {
                            add(&mut state, from + at, row);
                        }
                    }
                }
            }
            Ok(state)
        };
        starts.into_par_iter().map(stretch).collect()
    }
}

/// `count` of the numbers below `rows` that are `eligible`, drawn without replacement and in order
/// (Knuth, vol. 2, 3.4.2, algorithm S); all of them when there are no more.
pub fn sample(
    rows: usize,
    count: usize,
    stream: &mut Stream,
    eligible: impl Fn(usize) -> bool,
) -> Vec<u32> {
    let mut left = (0..rows).filter(|row| eligible(*row)).count();
    let mut wanted = count.min(left);
    let mut taken = Vec::with_capacity(wanted);
    for row in (0..rows).filter(|row| eligible(*row)) {
        if wanted == 0 {
            break;
        }
        if stream.below(left as u64) < wanted as u64 {
            taken.push(u32::try_from(row).expect("a channel has fewer than 2^32 rows"));
            wanted -= 1;
        }
        left -= 1;
    }
    taken
}

fn failed(source: std::io::Error) -> Error {
    Error::Scratch { source }
}
