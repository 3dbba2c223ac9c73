//! Log set-up and metric names. The library emits; only the binary installs a subscriber.
//!
//! What is *not* here: the counters themselves (each room keeps its own, see `serve::stats`), and
//! the audit log, which is complete and chained where logging is neither.

mod line;
pub mod log;
pub mod metric;
mod sink;
