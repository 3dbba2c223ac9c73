//! Hyperparameters as a user wrote them, before an algorithm has checked them.

use std::collections::BTreeMap;

/// A value from TOML, or a string as SageMaker sends every hyperparameter.
#[derive(Debug, Clone, PartialEq)]
pub enum RawValue {
    /// Text; parsed by the parameter's own type, so `"0.1"` is as good as `0.1`.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A list.
    List(Vec<RawValue>),
}

/// One hyperparameter as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Raw {
    /// Its value.
    pub value: RawValue,
    /// The line it stands on, from 1, when it came from a file.
    pub line: Option<usize>,
}

/// All hyperparameters of a job by name, unchecked.
pub type RawParameters = BTreeMap<String, Raw>;

impl std::fmt::Display for RawValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RawValue::Text(text) => write!(f, "{text:?}"),
            RawValue::Integer(number) => write!(f, "{number}"),
            RawValue::Float(number) => write!(f, "{number}"),
            RawValue::Boolean(truth) => write!(f, "{truth}"),
            RawValue::List(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{item}")?;
                }
                f.write_str("]")
            }
        }
    }
}
