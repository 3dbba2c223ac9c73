//! Labels as they stood in the file, turned into classes or targets.
//!
//! The mapping is learned from the `train` channel, kept in the model's signature, and applied
//! unchanged to every other channel: a label that training has not seen is an error, never a new
//! class.
//!
//! Which of two classes is the positive one: the greater number (`1` of 0/1 and of -1/1), or the
//! later word in alphabetical order (`yes` of no/yes, `true` of false/true). More than two
//! classes stand in the same order.

use std::collections::{BTreeMap, BTreeSet};

use super::Error;
use crate::data::{Dataset, LabelNames, Labels};
use crate::spec::limit::CLASSES_MAX;

/// The classes of a classification, with a way from a label to its class.
#[derive(Debug, Clone)]
pub struct Classes {
    names: LabelNames,
}

/// How many classes the job wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Exactly two.
    Two,
    /// As many as the data have, at least two.
    AsFound,
    /// `num_classes`: numbers must be whole, from 0 to one less; words must be as many.
    Exactly(usize),
}

impl Classes {
    /// Learns the classes from the labels of `data`, the channel named `channel`.
    ///
    /// # Errors
    /// `Error::Data` naming channel, row and label: none at all, one class only, more classes
    /// than wanted or than [`CLASSES_MAX`], a label outside `0..num_classes`.
    pub fn learn(data: &Dataset, channel: &str, wanted: Wanted) -> Result<Classes, Error> {
        let names = match labels(data, channel)? {
            Labels::Number(values) => LabelNames::Numbers(distinct(values, channel, wanted)?),
            Labels::Text { codes, names } => LabelNames::Words(words(codes, names, channel)?),
        };
        let classes = Classes { names };
        classes.check_count(channel, wanted)?;
        Ok(classes)
    }

    /// The classes a stored signature names.
    ///
    /// # Errors
    /// `Error::Corrupt` when there are fewer than two, too many, or one twice.
    pub fn from_names(names: LabelNames) -> Result<Classes, Error> {
        let distinct = match &names {
            LabelNames::Numbers(numbers) => {
                let finite = numbers.iter().all(|number| number.is_finite());
                if finite {
                    numbers.iter().map(|n| order(*n)).collect::<BTreeSet<_>>().len()
                } else {
                    0
                }
            }
            LabelNames::Words(words) => words.iter().collect::<BTreeSet<_>>().len(),
        };
        if distinct != names.len() || !(2..=CLASSES_MAX).contains(&distinct) {
            return Err(Error::Corrupt(format!(
                "the signature's {} labels are not 2 to {CLASSES_MAX} distinct ones",
                names.len()
            )));
        }
        Ok(Classes { names })
    }

    /// Number of classes, at least two.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// Their names, for the signature.
    pub fn names(&self) -> &LabelNames {
        &self.names
    }

    /// The class of every row of `data`, the channel named `channel`.
    ///
    /// # Errors
    /// `Error::Data` naming channel, row and label when a row has none, or one not learned.
    pub fn codes(&self, data: &Dataset, channel: &str) -> Result<Vec<u32>, Error> {
        match labels(data, channel)? {
            Labels::Number(values) => {
                let index = self.by_number();
                let code = |(row, value): (usize, &f32)| {
                    if value.is_nan() {
                        return Err(missing(row, channel));
                    }
                    let found = index.get(&order(*value)).copied();
                    found.ok_or_else(|| self.unknown(row, channel, &value.to_string()))
                };
                values.iter().enumerate().map(code).collect()
            }
            Labels::Text { codes, names } => {
                let index: Vec<Option<u32>> = names.iter().map(|name| self.by_word(name)).collect();
                let code = |(row, code): (usize, &u32)| {
                    let name = names.get(*code as usize).ok_or_else(|| missing(row, channel))?;
                    if name.trim().is_empty() {
                        return Err(missing(row, channel));
                    }
                    index[*code as usize].ok_or_else(|| self.unknown(row, channel, name))
                };
                codes.iter().enumerate().map(code).collect()
            }
        }
    }

    fn by_number(&self) -> BTreeMap<u32, u32> {
        let number = |at: usize| match &self.names {
            LabelNames::Numbers(numbers) => Some(numbers[at]),
            LabelNames::Words(words) => words[at].trim().parse().ok(),
        };
        (0..self.names.len())
            .filter_map(|at| Some((order(number(at)?), u32::try_from(at).ok()?)))
            .collect()
    }

    fn by_word(&self, word: &str) -> Option<u32> {
        let at = match &self.names {
            LabelNames::Words(words) => words.iter().position(|known| known == word),
            LabelNames::Numbers(numbers) => {
                let given: f32 = word.trim().parse().ok()?;
                numbers.iter().position(|known| *known == given)
            }
        };
        at.and_then(|at| u32::try_from(at).ok())
    }

    fn check_count(&self, channel: &str, wanted: Wanted) -> Result<(), Error> {
        let count = self.count();
        if count == 1 {
            return Err(Error::Data {
                what: format!(
                    "every label of channel {channel} is {}: with one class only there is nothing to learn",
                    self.shown(0)
                ),
                help: "give rows of at least two classes".into(),
            });
        }
        match wanted {
            Wanted::Two if count > 2 => Err(Error::Data {
                what: format!(
                    "the labels of channel {channel} have {count} distinct values ({}, {}, {}, …), and binary_classifier takes two",
                    self.shown(0),
                    self.shown(1),
                    self.shown(2)
                ),
                help: "use predictor_type = \"multiclass_classifier\", or \"regressor\" for a quantity".into(),
            }),
            Wanted::Exactly(k) if count != k => Err(Error::Data {
                what: format!("channel {channel} has {count} distinct labels and num_classes is {k}"),
                help: format!("set num_classes = {count} or leave it out"),
            }),
            _ => Ok(()),
        }
    }

    fn shown(&self, at: usize) -> String {
        match &self.names {
            LabelNames::Numbers(numbers) => numbers[at].to_string(),
            LabelNames::Words(words) => format!("{:?}", words[at]),
        }
    }

    fn unknown(&self, row: usize, channel: &str, label: &str) -> Error {
        let shown = self.count().min(5);
        let mut known: Vec<String> = (0..shown).map(|at| self.shown(at)).collect();
        if shown < self.count() {
            known.push("…".into());
        }
        Error::Data {
            what: format!(
                "row {} of channel {channel} has label {label}, which no row of channel train has",
                row + 1
            ),
            help: format!(
                "training knows {}: correct the label or add such rows to train",
                known.join(", ")
            ),
        }
    }
}

/// The numbers to learn in a regression, one per row of `data`, the channel named `channel`.
///
/// # Errors
/// `Error::Data` when a label is missing, a word, or not finite.
pub fn targets(data: &Dataset, channel: &str) -> Result<Vec<f32>, Error> {
    match labels(data, channel)? {
        Labels::Number(values) => {
            for (row, value) in values.iter().enumerate() {
                if value.is_nan() {
                    return Err(missing(row, channel));
                }
                if value.is_infinite() {
                    return Err(Error::Data {
                        what: format!("row {} of channel {channel} has an infinite label", row + 1),
                        help: "remove the row or write a finite number".into(),
                    });
                }
            }
            Ok(values.clone())
        }
        Labels::Text { codes, names } => {
            let word = |(row, code): (usize, &u32)| {
                let name = names.get(*code as usize)?;
                name.trim().parse::<f32>().is_err().then_some((row, name))
            };
            let found = codes.iter().enumerate().find_map(word);
            let (row, name) = found.unwrap_or((0, &names[0]));
            Err(Error::Data {
                what: format!(
                    "row {} of channel {channel} has label {name:?}, and a regressor needs numbers",
                    row + 1
                ),
                help: "correct the label, or use predictor_type = \"binary_classifier\" or \"multiclass_classifier\"".into(),
            })
        }
    }
}

/// How many rows each class has.
pub fn counts(codes: &[u32], classes: usize) -> Vec<u64> {
    let mut counts = vec![0; classes];
    for code in codes {
        counts[*code as usize] += 1;
    }
    counts
}

/// A weight for each class so that all weigh the same in sum and the mean weight of a row is 1;
/// 0 for a class without rows.
pub fn balanced(counts: &[u64]) -> Vec<f32> {
    let rows: u64 = counts.iter().sum();
    let present = counts.iter().filter(|count| **count > 0).count();
    let weight = |count: &u64| match *count {
        0 => 0.0,
        count => (rows as f64 / (present as f64 * count as f64)) as f32,
    };
    counts.iter().map(weight).collect()
}

fn labels<'a>(data: &'a Dataset, channel: &str) -> Result<&'a Labels, Error> {
    let labels = data.label.as_ref().ok_or_else(|| Error::Data {
        what: format!("channel {channel} has no labels"),
        help: "put the label in the first column, or name its column with `label`".into(),
    })?;
    let count = match labels {
        Labels::Number(values) => values.len(),
        Labels::Text { codes, .. } => codes.len(),
    };
    if count == 0 || data.rows() == 0 {
        return Err(Error::Data {
            what: format!("channel {channel} has no rows"),
            help: "check that its uri leads to data".into(),
        });
    }
    if count != data.rows() {
        return Err(Error::Data {
            what: format!("channel {channel} has {} rows and {count} labels", data.rows()),
            help: "give each row one label".into(),
        });
    }
    Ok(labels)
}

fn missing(row: usize, channel: &str) -> Error {
    Error::Data {
        what: format!("row {} of channel {channel} has no label", row + 1),
        help: "remove the row or write its label".into(),
    }
}

fn too_many(channel: &str) -> Error {
    Error::Data {
        what: format!("channel {channel} has more than {CLASSES_MAX} distinct labels"),
        help: "for a quantity use predictor_type = \"regressor\"".into(),
    }
}

/// A key under which equal numbers are equal (0 and -0 too) and that sorts as they do.
fn order(number: f32) -> u32 {
    let bits = (number + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn distinct(values: &[f32], channel: &str, wanted: Wanted) -> Result<Vec<f32>, Error> {
    let mut seen: BTreeMap<u32, f32> = BTreeMap::new();
    for (row, value) in values.iter().enumerate() {
        if value.is_nan() {
            return Err(missing(row, channel));
        }
        if value.is_infinite() {
            return Err(Error::Data {
                what: format!("row {} of channel {channel} has an infinite label", row + 1),
                help: "correct the label".into(),
            });
        }
        if let Wanted::Exactly(k) = wanted
            && !(value.fract() == 0.0 && (0.0..k as f32).contains(value))
        {
            return Err(Error::Data {
                what: format!(
                    "row {} of channel {channel}: label {value} is outside 0..={} (num_classes = {k})",
                    row + 1,
                    k - 1
                ),
                help: "correct the label, raise num_classes, or leave it out to map any labels"
                    .into(),
            });
        }
        seen.entry(order(*value)).or_insert(*value + 0.0);
        if seen.len() > CLASSES_MAX {
            return Err(too_many(channel));
        }
    }
    if seen.len() > 1
        && let Wanted::Exactly(k) = wanted
    {
        return Ok((0..k).map(|class| class as f32).collect());
    }
    Ok(seen.into_values().collect())
}

fn words(codes: &[u32], names: &[String], channel: &str) -> Result<Vec<String>, Error> {
    let mut used = vec![false; names.len()];
    for (row, code) in codes.iter().enumerate() {
        match names.get(*code as usize) {
            Some(name) if !name.trim().is_empty() => used[*code as usize] = true,
            _ => return Err(missing(row, channel)),
        }
    }
    let mut found: Vec<String> =
        names.iter().zip(&used).filter(|(_, used)| **used).map(|(name, _)| name.clone()).collect();
    found.sort_unstable();
    found.dedup();
    if found.len() > CLASSES_MAX {
        return Err(too_many(channel));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {

    use ndarray::Array2;

    use super::*;

    fn dataset(label: Option<Labels>, rows: usize) -> Dataset {
        Dataset { label, ..Dataset::of(Array2::zeros((rows, 1))) }
    }

    fn numbers(values: &[f32]) -> Dataset {
        dataset(Some(Labels::Number(values.to_vec())), values.len())
    }

    fn text(values: &[&str]) -> Dataset {
        let mut names: Vec<String> = Vec::new();
        let mut code = |value: &&str| {
            let at = names.iter().position(|name| name == value).unwrap_or_else(|| {
                names.push((*value).to_owned());
                names.len() - 1
            });
            at as u32
        };
        let codes = values.iter().map(&mut code).collect();
        dataset(Some(Labels::Text { codes, names }), values.len())
    }

    fn refusal(result: Result<impl std::fmt::Debug, Error>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn the_greater_number_and_the_later_word_are_positive() {
        let data = numbers(&[1.0, -1.0, 1.0]);
        let classes = Classes::learn(&data, "train", Wanted::Two).unwrap();
        assert_eq!(classes.names(), &LabelNames::Numbers(vec![-1.0, 1.0]));
        assert_eq!(classes.codes(&data, "train").unwrap(), [1, 0, 1]);
        let data = text(&["yes", "no", "yes"]);
        let classes = Classes::learn(&data, "train", Wanted::Two).unwrap();
        assert_eq!(classes.names(), &LabelNames::Words(vec!["no".into(), "yes".into()]));
        assert_eq!(classes.codes(&data, "train").unwrap(), [1, 0, 1]);
    }

    #[test]
    fn zero_and_minus_zero_are_one_class() {
        let data = numbers(&[-0.0, 0.0, 2.0]);
        let classes = Classes::learn(&data, "train", Wanted::Two).unwrap();
        assert_eq!(classes.codes(&data, "train").unwrap(), [0, 0, 1]);
    }

    #[test]
    fn num_classes_gives_the_domain_even_where_the_data_miss_a_class() {
        let data = numbers(&[4.0, 0.0, 2.0]);
        let classes = Classes::learn(&data, "train", Wanted::Exactly(5)).unwrap();
        assert_eq!(classes.count(), 5);
        assert_eq!(classes.codes(&data, "train").unwrap(), [4, 0, 2]);
        let said = refusal(Classes::learn(&numbers(&[0.0, 7.0]), "train", Wanted::Exactly(5)));
        assert_eq!(said, "row 2 of channel train: label 7 is outside 0..=4 (num_classes = 5)");
        let said = refusal(Classes::learn(&numbers(&[0.0, 0.5]), "train", Wanted::Exactly(5)));
        assert_eq!(said, "row 2 of channel train: label 0.5 is outside 0..=4 (num_classes = 5)");
    }

    #[test]
    fn any_numbers_and_words_become_classes_in_order() {
        let data = numbers(&[30.0, 10.0, 20.5]);
        let classes = Classes::learn(&data, "train", Wanted::AsFound).unwrap();
        assert_eq!(classes.codes(&data, "train").unwrap(), [2, 0, 1]);
        let data = text(&["b", "c", "a"]);
        let classes = Classes::learn(&data, "train", Wanted::AsFound).unwrap();
        assert_eq!(classes.codes(&data, "train").unwrap(), [1, 2, 0]);
    }

    #[test]
    fn one_class_only_is_refused() {
        let said = refusal(Classes::learn(&numbers(&[1.0, 1.0]), "train", Wanted::Two));
        assert_eq!(
            said,
            "every label of channel train is 1: with one class only there is nothing to learn"
        );
        assert!(Classes::learn(&numbers(&[1.0, 1.0]), "train", Wanted::Exactly(3)).is_err());
        assert!(Classes::learn(&text(&["a", "a"]), "train", Wanted::AsFound).is_err());
    }

    #[test]
    fn three_classes_are_too_many_for_a_binary_classifier() {
        let said = refusal(Classes::learn(&numbers(&[0.0, 1.0, 2.0]), "train", Wanted::Two));
        assert_eq!(
            said,
            "the labels of channel train have 3 distinct values (0, 1, 2, …), and binary_classifier takes two"
        );
    }

    #[test]
    fn a_label_that_training_has_not_seen_is_an_error_by_row() {
        let classes = Classes::learn(&numbers(&[0.0, 1.0]), "train", Wanted::Two).unwrap();
        let said = refusal(classes.codes(&numbers(&[1.0, 2.0]), "validation"));
        assert_eq!(
            said,
            "row 2 of channel validation has label 2, which no row of channel train has"
        );
        assert!(classes.codes(&text(&["x", "1"]), "validation").is_err());
    }

    #[test]
    fn numbers_among_words_keep_their_class_in_an_all_number_channel() {
        let train = text(&["1", "2", "x"]);
        let classes = Classes::learn(&train, "train", Wanted::AsFound).unwrap();
        assert_eq!(classes.codes(&numbers(&[2.0, 1.0]), "validation").unwrap(), [1, 0]);
    }

    #[test]
    fn a_missing_label_is_named_by_row() {
        let expected = "row 2 of channel train has no label";
        let data = numbers(&[0.0, f32::NAN, 1.0]);
        assert_eq!(refusal(Classes::learn(&data, "train", Wanted::Two)), expected);
        assert_eq!(refusal(targets(&data, "train")), expected);
        let data = text(&["a", "", "b"]);
        assert_eq!(refusal(Classes::learn(&data, "train", Wanted::Two)), expected);
        let none = dataset(None, 2);
        assert_eq!(refusal(targets(&none, "train")), "channel train has no labels");
    }

    #[test]
    fn a_regressor_takes_numbers_only() {
        assert_eq!(targets(&numbers(&[1.5, -2.0]), "train").unwrap(), [1.5, -2.0]);
        assert_eq!(
            refusal(targets(&text(&["1", "low"]), "train")),
            "row 2 of channel train has label \"low\", and a regressor needs numbers"
        );
        assert!(targets(&numbers(&[f32::INFINITY]), "train").is_err());
    }

    #[test]
    fn more_classes_than_the_limit_are_refused() {
        let many: Vec<f32> = (0..=CLASSES_MAX).map(|label| label as f32).collect();
        let said = refusal(Classes::learn(&numbers(&many), "train", Wanted::AsFound));
        assert_eq!(said, "channel train has more than 10000 distinct labels");
    }

    #[test]
    fn balanced_weights_make_classes_weigh_the_same() {
        let counts = counts(&[0, 0, 0, 1], 3);
        assert_eq!(counts, [3, 1, 0]);
        let weights = balanced(&counts);
        assert_eq!(weights, [4.0 / 6.0, 2.0, 0.0]);
    }

    #[test]
    fn stored_names_must_be_distinct_classes() {
        assert!(Classes::from_names(LabelNames::Numbers(vec![0.0, 1.0])).is_ok());
        assert!(Classes::from_names(LabelNames::Numbers(vec![0.0, 0.0])).is_err());
        assert!(Classes::from_names(LabelNames::Numbers(vec![0.0, f32::NAN])).is_err());
        assert!(Classes::from_names(LabelNames::Words(vec!["a".into()])).is_err());
    }
}
