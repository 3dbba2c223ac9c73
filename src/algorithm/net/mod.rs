//! The machinery of gradient training that is the same for every network: random streams, the
//! order of rows, optimizers, schedules, early stopping, fast answers on the CPU, and a loop for
//! networks that a program brings itself.
//!
//! Nothing here knows what an algorithm computes. An algorithm that fits one of these pieces uses
//! it and brings the rest.

pub mod dense;
pub mod fit_module;
pub mod optimizer;
pub mod order;
pub mod random;
pub mod schedule;
pub(crate) mod simd;
pub mod stopping;
