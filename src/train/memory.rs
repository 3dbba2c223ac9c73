//! How the channels of a job share its memory.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use ndarray::Array2;

use crate::data::channel::{Options, Spill};
use crate::data::pages::{self, PageWriter, Pages};
use crate::data::{self, Dataset};
use crate::spec::train::{Channel, TrainingJob};

use super::error::Error;
use super::objects::Chosen;
use super::scratch::Scratches;

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
        Memory {
            limit,
            left: limit,
            stored: channels.iter().map(|(_, _, chosen)| chosen.bytes()).sum::<u64>().max(1),
            scratches: scratches(spec, streams),
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

    /// Makes sparse rows whole: in memory if they fit into what is left, on disk else, where that
    /// is allowed.
    ///
    /// # Errors
    /// [`Error::Whole`] when they do not fit and may not go to disk; when the disk fails.
    pub(super) fn fill(
        &mut self,
        name: &str,
        dataset: &mut Dataset,
        absent: data::Absent,
    ) -> Result<(), Error> {
        let Some(sparse) = dataset.sparse.take() else { return Ok(()) };
        let whole_bytes = 4 * sparse.rows() as u64 * sparse.width as u64;
        if whole_bytes > self.left
            && let Some(scratches) = &self.scratches
        {
            let rows = |range| sparse.dense_rows(range, absent.value());
            let pages =
                to_disk(scratches.clone(), sparse.width, sparse.rows(), self.left / 2, rows);
            dataset.features = Array2::zeros((sparse.rows(), 0));
            dataset.pages = Some(pages.map_err(|source| scratch_failed(name, source))?);
            self.left += sparse_bytes(&sparse);
            return Ok(());
        }
        if whole_bytes > self.left {
            return Err(Error::Whole {
                channel: name.to_owned(),
                rows: sparse.rows(),
                features: sparse.width,
                bytes: whole_bytes,
                needed_bytes: self.limit - self.left + whole_bytes,
                limit_bytes: self.limit,
            });
        }
        dataset.features = sparse.dense(absent.value());
        self.left = (self.left + sparse_bytes(&sparse)).saturating_sub(whole_bytes);
        Ok(())
    }

    fn part(&self, chosen: &Chosen) -> f64 {
        chosen.bytes() as f64 / self.stored as f64
    }
}

/// Where rows go that do not fit; `None` when the algorithm wants them in memory.
pub(super) fn scratches(spec: &TrainingJob, streams: bool) -> Option<Arc<dyn pages::Scratches>> {
    streams.then(|| -> Arc<dyn pages::Scratches> {
        Arc::new(Scratches::new(&spec.resources, &spec.output.key))
    })
}

/// Writes `count` rows of `width` numbers to disk as `rows` makes them, some at a time; work on
/// them may take `room_bytes` of memory.
///
/// # Errors
/// When the disk fails.
pub(super) fn to_disk(
    scratches: Arc<dyn pages::Scratches>,
    width: usize,
    count: usize,
    room_bytes: u64,
    rows: impl Fn(Range<usize>) -> Array2<f32>,
) -> io::Result<Arc<Pages>> {
    const STEP_BYTES: usize = 1 << 20;
    let step = (STEP_BYTES / (4 * width.max(1))).max(1);
    let mut writer = PageWriter::new(scratches, width)?;
    for from in (0..count).step_by(step) {
        let rows = rows(from..(from + step).min(count));
        writer.push(rows.as_slice().expect("rows stand one after the other"))?;
    }
    writer.finish(room_bytes).map(Arc::new)
}

/// The disk failed while rows of a channel were put aside.
pub(super) fn scratch_failed(channel: &str, source: io::Error) -> Error {
    let source = data::Error::Scratch { channel: format!("channels.{channel}"), source };
    Error::Data { channel: channel.to_owned(), source: Box::new(source) }
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
