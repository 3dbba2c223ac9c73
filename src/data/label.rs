//! The label column while it is read: numbers as long as every value is one, else words.
//! Blocks are collected apart and joined in order; the result does not depend on where they were
//! cut.

use std::collections::HashMap;

use super::batch::Labels;
use super::error::shown;
use super::number::{self, Cell, NotNumber};
use crate::spec::limit::{CLASSES_MAX, WORD_BYTES_MAX};

/// Labels of some rows.
#[derive(Debug, Default, Clone)]
pub(crate) struct LabelRows {
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Numbers(Vec<f32>),
    Words(Words),
}

/// Codes into names in order of first appearance. A number among words is named by its shortest
/// decimal, so that `1` and `1.0` stay one class.
#[derive(Debug, Default, Clone)]
struct Words {
    codes: Vec<u32>,
    names: Vec<String>,
    index: HashMap<String, u32>,
    /// The first value that was not a number: what to look at if that was not meant.
    first: String,
}

impl Default for Kind {
    fn default() -> Kind {
        Kind::Numbers(Vec::new())
    }
}

/// Why a value cannot be a label: what is wrong, and what to do.
pub(crate) type Refused = (String, String);

impl LabelRows {
    /// Adds a label as it stands in the file.
    pub(crate) fn push_text(&mut self, text: &[u8]) -> Result<(), Refused> {
        match number::parse(text) {
            Ok(Cell::Value(value)) => self.push_number(value),
            Ok(Cell::Missing) => Err((
                if number::trimmed(text).is_empty() {
                    "the label is missing".into()
                } else {
                    format!("the label is missing ({})", shown(text))
                },
                "every row to learn from needs a label; remove the row or fill it in".into(),
            )),
            Err(NotNumber::Infinite | NotNumber::Overflow) => Err((
                format!("the label {} is not a finite number", shown(text)),
                "use numbers between -3.4e38 and 3.4e38, or words".into(),
            )),
            Err(NotNumber::Word) if text.len() > WORD_BYTES_MAX => Err((
                format!("the label {} has {} bytes", shown(text), text.len()),
                format!("a label is a number or a word of at most {WORD_BYTES_MAX} bytes"),
            )),
            Err(NotNumber::Word) => match std::str::from_utf8(number::trimmed(text)) {
                Ok(word) => self.push_word(word),
                Err(_) => Err((
                    format!("the label {} is not UTF-8", shown(text)),
                    "save the file in UTF-8".into(),
                )),
            },
        }
    }

    /// Adds a label that is a finite number.
    #[inline]
    pub(crate) fn push_number(&mut self, value: f32) -> Result<(), Refused> {
        match &mut self.kind {
            Kind::Numbers(numbers) => {
                numbers.push(value);
                Ok(())
            }
            Kind::Words(words) => words.push(&value.to_string()),
        }
    }

    /// Adds a label that is a word.
    pub(crate) fn push_word(&mut self, word: &str) -> Result<(), Refused> {
        self.words(word)?.push(word)
    }

    /// Appends the rows that follow.
    pub(crate) fn append(&mut self, next: LabelRows) -> Result<(), Refused> {
        match (&mut self.kind, next.kind) {
            (Kind::Numbers(numbers), Kind::Numbers(more)) => {
                numbers.extend_from_slice(&more);
                Ok(())
            }
            (Kind::Words(words), Kind::Numbers(more)) => {
                more.iter().try_for_each(|value| words.push(&value.to_string()))
            }
            (_, Kind::Words(more)) => {
                let words = self.words(&more.first)?;
                let codes: Result<Vec<u32>, Refused> =
                    more.names.iter().map(|name| words.code(name)).collect();
                let codes = codes?;
                words.codes.extend(more.codes.iter().map(|code| codes[*code as usize]));
                Ok(())
            }
        }
    }

    /// Hands over the rows so far and goes on with the same names, for a reader in pieces.
    pub(crate) fn take_rows(&mut self) -> Labels {
        match &mut self.kind {
            Kind::Numbers(numbers) => Labels::Number(std::mem::take(numbers)),
            Kind::Words(words) => {
                Labels::Text { codes: std::mem::take(&mut words.codes), names: words.names.clone() }
            }
        }
    }

    /// Hands over everything.
    pub(crate) fn finish(self) -> Labels {
        match self.kind {
            Kind::Numbers(numbers) => Labels::Number(numbers),
            Kind::Words(Words { codes, names, .. }) => Labels::Text { codes, names },
        }
    }

    /// As words, turning what was numbers so far.
    fn words(&mut self, first: &str) -> Result<&mut Words, Refused> {
        if let Kind::Numbers(numbers) = &mut self.kind {
            let mut words = Words { first: first.to_owned(), ..Words::default() };
            for value in std::mem::take(numbers) {
                words.push(&value.to_string())?;
            }
            self.kind = Kind::Words(words);
        }
        match &mut self.kind {
            Kind::Words(words) => Ok(words),
            Kind::Numbers(_) => unreachable!("made words above"),
        }
    }
}

impl Words {
    fn push(&mut self, word: &str) -> Result<(), Refused> {
        let code = self.code(word)?;
        self.codes.push(code);
        Ok(())
    }

    fn code(&mut self, word: &str) -> Result<u32, Refused> {
        if let Some(code) = self.index.get(word) {
            return Ok(*code);
        }
        if self.names.len() == CLASSES_MAX {
            return Err((
                format!("the label column holds more than {CLASSES_MAX} different values, of which {} is not a number", shown(self.first.as_bytes())),
                "choose the right column with `label`, or make every label a number for a regression".into(),
            ));
        }
        let code = self.names.len() as u32;
        self.names.push(word.to_owned());
        self.index.insert(word.to_owned(), code);
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(texts: &[&str]) -> LabelRows {
        let mut rows = LabelRows::default();
        for text in texts {
            rows.push_text(text.as_bytes()).unwrap();
        }
        rows
    }

    #[test]
    fn labels_do_not_depend_on_where_blocks_were_cut() {
        let texts = ["1", "1.0", "yes", "2.5", " yes ", "no"];
        let whole = collect(&texts).finish();
        assert_eq!(
            whole,
            Labels::Text {
                codes: vec![0, 0, 1, 2, 1, 3],
                names: ["1", "yes", "2.5", "no"].map(String::from).to_vec()
            }
        );
        for cut in 0..=texts.len() {
            let mut joined = collect(&texts[..cut]);
            joined.append(collect(&texts[cut..])).unwrap();
            assert_eq!(joined.finish(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn missing_infinite_and_endless_labels_are_refused() {
        let mut rows = LabelRows::default();
        for text in ["", " ", "nan", "inf", "1e999"] {
            assert!(rows.push_text(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(rows.push_text(b"\xff").is_err());
        for id in 0..CLASSES_MAX {
            rows.push_word(&format!("id{id}")).unwrap();
        }
        assert!(rows.push_word("one more").unwrap_err().0.contains("\"id0\""));
    }
}
