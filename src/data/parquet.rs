//! Parquet to rows. The index stands at the end of a file and is read first; then row groups are decoded
//! as their bytes come, in slices of rows, the columns of each side by side. What a stranger's file says of its own sizes is checked
//! before memory is taken ([`thrift`], [`pages`]), and a panic of the `parquet` crate is an error of
//! the file.
//!
//! Numbers of all kinds become `f32`, null is missing, words are words. Dates and moments are days since
//! 1970-01-01 UTC, a moment with its time of day as a fraction (32 bits hold it to about 3 minutes). Times
//! of day, lists and bytes are refused unless the column is passed over. pandas' `__index_level_0__` is no
//! column.

use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::schema::types::ColumnDescriptor;

use super::error::{Broken, shown};
use super::roles::{Before, Role, Roles};
use super::rows::Rows;
use crate::spec::limit::{COLUMNS_MAX, PARQUET_INDEX_BYTES_MAX, PARQUET_PAGE_BYTES_MAX};
use crate::spec::train::{Categorical, Format, LabelColumn, Media};

mod column;
mod pages;
mod thrift;
pub(crate) mod writer;

use column::{Cells, Column, Meaning, Want};
use pages::Chunk;

/// What is wrong, and what to do.
type Wrong = (String, String);

fn damaged(what: &str) -> Wrong {
    (format!("the parquet file is damaged: {what}"), "write the file again".into())
}

/// What the columns of a file are for.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) names: Vec<String>,
    pub(crate) roles: Roles,
}

/// An open file.
pub(crate) struct File {
    bounds: Bounds,
    /// What its pages may still unpack to.
    left: Arc<AtomicU64>,
    metadata: ParquetMetaData,
    /// For each column of the layout, its place among the leaves of the schema.
    leaves: Vec<usize>,
}

/// How to decode a file, and what it may make us hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) threads: usize,
    /// Bytes of its metadata.
    pub(crate) index_bytes_max: usize,
    /// What one page may unpack to.
    pub(crate) page_bytes_max: usize,
    /// What all pages may unpack to together.
    pub(crate) unpacked_bytes_max: u64,
}

impl Bounds {
    /// Of a job that may hold so much: a page may take a part of it, and pages come one after the
    /// other.
    pub(crate) fn of_job(threads: usize, memory_bytes_max: u64) -> Bounds {
        let share = memory_bytes_max / (4 * threads.max(1) as u64);
        let share = usize::try_from(share).unwrap_or(usize::MAX);
        Bounds {
            threads,
            index_bytes_max: PARQUET_INDEX_BYTES_MAX,
            page_bytes_max: PARQUET_PAGE_BYTES_MAX.min(share),
            unpacked_bytes_max: u64::MAX,
        }
    }
}

/// Numbers of one slice, rows × columns.
const SLICE_VALUES: usize = 1 << 20;
const SLICE_ROWS_MAX: usize = 1 << 16;

impl File {
    /// Reads the index of a file, which `tail` ends with, and finds out what its columns are for.
    pub(crate) fn open(
        tail: &[u8],
        format: &Format,
        channel: &str,
        before: &Before,
        bounds: Bounds,
    ) -> Result<(File, Layout), Broken> {
        let whole = |(what, help)| Broken { line: 0, column: None, what, help };
        let metadata = fenced(|| read_index(tail, bounds.index_bytes_max)).map_err(whole)?;
        let schema = metadata.file_metadata().schema_descr();
        let leaves: Vec<usize> =
            (0..schema.num_columns()).filter(|at| !is_index(&schema.column(*at))).collect();
        if leaves.len() > COLUMNS_MAX {
            let what = format!("the file has {} columns", leaves.len());
            return Err(whole((what, format!("give at most {COLUMNS_MAX} columns"))));
        }
        let names: Vec<String> =
            leaves.iter().map(|at| schema.column(*at).path().parts().join(".")).collect();
        let columns = Columns { metadata: &metadata, leaves: &leaves, names: &names, channel };
        let roles = columns.roles(format, before).map_err(|(column, (what, help))| Broken {
            line: 0,
            column,
            what,
            help,
        })?;
        columns.check(&roles).map_err(|(column, (what, help))| Broken {
            line: 0,
            column: Some(column),
            what,
            help,
        })?;
        let left = Arc::new(AtomicU64::new(bounds.unpacked_bytes_max));
        Ok((File { bounds, left, metadata, leaves }, Layout { names, roles }))
    }

    /// Rows of the whole file, as it says.
    pub(crate) fn rows(&self) -> u64 {
        self.metadata.row_groups().iter().map(|group| group.num_rows().max(0) as u64).sum()
    }

    /// Where in the file the columns lie that are wanted of each row group.
    pub(crate) fn spans(&self, layout: &Layout) -> Result<Vec<Range<u64>>, Broken> {
        let whole = |(what, help)| Broken { line: 0, column: None, what, help };
        let groups = self.metadata.row_groups().iter();
        let span = |group: &RowGroupMetaData| -> Result<Range<u64>, Wrong> {
            let mut span: Option<Range<u64>> = None;
            for leaf in self.wanted(layout, group).map(|(_, leaf, _)| leaf) {
                let (start, length) = group.column(leaf).byte_range();
                let end =
                    start.checked_add(length).ok_or_else(|| damaged("a column is too long"))?;
                let before = span.unwrap_or(start..end);
                span = Some(before.start.min(start)..before.end.max(end));
            }
            Ok(span.unwrap_or_default())
        };
        fenced(|| groups.map(span).collect()).map_err(whole)
    }

    /// Decodes a file that is there as a whole; see [`File::decode_group`].
    pub(crate) fn decode(
        &self,
        bytes: &Bytes,
        layout: &Layout,
        mut take: impl FnMut(Result<Rows, Broken>) -> bool,
    ) {
        for group in 0..self.metadata.num_row_groups() {
            if !self.decode_group(group, (bytes, 0), layout, &mut take) {
                return;
            }
        }
    }

    /// Hands over slice after slice of a row group until `take` has enough; `false` then, and behind a
    /// mistake. The bytes are those of the file from a place on. The mistake's line counts rows of its
    /// slice.
    pub(crate) fn decode_group(
        &self,
        group: usize,
        bytes: (&Bytes, u64),
        layout: &Layout,
        take: &mut impl FnMut(Result<Rows, Broken>) -> bool,
    ) -> bool {
        let threads = self.bounds.threads;
        self.each_slice(group, bytes, layout, &mut |slice: Result<Slice<'_>, Broken>| {
            take(slice.and_then(|slice| slice.rows(layout, threads)))
        })
    }

    /// The same with the columns as they are.
    fn each_slice(
        &self,
        group: usize,
        bytes: (&Bytes, u64),
        layout: &Layout,
        take: &mut impl FnMut(Result<Slice<'_>, Broken>) -> bool,
    ) -> bool {
        let mut columns = match fenced(|| self.open_group(group, bytes, layout)) {
            Ok(columns) => columns,
            Err((what, help)) => {
                take(Err(Broken { line: 0, column: None, what, help }));
                return false;
            }
        };
        let mut left = self.metadata.row_group(group).num_rows().max(0) as usize;
        let slice = (SLICE_VALUES / columns.len().max(1)).clamp(1, SLICE_ROWS_MAX);
        while left > 0 {
            let count = left.min(slice);
            left -= count;
            let read = read_columns(&mut columns, count, self.bounds.threads);
            let is_wrong = read.is_err();
            if !take(read.map(|()| Slice { columns: &columns, count })) || is_wrong {
                return false;
            }
        }
        true
    }

    /// Opens a file whose every column is looked at as what it holds; those that hold neither numbers
    /// nor words are named.
    pub(crate) fn open_table(
        tail: &[u8],
        bounds: Bounds,
    ) -> Result<(File, Layout, Vec<String>), Broken> {
        let format = Format { label: LabelColumn::None, ..Format::new(Media::Parquet) };
        let index = fenced(|| read_index(tail, bounds.index_bytes_max));
        let index = index.map_err(|(what, help)| Broken { line: 0, column: None, what, help })?;
        let schema = index.file_metadata().schema_descr();
        let (mut words, mut odd) = (BTreeSet::new(), Vec::new());
        let columns = (0..schema.num_columns()).map(|at| schema.column(at));
        for column in columns.filter(|column| !is_index(column)) {
            match column::meaning(&column) {
                None => odd.push(column.path().parts().join(".")),
                Some(Meaning::Text) => {
                    words.insert(column.path().parts().join("."));
                }
                Some(_) => {}
            }
        }
        let categorical = Categorical::Named(words.into_iter().collect());
        let format = Format { ignore: odd.clone(), categorical, ..format };
        let (file, layout) = File::open(tail, &format, "data", &Before::default(), bounds)?;
        Ok((file, layout, odd))
    }

    /// Hands over the columns of a file that is there as a whole, slice after slice.
    pub(crate) fn table(
        &self,
        bytes: &Bytes,
        layout: &Layout,
        mut take: impl FnMut(Result<Slice<'_>, Broken>) -> bool,
    ) {
        for group in 0..self.metadata.num_row_groups() {
            if !self.each_slice(group, (bytes, 0), layout, &mut take) {
                return;
            }
        }
    }

    /// The columns of a row group that are wanted: place in the layout, place in the schema, and as
    /// what.
    fn wanted<'a>(
        &'a self,
        layout: &'a Layout,
        group: &'a RowGroupMetaData,
    ) -> impl Iterator<Item = (usize, usize, Want)> + 'a {
        self.leaves.iter().enumerate().filter_map(move |(at, leaf)| {
            let want = want(layout, at, group.column(*leaf).column_descr())?;
            Some((at, *leaf, want))
        })
    }

    fn open_group(
        &self,
        group: usize,
        (bytes, base): (&Bytes, u64),
        layout: &Layout,
    ) -> Result<Vec<(usize, Column)>, Wrong> {
        let group = self.metadata.row_group(group);
        let mut columns = Vec::new();
        for (at, leaf, want) in self.wanted(layout, group) {
            let chunk = group.column(leaf);
            let described = chunk.column_descr_ptr();
            if chunk.file_path().is_some() {
                let help = "give one file that holds its own columns";
                return Err(("its columns lie in other files".into(), help.into()));
            }
            let (start, length) = chunk.byte_range();
            let range = start.checked_sub(base).and_then(|start| {
                let end = start.checked_add(length).filter(|end| *end <= bytes.len() as u64)?;
                Some(start as usize..end as usize)
            });
            let Some(range) = range else { return Err(damaged("a column lies beyond its end")) };
            if chunk.num_values() != group.num_rows() {
                return Err(damaged("a column has fewer values than rows"));
            }
            let pages = Chunk {
                bytes: bytes.slice(range),
                compression: chunk.compression(),
                physical: described.physical_type(),
                type_length: described.type_length(),
                has_levels: described.max_def_level() > 0,
                values: chunk.num_values(),
                page_bytes_max: self.bounds.page_bytes_max,
                left: self.left.clone(),
            };
            let meaning = column::meaning(&described).unwrap_or(Meaning::Plain);
            columns.push((at, Column::open(described, meaning, want, pages)));
        }
        Ok(columns)
    }
}

/// What is to be read of the column at `at`; nothing where it is passed over.
fn want(layout: &Layout, at: usize, column: &ColumnDescriptor) -> Option<Want> {
    let is_text = column::meaning(column) == Some(Meaning::Text);
    match layout.roles.list[at] {
        Role::Ignored => None,
        Role::Words(_) | Role::Group => Some(Want::Text),
        Role::Label if is_text => Some(Want::Text),
        Role::Label | Role::Weight | Role::Feature => Some(Want::Number),
    }
}

/// A panic of the crate becomes the file's mistake: it was written to be given sound files.
fn fenced<T>(work: impl FnOnce() -> Result<T, Wrong>) -> Result<T, Wrong> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(damaged("its reader came upon something impossible")))
}

/// What every file begins and ends with.
const MARK: &[u8] = b"PAR1";
/// The length of the index, and the mark.
const END_BYTES: usize = 8;

/// Whether a file may begin so.
pub(crate) fn check_begin(head: &[u8]) -> Result<(), Broken> {
    let wrong = match head {
        b"PARE" => encrypted(),
        MARK => return Ok(()),
        head if MARK.starts_with(head) => damaged("it is cut short"),
        _ => {
            let help = "give application/x-parquet as pandas, pyarrow, polars or Spark write it";
            ("this is not parquet: it does not begin with PAR1".to_owned(), help.to_owned())
        }
    };
    Err(Broken { line: 0, column: None, what: wrong.0, help: wrong.1 })
}

fn encrypted() -> Wrong {
    let what = "the file is encrypted by parquet's own means".to_owned();
    (what, "write it without encryption".into())
}

/// Bytes of the index and what stands behind it, if a file ends so.
pub(crate) fn index_bytes(tail: &[u8]) -> Option<usize> {
    let (_, end) = tail.split_last_chunk::<END_BYTES>()?;
    let length = u32::from_le_bytes([end[0], end[1], end[2], end[3]]) as usize;
    (end[4..] == *MARK).then_some(length.saturating_add(END_BYTES))
}

fn read_index(tail: &[u8], bytes_max: usize) -> Result<ParquetMetaData, Wrong> {
    if tail.ends_with(b"PARE") {
        return Err(encrypted());
    }
    let Some(length) = index_bytes(tail) else {
        return Err(damaged("it is cut short: it does not end with PAR1"));
    };
    let length = length - END_BYTES;
    if length > bytes_max {
        let what = format!("its metadata have {length} bytes");
        let help = format!("{bytes_max} are allowed: give fewer row groups or columns");
        return Err((what, help));
    }
    let before = &tail[..tail.len() - END_BYTES];
    let Some(start) = before.len().checked_sub(length) else {
        return Err(damaged("its metadata are longer than the file"));
    };
    thrift::check(&before[start..])?;
    let metadata = ParquetMetaDataReader::decode_metadata(&before[start..]);
    let metadata = metadata.map_err(|error| pages::uncarried(&error))?;
    let columns = metadata.file_metadata().schema_descr().num_columns();
    if metadata.row_groups().iter().any(|g| g.num_columns() != columns || g.num_rows() < 0) {
        return Err(damaged("a row group does not have the columns of the schema"));
    }
    Ok(metadata)
}

/// pandas keeps its row labels in a column of this name.
fn is_index(column: &ColumnDescriptor) -> bool {
    let name = column.name().strip_prefix("__index_level_").and_then(|n| n.strip_suffix("__"));
    name.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The columns of a file, while it is found out what they are for.
struct Columns<'a> {
    metadata: &'a ParquetMetaData,
    leaves: &'a [usize],
    names: &'a [String],
    channel: &'a str,
}

impl Columns<'_> {
    fn meaning(&self, at: usize) -> Option<Meaning> {
        let schema = self.metadata.file_metadata().schema_descr();
        column::meaning(&schema.column(self.leaves[at]))
    }

    fn roles(&self, format: &Format, before: &Before) -> Result<Roles, super::roles::Misfit> {
        let count = self.names.len();
        let resolve =
            |before: &Before| Roles::resolve(count, self.names, format, before, self.channel);
        let mut roles = resolve(before)?;
        if format.categorical == Categorical::Auto && before.known.is_none() {
            // The schema says which columns hold words; no row needs to be looked at.
            let features = (0..count).filter(|at| roles.is_feature(*at)).enumerate();
            let words = features.filter(|(_, at)| self.meaning(*at) == Some(Meaning::Text));
            let met: BTreeSet<usize> = words.map(|(feature, _)| feature).collect();
            roles = resolve(&Before { known: None, met: &met | &before.met })?;
            roles.survey = false;
        }
        if roles.features == 0 {
            let help = "give at least one column besides label, weight and group";
            return Err((None, ("the file holds no features".into(), help.into())));
        }
        Ok(roles)
    }

    /// Whether each column that is used can be read as what it is used for.
    fn check(&self, roles: &Roles) -> Result<(), (usize, Wrong)> {
        for (at, role) in roles.list.iter().enumerate() {
            let name = &self.names[at];
            match (role, self.meaning(at)) {
                (Role::Ignored, _) => {}
                (_, None) => {
                    let what =
                        format!("the column {} holds {}", shown(name.as_bytes()), self.kind(at));
                    let help = match roles.known {
                        Some(_) => "turn it into numbers or words, as in training".to_owned(),
                        None => format!(
                            "turn it into numbers or words, or pass it over with `{}.ignore = [{}]`",
                            self.channel,
                            shown(name.as_bytes())
                        ),
                    };
                    return Err((at, (what, help)));
                }
                (Role::Feature, Some(Meaning::Text)) => {
                    let what = format!("the column {} holds words", shown(name.as_bytes()));
                    return Err((at, (what, roles.word_help(Some(name), self.channel))));
                }
                (Role::Weight, Some(Meaning::Text)) => {
                    let what = "the weights are words".to_owned();
                    return Err((at, (what, "a weight is a number of 0 or more".into())));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What a column that cannot be read holds, for a message.
    fn kind(&self, at: usize) -> String {
        let schema = self.metadata.file_metadata().schema_descr();
        let column = schema.column(self.leaves[at]);
        if column.max_rep_level() > 0 {
            return "lists".to_owned();
        }
        match column.logical_type_ref() {
            Some(logical) => {
                let name = format!("{logical:?}").to_lowercase();
                name.split(['(', '{', ' ']).next().unwrap_or_default().to_owned() + "s"
            }
            None => format!("{} values", column.physical_type()),
        }
    }
}

/// Some rows, column by column.
pub(crate) struct Slice<'a> {
    columns: &'a [(usize, Column)],
    pub(crate) count: usize,
}

/// The values of a column of a slice.
pub(crate) enum Values<'a> {
    /// A missing one is NaN.
    Numbers(&'a [f32]),
    /// A missing one is empty.
    Texts(Vec<&'a [u8]>),
}

impl Slice<'_> {
    /// Each column that is wanted, in the order of the file.
    pub(crate) fn values(&self) -> Vec<Values<'_>> {
        let columns = self.columns.iter();
        columns
            .map(|(_, column)| match &column.cells {
                Cells::Numbers(numbers) => Values::Numbers(numbers),
                Cells::Texts(texts) => Values::Texts(texts.iter().collect()),
            })
            .collect()
    }

    /// As rows, for their roles.
    fn rows(&self, layout: &Layout, threads: usize) -> Result<Rows, Broken> {
        let mut slice = Rows::of(&layout.roles, Vec::new());
        slice.features = interleaved(self.columns, layout, self.count, threads);
        let mut feature = 0;
        for (at, column) in self.columns {
            let role = layout.roles.list[*at];
            take_column(role, feature, &column.cells, layout, &mut slice).map_err(
                |(row, (what, help))| Broken { line: row as u64, column: Some(*at), what, help },
            )?;
            feature += usize::from(layout.roles.is_feature(*at));
        }
        slice.count = self.count;
        slice.lines = self.count as u64;
        Ok(slice)
    }
}

fn read_columns(
    columns: &mut [(usize, Column)],
    rows: usize,
    threads: usize,
) -> Result<(), Broken> {
    let share = columns.len().div_ceil(threads.clamp(1, columns.len()));
    let read = |columns: &mut [(usize, Column)]| -> Result<(), Broken> {
        for (at, column) in columns {
            let outcome =
                fenced(|| Ok(column.read(rows))).unwrap_or_else(|wrong| Err((None, wrong)));
            outcome.map_err(|(row, (what, help))| Broken {
                line: row.unwrap_or(0) as u64,
                column: Some(*at),
                what,
                help,
            })?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let mut shares = columns.chunks_mut(share);
        let ours = shares.next();
        let others: Vec<_> = shares.map(|share| scope.spawn(|| read(share))).collect();
        let first = ours.map_or(Ok(()), read);
        // The leftmost mistake is told, whoever came upon it first.
        others.into_iter().fold(first, |outcome, other| {
            let lost = |_| Err(broken_thread());
            outcome.and(other.join().unwrap_or_else(lost))
        })
    })
}

fn broken_thread() -> Broken {
    let (what, help) = damaged("its reader came upon something impossible");
    Broken { line: 0, column: None, what, help }
}

/// The numbers of all features, row after row. Words' places are left empty.
fn interleaved(
    columns: &[(usize, Column)],
    layout: &Layout,
    rows: usize,
    threads: usize,
) -> Vec<f32> {
    const TILE: usize = 64;
    let features: Vec<Option<&[f32]>> = columns
        .iter()
        .filter(|(at, _)| layout.roles.is_feature(*at))
        .map(|(_, column)| match &column.cells {
            Cells::Numbers(numbers) => Some(&numbers[..]),
            Cells::Texts(_) => None,
        })
        .collect();
    let width = features.len();
    let mut whole = vec![0.0; rows * width];
    let share = rows.div_ceil(threads.max(1)).next_multiple_of(TILE) * width;
    let fill = |(part, out): (usize, &mut [f32])| {
        let first = part * share / width;
        for (tile, out) in out.chunks_mut(TILE * width).enumerate() {
            let from = first + tile * TILE;
            let count = out.len() / width;
            for (at, numbers) in features.iter().enumerate() {
                let Some(numbers) = numbers else { continue };
                for (row, number) in numbers[from..from + count].iter().enumerate() {
                    out[row * width + at] = *number;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let mut parts = whole.chunks_mut(share).enumerate();
        let ours = parts.next();
        parts.for_each(|part| {
            scope.spawn(|| fill(part));
        });
        ours.map(fill);
    });
    whole
}

/// Puts the cells of one column where its role says. The row that is wrong, and why.
fn take_column(
    role: Role,
    feature: usize,
    cells: &Cells,
    layout: &Layout,
    slice: &mut Rows,
) -> Result<(), (usize, Wrong)> {
    let at_row = |row: usize| move |wrong| (row, wrong);
    match (role, cells) {
        (Role::Label, Cells::Numbers(numbers)) => {
            for (row, number) in numbers.iter().enumerate() {
                let pushed = match number.is_nan() {
                    true => slice.label.push_text(b""),
                    false => slice.label.push_number(*number),
                };
                pushed.map_err(at_row(row))?;
            }
        }
        (Role::Label, Cells::Texts(texts)) => {
            for (row, text) in texts.iter().enumerate() {
                slice.label.push_text(text).map_err(at_row(row))?;
            }
        }
        (Role::Weight, Cells::Numbers(numbers)) => {
            for (row, number) in numbers.iter().enumerate() {
                if number.is_nan() || *number < 0.0 {
                    slice.push_weight(number.to_string().as_bytes()).map_err(at_row(row))?;
                }
            }
            slice.weight.extend_from_slice(numbers);
        }
        (Role::Group, Cells::Texts(texts)) => {
            for (row, text) in texts.iter().enumerate() {
                slice.group.push(text, row as u64).map_err(at_row(row))?;
            }
        }
        (Role::Words(slot), Cells::Texts(texts)) => {
            let width = layout.roles.features;
            for (row, text) in texts.iter().enumerate() {
                let code = slice.word(&layout.roles, slot, text).map_err(at_row(row))?;
                slice.features[row * width + feature] = code;
            }
        }
        _ => {}
    }
    Ok(())
}
