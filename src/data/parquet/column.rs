//! One column of one row group, a slice of rows at a time: numbers of every kind to `f32`, words to
//! text. Which column is for what is decided above.

use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, DataType};
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor};

use super::Wrong;
use super::pages::{Chunk, Pages, uncarried};

/// What is wanted of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Number,
    Text,
}

/// The cells of a slice.
#[derive(Debug)]
pub(super) enum Cells {
    /// A missing one is NaN.
    Numbers(Vec<f32>),
    Texts(Texts),
}

/// Texts where they lie in their page, since one that many rows share must not be held many times; a
/// missing one is empty.
#[derive(Debug, Default)]
pub(super) struct Texts {
    list: Vec<ByteArray>,
}

impl Texts {
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.list.iter().map(|text| if text.is_empty() { &[] } else { text.data() })
    }
}

/// What a stored value means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Meaning {
    /// The number itself; a truth is 0 or 1, a date its day since 1970.
    Plain,
    /// A moment in so many parts of a second since 1970; a number of days, as a date is.
    Moment(f64),
    /// A moment as Impala and old Sparks write it: nanoseconds of a Julian day.
    Julian,
    /// The same bits without a sign.
    Unsigned,
    /// So many digits stand behind the point.
    Decimal(i32),
    /// IEEE's 16 bits.
    Half,
    /// UTF-8.
    Text,
}

/// What the values of a column mean; `None` for those that are neither number nor word.
pub(super) fn meaning(column: &ColumnDescriptor) -> Option<Meaning> {
    if column.max_rep_level() > 0 {
        return None;
    }
    let physical = column.physical_type();
    let old = column.converted_type();
    let logical = match (column.logical_type_ref(), old) {
        (Some(logical), _) => Some(logical.clone()),
        (None, ConvertedType::TIMESTAMP_MILLIS) => return Some(Meaning::Moment(1e3)),
        (None, ConvertedType::TIMESTAMP_MICROS) => return Some(Meaning::Moment(1e6)),
        (None, ConvertedType::TIME_MILLIS | ConvertedType::TIME_MICROS) => return None,
        (None, ConvertedType::INTERVAL | ConvertedType::BSON) => return None,
        (None, ConvertedType::DECIMAL) => {
            return Some(Meaning::Decimal(column.type_scale()));
        }
        (None, ConvertedType::UINT_8 | ConvertedType::UINT_16) => return Some(Meaning::Plain),
        (None, ConvertedType::UINT_32 | ConvertedType::UINT_64) => return Some(Meaning::Unsigned),
        (None, _) => None,
    };
    match (logical, physical) {
        (Some(LogicalType::Decimal(kind)), _) => Some(Meaning::Decimal(kind.scale)),
        (Some(LogicalType::Integer(kind)), Type::INT32 | Type::INT64) => {
            Some(if kind.is_signed { Meaning::Plain } else { Meaning::Unsigned })
        }
        (Some(LogicalType::Timestamp(kind)), Type::INT64) => {
            Some(Meaning::Moment(match kind.unit {
                TimeUnit::MILLIS => 1e3,
                TimeUnit::MICROS => 1e6,
                TimeUnit::NANOS => 1e9,
            }))
        }
        (None, Type::INT96) => Some(Meaning::Julian),
        (Some(LogicalType::Float16), Type::FIXED_LEN_BYTE_ARRAY) => Some(Meaning::Half),
        (Some(LogicalType::Date) | None, Type::INT32) => Some(Meaning::Plain),
        (None, Type::INT64 | Type::FLOAT | Type::DOUBLE | Type::BOOLEAN) => Some(Meaning::Plain),
        // A column of nothing but nulls says "unknown".
        (Some(LogicalType::Unknown), Type::INT32) => Some(Meaning::Plain),
        (
            Some(LogicalType::String | LogicalType::Enum | LogicalType::Json) | None,
            Type::BYTE_ARRAY,
        ) => Some(Meaning::Text),
        _ => None,
    }
}

/// An open column.
pub(super) struct Column {
    reader: ColumnReader,
    meaning: Meaning,
    want: Want,
    /// The level of a value that is there.
    level: i16,
    levels: Vec<i16>,
    pub(super) cells: Cells,
}

impl Column {
    pub(super) fn open(
        column: ColumnDescPtr,
        meaning: Meaning,
        want: Want,
        chunk: Chunk,
    ) -> Column {
        let level = column.max_def_level();
        let cells = match want {
            Want::Number => Cells::Numbers(Vec::new()),
            Want::Text => Cells::Texts(Texts::default()),
        };
        let reader = get_column_reader(column, Box::new(Pages::new(chunk)));
        Column { reader, meaning, want, level, levels: Vec::new(), cells }
    }

    /// Reads the next `rows` cells into `cells`. The row that is wrong, if one is to blame.
    pub(super) fn read(&mut self, rows: usize) -> Result<(), (Option<usize>, Wrong)> {
        let (meaning, want) = (self.meaning, self.want);
        let mut slot = Slot { level: self.level, levels: &mut self.levels, cells: &mut self.cells };
        let outcome =
            match &mut self.reader {
                ColumnReader::BoolColumnReader(reader) => {
                    slot.read(reader, rows, want, |value| f64::from(u8::from(*value)))
                }
                ColumnReader::Int32ColumnReader(reader) => match meaning {
                    Meaning::Unsigned => {
                        slot.read(reader, rows, want, |value| f64::from(value.cast_unsigned()))
                    }
                    Meaning::Decimal(scale) => {
                        slot.read(reader, rows, want, |value| scaled(f64::from(*value), scale))
                    }
                    _ => slot.read(reader, rows, want, |value| f64::from(*value)),
                },
                ColumnReader::Int64ColumnReader(reader) => match meaning {
                    Meaning::Unsigned => {
                        slot.read(reader, rows, want, |value| value.cast_unsigned() as f64)
                    }
                    Meaning::Decimal(scale) => {
                        slot.read(reader, rows, want, |value| scaled(*value as f64, scale))
                    }
                    Meaning::Moment(parts) => {
                        slot.read(reader, rows, want, |value| *value as f64 / (parts * DAY_S))
                    }
                    _ => slot.read(reader, rows, want, |value| *value as f64),
                },
                ColumnReader::FloatColumnReader(reader) => slot.floats(reader, rows, want),
                ColumnReader::DoubleColumnReader(reader) => {
                    slot.read(reader, rows, want, |value| *value)
                }
                ColumnReader::ByteArrayColumnReader(reader) => match meaning {
                    Meaning::Decimal(scale) => slot
                        .read(reader, rows, want, |value| scaled(big_endian(value.data()), scale)),
                    _ => slot.texts(reader, rows),
                },
                ColumnReader::FixedLenByteArrayColumnReader(reader) => match meaning {
                    Meaning::Half => slot.read(reader, rows, want, |value| half(value.data())),
                    Meaning::Decimal(scale) => slot
                        .read(reader, rows, want, |value| scaled(big_endian(value.data()), scale)),
                    _ => Err(super::damaged("a column is not what its schema says")),
                },
                ColumnReader::Int96ColumnReader(reader) => {
                    slot.read(reader, rows, want, |value| julian(value.data()))
                }
            };
        outcome.map_err(|wrong| (None, wrong))?;
        self.check_finite()
    }

    fn check_finite(&self) -> Result<(), (Option<usize>, Wrong)> {
        let Cells::Numbers(numbers) = &self.cells else { return Ok(()) };
        if !numbers.iter().any(|value| value.is_infinite()) {
            return Ok(());
        }
        let row = numbers.iter().position(|value| value.is_infinite());
        let what = "the number is infinite, or beyond 3.4e38".to_owned();
        Err((row, (what, "write numbers between -3.4e38 and 3.4e38, or null".into())))
    }
}

/// Where the cells of a slice go.
struct Slot<'a> {
    level: i16,
    levels: &'a mut Vec<i16>,
    cells: &'a mut Cells,
}

impl Slot<'_> {
    /// Values that are there; `self.levels` say where.
    fn values<T: DataType>(
        &mut self,
        reader: &mut ColumnReaderImpl<T>,
        rows: usize,
        values: &mut Vec<T::T>,
    ) -> Result<(), Wrong> {
        self.levels.clear();
        let mut found = 0;
        while found < rows {
            let levels = (self.level > 0).then_some(&mut *self.levels);
            let (records, _, _) = reader
                .read_records(rows - found, levels, None, values)
                .map_err(|error| uncarried(&error))?;
            if records == 0 {
                return Err(super::damaged("a column has fewer values than rows"));
            }
            found += records;
        }
        let there = self.levels.iter().filter(|level| **level == self.level).count();
        let expected = if self.level > 0 { there } else { rows };
        let complete = values.len() == expected && (self.level == 0 || self.levels.len() == rows);
        if complete {
            Ok(())
        } else {
            Err(super::damaged("a column's levels do not fit its values"))
        }
    }

    fn read<T: DataType>(
        &mut self,
        reader: &mut ColumnReaderImpl<T>,
        rows: usize,
        want: Want,
        number: impl Fn(&T::T) -> f64,
    ) -> Result<(), Wrong> {
        let mut values = Vec::new();
        self.values(reader, rows, &mut values)?;
        match want {
            Want::Number => self.numbers(rows, values.iter().map(|value| number(value) as f32)),
            Want::Text => {
                let text = |value: &T::T| match number(value) {
                    value if value.is_nan() => ByteArray::from(Vec::new()),
                    value => ByteArray::from(value.to_string().into_bytes()),
                };
                self.spread(rows, values.iter().map(text));
            }
        }
        Ok(())
    }

    fn floats(
        &mut self,
        reader: &mut ColumnReaderImpl<parquet::data_type::FloatType>,
        rows: usize,
        want: Want,
    ) -> Result<(), Wrong> {
        if want == Want::Text || self.level > 0 {
            return self.read(reader, rows, want, |value| f64::from(*value));
        }
        // The commonest column needs no copy.
        let mut values = match &mut self.cells {
            Cells::Numbers(numbers) => std::mem::take(numbers),
            Cells::Texts(_) => Vec::new(),
        };
        values.clear();
        self.values(reader, rows, &mut values)?;
        *self.cells = Cells::Numbers(values);
        Ok(())
    }

    fn texts(
        &mut self,
        reader: &mut ColumnReaderImpl<parquet::data_type::ByteArrayType>,
        rows: usize,
    ) -> Result<(), Wrong> {
        let mut values: Vec<ByteArray> = Vec::new();
        self.values(reader, rows, &mut values)?;
        self.spread(rows, values.into_iter());
        Ok(())
    }

    fn numbers(&mut self, rows: usize, mut values: impl Iterator<Item = f32>) {
        let Cells::Numbers(numbers) = &mut *self.cells else { return };
        numbers.clear();
        if self.level == 0 {
            numbers.extend(values);
            return;
        }
        numbers.reserve(rows);
        for level in self.levels.iter() {
            let there = *level == self.level;
            numbers.push(if there { values.next().unwrap_or(f32::NAN) } else { f32::NAN });
        }
    }

    /// Puts each row's text in its place.
    fn spread(&mut self, rows: usize, mut values: impl Iterator<Item = ByteArray>) {
        let missing = ByteArray::from(Vec::new());
        let list = (0..rows).map(|row| match self.level == 0 || self.levels[row] == self.level {
            true => values.next().unwrap_or_else(|| missing.clone()),
            false => missing.clone(),
        });
        *self.cells = Cells::Texts(Texts { list: list.collect() });
    }
}

const DAY_S: f64 = 86_400.0;

/// Days since 1970 of a moment that is written as the nanoseconds of a Julian day.
fn julian(words: &[u32]) -> f64 {
    /// The Julian day of 1970-01-01.
    const EPOCH: f64 = 2_440_588.0;
    let [low, high, day] = words else { return f64::NAN };
    let nanoseconds = (u64::from(*high) << 32 | u64::from(*low)).cast_signed();
    f64::from(day.cast_signed()) - EPOCH + nanoseconds as f64 / (1e9 * DAY_S)
}

fn scaled(value: f64, scale: i32) -> f64 {
    // One division by an exact power rounds best; beyond 10^22 no power is exact.
    if (0..=22).contains(&scale) { value / 10_f64.powi(scale) } else { value * 10_f64.powi(-scale) }
}

/// A whole number in two's complement, the highest byte first.
fn big_endian(bytes: &[u8]) -> f64 {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let magnitude = bytes
        .iter()
        .fold(0.0, |value, byte| value * 256.0 + f64::from(if negative { !byte } else { *byte }));
    if negative { -(magnitude + 1.0) } else { magnitude }
}

/// IEEE 754's binary16.
fn half(bytes: &[u8]) -> f64 {
    let Some(bytes) = bytes.first_chunk::<2>() else { return f64::NAN };
    let bits = u16::from_le_bytes(*bytes);
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let fraction = f64::from(bits & 0x3ff) / 1024.0;
    match (bits >> 10) & 0x1f {
        0 => sign * fraction * 2_f64.powi(-14),
        31 if fraction == 0.0 => sign * f64::INFINITY,
        31 => f64::NAN,
        exponent => sign * (1.0 + fraction) * 2_f64.powi(i32::from(exponent) - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_odd_kinds_are_what_they_mean() {
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x0001, 2_f64.powi(-24)),
            (0x7bff, 65504.0),
            (0x3555, 0.333_251_953_125),
        ] {
            assert_eq!(half(&u16::to_le_bytes(bits)), value);
        }
        assert!(half(&[0, 0x7c]).is_infinite() && half(&[1, 0x7c]).is_nan());
        assert_eq!(big_endian(&[0xff, 0xfe]), -2.0);
        assert_eq!(big_endian(&[0x01, 0x00]), 256.0);
        assert_eq!(big_endian(&[0x80]), -128.0);
        assert_eq!(scaled(12345.0, 2), 123.45);
        // 2001-01-01 12:00, as Spark writes it in 96 bits.
        let noon = 43_200_000_000_000_u64;
        assert_eq!(julian(&[noon as u32, (noon >> 32) as u32, 2_451_911]), 11_323.5);
    }
}
