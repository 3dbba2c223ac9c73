//! The pages of one column chunk, unpacked under bounds. The `parquet` crate reads pages too, but
//! takes a header's sizes at their word and has zstd only through C; here every size is held against
//! the bytes and the bound before memory is taken, and zstd is ruzstd's.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, Type};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::ParquetError;

use super::thrift::{self, Data, PageHeader};
use super::{Wrong, damaged};

/// What one column chunk is, as its file says.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    pub(super) compression: Compression,
    pub(super) physical: Type,
    /// Bytes of one value of fixed length.
    pub(super) type_length: i32,
    /// Whether a value may be missing, and its level be written before it.
    pub(super) has_levels: bool,
    /// Values of the chunk.
    pub(super) values: i64,
    /// The most that one page may unpack to.
    pub(super) page_bytes_max: usize,
    /// What the pages that follow may unpack to together, those of the file's other columns counted.
    pub(super) left: Arc<AtomicU64>,
}

/// Its pages in turn.
pub(super) struct Pages {
    chunk: Chunk,
    at: usize,
    seen: i64,
}

impl Pages {
    pub(super) fn new(chunk: Chunk) -> Pages {
        Pages { chunk, at: 0, seen: 0 }
    }

    fn page(&mut self) -> Result<Option<Page>, Wrong> {
        while self.seen < self.chunk.values && self.at < self.chunk.bytes.len() {
            let header = thrift::page_header(&self.chunk.bytes[self.at..])?;
            let start = self.at + header.length;
            let length = usize::try_from(header.compressed_bytes).unwrap_or(usize::MAX);
            let end = start.checked_add(length).filter(|end| *end <= self.chunk.bytes.len());
            let Some(end) = end else { return Err(damaged("a page is cut short")) };
            let packed = self.chunk.bytes.slice(start..end);
            self.at = end;
            let page = match (&header.data, &header.dictionary) {
                (Some(data), _) if header.kind == 0 => self.data(&header, data, &packed)?,
                (Some(data), _) if header.kind == 3 => self.data_v2(&header, data, &packed)?,
                (_, Some(_)) if header.kind == 2 => self.dictionary(&header, &packed)?,
                _ => continue,
            };
            return Ok(Some(page));
        }
        Ok(None)
    }

    fn dictionary(&self, header: &PageHeader, packed: &Bytes) -> Result<Page, Wrong> {
        let found = header.dictionary.clone().unwrap_or_default();
        let buf = self.unpacked(packed, header.uncompressed_bytes)?;
        let least = match self.chunk.physical {
            Type::INT64 | Type::DOUBLE => 8,
            Type::INT96 => 12,
            Type::FIXED_LEN_BYTE_ARRAY => self.chunk.type_length.max(1) as usize,
            _ => 4,
        };
        let num_values = u32::try_from(found.values).unwrap_or(u32::MAX);
        if num_values as usize > buf.len() / least {
            return Err(damaged("a dictionary is shorter than it says"));
        }
        let encoding = encoding(found.encoding)?;
        Ok(Page::DictionaryPage { buf, num_values, encoding, is_sorted: found.is_sorted })
    }

    fn data(&mut self, header: &PageHeader, data: &Data, packed: &Bytes) -> Result<Page, Wrong> {
        let num_values = self.count(data)?;
        let buf = self.unpacked(packed, header.uncompressed_bytes)?;
        let encoding = encoding(data.encoding)?;
        let values = match self.chunk.has_levels {
            true => {
                let length =
                    buf.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes) as usize);
                length.and_then(|length| buf.get(4..)?.get(length..))
            }
            false => Some(&buf[..]),
        };
        let values = values.ok_or_else(|| damaged("a page's levels are cut short"))?;
        check_encoding(encoding, values, num_values)?;
        Ok(Page::DataPage {
            num_values,
            encoding,
            def_level_encoding: self::encoding(data.definition_encoding)?,
            rep_level_encoding: self::encoding(data.repetition_encoding)?,
            statistics: None,
            buf,
        })
    }

    fn data_v2(&mut self, header: &PageHeader, data: &Data, packed: &Bytes) -> Result<Page, Wrong> {
        let num_values = self.count(data)?;
        let small =
            |value: i64| u32::try_from(value).map_err(|_| damaged("a page's head is wrong"));
        let (levels, repeated) = (small(data.definition_bytes)?, small(data.repetition_bytes)?);
        let before = levels as usize + repeated as usize;
        let Some(values) = packed.get(before..) else {
            return Err(damaged("a page's levels are cut short"));
        };
        // Levels are never packed.
        let mut buf = packed[..before].to_vec();
        if data.is_compressed && !values.is_empty() {
            let unpacked = header.uncompressed_bytes.saturating_sub(before as i64);
            buf.extend_from_slice(&self.unpacked(&packed.slice(before..), unpacked)?);
        } else {
            buf.extend_from_slice(values);
        }
        let encoding = encoding(data.encoding)?;
        check_encoding(encoding, &buf[before..], num_values)?;
        Ok(Page::DataPageV2 {
            num_values,
            encoding,
            num_nulls: small(data.nulls)?,
            num_rows: small(data.rows)?,
            def_levels_byte_len: levels,
            rep_levels_byte_len: repeated,
            is_compressed: false,
            statistics: None,
            buf: buf.into(),
        })
    }

    fn count(&mut self, data: &Data) -> Result<u32, Wrong> {
        let count = u32::try_from(data.values).map_err(|_| damaged("a page's head is wrong"))?;
        self.seen = self.seen.saturating_add(i64::from(count));
        if self.seen > self.chunk.values {
            return Err(damaged("its pages hold more values than it says"));
        }
        Ok(count)
    }

    fn unpacked(&self, packed: &Bytes, says: i64) -> Result<Bytes, Wrong> {
        let length = usize::try_from(says).unwrap_or(usize::MAX);
        if length > self.chunk.page_bytes_max {
            return Err((
                format!(
                    "a page unpacks to {says} bytes where {} are allowed",
                    self.chunk.page_bytes_max
                ),
                "write it with smaller pages, or set `resources.memory_bytes_max` higher".into(),
            ));
        }
        let is_packed = self.chunk.compression != Compression::UNCOMPRESSED;
        if is_packed && !take(&self.chunk.left, length as u64) {
            return Err((
                "its pages unpack to more bytes than are allowed together".into(),
                "send fewer rows at a time, and no texts as long as pages".into(),
            ));
        }
        let wrong = || damaged("a page does not unpack to what it says");
        let mut buf = Vec::new();
        match self.chunk.compression {
            Compression::UNCOMPRESSED => return Ok(packed.clone()),
            Compression::SNAPPY => {
                if snap::raw::decompress_len(packed).ok() != Some(length) {
                    return Err(wrong());
                }
                buf.resize(length, 0);
                snap::raw::Decoder::new().decompress(packed, &mut buf).map_err(|_| wrong())?;
            }
            Compression::LZ4_RAW => {
                buf.resize(length, 0);
                let found = lz4_flex::block::decompress_into(packed, &mut buf);
                if found.ok() != Some(length) {
                    return Err(wrong());
                }
            }
            Compression::GZIP(_) => {
                let reader = flate2::read::MultiGzDecoder::new(&packed[..]);
                read_exactly(reader, length, &mut buf).ok_or_else(wrong)?;
            }
            Compression::ZSTD(_) => {
                let reader = ruzstd::decoding::StreamingDecoder::new(&packed[..]);
                let reader = reader.map_err(|_| wrong())?;
                read_exactly(reader, length, &mut buf).ok_or_else(wrong)?;
            }
            other => {
                let name = format!("{other:?}");
                let name = name.split('(').next().unwrap_or_default().to_lowercase();
                return Err((
                    format!("its columns are packed with {name}, which smrt does not read"),
                    "write it with snappy, gzip, zstd, lz4_raw or none".into(),
                ));
            }
        }
        Ok(buf.into())
    }
}

/// Takes so many of the bytes that are left; `false` where there are not so many.
fn take(left: &AtomicU64, bytes: u64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
}

fn read_exactly(reader: impl Read, length: usize, into: &mut Vec<u8>) -> Option<()> {
    into.reserve_exact(length.min(16 << 20));
    reader.take(length as u64 + 1).read_to_end(into).ok()?;
    (into.len() == length).then_some(())
}

fn encoding(number: i64) -> Result<Encoding, Wrong> {
    #[expect(deprecated, reason = "old files say it of levels")]
    Ok(match number {
        0 => Encoding::PLAIN,
        2 => Encoding::PLAIN_DICTIONARY,
        3 => Encoding::RLE,
        4 => Encoding::BIT_PACKED,
        5 => Encoding::DELTA_BINARY_PACKED,
        6 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
        8 => Encoding::RLE_DICTIONARY,
        9 => Encoding::BYTE_STREAM_SPLIT,
        _ => {
            let name = if number == 7 { "DELTA_BYTE_ARRAY".into() } else { number.to_string() };
            return Err((
                format!("a page has the encoding {name}, which smrt does not read"),
                "write it with plain or dictionary encoding".into(),
            ));
        }
    })
}

/// The head of a page of differences says how many there are, and memory is taken by it.
fn check_encoding(encoding: Encoding, values: &[u8], count: u32) -> Result<(), Wrong> {
    if !matches!(encoding, Encoding::DELTA_BINARY_PACKED | Encoding::DELTA_LENGTH_BYTE_ARRAY) {
        return Ok(());
    }
    let mut rest = values.iter();
    let mut number = || {
        let mut value = 0_u64;
        for shift in (0..63).step_by(7) {
            let byte = rest.next()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    };
    match (number(), number(), number()) {
        (Some(128..=65_536), Some(1..=1_024), Some(total)) if total <= u64::from(count) => Ok(()),
        // All values are missing.
        (None, _, _) if values.is_empty() => Ok(()),
        _ => Err(damaged("a page of differences has a wrong head")),
    }
}

/// A mistake of ours on its way through the crate's error.
pub(super) fn carried((what, help): Wrong) -> ParquetError {
    ParquetError::General(format!("{what}{CARRIED}{help}"))
}

/// The mistake again, or the crate's own words.
pub(super) fn uncarried(error: &ParquetError) -> Wrong {
    const WORDS_MAX: usize = 160;
    if let ParquetError::General(text) = error
        && let Some((what, help)) = text.split_once(CARRIED)
    {
        return (what.to_owned(), help.to_owned());
    }
    let text: String =
        error.to_string().chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect();
    damaged(&text)
}

const CARRIED: &str = "\u{0}";

impl Iterator for Pages {
    type Item = Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        self.page().map_err(carried)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
        if self.seen >= self.chunk.values || self.at >= self.chunk.bytes.len() {
            return Ok(None);
        }
        let header = thrift::page_header(&self.chunk.bytes[self.at..]).map_err(carried)?;
        Ok(Some(PageMetadata {
            num_rows: header
                .data
                .as_ref()
                .filter(|_| header.kind == 3)
                .map(|data| data.rows as usize),
            num_levels: header.data.as_ref().map(|data| data.values as usize),
            is_dict: header.kind == 2,
        }))
    }

    fn skip_next_page(&mut self) -> Result<(), ParquetError> {
        self.page().map(drop).map_err(carried)
    }
}
