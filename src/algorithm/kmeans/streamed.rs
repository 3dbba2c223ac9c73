//! Lloyd's iterations over rows that lie on disk: the first centres from a sample, which Lloyd
//! groups in memory before, so that few passes over the disk are left; then a pass for each
//! iteration.
//!
//! The sums of a pass start from nothing: to take away only what changed, as in memory, the codes
//! of all rows would have to be kept, and reading the rows costs more than adding them. A model is
//! therefore not bit for bit that of rows in memory, and as good.

use super::lloyd::{End, Far, NONE, Rows, Run, farthest};
use super::nearest::{Centres, Panels};
use super::seeding::{Init, first_centres};
use crate::algorithm::features::sample;
use crate::algorithm::net::random::{Purpose, Stream};
use crate::algorithm::standardise::Standardiser;
use crate::algorithm::{Error, Features};
use crate::data::Pages;

/// Rows of a sample that Lloyd begins with; more where centres are many.
const SAMPLE_ROWS: usize = 1 << 16;
/// And so many for each centre.
const SAMPLE_ROWS_PER_CENTRE: usize = 20;
/// Of the memory there is, a sample takes this part.
const SAMPLE_PART: u64 = 8;

/// The rows that Lloyd groups, wherever they are.
pub(super) enum Source<'a> {
    /// In memory, and what each weighs.
    Memory(Panels, Option<&'a [f32]>),
    /// On disk.
    Disk(Disk<'a>),
}

/// Rows on disk.
#[derive(Clone, Copy)]
pub(super) struct Disk<'a> {
    pub(super) pages: &'a Pages,
    pub(super) weights: Option<&'a [f32]>,
    pub(super) standardiser: &'a Standardiser,
}

impl Disk<'_> {
    /// About `wanted` rows of weight, drawn from all alike: as many as fit, and no fewer than
    /// `centres`.
    ///
    /// # Errors
    /// `Error::Scratch` when they cannot be read.
    pub(super) fn sample(
        &self,
        wanted: usize,
        centres: usize,
        seed: u64,
    ) -> Result<(Panels, Option<Vec<f32>>), Error> {
        // The rows twice, as they are and in panels, and what k-means++ notes beside each.
        let row_bytes = 4 * (2 * self.pages.width() + 16) as u64;
        let fitting = self.pages.room_bytes() / SAMPLE_PART / row_bytes;
        let fitting = usize::try_from(fitting).unwrap_or(usize::MAX);
        let mut stream = Stream::new(seed, Purpose::Sample, 0);
        let weighs = |row: usize| self.weights.is_none_or(|all| all[row] > 0.0);
        let count = wanted.min(fitting).max(centres);
        let numbers = sample(self.pages.rows(), count, &mut stream, weighs);
        let rows = Features::Paged(self.pages).picked(&numbers)?;
        let weights = self.weights.map(|all| numbers.iter().map(|at| all[*at as usize]).collect());
        Ok((Panels::new(rows.view(), self.standardiser), weights))
    }

    /// `count` centres that Lloyd found in a sample.
    fn first_centres(
        &self,
        init: Init,
        count: usize,
        seed: u64,
        trial: u64,
        end: End,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<f32>, Error> {
        let wanted = SAMPLE_ROWS.max(SAMPLE_ROWS_PER_CENTRE * count);
        let (panels, weights) = self.sample(wanted, count, seed)?;
        let mut stream = Stream::new(seed, Purpose::Centres, trial);
        let first = first_centres(init, &panels, weights.as_deref(), count, &mut stream);
        let mut run = Run::new(first, panels.width);
        let rows = Rows { panels: &panels, weights: weights.as_deref() };
        run.go(&rows, end, &mut |_| if stop() { Err(Error::Stopped) } else { Ok(()) })?;
        Ok(run.centres)
    }

    /// The weighted sum of the rows' squared lengths.
    fn squares(&self) -> Result<f64, Error> {
        let mut total = 0.0;
        self.each(|_, rows| {
            total += squares(rows);
            Ok(())
        })?;
        Ok(total)
    }

    fn go(
        &self,
        run: &mut Run,
        end: End,
        each: &mut dyn FnMut(&Run) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while !run.over {
            let centres = Centres::new(self.pages.width(), std::mem::take(&mut run.centres));
            run.sums.fill(0.0);
            run.weight.fill(0.0);
            let mut inertia = 0.0;
            self.each(|_, rows| {
                let squares = rows.panels.squares();
                run.assign(rows, &squares, &centres, &mut vec![NONE; squares.len()]);
                inertia += run.inertia;
                Ok(())
            })?;
            run.inertia = inertia;
            let far = self.farthest(&centres, run.empty().len())?;
            run.move_to_means(centres, &far, end);
            each(run)?;
        }
        Ok(())
    }

    /// The `count` rows farthest from their centres, farthest first.
    fn farthest(&self, centres: &Centres, count: usize) -> Result<Vec<Far>, Error> {
        let mut far: Vec<Far> = Vec::new();
        if count == 0 {
            return Ok(far);
        }
        self.each(|first, rows| {
            let lanes = rows.panels.values.len() / rows.panels.width;
            let (mut codes, mut scores) = (vec![0; lanes], vec![0.0; lanes]);
            centres.nearest(&rows.panels.values, &mut codes, &mut scores);
            let here = farthest(rows, centres, &codes, count).into_iter();
            far.extend(here.map(|far| Far { row: far.row + first, ..far }));
            far.sort_by(|a, b| b.distance.total_cmp(&a.distance).then(a.row.cmp(&b.row)));
            far.truncate(count);
            Ok(())
        })?;
        Ok(far)
    }

    /// Calls `take` with all rows in turn, block by block, and the number of each block's first.
    fn each(
        &self,
        mut take: impl FnMut(usize, &Rows<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        Features::Paged(self.pages).each_block(|first, block| {
            let panels = Panels::new(block, self.standardiser);
            let weights = self.weights.map(|all| &all[first..first + panels.rows]);
            take(first, &Rows { panels: &panels, weights })
        })
    }
}

impl<'a> Source<'a> {
    /// The rows of these features.
    pub(super) fn of(
        features: Features<'a>,
        weights: Option<&'a [f32]>,
        standardiser: &'a Standardiser,
    ) -> Source<'a> {
        match features {
            Features::Whole(rows) => {
                Source::Memory(Panels::new(rows.view(), standardiser), weights)
            }
            Features::Paged(pages) => Source::Disk(Disk { pages, weights, standardiser }),
        }
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        match self {
            Source::Memory(panels, _) => panels.rows,
            Source::Disk(disk) => disk.pages.rows(),
        }
    }

    /// The weighted sum of the rows' squared lengths.
    ///
    /// # Errors
    /// `Error::Scratch` when the rows cannot be read.
    pub(super) fn squares(&self) -> Result<f64, Error> {
        match self {
            Source::Memory(panels, weights) => Ok(squares(&Rows { panels, weights: *weights })),
            Source::Disk(disk) => disk.squares(),
        }
    }

    /// `count` centres to begin with.
    ///
    /// # Errors
    /// `Error::Scratch` when the rows cannot be read; `Error::Stopped`.
    pub(super) fn first_centres(
        &self,
        init: Init,
        count: usize,
        seed: u64,
        trial: u64,
        end: End,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<f32>, Error> {
        match self {
            Source::Memory(panels, weights) => {
                let mut stream = Stream::new(seed, Purpose::Centres, trial);
                Ok(first_centres(init, panels, *weights, count, &mut stream))
            }
            Source::Disk(disk) => disk.first_centres(init, count, seed, trial, end, stop),
        }
    }

    /// Iterates to the end, asking `each` after every iteration whether to go on.
    ///
    /// # Errors
    /// What `each` says, and `Error::Scratch`.
    pub(super) fn go(
        &self,
        run: &mut Run,
        end: End,
        each: &mut dyn FnMut(&Run) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self {
            Source::Memory(panels, weights) => {
                run.go(&Rows { panels, weights: *weights }, end, each)
            }
            Source::Disk(disk) => disk.go(run, end, each),
        }
    }
}

/// The weighted sum of the rows' squared lengths.
pub(super) fn squares(rows: &Rows<'_>) -> f64 {
    let squares = rows.panels.squares();
    let squares = squares[..rows.panels.rows].iter().map(|square| f64::from(*square));
    match rows.weights {
        None => squares.sum(),
        Some(weights) => squares.zip(weights).map(|(square, w)| square * f64::from(*w)).sum(),
    }
}
