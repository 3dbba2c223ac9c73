//! Log set-up and metric names. The library emits; only the binary installs a subscriber.
//!
//! [`audit`] is complete and chained where logging is neither. What is *not* here: the counters
//! themselves (each room keeps its own, see `serve::stats`).

pub mod audit;
pub mod date;
pub(crate) mod fuzzed;
mod line;
pub mod log;
pub mod metric;
mod sink;
