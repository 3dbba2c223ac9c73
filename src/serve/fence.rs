//! The fence around a model: whatever it does with a batch, the server gets an answer that fits
//! the batch, or a reason.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use ndarray::ArrayView2;

use crate::algorithm::{Ask, Predictor};
use crate::data::{Answer, Values};
use crate::fault::{Fault, Kind};

/// Why a model did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failed {
    /// It cannot answer for these rows, which is for their sender to mend.
    Rows {
        /// What is wrong with them.
        what: String,
        /// What to do.
        help: Option<String>,
    },
    /// It said that it is broken.
    Refused(String),
    /// It panicked; the panic hook has logged where.
    Panicked(String),
    /// Its answer does not have one entry per row.
    WrongShape,
}

impl Failed {
    /// For the log. The caller is told only that the model failed.
    pub(super) fn reason(&self) -> &str {
        match self {
            Failed::Rows { what: why, .. } | Failed::Refused(why) | Failed::Panicked(why) => why,
            Failed::WrongShape => "its answer does not have one entry per row",
        }
    }
}

/// What a model said, and how long it took.
pub(super) struct Predicted {
    pub(super) answer: Answer,
    pub(super) time: Duration,
}

/// Asks a model about rows × features, row-major.
pub(super) fn predict(
    predictor: &dyn Predictor,
    values: &[f32],
    features: usize,
    ask: &Ask,
) -> Result<Predicted, Failed> {
    let rows = values.len() / features.max(1);
    let view = ArrayView2::from_shape((rows, features), &values[..rows * features])
        .expect("rows times features values were given");
    let start = Instant::now();
    // A predictor that panicked is used again: it is behind `&self`, and what a panic can leave
    // broken in it (a poisoned lock) makes the next call fail, not the process.
    let result = catch_unwind(AssertUnwindSafe(|| predictor.predict_with(view, ask)));
    let time = start.elapsed();
    let answer = match result {
        Ok(Ok(answer)) => answer,
        Ok(Err(why)) if matches!(why.kind(), Kind::Data | Kind::Caller) => {
            return Err(Failed::Rows { what: why.to_string(), help: why.help() });
        }
        Ok(Err(why)) => return Err(Failed::Refused(why.to_string())),
        Err(panic) => return Err(Failed::Panicked(panic_text(&*panic))),
    };
    if !fits(&answer, rows) {
        return Err(Failed::WrongShape);
    }
    Ok(Predicted { answer, time })
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked: {}", text.as_deref().unwrap_or("no message"))
}

fn fits(answer: &Answer, rows: usize) -> bool {
    answer.rows == rows
        && !answer.fields.is_empty()
        && answer.fields.iter().all(|field| match &field.values {
            Values::Number(numbers) => numbers.len() == rows,
            Values::Vector { width, values } => width.checked_mul(rows) == Some(values.len()),
            Values::Class { codes, names } => {
                codes.len() == rows && codes.iter().all(|&code| (code as usize) < names.len())
            }
            Values::Classes(names) => !names.is_empty(),
            Values::Contributions { width, columns, values, .. } => {
                width.checked_mul(rows) == Some(values.len()) && columns.len() == values.len()
            }
        })
}

/// Rows `from..to` of an answer.
pub(super) fn part(answer: &Answer, from: usize, to: usize) -> Answer {
    let values = |values: &Values| match values {
        Values::Number(numbers) => Values::Number(numbers[from..to].to_vec()),
        Values::Vector { width, values } => {
            Values::Vector { width: *width, values: values[from * width..to * width].to_vec() }
        }
        Values::Class { codes, names } => {
            Values::Class { codes: codes[from..to].to_vec(), names: names.clone() }
        }
        Values::Classes(names) => Values::Classes(names.clone()),
        Values::Contributions { width, columns, values, names } => Values::Contributions {
            width: *width,
            columns: columns[from * width..to * width].to_vec(),
            values: values[from * width..to * width].to_vec(),
            names: names.clone(),
        },
    };
    Answer {
        key: answer.key,
        rows: to - from,
        fields: answer
            .fields
            .iter()
            .map(|field| crate::data::Field { name: field.name, values: values(&field.values) })
            .collect(),
    }
}

/// Adds the rows of `more` below those of `answer`. False when they are not of one kind.
pub(super) fn append(answer: &mut Answer, more: Answer) -> bool {
    if answer.fields.len() != more.fields.len() {
        return false;
    }
    answer.rows += more.rows;
    answer.fields.iter_mut().zip(more.fields).all(|(field, more)| {
        match (&mut field.values, more.values) {
            (Values::Number(all), Values::Number(more)) => all.extend(more),
            (Values::Vector { width, values }, Values::Vector { width: same, values: more })
                if *width == same =>
            {
                values.extend(more)
            }
            (Values::Class { codes, .. }, Values::Class { codes: more, .. }) => codes.extend(more),
            (Values::Classes(_), Values::Classes(_)) => {}
            (
                Values::Contributions { width, columns, values, .. },
                Values::Contributions { width: same, columns: more, values: added, .. },
            ) if *width == same => {
                columns.extend(more);
                values.extend(added);
            }
            _ => return false,
        }
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Field;

    fn answer(rows: usize) -> Answer {
        let number = |row: usize| row as f32;
        Answer {
            key: "predictions",
            rows,
            fields: vec![
                Field { name: "score", values: Values::Number((0..rows).map(number).collect()) },
                Field {
                    name: "pair",
                    values: Values::Vector {
                        width: 2,
                        values: (0..rows * 2).map(number).collect(),
                    },
                },
                Field {
                    name: "contributions",
                    values: Values::Contributions {
                        width: 2,
                        columns: (0..rows as u32 * 2).collect(),
                        values: (0..rows * 2).map(number).collect(),
                        names: std::sync::Arc::from([]),
                    },
                },
            ],
        }
    }

    #[test]
    fn parts_of_an_answer_put_together_are_the_answer() {
        let whole = answer(7);
        let mut again = part(&whole, 0, 3);
        assert!(append(&mut again, part(&whole, 3, 7)));
        assert_eq!(again, whole);
    }

    #[test]
    fn an_answer_must_have_one_entry_per_row() {
        assert!(fits(&answer(3), 3));
        assert!(!fits(&answer(3), 4));
        let mut short = answer(3);
        short.rows = 4;
        assert!(!fits(&short, 4));
    }

    #[test]
    fn the_first_row_that_is_not_a_number_is_found_in_any_field() {
        let mut odd = answer(4);
        assert_eq!(odd.first_not_finite(), None);
        if let Values::Vector { values, .. } = &mut odd.fields[1].values {
            values[5] = f32::NAN;
        }
        assert_eq!(odd.first_not_finite(), Some(2));
    }
}
