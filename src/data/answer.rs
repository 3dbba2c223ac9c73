//! What a model answers for a batch of rows, before a format turns it into bytes.

use std::sync::Arc;

mod encode;
mod records;

pub use encode::{encode, encode_fields};

/// Named results, one entry per row in each.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The key of the list in SageMaker's JSON: `predictions`, `scores` or `projections`.
    pub key: &'static str,
    /// Number of rows.
    pub rows: usize,
    /// In the order SageMaker writes them. The first one is what CSV carries.
    pub fields: Vec<Field>,
}

impl Answer {
    /// The first row that holds something that is not a number.
    pub fn first_not_finite(&self) -> Option<usize> {
        let bad = |number: &f32| !number.is_finite();
        let first = |values: &Values| match values {
            Values::Number(numbers) => numbers.iter().position(bad),
            Values::Vector { width, values } | Values::Contributions { width, values, .. } => {
                values.iter().position(bad).map(|at| at / (*width).max(1))
            }
            Values::Class { .. } | Values::Classes(_) => None,
        };
        self.fields.iter().filter_map(|field| first(&field.values)).min()
    }
}

/// One named result.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// SageMaker's name for it (`score`, `predicted_label`, …).
    pub name: &'static str,
    /// One entry per row.
    pub values: Values,
}

/// The entries of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// A number per row.
    Number(Vec<f32>),
    /// `width` numbers per row, row after row.
    Vector {
        /// Numbers per row.
        width: usize,
        /// rows × width.
        values: Vec<f32>,
    },
    /// A class per row, shown by its name.
    Class {
        /// Index into `names`, one per row.
        codes: Vec<u32>,
        /// See [`super::schema::LabelNames`].
        names: Arc<super::schema::LabelNames>,
    },
    /// All classes, the same list in every row.
    Classes(Arc<super::schema::LabelNames>),
    /// What some columns added to the row's score, the strongest first; in JSON
    /// `[{"feature":"amount","contribution":1.25}]`.
    Contributions {
        /// Entries per row.
        width: usize,
        /// rows × width: a column, from 0.
        columns: Vec<u32>,
        /// rows × width: what it added.
        values: Vec<f32>,
        /// Names of the columns; a column without one is called by its number, from 0.
        names: Arc<[String]>,
    },
}
