//! Tables that are no text: parquet's columns as they are, the rows of libsvm and recordio with every
//! cell in its place. What a sparse row leaves out counts as missing.

use std::sync::mpsc::SyncSender;

use bytes::Bytes;
use rayon::prelude::*;

use super::cells::Cells;
use super::{Label, Options, Piece};
use crate::data::batch::{Batch, Labels};
use crate::data::channel::{self, batches};
use crate::data::error::{Broken, Error, Place};
use crate::data::parquet::{self, Bounds, File, Slice, Values, check_begin};
use crate::data::schema::Absent;
use crate::data::stored::{Object, Stored};
use crate::spec::limit::JOB_MEMORY_BYTES_MAX;
use crate::spec::train::{Format, LabelColumn, Media};

/// Reads all objects and hands over their cells.
pub(super) fn feed(objects: Vec<Object>, options: &Options, to: &SyncSender<Piece>) {
    let ended = match options.media {
        Media::Parquet => objects.into_iter().try_for_each(|object| columns(object, to)),
        _ => rows(objects, options, to),
    };
    if let Err(Ended::Failed(error)) = ended {
        // Nobody listens any more once something was wrong.
        let _ = to.send(Piece::Failed(error));
    }
}

/// Why there is no more.
enum Ended {
    Failed(Error),
    /// Nobody listens any more.
    Unheard,
}

impl From<Error> for Ended {
    fn from(error: Error) -> Ended {
        Ended::Failed(error)
    }
}

fn tell(to: &SyncSender<Piece>, piece: Piece) -> Result<(), Ended> {
    to.send(piece).map_err(|_| Ended::Unheard)
}

/// One object of parquet, held whole.
fn columns(object: Object, to: &SyncSender<Piece>) -> Result<(), Ended> {
    let uri = object.uri.clone();
    tell(to, Piece::Object(uri.clone()))?;
    let mut stored = Stored::open(object)?;
    let most = JOB_MEMORY_BYTES_MAX;
    let Some(bytes) = stored.whole(usize::try_from(most).unwrap_or(usize::MAX))? else {
        let what = format!("has more than {most} bytes, and parquet is looked through whole");
        return Err(Error::whole(uri, what, "give a part of the rows").into());
    };
    if !bytes.is_empty() {
        table(&uri, &bytes.into(), to)?;
    }
    tell(to, Piece::Ended(stored.finish()?.bytes))
}

fn table(uri: &str, bytes: &Bytes, to: &SyncSender<Piece>) -> Result<(), Ended> {
    let mut names: Vec<String> = Vec::new();
    let mut before = 0;
    let placed = |broken: Broken, before: Option<u64>, names: &[String]| {
        let record = before.map(|before| before + broken.line + 1);
        let column = broken.column.map(|column| (column + 1, names.get(column).cloned()));
        let place = Place { uri: uri.to_owned(), line: None, record, column };
        Ended::Failed(Error::Bad { place, what: broken.what, help: broken.help })
    };
    let threads = rayon::current_num_threads();
    let bounds = Bounds::of_job(threads, JOB_MEMORY_BYTES_MAX);
    check_begin(&bytes[..bytes.len().min(4)]).map_err(|broken| placed(broken, None, &names))?;
    let opened: Result<(File, parquet::Layout, Vec<String>), Broken> =
        File::open_table(bytes, bounds);
    let (file, layout, odd) = opened.map_err(|broken| placed(broken, None, &names))?;
    if !odd.is_empty() {
        tracing::warn!(
            object = uri,
            columns = odd.join(", "),
            "columns that hold neither numbers nor words are left out"
        );
    }
    let used = layout.names.iter().filter(|name| !odd.contains(name));
    names.extend(used.cloned());
    let mut outcome = Ok(());
    file.table(bytes, &layout, |slice| {
        outcome = match slice {
            Ok(slice) => {
                before += slice.count as u64;
                tell(to, Piece::Cells(names.clone(), cells_of(&slice)))
            }
            Err(broken) => Err(placed(broken, Some(before), &layout.names)),
        };
        outcome.is_ok()
    });
    outcome
}

fn cells_of(slice: &Slice<'_>) -> Cells {
    let values = slice.values();
    let wide: Vec<Vec<f64>> = values
        .par_iter()
        .map(|column| match column {
            Values::Numbers(numbers) => numbers.iter().map(|number| widened(*number)).collect(),
            Values::Texts(_) => Vec::new(),
        })
        .collect();
    let mut cells = Cells::new(values.len());
    for row in 0..slice.count {
        for (at, column) in values.iter().enumerate() {
            match column {
                Values::Numbers(_) => cells.push_cell(wide[at][row]),
                Values::Texts(texts) => cells.push(at, texts[row]),
            }
        }
        cells.end_unlabelled_row();
    }
    cells
}

/// The number that a text with its shortest digits would be read as, so that a table in another format
/// has the same cells.
fn widened(number: f32) -> f64 {
    if number.is_nan() || number.fract() == 0.0 {
        return f64::from(number);
    }
    number.to_string().parse().unwrap_or(f64::from(number))
}

/// Objects of libsvm or recordio: a label, if rows have one, then the features by number.
fn rows(objects: Vec<Object>, options: &Options, to: &SyncSender<Piece>) -> Result<(), Ended> {
    let label = match options.label {
        Label::None => LabelColumn::None,
        Label::First | Label::Named(_) => LabelColumn::First,
    };
    let format = Format { label, ..Format::new(options.media) };
    let reading = channel::Options {
        features: options.features,
        absent: Absent::Missing,
        fill: options.features.is_some(),
        ..channel::Options::new("data")
    };
    let mut first = objects.first().map(|object| object.uri.clone());
    let mut batches = batches(objects, &format, &reading)?;
    for batch in batches.by_ref() {
        let batch = batch?;
        if let Some(uri) = first.take() {
            tell(to, Piece::Object(uri))?;
        }
        let (names, cells) = dense(&batch);
        tell(to, Piece::Cells(names, cells))?;
    }
    for (at, source) in batches.sources().iter().enumerate() {
        if at > 0 {
            tell(to, Piece::Object(source.uri.clone()))?;
        }
        tell(to, Piece::Ended(source.bytes))?;
    }
    Ok(())
}

fn dense(batch: &Batch) -> (Vec<String>, Cells) {
    let whole;
    let features = match &batch.sparse {
        Some(sparse) => {
            whole = sparse.dense(f32::NAN);
            &whole
        }
        None => &batch.features,
    };
    let label = match &batch.label {
        Some(Labels::Number(numbers)) => Some(numbers),
        _ => None,
    };
    let mut names: Vec<String> = label.map(|_| "label".to_owned()).into_iter().collect();
    names.extend((0..features.ncols()).map(|at| format!("feature {at}")));
    let mut cells = Cells::new(names.len());
    for (row, values) in features.rows().into_iter().enumerate() {
        if let Some(label) = label {
            cells.push_cell(widened(label[row]));
        }
        values.iter().for_each(|value| cells.push_cell(widened(*value)));
        cells.end_unlabelled_row();
    }
    (names, cells)
}
