//! Rows to parquet: floats of 32 bits, words as strings, null where a value is missing; snappy.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use crate::data::batch::{Batch, Categories, Labels};
use crate::data::error::Error;
use crate::data::write::{late, unwritten};

/// Cells of one row group.
const GROUP_CELLS: usize = 8 << 20;

/// A file while it is written.
pub(crate) struct Table {
    writer: SerializedFileWriter<Ready>,
    ready: Ready,
    columns: Vec<Column>,
    rows: usize,
}

/// The cells of one row group.
enum Column {
    Numbers(Vec<f32>),
    Whole(Vec<i64>),
    Words(Vec<Option<ByteArray>>),
}

/// Bytes that are written and not handed over yet.
#[derive(Clone, Default)]
struct Ready(Arc<Mutex<Vec<u8>>>);

impl Write for Ready {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Ready {
    fn take(&self, out: &mut Vec<u8>) {
        out.append(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn failed(error: ParquetError) -> Error {
    unwritten(&error.to_string())
}

impl Table {
    /// Begins a file with these columns: what stands before the features, then the features.
    pub(crate) fn begin(
        names: &[String],
        batch: &Batch,
        categories: &Categories,
    ) -> Result<Table, Error> {
        let mut columns = Vec::new();
        match &batch.label {
            Some(Labels::Number(_)) => columns.push(Column::Numbers(Vec::new())),
            Some(Labels::Text { .. }) => columns.push(Column::Words(Vec::new())),
            None => {}
        }
        columns.extend(batch.weight.as_ref().map(|_| Column::Numbers(Vec::new())));
        columns.extend(batch.group.as_ref().map(|_| Column::Whole(Vec::new())));
        for at in 0..names.len() - columns.len() {
            columns.push(match categories.contains_key(&at) {
                true => Column::Words(Vec::new()),
                false => Column::Numbers(Vec::new()),
            });
        }
        let field = |(name, column): (&String, &Column)| {
            let builder = match column {
                Column::Numbers(_) => Type::primitive_type_builder(name, Physical::FLOAT),
                Column::Whole(_) => Type::primitive_type_builder(name, Physical::INT64),
                Column::Words(_) => Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
                    .with_logical_type(Some(LogicalType::String)),
            };
            builder.with_repetition(Repetition::OPTIONAL).build().map(Arc::new)
        };
        let fields: Result<Vec<_>, _> = names.iter().zip(&columns).map(field).collect();
        let schema =
            Type::group_type_builder("schema").with_fields(fields.map_err(failed)?).build();
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let ready = Ready::default();
        let writer = SerializedFileWriter::new(
            ready.clone(),
            Arc::new(schema.map_err(failed)?),
            Arc::new(properties),
        );
        Ok(Table { writer: writer.map_err(failed)?, ready, columns, rows: 0 })
    }

    /// Adds rows; appends to `out` what is complete.
    pub(crate) fn append(
        &mut self,
        batch: &Batch,
        categories: &Categories,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let mut columns = self.columns.iter_mut();
        if let Some(label) = &batch.label {
            match (label, columns.next()) {
                (Labels::Number(more), Some(Column::Numbers(numbers))) => {
                    numbers.extend_from_slice(more);
                }
                (Labels::Text { codes, names }, Some(Column::Words(words))) => words.extend(
                    codes.iter().map(|code| Some(ByteArray::from(names[*code as usize].as_str()))),
                ),
                _ => return Err(late("a label is a word")),
            }
        }
        if let (Some(weight), Some(Column::Numbers(numbers))) =
            (&batch.weight, batch.weight.as_ref().and_then(|_| columns.next()))
        {
            numbers.extend_from_slice(weight);
        }
        if let (Some(group), Some(Column::Whole(numbers))) =
            (&batch.group, batch.group.as_ref().and_then(|_| columns.next()))
        {
            numbers.extend(group.iter().map(|group| i64::from(*group)));
        }
        for (at, column) in columns.enumerate() {
            let cells = batch.features.column(at);
            match column {
                Column::Numbers(numbers) => numbers.extend(cells.iter()),
                Column::Words(words) => {
                    let names = categories.get(&at).map_or(&[][..], Vec::as_slice);
                    words.extend(cells.iter().map(|cell| {
                        let word = names.get(*cell as usize).filter(|_| !cell.is_nan());
                        word.map(|word| ByteArray::from(word.as_str()))
                    }));
                }
                Column::Whole(_) => return Err(unwritten("a column is not what it was")),
            }
        }
        self.rows += batch.features.nrows();
        if self.rows * self.columns.len() >= GROUP_CELLS {
            self.write_group().map_err(failed)?;
            self.ready.take(out);
        }
        Ok(())
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        self.rows = 0;
        let mut group = self.writer.next_row_group()?;
        let mut columns = self.columns.iter_mut();
        while let Some(mut writer) = group.next_column()? {
            match columns.next() {
                Some(Column::Numbers(numbers)) => {
                    let levels = levels(numbers.iter().map(|number| !number.is_nan()));
                    numbers.retain(|number| !number.is_nan());
                    writer.typed::<FloatType>().write_batch(numbers, Some(&levels), None)?;
                    numbers.clear();
                }
                Some(Column::Whole(numbers)) => {
                    let levels = vec![1; numbers.len()];
                    writer.typed::<Int64Type>().write_batch(numbers, Some(&levels), None)?;
                    numbers.clear();
                }
                Some(Column::Words(words)) => {
                    let levels = levels(words.iter().map(Option::is_some));
                    let there: Vec<ByteArray> = words.drain(..).flatten().collect();
                    writer.typed::<ByteArrayType>().write_batch(&there, Some(&levels), None)?;
                }
                None => {}
            }
            writer.close()?;
        }
        group.close().map(drop)
    }

    /// Appends what is left and the index.
    pub(crate) fn finish(mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.rows > 0 {
            self.write_group().map_err(failed)?;
        }
        self.writer.close().map_err(failed)?;
        self.ready.take(out);
        Ok(())
    }
}

fn levels(there: impl Iterator<Item = bool>) -> Vec<i16> {
    there.map(i16::from).collect()
}
