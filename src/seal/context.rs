//! The encryption context: public pairs that are bound to a sealed file and to the use of its key.
//!
//! The pairs stand in the header in clear (or, when *required*, nowhere: the reader must know
//! them). They are authenticated, never hidden, so nothing secret belongs in them.

use std::collections::BTreeMap;

use super::error::Error;
use crate::spec::limit::SEAL_CONTEXT_BYTES_MAX;

/// What the format keeps for itself.
const RESERVED: &str = "aws-crypto-";
/// Where suite 0578 puts the key that checks its signature.
pub(super) const PUBLIC_KEY: &str = "aws-crypto-public-key";

/// Pairs of text, sorted by the bytes of their keys, each key once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context(BTreeMap<String, String>);

impl Context {
    /// No pairs.
    pub fn new() -> Context {
        Context::default()
    }

    /// Checks pairs that a caller gives.
    ///
    /// # Errors
    /// [`Error::Context`] for an empty or reserved key, or when all pairs together take more than
    /// [`SEAL_CONTEXT_BYTES_MAX`].
    pub fn from_pairs<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Context, Error>
    where
        K: Into<String>,
        V: Into<String>,
    {
        let mut context = Context::new();
        for (key, value) in pairs {
            context.insert(key, value)?;
        }
        Ok(context)
    }

    /// Pairs as a request to a key service carries them: those that the format reserves are let
    /// through, since an Encryption SDK sends the whole context of its message.
    ///
    /// # Errors
    /// [`Error::Context`] for an empty key or too many bytes.
    pub fn of_request(pairs: BTreeMap<String, String>) -> Result<Context, Error> {
        let context = Context(pairs);
        let what = match context.0.contains_key("") {
            true => "a key is empty".to_owned(),
            false if context.bytes() > SEAL_CONTEXT_BYTES_MAX => {
                format!("larger than {SEAL_CONTEXT_BYTES_MAX} bytes")
            }
            false => return Ok(context),
        };
        Err(Error::Context { what })
    }

    /// The pairs that smrt stores with what a job makes: `smrt:format`, `smrt:artifact` (such as
    /// `model.tar.gz` or `checkpoint`) and `smrt:job`.
    ///
    /// # Errors
    /// As [`Context::from_pairs`], for names that are far too long.
    pub fn of_job(artifact: &str, job: &str) -> Result<Context, Error> {
        Context::from_pairs([("smrt:format", "1"), ("smrt:artifact", artifact), ("smrt:job", job)])
    }

    /// Adds one pair.
    ///
    /// # Errors
    /// As [`Context::from_pairs`], and when `key` is already there with another value.
    pub fn insert(
        &mut self,
        key: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<(), Error> {
        let (key, value) = (key.into(), value.into());
        let wrong = |what: String| Err(Error::Context { what });
        if key.is_empty() {
            return wrong("a key is empty".into());
        }
        if key.starts_with(RESERVED) {
            return wrong(format!("{key:?} begins with {RESERVED}, which the format reserves"));
        }
        if self.bytes() + 4 + key.len() + value.len() > SEAL_CONTEXT_BYTES_MAX {
            return wrong(format!("larger than {SEAL_CONTEXT_BYTES_MAX} bytes with {:.40?}", key));
        }
        match self.0.get(&key) {
            Some(old) if *old != value => wrong(format!("{key:?} is given twice")),
            _ => {
                self.0.insert(key, value);
                Ok(())
            }
        }
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// All pairs, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// These pairs without those that the format put there.
    pub(super) fn unsigned(&self) -> Context {
        let mine = self.0.iter().filter(|(key, _)| !key.starts_with(RESERVED));
        Context(mine.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// These pairs and `other`'s. A key in both must have one value.
    pub(super) fn union(&self, other: &Context) -> Result<Context, Error> {
        let mut all = self.clone();
        for (key, value) in other.iter() {
            all.insert(key, value)?;
        }
        Ok(all)
    }

    /// The pairs whose keys `other` lacks.
    pub(super) fn without(&self, other: &Context) -> Context {
        let missing = self.0.iter().filter(|(key, _)| !other.0.contains_key(*key));
        Context(missing.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// The canonical bytes: nothing at all when empty, else a count and the pairs.
    pub(super) fn serialize(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes());
        if self.is_empty() {
            return bytes;
        }
        let number = |n: usize| u16::try_from(n).expect("insert and parse bound all lengths");
        bytes.extend(number(self.len()).to_be_bytes());
        for (key, value) in self.iter() {
            for text in [key, value] {
                bytes.extend(number(text.len()).to_be_bytes());
                bytes.extend(text.as_bytes());
            }
        }
        bytes
    }

    /// Reads the canonical bytes of a header. Reserved keys are let through: suite 0578 has one.
    ///
    /// # Errors
    /// A sentence, when the bytes are not exactly what [`Context::serialize`] makes.
    pub(super) fn parse(bytes: &[u8]) -> Result<Context, &'static str> {
        if bytes.len() > SEAL_CONTEXT_BYTES_MAX {
            return Err("the encryption context is larger than 8 KiB");
        }
        if bytes.is_empty() {
            return Ok(Context::new());
        }
        let mut rest = bytes;
        let count = take_u16(&mut rest)?;
        let mut context = Context::new();
        for _ in 0..count {
            let (key, value) = (take_text(&mut rest)?, take_text(&mut rest)?);
            context.0.insert(key.to_owned(), value.to_owned());
        }
        // Whatever order, repetition or padding was in there, it does not survive this.
        if context.serialize() != bytes {
            return Err("the encryption context is not in its canonical form");
        }
        Ok(context)
    }

    fn bytes(&self) -> usize {
        2 + self.iter().map(|(key, value)| 4 + key.len() + value.len()).sum::<usize>()
    }
}

fn take_u16(rest: &mut &[u8]) -> Result<u16, &'static str> {
    let (number, tail) = rest.split_first_chunk().ok_or("the encryption context is cut short")?;
    *rest = tail;
    Ok(u16::from_be_bytes(*number))
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, &'static str> {
    let length = usize::from(take_u16(rest)?);
    let (text, tail) =
        rest.split_at_checked(length).ok_or("the encryption context is cut short")?;
    *rest = tail;
    std::str::from_utf8(text).map_err(|_| "the encryption context is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_by_bytes_and_come_back() {
        let context = Context::from_pairs([("zé", "ü"), ("a", ""), ("Z", "1")]).unwrap();
        let bytes = context.serialize();
        assert_eq!(&bytes[..8], [0, 3, 0, 1, b'Z', 0, 1, b'1']);
        assert_eq!(Context::parse(&bytes).unwrap(), context);
        assert_eq!(Context::parse(&[]).unwrap(), Context::new());
    }

    #[test]
    fn only_the_canonical_form_is_read() {
        let pair = |key: u8| [0, 1, key, 0, 1, b'v'];
        let of = |count: u8, pairs: &[[u8; 6]]| [&[0, count][..], &pairs.concat()].concat();
        assert!(Context::parse(&of(2, &[pair(b'a'), pair(b'b')])).is_ok());
        for (why, bytes) in [
            ("unsorted", of(2, &[pair(b'b'), pair(b'a')])),
            ("twice", of(2, &[pair(b'a'), pair(b'a')])),
            ("fewer than said", of(2, &[pair(b'a')])),
            ("more than said", of(1, &[pair(b'a'), pair(b'b')])),
            ("zero pairs said", vec![0, 0]),
            ("one byte", vec![0]),
            ("not UTF-8", of(1, &[pair(0xff)])),
        ] {
            assert!(Context::parse(&bytes).is_err(), "{why}");
        }
    }

    #[test]
    fn every_cut_of_a_context_is_refused() {
        let bytes = Context::from_pairs([("job", "churn"), ("k", "v")]).unwrap().serialize();
        for end in 1..bytes.len() {
            assert!(Context::parse(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_caller_may_not_use_reserved_or_empty_keys_or_too_much() {
        assert!(Context::from_pairs([("aws-crypto-public-key", "x")]).is_err());
        assert!(Context::from_pairs([("", "x")]).is_err());
        assert!(Context::from_pairs([("a", "x"), ("a", "y")]).is_err());
        assert!(Context::from_pairs([("a", "x".repeat(8186))]).is_err());
        let full = Context::from_pairs([("a", "x".repeat(8185))]).unwrap();
        assert_eq!(full.serialize().len(), SEAL_CONTEXT_BYTES_MAX);
    }
}
