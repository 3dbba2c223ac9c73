//! How the channels of a job share its memory.

use std::io;
use std::sync::Arc;

use crate::data::channel::{Options, Spill};
use crate::data::{self, Dataset, pages};
use crate::spec::train::{Channel, TrainingJob};

use super::error::Error;
use super::objects::Chosen;
use super::scratch::Scratches;

/// Sparse rows may take, filled up on disk, as many times the memory of the job.
const FILLED_MAX: u64 = 64;

/// `resources.memory_bytes_max`, and what is left of it.
pub(super) struct Memory {
    /// All of it.
    pub(super) limit: u64,
    left: u64,
    /// Bytes of all channels as they are stored.
    stored: u64,
    /// Where rows go that do not fit; `None` when the algorithm wants them in memory.
    scratches: Option<Arc<dyn pages::Scratches>>,
}

impl Memory {
    /// For these channels; `streams` when the algorithm takes rows from disk.
    pub(super) fn new(
        spec: &TrainingJob,
        streams: bool,
        channels: &[(&str, &Channel, Chosen)],
    ) -> Memory {
        let limit = spec.resources.memory_bytes_max;
        let scratches = || -> Arc<dyn pages::Scratches> {
            Arc::new(Scratches::new(&spec.resources, &spec.output.key))
        };
        Memory {
            limit,
            left: limit,
            stored: channels.iter().map(|(_, _, chosen)| chosen.bytes()).sum::<u64>().max(1),
            scratches: streams.then(scratches),
        }
    }

    /// What one channel may take. One that may go to disk gets a part of the memory as large as
    /// its part of the data, so that those after it find theirs; one that may not gets all that is
    /// left. Channels are read one after the other, so what reading itself takes counts once.
    pub(super) fn grant(&self, chosen: &Chosen, mut options: Options) -> Options {
        options.memory_bytes_max = self.left;
        if let Some(scratches) = &self.scratches {
            let reading = options.in_flight_bytes();
            let share = (self.limit.saturating_sub(reading) as f64 * self.part(chosen)) as u64;
            options.memory_bytes_max = share + reading;
            options.spill = Some(Spill { scratches: scratches.clone(), room_bytes: share });
        }
        options
    }

    /// A channel was read.
    pub(super) fn take(&mut self, dataset: &Dataset) {
        self.left = self.left.saturating_sub(bytes_of(dataset));
    }

    /// What a channel lacks, told as what the job lacks: its memory is for all channels together.
    pub(super) fn of_the_job(
        &self,
        error: data::Error,
        options: &Options,
        chosen: &Chosen,
    ) -> data::Error {
        match error {
            data::Error::Memory { channel, needed_bytes, .. } if options.spill.is_some() => {
                let reading = options.in_flight_bytes();
                let own = needed_bytes.saturating_sub(reading) as f64;
                let needed_bytes = (own / self.part(chosen).max(1e-9)) as u64 + reading;
                data::Error::Memory { channel, needed_bytes, limit_bytes: self.limit }
            }
            other => other,
        }
    }

    /// Makes sparse rows whole: in memory if they fit into what is left, else on disk if the
    /// algorithm streams.
    ///
    /// # Errors
    /// [`Error::Whole`] when they do not fit; [`Error::Data`] when the disk fails.
    pub(super) fn fill(
        &mut self,
        name: &str,
        dataset: &mut Dataset,
        absent: data::Absent,
    ) -> Result<(), Error> {
        let Some(sparse) = dataset.sparse.take() else { return Ok(()) };
        let whole_bytes = 4 * sparse.rows() as u64 * sparse.width as u64;
        if whole_bytes <= self.left {
            dataset.features = sparse.dense(absent.value());
            self.left = (self.left + sparse_bytes(&sparse)).saturating_sub(whole_bytes);
            return Ok(());
        }
        // Wide rows that hold next to nothing would fill the disk before anything is learned.
        let bearable = whole_bytes / FILLED_MAX <= self.limit;
        let Some(scratches) = self.scratches.as_ref().filter(|_| bearable) else {
            return Err(Error::Whole {
                channel: name.to_owned(),
                rows: sparse.rows(),
                features: sparse.width,
                bytes: whole_bytes,
                needed_bytes: self.limit - self.left + whole_bytes,
                limit_bytes: self.limit,
            });
        };
        let room_bytes = self.left / 2;
        let pages = spill(&sparse, absent, scratches.clone(), room_bytes);
        let pages = pages.map_err(|source| {
            let channel = format!("channels.{name}");
            let source = Box::new(data::Error::Scratch { channel, source });
            Error::Data { channel: name.to_owned(), source }
        })?;
        dataset.pages = Some(Arc::new(pages));
        self.left = (self.left + sparse_bytes(&sparse)).saturating_sub(room_bytes);
        Ok(())
    }

    fn part(&self, chosen: &Chosen) -> f64 {
        chosen.bytes() as f64 / self.stored as f64
    }
}

/// Sparse rows, filled up a page at a time, on disk.
fn spill(
    sparse: &data::Sparse,
    absent: data::Absent,
    scratches: Arc<dyn pages::Scratches>,
    room_bytes: u64,
) -> io::Result<data::Pages> {
    let mut writer = pages::PageWriter::new(scratches, sparse.width)?;
    let mut cells = vec![0.0; sparse.width];
    for row in 0..sparse.rows() {
        cells.fill(absent.value());
        let (columns, values) = sparse.row(row);
        for (column, value) in columns.iter().zip(values) {
            cells[*column as usize] = *value;
        }
        writer.push(&cells)?;
    }
    writer.finish(room_bytes)
}

/// What a dataset holds in memory.
pub(super) fn bytes_of(dataset: &Dataset) -> u64 {
    let beside = [dataset.label.is_some(), dataset.weight.is_some(), dataset.group.is_some()];
    let columns = dataset.features.ncols() + beside.into_iter().filter(|is| *is).count();
    let sparse = dataset.sparse.as_ref().map_or(0, sparse_bytes);
    (dataset.rows() * columns * size_of::<f32>()) as u64 + sparse
}

fn sparse_bytes(sparse: &data::Sparse) -> u64 {
    (sparse.offsets.len() * size_of::<usize>() + sparse.columns.len() * 8) as u64
}
