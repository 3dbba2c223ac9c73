//! Rows that do not fit into memory: pages of numbers in a file of this process, read again in
//! every epoch.
//!
//! The bytes lie in a [`Scratch`], which whoever runs the job hands in: it decides where the file
//! is and whether it is sealed. A page is read back only after it was written whole, so rows come
//! back bit for bit. Labels, weights and groups stay in memory.
//!
//! Rows are wanted in two ways. In order, for sums and scores: [`Pages::block`]. Shuffled, for
//! learning: the order of an epoch keeps to one window of pages after the other, so that
//! [`Pages::ready`] holds two windows at most.

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use ndarray::{Array2, ArrayView1};
use rayon::prelude::*;

/// Numbered pieces of bytes outside memory, kept as long as this value lives.
pub trait Scratch: Send + Sync + Debug {
    /// Keeps `piece`; the pieces are numbered from 0 in the order they are kept.
    ///
    /// # Errors
    /// When the disk is full or fails.
    fn keep(&mut self, piece: &[u8]) -> io::Result<()>;

    /// The piece of that number.
    ///
    /// # Errors
    /// When the disk fails, or the bytes are not those that were kept.
    fn fetch(&self, number: usize) -> io::Result<Vec<u8>>;
}

/// Makes scratches.
pub trait Scratches: Send + Sync + Debug {
    /// A new, empty one.
    ///
    /// # Errors
    /// When no file can be made.
    fn make(&self) -> io::Result<Box<dyn Scratch>>;
}

/// Bytes of a page, or one row where that is more.
const PAGE_BYTES: usize = 1 << 20;
/// A page has at most so many rows, and a power of two of them: blocks of so many rows are then
/// whole pages, and sums over them are those of rows in memory.
pub const BLOCK_ROWS: usize = 4096;

fn page_rows(width: usize) -> usize {
    let fitting = (PAGE_BYTES / (4 * width.max(1))).clamp(1, BLOCK_ROWS);
    1 << fitting.ilog2()
}

/// Of the memory that rows on disk may take, each of two windows of pages takes this part.
const WINDOWS: u64 = 16;

/// Takes rows in and writes them page by page.
#[derive(Debug)]
pub struct PageWriter {
    scratches: Arc<dyn Scratches>,
    scratch: Box<dyn Scratch>,
    width: usize,
    page_rows: usize,
    rows: usize,
    /// Numbers that do not fill a page yet.
    open: Vec<f32>,
    bytes: Vec<u8>,
}

impl PageWriter {
    /// For rows of `width` numbers.
    ///
    /// # Errors
    /// When no file can be made.
    pub fn new(scratches: Arc<dyn Scratches>, width: usize) -> io::Result<PageWriter> {
        let (scratch, page_rows) = (scratches.make()?, page_rows(width));
        let (open, bytes) = (Vec::new(), Vec::new());
        Ok(PageWriter { scratches, scratch, width, page_rows, rows: 0, open, bytes })
    }

    /// Takes whole rows.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn push(&mut self, mut values: &[f32]) -> io::Result<()> {
        let page = self.page_rows * self.width;
        self.rows += values.len() / self.width.max(1);
        while !values.is_empty() {
            if self.open.is_empty() && values.len() >= page {
                self.write(&values[..page])?;
                values = &values[page..];
                continue;
            }
            let taken = values.len().min(page - self.open.len());
            self.open.extend_from_slice(&values[..taken]);
            values = &values[taken..];
            if self.open.len() == page {
                let full = std::mem::take(&mut self.open);
                self.write(&full)?;
                self.open = full;
                self.open.clear();
            }
        }
        Ok(())
    }

    /// After the last row. `room_bytes` is the memory that they may take from now on; a page at
    /// least is taken.
    ///
    /// # Errors
    /// When the last page cannot be written.
    pub fn finish(mut self, room_bytes: u64) -> io::Result<Pages> {
        if !self.open.is_empty() {
            let last = std::mem::take(&mut self.open);
            self.write(&last)?;
        }
        let count = self.rows.div_ceil(self.page_rows);
        let page_bytes = (4 * self.page_rows * self.width.max(1)) as u64;
        let window = usize::try_from(room_bytes / WINDOWS / page_bytes).unwrap_or(usize::MAX);
        let held = Held { pages: Vec::new(), used: vec![0; count], clock: 0 };
        let mut pages = Pages {
            scratches: self.scratches,
            scratch: self.scratch,
            room_bytes,
            rows: self.rows,
            width: self.width,
            page_rows: self.page_rows,
            window: window.clamp(1, count.max(1)),
            held: RwLock::new(held),
        };
        let held = pages.held.get_mut().unwrap_or_else(PoisonError::into_inner);
        held.pages.resize_with(count, || None);
        Ok(pages)
    }

    fn write(&mut self, values: &[f32]) -> io::Result<()> {
        self.bytes.resize(4 * values.len(), 0);
        for (bytes, value) in self.bytes.chunks_exact_mut(4).zip(values) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
        self.scratch.keep(&self.bytes)
    }
}

/// Rows on disk.
#[derive(Debug)]
pub struct Pages {
    scratches: Arc<dyn Scratches>,
    scratch: Box<dyn Scratch>,
    room_bytes: u64,
    rows: usize,
    width: usize,
    page_rows: usize,
    /// Pages of a window.
    window: usize,
    held: RwLock<Held>,
}

/// Pages in memory.
#[derive(Debug)]
struct Held {
    pages: Vec<Option<Vec<f32>>>,
    /// When each was wanted last.
    used: Vec<u64>,
    clock: u64,
}

impl Pages {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers in each.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The memory that work on them may take.
    pub fn room_bytes(&self) -> u64 {
        self.room_bytes
    }

    /// A new file of the same kind, for what is made of the rows.
    ///
    /// # Errors
    /// When no file can be made.
    pub fn aside(&self) -> io::Result<Box<dyn Scratch>> {
        self.scratches.make()
    }

    /// Takes rows of another width in, beside these.
    ///
    /// # Errors
    /// When no file can be made.
    pub fn like(&self, width: usize) -> io::Result<PageWriter> {
        PageWriter::new(self.scratches.clone(), width)
    }

    /// Rows of a page; a power of two, and [`BLOCK_ROWS`] at most. The last page may have fewer.
    pub fn page_rows(&self) -> usize {
        self.page_rows
    }

    /// Rows of a window: an order that shuffles within such stretches of pages is read at the
    /// speed of the disk.
    pub fn window_rows(&self) -> usize {
        self.window * self.page_rows
    }

    /// The rows `range`, rows × width, one after the other. Nothing stays in memory.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn block(&self, range: Range<usize>) -> io::Result<Array2<f32>> {
        let range = range.start.min(self.rows)..range.end.min(self.rows);
        let count = range.len();
        let mut values = Vec::with_capacity(count * self.width);
        if count > 0 {
            let numbers = range.start / self.page_rows..(range.end - 1) / self.page_rows + 1;
            let pages: Vec<io::Result<Vec<f32>>> =
                numbers.clone().into_par_iter().map(|number| self.fetch(number)).collect();
            for (number, page) in numbers.zip(pages) {
                let (first, page) = (number * self.page_rows, page?);
                let from = range.start.saturating_sub(first) * self.width;
                let to = (range.end - first).min(self.page_rows) * self.width;
                values.extend_from_slice(&page[from..to.min(page.len())]);
            }
        }
        Array2::from_shape_vec((count, self.width), values)
            .map_err(|_| io::Error::other("a page has another size than it was written with"))
    }

    /// Ranges of rows that together are all, each of about `bytes` and of whole blocks of
    /// [`BLOCK_ROWS`] rows.
    pub fn ranges(&self, bytes: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let blocks = (bytes / (4 * self.width.max(1) * BLOCK_ROWS)).max(1);
        let (rows, step) = (self.rows, blocks * BLOCK_ROWS);
        (0..rows).step_by(step).map(move |from| from..(from + step).min(rows))
    }

    /// Sees to it that [`gather`](Self::gather) finds these rows in memory, reading several pages
    /// side by side. Pages that were not wanted for longest leave, so that two windows stay.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn ready(&self, rows: &[u32]) -> io::Result<()> {
        let mut wanted: Vec<usize> =
            rows.iter().map(|row| *row as usize / self.page_rows).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let missing: Vec<usize> = {
            let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
            wanted.iter().copied().filter(|number| held.pages[*number].is_none()).collect()
        };
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.clock += 1;
        let now = held.clock;
        wanted.iter().for_each(|number| held.used[*number] = now);
        if missing.is_empty() {
            return Ok(());
        }
        let count = held.pages.iter().flatten().count();
        let room = (2 * self.window).max(wanted.len());
        held.release((count + missing.len()).saturating_sub(room), now);
        let read: io::Result<Vec<_>> =
            missing.par_iter().map(|number| Ok((*number, self.fetch(*number)?))).collect();
        for (number, page) in read? {
            held.pages[number] = Some(page);
        }
        Ok(())
    }

    /// Calls `take` with each of `rows` in turn, and its place among them. They have to be
    /// [`ready`](Self::ready).
    pub fn gather(&self, rows: &[u32], mut take: impl FnMut(usize, &[f32])) {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        for (place, row) in rows.iter().enumerate() {
            let row = *row as usize;
            let page = held.pages[row / self.page_rows]
                .as_ref()
                .expect("the rows of a step are made ready before it");
            let start = row % self.page_rows * self.width;
            take(place, &page[start..start + self.width]);
        }
    }

    /// Lets go of every page in memory.
    pub fn rest(&self) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.pages.iter_mut().for_each(|page| *page = None);
    }

    /// One row, without holding its page.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn row(&self, row: usize) -> io::Result<Vec<f32>> {
        let block = self.block(row..row + 1)?;
        Ok(ArrayView1::from(block.row(0)).to_vec())
    }

    fn fetch(&self, number: usize) -> io::Result<Vec<f32>> {
        let bytes = self.scratch.fetch(number)?;
        let value = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        Ok(bytes.chunks_exact(4).map(value).collect())
    }
}

impl Held {
    /// Lets `count` pages go, those that were not wanted for longest, and none that is wanted `now`.
    fn release(&mut self, count: usize, now: u64) {
        if count == 0 {
            return;
        }
        let mut idle: Vec<(u64, usize)> = (0..self.pages.len())
            .filter(|number| self.pages[*number].is_some() && self.used[*number] < now)
            .map(|number| (self.used[number], number))
            .collect();
        idle.sort_unstable();
        for (_, number) in idle.into_iter().take(count) {
            self.pages[number] = None;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Pieces in memory.
    #[derive(Debug, Default)]
    pub(crate) struct Kept {
        pieces: Vec<Vec<u8>>,
    }

    impl Scratch for Kept {
        fn keep(&mut self, piece: &[u8]) -> io::Result<()> {
            self.pieces.push(piece.to_vec());
            Ok(())
        }

        fn fetch(&self, number: usize) -> io::Result<Vec<u8>> {
            Ok(self.pieces[number].clone())
        }
    }

    /// Makes them.
    #[derive(Debug)]
    pub(crate) struct Keeps;

    impl Scratches for Keeps {
        fn make(&self) -> io::Result<Box<dyn Scratch>> {
            Ok(Box::new(Kept::default()))
        }
    }

    /// `rows` rows of `width` numbers, each telling its place.
    fn pages(rows: usize, width: usize, step: usize, room_bytes: u64) -> Pages {
        let values: Vec<f32> = (0..rows * width).map(|at| at as f32).collect();
        let mut writer = PageWriter::new(Arc::new(Keeps), width).unwrap();
        for piece in values.chunks(step * width) {
            writer.push(piece).unwrap();
        }
        writer.finish(room_bytes).unwrap()
    }

    #[test]
    fn rows_come_back_however_they_were_written() {
        for (rows, width, step) in [(1, 1, 1), (10_000, 3, 7), (10_000, 3, 9_999), (70, 40_000, 3)]
        {
            let pages = pages(rows, width, step, 0);
            assert_eq!((pages.rows(), pages.width()), (rows, width));
            let all = pages.block(0..rows).unwrap();
            assert!(all.iter().enumerate().all(|(at, value)| *value == at as f32));
            let some = pages.block(rows / 3..rows / 2 + 1).unwrap();
            assert_eq!(some[[0, 0]], (rows / 3 * width) as f32);
            let ranges: Vec<_> = pages.ranges(1 << 16).collect();
            assert_eq!(ranges.iter().map(ExactSizeIterator::len).sum::<usize>(), rows);
        }
    }

    #[test]
    fn shuffled_rows_are_found_and_two_windows_stay() {
        let pages = pages(50_000, 2, 100, 16 * 3 * 4096 * 8);
        assert_eq!(pages.window_rows(), 3 * 4096);
        for from in (0..50_000_u32).step_by(500) {
            let rows: Vec<u32> = (from..(from + 500).min(50_000)).rev().collect();
            pages.ready(&rows).unwrap();
            pages.gather(&rows, |place, row| assert_eq!(row[0], (rows[place] * 2) as f32));
            assert!(pages.held.read().unwrap().pages.iter().flatten().count() <= 6);
        }
        pages.rest();
        assert_eq!(pages.held.read().unwrap().pages.iter().flatten().count(), 0);
        assert_eq!(pages.row(49_999).unwrap(), [99_998.0, 99_999.0]);
    }
}
