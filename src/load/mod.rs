//! A load generator for endpoints, and the search for the highest rate one answers in time.
//!
//! The load is *open*: requests are due at a constant rate whatever the server does, and a
//! request's latency counts from when it was due, not from when a connection was free to send it.
//! A server that stands still for a second is thereby charged with every request of that second;
//! a closed loop, which waits for one answer before it asks again, would note a single slow one
//! ("coordinated omission", Gil Tene).
//!
//! It speaks HTTP/1.1 with keep-alive and nothing else, so that little of the machine goes to the
//! generator. What it learns is numbers; how people see them is the door's affair.

mod connection;
mod error;
mod histogram;
mod pace;
mod run;
mod search;
mod target;

pub use error::Error;
pub use histogram::Histogram;
pub use run::{Load, Measured, Pace, run};
pub use search::{Found, Search, search};
pub use target::Target;
