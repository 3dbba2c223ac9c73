//! Batch transform: every object below a place through a model, one `.out` object each, with
//! SageMaker's `CreateTransformJob` as the contract.
//!
//! A record gets exactly one answer, in order, or its whole object gets none: an object whose
//! records are wrong fails by name and line, the others go on, and nothing of it is visible. Memory
//! does not grow with the data: an object is read in pieces of whole records, which are answered
//! side by side while the pieces before are written and those after are read.

mod answer;
mod done;
mod error;
pub(crate) mod fuzzed;
mod names;
mod object;
mod read;
mod report;
mod run;
mod select;
mod source;

pub use error::Error;
pub use read::read;
pub use report::Report;
pub use run::Job;
