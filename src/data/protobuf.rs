//! Protocol buffers as they lie on the wire (<https://protobuf.dev/programming-guides/encoding>):
//! fields are read where they stand, so that what a stranger's bytes make us hold is bounded by
//! their number, and messages of a few fields are written without a struct for each.

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged(pub &'static str);

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Field<'a> {
    /// A whole number or a truth.
    Varint(u64),
    /// Eight bytes, little-endian.
    Fixed64([u8; 8]),
    /// Text, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// Four bytes, little-endian.
    Fixed32([u8; 4]),
}

/// What is left of a message.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The next field and its number.
    ///
    /// # Errors
    /// When the bytes are no message.
    pub fn next_field(&mut self) -> Result<Option<(u64, Field<'a>)>, Damaged> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(self.fixed()?),
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let Some((field, rest)) = self.bytes.split_at_checked(length) else {
                    return Err(Damaged("a field is longer than what is left"));
                };
                self.bytes = rest;
                Field::Bytes(field)
            }
            5 => Field::Fixed32(self.fixed()?),
            _ => return Err(Damaged("a field is of a kind that is not used any more")),
        };
        Ok(Some((tag >> 3, field)))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let Some((number, rest)) = self.bytes.split_first_chunk::<N>() else {
            return Err(Damaged("a number is cut"));
        };
        self.bytes = rest;
        Ok(*number)
    }

    /// The next number of a packed field.
    ///
    /// # Errors
    /// When it does not end.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, Damaged> {
        let mut value = 0;
        for (at, byte) in self.bytes.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.bytes = &self.bytes[at + 1..];
                return Ok(value);
            }
        }
        Err(Damaged("a whole number does not end"))
    }

    /// The text of a field, where it stands; the last one if there are several, as protobuf has it.
    ///
    /// # Errors
    /// When the bytes are no message or the field is no text.
    pub fn text(mut self, number: u64) -> Result<&'a str, Damaged> {
        let mut found = "";
        while let Some((known, field)) = self.next_field()? {
            if known == number {
                found = text(field)?;
            }
        }
        Ok(found)
    }
}

/// A field's text.
///
/// # Errors
/// When it is none.
pub fn text(field: Field<'_>) -> Result<&str, Damaged> {
    let Field::Bytes(bytes) = field else { return Err(Damaged("a text is a number")) };
    std::str::from_utf8(bytes).map_err(|_| Damaged("a text is not UTF-8"))
}

/// A message being written. Fields that have their default are left out, as protobuf 3 does.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Text.
    pub fn text(self, number: u64, text: &str) -> Message {
        if text.is_empty() { self } else { self.bytes(number, text.as_bytes()) }
    }

    /// A whole number or a truth.
    pub fn number(mut self, number: u64, value: u64) -> Message {
        if value != 0 {
            varint(number << 3, &mut self.bytes);
            varint(value, &mut self.bytes);
        }
        self
    }

    /// Whole numbers, packed.
    pub fn numbers(self, number: u64, values: impl IntoIterator<Item = u64>) -> Message {
        let mut packed = Vec::new();
        values.into_iter().for_each(|value| varint(value, &mut packed));
        if packed.is_empty() { self } else { self.bytes(number, &packed) }
    }

    /// A message inside, or bytes; also when there are none.
    pub fn bytes(mut self, number: u64, bytes: &[u8]) -> Message {
        bytes_field(number, bytes, &mut self.bytes);
        self
    }

    /// Messages inside.
    pub fn each(self, number: u64, messages: impl IntoIterator<Item = Message>) -> Message {
        messages.into_iter().fold(self, |whole, message| whole.bytes(number, &message.bytes))
    }
}

/// Appends one field of bytes.
pub(crate) fn bytes_field(number: u64, bytes: &[u8], out: &mut Vec<u8>) {
    varint(number << 3 | 2, out);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends a whole number.
pub(crate) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct Inner {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(int64, repeated, tag = "3")]
        shape: Vec<i64>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Outer {
        #[prost(bool, tag = "1")]
        live: bool,
        #[prost(uint64, tag = "2")]
        count: u64,
        #[prost(message, repeated, tag = "17")]
        inner: Vec<Inner>,
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_prost_writes(
            live in any::<bool>(),
            count in any::<u64>(),
            inner in prop::collection::vec((".{0,9}", prop::collection::vec(any::<i64>(), 0..4)), 0..4),
        ) {
            let messages = inner.iter().map(|(name, shape)| {
                Message::default().text(1, name).numbers(3, shape.iter().map(|size| *size as u64))
            });
            let ours = Message::default().number(1, u64::from(live)).number(2, count).each(17, messages);
            let theirs = Outer {
                live,
                count,
                inner: inner.iter().map(|(name, shape)| Inner { name: name.clone(), shape: shape.clone() }).collect(),
            };
            prop_assert_eq!(ours.into_bytes(), theirs.encode_to_vec());
        }
    }

    #[test]
    fn the_last_of_several_texts_counts() {
        let twice = Message::default().text(1, "a").number(2, 300).text(1, "b").into_bytes();
        assert_eq!(Fields { bytes: &twice }.text(1), Ok("b"));
        assert_eq!(Fields { bytes: &twice }.text(3), Ok(""));
        assert!(Fields { bytes: &twice }.text(2).is_err());
        for cut in 1..twice.len() {
            let _ = Fields { bytes: &twice[..cut] }.text(1);
        }
    }
}
