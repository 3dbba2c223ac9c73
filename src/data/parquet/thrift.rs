//! Thrift's compact protocol, as far as parquet needs it: [`check`] walks a whole structure and
//! believes no length that the bytes do not bear out, so that a reader which reserves memory by what
//! a header says may be let at it; [`page_header`] reads the head of one page.

use super::Wrong;

/// Structures within structures; parquet's own go six deep.
const DEPTH_MAX: usize = 24;

/// Passes over the structure at the start of `bytes`; where it ends.
pub(super) fn check(bytes: &[u8]) -> Result<usize, Wrong> {
    let mut reader = Reader { bytes, at: 0 };
    reader.skip_struct(DEPTH_MAX)?;
    Ok(reader.at)
}

/// What stands before a page.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct PageHeader {
    pub(super) kind: i64,
    pub(super) uncompressed_bytes: i64,
    pub(super) compressed_bytes: i64,
    pub(super) data: Option<Data>,
    pub(super) dictionary: Option<Dictionary>,
    /// Where the page begins, behind this header.
    pub(super) length: usize,
}

/// A page of values, version 1 or 2.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Data {
    pub(super) values: i64,
    pub(super) encoding: i64,
    /// Version 1.
    pub(super) definition_encoding: i64,
    /// Version 1.
    pub(super) repetition_encoding: i64,
    /// Version 2, as all that follow.
    pub(super) nulls: i64,
    pub(super) rows: i64,
    pub(super) definition_bytes: i64,
    pub(super) repetition_bytes: i64,
    pub(super) is_compressed: bool,
}

/// A page of different values.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Dictionary {
    pub(super) values: i64,
    pub(super) encoding: i64,
    pub(super) is_sorted: bool,
}

/// Reads the header at the start of `bytes`.
pub(super) fn page_header(bytes: &[u8]) -> Result<PageHeader, Wrong> {
    let mut reader = Reader { bytes, at: 0 };
    let mut header = PageHeader::default();
    reader.fields(|reader, id, kind| {
        match (id, kind) {
            (1, I32) => header.kind = reader.zigzag()?,
            (2, I32) => header.uncompressed_bytes = reader.zigzag()?,
            (3, I32) => header.compressed_bytes = reader.zigzag()?,
            (5 | 8, STRUCT) => header.data = Some(data(reader, id)?),
            (7, STRUCT) => header.dictionary = Some(dictionary(reader)?),
            _ => reader.skip(kind, DEPTH_MAX)?,
        }
        Ok(())
    })?;
    header.length = reader.at;
    Ok(header)
}

fn data(reader: &mut Reader<'_>, version: i64) -> Result<Data, Wrong> {
    let mut data = Data { is_compressed: true, ..Data::default() };
    reader.fields(|reader, id, kind| {
        let slot = match (version, id) {
            (_, 1) => &mut data.values,
            (5, 2) => &mut data.encoding,
            (5, 3) => &mut data.definition_encoding,
            (5, 4) => &mut data.repetition_encoding,
            (8, 2) => &mut data.nulls,
            (8, 3) => &mut data.rows,
            (8, 4) => &mut data.encoding,
            (8, 5) => &mut data.definition_bytes,
            (8, 6) => &mut data.repetition_bytes,
            (8, 7) if kind == TRUE || kind == FALSE => {
                data.is_compressed = kind == TRUE;
                return Ok(());
            }
            _ => return reader.skip(kind, DEPTH_MAX),
        };
        if kind != I32 {
            return Err(damaged());
        }
        *slot = reader.zigzag()?;
        Ok(())
    })?;
    Ok(data)
}

fn dictionary(reader: &mut Reader<'_>) -> Result<Dictionary, Wrong> {
    let mut dictionary = Dictionary::default();
    reader.fields(|reader, id, kind| {
        match (id, kind) {
            (1, I32) => dictionary.values = reader.zigzag()?,
            (2, I32) => dictionary.encoding = reader.zigzag()?,
            (3, TRUE | FALSE) => dictionary.is_sorted = kind == TRUE,
            _ => reader.skip(kind, DEPTH_MAX)?,
        }
        Ok(())
    })?;
    Ok(dictionary)
}

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const I32: u8 = 5;
const STRUCT: u8 = 12;

fn damaged() -> Wrong {
    super::damaged("its metadata are cut short or damaged")
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Wrong> {
        let byte = *self.bytes.get(self.at).ok_or_else(damaged)?;
        self.at += 1;
        Ok(byte)
    }

    fn pass(&mut self, bytes: u64) -> Result<(), Wrong> {
        if bytes > (self.bytes.len() - self.at) as u64 {
            return Err(damaged());
        }
        self.at += bytes as usize;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, Wrong> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged())
    }

    fn zigzag(&mut self) -> Result<i64, Wrong> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Hands over each field of a structure, its number and its kind.
    fn fields(
        &mut self,
        mut take: impl FnMut(&mut Self, i64, u8) -> Result<(), Wrong>,
    ) -> Result<(), Wrong> {
        let mut id = 0_i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(());
            }
            match head >> 4 {
                0 => id = self.zigzag()?,
                step => id = id.saturating_add(i64::from(step)),
            }
            take(self, id, head & 0x0f)?;
        }
    }

    fn skip_struct(&mut self, depth: usize) -> Result<(), Wrong> {
        let depth = depth.checked_sub(1).ok_or_else(damaged)?;
        self.fields(|reader, _, kind| reader.skip(kind, depth))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), Wrong> {
        match kind {
            TRUE | FALSE => Ok(()),
            3 => self.pass(1),
            4 | I32 | 6 => self.varint().map(drop),
            7 => self.pass(8),
            8 => {
                let length = self.varint()?;
                self.pass(length)
            }
            9 | 10 => {
                let head = self.byte()?;
                let length = match head >> 4 {
                    15 => self.varint()?,
                    short => u64::from(short),
                };
                self.skip_list(head & 0x0f, length, depth)
            }
            STRUCT => self.skip_struct(depth),
            // A map, or something newer: parquet's metadata have none.
            _ => Err(damaged()),
        }
    }

    fn skip_list(&mut self, kind: u8, length: u64, depth: usize) -> Result<(), Wrong> {
        let depth = depth.checked_sub(1).ok_or_else(damaged)?;
        // Each element takes a byte at least, a truth value too.
        if length > (self.bytes.len() - self.at) as u64 {
            return Err(damaged());
        }
        for _ in 0..length {
            match kind {
                TRUE | FALSE => self.pass(1)?,
                kind => self.skip(kind, depth)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_the_bytes_do_not_bear_out_are_refused() {
        // Field 1, a list of 2^31 structures; a text of 2^40 bytes; structures without end.
        assert!(check(&[0x19, 0xfc, 0x80, 0x80, 0x80, 0x80, 0x08, 0, 0, 0]).is_err());
        assert!(check(&[0x18, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0]).is_err());
        assert!(check(&[0x1c; 4096]).is_err());
        assert!(check(&[0x19; 4096]).is_err());
        assert!(check(&[0x15]).is_err());
        assert!(check(&[]).is_err());
        // Field 1, an i32 of -1; field 2, two empty structures; the end.
        assert_eq!(check(&[0x15, 0x01, 0x19, 0x2c, 0, 0, 0]).unwrap(), 7);
    }
}
