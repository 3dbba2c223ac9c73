//! Columns of words for algorithms that read numbers only: each becomes one column for each of its
//! words, 1 where the row has that word and 0 elsewhere, also where the word is missing or was not
//! in the training data. Training and serving expand by the same code, and outside nobody sees it:
//! a model's signature keeps the columns as they were given, and so do its explanations.

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

use super::{Ask, Definition, Error, Files, Predictor};
use crate::data::{Answer, Categories, Dataset, Field, Signature, Values};
use crate::spec::limit::COLUMNS_MAX;

/// Which columns become which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expansion {
    /// Of each column, how many words it has; `None` for a number.
    words: Vec<Option<usize>>,
    width: usize,
}

impl Expansion {
    /// For rows of so many features, of which those in `categories` hold words; `None` when there
    /// are none.
    ///
    /// # Errors
    /// `Error::Data` when the words make more columns than a table may have.
    pub fn of(features: usize, categories: &Categories) -> Result<Option<Expansion>, Error> {
        if categories.is_empty() {
            return Ok(None);
        }
        let words: Vec<Option<usize>> =
            (0..features).map(|at| categories.get(&at).map(Vec::len)).collect();
        let width = words.iter().map(|words| words.unwrap_or(1)).sum();
        if width > COLUMNS_MAX {
            return Err(Error::Data {
                what: format!(
                    "the columns of words make {width} columns, one for each word, and this algorithm takes {COLUMNS_MAX} at most"
                ),
                help: "name columns with very many words under `ignore`".into(),
            });
        }
        Ok(Some(Expansion { words, width }))
    }

    /// Columns of an expanded row.
    pub fn width(&self) -> usize {
        self.width
    }

    #[expect(clippy::needless_pass_by_value, reason = "a view is a reference")]
    /// rows × raw features to rows × [`width`](Self::width).
    pub fn rows(&self, rows: ArrayView2<'_, f32>) -> Array2<f32> {
        const PARALLEL_ROWS: usize = 256;
        let mut wide = Array2::zeros((rows.nrows(), self.width));
        if rows.nrows() < PARALLEL_ROWS {
            for (raw, wide) in rows.rows().into_iter().zip(wide.rows_mut()) {
                self.row(raw, wide.into_slice().expect("rows stand one after the other"));
            }
        } else {
            wide.axis_iter_mut(Axis(0)).into_par_iter().zip(rows.axis_iter(Axis(0))).for_each(
                |(wide, raw)| {
                    self.row(raw, wide.into_slice().expect("rows stand one after the other"));
                },
            );
        }
        wide
    }

    #[expect(clippy::needless_pass_by_value, reason = "a view is a reference")]
    fn row(&self, raw: ArrayView1<'_, f32>, wide: &mut [f32]) {
        let mut at = 0;
        for (value, words) in raw.iter().zip(&self.words) {
            match words {
                None => wide[at] = *value,
                // A code is whole and from 0; a missing word is NaN, which no comparison lets pass.
                Some(words) if *value >= 0.0 && (*value as usize) < *words => {
                    wide[at + *value as usize] = 1.0;
                }
                Some(_) => {}
            }
            at += words.unwrap_or(1);
        }
    }

    /// The columns' names: `plan=basic`; a column without a name is called by its number.
    pub fn names(&self, names: &[String], categories: &Categories) -> Vec<String> {
        let mut wide = Vec::with_capacity(self.width);
        for at in 0..self.words.len() {
            let name = names.get(at).cloned().unwrap_or_else(|| format!("f{at}"));
            match categories.get(&at) {
                Some(words) => wide.extend(words.iter().map(|word| format!("{name}={word}"))),
                None => wide.push(name),
            }
        }
        wide
    }

    /// The dataset as such an algorithm sees it.
    pub fn dataset(&self, data: Dataset) -> Dataset {
        let columns = self.names(&data.columns, &data.categories).into();
        let features = self.rows(data.features.view());
        Dataset { features, columns, categories: Categories::new(), ..data }
    }

    /// A model's signature as such an algorithm sees it.
    fn inner(&self, outer: &Signature) -> Signature {
        Signature {
            features: self.width,
            columns: self.names(&outer.columns, &outer.categories),
            categories: Categories::new(),
            ..outer.clone()
        }
    }

    /// The raw column of each expanded one.
    fn origins(&self) -> Vec<u32> {
        let of = |(at, words): (u32, &Option<usize>)| std::iter::repeat_n(at, words.unwrap_or(1));
        (0u32..).zip(&self.words).flat_map(of).collect()
    }
}

/// Opens a fitted model so that it takes the rows its signature describes, words as codes.
///
/// # Errors
/// As [`Definition::open`].
pub fn open(
    definition: &dyn Definition,
    signature: &Signature,
    files: &Files,
) -> Result<Box<dyn Predictor>, Error> {
    if definition.reads().categories {
        return definition.open(signature, files);
    }
    match Expansion::of(signature.features, &signature.categories)? {
        None => definition.open(signature, files),
        Some(expansion) => {
            let inner = definition.open(&expansion.inner(signature), files)?;
            let origins = expansion.origins();
            let names = signature.columns.clone().into();
            Ok(Box::new(Expanded { expansion, origins, names, inner }))
        }
    }
}

/// A model behind its expansion.
struct Expanded {
    expansion: Expansion,
    origins: Vec<u32>,
    names: Arc<[String]>,
    inner: Box<dyn Predictor>,
}

impl Predictor for Expanded {
    fn predict(&self, rows: ArrayView2<'_, f32>) -> Result<Answer, Error> {
        self.inner.predict(self.expansion.rows(rows).view())
    }

    fn shingle(&self) -> usize {
        self.inner.shingle()
    }

    fn predict_with(&self, rows: ArrayView2<'_, f32>, ask: &Ask) -> Result<Answer, Error> {
        let wide = self.expansion.rows(rows);
        let Some(top) = ask.explain else {
            return self.inner.predict_with(wide.view(), ask);
        };
        // All of them, since a column may owe its place to many of its words.
        let every = Ask { explain: Some(usize::MAX), ..ask.clone() };
        let mut answer = self.inner.predict_with(wide.view(), &every)?;
        for Field { values, .. } in &mut answer.fields {
            if let Values::Contributions { width, columns, values: added, .. } = &*values {
                *values = self.summed(*width, columns, added, top);
            }
        }
        Ok(answer)
    }
}

impl Expanded {
    /// Contributions of expanded columns, added up by raw column; the strongest first.
    fn summed(&self, width: usize, columns: &[u32], added: &[f32], top: usize) -> Values {
        let kept = top.min(self.expansion.words.len());
        let (mut raw, mut sums) = (Vec::new(), Vec::new());
        for (columns, added) in columns.chunks(width.max(1)).zip(added.chunks(width.max(1))) {
            let mut by_column = BTreeMap::new();
            for (column, value) in columns.iter().zip(added) {
                let origin = self.origins.get(*column as usize).copied().unwrap_or(*column);
                *by_column.entry(origin).or_insert(0.0) += f64::from(*value);
            }
            // Every raw column, so that each row has as many.
            for column in 0..self.expansion.words.len() as u32 {
                by_column.entry(column).or_insert(0.0);
            }
            let mut ranked: Vec<(u32, f64)> = by_column.into_iter().collect();
            ranked.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
            ranked.truncate(kept);
            raw.extend(ranked.iter().map(|(column, _)| *column));
            sums.extend(ranked.iter().map(|(_, sum)| *sum as f32));
        }
        Values::Contributions { width: kept, columns: raw, values: sums, names: self.names.clone() }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::data::Task;

    fn categories() -> Categories {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Categories::from([(0, words(&["basic", "pro"])), (2, words(&["NY", "LA", "SF"]))])
    }

    fn expansion() -> Expansion {
        Expansion::of(3, &categories()).unwrap().unwrap()
    }

    #[test]
    fn each_word_becomes_a_column_and_a_missing_word_none() {
        let rows = array![[1.0, 7.5, 0.0], [0.0, f32::NAN, 2.0], [f32::NAN, -1.0, f32::NAN]];
        let wide = expansion().rows(rows.view());
        assert_eq!(wide.row(0).to_vec(), [0.0, 1.0, 7.5, 1.0, 0.0, 0.0]);
        assert_eq!(wide.row(1).to_vec()[3..], [0.0, 0.0, 1.0]);
        assert!(wide[[1, 2]].is_nan());
        assert_eq!(wide.row(2).to_vec(), [0.0, 0.0, -1.0, 0.0, 0.0, 0.0]);
        let many = Array2::from_shape_fn((1_000, 3), |(row, at)| ((row + at) % 2) as f32);
        let wide = expansion().rows(many.view());
        for (raw, wide) in many.rows().into_iter().zip(wide.rows()) {
            let alone = expansion().rows(raw.insert_axis(Axis(0)));
            assert_eq!(alone.row(0), wide);
        }
    }

    #[test]
    fn codes_from_a_strangers_hand_do_no_harm() {
        let rows = array![[9.0, 0.0, 3.0], [-1.0, 0.0, f32::INFINITY], [1e30, 0.0, -0.5]];
        let wide = expansion().rows(rows.view());
        assert!(wide.iter().all(|value| *value == 0.0), "{wide}");
    }

    #[test]
    fn names_tell_the_column_and_the_word() {
        let names = ["plan", "visits", "city"].map(String::from);
        let wide = expansion().names(&names, &categories());
        assert_eq!(wide, ["plan=basic", "plan=pro", "visits", "city=NY", "city=LA", "city=SF"]);
        assert_eq!(expansion().names(&[], &categories())[2..4], ["f1", "f2=NY"]);
    }

    #[test]
    fn more_words_than_columns_are_refused() {
        let many = (0..COLUMNS_MAX).map(|id| id.to_string()).collect();
        let error = Expansion::of(2, &Categories::from([(0, many)])).unwrap_err();
        assert!(error.to_string().contains("65537 columns"), "{error}");
    }

    /// Adds up its columns, and says so.
    struct Sum;

    impl Predictor for Sum {
        fn predict(&self, rows: ArrayView2<'_, f32>) -> Result<Answer, Error> {
            let sums = rows.rows().into_iter().map(|row| row.sum()).collect();
            let fields = vec![Field { name: "score", values: Values::Number(sums) }];
            Ok(Answer { key: "predictions", rows: rows.nrows(), fields })
        }

        fn predict_with(&self, rows: ArrayView2<'_, f32>, ask: &Ask) -> Result<Answer, Error> {
            assert_eq!(ask.explain, Some(usize::MAX));
            let mut answer = self.predict(rows)?;
            let columns = rows.rows().into_iter().flat_map(|row| 0..row.len() as u32).collect();
            answer.fields.push(Field {
                name: "explanations",
                values: Values::Contributions {
                    width: rows.ncols(),
                    columns,
                    values: rows.iter().map(|value| value - 0.25).collect(),
                    names: Arc::from([]),
                },
            });
            Ok(answer)
        }
    }

    #[test]
    fn an_explanation_names_the_columns_as_they_were_given() {
        let expansion = expansion();
        let signature = Signature {
            columns: ["plan", "visits", "city"].map(String::from).to_vec(),
            categories: categories(),
            ..Signature::of(3, Task::Regression)
        };
        assert_eq!(expansion.inner(&signature).features, 6);
        let origins = expansion.origins();
        assert_eq!(origins, [0, 0, 1, 2, 2, 2]);
        let names = signature.columns.clone().into();
        let model = Expanded { expansion, origins, names, inner: Box::new(Sum) };
        let ask = Ask { explain: Some(2), ..Ask::default() };
        let answer = model.predict_with(array![[0.0, 7.0, 1.0]].view(), &ask).unwrap();
        let Values::Contributions { width, columns, values, names } = &answer.fields[1].values
        else {
            panic!("not contributions")
        };
        assert_eq!(
            (*width, columns.as_slice(), values.as_slice()),
            (2, &[1, 0][..], &[6.75, 0.5][..])
        );
        assert_eq!(names[1], "visits");
    }
}
