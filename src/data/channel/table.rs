//! The dataset while it grows: in memory as long as it fits, then on disk.

use std::collections::BTreeSet;

use super::stream::Stream;
use super::{Options, ROW_BYTES};
use crate::data::error::Error;
use crate::data::group::Groups;
use crate::data::label::LabelRows;
use crate::data::pages::{PageWriter, Pages};
use crate::data::rows::Rows;
use crate::data::sparse::Entries;
use crate::data::words::Dictionary;

/// Stored bytes after which it can be told how large the rest will be.
const EARLY_BYTES: u64 = 4 << 20;

/// What was read so far.
#[derive(Default)]
pub(super) struct Table {
    pub(super) features: Vec<f32>,
    /// Where the features go once they do not fit.
    spilled: Option<PageWriter>,
    pub(super) entries: Option<Entries>,
    pub(super) label: LabelRows,
    pub(super) weight: Vec<f32>,
    pub(super) groups: Groups,
    pub(super) dictionary: Dictionary,
    pub(super) surprises: BTreeSet<usize>,
    pub(super) rows: usize,
}

impl Table {
    pub(super) fn append(
        &mut self,
        mut rows: Rows,
        stream: &Stream,
        options: &Options,
        stored_bytes: Option<u64>,
    ) -> Result<(), Error> {
        self.surprises.append(&mut rows.surprises);
        if !self.surprises.is_empty() {
            // The channel is read anew; only what other surprises it holds is of interest now.
            *self = Table { surprises: std::mem::take(&mut self.surprises), ..Table::default() };
            stream.spent.put(rows.features);
            return Ok(());
        }
        stream.take_words(&mut self.dictionary, &mut rows)?;
        let beside = 1 + usize::from(!rows.weight.is_empty()) + usize::from(rows.group.is_used());
        self.spill(&rows, beside, stream, options, stored_bytes)?;
        let needed_bytes = self.needed_bytes(&rows, beside, stream);
        let refused = |needed_bytes: u64| Error::Memory {
            channel: options.channel.clone(),
            needed_bytes: projected(needed_bytes, stream.bytes_before_block, stored_bytes),
            limit_bytes: options.memory_bytes_max,
        };
        if needed_bytes > options.memory_bytes_max {
            return Err(refused(needed_bytes));
        }
        if let Some(pages) = &mut self.spilled {
            pages.push(&rows.features).map_err(|source| options.unspilled(source))?;
        } else {
            // Growing moves pages, not bytes, on the systems that matter, and what is reserved
            // beyond the end is not resident.
            self.features.try_reserve(rows.features.len()).map_err(|_| refused(needed_bytes))?;
            self.features.extend_from_slice(&rows.features);
        }
        if let Some(next) = &rows.entries
            && !self.entries.get_or_insert_default().append(next)
        {
            return Err(refused(needed_bytes));
        }
        self.rows += rows.count;
        stream.spent.put(rows.features);
        self.weight.append(&mut rows.weight);
        self.groups.append(rows.group).map_err(|refused| stream.group_error(refused))?;
        self.label.append(rows.label).map_err(|refused| stream.label_error(refused))
    }
}

impl Table {
    /// What is held once `rows` are appended.
    fn needed_bytes(&self, rows: &Rows, beside: usize, stream: &Stream) -> u64 {
        let count = (self.rows + rows.count) as u64;
        let values = match &self.spilled {
            Some(_) => ROW_BYTES * count,
            None => {
                let held = (self.features.len() + rows.features.len()) as u64;
                4 * (held + beside as u64 * count)
            }
        };
        let entry_bytes = |entries: &Option<Entries>| entries.as_ref().map_or(0, Entries::bytes);
        let sparse_bytes = entry_bytes(&self.entries) + entry_bytes(&rows.entries);
        values + (self.groups.bytes + sparse_bytes) as u64 + stream.in_flight_bytes()
    }

    /// Turns to disk when `rows` do not fit any more, or all that follow will not.
    fn spill(
        &mut self,
        rows: &Rows,
        beside: usize,
        stream: &Stream,
        options: &Options,
        stored_bytes: Option<u64>,
    ) -> Result<(), Error> {
        let (Some(spill), None) = (&options.spill, &self.spilled) else { return Ok(()) };
        if rows.count == 0 || rows.features.is_empty() {
            return Ok(());
        }
        let needed = self.needed_bytes(rows, beside, stream);
        let read = stream.bytes_before_block;
        let told = read >= EARLY_BYTES;
        let expected = if told { projected(needed, read, stored_bytes) } else { needed };
        if expected <= options.memory_bytes_max {
            return Ok(());
        }
        let width = rows.features.len() / rows.count;
        let mut writer = PageWriter::new(spill.scratches.clone(), width)
            .map_err(|source| options.unspilled(source))?;
        writer.push(&self.features).map_err(|source| options.unspilled(source))?;
        self.features = Vec::new();
        self.spilled = Some(writer);
        Ok(())
    }

    /// The rows on disk, if they went there.
    pub(super) fn pages(&mut self, options: &Options) -> Result<Option<Pages>, Error> {
        let (Some(spill), Some(writer)) = (&options.spill, self.spilled.take()) else {
            return Ok(None);
        };
        writer.finish(spill.room_bytes).map(Some).map_err(|source| options.unspilled(source))
    }
}

/// What the whole channel will need if it goes on as it began.
fn projected(needed_bytes: u64, read_bytes: u64, stored_bytes: Option<u64>) -> u64 {
    match stored_bytes {
        Some(stored) if read_bytes > 0 && stored > read_bytes => {
            (needed_bytes as f64 * (stored as f64 / read_bytes as f64)) as u64
        }
        _ => needed_bytes,
    }
}
