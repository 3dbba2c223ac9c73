//! Columns of words. While a channel is learned from, each block of rows has its own codes; joined
//! in order they become codes by first appearance, whatever the blocks and threads were. Every
//! other channel, and every request, is read by the words that training found: one that is not
//! among them is a missing value.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use super::batch::Categories;
use super::error::shown;
use super::label::Refused;
use super::number;
use crate::spec::limit::{VOCABULARY_BYTES_MAX, WORD_BYTES_MAX, WORDS_MAX};

/// The words of a model, ready to be looked up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vocabulary {
    columns: BTreeMap<usize, HashMap<String, u32>>,
}

impl Vocabulary {
    /// From the words of each column.
    pub fn of(categories: &Categories) -> Vocabulary {
        let index = |words: &[String]| words.iter().cloned().zip(0u32..).collect();
        let columns = categories.iter().map(|(at, words)| (*at, index(words))).collect();
        Vocabulary { columns }
    }

    /// The columns that hold words, from 0, ascending.
    pub fn features(&self) -> impl Iterator<Item = usize> + '_ {
        self.columns.keys().copied()
    }

    /// Whether a column holds words.
    pub fn has(&self, feature: usize) -> bool {
        self.columns.contains_key(&feature)
    }

    /// What a text in such a column is to the model: its code, or NaN.
    pub(crate) fn code(&self, feature: usize, text: &[u8]) -> Result<f32, Refused> {
        let Some(word) = word(text)? else { return Ok(f32::NAN) };
        let code = self.columns.get(&feature).and_then(|words| words.get(word.as_ref()));
        Ok(code.map_or(f32::NAN, |code| *code as f32))
    }
}

/// Words in order of first appearance.
#[derive(Debug, Default)]
pub(crate) struct Words {
    names: Vec<String>,
    index: HashMap<String, u32>,
    bytes: usize,
}

impl Words {
    /// The code of a cell; NaN when it is missing.
    pub(crate) fn code(&mut self, text: &[u8]) -> Result<f32, Refused> {
        match word(text)? {
            Some(word) => self.number(&word).map(|code| code as f32),
            None => Ok(f32::NAN),
        }
    }

    /// The code in `self` of each word of `next`.
    fn join(&mut self, next: &Words) -> Result<Vec<u32>, Refused> {
        next.names.iter().map(|name| self.number(name)).collect()
    }

    fn number(&mut self, word: &str) -> Result<u32, Refused> {
        if let Some(code) = self.index.get(word) {
            return Ok(*code);
        }
        if self.names.len() == WORDS_MAX {
            return Err((
                format!("the column holds more than {WORDS_MAX} different words"),
                "a column of ids or free text helps no model: name it under `ignore`".into(),
            ));
        }
        self.bytes += word.len();
        let code = self.names.len() as u32;
        self.names.push(word.to_owned());
        self.index.insert(word.to_owned(), code);
        Ok(code)
    }
}

/// The words of a whole channel while they are learned.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    columns: Vec<Words>,
}

impl Dictionary {
    /// Takes in what one block found in its columns of words, the features `at`, and turns the
    /// block's codes in `rows` (so many numbers each) into the channel's.
    ///
    /// # Errors
    /// The feature, and what is wrong with it.
    pub(crate) fn take(
        &mut self,
        found: &[Words],
        at: &[usize],
        rows: &mut [f32],
        width: usize,
    ) -> Result<(), (usize, Refused)> {
        if found.is_empty() {
            return Ok(());
        }
        self.columns.resize_with(found.len(), Words::default);
        for ((mine, block), feature) in self.columns.iter_mut().zip(found).zip(at) {
            let codes = mine.join(block).map_err(|refused| (*feature, refused))?;
            if codes.iter().zip(0u32..).all(|(code, local)| *code == local) {
                continue;
            }
            for cell in rows.iter_mut().skip(*feature).step_by(width) {
                if let Some(code) = codes.get(*cell as usize).filter(|_| !cell.is_nan()) {
                    *cell = *code as f32;
                }
            }
        }
        let bytes: usize = self.columns.iter().map(|words| words.bytes).sum();
        let largest = self.columns.iter().zip(at).max_by_key(|(words, _)| words.bytes);
        match largest {
            Some((_, feature)) if bytes > VOCABULARY_BYTES_MAX => Err((
                *feature,
                (
                    format!(
                        "the columns of words hold more than {VOCABULARY_BYTES_MAX} bytes of different words, this one most"
                    ),
                    "a column of ids or free text helps no model: name it under `ignore`".into(),
                ),
            )),
            _ => Ok(()),
        }
    }

    /// The words so far, under the features `at`.
    pub(crate) fn categories(&self, at: &[usize]) -> Categories {
        let none = Vec::new();
        let words = |slot| self.columns.get(slot).map_or(&none, |words: &Words| &words.names);
        at.iter().enumerate().map(|(slot, feature)| (*feature, words(slot).clone())).collect()
    }
}

/// A cell as a word: without the spaces around it, `None` when it is missing. A number that is not
/// plain digits is named by its shortest decimal, so that 1.0 in CSV and 1 in JSON are one word;
/// digits stay as they are, since leading zeros tell one code from another.
pub(crate) fn word(text: &[u8]) -> Result<Option<Cow<'_, str>>, Refused> {
    let text = number::trimmed(text);
    if number::is_missing(text) {
        return Ok(None);
    }
    if text.len() > WORD_BYTES_MAX {
        return Err((
            format!(
                "the text {} has {} bytes, and a word {WORD_BYTES_MAX} at most",
                shown(text),
                text.len()
            ),
            "a column of free text helps no model here: name it under `ignore`".into(),
        ));
    }
    let Ok(word) = std::str::from_utf8(text) else {
        return Err((format!("{} is not UTF-8", shown(text)), "save the file in UTF-8".into()));
    };
    let digits = word.strip_prefix('-').unwrap_or(word);
    let begins = digits.strip_prefix('+').unwrap_or(digits).bytes().next();
    if !begins.is_some_and(|byte| byte.is_ascii_digit() || byte == b'.')
        || digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Ok(Some(Cow::Borrowed(word)));
    }
    Ok(Some(match word.parse::<f64>() {
        Ok(value) if value.is_finite() => Cow::Owned(value.to_string()),
        _ => Cow::Borrowed(word),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Option<String> {
        word(text.as_bytes()).unwrap().map(Cow::into_owned)
    }

    #[test]
    fn a_number_is_one_word_however_it_is_written_and_leading_zeros_stay() {
        for (text, name) in [
            ("1.0", "1"),
            ("+1", "1"),
            ("1e2", "100"),
            (" 7 ", "7"),
            ("02134", "02134"),
            ("-5", "-5"),
            ("16777217", "16777217"),
            ("1.2.3", "1.2.3"),
            ("1e999", "1e999"),
            ("inf", "inf"),
            ("Käse", "Käse"),
        ] {
            assert_eq!(named(text).as_deref(), Some(name), "{text}");
        }
        for missing in ["", "  ", "NA", "?", "null", "NaN"] {
            assert_eq!(named(missing), None, "{missing}");
        }
        assert!(word(b"\xff").is_err());
        assert!(word("x".repeat(WORD_BYTES_MAX + 1).as_bytes()).is_err());
    }

    #[test]
    fn codes_do_not_depend_on_where_blocks_were_cut() {
        let texts = ["b", "a", "", "b", "c", "a", "d"];
        let read = |cuts: &[usize]| {
            let (mut dictionary, mut whole) = (Dictionary::default(), Vec::new());
            let mut start = 0;
            for end in cuts.iter().copied().chain([texts.len()]) {
                let mut words = Words::default();
                let mut cells: Vec<f32> =
                    texts[start..end].iter().map(|t| words.code(t.as_bytes()).unwrap()).collect();
                dictionary.take(&[words], &[0], &mut cells, 1).unwrap();
                whole.extend(cells.iter().map(|cell| cell.to_bits()));
                start = end;
            }
            (whole, dictionary.categories(&[0]))
        };
        let whole = read(&[]);
        assert_eq!(whole.1[&0], ["b", "a", "c", "d"]);
        for cut in 0..=texts.len() {
            assert_eq!(read(&[cut]), whole, "cut at {cut}");
            assert_eq!(read(&[cut / 2, cut]), whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_vocabulary_is_bounded_in_words_and_bytes() {
        let mut words = Words::default();
        for id in 0..WORDS_MAX {
            words.code(format!("id{id}").as_bytes()).unwrap();
        }
        assert!(words.code(b"id7").is_ok());
        assert!(words.code(b"one more").unwrap_err().1.contains("ignore"));
        let mut dictionary = Dictionary::default();
        let long = |id: usize| format!("{id:01024}x").split_off(1);
        let mut refused = None;
        for block in 0..20 {
            let mut words = Words::default();
            for id in 0..1000 {
                words.code(long(block * 1000 + id).as_bytes()).unwrap();
            }
            refused = refused.or(dictionary.take(&[words], &[3], &mut [], 4).err());
        }
        assert_eq!(refused.map(|(feature, _)| feature), Some(3));
    }

    #[test]
    fn an_unknown_word_is_missing() {
        let words = ["red", "1"].map(String::from).to_vec();
        let vocabulary = Vocabulary::of(&Categories::from([(2, words)]));
        assert_eq!(vocabulary.code(2, b" red").unwrap(), 0.0);
        assert_eq!(vocabulary.code(2, b"1.0").unwrap(), 1.0);
        assert!(vocabulary.code(2, b"blue").unwrap().is_nan());
        assert!(vocabulary.has(2) && !vocabulary.has(0));
    }
}
