//! The table of an algorithm's parameters, and the checked values made from it.

/// One parameter: what `smrt algorithms NAME` shows and what the checker enforces.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// SageMaker's name.
    pub name: &'static str,
    /// Shown default; `None` when the user must give it.
    pub default: Option<&'static str>,
    /// The allowed values, in words.
    pub range: &'static str,
    /// What it does, in one sentence.
    pub meaning: &'static str,
}
